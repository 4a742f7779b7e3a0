"""What a visualization says of its images is so, it is saved in full, and what cannot be asked is said in words."""

import io
import json
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from climbs import PLAIN, WAYS, climb, conv_net, dense, model_of, photo, units
from PIL import Image

import sightline as sl
from sightline.canvases import Fourier, Pixels, Transparent
from sightline.features.presets import PRESETS
from sightline.targets import L2, Alignment, Class, Diversity, Layer, Norm, PerImage, Region, Unit

LABELS = ["ant", "bee", "cat", "dog", "elk"]


def model(**options):
    return model_of(conv_net(), labels=LABELS, **options)


def folder_photos(count=9):
    """Noise of many brightnesses, so that they fire differently."""
    dice = np.random.default_rng(3)
    return [(dice.random((8, 12, 3)) ** dice.uniform(0.3, 3) * 255).astype(np.uint8) for _ in range(count)]


# How strongly -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("size", [None, (16, 16)], ids=str)
def test_scores_are_what_the_network_says_of_the_images(name, size):
    network = conv_net()
    goal = [Class(1), Class(3) - 0.3 * Unit("2", 5) - 4 * L2(), Layer("2")]
    vis = climb(model_of(network), goal, 4, size=size, **WAYS[name])
    shown = vis.images
    if size:
        shown = torch.nn.functional.interpolate(shown, (8, 12), mode="bilinear", antialias=True, align_corners=False)
    x = units(shown)
    y, acts = network(x).detach(), network[:3](x).detach()
    expected = [y[0, 1], y[1, 3] - 0.3 * acts[1, 5].mean(), acts[2].square().mean()]
    assert torch.allclose(vis.scores, torch.stack(expected), atol=1e-4)


def test_penalties_and_comparisons_are_no_strength():
    network = conv_net()
    goal = 2 * Class(1) - 5 * Norm(6) + 7 * Diversity("2") + 3 * Alignment("2")
    vis = climb(model_of(network), goal, 4, count=3)
    assert torch.allclose(vis.scores, 2 * network(units(vis.images)).detach()[:, 1], atol=1e-4)


def test_predictions_are_the_network_s_of_each_image():
    network = conv_net()
    vis = climb(model(), [0, 3], 6, count=2)
    chances = network(units(vis.images)).detach().softmax(1)
    assert len(vis.predictions) == 4
    for said, expected in zip(vis.predictions, chances, strict=True):
        assert [one.index for one in said] == expected.argsort(descending=True).tolist()
        assert [one.probability for one in said] == pytest.approx(
            expected.sort(descending=True).values.tolist(), abs=1e-4
        )
        assert all(one.label == LABELS[one.index] for one in said)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_the_strongest_photo_is_the_strongest(batch_size):
    photos, goals = folder_photos(), [Class(0), Class(4), Class(1) - Class(2), Unit("2", 3)]
    network = conv_net()
    vis = climb(model(batch_size=batch_size), goals, 2, photos=photos, count=2)
    x = units(torch.stack([torch.from_numpy(one.transpose(2, 0, 1)) / 255 for one in photos]))
    y, acts = network(x).detach(), network[:3](x).detach()
    scores = torch.stack([y[:, 0], y[:, 4], y[:, 1] - y[:, 2], acts[:, 3].mean((1, 2))])
    assert len(vis.strongest) == len(goals)
    for best, mine in zip(vis.strongest, scores, strict=True):
        assert best.score == pytest.approx(float(mine.max()), abs=1e-4)
        assert np.array_equal(best.photo.pixels, photos[int(mine.argmax())])


def test_the_strongest_photo_of_files_has_their_name(tmp_path):
    photos = folder_photos(5)
    for i, one in enumerate(photos):
        Image.fromarray(one).save(tmp_path / f"photo {i}.png")
    vis = climb(model(), [Class(0), -Class(0)], 2, photos=sorted(tmp_path.glob("*.png")))
    scores = [float(sl.predict(model(), one, top=5)[k].score) for one in photos for k in range(5)]
    assert vis.strongest[0].score <= max(scores) + 1e-4
    assert vis.strongest[0].name != vis.strongest[1].name
    assert all(one.name.startswith("photo") for one in vis.strongest)
    assert vis.provenance["strongest_photos"][0]["photo"] == vis.strongest[0].name


