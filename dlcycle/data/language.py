"""The language of every row, by lingua, and the table of languages that rows from many shards add up to.

Lingua compares the letters of a text with models of 75 languages, a look-up for each triple of letters and each
language, so the time grows with the text. Three things save it: a text that occurs again is read once, texts go to
lingua in groups that it spreads over the cores, and of a long text two parts are read, one from its first and one from
its last half. Only where these parts leave a doubt, or mix scripts, the beginning of the text is read as well.
`benchmarks/language_speed.py` measures what this saves and how often the answer changes.
"""

import difflib
import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlcycle.data.messages import EXAMPLES, EXCERPT_CHARACTERS, listed
from dlcycle.data.personal import mask_personal
from dlcycle.errors import ConfigError, DataError

UNKNOWN = "unknown"
"""Code of a text whose language is not named."""
CHARACTERS = 240
"""Longest text that is read whole. The parts of a longer one then keep over 120 letters. Below 120 lingua counts groups
of one to five letters instead of three, which takes twice as long and rarely reaches the probability that is taken for
sure here."""
LEAST_PROBABILITY = 0.1
"""Below it a language is not named. Of 9,017 e-commerce texts, nearly all English, lingua gave 57 a language with a
lower probability, for 35 of them not English; for 15 of the 40 up to 0.12, and for 1.3 % of all others."""
EXPECTED_SHARE = 0.1
"""Share of the rows from which on a language counts as expected when none is listed."""
_PART = 3 / 8  # of the longest text read whole
_MORE = 4  # times as much is read where two parts leave a doubt
_SURE = 0.99
_TEXTS = 2_000  # a call: lingua returns 75 objects for each text
_BINS = 100
_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_LETTERS = re.compile(r"[\d\s]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_OTHER_SCRIPT = re.compile("[\u0370-\u1dff\u3040-\ud7ff]")


@dataclass(frozen=True)
class Detected:
    """Languages of texts."""

    codes: NDArray[np.object_]
    """(n,) ISO 639-1 codes, or "unknown"."""
    probability: NDArray[np.float32]
    """(n,) lingua's probability of the named language among the candidates; 0 where it is unknown."""


def detect_languages(texts: Sequence[str], *, candidates: Sequence[str] = (), characters: int = CHARACTERS) -> Detected:
    """Name the language of each text.

    The first call with all candidates loads their models: 1.3 GB of memory, which stays with the process; a few
    candidates take a tenth of it. Lingua uses all cores, or as many as the environment variable `RAYON_NUM_THREADS`
    says.

    Args:
        texts: n texts. Half characters of UTF-16 (lone surrogates) are read as U+FFFD.
        candidates: ISO 639-1 codes or English names of at least two languages; all of lingua's if empty.
        characters: Longest text that is read whole; at least 1.

    Returns:
        The languages. Unknown are texts without a letter or in a script of no candidate, those with two languages
        equally likely, and those whose probability is below `LEAST_PROBABILITY`. The result for a text does not
        depend on the other texts.

    Raises:
        ConfigError: A candidate is no language that lingua knows, or there is only one.
        DataError: `characters` is below 1.

    Example:
        >>> texts = ["the house of my friend", "das Haus meines Freundes", "42"]
        >>> detect_languages(texts, candidates=["en", "de"]).codes.tolist()
        ['en', 'de', 'unknown']
    """
    if characters < 1:
        raise DataError(f"expected characters of at least 1, got {characters}; leave it out for {CHARACTERS}")
    detector = _detector(tuple(sorted(set(language_codes(candidates)))))
    positions, distinct = pd.factorize(np.array([_SURROGATES.sub("\ufffd", text) for text in texts], dtype=object))
    short = np.array([len(text) <= characters for text in distinct], dtype=bool)
    shown = [text if whole else _two_parts(text, characters) for text, whole in zip(distinct, short, strict=True)]
    codes, probability = _detected(detector, shown)
    mixed = np.array([_mixes_scripts(text) for text in shown], dtype=bool)
    doubtful = np.flatnonzero(~short & ((probability < _SURE) | mixed))
    codes[doubtful], probability[doubtful] = _detected(detector, [distinct[i][: _MORE * characters] for i in doubtful])
    codes[probability < LEAST_PROBABILITY] = UNKNOWN
    probability[probability < LEAST_PROBABILITY] = 0
    return Detected(codes[positions], probability[positions])


def language_codes(languages: Iterable[str]) -> list[str]:
    """Return the ISO 639-1 codes of languages given by code or English name.

    Args:
        languages: Codes or names, in any case.

    Returns:
        One code each, in the same order.

    Raises:
        ConfigError: Some are no languages that lingua knows; all of those are named.

    Example:
        >>> language_codes(["EN", "german"])
        ['en', 'de']
    """
    names = _names()
    known = {code: code for code in names} | {name.casefold(): code for code, name in names.items()}
    languages = list(languages)
    if wrong := [item for item in languages if item.strip().casefold() not in known]:
        near = {item: difflib.get_close_matches(item.strip().casefold(), known, n=1) for item in wrong}
        hints = [f"{item!r}" + (f" (did you mean {near[item][0]!r}?)" if near[item] else "") for item in wrong]
        raise ConfigError(
            f"languages: expected ISO 639-1 codes or English names of the {len(names)} languages of lingua, such as "
            f"'en' or 'German', got {listed(hints)}; correct or leave them out"
        )
    return [known[item.strip().casefold()] for item in languages]


def language_name(code: str) -> str:
    """Return the English name of a language.

    Args:
        code: ISO 639-1 code, or "unknown".

    Returns:
        The name; a code that lingua does not know is returned as it is.

    Example:
        >>> language_name("hi"), language_name("unknown")
        ('Hindi', 'unknown')
    """
    return _names().get(code, code)


def language_state(
    codes: Sequence[str],
    probability: Sequence[float],
    *,
    rows: Sequence[int],
    lines: Sequence[int],
    labels: Sequence[str | None],
    texts: Sequence[str],
) -> dict[str, Any]:
    """Count the languages of some rows, as plain data that `merge_languages` adds up.

    Args:
        codes: (n,) codes as in `Detected`.
        probability: (n,) probabilities.
        rows: (n,) record numbers.
        lines: (n,) physical lines.
        labels: (n,) classes; None where a row has none.
        texts: (n,) texts. Five excerpts of each language are kept, with personal data masked.

    Returns:
        By code: rows, probabilities in hundredths, rows of each class, and the examples with the highest
        probability, among equals those with the lowest record number.
    """
    frame = pd.DataFrame({"code": list(codes), "probability": np.asarray(probability, float), "row": list(rows)})
    frame["line"], frame["label"] = list(lines), pd.Series(list(labels), dtype=object)
    state: dict[str, Any] = {"languages": {}}
    for code, part in frame.groupby("code"):
        best = part.sort_values(["probability", "row"], ascending=[False, True])[:EXAMPLES]
        bins = (part["probability"] * _BINS).round().astype(int)
        state["languages"][str(code)] = {
            "rows": len(part),
            "bins": np.bincount(bins, minlength=_BINS + 1).tolist(),
            "classes": {str(label): int(n) for label, n in part["label"].value_counts().items()},
            "examples": [
                {
                    "row": int(row.row),
                    "line": int(row.line),
                    "text": mask_personal(texts[row.Index])[:EXCERPT_CHARACTERS],
                    "label": "" if pd.isna(row.label) else str(row.label),
                    "probability": round(float(row.probability), 4),
                }
                for row in best.itertuples()
            ],
        }
    return state


def merge_languages(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up states of `language_state`, in any order and grouping.

    Args:
        states: States of distinct rows.

    Returns:
        The state of all their rows.
    """
    merged: dict[str, Any] = {}
    for state in states:
        for code, new in state["languages"].items():
            old = merged.get(code, {"rows": 0, "bins": [0] * (_BINS + 1), "classes": {}, "examples": []})
            names = old["classes"].keys() | new["classes"].keys()
            merged[code] = {
                "rows": old["rows"] + new["rows"],
                "bins": [a + b for a, b in zip(old["bins"], new["bins"], strict=True)],
                "classes": {name: old["classes"].get(name, 0) + new["classes"].get(name, 0) for name in sorted(names)},
                "examples": sorted(old["examples"] + new["examples"], key=_best_first)[:EXAMPLES],
            }
    return {"languages": merged}


def describe_languages(
    state: dict[str, Any], *, expected: Sequence[str], seconds: float, candidates: Sequence[str] = ()
) -> dict[str, Any]:
    """Describe the languages of all rows.

    Args:
        state: Of `language_state` or `merge_languages`.
        expected: Codes or names of the languages that the data should have; if empty, those with at least a tenth of
            the rows are taken for expected.
        seconds: Time that detection took, with loading the models.
        candidates: As given to `detect_languages`.

    Returns:
        The `languages` artifact. Probabilities are medians, to a hundredth; `unexpected` leaves out the rows without
        a language, which are in `counts` and, with examples, in `unknown_examples`.

    Raises:
        ConfigError: An expected language is none that lingua knows.
    """
    found = sorted(state["languages"].items(), key=lambda item: (-item[1]["rows"], item[0]))
    total = sum(entry["rows"] for _, entry in found)
    wanted = set(language_codes(expected))
    if not expected:
        wanted = {code for code, entry in found if code != UNKNOWN and entry["rows"] >= EXPECTED_SHARE * total}
    unknown = state["languages"].get(UNKNOWN, {"rows": 0, "examples": []})
    counts, unexpected, by_class = [], [], []
    for code, entry in found:
        head = {"language": language_name(code), "code": code, "rows": entry["rows"]}
        share = {"share": entry["rows"] / total, "probability": _median(entry["bins"]), "expected": code in wanted}
        counts.append(head | share)
        if code != UNKNOWN and code not in wanted:
            unexpected.append(head | {"examples": entry["examples"]})
        by_class += [{"label": label, "language": head["language"], "rows": n} for label, n in entry["classes"].items()]
    return {
        "rows": total,
        "detected": total - unknown["rows"],
        "unknown": unknown["rows"],
        "method": _method(candidates),
        "seconds": float(seconds),
        "rows_per_second": total / seconds if seconds > 0 else 0.0,
        "counts": counts,
        "unexpected": unexpected,
        "unknown_examples": unknown["examples"],
        "by_class": sorted(by_class, key=lambda item: (item["label"], -item["rows"], item["language"])),
    }


@functools.cache
def _names() -> dict[str, str]:
    """Return the English name of each language that lingua knows, by code."""
    import lingua

    languages = sorted(lingua.Language.all(), key=lambda language: language.name)
    return {language.iso_code_639_1.name.lower(): language.name.title() for language in languages}


@functools.cache
def _detector(codes: tuple[str, ...]) -> Any:
    import lingua

    if not codes:
        return lingua.LanguageDetectorBuilder.from_all_languages().build()
    if len(codes) == 1:
        raise ConfigError(f"languages: expected at least two candidates, got {codes[0]!r}; add one or leave it out")
    known = {language.iso_code_639_1.name.lower(): language for language in lingua.Language.all()}
    return lingua.LanguageDetectorBuilder.from_languages(*(known[code] for code in codes)).build()


def _detected(detector: Any, texts: Sequence[str]) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """Return the likeliest language of each text and its probability, 0 where two are equally likely."""
    codes, probability = np.full(len(texts), UNKNOWN, object), np.zeros(len(texts), np.float32)
    for start in range(0, len(texts), _TEXTS):
        part = list(texts[start : start + _TEXTS])
        for i, (first, second, *_) in enumerate(detector.compute_language_confidence_values_in_parallel(part), start):
            if first.value > second.value:
                codes[i] = first.language.iso_code_639_1.name.lower()
                probability[i] = first.value
    return codes, probability


def _two_parts(text: str, characters: int) -> str:
    """Return words from one and from two thirds of a text, digits left out."""
    length = max(1, int(_PART * characters))
    return " ".join(_words_from(text[start : start + 4 * length], length) for start in _thirds(text))


def _thirds(text: str) -> tuple[int, int]:
    return len(text) // 3, 2 * len(text) // 3


def _words_from(text: str, length: int) -> str:
    """Cut a part to a length, and to whole words where it has spaces near its ends."""
    part = _NO_LETTERS.sub(" ", text)[:length]
    begin, end = part.find(" "), part.rfind(" ")
    return part[begin + 1 if 0 <= begin < length // 4 else 0 : end if end > 3 * length // 4 else len(part)]


def _mixes_scripts(text: str) -> bool:
    return not text.isascii() and bool(_LATIN.search(text)) and bool(_OTHER_SCRIPT.search(text))


def _median(bins: Sequence[int]) -> float:
    """Return the lower median of probabilities counted in hundredths."""
    return int(np.searchsorted(np.cumsum(bins), (sum(bins) + 1) // 2)) / _BINS


def _best_first(example: dict[str, Any]) -> tuple[float, int]:
    return -example["probability"], example["row"]


def _method(candidates: Sequence[str]) -> str:
    names = sorted(map(language_name, set(language_codes(candidates))))
    which = ", ".join(names) if names else f"all {len(_names())} languages"
    part = int(_PART * CHARACTERS)
    return (
        f"lingua {metadata.version('lingua-language-detector')}, {which}; of texts over {CHARACTERS} characters two "
        f"parts of {part}, and the first {_MORE * CHARACTERS} in doubt; not named below a probability of "
        f"{LEAST_PROBABILITY}"
    )
