"""A training that was cut off goes on to the same bits; a checkpoint that is damaged or of another is refused."""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from dlcycle.config import ModelSpec, TrainSection
from dlcycle.errors import InterruptionError, TrainingError
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import fit_tokenizer
from dlcycle.train import checkpoint, resume
from dlcycle.train.batches import BucketBatchSampler, TextRows, with_changed_versions
from dlcycle.train.checkpoint import FolderStore, digest_path, find_checkpoint, read_checkpoint, write_checkpoint
from dlcycle.train.context import TrainingContext
from dlcycle.train.fit import FitResult, fit_classifier
from dlcycle.train.watch import Watch

BATCHES, VALIDATION_BATCHES, EPOCHS = 8, 2, 4


class Cut(BaseException):
    """The process is gone."""


@dataclass
class When:
    """The call of the network at which it is cut off, counted apart in training and in validation; 0 for never."""

    training: int = 0
    validation: int = 0
    act: Callable[[], None] | None = None


class Cuttable(nn.Module):
    """A network that may be cut off."""

    def __init__(self, spec: NetworkSpec, when: When) -> None:
        super().__init__()
        self.network, self.when = build_text_model(spec), replace(when)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        name = "training" if self.training else "validation"
        left = getattr(self.when, name) - 1
        setattr(self.when, name, left)
        if left == 0:
            if self.when.act is None:
                raise Cut
            self.when.act()
        return self.network(tokens, lengths)


def make_rows(count: int, *, seed: int) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    texts = [
        " ".join([f"w{word}" for word in generator.integers(0, 30, generator.integers(1, 12))] + [f"sign{label}"])
        for label in labels
    ]
    return texts, labels


def fit(
    store: FolderStore | None = None,
    *,
    when: When | None = None,
    architecture: str = "bag",
    augment: bool = False,
    seed: int = 0,
    on_epoch: Any = None,
    on_step: Any = None,
    **settings: Any,
) -> FitResult:
    """Train for 4 epochs of 8 batches and 2 validation batches."""
    spec = ModelSpec.model_validate({"architecture": architecture, "min_count": 1, "buckets": 100, "hidden": 8})
    (texts, labels), (unseen, truth) = make_rows(64, seed=1), make_rows(50, seed=2)
    tokenizer = fit_tokenizer(texts, spec=spec)
    train = TextRows(tokenizer.encode(texts), labels, np.arange(64))
    if augment:
        train = with_changed_versions(train, texts, tokenizer=tokenizer, kinds=["typos"], seed=seed)
    chosen = {"epochs": EPOCHS, "batch_size": 8, "learning_rate": 2e-2, "threads": 1, "patience": 9}
    return fit_classifier(
        lambda: Cuttable(NetworkSpec(spec, tokens=tokenizer.size, classes=3), when or When()),
        train=train,
        validation=TextRows(tokenizer.encode(unseen), truth, np.arange(50)),
        classes=3,
        settings=TrainSection.model_validate({"checkpoint_steps": 3, **chosen, **settings}),
        seed=seed,
        context=TrainingContext(checkpoints=store, on_epoch=on_epoch, on_step=on_step),
    )


def result_of(done: FitResult) -> tuple[Any, ...]:
    """All of a result but times."""
    timeless = [{k: v for k, v in entry.items() if k not in ("seconds", "rows_per_second")} for entry in done.history]
    weights = hashlib.sha256(safetensors.torch.save(done.network.state_dict())).hexdigest()
    return weights, timeless, done.best_epoch, done.logits.tobytes(), done.steps, done.stopped_early


@cache
def untouched(**options: Any) -> tuple[Any, ...]:
    """The result of a training that is left alone."""
    return result_of(fit(**options))


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[FolderStore]:
    yield FolderStore(tmp_path / "kept", say=[].append)


def again(store: FolderStore) -> tuple[FolderStore, list[str]]:
    """The store as the next attempt sees it, and the lines that it says."""
    said: list[str] = []
    return FolderStore(store.folder, identity=store.identity, say=said.append), said


