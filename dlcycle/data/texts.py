"""Columns of text that are Python strings only a few thousand at a time."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

CHUNK = 20_000
"""Rows that are Python objects at a time."""


class Texts(Sequence[str]):
    """The texts of a column, as a sequence that makes Python strings only of what is asked for.

    Example:
        >>> texts = Texts(text_series(["a", "b", "c"]))
        >>> texts[1:], texts[0], len(texts)
        (['b', 'c'], 'a', 3)
    """

    def __init__(self, series: pd.Series) -> None:
        """Look at a column without missing values."""
        self._series = series

    def __len__(self) -> int:
        return len(self._series)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        found = self._series.iloc[place]
        return found.tolist() if isinstance(place, slice) else found

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def at(self, places: Iterable[int]) -> list[str]:
        """Return the texts at some places, in their order."""
        return self._series.iloc[list(places)].tolist()


def text_series(texts: Iterable[str]) -> pd.Series:
    """Return texts as a column that Arrow holds, not Python.

    Args:
        texts: n texts without lone surrogates; taken a chunk at a time.

    Returns:
        (n,) of pandas' dtype str.
    """
    chunks: list[pa.Array] = []
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == CHUNK:
            chunks.append(pa.array(chunk, pa.large_string()))
            chunk = []
    chunks.append(pa.array(chunk, pa.large_string()))
    return pd.Series(pd.array(pa.chunked_array(chunks), dtype="str"))


def text_key(text: str) -> str:
    r"""Return what two texts have in common when they count as exact duplicates: NFC, white space collapsed.

    Args:
        text: Any text.

    Returns:
        The text for comparing.

    Example:
        >>> text_key("red\u00a0 shirt\n")
        'red shirt'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def text_ids(texts: Iterable[str], *, key: Callable[[str], Any] = text_key) -> NDArray[np.int64]:
    """Number texts so that those of equal key have equal numbers.

    Args:
        texts: n texts.
        key: What counts of a text.

    Returns:
        (n,) numbers from 0, by first occurrence. Keys are told apart by 128 bits of their digest.

    Example:
        >>> text_ids(["b", "a", "b "]).tolist()
        [0, 1, 0]
    """
    digests = b"".join(hashlib.blake2b(key(text).encode(), digest_size=16).digest() for text in texts)
    halves = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
    (first, _), (second, distinct) = pd.factorize(halves[:, 0].copy()), pd.factorize(halves[:, 1].copy())
    return pd.factorize(first.astype(np.int64) * len(distinct) + second)[0].astype(np.int64)
