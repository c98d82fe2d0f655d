import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from torch import nn

from dlcycle.config import ExplainSection
from dlcycle.insight.attribution.attribute import Attribution, attribute
from dlcycle.insight.attribution.choose import ROWS_TOGETHER, choose_evenly, choose_readable, content_order
from dlcycle.insight.attribution.overall import overall_words
from dlcycle.insight.attribution.phrases import LEAST_TEXTS, LISTED, Phrases, rank_phrases
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import read_texts
from dlcycle.model.tokenizer import WordTokenizer

SETTINGS = ExplainSection(steps=5, overall_rows=200)
ANY_WORDS = WordTokenizer((), max_tokens=100)


class Additive(nn.Module):
    """Logits that are the sum of one number a word and class: what each word contributes is known."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.tensor(weights, dtype=torch.float32), freeze=False)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).sum(1)


RANDOM = np.random.default_rng(0)
VOCABULARY = [f"w{number}" for number in range(60)]
WEIGHTS = np.concatenate([np.zeros((2, 3)), RANDOM.normal(size=(60, 3))])
MODEL = TextClassifier(
    Additive(WEIGHTS).eval(), WordTokenizer(tuple(VOCABULARY), max_tokens=50), ["a", "b", "c"], 1.0, {}
)
FRAME = pd.DataFrame(
    {"text": [" ".join(RANDOM.choice(VOCABULARY, size=12, replace=False)) for _ in range(400)], "row": range(400)}
)


def counted(texts: list[str], contributions: Any, *, longest: int = 2) -> dict[str, list[dict[str, Any]]]:
    """Phrases ranked, where `contributions` gives those of a text's words."""
    phrases = Phrases(longest=longest)
    for reading in read_texts(ANY_WORDS, texts):
        scores = np.array(contributions(reading.words), dtype=np.float64)
        phrases.add(reading.masked, Attribution(reading, 0, scores, 0.0, 0.0, 0.0))
    return rank_phrases(phrases)


def named(side: list[dict[str, Any]]) -> list[str]:
    return [line["phrase"] for line in side]


def test_words_are_listed_on_the_side_and_in_the_order_of_their_weights() -> None:
    settings = SETTINGS.model_copy(update={"phrase_words": 1})
    result = overall_words(MODEL, FRAME, settings=settings, seed=0)
    assert (result["rows"], result["of"], result["phrase_words"]) == (200, 400, 1)
    centred = WEIGHTS - WEIGHTS.mean(1, keepdims=True)
    for place, line in enumerate(result["classes"]):
        weights = dict(zip(VOCABULARY, centred[2:, place], strict=True))
        for side, sign in (("for", 1), ("against", -1)):
            names = named(line[side])
            assert len(names) == LISTED
            # Each word contributes the same in every text, so that only its weight ranks it.
            assert names == sorted(names, key=lambda name: -sign * weights[name])
            assert set(names) <= set(sorted(weights, key=lambda name: -sign * weights[name])[: LISTED + 3])
            for phrase in line[side]:
                assert phrase["mean"]["value"] == pytest.approx(weights[phrase["phrase"]], abs=1e-5)
                assert phrase["mean"]["n"] >= LEAST_TEXTS
                assert (phrase["same_sign"], phrase["words"]) == (1.0, 1)
                assert phrase["spread"] < 1e-3
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_no_word_is_listed_for_and_against() -> None:
    for line in overall_words(MODEL, FRAME, settings=SETTINGS, seed=0)["classes"]:
        assert not set(named(line["for"])) & set(named(line["against"]))


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does() -> None:
    first = overall_words(MODEL, FRAME, settings=SETTINGS, seed=0)
    assert overall_words(MODEL, FRAME.sample(frac=1, random_state=1), settings=SETTINGS, seed=0) == first
    assert overall_words(MODEL, FRAME, settings=SETTINGS, seed=1) != first


