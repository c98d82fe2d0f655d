"""The six pillars of the EDA card one by one: checks, evidence and the rows behind the grade."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .eda_evidence import of_pillar
from .eda_reading import LISTED, ROWS, gap, grade_chip, rows_table, status_chip, unlisted
from .eda_summary import PILLARS, pillar_of
from .formats import NOT_RECORDED, several
from .markup import Child, Html, data, join
from .page import Column, folded, note, section, table
from .train_data import at, mapping, records


def _checks(item: Mapping[str, Any]) -> Html:
    found = records(item.get("checks"))
    rows: list[Sequence[Child]] = [
        [
            data(check.get("name"), 80),
            status_chip(check.get("status")),
            data(check.get("value") if check.get("value") not in (None, "") else "–", 80),
            data(check.get("message") or NOT_RECORDED, 400),
        ]
        for check in found[:LISTED]
    ]
    if not rows:
        return note("Checks: none was made.")
    columns = [Column("Check", "name"), Column("", "chip"), Column("Measured"), Column("What was seen", "long")]
    cut = unlisted(len(found), LISTED, "check")
    return table(columns, rows, name=f"Checks of {item.get('name')}", head=True, caption=cut, shown=20)


def pillar(name: str, run: Mapping[str, Any]) -> Html:
    """One pillar: its question, grade and summary, then what they rest on."""
    item = pillar_of(run, name)
    absent = gap(run.get("quality"), f"{name}")
    if absent:
        return section(name, PILLARS[name], absent, anchor=name.lower())
    lead = join(PILLARS[name], " ", grade_chip(item.get("grade")), " ", data(item.get("summary") or NOT_RECORDED, 400))
    shown = rows_table(item.get("rows"), f"Rows behind {name}", most=ROWS, shown=ROWS)
    many = len(records(item.get("rows"))[:ROWS])
    return section(
        name,
        lead,
        _checks(item),
        of_pillar(name, mapping(at(run, "quality", "evidence"))),
        folded(f"{several(many, 'row')} behind this grade", shown) if shown else None,
        anchor=name.lower(),
        long=True,
    )


SECTIONS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Html]], ...] = tuple(
    (name.lower(), name, partial(pillar, name)) for name in PILLARS
)
"""Anchor, title and builder of each pillar."""
