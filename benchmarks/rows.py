"""The rows by name: what each sets side by side, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks import ascents, bridge, cases, contestants, edits, memory, passes, randomized, variance
from benchmarks.agreement import Agreement, agree
from benchmarks.cases import Case
from benchmarks.contestants import Contestant
from benchmarks.findings import Finding, Goal
from benchmarks.race import race
from benchmarks.stats import FEWEST, ratio
from benchmarks.tallies import Tally
from sightline.features.presets import PRESETS

OURS = "ours"
FASTER = Goal("above", 1.0)
STEPS = 50
TOGETHER = ("saliency", "grad-cam", "layer-cam", "guided-backprop")
EIGHT = (
    "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "hires-cam", "eigen-cam", "eigen-grad-cam",
    "grad-cam-element-wise",
)  # fmt: skip


@dataclass(frozen=True)
class Contest:
    """Contestants by name, OURS among them, for a case of `batch` images; `goals` by the name of the other one.

    `alike` are the contestants that are compared, where those that are timed draw at random.
    """

    name: str
    what: str
    batch: int
    line_up: Callable[[Case], Mapping[str, Contestant]]
    goals: Mapping[str, Goal]
    alike: Callable[[Case], Mapping[str, Contestant]] | None = None

    def measure(self, rounds: int) -> Iterator[Finding]:
        """Compare the maps on trained weights, then the CPU time on resnet50, all in the same rounds."""
        alike = self.compare(cases.trained(self.batch))
        runners = self.line_up(cases.resnet50(self.batch))
        spent = race({name: one.run for name, one in runners.items()}, rounds, label=self.name)
        for other, goal in self.goals.items():
            ours, theirs = spent[OURS], spent[other]
            each = ratio(ours, theirs) if goal.kind == "at most" else ratio(theirs, ours)
            note = "; ".join(str(part) for part in (alike[other], runners[other].chosen) if part)
            in_ms = (1000 * median(ours), 1000 * median(theirs))
            yield Finding(self.name, self.what, other, *in_ms, "ms", each, goal, note)

    def compare(self, case: Case) -> dict[str, Agreement | None]:
        """How alike our maps and each other contestant's are. Raises DisagreementError."""
        runners = (self.alike or self.line_up)(case)
        ours = runners[OURS].run()
        return {name: agree(ours, one.run(), one.styles) for name, one in runners.items() if name != OURS}


def _grad_cam(case: Case) -> dict[str, Contestant]:
    return {
        OURS: contestants.ours(case, ["grad-cam"]),
        "pytorch-grad-cam": contestants.grad_cam_package(case, "grad-cam"),
        "Captum": contestants.captum_grad_cam(case),
        "one forward pass": contestants.forward_pass(case),
    }


def _saliency(case: Case) -> dict[str, Contestant]:
    return {OURS: contestants.ours(case, ["saliency"]), "Captum": contestants.captum_saliency(case)}


def _smoothgrad(case: Case) -> dict[str, Contestant]:
    options = {"samples": contestants.SAMPLES, "noise": contestants.NOISE}
    return {OURS: contestants.ours(case, ["smoothgrad"], **options), "Captum": contestants.captum_smoothgrad(case)}


def _integrated_gradients(case: Case) -> dict[str, Contestant]:
    return {
        OURS: contestants.ours(case, ["integrated-gradients"], steps=STEPS),
        "Captum": contestants.captum_integrated_gradients(case, STEPS),
    }


def _together(case: Case) -> dict[str, Contestant]:
    peers = (
        contestants.captum_saliency(case),
        contestants.grad_cam_package(case, "grad-cam"),
        contestants.fastest_layer_cam(case),
        contestants.captum_guided_backprop(case),
    )
    return {OURS: contestants.ours(case, TOGETHER), "the peers one by one": contestants.one_by_one(peers)}


