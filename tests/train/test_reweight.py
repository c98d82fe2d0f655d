import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from dlcycle.config import Project, TrainSection
from dlcycle.errors import DataError, TrainingError
from dlcycle.model import load_model
from dlcycle.model.text import build_text_model
from dlcycle.train.batches import Batch
from dlcycle.train.candidate import Candidate, train_candidate
from dlcycle.train.module import ClassifierModule, balanced_class_weights
from dlcycle.train.reweight import CAP, reweighting

TABLES = st.integers(1, 4).flatmap(
    lambda classes: st.lists(st.lists(st.integers(1, 30), min_size=classes, max_size=classes), min_size=1, max_size=5)
)
NAMES = ["north", "south", None, "", "None"]


def rows_of(table: list[list[int]]) -> tuple[list[str | None], np.ndarray]:
    cells = [(NAMES[g], y) for g, row in enumerate(table) for y, count in enumerate(row) for _ in range(count)]
    return [group for group, _ in cells], np.array([label for _, label in cells])


@given(TABLES)
def test_counted_by_weight_groups_and_classes_are_independent(table: list[list[int]]) -> None:
    groups, labels = rows_of(table)
    weights = reweighting(groups, labels, cap=math.inf)
    assert weights.dtype == np.float32
    frame = pd.DataFrame({"g": [NAMES.index(group) for group in groups], "y": labels, "w": weights.astype(float)})
    joint = frame.pivot_table(values="w", index="g", columns="y", aggfunc="sum").to_numpy() / len(frame)
    counts = np.array(table) / len(frame)
    # Weights are 32-bit numbers, exact to 6e-8 of their size.
    np.testing.assert_allclose(joint, np.outer(counts.sum(1), counts.sum(0)), rtol=1e-5)
    assert weights.mean() == pytest.approx(1.0, rel=1e-5)
    order = np.random.default_rng(0).permutation(len(labels))
    assert np.array_equal(reweighting([groups[row] for row in order], labels[order], cap=math.inf), weights[order])


def test_without_weights_they_are_not() -> None:
    groups, labels = rows_of([[30, 1], [1, 30]])
    assert np.ptp([labels[[group == name for group in groups]].mean() for name in NAMES[:2]]) > 0.9, "control"
    weights = reweighting(groups, labels, cap=math.inf)
    chosen = [[group == name for group in groups] for name in NAMES[:2]]
    shares = [np.average(labels[rows], weights=weights[rows]) for rows in chosen]
    assert shares == pytest.approx([0.5, 0.5])


def test_independent_groups_are_left_as_they_are() -> None:
    groups, labels = rows_of([[6, 2], [12, 4]])
    np.testing.assert_allclose(reweighting(groups, labels), 1.0, rtol=1e-6)


def test_rows_without_a_group_are_a_group_and_missing_numbers_too() -> None:
    labels = np.array([0, 0, 1, 0, 1, 1])
    named = reweighting(["a", "a", "a", "b", "b", "b"], labels)
    assert np.array_equal(reweighting(["a", "a", "a", None, None, None], labels), named)
    assert np.array_equal(reweighting([math.nan, math.nan, math.nan, "b", "b", "b"], labels), named)  # type: ignore[list-item]


def test_a_single_row_does_not_outweigh_hundreds() -> None:
    groups, labels = rows_of([[1, 499], [499, 1]])
    weights = reweighting(groups, labels)
    assert weights.mean() == pytest.approx(1.0, rel=1e-5)
    # The mean of capped weights is below 1, so that making it 1 lifts them: here 0.52 to 1.
    assert weights.max() / weights.min() == pytest.approx(CAP / (500 * 500 / (1000 * 499)), rel=1e-5)
    assert reweighting(groups, labels, cap=math.inf).max() == pytest.approx(250, rel=1e-5), "control"


def test_groups_that_do_not_fit_the_labels_are_an_error() -> None:
    with pytest.raises(TrainingError, match="2 groups and 3 labels"):
        reweighting(["a", "b"], np.array([0, 1, 0]))
    with pytest.raises(TrainingError, match="0 groups and 0 labels"):
        reweighting([], np.array([], dtype=np.int64))


class Fixed(nn.Module):
    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


