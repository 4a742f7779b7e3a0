"""Texts beside images: labels and texts of networks that compare, next tokens of networks that write."""

import hf_folders
import literal
import pytest
import torch
import transformers as hf
from test_hf_photos import photo

import sightline as sl
from sightline.models.huggingface_words import Texts
from sightline.models.huggingface_writing import writer

pytestmark = pytest.mark.filterwarnings("ignore:every value is negative")
PICTURE = photo(90, 120)
PROMPTS = ["a photo of a dog", "a cat", "the red ball in the picture"]
EXACT = {"atol": 1e-5, "rtol": 1e-4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    names = ("clip", "siglip", "llava", "blip")
    return {name: hf_folders.saved(name, tmp_path_factory.mktemp(name)) for name in names}


def seen(model, count=2):
    tensor, _ = model.tensor(sl.open_photo(PICTURE))
    images = torch.stack([tensor * (1 - 0.2 * i) for i in range(count)])
    with model.lend(images) as net:
        return images, net.scores(images)


# Networks that compare -----------------------------------------------------------------------------------------


def compared(folder, name, images, texts):
    """logits_per_image as transformers' own zero-shot pipeline asks for it."""
    kind = {"clip": hf.CLIPModel, "siglip": hf.SiglipModel}[name]
    network, words = kind.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    padding = {"padding": True} if name == "clip" else {"padding": "max_length", "max_length": 12}
    given = words(texts, return_tensors="pt", truncation=True, **padding)
    asked = {key: given[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        return network(pixel_values=images, **asked).logits_per_image


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_labels_make_a_classifier_among_texts_as_they_are_given(folders, name):
    model = sl.load(f"hf/{folders[name]}", labels=PROMPTS)
    images, answer = seen(model)
    assert torch.allclose(answer, compared(folders[name], name, images, PROMPTS), **EXACT)
    assert model.labels == tuple(PROMPTS)
    best = sl.predict(model, PICTURE, top=1)[0]
    assert best.index == int(answer[0].argmax())
    likely = answer.sigmoid() if name == "siglip" else answer.softmax(1)  # as transformers' own pipeline
    assert best.probability == pytest.approx(float(likely[0, best.index]), abs=1e-5)
    for target in (1, "a cat", sl.targets.Text("a cat")):
        assert sl.explain(model, PICTURE, "saliency", target=target).target == sl.targets.Class(1)
    with pytest.raises(
        sl.TargetError, match=r"no class is labelled 'a dog'; did you mean 'a photo of a dog'.*any text"
    ):
        sl.explain(model, PICTURE, "saliency", target="a dog")


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_text_is_a_target_the_cosine_times_the_networks_scale(folders, name):
    model = sl.load(f"hf/{folders[name]}")
    tensor, _ = model.tensor(sl.open_photo(PICTURE))
    heat = sl.explain(model, PICTURE, "saliency", target="a photo of a dog")
    assert str(heat.target) == "Text('a photo of a dog')"
    kind = {"clip": hf.CLIPModel, "siglip": hf.SiglipModel}[name]
    network = kind.from_pretrained(folders[name]).eval()
    leaf = tensor[None].clone().requires_grad_()
    padding = {"padding": "max_length", "max_length": 12} if name == "siglip" else {}
    ids = hf.AutoTokenizer.from_pretrained(folders[name])(["a photo of a dog"], return_tensors="pt", **padding)
    score = network(
        pixel_values=leaf, input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]
    ).logits_per_image[0, 0]
    (expected,) = torch.autograd.grad(score, leaf)
    assert literal.same(heat.values, expected[0])
    drawn = sl.visualize(model, "a dog", steps=2)
    assert drawn.images.shape[1:] == (3, 48, 48)
    both = sl.explain(model, PICTURE, "saliency", target=sl.targets.Text("a dog") - sl.targets.Text("a cat"))
    assert float(both.values.abs().max()) > 0
    assert str(both.target) == "Sum(parts=((1.0, Text('a dog')), (-1.0, Text('a cat'))))"


def test_texts_are_read_anew_when_the_network_has_learned(folders):
    model = sl.load(f"hf/{folders['clip']}", labels=PROMPTS)
    _, before = seen(model)
    with torch.no_grad():
        model.network.get_submodule("text_projection").weight.mul_(-1)
    _, after = seen(model)
    assert torch.allclose(before, -after, **EXACT)


def test_without_a_text_there_is_nothing_to_explain_and_the_error_says_what_to_give(folders):
    model = sl.load(f"hf/{folders['clip']}")
    with pytest.raises(sl.TargetError, match="embedding ranks nothing"):
        sl.explain(model, PICTURE, "saliency")
    with pytest.raises(sl.TargetError, match=r"has no top; where it reads texts, give it labels="):
        sl.predict(model, PICTURE)
    with pytest.raises(sl.TargetError, match="writes no text, it compares"):
        sl.explain(model, PICTURE, "saliency", target=sl.targets.Token("dog"))


@pytest.mark.parametrize("labels", ["a dog", [], [1, 2], [None], [""], 5])
def test_labels_that_are_no_texts_are_refused(folders, labels):
    with pytest.raises(sl.ModelError, match="give a list of texts"):
        sl.load(f"hf/{folders['clip']}", labels=labels)


def _altclip():
    return hf.AltCLIPConfig(
        text_config={**hf_folders.TEXT, "project_dim": 24, "pad_token_id": 0}, vision_config=hf_folders.SMALL,
        projection_dim=24,
    )  # fmt: skip


def _chinese():
    return hf.ChineseCLIPConfig(
        text_config={**hf_folders.TEXT, "type_vocab_size": 2}, vision_config=hf_folders.SMALL, projection_dim=24
    )


def _align():
    return hf.AlignConfig(
        text_config={**hf_folders.TEXT, "type_vocab_size": 2},
        vision_config={
            "image_size": 48, "in_channels": [32, 16], "out_channels": [16, 24], "kernel_sizes": [3, 3],
            "strides": [1, 2], "num_block_repeats": [1, 1], "expand_ratios": [1, 6], "hidden_dim": 32,
            "depthwise_padding": [],
        },
        projection_dim=48,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "config"), [("AltCLIPModel", _altclip), ("ChineseCLIPModel", _chinese), ("AlignModel", _align)]
)
def test_other_families_compare_as_transformers_does(kind, config):
    network, words = hf_folders.made(kind, config()), hf_folders.tokenizer()
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    given = words(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = network(pixel_values=images, **given).logits_per_image
        answer = Texts(network, words).among(PROMPTS)(network, images)
    assert torch.allclose(answer, expected, atol=1e-4, rtol=1e-3)


# Networks that write -------------------------------------------------------------------------------------------

ASKED = {"llava": "what is this", "blip": "a photo of"}


def own(folder, name):
    kind = {"llava": hf.LlavaForConditionalGeneration, "blip": hf.BlipForConditionalGeneration}[name]
    return kind.from_pretrained(folder).eval(), hf.AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("name", ["llava", "blip"])
def test_the_best_token_is_the_one_that_generate_writes(folders, name):
    model = sl.load(f"hf/{folders[name]}", prompt=ASKED[name])
    network, processor = own(folders[name], name)
    text = f"<image>\n{ASKED[name]}" if name == "llava" else ASKED[name]
    given = dict(processor(images=PICTURE, text=text, return_tensors="pt"))
    given["pixel_values"] = model.tensor(sl.open_photo(PICTURE))[0][None]
    written = network.generate(**given, max_new_tokens=1, do_sample=False)
    _, answer = seen(model, 1)
    assert int(answer[0].argmax()) == int(written[0, -1])
    assert answer.shape == (1, 40)
    assert len(model.labels) == 40
    assert model.labels[processor.tokenizer.convert_tokens_to_ids("dog")] == "dog"


@pytest.mark.parametrize("name", ["llava", "blip"])
def test_saliency_of_a_token_is_the_gradient_of_its_log_probability(folders, name):
    model = sl.load(f"hf/{folders[name]}", prompt=ASKED[name])
    network, processor = own(folders[name], name)
    leaf = model.tensor(sl.open_photo(PICTURE))[0][None].clone().requires_grad_()
    if name == "llava":
        text = processor.tokenizer(f"<image>\n{ASKED[name]}")["input_ids"]
        mark = processor.tokenizer.convert_tokens_to_ids("<image>")
        ids = [one for token in text for one in [token] * (36 if token == mark else 1)]
    else:
        ids = [2, *processor.tokenizer(ASKED[name], add_special_tokens=False)["input_ids"]]
    logits = network(pixel_values=leaf, input_ids=torch.tensor([ids])).logits[0, -1]
    dog = processor.tokenizer.convert_tokens_to_ids("dog")
    (expected,) = torch.autograd.grad(logits.log_softmax(0)[dog], leaf)
    for target in ("dog", sl.targets.Token("dog"), sl.targets.Token("dog in the picture")):
        heat = sl.explain(model, PICTURE, "saliency", target=target)
        assert literal.same(heat.values, expected[0])
    assert str(heat.target) == "Token('dog in the picture')"


@pytest.mark.parametrize("name", ["llava", "blip"])
@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "grad-cam"])
def test_methods_of_every_family_explain_a_token(folders, name, method):
    model = sl.load(f"hf/{folders[name]}", prompt=ASKED[name])
    options = {"steps": 64} if method == "integrated-gradients" else {}
    heat = sl.explain(model, PICTURE, method, target="dog", **options)
    assert float(heat.values.abs().max()) > 0
    if heat.gap is not None:
        assert heat.gap < 0.05


