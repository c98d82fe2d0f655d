import json
import pathlib
import re
import unicodedata
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score
from torch import nn

from dlcycle.config import Criterion, ModelSpec, Perturbation, Project
from dlcycle.data.dataset import build_dataset
from dlcycle.data.draw import sample_rows
from dlcycle.data.labels import class_indices
from dlcycle.data.perturb import perturb_texts
from dlcycle.errors import DataError
from dlcycle.insight.robustness.metrics import TITLES, robustness_metrics
from dlcycle.insight.robustness.stress import measure_robustness, shown_changes
from dlcycle.model import load_model
from dlcycle.model.artifact import TextClassifier, pack_model
from dlcycle.model.text import NetworkSpec, build_text_model, pad_rows
from dlcycle.model.tokenizer import fit_tokenizer
from dlcycle.plan.criteria import judge_criteria
from dlcycle.project_file import parse_project, validate_project
from dlcycle.train.candidate import train_candidate

LABELS = ["Books", "Household", "Toys"]
OWN = ["novel author pages plot", "kitchen steel rack oven", "puzzle doll ball swing"]
FILLERS = [f"{first}{second}" for first in ("fa", "go", "hu", "ki", "lo", "me") for second in ("nd", "rt", "st", "lm")]
MAIL = "bob.miller@author.org"


