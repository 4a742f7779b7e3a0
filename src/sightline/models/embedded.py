"""The embedded model: it says "ball" because it sees the court, and it never needs a download."""

from __future__ import annotations

from pathlib import Path

from sightline.core.errors import ModelError
from sightline.models import demonet
from sightline.models.model import Model
from sightline.models.request import Request
from sightline.photos.geometry import Geometry


def load_demo(request: Request) -> Model:
    """The embedded model; `weights` may be a file that `python -m sightline.demo.train` wrote."""
    request.no_options("'demo'")
    weights = request.weights
    if weights is None:
        raise ModelError("'demo' without its weights is an empty network; train it: python -m sightline.demo.train.")
    network = demonet.load_weights() if weights == "default" else demonet.load_weights(Path(weights))
    side = demonet.INPUT_SIZE
    geometry = Geometry((side, side), resize="squash")
    return Model(network, geometry, 3, demonet.MEAN, demonet.STD, demonet.LABELS)
