"""Photos in, verdicts out: what was asked and what it cost, fills, targets, geometry, and a record of it all."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from worlds import box_mask, model_of, photo_of, pixels_of, probed, two_classes

import sightline as sl
from sightline.core.errors import OptionError, PhotoError

SIZE, BOX = (24, 32), (6, 5, 12, 11)
INSIDE = box_mask(SIZE, BOX)
PHOTO = photo_of(0.5 + pixels_of(*SIZE) / 2)
some = settings(max_examples=25, deadline=None)


class Counted:
    """Scores that remember the batches they were asked for."""

    def __init__(self, scores):
        self.scores, self.batches = scores, []

    def __call__(self, images):
        self.batches.append(len(images))
        return self.scores(images)


class Net(nn.Module):
    """Two convolutions with known weights, batch norm, and a linear head behind an average."""

    def __init__(self, channels=3, classes=5):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True),
                                      nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(inplace=True))  # fmt: skip
        self.head = nn.Linear(8, classes)
        dice = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=dice) / max(1, parameter[0].numel()) ** 0.5)

    def forward(self, images):
        return self.head(self.features(images).mean((2, 3)))


def wrapped(network=None, **options):
    return sl.wrap(
        network or Net().eval(), **{"input_size": SIZE, "mean": 0.5, "std": 0.25, "resize": "squash"} | options
    )


def mean_in(images, mask):
    return (images.mean(1) * mask).sum((1, 2)) / mask.sum()


# What it costs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 50])
@pytest.mark.parametrize(
    ("edits", "fill", "worlds"),
    [
        (("remove", "keep"), "black", 4),  # the photo, nothing of it, without the region, with it alone
        (("remove", "keep"), ("black", "blur", "mean"), 1 + 3 * 3),
        ("grey", "black", 5),
        (("grey", "move"), ("black", "blur"), 1 + 2 * 3 + 1 + 2),
        (("remove", "keep", "blur", "recolour", "scale"), "noise", 7),
    ],
)
def test_what_went_through_the_network_is_counted_and_goes_in_full_batches(batch, edits, fill, worlds):
    net = Counted(two_classes(lambda images: images.mean((1, 2, 3))))
    model = model_of(net, SIZE, batch_size=batch)
    probed(model, PHOTO, BOX, edits, fill, 0, controls=0)  # looks the network over first
    net.batches.clear()
    progress = []
    pr = probed(model, PHOTO, BOX, edits, fill, 0, controls=20, progress=progress.append)
    shown = {name: len(effect.by_fill) or 1 for name, effect in pr.effect.items()}
    assert pr.passes == worlds + sum(effect.n * shown[name] for name, effect in pr.effect.items())
    assert all(effect.n == 20 for effect in pr.effect.values())
    assert sum(net.batches) == sum(progress) == pr.passes
    assert len(net.batches) == math.ceil(pr.passes / batch)
    assert net.batches[:-1] == [batch] * (len(net.batches) - 1)


def test_the_class_predicted_costs_one_pass_more_which_fixes_it():
    net = Counted(two_classes(lambda images: images.mean((1, 2, 3))))
    model = model_of(net, SIZE)
    probed(model, PHOTO, BOX)
    net.batches.clear()
    pr = probed(model, PHOTO, BOX)
    assert pr.target == sl.targets.Class(0)
    assert sum(net.batches) == pr.passes + 1


def test_worlds_are_made_when_their_turn_comes():
    events = []

    class Noted(sl.edits.Edit):
        """Nothing changes, and it is noted; what is compared is the region's negative."""

        def __call__(self, world):
            events.append("made")
            return world

        def becomes(self, world):
            return 1 - world.pixels

        def stake(self, world):
            return world.blend(1 - world.pixels, world.mask)

        def __str__(self):
            return "noted"

    def scores(images):
        events.append("asked")
        return two_classes(lambda images: images.mean((1, 2, 3)))(images)

    model = model_of(scores, SIZE, batch_size=4)
    probed(model, PHOTO, BOX, controls=0)
    events.clear()
    probed(model, PHOTO, BOX, Noted(), "black", 0, controls=60)
    first = events.index("asked")
    assert events[:first].count("made") <= 4
    waiting = 0
    for event in events[first + 1 :]:
        waiting = 0 if event == "asked" else waiting + 1
        assert waiting <= 4
    assert events.count("made") >= 61


