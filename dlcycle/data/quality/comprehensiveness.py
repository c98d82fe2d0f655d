"""Comprehensiveness: is there enough of everything?"""

from collections.abc import Iterator, Mapping
from typing import Any

from dlcycle.data.messages import quoted
from dlcycle.data.quality.evidence import Evidence, percent, reason_of, unknown
from dlcycle.data.quality.grades import Check, Status

WORTHWHILE = 0.005
"""Gain in accuracy, at least, from which more labels pay."""


def check_comprehensiveness(evidence: Evidence) -> Iterator[Check]:
    """Yield the checks of the pillar."""
    least = evidence.settings.eda.rows_per_label
    labels = evidence.cleaning.get("labels") or {entry["label"]: entry["rows"] for entry in evidence.profile["classes"]}
    if not labels:
        yield unknown("rows_per_label", "Rows per label", evidence.no_classes)
    else:
        few = {label: count for label, count in labels.items() if count < least}
        named = quoted(f"{label} ({count})" for label, count in few.items())
        status: Status = (
            "good" if not few else "bad" if len(labels) < 2 or min(labels.values()) * 10 < least else "careful"
        )
        yield Check(
            "rows_per_label",
            "Rows per label",
            "bad" if len(labels) < 2 else status,
            f"{len(labels) - len(few)} of {len(labels)} classes",
            f"{len(few)} of {len(labels)} classes have fewer than {least} rows: {named}"
            if few
            else f"Each of {len(labels)} classes has at least {min(labels.values()):,} rows"
            if len(labels) > 1
            else "There is one class only, and at least two are needed",
            sum(few.values()),
            decision="Add rows of these classes, merge them, or leave them out" if few else "",
            config='[data]\nrare_labels = "merge"\nmin_rows_per_label = 100' if few else "",
        )
    curve = evidence.measured.get("learning_curve")
    if reason := evidence.not_split or reason_of(curve):
        yield unknown("more_labels", "Gain from more labels", reason)
        return
    assert curve
    gain = _forecast_gain(curve)
    yield Check(
        "more_labels",
        "Gain from more labels",
        "unknown" if gain is None else "careful" if gain > WORTHWHILE else "good",
        "not judged" if gain is None else f"at least {percent(max(0.0, gain))} more accuracy",
        curve["sentence"].rstrip("."),
        decision="Are more labels worth their price?" if gain is not None and gain > WORTHWHILE else "",
    )


def _forecast_gain(curve: Mapping[str, Any]) -> float | None:
    """Return the lower end of the gain that the forecast promises; None without a forecast."""
    gain = curve.get("gain")
    return float(gain["low"]) if gain and gain.get("low") is not None else None
