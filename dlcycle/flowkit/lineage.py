"""Where a result came from: everything needed to repeat a run, gathered while it runs."""

import hashlib
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaflow import Run, current
from metaflow.exception import MetaflowNotFound

from dlcycle._version import __version__
from dlcycle.flowkit.failures import flow_command, resume_command

if TYPE_CHECKING:
    from dlcycle.config import Project
    from dlcycle.data.dataset import Dataset

logger = logging.getLogger(__name__)


def tag_run(**about: str) -> None:
    """Tag the running run with what it is about, so that runs on the same data or experiment can be found."""
    tags = [f"{name}:{value[:16]}" for name, value in about.items() if value]
    if (run := _this_run()) is None:
        logger.warning(
            "This task cannot reach the run's metadata; the run goes on without the tags %s.", ", ".join(tags)
        )
    else:
        run.add_tags(tags)


def identify_experiment(settings: "Project", dataset: "Dataset") -> str:
    """The hash of all that decides the result: rows, settings, libraries, dlcycle's code and the flow's own file."""
    from dlcycle.data.dataset import values_digest
    from dlcycle.train.experiment import code_digest, experiment_id, library_versions

    flow_file = hashlib.sha256(Path(sys.argv[0]).read_bytes()).hexdigest()
    return experiment_id(
        # The columns that rows are only looked at by are no part of the fingerprint, but one of them may weight rows.
        data_fingerprint=dataset.fingerprint + values_digest(dataset.frame, settings.train.reweight),
        settings=settings.model_dump(mode="json"),
        libraries=library_versions(),
        code=f"{code_digest()} {flow_file}",
    )


def code_state(launch: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The git commit of the flow's file, or why there is none.

    Args:
        launch: what the machine that started the run noted: a task elsewhere has a copy of the code without its git.
    """
    from dlcycle.train.lineage import git_state

    return (launch or {}).get("git") or git_state(Path(sys.argv[0]).resolve().parent)


def machine() -> dict[str, Any]:
    """The machine of this task."""
    from dlcycle.train.lineage import machine

    return machine()


def describe_run(settings: "Project", *, started: float, log_step: str, card_step: str) -> dict[str, Any]:
    """What is known about the run as a whole, as plain data: times, cost, versions, settings and commands.

    Args:
        settings: the project with what the command line overrides.
        started: when its first step began, in seconds since 1970; a resumed run began later.
        log_step: the step whose log tells most.
        card_step: the step whose card shows the result.
    """
    from dlcycle.train.experiment import library_versions
    from dlcycle.train.lineage import cost

    now = datetime.now(UTC)
    run = _this_run()
    started = run.created_at.timestamp() if run else started
    seconds = _task_seconds(run, now) if run else now.timestamp() - started
    return {
        "run": f"{current.flow_name}/{current.run_id}",
        "user": current.username,
        "origin_run": current.origin_run_id,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "seconds": now.timestamp() - started,
        "task_seconds": seconds,
        "cost": cost(seconds, settings.train.price_per_hour)
        | {"currency": settings.plan.costs.currency if settings.plan.costs else "EUR"},
        "dlcycle": __version__,
        "libraries": library_versions(),
        "settings": settings.model_dump(mode="json"),
        "logs": f"{flow_command()} logs {current.run_id}/{log_step}",
        "card": f"{flow_command()} card view {current.run_id}/{card_step}",
        "resume": resume_command(),
    }


def _task_seconds(run: Run, now: datetime) -> float:
    """Seconds of all tasks of a run together, those that still run counted until now."""
    # Metaflow gives local times without a zone.
    times = [(task.created_at, task.finished_at) for step in run for task in step]
    return sum((finished.timestamp() if finished else now.timestamp()) - begun.timestamp() for begun, finished in times)


def _this_run() -> Run | None:
    """The running run; None in a task that runs apart from a metadata service."""
    try:
        return Run(f"{current.flow_name}/{current.run_id}", _namespace_check=False)
    except MetaflowNotFound:
        return None
