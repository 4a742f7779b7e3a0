"""Hiding and asking again: the sampler, occlusion against a slow literal double loop and Captum, black boxes."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from by_hand import Watched, close, conv_net, fixed, linear, pictures, quietly
from captum.attr import Occlusion
from torch import nn

import sightline as sl
from sightline import targets
from sightline.attribution.masking import score_masks, veils
from sightline.core.targets import Class, Classes
from sightline.network.net import lend

BOTH = [method.id for method in sl.methods() if method.family == "masking"]


def curved(size, classes=4, channels=3):
    """Scores that are no sum over pixels, for inputs of any number of dimensions."""
    inputs = channels * math.prod(size)
    return fixed(nn.Sequential(nn.Flatten(), nn.Linear(inputs, 7), nn.Tanh(), nn.Linear(7, classes))).double()


def images_of(size, count=2):
    return pictures(count, size=size).double()


def corners(size, side, step):
    """Where holes begin along an axis: every `step` pixels, until one reaches the end."""
    found = [0]
    while found[-1] + side < size:
        found.append(found[-1] + step)
    return found


def slowly(score, images, window, stride, back):
    """Occlusion hole by hole: a pixel's value is the mean score lost to the holes that hide it, (B, 1, *spatial)."""
    size = tuple(images.shape[2:])
    lost, holes = torch.zeros(len(images), *size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    whole = score(images)
    for corner in itertools.product(*map(corners, size, window, stride)):
        hidden = images.clone()
        places = [
            tuple(int(c) + d for c, d in zip(corner, offset, strict=True))
            for offset in itertools.product(*map(range, window))
        ]
        places = [place for place in places if all(at < n for at, n in zip(place, size, strict=True))]
        for place in places:
            hidden[(slice(None), slice(None), *place)] = back[(slice(None), slice(None), *place)]
        loss = (whole - score(hidden)).double()
        for place in places:
            lost[(slice(None), *place)] += loss
            holes[place] += 1
    assert holes.min() >= 1, "no pixel is left out"
    return (lost / holes)[:, None].detach()


# Occlusion ---------------------------------------------------------------------------------------------------------


def test_one_pixel_at_a_time_the_map_of_a_linear_model_is_weight_times_pixel():
    network, images = linear().double(), images_of((8, 12))
    heat = quietly(network, images, [1, 3], method="occlusion", window=1, stride=1)
    weights = network[1].weight[[1, 3]].view_as(images)
    assert close(heat.values, (weights * images).sum(1, keepdim=True))
    assert heat.passes == (1 + 8 * 12, 0)
    assert heat.error is None


PICTURE, BATCH = images_of((8, 12), 3)[2], images_of((8, 12), 4)[2:]
FILLS = {
    "black": torch.zeros_like,
    "white": torch.ones_like,
    0.25: lambda images: torch.full_like(images, 0.25),
    (0.1, 0.5, 0.9): lambda images: torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1).expand_as(images),
    "mean": lambda images: images.mean((2, 3), keepdim=True).expand_as(images),
    PICTURE: PICTURE.expand_as,
    BATCH: lambda images: BATCH,
}


@pytest.mark.parametrize("fill", FILLS, ids=lambda f: "picture" if isinstance(f, torch.Tensor) else str(f))
def test_of_a_linear_model_it_is_weight_times_what_the_fill_takes_away(fill):
    network, images = linear().double(), images_of((8, 12))
    heat = quietly(network, images, 1, method="occlusion", window=1, stride=1, fill=fill)
    away = images - FILLS[fill](images)
    assert close(heat.values, (network[1].weight[1].view(3, 8, 12) * away).sum(1, keepdim=True))


