"""Near duplicates found by this project and by datasketch's MinHash and MinHashLSH, in one run.

    python benchmarks/near_duplicates.py --data PATH/ecommerce.csv [--text description] [--rows N]
    python benchmarks/near_duplicates.py --growth 100000 1000000

All find the pairs of texts whose sets of word triples have a Jaccard similarity of 0.8 or more, from 128 permutations,
and verify each candidate exactly; the times hold everything from the texts to the verified pairs. `datasketch` is used
as its documentation shows, with `MinHash.bulk` and an insertion session; it chooses the bands itself. `one by one`
calls `update` for each triple instead, as its first example does. `25 bands of 5` has the bands of this project, which
cost it more candidates and gain it recall, and CRC-32 instead of SHA-1. Seconds are medians over the repeats, in
alternating order; the ratio is the median of theirs over ours. Recall is of all true pairs: the product of the sets'
matrix with its transpose holds the exact overlap of every two texts, so none is left out.

With `--growth` the table shows how this project's time and memory grow with the rows of the bundled sample.
"""

import argparse
import statistics
import subprocess
import sys
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from datasketch import MinHash, MinHashLSH
from scipy import sparse

from dlcycle.data.duplicates import near_duplicate_pairs
from dlcycle.data.sample import generate_sample

THRESHOLD = 0.8
PERMUTATIONS = 128
WORDS = 3
BLOCK = 256
SEED = 0

Pairs = set[tuple[int, int]]
Method = Callable[[list[str]], Pairs]


@cache
def separators() -> dict[int, str]:
    """Table for str.translate: punctuation to a space, format characters to nothing."""
    kinds = {code: unicodedata.category(chr(code)) for code in range(sys.maxunicode + 1)}
    return {code: " " if kind[0] == "P" else "" for code, kind in kinds.items() if kind[0] == "P" or kind == "Cf"}


def word_triples(texts: list[str]) -> list[set[str]]:
    """The set of word triples of each text; case, compatibility forms and punctuation do not count."""
    table, sets = separators(), []
    for text in texts:
        words = unicodedata.normalize("NFKC", text).casefold().translate(table).split() or [text]
        words += [""] * (WORDS - len(words))
        sets.append(set(map(" ".join, zip(words, words[1:], words[2:], strict=False))))
    return sets


def ours(texts: list[str]) -> Pairs:
    """Pairs found by this project."""
    return set(map(tuple, near_duplicate_pairs(texts, threshold=THRESHOLD).rows.tolist()))


def bulk_minhashes(encoded: Iterable[list[bytes]]) -> Iterable[MinHash]:
    """Signatures made as its documentation advises for many sets."""
    return MinHash.bulk(encoded, num_perm=PERMUTATIONS)


def bulk_minhashes_crc(encoded: Iterable[list[bytes]]) -> Iterable[MinHash]:
    """The same from a hash function that is faster than SHA-1."""
    return MinHash.bulk(encoded, num_perm=PERMUTATIONS, hashfunc=zlib.crc32)


def single_minhashes(encoded: Iterable[list[bytes]]) -> Iterator[MinHash]:
    """Signatures made triple by triple, as in the first example of its documentation."""
    for triples in encoded:
        minhash = MinHash(num_perm=PERMUTATIONS)
        for triple in triples:
            minhash.update(triple)
        yield minhash


def datasketch(minhashes: Callable, bands: tuple[int, int] | None = None) -> Method:
    """A method that finds pairs by datasketch; bands are (number, length), its own choice without them."""

    def find(texts: list[str]) -> Pairs:
        sets = word_triples(texts)
        signatures = list(minhashes([triple.encode() for triple in triples] for triples in sets))
        index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, params=bands)
        with index.insertion_session() as session:
            for row, signature in enumerate(signatures):
                session.insert(row, signature, check_duplication=False)
        pairs = set()
        for row, signature in enumerate(signatures):
            for other in index.query(signature):
                if other < row and similarity(sets[row], sets[other]) >= THRESHOLD:
                    pairs.add((other, row))
        return pairs

    return find


def similarity(left: set[str], right: set[str]) -> float:
    """Jaccard similarity."""
    common = len(left & right)
    return common / (len(left) + len(right) - common)