def test_what_does_not_fit_into_memory_at_once_goes_in_smaller_batches():
    def scores(images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return two_classes(lambda images: images.mean((1, 2, 3)))(images)

    with pytest.warns(sl.SightlineWarning, match="did not fit into memory"):
        pr = sl.probe(model_of(scores, SIZE, batch_size=16), PHOTO, BOX, target=0, controls=9)
    expected = probed(
        model_of(two_classes(lambda images: images.mean((1, 2, 3))), SIZE), PHOTO, BOX, target=0, controls=9
    )
    assert [one.code for one in pr.warnings] == ["out-of-memory"]
    for name, effect in expected.effect.items():
        assert pr.effect[name].change == pytest.approx(effect.change)
        assert pr.effect[name].controls == pytest.approx(effect.controls)
        assert pr.effect[name].p == effect.p


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_results_do_not_turn_on_the_size_of_a_batch(batch):
    one, other = (probed(wrapped(batch_size=size), PHOTO, BOX, controls=15) for size in (8, batch))
    for name in one.effect:
        assert other.effect[name].change == pytest.approx(one.effect[name].change, abs=1e-4)
        assert other.effect[name].controls == pytest.approx(one.effect[name].controls, abs=1e-4)
    assert other.verdict == one.verdict


# What the answer hangs on -------------------------------------------------------------------------------------------


def lit(images, mask):
    return (mean_in(images, mask) > 0.3).float()


VERDICTS = {
    "region": lambda a, b: a,
    "rest": lambda a, b: b,
    "both": lambda a, b: a * b,
    "either": torch.maximum,
}


def logical(rule, **options):
    """Class 1 where a rule of (region lit, rest lit) holds, class 0 elsewhere."""

    def scores(images):
        holds = rule(lit(images, INSIDE), lit(images, 1 - INSIDE))
        return torch.stack([torch.full_like(holds, 0.5), holds], 1)

    return model_of(scores, SIZE, labels=["no", "yes"], **options)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("controls", [0, 99])
def test_verdicts(verdict, controls):
    pr = probed(logical(VERDICTS[verdict]), PHOTO, BOX, fill="black", controls=controls)
    assert (pr.verdict, pr.why) == (verdict, "")
    removed, kept = pr.edited["remove"][0].label, pr.edited["keep"][0].label
    assert (removed, kept) == {"region": ("no", "yes"), "rest": ("yes", "no"), "both": ("no", "no"),
                               "either": ("yes", "yes")}[verdict]  # fmt: skip
    assert pr.headline.startswith("No longer yes" if removed == "no" else "Still yes")
    assert [effect.holds for effect in pr.effect.values()] == [(removed == "yes",), (kept == "yes",)]
    if controls:
        assert pr.effect["remove"].held == 1.0, "hidden elsewhere, as much changes nothing here"


def test_where_hiding_anything_changes_the_answer_nothing_is_said_of_the_region():
    """The model counts its lit pixels: any box is as good as the region's."""

    def scores(images):
        share = (images.mean(1) > 0.2).float().mean((1, 2))
        return torch.stack([torch.full_like(share, 0.99), share], 1)

    pr = probed(model_of(scores, SIZE), PHOTO, BOX, fill="black")
    assert pr.effect["remove"].p == 1.0
    assert pr.effect["remove"].held == 0.0
    assert (pr.verdict, pr.why) == ("undecided", "masking anything hurts as much")
    assert pr.effect["remove"].note.startswith("Masking anything hurts as much.")
    assert pr.headline == "Undecided: masking anything hurts as much."


def test_a_class_that_is_not_the_answer_gets_effects_but_no_verdict():
    pr = probed(logical(VERDICTS["region"]), PHOTO, BOX, fill="black", target="no")
    assert (pr.verdict, pr.why) == ("undecided", "the class asked about is not the model's answer")
    assert pr.target == sl.targets.Class(0)
    assert pr.original[0].label == "yes"


@pytest.mark.parametrize(
    "target", [lambda scores: scores[:, 1], sl.targets.Contrast(1, 0)], ids=["function", "contrast"]
)
def test_the_verdict_is_of_the_answer_whatever_the_target(target):
    assert probed(logical(VERDICTS["region"]), PHOTO, BOX, fill="black", target=target).verdict == "region"
    assert probed(logical(VERDICTS["rest"]), PHOTO, BOX, fill="black", target=target).verdict == "rest"
    called = probed(logical(lambda a, b: 1 - 0 * a), PHOTO, BOX, fill="black", target=target)
    assert called.verdict == "undecided"
    assert "the fill alone is already called this class" in called.why


# Fills --------------------------------------------------------------------------------------------------------------


def test_the_change_is_the_mean_over_the_fills_and_each_is_given():
    model = wrapped()
    fills = ("black", "blur", (0.2, 0.5, 0.9), "inpaint", PHOTO[::-1].copy())
    both = probed(model, PHOTO, BOX, fill=fills, target=2, controls=0)
    names = ["black", "blur", "(0.2, 0.5, 0.9)", "inpaint", "a picture"]
    assert list(both.fills) == names
    for edit, effect in both.effect.items():
        alone = [probed(model, PHOTO, BOX, edit, fill, 2, controls=0).effect[edit].change for fill in fills]
        assert list(effect.by_fill) == names
        assert list(effect.by_fill.values()) == pytest.approx(alone, abs=1e-5)
        assert effect.change == pytest.approx(np.mean(alone), abs=1e-5)
        assert effect.range == pytest.approx((min(alone), max(alone)), abs=1e-5)
        assert both.worlds[edit].score == pytest.approx(both.worlds["original"].score + effect.change, abs=1e-5)


def test_controls_are_means_over_the_fills_too():
    model = wrapped()
    both = probed(model, PHOTO, BOX, "remove", ("black", "white"), 2, controls=10).effect["remove"]
    for shift, control in zip(both.where.shifts, both.controls, strict=True):
        y, x = shift
        there = (BOX[0] + x, BOX[1] + y, BOX[2] + x, BOX[3] + y)
        assert probed(model, PHOTO, there, "remove", ("black", "white"), 2, controls=0).effect["remove"].change == (
            pytest.approx(control, abs=1e-5))  # fmt: skip


def test_an_edit_that_shows_no_fill_is_the_same_for_all_of_them():
    effect = probed(wrapped(), PHOTO, BOX, "grey", ("black", "white"), 2).effect["grey"]
    assert effect.by_fill == {}
    assert effect.range == (effect.change, effect.change)
    assert len(effect.holds) == 1


def test_an_answer_that_depends_on_the_fill_is_said():
    """Brighter than a half is "bright": black takes that away, and white does not."""

    def scores(images):
        bright = mean_in(images, INSIDE)
        return torch.stack([torch.full_like(bright, 0.5), bright], 1)

    pr = probed(model_of(scores, SIZE), PHOTO, BOX, fill=("black", "white"))
    for effect in pr.effect.values():
        assert ("The answer depends on the fill." in effect.note) == (set(effect.holds) == {True, False})
    assert pr.effect["remove"].holds == (False, True)
    assert pr.effect["remove"].range[0] < 0 < pr.effect["remove"].range[1]
    assert (pr.verdict, pr.why) == ("undecided", "without the region the answer depends on the fill")
    alike = probed(model_of(scores, SIZE), PHOTO, BOX, fill=("black", (0.1, 0.1, 0.1)))
    assert not any("depends on the fill" in effect.note for effect in alike.effect.values())
    assert alike.verdict != "undecided"


def test_a_function_sees_what_the_network_does_and_what_is_hidden_of_it():
    seen = []

    def paint(photo, hidden):
        seen.append(
            (photo.shape, photo.dtype, hidden.dtype, int(hidden.sum()), float(photo.min()), float(photo.max()))
        )
        return np.zeros_like(photo)

    mine = probed(wrapped(), PHOTO, BOX, fill=paint, target=1, controls=3)
    black = probed(wrapped(), PHOTO, BOX, fill="black", target=1, controls=3)
    assert mine.fills == ("paint",)
    assert {kind[:3] for kind in seen} == {((24, 32, 3), np.dtype("float32"), np.dtype("bool"))}
    assert {kind[3] for kind in seen} == {36, 24 * 32 - 36, 24 * 32}
    assert all(0 <= kind[4] <= kind[5] <= 1 for kind in seen)
    for edit in mine.effect:
        assert mine.effect[edit].change == pytest.approx(black.effect[edit].change, abs=1e-6)
        assert mine.effect[edit].where.stake == pytest.approx(black.effect[edit].where.stake)


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        ("blak", "no fill named 'blak'; did you mean 'black'"),
        ("there/is/none.png", r"fill: .*none.png.* A name is one of black, white, mean"),
        ((), r"fill=\(\) names none"),
        ((0, 0, 255), "a colour is of numbers in"),
    ],
)
def test_fills_that_are_none_are_refused_in_words(fill, words):
    with pytest.raises(sl.SightlineError, match=words):
        sl.probe(wrapped(), PHOTO, BOX, fill=fill)


