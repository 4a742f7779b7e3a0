"""The ten digits as a small network wants them: `python docs/digits.py`, from the repository's root, half a minute.

The network reads scikit-learn's bundled digits. In training each digit is changed a little, to where the network is
most wrong about it (arXiv:1706.06083): what such a network climbs to, a person can read (arXiv:1906.00945).
"""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import sightline as sl

SIDE, EPOCHS, BATCH = 24, 30, 64
REACH = 1.15  # L2 norm of the change in training; a digit's own is about 9


def digits() -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits (N, 1, 24, 24) in [0, 1], and which they are, (N,)."""
    data = load_digits()
    small = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    enlarged = F.interpolate(small, (SIDE - 4, SIDE - 4), mode="bicubic", align_corners=False).clamp(0, 1)
    return F.pad(enlarged, (2, 2, 2, 2)), torch.tensor(data.target)


def confused(network: nn.Module, images: Tensor, labels: Tensor, reach: float) -> Tensor:
    """The images, each moved by `reach` to where the network is most wrong about it, in two steps."""
    moved = images
    for _ in range(2):
        moved = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(network(moved), labels, reduction="sum"), moved)
        change = (moved + reach * F.normalize(slope.flatten(1)).view_as(slope)).clamp(0, 1) - images
        moved = images + change.renorm(2, 0, reach)
    return moved.detach()


def trained(seed: int) -> nn.Module:
    """A network of three linear layers, from 24 x 24 pixels to ten scores, in some seconds."""
    images, labels = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(SIDE**2, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
        )
        climb = torch.optim.Adam(network.parameters(), lr=1e-3)
        for epoch in range(EPOCHS):
            reach = REACH * min(1.0, 2 * epoch / EPOCHS)
            for some in torch.randperm(len(images)).split(BATCH):
                hard = confused(network, images[some], labels[some], reach)
                climb.zero_grad()
                F.cross_entropy(network(hard), labels[some]).backward()
                climb.step()
    return network.eval()


def drawn(network: nn.Module) -> sl.Visualization:
    """An image for each digit: from black, held back by its squared norm, moved a little before each look."""
    model = sl.wrap(network, channels=1, input_size=SIDE, mean=0, std=1, labels=list("0123456789"), output="logits")
    return sl.visualize(
        model,
        list(range(10)),
        steps=128,
        preset="keras-vis",
        rate=0.03,
        start="zero",
        transforms=(sl.transforms.Jitter(0.03), sl.transforms.Rotate(5)),
        edge="grey",
        penalties=(10 * sl.targets.L2(),),
    )


def answers(network: nn.Module, images: Tensor) -> Tensor:
    """The probability of each digit, (N, 10)."""
    with torch.no_grad():
        return network(images).softmax(1)


if __name__ == "__main__":
    mine, other = trained(seed=1), trained(seed=0)
    images, labels = digits()
    vis = drawn(mine)
    right = answers(mine, images).argmax(1) == labels
    print(f"of the digits it was trained on it reads {right.float().mean():.1%}")
    print("probability of each by the network itself:", *(f"{p:.4f}" for p in answers(mine, vis.images).diagonal()))
    print("what a network from another seed reads:", *answers(other, vis.images).argmax(1).tolist())
    vis.save(Path(__file__).with_name("digits.png"))
