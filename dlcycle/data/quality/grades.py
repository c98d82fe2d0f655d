"""From checks to grades: what was looked at in a data set, how good it is, and what someone has to decide about it.

A check is one question with its answer. The checks of a pillar give its grade, the pillars give the grade of the data
set, and every answer that is not good becomes a finding. So a number is never graded in one place and told in another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dlcycle.data.messages import EXAMPLES

PILLARS = ("Representativeness", "Consistency", "Comprehensiveness", "Uniqueness", "Fairness", "Validity")
"""The six quality pillars, in the order of the scorecard."""
ROWS = 20
"""Rows shown behind a grade."""

Status = Literal["good", "careful", "bad", "unknown"]
Grade = Literal["A", "B", "C", "D", "F", "-"]
SEVERITIES = ("critical", "warning", "note")
_SEVERITY = {"bad": "critical", "careful": "warning"}
_POINTS: dict[Grade, int] = {"A": 4, "B": 3, "C": 2, "D": 1, "F": 0}


@dataclass(frozen=True)
class Check:
    """One question about the data and its answer."""

    name: str
    """Stable key, also of the finding."""
    title: str
    """What was looked at, in a few words."""
    status: Status
    value: str
    """The answer, ready to show, with its unit."""
    message: str
    """One sentence: what was seen, and against which limit."""
    count: int = 0
    """Rows concerned."""
    rows: tuple[dict[str, Any], ...] = ()
    """Rows behind the answer: row, line, text, label."""
    cleaning: str = ""
    """What cleaning does about it by itself."""
    decision: str = ""
    """What someone must decide."""
    config: str = ""
    """Lines of the project file that take the decision."""
    noted: bool = False
    """Tell it as a note although it is good."""


def by_share(share: float, *, careful: float, bad: float = 2.0) -> Status:
    """Grade a share of rows by two limits.

    >>> [by_share(share, careful=0.01, bad=0.1) for share in (0.0, 0.01, 0.5)]
    ['good', 'careful', 'bad']
    """
    return "bad" if share >= bad else "careful" if share >= careful else "good"


def pillar_grade(checks: Sequence[Check]) -> Grade:
    """Grade a pillar: A without a flaw, B with one check to be careful with, C with more; D with one bad, F with more.

    >>> flawed = [Check("a", "", "careful", "", ""), Check("b", "", "unknown", "", "")]
    >>> pillar_grade(flawed), pillar_grade(flawed[1:])
    ('B', '-')
    """
    statuses = [check.status for check in checks]
    if (bad := statuses.count("bad")) > 0:
        return "D" if bad == 1 else "F"
    if (careful := statuses.count("careful")) > 0:
        return "B" if careful == 1 else "C"
    return "A" if "good" in statuses else "-"


def overall_grade(grades: Sequence[Grade], *, usable: bool) -> Grade:
    """Grade a data set: the mean of its pillars, rounded down, at most the second worst's; F if it is unusable.

    It is at most one step above the worst: one pillar with a serious flaw among good ones gives C, two give D.

    >>> overall_grade(["A", "A", "D", "-"], usable=True), overall_grade(["A", "A", "D", "D"], usable=True)
    ('C', 'D')
    >>> overall_grade(["A", "B"], usable=False)
    'F'
    """
    points = sorted(_POINTS[grade] for grade in grades if grade != "-")
    if not usable or not points:
        return "F"
    best = min(sum(points) // len(points), points[0] + 1, *points[1:2])
    return next(grade for grade, value in _POINTS.items() if value == best)


def describe_quality(
    pillars: Mapping[str, Sequence[Check]], *, usable: bool, kept: int, rows: int, evidence: Mapping[str, Any]
) -> dict[str, Any]:
    """Grade the pillars and the data set.

    Args:
        pillars: Checks of each of `PILLARS`.
        usable: Whether the rows could be cleaned and split.
        kept: Rows that may be learnt from.
        rows: Rows read.
        evidence: What figures and tables need; passed on.

    Returns:
        The `quality` artifact: grade, verdict, pillars, evidence.
    """
    described = [_pillar(name, pillars[name]) for name in PILLARS]
    grade = overall_grade([pillar["grade"] for pillar in described], usable=usable)
    return {
        "grade": grade,
        "verdict": _verdict(grade, pillars, usable=usable, kept=kept, rows=rows),
        "pillars": described,
        "evidence": dict(evidence),
    }


def list_findings(pillars: Mapping[str, Sequence[Check]], *, rows: int) -> list[dict[str, Any]]:
    """Turn every check that is not good into a finding.

    Args:
        pillars: Checks of each of `PILLARS`.
        rows: Rows read, to which shares refer.

    Returns:
        The `findings` artifact, plain data, most important first: by severity, those that need a decision first, then
        by rows concerned.
    """
    found = [
        {
            "severity": _SEVERITY.get(check.status, "note"),
            "name": check.name,
            "pillar": pillar,
            "title": check.title,
            "message": check.message,
            "count": check.count,
            "share": min(1.0, check.count / rows) if rows else 0.0,
            "examples": list(check.rows[:EXAMPLES]),
            "cleaning": check.cleaning,
            "decision": check.decision,
            "config": check.config,
        }
        for pillar, checks in pillars.items()
        for check in checks
        if check.status in _SEVERITY or check.noted
    ]
    return sorted(
        found,
        key=lambda finding: (
            SEVERITIES.index(finding["severity"]),
            not finding["decision"],
            -finding["count"],
            finding["name"],
            finding["title"],
        ),
    )


def _pillar(name: str, checks: Sequence[Check]) -> dict[str, Any]:
    flawed = [check for check in checks if check.status in _SEVERITY]
    rows: list[dict[str, Any]] = []
    # In turns, so that a check with many rows leaves room for the others.
    for place in range(max((len(check.rows) for check in flawed), default=0)):
        rows += [{**check.rows[place], "why": check.title} for check in flawed if place < len(check.rows)]
    return {
        "name": name,
        "grade": pillar_grade(checks),
        "summary": _summary(checks, flawed),
        "checks": [
            {"name": check.title, "status": check.status, "value": check.value, "message": check.message}
            for check in checks
        ],
        "rows": rows[:ROWS],
    }


def _summary(checks: Sequence[Check], flawed: Sequence[Check]) -> str:
    worst = sorted(flawed, key=lambda check: (check.status != "bad", -check.count))
    if worst:
        more = f"; not good either: {', '.join(check.title for check in worst[1:])}" if len(worst) > 1 else ""
        return f"{worst[0].message}{more}"
    unknown = [check for check in checks if check.status == "unknown"]
    if len(unknown) == len(checks):
        return unknown[0].message if unknown else "Nothing was looked at"
    return "Nothing to object to" + (f"; {len(unknown)} of {len(checks)} checks not judged" if unknown else "")


def _verdict(
    grade: Grade, pillars: Mapping[str, Sequence[Check]], *, usable: bool, kept: int, rows: int
) -> dict[str, Any]:
    checks = [check for group in pillars.values() for check in group]
    open_decisions = sum(bool(check.decision) and (check.status in _SEVERITY or check.noted) for check in checks)
    bad = [check for check in checks if check.status == "bad"]
    remain = f"{kept:,} of {rows:,} rows remain after cleaning"
    todo = "no decision is open" if not open_decisions else f"{open_decisions} decisions are open"
    todo = todo.replace("1 decisions are", "1 decision is")
    if not usable:
        status, sentence = (
            "bad",
            "Not fit to learn from: the rows cannot be made into parts to train, validate and test on",
        )
    elif grade in ("D", "F"):
        status, sentence = "bad", f"Not fit to learn from as it is: {remain}, {len(bad)} serious flaws, {todo}"
    elif grade == "A":
        status, sentence = "good", f"Fit to learn from: {remain}, {todo}"
    else:
        status, sentence = "careful", f"Fit to learn from with care: {remain}, {todo}"
    sentence = sentence.replace(" 1 serious flaws", " 1 serious flaw")
    return {"status": status, "sentence": f"{sentence}.", "details": [check.message for check in bad[:3]]}
