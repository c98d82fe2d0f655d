"""What is wrong inside texts: gaps, characters lost, markup, extreme lengths, repetition and personal data.

Each shard of rows is scanned by itself and the states are merged, so the result does not depend on how the rows were
cut or ordered: counts add up, and the examples are those of the smallest row numbers. Nothing is changed in the texts.
What a state keeps of them is masked first, so that it may be stored.
"""

import html.entities
import re
from collections.abc import Iterable, Sequence
from typing import Any

from dlcycle.data.labels import is_blank
from dlcycle.data.messages import EXAMPLES, EXCERPT_CHARACTERS
from dlcycle.data.personal import KINDS, find_personal, mask_personal
from dlcycle.data.rawtable import MOJIBAKE

FEWEST_WORDS = 3
"""A text of fewer words is very short."""
REPEATS = 20
"""A character or word that stands more often than this in a row is repeated."""

TITLES = {
    "missing": "No text",
    "blank": "Text without a visible character",
    "control_characters": "Characters lost or not printable",
    "mojibake": "Read or saved in a wrong encoding",
    "markup": "HTML tags or entities",
    "links": "Web addresses",
    "very_long": "Very long text",
    "very_short": f"Fewer than {FEWEST_WORDS} words",
    "repeated": f"A character or word more than {REPEATS} times in a row",
}
"""The checks, in the order in which they are described."""

_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffd]")
_TAGS = (
    "a abbr article aside audio b blockquote body br button center code col dd del div dl dt em embed figure font"
    " footer form frame h[1-6] head header hr html i iframe img input ins label li link main map meta nav noscript"
    " object ol option p param picture pre q s script section select small source span strike strong style sub sup"
    " svg table tbody td textarea tfoot th thead title tr tt u ul video"
).replace(" ", "|")
_MARKUP = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]{{0,1000}})?/?>|<!--|<!doctype\b|&(?:\#\d{{1,7}}|\#x[0-9a-f]{{1,6}}|(?P<name>[a-z]\w{{1,31}}));",
    re.IGNORECASE,
)
_ENTITIES = frozenset(name.removesuffix(";") for name in html.entities.html5)
_LINK = re.compile(r"(?:https?|ftp)://[^\s/]|\bwww\.[^\W_]", re.IGNORECASE)
# Thai to Myanmar, Khmer, kana and Chinese: scripts that put no spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"
)
_REPEATED = re.compile(rf"(\S)\1{{{REPEATS}}}")
# Of more than 20 equal characters, every fifth shows at least four times: a test of a fifth of the text.
_SAMPLED = re.compile(r"(\S)\1{3}")
_STRIDE = 5
_LEAD = 50


def scan_texts(
    texts: Sequence[str | None],
    *,
    rows: Sequence[int],
    lines: Sequence[int],
    labels: Sequence[str | None],
    max_words: int = 2000,
) -> dict[str, Any]:
    """Look for what is wrong inside the texts of a shard.

    Args:
        texts: N texts that the model would read; None or "" where there is none.
        rows: N record numbers, 1-based.
        lines: N physical lines.
        labels: N labels; None where there is none.
        max_words: Words, separated by white space, above which a text is very long.

    Returns:
        The state of the shard, plain data, for `merge_validity` and `describe_validity`: "rows", and for each check and
        each kind of personal data the rows concerned and up to five examples. Examples hold no personal data.

    Raises:
        ValueError: The four sequences differ in length.

    Example:
        >>> state = scan_texts(["<b>Mail</b> to ann@example.org", None], rows=[1, 2], lines=[2, 3], labels=["a", "b"])
        >>> {name: check["count"] for name, check in state["checks"].items() if check["count"]}
        {'missing': 1, 'markup': 1}
        >>> state["personal"]["e-mail"]["examples"]
        [{'row': 1, 'line': 2, 'masked': '<b>Mail</b> to a••@•••••••.org'}]
    """
    checks: dict[str, list[tuple[int, int, int]]] = {name: [] for name in TITLES}
    personal: dict[str, list[tuple[int, int, int]]] = {kind: [] for kind in KINDS}
    for index, (text, row, _, _) in enumerate(zip(texts, rows, lines, labels, strict=True)):
        for name, position in _wrong(text, max_words):
            checks[name].append((int(row), index, position))
        seen: dict[str, int] = {}
        for kind, start, _ in find_personal(text or ""):
            seen.setdefault(kind, start)
        for kind, start in seen.items():
            personal[kind].append((int(row), index, start))

    def example(row: int, index: int, position: int, *, masked: bool = False) -> dict[str, Any]:
        excerpt = _excerpt(texts[index] or "", position)
        where = {"row": row, "line": int(lines[index])}
        return where | ({"masked": excerpt} if masked else {"text": excerpt, "label": _excerpt(labels[index] or "", 0)})

    return {
        "rows": len(texts),
        "checks": {
            name: {"count": len(found), "examples": [example(*item) for item in sorted(found)[:EXAMPLES]]}
            for name, found in checks.items()
        },
        "personal": {
            kind: {"count": len(found), "examples": [example(*item, masked=True) for item in sorted(found)[:EXAMPLES]]}
            for kind, found in personal.items()
        },
    }


