"""Every CAM of the catalog against a slow reading of its paper, and where the answer is known on paper."""

import numpy as np
import pytest
import torch
from by_hand import (
    Watched,
    at_layer,
    close,
    conv_net,
    enlarged,
    fixed,
    gradient,
    linear,
    noisy_copies,
    pictures,
    quietly,
)
from sklearn.decomposition import KernelPCA
from torch import nn
from torch.nn import functional as F

import sightline as sl
from sightline.targets import Class, Contrast, Function, Region, Unit

SIZE = (8, 12)


def uneven(classes=5, dtype=torch.float64):
    """Two convolutions and a head that looks at each quarter apart: gradients differ from place to place."""
    layers = (
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, classes),
    )  # fmt: skip
    return fixed(nn.Sequential(*layers), dtype=dtype)


def seen_at(network, layer, images, score=lambda scores: scores[:, 1]):
    """Activations and gradients behind the layer of that number in a Sequential."""
    return at_layer(network[: int(layer) + 1], network[int(layer) + 1 :], images, score)


def shown(maps, size=SIZE):
    """Maps (h, w) of each image, enlarged slowly to (B, 1, *size)."""
    return torch.stack([enlarged(one, size) for one in maps])[:, None]


def share(maps):
    """Maps (B, 1, h, w), each over its largest magnitude."""
    return torch.stack([one / one.abs().max() for one in maps])


# Slow readings: activations and gradients (C, h, w) of one image -> a map (h, w) ----------------------------------


def places(act):
    return [(i, j) for i in range(act.shape[1]) for j in range(act.shape[2])]


def weighted(weights, acts):
    """The sum over the channels k of w_k A_k."""
    return sum(weight * act for weight, act in zip(weights, acts, strict=True))


def read_grad_cam(acts, slopes):
    return weighted([sum(g[p] for p in places(acts)) / g.numel() for g in slopes], acts)


def read_cam(acts, slopes):
    """The weight of the linear layer behind the average is the sum of the gradients."""
    return weighted([sum(g[p] for p in places(acts)) for g in slopes], acts)


def read_grad_cam_pp(acts, slopes, gates=None):
    """arXiv:1710.11063, equations 17 and 19, for Y = exp(S) over its exp(S): powers of dS/dA for its derivatives."""
    weights = []
    for act, slope in zip(acts if gates is None else gates, slopes, strict=True):
        whole, weight = sum(act[p] for p in places(acts)), 0.0
        for p in places(acts):
            first, second, third = slope[p], slope[p] ** 2, slope[p] ** 3
            if first > 0:  # equation 7's ReLU; it also keeps 0 / 0 out
                weight += second / (2 * second + whole * third) * first
        weights.append(weight)
    return weighted(weights, acts)


def read_xgrad_cam(acts, slopes):
    """arXiv:2008.02312, equation 8."""
    weights = []
    for act, slope in zip(acts, slopes, strict=True):
        whole = sum(act[p] for p in places(acts))
        weights.append(sum(act[p] / whole * slope[p] for p in places(acts)) if whole != 0 else 0.0)
    return weighted(weights, acts)


def by_place(contribution):
    def read(acts, slopes):
        out = torch.zeros_like(acts[0])
        for p in places(acts):
            out[p] = sum(contribution(float(act[p]), float(g[p])) for act, g in zip(acts, slopes, strict=True))
        return out

    return read


read_layer_cam = by_place(lambda act, slope: max(slope, 0.0) * act)
read_hires_cam = by_place(lambda act, slope: slope * act)
read_element_wise = by_place(lambda act, slope: max(slope * act, 0.0))


def rows_of(acts):
    """Positions x channels."""
    return acts.flatten(1).T.double().numpy()


def read_eigen_cam(acts, slopes):
    """The projection on the first right singular vector, not centred (arXiv:2008.00299)."""
    _, _, vectors = np.linalg.svd(rows_of(acts), full_matrices=False)
    return torch.from_numpy(rows_of(acts) @ vectors[0]).view(acts.shape[1:])


def read_principal(contributions):
    """The positions on the first principal component of the contributions, in the direction of their sum."""
    centred = rows_of(contributions) - rows_of(contributions).mean(0)
    _, _, vectors = np.linalg.svd(centred, full_matrices=False)
    found = torch.from_numpy(centred @ vectors[0]).view(contributions.shape[1:])
    return found if (found * contributions.sum(0)).sum() >= 0 else -found


def read_eigen_grad_cam(acts, slopes):
    return read_principal(acts * slopes)


def read_kpca_cam(acts, slopes):
    rows = rows_of(acts) - rows_of(acts).mean(0)
    found = KernelPCA(1, kernel="sigmoid").fit_transform(rows)[:, 0]
    return torch.from_numpy(found).view(acts.shape[1:])


def read_fem(acts, slopes):
    """doi:10.1109/IPTA50016.2020.9286629, as Xplique reads it: each channel's mean where it is 2 deviations above."""
    out = torch.zeros_like(acts[0])
    for act in acts:
        mean = sum(act[p] for p in places(acts)) / act.numel()
        spread = (sum((act[p] - mean) ** 2 for p in places(acts)) / act.numel()) ** 0.5
        for p in places(acts):
            out[p] += mean * (act[p] > mean + 2 * spread)
    return out


READINGS = {
    "grad-cam": read_grad_cam,
    "grad-cam++": read_grad_cam_pp,
    "xgrad-cam": read_xgrad_cam,
    "layer-cam": read_layer_cam,
    "hires-cam": read_hires_cam,
    "grad-cam-element-wise": read_element_wise,
    "eigen-cam": read_eigen_cam,
    "eigen-grad-cam": read_eigen_grad_cam,
    "kpca-cam": read_kpca_cam,
    "fem": read_fem,
}
UNSIGNED = {"eigen-cam", "kpca-cam"}  # mathematics leaves their sign open
ELSEWHERE = {"cam", "smooth-grad-cam++", "shapley-cam", "finer-cam", "refine-cam"}  # below, each on its own


