"""What a user does with Keras on another backend than torch's; run as a program, one backend for each process."""

import os
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

SIZE, CLASSES = 16, 5


def main(backend):
    os.environ["KERAS_BACKEND"] = backend
    if backend == "tensorflow":
        import tensorflow  # noqa: F401 - first, as its users do
    beside_files_first(backend)
    import keras

    assert keras.backend.backend() == backend
    copied(keras)
    trained_on(keras)
    own_layers(keras)
    differing(keras)
    shared_and_normalized(keras)
    assert keras.backend.backend() == backend
    assert all(not name.startswith("_sightline") for name in dir(keras))
    print("all well")  # noqa: T201


class NoTensorFlow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def network(keras):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(6, 3, activation="relu", bias_initializer="random_normal", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(8, 3, activation="relu6", name="last"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax", bias_initializer="random_normal", name="scores"),
        ]
    )


def photo(seed=0):
    import torch

    return torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def own_answer(keras, model, image):
    return np.asarray(keras.ops.convert_to_numpy(model(image.permute(1, 2, 0)[None].numpy(), training=False)))[0]


def answers(model, image, what="probability"):
    import sightline as sl

    return np.array([getattr(one, what) for one in sorted(sl.predict(model, image, 99), key=lambda one: one.index)])


def wrapped(model, **options):
    import sightline as sl

    return sl.wrap(model, mean=0, std=1, resize="squash", **options)


def settings():
    return {name: value for name, value in os.environ.items() if name.startswith(("KERAS", "TF_"))}


def beside_files_first(backend):
    """A file is loaded before the user's Keras is imported, which then has the backend of their choice."""
    import sightline as sl
    from sightline.models.keras_import import PRIVATE, torch_keras

    before = settings()
    beside = torch_keras()
    assert settings() == before
    assert (beside.__name__, beside.backend.backend()) == (PRIVATE, "torch")
    assert backend == "tensorflow" or not {"keras", "jax"} & set(sys.modules)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.keras"
        network(beside).save(path)
        model = sl.load(path, mean=0, std=1, resize="squash")
        sl.explain(model, photo(), ["grad-cam", "guided-backprop"])
        if backend != "tensorflow":
            sys.meta_path.insert(0, NoTensorFlow)  # else the user's Keras looks for it, which takes seconds
        import keras

        same = keras.saving.load_model(path)  # and the user's Keras reads what the other one has written
        np.testing.assert_allclose(answers(model, photo()), own_answer(keras, same, photo()), atol=1e-5)
        same.save(path)
        np.testing.assert_allclose(
            answers(sl.load(path, mean=0, std=1, resize="squash"), photo()), answers(model, photo()), atol=1e-6
        )


def copied(keras):
    """All methods work on a copy that answers as the original."""
    import sightline as sl

    keras_model = network(keras)
    model = wrapped(keras_model)
    assert (model.input_size, model.channels, model.warnings) == ((SIZE, SIZE), 3, ())
    assert model.layers()[:3] == ("conv", "norm", "last")
    assert model.readout.final == "softmax"
    np.testing.assert_allclose(answers(model, photo()), own_answer(keras, keras_model, photo()), atol=1e-5)
    found = sl.explain(model, photo(), ["saliency", "grad-cam", "guided-backprop", "occlusion"], layer="last")
    assert all(float(found[name].values.abs().max()) > 0 for name in found)
    heat = sl.attribute(keras_model, photo()[None], method="grad-cam", layer="last")
    np.testing.assert_allclose(heat.values[0], found["grad-cam"].values, atol=1e-6)


def trained_on(keras):
    """The copy follows its original; what reads it in another thread finds its own Keras."""
    keras_model = network(keras)
    model = wrapped(keras_model)
    first = answers(model, photo())
    keras_model.compile("sgd", "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).random((8, SIZE, SIZE, 3), dtype=np.float32)
    failed = []

    def explaining():
        try:
            for _ in range(10):
                answers(model, photo())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=explaining)
    thread.start()
    keras_model.fit(images, np.arange(8) % CLASSES, epochs=5, verbose=0)
    thread.join()
    assert not failed, failed
    now = own_answer(keras, keras_model, photo())
    assert np.abs(now - first).max() > 1e-3
    np.testing.assert_allclose(answers(model, photo()), now, atol=1e-5)


def own_layers(keras):
    """What cannot be copied is asked by way of its own backend; layer methods say why they cannot."""
    import sightline as sl

    @keras.saving.register_keras_serializable("ours")
    class Twice(keras.layers.Layer):
        def call(self, images):
            return keras.ops.relu(2 * images)

    layers = keras.layers
    given = keras.Input((SIZE, SIZE, 3))
    maps = Twice()(layers.Conv2D(6, 3)(given))
    keras_model = keras.Model(given, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(maps)))
    model = wrapped(keras_model)
    (remark,) = model.warnings
    assert remark.code == "no-copy", remark
    assert "Could not locate class 'Twice'" in remark.message, remark
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(
            answers(model, photo(), "score"), own_answer(keras, keras_model, photo()), atol=1e-5
        )
        found = sl.explain(model, photo(), ["saliency", "integrated-gradients", "occlusion", "rise"], target=1)
    assert all(float(found[name].values.abs().max()) > 0 for name in found)
    assert found["integrated-gradients"].gap < 0.05
    with pytest.raises(sl.MethodError, match="cannot be copied to the torch backend"):
        sl.explain(model, photo(), "grad-cam")
    keras_model.layers[1].kernel.assign(2 * keras_model.layers[1].kernel)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(
            answers(model, photo(), "score"), own_answer(keras, keras_model, photo()), atol=1e-5
        )


def differing(keras):
    """A copy that answers otherwise is not used."""
    from sightline.models import keras_live

    keras_model = network(keras)
    right = keras_live._catch_up
    keras_live._catch_up = lambda *_given: None
    try:
        (remark,) = wrapped(keras_model).warnings
    finally:
        keras_live._catch_up = right
    assert "its copy on the torch backend answers" in remark.message, remark


def shared_and_normalized(keras):
    """A layer used twice stays one; a Normalization that was adapted is copied with what it has learned."""
    layers = keras.layers
    images = np.random.default_rng(1).random((8, SIZE, SIZE, 3), dtype=np.float32)
    normal = layers.Normalization()
    normal.adapt(5 * images + 2)
    twice = layers.Conv2D(3, 3, padding="same", activation="relu", name="twice")
    given = keras.Input((SIZE, SIZE, 3))
    maps = twice(twice(normal(given)) + 1.0)
    keras_model = keras.Model(given, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(maps)))
    model = wrapped(keras_model)
    assert model.warnings == (), model.warnings
    np.testing.assert_allclose(answers(model, photo(), "score"), own_answer(keras, keras_model, photo()), atol=1e-4)


if __name__ == "__main__":
    main(sys.argv[1])
