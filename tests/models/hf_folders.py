"""Hugging Face folders of small random networks, as save_pretrained writes them: `saved(name, folder)`."""

from __future__ import annotations

import json
from pathlib import Path

import literal
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = [
    "what", "is", "this", "in", "the", "picture", "a", "dog", "cat", "photo", "of", "USER:", "ASSISTANT:", "red",
    "ball", "tree", "it",
]  # fmt: skip
LABELS = ["duck", "ball", "kite", "car", "tree"]
NAMED = {"id2label": dict(enumerate(LABELS)), "label2id": {name: index for index, name in enumerate(LABELS)}}
BASE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "patch_size": 8,
    "image_size": 48, **NAMED,
}  # fmt: skip
SMALL = {k: v for k, v in BASE.items() if k not in NAMED}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 32], **NAMED}
BACKBONE = {
    "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1],
    "layer_type": "basic", "out_features": ["stage4"],
}  # fmt: skip
DETECTOR = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 7,
    "backbone_config": BACKBONE, "use_timm_backbone": False, "backbone": None, **NAMED,
}  # fmt: skip
SQUARE = {"height": 48, "width": 48}
TEXT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 40,
    "max_position_embeddings": 32, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0,
}  # fmt: skip


def _swin():
    return hf.SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, **NAMED
    )


def _segformer():
    return hf.SegformerConfig(
        num_encoder_blocks=4, depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 16, 32], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16, **NAMED,
    )  # fmt: skip


def _upernet():
    backbone = hf.ConvNextConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    return hf.UperNetConfig(
        backbone_config=backbone, hidden_size=16, use_auxiliary_head=False, pool_scales=[1, 2], **NAMED
    )


def _dpt(**more):
    return hf.DPTConfig(
        **{**BASE, "num_hidden_layers": 4}, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, is_hybrid=False, **more,
    )  # fmt: skip


# name -> class, its configuration, the image processor's class, its options
IMAGES = {
    "vit": ("ViTForImageClassification", lambda: hf.ViTConfig(**BASE), "ViTImageProcessor", {"size": SQUARE}),
    "deit": (
        "DeiTForImageClassificationWithTeacher", lambda: hf.DeiTConfig(**BASE), "DeiTImageProcessor",
        {"size": {"height": 57, "width": 57}, "crop_size": SQUARE},
    ),
    "swin": (
        "SwinForImageClassification", _swin, "ViTImageProcessor",
        {"size": {"height": 64, "width": 64}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.2, 0.225]},
    ),
    "beit": (
        "BeitForImageClassification", lambda: hf.BeitConfig(**BASE), "BeitImageProcessor",
        {"size": SQUARE, "do_center_crop": False},
    ),
    "dinov2": (
        "Dinov2ForImageClassification", lambda: hf.Dinov2Config(**BASE), "BitImageProcessor",
        {"size": {"shortest_edge": 55}, "crop_size": SQUARE},
    ),
    "convnext": (
        "ConvNextForImageClassification", lambda: hf.ConvNextConfig(**STAGES), "ConvNextImageProcessor",
        {"size": {"shortest_edge": 64}, "crop_pct": 0.875},
    ),
    "segformer": (
        "SegformerForSemanticSegmentation", _segformer, "SegformerImageProcessor",
        {"size": {"height": 64, "width": 64}},
    ),
    "upernet": (
        "UperNetForSemanticSegmentation", _upernet, "SegformerImageProcessor", {"size": {"height": 64, "width": 64}},
    ),
    "dpt": ("DPTForSemanticSegmentation", _dpt, "DPTImageProcessor", {"size": SQUARE}),
    "depth": ("DPTForDepthEstimation", _dpt, "DPTImageProcessor", {"size": SQUARE}),
    "detr": (
        "DetrForObjectDetection", lambda: hf.DetrConfig(**DETECTOR), "DetrImageProcessor",
        {"size": {"shortest_edge": 64, "longest_edge": 96}},
    ),
    "conditional-detr": (
        "ConditionalDetrForObjectDetection", lambda: hf.ConditionalDetrConfig(**DETECTOR),
        "ConditionalDetrImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": 96}},
    ),
    "yolos": (
        "YolosForObjectDetection",
        lambda: hf.YolosConfig(
            **{**BASE, "image_size": [64, 64]}, num_detection_tokens=6, use_mid_position_embeddings=False
        ),
        "YolosImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": 96}},
    ),
    "dinov2-base": (
        "Dinov2Model", lambda: hf.Dinov2Config(**SMALL), "BitImageProcessor",
        {"size": {"shortest_edge": 55}, "crop_size": SQUARE},
    ),
}  # fmt: skip


