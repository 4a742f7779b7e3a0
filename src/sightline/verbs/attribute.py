"""Attribution of tensors: no photo, no labels, the network's own units."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from sightline.attribution.cams import Layers
from sightline.attribution.catalog import method as known_method
from sightline.attribution.driver import bind, offered, run
from sightline.core.errors import NetworkError, OptionError, SightlineWarning
from sightline.core.heats import Heat, Warning
from sightline.models.known import known
from sightline.models.model import CHUNK, Model
from sightline.network.net import Net, lend
from sightline.verbs.asked import target_for

PREFERRED = ("grad-cam", "saliency", "rise")


def attribute(
    network: Any,
    images: Tensor,
    target: Any = None,
    method: str | Sequence[str] | None = None,
    layer: Layers = None,
    seed: int = 0,
    watch: Callable[[Heat], object] | None = None,
    **options: Any,
) -> Any:
    """How images (B, C, *spatial) hold up a score: a Heat with values (B, C or 1, *spatial), detached.

    `network`: a `torch.nn.Module`, a function, or a Model; it comes back as it was. The images are in its own units:
    "black" is zero there, for a Model the black pixel after normalization. `target`: None for the predicted class,
    an index, a list of one per image, a value of `sl.targets`, or a function of the scores (B, ...). `method`: an id;
    a list of ids shares their passes and gives a dict id -> Heat. `layer`: a name, or several, whose maps are fused.
    `watch` is called with the heat so far of sampled and refined methods. `options`: see `sl.methods()`.
    Raises TargetError, MethodError, LayerError, OptionError, NetworkError.
    """
    if not isinstance(images, Tensor) or images.ndim < 3 or not len(images) or not images.is_floating_point():
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise NetworkError(f"images are {got}; give a floating-point tensor (B, C, *spatial) with B at least 1.")
    checked_watch(watch)
    layer = network.layer if layer is None and isinstance(network, Model) else layer
    wanted = target_for(target, len(images), network if isinstance(network, Model) else None)
    with _lend(network, images) as net:
        images = plain(images)
        names = asked_for(method) or [preferred(net, images)]
        show = None if watch is None else lambda name, so_far: watch(so_far.heats[name])
        heats = run(net, images, wanted, bind(names, layer, seed, options), layer, watch=show).heats
    announce(warning for heat in heats.values() for warning in heat.warnings)
    return next(iter(heats.values())) if isinstance(method, str | None) else heats


def checked_watch(watch: Any) -> None:
    """Refuse what cannot be called. Raises OptionError."""
    if watch is not None and not callable(watch):
        raise OptionError(f"watch={watch!r}; give a function that is called with the result so far, or None.")


def asked_for(method: str | Sequence[str] | None) -> list[str] | None:
    """The ids of methods that are asked for; None for the default. Raises OptionError for an empty list."""
    if isinstance(method, list | tuple):
        if not method:
            raise OptionError("method=[] names none; give ids of sl.methods(), or None for the default.")
        return list(method)
    return None if method is None else [method]  # type: ignore[list-item]


def _lend(network: Any, images: Tensor) -> AbstractContextManager[Net]:
    if isinstance(network, Model):
        return network.lend(images)
    found = known(network)
    return lend(found.network, images, output=found.output, chunk=found.batch_size or CHUNK)


def plain(images: Tensor) -> Tensor:
    """A tensor that autograd can use, whatever mode the caller made it in."""
    return images.clone() if images.is_inference() else images.detach()


def preferred(net: Net, images: Tensor) -> str:
    """The first method of PREFERRED whose needs the network meets; the last of them needs nothing."""
    needs = {name: known_method(name).needs for name in PREFERRED}
    return next(name for name, asked in needs.items() if asked <= offered(net, images, asked=asked))


def announce(found: Iterable[Warning]) -> None:
    """Issue what stays on the result as Python warnings too, each message once."""
    for message in dict.fromkeys(one.message for one in found):
        python_warnings.warn(message, SightlineWarning, stacklevel=3)