# Models and targets -------------------------------------------------------------------------------------------------


def test_probabilities_are_those_before_and_after():
    pr = probed(wrapped(), PHOTO, BOX, target=3, fill="black", controls=0)
    pixels = torch.from_numpy(PHOTO).movedim(-1, 0)
    for edit, shown in (("remove", 1 - INSIDE), ("keep", INSIDE)):
        with torch.no_grad():
            before, after = Net().eval()((torch.stack([pixels, pixels * shown]) - 0.5) / 0.25)
        assert pr.effect[edit].probability == pytest.approx(
            (float(before.softmax(0)[3]), float(after.softmax(0)[3])), abs=1e-5
        )
        assert pr.effect[edit].change == pytest.approx(float(after[3] - before[3]), abs=1e-4)
        answers = pr.edited[edit]
        assert [one.index for one in answers] == after.argsort(descending=True).tolist()
        assert [one.score for one in answers] == pytest.approx(after.sort(descending=True).values.tolist(), abs=1e-4)
    assert [one.index for one in pr.original] == [one.index for one in sl.predict(wrapped(), PHOTO)]


def test_a_regression_has_effects_and_shares_and_no_verdict():
    model = model_of(lambda images: images.mean((1, 2, 3))[:, None], SIZE)
    pr = probed(model, PHOTO, BOX, fill="black")
    assert (pr.verdict, pr.score) == ("undecided", "output")
    assert "no classes" in pr.why
    assert pr.target == sl.targets.Output(0)
    drop = float((torch.from_numpy(PHOTO).mean(-1) * INSIDE).sum() / INSIDE.numel())
    effect = pr.effect["remove"]
    assert effect.change == pytest.approx(-drop, abs=1e-6)
    assert (effect.probability, effect.holds, effect.held) == (None, (), None)
    assert pr.shares.of_region == pytest.approx(drop, abs=1e-6)
    assert pr.original[0].probability is None
    json.dumps(pr.provenance, allow_nan=False)


