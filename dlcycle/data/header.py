"""The columns that a project needs, looked for among those that a source has."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

from dlcycle.config import DataSection
from dlcycle.data.messages import quoted, shown
from dlcycle.errors import DataError


def needed_columns(settings: DataSection, extra: Sequence[str] = ()) -> dict[str, str]:
    """Return the columns that must exist, each with the key of the project file that names it."""
    needed: dict[str, str] = {}
    pairs = [*((name, "data.inputs") for name in settings.inputs), (settings.target, "data.target")]
    pairs += [(getattr(settings, key) or "", f"data.{key}") for key in ("time", "group")]
    for name, key in [*pairs, *((name, "split.column") for name in extra)]:
        if name:
            needed.setdefault(name, key)
    return needed


def unique_names(header: Sequence[str]) -> list[str]:
    """Return column names of which those that came before are numbered.

    >>> unique_names(["text", "text", "", "text (2)"])
    ['text', 'text (2)', '', 'text (2) (2)']
    """
    names: list[str] = []
    for name in header:
        candidate, number = name, 2
        while candidate and candidate in names:
            candidate, number = f"{name} ({number})", number + 1
        names.append(candidate)
    return names


def check_header(found: Sequence[str], needed: Mapping[str, str], *, name: str, hint: str = "") -> None:
    """Raise one DataError with all problems of the column names: missing, with the nearest name, or there twice.

    Args:
        found: Column names as they stand in the file.
        needed: Columns that must exist, with the key of the project file that names them.
        name: What messages call the file.
        hint: The likely cause if it is not the names, one sentence; then no nearest names are given.

    >>> check_header(["text", "lable"], {"text": "data.inputs", "label": "data.target"}, name="a.csv")
    Traceback (most recent call last):
    dlcycle.errors.DataError: a.csv: expected the columns 'text', 'label'; the file has 'text', 'lable':
    - column 'label' (data.target) is missing; nearest: 'lable'
    Correct the names in the file or in the project file
    """
    problems = [
        f"column {shown(column)} appears {count} times"
        for column, count in Counter(found).items()
        if column and count > 1
    ]
    folded = {column.strip().casefold(): column for column in reversed(found) if column}
    for column, key in needed.items():
        if column not in found:
            nearest = [] if hint else difflib.get_close_matches(column.strip().casefold(), folded, n=1)
            problems.append(
                f"column {shown(column)} ({key}) is missing"
                + "".join(f"; nearest: {shown(folded[n])}" for n in nearest)
            )
    if problems:
        expected = f"expected the columns {quoted(needed)}; the file has {quoted(found)}"
        lines = [f"{name}: {expected}:", *(f"- {problem}" for problem in problems)]
        raise DataError("\n".join([*lines, hint or "Correct the names in the file or in the project file"]))
