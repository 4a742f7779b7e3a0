"""One detected box, one class's own area: what the scores are, which place is meant, and that it never moves."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import box_iou

import sightline as sl
from sightline.core.heats import Seen
from sightline.targets import Box, Class, Region

NAMES = ["__background__", "cat", "dog"]
CORNERS = torch.tensor([[2.0, 2, 10, 10], [3, 3, 11, 12], [16, 4, 30, 20], [0, 0, 0, 0], [18, 18, 26, 30]])


class Windows(nn.Module):
    """A detector of fixed boxes: a candidate is a cat as far as its box is red, a dog as far as it is green."""

    def forward(self, images):
        rows = []
        for x0, y0, x1, y1 in CORNERS.int().tolist():
            inside = images[:, :2, y0:y1, x0:x1].flatten(2)
            seen = inside.mean(2) if inside.shape[2] else images.new_zeros(len(images), 2)
            corners = images.new_tensor([x0, y0, x1, y1]).expand(len(images), 4)
            rows.append(torch.cat([corners, images.new_zeros(len(images), 1), seen], 1))
        return torch.stack(rows, 1)


def detector(**options):
    given = {"input_size": 32, "mean": 0.0, "std": 1.0, "output": "detections", "labels": NAMES} | options
    return sl.wrap(Windows().eval(), **given)


def quietly(verb, *given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return verb(*given, **options)


def scene(size=32, seed=0):
    """Dark, with a bright red patch in the first box and a weaker green one in the third."""
    photo = np.random.default_rng(seed).integers(0, 40, (size, size, 3), dtype=np.uint8)
    photo[2:10, 2:10, 0] = 230
    photo[4:20, 16:30, 1] = 150
    return photo


def literal_likeness(answer, box, index):
    """D-RISE's likeness of the best candidate of one image, as it is written."""
    best = 0.0
    for x0, y0, x1, y1, *chances in answer.tolist():
        wide, high = min(x1, box[2]) - max(x0, box[0]), min(y1, box[3]) - max(y0, box[1])
        shared = max(wide, 0.0) * max(high, 0.0)
        union = (x1 - x0) * (y1 - y0) + (box[2] - box[0]) * (box[3] - box[1]) - shared
        best = max(best, shared / union * chances[index])
    return best


def test_the_score_of_a_box_is_the_best_overlap_times_probability():
    dice = torch.Generator().manual_seed(0)
    starts, sizes = torch.rand(6, 50, 2, generator=dice) * 20, torch.rand(6, 50, 2, generator=dice) * 12
    answers = torch.cat([starts, starts + sizes, torch.rand(6, 50, 3, generator=dice)], 2)
    answers[:, 40:] = 0  # as lists are filled up
    seen = Seen(answers, {}, torch.arange(6), torch.zeros(6, 3, 32, 32), "detections")
    for index in range(3):
        box = (4.0, 5.5, 15.0, 14.0)
        expected = [literal_likeness(one, box, index) for one in answers]
        assert Box(box, index).read(seen).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_gradient_goes_through_the_winning_candidate_alone():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    heat = quietly(sl.attribute, detector(), images, Box((2, 2, 10, 11), 1), method="saliency")
    expected = torch.zeros(2, 3, 32, 32)
    for image, answer in enumerate(Windows()(images)):
        alike = box_iou(answer[:, :4], torch.tensor([[2.0, 2, 10, 11]]))[:, 0].nan_to_num() * answer[:, 5]
        win = int(alike.argmax())
        x0, y0, x1, y1 = CORNERS[win].int().tolist()
        area = (x1 - x0) * (y1 - y0)
        expected[image, 0, y0:y1, x0:x1] = float(alike[win] / answer[win, 5]) / area
    assert torch.allclose(heat.values, expected, atol=1e-6)


def test_without_a_target_the_best_box_of_the_untouched_photo_is_explained():
    ex = sl.explain(detector(), scene(), "saliency")
    assert (ex.target, ex.label) == (Box((2, 2, 10, 10), 1), "cat at 2,2,10,10")
    assert (ex.map[2:10, 2:10] > 0).all()
    assert np.abs(ex.map[12:]).max() == 0
    ex = sl.explain(detector(), scene(), "saliency", target="dog")
    assert ex.label == "dog at 16,4,30,20"
    assert ex.score == "likeness"
    assert sl.explain(detector(), scene(), "saliency", target=Class(2) - Class(1)).label == (
        "dog at 16,4,30,20 - cat at 2,2,10,10"
    )


