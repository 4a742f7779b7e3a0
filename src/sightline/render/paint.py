"""From heat to colours: overlays, cut-outs, scales and levels, as pixels and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sightline.render.panel import Panel

HEAT, SIGNED = "inferno", "coolwarm"  # perceptually even; the second diverges from its middle
_PALE, _DARK = 0.97, (0.12, 0.16, 0.22)
_STEPS = np.linspace(0, 1, 256)
Pixels = NDArray[np.float32]


def blend(panel: Panel, alpha: float) -> Pixels:
    """The overlay's pixels (h, w, 3) in [0, 1]: more heat hides more of the greyed photo; unseen parts are pale."""
    grey, share = _grey(panel), _share(panel)
    colours = colormaps[SIGNED if panel.signed else HEAT]
    paint = colours((share + 1) / 2 if panel.signed else share)[..., :3].astype(np.float32)
    cover = alpha * np.sqrt(np.abs(share))[..., None]
    return _pale(panel, grey * (1 - cover) + paint * cover)


def plain(panel: Panel) -> Pixels:
    """The photo's pixels (h, w, 3) in [0, 1]; unseen parts are pale."""
    return _pale(panel, panel.photo / np.float32(255))


def cut_out(panel: Panel, alpha: float) -> Pixels:
    """The photo's pixels (h, w, 3) in [0, 1] where the heat is; `alpha` of the rest, and of the unseen, is faded."""
    kept = 1 - alpha * (1 - _clear(np.abs(_share(panel))))[..., None]
    return np.asarray(panel.photo / np.float32(255) * kept + _PALE * (1 - kept), np.float32)


def colours(panel: Panel, style: str) -> Colormap:
    """The colours of the bar, from its lower to its upper end."""
    if style == "cut-out":
        ramp = _clear(np.abs(np.linspace(*panel.bounds, 256)) / max(map(abs, panel.bounds)))[:, None]
        return ListedColormap(_PALE * (1 - ramp) + np.array(_DARK) * ramp)
    full = colormaps[SIGNED if panel.signed else HEAT]
    if not panel.part:
        return full
    half = _STEPS / 2 + (0.5 if panel.part == "positive" else 0)
    return LinearSegmentedColormap.from_list(panel.part, full(half))


def levels(panel: Panel) -> list[float]:
    """A few round raw values between nothing and the colour bar's end, both ways where signs are shown."""
    if not panel.top > 0:
        return []
    ticks = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], min_n_ticks=4).tick_values(0, panel.top)
    above = [float(tick) for tick in ticks if 0 < tick < panel.top]
    return [-one for one in reversed(above)] + above if panel.signed else above


def _grey(panel: Panel) -> Pixels:
    luma = panel.photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    return np.repeat(luma[..., None], 3, axis=2)


def _pale(panel: Panel, pixels: Any) -> Pixels:
    """`pixels`, but what was not seen in pale grey."""
    return np.where(np.isfinite(panel.heat)[..., None], pixels, 0.55 + 0.3 * _grey(panel)).astype(np.float32)


def _share(panel: Panel) -> Any:
    """The heat over the colour bar's end, in [-1, 1]; 0 where unseen."""
    return np.nan_to_num(panel.heat / (panel.top or 1.0)).clip(-1, 1)


def _clear(share: Any) -> Any:
    """How much of the photo shows at a share of the heat: half of it at half, with soft ends."""
    return share * share * (3 - 2 * share)
