"""What checkpoints cost a training, and whether one that is killed anywhere arrives at the same weights.

    python benchmarks/checkpoint_cost.py --config configs/ecommerce.toml --data PATH [--kills 20]

Trains the first candidate of a project file without and with checkpoints, alternating in one process; the goal is at
most 3 % of the time. `as set` saves as the project file says; `no waiting` as often as the share of the time that
writing may take allows; `every epoch` after each epoch at any cost. With --kills, that many trainings which save every
10 steps are killed (SIGKILL) and continued: at the last and the first batch of an epoch, twice in a validation, twice
during a save, and at random batches; all must end with the weights of one left alone.
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
from dlcycle.train import checkpoint
from dlcycle.train.batches import TextRows
from dlcycle.train.checkpoint import FolderStore, Place
from dlcycle.train.context import TrainingContext
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


@dataclass(frozen=True)
class Kill:
    """The call of the network, counted apart in training and validation, or the file that ends the process; 0: none."""

    training: int = 0
    validation: int = 0
    file: int = 0


class Mortal(nn.Module):
    """A network that kills its process at a batch."""

    def __init__(self, network: nn.Module, kill: Kill) -> None:
        super().__init__()
        self.network, self.left = network, {True: kill.training, False: kill.validation}

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits, or the end."""
        self.left[self.training] -= 1
        if self.left[self.training] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(*inputs)


@dataclass(frozen=True)
class Task:
    """What is trained."""

    spec: NetworkSpec
    train: TextRows
    validation: TextRows
    settings: TrainSection

    @property
    def epoch_steps(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.train) // self.settings.batch_size)

    def fit(self, store: FolderStore | None = None, *, kill: Kill = Kill(), **settings: object) -> FitResult:
        """Train, until the process is killed."""
        return fit_classifier(
            lambda: Mortal(build_text_model(self.spec), kill),
            train=self.train,
            validation=self.validation,
            classes=self.spec.classes,
            settings=self.settings.model_copy(update=settings),
            seed=SEED,
            context=TrainingContext(checkpoints=store),
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


def kill_at_file(number: int) -> None:
    """Kill the process when half of the n-th file of a checkpoint is written."""
    write, files = checkpoint.write_file, 0

    def half(path: Path, data: bytes) -> None:
        nonlocal files
        files += path.name != ".probe"
        if files == number:
            path.with_name(f".{path.name}.part").write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, data)

    checkpoint.write_file = half


def choose_kills(task: Task, steps: int, count: int) -> list[Kill]:
    """The kills at particular places, then at random batches."""
    epoch, numbers = task.epoch_steps, random.Random(SEED)
    special = [
        *(Kill(training=epoch), Kill(training=epoch + 1)),
        *(Kill(validation=1), Kill(validation=2)),
        *(Kill(file=3), Kill(file=6)),
    ]
    return (special + [Kill(training=batch) for batch in numbers.sample(range(2, steps + 1), count)])[:count]


def survives(task: Task, kill: Kill, folder: Path, expected: str) -> bool:
    """Whether a training that is killed, in a process of its own, goes on to the expected weights."""
    if (child := os.fork()) == 0:
        if kill.file:
            kill_at_file(kill.file)
        task.fit(FolderStore(folder), kill=kill, checkpoint_steps=10)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"{kill} did not happen; train more rows or epochs")
    done = task.fit(FolderStore(folder, say=lambda line: None), checkpoint_steps=10)
    # Nothing is saved in the first batches.
    early = 0 < kill.training <= 10
    return weights(done) == expected and (done.resumed is None) == early


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
    steps = task.epoch_steps * task.settings.epochs
    print(f"{len(task.train)} rows, {steps} steps, medians of {arguments.repeats} pairs")
    names = ("s without", "s with", "+ % wall", "+ % cpu", "saving %", "written", "MB")
    print(f"{'checkpoints':<12} {' '.join(f'{name:>9}' for name in names)}")
    with tempfile.TemporaryDirectory() as folder:
        for mode in arguments.modes:
            figures = measure(task, mode, Path(folder), arguments.repeats)
            print(f"{mode:<12} {' '.join(f'{figure:>9.2f}' for figure in figures)}", flush=True)
        if arguments.kills:
            expected, kills = weights(task.fit()), choose_kills(task, steps, arguments.kills)
            survived = [survives(task, kill, Path(folder) / str(kill), expected) for kill in kills]
            print(f"killed and continued to the same bits: {sum(survived)} of {len(kills)}")
            for kill, equal in zip(kills, survived, strict=True):
                print(f"  {kill}{'' if equal else '  NOT EQUAL'}")


if __name__ == "__main__":
    main()