def test_each_text_is_explained_for_the_predicted_class_and_the_runner_up() -> None:
    asked: list[tuple[str, int]] = []

    def watched(model: TextClassifier, texts: list[str], targets: Any, **options: Any) -> list[Attribution]:
        asked.extend(zip(texts, np.asarray(targets).tolist(), strict=True))
        return attribute(model, texts, targets, **options)

    result = overall_words(MODEL, FRAME, settings=SETTINGS, seed=0, explain=watched)
    best = np.argsort(-MODEL.logits(FRAME["text"].tolist()), axis=1)[:, :2]
    expected = {text: set(pair) for text, pair in zip(FRAME["text"], best.tolist(), strict=True)}
    found: dict[str, set[int]] = {}
    for text, target in asked:
        found.setdefault(text, set()).add(target)
    assert len(found) == 200
    assert all(targets == expected[text] for text, targets in found.items())
    assert sum(line["rows"] for line in result["classes"]) == 400


def test_mean_interval_spread_and_sign_agree_with_scipy() -> None:
    values = [0.9, 0.4, -0.1, 0.7, 0.8, 0.5, 0.3]
    contributions = iter(values)
    result = counted(["Word"] * 7, lambda words: [next(contributions)])
    [line] = result["for"]
    interval = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    assert line["mean"]["low"] == pytest.approx(interval.low)
    assert line["mean"]["high"] == pytest.approx(interval.high)
    assert line["mean"]["value"] == pytest.approx(np.mean(values))
    assert line["spread"] == pytest.approx(np.std(values, ddof=1))
    assert line["same_sign"] == pytest.approx(6 / 7)
    assert line["phrase"] == "word"


def test_a_word_that_is_not_sure_or_is_seen_in_few_texts_is_not_listed() -> None:
    doubtful = iter([1.0, -0.8, 0.9, -0.7, 0.6, 0.2])
    assert counted(["word"] * 6, lambda words: [next(doubtful)]) == {"for": [], "against": []}
    assert counted(["word"] * (LEAST_TEXTS - 1), lambda words: [1.0])["for"] == []
    assert named(counted(["word"] * LEAST_TEXTS, lambda words: [1.0])["for"]) == ["word"]


def test_noise_lists_hardly_any_phrase_and_planted_words_are_still_found() -> None:
    drawn = np.random.default_rng(0)
    vocabulary = [f"w{number}" for number in range(300)]
    texts = [" ".join(drawn.choice(vocabulary, size=20, replace=False)) for _ in range(500)]
    planted = {f"w{number}": sign * 1.5 for number, sign in zip(range(8), [1, -1] * 4, strict=True)}

    def noise(words: list[str]) -> np.ndarray:
        return drawn.normal(size=len(words))

    # Of 300 words and some pairs one in twenty has an interval beside 0; after adjustment one list in twenty has any.
    lines = [counted(texts, noise) for _ in range(10)]
    assert sum(len(line["for"]) + len(line["against"]) for line in lines) <= 5
    found = counted(texts, lambda words: noise(words) + [planted.get(word, 0.0) for word in words])
    for side, sign in (("for", 1), ("against", -1)):
        expected = {word for word, weight in planted.items() if sign * weight > 0}
        assert expected <= {word for name in named(found[side]) for word in name.split()}
        assert len(found[side]) <= len(expected) + 2


def test_the_surer_of_two_words_of_equal_mean_comes_first() -> None:
    noise = iter([0.5, -0.5] * 10)
    texts = ["wavering"] * 20 + ["steady"] * 20
    side = counted(texts, lambda words: [1 + next(noise)] if words == ["wavering"] else [1.0])["for"]
    assert named(side) == ["steady", "wavering"]


def test_a_phrase_is_listed_if_it_says_more_than_its_parts() -> None:
    texts = ["power bank", "the power", "a bank", "power of", "bank is"] * 6
    both = {"power": 1.0, "bank": 0.8}
    assert named(counted(texts, lambda words: [both.get(word, 0.0) for word in words])["for"])[0] == "power bank"
    # The control: a neighbour that contributes next to nothing makes no phrase of a word.
    one = {"power": 1.0, "bank": 0.05}
    assert named(counted(texts, lambda words: [one.get(word, 0.0) for word in words])["for"]) == ["power", "bank"]
    # Nor do two words that only sometimes contribute more together, if that is not sure.
    drawn = np.random.default_rng(0)
    vague = counted(texts, lambda words: [both.get(word, 0.0) + drawn.normal(scale=2) for word in words])["for"]
    assert "power bank" not in named(vague)