def test_masks_do_not_move_the_box():
    """Where the cat is hidden the dog is the best box; the cat's own score is what counts."""
    photo = scene()
    ex = quietly(sl.explain, detector(), photo, "occlusion", window=8, stride=8, fill="black")
    named = quietly(sl.explain, detector(), photo, "occlusion", window=8, stride=8, fill="black", target=ex.target)
    assert torch.equal(ex.values, named.values)
    assert (ex.heatmap[4, 4], ex.heatmap[12, 24]) == (1.0, 0.0)


def test_a_batch_equals_its_images_one_by_one():
    photos = [scene(), scene()[:, ::-1].copy(), scene(seed=4)]
    together = quietly(sl.explain, detector(), photos, "saliency")
    for photo, ex in zip(photos, together, strict=True):
        alone = quietly(sl.explain, detector(), photo, "saliency")
        assert (ex.target, ex.label) == (alone.target, alone.label)
        assert torch.allclose(ex.values, alone.values, atol=1e-7)


def test_boxes_are_in_pixels_of_the_photo():
    """A photo of twice the height of the input, half as wide: fitted in, with a border left and right."""
    photo = np.zeros((64, 32, 3), np.uint8)
    photo[8:40, 16:32, 1] = 200  # on the input x 16 to 24, y 4 to 20
    model = detector()
    best = sl.predict(model, photo, top=3)
    assert [one.label for one in best] == ["dog", "dog"]  # what holds nothing is not among them
    assert best[0].box == (16.0, 8.0, 32.0, 40.0)  # 16, 4, 30, 20 of the input, cut off at the photo's edge
    assert best[0].words == "dog at 16,8,32,40"
    assert best[0].probability == best[0].score == pytest.approx(200 / 255 * 8 / 14, abs=0.02)
    ex = sl.explain(model, photo, "saliency")
    assert ex.target == Box((16.0, 8.0, 44.0, 40.0), 2)
    again = sl.explain(model, photo, "saliency", target=ex.target)
    assert torch.allclose(again.values, ex.values, atol=1e-7)
    assert again.target is ex.target or again.target == ex.target
    with pytest.raises(sl.TargetError, match=r"outside of a photo of 32 x 64 pixels"):
        sl.explain(model, photo, "saliency", target=Box((40, 0, 50, 10), 1))


def test_of_boxes_that_repeat_each_other_the_best_is_listed():
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[2:12, 2:11, 0], photo[2:10, 2:10, 0] = 200, 250
    listed = sl.predict(detector(), photo, top=9)
    boxes = torch.tensor([one.box for one in listed])
    assert box_iou(boxes, boxes).fill_diagonal_(0).max() <= 0.5
    assert listed[0].box == (2.0, 2.0, 10.0, 10.0)


