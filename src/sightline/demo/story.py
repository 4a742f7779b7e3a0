"""The story of the embedded model, told on fresh scenes and written as one page."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.core.heats import Prediction
from sightline.demo.scenes import OBJECTS, Scene, draw, training_scene
from sightline.models.model import Model
from sightline.models.sources import load
from sightline.photos.decode import Photo
from sightline.probes.objects import SwapBackground
from sightline.render import page
from sightline.render.figure import figure
from sightline.render.save import write
from sightline.verbs.explain import explain, predict
from sightline.verbs.explanation import Explanation
from sightline.verbs.probe import probe
from sightline.verbs.probed import Probe

FRESH = 1_000_000  # seeds from here on were not drawn in training
SHOWN = FRESH + 11
DUCK = draw(FRESH + 20, thing="duck", background="beach")
COUNT = 100  # scenes behind each figure of the page
SMOOTH = 5.0  # as the original experiment smoothed its maps
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenario:
    """One way to change a scene of a ball on its court, and how often the model still says ball then."""

    name: str
    told: str
    change: Callable[[Scene], Pixels]


SCENARIOS = (
    Scenario("on-court", "the ball on its court", lambda scene: scene.image()),
    Scenario("no-ball", "the same scene without the ball", lambda scene: scene.without_object()),
    Scenario("ball-alone", "the ball alone, on black", lambda scene: scene.only_object()),
    Scenario("on-grass", "the ball on grass", lambda scene: scene.on("grass").image()),
)


@dataclass(frozen=True)
class Story:
    """What was found: answers for the scene shown, by scenario, and shares of ball answers among fresh scenes.

    `ball` and `duck`: two scenes probed; `verdicts`: how often which, of the fresh balls on their court.
    """

    page: Path
    answers: dict[str, tuple[Prediction, ...]]
    shares: dict[str, float]
    others: float
    on_ball: dict[str, float]
    area: float
    ball: Probe
    duck: Probe
    verdicts: dict[str, int]

    def record(self) -> dict[str, Any]:
        """All figures, as plain values."""
        answers = {name: [(one.label, one.probability) for one in found] for name, found in self.answers.items()}
        return {
            "page": str(self.page),
            "answers": answers,
            "says_ball": self.shares,
            "others_right_on_grass": self.others,
            "share_of_heat_on_ball": self.on_ball,
            "share_of_area_of_ball": self.area,
            "scenes": COUNT,
            "probes": {"ball": self.ball.provenance, "duck": self.duck.provenance},
            "verdicts": self.verdicts,
        }

    def lines(self) -> list[str]:
        """The story in a few lines of text."""
        told = [f"  {self.shares[one.name]:4.0%}  {one.told}" for one in SCENARIOS]
        return [
            f"How often the embedded model says ball, among {COUNT} fresh scenes each:",
            *told,
            f"Its other classes it gets right on grass in {self.others:.0%}.",
            f"A ball probed: {self.ball.headline}",
            f"A duck probed: {self.duck.headline}",
            "It learned the court. Right answers on the court are no evidence that it knows a ball.",
            f"The page with its pictures: {self.page}",
        ]


def tell(out: Path, progress: Callable[[int], object] | None = None) -> Story:
    """Write the story to `out`/index.html, its scenes beside it as pictures. Raises SaveError."""
    model = load("demo")
    scene = draw(SHOWN, thing="ball", background="court")
    pictures = {one.name: one.change(scene) for one in SCENARIOS}
    shown = Photo(pictures["on-court"], "a ball on its court")
    maps = explain(model, shown, ["saliency", "grad-cam"], target="ball", progress=progress)
    shares = {one.name: _says_ball(model, one, progress) for one in SCENARIOS}
    saliency, cam = maps["saliency"], maps["grad-cam"]
    heats = {"saliency": saliency.heatmap, "grad-cam": cam.heatmap}
    story = Story(
        out / "index.html",
        {name: tuple(predict(model, picture, top=3)) for name, picture in pictures.items()},
        shares,
        _others_right(model, progress),
        {name: float(heat[scene.mask()].sum() / heat.sum()) for name, heat in heats.items()},
        float(scene.mask().mean()),
        _probed(model, shown, scene, progress),
        _probed(model, Photo(DUCK.image(), "a duck on the beach"), DUCK, progress),
        _verdicts(model, progress),
    )
    for name, picture in pictures.items():
        write(out / f"{name}.png", _png(picture))
    write(story.page, _page(story, pictures, saliency, cam).encode())
    return story


def _probed(model: Model, photo: Photo, scene: Scene, progress: Callable[[int], object] | None) -> Probe:
    """The scene without its thing, with it alone, and with it on grass."""
    grass = Photo(scene.on("grass").without_object(), "grass")
    edits = ("remove", "keep", SwapBackground(grass))
    found: Probe = probe(model, photo, scene.mask(), edits, target=scene.thing, progress=progress)
    return found


def _verdicts(model: Model, progress: Callable[[int], object] | None) -> dict[str, int]:
    """What a probe finds to decide, among fresh balls on their court."""
    scenes = [draw(FRESH + 1000 + i, thing="ball", background="court") for i in range(COUNT)]
    pictures, masks = [one.image() for one in scenes], [one.mask() for one in scenes]
    found = probe(model, pictures, masks, fill="inpaint", target="ball", controls=0, progress=progress)
    return dict(Counter(one.verdict for one in found).most_common())


def _fresh(change: Callable[[int], Pixels]) -> list[Pixels]:
    return [change(FRESH + 1000 + i) for i in range(COUNT)]


def _says_ball(model: Model, scenario: Scenario, progress: Callable[[int], object] | None) -> float:
    scenes = _fresh(lambda seed: scenario.change(draw(seed, thing="ball", background="court")))
    return _right(model, scenes, ["ball"] * COUNT, progress)


def _others_right(model: Model, progress: Callable[[int], object] | None) -> float:
    things = [OBJECTS[1 + i % (len(OBJECTS) - 1)] for i in range(COUNT)]
    scenes = [draw(FRESH + 5000 + i, thing=thing, background="grass").image() for i, thing in enumerate(things)]
    return _right(model, scenes, things, progress)


def _right(
    model: Model, scenes: Sequence[Pixels], labels: Sequence[str], progress: Callable[[int], object] | None
) -> float:
    if progress:
        progress(len(scenes))
    answers = predict(model, list(scenes), top=1)
    hits = [found[0].label == label for found, label in zip(answers, labels, strict=True)]
    return float(np.mean(hits))


def _page(story: Story, pictures: dict[str, Pixels], saliency: Explanation, cam: Explanation) -> str:
    parts = [
        page.heading("Did it look at the ball, or at the court?", 1),
        page.paragraph(
            "A small network was trained on drawn scenes of seven things. In training, the ball was always "
            "photographed on its court. This page asks what it learned.",
            "lead",
        ),
        *_seen_in_training(),
        *_where_it_looks(story, saliency, cam),
        *_what_if(story),
        *_drawn(story, pictures),
        *_not_one_scene(story),
        *_meaning(story),
        *_your_turn(),
    ]
    return page.page("Sightline: did it look at the ball?", parts)


def _seen_in_training() -> list[str]:
    shown = [training_scene(FRESH + 300 + i, thing=thing) for i, thing in enumerate(OBJECTS)]
    return [
        page.heading("What it was trained on"),
        page.side_by_side(
            [page.image(_png(one.image()), one.thing, f"{one.thing}, {one.background}") for one in shown], width=8
        ),
    ]


def _where_it_looks(story: Story, saliency: Explanation, cam: Explanation) -> list[str]:
    first = story.answers["on-court"][0]
    on_ball = ", ".join(f"{share:.0%} of {name}" for name, share in story.on_ball.items())
    return [
        page.heading("It is right. Where did it look?"),
        page.paragraph(
            f"Shown a ball on its court it says {first.label}, with {first.probability:.1%}. Saliency is the size of "
            "the score's gradient at each pixel (Simonyan et al. 2013); smoothed, it reads more easily; Grad-CAM "
            "weighs the last feature map of the network."
        ),
        page.image(figure([saliency.panel()])._repr_png_(), "the scene and its saliency"),
        page.image(
            figure([saliency.panel(SMOOTH), cam.panel()], style="overlay")._repr_png_(),
            "smoothed saliency and Grad-CAM",
            f"Left: the same saliency, smoothed (σ = {SMOOTH:g} pixels). Right: Grad-CAM.",
        ),
        page.paragraph(
            f"The ball covers {story.area:.0%} of the picture, and gets {on_ball}. So does it need the ball? A map "
            "is a pointer, not a proof. The proof is to change the scene and ask again."
        ),
    ]


def _what_if(story: Story) -> list[str]:
    return [
        page.heading("What if the ball were not there?"),
        page.paragraph(
            "So take the ball away and ask again; keep only the ball and ask again; put it on grass and ask again. "
            "And lest any hole do as much, make the same hole elsewhere, where as much of the picture changes."
        ),
        page.image(figure_of(story.ball), "the ball removed, kept alone, and on grass", story.ball.headline),
        page.paragraph(_said_of(story.ball)),
        page.heading("And a duck?"),
        page.paragraph("The same questions about a thing that the network saw in many places."),
        page.image(figure_of(story.duck), "the duck removed, kept alone, and on grass", story.duck.headline),
    ]


def figure_of(found: Probe) -> bytes:
    """A probe's strip as PNG."""
    return found.figure()._repr_png_()


