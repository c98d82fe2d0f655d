import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.insight.decisions.automation import CURVE_POINTS, automation, decided_automatically
from dlcycle.insight.metrics import Decisions


def sure(confidence: list[float], correct: list[bool]) -> Decisions:
    right = np.array(correct)
    values = np.array(confidence)
    return Decisions(np.zeros(len(right), dtype=np.int64), (~right).astype(np.int64), values, values)


def calibrated(rows: int, seed: int) -> Decisions:
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.5, 1, rows)
    return sure(confidence.tolist(), (generator.random(rows) < confidence).tolist())


def test_the_threshold_is_the_lowest_that_reaches_the_precision_on_validation() -> None:
    validation = sure([0.9, 0.8, 0.7, 0.6, 0.5], [True, True, False, True, False])
    result = automation(validation, validation, required_precision=0.75, seed=0)
    assert result["threshold"] == 0.6
    assert result["share"]["value"] == 0.8
    assert result["precision"]["value"] == 0.75
    assert result["validation"] == {"share": 0.8, "precision": 0.75, "n": 5}


def test_rows_of_equal_probability_are_taken_together() -> None:
    tied = sure([0.9, 0.9, 0.4], [True, False, False])
    assert automation(tied, tied, required_precision=0.9, seed=0)["threshold"] is None
    assert automation(tied, tied, required_precision=0.5, seed=0)["threshold"] == 0.9


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=1), st.floats(0.05, 1))
def test_the_threshold_agrees_with_trying_all(rows: list[tuple[float, bool]], required: float) -> None:
    validation = sure([row[0] for row in rows], [row[1] for row in rows])
    found = automation(validation, validation, required_precision=required, seed=0, resamples=5)["threshold"]
    reached = [
        threshold
        for threshold in np.unique(validation.confidence)
        if validation.correct[validation.confidence >= threshold].mean() >= required
    ]
    assert found == (min(reached) if reached else None)


def test_it_says_when_no_threshold_reaches_the_precision() -> None:
    wrong = sure([0.9, 0.8], [False, True])
    result = automation(wrong, wrong, required_precision=0.99, seed=0)
    assert result["threshold"] is None
    assert result["share"]["value"] == result["share"]["high"] == 0.0
    assert result["precision"]["value"] is None
    assert "No probability threshold reaches 99.00% precision" in result["message"]
    json.dumps(result, allow_nan=False)


def test_no_test_row_reaches_the_threshold() -> None:
    result = automation(sure([0.6], [True]), sure([0.9], [True]), required_precision=0.9, seed=0)
    assert result["share"]["value"] == 0.0
    assert result["share"]["high"] > 0.5  # one row proves little
    assert result["precision"]["reason"]


def test_the_test_part_does_not_choose_the_threshold() -> None:
    validation = calibrated(2000, seed=1)
    good = automation(calibrated(2000, seed=2), validation, required_precision=0.9, seed=0)
    bad_part = sure(validation.confidence.tolist(), [False] * 2000)
    bad = automation(bad_part, validation, required_precision=0.9, seed=0)
    assert good["threshold"] == bad["threshold"]
    assert good["precision"]["low"] < 0.9 < good["precision"]["high"]
    assert good["share"]["value"] == pytest.approx(0.4, abs=0.06)  # precision (t + 1) / 2 is 0.9 at t = 0.8
    assert "below the required" in bad["message"]


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (1000, "at least the required 90.00%."),
        (900, "90.00% is neither proven nor ruled out."),
        (800, "below the required"),
    ],
)
def test_the_message_claims_no_more_than_the_interval(right: int, words: str) -> None:
    test = sure([0.9] * 1000, [True] * right + [False] * (1000 - right))
    result = automation(test, sure([0.9], [True]), required_precision=0.9, seed=0)
    assert words in result["message"]


def test_the_curve_is_short_and_ends_with_all_rows() -> None:
    part = calibrated(3000, seed=3)
    curve = automation(part, part, required_precision=0.9, seed=0)["curve"]
    assert len(curve) == CURVE_POINTS
    assert curve[-1]["share"] == 1.0
    assert curve[-1]["precision"] == pytest.approx(part.correct.mean())
    assert [point["share"] for point in curve] == sorted(point["share"] for point in curve)
    assert not decided_automatically(part, None).any()
