"""Encoded rows to batches of similar length, in an order that only the seed and the epoch decide."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dlcycle.config import Perturbation
from dlcycle.data.perturb import perturb_texts
from dlcycle.errors import TrainingError
from dlcycle.model.text import pad_rows
from dlcycle.model.tokenizer import Ids, Tokenizer

CHANGED_VERSIONS = 4
"""Changed versions of a text that training chooses from, or as many more as each kind needs for its equal share."""


class Share(NamedTuple):
    """What a worker of a gang has of a batch of all."""

    factor: float
    """Share of the loss: the mean loss of the batch is the sum of the means of the shares times their factors."""
    rows: int
    """Rows of the batch of all."""


class Batch(NamedTuple):
    """What one step computes on."""

    inputs: tuple[Tensor, ...]
    """Arguments of the network; for text the tokens (N, L) and lengths (N,)."""
    labels: Tensor
    """Class indices int64 (N,)."""
    rows: Tensor
    """Numbers int64 (N,) that the user knows the rows by."""
    weights: Tensor | None = None
    """Factors float32 (N,) of the loss of each row; all 1 when None."""
    share: Share | None = None
    """What this is of a batch that several workers share; None without others. A worker that has no row of it is given
    one, with factor 0, so that all workers do the same steps."""


@dataclass(frozen=True)
class TextRows(Dataset[Batch]):
    """Encoded texts of one part and their classes; indexed with a list of positions, it gives a padded `Batch`."""

    tokens: Sequence[Ids]
    """N arrays of at least one id."""
    labels: npt.NDArray[np.int64]
    """(N,) class indices."""
    numbers: npt.NDArray[np.int64]
    """(N,) row numbers for messages."""
    weights: npt.NDArray[np.float32] | None = None
    """(N,) factors of the loss of each row; all 1 when None."""
    versions: int = 1
    """V: the N texts are V versions of N / V rows, first those of all rows as they are, then those of all rows changed
    in one way, and so on."""

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.labels) == len(self.numbers):
            sizes = f"{len(self.tokens)} texts, {len(self.labels)} labels and {len(self.numbers)} row numbers"
            raise TrainingError(f"expected as many labels and row numbers as texts, got {sizes}")
        if not len(self.tokens):
            raise TrainingError("expected rows to make batches of, got none; check the parts of the split")
        if self.weights is not None and len(self.weights) != len(self.tokens):
            raise TrainingError(f"expected a weight for each of {len(self.tokens)} texts, got {len(self.weights)}")
        if len(self.tokens) % self.versions:
            raise TrainingError(f"expected {self.versions} versions of each row, got {len(self.tokens)} texts in all")

    def __len__(self) -> int:
        return len(self.tokens)

    def digest(self) -> str:
        """Sha256 of all that a training on these rows reads."""
        digest = hashlib.sha256(np.array([len(tokens) for tokens in self.tokens]).tobytes())
        for values in (*self.tokens, self.labels, *([] if self.weights is None else [self.weights])):
            digest.update(np.ascontiguousarray(values).tobytes())
        return f"{digest.hexdigest()} {self.versions} {self.weights is None}"

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        inputs = pad_rows([self.tokens[row] for row in rows])
        weights = None if self.weights is None else torch.from_numpy(self.weights[rows])
        return Batch(inputs, torch.from_numpy(self.labels[rows]), torch.from_numpy(self.numbers[rows]), weights)


@dataclass(frozen=True)
class SharedRows(Dataset[Batch]):
    """The rows as one worker of a gang sees them: indexed with the positions of a batch, it gives its share of it.

    Of positions that are sorted by length, each worker has some of all lengths.
    """

    all: TextRows
    rank: int
    size: int
    """Workers."""
    class_weights: Tensor | None = None
    """(C,) factors of the loss of each class; all 1 when None."""

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        own = own_positions(positions, rank=self.rank, size=self.size)
        factor = self._weight(own) / self._weight(positions) if own else 0.0
        return self.all[own or positions[:1]]._replace(share=Share(factor, len(positions)))

    def _weight(self, positions: Sequence[int]) -> float:
        """What the mean loss of these rows is divided by."""
        weights = np.ones(len(positions)) if self.all.weights is None else self.all.weights[positions].astype(float)
        if self.class_weights is not None:
            weights = weights * self.class_weights.numpy()[self.all.labels[positions]]
        return float(weights.sum())


def own_positions(positions: Sequence[int], *, rank: int, size: int) -> Sequence[int]:
    """The positions of a batch that a worker has; none where there are fewer than workers.

    >>> own_positions([7, 3, 9], rank=1, size=2)
    [3]
    """
    return positions[rank::size]


def with_changed_versions(
    rows: TextRows, texts: Sequence[str], *, tokenizer: Tokenizer, kinds: Sequence[Perturbation], seed: int
) -> TextRows:
    """Add changed versions of each text, of which `training_batches` chooses one for some rows in each epoch.

    The versions are made once, because a change and its encoding cost more than a step of a small network. A tokenizer
    of words has learnt the unchanged texts and reads most misspelt words as unknown; sub-words gain more from `typos`.

    Args:
        rows: N encoded texts of the training part.
        texts: (N,) the same texts.
        tokenizer: what encoded them.
        kinds: K ways to change a text; see `dlcycle.data.perturb.perturb_texts`.
        seed: decides the changes.

    Returns:
        The rows with the smallest multiple of K versions that is at least `CHANGED_VERSIONS`, and the unchanged ones.
    """
    changed = -(-CHANGED_VERSIONS // len(kinds)) * len(kinds)
    tokens = list(rows.tokens)
    for version in range(changed):
        kind = kinds[version % len(kinds)]
        tokens += tokenizer.encode(perturb_texts(texts, kind=kind, seed=seed * changed + version))
    return replace(
        rows,
        tokens=tokens,
        labels=np.tile(rows.labels, changed + 1),
        numbers=np.tile(rows.numbers, changed + 1),
        weights=None if rows.weights is None else np.tile(rows.weights, changed + 1),
        versions=changed + 1,
    )


class BucketBatchSampler(Sampler[list[int]]):
    """Batches of shuffled positions, each row once an epoch, of similar lengths when asked.

    The order is a function of the seed and the epoch alone and draws nothing from the global random numbers, so a
    training that was cut can go on at any batch with `set_epoch(epoch, skip=batches_done)`. Of rows with several
    versions, each row is there once an epoch too, in one of its versions.

    Example:
        >>> sampler = BucketBatchSampler([3, 50, 4, 60, 2], batch_size=2, seed=0)
        >>> sorted(sorted(batch) for batch in sampler)
        [[0, 4], [1, 2], [3]]
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch_size: int,
        seed: int,
        bucket: bool = True,
        versions: int = 1,
        changed_share: float = 0.0,
    ) -> None:
        """Sample positions 0..N-1.

        Args:
            lengths: (N,) tokens of each version of each row.
            batch_size: rows of a batch; the last one made may be smaller.
            seed: start of the random numbers.
            bucket: batch rows of similar length; otherwise lengths are ignored.
            versions: V: position p is a version of row p mod N / V, its unchanged one below N / V.
            changed_share: chance of a row to be read in one of its changed versions, drawn anew in each epoch.
        """
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.bucket = bucket
        self.rows, self.versions, self.changed_share = len(self.lengths) // versions, versions, changed_share
        self.epoch = self.skip = 0

    def set_epoch(self, epoch: int, *, skip: int | None = None) -> None:
        """Choose the epoch (from 0) whose batches come next, without its first `skip` batches; Lightning calls it.

        Lightning knows no `skip`: the epoch that is chosen already keeps its own then, and another one begins at 0.
        """
        if skip is None:
            skip = self.skip if epoch == self.epoch else 0
        self.epoch, self.skip = epoch, skip

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size) - self.skip

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.rows)
        if self.versions > 1:
            order += self.rows * self._chosen_versions()[order]
        if self.bucket:
            # Lengths are blurred by a tenth, so that a row meets other rows in each epoch.
            blurred = self.lengths[order] * generator.uniform(0.9, 1.1, len(order))
            order = order[np.argsort(blurred, kind="stable")]
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        for position in generator.permutation(len(batches))[self.skip :]:
            yield batches[position].tolist()

    def _chosen_versions(self) -> npt.NDArray[np.int64]:
        # Numbers of their own, so that the rows come in the order in which they come without changes.
        generator = np.random.default_rng([self.seed, self.epoch, 1])
        changed = generator.random(self.rows) < self.changed_share
        return np.where(changed, generator.integers(1, self.versions, self.rows), 0)