def _said_of(found: Probe) -> str:
    """What shares and controls say of the ball."""
    removal, share = found.effect["remove"], found.shares.region
    more = "more than" if removal.stands_out else "no more than"
    part = "" if share is None else f" Of the score's rise the ball brings {share:.0%}, the rest {1 - share:.0%}."
    tested = "" if removal.p is None else f" (p = {removal.p:.2g}, {removal.n} controls)"
    return f"The ball counts, and {more} other parts of its shape{tested}, but the answer does not hang on it.{part}"


def _drawn(story: Story, pictures: dict[str, Pixels]) -> list[str]:
    cells = []
    for one in SCENARIOS:
        found = story.answers[one.name]
        said = page.table(("it says", ""), [(a.label, f"{a.probability:.1%}") for a in found], [0])
        cells.append(page.image(_png(pictures[one.name]), one.told, one.told.capitalize()) + said)
    return [
        page.heading("Drawn anew"),
        page.paragraph("These scenes are drawn, so that nothing has to be painted over to check what was found."),
        page.side_by_side(cells),
    ]


def _not_one_scene(story: Story) -> list[str]:
    rows = [(one.told, f"{story.shares[one.name]:.0%}") for one in SCENARIOS]
    return [
        page.heading("Not just this scene"),
        page.paragraph(f"{COUNT} fresh balls, none seen in training. How often does it say ball?"),
        page.table(("scene", "says ball"), rows),
        page.paragraph(
            f"Its six other classes, which it saw in many places, it gets right on grass in {story.others:.0%}."
        ),
        page.paragraph(
            f"And what decides, by a probe of each of these {COUNT} balls on their court: "
            + ", ".join(f"{_VERDICTS[name]} in {count}" for name, count in story.verdicts.items())
            + "."
        ),
    ]


_VERDICTS = {
    "rest": "the surroundings",
    "region": "the ball",
    "both": "only both together",
    "either": "either is enough",
    "undecided": "undecided",
}


def _meaning(story: Story) -> list[str]:
    share = story.shares
    return [
        page.heading("What that says about the model"),
        page.paragraph(
            f"It learned the court. Without the ball it still says ball ({share['no-ball']:.0%}); the ball alone "
            f"({share['ball-alone']:.0%}) or on grass ({share['on-grass']:.0%}) it mostly does not know. Its "
            "accuracy on photos like those of its training cannot show that: there, ball and court always come "
            "together. When it says ball, believe that there is a court.",
            "verdict",
        ),
    ]


def _your_turn() -> list[str]:
    commands = (
        "sightline explain on-grass.png --model demo --target ball     (in this page's folder)\n"
        "sightline explain your-photo.jpg --model torchvision/resnet50\n"
        "sightline probe your-photo.jpg --box 35,5,75,45 --model torchvision/resnet50\n"
        "sightline explain your-photo.jpg --model your_module:factory --model-option input_size=224"
    )
    return [page.heading("Your turn"), page.code(commands)]


def _png(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()
