import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.insight.fairness.rates import (
    GroupCells,
    _outcomes,
    _shuffle,
    comparable_rates,
    distinct_kinds,
    fairlearn_rates,
    rates_of,
    shuffled_gaps,
)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rates_are_those_of_fairlearn_also_where_there_is_none(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, predicted, groups = (generator.integers(size, size=60) for size in (4, 4, 3))
    truth[groups == 0] = np.minimum(truth[groups == 0], 1)  # a group without rows of the class 2
    cells, counts = distinct_kinds(groups, truth, [(predicted, truth == predicted)], groups=3, classes=3)
    expected, own = fairlearn_rates(cells[0], counts), rates_of(cells[0].sums(counts[None, :]))
    assert own.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(own[name], values, rtol=1e-12)
    assert np.isnan(own["true_positive"][0, 0]).tolist() == [False, False, True]


def test_shuffles_are_those_of_the_rows() -> None:
    """Tables drawn with given sums against rows shuffled one by one, within each true class for equalised odds."""
    generator = np.random.default_rng(3)
    truth, groups = generator.integers(3, size=240), generator.integers(3, size=240)
    wrong = generator.random(240) < np.where(groups == 0, 0.35, 0.15)
    predicted = np.where(wrong, (truth + generator.integers(1, 3, size=240)) % 3, truth)
    cells = GroupCells(groups, truth, predicted, truth == predicted, 3, 3)
    comparable = comparable_rates(cells.sums(np.ones((1, 240), dtype=np.int64)), least=10)
    drawn = shuffled_gaps(groups, truth, predicted, truth == predicted, np.arange(3), comparable, shuffles=4000, seed=0)
    generator, accuracy, odds = np.random.default_rng(1), [], []
    for _ in range(2000):
        shuffled = generator.permutation(groups)
        rates = [(truth == predicted)[shuffled == group].mean() for group in range(3)]
        accuracy.append(max(rates) - min(rates))
        for each in range(3):
            shuffled[truth == each] = generator.permutation(groups[truth == each])
        spreads = []
        for rows in (truth == 1, truth != 1):
            rates = [(predicted == 1)[rows & (shuffled == group)].mean() for group in range(3)]
            spreads.append(max(rates) - min(rates))
        odds.append(max(spreads))
    names_of = [(each.name, each.place) for each in comparable.gaps]
    for key, reference in ((("accuracy", None), accuracy), (("equalised_odds", 1), odds)):
        column = drawn[:, names_of.index(key)]  # type: ignore[arg-type]
        assert column.mean() == pytest.approx(np.mean(reference), rel=0.05)  # 3 standard errors are 3 %
        assert np.quantile(column, 0.95) == pytest.approx(np.quantile(reference, 0.95), rel=0.06)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_shuffle_keeps_the_rows_of_each_group_and_of_each_outcome(rows: list[tuple[int, int]]) -> None:
    groups, outcome = (np.array(column) for column in zip(*rows, strict=True))
    values, tables = _shuffle(_outcomes(groups, outcome), 5, 4, np.random.default_rng(0))
    assert tables.min() >= 0
    assert (tables.sum(axis=2) == np.bincount(groups, minlength=5)).all()
    assert (tables.sum(axis=1) == np.bincount(outcome)[values]).all()
