"""The verdict on a data set: everything that is known about it, graded, ranked and turned into advice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlcycle.data.fairness import imbalance
from dlcycle.data.personal import mask_personal
from dlcycle.data.quality.comprehensiveness import check_comprehensiveness
from dlcycle.data.quality.consistency import check_consistency
from dlcycle.data.quality.evidence import Evidence
from dlcycle.data.quality.fairness import check_fairness
from dlcycle.data.quality.grades import PILLARS, Check, describe_quality, list_findings
from dlcycle.data.quality.representativeness import check_representativeness
from dlcycle.data.quality.uniqueness import check_uniqueness
from dlcycle.data.quality.validity import check_validity
from dlcycle.data.recommend import recommend_settings
from dlcycle.data.schema import infer_schema


@dataclass(frozen=True)
class Judgement:
    """What is said about a data set, as plain data; each field is a public artifact of EdaFlow."""

    profile: dict[str, Any]
    quality: dict[str, Any]
    findings: list[dict[str, Any]]
    recommended: dict[str, Any]
    schema: dict[str, Any]


def judge_data(evidence: Evidence) -> Judgement:
    """Grade the data, rank the findings, recommend settings, infer the schema and check the frozen one.

    Args:
        evidence: All that is known about the data set.

    Returns:
        The judgement.

    Raises:
        DataError: The frozen schema has another version, or a limit that is no number or date.
    """
    settings = evidence.settings
    languages = None if "reason" in evidence.languages else evidence.languages
    pillars = check_pillars(evidence)
    labels = evidence.split["labels"]["train"] if evidence.split else None
    quality = describe_quality(
        pillars,
        usable=not evidence.unusable,
        kept=sum(evidence.split["counts"].values()) if evidence.split else 0,
        rows=evidence.rows,
        evidence=_figures(evidence),
    )
    return Judgement(
        profile=_masked(evidence.profile)
        | {"associations": evidence.measured.get("associations", []), "source": dict(evidence.source)},
        quality=_masked(quality),
        findings=_masked(list_findings(pillars, rows=evidence.rows)),
        recommended=recommend_settings(
            evidence.measured.get("training_words"),
            settings=settings,
            imbalance=imbalance(labels) if labels else None,
        ),
        schema=infer_schema(evidence.profile, languages=languages),
    )


def check_pillars(evidence: Evidence) -> dict[str, list[Check]]:
    """Ask all questions.

    Args:
        evidence: What is known about the data set.

    Returns:
        The checks of each pillar.
    """
    checks = (
        check_representativeness,
        check_consistency,
        check_comprehensiveness,
        check_uniqueness,
        check_fairness,
        check_validity,
    )
    return {name: list(check(evidence)) for name, check in zip(PILLARS, checks, strict=True)}


_FROM_ROWS = ("text", "texts", "label", "labels", "suggested")
"""Keys under which texts and labels of rows are shown."""


def _masked(value: Any, key: str = "") -> Any:
    """Mask personal data in every text and label of a row, whatever module it comes from."""
    if isinstance(value, Mapping):
        return {_masked(name, key): _masked(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(inner, key) for inner in value]
    return mask_personal(value) if isinstance(value, str) and key in _FROM_ROWS else value


def _figures(evidence: Evidence) -> dict[str, Any]:
    """Return what figures and tables need."""
    missing = {"reason": evidence.unusable or "It was not measured"}
    measured = {
        key: evidence.measured.get(key) or missing
        for key in ("learning_curve", "label_errors", "split_tests", "over_time", "groups")
    }
    cleaning, near = evidence.cleaning, evidence.split.get("near_duplicates")
    conflicts: Mapping[str, Any] = missing
    if cleaning:
        conflicts = {
            "texts": cleaning["conflict_count"],
            "rows": cleaning["conflict_rows"],
            "near_groups": near["conflicts"]["groups"] if near else 0,
            "examples": cleaning["conflicts"],
        }
    return measured | {
        "group_tests": evidence.measured.get("group_tests", []),
        "origin_tests": evidence.measured.get("origin_tests", []),
        "conflicts": dict(conflicts),
        "personal": list(evidence.validity["personal"]),
        "duplicate_groups": {
            "exact_rows": evidence.removed.get("exact_duplicate", 0),
            "near_pairs": near["pairs"],
            "near_groups": near["groups"],
            "near_rows": near["rows_in_groups"],
            "sizes": near["sizes"],
            "examples": near["largest"],
        }
        if near
        else missing,
    }
