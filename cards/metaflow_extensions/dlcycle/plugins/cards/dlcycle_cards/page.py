"""The page that every card is: where am I, verdict, tiles, what to do next, evidence, where it came from.

A card file lists these parts in order and has no HTML or CSS of its own. Strings are escaped wherever they enter.
"""

import base64
import codecs
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .formats import NOT_MEASURED, SPACE, several
from .markup import LONGEST, Child, Html, data, el, join, safe_text

logger = logging.getLogger(__name__)

Level = Literal["good", "careful", "bad", "info"]

LARGEST_DOWNLOAD = 500_000
"""Bytes of a table that a page carries along."""

_SIGNS = {"good": "✓ ", "careful": "! ", "bad": "✕ ", "info": ""}
# Constant: what changes between pages is in the markup, so that one hash in the policy allows this script and no other.
_LIVE_SCRIPT = """(function(){var card=document.getElementById("dlcycle-card"),last=Date.now();
window.METAFLOW_RELOAD_TOKEN=card.getAttribute("data-token");
window.metaflow_card_update=function(update){last=Date.now();
if(update&&typeof update.html==="string")card.innerHTML=update.html;return true};
if(/embed=true/.test(location.search))setInterval(function(){if(Date.now()-last>60000)location.reload()},5000)})();"""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    kind: Literal["text", "name", "long", "number", "chip"] = "text"


_CELL_CLASS = {"text": None, "name": "name", "long": "long", "number": "n", "chip": "c"}


def _style() -> Html:
    with open(os.path.join(os.path.dirname(__file__), "style.css"), encoding="utf-8") as file:
        return Html(f"<style>{file.read()}</style>")


def page(title: str, body: Html, *, live: bool = False) -> str:
    """A whole HTML document that loads nothing and, unless it is live, runs nothing.

    Args:
        title: name of the browser's tab.
        body: what `content` returned.
        live: add the small script through which Metaflow's viewers replace the content while the task runs.
    """
    script, allowed = Html(""), ""
    if live:
        digest = base64.b64encode(hashlib.sha256(_LIVE_SCRIPT.encode()).digest()).decode()
        script, allowed = Html(f"<script>{_LIVE_SCRIPT}</script>"), f" script-src 'sha256-{digest}';"
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:;{allowed} base-uri 'none'; form-action 'none'"
    )
    # The token is replaced by Metaflow when it stores the page.
    card = Html(f'<div id="dlcycle-card" data-token="[METAFLOW_RELOAD_TOKEN]">{body}</div>')
    head = join(
        el("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", safe_text(title)),
        _style(),
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body style="margin:0">{card}{script}</body></html>\n'


def content(kicker: Iterable[Child], heading: Child, *parts: Child) -> Html:
    """Everything a reader sees: stage, project, run, when and how long in one line, the heading, then the parts."""
    line: list[Child] = []
    for piece in kicker:
        if piece:
            line += [" · ", piece] if line else [piece]
    header = el("header", el("div", line, class_="kicker"), el("h1", heading))
    return el("main", el("div", header, *parts, class_="wide"), class_="dlc")


def verdict(level: Level, badge: Child, sentence: Child, *details: Child) -> Html:
    """What a manager can repeat, with its interval, and what it rests on. The badge says the level in words."""
    rest = [el("p", detail, class_="rest") for detail in details if detail]
    return el(
        "div",
        el("div", _SIGNS[level], badge, class_="badge"),
        el("p", sentence, class_="says"),
        rest,
        class_=f"verdict {level}",
    )


def tile(name: str, value: str, small: Child, bar: Html | None = None, *, words: bool = False) -> Html:
    """One figure that decides: its name, value, range bar, and interval, baseline and goal in small.

    `words` says that the value is not a number: it is written smaller.
    """
    kind = "value none" if value == NOT_MEASURED else "value words" if words else "value"
    return el(
        "div",
        el("div", name, class_="name"),
        el("div", value, class_=kind),
        bar,
        el("div", small, class_="small"),
        class_="tile",
    )


def tiles(*each: Html, key: str = "") -> Html:
    """Three or four tiles side by side; `key` says how to read their bars."""
    return join(el("div", each, class_="tiles"), el("p", key, class_="key-line") if key else None)


def chip(level: Level, words: Child) -> Html:
    """A short word with its sign; the colour only repeats it."""
    return el("span", _SIGNS[level], words, class_=f"chip {level}")


def todo(items: Sequence[Mapping[str, Any]]) -> Html:
    """What to do next, ranked as given: each item has `level`, `title`, `reason` and `action`, a command or setting."""
    levels: dict[str, Level] = {"fix": "bad", "decide": "careful", "consider": "info", "fine": "good"}
    rows = []
    for item in items:
        level = item.get("level")
        name = level if level in levels else "consider"
        action = item.get("action")
        rows.append(
            el(
                "li",
                el("span", name, class_=f"chip {levels[name]}"),
                el(
                    "div",
                    el("b", data(item.get("title", ""), 300)),
                    join(" ", el("span", data(item["reason"], 600), class_="why")) if item.get("reason") else None,
                    el("span", el("code", safe_text(action, 400)), class_="do") if action else None,
                ),
            )
        )
    return section("What to do next", "Ranked by what it is worth.", el("ol", rows, class_="next"))


def section(title: str, lead: Child, *children: Child, anchor: str | None = None, long: bool = False) -> Html:
    """One part of the evidence under its heading; `lead` says in a sentence how to read it."""
    intro = el("p", lead, class_="lead") if lead else None
    return el("section", el("h2", title), intro, *children, id=anchor, class_="long" if long else None)


def contents(entries: Mapping[str, str]) -> Html:
    """Links to the sections, anchor to title."""
    return el(
        "nav",
        "Evidence: ",
        [join(el("a", title, href=f"#{anchor}"), " ") for anchor, title in entries.items()],
        aria_label="Contents",
    )


def pair(*children: Child) -> Html:
    """Two things side by side, below each other on a narrow screen."""
    return el("div", [el("div", child) for child in children if child], class_="two")


def figure(svg: bytes, alt: str, caption: Child) -> Html:
    """An SVG drawing as an image, which cannot run or load anything, with its words for readers who cannot see it."""
    source = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    return el("figure", el("img", src=source, alt=alt), el("figcaption", caption))


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Child]],
    *,
    name: str,
    caption: Child = None,
    head: bool = False,
    shown: int = 12,
    strong: Sequence[int] = (),
) -> Html:
    """A table in its own scroll box; rows after the first `shown` are folded.

    Args:
        columns: titles and kinds.
        rows: cells, formatted; strings are escaped.
        name: what the table holds, for readers who cannot see it.
        caption: line below it.
        head: the first cell of each row is its heading.
        shown: rows before the fold.
        strong: indices of rows to emphasise.
    """
    header = el(
        "thead",
        el(
            "tr",
            [
                el("th", column.title, scope="col", class_="n" if column.kind == "number" else None)
                for column in columns
            ],
        ),
    )

    def body(start: int, stop: int) -> Html:
        lines = []
        for at, row in enumerate(rows[start:stop], start):
            cells = [
                el("th", cell, scope="row") if head and i == 0 else el("td", cell, class_=_CELL_CLASS[column.kind])
                for i, (column, cell) in enumerate(zip(columns, row, strict=True))
            ]
            lines.append(el("tr", cells, class_="strong" if at in strong else None))
        return el(
            "div",
            el("table", header, el("tbody", lines)),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label=name,
        )

    first = shown if len(rows) > shown + 2 else len(rows)
    more = folded(f"{several(len(rows) - first, 'more row')}", body(first, len(rows))) if len(rows) > first else None
    return join(body(0, first), more, el("p", caption, class_="soft") if caption else None)


