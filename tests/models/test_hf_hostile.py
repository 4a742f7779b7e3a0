"""Hugging Face repositories that are hostile, damaged, or not there: refused with what was found, nothing is run."""

import json
import os
import subprocess
import sys

import hf_folders
import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

import sightline as sl

EVIL = """
open({marker!r}, "w").close()
from transformers import ViTConfig, ViTForImageClassification
class OwnConfig(ViTConfig):
    model_type = "own_vit"
class Own(ViTForImageClassification):
    config_class = OwnConfig
"""


@pytest.fixture
def vit(tmp_path):
    return hf_folders.saved("vit", tmp_path / "vit")


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "the code ran"


def own_code(folder, marker):
    (folder / "modeling_own.py").write_text(EVIL.format(marker=str(marker)))
    return hf_folders.rewritten(
        folder,
        model_type="own_vit",
        architectures=["Own"],
        auto_map={
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForImageClassification": "modeling_own.Own",
        },
    )


def test_code_that_comes_with_a_network_is_refused_and_does_not_run(vit, marker):
    with pytest.raises(sl.ModelError) as caught:
        sl.load(f"hf/{own_code(vit, marker)}")
    for said in (
        "auto_map, code of its own (modeling_own.OwnConfig)",
        "can run any code",
        "allow_code_execution=True",
    ):
        assert said in str(caught.value)
    assert not marker.exists()


def test_code_that_comes_with_a_network_runs_where_the_user_says_so(vit, marker, tmp_path):
    own_code(vit, marker)
    script = (
        "import sightline as sl, sys\n"
        "model = sl.load('hf/' + sys.argv[1], allow_code_execution=True)\n"
        "print(type(model.network.inner).__name__, model.labels[1])\n"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}  # where such code is copied to
    run = [sys.executable, "-W", "ignore", "-c", script, str(vit)]
    shown = subprocess.run(run, capture_output=True, text=True, check=True, env=env)
    assert shown.stdout.split() == ["Own", "ball"]
    assert marker.exists()


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "own.Own"}}, "auto_map, code of its own"),
        ("config.json", {"custom_pipelines": {"x": {"impl": "own.Own"}}}, "custom_pipelines, code of its own"),
        ("config.json", {"attn_implementation": "someone/kernel"}, "a kernel from the web"),
        ("config.json", {"vision_config": {"auto_map": {"AutoConfig": "own.Own"}}}, "auto_map, code of its own"),
    ],
)
def test_code_is_found_wherever_a_configuration_hides_it(vit, name, changes, said):
    with pytest.raises(sl.ModelError, match=said):
        sl.load(f"hf/{hf_folders.rewritten(vit, name, **changes)}")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "timm_wrapper", "architecture": "hf-hub:someone/else"}, "hf-hub:someone/else"),
        ({"backbone_config": {"model_type": "timm_backbone", "backbone": "local-dir:/home"}}, "local-dir:/home"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "/etc/passwd"),
    ],
)
def test_what_timm_would_read_from_elsewhere_is_refused(vit, changes, named):
    with pytest.raises(sl.ModelError, match=f"config.json names '{named}', outside its own folder"):
        sl.load(f"hf/{hf_folders.rewritten(vit, **changes)}", weights=None)


class Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("whole", [True, False])
def test_a_hostile_pickle_of_weights_is_refused_and_does_not_run(vit, marker, whole):
    state = load_file(vit / "model.safetensors")
    (vit / "model.safetensors").unlink()
    torch.save(Trap(marker) if whole else {**state, "extra": Trap(marker)}, vit / "pytorch_model.bin")
    with pytest.raises(sl.ModelError, match=r"pytorch_model.bin holds .*which can run any code"):
        sl.load(f"hf/{vit}")
    assert not marker.exists()


def test_safetensors_are_read_and_a_hostile_pickle_beside_them_is_left_alone(vit, marker):
    torch.save(Trap(marker), vit / "pytorch_model.bin")
    assert sl.load(f"hf/{vit}").warnings == ()
    assert not marker.exists()


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/passwd", "a/../../x.safetensors", "C:\\x"])
@pytest.mark.parametrize("kind", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_weights_outside_of_the_folder_are_refused(vit, shard, kind):
    (vit / kind).write_text(json.dumps({"metadata": {}, "weight_map": {"classifier.bias": shard}}))
    with pytest.raises(sl.ModelError, match="outside its own folder"):
        sl.load(f"hf/{vit}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "cannot be read as JSON"),
        ("config.json", "[1, 2]", "is no configuration: it holds a list"),
        ("config.json", "[" * 100_000, "cannot be read as JSON"),
        ("config.json", "{}", "the configuration of .* cannot be read"),
        ("config.json", '{"a":' * 960 + "1" + "}" * 960, "cannot be read"),
        ("config.json", '{"model_type": "no_such_family"}', "the configuration of .* cannot be read"),
        ("preprocessor_config.json", "{", "cannot be read as JSON"),
        (
            "preprocessor_config.json",
            '{"image_processor_type": "Nothing"}',
            "the image processor of .* cannot be made",
        ),
        ("model.safetensors", "no tensors", "the weights could not be loaded"),
        ("model.safetensors.index.json", "{}", "is no index of weights"),
    ],
)
def test_damaged_files_are_clear_errors(vit, name, content, said):
    (vit / name).write_text(content)
    with pytest.raises(sl.ModelError, match=said):
        sl.load(f"hf/{vit}")


