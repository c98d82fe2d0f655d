"""Fairness: is any class or group left short?"""

from collections.abc import Iterator

from dlcycle.data.fairness import imbalance
from dlcycle.data.messages import shown
from dlcycle.data.quality.evidence import Evidence, group_checks, unknown
from dlcycle.data.quality.grades import Check, Status


def check_fairness(evidence: Evidence) -> Iterator[Check]:
    """Yield the checks of the pillar."""
    labels = evidence.cleaning.get("labels") or {entry["label"]: entry["rows"] for entry in evidence.profile["classes"]}
    if not labels:
        yield unknown("imbalance", "Balance of the classes", evidence.no_classes)
    else:
        balance = imbalance(labels)
        ratio = balance["ratio"]
        status: Status = "good" if ratio < 10 else "careful" if ratio < 100 else "bad"
        yield Check(
            "imbalance",
            "Balance of the classes",
            status,
            f"{ratio:.1f} to 1",
            f"{shown(balance['largest']['label'])}: {ratio:.1f} rows for one of {shown(balance['smallest']['label'])}",
            decision="" if status == "good" else "Do small classes matter as much as large ones?",
            config="" if status == "good" else '[train]\nclass_weights = "balanced"\n[plan]\nmetric = "macro_f1"',
        )
    yield from group_checks(evidence, "group_tests", "group_rates", "Labels by group", "data.group_columns")
