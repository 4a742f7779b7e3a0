"""sl.audit: verdicts where they are known, any data set, the report, and what is refused."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import sightline as sl
from sightline.demo.scenes import training_scene

SIDE, MIDDLE = 24, 12
LABELS = ("red", "green", "blue")
COLOURS = np.array(((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)))
Y, X = np.mgrid[:SIDE, :SIDE]
DISC = (Y - 11.5) ** 2 + (X - 11.5) ** 2 < 36
BOX = (6, 6, 18, 18)


def photos(each=24, region=DISC, classes=3):
    """Discs of the class's colour, dark, in surroundings of the class's colour, light; all a little noisy."""
    dice = np.random.default_rng(0)
    for i in range(each * classes):
        colour = COLOURS[i % classes]
        photo = np.where(DISC[..., None], colour * 0.6, colour * 0.6 + 0.4) + dice.uniform(0, 0.05, (SIDE, SIDE, 3))
        yield photo.clip(0, 1).astype(np.float32), i % classes, region


def reader(y, x):
    """A network that tells the class by the colour of one pixel."""

    def network(images):
        return 20 * images[:, :, y, x]

    return sl.wrap(
        network, input_size=SIDE, mean=(0.0,) * 3, std=(1.0,) * 3, resize="squash", labels=LABELS, output="logits"
    )


OF_OBJECT, OF_SURROUNDINGS, IN_THE_CORNER_OF_THE_BOX = reader(MIDDLE, MIDDLE), reader(1, 1), reader(7, 7)


@pytest.mark.parametrize(
    ("model", "verdict", "reliance", "loss"),
    [(OF_OBJECT, "object", 0, 0), (OF_SURROUNDINGS, "context", 1, 2 / 3)],
)
def test_verdict_reliance_and_loss_where_they_are_known(model, verdict, reliance, loss):
    report = sl.audit(model, photos(40))
    assert list(report.classes) == [0, 1, 2]
    for index, one in report.classes.items():
        assert (one.index, one.label, one.count, one.verdict) == (index, LABELS[index], 40, verdict)
        assert one.reliance == pytest.approx(reliance, abs=0.01)
        assert one.expected_loss == pytest.approx(loss, abs=0.01)
        assert one.replaced_loss == pytest.approx(1 - reliance, abs=0.01)
        assert one.reliance_interval[0] <= one.reliance <= one.reliance_interval[1]
        assert 0 <= one.expected_loss_interval[0] <= one.expected_loss <= one.expected_loss_interval[1] <= 1
        assert one.note == ""


def test_what_is_in_a_box_but_not_of_the_object_does_not_travel_along():
    """The network reads a corner of the box, which the disc does not reach."""
    by_box, by_mask = (sl.audit(IN_THE_CORNER_OF_THE_BOX, photos(20, region)).classes[0] for region in (BOX, DISC))
    assert by_box.expected_loss == pytest.approx(2 / 3, abs=0.02)
    assert by_mask.expected_loss == pytest.approx(2 / 3, abs=0.02)
    assert {photo.region for photo in by_box.photos} == {"box"}
    assert {photo.region for photo in by_mask.photos} == {"given"}


def test_a_box_without_an_edge_in_it_travels_whole_and_the_report_says_so():
    plain = [
        (np.full((SIDE, SIDE, 3), shade, np.float32), i % 2, BOX) for i, shade in enumerate((0.2, 0.4, 0.6, 0.8))
    ]
    with pytest.warns(sl.SightlineWarning, match="in 4 boxes no object could be cut out"):
        report = sl.audit(OF_OBJECT, plain)
    assert report.regions == {"whole box": 4}
    assert report.warnings[0].code == "whole-boxes"


def test_labels_may_be_strings_and_the_order_of_the_photos_changes_nothing():
    by_index = sl.audit(OF_SURROUNDINGS, photos(), seed=3)
    named = [(photo, LABELS[label], region) for photo, label, region in photos()]
    by_name = sl.audit(OF_SURROUNDINGS, named[::-1], seed=3)
    for one, other in zip(by_index.classes.values(), by_name.classes.values(), strict=True):
        assert (one.verdict, one.reliance, one.expected_loss_interval) == (
            other.verdict, other.reliance, other.expected_loss_interval,
        )  # fmt: skip
        assert [photo.sha256 for photo in one.photos] == [photo.sha256 for photo in other.photos]


def test_the_same_seed_gives_the_same_report():
    one, same = (sl.audit(OF_SURROUNDINGS, photos(), seed=5).to_json() for _ in range(2))
    assert one == same


def test_every_figure_can_be_traced_to_photos():
    one = sl.audit(OF_SURROUNDINGS, photos()).classes[1]
    assert len(one.photos) == one.count
    assert np.mean([photo.said == 1 for photo in one.photos]) == one.accuracy
    assert np.mean([photo.chance for photo in one.photos]) == pytest.approx(one.both)
    lost = np.mean([photo.same - photo.other for photo in one.photos])
    assert (1 - 1 / 3) * lost == pytest.approx(one.expected_loss)
    assert all(17 <= photo.passes <= 60 for photo in one.photos)


def test_the_json_has_a_schema_and_every_figure(tmp_path):
    report = sl.audit(OF_OBJECT, photos(10), out=tmp_path / "new" / "audit.json")
    document = json.loads((tmp_path / "new" / "audit.json").read_text())
    assert document == json.loads(report.to_json())
    assert document["schema"] == "sightline.audit/1"
    assert document["thresholds"]["loss"] == 0.1
    first = document["classes"][0]
    assert first["verdict"] == "undecided"
    assert "10 of the 20 photos" in first["note"]
    assert {
        "reliance",
        "expected_loss_interval",
        "both",
        "object_only",
        "surroundings_only",
        "neither",
    } <= first.keys()
    assert report.headline == "Of 3 classes: 0 context, 0 both, 0 object, 3 undecided."


def test_photos_that_cannot_be_used_are_named_and_those_that_come_twice_count_once(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    first = next(iter(photos(1)))
    whole = np.ones((SIDE, SIDE), bool)
    dataset = [*photos(3), first, first, (tmp_path / "broken.png", 0), (first[0] * 0.5, 0, whole)]
    with pytest.warns(sl.SightlineWarning) as told:
        report = sl.audit(OF_OBJECT, [(one[0], one[1], *(one[2:] or (DISC,))) for one in dataset])
    messages = [str(one.message) for one in told]
    assert any("2 photos are left out" in one and "broken.png" in one and "no rest" in one for one in messages)
    assert any("2 photos came again" in one for one in messages)
    assert sum(one.count for one in report.classes.values()) == 9


def test_leaves_network_and_dice_as_found():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network.train()
    model = sl.wrap(network, input_size=SIDE, mean=(0.0,) * 3, std=(1.0,) * 3, resize="squash", output="logits")
    before = torch.get_rng_state()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    sl.audit(model, photos(3))
    assert network.training
    assert (torch.get_rng_state() == before).all()
    assert all((value == state[name]).all() for name, value in network.state_dict().items())


@pytest.fixture(scope="module")
def scenes():
    """The embedded model's scenes as it was trained, three of its classes."""
    names = "ball", "cone", "duck"
    return [training_scene(700_000 + i, thing=names[i % 3]) for i in range(3 * 30)]


