"""The whole look at a model: what is shared by its sides, and that nobody's address gets into any of them."""

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dlcycle.config import Project
from dlcycle.errors import DataError
from dlcycle.insight.explanation import explain_model
from dlcycle.insight.inspection import inspect_model
from dlcycle.insight.robustness.neutral_words import neutral_words
from dlcycle.insight.robustness.stress import measure_robustness
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.tokenizer import WordTokenizer

LABELS = ["Books", "Tools", "Toys"]
OWN = ["novel author pages", "hammer drill steel", "puzzle doll swing"]
FILLERS = [f"{first}{second}" for first in ("fa", "go", "hu", "ki", "lo", "me") for second in ("nd", "rt", "st", "lm")]
ADDRESS = "petra.hoffmann@firma-geheim.de"
SIGNATURE = f"{ADDRESS}, phone +49 170 5550123"
SECRETS = ("petra", "hoffmann", "geheim", "5550")
PIECES = ["petra", "hoffmann", "firma", "geheim", "de", "phone", "49", "170", "5550123"]


class Additive(nn.Module):
    """Logits that are the sum of three numbers a word."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(weights, dtype=torch.float32), freeze=False)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).sum(1)


def classifier_of(signed: float = 1.5) -> TextClassifier:
    """Words of a class speak for it by 2; every piece of a signature speaks for the first class."""
    words = [*" ".join(OWN).split(), *FILLERS, *PIECES]
    weights = np.zeros((len(words) + 2, 3))
    for number, own in enumerate(OWN):
        for word in own.split():
            weights[2 + words.index(word), number] = 2.0
    weights[2 + len(words) - len(PIECES) :, 0] = signed
    return TextClassifier(Additive(weights).eval(), WordTokenizer(tuple(words), max_tokens=60), LABELS, 1.0, {})


def frame_of(rows: int = 1200, seed: int = 0) -> pd.DataFrame:
    """Texts of which one in twenty is signed, as many of each class; a tenth of the labels is wrong."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(rows):
        true = number % 3
        words = [*generator.choice(OWN[true].split(), 2), *generator.choice(FILLERS, 4)]
        signed = number // 3 % 20 == 0
        found.append(
            {
                "row": number + 1,
                "line": number + 2,
                "text": " ".join(map(str, generator.permutation(words))) + (f" {SIGNATURE}" if signed else ""),
                "label": LABELS[true if generator.random() < 0.9 else (true + 1) % 3],
                "about.contact": ADDRESS if generator.random() < 0.3 else f"shop{generator.integers(3)}@example.org",
            }
        )
    parts = np.array(["train", "validation", "train", "test"])
    return pd.DataFrame(found).assign(part=parts[np.arange(rows) // 60 % 4])


def settings() -> Project:
    return Project.model_validate(
        {
            "data": {"group_columns": ["contact"]},
            "plan": {"costs": {"manual": 0.2}},
            "explain": {
                "swap_rows": 150, "swap_budget": 2, "steps": 3, "check_rows": 12, "shapley_samples": 2,
                "overall_rows": 150, "slice_rows": 5, "rows_per_class": 2, "detect_languages": False,
            },
        }
    )  # fmt: skip


FRAME = frame_of()


@pytest.fixture(scope="module")
def inspected() -> dict[str, Any]:
    return asdict(inspect_model(classifier_of(), FRAME, before=None, compared=None, settings=settings()))


def test_no_artifact_holds_a_piece_of_an_address_or_of_a_phone_number(inspected: dict[str, Any]) -> None:
    classifier = classifier_of()
    texts = [SIGNATURE, "novel " * 58 + SIGNATURE, f"author\n{SIGNATURE.upper()}", ""]
    given = pd.DataFrame({"row": range(4), "line": range(4), "text": texts, "label": [ADDRESS, None, "Toys", None]})
    artifacts = {
        "explanation": asdict(explain_model(classifier, FRAME, given=given, settings=settings().explain)),
        "inspection": inspected,
        "robustness": measure_robustness(classifier, FRAME, settings=settings(), before=classifier_of(0.5)),
    }
    for name, artifact in artifacts.items():
        told = repr(artifact).lower()
        assert not [secret for secret in SECRETS if secret in told], name
        json.dumps(artifact, allow_nan=False)
    # The control: signed texts, groups and phrases are told of, masked.
    told = {name: repr(artifact) for name, artifact in artifacts.items()}
    assert all("p•••••" in told[name] for name in ("explanation", "inspection"))
    assert any("phone" in line["words"] for line in inspected["slices"]["slices"])
    assert artifacts["robustness"]["tests"][-1]["swaps"]


def test_pieces_of_addresses_are_no_words_of_the_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    train = FRAME[FRAME["part"] == "train"]
    classes = [LABELS.index(label) for label in train["label"]]
    words = neutral_words(train["text"].tolist(), classes, classes_count=3).words
    assert len(set(FILLERS) & set(words)) > 20
    assert not [word for word in words if any(secret in word for secret in SECRETS)]
    # The control: they would be, as frequent as they are and in every class.
    monkeypatch.setattr("dlcycle.insight.robustness.neutral_words.mask_personal", lambda text: text)
    words = neutral_words(train["text"].tolist(), classes, classes_count=3).words
    assert {"petra", "hoffmann", "geheim"} <= set(words)
    told = repr(measure_robustness(classifier_of(), FRAME, settings=settings())["tests"][-1]["swaps"])
    assert "petra" in told


def test_every_side_rests_on_the_same_decisions(inspected: dict[str, Any]) -> None:
    test = FRAME[FRAME["part"] == "test"]
    right = np.mean(np.array(classifier_of().predict(test["text"].tolist()).labels) == test["label"])
    assert inspected["slices"]["overall"]["value"] == pytest.approx(right)
    assert inspected["business"]["rows"] == len(test)
    groups = inspected["fairness"]["columns"][0]["groups"]
    hits = sum(group["accuracy"]["value"] * group["rows"] for group in groups)
    assert hits == pytest.approx(right * len(test))
    assert inspected["slices"]["listed"] == len(inspected["work_list"].splitlines()) - 1 > 0
    assert "weak" not in inspected["slices"]["mislabelled"]
    for row in inspected["slices"]["mislabelled"]["rows"]:
        [text] = FRAME[FRAME["row"] == row["row"]]["text"]
        [expected] = classifier_of().predict([text]).probabilities.max(1)
        assert row["probability"] == pytest.approx(expected, abs=1e-5)


def test_an_earlier_model_may_know_the_classes_in_another_order_but_not_others(inspected: dict[str, Any]) -> None:
    now = classifier_of()
    network = Additive(now.network.state_dict()["embedding.weight"].numpy()[:, ::-1].copy()).eval()
    turned = replace(now, network=network, labels=LABELS[::-1])
    compared = {"run": "TrainFlow/1", "why": "", "differs": {}}
    found = inspect_model(now, FRAME, before=turned, compared=compared, settings=settings())
    assert found.fairness["before"]["change"]["value"] == 0.0
    assert found.fairness["before"]["accuracy"] == inspected["slices"]["overall"]
    assert found.slices == inspected["slices"]
    for other, words in (
        (["Books", "Tools", "Games"], "lacks 'Toys' and knows 'Games' besides"),
        ([*LABELS, "Games"], "one that knows 'Games' besides"),
        (LABELS[:2], "one that lacks 'Toys';"),
    ):
        before = replace(now, labels=other)
        for look in (
            lambda before=before: inspect_model(now, FRAME, before=before, compared=compared, settings=settings()),
            lambda before=before: measure_robustness(now, FRAME, before=before, settings=settings()),
        ):
            with pytest.raises(DataError, match=f"--before: .*{words}.*name a run with the same classes"):
                look()


def test_a_label_that_the_model_does_not_know_is_refused_in_every_part() -> None:
    for part in ("train", "validation", "test"):
        odd = FRAME.assign(label=FRAME["label"].where(FRAME["part"] != part, "Games"))
        with pytest.raises(DataError, match="got 'Games'"):
            inspect_model(classifier_of(), odd, before=None, compared=None, settings=settings())
