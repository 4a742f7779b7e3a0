"""NIfTI volumes: turned to known axes, scaled by a window, and never unpacked beyond what a sound header says."""

import gzip
import itertools
import sys

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine

from sightline.core.errors import PhotoError
from sightline.photos.nifti import nifti_bytes
from sightline.photos.volumes import open_volume, volumes_of

ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
SPACING = (1.5, 2.0, 4.0)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def affine_of(order, signs):
    """File axis i runs along the world's axis order[i], with a sign and SPACING[i] millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for i, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[axis, i] = sign * SPACING[i]
    affine[:3, 3] = -20, 7, 90
    return affine


def saved(path, values, affine=None, kind=nibabel.Nifti1Image):
    nibabel.save(kind(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_however_a_file_is_turned_slices_go_up_rows_back_and_columns_left_and_a_map_lies_on_its_grid(
    tmp_path, order, signs
):
    values, affine = noise(4, 5, 6), affine_of(order, signs)
    volume = open_volume(saved(tmp_path / "a.nii.gz", values, affine), window=(0, 1))
    upright = nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.nii.gz")).get_fdata()  # right, front, up
    assert np.allclose(volume.pixels[..., 0], upright.transpose(2, 1, 0)[:, ::-1, ::-1], atol=1e-6)
    assert volume.spacing == tuple(SPACING[order.index(axis)] for axis in (2, 1, 0))
    (tmp_path / "map.nii.gz").write_bytes(nifti_bytes(volume.pixels[..., 0], volume.place, True))
    back = nibabel.load(tmp_path / "map.nii.gz")
    assert np.allclose(back.affine, affine)
    assert np.allclose(back.get_fdata(), values, atol=1e-6)


def test_axes_may_be_those_that_a_network_was_trained_with(tmp_path):
    values, affine = noise(4, 5, 6), affine_of((0, 1, 2), (-1, 1, 1))
    volume = open_volume(saved(tmp_path / "a.nii", values, affine), window=(0, 1), axes="RAS")
    assert np.array_equal(volume.pixels[..., 0], values[::-1])
    assert volume.spacing == SPACING
    for axes in ("RAL", "RA", "xyz", 3):
        with pytest.raises(PhotoError, match="axes="):
            open_volume(tmp_path / "a.nii", axes=axes)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, ">f4"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_kind_of_number_and_header_is_read(tmp_path, kind, dtype, ending):
    values = (noise(3, 4, 5) * 200).astype(dtype)
    image = kind(values, np.diag([-1.0, -1, 1, 1]))  # left, back, up: as we have it
    image.header.set_slope_inter(2, -100) if np.dtype(dtype).kind in "iu" else None
    image.to_filename(tmp_path / f"a{ending}")
    volume = open_volume(tmp_path / f"a{ending}", window=(-100, 300))
    raw = np.asarray(nibabel.load(tmp_path / f"a{ending}").get_fdata()).T
    assert np.allclose(volume.pixels[..., 0], (raw + 100) / 400, atol=1e-6)
    assert volume.name == "a"


def test_without_a_window_its_own_percentiles_are_taken_and_said(tmp_path):
    values = np.random.default_rng(0).normal(100, 30, (20, 20, 20)).astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, 1e9
    volume = open_volume(saved(tmp_path / "a.nii", values))
    (doubt,) = volume.warnings
    low, high = np.nanpercentile(values, (0.5, 99.5))
    assert doubt.code == "own-window"
    assert f"({low:g}, {high:g})" in doubt.message
    shares = np.nan_to_num((values - low) / (high - low)).clip(0, 1)
    assert np.allclose(np.sort(volume.pixels, axis=None), np.sort(shares, axis=None), atol=1e-5)
    with pytest.raises(PhotoError, match=r"same everywhere.*window"):
        open_volume(saved(tmp_path / "b.nii", np.ones((3, 3, 3), np.float32)))


def test_a_mostly_black_volume_is_not_lost_in_its_own_percentiles(tmp_path):
    values = np.zeros((10, 10, 10), np.float32)
    values[5, 5, 5] = 7
    assert open_volume(saved(tmp_path / "a.nii", values)).pixels.max() == 1


def test_several_values_for_each_voxel_are_channels_and_never_colours(tmp_path):
    four = saved(tmp_path / "a.nii", noise(3, 4, 5, 4))
    assert open_volume(four, window=(0, 1), channels=4).pixels.shape == (5, 4, 3, 4)
    with pytest.raises(PhotoError, match=r"takes 3 channels and the volume has 4.*slicer"):
        open_volume(four, window=(0, 1), channels=3)


def test_an_open_image_is_a_volume_too(tmp_path):
    image = nibabel.load(saved(tmp_path / "a.nii.gz", noise(3, 4, 5, 2), affine_of((2, 0, 1), (1, 1, -1))))
    one = image.slicer[..., 1]
    assert volumes_of(one)[1]
    saved(tmp_path / "b.nii", np.asarray(one.dataobj), one.affine)
    read = open_volume(tmp_path / "b.nii", window=(0, 1))
    assert np.array_equal(open_volume(one, window=(0, 1)).pixels, read.pixels)


def test_a_spot_is_where_the_world_has_it(tmp_path):
    affine = affine_of((2, 0, 1), (-1, 1, -1))
    values = np.zeros((7, 8, 9), np.float32)
    values[2, 6, 3] = 1
    volume = open_volume(saved(tmp_path / "a.nii", values, affine), window=(0, 1))
    d, h, w = np.argwhere(volume.pixels[..., 0])[0]
    right, front, up = apply_affine(affine, [2, 6, 3])
    corners = apply_affine(affine, list(itertools.product(*((0, side - 1) for side in values.shape))))
    assert up == corners[:, 2].min() + d * volume.spacing[0]
    assert front == corners[:, 1].max() - h * volume.spacing[1]
    assert right == corners[:, 0].max() - w * volume.spacing[2]


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.nii", noise(3, 3, 3))
    for name in [one for one in sys.modules if one.split(".")[0] == "nibabel"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PhotoError, match=r"sightline\[nifti\]"):
        open_volume(path)


def header(tmp_path, **fields):
    """A small sound file, with some fields of its header overwritten."""
    content = bytearray(nibabel.Nifti1Image(noise(3, 4, 5), np.eye(4)).to_bytes())
    raw = np.frombuffer(content[:348], nibabel.nifti1.header_dtype).copy()
    for name, value in fields.items():
        raw[name] = value
    content[:348] = raw.tobytes()
    path = tmp_path / "evil.nii.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    return path


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "over the limit"),
        ({"dim": [3, -3, 4, 5, 1, 1, 1, 1]}, "cannot be"),
        ({"dim": [3, 0, 4, 5, 1, 1, 1, 1]}, "cannot be"),
        ({"dim": [2, 12, 5, 1, 1, 1, 1, 1]}, r"possible: numbers \(x, y, z"),
        ({"dim": [3, 3, 4, 6, 1, 1, 1, 1]}, "ends after"),
        ({"dim": [99, 3, 4, 5, 1, 1, 1, 1]}, "cannot be read|cannot be|possible"),
        ({"vox_offset": 1e12}, "cannot be"),
        ({"vox_offset": -5}, "cannot be"),
        ({"vox_offset": np.nan}, "cannot be read"),
        ({"datatype": 128, "bitpix": 24}, "possible: numbers|ends after"),
        ({"datatype": 32, "bitpix": 64}, "possible: numbers|ends after"),
        ({"datatype": 7777}, "cannot be read"),
        ({"srow_x": [0, 0, 0, 0], "sform_code": 2}, "no place"),
        ({"srow_x": [np.nan, 0, 0, 0], "sform_code": 2}, "no place"),
        ({"sizeof_hdr": 77}, "no NIfTI volume"),
    ],
    ids=repr,
)
def test_a_header_that_lies_is_refused_before_anything_is_unpacked(tmp_path, fields, said):
    with pytest.raises(PhotoError, match=said):
        open_volume(header(tmp_path, **fields))


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    sound = nibabel.Nifti1Image(noise(3, 4, 5), np.eye(4)).to_bytes()
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(sound + bytes(50_000_000)))
    taken = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: taken.append(size) or read(file, size))
    assert open_volume(path).size == (5, 4, 3)
    assert 0 <= sum(taken) <= len(sound) + 540
    assert min(taken) >= 0


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8b\x08" + bytes(90), b"x" * 900, bytes(900)])
def test_what_is_no_nifti_is_refused(tmp_path, content):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"a.nii.gz"):
        open_volume(path)


def test_files_cut_anywhere_are_refused_or_read(tmp_path):
    whole = nibabel.Nifti1Image(noise(3, 4, 5), np.eye(4)).to_bytes()
    for stop in range(0, len(whole), 37):
        (tmp_path / "a.nii").write_bytes(whole[:stop])
        with pytest.raises(PhotoError):
            open_volume(tmp_path / "a.nii")