def test_the_demo_model_needs_the_court_for_its_ball_and_not_for_others(scenes):
    report = sl.audit(sl.load("demo"), [(scene.image(), scene.thing, scene.mask()) for scene in scenes])
    verdicts = {one.label: one.verdict for one in report.classes.values()}
    assert verdicts == {"ball": "both", "cone": "object", "duck": "object"}
    assert report.classes[0].expected_loss_interval[0] > 0.3
    assert report.classes[1].expected_loss < 0.05


def test_a_folder_of_class_folders_with_objects_found_where_the_maps_point(tmp_path, scenes):
    for i, scene in enumerate(scenes[:12]):
        folder = tmp_path / ("0" if scene.thing == "ball" else scene.thing)  # an index is a name, too
        folder.mkdir(exist_ok=True)
        Image.fromarray(scene.image()).save(folder / f"{i}.png")
    with pytest.warns(sl.SightlineWarning, match="the objects of 12 photos are where the model's own maps point"):
        report = sl.audit(sl.load("demo"), tmp_path)
    assert {one.label: one.count for one in report.classes.values()} == {"ball": 4, "cone": 4, "duck": 4}
    assert report.regions == {"found": 12}
    assert report.classes[1].photos[0].name.startswith("cone/")


@pytest.mark.parametrize(
    ("dataset", "error", "words"),
    [
        ([], sl.SightlineError, "none of the data set's photos"),
        (7, sl.SightlineError, "a folder of class folders, or an iterable"),
        ([np.zeros((SIDE, SIDE, 3))], sl.SightlineError, "it holds"),
        ("nowhere/at/all", sl.PhotoError, "is no folder"),
        (list(photos(3, classes=1)), sl.PhotoError, "at least two classes"),
        ([(np.zeros((SIDE, SIDE, 3)), "gren", DISC)], sl.TargetError, "did you mean 'green'"),
        ([(np.zeros((SIDE, SIDE, 3)), 3, DISC)], sl.TargetError, "class 3 does not exist; the network has 3"),
        ([(np.zeros((SIDE, SIDE, 3)), 0, "left")], sl.SightlineError, "a region is"),
        ([(np.zeros((SIDE, SIDE, 3)), 0.5, DISC)], sl.SightlineError, "whole number"),
    ],
)
def test_a_data_set_that_is_none_is_refused_with_what_is_possible(dataset, error, words):
    with pytest.raises(error, match=words):
        sl.audit(OF_OBJECT, dataset)


def test_a_network_that_chooses_no_class_is_refused():
    model = sl.wrap(lambda images: images.mean((1, 2, 3))[:, None], input_size=SIDE, mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(sl.SightlineError, match="asks which one of several classes"):
        sl.audit(model, photos(3))


def test_bad_options_are_refused_before_anything_is_shown(tmp_path):
    with pytest.raises(sl.SaveError, match=r"possible: \.json"):
        sl.audit(OF_OBJECT, photos(3), out=tmp_path / "audit.doc")
    with pytest.raises(sl.SightlineError, match="passes has to be 17 or more"):
        sl.audit(OF_OBJECT, photos(3), passes=5)
    with pytest.raises(sl.SightlineError, match="seed has to be 0 or more"):
        sl.audit(OF_OBJECT, photos(3), seed=-1)
    with warnings.catch_warnings(), pytest.raises(sl.ModelError, match="a Model is needed"):
        sl.audit(lambda images: images, photos(3))
