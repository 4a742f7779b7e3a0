"""What an image processor does to a photo is found by showing it some: our input is its pixel_values."""

import hf_folders
import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

import sightline as sl
from sightline.models.huggingface_photos import measured

GREY = 1 / 255
SHAPES = [(90, 120), (131, 77), (48, 48), (40, 201), (300, 200)]


def photo(height, width):
    coarse = np.random.default_rng(height).integers(0, 256, (height // 6 + 1, width // 6 + 1, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def away(processor, prepared, picture):
    """The largest difference of our input and the processor's, in pixels of [0, 1]."""
    given = processor(picture, return_tensors="pt")["pixel_values"]
    model = sl.wrap(
        lambda images: images.mean((2, 3)),
        input_size=prepared.geometry.size,
        mean=prepared.mean,
        std=prepared.std,
    )
    model.geometry = prepared.geometry
    ours, _ = model.tensor(sl.open_photo(picture))
    ours = ours.flip(0) if prepared.flipped else ours
    std = torch.tensor(prepared.std[::-1] if prepared.flipped else prepared.std).view(-1, 1, 1)
    return float(((ours - given[0]) * std).abs().max())


CROP, WIDE = {"height": 48, "width": 48}, {"height": 40, "width": 48}
PIL = [
    ("vit", "ViTImageProcessorPil", {"size": {"height": 48, "width": 64}}),
    ("vit-one-to-minus-one", "ViTImageProcessorPil", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    ("deit", "DeiTImageProcessorPil", {"size": {"height": 64, "width": 57}, "crop_size": CROP}),
    ("clip", "CLIPImageProcessorPil", {"size": {"shortest_edge": 53}, "crop_size": {"height": 48, "width": 48}}),
    ("clip-wide-crop", "CLIPImageProcessorPil", {"size": {"shortest_edge": 48}, "crop_size": WIDE}),
    ("convnext", "ConvNextImageProcessorPil", {"size": {"shortest_edge": 64}}),
    ("convnext-large", "ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
    ("convnext-crop-pct", "ConvNextImageProcessorPil", {"size": {"shortest_edge": 64}, "crop_pct": 0.7}),
    ("levit", "LevitImageProcessorPil", {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}}),
    ("siglip", "SiglipImageProcessorPil", {"size": {"height": 48, "width": 48}, "resample": 3}),
    ("nearest", "ViTImageProcessorPil", {"size": {"height": 48, "width": 48}, "resample": 0}),
    ("lanczos", "ViTImageProcessorPil", {"size": {"height": 48, "width": 48}, "resample": 1}),
    ("raw", "ViTImageProcessorPil", {"do_rescale": False, "do_normalize": False}),
    ("plain", "ViTImageProcessorPil", {"do_normalize": False}),
    ("bytes", "ViTImageProcessorPil", {"do_rescale": False, "image_mean": [120.0] * 3, "image_std": [60.0] * 3}),
    ("efficientnet", "EfficientNetImageProcessorPil", {"size": {"height": 64, "width": 64}}),
    (
        "mobilevit", "MobileViTImageProcessorPil",
        {"size": {"shortest_edge": 60}, "crop_size": {"height": 48, "width": 48}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), [row[1:] for row in PIL], ids=[row[0] for row in PIL])
def test_our_input_is_what_a_pillow_processor_makes(kind, options):
    processor = getattr(hf, kind)(**options)
    prepared = measured(processor, None)
    assert prepared.warnings == ()
    assert max(away(processor, prepared, photo(*shape)) for shape in SHAPES) <= GREY / 2


@pytest.mark.parametrize(("kind", "options"), [row[1:] for row in PIL], ids=[row[0] for row in PIL])
def test_our_input_is_within_two_grey_levels_of_a_torchvision_processors(kind, options):
    processor = getattr(hf, kind.removesuffix("Pil"))(**options)
    prepared = measured(processor, None)
    assert prepared.warnings == ()
    assert max(away(processor, prepared, photo(*shape)) for shape in SHAPES) <= 2 * GREY + 1e-6


def test_a_processor_that_keeps_a_photos_shape_gets_a_square_that_the_whole_photo_is_fitted_in():
    processor = hf.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    prepared = measured(processor, None)
    assert (prepared.geometry.size, prepared.geometry.resize) == ((64, 64), "pad")
    assert prepared.mean == pytest.approx((0.485, 0.456, 0.406), abs=1e-6)
    assert away(processor, prepared, photo(100, 100)) <= 2 * GREY
    wide = prepared.at((64, 96))  # of the photo's own shape: no border, as the processor itself
    assert wide.view(100, 150).resized == (64, 96)
    given = processor(photo(100, 150), return_tensors="pt")["pixel_values"][0]
    ours = wide.view(100, 150).to_input(sl.open_photo(photo(100, 150)))
    mean, std = (np.array(one)[:, None, None] for one in (prepared.mean, prepared.std))
    assert np.abs(ours - (given.numpy() * std + mean)).max() <= 2 * GREY


def test_the_border_of_a_fitted_photo_is_zero_to_the_network(tmp_path):
    model = sl.load(f"hf/{hf_folders.saved('detr', tmp_path)}")
    tensor, view = model.tensor(sl.open_photo(photo(60, 120)))
    top = view.corner[0]
    assert top == 16
    assert float(tensor[:, :top].abs().max()) < 1e-5


def test_a_way_of_its_own_is_approached_and_said():
    processor = hf.Owlv2ImageProcessor(size={"height": 64, "width": 64})  # pads to the right and the bottom
    (warning,) = measured(processor, None).warnings
    assert warning.code == "preprocessing-approximate"
    assert "grey levels apart" in warning.message


@pytest.mark.parametrize("kind", ["Qwen2VLImageProcessor", "LlavaNextImageProcessor", "ImageGPTImageProcessor"])
def test_a_processor_that_makes_no_picture_is_refused(kind):
    with pytest.raises(sl.ModelError, match=r"cuts a photo into parts|cannot prepare a photo alone"):
        measured(getattr(hf, kind)(), None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": {"height": 30_000, "width": 30_000}}, "has height 30000; 10000 is the most"),
        ({"size": {"shortest_edge": 10**9}}, "has shortest_edge 1000000000"),
        ({"size": {"height": -4, "width": 4}}, "cannot prepare a photo alone"),
        ({"size": {"height": "x", "width": 4}}, "cannot prepare a photo alone"),
        ({"size": hf_folders.SQUARE, "image_mean": [9, 9, 9]}, r"has mean \(9.0, 9.0, 9.0\); it is of pixels"),
    ],
)
def test_what_no_photo_can_become_is_refused(options, said):
    with pytest.raises(sl.ModelError, match=said):
        measured(hf.ViTImageProcessor(**options), None)


def test_options_override_the_processor(tmp_path):
    folder = hf_folders.saved("vit", tmp_path)
    model = sl.load(f"hf/{folder}", input_size=(48, 64), mean=0.25, std=0.5, resize="pad")
    assert (model.input_size, model.mean, model.std) == ((48, 64), (0.25,) * 3, (0.5,) * 3)
    assert model.geometry.resize == "pad"
    assert model.warnings == ()
    crop = hf_folders.saved("dinov2", tmp_path / "other")
    assert sl.load(f"hf/{crop}", input_size=96).geometry.short == 110  # 55 / 48 of it, as before


def test_without_a_processor_the_familys_is_assumed_at_the_networks_size_and_said(tmp_path):
    folder = hf_folders.saved("vit", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    model = sl.load(f"hf/{folder}")
    assert (model.input_size, model.mean) == ((48, 48), (0.5,) * 3)
    assert [one.code for one in model.warnings] == ["preprocessing-assumed"]
    assert sl.load(f"hf/{folder}", mean=0.3, std=0.3).warnings == ()
    convnext = hf_folders.saved("convnext", tmp_path / "other")  # at 384 the whole photo is squashed in, at 224 not
    (convnext / "preprocessor_config.json").unlink()
    assert sl.load(f"hf/{convnext}").geometry.short == 256