def folded(summary: Child, *children: Child) -> Html:
    """Something long that opens on demand, without a script."""
    return el("details", el("summary", summary), *children)


def download(name: str, text: str, words: Child) -> Html | None:
    """A link that saves a table which lies in the page, without a script or a server; None when it is too large.

    Args:
        name: of the file, such as "work_list.csv".
        text: the table as CSV.
        words: what the link says; the size is added.
    """
    # Without the mark Excel takes UTF-8 for another encoding and garbles every script but the Latin one.
    table_ = codecs.BOM_UTF8 + text.encode("utf-8", "replace")
    if len(table_) > LARGEST_DOWNLOAD:
        return None
    address = "data:text/csv;charset=utf-8;base64," + base64.b64encode(table_).decode()
    size = f"CSV, {max(1, round(len(table_) / 1000)):,}{SPACE}kB"
    return join(el("a", words, download=name, href=address, class_="save"), " ", el("span", size, class_="soft"))


def note(words: Child, level: Literal["info", "good", "warn", "bad"] = "info") -> Html:
    """A remark, for example why a figure has nothing to show."""
    return el("p", words, class_=f"note {level}")


def preformatted(text: object) -> Html:
    """Settings or a message in monospace, line by line."""
    return el("pre", safe_text(text, 5 * LONGEST))


def provenance(entries: Mapping[str, Child], *folds: Child, lead: str = "Everything needed to repeat it.") -> Html:
    """Everything needed to repeat what the card shows; empty entries say so."""
    lines = [join(el("dt", term), el("dd", words or "not recorded by this run")) for term, words in entries.items()]
    return section("Where this came from", lead, el("dl", lines, class_="mono"), *folds, anchor="provenance", long=True)


def guarded(title: str, build: Callable[..., Html | None], *args: Any) -> Html | None:
    """What `build` returns, or a visible box that says why it could not be drawn.

    An exception in a card loses the whole card, so one damaged artifact must not take the other sections with it.
    """
    try:
        return build(*args)
    except Exception as problem:
        logger.exception("card section %r could not be drawn", title)
        reason = f"{type(problem).__name__}: {problem}"
        return section(title, None, note(join("This section could not be drawn: ", data(reason, 300)), "bad"))