def test_every_cam_of_the_catalog_is_read_here():
    assert {one.id for one in sl.methods() if one.family == "cams"} == set(READINGS) | ELSEWHERE


@pytest.mark.parametrize("layer", ["1", "3"])
@pytest.mark.parametrize("method", READINGS)
def test_a_cam_is_the_slow_reading_of_its_paper(method, layer):
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method=method, layer=layer)
    acts, slopes = seen_at(network, layer, images)
    expected = shown([READINGS[method](act, slope) for act, slope in zip(acts, slopes, strict=True)])
    if method in UNSIGNED:
        sign = (heat.values * expected).flatten(1).sum(1).sign().view(-1, 1, 1, 1)
        expected = sign * expected
    assert close(heat.values, expected, 1e-8)


@pytest.mark.parametrize("method", sorted(set(READINGS) - {"grad-cam++"}))
def test_a_cam_of_activations_that_are_not_rectified_is_the_same_formula(method):
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method=method, layer="2")
    acts, slopes = seen_at(network, "2", images)
    expected = shown([READINGS[method](act, slope) for act, slope in zip(acts, slopes, strict=True)])
    if method in UNSIGNED:
        sign = (heat.values * expected).flatten(1).sum(1).sign().view(-1, 1, 1, 1)
        expected = sign * expected
    assert close(heat.values, expected, 1e-8)


# CAM ------------------------------------------------------------------------------------------------------------


def test_cam_is_the_weights_of_the_linear_layer_and_grad_cam_times_the_positions():
    network, images = conv_net().double(), pictures().double()
    heats = quietly(network, images, [1, 4], method=["cam", "grad-cam"])
    acts = network[:4](images).detach()
    weights = network[6].weight[[1, 4]].detach()
    assert close(heats["cam"].values, shown([weighted(w, act) for w, act in zip(weights, acts, strict=True)]), 1e-8)
    assert close(heats["cam"].values, acts[0, 0].numel() * heats["grad-cam"].values, 1e-8)


def test_the_mean_of_cam_is_the_score_without_its_bias():
    network, images = conv_net().double(), pictures(size=(8, 8)).double()
    network[2].stride = (1, 1)
    heat = quietly(network, images, 2, method="cam")
    assert torch.allclose(heat.values.flatten(1).mean(1), network(images)[:, 2] - network[6].bias[2])


def test_cam_is_refused_where_the_head_is_not_linear():
    with pytest.raises(sl.MethodError, match="cam needs linear-head"):
        sl.attribute(uneven(), pictures().double(), 1, method="cam")


@pytest.mark.parametrize("method", ["hires-cam", "xgrad-cam"])
def test_where_gradients_are_the_same_everywhere_it_is_grad_cam(method):
    heats = quietly(conv_net(), pictures(), 1, method=[method, "grad-cam"])
    assert close(heats[method].values, heats["grad-cam"].values)


def test_hires_cam_adds_up_to_the_score_where_the_head_is_linear_in_the_map():
    network = fixed(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 96, 3)))
    images = pictures()
    heat = quietly(network, images, 2, method="hires-cam", layer="1")
    assert torch.allclose(heat.values.flatten(1).sum(1), network(images)[:, 2] - network[3].bias[2], rtol=1e-4)


# Grad-CAM++ -----------------------------------------------------------------------------------------------------


def given_maps(acts, slopes):
    """A network whose map is its input and whose score has these gradients there, and that input."""
    network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(acts.numel(), 2, bias=False)).eval()
    with torch.no_grad():
        network[2].weight.copy_(torch.stack([slopes.flatten(), -slopes.flatten()]))
    return network, acts[None]


XPLIQUE = torch.tensor(
    [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.5, 0.0], [0.0, 0.0]]]
)  # the activations, and also the gradients, of the example in Xplique's tests


def test_grad_cam_pp_of_xpliques_example_is_equation_19_and_not_its_mean():
    network, images = given_maps(XPLIQUE, XPLIQUE)
    heat = quietly(network, images, 0, method="grad-cam++", layer="0")
    weights = [2 / 3, 1 / 2, 0, 2 / 9]
    assert close(heat.values[0, 0], weighted(weights, XPLIQUE))
    theirs = [1 / 3, 1 / 5, 0, 0.061]
    assert not close(heat.values[0, 0], weighted(theirs, XPLIQUE), 0.1)


@pytest.mark.parametrize("scale", [1e-4, 1e-8, 1e-16, 1e-30])
@pytest.mark.parametrize("method", ["grad-cam++", "smooth-grad-cam++"])
def test_tiny_gradients_only_scale_the_map_of_grad_cam_pp(method, scale):
    """In float32, against the formula in float64: nothing is added below the bar, and nothing underflows."""
    network, images = uneven(dtype=torch.float32), pictures()
    with torch.no_grad():
        network[8].weight.mul_(scale)
    options = {"noise": 0.0, "samples": 2} if method == "smooth-grad-cam++" else {}
    heat = quietly(network, images, 1, method=method, layer="1", **options)
    acts, slopes = seen_at(network.double(), "1", images.double())
    assert slopes.abs().max() < 10 * scale
    expected = shown([read_grad_cam_pp(act, slope) for act, slope in zip(acts, slopes, strict=True)])
    assert close(heat.values / scale, expected / scale, 1e-4)


@pytest.mark.parametrize("method", ["grad-cam++", "smooth-grad-cam++"])
def test_small_gradients_in_half_precision_do_not_underflow(method):
    """A gradient of 1e-3, as behind an average of a thousand places, has a cube that float16 does not know."""
    network, images = conv_net(), pictures()
    with torch.no_grad():
        network[6].weight.mul_(1e-2)
    options = {"noise": 0.0, "samples": 2} if method == "smooth-grad-cam++" else {}
    heat = quietly(network.half(), images.half(), 1, method=method, layer="1", **options)
    plain = quietly(network.float(), images, 1, method="grad-cam++", layer="1")
    assert close(heat.values, plain.values, 0.01)


