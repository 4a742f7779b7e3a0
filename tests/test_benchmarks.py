"""The benchmarks measure what they say: statistics, equal contestants, memory and passes. Speed is not tested."""

import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import cases, contestants, data, memory, passes, race, rows
from benchmarks.__main__ import main
from benchmarks.agreement import DisagreementError, agree, positive_share
from benchmarks.findings import Finding, Goal
from benchmarks.stats import Ratio, median_interval, ratio


def tiny(batch=1):
    """A small network with batch norm that has seen data, and in-place activations as torchvision's."""
    dice = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
            *(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(inplace=True)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
        )
    network(torch.randn(16, 3, 32, 32, generator=dice))
    images = torch.rand(batch, 3, 32, 32, generator=dice) * 2 - 1
    return cases.Case(network.eval(), images, 2, "5", (0.5,) * 3, (0.5,) * 3)


# Statistics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "low", "high"), [(6, 0, 5), (10, 1, 8), (20, 5, 14), (100, 39, 60)])
def test_the_interval_is_the_textbooks_pair_of_order_statistics(count, low, high):
    values = list(range(count))
    random.Random(0).shuffle(values)
    assert median_interval(values) == (low, high)


@pytest.mark.parametrize("count", [6, 20, 33])
def test_the_interval_holds_the_true_median_in_at_least_95_of_100_samples(count):
    dice = random.Random(count)
    samples = ([dice.lognormvariate(0, 1) for _ in range(count)] for _ in range(4000))
    held = sum(low <= 1 <= high for low, high in map(median_interval, samples))
    assert held / 4000 >= 0.94  # three standard errors below 0.95


def test_too_few_values_have_no_interval():
    with pytest.raises(ValueError, match="5 values are too few for an interval of 95%"):
        median_interval([1.0, 2.0, 3.0, 4.0, 5.0])


def test_a_ratio_is_taken_round_by_round():
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert ratio([3 * each for each in drift], drift) == Ratio(3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("goal", "reached"),
    [(Goal("at least", 2.0), True), (Goal("at least", 2.1), False), (Goal("at most", 2.0), True),
     (Goal("at most", 1.9), False), (Goal("above", 1.0), True), (Goal("above", 1.5), False)],
)  # fmt: skip
def test_a_goal_is_met_by_the_median_or_by_the_whole_interval(goal, reached):
    assert goal.reached(Ratio(2.0, 1.5, 3.0)) is reached


# Rounds -----------------------------------------------------------------------------------------------------


def test_everyone_runs_once_a_round_in_changing_order_and_the_warm_up_is_not_counted():
    log = []
    spent = race.race({"a": lambda: log.append("a"), "b": lambda: log.append("b")}, 20)
    assert [len(times) for times in spent.values()] == [20, 20]
    pairs = {"".join(log[i : i + 2]) for i in range(0, 42, 2)}
    assert len(log) == 42
    assert pairs == {"ab", "ba"}


def test_cpu_time_counts_work_and_not_waiting():
    assert race.fastest({"work": lambda: sum(range(2_000_000)), "rest": lambda: None}) == "rest"


