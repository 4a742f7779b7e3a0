"""A photo on the network's input with a region in it, ready for probes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.driver import run
from sightline.core.blur import gaussian
from sightline.core.checks import number
from sightline.core.errors import OptionError, SightlineError
from sightline.core.heats import Warning
from sightline.core.targets import Target
from sightline.models.model import Model
from sightline.network.net import Net
from sightline.photos.decode import Photo, open_photo
from sightline.photos.fills import NAMES, fills_of, is_colour
from sightline.photos.geometry import View
from sightline.photos.regions import Region, mask_of, region_of
from sightline.probes.world import FAINT, World
from sightline.verbs.asked import target_for
from sightline.verbs.explain import check_model
from sightline.verbs.placing import of_image, on_input


@dataclass(frozen=True, eq=False)
class Stage:
    """A photo as a model sees it: `pixels` (C, h, w) in [0, 1] on its input, and `inside`, 1 where the photo is."""

    model: Model
    photo: Photo
    view: View
    pixels: Tensor
    inside: Tensor
    _seen: dict[int, tuple[Any, Tensor]] = field(default_factory=dict)

    def mask(self, region: Region, soft: float) -> Tensor:
        """The region on the input, (h, w) in [0, 1], its edge softened by `soft` pixels of the photo.

        Raises OptionError where the network sees nothing of it.
        """
        mask = torch.from_numpy(self.view.mask_to_input(mask_of(region, self.photo)))
        if soft:
            with _as_it_is():
                mask = gaussian(mask, [soft * scale for scale in self.view.scale])
        mask = torch.where(mask > FAINT, mask, 0).clamp(max=1) * self.inside
        if not bool(mask.any()):
            seen = bool(mask_of(region, self.photo)[self.view.seen()].any())
            high, wide = self.view.input_size
            raise OptionError(
                f"{region} is smaller than a pixel of the network's input, which is {wide} x {high} (w x h). Give a "
                "larger region."
                if seen
                else f"{region} lies where the network sees nothing of the photo: its preprocessing cuts that off "
                f"({self.model.geometry.resize})."
            )
        if bool((mask > 1 - FAINT)[self.inside > 0].all()):
            raise OptionError(
                f"{region} is all that the network sees of the photo, so there is no rest. Give a smaller one."
            )
        return mask

    def worlds(self, mask: Tensor, fill: Any, seed: int) -> list[World]:
        """The photo with the region, once for each fill."""
        with _as_it_is():
            fills = fills_of(self._fill(fill), self.pixels, seed)
        return [World(self.pixels, mask, self.inside, self.view.scale, one, self.look, seed) for one in fills]

    def look(self, photo: Any, region: Any) -> tuple[Tensor, Tensor]:
        """Another photo as the model sees it alone, and a region of it; None: all of it."""
        if id(photo) not in self._seen:  # a control shows it anew a hundred times
            self._seen[id(photo)] = photo, staged(self.model, photo)  # type: ignore[assignment]
        other: Any = self._seen[id(photo)][1]
        return other.pixels, other.inside if region is None else other.mask(region_of(region), 0.0)

    @contextmanager
    def lend(self, target: Any, progress: Any = None) -> Iterator[tuple[Net, Target]]:
        """The network on loan, and the target as it is on the untouched photo."""
        wanted = target_for(target, 1, self.model)
        images = self.model.normalize(self.pixels)[None].to(self.model.device)
        with self.model.lend(images) as net:
            net.progress = progress or net.progress
            given = None if wanted is None else on_input(wanted, self.photo, self.view)
            yield net, of_image(run(net, images, given, []).target, 0)

    def doubts(self, region: Region, shown: Tensor) -> Iterator[Warning]:
        """Warnings where part of the region is not seen, or is next to nothing on the input, where it is `shown`."""
        mask = mask_of(region, self.photo)
        share = 1 - float(mask[self.view.seen()].sum() / mask.sum())
        if share >= FAINT:
            message = f"{share:.0%} of the region is cut off before the network sees it; only the rest is edited."
            yield Warning("region-cut-off", message)
        if float(shown.max()) < 0.5:
            message = (
                f"the region is so small or soft on the network's input that its pixels are edited to "
                f"{float(shown.max()):.0%} at most. Give a larger region, or a smaller soft."
            )
            yield Warning("region-faint", message)

    def _fill(self, given: Any) -> Any:
        """Fills with photos among them as the model sees these."""
        if isinstance(given, list | tuple) and not is_colour(given):
            return tuple(map(self._fill, given))
        if isinstance(given, str) and (given in NAMES or not os.path.splitext(given)[1]):
            return given
        if callable(given) or isinstance(given, int | float) or is_colour(given):
            return given
        try:
            return self.look(given, None)[0]
        except SightlineError as error:
            raise type(error)(f"fill: {error} A name is one of {', '.join(NAMES)}.") from error


def _as_it_is() -> torch.autocast:
    """Pixels in their own precision, also in a caller's autocast."""
    return torch.autocast("cpu", enabled=False)


def staged(model: Model, photo: Any) -> Stage:
    """A photo on a model's input. Raises PhotoError, ModelError."""
    check_model(model)
    opened = open_photo(photo, channels=model.channels)
    view = model.geometry.view(opened.height, opened.width)
    inside = view.mask_to_input(np.ones((opened.height, opened.width), np.float32)) > 0.5
    return Stage(model, opened, view, torch.from_numpy(view.to_input(opened)), torch.from_numpy(inside).float())


def softness(soft: Any) -> float:
    """A region's softness as asked for. Raises OptionError."""
    return number("soft", soft)


def pixels_of(picture: Tensor) -> Any:
    """A picture (C, h, w) in [0, 1] to look at, (h, w, 3) uint8."""
    shown = Photo(picture.clamp(0, 1).movedim(0, -1).cpu().float().numpy()).image()
    return np.asarray(shown)
