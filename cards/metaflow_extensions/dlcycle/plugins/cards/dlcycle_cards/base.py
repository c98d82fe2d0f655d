"""What all cards of dlcycle have in common: they read plain-data artifacts and draw a page in each state of a task."""

from typing import Any

from metaflow.plugins.cards.card_modules.card import MetaflowCard

from .live import user_state
from .markup import Html
from .page import page
from .titles import tab_title
from .train_data import read


class ArtifactCard(MetaflowCard):
    """Draws the artifacts of a task; a card type says which, and how its pages look.

    While the task runs, `refresh({"dlcycle": state})` shows `state`: the first call and those with `force=True` store a
    page, the others send new content to pages that are open.
    """

    RUNTIME_UPDATABLE = True
    # `current.card["id"]` finds only cards that allow components; these show none.
    ALLOW_USER_COMPONENTS = True

    subject = ""
    """First word of the browser's tab."""
    artifacts: tuple[str, ...] = ()
    """Names of the artifacts that the card reads."""

    def __init__(self, options: Any = None, components: Any = (), graph: Any = None, flow: Any = None) -> None:
        """Take Metaflow's arguments; only the number of components is of interest."""
        self._appended = len(components or ())

    def finished(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """What a reader sees of a task that ended well, from its artifacts and the last state that it reported."""
        raise NotImplementedError

    def running(self, run: dict[str, Any], state: dict[str, Any]) -> Html:
        """What a reader sees of a task that runs, or of one that is about to fail."""
        raise NotImplementedError

    def render(self, task: Any) -> str:
        """The page of a finished task."""
        run = read(task, self.artifacts) | {"appended": self._appended}
        return page(tab_title(self.subject, run), self.finished(run, user_state(self.runtime_data)))

    def render_runtime(self, task: Any, data: Any) -> str:
        """The page of a task that runs, or of one that is about to fail."""
        state, run = user_state(data), {"pathspec": task.pathspec}
        live = state.get("status") != "failed"
        return page(tab_title(self.subject, run, state), self.running(run, state), live=live)

    def refresh(self, task: Any, data: Any) -> dict[str, str]:
        """New content for open pages of a task that runs; once it has ended, viewers load the final page instead."""
        if data.get("render_seq") == "final":
            return {}
        return {"html": str(self.running({"pathspec": task.pathspec}, user_state(data)))}
