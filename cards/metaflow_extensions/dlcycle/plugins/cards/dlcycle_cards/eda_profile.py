"""What the data is, for the EDA card: columns, classes, languages, lengths, the expected schema and sample rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import eda_figures
from .eda_reading import LISTED, bar_line, gap, rows_table, share_of, unlisted
from .formats import PLAIN, SPACE, count, ends, finite, interval_text, measured, reason_of, several, show, small_share
from .formats import value_of as value_in
from .markup import Child, Html, data, el, join
from .page import Column, chip, figure, folded, note, pair, section, table
from .train_data import at, mapping, records

MOST_SAMPLES = 60


def columns(run: Mapping[str, Any]) -> Html:
    """Every column: role, type, missing values, distinct values and what is most frequent."""
    title = "Columns"
    profile = run.get("profile")
    absent = gap(profile, "Profile of the columns")
    found = records(at(profile, "columns"))
    if absent or not found:
        return section(title, None, absent or note("Profile of the columns: no column was read."), anchor="columns")
    rows: list[Sequence[Child]] = []
    for item in found[:LISTED]:
        small, large = item.get("smallest"), item.get("largest")
        between = join(data(small, 40), " to ", data(large, 40)) if small is not None and large is not None else "–"
        rows.append(
            [
                data(item.get("name"), 80, label=True),
                data(item.get("role") or "other", 20),
                join(data(item.get("type") or "unknown", 20), _mixed(item)),
                _distinct(item.get("distinct")),
                _most_frequent(item),
                between,
            ]
        )
    heads = [
        Column("Column", "name"),
        Column("Role"),
        Column("Type"),
        Column("Distinct values", "number"),
        Column("Most frequent", "long"),
        Column("Range"),
    ]
    lead = f"{several(at(profile, 'rows'), 'row')} profiled in {several(at(profile, 'shards'), 'shard')}."
    cut = unlisted(len(found), LISTED, "column")
    overview = table(heads, rows, name=title, head=True, caption=cut, shown=20)
    return section(title, lead, overview, _top(found), _missing(found), anchor="columns", long=True)


def _distinct(value: object) -> str:
    number, (low, high) = at(value, "value"), (at(value, "low"), at(value, "high"))
    if finite(number) is None:
        return "not measured"
    if at(value, "exact") is True or finite(low) is None or finite(high) is None:
        return count(number)
    return f"about {count(number)} ({count(low)}{SPACE}–{SPACE}{count(high)})"


def _most_frequent(item: Mapping[str, Any]) -> Child:
    first = next(iter(records(item.get("top"))), {})
    return join(data(first.get("value"), 60, label=True), f" · {small_share(first.get('share'))}") if first else "–"


def _mixed(item: Mapping[str, Any]) -> Child:
    """Counts of the types that values parse as, where they are of several."""
    types = {str(name): n for name, n in mapping(item.get("types")).items() if finite(n)}
    words = ", ".join(f"{count(n)} {name[:20]}" for name, n in types.items())
    return el("div", data(words, 120), class_="soft") if len(types) > 1 else None


def _top(found: Sequence[Mapping[str, Any]]) -> Html | None:
    rows: list[Sequence[Child]] = []
    for item in found[:LISTED]:
        for place, top in enumerate(records(item.get("top"))[:10]):
            low, high = finite(top.get("count")), finite(top.get("high"))
            number = count(low) if high is None or high == low else f"{count(low)} to {count(high)}"
            name = data(item.get("name"), 60, label=True) if not place else ""
            rows.append([name, data(top.get("value"), label=True), number, small_share(top.get("share"))])
    heads = [Column("Column", "name"), Column("Value", "long"), Column("Rows", "number"), Column("Share", "number")]
    what = "Two numbers: the count is known to lie between them."
    shown = table(heads, rows, name="Most frequent values", shown=len(rows), caption=what)
    return folded("Most frequent values of each column", shown) if rows else None


def _missing(found: Sequence[Mapping[str, Any]]) -> Html:
    head = el("h3", "Missing values")
    lines = [(item, finite(item.get("missing")) or 0.0) for item in found]
    gone = sorted((line for line in lines if line[1]), key=lambda line: (-line[1], str(line[0].get("name"))))
    if not gone:
        return join(head, note("No value is missing in any column.", "good"))
    rows = [
        bar_line(data(item.get("name"), 80, label=True), n, share_of(n, item.get("rows")), gone=True)
        for item, n in gone[:LISTED]
    ]
    heads = [Column("Column", "name"), Column("Missing", "number"), Column("Share", "number"), Column("")]
    rest = several(len(found) - len(gone), "other column")
    cut = f"No value is missing in {rest}." if len(found) > len(gone) else None
    return join(head, table(heads, rows, name="Missing values", head=True, caption=cut))


def classes(run: Mapping[str, Any]) -> Html:
    """How the rows spread over classes and languages."""
    return section(
        "Classes and languages",
        None,
        pair(_classes(run), _languages(run)),
        _languages_by_class(run),
        _associations(run),
        anchor="classes",
        long=True,
    )


def _classes(run: Mapping[str, Any]) -> Html:
    head = el("h3", "Rows by class")
    absent = gap(run.get("profile"), "Classes")
    found = records(at(run, "profile", "classes"))
    if absent or not found:
        return join(head, absent or note("Classes: no row has a label, or the project names no target column."))
    rows = []
    for item in found[:LISTED]:
        words = mapping(item.get("words"))
        middle, low, high = (finite(words.get(key)) for key in ("median", "p05", "p95"))
        spread = "–" if middle is None else count(middle)
        spread += f" ({count(low)}{SPACE}–{SPACE}{count(high)})" if low is not None and high is not None else ""
        rows.append(bar_line(data(item.get("label"), 80, label=True), item.get("rows"), item.get("share"), spread))
    heads = [
        Column("Class", "name"),
        Column("Rows", "number"),
        Column("Share", "number"),
        Column(""),
        Column("Words", "number"),
    ]
    cut = unlisted(len(found), LISTED, "smaller class", "smaller classes")
    what = join("Words: median, and the range of the middle 90 %. ", cut)
    return join(head, table(heads, rows, name="Rows by class", head=True, caption=what))


def _languages(run: Mapping[str, Any]) -> Html:
    head = el("h3", "Rows by language")
    languages = run.get("languages")
    absent = gap(languages, "Languages")
    found = records(at(languages, "counts"))
    if absent or not found:
        return join(head, absent or note("Languages: no row was looked at."))
    rows = []
    for item in found[:LISTED]:
        unknown = item.get("code") == "unknown"
        sign = chip("good", "expected") if item.get("expected") is True else chip("careful", "unexpected")
        words = [
            data(item.get("language") or item.get("code"), 60),
            " ",
            chip("info", "undecided") if unknown else sign,
        ]
        sure = "–" if unknown else show(item.get("probability"), PLAIN, (0, 0.04))
        rows.append(bar_line(join(words), item.get("rows"), item.get("share"), sure))
    heads = [
        Column("Language", "name"),
        Column("Rows", "number"),
        Column("Share", "number"),
        Column(""),
        Column("Probability", "number"),
    ]
    what = join("Probability: median over the rows. ", unlisted(len(found), LISTED, "rarer language"))
    return join(head, table(heads, rows, name="Rows by language", head=True, caption=what), _unexpected(languages))


def _unexpected(languages: object) -> Html | None:
    examples = [
        {**example, "language": item.get("language")}
        for item in records(at(languages, "unexpected"))[:LISTED]
        for example in records(item.get("examples"))[:5]
    ]
    shown = rows_table(examples, "Rows in an unexpected language", most=MOST_SAMPLES, shown=MOST_SAMPLES)
    return folded("Rows in an unexpected language", shown) if shown else None


def _languages_by_class(run: Mapping[str, Any]) -> Html | None:
    found = records(at(run, "languages", "by_class"))
    rows: list[Sequence[Child]] = [
        [data(item.get("label"), 80, label=True), data(item.get("language"), 60), count(item.get("rows"))]
        for item in found[: 4 * LISTED]
    ]
    heads = [Column("Class", "name"), Column("Language"), Column("Rows", "number")]
    cut = unlisted(len(found), 4 * LISTED, "pair")
    shown = table(heads, rows, name="Languages by class", shown=len(rows), caption=cut)
    return folded("Languages by class", shown) if rows else None


def _associations(run: Mapping[str, Any]) -> Html:
    head = el("h3", "What goes with what")
    found = records(at(run, "profile", "associations"))
    rows: list[Sequence[Child]] = []
    for item in found[:LISTED]:
        value = value_in(item)
        between = join(" ", el("span", interval_text(item, PLAIN), class_="soft iv")) if ends(item) else None
        shown = join(measured(item, PLAIN), between if value is not None else None)
        message = item.get("message") or reason_of(item)
        rows.append([data(item.get("name"), 60), data(item.get("measure"), 40), shown, data(message, 400)])
    heads = [Column("Pair", "name"), Column("Measure"), Column("Strength, 0 to 1"), Column("In words", "long")]
    if not rows:
        return join(head, note("Associations: not recorded by this run."))
    return join(head, table(heads, rows, name="Associations", head=True))


def lengths(run: Mapping[str, Any]) -> Html:
    """How long the texts are, with the recommended cap."""
    title = "Length of the texts"
    text = at(run, "profile", "text")
    absent = gap(run.get("profile"), title) or gap(text, title)
    if absent:
        return section(title, None, absent, anchor="lengths")
    cap = at(run, "recommended", "model.max_tokens")
    drawn = []
    for unit in ("words", "characters"):
        found, limit = at(text, unit), at(cap, "value") if unit == "words" else None
        picture = eda_figures.lengths(records(at(found, "histogram")), limit, unit)
        if picture is None:
            drawn.append(note(f"{unit.capitalize()} in a text: no histogram was recorded."))
            continue
        alt = f"Histogram of {unit} in a text: {_range(found)}"
        words = f"Rows by {unit}; the bars differ in span and stand at equal widths. {_range(found)}"
        if finite(limit) is not None:
            words += f" The dotted line marks the recommended cap of {count(limit)}, where one word is one token."
        drawn.append(figure(picture, alt, words))
    reason = at(cap, "reason")
    advice = note(join("Recommended max_tokens: ", data(reason, 400))) if reason else None
    return section(title, None, pair(*drawn), advice, _quantiles(text), anchor="lengths")


def _range(found: object) -> str:
    middle, low, high = (finite(at(found, "quantiles", key)) for key in ("0.5", "0.05", "0.95"))
    if middle is None or low is None or high is None:
        return f"Mean {show(at(found, 'mean'), PLAIN, (0, 0.4))}."
    return f"Median {count(middle)}; the middle 90 % have {count(low)} to {count(high)}."


def _quantiles(text: object) -> Html:
    keys = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
    rows: list[Sequence[Child]] = []
    errors = []
    for unit in ("words", "characters"):
        found = at(text, unit)
        middle = [count(at(found, "quantiles", key)) for key in keys]
        mean = show(at(found, "mean"), PLAIN, (0, 0.4))
        rows.append([unit, count(at(found, "n")), count(at(found, "min")), *middle, count(at(found, "max")), mean])
        error = finite(at(found, "rank_error"))
        errors += [error] if error else []
    names = ["Texts", "Least", *(f"{float(key):.0%}" for key in keys), "Most", "Mean"]
    heads = [Column("In a text", "name"), *(Column(name, "number") for name in names)]
    what = f"Quantiles are right within {small_share(max(errors))} of the rows." if errors else None
    return folded("Quantiles of the lengths", table(heads, rows, name="Quantiles", head=True, caption=what))


def schema(run: Mapping[str, Any]) -> Html:
    """What the next data must keep to."""
    title = "Schema that the next data must keep"
    found = run.get("schema")
    absent = gap(found, "Schema")
    expected = mapping(at(found, "columns"))
    if absent or not expected:
        return section(title, None, absent or note("Schema: it names no column."), anchor="schema")
    rows: list[Sequence[Child]] = [
        [
            data(str(name), 80, label=True),
            data(at(item, "type"), 20),
            "required" if at(item, "required") is True else "optional",
            small_share(at(item, "missing_share_at_most"))
            if finite(at(item, "missing_share_at_most")) is not None
            else "–",
            _allowed(item),
        ]
        for name, item in list(expected.items())[:LISTED]
    ]
    heads = [
        Column("Column", "name"),
        Column("Type"),
        Column(""),
        Column("Missing at most", "number"),
        Column("Allowed", "long"),
    ]
    languages, least = at(found, "languages"), finite(at(found, "rows_at_least"))
    listed = ", ".join(map(str, languages[:LISTED])) if isinstance(languages, (list, tuple)) else ""
    said = [
        join("Languages: ", data(listed, 300), ". ") if listed else None,
        f"At least {several(least, 'row')}." if least is not None else None,
    ]
    shown = table(heads, rows, name=title, head=True, caption=unlisted(len(expected), LISTED, "column"))
    return section(
        title, "Inferred from this data; later runs are checked against it.", join(said), shown, anchor="schema"
    )


def _allowed(item: object) -> Html:
    parts: list[Child] = []
    domain = at(item, "domain")
    if isinstance(domain, (list, tuple)) and domain:
        named = [[", " if i else "", data(value, 40, label=True)] for i, value in enumerate(domain[:8])]
        more = f" and {count(len(domain) - 8)} more" if len(domain) > 8 else ""
        parts.append(join("one of ", named, more))
    if at(item, "smallest") is not None and at(item, "largest") is not None:
        parts.append(join(data(at(item, "smallest"), 40), " to ", data(at(item, "largest"), 40)))
    if finite(at(item, "words_at_most")) is not None:
        parts.append(f"at most {several(at(item, 'words_at_most'), 'word')}")
    return join([["; " if i else "", part] for i, part in enumerate(parts)]) if parts else join("anything")


def samples(run: Mapping[str, Any]) -> Html:
    """A few rows of each class."""
    title = "Sample rows"
    absent = gap(run.get("profile"), title)
    shown = None if absent else rows_table(at(run, "profile", "samples"), title, most=MOST_SAMPLES, shown=12)
    lead = "A few rows of each class, chosen by their content; the same data gives the same rows."
    body = absent or shown or note("Sample rows: none was kept.")
    return section(title, lead if shown else None, body, anchor="samples", long=True)


SECTIONS = (
    ("columns", "Columns", columns),
    ("classes", "Classes and languages", classes),
    ("lengths", "Length of the texts", lengths),
    ("schema", "Schema that the next data must keep", schema),
    ("samples", "Sample rows", samples),
)
"""Anchor, title and builder of each section, in order."""
