import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dlcycle.config import Costs
from dlcycle.errors import ConfigError, DataError
from dlcycle.insight.decisions.policies import CURVE_POINTS, price_policies

LABELS = ["Books", "Toys"]
Floats = npt.NDArray[np.float64]


def priced(
    truth: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    costs: Costs | None,
    *,
    validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    checked = validation or (truth, probabilities)
    return price_policies(
        truth,
        np.asarray(probabilities, dtype=np.float64),
        validation_truth=checked[0],
        validation_probabilities=np.asarray(checked[1], dtype=np.float64),
        labels=LABELS,
        costs=costs,
        automation_threshold=threshold,
        seed=seed,
        resamples=200,
    )


def of(result: dict[str, Any], name: str) -> dict[str, Any]:
    policy: dict[str, Any] = next(policy for policy in result["policies"] if policy["name"] == name)
    return policy


def rows(count: int, seed: int, *, informed: bool = True) -> tuple[npt.NDArray[np.int64], Floats]:
    """Classes of two equally frequent ones, and probabilities that are right on average."""
    generator = np.random.default_rng(seed)
    first = generator.beta(0.3, 0.3, size=count) if informed else np.full(count, 0.5)
    return (generator.random(count) > first).astype(np.int64), np.column_stack([first, 1 - first])


def test_hand_computed_costs_of_every_policy() -> None:
    """Taking Toys for Books costs 10, the other mistake 1, a person 0.5.

    Expected costs of Books and Toys: 0.5/0.95, 2/0.8, 4/0.6, 9.5/0.05. The least are 0.5, 0.8, 0.6 and 0.05.
    """
    truth, probabilities = [0, 0, 1, 1], [[0.95, 0.05], [0.8, 0.2], [0.6, 0.4], [0.05, 0.95]]
    costs = Costs(error=1.0, manual=0.5, matrix={"Toys": {"Books": 10.0}})
    result = priced(truth, probabilities, costs, threshold=0.9)
    assert of(result, "alone")["cost"]["value"] == pytest.approx(1000 * 10 / 4)  # the third row
    assert of(result, "cost_aware")["cost"]["value"] == pytest.approx(1000 * 1 / 4)  # the second row
    assert of(result, "required_precision")["cost"]["value"] == pytest.approx(1000 * 2 * 0.5 / 4)
    assert of(result, "required_precision")["automated"]["value"] == 0.5
    # The second and third row have the highest expected costs, 0.8 and 0.6: only the second is worth a person.
    assert of(result, "best")["cost"]["value"] == pytest.approx(1000 * 0.5 / 4)
    assert of(result, "best")["automated"]["value"] == 0.75
    assert 0.6 <= of(result, "best")["threshold"] < 0.8
    assert of(result, "people")["cost"] == {"value": 500.0, "low": 500.0, "high": 500.0, "n": 4}
    assert (of(result, "alone")["automated"], of(result, "people")["automated"]) == (1.0, 0.0)
    assert result["best"] == "best"
    assert result["saving"]["value"] == pytest.approx(500 - 125)
    assert (result["rows"], result["manual"], result["capacity"], result["currency"]) == (4, 0.5, None, "EUR")
    assert [result["curve"][point]["cost"] for point in (0, 10, 20, 30, 40)] == pytest.approx([500, 375, 250, 125, 250])
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_sentence_names_the_shares_the_money_and_what_is_saved() -> None:
    truth, probabilities = rows(2000, seed=1)
    result = priced(truth, probabilities, Costs(error=1.0, manual=0.2), validation=rows(2000, seed=2))
    best = of(result, "best")
    assert result["best"] == "best"
    assert result["sentence"].startswith(
        f"Let the model decide {100 * best['automated']['value']:.0f} % of the rows and people the rest: "
        f"{best['cost']['value']:.0f} EUR per 1,000 rows ({best['cost']['low']:.0f} to {best['cost']['high']:.0f}), "
    )
    assert result["saving"]["low"] > 0
    assert "EUR less than the model alone" in result["sentence"]
    assert "not proven" not in result["sentence"]


def test_a_saving_that_can_be_none_is_not_called_proven() -> None:
    truth, probabilities = rows(60, seed=5)
    result = priced(truth, probabilities, Costs(error=1.0, manual=0.3), validation=rows(2000, seed=2))
    assert result["best"] == "best"
    assert result["saving"]["low"] <= 0 <= result["saving"]["high"]
    assert result["sentence"].endswith("so a saving is not proven.")


def test_an_uninformative_model_leaves_the_rows_to_people() -> None:
    truth, probabilities = rows(400, seed=3, informed=False)
    result = priced(truth, probabilities, Costs(error=1.0, manual=0.1), validation=rows(400, seed=4, informed=False))
    assert result["best"] == "people"
    assert of(result, "best")["automated"]["value"] == 0.0
    assert result["saving"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 400}
    assert result["sentence"].startswith("Let people decide every row: 100 EUR per 1,000 rows; no other way")


def test_a_sentence_speaks_only_of_ways_that_people_have_time_for() -> None:
    """Nobody has time, so the model decides alone although people would be cheaper."""
    truth, probabilities = rows(400, seed=3, informed=False)
    told = [
        priced(truth, probabilities, Costs(error=1.0, manual=0.1, capacity=capacity))["sentence"]
        for capacity in (0.0, 1.0)
    ]
    assert told[0].startswith("Let the model decide every row: ")
    assert told[0].endswith("; no other way that people have time for was cheaper on the validation part.")
    assert told[1].endswith("; no other way was cheaper on the validation part.")


def test_a_model_that_decides_no_test_row_is_not_said_to_decide_some() -> None:
    """On the validation part a few rows are cheap to risk, on the test part none is."""
    truth, probabilities = rows(400, seed=3, informed=False)
    result = priced(truth, probabilities, Costs(error=1.0, manual=0.1), validation=rows(400, seed=4))
    assert (result["best"], of(result, "best")["automated"]["value"]) == ("best", 0.0)
    assert result["sentence"] == (
        "Let people decide every row: 100 EUR per 1,000 rows; the model is sure enough of no test row."
    )


def test_a_model_without_mistakes_decides_alone_but_is_not_certain_to_make_none() -> None:
    truth = np.array([0, 1] * 40)
    probabilities = np.where(truth[:, None] == [0, 1], 0.99, 0.01)
    result = priced(truth, probabilities, Costs(error=5.0, manual=0.5))
    assert result["best"] == "alone"
    assert of(result, "alone")["cost"]["value"] == 0.0
    assert 100 < of(result, "alone")["cost"]["high"] < 300  # Wilson's upper end of 0 of 80 is 4.6 %, at 5 each
    assert result["curve"][-1]["high"] == pytest.approx(of(result, "alone")["cost"]["high"])
    assert result["curve"][0] == {"share": 0.0, "cost": 500.0, "low": 500.0, "high": 500.0}


def test_without_prices_the_reason_and_a_line_for_the_project_file() -> None:
    result = priced([0], [[1.0, 0.0]], None)
    assert set(result) == {"reason", "config"}
    assert result["config"].startswith("[plan] costs = {")


def test_without_a_manual_price_the_model_decides_everything() -> None:
    result = priced(*rows(300, seed=0), Costs(matrix={"Books": {"Toys": 4.0}}), threshold=0.9)
    assert [policy["name"] for policy in result["policies"]] == ["alone", "cost_aware"]
    assert (result["best"], result["curve"], result["manual"]) == ("cost_aware", [], None)
    assert result["saving"]["value"] == pytest.approx(
        of(result, "alone")["cost"]["value"] - of(result, "cost_aware")["cost"]["value"]
    )


def test_a_threshold_that_nothing_reaches_gives_people_every_row() -> None:
    result = priced(*rows(300, seed=0), Costs(manual=0.4), threshold=None)
    policy = of(result, "required_precision")
    assert (policy["automated"], policy["cost"]["value"], policy["threshold"]) == (0.0, 400.0, None)
    assert policy["explanation"] == "No probability reaches the required precision, so people decide every row."


@pytest.mark.parametrize("capacity", [0.0, 0.05, 0.3, 1.0])
def test_people_are_given_no_more_rows_than_they_have_time_for(capacity: float) -> None:
    truth, probabilities = rows(997, seed=6)
    costs = Costs(manual=0.05, capacity=capacity)
    result = priced(truth, probabilities, costs, validation=rows(500, seed=7), threshold=0.99)
    handed = 1 - of(result, "best")["automated"]["value"]
    assert handed <= capacity + 1e-12
    assert handed > capacity - 0.002 or capacity == 1.0  # one row of 997
    assert ("people" in [policy["name"] for policy in result["policies"]]) == (capacity == 1.0)
    assert ("not enough" in of(result, "required_precision")["explanation"]) == (capacity < 0.5)
    # More rows need people at the probability 0.99 than they have time for, so that cannot be the best.
    assert result["best"] != "required_precision" or capacity > 0.3


def test_rows_of_equal_expected_cost_share_the_time_that_people_have() -> None:
    truth, probabilities = [0, 1, 0, 1], [[0.5, 0.5]] * 4
    result = priced(truth, probabilities, Costs(error=1.0, manual=0.1, capacity=0.5))
    # Two of the four rows at 0.1, and the others wrong half of the time, whichever rows these are.
    assert of(result, "best")["cost"]["value"] == pytest.approx(1000 * (2 * 0.1 + 2 * 0.5) / 4)
    assert [point["cost"] for point in result["curve"]] == pytest.approx(np.linspace(100, 500, CURVE_POINTS))


def test_the_order_of_the_rows_does_not_matter() -> None:
    truth, probabilities = rows(301, seed=8)
    probabilities = probabilities.round(1)  # many ties
    costs = Costs(manual=0.2, capacity=0.2, matrix={"Toys": {"Books": 3.0}})
    shuffled = np.random.default_rng(0).permutation(301)
    assert priced(truth, probabilities, costs, threshold=0.8) == priced(
        truth[shuffled], probabilities[shuffled], costs, threshold=0.8
    )


def test_dearer_people_get_fewer_rows_and_less_time_never_pays() -> None:
    truth, probabilities = rows(800, seed=9)
    handed = [
        1 - of(priced(truth, probabilities, Costs(manual=manual)), "best")["automated"]["value"]
        for manual in (0.01, 0.05, 0.1, 0.2, 0.3, 0.45)
    ]
    assert handed == sorted(handed, reverse=True)
    assert handed[0] > 0.5 > 0.2 > handed[-1]
    spent = [
        of(priced(truth, probabilities, Costs(manual=0.1, capacity=capacity)), "best")["cost"]["value"]
        for capacity in (0.0, 0.1, 0.2, 0.4, 1.0)
    ]
    assert spent == sorted(spent, reverse=True)  # on the rows that the threshold was chosen on


def test_the_curve_holds_the_ends_and_the_interval_of_each_point() -> None:
    result = priced(*rows(333, seed=10), Costs(manual=0.2))
    curve = result["curve"]
    assert [point["share"] for point in curve] == pytest.approx(np.linspace(0, 1, 41))
    assert curve[0]["cost"] == 200.0
    assert curve[-1]["cost"] == pytest.approx(of(result, "cost_aware")["cost"]["value"])
    assert all(point["low"] <= point["cost"] <= point["high"] for point in curve)
    assert min(point["cost"] for point in curve) < 0.8 * min(curve[0]["cost"], curve[-1]["cost"])


def test_savings_are_paired() -> None:
    """Both policies make the same mistakes on most rows, so the saving is surer than either cost."""
    truth, probabilities = rows(1000, seed=11)
    result = priced(truth, probabilities, Costs(manual=0.45), validation=rows(1000, seed=12))
    width = result["saving"]["high"] - result["saving"]["low"]
    alone = of(result, "alone")["cost"]
    assert result["best"] == "best"
    assert width < 0.6 * (alone["high"] - alone["low"])


@pytest.mark.slow
def test_intervals_hold_the_true_cost_and_the_true_saving() -> None:
    """The true cost at a fixed threshold comes from 100,000 rows; 100 simulations of 95 % vary by 2.2 points."""
    costs, validation = Costs(manual=0.2), rows(1000, seed=0)
    true = priced(*rows(100_000, seed=1), costs, validation=validation)
    hits = {"cost": 0, "saving": 0}
    for seed in range(100):
        result = priced(*rows(500, seed=seed + 2), costs, validation=validation, seed=seed)
        cost = of(result, "best")["cost"]
        hits["cost"] += cost["low"] <= of(true, "best")["cost"]["value"] <= cost["high"]
        hits["saving"] += result["saving"]["low"] <= true["saving"]["value"] <= result["saving"]["high"]
    assert min(hits.values()) / 100 >= 0.885


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="validation part has no rows"):
        priced([0], [[1.0, 0.0]], Costs(), validation=([], np.empty((0, 2))))
    with pytest.raises(ConfigError, match="nearest is 'Books'"):
        priced([0], [[1.0, 0.0]], Costs(matrix={"Boks": {"Toys": 1.0}}))
    with pytest.raises(ValueError, match=r"test part: expected shape \(1, 2\), got \(1, 3\)"):
        priced([0], [[1.0, 0.0, 0.0]], Costs())
    with pytest.raises(ValueError, match="class indices of the test part: expected 0 to 1"):
        priced([2], [[1.0, 0.0]], Costs())