def _clip():
    return hf.CLIPConfig(text_config=TEXT, vision_config=SMALL, projection_dim=24)


def _siglip():
    return hf.SiglipConfig(
        text_config={**TEXT, "max_position_embeddings": 12, "projection_size": 32}, vision_config=SMALL
    )


def tokenizer(mark: str | None = None):
    """A tokenizer of a few words; texts begin with [BOS] and end with [EOS], but where the image has a `mark`."""
    special = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", *([mark] if mark else [])]
    own = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + WORDS)}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    single = "[BOS] $A" if mark else "[BOS] $A [EOS]"
    ids = [(name, special.index(name)) for name in ("[BOS]", "[EOS]")]
    own.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=own, unk_token="[UNK]", pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]",
        cls_token="[BOS]", sep_token="[EOS]", model_max_length=32,
        **({"additional_special_tokens": [mark]} if mark else {}),
    )  # fmt: skip


def made(kind: str, config):
    """A network with weights that matter, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return literal.rattle(getattr(hf, kind)(config)).eval()


def _image(name: str, folder: Path) -> None:
    kind, config, processor, options = IMAGES[name]
    network = made(kind, config())
    if name == "depth":  # it ends in a ReLU
        network.head.head[4].bias.data.fill_(1.0)
    network.save_pretrained(folder)
    getattr(hf, processor)(**options).save_pretrained(folder)


def _compared(kind: str, config, folder: Path) -> None:
    made(kind, config).save_pretrained(folder)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 48}, crop_size=SQUARE)
    if kind == "SiglipModel":
        images = hf.SiglipImageProcessor(size=SQUARE)
    images.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def _llava(folder: Path) -> None:
    words = tokenizer("<image>")
    mark = words.convert_tokens_to_ids("<image>")
    text = hf.LlamaConfig(**{**TEXT, "num_key_value_heads": 2})
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**SMALL), text_config=text, image_token_id=mark, image_token_index=mark,
        vision_feature_layer=-1, image_seq_length=36,
    )  # fmt: skip
    made("LlavaForConditionalGeneration", config).save_pretrained(folder)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 48}, crop_size=SQUARE)
    processor = hf.LlavaProcessor(
        images, words, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    processor.save_pretrained(folder)


def _blip(folder: Path) -> None:
    text = {**TEXT, "sep_token_id": 3, "projection_dim": 24, "encoder_hidden_size": 32, "is_decoder": True}
    config = hf.BlipConfig(text_config=text, vision_config=SMALL, projection_dim=24)
    made("BlipForConditionalGeneration", config).save_pretrained(folder)
    hf.BlipProcessor(hf.BlipImageProcessor(size=SQUARE), tokenizer()).save_pretrained(folder)


def saved(name: str, folder: Path) -> Path:
    """The folder of a small network of that name, written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if name in IMAGES:
        _image(name, folder)
    elif name == "clip":
        _compared("CLIPModel", _clip(), folder)
    elif name == "siglip":
        _compared("SiglipModel", _siglip(), folder)
    else:
        {"llava": _llava, "blip": _blip}[name](folder)
    return folder


NAMES = (*IMAGES, "clip", "siglip", "llava", "blip")


def rewritten(folder: Path, name: str = "config.json", **changes) -> Path:
    """`folder`, with entries of one of its JSON files changed; None takes one away."""
    path = folder / name
    held = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in held.items() if value is not None}))
    return folder
