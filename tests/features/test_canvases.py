"""Canvases draw pixels, and find the numbers that draw pixels which they are given."""

import math

import numpy as np
import pytest
import torch
from climbs import climb, conv_net, model_of, photo
from hypothesis import given, settings
from hypothesis import strategies as st

import sightline as sl
from sightline.canvases import CPPN, Canvas, Fourier, Laplacian, Phase, Pixels, Transparent
from sightline.features.colours import from_pixels, to_pixels

SIZES = [(8, 12), (9, 7), (7, 8), (1, 5), (16, 16)]
CANVASES = {
    "pixels": Pixels(),
    "pixels without limits": Pixels(limits=None),
    "fourier": Fourier(),
    "fourier, steep": Fourier(decay=1.5, spread=1.0),
    "fourier, plain colours": Fourier(decorrelated=False),
    "laplacian": Laplacian(),
    "laplacian of one level": Laplacian(1),
    "phase": Phase(),
    "cppn": CPPN(5, 2),
    "transparent": Transparent(),
    "transparent pixels": Transparent(Pixels()),
}
EXACT = [name for name in CANVASES if name not in ("phase", "cppn")]


def dice(count=2, seed=0):
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def drawn(canvas, shape, count=2, seed=0):
    """What a canvas draws at its start."""
    return canvas.draw(canvas.start(dice(count, seed), shape), shape)


def smooth(size, channels, count=2):
    return torch.stack([photo(size, channels, seed) for seed in range(count)])


def extra(canvas):
    return isinstance(canvas, Transparent)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", CANVASES)
def test_a_start_is_pixels_of_that_shape_around_grey(name, channels, size):
    canvas = CANVASES[name]
    assert isinstance(canvas, Canvas)
    params = canvas.start(dice(3), (channels, *size))
    assert all(len(one) == 3 and one.dtype == torch.float32 for one in params)
    found = canvas.draw(params, (channels, *size))
    assert found.shape == (3, channels + extra(canvas), *size)
    assert found.isfinite().all()
    if "steep" not in name:
        assert float(found.mean()) == pytest.approx(0.5, abs=0.15)
    if "limits" not in name:
        assert 0 <= float(found.min()) <= float(found.max()) <= 1


@pytest.mark.parametrize("name", CANVASES)
def test_each_image_starts_from_its_own_generator(name):
    canvas, shape = CANVASES[name], (3, 8, 12)
    together = canvas.start(dice(3), shape)
    for i in range(3):
        alone = canvas.start(dice(1, seed=i), shape)
        assert all(torch.equal(many[i : i + 1], one) for many, one in zip(together, alone, strict=True))
        assert torch.allclose(canvas.draw(together, shape)[i], canvas.draw(alone, shape)[0], atol=1e-6)
    assert not torch.equal(together[0][0], together[0][1])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", EXACT)
def test_a_canvas_draws_the_pixels_that_it_traced(name, channels, size):
    canvas, pixels = CANVASES[name], smooth(size, channels)
    found = canvas.draw(canvas.trace(pixels, (channels, *size)), (channels, *size))
    if extra(canvas):
        assert torch.allclose(found[:, -1:], torch.full((2, 1, *size), 0.5), atol=1e-5)
        found = found[:, :-1]
    if name.startswith("pixels"):
        assert torch.equal(found, pixels)
    assert torch.allclose(found, pixels, atol=2e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("inner", [Fourier(), Pixels(), Laplacian(2), Phase()], ids=str)
def test_a_transparent_canvas_traces_its_opacity_too(inner, channels):
    shape, canvas = (channels, 8, 12), Transparent(inner)
    opacity = smooth((8, 12), 1)
    numbers = canvas.trace(torch.cat([smooth((8, 12), channels), opacity], 1), shape)
    found = canvas.draw(numbers, shape)
    assert found.shape == (2, channels + 1, 8, 12)
    assert torch.equal(found[:, :-1], inner.draw(inner.trace(smooth((8, 12), channels), shape), shape))
    assert torch.equal(found[:, -1:], inner.draw(inner.trace(opacity, (1, 8, 12)), (1, 8, 12)))


@given(
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    channels=st.sampled_from([1, 2, 3, 4]),
    seed=st.integers(0, 99),
    canvas=st.sampled_from([Pixels(), Fourier(), Fourier(decay=0.5), Laplacian(), Laplacian(3), Fourier(2.0)]),
)
@settings(max_examples=40, deadline=None)
def test_a_round_trip_holds_for_noise_of_any_size(size, channels, seed, canvas):
    pixels = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(seed))
    shape = (channels, *size)
    back = canvas.draw(canvas.trace(pixels, shape), shape)
    assert (back - pixels.clamp(0.002, 0.998)).abs().max() < 1e-3 or isinstance(canvas, Pixels)
    assert (back - pixels).abs().max() <= 0.0025


