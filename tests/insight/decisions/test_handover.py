import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.insight.decisions.handover import choose_threshold

Floats = npt.NDArray[np.float64]


def cost_at(threshold: float, expected: Floats, prices: Floats, manual: float, capacity: float | None) -> float:
    """Mean cost of rows without ties, by the definition."""
    order = sorted(range(len(expected)), key=lambda row: -expected[row])
    time = len(expected) if capacity is None else math.floor(capacity * len(expected) + 1e-9)
    people = [row for row in order if expected[row] > threshold][:time]
    return float(sum(manual if row in people else prices[row] for row in range(len(expected)))) / len(expected)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from([0.0, 1.0, 5.0])),
        min_size=1,
        max_size=12,
        unique_by=lambda row: row[0],
    ),
    st.sampled_from([0.0, 0.1, 0.5, 2.0, 9.0]),
    st.sampled_from([None, 0.0, 0.2, 0.5, 1.0]),
)
def test_no_other_threshold_is_cheaper(made: list[tuple[int, float]], manual: float, capacity: float | None) -> None:
    expected, prices = (np.array(column, dtype=np.float64) for column in zip(*made, strict=True))
    expected /= 100
    chosen = choose_threshold(expected, prices, manual=manual, capacity=capacity)
    assert math.isfinite(chosen)
    least = min(cost_at(each, expected, prices, manual, capacity) for each in [-1.0, manual, *expected])
    assert cost_at(chosen, expected, prices, manual, capacity) == pytest.approx(least, abs=1e-9)
