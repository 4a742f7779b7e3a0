"""Weight files that are no weights: refused with what was found, and loaded only where the user says so by name."""

import io
import pickle
import tarfile
import warnings
import zipfile

import pytest
import torch
from torch import nn

import sightline as sl
from sightline.models.archives import checked_zip, outside


class Holder(nn.Module):
    """Made in a user's own file, so that a pickle of it names that file."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, images):
        return self.head(images.mean((2, 3))[:, :2])


class Marks:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "user_nets.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "user_nets:make"


OPTIONS = {"input_size": 8, "mean": 0.5, "std": 0.5}


def test_a_pickled_network_is_refused_by_name_and_loaded_where_the_user_says_so(own, tmp_path):
    path = tmp_path / "whole.pt"
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.save(network, path)
    said = (
        r"whole.pt holds more than tensors, torch.nn.modules.container.Sequential of a pickle, which can run any code"
    )
    with pytest.raises(sl.ModelError, match=said) as caught:
        sl.load(own, weights=str(path), **OPTIONS)
    assert "allow_code_execution=True" in str(caught.value)
    allowed = sl.load(own, weights=str(path), allow_code_execution=True, **OPTIONS)
    assert torch.equal(allowed.network[0].weight, network[0].weight)


def archive(path, *members, size=1):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member in members:
            file.writestr(member, b"\0" * size)
    return path


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/passwd", "C:\\out", "C:out", "a\\..\\..\\out", "\\\\host\\out", "//x/y"]
)
def test_an_archive_that_reaches_outside_its_folder_is_not_opened(tmp_path, name):
    path = archive(tmp_path / "w.pt", name)
    with pytest.raises(sl.ModelError, match="outside its own folder"):
        checked_zip(path)
    assert outside(name)
    assert not outside("layers/dense/vars/0")


def test_an_archive_that_would_expand_past_the_limit_is_not_opened(tmp_path, monkeypatch, own):
    path = archive(tmp_path / "bomb.pt", "a", "b", size=10**6)
    assert path.stat().st_size < 10**5
    checked_zip(path)
    monkeypatch.setenv("SIGHTLINE_MAX_MODEL_BYTES", "1999999")
    with pytest.raises(sl.ModelError, match=r"would expand to 2,000,000 bytes, more than 1,999,999.*SIGHTLINE_MAX"):
        sl.load(own, weights=str(path), **OPTIONS)
    monkeypatch.setenv("SIGHTLINE_MAX_MODEL_BYTES", "much")
    with pytest.raises(sl.ModelError, match="give a number of bytes"):
        checked_zip(path)


def test_an_archive_with_a_link_or_a_name_twice_is_not_opened(tmp_path):
    link = zipfile.ZipInfo("weights")
    link.external_attr = 0o120777 << 16
    with pytest.raises(sl.ModelError, match="holds a link, 'weights'"):
        checked_zip(archive(tmp_path / "link.pt", link))
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive(tmp_path / "twice.pt", "config.json", "config.json")
    with pytest.raises(sl.ModelError, match=r"holds 'config.json' twice"):
        checked_zip(path)


def test_what_is_no_archive_is_said(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(sl.ModelError, match=r"w.pt is no intact archive"):
        checked_zip(path)


def test_damaged_files_and_plain_pickles_are_told_apart(own, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"no weights at all")
    with pytest.raises(sl.ModelError, match="cannot be read as tensors: it is damaged"):
        sl.load(own, weights=str(path), **OPTIONS)
    path.write_bytes(pickle.dumps({"a": Holder}, protocol=2))
    with pytest.raises(sl.ModelError, match=r"test_hostile_weights.Holder of a pickle.*run any code"):
        sl.load(own, weights=str(path), **OPTIONS)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["archive", "legacy", "plain"])
def test_pickles_of_every_protocol_are_refused_as_pickles(own, tmp_path, protocol, kind):
    path = tmp_path / "w.pt"
    if kind == "plain":
        path.write_bytes(pickle.dumps(Marks(tmp_path / "marker"), protocol))
    else:
        state, archive = {"a": Marks(tmp_path / "marker")}, kind == "archive"
        torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=archive)
    for load in (lambda: sl.load(own, weights=str(path), **OPTIONS), lambda: sl.load(path, **OPTIONS)):
        with pytest.raises(sl.ModelError, match=r"w.pt holds .* pickle.*can run any code.*allow_code_execution=True"):
            load()
    assert not (tmp_path / "marker").exists()


def test_tensors_of_a_newer_protocol_are_read_in_silence(own, tmp_path):
    torch.save(sl.load(own, **OPTIONS).network.state_dict(), tmp_path / "w.pt", pickle_protocol=3)
    assert sl.load(own, weights=str(tmp_path / "w.pt"), **OPTIONS).input_size == (8, 8)


def test_other_programs_given_as_weights_are_said(own, tmp_path):
    path = tmp_path / "w.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on TorchScript's end
        torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 1))).save(str(path))
    with pytest.raises(sl.ModelError, match=r"w.pt holds a TorchScript program.*allow_code_execution=True"):
        sl.load(own, weights=str(path), **OPTIONS)
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Marks(tmp_path / "marker"), 2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(sl.ModelError, match=r"w.pt holds pickles in a tar archive.*allow_code_execution=True"):
        sl.load(own, weights=str(path), **OPTIONS)
    assert not (tmp_path / "marker").exists()


def test_safetensors_alone_need_their_network(tmp_path):
    with pytest.raises(
        sl.ModelError, match=r"holds weights without a network: sl.load\('torchvision/NAME', weights="
    ):
        sl.load(tmp_path / "w.safetensors", **OPTIONS)
