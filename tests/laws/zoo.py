"""The networks that every law is tried on, and how to see that one comes back as it was."""

import warnings
from contextlib import nullcontext

import torch
from torch import nn

import sightline as sl

METHODS = [method.id for method in sl.methods()]
SEEDED = [method.id for method in sl.methods() if method.seeded]
GRADIENT = [method.id for method in sl.methods() if "gradients" in method.needs]
LAYER = [method.id for method in sl.methods() if "layer" in method.needs]
RELU = [method.id for method in sl.methods() if "relu" in method.needs]
UNTARGETED = ["eigen-cam", "kpca-cam", "fem"]
TARGETED = [method for method in LAYER if method not in UNTARGETED]
ANY_TARGET = [method for method in METHODS if method != "finer-cam"]  # which sets a class apart from others
LINEAR_HEAD = [method.id for method in sl.methods() if "linear-head" in method.needs]
FEWER = {"samples": 4, "budget": 20}  # of these options a few are enough for a law
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


class OddError(Exception):
    """An error that only the network's owner knows."""


class FailsAt(nn.Module):
    """Passes scores on, and raises at its n-th call."""

    def __init__(self, call, error):
        super().__init__()
        self.calls, self.call, self.error = 0, call, error

    def forward(self, scores):
        self.calls += 1
        if self.calls == self.call:
            raise self.error
        return scores


class ConvNet(nn.Module):
    """Batch norm, in-place ReLUs, a convolution and a ReLU that run twice, dropout, buffers that a pass changes."""

    def __init__(self, channels=3, classes=5, dims=2):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        self.stem = conv(channels, 6, 3, padding=1)
        self.norm = norm(6)
        self.relu = nn.ReLU(inplace=True)
        self.mix = conv(6, 6, 3, padding=1)
        self.features = nn.Sequential(conv(6, 8, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, classes)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(classes), persistent=False)

    def forward(self, images):
        self.calls += 1
        x = self.relu(self.norm(self.stem(images)))
        x = self.relu(self.mix(x) + x)
        x = self.mix(x)
        x = self.features(x)
        answer = self.head(self.dropout(x.flatten(2).mean(2)))
        self.last = self.last + 1
        return answer


class TokenNet(nn.Module):
    """Patches, a class token, two attention blocks with dropout, and a head that reads the class token alone."""

    def __init__(self, channels=3, classes=5):
        super().__init__()
        self.patches = nn.Conv2d(channels, 8, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 25, 8))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, classes)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


NETWORKS = {"convolutions": ConvNet, "tokens": TokenNet}


class Answering(nn.Module):
    """A network whose answer goes through `change` before it is returned, or that fails there."""

    def __init__(self, network, change):
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images):
        return self.change(self.network(images))


SEEDS = {"convolutions": 2, "tokens": 0}  # with these weights no class is without evidence for it


def built(kind="convolutions", seed=None, **sizes):
    """A network of that kind with fixed weights and lived-in statistics, in evaluation mode."""
    seed = SEEDS[kind] if seed is None else seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[kind](**sizes)
        for module in network.modules():
            if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
                nn.init.normal_(module.weight, 0, 2 / module.weight[0].numel() ** 0.5)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


def pictures(count=3, channels=3, size=(8, 12), seed=1):
    """Images (count, channels, *size) that are the same every time."""
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def fewer(method):
    """Those options of a method that make it quick."""
    taken = next(one.options for one in sl.methods() if one.id == method)
    return {name: value for name, value in FEWER.items() if name in taken}


def explained(network, images, target=2, *, method, **options):
    """`sl.attribute` with few samples and without its warnings, for laws that do not turn on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.attribute(network, images, target, method=method, **{**fewer(method), **options})


def alike(heat, expected, share=1e-5):
    """Whether two heats' values are the same within a share of the expected maximum, which has to be above zero."""
    largest = expected.values.abs().max()
    assert largest > 0, "a blank map proves nothing"
    assert heat.values.shape == expected.values.shape
    return bool((heat.values.to(expected.values) - expected.values).abs().max() <= share * largest)


def condition(network):
    """All that an owner can see of a network: modes, flags, gradients, hooks, weights and buffers to the bit."""
    seen = {}
    for name, module in network.named_modules():
        seen[name, "mode"] = module.training
        for attribute, value in vars(module).items():
            if "hooks" in attribute:
                seen[name, attribute] = None if value is None else [(key, id(hook)) for key, hook in value.items()]
        seen[name, "attributes"] = sorted(vars(module))
        seen[name, "compiled"] = id(module._compiled_call_impl) if module._compiled_call_impl else None
        for kind in ("_parameters", "_buffers"):
            for key, tensor in getattr(module, kind).items():
                seen[name, key] = (kind, id(tensor), *_bits(tensor))
                grad = None if tensor is None or tensor.is_inference() else tensor.grad
                seen[name, key, "gradient"] = (id(grad), *_bits(grad))
    return seen


def _bits(tensor):
    if tensor is None:
        return ()
    numbers = tensor.detach().cpu().flatten().contiguous().view(torch.uint8)
    return tensor.dtype, tuple(tensor.shape), tensor.requires_grad, bytes(numbers.numpy())


def lived_in(network):
    """The network as owners leave it: modes mixed, half of the weights frozen, some gradients, hooks of their own."""
    for number, module in enumerate(network.modules()):
        module.training = number % 2 == 0
        module.register_forward_hook(lambda *_: None)
        module.register_forward_pre_hook(lambda *_: None)
    head = network.network.head if isinstance(network, Answering) else network.head
    head.register_full_backward_hook(lambda *_: None)
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 2 == 0)
        parameter.grad = torch.ones_like(parameter) if number % 3 == 0 else None
    return network


CALLERS = {
    "plain": nullcontext,
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
}
