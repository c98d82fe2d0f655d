"""What stands at the top of a card, and in the browser's tab: stage, project, run, when and how long."""

from collections.abc import Mapping
from typing import Any

from .formats import duration, finite, moment
from .markup import Child, Html, data
from .train_data import at, mapping


def kicker(stage: str, run: Mapping[str, Any]) -> list[Child]:
    """Stage, project, run, when and how long."""
    lineage = mapping(run.get("lineage"))
    name = at(run, "project", "project", "name")
    seconds = lineage.get("seconds") or at(lineage, "resources", "seconds")
    return [
        stage,
        data(name) if name else None,
        data("/".join(str(lineage.get("run") or run.get("pathspec", "")).split("/")[:2])),
        moment(lineage["started"]) if lineage.get("started") else None,
        duration(seconds) if finite(seconds) is not None else None,
    ]


def heading(run: Mapping[str, Any], otherwise: str) -> Html:
    """The project's title, its name, or what to say without either."""
    return data(at(run, "project", "project", "title") or at(run, "project", "project", "name") or otherwise)


def tab_title(subject: str, run: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> str:
    """Name of the browser's tab."""
    name = at(run, "project", "project", "name") or at(state, "project") or ""
    return " · ".join(part for part in (subject, str(name), str(run.get("pathspec", ""))) if part)