def test_a_layer_of_the_language_model_is_read_at_the_images_tokens(folders):
    model = sl.load(f"hf/{folders['llava']}", prompt=ASKED["llava"])
    assert model.default_layer == "model.language_model.layers.1.input_layernorm"
    layout = model.traced().layout(model.default_layer)
    assert (layout.grid, layout.prefix) == ((6, 6), 1)
    images, _ = seen(model, 1)
    network, _ = own(folders["llava"], "llava")

    class Asked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, pixels):
            return model.network._ask(network, pixels)

    heat = sl.explain(model, PICTURE, "grad-cam", target=5)
    layer = f"inner.{model.default_layer}"
    assert literal.same(
        heat.values[None], literal.grad_cam(Asked(), images, 5, layer, lambda o: literal.tokens(6, 6, 1)(o[:, :37]))
    )


def test_a_caption_needs_no_prompt(folders):
    model = sl.load(f"hf/{folders['blip']}")
    network, _ = own(folders["blip"], "blip")
    images, answer = seen(model, 1)
    written = network.generate(pixel_values=images, max_new_tokens=1, do_sample=False)
    assert int(answer[0].argmax()) == int(written[0, 1])


def test_what_can_go_wrong_with_words_is_said(folders):
    with pytest.raises(sl.ModelError, match=r"give prompt='What is this\?'"):
        sl.load(f"hf/{folders['llava']}")
    with pytest.raises(sl.ModelError, match="prompt=3; give a text"):
        sl.load(f"hf/{folders['llava']}", prompt=3)
    with pytest.raises(sl.ModelError, match="input_size= does not apply"):
        sl.load(f"hf/{folders['llava']}", prompt="what", input_size=96)
    with pytest.raises(sl.ModelError, match="labels= does not apply"):
        sl.load(f"hf/{folders['blip']}", labels=["a"])
    with pytest.raises(sl.ModelError, match="no option 'promt'; did you mean 'prompt'"):
        sl.load(f"hf/{folders['blip']}", promt="a")
    model = sl.load(f"hf/{folders['blip']}")
    for target, said in {
        "zebra": "does not know 'zebra'",
        " ": r"Said\(' '\) says nothing",
        sl.targets.Text("dog"): "it writes; give sl.targets.Token",
    }.items():
        with pytest.raises(sl.TargetError, match=said):
            sl.explain(model, PICTURE, "saliency", target=target)


