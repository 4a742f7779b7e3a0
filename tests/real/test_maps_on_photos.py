"""Maps on real photos: where they lie, what was never seen, and what is saved of them."""

import json
from xml.etree import ElementTree

import gallery
import numpy as np
import pytest
from PIL import Image, ImageDraw

import sightline as sl

# what is known of a method is said with every map of it, and tested elsewhere
pytestmark = pytest.mark.filterwarnings(
    *(
        f"ignore:{one.caution.message.split(' ')[0]} :sightline.SightlineWarning"
        for one in sl.methods()
        if one.caution
    )
)

# The kitten's outline in kitten.jpg, (x, y), drawn by a person who looked at the photo.
KITTEN = [
    (130, 182), (230, 215), (320, 192), (365, 190), (300, 110), (320, 60), (375, 38), (405, 95), (500, 115),
    (660, 110), (690, 60), (740, 34), (763, 75), (725, 195), (800, 270), (880, 255), (940, 300), (860, 350),
    (840, 430), (740, 490), (600, 525), (500, 505), (340, 500), (210, 487), (150, 425), (190, 380), (190, 290),
]  # fmt: skip
METHODS = [method.id for method in sl.methods()]


def outline(size):
    picture = Image.new("1", size)
    ImageDraw.Draw(picture).polygon(KITTEN, fill=1)
    return np.asarray(picture)


# The kitten -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("entry", [gallery.V1, gallery.V2], ids=str)
def test_grad_cam_has_its_maximum_on_the_kitten(model, photos, entry, resize):
    ex = sl.explain(model(entry, resize), photos["kitten"], "grad-cam")
    y, x = np.unravel_index(np.nanargmax(ex.map), ex.map.shape)
    assert outline((1024, 576))[y, x], (x, y)
    assert ex.heatmap[y, x] == 1.0


@pytest.mark.parametrize("entry", [gallery.V1, gallery.V2], ids=str)
def test_grad_cam_is_warmer_on_the_kitten_than_beside_it(model, photos, entry):
    heatmap = sl.explain(model(entry), photos["kitten"], "grad-cam").heatmap
    kitten = outline((1024, 576))
    assert heatmap[kitten].mean() > 1.3 * heatmap[~kitten].mean()


# What was seen ----------------------------------------------------------------------------------------------


def seen_by_hand(size, side):
    """A pixel is seen when its centre lands in the centre crop; the short side is resized to 8/7 of `side`."""
    width, height = size
    short = round(side * 8 / 7)
    scale_y = (short if height <= width else int(short * height / width)) / height
    scale_x = (short if width <= height else int(short * width / height)) / width
    y = (np.arange(height) + 0.5) * scale_y - round((scale_y * height - side) / 2)
    x = (np.arange(width) + 0.5) * scale_x - round((scale_x * width - side) / 2)
    return ((y >= 0) & (y < side))[:, None] & ((x >= 0) & (x < side))[None]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_map_lies_on_the_photo_and_is_nan_exactly_where_nothing_was_seen(model, photos, method, resize):
    paths = [photos["kitten"], photos["dirk"]]
    for path, ex in zip(paths, sl.explain(model(gallery.TINY, resize), paths, method), strict=True):
        with Image.open(path) as image:
            size = image.size
        seen = seen_by_hand(size, 128) if resize == "crop" else np.ones(size[::-1], bool)
        assert ex.map.shape == ex.heatmap.shape == size[::-1]
        assert ex.map.dtype == ex.heatmap.dtype == np.float32
        assert (np.isnan(ex.map) == ~seen).all()
        assert (np.isnan(ex.heatmap) == ~seen).all()
        assert np.nanmin(ex.heatmap) >= 0
        assert np.nanmax(ex.heatmap) == 1.0


POSITIVE = (  # by what they are
    "smoothgrad-squared", "vargrad", "grad-cam++", "smooth-grad-cam++", "layer-cam", "grad-cam-element-wise",
    "eigen-cam", "fem", "refine-cam",
)  # fmt: skip


def test_the_signs_of_the_values_are_on_the_map(model, photos):
    for method in POSITIVE:
        assert np.nanmin(sl.explain(model(gallery.TINY), photos["dirk"], method, target=430).map) >= 0, method
    for method in set(METHODS) - set(POSITIVE):
        ex = sl.explain(model(gallery.TINY), photos["dirk"], method, target=430)
        assert np.nanmin(ex.map) < 0 < np.nanmax(ex.map), method


@pytest.mark.parametrize("method", METHODS)
def test_a_list_of_photos_gives_what_each_gives_alone(model, photos, method):
    paths = [photos["kitten"], photos["vince"], photos["can_opener"]]
    for path, ex in zip(paths, sl.explain(model(gallery.TINY, "crop"), paths, method, seed=3), strict=True):
        alone = sl.explain(model(gallery.TINY, "crop"), path, method, seed=3)
        assert alone.target == ex.target
        assert (alone.values - ex.values).abs().max() <= 1e-5 * alone.values.abs().max()


def test_the_photo_turned_by_exif_gets_the_map_of_the_upright_one(model, photos, tmp_path):
    with Image.open(photos["kitten"]) as upright:
        turned = upright.transpose(Image.Transpose.ROTATE_90)  # 6 says: turn me clockwise to see me right
        exif = Image.Exif()
        exif[0x0112] = 6
        turned.save(tmp_path / "turned.png", exif=exif)
        expected = sl.explain(model(gallery.TINY), upright, "grad-cam")
    found = sl.explain(model(gallery.TINY), tmp_path / "turned.png", "grad-cam")
    assert found.map.shape == (576, 1024)
    assert np.array_equal(found.map, expected.map)


