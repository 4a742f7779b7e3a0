"""Strips, sweeps and evidence made by hand, for tests of pictures."""

import numpy as np
from matplotlib.text import Text

from sightline.core.heats import Prediction, Warning
from sightline.render.shots import Evidence, Shot, Strand, Strip, Sweep

PHOTO = np.full((40, 60, 3), 128, np.uint8)
BALL, WEB = Prediction(0, "basketball", 0.9, 12.0), Prediction(1, "web site", 0.06, 5.0)
OTHERS = (Prediction(2, "volleyball", 0.02, 3.0), Prediction(3, "mug", 0.01, 2.0), Prediction(4, "cat", 0.01, 1.0))
CONTROLS = np.linspace(-1, 1, 99)
SCORES = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]])


def mask(shape=(40, 60)):
    region = np.zeros(shape)
    region[5:15, 20:50] = 1
    return region


def shot(title="original", **changes):
    heat = np.zeros((40, 60), np.float32)
    heat[10:20, 10:20] = 4.0
    values = {
        "pixels": PHOTO,
        "predictions": (BALL, WEB, *OTHERS),
        "heat": heat,
        "method": "grad-cam",
        "unit": "units",
    }
    return Shot(title, **(values | changes))


def strand(edit="removed", change=-0.9, **changes):
    values = {
        "by_fill": {"mean": -0.9, "blur": -0.7},
        "controls": CONTROLS,
        "p": 0.07,
        "beyond": "below",
        "note": "A note on the removal.",
        "before": 0.9,
        "after": 0.4,
    }
    return Strand(edit, change, **(values | changes))


def strip(**changes):
    values = {
        "photo": "dirk.png",
        "label": "basketball",
        "score": "logit",
        "marked": (0,),
        "shots": (shot(outline=mask()), shot("removed"), shot("kept", predictions=(WEB, BALL, *OTHERS))),
        "strands": (strand(), strand("kept", -0.5, beyond="above")),
        "headline": "Still basketball without the ball.",
        "warnings": (Warning("faint", "the region is small"),),
        "footer": "model  ·  layer",
    }
    return Strip(**(values | changes))


def sweep(**changes):
    values = {
        "photo": "dirk.png",
        "label": "basketball",
        "score": "logit",
        "picture": PHOTO,
        "own": (25.0, 10.0, 5.0),
        "xs": np.array([10.0, 30.0, 50.0]),
        "ys": np.array([10.0, 30.0]),
        "scores": SCORES,
        "holds": SCORES > 2.5,
        "scales": np.array([2.0, 0.25, 0.5, 1.0]),
        "scale_scores": np.array([4.0, 1.0, 3.0, 5.0]),
        "scale_holds": np.array([True, False, True, True]),
        "degrees": np.array([-90.0, -30.0, 0.0, 30.0, 90.0]),
        "degree_scores": np.array([1.0, 4.0, 5.0, 4.0, 2.0]),
        "degree_holds": np.array([False, True, True, True, False]),
        "headline": "Basketball almost everywhere.",
        "warnings": (Warning("hole", "the hole was filled"),),
        "footer": "model  ·  layer",
    }
    return Sweep(**(values | changes))


def evidence(**changes):
    enough = mask()
    needed = np.roll(enough, 10, 0)
    values = {
        "photo": "dirk.png",
        "label": "basketball",
        "marked": (0,),
        "original": shot(heat=None),
        "enough": shot("3 of 48 segments", heat=None, outline=enough),
        "needed": shot("2 of 48 segments", heat=None, outline=needed, predictions=(WEB, *OTHERS)),
        "headline": "12 % of the photo is enough.",
        "segments": np.arange(60)[None].repeat(40, 0) // 20,
        "warnings": (Warning("greedy", "smaller sets may exist"),),
        "footer": "model  ·  layer",
    }
    return Evidence(**(values | changes))


def texts(drawn):
    """Everything that is written."""
    return [text.get_text() for text in drawn.findobj(Text) if text.get_text()]


def axis_with(drawn, label):
    """The axes whose title, or that of an axis, begins so."""
    return next(one for one in drawn.axes if any(told.startswith(label) for told in named(one)))


def named(axis):
    titles = [axis.get_title(loc) for loc in ("left", "center", "right")]
    return [one for one in (*titles, axis.get_xlabel(), axis.get_ylabel()) if one]


def boxes(drawn):
    """Each text that is drawn with where it lies, in pixels from the lower left."""
    drawn.canvas.draw()
    unseen = {id(label) for one in drawn.axes for axis in (one.xaxis, one.yaxis) for label in out_of_view(axis)}
    shown = [text for text in drawn.findobj(Text) if text.get_text().strip() and id(text) not in unseen]
    return [(text.get_text(), text.get_window_extent()) for text in shown if text.get_visible()]


def out_of_view(axis):
    """The labels of ticks that matplotlib keeps but does not draw: beyond the axis, or of axes that are off."""
    low, high = sorted(axis.get_view_interval())
    both = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [
        label
        for tick in both
        if not (axis.axes.axison and low <= tick.get_loc() <= high)
        for label in (tick.label1, tick.label2)
    ]


def outside(drawn):
    """What is written beyond the figure's edges."""
    wide, high = drawn.bbox.width, drawn.bbox.height
    return [text for text, box in boxes(drawn) if min(box.x0, box.y0) < 0 or box.x1 > wide or box.y1 > high]


def overlaps(drawn):
    """Pairs of texts of which one lies over the other."""
    told = boxes(drawn)
    return [(one, other) for i, (one, a) in enumerate(told) for other, b in told[i + 1 :] if over(a, b)]


def over(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


def crowded(drawn):
    """How many pairs of axes lie over each other, those behind all others aside."""
    placed = [axis.get_position() for axis in drawn.axes if axis.get_zorder() >= 0]
    return sum(one.overlaps(other) for i, one in enumerate(placed) for other in placed[i + 1 :])
