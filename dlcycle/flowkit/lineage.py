"""Where a result came from: everything needed to repeat a run, gathered while it runs."""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaflow import Run, current

from dlcycle._version import __version__
from dlcycle.flowkit.failures import flow_command, resume_command

if TYPE_CHECKING:
    from dlcycle.config import Project


def tag_run(*tags: str) -> None:
    """Put tags on the running run, so that it can be found by them."""
    Run(f"{current.flow_name}/{current.run_id}", _namespace_check=False).add_tags(list(tags))


def identify_experiment(settings: "Project", *, data_fingerprint: str) -> str:
    """The hash of all that decides the result: rows, settings, libraries, the code of dlcycle and of the flow's file."""
    from dlcycle.train.experiment import code_digest, experiment_id, library_versions

    plain = settings.model_dump(mode="json")
    flow_file = hashlib.sha256(Path(sys.argv[0]).read_bytes()).hexdigest()
    return experiment_id(
        data_fingerprint=data_fingerprint,
        split=plain["split"],
        settings=plain,
        libraries=library_versions(),
        code=f"{code_digest()} {flow_file}",
    )


def code_state() -> dict[str, Any]:
    """The git commit of the flow's file, or why there is none."""
    from dlcycle.train.lineage import git_state

    return git_state(Path(sys.argv[0]).resolve().parent)


def describe_run(settings: "Project") -> dict[str, Any]:
    """What is known about the run as a whole, as plain data: times, cost, versions, settings and commands."""
    from dlcycle.train.experiment import library_versions
    from dlcycle.train.lineage import cost

    run = Run(f"{current.flow_name}/{current.run_id}", _namespace_check=False)
    now = datetime.now(UTC)
    started = run.created_at.astimezone(UTC)
    seconds = sum(((task.finished_at or datetime.now()) - task.created_at).total_seconds() for s in run for task in s)
    return {
        "run": run.pathspec,
        "user": current.username,
        "origin_run": current.origin_run_id,
        "started": started.isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "seconds": (now - started).total_seconds(),
        "task_seconds": seconds,
        "cost": {
            "amount": cost(seconds, settings.train.price_per_hour),
            "currency": settings.plan.costs.currency if settings.plan.costs else "EUR",
            "price_per_hour": settings.train.price_per_hour,
        },
        "dlcycle": __version__,
        "libraries": library_versions(),
        "settings": settings.model_dump(mode="json"),
        "logs": f"{flow_command()} logs {current.run_id}/train",
        "card": f"{flow_command()} card view {current.run_id}/evaluate",
        "resume": resume_command(),
    }