@pytest.mark.parametrize("balanced", [False, True])
def test_a_weight_of_two_counts_a_row_twice(balanced: bool) -> None:
    class_weights = balanced_class_weights(np.array([0, 0, 0, 1, 2, 2]), classes=3) if balanced else None
    settings = TrainSection(label_smoothing=0.1)
    module = ClassifierModule(Fixed(), settings=settings, steps=1, class_weights=class_weights)
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    times = torch.tensor([1, 2, 1, 3, 1])
    weighted = Batch((logits,), labels, torch.arange(5), times.float())
    repeated = Batch((logits.repeat_interleave(times, 0),), labels.repeat_interleave(times), torch.arange(8))
    reference = functional.cross_entropy(repeated.inputs[0], repeated.labels, weight=class_weights, label_smoothing=0.1)
    torch.testing.assert_close(module.training_step(weighted, 0), reference)
    torch.testing.assert_close(module.training_step(repeated, 0), reference)
    plain = module.training_step(weighted._replace(weights=None), 0)
    assert not torch.isclose(plain, reference), "control"
    ones = module.training_step(weighted._replace(weights=torch.full((5,), 0.5)), 0)
    torch.testing.assert_close(ones, plain)


def biased_rows(seed: int, *, train: int = 1500, test: int = 600, agreement: float = 0.95) -> pd.DataFrame:
    """Rows whose label hangs on weak words; in training and validation the word of the group often tells it too."""
    generator = np.random.default_rng(seed)
    parts = np.repeat(["train", "validation", "test"], [train, test, test])
    labels = generator.integers(0, 2, len(parts))
    agree = generator.random(len(parts)) < np.where(parts == "test", 0.5, agreement)
    groups = np.where(agree, labels, 1 - labels)
    texts = []
    for label, group in zip(labels, groups, strict=True):
        signs = np.where(generator.random(3) < 0.7, label, 1 - label)
        noise = generator.integers(0, 50, 6)
        words = [f"group{group}", *(f"sign{sign}" for sign in signs), *(f"w{word}" for word in noise)]
        texts.append(" ".join(generator.permutation(words)))
    return pd.DataFrame(
        {
            "row": np.arange(len(parts)),
            "text": pd.Series(texts, dtype=object),
            "label": pd.Series(np.array(["no", "yes"])[labels], dtype=object),
            "part": parts,
            "about.region": pd.Series([f"region {group}" for group in groups], dtype=object),
        }
    )


def train(frame: pd.DataFrame, *, columns: tuple[str, ...] = ("region",), **options: object) -> Candidate:
    settings = Project.model_validate(
        {
            "data": {"group_columns": columns},
            "model": {"candidates": [{"ngrams": 1}]},
            "train": {"epochs": 5, "learning_rate": 1e-2, "threads": 1, **options},
        }
    )
    return train_candidate(
        frame,
        spec=settings.model.candidates[0],
        settings=settings,
        labels=["no", "yes"],
        seed=0,
        build_model=build_text_model,
    )


def true_positive_gap(candidate: Candidate, frame: pd.DataFrame) -> float:
    """Difference of the share of `yes` that is found, between the groups of the test part."""
    test = frame[(frame["part"] == "test") & (frame["label"] == "yes")]
    found = np.array(load_model(candidate.model).predict(test["text"].tolist()).labels) == "yes"
    return float(np.ptp([found[(test["about.region"] == f"region {group}").to_numpy()].mean() for group in (0, 1)]))


@pytest.mark.slow
def test_a_planted_bias_shrinks() -> None:
    frame = biased_rows(0)
    before = true_positive_gap(train(frame), frame)
    after = true_positive_gap(train(frame, reweight="region"), frame)
    assert before > 0.5, "control: without weights the model reads the group"
    assert after < 0.5 * before


def test_the_report_tells_the_weights_and_only_when_there_are_any() -> None:
    frame = biased_rows(0, train=200, test=50)
    assert not {"reweight", "augment", "augment_share"} & set(train(frame, epochs=1).report)
    report = train(frame, epochs=1, reweight="region").report
    part = frame[frame["part"] == "train"]
    weights = reweighting(part["about.region"].tolist(), (part["label"] == "yes").to_numpy(dtype=np.int64))
    ends = {"smallest": float(weights.min()), "largest": float(weights.max())}
    assert report["reweight"] == {"column": "region", **ends}
    assert ends["smallest"] < 0.6
    assert ends["largest"] > 5


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    frame = biased_rows(0, train=60, test=20)
    with pytest.raises(DataError, match=r"train\.reweight: the rows have no column 'age'; they have 'region'"):
        train(frame, columns=("age",), reweight="age")
    with pytest.raises(DataError, match=r"no column 'region'; name columns of the data in data\.group_columns"):
        train(frame.drop(columns="about.region"), reweight="region")
