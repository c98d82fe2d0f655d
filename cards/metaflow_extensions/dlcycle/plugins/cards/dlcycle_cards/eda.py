"""The card `dlcycle_eda`: is this data fit to learn from, what is wrong with it, in which rows, and what to do."""

from typing import Any

from metaflow.plugins.cards.card_modules.card import MetaflowCard

from . import eda_live, eda_origin, eda_pillars, eda_profile, eda_summary, train_data
from .live import user_state
from .markup import Html
from .page import content, contents, guarded, page
from .titles import heading, kicker, tab_title

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
        kicker("Exploring the data", run),
        heading(run, "Data set"),
        guarded("Verdict", eda_summary.verdict_bar, run),
        guarded("Key figures", eda_summary.key_figures, run),
        contents({anchor: title for anchor, title, _ in evidence} | {"provenance": "Where this came from"}),
        *(guarded(title, build, run) for _, title, build in evidence),
        guarded("Where this came from", eda_origin.origin, run),
    )


class EdaCard(MetaflowCard):
    """Draws plain-data artifacts; see `ARTIFACTS` for the names it reads.

    While the task runs, `refresh({"dlcycle": state})` shows `state`, as `TrainCard` does; see `eda_live` for its keys.
    """

    type = "dlcycle_eda"  # type: ignore[assignment]  # None in the base
    RUNTIME_UPDATABLE = True
    # `current.card["id"]` finds only cards that allow components; this one shows none.
    ALLOW_USER_COMPONENTS = True

    def __init__(self, options: Any = None, components: Any = (), graph: Any = None, flow: Any = None) -> None:
        """Take Metaflow's arguments; only the number of components is of interest."""
        self._appended = len(components or ())

    def render(self, task: Any) -> str:
        """The page of a finished task."""
        run = train_data.read(task, ARTIFACTS) | {"appended": self._appended}
        whole = any(name in run for name in DECISIVE)
        body = result(run) if whole else eda_live.finished(run, user_state(self.runtime_data))
        return page(tab_title("Data", run), body)

    def render_runtime(self, task: Any, data: Any) -> str:
        """The page of a task that runs, or of one that is about to fail."""
        state = user_state(data)
        run = {"pathspec": task.pathspec}
        return page(tab_title("Data", run, state), eda_live.running(run, state), live=state.get("status") != "failed")

    def refresh(self, task: Any, data: Any) -> dict[str, str]:
        """New content for open pages of a task that runs; once it has ended, viewers load the final page instead."""
        if data.get("render_seq") == "final":
            return {}
        return {"html": str(eda_live.running({"pathspec": task.pathspec}, user_state(data)))}
