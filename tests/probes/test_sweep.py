"""An object slid over its scene, scaled and turned: scores on paper, and the photo's own state among them."""

import json
import warnings

import numpy as np
import pytest
import torch
from worlds import box_mask, disc_mask, model_of, photo_of, pixels_of, two_classes

import sightline as sl
from sightline.core.errors import OptionError
from sightline.core.errors import SightlineWarning as Notice
from sightline.demo.scenes import draw
from sightline.probes.sweep import DEGREES, SCALES

SIZE = (40, 48)


def on_black(mask, colour=(1.0, 1.0, 1.0)):
    """A picture that is black but for an object."""
    return photo_of(torch.tensor(colour).view(3, 1, 1) * mask)


def swept(score, photo, region, size=SIZE, fill="black", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        return sl.sweep(model_of(two_classes(score), size), photo, region, fill, **options)


def grid(found):
    return np.array(found.places.values).reshape(len(found.ys), len(found.xs))


def light(images):
    return images.mean(1).sum((1, 2))


def light_at(y, x, high=4, wide=4):
    """The light in a box around a place (y, x)."""
    rows, columns = slice(y - high // 2, y + high // 2), slice(x - wide // 2, x + wide // 2)
    return lambda images: images[:, :, rows, columns].mean((1, 2, 3))


@pytest.mark.parametrize("place", [(4, 4), (20, 24), (36, 4), (12, 34), (36, 44)])
def test_the_map_peaks_where_the_model_looks(place):
    """An object of 8 x 8 that starts elsewhere; its middle can be at 4, 8, ..., 36 and at 4, 9, ..., 44."""
    found = swept(light_at(*place), on_black(box_mask(SIZE, (8, 20, 16, 28))), (8, 20, 16, 28)).found
    assert found.ys == pytest.approx(np.arange(4, 37, 4))
    assert found.xs == pytest.approx(np.arange(4, 45, 5))
    scores = grid(found)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert abs(found.ys[row] - place[0]) <= 2
    assert abs(found.xs[column] - place[1]) <= 2.5
    assert scores.max() == pytest.approx(1, abs=0.01)
    far = (abs(np.array(found.ys)[:, None] - place[0]) > 6) | (abs(np.array(found.xs) - place[1]) > 6)
    assert np.abs(scores[far]).max() == pytest.approx(0, abs=1e-5)


def test_the_photos_own_state_is_among_them():
    """The object is where the grid has a place, at scale 1, and not turned."""
    box = (20, 16, 28, 24)
    found = swept(light_at(20, 26), on_black(box_mask(SIZE, box)), box).found
    assert found.middle == (24.0, 20.0)
    own = grid(found)[found.ys.index(20.0), found.xs.index(24.0)]
    assert own == pytest.approx(found.value, abs=1e-5)
    assert found.scales.values[SCALES.index(1.0)] == pytest.approx(found.value, abs=1e-5)
    assert found.degrees.values[DEGREES.index(0.0)] == pytest.approx(found.value, abs=1e-5)
    assert found.scales.at == SCALES
    assert found.degrees.at == DEGREES


def test_light_grows_with_the_square_of_the_scale_and_not_with_a_turn_or_a_place():
    mask = disc_mask(SIZE, (20, 24), 7)
    found = swept(light, on_black(mask), sl.regions.Mask(mask.numpy())).found
    assert found.value == pytest.approx(float(mask.sum()))
    for factor, value in zip(found.scales.at, found.scales.values, strict=True):
        assert value == pytest.approx(factor**2 * found.value, rel=0.06), factor
    assert found.degrees.values == pytest.approx([found.value] * len(DEGREES), rel=0.02)
    assert np.array(found.places.values) == pytest.approx(found.value, rel=1e-3), "all of it is on the photo"


def test_a_turn_is_counter_clockwise():
    """A short bar to the right of the middle, with a dot that keeps the middle where it is: up after 90 degrees."""
    mask = box_mask(SIZE, (24, 18, 36, 22)) + box_mask(SIZE, (12, 19, 14, 21))
    found = swept(light_at(12, 24), on_black(mask), sl.regions.Mask(mask.numpy())).found
    best = found.degrees.at[int(np.argmax(found.degrees.values))]
    assert best == 90.0
    assert found.degrees.values[0] == pytest.approx(found.degrees.values[-1], abs=1e-4), "half a turn either way"


def test_an_object_in_two_parts_stays_whole_at_every_place():
    mask = box_mask(SIZE, (4, 6, 8, 12)) + box_mask(SIZE, (26, 10, 30, 16))
    found = swept(light, on_black(mask), sl.regions.Mask(mask.numpy())).found
    assert (min(found.xs), max(found.xs)) == (13.0, 48 - 13.0)
    assert (min(found.ys), max(found.ys)) == (5.0, 40 - 5.0)
    assert np.array(found.places.values) == pytest.approx(found.value, rel=1e-3)


def test_an_object_as_wide_as_the_photo_goes_up_and_down_only():
    found = swept(light, on_black(box_mask(SIZE, (0, 4, 48, 10))), (0, 4, 48, 10), steps=5).found
    assert found.xs == (24.0,)
    assert len(found.ys) == len(found.places.values) == 5


def test_what_was_behind_the_object_is_filled_at_every_place():
    """White on green with a red fill: as much red as the object has pixels, less where it covers its own place."""
    mask = box_mask(SIZE, (20, 16, 28, 24))
    photo = photo_of(torch.tensor([0, 1.0, 0]).view(3, 1, 1) * (1 - mask) + mask)
    found = swept(
        lambda images: (images[:, 0] - images[:, 2]).sum((1, 2)), photo, (20, 16, 28, 24), fill=(1.0, 0, 0)
    ).found
    scores = grid(found)
    assert scores[0, 0] == pytest.approx(64, abs=0.01)
    assert scores[found.ys.index(20.0), found.xs.index(24.0)] == pytest.approx(0, abs=0.01)
    assert found.value == pytest.approx(0)


def test_places_are_of_the_networks_input_where_photos_are_squeezed():
    """A photo of 80 x 24 (h x w) on an input of 40 x 48."""
    photo = np.zeros((80, 24, 3), np.uint8)
    photo[32:48, 10:14] = 255
    found = swept(light_at(20, 24), photo, (10, 32, 14, 48)).found
    assert found.middle == pytest.approx((24, 20), abs=0.6)  # a resized edge is soft
    scores = grid(found)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert abs(found.ys[row] - 20) <= 2.5
    assert abs(found.xs[column] - 24) <= 3


def test_no_place_is_on_a_border_that_was_added():
    model = sl.wrap(two_classes(light), input_size=SIZE, resize="pad")
    photo = photo_of(pixels_of(40, 20))
    found = sl.sweep(model, photo, (4, 10, 12, 18), "black").found
    assert min(found.xs) >= 14 + 4
    assert max(found.xs) <= 34 - 4
    assert (min(found.ys), max(found.ys)) == (4, 36)


def test_the_answer_holds_where_the_network_still_gives_it():
    box = (8, 20, 16, 28)

    def scores(images):
        there = light_at(24, 12)(images)
        return torch.stack([torch.full_like(there, 0.5), there], 1)

    sweep = sl.sweep(model_of(scores, SIZE), on_black(box_mask(SIZE, box)), box, "black")
    found = sweep.found
    assert sweep.target == sl.targets.Class(1)
    assert np.array_equal(np.array(found.places.holds), np.array(found.places.values) > 0.5)
    assert 0 < sum(found.places.holds) < 81
    assert f"The answer stays at {sum(found.places.holds)} of 81 places" in sweep.headline


@pytest.mark.parametrize("steps", [2, 5])
def test_the_passes_are_counted_and_the_record_is_json(steps):
    seen = []

    def scores(images):
        seen.append(len(images))
        return two_classes(light)(images)

    model = model_of(scores, SIZE, batch_size=4)
    photo = on_black(box_mask(SIZE, (8, 20, 16, 28)))
    sl.sweep(model, photo, (8, 20, 16, 28), "black")
    seen.clear()
    progress = []
    sweep = sl.sweep(model, photo, (8, 20, 16, 28), "black", 0, steps, progress=progress.append)
    expected = 1 + steps**2 + len(SCALES) + len(DEGREES)
    assert sum(seen) == sum(progress) == sweep.found.passes == expected
    assert len(seen) == -(-expected // 4), "full batches"
    record = json.loads(json.dumps(sweep.provenance, allow_nan=False))
    assert record["passes"] == expected
    assert record["places"]["values"] == list(sweep.found.places.values)
    assert record["xs"] == list(sweep.found.xs)
    assert (record["target"], record["fill"]) == ("Class(index=0)", "black")


def test_same_seed_same_sweep():
    photo, box = photo_of(pixels_of(*SIZE)), (8, 20, 16, 28)
    first, again, other = (swept(light, photo, box, fill="noise", seed=seed).found for seed in (1, 1, 2))
    assert first.places.values == again.places.values
    assert first.degrees.values == again.degrees.values
    assert first.places.values != other.places.values


def test_several_fills_are_refused():
    with pytest.raises(OptionError, match="fill names 2; a sweep takes one"):
        sl.sweep(model_of(two_classes(light), SIZE), photo_of(pixels_of(*SIZE)), (8, 20, 16, 28), ("black", "blur"))


@pytest.mark.parametrize("steps", [1, 2.5, True])
def test_steps_are_two_or_more(steps):
    with pytest.raises(OptionError, match=r"steps=.*steps has to be 2 or more"):
        sl.sweep(model_of(two_classes(light), SIZE), photo_of(pixels_of(*SIZE)), (8, 20, 16, 28), steps=steps)


def test_many_photos_give_a_list_in_their_order():
    model = sl.load("demo")
    scenes = [draw(1_000_011, thing="ball", background="court"), draw(1_000_020, thing="duck", background="beach")]
    photos, masks = [one.image() for one in scenes], [one.mask() for one in scenes]
    sweeps = sl.sweep(model, photos, masks, target=["ball", "duck"], steps=2)
    alone = sl.sweep(model, photos[1], masks[1], target="duck", steps=2)
    assert [one.label for one in sweeps] == ["ball", "duck"]
    assert sweeps[1].found.places.values == pytest.approx(alone.found.places.values, abs=1e-4)
    parts = sl.evidence(model, photos)
    assert [one.original[0].label for one in parts] == ["ball", "duck"]
    assert parts[1].headline == sl.evidence(model, photos[1]).headline
    with pytest.raises(sl.OptionError, match="1 regions for 2 photos"):
        sl.sweep(model, photos, masks[:1])
