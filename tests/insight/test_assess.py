import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from dlcycle.config import Costs, Criterion, ModelSpec, PlanSection
from dlcycle.errors import DataError
from dlcycle.insight.assess import Assessment, assess_model
from dlcycle.model import load_model
from dlcycle.model.artifact import pack_model
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import fit_tokenizer

LABELS = ["Books", "Household", "Toys"]
WORDS = {"Books": "novel author pages", "Household": "kitchen steel rack", "Toys": "puzzle doll ball"}
PLAN = PlanSection(
    required_precision=0.8,
    costs=Costs(manual=0.25),
    criteria=(Criterion(metric="accuracy", at_least=0.5), Criterion(metric="gain", at_least=0.01)),
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Texts of three classes, each with words of its class and of another."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(240):
        label, other = generator.choice(LABELS, 2)
        words = generator.choice((WORDS[label] + " " + WORDS[other]).split(), 5)
        rows.append({"row": number + 1, "line": number + 2, "text": " ".join(words), "label": label})
    parts = np.repeat(["train", "validation", "test"], [120, 60, 60])
    return pd.DataFrame(rows).assign(part=generator.permutation(parts))


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> dict[str, Any]:
    """A packed network after a few steps on the training part."""
    train = frame[frame["part"] == "train"]
    settings = ModelSpec(architecture="bag", embedding=8, hidden=8, ngrams=1, min_count=1, dropout=0.0)
    tokenizer = fit_tokenizer(train["text"].tolist(), spec=settings)
    spec = NetworkSpec(settings, tokens=tokenizer.size, classes=len(LABELS))
    torch.manual_seed(0)
    network = build_text_model(spec)
    rows = [torch.as_tensor(np.asarray(ids, dtype=np.int64)) for ids in tokenizer.encode(train["text"].tolist())]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths, truth = torch.tensor([len(row) for row in rows]), torch.tensor(classes(train))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(25):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(tokens, lengths), truth).backward()
        optimiser.step()
    return pack_model(
        network, tokenizer=tokenizer, spec=spec, labels=LABELS, temperature=1.0, input_columns=["text"], project="small"
    )


def classes(part: pd.DataFrame) -> list[int]:
    return [LABELS.index(label) for label in part["label"]]


def logits(model: dict[str, Any], frame: pd.DataFrame, part: str) -> npt.NDArray[np.float64]:
    return load_model(model).logits(frame.loc[frame["part"] == part, "text"].tolist())


def itself(model: dict[str, Any], frame: pd.DataFrame) -> dict[str, Any]:
    """The model's own scores in the place of the baseline's."""
    return {
        "name": "itself",
        "validation_scores": logits(model, frame, "validation"),
        "test_scores": logits(model, frame, "test"),
    }


def assess(model: dict[str, Any], frame: pd.DataFrame, **changes: Any) -> Assessment:
    arguments = {
        "frame": frame,
        "validation_logits": logits(model, frame, "validation"),
        "baseline": itself(model, frame),
        "plan": PLAN,
        "build_model": build_text_model,
    }
    return assess_model(model, **(arguments | changes))


def test_a_model_is_as_good_as_itself(model: dict[str, Any], frame: pd.DataFrame) -> None:
    result = assess(model, frame)
    assert result.baseline_metrics == result.metrics | {"name": "itself"}
    assert result.comparison["verdict"] == "no_gain"
    assert result.comparison["difference"]["value"] == 0.0
    assert [criterion["met"] for criterion in result.gates["criteria"]] == [True, False]
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    plain = {name: value for name, value in fields.items() if name != "model"}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_values_are_those_of_the_restored_model_on_the_test_rows(model: dict[str, Any], frame: pd.DataFrame) -> None:
    result = assess(model, frame)
    test = frame[frame["part"] == "test"]
    predicted = load_model(result.model).predict(test["text"].tolist()).labels
    assert 0.5 < result.metrics["accuracy"]["value"] < 1.0  # otherwise this would compare little
    assert result.metrics["accuracy"]["value"] == accuracy_score(test["label"], predicted)
    assert result.metrics["macro_f1"]["value"] == pytest.approx(f1_score(test["label"], predicted, average="macro"))
    assert {mistake["row"] for mistake in result.metrics["mistakes"]} <= set(test["row"])


def test_a_weaker_baseline_is_compared_row_by_row(model: dict[str, Any], frame: pd.DataFrame) -> None:
    constant = {
        "name": "constant",
        "validation_scores": np.tile([1.0, 0.0, 0.0], (60, 1)),
        "test_scores": np.tile([1.0, 0.0, 0.0], (60, 1)),
    }
    result = assess(model, frame, baseline=constant)
    share = float((frame.loc[frame["part"] == "test", "label"] == LABELS[0]).mean())
    assert result.baseline_metrics["accuracy"]["value"] == pytest.approx(share)
    assert result.comparison["difference"]["value"] == pytest.approx(result.metrics["accuracy"]["value"] - share)
    assert result.comparison["verdict"] == "worth_it"
    assert result.gates["passed"]


def test_the_test_part_decides_nothing_about_the_model(model: dict[str, Any], frame: pd.DataFrame) -> None:
    first = assess(model, frame)
    turned = frame["label"].map(dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True)))
    other = assess(model, frame.assign(label=frame["label"].where(frame["part"] != "test", turned)))
    assert other.metrics["accuracy"]["value"] < first.metrics["accuracy"]["value"]
    assert other.model == first.model
    assert other.metrics["temperature"] == first.metrics["temperature"]
    assert other.metrics["automation"]["threshold"] == first.metrics["automation"]["threshold"]


def test_training_rows_play_no_role(model: dict[str, Any], frame: pd.DataFrame) -> None:
    without = frame[frame["part"] != "train"]
    assert assess(model, without).metrics == assess(model, frame).metrics


def test_the_model_that_is_saved_is_the_one_that_was_checked(model: dict[str, Any], frame: pd.DataFrame) -> None:
    result = assess(model, frame)
    temperature = result.metrics["temperature"]["value"]
    assert temperature != 1.0
    assert result.model["description"]["temperature"] == temperature
    assert result.model["weights"] is model["weights"]
    assert result.consistency["passed"]
    assert result.consistency["rows"] == 60


def test_a_network_that_sees_its_batch_is_noticed(model: dict[str, Any], frame: pd.DataFrame) -> None:
    def leaky(spec: NetworkSpec) -> torch.nn.Module:
        """A defect: a row's logits depend on the other rows of its batch."""
        network = build_text_model(spec)
        network.register_forward_hook(lambda module, inputs, output: output + output.mean(0))
        return network

    consistency = assess(model, frame, build_model=leaky).consistency
    assert not consistency["passed"]
    assert "do not agree" in consistency["message"]


def test_an_empty_test_part_and_an_unknown_label_are_refused(model: dict[str, Any], frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="test part has no rows"):
        assess(model, frame[frame["part"] != "test"])
    with pytest.raises(DataError, match=r"expected the labels .*, got .Cars."):
        assess(model, frame.replace({"label": {"Toys": "Cars"}}))
