"""Batches in pieces give the gradient of the whole, and a memory that is full is explained or made do with."""

import hashlib
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from dlcycle.config import ModelSpec, TrainSection
from dlcycle.errors import TrainingError
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.train import memory
from dlcycle.train.batches import Batch, SharedRows, TextRows
from dlcycle.train.checkpoint import FolderStore
from dlcycle.train.context import TrainingContext
from dlcycle.train.fit import FitResult, fit_classifier
from dlcycle.train.memory import MemoryNote, MicroBatches, is_out_of_memory
from dlcycle.train.module import ClassifierModule

ROWS, TOKENS, CLASSES = 24, 9, 3


class Short(nn.Module):
    """Has no memory for more rows than its capacity, in training and in validation, forwards or backwards."""

    def __init__(
        self, network: nn.Module, *, training: int = 99, validation: int = 99, backwards: bool = False
    ) -> None:
        super().__init__()
        self.network, self.capacity, self.backwards = network, (validation, training), backwards
        self.calls, self.cut = 0, 0

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.calls == self.cut:
            raise Cut
        logits = self.network(tokens, lengths)
        if len(tokens) > self.capacity[self.training]:
            if self.backwards and self.training:
                logits.register_hook(out_of_memory)
            else:
                out_of_memory(logits)
        return logits


class Cut(BaseException):
    """The process is gone."""


def out_of_memory(tensor: torch.Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make small networks slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def text_rows(*, weighted: bool = False, count: int = ROWS) -> TextRows:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, TOKENS + 1, count)
    return TextRows(
        [generator.integers(2, 50, length).astype(np.int32) for length in lengths],
        generator.integers(0, CLASSES, count),
        np.arange(count),
        weights=generator.uniform(0.2, 3.0, count).astype(np.float32) if weighted else None,
    )


def network(architecture: str, *, dropout: float = 0.0) -> nn.Module:
    model = {"architecture": architecture, "embedding": 8, "hidden": 8, "dropout": dropout, "buckets": 5, "ngrams": 1}
    return build_text_model(NetworkSpec(ModelSpec.model_validate(model), tokens=50, classes=CLASSES))


def fit(
    *,
    dropout: float = 0.3,
    short: dict[str, Any] | None = None,
    store: Any = None,
    notes: Any = None,
    cut: int = 0,
    **own: Any,
) -> FitResult:
    """Train for 2 epochs of 3 batches of 8 rows, which are validated at once."""
    settings = {"epochs": 2, "batch_size": 8, "threads": 1, "learning_rate": 1e-2, "checkpoint_steps": 1, **own}

    def build() -> nn.Module:
        found = Short(network(own.pop("architecture", "bag"), dropout=dropout), **(short or {}))
        found.cut = cut
        return found

    settings.pop("architecture", None)
    rows = text_rows(weighted=True)
    return fit_classifier(
        build,
        train=rows,
        validation=rows,
        classes=CLASSES,
        settings=TrainSection.model_validate(settings),
        seed=0,
        context=TrainingContext(checkpoints=store, memory_notes=notes),
    )


def bits(done: FitResult) -> tuple[Any, ...]:
    timeless = [{k: v for k, v in entry.items() if k not in ("seconds", "rows_per_second")} for entry in done.history]
    return hashlib.sha256(safetensors.torch.save(done.network.state_dict())).hexdigest(), timeless, done.steps


def gradient(
    batch: Batch, architecture: str, *, micro: int | None, workers: int = 1, balanced: bool = False, scale: float = 1.0
) -> Any:
    """Gradient and loss of a batch, in double precision, where the backward pass scales the loss."""
    torch.manual_seed(0)
    weights = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64) if balanced else None
    settings = TrainSection(micro_batch=micro, label_smoothing=0.1)
    module = ClassifierModule(
        network(architecture).double(), settings=settings, steps=1, class_weights=weights, workers=workers
    )
    module._trainer = SimpleNamespace(  # type: ignore[assignment]
        current_epoch=0, precision_plugin=SimpleNamespace(pre_backward=lambda loss, _: loss * scale)
    )
    for parameter in module.network.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    loss = module.training_step(batch, 0)
    module.optimizer_zero_grad(0, 0, torch.optim.SGD(module.network.parameters()))
    (loss * scale).backward()
    return (
        [parameter.grad / scale for parameter in module.network.parameters()],
        module.train_loss_sum,
        module.train_rows,
    )


