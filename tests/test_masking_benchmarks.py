"""The rows on masking: as many passes on both sides, the authors' loop as the paper has it, variances by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from benchmarks import cases, contestants, data, passes, randomized, rows, variance
from benchmarks.agreement import DisagreementError
from sightline.attribution.rise import Masks
from test_benchmarks import tiny

FEW = 24
BY_NAME = {contest.name: contest for contest in rows.CONTESTS}


def passes_of(run):
    """Images that go through the linear layer while `run` runs."""
    seen = []

    def count(module, _inputs, output):
        seen.extend(range(len(output)) if isinstance(module, nn.Linear) else ())

    handle = nn.modules.module.register_module_forward_hook(count)
    try:
        run()
    finally:
        handle.remove()
    return len(seen)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("row", "count"), [("occlusion", 1 + 49), ("rise", randomized.MASKS)])
def test_everyone_makes_as_many_passes(row, count):
    for name, runner in BY_NAME[row].line_up(tiny()).items():
        runner.run()  # ours first finds out what the network's output is
        assert passes_of(runner.run) == count, name


def test_captum_gives_every_channel_the_same():
    maps = contestants.captum_occlusion(tiny()).run()["occlusion"]
    assert maps.shape[1] == 3
    assert torch.equal(maps, maps[:, :1].expand_as(maps))


@pytest.mark.filterwarnings("ignore")
def test_occlusion_of_another_fill_is_not_raced(monkeypatch):
    monkeypatch.setattr(cases.Case, "black", lambda case: -case.images)
    with pytest.raises(DisagreementError, match=r"the maps differ \(occlusion\)"):
        BY_NAME["occlusion"].compare(tiny())


# The authors' loop ------------------------------------------------------------------------------------------


def test_the_loop_is_the_papers_formula():
    case = tiny()
    loop = randomized.Loop(nn.Sequential(case.network, nn.Softmax(1)), case.images, at_once=5)
    masks = randomized.authors_masks(FEW, (32, 32), np.random.default_rng(1))
    with torch.no_grad():
        found = loop.saliency(loop.probabilities(masks), masks)
        shares = [case.network(case.images * mask).softmax(1)[0] for mask in masks]
    total = sum(share.view(5, 1, 1) * mask for share, mask in zip(shares, masks, strict=True))
    torch.testing.assert_close(found, total / (FEW * randomized.KEEP))  # equation 6 of arXiv:1806.07421


def test_the_loops_masks_are_cropped_from_bilinear_grids():
    spatial, cells = (28, 42), randomized.CELLS
    masks = randomized.authors_masks(FEW, spatial, np.random.default_rng(2))
    dice = np.random.default_rng(2)
    sides = [math.ceil(side / cells) for side in spatial]
    for mask in masks:
        grid = torch.from_numpy((dice.random((cells, cells)) < randomized.KEEP).astype(np.float32))
        top, left = dice.integers(0, sides).tolist()
        large = nn.functional.interpolate(grid[None, None], [8 * side for side in sides], mode="bilinear")
        window = large[0, :, top : top + spatial[0], left : left + spatial[1]]
        # within half a cell of the grid's edge scikit-image reflects where PyTorch repeats
        inner = [slice(side, size - side) for side, size in zip(sides, spatial, strict=True)]
        torch.testing.assert_close(mask[:, *inner], window[:, *inner])
    assert 0 <= masks.min() < masks.max() <= 1


def test_at_its_fastest_the_loop_gives_the_same_map():
    published = randomized.authors(tiny()).run()["rise"]
    fastest = randomized.authors_at_their_best(tiny(), sizes=(8, 100))
    assert fastest.chosen.endswith("at once, the fastest of 8, 100")
    torch.testing.assert_close(fastest.run()["rise"], published)


# The variance row -------------------------------------------------------------------------------------------


def test_the_masks_that_are_drawn_again_are_those_that_were_scored():
    case, seen = tiny(), []
    case.network.register_forward_pre_hook(lambda _network, inputs: seen.append(inputs[0].clone()))
    variance.spread(case.network, case.images, lambda scores: scores[:, 2], FEW)
    masks = Masks((32, 32), randomized.CELLS, randomized.KEEP, seed=0).draw(FEW)
    torch.testing.assert_close(torch.cat(seen)[-FEW:], masks * case.images + (1 - masks) * -1)


@pytest.mark.parametrize("at_once", [7, 100])
def test_variances_are_those_of_a_calculation_by_hand(monkeypatch, at_once):
    monkeypatch.setattr(variance, "_AT_ONCE", at_once)
    case = tiny()
    found = variance.spread(case.network, case.images, lambda scores: scores[:, 2], FEW)
    masks = Masks((32, 32), 7, 0.5, seed=0).draw(FEW)
    with torch.no_grad():
        scores = case.network(masks * case.images - (1 - masks))[:, 2].numpy().astype(np.float64)
    kept = masks[:, 0].numpy().astype(np.float64)
    plain = [score * mask / 0.5 for score, mask in zip(scores, kept, strict=True)]
    control = [(score - scores.mean()) * (mask - 0.5) / 0.5 for score, mask in zip(scores, kept, strict=True)]
    assert found.plain == pytest.approx(np.var(plain, axis=0, ddof=1).mean(), rel=1e-5)
    assert found.control == pytest.approx(np.var(control, axis=0, ddof=1).mean(), rel=1e-5)
    heat = sl.attribute(sl.wrap(case.network, input_size=32, mean=0.5, std=0.5), case.images, 2, "rise", samples=FEW)
    assert found.ours == pytest.approx(float(heat.error.square().mean()) * FEW, rel=1e-4)
    away = (heat.values[0, 0].numpy() - np.mean(control, 0)) / (np.std(control, 0, ddof=1) / math.sqrt(FEW))
    assert found.apart == pytest.approx(math.sqrt(np.square(away).mean()), rel=1e-3)


def test_the_variance_row_is_the_median_gain_over_photos(monkeypatch, tmp_path):
    sizes = itertools.count(1)

    def spread(_network, _image, read):
        if float(read(torch.tensor([[9.0] * 5]))) != 9:  # the probability
            return variance.Spread(6.0, 3.0, 2.0, 9.0)
        size = float(next(sizes))
        return variance.Spread(16 * size, 4 * size, size, 0.5)

    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.setattr(passes, "photos", lambda _label: iter([(tiny().network, tiny().images)] * 6))
    monkeypatch.setattr(variance, "spread", spread)
    (found,) = variance.measure(20)
    assert (found.ratio.median, found.ratio.low, found.reached) == (16.0, 16.0, True)
    assert (found.ours, found.theirs) == pytest.approx((350, 5600))  # variance 3.5 and 56 over 0.1 squared
    assert "without the regression 4.00 [4.00, 4.00]; where the score is the probability 3.00" in found.note
    assert found.note.endswith(
        "2.00 [2.00, 2.00]; with and without it the logit's maps are 0.50 standard errors apart"
    )


def test_without_photos_the_variance_row_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "DATA", tmp_path / "nowhere")
    with pytest.raises(contestants.UnavailableError, match="SIGHTLINE_DATA"):
        next(variance.measure(20))
