"""An ascent that stopped goes on as if it had not: from its result, from its file, and from no other's."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from climbs import PLAIN, WAYS, climb, conv_net, fixed, identical, model_of, photo
from torch import nn

import sightline as sl
from sightline.canvases import Fourier, Phase, Pixels
from sightline.core.errors import OptionError
from sightline.targets import Class, Direction, Norm, Region, Unit

OPTIMIZERS = {
    "adam": {"optimizer": "adam", "rate": 0.05},
    "rmsprop": {"optimizer": "rmsprop", "rate": 0.01},
    "momentum": {"optimizer": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9), "rate": None},
    "sgd": {"optimizer": "sgd"},
    "nadam": {"optimizer": "nadam", "rate": 0.05},
    "adagrad": {"optimizer": "adagrad", "rate": 0.05},
    "amsgrad": {"optimizer": lambda params: torch.optim.Adam(params, lr=0.05, amsgrad=True), "rate": None},
}


def model():
    return model_of(conv_net())


def stopped_and_gone_on(way, tmp_path, first=4, steps=9, goal=(1, 3), how="object"):
    """An ascent without a stop, and one that stopped on the way."""
    part = climb(model(), list(goal), first, **way)
    if how == "file":
        part.save(tmp_path / "part.npz")
        part = tmp_path / "part.npz"
    return climb(model(), list(goal), steps, **way), climb(model(), list(goal), steps, resume=part, **way)


@pytest.mark.parametrize("how", ["object", "file"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_ascent_goes_on_to_the_bit_with_its_optimizer_s_state(name, how, tmp_path):
    way = {"canvas": Fourier(), "transforms": (sl.transforms.Jitter(2),), **OPTIMIZERS[name]}
    whole, on = stopped_and_gone_on(way, tmp_path, how=how)
    assert identical(whole, on)


@pytest.mark.parametrize("how", ["object", "file"])
@pytest.mark.parametrize("name", WAYS)
def test_an_ascent_goes_on_to_the_bit_in_every_way(name, how, tmp_path):
    whole, on = stopped_and_gone_on({**WAYS[name], "views": 2}, tmp_path, how=how)
    assert identical(whole, on)


def test_patience_goes_on_too(tmp_path):
    way = {"patience": 1, "optimizer": "adam", "transforms": (sl.transforms.Jitter(3),)}
    whole, on = stopped_and_gone_on(way, tmp_path, first=5, steps=30, goal=(0, 1, 2, 3), how="file")
    assert np.isnan(whole.history).any()
    assert identical(whole, on)


def test_lbfgs_goes_on_afresh_from_where_it_was(tmp_path):
    way = {"optimizer": "lbfgs", "rate": 0.1}
    whole, on = stopped_and_gone_on(way, tmp_path, how="file")
    assert on.steps == whole.steps == 9
    assert np.allclose(on.history[:4], whole.history[:4])
    assert on.history[-1, 0] > on.history[3, 0]


def test_what_an_ascent_goes_on_from_stays_as_it_is():
    way = {"optimizer": "adam", "rate": 0.05, "patience": 50, "frames": 2}
    part = climb(model(), 1, 4, **way)
    arrays = {name: value.copy() for name, value in part.arrays.items()}
    importance = part.importance.clone()
    once, again = (climb(model(), 1, 9, resume=part, **way) for _ in range(2))
    assert identical(once, again)
    assert all(np.array_equal(part.arrays[name], value, equal_nan=True) for name, value in arrays.items())
    assert torch.equal(part.importance, importance)
    assert part.steps == 4


def test_an_ascent_goes_on_more_than_once(tmp_path):
    way = OPTIMIZERS["adam"]
    found = climb(model(), 1, 2, **way)
    for steps in (3, 6, 7):
        found.save(tmp_path / "so far.npz")
        found = climb(model(), 1, steps, resume=tmp_path / "so far.npz", **way)
    assert identical(found, climb(model(), 1, 7, **way))


def test_an_ascent_that_is_there_already_takes_no_step():
    whole, calls = climb(model(), 1, 5), []
    on = climb(model(), 1, 5, resume=whole, watch=calls.append)
    assert identical(whole, on)
    assert not calls
    with pytest.raises(OptionError, match="5 were taken already"):
        climb(model(), 1, 3, resume=whole)


def test_frames_go_on_with_their_steps(tmp_path):
    way = {"frames": 3}
    whole, on = stopped_and_gone_on(way, tmp_path, first=4, steps=9, how="file")
    mine, expected = dict(on.frames), dict(whole.frames)
    assert list(expected) == [0, 3, 6, 9]
    assert all(np.array_equal(mine[step], expected[step]) for step in expected)
    assert list(mine) == sorted(mine)


# Not another's ---------------------------------------------------------------------------------------------------

CHANGED = {
    "targets": ({}, 2),
    "targets, one more": ({}, [1, 2]),
    "seed": ({"seed": 1}, 1),
    "count": ({"count": 2}, 1),
    "size": ({"size": 16}, 1),
    "canvas": ({"canvas": Pixels()}, 1),
    "optimizer": ({"optimizer": "adam"}, 1),
    "optimizer's rate": ({"rate": 0.03}, 1),
    "transforms": ({"transforms": (sl.transforms.Jitter(2),)}, 1),
    "edge": ({"edge": "wrap"}, 1),
    "views": ({"views": 2}, 1),
    "normalize": ({"normalize": True}, 1),
    "blur": ({"blur": 0.5}, 1),
    "penalties": ({"penalties": (Norm(6),)}, 1),
    "start": ({"start": "zero"}, 1),
    "start, a photo": ({"start": photo()}, 1),
    "patience": ({"patience": 3}, 1),
}


@pytest.mark.parametrize("how", ["object", "file"])
@pytest.mark.parametrize("name", CHANGED)
def test_another_ascent_is_refused_and_what_differs_is_named(name, how, tmp_path):
    options, goal = CHANGED[name]
    part = climb(model(), 1, 2)
    if how == "file":
        part.save(tmp_path / "part.npz")
        part = tmp_path / "part.npz"
    word = name.partition("'")[0].partition(",")[0]
    with pytest.raises(sl.OptionError, match=f"another ascent was saved there.* {word}: .* then, .* now"):
        climb(model(), goal, 4, resume=part, **options)


def test_only_what_differs_is_named():
    with pytest.raises(sl.OptionError) as caught:
        climb(model(), 1, 4, resume=climb(model(), 1, 2), seed=3)
    assert str(caught.value).endswith("another ascent was saved there. seed: 0 then, 3 now.")


MASK = np.zeros((8, 12), np.float32)


@pytest.mark.parametrize(
    ("goal", "other"),
    [
        (Direction("2", torch.ones(8)), Direction("2", torch.arange(8.0))),
        (Class(1) + Direction("2", [1.0] * 8), Class(1) + Direction("2", [2.0] * 8)),
        ([Direction("2", np.ones(8)), Class(1)], [Direction("2", np.zeros(8)), Class(1)]),
        (sl.targets.Similar(torch.ones(5)), sl.targets.Similar(torch.arange(5.0))),
        (Region(MASK + 1, 1), Region(MASK + np.eye(8, 12, dtype=np.float32), 1)),
    ],
    ids=str,
)
def test_another_vector_is_another_ascent(goal, other, tmp_path):
    network = model_of(fixed(nn.Sequential(nn.Conv2d(3, 5, 3)))) if isinstance(goal, Region) else model()
    part = climb(network, goal, 2)
    part.save(tmp_path / "part.npz")
    for given in (part, tmp_path / "part.npz"):
        assert climb(network, goal, 3, resume=given).steps == 3
        with pytest.raises(sl.OptionError, match="another ascent was saved there"):
            climb(network, other, 3, resume=given)


def test_other_photos_of_a_phase_canvas_are_another_ascent():
    part = climb(model(), 1, 2, canvas=Phase(torch.stack([photo(seed=1), photo(seed=2)])))
    with pytest.raises(sl.OptionError, match="another ascent was saved there"):
        climb(model(), 1, 4, canvas=Phase(torch.stack([photo(seed=3), photo(seed=2)])), resume=part)


def test_another_model_is_another_ascent():
    class Other(nn.Sequential):
        pass

    part = climb(model(), 1, 2)
    with pytest.raises(sl.OptionError, match="model: 'Sequential' then, 'Other' now"):
        climb(model_of(Other(*conv_net())), 1, 4, resume=part)


class Tinted:
    """A transform that says nothing of itself."""

    def __call__(self, images, dice):
        return images * 0.9


def test_what_has_no_name_of_its_own_is_known_again(tmp_path):
    climb(model(), 1, 2, transforms=(Tinted(),)).save(tmp_path / "part.npz")
    whole = climb(model(), 1, 4, transforms=(Tinted(),))
    assert identical(climb(model(), 1, 4, transforms=(Tinted(),), resume=tmp_path / "part.npz"), whole)


# Not junk --------------------------------------------------------------------------------------------------------


class Trap:
    """Sets off when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def _npz(path, **arrays):
    np.savez(path, **arrays)


