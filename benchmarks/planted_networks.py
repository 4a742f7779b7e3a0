"""Small networks trained on scenes with a planted shortcut, and what they truly lose without it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.planted_scenes import CLASSES, Bank, Bytes, Rule, Scenes, Whole, bank, every, scenes

Tell = Callable[[str], object]
_VERSION = 3  # of the scenes and the training; goes up when they change
_BATCH = 64
_WIDTH = 12
_TRUTH = 2002  # scenes per class and side
_PHOTOS = 100  # per class, for the audit
_TUNING = 7  # networks, the first
_REPEATS = 2
_TRAIN, _AUDIT, _MEASURE = (10_000_000, 500), (20_000_000, 400), (30_000_000, 1000)  # first seed, things per class


@dataclass(frozen=True)
class Recipe:
    """All that a network comes from. `tuning`: estimators may be tuned on it, and figures are not reported on it."""

    seed: int
    rule: Rule
    scenes: int
    epochs: int
    tuning: bool

    @property
    def told(self) -> dict[str, object]:
        """What its weights hang on."""
        return {name: value for name, value in asdict(self).items() if name != "tuning"}

    @property
    def key(self) -> str:
        """A name for the file that keeps it."""
        told = json.dumps([_VERSION, self.told, _WIDTH, _BATCH, _TRUTH, _TRAIN, _MEASURE], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Planted:
    """A trained network, and for each class the accuracy with its own surroundings and with those of all classes.

    Of the cue "colour" the second is with the hues of all classes instead.
    """

    recipe: Recipe
    network: nn.Module
    own: tuple[float, ...]
    all: tuple[float, ...]

    @property
    def loss(self) -> tuple[float, ...]:
        """What each class truly loses."""
        return tuple(own - every_kind for own, every_kind in zip(self.own, self.all, strict=True))


class Unit(nn.Module):
    """From pixels in [0, 1] to the network's units."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, h, w)."""
        return (pixels - 0.5) / 0.25


def network_of(seed: int) -> nn.Sequential:
    """Images (N, 3, 64, 64) in [0, 1] to logits (N, 7), untrained; no global seed is touched."""

    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    sizes = (3, _WIDTH, 2 * _WIDTH, 3 * _WIDTH, 4 * _WIDTH)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = [block(sizes[i], sizes[i + 1], (2, 2, 2, 1)[i]) for i in range(4)]
        return nn.Sequential(Unit(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(sizes[-1], CLASSES))


def recipes() -> list[Recipe]:
    """Every network: each kind of shortcut at all strengths, hard and easy objects; the first few for tuning."""
    found = []
    mixed, strong, weak = (0, 0, 0, 0.5, 0.8, 0.95, 1), (0, 0, 0, 0.95, 1, 1, 1), (0, 0, 0.3, 0.5, 0.5, 0.7, 0.8)
    plan: list[tuple[str, tuple[float, ...], bool | None, int]] = []
    for cue in ("background", "tag", "watermark", "companion"):
        plan += [(cue, mixed, None, 3000), (cue, strong, False, 2000), (cue, weak, True, 5000)]
    plan += [
        ("background", (1,) * 7, None, 3000),
        ("tag", (0.9,) * 7, None, 3000),
        ("background", (0,) * 7, None, 3000),
    ]
    plan += [("colour", strong, None, 3000)]
    for repeat in range(_REPEATS):
        for row, (cue, strengths, large, count) in enumerate(plan):
            seed = 100 * repeat + row
            order = np.random.default_rng((seed, 7)).permutation(CLASSES)
            rule = Rule(cue, tuple(float(strengths[i]) for i in order), large)
            found.append(Recipe(seed, rule, count, 12 if count == 2000 else 8, tuning=seed < _TUNING))
    return found


class Maker:
    """Makes and keeps networks and their photos. `cache`: the folder that keeps them."""

    def __init__(self, cache: Path, tell: Tell) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self.cache, self.tell = cache, tell
        self._banks: dict[tuple[int, int], Bank] = {}

    def planted(self, recipe: Recipe) -> Planted:
        """The network of a recipe, trained and measured where it is not kept yet."""
        path, figures = (self.cache / f"net-{recipe.key}{end}" for end in (".safetensors", ".json"))
        network = network_of(recipe.seed)
        if not figures.exists():
            self._train(network, recipe)
            save_file(network.state_dict(), path)
            network.eval()
            truth = self._truth(network, recipe)
            figures.write_text(json.dumps({"recipe": recipe.told, **truth}, indent=1))
        network.load_state_dict(load_file(path))
        truth = json.loads(figures.read_text())
        return Planted(recipe, network.eval(), tuple(truth["own"]), tuple(truth["all"]))

    def photos(self, recipe: Recipe) -> Scenes:
        """What the audit is given: scenes as in training, never trained on, 100 of each class, in turn."""
        things = every(_PHOTOS)
        return scenes(self._bank(_AUDIT), recipe.rule, things, things, np.random.default_rng((recipe.seed, 11)))

    def _bank(self, which: tuple[int, int]) -> Bank:
        if which not in self._banks:
            self._banks[which] = bank(*which, self.cache, self.tell)
        return self._banks[which]

    def _train(self, network: nn.Module, recipe: Recipe) -> None:
        dice = np.random.default_rng((recipe.seed, 10))
        things = every(recipe.scenes // CLASSES)
        shown = scenes(self._bank(_TRAIN), recipe.rule, things, things, dice)
        images, labels = torch.from_numpy(shown.images), torch.from_numpy(shown.labels)
        generator = torch.Generator().manual_seed(recipe.seed)
        climb = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
        steps = recipe.epochs * -(-len(images) // _BATCH)
        pace = torch.optim.lr_scheduler.OneCycleLR(climb, 6e-3, total_steps=steps, pct_start=0.2)
        network.train()
        for _ in range(recipe.epochs):
            for picked in torch.split(torch.randperm(len(images), generator=generator), _BATCH):
                batch = images[picked].float() / 255
                mirrored = torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5
                level = torch.randn(len(batch), 1, 1, 1, generator=generator) * 0.04
                loss = cross_entropy(network(torch.where(mirrored, batch.flip(3), batch) + level), labels[picked])
                climb.zero_grad()
                torch.autograd.backward(loss)
                climb.step()
                pace.step()

    def _truth(self, network: nn.Module, recipe: Recipe) -> dict[str, list[float]]:
        """By class, the accuracy with its own surroundings and with all, on the same number of scenes."""
        found: dict[str, list[float]] = {"own": [], "all": []}
        hue = recipe.rule.cue == "colour"
        for one in range(CLASSES):
            things, kinds = np.full(_TRUTH, one), np.arange(_TRUTH) % CLASSES
            for side, around in (("own", things), ("all", kinds)):
                dice = np.random.default_rng((recipe.seed, 12, one))
                shown = scenes(self._bank(_MEASURE), recipe.rule, things, around, dice, own_hue=not hue)
                found[side].append(float((answers(network, shown.images) == one).mean()))
        return found


@torch.no_grad()
def answers(network: nn.Module, images: Bytes) -> Whole:
    """The class of each uint8 image, (n,)."""
    parts = torch.split(torch.from_numpy(images), 256)
    return torch.cat([network(part.float() / 255).argmax(1) for part in parts]).numpy()
