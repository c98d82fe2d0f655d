"""A task of a stage that is not training while it runs, after it failed, and when it left nothing to judge.

The state that a task reports: `status` ("running", "failed"), `title`, `project`, `stage` (what is being done), `done`
and `total` with `unit`, `seconds`, `seconds_left`, `updated`, `resume`, `logs` and `error` with `type` and `message`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .charts import progress_bar
from .eda_reading import share_of
from .formats import PERCENT, count, duration, finite, moment, show
from .live import after_failure
from .markup import Child, Html, data, join
from .page import content, folded, guarded, note, preformatted, provenance, section, tile, tiles, verdict
from .train_data import at, mapping
from .train_origin import plain_json


@dataclass(frozen=True)
class Stage:
    """What the cards of a stage call things."""

    name: str
    subject: str
    """Heading of a page that knows no project."""
    stopped: str
    """Badge after a failure."""
    left_nothing: str
    """What is said of a task that ended without the artifacts to draw."""
    draws: str
    """Which artifacts those are."""


def running(stage: Stage, run: Mapping[str, Any], state: Mapping[str, Any]) -> Html:
    """The page of a task that runs or has just failed, from the last state it reported."""
    failed = state.get("status") == "failed"
    return content(
        _kicker(stage, run, state),
        data(state.get("title") or state.get("project") or stage.name),
        guarded("Failure", _failure, stage, state) if failed else guarded("Progress", _progress, state),
        guarded("Key figures", _figures, state, failed),
        guarded("What to do next", after_failure, state) if failed else None,
        guarded("Where this came from", _origin, run, state),
    )


def finished(stage: Stage, run: Mapping[str, Any], state: Mapping[str, Any]) -> Html:
    """The page of a task that ended without the artifacts to draw, such as one shard of many."""
    name = at(run, "project", "project", "title") or at(run, "project", "project", "name") or state.get("title")
    project = at(run, "project", "project", "name") or state.get("project")
    remark = (
        note("The last state that the task reported is listed below.") if state else note("It reported no progress.")
    )
    return content(
        _kicker(stage, run, {**state, "project": project}),
        data(name or stage.subject),
        verdict("info", "Done", stage.left_nothing, stage.draws),
        guarded("So far", section, "What it reported", None, remark, _everything(state)),
        guarded("Where this came from", _origin, run, state),
    )


def _everything(state: Mapping[str, Any]) -> Html | None:
    return folded("The last state", preformatted(plain_json(state))) if state else None


def _kicker(stage: Stage, run: Mapping[str, Any], state: Mapping[str, Any]) -> list[Child]:
    return [
        stage.name,
        data(state["project"]) if state.get("project") else None,
        data(run.get("pathspec")),
        f"state of {moment(state['updated'])}" if state.get("updated") else None,
    ]


def _position(state: Mapping[str, Any]) -> tuple[float, Html]:
    """Share of the work done, and the place in words."""
    done, total = state.get("done"), finite(state.get("total"))
    share = share_of(done, total)
    stage = data(state["stage"], 200) if state.get("stage") else join("preparing")
    if share is None:
        return 0.0, stage
    return min(1.0, max(0.0, share)), join(
        stage, f", {count(done)} of {count(total)} ", data(state.get("unit") or "", 40)
    )


def _progress(state: Mapping[str, Any]) -> Html:
    if not state:
        return verdict("info", "Running", "The task has started and has not reported yet.")
    share, words = _position(state)
    left = finite(state.get("seconds_left"))
    ahead = f"About {duration(left)} left." if left is not None else "Time left is not known yet."
    return verdict("info", "Running", join(words, ". ", ahead), progress_bar(share, f"{share:.0%} done"))


def _failure(stage: Stage, state: Mapping[str, Any]) -> Html:
    error = mapping(state.get("error"))
    message = data(error.get("message") or "The task reported no message.", 1500)
    return verdict(
        "bad",
        stage.stopped,
        message,
        join(data(error.get("type") or "Error"), ", at ", _position(state)[1], "."),
    )


def _figures(state: Mapping[str, Any], failed: bool) -> Html:
    share, words = _position(state)
    known = finite(state.get("seconds_left")) is not None
    return tiles(
        tile("Done", show(share, PERCENT, (0, 1)), words),
        tile("Time so far", duration(state.get("seconds")), "since the task started"),
        *(
            []
            if failed
            else [
                tile(
                    "Time left, about",
                    duration(state.get("seconds_left")),
                    "of this stage" if known else "not known yet",
                )
            ]
        ),
    )


def _origin(run: Mapping[str, Any], state: Mapping[str, Any]) -> Html:
    keys = ("stage", "resume", "logs")
    entries: dict[str, Child] = {"task": data(run.get("pathspec"))}
    entries |= {key: data(state[key], 400) for key in keys if state.get(key)}
    return provenance(entries, lead="The task and its commands.")
