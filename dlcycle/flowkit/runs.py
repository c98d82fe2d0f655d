"""Earlier runs that a flow builds on: found, and refused with what to do where they cannot be used."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from metaflow import Flow, Run, current
from metaflow.exception import MetaflowException

from dlcycle.errors import ConfigError

LATEST = 100
"""Runs that are looked at, newest first, when one is searched for."""


def finished_run(pathspec: str, *, option: str, flow: str, script: str, artifacts: Sequence[str]) -> Any:
    """Return the artifacts of a finished run that a user named.

    Args:
        pathspec: the run, such as EdaFlow/1763681000.
        option: what the user named it with, for messages.
        flow: name of the flow that makes such runs; a subclass has another.
        script: file of that flow, for messages.
        artifacts: what tells a run of such a flow from others.

    Raises:
        ConfigError: there is no such run, it has not finished, or it is of another kind of flow.
    """
    name, _, identity = pathspec.partition("/")
    if not name or not identity or "/" in identity:
        raise ConfigError(f"{option}: expected FLOW/ID, such as {flow}/1763681000, got {pathspec!r}")
    try:
        run = Run(pathspec, _namespace_check=False)
    except MetaflowException as failure:
        raise ConfigError(f"{option}: there is no run {pathspec} in this datastore: {failure}") from None
    if not run.successful:
        # Of a run that never reached its end nothing is recorded that tells a failure from one that goes on.
        state = "has failed" if run.finished else "is not finished: it has failed or still runs"
        raise ConfigError(f"{option}: {pathspec} {state}; resume it or run {script} again")
    task = run.end_task
    if task is None or any(artifact not in task for artifact in artifacts):
        raise ConfigError(f"{option}: {pathspec} is no run of {flow}; expected one that {script} made")
    return task.data


def successful_runs(flow: str, *, project: str, tags: Sequence[str] = ()) -> Iterator[Run]:
    """The successful runs of a flow and project in the user's namespace, newest first, of the latest hundred."""
    try:
        runs = Flow(flow).runs(f"project:{project}", *tags)
        yield from (run for run in islice(runs, LATEST) if run.successful)
    except MetaflowException:
        # Metaflow's only way to say that the flow has no run here.
        return


def namespace_words() -> str:
    """The user's namespace, as a message names it."""
    return f"the namespace {current.namespace}" if current.namespace else "all namespaces"


def refuse_other_project(found: str, expected: str, *, option: str, pathspec: str) -> None:
    """Refuse a run of another project.

    Raises:
        ConfigError: the names differ.
    """
    if found != expected:
        raise ConfigError(
            f"{option}: {pathspec} is of the project {found!r}, expected {expected!r}; name a run of this project, or "
            f"pass the other project's file with --config project FILE"
        )
