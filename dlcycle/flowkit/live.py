"""What a user sees of a step while it runs and after it failed: one line an epoch, and a card that follows.

Metaflow stores a card only when its task succeeds. A card that was refreshed before stays, so the last state and the
error are pushed to it before a failing task ends.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from metaflow import current

if TYPE_CHECKING:
    from dlcycle.config import Project

CARD_ID = "dlcycle"
REFRESH_SECONDS = 5
"""Shortest time between two refreshes that the flows' @card decorators allow; Metaflow drops earlier ones silently."""
UPDATE_SECONDS = 15
"""Time between two updates of a running card; each starts a process that takes about a second of a core."""
STORE_SECONDS = 60
"""Time between two updates that are waited for and stored as a page, which stays if the task is killed."""

State = dict[str, Any]

_shown: State = {}
_refreshed = float("-inf")
_stored = float("-inf")


def follow_training(
    settings: "Project", *, candidate: str, seed: int, say: Callable[[str], None]
) -> Callable[[State], None]:
    """Return the callback that says a line for each finished epoch and keeps the step's card up to date.

    Args:
        settings: the project, for the titles.
        candidate: name of the candidate being trained.
        seed: its seed.
        say: takes a line for the terminal.
    """
    about = {
        "status": "running",
        "project": settings.project.name,
        "title": settings.project.title,
        "candidate": candidate,
        "seed": seed,
        "metric": settings.plan.metric,
        "epochs": settings.train.epochs,
    }
    printed = 0
    show_state(about)

    def follow(state: State) -> None:
        nonlocal printed
        for entry in state["history"][printed:]:
            best = "  best so far" if entry["epoch"] == state["best_epoch"] else ""
            say(
                f"{candidate}, seed {seed}: epoch {entry['epoch']:>3} of {state['epochs']}"
                f"  training loss {entry['train_loss']:.4f}  validation loss {entry['validation_loss']:.4f}"
                f"  accuracy {entry['validation_accuracy']:.4f}  macro F1 {entry['validation_macro_f1']:.4f}"
                f"  {entry['seconds']:.1f} s{best}"
            )
        printed = len(state["history"])
        _shown.update(about | state)
        if time.monotonic() - _refreshed >= UPDATE_SECONDS:
            show_state(about | state)

    return follow


def show_state(state: State) -> None:
    """Show a plain-data state on the running step's card; does nothing on a step without one."""
    _shown.update(state)
    _refresh(_shown, store=time.monotonic() - _stored >= STORE_SECONDS)


def show_failure(exception: Exception, *, resume: str, logs: str) -> None:
    """Leave the error, the commands to type next and the last state on the card of a step that is about to fail."""
    if _card() is None:
        return
    error = {"type": type(exception).__name__, "message": str(exception)}
    state = {**_shown, "status": "failed", "error": error, "resume": resume, "logs": logs}
    # The first refresh of a card is not waited for; the second returns when both are stored.
    for _ in range(2):
        time.sleep(max(0.0, REFRESH_SECONDS + 0.5 - (time.monotonic() - _refreshed)))
        _refresh(state, store=True)


def _refresh(state: State, *, store: bool) -> None:
    global _refreshed, _stored
    if (card := _card()) is not None:
        _refreshed = time.monotonic()
        _stored = _refreshed if store else _stored
        card.refresh({"dlcycle": state | {"updated": datetime.now(UTC).isoformat(timespec="seconds")}}, force=store)


def _card() -> Any:
    card = current.card[CARD_ID] if hasattr(current, "card") else None
    # For an id that the step does not have, Metaflow returns an empty list.
    return card if hasattr(card, "refresh") else None
