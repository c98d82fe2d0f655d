"""Rows drawn by what they say: the same rows in every process, whatever their order in the source."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dlcycle.data.duplicates import Hashes, Integers

SAMPLE_ROWS = 20_000
"""Rows from which on a measurement is taken on a sample."""


def sample_rows(
    texts: Sequence[str], classes: npt.NDArray[np.int64], *, limit: int = SAMPLE_ROWS, seed: int = 0
) -> Integers:
    """Choose at most `limit` rows, each class by its share, by what the rows say.

    Args:
        texts: N texts.
        classes: (N,) class indices.
        limit: Rows to choose.
        seed: Chooses another sample.

    Returns:
        (min(N, limit),) positions, ascending.

    Example:
        >>> sample_rows(["a", "b", "c", "d"], np.array([0, 0, 1, 1]), limit=2).size
        2
    """
    order = spread_classes(classes, content_hashes(texts, seed=seed))
    return np.sort(order[:limit])


def content_hashes(texts: Sequence[str], *, seed: int) -> Hashes:
    """Hash texts (n,), the same in every process; the seed orders them anew."""
    key = str(seed).encode()
    digests = [hashlib.blake2b(t.encode(errors="surrogatepass"), digest_size=8, key=key).digest() for t in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def spread_classes(classes: npt.NDArray[np.int64], hashes: Hashes) -> Integers:
    """Order rows so that every beginning of the order holds each class by its share.

    Args:
        classes: (n,) class indices.
        hashes: (n,) content hashes, which order the rows of a class.

    Returns:
        (n,) positions.

    Example:
        >>> spread_classes(np.array([0, 0, 1, 1]), np.arange(4, dtype=np.uint64)).tolist()
        [0, 2, 1, 3]
    """
    by_class = np.lexsort((hashes, classes))
    sizes = np.bincount(classes)[classes[by_class]]
    starts = np.searchsorted(classes[by_class], classes[by_class])
    place = np.empty(len(classes))
    place[by_class] = (np.arange(len(classes)) - starts + 0.5) / np.maximum(sizes, 1)
    return np.lexsort((hashes, classes, place))