@pytest.mark.parametrize("text", ["", " ", 5, None])
def test_a_text_without_a_word_is_refused(text):
    for kind in (sl.targets.Text, sl.targets.Token):
        with pytest.raises(sl.TargetError, match="says nothing; give a text"):
            kind(text)


def test_a_prompt_is_for_what_writes(folders):
    with pytest.raises(sl.ModelError, match="CLIPModel writes no text; prompt= does not apply"):
        sl.load(f"hf/{folders['clip']}", prompt="what is this")


def test_a_tokenizer_that_is_missing_is_a_clear_error(tmp_path):
    folder = hf_folders.saved("clip", tmp_path)
    for path in folder.glob("token*"):
        path.unlink()
    with pytest.raises(sl.ModelError, match="holds no tokenizer"):
        sl.load(f"hf/{folder}")


def test_a_prompt_is_put_in_the_networks_own_chat(folders):
    network, processor = own(folders["llava"], "llava")
    processor.chat_template = (
        "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
    )
    read = processor.tokenizer.decode
    one = writer(network, processor, "what is this", (48, 48))
    assert one.text == "what is this ASSISTANT:"
    assert read(one.beside["input_ids"][0, :3]) == "[BOS] USER: <image>"
    placed = writer(network, processor, "a <image> dog", (48, 48))
    assert (placed.text, read(placed.beside["input_ids"][0, :3])) == ("dog", "[BOS] a <image>")


