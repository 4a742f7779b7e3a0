"""`sightline filters` and `sightline responses`: exit codes, JSON, files, and errors that help."""

import json

import numpy as np
import pytest
from PIL import Image

from sightline.app.cli import main
from sightline.demo.scenes import draw


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    Image.fromarray(draw(1, thing="ball", background="court").image()).save(tmp_path / "court.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    status = main([*arguments, "--model", "demo"])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_filters_writes_a_picture_and_says_of_what(desk, capsys):
    status, out, err = run(capsys, "filters", "features.0.conv")
    assert (status, err) == (0, "")
    assert "features.0.conv: 16 filters of 3 × 3 × 3 weights" in out
    assert np.asarray(Image.open(desk / "sightline-out" / "features.0.conv-filters.png")).std() > 10


def test_filters_as_json_is_one_document(desk, capsys):
    status, out, _ = run(capsys, "filters", "classifier", "--json", "--out", "values.npz", "--most", "3")
    document = json.loads(out)
    assert status == 0
    assert (document["layer"], document["shape"], document["files"]) == ("classifier", [7, 64], ["values.npz"])
    with np.load(desk / "values.npz") as held:
        assert held["values"].shape == (7, 64)


def test_responses_writes_a_picture_and_names_the_strongest(desk, capsys):
    status, out, err = run(capsys, "responses", "court.png", "features.2", "--most", "4")
    assert (status, err) == (0, "")
    assert "features.2: the 4 strongest of 48 channels" in out
    assert out.count("  channel ") == 4
    assert (desk / "sightline-out" / "court-responses.png").is_file()


def test_responses_as_json_is_one_document(desk, capsys):
    more = ("--json", "--channels", "3,7,12", "--out", "page.html")
    status, out, _ = run(capsys, "responses", "court.png", "features.2", *more)
    document = json.loads(out)
    assert status == 0
    assert document["shown"] == [3, 7, 12]
    assert (document["files"], document["failed"]) == (["page.html"], [])
    assert (desk / "page.html").read_text().startswith("<!doctype html>")


def test_a_broken_photo_is_named(capsys):
    status, out, err = run(capsys, "responses", "broken.jpg", "features.2")
    assert (status, out) == (1, "")
    assert "'broken.jpg' cannot be read" in err
    status, out, err = run(capsys, "responses", "missing.png", "features.2", "--json")
    assert (status, err) == (1, "")
    assert [row["photo"] for row in json.loads(out)["failed"]] == ["missing.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["filters", "features.0.relu"], "has no kernels"),
        (["filters", "features.9"], "no layer named 'features.9'"),
        (["filters", "classifier", "--most", "0"], "most=0"),
        (["filters", "classifier", "--out", "x.gif"], "cannot save as '.gif'"),
        (["filters", "classifier", "--option", "samples=3"], "filters has no options"),
        (["responses", "court.png", "relu"], "no layer named 'relu'"),
        (["responses", "court.png", "features.2", "--channels", "48"], "channel 48: 'features.2' has 48"),
        (["responses", "court.png", "features.2", "--channels", "a"], "give whole numbers between commas"),
        (["responses", "court.png", "features.2", "--out", "court.png"], "would be overwritten"),
        (["responses", "court.png", "features.2", "--option", "a=3"], "responses has no options"),
    ],
)
def test_a_wrong_request_is_refused(capsys, arguments, words):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert words in err