def test_a_photo_that_cannot_be_read_costs_no_ascent(tmp_path):
    steps = []
    with pytest.raises(sl.PhotoError):
        climb(model(), 1, 4, photos=[tmp_path / "missing.png"], watch=steps.append)
    assert not steps


# Results and files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """Two images of each of two classes, with photos and frames."""
    return climb(model(), ["bee", "dog"], 6, count=2, photos=folder_photos(4), frames=2, canvas=Fourier(), rate=5.0)


def test_a_visualization_tells_what_it_is(found):
    assert len(found) == 4
    assert found.labels == ("bee", "bee", "dog", "dog")
    assert found.targets == (Class(1), Class(3))
    assert found.steps == 6
    assert found.history.shape == (6, 4)
    assert isinstance(found.score, str)
    assert not found.interrupted
    assert repr(found) == "Visualization(4 images, 6 steps, 'Sequential')"
    assert found.images.shape == (4, 3, 8, 12)
    assert not found.images.requires_grad
    assert found.picture(3).dtype == np.uint8
    assert found._repr_png_()[:4] == b"\x89PNG"


def test_a_figure_shows_names_scores_and_chances(found):
    tiles = [tile for row in found.wall().rows for tile in row.tiles]
    assert [tile.caption for tile in tiles[:2]] == ["bee", "bee"]
    for i, tile in enumerate([tiles[0], tiles[1], tiles[3], tiles[4]]):
        (chance,) = [one.probability for one in found.predictions[i] if one.label == found.labels[i]]
        assert tile.small == f"{float(found.scores[i]):.3g}, {chance:.1%}"
    assert tiles[2].small == f"{found.strongest[0].score:.3g}"


@pytest.mark.parametrize("suffix", ["png", "jpg", "PNG"])
def test_a_picture_opens_again(found, tmp_path, suffix):
    path = tmp_path / "new folder" / f"vis.{suffix}"
    found.save(path)
    with Image.open(path) as picture:
        picture.load()
        assert min(picture.size) > 100
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_a_vector_picture_and_a_page_hold_all_in_themselves(found, tmp_path):
    found.save(tmp_path / "vis.svg")
    assert "<svg" in (tmp_path / "vis.svg").read_text()
    found.save(tmp_path / "vis.html")
    page = (tmp_path / "vis.html").read_text()
    for word in ("bee", "dog", "data:image/png;base64", "data:image/gif;base64", f"{found.scores[0]:.3g}"):
        assert word in page
    assert 'src="http' not in page
    assert "<script src" not in page


