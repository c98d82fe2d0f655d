"""Class labels that a reader would take for one label although their characters differ.

Forms, spreadsheets and copies from web pages leave `Books`, `books `, `Books` with a zero-width space and a `Books`
with a Cyrillic letter side by side, and each becomes a class of its own. `label_key` gives all of them one key, and
`group_labels` finds such groups in a table of counts. Nothing is merged here.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.data.messages import quoted
from dlcycle.errors import DataError

# Cyrillic, Greek and Armenian letters and their Latin twins (Unicode TS 39 confusables, checked in the tests), plus
# the dotless i, which upper case turns into I. A Greek letter is listed only when both its cases have the twin: μm must
# not become mm. No two letters of a script share a twin, so labels written in one script never collide.
_TWINS = str.maketrans(
    "авекмнорстухіјѕԛԝӏԁѵαιορօսı",
    "abekmhopctyxijsqwldvaiopoui",
)
# Characters without a shape: controls other than white space, combining grapheme joiner, Hangul and Khmer fillers,
# Mongolian and general variation selectors, the blank Braille pattern. Those of category Cf are found by category.
_SHAPELESS = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


@dataclass(frozen=True)
class LabelGroup:
    """Spellings that share a key."""

    canonical: str
    """The most frequent spelling."""
    spellings: dict[str, int]
    """Rows per spelling, the canonical one first."""


def strip_invisible(text: str) -> str:
    r"""Remove the characters that show nothing: format characters (Cf), controls, variation selectors, fillers.

    White space stays.

    Args:
        text: Any text.

    Returns:
        The text without them.

    Example:
        >>> strip_invisible("Bo\u200boks\ufeff")
        'Books'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in _SHAPELESS.sub("", text) if unicodedata.category(c) != "Cf")


def is_blank(text: str) -> bool:
    r"""Whether a text shows nothing: it is empty, or white space and invisible characters only.

    Args:
        text: Any text.

    Returns:
        True for a text without one visible character.

    Example:
        >>> is_blank(" \u200b\u00a0"), is_blank("NA")
        (True, False)
    """
    return all(c.isspace() or not strip_invisible(c) for c in text)


def label_key(label: str) -> str:
    r"""Return the skeleton under which the variants of a label collide.

    Compatibility forms are unified (NFKC), case is folded, invisible characters go, white space of any kind
    collapses to single spaces, and Cyrillic, Greek and Armenian letters become the Latin letters they look like.

    Args:
        label: A label as it stands in the data.

    Returns:
        The key: for comparing, not for showing. Empty when the label shows nothing.

    Example:
        >>> label_key(" B\u043eoks\u200b") == label_key("BOOKS") == "books"
        True
        >>> label_key("01") == label_key("1")
        False
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", label).casefold())
    return unicodedata.normalize("NFC", " ".join(strip_invisible(folded.translate(_TWINS)).split()))


def group_labels(counts: Mapping[str, int]) -> list[LabelGroup]:
    r"""Find the labels that share a key with another label.

    Args:
        counts: Rows per label.

    Returns:
        One group for each key with more than one spelling, largest first. Among equally frequent spellings the
        canonical one is the first in sorted order, one without invisible characters before others.

    Example:
        >>> group_labels({"Books": 5, "books": 2, "Toys": 4})
        [LabelGroup(canonical='Books', spellings={'Books': 5, 'books': 2})]
    """
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for label in counts:
        by_key[label_key(label)].append(label)
    groups = []
    for labels in by_key.values():
        if len(labels) > 1:
            ordered = sorted(labels, key=lambda label: (-counts[label], strip_invisible(label) != label, label))
            groups.append(LabelGroup(ordered[0], {label: counts[label] for label in ordered}))
    return sorted(groups, key=lambda group: (-sum(group.spellings.values()), group.canonical))


def class_indices(labels: pd.Series, *, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the position of each label among the names of the classes.

    Args:
        labels: (N,) labels of rows.
        names: (C,) class names, without repetition.

    Returns:
        (N,) positions from 0 to C - 1.

    Raises:
        DataError: A label is not among the names.

    Example:
        >>> class_indices(pd.Series(["Toys", "Books", "Toys"]), names=["Books", "Toys"])
        array([1, 0, 1])
    """
    indices = pd.Index(names).get_indexer(labels)
    if unknown := labels[indices < 0].unique().tolist():
        raise DataError(f"expected the labels {quoted(names)}, got {quoted(unknown)}; train anew on data that has them")
    return indices.astype(np.int64)
