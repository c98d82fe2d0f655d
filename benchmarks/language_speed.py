"""Language detection: the project's way against lingua text by text, on the same rows in one run.

    python benchmarks/language_speed.py --data TABLE.csv [--text description] [--rows N]

First the models are loaded, then both ways read all rows in blocks of a tenth, in turns, so that a change in the
machine's load meets both. `wall` is what a user waits for; `CPU` leaves out what other programs take away.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import lingua
import numpy as np
import pandas as pd

from dlcycle.data.language import LEAST_PROBABILITY, UNKNOWN, detect_languages

BLOCKS = 10


def one_by_one(detector: Any, texts: Sequence[str]) -> list[str]:
    """Name the language of each full text, "unknown" where lingua names none."""
    found = [detector.detect_language_of(text) for text in texts]
    return [UNKNOWN if language is None else language.iso_code_639_1.name.lower() for language in found]


def improbable(detector: Any, texts: Sequence[str]) -> list[bool]:
    """Whether the probability of the full text's language is too low to name it."""
    best = (detector.compute_language_confidence_values(text)[0].value for text in texts)
    return [value < LEAST_PROBABILITY for value in best]


def timed(function: Callable[[], Any]) -> tuple[Any, np.ndarray]:
    """Return a function's result and its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, np.array([time.perf_counter() - wall, time.process_time() - cpu])


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--text", default="description")
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    frame = pd.read_csv(arguments.data, dtype=str, keep_default_na=False)
    texts = frame[arguments.text].tolist()[: arguments.rows]

    detector = lingua.LanguageDetectorBuilder.from_all_languages().build()
    # one text a script, and long and short ones: each loads the models of other languages and lengths
    samples = ["a few words", "a few words " * 20, "несколько слов", "несколько слов " * 20, "कुछ शब्द", "بضع كلمات"]
    _, loading = timed(lambda: (one_by_one(detector, samples), detect_languages(samples)))
    plain, own = [], []
    spent = {"one by one": np.zeros(2), "project": np.zeros(2)}
    for start in range(0, len(texts), -(-len(texts) // BLOCKS)):
        block = texts[start : start + -(-len(texts) // BLOCKS)]
        result, seconds = timed(lambda block=block: one_by_one(detector, block))
        plain += result
        spent["one by one"] += seconds
        _, seconds = timed(lambda block=block: own.extend(detect_languages(block).codes))
        spent["project"] += seconds
    whole, seconds = timed(lambda: detect_languages(texts).codes.tolist())
    spent["project, all rows in one call"] = seconds

    print(f"{len(texts):,} rows, {len(set(texts)):,} distinct; models loaded in {loading[0]:.1f} s")
    print(f"{'way':<32}{'wall s':>9}{'rows/s':>9}{'CPU s':>9}{'times':>7}{'CPU times':>11}")
    base = spent["one by one"]
    for name, (wall, cpu) in spent.items():
        ratios = f"{base[0] / wall:>7.1f}{base[1] / cpu:>11.1f}"
        print(f"{name:<32}{wall:>9.1f}{len(texts) / wall:>9,.0f}{cpu:>9.1f}{ratios}")
    left, right = np.array(plain, dtype=object), np.array(own, dtype=object)
    cut = left.copy()
    cut[improbable(detector, texts)] = UNKNOWN
    both = (left != UNKNOWN) & (right != UNKNOWN)
    print(f"agreement on rows that both name: {(left == right)[both].mean():.4%} of {both.sum():,}")
    print(f"agreement, unknown as one more language: {(left == right).mean():.4%} of {len(texts):,}")
    print(f"the same, with the project's threshold for both: {(cut == right).mean():.4%}")
    unknown = [f"{(codes == UNKNOWN).mean():.2%}" for codes in (left, cut, right)]
    print(f"unknown: one by one {unknown[0]}, with the same threshold {unknown[1]}, project {unknown[2]}")
    print(f"blocks and one call agree: {whole == own}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
