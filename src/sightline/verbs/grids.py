"""Many results in one figure, or in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from sightline.core.errors import OptionError
from sightline.render.save import save_arrays, save_page, save_picture, suffix_of

if TYPE_CHECKING:
    from sightline.render.figure import Picture
    from sightline.verbs.explanation import Comparison, Explanation

    Results = Sequence[Explanation] | Sequence[Comparison]


def grid(results: Results, smooth: float | None = None, *, alpha: float = 0.85, style: str = "pair") -> Picture:
    """One figure of many results, a row each, with a cell for each method; `style` as in Explanation.figure.

    Photos: `sl.grid(sl.explain(model, photos, methods))`. Targets: neighbouring rows of one photo show it once, and
    are labelled with what they explain: `sl.grid([sl.explain(model, photo, methods, target=t) for t in targets])`.
    Raises OptionError.
    """
    from sightline.render.figure import figure_grid

    if not isinstance(results, list | tuple):
        raise OptionError(f"a list of results is needed, not a {type(results).__name__}; use its own .figure().")
    return figure_grid(
        [[one.panel(smooth, style=style) for one in row] for row in map(_row, results)], alpha=alpha, style=style
    )


def save_grid(
    results: Results, path: str | PathLike[str], smooth: float | None = None, *, style: str = "pair"
) -> None:
    """Write several results of one photo, such as one for each target, as one file. Raises SaveError.

    A picture is their grid, a page has them one by one, and an .npz file holds each array under
    "TARGET/METHOD/NAME"; "METHOD/NAME" for one comparison. One explanation is written as it writes itself.
    """
    if len(results) == 1 and not isinstance(results[0], Mapping):
        return results[0].save(path, smooth, style=style)
    suffix, named = suffix_of(path), _named(list(map(_row, results)))
    provenance = {name: one.provenance for name, one in named.items()}
    if suffix == ".npz":
        arrays = {f"{name}/{key}": array for name, one in named.items() for key, array in one.arrays().items()}
        save_arrays(path, arrays, provenance)
    elif suffix == ".html":
        save_page(path, [one.panel(smooth, style=style) for one in named.values()], provenance, style)
    else:
        save_picture(path, grid(results, smooth, style=style))
    return None


def _row(result: Explanation | Comparison) -> list[Explanation]:
    return list(result.values()) if isinstance(result, Mapping) else [result]


def _named(rows: list[list[Explanation]]) -> dict[str, Explanation]:
    """Each explanation by its method, after its target where there are several rows; equal labels are numbered."""
    if len(rows) == 1:
        return {one.method: one for one in rows[0]}
    named: dict[str, Any] = {}
    for row in rows:
        for one in row:
            name, number = f"{one.label}/{one.method}", 1
            while name in named:
                number += 1
                name = f"{one.label} ({number})/{one.method}"
            named[name] = one
    return named
