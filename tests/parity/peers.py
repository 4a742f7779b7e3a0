"""What the peers calculate before they scale it: their CAMs on the layer's own grid, signed."""

import warnings

import torch
from torch.nn import functional as F

import sightline as sl


def of_pytorch_grad_cam(kind, network, layer, images, targets, *, reshape=None, smooth=False, **options):
    """Their map (B, h, w) of a layer, as `get_cam_image` gives it, before it is rectified and scaled."""
    seen = []
    with kind(network, [network.get_submodule(layer)], reshape_transform=reshape, **options) as cam:
        raw = cam.get_cam_image

        def watched(*given):
            seen.append(raw(*given))
            return seen[-1]

        cam.get_cam_image = watched
        cam.activations_and_grads.clear = lambda: None  # which fails where gradients are views
        cam(images, targets, eigen_smooth=smooth)
    return torch.from_numpy(seen[-1]).double()


def of_torchcam(kind, network, layer, images, classes, **options):
    """Their map (B, h, w) of a layer, neither rectified nor scaled."""
    with kind(network, layer, **options) as extractor:
        getattr(extractor, "base_cam", extractor)._relu = False
        scores = network(images)
        (cam,) = extractor(classes, scores, normalized=False)
    return cam.detach().double()


def of_captum(method, images, **options):
    """What a method of Captum gives for images of their own, without its warning that it sets hooks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
        return method.attribute(images.clone().requires_grad_(), **options).detach()


def enlarged(maps, images):
    """Maps (B, h, w) on the images' grid, (B, 1, H, W), bilinear as PyTorch has it."""
    return F.interpolate(maps[:, None].double(), size=tuple(images.shape[2:]), mode="bilinear", align_corners=False)


def ours(network, images, classes, **options):
    """Our maps (B, 1, H, W), without their warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.attribute(network, images, classes, **options).values.double()


def apart(values, expected):
    """The largest difference of each image's map from the expected one, as a share of that one's maximum."""
    largest = expected.double().abs().flatten(1).amax(1)
    assert bool((largest > 0).all()), "a blank map proves nothing"
    return float(((values.double() - expected.double()).abs().flatten(1).amax(1) / largest).max())


def oriented(values, expected):
    """The expected maps with the sign that agrees with ours, where the peers leave it to chance."""
    sign = (values * expected).flatten(1).sum(1).sign()
    return expected * sign.view(-1, *[1] * (expected.ndim - 1))
