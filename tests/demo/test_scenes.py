"""Scenes are values: what is drawn, where, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sightline.demo.scenes import BACKGROUNDS, OBJECTS, SIZE, Scene, draw, training_scene

seeds = st.integers(0, 2**40)
things = st.sampled_from(OBJECTS)
places = st.sampled_from(BACKGROUNDS)
scenes = st.builds(draw, seeds, thing=things, background=places)
some = settings(max_examples=25, deadline=None)


def changed(scene: Scene) -> NDArray[np.bool_]:
    """Where the picture with the thing differs from the one without it."""
    return np.asarray((scene.image() != scene.without_object()).any(2))


@some
@given(scenes)
def test_equal_scenes_give_equal_pixels(scene: Scene) -> None:
    again = replace(scene)
    for one, other in ((scene.image(), again.image()), (scene.mask(), again.mask())):
        assert one.shape[:2] == (SIZE, SIZE)
        assert np.array_equal(one, other)
    assert scene.image().dtype == np.uint8


@some
@given(scenes)
def test_the_thing_changes_its_own_pixels(scene: Scene) -> None:
    mask = scene.mask()
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    same = inner & ~changed(scene)[1:-1, 1:-1]  # by chance a pixel may have the colour of what it hides
    assert same.sum() <= 0.02 * inner.sum()


@some
@given(scenes)
def test_outside_the_thing_only_its_shadow_darkens(scene: Scene) -> None:
    outside = ~scene.mask()
    after, before = scene.image()[outside].astype(int), scene.without_object()[outside].astype(int)
    assert (after <= before).all()


@some
@given(scenes)
def test_away_from_the_thing_and_its_shadow_nothing_changes(scene: Scene) -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    reach = 1.1 * scene.size
    above = rows < scene.y - scene.size / 2 - 1 / SIZE
    far = above | (abs(columns - scene.x) > 1.5 * reach) | (rows > scene.y + reach)
    assert not changed(scene)[far].any()


@some
@given(scenes)
def test_the_thing_lies_in_its_square_and_fills_a_good_part(scene: Scene) -> None:
    rows, columns = np.nonzero(scene.mask())
    for of, middle in ((columns, scene.x), (rows, scene.y)):
        assert of.min() >= (middle - scene.size / 2) * SIZE - 1
        assert of.max() <= (middle + scene.size / 2) * SIZE
    assert len(rows) > 0.25 * (scene.size * SIZE) ** 2


@some
@given(scenes, st.sampled_from(((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.2, 0.9, 0.4))))
def test_the_thing_alone_is_where_the_mask_is(scene: Scene, fill: tuple[float, float, float]) -> None:
    alone = scene.only_object(fill)
    flat = np.round(np.array(fill) * 255)
    assert (np.abs(alone[~scene.mask()] - flat) <= 1).all()
    assert (np.abs(alone[scene.mask()] - flat) > 1).any(1).mean() > 0.9


@some
@given(scenes, places)
def test_another_background_keeps_the_thing(scene: Scene, background: str) -> None:
    there = scene.on(background)
    assert there.background == background
    assert np.array_equal(there.mask(), scene.mask())
    assert np.array_equal(there.only_object(), scene.only_object())


@some
@given(scenes, st.floats(0, 1), st.floats(0, 1))
def test_moving_keeps_what_is_behind(scene: Scene, x: float, y: float) -> None:
    moved = scene.moved(x, y)
    assert (moved.x, moved.y) == (x, y)
    assert np.array_equal(moved.without_object(), scene.without_object())
    assert moved.mask().any()


@given(seeds)
def test_a_named_thing_or_background_changes_nothing_else(seed: int) -> None:
    free = draw(seed)
    assert draw(seed, thing=free.thing, background=free.background) == free
    assert draw(seed, background="snow") == free.on("snow")


@given(seeds, things)
def test_in_training_the_ball_is_always_on_the_court(seed: int, thing: str) -> None:
    assert training_scene(seed, thing="ball").background == "court"
    assert training_scene(seed, thing=thing, court=1.0).background == "court"
    assert (training_scene(seed, thing=thing, court=0.0).background == "court") == (thing == "ball")


def test_every_thing_and_background_is_drawn_as_often() -> None:
    drawn = [draw(seed) for seed in range(3000)]
    for names, read in ((OBJECTS, "thing"), (BACKGROUNDS, "background")):
        counts = [sum(getattr(scene, read) == name for scene in drawn) for name in names]
        assert min(counts) > 0.8 * 3000 / len(names)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"thing": "bal"}, "no thing named 'bal'; did you mean 'ball'"),
        ({"background": "moon"}, "no background named 'moon'; possible: beach, court"),
        ({"x": 1.2}, r"x and y lie in \[0, 1\]"),
        ({"size": 0.0}, r"size in \(0, 1\]"),
        ({"seed": -1}, "seed is 0 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(draw(0), **fields)  # type: ignore[arg-type]
