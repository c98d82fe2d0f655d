"""Words and phrases counted over explained texts, and ranked by what they are sure to contribute."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import scipy.stats

from dlcycle.insight.attribution.attribute import Attribution
from dlcycle.insight.bootstrap import Bools, Floats, Ints, measured

LEAST_TEXTS = 5
"""Texts that a phrase must occur in: the mean of fewer says little."""
FALSE_SHARE = 0.05
"""Share of the phrases sure to push that may be so by chance."""
LISTED = 15
"""Phrases listed for a class and against it."""
SEEN_WITHIN = 0.8
"""Share of a word's texts from which on it is taken to be a part of a phrase, and not a word of its own."""
LEAST_SHARE = 0.5
"""What each word of a phrase must contribute on its own, as a share of an equal part of the phrase's contribution."""

Phrase = tuple[str, ...]

# Words on both sides of a full stop or a comma are neighbours, but no phrase.
_JOINED = re.compile(r"\s*[-'’/&+]?\s*|\.")


@dataclass(eq=False)
class Phrases:
    """Contributions of the phrases of the texts explained for one class."""

    longest: int
    """Words of the longest phrase."""
    texts: int = 0
    sums: dict[Phrase, list[float]] = field(default_factory=dict)
    """For each phrase: texts with it, texts in which it contributes more and less than 0, sum and sum of squares."""
    spellings: dict[Phrase, str] = field(default_factory=dict)
    """Each phrase as its first text has it, in small letters."""

    def add(self, text: str, attribution: Attribution) -> None:
        """Count the phrases of a text.

        Args:
            text: the text, masked, in which the spans of the attribution's reading are valid.
            attribution: the contributions of its words.
        """
        self.texts += 1
        found: dict[Phrase, float] = {}
        free: dict[Phrase, int] = {}
        for phrase, first, last, spelling in _phrases(text, attribution.reading.spans, longest=self.longest):
            # Of "very very very" the second "very very" overlaps the first, and would count its middle word twice.
            if first >= free.get(phrase, 0):
                free[phrase] = last
                found[phrase] = found.get(phrase, 0.0) + float(attribution.scores[first:last].sum())
                self.spellings.setdefault(phrase, spelling)
        for phrase, contribution in found.items():
            line = self.sums.get(phrase, [0.0] * 5)
            new = (1, contribution > 0, contribution < 0, contribution, contribution**2)
            self.sums[phrase] = [old + one for old, one in zip(line, new, strict=True)]


def rank_phrases(phrases: Phrases) -> dict[str, list[dict[str, Any]]]:
    """The phrases that push for a class and against it, surest first.

    Of the phrases of at least `LEAST_TEXTS` texts those are listed whose mean contribution is surely not 0, ranked by
    the end of its interval nearer to 0. Sure is what Student's test (1908) says after the adjustment of Benjamini and
    Hochberg (1995) for all these phrases: of thousands looked at, one in twenty has an interval beside 0 by chance
    alone, and those would fill the list; so at most `FALSE_SHARE` of what remains is expected to be chance. A phrase of
    several words is listed if it contributes
    surely more than each of its parts, and if each of its words contributes to that. A word that is nearly always seen
    in a listed phrase is left out. The interval is Student's, over the texts with the phrase.

    Args:
        phrases: what was counted.

    Returns:
        "for" and "against": up to `LISTED` of {"phrase", "words", "mean" (metric: contribution in a text with the
        phrase, in logits; n texts), "spread" (standard deviation over these texts), "same_sign" (share of them in which
        it pushes that way)}.
    """
    table = _Table.of(phrases)
    return {"for": _listed(table, phrases, sign=1), "against": _listed(table, phrases, sign=-1)}


