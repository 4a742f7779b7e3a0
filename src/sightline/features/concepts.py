"""What a layer's activations are made of: non-negative factors of positions by channels (arXiv:1806.10206)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import LayerError, OptionError
from sightline.core.heats import Warning
from sightline.features.learning import learner

Floats = NDArray[np.float32]

_ROUNDS = 500  # of updates, at most
_CLIPPED = 1e-6  # share of the energy whose loss is worth a word


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Activations (n, C) as `amounts` (n, count) times `vectors` (count, C), all non-negative, best explained first.

    The vectors have length 1, their scale is in the amounts. `share` (count,) is how much of the activations' energy,
    their sum of squares, each explains; it adds up to `total`, 1 - |activations - amounts vectors|² / energy.
    """

    amounts: Floats
    vectors: Floats
    share: NDArray[np.float64]
    total: float
    warnings: tuple[Warning, ...]


def factorize(activations: NDArray[Any], count: int, seed: int = 0) -> Factors:
    """Non-negative matrix factorization of activations (n, C) into `count` parts; negative ones count as 0.

    scikit-learn's coordinate descent from a start by NNDSVD, zeros filled with the mean; the seed is that of its
    randomized singular vectors. Raises OptionError for more parts than can be told apart, LayerError where nothing is
    positive, MethodError without scikit-learn.
    """
    clipped, notes = _clipped(activations)
    if not 1 <= count <= min(clipped.shape):
        positions, channels = clipped.shape
        raise OptionError(
            f"count={count}; {positions} positions of {channels} channels have 1 to {min(clipped.shape)} parts."
        )
    model = learner("decomposition.NMF")(count, init="nndsvda", random_state=seed, max_iter=_ROUNDS)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        amounts = np.asarray(model.fit_transform(clipped), np.float32)
    if any(issubclass(one.category, learner("exceptions.ConvergenceWarning")) for one in told):
        notes.append(
            Warning("not-converged", f"the factors still moved after {_ROUNDS} rounds; they are approximate.")
        )
    return _ordered(clipped, amounts, np.asarray(model.components_, np.float32), notes)


def _clipped(activations: NDArray[Any]) -> tuple[Floats, list[Warning]]:
    """The activations with what is negative at 0, and a word about what that loses."""
    given = np.asarray(activations, np.float32)
    energy = np.square(given, dtype=np.float64).sum()
    clipped = np.maximum(given, 0)
    kept = np.square(clipped, dtype=np.float64).sum()
    if not kept > 0:
        raise LayerError("no activation of this layer is above zero, so it has no non-negative parts. Take another.")
    lost = 1 - kept / energy
    if lost < _CLIPPED:
        return clipped, []
    message = f"negative activations count as 0: {_percent(lost)} of the layer's energy (sum of squares) is lost."
    return clipped, [Warning("clipped", message)]


def _ordered(acts: Floats, amounts: Floats, vectors: Floats, notes: list[Warning]) -> Factors:
    """Factors with vectors of length 1, best explained first.

    Of |A|² - |A - WH|² = sum of w_k h_k (2A - WH) each term is a part's own; where the fit has settled,
    w_k h_k (A - WH) is 0, and the share is that of A along the part.
    """
    length = np.linalg.norm(vectors, axis=1)
    vectors = np.asarray(vectors / np.where(length > 0, length, 1)[:, None], np.float32)
    amounts = amounts * length
    energy = np.square(acts, dtype=np.float64).sum()
    along = np.einsum("nk,nk->k", amounts, acts @ vectors.T, dtype=np.float64)  # <w_k h_k, A>
    fitted = np.einsum("nk,nk->k", amounts, amounts @ (vectors @ vectors.T), dtype=np.float64)
    share = (2 * along - fitted) / energy
    order = np.argsort(-share, kind="stable")
    return Factors(amounts[:, order], vectors[order], share[order], float(share.sum()), tuple(notes))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{share:.1g} of 1"
