"""ONNX files and live graphs: ONNX Runtime's answers, torch's maps, and files that reach for more than themselves."""

import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import sightline as sl

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
PHOTO = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2))
READY = {"mean": 0.5, "std": 0.5}


class Small(nn.Module):
    """Two convolutions with batch norm, a head, then `end`."""

    def __init__(self, end=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(12, 5)
        self.end = end
        self.norm.running_mean.normal_(0, 0.3)
        self.norm.running_var.uniform_(0.5, 2)
        self.eval()

    def forward(self, images):
        maps = self.act(self.second(self.relu(self.norm(self.conv(images)))))
        scores = self.head(self.pool(maps).flatten(1))
        return scores if self.end is None else self.end(scores)


def saved(path, network=None, *, dynamo=False, opset=None, free=True, **options):
    """The network's export, for any number of images or for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the older exporter
        axes = {"dynamic_axes": {"images": {0: "n"}}} if free and not dynamo else {}
        shapes = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if free and dynamo else {}
        torch.onnx.export(
            network or Small(), (torch.rand(2 if free else 1, 3, 16, 16),), str(path), dynamo=dynamo,
            opset_version=opset, input_names=["images"], output_names=["scores"], verbose=False,
            **axes, **shapes, **options,
        )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("onnx") / "small.onnx", Small(nn.Softmax(1)), opset=13)


@pytest.mark.parametrize("method", [one.id for one in sl.methods() if one.id != "refine-cam"])
def test_every_method_gives_the_map_of_the_original_network(path, method):
    ours, original = sl.load(path, **READY), sl.wrap(Small(nn.Softmax(1)), input_size=16, **READY)
    one = next(one for one in sl.methods() if one.id == method)
    options = {name: value for name, value in {"samples": 8, "budget": 40}.items() if name in one.options}
    warnings.simplefilter("ignore", sl.SightlineWarning)
    layers = ("/act/Relu", "act") if "layer" in one.needs else (None, None)
    maps = [
        sl.attribute(m, IMAGES, 2, method, layer=at, **options).values
        for m, at in zip((ours, original), layers, strict=True)
    ]
    assert (maps[0] - maps[1]).abs().max() <= 1e-4 * maps[1].abs().max()
    assert maps[1].abs().max() > 0


def test_its_layers_are_the_nodes_by_the_names_that_a_viewer_of_the_file_shows(path):
    model = sl.load(path, **READY)
    assert model.layers() == (
        "/conv/Conv", "/relu/Relu", "/second/Conv", "/act/Relu", "/pool/GlobalAveragePool", "/Flatten", "/head/Gemm"
    )  # fmt: skip
    assert set(model.layers()) < {node.name for node in onnx.load(path).graph.node}
    assert model.default_layer == "/act/Relu"
    assert (model.input_size, model.channels, model.batch_size) == ((16, 16), 3, None)


def test_predictions_are_onnx_runtimes_and_a_final_softmax_is_explained_before_it(path):
    model = sl.load(path, **READY)
    pixels = ((PHOTO - 0.5) / 0.5)[None].numpy()
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"images": pixels})[0][0]
    with torch.no_grad():
        logits = Small()(torch.from_numpy(pixels))[0]
    assert model.readout.score == "logit"
    for one in sl.predict(sl.load(path, resize="squash", **READY), PHOTO):
        assert one.probability == pytest.approx(float(expected[one.index]), abs=1e-5)
        assert one.score == pytest.approx(float(logits[one.index]), abs=1e-4)


def grown(proto, kind, **attributes):
    """The graph with one more step at its end."""
    last = proto.graph.output[0].name
    shape = [one.dim_value or one.dim_param for one in proto.graph.output[0].type.tensor_type.shape.dim]
    del proto.graph.output[:]
    proto.graph.node.append(helper.make_node(kind, [last], [kind], kind, **attributes))
    proto.graph.output.append(helper.make_tensor_value_info(kind, TensorProto.FLOAT, shape))
    return proto


def test_what_torch_cannot_run_is_run_by_onnx_runtime_and_the_error_says_what_remains_and_why(tmp_path):
    proto = grown(onnx.load(saved(tmp_path / "small.onnx", opset=13)), "ThresholdedRelu", alpha=-100.0)
    onnx.save(grown(proto, "Softmax", axis=1), tmp_path / "odd.onnx")
    model = sl.load(tmp_path / "odd.onnx", **READY)
    assert model.readout.score == "logit"  # before the softmax, by ONNX Runtime too
    original = sl.wrap(lambda images: nn.functional.threshold(Small()(images), -100.0, 0), input_size=16, **READY)
    for method, options in (("occlusion", {}), ("rise", {"samples": 16})):
        ours, expected = (sl.attribute(one, IMAGES, 2, method, **options).values for one in (model, original))
        assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()
    with pytest.raises(sl.MethodError) as caught:
        sl.attribute(model, IMAGES, 2, "saliency")
    assert "onnx2torch cannot convert its operator ThresholdedRelu (opset 10)" in str(caught.value)
    assert "Possible here: occlusion, rise" in str(caught.value)
    with pytest.raises(sl.MethodError, match=r"operator ThresholdedRelu.*Possible here: occlusion, rise"):
        sl.attribute(model, IMAGES, 2, "grad-cam")
    assert sl.explain(model, PHOTO, samples=8).method == "rise"


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("free", [True, False])
def test_other_opsets_and_a_fixed_number_of_images(tmp_path, opset, free):
    path = saved(tmp_path / "small.onnx", Small(nn.Softmax(1)), opset=opset, free=free)
    model = sl.load(path, **READY)
    assert model.readout.final == "softmax"
    ours, expected = (sl.attribute(one, IMAGES, 3, "saliency").values for one in (model, Small()))
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("free", [True, False])
def test_exports_by_dynamo_are_converted_in_older_operators(tmp_path, free):
    class Gelu(Small):
        def __init__(self):
            super().__init__()
            self.act = nn.GELU()

    path = saved(tmp_path / "small.onnx", Gelu(), dynamo=True, free=free, external_data=True)
    model = sl.load(path, **READY)
    for method in ("saliency", "layer-cam"):
        layer = ("node_relu", "relu") if method == "layer-cam" else (None, None)
        ours = sl.attribute(model, IMAGES, 3, method, layer=layer[0]).values
        expected = sl.attribute(Gelu(), IMAGES, 3, method, layer=layer[1]).values
        assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("dynamo", [False, True])
def test_the_default_layer_is_no_map_of_attention(tmp_path, dynamo):
    torch.manual_seed(0)
    size = {"img_size": 16, "patch_size": 4, "embed_dim": 12, "depth": 2, "num_heads": 2, "num_classes": 5}
    network = timm.models.VisionTransformer(**size).eval()
    model = sl.load(saved(tmp_path / "vit.onnx", network, dynamo=dynamo, free=False), **READY)
    original = sl.wrap(network, input_size=16, **READY)
    assert original.default_layer == "blocks.1.norm1"
    assert model.default_layer == ("node_layer_norm_2" if dynamo else "/blocks/blocks_1/norm1/LayerNormalization")
    warnings.simplefilter("ignore", sl.SightlineWarning)
    ours, expected = (sl.attribute(one, IMAGES, 3, "grad-cam").values for one in (model, original))
    assert (ours - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("dynamo", [False, True])
def test_nobodys_random_numbers_and_warnings_change_while_a_graph_is_converted(tmp_path, dynamo):
    file = saved(tmp_path / "small.onnx", dynamo=dynamo)
    before = torch.get_rng_state(), list(warnings.filters)
    assert "/act/Relu" in sl.load(file, **READY).layers() or dynamo
    assert torch.equal(torch.get_rng_state(), before[0])
    assert warnings.filters == before[1]


def test_live_graphs_and_sessions(path):
    proto, session = onnx.load(path), onnxruntime.InferenceSession(str(path))
    before = proto.SerializeToString()
    expected = sl.attribute(sl.load(path, **READY), IMAGES, 1, ["saliency", "occlusion"])
    assert torch.equal(
        sl.attribute(sl.wrap(proto, **READY), IMAGES, 1, "saliency").values, expected["saliency"].values
    )
    assert proto.SerializeToString() == before
    boxed = sl.wrap(session, **READY)
    with pytest.warns(sl.SightlineWarning, match="log-probability"):
        heat = sl.attribute(boxed, IMAGES, 1, "occlusion")
    assert heat.values.shape == (3, 1, 16, 16)
    with pytest.raises(sl.MethodError, match=r"an InferenceSession gives none; sl.load\(.*Possible here: occlusion"):
        sl.attribute(boxed, IMAGES, 1, "saliency")


def graph(inputs, nodes, outputs, initializers=()):
    made = helper.make_graph(
        [helper.make_node(*node[:3], f"node{at}", **node[3]) for at, node in enumerate(nodes)], "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in initializers],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


WEIGHTS = np.random.default_rng(0).normal(size=(8 * 8 * 3, 4)).astype(np.float32)


def linear(kind=TensorProto.FLOAT, batch="n", layout="NCHW"):
    """Scores that are a sum of pixels times WEIGHTS, which are channels last."""
    sides = [batch, 8, 8, 3] if layout == "NHWC" else [batch, 3, 8, 8]
    nodes = [("Cast", ["images"], ["a"], {"to": TensorProto.FLOAT})]
    nodes += [("Transpose", ["a"], ["b"], {"perm": [0, 2, 3, 1] if layout == "NCHW" else [0, 1, 2, 3]})]
    nodes += [("Flatten", ["b"], ["c"], {}), ("MatMul", ["c", "weights"], ["scores"], {})]
    return graph(
        [("images", kind, sides)], nodes, [("scores", TensorProto.FLOAT, [batch, 4])], [("weights", WEIGHTS)]
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "UINT8", "DOUBLE"])
def test_the_saliency_of_a_linear_graph_is_its_weights_whatever_its_input_is(layout, kind):
    model = sl.wrap(linear(getattr(TensorProto, kind), layout=layout), resize="squash")
    assert (model.input_size, model.channels) == ((8, 8), 3)
    scale = 255 if kind == "UINT8" else 1
    assert [one.code for one in model.warnings] == ([] if kind == "UINT8" else ["not-normalized"])
    images = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    rows = scale * images.movedim(1, -1).flatten(1) @ torch.from_numpy(WEIGHTS)
    with torch.no_grad():
        assert torch.allclose(model.network(images).float(), rows, rtol=1e-2, atol=scale * 1e-2)
    expected = scale * torch.from_numpy(WEIGHTS)[:, 2].view(8, 8, 3).permute(2, 0, 1)
    heat = sl.attribute(model, images, 2, "saliency")
    assert torch.allclose(heat.values[0].float(), expected, rtol=1e-3, atol=1e-3)


def test_a_fixed_number_of_images_is_kept_to(path):
    model = sl.wrap(linear(batch=2), **READY)
    images = torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        expected = images.movedim(1, -1).flatten(1) @ torch.from_numpy(WEIGHTS)
        assert torch.allclose(model.network(images), expected, atol=1e-4)


@pytest.mark.parametrize("free", [True, False])
def test_a_bare_graph_is_asked_for_as_many_images_as_it_takes(tmp_path, free):
    proto = onnx.load(saved(tmp_path / "small.onnx", dynamo=True, free=free))
    warnings.simplefilter("ignore", sl.SightlineWarning)
    heat = sl.attribute(proto, IMAGES, 3, "fem", layer="node_relu_1")
    expected = sl.attribute(Small(), IMAGES, 3, "fem", layer="act")
    assert (heat.values - expected.values).abs().max() <= 1e-5 * expected.values.abs().max()


def test_several_inputs_and_outputs_go_by_name():
    nodes = [("ReduceMean", ["images"], ["means"], {"axes": [2, 3], "keepdims": 0})]
    nodes += [("Add", ["means", "numbers"], ["main"], {})]
    kinds = [("images", TensorProto.FLOAT, ["n", 3, 8, 8]), ("numbers", TensorProto.FLOAT, ["n", 3])]
    proto = graph(kinds, nodes, [("means", TensorProto.FLOAT, ["n", 3]), ("main", TensorProto.FLOAT, ["n", 3])])
    numbers = torch.tensor([[0.0, 9.0, 0.0]])
    model = sl.wrap(proto, inputs={"numbers": numbers}, output_name="main", **READY)
    assert sl.predict(model, PHOTO)[0].index == 1
    assert sl.explain(model, PHOTO, "saliency", target=0).values[0].sum() == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(sl.NetworkError, match=r"it needs 'numbers' \('n', 3\) too: inputs="):
        sl.predict(sl.wrap(proto, **READY), PHOTO)
    with pytest.raises(sl.NetworkError, match=r"no output 'mian'.*did you mean 'main'"):
        sl.predict(sl.wrap(proto, inputs={"numbers": numbers}, output_name="mian", **READY), PHOTO)


# Files ------------------------------------------------------------------------------------------------------


def external(tmp_path, location, length=WEIGHTS.nbytes, offset=0):
    """A file whose weights are said to lie elsewhere."""
    proto = linear()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": offset, "length": length}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return folder / "m.onnx"


def test_weights_beside_the_file_are_read_and_those_outside_are_not(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(WEIGHTS.tobytes())
    good = external(tmp_path, "weights.bin")
    (good.parent / "weights.bin").write_bytes(WEIGHTS.tobytes())
    assert sl.attribute(sl.load(good, **READY), torch.rand(1, 3, 8, 8), 1, "saliency").values.abs().max() > 0
    (good.parent / "link").symlink_to(secret)
    (good.parent / "folder").symlink_to(tmp_path)
    for location in ("../secret", str(secret), "link", "folder/secret", "C:\\secret", "", "a/../../secret"):
        with pytest.raises(sl.ModelError, match="outside its own folder; it was not read"):
            sl.load(external(tmp_path, location), **READY)
    with pytest.raises(sl.ModelError, match=r"keeps its numbers in 'gone.bin', which is not beside it; bring both"):
        sl.load(external(tmp_path, "gone.bin"), **READY)
    for length, offset in ((WEIGHTS.nbytes, 8), (10**12, 0), (0, 4)):
        with pytest.raises(sl.ModelError, match=r"weights.bin is damaged: it ends before 'weights' does"):
            sl.load(external(tmp_path, "weights.bin", length, offset), **READY)
    with pytest.raises(sl.ModelError, match="begins at '-4'"):
        sl.load(external(tmp_path, "weights.bin", offset=-4), **READY)


def test_a_constant_deep_inside_may_not_reach_outside_either(tmp_path):
    proto, outside = (
        linear(),
        onnx.load(external(tmp_path, "../secret"), load_external_data=False).graph.initializer[0],
    )
    inner = helper.make_graph([helper.make_node("Constant", [], ["x"], value=outside)], "then", [], [])
    proto.graph.node.append(helper.make_node("If", ["scores"], ["y"], then_branch=inner, else_branch=inner))
    (tmp_path / "deep.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(sl.ModelError, match="outside its own folder"):
        sl.load(tmp_path / "deep.onnx", **READY)


def test_tensors_that_say_they_are_larger_than_they_are_or_than_the_limit(tmp_path, monkeypatch):
    proto = linear()
    proto.graph.initializer[0].dims[0] = 10**9
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(sl.ModelError, match=r"'weights' says it holds 16,000,000,000 bytes, and there are 3,072"):
        sl.load(tmp_path / "m.onnx", **READY)
    proto.graph.initializer[0].dims[0] = -1
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(sl.ModelError, match="is damaged: 'weights' has the shape"):
        sl.load(tmp_path / "m.onnx", **READY)
    (tmp_path / "m.onnx").write_bytes(linear().SerializeToString())
    monkeypatch.setenv("SIGHTLINE_MAX_MODEL_BYTES", "3000")
    with pytest.raises(sl.ModelError, match="more than 3,000"):
        sl.load(tmp_path / "m.onnx", **READY)


def test_a_node_whose_name_is_code_runs_nothing(tmp_path):
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    proto = linear()
    proto.graph.node[1].name = f'x"), {code}, ("'
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    heat = sl.attribute(sl.load(tmp_path / "m.onnx", **READY), torch.rand(1, 3, 8, 8), 1, "saliency")
    assert heat.values.abs().max() > 0
    assert not marker.exists()


def test_damaged_files_and_unknown_operators_say_so_and_print_nothing(tmp_path, capfd, path):
    (tmp_path / "no.onnx").write_bytes(b"no graph at all")
    with pytest.raises(sl.ModelError, match=r"no.onnx is no"):
        sl.load(tmp_path / "no.onnx", **READY)
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-300])
    with pytest.raises(sl.ModelError, match=r"cut.onnx is "):
        sl.load(tmp_path / "cut.onnx", **READY)
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(sl.ModelError, match="an empty one"):
        sl.load(tmp_path / "empty.onnx", **READY)
    with pytest.raises(sl.ModelError, match="no model file"):
        sl.load(tmp_path / "none.onnx", **READY)
    proto = linear()
    proto.graph.node[2].op_type = "Flattened"
    with pytest.raises(sl.ModelError, match=r"ONNX Runtime cannot run this graph: .*Flattened"):
        sl.wrap(proto, **READY)
    with pytest.raises(sl.ModelError, match="brings its own weights"):
        sl.load(path, weights=None, **READY)
    assert capfd.readouterr() == ("", "")


def test_without_the_libraries_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    model = sl.load(path, **READY)
    assert sl.predict(model, PHOTO)
    with pytest.raises(sl.MethodError, match=r'pip install "sightline\[onnx\]".*Possible here: occlusion, rise'):
        sl.attribute(model, IMAGES, 1, "saliency")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(sl.ModelError, match=r'pip install "sightline\[onnx\]"'):
        sl.load(path, **READY)


def test_a_graph_of_no_fixed_sizes_takes_channels_last_where_that_is_said(tmp_path):
    free = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", "h", "w", "c"])]
    scores = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "c"])]
    node = helper.make_node("ReduceMean", ["images"], ["scores"], axes=[1, 2], keepdims=0)
    graph = helper.make_model(
        helper.make_graph([node], "means", free, scores), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(graph, tmp_path / "last.onnx")
    model = sl.load(tmp_path / "last.onnx", input_size=16, layout="NHWC", **READY)
    photo = torch.zeros(3, 16, 16)
    photo[1] = 1
    assert sl.predict(model, photo, top=1)[0].index == 1
