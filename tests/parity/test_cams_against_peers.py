"""Every CAM against pytorch-grad-cam and torch-cam where they follow the paper; where they do not, who is right.

On the embedded model, which is trained, and on transformers and ConvNeXts of random weights, in double precision.
"""

import copy
from functools import cache

import numpy as np
import pytest
import pytorch_grad_cam as gc
import timm
import torch
import torchcam.methods as tc
import torchvision
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam, NoiseTunnel, Saliency
from peers import apart, enlarged, of_captum, of_pytorch_grad_cam, of_torchcam, oriented, ours
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
from torch import nn
from torch.nn import functional as F

import sightline as sl
from sightline.demo import scenes

LAYERS = ["features.2", "features.3.norm", "features.4"]  # a stage, a map that is not rectified, the last map


@cache
def demo():
    return copy.deepcopy(sl.load("demo").network).double()


@cache
def pictures():
    """Four scenes as the network sees them, and a class for each: what it shows, and once what it does not."""
    model = sl.load("demo")
    drawn = [scenes.draw(seed, thing=thing) for seed, thing in enumerate(("duck", "mug", "crate", "pumpkin"))]
    tensors = [model.tensor(sl.open_photo(scene.image()))[0] for scene in drawn]
    classes = [model.labels.index(name) for name in ("duck", "mug", "crate", "cone")]
    return torch.stack(tensors).double(), classes


def logits(classes):
    return [ClassifierOutputTarget(index) for index in classes]


# pytorch-grad-cam -------------------------------------------------------------------------------------------------

SAME = {
    "grad-cam": (gc.GradCAM, {}),
    "hires-cam": (gc.HiResCAM, {}),
    "layer-cam": (gc.LayerCAM, {}),
    "xgrad-cam": (gc.XGradCAM, {}),
    "grad-cam-element-wise": (gc.GradCAMElementWise, {}),
    "eigen-grad-cam": (gc.EigenGradCAM, {}),
    "kpca-cam": (gc.KPCA_CAM, {}),
    "shapley-cam": (gc.ShapleyCAM, {}),
}
CHANCE = {"eigen-grad-cam", "kpca-cam"}  # of pytorch-grad-cam: the sign that LAPACK happens to give


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", SAME)
def test_our_map_is_pytorch_grad_cams(method, layer):
    images, classes = pictures()
    kind, options = SAME[method]
    found = ours(demo(), images, classes, method=method, layer=layer)
    theirs = enlarged(of_pytorch_grad_cam(kind, demo(), layer, images, logits(classes), **options), images)
    assert apart(found, oriented(found, theirs) if method in CHANCE else theirs) <= 1e-4


@pytest.mark.parametrize("layer", LAYERS)
def test_shapley_cam_of_logit_and_log_probability_is_pytorch_grad_cams(layer):
    images, classes = pictures()
    targets = [sl.targets.Function(lambda z, c=c: z[:, c] + z.log_softmax(1)[:, c]) for c in classes]
    found = ours(demo(), images, targets, method="shapley-cam", layer=layer)
    rest = [ClassifierOutputReST(index) for index in classes]
    theirs = enlarged(of_pytorch_grad_cam(gc.ShapleyCAM, demo(), layer, images, rest), images)
    assert apart(found, theirs) <= 1e-4
    assert apart(ours(demo(), images, targets, method="grad-cam", layer=layer), theirs) > 0.01


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam", "hires-cam"])
def test_principal_smoothing_is_their_eigen_smoothing_but_for_its_chance_sign(method):
    images, classes = pictures()
    found = ours(demo(), images, classes, method=method, layer="features.4", smoothing="principal")
    theirs = of_pytorch_grad_cam(SAME[method][0], demo(), "features.4", images, logits(classes), smooth=True)
    assert apart(found, oriented(found, enlarged(theirs, images))) <= 1e-4


def test_tta_shows_the_network_the_views_that_theirs_shows_it():
    images, _ = pictures()
    network, shown = copy.deepcopy(demo()), []
    network.register_forward_pre_hook(lambda _, given: shown.append(given[0].detach().clone()))
    ours(network, images[:1], 3, method="grad-cam", layer="features.4")  # looks the network over first
    shown.clear()
    ours(network, images[:1], 3, method="grad-cam", layer="features.4", smoothing="tta")
    mine = shown[:]
    shown.clear()
    with gc.GradCAM(network, [network.features[4]]) as cam:
        cam(images[:1], logits([3]), aug_smooth=True)
    assert len(mine) == len(shown) == 6
    assert all(any(torch.allclose(a, b) for b in shown) for a in mine)