def _npy(path, array):
    with path.open("wb") as file:
        np.save(file, array)


def _truncated(path):
    climb(model(), 1, 2).save(path)
    path.write_bytes(path.read_bytes()[:-200])


def _scrambled(path):
    climb(model(), 1, 2).save(path)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(bytes(content))


def _without(name):
    def make(path):
        arrays = climb(model(), 1, 2).arrays
        provenance = np.array(json.dumps(climb(model(), 1, 2).provenance))
        np.savez(path, **{key: value for key, value in arrays.items() if key != name}, provenance=provenance)

    return make


JUNK = {
    "text": lambda path: path.write_text("not a visualization"),
    "nothing": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "no file": lambda path: None,
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "an array": lambda path: _npy(path, np.zeros(3)),
    "an array of objects": lambda path: _npy(path, np.array([Trap()], object)),
    "objects": lambda path: _npz(path, provenance=np.array([Trap()], object), taken=np.array(1)),
    "other arrays": lambda path: _npz(path, images=np.zeros(3)),
    "no JSON": lambda path: _npz(path, provenance=np.array("{"), taken=np.array(1), history=np.zeros(3)),
    "other JSON": lambda path: _npz(path, provenance=np.array("[1]"), taken=np.array(1), history=np.zeros(3)),
    "an explanation": lambda path: sl.explain(model(), photo().numpy().transpose(1, 2, 0), "saliency").save(path),
    "a truncated one": _truncated,
    "a scrambled one": _scrambled,
    "one without its numbers": _without("params.0"),
    "one without its scores on the way": _without("history"),
    "one without its frames": _without("frames"),
    "one without its running scores": _without("running"),
}


