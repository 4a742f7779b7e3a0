"""Many edits of one photo, beside as many plain passes of the network."""

from __future__ import annotations

import numpy as np
import torch

import sightline as sl
from benchmarks.cases import Case
from benchmarks.contestants import Contestant, Maps, at_its_best

EDITS = 200


def two_hundred() -> list[sl.edits.Edit]:
    """Edits of every kind that needs no other photo: places, sizes, turns, colours, blurs, patches, and chains."""
    edits = sl.edits
    moves = [edits.Move(float(x), float(y)) for x in range(-40, 41, 10) for y in range(-40, 41, 10) if x or y]
    turns: list[sl.edits.Edit] = [edits.Rotate(float(degrees)) for degrees in range(10, 360, 10)]
    sizes = [edits.Scale(1 + step / 20) for step in range(-10, 21) if step]
    looks: list[sl.edits.Edit] = [edits.Remove(), edits.Keep(), edits.Grey(), edits.Recolour()]
    looks += [edits.Recolour((red / 4, 0.5, blue / 4)) for red in range(4) for blue in range(4)]
    looks += [edits.Blur(float(sigma)) for sigma in range(1, 11)] + [edits.ShufflePatches(n) for n in range(2, 10)]
    chains = [edits.Grey() + one for one in moves]
    return [*moves, *turns, *sizes, *looks, *chains][:EDITS]


def ours(case: Case) -> Contestant:
    """`sl.probe` with all of them, without controls, on a photo of noise of the input's size."""
    model, chosen = case.model(), two_hundred()
    side = case.images.shape[-1]
    photo = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    box = tuple(side * part // 16 for part in (4, 4, 9, 9))

    def run() -> Maps:
        sl.probe(model, photo, box, chosen, controls=0)
        return {}

    return Contestant(run)


def plain_passes(case: Case) -> Contestant:
    """As many images through the network without a gradient, at the faster of one and eight at once."""
    network = case.own()

    def at_once(size: int) -> Maps:
        images = case.images[:1].expand(size, -1, -1, -1).contiguous()
        with torch.no_grad():
            for _ in range(EDITS // size):
                network(images)
        return {}

    return at_its_best(at_once, (1, 8))