def test_finer_cam_with_their_references_is_pytorch_grad_cams_on_the_plain_mean():
    images, classes = pictures()
    found = ours(demo(), images, classes, method="finer-cam", layer="features.4")
    scores = demo()(images).detach()
    targets = []
    for row, index in zip(scores, classes, strict=True):
        nearest = [i for i in (row - row[index]).abs().argsort().tolist() if i != index][:3]
        targets.append(lambda z, i=index, others=nearest: z[i] - 0.6 * z[others].mean())
    assert (
        apart(found, enlarged(of_pytorch_grad_cam(gc.GradCAM, demo(), "features.4", images, targets), images)) <= 1e-4
    )


# torch-cam --------------------------------------------------------------------------------------------------------

TORCHCAM = {"grad-cam": tc.GradCAM, "xgrad-cam": tc.XGradCAM, "layer-cam": tc.LayerCAM, "finer-cam": tc.FinerCAM}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", TORCHCAM)
def test_our_map_is_torch_cams(method, layer):
    images, classes = pictures()
    found = ours(demo(), images, classes, method=method, layer=layer)
    theirs = of_torchcam(TORCHCAM[method], demo(), layer, images, classes)
    assert apart(found, enlarged(theirs, images)) <= 1e-4


def test_cam_is_torch_cams():
    images, classes = pictures()
    found = ours(demo(), images, classes, method="cam")
    theirs = of_torchcam(tc.CAM, demo(), "features.4", images, classes, fc_layer="classifier")
    assert apart(found, enlarged(theirs, images)) <= 1e-4


def test_finer_cam_of_other_references_is_torch_cams():
    images, classes = pictures()
    found = ours(demo(), images, classes, method="finer-cam", layer="features.4", gamma=1.0, references=5)
    theirs = of_torchcam(tc.FinerCAM, demo(), "features.4", images, classes, gamma=1.0, num_references=5)
    assert apart(found, enlarged(theirs, images)) <= 1e-4


# Where a peer departs from the paper ------------------------------------------------------------------------------


def seen_at(layer):
    """The images, the classes, and the activations and gradients at a layer of the demo network."""
    images, classes = pictures()
    network = demo()
    kept = []

    def keep(_module, _inputs, output):
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    hook = network.get_submodule(layer).register_forward_hook(keep)
    scores = network(images)
    hook.remove()
    slopes = torch.autograd.grad(scores.gather(1, torch.tensor(classes)[:, None]).sum(), kept[-1])[0]
    return images, classes, kept[-1].detach(), slopes


def equation_19(acts, slopes):
    """Grad-CAM++ (arXiv:1710.11063), position by position."""
    maps = []
    for act, slope in zip(acts, slopes, strict=True):
        total = torch.zeros_like(act[0])
        for channel, g in zip(act, slope, strict=True):
            whole = float(channel.sum())
            weight = sum(v**2 / (2 * v**2 + whole * v**3) * v for v in g.flatten().tolist() if v > 0)
            total += weight * channel
        maps.append(total)
    return torch.stack(maps)


@pytest.mark.parametrize("layer", ["features.2", "features.4"])
def test_grad_cam_pp_is_equation_19_and_torch_cam_never_applies_its_denominator(layer):
    images, classes, acts, slopes = seen_at(layer)
    expected = enlarged(equation_19(acts, slopes), images)
    assert apart(ours(demo(), images, classes, method="grad-cam++", layer=layer), expected) <= 1e-8
    theirs = of_torchcam(tc.GradCAMpp, demo(), layer, images, classes)
    squares = (slopes.square() * slopes.clamp_min(0)).sum((2, 3), keepdim=True)
    assert apart(theirs, (squares * acts).sum(1)) <= 1e-4, "their weights are the sum of g^2 relu(g)"
    assert (
        apart(enlarged(theirs / theirs.amax((1, 2), keepdim=True), images), expected / expected.amax((2, 3), True))
        > 0.01
    )


@pytest.mark.parametrize("layer", ["features.2", "features.4"])
def test_grad_cam_pp_is_equation_19_and_pytorch_grad_cam_adds_a_millionth_below_the_bar(layer):
    """Near enough where gradients are large; at a hundredth of them it is another map, and not of another scale."""
    images, classes, acts, slopes = seen_at(layer)
    network = copy.deepcopy(demo())
    with torch.no_grad():
        network.classifier.weight.mul_(1e-2)
    slopes = 1e-2 * slopes
    expected = enlarged(equation_19(acts, slopes), images)
    assert apart(ours(network, images, classes, method="grad-cam++", layer=layer), expected) <= 1e-8
    theirs = of_pytorch_grad_cam(gc.GradCAMPlusPlus, network, layer, images, logits(classes))
    below = 2 * slopes**2 + acts.sum((2, 3), keepdim=True) * slopes**3 + 1e-6
    literal = ((slopes**2 / below * slopes.clamp_min(0)).sum((2, 3), keepdim=True) * acts).sum(1)
    assert apart(theirs, literal) <= 1e-4
    assert apart(enlarged(theirs, images), expected) > 0.1


