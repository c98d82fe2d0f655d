"""The card `dlcycle_explain`: why a model decides so, whether that can be believed, and where, for whom it fails."""

from typing import Any

from . import (
    explain_before,
    explain_groups,
    explain_money,
    explain_origin,
    explain_slices,
    explain_sturdy,
    explain_summary,
    explain_trust,
    explain_words,
    stage_live,
    train_summary,
)
from .base import ArtifactCard
from .markup import Html
from .page import content, contents, guarded
from .titles import heading, kicker

ARTIFACTS = (
    "project",
    "local_attributions",
    "global_attributions",
    "faithfulness",
    "slices",
    "work_list",
    "fairness",
    "robustness",
    "business",
    "gates",
    "answer",
    "todo",
    "explained",
    "compared",
    "findings",
    "data_fingerprint",
    "lineage",
)
DECISIVE = (
    "answer",
    "local_attributions",
    "global_attributions",
    "faithfulness",
    "slices",
    "fairness",
    "robustness",
    "business",
)
"""A task that has one of these is drawn in full."""
STAGE = stage_live.Stage(
    name="Delivering insights",
    subject="Explained model",
    stopped="Explanation stopped",
    left_nothing="This task ended well and left nothing to draw.",
    draws="The card dlcycle_explain draws the artifacts of the step that judges the model; see that step's card.",
)
SECTIONS = (
    ("local", "Why it decides so", explain_words.local_rows),
    ("global", "What it looks for", explain_words.overall),
    ("trust", "Can the explanations be believed?", explain_trust.trust),
    ("slices", "Where it fails", explain_slices.where_it_fails),
    ("groups", "For whom", explain_groups.for_whom),
    ("sturdy", "How sturdy", explain_sturdy.how_sturdy),
    ("before", "Before and after", explain_before.before_and_after),
    ("money", "In money", explain_money.in_money),
)
"""Anchor, title and builder of each section, in order; a builder that returns None leaves its section out."""


def result(run: dict[str, Any]) -> Html:
    """The page of a finished run: the answer, figures that decide, what to do, evidence, where it came from."""
    drawn = {anchor: (title, guarded(title, build, run)) for anchor, title, build in SECTIONS}
    shown = {anchor: title for anchor, (title, part) in drawn.items() if part is not None}
    return content(
        kicker(STAGE.name, run),
        heading(run, STAGE.subject),
        guarded("Answer", explain_summary.answer, run),
        guarded("Key figures", explain_summary.key_figures, run),
        guarded("What to do next", train_summary.next_steps, run),
        guarded("Success criteria", explain_sturdy.goals, run),
        contents(shown | {"provenance": "Where this came from"}),
        *(part for _, part in drawn.values()),
        guarded("Where this came from", explain_origin.origin, run),
    )


class ExplainCard(ArtifactCard):
    """Draws what was found out about a model; see `ARTIFACTS` for what it reads and `stage_live` for the states."""

    type = "dlcycle_explain"  # type: ignore[assignment]  # None in the base
    subject = "Insights"
    artifacts = ARTIFACTS

    def finished(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """The insights, or what a task without any reported."""
        return result(run) if any(name in run for name in DECISIVE) else stage_live.finished(STAGE, run, state)

    def running(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """Progress, or the failure."""
        return stage_live.running(STAGE, run, state)
