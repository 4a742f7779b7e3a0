"""Slow, literal readings to compare with: where each token lies, and Grad-CAM as its paper writes it."""

import torch
from torch.nn import functional as F


def tokens(rows, columns, prefix=0):
    """A reading of (B, prefix + rows * columns, C) as (B, C, rows, columns), one cell at a time."""

    def read(output):
        grid = torch.zeros(len(output), output.shape[2], rows, columns)
        for row in range(rows):
            for column in range(columns):
                grid[:, :, row, column] = output[:, prefix + row * columns + column]
        return grid

    return read


def last(output):
    """(B, rows, columns, C) as (B, C, rows, columns)."""
    return torch.stack([output[..., channel] for channel in range(output.shape[-1])], 1)


def first(output):
    return output


def outputs(network, images, *layers):
    """What the layers put out, (the first tensor of a tuple), and the network's answer."""
    seen = {}

    def keep(name):
        def hook(_module, _inputs, output):
            seen[name] = output
            return output.clone() if isinstance(output, torch.Tensor) else None  # DenseNet's next step is in place

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        answer = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [seen[name][0] if isinstance(seen[name], tuple) else seen[name] for name in layers], answer


def logits(answer):
    return answer if isinstance(answer, torch.Tensor) else answer.logits


def grad_cam(network, images, target, layer, read):
    """Each channel of the layer's map, weighted by its mean gradient; enlarged without aligning corners."""
    (acts,), answer = outputs(network.eval(), images.clone().requires_grad_(), layer)
    (slopes,) = torch.autograd.grad(logits(answer)[:, target].sum(), acts)
    maps, weights = read(acts.detach()), read(slopes).mean((2, 3), keepdim=True)
    return F.interpolate((maps * weights).sum(1, keepdim=True), images.shape[2:], mode="bilinear")


def rattle(network, seed=0):
    """Heads that start at zero, and layer scales close to it, hide everything: give every parameter some size."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.abs().max() > 1e-3:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=dice))
    return network.eval()


def same(ours, theirs):
    """Equal to 1e-4 of the maximum, which is not zero."""
    top = theirs.abs().max()
    return bool(top > 0) and bool((ours - theirs).abs().max() <= 1e-4 * top)
