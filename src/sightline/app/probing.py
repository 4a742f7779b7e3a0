"""`sightline probe`: from parsed arguments to answers, files or JSON."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np

import sightline as sl
from sightline.app import show
from sightline.app.commands import listed, model_of, no_options, progress, target_of
from sightline.attribution.catalog import method
from sightline.core.errors import OptionError, PhotoError
from sightline.photos.fills import is_colour
from sightline.render.save import suffix_of


def probe(given: argparse.Namespace) -> int:
    """What the model answers when a region of a photo is edited."""
    no_options(given, "probe")
    goals, model = _goals(given), model_of(given)
    if given.maps:
        method(given.maps)  # a name that is none is refused before anything is run
    try:
        photo = sl.open_photo(given.photo, channels=model.channels)
    except PhotoError as error:
        return show.unread(given.photo, error, given.json)
    found, extras = _found(given, model, photo)
    found.save(goals["probe"], given.maps)
    for name, one in extras.items():
        one.save(goals[name])
    files = [str(goals[name]) for name in ("probe", *extras)]
    if given.json:
        rest = {name: one.provenance for name, one in extras.items()}
        show.print_json(found.provenance | rest | {"files": files, "failed": []})
    else:
        _tell(given.photo, found, extras, files)
    return 0


def _found(given: argparse.Namespace, model: sl.Model, photo: sl.Photo) -> tuple[sl.Probe, dict[str, Any]]:
    """The probe, and what else was asked for."""
    region, target, fill = _region(given, photo), target_of(given.target), _fill(given.fill or "blur")
    extras: dict[str, Any] = {}
    with progress(given.json, "probing") as bar:
        shared: dict[str, Any] = {"seed": given.seed, "progress": bar.update}
        edits, more = _edits(given.edits), {"controls": given.controls, "soft": given.soft}
        found = sl.probe(model, photo, region, edits, fill, target, **more, **shared)
        if given.evidence:
            extras["evidence"] = sl.evidence(model, photo, fill, **shared)
        if given.sweep:
            single = given.fill and (is_colour(fill) or not isinstance(fill, tuple))  # a sweep takes one
            behind = fill if single else None
            extras["sweep"] = sl.sweep(model, photo, region, behind, target, soft=given.soft, **shared)
    return found, extras


def _tell(path: str, found: sl.Probe, extras: dict[str, Any], files: list[str]) -> None:
    """What was found, for a person."""
    print(show.bold(path))
    print("\n".join(show.answers(found.original, {getattr(found.target, "index", None)})))
    print(f"  {show.bold(found.headline)}")
    for name, effect in found.effect.items():
        first = found.edited[name][:1]
        says = f"says {first[0].label}" if first else ""
        before, after = effect.probability or (None, None)
        chance = "" if before is None else f"{found.label} {before:.1%} to {after:.1%}, "
        print(f"  {name}: {says}; {chance}{found.score} {effect.change:+.3g}{_by_fill(effect)}")
        if effect.p is not None:
            holm = "" if effect.adjusted == effect.p else f", {effect.adjusted:.2g} by Holm"
            print(f"    p = {effect.p:.2g}{holm} beside {effect.n} controls of the same shape elsewhere")
        if effect.note:
            print(f"    {effect.note}")
    print("\n".join(f"  {line}" for line in found.split))
    for name, one in extras.items():
        print(f"  {name}: {one.headline}")
    for warning in dict.fromkeys(found.warnings):
        print(f"  warning [{warning.code}]: {warning.message}")
    print(f"  written: {', '.join(files)}")


def _by_fill(effect: sl.Effect) -> str:
    if len(effect.by_fill) < 2:
        return ""
    low, high = effect.range
    return f" (range over fills {low:+.3g} to {high:+.3g})"


def _region(given: argparse.Namespace, photo: sl.Photo) -> Any:
    """The region of --box or --mask. Raises OptionError."""
    if given.mask:
        mask = sl.open_photo(given.mask, channels=1).pixels[..., 0]
        return sl.regions.Mask(mask.astype(np.float32) / 255 if mask.dtype == np.uint8 else mask)
    try:
        x0, y0, x1, y1 = map(float, given.box.split(","))
    except ValueError:
        raise OptionError(
            f"--box {given.box!r}; give X0,Y0,X1,Y1 in pixels of the photo, {photo.width} x {photo.height} (w x h)."
        ) from None
    return sl.regions.Box(x0, y0, x1, y1)


def _edits(text: str) -> list[str]:
    """Edits between commas, but for those in brackets."""
    return [one.strip() for one in re.split(r",(?![^(]*\))", text) if one.strip()]


def _fill(text: str) -> Any:
    """Fills between commas; three numbers are a colour."""
    parts = listed(text)
    try:
        return tuple(map(float, parts)) if len(parts) != 1 else float(parts[0])
    except ValueError:
        return parts[0] if len(parts) == 1 else tuple(parts)


def _goals(given: argparse.Namespace) -> dict[str, Path]:
    """The files to write, beside each other. Raises OptionError, SaveError."""
    out = given.out or Path("sightline-out") / f"{show.text(Path(given.photo).stem) or 'photo'}-probe.png"
    suffix = suffix_of(out)
    beside = ".png" if suffix == ".html" else suffix
    goals = {"probe": out} | {name: out.with_name(f"{out.stem}-{name}{beside}") for name in ("evidence", "sweep")}
    for goal in goals.values():
        if goal.resolve() in {Path(one).resolve() for one in (given.photo, given.mask) if one}:
            raise OptionError(f"{goal} is the photo or its mask and would be overwritten; choose another --out.")
    return goals
