"""The card `dlcycle_train`: a running, failed or finished training task, and the result of a TrainFlow run."""

from typing import Any

from . import live, train_evidence, train_origin, train_summary
from .base import ArtifactCard
from .markup import Html
from .page import content, contents, guarded
from .titles import heading, kicker

ARTIFACTS = (
    "project",
    "data_fingerprint",
    "split",
    "removed",
    "history",
    "metrics",
    "baseline_metrics",
    "comparison",
    "gates",
    "consistency",
    "model",
    "lineage",
    "experiment_id",
    "candidates",
    "todo",
    "candidate_report",
)


def result(run: dict[str, Any]) -> Html:
    """The page of a finished run: verdict, figures that decide, what to do next, evidence, where it came from."""
    evidence = train_evidence.SECTIONS
    return content(
        kicker("Model development", run),
        heading(run, "Trained model"),
        guarded("Verdict", train_summary.verdict_bar, run),
        guarded("Key figures", train_summary.key_figures, run),
        guarded("What to do next", train_summary.next_steps, run),
        contents({anchor: title for anchor, title, _ in evidence} | {"provenance": "Where this came from"}),
        *(guarded(title, build, run) for _, title, build in evidence),
        guarded("Where this came from", train_origin.origin, run),
    )


class TrainCard(ArtifactCard):
    """Draws a finished run, or one training task; see `ARTIFACTS` for the names it reads."""

    type = "dlcycle_train"  # type: ignore[assignment]  # None in the base
    subject = "Training"
    artifacts = ARTIFACTS

    def finished(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """The result of a run, or what one training task left."""
        return result(run) if "metrics" in run else live.finished(run, state)

    def running(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """Progress and curves so far, or the failure."""
        return live.running(run, state)
