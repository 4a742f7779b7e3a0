"""The command line: exit codes, JSON, files, and errors that help."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sightline.app.cli import main
from sightline.demo.scenes import draw
from sightline.render.styles import STYLES


@pytest.fixture
def photos(tmp_path, monkeypatch):
    for i, background in enumerate(("court", "grass")):
        Image.fromarray(draw(i, thing="ball", background=background).image()).save(tmp_path / f"{background}.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    (tmp_path / "nets_of_mine.py").write_text(
        "import torch\ndef make():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 2),"
        " torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("nets_of_mine", None)


def run(capsys, *arguments):
    status = main(list(arguments))
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_explain_writes_a_picture_and_says_what_it_explained(photos, capsys):
    status, out, err = run(capsys, "explain", "court.png", "--model", "demo", "--out", "maps", "--smooth", "3")
    assert status == 0
    assert err == ""
    assert "> " in out
    assert "explained: ball, by grad-cam" in out
    assert np.asarray(Image.open(photos / "maps" / "court.png")).std() > 10


def test_explain_as_json_is_one_document_with_everything(photos, capsys):
    arguments = ("--model", "demo", "--method", "saliency,smoothgrad", "--option", "samples=4", "--seed", "7")
    status, out, _ = run(capsys, "explain", "court.png", "grass.png", *arguments, "--format", "npz,html", "--json")
    document = json.loads(out)
    assert status == 0
    assert [row["photo"] for row in document["photos"]] == ["court.png", "grass.png"]
    first = document["photos"][0]
    assert [one["method"] for one in first["explanations"]] == ["saliency", "smoothgrad"]
    assert first["explanations"][1]["options"]["samples"] == 4
    assert first["explanations"][1]["seed"] == 7
    assert all((photos / file).is_file() for row in document["photos"] for file in row["files"])


def test_a_broken_photo_is_named_and_the_rest_is_done(photos, capsys):
    status, out, err = run(capsys, "predict", "broken.jpg", "court.png", "missing.png", "--model", "demo")
    assert status == 1
    assert "court.png" in out
    assert "'broken.jpg' cannot be read" in err
    assert "'missing.png' cannot be read" in err
    status, out, err = run(capsys, "predict", "broken.jpg", "court.png", "--model", "demo", "--json")
    assert status == 1
    assert [row["photo"] for row in json.loads(out)["failed"]] == ["broken.jpg"]
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "dmeo"], "no model 'dmeo'; did you mean 'demo'"),
        (["--model", "torchvision/resnet5", "--model-option", "weights=none"], "did you mean"),
        (["--model", "demo", "--method", "gradcam"], "did you mean 'grad-cam'"),
        (["--model", "demo", "--target", "bal"], "did you mean 'ball'"),
        (["--model", "demo", "--target", "99"], "class 99 does not exist"),
        (["--model", "demo", "--layer", "layer4"], "no layer named 'layer4'"),
        (["--model", "demo", "--option", "samples"], "KEY=VALUE"),
        (["--model", "demo", "--format", "gif"], "possible: png"),
        (["--model", "demo", "--style", "outline"], "style='outline'; possible: 'pair', 'overlay', 'contour'"),
        (["--model", "demo", "--target", "ball", "--target", "mog"], "did you mean 'mug'"),
        (["--model", "demo", "--batch-size", "0"], "1 or more"),
        (["--model", "nets_of_mine:made"], "no 'made'; did you mean 'make'"),
        (["--model", "nets_of_mine:make"], "input_size"),
    ],
)
def test_a_wrong_request_ends_with_two_and_says_what_is_possible(photos, capsys, arguments, words):
    status, out, err = run(capsys, "explain", "court.png", *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_network_of_ones_own_is_found_beside_the_photos(photos, capsys):
    options = [f"--model-option={one}" for one in ("input_size=64", "mean=0.5", "std=0.5", "resize=squash")]
    status, out, _ = run(capsys, "predict", "court.png", "--model", "nets_of_mine:make", *options, "--json")
    assert status == 0
    assert len(json.loads(out)["photos"][0]["predictions"]) == 3


def test_a_label_made_of_digits_can_be_forced(photos, capsys):
    (photos / "labels.txt").write_text("zero\n7\ntwo\n")
    options = [f"--model-option={one}" for one in ("input_size=64", "mean=0.5", "std=0.5", "labels=labels.txt")]
    status, out, _ = run(
        capsys, "explain", "court.png", "--model", "nets_of_mine:make", *options, "--target", "label:7", "--json"
    )
    assert status == 0
    assert json.loads(out)["photos"][0]["explanations"][0]["target"] == "Class(index=1)"


def test_several_targets_make_one_picture_with_a_row_each(photos, capsys):
    several = ("--target", "ball", "--target", "4", "--target", "ball")
    arguments = ("--model", "demo", "--method", "grad-cam,saliency", *several, "--style", "contour", "--out", "maps")
    status, out, _ = run(capsys, "explain", "court.png", *arguments)
    assert status == 0
    assert "explained: ball, mug, by grad-cam, saliency" in out
    assert [path.name for path in (photos / "maps").iterdir()] == ["court.png"]
    one = ("--model", "demo", "--method", "grad-cam,saliency", "--target", "ball", "--style", "contour")
    run(capsys, "explain", "court.png", *one, "--out", "one")
    rows, row = (len(np.asarray(Image.open(photos / folder / "court.png"))) for folder in ("maps", "one"))
    assert rows > 1.7 * row


def test_several_targets_are_told_apart_in_files_of_every_kind(photos, capsys):
    (photos / "labels.txt").write_text("crane\ncrane\ntwo\n")
    options = [f"--model-option={one}" for one in ("input_size=64", "mean=0.5", "std=0.5", "labels=labels.txt")]
    several = ("--target", "0", "--target", "1", "--target", "two", "--format", "npz,html,svg", "--json")
    status, out, _ = run(capsys, "explain", "court.png", "--model", "nets_of_mine:make", *options, *several)
    assert status == 0
    document = json.loads(out)["photos"][0]
    assert [one["target"] for one in document["explanations"]] == [f"Class(index={i})" for i in range(3)]
    with np.load(photos / "sightline-out" / "court.npz", allow_pickle=False) as saved:
        provenance = json.loads(str(saved["provenance"]))
        names = ["crane/grad-cam", "crane (2)/grad-cam", "two/grad-cam"]
        assert list(provenance) == names
        assert [provenance[name]["target"] for name in names] == [f"Class(index={i})" for i in range(3)]
        assert not np.array_equal(saved[f"{names[0]}/values"], saved[f"{names[1]}/values"])
    assert (photos / "sightline-out" / "court.html").read_text().count("<img") == 3


def test_one_target_is_saved_as_before(photos, capsys):
    run(capsys, "explain", "court.png", "--model", "demo", "--target", "ball", "--format", "npz")
    with np.load(photos / "sightline-out" / "court.npz") as saved:
        assert set(saved) == {"values", "map", "heatmap", "provenance"}
    run(capsys, "explain", "court.png", "--model", "demo", "--method", "grad-cam,saliency", "--format", "npz")
    with np.load(photos / "sightline-out" / "court.npz") as saved:
        assert "saliency/map" in saved


@pytest.mark.parametrize("style", STYLES)
def test_every_style_can_be_asked_for(photos, capsys, style):
    status, _, err = run(capsys, "explain", "court.png", "--model", "demo", "--style", style)
    assert (status, err) == (0, "")
    assert (photos / "sightline-out" / "court.png").is_file()


def test_methods_and_models_are_listed(photos, capsys):
    _, out, _ = run(capsys, "methods", "--json")
    assert ("grad-cam", ["gradients", "layer"]) in [(one["id"], one["needs"]) for one in json.loads(out)]
    _, out, _ = run(capsys, "methods")
    assert "integrated-gradients" in out
    assert "tolerance=0.01" in out
    _, out, _ = run(capsys, "models", "--json")
    listed = {row["model"]: row for row in json.loads(out)}
    assert listed["demo"] == {"model": "demo", "about": listed["demo"]["about"], "to_install": ""}
    assert listed.keys() >= {"torchvision/NAME", "timm/NAME", "keras/NAME", "FILE.keras", "package.module:factory"}
    _, out, _ = run(capsys, "models")
    assert "FILE.h5" in out
    assert "sightline models timm" in out


@pytest.mark.parametrize(
    ("source", "name"), [("torchvision", "resnet50"), ("timm", "vit_small_patch16_224"), ("keras", "MobileNetV2")]
)
def test_the_names_within_a_source_are_listed(source, name, capsys):
    _, out, _ = run(capsys, "models", source)
    assert f"{source}/{name}" in out.split()
    _, out, _ = run(capsys, "models", source, "--json")
    assert f"{source}/{name}" in [row["model"] for row in json.loads(out)]


def test_every_source_says_what_it_is():
    from sightline.models.listing import ABOUT
    from sightline.models.sources import FILES, NAMED

    assert {*NAMED, *FILES} <= ABOUT.keys()


def test_a_source_without_a_list_is_named_with_near_misses(capsys):
    status, _, err = run(capsys, "models", "torchvison")
    assert status == 2
    assert "did you mean 'torchvision'?" in err


def test_two_photos_of_one_name_do_not_overwrite_each_other(photos, capsys):
    (photos / "more").mkdir()
    (photos / "more" / "court.png").write_bytes((photos / "grass.png").read_bytes())
    status, out, _ = run(capsys, "explain", "court.png", "more/court.png", "--model", "demo", "--json")
    files = [file for row in json.loads(out)["photos"] for file in row["files"]]
    assert status == 0
    assert len(set(files)) == 2


def test_help_names_every_command_and_shows_examples():
    shown = subprocess.run(
        [sys.executable, "-m", "sightline", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for word in ("demo", "explain", "predict", "methods", "models", "examples:", "exit status"):
        assert word in shown


def test_no_command_is_a_wrong_request():
    shown = subprocess.run([sys.executable, "-m", "sightline"], capture_output=True, text=True, check=False)
    assert shown.returncode == 2


def test_a_photo_is_never_overwritten_by_its_own_picture(photos, capsys):
    before = (photos / "court.png").read_bytes()
    status, _, err = run(capsys, "explain", "court.png", "--model", "demo", "--out", ".")
    assert status == 2
    assert "court.png is one of the photos and would be overwritten" in err
    assert (photos / "court.png").read_bytes() == before


def test_no_two_results_share_a_file_however_the_photos_are_named(photos, capsys):
    for folder in ("a", "b"):
        (photos / folder).mkdir()
        (photos / folder / "x.png").write_bytes((photos / "court.png").read_bytes())
    (photos / "X-2.png").write_bytes((photos / "court.png").read_bytes())
    status, out, _ = run(capsys, "explain", "a/x.png", "b/x.png", "X-2.png", "--model", "demo", "--json")
    files = [file for row in json.loads(out)["photos"] for file in row["files"]]
    assert status == 0
    assert len({file.casefold() for file in files}) == 3


def test_a_photo_that_cannot_be_shown_to_the_model_is_named_and_the_rest_is_done(photos, capsys):
    Image.new("RGB", (1, 60_000)).save(photos / "thin.png")
    options = [f"--model-option={one}" for one in ("input_size=64", "mean=0.5", "std=0.5")]
    arguments = ("court.png", "thin.png", "grass.png", "--model", "nets_of_mine:make", *options)
    status, out, err = run(capsys, "predict", *arguments)
    assert status == 1
    assert "court.png" in out
    assert "grass.png" in out
    assert "too elongated" in err


def test_a_file_name_that_is_no_text_is_done_all_the_same(photos, capsys):
    odd = b"od\xff.png".decode("utf-8", "surrogateescape")
    (photos / odd).write_bytes((photos / "court.png").read_bytes())
    status, out, _ = run(capsys, "explain", odd, "--model", "demo", "--json")
    assert status == 0
    assert json.loads(out)["photos"][0]["photo"] == "od?.png"


def test_modules_beside_the_photos_shadow_nothing(photos):
    for name in ("torchvision", "matplotlib", "safetensors"):
        (photos / f"{name}.py").write_text("raise SystemExit('hijacked')\n")
    command = (
        "from sightline.app.cli import main; raise SystemExit(main(['explain', 'court.png', '--model', 'demo']))"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", command], capture_output=True, text=True, check=False)
    assert "hijacked" not in shown.stderr
    assert shown.returncode == 0


def test_an_interrupt_stops_the_command_and_what_was_done_is_kept(photos, capsys, monkeypatch):
    from sightline.attribution.sampling import Cloud

    draw, drawn = Cloud.draw, []

    def interrupted(cloud, count):
        drawn.append(count)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(cloud, count)

    monkeypatch.setattr(Cloud, "draw", interrupted)
    arguments = ("--model", "demo", "--method", "smoothgrad,saliency", "--batch-size", "1", "--out", "maps")
    status, out, err = run(capsys, "explain", "court.png", "grass.png", *arguments)
    assert status == 130
    assert "interrupted" in err
    assert "warning [interrupted]" in out
    assert [path.name for path in (photos / "maps").iterdir()] == ["court.png"]


def test_what_a_network_or_a_device_refuses_is_one_line(photos, capsys):
    for arguments in (["--device", "bogus"], ["--model", "nets_of_mine:make", "--model-option", "input_sise=3"]):
        status, _, err = run(
            capsys, "predict", "court.png", *(["--model", "demo"] if arguments[0] == "--device" else []), *arguments
        )
        assert status == 2
        assert len(err.splitlines()) == 1


def test_a_network_that_fails_on_the_photo_says_what_it_was_given(photos, capsys):
    (photos / "nets_of_mine.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))\n"
    )
    options = [f"--model-option={one}" for one in ("input_size=8", "mean=0.5", "std=0.5")]
    status, _, err = run(capsys, "predict", "court.png", "--model", "nets_of_mine:make", *options)
    assert status == 2
    assert "Sequential raised this for images (1, 3, 8, 8); is that its input size?" in err
    assert len(err.splitlines()) == 1


def test_an_interrupt_keeps_the_targets_that_were_done(photos, capsys, monkeypatch):
    import sightline as sl

    explain, asked = sl.explain, []

    def interrupted(*arguments, target, progress, **options):
        asked.append(target)
        found = explain(*arguments, target=target, progress=progress, **options)
        if target == "mug":  # as a run ends that was stopped on its first photo
            stop = sl.Warning("interrupted", "stopped")
            return [dataclasses.replace(found[0], warnings=(stop,))]
        return found

    monkeypatch.setattr(sl, "explain", interrupted)
    several = ("--target", "ball", "--target", "mug", "--target", "duck")
    status, out, _ = run(capsys, "explain", "court.png", "grass.png", "--model", "demo", *several, "--out", "maps")
    assert status == 130
    assert asked == ["ball", "mug"]
    assert "explained: ball, mug, by grad-cam" in out
    assert "explained: ball, by grad-cam" in out
    assert sorted(path.name for path in (photos / "maps").iterdir()) == ["court.png", "grass.png"]
