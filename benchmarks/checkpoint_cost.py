"""What checkpoints cost a training, and whether one that is killed anywhere arrives at the same weights.

    python benchmarks/checkpoint_cost.py --config configs/ecommerce.toml --data PATH [--kills 20]

Trains the first candidate of a project file without and with checkpoints, alternating in one process; the goal is at
most 3 % of the time. `as set` saves as the project file says; `no waiting` as often as the share of the time that
writing may take allows; `every epoch` after each epoch at any cost. With --kills, that many trainings which save every
10 steps are killed (SIGKILL) at a random batch and continued; all must end with the weights of one left alone.
"""

import argparse
import hashlib
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
from torch import Tensor, nn

from dlcycle.config import TrainSection
from dlcycle.data.sample import generate_sample
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import fit_tokenizer
from dlcycle.project_file import parse_project, validate_project
from dlcycle.train.batches import TextRows
from dlcycle.train.checkpoint import FolderStore, Place
from dlcycle.train.fit import FitResult, fit_classifier
from dlcycle.train.resume import CheckpointWriter

SEED = 0
MODES = {
    "as set": {},
    "no waiting": {"checkpoint_seconds": 0.0},
    "every epoch": {"checkpoint_steps": 10**9},
}


class CountingStore(FolderStore):
    """A folder that counts what it is given."""

    def __init__(self, folder: Path) -> None:
        """Count from 0."""
        super().__init__(folder)
        self.count, self.size, self.seconds = 0, 0, 0.0

    def keep(self, path: Path, *, place: Place) -> None:
        """Keep a checkpoint."""
        self.count, self.size = self.count + 1, path.stat().st_size
        super().keep(path, place=place)


class Mortal(nn.Module):
    """A network that kills its process at a batch."""

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.network, self.left = network, batch

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits, or the end."""
        self.left -= self.training
        if self.left == 0 and self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(*inputs)


@dataclass(frozen=True)
class Task:
    """What is trained."""

    spec: NetworkSpec
    train: TextRows
    validation: TextRows
    settings: TrainSection

    def fit(self, store: FolderStore | None = None, *, batch: int = 0, **settings: object) -> FitResult:
        """Train; `batch` is the one at which the process is killed, 0 for none."""
        return fit_classifier(
            lambda: Mortal(build_text_model(self.spec), batch),
            train=self.train,
            validation=self.validation,
            classes=self.spec.classes,
            settings=self.settings.model_copy(update=settings),
            seed=SEED,
            checkpoints=store,
        )


def make_task(arguments: argparse.Namespace) -> Task:
    """The first candidate of the project file on the rows; an eighth of them is the validation part."""
    project = validate_project(parse_project(arguments.config.read_text()))
    frame = pd.read_csv(arguments.data, dtype=str) if arguments.data else generate_sample(arguments.rows, seed=SEED)
    frame = frame.dropna().drop_duplicates("description")
    frame = frame.sample(min(arguments.rows, len(frame)), random_state=SEED)
    texts, labels = frame["description"].tolist(), pd.factorize(frame["category"])[0].astype(np.int64)
    held_out, spec = len(texts) // 8, project.model.candidates[0]
    tokenizer = fit_tokenizer(texts[held_out:], spec=spec)
    tokens, numbers = tokenizer.encode(texts), np.arange(len(texts))
    epochs = arguments.epochs or project.train.epochs
    return Task(
        NetworkSpec(spec, tokens=tokenizer.size, classes=int(labels.max()) + 1),
        TextRows(tokens[held_out:], labels[held_out:], numbers[held_out:]),
        TextRows(tokens[:held_out], labels[:held_out], numbers[:held_out]),
        project.train.model_copy(update={"epochs": epochs, "patience": epochs}),
    )


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(task: Task, mode: str, folder: Path, repeats: int) -> list[float]:
    """Median seconds without and with; overhead in wall and in processor time, and share of the time spent saving (%).

    Then the number of checkpoints and the MB of one.
    """
    pairs, store, save = [], CountingStore(folder), CheckpointWriter.save

    def timed(writer: CheckpointWriter, *arguments: Any) -> None:
        begun = time.perf_counter()
        save(writer, *arguments)
        store.seconds += time.perf_counter() - begun

    CheckpointWriter.save = timed  # type: ignore[method-assign]
    for repeat in range(repeats):
        store = CountingStore(folder / f"{mode} {repeat}")
        bare, saved = task.fit, lambda store=store: task.fit(store, **MODES[mode])
        if repeat % 2:
            right, left = seconds(saved), seconds(bare)
        else:
            left, right = seconds(bare), seconds(saved)
        pairs.append((left, right))
    CheckpointWriter.save = save  # type: ignore[method-assign]
    wall, cpu = ([(left[i], right[i]) for left, right in pairs] for i in range(2))
    return [
        *(statistics.median(side) for side in zip(*wall, strict=True)),
        *(100 * (statistics.median(b / a for a, b in kind) - 1) for kind in (wall, cpu)),
        100 * store.seconds / wall[-1][1],
        store.count,
        store.size / 1e6,
    ]


def weights(done: FitResult) -> str:
    """Digest of the weights of the best epoch and the validation logits."""
    return hashlib.sha256(safetensors.torch.save(done.network.state_dict()) + done.logits.tobytes()).hexdigest()


def survives(task: Task, batch: int, folder: Path, expected: str) -> bool:
    """Whether a training that is killed at a batch, in a process of its own, goes on to the expected weights."""
    if (child := os.fork()) == 0:
        task.fit(FolderStore(folder), batch=batch, checkpoint_steps=10)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return False
    done = task.fit(FolderStore(folder, say=lambda line: None), checkpoint_steps=10)
    return weights(done) == expected and (done.resumed is not None) == (batch > 10)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="CSV with the columns category and description; the bundled sample without it")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, help="those of the project file without it")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--modes", nargs="*", choices=list(MODES), default=list(MODES))
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent.parent / "configs" / "ecommerce.toml")
    arguments = parser.parse_args()
    task = make_task(arguments)
    steps = -(-len(task.train) // task.settings.batch_size) * task.settings.epochs
    print(f"{len(task.train)} rows, {steps} steps, medians of {arguments.repeats} pairs")
    names = ("s without", "s with", "+ % wall", "+ % cpu", "saving %", "written", "MB")
    print(f"{'checkpoints':<12} {' '.join(f'{name:>9}' for name in names)}")
    with tempfile.TemporaryDirectory() as folder:
        for mode in arguments.modes:
            figures = measure(task, mode, Path(folder), arguments.repeats)
            print(f"{mode:<12} {' '.join(f'{figure:>9.2f}' for figure in figures)}", flush=True)
        if arguments.kills:
            expected, numbers = weights(task.fit()), random.Random(SEED)
            batches = numbers.sample(range(2, steps + 1), arguments.kills)
            equal = sum(survives(task, batch, Path(folder) / f"kill {batch}", expected) for batch in batches)
            print(f"killed and continued to the same bits: {equal} of {len(batches)}, at batches {sorted(batches)}")


if __name__ == "__main__":
    main()