def true_pairs(texts: list[str]) -> Pairs:
    """All pairs at the threshold: every two texts that share a triple are compared."""
    sets = word_triples(texts)
    sizes = np.array([len(triples) for triples in sets])
    codes, unique = pd.factorize(np.array([triple for triples in sets for triple in triples], dtype=object))
    offsets = np.concatenate([[0], sizes.cumsum()])
    matrix = sparse.csr_array((np.ones(len(codes), np.int32), codes, offsets), shape=(len(sets), len(unique)))
    columns, pairs = matrix.T.tocsr(), set()
    for start in range(0, len(sets), BLOCK):
        overlap = (matrix[start : start + BLOCK] @ columns).tocoo()
        left, right = overlap.row + start, overlap.col
        near = (left < right) & (overlap.data / (sizes[left] + sizes[right] - overlap.data) >= THRESHOLD)
        pairs.update(zip(left[near].tolist(), right[near].tolist(), strict=True))
    return pairs


METHODS: dict[str, Method] = {
    "dlcycle": ours,
    "datasketch": datasketch(bulk_minhashes),
    "datasketch, one by one": datasketch(single_minhashes),
    "datasketch, 25 bands of 5": datasketch(bulk_minhashes_crc, (25, 5)),
}


def compare(texts: list[str], repeats: int) -> None:
    """Print one table; the order of the methods alternates."""
    truth = true_pairs(texts)
    near_duplicate_pairs(texts[:10], threshold=THRESHOLD)
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    found = {}
    for repeat in range(repeats):
        for name in list(METHODS)[:: -1 if repeat % 2 else 1]:
            started = time.perf_counter()
            found[name] = METHODS[name](texts)
            seconds[name].append(time.perf_counter() - started)
    print(f"{len(texts):,} texts, {len(truth):,} true pairs, medians of {repeats}; goals: ratio >= 20, recall >= 0.95")
    print(f"{'method':<26} {'seconds':>8} {'ratio':>6} {'verified pairs':>14} {'recall':>7}")
    for name, pairs in found.items():
        if pairs - truth:
            raise RuntimeError(f"{name} found pairs that are not near duplicates: {sorted(pairs - truth)[:5]}")
        ratio = statistics.median(theirs / mine for theirs, mine in zip(seconds[name], seconds["dlcycle"], strict=True))
        recall = len(pairs) / len(truth) if truth else 1.0
        print(f"{name:<26} {statistics.median(seconds[name]):>8.2f} {ratio:>6.1f} {len(pairs):>14,} {recall:>7.4f}")


def memory_peak() -> float:
    """Largest resident memory of this process since it was last reset, in MB (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def measure(rows: int) -> None:
    """Print one row of the table of growth."""
    texts = generate_sample(rows, seed=SEED)["description"].dropna().tolist()
    near_duplicate_pairs(texts[:10], threshold=THRESHOLD)
    Path("/proc/self/clear_refs").write_text("5")
    before, started = memory_peak(), time.perf_counter()
    pairs = near_duplicate_pairs(texts, threshold=THRESHOLD).rows
    seconds = time.perf_counter() - started
    micros = seconds / len(texts) * 1e6
    print(f"{len(texts):>9,} {seconds:>8.2f} {micros:>15.1f} {before:>9.0f} {memory_peak():>8.0f} {len(pairs):>14,}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="CSV with the texts; the bundled sample without it")
    parser.add_argument("--text", default="description", help="column of the texts")
    parser.add_argument("--rows", type=int, help="compare that many texts, drawn evenly; all without it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="+", help="rows of the samples whose time is shown instead")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
    elif arguments.growth:
        print(
            f"{'texts':>9} {'seconds':>8} {'microseconds/row':>15} {'MB before':>9} {'MB peak':>8} {'pairs':>14}",
            flush=True,
        )
        for rows in arguments.growth:
            # a process of its own for each, so that their peaks of memory do not mix
            subprocess.run([sys.executable, __file__, "--measure", str(rows)], check=True)
    else:
        frame = pd.read_csv(arguments.data, dtype=str) if arguments.data else generate_sample(5000, seed=SEED)
        texts = frame[arguments.text].dropna().drop_duplicates()
        texts = texts.sample(min(arguments.rows, len(texts)), random_state=SEED) if arguments.rows else texts
        compare(texts.tolist(), arguments.repeats)


if __name__ == "__main__":
    main()
