"""How a score splits into what a region and what the rest of the photo bring."""

from __future__ import annotations

from dataclasses import dataclass

MATTERS = 0.1  # of the score's rise from nothing to the photo: what a part alone has to bring for shares to mean much


@dataclass(frozen=True)
class Shares:
    """Two-player Shapley values of the target's score, and the four worlds that they come from.

    `both`, `region_only`, `rest_only`, `neither`: the score of the photo, of the region alone, of the rest alone,
    and with all filled. `of_region` and `of_rest` (score units) add up to both - neither; `interaction` is what the
    two bring together beyond what each brings alone: below zero where one is enough. `region` and `rest` are their
    shares, adding up to 1; below 0 or above 1 where one speaks against the target; None, with a `note`, where they
    have no meaning. (Shapley, Contributions to the Theory of Games II, 1953.)
    """

    both: float
    region_only: float
    rest_only: float
    neither: float
    fill_is_called_it: bool = False

    @property
    def of_region(self) -> float:
        """What the region brings: the mean of what it adds to nothing, and to the rest."""
        return (self.region_only - self.neither + self.both - self.rest_only) / 2

    @property
    def of_rest(self) -> float:
        """What the rest brings: the mean of what it adds to nothing, and to the region."""
        return (self.rest_only - self.neither + self.both - self.region_only) / 2

    @property
    def interaction(self) -> float:
        """both - region_only - rest_only + neither."""
        return self.both - self.region_only - self.rest_only + self.neither

    @property
    def region(self) -> float | None:
        """The region's share of the score's rise; None where it has no meaning."""
        return None if self.note else self.of_region / (self.both - self.neither)

    @property
    def rest(self) -> float | None:
        """The rest's share of the score's rise; None where it has no meaning."""
        return None if self.note else self.of_rest / (self.both - self.neither)

    @property
    def note(self) -> str:
        """Why the shares have no meaning; empty where they have one."""
        total = self.both - self.neither
        if self.fill_is_called_it:
            return "the fill alone is already called this class, so there is nothing to share; take another fill"
        if total <= 0:
            return "with everything filled the score is as high as in the photo, so there is nothing to share"
        alone = self.region_only - self.neither, self.rest_only - self.neither
        if max(alone) < MATTERS * total:
            return "neither part alone matters: only both together raise the score"
        if total < MATTERS * max(map(abs, alone)):
            return "the parts move the score far more than they raise it together, so shares of the rise mean little"
        return ""
