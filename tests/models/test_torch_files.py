"""TorchScript, live and in files, and what torch.save wrote, as models themselves."""

import warnings

import pytest
import torch
from torch import nn

import sightline as sl

PHOTO = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
READY = {"input_size": 8, "mean": 0.5, "std": 0.5}


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    return nn.Sequential(*layers).eval()


def scripted(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on TorchScript's end
        return torch.jit.script(network()) if how == "script" else torch.jit.trace(network(), IMAGES)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_live_torchscript_takes_every_method_without_layers(how):
    model, original = sl.wrap(scripted(how), **READY), sl.wrap(network(), **READY)
    remain = ", ".join(one.id for one in sl.methods() if one.needs <= {"gradients"})
    for method in ("saliency", "integrated-gradients", "occlusion"):
        ours, expected = (sl.attribute(one, IMAGES, 1, method).values for one in (model, original))
        assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert sl.explain(model, PHOTO).method == "saliency"
    said = f"grad-cam needs layer: .*it is TorchScript; wrap the original network.*Possible here: {remain}"
    with pytest.raises(sl.MethodError, match=said):
        sl.attribute(model, IMAGES, 1, "grad-cam")
    with pytest.raises(sl.SightlineError, match="TorchScript"):
        sl.attribute(model, IMAGES, 1, "grad-cam", layer="0")


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ts", ".torchscript"])
def test_a_torchscript_file_is_a_program_and_loaded_where_the_user_says_so(tmp_path, ending):
    path = tmp_path / f"net{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted("script").save(str(path))
    with pytest.raises(
        sl.ModelError, match=r"net\.\w+ holds a TorchScript program, which can run any code"
    ) as caught:
        sl.load(path, **READY)
    assert "allow_code_execution=True" in str(caught.value)
    model = sl.load(path, allow_code_execution=True, **READY)
    ours, expected = (sl.attribute(one, IMAGES, 1, "saliency").values for one in (model, network()))
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_pickled_network_is_a_model_where_the_user_says_so(tmp_path):
    path = tmp_path / "whole.pt"
    torch.save(network(), path)
    with pytest.raises(sl.ModelError, match=r"whole.pt holds more than tensors, .*Sequential of a pickle"):
        sl.load(path, **READY)
    assert sl.load(path, allow_code_execution=True, **READY).layers() == ("0", "1", "2", "3", "4")
    torch.save({"model": network(), "epoch": 3}, path)
    assert sl.load(path, allow_code_execution=True, **READY).layers() == ("0", "1", "2", "3", "4")


def test_weights_alone_need_their_network(tmp_path):
    path = tmp_path / "weights.pth"
    for state in (network().state_dict(), {"state_dict": network().state_dict(), "epoch": 3}):
        torch.save(state, path)
        with pytest.raises(
            sl.ModelError, match=r"weights.pth holds 4 weights, such as '0.weight', and no network"
        ) as e:
            sl.load(path, **READY)
        assert 'sl.load("torchvision/NAME", weights="weights.pth")' in str(e.value)
    torch.save([1, 2], path)
    with pytest.raises(sl.ModelError, match="holds a list and no network"):
        sl.load(path, **READY)
    with pytest.raises(sl.ModelError, match="for weights name their network first"):
        sl.load(path, weights="other.pt", **READY)


def test_what_is_not_there_or_damaged_is_said(tmp_path):
    with pytest.raises(sl.ModelError, match="no model file"):
        sl.load(tmp_path / "none.pt", **READY)
    (tmp_path / "bad.ts").write_bytes(b"nothing")
    with pytest.raises(sl.ModelError, match="damaged"):
        sl.load(tmp_path / "bad.ts", **READY)
    (tmp_path / "bad.pt").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(sl.ModelError, match="damaged"):
        sl.load(tmp_path / "bad.pt", **READY)