def test_where_gradients_are_large_grad_cam_pp_is_pytorch_grad_cams():
    images, classes = pictures()
    network = copy.deepcopy(demo())
    with torch.no_grad():
        network.classifier.weight.mul_(1e4)
    found = ours(network, images, classes, method="grad-cam++", layer="features.4")
    theirs = of_pytorch_grad_cam(gc.GradCAMPlusPlus, network, "features.4", images, logits(classes))
    assert apart(found, enlarged(theirs, images)) <= 1e-4


def test_eigen_cam_is_not_centred_and_pytorch_grad_cams_is():
    images, classes, acts, _ = seen_at("features.4")
    found = ours(demo(), images, classes, method="eigen-cam", layer="features.4")
    for centred, expected in ((False, found), (True, None)):
        maps = []
        for act in acts:
            rows = act.flatten(1).T.numpy()
            rows = rows - rows.mean(0) if centred else rows
            _, _, vectors = np.linalg.svd(rows, full_matrices=False)
            maps.append(torch.from_numpy(rows @ vectors[0]).view(act.shape[1:]))
        by_hand = enlarged(torch.stack(maps), images)
        if expected is not None:
            assert apart(oriented(found, by_hand), found) <= 1e-8
            continue
        theirs = enlarged(of_pytorch_grad_cam(gc.EigenCAM, demo(), "features.4", images, logits(classes)), images)
        assert apart(oriented(theirs, by_hand), theirs) <= 1e-4
        assert apart(oriented(found, theirs), found) > 0.05


def test_fem_is_xpliques_and_pytorch_grad_cam_weighs_otherwise():
    images, classes, acts, _ = seen_at("features.4")
    mean = acts.mean((2, 3), keepdim=True)
    stands = acts > mean + 2 * acts.var((2, 3), unbiased=False, keepdim=True).sqrt()
    found = ours(demo(), images, classes, method="fem", layer="features.4")
    assert apart(found, enlarged((mean * stands).sum(1), images)) <= 1e-8
    theirs = of_pytorch_grad_cam(gc.FEM, demo(), "features.4", images, logits(classes))
    how_often = stands.double().mean((2, 3), keepdim=True)
    assert apart(theirs, (how_often * acts).sum(1)) <= 1e-4
    scaled = theirs * (found.amax((1, 2, 3)) / theirs.amax((1, 2)))[:, None, None]
    assert apart(enlarged(scaled, images), found) > 0.1


def test_smooth_grad_cam_pp_averages_every_derivative_and_torch_cam_weighs_the_last_copy_with_its_own():
    """The same copies for both, theirs drawn from the noise of ours: their first derivative and map are the last."""
    images, classes = pictures()
    image, index = images[:1], classes[:1]
    network = copy.deepcopy(demo())
    shown = []
    hook = network.register_forward_pre_hook(lambda _, given: shown.extend(given[0].detach().clone()))
    ours(network, image, index, method="smooth-grad-cam++", samples=1, layer="features.4")
    shown.clear()
    found = ours(network, image, index, method="smooth-grad-cam++", samples=6, layer="features.4", noise=0.3)
    hook.remove()
    noises = [one - image[0] for one in shown if not torch.equal(one, image[0])]
    assert len(noises) == 6
    extractor = tc.SmoothGradCAMpp(network, "features.4", num_samples=6)
    rest = iter(noises)
    extractor._distrib.sample = lambda _size: next(rest)[None]
    extractor._relu = False
    network(image)
    (theirs,) = extractor(index, normalized=False)
    extractor.remove_hooks()
    layer, slopes = network.features[4], []
    for noise in noises:
        kept = []
        hook = layer.register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out))
        score = network(image + noise)[:, index[0]].sum()
        hook.remove()
        slopes.append(torch.autograd.grad(score, kept[0])[0])
    acts = network.features(image).detach()
    first, second, third = (torch.stack(slopes).pow(power).mean(0) for power in (1, 2, 3))
    below = 2 * second + acts.sum((2, 3), keepdim=True) * third.clamp_min(0)

    def map_of(slope):
        return ((second / below * slope.clamp_min(0)).sum((2, 3), keepdim=True) * acts).sum(1)

    assert apart(found, enlarged(map_of(first), image)) <= 1e-6
    printed = 2 * second + (third * acts).sum((2, 3), keepdim=True) + 1e-8
    last = network.features(image + noises[-1]).detach()
    assert (
        apart(theirs, ((second / printed * slopes[-1].clamp_min(0)).sum((2, 3), keepdim=True) * last).sum(1)) <= 1e-4
    )
    assert apart(theirs, map_of(first)) > 0.05


