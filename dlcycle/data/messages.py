"""The words in which errors and findings speak: values from data made safe to show, lists cut, findings built."""

from collections.abc import Iterable, Sequence
from typing import Any

from dlcycle.data.personal import mask_personal

EXAMPLES = 5
"""Items that a list in a message or report names."""
SHOWN_CHARACTERS = 80
"""Characters of a value from data that an error shows."""
EXCERPT_CHARACTERS = 200
"""Characters of a text that an example in a report holds."""


def shown(text: str) -> str:
    r"""Return a value from data as a message shows it: personal data masked, cut, with control characters visible.

    >>> shown("a\x00" + "b" * 100)
    "'a\\x00bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'..."
    """
    return repr(mask_personal(text)[:SHOWN_CHARACTERS]) + ("..." if len(text) > SHOWN_CHARACTERS else "")


def excerpt(text: str) -> str:
    """Return what a report may hold of a text: its beginning, with personal data masked.

    >>> excerpt("write to ann@example.org")
    'write to a••@•••••••.org'
    """
    # Masked first: a number that is cut is no longer known for what it is.
    return mask_personal(text)[:EXCERPT_CHARACTERS]


def listed(items: Iterable[str]) -> str:
    """Join at most five items, and say how many more there are.

    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    items = list(items)
    more = f" and {len(items) - EXAMPLES:,} more" if len(items) > EXAMPLES else ""
    return ", ".join(items[:EXAMPLES]) + more


def several(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> several(1, "row"), several(1200, "row"), several(2, "class", "classes")
    ('1 row', '1,200 rows', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def quoted(values: Iterable[str]) -> str:
    """Return values from data as a list for a message."""
    return listed(map(shown, values))


def finding(name: str, message: str, *, rows: Sequence[int] = (), count: int | None = None) -> dict[str, Any]:
    """Return something noticed in the data, as plain data.

    Args:
        name: One name for each kind of finding.
        message: What was seen and what was done about it: a sentence without a final stop.
        rows: Record numbers of the rows concerned; the first five are kept.
        count: Rows concerned, if `rows` does not hold them all; 0 for a finding about the whole file.
    """
    first = [int(row) for row in sorted(rows)[:EXAMPLES]]
    return {"name": name, "count": len(rows) if count is None else count, "rows": first, "message": message}
