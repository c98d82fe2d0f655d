import numpy as np
import pytest
import scipy.stats
import torch

from dlcycle.config import ModelSpec
from dlcycle.insight.attribution.ranks import rank_correlation, top_overlap
from dlcycle.insight.attribution.redraw import shuffled_weights
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