def test_a_multilabel_model_has_a_probability_for_each_label():
    model = wrapped(nn.Sequential(Net(), nn.Sigmoid()).eval(), output="multilabel")
    pr = probed(model, PHOTO, BOX, target=1, controls=3)
    before, after = pr.effect["keep"].probability
    assert before == pytest.approx(1 / (1 + math.exp(-pr.worlds["original"].score)), abs=1e-5)
    assert after == pytest.approx(1 / (1 + math.exp(-pr.worlds["keep"].score)), abs=1e-5)


def test_of_several_labels_the_answer_is_whether_the_one_asked_about_is_given():
    """Each label has its own yes and no: the region's stays no matter how much higher another one is."""

    def scores(images):
        region, rest = lit(images, INSIDE), lit(images, 1 - INSIDE)
        return torch.stack([4 * region - 2, 9 * rest - 1], 1)

    model = model_of(scores, SIZE, output="multilabel", labels=["region", "rest"])
    for label, verdict in (("region", "region"), ("rest", "rest")):
        pr = probed(model, PHOTO, BOX, fill="black", target=label)
        assert (pr.verdict, pr.effect["remove"].holds) == (verdict, (label == "rest",))
    dark = probed(model, 0.1 * PHOTO, BOX, fill="black", target="region")
    assert (dark.verdict, dark.why) == ("undecided", "the class asked about is not the model's answer")


def test_a_softmax_at_the_end_is_looked_behind():
    plain, squashed = (
        probed(wrapped(), PHOTO, BOX, target=1),
        probed(wrapped(nn.Sequential(Net(), nn.Softmax(1)).eval()), PHOTO, BOX, target=1),
    )
    assert squashed.effect["remove"].change == pytest.approx(plain.effect["remove"].change, abs=1e-4)
    assert squashed.effect["remove"].p == plain.effect["remove"].p


def test_a_region_of_a_dense_output_is_a_target():
    """The output is the picture itself: what is hidden elsewhere does not count."""
    model = model_of(lambda images: images, SIZE)
    target = sl.targets.Region(INSIDE.numpy(), 1)
    pr = probed(model, PHOTO, BOX, fill="black", target=target)
    own = float(torch.from_numpy(PHOTO)[..., 1][INSIDE > 0].mean())
    assert pr.worlds["original"].score == pytest.approx(own, abs=1e-5)
    assert pr.effect["remove"].change == pytest.approx(-own, abs=1e-5)
    assert pr.effect["remove"].p == 0.01
    assert np.abs(pr.effect["remove"].controls).max() < 1e-6
    best = np.bincount(PHOTO.argmax(2).ravel(), minlength=3)
    assert {one.index: one.share for one in pr.original} == {i: n / PHOTO[..., 0].size for i, n in enumerate(best)}
    assert pr.verdict == "undecided"
    json.dumps(pr.provenance, allow_nan=False)
    pr = probed(model, PHOTO, BOX)  # asks about the largest area
    assert pr.label == f"class {best.argmax()} where it is seen"
    assert pr.worlds["original"].score == pytest.approx(PHOTO.max(2)[PHOTO.argmax(2) == best.argmax()].mean())