def test_a_box_that_nothing_overlaps_is_said_to_be_empty():
    with pytest.warns(sl.SightlineWarning) as issued:
        ex = sl.explain(detector(), scene(), "saliency", target=Box((28, 0, 32, 3), 1))
    assert any("no candidate of the detector overlaps" in str(one.message) for one in issued)
    assert [one.code for one in ex.warnings] == ["blank-map", "no-candidate"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Box((5, 5, 5, 9), 1), r"the box \(5.0, 5.0, 5.0, 9.0\) holds no area; give x0 < x1 and y0 < y1"),
        (lambda: Box((5, 5, 4, 9), 1), "holds no area"),
        (lambda: Box((float("nan"), 0, 4, 9), 1), "holds no area"),
        (lambda: Box((0, 0, float("inf"), 9), 1), "holds no area"),
        (lambda: Box((0, 0, 4), 1), r"is no box; give \(x0, y0, x1, y1\)"),
        (lambda: Box("dog", 1), "is no box"),
        (lambda: sl.explain(detector(), scene(), "rise", target=Box((2, 2, 9, 9), 3)), "class 3 does not exist"),
        (lambda: sl.explain(detector(), scene(), "rise", target=7), "class 7 does not exist; the network has 3"),
        (lambda: sl.explain(detector(), scene(), "rise", target="cow"), "no class is labelled 'cow'"),
        (lambda: sl.explain(detector(), scene(), target=Region(np.ones((32, 32)), 1)), "Use Box"),
        (lambda: sl.explain(detector(), np.zeros((32, 32, 3), np.uint8)), "nothing is detected in the photo"),
        (lambda: sl.explain(detector(), scene(), target="__background__"), "nothing of class 0 is detected"),
        (lambda: sl.evidence(detector(), scene()), "gives no classes"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(make, said):
    with pytest.raises(sl.TargetError, match=said):
        make()


def test_a_box_of_a_network_that_detects_nothing_is_refused():
    classes = sl.wrap(lambda images: images.mean((2, 3)), input_size=8)
    dense = sl.wrap(lambda images: images, input_size=8)
    for model, instead in ((classes, "Use Class"), (dense, "Use Region")):
        with pytest.raises(sl.TargetError, match=f'needs a detector, whose output is "detections".*{instead}'):
            sl.explain(model, np.zeros((8, 8, 3), np.uint8), "rise", target=Box((0, 0, 4, 4), 1))


def test_a_probe_follows_the_box():
    """The likeness before and after, and as its probability; answers with their boxes; all of it written."""
    model, photo = detector(), scene()
    pr = quietly(sl.probe, model, photo, (2, 2, 10, 10), fill="black", target=Box((2, 2, 10, 10), 1), controls=9)
    answer = Windows()(torch.from_numpy(photo).movedim(2, 0)[None] / 255)[0]
    before = literal_likeness(answer, (2, 2, 10, 10), 1)
    assert pr.worlds["original"].score == pytest.approx(before, abs=1e-5)
    assert pr.effect["remove"].probability[0] == pytest.approx(before, abs=1e-5)
    assert pr.effect["remove"].change < -0.5
    assert pr.original[0].box == (2.0, 2.0, 10.0, 10.0)
    assert pr.edited["remove"][0].label == "dog"
    assert pr.label == "cat at 2,2,10,10"
    assert pr.provenance["original"]["predictions"][0]["box"] == (2.0, 2.0, 10.0, 10.0)
    json.dumps(pr.provenance, allow_nan=False)


def test_a_probe_of_a_photo_that_was_fitted_in_says_where_on_the_photo():
    photo = np.zeros((64, 32, 3), np.uint8)
    photo[8:40, 16:32, 1] = 200
    pr = quietly(sl.probe, detector(), photo, (20, 20, 30, 30), target="dog", controls=0)
    assert pr.label == "dog at 16,8,44,40"


def test_results_are_written_with_their_boxes(tmp_path: Path):
    ex = sl.explain(detector(), scene(), "saliency")
    for suffix in ("png", "svg", "npz", "html"):
        ex.save(tmp_path / f"cat.{suffix}")
    assert "cat at 2,2,10,10" in (tmp_path / "cat.html").read_text()
    assert ex.provenance["predictions"][0]["box"] == (2.0, 2.0, 10.0, 10.0)
    assert ex.panel().boxes == ((2.0, 2.0, 10.0, 10.0),)
    json.dumps(ex.provenance, allow_nan=False)


# Dense outputs ----------------------------------------------------------------------------------------------


class Colours(nn.Module):
    """A segmentation: the background's score is 0.2 everywhere, a cat's how red a pixel is, a dog's how green."""

    def forward(self, images):
        return torch.stack([torch.full_like(images[:, 0], 0.2), images[:, 0], images[:, 1]], 1)


def segmenter(network=None, **options):
    given = {"input_size": 32, "mean": 0.0, "std": 1.0, "resize": "squash", "labels": NAMES} | options
    return sl.wrap(network or Colours().eval(), **given)


def test_the_largest_area_that_is_no_background_is_explained():
    photo = scene()
    ex = sl.explain(segmenter(), photo, "saliency")
    assert ex.label == "dog where it is seen"  # 14 x 16 pixels; the cat has 8 x 8, the background the rest
    dog = np.zeros((32, 32), bool)
    dog[4:20, 16:30] = True
    assert np.array_equal(ex.target.mask > 0.5, dog)
    assert torch.allclose(ex.values[1], torch.from_numpy(dog / dog.sum()).float())
    assert torch.equal(sl.explain(segmenter(), photo, "saliency", target=ex.target).values, ex.values)
    assert sl.explain(segmenter(), photo, "saliency", target="cat").label == "cat where it is seen"
    alone = quietly(sl.explain, segmenter(), np.zeros((9, 9, 3), np.uint8), "saliency")
    assert alone.label == "__background__ where it is seen"
    assert quietly(sl.explain, segmenter(labels=["a", "b", "c"]), photo, "saliency").label == "a where it is seen"
    with pytest.raises(sl.TargetError, match="class 1 is seen nowhere"):
        quietly(sl.explain, segmenter(), np.zeros((9, 9, 3), np.uint8), "saliency", target="cat")


def test_a_segmentation_is_answered_by_areas():
    photo = scene()
    scores = Colours()(torch.from_numpy(photo).movedim(2, 0)[None] / 255)[0]
    likely, best = scores.softmax(0), scores.argmax(0)
    listed = sl.predict(segmenter(), photo)
    assert [one.label for one in listed] == ["__background__", "dog", "cat"]
    for one in listed:
        mine = best == one.index
        assert one.share == pytest.approx(float(mine.float().mean()), abs=1e-6)
        assert one.probability == pytest.approx(float(likely[one.index][mine].mean()), abs=1e-6)
        assert one.score == pytest.approx(float(scores[one.index][mine].mean()), abs=1e-6)
    assert listed[1].words == f"dog (of the photo; {listed[1].probability:.1%} likely there)"
    assert sl.explain(segmenter(), photo, "saliency").predictions == tuple(listed)


def test_a_border_is_no_part_of_the_photo():
    tall = np.zeros((64, 32, 3), np.uint8)
    tall[:16, :, 0] = 255
    listed = sl.predict(segmenter(resize="pad"), tall)
    assert {one.label: one.share for one in listed} == {"cat": 0.25, "__background__": 0.75}


def test_of_classes_that_can_all_be_right_each_has_its_own_area():
    class Both(nn.Module):
        def forward(self, images):
            return torch.stack([images[:, 0] - 0.5, images[:, 1] - 0.5, images[:, 2] - 2], 1).sigmoid()

    photo = np.zeros((32, 32, 3), np.uint8)
    photo[:8, :, 0] = photo[:16, :, 1] = 255
    model = segmenter(Both().eval(), labels=["red", "green", "blue"])
    assert model.readout.output == "multilabel"
    assert {one.label: one.share for one in sl.predict(model, photo)} == {"green": 0.5, "red": 0.25}
    assert sl.explain(model, photo, "saliency").label == "green where it is seen"
    with pytest.raises(sl.TargetError, match="no class is likelier than not anywhere"):
        sl.explain(model, np.zeros((32, 32, 3), np.uint8), "saliency")


def test_one_sigmoid_is_the_probability_of_one_class():
    class One(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3), keepdim=True)[:, :, 0, 0] * 4 - 1

    photo = np.full((8, 8, 3), 51, np.uint8)
    expected = 1 / (1 + np.exp(0.2))
    told = sl.wrap(One(), input_size=8, mean=0.0, std=1.0, output="multilabel", labels=["tumour"])
    found = sl.wrap(nn.Sequential(One(), nn.Sigmoid()), input_size=8, mean=0.0, std=1.0, labels=["tumour"])
    for model in (told, found):
        (one,) = sl.predict(model, photo)
        assert (one.label, one.probability) == ("tumour", pytest.approx(expected, abs=1e-6))
        assert one.score == pytest.approx(-0.2, abs=1e-6)
        ex = sl.explain(model, photo, "saliency")
        assert (ex.label, ex.score) == ("tumour", "logit")
        assert torch.allclose(ex.values, torch.full((3, 8, 8), 4 / 192))
