"""`sl.wrap`: what it refuses, what it takes an output for, and functions as black boxes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sightline as sl

PHOTO = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
READY = {"input_size": 8, "mean": 0.5, "std": 0.5, "resize": "squash"}


class Small(nn.Module):
    """Logits of five classes, then `end`."""

    def __init__(self, end=None, classes=5):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, classes)
        self.end = end

    def logits(self, images):
        return 3 * self.head(self.pool(self.act(self.conv(images))).flatten(1))

    def forward(self, images):
        logits = self.logits(images)
        return logits if self.end is None else self.end(logits)


def raw(network, photo=PHOTO):
    """What the network without its end says of the photo, as `READY` shows it to it."""
    with torch.no_grad():
        return network.logits(((photo - 0.5) / 0.5)[None])[0]


# What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_size": 0}, r"input_size=0; a side in pixels, or \(height, width\)"),
        ({"input_size": -8}, "input_size=-8"),
        ({"input_size": (8, 8, 3)}, r"input_size=\(8, 8, 3\) ends with channels"),
        ({"input_size": (8,)}, r"\(8,\) is a signal's.*sl.attribute"),
        ({"input_size": (8, 0)}, r"input_size=\(8, 0\)"),
        ({"input_size": (8.0, 8.0)}, "input_size="),
        ({"input_size": 8.0}, "input_size="),
        ({"input_size": "8"}, "input_size="),
        ({"input_size": None}, "input_size="),
        ({"input_size": True}, "input_size="),
        ({"resize": "stretch"}, "resize='stretch'; possible: 'crop', 'squash', 'pad'"),
        ({"output": "softmax"}, "output='softmax'; possible: auto, logits, probabilities, multilabel, regression"),
        ({"batch_size": 0}, "batch_size=0; it has to be 1 or more"),
        ({"batch_size": "many"}, "batch_size='many'"),
        ({"mean": (0.5, 0.5)}, r"mean=\(0.5, 0.5\) has 2 numbers for 3 channels"),
        ({"mean": 127.5}, r"mean=127.5: it is of pixels in \[0, 1\]; divide one of pixels in 0..255 by 255"),
        ({"mean": "imagenet"}, "mean='imagenet'"),
        ({"mean": float("nan")}, "mean=nan"),
        ({"std": 0}, "std=0: all have to be above zero"),
        ({"std": (0.2, -0.2, 0.2)}, "above zero"),
        ({"std": (0.2,) * 4}, "has 4 numbers for 3 channels"),
        ({"std": float("nan")}, "std=nan"),
        ({"channels": 0}, "channels=0"),
        ({"labels": "cat"}, "labels='cat'"),
        ({"labels": 5}, "labels=5"),
    ],
    ids=repr,
)
def test_an_option_that_makes_no_sense_is_refused_in_words(options, said):
    with pytest.raises(sl.ModelError, match=said):
        sl.wrap(Small(), **{**READY, **options})


def test_an_unknown_option_is_refused_as_python_does():
    with pytest.raises(TypeError, match="input_sise"):
        sl.wrap(Small(), input_sise=8)


@pytest.mark.parametrize("network", [5, None, "torchvision/resnet18", [Small()]])
def test_what_is_neither_a_network_nor_a_function_is_refused(network):
    with pytest.raises(sl.NetworkError, match=r"is neither a torch\.nn\.Module nor a function"):
        sl.wrap(network, **READY)


def test_a_layer_that_does_not_exist_is_refused_with_near_misses():
    with pytest.raises(sl.LayerError, match="no layer named 'convv'; did you mean 'conv'"):
        sl.wrap(Small(), layer="convv", **READY)
    with pytest.raises(sl.LayerError, match="a function has no layers"):
        sl.wrap(lambda images: images.mean((2, 3)), layer="conv", **READY)


def test_labels_of_another_number_than_the_scores_are_refused_when_the_number_is_known():
    model = sl.wrap(Small(), labels=["a", "b", "c"], **READY)
    for ask in (sl.predict, sl.explain):
        with pytest.raises(sl.ModelError, match="3 labels for a network of 5 scores; they have to match"):
            ask(model, PHOTO)


# What is known afterwards -----------------------------------------------------------------------------------


def test_pixels_without_mean_and_std_go_in_as_they_are_and_every_result_says_so():
    model = sl.wrap(Small(), input_size=8, resize="squash")
    assert [one.code for one in model.warnings] == ["not-normalized"]
    with pytest.warns(sl.SightlineWarning, match=r"no mean and std were given: pixels go in as \[0, 1\]"):
        best = sl.predict(model, PHOTO)[0]
    scores = model.network(PHOTO[None]).detach()[0]
    assert best.score == pytest.approx(float(scores.max()), abs=1e-5)
    with pytest.warns(sl.SightlineWarning, match="no mean and std were given"):
        ex = sl.explain(model, PHOTO)
    assert "not-normalized" in [one.code for one in ex.warnings]


def test_with_mean_and_std_nothing_is_said():
    assert sl.wrap(Small(), **READY).warnings == ()
    assert sl.wrap(lambda images: images.mean((2, 3)), input_size=8).warnings == ()


def test_pixels_are_normalized_channel_by_channel():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)
    model = sl.wrap(Small(), input_size=8, mean=mean, std=std, resize="squash")
    tensor, _ = model.tensor(sl.open_photo(PHOTO))
    for channel in range(3):
        assert torch.allclose(tensor[channel], (PHOTO[channel] - mean[channel]) / std[channel], atol=1e-6)


def test_one_of_mean_and_std_is_enough_and_the_other_does_nothing():
    only_mean = sl.wrap(Small(), input_size=8, mean=0.25, resize="squash")
    only_std = sl.wrap(Small(), input_size=8, std=0.25, resize="squash")
    assert torch.allclose(only_mean.tensor(sl.open_photo(PHOTO))[0], PHOTO - 0.25, atol=1e-6)
    assert torch.allclose(only_std.tensor(sl.open_photo(PHOTO))[0], PHOTO / 0.25, atol=1e-6)


def test_a_network_may_take_any_number_of_channels():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = sl.wrap(network, channels=1, input_size=(6, 10), mean=0.5, std=0.5, resize="squash")
    grey = PHOTO[:1, :6].repeat(1, 1, 2)[..., :10]
    ex = sl.explain(model, grey, "saliency")
    assert ex.values.shape == (1, 6, 10)
    assert float(ex.values.abs().max()) > 0


def test_duplicate_labels_never_confuse_and_the_indices_are_the_keys():
    model = sl.wrap(Small(), labels=["crane", "dog", "crane", "cat", "Dog"], **READY)
    answers = sl.predict(model, PHOTO)
    assert sorted((one.index, one.label) for one in answers) == [
        (0, "crane"), (1, "dog"), (2, "crane"), (3, "cat"), (4, "Dog")
    ]  # fmt: skip
    with pytest.raises(sl.TargetError, match=r"'crane' occurs 2 times, at \[0, 2\]; give one of these indices"):
        sl.explain(model, PHOTO, target="crane")
    assert sl.explain(model, PHOTO, target="dog").target == sl.targets.Class(1)
    assert sl.explain(model, PHOTO, target="Dog").target == sl.targets.Class(4)
    assert sl.explain(model, PHOTO, target="CAT").target == sl.targets.Class(3)
    with pytest.raises(sl.TargetError, match=r"'DOG' occurs 2 times, at \[1, 4\]"):
        sl.explain(model, PHOTO, target="DOG")


def test_no_more_images_than_the_batch_size_go_through_at_once():
    seen = []
    network = Small()
    network.register_forward_pre_hook(lambda _m, args: seen.append(len(args[0])))
    photos = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    small, large = sl.wrap(network, batch_size=2, **READY), sl.wrap(Small(), **READY)
    few = [answers[0] for answers in sl.predict(small, photos)]
    assert max(seen) == 2
    many = [answers[0] for answers in sl.predict(large, photos)]
    for a, b in zip(few, many, strict=True):
        assert (a.index, a.score) == (b.index, pytest.approx(b.score, abs=1e-6))
    seen.clear()
    sl.explain(small, photos, ["grad-cam", "smoothgrad"], samples=3)
    assert max(seen) == 2


def test_layers_are_listed_in_the_order_in_which_they_finish():
    assert sl.wrap(Small(), **READY).layers() == ("conv", "act", "pool", "head")
    assert sl.wrap(nn.Sequential(Small(), nn.ReLU()), **READY).layers() == (
        "0.conv", "0.act", "0.pool", "0.head", "0", "1"
    )  # fmt: skip
    assert sl.wrap(lambda images: images.mean((2, 3)), **READY).layers() == ()


def test_a_layer_named_once_is_the_default_and_can_be_overruled():
    model = sl.wrap(Small(), layer="conv", **READY)
    assert model.default_layer == "conv"
    assert sl.explain(model, PHOTO).layer == "conv"
    assert sl.explain(model, PHOTO, layer="act").layer == "act"
    assert sl.wrap(Small(), **READY).default_layer == "act"


def test_a_model_moves_with_its_network_and_comes_back_itself():
    network = Small()
    model = sl.wrap(network, **READY)
    assert model.network is network
    assert model.to("cpu") is model
    assert model.device == torch.device("cpu")
    moved = sl.wrap(Small(), device="cpu", **READY)
    assert moved.device == torch.device("cpu")
    assert sl.wrap(Small(), **READY).to("meta").device == torch.device("meta")


def test_a_model_shows_its_size_its_labels_and_its_way_with_photos():
    assert repr(sl.wrap(Small(), **READY)) == "Model('Small', 8x8, no labels, squash)"
    assert repr(sl.wrap(Small(), input_size=(8, 12), mean=0.5, std=0.5, labels=list("abcde"))) == (
        "Model('Small', 8x12, 5 labels, crop)"
    )
    assert sl.wrap(Small(), **READY).label(3) == "class 3"
    assert sl.wrap(Small(), labels=list("abcde"), **READY).label(3) == "d"


# What the output is taken for -------------------------------------------------------------------------------


class Exponential(nn.Module):
    """A softmax that nobody can see."""

    def forward(self, logits):
        exponentials = logits.exp()
        return exponentials / exponentials.sum(1, keepdim=True)


SOFTMAXES = {
    "module": nn.Softmax(dim=1),
    "functional": lambda logits: F.softmax(logits, 1),
    "torch": lambda logits: torch.softmax(logits, 1),
    "method": lambda logits: logits.softmax(1),
    "negative axis": lambda logits: logits.softmax(-1),
    "log": nn.LogSoftmax(dim=1),
    "functional log": lambda logits: F.log_softmax(logits, dim=1),
}


@pytest.mark.parametrize("end", SOFTMAXES.values(), ids=SOFTMAXES)
def test_a_softmax_at_the_end_is_recognized_and_the_score_before_it_explained(end):
    network, plain = Small(end), Small()
    model = sl.wrap(network, **READY)
    scores = raw(network)
    for one in sl.predict(model, PHOTO):
        assert one.score == pytest.approx(float(scores[one.index]), abs=1e-5)
        assert one.probability == pytest.approx(float(scores.softmax(0)[one.index]), abs=1e-6)
    ex, expected = sl.explain(model, PHOTO, "saliency"), sl.explain(sl.wrap(plain, **READY), PHOTO, "saliency")
    assert ex.score == "logit"
    assert torch.allclose(ex.values, expected.values, atol=1e-6)
    assert float(ex.values.abs().max()) > 0


def test_a_softmax_that_cannot_be_seen_is_explained_on_the_log_probability_and_says_so():
    network = Small(Exponential())
    with pytest.warns(sl.SightlineWarning, match="the log-probability is explained"):
        ex = sl.explain(sl.wrap(network, **READY), PHOTO, "saliency")
    leaf = ((PHOTO - 0.5) / 0.5)[None].requires_grad_()
    logs = network.logits(leaf).log_softmax(1)[0]  # the best of them is the class predicted
    (slope,) = torch.autograd.grad(logs.max(), leaf)
    assert ex.score == "log-probability"
    assert "log-probability" in [one.code for one in ex.warnings]
    assert torch.allclose(ex.values, slope[0], atol=1e-5)
    assert ex.predictions[0].probability == pytest.approx(logs.max().exp().item(), abs=1e-5)


def test_logits_are_taken_for_logits():
    network = Small()
    scores = raw(network)
    for one in sl.predict(sl.wrap(network, **READY), PHOTO):
        assert one.score == pytest.approx(float(scores[one.index]), abs=1e-5)
        assert one.probability == pytest.approx(float(scores.softmax(0)[one.index]), abs=1e-6)


@pytest.mark.parametrize("end", [nn.Sigmoid(), torch.sigmoid, F.sigmoid], ids=["module", "torch", "functional"])
@pytest.mark.parametrize("classes", [1, 5])
def test_a_sigmoid_at_the_end_means_a_probability_for_each_class_by_itself(end, classes):
    network = Small(end, classes)
    scores = raw(network)
    answers = sl.predict(sl.wrap(network, **READY), PHOTO)
    assert [one.index for one in answers] == scores.argsort(descending=True).tolist()
    for one in answers:
        assert one.score == pytest.approx(float(scores[one.index]), abs=1e-5)
        assert one.probability == pytest.approx(float(scores.sigmoid()[one.index]), abs=1e-6)


def test_a_single_number_is_a_regression_without_a_probability():
    network = Small(classes=1)
    (answer,) = sl.predict(sl.wrap(network, **READY), PHOTO)
    assert answer.probability is None
    assert answer.score == pytest.approx(float(raw(network)[0]), abs=1e-5)
    ex = sl.explain(sl.wrap(network, **READY), PHOTO, "saliency")
    assert (ex.target, ex.score) == (sl.targets.Output(0), "output")


@pytest.mark.parametrize(
    ("end", "output", "score", "probability"),
    [
        (None, "logits", lambda z: z, lambda z: z.softmax(0)),
        (None, "multilabel", lambda z: z, lambda z: z.sigmoid()),
        (None, "regression", lambda z: z, None),
        (nn.Softmax(1), "probabilities", lambda z: z, lambda z: z.softmax(0)),
        (nn.Softmax(1), "logits", lambda z: z.softmax(0), lambda z: z.softmax(0).softmax(0)),
        (nn.Softmax(1), "regression", lambda z: z.softmax(0), None),
        (Exponential(), "probabilities", lambda z: z.log_softmax(0), lambda z: z.softmax(0)),
        (nn.Sigmoid(), "multilabel", lambda z: z, lambda z: z.sigmoid()),
        (nn.Sigmoid(), "regression", lambda z: z.sigmoid(), None),
        (nn.Sigmoid(), "logits", lambda z: z.sigmoid(), lambda z: z.sigmoid().softmax(0)),
    ],
)
def test_an_output_that_is_named_is_taken_for_that(end, output, score, probability):
    network = Small(end)
    answers = sl.predict(sl.wrap(network, output=output, **READY), PHOTO, top=5)
    scores = score(raw(network))
    for one in answers:
        assert one.score == pytest.approx(float(scores[one.index]), abs=1e-5)
        if probability is None:
            assert one.probability is None
        else:
            assert one.probability == pytest.approx(float(probability(raw(network))[one.index]), abs=1e-5)
    if output == "regression":
        assert [one.index for one in answers] == [0, 1, 2, 3, 4]


# Black boxes ------------------------------------------------------------------------------------------------


def colours(images):
    """Mean red, green and blue, as NumPy gives them: no gradient."""
    return images.numpy().mean((2, 3))


def test_a_function_that_returns_an_array_predicts():
    photo = torch.zeros(3, 8, 8)
    photo[1], photo[2] = 0.5, 0.25
    answers = sl.predict(sl.wrap(colours, input_size=8, labels=["red", "green", "blue"], resize="squash"), photo)
    assert [(one.index, one.label) for one in answers] == [(1, "green"), (2, "blue"), (0, "red")]
    assert [one.score for one in answers] == pytest.approx([0.5, 0.25, 0.0], abs=0.01)
    softmax = np.exp([0.5, 0.25, 0.0]) / np.exp([0.5, 0.25, 0.0]).sum()
    assert [one.probability for one in answers] == pytest.approx(softmax.tolist(), abs=0.01)


def test_a_function_gets_pixels_between_zero_and_one_in_batches():
    seen = []

    def scores(images):
        seen.append((tuple(images.shape[1:]), images.dtype, float(images.min()), float(images.max())))
        return images.mean((2, 3))

    sl.predict(sl.wrap(scores, input_size=(8, 12), resize="squash"), [np.full((9, 9, 3), 255, np.uint8)] * 3)
    for shape, dtype, least, most in seen:
        assert (shape, dtype) == ((3, 8, 12), torch.float32)
        assert 0 <= least <= most <= 1


def test_a_functions_probabilities_are_recognized_and_kept():
    def shares(images):
        means = images.numpy().mean((2, 3)) + 0.1
        return means / means.sum(1, keepdims=True)

    photo = torch.zeros(3, 8, 8)
    photo[1] = 0.8
    best = sl.predict(sl.wrap(shares, input_size=8, resize="squash"), photo)[0]
    assert (best.index, best.probability) == (1, pytest.approx(0.9 / 1.1, abs=0.01))


@pytest.mark.parametrize("method", [one.id for one in sl.methods() if "gradients" in one.needs])
def test_a_method_that_needs_gradients_says_so_to_a_black_box(method):
    model = sl.wrap(colours, input_size=8, resize="squash")
    with pytest.raises(sl.MethodError, match=r"gradients.*black box"):
        sl.explain(model, PHOTO, method)
    with pytest.raises(sl.MethodError, match=r"gradients.*black box"):
        sl.attribute(colours, PHOTO[None], 1, method)


def test_a_black_box_is_explained_by_rise_unless_told_otherwise():
    model = sl.wrap(colours, input_size=8, resize="squash")
    ex = sl.explain(model, PHOTO, samples=16)
    assert ex.method == "rise"
    assert ex.passes == (16, 0)
    heat = sl.attribute(colours, PHOTO[None], ex.target, samples=16)
    assert torch.allclose(heat.values[0], ex.values)


def test_a_function_of_tensors_that_can_be_differentiated_gets_its_saliency():
    weights = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def linear(images):
        return torch.einsum("nchw,kchw->nk", images, weights)

    ex = sl.explain(sl.wrap(linear, input_size=8, resize="squash"), PHOTO, target=2)
    assert ex.method == "saliency"
    assert torch.allclose(ex.values, weights[2], atol=1e-6)


def test_a_layer_method_says_that_a_function_has_no_layer():
    model = sl.wrap(lambda images: images.mean((2, 3)), input_size=8, resize="squash")
    with pytest.raises(sl.SightlineError, match="layer"):
        sl.explain(model, PHOTO, "grad-cam")


@pytest.mark.parametrize(
    "answer",
    [
        lambda images: "a cat",
        lambda images: None,
        lambda images: torch.zeros(len(images) + 1, 3),
        lambda images: torch.zeros(3),
        lambda images: torch.zeros(len(images), 3, dtype=torch.long),
        lambda images: {},
    ],
)
def test_a_function_that_gives_no_scores_is_refused(answer):
    with pytest.raises(sl.NetworkError, match=r"the network returned|scores"):
        sl.predict(sl.wrap(answer, input_size=8), [PHOTO, PHOTO])


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(sl.NetworkError, match="NaN or infinite"):
        sl.predict(sl.wrap(lambda images: images.mean((2, 3)) / 0, input_size=8), PHOTO)


def test_an_error_inside_a_function_reaches_the_user():
    def fails(images):
        raise ZeroDivisionError("in my own code")

    with pytest.raises(ZeroDivisionError, match="in my own code"):
        sl.predict(sl.wrap(fails, input_size=8), PHOTO)