def _eight_cams(case: Case) -> dict[str, Contestant]:
    return {OURS: contestants.ours(case, EIGHT), "one CAM of ours": contestants.ours(case, ["grad-cam"])}


def _occlusion(case: Case) -> dict[str, Contestant]:
    window, stride = contestants.occlusion_window(case)
    return {
        OURS: contestants.ours(case, ["occlusion"], window=window, stride=stride),
        "Captum": contestants.captum_occlusion(case),
        "Captum, at its fastest batch": contestants.captum_occlusion(case, sizes=(1, 2, 4, 8)),
    }


def _rise(case: Case) -> dict[str, Contestant]:
    return {
        OURS: randomized.ours(case),
        "the authors' loop": randomized.authors(case),
        "the authors' loop at its fastest": randomized.authors_at_their_best(case),
    }


def _edits(case: Case) -> dict[str, Contestant]:
    return {OURS: edits.ours(case), "as many forward passes": edits.plain_passes(case)}


CONTESTS: tuple[Contest, ...] = (
    Contest(
        "grad-cam", "Grad-CAM, last layer, batch 1", 1, _grad_cam,
        {"pytorch-grad-cam": Goal("at least", 3.5), "Captum": FASTER, "one forward pass": Goal("at most", 1.15)},
    ),
    Contest("saliency", "saliency, batch 8", 8, _saliency, {"Captum": FASTER}),
    Contest("smoothgrad", "SmoothGrad, 25 samples, batch 1", 1, _smoothgrad, {"Captum": FASTER}),
    Contest(
        "integrated-gradients", "integrated gradients, 51 points, batch 1", 1, _integrated_gradients,
        {"Captum": FASTER},
    ),
    Contest(
        "together", "saliency, Grad-CAM, LayerCAM and guided backprop together", 1, _together,
        {"the peers one by one": Goal("at least", 2.2)},
    ),
    Contest("eight-cams", "eight CAMs of one layer", 1, _eight_cams, {"one CAM of ours": Goal("at most", 1.2)}),
    Contest(
        "occlusion", "occlusion, 49 windows, batch 1", 1, _occlusion,
        {"Captum": Goal("at least", 1.35), "Captum, at its fastest batch": Goal("at least", 1.35)},
    ),
    Contest(
        "rise", f"RISE, {randomized.MASKS} masks, batch 1", 1, _rise,
        {"the authors' loop": Goal("at least", 1.8), "the authors' loop at its fastest": FASTER},
        alike=randomized.from_the_same_masks,
    ),
    Contest(
        "edits", f"{edits.EDITS} edits of one photo", 1, _edits,
        {"as many forward passes": Goal("at most", 1.1)},
    ),
)  # fmt: skip
TALLIES: dict[str, Callable[[int], Iterator[Tally]]] = {
    f"visualize-{name}": partial(ascents.preset, name) for name in PRESETS
}
AGAINST_LUCENT = "visualize-against-lucent"
ROWS: dict[str, Callable[[int], Iterator[Finding | Tally]]] = {
    **{one.name: one.measure for one in CONTESTS},
    "bridge": bridge.measure,
    "memory": memory.measure,
    "passes": passes.measure,
    "rise-variance": variance.measure,
    **TALLIES,
    AGAINST_LUCENT: ascents.against_lucent,
}
GROUPS: dict[str, tuple[str, ...]] = {"visualize": (*TALLIES, AGAINST_LUCENT)}
ROUNDS = 20


def rounds_of(row: str, asked: int | None) -> int:
    """How many rounds a row takes; None is its own number. Visualizations are at most those that are asked for."""
    if row not in (*TALLIES, AGAINST_LUCENT):
        return ROUNDS if asked is None else asked
    return ascents.IMAGES if asked is None else min(asked, ascents.IMAGES)


def fewest(row: str) -> int:
    """How many rounds a row needs: an interval takes some, a tally none."""
    return 1 if row in TALLIES else FEWEST