@pytest.mark.parametrize("name", JUNK)
def test_what_is_no_visualization_is_refused(name, tmp_path):
    path = tmp_path / "junk.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        JUNK[name](path)
    Trap.sprung = False  # numpy may have looked at it
    with pytest.raises(sl.OptionError, match=r"resume='.*junk\.npz' holds no visualization"):
        climb(model(), 1, 4, resume=path)
    assert not Trap.sprung


@pytest.mark.parametrize("given", [3, b"\x00", ["part.npz"], object(), True])
def test_what_is_no_file_is_refused(given):
    with pytest.raises(sl.OptionError, match="holds no visualization"):
        climb(model(), 1, 4, resume=given)


# Interrupts ------------------------------------------------------------------------------------------------------


def stop_after(count):
    def watch(step):
        if step.number == count:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("name", WAYS)
def test_an_interrupt_gives_what_there_is_and_goes_on(name, tmp_path):
    options = PLAIN | {**WAYS[name], "views": 2, "frames": 2}
    with pytest.warns(sl.SightlineWarning, match="stopped after 3 of 8 steps"):
        part = sl.visualize(model(), [1, 3], 8, watch=stop_after(3), **options)
    assert part.interrupted
    assert part.steps == 3
    assert [one.code for one in part.warnings] == ["interrupted"]
    assert identical(part, climb(model(), [1, 3], 3, **options))
    part.save(tmp_path / "part.npz")
    on = climb(model(), [1, 3], 8, resume=tmp_path / "part.npz", **options)
    assert not on.interrupted
    assert identical(on, climb(model(), [1, 3], 8, **options))


class Interrupted(nn.Module):
    """Passes scores on, and is interrupted at the n-th call from where it was set."""

    left = -1

    def forward(self, scores):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return scores


def interrupted_model(call):
    """A model that was looked over before, so that the first call of an ascent is its first look."""
    network = nn.Sequential(*conv_net(), Interrupted())
    model = model_of(network, batch_size=1)
    climb(model, 1, 1)
    network[-1].left = call
    return model


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5])
def test_an_interrupt_within_a_step_is_as_one_before_it(call):
    """Two views in two chunks are two calls a step."""
    options = {"canvas": Fourier(), **OPTIMIZERS["adam"], "views": 2, "transforms": (sl.transforms.Jitter(1),)}
    model = interrupted_model(call)
    with pytest.warns(sl.SightlineWarning, match=f"stopped after {(call - 1) // 2} of 4 steps"):
        part = sl.visualize(model, 1, 4, **PLAIN | options)
    assert part.steps == (call - 1) // 2
    whole = climb(model, 1, 4, **options)
    assert identical(climb(model, 1, 4, resume=part, **options), whole)


def test_an_interrupt_before_the_first_step_gives_the_start():
    with pytest.warns(sl.SightlineWarning, match="stopped after 0 of 4 steps"):
        part = sl.visualize(interrupted_model(1), 1, 4, **PLAIN | {"start": photo(), "frames": 1})
    assert part.steps == 0
    assert torch.allclose(part.images[0], photo())
    assert part.history.shape == (0, 1)
    assert part.figure() is not None


def test_other_errors_of_a_watcher_go_through():
    def broken(_step):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        climb(model(), 1, 4, watch=broken)


@pytest.mark.parametrize("watch", [3, "print", [print]])
def test_a_watcher_is_a_function(watch):
    with pytest.raises(sl.OptionError, match="give a function that is called with each Step"):
        climb(model(), 1, 4, watch=watch)


def test_a_unit_and_a_class_go_on_side_by_side(tmp_path):
    whole, on = stopped_and_gone_on(
        {"count": 2}, tmp_path, goal=(Unit("2", 1), Class(3), Class(1) - Unit("2", 0, "centre")), how="file"
    )
    assert identical(whole, on)
    assert len(on) == 6