def test_a_word_that_is_seen_only_in_a_listed_phrase_is_left_out() -> None:
    texts = ["stainless steel", "steel", "a steel", "of steel"] * 6
    weights = {"stainless": 1.0, "steel": 1.0}
    side = counted(texts, lambda words: [weights.get(word, 0.0) for word in words])["for"]
    assert named(side) == ["stainless steel", "steel"]


def test_repeated_words_count_once_a_text_and_overlaps_are_not_counted_twice() -> None:
    side = counted(["very very very good"] * 6, lambda words: [1.0] * 4, longest=2)["for"]
    by_name = {line["phrase"]: line["mean"] for line in side}
    phrases = Phrases(longest=2)
    [reading] = read_texts(ANY_WORDS, ["very very very good"])
    phrases.add(reading.masked, Attribution(reading, 0, np.ones(4), 0.0, 0.0, 0.0))
    assert phrases.sums["very", "very"][3] == 2.0
    assert phrases.sums["very",][3] == 3.0
    assert all(mean["n"] == 6 for mean in by_name.values())


def test_phrases_do_not_cross_a_full_stop_keep_their_spelling_and_are_masked() -> None:
    texts = ["Men's shirt. Rs 499 mail ann@example.org"] * 6
    phrases = Phrases(longest=2)
    for reading in read_texts(ANY_WORDS, texts):
        phrases.add(reading.masked, Attribution(reading, 0, np.ones(len(reading.spans)), 0.0, 0.0, 0.0))
    assert {"men's", "s shirt", "rs 499", "499", "mail a••"} <= set(phrases.spellings.values())
    assert not any("shirt" in phrase and "rs" in phrase for phrase in phrases.sums)
    assert not any("ann" in spelling or "example" in spelling for spelling in phrases.spellings.values())


def test_classes_without_enough_texts_say_so() -> None:
    result = overall_words(MODEL, FRAME.iloc[:3], settings=SETTINGS, seed=0)
    assert all(line["for"] == line["against"] == [] for line in result["classes"])
    assert all("needed" in line["reason"] for line in result["classes"])
    empty = overall_words(MODEL, FRAME.iloc[:0], settings=SETTINGS, seed=0)
    assert (empty["rows"], empty["of"]) == (0, 0)
    assert all("0 texts" in line["reason"] for line in empty["classes"])


def test_rows_are_chosen_evenly_and_with_too_few_for_all_classes_the_frequent_ones_get_enough() -> None:
    classes = np.repeat([0, 1, 2, 3], [500, 200, 100, 30])
    order = np.random.default_rng(0).permutation(len(classes))
    counts = np.bincount(classes[choose_evenly(classes, order=order, most=240)])
    assert counts.tolist() == [80, 70, 60, 30] or counts.max() - counts[:3].min() <= ROWS_TOGETHER
    assert counts[3] == 30
    assert counts.sum() == 240
    few = np.bincount(classes[choose_evenly(classes, order=order, most=40)], minlength=4)
    assert few.tolist() == [ROWS_TOGETHER, ROWS_TOGETHER, 0, 0]
    assert len(choose_evenly(classes[:0], order=order[:0], most=10)) == 0


def test_the_order_of_texts_is_their_own_and_each_comes_once() -> None:
    texts = FRAME["text"].tolist()
    first = [texts[place] for place in content_order(texts + texts[:50], seed=0)]
    assert sorted(first) == sorted(set(texts))
    backwards = texts[::-1]
    assert [backwards[place] for place in content_order(backwards, seed=0)] == first
    assert [texts[place] for place in content_order(texts, seed=1)] != first


def test_only_texts_with_enough_words_are_chosen() -> None:
    texts = ["a b c", "a", "", "d e f g", "h i"] * 3
    places, readings = choose_readable(texts, tokenizer=ANY_WORDS, order=np.arange(15), most=4, least_words=3)
    assert places.tolist() == [0, 3, 5, 8]
    assert [len(reading.spans) for reading in readings] == [3, 4, 3, 4]
