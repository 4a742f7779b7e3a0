"""Draws the pictures of the docs: `python docs/make_pictures.py`, from the repository's root."""

from pathlib import Path

import sightline as sl
from sightline.demo.scenes import draw
from sightline.demo.story import SCENARIOS, SHOWN
from sightline.render.figure import figure_grid
from sightline.render.save import save_picture

scene = draw(SHOWN, thing="ball", background="court")
photos = [sl.Photo(one.change(scene), one.told) for one in SCENARIOS]
panels = [ex.panel() for ex in sl.explain(sl.load("demo"), photos, "grad-cam", target="ball")]
save_picture(Path(__file__).with_name("ball.png"), figure_grid([panels[:2], panels[2:]], style="overlay"))
