import numpy as np
import pytest
import scipy.stats
import torch

from dlcycle.config import ModelSpec
from dlcycle.insight.attribution.ranks import FEW_ROWS, LEAST_ROWS, mean_of_rows, rank_correlation, top_overlap
from dlcycle.insight.attribution.redraw import shuffled_weights
from dlcycle.insight.bootstrap import measure, resampled_means, undefined
from dlcycle.model.text import NetworkSpec, build_text_model


def test_rank_correlation_agrees_with_scipy_and_knows_ties() -> None:
    drawn = np.random.default_rng(0)
    for _ in range(20):
        first, second = drawn.normal(size=12).round(1), drawn.normal(size=12).round(1)
        assert rank_correlation(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) is None
    # Equal but for rounding is equal.
    assert rank_correlation([1.0, 1.0 + 1e-9, 1.0, 2.0], [1, 1, 1, 2]) == pytest.approx(1.0)
    assert top_overlap([3, 2, 1, 0], [0, 1, 2, 3]) == pytest.approx(2 / 3)


def test_the_mean_of_few_rows_has_students_interval_and_of_fewer_none() -> None:
    drawn = np.random.default_rng(0)
    for rows in (LEAST_ROWS, FEW_ROWS):
        values = drawn.normal(size=rows)
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval()
        found = mean_of_rows(values, seed=0, reason="few")
        assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    more = drawn.normal(size=FEW_ROWS + 1)
    assert mean_of_rows(more, seed=3, reason="few") == measure(
        more.mean(), resampled_means(more, seed=3)[:, 0], n=FEW_ROWS + 1
    )
    assert mean_of_rows(more[: LEAST_ROWS - 1], seed=0, reason="few") == undefined("few", n=LEAST_ROWS - 1)
    assert mean_of_rows([0.25] * LEAST_ROWS, seed=0, reason="few")["high"] == 0.25


@pytest.mark.parametrize("rows", [10, 20, 50])
def test_a_mean_of_nothing_lies_above_zero_by_chance_alone(rows: int) -> None:
    # 2.5 % are meant. Of 1,000 draws 5 % or more would be so by chance in one case of 10,000 at 2.9 %.
    drawn = np.random.default_rng(0)
    above = sum(mean_of_rows(drawn.normal(size=rows), seed=seed, reason="")["low"] > 0 for seed in range(1000))
    assert 5 <= above <= 50


def test_shuffled_weights_keep_the_numbers_the_buffers_and_the_zero_of_padding() -> None:
    spec = ModelSpec(architecture="bag", ngrams=1)
    network = build_text_model(NetworkSpec(spec, tokens=90, classes=3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    shuffled = shuffled_weights(network, seed=0)
    assert network.training and not shuffled.training
    assert torch.equal(shuffled.token_weights, network.token_weights)
    assert not shuffled.embedding.weight[0].any()
    for name, value in network.named_parameters():
        other = dict(shuffled.named_parameters())[name]
        assert torch.equal(value, before[name])
        assert not torch.equal(other, value)
        if not name.startswith("embedding"):
            assert torch.equal(other.flatten().sort().values, value.flatten().sort().values)
    again = shuffled_weights(network, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(shuffled.parameters(), again.parameters(), strict=True))


def test_an_interval_ends_where_the_values_end() -> None:
    overlaps = [1.0] * 9 + [2 / 3]
    assert mean_of_rows(overlaps, seed=0, reason="", within=(0.0, 1.0))["high"] == 1.0
    assert mean_of_rows(overlaps, seed=0, reason="", within=(0.0, 2.0))["high"] > 1.0
