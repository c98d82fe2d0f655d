import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from dlcycle.insight.before import compare_with_before
from dlcycle.insight.metrics import Decisions


def decided(truth: np.ndarray, predicted: np.ndarray) -> Decisions:
    sure = np.full(len(truth), 0.9)
    return Decisions(truth, predicted, sure, sure)


def test_the_change_is_paired() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(3, size=1000)
    then = np.where(generator.random(1000) < 0.3, (truth + 1) % 3, truth)
    now = np.where(generator.random(1000) < 0.2, truth, then)
    found = compare_with_before(decided(truth, now), decided(truth, then), {"run": "TrainFlow/1"})
    assert found["run"] == "TrainFlow/1"
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(truth, then))
    change = found["change"]
    assert change["value"] == pytest.approx(accuracy_score(truth, now) - accuracy_score(truth, then))
    assert 0 < change["low"] < change["value"] < change["high"]
    # Most rows are decided alike, so the change is surer than the accuracy of either model.
    assert change["high"] - change["low"] < 0.7 * (found["accuracy"]["high"] - found["accuracy"]["low"])
