"""Hugging Face networks from a folder: scores are transformers' own, the layer is found, weights are the file's."""

import json
import warnings

import hf_folders
import literal
import pytest
import timm
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from test_hf_photos import photo

import sightline as sl

pytestmark = pytest.mark.filterwarnings("ignore:every value is negative", "ignore:next to nothing")
EXACT = {"atol": 1e-5, "rtol": 1e-4}
PICTURE = photo(90, 120)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: hf_folders.saved(name, tmp_path_factory.mktemp(name)) for name in hf_folders.IMAGES}


def own(folder, kind):
    """transformers' own network, and its answer to our input of a picture."""
    return getattr(hf, kind).from_pretrained(folder).eval()


def scores(model, picture=PICTURE):
    tensor, _ = model.tensor(sl.open_photo(picture))
    with model.lend(tensor[None]) as net:
        return tensor[None], net.scores(tensor[None])


# Answers -----------------------------------------------------------------------------------------------------

LAYERS = {
    "vit": ("vit.layers.1.layernorm_before", literal.tokens(6, 6, 1)),
    "deit": ("deit.layers.1.layernorm_before", literal.tokens(6, 6, 2)),
    "swin": ("swin.layernorm", literal.tokens(8, 8)),
    "beit": ("beit.layernorm", literal.tokens(6, 6, 1)),
    "dinov2": ("dinov2.layernorm", literal.tokens(6, 6, 1)),
    "convnext": ("convnext.encoder.stages.3", literal.first),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_classifier_gives_transformers_own_logits_with_its_labels_and_its_layer(folders, name):
    model = sl.load(f"hf/{folders[name]}")
    network = own(folders[name], hf_folders.IMAGES[name][0])
    images, answer = scores(model)
    assert torch.allclose(answer, network(images).logits, **EXACT)
    processor = hf.AutoImageProcessor.from_pretrained(folders[name])
    whole = network(**processor(PICTURE, return_tensors="pt")).logits.detach()
    assert torch.allclose(answer, whole, atol=0.02 * float(whole.abs().max()))  # two grey levels of a resize apart
    assert (model.labels, model.warnings) == (tuple(hf_folders.LABELS), ())
    layer, read = LAYERS[name]
    assert model.default_layer == layer
    heat = sl.explain(model, PICTURE, "grad-cam", target="kite")
    assert literal.same(heat.values[None], literal.grad_cam(network, images, 2, layer, read))


@pytest.mark.parametrize(
    "changes",
    [{}, {"problem_type": "multi_label_classification"}, {"problem_type": "regression"}, {"num_labels": 1}],
)
def test_a_classifiers_answers_are_those_of_transformers_own_pipeline(tmp_path, changes):
    folder = hf_folders.saved("vit", tmp_path)
    config = hf.ViTConfig(**{**hf_folders.BASE, **({"id2label": None} if "num_labels" in changes else {}), **changes})
    hf_folders.made("ViTForImageClassification", config).save_pretrained(folder)
    pipe = hf.pipeline("image-classification", model=str(folder), device="cpu")
    theirs = {one["label"]: one["score"] for one in pipe(PICTURE)}
    measured = changes.get("problem_type") == "regression"
    found = sl.predict(sl.load(f"hf/{folder}"), PICTURE)
    ours = {one.label: one.score if measured else one.probability for one in found}
    if config.num_labels == 1:
        theirs = {"class 0": theirs["LABEL_0"]}
    assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("name", ["segformer", "upernet", "dpt"])
def test_a_segmenter_gives_transformers_own_map_on_its_own_grid(folders, name):
    model = sl.load(f"hf/{folders[name]}")
    images, answer = scores(model)
    expected = own(folders[name], hf_folders.IMAGES[name][0])(images).logits
    assert answer.ndim == 4
    assert torch.allclose(answer, expected, **EXACT)
    mask = torch.zeros(90, 120)
    mask[30:60, 40:80] = 1
    heat = sl.explain(model, PICTURE, "saliency", target=sl.targets.Region(mask, 2))
    assert float(heat.values.abs().max()) > 0


ALL = {**hf_folders.BACKBONE, "out_features": ["stage1", "stage2", "stage3", "stage4"]}


def _maskformer():
    decoder = hf.DetrConfig(**{**hf_folders.DETECTOR, "backbone_config": None, "use_timm_backbone": False})
    backbone = hf.SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    return hf.MaskFormerConfig(
        fpn_feature_size=32,
        mask_feature_size=32,
        backbone_config=backbone,
        decoder_config=decoder,
        **hf_folders.NAMED,
    )


@pytest.mark.parametrize(
    ("kind", "config", "processor"),
    [
        ("MaskFormerForInstanceSegmentation", _maskformer, "MaskFormerImageProcessor"),
        (
            "DetrForSegmentation",
            lambda: hf.DetrConfig(**{**hf_folders.DETECTOR, "encoder_attention_heads": 8, "backbone_config": ALL}),
            "DetrImageProcessor",
        ),
    ],
)
def test_masks_with_classes_are_a_map_whose_best_class_is_transformers_own(tmp_path, kind, config, processor):
    hf_folders.made(kind, config()).save_pretrained(tmp_path)
    images_of = getattr(hf, processor)(size={"height": 64, "width": 64})
    images_of.save_pretrained(tmp_path)
    model = sl.load(f"hf/{tmp_path}")
    images, answer = scores(model)
    with torch.no_grad():
        (expected,) = images_of.post_process_semantic_segmentation(own(tmp_path, kind)(images))
    assert answer.shape[:2] == (1, 5)
    assert torch.equal(answer[0].argmax(0), expected)
    heat = sl.explain(model, PICTURE, "saliency", target=sl.targets.Region(torch.ones(90, 120), 2))
    assert float(heat.values.abs().max()) > 0


def test_depth_is_a_map_of_measurements(folders):
    model = sl.load(f"hf/{folders['depth']}")
    images, answer = scores(model)
    assert torch.allclose(
        answer[:, 0], own(folders["depth"], "DPTForDepthEstimation")(images).predicted_depth, **EXACT
    )
    assert model.labels is None
    heat = sl.explain(model, PICTURE, "saliency", target=sl.targets.Region(torch.ones(90, 120), 0))
    assert float(heat.values.abs().max()) > 0


def test_a_network_without_a_head_answers_with_an_embedding(folders):
    model = sl.load(f"hf/{folders['dinov2-base']}")
    images, answer = scores(model)
    assert torch.allclose(answer, own(folders["dinov2-base"], "Dinov2Model")(images).pooler_output, **EXACT)
    with pytest.raises(sl.TargetError, match="answers with an embedding, which has no top"):
        sl.predict(model, PICTURE)
    with pytest.raises(sl.TargetError, match="ranks nothing"):
        sl.explain(model, PICTURE, "saliency")
    found = sl.explain(model, PICTURE, "saliency", target=sl.targets.Similar(answer[0]))
    assert found.predictions == ()


# Detection ---------------------------------------------------------------------------------------------------

_RT = {
    "encoder_hidden_dim": 32, "encoder_in_channels": [16, 16, 32], "encoder_ffn_dim": 32, "d_model": 32,
    "decoder_in_channels": [32, 32, 32], "decoder_ffn_dim": 32, "num_queries": 7, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_denoising": 0, "anchor_image_size": None,
    "backbone_config": hf.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    ),
    **hf_folders.NAMED,
}  # fmt: skip


