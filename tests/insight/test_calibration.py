import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from dlcycle.insight import calibration
from dlcycle.insight.calibration import (
    expected_calibration_error,
    fit_temperature,
    measured_calibration_error,
    negative_log_likelihood,
    reliability_curve,
)


def drawn_logits(rows: int, classes: int, *, temperature: float, seed: int = 0) -> tuple[npt.NDArray, npt.NDArray]:
    """Classes drawn from a softmax, and the logits of that softmax times the temperature."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal((rows, classes))
    draws = generator.gumbel(size=logits.shape)
    return (logits + draws).argmax(axis=1), logits * temperature


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_logits_is_found(temperature: float) -> None:
    truth, logits = drawn_logits(8000, 5, temperature=temperature)
    fit = fit_temperature(truth, logits)
    assert fit["value"] == pytest.approx(temperature, rel=0.05)  # three standard errors at 8,000 rows
    assert not fit["bounded"]
    assert fit["nll_after"] <= fit["nll_before"]


def test_the_fit_is_the_minimum_that_torch_finds() -> None:
    truth, logits = drawn_logits(500, 3, temperature=2.2, seed=4)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_t], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.tensor(logits) / log_t.exp(), torch.tensor(truth))
        loss.backward()
        return loss

    optimiser.step(closure)
    assert fit_temperature(truth, logits)["value"] == pytest.approx(log_t.exp().item(), rel=1e-4)


def test_a_perfect_validation_part_gives_a_bounded_temperature_and_says_so() -> None:
    truth = np.arange(40) % 4
    fit = fit_temperature(truth, np.eye(4)[truth] * 3.0)
    assert fit["bounded"]
    assert "decided rightly" in fit["message"]
    confidence = scipy.special.softmax(np.eye(4)[0] * 3.0 / fit["value"]).max()
    # One imagined row among 41, right by chance in one of four: three quarters of a mistake.
    assert confidence == pytest.approx(1 - 0.75 / 41, abs=1e-4)


def test_a_model_that_is_always_wrong_ends_at_the_bound() -> None:
    truth = np.arange(40) % 2
    fit = fit_temperature(truth, np.eye(2)[1 - truth] * 5.0)
    assert fit["bounded"]
    assert fit["value"] == pytest.approx(calibration.HOTTEST, rel=0.01)
    assert "bound of the search" in fit["message"]


def test_logits_without_information_and_no_rows_leave_the_temperature_at_1() -> None:
    assert fit_temperature(np.array([0, 1, 1]), np.zeros((3, 2)))["value"] == 1.0
    assert fit_temperature(np.zeros(0, dtype=np.int64), np.zeros((0, 2)))["value"] == 1.0


def test_likelihood_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, logits = drawn_logits(50, 3, temperature=1.0)
    expected = -np.log(scipy.special.softmax(logits / 1.7, axis=1))[np.arange(50), truth].mean()
    assert negative_log_likelihood(truth, logits, temperature=1.7) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(calibration, "_SCORES", 7)
    assert negative_log_likelihood(truth, logits, temperature=1.7) == pytest.approx(expected, rel=1e-12)


def test_huge_logits_do_not_overflow() -> None:
    logits = np.array([[1e6, -1e6]])
    assert negative_log_likelihood(np.array([0]), logits, temperature=0.01) == 0.0
    assert negative_log_likelihood(np.array([1]), logits, temperature=0.01) == pytest.approx(2e8)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(2, 6), st.integers(0, 10**6))
def test_calibration_error_agrees_with_torchmetrics(rows: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = scipy.special.softmax(3 * generator.standard_normal((rows, classes)), axis=1)
    truth = generator.integers(classes, size=rows)
    expected = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(truth), classes, n_bins=15)
    ours = expected_calibration_error(probabilities.argmax(1) == truth, probabilities.max(1))
    assert ours == pytest.approx(expected.item(), abs=1e-6)  # the reference sums in 32 bits


def ece_coverage(power: float, rows: int, simulations: int = 150) -> float:
    """How often the interval holds the true error, if a probability p comes true with p ** power."""
    generator = np.random.default_rng(5)

    def draw(size: int) -> npt.NDArray[np.float64]:
        return np.clip(generator.beta(5, 1.2, size), 0.01, 0.999)

    many = draw(1_000_000)
    gaps = np.bincount(calibration._bin(many, 15), weights=many - many**power, minlength=15)
    true, hits = np.abs(gaps).sum() / len(many), 0
    for seed in range(simulations):
        confidence = draw(rows)
        correct = generator.random(rows) < confidence**power
        result = measured_calibration_error(correct, confidence, seed=seed, resamples=200)
        hits += result["low"] <= true <= result["high"]
    return hits / simulations


@pytest.mark.parametrize("power", [1.0, 1.2, 2.0])
def test_intervals_of_the_calibration_error_hold_the_truth(power: float) -> None:
    # Conservative by design; 150 simulations of 95 % have a standard deviation of 1.8 points.
    assert ece_coverage(power, rows=500) >= 0.91


def test_a_plain_percentile_interval_would_miss_a_calibrated_model() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.beta(5, 1.2, 500)
    gaps = confidence - (generator.random(500) < confidence)
    owner = calibration._bin(confidence, 15)
    picks = generator.integers(500, size=(200, 500))
    errors = [np.abs(np.bincount(owner[p], weights=gaps[p], minlength=15)).sum() / 500 for p in picks]
    assert np.quantile(errors, 0.025) > 0


def test_reliability_curve_accounts_for_every_row() -> None:
    confidence = np.array([0.05, 0.52, 0.53, 0.99, 1.0])
    curve = reliability_curve(np.array([False, True, False, True, True]), confidence)
    assert [point["n"] for point in curve] == [1, 2, 2]
    assert curve[1]["stated"] == pytest.approx(0.525)
    assert curve[1]["observed"] == 0.5
    assert all(point["low"] <= point["observed"] <= point["high"] for point in curve)
    weighted = sum(point["n"] * abs(point["stated"] - point["observed"]) for point in curve) / 5
    assert weighted == pytest.approx(expected_calibration_error(np.array([False, True, False, True, True]), confidence))
