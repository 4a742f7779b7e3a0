"""timm: photos, labels and answers as timm itself has them, checkpoints of a training, and what cannot be had."""

import random
import sys
import warnings
from argparse import Namespace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import sightline as sl
from sightline.models.pytorch_image_models import known_timm

SMALL = "resnet10t"
SHAPES = [(231, 317), (500, 120), (176, 176), (60, 200), (333, 332)]


def photo(height=231, width=317, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def loaded(name=SMALL, **options):
    return sl.load(f"timm/{name}", **{"weights": None} | options)


def quietly(verb, *given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return verb(*given, **options)


def transform_of(network, **args):
    config = timm.data.resolve_data_config(args, model=network)
    return timm.data.create_transform(**config, is_training=False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "says",
    [
        {},
        {"crop_pct": 1.0, "interpolation": "bilinear"},
        {"crop_pct": 0.9, "crop_mode": "squash"},
        {"crop_pct": 1.0, "crop_mode": "squash"},
        {"crop_pct": 1.0, "crop_mode": "border"},
        {"crop_pct": 0.8, "crop_mode": "border"},
        {"input_size": (3, 96, 128)},
        {"input_size": (3, 130, 64), "crop_mode": "border", "mean": (0.1, 0.5, 0.7)},
        {"input_size": (3, 96, 128), "crop_mode": "squash", "std": (0.2, 0.3, 0.4), "interpolation": "lanczos"},
    ],
    ids=str,
)
def test_a_photo_is_shown_to_the_bit_as_timm_shows_it(says, shape):
    network = timm.create_model(SMALL).eval()
    network.pretrained_cfg = {**network.pretrained_cfg, **says}
    model = sl.wrap(network)
    given = photo(*shape)
    ours, _ = model.tensor(sl.open_photo(given))
    assert torch.equal(ours, transform_of(network)(given))


def test_answers_are_timms_own():
    model = loaded()
    network = timm.create_model(SMALL).eval()
    network.load_state_dict(model.network.state_dict())
    with torch.no_grad():
        expected = network(transform_of(network)(photo())[None])[0].softmax(0)
    labels = timm.data.ImageNetInfo().label_descriptions()
    for one in sl.predict(model, photo(), top=5):
        assert one.probability == pytest.approx(float(expected[one.index]), abs=1e-6)
        assert one.label == labels[one.index]
    assert [one.index for one in sl.predict(model, photo())] == expected.topk(5).indices.tolist()


def test_random_weights_are_the_same_each_time_and_no_dice_are_touched():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    one, other = loaded(), loaded()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])
    other = other.network.state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.network.state_dict().items())


def test_a_live_network_says_all_of_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = sl.wrap(timm.create_model(SMALL))
        sl.predict(model, photo())
    assert (model.input_size, model.channels, model.labels[0]) == ((176, 176), 3, "tench, Tinca tinca")
    assert (model.mean, model.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (model.geometry.short, model.geometry.interpolation) == (201, "bicubic")
    own = sl.wrap(timm.create_model(SMALL, num_classes=7), input_size=64, resize="pad", labels=["abcdefg"] * 7)
    assert (own.input_size, own.geometry.resize, len(own.labels)) == ((64, 64), "pad", 7)
    assert sl.wrap(timm.create_model(SMALL, num_classes=7)).labels is None


def test_what_is_not_timms_is_not_recognised():
    assert known_timm(nn.Linear(1, 1)) is None
    assert known_timm(lambda images: images) is None


def test_labels_follow_the_classes():
    assert len(loaded("vit_tiny_patch16_224.augreg_in21k").labels) == 21843
    network = timm.create_model(SMALL, num_classes=2)
    network.pretrained_cfg = {
        **network.pretrained_cfg,
        "num_classes": 2,
        "label_names": ["n1", "n2"],
        "label_descriptions": {"n1": "cat"},
    }
    assert sl.wrap(network).labels == ("cat", "n2")


def test_options_of_the_architecture():
    model = loaded(num_classes=3, in_chans=1, input_size=(64, 96), labels=["a", "b", "c"])
    assert (model.channels, model.input_size, model.labels) == (1, (64, 96), ("a", "b", "c"))
    assert model.mean == (pytest.approx(0.449),)
    grey = np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)
    ex = quietly(sl.explain, model, Image.fromarray(grey))
    assert ex.label in ("a", "b", "c")
    assert tuple(ex.values.shape) == (1, 64, 96)
    bigger = loaded("vit_tiny_patch16_224", input_size=(64, 96))
    assert (bigger.input_size, bigger.network.patch_embed.grid_size) == ((64, 96), (4, 6))


FILES = {
    "tensors.safetensors": save_file,
    "tensors.pth": torch.save,
    "training.pth.tar.pt": lambda state, path: torch.save(
        {"state_dict": {f"module.{name}": one for name, one in state.items()}, "args": Namespace(lr=1)},
        path,
    ),
    "model.pt": lambda state, path: torch.save({"model": {f"_orig_mod.{n}": one for n, one in state.items()}}, path),
    "averaged.pth": lambda state, path: torch.save(
        {"state_dict": {name: one * 0 for name, one in state.items()}, "state_dict_ema": state}, path
    ),
}