PLACES = {
    "first batch": When(training=1),
    "second batch": When(training=2),
    "middle of an epoch": When(training=BATCHES + 5),
    "last batch of an epoch": When(training=2 * BATCHES),
    "start of a validation": When(validation=VALIDATION_BATCHES + 1),
    "during a validation": When(validation=2 * VALIDATION_BATCHES),
    "first batch of an epoch": When(training=2 * BATCHES + 1),
    "last validation": When(validation=EPOCHS * VALIDATION_BATCHES),
}
NEVER_SAVED = {("first batch", 1), ("first batch", 3), ("second batch", 3)}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
def test_cut_off_anywhere_it_goes_on_to_the_same_bits(tmp_path: pathlib.Path, steps: int) -> None:
    for place, when in PLACES.items():
        store = FolderStore(tmp_path / place, say=[].append)
        with pytest.raises(Cut):
            fit(store, when=when, checkpoint_steps=steps)
        done = fit(again(store)[0], checkpoint_steps=steps)
        assert (done.resumed is None) == ((place, steps) in NEVER_SAVED)
        assert result_of(done) == untouched(), place


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        {"bucket_batches": False},
        {"augment": True},
        {"architecture": "gru"},
        {"architecture": "gru", "bucket_batches": False, "augment": True},
    ],
    ids=lambda variant: "-".join(map(str, variant)),
)
def test_so_does_every_kind_of_training(tmp_path: pathlib.Path, variant: dict[str, Any]) -> None:
    for place, steps in (("middle of an epoch", 3), ("during a validation", 1), ("first batch of an epoch", 1)):
        store = FolderStore(tmp_path / place, say=[].append)
        with pytest.raises(Cut):
            fit(store, when=PLACES[place], checkpoint_steps=steps, **variant)
        done = fit(again(store)[0], checkpoint_steps=steps, **variant)
        assert done.resumed is not None
        assert result_of(done) == untouched(**variant), place


def test_cut_off_at_every_batch_it_still_arrives(store: FolderStore) -> None:
    epochs, places = 2, []
    for _ in range(epochs * BATCHES):
        # Two batches each time, of which the second is lost.
        with suppress(Cut):
            done = fit(again(store)[0], when=When(training=2), checkpoint_steps=1, epochs=epochs)
            break
        places.append(max(path.stem for path in store.folder.glob("*.ckpt")))
    assert len(set(places)) == len(places) == epochs * BATCHES - 1
    assert result_of(done) == untouched(epochs=epochs)


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_cut_off_at_the_end_of_an_epoch(store: FolderStore, epoch: int) -> None:
    def cut(state: dict[str, Any]) -> None:
        if state["epoch"] == epoch:
            raise Cut

    with pytest.raises(Cut):
        fit(store, on_epoch=cut)
    assert result_of(fit(again(store)[0])) == untouched()


