"""Volumes and clips: from arrays and tensors to a network's input, and a map's way back."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import sightline as sl
from sightline.core.errors import PhotoError
from sightline.photos.geometry import Geometry
from sightline.photos.volumes import Volume, open_volume, volumes_of


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


# The network's input --------------------------------------------------------------------------------------------


def test_the_way_there_and_back_is_exact_where_sizes_are_equal():
    voxels = noise(4, 5, 6, 2)
    view = Geometry((4, 5, 6), "squash").view(4, 5, 6)
    assert np.array_equal(view.to_input(Volume(voxels)), np.moveaxis(voxels, -1, 0))
    assert np.array_equal(view.to_photo(voxels[..., 0]), voxels[..., 0])


@pytest.mark.parametrize(
    ("size", "to"), [((9, 12, 10), (4, 6, 5)), ((4, 6, 5), (9, 12, 10)), ((8, 8, 8), (3, 16, 8))]
)
def test_slices_are_resized_as_photos_are_and_depth_by_the_same_triangle(size, to):
    voxels = noise(*size, 1)
    laid = Geometry(to, "squash").view(*size).to_input(Volume(voxels))[0]
    planes = np.stack([Geometry(to[1:], "squash").view(*size[1:]).to_input(sl.Photo(one))[0] for one in voxels])
    lines = torch.from_numpy(planes).flatten(1).T[None, None]  # (1, 1, pixels, depth)
    mine = F.interpolate(lines, (lines.shape[2], to[0]), mode="bilinear", antialias=True, align_corners=False)
    assert np.allclose(laid, mine[0, 0].T.reshape(to).numpy(), atol=1e-5)


def test_a_map_comes_back_linearly_along_each_axis():
    values = noise(4, 6, 5)
    back = Geometry((4, 6, 5), "squash").view(8, 12, 15).to_photo(values)
    mine = F.interpolate(torch.from_numpy(values)[None, None], (8, 12, 15), mode="trilinear", align_corners=False)
    assert np.allclose(back, mine[0, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_depth_is_never_cut_or_padded(resize):
    view = Geometry((4, 8, 8), resize).view(10, 16, 32)
    laid = view.to_photo(np.ones((4, 8, 8)))
    flat = Geometry((8, 8), resize).view(16, 32)
    assert np.array_equal(np.isfinite(laid), np.broadcast_to(flat.seen(), (10, 16, 32)))
    assert np.array_equal(view.seen(), np.isfinite(laid))
    assert view.scale[0] == 0.4
    assert view.mask_to_input(np.ones((10, 16, 32))).shape == (4, 8, 8)


def test_a_clip_of_bytes_is_resized_in_bytes_as_its_frames_are():
    frames = (noise(4, 20, 30, 3) * 255).astype(np.uint8)
    laid = Geometry((4, 8, 8)).view(4, 20, 30).to_input(Volume(frames))
    each = [Geometry((8, 8)).view(20, 30).to_input(sl.Photo(one)) for one in frames]
    assert np.array_equal(laid, np.stack(each, 1))


def test_a_view_of_volumes_refuses_photos():
    with pytest.raises(PhotoError, match=r"got 8 x 9 \(h x w\)"):
        Geometry((4, 8, 8)).view(8, 9)


# Arrays and tensors ---------------------------------------------------------------------------------------------


def test_arrays_and_tensors_of_one_volume_are_the_same():
    voxels = noise(3, 4, 5)
    for source in (voxels, voxels[..., None], torch.from_numpy(voxels), torch.from_numpy(voxels)[None]):
        assert np.array_equal(open_volume(source).pixels, voxels[..., None])
        assert np.array_equal(open_volume(source, channels=3).pixels, np.repeat(voxels[..., None], 3, 3))
    colours = noise(3, 4, 5, 3)
    assert np.array_equal(open_volume(torch.from_numpy(colours).permute(3, 0, 1, 2)).pixels, colours)


def test_one_or_many():
    assert volumes_of(np.zeros((3, 4, 5)))[1]
    assert volumes_of(np.zeros((3, 4, 5, 1)))[1]
    assert volumes_of("x.nii")[1]
    assert volumes_of(Volume(noise(2, 2, 2, 1)))[1]
    sources, one = volumes_of(torch.zeros(7, 1, 3, 4, 5))
    assert (len(sources), one) == (7, False)
    assert volumes_of(["a.nii", "b.nii"]) == (["a.nii", "b.nii"], False)
    with pytest.raises(PhotoError, match="many are a list"):
        volumes_of(7)


def test_a_window_says_what_is_black_and_what_is_white():
    hounsfield = np.array([-1000, -160, 40, 240, 3000], np.int16).reshape(1, 1, 5)
    volume = open_volume(hounsfield, window=(-160, 240))
    assert volume.pixels.ravel().tolist() == [0, 0, 0.5, 1, 1]
    assert volume.warnings == ()
    assert volume.windows == ((-160, 240),)
    with pytest.raises(PhotoError, match="raw values"):
        open_volume(volume, window=(0, 1))


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (np.zeros((4, 4, 4), np.int16), {}, r"int16 voxels.*window=\(low, high\)"),
        (np.full((4, 4, 4), 300.0), {}, r"lie in \[0, 1\].*sl.open_volume"),
        (np.zeros((4, 4)), {}, r"got shape \(4, 4\)"),
        (np.zeros((0, 4, 4)), {}, r"got shape \(0, 4, 4\)"),
        (np.zeros((4, 8, 8, 7)), {"channels": 3}, r"\(8, 8, 7\), and C is 1 or 3 or 4.*channels last"),
        (torch.zeros(5, 4, 8, 8), {"channels": 1}, "channels first"),
        (np.zeros((4, 8, 8, 2)), {"channels": 5}, "C is 5"),
        (np.zeros((4, 4, 4)), {"window": (3, 3)}, "lower one first"),
        (np.zeros((4, 4, 4)), {"window": 3}, "window=3"),
        (np.zeros((4, 4, 4)), {"window": (0, float("nan"))}, "window"),
        (np.zeros((4, 4, 4)), {"frames": 0}, "frames=0; give how many"),
        ("clip.mp4", {"frames": 2.5}, "frames=2.5; give how many"),
        (np.zeros((8, 8, 3), np.uint8), {"channels": 3}, r"one picture's; a clip has many, \(t, h, w, 3\)"),
        (7, {}, "a volume is a file"),
        ("x.dcm", {}, r"no volume or clip that can be read; possible: .nii"),
        ("missing.nii.gz", {}, "FileNotFoundError"),
        ("http://x.org/a.nii", {}, "download it first"),
    ],
    ids=repr,
)
def test_what_is_no_volume_is_refused_in_words(source, options, said):
    with pytest.raises(PhotoError, match=said):
        open_volume(source, **options)


def test_npy_files_are_read_without_pickles(tmp_path):
    voxels = noise(3, 4, 5)
    np.save(tmp_path / "v.npy", voxels)
    volume = open_volume(tmp_path / "v.npy")
    assert np.array_equal(volume.pixels[..., 0], voxels)
    assert volume.name == "v"
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(PhotoError, match=r"evil.npy"):
        open_volume(tmp_path / "evil.npy")
    with pytest.raises(PhotoError, match=r"3 x 4 x 5 is 60 pixels, over the limit of 59"):
        open_volume(tmp_path / "v.npy", max_pixels=59)
    whole = (tmp_path / "v.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-9])
    with pytest.raises(PhotoError, match=r"short.npy"):
        open_volume(tmp_path / "short.npy")
