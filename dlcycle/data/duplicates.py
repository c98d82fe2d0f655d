"""Near-duplicate texts: the pairs whose word triples overlap, and the groups they form.

Two texts are near duplicates when the Jaccard similarity of their sets of word triples reaches a threshold. Candidates
come from MinHash signatures (Broder, 1997), computed by rensa and cut into bands (locality-sensitive hashing, Indyk
and Motwani, 1998); each candidate is then verified by its exact similarity. So a reported pair is always true, and a
true pair is missed with a known small probability.

The band buckets are walked here, not by rensa's index: its queries list every member of a bucket for every member,
which is quadratic for a catalogue of thousands of texts from one template. A bucket of up to `BUCKET` texts is
compared in full; in a larger one each text is compared with those 1, 2, 4, 8, ... places further on, in an order that
puts texts alike in the next band side by side, and pairs already connected are skipped. That is n log n, and mutual
near duplicates still end in one group, though not each of their pairs is listed.

Only the texts decide, not their order: words are hashed by content, and buckets are sorted by content.
"""

import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import rensa
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

WORDS = 3
PERMUTATIONS = 128
MISSED = 1e-3
"""Largest accepted probability that a pair right at the threshold shares no band."""
BUCKET = 64
_CHUNK_TEXTS = 20_000
_CHUNK_SHINGLES = 4_000_000
_CHUNK_SIGNATURES = 1_000
"""Texts whose signatures are taken from rensa at once: it gives lists, which must stay small to be fast."""

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class NearPairs:
    """Pairs of near-duplicate texts."""

    rows: Integers
    """(P, 2) positions in the texts, the smaller first, in ascending order."""
    similarity: NDArray[np.float64]
    """(P,) exact Jaccard similarity of their word triples."""


def no_pairs() -> NearPairs:
    """Return no pairs."""
    return NearPairs(np.empty((0, 2), np.int64), np.empty(0))


@dataclass(frozen=True)
class _Shingles:
    """Hashed word triples of the texts, one text after the other."""

    values: Hashes
    """Hashes of 63 bits."""
    offsets: Integers
    """(n + 1,) where each text's triples begin."""


class _Separators(dict[int, str | None]):
    """Table for str.translate, filled as characters come.

    Punctuation and white space become a space, format characters nothing.
    """

    def __missing__(self, code: int) -> str | None:
        category = unicodedata.category(chr(code))
        self[code] = " " if category[0] == "P" or chr(code).isspace() else None if category == "Cf" else chr(code)
        return self[code]


_SEPARATORS = _Separators()


def near_duplicate_pairs(texts: Sequence[str], *, threshold: float, seed: int = 0) -> NearPairs:
    """Find the pairs of texts that are near duplicates.

    Args:
        texts: n texts. Case, compatibility forms, punctuation and white space do not count. A text of fewer than
            three words has one shingle, its words; a text without words has itself.
        threshold: Jaccard similarity from which a pair counts, in (0, 1].
        seed: Of the MinHash permutations. Another seed misses other pairs, if any.

    Returns:
        The pairs with their exact similarity. A pair at the threshold is missed with a probability of at most 0.001
        for thresholds from 0.06, and one above it more rarely; pairs within a bucket of more than `BUCKET` texts
        are not all listed.

    Example:
        >>> near_duplicate_pairs(["One, two three!", "four five six", "one two THREE"], threshold=0.8).rows.tolist()
        [[0, 2]]
    """
    if len(texts) < 2:
        return NearPairs(np.empty((0, 2), np.int64), np.empty(0))
    shingles = _shingles(texts)
    bands = _bands(shingles, rows_per_band=_rows_per_band(threshold), seed=seed)
    shared = np.zeros(len(texts), bool)
    for band in bands:
        shared[_shared(band)] = True
    sets, content = _sets(shingles, np.flatnonzero(shared))
    sizes = np.diff(sets.indptr)
    seen, rows, similarity = np.empty(0, np.int64), [np.empty((0, 2), np.int64)], [np.empty(0)]
    groups = np.arange(len(texts))
    for band in range(len(bands)):
        keys = _candidates(bands[band], bands[(band + 1) % len(bands)], content, groups)
        keys = np.setdiff1d(keys, seen, assume_unique=True)
        seen = np.sort(np.concatenate([seen, keys]), kind="stable")
        pairs, values = _verified(np.stack(np.divmod(keys, len(texts)), axis=1), sets, sizes, threshold)
        if len(pairs):
            rows.append(pairs)
            similarity.append(values)
            groups = duplicate_groups(len(texts), np.concatenate(rows))
    pairs, values = np.concatenate(rows), np.concatenate(similarity)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return NearPairs(pairs[order], values[order])


