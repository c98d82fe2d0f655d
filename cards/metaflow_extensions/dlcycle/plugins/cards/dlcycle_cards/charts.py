"""Charts made of HTML and CSS: they hold labels from data, wrap on a telephone and can be read aloud."""

from collections.abc import Mapping, Sequence

from .formats import PERCENT, SPACE, Unit, count, ends, exact, finite, interval_text, measured, show, value_of
from .markup import Html, data, el, join, safe_text

MANY = 8
"""Classes from which a heat map numbers its columns and shows percentages alone."""
MOST = 40
"""Classes that a heat map shows."""


def _place(value: float, low: float, high: float) -> str:
    return f"{min(100.0, max(0.0, 100 * (value - low) / (high - low))):.2f}%"


def domain_of(
    values: Sequence[object], *, floor: float | None = None, ceiling: float | None = None
) -> tuple[float, float]:
    """A common scale for range bars: all finite values with a margin, kept inside what the quantity can be."""
    known = [number for number in map(finite, values) if number is not None]
    if not known:
        return (0.0, 1.0)
    low, high = min(known), max(known)
    margin = (high - low) * 0.12 or abs(high) * 0.05 or 0.5
    low = low - margin if floor is None else max(floor, low - margin)
    high = high + margin if ceiling is None else min(ceiling, high + margin)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def range_bar(
    metric: object,
    unit: Unit,
    *,
    name: str,
    marks: Mapping[str, object] | None = None,
    domain: tuple[float, float] | None = None,
    plain: bool = False,
) -> Html | None:
    """A point on its interval, with marks such as the baseline and the goal; None when nothing was measured.

    Args:
        metric: a measured metric.
        unit: how its values are written.
        name: what is measured, for readers who cannot see the bar.
        marks: "baseline" and "goal" in the metric's scale; others are left out.
        domain: ends of the scale; by default all that is shown, with a margin.
        plain: grey, for what is shown only as a comparison.
    """
    value, interval = value_of(metric), ends(metric)
    if value is None:
        return None
    known = {key: at for key, at in ((key, finite(at)) for key, at in (marks or {}).items()) if at is not None}
    low, high = domain or domain_of([value, *(interval or ()), *known.values()])
    parts = [el("i", class_="axis")]
    words = f"{name} {measured(metric, unit)}"
    if interval:
        start, end = (_place(at, low, high) for at in sorted(finite(at) or 0.0 for at in interval))
        width = f"{float(end[:-1]) - float(start[:-1]):.2f}%"
        parts.append(el("i", class_="span", style=f"left:{start};width:{width}"))
        words += f", interval {interval_text(metric, unit)}"
    for kind in ("baseline", "goal"):
        if kind in known:
            parts.append(el("i", class_=kind, style=f"left:{_place(known[kind], low, high)}"))
            shown = (
                exact(known[kind], unit, bare=True) if kind == "goal" else show(known[kind], unit, interval, bare=True)
            )
            words += f", {kind} {shown}"
    parts.append(el("i", class_="point", style=f"left:{_place(value, low, high)}"))
    return el("span", parts, class_="range plain" if plain else "range", role="img", aria_label=words)


def bar(share: object, *, gone: bool = False) -> Html:
    """A bar of a share from 0 to 1; the number stands beside it."""
    part = min(1.0, max(0.0, finite(share) or 0.0))
    filled = el("i", style=f"width:{100 * part:.2f}%")
    return el("span", filled, class_="bar gone" if gone else "bar", aria_hidden="true")


def progress_bar(share: object, words: str) -> Html:
    """How far something has come; `words` says it without the bar."""
    part = min(1.0, max(0.0, finite(share) or 0.0))
    return el("div", el("i", style=f"width:{100 * part:.1f}%"), class_="progress", role="img", aria_label=words)


def _shade(share: float, right: bool) -> str:
    if share <= 0:
        return "h0"
    if right:
        return f"h{min(6, 1 + int(share * 6))}"
    return f"e{1 + (share >= 0.02) + (share >= 0.10) + (share >= 0.25)}"


def _cell(number: float, total: float, right: bool, many: bool, title: Html) -> Html:
    share = number / total if total else 0.0
    whole = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    shown = whole if many else show(share, PERCENT, bare=True)
    if not number:
        return el("td", "·", class_="h0", title=title)
    inside = join(shown) if many else join(el("b", shown) if right else shown, el("small", count(number)))
    return el("td", inside, class_=_shade(share, right), title=title)


def heat_map(
    labels: Sequence[object], counts: Sequence[Sequence[object]], totals: Mapping[str, object] | None = None
) -> Html:
    """A confusion matrix as a table: rows are the truth, columns the prediction, cells the share of each true class.

    Args:
        labels: class names, C of them; the first `MOST` are shown.
        counts: (C, C) numbers of rows.
        totals: rows of each true class, where not all classes are shown; else the sum of its line.
    """
    names = list(labels)[:MOST]
    many = len(names) > MANY
    heads = [
        el(
            "th",
            el("bdi", str(i + 1)) if many else data(name, 24, label=True),
            scope="col",
            title=safe_text(name, label=True),
        )
        for i, name in enumerate(names)
    ]
    rows = []
    for i, name in enumerate(names):
        values = [finite(value) or 0.0 for value in counts[i]]
        total = finite((totals or {}).get(str(name))) or sum(values)
        title = [
            join(
                f"truth {i + 1} ",
                safe_text(name, 40, label=True),
                f", predicted {j + 1} ",
                safe_text(names[j], 40, label=True),
                f": {count(values[j])} of {count(total)}",
            )
            for j in range(len(names))
        ]
        cells = [_cell(values[j], total, i == j, many, title[j]) for j in range(len(names))]
        number = el("span", f"{i + 1}{SPACE} ", class_="soft") if many else None
        head = el("th", number, data(name, 40, label=True), scope="row", title=safe_text(name, label=True))
        rows.append(el("tr", head, cells))
    corner = el("th", el("span", "truth ↓", class_="soft"), scope="col")
    kind = "heat many" if many else "heat"
    inside = el("table", el("thead", el("tr", corner, heads)), el("tbody", rows), class_=kind)
    return el("div", inside, class_="scroll", tabindex="0", role="region", aria_label="Confusion matrix")
