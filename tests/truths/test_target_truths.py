"""Every target against autograd by hand, at the input and at a layer."""

import math

import pytest
import torch
from by_hand import METHODS, close, conv_net, fixed, grad_cam, gradient, pictures, quietly
from torch import nn

import sightline as sl
from sightline.targets import Class, Contrast, Function, Output, Region, Similar, Unit

NETWORK = conv_net()
IMAGES = pictures(2)
EMBEDDING = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])


def acts(x):
    """The output of layer "2" as it was put out, before the in-place ReLU."""
    return NETWORK[2](NETWORK[0](x).relu())


def cosine(x):
    scores = NETWORK(x)
    return (scores * EMBEDDING).sum(1) / scores.norm(dim=1) / EMBEDDING.norm()


TARGETS = {
    "index": (3, lambda x: NETWORK(x)[:, 3]),
    "Class": (Class(3), lambda x: NETWORK(x)[:, 3]),
    "NumPy index": (torch.tensor(3).numpy()[()], lambda x: NETWORK(x)[:, 3]),
    "tensor of indices": (torch.tensor([3, 1]), lambda x: torch.stack([NETWORK(x)[0, 3], NETWORK(x)[1, 1]])),
    "Contrast": (Contrast(1, 4), lambda x: NETWORK(x)[:, 1] - NETWORK(x)[:, 4]),
    "sum": (Class(1) + Class(2), lambda x: NETWORK(x)[:, 1] + NETWORK(x)[:, 2]),
    "difference": (Class(1) - Class(2), lambda x: NETWORK(x)[:, 1] - NETWORK(x)[:, 2]),
    "scaled": (0.5 * Class(1), lambda x: 0.5 * NETWORK(x)[:, 1]),
    "scaled from the right": (Class(1) * 3, lambda x: 3 * NETWORK(x)[:, 1]),
    "negative": (-Class(1), lambda x: -NETWORK(x)[:, 1]),
    "mixture": (
        2 * (Class(0) - 0.5 * Unit("2", 3)) - Contrast(2, 1),
        lambda x: 2 * NETWORK(x)[:, 0] - acts(x)[:, 3].mean((1, 2)) - NETWORK(x)[:, 2] + NETWORK(x)[:, 1],
    ),
    "channel": (Unit("2", 5), lambda x: acts(x)[:, 5].mean((1, 2))),
    "unit": (Unit("2", 5, at=(1, 4)), lambda x: acts(x)[:, 5, 1, 4]),
    "channel before the end": (Unit("0", 2), lambda x: NETWORK[0](x)[:, 2].mean((1, 2))),
    "unit of a linear layer": (Unit("6", 2), lambda x: NETWORK(x)[:, 2]),
    "output increase": (Output(2), lambda x: NETWORK(x)[:, 2]),
    "output decrease": (Output(2, "decrease"), lambda x: -NETWORK(x)[:, 2]),
    "similar": (Similar(EMBEDDING), cosine),
    "similar to a NumPy array": (Similar(EMBEDDING.numpy()), cosine),
    "function": (lambda scores: scores[:, 1] * scores[:, 2], lambda x: NETWORK(x)[:, 1] * NETWORK(x)[:, 2]),
    "Function in a sum": (
        Function(lambda scores: scores.square().sum(1)) + Class(0),
        lambda x: NETWORK(x).square().sum(1) + NETWORK(x)[:, 0],
    ),
    "a list of kinds": (
        [Unit("2", 5), Contrast(1, 2)],
        lambda x: torch.stack([acts(x)[0, 5].mean(), NETWORK(x)[1, 1] - NETWORK(x)[1, 2]]),
    ),
    "a list with a function": (
        [4, lambda scores: scores.prod(1)],
        lambda x: torch.stack([NETWORK(x)[0, 4], NETWORK(x)[1].prod()]),
    ),
    "a list with a sum": (
        [Similar(EMBEDDING), Class(1) - 2 * Class(2)],
        lambda x: torch.stack([cosine(x)[0], NETWORK(x)[1, 1] - 2 * NETWORK(x)[1, 2]]),
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_s_gradient_is_the_one_by_hand(name):
    target, by_hand = TARGETS[name]
    heat = quietly(NETWORK, IMAGES, target, method="saliency")
    assert close(heat.values, gradient(IMAGES, by_hand))


@pytest.mark.parametrize("name", [name for name in TARGETS if "unit" not in name])
def test_a_target_s_path_adds_up_to_its_change(name):
    target, by_hand = TARGETS[name]
    heat = quietly(NETWORK, IMAGES, target, method="integrated-gradients", budget=1000)
    change = by_hand(IMAGES) - by_hand(torch.zeros_like(IMAGES))
    if not change.isfinite().all():
        pytest.skip("no cosine of a black image")
    assert bool(((heat.values.flatten(1).sum(1) - change).abs() <= 0.0102 * change.abs() + 1e-6).all())


def test_keep_ranks_pixels_by_how_little_the_output_depends_on_them():
    slope = gradient(IMAGES, lambda x: NETWORK(x)[:, 2])
    typical = slope.abs().flatten(1).mean(1).view(-1, 1, 1, 1)
    heat = quietly(NETWORK, IMAGES, Output(2, "keep"), method="saliency")
    assert close(heat.values, typical / (typical + slope.abs()))
    assert 0 < float(heat.values.min()) < float(heat.values.max()) <= 1


def test_keep_does_not_hang_on_the_units_of_the_output():
    once = quietly(NETWORK, IMAGES, Output(2, "keep"), method="saliency")
    scaled = quietly(NETWORK, IMAGES, 10 * Output(2, "keep"), method="saliency")
    assert close(scaled.values, once.values, 1e-4)


@pytest.mark.parametrize("method", ["integrated-gradients", "input-x-gradient"])
def test_methods_that_add_up_refuse_keep(method):
    with pytest.raises(sl.MethodError, match="use saliency"):
        sl.attribute(NETWORK, IMAGES, Output(2, "keep"), method=method)


def test_keep_is_not_added_to_other_targets():
    with pytest.raises(sl.TargetError, match="cannot be added"):
        Output(2, "keep") + Class(1)
    with pytest.raises(sl.TargetError, match="'increase', 'decrease', 'keep'"):
        Output(2, "up")
    with pytest.raises(sl.TargetError, match="cannot be mixed"):
        sl.attribute(NETWORK, IMAGES, [Output(2, "keep"), Class(1)], method="saliency")


def test_targets_are_values():
    assert Class(1) == Class(1)
    assert Class(1) + Class(2) == Class(1) + Class(2)
    assert Class(1) - Class(2) != Class(2) - Class(1)
    assert len({Class(1), Class(1), Unit("2", 1), Unit("2", 1)}) == 2
    assert (Unit("2", 0) + Unit("0", 0) + Unit("2", 1)).layers == ("2", "0")


def test_grad_cam_of_a_unit_reads_the_layers_below_it():
    heat = quietly(NETWORK, IMAGES, Unit("2", 5), method="grad-cam", layer="0")
    above = nn.Sequential(nn.ReLU(), NETWORK[2])
    assert close(heat.values, grad_cam(NETWORK[0], above, IMAGES, lambda x: x[:, 5].mean((1, 2))))


# Dense outputs ----------------------------------------------------------------------------------------------


def dense(dims=2):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    return fixed(nn.Sequential(conv(3, 6, 3, stride=2, padding=1), nn.ReLU(), conv(6, 4, 1)))


MASK = torch.zeros(8, 12, dtype=torch.bool)
MASK[1:5, 3:6] = True


@pytest.mark.parametrize("mask", [MASK, MASK.float() * 0.3, MASK.numpy()], ids=["bool", "float", "NumPy"])
def test_a_region_is_the_mean_of_its_class_brought_to_the_output_s_grid_by_area(mask):
    network = dense()

    def by_hand(x):
        plane, total, weights = network(x)[:, 2], 0.0, 0.0
        for i in range(4):
            for j in range(6):
                weight = sum(float(mask[2 * i + a, 2 * j + b]) for a in (0, 1) for b in (0, 1)) / 4
                total, weights = total + weight * plane[:, i, j], weights + weight
        return total / weights

    heat = quietly(network, IMAGES, Region(mask, 2), method="saliency")
    assert close(heat.values, gradient(IMAGES, by_hand))


@pytest.mark.parametrize("method", [one for one in METHODS if one not in ("cam", "finer-cam")])  # these need a class
def test_every_method_explains_a_region(method):
    network = dense()
    heat = quietly(network, IMAGES, Region(MASK, 2), method=method)
    same = quietly(network, IMAGES, lambda s: (s[:, 2] * SHARE).sum((1, 2)) / SHARE.sum(), method=method)
    assert close(heat.values, same.values)


SHARE = nn.functional.avg_pool2d(MASK.float()[None], 2)[0]


@pytest.mark.parametrize("dims", [1, 3])
def test_a_region_of_a_signal_or_a_volume(dims):
    size = (12,) if dims == 1 else (4, 8, 6)
    images = pictures(size=size)
    mask = torch.zeros(size)
    mask[(slice(2, 4),) * dims] = 1
    network = dense(dims)
    pool = (nn.functional.avg_pool1d, None, nn.functional.avg_pool3d)[dims - 1]
    share = pool(mask[None, None], 2)[0, 0]
    heat = quietly(network, images, Region(mask, 1), method="saliency")
    expected = gradient(images, lambda x: (network(x)[:, 1] * share).flatten(1).sum(1) / share.sum())
    assert close(heat.values, expected)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.zeros(8, 12), "the mask is empty"),
        (torch.zeros(8, 12, dtype=torch.bool), "the mask is empty"),
        (torch.ones(3, 8, 12), r"shape \(3, 8, 12\) does not fit"),
        (torch.ones(8), r"shape \(8,\) does not fit"),
    ],
)
def test_a_region_that_selects_nothing_is_refused(mask, words):
    with pytest.raises(sl.TargetError, match=words):
        sl.attribute(dense(), IMAGES, Region(mask, 1), method="saliency")