def test_grad_cam_pp_counts_only_what_is_above_zero_of_a_map_that_is_not_rectified():
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method="grad-cam++", layer="2")
    acts, slopes = seen_at(network, "2", images)
    read = [read_grad_cam_pp(act, slope, act.clamp_min(0)) for act, slope in zip(acts, slopes, strict=True)]
    assert close(heat.values, shown(read), 1e-8)


def test_grad_cam_pp_stays_small_where_the_printed_denominator_crosses_zero():
    acts, slopes = torch.tensor([[[-3.0, 1.0]]]), torch.tensor([[[1.0 + 1e-6, 1.0]]])
    network, images = given_maps(acts, slopes)
    heat = quietly(network, images, 0, method="grad-cam++", layer="0")
    assert heat.values.abs().max() < 3


# Smooth Grad-CAM++ ----------------------------------------------------------------------------------------------


def read_smooth(acts, slopes):
    """arXiv:1908.01224 with D2 above the bar: `slopes` (n, C, h, w) of the copies, `acts` of the clean image."""
    first, second, third = (slopes.pow(power).mean(0) for power in (1, 2, 3))
    weights = []
    for act, d1, d2, d3 in zip(acts, first, second, third, strict=True):
        whole, weight = sum(act[p] for p in places(acts)), 0.0
        for p in places(acts):
            below = 2 * d2[p] + max(float(whole), 0.0) * max(float(d3[p]), 0.0)
            weight += max(float(d1[p]), 0.0) * float(d2[p] / below) if below > 0 else 0.0
        weights.append(weight)
    return weighted(weights, acts)


@pytest.mark.parametrize("samples", [1, 3, 40])
def test_smooth_grad_cam_pp_is_made_of_the_copies_that_were_shown(samples):
    network, images = Watched(uneven()), pictures(2).double()
    heat, copies = noisy_copies(
        network, images, method="smooth-grad-cam++", layer="network.1", samples=samples, noise=0.3
    )
    assert [len(one) for one in copies] == [samples, samples]
    acts, _ = seen_at(network.network, "1", images)
    slopes = [seen_at(network.network, "1", torch.stack(mine))[1] for mine in copies]
    assert close(heat.values, shown([read_smooth(a, g) for a, g in zip(acts, slopes, strict=True)]), 1e-8)
    assert heat.passes == (samples + 1, samples + 1)


@pytest.mark.parametrize("layer", ["1", "2", "3"])
def test_smooth_grad_cam_pp_without_noise_is_grad_cam_pp(layer):
    network, images = uneven(), pictures().double()
    smooth = quietly(network, images, 1, method="smooth-grad-cam++", layer=layer, noise=0.0, samples=9)
    assert close(smooth.values, quietly(network, images, 1, method="grad-cam++", layer=layer).values, 1e-8)
    assert smooth.error.max() <= 1e-8 * smooth.values.abs().max()


def smooth_runs(samples, seeds):
    network, images = conv_net().double(), pictures(1).double()
    options = {"method": "smooth-grad-cam++", "layer": "1", "noise": 0.1, "samples": samples}
    return [quietly(network, images, 1, seed=seed, **options) for seed in range(seeds)]


def test_the_error_of_smooth_grad_cam_pp_is_how_much_its_maps_differ():
    """The jackknife's error of each run, beside the deviation of the runs, which it estimates."""
    runs = smooth_runs(200, 30)
    true = torch.stack([run.values for run in runs]).std(0).square().mean().sqrt()
    said = torch.stack([run.error.square().mean().sqrt() for run in runs])
    assert float(said.square().mean().sqrt() / true) == pytest.approx(1, rel=0.25)
    assert float(said.std() / said.mean()) < 0.3, "an error that swings so is that of a few groups of samples"


@pytest.mark.parametrize("samples", [24, 200])
def test_the_error_of_smooth_grad_cam_pp_covers_what_many_samples_give(samples):
    (many,) = smooth_runs(1600, 1)
    hits = [((run.values - many.values).abs() <= 2.05 * run.error).float().mean() for run in smooth_runs(samples, 30)]
    assert 0.92 < float(torch.stack(hits).mean()) < 0.99


def test_more_samples_shrink_the_error_of_smooth_grad_cam_pp_by_their_root():
    few, many = (torch.stack([run.error.mean() for run in smooth_runs(n, 12)]).mean() for n in (25, 400))
    assert float(few / many) == pytest.approx(4, rel=0.2)


# ShapleyCAM -----------------------------------------------------------------------------------------------------


class QuadraticHead(nn.Module):
    """Class k scores b_k a + a' Q_k a / 2 of the flattened map a: its gradient is b_k + Q_k a, its Hessian Q_k."""

    def __init__(self, cells=4 * 24, classes=3):
        super().__init__()
        dice = torch.Generator().manual_seed(4)
        raw = torch.randn(classes, cells, cells, generator=dice, dtype=torch.float64) / cells
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
        self.register_buffer("curve", raw + raw.transpose(1, 2))
        self.register_buffer("lean", torch.randn(classes, cells, generator=dice, dtype=torch.float64))

    def forward(self, images):
        flat = self.body(images).flatten(1)
        return flat @ self.lean.T + 0.5 * torch.einsum("bi,kij,bj->bk", flat, self.curve, flat)


def test_shapley_cam_of_a_quadratic_head_takes_half_the_curvature_off():
    network, images = fixed(QuadraticHead(), dtype=torch.float64), pictures().double()
    heats = quietly(network, images, 2, method=["shapley-cam", "grad-cam"], layer="body")
    acts = network.body(images).detach()
    flat = acts.flatten(1)
    slopes = (network.lean[2] + flat @ network.curve[2]).view_as(acts)
    bends = (flat @ network.curve[2]).view_as(acts)
    assert close(heats["grad-cam"].values, shown(list(map(read_grad_cam, acts, slopes))), 1e-8)
    assert close(heats["shapley-cam"].values, shown(list(map(read_grad_cam, acts, slopes - bends / 2))), 1e-8)
    difference = heats["grad-cam"].values - heats["shapley-cam"].values
    assert close(difference, shown(list(map(read_grad_cam, acts, bends / 2))), 1e-8)


