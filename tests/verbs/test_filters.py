"""Filters are a layer's weights, and their pictures show them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from sightline.render.paint import SIGNED
from sightline.verbs.record import versions


def model_of(network, size=(8, 12), **more):
    return sl.wrap(network, input_size=size, mean=0.5, std=0.5, **more)


def tiles(found):
    return [tile for row in found.wall().rows for tile in row.tiles]


def small():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, groups=6, padding=1),
            nn.Conv2d(6, 10, 1),
            nn.Conv2d(10, 9, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(9, 4),
        )


def test_the_first_layers_filters_are_its_weights_in_order():
    network = small()
    found = sl.filters(model_of(network))
    assert found.layer == "0"
    assert found.count == 6
    assert torch.equal(found.values, network[0].weight)
    assert [tile.caption for tile in tiles(found)] == [str(i) for i in range(6)]


def test_a_plain_network_is_taken_as_it_is_and_a_layer_alone_too():
    network = small()
    assert torch.equal(sl.filters(network, "3").values, network[3].weight)
    alone = sl.filters(network[0])
    assert (alone.layer, alone.colours) == ("", True)
    assert torch.equal(alone.values, network[0].weight)
    alone.figure()


def test_the_first_layer_is_the_first_that_runs():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.stem = nn.Linear(4, 2), nn.Conv2d(3, 4, 3)

        def forward(self, images):
            return self.head(self.stem(images).mean((2, 3)))

    assert sl.filters(model_of(Backwards())).layer == "stem"
    assert sl.filters(Backwards()).layer == "head"


def test_filters_of_an_image_are_in_colour_with_mid_grey_for_zero():
    network = nn.Conv2d(3, 2, 2)
    with torch.no_grad():
        network.weight[:] = 0
        network.weight[0, 0, 0, 0], network.weight[0, 2, 1, 1] = 2.0, -2.0
        network.weight[1, 1, 0, 1] = 1.0
    found = sl.filters(network)
    first, second = (tile.pixels for tile in tiles(found))
    assert first[0, 0].tolist() == [255, 128, 128]
    assert first[1, 1].tolist() == [128, 128, 0]
    assert first[0, 1].tolist() == [128, 128, 128]
    assert second[0, 1].tolist() == [128, 191, 128], "one scale for all"
    assert "from −2 to 2; mid grey is 0" in found.wall().footer
    assert found.wall().scale is None


def test_other_kernels_share_one_signed_scale():
    found = sl.filters(small(), "2")
    wall = found.wall()
    assert not found.colours
    assert wall.scale.low == -wall.scale.high
    assert (wall.scale.colours, wall.scale.unit) == (SIGNED, "weight")
    for tile, kernel in zip(tiles(found), found.values, strict=True):
        assert np.array_equal(tile.pixels, wall.scale.paint(kernel[0].numpy()))
    assert "one input each" in wall.about


def test_three_inputs_that_are_no_image_are_not_shown_as_colours():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3))
    assert not sl.filters(network, "1").colours
    assert len(tiles(sl.filters(network, "1"))) == 12


def test_a_grid_has_a_row_for_each_filter_and_a_picture_for_each_input():
    found = sl.filters(small(), "4", most=16)
    rows = found.wall().rows
    assert len(rows) == 4
    assert {len(row.tiles) for row in rows} == {4}
    kept = [int(row.heading.removeprefix("filter ")) for row in rows]
    inputs = [int(tile.caption.removeprefix("in ")) for tile in rows[0].tiles]
    norms = found.values.flatten(1).norm(dim=1)
    assert set(kept) == set(norms.argsort(descending=True)[:4].tolist())
    scale = found.wall().scale
    for row, one in zip(rows, kept, strict=True):
        for tile, other in zip(row.tiles, inputs, strict=True):
            assert np.array_equal(tile.pixels, scale.paint(found.values[one, other].numpy()))
    assert "4 of 9 filters, those with the largest norm" in found.wall().footer
    assert "4 of 10 inputs" in found.wall().footer


def test_each_filter_of_a_group_names_its_own_inputs():
    rows = sl.filters(nn.Conv2d(6, 4, 3, groups=2)).wall().rows
    names = {row.heading: [tile.caption for tile in row.tiles] for row in rows}
    assert names["filter 1"] == ["in 0", "in 1", "in 2"]
    assert names["filter 2"] == ["in 3", "in 4", "in 5"]


def test_only_the_strongest_are_shown_where_there_are_more():
    network = nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        network.weight[5] *= 20
        network.weight[2] *= 10
    found = sl.filters(network, most=2)
    assert [tile.caption for tile in tiles(found)] == ["2", "5"]
    assert "2 of 8 filters, those with the largest norm" in found.wall().footer
    assert found.values.shape[0] == 8


def test_weights_without_a_place_are_one_matrix():
    found = sl.filters(small(), "3")
    (tile,) = tiles(found)
    assert np.array_equal(tile.pixels, found.wall().scale.paint(found.values.flatten(1).numpy()))
    assert "rows: filters; columns: inputs" in found.wall().footer
    assert tiles(sl.filters(small(), "7"))[0].pixels.shape[:2] == (4, 9)


def test_a_linear_layer_on_the_image_is_templates_of_it():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 5))
    found = sl.filters(model_of(network))
    assert found.values.shape == (5, 3, 8, 12)
    assert found.colours
    assert torch.equal(found.values.flatten(1), network[1].weight)
    grey = sl.filters(model_of(nn.Sequential(nn.Flatten(), nn.Linear(96, 5)), channels=1))
    assert [tile.pixels.shape for tile in tiles(grey)] == [(8, 12, 3)] * 5


def test_kernels_on_a_line_are_pictures_of_inputs_by_positions():
    found = sl.filters(nn.Conv1d(5, 3, 7))
    assert [tile.pixels.shape for tile in tiles(found)] == [(5, 7, 3)] * 3
    assert "rows are inputs" in found.wall().footer


def test_kernels_of_three_dimensions_show_their_slices():
    found = sl.filters(nn.Conv3d(3, 2, (2, 4, 4)))
    assert [tile.pixels.shape for tile in tiles(found)] == [(4, 9, 4)] * 2
    found.figure()


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(sl.LayerError, match="has no kernels"):
        sl.filters(small(), "1")
    with pytest.raises(sl.LayerError, match="no layer with kernels"):
        sl.filters(nn.ReLU())
    with pytest.raises(sl.OptionError, match="most=0"):
        sl.filters(small(), most=0)
    with pytest.raises(sl.NetworkError, match="neither a torch"):
        sl.filters("demo")
    with pytest.raises(sl.LayerError, match="no layer with kernels"):
        sl.filters(model_of(lambda images: images.mean((2, 3))))


def test_files_hold_the_picture_the_page_and_the_values(tmp_path):
    network = small()
    found = sl.filters(model_of(network), "2")
    for name in ("a.png", "a.jpg", "a.svg", "a.html", "a.npz"):
        found.save(tmp_path / name)
    with np.load(tmp_path / "a.npz") as held:
        assert np.array_equal(held["values"], network[2].weight.detach().numpy())
        provenance = json.loads(str(held["provenance"]))
    assert provenance == json.loads(json.dumps(found.provenance))
    assert provenance["layer"] == "2"
    assert provenance["versions"] == versions()
    assert "2: 6 filters of 1 × 3 × 3 weights" in (tmp_path / "a.html").read_text()
    assert (tmp_path / "a.png").read_bytes() == found._repr_png_()
    with pytest.raises(sl.SaveError, match="cannot save as"):
        found.save(tmp_path / "a.txt")


def test_a_model_keeps_its_own_weights_though_prepared_ones_are_at_work():
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.eval()
    network[1].running_var.fill_(9)
    model = model_of(network, (32, 32))
    photo = np.zeros((32, 32, 3), np.uint8)
    sl.predict(model, photo)
    with model.lend(torch.zeros(1, 3, 32, 32)):
        assert torch.equal(sl.filters(model, "0").values, network[0].weight)
