"""Models of every source, with random weights: what the support matrix asks."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

import sightline as sl


@dataclass(frozen=True)
class Row:
    """A model of a source, as its row reads; `load` takes a folder to write in. `small`: also in the usual run."""

    source: str
    name: str
    load: Any
    small: bool = False

    def __str__(self):
        return f"{self.source} {self.name}"


def lively(model):
    """A model with random weights whose answers depend on its input.

    Heads that start at zero, and layer scales close to it, hide everything: every parameter is given some size. Batch
    norms get the statistics of a few pictures, without which a deep network's signal dies on the way.
    """
    network, dice = model.network, torch.Generator().manual_seed(0)
    norms = [one for one in network.modules() if isinstance(one, BatchNorm)]
    pictures = torch.rand(4, model.channels, *model.input_size, generator=dice)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point() and not parameter.abs().max() > 1e-3:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=dice))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train().momentum = 1.0
        if norms:
            network(torch.stack([model.normalize(picture) for picture in pictures]))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval().momentum = momentum
        _keras_statistics(network, pictures)
    return model


def _keras_statistics(network, pictures):
    """The same for Keras' batch norms; for pictures that a network takes as they are."""
    norms = [one for one in network.modules() if hasattr(one, "moving_mean")]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        network.inner(pictures.movedim(1, -1) * 2 - 1, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _named(source, *names, small=()):
    return [
        Row(source, name, lambda _, full=f"{source}/{name}": lively(sl.load(full, weights=None)), name in small)
        for name in names
    ]


TORCHVISION = _named(
    "torchvision",
    "resnet50", "vgg16_bn", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "vit_b_16",
    "swin_t", "maxvit_t", "inception_v3", "googlenet", "deeplabv3_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    small=("mobilenet_v3_small",),
)  # fmt: skip
TIMM = _named(
    "timm",
    "resnet10t", "regnetx_002", "mobilenetv3_small_050", "convnext_atto", "repvgg_a0", "ghostnet_050",
    "efficientnet_lite0", "coatnet_nano_rw_224", "levit_128s", "mobilevit_xxs", "efficientformer_l1",
    "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "cait_xxs24_224",
    "xcit_nano_12_p16_224", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "mixer_s32_224",
    "resmlp_12_224", "gmlp_ti16_224", "pvt_v2_b0",
    small=("mobilenetv3_small_050",),
)  # fmt: skip
KERAS = _named("keras", "ResNet50", "MobileNet", "EfficientNetB0", "Xception", "ConvNeXtTiny")


def _saved(name, **options):
    """A small Hugging Face network in a folder of its own."""
    from hf_folders import saved

    return lambda folder: lively(sl.load(f"hf/{saved(name, folder)}", **options))


HUGGING_FACE = [
    Row("hf", name, _saved(name), name in ("vit", "detr", "segformer"))
    for name in ("vit", "deit", "swin", "beit", "dinov2", "convnext", "segformer", "detr", "yolos")
] + [
    Row("hf", "clip", _saved("clip", labels=["a dog", "a ball"])),
    Row("hf", "siglip", _saved("siglip", labels=["a dog", "a ball"])),
    Row("hf", "llava", _saved("llava", prompt="USER: <image> what is this ASSISTANT:")),
    Row("hf", "blip", _saved("blip")),
]


def _network(name):
    return sl.load(f"torchvision/{name}", weights=None)


def _onnx(name):
    def load(folder):
        made = lively(_network(name))
        path = folder / f"{name}.onnx"
        pixels = torch.zeros(1, 3, *made.input_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                made.network, (pixels,), path, dynamo=False, input_names=["pixels"], output_names=["logits"],
                dynamic_axes={"pixels": {0: "n"}, "logits": {0: "n"}},
            )  # fmt: skip
        return sl.load(path, mean=made.mean, std=made.std)

    return load


def _pt2(name):
    def load(folder):
        made = lively(_network(name))
        path = folder / f"{name}.pt2"
        pixels = torch.zeros(2, 3, *made.input_size)
        batch = torch.export.Dim("n")
        torch.export.save(torch.export.export(made.network, (pixels,), dynamic_shapes=({0: batch},)), path)
        return sl.load(path, input_size=made.input_size, mean=made.mean, std=made.std)

    return load


def _jax(_):
    import jax
    from jax import numpy as jnp

    weights = jax.random.normal(jax.random.key(0), (5, 3, 5, 5))

    def network(images):
        features = jax.nn.relu(jax.lax.conv(images, weights, (2, 2), "SAME"))
        return jnp.mean(features, (2, 3))

    return sl.wrap(network, backend="jax", input_size=48, mean=0.5, std=0.5)


def _tensorflow(_):
    import tensorflow as tf

    weights = tf.random.stateless_normal((5, 5, 3, 5), (0, 0))

    def network(images):
        return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, weights, 2, "SAME")), (1, 2))

    return sl.wrap(network, backend="tensorflow", layout="NHWC", input_size=48, mean=0.5, std=0.5)


def _estimator(_):
    from sklearn.linear_model import LogisticRegression

    dice = torch.Generator().manual_seed(0)
    pixels = torch.rand(60, 16 * 16 * 3, generator=dice)
    marks = (pixels[:, :40].mean(1) > 0.5).long() + (pixels[:, 400:440].mean(1) > 0.5).long()
    return sl.wrap(LogisticRegression(max_iter=500).fit(pixels.numpy(), marks.numpy()), input_size=16)


def _service(_):
    def answer(images):
        return [[float(one[0].mean()), float((one[1] * one[2]).mean()), 0.3] for one in images.numpy()]

    return sl.wrap(answer, input_size=32, output="logits")


FILES = [
    Row(kind, name, load(name), name == "mobilenet_v2")
    for kind, load in (("ONNX", _onnx), (".pt2", _pt2))
    for name in ("resnet18", "mobilenet_v2")
]
FUNCTIONS = [
    Row("function", "JAX", _jax, True),
    Row("function", "TensorFlow", _tensorflow),
    Row("function", "scikit-learn", _estimator, True),
    Row("function", "any other", _service, True),
]
ROWS = [*TORCHVISION, *TIMM, *HUGGING_FACE, *KERAS, *FILES, *FUNCTIONS]
