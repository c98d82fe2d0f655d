"""What is known about a data set when it is judged, and how its parts are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlcycle.config import Project
from dlcycle.data.quality.grades import Check, Status

MEDIUM_EFFECT = 0.3
SMALL_EFFECT = 0.1
"""Cramer's V and the distance of two distributions from which a difference that is no chance matters (Cohen, 1988)."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Evidence:
    """All that is known about a data set when it is graded, as plain data."""

    settings: Project
    profile: Mapping[str, Any]
    validity: Mapping[str, Any]
    """As `dlcycle.data.validity.describe_validity` returns it."""
    languages: Mapping[str, Any]
    """The `languages` artifact, or a reason."""
    source: Mapping[str, Any]
    cleaning: Mapping[str, Any] = field(default_factory=dict)
    """Report of cleaning; empty when the rows could not be cleaned or split."""
    split: Mapping[str, Any] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    """Rows removed for each reason."""
    examples: Sequence[Mapping[str, Any]] = ()
    """Rows removed, a few for each reason: row, line, reason, detail, text, label."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """learning_curve, label_errors, split_tests, over_time, groups, group_tests and origin_tests; or reasons."""
    unusable: str = ""
    """Why the rows could not be cleaned or split."""
    missing_columns: Sequence[str] = ()
    """Columns that the project needs and the source lacks, each with the key that names it."""

    @property
    def not_split(self) -> str:
        """Why checks that need clean rows with parts cannot be judged; empty if they can."""
        return "The rows could not be cleaned and split; Validity says why" if self.unusable else ""

    @property
    def no_classes(self) -> str:
        """Why nothing can be said of the classes; empty if it can."""
        if self.profile["classes"]:
            return ""
        if self.settings.data.target not in self.source["columns"]:
            return "There is no label column"
        return "No row could be read" if not self.profile["rows"] else "No row has a label, or too many differ"

    @property
    def rows(self) -> int:
        """Rows read, those that could not be used included."""
        return int(self.source["records"])

    def share(self, count: int) -> float:
        """Share of the rows read."""
        return count / self.rows if self.rows else 0.0


def percent(share: float) -> str:
    """A share of rows, never shown as 0 when there are some."""
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def unknown(name: str, title: str, reason: str) -> Check:
    """A check that cannot be judged, and why."""
    return Check(name, title, "unknown", "not judged", reason)


def reason_of(value: Any) -> str:
    """Why there is nothing to judge; empty where there is."""
    if not value:
        return "It was not measured"
    return str(value["reason"]) if isinstance(value, Mapping) and value.get("reason") else ""


def differs(test: Mapping[str, Any]) -> Status:
    """Grade a two-sample test: a difference counts when it is no chance and large enough to matter."""
    if test.get("adjusted", test.get("p_value", 1.0)) >= SIGNIFICANT or test["effect"] < SMALL_EFFECT:
        return "good"
    return "bad" if test["effect"] >= MEDIUM_EFFECT else "careful"


def group_checks(evidence: Evidence, key: str, name: str, title: str, setting: str) -> Iterator[Check]:
    """Yield a check for each column whose values were compared in the labels of their rows."""
    tests = evidence.measured.get(key)
    if reason := evidence.not_split or reason_of(tests):
        if not evidence.unusable and not tests:
            reason = f"{setting} names no column of the source"
        yield unknown(name, title, reason)
        return
    for test in tests or ():
        status = differs(test)
        yield Check(
            name,
            f"{title}: {test['column']}",
            status,
            f"effect {test['effect']:.2f}",
            test["message"],
            decision=""
            if status == "good"
            else "Is this difference true, or does it come from how rows were collected?",
        )