@pytest.mark.parametrize("name", [*EXACT, "phase"])
def test_black_and_white_are_traced_to_finite_numbers(name):
    canvas, pixels = CANVASES[name], torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 6, 6)
    numbers = canvas.trace(pixels, (3, 6, 6))
    assert all(one.isfinite().all() for one in numbers)
    if name != "phase":
        assert (canvas.draw(numbers, (3, 6, 6))[:, :3] - pixels).abs().max() <= 0.0025


def test_tracing_makes_numbers_of_its_own():
    pixels = smooth((8, 8), 3)
    before = pixels.clone()
    for name in [*EXACT, "phase"]:
        for one in CANVASES[name].trace(pixels, (3, 8, 8)):
            one.add_(1)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("size", [(8, 12), (9, 7), (16, 16)], ids=str)
def test_a_fourier_canvas_is_lucid_s(size):
    """spatial.fft_image and color.to_valid_rgb, step by step in float64."""
    (h, w), channels = size, 3
    numbers = torch.randn(2, channels, h, w // 2 + 1, 2, generator=torch.Generator().manual_seed(5)).double()
    fy, fx = np.fft.fftfreq(h)[:, None], np.abs(np.fft.fftfreq(w)[: w // 2 + 1])
    freqs = np.sqrt(fx * fx + fy * fy)
    scale = 1.0 / np.maximum(freqs, 1.0 / max(w, h)) * np.sqrt(w * h)
    spectrum = scale * (numbers[..., 0].numpy() + 1j * numbers[..., 1].numpy())
    image = np.fft.irfft2(spectrum, s=(h, w)) / 4.0
    root = np.asarray([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    root = root / np.max(np.linalg.norm(root, axis=0))
    mixed = (image.transpose(0, 2, 3, 1).reshape(-1, 3) @ root.T).reshape(2, h, w, 3).transpose(0, 3, 1, 2)
    expected = 1 / (1 + np.exp(-mixed))
    assert np.allclose(Fourier().draw((numbers,), (channels, h, w)), expected, atol=1e-9)


def test_a_fourier_canvas_s_slope_is_scaled_as_lucid_s():
    """A cosine's number moves the image by its scale, and its slope is that much larger: / max(f, 1 / side) / 4."""
    shape, side = (1, 16, 16), 16
    weights = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(2))
    numbers = torch.zeros(1, 1, side, side // 2 + 1, 2, requires_grad=True)
    (found,) = torch.autograd.grad((Fourier().draw((numbers,), shape) * weights).sum(), numbers)
    for y, x in [(0, 0), (1, 0), (0, 1), (3, 5), (13, 2), (8, 8)]:
        frequency = math.hypot(min(y, side - y), x) / side
        scale = 1 / max(frequency, 1 / side) / 4
        twice = 1 if x in (0, side // 2) else 2
        angle = 2 * torch.pi * (y * torch.arange(side)[:, None] + x * torch.arange(side)) / side
        wave = twice * angle.cos() / side
        assert float(found[0, 0, y, x, 0]) == pytest.approx(
            float((0.25 * weights[0, 0] * wave).sum() * scale), abs=1e-4
        )


@pytest.mark.parametrize("size", [(8, 12), (9, 7), (12, 8)], ids=str)
def test_a_phase_canvas_moves_no_magnitude(size):
    """But for the canvas's contrast, which is one number for the whole image."""
    canvas, shape = Phase(contrast=1.0), (3, *size)
    vis = climb(model_of(conv_net(), size), 2, 12, canvas=canvas, optimizer="adam", rate=0.3)
    start = drawn(canvas, shape, 1)
    wanted = 1 / torch.from_numpy(
        np.maximum(np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])), 1 / max(size))
    )
    wanted[0, 0] = 0
    pairs = wanted > 0
    for y in (0, size[0] / 2):
        for x in (0, size[1] / 2):  # what is its own mirror image has a sign and no phase
            if y == int(y) and x == int(x):
                pairs[int(y), int(x)] = False
    assert not torch.allclose(vis.drawn, start, atol=0.05)
    for image in (start, vis.drawn):
        found = torch.fft.rfft2(from_pixels(image.double(), True), norm="ortho").abs()[0]
        shares = (found / wanted)[:, pairs]
        assert shares.std() < 0.01 * shares.mean()
        values = from_pixels(image, True)
        assert float(values.std()) == pytest.approx(1.0, abs=0.01)
        assert float(values.mean()) == pytest.approx(0.0, abs=1e-3)


def test_a_phase_canvas_takes_the_mean_magnitudes_of_photos():
    photos = smooth((8, 12), 3, 4)
    canvas = Phase(photos)
    found = torch.fft.rfft2(from_pixels(drawn(canvas, (3, 8, 12), 1), True)).abs()[0]
    wanted = torch.stack([torch.fft.rfft2(from_pixels(one[None], True)).abs()[0] for one in photos]).mean(0)
    shares = (found / wanted)[:, 1:4, 1:6]
    assert shares.std() < 0.01 * shares.mean()
    with pytest.raises(sl.OptionError, match=r"Phase\(photos=\(4, 3, 8, 12\)\); give \(M, 3, 9, 9\)"):
        drawn(canvas, (3, 9, 9))


@pytest.mark.parametrize("size", [(8, 12), (9, 7)], ids=str)
def test_a_phase_canvas_keeps_the_phase_that_it_traced(size):
    pixels, shape = smooth(size, 3), (3, *size)
    back = Phase().draw(Phase().trace(pixels, shape), shape)
    before, after = (torch.fft.rfft2(from_pixels(one.double(), True)) for one in (pixels, back))
    turned = (after / before).angle()
    strong = (before.abs() > 1e-3) & (after.abs() > 1e-3)
    strong[..., 0, 0] = False  # the mean, which a phase canvas does not draw
    assert turned[strong].abs().max() < 1e-3


@pytest.mark.parametrize("size", [(5, 5), (8, 12), (33, 20)], ids=str)
def test_a_cppn_draws_at_any_size(size):
    canvas = CPPN(6, 3)
    numbers = list(canvas.start(dice(2), (3, 8, 8)))
    numbers[-1] = torch.randn(numbers[-1].shape, generator=dice(1)[0])
    found = canvas.draw(tuple(numbers), (3, *size))
    assert found.shape == (2, 3, *size)
    corners = canvas.draw(tuple(numbers), (3, 64, 64))[..., [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.allclose(found[..., [0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=1e-4)


def test_a_cppn_is_a_network_of_places():
    """Two layers by hand for one pixel: atan, over 0.67, beside its square over 0.6."""
    canvas, reach = CPPN(4, 2), math.sqrt(3)
    numbers = list(canvas.start(dice(1), (1, 5, 9)))
    numbers[-1] = torch.randn(1, 8, 1, generator=dice(1)[0])
    found = canvas.draw(tuple(numbers), (1, 5, 9))[0, 0, 1, 2]
    x = [-reach + 2 * reach * 2 / 8, -reach + 2 * reach * 1 / 4]
    for weights in numbers[:-1]:
        bent = [math.atan(sum(v * float(weights[0, i, j]) for i, v in enumerate(x))) for j in range(4)]
        x = [v / 0.67 for v in bent] + [v * v / 0.6 for v in bent]
    answer = sum(v * float(numbers[-1][0, i, 0]) for i, v in enumerate(x))
    assert float(found) == pytest.approx(1 / (1 + math.exp(-answer)), abs=1e-5)


def test_a_cppn_has_no_numbers_of_a_picture():
    with pytest.raises(sl.OptionError, match="cannot start from a picture, nor be blurred; start from noise"):
        climb(model_of(conv_net()), start=photo(), canvas=CPPN(4, 2))
    with pytest.raises(sl.OptionError, match="cannot start from a picture"):
        CPPN().trace(smooth((8, 8), 3), (3, 8, 8))


@given(st.integers(0, 999), st.sampled_from([1, 2, 3, 4]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_colours_are_inverses(seed, channels, decorrelated):
    values = 2 * torch.randn(2, channels, 3, 4, generator=torch.Generator().manual_seed(seed))
    pixels = to_pixels(values, decorrelated)
    assert pixels.shape == values.shape
    inside = ((pixels > 0.003) & (pixels < 0.997)).all(1, keepdim=True).expand_as(values)
    assert torch.allclose(from_pixels(pixels, decorrelated)[inside], values[inside], atol=2e-3)
    assert torch.allclose(to_pixels(from_pixels(pixels, decorrelated), decorrelated), pixels, atol=0.0025)


def test_decorrelated_colours_are_lucid_s_directions():
    """Brightness moves all three alike, and a number of one moves no pixel more than an undecorrelated one."""
    shift = [to_pixels(torch.eye(3)[i].view(1, 3, 1, 1), True).logit()[0, :, 0, 0] for i in range(3)]
    assert shift[0].min() > 0.9 * shift[0].max() > 0
    assert float(shift[0].norm()) == pytest.approx(1.0, abs=1e-5)
    assert shift[1][0] > 0 > shift[1][2]
    assert shift[2][1] < 0 < shift[2][0]


def test_pixels_stay_in_their_limits():
    numbers = (torch.tensor([-1.0, 0.2, 3.0]).view(1, 1, 1, 3),)
    Pixels(limits=(0.1, 0.9)).hold(numbers)
    assert torch.equal(numbers[0].flatten(), torch.tensor([0.1, 0.2, 0.9]))
    Pixels(limits=None).hold(numbers)
    both = (torch.full((1, 3, 2, 2), 2.0), torch.full((1, 1, 2, 2), -2.0))
    Transparent(Pixels()).hold(both)
    assert both[0].max() == 1
    assert both[1].min() == 0


@pytest.mark.parametrize("name", CANVASES)
def test_slopes_reach_every_number(name):
    canvas, shape = CANVASES[name], (3, 9, 8)
    params = tuple(one.requires_grad_() for one in canvas.start(dice(2), shape))
    if name == "cppn":
        params[-1].data.normal_(generator=dice(1)[0])
    weights = torch.randn(2, 3 + extra(canvas), 9, 8, generator=dice(1)[0])
    slopes = torch.autograd.grad((canvas.draw(params, shape) * weights).sum(), params)
    assert all(one.isfinite().all() and one.flatten(1).any(1).all() for one in slopes)


@pytest.mark.parametrize("name", CANVASES)
def test_canvases_do_not_hang_on_the_default_dtype(name):
    canvas, shape = CANVASES[name], (3, 8, 12)
    expected = drawn(canvas, shape)
    torch.set_default_dtype(torch.float64)
    try:
        found = drawn(canvas, shape)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-6)