@pytest.mark.parametrize("file", range(1, 9))
def test_cut_off_during_a_save(store: FolderStore, monkeypatch: pytest.MonkeyPatch, file: int) -> None:
    calls, write_file = 0, checkpoint.write_file

    def cut(path: pathlib.Path, data: bytes) -> None:
        nonlocal calls
        calls += path.name != ".probe"
        if calls == file:
            path.with_name(f".{path.name}.part").write_bytes(data[: len(data) // 2])
            raise Cut
        write_file(path, data)

    monkeypatch.setattr(checkpoint, "write_file", cut)
    with pytest.raises(Cut):
        fit(store)
    monkeypatch.undo()
    store, said = again(store)
    assert result_of(fit(store)) == untouched()
    assert any("was not written to its end" in line for line in said) == (file % 2 == 0)


def test_a_finished_training_is_not_repeated(store: FolderStore) -> None:
    whole = fit(store)
    store, said = again(store)
    # A batch more would cut it off.
    assert result_of(fit(store, when=When(training=1))) == result_of(whole)
    assert said == [
        f"training goes on from the end of epoch 4 ({whole.steps} steps), where an earlier attempt was stopped"
    ]


def test_patience_that_had_run_out_has_run_out(store: FolderStore) -> None:
    options = {"patience": 1, "learning_rate": 1e-12, "weight_decay": 0.0}
    whole = fit(store, **options)
    assert whole.stopped_early
    # A batch more would cut it off.
    assert result_of(fit(again(store)[0], when=When(training=1), **options)) == result_of(whole)


@pytest.mark.parametrize(
    ("when", "place"),
    [
        (When(training=1), "epoch 1, after batch 1"),
        (When(training=BATCHES + 3), "epoch 2, after batch 3"),
        (When(training=BATCHES), "epoch 1, before its validation"),
        (When(validation=3), "epoch 2, before its validation"),
        (When(validation=4), "the end of epoch 2"),
        (When(validation=EPOCHS * VALIDATION_BATCHES), "the end of epoch 4"),
    ],
)
def test_sigterm_saves_at_the_very_batch(store: FolderStore, when: When, place: str) -> None:
    when = replace(when, act=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(InterruptionError, match=f"the next attempt goes on from the checkpoint at {place}$"):
        fit(store, when=when, checkpoint_steps=None, checkpoint_seconds=1e9)
    store, said = again(store)
    done = fit(store)
    assert result_of(done) == untouched()
    assert str(done.resumed) == place
    assert said[0].startswith(f"training goes on from {place} (")


def test_what_was_measured_before_the_break_counts(store: FolderStore) -> None:
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5), checkpoint_steps=1)
    states: list[dict[str, Any]] = []
    path = next(again(store)[0].earlier())
    seconds = read_checkpoint(path)["callbacks"]["Watch"]["seconds"]
    done = fit(again(store)[0], on_epoch=states.append)
    assert done.seconds > seconds > 0
    assert all(state["seconds"] > seconds for state in states)


@pytest.mark.parametrize("missing", ["skip", "seeding", "settled counters"])
def test_without_what_makes_it_exact_it_is_not(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    match missing:
        case "skip":
            whole_epoch = lambda self, epoch, *, skip=None: self.__dict__.update(epoch=epoch, skip=0)  # noqa: E731
            monkeypatch.setattr(BucketBatchSampler, "set_epoch", whole_epoch)
        case "seeding":
            monkeypatch.delattr(Watch, "on_train_batch_start")
        case "settled counters":
            monkeypatch.setattr(resume, "settle_loops", lambda loops, *, stage: None)
    whole = result_of(fit())
    when = When(validation=3) if missing == "settled counters" else When(training=BATCHES + 5)
    with pytest.raises(Cut):
        fit(store, when=when, checkpoint_steps=1)
    assert result_of(fit(again(store)[0], checkpoint_steps=1)) != whole


def test_two_are_kept_and_without_a_store_nothing_is_written(
    store: FolderStore, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fit(store, checkpoint_steps=1)
    names = sorted(path.name for path in store.folder.iterdir())
    assert [name for name in names if name.endswith(".ckpt")] == ["step-00000032-end.ckpt", "step-00000032.ckpt"]
    assert len(names) == 4
    switched_off = FolderStore(tmp_path / "off")
    before = sorted(tmp_path.rglob("*"))
    fit()
    fit(switched_off, checkpoints=False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("speed", "saved"), [(1e-9, 0), (1e30, 1)])
def test_epochs_are_saved_where_that_takes_a_small_share_of_them(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, speed: float, saved: int
) -> None:
    # Bytes that are written in a second, before the first checkpoint tells better.
    monkeypatch.setattr(resume, "BYTES_A_SECOND", speed)
    fit(store, checkpoint_steps=None, epochs=1)
    assert len(list(store.folder.glob("*.ckpt"))) == saved


def damaged(path: pathlib.Path, generator: np.random.Generator, kind: str) -> bytes:
    data = bytearray(path.read_bytes())
    if kind == "cut short":
        return bytes(data[: generator.integers(0, len(data))])
    data[generator.integers(0, len(data))] ^= 1 << int(generator.integers(0, 8))
    return bytes(data)


@pytest.mark.parametrize("kind", ["cut short", "a bit flipped"])
def test_forty_damaged_files_are_all_found_and_the_one_before_is_used(store: FolderStore, kind: str) -> None:
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5))
    newest, before = FolderStore(store.folder).earlier()
    good, generator = newest.read_bytes(), np.random.default_rng(0)
    identity = read_checkpoint(newest)["dlcycle"]["identity"]
    stamp = newest.stat().st_mtime_ns
    for _ in range(20):
        newest.write_bytes(damaged(newest, generator, kind))
        os.utime(newest, ns=(stamp, stamp))
        attempt, said = again(store)
        state = find_checkpoint(attempt, identity)
        newest.write_bytes(good)
        assert state is not None
        assert state["dlcycle"]["place"] == read_checkpoint(before)["dlcycle"]["place"]
        assert len(said) == 1
        assert f"checkpoint {newest.stem} is not used: it is damaged: sha256" in said[0]


def test_when_all_are_damaged_training_starts_anew_and_says_so(store: FolderStore) -> None:
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5))
    newest, before = FolderStore(store.folder).earlier()
    newest.write_bytes(newest.read_bytes()[:-1])
    digest_path(before).unlink()
    store, said = again(store)
    done = fit(store)
    assert result_of(done) == untouched()
    assert done.resumed is None
    assert [line.split(" is not used")[0] for line in said[:2]] == [
        f"checkpoint {newest.stem}",
        f"checkpoint {before.stem}",
    ]
    assert "was not written to its end" in said[1]
    assert said[2] == "there is no good checkpoint; training starts anew"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 1 and was 0"),
        ({"learning_rate": 1e-2}, "train.learning_rate is 0.01 and was 0.02"),
        ({"augment": True}, "rows is "),
        ({"architecture": "gru"}, "network is "),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_named(
    store: FolderStore, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5))
    store, said = again(store)
    done = fit(store, **change)
    assert done.resumed is None
    assert named in said[0]
    assert "of another training" in said[0]
    assert said[-1] == "there is no good checkpoint; training starts anew"
    assert result_of(done) == untouched(**change)


