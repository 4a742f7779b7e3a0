"""Small Keras models on the torch backend for the tests."""

import torch

from sightline.models.keras_import import torch_keras

KERAS = torch_keras()
L = KERAS.layers


def stacked(*layers, shape=(16, 16, 3)):
    """A sequential model of seeded random weights, biases too."""
    return seeded(KERAS.Sequential([KERAS.Input(shape), *layers]))


def seeded(model):
    dice = torch.Generator().manual_seed(0)
    for weight in model.weights:
        if weight.dtype.startswith("float"):
            weight.assign(
                0.3 * torch.randn(weight.shape, generator=dice).abs_()
                if "variance" in weight.path
                else 0.3 * torch.randn(weight.shape, generator=dice)
            )
    return model


def pooled(*layers, classes=5, shape=(16, 16, 3), **options):
    """The layers, an average over all places, and one linear layer named "scores"."""
    return stacked(*layers, L.GlobalAveragePooling2D(), L.Dense(classes, name="scores", **options), shape=shape)


def photo(*shape, seed=0):
    return torch.rand(*(shape or (3, 16, 16)), generator=torch.Generator().manual_seed(seed))


def asked(model, images):
    """What Keras itself answers for images (N, C, *spatial), channels last."""
    return model(images.movedim(1, -1), training=False).detach()
