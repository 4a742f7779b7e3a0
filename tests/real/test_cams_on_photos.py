"""Every CAM of real networks and photos against pytorch-grad-cam, torch-cam and Captum."""

import copy
import sys
import warnings
from functools import cache
from pathlib import Path

import gallery
import pytest
import pytorch_grad_cam as gc
import torch
import torchcam.methods as tc
from captum.attr import GuidedBackprop
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import sightline as sl

sys.path.append(str(Path(__file__).parents[1] / "parity"))
from peers import apart, enlarged, of_captum, of_pytorch_grad_cam, of_torchcam, oriented

ALL = pytest.mark.parametrize("entry", gallery.ENTRIES, ids=str)
PYTORCH_GRAD_CAM = {
    "grad-cam": gc.GradCAM,
    "hires-cam": gc.HiResCAM,
    "layer-cam": gc.LayerCAM,
    "xgrad-cam": gc.XGradCAM,
    "grad-cam-element-wise": gc.GradCAMElementWise,
    "eigen-grad-cam": gc.EigenGradCAM,
    "kpca-cam": gc.KPCA_CAM,
    "shapley-cam": gc.ShapleyCAM,
}
TORCHCAM = {"grad-cam": tc.GradCAM, "xgrad-cam": tc.XGradCAM, "layer-cam": tc.LayerCAM, "finer-cam": tc.FinerCAM}
OTHERS = ["cam", "grad-cam++", "eigen-cam", "fem", "guided-backprop", "guided-grad-cam"]
EVERY = tuple(dict.fromkeys([*PYTORCH_GRAD_CAM, *TORCHCAM, *OTHERS]))


@pytest.fixture(scope="module")
def explained(model, photos):
    """A function (entry, layer) -> [(image, class, id -> map)]: two photos explained by every method, once."""

    @cache
    def explain(entry, layer=None):
        network, methods = model(entry).network, [one for one in EVERY if layer is None or one != "cam"]
        found = []
        for path in two(photos):
            image = gallery.tensor(entry, path)
            index = int(network(image).argmax())
            heats = quietly(sl.attribute, network, image, index, methods, layer=layer)
            found.append((image, index, {name: heat.values for name, heat in heats.items()}))
        return found

    return explain


def two(photos):
    return [photos[name] for name in ("kitten", sorted(set(photos) - {"kitten"})[0])]


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return function(*args, **options)


def last(network):
    return f"features.{len(network.features) - 1}"


def middle(network):
    return f"features.{2 * len(network.features) // 3}"


PLACES = pytest.mark.parametrize("place", [last, middle], ids=lambda one: one.__name__)


def cases(explained, entry, place, network):
    """The photos' cases at a layer; the last is what nobody has to name."""
    return explained(entry, None if place is last else place(network))


@ALL
@PLACES
@pytest.mark.parametrize("method", PYTORCH_GRAD_CAM)
def test_our_map_is_pytorch_grad_cams(model, explained, entry, place, method):
    network = copy.deepcopy(model(entry).network)
    kind, layer = PYTORCH_GRAD_CAM[method], place(network)
    for image, index, found in cases(explained, entry, place, network):
        theirs = of_pytorch_grad_cam(kind, network, layer, image, [ClassifierOutputTarget(index)])
        theirs = enlarged(theirs, image)
        values = found[method].double()
        assert apart(values, oriented(values, theirs)) <= 1e-4
        if method not in ("eigen-grad-cam", "kpca-cam"):  # whose sign is chance there
            assert apart(values, theirs) <= 1e-4


@ALL
@PLACES
@pytest.mark.parametrize("method", TORCHCAM)
def test_our_map_is_torch_cams(model, explained, entry, place, method):
    network = copy.deepcopy(model(entry).network)
    for image, index, found in cases(explained, entry, place, network):
        theirs = of_torchcam(TORCHCAM[method], network, place(network), image, [index])
        assert apart(found[method], enlarged(theirs, image)) <= 1e-4


@ALL
def test_cam_is_n_times_grad_cam(explained, entry, model):
    cells = {}
    network = copy.deepcopy(model(entry).network)
    network.features.register_forward_hook(lambda _m, _i, out: cells.update(n=out[0, 0].numel()))
    for image, _, found in explained(entry):
        network(image)
        assert apart(found["cam"], cells["n"] * found["grad-cam"].double()) <= 1e-5


