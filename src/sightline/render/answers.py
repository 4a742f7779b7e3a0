"""The box of the model's top answers, where it hides least of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.offsetbox import AnchoredOffsetbox, TextArea, VPacker

from sightline.core.heats import Prediction
from sightline.render.fit import fonts
from sightline.render.panel import Panel
from sightline.render.words import cut

MARK = "#c2410c"
_LETTER, _LINE = 0.06, 0.145  # inches: a letter's width and a line's height


def draw_answers(axis: Any, panel: Panel, wide: float, high: float) -> None:
    """The top answers, the explained class marked, in the quietest corner of a picture in a cell of such inches."""
    if not panel.predictions:
        return
    height, width = panel.photo.shape[:2]
    wide, high = min(wide, high * width / height), min(high, wide * height / width)
    lines = [answer(one, one.index in panel.marked) for one in panel.predictions]
    if panel.marked and not any(one.index in panel.marked for one in panel.predictions):
        lines.append(f"▸ not among them: {cut(panel.label, 20)}")
    if panel.predictions[0].share is not None:
        lines.insert(0, "share of the photo:")
    lines = lines[: max(1, int(high / _LINE) - 1)]
    letters = max(map(len, lines))
    style: dict[str, Any] = {"fontsize": 7, "family": fonts("DejaVu Sans Mono"), "color": "#1f2937"}
    marked = style | {"color": MARK, "weight": "bold"}
    texts: list[Any] = [
        TextArea(line.ljust(letters), textprops=marked if line.startswith("▸") else style) for line in lines
    ]
    right, upper = _quietest(panel, (len(lines) + 1) * _LINE / high, (letters + 3) * _LETTER / wide)
    corner: Any = f"{'upper' if upper else 'lower'} {'right' if right else 'left'}"
    box = AnchoredOffsetbox(corner, child=VPacker(children=texts, pad=0, sep=2.5), pad=0.5, borderpad=0.6)
    box.patch.set(facecolor="#ffffffd9", edgecolor="none", boxstyle="round,pad=0.1")
    axis.add_artist(box)


def _quietest(panel: Panel, high_share: float, wide_share: float) -> tuple[bool, bool]:
    """(right, upper) of the corner where a box of such shares hides least; lower left unless another is better."""
    shown = np.abs(panel.heat) if panel.region is None else panel.region.astype(np.float32)
    size = np.nan_to_num(shown)
    high, wide = int(len(size) * min(1, high_share)) + 1, int(size.shape[1] * min(1, wide_share)) + 1
    mass = {
        (False, False): size[-high:, :wide].sum() * 0.8,
        (True, False): size[-high:, -wide:].sum(),
        (False, True): size[:high, :wide].sum(),
        (True, True): size[:high, -wide:].sum(),
    }
    return min(mass, key=lambda corner: float(mass[corner]))


def answer(one: Prediction, marked: bool) -> str:
    """An answer in a line of letters of one width."""
    name = cut(one.label, 20)
    number = f"{one.number:6.1%}" if one.number is not None else f"{one.score:8.3g}"
    return f"{'▸' if marked else ' '} {number} {name}"
