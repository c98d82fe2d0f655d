import itertools
import random
from dataclasses import replace

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


@given(
    rows=st.integers(1, 120),
    versions=st.integers(1, 6),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 50),
    bucket=st.booleans(),
)
@settings(deadline=None)
def test_of_each_row_one_version_is_there_an_epoch(
    rows: int, versions: int, share: float, seed: int, epoch: int, bucket: bool
) -> None:
    lengths = np.random.default_rng(seed).integers(1, 300, rows * versions).tolist()
    options = {"batch_size": 7, "seed": seed, "bucket": bucket, "versions": versions, "changed_share": share}
    sampler = BucketBatchSampler(lengths, **options)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-rows // 7)
    assert sorted(place % rows for batch in batches for place in batch) == list(range(rows))
    sampler.set_epoch(epoch, skip=len(batches) // 2)
    assert list(sampler) == batches[len(batches) // 2 :]
    unchanged = BucketBatchSampler(lengths[:rows], batch_size=7, seed=seed, bucket=bucket)
    unchanged.set_epoch(epoch)
    if share == 0 or versions == 1:
        assert batches == list(unchanged)
    elif not bucket:
        assert [[place % rows for place in batch] for batch in batches] == list(unchanged), "the order stays"


def test_versions_are_drawn_anew_in_each_epoch_in_the_share_asked_for() -> None:
    sampler = BucketBatchSampler([5] * 5000, batch_size=10, seed=0, versions=5, changed_share=0.3)
    drawn = []
    for epoch in range(20):
        sampler.set_epoch(epoch)
        places = np.concatenate(list(sampler))
        versions = np.empty(1000, dtype=int)
        versions[places % 1000] = places // 1000
        drawn.append(versions)
    table = np.array(drawn)
    # 20,000 draws: 4 standard deviations of a share of 0.3 are 0.013, those of 0.075 are 0.0075.
    assert abs((table > 0).mean() - 0.3) < 0.013
    assert all(abs((table == version).mean() - 0.075) < 0.0075 for version in range(1, 5))
    # Two epochs that drew alone agree in 0.7 squared + 4 * 0.075 squared of the rows.
    assert np.mean(table[1:] == table[:-1]) == pytest.approx(0.5125, abs=0.02)
    assert (table > 0).any(0).mean() > 0.99, "each row is read changed in some epoch"


def test_the_lengths_that_are_batched_are_those_of_the_versions_read() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 300, 4000)
    sampler = BucketBatchSampler(lengths.tolist(), batch_size=32, seed=0, versions=4, changed_share=0.8)
    batches = list(sampler)
    places = list(itertools.chain(*batches))
    assert sum(len(batch) * int(lengths[batch].max()) for batch in batches) < 1.25 * lengths[places].sum()
    first = lengths[[place % 1000 for place in places]]
    assert np.corrcoef(first, lengths[places])[0, 1] < 0.5, "control: lengths of versions differ here"


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


def test_weights_come_with_their_rows() -> None:
    rows = make_rows(50)
    assert all(batch.weights is None for batch in training_batches(rows, batch_size=8, seed=0))
    weighted = replace(rows, weights=np.linspace(0.1, 2, 50, dtype=np.float32))
    for batch in training_batches(weighted, batch_size=8, seed=0):
        assert np.array_equal(batch.weights, weighted.weights[batch.rows - 1000])


def test_parts_that_do_not_fit_or_are_empty_are_errors() -> None:
    with pytest.raises(TrainingError, match="a weight for each of 100 texts, got 3"):
        replace(make_rows(100), weights=np.ones(3, dtype=np.float32))
    with pytest.raises(TrainingError, match="3 versions of each row, got 100 texts"):
        replace(make_rows(100), versions=3)
    with pytest.raises(TrainingError, match="2 texts, 1 labels and 2 row numbers"):
        TextRows([np.array([1])] * 2, np.array([0]), np.arange(2))
    with pytest.raises(TrainingError, match="got none"):
        TextRows([], np.array([], dtype=np.int64), np.arange(0))
