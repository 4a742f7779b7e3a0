"""What the README and the docs show, runs; and they show what is there."""

import os
import re
import shlex
from pathlib import Path

import pytest

import sightline as sl
from sightline.app.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ON_REAL_NETWORKS = "keras-vis.md"  # its blocks run in tests/real


def blocks(language: str) -> list:
    found = []
    for page in PAGES:
        if page.name == ON_REAL_NETWORKS:
            continue
        for i, code in enumerate(re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)):
            found.append(pytest.param(code, id=f"{page.name}-{i + 1}"))
    return found


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the files that the snippets name."""
    from PIL import Image

    from sightline.demo.scenes import draw

    for name, background in (("photo.png", "court"), ("other.png", "grass")):
        Image.fromarray(draw(1, thing="ball", background=background).image()).save(tmp_path / name)
    (tmp_path / "my_models.py").write_text(
        "import torch\ndef ball_net():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(),"
        " torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 4))\n"
    )
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))  # as a snippet sets it
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_python_snippets_run(code, desk):
    exec(compile(code, "snippet", "exec"), {})


@pytest.mark.parametrize("code", blocks("console"))
def test_commands_shown_run(code, desk, capsys):
    for line in code.splitlines():
        if line.startswith("$ sightline "):
            assert main(shlex.split(line.removeprefix("$ sightline "))) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_methods_page_lists_the_catalog():
    text = (ROOT / "docs" / "methods.md").read_text()
    for method in sl.methods():
        assert f"| `{method.id}` |" in text
        assert method.paper.removeprefix("arXiv:").removeprefix("doi:") in text


def test_ci_runs_the_readmes_test_command():
    shown = re.findall(r"```sh\n(.*)\n```", (ROOT / "README.md").read_text())
    assert [command.rsplit("/", 1)[-1] for command in shown] == ["sightline demo", "python -m pytest"]
    assert shown[1] in (ROOT / ".ci" / "run").read_text()


def test_the_change_log_names_this_version():
    assert f"## [{sl.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_guide_explains_every_warning():
    text = (ROOT / "docs" / "guide.md").read_text()
    for path in (ROOT / "src").rglob("*.py"):
        for code in re.findall(r'\bWarning\(\s*"([a-z-]+)"', path.read_text()):
            assert f"`{code}`" in text, f"{code} of {path.name}"
