import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.errors import TrainingError
from dlcycle.train.batches import BucketBatchSampler, TextRows, training_batches, validation_batches


def make_rows(count: int, *, seed: int = 0) -> TextRows:
    generator = np.random.default_rng(seed)
    tokens = [generator.integers(1, 9, generator.integers(1, 60)) for _ in range(count)]
    return TextRows(tokens, generator.integers(0, 3, count), np.arange(count) + 1000)


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=200),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 50),
    bucket=st.booleans(),
)
@settings(deadline=None)
def test_each_epoch_has_each_row_once(lengths: list[int], batch_size: int, seed: int, epoch: int, bucket: bool) -> None:
    sampler = BucketBatchSampler(lengths, batch_size=batch_size, seed=seed, bucket=bucket)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert sum(len(batch) < batch_size for batch in batches) <= 1


@pytest.mark.parametrize("bucket", [True, False])
def test_the_order_is_a_function_of_seed_and_epoch_alone(bucket: bool) -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 500).tolist()

    def batches(seed: int, epoch: int) -> list[list[int]]:
        sampler = BucketBatchSampler(lengths, batch_size=32, seed=seed, bucket=bucket)
        sampler.set_epoch(epoch)
        return list(sampler)

    first = batches(1, 3)
    np.random.seed(5)
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert batches(1, 3) == first
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]
    assert batches(2, 3) != first
    assert batches(1, 4) != first
    assert sorted(map(sorted, batches(1, 4))) != sorted(map(sorted, first)), "rows meet other rows in each epoch"


def test_skipped_batches_are_the_first_ones() -> None:
    sampler = BucketBatchSampler(list(range(1, 101)), batch_size=7, seed=0)
    sampler.set_epoch(2)
    whole = list(sampler)
    for skip in range(len(whole) + 1):
        sampler.set_epoch(2, skip=skip)
        assert len(sampler) == len(whole) - skip
        assert list(sampler) == whole[skip:]


def test_buckets_save_most_of_the_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 2000)

    def padded(bucket: bool) -> int:
        sampler = BucketBatchSampler(lengths.tolist(), batch_size=32, seed=0, bucket=bucket)
        return sum(len(batch) * int(lengths[batch].max()) for batch in sampler)

    assert padded(True) < 1.25 * lengths.sum()
    assert padded(False) > 1.7 * lengths.sum(), "control"


def test_long_and_short_batches_come_mixed() -> None:
    lengths = np.arange(1, 1001)
    means = [lengths[batch].mean() for batch in BucketBatchSampler(lengths.tolist(), batch_size=10, seed=0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_batches_hold_the_rows_they_name() -> None:
    rows = make_rows(100)
    seen = []
    for loader in (training_batches(rows, batch_size=8, seed=0), validation_batches(rows, batch_size=8)):
        for batch in loader:
            tokens, lengths = batch.inputs
            assert tokens.shape == (len(batch.labels), lengths.max())
            for line, length, label, number in zip(tokens, lengths, batch.labels, batch.rows, strict=True):
                assert np.array_equal(line[:length], rows.tokens[number - 1000])
                assert not line[length:].any()
                assert label == rows.labels[number - 1000]
            seen += batch.rows.tolist()
    assert sorted(seen) == sorted([*range(1000, 1100)] * 2)


def test_parts_that_do_not_fit_or_are_empty_are_errors() -> None:
    with pytest.raises(TrainingError, match="2 texts, 1 labels and 2 row numbers"):
        TextRows([np.array([1])] * 2, np.array([0]), np.arange(2))
    with pytest.raises(TrainingError, match="got none"):
        TextRows([], np.array([], dtype=np.int64), np.arange(0))
