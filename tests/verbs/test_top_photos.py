"""The photos that channels respond to most: those of a slow reading of all, each once, with what they see."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl

LAYER = "2"
SIDE = 24


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        ).eval()


NETWORK = network()


def model(resize="squash", batch_size=None, net=NETWORK):
    return sl.wrap(net, input_size=SIDE, mean=0.5, std=0.25, resize=resize, batch_size=batch_size)


def photos(count=20, size=(SIDE, SIDE), seed=0):
    dice = np.random.default_rng(seed)
    return [dice.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)]


@pytest.fixture
def folder(tmp_path):
    """Pictures in folders, one of them broken, one in two places, and what is no picture."""
    for i, pixels in enumerate(photos(12)):
        where = tmp_path / ("b" if i % 2 else "a") / f"{i}.png"
        where.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(where)
    (tmp_path / "a" / "again.bmp").write_bytes(b"")
    Image.fromarray(photos(12)[3]).save(tmp_path / "a" / "again.bmp")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("none either")
    (tmp_path / ".hidden.png").write_bytes(b"nor this")
    return tmp_path


def by_hand(given, channel, count):
    """[(photo, score, position)], the strongest first, by a plain pass for each photo."""
    rows = []
    for i, pixels in enumerate(given):
        image = (torch.from_numpy(pixels).movedim(-1, 0).float() / 255 - 0.5) / 0.25
        with torch.no_grad():
            acts = NETWORK[2](NETWORK[0](image[None]).relu())[0, channel]
        y, x = divmod(int(acts.argmax()), acts.shape[1])
        rows.append((float(acts.max()), -i, (y, x)))
    return [(-i, score, place) for score, i, place in sorted(rows, reverse=True)[:count]]


@pytest.mark.parametrize("batch_size", [1, 3, 8, 50])
def test_the_hits_are_those_of_a_slow_reading(batch_size):
    given = photos()
    found = sl.top_photos(model(batch_size=batch_size), given, LAYER, [1, 5], count=4)
    assert list(found) == [1, 5]
    for channel in (1, 5):
        expected = by_hand(given, channel, 4)
        assert [hit.name for hit in found[channel]] == [f"photo {i}" for i, *_ in expected]
        assert [hit.score for hit in found[channel]] == pytest.approx([score for _, score, _ in expected], rel=1e-5)
        assert [hit.position for hit in found[channel]] == [place for *_, place in expected]


def test_the_box_is_what_the_position_sees_on_the_photo():
    for hit in sl.top_photos(model(), photos(), LAYER, 3, count=6)[3]:
        (y, x), side = hit.position, SIDE
        # stride 2, then two windows of 3 around it
        expected = (max(0, 2 * x - 2), max(0, 2 * y - 2), min(side, 2 * x + 3), min(side, 2 * y + 3))
        assert hit.box == expected
        x0, y0, x1, y1 = expected
        assert np.array_equal(hit.crop(), hit.photo.pixels[y0:y1, x0:x1])


def test_the_box_of_a_larger_photo_is_in_its_own_pixels():
    (hit,) = sl.top_photos(model(), photos(1, (3 * SIDE, 2 * SIDE)), LAYER, 3)[3]
    (y, x) = hit.position
    assert hit.box[:2] == (2 * max(0, 2 * x - 2), 3 * max(0, 2 * y - 2))
    assert hit.box[2:] == (2 * min(SIDE, 2 * x + 3), 3 * min(SIDE, 2 * y + 3))


def test_a_cropped_photo_s_box_lies_in_what_was_seen():
    view = model("crop").geometry.view(60, 90)
    seen = np.flatnonzero(view.seen().any(0))
    for hit in sl.top_photos(model("crop"), photos(9, (60, 90)), LAYER, 2)[2]:
        assert seen[0] - 3 <= hit.box[0] < hit.box[2] <= seen[-1] + 4


def test_a_position_in_the_padding_sees_nothing_of_the_photo():
    flat = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        flat[0].weight.fill_(-1)
    with pytest.warns(sl.SightlineWarning, match="channel 0 where it is strongest: it has no box"):
        found = sl.top_photos(model("pad", net=flat), [np.full((4, 40, 3), 255, np.uint8)], "0", 0)
    (hit,) = found[0]
    assert hit.box is None
    assert hit.crop().size == 0
    found.figure()


def test_a_layer_without_a_map_has_no_positions():
    found = sl.top_photos(model(), photos(), "6", 2, count=3)
    assert all(hit.position == () for hit in found[2])
    assert all(hit.box == (0, 0, SIDE, SIDE) and hit.whole for hit in found[2])
    assert len(found.wall().rows) == 1  # the crops would be the photos again
    expected = [max(sl.predict(model(), one, top=5), key=lambda one: one.index == 2).score for one in photos()]
    assert [hit.score for hit in found[2]] == pytest.approx(sorted(expected, reverse=True)[:3], rel=1e-4)


def test_tokens_are_laid_out_as_the_map_that_they_are():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 2)
            self.token, self.mix = nn.Parameter(torch.full((1, 1, 8), 50.0)), nn.Linear(8, 8)

        def forward(self, images):
            tokens = self.patches(images).flatten(2).transpose(1, 2)
            return self.head(self.mix(torch.cat([self.token.expand(len(images), -1, -1), tokens], 1)).mean(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokens = Tokens()
    with torch.no_grad():
        nn.init.eye_(tokens.mix.weight).add_(0)
        tokens.mix.bias.zero_()
    given = photos(5)
    found = sl.top_photos(model(net=tokens), given, "mix", 1, count=5)
    plain = sl.top_photos(model(net=tokens), given, "patches", 1, count=5)
    assert [(hit.name, hit.position, hit.box) for hit in found[1]] == [
        (hit.name, hit.position, hit.box) for hit in plain[1]
    ]
    y, x = found[1][0].position
    assert found[1][0].box == (8 * x, 8 * y, 8 * x + 8, 8 * y + 8)


def test_a_folder_is_searched_in_a_fixed_order_and_what_cannot_be_read_is_named(folder):
    with pytest.warns(sl.SightlineWarning, match=r"1 of the photos could not be read: broken.jpg \("):
        found = sl.top_photos(model(), folder, LAYER, 0, count=20)
    assert found.photos["count"] == 12
    assert found.photos["twice"] == 1
    assert [one.code for one in found.warnings] == ["unreadable"]
    names = [hit.name for hit in found[0]]
    assert sorted(names) == sorted(
        {f"{'b' if i % 2 else 'a'}/{i}.png" for i in range(12) if i != 3} | {"a/again.bmp"}
    )
    by_array = by_hand(photos(12), 0, 20)
    assert [hit.score for hit in found[0]] == pytest.approx([score for _, score, _ in by_array], rel=1e-5)
    assert found[0][0].photo.name == names[0].split("/")[1].split(".")[0]


def test_photos_are_read_one_batch_after_another():
    alive = []

    def stream():
        for i, one in enumerate(photos(30)):
            alive.append(i)
            yield one

    went = []
    sl.top_photos(model(batch_size=4), stream(), LAYER, 1, count=2, progress=lambda n: went.append((n, len(alive))))
    assert went[0] == (4, 4)
    assert went[-1] == (2, 30)


def test_only_the_best_photos_are_kept():
    from sightline.verbs.crowd import crowd_of
    from sightline.verbs.layered import Layered
    from sightline.verbs.top_photos import _Search

    search = _Search(Layered(crowd_of(model(batch_size=4), photos(40)), LAYER), [0, 1], 3)
    most = []
    offer = search._offer

    def watched(members, maps):
        offer(members, maps)
        most.append(len(search.members))

    search._offer = watched
    search.run()
    assert max(most) <= 6


def test_a_photo_that_comes_twice_counts_once():
    one, other = photos(2)
    found = sl.top_photos(model(), [one, other, one.copy(), Image.fromarray(other)], LAYER, 4)
    assert len(found[4]) == 2
    assert found.photos["twice"] == 2


def test_an_interrupt_gives_the_best_so_far():
    def stream():
        yield from photos(9)
        raise KeyboardInterrupt

    with pytest.warns(sl.SightlineWarning, match="stopped after 8 photos"):
        found = sl.top_photos(model(), stream(), LAYER, 1, count=3)
    assert [hit.name for hit in found[1]] == [f"photo {i}" for i, *_ in by_hand(photos(8), 1, 3)]


def test_the_same_seed_gives_the_same_result():
    one, again = (sl.top_photos(model(), photos(), LAYER, [0, 2]).provenance for _ in range(2))
    assert one == again
    json.dumps(one)


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"channels": 8}, sl.TargetError, "channel of '2' 8 does not exist; the network has 8"),
        ({"channels": []}, sl.OptionError, "give the number of a channel"),
        ({"channels": "all"}, sl.OptionError, "give the number of a channel"),
        ({"channels": -1}, sl.OptionError, "has to be 0 or more"),
        ({"channels": 1, "count": 0}, sl.OptionError, "count has to be 1 or more"),
        ({"channels": 1, "layer": "22"}, sl.LayerError, "no layer named '22'"),
        ({"channels": 1, "photos": []}, sl.PhotoError, "none of the photos could be read; give a folder"),
        ({"channels": 1, "photos": "nowhere"}, sl.PhotoError, "none of the photos could be read: 'nowhere'"),
        ({"channels": 1, "photos": 7}, sl.PhotoError, "a photo is a path"),
    ],
)
def test_what_cannot_be_is_refused(asked, error, match):
    asked = {"photos": photos(2), "layer": LAYER, **asked}
    with pytest.raises(error, match=match):
        sl.top_photos(model(), **asked)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(sl.PhotoError, match="no picture in"):
        sl.top_photos(model(), tmp_path, LAYER, 1)


def test_activations_that_overflow_are_refused():
    broken = network()
    with torch.no_grad():
        broken[2].bias.fill_(float("nan"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(sl.NetworkError, match="NaN or infinite"):
            sl.top_photos(model(net=broken), photos(2), LAYER, 1)


def test_files_hold_what_was_found(tmp_path):
    found = sl.top_photos(model(), photos(), LAYER, [1, 3], count=5)
    for name in ("top.png", "top.jpg", "top.svg", "top.html"):
        found.save(tmp_path / name)
    with Image.open(tmp_path / "top.png") as picture:
        assert picture.size[0] > 400
    assert "channels 1, 3 of 2" in (tmp_path / "top.html").read_text()
    found.save(tmp_path / "top.npz")
    with np.load(tmp_path / "top.npz") as saved:
        assert saved["scores_3"] == pytest.approx([hit.score for hit in found[3]])
        assert saved["boxes_1"].tolist() == [list(hit.box) for hit in found[1]]
        assert saved["positions_1"].shape == (5, 2)
        assert json.loads(str(saved["provenance"])) == json.loads(json.dumps(found.provenance))
    with pytest.raises(sl.SaveError, match="cannot save as"):
        found.save(tmp_path / "top.pdf")