def test_a_folder_without_weights_or_without_a_configuration_says_so(vit, tmp_path):
    (vit / "model.safetensors").unlink()
    with pytest.raises(sl.ModelError, match="the weights could not be loaded"):
        sl.load(f"hf/{vit}")
    sl.load(f"hf/{vit}", weights=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(sl.ModelError, match=r"holds no config.json; give one that save_pretrained wrote"):
        sl.load(f"hf/{tmp_path / 'empty'}")
    with pytest.raises(sl.ModelError, match=r"no folder .*; did you mean 'vit'\?"):
        sl.load(f"hf/{tmp_path / 'vits'}")


def test_a_folder_may_be_named_from_here(vit, monkeypatch):
    monkeypatch.chdir(vit.parent)
    for name in ("hf/./vit", "hf/vit", f"hf/{vit}"):
        assert sl.load(name).labels == tuple(hf_folders.LABELS)


def test_a_network_that_does_not_look_at_images_is_refused(vit):
    for architecture, said in {
        "BertForSequenceClassification": "does not look at images in a way that is known",
        "ViTForMaskedImageModeling": "does not look at images in a way that is known",
        "OneFormerForUniversalSegmentation": r"is known.*inputs=\.\.\.",  # it has to be told its task
    }.items():
        with pytest.raises(sl.ModelError, match=said):
            sl.load(f"hf/{hf_folders.rewritten(vit, architectures=[architecture])}")


@pytest.mark.parametrize("named", [None, [], ["pipeline"], ["ViTConfig"], ["AutoModelForImageClassification"], [5]])
def test_a_configuration_that_names_no_class_is_a_classifiers(vit, named):
    assert sl.load(f"hf/{hf_folders.rewritten(vit, architectures=named)}").labels == tuple(hf_folders.LABELS)


@pytest.mark.parametrize("weights", [5, True, b"x", {}])
def test_weights_of_another_kind_are_refused(vit, weights):
    with pytest.raises(sl.ModelError, match="possible: 'default', None for random ones, or a file"):
        sl.load(f"hf/{vit}", weights=weights)


# The hub -----------------------------------------------------------------------------------------------------


def hub(monkeypatch, tmp_path, answer):
    """A hub that gives a folder, or fails, with one model in its cache."""
    (tmp_path / "cache" / "models--google--vit-base-patch16-224").mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def response():
    class Response:
        headers, request, status_code, text = {}, None, 404, ""

    return Response()


def test_an_id_is_fetched_without_code_and_with_safetensors_alone(vit, monkeypatch, tmp_path):
    asked = hub(monkeypatch, tmp_path, vit)
    assert sl.load("hf/someone/vit").labels == tuple(hf_folders.LABELS)
    ((_, options),) = asked
    assert "model*.safetensors" in options["allow_patterns"]
    assert not any(pattern.endswith((".py", ".bin")) for pattern in options["allow_patterns"])
    sl.load("hf/someone/vit", weights=None)
    assert "model*.safetensors" not in asked[1][1]["allow_patterns"]
    torch.save(load_file(vit / "model.safetensors"), vit / "pytorch_model.bin")
    (vit / "model.safetensors").unlink()
    sl.load("hf/someone/vit")
    assert asked[-1][1]["allow_patterns"] == ["pytorch_model*.bin"]  # only where there is nothing better


def test_without_a_network_the_error_says_what_is_at_hand(monkeypatch, tmp_path):
    hub(monkeypatch, tmp_path, huggingface_hub.errors.LocalEntryNotFoundError("Name or service not known"))
    with pytest.raises(sl.ModelError) as caught:
        sl.load("hf/google/vit-base-patch16-244")
    for said in (
        "could not be reached (Name or service not known)",
        "did you mean 'google/vit-base-patch16-224'?",
        "'hf/./folder'",
        "'demo'",
    ):
        assert said in str(caught.value)


def test_an_id_that_does_not_exist_and_one_that_is_gated_are_told_apart(monkeypatch, tmp_path):
    errors = huggingface_hub.errors
    hub(monkeypatch, tmp_path, errors.RepositoryNotFoundError("404", response=response()))
    with pytest.raises(
        sl.ModelError, match=r"has no model 'google/vit-base', or it is private; at hand: did you mean"
    ):
        sl.load("hf/google/vit-base")
    for name, said in {
        "google/vit/base": "reads 'owner/name'",
        "a\0b": "no Hugging",
        "~nobody/vit": "no folder",
    }.items():
        with pytest.raises(sl.ModelError, match=said):
            sl.load(f"hf/{name}")
    monkeypatch.undo()
    with pytest.raises(sl.ModelError, match=r"'aaa.*' is no Hugging Face id: .*maximum length is 96"):
        sl.load(f"hf/{'a' * 300}")
    hub(monkeypatch, tmp_path / "b", errors.GatedRepoError("403", response=response()))
    with pytest.raises(sl.ModelError, match="is gated: accept its terms"):
        sl.load("hf/google/vit-base")


def test_without_transformers_the_error_names_the_extra(vit, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(sl.ModelError, match=r'pip install "sightline\[hf\]"'):
        sl.load(f"hf/{vit}")
