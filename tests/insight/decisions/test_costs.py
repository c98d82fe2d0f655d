import json

import numpy as np
import pytest

from dlcycle.config import Costs
from dlcycle.errors import ConfigError
from dlcycle.insight.decisions.costs import decision_costs
from dlcycle.insight.metrics import Decisions
from dlcycle.plan.criteria import check_costs

LABELS = ["Books", "Toys"]


def decisions(truth: list[int], predicted: list[int]) -> Decisions:
    sure = np.full(len(truth), 0.9)
    return Decisions(np.array(truth), np.array(predicted), sure, sure)


def test_prices_come_from_the_matrix_and_else_from_error() -> None:
    costs = Costs(error=2.0, manual=0.5, matrix={"Books": {"Toys": 10.0, "Books": -0.1}})
    made = decisions([0, 0, 1, 1], [0, 1, 0, 1])
    taken = np.array([True, False, True, True])
    result = decision_costs(made, labels=LABELS, costs=costs, automatic=taken, seed=0)
    assert result["model_alone"]["value"] == pytest.approx(1000 * (-0.1 + 10 + 2 + 0) / 4)
    assert result["with_people"]["value"] == pytest.approx(1000 * (-0.1 + 0.5 + 2 + 0) / 4)
    assert result["people_alone"] == 500.0
    assert result["currency"] == "EUR"
    assert result["model_alone"]["low"] <= result["model_alone"]["value"] <= result["model_alone"]["high"]
    json.dumps(result, allow_nan=False)


def test_without_a_manual_price_there_is_no_figure_with_people() -> None:
    made = decisions([0, 1], [1, 1])
    result = decision_costs(made, labels=LABELS, costs=Costs(), automatic=np.ones(2, dtype=bool), seed=0)
    assert result["model_alone"]["value"] == 500.0
    assert result["with_people"] is None
    assert result["people_alone"] is None


def test_no_mistake_seen_does_not_prove_that_mistakes_are_free() -> None:
    made = decisions([0, 1] * 20, [0, 1] * 20)
    costs = Costs(error=1.0, manual=0.2)
    result = decision_costs(made, labels=LABELS, costs=costs, automatic=np.ones(40, dtype=bool), seed=0)
    assert result["model_alone"]["value"] == 0.0
    assert 50 < result["model_alone"]["high"] < 100  # Wilson's upper end of 0 of 40 is 8.8 %
    nobody = decision_costs(made, labels=LABELS, costs=costs, automatic=np.zeros(40, dtype=bool), seed=0)
    assert nobody["with_people"] == {"value": 200.0, "low": 200.0, "high": 200.0, "n": 40}


@pytest.mark.parametrize(("error_rate", "automatic"), [(0.1, 1.0), (0.005, 1.0), (0.005, 0.5)])
def test_the_interval_holds_the_true_cost_in_95_percent_of_samples(error_rate: float, automatic: float) -> None:
    """Mistakes cost 20; with few of them among the automatic rows a plain bootstrap covers 63 %."""
    generator, alone, shared = np.random.default_rng(0), 0, 0
    true_shared = 1000 * (automatic * error_rate * 20 + (1 - automatic) * 0.25)
    for seed in range(300):
        wrong = (generator.random(400) < error_rate).astype(int)
        result = decision_costs(
            decisions([0] * 400, wrong.tolist()),
            labels=LABELS,
            costs=Costs(error=20.0, manual=0.25),
            automatic=generator.random(400) < automatic,
            seed=seed,
            resamples=300,
        )
        alone += result["model_alone"]["low"] <= 20_000 * error_rate <= result["model_alone"]["high"]
        shared += result["with_people"]["low"] <= true_shared <= result["with_people"]["high"]
    assert min(alone, shared) / 300 >= 0.915  # the standard deviation of 300 simulations is 1.3 points
    assert error_rate < 0.1 or max(alone, shared) / 300 <= 0.985  # conservative only where mistakes are rare


def test_more_mistakes_never_lower_the_upper_end() -> None:
    ends = []
    for mistakes in range(12):
        made = decisions([0] * 500, [1] * mistakes + [0] * (500 - mistakes))
        result = decision_costs(made, labels=LABELS, costs=Costs(), automatic=np.ones(500, dtype=bool), seed=0)
        ends.append(result["model_alone"]["high"])
    assert ends == sorted(ends)


def test_unknown_labels_are_all_named_with_the_nearest() -> None:
    costs = Costs(matrix={"Boks": {"Toys": 1.0}, "Toys": {"books": 2.0, "Cars\u202e": 1.0}})
    with pytest.raises(ConfigError) as caught:
        check_costs(costs, LABELS)
    message = str(caught.value)
    assert "plan.costs.matrix: 'Boks' is not a class of the data; the nearest is 'Books'" in message
    assert "plan.costs.matrix.'Toys': 'books' is not a class of the data; the nearest is 'Books'" in message
    assert "\u202e" not in message
    check_costs(Costs(matrix={"Books": {"Toys": 1.0}}), LABELS)
    check_costs(None, LABELS)