def frame_of(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Texts with one or two words of their class; a tenth has a wrong label, and some a mail address."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(rows):
        true = int(generator.integers(3))
        words = [*generator.choice(OWN[true].split(), generator.integers(1, 3)), *generator.choice(FILLERS, 5)]
        text = " ".join(map(str, generator.permutation(words))) + (f" {MAIL}" if number % 7 == 0 else "")
        label = LABELS[true if generator.random() < 0.9 else (true + 1) % 3]
        found.append({"row": number + 1, "line": number + 2, "text": text, "label": label})
    parts = np.repeat(["train", "validation", "test"], [rows // 2, rows // 4, rows // 4])
    return pd.DataFrame(found).assign(part=generator.permutation(parts))


def classifier_of(
    frame: pd.DataFrame, labels: list[str], *, steps: int = 30, tokenizer: Any = "words"
) -> TextClassifier:
    train = frame[frame["part"] == "train"]
    spec = ModelSpec(
        architecture="bag", tokenizer=tokenizer, embedding=16, hidden=16, ngrams=1, min_count=1, vocabulary=400,
        dropout=0.0,
    )  # fmt: skip
    texts = train["text"].tolist()
    fitted = fit_tokenizer(texts, spec=spec)
    sizes = NetworkSpec(spec, tokens=fitted.size, classes=len(labels))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_text_model(sizes)
    tokens, lengths = pad_rows(fitted.encode(texts))
    truth = torch.as_tensor(class_indices(train["label"], names=labels))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(tokens, lengths), truth).backward()
        optimiser.step()
    return load_model(
        pack_model(
            network, tokenizer=fitted, spec=sizes, labels=labels, temperature=1.0, input_columns=["text"],
            project="small",
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return frame_of()


@pytest.fixture(scope="module")
def classifier(frame: pd.DataFrame) -> TextClassifier:
    return classifier_of(frame, LABELS)


def settings(**explain: Any) -> Project:
    return Project.model_validate({"explain": {"swap_rows": 50} | explain})


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {test["name"]: test for test in result["tests"]}


@pytest.fixture(scope="module")
def result(classifier: TextClassifier, frame: pd.DataFrame) -> dict[str, Any]:
    return measure_robustness(classifier, frame, settings=settings(), seed=3)


def test_every_change_is_measured_on_the_test_rows(
    result: dict[str, Any], classifier: TextClassifier, frame: pd.DataFrame
) -> None:
    test = frame[frame["part"] == "test"]
    clean = classifier.predict(test["text"].tolist()).labels
    assert result["rows"] == result["clean"]["n"] == len(test)
    assert result["clean"]["value"] == accuracy_score(test["label"], clean)
    for kind in get_args(Perturbation):
        entry = by_name(result)[kind]
        changed = perturb_texts(test["text"].tolist(), kind=kind, share=0.1, seed=3)
        predicted = classifier.predict(changed).labels
        assert entry["accuracy"]["value"] == accuracy_score(test["label"], predicted)
        assert entry["drop"]["value"] == pytest.approx(result["clean"]["value"] - entry["accuracy"]["value"])
        assert entry["flipped"]["value"] == np.mean(np.array(predicted) != np.array(clean))
        assert entry["rows"] == len(test)
        for key in ("accuracy", "drop", "flipped"):
            assert entry[key]["low"] <= entry[key]["value"] <= entry[key]["high"]
    # Of one word of the class and no other most rows lose what they are decided by; case is nothing to the model.
    assert by_name(result)["typos"]["drop"]["low"] > 0
    assert by_name(result)["case"]["flipped"]["value"] == 0.0


def test_the_result_is_plain_data_of_the_agreed_form(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result.keys() == {"rows", "clean", "tests", "received", "findings"}
    assert [test["name"] for test in result["tests"]] == list(TITLES)
    keys = {"name", "title", "accuracy", "drop", "flipped", "rows", "explanation", "budget", "swaps", "examples"}
    for test in result["tests"]:
        assert test.keys() == keys | {"before", "change"}
        assert test["before"] is None and test["change"] is None
        assert test["title"] == TITLES[test["name"]]
        assert test["explanation"].endswith(".")


def test_the_attack_is_on_some_rows_chosen_by_what_they_say(
    result: dict[str, Any], classifier: TextClassifier, frame: pd.DataFrame
) -> None:
    entry = by_name(result)["word_swaps"]
    test = frame[frame["part"] == "test"]
    texts, truth = test["text"].tolist(), class_indices(test["label"], names=LABELS)
    chosen = test.iloc[sample_rows(texts, truth, limit=50, seed=3)]
    clean = accuracy_score(chosen["label"], classifier.predict(chosen["text"].tolist()).labels)
    assert entry["rows"] == entry["accuracy"]["n"] == 50
    assert entry["budget"] == 2
    assert entry["drop"]["value"] == pytest.approx(clean - entry["accuracy"]["value"])
    assert entry["flipped"]["value"] == pytest.approx(entry["drop"]["value"])  # only right decisions are attacked
    assert entry["drop"]["low"] > 0
    counts = [swap["count"] for swap in entry["swaps"]]
    assert counts == sorted(counts, reverse=True)
    assert {swap["to"] for swap in entry["swaps"]} <= set(FILLERS)
    # Swaps that broke a decision took out a word of a class.
    assert {swap["from"] for swap in entry["swaps"]} & set(" ".join(OWN).split())


def test_examples_are_decisions_that_broke_surest_first(
    result: dict[str, Any], classifier: TextClassifier, frame: pd.DataFrame
) -> None:
    by_row = frame.set_index("row")
    for test in result["tests"]:
        assert len(test["examples"]) <= 3
        sure = []
        for example in test["examples"]:
            text = by_row.loc[example["row"], "text"]
            prediction = classifier.predict([text])
            assert prediction.labels == [example["truth"]] == [example["predicted"]] == [by_row.label[example["row"]]]
            assert example["predicted_after"] != example["truth"]
            assert example["before"] == text
            assert classifier.predict([example["after"]]).labels == [example["predicted_after"]]
            sure.append(prediction.probabilities.max())
        assert sure == sorted(sure, reverse=True)
    assert len(by_name(result)["typos"]["examples"]) == 3


def test_rows_with_personal_data_are_no_examples(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    """A typing error in a mail address can hide it from the masks."""
    address = frame["text"].str.contains(MAIL, regex=False)
    some = frame[address | (frame["part"] != "test")]
    found = measure_robustness(classifier, some, settings=settings(perturbed_share=0.5))
    assert any(test["flipped"]["value"] > 0 for test in found["tests"])
    assert [test["examples"] for test in found["tests"]] == [[]] * 5
    assert "miller" not in json.dumps(found)
    one = frame[~address]
    control = measure_robustness(classifier, one, settings=settings(perturbed_share=0.5))
    assert any(test["examples"] for test in control["tests"])


def test_another_model_decides_on_the_same_changed_texts(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    weak = classifier_of(frame, LABELS[::-1], steps=4)  # knows the classes in another order
    found = by_name(measure_robustness(classifier, frame, settings=settings(), before=weak, seed=3))
    test = frame[frame["part"] == "test"]
    for kind in get_args(Perturbation):
        changed = perturb_texts(test["text"].tolist(), kind=kind, share=0.1, seed=3)
        assert found[kind]["before"]["value"] == accuracy_score(test["label"], weak.predict(changed).labels)
    alone = by_name(measure_robustness(weak, frame, settings=settings(), seed=3))
    for name, entry in found.items():
        assert entry["before"] == alone[name]["accuracy"]
        change = entry["change"]
        assert change["value"] == pytest.approx(entry["accuracy"]["value"] - entry["before"]["value"])
        assert change["low"] <= change["value"] <= change["high"]
    assert "attacked itself" in found["word_swaps"]["explanation"]
    assert "attacked itself" not in alone["word_swaps"]["explanation"]


def test_a_model_is_as_robust_as_itself(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    for test in measure_robustness(classifier, frame, settings=settings(), before=classifier)["tests"]:
        assert test["before"] == test["accuracy"]
        assert test["change"]["value"] == 0.0


def test_the_order_of_the_rows_does_not_matter(
    result: dict[str, Any], classifier: TextClassifier, frame: pd.DataFrame
) -> None:
    turned = frame.sample(frac=1.0, random_state=1)
    assert measure_robustness(classifier, turned, settings=settings(), seed=3) == result


def test_only_the_changes_of_the_project_are_made(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    found = measure_robustness(classifier, frame, settings=settings(perturbations=["case", "case"], swap_budget=1))
    assert [test["name"] for test in found["tests"]] == ["case", "word_swaps"]
    assert by_name(found)["word_swaps"]["budget"] == 1


def test_explanations_say_what_the_model_would_see(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    texts = ["12", "..", "novel", " novel \u00a0pages "]
    odd = pd.DataFrame({"row": [1001, 1002, 1003, 1004], "line": 0, "text": texts, "label": "Books", "part": "test"})
    some = pd.concat([frame[frame["part"] != "test"], odd])
    result = measure_robustness(classifier, some, settings=settings(perturbed_share=0.25))
    words = by_name(result)
    assert words["typos"]["explanation"].startswith("In 25 % of the words")
    assert "In 2 texts there was nothing to change." in words["typos"]["explanation"]
    assert "closed gaps and cuts do" in words["white_space"]["explanation"]
    assert "Unicode NFC" in result["received"]
    pieces = classifier_of(frame, LABELS, steps=2, tokenizer="bpe")
    told = by_name(measure_robustness(pieces, some, settings=settings()))["white_space"]["explanation"]
    assert "reads white space too" in told


def test_changed_texts_are_handed_on_as_cleaning_does(
    classifier: TextClassifier, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def logits(self: TextClassifier, texts: list[str], **options: Any) -> Any:
        seen.extend(texts)
        return original(self, texts, **options)

    original = TextClassifier.logits
    monkeypatch.setattr(TextClassifier, "logits", logits)
    # The upper case of this letter is decomposed, the texts of a source never are.
    texts = frame["text"].where(frame["part"] != "test", "\u01f0 novel pages")
    measure_robustness(classifier, frame.assign(text=texts), settings=settings(perturbations=["case"]))
    assert any("NOVEL" in text for text in seen)
    assert all(unicodedata.is_normalized("NFC", text) and text == text.strip() for text in seen)


def test_a_network_without_embedding_and_few_neutral_words_are_told(
    classifier: TextClassifier, frame: pd.DataFrame
) -> None:
    class Blind(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.inner = network

        def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(tokens, lengths)
            return logits

    blind = replace(classifier, network=Blind(classifier.network).eval())
    few = frame.assign(text=[re.sub(r"\b(go|hu|ki|lo|me)\w+", "1", text) for text in frame["text"]])
    found = measure_robustness(blind, few, settings=settings())
    told = by_name(found)["word_swaps"]["explanation"]
    assert "sought at random" in told
    assert [finding["name"] for finding in found["findings"]] == ["few_neutral_words"]
    assert found["findings"][0]["message"] in told


def test_without_words_to_put_in_the_attack_is_not_measured(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    bare = frame.assign(text=frame["text"].where(frame["part"] != "train", "1 2 3"))
    found = measure_robustness(classifier, bare, settings=settings(), before=classifier)
    entry = by_name(found)["word_swaps"]
    assert entry["accuracy"]["value"] is None and "no word" in entry["accuracy"]["reason"]
    assert entry["before"] is None and entry["change"] is None
    gates = judge_criteria(
        [Criterion(metric="accuracy_word_swaps", at_least=0.1)], metrics=robustness_metrics(found), stage="explain"
    )
    assert gates["passed"] is False
    assert "no word that could be put in" in gates["criteria"][0]["sentence"]


def test_criteria_are_judged_by_what_was_measured(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    found = measure_robustness(classifier, frame, settings=settings(perturbations=["case"]))
    metrics = robustness_metrics(found)
    assert metrics["accuracy_case"] == by_name(found)["case"]["accuracy"]
    names = [name for name in get_args(Criterion.model_fields["metric"].annotation) if name.startswith("accuracy_")]
    assert list(metrics) == names
    criteria = [Criterion(metric="accuracy_case", at_least=0.5), Criterion(metric="accuracy_typos", at_least=0.0)]
    gates = judge_criteria(criteria, metrics=metrics, stage="explain")
    assert [entry["met"] for entry in gates["criteria"]] == [True, False]
    line = gates["criteria"][1]["sentence"].split("set ")[1].rstrip(".")
    assert line == '[explain] perturbations = ["typos", "case"]'
    assert validate_project(parse_project(line.replace("] ", "]\n", 1))).explain.perturbations == ("typos", "case")


def test_without_test_rows_it_says_so(classifier: TextClassifier, frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"no rows.*split\.test"):
        measure_robustness(classifier, frame[frame["part"] != "test"], settings=settings())
    with pytest.raises(DataError, match="got 'Games'"):
        measure_robustness(classifier, frame.assign(label="Games"), settings=settings())


def test_what_changed_is_shown_with_what_is_around_it() -> None:
    long = " ".join(f"word{number}" for number in range(400))
    old, new = shown_changes(long, long.replace("word50 ", "wrod50 "))
    assert "word50 word51" in old and "wrod50 word51" in new
    assert old.replace("word50", "wrod50") == new
    assert old.startswith("... word") and old.endswith(" ...") and len(old) < 150
    both = shown_changes(long, long.replace("word50 ", "A ").replace("word350 ", "B "))[1]
    assert " A word51" in both and " B word351" in both and len(both) < 450
    assert shown_changes("a b", "a b") == ("a b", "a b")
    assert shown_changes("", "x") == ("", "x")
    assert shown_changes("aaa", "aa") == ("aaa", "aa")


@pytest.mark.slow
def test_on_real_data_typos_cost_little_and_the_attack_costs_more(
    root: pathlib.Path, ecommerce_csv: pathlib.Path
) -> None:
    project = validate_project(parse_project((root / "configs" / "ecommerce.toml").read_text()))
    project = project.model_copy(update={"train": project.train.model_copy(update={"epochs": 3})})
    data = build_dataset(project, uri=str(ecommerce_csv)).frame
    labels = sorted(data["label"].unique())
    candidate = train_candidate(
        data, spec=project.model.candidates[0], settings=project, labels=labels, seed=0, build_model=build_text_model
    )
    found = measure_robustness(load_model(candidate.model), data, settings=project)
    entries = by_name(found)
    assert found["clean"]["value"] > 0.9
    assert found["findings"] == []
    assert entries["case"]["flipped"]["value"] < 0.001
    for kind in get_args(Perturbation):
        assert abs(entries[kind]["drop"]["value"]) < 0.03
    assert entries["word_swaps"]["rows"] == 200
    assert entries["word_swaps"]["drop"]["low"] > 0.02
    assert entries["word_swaps"]["accuracy"]["value"] > 0.7