@pytest.mark.parametrize("architecture", ["bag", "cnn", "gru", "lstm", "transformer"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
def test_pieces_have_the_gradient_of_the_batch(architecture: str, weighted: bool, balanced: bool) -> None:
    batch = text_rows(weighted=weighted)[list(range(ROWS))]
    whole = gradient(batch, architecture, micro=None, balanced=balanced)
    assert whole[1] > 0
    for micro in (1, 5, 12) if architecture == "bag" else (5,):
        pieces = gradient(batch, architecture, micro=micro, balanced=balanced, scale=1024.0)
        torch.testing.assert_close(pieces, whole)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [1, 9, 10])
def test_workers_have_equally_many_pieces_and_the_gradient_of_all(rows: int, weighted: bool) -> None:
    every, positions = text_rows(weighted=weighted), list(range(rows))
    shares = [SharedRows(every, rank, 2)[positions] for rank in range(2)]
    pieces = [MicroBatches(TrainSection(micro_batch=1)).split(share, workers=2) for share in shares]
    assert [len(own) for own in pieces] == [(rows + 1) // 2] * 2
    assert all(len(piece.labels) == 1 for own in pieces for piece in own)
    whole = gradient(every[positions], "bag", micro=None)
    parts = [gradient(share, "bag", micro=1, workers=2) for share in shares]
    mean = [torch.stack(grads).mean(0) for grads in zip(*(grads for grads, _, _ in parts), strict=True)]
    torch.testing.assert_close(mean, whole[0])
    assert sum(loss for _, loss, _ in parts) == pytest.approx(whole[1])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("architecture", ["bag", "transformer"])
def test_a_training_in_pieces_clips_and_follows_the_whole_gradient(
    monkeypatch: pytest.MonkeyPatch, architecture: str, precision: str
) -> None:
    norms: dict[int | None, list[float]] = {}
    clip = ClassifierModule.configure_gradient_clipping

    def note(module: ClassifierModule, *arguments: Any, **options: Any) -> None:
        gradients = [parameter.grad for parameter in module.network.parameters() if parameter.grad is not None]
        norms.setdefault(module.memory.rows, []).append(float(nn.utils.get_total_norm(gradients)))
        clip(module, *arguments, **options)

    monkeypatch.setattr(ClassifierModule, "configure_gradient_clipping", note)
    monkeypatch.setattr("dlcycle.train.fit.accelerator_and_precision", lambda settings: ("cpu", precision))
    options: dict[str, Any] = {"dropout": 0.0, "architecture": architecture, "class_weights": "balanced"}
    whole, pieces = fit(**options), fit(**options, micro_batch=3)
    # Rounding of 16 bits, in sums of other parts; Adam's first steps enlarge it.
    tolerance = 1e-4 if precision == "32-true" else 0.05
    assert norms[3] == pytest.approx(norms[None], rel=tolerance)
    assert [entry["train_loss"] for entry in pieces.history] == pytest.approx(
        [entry["train_loss"] for entry in whole.history], rel=tolerance
    )
    assert (whole.micro_batch, pieces.micro_batch, pieces.precision) == (None, 3, precision)
    assert [entry.get("micro_batch") for entry in pieces.history] == [3, 3]


def test_out_of_memory_names_what_was_used_and_what_to_lower() -> None:
    with pytest.raises(TrainingError) as caught:
        fit(short={"training": 4})
    message = str(caught.value)
    assert "out of memory at epoch 1, batch 1 (8 rows of up to " in message
    for name in (
        *("MB were used; set train.micro_batch = 4 (", "lower train.batch_size (it is 8)", "max_tokens"),
        *("train.memory (it is 4096 MB)", "train.shrink_micro_batch = true", "no epoch was finished"),
    ):
        assert name in message
    with pytest.raises(TrainingError, match=r"8 rows of up to \d tokens, 6 of them at once"):
        fit(short={"training": 4}, micro_batch=6)
    with pytest.raises(TrainingError, match=r"at the validation of epoch 1 \(24 rows of .*end of epoch|no epoch"):
        fit(short={"validation": 4})


@pytest.mark.parametrize("backwards", [False, True])
def test_where_allowed_it_goes_on_with_smaller_pieces_to_their_result(
    backwards: bool, caplog: pytest.LogCaptureFixture
) -> None:
    done = fit(short={"training": 3, "backwards": backwards}, shrink_micro_batch=True)
    assert done.micro_batch == 2
    # Dropout too is as if the pieces had been so small from the start.
    assert bits(done) == bits(fit(micro_batch=2))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition("repeated with ")[2][:14] for line in lines] == ["4 rows at once", "2 rows at once"]
    assert "out of memory at epoch 1, batch 1 (8 rows of up to " in lines[0]


def test_a_validation_too_is_computed_in_pieces() -> None:
    done = fit(short={"validation": 10}, shrink_micro_batch=True)
    assert done.micro_batch == 6
    np.testing.assert_allclose(done.logits[:, 0], fit().logits[:, 0], atol=0.2)
    assert len(done.logits) == ROWS


def test_it_never_computes_less_than_one_row() -> None:
    with pytest.raises(TrainingError, match=r"tokens, 1 of them at once\): .*; lower train.batch_size") as caught:
        fit(short={"training": 0}, shrink_micro_batch=True)
    assert "train.shrink_micro_batch" not in str(caught.value)


def test_an_attempt_that_follows_keeps_the_smaller_pieces(tmp_path: pathlib.Path) -> None:
    own = {"short": {"training": 4}, "shrink_micro_batch": True}
    whole = fit(**own)
    with suppress(Cut):
        fit(**own, store=FolderStore(tmp_path, say=[].append), cut=8)
    said: list[str] = []
    # It has memory for all, and goes on as the one before it.
    done = fit(shrink_micro_batch=True, store=FolderStore(tmp_path, say=said.append))
    assert done.resumed is not None and "goes on from" in said[0]
    assert done.micro_batch == 4
    assert bits(done) == bits(whole)


def test_other_errors_stay_as_they_are() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.ones(2, 4))

    settings, rows = TrainSection(shrink_micro_batch=True, threads=1), text_rows()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit_classifier(lambda: Wrong(), train=rows, validation=rows, classes=CLASSES, settings=settings, seed=0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("out of memory"), False),
    ],
)
def test_errors_of_a_full_memory_are_told_from_others(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


class Notes:
    """Notes in memory, with that of an attempt before."""

    def __init__(self, **earlier: Any) -> None:
        whole = {"rows": 8, "longest": 9, "at_once": None, "peak_mb": 900.0, "limit_mb": 1000.0, "kernel_kills": 3}
        self.before = {**whole, "boot": "this", "ended": False, **earlier} if earlier else None
        self.written: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.say = self.said.append

    def earlier(self) -> dict[str, Any] | None:
        return self.before

    def write(self, note: dict[str, Any]) -> None:
        self.written.append(note)


@pytest.mark.parametrize(
    ("earlier", "allowed", "rows", "expected"),
    [
        (
            {"rows": 8},
            False,
            None,
            "had used 900 of 1000 MB, its largest batch had 8 rows of up to 9 tokens; set train",
        ),
        ({"rows": 8}, True, 4, "this attempt computes 4 rows at once"),
        ({"at_once": 3}, True, 2, "this attempt computes 2 rows at once"),
        ({"at_once": 1}, True, 6, "tokens; lower train.batch_size"),
        ({"peak_mb": 400.0}, True, 6, "which speaks against it; if it was a lack"),
        ({"peak_mb": 400.0, "kernel_kills": 2}, True, 4, "kernel of this machine has ended .* since then: 1"),
        ({"peak_mb": 400.0, "kernel_kills": 2, "boot": "other"}, True, 6, "which speaks against"),
        (
            {"peak_mb": 400.0, "limit_mb": None},
            True,
            6,
            "used 400 of an unknown number MB, its .* tokens; if it was a lack of memory, set",
        ),
        ({"rows": 0}, False, None, "used 900 of 1000 MB; set train.micro_batch = 4"),
        ({"ended": True}, True, 6, None),
    ],
)
def test_an_attempt_after_a_killed_one_says_so_and_computes_less_where_memory_is_likely(
    monkeypatch: pytest.MonkeyPatch, earlier: dict, allowed: bool, rows: int | None, expected: str | None
) -> None:
    monkeypatch.setattr(memory, "kernel_kills", lambda: 3)
    monkeypatch.setattr(memory, "boot", lambda: "this")
    notes = Notes(**earlier)
    settings = TrainSection(batch_size=8, micro_batch=6 if allowed else None, shrink_micro_batch=allowed)
    with MicroBatches(settings, notes=notes) as found:
        assert found.rows == rows
    if expected is None:
        assert notes.said == []
    else:
        (line,) = notes.said
        assert line.startswith(
            "the attempt before was ended from outside (SIGKILL), as a machine does that runs out of"
        )
        assert re.search(expected, line), line
        assert ("train.shrink_micro_batch = true" in line) == (not allowed)


def test_a_training_notes_its_largest_batch_before_it_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    fit(notes=notes, micro_batch=4)
    first, *middle, last = [MemoryNote(**note) for note in notes.written]
    assert (first.rows, first.ended, last.ended) == (0, False, True)
    assert middle and not any(note.ended for note in middle)
    assert [note.rows * note.longest for note in middle] == sorted({note.rows * note.longest for note in middle})
    assert (last.rows, last.longest, last.at_once) == (ROWS, TOKENS, 4)
    assert last.limit_mb is not None and 50 < last.peak_mb < last.limit_mb
    failed = Notes()
    with pytest.raises(TrainingError):
        fit(notes=failed, short={"training": 0})
    assert failed.written[-1]["ended"] and failed.written[-2]["rows"] == 8


def test_a_peak_that_grows_without_larger_batches_is_noted_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, peaks = Notes(), iter([100.0, 100.0, 105.0, 120.0, 120.0, 130.0])
    monkeypatch.setattr(memory, "peak_memory_mb", lambda: next(peaks))
    monkeypatch.setattr(memory, "NOTE_SECONDS", 0.0)
    batch = text_rows()[[0, 1]]
    with MicroBatches(TrainSection(), notes=notes) as found:
        for _ in range(3):
            found.begin(batch, place="here")
    assert [note["peak_mb"] for note in notes.written] == [100.0, 100.0, 120.0, 130.0]


def test_a_machine_tells_how_often_its_kernel_ran_out_of_memory() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux counts")
    assert (memory.kernel_kills() or 0) >= 0
    assert memory.boot() == memory.boot()


LIMITED = """
import resource, sys; sys.path[:0] = [{folder!r}]
import test_memory as t
from dlcycle.train.lineage import process_status_mb
from dlcycle.errors import TrainingError
def fit(**own):
    return t.fit_long(batch_size=128, threads=1, epochs=1, checkpoints=False, **own)
fit(micro_batch=8)
room = (int(process_status_mb("VmSize")) + {megabytes}) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    fit()
except TrainingError as error:
    print(error)
done = fit(shrink_micro_batch=True)
print("came to", done.micro_batch)
"""


def fit_long(**settings: Any) -> FitResult:
    """Train a transformer on 128 texts of 200 tokens, which takes some 100 MB for all at once."""
    spec = ModelSpec(architecture="transformer", embedding=64, dropout=0.1)
    rows = TextRows([np.full(200, 5, np.int32)] * 128, np.arange(128) % 3, np.arange(128))
    return fit_classifier(
        lambda: build_text_model(NetworkSpec(spec, tokens=50, classes=CLASSES)),
        train=rows,
        validation=TextRows(rows.tokens[:8], rows.labels[:8], rows.numbers[:8]),
        classes=CLASSES,
        settings=TrainSection.model_validate(settings),
        seed=0,
    )


@pytest.mark.slow
def test_a_process_with_little_memory_explains_itself_or_makes_do() -> None:
    code = LIMITED.format(folder=os.path.dirname(__file__), megabytes=40)
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    error, came_to = done.stdout.strip().splitlines()
    assert "out of memory at epoch 1, batch 1 (128 rows of up to 200 tokens): " in error
    assert "MB of address space (ulimit -v) were used; set train.micro_batch = 64" in error
    assert came_to.startswith("came to ")
    assert 1 <= int(came_to.removeprefix("came to ")) < 128
    assert "it is repeated with 64 rows at once" in done.stderr
