"""Resampling, and levels of intervals that are reported because they were selected."""

import numpy as np
import pytest

from sightline.stats.bootstrap import percentiles, resamples
from sightline.stats.multiplicity import selected_level


def test_a_resample_draws_as_many_and_its_mean_varies_as_means_do():
    drawn = resamples(50, 4000, np.random.default_rng(0))
    assert (drawn.sum(1) == 50).all()
    values = np.arange(50.0)
    assert (drawn @ values / 50).std() == pytest.approx(values.std() / 50**0.5, rel=0.05)


def test_of_nothing_nothing_is_drawn():
    assert resamples(0, 3, np.random.default_rng(0)).shape == (3, 0)


def test_the_middle_of_values_whatever_is_not_known():
    low, high = percentiles(np.array([*np.arange(101.0), np.nan]), 0.9)
    assert (low, high) == pytest.approx((5, 95))
    assert all(np.isnan(percentiles(np.array([np.nan]), 0.9)))


def test_all_selected_keep_their_level_and_few_of_many_need_a_higher_one():
    assert selected_level(0.95, 10, 10) == pytest.approx(0.95)
    assert selected_level(0.95, 2, 10) == pytest.approx(0.99)
    assert selected_level(0.95, 0, 10) == selected_level(0.95, 1, 10) == pytest.approx(0.995)


def test_of_selected_intervals_at_that_level_no_more_miss_than_they_say():
    """Normal means, most of them zero; those whose interval leaves zero out are reported."""
    from scipy.stats import norm

    dice, shares = np.random.default_rng(0), []
    for _ in range(400):
        true = np.where(np.arange(50) < 5, 3.0, 0.0)
        seen = true + dice.normal(size=50)
        selected = np.abs(seen) > norm.isf(0.05 / 2 * 0.1)
        half = norm.isf((1 - selected_level(0.95, int(selected.sum()), 50)) / 2)
        missed = selected & (np.abs(seen - true) > half)
        shares.append(missed.sum() / max(1, selected.sum()))
    assert np.mean(shares) <= 0.05
