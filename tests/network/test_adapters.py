"""A network asked in another way stays the same network: its names, numbers and mode are not there twice."""

import pytest
import torch
from torch import nn

import sightline as sl
from sightline.network.adapters import Adapter, owned


class Two(nn.Module):
    """Takes an image and a row of numbers by name, gives several outputs by name."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.drop, self.head = nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, numbers, picture):
        features = self.drop(self.conv(picture)).relu().mean((2, 3))
        return {"main": self.head(features) + numbers, "aux": features}


def model(**options):
    numbers = torch.tensor([[0.0, 5.0, 0.0]])
    fixed = {"input_name": "picture", "inputs": {"numbers": numbers}, "output_name": "main"}
    return sl.wrap(Two().train(), input_size=8, mean=0.5, std=0.5, resize="squash", **fixed | options)


def test_an_adapter_has_the_layers_numbers_and_mode_of_its_network():
    network = Two()
    adapter = Adapter(network, lambda inner, images: inner(torch.zeros(1, 3), images)["main"])
    assert network.training
    assert [name for name, _ in adapter.named_modules() if name] == ["conv", "drop", "head"]
    assert adapter.state_dict().keys() == network.state_dict().keys()
    assert adapter.conv is network.conv
    assert owned(adapter) is network
    assert not adapter.eval().inner.training
    assert not network.drop.training
    adapter.double()
    assert network.conv.weight.dtype == torch.float64


def test_a_network_of_several_inputs_and_outputs_is_explained_by_name():
    two, photo = model(), torch.rand(3, 8, 8)
    assert [one.index for one in sl.predict(two, photo, top=1)] == [1]  # the numbers beside it say so
    ex = sl.explain(two, photo, "saliency")
    inner = two.network.inner
    assert inner.training  # as it was found
    pixels = ((photo - 0.5) / 0.5)[None].requires_grad_()
    (expected,) = torch.autograd.grad(inner.eval()(torch.zeros(1, 3), pixels)["main"][0, 1], pixels)
    assert torch.allclose(ex.values, expected[0], atol=1e-6)
    assert two.layers() == ("conv", "drop", "head")
    assert two.recipe()["network"] == "Two"
    batch = sl.attribute(two, torch.rand(3, 3, 8, 8), 1, "saliency")
    assert batch.values.shape == (3, 3, 8, 8)


def test_another_output_of_the_same_network():
    assert len(sl.predict(model(output_name="aux"), torch.rand(3, 8, 8))) == 4


def test_an_output_that_is_not_there_is_named_with_near_misses():
    with pytest.raises(sl.NetworkError, match=r"no output 'maim'; it gives a dict; did you mean 'main'\?"):
        sl.predict(model(output_name="maim"), torch.rand(3, 8, 8))
    with pytest.raises(sl.NetworkError, match="no output 7; it gives a dict"):
        sl.predict(model(output_name=7), torch.rand(3, 8, 8))
    listed = sl.wrap(lambda images: (images.mean((2, 3)),) * 2, input_size=8, output_name=-5)
    with pytest.raises(sl.NetworkError, match=r"no output -5; it gives 2 outputs; possible: 0, 1"):
        sl.predict(listed, torch.rand(3, 8, 8))


def test_arrays_are_given_beside_the_images_as_tensors_are():
    two = model(inputs={"numbers": torch.tensor([[0.0, 5.0, 0.0]]).numpy()})
    assert [one.index for one in sl.predict(two, torch.rand(3, 8, 8), top=1)] == [1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_name": "pictur"}, "takes nothing named 'pictur'; did you mean 'picture'"),
        ({"inputs": {"number": torch.zeros(1, 3)}}, "takes nothing named 'number'; did you mean 'numbers'"),
        ({"input_name": None}, "takes 'numbers' first; name the images' argument, input_name="),
        ({"inputs": [torch.zeros(1, 3)]}, "give a dictionary, name -> tensor"),
    ],
)
def test_inputs_that_a_network_does_not_take_are_named_with_near_misses(options, said):
    with pytest.raises(sl.NetworkError, match=said):
        model(**options)


def test_a_network_that_does_not_say_its_input_size_needs_it():
    with pytest.raises(sl.ModelError, match="Two has an unknown input size; give input_size=224"):
        sl.wrap(Two())


def test_texts_mean_nothing_to_a_model_that_reads_none():
    for target in (sl.targets.Text("a dog"), 2 * sl.targets.Token("dog") + sl.targets.Class(1)):
        with pytest.raises(sl.TargetError, match="this model reads no text"):
            sl.explain(model(), torch.rand(3, 8, 8), "saliency", target=target)
    with pytest.raises(sl.TargetError, match="means something to a Model only"):
        sl.attribute(nn.Flatten(), torch.rand(1, 3, 4, 4), sl.targets.Text("a dog"), method="saliency")


def test_of_several_outputs_in_a_list_one_is_looked_at_by_its_number():
    def answer(images):
        return [images.mean((2, 3)), images.amax((2, 3))]

    model = sl.wrap(answer, input_size=4, output="logits", output_name=1, resize="squash")
    photo = torch.linspace(0, 1, 48).view(3, 4, 4)
    assert sl.predict(model, photo, top=1)[0].score == pytest.approx(1.0, abs=0.01)
