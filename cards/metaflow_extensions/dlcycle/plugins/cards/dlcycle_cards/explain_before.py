"""Before and after: the run compared with, what differs in its settings, and what became of the accuracy."""

from collections.abc import Mapping
from typing import Any

from . import explain_groups, explain_sturdy
from .eda_reading import unlisted
from .explain_groups import points
from .formats import PERCENT, ends, finite, value_of
from .markup import Child, Html, data, el, join
from .page import section
from .train_data import at, mapping, records
from .train_evidence import with_interval

SETTINGS = 12
"""Settings that differ which are listed; the rest is counted."""


def before_and_after(run: Mapping[str, Any]) -> Html | None:
    """What the comparison with an earlier run says of the whole test part; None if no run was compared."""
    places = (at(run, "fairness", "before"), run.get("compared"))
    found = next((mapping(place) for place in places if at(place, "run")), None)
    if found is None:
        return None
    why = join(" (", data(found["why"], 200), ")") if found.get("why") else None
    now = at(run, "slices", "overall")
    now = now if value_of(now) is not None else at(run, "robustness", "clean")
    change = found.get("change")
    accuracy = join(
        "Accuracy then ", with_interval(found.get("accuracy"), PERCENT), ", now ", with_interval(now, PERCENT),
        "; change ", points(change, sign=True), ", paired on the same test rows", _unproven(change), ".",
    )  # fmt: skip
    return section(
        "Before and after",
        join("Compared with ", data(found.get("run"), 80), why, "."),
        *_differing(mapping(found.get("differs"))),
        el("p", accuracy),
        _elsewhere(run),
        anchor="before",
    )


def _unproven(change: object) -> str | None:
    low, high = (finite(end) for end in ends(change) or (None, None))
    return None if low is None or high is None or low > 0 or high < 0 else ": a change is not proven"


def _differing(differs: Mapping[str, Any]) -> list[Html | str | None]:
    """The settings that differ, then and now."""
    if not differs:
        return [el("p", "No setting differs.", class_="soft")]
    lines: list[Child] = []
    for name, pair in list(differs.items())[:SETTINGS]:
        then, now = pair if isinstance(pair, (list, tuple)) and len(pair) == 2 else (None, pair)
        both = join(data(_setting(then), 100), " → ", data(_setting(now), 100))
        lines.append(el("li", el("code", data(str(name), 60)), ": ", both))
    return [
        el("p", "Settings that differ:", class_="soft"),
        el("ul", lines, class_="plain"),
        unlisted(len(differs), SETTINGS, "further setting"),
    ]


def _setting(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _elsewhere(run: Mapping[str, Any]) -> Html | None:
    """Where the changes stand that are not of the whole test part."""
    gaps = [item for column in records(at(run, "fairness", "columns")) for item in records(column.get("gaps"))]
    told = (
        ("Differences between groups", explain_groups.CHANGE, "groups", "For whom", gaps),
        ("Changed texts", explain_sturdy.CHANGE, "sturdy", "How sturdy", records(at(run, "robustness", "tests"))),
    )
    lines = [
        el("li", f"{what}: column “{column}” of ", el("a", title, href=f"#{anchor}"), ".")
        for what, column, anchor, title, items in told
        if any(value_of(item.get("change")) is not None for item in items)
    ]
    return el("ul", lines, class_="plain") if lines else None
