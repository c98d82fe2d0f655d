import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.insight.bootstrap import (
    distinct_cells,
    measure,
    resampled_counts,
    resampled_means,
    share,
    share_of,
    undefined,
    wilson,
)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 1000))
def test_a_resample_holds_as_many_rows_as_the_data(counts: list[int], seed: int) -> None:
    table = np.concatenate(list(resampled_counts(np.array(counts), seed=seed, resamples=20)))
    assert table.shape == (20, len(counts))
    assert (table.sum(axis=1) == sum(counts)).all()


@pytest.mark.parametrize("counts", [[900, 60, 40], [1] * 300])  # a multinomial draw, and a draw of row numbers
def test_both_ways_to_draw_have_the_moments_of_a_multinomial(counts: list[int]) -> None:
    table = np.concatenate(list(resampled_counts(np.array(counts), seed=3, resamples=4000)))
    rows, expected = sum(counts), np.array(counts)
    spread = expected * (1 - expected / rows)
    # The mean of 4,000 draws lies within 5 standard errors; a variance within 15 %, 6 of its standard errors.
    assert (np.abs(table.mean(axis=0) - expected) < 5 * np.sqrt(spread / 4000)).all()
    assert table.var(axis=0) == pytest.approx(spread, rel=0.15)


def test_blocks_are_bounded_and_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resampled_counts(np.array([70, 30]), seed=1, resamples=50)))
    monkeypatch.setattr("dlcycle.insight.bootstrap._BLOCK", 8)
    blocks = list(resampled_counts(np.array([70, 30]), seed=1, resamples=50))
    assert max(block.size for block in blocks) <= 8
    assert np.array_equal(np.concatenate(blocks), whole)


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    values = np.random.default_rng(0).random(200)
    first = resampled_means(values, seed=0, resamples=30)
    assert np.array_equal(first, resampled_means(values[::-1], seed=0, resamples=30))
    assert not np.array_equal(first, resampled_means(values, seed=1, resamples=30))


def test_distinct_cells_count_every_row() -> None:
    cells, counts = distinct_cells([1, 0, 1, 1], [2, 5, 2, 3])
    assert cells.tolist() == [[0, 5], [1, 2], [1, 3]]
    assert counts.tolist() == [1, 2, 1]


def coverage(share_true: float, rows: int, copies: int, simulations: int = 600) -> float:
    """How often the interval of a share holds the true one, if every row is written down `copies` times."""
    generator, hits = np.random.default_rng(11), 0
    for seed in range(simulations):
        right = np.repeat(generator.random(rows) < share_true, copies)
        replicates: npt.NDArray[np.float64] = resampled_means(right, seed=seed, resamples=400)[:, 0]
        result = share(int(right.sum()), len(right), replicates)
        hits += result["low"] <= share_true <= result["high"]
    return hits / simulations


@pytest.mark.parametrize(("share_true", "rows"), [(0.85, 300), (0.97, 250), (0.99, 150)])
def test_intervals_of_a_share_hold_the_truth_in_95_percent_of_samples(share_true: float, rows: int) -> None:
    # 600 simulations of 95 % have a standard deviation of 0.9 points.
    assert coverage(share_true, rows, copies=1) >= 0.925


def test_the_coverage_test_sees_intervals_that_are_too_narrow() -> None:
    assert coverage(0.85, 300, copies=3) < 0.85


def test_wilson_agrees_with_scipy_and_stays_inside() -> None:
    from scipy.stats import binomtest

    for successes, total in ((0, 7), (1, 9), (50, 60), (7, 7)):
        expected = binomtest(successes, total).proportion_ci(method="wilson")
        assert wilson(successes, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_perfect_share_is_not_certain() -> None:
    assert share(30, 30, np.ones(100)) == {"value": 1.0, "low": pytest.approx(0.8865, abs=1e-4), "high": 1.0, "n": 30}


def test_the_share_of_rows_is_that_of_their_resampled_means_and_of_few_rows_wilsons() -> None:
    correct = np.random.default_rng(0).random(300) < 0.8
    expected = share(int(correct.sum()), 300, resampled_means(correct, seed=7)[:, 0])
    assert share_of(correct, seed=7) == expected
    assert share_of(correct[::-1].tolist(), seed=7) == expected
    assert share_of([True] * 30 + [False] * 5, seed=0) == share(30, 35)
    assert share_of([False], seed=0)["value"] == 0.0


def test_results_are_plain_data_and_the_interval_holds_the_value() -> None:
    result = measure(np.float64(0.9), np.linspace(0.1, 0.2, 50), n=np.int64(3))
    assert result["low"] <= result["value"] <= result["high"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert undefined("no rows", n=0) == {"value": None, "low": None, "high": None, "n": 0, "reason": "no rows"}
