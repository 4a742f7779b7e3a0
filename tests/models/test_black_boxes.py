"""What only answers: functions of arrays and of anything else, endpoints, and scikit-learn's estimators."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, NuSVR

import sightline as sl

PHOTO = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
READY = {"input_size": 8, "resize": "squash"}


def means(images):
    """Mean red, green and blue of arrays (N, C, h, w)."""
    assert isinstance(images, np.ndarray)
    return images.mean((2, 3))


def test_a_numpy_function_gets_arrays_of_its_own():
    def greedy(images):
        scores = means(images)
        images[:] = 7
        return scores

    expected = sl.attribute(lambda images: images.mean((2, 3)), PHOTO[None], 1, "occlusion").values
    photo = PHOTO.clone()
    for function in (means, greedy):
        model = sl.wrap(function, backend="numpy", **READY)
        assert torch.allclose(sl.attribute(model, photo[None], 1, "occlusion").values, expected, atol=1e-6)
        assert torch.equal(photo, PHOTO)
    last = sl.wrap(lambda images: images.mean((1, 2)), backend="numpy", layout="NHWC", **READY)
    assert torch.allclose(sl.attribute(last, PHOTO[None], 1, "occlusion").values, expected, atol=1e-6)


def test_a_torch_function_that_changes_its_input_changes_its_own():
    def greedy(images):
        scores = images.mean((2, 3))
        images.mul_(0)
        return scores

    photo = PHOTO.clone()
    expected = sl.attribute(lambda images: images.mean((2, 3)), PHOTO[None], 1, "occlusion").values
    assert torch.equal(sl.attribute(greedy, photo[None], 1, "occlusion").values, expected)
    assert torch.equal(photo, PHOTO)


ANSWERS = {
    "float64": lambda scores: scores.astype(np.float64),
    "float16": lambda scores: scores.astype(np.float16),
    "percentages": lambda scores: (100 * scores).astype(int),
    "lists": lambda scores: scores.tolist(),
    "a list of arrays": list,
    "names and scores": lambda scores: [dict(zip("rgb", row.tolist(), strict=True)) for row in scores],
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_scores_may_come_as_arrays_lists_and_dictionaries(answer):
    model = sl.wrap(lambda images: ANSWERS[answer](means(images)), backend="numpy", **READY)
    photo = torch.zeros(3, 8, 8)
    photo[1], photo[2] = 0.75, 0.5
    answers = sl.predict(model, [photo, photo.flip(0)])
    assert [[one.index for one in each] for each in answers] == [[1, 2, 0], [1, 0, 2]]


def test_rows_of_names_and_scores_may_come_best_first():
    def endpoint(images):
        rows = [dict(zip("rgb", row.tolist(), strict=True)) for row in means(images)]
        return [dict(sorted(row.items(), key=lambda pair: -pair[1])) if at else row for at, row in enumerate(rows)]

    model = sl.wrap(endpoint, backend="numpy", **READY)
    photo = torch.zeros(3, 8, 8)
    photo[1], photo[2] = 0.75, 0.5
    assert [[one.index for one in each] for each in sl.predict(model, [photo, photo])] == [[1, 2, 0], [1, 2, 0]]


def test_classes_instead_of_scores_are_refused_in_words():
    with pytest.raises(sl.NetworkError, match="one whole number per image: a class"):
        sl.predict(sl.wrap(lambda images: means(images).argmax(1), backend="numpy", **READY), PHOTO)


def test_an_endpoint_is_asked_in_batches_and_its_own_error_comes_through_with_a_note():
    asked = []

    def endpoint(images):
        asked.append(len(images))
        if len(asked) > 9:
            raise ConnectionError("the endpoint is gone")
        return means(images)

    model = sl.wrap(endpoint, backend="numpy", batch_size=4, **READY)
    with pytest.raises(ConnectionError, match="the endpoint is gone") as caught:
        sl.explain(model, PHOTO, "rise", samples=64)
    assert any("raised this for images (4, 3, 8, 8)" in note for note in caught.value.__notes__)
    assert max(asked) <= 4


def test_a_function_of_other_arrays_is_told_of_backends():
    with pytest.raises(TypeError) as caught:
        sl.predict(sl.wrap(lambda images: jnp.mean(images, (2, 3)), **READY), PHOTO)
    assert any("backend='jax', 'tensorflow' or 'numpy'" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "smoothgrad", "grad-cam"])
def test_methods_that_cannot_be_had_name_those_that_can(method):
    remain = ", ".join(one.id for one in sl.methods() if not one.needs)
    with pytest.raises(sl.MethodError, match=f"black box.* Possible here: {remain}"):
        sl.explain(sl.wrap(means, backend="numpy", **READY), PHOTO, method)


# scikit-learn -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return found.data, found.target


ESTIMATORS = {
    "logistic": LogisticRegression(max_iter=50, tol=1e-2),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=50, tol=1e-2)),
    "forest": RandomForestClassifier(10, random_state=0),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_predicts_as_it_does_by_itself(digits, name):
    pixels, classes = digits
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    estimator = ESTIMATORS[name].fit(pixels[:600], names[classes[:600]])
    model = sl.wrap(estimator, std=1 / 16, mean=0.0)  # the digits' pixels are from 0 to 16
    assert (model.input_size, model.channels) == ((8, 8), 1)
    assert model.labels == tuple(sorted(names))
    photo = torch.tensor(pixels[700] / 16, dtype=torch.float32).view(1, 8, 8)
    expected = dict(zip(estimator.classes_, estimator.predict_proba(pixels[700:701])[0], strict=True))
    best = sl.predict(sl.wrap(estimator, std=1 / 16, mean=0.0, resize="squash"), photo, top=3)
    for one in best:
        assert one.probability == pytest.approx(expected[one.label], abs=1e-4)
    with pytest.warns(sl.SightlineWarning, match="log-probability"):
        ex = sl.explain(model, photo, samples=50)
    assert (ex.method, ex.values.shape) == ("rise", (1, 8, 8))
    with pytest.raises(sl.MethodError, match=r"black box.*Possible here: occlusion, rise"):
        sl.explain(model, photo, "saliency")


def test_occlusion_of_a_linear_estimator_is_weight_times_pixel(digits):
    pixels, classes = digits
    estimator = LinearSVC(C=1e-4, random_state=0).fit(pixels[:300], classes[:300])
    model = sl.wrap(estimator, std=1 / 16, mean=0.0)
    images = torch.tensor(pixels[400:402], dtype=torch.float32).view(2, 1, 8, 8)
    heat = sl.attribute(model, images, 3, "occlusion", window=1, stride=1, fill="black")
    expected = torch.tensor(estimator.coef_[3], dtype=torch.float32).view(8, 8) * images[:, 0]
    assert torch.allclose(heat.values[:, 0], expected, atol=1e-3 * float(expected.abs().max()))
    assert model.labels is None  # whose classes are numbers


def test_two_classes_by_one_number(digits):
    pixels, classes = digits
    two = classes < 2
    estimator = RidgeClassifier().fit(pixels[two], classes[two])
    model = sl.wrap(estimator, std=1 / 16, mean=0.0, resize="squash")
    photo = torch.tensor(pixels[two][1] / 16, dtype=torch.float32).view(1, 8, 8)
    expected = 1 / (1 + np.exp(-estimator.decision_function(pixels[two][1:2])[0]))
    probability = {one.index: one.probability for one in sl.predict(model, photo)}
    assert probability[1] == pytest.approx(float(expected), abs=1e-4)


def test_several_labels_and_regressions(digits):
    pixels, classes = digits
    labels = np.stack([classes % 2, classes > 4], 1)
    several = MultiOutputClassifier(RandomForestClassifier(5, random_state=0)).fit(pixels, labels)
    model = sl.wrap(several, std=1 / 16, mean=0.0, resize="squash", output="multilabel")
    photo = torch.tensor(pixels[7] / 16, dtype=torch.float32).view(1, 8, 8)
    found = {one.index: one.probability for one in sl.predict(model, photo)}
    assert found[0] == pytest.approx(float(several.predict_proba(pixels[7:8])[0][0, 1]), abs=1e-5)
    for regressor in (LinearRegression(), NuSVR(C=1)):
        model = sl.wrap(regressor.fit(pixels[:200], classes[:200]), std=1 / 16, mean=0.0, resize="squash")
        (one,) = sl.predict(model, photo)
        assert one.score == pytest.approx(float(regressor.predict(pixels[7:8])[0]), abs=1e-3)
        assert one.probability is None


def test_colours_are_channels_last_as_scikit_learn_flattens_images():
    pixels = np.random.default_rng(0).random((60, 6 * 6 * 3))
    green = (pixels.reshape(60, 6, 6, 3)[..., 1].mean((1, 2)) > 0.5).astype(int)
    model = sl.wrap(CalibratedClassifierCV(LogisticRegression(), cv=2).fit(pixels, green))
    assert (model.input_size, model.channels) == ((6, 6), 3)
    image = torch.tensor(pixels[:1].reshape(1, 6, 6, 3), dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        ours = model.network(image)
    assert ours[0, 1] == pytest.approx(0.5, abs=0.5)
    rows = image.permute(0, 2, 3, 1).flatten(1).numpy()
    assert np.allclose(rows, pixels[:1], atol=1e-6)


def test_an_estimator_without_scores_and_one_that_is_not_fitted():
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.svm import SVC

    with pytest.raises(sl.ModelError, match="has neither predict_proba nor decision_function"):
        sl.wrap(AgglomerativeClustering(), input_size=8)
    with pytest.raises(sl.ModelError, match=r"SVC has an unknown input size|unknown input size"):
        sl.wrap(SVC())
    model = sl.wrap(SVC(), input_size=8, channels=1)
    with pytest.raises(Exception, match="not fitted yet"):
        sl.predict(model, PHOTO[:1])


def test_both_of_two_classes_have_a_score_that_moves(digits):
    pixels, classes = digits
    two = classes < 2
    model = sl.wrap(RidgeClassifier().fit(pixels[two], classes[two]), std=1 / 16, mean=0.0, resize="squash")
    photo = torch.tensor(pixels[two][1] / 16, dtype=torch.float32).view(1, 8, 8)
    zero, one = (sl.explain(model, photo, "occlusion", target=which).map for which in (0, 1))
    assert np.abs(zero).max() > 0
    assert np.allclose(zero, -one)


def test_clusters_are_no_scores(digits):
    from sklearn.cluster import KMeans

    with pytest.raises(sl.ModelError, match="KMeans has neither predict_proba nor decision_function"):
        sl.wrap(KMeans(2, n_init=1).fit(digits[0][:20]))