def equal_pairs(values: NDArray[Any] | pd.Series) -> Integers:
    """Pair each repeated value with its first occurrence.

    Args:
        values: n values.

    Returns:
        (P, 2) positions, the first occurrence first.

    Example:
        >>> equal_pairs(np.array([7, 5, 7, 7])).tolist()
        [[0, 2], [0, 3]]
    """
    codes = pd.factorize(values)[0]
    first = np.unique(codes, return_index=True)[1][codes]
    repeated = np.flatnonzero(first != np.arange(len(codes)))
    return np.stack([first[repeated], repeated], axis=1)


def duplicate_groups(n: int, pairs: Integers) -> Integers:
    """Number the groups that pairs connect, directly or through others.

    Args:
        n: Number of rows.
        pairs: (P, 2) positions of connected rows.

    Returns:
        (n,) group number of each row, ascending by each group's first row; a row in no pair is a group of its own.

    Example:
        >>> duplicate_groups(4, np.array([[0, 2], [2, 3]])).tolist()
        [0, 1, 0, 0]
    """
    graph = sparse.coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _rows_per_band(threshold: float) -> int:
    """Return the longest band at which a pair at the threshold still shares one of the bands almost surely."""
    fits = (r for r in range(PERMUTATIONS, 1, -1) if (1 - threshold**r) ** (PERMUTATIONS // r) <= MISSED)
    return next(fits, 1)


def _words(texts: Sequence[str]) -> tuple[Hashes, Integers]:
    """Return the hashed words of the texts, one after the other, and their number in each text, at least three."""
    plain = [unicodedata.normalize("NFKC", text).casefold().translate(_SEPARATORS) for text in texts]
    split = pc.split_pattern(pa.array(plain, pa.large_string()), " ")
    row = np.repeat(np.arange(len(texts)), pc.list_value_length(split).to_numpy())
    words = split.flatten()
    filled = pc.binary_length(words).to_numpy() > 0
    encoded, row = words.dictionary_encode(), row[filled]
    counts = np.bincount(row, minlength=len(texts))
    lengths = np.maximum(counts, WORDS)
    starts, firsts = lengths.cumsum() - lengths, counts.cumsum() - counts
    hashes = np.full(lengths.sum(), _hashed([""])[0])
    codes = encoded.indices.to_numpy()[filled]
    hashes[np.arange(len(row)) + (starts - firsts)[row]] = _hashed(encoded.dictionary.to_pylist())[codes]
    wordless = np.flatnonzero(counts == 0)
    hashes[starts[wordless]] = _hashed([texts[row] for row in wordless.tolist()])
    return hashes, lengths


def _hashed(words: Sequence[str]) -> Hashes:
    return pd.util.hash_array(np.array(words, dtype=object), categorize=False)


def _shingles(texts: Sequence[str]) -> _Shingles:
    values, sizes = [], []
    for start in range(0, len(texts), _CHUNK_TEXTS):
        hashes, lengths = _words(texts[start : start + _CHUNK_TEXTS])
        triples = _mixed(_mixed(_mixed(hashes[:-2]) + hashes[1:-1]) + hashes[2:]) >> np.uint64(1)
        inside = np.ones(len(hashes), bool)
        ends = lengths.cumsum()
        inside[ends - 1] = inside[ends - 2] = False
        values.append(triples[inside[:-2]])
        sizes.append(lengths - WORDS + 1)
    return _Shingles(np.concatenate(values), np.concatenate([[0], *sizes]).cumsum())


def _sets(shingles: _Shingles, members: Integers) -> tuple[sparse.csr_array, Hashes]:
    """Return the sets of triples of the members, empty for other texts, and a hash of each text's set."""
    n = len(shingles.offsets) - 1
    sizes, content = np.zeros(n, np.int64), np.zeros(n, np.uint64)
    values = [np.empty(0, np.int64)]
    for start in range(0, len(members), _CHUNK_TEXTS):
        chunk = members[start : start + _CHUNK_TEXTS]
        firsts, lengths = shingles.offsets[chunk], np.diff(shingles.offsets)[chunk]
        row = np.repeat(np.arange(len(chunk)), lengths)
        triples = shingles.values[np.arange(len(row)) + (firsts - lengths.cumsum() + lengths)[row]]
        order = np.lexsort((triples, row))
        row, triples = row[order], triples[order]
        distinct = np.r_[True, (row[1:] != row[:-1]) | (triples[1:] != triples[:-1])]
        row, triples = row[distinct], triples[distinct]
        sizes[chunk] = np.bincount(row, minlength=len(chunk))
        content[chunk] = np.add.reduceat(_mixed(triples), np.flatnonzero(np.r_[True, row[1:] != row[:-1]]))
        values.append(triples.view(np.int64))
    columns = np.concatenate(values)
    offsets = np.concatenate([[0], sizes.cumsum()])
    # int64 columns without a bound: scipy compares sorted indices only, it allocates nothing of that width
    return sparse.csr_array((np.ones(len(columns), np.int8), columns, offsets), shape=(n, sys.maxsize)), content


def _bands(shingles: _Shingles, *, rows_per_band: int, seed: int) -> Hashes:
    """Return the (bands, n) hashes of each text's bands of its MinHash signature."""
    n, bands = len(shingles.offsets) - 1, PERMUTATIONS // rows_per_band
    result = np.zeros((bands, n), np.uint64)
    for start in range(0, n, _CHUNK_SIGNATURES):
        offsets = shingles.offsets[start : start + _CHUNK_SIGNATURES + 1]
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            shingles.values[offsets[0] : offsets[-1]],
            (offsets - offsets[0]).view(np.uint64),
            PERMUTATIONS,
            seed,
        )
        signatures = np.array(matrix.to_rows(), np.uint64)[:, : bands * rows_per_band].T
        part = result[:, start : start + _CHUNK_SIGNATURES]
        for position in range(rows_per_band):
            part[:] = _mixed(part + signatures[position::rows_per_band])
    return result


def _mixed(values: Hashes) -> Hashes:
    """Spread 64-bit values over all bits (the finaliser of SplitMix64; Steele, Lea and Flood, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _shared(band: Hashes) -> Integers:
    """Return the texts that share their bucket with another, ascending."""
    order = np.argsort(band)
    same = band[order][1:] == band[order][:-1]
    return np.sort(order[np.r_[same, False] | np.r_[False, same]])


def _candidates(band: Hashes, next_band: Hashes, content: Hashes, groups: Integers) -> Integers:
    """Return the pairs to verify among the texts that share a bucket, as smaller * n + larger, ascending."""
    shared = _shared(band)
    order = shared[np.lexsort((content[shared], next_band[shared], band[shared]))]
    bounds = np.flatnonzero(np.r_[True, band[order][1:] != band[order][:-1], True])
    sizes = np.diff(bounds)
    size = np.repeat(sizes, sizes)
    keys, lag = [np.empty(0, np.int64)], 1
    while True:
        left, right = order[:-lag], order[lag:]
        same = band[left] == band[right]
        if not same.any():
            return _distinct(np.concatenate(keys))
        same &= (size[lag:] <= BUCKET) | (groups[left] != groups[right])
        left, right = left[same], right[same]
        keys.append(np.minimum(left, right) * len(band) + np.maximum(left, right))
        lag = lag + 1 if lag < BUCKET and (size <= BUCKET).any() else lag * 2


def _distinct(values: Integers) -> Integers:
    """Return the values ascending and once each; `np.unique` takes many times as long for many millions."""
    values = np.sort(values)
    return values[np.r_[True, values[1:] != values[:-1]][: len(values)]]


def _verified(
    pairs: Integers, sets: sparse.csr_array, sizes: Integers, threshold: float
) -> tuple[Integers, NDArray[np.float64]]:
    small, large = np.sort(sizes[pairs], axis=1).T
    pairs = pairs[small >= threshold * large]
    similarity = np.empty(len(pairs))
    for chunk in _chunks(sizes[pairs].sum(axis=1)):
        left, right = pairs[chunk].T
        common = np.diff(sets[left].multiply(sets[right]).indptr)
        similarity[chunk] = common / (sizes[left] + sizes[right] - common)
    near = similarity >= threshold
    return pairs[near], similarity[near]


def _chunks(weights: Integers) -> Iterator[slice]:
    """Yield slices whose weights sum to about the size of a chunk."""
    ends = np.flatnonzero(np.diff(weights.cumsum() // _CHUNK_SHINGLES)) + 1
    for start, end in zip([0, *ends.tolist()], [*ends.tolist(), len(weights)], strict=True):
        yield slice(start, end)
