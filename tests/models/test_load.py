"""`sl.load`: torchvision by name, weight files that are data and never code, and a user's own factory."""

import pickle
import random
from argparse import Namespace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

import sightline as sl

SMALL = "torchvision/shufflenet_v2_x0_5"


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def other():
    """A state dict for SMALL that is not what `weights=None` gives."""
    torch.manual_seed(7)
    return models.shufflenet_v2_x0_5(weights=None).state_dict()


# torchvision ------------------------------------------------------------------------------------------------


def test_random_weights_are_the_same_each_time_and_no_global_generator_is_touched():
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    one, two = sl.load(SMALL, weights=None), sl.load(SMALL, weights=None)
    assert equal(state_of(one), state_of(two))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert not one.network.training


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_networks_that_initialize_themselves_are_the_same_each_time_too(name):
    before = torch.get_rng_state()
    one, two = (sl.load(f"torchvision/{name}", weights=None) for _ in range(2))
    assert equal(state_of(one), state_of(two))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.network.transform_input


PHOTOS = [(300, 200), (200, 333), (64, 48), (500, 224), (1, 1), (97, 97)]


@pytest.mark.parametrize(
    "name", ["resnet50", "vit_b_16", "efficientnet_b0", "convnext_tiny", "inception_v3", "swin_t", "regnet_y_400mf"]
)
def test_a_photo_goes_in_as_the_weights_own_transform_has_it_and_the_labels_are_theirs(name):
    model = sl.load(f"torchvision/{name}", weights=None)
    entry = models.get_model_weights(name).DEFAULT
    dice = np.random.default_rng(0)
    for size in PHOTOS:
        photo = Image.fromarray(dice.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        ours, _ = model.tensor(sl.open_photo(photo))
        theirs = entry.transforms()(photo)
        assert ours.shape == theirs.shape
        assert torch.equal(ours, theirs), size
    assert model.labels == tuple(entry.meta["categories"])
    assert model.label(281) == "tabby"


def test_a_prediction_is_that_of_the_network_on_the_weights_own_transform():
    model = sl.load(SMALL, weights=None)
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8))
    entry = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    scores = model.network(entry.transforms()(photo)[None]).detach()[0]
    best, second = sl.predict(model, photo, top=2)
    assert [best.index, second.index] == scores.topk(2).indices.tolist()
    assert best.score == pytest.approx(float(scores.max()), abs=1e-6)
    assert best.probability == pytest.approx(float(scores.softmax(0).max()), abs=1e-7)
    assert best.label == entry.meta["categories"][best.index]


