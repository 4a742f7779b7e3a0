"""The page that takes keras-vis's users along: every block runs, in order, on the networks that it names."""

import re
import shutil
import warnings
from pathlib import Path

import pytest

import sightline as sl

PAGE = Path(__file__).parents[2] / "docs" / "keras-vis.md"


@pytest.fixture(scope="module")
def page(data, tmp_path_factory):
    """What the page's blocks leave behind: their names, and the folder that they wrote to."""
    desk = tmp_path_factory.mktemp("desk")
    for path in [*(data / "models").iterdir(), *(data / "photos").iterdir()]:
        if path.is_file() and path.suffix != ".safetensors":
            shutil.copy(path, desk)
    names = {}
    with pytest.MonkeyPatch.context() as here, warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        here.chdir(desk)
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(compile(block, PAGE.name, "exec"), names)
    return names, desk


def test_the_page_has_a_counterpart_for_each_of_their_blocks():
    text = PAGE.read_text()
    theirs, ours = (len(re.findall(rf"```{language}\n", text)) for language in ("py", "python"))
    assert theirs >= 14
    assert ours >= theirs


def test_the_answers_are_those_of_the_networks(page):
    names, _ = page
    assert (names["prediction"], names["answers"][0].label) == (285, "Egyptian cat")
    assert round(names["answers"][0].probability, 3) == 0.475


def test_the_experiment_comes_out_as_it_did(page):
    names, _ = page
    probe = names["pr"]
    assert [one.label for one in names["found"]][-2:] == ["basketball", "basketball"]
    assert probe.original[0].label == probe.edited["remove"][0].label == "basketball"
    assert probe.edited["keep"][0].label != "basketball"


def test_what_is_explained_is_the_logit_and_every_picture_is_there(page):
    names, desk = page
    assert names["model"].readout.score == "logit"
    assert names["grads"].shape == (3, 192, 192)
    written = "kitten_saliency", "kitten_gaussian", "photos", "dirk_probe", "filters", "conv1", "ouzel", "attention"
    for file in written:
        assert (desk / f"{file}.png").stat().st_size > 10_000, file
    assert (desk / "opt_progress.gif").stat().st_size > 10_000
