"""Networks that end in a softmax are explained on the score before it; where that cannot be seen, on log p."""

import pytest
import torch
from by_hand import METHODS, close, conv_net, gradient, pictures, quietly
from torch import nn
from torch.nn import functional as F

import sightline as sl


class Ended(nn.Module):
    """The plain network with a last step of its own."""

    def __init__(self, end, network=None):
        super().__init__()
        self.network, self.end = network or conv_net(), end

    def forward(self, images):
        return self.end(self.network(images))


def softmax_then_view(scores):
    return scores.softmax(1).view(len(scores), -1)


ENDS = {
    "Softmax": nn.Softmax(1),
    "Softmax from the back": nn.Softmax(-1),
    "F.softmax": lambda scores: F.softmax(scores, dim=1),
    "tensor.softmax": lambda scores: scores.softmax(1),
    "torch.softmax": lambda scores: torch.softmax(input=scores, dim=1),
    "softmax and view": softmax_then_view,
    "softmax in a tuple": lambda scores: (scores.softmax(1), scores * 3),
    "softmax in a dict": lambda scores: {"scores": F.softmax(scores, 1)},
    "LogSoftmax": nn.LogSoftmax(1),
    "F.log_softmax": lambda scores: F.log_softmax(scores, dim=1),
    "tensor.log_softmax": lambda scores: scores.log_softmax(1),
    "Sigmoid": nn.Sigmoid(),
    "torch.sigmoid": torch.sigmoid,
    "F.sigmoid": F.sigmoid,
    "tensor.sigmoid": lambda scores: scores.sigmoid(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ENDS)
def test_the_score_before_the_last_step_is_explained(method, end):
    images = pictures()
    expected = quietly(conv_net(), images, [1, 3], method=method)
    heat = quietly(Ended(ENDS[end]), images, [1, 3], method=method)
    assert close(heat.values, expected.values)
    assert not {"log-probability", "log-odds"} & {one.code for one in heat.warnings}


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax"])
def test_saturated_probabilities_still_have_a_map(end):
    network = conv_net()
    with torch.no_grad():
        network[6].weight.mul_(300)
    images = pictures()
    expected = quietly(network, images, 1, method="saliency")
    assert close(quietly(Ended(ENDS[end], network), images, 1, method="saliency").values, expected.values)


def test_a_softmax_inside_the_network_is_no_last_step():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = conv_net()

        def forward(self, images):
            return self.network(images * images.mean(1, keepdim=True).flatten(2).softmax(2).view(-1, 1, 8, 12))

    network, images = Attending(), pictures()
    heat = quietly(network, images, 1, method="saliency")
    assert close(heat.values, gradient(images, lambda x: network(x)[:, 1]))


def test_sigmoids_that_are_not_the_last_step_stay():
    network, images = Ended(lambda scores: scores.sigmoid() * 2 - 1), pictures()
    heat = quietly(network, images, 1, method="saliency")
    assert close(heat.values, gradient(images, lambda x: network(x)[:, 1]))


# Where the last step cannot be seen -------------------------------------------------------------------------


class Ensemble(nn.Module):
    """The mean of two networks' probabilities."""

    def __init__(self):
        super().__init__()
        self.one, self.other = conv_net(), conv_net()
        with torch.no_grad():
            self.other[6].weight.mul_(-0.7)

    def forward(self, images):
        return (self.one(images).softmax(1) + self.other(images).softmax(1)) / 2


def test_an_average_of_softmaxes_is_explained_on_its_log_probability_and_says_so():
    network, images = Ensemble(), pictures()
    with pytest.warns(sl.SightlineWarning, match="log-probability is explained"):
        heat = sl.attribute(network, images, [1, 3], method="saliency")
    assert [one.code for one in heat.warnings] == ["log-probability"]
    expected = gradient(images, lambda x: network(x).log()[torch.arange(2), [1, 3]])
    assert close(heat.values, expected)


UNSEEN = {
    "a softmax by hand": lambda scores: scores.exp() / scores.exp().sum(1, keepdim=True),
    "exp of log_softmax": lambda scores: scores.log_softmax(1).exp(),
    "two softmaxes": lambda scores: (scores.softmax(1) + (2 * scores).softmax(1)) / 2,
}


@pytest.mark.parametrize("end", UNSEEN)
def test_probabilities_made_by_an_unseen_step_are_explained_on_their_logarithm(end):
    network, images = Ended(UNSEEN[end]), pictures()
    heat = quietly(network, images, 1, method="saliency")
    assert "log-probability" in [one.code for one in heat.warnings]
    assert close(heat.values, gradient(images, lambda x: network(x)[:, 1].log()), 1e-4)


@pytest.mark.parametrize(
    ("output", "end", "by_hand"),
    [
        ("logits", nn.Softmax(1), lambda p: p[:, 1]),
        ("probabilities", lambda s: s.softmax(1) * 0.9 + 0.02, lambda p: p[:, 1].log()),
        ("multilabel", lambda s: s.tanh() / 2 + 0.5, lambda p: p[:, 1].logit()),
        ("regression", lambda s: s.tanh(), lambda p: p[:, 1]),
    ],
)
def test_a_model_may_say_what_its_output_is(output, end, by_hand):
    network, images = Ended(end), pictures()
    model = sl.wrap(network, input_size=(8, 12), mean=0, std=1, output=output)
    heat = quietly(model, images, 1, method="saliency")
    assert close(heat.values, gradient(images, lambda x: by_hand(network(x))), 1e-4)


# Networks that change between calls -------------------------------------------------------------------------


class Switched(nn.Module):
    """A network with a flag that puts a softmax on."""

    def __init__(self, on):
        super().__init__()
        self.network, self.on = conv_net(), on

    def forward(self, images):
        scores = self.network(images)
        return scores.softmax(1) if self.on else scores


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("on", [True, False])
def test_a_softmax_that_is_switched_on_or_off_is_seen_at_the_next_call(method, on):
    network, images = Switched(on), pictures()
    expected = quietly(conv_net(), images, 1, method=method)
    for _ in range(3):
        assert close(quietly(network, images, 1, method=method).values, expected.values)
        network.on = not network.on


HEADS = [nn.Softmax(1), nn.Identity(), nn.Sigmoid(), nn.LogSoftmax(1), nn.Softmax(1)]


@pytest.mark.parametrize("method", METHODS)
def test_a_head_that_is_replaced_is_seen_at_the_next_call(method):
    network, images = nn.Sequential(conv_net(), nn.Softmax(1)), pictures()
    expected = quietly(conv_net(), images, 1, method=method)
    for head in HEADS:
        network[1] = head
        assert close(quietly(network, images, 1, method=method).values, expected.values)
    del network[1]
    assert close(quietly(network, images, 1, method=method).values, expected.values)


def test_a_head_with_a_step_of_its_own_is_seen_at_the_next_call():
    network, images = nn.Sequential(conv_net(), nn.Softmax(1)), pictures()
    quietly(network, images, 1, method="saliency")
    network[1] = nn.Tanh()
    expected = gradient(images, lambda x: network(x)[:, 1])
    assert close(quietly(network, images, 1, method="saliency").values, expected)


def test_what_was_read_off_a_broken_network_is_forgotten():
    network, images = nn.Sequential(conv_net(), nn.Softmax(1)), pictures()
    good = network[0][6].weight.detach().clone()
    with torch.no_grad():
        network[0][6].weight.fill_(float("nan"))
    with pytest.raises(sl.NetworkError, match=r"'0\.6\.weight'"):
        sl.attribute(network, images, 1, method="saliency")
    with torch.no_grad():
        network[0][6].weight.copy_(good)
    expected = quietly(conv_net(), images, 1, method="saliency")
    assert close(quietly(network, images, 1, method="saliency").values, expected.values)


def test_the_default_layer_follows_a_network_that_is_rebuilt():
    network, images = conv_net(), pictures()
    assert quietly(network, images, 1, method="grad-cam").layer == "3"
    network.insert(4, nn.Conv2d(8, 8, 3, padding=1))
    assert quietly(network, images, 1, method="grad-cam").layer == "4"


def test_a_head_that_starts_at_zero_and_is_trained_gets_its_map():
    network, images = conv_net(), pictures()
    trained = network[6].weight.detach().clone()
    nn.init.zeros_(network[6].weight)
    blank = quietly(network, images, 1, method="grad-cam")
    assert not blank.values.any()
    with torch.no_grad():
        network[6].weight.copy_(trained)
    expected = quietly(conv_net(), images, 1, method="grad-cam")
    assert close(quietly(network, images, 1, method="grad-cam").values, expected.values)


def test_a_logit_between_0_and_1_by_accident_is_no_probability():
    """A network told to be multilabel, whose last step is no sigmoid: one photo's logit of 0.3 is 57 %, not 30 %."""
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 1))
    with torch.no_grad():
        network[2].weight.copy_(torch.tensor([[2.0, -1.5, -3.0]]))
        network[2].bias.fill_(0.3 + 1.25)
    model = sl.wrap(network, input_size=8, mean=0.0, std=1.0, resize="squash", output="multilabel")
    (one,) = sl.predict(model, torch.full((3, 8, 8), 0.5))
    assert one.score == pytest.approx(0.3, abs=1e-5)
    assert one.probability == pytest.approx(0.5744, abs=1e-3)
