"""What the training card reads: artifacts of a task as one dict, and careful look-ups in it."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

logger = logging.getLogger(__name__)


def read(task: Any, names: Iterable[str]) -> dict[str, Any]:
    """The named artifacts that a task has, and its `pathspec`; `unreadable` lists those that cannot be loaded."""
    found: dict[str, Any] = {"pathspec": task.pathspec, "unreadable": []}
    for name in names:
        try:
            if name in task:
                found[name] = task[name].data
        except Exception as problem:
            logger.exception("artifact %s could not be read", name)
            found["unreadable"].append(f"{name} ({type(problem).__name__}: {problem})")
    return found


def at(source: Any, *keys: str) -> Any:
    """The value under nested keys, or None where a step of the way is missing."""
    for key in keys:
        if not isinstance(source, Mapping):
            return None
        source = source.get(key)
    return source


def records(value: Any) -> list[Mapping[str, Any]]:
    """The dicts of a list; anything else counts as nothing."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """A dict; anything else counts as an empty one."""
    return value if isinstance(value, Mapping) else {}


def primary(run: Mapping[str, Any]) -> str:
    """The metric that selects and compares models."""
    metric = at(run, "project", "plan", "metric")
    return metric if metric in ("accuracy", "macro_f1") else "accuracy"
