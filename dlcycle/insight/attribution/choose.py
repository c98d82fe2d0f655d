"""Which test rows are explained: chosen by what they say, so that the order of the rows changes nothing."""

import hashlib
from collections.abc import Sequence

import numpy as np

from dlcycle.insight.bootstrap import Ints
from dlcycle.model.reading import ReadText, read_texts
from dlcycle.model.tokenizer import Tokenizer

ROWS_TOGETHER = 20
"""Rows of a class that are taken before those of a rarer class: with few rows in all, some classes get enough."""


def content_order(texts: Sequence[str], *, seed: int) -> Ints:
    """Positions of the distinct texts in a mixed order that depends on the texts and the seed alone.

    Args:
        texts: (N,) texts.
        seed: another seed gives another order.

    Returns:
        (D,) positions, one of each distinct text.

    >>> [["b", "a", "b"][place] for place in content_order(["b", "a", "b"], seed=0)] == [
    ...     ["a", "b"][place] for place in content_order(["a", "b"], seed=0)
    ... ]
    True
    """
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        first.setdefault(text, place)

    def digest(text: str) -> bytes:
        return hashlib.blake2b(f"{seed}\0{text}".encode(errors="surrogatepass"), digest_size=16).digest()

    return np.array([first[text] for text in sorted(first, key=digest)], dtype=np.int64)


def choose_evenly(classes: Ints, *, order: Ints, most: int) -> Ints:
    """Take about as many rows of each class, the frequent classes first, `ROWS_TOGETHER` at a time.

    Args:
        classes: (N,) class of each row.
        order: (D,) positions among the N, in the order in which rows of a class are taken.
        most: rows to take at most.

    Returns:
        Positions among the N, in the order of `order`.

    >>> choose_evenly(np.array([0] * 90 + [1] * 30 + [2] * 5), order=np.arange(125), most=65)[[0, 39, 40, 59, 60]]
    array([  0,  39,  90, 109, 120])
    """
    mine = classes[order]
    sizes = np.bincount(mine) if len(mine) else np.zeros(0, dtype=np.int64)
    grouped = np.argsort(mine, kind="stable")
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(len(mine), dtype=np.int64)
    ranks[grouped] = np.arange(len(mine)) - starts[mine[grouped]]
    first = np.lexsort((ranks, mine, -sizes[mine], ranks // ROWS_TOGETHER))[:most]
    return order[np.sort(first)]


def choose_readable(
    texts: Sequence[str], *, tokenizer: Tokenizer, order: Ints, most: int, least_words: int
) -> tuple[Ints, list[ReadText]]:
    """The first rows of an order whose texts have enough words.

    Args:
        texts: (N,) texts.
        tokenizer: says what a word is.
        order: positions among the N.
        most: rows to take at most.
        least_words: words that a text needs.

    Returns:
        Positions among the N, and what the model reads of each.
    """
    places: list[int] = []
    readings: list[ReadText] = []
    for start in range(0, len(order), most):
        block = order[start : start + most]
        for place, reading in zip(block, read_texts(tokenizer, [texts[place] for place in block]), strict=True):
            if len(reading.spans) >= least_words and len(places) < most:
                places.append(int(place))
                readings.append(reading)
        if len(places) == most:
            break
    return np.array(places, dtype=np.int64), readings