# Contestants ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("contest", rows.CONTESTS, ids=lambda contest: contest.name)
def test_contestants_calculate_the_same(contest):
    found = contest.compare(tiny(contest.batch))
    assert set(found) == set(contest.goals)
    for name, alike in found.items():
        assert (alike is None) == name.endswith(("forward pass", "forward passes"))
        assert alike is None or (alike.cosine > 0.99999 and alike.difference < 1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_contest_gives_a_finding_for_each_of_the_others(monkeypatch):
    monkeypatch.setattr(cases, "resnet50", tiny)
    monkeypatch.setattr(cases, "trained", tiny)
    found = list(rows.CONTESTS[0].measure(6))
    assert [one.against for one in found] == ["pytorch-grad-cam", "Captum", "one forward pass"]
    assert all(0 < one.ratio.low <= one.ratio.median <= one.ratio.high for one in found)
    assert all(one.ours > 0 and one.theirs > 0 and one.unit == "ms" for one in found)
    assert "cosine 1.0000" in found[0].note


def test_maps_that_differ_are_not_raced():
    maps = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert str(agree({"saliency": maps}, {"saliency": maps}, {})).startswith("cosine 1.000000")
    with pytest.raises(DisagreementError, match=r"the maps differ \(saliency\)"):
        agree({"saliency": maps}, {"saliency": maps.flip(-1)}, {})
    with pytest.raises(DisagreementError, match="differ"):
        agree({"saliency": maps}, {"saliency": maps * 1.1}, {})
    with pytest.raises(DisagreementError, match="differ"):
        agree({"saliency": maps}, {"saliency": maps * float("nan")}, {})


def test_one_image_of_a_batch_that_differs_is_noticed():
    maps = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    other = maps.clone()
    other[5] = other[5].flip(-1)
    with pytest.raises(DisagreementError, match="differ"):
        agree({"saliency": maps}, {"saliency": other}, {})


def test_the_peers_style_clips_the_layers_cells_and_then_enlarges():
    cells = torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    clipped = cells.clamp_min(0) / cells.amax((1, 2, 3), keepdim=True)
    size = {"size": (32, 24), "mode": "bilinear", "align_corners": False}
    shown = positive_share((4, 3))(nn.functional.interpolate(cells, **size))
    torch.testing.assert_close(shown, nn.functional.interpolate(clipped, **size).double(), atol=1e-5, rtol=0)


def test_a_missing_peer_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(contestants.UnavailableError, match=r'pip install "grad-cam>=1.5.5"'):
        contestants.grad_cam_package(tiny(), "grad-cam")


def test_a_method_that_is_not_there_is_named():
    with pytest.raises(contestants.UnavailableError, match="no method tea-leaves"):
        contestants.ours(tiny(), ["saliency", "tea-leaves"])


# Memory and passes ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not memory.measurable(), reason="the peak of a process is read from Linux's /proc")
def test_growth_is_what_a_run_held_at_most():
    code = (
        "import torch; from benchmarks import memory; "
        "print(memory.growth(lambda: torch.ones(16, 1024, 1024).add_(1)))"  # 64 MiB
    )  # in a process of its own, as it is meant to be: this one has memory in store
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert 60 <= float(done.stdout) <= 80


@pytest.mark.filterwarnings("ignore")
def test_both_sides_of_the_memory_row_take_as_many_points():
    for side in ("ours", "captum"):
        runner, seen = memory.contestant(side, tiny()), []
        runner.run()  # ours first finds out what the network's output is

        def count(module, _inputs, output, seen=seen):
            seen.extend(range(len(output)) if isinstance(module, nn.Linear) else ())

        handle = nn.modules.module.register_module_forward_hook(count)
        try:
            runner.run()
        finally:
            handle.remove()
        assert len(seen) == 51, side


def test_the_dense_integral_is_exact_for_a_linear_network():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    image = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    found = passes.integral(network, image, 1, steps=60)
    torch.testing.assert_close(found, network[1].weight[1].view_as(image) * (image + 1))


def test_a_map_is_made_once(monkeypatch, tmp_path):
    monkeypatch.setattr(passes.tempfile, "tempdir", str(tmp_path))
    made = []

    def make():
        made.append(1)
        return torch.ones(2)

    assert torch.equal(passes.kept("k", make), passes.kept("k", make))
    assert len(made) == 1


def test_a_right_map_adds_up_and_points_where_the_dense_one_does():
    case = tiny()
    dense = passes.integral(case.network, case.images, 2)
    way = passes.Way(case.network, case.images, 2, dense, "a")
    assert way.right(dense)
    assert not way.right(dense * 1.011)
    assert not way.right(dense + (dense.flip(-1) - dense) * 0.2)


def test_captums_tries_are_added_up():
    case = tiny()
    answers = iter([False, False, True])
    way = SimpleNamespace(
        network=case.network, image=case.images, black=-torch.ones_like(case.images), target=2,
        right=lambda _values: next(answers),
    )  # fmt: skip
    assert passes.captum(way) == (25 + 50 + 100, True)


def test_our_passes_are_those_of_the_default_rule(recwarn):
    case = tiny()
    way = passes.Way(case.network, case.images, 2, passes.integral(case.network, case.images, 2), "a")
    spent, right = passes.ours(way)
    assert 25 <= spent <= 200
    assert right


def test_a_map_of_ours_that_misses_counts_as_no_gain_and_captum_is_counted_once(monkeypatch, tmp_path):
    counted = []
    monkeypatch.setattr(passes.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.setattr(passes, "ways", lambda: [SimpleNamespace(key=str(i)) for i in range(9)])
    monkeypatch.setattr(passes, "ours", lambda way: (30, int(way.key) % 2 == 0))
    monkeypatch.setattr(passes, "captum", lambda way: counted.append(way) or (300, True))
    for _ in range(2):
        (found,) = passes.measure(20)
        assert (found.ratio.median, found.ratio.low) == (10.0, 0.0)
        assert "held for 5 of 9 maps of ours, 9 of Captum's" in found.note
    assert len(counted) == 9


# Command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_rows(monkeypatch):
    def found(_rounds):
        yield Finding(
            "quick", "a map", "a peer", 10.0, 40.0, "ms", Ratio(4.0, 3.5, 4.5), Goal("at least", 3.0), "alike"
        )

    def lost(_rounds):
        yield from ()
        raise contestants.UnavailableError("no peer; pip install peer")

    monkeypatch.setattr(rows, "ROWS", {"quick": found, "lost": lost})


def test_the_table_can_be_pasted_and_the_findings_read(two_rows, capsys, tmp_path):
    assert main(["quick", "--json", str(tmp_path / "found.json")]) == 0
    shown = capsys.readouterr().out
    assert "| a map | a peer | 10 ms | 40 ms | 4.00 [3.50, 4.50] | at least 3 | yes |" in shown
    assert "quick, a peer: alike" in shown
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["rows"][0]["ratio"] == {"median": 4.0, "low": 3.5, "high": 4.5}
    assert document["rows"][0]["reached"] is True
    assert document["threads"] == 1


def test_a_row_that_cannot_be_measured_says_why_and_the_others_go_on(two_rows, capsys):
    assert main([]) == 1
    shown = capsys.readouterr().out
    assert "| lost | not measured: no peer; pip install peer |" in shown
    assert "4.00 [3.50, 4.50]" in shown


@pytest.mark.parametrize(("argv", "said"), [(["fast"], "no row named 'fast'"), (["--rounds", "5"], "at least 6")])
def test_wrong_requests_are_refused(argv, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_it_starts_itself_with_one_thread(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    root = passes.Path(__file__).parents[1]
    shown = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert all(name in shown for name in rows.ROWS)


def test_trained_scenes_are_called_what_they_are():
    case = cases.trained(2)
    assert case.network(case.images).argmax(1).tolist() == [case.target] * 2


def test_fair_choice_takes_the_median(monkeypatch):
    monkeypatch.setattr(race, "race", lambda *_args, **_options: {"a": [1.0, 9.0, 9.0], "b": [5.0, 5.0, 5.0]})
    assert race.fastest({}) == "b"