@pytest.mark.parametrize("head", [[], [nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5)]])
def test_shapley_cam_is_grad_cam_where_the_head_is_piecewise_linear(head):
    network = fixed(nn.Sequential(*conv_net()[:6], *(head or [nn.Linear(8, 5)])))
    heats = quietly(network, pictures(), 1, method=["shapley-cam", "grad-cam"], layer="1")
    assert close(heats["shapley-cam"].values, heats["grad-cam"].values)


def corrected(above, act, score):
    """Gradient and half the Hessian times the activations at one image's map, from the whole Hessian."""

    def at(flat):
        return score(above(flat.view(1, *act.shape)))[0]

    curve = torch.autograd.functional.hessian(at, act.flatten())
    slope = torch.autograd.functional.jacobian(at, act.flatten())
    return (slope - 0.5 * curve @ act.flatten()).view_as(act)


def rest(scores):
    """The logit plus the log-probability: what the paper explains."""
    return scores[:, 1] + scores.log_softmax(1)[:, 1]


@pytest.mark.parametrize("layer", ["1", "3"])
@pytest.mark.parametrize("network", [lambda: conv_net().double(), uneven])
@pytest.mark.parametrize("score", [rest, lambda scores: scores[:, 1]])
def test_shapley_cam_is_what_the_whole_hessian_says(network, layer, score):
    network, images = network(), pictures(2, size=(4, 6)).double()
    network = nn.Sequential(*(nn.ReLU() if isinstance(one, nn.ReLU) else one for one in network))
    heat = quietly(network, images, score, method="shapley-cam", layer=layer)
    acts = network[: int(layer) + 1](images).detach()
    slopes = [corrected(network[int(layer) + 1 :], act, score) for act in acts]
    assert close(heat.values, shown(list(map(read_grad_cam, acts, slopes)), (4, 6)), 1e-7)
    assert heat.passes == (1, 2)


def test_the_curvature_matters_where_the_paper_says_so():
    heats = quietly(conv_net(), pictures(), rest, method=["shapley-cam", "grad-cam"])
    assert not close(heats["shapley-cam"].values, heats["grad-cam"].values, 0.01)


def test_shapley_cam_of_the_embedded_model_is_that_of_its_plain_network():
    model = sl.load("demo")
    images = pictures(1, size=(128, 128))
    for layer in ("features.2", "features.4"):
        ours = quietly(model, images, rest, method="shapley-cam", layer=layer)
        assert close(
            ours.values, quietly(model.network, images, rest, method="shapley-cam", layer=layer).values, 1e-4
        )


# FinerCAM -------------------------------------------------------------------------------------------------------


class Scored(nn.Module):
    """A map whose average goes through a linear layer with a bias that sets the scores nearly at will."""

    def __init__(self, biases):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(6, len(biases))
        fixed(self, dtype=torch.float64)
        with torch.no_grad():
            self.head.weight.mul_(1e-3)
            self.head.bias.copy_(torch.tensor(biases))

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


def finer_by_hand(network, images, index, others, gamma):
    """Grad-CAM by the head's weights: those of the class less gamma times the mean of those of the others."""
    weights = network.head.weight[index] - gamma * sum(network.head.weight[o] for o in others) / len(others)
    acts = network.body(images).detach()
    return shown([weighted(weights.detach() / act[0].numel(), act) for act in acts])


FINER = [
    ([5.0, 4.0, 3.0, 1.0, 9.0], 0, {}, [1, 2, 3], 0.6),  # distances 1, 2, 4, 4: of those that tie the first
    ([5.0, 4.0, 3.0, 0.0, 9.0], 0, {}, [1, 2, 4], 0.6),  # a higher score is as near as a lower one
    ([5.0, 4.0, 3.0, 0.0, 9.0], 3, {"references": 1}, [2], 0.6),
    ([5.0, 4.0, 3.0, 0.0, 9.0], 3, {"references": 2, "gamma": 1}, [2, 1], 1.0),
    ([5.0, 4.0, 3.0, 0.0, 9.0], 4, {"references": 50, "gamma": 0.25}, [0, 1, 2, 3], 0.25),
    ([2.0, 1.0], 0, {}, [1], 0.6),
    ([2.0, 1.0], 1, {"gamma": 0.5}, [0], 0.5),
    ([5.0, 4.0, 3.0, 0.0, 9.0], 1, {"gamma": 0.0}, [0], 0.0),
]


@pytest.mark.parametrize(("biases", "index", "options", "others", "gamma"), FINER)
def test_finer_cam_takes_the_mean_of_the_nearest_classes_off(biases, index, options, others, gamma):
    network, images = Scored(biases), pictures().double()
    heat = quietly(network, images, index, method="finer-cam", layer="body", **options)
    assert close(heat.values, finer_by_hand(network, images, index, others, gamma), 1e-8)
    assert heat.passes == (2, 1)


class Tied(Scored):
    """All classes score the same to the bit, and each has gradients of its own."""

    def forward(self, images):
        scores = super().forward(images)
        return scores - scores.detach()


@pytest.mark.parametrize(("index", "others"), [(0, [1, 2]), (1, [0, 2]), (2, [0, 1]), (3, [0, 1])])
def test_a_class_that_ties_with_others_is_never_its_own_reference(index, others):
    network, images = Tied([0.0, 0.0, 0.0, 0.0]), pictures().double()
    assert not network(images).any()
    heat = quietly(network, images, index, method="finer-cam", layer="body", references=2, gamma=1.0)
    assert close(heat.values, finer_by_hand(network, images, index, others, 1.0), 1e-8)