def training_batches(
    rows: TextRows, *, batch_size: int, seed: int, bucket: bool = True, changed_share: float = 0.0
) -> DataLoader[Batch]:
    """Shuffled batches of the training part, made in this process because the texts are in memory already."""
    lengths = [len(tokens) for tokens in rows.tokens]
    sampler = BucketBatchSampler(
        lengths,
        batch_size=batch_size,
        seed=seed,
        bucket=bucket,
        versions=rows.versions,
        changed_share=changed_share,
    )
    return DataLoader(rows, sampler=sampler, batch_size=None)


def validation_batches(rows: TextRows, *, batch_size: int) -> DataLoader[Batch]:
    """Batches of a part in a fixed order, short texts first."""
    order = np.argsort([len(tokens) for tokens in rows.tokens], kind="stable")
    batches = [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]
    return DataLoader(rows, sampler=batches, batch_size=None)


def shared_batches(
    batches: DataLoader[Batch], *, rank: int, size: int, class_weights: Tensor | None = None
) -> DataLoader[Batch]:
    """The same batches as one of `size` workers sees them; see `SharedRows`."""
    rows = batches.dataset
    assert isinstance(rows, TextRows)
    return DataLoader(SharedRows(rows, rank, size, class_weights), sampler=batches.sampler, batch_size=None)


def computing_orders(batches: DataLoader[Batch], *, workers: int) -> list[npt.NDArray[np.int64]]:
    """For each worker, the positions of all the rows that it has, in the order in which they come."""
    shares = [[own_positions(batch, rank=rank, size=workers) for batch in batches.sampler] for rank in range(workers)]
    return [np.array([position for share in own for position in share], dtype=np.int64) for own in shares]