def merge_validity(states: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge the states of shards; neither their order nor their sizes matter.

    Args:
        states: States that `scan_texts` or this function returned, of disjoint rows.

    Returns:
        The state of all rows together; without states, that of no rows.

    Example:
        >>> shards = [scan_texts([text], rows=[row], lines=[row], labels=[""]) for row, text in ((2, "a"), (1, "b"))]
        >>> merge_validity(shards) == scan_texts(["b", "a"], rows=[1, 2], lines=[1, 2], labels=["", ""])
        True
    """
    states = list(states)
    return {
        "rows": sum(state["rows"] for state in states),
        "checks": {name: _merged([state["checks"][name] for state in states]) for name in TITLES},
        "personal": {kind: _merged([state["personal"][kind] for state in states]) for kind in KINDS},
    }


def describe_validity(state: dict[str, Any], rows: int) -> dict[str, Any]:
    """Describe a state for a report.

    Args:
        state: State of all rows.
        rows: Rows that shares refer to.

    Returns:
        "checks": name, title, count, share in [0, 1] and examples (row, line, text, label) of every check, also of
        those that found nothing. "personal": kind, rows and examples (row, line, masked) of the kinds that were found,
        most frequent first.

    Example:
        >>> described = describe_validity(scan_texts(["one two"], rows=[1], lines=[2], labels=["a"]), rows=1)
        >>> [(check["name"], check["share"]) for check in described["checks"] if check["count"]]
        [('very_short', 1.0)]
    """
    checks = [
        {"name": name, "title": title, "share": found["count"] / rows if rows else 0.0, **found}
        for name, title in TITLES.items()
        for found in [state["checks"][name]]
    ]
    personal = [
        {"kind": kind, "rows": found["count"], "examples": found["examples"]}
        for kind, found in state["personal"].items()
        if found["count"]
    ]
    return {"checks": checks, "personal": sorted(personal, key=lambda item: (-item["rows"], KINDS.index(item["kind"])))}


def _wrong(text: str | None, max_words: int) -> list[tuple[str, int]]:
    """Return the checks that a text fails, with the position of what is to be seen."""
    if not text:
        return [("missing", 0)]
    if is_blank(text[:EXCERPT_CHARACTERS]) and is_blank(text):
        return [("blank", 0)]
    found: list[tuple[str, int]] = []
    if not (text.isascii() and text.isprintable()):
        for name, pattern in (("control_characters", _UNREADABLE), ("mojibake", MOJIBAKE)):
            if match := pattern.search(text):
                found.append((name, match.start()))
    if ("<" in text or "&" in text) and (position := _markup(text)) is not None:
        found.append(("markup", position))
    if ("://" in text or "w." in text or "W." in text) and (match := _LINK.search(text)):
        found.append(("links", match.start()))
    words = text.split()
    if len(words) > max_words:
        found.append(("very_long", 0))
    elif len(words) < FEWEST_WORDS and len(words) + len(_UNSPACED.findall(text)) // 2 < FEWEST_WORDS:
        found.append(("very_short", 0))
    if (position := _repeated(text, words)) is not None:
        found.append(("repeated", position))
    return found


def _markup(text: str) -> int | None:
    matches = _MARKUP.finditer(text)
    return next((match.start() for match in matches if match["name"] is None or match["name"] in _ENTITIES), None)


def _repeated(text: str, words: list[str]) -> int | None:
    if len(text) <= REPEATS:
        return None
    if _SAMPLED.search(text[::_STRIDE]) and (match := _REPEATED.search(text)):
        return match.start()
    if len(words) <= REPEATS:
        return None
    sample = [word.casefold() for word in words[::_STRIDE]]
    if not any(word == later for word, later in zip(sample, sample[3:], strict=False)):
        return None
    length = 0
    for index, word in enumerate(words):
        length = length + 1 if index and word.casefold() == words[index - 1].casefold() else 1
        if length > REPEATS:
            return len(text) - len(text.split(maxsplit=index - REPEATS)[-1])
    return None


def _excerpt(text: str, position: int) -> str:
    """Return what a report may keep of a text: masked, readable, cut, with the position in it."""
    # Masking keeps the length, and comes before the cut, which would hide from it what a number is.
    masked = _UNREADABLE.sub("\ufffd", mask_personal(text))
    if position < EXCERPT_CHARACTERS - _LEAD:
        return masked[:EXCERPT_CHARACTERS]
    return ("…" + masked[position - _LEAD :])[:EXCERPT_CHARACTERS]


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    examples = (example for part in parts for example in part["examples"])
    first = sorted(examples, key=lambda example: tuple(example.values()))[:EXAMPLES]
    return {"count": sum(part["count"] for part in parts), "examples": first}
