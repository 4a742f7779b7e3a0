"""The audit of a pool: worlds in rounds, until each class is clear or the passes are spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.studies import thresholds
from sightline.studies.conclusions import UNDECIDED, ClassReport, Evidence, conclude, evidence, of_donors
from sightline.studies.pool import Pool, Whole
from sightline.studies.rows import rows_of
from sightline.studies.worlds import Ask, Donors, Seen, Worlds, look, show

EACH = 8  # donors of either sort for a photo in a round
PASSES = 60  # per photo, at most


@dataclass(frozen=True, eq=False)
class Audited:
    """The conclusions by class, the rows they come from, and how many passes each photo took (N,)."""

    conclusions: dict[int, ClassReport]
    seen: Seen
    worlds: Worlds
    passes: Whole


def audit(pool: Pool, ask: Ask, *, seed: int = 0, passes: int = PASSES) -> Audited:
    """What the network's answers hang on, by class, from at most so many passes per photo."""
    donors, seen = Donors(pool, seed), look(pool, ask)
    spent = np.ones(len(pool), np.int64)
    found: dict[int, Evidence] = {}
    worlds: Worlds | None = None
    going, first = list(pool.classes), 0
    while going and (worlds is None or 1 + 2 * (first + EACH) <= passes):
        photos = np.concatenate([pool.members[one] for one in going])
        objects, surroundings = donors.round(photos.tolist(), first, EACH)
        shown = show(pool, ask, objects, surroundings)
        worlds = shown if worlds is None else worlds + shown
        spent += np.bincount(objects, minlength=len(pool))
        first += EACH
        found = {one: evidence(rows_of(pool, seen, worlds, one), seed) for one in pool.classes}
        going = [one for one in going if not clear(found[one])]
    assert worlds is not None
    return Audited(conclude(found), seen, worlds, spent)


def clear(found: Evidence) -> bool:
    """Whether more worlds of the same photos would tell nothing new."""
    if found.rows.count < thresholds.FEWEST:
        return True
    called = found.verdict(thresholds.SURE) != UNDECIDED
    return called and of_donors(found.rows, found.drawn.loss) <= thresholds.STEADY
