"""Videos, animations and stacks of pages: sampled evenly, bounded, and nothing but what their names say."""

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import PhotoError
from sightline.photos.clips import chosen
from sightline.photos.volumes import open_volume


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def film(path, count=24, size=(48, 32), rate=12.0):
    import cv2

    code = {".mp4": "mp4v", ".avi": "MJPG", ".mov": "mp4v"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, size)
    assert writer.isOpened()
    for i in range(count):
        writer.write(np.full((size[1], size[0], 3), (20, 9 * i, 230), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("ending", [".mp4", ".avi", ".mov"])
def test_frames_of_a_video_are_the_middles_of_equal_parts(tmp_path, ending):
    clip = open_volume(film(tmp_path / f"clip{ending}"), frames=8)
    assert clip.pixels.shape == (8, 32, 48, 3)
    assert clip.pixels.dtype == np.uint8
    expected = [1, 4, 7, 10, 13, 16, 19, 22]
    assert np.abs(clip.pixels[:, 16, 24].astype(float) - [(230, 9 * i, 20) for i in expected]).max() < 8
    assert np.allclose(clip.times, np.array(expected) / 12, atol=1e-3)
    assert clip.name == "clip"
    assert (clip.captions[0], clip.kind) == ("0.08 s", "clip")


def test_all_frames_or_more_than_there_are(tmp_path):
    path = film(tmp_path / "clip.avi", 5)
    assert len(open_volume(path).pixels) == 5
    assert chosen(5, 10) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert len(open_volume(path, frames=10).pixels) == 10


def test_a_long_video_is_refused_whatever_its_header_says(tmp_path, monkeypatch):
    monkeypatch.setattr("sightline.photos.clips.MOST", 20)
    with pytest.raises(PhotoError, match=r"more than 20 frames.*cut out"):
        open_volume(film(tmp_path / "clip.mp4"), frames=4)


def test_a_video_over_the_limit_is_refused(tmp_path, monkeypatch):
    path = film(tmp_path / "clip.mp4")
    with pytest.raises(PhotoError, match="over the limit"):
        open_volume(path, frames=4, max_pixels=4 * 32 * 48 - 1)
    assert open_volume(path, frames=4, max_pixels=4 * 32 * 48).size == (4, 32, 48)
    monkeypatch.setenv("SIGHTLINE_MAX_PIXELS", "100")
    with pytest.raises(PhotoError, match="SIGHTLINE_MAX_PIXELS="):
        open_volume(path, frames=4)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"\0\0\0\x18ftypmp42" + bytes(100),
        b"RIFF\x40\0\0\0AVI LIST" + bytes(60),
        b"\x1a\x45\xdf\xa3" + bytes(60),
        bytes(4000),
        b"",
    ],
)
def test_what_is_no_video_is_refused_and_playlists_are_not_followed(tmp_path, content, capfd):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=r"clip.mp4"):
        open_volume(path, frames=4)


def animation(path, count=6, **options):
    frames = [Image.new("RGB", (20, 10), (40 * i, 0, 0)) for i in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_an_animation_is_a_clip(tmp_path, ending):
    more = {"lossless": True} if ending == ".webp" else {}
    clip = open_volume(animation(tmp_path / f"a{ending}", duration=200, **more), frames=3)
    assert clip.pixels[:, 5, 5, 0].tolist() == [40, 120, 200]
    assert np.allclose(clip.times, [0.2, 0.6, 1.0])


def test_the_pages_of_a_tiff_are_slices_and_all_of_them(tmp_path):
    deep = (noise(5, 6, 7) * 65535).astype(np.uint16)
    pages = [Image.fromarray(one) for one in deep]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    volume = open_volume(tmp_path / "a.tif", frames=2)
    assert np.allclose(volume.pixels[..., 0], deep / 65535, atol=1e-6)
    assert volume.captions[1] == "slice 2 of 5"
    with pytest.raises(PhotoError, match="over the limit"):
        open_volume(tmp_path / "a.tif", max_pixels=5 * 6 * 7 - 1)


def test_one_picture_and_pages_that_differ_are_no_volume(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    with pytest.raises(PhotoError, match="holds one picture"):
        open_volume(tmp_path / "one.png")
    Image.new("L", (4, 4)).save(tmp_path / "two.tif", save_all=True, append_images=[Image.new("L", (5, 4))])
    with pytest.raises(PhotoError, match="differ in size"):
        open_volume(tmp_path / "two.tif")
    Image.new("L", (4, 4), 7).save(
        tmp_path / "mixed.tif", save_all=True, append_images=[Image.new("RGB", (4, 4), (1, 2, 3))]
    )
    assert open_volume(tmp_path / "mixed.tif").pixels[:, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]
