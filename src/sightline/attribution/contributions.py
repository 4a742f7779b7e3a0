"""What each channel of a layer contributes to a class activation map: all that the CAM methods differ in.

Functions of activations and gradients, both (B, C, *grid), that give (B, C or 1, *grid); summed over the channels
it is the map.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sightline.attribution.components import first_component, first_kernel_component

Contribution = Callable[[Tensor, Tensor], Tensor]


def everywhere(reduce: Callable[..., Tensor], maps: Tensor) -> Tensor:
    """`torch.sum` or `torch.mean` over all positions of maps (B, C, *grid), (B, C, 1, ...)."""
    return reduce(maps.flatten(2), 2).view(*maps.shape[:2], *[1] * (maps.ndim - 2))


def grad_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """One weight per channel: its mean gradient (arXiv:1610.02391)."""
    return everywhere(torch.mean, grads) * acts


def cam(acts: Tensor, grads: Tensor) -> Tensor:
    """The weights of the linear layer that reads the averaged map (arXiv:1512.04150).

    Behind an average over n positions its weight is n times the gradient, which is the same everywhere.
    """
    return everywhere(torch.sum, grads) * acts


def grad_cam_pp(acts: Tensor, grads: Tensor) -> Tensor:
    """Positive gradients weighted by alpha = g^2 / (2 g^2 + sum(A) g^3) (arXiv:1710.11063, equation 19).

    Divided through by g^2, so that nothing has to be added to keep tiny gradients finite. The paper's factor exp(S)
    is the same for all of a map and left out. Its A are rectified; where a layer's are not, only what is above zero
    counts, lest the denominator cross zero.
    """
    rising = grads.clamp_min(0)
    alpha = 1 / (2 + everywhere(torch.sum, acts.clamp_min(0)) * rising)
    return everywhere(torch.sum, alpha * rising) * acts


def xgrad_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """Gradients averaged with the activations as weights (arXiv:2008.02312, equation 8)."""
    whole = everywhere(torch.sum, acts)
    weights = everywhere(torch.sum, grads * acts) / torch.where(whole == 0, torch.ones_like(whole), whole)
    return weights * acts


def layer_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """Each position by its own positive gradient (doi:10.1109/TIP.2021.3089943)."""
    return grads.clamp_min(0) * acts


def hires_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """Each position by its own gradient (arXiv:2011.08891)."""
    return grads * acts


def grad_cam_element_wise(acts: Tensor, grads: Tensor) -> Tensor:
    """As HiResCAM, with negative contributions dropped before the channels are summed (pytorch-grad-cam's own)."""
    return (grads * acts).clamp_min(0)


def eigen_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """The activations' projection on their first singular vector, not centred (arXiv:2008.00299)."""
    return first_component(acts, _energy(acts))


def kpca_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """The first component of the positions under a sigmoid kernel (arXiv:2410.00267)."""
    return first_kernel_component(acts, _energy(acts))


def _energy(acts: Tensor) -> Tensor:
    """How much goes on at each position, (B, 1, *grid): which way is up, for components that leave it open."""
    return acts.square().sum(1, keepdim=True)


def fem(acts: Tensor, grads: Tensor) -> Tensor:
    """Where each channel exceeds its mean by two standard deviations, times that mean, as Xplique has it.

    doi:10.1109/IPTA50016.2020.9286629. pytorch-grad-cam weighs the activations by how often they do so instead.
    """
    mean = everywhere(torch.mean, acts)
    spread = everywhere(torch.mean, (acts - mean).square()).sqrt()
    return mean * (acts > mean + 2 * spread)


def principal(contributions: Tensor) -> Tensor:
    """Contributions smoothed: their first principal component (B, 1, *grid) instead of their sum."""
    return first_component(contributions, contributions.sum(1, keepdim=True), centred=True)
