"""Functions of JAX and TensorFlow arrays: what they answer and how their gradients come back is exact."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from torch.nn import functional as F

import sightline as sl
from sightline.models.bridges import jax_network

DICE = np.random.default_rng(0)
WEIGHTS = DICE.normal(size=(4, 3, 8, 8)).astype(np.float32)
KERNEL = DICE.normal(size=(3, 3, 3, 6)).astype(np.float32) / 3
HEAD = DICE.normal(size=(6, 4)).astype(np.float32)
PHOTO = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
READY = {"input_size": 8, "resize": "squash", "backend": "jax"}


def linear(images):
    return jnp.einsum("nchw,kchw->nk", images, WEIGHTS)


def convolved(images):
    """A small network as JAX's users write one: channels last."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    maps = jax.nn.relu(lax.conv_general_dilated(images, KERNEL, (1, 1), "SAME", dimension_numbers=dimensions))
    return jnp.tanh(maps.mean((1, 2))) @ HEAD


def in_torch(images):
    """The same network of channels first, in torch."""
    kernel, head = torch.from_numpy(KERNEL).permute(3, 2, 0, 1), torch.from_numpy(HEAD)
    return F.conv2d(images, kernel, padding=1).relu().mean((2, 3)).tanh() @ head


def test_the_saliency_of_a_linear_function_is_its_weights():
    model = sl.wrap(linear, **READY)
    ex = sl.explain(model, PHOTO, target=2)
    assert ex.method == "saliency"
    assert torch.allclose(ex.values, torch.from_numpy(WEIGHTS[2]), atol=1e-6)
    scores = (torch.from_numpy(WEIGHTS) * PHOTO).sum((1, 2, 3))
    for one in sl.predict(model, PHOTO):
        assert one.score == pytest.approx(float(scores[one.index]), abs=1e-4)
    assert ex.warnings == ()  # pixels in [0, 1] are what a function is promised


@pytest.mark.parametrize("method", [one.id for one in sl.methods() if one.needs <= {"gradients"}])
def test_every_method_of_input_gradients_and_of_masks_gives_the_map_of_the_same_network_in_torch(method):
    taken = next(one.options for one in sl.methods() if one.id == method)
    options = {name: value for name, value in {"samples": 8, "budget": 40}.items() if name in taken}
    ours = sl.attribute(jax_network(convolved), IMAGES, 1, method, **options)
    expected = sl.attribute(in_torch, IMAGES, 1, method, **options)
    assert (ours.values - expected.values).abs().max() <= 1e-4 * expected.values.abs().max()
    assert expected.values.abs().max() > 0


def test_channels_last_is_found_out_or_told():
    expected = sl.attribute(in_torch, IMAGES, 0, "saliency").values
    for layout in (None, "NHWC"):
        model = sl.wrap(convolved, layout=layout, **READY)
        assert torch.allclose(sl.attribute(model, IMAGES, 0, "saliency").values, expected, atol=1e-6)
    with pytest.raises(ValueError, match="feature dimension") as caught:
        sl.predict(sl.wrap(convolved, layout="NCHW", **READY), PHOTO)
    assert any("raised this for images (1, 3, 8, 8)" in note for note in caught.value.__notes__)


def test_a_function_of_torch_tensors_may_take_channels_last_too():
    model = sl.wrap(lambda images: images.mean((1, 2)), input_size=8, resize="squash", layout="NHWC")
    assert [one.index for one in sl.predict(model, PHOTO)] == PHOTO.mean((1, 2)).argsort(descending=True).tolist()
    with pytest.raises(sl.ModelError, match="layout='HWC'; possible: NCHW, NHWC"):
        sl.wrap(linear, layout="HWC", **READY)


def test_what_jax_compiled_needs_no_word():
    ex = sl.explain(sl.wrap(jax.jit(linear), input_size=8, resize="squash"), PHOTO, target=0)
    assert torch.allclose(ex.values, torch.from_numpy(WEIGHTS[0]), atol=1e-6)


def test_it_is_compiled_once_for_each_shape_and_traced_for_a_gradient_only_where_one_is_asked_for():
    traced = []

    def counted(images):
        traced.append(images.shape)
        return linear(images)

    model = sl.wrap(counted, **READY)
    sl.attribute(model, IMAGES, 0, "occlusion")
    plain = len(traced)
    assert plain == len(set(traced))
    sl.attribute(model, IMAGES, 0, "occlusion")
    assert len(traced) == plain
    for _ in range(2):
        sl.attribute(model, IMAGES, 0, "saliency")
    assert len(traced) == plain + 1


