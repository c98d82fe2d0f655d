import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dlcycle.config import ExplainSection
from dlcycle.errors import DataError
from dlcycle.insight.attribution.attribute import Attribution, attribute
from dlcycle.insight.attribution.local import SHOWN_CHARACTERS, SHOWN_CLASSES, explain_rows
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.tokenizer import WordTokenizer

SETTINGS = ExplainSection(steps=5)


class Additive(nn.Module):
    """Logits that are the sum of one number a word and class: what each word contributes is known."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(weights, dtype=torch.float32), freeze=False)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).sum(1)


def additive(words: dict[str, list[float]], *, max_tokens: int = 400, temperature: float = 1.0) -> TextClassifier:
    """A classifier in which each word has its logits; padding and unknown words have none."""
    classes = len(next(iter(words.values())))
    network = Additive(np.array([[0.0] * classes, [0.0] * classes, *words.values()])).eval()
    tokenizer = WordTokenizer(tuple(words), max_tokens=max_tokens)
    return TextClassifier(network, tokenizer, [f"class {k}" for k in range(classes)], temperature, {})


def rows_of(texts: list[str], labels: list[Any]) -> pd.DataFrame:
    rows = range(1, len(texts) + 1)
    return pd.DataFrame({"row": rows, "line": [row + 1 for row in rows], "text": texts, "label": labels})


WORDS = {"red": [2.0, 0.0], "blue": [0.0, 2.0], "shoe": [0.5, 0.0], "hat": [0.0, 0.7]}
MODEL = additive(WORDS, temperature=2.0)
RANDOM = np.random.default_rng(0)
TEXTS = sorted({" ".join(RANDOM.choice(list(WORDS), size=RANDOM.integers(1, 9))) for _ in range(60)})
FRAME = rows_of(TEXTS, [f"class {k}" for k in RANDOM.integers(0, 2, len(TEXTS))])


def explained(frame: pd.DataFrame = FRAME, **options: Any) -> dict[str, Any]:
    return explain_rows(MODEL, frame, settings=SETTINGS, seed=0, **options)


def test_each_class_shows_its_surest_right_its_surest_wrong_and_its_least_sure_row() -> None:
    result = explained()
    probabilities = MODEL.predict(TEXTS).probabilities
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    by_row = {line["row"]: line for line in result["rows"]}
    assert [line["kind"] for line in result["rows"]] == ["right", "wrong", "uncertain"] * 2
    for place, label in enumerate(MODEL.labels):
        truth = (FRAME["label"] == label).to_numpy()
        right, wrong, uncertain = result["rows"][3 * place : 3 * place + 3]
        own = truth & (predicted == place)
        other = truth & (predicted != place)
        assert right["probability"] == pytest.approx(confidence[own].max(), abs=1e-6)
        assert wrong["probability"] == pytest.approx(confidence[other].max(), abs=1e-6)
        assert uncertain["probability"] == pytest.approx(confidence[truth].min(), abs=1e-6)
        assert (right["truth"], right["predicted"], right["target"]) == (label, label, label)
        assert wrong["predicted"] != wrong["truth"] == label
    assert len(by_row) == 6
    for line in result["rows"]:
        assert line["text"] == TEXTS[line["row"] - 1]
        assert line["line"] == line["row"] + 1
        assert line["probability"] + line["runner_up"]["probability"] == pytest.approx(1)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_contributions_are_those_that_are_known_and_spans_name_the_words() -> None:
    for line in explained()["rows"]:
        target = MODEL.labels.index(line["target"])
        found = [line["text"][start:end] for start, end, _ in line["words"]]
        assert found == line["text"].split()
        expected = [WORDS[word][target] - sum(WORDS[word]) / 2 for word in found]
        assert [score for *_, score in line["words"]] == pytest.approx(expected, abs=1e-5)
        assert line["score"] == pytest.approx(sum(expected), abs=1e-5)
        assert abs(line["delta"]) < 1e-5


def test_the_order_of_the_rows_changes_nothing() -> None:
    assert explained(FRAME.sample(frac=1, random_state=3)) == explained()


def test_equal_probabilities_are_told_apart_by_their_texts_and_equal_texts_are_shown_once() -> None:
    frame = rows_of(["red shoe", "shoe red", "red shoe", "red shoe"], ["class 0"] * 4)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        lines = explain_rows(MODEL, frame.iloc[order], settings=SETTINGS, seed=0)["rows"]
        assert [(line["kind"], line["row"]) for line in lines] == [("right", 1), ("uncertain", 2)]


def test_more_rows_of_each_kind_can_be_asked_for() -> None:
    result = explain_rows(MODEL, FRAME, settings=SETTINGS.model_copy(update={"rows_per_class": 4}), seed=0)
    kinds = [line["kind"] for line in result["rows"]]
    assert kinds == (["right"] * 4 + ["wrong"] * 4 + ["uncertain"] * 4) * 2
    assert len({line["row"] for line in result["rows"]}) == 24


def test_personal_data_are_masked_before_texts_are_cut() -> None:
    text = "red " * ((SHOWN_CHARACTERS - 10) // 4) + "mail ann@example.org blue hat"
    [line] = explained(rows_of([text], ["class 0"]))["rows"]
    assert len(line["text"]) == SHOWN_CHARACTERS
    assert line["more_characters"] == len(text) - SHOWN_CHARACTERS
    assert "ann" not in line["text"]
    assert line["text"].startswith("red red")
    assert len(line["words"]) == 400
    assert line["unread"] == len(text.replace("@", " ").replace(".", " ").split()) - 400
    wide = additive(WORDS, max_tokens=1000)
    [line] = explain_rows(wide, rows_of([text], ["class 0"]), settings=SETTINGS, seed=0)["rows"]
    shown = [line["text"][start:end] for start, end, _ in line["words"]]
    assert shown[-3:] == ["red", "mail", "a••"]
    assert all(end <= SHOWN_CHARACTERS for _, end, _ in line["words"])
    assert line["unread"] == 0


def test_given_rows_come_first_in_their_order_and_what_is_odd_is_said() -> None:
    given = pd.DataFrame(
        {
            "row": [9, 3, 5, 7, 8, 6],
            "line": [10, 4, 6, 8, 9, 7],
            "text": ["blue hat", " ?! ", "red " * 500, None, "red <b>hat</b>", "hat"],
            "label": ["class 1", "class 0", None, None, "nobody@example.org", "class 0"],
        }
    )
    result = explain_rows(MODEL, FRAME, settings=SETTINGS.model_copy(update={"given_rows": 5}), given=given, seed=0)
    lines = result["rows"][:3]
    assert [line["kind"] for line in result["rows"]] == ["given"] * 3 + ["right", "wrong", "uncertain"] * 2
    assert [(line["row"], line["line"], line["truth"]) for line in lines] == [
        (9, 10, "class 1"),
        (5, 6, None),
        (8, 9, None),
    ]
    assert lines[1]["unread"] == 100
    findings = {one["name"]: one for one in result["findings"]}
    assert {name: one["rows"] for name, one in findings.items()} == {
        "more_rows": [6],
        "empty_text": [3, 7],
        "cut_text": [5],
        "unseen_label": [8],
    }
    assert "100 words" in findings["cut_text"]["message"]
    assert "nobody@" not in findings["unseen_label"]["message"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_single_class_has_no_runner_up() -> None:
    model = additive({"red": [1.0]})
    [line] = explain_rows(model, rows_of(["red hat"], ["class 0"]), settings=SETTINGS, seed=0)["rows"]
    assert (line["runner_up"], line["probability"], line["score"]) == (None, 1.0, 0.0)


def test_nothing_to_explain_gives_no_rows() -> None:
    empty = FRAME.iloc[:0]
    result = explained(empty, given=rows_of(["..."], [None]))
    assert result["rows"] == []
    assert [one["name"] for one in result["findings"]] == ["empty_text"]
    assert explained(rows_of(["?", "red"], ["class 0", "class 0"]))["rows"][0]["text"] == "red"


def test_of_many_classes_those_with_the_most_mistakes_are_shown() -> None:
    classes = SHOWN_CLASSES + 5
    words = {f"word{k}": np.eye(classes)[k].tolist() for k in range(classes)}
    model = additive(words)
    # The first five classes are always right, each of the others has one mistake.
    texts = [f"word{k}" for k in range(classes)] + [f"word0 word0 word{k}" for k in range(5, classes)]
    labels = [f"class {k}" for k in [*range(classes), *range(5, classes)]]
    result = explain_rows(model, rows_of(texts, labels), settings=SETTINGS, seed=0)
    assert [line["truth"] for line in result["rows"] if line["kind"] == "wrong"] == [
        f"class {k}" for k in range(5, classes)
    ]
    assert {line["truth"] for line in result["rows"]} == {f"class {k}" for k in range(5, classes)}
    assert [one["name"] for one in result["findings"]] == ["more_classes"]


def test_an_explanation_that_does_not_fit_is_refused() -> None:
    def broken(*arguments: Any, **options: Any) -> list[Attribution]:
        answers = attribute(*arguments, **options)
        answers[1].scores[0] = np.nan
        return answers

    with pytest.raises(DataError, match="of text 1 has a number that is not finite"):
        explained(explain=broken)
    with pytest.raises(DataError, match="one explanation for each of 6 texts, got 5"):
        explained(explain=lambda *arguments, **options: attribute(*arguments, **options)[1:])