def test_black_and_pictures_are_in_the_units_of_the_network():
    network, images = linear(), pictures()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    model = sl.wrap(network, input_size=(8, 12), mean=mean, std=std)
    weight = network[1].weight[1].view(3, 8, 12)
    levels = {"black": 0.0, "white": 1.0, 0.25: 0.25}
    backs = {
        name: torch.tensor([(level - m) / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)
        for name, level in levels.items()
    }
    for fill, back in [*backs.items(), (pictures(3)[2], pictures(3)[2])]:
        heat = quietly(model, images, 1, method="occlusion", window=1, stride=1, fill=fill)
        assert close(heat.values, (weight * (images - back)).sum(1, keepdim=True))


def test_bytes_are_pixels_from_0_to_255():
    network, images = linear(), pictures()
    model = sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.25)
    picture = torch.randint(0, 256, (3, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    options = {"method": "occlusion", "window": 1, "stride": 1}
    heat = quietly(model, images, 1, fill=picture, **options)
    assert close(heat.values, quietly(model, images, 1, fill=(picture / 255 - 0.5) / 0.25, **options).values)
    assert close(heat.values, quietly(model, images, 1, fill=picture.numpy(), **options).values)


WINDOWS = [  # size, window, stride; many do not fit, and the border cuts the last ones off
    ((8, 12), (3, 5), (2, 4)), ((8, 12), (3, 3), (3, 3)), ((8, 12), (4, 4), (3, 1)), ((7, 5), (2, 2), (2, 2)),
    ((7, 5), (7, 5), (1, 1)), ((7, 5), (1, 4), (1, 3)), ((1, 9), (1, 4), (1, 2)), ((24,), (5,), (3,)),
    ((23,), (4,), (4,)), ((10,), (10,), (10,)), ((4, 6, 5), (2, 3, 2), (1, 2, 2)), ((3, 4, 5), (2, 2, 2), (2, 2, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("size", "window", "stride"), WINDOWS, ids=str)
def test_overlapping_windows_are_averaged_pixel_by_pixel(size, window, stride):
    network, images = curved(size), images_of(size)
    back = images_of(size, 3)[2:].expand_as(images)
    heat = quietly(network, images, [1, 3], method="occlusion", window=window, stride=stride, fill=back)
    expected = slowly(lambda x: network(x)[[0, 1], [1, 3]], images, window, stride, back)
    assert close(heat.values, expected, 1e-9)
    assert heat.passes == (1 + math.prod(len(corners(*axis)) for axis in zip(size, window, stride, strict=True)), 0)


@pytest.mark.parametrize(("size", "window", "stride"), WINDOWS, ids=str)
def test_windows_and_their_borders_are_captums(size, window, stride):
    network, images = curved(size), images_of(size)
    back = images_of(size, 3)[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Occlusion(network).attribute(
            images, (3, *window), (3, *stride), baselines=back.expand_as(images), target=2
        )
    heat = quietly(network, images, 2, method="occlusion", window=window, stride=stride, fill=back[0])
    assert close(heat.values.expand_as(expected), expected.detach())


@pytest.mark.parametrize(
    ("size", "window", "stride"),
    [((8, 12), (1, 2), (1, 1)), ((64, 80), (8, 10), (4, 5)), ((30, 33), (4, 5), (2, 2)), ((24,), (3,), (1,))],
)
def test_the_usual_window_is_an_eighth_of_each_side_and_moves_by_half_of_it(size, window, stride):
    network, images = curved(size), images_of(size, 1)
    usual = quietly(network, images, 1, method="occlusion")
    named = quietly(network, images, 1, method="occlusion", window=list(window), stride=stride)
    assert torch.equal(usual.values, named.values)
    assert usual.passes == named.passes


def test_one_side_stands_for_all_axes_and_a_window_is_no_larger_than_the_image():
    network, images = curved((4, 9)), images_of((4, 9))
    once = quietly(network, images, 1, method="occlusion", window=6, stride=5)
    assert torch.equal(
        once.values, quietly(network, images, 1, method="occlusion", window=(4, 6), stride=(4, 5)).values
    )
    assert once.passes == (1 + 2, 0)


SCORES = {
    "a unit's mean": (targets.Unit("2", 5), lambda x, net: net[:3](x)[:, 5].mean((1, 2))),
    "a unit somewhere": (targets.Unit("0", 2, at=(1, 3)), lambda x, net: net[0](x)[:, 2, 1, 3]),
    "a contrast": (targets.Contrast(1, 4), lambda x, net: net(x)[:, 1] - net(x)[:, 4]),
    "a sum": (
        targets.Class(0) + 2 * targets.Unit("2", 5),
        lambda x, net: net(x)[:, 0] + 2 * net[:3](x)[:, 5].mean((1, 2)),
    ),
    "a function": (lambda scores: scores.square().sum(1), lambda x, net: net(x).square().sum(1)),
    "one for each image": (
        [targets.Unit("2", 5), targets.Class(3)],
        lambda x, net: torch.stack([net[:3](x)[0, 5].mean(), net(x)[1, 3]]),
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_whatever_is_asked_the_loss_is_of_that(name):
    target, score = SCORES[name]
    network, images = conv_net().double(), images_of((8, 12))
    heat = quietly(network, images, target, method="occlusion", window=(3, 4), stride=(2, 4))
    expected = slowly(lambda x: score(x, network), images, (3, 4), (2, 4), torch.zeros_like(images))
    assert close(heat.values, expected, 1e-9)
    if not isinstance(target, list):
        rise = quietly(network, images, target, method="rise", samples=16)
        boxed = quietly(
            lambda x: torch.stack([score(x, network)] * 2, 1).detach(), images, 0, method="rise", samples=16
        )
        assert close(rise.values, boxed.values, 1e-9)


def test_several_fills_are_averaged_and_each_takes_its_passes():
    network, images = curved((8, 12)), images_of((8, 12))
    options = {"method": "occlusion", "window": 4, "stride": 3}
    fills = ("black", "mean", 0.5, PICTURE)
    each = [quietly(network, images, 1, fill=fill, **options) for fill in fills]
    together = quietly(network, images, 1, fill=fills, **options)
    assert close(together.values, torch.stack([one.values for one in each]).mean(0), 1e-9)
    assert together.passes == (1 + (each[0].passes[0] - 1) * 4, 0)


def test_the_map_so_far_is_that_of_the_windows_so_far():
    network, images, seen = curved((8, 12)), images_of((8, 12), 1), []
    model = sl.wrap(network, input_size=(8, 12), mean=0, std=1, batch_size=3)
    heat = quietly(model, images, 1, method="occlusion", window=(2, 4), stride=(2, 4), watch=seen.append)
    assert [one.passes[0] for one in seen] == [1 + n for n in (3, 6, 9, 12)]
    assert torch.equal(seen[-1].values, heat.values)
    assert torch.equal(seen[0].values[..., :2, :], heat.values[..., :2, :])
    assert not seen[0].values[..., 2:, :].any()


# The sampler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_scores_under_soft_masks_are_those_of_the_blends(chunk):
    network, images = curved((4, 6)), images_of((4, 6), 3)
    masks = torch.rand(5, 1, 4, 6, generator=torch.Generator().manual_seed(3))
    fills = ("black", 0.5, "mean")
    backs = [torch.zeros_like(images), torch.full_like(images, 0.5), images.mean((2, 3), keepdim=True)]
    with lend(network, images, chunk=chunk) as net:
        found = score_masks(net, veils(net, images, fills, 0), Classes((0, 3, 1)), masks)
        some = score_masks(net, veils(net, images, fills, 0), Classes((0, 3, 1)), masks, [2, 0])
    assert found.shape == (5, 3)
    for n, mask in enumerate(masks.double()):
        blends = [mask * images + (1 - mask) * back for back in backs]
        expected = sum(network(blend)[[0, 1, 2], [0, 3, 1]] for blend in blends) / len(fills)
        assert torch.allclose(found[n], expected, atol=1e-6)
        assert torch.allclose(some[n], expected[[2, 0]], atol=1e-6)


def marked(calls):
    """A fill that paints with the number of the call, and remembers what it was given."""

    def paint(photo, mask):
        calls.append((photo.copy(), mask.copy()))
        photo[:] = 0.001 * len(calls)  # scribbling into what was given harms no one
        return photo

    return paint


def test_a_made_fill_sees_what_is_hidden_and_only_that_changes():
    calls, size = [], (6, 8)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.5]).view(3, 1, 1)
    network = Watched(fixed(nn.Sequential(nn.Flatten(), nn.Linear(144, 4))))
    model = sl.wrap(network, input_size=size, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5), batch_size=3)
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(5))
    images = (pixels - mean) / std
    masks = torch.rand(7, 1, *size, generator=torch.Generator().manual_seed(4)).mul(3).sub(1).clamp(0, 1)
    with model.lend(images) as net:
        veiled = veils(net, images, marked(calls), 0)
        network.shown.clear()
        score_masks(net, veiled, Class(1), masks)
    assert len(calls) == len(network.shown) == 14
    for row, ((photo, hidden), shown) in enumerate(zip(calls, network.shown, strict=True)):
        image, mask = images[row % 2], masks[row // 2, 0]
        assert hidden.dtype == bool
        assert np.array_equal(hidden, mask.numpy() < 1)
        assert np.allclose(photo, pixels[row % 2].movedim(0, -1).numpy(), atol=1e-6)
        assert torch.equal(shown[:, mask == 1], image[:, mask == 1]), "what is kept is kept to the bit"
        paint = (0.001 * (row + 1) - mean) / std
        assert torch.allclose(shown, mask * image + (1 - mask) * paint, atol=1e-5)


@pytest.mark.parametrize("method", BOTH)
def test_a_made_fill_is_a_steady_one_where_it_paints_the_same(method):
    network, images = conv_net(), torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    made = quietly(network, images, 1, method=method, fill=lambda photo, mask: 0 * photo + 0.25)
    assert close(made.values, quietly(network, images, 1, method=method, fill=0.25).values, 1e-4)


@pytest.mark.parametrize("name", ["inpaint", "inpaint-ns"])
def test_inpainting_hides_a_hole_and_nothing_else(name):
    network, size = Watched(linear(size=(3, 12, 16))), (12, 16)
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    options = {"method": "occlusion", "window": (4, 4), "stride": (4, 4), "fill": name}
    quietly(network, images, 1, **options)
    network.shown.clear()
    quietly(network, images, 1, **options)
    holes = [one for one in network.shown if not torch.equal(one, images[0])]
    assert len(holes) == 12
    for at, shown in enumerate(holes):
        inside = torch.zeros(size, dtype=torch.bool)
        inside[4 * (at // 4) : 4 * (at // 4) + 4, 4 * (at % 4) : 4 * (at % 4) + 4] = True
        assert torch.equal(shown[:, ~inside], images[0][:, ~inside])
        assert bool((shown != images[0])[:, inside].any())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda photo, mask: photo[:-1], r"the fill a function gave shape \(7, 12, 3\); .* an image \(8, 12, 3\)"),
        (lambda photo, mask: photo.transpose(2, 0, 1), r"gave shape \(3, 8, 12\)"),
        (lambda photo, mask: None, r"gave shape \(\)"),
        (lambda photo, mask: photo / 0 * 0, "numbers that are not finite"),
        (lambda photo, mask: photo + 1, r"pixels from 1(\.\d+)? to (1\.\d+|2); give uint8, or floats in \[0, 1\]"),
        (lambda photo, mask: (255 * photo).astype(int), "give uint8"),
    ],
)
@pytest.mark.parametrize("method", BOTH)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_fill_that_gives_no_picture_is_refused(method, answer, words):
    images = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    with pytest.raises(sl.OptionError, match=words):
        sl.attribute(conv_net(), images, 1, method=method, fill=answer)


class Cramped(nn.Module):
    """A network in whose memory so many images have room; it remembers what was made by the time it is asked."""

    def __init__(self, network, room, made=()):
        super().__init__()
        self.network, self.room, self.made, self.asked = network, room, made, []

    def forward(self, images):
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        self.asked.append((len(images), len(self.made)))
        return self.network(images)


def test_masked_images_are_made_when_their_turn_comes():
    calls, images = [], torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    network = Cramped(linear(), 100, calls)
    with lend(network, images, chunk=4) as net:
        veiled = veils(net, images, marked(calls), 0)
        network.asked.clear()
        score_masks(net, veiled, Class(1), torch.zeros(9, 1, 8, 12))
    assert network.asked == [(4, 4), (4, 8), (4, 12), (4, 16), (2, 18)]


@pytest.mark.parametrize("fill", ["noise", lambda photo, mask: np.where(mask[..., None], 1 - photo, 0.5)])
@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("room", [1, 2, 3])
def test_what_did_not_fit_into_memory_is_made_again_the_same(method, fill, room):
    images = torch.rand(3, 3, 8, 12, generator=torch.Generator().manual_seed(9)).double()
    network = linear().double()
    options = {"method": method, "fill": fill, **({"samples": 12} if method == "rise" else {"window": 4})}
    heat = quietly(Cramped(network, room), images, [0, 1, 2], **options)
    assert "out-of-memory" in [one.code for one in heat.warnings]
    expected = quietly(network, images, [0, 1, 2], **options)
    assert close(heat.values, expected.values, 1e-12)
    assert heat.spent == expected.spent


# Black boxes -------------------------------------------------------------------------------------------------------


def corner(images):
    """Two scores: how bright the left upper quarter is, and how dark; NumPy, so without a gradient."""
    bright = images.numpy()[:, :, :4, :6].mean((1, 2, 3))
    return np.stack([bright, -bright], 1)


@pytest.mark.parametrize("method", [None, *BOTH])
def test_a_black_box_says_where_it_looks(method):
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0)) + 0.1
    options = {} if method == "occlusion" else {"samples": 200}
    heat = quietly(corner, images, 0, method=method, **options)
    assert heat.passes[1] == 0
    within, beyond = heat.values[..., :4, :6], heat.values[..., 4:, 6:]
    assert within.mean() > 10 * beyond.abs().mean()
    assert close(quietly(corner, images, 1, method=method, **options).values, -heat.values, 1e-4)


@pytest.mark.parametrize("method", [None, *BOTH])
def test_a_wrapped_function_has_its_map_on_the_photo(method):
    def left(images):
        return np.stack([images.numpy()[..., :16].mean((1, 2, 3)), images.numpy()[..., 16:].mean((1, 2, 3))], 1)

    model = sl.wrap(left, input_size=32, resize="squash", labels=["left", "right"])
    photo = np.random.default_rng(0).integers(60, 255, (50, 80, 3), np.uint8)
    options = {} if method == "occlusion" else {"samples": 300}
    ex = sl.explain(model, photo, method, target="left", **options)
    assert ex.method == (method or "rise")
    assert ex.map.shape == (50, 80)
    assert ex.heatmap[:, :35].mean() > 5 * ex.heatmap[:, 45:].mean()
    assert ex.label == "left"


class Shares(nn.Module):
    """Probabilities by a last step that nobody knows."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        squares = self.network(images).square() + 0.1
        return squares / squares.sum(1, keepdim=True)


SIZE, MASK = (6, 8), torch.zeros(6, 8)
MASK[2:5, 1:4] = 1
DENSE = fixed(nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, 4, 1))).double()
ENDS = {
    "sigmoid": (nn.Sequential(curved(SIZE), nn.Sigmoid()), 2, lambda x: curved(SIZE)(x)[:, 2]),
    "softmax": (nn.Sequential(curved(SIZE), nn.Softmax(1)), 2, lambda x: curved(SIZE)(x)[:, 2]),
    "unknown": (Shares(curved(SIZE)), 2, lambda x: Shares(curved(SIZE))(x)[:, 2].log()),
    "regression": (curved(SIZE, 1), None, lambda x: curved(SIZE, 1)(x)[:, 0]),
    "decrease": (curved(SIZE), targets.Output(1, "decrease"), lambda x: -curved(SIZE)(x)[:, 1]),
    "dense": (DENSE, targets.Region(MASK, 3), lambda x: (DENSE(x)[:, 3] * MASK).sum((1, 2)) / MASK.sum()),
}


@pytest.mark.parametrize("boxed", [False, True], ids=["module", "black box"])
@pytest.mark.parametrize("end", ENDS)
def test_the_score_is_the_one_before_the_end_whatever_the_end(end, boxed):
    network, target, score = ENDS[end]
    images = images_of(SIZE)
    asked = (lambda x: network(x).detach()) if boxed else network
    heat = quietly(asked, images, target, method="occlusion", window=(2, 3), stride=(2, 2))
    assert close(heat.values, slowly(score, images, (2, 3), (2, 2), torch.zeros_like(images)), 1e-6)
    assert ("log-probability" in [one.code for one in heat.warnings]) == (end == "unknown")
    rise = quietly(asked, images, target, method="rise", samples=16)
    by_score = quietly(lambda x: torch.stack([score(x).detach()] * 2, 1), images, 0, method="rise", samples=16)
    assert close(rise.values, by_score.values, 1e-6)


def test_a_dense_black_box_is_explained_for_a_region_of_the_photo():
    def dense(images):
        return np.stack([images.numpy().mean(1), -images.numpy().mean(1)], 1)

    model = sl.wrap(dense, input_size=32, resize="squash")
    photo, region = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), bool)
    region[8:24, 40:56] = True
    for method in BOTH:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sl.SightlineWarning)
            ex = sl.explain(model, photo, method, target=targets.Region(region, 0))
        assert ex.map[region].mean() > 5 * np.abs(ex.map[~region]).mean()


# What is refused ---------------------------------------------------------------------------------------------------

BAD = [
    ("occlusion", {"window": 0}, "window=0; window has to be 1 or more, a whole number"),
    ("occlusion", {"window": 2.5}, r"window=2.5; give a side in pixels, or one for each of 2 axes"),
    ("occlusion", {"window": True}, "window=True; window has to be 1 or more"),
    ("occlusion", {"window": (3,)}, r"window=\(3,\); give a side in pixels, or one for each of 2 axes"),
    ("occlusion", {"window": (3, 3, 3)}, "one for each of 2 axes"),
    ("occlusion", {"window": (3, -1)}, "window=-1; window has to be 1 or more"),
    ("occlusion", {"stride": 0}, "stride=0; stride has to be 1 or more"),
    ("occlusion", {"window": 3, "stride": 4}, "stride=4 is larger than window=3: pixels between are never hidden"),
    ("occlusion", {"window": (3, 2), "stride": (1, 3)}, r"stride=\(1, 3\) is larger than window=\(3, 2\)"),
    ("occlusion", {"stride": 5}, "stride=5 is larger than window=None"),
    ("rise", {"cells": 0}, "cells=0; cells has to be 1 or more, a whole number"),
    ("rise", {"cells": 3.5}, "cells=3.5; cells has to be"),
    ("rise", {"keep": 0}, "keep=0; it is the chance that a cell is kept, between 0 and 1"),
    ("rise", {"keep": 1}, "keep=1; it is the chance"),
    ("rise", {"keep": 1.5}, "keep=1.5; it is the chance"),
    ("rise", {"keep": math.nan}, "keep=nan; it is the chance"),
    ("rise", {"keep": True}, "keep=True; it is the chance"),
    ("rise", {"keep": "half"}, "keep='half'; it is the chance"),
    ("rise", {"samples": 0}, "samples=0; samples has to be 1 or more"),
    *(
        (method, {"fill": fill}, words)
        for method in ("occlusion", "rise")
        for fill, words in (
            ("blak", "no fill named 'blak'; did you mean 'black'"),
            ("inpaint-n", "did you mean 'inpaint-ns'"),
            (("black", "wite"), "no fill named 'wite'; did you mean 'white'"),
            ((), r"fill=\(\) names none; possible: 'black'|fill=\(\) names none; possible: black"),
            (None, "fill=None is none of a name, a colour, a picture or a function"),
            (1.5, r"a colour is of numbers in \[0, 1\]; divide one of 0..255 by 255"),
            (math.nan, r"a colour is of numbers in \[0, 1\]"),
            ((0.1, 0.2), "names 2 channels; the input has 3"),
            (torch.zeros(3, 4, 4), r"a fill of shape \(3, 4, 4\); the input takes \(3, 8, 12\)"),
            (torch.full((3, 8, 12), math.nan), "the fill holds NaN or infinite numbers"),
        )
    ),
]


@pytest.mark.parametrize(("method", "options", "words"), BAD, ids=lambda part: str(part)[:40])
def test_options_out_of_range_are_refused(method, options, words):
    with pytest.raises(sl.OptionError, match=words):
        sl.attribute(conv_net(), pictures(), 1, method=method, **options)


@pytest.mark.parametrize("size", [(24,), (4, 6, 8)])
def test_inpainting_is_of_pictures(size):
    with pytest.raises(sl.OptionError, match="'inpaint' paints pictures of 1 or 3 channels"):
        sl.attribute(curved(size), images_of(size), 1, method="occlusion", fill="inpaint")


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("target", [targets.Output(2, "keep"), [targets.Class(1), targets.Output(2, "keep")]])
def test_what_keeps_the_score_is_not_found_by_hiding(method, target):
    with pytest.raises(sl.MethodError, match=f"{method} shows what moves the score.*use saliency"):
        sl.attribute(conv_net(), pictures(), target, method=method)
