"""ResNet-8 of the data folder, which has batch norm with trained statistics: prepared weights change nothing."""

import copy

import h5py
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sightline as sl


class ResNet8(nn.Module):
    """`pretrainedResnet.h5` in torch: inputs (N, 3, 32, 32) of 0..255 as [0, 1], logits (N, 10)."""

    def __init__(self):
        super().__init__()
        widths = [(3, 16), (16, 16), (16, 16), (16, 32), (32, 32), (16, 32), (32, 64), (64, 64), (32, 64)]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 1 if i in (5, 8) else 3) for i, (a, b) in enumerate(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(n, eps=1e-3) for n in (16, 16, 16, 32, 32, 64, 64))
        self.head = nn.Linear(64, 10)

    def conv(self, i, x, stride=1):
        conv = self.convs[i]
        conv.stride = (stride, stride)
        if conv.kernel_size == (3, 3):  # TensorFlow pads a stride of 2 on the right and the bottom only
            x = F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
        return conv(x)

    def forward(self, images):
        x = self.norms[0](self.conv(0, images * 255)).relu()
        y = self.norms[1](self.conv(1, x)).relu()
        x = (x + self.norms[2](self.conv(2, y))).relu()
        for conv, norm in ((3, 3), (6, 5)):
            y = self.norms[norm](self.conv(conv, x, 2)).relu()
            x = (self.conv(conv + 2, x, 2) + self.norms[norm + 1](self.conv(conv + 1, y))).relu()
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def network(data):
    network = ResNet8()
    with h5py.File(data / "models" / "pretrainedResnet.h5") as file:

        def load(module, name, **parts):
            for ours, theirs in parts.items():
                value = torch.from_numpy(file["model_weights"][name][name][f"{theirs}:0"][()])
                value = value.movedim((-1, -2), (0, 1)) if value.ndim > 1 else value
                getattr(module, ours).data.copy_(value)

        for i, conv in enumerate(network.convs):
            load(conv, f"conv2d_{i}" if i else "conv2d", weight="kernel", bias="bias")
        for i, norm in enumerate(network.norms):
            parts = {
                "weight": "gamma",
                "bias": "beta",
                "running_mean": "moving_mean",
                "running_var": "moving_variance",
            }
            load(norm, f"batch_normalization_{i}" if i else "batch_normalization", **parts)
        load(network.head, "dense", weight="kernel", bias="bias")
    return network.eval()


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
def test_prepared_weights_give_the_maps_of_the_plain_network(network, photos):
    model = sl.wrap(network, input_size=32, mean=0, std=1, resize="squash")
    images = torch.stack([model.tensor(sl.open_photo(path))[0] for path in photos.values()])
    classes = network(images).argmax(1).tolist()
    assert len(set(classes)) > 3, "it tells photos apart"
    methods = ["saliency", "grad-cam", "layer-cam", "guided-backprop", "integrated-gradients"]
    exact = copy.deepcopy(network).double()
    ours, plain = (sl.attribute(one, images, classes, methods) for one in (model, network))
    right = sl.attribute(exact, images.double(), classes, methods)
    assert sum(pair.norm is not None for pair in model._packing._pairs.values()) == 7
    for method in methods:
        for found in (ours, plain):
            cosine = F.cosine_similarity(found[method].values.double().flatten(1), right[method].values.flatten(1))
            assert cosine.min() > 0.9999, method
