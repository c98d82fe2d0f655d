import numpy as np
import pandas as pd
import pytest
import safetensors.torch

from dlcycle.config import ModelSpec, Project
from dlcycle.data.perturb import perturb_texts
from dlcycle.model import load_model
from dlcycle.model.text import build_text_model
from dlcycle.model.tokenizer import Tokenizer, fit_tokenizer
from dlcycle.train.batches import TextRows, training_batches, with_changed_versions
from dlcycle.train.candidate import Candidate, train_candidate

SIGNS = {
    "house": "kitchen curtain blanket teapot cushion carpet mattress saucepan",
    "book": "novel author chapter paperback edition publisher bestseller biography",
    "clothes": "trousers cotton sleeve collar jacket waistcoat stockings pullover",
}
OTHERS = "quality delivery brand original perfect package colour customer warranty standard product best"


def make_frame(seed: int = 0, *, train: int = 600, test: int = 300) -> pd.DataFrame:
    """Texts of common words and one word that tells the class."""
    generator = np.random.default_rng(seed)
    parts = np.repeat(["train", "validation", "test"], [train, test, test])
    labels = generator.choice(list(SIGNS), len(parts))
    texts = []
    for label in labels:
        words = [*generator.choice(OTHERS.split(), generator.integers(2, 6)), generator.choice(SIGNS[label].split())]
        texts.append(" ".join(generator.permutation(words)))
    columns = {"text": texts, "label": labels}
    frame = pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in columns.items()})
    return frame.assign(row=np.arange(len(parts)), part=parts)


def train(frame: pd.DataFrame, *, model: dict[str, object] | None = None, **options: object) -> Candidate:
    settings = Project.model_validate(
        {
            "model": {"candidates": [{"ngrams": 1, "min_count": 1, **(model or {})}]},
            "train": {"epochs": 2, "learning_rate": 1e-2, "threads": 1, **options},
        }
    )
    return train_candidate(
        frame,
        spec=settings.model.candidates[0],
        settings=settings,
        labels=sorted(SIGNS),
        seed=0,
        build_model=build_text_model,
    )


def encoded(frame: pd.DataFrame) -> tuple[TextRows, list[str], Tokenizer]:
    texts = frame["text"].tolist()
    tokenizer = fit_tokenizer(texts, spec=ModelSpec(ngrams=1, min_count=1))
    labels = pd.factorize(frame["label"])[0].astype(np.int64)
    weights = np.linspace(0.5, 1.5, len(texts), dtype=np.float32)
    return TextRows(tokenizer.encode(texts), labels, np.arange(len(texts)) + 100, weights), texts, tokenizer


@pytest.mark.parametrize("kinds", [("typos",), ("typos", "dropped_words", "white_space"), ("typos", "case") * 3])
def test_versions_follow_the_texts_in_equal_numbers_of_each_kind(kinds: tuple[str, ...]) -> None:
    rows, texts, tokenizer = encoded(make_frame(train=20, test=5))
    all_rows = with_changed_versions(rows, texts, tokenizer=tokenizer, kinds=kinds, seed=3)
    changed = all_rows.versions - 1
    assert changed >= 4
    assert changed % len(kinds) == 0
    assert len(all_rows) == len(texts) * all_rows.versions
    for version in range(all_rows.versions):
        place = slice(version * len(texts), (version + 1) * len(texts))
        expected = texts
        if version:
            kind = kinds[(version - 1) % len(kinds)]
            expected = perturb_texts(texts, kind=kind, seed=3 * changed + version - 1)
        for tokens, reference in zip(all_rows.tokens[place], tokenizer.encode(expected), strict=True):
            assert np.array_equal(tokens, reference)
        assert np.array_equal(all_rows.labels[place], rows.labels)
        assert np.array_equal(all_rows.numbers[place], rows.numbers)
        assert np.array_equal(all_rows.weights[place], rows.weights)


def test_batches_hold_each_row_once_in_one_of_its_versions() -> None:
    rows, texts, tokenizer = encoded(make_frame(train=100, test=10))
    all_rows = with_changed_versions(rows, texts, tokenizer=tokenizer, kinds=["typos"], seed=0)
    loader = training_batches(all_rows, batch_size=16, seed=0, changed_share=0.5)
    numbers, changed = [], 0
    for batch in loader:
        for line, length, label, number, weight in zip(
            *batch.inputs, batch.labels, batch.rows, batch.weights, strict=True
        ):
            row = int(number) - 100
            assert label == rows.labels[row]
            assert weight == rows.weights[row]
            tokens = line[:length].numpy()
            changed += not np.array_equal(tokens, rows.tokens[row])
            assert any(np.array_equal(tokens, all_rows.tokens[p]) for p in range(row, len(all_rows), len(rows)))
            numbers.append(int(number))
    assert sorted(numbers) == list(range(100, 220))
    assert len(loader) == 8
    # 120 draws of one half, 4 standard deviations to each side.
    assert 38 <= changed <= 82


def weights_of(candidate: Candidate) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in safetensors.torch.load(candidate.model["weights"]).items()}


def same(first: Candidate, second: Candidate) -> bool:
    one, other = weights_of(first), weights_of(second)
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_without_a_share_training_gives_the_bits_that_it_gives_without_changes() -> None:
    frame = make_frame(train=120, test=30)
    plain = train(frame, class_weights="balanced")
    none = train(frame, class_weights="balanced", augment=["typos"], augment_share=0.0)
    some = train(frame, class_weights="balanced", augment=["typos"], augment_share=0.5)
    assert same(plain, none)
    assert not same(plain, some), "control"
    assert same(some, train(frame, class_weights="balanced", augment=["typos"], augment_share=0.5))
    assert np.array_equal(plain.validation_logits, none.validation_logits)


def test_the_tokenizer_sees_the_texts_unchanged_and_other_parts_stay() -> None:
    frame = make_frame(train=120, test=30)
    plain, changed = train(frame), train(frame, augment=["typos", "dropped_words"])
    assert plain.model["tokenizer"] == changed.model["tokenizer"]
    reloaded = load_model(changed.model)
    validation = frame.loc[frame["part"] == "validation", "text"].tolist()
    np.testing.assert_allclose(reloaded.logits(validation), changed.validation_logits, atol=1e-5)
    assert changed.report["augment"] == ["typos", "dropped_words"]
    assert changed.report["augment_share"] == 0.5
    assert not {"reweight", "augment", "augment_share"} & set(plain.report)


@pytest.mark.slow
def test_a_model_that_has_read_typos_bears_them_better() -> None:
    frame = make_frame(train=1500)
    test = frame[frame["part"] == "test"]
    # Of few words many are changed, so that the word that tells the class often is.
    texts = perturb_texts(test["text"].tolist(), kind="typos", share=0.5, seed=99)

    def accuracy(texts: list[str], **options: object) -> float:
        model = load_model(train(frame, epochs=8, model={"tokenizer": "bpe", "vocabulary": 500}, **options).model)
        return float(np.mean(np.array(model.predict(texts).labels) == test["label"].to_numpy()))

    plain, changed = accuracy(texts), accuracy(texts, augment=["typos"])
    assert changed > plain + 0.03
    assert accuracy(test["text"].tolist(), augment=["typos"]) > 0.97
    assert plain < 0.9, "control: typos hurt"