def test_finer_cam_of_the_predicted_class_and_of_a_class_for_each_image():
    network, images = Scored([5.0, 4.0, 3.0, 0.0, 9.0]), pictures().double()
    heat = quietly(network, images, method="finer-cam", layer="body")
    assert close(heat.values, finer_by_hand(network, images, 4, [0, 1, 2], 0.6), 1e-8)
    heat = quietly(network, images, [3, 0], method="finer-cam", layer="body")
    assert close(heat.values[:1], finer_by_hand(network, images[:1], 3, [2, 1, 0], 0.6), 1e-8)
    assert close(heat.values[1:], finer_by_hand(network, images[1:], 0, [1, 2, 4], 0.6), 1e-8)


def test_finer_cam_without_gamma_is_grad_cam():
    heats = quietly(uneven(), pictures().double(), 2, method=["finer-cam", "grad-cam"], gamma=0.0)
    assert close(heats["finer-cam"].values, heats["grad-cam"].values, 1e-8)


def test_finer_cam_finds_its_references_on_the_untouched_image():
    """Whose views at 0.9 and 1.1 times the light have others."""

    class Bright(Scored):
        def forward(self, images):
            scores = super().forward(images)
            light = images.mean((1, 2, 3))
            return torch.stack([scores[:, 0], scores[:, 1] + 10 * (light - 1), scores[:, 2] + 0.3], 1)

    network, images = Bright([0.0, 0.0, 0.0]), 1 + 0.1 * pictures(1).double()
    images = images / images.mean()
    options = {"layer": "body", "smoothing": "tta", "references": 1}
    finer = quietly(network, images, 0, method="finer-cam", **options)
    by_hand = quietly(network, images, Class(0) - 0.6 * Class(1), method="grad-cam", layer="body", smoothing="tta")
    assert close(finer.values, by_hand.values, 1e-8)


def test_finer_cam_refuses_what_is_no_class():
    network, images = conv_net(), pictures()
    with pytest.raises(sl.TargetError, match="class 5 does not exist; the network has 5"):
        sl.attribute(network, images, 5, method="finer-cam")
    for target in (Contrast(1, 2), Class(1) + Class(2), Unit("1", 2), rest):
        with pytest.raises(sl.MethodError, match="finer-cam"):
            sl.attribute(network, images, target, method="finer-cam")
    with pytest.raises(sl.OptionError, match="gamma=-1"):
        sl.attribute(network, images, 1, method="finer-cam", gamma=-1)
    with pytest.raises(sl.OptionError, match="references=0"):
        sl.attribute(network, images, 1, method="finer-cam", references=0)


# RefineCAM ------------------------------------------------------------------------------------------------------


def test_refine_cam_is_the_product_of_the_layers_rectified_maps_each_scaled_before_it_is_enlarged():
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method="refine-cam", layer=["1", "2", "3"])
    expected = torch.ones(len(images), 1, *SIZE, dtype=torch.float64)
    for layer in ("1", "2", "3"):
        acts, slopes = seen_at(network, layer, images)
        read = [read_grad_cam_pp(act, slope, act.clamp_min(0)) for act, slope in zip(acts, slopes, strict=True)]
        above = [one.clamp_min(0) for one in read]
        expected *= shown([(one - one.min()) / (one.max() - one.min()) for one in above])
    assert close(heat.values, expected, 1e-8)
    assert heat.values.min() >= 0
    assert heat.values.max() <= 1
    assert heat.passes == (1, 1)


def test_refine_cam_reads_the_last_map_of_each_size_by_itself():
    heat = quietly(uneven(), pictures().double(), 1, method="refine-cam")
    assert heat.layer == "1, 3"


# Components -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 2), (8, 12)])  # fewer positions than channels, and more
def test_eigen_cam_of_rectified_activations_is_nowhere_below_zero(size):
    network = fixed(
        nn.Sequential(nn.Conv2d(3, 9, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 3))
    )
    images = pictures(6, size=size).double()
    heat = quietly(network.double(), images, 1, method="eigen-cam", layer="1")
    acts = network[:2](images).detach()
    expected = torch.stack([read_eigen_cam(act, None).abs() for act in acts])[:, None]
    assert close(heat.values, expected, 1e-8)


def test_eigen_cam_is_not_centred():
    network, images = conv_net().double(), pictures().double()
    heat = quietly(network, images, 1, method="eigen-cam", layer="1")
    acts, _ = seen_at(nn.Sequential(*network[:1], nn.ReLU(), *network[2:]), "1", images)
    centred = torch.stack([read_principal(act) for act in acts])[:, None]
    assert not close(heat.values, centred, 0.1)


@pytest.mark.parametrize("layer", ["1", "2", "3"])
@pytest.mark.parametrize("method", ["eigen-cam", "kpca-cam", "eigen-grad-cam"])
def test_a_component_points_the_same_way_however_the_picture_lies(method, layer):
    """Upside down, mirrored, and in a batch with others: a sign that depends on rounding would differ."""
    network = fixed(nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 8, 1), nn.ReLU(), *conv_net()[4:]))
    images = pictures(4).double()
    plain = quietly(network.double(), images, 1, method=method, layer=layer).values
    turned = quietly(network, images.flip(-1, -2), 1, method=method, layer=layer).values.flip(-1, -2)
    assert close(turned, plain, 1e-6)
    for i in range(len(images)):
        assert close(
            quietly(network, images[i : i + 1], 1, method=method, layer=layer).values, plain[i : i + 1], 1e-6
        )


def test_kpca_cam_refuses_a_layer_that_takes_minutes():
    with pytest.raises(sl.LayerError, match="4160 positions is too large, 4096"):
        sl.attribute(conv_net(), pictures(1, size=(64, 65)), 1, method="kpca-cam", layer="0")
    heat = quietly(conv_net(), pictures(1, size=(16, 16)), 1, method="kpca-cam", layer="0")
    assert heat.values.any()