def test_numbers_cross_over_without_a_copy():
    seen = []
    images = torch.rand(2, 3, 8, 8)

    def look(array):
        seen.append(array.unsafe_buffer_pointer() if isinstance(array, jax.Array) and not seen else None)
        return float(array[0, 0, 0, 0]) * jnp.ones((len(array), 2))  # no tracing: it is called with real arrays

    jax_network(look)(images)
    assert images.data_ptr() in seen


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_numbers_cross_over_and_the_map_has_the_images_type(dtype):
    heat = sl.attribute(jax_network(linear), IMAGES.to(dtype), 1, "saliency")
    assert heat.values.dtype == dtype
    assert torch.allclose(heat.values[0].float(), torch.from_numpy(WEIGHTS[1]), atol=0.02)


def test_several_answers_come_back_under_their_names_and_numbers_without_a_gradient_too():
    def several(images):
        scores = linear(images)
        return {"best": scores.argmax(1), "main": scores}

    model = sl.wrap(several, output_name="main", **READY)
    ex = sl.explain(model, PHOTO, "saliency", target=3)
    assert torch.allclose(ex.values, torch.from_numpy(WEIGHTS[3]), atol=1e-6)


def test_what_it_takes_beside_images_is_for_a_function_of_ones_own():
    model = sl.wrap(lambda images, numbers: linear(images) + numbers, inputs={"numbers": torch.ones(1, 4)}, **READY)
    with pytest.raises(sl.NetworkError, match=r"takes images alone.*lambda images: function\(images, numbers\)"):
        sl.predict(model, PHOTO)


def test_what_cannot_be_compiled_runs_as_it_is():
    def branching(images):
        return linear(images) if bool(images.sum() > -1e9) else None

    ex = sl.explain(sl.wrap(branching, **READY), PHOTO, target=2)
    assert torch.allclose(ex.values, torch.from_numpy(WEIGHTS[2]), atol=1e-6)


def test_what_jax_cannot_differentiate_is_a_black_box():
    def looping(images):
        scores = linear(images)
        return lax.while_loop(lambda s: s.sum() < -1e9, lambda s: s * 2, scores)

    model = sl.wrap(looping, **READY)
    assert sl.explain(model, PHOTO, samples=8).method == "rise"
    with pytest.raises(sl.MethodError, match="none reaches the input: the network is a black box"):
        sl.explain(model, PHOTO, "saliency")


def test_second_derivatives_are_refused_and_not_wrong():
    images = IMAGES.clone().requires_grad_()
    answer = jax_network(convolved)(images).sum()
    with pytest.raises(sl.MethodError, match="needs second derivatives, and they do not cross over"):
        torch.autograd.grad(answer, images, create_graph=True)


def test_probabilities_are_explained_by_their_logarithm_and_the_result_says_so():
    model = sl.wrap(lambda images: jax.nn.softmax(linear(images) / 9), **READY)
    with pytest.warns(sl.SightlineWarning, match="the log-probability is explained"):
        ex = sl.explain(model, PHOTO, "saliency", target=1)
    leaf = PHOTO.clone().requires_grad_()
    scores = (torch.from_numpy(WEIGHTS) * leaf).sum((1, 2, 3)) / 9
    (expected,) = torch.autograd.grad(scores.log_softmax(0)[1], leaf)
    assert torch.allclose(ex.values, expected, atol=1e-5)


def test_layer_methods_say_what_remains():
    with pytest.raises(sl.MethodError, match=r"grad-cam needs layer.*Possible here: saliency, .*occlusion, rise"):
        sl.explain(sl.wrap(linear, **READY), PHOTO, "grad-cam")


def test_volumes_cross_over_as_images_do():
    weights = DICE.normal(size=(2, 1, 4, 5, 6)).astype(np.float32)
    network = jax_network(lambda volumes: jnp.einsum("ncdhw,kcdhw->nk", volumes, weights))
    heat = sl.attribute(network, torch.rand(2, 1, 4, 5, 6), 1, "saliency")
    assert torch.allclose(heat.values[0], torch.from_numpy(weights[1]), atol=1e-6)