def _deformable():
    return hf.DeformableDetrConfig(
        **{**hf_folders.DETECTOR, "decoder_layers": 2}, num_feature_levels=1, encoder_n_points=2, decoder_n_points=2
    )


DETECTORS = {
    "deformable-detr": ("DeformableDetrForObjectDetection", _deformable, "DeformableDetrImageProcessor"),
    "rt-detr": ("RTDetrForObjectDetection", lambda: hf.RTDetrConfig(**_RT), "RTDetrImageProcessor"),
    "dab-detr": ("DabDetrForObjectDetection", lambda: hf.DabDetrConfig(**{**hf_folders.DETECTOR, "hidden_size": 32}),
                 "ConditionalDetrImageProcessor"),
    "table-transformer": (
        "TableTransformerForObjectDetection", lambda: hf.TableTransformerConfig(**hf_folders.DETECTOR),
        "DetrImageProcessor",
    ),
}  # fmt: skip


def _detector(name, folders, tmp_path):
    if name in folders:
        return folders[name]
    kind, config, processor = DETECTORS[name]
    hf_folders.made(kind, config()).save_pretrained(tmp_path)
    getattr(hf, processor)(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["detr", "conditional-detr", "yolos", *DETECTORS])
def test_detections_are_what_the_familys_own_post_processing_gives(folders, tmp_path, name):
    folder = _detector(name, folders, tmp_path)
    model = sl.load(f"hf/{folder}")
    kind = (hf_folders.IMAGES if name in folders else DETECTORS)[name][0]
    network = own(folder, kind)
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    images, answer = scores(model)
    height, width = images.shape[-2:]
    with torch.no_grad():
        (expected,) = processor.post_process_object_detection(network(images), 0.0, target_sizes=[(height, width)])
    boxes, chances = answer[0, :, :4], answer[0, :, 4:]
    assert chances.shape[1] == 5
    found = {
        (int(label), float(score)): box
        for label, score, box in zip(*(expected[k] for k in ("labels", "scores", "boxes")), strict=True)
    }
    for (label, score), box in found.items():
        row = int((chances[:, label] - score).abs().argmin())
        assert float(chances[row, label]) == pytest.approx(score, abs=1e-5)
        near = (chances[:, label] - score).abs() < 1e-5
        assert float((boxes[near] - box).abs().amax(1).min()) < 1e-3
    best = sl.explain(model, PICTURE, "saliency")
    assert float(best.values.abs().max()) > 0


