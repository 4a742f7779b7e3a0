"""Panels made by hand, for tests of pictures."""

import numpy as np

from sightline.core.heats import Prediction, Warning
from sightline.render.panel import Panel

PHOTO = np.full((40, 60, 3), 128, np.uint8)


def panel(heat, signed=False, **changes):
    values = {
        "photo": PHOTO,
        "heat": np.asarray(heat, np.float32),
        "signed": signed,
        "name": "a <b>photo</b>",
        "method": "grad-cam",
        "label": "ball",
        "unit": "units",
        "predictions": (Prediction(0, "ball", 0.75, 3.5), Prediction(1, "<script>", 0.25, 2.0)),
        "marked": (0,),
        "warnings": (Warning("blank-map", "nothing here"),),
        "footer": "model  ·  layer",
    }
    return Panel(**(values | changes))


def spot(value=5.0, shape=(40, 60)):
    heat = np.zeros(shape, np.float32)
    heat[10:20, 10:20] = value
    return heat


def titles(drawn):
    return [axis.get_title() for axis in drawn.axes if axis.get_title()]