def test_a_unit_inside_is_a_target():
    network = Net().eval()
    pr = probed(wrapped(network), PHOTO, BOX, fill="black", target=sl.targets.Unit("features.3", 4), controls=5)
    pixels = torch.from_numpy(PHOTO).movedim(-1, 0)
    with torch.no_grad():
        inputs = (torch.stack([pixels, pixels * (1 - INSIDE)]) - 0.5) / 0.25
        before, after = network.features[:4](inputs)[:, 4].mean((1, 2)).tolist()
    assert pr.worlds["original"].score == pytest.approx(before, abs=1e-5)
    assert pr.effect["remove"].change == pytest.approx(after - before, abs=1e-5)
    assert pr.effect["remove"].probability is None
    assert len(pr.effect["remove"].controls) == 5


def test_a_function_of_the_scores_is_a_target():
    pr = probed(wrapped(), PHOTO, BOX, fill="black", target=lambda scores: scores[:, 1] - scores[:, 2], controls=5)
    one, two = (probed(wrapped(), PHOTO, BOX, fill="black", target=i, controls=5) for i in (1, 2))
    for edit in pr.effect:
        assert pr.effect[edit].change == pytest.approx(one.effect[edit].change - two.effect[edit].change, abs=1e-4)


@pytest.mark.parametrize("fill", ["black", "blur", "inpaint", "noise", 0.3])
def test_networks_of_one_channel(fill):
    model = sl.wrap(Net(channels=1).eval(), input_size=SIZE, channels=1, mean=0.5, std=0.25, resize="squash")
    pr = probed(
        model, PHOTO, BOX, ("remove", "keep", "blur", "move", "grey", "rotate", "shuffle-patches"), fill, controls=5
    )
    assert pr.worlds["remove"].picture.shape == (*SIZE, 3)
    assert len(pr.effect) == 7
    assert pr.effect["grey"].change == pytest.approx(0, abs=1e-6)


def test_a_double_and_a_bfloat_network_give_what_a_float_one_does():
    plain = probed(wrapped(), PHOTO, BOX, target=1, controls=9)
    for dtype, within in ((torch.float64, 1e-4), (torch.bfloat16, 0.1)):
        pr = probed(wrapped(Net().eval().to(dtype)), PHOTO, BOX, target=1, controls=9)
        assert pr.effect["keep"].change == pytest.approx(plain.effect["keep"].change, abs=within)
        json.dumps(pr.provenance, allow_nan=False)


@pytest.mark.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def test_on_a_gpu_results_are_those_of_the_cpu(device):
    plain, there = (
        probed(
            wrapped().to(device), PHOTO, BOX, ("remove", "keep", "rotate", "shuffle-patches"), ("noise", "inpaint"), 1
        )
        for device in ("cpu", device)
    )
    for edit in plain.effect:
        assert there.effect[edit].change == pytest.approx(plain.effect[edit].change, abs=1e-3)
        assert there.effect[edit].where.shifts == plain.effect[edit].where.shifts


# Photos and regions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_is_in_pixels_of_the_upright_photo(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray((PHOTO * 255).round().astype(np.uint8)).save(tmp_path / "turned.png", exif=exif)
    upright = sl.open_photo(tmp_path / "turned.png")
    pr = probed(wrapped(), tmp_path / "turned.png", BOX, controls=9)
    same = probed(wrapped(), np.asarray(upright.image()), BOX, controls=9)
    assert pr.photo.pixels.shape == upright.pixels.shape
    assert (pr.photo.height, pr.photo.width) == ((24, 32) if orientation < 5 else (32, 24))
    for edit in pr.effect:
        assert pr.effect[edit].change == same.effect[edit].change
        assert pr.effect[edit].where.shifts == same.effect[edit].where.shifts
    hidden = np.abs(pr.worlds["remove"].picture.astype(int) - pr.worlds["original"].picture).any(2)
    rows, columns = np.nonzero(hidden)
    high, wide = (SIZE[0] / pr.photo.height, SIZE[1] / pr.photo.width)
    assert rows.min() == pytest.approx(BOX[1] * high, abs=1.5)
    assert columns.max() + 1 == pytest.approx(BOX[2] * wide, abs=1.5)


