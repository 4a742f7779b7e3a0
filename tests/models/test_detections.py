"""Detectors: torchvision's as they are, candidates of every score kept, and raw answers of YOLO's kind."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.ops import MultiScaleRoIAlign

import sightline as sl
from sightline.app.cli import main
from sightline.models.detections import torchvision_detector
from sightline.network.adapters import owned
from sightline.targets import Box

NAMES = ["__background__", "cat", "dog"]
SIZE = {"min_size": 64, "max_size": 64}


class Backbone(nn.Sequential):
    out_channels = 32

    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 32, 3, 2, 1), nn.ReLU())


def anchors():
    return AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),))


def faster_rcnn(**options):
    given = {"num_classes": 3, "rpn_anchor_generator": anchors(), "box_detections_per_img": 12, **SIZE}
    return detection.FasterRCNN(
        Backbone(), box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2), **given | {"box_score_thresh": 0.9} | options
    )


def mask_rcnn():
    return detection.MaskRCNN(
        Backbone(),
        3,
        rpn_anchor_generator=anchors(),
        box_roi_pool=MultiScaleRoIAlign(["0"], 5, 2),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 8, 2),
        **SIZE,
    )


def ssd():
    backbone = Backbone()
    backbone.out_channels = [32]
    return detection.ssd.SSD(
        backbone, DefaultBoxGenerator([[2, 3]], scales=[0.3, 0.6]), (64, 64), 3, score_thresh=0.4
    )


DETECTORS = {
    "FasterRCNN": faster_rcnn,
    "MaskRCNN": mask_rcnn,
    "RetinaNet": lambda: detection.RetinaNet(Backbone(), 3, anchor_generator=anchors(), score_thresh=0.4, **SIZE),
    "FCOS": lambda: detection.FCOS(
        Backbone(), 3, anchor_generator=AnchorGenerator(((8,),), ((1.0,),)), score_thresh=0.4, **SIZE
    ),
    "SSD": ssd,
}


def built(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = DETECTORS[name]()
        for parameter in network.parameters():  # bold enough that boxes and scores differ
            nn.init.normal_(parameter, std=0.08) if parameter.ndim > 1 else None
    return network.eval()


def photo(height=64, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def tensor(array):
    return torch.from_numpy(array).movedim(2, 0) / 255


def quietly(verb, *given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return verb(*given, **options)


@pytest.fixture(params=list(DETECTORS))
def name(request):
    return request.param


def test_its_answers_are_torchvisions_own_lists_at_any_score(name):
    network = built(name)
    heads = getattr(network, "roi_heads", network)
    model = sl.wrap(network, labels=NAMES)
    images = torch.stack([tensor(photo(seed=seed)) for seed in (0, 1)])
    with model.lend(images) as net:
        answers = net.scores(images)
    before, heads.score_thresh = heads.score_thresh, 0.0
    with torch.no_grad():
        expected = network(list(images))
    heads.score_thresh = before
    assert answers.shape == (2, heads.detections_per_img, 4 + 3)
    for answer, own in zip(answers, expected, strict=True):
        count = len(own["scores"])
        assert count > 0
        assert torch.allclose(answer[:count, :4], own["boxes"], atol=1e-3)
        assert torch.allclose(answer[range(count), 4 + own["labels"]], own["scores"], atol=1e-6)
        assert (answer[:, 4:] > 0).sum() <= count
        assert not answer[count:].any()
        if name not in ("RetinaNet", "FCOS"):  # which count no background
            assert not answer[:, 4].any()


def test_what_scores_below_its_own_threshold_stays_a_candidate():
    network = built("FasterRCNN")
    model = sl.wrap(network, labels=NAMES)
    listed = sl.predict(model, photo(), top=12)
    weak = [one for one in listed if one.probability < 0.9]
    assert weak
    ex = quietly(sl.explain, model, photo(), "saliency", target=Box(weak[0].box, weak[0].index))
    assert float(ex.values.abs().max()) > 0


def test_the_network_comes_back_as_it_was_also_after_an_error(name):
    network = built(name).train()
    heads = getattr(network, "roi_heads", network)
    held = {key: value for key, value in vars(heads).items() if not key.startswith("_")}
    model = sl.wrap(network, labels=NAMES)
    quietly(sl.predict, model, photo())
    network.backbone.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sl.predict(model, photo())
    assert {key: value for key, value in vars(heads).items() if not key.startswith("_")} == held
    assert network.training


def test_saliency_is_the_gradient_of_the_winning_score(name):
    network = built(name)
    model = sl.wrap(network, labels=NAMES)
    best = sl.predict(model, photo(), top=1)[0]
    ex = quietly(sl.explain, model, photo(), "saliency")
    heads = getattr(network, "roi_heads", network)
    before, heads.score_thresh = heads.score_thresh, 0.0
    image = tensor(photo()).requires_grad_()
    own = network([image])[0]
    heads.score_thresh = before
    (slope,) = torch.autograd.grad(own["scores"][0], image)
    assert float(own["scores"][0].detach()) == pytest.approx(best.probability, abs=1e-6)
    assert ex.target.index == int(own["labels"][0])
    assert torch.allclose(ex.values, slope, atol=1e-3 * float(slope.abs().max()))


def test_a_photo_is_fitted_in_without_a_warning_and_boxes_come_back_to_it(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = sl.wrap(built(name), labels=NAMES)
        listed = sl.predict(model, photo(120, 60))
    assert (model.input_size, model.geometry.resize, model.warnings) == ((64, 64), "pad", ())
    for one in listed:
        x0, y0, x1, y1 = one.box
        assert 0 <= x0 <= x1 <= 60
        assert 0 <= y0 <= y1 <= 120


def test_grad_cam_reads_a_map_that_every_candidate_depends_on(name):
    ex = quietly(sl.explain, sl.wrap(built(name), labels=NAMES), photo())
    assert ex.method == "grad-cam"
    assert ex.layer.startswith("backbone")


def test_masks_are_not_calculated():
    network = built("MaskRCNN")
    ran = []
    network.roi_heads.mask_head.register_forward_hook(lambda *_: ran.append(1))
    sl.predict(sl.wrap(network, labels=NAMES), photo())
    assert not ran
    assert network.roi_heads.has_mask()


def test_anything_else_is_no_detector_of_torchvision():
    assert torchvision_detector(nn.Linear(1, 1)) is None
    assert torchvision_detector(lambda images: images) is None


def test_a_head_that_hides_its_classes_is_refused_with_what_to_do():
    class Head(nn.Module):
        pass

    network = built("FasterRCNN")
    network.roi_heads.box_predictor = Head()
    with pytest.raises(sl.ModelError, match=r'does not say how many classes.*output="detections"'):
        sl.wrap(network)


def test_by_name_with_random_weights_and_its_own_labels():
    model = sl.load("torchvision/ssdlite320_mobilenet_v3_large", weights=None)
    assert (model.input_size, len(model.labels), model.labels[17]) == ((320, 320), 91, "cat")
    assert model.layer == "backbone.features.0"
    ex = quietly(sl.explain, model, photo(90, 120), "saliency")
    assert " at " in ex.label
    assert float(ex.values.abs().max()) > 0
    same = sl.load("torchvision/ssdlite320_mobilenet_v3_large", weights=None)
    assert quietly(sl.predict, same, photo()) == quietly(sl.predict, model, photo())


@pytest.mark.matrix
@pytest.mark.parametrize("name", models.list_models(module=detection))
def test_each_by_name(name):
    ex = quietly(sl.explain, sl.load(f"torchvision/{name}", weights=None), photo(90, 120), "saliency")
    assert " at " in ex.label


# Raw answers ------------------------------------------------------------------------------------------------


class Yolo(nn.Module):
    """40 candidates of two classes, (N, 40, 6) by centre and size: the first is as sure as the image is bright."""

    def __init__(self):
        super().__init__()
        dice = torch.Generator().manual_seed(0)
        centres, sizes = torch.rand(40, 2, generator=dice) * 32, 2 + 6 * torch.rand(40, 2, generator=dice)
        self.register_buffer("rows", torch.cat([centres, sizes], 1))
        self.classes = nn.Conv2d(3, 80, 32)

    def parts(self, images):
        chances = self.classes(images).sigmoid().view(len(images), 40, 2)
        return self.rows.expand(len(images), -1, -1), chances

    def forward(self, images):
        return torch.cat(self.parts(images), 2)


class Shaped(Yolo):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, images):
        return self.shape(*self.parts(images))


def corners(rows):
    return torch.cat([rows[..., :2] - rows[..., 2:] / 2, rows[..., :2] + rows[..., 2:] / 2], 2)


def with_objectness(rows, chances):
    return torch.cat([rows, torch.full_like(chances[..., :1], 0.5), 2 * chances * 0.5], 2)


PAIR = ["cat", "dog"]
FORMS = {
    "YOLOv8": (lambda rows, chances: torch.cat([rows, chances], 2).transpose(1, 2), {}, 1),
    "YOLOv8, labelled": (lambda rows, chances: torch.cat([rows, chances], 2).transpose(1, 2), {"labels": PAIR}, 1),
    "YOLOv8 in a tuple": (lambda rows, chances: (torch.cat([rows, chances], 2).transpose(1, 2), [rows]), {}, 1),
    "YOLOv5, labelled": (with_objectness, {"labels": PAIR}, 0.5),
    "by corners": (lambda rows, chances: torch.cat([corners(rows), chances], 2), {}, 1),
    "by corners, told": (lambda rows, chances: torch.cat([corners(rows), chances], 2), {"boxes": "xyxy"}, 1),
    "by centre, labelled": (lambda rows, chances: torch.cat([rows, chances], 2), {"labels": PAIR}, 1),
    "by centre, told": (
        lambda rows, chances: torch.cat([rows, chances], 2),
        {"labels": PAIR, "boxes": "cxcywh"},
        1,
    ),
}


def yolo(shape, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Shaped(shape).eval()
    return sl.wrap(network, **{"input_size": 32, "mean": 0.0, "std": 1.0, "output": "detections"} | options)


@pytest.mark.parametrize("form", FORMS)
def test_raw_answers_of_every_form_mean_the_same(form):
    shape, options, factor = FORMS[form]
    model = yolo(shape, **options)
    images = tensor(photo(32, 32))[None]
    with model.lend(images) as net:
        answers = net.scores(images)
    rows, chances = (part.detach() for part in owned(model.network).parts(images))
    assert torch.allclose(answers, torch.cat([corners(rows), factor * chances], 2), atol=1e-5)
    assert model.geometry.resize == "pad"
    ex = quietly(sl.explain, model, photo(32, 32), "saliency")
    assert float(ex.values.abs().max()) > 0


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        (with_objectness, {}, r"\(1, 40, 7\): 2 classes and an objectness, or 3 classes\? Give labels"),
        (with_objectness, {"labels": ["a"] * 9}, "neither 4 nor 5 numbers beside those of 9 labels"),
        (with_objectness, {"labels": PAIR, "boxes": "yxyx"}, r"boxes='yxyx'; possible: xyxy, cxcywh"),
        (lambda rows, chances: chances, {}, r"answers \(1, 40, 2\); a detector's is \(N, Q, 4 \+ K\)"),
        (lambda rows, chances: chances.flatten(1), {}, r"answers \(1, 80\); a detector's"),
        (lambda rows, chances: torch.cat([corners(rows), 9 * chances - 3], 2), {}, "they have to be probabilities"),
        (
            lambda rows, chances: torch.cat([corners(rows), chances[..., :1], chances[..., :1].round() * 0 + 7], 2),
            {},
            r"class scores from .* to 7; they have to be probabilities",
        ),
    ],
)
def test_raw_answers_that_cannot_be_told_are_refused(shape, options, said):
    with pytest.raises(sl.ModelError, match=said):
        yolo(shape, **options)


def test_boxes_are_an_option_of_detectors_only():
    with pytest.raises(sl.ModelError, match="boxes='xyxy' is of detectors"):
        sl.wrap(Yolo(), input_size=32, boxes="xyxy")


def test_raw_answers_that_nobody_called_detections_are_no_segmentation():
    model = sl.wrap(Pyramid().eval(), input_size=32, mean=0.0, std=1.0)
    with pytest.raises(sl.TargetError, match=r"a map \(84,\), which is none of the photo.*output=\"detections\""):
        sl.explain(model, photo())


def test_tensors_and_a_second_derivative():
    network, images = built("FasterRCNN"), tensor(photo())[None]
    best = sl.predict(sl.wrap(network), photo(), top=1)[0]
    heat = quietly(sl.attribute, network, images, Box(best.box, best.index), method="saliency")
    assert torch.equal(heat.values, quietly(sl.attribute, network, images, method="saliency").values)
    with pytest.raises(sl.NetworkError, match="no second derivative"):
        quietly(sl.attribute, network, images, method="shapley-cam", layer="backbone")


def test_a_black_box_detects_too():
    def function(images):
        return FORMS["YOLOv8"][0](*network.parts(images)).detach().numpy()

    network = Yolo()
    model = sl.wrap(function, input_size=32, output="detections", labels=PAIR)
    ex = quietly(sl.explain, model, photo(), samples=40)
    assert (ex.method, ex.target.index in (0, 1)) == ("rise", True)


class Pyramid(nn.Module):
    """Candidates of three levels; only the finest level is told what the coarsest sees."""

    def __init__(self):
        super().__init__()
        self.fine, self.middle, self.coarse = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 2, 2), nn.Conv2d(8, 8, 2, 2)
        self.neck = nn.Conv2d(8, 8, 1)
        self.heads = nn.ModuleList(nn.Conv2d(8, 6, 1) for _ in range(3))

    def forward(self, images):
        fine = self.fine(images).relu()
        middle = self.middle(fine).relu()
        coarse = self.coarse(middle).relu()
        levels = (self.neck(fine + nn.functional.interpolate(coarse, scale_factor=4)), middle, coarse)
        rows = torch.cat([head(level).flatten(2) for head, level in zip(self.heads, levels, strict=True)], 2)
        return torch.cat([rows[:, :4].sigmoid() * 32, rows[:, 4:].sigmoid()], 1)


def test_the_default_layer_of_a_pyramid_is_one_that_every_candidate_depends_on():
    model = sl.wrap(Pyramid().eval(), input_size=32, mean=0.0, std=1.0, output="detections")
    assert model.default_layer == "coarse"


# The command line -------------------------------------------------------------------------------------------


def factory():
    return sl.wrap(built("FasterRCNN"), labels=NAMES)


def test_the_command_line_prints_boxes(tmp_path, capsys):
    from PIL import Image

    Image.fromarray(photo(80, 100)).save(tmp_path / "pets.png")
    source = f"{__name__}:factory"
    best = sl.predict(factory(), tmp_path / "pets.png")[0]
    assert main(["predict", str(tmp_path / "pets.png"), "--model", source]) == 0
    assert f"{best.probability:.1%}" in (said := capsys.readouterr().out)
    assert best.words in said
    assert main(["predict", str(tmp_path / "pets.png"), "--model", source, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["photos"][0]["predictions"][0]
    assert told["box"] == list(best.box)
    given = ["--method", "saliency", "--target", best.label, "--out", str(tmp_path / "out"), "--json"]
    assert main(["explain", str(tmp_path / "pets.png"), "--model", source, *given]) == 0
    (one,) = json.loads(capsys.readouterr().out)["photos"][0]["explanations"]
    assert one["label"].startswith(f"{best.label} at ")
    assert one["predictions"][0]["box"] == list(best.box)
