"""`sightline visualize`: exit codes, JSON, the page, films, going on, and errors that help."""

import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from sightline.app.cli import main
from sightline.demo.scenes import draw


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    for i, background in enumerate(("court", "grass")):
        Image.fromarray(draw(i, thing="ball", background=background).image()).save(tmp_path / f"{background}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    status = main(["visualize", *arguments, "--model", "demo"])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_it_writes_a_page_that_opens_from_disk(desk, capsys):
    status, out, err = run(capsys, "--target", "ball", "--target", "unit:features.4:0-1", "--steps", "3")
    assert (status, err) == (0, "")
    assert "3 images, 3 steps" in out
    assert "channel 1 of features.4" in out
    page = (desk / "sightline-out" / "visualize.html").read_text()
    assert page.count("<figure>") == 4, "three images and the curves"
    assert page.count("<table>") == 1, "answers stand beside what is to be a class"
    assert "http" not in page.split("</head>")[1].split("<details>")[0], "nothing is fetched"


def test_json_is_one_document_with_the_scores(desk, capsys):
    status, out, _ = run(capsys, "--target", "4", "--steps", "2", "--json", "--out", "x.png", "--count", "2")
    document = json.loads(out)
    assert status == 0
    assert [one["target"] for one in document["images"]] == ["mug", "mug"]
    assert document["images"][0]["score"] != document["images"][1]["score"], "each from a seed of its own"
    assert document["files"] == ["x.png"]
    with Image.open(desk / "x.png") as picture:
        assert picture.width > 300


def test_a_film_has_a_frame_for_each_step_that_was_kept(desk, capsys):
    assert run(capsys, "--target", "ball", "--steps", "5", "--frames", "2", "--out", "x.gif")[0] == 0
    frames = []
    with Image.open(desk / "x.gif") as film:
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB"), float))
    changes = sum(abs(a - b).max() > 0 for a, b in pairwise(frames))
    assert changes == 3, "steps 0, 2, 4 and the last"


def test_the_strongest_photo_is_named(capsys):
    status, out, _ = run(capsys, "--target", "ball", "--steps", "1", "--photos", "grass.png", "court.png")
    assert status == 0
    assert "strongest photo of ball: court" in out


def test_minimize_draws_what_it_fires_least_for(capsys):
    def score(*more):
        return json.loads(run(capsys, "--target", "mug", "--steps", "16", "--json", *more)[1])["images"][0]["score"]

    assert -score("--minimize") < score()


def test_an_interrupted_run_can_go_on(desk, capsys, monkeypatch):
    from sightline.app import visualizing

    def stop(self, step):
        if step.number == 3:
            raise KeyboardInterrupt

    asked = ("--target", "ball", "--steps", "6", "--out")
    with monkeypatch.context() as patch:
        patch.setattr(visualizing._Bar, "watch", stop)
        status, out, err = run(capsys, *asked, "half.png")
    assert status == 130
    assert "go on with: --resume half.npz" in out
    assert "interrupted" in err
    assert run(capsys, *asked, "rest.npz", "--resume", "half.npz")[0] == 0
    assert run(capsys, *asked, "whole.npz")[0] == 0
    with np.load(desk / "rest.npz") as rest, np.load(desk / "whole.npz") as whole:
        assert np.array_equal(rest["images"], whole["images"])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--target", "bal"), "did you mean 'ball'"),
        (("--target", "unit:features.4"), "a unit reads unit:LAYER:7"),
        (("--target", "unit:features.4:9-3"), "3 comes before 9"),
        (("--target", "layer:feature.4"), "did you mean 'features.4'"),
        (("--target", ""), "names nothing"),
        (("--target", "ball", "--preset", "lucent"), "did you mean 'lucid'"),
        (("--target", "ball", "--option", "canvas=fourir"), "did you mean 'fourier'"),
        (("--target", "ball", "--option", "vews=3"), "did you mean 'views'"),
        (("--target", "ball", "--steps", "0"), "steps has to be 1 or more"),
        (("--target", "ball", "--out", "x.txt"), "possible: .png"),
        (("--target", "ball", "--start", "court.png", "--out", "court.png"), "would be overwritten"),
        (("--target", "ball", "--photos", "gone.png"), "none of the photos could be read"),
        (("--target", "ball", "--resume", "court.png"), "holds no visualization"),
    ],
)
def test_a_wrong_request_is_refused_in_words(capsys, asked, told):
    status, out, err = run(capsys, *asked, *(() if "--steps" in asked else ("--steps", "1")))
    assert (status, out) == (2, "")
    assert told in err


def test_a_flag_is_not_an_option(capsys):
    status, _, err = run(capsys, "--target", "ball", "--option", "start=zero")
    assert status == 2
    assert "it has a flag of its own, --start" in err


def test_photos_may_be_a_folder_and_one_that_is_broken_is_told(desk, capsys):
    (desk / "many").mkdir()
    (desk / "many" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    (desk / "court.png").rename(desk / "many" / "court.png")
    status, out, _ = run(capsys, "--target", "ball", "--steps", "1", "--photos", "many")
    assert status == 1
    assert "strongest photo of ball: court" in out
    assert "broken.jpg" in out


def test_a_unit_is_not_told_in_logits(capsys):
    _, out, _ = run(capsys, "--target", "unit:features.4:3", "--steps", "1")
    assert "strength" in out
    assert "logit" not in out
