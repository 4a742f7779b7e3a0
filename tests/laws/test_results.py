"""What comes back: finite numbers of the right shape, the same for the same seed, however the work was cut up."""

import pytest
import torch
from torch import nn
from zoo import LAYER, SEEDED, alike, built, explained, pictures

import sightline as sl
from sightline import targets


class Counts(nn.Module):
    """Counts the images that go through a network."""

    def __init__(self, network):
        super().__init__()
        self.network, self.rows = network, 0

    def forward(self, images):
        self.rows += len(images)
        return self.network(images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_heat_is_finite_and_fits_the_images(method, network, images, dtype):
    heat = explained(network.to(dtype), images.to(dtype), method=method)
    assert heat.values.shape in (images.shape, (len(images), 1, *images.shape[2:]))
    assert (method in LAYER) == (heat.layer is not None)
    assert heat.values.dtype == dtype
    assert heat.values.device == images.device
    assert not heat.values.requires_grad
    for part in (heat.values, heat.error, heat.gap):
        assert part is None or bool(torch.isfinite(part).all())
    assert heat.error is None or heat.error.shape == heat.values.shape
    constant = method == "smooth-grad-cam++"  # the gradients of a linear head are the same for all noisy copies
    assert heat.error is None or constant or bool((heat.error > 0).any())
    assert heat.gap is None or heat.gap.shape == (len(images),)
    assert bool(heat.values.flatten(1).any(1).all())


TARGETS = {
    "indices": [2, 0, 4],
    "one for all": 3,
    "predicted": None,
    "mixed": [1, targets.Contrast(0, 2), lambda scores: scores[:, 1] * scores[:, 2]],
    "a function": lambda scores: scores.square().sum(1),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_a_batch_equals_its_images_one_by_one(method, network, images, target):
    network, images = network.double(), images.double()  # float32's own rounding comes to 1e-5 on some processors
    batch = explained(network, images, target, method=method)
    for i in range(len(images)):
        mine = target[i] if isinstance(target, list) else target
        alone = explained(network, images[i : i + 1], mine, method=method)
        assert alike(batch[i], alone)
        assert batch[i].passes == alone.passes
        assert batch[i].gap is None or torch.allclose(batch[i].gap, alone.gap, atol=1e-4)
        assert batch[i].error is None or torch.allclose(batch[i].error, alone.error, rtol=1e-3, atol=1e-7)


def test_the_order_of_a_batch_does_not_matter(method, network, images):
    there = explained(network, images, [0, 1, 2], method=method)
    back = explained(network, images.flip(0), [2, 1, 0], method=method)
    assert alike(sl.Heat(back.values.flip(0)), there)


def test_the_predicted_class_is_explained_unless_told_otherwise(method, network, images):
    with torch.no_grad():
        best = network(images).argmax(1).tolist()
    assert alike(explained(network, images, None, method=method), explained(network, images, best, method=method))


def test_a_tie_is_explained_as_the_class_that_is_named_first(method, images):
    network = built()
    with torch.no_grad():
        network.head.bias[1:3] += 50
    tied = nn.Sequential(network, Ties())
    assert torch.equal(*tied(images)[:, 1:3].unbind(1))
    assert alike(explained(tied, images, None, method=method), explained(tied, images, 1, method=method))


class Ties(nn.Module):
    """Makes classes 1 and 2 equal in value, though not in what they depend on."""

    def forward(self, scores):
        same = scores[:, 1:2].detach() + (scores[:, 2:3] - scores[:, 2:3].detach())
        return torch.cat([scores[:, :2], same, scores[:, 3:]], 1)


def test_same_seed_same_heat(method, network, images):
    first, second = (explained(network, images, method=method, seed=7) for _ in range(2))
    assert torch.equal(first.values, second.values)
    assert first.passes == second.passes


@pytest.mark.parametrize("method", SEEDED)
def test_another_seed_draws_other_numbers(method, network, images):
    low = "stem" if hasattr(network, "stem") else "patches"  # behind the last map a linear head's gradients are fixed
    drawn = {"integrated-gradients": {"baseline": "noise"}, "occlusion": {"fill": "noise"}}
    options = {**drawn, "smooth-grad-cam++": {"layer": low}}.get(method, {})
    first, second = (explained(network, images, method=method, seed=seed, **options) for seed in (0, 1))
    assert not torch.allclose(first.values, second.values, atol=1e-3 * float(first.values.abs().max()))


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_chunked_run_equals_an_unchunked_one(method, network, at_once):
    images, wanted = pictures(5), [0, 1, 2, 3, 4]
    cut, whole = (
        explained(sl.wrap(network, input_size=(8, 12), mean=0, std=1, batch_size=n), images, wanted, method=method)
        for n in (at_once, 64)
    )
    assert alike(cut, whole)
    assert cut.passes == whole.passes


def test_no_more_images_go_through_at_once_than_asked_for(method, network):
    sizes = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    model = sl.wrap(network, input_size=(8, 12), mean=0, std=1, batch_size=3)
    explained(model, pictures(7), method=method)
    assert 0 < max(sizes) <= 3


def test_a_model_gives_what_its_network_gives(method, network, images):
    model = sl.wrap(network, input_size=(8, 12), mean=0, std=1)
    assert alike(explained(model, images, method=method), explained(network, images, method=method))


def test_passes_are_those_that_were_taken(method, network, images):
    counting = Counts(network)
    explained(counting, images, method=method)
    counting.rows = 0
    heat = explained(counting, images, method=method)
    taken = sum(forward for forward, _ in heat.spent)
    assert taken <= counting.rows <= taken + len(images), "one more each may go into the prediction"
    assert heat.passes == max(heat.spent)
    back = 2 if method == "shapley-cam" else 1  # its second derivatives are a way back of their own
    assert all(back * forward >= backward >= 0 for forward, backward in heat.spent)


def test_cheap_methods_take_one_pass(method, network, images):
    cost = next(one.cost for one in sl.methods() if one.id == method)
    if cost.startswith("1 forward, 1 backward"):
        assert explained(network, images, method=method).passes == (1, 1)


def test_an_image_of_a_batch_can_be_taken_out(method, network, images):
    heat = explained(network, images, method=method)
    assert torch.equal(torch.cat([heat[i].values for i in range(len(heat))]), heat.values)
    assert [heat[i].passes for i in range(len(heat))] == list(heat.spent)


def test_a_models_own_layer_is_read_for_tensors_too():
    network, images = built("convolutions"), pictures()
    names = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Conv2d)]
    model = sl.wrap(network, input_size=tuple(images.shape[2:]), mean=0, std=1, layer=names[0])
    heat = sl.attribute(model, images, 0, method="grad-cam")
    assert heat.layer == names[0]
    assert alike(heat, explained(network, images, 0, method="grad-cam", layer=names[0]))
