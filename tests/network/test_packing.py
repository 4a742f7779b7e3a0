"""Convolutions prepared for a Model: the numbers of the plain network, whatever its owner does to it in between."""

import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sightline as sl
from sightline.demo.scenes import draw
from sightline.models.demonet import DemoNet
from sightline.network.pairs import Readers
from sightline.targets import Unit

SIZE = (16, 24)


class Net(nn.Module):
    """Batch norms behind convolutions of many makes, one of them inside a block that ends before its norm."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, bias=False, padding_mode="reflect", padding=1), bn(8)
        self.deep, self.deep_norm = nn.Conv2d(8, 8, 3, padding="same", groups=8), bn(8)
        self.block, self.block_norm = nn.Sequential(nn.Conv2d(8, 12, 1)), bn(12)
        self.last, self.last_norm = nn.Conv2d(12, 12, 3, dilation=2, padding=2), bn(12)
        self.head = nn.Linear(12, 5)
        self.normalized, self.second = True, False

    def forward(self, images):
        x = F.relu_(self.norm(self.stem(images)))
        x = self.deep_norm(self.deep(x)).relu()
        x = self.block(x)
        x = (self.block_norm(x) if self.normalized else x).relu()
        y = self.last(x)
        y = self.last_norm(y) + (y if self.second else 0)
        return self.head(y.relu().mean((2, 3)))


def bn(channels):
    norm = nn.BatchNorm2d(channels)
    norm.running_mean.normal_(0, 0.5)
    norm.running_var.uniform_(0.5, 2)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    return norm


def built():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Net().eval()


def pictures(count=2, seed=0):
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def model_of(network):
    return sl.wrap(network, input_size=SIZE, mean=0, std=1)


def folded(model):
    return [name for name, pair in model._packing._pairs.items() if pair.norm is not None]


def assert_as_plain(model, network, method="saliency", share=1e-5, images=None, **options):
    """The model gives what its plain network gives."""
    images = pictures() if images is None else images
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        ours, plain = (sl.attribute(one, images, 1, method=method, **options).values for one in (model, network))
    assert plain.abs().max() > 0
    assert (ours - plain).abs().max() <= share * plain.abs().max()


def test_every_batch_norm_behind_a_convolution_is_folded_and_nothing_changes():
    network = built()
    model = model_of(network)
    for method in ("saliency", "grad-cam", "guided-backprop", "shapley-cam", "integrated-gradients"):
        assert_as_plain(model, network, method, share=5e-5)
    assert folded(model) == ["stem", "deep", "block.0", "last"]
    assert {name for name, (_, ready) in model._packing._ready.items() if ready.packed is not None} == {
        "block.0",
        "last",
    }, "paddings that oneDNN does not know stay with torch"


def test_the_demo_model_gives_what_its_network_gives_on_scenes():
    model = sl.load("demo")
    assert isinstance(model.network, DemoNet)
    scenes = [draw(seed, thing=thing).image() for seed, thing in enumerate(("ball", "mug", "duck"))]
    images = torch.stack([model.tensor(sl.open_photo(scene))[0] for scene in scenes])
    for method in ("saliency", "grad-cam", "smoothgrad"):  # rounding crosses a ReLU's kink at a pixel or two
        assert_as_plain(model, model.network, method, images=images, share=5e-3)
        ours, plain = (sl.attribute(one, images, [0, 4, 3], method).values for one in (model, model.network))
        assert F.cosine_similarity(ours.double().flatten(1), plain.double().flatten(1)).min() > 0.999999
    assert len(folded(model)) == 5


def test_a_torchvision_network_after_a_few_steps_of_training():
    """Rounding crosses the kinks of its ReLUs here and there, so single pixels may differ by more than rounding."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.resnet18(num_classes=5)
        climber = torch.optim.SGD(network.parameters(), 0.02)
        images = torch.randn(8, 3, 64, 64)
        for _ in range(4):
            climber.zero_grad()
            F.cross_entropy(network(images), torch.arange(8) % 5).backward()
            climber.step()
    model = sl.wrap(network.eval(), input_size=64, mean=0, std=1)
    ours, plain = (sl.attribute(one, images, 1, "saliency").values.double() for one in (model, network))
    assert F.cosine_similarity(ours.flatten(1), plain.flatten(1)).min() > 0.9999
    assert len(folded(model)) == 20