@ALL
def test_grad_cam_pp_is_equation_19_and_both_peers_are_off(model, explained, entry):
    network = copy.deepcopy(model(entry).network)
    for image, index, found in explained(entry):
        acts = network.features(image).detach().requires_grad_()
        slopes = _slopes(network, image, index)
        acts = acts.detach().double()
        whole = acts.sum((2, 3), keepdim=True)
        alpha = torch.where(slopes > 0, slopes**2 / (2 * slopes**2 + whole * slopes**3), 0.0)
        expected = ((alpha * slopes.clamp_min(0)).sum((2, 3), keepdim=True) * acts).sum(1)
        assert apart(found["grad-cam++"], enlarged(expected, image)) <= 1e-4
        targets = [ClassifierOutputTarget(index)]
        for theirs in (
            of_pytorch_grad_cam(gc.GradCAMPlusPlus, network, last(network), image, targets),
            of_torchcam(tc.GradCAMpp, network, last(network), image, [index]),
        ):
            assert apart(theirs / theirs.max(), expected / expected.max()) > 1e-3


def _slopes(network, image, index):
    """The gradient of a class at the last map, in float64."""
    kept = []

    def keep(_module, _inputs, output):
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    hook = network.features.register_forward_hook(keep)
    score = network(image)[0, index]
    hook.remove()
    return torch.autograd.grad(score, kept[0])[0].double()


@ALL
def test_fem_is_the_slow_reading(model, explained, entry):
    network = copy.deepcopy(model(entry).network)
    for image, _, found in explained(entry):
        acts = network.features(image).detach()
        total = torch.zeros_like(acts[0, 0])
        for act in acts[0]:
            total += act.mean() * (act > act.mean() + 2 * act.std(unbiased=False))
        assert apart(found["fem"], enlarged(total[None], image)) <= 1e-4


@ALL
def test_eigen_cam_is_numpys_singular_vector_above_zero(model, explained, entry):
    network = copy.deepcopy(model(entry).network)
    for image, _, found in explained(entry):
        rows = network.features(image).detach()[0].flatten(1).T.double()
        _, _, vectors = torch.linalg.svd(rows, full_matrices=False)
        expected = (rows @ vectors[0]).abs().view(1, *network.features(image).shape[2:])
        assert apart(found["eigen-cam"], enlarged(expected, image)) <= 1e-4


class Passing(torch.autograd.Function):
    """ReLU6, and guided backprop's way back through it."""

    @staticmethod
    def forward(ctx, given):
        ctx.save_for_backward(given)
        return given.clamp(0, 6)

    @staticmethod
    def backward(ctx, slope):
        (given,) = ctx.saved_tensors
        return slope * (slope > 0) * (given > 0) * (given < 6)


class GuidedReLU6(torch.nn.Module):
    def forward(self, given):
        return Passing.apply(given)


def guided(network):
    """A copy whose ReLU6 are guided."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU6):
                setattr(module, name, GuidedReLU6())
    return network


@ALL
def test_guided_backprop_of_relu6_is_right_where_captum_gives_the_plain_gradient(model, explained, entry):
    network = model(entry).network
    for image, index, found in explained(entry):
        leaf = image.clone().requires_grad_()
        (expected,) = torch.autograd.grad(guided(network)(leaf)[0, index], leaf)
        plain = sl.attribute(network, image, index, "saliency").values
        assert apart(found["guided-backprop"], expected) <= 1e-4
        assert apart(plain, expected) > 0.1
        captum = of_captum(GuidedBackprop(copy.deepcopy(network)), image, target=index)
        assert apart(captum, plain) <= 1e-4


@ALL
def test_guided_grad_cam_is_the_guided_gradient_times_the_rectified_map(model, explained, entry):
    network = copy.deepcopy(model(entry).network)
    for image, index, found in explained(entry):
        coarse = of_pytorch_grad_cam(gc.GradCAM, network, last(network), image, [ClassifierOutputTarget(index)])
        expected = found["guided-backprop"].double() * enlarged(coarse.clamp_min(0), image)
        assert apart(found["guided-grad-cam"], expected) <= 1e-4


@ALL
def test_explain_gives_the_same_maps_but_for_the_kinks_that_packed_weights_cross(model, photos, explained, entry):
    results = quietly(sl.explain, model(entry), two(photos), list(EVERY))
    for comparison, (_, index, found) in zip(results, explained(entry), strict=True):
        for method, values in found.items():
            assert comparison[method].target == sl.targets.Class(index)
            mine = comparison[method].values[None]
            assert torch.cosine_similarity(mine.double().flatten(), values.double().flatten(), 0) > 0.999, method