def test_a_timm_network_in_a_hugging_face_folder_keeps_timms_preprocessing(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=5).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    told = {
        "input_size": [3, 64, 64], "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225], "num_classes": 5, "fixed_input_size": False, "first_conv": "conv1",
        "classifier": "fc",
    }  # fmt: skip
    config = {"architecture": "resnet18", "num_classes": 5, "label_names": hf_folders.LABELS, "pretrained_cfg": told}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = sl.load(f"hf/{tmp_path}")
    images, answer = scores(model)
    assert torch.allclose(answer, network(images), **EXACT)
    assert (model.labels, model.warnings, model.geometry.short) == (tuple(hf_folders.LABELS), (), 71)


# Weights -----------------------------------------------------------------------------------------------------


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def same_state(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_random_weights_are_the_same_each_time_and_touch_no_generator(folders):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = sl.load(f"hf/{folders['vit']}", weights=None)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    second = sl.load(f"hf/{folders['vit']}", weights=None)
    assert same_state(state_of(first), state_of(second))
    assert not same_state(state_of(first), state_of(sl.load(f"hf/{folders['vit']}")))
    assert (first.weights, first.warnings) == ("random", ())


def test_a_file_of_weights_is_taken_in_the_names_of_today_and_of_the_hub(folders, tmp_path):
    folder, kind = folders["vit"], "ViTForImageClassification"
    other = hf_folders.made(kind, hf.AutoConfig.from_pretrained(folder))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.01)
    save_file(other.state_dict(), tmp_path / "own.safetensors")
    other.save_pretrained(tmp_path / "hub")  # under the names that the hub's files have
    hub = tmp_path / "hub" / "model.safetensors"
    for path in (tmp_path / "own.safetensors", hub):
        model = sl.load(f"hf/{folder}", weights=path)
        assert same_state(state_of(model), other.state_dict())
    torch.save(load_file(hub), tmp_path / "w.pt")
    assert same_state(state_of(sl.load(f"hf/{folder}", weights=tmp_path / "w.pt")), other.state_dict())


def test_a_file_that_lacks_a_part_is_refused_and_a_folder_that_does_is_loaded_with_a_warning(tmp_path):
    folder = hf_folders.saved("vit", tmp_path / "vit")
    path = folder / "model.safetensors"
    state = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("classifier")}
    save_file(state, tmp_path / "headless.safetensors")
    with pytest.raises(
        sl.ModelError, match=r"headless.safetensors holds no weights for 2 .* such as classifier.bias"
    ):
        sl.load(f"hf/{folder}", weights=tmp_path / "headless.safetensors")
    save_file(state, path)
    model = sl.load(f"hf/{folder}")
    assert [one.code for one in model.warnings] == ["untrained-weights"]
    assert "they are random" in model.warnings[0].message
    with pytest.warns(sl.SightlineWarning, match="holds no weights for 2"):
        answers = sl.predict(model, PICTURE)
    with pytest.warns(sl.SightlineWarning):
        assert sl.predict(sl.load(f"hf/{folder}"), PICTURE) == answers


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = hf_folders.saved("vit", tmp_path)
    state = load_file(folder / "model.safetensors")
    save_file({**state, "classifier.weight": torch.zeros(9, 32)}, folder / "model.safetensors")
    for options in ({}, {"weights": folder / "model.safetensors"}):
        with pytest.raises(sl.ModelError, match=r"classifier.weight is \(9, 32\), and the network takes \(5, 32\)"):
            sl.load(f"hf/{folder}", **options)


