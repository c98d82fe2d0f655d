"""Words that say little about the class of a text, which a person would seldom change a label for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcycle.data.draw import sample_rows
from dlcycle.data.messages import finding, several
from dlcycle.data.personal import mask_personal
from dlcycle.insight.bootstrap import Ints
from dlcycle.model.tokenizer import split_words

LARGEST_DISTANCE = 0.1
"""Total-variation distance that the classes of the texts with a neutral word may have from those of all texts."""
LARGEST_CHANCE = 0.3
"""The same for rarer words, which by chance alone are farther away, or where there are very many classes."""
LEAST_ROWS = 20
"""Training texts that a neutral word must be in."""
LEAST_SHARE = 0.005
"""Share of the training texts that a neutral word must be in; with fewer the distance would be mostly chance."""
LEAST_WORDS = 20
"""Neutral words below which the words nearest to neutral join them."""
MOST_WORDS = 500
"""Neutral words returned at most, the most frequent."""


@dataclass(frozen=True)
class NeutralWords:
    """Words to put into texts."""

    words: tuple[str, ...]
    """Lower-cased, without digits, most frequent first."""
    findings: list[dict[str, Any]]
    """What a reader must know of them, as `dlcycle.data.messages.finding` has it."""


def neutral_words(texts: Sequence[str], classes: npt.ArrayLike, *, classes_count: int, seed: int = 0) -> NeutralWords:
    """Find words that are frequent and about equally frequent in every class.

    The classes of the texts that hold such a word are as those of all texts, up to a total-variation distance of
    `LARGEST_DISTANCE`, or of what chance makes of as many texts, but at most `LARGEST_CHANCE`.

    Args:
        texts: (N,) texts of the training part.
        classes: (N,) class indices.
        classes_count: number of classes, C.
        seed: of the sample that is read of very many texts.

    Returns:
        The words. If fewer than `LEAST_WORDS` are neutral, those nearest to it join them, and a finding says so.

    Example:
        >>> found = neutral_words(["the red shoe", "the new book"] * 20, [0, 1] * 20, classes_count=2)
        >>> found.words[0], found.findings[0]["name"]
        ('the', 'few_neutral_words')
    """
    truth = np.asarray(classes, dtype=np.int64)
    chosen = sample_rows(texts, truth, seed=seed)
    words, counts = _counted([texts[row] for row in chosen], truth[chosen], classes_count)
    rows = counts.sum(axis=1)
    prior = np.bincount(truth[chosen], minlength=classes_count) / max(len(chosen), 1)
    distance = np.abs(counts / rows[:, None] - prior).sum(axis=1) / 2
    # Mean distance between a sample of so many rows and what it was drawn from, by the normal approximation.
    chance = np.sqrt(2 * prior * (1 - prior) / np.pi).sum() / 2 / np.sqrt(rows)
    frequent = rows >= max(LEAST_ROWS, LEAST_SHARE * len(chosen))
    neutral = np.flatnonzero(frequent & (distance <= np.clip(chance, LARGEST_DISTANCE, LARGEST_CHANCE)))
    findings = []
    if len(neutral) < LEAST_WORDS:
        nearest = np.lexsort((words, -rows, distance, ~frequent))
        others = nearest[~np.isin(nearest, neutral)][: LEAST_WORDS - len(neutral)]
        message = (
            f"{several(len(neutral), 'word')} of the training texts {'is' if len(neutral) == 1 else 'are'} frequent "
            f"and about as frequent in every class, at least {LEAST_WORDS} are wanted: the "
            f"{several(len(others), 'word')} nearest to that joined the word-swap attack, for which a person might "
            "change a label"
        )
        findings = [finding("few_neutral_words", message, count=0)]
        neutral = np.concatenate([neutral, others])
    order = neutral[np.lexsort((words[neutral], -rows[neutral]))][:MOST_WORDS]
    return NeutralWords(tuple(str(word) for word in words[order]), findings)


def _counted(
    texts: Sequence[str], classes: Ints, classes_count: int
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Words without digits, (M,) in sorted order, and in how many texts of each class each is, (M, C).

    Personal data is masked first, so that no piece of an address is put into other people's texts.
    """
    counted: Counter[tuple[str, int]] = Counter()
    for text, number in zip(texts, classes.tolist(), strict=True):
        counted.update((word, number) for word in set(split_words(mask_personal(text))))
    words = sorted({word for word, _ in counted if word.strip("_") and not any(map(str.isdigit, word))})
    places = {word: place for place, word in enumerate(words)}
    counts = np.zeros((len(words), classes_count), dtype=np.int64)
    for (word, number), rows in counted.items():
        if word in places:
            counts[places[word], number] = rows
    return np.array(words, dtype=object), counts
