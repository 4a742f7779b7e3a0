"""Minimal evidence: the least of a picture that keeps an answer, and the least whose loss changes it."""

from __future__ import annotations

from sightline.render.columns import Column, Columns
from sightline.render.sheet import Picture, as_written, sheet
from sightline.render.shots import Evidence, Shot
from sightline.render.strip import Below, Top

ENOUGH, NEEDED = "#15803d", "#e11d48"


def evidence_figure(evidence: Evidence) -> Picture:
    """The original, what is enough and what is needed side by side, each with the answers it gets."""
    cells = [_original(evidence)]
    if evidence.enough is not None:
        cells.append(_part(evidence.enough, "enough: this alone keeps the answer", ENOUGH, "solid"))
    if evidence.needed is not None:
        cells.append(_part(evidence.needed, _loss(evidence, evidence.needed), NEEDED, "dashed"))
    columns = Columns(cells, evidence.marked, evidence.label)
    width = max(columns.width, 4.6)
    top = Top(evidence.headline, f"{evidence.photo}  ·  {evidence.label}", width)
    below = Below(evidence.warnings, evidence.footer, width, _hints(evidence))
    drawn, place = sheet(width, top.height + columns.height + below.height)
    top.draw(drawn)
    columns.draw(drawn, place, top.height)
    below.draw(drawn)
    return as_written(drawn)


def _original(evidence: Evidence) -> Column:
    """The picture as it is, what is enough and what is needed outlined on it."""
    # where both run along one line, the narrow dashes leave the wide one to be seen
    parts = ((evidence.enough, ENOUGH, "solid", 4.0), (evidence.needed, NEEDED, "dashed", 1.6))
    outlines = tuple(
        (shot.outline, colour, line, width)
        for shot, colour, line, width in parts
        if shot is not None and shot.outline is not None
    )
    shot = evidence.original
    return Column(shot, "original", _small(shot), outlines=outlines, segments=evidence.segments)


def _part(shot: Shot, heading: str, colour: str, line: str) -> Column:
    outlines = () if shot.outline is None else ((shot.outline, colour, line, 1.8),)
    return Column(shot, heading, _small(shot), colour, outlines)


def _small(shot: Shot) -> str:
    """The shot's own title, where it says more than the heading does."""
    return "" if shot.title in ("original", "enough", "needed") else shot.title


def _loss(evidence: Evidence, shot: Shot) -> str:
    """What becomes of the answer without what is needed."""
    if not shot.predictions:
        return "needed: without this the answer changes"
    best = shot.predictions[0]
    if best.index in evidence.marked:
        return f"without this, still {best.label}"
    return f"needed: without this the answer becomes {best.label}"


def _hints(evidence: Evidence) -> list[str]:
    """How to read the outlines on the original."""
    told = []
    if evidence.enough is not None and evidence.enough.outline is not None:
        told.append("solid, green: what is enough")
    if evidence.needed is not None and evidence.needed.outline is not None:
        told.append("dashed, red: what is needed")
    return [f"Outlined on the original: {'; '.join(told)}."] if told else []
