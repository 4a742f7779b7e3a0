"""Keras models on torch: reached to their inner layers, explained before a softmax, given back as they were."""

import copy

import pytest
import torch
from keras_nets import KERAS, L, asked, photo, pooled, seeded, stacked
from torch import nn
from torch.nn import functional as F

import sightline as sl
from sightline.models.keras_network import KerasNetwork

RAW = {"mean": 0, "std": 1, "resize": "squash"}


def scores(model, image):
    answers = sl.predict(model, image, top=100)
    return torch.tensor([one.score for one in sorted(answers, key=lambda one: one.index)])


def nested():
    given = KERAS.Input((8, 8, 4))
    inner = KERAS.Model(given, L.ReLU(name="act")(L.Conv2D(6, 3, name="conv")(given)), name="in.ner")
    return pooled(L.Conv2D(4, 2, 2, name="stem"), inner)


# Layers -------------------------------------------------------------------------------------------------------


def test_layers_of_nested_models_are_named_by_their_paths():
    model = sl.wrap(nested(), **RAW)
    assert model.layers()[:4] == ("stem", "in_ner/conv", "in_ner/act", "in_ner")
    assert model.default_layer == "in_ner"
    heat = sl.explain(model, photo(), "grad-cam", layer="in_ner/act")
    torch.testing.assert_close(heat.values, sl.explain(model, photo(), "grad-cam").values)


def test_layers_of_a_model_of_the_users_own_class_are_reached():
    class Own(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.stem = L.Conv2D(4, 3, name="stem")
            self.blocks = [L.Conv2D(4, 1, activation="relu", name=f"block{at}") for at in range(2)]
            self.head = L.Dense(3, name="head")

        def call(self, images):
            for layer in (self.stem, *self.blocks):
                images = layer(images)
            return self.head(KERAS.ops.mean(images, (1, 2)))

    own = Own()
    with pytest.raises(sl.ModelError, match="has no weights yet: call it on an image"):
        sl.wrap(own, input_size=16, **RAW)
    own(torch.zeros(1, 16, 16, 3))
    with pytest.raises(sl.ModelError, match="unknown input size; give input_size"):
        sl.wrap(own, **RAW)
    model = sl.wrap(seeded(own), input_size=16, **RAW)
    assert model.layers() == ("stem", "block0", "block1", "head")
    assert model.default_layer == "block1"
    assert {id(one) for one in model.network.parameters()} == {id(weight.value) for weight in own.variables}


def test_a_sum_in_a_functional_model_is_a_layer():
    given = KERAS.Input((16, 16, 3))
    trunk = L.Conv2D(4, 3, padding="same", name="trunk")(given)
    both = trunk + L.Conv2D(4, 3, padding="same", name="branch")(trunk)
    model = sl.wrap(seeded(KERAS.Model(given, L.Dense(3)(L.GlobalAveragePooling2D()(both)))), **RAW)
    name = model.default_layer
    assert name.startswith("add")
    heat = sl.explain(model, photo(), "grad-cam", target=1).values[0]
    step = model.network.get_submodule(name)
    with torch.no_grad():
        seen = []
        with step.register_forward_hook(lambda _step, _given, put_out: seen.append(put_out)):
            model.network(photo()[None])
    weights = model.network.inner.layers[-1].kernel.value[:, 1] / (16 * 16)
    torch.testing.assert_close(heat, (seen[0][0] @ weights).detach(), atol=1e-6, rtol=1e-4)


def test_a_layer_that_does_not_exist_is_an_error_with_near_misses():
    with pytest.raises(sl.LayerError, match=r"did you mean 'stem'\?"):
        sl.explain(sl.wrap(nested(), **RAW), photo(), "grad-cam", layer="stm")


def test_a_map_of_as_many_channels_as_places_is_not_mistaken():
    model = sl.wrap(pooled(L.Conv2D(16, 3, padding="same", activation="relu", name="conv")), **RAW)
    heat = sl.explain(model, photo(), "grad-cam", target=2).values[0]
    conv, head = model.network.inner.layers[0], model.network.inner.layers[-1]
    kernel = conv.kernel.value.permute(3, 2, 0, 1)
    maps = F.conv2d(photo()[None], kernel, conv.bias.value, padding=1).relu()[0]
    expected = (maps * head.kernel.value[:, 2].view(-1, 1, 1)).sum(0) / 256
    torch.testing.assert_close(heat, expected.detach(), atol=1e-6, rtol=1e-4)


def test_channels_first_is_taken_as_the_layers_say():
    conv = L.Conv2D(16, 3, padding="same", data_format="channels_first", name="conv")
    pool = L.GlobalAveragePooling2D(data_format="channels_first")
    model = sl.wrap(stacked(conv, L.ReLU(), pool, L.Dense(3), shape=(3, 16, 16)), **RAW)
    assert (model.input_size, model.channels) == ((16, 16), 3)
    assert model.traced().layout("conv").kind == model.traced().layout(model.default_layer).kind == "first"
    torch.testing.assert_close(scores(model, photo()), model.network.inner(photo()[None])[0].detach())


# Truths -------------------------------------------------------------------------------------------------------


def test_saliency_of_a_linear_model_is_its_weights_laid_as_the_image():
    linear = stacked(L.Flatten(), L.Dense(5, name="scores"))
    heat = sl.explain(sl.wrap(linear, **RAW), photo(), "saliency", target=3)
    expected = linear.layers[-1].kernel.value[:, 3].reshape(16, 16, 3).permute(2, 0, 1)
    torch.testing.assert_close(heat.values, expected.detach())


@pytest.mark.parametrize("last", ["softmax", "log_softmax", "sigmoid"])
@pytest.mark.parametrize("fused", [True, False])
def test_the_score_is_what_goes_into_a_final_step(last, fused):
    rest = [L.Conv2D(4, 3), L.GlobalAveragePooling2D()]
    head = [L.Dense(5, activation=last, name="out")] if fused else [L.Dense(5, name="dense"), L.Activation(last)]
    keras = stacked(*rest, *head)
    model = sl.wrap(keras, **RAW)
    dense = keras.layers[2]
    before = asked(KERAS.Model(keras.inputs, keras.layers[1].output), photo()[None])
    torch.testing.assert_close(scores(model, photo()), (before @ dense.kernel.value + dense.bias.value)[0].detach())
    assert (model.readout.final, model.readout.score) == (last, "logit")


def test_a_last_layer_that_is_read_itself_still_has_its_softmax_seen():
    model = sl.wrap(pooled(L.Conv2D(4, 3), activation="softmax"), **RAW)
    heat = sl.explain(model, photo(), "saliency", target=sl.targets.Unit("scores", 2))
    assert float(heat.values.abs().max()) > 0
    assert model.readout.final == "softmax"


def test_a_dense_answer_has_its_classes_in_front_and_its_softmax_undone():
    keras = stacked(L.Conv2D(4, 3, padding="same", activation="relu"), L.Conv2D(6, 1, activation="softmax"))
    model = sl.wrap(keras, **RAW)
    before = asked(KERAS.Model(keras.inputs, keras.layers[0].output), photo()[None])
    last = keras.layers[1]
    with model.lend(photo()[None]) as net:
        found = net.scores(photo()[None])
    expected = (before @ last.kernel.value[0, 0] + last.bias.value).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected.detach())


