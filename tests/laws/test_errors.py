"""What cannot be done is refused with words: what was given, what is possible, what to do."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from zoo import ANY_TARGET, GRADIENT, LAYER, LINEAR_HEAD, METHODS, Answering, built, condition, explained, fewer

import sightline as sl
from sightline import targets

# Numbers ----------------------------------------------------------------------------------------------------


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("weight", "value"),
    [("stem.weight", NAN), ("mix.bias", INFINITE), ("head.weight", -INFINITE), ("norm.running_mean", NAN)],
)
def test_weights_that_are_not_finite_are_named(method, images, weight, value):
    network = built()
    network.state_dict()[weight].flatten()[0] = value
    before = condition(network)
    with pytest.raises(sl.NetworkError, match=f"'{weight}'"):
        explained(network, images, method=method)
    assert condition(network) == before


@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_pixels_that_are_not_finite_are_refused_with_the_image_that_holds_them(method, network, images, value):
    images[1, 0, 2, 3] = value
    with pytest.raises(sl.NetworkError, match="image 1 holds NaN or infinite pixels"):
        explained(network, images, method=method)


def test_numbers_that_overflow_on_the_way_are_refused(method, images):
    network = built().to(torch.float16)
    with torch.no_grad():
        network.mix.weight.mul_(30000)
    with pytest.raises(sl.NetworkError, match="overflow"):
        explained(network, images, method=method)


def test_a_buffer_of_minus_infinities_is_not_blamed_for_it(images):
    network = built().to(torch.float16)
    network.register_buffer("mask", torch.full((3, 3), -INFINITE).triu(1))
    assert explained(network, images, method="saliency").values.any()
    with torch.no_grad():
        network.mix.weight.mul_(30000)
    with pytest.raises(sl.NetworkError, match="overflow"):
        explained(network, images, method="saliency")


# Targets ----------------------------------------------------------------------------------------------------

TARGETS = {
    "too large": (5, "5 does not exist; the network has 5, numbered 0 to 4"),
    "negative": (-1, "-1 does not exist; the network has 5"),
    "true": (True, "True is no target"),
    "a NumPy bool": (np.True_, "is no target"),
    "a tensor of a bool": (torch.tensor(True), "is no target"),
    "a fraction": (1.5, "1.5 is no target; give a class index"),
    "a label without labels": ("cat", "no labels"),
    "too few": ([0], "1 targets for 3 images"),
    "too many": ([0, 1, 2, 3], "4 targets for 3 images"),
    "none of a list": ([], "0 targets for 3 images"),
    "one too large": ([0, 1, 7], "7 does not exist"),
    "one negative": ([0, -2, 1], "-2 does not exist"),
    "bools": (torch.tensor([True, False, True]), "True is no target"),
    "Class too large": (targets.Class(9), "9 does not exist"),
    "Class of a bool": (targets.Class(True), "True does not exist"),
    "Class of a string": (targets.Class("cat"), "'cat' is not a whole number"),
    "Contrast too large": (targets.Contrast(0, 9), "9 does not exist"),
    "Output too large": (targets.Output(9), "output 9 does not exist"),
    "a sum with one too large": (targets.Class(0) + targets.Class(9), "9 does not exist"),
    "a function of all images": (lambda scores: scores.sum(), r"gave \(\).*one score per image, \(\d+,\)"),
    "a function with a class left": (lambda scores: scores[:, :1], "one score per image"),
    "a function of no tensor": (lambda scores: 3.0, "gave float"),
    "a region of classes": (targets.Region(torch.ones(8, 12), 0), "Use Class"),
    "an embedding that is a path": (targets.Similar("photo.png"), r"Similar\(a str\); give numbers"),
    "an embedding of another length": (targets.Similar(torch.ones(3)), "3 numbers; this network gives 5"),
    "a dict": ({0: 1}, "is no target"),
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_targets_that_do_not_exist_are_refused(method, images, name):
    target, words = TARGETS[name]
    with pytest.raises(sl.TargetError, match=words):
        explained(built(), images, target, method=method)


@pytest.mark.parametrize("method", ANY_TARGET)
def test_units_that_do_not_exist_are_refused(method, images):
    network = built()
    for unit, words in (
        (targets.Unit("features", 8), "channel of 'features' 8 does not exist; the network has 8"),
        (targets.Unit("features", -1), "-1 does not exist"),
        (targets.Unit("features", 0, at=(9, 0)), "position 9 does not exist"),
        (targets.Unit("features", 0, at=(1,)), r"at=\(1,\) does not fit 'features', whose map is \(4, 6\)"),
    ):
        with pytest.raises(sl.TargetError, match=words):
            explained(network, images, unit, method=method)
    with pytest.raises(sl.LayerError, match="did you mean 'features'"):
        explained(network, images, targets.Unit("feature", 0), method=method)


def test_a_label_is_an_index_and_one_that_occurs_twice_is_none(method, images):
    names = ["crane", "tabby, tabby cat", "Dog", "crane", "bird"]
    model = sl.wrap(built(), input_size=(8, 12), mean=0, std=1, labels=names)
    with pytest.raises(sl.TargetError, match=r"'crane' occurs 2 times, at \[0, 3\]"):
        explained(model, images, "crane", method=method)
    with pytest.raises(sl.TargetError, match="'birt'; did you mean 'bird'"):
        explained(model, images, "birt", method=method)
    expected = explained(model, images, [1, 2, 4], method=method)
    assert torch.equal(explained(model, images, ["tabby cat", "dog", "bird"], method=method).values, expected.values)


# Answers ----------------------------------------------------------------------------------------------------

ANSWERS = {
    "nothing": (lambda scores: None, "returned a NoneType"),
    "a string": (lambda scores: "cat", "returned a str"),
    "whole numbers": (lambda scores: scores.argmax(1), r"torch.int64 .*floating point"),
    "whole numbers per class": (lambda scores: scores.long(), r"torch.int64 \(\d, 5\) .*floating point"),
    "one row too many": (lambda scores: torch.cat([scores, scores[:1]]), r"\(\d, 5\) for \d images"),
    "classes first": (lambda scores: scores.T, r"\(5, \d\) for \d images"),
    "a sum": (lambda scores: scores.sum().expand(7), r"\(7,\) for \d images"),
    "complex numbers": (lambda scores: torch.complex(scores, scores), "complex64"),
    "a dict of many": (lambda scores: {"boxes": scores, "masks": scores}, r"a dict with \['boxes', 'masks'\]"),
    "an empty dict": (lambda scores: {}, "a dict"),
    "an empty tuple": (lambda scores: (), "a tuple"),
    "a tuple of nothing": (lambda scores: (None, None), "a tuple of"),
    "a NumPy array": (lambda scores: scores.detach().numpy(), "a ndarray"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_without_scores_are_described(method, images, answer):
    change, words = ANSWERS[answer]
    network = Answering(built(), change)
    before = condition(network)
    with pytest.raises(sl.NetworkError, match=words):
        explained(network, images, method=method)
    assert condition(network) == before


@pytest.mark.parametrize("method", GRADIENT)
def test_a_network_that_overwrites_what_its_gradient_needs_is_refused(method, images):
    with pytest.raises(sl.NetworkError, match="overwrites numbers that its own gradient needs"):
        explained(Answering(built(), lambda scores: scores.softmax(1).mul_(2)), images, method=method)


@pytest.mark.parametrize("method", [one for one in METHODS if one not in LINEAR_HEAD])
def test_a_map_of_measurements_has_no_largest_area(method, images):
    dense = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    with pytest.raises(sl.TargetError, match=r"targets.Region\(mask, index\)"):
        explained(dense, images, None, method=method)


# Requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.zeros(2, 3, 8, 12, dtype=torch.uint8), r"torch.uint8 \(2, 3, 8, 12\); give a floating-point tensor"),
        (torch.zeros(3, 8), r"\(3, 8\); give a floating-point tensor \(B, C, \*spatial\)"),
        (torch.zeros(0, 3, 8, 12), "B at least 1"),
        (np.zeros((1, 3, 8, 12), np.float32), "images are ndarray"),
        ("cat.png", "images are str"),
    ],
)
def test_images_that_are_none_are_refused(method, given, words):
    with pytest.raises(sl.NetworkError, match=words):
        explained(built(), given, method=method)


@pytest.mark.parametrize("thing", ["resnet50", None, 3, {"a": 1}])
def test_what_is_no_network_is_refused(method, images, thing):
    with pytest.raises(sl.SightlineError, match=r"neither a torch\.nn\.Module nor a function"):
        explained(thing, images, method=method)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("salience", "no method named 'salience'; did you mean 'saliency'"),
        ("gradcam", "did you mean 'grad-cam'"),
        ("zzz", "possible: "),
        (3, "3 is not the name of a method"),
    ],
)
def test_an_unknown_method_is_refused_with_near_misses(network, images, name, words):
    with pytest.raises(sl.MethodError, match=words):
        sl.attribute(network, images, 0, method=name)


def test_names_of_methods_may_be_written_as_python_writes_them(method, network, images):
    expected = explained(network, images, method=method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        written = sl.attribute(network, images, 2, method=method.upper().replace("-", "_"), **fewer(method))
    assert torch.equal(written.values, expected.values)


def test_an_unknown_option_is_refused_with_near_misses(method, network, images):
    options = next(one.options for one in sl.methods() if one.id == method)
    with pytest.raises(sl.OptionError, match=r"no option 'surely_not'.*possible:"):
        explained(network, images, method=method, surely_not=1)
    for option in options:
        with pytest.raises(sl.OptionError, match=f"did you mean '{option}'"):
            explained(network, images, method=method, **{option + "x": 1})


def test_an_unknown_layer_is_refused_with_near_misses(method, images):
    with pytest.raises(sl.LayerError, match=r"'feature'.*did you mean 'features'"):
        explained(built(), images, method=method, layer="feature")
    with pytest.raises(sl.LayerError, match="possible: "):
        explained(built(), images, method=method, layer="zzzzz")


@pytest.mark.parametrize("method", LAYER)
@pytest.mark.parametrize("layer", [3, nn.Identity()])
def test_a_layer_is_given_by_its_name(method, images, layer):
    with pytest.raises(sl.LayerError, match="name"):
        explained(built(), images, method=method, layer=layer)


@pytest.mark.parametrize("method", LAYER)
def test_a_layer_that_does_not_run_or_holds_no_map_is_refused(method, images):
    network = built()
    network.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(sl.LayerError, match="no layer named 'spare' runs"):
        explained(network, images, method=method, layer="spare")
    with pytest.raises(sl.LayerError, match="'head' holds no map of the input; try 'features'"):
        explained(network, images, method=method, layer="head")


@pytest.mark.parametrize("method", LAYER)
def test_a_network_without_a_map_is_refused_with_what_it_lacks(method, images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(288, 5))
    with pytest.raises(sl.MethodError, match="layer"):
        explained(network, images, method=method)


@pytest.mark.parametrize("method", GRADIENT)
def test_a_black_box_is_refused_with_what_it_lacks(method, images):
    with pytest.raises(sl.MethodError, match="gradient"):
        explained(lambda x: x.detach().mean((2, 3)), images, 0, method=method)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("smoothgrad", {"samples": 0}, "samples has to be 1 or more"),
        ("smoothgrad", {"noise": -0.1}, "noise 0 or more"),
        ("smoothgrad", {"samples": 2.5}, "samples"),
        ("smoothgrad", {"noise": NAN}, "noise"),
        ("smoothgrad", {"noise": "much"}, "noise"),
        ("integrated-gradients", {"steps": 2.5}, "steps"),
        ("integrated-gradients", {"budget": "all"}, "budget"),
        ("integrated-gradients", {"tolerance": 0}, "tolerance=0"),
        ("integrated-gradients", {"budget": 1}, "budget=1"),
        ("integrated-gradients", {"steps": 0}, "steps=0"),
        ("integrated-gradients", {"baseline": "blak"}, "did you mean 'black'"),
        ("integrated-gradients", {"baseline": (0.1, 0.2)}, "names 2 channels; the input has 3"),
        ("integrated-gradients", {"baseline": torch.zeros(3, 4, 4)}, r"\(3, 4, 4\); the input takes \(3, 8, 12\)"),
        ("integrated-gradients", {"baseline": ()}, "black"),
        ("integrated-gradients", {"baseline": None}, "baseline"),
        ("integrated-gradients", {"baseline": ("black", "wite")}, "did you mean 'white'"),
    ],
)
def test_options_out_of_range_are_refused(images, method, options, words):
    with pytest.raises(sl.OptionError, match=words):
        sl.attribute(built(), images, 0, method=method, **options)


def test_every_error_is_a_sightline_error():
    errors = [getattr(sl, name) for name in dir(sl) if name.endswith("Error")]
    assert len(errors) > 5
    assert all(issubclass(error, sl.SightlineError) for error in errors)
    assert issubclass(sl.TargetError, ValueError)
