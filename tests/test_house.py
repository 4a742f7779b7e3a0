"""The house stands as drawn: arrows point down, the door is small, and opening it loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sightline as sl

SOURCE = Path(sl.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LAYERS = {
    "core": set(),
    "stats": {"core"},
    "photos": {"core"},
    "network": {"core"},
    "models": {"core", "photos", "network"},
    "attribution": {"core", "stats", "photos", "network"},
    "probes": {"core", "stats", "photos", "network"},
    "features": {"core", "stats", "photos", "network"},
    "studies": {"core", "stats", "photos", "attribution", "probes"},
    "render": {"core", "photos"},
    "verbs": {
        "core", "stats", "photos", "network", "models", "attribution", "features", "probes", "studies", "render",
    },
    "demo": {
        "core", "stats", "photos", "network", "models", "attribution", "features", "probes", "studies", "render",
        "verbs",
    },
    "app": {
        "core", "stats", "photos", "network", "models", "attribution", "features", "probes", "studies", "render",
        "verbs", "demo",
    },
}  # fmt: skip
PUBLIC = {
    "ClassReport", "Report", "audit",
    "Concepts", "Tcav", "TopPhotos", "concepts", "tcav", "top_photos",
    "Step",
    "visualize",
    "transforms",
    "canvases",
    "Visualization",
    "Comparison", "Effect", "Evidence", "Explanation", "Filters", "Heat", "LayerError", "Method", "MethodError",
    "Model", "ModelError", "NetworkError", "OptionError", "Photo", "PhotoError", "Prediction", "Probe", "Responses",
    "SaveError", "Shares", "SightlineError", "SightlineWarning", "Sweep", "TargetError", "Warning", "__version__",
    "attribute", "edits", "evidence", "explain", "filters", "grid", "load", "methods", "open_photo", "predict",
    "Volume", "open_volume", "probe", "regions", "responses", "sweep", "targets", "wrap",
}  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports name their room"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {name.split(".")[1] for name in names if name.startswith("sightline.")}
    return found & LAYERS.keys()


def test_every_folder_is_a_room_of_the_plan():
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"} == LAYERS.keys()


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in LAYERS], ids=lambda p: str(p.relative_to(SOURCE)))
def test_arrows_point_down(path):
    assert imported_rooms(path) <= LAYERS[room(path)] | {room(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_is_one_small_room(path):
    assert len(path.read_text().splitlines()) <= 350


def test_hooks_are_registered_in_one_file_only():
    using = [path.relative_to(SOURCE).as_posix() for path in FILES if "_hook(" in path.read_text()]
    assert using == ["network/hooks.py"]


def test_the_public_names_are_these():
    assert set(dir(sl)) == PUBLIC
    assert all(getattr(sl, name) is not None for name in PUBLIC)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'explian'"):
        sl.explian  # noqa: B018


def test_importing_sightline_loads_nothing_heavy():
    heavy = "torch", "numpy", "PIL", "matplotlib", "torchvision", "safetensors", "cv2", "skimage"
    code = f"import sys, sightline; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_methods_is_a_function_even_after_every_room_was_entered():
    import sightline.verbs.explain

    assert sightline.verbs.explain
    assert callable(sl.methods)