def relu_twins():
    """The same convolutions with each way to write a ReLU in Keras, and the function it is in torch."""
    functional = KERAS.Input((16, 16, 3))
    inner = L.Conv2D(4, 3)(functional)
    written = KERAS.Model(functional, L.Dense(5)(L.GlobalAveragePooling2D()(KERAS.ops.relu(inner))))
    return {
        "fused": (pooled(L.Conv2D(4, 3, activation="relu")), F.relu),
        "fused relu6": (pooled(L.Conv2D(4, 3, activation="relu6")), F.relu6),
        "a layer": (pooled(L.Conv2D(4, 3), L.ReLU()), F.relu),
        "up to 6": (pooled(L.Conv2D(4, 3), L.ReLU(max_value=6.0)), F.relu6),
        "up to a half": (pooled(L.Conv2D(4, 3), L.ReLU(max_value=0.5)), lambda x: x.clamp(0, 0.5)),
        "an operation": (seeded(written), F.relu),
    }


@pytest.mark.filterwarnings("ignore::sightline.core.errors.SightlineWarning")
@pytest.mark.parametrize("which", relu_twins())
def test_guided_backprop_follows_every_way_to_write_a_relu(which):
    keras, relu = relu_twins()[which]
    conv, head = (layer for layer in keras.layers if layer.weights)
    image = photo()[None].requires_grad_()
    maps = F.conv2d(image, conv.kernel.value.permute(3, 2, 0, 1), conv.bias.value)
    gate = torch.autograd.grad(relu(maps).sum(), maps, retain_graph=True)[0]
    above = (head.kernel.value[:, 1] / (14 * 14)).view(1, -1, 1, 1)
    (expected,) = torch.autograd.grad(maps, image, gate * above.clamp_min(0))
    found = sl.explain(sl.wrap(keras, **RAW), photo(), "guided-backprop", target=1).values
    torch.testing.assert_close(found, expected[0], atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "leaky_relu", "softsign"])
def test_guided_backprop_refuses_fused_activations_that_are_no_relu(name):
    with pytest.raises(sl.MethodError, match="made for ReLUs"):
        sl.explain(sl.wrap(pooled(L.Conv2D(4, 3, activation=name)), **RAW), photo(), "guided-backprop")


# Inputs -------------------------------------------------------------------------------------------------------


def test_the_size_and_channels_are_the_models_own():
    model = sl.wrap(pooled(L.Conv2D(2, 3), shape=(12, 20, 1)), **RAW)
    assert (model.input_size, model.channels) == ((12, 20), 1)
    torch.testing.assert_close(scores(model, photo(1, 12, 20)), asked(model.network.inner, photo(1, 1, 12, 20))[0])