def test_a_checkpoint_made_with_other_threads_is_refused(store: FolderStore) -> None:
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5))
    store, said = again(store)
    # Two threads are slow where other work runs, and what follows does not depend on them.
    with pytest.raises(Cut):
        fit(store, when=When(training=1), threads=2)
    assert "train.threads is 2 and was 1" in said[0]
    assert said[-1] == "there is no good checkpoint; training starts anew"


def test_what_the_caller_knows_is_part_of_the_identity(store: FolderStore) -> None:
    store.identity = {"data": "a", "code": "1"}
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5))
    other, said = again(store)
    other.identity = {"data": "b", "code": "1"}
    assert fit(other).resumed is None
    assert "data is b and was a" in said[0]


def test_settings_without_effect_do_not_matter(store: FolderStore) -> None:
    with pytest.raises(Cut):
        fit(store, when=When(training=BATCHES + 5))
    assert fit(again(store)[0], memory=8192, seeds=[0, 1], checkpoint_steps=None).resumed is not None


def test_a_checkpoint_runs_no_code(tmp_path: pathlib.Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    write_checkpoint(tmp_path / "step.ckpt", {"dlcycle": Payload()})
    with pytest.raises(checkpoint.DamagedCheckpointError, match="no checkpoint"):
        read_checkpoint(tmp_path / "step.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_written_stops_before_the_first_epoch(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    seen: list[Any] = []
    with pytest.raises(TrainingError, match=r"write checkpoints to .*file/kept.*train\.checkpoints = false"):
        fit(FolderStore(tmp_path / "file" / "kept"), on_epoch=seen.append)
    assert not seen


def test_too_little_room_is_named(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(TrainingError, match=r"checkpoints need 0\.\d MB in .*kept, 0\.0 MB are free"):
        fit(store)


def test_a_disk_that_fills_up_later_ends_no_training(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file = checkpoint.write_file

    def full(path: pathlib.Path, data: bytes) -> None:
        if path.name >= "step-00000012":
            raise OSError(28, "No space left on device")
        write_file(path, data)

    monkeypatch.setattr(checkpoint, "write_file", full)
    store, said = again(store)
    assert result_of(fit(store)) == untouched()
    assert "the checkpoint at epoch 2, after batch 4 could not be written to" in said[0]
    assert "No space left on device; training goes on without it" in said[0]
    monkeypatch.undo()
    assert str(fit(again(store)[0]).resumed) == "epoch 2, after batch 1"


KILLED = """
import os, signal, sys; sys.path[:0] = [{folder!r}]
import test_checkpoint as t
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
store = t.pathlib.Path({store!r})

def half(path, data, number=[0]):
    number[0] += path.name != ".probe"
    if number[0] == 9:
        path.with_name(f".{{path.name}}.part").write_bytes(data[: len(data) // 2])
        kill()
    write(path, data)

write = t.checkpoint.write_file
for place, when in {{**t.PLACES, "during a save": t.When()}}.items():
    if place not in {places!r}:
        continue
    # A process of its own, which need not import anything; networks of one thread can be forked.
    if not (child := os.fork()):
        when.act = kill
        if place == "during a save":
            t.checkpoint.write_file = half
        t.fit(t.FolderStore(store / place), when=when, checkpoint_steps=1)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, place
"""


@pytest.mark.slow
def test_a_process_that_is_killed_anywhere_is_continued(tmp_path: pathlib.Path) -> None:
    places = [*[*PLACES][2:7], "during a save"]
    code = KILLED.format(folder=os.path.dirname(__file__), store=str(tmp_path), places=places)
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for place in places:
        continued = fit(again(FolderStore(tmp_path / place))[0])
        assert continued.resumed is not None
        assert result_of(continued) == untouched(), place
