"""RISE against a slow literal reading of arXiv:1806.07421, all masks of tiny grids; whether its error is honest."""

import itertools
import math

import pytest
import torch
from by_hand import close, enlarged, fixed, linear, pictures, quietly
from torch import nn
from torch.nn import functional as F

import sightline as sl
from sightline import targets
from sightline.attribution.masking import score_masks, veils
from sightline.attribution.rise import Masks
from sightline.core.targets import Class
from sightline.demo.scenes import draw

MODES = {1: "linear", 3: "trilinear"}


def every_mask(size, cells, keep):
    """All grids at all shifts: masks (n, *size), and the chance of each (n,).

    A grid of `cells` a side, enlarged to (cells + 1) times a cell's pixels, of which a window is cut that begins
    within the first cell.
    """
    sides = [min(cells, side) for side in size]
    steps = [math.ceil(side / count) for side, count in zip(size, sides, strict=True)]
    masks, chances = [], []
    for bits in itertools.product([0.0, 1.0], repeat=math.prod(sides)):
        grid = torch.tensor(bits, dtype=torch.float64).view(sides)
        large = [(count + 1) * step for count, step in zip(sides, steps, strict=True)]
        if len(size) == 2:
            big = enlarged(grid, tuple(large))
        else:
            big = F.interpolate(grid[None, None], size=large, mode=MODES[len(size)], align_corners=False)[0, 0]
        for start in itertools.product(*map(range, steps)):
            masks.append(big[tuple(slice(at, at + side) for at, side in zip(start, size, strict=True))])
            kept = int(sum(bits))
            chances.append(keep**kept * (1 - keep) ** (len(bits) - kept) / math.prod(steps))
    return torch.stack(masks), torch.tensor(chances, dtype=torch.float64)


def exactly(network, image, target, masks, chances, keep):
    """The map that RISE estimates: the covariance of score and mask over `keep`, from all masks there are."""
    with torch.no_grad():
        scores = network(masks[:, None] * image)[:, target]
    away = scores - (chances * scores).sum()
    return torch.einsum("n,n,n...->...", chances, away, masks) / keep


def curved(size, channels=3):
    """Scores that are no sum over pixels."""
    return fixed(
        nn.Sequential(nn.Flatten(), nn.Linear(channels * math.prod(size), 5), nn.Tanh(), nn.Linear(5, 3))
    ).double()


GRIDS = [  # size, cells, keep
    ((5, 6), 1, 0.5), ((5, 6), 2, 0.5), ((5, 6), 2, 0.3), ((4, 9), 2, 0.8), ((1, 7), 3, 0.5), ((2, 5), 3, 0.4),
    ((9,), 3, 0.5), ((8,), 4, 0.6), ((3, 4, 5), 2, 0.5),
]  # fmt: skip
HONEST = [(*GRIDS[at], samples) for at, samples in ((0, 16), (1, 16), (3, 16), (1, 64), (2, 64), (6, 64))]


# The masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "cells", "keep"), GRIDS, ids=str)
def test_masks_are_the_papers_each_as_often_as_it_should_be(size, cells, keep):
    masks, chances = every_mask(size, cells, keep)
    wanted = {}
    for mask, chance in zip(masks, chances.tolist(), strict=True):
        key = tuple(mask.mul(1000).round().int().flatten().tolist())
        wanted[key] = wanted.get(key, 0.0) + chance
    count, seen = 3000, {}
    for mask in Masks(size, cells, keep, 0).draw(count)[:, 0]:
        key = tuple(mask.double().mul(1000).round().int().flatten().tolist())
        seen[key] = seen.get(key, 0) + 1
    assert set(seen) <= set(wanted)
    for key, chance in wanted.items():
        spread = math.sqrt(count * chance * (1 - chance))
        assert abs(seen.get(key, 0) - count * chance) <= 5 * spread + 1