# Backward rules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "peer"), [("guided-backprop", GuidedBackprop), ("deconvnet", Deconvolution)])
def test_a_rule_on_relu_modules_is_captums(method, peer):
    images, classes = pictures()
    network = copy.deepcopy(demo())
    theirs = of_captum(peer(network), images, target=torch.tensor(classes))
    assert apart(ours(demo(), images, classes, method=method), theirs) <= 1e-8
    plain = ours(demo(), images, classes, method="saliency")
    assert apart(plain, theirs) > 0.1


def test_guided_backprop_is_pytorch_grad_cams():
    images, classes = pictures()
    for image, index in zip(images, classes, strict=True):
        network = copy.deepcopy(demo())
        theirs = gc.GuidedBackpropReLUModel(network)(image[None].clone(), target_category=index)
        found = ours(demo(), image[None], index, method="guided-backprop")
        assert apart(found, torch.from_numpy(theirs.copy()).permute(2, 0, 1)[None]) <= 1e-6


@pytest.mark.parametrize("layer", ["features.2", "features.4"])
def test_guided_grad_cam_is_captums(layer):
    images, classes = pictures()
    network = copy.deepcopy(demo())
    peer = GuidedGradCam(network, network.get_submodule(layer))
    theirs = of_captum(peer, images, target=torch.tensor(classes), interpolate_mode="bilinear")
    assert apart(ours(demo(), images, classes, method="guided-grad-cam", layer=layer), theirs) <= 1e-6


class Passing(torch.autograd.Function):
    """A ReLU capped at `most`, and guided backprop's way back through it, written out."""

    @staticmethod
    def forward(ctx, given, most):
        ctx.save_for_backward(given)
        ctx.most = most
        return given.clamp(0, most)

    @staticmethod
    def backward(ctx, slope):
        (given,) = ctx.saved_tensors
        return slope * (slope > 0) * (given > 0) * (given < ctx.most), None


class Small(nn.Module):
    """Two convolutions, with the activation that is asked about behind each."""

    def __init__(self, activation):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.activation = activation
        with torch.no_grad():
            for one in self.parameters():
                one.mul_(4)

    def forward(self, images):
        x = self.activation(self.second(self.activation(self.first(images))))
        return self.head(x.mean((2, 3)))


class Functional(nn.Module):
    def forward(self, given):
        return F.relu(given)


@pytest.mark.parametrize(
    ("activation", "most"), [(nn.ReLU6(), 6.0), (Functional(), float("inf"))], ids=["relu6", "functional"]
)
def test_guided_backprop_is_right_where_captum_and_pytorch_grad_cam_give_the_plain_gradient(activation, most):
    with torch.random.fork_rng(devices=[]):
        network = Small(activation).double().eval()
    images = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = ours(network, images, 1, method="guided-backprop")
    plain = ours(network, images, 1, method="saliency")
    by_hand = copy.deepcopy(network)
    del by_hand.activation
    by_hand.activation = lambda given: Passing.apply(given, most)
    leaf = images.clone().requires_grad_()
    expected = torch.autograd.grad(by_hand(leaf)[:, 1].sum(), leaf)[0]
    assert apart(found, expected) <= 1e-10
    assert apart(plain, expected) > 0.05
    captum = of_captum(GuidedBackprop(copy.deepcopy(network)), images, target=1)
    assert apart(captum, plain) <= 1e-10, "without a word"
    theirs = gc.GuidedBackpropReLUModel(copy.deepcopy(network))(images[:1].clone(), target_category=1)
    assert apart(torch.from_numpy(theirs.copy()).permute(2, 0, 1)[None], plain[:1]) <= 1e-10