def test_fem_by_hand():
    """Means 1 and 0.5; deviations sqrt(5) and sqrt(1.25): above mean + 2 deviations lies one place of the first."""
    acts = torch.zeros(2, 2, 3)
    acts[0, 1, 2] = 6.0
    acts[1] = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
    heat = quietly(*given_maps(acts, torch.ones_like(acts)), 0, method="fem", layer="0")
    assert torch.equal(heat.values, torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]]))


def test_a_channel_that_is_the_same_everywhere_stands_out_nowhere():
    acts = torch.stack([torch.full((4, 4), 3.0), torch.arange(16.0).view(4, 4) ** 4])
    heat = quietly(*given_maps(acts, torch.ones_like(acts)), 0, method="fem", layer="0")
    assert heat.values[0, 0, 0, 0] == 0
    assert heat.values.max() == acts[1].mean()


# Several layers, layers that run twice ---------------------------------------------------------------------------

FUSED = sorted(set(READINGS) | {"smooth-grad-cam++", "shapley-cam", "finer-cam"})


@pytest.mark.parametrize("method", FUSED)
def test_several_layers_are_the_mean_of_their_maps_each_over_its_largest_magnitude(method):
    network, images = uneven(), pictures().double()
    options = {"method": method, **({"samples": 5} if method == "smooth-grad-cam++" else {})}
    both = quietly(network, images, 1, layer=["1", "3"], **options)
    first, second = (share(quietly(network, images, 1, layer=layer, **options).values) for layer in ("1", "3"))
    assert close(both.values, (first + second) / 2, 1e-8)
    assert both.layer == "1, 3"
    assert both.unit == "share of each layer's largest value"


class Twice(nn.Module):
    """A convolution that runs twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.mix, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 3)

    def second(self, first):
        return self.mix(first.tanh())

    def above(self, first, second):
        return self.head((first.sigmoid() * second.tanh()).mean((2, 3)).tanh())

    def forward(self, images):
        first = self.mix(self.stem(images).tanh())
        return self.above(first, self.second(first))


def runs_of(network, images):
    """(activations, gradients) of each run."""
    first = network.mix(network.stem(images).tanh()).detach().requires_grad_()
    second = network.second(first)
    slopes = torch.autograd.grad(network.above(first, second)[:, 1].sum(), [first, second])
    return [(act.detach(), slope) for act, slope in zip((first, second), slopes, strict=True)]


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "hires-cam", "xgrad-cam", "fem", "eigen-grad-cam"])
def test_a_layer_that_runs_twice_gives_the_sum_of_its_runs_maps(method):
    network, images = fixed(Twice(), dtype=torch.float64), pictures().double()
    heat = quietly(network, images, 1, method=method, layer="mix")
    maps = [shown(list(map(READINGS[method], *run))) for run in runs_of(network, images)]
    assert close(heat.values, sum(maps), 1e-8)
    assert [one.code for one in heat.warnings if one.code == "layer-runs-twice"]


class Shrinking(nn.Module):
    """An activation that runs on maps of two sizes."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6, 3)
        self.activation = activation

    def forward(self, images):
        return self.head(self.activation(self.second(self.activation(self.first(images)))).mean((2, 3)))


def test_a_layer_that_runs_on_maps_of_two_sizes_gives_the_sum_of_its_enlarged_maps():
    network, images = fixed(Shrinking(nn.ReLU()), dtype=torch.float64), pictures().double()
    heat = quietly(network, images, 1, method="grad-cam", layer="activation")
    first = network.first(images).relu().detach().requires_grad_()
    second = network.second(first).relu()
    score = network.head(second.mean((2, 3)))[:, 1].sum()
    slopes = torch.autograd.grad(score, [first, second])
    maps = [
        shown(list(map(read_grad_cam, act.detach(), slope)))
        for act, slope in zip((first, second), slopes, strict=True)
    ]
    assert close(heat.values, sum(maps), 1e-8)


def test_a_refusal_where_a_layer_runs_on_maps_of_two_sizes_says_what_is_needed():
    with pytest.raises(sl.MethodError, match="made for ReLUs, and this network's activations are gelu"):
        sl.attribute(fixed(Shrinking(nn.GELU())), pictures(), 1, method="guided-backprop")
    with pytest.raises(sl.MethodError, match="cam needs linear-head"):
        sl.attribute(fixed(Shrinking(nn.GELU())), pictures(), 1, method="cam", layer="activation")


# Smoothing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "xgrad-cam", "hires-cam", "shapley-cam"])
def test_tta_is_the_mean_over_six_views_mirrored_back(method):
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method=method, layer="3", smoothing="tta")
    maps = []
    for factor in (0.9, 1.0, 1.1):
        maps.append(quietly(network, factor * images, 1, method=method, layer="3").values)
        maps.append(quietly(network, (factor * images).flip(-1), 1, method=method, layer="3").values.flip(-1))
    assert close(heat.values, sum(maps) / 6, 1e-8)
    assert heat.passes == ((6, 12) if method == "shapley-cam" else (6, 6))


