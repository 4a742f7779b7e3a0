"""How many passes integrated gradients take until the map is right: ours by its own rule, Captum by doubling."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

import sightline as sl
from benchmarks import data
from benchmarks.contestants import peer
from benchmarks.findings import Finding, Goal
from benchmarks.stats import ratio

LARGEST_GAP, LEAST_COSINE = 0.01, 0.995
DENSE, FIRST, DOUBLINGS = 2000, 25, 8  # Captum gives up after 25 * 2 ** 8 = 6400 steps
NETWORKS = ((192, 0.75), (128, 0.25))  # input, alpha
_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Way:
    """A photo as (1, 3, side, side), explained for class `target`, with the map of DENSE steps from black.

    `key` names network and photo by what they hold.
    """

    network: nn.Module
    image: Tensor
    target: int
    dense: Tensor
    key: str

    @property
    def black(self) -> Tensor:
        return torch.full_like(self.image, -1.0)

    def right(self, values: Tensor) -> bool:
        """Whether a map adds up to the score's change and points where the dense one does."""
        with torch.no_grad():
            end, start = self.network(torch.cat([self.image, self.black]))[:, self.target].double()
        gap = abs(float(values.double().sum() / (end - start)) - 1)
        cosine = float(torch.cosine_similarity(values.double().flatten(), self.dense.double().flatten(), 0))
        return gap < LARGEST_GAP and cosine >= LEAST_COSINE


def measure(_rounds: int) -> Iterator[Finding]:
    """Passes of ours and of Captum on every photo and its mirror image, on both networks."""
    peer("captum.attr")
    data.check()
    counts = [(ours(way), _captum_once(way)) for way in ways()]
    spent, right, theirs, right_too = ([each[i][j] for each in counts] for i in (0, 1) for j in (0, 1))
    # a map of ours that misses is no gain, however few passes it took
    counted = [passes if there else float("inf") for passes, there in zip(spent, right, strict=True)]
    note = f"both criteria held for {sum(right)} of {len(right)} maps of ours, {sum(right_too)} of Captum's"
    what = "passes of integrated gradients to a gap under 1 % and a cosine of 0.995"
    each, goal = ratio(theirs, counted), Goal("at least", 8.0)
    yield Finding("passes", what, "Captum, doubling", median(spent), median(theirs), "passes", each, goal, note)


def ours(way: Way) -> tuple[int, bool]:
    """Passes until its own rule stopped it, and whether the map was right then."""
    model = sl.wrap(way.network, input_size=way.image.shape[-1], mean=0.5, std=0.5)
    heat = sl.attribute(model, way.image, way.target, "integrated-gradients")
    return heat.passes[0], way.right(heat.values)


def _captum_once(way: Way) -> tuple[int, bool]:
    """Captum's count, from the temporary folder when this version of it was counted before."""
    found = kept(f"{way.key}-captum-{version('captum')}", lambda: torch.tensor(captum(way)))
    return int(found[0]), bool(found[1])


def captum(way: Way) -> tuple[int, bool]:
    """Passes of all tries together, and whether the last one was right."""
    method = peer("captum.attr").IntegratedGradients(way.network)
    spent = 0
    for steps in (FIRST * 2**doubling for doubling in range(DOUBLINGS + 1)):
        leaf = way.image.clone().requires_grad_()
        options = {"n_steps": steps, "internal_batch_size": _AT_ONCE}
        values = method.attribute(leaf, way.black, target=way.target, **options).detach()
        spent += steps
        if way.right(values):
            return spent, True
    return spent, False


def ways() -> Iterator[Way]:
    """Every photo and its mirror image on both networks."""
    for network, photo in photos("passes"):
        for image in (photo, photo.flip(-1)):
            yield _way(network, image)


def photos(label: str) -> Iterator[tuple[nn.Module, Tensor]]:
    """Both networks with every photo (1, 3, side, side), prepared for them, with progress."""
    paths = sorted((data.DATA / "photos").iterdir())
    total = len(NETWORKS) * len(paths)
    with tqdm(total=total, desc=label, unit="photo", disable=None, leave=False) as bar:
        for side, alpha in NETWORKS:
            network = data.mobilenet_v1(side, alpha)
            for path in paths:
                yield network, _prepared(path, side)
                bar.update()


def _way(network: nn.Module, image: Tensor) -> Way:
    with torch.no_grad():
        target = int(network(image)[0].argmax())
    key = _key(network, image)
    return Way(network, image, target, kept(key, partial(integral, network, image, target)), key)


def integral(network: nn.Module, image: Tensor, target: int, steps: int = DENSE) -> Tensor:
    """Integrated gradients from black, -1, by the trapezoid rule on `steps` uniform segments, in plain autograd."""
    start = torch.full_like(image, -1.0)
    total = torch.zeros_like(image, dtype=torch.float64)
    for part in torch.split(torch.arange(steps + 1), _AT_ONCE):
        points = (start + (part / steps).view(-1, 1, 1, 1) * (image - start)).requires_grad_()
        (slopes,) = torch.autograd.grad(network(points)[:, target].sum(), points)
        weights = torch.where((part == 0) | (part == steps), 0.5, 1.0).double() / steps
        total += (weights.view(-1, 1, 1, 1) * slopes).sum(0, keepdim=True)
    return (total * (image - start)).float()


def kept(key: str, make: Callable[[], Tensor]) -> Tensor:
    """The tensor of that key, from the system's temporary folder when it was made before."""
    folder = Path(tempfile.gettempdir()) / "sightline-benchmarks"
    folder.mkdir(exist_ok=True)
    file = folder / f"{key}.npy"
    if not file.exists():
        half = file.with_suffix(f".{os.getpid()}.npy")
        np.save(half, make().numpy())
        half.replace(file)  # another run never sees half a file
    return torch.from_numpy(np.load(file))


def _key(network: nn.Module, image: Tensor) -> str:
    digest = hashlib.sha256(str(DENSE).encode())
    for tensor in (*network.state_dict().values(), image):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _prepared(path: Path, side: int) -> Tensor:
    from PIL import Image

    with Image.open(path) as photo:
        tensor: Tensor = data.definitions("mobilenet_v1").preprocess(photo, side, crop=False)
    return tensor