@pytest.mark.parametrize(
    "activation", [nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.Hardswish()], ids=lambda one: type(one).__name__
)
@pytest.mark.parametrize("method", ["guided-backprop", "deconvnet", "guided-grad-cam"])
def test_a_rule_for_relus_is_refused_where_captum_gives_the_plain_gradient(method, activation):
    with torch.random.fork_rng(devices=[]):
        network = Small(activation).double().eval()
    images = torch.randn(1, 3, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with pytest.raises(sl.MethodError, match="made for ReLUs"):
        sl.attribute(network, images, 1, method=method)


# Sampled ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "kind"),
    [("smoothgrad", "smoothgrad"), ("smoothgrad-squared", "smoothgrad_sq"), ("vargrad", "vargrad")],
)
def test_sampled_gradients_are_captums_within_their_error(method, kind):
    """Captum's from 120 copies, ours from 120 others: apart by no more than the errors of both, as 95 % should be."""
    images, classes = pictures()
    image, index, samples = images[:1], classes[0], 120
    heat = sl.attribute(demo(), image, index, method=method, samples=samples, noise=0.1)
    sigma = 0.1 * float(image.max() - image.min())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # with 0, as ours has it, both would draw the same noise
        theirs = NoiseTunnel(Saliency(copy.deepcopy(demo()))).attribute(
            image, nt_type=kind, nt_samples=samples, nt_samples_batch_size=50, stdevs=sigma, target=index, abs=False
        )
    theirs = theirs.detach() * (samples / (samples - 1) if method == "vargrad" else 1)  # theirs divides by n
    away = (heat.values - theirs) / (heat.error * 2**0.5)
    assert float((away.abs() <= 1.98).double().mean()) == pytest.approx(
        0.95, abs=0.06
    )  # skewed sums cover a little less
    assert apart(theirs, heat.values) < 0.6


# Transformers and ConvNeXt ----------------------------------------------------------------------------------------


def tokens(output):
    """ViT: the class token off, the rest a grid."""
    side = round((output.shape[1] - 1) ** 0.5)
    return output[:, 1:].transpose(1, 2).reshape(len(output), -1, side, side)


def channels_last(output):
    return output.permute(0, 3, 1, 2)


def vit():
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32, "num_classes": 5}
    network = torchvision.models.VisionTransformer(image_size=32, patch_size=8, **sizes)
    nn.init.normal_(network.heads[0].weight)  # which starts at zero
    return network


def timm_vit():
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=5, global_pool="token"
    )


def swin():
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=12, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], num_classes=5,
        stochastic_depth_prob=0.0,
    )  # fmt: skip


def timm_swin():
    return timm.models.SwinTransformer(
        img_size=32, patch_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2), window_size=4, num_classes=5
    )


def convnext():
    setting = torchvision.models.convnext.CNBlockConfig
    blocks = [setting(8, 16, 1), setting(16, None, 1)]
    return torchvision.models.ConvNeXt(blocks, layer_scale=1.0, num_classes=5)


NETWORKS = {
    "vit": (vit, "encoder.layers.encoder_layer_0", tokens),
    "timm vit": (timm_vit, "blocks.0", tokens),
    "swin": (swin, "features.1", channels_last),
    "timm swin": (timm_swin, "layers.0", channels_last),
    "convnext": (convnext, "features.1", None),
}


@cache
def transformer(name):
    make, layer, reshape = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make().double().eval()
        images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    return network, layer, reshape, images


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "layer-cam", "xgrad-cam", "eigen-grad-cam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_tokens_and_channels_last_are_laid_out_as_a_reshape_by_hand_lays_them_out(name, method):
    network, layer, reshape, images = transformer(name)
    found = ours(network, images, [1, 3], method=method, layer=layer)
    theirs = enlarged(
        of_pytorch_grad_cam(SAME[method][0], network, layer, images, logits([1, 3]), reshape=reshape), images
    )
    # xgrad-cam divides by the sum of signed activations, to which pytorch-grad-cam adds 1e-7
    assert apart(found, oriented(found, theirs) if method in CHANCE else theirs) <= 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_shapley_cam_of_tokens_is_pytorch_grad_cams(name):
    network, layer, reshape, images = transformer(name)
    found = ours(network, images, [1, 3], method="shapley-cam", layer=layer)
    kind = flattening(reshape) if reshape is not None else gc.ShapleyCAM
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        theirs = of_pytorch_grad_cam(kind, network, layer, images, logits([1, 3]), reshape=reshape)
    assert apart(found, enlarged(theirs, images)) <= 1e-4


def flattening(reshape):
    """Theirs gives `get_cam_image` the tokens as they are; its weights it lays out itself."""

    class Laid(gc.ShapleyCAM):
        def get_cam_image(self, images, layer, targets, acts, grads, smooth):
            weights = self.get_cam_weights(images, layer, targets, acts, grads)
            return (weights[:, :, None, None] * reshape(acts).detach().numpy()).sum(1)

    return Laid
