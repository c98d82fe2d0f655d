"""How much Lightning costs beside a plain PyTorch loop, and what batches of similar length save.

    python benchmarks/train_speed.py --data PATH/ecommerce.csv

The rows are the default network of each architecture and `shipped`, the candidate of `--config` with its settings.
Both loops train the same networks on the same batches with the same steps, one after the other, in alternating order;
seconds are medians of an epoch with its validation, ratios are medians over the pairs.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from dlcycle.config import Architecture, ModelSpec, TrainSection
from dlcycle.data.sample import generate_sample
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import Ids, fit_tokenizer
from dlcycle.project_file import parse_project, validate_project
from dlcycle.train.batches import Batch, TextRows, training_batches, validation_batches
from dlcycle.train.context import TrainingContext
from dlcycle.train.fit import fit_classifier, seed_everything
from dlcycle.train.module import learning_rate_factor
from dlcycle.train.scores import validation_scores

EPOCHS = 4
SEED = 0


@dataclass(frozen=True)
class Task:
    """What both loops are given."""

    spec: NetworkSpec
    train: TextRows
    validation: TextRows
    settings: TrainSection

    def build(self) -> nn.Module:
        """The untrained network."""
        return build_text_model(self.spec)


def lightning_epoch(task: Task) -> float:
    """Seconds an epoch takes in `fit_classifier`, the first one left out."""
    ends: list[float] = []
    fit_classifier(
        task.build,
        train=task.train,
        validation=task.validation,
        classes=task.spec.classes,
        settings=task.settings,
        seed=SEED,
        context=TrainingContext(on_epoch=lambda state: ends.append(time.perf_counter())),
    )
    return (ends[-1] - ends[0]) / (EPOCHS - 1)


def plain_epoch(task: Task) -> float:
    """Seconds an epoch takes in a loop written by hand, the first one left out."""
    settings = task.settings
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False
    seed_everything(SEED)
    network = task.build()
    train: Iterable[Batch] = training_batches(
        task.train, batch_size=settings.batch_size, seed=SEED, bucket=settings.bucket_batches
    )
    validation = validation_batches(task.validation, batch_size=4 * settings.batch_size)
    steps = len(train) * EPOCHS  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps=steps, settings=settings)
    )
    ends = []
    for epoch in range(EPOCHS):
        train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        network.train()
        for batch in train:
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                network(*batch.inputs), batch.labels, label_smoothing=settings.label_smoothing
            )
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            optimizer.step()
            schedule.step()
            loss.item()
        network.eval()
        with torch.inference_mode():
            logits = torch.cat([network(*batch.inputs) for batch in validation]).double().numpy()
        order = np.concatenate(list(validation.sampler))
        validation_scores(task.validation.labels[order], logits)
        {name: value.clone() for name, value in network.state_dict().items()}
        ends.append(time.perf_counter())
    torch.use_deterministic_algorithms(False)
    return (ends[-1] - ends[0]) / (EPOCHS - 1)


def compare(task: Task, first: Callable[[Task], float], second: Callable[[Task], float], repeats: int) -> list[float]:
    """Median seconds of both and the median of their ratio; the order alternates."""
    pairs = []
    for repeat in range(repeats):
        if repeat % 2:
            right, left = second(task), first(task)
        else:
            left, right = first(task), second(task)
        pairs.append((left, right))
    lefts, rights = zip(*pairs, strict=True)
    return [statistics.median(lefts), statistics.median(rights), statistics.median(a / b for a, b in pairs)]


def padded_epoch(task: Task) -> float:
    """`lightning_epoch` with each batch padded to the longest text of the part."""
    settings = task.settings.model_copy(update={"bucket_batches": False})
    return lightning_epoch(replace(task, settings=settings, train=_Padded.of(task.train)))


@dataclass(frozen=True)
class _Padded(TextRows):
    """Rows whose batches are all as wide as the longest row."""

    @classmethod
    def of(cls, rows: TextRows) -> "_Padded":
        return cls(rows.tokens, rows.labels, rows.numbers)

    def __getitem__(self, rows: list[int]) -> Batch:
        batch = super().__getitem__(rows)
        tokens, lengths = batch.inputs
        missing = max(map(len, self.tokens)) - tokens.shape[1]
        return batch._replace(inputs=(functional.pad(tokens, (0, missing)), lengths))


def make_task(texts: list[str], labels: Ids, *, spec: ModelSpec, settings: TrainSection) -> Task:
    """Encode the texts for a network; an eighth of them is the validation part."""
    held_out = len(texts) // 8
    tokenizer = fit_tokenizer(texts[held_out:], spec=spec)
    tokens, numbers = tokenizer.encode(texts), np.arange(len(texts))
    return Task(
        NetworkSpec(spec, tokens=tokenizer.size, classes=int(labels.max()) + 1),
        TextRows(tokens[held_out:], labels[held_out:], numbers[held_out:]),
        TextRows(tokens[:held_out], labels[:held_out], numbers[:held_out]),
        settings.model_copy(update={"epochs": EPOCHS, "patience": EPOCHS}),
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="CSV with the columns category and description; the bundled sample without it")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent.parent / "configs" / "ecommerce.toml")
    parser.add_argument("--networks", nargs="+", default=["shipped", *get_args(Architecture)])
    arguments = parser.parse_args()
    frame = pd.read_csv(arguments.data, dtype=str) if arguments.data else generate_sample(arguments.rows, seed=SEED)
    frame = frame.dropna().drop_duplicates("description")
    frame = frame.sample(min(arguments.rows, len(frame)), random_state=SEED)
    texts, labels = frame["description"].tolist(), pd.factorize(frame["category"])[0].astype(np.int64)

    project = validate_project(parse_project(arguments.config.read_text()))
    print(f"{len(texts)} texts, medians of {arguments.repeats} pairs")
    print(f"{'network':<12} {'comparison':<34} {'threads':>7} {'s/epoch':>9} {'s/epoch':>9} {'ratio':>7} {'goal':>8}")
    for network in arguments.networks:
        shipped = network == "shipped"
        spec = project.model.candidates[0] if shipped else ModelSpec(architecture=network)
        task = make_task(texts, labels, spec=spec, settings=project.train if shipped else TrainSection())
        rows = [("Lightning / plain loop", lightning_epoch, plain_epoch, "<= 1.10")]
        if network in ("gru", "transformer"):
            rows.append(("padded to the longest / bucketed", padded_epoch, lightning_epoch, ">= 1.50"))
        for name, first, second, goal in rows:
            left, right, ratio = compare(task, first, second, arguments.repeats)
            threads = task.settings.threads
            print(
                f"{network:<12} {name:<34} {threads:>7} {left:>9.3f} {right:>9.3f} {ratio:>7.2f} {goal:>8}", flush=True
            )


if __name__ == "__main__":
    main()
