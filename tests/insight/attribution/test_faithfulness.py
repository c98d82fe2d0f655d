import json
import runpy
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from torch import nn

from dlcycle.config import ExplainSection
from dlcycle.errors import DataError
from dlcycle.insight.attribution.attribute import Attribution, attribute
from dlcycle.insight.attribution.checks import check_completeness, check_deletion, check_insertion, verdict
from dlcycle.insight.attribution.curves import STEPS, follow_words
from dlcycle.insight.attribution.faithfulness import check_faithfulness
from dlcycle.insight.attribution.limits import LIMITS
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import read_texts
from dlcycle.model.tokenizer import WordTokenizer

SETTINGS = ExplainSection(steps=5, check_rows=60, shapley_samples=5)
CHECKS = ["completeness", "deletion", "insertion", "random_weights", "agreement"]


class Bag(nn.Module):
    """The mean of the words' embeddings through a hidden layer: neither additive nor the same for two weights."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(82, 8, padding_idx=0)
        self.hidden, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.register_buffer("fixed", torch.linspace(0.5, 2.0, 82))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            self.embedding.weight[0] = 0.0
            self.hidden.bias.zero_()
            self.head.bias.zero_()

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        states = self.embedding(tokens) * self.fixed[tokens].unsqueeze(2)
        return self.head(torch.tanh(self.hidden(states.sum(1) / lengths.unsqueeze(1).clamp(min=1)) / 2))


RANDOM = np.random.default_rng(0)
WORDS = tuple(f"w{number}" for number in range(80))
MODEL = TextClassifier(Bag().eval(), WordTokenizer(WORDS, max_tokens=50), ["a", "b", "c"], 1.0, {})
TEXTS = [" ".join(RANDOM.choice(WORDS, size=RANDOM.integers(5, 18), replace=False)) for _ in range(150)]
FRAME = pd.DataFrame({"text": [*TEXTS, "", "...", "w1 w2"]})


def changed(change: Any) -> Any:
    """An explainer whose contributions are those that `change` makes of the real ones."""

    def explain(classifier: TextClassifier, texts: list[str], targets: Any, **options: Any) -> list[Attribution]:
        answers = attribute(classifier, texts, targets, **options)
        return [Attribution(a.reading, a.target, change(a, classifier), a.score, a.base, a.delta) for a in answers]

    return explain


def of_the_text_alone(answer: Attribution, _classifier: TextClassifier) -> np.ndarray:
    return np.array([zlib.crc32(word.encode()) / 2**32 - 0.5 for word in answer.reading.words])


def checked(**options: Any) -> dict[str, Any]:
    return check_faithfulness(MODEL, FRAME, **{"settings": SETTINGS, "seed": 0} | options)


def passed(result: dict[str, Any]) -> dict[str, bool | None]:
    return {check["name"]: check["passed"] for check in result["checks"]}


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    return checked()


def test_honest_explanations_pass_all_checks(honest: dict[str, Any]) -> None:
    assert passed(honest) == dict.fromkeys(CHECKS, True)
    assert honest["level"] == "good"
    assert honest["rows"] == 60
    assert honest["sentence"].startswith("These explanations can be used")
    assert json.loads(json.dumps(honest, allow_nan=False)) == honest
    assert [line["method"] for line in honest["agreement"]] == ["gradient_x_input", "occlusion", "shapley"]
    for check in honest["checks"]:
        assert check["limit"] == LIMITS[check["name"]]
        assert check["value"]["low"] <= check["value"]["value"] <= check["value"]["high"]


def test_reversed_contributions_are_found_out() -> None:
    result = checked(explain=changed(lambda answer, _: -answer.scores))
    assert passed(result)["deletion"] is False
    assert passed(result)["insertion"] is False
    assert result["level"] == "bad"
    assert result["sentence"].startswith("Do not act on these explanations: taking out the words they name")


def test_random_contributions_pass_deletion_and_insertion_only_by_chance() -> None:
    targets = MODEL.predict(TEXTS[:60]).probabilities.argmax(1)
    drawn = np.random.default_rng(0)
    outcomes = []
    for seed in range(40):
        answers = changed(lambda answer, _: drawn.normal(size=len(answer.scores)))(MODEL, TEXTS[:60], targets, steps=2)
        curves = follow_words(MODEL, answers, seed=seed)
        outcomes.append(
            (check_deletion(curves.deletion_gain, seed=seed), check_insertion(curves.insertion_gain, seed=seed))
        )
    # Of 40 intervals of 95 % one lies above 0 by chance; more than five would be so once in 2,000 times.
    assert all(sum(pair[kind]["passed"] for pair in outcomes) <= 5 for kind in (0, 1))


def test_contributions_that_are_all_equal_follow_no_order_of_the_text() -> None:
    # In the order of the text they would look like an explanation of a model that reads beginnings.
    [reading] = read_texts(MODEL.tokenizer, ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10"])
    equal = [Attribution(reading, 0, np.zeros(10), 0.0, 0.0, 0.0)] * 200
    curves = follow_words(MODEL, equal, seed=0)
    assert len({tuple(line) for line in curves.deletion.tolist()}) > 100


def test_explanations_that_do_not_depend_on_the_weights_are_found_out() -> None:
    result = checked(explain=changed(of_the_text_alone))
    [check] = [check for check in result["checks"] if check["name"] == "random_weights"]
    assert (check["passed"], check["value"]["value"]) == (False, 1.0)
    assert "they stay much the same when the model's weights are shuffled" in result["sentence"]
    assert "1.00, 95 % interval 1.00 to 1.00; at most 0.5 needed" in result["sentence"]


def test_an_explanation_of_the_real_model_that_ignores_the_one_it_is_given_fails_only_there() -> None:
    def explain(_classifier: TextClassifier, texts: list[str], targets: Any, **options: Any) -> list[Attribution]:
        return attribute(MODEL, texts, targets, **options)

    result = checked(explain=explain)
    assert passed(result) == dict.fromkeys(CHECKS, True) | {"random_weights": False}
    assert result["level"] == "bad"


def test_contributions_that_do_not_add_up_call_for_care() -> None:
    def explain(*arguments: Any, **options: Any) -> list[Attribution]:
        return [
            Attribution(a.reading, a.target, a.scores, a.score, a.base, 0.2 * (a.score - a.base))
            for a in attribute(*arguments, **options)
        ]

    result = checked(explain=explain)
    assert passed(result) == dict.fromkeys(CHECKS, True) | {"completeness": False}
    assert result["level"] == "careful"
    assert "do not add up" in result["sentence"]
    assert "20.0 %" in result["sentence"]


def test_a_method_that_promises_no_sum_is_not_judged_by_it() -> None:
    result = checked(settings=SETTINGS.model_copy(update={"method": "occlusion"}))
    assert passed(result) == dict.fromkeys(CHECKS, True) | {"completeness": None}
    assert result["checks"][0]["value"]["reason"] in result["sentence"]
    assert "occlusion does not promise" in result["checks"][0]["message"]
    assert result["level"] == "careful"
    assert [line["method"] for line in result["agreement"]] == [
        "integrated_gradients",
        "gradient_x_input",
        "shapley",
    ]


def test_other_methods_that_disagree_call_for_care() -> None:
    def half_right(answer: Attribution, classifier: TextClassifier) -> np.ndarray:
        # The words that push most stay in front; the order of all others is drawn anew for each network.
        weights = classifier.network.state_dict()["head.weight"].numpy().tobytes()
        drawn = np.random.default_rng(zlib.crc32(weights + answer.reading.shown.encode()))
        count = max(1, len(answer.scores) // 4)
        order = np.argsort(-answer.scores)
        scores = drawn.uniform(-1, 0, len(order))
        scores[order[:count]] = np.arange(count, 0, -1)
        return scores

    result = checked(explain=changed(half_right))
    assert passed(result) == dict.fromkeys(CHECKS, True) | {"agreement": False}
    assert result["level"] == "careful"
    assert "it is not sure that other methods name the same words" in result["sentence"]


def test_the_network_is_left_as_it_was() -> None:
    before = {name: value.clone() for name, value in MODEL.network.state_dict().items()}
    modes = [module.training for module in MODEL.network.modules()]
    checked(settings=SETTINGS.model_copy(update={"check_rows": 10}))
    after = MODEL.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [module.training for module in MODEL.network.modules()] == modes
    assert all(parameter.requires_grad and parameter.grad is None for parameter in MODEL.network.parameters())


def test_the_order_of_the_rows_changes_nothing(honest: dict[str, Any]) -> None:
    shuffled = check_faithfulness(MODEL, FRAME.sample(frac=1, random_state=5), settings=SETTINGS, seed=0)
    assert shuffled == honest


def test_without_texts_nothing_is_judged() -> None:
    for texts in ([], ["", "...", "one two"]):
        result = check_faithfulness(MODEL, pd.DataFrame({"text": texts}), settings=SETTINGS, seed=0)
        assert passed(result) == dict.fromkeys(CHECKS)
        assert (result["level"], result["rows"], result["curves"]) == ("careful", 0, {})
        assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_an_explanation_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        checked(explain=changed(lambda answer, _: np.full(len(answer.scores), np.inf)))


def test_curves_are_the_probabilities_of_the_texts_that_are_left() -> None:
    text = "w1 w2 w3 w4 w5"
    [reading] = read_texts(MODEL.tokenizer, [text])
    scores = np.array([0.1, 0.5, -0.2, 0.3, 0.0])
    curves = follow_words(MODEL, [Attribution(reading, 1, scores, 0.0, 0.0, 0.0)], seed=0)
    order = ["w2", "w4", "w1", "w5", "w3"]
    for step in range(STEPS + 1):
        count = round(step * 5 / STEPS)
        left = " ".join(word for word in text.split() if word not in order[:count])
        put_in = " ".join(word for word in text.split() if word in order[:count])
        expected = MODEL.predict([left, put_in]).probabilities[:, 1]
        assert curves.deletion[0, step] == pytest.approx(expected[0], abs=1e-6)
        assert curves.insertion[0, step] == pytest.approx(expected[1], abs=1e-6)
    # Nothing and everything is the same in any order.
    assert curves.random_deletion[0, [0, -1]] == pytest.approx(curves.deletion[0, [0, -1]])
    assert curves.random_insertion[0, [0, -1]] == pytest.approx(curves.insertion[0, [0, -1]])
    assert curves.deletion[0, 0] == curves.insertion[0, -1]


def test_the_interval_of_a_curve_is_that_of_the_difference(honest: dict[str, Any]) -> None:
    for name, sign in (("deletion", -1), ("insertion", 1)):
        curve = honest["curves"][name]
        difference = np.array(curve["attributed"]) - np.array(curve["random"])
        assert curve["share"] == pytest.approx(np.linspace(0, 1, STEPS + 1))
        assert (np.array(curve["low"]) - 1e-12 <= difference).all()
        assert (difference <= np.array(curve["high"]) + 1e-12).all()
        [check] = [check for check in honest["checks"] if check["name"] == name]
        assert check["value"]["value"] == pytest.approx(sign * difference[1:-1].mean())


def test_a_gain_whose_interval_touches_zero_fails() -> None:
    assert check_deletion([0.0] * 30, seed=0)["passed"] is False
    assert check_deletion([0.01] * 30, seed=0)["passed"] is True
    assert check_deletion([0.01] * 9, seed=0)["passed"] is None


@pytest.mark.parametrize("rows", [2, 9])
def test_fewer_than_ten_texts_decide_no_check(rows: int) -> None:
    result = checked(settings=SETTINGS.model_copy(update={"check_rows": rows}))
    assert passed(result) == dict.fromkeys(CHECKS)
    assert result["level"] == "careful"
    assert "fewer than 10 test texts have enough words" in result["sentence"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_words_that_hardly_matter_call_for_care(honest: dict[str, Any]) -> None:
    def judged(gain: float) -> tuple[str, str]:
        own = check_deletion(np.full(60, gain) + np.linspace(-0.001, 0.001, 60), seed=0)
        assert own["passed"] is True
        return verdict([own if check["name"] == "deletion" else check for check in honest["checks"]])

    level, sentence = judged(0.004)
    assert level == "careful"
    assert "the words they name hardly matter (taking them out costs 0.4 points of probability more" in sentence
    assert sentence.endswith("at least 1 wanted).")
    level, sentence = judged(0.0123)
    assert (level, "1.2 points" in sentence) == ("good", True)


def test_what_is_missing_is_judged_in_the_text_at_95_percent() -> None:
    [reading] = read_texts(MODEL.tokenizer, ["w1 w2 w3"])

    def missing(deltas: list[float], totals: list[float]) -> dict[str, Any]:
        rows = [
            Attribution(reading, 0, np.zeros(3), total, 0.0, delta) for delta, total in zip(deltas, totals, strict=True)
        ]
        return check_completeness(rows, method="integrated_gradients")

    result = missing([k / 1000 for k in range(1, 101)], [1.0] * 100)
    assert result["value"]["value"] == pytest.approx(0.095)
    # The percentile is at least the k-th text if fewer than k texts lie below it, a binomial count of 95 in 100.
    low, high = (round(1000 * result["value"][end]) for end in ("low", "high"))
    below = scipy.stats.binom(100, 0.95)
    assert below.cdf(low - 1) <= 0.025 < below.cdf(low)
    assert below.cdf(high - 1) >= 0.975 > below.cdf(high - 2)
    assert result["passed"] is False
    assert "so few" not in result["message"]
    # Of 71 texts even the largest is below the percentile in more than 2.5 % of samples; of 72 it no longer is.
    few, enough = (missing([k / 1000 for k in range(1, rows + 1)], [1.0] * rows) for rows in (71, 72))
    assert (few["value"]["high"], enough["value"]["high"]) == pytest.approx((0.071, 0.072))
    assert "the largest of 71 texts, as so few have no upper end" in few["message"]
    assert "so few" not in enough["message"]
    # A score of almost nothing is not divided by; without a floor this would be 100 times the score.
    assert missing([0.001] * 40, [1.0] * 39 + [1e-5])["value"]["high"] == pytest.approx(0.01)
    assert missing([0.0] * 40, [0.0] * 40)["passed"] is True
    assert missing([0.1] * 40, [0.0] * 40)["passed"] is False


@pytest.mark.slow
def test_explanations_name_planted_words_and_of_shuffled_labels_do_not(root: Path) -> None:
    benchmark = runpy.run_path(str(root / "benchmarks" / "planted_words.py"))
    shares = benchmark["measure"](2000, seeds=[0], architecture="bag", method="integrated_gradients")
    assert shares["top word"] >= 95
    assert shares["all words"] >= 95
    # 300 texts at 9 % have a standard deviation of 1.7 points, and words of a shuffled model are not all equal.
    assert shares["chance"] < 12
    assert shares["top word shuffled"] < shares["chance"] + 15
    assert shares["all words shuffled"] < shares["chance"] + 10
