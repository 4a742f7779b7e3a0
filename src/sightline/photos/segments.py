"""A photo in pieces of like colour: superpixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.checks import number, whole
from sightline.core.errors import PhotoError
from sightline.photos.pixels import TOLERANCE

Labels = NDArray[np.int64]

COMPACTNESS = 10.0  # the paper's m, which it takes from 1 to 40 in CIELAB; here of the picture at full contrast
GRID = 1e4  # a compactness that no colour comes up against: the pieces are a grid


def segments(pixels: NDArray[Any], count: int = 50, compactness: float = COMPACTNESS) -> Labels:
    """Labels (h, w), from 0 without gaps, of about `count` pieces of like colour (SLIC, doi:10.1109/TPAMI.2012.120).

    `pixels`: (h, w, C), uint8 or floats in [0, 1]. Of more than three channels the first three are seen as RGB;
    one is grey, and two are averaged to grey. A piece is connected. More `compactness` gives rounder pieces, less
    follows colours more. On noise and fine texture the pieces are crumbs, which SLIC merges until next to nothing
    is left; the compactness is then doubled until there are at least count / 2 pieces. In a picture of up to
    `count` pixels each is a piece. The same pixels give the same pieces. Raises OptionError for options out of
    range, PhotoError for pixels that are none.
    """
    whole("count", count, 1)
    firmness = number("compactness", compactness, above=0)
    colours = _colours(pixels)
    labels = _slic(colours, count, firmness)
    while labels.max() + 1 < count / 2 and firmness < GRID:
        firmness *= 2
        labels = _slic(colours, count, firmness)
    return labels


def _colours(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels as RGB (h, w, 3). Raises PhotoError."""
    if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "uf":
        raise PhotoError(
            f"pixels are (h, w, C), uint8 or floats in [0, 1]; got {pixels.dtype} of shape {pixels.shape}."
        )
    scaled = pixels / np.float64(255) if pixels.dtype == np.uint8 else pixels.astype(np.float64)
    if not (scaled.min() >= -TOLERANCE and scaled.max() <= 1 + TOLERANCE):
        raise PhotoError(f"pixels are finite and in [0, 1]; got {scaled.min():g} to {scaled.max():g}.")
    scaled = scaled.clip(0, 1)
    if pixels.shape[2] >= 3:
        return scaled[..., :3]
    return np.repeat(scaled.mean(2, keepdims=True), 3, axis=2)


def _slic(colours: NDArray[Any], count: int, compactness: float) -> Labels:
    from skimage.segmentation import slic

    labels = slic(
        colours, count, compactness, enforce_connectivity=True, convert2lab=True, start_label=0, channel_axis=-1
    )
    found = np.unique(labels, return_inverse=True)[1]
    return np.asarray(found.reshape(labels.shape), np.int64)
