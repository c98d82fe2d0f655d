"""A text whose words are marked by what they contribute to a decision, and how to read the marks.

Hue, line and sign say which side a word is on, so that none of them is needed to tell; four steps say how strongly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .formats import PERCENT, PLAIN, finite, several, show
from .markup import Child, Html, el, safe_text

CHARACTERS = 2000
"""Characters of a text that are shown."""
MARKS = 120
"""Words of a text that are marked, unless asked otherwise."""
FAINT = 0.05
"""Share of a row's strongest contribution below which a word is not marked."""


def spans_of(item: Mapping[str, Any], length: int) -> list[tuple[int, int, float]]:
    """Start, end and contribution of the words of a text, in order; what does not fit the text is left out."""
    found = []
    words = item.get("words")
    for entry in words if isinstance(words, (list, tuple)) else ():
        if not isinstance(entry, (list, tuple)) or len(entry) != 3:
            continue
        start, end, score = (finite(value) for value in entry)
        if start is None or end is None or score is None:
            continue
        if 0 <= int(start) < int(end) <= length:
            found.append((int(start), int(end), score))
    kept: list[tuple[int, int, float]] = []
    for span in sorted(found):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


def _step(score: float, largest: float) -> int:
    """Strength from 1 to 4, in quarters of the row's strongest contribution; 0 is too faint to mark."""
    part = abs(score) / largest if largest else 0.0
    return 0 if part < FAINT else min(4, 1 + int(4 * part))


def signed(value: object) -> str:
    """A contribution with its sign."""
    return show(value, PLAIN, (0, 0.04), sign=True)


def marked_text(text: str, spans: Sequence[tuple[int, int, float]], *, rest: int = 0, marks: int = MARKS) -> Html:
    """A text whose words are marked by what they contribute: hue, line and sign for the side, four steps for strength.

    Args:
        text: the whole text to show.
        spans: start, end and contribution of its words, in order and apart from each other.
        rest: characters that follow and are not shown.
        marks: words that are marked, the strongest first.
    """
    largest = max((abs(score) for _, _, score in spans), default=0.0)
    strongest = {span for span in sorted(spans, key=lambda span: -abs(span[2]))[:marks] if _step(span[2], largest)}
    pieces: list[Child] = []
    at_ = 0
    for start, end, score in spans:
        if (start, end, score) not in strongest:
            continue
        kind = f"{'for' if score > 0 else 'against'} s{_step(score, largest)}"
        word = safe_text(text[start:end], CHARACTERS)
        pieces += [safe_text(text[at_:start], CHARACTERS), el("mark", word, class_=kind, title=signed(score))]
        at_ = end
    pieces.append(safe_text(text[at_:], CHARACTERS))
    more = f" … {several(rest, 'more character')}" if rest > 0 else None
    return el("p", el("bdi", pieces, dir="auto"), more, class_="marked")


def legend() -> Html:
    """How to read the marks."""
    steps = ("slight", "some", "strong", "strongest")
    sides = [
        el(
            "span",
            f"{side}: ",
            [[" ", el("mark", word, class_=f"{kind} s{step}")] for step, word in enumerate(steps, 1)],
        )
        for kind, side in (("for", "towards the class"), ("against", "against it"))
    ]
    faint = show(FAINT, PERCENT, (0, 0.04))
    unmarked = f"Steps are quarters of the row's strongest word; below {faint} of it a word is not marked."
    return el("p", el("b", "Marks "), sides[0], " · ", sides[1], " ", unmarked, class_="marks-key")
