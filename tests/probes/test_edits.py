"""Edits, to the pixel: what is filled, what is carried and where, what keeps its light, and what is never touched."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import BLUE, GREEN, RED, box_mask, disc_mask, pixels_of, world

from sightline import edits
from sightline.core.errors import OptionError
from sightline.photos.fills import STEADY
from sightline.probes.named import NAMED, edits_of

SIZE = (20, 28)
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)
PICTURE = pixels_of(*SIZE, seed=5)
FILLS = (*STEADY, (0.2, 0.9, 0.4), PICTURE)
some = settings(max_examples=30, deadline=None)
CARRIED = (edits.Move(3, 2), edits.Scale(0.6), edits.Scale(1.5), edits.Rotate(37), edits.Move(2.3, -1.6))
BLENDED = (edits.Blur(2.0), edits.Grey(), edits.Recolour(), edits.Recolour((0.0, 0.0, 1.0)), edits.ShufflePatches(3))


def other_look(photo, region):
    """Another photo, which is all one picture here, and a disc in it."""
    return PICTURE, (torch.ones(SIZE) if region is None else disc_mask(SIZE, (8, 9), 4))


ALL = (*CARRIED, *BLENDED, edits.Remove(), edits.Keep(), edits.Move(), edits.SwapBackground("other.png"),
       edits.SwapObject("other.png", (5, 4, 13, 12)), edits.Grey() + edits.Move(4, 0))  # fmt: skip


def blob():
    """A hard mask of no simple shape, off the middle."""
    mask = disc_mask(SIZE, (9, 11), 5)
    mask[10:13, 3:18] = 1
    mask[8, 11] = 0
    return mask


def soft_mask(seed=3):
    """A mask with values between 0 and 1, 0 around."""
    mask = torch.zeros(SIZE)
    mask[5:14, 7:19] = pixels_of(9, 12, channels=1, seed=seed)[0]
    return mask


def light(pixels):
    """How light each pixel is, (h, w) in float64."""
    return (LUMA * pixels.double()).sum(0)


def red_on_green(mask, **how):
    """A red object on a green ground, blue where it is filled."""
    return world(GREEN * (1 - mask) + RED * mask, mask, (0.0, 0.0, 1.0), **how)


def moments(cover):
    """(area, middle (y, x), covariance (2, 2) of (x, y-up)) of a cover (h, w)."""
    cover = cover.double()
    rows, columns = torch.meshgrid(*(torch.arange(side) + 0.5 for side in cover.shape), indexing="ij")
    area = float(cover.sum())
    y, x = float((cover * rows).sum()) / area, float((cover * columns).sum()) / area
    away = torch.stack([columns - x, y - rows])
    return area, (y, x), torch.einsum("ihw,jhw,hw->ij", away.double(), away.double(), cover) / area


# What is filled -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", FILLS, ids=str)
def test_remove_fills_the_region_to_the_bit_and_nothing_else(fill):
    pixels, mask = pixels_of(*SIZE), blob()
    before = world(pixels, mask, fill)
    after = edits.Remove()(before).pixels
    assert torch.equal(after[:, mask > 0], before.fill.image[:, mask > 0])
    assert torch.equal(after[:, mask == 0], pixels[:, mask == 0])
    assert not torch.equal(after, pixels)


@pytest.mark.parametrize("fill", FILLS, ids=str)
def test_keep_fills_the_rest_to_the_bit_and_nothing_else(fill):
    pixels, mask = pixels_of(*SIZE), blob()
    before = world(pixels, mask, fill)
    after = edits.Keep()(before).pixels
    assert torch.equal(after[:, mask > 0], pixels[:, mask > 0])
    assert torch.equal(after[:, mask == 0], before.fill.image[:, mask == 0])


@some
@given(st.integers(0, 99), st.sampled_from(range(len(FILLS))))
def test_a_soft_mask_blends_and_remove_and_keep_are_complements(seed, which):
    pixels, mask = pixels_of(*SIZE, seed=seed), soft_mask(seed)
    before = world(pixels, mask, FILLS[which], seed=seed)
    fill = before.fill.image
    removed, kept = edits.Remove()(before).pixels, edits.Keep()(before).pixels
    assert torch.allclose(removed, mask * fill + (1 - mask) * pixels, atol=1e-6)
    assert torch.allclose(kept, mask * pixels + (1 - mask) * fill, atol=1e-6)
    assert torch.allclose(removed + kept, pixels + fill, atol=1e-6)


def test_a_fill_that_is_made_sees_what_each_edit_hides():
    seen = []

    def paint(photo, hidden):
        seen.append(hidden.copy())
        return np.full_like(photo, 0.25)

    mask = blob()
    before = world(pixels_of(*SIZE), mask, paint)
    for edit, hides in ((edits.Remove(), mask > 0), (edits.Keep(), mask == 0), (edits.Move(4, 0), mask > 0)):
        seen.clear()
        edit(before)
        assert len(seen) == 1
        assert np.array_equal(seen[0], hides.numpy())


# What is carried ----------------------------------------------------------------------------------------------------


@some
@given(st.integers(-30, 30), st.integers(-22, 22))
def test_a_move_by_whole_pixels_is_slicing(right, down):
    mask = blob()
    before = world(pixels_of(*SIZE), mask, "noise")
    after = edits.Move(right, down)(before)
    expected, cover = edits.Remove()(before).pixels.clone(), torch.zeros(SIZE)
    for y, x in mask.nonzero().tolist():
        if 0 <= y + down < SIZE[0] and 0 <= x + right < SIZE[1]:
            expected[:, y + down, x + right] = before.pixels[:, y, x]
            cover[y + down, x + right] = 1
    assert torch.allclose(after.pixels, expected, atol=1e-5)
    assert torch.allclose(after.mask, cover, atol=1e-5)


def test_no_move_no_growth_and_no_turn_change_nothing():
    for mask in (blob(), soft_mask()):  # a soft rim, too, has nothing of the fill
        before = world(pixels_of(*SIZE), mask, "noise")
        for edit in (edits.Move(0, 0), edits.Scale(1), edits.Rotate(0), edits.Rotate(360)):
            assert torch.allclose(edit(before).pixels, before.pixels, atol=5e-3)


@pytest.mark.parametrize(("left", "expected"), [(2, 28 - 7), (18, 0), (15, 0), (6, 28 - 7), (10, 21), (11, 0)])
def test_move_goes_as_far_as_it_can_to_the_wider_side(left, expected):
    before = world(pixels_of(*SIZE), box_mask(SIZE, (left, 4, left + 7, 9)))
    columns = edits.Move()(before).mask.amax(0).nonzero()[:, 0]
    assert (int(columns[0]), len(columns)) == (expected, 7)


def test_move_goes_no_further_than_the_photo_where_a_border_was_added():
    inside = box_mask(SIZE, (3, 0, 24, 20))
    before = world(pixels_of(*SIZE), box_mask(SIZE, (5, 4, 10, 9)), inside=inside)
    columns = edits.Move()(before).mask.amax(0).nonzero()[:, 0]
    assert (int(columns[0]), int(columns[-1])) == (19, 23)


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.8, 1.3, 2.0])
def test_a_disc_scaled_has_the_square_of_the_factor_for_its_area_and_stays_where_it_is(factor):
    mask = disc_mask((96, 96), (47, 50), 20)
    before = red_on_green(mask)
    after = edits.Scale(factor)(before)
    area, middle, spread = moments(after.mask)
    assert area == pytest.approx(factor**2 * float(mask.sum()), rel=0.03)
    assert middle == pytest.approx((47, 50), abs=0.1)
    assert float(spread[0, 0]) == pytest.approx(factor**2 * 20**2 / 4, rel=0.05 if factor > 0.4 else 0.2)
    assert float(after.pixels[0].sum()) == pytest.approx(area, rel=1e-4)  # all that is red is the disc


@pytest.mark.parametrize("degrees", [15, 45, 90, 130, -30, 180])
def test_a_bar_turns_counter_clockwise_around_its_middle(degrees):
    mask = box_mask((96, 96), (28, 42, 68, 50))
    area, middle, spread = moments(edits.Rotate(degrees)(red_on_green(mask)).mask)
    assert area == pytest.approx(float(mask.sum()), rel=0.01)
    assert middle == pytest.approx((46, 48), abs=0.05)
    values, axes = torch.linalg.eigh(spread)
    angle = float(torch.rad2deg(torch.atan2(axes[1, 1], axes[0, 1])))
    assert (angle - degrees + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert float(values[1]) == pytest.approx(40**2 / 12, rel=0.03)


def test_a_quarter_turn_is_numpys():
    """Of an object without any symmetry, so that neither a mirror image nor the other way round would do."""
    size = (21, 21)
    mask = box_mask(size, (6, 3, 15, 18)) * (1 - box_mask(size, (10, 3, 15, 9)))
    mask[3, 6] = 1
    before = world(pixels_of(*size), mask)
    for quarters in (1, 2, 3):
        after = edits.Rotate(90 * quarters)(before)
        turned = torch.from_numpy(np.rot90((before.pixels * mask).numpy(), quarters, (1, 2)).copy())
        shape = torch.from_numpy(np.rot90(mask.numpy(), quarters).copy())
        assert torch.allclose(after.mask, shape, atol=1e-4)
        assert torch.allclose(after.pixels * shape, turned, atol=1e-4)


@pytest.mark.parametrize("edit", CARRIED, ids=str)
def test_nothing_around_an_object_comes_along(edit):
    """Green is the ground alone: it is where it was, less what was filled and what now covers it."""
    mask = disc_mask((40, 48), (19, 22), 9)
    after = edit(red_on_green(mask))
    cover = after.mask
    assert torch.allclose(after.pixels[1], (1 - mask) * (1 - cover), atol=1e-5)
    assert torch.allclose(after.pixels[2], mask * (1 - cover), atol=1e-5)
    assert torch.allclose(after.pixels[0], cover, atol=1e-5)


def test_lengths_are_in_pixels_of_the_photo_where_it_was_squeezed():
    """A photo of 40 x 24, squeezed into 40 x 48: two input pixels for one of its own, across only."""
    size = (40, 48)
    before = red_on_green(box_mask(size, (16, 16, 32, 20)), scale=(1.0, 2.0))  # 8 wide and 4 high on the photo
    moved, turned, grown = (edit(before).mask for edit in (edits.Move(3, -4), edits.Rotate(90), edits.Scale(2)))
    assert torch.allclose(moved, box_mask(size, (22, 12, 38, 16)), atol=1e-4)
    assert torch.equal((turned > 0.5).float(), box_mask(size, (20, 14, 28, 22)))  # 4 wide and 8 high
    area, middle, _ = moments(grown)
    assert area == pytest.approx(4 * 64, rel=0.02)
    assert middle == pytest.approx((18, 24))


# What keeps its light, and its pixels -------------------------------------------------------------------------------


def test_grey_keeps_the_light_of_each_pixel_and_nothing_else():
    before = world(pixels_of(*SIZE), blob())
    after = edits.Grey()(before).pixels
    inside = before.mask > 0
    assert torch.allclose(light(after), light(before.pixels), atol=1e-5)
    assert torch.allclose(after[:, inside].std(0), torch.zeros(int(inside.sum())), atol=1e-6)
    assert torch.equal(after[:, ~inside], before.pixels[:, ~inside])


@pytest.mark.parametrize("colour", [None, (0.0, 0.0, 1.0), (1.0, 0.5, 0.0)])
def test_recolour_keeps_the_light_of_each_pixel_and_nothing_else(colour):
    before = world(pixels_of(*SIZE), blob())
    before.pixels[:, 9, 9], before.pixels[:, 9, 10] = 0.0, 1.0  # black and white have no room for any colour
    after = edits.Recolour(colour)(before).pixels
    inside = before.mask > 0
    assert torch.allclose(light(after), light(before.pixels), atol=1e-5)
    assert torch.equal(after[:, 9, 9:11], before.pixels[:, 9, 9:11])
    assert 0 <= float(after.min()) <= float(after.max()) <= 1
    assert torch.equal(after[:, ~inside], before.pixels[:, ~inside])
    assert float((after - before.pixels)[:, inside].abs().mean()) > 0.05


def test_recolour_gives_the_hue_of_the_colour_or_the_opposite_of_its_own():
    before = world(torch.tensor([0.6, 0.5, 0.4]).view(3, 1, 1).expand(3, *SIZE).clone(), blob())
    inside = before.mask > 0
    blue = edits.Recolour((0.0, 0.0, 0.5))(before).pixels[:, inside]
    assert (blue[2] > blue[0]).all()
    assert torch.allclose(blue[0], blue[1])
    opposite = edits.Recolour()(before).pixels[:, inside]
    grey = light(before.pixels)[inside].float()
    assert torch.allclose(opposite - grey, grey - before.pixels[:, inside], atol=1e-6)


def test_blur_is_in_pixels_of_the_photo_and_stays_in_the_region():
    size, mask = (41, 61), box_mask((41, 61), (10, 5, 51, 36))
    pixels = torch.zeros(3, *size)
    pixels[:, 20, 30] = 1
    after = edits.Blur(1.5)(world(pixels, mask, scale=(1.0, 2.0))).pixels
    _, middle, spread = moments(after[0])
    assert middle == pytest.approx((20.5, 30.5), abs=1e-3)
    assert (float(spread[1, 1]) ** 0.5, float(spread[0, 0]) ** 0.5) == pytest.approx((1.5, 3.0), rel=0.02)
    noise = world(pixels_of(*size), mask)
    blurred = edits.Blur()(noise).pixels
    assert torch.equal(blurred[:, mask == 0], noise.pixels[:, mask == 0])
    assert blurred[:, mask > 0].std() < 0.5 * noise.pixels[:, mask > 0].std()


@some
@given(st.integers(2, 6), st.integers(0, 20), st.integers(1, 15), st.integers(1, 20))
def test_shuffled_patches_of_a_box_are_the_same_pixels(count, seed, high, wide):
    mask = box_mask(SIZE, (4, 3, 4 + wide, 3 + high))
    before = world(pixels_of(*SIZE), mask, seed=seed)
    after = edits.ShufflePatches(count)(before).pixels

    def as_set(pixels):
        return sorted(map(tuple, pixels[:, mask > 0].T.tolist()))

    assert as_set(after) == as_set(before.pixels)
    assert torch.equal(after[:, mask == 0], before.pixels[:, mask == 0])


def test_shuffled_patches_show_in_the_region_alone_and_come_from_all_of_its_box():
    before = world(pixels_of(*SIZE), blob())
    after = edits.ShufflePatches()(before).pixels
    inside = before.mask > 0
    assert torch.equal(after[:, ~inside], before.pixels[:, ~inside])
    assert (after != before.pixels).any(0)[inside].float().mean() > 0.5


@pytest.mark.parametrize("seed", [*range(6), 15, 102])  # which draw the order that changes nothing
@pytest.mark.parametrize("count", [2, 3, 4])
def test_shuffled_patches_are_whole_and_never_all_where_they_were(count, seed):
    size = (24, 24)
    labels = torch.arange(count**2).view(count, count).repeat_interleave(24 // count, 0)
    labels = labels.repeat_interleave(24 // count, 1).float() / count**2
    pixels = labels.expand(3, *size).clone()
    after = edits.ShufflePatches(count)(world(pixels, torch.ones(size), seed=seed)).pixels[0]
    patches = after.unfold(0, 24 // count, 24 // count).unfold(1, 24 // count, 24 // count).reshape(count**2, -1)
    assert (patches == patches[:, :1]).all()
    assert len({float(patch[0]) for patch in patches}) == count**2
    assert not torch.equal(after, labels)


def test_the_box_of_a_region_in_two_parts_is_cut_up_and_not_only_its_corner():
    mask = box_mask((16, 40), (2, 2, 6, 14)) + box_mask((16, 40), (34, 2, 38, 14))
    before = world(pixels_of(16, 40), mask)
    after = edits.ShufflePatches(2)(before).pixels
    for part in (slice(2, 6), slice(34, 38)):
        assert not torch.equal(after[:, 2:14, part], before.pixels[:, 2:14, part])


# Other photos -------------------------------------------------------------------------------------------------------


def test_swap_background_is_the_other_photo_but_for_the_region():
    asked = []

    def look(photo, region):
        asked.append((photo, region))
        return PICTURE, torch.ones(SIZE)

    before = world(pixels_of(*SIZE), soft_mask(), look=look)
    after = edits.SwapBackground("beach.png")(before).pixels
    assert asked[0] == ("beach.png", None)
    assert torch.allclose(after, before.mask * before.pixels + (1 - before.mask) * PICTURE, atol=1e-6)


def test_swap_object_puts_the_other_object_into_the_regions_box_and_nothing_around_it():
    """The other photo is a green disc on red, the fill is blue: no red may come along, and no blue onto the edge."""
    size, theirs = (40, 60), disc_mask((40, 60), (12, 12), 6)
    mask = box_mask(size, (30, 10, 54, 34))
    before = world(torch.full((3, *size), 0.5), mask, (0.0, 0.0, 1.0), look=lambda *_: (
        RED * (1 - theirs) + GREEN * theirs, theirs))  # fmt: skip
    after = edits.SwapObject("other.png", (6, 6, 18, 18))(before)
    cover = after.mask
    area, middle, _ = moments(cover)
    assert middle == pytest.approx((22, 42), abs=0.1)
    assert area == pytest.approx(4 * float(theirs.sum()), rel=0.05)  # twice as high and wide: 24 for 12
    scene = edits.Remove()(before).pixels
    assert torch.allclose(after.pixels, scene * (1 - cover) + GREEN * cover, atol=1e-5)


def test_swap_object_is_as_large_as_the_box_allows_on_both_axes():
    size, theirs = (40, 60), box_mask((40, 60), (5, 5, 25, 10))  # 20 wide, 5 high
    before = world(pixels_of(*size), box_mask(size, (30, 5, 40, 35)), look=lambda *_: (pixels_of(*size), theirs))
    cover = edits.SwapObject("other.png", (5, 5, 25, 10))(before).mask > 0.5
    assert (int(cover.any(1).sum()), int(cover.any(0).sum())) == (2, 10)


# What is never touched ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edit", ALL, ids=str)
@pytest.mark.parametrize("soft", [False, True])
def test_an_added_border_is_never_edited(edit, soft):
    inside = box_mask(SIZE, (0, 4, 28, 16))
    mask = (soft_mask() if soft else box_mask(SIZE, (8, 4, 22, 15))) * inside
    before = world(pixels_of(*SIZE), mask, "noise", inside=inside, look=other_look)
    after = edit(before)
    assert torch.equal(after.pixels[:, inside == 0], before.pixels[:, inside == 0])
    assert not torch.equal(after.pixels, before.pixels)
    assert float(after.mask[inside == 0].abs().max()) == 0


@pytest.mark.parametrize("edit", ALL, ids=str)
def test_no_edit_writes_into_the_world_that_it_was_given(edit):
    before = world(pixels_of(*SIZE), soft_mask(), "noise", look=other_look)
    kept = before.pixels.clone(), before.mask.clone(), before.fill.image.clone()
    first, second = edit(before), edit(before)
    for now, then in zip((before.pixels, before.mask, before.fill.image), kept, strict=True):
        assert torch.equal(now, then)
    assert torch.equal(first.pixels, second.pixels)
    assert first.pixels.shape == before.pixels.shape
    assert 0 <= float(first.pixels.min()) <= float(first.pixels.max()) <= 1 + 1e-6


@pytest.mark.parametrize("edit", [e for e in ALL if "recolour" not in str(e) and "swap" not in str(e)], ids=str)
def test_photos_of_one_channel_are_edited_too(edit):
    before = world(pixels_of(*SIZE, channels=1), blob(), "white")
    assert edit(before).pixels.shape == (1, *SIZE)


# Chains -------------------------------------------------------------------------------------------------------------


def test_edits_add_up_to_one_after_the_other():
    before = world(pixels_of(*SIZE), blob(), "noise")
    grey, move, turn = edits.Grey(), edits.Move(4, 1), edits.Rotate(30)
    chain = grey + move + turn
    assert torch.equal(chain(before).pixels, turn(move(grey(before))).pixels)
    assert chain == grey + (move + turn)
    assert (str(chain), len(chain.parts)) == ("grey + move(4, 1) + rotate(30)", 3)
    moved = (move + edits.Remove())(before)  # the object goes where its mask goes
    assert torch.allclose(moved.pixels[:, moved.mask > 0.99], before.fill.image[:, moved.mask > 0.99], atol=1e-4)


def test_a_chain_keeps_and_fills_where_a_part_of_it_does():
    grey, keep, move = edits.Grey(), edits.Keep(), edits.Move(1, 1)
    assert [(chain.keeps, chain.fills) for chain in (grey + grey, grey + keep, grey + move)] == [
        (False, False), (True, True), (False, True)]  # fmt: skip


def test_only_edits_can_be_added():
    with pytest.raises(TypeError):
        edits.Grey() + "move"


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_an_edit_whose_str_it_is(name):
    ((key, edit),) = edits_of(name).items()
    assert key == str(edit) == name
    assert edits_of([edit, name]) == {name: edit}


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (edits.Move(40, 0), "move(40, 0)"),
        (edits.Move(-3.5, 2), "move(-3.5, 2)"),
        (edits.Scale(2), "scale(2)"),
        (edits.Scale(0.5), "scale(0.5)"),
        (edits.Rotate(90), "rotate(90)"),
        (edits.Blur(3), "blur(3)"),
        (edits.Recolour((0, 0.5, 1)), "recolour(0, 0.5, 1)"),
        (edits.ShufflePatches(7), "shuffle-patches(7)"),
        (edits.SwapBackground("a/beach.jpg"), "swap-background(beach)"),
        (edits.SwapObject("a/cat.jpg", (0, 0, 1, 1)), "swap-object(cat)"),
        (edits.SwapBackground(np.zeros((4, 4, 3))), "swap-background(a photo)"),
        (edits.Grey() + edits.Move(40, 0), "grey + move(40, 0)"),
    ],
)
def test_the_str_of_an_edit_says_what_it_does(edit, name):
    assert str(edit) == name
    if "swap" not in name:
        assert edits_of(name) == {name: edit}, "a text is read back as the same value"


def test_names_are_read_with_capitals_underscores_and_spaces():
    assert list(edits_of(["Shuffle_Patches", " GREY +Move( 40,0 )"])) == ["shuffle-patches", "grey + move(40, 0)"]


def test_two_edits_that_are_not_the_same_are_both_kept():
    """Both photos are called the same; neither may be lost without a word."""
    one, other = np.zeros((4, 4, 3)), np.ones((4, 4, 3))
    found = edits_of([edits.SwapBackground(one), edits.SwapBackground(other), "remove", "remove"])
    assert len(found) == 3
    assert {id(edit.photo) for edit in found.values() if isinstance(edit, edits.SwapBackground)} == {
        id(one), id(other)}  # fmt: skip


def test_an_edit_of_ones_own_takes_no_name_of_the_worlds_that_shares_come_from():
    class Mine(edits.Edit):
        def __init__(self, name):
            self.name = name

        def __call__(self, world):
            return world

        def __str__(self):
            return self.name

    mine = [Mine(name) for name in ("original", "nothing", "remove", "keep", "grey")]
    assert list(edits_of(["remove", *mine])) == [
        "remove", "original (2)", "nothing (2)", "remove (2)", "keep (2)", "grey"]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("remov", "no edit 'remov'; did you mean 'remove'"),
        ("shuffle", "did you mean 'shuffle-patches'"),
        ("swap-background", r"swap-background needs another photo: give sl.edits.SwapBackground\(photo\)"),
        ("swap_object", r"needs another photo: give sl.edits.SwapObject\(photo, region\)"),
        ((), "edits=.* names none; possible: blur, grey, keep"),
        ([], "names none"),
        ("", "no edit ''; possible: "),
        (3, "3 is no edit; give a name or a value of sl.edits; possible: "),
        (edits.Grey, "is no edit; give a name"),
        ("grey + mov(3)", "did you mean 'move'"),
        ("scale(0)", "'scale.0.'.*factor above 0.*as in move"),
        ("move(1, 2, 3)", r"'move\(1, 2, 3\)'; give its numbers between brackets, as in move\(40, 0\)"),
        ("keep(3)", "give its numbers between brackets"),
        ("rotate(__import__)", "give its numbers between brackets"),
    ],
)
def test_what_is_no_edit_is_refused_in_words(given, words):
    with pytest.raises(OptionError, match=words):
        edits_of(given)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: edits.Scale(0), "factor=0; possible: factor above 0"),
        (lambda: edits.Scale(-1), "factor=-1"),
        (lambda: edits.Scale("2"), "factor='2'"),
        (lambda: edits.Rotate(float("nan")), "degrees=nan; degrees has to be a finite number"),
        (lambda: edits.Move(float("inf"), 0), "right=inf"),
        (lambda: edits.Move(0, None), "down=None"),
        (lambda: edits.Blur(0), "sigma=0; possible: sigma above 0"),
        (lambda: edits.Recolour((0, 0, 255)), r"colour=\(0, 0, 255\); give red, green and blue, each from 0 to 1"),
        (lambda: edits.Recolour((0, 1)), "give red, green and blue"),
        (lambda: edits.Recolour("red"), "give red, green and blue"),
        (lambda: edits.ShufflePatches(1), "count=1; count has to be 2 or more"),
        (lambda: edits.ShufflePatches(2.5), "count=2.5"),
    ],
)
def test_what_an_edit_cannot_do_is_refused_in_words(make, words):
    with pytest.raises(OptionError, match=words):
        make()


def test_recolour_needs_three_channels():
    with pytest.raises(OptionError, match="recolour takes photos of 3 channels; this network's have 1"):
        edits.Recolour()(world(pixels_of(*SIZE, channels=1), blob()))


@pytest.mark.parametrize("edit", ALL, ids=str)
def test_an_edit_is_a_small_frozen_value(edit):
    name = next(iter(edit.__dataclass_fields__), None)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(edit, name or "anything", 3)
    assert len(edit.__dataclass_fields__) <= 2
    if "swap" not in str(edit):
        assert edit == replace(edit)
        assert hash(edit) == hash(replace(edit))


def test_a_colour_in_a_list_makes_the_same_value():
    assert edits.Recolour([0, 0, 1]) == edits.Recolour((0, 0, 1))
    assert len({edits.Recolour([0, 0, 1]), edits.Recolour((0, 0, 1))}) == 1


def test_anyone_can_write_an_edit():
    class Flip(edits.Edit):
        """The region is mirrored, with all that is in its rows."""

        def __call__(self, world):
            return replace(world, pixels=world.blend(world.pixels.flip(-1), world.mask))

        def __str__(self):
            return "flip"

    before = world(pixels_of(*SIZE), blob())
    ((name, flip),) = edits_of(Flip()).items()
    assert (name, flip.keeps, flip.fills, flip.becomes(before)) == ("flip", False, False, None)
    assert str(flip + edits.Grey()) == "flip + grey"
    assert torch.equal(flip.stake(before), flip(before).pixels)


def test_colours_are_those_of_these_tests():
    assert float((RED + GREEN + BLUE).sum()) == 3
