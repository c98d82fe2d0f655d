import json

import numpy as np
import pytest

from dlcycle.insight.robustness.neutral_words import LEAST_WORDS, MOST_WORDS, neutral_words

FILLERS = [f"filler{chr(97 + first)}{chr(97 + second)}" for first in range(5) for second in range(6)]


def corpus(rows: int = 600, classes: int = 3, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts of a word of their class, fillers that all classes share, and one that leans to the first class."""
    generator = np.random.default_rng(seed)
    texts, truth = [], []
    for _ in range(rows):
        number = int(generator.integers(classes))
        words = [f"own{'abc'[number]}", *generator.choice(FILLERS, 8, replace=False), "2024", "_"]
        if generator.random() < (0.8 if number == 0 else 0.2):
            words.append("leaning")
        texts.append(" ".join(words))
        truth.append(number)
    return texts, truth


def test_words_that_every_class_shares_are_found_and_no_others() -> None:
    texts, truth = corpus()
    found = neutral_words(texts, truth, classes_count=3)
    assert set(found.words) == set(FILLERS)
    assert found.findings == []
    rows = {word: sum(word in text.split() for text in texts) for word in FILLERS}
    assert list(found.words) == sorted(FILLERS, key=lambda word: (-rows[word], word))


def test_distance_is_that_of_the_classes_with_the_word_from_all() -> None:
    """A word in 60 % of one and 40 % of the other of two equal classes is 0.1 away, in 62 % and 38 % 0.12."""
    common = [" ".join(FILLERS)] * 2000
    texts = [
        f"{text} {'near' if row % 1000 < (600 if row < 1000 else 400) else ''} "
        f"{'far' if row % 1000 < (620 if row < 1000 else 380) else ''}"
        for row, text in enumerate(common)
    ]
    found = neutral_words(texts, [0] * 1000 + [1] * 1000, classes_count=2)
    assert "near" in found.words
    assert "far" not in found.words


def test_too_few_neutral_words_are_joined_by_the_nearest_and_a_finding_says_so() -> None:
    texts = ["the alpha one", "the beta two"] * 50
    found = neutral_words(texts, [0, 1] * 50, classes_count=2)
    assert found.words == ("the", "alpha", "beta", "one", "two")
    (entry,) = found.findings
    assert entry["name"] == "few_neutral_words"
    assert entry["message"].startswith("1 word of the training texts is frequent")
    assert "the 4 words nearest to that joined" in entry["message"]
    assert json.loads(json.dumps(found.findings, allow_nan=False)) == found.findings
    many = [f"{' '.join(f'w{chr(97 + n)}' for n in range(26))} own{'ab'[row % 2]}" for row in range(10)]
    assert len(neutral_words(many, [0, 1] * 5, classes_count=2).words) == LEAST_WORDS  # ten rows: none is frequent


def test_words_with_digits_are_never_put_in() -> None:
    assert neutral_words(["2024 5kg _ x"] * 30, [0, 1] * 15, classes_count=2).words == ("x",)
    assert neutral_words(["1 2 3", "..."] * 15, [0, 1] * 15, classes_count=2).words == ()


def test_there_are_at_most_so_many() -> None:
    words = [f"w{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(10) for b in range(10) for c in range(10)]
    assert len(neutral_words([" ".join(words)] * 30, [0, 1] * 15, classes_count=2).words) == MOST_WORDS


def test_the_order_of_the_rows_does_not_matter() -> None:
    texts, truth = corpus()
    order = np.random.default_rng(1).permutation(len(texts))
    other = neutral_words([texts[row] for row in order], [truth[row] for row in order], classes_count=3)
    assert other == neutral_words(texts, truth, classes_count=3)


@pytest.mark.parametrize("classes", [50, 300])
def test_many_classes_leave_words_that_chance_moved(classes: int) -> None:
    """Of 300 rows of 50 classes a shared word is far from the whole by chance alone; a word of one class is farther."""
    generator = np.random.default_rng(0)
    truth = generator.integers(classes, size=3000)
    texts = [
        f"{' '.join(generator.choice(FILLERS, 8, replace=False))} {'single' if row < classes // 10 else ''}"
        for row in truth
    ]
    found = neutral_words(texts, truth, classes_count=classes)
    assert len(set(found.words) & set(FILLERS)) >= LEAST_WORDS
    assert "single" not in found.words
