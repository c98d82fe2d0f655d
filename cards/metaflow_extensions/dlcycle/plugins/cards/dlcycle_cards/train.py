"""The card `dlcycle_train`: a running, failed or finished training task, and the result of a TrainFlow run."""

import logging
from typing import Any

from metaflow.plugins.cards.card_modules.card import MetaflowCard

from . import live, train_data, train_evidence, train_origin, train_summary
from .markup import Html
from .page import content, contents, guarded, page
from .titles import heading, kicker, tab_title

logger = logging.getLogger(__name__)

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


class TrainCard(MetaflowCard):
    """Draws plain-data artifacts; see `train_data` for the names it reads.

    While the task runs, `refresh({"dlcycle": state})` shows `state`: the first call and those with `force=True` store a
    page, the others send new content to pages that are open.
    """

    type = "dlcycle_train"  # type: ignore[assignment]  # None in the base
    RUNTIME_UPDATABLE = True
    # `current.card["id"]` finds only cards that allow components; this one shows none.
    ALLOW_USER_COMPONENTS = True

    def __init__(self, options: Any = None, components: Any = (), graph: Any = None, flow: Any = None) -> None:
        """Take Metaflow's arguments; only the number of components is of interest."""
        self._appended = len(components or ())

    def render(self, task: Any) -> str:
        """The page of a finished task."""
        run = train_data.read(task, ARTIFACTS) | {"appended": self._appended}
        body = result(run) if "metrics" in run else live.finished(run, live.user_state(self.runtime_data))
        return page(tab_title("Training", run), body)

    def render_runtime(self, task: Any, data: Any) -> str:
        """The page of a task that runs, or of one that is about to fail."""
        state = live.user_state(data)
        run = {"pathspec": task.pathspec}
        return page(tab_title("Training", run, state), live.running(run, state), live=state.get("status") != "failed")

    def refresh(self, task: Any, data: Any) -> dict[str, str]:
        """New content for open pages of a task that runs; once it has ended, viewers load the final page instead."""
        if data.get("render_seq") == "final":
            return {}
        return {"html": str(live.running({"pathspec": task.pathspec}, live.user_state(data)))}