def test_what_a_crop_cuts_off_of_the_region_is_said():
    model = wrapped(input_size=28, resize="crop")  # of 32 x 64 pixels it sees rows 2 to 30 and columns 18 to 46
    photo = photo_of(pixels_of(32, 64))
    with pytest.warns(sl.SightlineWarning, match="50% of the region is cut off before the network sees it"):
        pr = sl.probe(model, photo, (10, 10, 26, 20), controls=3)
    assert [one.code for one in pr.warnings] == ["region-cut-off"]
    assert pr.mask.sum() == pytest.approx(8 * 10, abs=0.01)
    assert np.argwhere(pr.mask > 0).min(0).tolist() == [8, 0]
    whole = probed(model, photo, (20, 10, 28, 20), controls=3)
    assert whole.warnings == ()
    with pytest.raises(OptionError, match=r"box \(0, 0, 10, 10\) lies where the network sees nothing .*\(crop\)"):
        sl.probe(model, photo, (0, 0, 10, 10))


def test_a_region_that_is_next_to_nothing_on_the_input_is_said():
    model, photo = wrapped(), photo_of(pixels_of(240, 320))
    with pytest.warns(
        sl.SightlineWarning, match="so small or soft on the network's input that its pixels are edited to"
    ):
        pr = sl.probe(model, photo, (100, 100, 104, 104), controls=0)
    assert [one.code for one in pr.warnings] == ["region-faint"]
    assert pr.mask.max() < 0.5
    with pytest.raises(OptionError, match="smaller than a pixel of the network's input, which is 32 x 24"):
        sl.probe(model, photo_of(pixels_of(2400, 3200)), (100, 100, 101, 101))


def test_a_region_of_no_photo_is_refused():
    with pytest.raises(OptionError, match="covers nothing of the photo, which is 32 pixels wide and 24 high"):
        sl.probe(wrapped(), PHOTO, (40, 0, 50, 10))
    with pytest.raises(OptionError, match="a region is a box"):
        sl.probe(wrapped(), PHOTO, "left")


def test_a_padded_photo_keeps_its_border_in_every_world():
    model = wrapped(input_size=32, resize="pad")
    pr = probed(
        model, photo_of(pixels_of(16, 32)), (4, 4, 12, 12), ("remove", "keep", "move", "blur"), ("noise", "inpaint")
    )
    border = np.ones((32, 32), bool)
    border[8:24] = False
    for world in pr.worlds.values():
        assert (world.picture[border] == pr.worlds["original"].picture[border]).all()
    for effect in pr.effect.values():
        for y, _ in effect.where.shifts:
            assert -4 <= y <= 4


@some
@given(st.integers(0, 16), st.integers(0, 16), st.integers(4, 16), st.integers(4, 8))
def test_a_mask_a_box_and_a_polygon_of_the_same_pixels_are_the_same_region(x, y, wide, high):
    box = (x, y, x + wide, y + high)
    corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
    regions = [
        box,
        sl.regions.Box(*box),
        box_mask(SIZE, box).numpy(),
        box_mask(SIZE, box).bool(),
        sl.regions.Polygon(corners),
    ]
    found = [probed(wrapped(), PHOTO, region, controls=2) for region in regions]
    assert len({one.effect["remove"].change for one in found}) == 1
    assert all(np.array_equal(one.mask, found[0].mask) for one in found)


def test_a_soft_edge_is_in_pixels_of_the_photo_and_no_harder_cue():
    photo = photo_of(pixels_of(48, 32))  # squeezed: two rows of the photo in one of the input
    hard, soft = (probed(wrapped(), photo, (6, 10, 16, 30), soft=soft, controls=3) for soft in (0, 2.0))
    assert ((hard.mask > 0.2) & (hard.mask < 0.8)).sum() == 0
    assert ((soft.mask > 0) & (soft.mask < 1)).sum() > 50
    assert soft.mask.sum() == pytest.approx(hard.mask.sum(), rel=0.02)
    rows = soft.mask[:, 11]
    slope_y, slope_x = np.abs(np.diff(rows)).max(), np.abs(np.diff(soft.mask[10])).max()
    assert slope_y == pytest.approx(1 / (1.0 * math.sqrt(2 * math.pi)), rel=0.15)  # sigma 2 of the photo is 1 down
    assert slope_x == pytest.approx(1 / (2.0 * math.sqrt(2 * math.pi)), rel=0.1)  # and 2 across
    assert soft.provenance["soft"] == 2.0


# Many, and again ----------------------------------------------------------------------------------------------------