def train(network):
    with torch.enable_grad():
        climber = torch.optim.SGD(network.parameters(), 0.5)
        network.train()(pictures(4)).square().sum().backward()
        climber.step()
        climber.zero_grad()
    network.eval()


CHANGES = {
    "an optimizer's step": train,
    "weights set in place": lambda n: [p.mul_(1.3) for p in n.parameters()],
    "weights changed behind autograd's back": lambda n: [p.data.mul_(1.3) for p in n.parameters()],
    "statistics of batch norm": lambda n: [
        m.running_var.mul_(3.0) for m in n.modules() if isinstance(m, nn.BatchNorm2d)
    ],
    "another state dict": lambda n: n.load_state_dict({k: v * 0.9 for k, v in n.state_dict().items()}),
    "the norm's epsilon": lambda n: setattr(n.norm, "eps", 0.5),
    "a convolution replaced": lambda n: setattr(n, "last", nn.Conv2d(12, 12, 1)),
    "a norm taken out": lambda n: setattr(n, "norm", nn.Identity()),
    "a new parameter": lambda n: setattr(n.last, "weight", nn.Parameter(torch.randn_like(n.last.weight))),
    "a stride": lambda n: setattr(n.last, "stride", (2, 2)),
    "a norm that is passed by": lambda n: setattr(n, "normalized", False),
    "double precision": lambda n: n.double(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_prepared_is_never_stale(change):
    network = built()
    model = model_of(network)
    before = sl.attribute(model, pictures(), 1, "saliency").values
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        CHANGES[change](network)
    for method in ("grad-cam", "saliency", "grad-cam"):
        assert_as_plain(model, network, method)
    assert change == "double precision" or not torch.allclose(
        before, sl.attribute(model, pictures(), 1, "saliency").values, rtol=1e-3
    )


def test_a_norm_that_is_passed_by_now_and_then():
    network = built()
    model = model_of(network)
    for normalized in (True, False, True, False):
        network.normalized = normalized
        assert_as_plain(model, network)
        assert_as_plain(model, network, "grad-cam", layer="block")


@pytest.mark.parametrize("layer", ["stem", "block", "block.0", "norm", "last", "last_norm", "deep"])
def test_a_layer_that_was_folded_away_shows_what_it_puts_out(layer):
    network = built()
    model = model_of(network)
    assert_as_plain(model, network, "grad-cam", layer=layer)
    assert_as_plain(model, network, "saliency", wrt=layer)
    ours, plain = (sl.attribute(one, pictures(), Unit(layer, 2), "saliency").values for one in (model, network))
    assert (ours - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_a_second_reader_of_a_convolution_keeps_it_whole():
    network = built()
    network.second = True
    model = model_of(network)
    assert_as_plain(model, network)
    assert folded(model) == ["stem", "deep", "block.0"]
    assert model._packing._ready["last"][1].packed is not None


def test_what_is_changed_on_the_way_to_the_norm_is_not_folded():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(inplace=True),
        bn(6),
        nn.Conv2d(6, 6, 3),
        bn(6),
        nn.Flatten(),
        nn.Linear(6 * 240, 4),
    )
    model = model_of(network.eval())
    assert_as_plain(model, network)
    assert folded(model) == ["3"]


def test_a_norm_that_two_convolutions_share_is_not_folded():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), bn(6), nn.Linear(6, 3)

        def forward(self, images):
            return self.head(self.norm(self.b(self.norm(self.a(images)).relu())).mean((2, 3)))

    network = Shared().eval()
    model = model_of(network)
    assert_as_plain(model, network)
    assert folded(model) == []


def test_the_owner_s_hooks_see_what_they_always_saw():
    network, seen = built(), []
    model = model_of(network)
    assert_as_plain(model, network)
    network.last.register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))
    sl.attribute(network, pictures(), 1, "saliency")
    plain = seen[-1]
    seen.clear()
    sl.attribute(model, pictures(), 1, "saliency")
    assert torch.allclose(seen[-1], plain, atol=1e-5)


def test_the_network_is_left_as_found_also_after_an_error():
    network = built()
    model = model_of(network)
    before = {name: dict(vars(module)) for name, module in network.named_modules()}
    assert_as_plain(model, network)
    with pytest.raises(sl.TargetError):
        sl.attribute(model, pictures(), 99, "saliency")
    for name, module in network.named_modules():
        assert vars(module).keys() == before[name].keys(), name


