"""Networks of every make give the heat that the plain network gives."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from zoo import (
    ANY_TARGET,
    GRADIENT,
    LAYER,
    LINEAR_HEAD,
    TARGETED,
    Answering,
    alike,
    built,
    condition,
    explained,
    pictures,
)

import sightline as sl

ANY_LAYER = [method for method in LAYER if method not in LINEAR_HEAD]

# States -----------------------------------------------------------------------------------------------------


def frozen(network):
    return network.requires_grad_(False)


def training(network):
    return network.train()


def half_frozen_half_training(network):
    for number, module in enumerate(network.modules()):
        module.training = number % 2 == 0
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    return network


@pytest.mark.parametrize("state", [frozen, training, half_frozen_half_training])
def test_no_state_of_the_network_changes_the_heat(method, network, images, state):
    expected = explained(network, images, method=method)
    assert alike(explained(state(network), images, method=method), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("theirs", [torch.float32, None])
def test_networks_of_another_precision(method, network, images, dtype, theirs):
    even = {"steps": 8} if method == "integrated-gradients" else {}
    expected = explained(network, images, method=method, **even)
    images = images.to(theirs or dtype)
    heat = explained(network.to(dtype), images, method=method, **even)
    assert heat.values.dtype == images.dtype
    assert bool(torch.isfinite(heat.values).all())
    a, b = heat.values.double().flatten(), expected.values.double().flatten()
    share = {torch.float64: 0.9999, torch.float16: 0.99, torch.bfloat16: 0.9}[dtype]
    share -= 0.01 * (method == "fem")  # which counts what lies above a threshold, and rounding crosses it
    assert torch.cosine_similarity(a, b, 0) > share
    assert all(parameter.dtype == dtype for parameter in network.parameters())


# Answers ----------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    features: torch.Tensor
    logits: torch.Tensor


Named = namedtuple("Named", ["features", "logits"])


def hugging_face(scores):
    outputs = pytest.importorskip("transformers.modeling_outputs")
    return outputs.ImageClassifierOutput(logits=scores, hidden_states=(scores * 2,))


ANSWERS = {
    "tuple": lambda scores: (scores, scores * 2),
    "list": lambda scores: [scores, None],
    "nested tuple": lambda scores: ((scores,), "note"),
    "dict of logits": lambda scores: {"loss": scores.sum(), "logits": scores},
    "dict of out": lambda scores: {"aux": scores * 2, "out": scores},
    "dict of one": lambda scores: {"anything": scores},
    "dataclass": lambda scores: Answer(scores * 2, scores),
    "named tuple": lambda scores: Named(scores * 2, scores),
    "hugging face": hugging_face,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_scores_are_found_in_whatever_the_network_returns(method, images, answer):
    expected = explained(built(), images, method=method)
    assert alike(explained(Answering(built(), ANSWERS[answer]), images, method=method), expected)


def test_the_scores_are_found_where_a_layer_returns_an_object(method, images):
    expected = explained(built(), images, method=method)
    network = Answering(Answering(built(), hugging_face), lambda output: output.logits)
    assert alike(explained(network, images, method=method), expected)


@pytest.mark.parametrize("method", ANY_TARGET)
@pytest.mark.parametrize("count", [1, 3])
def test_one_score_per_image_without_a_class_dimension(method, count):
    images = pictures(count)
    squeezed = Answering(built(classes=1), lambda scores: scores.squeeze(1))
    expected = explained(built(classes=1), images, 0, method=method)
    assert alike(explained(squeezed, images, 0, method=method), expected)
    assert alike(explained(squeezed, images, None, method=method), expected)


@pytest.mark.parametrize("method", ANY_TARGET)
def test_a_single_score_without_any_dimension(method):
    squeezed = Answering(built(classes=1), torch.Tensor.squeeze)
    assert alike(
        explained(squeezed, pictures(1), 0, method=method),
        explained(built(classes=1), pictures(1), 0, method=method),
    )


# Wrappers ---------------------------------------------------------------------------------------------------


def compiled(network):
    return torch.compile(network, backend="eager")


def compiled_in_place(network):
    network.compile(backend="eager")
    return network


def compiled_inside(network):
    network.features = torch.compile(network.features, backend="eager")
    return network


def compiled_in_place_inside(network):
    network.features.compile(backend="eager")
    return network


WRAPPERS = [nn.DataParallel, compiled, compiled_in_place, compiled_inside, compiled_in_place_inside]


@pytest.mark.parametrize("wrapper", [*WRAPPERS, lambda network: nn.DataParallel(compiled(network))])
def test_wrapped_networks_give_the_same_heat_and_stay_as_they_are(method, images, wrapper):
    expected = explained(built(), images, method=method)
    network = wrapper(built())
    before = condition(network)
    heat = explained(network, images, method=method)
    assert condition(network) == before
    assert alike(heat, expected)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_compiled_network_that_has_run_already(images, wrapper):
    network = wrapper(built())
    with torch.no_grad():
        answer = network(images)
    assert alike(explained(network, images, method="saliency"), explained(built(), images, method="saliency"))
    with torch.no_grad():
        assert torch.equal(network(images), answer)


def test_a_black_box_that_autograd_can_follow(images):
    network = built()
    for method in set(GRADIENT) - set(LAYER):
        assert alike(explained(network.forward, images, method=method), explained(network, images, method=method))


# Makes ------------------------------------------------------------------------------------------------------


class Plain(nn.Module):
    """The convolutional network once more: nothing in place, no module used twice."""

    def __init__(self, network):
        super().__init__()
        self.stem, self.norm, self.head = network.stem, network.norm, network.head
        self.first, self.second = (nn.Conv2d(6, 6, 3, padding=1) for _ in range(2))
        for twin in (self.first, self.second):
            twin.load_state_dict(network.mix.state_dict())
        self.features = nn.Sequential(network.features[0], nn.ReLU())

    def forward(self, images):
        x = self.norm(self.stem(images)).relu()
        x = self.second((self.first(x) + x).relu())
        return self.head(self.features(x).mean((2, 3)))


def test_in_place_steps_and_modules_used_twice_change_nothing(method, images):
    one = {"layer": "features"} if method == "refine-cam" else {}  # by itself it takes a layer that runs twice too
    expected = explained(Plain(built()).eval(), images, method=method, **one)
    assert alike(explained(built(), images, method=method, **one), expected)


@pytest.mark.parametrize("method", ANY_LAYER)
@pytest.mark.parametrize("layer", ["stem", "norm", "features.0", "features.1", "features"])
def test_what_a_later_in_place_step_overwrites_is_what_the_layer_put_out(method, images, layer):
    expected = explained(Plain(built()).eval(), images, method=method, layer=layer)
    heat = explained(built(), images, method=method, layer=layer)
    assert heat.layer == layer
    assert alike(heat, expected)


@pytest.mark.parametrize("method", ANY_LAYER)
def test_a_layer_inside_an_attention_block_is_reached(method, images):
    network = built("tokens")
    for layer in ("patches", "blocks.0.norm1", "blocks.0.linear2", "blocks.0", "blocks.1.norm1"):
        assert explained(network, images, method=method, layer=layer).values.any()


@pytest.mark.parametrize("method", ANY_LAYER)
def test_the_default_layer_of_a_class_token_is_the_last_grid_that_it_reads(method, images):
    network = built("tokens")
    heat = explained(network, images, method=method)
    assert heat.layer in ("blocks.0", "blocks.1.norm1")
    assert heat.values.any()
    if method in TARGETED:
        assert "blank-map" in [w.code for w in explained(network, images, method=method, layer="blocks.1").warnings]


def test_hooks_of_the_owner_keep_working(method, network, images):
    seen = []
    network.head.register_forward_hook(lambda *_: seen.append(1))
    doubled = network.head.register_forward_hook(lambda _m, _i, output: output * 2)
    twice = explained(network, images, method=method)
    doubled.remove()
    assert seen
    assert alike(twice, explained(Answering(network, lambda scores: scores * 2), images, method=method))


class Drawing(nn.Module):
    """Gives weights that are computed anew at each pass, as weight norm and low-rank adapters do."""

    def forward(self, weight):
        return weight * 2


def test_parametrized_and_tied_weights(method, network, images):
    expected = explained(network, images, method=method)
    with torch.no_grad():
        network.head.weight /= 2
    nn.utils.parametrize.register_parametrization(network.head, "weight", Drawing())
    before = condition(network)
    assert alike(explained(network, images, method=method), expected)
    assert condition(network) == before


def test_a_network_of_another_kind_of_head_after_surgery(method, network, images):
    explained(network, images, method=method)
    network.head = nn.Linear(8, 2)
    with pytest.raises(sl.TargetError, match="the network has 2"):
        explained(network, images, 4, method=method)
    assert explained(network, images, 1, method=method).values.any()
