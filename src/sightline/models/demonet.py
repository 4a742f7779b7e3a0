"""The embedded model: a small network, trained on scenes where the ball was only ever seen on its court."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn

from sightline.models import weights

LABELS: tuple[str, ...] = ("ball", "cone", "crate", "duck", "mug", "pumpkin", "toadstool")
"""The classes in the order of the outputs; the same as the scenes' `OBJECTS`."""
INPUT_SIZE = 128
MEAN: tuple[float, float, float] = (0.5, 0.5, 0.5)
STD: tuple[float, float, float] = (0.25, 0.25, 0.25)
"""Of RGB in [0, 1]: the input is (pixel - MEAN) / STD."""
WEIGHTS: Path = Path(__file__).with_name("demonet.safetensors")


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module]()
    layers["conv"] = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    layers["norm"] = nn.BatchNorm2d(outputs)
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class DemoNet(nn.Module):
    """Images (B, 3, 128, 128), normalized with MEAN and STD, to logits (B, 7), one per LABELS.

    `features` ends in a map (B, 64, 16, 16) after a ReLU; its average goes through one linear layer, so that
    CAM is exact here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(3, 16, 2),
            _block(16, 32, 2),
            _block(32, 48, 2),
            _block(48, 64),
            _block(64, 64),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 7)."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def load_weights(path: Path = WEIGHTS) -> DemoNet:
    """The trained network in eval mode, float32 on the CPU. Raises ModelError for a file that does not fit."""
    net = DemoNet().eval()
    weights.load_weights(net, path)
    return net