def test_half_precision_is_calculated_in_single(tmp_path):
    folder = hf_folders.saved("vit", tmp_path)
    state = load_file(folder / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in state.items()}, folder / "model.safetensors")
    hf_folders.rewritten(folder, dtype="float16")
    model = sl.load(f"hf/{folder}")
    assert {one.dtype for one in model.network.parameters()} == {torch.float32}


def test_several_files_of_weights_and_pickles_of_tensors_alone_are_read(tmp_path):
    folder = hf_folders.saved("vit", tmp_path / "one")
    expected = state_of(sl.load(f"hf/{folder}"))
    many = hf_folders.saved("vit", tmp_path / "many")
    (many / "model.safetensors").unlink()
    hf.ViTForImageClassification.from_pretrained(folder).save_pretrained(many, max_shard_size="40KB")
    assert len(list(many.glob("model-*.safetensors"))) > 1
    assert same_state(state_of(sl.load(f"hf/{many}")), expected)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert same_state(state_of(sl.load(f"hf/{folder}")), expected)


# Other sizes, other libraries' state ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "grid"), [("vit", (6, 8)), ("beit", (6, 8)), ("dinov2", (6, 8))])
def test_a_transformer_takes_inputs_of_another_shape(folders, name, grid):
    model = sl.load(f"hf/{folders[name]}", input_size=(48, 64))
    images, answer = scores(model)
    network = own(folders[name], hf_folders.IMAGES[name][0])
    asked = {} if name == "dinov2" else {"interpolate_pos_encoding": True}
    assert torch.allclose(answer, network(images, **asked).logits, **EXACT)
    heat = sl.explain(model, PICTURE, "grad-cam", target=1)
    assert model.traced().layout(heat.layer).grid == grid


@pytest.fixture
def chosen_level():
    log = hf.utils.logging
    before = log.get_verbosity()
    log.set_verbosity(log.CRITICAL - 7)  # of the user's own
    yield log.CRITICAL - 7
    log.set_verbosity(before)


def test_loading_prints_nothing_and_leaves_transformers_as_it_was(folders, capfd, chosen_level):
    log = hf.utils.logging
    level, bars = chosen_level, log.is_progress_bar_enabled()
    shown = list(warnings.filters)
    folder = hf_folders.saved("vit", folders["vit"].parent / "headless")
    state = load_file(folder / "model.safetensors")
    save_file({name: one for name, one in state.items() if "classifier" not in name}, folder / "model.safetensors")
    capfd.readouterr()
    sl.load(f"hf/{folder}")
    with pytest.raises(sl.ModelError):
        sl.load(f"hf/{folder}", weights=folder / "absent.safetensors")
    assert capfd.readouterr() == ("", "")
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (level, bars)
    assert warnings.filters == shown


@pytest.mark.parametrize("method", ["integrated-gradients", "shapley-cam", "occlusion", "smoothgrad", "layer-cam"])
def test_every_kind_of_method_runs_through_its_attention(folders, method):
    model = sl.load(f"hf/{folders['vit']}")
    heat = sl.explain(model, PICTURE, method, target="ball")
    assert torch.isfinite(heat.values).all()
    assert float(heat.values.abs().max()) > 0


# Live networks -------------------------------------------------------------------------------------------------


def test_a_live_network_says_its_size_labels_and_what_its_family_is_shown(folders):
    network = own(folders["vit"], "ViTForImageClassification")
    model = sl.wrap(network)
    assert (model.input_size, model.labels, model.mean) == ((48, 48), tuple(hf_folders.LABELS), (0.5,) * 3)
    assert [one.code for one in model.warnings] == ["preprocessing-assumed"]
    assert sl.wrap(network, mean=0.4, std=0.2).warnings == ()
    images, answer = scores(model)
    assert torch.allclose(answer, network(images).logits, **EXACT)


def test_a_live_detector_and_a_class_of_the_users_own_are_recognised(folders):
    detector = sl.wrap(own(folders["detr"], "DetrForObjectDetection"), input_size=64)
    assert detector.output == "detections"

    class Mine(hf.ViTForImageClassification):
        pass

    mine = Mine.from_pretrained(folders["vit"]).eval()
    assert sl.wrap(mine, input_size=48).labels == tuple(hf_folders.LABELS)


def test_a_live_network_may_be_asked_by_the_names_of_its_inputs(folders):
    network = own(folders["vit"], "ViTForImageClassification")
    model = sl.wrap(
        network, input_name="pixel_values", output_name="logits", inputs={"interpolate_pos_encoding": True}
    )
    images, answer = scores(model)
    assert torch.allclose(answer, network(images).logits, **EXACT)