def test_a_model_tells_what_it_is():
    model = sl.load(SMALL, weights=None)
    assert repr(model) == f"Model({SMALL!r}, 224x224, 1000 labels, crop)"
    assert model.source == SMALL
    assert model.warnings == ()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("torchvision/resnet51", r"no model 'resnet51'.*; did you mean 'resnet\d+'"),
        ("torchvision/ResNet18", "did you mean 'resnet18'"),
        ("resnet50", "no model 'resnet50'; did you mean 'torchvision/resnet50'"),
        ("rsnt", r"no model 'rsnt'; possible: demo, .*torchvision/NAME, .*package\.module:factory"),
        ("torchvision/", "no model 'torchvision/'; did you mean 'torchvision/NAME'"),
        ("timm", "no model 'timm'; did you mean 'timm/NAME'"),
        ("", "no model ''; possible"),
        (" Demo", "no model ' Demo'; did you mean 'demo'"),
        ("demo/ball", "no model 'demo/ball'; did you mean 'demo'"),
        ("torchvison/resnet50", "no model 'torchvison/resnet50'; did you mean 'torchvision/resnet50'"),
        ("TorchVision/resnet50", "did you mean 'torchvision/resnet50'"),
        ("some/model.onx", "no model 'some/model.onx'; did you mean 'some/model.onnx'"),
        ("https://example.org/model.onnx", "is an address, from which nothing is fetched; download it"),
        ("torchvision/raft_small", "no model .* that classifies, segments or detects"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_what_is_possible(source, said):
    with pytest.raises(sl.ModelError, match=said):
        sl.load(source, weights=None)


@pytest.mark.parametrize("ending", [".onnx", ".pt2", ".pt", ".ts", ".h5", ".keras"])
def test_a_file_that_is_not_there_is_refused_with_near_misses(tmp_path, ending):
    (tmp_path / f"balls{ending}").touch()
    with pytest.raises(sl.ModelError, match=rf"no model file .*bals{ending}'; did you mean 'balls{ending}'"):
        sl.load(tmp_path / f"bals{ending}")
    with pytest.raises(sl.ModelError, match=r"there is no folder .*elsewhere"):
        sl.load(tmp_path / "elsewhere" / f"balls{ending}")


def test_a_folder_is_told_from_a_file(tmp_path):
    (tmp_path / "saved.onnx").mkdir()
    with pytest.raises(sl.ModelError, match="is a folder, and no model file"):
        sl.load(tmp_path / "saved.onnx")
    with pytest.raises(sl.ModelError, match=f"it is a folder: 'hf/{tmp_path}'"):
        sl.load(tmp_path)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", 2.5])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(device, monkeypatch):
    monkeypatch.setattr("sightline.models.sources.part_of", lambda where: pytest.fail("it was loaded"))
    with pytest.raises(sl.ModelError, match=f"device='{device}'"):
        sl.load(SMALL, device=device)


@pytest.mark.parametrize("source", [5, None, models.resnet18])
def test_what_is_no_name_is_sent_to_wrap(source):
    with pytest.raises(sl.ModelError, match=r"sl\.wrap"):
        sl.load(source)


def test_options_that_a_source_settles_itself_are_refused():
    with pytest.raises(sl.ModelError, match=r"brings its own preprocessing; \['mean'\] do not apply"):
        sl.load(SMALL, weights=None, mean=0.5)
    with pytest.raises(sl.ModelError, match=r"brings its own preprocessing; \['input_size'\] do not apply"):
        sl.load("demo", input_size=64)


def test_an_unknown_entry_of_weights_is_refused_with_near_misses():
    with pytest.raises(sl.ModelError, match="has no weights 'IMAGENET1K_V3'; did you mean 'IMAGENET1K_V1'"):
        sl.load(SMALL, weights="IMAGENET1K_V3")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def unreachable(*_args, **_kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)


@pytest.mark.parametrize("weights", ["default", "IMAGENET1K_V1", models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1])
def test_without_weights_and_without_a_network_the_error_names_the_embedded_model(offline, weights):
    with pytest.raises(sl.ModelError, match=r"could not be fetched .*'demo', weights=None for random ones"):
        sl.load(SMALL, weights=weights)


def test_a_damaged_download_in_the_cache_is_a_clear_error(offline, tmp_path):
    entry = models.get_model_weights("shufflenet_v2_x0_5").DEFAULT
    place = tmp_path / "hub" / "checkpoints" / Path(entry.url).name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half a file")
    with pytest.raises(sl.ModelError, match="not at hand"):
        sl.load(SMALL)


# Files of weights -------------------------------------------------------------------------------------------


def test_a_safetensors_file_comes_back_to_the_bit(other, tmp_path):
    save_file(other, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        assert equal(state_of(sl.load(SMALL, weights=path)), other)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("inside", [None, "state_dict", "model"])
def test_a_state_dict_comes_back_to_the_bit(other, tmp_path, suffix, inside):
    path = tmp_path / f"w{suffix}"
    torch.save(other if inside is None else {inside: other, "epoch": 3}, path)
    assert equal(state_of(sl.load(SMALL, weights=path)), other)


def test_weights_in_half_precision_are_taken_in_the_networks_own(other, tmp_path):
    save_file({n: t.half() if t.is_floating_point() else t for n, t in other.items()}, tmp_path / "w.safetensors")
    state = state_of(sl.load(SMALL, weights=tmp_path / "w.safetensors"))
    assert state["fc.weight"].dtype == torch.float32
    assert torch.equal(state["fc.weight"], other["fc.weight"].half().float())


def test_the_demo_takes_weights_of_its_own(tmp_path):
    demo = sl.load("demo")
    changed = {name: tensor * 2 for name, tensor in demo.network.state_dict().items()}
    save_file(changed, tmp_path / "w.safetensors")
    assert equal(state_of(sl.load("demo", weights=tmp_path / "w.safetensors")), changed)


def without(state, *names):
    return {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "fc.bias"), "does not fit this network: 1 missing, such as fc.bias"),
        (lambda s: {**s, "head.bias": torch.zeros(3)}, "1 not in the network, such as head.bias"),
        (
            lambda s: {**s, "fc.bias": torch.zeros(10)},
            r"1 of another shape, such as fc.bias \(10,\) instead of \(1000,\)",
        ),
        (lambda s: {f"net.{n}": t for n, t in s.items()}, r"\d+ missing, such as .*; \d+ not in the network"),
        (lambda _s: {}, r"\d+ missing"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_that_do_not_fit_are_refused_by_name(other, tmp_path, change, said, suffix):
    path = tmp_path / f"w{suffix}"
    save_file(change(other), path) if suffix == ".safetensors" else torch.save(change(other), path)
    with pytest.raises(sl.ModelError, match=said):
        sl.load(SMALL, weights=path)


@pytest.mark.parametrize("around", ["state_dict", "model", "model_ema", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_a_trainings_checkpoint_gives_its_weights_the_averaged_ones_first(other, tmp_path, around, prefix):
    plain = {name: tensor * 0 for name, tensor in other.items()}
    whole = {around: {prefix + name: tensor for name, tensor in other.items()}, "epoch": 3, "args": Namespace(lr=0.1)}
    if around.endswith("ema"):
        whole["state_dict"] = whole["model"] = plain
    torch.save(whole, tmp_path / "last.pth")
    assert equal(state_of(sl.load(SMALL, weights=tmp_path / "last.pth")), other)


class Trap:
    """Unpickled, it creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4:UserWarning")
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("how", ["torch", "pickle", "inside"])
def test_a_pickle_with_code_in_it_is_refused_and_does_not_run(other, tmp_path, suffix, how):
    path, marker = tmp_path / f"w{suffix}", tmp_path / "the code ran"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(marker)))
    else:
        torch.save(Trap(marker) if how == "torch" else {**other, "extra": Trap(marker)}, path)
    with pytest.raises(sl.ModelError, match="can run any code on this machine"):
        sl.load(SMALL, weights=path)
    assert not marker.exists()


def test_a_whole_network_in_a_pickle_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(sl.ModelError, match="was not loaded"):
        sl.load(SMALL, weights=tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.safetensors", b"not a file of tensors", "no intact safetensors file"),
        ("w.safetensors", b"", "no intact safetensors file"),
        ("w.pt", b"", "damaged"),
        ("w.pt", b"text", "damaged"),
        ("w.pth", b"PK\x03\x04 half a zip", "damaged"),
        ("w.bin", b"x", r"weights come as .safetensors, .pt or .pth"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(sl.ModelError, match=said):
        sl.load(SMALL, weights=tmp_path / name)


def test_a_truncated_file_is_refused(other, tmp_path):
    save_file(other, tmp_path / "w.safetensors")
    torch.save(other, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(sl.ModelError, match=r"damaged|intact"):
            sl.load(SMALL, weights=tmp_path / name)


def test_something_else_than_tensors_is_refused(tmp_path):
    for content in ([torch.zeros(1)], {"fc.bias": 3}, 5):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(sl.ModelError, match="not a dictionary of tensors"):
            sl.load(SMALL, weights=tmp_path / "w.pt")


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    for path in (tmp_path / "absent.safetensors", tmp_path / "folder.pt"):
        with pytest.raises(sl.ModelError, match="no weights file"):
            sl.load(SMALL, weights=path)


@pytest.mark.parametrize("weights", [5, True, b"w.pt", {"fc.bias": torch.zeros(1000)}])
def test_weights_of_another_kind_are_refused(weights):
    with pytest.raises(sl.ModelError, match="weights"):
        sl.load(SMALL, weights=weights)


# A user's own factory ---------------------------------------------------------------------------------------

OWN = """
import torch
from torch import nn
import sightline as sl


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        return self.head(self.conv(images).mean((2, 3)))


def network():
    torch.manual_seed(0)
    return Net()


instance = network()


def model():
    return sl.wrap(network(), input_size=(8, 12), mean=0.5, std=0.25, labels=["no", "yes"], resize="squash")


def scorer():
    return lambda images: images.mean((2, 3))


def broken():
    raise KeyError("the weights are gone")


def nothing():
    return None


def needs(argument):
    return network()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


OPTIONS = {"input_size": (8, 12), "mean": 0.5, "std": 0.25}


@pytest.mark.parametrize("made", ["network", "Net", "instance"])
def test_a_factory_a_class_and_a_network_all_give_a_network(own, made):
    model = sl.load(f"{own}:{made}", **OPTIONS, labels=["no", "yes"])
    assert type(model.network).__name__ == "Net"
    assert repr(model) == f"Model('{own}:{made}', 8x12, 2 labels, crop)"
    photo = torch.rand(3, 8, 12)
    answers = sl.predict(model, photo)
    assert sorted(one.label for one in answers) == ["no", "yes"]


def test_a_factory_may_make_a_model_that_brings_everything(own):
    model = sl.load(f"{own}:model")
    assert (model.input_size, model.labels, model.mean) == ((8, 12), ("no", "yes"), (0.5, 0.5, 0.5))
    assert model.source == f"{own}:model"
    with pytest.raises(
        sl.ModelError, match=r"made a Model, which has its own options; \['input_size'\] do not apply"
    ):
        sl.load(f"{own}:model", input_size=8)


def test_a_factory_may_make_a_function(own):
    model = sl.load(f"{own}:scorer", input_size=(8, 12), resize="squash")
    photo = torch.zeros(3, 8, 12)
    photo[1] = 0.5
    best = sl.predict(model, photo)[0]
    assert (best.index, best.score) == (1, pytest.approx(0.5, abs=0.01))
    with pytest.raises(sl.ModelError, match="made a function, which takes no weights"):
        sl.load(f"{own}:scorer", input_size=8, weights="w.pt")


def test_a_factorys_network_takes_a_file_of_weights(own, tmp_path):
    changed = {n: t + 1 for n, t in sl.load(f"{own}:network", **OPTIONS).network.state_dict().items()}
    save_file(changed, tmp_path / "w.safetensors")
    path = str(tmp_path / "w.safetensors")
    assert equal(state_of(sl.load(f"{own}:network", weights=path, **OPTIONS)), changed)
    assert equal(state_of(sl.load(f"{own}:model", weights=path)), changed)


def test_what_can_go_wrong_with_a_factory_is_said(own, tmp_path):
    wrong = {
        f"{own}:broken": r":broken\(\) failed: KeyError: 'the weights are gone'",
        f"{own}:needs": r":needs\(\) failed: TypeError: .*argument",
        f"{own}:netwrk": "has no 'netwrk'; did you mean 'network'",
        f"{own}:network": "unknown input size; give input_size=224",
        "no_such_module_here:network": "cannot import 'no_such_module_here'.*Is it on the path",
        ":network": "no model|cannot import|importing",
        f"{own}:": "has no ''",
    }
    for source, said in wrong.items():
        with pytest.raises(sl.ModelError, match=said):
            sl.load(source)


def test_a_factory_that_gives_nothing_usable_is_refused(own):
    with pytest.raises(sl.SightlineError, match="a NoneType is neither"):
        sl.load(f"{own}:nothing", **OPTIONS)


def test_a_module_that_fails_while_it_is_imported_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "fails_on_import.py").write_text("raise ValueError('no licence file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(sl.ModelError, match=r"fails_on_import.*no licence file"):
        sl.load("fails_on_import:network", **OPTIONS)
