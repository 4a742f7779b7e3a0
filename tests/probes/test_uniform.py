"""A test of the test: where nothing depends on the region, p is as often below 0.05 as it should be, and no more.

Why it should be: the picture is noise without a place of its own, the model sums what a small function finds
everywhere, and the region is drawn like its controls, at random among all places. What hiding it does is then one
more draw like those of its controls, so that its rank among them, which is p, is as likely to be any as any other.

Why it is only nearly so: a control may overlap another, but none the region, so that controls resemble each other
more than the region. With many places apart that is no matter; with few it is. Measured with 99 controls, of a
thousand boxes and more of each kind, on white noise and on textures about as smooth as the box is wide:

| controls that lie apart | 20 to 99 | 13 to 19 | 9 to 12 | 6 to 8 | 4 and 5 | 3 | 2 |
|---|---|---|---|---|---|---|---|
| p <= 0.05 | 0.05 to 0.06 | 0.06 | 0.07 to 0.09 | 0.09 to 0.10 | 0.08 to 0.15 | 0.11 to 0.16 | 0.13 to 0.20 |

That a match within a quarter is not the same both ways is no matter: mean p is 0.499, and 0.502 with one that is.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from worlds import model_of, probed, two_classes

import sightline as sl
from sightline.demo.scenes import draw

KERNEL = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def kolmogorov(values):
    """The largest distance of the values' distribution from the uniform one's, in units of 1 / sqrt(n)."""
    ordered, n = np.sort(values), len(values)
    steps = np.arange(n + 1) / n
    return float(max(np.abs(steps[1:] - ordered).max(), np.abs(steps[:-1] - ordered).max()) * n**0.5)


def likely(count, n, share, deviations=3.5):
    """Whether `count` of `n` is likely for a share."""
    return abs(count - n * share) <= deviations * (n * share * (1 - share)) ** 0.5


def uniform(effects, dice):
    """Whether their p are uniform; p takes steps, and between two of them it is as good as any."""
    ps = np.array([effect.p - dice.random() / (1 + effect.n) for effect in effects])
    assert kolmogorov(ps) < 1.95, "a Kolmogorov-Smirnov test at 0.001"
    for level in (0.05, 0.1, 0.5, 0.95):
        assert likely((ps <= level).sum(), len(ps), level), level
    assert likely(sum(effect.p <= 0.05 for effect in effects), len(ps), 0.05)
    return True


def local(images):
    """The sum of a small function of every 3 x 3 pixels."""
    return torch.tanh(F.conv2d(images - 0.5, KERNEL)).sum((1, 2, 3))


def drawn(size, side, times, fill, controls=99):
    """The effects on boxes at random in noise."""
    model = model_of(two_classes(local), (size, size), batch_size=64)
    found = []
    for seed in range(times):
        dice = np.random.default_rng(seed)
        photo = dice.random((size, size, 3), np.float32)
        x, y = map(int, dice.integers(0, size - side + 1, 2))
        found.append(probed(model, photo, (x, y, x + side, y + side), fill=fill, target=0, seed=seed,
                            controls=controls).effect)  # fmt: skip
    return found


@pytest.mark.parametrize("fill", ["black", "noise"])
def test_p_is_uniform_where_nothing_depends_on_the_region(fill):
    effects, dice = drawn(32, 3, 220, fill), np.random.default_rng(1)
    assert np.mean([effect["remove"].n == 99 for effect in effects]) > 0.9  # the darkest box has few of its like
    assert np.mean([effect["remove"].where.apart >= 20 for effect in effects]) > 0.9
    for edit in ("remove", "keep"):
        assert uniform([effect[edit] for effect in effects], dice)
    rejected = sum(min(effect["remove"].adjusted, effect["keep"].adjusted) <= 0.05 for effect in effects)
    assert rejected <= 220 * 0.05 + 3.5 * (220 * 0.05 * 0.95) ** 0.5, "of two edits together, too"


def test_where_few_places_lie_apart_the_note_says_so_and_p_is_rough():
    effects = [effect["remove"] for effect in drawn(24, 8, 100, "black")]
    few = [effect for effect in effects if effect.n >= 19 and effect.where.apart < 4]
    assert len(few) > 50
    assert all("so p may be too small" in effect.note for effect in few if not effect.alike)
    assert 0.03 < np.mean([effect.p <= 0.05 for effect in few]) < 0.3


def test_p_is_uniform_for_boxes_anywhere_on_drawn_scenes():
    """The object counts here, and small boxes lie on it as often as their controls do."""
    model, effects = sl.load("demo"), []
    for seed in range(200):
        dice = np.random.default_rng(seed)
        x, y = map(int, dice.integers(0, 128 - 8 + 1, 2))
        scene = draw(1_000_000 + seed).image()
        asked = probed(model, scene, (x, y, x + 8, y + 8), "remove", "black", seed=seed, controls=19)
        effects.append(asked.effect["remove"])
    tested = [effect for effect in effects if effect.n == 19]
    assert len(tested) > 190
    assert uniform(tested, np.random.default_rng(1))
