"""The card `dlcycle_eda`: is this data fit to learn from, what is wrong with it, in which rows, and what to do."""

from typing import Any

from . import eda_origin, eda_pillars, eda_profile, eda_summary, stage_live
from .base import ArtifactCard
from .markup import Html
from .page import content, contents, guarded
from .titles import heading, kicker

ARTIFACTS = (
    "project",
    "profile",
    "quality",
    "findings",
    "languages",
    "recommended",
    "schema",
    "data_fingerprint",
    "removed",
    "split",
    "cleaning",
    "lineage",
)
DECISIVE = ("profile", "quality", "findings")
"""A task that has one of these is drawn in full."""
STAGE = stage_live.Stage(
    name="Exploring the data",
    subject="Data set",
    stopped="Exploration stopped",
    left_nothing="This task ended well and left no judgement of the data.",
    draws="The card dlcycle_eda draws the artifacts profile, quality and findings; another step of the run has them.",
)


def result(run: dict[str, Any]) -> Html:
    """The page of a finished run: verdict, figures, decisions, scorecard, pillars, profile, where it came from."""
    first = (
        ("decisions", "Decisions to take", eda_summary.decisions),
        ("scorecard", "Scorecard", eda_summary.scorecard),
        ("findings", "Other findings", eda_summary.other_findings),
        ("settings", "Settings that this data asks for", eda_summary.recommended),
    )
    evidence = (*first, *eda_pillars.SECTIONS, *eda_profile.SECTIONS)
    return content(
        kicker(STAGE.name, run),
        heading(run, STAGE.subject),
        guarded("Verdict", eda_summary.verdict_bar, run),
        guarded("Key figures", eda_summary.key_figures, run),
        contents({anchor: title for anchor, title, _ in evidence} | {"provenance": "Where this came from"}),
        *(guarded(title, build, run) for _, title, build in evidence),
        guarded("Where this came from", eda_origin.origin, run),
    )


class EdaCard(ArtifactCard):
    """Draws a judgement of the data; see `ARTIFACTS` for the names it reads and `stage_live` for the states."""

    type = "dlcycle_eda"  # type: ignore[assignment]  # None in the base
    subject = "Data"
    artifacts = ARTIFACTS

    def finished(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """The judgement of the data, or what a task without one reported."""
        return result(run) if any(name in run for name in DECISIVE) else stage_live.finished(STAGE, run, state)

    def running(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """Progress, or the failure."""
        return stage_live.running(STAGE, run, state)
