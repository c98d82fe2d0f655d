import json
import time
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.insight.metrics import (
    Decisions,
    classification_metrics,
    confident_mistakes,
    confusion_matrix,
    confusion_metrics,
    decide,
)


def names(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


def decisions(truth: npt.ArrayLike, predicted: npt.ArrayLike, confidence: float | npt.ArrayLike = 0.9) -> Decisions:
    true, chosen = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    sure = np.broadcast_to(np.asarray(confidence, dtype=np.float64), true.shape)
    return Decisions(true, chosen, sure, np.where(true == chosen, sure, 1 - sure))


def noisy(rows: int, classes: int, *, accuracy: float, seed: int) -> Decisions:
    generator = np.random.default_rng(seed)
    truth = generator.integers(classes, size=rows)
    wrong = generator.random(rows) >= accuracy
    return decisions(truth, np.where(wrong, generator.integers(classes, size=rows), truth))


def check_plain(result: Any) -> None:
    """Plain JSON without NaN, and every measured metric a value inside its interval, or None with a reason."""
    assert json.loads(json.dumps(result, allow_nan=False)) == result

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if {"value", "low", "high", "n"} <= value.keys():
                if value["value"] is None:
                    assert value["low"] is None
                    assert value["high"] is None
                    assert value["reason"]
                else:
                    assert value["low"] <= value["value"] <= value["high"]
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(result)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10**6))
def test_values_equal_those_of_scikit_learn(rows: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, logits = generator.integers(classes, size=rows), generator.standard_normal((rows, classes))
    made = decide(truth, logits)
    result = classification_metrics(made, labels=names(classes), seed=0, resamples=20)
    check_plain(result)
    predicted = logits.argmax(1)
    assert result["accuracy"]["value"] == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))
    macro = sklearn.metrics.f1_score(truth, predicted, average="macro")
    assert result["macro_f1"]["value"] == pytest.approx(macro)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = sklearn.metrics.log_loss(truth, probabilities, labels=range(classes))
    assert result["log_loss"]["value"] == pytest.approx(loss)
    expected = sklearn.metrics.precision_recall_fscore_support(
        truth, predicted, labels=range(classes), zero_division=np.nan
    )
    for index, label in enumerate(names(classes)):
        for metric, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            found = result["per_class"][label][metric]
            found = found if metric == "support" else found["value"]
            assert (found is None and np.isnan(values[index])) or found == pytest.approx(values[index])
    matrix = sklearn.metrics.confusion_matrix(truth, predicted, labels=range(classes))
    assert result["confusion"]["counts"] == matrix.tolist()


def test_decisions_do_not_depend_on_the_temperature_nor_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).standard_normal((40, 3))
    truth = np.arange(40) % 3
    cold, hot = decide(truth, logits, temperature=0.2), decide(truth, logits, temperature=9.0)
    assert np.array_equal(cold.predicted, hot.predicted)
    assert (cold.confidence > hot.confidence).all()
    monkeypatch.setattr("dlcycle.insight.calibration._SCORES", 7)
    assert np.allclose(decide(truth, logits, temperature=0.2).truth_probability, cold.truth_probability, rtol=1e-12)


def test_the_order_of_rows_does_not_matter() -> None:
    made = noisy(200, 3, accuracy=0.8, seed=0)
    backwards = decisions(made.truth[::-1], made.predicted[::-1])
    first, second = (confusion_metrics(each, labels=names(3), seed=0, resamples=50) for each in (made, backwards))
    assert first == second


def macro_coverage(
    accuracy: float, rows: int, *, classes: int = 4, copies: int = 1, simulations: int = 200
) -> tuple[float, float]:
    """How often the intervals of macro-F1 and of one class's F1 hold the figure of a million rows."""
    labels, many = names(classes), noisy(1_000_000, classes, accuracy=accuracy, seed=999)
    true = confusion_metrics(many, labels=labels, seed=0, resamples=2)
    hits = [0, 0]
    for seed in range(simulations):
        few = noisy(rows, classes, accuracy=accuracy, seed=seed)
        made = decisions(np.repeat(few.truth, copies), np.repeat(few.predicted, copies))
        found = confusion_metrics(made, labels=labels, seed=seed, resamples=300)
        pairs = [(each["macro_f1"], each["per_class"]["class 1"]["f1"]) for each in (found, true)]
        for index, (ours, right) in enumerate(zip(*pairs, strict=True)):
            hits[index] += ours["low"] <= right["value"] <= ours["high"]
    return hits[0] / simulations, hits[1] / simulations


