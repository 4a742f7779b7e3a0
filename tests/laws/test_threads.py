"""Threads that share a network get what each would get alone, and disturb nobody."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from zoo import LINEAR_HEAD, METHODS, alike, built, condition, lived_in, pictures

import sightline as sl


@pytest.fixture(autouse=True)
def no_warnings_from_threads():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        yield


def heats(network, images, target, rounds):
    """A heat of each method in turn, and again."""
    taken = {one.id: {"samples": 3} if "samples" in one.options else {} for one in sl.methods()}
    taken["integrated-gradients"] = {"steps": 3}
    able = [m for m in METHODS if m not in LINEAR_HEAD or hasattr(network, "stem")]
    return [sl.attribute(network, images, target, method=m, **taken[m]) for _ in range(rounds) for m in able]


@pytest.mark.parametrize("kind", ["convolutions", "tokens"])
def test_threads_get_what_each_gets_alone(kind):
    jobs = [(pictures(2, seed=10), 0), (pictures(3, seed=11), [1, 2, 3])]
    alone = [heats(built(kind), images, target, 1) for images, target in jobs]
    network = built(kind)
    plain = network(pictures(2, seed=12)).detach()
    done, answers = threading.Event(), []

    def ask():
        with torch.no_grad():
            while not done.is_set():
                answers.append(network(pictures(2, seed=12)))

    with ThreadPoolExecutor(3) as pool:
        asking = pool.submit(ask)
        running = [pool.submit(heats, network, *job, 8) for job in jobs]
        try:
            together = [one.result() for one in running]
        finally:
            done.set()
        asking.result()
    for mine, expected in zip(together, alone, strict=True):
        assert all(alike(heat, expected[i % len(expected)]) for i, heat in enumerate(mine))
    assert len(answers) > 20
    assert all(torch.allclose(answer, plain, atol=1e-5) for answer in answers)


@pytest.mark.parametrize("kind", ["convolutions", "tokens"])
def test_threads_that_share_a_network_in_training_leave_it_as_found(kind):
    jobs = [(pictures(2, seed=seed), seed % 5) for seed in range(4)]
    alone = [heats(built(kind), images, target, 1) for images, target in jobs]
    network = lived_in(built(kind).train())
    before = condition(network)
    with ThreadPoolExecutor(4) as pool:
        together = [one.result() for one in [pool.submit(heats, network, *job, 4) for job in jobs]]
    assert condition(network) == before
    for mine, expected in zip(together, alone, strict=True):
        assert all(alike(heat, expected[i % len(expected)]) for i, heat in enumerate(mine))


def test_a_thread_that_fails_lets_the_next_one_in():
    network = built()
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(sl.attribute, network, pictures(), 99, method="saliency")
        with pytest.raises(sl.TargetError, match="99 does not exist"):
            failed.result()
    assert sl.attribute(network, pictures(), 1, method="saliency").values.any()
