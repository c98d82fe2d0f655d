import json

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from dlcycle.insight.compare import compare_models


def outcome(both: int, model: int, baseline: int, neither: int = 0) -> tuple[npt.NDArray[np.int64], ...]:
    """Truth and predictions of two classes with so many rows right by both, by one only, by neither."""
    right = np.array([1] * both + [1] * model + [0] * baseline + [0] * neither)
    baseline_right = np.array([1] * both + [0] * model + [1] * baseline + [0] * neither)
    truth = np.arange(len(right)) % 2
    return truth, np.where(right, truth, 1 - truth), np.where(baseline_right, truth, 1 - truth)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_difference_is_that_of_scikit_learn(metric: str) -> None:
    truth, model, baseline = outcome(200, 30, 12, 20)
    result = compare_models(truth, model, baseline, metric=metric, seed=0)  # type: ignore[arg-type]
    scores = [
        accuracy_score(truth, each) if metric == "accuracy" else f1_score(truth, each, average="macro")
        for each in (model, baseline)
    ]
    assert [result["model"], result["baseline"]] == pytest.approx(scores)
    assert result["difference"]["value"] == pytest.approx(scores[0] - scores[1])
    assert (result["model_only_right"], result["baseline_only_right"], result["disagreements"]) == (30, 12, 42)
    assert result["mcnemar_p"] == pytest.approx(binomtest(30, 42).pvalue)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_verdicts_and_their_words() -> None:
    good = compare_models(*outcome(900, 60, 20, 20), seed=0)
    assert good["verdict"] == "worth_it"
    assert good["sentence"].startswith(
        "Deep learning is worth it here: +4.0 points of accuracy over the simple baseline"
    )
    assert "(95 % interval +" in good["sentence"]
    worse = compare_models(*outcome(900, 20, 60, 20), seed=0)
    assert worse["verdict"] == "worse"
    assert worse["sentence"].startswith("Deep learning does worse here: -4.0 points of accuracy against")
    equal = compare_models(*outcome(900, 40, 38, 22), seed=0)
    assert equal["verdict"] == "no_gain"
    assert equal["sentence"].startswith("No measurable gain over the simple baseline: +0.2 points of accuracy (95 %")
    assert equal["sentence"].endswith("the baseline is the simpler model.")


def test_a_sure_gain_that_is_too_small_is_not_worth_it() -> None:
    result = compare_models(*outcome(900, 60, 20, 20), worthwhile_gain=0.05, seed=0)
    assert result["verdict"] == "no_gain"
    assert "No worthwhile gain" in result["sentence"]
    assert "less than the +5.0 that would pay" in result["sentence"]


def test_a_gain_at_the_boundary_of_what_pays_reads_as_it_is() -> None:
    just = compare_models(*outcome(900, 60, 20, 20), worthwhile_gain=0.04, seed=0)
    assert just["verdict"] == "worth_it"
    assert just["sentence"].endswith("; whether it reaches the +4.0 that would pay is not proven.")
    sure = compare_models(*outcome(900, 60, 20, 20), worthwhile_gain=0.01, seed=0)
    assert "would pay" not in sure["sentence"]
    short = compare_models(*outcome(900, 60, 20, 20), worthwhile_gain=0.0402, seed=0)
    assert short["verdict"] == "no_gain"
    assert "gain over the simple baseline: +4.00 points" in short["sentence"]
    assert "less than the +4.02 that" in short["sentence"]


def test_equal_predictions_are_no_gain() -> None:
    result = compare_models(*outcome(50, 0, 0, 10), seed=0)
    assert result["verdict"] == "no_gain"
    assert result["difference"]["value"] == 0.0
    assert result["mcnemar_p"] == 1.0
    assert "0.0 points" in result["sentence"]
    assert "too few to tell" in result["sentence"]


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize(("one_sided", "verdict"), [(1, "no_gain"), (5, "no_gain"), (12, "worth_it")])
def test_a_handful_of_rows_proves_nothing(metric: str, one_sided: int, verdict: str) -> None:
    # The exact test of five rows, all in favour, has p = 0.0625; a plain bootstrap would call four of them certain.
    result = compare_models(*outcome(1000, one_sided, 0), metric=metric, seed=0)  # type: ignore[arg-type]
    assert result["verdict"] == verdict


def test_verdict_needs_an_interval_above_zero_not_one_that_touches_it() -> None:
    from dlcycle.insight.compare import _sentence, _verdict

    touching = {"value": 0.01, "low": 0.0, "high": 0.02, "n": 100}
    assert _verdict(touching, 50, 0.0) == "no_gain"
    assert "+1.0 points of accuracy (95 % interval 0.0 to +2.0)" in _sentence(touching, "no_gain", 50, 0.0, "accuracy")
    assert _verdict({**touching, "low": -0.02, "high": 0.0}, 50, 0.0) == "no_gain"
    barely = {**touching, "low": 0.00004}
    assert "interval +0.004 to" in _sentence(barely, _verdict(barely, 50, 0.0), 50, 0.0, "accuracy")


def paired_coverage(shared_luck: bool) -> tuple[float, float]:
    """Coverage and mean width of the interval of a gain of 3 points, between models that fail on the same rows."""
    generator, hits, widths = np.random.default_rng(1), 0, []
    for seed in range(200):
        truth = generator.integers(2, size=500)
        hard = generator.random(500)
        other = hard if shared_luck else generator.random(500)
        model, baseline = np.where(hard < 0.10, 1 - truth, truth), np.where(other < 0.13, 1 - truth, truth)
        found = compare_models(truth, model, baseline, metric="accuracy", seed=seed, resamples=300)["difference"]
        hits += found["low"] <= 0.03 <= found["high"]
        widths.append(found["high"] - found["low"])
    return hits / 200, float(np.mean(widths))


def test_the_interval_of_the_gain_covers_and_pairing_narrows_it() -> None:
    paired, independent = paired_coverage(shared_luck=True), paired_coverage(shared_luck=False)
    assert paired[0] >= 0.91  # 200 simulations of 95 % have a standard deviation of 1.5 points
    assert independent[0] >= 0.91
    assert paired[1] < 0.6 * independent[1]


def test_no_difference_is_seldom_called_one() -> None:
    generator, called = np.random.default_rng(2), 0
    for seed in range(200):
        truth = generator.integers(3, size=300)
        model, baseline = (np.where(generator.random(300) < 0.1, (truth + 1) % 3, truth) for _ in range(2))
        called += compare_models(truth, model, baseline, seed=seed, resamples=300)["verdict"] != "no_gain"
    assert called / 200 <= 0.09
