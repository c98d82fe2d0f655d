"""Workers that train together get what one worker gets, and none of them goes on alone."""

import multiprocessing
import os
import pathlib
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dlcycle.config import ModelSpec, TrainSection
from dlcycle.errors import InterruptionError, TrainingError
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import fit_tokenizer
from dlcycle.train import gang
from dlcycle.train.batches import SharedRows, TextRows, computing_orders, validation_batches
from dlcycle.train.checkpoint import FolderStore
from dlcycle.train.context import TrainingContext
from dlcycle.train.fit import fit_classifier
from dlcycle.train.gang import Seat, join_gang
from dlcycle.train.sharding import shard

ROWS, BATCH, EPOCHS = 65, 16, 3
"""The last batch has one row: one of two workers has none."""


@dataclass(frozen=True)
class Case:
    """A training of a gang, and what is done to one of its workers."""

    folder: pathlib.Path
    size: int = 2
    architecture: str = "bag"
    weighted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    checkpoints: bool = False
    harm: Callable[[], None] | None = None
    """Done by the worker of rank 1 when its network is called for the `batch`th time in training."""
    batch: int = 7
    attempt: int = 0


class Harmed(nn.Module):
    """A network in the middle of whose training something happens."""

    def __init__(self, network: nn.Module, case: Case) -> None:
        super().__init__()
        self.network, self.case, self.calls = network, case, 0

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.training and self.calls == self.case.batch and self.case.harm is not None:
            self.case.harm()
        return self.network(tokens, lengths)


def make_rows(count: int, *, seed: int, weighted: bool) -> tuple[TextRows, int, ModelSpec]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    lengths = generator.integers(1, 12, count)
    texts = [
        " ".join([f"w{word}" for word in generator.integers(0, 30, length)] + [f"sign{label}"])
        for length, label in zip(lengths, labels, strict=True)
    ]
    spec = ModelSpec(ngrams=1, min_count=1, max_tokens=16)
    tokenizer = fit_tokenizer([f"w{word}" for word in range(30)] + [f"sign{label}" for label in range(3)], spec=spec)
    weights = generator.uniform(0.2, 3, count).astype(np.float32) if weighted else None
    return TextRows(tokenizer.encode(texts), labels, np.arange(count), weights), tokenizer.size, spec


def train(case: Case, others: Any = None) -> dict[str, Any]:
    """Train a case, alone or as a worker of a gang; give what must be equal."""
    torch.set_num_threads(1)
    train, tokens, spec = make_rows(ROWS, seed=0, weighted=case.weighted)
    validation, _, _ = make_rows(13, seed=1, weighted=False)
    spec = spec.model_copy(update={"architecture": case.architecture, "dropout": 0.0, "embedding": 8, "hidden": 8})
    network = NetworkSpec(spec, tokens=tokens, classes=3)
    said: list[str] = []
    result = fit_classifier(
        lambda: Harmed(build_text_model(network), case if others and others.rank == 1 else Case(case.folder)),
        train=train,
        validation=validation,
        classes=3,
        settings=TrainSection(
            epochs=EPOCHS, batch_size=BATCH, threads=1, patience=9, workers=case.size, **case.settings
        ),
        seed=5,
        context=TrainingContext(
            checkpoints=FolderStore(case.folder / "kept", say=said.append) if case.checkpoints else None, gang=others
        ),
    )
    not_compared = ("seconds", "rows_per_second", "micro_batch")
    return {
        "weights": {name: value.numpy() for name, value in result.network.state_dict().items()},
        "history": [{key: entry[key] for key in entry if key not in not_compared} for entry in result.history],
        "logits": result.logits,
        "best_epoch": result.best_epoch,
        "resumed": str(result.resumed),
        "workers": result.workers,
        "said": said,
    }


def work(case: Case, rank: int, answer: Any) -> None:
    """Be one worker, in a process of its own."""
    try:
        with join_gang(Seat(rank, case.size, f"file://{case.folder}/meeting-{case.attempt}")) as others:
            answer.send(train(case, others))
    except Exception as error:
        answer.send((type(error).__name__, str(error)))


