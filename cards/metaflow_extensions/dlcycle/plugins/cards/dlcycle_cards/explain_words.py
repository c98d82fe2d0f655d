"""Words: what each contributes to the decision on a row, and what the model looks for in all rows together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .charts import bar
from .eda_reading import gap
from .explain_marks import CHARACTERS, MARKS, legend, marked_text, signed, spans_of
from .formats import PERCENT, PLAIN, count, ends, finite, interval_text, several, show, value_of
from .markup import Child, Html, data, el, join
from .page import Column, Level, chip, folded, note, section, table
from .train_data import at, mapping, records

METHODS = {
    "integrated_gradients": "integrated gradients",
    "gradient_x_input": "gradient × input",
    "occlusion": "occlusion",
    "shapley": "Shapley sampling",
}
KINDS: dict[str, tuple[Level, str]] = {
    "right": ("good", "right"),
    "wrong": ("bad", "wrong"),
    "uncertain": ("careful", "unsure"),
    "given": ("info", "given"),
}
MANY = 60
"""Rows from which less is shown of each: a page must stay small enough to be sent."""
MARKED = (MARKS, 30)
"""Words of a text that are marked, the strongest first: where rows are few, and where they are many."""
STRONGEST = (5, 3)
"""Words listed for and against a decision: where rows are few, and where they are many."""
WEIGHT = 1_200_000
"""Bytes after which further rows are counted only."""
SHOWN = 12
"""Rows before the fold."""
PHRASES = 10
"""Phrases listed for and against a class."""
CLASSES = 40
"""Classes shown; the rest is counted."""
OPEN_CLASSES = 6
"""Classes up to which none is folded."""


def method_words(name: object) -> Html:
    """The name of a method of attribution."""
    return join(METHODS.get(str(name)) or data(name or "a method that was not recorded", 60))


def _listed(spans: Sequence[tuple[int, int, float]], text: str, side: int, most: int) -> list[tuple[str, float, int]]:
    """The strongest words of one side with their contribution and how often they occur."""
    totals: dict[str, tuple[float, int]] = {}
    for start, end, score in spans:
        if score * side > 0:
            total, times = totals.get(text[start:end], (0.0, 0))
            totals[text[start:end]] = (total + score, times + 1)
    order = sorted(totals.items(), key=lambda word: (-abs(word[1][0]), word[0]))
    return [(word, total, times) for word, (total, times) in order[:most]]


def _words_table(found: Sequence[tuple[str, float, int]], head: Child, largest: float) -> Html:
    """Words of one side with number and bar."""
    rows = [
        el(
            "tr",
            el("th", data(word, 40, label=True), f" × {times}" if times > 1 else None, scope="row"),
            el("td", signed(total), class_="n"),
            el("td", bar(abs(total) / largest, gone=total < 0)),
        )
        for word, total, times in found
    ]
    body = el("table", el("tbody", rows), class_="mini") if rows else el("p", "No word.", class_="soft")
    return el("div", el("h3", head), body)


def _sum_check(item: Mapping[str, Any], spans: Sequence[tuple[int, int, float]]) -> Html:
    base, score, delta = (finite(item.get(key)) for key in ("base", "score", "delta"))
    unread = finite(item.get("unread"))
    parts = []
    if base is not None and score is not None:
        shown = sum(value for _, _, value in spans)
        total = shown if delta is None else score - base - delta
        beyond = f", {signed(total - shown)} of it beyond the text shown" if abs(total - shown) >= 0.005 else ""
        lost = f"; not accounted for {show(abs(delta), interval=(0, 0.004))}" if delta is not None else ""
        words = f"Without words {signed(base)}, words {signed(total)}{beyond}"
        parts.append(f"{words}, score of the class {signed(score)}{lost}.")
        if delta is None:
            parts.append("This method does not promise that they sum to the score.")
    if unread:
        parts.append(f"{several(unread, 'further word')} not read: the model reads only so many.")
    return el("p", " ".join(parts) or "The sum of the contributions was not recorded by this run.", class_="soft")


def _where(item: Mapping[str, Any]) -> str:
    row, line = (finite(item.get(key)) for key in ("row", "line"))
    return ", ".join(f"{name} {count(number)}" for name, number in (("row", row), ("line", line)) if number is not None)


def _row(item: Mapping[str, Any], *, open_: bool, many: bool) -> Html:
    """One row: a line to open, and below it the marked text, the strongest words and the sum."""
    text = item.get("text") if isinstance(item.get("text"), str) else ""
    shown = str(text)[:CHARACTERS]
    spans = spans_of(item, len(shown))
    rest = len(str(text)) - len(shown) + int(finite(item.get("more_characters")) or 0)
    truth, runner = item.get("truth"), mapping(item.get("runner_up"))
    level, kind = KINDS.get(str(item.get("kind")), KINDS["given"])
    probability = show(item.get("probability"), PERCENT, (0, 0.004))
    told = [data(truth, 40, label=True), " → "] if truth is not None else ["predicted "]
    line = el(
        "summary",
        chip(level, kind),
        " ",
        el("span", told, el("b", data(item.get("predicted"), 40, label=True)), class_="classes"),
        " ",
        el("span", probability, class_="n"),
        " ",
        el("span", data(shown[:90] + ("…" if len(shown) > 90 else "")), class_="first"),
    )
    head = join(
        el("b", "Why "),
        data(item.get("target", item.get("predicted")), 60, label=True),
        f" at {probability}",
        join("; next ", data(runner.get("label"), 60, label=True), f" at {show(runner.get('probability'), PERCENT)}")
        if runner
        else None,
        f" ({_where(item)})" if _where(item) else None,
    )
    towards, against = (_listed(spans, shown, side, STRONGEST[many]) for side in (1, -1))
    largest = max((abs(total) for _, total, _ in towards + against), default=1.0)
    words = el(
        "div",
        _words_table(towards, "Strongest towards it", largest),
        _words_table(against, "Strongest against it", largest),
        class_="sides",
    )
    body = marked_text(shown, spans, rest=rest, marks=MARKED[many]) if shown else note("This row has no text.")
    said = el("p", head, class_="soft")
    inside = el("div", said, body, words if spans else None, _sum_check(item, spans), class_="inside")
    return el("details", line, inside, class_="row", open=open_)


def _rows(found: Sequence[Mapping[str, Any]], left: int, *, many: bool) -> Iterator[Html]:
    """Rows until the bytes that are left are used."""
    seen: set[str] = set()
    for item in found:
        kind = str(item.get("kind"))
        # One open row of either kind shows what a row looks like, also on paper.
        drawn = _row(item, open_=kind in ("right", "wrong") and kind not in seen, many=many)
        seen.add(kind)
        left -= len(drawn.encode("utf-8", "replace"))
        if left < 0:
            return
        yield drawn


def _group(title: str, found: Sequence[Mapping[str, Any]], left: int, *, many: bool) -> tuple[Html | None, int]:
    """Rows under their heading, and the bytes that they take."""
    if not found:
        return None, 0
    drawn = list(_rows(found, left, many=many))
    first = len(drawn) if len(drawn) <= SHOWN + 2 else SHOWN
    more = folded(several(len(drawn) - first, "more row"), *drawn[first:]) if len(drawn) > first else None
    hidden = several(len(found) - len(drawn), "further row")
    words = f"{hidden} not drawn, to keep the page small: run.data.local_attributions has them."
    body = join(el("h3", title), el("div", drawn[:first]), more, note(words) if len(found) > len(drawn) else None)
    return body, len(body.encode("utf-8", "replace"))


def local_rows(run: Mapping[str, Any]) -> Html:
    """What each word contributed to the decision on single rows."""
    title = "Why it decides so"
    value = run.get("local_attributions")
    absent = gap(value, "Contributions of words")
    found = records(at(value, "rows"))
    said = [item.get("message") for item in records(at(value, "findings")) if item.get("message")]
    notes = [note(join(data(message, 400), "."), "warn") for message in said[:20]]
    if absent or not found:
        nothing = absent or note("No row was explained: the test part has no row, or none was asked for.")
        return section(title, None, nothing, *notes, anchor="local")
    lead = join(
        "What each word added to the score of the predicted class or took from it, by ",
        method_words(at(value, "method")),
        "; contributions are in logits, the scale on which the model adds up its score. Open a row to see its words.",
    )
    given = [item for item in found if item.get("kind") == "given"]
    many = len(found) > MANY
    tested = [item for item in found if item.get("kind") != "given"]
    first, left = _group("Rows that were asked for", given, WEIGHT // 2 if tested else WEIGHT, many=many)
    second, _ = _group(
        "Rows of the test part, by class", tested, left + (WEIGHT - WEIGHT // 2 if given else WEIGHT // 2), many=many
    )
    return section(title, lead, legend(), *notes, first, second, anchor="local", long=True)


def _phrases(found: Sequence[Mapping[str, Any]], head: str, largest: float) -> Html:
    rows: list[Sequence[Child]] = []
    for item in found[:PHRASES]:
        mean = item.get("mean")
        value = value_of(mean)
        between = interval_text(mean, PLAIN, sign=True) if ends(mean) else ""
        rows.append(
            [
                data(item.get("phrase"), 60, label=True),
                el(
                    "div",
                    el(
                        "span",
                        show(value, PLAIN, ends(mean), sign=True),
                        " ",
                        el("span", between, class_="soft") if between else None,
                        class_="iv",
                    ),
                    bar(abs(value) / largest, gone=value < 0) if value is not None else None,
                    class_="thin",
                ),
                count(at(mean, "n")),
                show(item.get("spread"), interval=(0, 0.2)),
                show(item.get("same_sign"), PERCENT, (0, 0.04)),
            ]
        )
    if not rows:
        return join(el("h3", head), note("No phrase is frequent enough to be judged."))
    columns = [
        Column("Phrase", "name"),
        Column("Mean contribution"),
        Column("Texts", "number"),
        Column("Spread", "number"),
        Column("Same sign", "number"),
    ]
    return join(el("h3", head), table(columns, rows, name=head, head=True, shown=5))


def _class(item: Mapping[str, Any], many: bool) -> Html:
    """Words for and against one class."""
    label = data(item.get("label"), 60, label=True)
    sides = [records(item.get("for")), records(item.get("against"))]
    if not any(sides):
        reason = data(item.get("reason") or "no phrase is frequent enough to be judged", 300)
        return el("div", el("h3", label), note(reason))
    means = [value_of(phrase.get("mean")) for side in sides for phrase in side]
    largest = max((abs(mean) for mean in means if mean), default=1.0)
    tables = el(
        "div",
        el("div", _phrases(sides[0], "Towards it", largest)),
        el("div", _phrases(sides[1], "Against it", largest)),
        class_="two",
    )
    words = [[", " if i else "", data(phrase.get("phrase"), 30)] for i, phrase in enumerate(sides[0][:4])]
    rows = f" in {several(item.get('rows'), 'test row')}" if finite(item.get("rows")) is not None else None
    head = join(el("span", label), rows, ": " if words else None, words)
    if many:
        return el("details", el("summary", head), tables, class_="class")
    return el("div", el("h3", head, class_="of"), tables)


def overall(run: Mapping[str, Any]) -> Html:
    """Which words and phrases speak for and against each class."""
    title = "What it looks for"
    value = run.get("global_attributions")
    absent = gap(value, "Words for and against each class")
    found = records(at(value, "classes"))
    if absent or not found:
        nothing = absent or note("Words for and against each class: no class was looked at.")
        return section(title, None, nothing, anchor="global")
    of = finite(at(value, "of"))
    rows = several(at(value, "rows"), "test row") + (f" of {count(of)}" if of is not None else "")
    longest = finite(at(value, "phrase_words")) or 1
    up_to = f"; phrases have up to {several(longest, 'word')}" if longest > 1 else ""
    lead = join(
        f"Phrases that push towards a class or away from it, in {rows}: mean contribution in logits with its 95 % "
        "interval, texts that have the phrase, spread (standard deviation over those texts), and the share of them in "
        f"which it pushes the same way{up_to}.",
    )
    many = len(found) > OPEN_CLASSES
    hidden = len(found) - CLASSES
    cut = note(f"{several(hidden, 'further class', 'further classes')} not shown.") if hidden > 0 else None
    return section(title, lead, [_class(item, many) for item in found[:CLASSES]], cut, anchor="global", long=True)
