"""Encoded rows to batches of similar length, in an order that only the seed and the epoch decide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dlcycle.errors import TrainingError
from dlcycle.model.text import pad_rows
from dlcycle.model.tokenizer import Ids


class Batch(NamedTuple):
    """What one step computes on."""

    inputs: tuple[Tensor, ...]
    """Arguments of the network; for text the tokens (N, L) and lengths (N,)."""
    labels: Tensor
    """Class indices int64 (N,)."""
    rows: Tensor
    """Numbers int64 (N,) that the user knows the rows by."""


@dataclass(frozen=True)
class TextRows(Dataset[Batch]):
    """Encoded texts of one part and their classes; indexed with a list of positions, it gives a padded `Batch`."""

    tokens: Sequence[Ids]
    """N arrays of at least one id."""
    labels: npt.NDArray[np.int64]
    """(N,) class indices."""
    numbers: npt.NDArray[np.int64]
    """(N,) row numbers for messages."""

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.labels) == len(self.numbers):
            sizes = f"{len(self.tokens)} texts, {len(self.labels)} labels and {len(self.numbers)} row numbers"
            raise TrainingError(f"expected as many labels and row numbers as texts, got {sizes}")
        if not len(self.tokens):
            raise TrainingError("expected rows to make batches of, got none; check the parts of the split")

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        inputs = pad_rows([self.tokens[row] for row in rows])
        return Batch(inputs, torch.from_numpy(self.labels[rows]), torch.from_numpy(self.numbers[rows]))


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of shuffled positions, each row once an epoch, of similar lengths when asked.

    The order is a function of the seed and the epoch alone and draws nothing from the global random numbers, so a
    training that was cut can go on at any batch with `set_epoch(epoch, skip=batches_done)`.

    Example:
        >>> sampler = BucketBatchSampler([3, 50, 4, 60, 2], batch_size=2, seed=0)
        >>> sorted(sorted(batch) for batch in sampler)
        [[0, 4], [1, 2], [3]]
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int, bucket: bool = True) -> None:
        """Sample positions 0..N-1.

        Args:
            lengths: (N,) tokens of each row.
            batch_size: rows of a batch; the last one made may be smaller.
            seed: start of the random numbers.
            bucket: batch rows of similar length; otherwise lengths are ignored.
        """
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.bucket = bucket
        self.set_epoch(0)

    def set_epoch(self, epoch: int, *, skip: int = 0) -> None:
        """Choose the epoch (from 0) whose batches come next, without its first `skip` batches; Lightning calls it."""
        self.epoch, self.skip = epoch, skip

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) - self.skip

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(len(self.lengths))
        if self.bucket:
            # Lengths are blurred by a tenth, so that a row meets other rows in each epoch.
            blurred = self.lengths[order] * generator.uniform(0.9, 1.1, len(order))
            order = order[np.argsort(blurred, kind="stable")]
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        for position in generator.permutation(len(batches))[self.skip :]:
            yield batches[position].tolist()


def training_batches(rows: TextRows, *, batch_size: int, seed: int, bucket: bool = True) -> DataLoader[Batch]:
    """Shuffled batches of the training part, made in this process because the texts are in memory already."""
    lengths = [len(tokens) for tokens in rows.tokens]
    return DataLoader(
        rows, sampler=BucketBatchSampler(lengths, batch_size=batch_size, seed=seed, bucket=bucket), batch_size=None
    )


def validation_batches(rows: TextRows, *, batch_size: int) -> DataLoader[Batch]:
    """Batches of a part in a fixed order, short texts first."""
    order = np.argsort([len(tokens) for tokens in rows.tokens], kind="stable")
    batches = [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]
    return DataLoader(rows, sampler=batches, batch_size=None)