def same(one, other):
    """Whether two probes found the same, within rounding."""
    assert one.effect.keys() == other.effect.keys()
    for edit, effect in one.effect.items():
        assert other.effect[edit].change == pytest.approx(effect.change, abs=1e-5)
        assert other.effect[edit].controls == pytest.approx(effect.controls, abs=1e-5)
        assert other.effect[edit].where.shifts == effect.where.shifts
        assert (other.effect[edit].p, other.effect[edit].note) == (effect.p, effect.note)
    assert (one.verdict, one.target, one.passes) == (other.verdict, other.target, other.passes)
    return True


def test_many_photos_are_probed_as_each_alone():
    photos = [photo_of(pixels_of(*SIZE, seed=seed)) for seed in range(3)]
    boxes = [BOX, (0, 0, 5, 7), (20, 10, 30, 20)]
    model, options = (
        wrapped(),
        {"fill": ("noise", "inpaint"), "controls": 9, "seed": 4, "edits": ("keep", "move", "shuffle-patches")},
    )
    many = probed(model, photos, boxes, target=[1, 3, 1], **options)
    assert isinstance(many, list)
    for one, photo, box, target in zip(many, photos, boxes, (1, 3, 1), strict=True):
        assert same(one, probed(model, photo, box, target=target, **options))
    assert same(probed(model, photos, tuple(boxes), target=[1, 3, 1], **options)[2], many[2])
    shared = probed(model, np.stack(photos), BOX, **options)
    assert [one.region for one in shared] == [f"box {BOX}"] * 3
    assert same(shared[2], probed(model, photos[2], BOX, **options))
    assert same(probed(model, [photos[1]], list(BOX), **options)[0], probed(model, photos[1], BOX, **options))
    assert sl.probe(model, [], BOX) == []


@pytest.mark.parametrize(
    ("region", "target", "words"),
    [
        ([BOX, BOX], None, "2 regions for 3 photos; give one, or one for each"),
        (BOX, [1, 2], "2 targets for 3 images"),
    ],
)
def test_one_or_as_many_as_there_are_photos(region, target, words):
    with pytest.raises(sl.SightlineError, match=words):
        sl.probe(wrapped(), [PHOTO] * 3, region, target=target)


def test_same_seed_same_result_and_no_global_seed_is_touched():
    options = {"fill": ("noise", "shuffle"), "edits": ("remove", "shuffle-patches"), "target": 1}
    model = wrapped()
    torch.manual_seed(5)
    first = probed(model, PHOTO, BOX, seed=7, **options)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert same(first, probed(wrapped(), PHOTO, BOX, seed=7, **options))
    other = probed(wrapped(), PHOTO, BOX, seed=8, **options)
    assert other.effect["remove"].change != first.effect["remove"].change
    assert other.effect["shuffle-patches"].change != first.effect["shuffle-patches"].change


def test_the_photo_and_the_region_are_left_as_they_were():
    photo, mask = PHOTO.copy(), INSIDE.numpy().copy()
    probed(wrapped(), photo, mask, ("remove", "keep", "move", "grey"))
    assert np.array_equal(photo, PHOTO)
    assert np.array_equal(mask, INSIDE.numpy())


# The record ---------------------------------------------------------------------------------------------------------


def test_the_record_is_json_and_complete():
    edits = ("remove", sl.edits.Grey() + sl.edits.Move(2, 1))
    model = wrapped(labels=list("abcde"))
    pr = probed(model, PHOTO, BOX, edits, ("black", "noise"), "c", 3, controls=12, soft=1.0)
    record = json.loads(json.dumps(pr.provenance, allow_nan=False))
    plain = {"seed": 3, "region": f"box {BOX}", "soft": 1.0, "fills": ["black", "noise"], "label": "c"}
    assert plain.items() <= {name: record[name] for name in plain}.items()
    assert record["score"] == "logit"
    for name in ("passes", "verdict", "why", "headline"):
        assert record[name] == getattr(pr, name)
    assert record["photo_sha256"] == pr.photo.sha256
    assert record["recipe"]["input_size"] == list(SIZE)
    assert record["target"] == "Class(index=2)"
    assert [one["label"] for one in record["original"]["predictions"]] == [one.label for one in pr.original]
    assert list(record["edits"]) == ["remove", "grey + move(2, 1)"]
    for name, told in record["edits"].items():
        effect = pr.effect[name]
        assert told["change"] == effect.change
        assert told["by_fill"] == dict(effect.by_fill)
        assert told["controls"] == effect.controls.tolist()
        assert (told["p"], told["p_holm"], told["n"]) == (effect.p, effect.adjusted, effect.n)
        assert told["placements"] == [list(shift) for shift in effect.where.shifts]
        assert told["placements_wanted"] == 12
        assert told["note"] == effect.note
    assert record["shares"]["region"] == pr.shares.region
    values = ("both", "region_only", "rest_only", "neither", "interaction", "of_region", "of_rest", "note")
    assert {name: record["shares"][name] for name in values} == {name: getattr(pr.shares, name) for name in values}


