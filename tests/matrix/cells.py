"""What is asked of every model: a family of methods each, with what a good answer is."""

import warnings

import numpy as np

import sightline as sl

BOX = (16, 12, 56, 44)


def photo():
    """A smooth picture of 96 x 80 with a bright disc: no network answers it with a flat map."""
    y, x = np.mgrid[:80, :96] / 80
    disc = (x - 0.45) ** 2 + (y - 0.35) ** 2 < 0.04
    picture = np.stack([0.3 + 0.4 * x, 0.2 + 0.5 * y, 0.5 + 0.3 * np.sin(9 * x * y)], -1)
    return np.where(disc[..., None], (0.95, 0.85, 0.2), picture).astype(np.float32).clip(0, 1)


def _map(method, **options):
    def ask(model, shown):
        ex = sl.explain(model, shown, method, **options)
        assert np.isfinite(ex.values.numpy()).all(), method
        assert ex.values.abs().max() > 0, f"{method}: a blank map"

    return ask


def _half(model):
    return max(1, min(model.input_size) // 2)


def _masking(model, shown):
    _map("occlusion", window=_half(model), stride=_half(model))(model, shown)


def _predict(model, shown):
    assert all(np.isfinite(one.score) for one in sl.predict(model, shown, top=3))


def _visualize(model, shown):
    target = sl.explain(model, shown, "occlusion", window=_half(model), stride=_half(model)).target
    vis = sl.visualize(model, target, steps=1)
    assert np.isfinite(vis.images.numpy()).all()


def _probe(model, shown):
    pr = sl.probe(model, shown, BOX, fill="mean", controls=3)
    assert np.isfinite(pr.effect["remove"].change)


FAMILIES = {
    "predict": _predict,
    "masking": _masking,
    "probe": _probe,
    "gradients": _map("saliency"),
    "guided backprop": _map("guided-backprop"),
    "CAMs": _map("grad-cam"),
    "CAM itself": _map("cam"),
    "visualize": _visualize,
}
"""Column -> function (model, photo) that fails where the answer is not sound."""


def outcome(model, family, shown=None):
    """ "yes", or "no" where Sightline refuses and says why; anything else that is raised is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        try:
            FAMILIES[family](model, photo() if shown is None else shown)
        except sl.SightlineError:
            return "no"
    return "yes"