def test_values_open_again_without_pickle(found, tmp_path):
    found.save(tmp_path / "vis.npz")
    with np.load(tmp_path / "vis.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    assert np.array_equal(arrays["images"], found.images.numpy())
    assert np.array_equal(arrays["scores"], found.scores.numpy())
    assert np.array_equal(arrays["history"], found.history)
    assert arrays["frame_steps"].tolist() == [0, 2, 4, 6]
    assert json.loads(str(arrays["provenance"])) == json.loads(json.dumps(found.provenance))


def test_frames_are_what_was_drawn_before_each_of_these_steps():
    seen = []
    vis = climb(model(), [1, 2], 5, frames=2, rate=0.3, watch=seen.append)
    assert [step for step, _ in vis.frames] == [0, 2, 4, 5]
    for step, frame in vis.frames[:-1]:
        expected = (seen[step].images.clamp(0, 1) * 255).round().to(torch.uint8)
        assert np.array_equal(frame, expected)
    assert np.array_equal(vis.frames[-1][1], (vis.images * 255).round().to(torch.uint8))


def test_a_gif_opens_again_with_each_frame(found, tmp_path):
    found.save(tmp_path / "vis.gif")
    with Image.open(tmp_path / "vis.gif") as film:
        assert film.n_frames == len(found.frames) == 4
        shown = []
        for i in range(film.n_frames):
            film.seek(i)
            shown.append(np.asarray(film.convert("RGB"), int))
        assert film.info["loop"] == 0
    assert all(np.abs(a - b).mean() > 1 for a, b in pairwise(shown))


def test_an_mp4_opens_again(found, tmp_path, capfd):
    found.save(tmp_path / "vis.mp4")
    film, shown = cv2.VideoCapture(str(tmp_path / "vis.mp4")), []
    while True:
        there, frame = film.read()
        if not there:
            break
        shown.append(frame[..., ::-1])
    film.release()
    assert len(shown) >= len(found.frames)
    assert shown[0].shape[0] % 2 == shown[0].shape[1] % 2 == 0
    times = 160 // 8
    corner = shown[-1][4 : 4 + 8 * times, 4 : 4 + 12 * times].astype(float)
    expected = np.kron(found.picture(0), np.ones((times, times, 1)))
    assert np.abs(corner - expected).mean() < 25, "the first picture, as it is at the end"
    assert capfd.readouterr() == ("", ""), "nothing is printed past the caller"


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("canvas", [Pixels(), Transparent(Pixels())], ids=["opaque", "transparent"])
def test_results_of_any_number_of_channels_are_saved(channels, canvas, tmp_path):
    vis = climb(model_of(conv_net(channels), channels=channels), [1, 2], 3, canvas=canvas, frames=1, rate=0.3)
    for suffix in ("png", "html", "npz", "gif"):
        vis.save(tmp_path / f"vis.{suffix}")
        assert (tmp_path / f"vis.{suffix}").stat().st_size > 500
    assert vis.picture(0, transparent=True).shape == (8, 12, 4)
    assert vis.picture(0, transparent=False).shape == (8, 12, 3)


def test_what_was_looked_at_is_opaque():
    mask = torch.zeros(8, 12)
    mask[:, :4] = 1
    vis = climb(model_of(dense()), Region(mask, 1), 4)
    opacity = vis.picture(0, transparent=True)[..., 3]
    assert opacity[:, 8:].max() == 0
    assert opacity[:, :4].max() == 255
    rank = vis.importance[0, 0].flatten().argsort(descending=True)[:3]
    assert (opacity.flatten()[rank] == 255).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vis.tiff", r"cannot save as '\.tiff'; possible: \.png, .*\.npz, \.html, \.gif, \.mp4"),
        ("vis", r"cannot save as 'a file without a suffix'; possible: \.png, .*\.gif, \.mp4"),
    ],
)
def test_an_unknown_suffix_is_refused_with_what_is_possible(found, tmp_path, name, words):
    with pytest.raises(sl.SaveError, match=words):
        found.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_a_film_needs_frames(tmp_path, suffix):
    with pytest.raises(sl.SaveError, match="ask for frames, such as frames=8"):
        climb(model(), 1, 2).save(tmp_path / f"vis.{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_save_error(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(sl.SaveError, match="cannot write"):
        found.save(tmp_path / "file" / "vis.png")


def test_provenance_is_json_and_tells_how_to_do_it_again(found):
    told = json.loads(json.dumps(found.provenance, allow_nan=False))
    assert told["model"] == "Sequential"
    assert told["steps"] == 6
    ascent = told["ascent"]
    assert ascent["targets"] == ["Class(index=1)", "Class(index=3)"]
    assert (ascent["seed"], ascent["count"], ascent["size"]) == (0, 2, [8, 12])
    assert ascent["canvas"] == str(Fourier())
    assert [one["target"] for one in told["images"]] == ["bee", "bee", "dog", "dog"]
    assert told["images"][0]["score"] == pytest.approx(float(found.scores[0]))
    assert len(told["strongest_photos"]) == 2
    assert {"torch", "sightline", "numpy"} <= told["versions"].keys()


ODD = {
    "a lambda": {"target": lambda scores: scores[:, 0]},
    "a vector": {"target": sl.targets.Direction("2", torch.ones(8))},
    "a sum with a vector": {"target": Class(1) + 2 * sl.targets.Direction("2", torch.ones(8))},
    "its own transform": {"transforms": (lambda images, dice: images,)},
    "its own optimizer": {"optimizer": lambda params: torch.optim.SGD(params, 0.1), "rate": None},
    "photos of a phase": {"canvas": sl.canvases.Phase(torch.rand(2, 3, 8, 12))},
    "a start": {"start": photo()},
    "penalties": {"penalties": (0.1 * Norm(float("inf")), L2())},
}


@pytest.mark.parametrize("name", ODD)
def test_provenance_is_the_same_json_in_every_run_whatever_was_given(name):
    options = {"target": 1, **ODD[name]}
    told = [json.dumps(climb(model(), steps=2, **options).provenance, allow_nan=False) for _ in range(2)]
    assert told[0] == told[1]
    assert " at 0x" not in told[0]
    assert "tensor(" not in told[0]


def test_a_dense_network_s_result_is_saved_without_answers(tmp_path):
    vis = climb(model_of(dense()), Region(torch.ones(8, 12), 1), 2)
    for suffix in ("png", "html", "npz"):
        vis.save(tmp_path / f"vis.{suffix}")
    assert json.loads(json.dumps(vis.provenance))["images"][0]["predictions"] == []
    assert vis.labels == ("class 1 in a region",)


def test_warnings_of_the_model_are_on_the_result():
    with pytest.warns(sl.SightlineWarning, match="no mean and std were given"):
        vis = sl.visualize(sl.wrap(conv_net(), input_size=(8, 12)), 1, 2, **PLAIN)
    assert [one.code for one in vis.warnings] == ["not-normalized"]


# Presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [None, (20, 28)], ids=str)
def test_every_preset_draws_the_same_again(preset, size):
    one, again = (sl.visualize(model(), [1, 3], 5, size, preset=preset) for _ in range(2))
    other = sl.visualize(model(), [1, 3], 5, size, seed=1, preset=preset, start="noise")
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, other.images)
    assert np.isfinite(one.history).all()
    assert one.recipe["preset"] == preset