class Dense(nn.Module):
    """A score for each place."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 8, 3, padding=1), nn.Tanh())
        self.head = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, images):
        return self.head(self.body(images))


LEFT = torch.zeros(SIZE)
LEFT[:4, :5] = 1
NAMED_PLACES = [
    Region(LEFT, 1),
    Unit("body.2", 3, at=(1, 2)),
    2.0 * Region(LEFT, 1) - Region(LEFT, 2),
    Region(LEFT, 1) + Unit("body.2", 3),
]


@pytest.mark.parametrize("target", NAMED_PLACES, ids=lambda target: type(target).__name__)
@pytest.mark.parametrize("each", [False, True])
def test_tta_does_not_mirror_what_a_target_names_by_its_place(target, each):
    network, images = fixed(Dense(), dtype=torch.float64), pictures().double()
    wanted = [target, Unit("body.2", 1)] if each else target
    heat = quietly(network, images, wanted, method="layer-cam", layer="body.1", smoothing="tta")
    maps = [quietly(network, f * images, wanted, method="layer-cam", layer="body.1").values for f in (0.9, 1.0, 1.1)]
    assert close(heat.values, sum(maps) / 3, 1e-8)
    assert heat.passes == (3, 3)


def test_tta_of_a_function_that_reads_a_place_of_a_dense_output_does_not_mirror():
    network, images = fixed(Dense(), dtype=torch.float64), pictures().double()
    corner = Function(lambda scores: scores[:, 1, :4, :5].mean((1, 2)))
    heat = quietly(network, images, corner, method="layer-cam", layer="body.1", smoothing="tta")
    region = quietly(network, images, Region(LEFT, 1), method="layer-cam", layer="body.1", smoothing="tta")
    assert close(heat.values, region.values, 1e-8)


def test_tta_mirrors_a_unit_that_is_averaged_over_all_places():
    network, images = fixed(Dense(), dtype=torch.float64), pictures().double()
    heat = quietly(network, images, Unit("body.2", 3), method="layer-cam", layer="body.1", smoothing="tta")
    assert heat.passes == (6, 6)


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "hires-cam", "xgrad-cam"])
def test_principal_is_the_first_component_of_what_the_channels_contribute(method):
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method=method, layer="1", smoothing="principal")
    acts, slopes = seen_at(network, "1", images)
    maps = []
    for act, slope in zip(acts, slopes, strict=True):
        each = [READINGS[method](act[k : k + 1], slope[k : k + 1]) for k in range(len(act))]
        maps.append(read_principal(torch.stack(each)))
    assert close(heat.values, shown(maps), 1e-8)


def test_both_smoothings_are_principal_in_each_view():
    network, images = uneven(), pictures().double()
    heat = quietly(network, images, 1, method="hires-cam", layer="3", smoothing=("tta", "principal"))
    maps = []
    for factor in (0.9, 1.0, 1.1):
        maps.append(quietly(network, factor * images, 1, method="eigen-grad-cam", layer="3").values)
        maps.append(
            quietly(network, (factor * images).flip(-1), 1, method="eigen-grad-cam", layer="3").values.flip(-1)
        )
    assert close(heat.values, sum(maps) / 6, 1e-8)


@pytest.mark.parametrize("smoothing", ["blur", ("tta", "blur")])
def test_a_smoothing_that_does_not_exist_is_refused(smoothing):
    with pytest.raises(sl.OptionError, match="possible: 'tta', 'principal'"):
        sl.attribute(conv_net(), pictures(), 1, method="grad-cam", smoothing=smoothing)


# Rules ----------------------------------------------------------------------------------------------------------


class Step(torch.autograd.Function):
    """A ReLU whose way back is written out: guided backprop's, or the deconvnet's."""

    @staticmethod
    def forward(ctx, given, rule):
        ctx.save_for_backward(given)
        ctx.rule = rule
        return given.clamp_min(0)

    @staticmethod
    def backward(ctx, slope):
        (given,) = ctx.saved_tensors
        through = slope * (given > 0) if ctx.rule == "guided" else slope
        return torch.where(slope > 0, through, torch.zeros_like(through)), None


class Stepping(nn.Module):
    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def forward(self, given):
        return Step.apply(given, self.rule)


def deeper():
    """ReLUs below and above the layer "3"."""
    layers = (
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 96, 5),
    )  # fmt: skip
    return fixed(nn.Sequential(*layers), dtype=torch.float64)


@pytest.mark.parametrize("rule", ["guided", "rectified"])
@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "hires-cam"])
def test_a_rule_inside_a_cam_changes_what_comes_back_to_the_layer(method, rule):
    network, images = deeper(), pictures().double()
    heat = quietly(network, images, 1, method=method, layer="3", rule=rule)
    stepped = nn.Sequential(*(Stepping(rule) if isinstance(one, nn.ReLU) else one for one in network))
    acts, slopes = seen_at(stepped, "3", images)
    assert close(heat.values, shown(list(map(READINGS[method], acts, slopes))), 1e-8)
    assert not close(heat.values, quietly(network, images, 1, method=method, layer="3").values, 0.01)


def test_a_rule_of_ones_own_is_given_gradient_plain_and_given():
    network, images = deeper(), pictures().double()
    seen = []

    def own(gradient, plain, given):
        seen.append((gradient, plain, given))
        return 0.5 * plain - 2.0 * gradient

    heat = quietly(network, images, 1, method="grad-cam", layer="3", rule=own)
    assert len(seen) == 2, "two activations lie between the layer and the score"
    for above, plain, given in seen:
        assert torch.equal(plain, above * (given > 0))
    acts = network[:4](images).detach()
    tops = network[4](acts)
    last = network[6](network[5](tops))
    weight = network[9].weight[1].view(1, 4, 8, 12).expand(len(images), -1, -1, -1)
    back = 0.5 * weight * (last > 0) - 2.0 * weight
    back = gradient(network[5](tops), lambda x: (network[6](x) * back).flatten(1).sum(1))
    back = 0.5 * back * (tops > 0) - 2.0 * back
    back = gradient(acts, lambda x: (network[4](x) * back).flatten(1).sum(1))
    assert close(heat.values, shown(list(map(read_grad_cam, acts, back))), 1e-8)


def test_a_rule_that_hands_the_plain_gradient_on_changes_nothing():
    network, images = deeper(), pictures().double()
    for method, options in (("grad-cam", {"layer": "3"}), ("saliency", {})):
        ruled = quietly(network, images, 1, method=method, rule=lambda gradient, plain, given: plain, **options)
        assert close(ruled.values, quietly(network, images, 1, method=method, **options).values, 1e-8)


# Guided backprop where ReLUs are of other makes -----------------------------------------------------------------


class Made(nn.Module):
    """A convolution, the ReLU that is asked about, a convolution, a ReLU of the usual make, a linear layer."""

    def __init__(self, make):
        super().__init__()
        self.first, self.second, self.head = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Linear(6, 3),
        )
        self.make = make

    def forward(self, images):
        return self.head(self.second(self.make(self.first(images))).relu().mean((2, 3)))


MAKES = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, True),
    "Tensor.relu_": lambda x: x.relu_(),
    "torch.relu": torch.relu,
    "clamp": lambda x: x.clamp(min=0),
    "clamp by position": lambda x: x.clamp(0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "clip": lambda x: torch.clip(x, 0),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum, zero first": lambda x: torch.maximum(torch.zeros_like(x), x),
    "maximum by name": lambda x: torch.maximum(input=x, other=torch.zeros_like(x)),
    "maximum by name, zero first": lambda x: torch.maximum(input=torch.zeros_like(x), other=x),
    "max": lambda x: torch.max(x, torch.zeros(())),
    "fmax": lambda x: torch.fmax(x, torch.zeros_like(x)),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "gate": lambda x: x * (x > 0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
}


@pytest.mark.parametrize("rule", ["guided", "rectified"])
@pytest.mark.parametrize("make", MAKES)
def test_a_rule_does_a_relu_of_any_make_right_or_refuses(make, rule):
    images = pictures()
    network, by_hand = fixed(Made(MAKES[make])), fixed(Made(Stepping(rule)))
    by_hand.second.register_forward_hook(lambda _m, _i, out: Step.apply(out, rule))  # the ReLU that follows passes it
    name = {"guided": "guided-backprop", "rectified": "deconvnet"}[rule]
    expected = gradient(
        images, lambda x: by_hand.head(by_hand.second(by_hand.make(by_hand.first(x))).mean((2, 3)))[:, 1]
    )
    try:
        heat = quietly(network, images, 1, method=name)
    except sl.MethodError:
        return
    assert close(heat.values, expected)


STRANGERS = {
    "Hardshrink": nn.Hardshrink(),
    "Softshrink": nn.Softshrink(),
    "Tanhshrink": nn.Tanhshrink(),
    "GLU": nn.Sequential(nn.Conv2d(6, 12, 1), nn.GLU(1)),
    "Softplus": nn.Softplus(),
    "Threshold": nn.Threshold(0.5, 0.0),
    "GELU": nn.GELU(),
    "PReLU": nn.PReLU(),
    "RReLU": nn.RReLU(),
}


@pytest.mark.parametrize("make", STRANGERS)
def test_a_rule_for_relus_is_refused_where_one_activation_is_none(make):
    network = fixed(Made(STRANGERS[make]))
    with pytest.raises(sl.MethodError, match="made for ReLUs"):
        sl.attribute(network, pictures(), 1, method="guided-backprop")


# Other places than the input ------------------------------------------------------------------------------------


def test_saliency_and_input_x_gradient_at_a_layer_are_its_gradient_and_its_share():
    network, images = uneven(), pictures().double()
    acts, slopes = seen_at(network, "1", images)
    heats = quietly(network, images, 1, method=["saliency", "input-x-gradient"], wrt="1")
    assert close(heats["saliency"].values, slopes, 1e-8)
    assert close(heats["input-x-gradient"].values, acts * slopes, 1e-8)
    assert heats["saliency"].layer == "1"


def test_input_x_gradient_at_a_layer_adds_up_where_what_follows_is_linear():
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 2, method="input-x-gradient", wrt="3")
    assert torch.allclose(heat.values.flatten(1).sum(1), network(images)[:, 2] - network[6].bias[2], rtol=1e-4)


def test_smoothgrad_at_a_layer_is_the_mean_of_the_copies_gradients_there():
    network, images = Watched(uneven()), pictures(2).double()
    heat, copies = noisy_copies(network, images, method="smoothgrad", wrt="network.1", samples=9)
    for i, mine in enumerate(copies):
        slopes = seen_at(network.network, "1", torch.stack(mine))[1]
        assert close(heat.values[i], slopes.mean(0), 1e-8)
        assert close(heat.error[i], slopes.std(0) / 9**0.5, 1e-6)


def test_at_a_layer_that_runs_twice_the_gradients_of_its_runs_are_added():
    network, images = fixed(Twice(), dtype=torch.float64), pictures().double()
    heats = quietly(network, images, 1, method=["saliency", "input-x-gradient"], wrt="mix")
    runs = runs_of(network, images)
    assert close(heats["saliency"].values, sum(slope for _, slope in runs), 1e-8)
    assert close(heats["input-x-gradient"].values, sum(act * slope for act, slope in runs), 1e-8)


def test_a_rule_works_at_a_layer_too():
    network, images = deeper(), pictures().double()
    heat = quietly(network, images, 1, method="guided-backprop", wrt="3")
    stepped = nn.Sequential(*(Stepping("guided") if isinstance(one, nn.ReLU) else one for one in network))
    assert close(heat.values, seen_at(stepped, "3", images)[1], 1e-8)


def test_guided_grad_cam_is_guided_backprop_times_grad_cam_rectified_at_its_layer():
    """The paper rectifies the map, then enlarges it: what is below zero does not take from its neighbours."""
    network, images = deeper(), pictures(size=SIZE).double()
    network[2].stride = network[4].stride = (2, 2)
    network[9] = fixed(nn.Linear(4 * 6, 5), dtype=torch.float64)
    heat = quietly(network, images, 1, method="guided-grad-cam", layer="5")
    acts, slopes = seen_at(network, "5", images)
    coarse = [read_grad_cam(act, slope).clamp_min(0) for act, slope in zip(acts, slopes, strict=True)]
    fine = quietly(network, images, 1, method="guided-backprop").values
    assert close(heat.values, fine * shown(coarse), 1e-8)


def test_a_cam_of_a_network_without_a_map_is_refused():
    with pytest.raises(sl.MethodError, match="grad-cam\\+\\+ needs layer"):
        sl.attribute(linear(), pictures(), 1, method="grad-cam++")
