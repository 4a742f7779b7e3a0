"""Deep feature factorization: planted parts are found, shares add up, and what is lost is said."""

import builtins

import numpy as np
import pytest

from sightline.core.errors import LayerError, MethodError, OptionError
from sightline.features.concepts import factorize


def planted(count=3, positions=200, channels=12, seed=0):
    """(activations, vectors): each position shows one or two parts, each part has channels of its own."""
    dice = np.random.default_rng(seed)
    vectors = np.zeros((count, channels), np.float32)
    for part in range(count):
        vectors[part, part::count] = dice.uniform(0.5, 1.5, len(range(part, channels, count)))
    amounts = dice.gamma(1.0, 1.0, (positions, count)) * (dice.random((positions, count)) < 0.5)
    amounts *= 2.0 ** -np.arange(count)  # the first part explains most
    return (amounts @ vectors).astype(np.float32), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_planted_parts_are_found_best_explained_first(seed):
    activations, vectors = planted(seed=seed)
    found = factorize(activations, 3, seed)
    assert (found.vectors * vectors).sum(1) == pytest.approx(1, abs=1e-4)  # cosines, in order
    assert found.total == pytest.approx(1, abs=1e-4)


def test_the_scale_is_in_the_amounts():
    activations, _ = planted()
    found = factorize(7 * activations, 3)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(found.amounts @ found.vectors - 7 * activations).max() < 0.02 * activations.max() * 7
    assert found.vectors.min() >= 0
    assert found.amounts.min() >= 0


def test_shares_are_of_the_energy_and_add_up():
    dice = np.random.default_rng(3)
    activations = dice.gamma(0.5, 1.0, (150, 20)).astype(np.float32)
    found = factorize(activations, 5)
    left = np.square(activations - found.amounts @ found.vectors, dtype=np.float64).sum()
    assert found.total == pytest.approx(1 - left / np.square(activations, dtype=np.float64).sum(), abs=1e-6)
    assert found.share.sum() == pytest.approx(found.total, abs=1e-9)
    assert (np.diff(found.share) <= 0).all()
    assert found.share.min() > 0
    along = [(np.outer(found.amounts[:, k], found.vectors[k]) * activations).sum() for k in range(5)]
    assert found.share == pytest.approx(along / np.square(activations).sum(), abs=0.01)  # where the fit has settled


def test_one_part_is_the_first_singular_vector():
    activations, _ = planted()
    found = factorize(activations, 1)
    _, values, rows = np.linalg.svd(activations.astype(np.float64))
    assert abs(found.vectors[0] @ rows[0]) == pytest.approx(1, abs=1e-4)
    assert found.total == pytest.approx(values[0] ** 2 / (values**2).sum(), abs=1e-4)


def test_the_same_seed_gives_the_same_parts():
    activations, _ = planted()
    one, again = factorize(activations, 4, seed=5), factorize(activations, 4, seed=5)
    assert np.array_equal(one.vectors, again.vectors)
    assert np.array_equal(one.amounts, again.amounts)


def test_the_random_numbers_of_others_stay_as_they_are():
    activations, _ = planted()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    factorize(activations, 4, seed=5)
    assert np.array_equal(np.random.get_state()[1], before)


def test_what_is_negative_counts_as_nothing_and_its_share_is_said():
    activations = np.array([[3.0, -4.0], [0.0, 0.0]] * 4, np.float32)
    found = factorize(activations, 1)
    (warning,) = found.warnings
    assert warning.code == "clipped"
    assert "64.0% of the layer's energy" in warning.message  # 16 of 25
    assert found.total == pytest.approx(1)
    assert factorize(np.maximum(activations, 0), 1).warnings == ()


def test_a_fit_that_still_moves_is_said(monkeypatch):
    monkeypatch.setattr("sightline.features.concepts._ROUNDS", 2)
    found = factorize(np.random.default_rng(0).random((60, 30), np.float32), 5)
    assert [one.code for one in found.warnings] == ["not-converged"]


def test_more_parts_than_can_be_told_apart_are_refused():
    with pytest.raises(OptionError, match="count=5; 4 positions of 9 channels have 1 to 4 parts"):
        factorize(np.ones((4, 9), np.float32), 5)


def test_a_layer_that_is_never_positive_is_refused():
    with pytest.raises(LayerError, match="no activation of this layer is above zero"):
        factorize(-np.ones((4, 9), np.float32), 2)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def hidden(name, *rest, **more):
        if name.startswith("sklearn"):
            raise ImportError("No module named 'sklearn'")
        return real(name, *rest, **more)

    monkeypatch.setattr("importlib.import_module", hidden)
    with pytest.raises(MethodError, match=r"pip install 'sightline\[concepts\]'"):
        factorize(np.ones((4, 9), np.float32), 2)