def test_an_unknown_backend_is_refused():
    with pytest.raises(sl.ModelError, match=r"backend='jacks'; possible: auto, torch, .*jax"):
        sl.wrap(linear, input_size=8, backend="jacks")


def test_jax_keeps_its_settings_and_is_imported_only_where_it_is_asked_for():
    code = (
        "import sys, torch, sightline as sl;"
        "sl.wrap(torch.nn.ReLU(), input_size=2); assert 'jax' not in sys.modules;"
        "import jax; before = dict(jax.config.values);"
        "sl.attribute(sl.wrap(lambda x: x.mean((2, 3)), backend='jax', input_size=2), torch.rand(1, 3, 2, 2), 0);"
        "assert dict(jax.config.values) == before"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(sl.ModelError, match=r'pip install "sightline\[jax\]"'):
        sl.wrap(linear, **READY)


# TensorFlow -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


@pytest.mark.matrix
@pytest.mark.parametrize("compiled", [False, True])
def test_the_saliency_of_a_linear_function_of_tensorflow_is_its_weights(tf, compiled):
    def function(images):
        return tf.einsum("nchw,kchw->nk", images, WEIGHTS)

    options = {} if compiled else {"backend": "tensorflow"}
    model = sl.wrap(tf.function(function) if compiled else function, input_size=8, resize="squash", **options)
    ex = sl.explain(model, PHOTO, target=2)
    assert torch.allclose(ex.values, torch.from_numpy(WEIGHTS[2]), atol=1e-6)


@pytest.mark.matrix
@pytest.mark.parametrize("method", [one.id for one in sl.methods() if one.needs <= {"gradients"}])
def test_every_method_gives_the_map_of_the_same_network_in_torch_from_tensorflow(tf, method):
    def function(images):
        maps = tf.nn.relu(tf.nn.conv2d(images, KERNEL, 1, "SAME"))
        return {"best": tf.argmax(images[:, 0, 0], 1), "logits": tf.tanh(tf.reduce_mean(maps, (1, 2))) @ HEAD}

    taken = next(one.options for one in sl.methods() if one.id == method)
    options = {name: value for name, value in {"samples": 8, "budget": 40}.items() if name in taken}
    model = sl.wrap(function, input_size=8, backend="tensorflow")
    ours = sl.attribute(model, IMAGES, 1, method, **options)
    expected = sl.attribute(sl.wrap(in_torch, input_size=8), IMAGES, 1, method, **options)
    assert (ours.values - expected.values).abs().max() <= 1e-4 * expected.values.abs().max()


@pytest.mark.matrix
def test_second_derivatives_of_tensorflow_are_refused_and_not_wrong(tf):
    model = sl.wrap(lambda images: tf.reduce_mean(images, (2, 3)) ** 2, input_size=8, backend="tensorflow")
    images = IMAGES.clone().requires_grad_()
    with pytest.raises(sl.MethodError, match="needs second derivatives"):
        torch.autograd.grad(model.network(images).sum(), images, create_graph=True)


@pytest.mark.matrix
def test_a_slice_that_begins_anywhere_in_memory_crosses_over(tf):
    model = sl.wrap(lambda images: tf.reduce_mean(images, (2, 3)), input_size=5, backend="tensorflow")
    images = torch.rand(5, 3, 5, 5)
    for start in range(4):
        assert torch.allclose(model.network(images[start:]), images[start:].mean((2, 3)), atol=1e-6)


def test_why_a_function_has_no_gradient_is_said():
    def repeated(images):
        return lax.while_loop(lambda step: step[0] < 2, lambda step: (step[0] + 1, step[1] * 2), (0, linear(images)))[
            1
        ]

    model = sl.wrap(repeated, backend="jax", input_size=8, mean=0.5, std=0.5)
    with pytest.raises(sl.MethodError, match=r"black box \(ValueError: Reverse-mode differentiation does not work"):
        sl.explain(model, np.zeros((8, 8, 3), np.uint8), "saliency")
    assert sl.explain(model, np.zeros((8, 8, 3), np.uint8), "occlusion").method == "occlusion"


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_what_is_no_function_has_no_backend(backend):
    with pytest.raises(sl.ModelError, match=f"a int is no function, which backend='{backend}' is for"):
        sl.wrap(3, backend=backend, input_size=8)
