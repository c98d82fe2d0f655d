"""Something that a team should do: how urgent it is, why, and the line or command that does it."""

from collections.abc import Iterable
from typing import Literal, get_args

Level = Literal["fix", "decide", "consider", "fine"]
Item = dict[str, str]

LEVELS: tuple[str, ...] = get_args(Level)
"""From what makes the result wrong or fails a goal to what needs nothing."""


def item(level: Level, title: str, reason: str, action: str = "") -> Item:
    """Return something to do: how urgent, a sentence, why, and a line of the project file or a command."""
    return {"level": level, "title": title, "reason": reason, "action": action}


def ranked(items: Iterable[Item]) -> list[Item]:
    """Items from the most to the least urgent, those of a level in the order given."""
    return sorted(items, key=lambda each: LEVELS.index(each["level"]))