def test_values_with_their_record_are_saved_and_read_back(tmp_path):
    pr = probed(wrapped(), PHOTO, BOX, controls=7)
    pr.save(tmp_path / "probe.npz")
    with np.load(tmp_path / "probe.npz") as saved:
        assert np.array_equal(saved["remove/controls"], pr.effect["remove"].controls)
        assert np.array_equal(saved["keep/picture"], pr.worlds["keep"].picture)
        assert np.array_equal(saved["mask"], pr.mask)
        assert json.loads(str(saved["provenance"]))["edits"]["keep"]["change"] == pr.effect["keep"].change


@pytest.mark.parametrize("name", ["probe.png", "probe.html"])
def test_a_figure_is_saved_of_any_model(tmp_path, name):
    for model in (wrapped(), logical(VERDICTS["rest"])):
        probed(model, PHOTO, BOX, controls=7).save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


def test_the_pictures_are_what_the_network_saw():
    pr = probed(wrapped(), PHOTO, BOX, fill="black", controls=0)
    plain = (PHOTO * 255).round()
    inside = INSIDE.numpy() > 0
    assert np.abs(pr.worlds["original"].picture - plain).max() <= 1
    assert (pr.worlds["remove"].picture[inside] == 0).all()
    assert (pr.worlds["keep"].picture[~inside] == 0).all()
    assert np.abs(pr.worlds["keep"].picture[inside] - plain[inside]).max() <= 1
    assert (pr.worlds["nothing"].picture == 0).all()
    assert pr.worlds["nothing"].score == pr.shares.neither


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"controls": -1}, "controls=-1; controls has to be 0 or more"),
        ({"controls": 2.5}, "controls=2.5"),
        ({"seed": -1}, "seed=-1"),
        ({"soft": -1}, "soft=-1; possible: soft 0 or more"),
        ({"soft": float("nan")}, "soft=nan"),
        ({"edits": "remov"}, "no edit 'remov'; did you mean 'remove'"),
        ({"target": 99}, "99 does not exist; the network has 5"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(options, words):
    with pytest.raises(sl.SightlineError, match=words):
        sl.probe(wrapped(), PHOTO, BOX, **options)


def test_a_network_alone_is_no_model():
    with pytest.raises(sl.ModelError, match="a Model is needed, not a Net"):
        sl.probe(Net(), PHOTO, BOX)


def test_a_photo_that_is_not_there_is_refused():
    with pytest.raises(PhotoError, match="none"):
        sl.probe(wrapped(), "there/is/none.png", BOX)
    with pytest.raises(PhotoError, match="none"):
        sl.probe(wrapped(), PHOTO, BOX, sl.edits.SwapBackground("there/is/none.png"))


def test_other_photos_are_seen_as_they_would_be_alone(tmp_path):
    other = photo_of(pixels_of(60, 40, seed=9))
    Image.fromarray((other * 255).round().astype(np.uint8)).save(tmp_path / "beach.png")
    model = wrapped()
    swap = sl.edits.SwapBackground(tmp_path / "beach.png")
    pr = probed(model, PHOTO, BOX, (swap, sl.edits.SwapObject(tmp_path / "beach.png", (10, 10, 30, 40))), controls=9)
    alone = np.asarray(model.geometry.view(60, 40).to_input(sl.open_photo(tmp_path / "beach.png"))).transpose(1, 2, 0)
    picture = pr.worlds["swap-background(beach)"].picture
    outside = INSIDE.numpy() == 0
    assert np.abs(picture[outside] - alone[outside] * 255).max() <= 1
    assert np.abs(picture[~outside] - PHOTO[~outside] * 255).max() <= 1
    assert pr.effect["swap-background(beach)"].beyond == "above"
    assert pr.effect["swap-background(beach)"].by_fill == {}
    assert pr.effect["swap-object(beach)"].beyond == "below"
    outside[:, :] = True
    outside[4:12, 5:13] = False
    assert np.abs(pr.worlds["swap-object(beach)"].picture[outside] - PHOTO[outside] * 255).max() <= 1
