"""Trainings on one machine never have the same GPU."""

import multiprocessing
import os
import pathlib
import re
import signal
import time
from typing import Any

import pytest

from dlcycle.errors import TrainingError
from dlcycle.train.devices import take_gpus

GPUS = ["GPU-a", "GPU-b"]


def hold(folder: pathlib.Path, gpus: list[str], count: int, answer: Any) -> None:
    """Take GPUs, tell which, and keep them until told to let go."""
    with take_gpus(gpus, count=count, folder=folder, say=lambda line: answer.send(line)) as taken:
        answer.send([gpus[index] for index in taken])
        answer.recv()
    answer.send("done")


def start(folder: pathlib.Path, gpus: list[str] = GPUS, count: int = 1) -> tuple[Any, Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(folder, gpus, count, theirs))
    process.start()
    theirs.close()
    return process, ours


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "locks"


def test_a_training_takes_what_another_has_not(folder: pathlib.Path) -> None:
    with take_gpus(GPUS, folder=folder) as first, take_gpus(GPUS, folder=folder) as second:
        assert (first, second) == ([0], [1])
    with take_gpus(GPUS, folder=folder) as third:
        assert third == [0]


def test_identities_count_and_not_numbers(folder: pathlib.Path) -> None:
    # CUDA_VISIBLE_DEVICES=1,0 in another process.
    with take_gpus(GPUS, folder=folder), take_gpus(GPUS[::-1], folder=folder) as taken:
        assert taken == [0]


def test_the_third_waits_and_says_so_until_one_is_done(folder: pathlib.Path) -> None:
    with take_gpus(GPUS[1:], folder=folder):
        holder, to_holder = start(folder)
        assert to_holder.recv() == ["GPU-a"]
        waiter, to_waiter = start(folder)
        assert to_waiter.recv().startswith("waiting for a GPU: other trainings have those of this machine (2 in all)")
        assert not to_waiter.poll(1)
        to_holder.send("let go")
        assert to_waiter.recv() == ["GPU-a"]
        to_waiter.send("let go")
    holder.join(30)
    waiter.join(30)


def test_a_killed_training_has_no_gpu_any_more(folder: pathlib.Path) -> None:
    process, answer = start(folder, GPUS[:1])
    assert answer.recv() == ["GPU-a"]
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    with take_gpus(GPUS[:1], folder=folder) as taken:
        assert taken == [0]


def test_two_gangs_that_want_all_gpus_have_them_in_turn(folder: pathlib.Path) -> None:
    with take_gpus(GPUS[:1], folder=folder):
        gangs = [start(folder, count=2) for _ in range(2)]
        for _, answer in gangs:
            assert answer.recv().startswith("waiting for 2 GPUs")
    until = time.monotonic() + 60
    left = list(gangs)
    while left and time.monotonic() < until:
        for gang in [gang for gang in left if gang[1].poll(0.1)]:
            assert gang[1].recv() == GPUS
            gang[1].send("let go")
            left.remove(gang)
    assert not left
    for process, _ in gangs:
        process.join(30)


def test_an_error_of_the_training_lets_go_and_is_not_changed(folder: pathlib.Path) -> None:
    with pytest.raises(OSError, match="of the training"), take_gpus(GPUS, folder=folder):
        raise OSError("of the training")
    with take_gpus(GPUS, count=2, folder=folder) as taken:
        assert taken == [0, 1]


def test_more_than_there_are_is_refused_at_once(folder: pathlib.Path) -> None:
    expected = "expected 3 GPUs on this machine, one for each worker, got 2"
    with pytest.raises(TrainingError, match=expected), take_gpus(GPUS, count=3, folder=folder):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    locks = tmp_path / "file" / "locks"
    expected = re.escape(f"expected to lock a GPU with a file in {locks}")
    with pytest.raises(TrainingError, match=expected), take_gpus(GPUS, folder=locks):
        pass