def test_other_threads_go_through_plain_convolutions():
    network = built()
    model = model_of(network)
    images = pictures()
    with torch.no_grad():
        plain = network.stem(images)
    answers = []
    with model.lend(images):
        thread = threading.Thread(target=lambda: answers.append(network.stem(images)))
        thread.start()
        thread.join()
    assert torch.equal(answers[0].detach(), plain)


def test_gradients_of_gradients_go_through_packed_convolutions():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(1440, 3)
    )
    assert_as_plain(model_of(network), network, "shapley-cam", layer="0")


def test_two_models_of_one_network_do_not_disturb_each_other():
    network = built()
    first, second = model_of(network), model_of(network)
    with first.lend(pictures()), second.lend(pictures()):
        assert "forward" in vars(network.last)
    assert "forward" not in vars(network.last)
    assert_as_plain(first, network)
    assert_as_plain(second, network)


EDITS = {
    "one filter set to zero": lambda n: n.last.weight.data[5].zero_(),
    "one number": lambda n: n.last.weight.data[3, 2, 1, 1].add_(5),
    "through NumPy": lambda n: n.last.weight.detach().numpy().__setitem__(7, 3.0),
    "filters in another order": lambda n: n.last.weight.data.copy_(n.last.weight.data.flip(0).clone()),
    "some variances": lambda n: n.last_norm.running_var.data[:6].fill_(9.0),
    "statistics of the batch at hand": lambda n: forget(n.last_norm),
}


def forget(norm):
    """As test-time adaptation does it: the batch's own statistics from now on."""
    norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None


@pytest.mark.parametrize("edit", EDITS)
def test_edits_that_leave_no_version_are_seen(edit):
    network = built()
    model = model_of(network)
    before = sl.attribute(model, pictures(), 1, "saliency").values
    with torch.no_grad():
        EDITS[edit](network)
    assert_as_plain(model, network)
    assert not torch.allclose(before, sl.attribute(model, pictures(), 1, "saliency").values, rtol=1e-3)


def test_a_second_reader_beside_a_norm_that_does_nothing_yet_is_seen():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 3)

        def forward(self, images):
            x = self.conv(images)
            return self.head((self.norm(x).relu() + x).mean((2, 3)))

    network = Beside().eval()
    model = model_of(network)
    assert_as_plain(model, network)
    assert folded(model) == []
    with torch.no_grad():
        network.norm.running_mean.add_(0.7)
        network.norm.running_var.mul_(4)
    assert_as_plain(model, network)


@pytest.mark.parametrize("which", ["last", "last_norm"])
def test_a_forward_of_the_owner_s_is_used_and_left_where_it_was(which):
    network = built()
    model = model_of(network)
    assert_as_plain(model, network)
    module = getattr(network, which)
    module.forward = mine = lambda x: type(module).forward(module, x) * 3
    assert_as_plain(model, network)
    assert vars(module)["forward"] is mine


class Called(nn.Module):
    """Calls a network with other parameters than its own."""

    def __init__(self, network):
        super().__init__()
        self.network, self.factor = network, 1.0

    def forward(self, images):
        changed = {name: value * self.factor for name, value in self.network.named_parameters()}
        return torch.func.functional_call(self.network, changed, (images,))


def test_parameters_that_are_put_in_for_a_call_are_used():
    network = Called(built())
    model = model_of(network)
    for factor in (1.0, 1.4, 0.6):
        network.factor = factor
        assert_as_plain(model, network)


def test_a_hook_on_a_block_in_front_of_the_norm_sees_what_it_always_saw():
    network, seen = built(), []
    model = model_of(network)
    assert_as_plain(model, network)
    network.block.register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))
    sl.attribute(network, pictures(), 1, "saliency")
    plain = seen[-1]
    sl.attribute(model, pictures(), 1, "saliency")
    assert torch.allclose(seen[-1], plain, atol=1e-5)


def test_a_tensor_that_is_gone_hands_its_readers_to_no_other():
    with Readers() as readers:
        for _ in range(100):
            torch.ones(3).neg()  # gone at once: the next may get its id
    assert sorted(readers.count.values()) == [1] * 100
