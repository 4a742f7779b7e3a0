"""keras.applications: every network by name, shown photos as its own `preprocess_input` has them."""

import random
import warnings

import numpy as np
import pytest
import torch
from keras_nets import KERAS, photo

import sightline as sl
from sightline.models.keras_applications import names, preprocessing

SMALL = "MobileNetV3Small"
FAMILIES = {
    "VGG16": "caffe", "ResNet50": "caffe", "ResNet50V2": "tf", "MobileNet": "tf", "MobileNetV2": "tf",
    "Xception": "tf", "InceptionV3": "tf", "InceptionResNetV2": "tf", "NASNetMobile": "tf", "DenseNet121": "torch",
    "MobileNetV3Small": "its own", "EfficientNetB0": "its own", "EfficientNetV2B0": "its own",
    "ConvNeXtTiny": "its own",
}  # fmt: skip


def own(name):
    return getattr(KERAS.applications, name).__globals__["preprocess_input"]


@pytest.mark.parametrize("name", names(KERAS))
def test_every_network_is_shown_what_its_own_preprocessing_makes_of_a_photo(name):
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 5, 6, 3))
    flip, mean, std = preprocessing(own(name))
    ours = (pixels / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(ours[..., ::-1] if flip else ours, own(name)(pixels.copy()), atol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_preprocessing_is_of_the_kind_that_keras_documents(name):
    flip, mean, std = preprocessing(own(name))
    expected = {
        "caffe": (True, [123.68 / 255, 116.779 / 255, 103.939 / 255], [1 / 255] * 3),
        "tf": (False, [0.5] * 3, [0.5] * 3),
        "torch": (False, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        "its own": (False, [0.0] * 3, [1 / 255] * 3),
    }[FAMILIES[name]]
    assert flip == expected[0]
    np.testing.assert_allclose((mean, std), expected[1:], atol=1e-12)


def test_a_photo_gets_the_probabilities_of_keras_own_steps():
    model = sl.load("keras/ResNet50", weights=None)  # flipped to BGR
    image = photo(3, 224, 224)
    pixels = own("ResNet50")(255 * image.permute(1, 2, 0)[None].numpy())
    with torch.no_grad():
        expected = model.network.inner(torch.from_numpy(np.ascontiguousarray(pixels)), training=False)[0]
    for answer in sl.predict(model, image, top=20):
        assert answer.probability == pytest.approx(float(expected[answer.index]), rel=1e-4)
    assert model.readout.final == "softmax"


def test_a_network_by_name_knows_its_size_labels_and_layers():
    model = sl.load("keras/MobileNet", weights=None)
    assert (model.input_size, model.geometry.resize, len(model.labels)) == ((224, 224), "squash", 1000)
    assert (model.labels[281], model.labels[0]) == ("tabby", "tench")
    assert model.default_layer == "conv_pw_13_relu"
    assert sl.explain(model, photo(3, 224, 224), "saliency", target="tabby").values.shape == (3, 224, 224)
    assert repr(model) == "Model('keras/MobileNet', 224x224, 1000 labels, squash)"


def test_random_weights_are_the_same_each_time_and_nothing_global_moves():
    random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), torch.random.get_rng_state()
    counts = KERAS.backend.get_uid("conv2d")
    one, other = (sl.load("keras/InceptionV3", weights=None) for _ in range(2))
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert KERAS.backend.get_uid("conv2d") == counts + 1
    assert [name for name, _ in one.network.named_modules()] == [name for name, _ in other.network.named_modules()]
    assert "conv2d_93" in dict(one.network.named_modules())
    same = zip(one.network.parameters(), other.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_an_unknown_name_has_near_misses_and_options_do_not_apply():
    with pytest.raises(sl.ModelError, match="no 'resnet50'; did you mean 'ResNet50'"):
        sl.load("keras/resnet50")
    with pytest.raises(sl.ModelError, match=r"keras/VGG16 brings its own preprocessing; \['mean'\] do not apply"):
        sl.load("keras/VGG16", weights=None, mean=0.5)
    with pytest.raises(sl.ModelError, match="has no weights 'noisy'; possible: 'imagenet', None, or a file"):
        sl.load("keras/VGG16", weights="noisy")


@pytest.mark.parametrize("weights", ["default", "imagenet"])
def test_weights_that_cannot_be_fetched_name_the_offline_alternative(weights, monkeypatch, capsys):
    def offline(*_given, **_named):
        raise OSError("URL fetch failure")

    monkeypatch.setattr(KERAS.src.utils.file_utils, "get_file", offline)
    with pytest.raises(sl.ModelError, match=r"keras/MobileNetV3Small are not at hand .* the embedded model 'demo'"):
        sl.load(f"keras/{SMALL}", weights=weights)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".keras"])
def test_weights_come_from_a_file(tmp_path, ending):
    keras = getattr(KERAS.applications, SMALL)(weights=None)
    path = tmp_path / f"mine{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras', on NumPy and its own old format
        (keras.save_weights if ending == ".weights.h5" else keras.save)(path)
    model = sl.load(f"keras/{SMALL}", weights=path)
    for one, other in zip(model.network.inner.weights, keras.weights, strict=True):
        assert torch.equal(one.value, other.value)
    with pytest.raises(
        sl.ModelError, match=f"mine{ending} does not fit keras/MobileNetV2: .*(shape|Layer count).* sl.load"
    ):
        sl.load("keras/MobileNetV2", weights=path)


@pytest.mark.parametrize("weights", [None, "default"])
def test_a_network_that_keras_has_not_for_torch_says_so(weights):
    with pytest.raises(sl.ModelError, match=r"keras/NASNetMobile cannot be made: .* not available with the torch"):
        sl.load("keras/NASNetMobile", weights=weights)


def test_a_missing_file_of_weights_is_an_error(tmp_path):
    with pytest.raises(sl.ModelError, match="no weights file"):
        sl.load(f"keras/{SMALL}", weights=tmp_path / "none.weights.h5")
