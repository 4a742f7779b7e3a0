"""The same weights in Keras and in torch give the same answers and the same maps."""

import gallery
import pytest
import torch

import sightline as sl

MAPS = {
    "saliency": {},
    "integrated-gradients": {"steps": 8},
    "grad-cam": {},
    "guided-backprop": {},
    "occlusion": {"window": 64, "stride": 64},
}
PEOPLE = {"accordion_map", "boy_backpack", "dirk", "vince"}  # without a person: the kitten and the can opener


def keras_model(file, **options):
    return sl.load(gallery.DATA / "models" / file, **options)


@pytest.fixture(scope="module")
def mobilenet(data):
    return keras_model("mobilenet_v1_075_192.keras", mean=0.5, std=0.5, labels=gallery.labels(), resize="squash")


def cosine(one, other):
    return float(torch.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0))


def test_keras_and_torch_give_the_same_scores_and_probabilities(mobilenet, model, photos):
    twin = model(gallery.V1)
    for photo in photos.values():
        for one, other in zip(sl.predict(mobilenet, photo, 5), sl.predict(twin, photo, 5), strict=True):
            assert (one.index, one.label) == (other.index, other.label)
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert one.probability == pytest.approx(other.probability, abs=1e-5)


@pytest.mark.filterwarnings("ignore::sightline.core.errors.SightlineWarning")
@pytest.mark.parametrize("name", ["dirk", "kitten"])
@pytest.mark.parametrize("method", MAPS)
def test_keras_and_torch_give_the_same_map(mobilenet, model, photos, method, name):
    options = MAPS[method]
    one = sl.explain(mobilenet, photos[name], method, **options).values
    other = sl.explain(model(gallery.V1), photos[name], method, **options).values
    assert one.shape == other.shape
    assert cosine(one, other) > 0.9999
    assert float((one - other).abs().max()) < 6e-3 * float(other.abs().max())


def test_the_default_layer_is_the_last_activation_before_the_pooling(mobilenet):
    assert mobilenet.default_layer == "conv_pw_13_relu"
    assert mobilenet.layers()[-1] == "predictions"


def test_a_softmax_inside_the_last_dense_layer_is_explained_before_it(photos, model):
    fused = keras_model("mobilenet_v2_100_224.keras", mean=0.5, std=0.5, resize="squash")
    assert (fused.readout.final, fused.readout.score) == ("softmax", "logit")
    dense = fused.network.inner.get_layer("predictions")
    before = []
    found = sl.predict(fused, photos["dirk"], top=1000)
    images, _ = fused.tensor(sl.open_photo(photos["dirk"]))
    pool = fused.network.get_submodule("global_average_pooling2d")
    with pool.register_forward_hook(lambda _layer, _given, put_out: before.append(put_out)):
        fused.network(images[None])
    logits = before[0] @ dense.kernel.value + dense.bias.value
    scores = torch.tensor([one.score for one in sorted(found, key=lambda one: one.index)])
    torch.testing.assert_close(scores, logits[0].detach(), rtol=0, atol=1e-4)
    twin = sl.predict(model(gallery.V2), photos["dirk"], top=1)[0]  # its weights are rounded to float16
    assert found[0].index == twin.index
    assert found[0].score == pytest.approx(twin.score, rel=0.01)


def test_an_hdf5_file_that_takes_raw_pixels_answers_as_keras_does(photos):
    found = keras_model("pretrainedResnet.h5", mean=0, std=1 / 255, resize="squash")
    assert found.input_size == (32, 32)
    photo = sl.open_photo(photos["kitten"])
    images, _ = found.tensor(photo)
    assert float(images.max()) > 100
    own = found.network.inner(images[None].movedim(1, -1), training=False)[0].detach()
    answers = sl.predict(found, photos["kitten"], top=10)
    for one in answers:
        assert one.probability == pytest.approx(float(own[one.index]), abs=1e-6)
    heat = sl.explain(found, photos["kitten"], "grad-cam")
    assert heat.values.shape == (1, 32, 32)
    assert float(heat.values.abs().max()) > 0


def test_the_person_detector_sees_people_in_the_photos_where_they_are(photos):
    found = keras_model("vww_96.keras", mean=0, std=1, labels=["no person", "person"], resize="squash")
    for name in PEOPLE:
        assert sl.predict(found, photos[name], top=1)[0].label == "person"
    for name in ("kitten", "can_opener"):
        assert sl.predict(found, photos[name], top=1)[0].label == "no person"