def test_a_region_of_a_class_that_does_not_exist_is_refused():
    with pytest.raises(sl.TargetError, match="4 does not exist; the network has 4"):
        sl.attribute(dense(), IMAGES, Region(MASK, 4), method="saliency")


def test_a_class_of_a_dense_output_is_explained_where_it_is_seen():
    network = dense()
    seen = network(IMAGES).argmax(1)
    for index in seen.unique().tolist():
        if not all(bool((one == index).any()) for one in seen):
            continue
        heat = quietly(network, IMAGES, index, method="saliency")
        each = [
            quietly(network, one[None], Region((mask == index).float(), index), method="saliency").values
            for one, mask in zip(IMAGES, seen, strict=True)
        ]
        assert torch.allclose(heat.values, torch.cat(each), atol=1e-6)
    with pytest.raises(sl.TargetError, match="class 9 does not exist"):
        sl.attribute(network, IMAGES, 9, method="saliency")
    with pytest.raises(sl.TargetError, match="seen nowhere"):
        sl.attribute(lambda images: torch.stack([images[:, 0], images[:, 0] - 1], 1), IMAGES, 1, method="rise")


def test_a_list_with_a_function_of_another_precision():
    network = conv_net().to(torch.bfloat16)
    mixed = [1, lambda scores: scores.float()[:, 2]]
    heat = quietly(network, IMAGES, mixed, method="saliency")
    assert close(heat.values, quietly(network, IMAGES, [1, 2], method="saliency").values, 1e-2)


def test_a_regression_of_one_number_needs_no_target():
    network = fixed(nn.Sequential(nn.Flatten(), nn.Linear(288, 1)))
    heat = quietly(network, IMAGES, None, method="saliency")
    assert close(heat.values, network[1].weight.detach().view(1, 3, 8, 12).expand(2, -1, -1, -1))
    assert math.isfinite(float(heat.values.sum()))
