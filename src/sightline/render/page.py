"""Self-contained pages: no script, no network, everything that came from outside escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from sightline.core.heats import Prediction, Warning
from sightline.render.panel import Panel
from sightline.render.shots import Strip
from sightline.render.tiles import Bars, Wall

if TYPE_CHECKING:
    pass

_STYLE = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --mark: #c2410c; --doubt: #92400e; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); max-width: 70rem; margin: 2.5rem auto; padding: 0
1.2rem; } h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0
.4rem; } p { margin: .5rem 0; max-width: 46rem; } .lead { font-size: 1.1rem; color: #374151; } img { max-width: 100%;
height: auto; display: block; } figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; } table
{ border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; } th, td { text-align: left;
padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; } th { font-weight: 600;
color: var(--soft); font-size: .85rem; } td.n { text-align: right; } tr.marked td { color: var(--mark); font-weight:
600; } .doubt { border-left: 4px solid #f59e0b; background: #fffbeb; color: var(--doubt); padding: .45rem .8rem;
margin: .5rem 0; } .verdict { border-left: 4px solid var(--mark); background: #fff7ed; padding: .6rem 1rem; margin:
1rem 0; max-width: 46rem; } .row { display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--cell, 12rem),
1fr)); gap: 1.2rem; } .row figure { margin: .4rem 0; } .row img { width: 100%; border-radius: 4px; } .row table {
width: 100%; } details { margin: 2rem 0; } pre { overflow: auto; font-size: .8rem; background: #f9fafb; padding:
.8rem; } code { background: #f3f4f6; padding: .1em .3em; border-radius: 3px; } footer { color: var(--soft);
font-size: .85rem; margin: 3rem 0 1rem; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML document from parts that the functions below made."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A heading, from plain text."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, from plain text; `kind` is "lead", "verdict", "doubt" or nothing."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def image(picture: bytes, alt: str, caption: str = "", kind: str = "png") -> str:
    """A picture in the page itself, a "png" or a "gif"."""
    data = base64.b64encode(picture).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escape(alt)}" src="data:image/{kind};base64,{data}">{below}</figure>'


def side_by_side(parts: Iterable[str], width: float = 12) -> str:
    """Parts beside each other, each at least `width` letters wide, as many as the window is wide enough for."""
    cells = "".join(f"<div>{part}</div>" for part in parts)
    return f'<div class="row" style="--cell: {width:g}rem">{cells}</div>'


def code(text: str) -> str:
    """Lines to type, from plain text."""
    return f"<pre>{escape(text)}</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: Iterable[int] = ()) -> str:
    """A table of plain texts; numbers are set flush right, `marked` rows stand out."""
    stand_out = set(marked)
    top = "".join(f"<th>{escape(one)}</th>" for one in head)
    lines = []
    for i, row in enumerate(rows):
        cells = "".join(f'<td class="{"n" if one[:1].isdigit() else ""}">{escape(one)}</td>' for one in row)
        lines.append(f'<tr class="{"marked" if i in stand_out else ""}">{cells}</tr>')
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def answers(predictions: Sequence[Prediction], marked: Sequence[int] = ()) -> str:
    """A table of what the model answers."""
    rows = [
        (
            str(one.index),
            one.words,
            "" if one.probability is None else f"{one.probability:.1%}",
            f"{one.score:.3f}",
        )
        for one in predictions
    ]
    lit = [i for i, one in enumerate(predictions) if one.index in marked]
    return table(("index", "class", "probability", "score"), rows, lit)


def doubts(warnings: Iterable[Warning]) -> str:
    """Warnings, each with its code."""
    return "".join(paragraph(f"{one.message} [{one.code}]", "doubt") for one in dict.fromkeys(warnings))


def explanation_page(panels: Sequence[Panel], provenance: Any, style: str = "pair") -> str:
    """A photo's explanations: answers, pictures in a style, warnings, and what is needed to make them again."""
    from sightline.render.figure import figure

    first, marked = panels[0], [index for panel in panels for index in panel.marked]
    parts = [heading(f"Where the model looks in {first.name}", 1), answers(first.predictions, marked)]
    for panel in panels:
        parts.append(heading(f"{panel.method}: {panel.label}"))
        parts.append(doubts(panel.warnings))
        parts.append(
            image(figure([panel], style=style)._repr_png_(), f"{panel.method} for {panel.label}", panel.footer)
        )
    parts.append(how(provenance))
    labels = ", ".join(dict.fromkeys(panel.label for panel in panels))
    return page(f"{first.name}: {labels}", parts)


def strip_page(strip: Strip, provenance: Any) -> str:
    """What a model answers for a photo and its edits: the verdict, the strip, the effects in figures."""
    from sightline.render.strip import strip_figure

    rows = [
        (
            one.edit,
            f"{one.change:+.3f}",
            "" if one.before is None or one.after is None else f"{one.before:.3g} to {one.after:.3g}",
            "none" if one.p is None else f"{one.p:.2g} (n = {len(one.known)})",
            one.note,
        )
        for one in strip.strands
    ]
    heads = (
        "edit",
        f"change of the {strip.score}",
        strip.strands[0].measure if rows else "",
        "p of its controls",
        "",
    )
    parts = [
        heading(f"What if? {strip.photo}: {strip.label}", 1),
        paragraph(strip.headline, "verdict"),
        doubts(strip.warnings),
        image(strip_figure(strip)._repr_png_(), "the photo and its edits", strip.footer),
        table(heads, rows),
        how(provenance),
    ]
    return page(f"{strip.photo}: what if?", parts)


def wall_page(wall: Wall | Bars, provenance: Any) -> str:
    """A wall of small pictures: its title, warnings, the pictures, and what is needed to make them again."""
    from sightline.render.wall import figure_of

    parts = [
        heading(wall.title, 1),
        *([paragraph(wall.about, "lead")] if wall.about else []),
        doubts(wall.warnings),
        image(figure_of(wall)._repr_png_(), wall.title, wall.footer),
        how(provenance),
    ]
    return page(wall.title, parts)


def how(provenance: Any) -> str:
    """What is needed to make a result again, folded away."""
    record = escape(json.dumps(provenance, indent=2, ensure_ascii=False))
    return f"<details><summary>How this was made</summary><pre>{record}</pre></details>"