def run(case: Case) -> list[Any]:
    """What each worker answers, by rank: a result, or type and message of an error; None if it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dlcycle.train.fit"])
    ends = [context.Pipe(duplex=False) for _ in range(case.size)]
    workers = [context.Process(target=work, args=(case, rank, end)) for rank, (_, end) in enumerate(ends)]
    for worker in workers:
        worker.start()
    for _, end in ends:
        end.close()
    answers = []
    for reader, _ in ends:
        try:
            answers.append(reader.recv())
        except EOFError:
            answers.append(None)
    for worker in workers:
        worker.join(60)
    return answers


def largest_difference(result: dict[str, Any], other: dict[str, Any]) -> float:
    return max(float(np.abs(result["weights"][name] - other["weights"][name]).max()) for name in other["weights"])


VARIANTS = {
    "bag": {},
    "bag, weighted": {
        "weighted": True,
        "settings": {"class_weights": "balanced", "label_smoothing": 0.1, "schedule": "linear"},
    },
    "bag, pieces": {"settings": {"micro_batch": 3}},
    "cnn, three workers": {"architecture": "cnn", "size": 3},
    "gru": {"architecture": "gru"},
    "transformer": {"architecture": "transformer", "weighted": True},
    "bag, sharded": {"settings": {"strategy": "fsdp"}},
    "transformer, sharded": {"architecture": "transformer", "settings": {"strategy": "fsdp", "micro_batch": 5}},
}
TOLERANCE = 3e-7
"""Sums of 32-bit numbers in another order; measured: at most 9e-8."""


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_workers_get_what_one_gets_from_the_same_batches(tmp_path: pathlib.Path, variant: str) -> None:
    case = Case(tmp_path, **VARIANTS[variant])
    alone = train(replace(case, size=1, settings={**case.settings, "micro_batch": None}))
    first, *others = run(case)
    assert (first["workers"], alone["workers"]) == (case.size, 1)
    for other in others:
        assert largest_difference(first, other) == 0
        assert (first["history"], first["best_epoch"]) == (other["history"], other["best_epoch"])
    for entry, expected in zip(first["history"], alone["history"], strict=True):
        assert entry == pytest.approx(expected, abs=TOLERANCE)
    assert first["best_epoch"] == alone["best_epoch"]
    np.testing.assert_allclose(first["logits"], alone["logits"], rtol=0, atol=TOLERANCE)
    if case.architecture != "transformer":
        assert largest_difference(first, alone) <= TOLERANCE
    # Training did something, so that equality says something.
    assert alone["history"][-1]["train_loss"] < alone["history"][0]["train_loss"] - 1e-3


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fail() -> None:
    raise TrainingError("row 7 is odd")


def break_down() -> None:
    raise ValueError("a defect")


LOST = (
    "the worker of rank 1 (of 0 to 1) was lost (killed, out of memory or without connection) at epoch 2, after 6 steps"
)
HARMS = {
    "killed": (kill, "InterruptionError", LOST, "epoch 2, after batch 1"),
    "told to stop": (
        terminate,
        "InterruptionError",
        "all workers stopped: one was ended by SIGTERM at epoch 2, after 7 steps",
        "epoch 2, after batch 2",
    ),
    "failed": (fail, "TrainingError", "the worker of rank 1 ended: row 7 is odd", "epoch 2, after batch 1"),
    "defect": (break_down, "InterruptionError", "the worker of rank 1 ended: a defect", "epoch 2, after batch 1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_no_worker_goes_on_alone_and_the_next_gang_ends_with_the_same_bits(
    tmp_path: pathlib.Path, strategy: str
) -> None:
    case = Case(tmp_path, checkpoints=True, settings={"strategy": strategy, "checkpoint_steps": 3})
    whole, _ = run(replace(case, checkpoints=False))
    names = list(HARMS) if strategy == "ddp" else ["killed", "told to stop"]
    for attempt, (harm, kind, message, place) in enumerate(HARMS[name] for name in names):
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        first, second = run(replace(case, harm=harm, attempt=2 * attempt + 1))
        assert first[0] == kind
        assert message in first[1]
        assert second is None if harm is kill else isinstance(second, tuple)
        if harm in (kill, terminate):
            assert f"the next attempt goes on from the checkpoint at {place}" in first[1]
        again, other = run(replace(case, attempt=2 * attempt + 2))
        assert (again["resumed"], other["resumed"]) == (place, place)
        assert len(again["said"]) == 1
        assert other["said"] == []
        assert largest_difference(again, whole) == largest_difference(other, whole) == 0
        assert again["history"] == whole["history"]


def test_a_checkpoint_of_other_workers_is_refused(tmp_path: pathlib.Path) -> None:
    case = Case(tmp_path, size=1, checkpoints=True, settings={"checkpoint_steps": 3})
    train(case)
    said = train(replace(case, settings={"checkpoint_steps": 3, "strategy": "fsdp"}))["said"]
    assert any("train.strategy is fsdp and was ddp" in line for line in said)


def test_a_worker_that_does_not_come_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gang.JOIN_SECONDS, "file", 0.1)
    seat = Seat(0, 2, f"file://{tmp_path}/meeting")
    with pytest.raises(InterruptionError, match=r"the worker of rank 1 \(of 0 to 1\) did not come"), join_gang(seat):
        pass


def test_networks_that_cannot_be_sharded_are_refused() -> None:
    with pytest.raises(TrainingError, match=r'got LSTM.*set train.strategy = "ddp"'):
        shard(nn.ModuleDict({"recurrent": nn.LSTM(2, 2)}), None, device=torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [None, torch.tensor([0.5, 1.0, 4.0])])
def test_shares_add_up_to_the_batch(weighted: bool, classes: torch.Tensor | None) -> None:
    rows, _, _ = make_rows(7, seed=3, weighted=weighted)
    for positions in ([0, 3, 5, 6, 1], [4]):
        shares = [SharedRows(rows, rank, 3, classes)[positions] for rank in range(3)]
        assert sum(share.share.factor for share in shares) == pytest.approx(1)
        assert {share.share.rows for share in shares} == {len(positions)}
        real = [share for share in shares if share.share.factor]
        assert sorted(int(row) for share in real for row in share.rows) == sorted(positions)
        assert all(len(share.labels) for share in shares)


def test_every_row_is_validated_by_one_worker() -> None:
    rows, _, _ = make_rows(10, seed=4, weighted=False)
    orders = computing_orders(validation_batches(rows, batch_size=3), workers=4)
    assert sorted(np.concatenate(orders).tolist()) == list(range(10))
    assert orders[3].tolist() == []