def test_an_encoder_with_a_decoder_writes_too():
    encoder = hf.ViTConfig(**hf_folders.SMALL)
    decoder = hf.BertConfig(**{**hf_folders.TEXT, "is_decoder": True, "add_cross_attention": True})
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, decoder_start_token_id=2)
    network = hf_folders.made("VisionEncoderDecoderModel", config)
    one = writer(network, hf_folders.tokenizer(), "a photo", (48, 48))
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[2, *hf_folders.tokenizer()("a photo", add_special_tokens=False)["input_ids"]]]).expand(2, -1)
    with torch.no_grad():
        expected = network(pixel_values=images, decoder_input_ids=ids).logits[:, -1]
        assert torch.allclose(one.ask(network, images), expected, **EXACT)


def _git(folder):
    network = hf_folders.made("GitForCausalLM", hf.GitConfig(vision_config=hf_folders.SMALL, **hf_folders.TEXT))
    network.save_pretrained(folder)
    images = hf.CLIPImageProcessor(size={"shortest_edge": 48}, crop_size=hf_folders.SQUARE)
    hf.GitProcessor(images, hf_folders.tokenizer()).save_pretrained(folder)
    return network, (6, 6), 1


def _paligemma(folder):
    words = hf_folders.tokenizer("<image>")
    mark = words.convert_tokens_to_ids("<image>")
    text = {**hf_folders.TEXT, "num_key_value_heads": 2, "head_dim": 16, "model_type": "gemma"}
    config = hf.PaliGemmaConfig(
        vision_config={**hf_folders.SMALL, "model_type": "siglip_vision_model", "projection_dim": 32},
        text_config=text, image_token_id=mark, image_token_index=mark, projection_dim=32,
    )  # fmt: skip
    network = hf_folders.made("PaliGemmaForConditionalGeneration", config)
    network.save_pretrained(folder)
    images = hf.SiglipImageProcessor(size=hf_folders.SQUARE)
    images.image_seq_length = 36
    hf.PaliGemmaProcessor(images, words).save_pretrained(folder)
    return network, (6, 6), 0


def _blip2(folder):
    words = hf_folders.tokenizer("<image>")
    mark = words.convert_tokens_to_ids("<image>")
    text = hf.OPTConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, word_embed_proj_dim=32,
        max_position_embeddings=64,
    )  # fmt: skip
    config = hf.Blip2Config(
        vision_config=hf_folders.SMALL, qformer_config={**hf_folders.TEXT, "encoder_hidden_size": 32},
        text_config=text, num_query_tokens=5, image_token_index=mark, image_token_id=mark,
    )  # fmt: skip
    network = hf_folders.made("Blip2ForConditionalGeneration", config)
    network.save_pretrained(folder)
    images = hf.BlipImageProcessor(size=hf_folders.SQUARE)
    hf.Blip2Processor(images, words, num_query_tokens=5).save_pretrained(folder)
    return network, (6, 6), 1


@pytest.mark.parametrize("save", [_git, _paligemma, _blip2])
def test_other_families_write_what_generate_writes_and_are_read_at_the_images_tokens(tmp_path, save):
    network, grid, prefix = save(tmp_path)
    model = sl.load(f"hf/{tmp_path}", prompt="what is this")
    images, answer = seen(model, 1)
    given = dict(model.network._ask.__self__.beside)
    written = network.generate(pixel_values=images, **given, max_new_tokens=1, do_sample=False)
    assert int(answer[0].argmax()) == int(written[0, -1])
    layout = model.traced().layout(model.default_layer)
    assert (layout.grid, layout.prefix) == (grid, prefix)
    heat = sl.explain(model, PICTURE, "grad-cam", target="dog")
    assert float(heat.values.abs().max()) > 0