def test_an_option_changes_a_preset_and_nothing_else_does():
    plain = sl.visualize(model(), 1, 2, preset="keras-vis")
    changed = sl.visualize(model(), 1, 2, preset="keras-vis", edge="reflect", views=2)
    differing = {name for name in plain.recipe if plain.recipe[name] != changed.recipe[name]}
    assert differing == {"edge", "views"}
    none = sl.visualize(model(), 1, 2, preset="keras-vis", edge=None, views=None, rate=None, canvas=None)
    assert none.recipe == plain.recipe


# Refused ----------------------------------------------------------------------------------------------------------

REFUSED = {
    "an unknown option": ({"transform": ()}, r"visualize has no option 'transform'; did you mean 'transforms'"),
    "an option of its optimizer": ({"lr": 0.1}, "visualize has no option 'lr'; "),
    "an unknown preset": ({"preset": "lucid2"}, "preset='lucid2'; did you mean 'lucid'"),
    "no preset": ({"preset": ["lucid"]}, r"preset=\['lucid'\]; "),
    "an unknown optimizer": ({"optimizer": "adm"}, "optimizer='adm'; did you mean 'adam'"),
    "no optimizer": ({"optimizer": 3}, "optimizer=3; give a name or class of torch.optim, or a function"),
    "a canvas's class": (
        {"canvas": Fourier},
        r"canvas=.*Fourier.*; give a value of sl\.canvases, such as Fourier\(\)",
    ),
    "an unknown canvas": ({"canvas": "fourrier"}, "canvas='fourrier'; did you mean 'fourier'"),
    "no canvas": ({"canvas": 3}, r"canvas=3; give a value of sl\.canvases"),
    "a penalty that is a number": (
        {"penalties": (3,)},
        r"3 is no target; give values such as 10 \* sl\.targets\.Norm",
    ),
    "no views": ({"views": 0}, "views=0; views has to be 1 or more, a whole number"),
    "patience of a half": ({"patience": 0.5}, "patience=0.5; patience has to be 0 or more"),
    "a negative blur": ({"blur": -1}, "blur=-1; possible: blur 0 or more"),
    "no steps": ({"steps": 0}, "steps=0; steps has to be 1 or more"),
    "steps of a half": ({"steps": 2.5}, "steps=2.5; steps has to be 1 or more, a whole number"),
    "a negative seed": ({"seed": -1}, "seed=-1; seed has to be 0 or more"),
    "no image": ({"count": 0}, "count=0; count has to be 1 or more"),
    "negative frames": ({"frames": -1}, "frames=-1"),
    "no size": ({"size": 0}, "size=0; size has to be 2 or more"),
    "three sizes": ({"size": (8, 8, 3)}, r"size=\(8, 8, 3\); give a side in pixels, or \(height, width\)"),
    "a size of halves": ({"size": 8.5}, "size=8.5; size has to be 2 or more, a whole number"),
    "a rate of nothing": ({"rate": 0}, "rate=0; possible: rate above 0"),
    "a rate in words": ({"rate": "fast"}, "rate='fast'; possible: rate above 0"),
    "a negative rate": ({"rate": -0.1}, "rate=-0.1; possible: rate above 0"),
    "normalize in words": ({"normalize": "yes"}, "normalize='yes'; possible: True, False"),
    "a factory that takes no rate": (
        {"optimizer": lambda params: torch.optim.SGD(params, 0.1), "rate": 0.1},
        "optimizer=<lambda> cannot be made for this canvas's numbers: .*'lr'",
    ),
    "a factory of no optimizer": (
        {"optimizer": list, "rate": None},
        "optimizer=list gave a list, which is no optimizer",
    ),
    "blur on a canvas that traces no picture": (
        {"canvas": sl.canvases.CPPN(4, 2), "blur": 1.0},
        r"CPPN\(hidden=4, layers=2\) cannot .* be blurred",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_refused_in_words(name):
    options, words = REFUSED[name]
    with pytest.raises(sl.OptionError, match=words):
        sl.visualize(model(), **{"target": 1, "steps": 2, **PLAIN, **options})


def test_one_transform_and_one_penalty_need_no_list():
    one = climb(model(), 1, 3, transforms=sl.transforms.Jitter(1), penalties=L2())
    assert torch.equal(
        one.images, climb(model(), 1, 3, transforms=[sl.transforms.Jitter(1)], penalties=[L2()]).images
    )


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (99, sl.TargetError, "99 does not exist; the network has 5"),
        (None, sl.TargetError, "names nothing to climb; give a class, a label"),
        ([], sl.TargetError, "names nothing to climb"),
        ("bear", sl.TargetError, "no class is labelled 'bear'"),
        (1.5, sl.TargetError, "1.5 is no target"),
        (L2(), sl.TargetError, "reads nothing of the network that could fire"),
        (-L2() - Norm(6), sl.TargetError, "reads nothing of the network that could fire"),
        (Diversity("2"), sl.TargetError, "reads nothing of the network that could fire"),
        ([Class(1), L2()], sl.TargetError, "reads nothing of the network that could fire"),
        ([Class(1), Class(1) + Diversity("2")], sl.TargetError, "compares images"),
        (
            PerImage((Class(1), Class(2))) + PerImage((Class(1),) * 3),
            sl.TargetError,
            "targets for 2 and 3 images do not add up",
        ),
        (Unit("nowhere", 1), sl.LayerError, "no layer named 'nowhere'"),
        (Unit("2", 8), sl.TargetError, "channel of '2' 8 does not exist"),
        (Unit("2", 1, at=(9, 9)), sl.TargetError, "position 9 does not exist"),
        (Region(np.ones((8, 12)), 1), sl.TargetError, "needs a dense output"),
        (lambda scores: scores, sl.TargetError, "one score per image"),
    ],
)
def test_a_target_that_cannot_be_climbed_is_refused_in_words(target, error, words):
    with pytest.raises(error, match=words):
        climb(model(), target)


@pytest.mark.parametrize("start", ["nosie", "no such file.png", 3, np.zeros((4, 4, 7), np.uint8)])
def test_a_start_that_is_none_is_refused(start):
    with pytest.raises((sl.PhotoError, sl.OptionError), match=r"start: .* A start is 'noise', 'zero', or a photo"):
        climb(model(), 1, start=start)


def test_what_is_no_model_is_refused():
    with pytest.raises(sl.ModelError):
        sl.visualize(conv_net(), 1, 2)


def test_a_number_of_scores_that_does_not_fit_the_labels_is_refused_before_the_ascent():
    steps = []
    with pytest.raises(sl.ModelError, match="3 labels for a network of 5 scores"):
        climb(model_of(conv_net(), labels=["a", "b", "c"]), 1, watch=steps.append)
    assert len(steps) <= 5


def test_a_network_that_overflows_is_said_so():
    class Infinite(torch.nn.Module):
        def forward(self, images):
            return (images * 1e38 * 1e38).flatten(1)[:, :3]

    with pytest.raises(sl.NetworkError, match="NaN or infinite"):
        climb(model_of(Infinite()), 1)


def test_pictures_open_as_pictures(found):
    content = found._repr_png_()
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
