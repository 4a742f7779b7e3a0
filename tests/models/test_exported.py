"""Programs of torch.export: the original network's maps, its operations as layers, and files that would run code."""

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import sightline as sl
from sightline.models.exported import ExportedNetwork

IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
READY = {"mean": 0.5, "std": 0.5}


class Small(nn.Module):
    """Two convolutions with batch norm, then `end`; a weight and an operation are called alike."""

    def __init__(self, end=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv2d = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(8, 12, 3, padding=1)
        self.act = nn.ReLU()
        self.linear = nn.Linear(12, 5)
        self.end = end
        self.norm.running_mean.normal_(0, 0.3)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, images):
        maps = self.pool(self.relu(self.norm(self.conv2d(images))))
        scores = self.linear(self.act(self.second(maps)).mean((2, 3)))
        return scores if self.end is None else self.end(scores)


def exported(network, count=2, dynamic=True):
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    return torch.export.export(network.eval(), (torch.rand(count, 3, 16, 16),), dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "small.pt2"
    torch.export.save(exported(Small(nn.Softmax(1))), path)
    return path


CAMS = {one.id for one in sl.methods() if "layer" in one.needs}


@pytest.mark.parametrize("method", [one.id for one in sl.methods() if one.id != "refine-cam"])
def test_every_method_gives_the_map_of_the_original_network(saved, method):
    ours, original = sl.load(saved, **READY), sl.wrap(Small(nn.Softmax(1)), input_size=16, **READY)
    taken = next(one.options for one in sl.methods() if one.id == method)
    options = {name: value for name, value in {"samples": 8, "budget": 40}.items() if name in taken}
    both = [(ours, "relu"), (original, "act")]
    warnings.simplefilter("ignore", sl.SightlineWarning)
    maps = [
        sl.attribute(m, IMAGES, 2, method, layer=at if method in CAMS else None, **options).values for m, at in both
    ]
    assert (maps[0] - maps[1]).abs().max() <= 1e-5 * maps[1].abs().max()
    assert maps[1].abs().max() > 0


def test_layers_are_nodes_and_targets_and_responses_read_them(saved):
    model = sl.load(saved, **READY)
    assert model.layers() == (
        "conv2d", "batch_norm", "relu_", "max_pool2d", "conv2d_1", "relu", "mean", "linear", "softmax"
    )  # fmt: skip
    assert model.default_layer == "relu"
    assert (model.input_size, model.channels, model.readout.score) == ((16, 16), 3, "logit")
    ex = sl.explain(model, IMAGES[0].sigmoid(), "saliency", target=sl.targets.Unit("conv2d_1", 3))
    assert float(ex.values.abs().max()) > 0
    with pytest.raises(sl.LayerError, match="no layer named 'conv3d'; did you mean 'conv2d'"):
        sl.explain(model, IMAGES[0].sigmoid(), layer="conv3d")


@pytest.mark.parametrize(("count", "sealed"), [(1, False), (2, False), (1, True), (2, True)])
def test_a_program_for_so_many_images_takes_any_number(count, sealed):
    class Sealed(nn.Module):
        """Its number of images is a number in the program."""

        def __init__(self):
            super().__init__()
            self.inner = Small()

        def forward(self, images):
            return self.inner(images).reshape(count, 5) + 0

    network = Sealed() if sealed else Small()
    model = sl.wrap(exported(network, count, dynamic=False), **READY)
    assert model.batch_size == (count if sealed else None)
    with torch.no_grad():
        assert torch.allclose(model.network(IMAGES), Small().eval()(IMAGES), atol=1e-5)
    warnings.simplefilter("ignore", sl.SightlineWarning)
    if sealed and count > 1:
        with pytest.raises(sl.MethodError, match="exported for exactly 2 images at once; export it for one"):
            sl.attribute(model, IMAGES, 1, "grad-cam")
    for method in ("saliency",) if sealed and count > 1 else ("saliency", "grad-cam"):
        layer = {"grad-cam": "relu"}.get(method)
        expected = sl.attribute(Small().eval(), IMAGES, 1, method, layer="act" if layer else None)
        heat = sl.attribute(model, IMAGES, 1, method, layer=layer)
        assert (heat.values - expected.values).abs().max() <= 1e-5 * expected.values.abs().max()


def test_several_inputs_and_outputs_go_by_name():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Small()

        def forward(self, numbers, picture):
            scores = self.inner(picture)
            return {"main": scores + numbers, "aux": scores}

    given = (torch.zeros(2, 5), torch.rand(2, 3, 16, 16))
    program = torch.export.export(Two().eval(), given)
    numbers = torch.tensor([[0.0, 9.0, 0.0, 0.0, 0.0]])
    model = sl.wrap(program, inputs={"numbers": numbers}, output_name="main", **READY)
    assert sl.predict(model, IMAGES[0].sigmoid())[0].index == 1
    with pytest.raises(sl.NetworkError, match=r"was given \['picture'\]; it needs 'numbers' \(2, 5\) too"):
        sl.predict(sl.wrap(program, **READY), IMAGES[0].sigmoid())
    with pytest.raises(sl.NetworkError, match=r"it has no other than \['numbers', 'picture'\]"):
        sl.predict(sl.wrap(program, inputs={"numbers": numbers, "more": numbers}, **READY), IMAGES[0].sigmoid())


def test_a_program_that_was_exported_while_training_is_refused():
    class Dropping(nn.Module):
        def forward(self, images):
            return nn.functional.dropout(images, 0.5, True).mean((2, 3))

    with pytest.raises(sl.ModelError, match=r"exported while training \(dropout says so\).*network.eval\(\)"):
        sl.wrap(torch.export.export(Dropping(), (torch.rand(1, 3, 8, 8),)), **READY)


def test_the_users_program_is_left_as_it_was():
    program = exported(Small())
    before = str(program.graph), {name: one.clone() for name, one in program.state_dict.items()}
    warnings.simplefilter("ignore", sl.SightlineWarning)
    sl.attribute(sl.wrap(program, **READY), IMAGES, 1, ["grad-cam", "saliency"])
    assert str(program.graph) == before[0]
    assert all(torch.equal(one, before[1][name]) for name, one in program.state_dict.items())
    assert isinstance(sl.wrap(program, **READY).network, ExportedNetwork)


# Files ------------------------------------------------------------------------------------------------------


class Evil:
    """A pickle of it touches a file where it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


def changed(path, tmp_path, change):
    """A copy of the file, whose members {name without folder: bytes} went through `change`."""
    out = tmp_path / "changed.pt2"
    with zipfile.ZipFile(path) as archive:
        members = {one.filename.partition("/")[2]: archive.read(one) for one in archive.infolist()}
    change(members)
    writer = torch._C.PyTorchFileWriter(str(out))  # as torch aligns them
    for name, content in members.items():
        if name not in (".data/serialization_id", ".data/version"):
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return out


def program_of(members):
    return json.loads(members["models/model.json"])


def with_program(members, found):
    members["models/model.json"] = json.dumps(found).encode()


def a_pickled_input(members, marker):
    members["data/sample_inputs/model.pt"] = pickle.dumps((Evil(marker),), protocol=2)


def a_pickled_input_of_torch(members, marker):
    file = io.BytesIO()
    torch.save((Evil(marker),), file)
    members["data/sample_inputs/model.pt"] = file.getvalue()


def a_pickled_weight(members, marker):
    config = json.loads(members["data/weights/model_weights_config.json"])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    file = io.BytesIO()
    torch.save(Evil(marker), file)
    members[f"data/weights/{first['path_name']}"] = file.getvalue()
    members["data/weights/model_weights_config.json"] = json.dumps(config).encode()


def an_opaque_constant(members, marker):
    meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    members["data/constants/opaque_obj_0"] = pickle.dumps(Evil(marker))
    members["data/constants/model_constants_config.json"] = json.dumps({"config": {"c": meta}}).encode()


def a_size_that_is_code(members, marker):
    text = json.dumps(program_of(members))
    assert '"expr_str": "' in text
    code = f"(lambda: __import__('pathlib').Path({str(marker)!r}).touch())()"
    head, _, rest = text.partition('"expr_str": "')
    members["models/model.json"] = (head + '"expr_str": ' + json.dumps(code) + rest[rest.index('"') + 1 :]).encode()


def an_operator_of_another_kind(members, marker):
    found = program_of(members)
    node = found["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.os.system"
    node["inputs"] = [{"name": "command", "arg": {"as_string": f"touch {marker}"}, "kind": 1}]
    with_program(members, found)


def a_file_that_is_read(members, marker):
    found = program_of(members)
    found["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"
    with_program(members, found)


def a_node_whose_name_is_code(members, marker):
    text = members["models/model.json"].decode()
    name = f"relu; open({str(marker)!r}, 'w') #"
    assert '"name": "relu"' in text
    members["models/model.json"] = text.replace('"name": "relu"', '"name": ' + json.dumps(name)).encode()


def a_weight_whose_name_is_code(members, marker):
    name = 'x")(open(' + repr(str(marker)) + ', "w'
    for file in ("models/model.json", "data/weights/model_weights_config.json"):
        members[file] = members[file].replace(b'"linear.weight"', json.dumps(name).encode())


def inputs_of_another_type(members, marker):
    found = program_of(members)
    signature = found["graph_module"]["module_call_graph"][0]["signature"]
    context = json.dumps({"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []})
    spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
    signature["in_spec"] = json.dumps([1, spec])
    with_program(members, found)


HOSTILE = {
    a_pickled_input: "more than tensors in 'model.pt'",
    a_pickled_input_of_torch: "more than tensors in 'model.pt'",
    a_pickled_weight: "more than tensors in 'weight_0'",
    an_opaque_constant: "a pickled object, 'opaque_obj_0'",
    a_size_that_is_code: "a size that is code",
    an_operator_of_another_kind: "a call of 'torch.os.system', which is no operator of torch's own",
    a_file_that_is_read: "a call of 'torch.ops.aten.from_file.default'",
    a_node_whose_name_is_code: "a name that is code",
    a_weight_whose_name_is_code: "a name that is code",
    inputs_of_another_type: "inputs or outputs of the type 'collections.defaultdict'",
}


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_what_would_run_code_is_refused_before_torch_reads_it(saved, tmp_path, change):
    marker = tmp_path / "ran"
    path = changed(saved, tmp_path, lambda members: change(members, marker))
    with pytest.raises(sl.ModelError, match=r"changed.pt2 holds ") as caught:
        sl.load(path, **READY)
    assert HOSTILE[change] in str(caught.value)
    assert "allow_code_execution=True" in str(caught.value)
    assert not marker.exists()


def test_the_crafted_files_do_run_code_where_the_user_allows_it(saved, tmp_path):
    for change in (a_pickled_weight, a_size_that_is_code):
        marker = tmp_path / change.__name__
        path = changed(saved, tmp_path, lambda members, change=change, marker=marker: change(members, marker))
        with pytest.raises(sl.ModelError, match=r"cannot load changed.pt2"):  # what it made is no network
            sl.load(path, allow_code_execution=True, **READY)
        assert marker.exists()


@pytest.mark.parametrize(
    "text",
    [
        "s77", "2*s0 + 1", "s0//2", "Mul(Integer(2), Symbol('s77', positive=True, integer=True))",
        "Add(Pow(Symbol('s1', integer=True), Integer(2)), Integer(-1))", "FloorDiv(s0 - 1, 2) + 1", "Max(1, s3)",
    ],
)  # fmt: skip
def test_sizes_are_sums(saved, tmp_path, text):
    from sightline.models.exported_files import _check_expression

    _check_expression(text, saved)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "s77.__class__", "(lambda: 0)()", "Symbol('__import__(1)')", "Add('s0+f()')", "9**9**9",
        "Pow(9, Pow(9, 9))", "Pow(9, 999999999)", "[s0 for s0 in (1,)]", "exec", "Symbol(*s0)", "Integer(**s0)",
        "f's{s0}'", "s0 if s1 else s2", "s0; s1", "Integer('1')", "eval('1')", "s0(1)",
    ],
)  # fmt: skip
def test_sizes_that_are_more_are_refused(saved, text):
    from sightline.models.exported_files import _check_expression

    with pytest.raises(sl.ModelError, match="a size that is"):
        _check_expression(text, saved)


def test_a_compiled_package_is_refused_by_name(saved, tmp_path):
    def compiled(members):
        members["data/aotinductor/model/kernel.so"] = b"\x7fELF"

    with pytest.raises(sl.ModelError, match=r"holds compiled code, 'changed/data/aotinductor/model/kernel.so'"):
        sl.load(changed(saved, tmp_path, compiled), **READY)


def test_damaged_files_say_so_and_print_nothing(saved, tmp_path, capfd):
    def cut(members):
        members["models/model.json"] = members["models/model.json"][:-20]

    def without(members):
        del members["data/weights/weight_0"]

    def another_version(members):
        found = program_of(members)
        found["schema_version"]["major"] = 99
        with_program(members, found)

    for change, said in (
        (cut, "is damaged: model.json says nothing"),
        (without, "cannot load changed.pt2"),
        (another_version, r"cannot load changed.pt2: .*version"),
    ):
        with pytest.raises(sl.ModelError, match=said):
            sl.load(changed(saved, tmp_path, change), **READY)
    (tmp_path / "no.pt2").write_bytes(b"nothing")
    with pytest.raises(sl.ModelError, match=r"no.pt2 is no intact archive"):
        sl.load(tmp_path / "no.pt2", **READY)
    with pytest.raises(sl.ModelError, match="no model file"):
        sl.load(tmp_path / "none.pt2", **READY)
    assert capfd.readouterr() == ("", "")


def test_weights_that_would_fill_the_memory_are_refused(saved, tmp_path):
    def huge(members):
        config = json.loads(members["data/weights/model_weights_config.json"])
        first = next(iter(config["config"].values()))
        first["tensor_meta"]["sizes"] = [{"as_int": 2**40}]
        members[f"data/weights/{first['path_name']}"] = b""
        members["data/weights/model_weights_config.json"] = json.dumps(config).encode()

    with pytest.raises(sl.ModelError, match="would expand to 1,099,511,627,776 bytes"):
        sl.load(changed(saved, tmp_path, huge), **READY)
