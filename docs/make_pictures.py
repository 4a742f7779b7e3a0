"""Draws the pictures of the docs: `python docs/make_pictures.py`, from the repository's root."""

from pathlib import Path

import sightline as sl
from sightline.demo.scenes import draw
from sightline.demo.story import SCENARIOS, SHOWN
from sightline.render.figure import figure_grid
from sightline.render.save import save_picture

HERE = Path(__file__).parent

model = sl.load("demo")
scene = draw(SHOWN, thing="ball", background="court")
photos = [sl.Photo(one.change(scene), one.told) for one in SCENARIOS]
panels = [ex.panel() for ex in sl.explain(model, photos, "grad-cam", target="ball")]
save_picture(HERE / "ball.png", figure_grid([panels[:2], panels[2:]], style="overlay"))

sl.probe(model, sl.Photo(scene.image(), "photo"), (63, 84, 102, 123)).save(HERE / "probe.png")
