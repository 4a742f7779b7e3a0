"""Guided backprop on every make of activation: right, or refused; what autograd's graph says counts, not names."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sightline as sl


class Net(nn.Module):
    """Two convolutions, the activation that is asked about between them, a ReLU that anybody sees, a linear layer."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(6, 3)
        self.activation = activation

    def forward(self, images):
        return self.head(F.relu(self.second(self.activation(self.first(images)))).mean((2, 3)))


class Swish(torch.autograd.Function):
    """An activation that no name gives away."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        gate = x.sigmoid()
        return slope * (gate + x * gate * (1 - gate))


class Hidden(torch.autograd.Function):
    """A ReLU inside a step with a way back of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.relu(x)

    @staticmethod
    def backward(ctx, slope):
        return slope * (ctx.saved_tensors[0] > 0)


def cut(x):
    y = x.clone()
    y[y < 0] = 0
    return y


STRANGE = {
    "a hard swish by hand": lambda x: x * F.relu6(x + 3) / 6,
    "a swish by hand": lambda x: x * x.sigmoid(),
    "a swish of its own": Swish.apply,
    "half of x and its size": lambda x: (x + x.abs()) / 2,
    "log-sigmoid": nn.LogSigmoid(),
    "a threshold that fills in": lambda x: F.threshold(x, 0.0, 20.0),
    "a clamp on both sides": lambda x: x.clamp(-1, 1),
    "the larger of two": lambda x: torch.maximum(x, -x),
    "the largest of several": lambda x: torch.stack([x, 0 * x]).amax(0),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "exp": torch.exp,
    "erf": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "set to zero where negative": cut,
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "times a mask": lambda x: torch.mul((x > 0).float(), x),
    "gelu": nn.GELU(),
    "a ReLU that no rule reaches": Hidden.apply,
}
FAMILIAR = {
    "a ReLU": nn.ReLU(),
    "ReLU6": nn.ReLU6(),
    "a gate of channels": lambda x: F.relu(x) * x.mean((2, 3), keepdim=True).sigmoid(),
    "batch norm and a pooling": nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
    "a ReLU that nothing depends on": lambda x: F.relu(x) + 0 * F.relu(x.detach()),
}


def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def built(activation):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Net(activation).eval()


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_relu_is_refused_beside_one(name):
    for method, options in (("guided-backprop", {}), ("deconvnet", {}), ("saliency", {"rule": "guided"})):
        with pytest.raises(sl.MethodError, match="made for ReLUs"):
            sl.attribute(built(STRANGE[name]), images(), 1, method, **options)


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
@pytest.mark.parametrize("name", FAMILIAR)
def test_relus_gates_norms_and_poolings_are_no_obstacle(name):
    assert sl.attribute(built(FAMILIAR[name]), images(), 1, "guided-backprop").values.any()


@pytest.mark.parametrize("name", [name for name in STRANGE if "reaches" not in name])
def test_a_rule_that_hands_on_the_plain_gradient_is_saliency_whatever_the_activation(name):
    network = built(STRANGE[name])
    ruled = sl.attribute(network, images(), 1, "saliency", rule=lambda gradient, plain, given: plain)
    plain = sl.attribute(network, images(), 1, "saliency")
    assert torch.allclose(ruled.values, plain.values, atol=1e-6)


def test_a_named_rule_carries_the_caution_of_its_method():
    with pytest.warns(sl.SightlineWarning, match="guided rule shows much the same"):
        heat = sl.attribute(built(nn.ReLU()), images(), 1, "saliency", rule="guided")
    assert [one.code for one in heat.warnings] == ["fails-sanity-check"]


def test_methods_share_the_passes_of_a_rule_and_of_the_views():
    rows = []
    network = built(nn.ReLU())
    sl.attribute(network, images(), 1, "grad-cam")
    network.register_forward_pre_hook(lambda _m, given: rows.append(len(given[0])))
    for methods, options, passes in (
        (["grad-cam", "layer-cam", "hires-cam"], {}, 1),
        (["grad-cam", "layer-cam", "hires-cam"], {"smoothing": "tta"}, 6),
        (["guided-backprop", "guided-grad-cam"], {}, 2),
    ):
        rows.clear()
        with pytest.warns(sl.SightlineWarning) if "guided-backprop" in methods else nullcontext():
            sl.attribute(network, images(), 1, methods, **options)
        assert sum(rows) == passes * 2


def test_what_is_done_is_given_when_the_user_stops_before_the_next_map():
    network, calls = built(nn.ReLU()), []

    def stop(*_):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt

    network.register_forward_pre_hook(stop)
    with pytest.warns(sl.SightlineWarning, match="stopped before integrated-gradients had a map"):
        heats = sl.attribute(network, images()[:1], 1, ["smoothgrad", "integrated-gradients"], samples=25)
    assert list(heats) == ["smoothgrad"]
    assert heats["smoothgrad"].interrupted
    assert heats["smoothgrad"].passes == (25, 25)
