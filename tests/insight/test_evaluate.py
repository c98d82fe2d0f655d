import json
from typing import Any

import numpy as np
import pytest

from dlcycle.config import Costs, PlanSection
from dlcycle.errors import DataError, TrainingError
from dlcycle.insight.evaluate import evaluate_model

LABELS = ["Books", "Household", "Toys"]
FLAT = (
    "accuracy", "macro_f1", "ece", "ece_before", "log_loss", "automated_share", "automated_precision", "cost_per_1000",
)  # fmt: skip


def case(size: int = 600, scale: float = 3.0, **changes: Any) -> dict[str, Any]:
    """Arguments of `evaluate_model`, for a model that is right in about 85 % of rows and too sure of itself."""
    generator = np.random.default_rng(0)

    def part() -> tuple[np.ndarray, np.ndarray]:
        logits = 2.5 * generator.standard_normal((size, len(LABELS)))
        truth = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
        return truth, logits * scale

    truth, logits = part()
    validation_truth, validation_logits = part()
    arguments = {
        "truth": truth,
        "logits": logits,
        "validation_truth": validation_truth,
        "validation_logits": validation_logits,
        "labels": LABELS,
        "plan": PlanSection(required_precision=0.95, costs=Costs(manual=0.3)),
        "texts": [f"text {index}" for index in range(size)],
        "rows": list(range(1, size + 1)),
        "resamples": 200,
    }
    return arguments | changes


def evaluate(arguments: dict[str, Any]) -> dict[str, Any]:
    arguments = dict(arguments)
    return evaluate_model(arguments.pop("truth"), arguments.pop("logits"), **arguments)


def test_everything_is_there_as_plain_data() -> None:
    result = evaluate(case())
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for name in FLAT:
        assert set(result[name]) == {"value", "low", "high", "n"}
        assert result[name]["low"] <= result[name]["value"] <= result[name]["high"]
    assert set(result["per_class"]) == set(LABELS)
    assert result["currency"] == "EUR"
    assert len(result["mistakes"]) == 20
    assert result["rows"] == 600


def test_the_temperature_mends_a_model_that_is_too_sure() -> None:
    result = evaluate(case())
    assert result["temperature"]["value"] == pytest.approx(3.0, rel=0.15)
    assert result["ece"]["value"] < 0.5 * result["ece_before"]["value"]
    calm = evaluate(case(scale=1.0))
    assert calm["temperature"]["value"] == pytest.approx(1.0, rel=0.15)
    assert calm["accuracy"] == result["accuracy"]  # a temperature changes no decision
    assert calm["log_loss"]["value"] == pytest.approx(result["log_loss"]["value"], rel=1e-4)


def test_it_is_repeatable_and_the_scale_of_linear_margins_does_not_matter() -> None:
    first = evaluate(case())
    assert first == evaluate(case())
    margins = evaluate(case(scale=0.3))
    assert margins["macro_f1"] == first["macro_f1"]
    assert margins["automated_share"]["value"] == pytest.approx(first["automated_share"]["value"], abs=0.01)


def test_without_costs_there_is_no_price() -> None:
    result = evaluate(case(plan=PlanSection()))
    assert result["cost_per_1000"] is result["costs"] is result["currency"] is None


@pytest.mark.parametrize(("name", "part"), [("logits", "test"), ("validation_logits", "validation")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(name: str, part: str, value: float) -> None:
    arguments = case()
    spoilt = arguments[name].copy()
    spoilt[[4, 17], 1] = value
    with pytest.raises(
        TrainingError, match=rf"2 of 600 rows of the {part} part are not finite numbers \(its rows 5, 18\)"
    ):
        evaluate(arguments | {name: spoilt})


def test_no_rows_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="test part has no rows"):
        evaluate(case(truth=np.zeros(0, dtype=int), logits=np.zeros((0, 3)), texts=[], rows=[]))
    with pytest.raises(ValueError, match="expected shape"):
        evaluate(case(logits=np.zeros((600, 2))))
    with pytest.raises(ValueError, match="class indices"):
        evaluate(case(truth=np.full(600, 3)))
    with pytest.raises(ValueError, match="texts and rows"):
        evaluate(case(texts=["one"]))


def test_a_perfect_and_a_constant_model() -> None:
    truth = np.arange(60) % 3
    perfect = np.eye(3)[truth] * 4.0
    changes = {"truth": truth, "validation_truth": truth, "texts": [""] * 60, "rows": range(60)}
    result = evaluate(case(**changes, logits=perfect, validation_logits=perfect))
    assert result["accuracy"]["value"] == 1.0
    assert result["temperature"]["bounded"]
    assert result["mistakes"] == []
    assert result["automated_share"]["value"] == 1.0
    constant = np.tile([1.0, 0.0, 0.0], (60, 1))
    result = evaluate(case(**changes, logits=constant, validation_logits=constant))
    assert result["accuracy"]["value"] == pytest.approx(1 / 3)
    assert result["automated_share"]["value"] == 0.0
    assert json.loads(json.dumps(result, allow_nan=False)) == result