@dataclass(frozen=True, eq=False)
class _Table:
    """The frequent phrases; all arrays (K,)."""

    phrases: list[Phrase]
    places: dict[Phrase, int]
    counts: Floats
    positive: Floats
    negative: Floats
    means: Floats
    spreads: Floats
    halves: Floats
    """Half the width of each mean's interval."""
    sure: Bools
    """Whether the mean is surely not 0, among as many phrases."""

    @classmethod
    def of(cls, phrases: Phrases) -> Self:
        frequent = sorted(phrase for phrase, line in phrases.sums.items() if line[0] >= LEAST_TEXTS)
        lines = np.array([phrases.sums[phrase] for phrase in frequent], dtype=np.float64).reshape(-1, 5)
        counts, positive, negative, sums, squares = lines.T
        means = sums / counts
        spreads = np.sqrt(np.maximum(squares - counts * means**2, 0.0) / (counts - 1))
        errors = spreads / np.sqrt(counts)
        halves = scipy.stats.t.ppf(0.975, counts - 1) * errors
        ratios = np.divide(np.abs(means), errors, out=np.where(means == 0, 0.0, np.inf), where=errors > 0)
        p_values = 2 * scipy.stats.t.sf(ratios, counts - 1)
        sure = scipy.stats.false_discovery_control(p_values, method="bh") <= FALSE_SHARE
        places = {phrase: place for place, phrase in enumerate(frequent)}
        return cls(frequent, places, counts, positive, negative, means, spreads, halves, sure)


def _listed(table: _Table, phrases: Phrases, *, sign: int) -> list[dict[str, Any]]:
    """The phrases listed for the class, or those against it if `sign` is -1."""
    pushes = sign * table.means
    near, far = pushes - table.halves, pushes + table.halves
    candidates = np.flatnonzero(table.sure & (near > 0))
    taken: list[int] = []
    within: dict[int, float] = {}  # texts of the listed phrases that a word is part of
    for place in candidates[np.argsort(-near[candidates], kind="stable")].tolist():
        phrase = table.phrases[place]
        if within.get(place, 0.0) >= SEEN_WITHIN * table.counts[place]:
            continue
        parts = [table.places[part] for part in _parts(phrase)]
        words = [table.places[word,] for word in phrase]
        if parts and (
            near[place] <= far[parts].max() or pushes[words].min() * len(words) < LEAST_SHARE * pushes[place]
        ):
            continue
        for part in parts:
            within[part] = max(within.get(part, 0.0), table.counts[place])
        taken = [other for other in taken if within.get(other, 0.0) < SEEN_WITHIN * table.counts[other]] + [place]
        if len(taken) == LISTED:
            break
    same = table.positive if sign > 0 else table.negative
    return [
        {
            "phrase": phrases.spellings[table.phrases[place]],
            "words": len(table.phrases[place]),
            "mean": measured(
                table.means[place],
                table.means[place] - table.halves[place],
                table.means[place] + table.halves[place],
                n=int(table.counts[place]),
            ),
            "spread": float(table.spreads[place]),
            "same_sign": float(same[place] / table.counts[place]),
        }
        for place in taken
    ]


def _phrases(text: str, spans: Ints, *, longest: int) -> Iterator[tuple[Phrase, int, int, str]]:
    """The words of each phrase in small letters, the first of them and the one after the last, and the spelling."""
    words = [text[start:end].casefold() for start, end in spans]
    joined = [
        _JOINED.fullmatch(text[end:start]) is not None for end, start in zip(spans[:-1, 1], spans[1:, 0], strict=True)
    ]
    for first in range(len(words)):
        for last in range(first + 1, min(first + longest, len(words)) + 1):
            if last > first + 1 and not joined[last - 2]:
                break
            spelling = " ".join(text[spans[first, 0] : spans[last - 1, 1]].casefold().split())
            yield tuple(words[first:last]), first, last, spelling


def _parts(phrase: Phrase) -> list[Phrase]:
    """The runs of words within a phrase that are shorter than it."""
    size = len(phrase)
    return [phrase[first:last] for first, last in itertools.combinations(range(size + 1), 2) if last - first < size]