def test_all_methods_together_say_what_each_says_alone(model, photos):
    together = sl.explain(model(gallery.TINY), photos["dirk"], METHODS)
    assert list(together) == METHODS
    for method, ex in together.items():
        alone = sl.explain(model(gallery.TINY), photos["dirk"], method)
        assert ex.passes == alone.passes
        assert (ex.values - alone.values).abs().max() <= 1e-5 * alone.values.abs().max()


def test_the_network_is_as_it_was_after_all_of_it(model, photos):
    network = model(gallery.TINY).network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sl.explain(model(gallery.TINY), list(photos.values()), METHODS[:2])
    assert not network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all((tensor == before[name]).all() for name, tensor in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in network.modules())


# On disk ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kitten(model, photos):
    return sl.explain(model(gallery.V1, "crop"), photos["kitten"], "grad-cam", seed=5)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".jpg", "JPEG")])
def test_a_saved_picture_opens_and_shows_the_photo(kitten, tmp_path, suffix, kind):
    kitten.save(tmp_path / f"kitten{suffix}")
    with Image.open(tmp_path / f"kitten{suffix}") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert picture.format == kind
    assert min(pixels.shape[:2]) > 200
    ginger = (pixels[..., 0] > 150) & (pixels[..., 0] - pixels[..., 2] > 50) & (pixels[..., 0] > pixels[..., 1])
    assert ginger.mean() > 0.02


def test_a_saved_drawing_is_well_formed_and_embeds_the_photo(kitten, tmp_path):
    kitten.save(tmp_path / "kitten.svg")
    tree = ElementTree.parse(tmp_path / "kitten.svg").getroot()
    assert tree.tag.endswith("svg")
    assert [one for one in tree.iter() if one.tag.endswith("image")]


def test_saved_values_open_without_pickle_and_say_where_they_come_from(kitten, model, photos, tmp_path):
    kitten.save(tmp_path / "kitten.npz")
    with np.load(tmp_path / "kitten.npz", allow_pickle=False) as saved:
        assert np.array_equal(saved["values"], kitten.values.numpy())
        assert np.array_equal(saved["map"], kitten.map, equal_nan=True)
        assert np.array_equal(saved["heatmap"], kitten.heatmap, equal_nan=True)
        told = json.loads(str(saved["provenance"]))
    top = kitten.predictions[0]
    assert (told["method"], told["layer"], told["seed"], told["gap"]) == ("grad-cam", "features", 5, None)
    assert (told["passes"], told["options"], told["warnings"]) == ([1, 1], {"smoothing": None, "rule": None}, [])
    assert (told["target"], told["label"], told["score"]) == (f"Class(index={top.index})", top.label, "logit")
    assert told["model"] == "MobileNetV1"
    assert told["photo"].startswith("kitten")
    assert told["predictions"][0] == {
        "index": top.index, "label": top.label, "probability": top.probability, "score": top.score
    }  # fmt: skip
    assert told["versions"]["sightline"] == sl.__version__
    assert {"python", "torch", "torchvision", "numpy"} <= set(told["versions"])


def test_saved_values_of_a_sampled_method_hold_its_options_and_error(model, photos, tmp_path):
    ex = sl.explain(model(gallery.TINY), photos["vince"], "smoothgrad", target=430, seed=9, samples=3)
    ex.save(tmp_path / "vince.npz")
    with np.load(tmp_path / "vince.npz", allow_pickle=False) as saved:
        told = json.loads(str(saved["provenance"]))
        assert np.array_equal(saved["error"], ex.error.numpy())
    assert {name: value for name, value in told["options"].items() if value is not None} == {
        "noise": 0.15,
        "samples": 3,
    }
    assert (told["seed"], told["passes"], told["label"]) == (9, [3, 3], "basketball")


def test_a_saved_page_stands_alone(kitten, tmp_path):
    kitten.save(tmp_path / "kitten.html")
    page = (tmp_path / "kitten.html").read_text()
    assert "data:image/png;base64," in page
    assert "grad-cam" in page
    assert kitten.predictions[0].label.split(", ")[0] in page
    assert 'src="http' not in page
    assert "<link" not in page


def test_a_comparison_saves_every_method(model, photos, tmp_path):
    both = sl.explain(model(gallery.TINY), photos["kitten"], ["grad-cam", "saliency"])
    for suffix in (".png", ".npz", ".html"):
        both.save(tmp_path / f"both{suffix}")
    with np.load(tmp_path / "both.npz", allow_pickle=False) as saved:
        for method in both:
            assert np.array_equal(saved[f"{method}/values"], both[method].values.numpy())
        assert set(json.loads(str(saved["provenance"]))) == {"grad-cam", "saliency"}
    page = (tmp_path / "both.html").read_text()
    assert "grad-cam" in page
    assert "saliency" in page


def test_the_same_explanation_is_saved_to_the_same_bytes(kitten, tmp_path):
    for suffix in (".png", ".svg", ".html"):
        kitten.save(tmp_path / f"a{suffix}")
        kitten.save(tmp_path / f"b{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