def test_sides_that_are_left_open_need_a_size():
    free = pooled(L.Conv2D(2, 3), shape=(None, None, 3))
    with pytest.raises(sl.ModelError, match="unknown input size; give input_size"):
        sl.wrap(free, **RAW)
    assert sl.wrap(free, input_size=20, **RAW).input_size == (20, 20)


def test_images_without_a_side_for_channels_are_grey():
    model = sl.wrap(stacked(L.Flatten(), L.Dense(4), shape=(14, 14)), **RAW)
    assert (model.input_size, model.channels) == ((14, 14), 1)
    assert sl.explain(model, photo(1, 14, 14), "saliency").values.shape == (1, 14, 14)


def test_volumes_are_taken_channels_last_too():
    keras = stacked(L.Conv3D(4, 3, activation="relu"), L.GlobalAveragePooling3D(), L.Dense(3), shape=(8, 10, 10, 1))
    images = photo(2, 1, 8, 10, 10)
    heat = sl.attribute(keras, images, 1, method="grad-cam")
    assert heat.values.shape == (2, 1, 8, 10, 10)
    assert sl.wrap(keras, **RAW).input_size == (8, 10, 10)


def test_several_inputs_are_given_by_their_names():
    image, beside = KERAS.Input((16, 16, 3), name="image"), KERAS.Input((4,), name="beside")
    joined = L.Concatenate()([L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(image)), beside])
    keras = seeded(KERAS.Model([image, beside], L.Dense(3)(joined)))
    model = sl.wrap(keras, input_name="image", inputs={"beside": torch.ones(1, 4)}, **RAW)
    own = keras([photo()[None].movedim(1, -1), torch.ones(1, 4)])[0].detach()
    torch.testing.assert_close(scores(model, photo()), own)
    assert sl.explain(model, photo(), "grad-cam").values.abs().max() > 0


def test_what_is_no_image_is_refused():
    with pytest.raises(sl.ModelError, match=r"takes \[\(None, 10\)\]; images have height and width"):
        sl.wrap(stacked(L.Dense(3), shape=(10,)), **RAW)


def test_a_wrong_number_of_channels_is_the_networks_error_with_what_it_was_given():
    with pytest.raises(ValueError, match="incompatible with the layer") as raised:
        sl.attribute(pooled(L.Conv2D(2, 3)), photo(1, 4, 16, 16))
    assert "raised this for images (1, 4, 16, 16)" in raised.value.__notes__[0]


# As found -----------------------------------------------------------------------------------------------------


def test_a_model_comes_back_as_it_was():
    keras = pooled(L.Conv2D(4, 3, activity_regularizer="l2"), L.BatchNormalization(), L.Dropout(0.5))
    keras.train()
    kept = [copy.deepcopy(weight.value.detach()) for weight in keras.variables]
    grads = [weight.value.requires_grad for weight in keras.variables]
    children = [name for name, _ in keras.named_modules()]
    sl.explain(sl.wrap(keras, **RAW), photo(), ["grad-cam", "integrated-gradients"])
    assert all(torch.equal(weight.value, was) for weight, was in zip(keras.variables, kept, strict=True))
    assert [weight.value.requires_grad for weight in keras.variables] == grads
    assert all(module.training for module in keras.modules())
    assert [name for name, _ in keras.named_modules()] == children
    assert keras.losses == []


def test_the_steps_of_a_functional_model_answer_for_themselves_again_after_an_error():
    given = KERAS.Input((16, 16, 3))
    keras = KERAS.Model(given, L.Dense(3)(L.Flatten()(given + 1.0)))
    with pytest.raises(ValueError, match="incompatible"):
        sl.attribute(keras, photo(1, 3, 15, 16))
    assert not any("call" in vars(step) for step in keras.operations)


def test_weights_that_are_trained_further_are_never_stale():
    keras = pooled(L.Conv2D(4, 3, activation="relu"))
    model = sl.wrap(keras, **RAW)
    before = scores(model, photo())
    keras.layers[0].kernel.assign(keras.layers[0].kernel.value * 2)
    after = scores(model, photo())
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, asked(keras, photo()[None])[0])


def test_the_networks_numbers_are_seen():
    keras = nested()
    network = sl.wrap(keras, **RAW).network
    assert isinstance(network, KerasNetwork)
    assert {id(one) for one in network.parameters()} >= {id(weight.value) for weight in keras.weights}
    moved = sl.wrap(keras, **RAW).to("meta").network
    assert {one.device.type for one in moved.parameters()} == {"meta"}


def test_half_precision_policies_work():
    policy = KERAS.dtype_policies.DTypePolicy("mixed_float16")
    keras = stacked(
        L.Conv2D(4, 3, activation="relu", dtype=policy), L.GlobalAveragePooling2D(dtype=policy), L.Dense(5)
    )
    found = sl.explain(sl.wrap(keras, **RAW), photo(), ["saliency", "grad-cam", "occlusion"])
    assert all(torch.isfinite(found[name].values).all() for name in found)
    assert found["saliency"].values.dtype == torch.float32


def test_a_torch_network_with_a_keras_layer_inside_stays_a_torch_network():
    dense = L.Dense(3)
    dense.build((None, 4))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense)
    assert sl.wrap(network, input_size=16, **RAW).network is network