@pytest.mark.parametrize(("accuracy", "rows"), [(0.8, 400), (0.985, 300)])
def test_intervals_of_f1_hold_the_truth_in_95_percent_of_samples(accuracy: float, rows: int) -> None:
    # 200 simulations of 95 % have a standard deviation of 1.5 points.
    assert min(macro_coverage(accuracy, rows)) >= 0.91


@pytest.mark.parametrize(("classes", "rows"), [(50, 300), (200, 2000)])
def test_the_interval_of_macro_f1_allows_for_the_bias_of_small_classes(classes: int, rows: int) -> None:
    # A percentile interval holds the truth in 70 % and 36 % of these samples.
    assert macro_coverage(0.75, rows, classes=classes, simulations=100)[0] >= 0.9


def test_the_coverage_test_sees_intervals_that_are_too_narrow() -> None:
    assert max(macro_coverage(0.8, 400, copies=4, simulations=100)) < 0.85


def test_a_perfect_model_is_not_certain() -> None:
    result = confusion_metrics(decisions([0, 1] * 20, [0, 1] * 20), labels=names(2), seed=0)
    assert result["accuracy"]["value"] == result["macro_f1"]["value"] == 1.0
    for metric in (result["accuracy"], result["macro_f1"], result["per_class"]["class 0"]["f1"]):
        assert 0.7 < metric["low"] < 0.95


def test_a_constant_model_and_a_class_never_predicted() -> None:
    result = classification_metrics(decisions([0, 0, 1, 2], [0, 0, 0, 0]), labels=names(4), seed=0)
    check_plain(result)
    assert result["per_class"]["class 1"]["precision"]["reason"] == "the class is never predicted"
    assert result["per_class"]["class 1"]["recall"]["value"] == 0.0
    assert result["per_class"]["class 3"]["recall"]["reason"] == "no test row has this class"
    assert result["per_class"]["class 3"]["f1"]["value"] is None


@pytest.mark.parametrize("predicted", [[0, 1, 2], [1, 2, 0], [0, 0, 0]])
def test_one_row_per_class(predicted: list[int]) -> None:
    check_plain(classification_metrics(decisions([0, 1, 2], predicted), labels=names(3), seed=0))


def test_one_row() -> None:
    check_plain(classification_metrics(decisions([1], [1], 1.0), labels=names(2), seed=0))


def test_ten_thousand_classes_stay_small_and_fast() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(10_000, size=200)
    logits = generator.standard_normal((200, 10_000)).astype(np.float32)
    logits[np.arange(150), truth[:150]] += 20
    tracemalloc.start()
    begun = time.process_time()
    result = classification_metrics(decide(truth, logits), labels=names(10_000), seed=0)
    seconds, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check_plain(result)
    assert (
        seconds < 20
    )  # about 1 s without the tracing of memory; the bound only excludes work for all pairs of classes
    assert peak < 250e6  # all pairs of classes would take 800 MB
    assert len(json.dumps(result)) < 4e6
    assert len(result["confusion"]["labels"]) == 30
    assert result["confusion"]["hidden_classes"] == 9970


def test_the_reduced_confusion_matrix_keeps_the_most_confused_and_counts_the_rest() -> None:
    truth = np.concatenate([np.arange(40), [7] * 5, [3]])
    predicted = np.concatenate([np.arange(40), [9] * 5, [4]])
    predicted[35] = 36
    matrix = confusion_matrix(decisions(truth, predicted), labels=names(40))
    shown = matrix["labels"]
    assert {"class 7", "class 9", "class 3", "class 4"} <= set(shown)
    assert matrix["counts"][shown.index("class 7")][shown.index("class 9")] == 5
    assert matrix["hidden_classes"] == 10
    visible = np.array(matrix["counts"])
    assert visible.sum() - np.trace(visible) + matrix["hidden_mistakes"] == 7


def test_confident_mistakes_are_ranked_cut_and_right() -> None:
    made = decisions([0, 1, 0, 1], [0, 0, 1, 0], [0.99, 0.8, 0.95, 0.8])
    found = confident_mistakes(made, texts=["a", "b" * 700, "c", "d"], rows=[1, 9, 3, 4], labels=["x", "y"], most=2)
    assert [mistake["row"] for mistake in found] == [3, 4]
    assert found[0] == {"row": 3, "text": "c", "truth": "x", "predicted": "y", "probability": 0.95}
    long = confident_mistakes(made, texts=["a", "b" * 1734, "c", "d"], rows=[1, 2, 3, 4], labels=["x", "y"])[1]
    assert long["text"] == "b" * 500 + "... (1,234 more characters)"
    check_plain(found)
