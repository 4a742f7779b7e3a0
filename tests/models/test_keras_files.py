"""Keras' files: loaded as they were saved, and hostile or damaged ones refused before Keras reads them."""

import io
import json
import pickle
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from keras_nets import KERAS, L, asked, photo, pooled, seeded, stacked

import sightline as sl

RAW = {"mean": 0, "std": 1, "resize": "squash"}


def saved(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras', on NumPy and its own old format
        model.save(path)
    return path


def rewritten(path, change):
    """A .keras file again, its configuration changed by a function; its weights stay."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    parts["config.json"] = json.dumps(change(config) or config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def rewritten_hdf5(path, change):
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(change(config) or config)
    return path


def small():
    return pooled(L.Conv2D(2, 3, activation="relu", name="conv"))


def files(tmp_path, name="model"):
    return [saved(small(), tmp_path / f"{name}{ending}") for ending in (".keras", ".h5")]


def conv_of(config):
    return next(one for one in config["config"]["layers"] if one["class_name"] == "Conv2D")


# Honest files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
def test_a_file_answers_as_the_model_that_was_saved(tmp_path, ending):
    keras = small()
    model = sl.load(saved(keras, tmp_path / f"model{ending}"), **RAW)
    assert (model.input_size, model.channels, model.mean) == ((16, 16), 3, (0.0, 0.0, 0.0))
    assert model.layers() == ("conv", keras.layers[1].name, "scores")
    with torch.no_grad():
        torch.testing.assert_close(model.network(photo()[None]), asked(keras, photo()[None]))


def test_a_file_takes_the_options_of_wrap(tmp_path):
    path = files(tmp_path)[0]
    model = sl.load(path, mean=0.5, std=0.5, labels=list("abcde"), output="logits")
    assert (model.mean, model.labels, model.output) == ((0.5,) * 3, tuple("abcde"), "logits")
    assert sl.load(path).warnings[0].code == "not-normalized"
    with pytest.raises(sl.ModelError, match="no option 'men'; did you mean 'mean'"):
        sl.load(path, men=0.5)
    with pytest.raises(sl.ModelError, match="brings its own weights"):
        sl.load(path, weights=None)


def test_sides_that_a_file_leaves_open_need_a_size(tmp_path):
    path = saved(pooled(L.Conv2D(2, 3), shape=(None, None, 3)), tmp_path / "open.keras")
    with pytest.raises(sl.ModelError, match="unknown input size; give input_size=224"):
        sl.load(path, **RAW)
    assert sl.load(path, input_size=20, **RAW).input_size == (20, 20)


def test_a_compiled_model_is_loaded_without_its_loss_of_another_module(tmp_path):
    keras = small()
    keras.compile("sgd", loss=lambda truth, answer: KERAS.ops.mean(answer - truth))
    for path in (tmp_path / "model.keras", tmp_path / "model.h5"):
        assert sl.load(saved(keras, path), **RAW).input_size == (16, 16)


def test_layers_that_the_user_has_registered_load(tmp_path):
    @KERAS.saving.register_keras_serializable("ours")
    class Doubled(L.Layer):
        def call(self, images):
            return 2 * images

    try:
        paths = [saved(pooled(Doubled(), L.Conv2D(2, 3)), tmp_path / f"own{ending}") for ending in (".keras", ".h5")]
        for path in paths:
            assert "doubled" in sl.load(path, **RAW).layers()[0]
    finally:
        del KERAS.saving.get_custom_objects()["ours>Doubled"]
    with pytest.raises(sl.ModelError, match=r"own.keras holds .*Doubled in the layer 'doubled'"):
        sl.load(paths[0], **RAW)
    with pytest.raises(sl.ModelError, match="has to be registered first"):
        sl.load(paths[1], **RAW)


def test_every_kind_of_layer_that_networks_are_made_of_passes(tmp_path):
    given = KERAS.Input((16, 16, 3))
    branch = L.Conv2D(4, 3, padding="same", kernel_regularizer=KERAS.regularizers.L2(1e-3))(given)
    branch = L.Activation(KERAS.ops.relu6)(L.BatchNormalization()(branch)) + L.ReLU(6.0)(branch)
    branch = L.TimeDistributed(L.Dense(4, activation="gelu", kernel_constraint="unit_norm"))(branch)
    tokens = L.Reshape((256, 4))(KERAS.ops.abs(branch))
    tokens = L.MultiHeadAttention(2, 2)(tokens, tokens)
    inner = KERAS.Sequential([KERAS.Input((256, 4)), L.Bidirectional(L.LSTM(3)), L.Dropout(0.1)])
    keras = seeded(KERAS.Model(given, L.Dense(3, activation="softmax")(inner(tokens))))
    model = sl.load(saved(keras, tmp_path / "many.keras"), **RAW)
    with torch.no_grad():
        torch.testing.assert_close(model.network(photo()[None]), asked(keras, photo()[None]))


# Code in files ------------------------------------------------------------------------------------------------


class Marks:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_lambda_layer_is_refused_and_runs_only_if_it_is_allowed(tmp_path, ending):
    marks = eval(f"lambda images: (open({str(tmp_path / 'marker')!r}, 'w').close(), images)[1]")
    code = L.Lambda(marks, name="hidden")
    path = saved(pooled(L.TimeDistributed(L.Dense(2)), code), tmp_path / f"model{ending}")
    (tmp_path / "marker").unlink()
    with pytest.raises(sl.ModelError, match="holds the Lambda layer 'hidden', which can run any code") as refused:
        sl.load(path, **RAW)
    assert "allow_code_execution=True" in str(refused.value)
    assert not (tmp_path / "marker").exists()
    sl.predict(sl.load(path, allow_code_execution=True, **RAW), photo())
    assert (tmp_path / "marker").exists()


def in_an_inner_model(part):
    """A configuration that holds `part` deep inside."""

    def change(config):
        conv_of(config)["config"]["kernel_initializer"] = {"class_name": "Zeros", "config": {"deep": [{"er": part}]}}

    return change


STRANGERS = {
    "a function of another module": (
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
        r"holds os.system in the layer 'conv', no building block of Keras, which can run any code",
    ),
    "a class of another module": (
        {"module": "subprocess", "class_name": "Popen", "config": {"args": "true"}},
        "holds subprocess.Popen in the layer 'conv'",
    ),
    "a download": (
        {"module": "keras.utils", "class_name": "function", "config": "get_file"},
        "holds keras.utils.get_file in the layer 'conv'",
    ),
    "a switch that allows more": (
        {"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization"},
        "holds keras.config.enable_unsafe_deserialization",
    ),
    "a loader": (
        {"module": "keras.models", "class_name": "function", "config": "load_model"},
        "holds keras.models.load_model",
    ),
    "an inner tool of Keras": (
        {"module": "keras.src.utils.python_utils", "class_name": "function", "config": "func_load"},
        "holds keras.src.utils.python_utils.func_load",
    ),
    "a class of Keras that is no part of networks": (
        {"module": "keras.callbacks", "class_name": "CSVLogger", "config": {"filename": "x"}},
        "holds keras.callbacks.CSVLogger",
    ),
    "a function as it is": (
        {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}},
        "holds a Python function in the layer 'conv'",
    ),
    "another library's program": (
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"name": "tf", "filepath": "/tmp"}},
        "holds the TFSMLayer layer 'tf'",
    ),
    "a name that hides behind a registered one": (
        {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "x"}, "registered_name": "seen>Seen"},
        "holds the Lambda layer 'x'",
    ),
    "a type of TensorFlow's": (
        {"class_name": "TypeSpec", "type_spec": "x", "serialized": []},
        "holds 'TypeSpec' in the layer 'conv', which keras .* does not know",
    ),
    "a file of words": (
        {
            "module": "keras.layers",
            "class_name": "StringLookup",
            "config": {"vocabulary": "/etc/hosts", "name": "w"},
        },
        "the layer 'w' reads the file '/etc/hosts'",
    ),
    "no name": ({"class_name": ["Conv2D"], "config": {}}, "names a class .* it is damaged"),
}


@pytest.mark.parametrize("which", STRANGERS)
@pytest.mark.parametrize("at", [0, 1])
def test_what_is_no_part_of_networks_is_refused_by_its_name(tmp_path, which, at, monkeypatch):
    monkeypatch.setitem(KERAS.saving.get_custom_objects(), "seen>Seen", L.ReLU)
    part, said = STRANGERS[which]
    path = files(tmp_path)[at]
    (rewritten_hdf5 if at else rewritten)(path, in_an_inner_model(part))
    with pytest.raises(sl.ModelError, match=said):
        sl.load(path, **RAW)


def test_a_pickled_torch_module_is_not_unpickled(tmp_path):
    marker = tmp_path / "marker"
    pickled = pickle.dumps(Marks(marker))
    part = {
        "module": "keras.layers",
        "class_name": "TorchModuleWrapper",
        "config": {"name": "wrapped", "module": {"class_name": "__bytes__", "config": {"value": pickled.hex()}}},
    }
    for path, rewrite in zip(files(tmp_path), (rewritten, rewritten_hdf5), strict=True):
        rewrite(path, lambda config: config["config"]["layers"].append(part))
        with pytest.raises(sl.ModelError, match="holds the TorchModuleWrapper layer 'wrapped'"):
            sl.load(path, **RAW)
    assert not marker.exists()


def test_weights_that_numpy_would_unpickle_are_refused(tmp_path):
    path, marker = files(tmp_path)[0], tmp_path / "marker"
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    pickled = io.BytesIO()
    np.savez(pickled, conv=np.array([Marks(marker)], dtype=object))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.npz", pickled.getvalue())
    with pytest.raises(sl.ModelError, match=r"holds model.weights.npz, weights that NumPy may unpickle"):
        sl.load(path, **RAW)
    assert not marker.exists()


# Files that reach out of themselves ---------------------------------------------------------------------------


def with_weights(path, make):
    """A .keras file whose HDF5 file of weights is made by a function of it."""
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    inside = path.with_suffix(".inside.h5")
    with h5py.File(inside, "w") as file:
        make(file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", inside.read_bytes())
    return path


def linked_outside(file):
    file["layers"] = h5py.ExternalLink("/etc/hosts", "/x")


def linked_inside(file):
    file.create_group("a")["b"] = h5py.SoftLink("/a")


def stored_outside(file):
    file.create_dataset("a/b/c", (8,), "u1", external=[("/etc/hosts", 0, 8)])


def put_together(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (4,))
    file.create_virtual_dataset("a/b", layout)


def inflated(file):
    file.create_dataset("a", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")


OUTWARD = {
    linked_outside: r"holds a link, '/layers' to '/etc/hosts:/x'",
    linked_inside: r"holds a link, '/a/b' to '/a'",
    stored_outside: r"keeps '/a/b/c' in another file",
    put_together: r"keeps '/a/b' in another file",
    inflated: r"would expand to 4,398,046,511,[0-9]* bytes, more than",
}


@pytest.mark.parametrize("make", OUTWARD, ids=lambda make: make.__name__)
def test_weights_that_reach_outside_or_would_not_fit_are_not_read(tmp_path, make):
    archive, hdf5 = files(tmp_path)
    with h5py.File(hdf5, "r+") as file:
        make(file)
    with_weights(archive, make)
    alone = tmp_path / "alone.weights.h5"
    with h5py.File(alone, "w") as file:
        make(file)
    for path in (archive, hdf5):
        with pytest.raises(sl.ModelError, match=OUTWARD[make]):
            sl.load(path, allow_code_execution=True, **RAW)
    with pytest.raises(sl.ModelError, match=OUTWARD[make]):
        sl.load("keras/MobileNet", weights=alone)


def test_a_group_that_holds_itself_ends(tmp_path):
    def make(file):
        group = file.create_group("a")
        group["b"] = group

    with pytest.raises(sl.ModelError, match=r"keras .* cannot load model.keras"):
        sl.load(with_weights(files(tmp_path)[0], make), **RAW)


def test_an_archive_that_reaches_outside_its_folder_or_expands_is_not_opened(tmp_path, monkeypatch):
    path = files(tmp_path)[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/../../marker", b"x")
    with pytest.raises(sl.ModelError, match=r"holds 'assets/../../marker', outside its own folder"):
        sl.load(path, **RAW)
    monkeypatch.setenv("SIGHTLINE_MAX_MODEL_BYTES", "1000")
    with pytest.raises(sl.ModelError, match="SIGHTLINE_MAX_MODEL_BYTES raises the limit"):
        sl.load(files(tmp_path, "other")[0], **RAW)


# Damaged files ------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(sl.ModelError, match="no model file"):
        sl.load(tmp_path / "none.keras")


def test_damaged_files_are_errors(tmp_path):
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(sl.ModelError, match="no intact"):
            sl.load(path, **RAW)
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(sl.ModelError, match="no intact"):
            sl.load(path, **RAW)


def test_an_archive_without_a_network_is_an_error(tmp_path):
    path = tmp_path / "model.keras"
    for content in (b"[]", b"{}", b'{"config": 3}', b"{", b"\xff\xfe", b'{"config": ' + b"[" * 99999):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", content)
        with pytest.raises(sl.ModelError, match=r"damaged|no intact"):
            sl.load(path, **RAW)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    with pytest.raises(sl.ModelError, match=r"config.json"):
        sl.load(path, **RAW)


def test_weights_without_a_network_say_where_they_belong(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(sl.ModelError, match="holds weights without a network"):
        sl.load(tmp_path / "model.weights.h5", **RAW)


def test_an_ending_in_capitals_is_said(tmp_path):
    for path in files(tmp_path):
        with pytest.raises(sl.ModelError, match="in small letters; rename it"):
            sl.load(path.rename(path.with_suffix(path.suffix.upper())), **RAW)


def test_why_keras_cannot_load_a_file_is_said_without_advice_that_does_not_help(tmp_path):
    def change(config):
        conv_of(config)["config"]["activation"] = "ours.relu"

    path = rewritten(files(tmp_path)[0], change)
    with pytest.raises(sl.ModelError, match=r"identifier: ours\.relu; a layer of your own has to be registered"):
        sl.load(path, **RAW)
    path = rewritten(files(tmp_path)[0], lambda config: conv_of(config)["config"].update(filters=-1))
    with pytest.raises(sl.ModelError, match=r"cannot load model.keras: .*filters") as caught:
        sl.load(path, **RAW)
    assert "registered" not in str(caught.value)


def test_what_keras_cannot_make_is_an_error(tmp_path):
    path = rewritten(files(tmp_path)[0], lambda config: conv_of(config)["config"].update(filters=-1))
    with pytest.raises(sl.ModelError, match=r"keras 3.* cannot load model.keras"):
        sl.load(path, **RAW)
    path = rewritten(saved(stacked(L.Flatten(), L.Dense(2)), tmp_path / "a.keras"), lambda config: None)
    with zipfile.ZipFile(files(tmp_path, "b")[0]) as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights)
    with pytest.raises(sl.ModelError, match=r"cannot load a.keras"):
        sl.load(path, **RAW)
