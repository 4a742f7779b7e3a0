"""Sightline: where a vision model is looking, and how far to trust it.

Nothing heavy is imported before it is used: each public name is fetched from its room on first access.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline import canvases as canvases
    from sightline import edits as edits
    from sightline import regions as regions
    from sightline import targets as targets
    from sightline import transforms as transforms
    from sightline.attribution.catalog import Method as Method
    from sightline.attribution.catalog import methods as methods
    from sightline.core.errors import LayerError as LayerError
    from sightline.core.errors import MethodError as MethodError
    from sightline.core.errors import ModelError as ModelError
    from sightline.core.errors import NetworkError as NetworkError
    from sightline.core.errors import OptionError as OptionError
    from sightline.core.errors import PhotoError as PhotoError
    from sightline.core.errors import SaveError as SaveError
    from sightline.core.errors import SightlineError as SightlineError
    from sightline.core.errors import SightlineWarning as SightlineWarning
    from sightline.core.errors import TargetError as TargetError
    from sightline.core.heats import Heat as Heat
    from sightline.core.heats import Prediction as Prediction
    from sightline.core.heats import Warning as Warning
    from sightline.features.ascent import Step as Step
    from sightline.models.model import Model as Model
    from sightline.models.sources import load as load
    from sightline.models.wrapping import wrap as wrap
    from sightline.photos.decode import Photo as Photo
    from sightline.photos.decode import open_photo as open_photo
    from sightline.photos.volumes import Volume as Volume
    from sightline.photos.volumes import open_volume as open_volume
    from sightline.probes.effects import Effect as Effect
    from sightline.probes.shares import Shares as Shares
    from sightline.studies.conclusions import ClassReport as ClassReport
    from sightline.verbs.attribute import attribute as attribute
    from sightline.verbs.audit import audit as audit
    from sightline.verbs.audited import Report as Report
    from sightline.verbs.concepts import Concepts as Concepts
    from sightline.verbs.concepts import concepts as concepts
    from sightline.verbs.evidence import Evidence as Evidence
    from sightline.verbs.evidence import evidence as evidence
    from sightline.verbs.explain import explain as explain
    from sightline.verbs.explain import predict as predict
    from sightline.verbs.explanation import Comparison as Comparison
    from sightline.verbs.explanation import Explanation as Explanation
    from sightline.verbs.explanation import grid as grid
    from sightline.verbs.filters import Filters as Filters
    from sightline.verbs.filters import filters as filters
    from sightline.verbs.probe import probe as probe
    from sightline.verbs.probed import Probe as Probe
    from sightline.verbs.responses import Responses as Responses
    from sightline.verbs.responses import responses as responses
    from sightline.verbs.sweep import Sweep as Sweep
    from sightline.verbs.sweep import sweep as sweep
    from sightline.verbs.tcav import tcav as tcav
    from sightline.verbs.top_photos import TopPhotos as TopPhotos
    from sightline.verbs.top_photos import top_photos as top_photos
    from sightline.verbs.trialled import Tcav as Tcav
    from sightline.verbs.visualization import Visualization as Visualization
    from sightline.verbs.visualize import visualize as visualize

_ROOMS = {
    "attribution.catalog": ("Method", "methods"),
    "core.errors": (
        "LayerError", "MethodError", "ModelError", "NetworkError", "OptionError", "PhotoError", "SaveError",
        "SightlineError", "SightlineWarning", "TargetError",
    ),
    "core.heats": ("Heat", "Prediction", "Warning"),
    "features.ascent": ("Step",),
    "models.model": ("Model",),
    "models.sources": ("load",),
    "models.wrapping": ("wrap",),
    "photos.decode": ("Photo", "open_photo"),
    "photos.volumes": ("Volume", "open_volume"),
    "probes.effects": ("Effect",),
    "probes.shares": ("Shares",),
    "studies.conclusions": ("ClassReport",),
    "verbs.attribute": ("attribute",),
    "verbs.audit": ("audit",),
    "verbs.audited": ("Report",),
    "verbs.concepts": ("Concepts", "concepts"),
    "verbs.evidence": ("Evidence", "evidence"),
    "verbs.explain": ("explain", "predict"),
    "verbs.explanation": ("Comparison", "Explanation", "grid"),
    "verbs.filters": ("Filters", "filters"),
    "verbs.probe": ("probe",),
    "verbs.probed": ("Probe",),
    "verbs.responses": ("Responses", "responses"),
    "verbs.sweep": ("Sweep", "sweep"),
    "verbs.tcav": ("tcav",),
    "verbs.top_photos": ("TopPhotos", "top_photos"),
    "verbs.trialled": ("Tcav",),
    "verbs.visualization": ("Visualization",),
    "verbs.visualize": ("visualize",),
}  # fmt: skip
_HOME = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = ("canvases", "edits", "regions", "targets", "transforms")
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"sightline.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}")
    value = getattr(import_module(f"sightline.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*_HOME, *_MODULES, "__version__"))