@pytest.mark.parametrize(("size", "cells", "keep"), GRIDS, ids=str)
def test_what_is_known_of_masks_on_paper_is_so_over_all_of_them(size, cells, keep):
    masks, chances = every_mask(size, cells, keep)
    known = Masks(size, cells, keep, 0)
    assert torch.allclose(torch.einsum("n,n...->...", chances, masks), torch.full(size, keep, dtype=torch.float64))
    features = known.features(masks[:, None])
    assert torch.allclose((chances[:, None] * features).sum(0), torch.zeros(features.shape[1], dtype=torch.float64))
    slopes = torch.randn(features.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.einsum("n,n,n...->...", chances, features @ slopes, masks)
    assert torch.allclose(known.foretold(slopes), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "cells", "keep"), [((30, 41), 7, 0.5), ((28, 28), 7, 0.2), ((50,), 9, 0.6)], ids=str
)
def test_the_same_for_masks_of_the_usual_kind_as_they_are_drawn(size, cells, keep):
    known, count = Masks(size, cells, keep, 1), 6000
    masks = known.draw(count)
    assert 0 <= float(masks.min()) < float(masks.max()) <= 1
    away = masks[:, 0].double() - keep
    assert bool((away.mean(0).abs() <= 5 * away.std(0) / count**0.5).all())
    features = known.features(masks)
    slopes = torch.randn(features.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    products = torch.einsum("n,n...->n...", features @ slopes, away)
    error = products.std(0) / count**0.5
    assert bool(((products.mean(0) - known.foretold(slopes)).abs() <= 5 * error).all())
    assert float(known.foretold(slopes).abs().max()) > 10 * float(error.max()), "there is something to foretell"


def test_many_cells_do_not_make_the_regression_large():
    for size, cells in (((64, 64), 64), ((16, 16, 16), 16), ((2000,), 2000), ((1, 64, 64), 40)):
        masks = Masks(size, cells, 0.5, 0)
        assert masks.features(masks.draw(1)).shape[1] <= 600
    few = Masks((64, 64), 7, 0.5, 0)
    assert few.features(few.draw(1)).shape[1] == 8 * 8


# The estimate ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "cells", "keep"), GRIDS, ids=str)
def test_the_map_is_the_covariance_within_its_own_error(size, cells, keep):
    network, image = curved(size), pictures(1, size=size).double()
    heat = quietly(network, image, 1, method="rise", samples=2000, cells=cells, keep=keep)
    expected = exactly(network, image, 1, *every_mask(size, cells, keep), keep)
    assert bool(((heat.values[0, 0] - expected).abs() <= 4 * heat.error[0, 0]).all())
    assert float(heat.precision) < 0.1
    assert heat.passes == (2000, 0)


def runs(network, image, samples, seeds, cells, keep):
    """The maps and their errors (seeds, *size) of as many seeds."""
    heats = [
        quietly(network, image, 1, method="rise", samples=samples, cells=cells, keep=keep, seed=seed)
        for seed in range(seeds)
    ]
    return torch.stack([one.values[0, 0] for one in heats]), torch.stack([one.error[0, 0] for one in heats])


@pytest.mark.parametrize(("size", "cells", "keep", "samples"), HONEST, ids=str)
def test_it_is_unbiased_and_its_error_honest_from_few_masks_on(size, cells, keep, samples):
    network, image, seeds = curved(size), pictures(1, size=size).double(), 200
    values, errors = runs(network, image, samples, seeds, cells, keep)
    away = values - exactly(network, image, 1, *every_mask(size, cells, keep), keep)
    assert bool((away.mean(0).abs() <= 4 * away.std(0) / seeds**0.5).all()), "unbiased"
    assert float(away.square().mean() / errors.square().mean()) == pytest.approx(1, abs=0.2)
    scores = away / errors
    assert float((scores.abs() <= 3).double().mean()) > 0.92
    if samples >= 64:  # of fewer, and lopsided ones, the error is right on average and has long tails
        assert 0.8 < float(scores.std()) < 1.2
        assert 0.62 < float((scores.abs() <= 1).double().mean()) < 0.75
        assert 0.92 < float((scores.abs() <= 2).double().mean()) < 0.98


def usual(size, cells, keep, image, weight):
    """The map of a linear model with any number of cells: shift by shift, from how every cell is enlarged."""
    products, total = (image * weight).sum(0).double(), torch.zeros(size, dtype=torch.float64)
    steps = [math.ceil(side / cells) for side in size]
    shares = [
        enlarged(torch.eye(cells), ((cells + 1) * step, cells)) for step in steps
    ]  # (pixels, cells) of each axis
    for y, x in itertools.product(*map(range, steps)):
        rows, columns = shares[0][y : y + size[0]], shares[1][x : x + size[1]]
        total += rows @ (rows.T @ products @ columns) @ columns.T  # from each cell what it shows, and back
    return (1 - keep) * total / math.prod(steps)


@pytest.mark.parametrize(("cells", "keep"), [(7, 0.5), (5, 0.3)])
def test_the_usual_grid_on_a_linear_model_is_what_the_paper_gives(cells, keep):
    size = (20, 24)
    weight = pictures(1, size=size, seed=4)[0].double().cumsum(1).cumsum(2)
    network = linear(classes=2, size=(3, *size)).double()
    image, seeds = pictures(1, size=size).double(), 80
    with torch.no_grad():
        network[1].weight[1] = weight.flatten()
    expected = usual(size, cells, keep, image[0], weight)
    values, errors = runs(network, image, 64, seeds, cells, keep)
    away = values - expected
    assert bool((away.mean(0).abs() <= 4.5 * away.std(0) / seeds**0.5).all())
    assert float(away.square().mean() / errors.square().mean()) == pytest.approx(1, abs=0.15)
    assert 0.9 < float((away / errors).std()) < 1.15
    assert 0.92 < float(((away / errors).abs() <= 2).double().mean()) < 0.98
    many = quietly(network, image, 1, method="rise", samples=1500, cells=cells, keep=keep)
    assert bool(((many.values[0, 0] - expected).abs() <= 4 * many.error[0, 0]).all())
    assert float(many.precision) < 0.05, "what a mask foretells costs no masks"


class Bowl(nn.Module):
    """A score that grows with the square of what large shapes of the picture add up to."""

    def __init__(self, size):
        super().__init__()
        self.register_buffer("weight", pictures(1, size=size, seed=4).double().cumsum(2).cumsum(3) / math.prod(size))

    def forward(self, images):
        total = (self.weight * images).flatten(1).sum(1)
        return torch.stack([total, 5 + total + total.square()], 1)


def test_the_limit_is_that_of_plain_rise_less_the_mean_score():
    size, keep, count = (16, 20), 0.4, 20_000
    network, image = Bowl(size), 1 + 0.3 * pictures(1, size=size).double()
    heat = quietly(network, image, 1, method="rise", samples=2000, keep=keep, seed=0)
    masks = Masks(size, 7, keep, 1).draw(count).double()
    scores = network(masks * image)[:, 1]
    plain = scores.view(-1, 1, 1) * masks[:, 0] / keep  # as the paper has it
    expected, error = plain.mean(0) - scores.mean(), (plain.var(0) / count).sqrt()
    away = heat.values[0, 0] - expected
    assert bool((away.abs() <= 4 * (heat.error[0, 0].square() + error.square()).sqrt()).all())
    assert float(away.norm() / expected.norm()) < 0.1
    assert float(heat.error.square().mean()) < 0.5 * float(error.square().mean()), "from a tenth of the masks"


def test_it_takes_far_fewer_masks_than_plain_rise_on_a_real_network():
    model = sl.load("demo")
    photo = draw(5, thing="duck", background="beach").image()
    index = sl.predict(model, photo)[0].index
    image = model.tensor(sl.open_photo(photo))[0][None]
    heat = quietly(model, image, index, method="rise", samples=600)
    masks = Masks(tuple(image.shape[2:]), 7, 0.5, 0).draw(600)
    with model.lend(image) as net:
        scores = score_masks(net, veils(net, image, "black", 0), Class(index), masks)[:, 0].double()
    plain = scores.view(-1, 1, 1) * masks[:, 0].double() / 0.5
    each = 600 * heat.error[0, 0].double().square()
    assert float(plain.var(0).mean() / each.mean()) > 8
    away = heat.values[0, 0] - (plain.mean(0) - scores.mean())
    assert bool((away.abs() <= 4 * (plain.var(0) / 600).sqrt()).all())


# How far, and what does not matter ---------------------------------------------------------------------------------


def test_it_stops_at_the_precision_asked_for_and_is_as_precise_as_it_says():
    size, keep, off = (5, 6), 0.5, []
    network, image = curved(size), pictures(1, size=size).double()
    expected = exactly(network, image, 1, *every_mask(size, 2, keep), keep)
    for seed in range(30):
        seen = []
        heat = quietly(network, image, 1, method="rise", precision=0.1, cells=2, seed=seed, watch=seen.append)
        assert float(heat.precision) <= 0.1
        assert heat.passes[0] < 1000
        assert [one.passes[0] for one in seen] == list(range(8, heat.passes[0] + 1, 8))
        assert all(float(one.precision) > 0.1 for one in seen[1:-1])
        off.append(float((heat.values[0, 0] - expected).norm() / expected.norm()) / float(heat.precision))
    assert sum(off) / len(off) == pytest.approx(1, abs=0.25)


def test_a_map_that_is_still_blank_is_not_called_precise():
    """A black box that only says yes or no, and nearly always no: in many runs 16 masks do not move it at all."""
    image, blank = torch.ones(1, 3, 8, 12), 0

    def picky(images):
        return (images[:, :, :4, :6].mean((1, 2, 3), keepdim=True) > 0.8).double().flatten(1).repeat(1, 2)

    for seed in range(6):
        blank += not quietly(picky, image, 0, method="rise", samples=16, seed=seed).values.any()
        heat = quietly(picky, image, 0, method="rise", precision=0.2, seed=seed)
        assert heat.values.any()
        assert 0 < float(heat.precision) <= 0.2
    assert blank > 1


def test_without_a_precision_it_takes_a_thousand_masks_and_with_one_at_most_eight_thousand():
    network, image = linear(), pictures(1)
    assert quietly(network, image, 1, method="rise").passes == (1000, 0)
    assert quietly(network, image, 1, method="rise", precision=1e-9).passes == (8000, 0)


@pytest.mark.parametrize("offset", [1e3, 1e8])
def test_the_level_of_the_score_does_not_matter(offset):
    network, image = curved((8, 12)), pictures(2).double()
    options = {"method": "rise", "samples": 120}
    heat = quietly(network, image, targets.Class(1), **options)
    above = quietly(network, image, lambda scores: scores[:, 1] + offset, **options)
    assert close(above.values, heat.values, 1e-6)
    assert close(above.error, heat.error, 1e-6)


def test_map_and_error_scale_with_the_score_and_maps_add_up():
    network, image = curved((8, 12)), pictures(2).double()
    one, other, both, less, more = (
        quietly(network, image, target, method="rise", samples=120)
        for target in (
            targets.Class(1), targets.Class(2), targets.Class(1) + targets.Class(2), -targets.Class(1),
            3.5 * targets.Class(1),
        )
    )  # fmt: skip
    assert close(one.values + other.values, both.values, 1e-9)
    assert close(less.values, -one.values, 1e-9)
    assert close(less.error, one.error, 1e-9)
    assert close(more.values, 3.5 * one.values, 1e-9)
    assert close(more.error, 3.5 * one.error, 1e-9)


def test_several_fills_are_averaged_under_the_same_masks():
    network, image = curved((8, 12)), pictures(2).double()
    options = {"method": "rise", "samples": 60}
    each = [quietly(network, image, 1, fill=fill, **options) for fill in ("black", "mean", 0.5)]
    together = quietly(network, image, 1, fill=("black", "mean", 0.5), **options)
    assert close(together.values, torch.stack([one.values for one in each]).mean(0), 1e-6)
    assert together.passes == (180, 0)


@pytest.mark.parametrize("level", [0.0, 0.1, -1e6, 1 / 3])
def test_a_score_that_never_changes_is_a_blank_map(level):
    with pytest.warns(sl.SightlineWarning, match="zero everywhere: nothing that rise looks at"):
        heat = sl.attribute(lambda x: torch.full((len(x), 2), level), pictures(), 0, method="rise", samples=40)
    assert not heat.values.any()
    assert not heat.error.any()


def test_a_single_mask_says_nothing_and_does_not_pretend_to():
    heat = quietly(linear(), pictures(), 1, method="rise", samples=1)
    assert not heat.values.any()
    assert bool(heat.error.isinf().all())
    assert heat.passes == (1, 0)
    late = quietly(linear(), pictures(), 1, method="rise", samples=1, precision=0.1)
    assert [one.code for one in late.warnings if one.code == "imprecise"] == ["imprecise"] * 2


def test_more_masks_go_on_from_the_fewer():
    seen = []
    heat = quietly(linear(), pictures(), 1, method="rise", samples=64, watch=seen.append)
    for one in seen:
        alone = quietly(linear(), pictures(), 1, method="rise", samples=one.passes[0])
        assert torch.equal(alone.values, one.values)
        assert torch.equal(alone.error, one.error)
    assert torch.equal(seen[-1].values, heat.values)


def test_the_expected_map_is_positive_where_a_linear_model_adds_and_negative_where_it_takes():
    network, image = linear(size=(3, 24, 24)), torch.ones(1, 3, 24, 24)
    with torch.no_grad():
        network[1].weight[1] = torch.tensor([1.0, -1.0]).repeat_interleave(12).expand(3, 24, 24).flatten()
    heat = quietly(network, image, 1, method="rise", samples=400)
    assert float(heat.values[..., :8].min()) > 0
    assert float(heat.values[..., 16:].max()) < 0
