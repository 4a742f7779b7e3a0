"""The story page: complete, self-contained, and true to what the model answers."""

import json
import re

import pytest

from sightline.app.cli import main
from sightline.demo.story import SCENARIOS, tell


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    return tell(tmp_path_factory.mktemp("story"))


def test_the_model_knows_the_court_and_not_the_ball(story):
    assert story.shares["on-court"] >= 0.97
    assert story.shares["no-ball"] >= 0.8
    assert story.shares["ball-alone"] <= 0.3
    assert story.shares["on-grass"] <= 0.3
    assert story.others >= 0.95


def test_the_scene_shown_is_like_the_others(story):
    says = {name: answers[0].label for name, answers in story.answers.items()}
    assert says["on-court"] == says["no-ball"] == "ball"
    assert "ball" not in (says["ball-alone"], says["on-grass"])


def test_the_page_needs_no_network_and_no_script(story):
    text = story.page.read_text()
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert "https:" not in text
    assert text.count("data:image/png") >= 12
    for one in SCENARIOS:
        assert one.told.capitalize() in text
        assert f"{story.shares[one.name]:.0%}" in text


def test_the_command_writes_page_and_scenes_and_tells_the_story(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "d")]) == 0
    out = capsys.readouterr().out
    assert "It learned the court." in out
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"index.html", *(f"{s.name}.png" for s in SCENARIOS)}
    written = str(tmp_path / "d" / "on-grass.png")
    assert main(["explain", written, "--model", "demo", "--json", "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == []
