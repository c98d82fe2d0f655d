"""The bundled sample: a seeded, invented product catalogue with the faults that real catalogues have.

Nothing is stored: any number of rows is made from word lists and sentence patterns. Besides ordinary products there are
exact and near duplicates, equal texts under different labels, missing values, labels that differ by case or invisible
characters, Hindi and mixed texts, very long texts, mark-up, products that fit two categories and a few wrong labels.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dlcycle.data.catalogue import (
    AMBIGUOUS,
    CATEGORIES,
    HINDI_NOUNS,
    HINDI_SENTENCES,
    HINGLISH_SENTENCES,
    MARKUP,
    OWN,
    PROPORTIONS,
    SENTENCES,
    SHARED,
    TITLES,
    WORDS,
)

MIN_ROWS = 50
POOL = 3000
"""Sentences that are made from the patterns, for each category and shared; rows draw from them."""
WRONG_LABELS = 0.02
AMBIGUOUS_ROWS = 0.06
OWN_SENTENCES = 0.6
FOREIGN_SENTENCES = 0.02
"""Shares of a row's sentences that come from its own and from another category; the others fit all."""
IRREGULAR = {
    "exact": 0.08,
    "near": 0.03,
    "conflict": 0.01,
    "variant": 0.006,
    "hindi": 0.02,
    "hinglish": 0.03,
    "markup": 0.01,
    "no_text": 0.002,
    "no_label": 0.002,
    "long": 0.001,
}
"""Shares of the rows with each irregularity; each occurs at least once (`variant` once for each spelling)."""
SPELLINGS = (str.lower, lambda label: f"{label.upper()} ", lambda label: f"{label}\u200b")

_SLOT = re.compile(r"\{(\w+)\}")
Rng = np.random.Generator


def generate_sample(rows: int, *, seed: int = 0) -> pd.DataFrame:
    """Make a product catalogue with four categories.

    The same arguments give the same rows in every process; a longer sample does not begin with the rows of a shorter.

    Args:
        rows: Number of rows, at least 50.
        seed: Chooses the sample, 0 or greater.

    Returns:
        Columns category and description (dtype object: str, or None where the value is missing).

    Raises:
        ValueError: Fewer than 50 rows are asked for.

    >>> generate_sample(50).shape
    (50, 2)
    """
    if rows < MIN_ROWS:
        raise ValueError(f"expected at least {MIN_ROWS} rows, which hold every irregularity once, got {rows}")
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(CATEGORIES), size=rows, p=PROPORTIONS)
    texts, labels = _texts(labels, rng)
    wrong = rng.random(rows) < WRONG_LABELS
    shown = np.where(wrong, (labels + rng.integers(1, len(CATEGORIES), rows)) % len(CATEGORIES), labels)
    names = np.array(CATEGORIES, dtype=object)[shown]
    _make_irregular(texts, names, labels, rng)
    frame = {"category": pd.Series(names, dtype=object), "description": pd.Series(texts, dtype=object)}
    return pd.DataFrame(frame)


def _expand(patterns: Sequence[str], count: int, rng: Rng, own: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Fill the slots of randomly chosen patterns; return `count` texts."""
    chosen = rng.integers(len(patterns), size=count)
    filled = np.empty(count, dtype=object)
    for number, pattern in enumerate(patterns):
        places = np.flatnonzero(chosen == number)
        # Odd parts of the split are the names of the slots.
        parts = _SLOT.split(pattern)
        text = np.full(len(places), parts[0], dtype=object)
        for slot, after in zip(parts[1::2], parts[2::2], strict=True):
            words = np.array(own.get(slot) or WORDS[slot], dtype=object)
            text = text + words[rng.integers(len(words), size=len(places))] + after
        filled[places] = text
    return filled


def _texts(labels: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Return a description for each label, and the labels, redrawn where a product fits two categories."""
    rows = len(labels)
    titles = np.empty(rows, dtype=object)
    for category, patterns in enumerate(TITLES):
        places = np.flatnonzero(labels == category)
        titles[places] = _expand(patterns, len(places), rng, OWN[category])
    ambiguous = rng.random(rows) < AMBIGUOUS_ROWS
    for number, (pattern, first, second) in enumerate(AMBIGUOUS):
        places = np.flatnonzero(ambiguous & (np.arange(rows) % len(AMBIGUOUS) == number))
        titles[places] = _expand((pattern,), len(places), rng, {})
        labels[places] = np.where(rng.random(len(places)) < 0.65, first, second)

    pools = [_expand(patterns, POOL, rng, own) for patterns, own in zip(SENTENCES, OWN, strict=True)]
    sentences = np.concatenate([*pools, _expand(SHARED, POOL, rng, {})]).tolist()
    lengths = np.minimum(rng.poisson(rng.gamma(2.0, 2.5, rows)), 20)
    ends = np.cumsum(lengths)
    owner = np.repeat(labels, lengths)
    kind = rng.random(len(owner))
    foreign = (owner + rng.integers(1, len(CATEGORIES), len(owner))) % len(CATEGORIES)
    pool = np.where(kind < OWN_SENTENCES, owner, np.where(kind > 1 - FOREIGN_SENTENCES, foreign, len(CATEGORIES)))
    pool[np.repeat(ambiguous, lengths) & (kind < OWN_SENTENCES)] = len(CATEGORIES)
    picks = (pool * POOL + rng.integers(POOL, size=len(owner))).tolist()
    plain = (rng.random(rows) < 0.4).tolist()
    texts = np.empty(rows, dtype=object)
    for row, (title, length, end, lower) in enumerate(zip(titles, lengths.tolist(), ends.tolist(), plain, strict=True)):
        text = ". ".join([title, *[" ".join([sentences[pick] for pick in picks[end - length : end]])] * (length > 0)])
        texts[row] = text.lower() if lower else text
    return texts, labels


def _make_irregular(texts: np.ndarray, names: np.ndarray, labels: np.ndarray, rng: Rng) -> None:
    """Put every irregularity into its share of the rows, in place."""
    order = rng.permutation(len(texts))
    places: dict[str, np.ndarray] = {}
    start = 0
    for kind, share in IRREGULAR.items():
        least = len(SPELLINGS) if kind == "variant" else 1
        stop = start + max(least, round(share * len(texts)))
        places[kind], start = order[start:stop], stop
    regular = order[start:]
    for row in places["hindi"]:
        texts[row] = _hindi(int(labels[row]), rng)
    for row in places["hinglish"]:
        texts[row] = _hinglish(texts[row], int(labels[row]), rng)
    for row in places["long"]:
        many = rng.choice(regular, size=int(rng.integers(60, 150)))
        texts[row] = " ".join([texts[row], *texts[many]])
    for row in places["markup"]:
        first, last = rng.choice(np.array(MARKUP, dtype=object), size=2, replace=False)
        texts[row] = f"{first} {texts[row]} {last}"
    for number, row in enumerate(places["variant"]):
        names[row] = SPELLINGS[number % len(SPELLINGS)](names[row])

    for kind in ("exact", "conflict"):
        sources = rng.choice(regular, size=len(places[kind]))
        texts[places[kind]], names[places[kind]] = texts[sources], names[sources]
    for row in places["conflict"]:
        others = [name for name in CATEGORIES if name != names[row]]
        names[row] = others[int(rng.integers(len(others)))]
    words = np.array([text.count(" ") for text in texts[regular]])
    wordy = regular[words >= min(40, int(np.median(words)))]
    for row, source in zip(places["near"], rng.choice(wordy, size=len(places["near"])), strict=True):
        texts[row], names[row] = _one_word_changed(texts[source], rng), names[source]
    texts[places["no_text"]] = None
    names[places["no_label"]] = None


def _pick(words: Sequence[str], rng: Rng) -> str:
    return words[int(rng.integers(len(words)))]


def _hindi(label: int, rng: Rng) -> str:
    """Return a Hindi description, in half of the cases with an English end."""
    sentences = rng.permutation(np.array(HINDI_SENTENCES[label], dtype=object))[: int(rng.integers(1, 4))]
    end = f" {_pick(WORDS['colour'], rng)} colour, {_pick(WORDS['pack'], rng)}" if rng.random() < 0.5 else ""
    title = f"{_pick(WORDS['brand'], rng)} {_pick(HINDI_NOUNS[label], rng)} {_pick(WORDS['count'], rng)}"
    return f"{title}। {' '.join(sentences)}{end}"


def _hinglish(text: str, label: int, rng: Rng) -> str:
    """Mix Hindi in Latin letters, and sometimes in Devanagari, into an English description."""
    mixed = f"{text} {_pick(HINGLISH_SENTENCES[label], rng)}"
    return f"{mixed} {_pick(HINDI_SENTENCES[label], rng)}" if rng.random() < 0.3 else mixed


def _one_word_changed(text: str, rng: Rng) -> str:
    words = text.split(" ")
    place = int(rng.integers(len(words)))
    words[place] = _pick([colour for colour in WORDS["colour"] if colour != words[place]], rng)
    return " ".join(words)