@pytest.mark.parametrize("file", FILES)
def test_a_checkpoint_says_how_many_classes_there_are(file, tmp_path):
    torch.manual_seed(5)
    state = timm.create_model(SMALL, num_classes=7).state_dict()
    FILES[file](state, tmp_path / file)
    model = loaded(weights=tmp_path / file, labels=list("abcdefg"))
    assert model.labels == tuple("abcdefg")
    assert all(torch.equal(one, state[name]) for name, one in model.network.state_dict().items())
    assert loaded(weights=str(tmp_path / file), num_classes=7).labels is None


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    save_file(timm.create_model("resnet14t", num_classes=7).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(sl.ModelError, match=r"other.safetensors does not fit this network: .* not in the network"):
        loaded(weights=tmp_path / "other.safetensors")
    torch.save({"state_dict": timm.create_model(SMALL), "evil": timm.create_model}, tmp_path / "whole.pth")
    with pytest.raises(sl.ModelError, match=r"whole.pth holds more than tensors.*allow_code_execution=True"):
        loaded(weights=tmp_path / "whole.pth")
    with pytest.raises(sl.ModelError, match=r"no weights file 'absent.pth'"):
        loaded(weights="absent.pth")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ResNet50", {}, "timm has no architecture 'ResNet50'; did you mean 'resnet50'"),
        ("resnet500", {}, "timm has no architecture 'resnet500'; did you mean 'resnet50'"),
        ("resnet50.a9_in1k", {}, "timm/resnet50 has no weights 'a9_in1k'; did you mean"),
        ("resnet50", {"weights": "a9_in1k"}, "timm/resnet50 has no weights 'a9_in1k'"),
        (SMALL, {"nun_classes": 3}, "timm/resnet10t: no option 'nun_classes'; did you mean 'num_classes'"),
        (SMALL, {"features_only": True}, "no option 'features_only'; possible: in_chans, input_size"),
        (SMALL, {"num_classes": 0}, "num_classes=0; it has to be 1 or more"),
        (SMALL, {"in_chans": "3"}, "in_chans='3'"),
        (SMALL, {"input_size": (9, 9, 9)}, "could not be built with .*input_size"),
        ("vit_tiny_patch16_224", {"input_size": "big"}, "could not be built with .*'big'"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_is_near(name, options, said):
    with pytest.raises(sl.ModelError, match=said):
        loaded(name, **options)


def test_published_weights_are_fetched_by_one_look_at_the_hub(monkeypatch, tmp_path):
    published = timm.create_model("resnet10t", pretrained=False)
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def hub(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    model = sl.load("timm/resnet10t")
    assert asked == [("timm/resnet10t.c3_in1k", ["model.safetensors"])]
    assert torch.equal(model.network.conv1[0].weight, published.conv1[0].weight)


def test_weights_that_cannot_be_fetched_name_what_works_without_a_network(monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(sl.ModelError, match=r"could not be fetched \(no route to host\).*'demo', weights=None"):
        loaded(weights="default")


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(sl.ModelError, match=r'pip install "sightline\[timm\]"'):
        loaded()


def test_an_architecture_without_classes_answers_with_an_embedding():
    model = loaded("vit_small_patch14_dinov2", input_size=28)
    assert [one.code for one in model.warnings] == ["no-classes"]
    with pytest.raises(sl.TargetError, match="an embedding ranks nothing"):
        sl.explain(model, photo())
    other = model.network(model.tensor(sl.open_photo(photo(seed=1)))[0][None])[0].detach()
    ex = quietly(sl.explain, model, photo(), "saliency", target=sl.targets.Similar(other))
    assert float(ex.values.abs().max()) > 0


FAMILIES = ("mobilenetv3_small_100", "convnext_atto", "mobilevit_xxs", "deit_tiny_distilled_patch16_224")
MORE = (
    *("resnet50", "regnety_002", "efficientnet_b0", "ghostnet_100", "coatnet_nano_rw_224", "maxvit_tiny_rw_224"),
    *("levit_128s", "efficientformer_l1", "vit_small_patch16_224", "beit_base_patch16_224", "cait_xxs24_224"),
    *("xcit_nano_12_p16_224", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "pvt_v2_b0"),
    *("mixer_s32_224", "resmlp_12_224", "gmlp_s16_224", "poolformer_s12", "hiera_tiny_224", "davit_tiny"),
)


@pytest.mark.parametrize("name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.matrix) for name in MORE)])
def test_each_family_is_explained_in_one_line(name):
    model = loaded(name)
    head = model.network.get_classifier()
    for layer in head if isinstance(head, tuple) else (head,):
        nn.init.normal_(
            getattr(layer, "linear", layer).weight, std=0.05
        )  # some start at zero, where no score depends on anything
    ex = quietly(sl.explain, model, photo())
    assert ex.method == "grad-cam"
    assert float(ex.values.abs().max()) > 0
    assert len(ex.predictions) == 5
