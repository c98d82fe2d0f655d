"""Gangs of workers as Metaflow starts them: each is a task of its own, in a step with @parallel.

On a machine Metaflow starts the others as processes of the first; on Kubernetes a JobSet starts them as pods together.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaflow import UserStepDecorator, current

from dlcycle.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from dlcycle.train.gang import Gang

PORT = 29400
"""Where workers on several machines find the first, unless @kubernetes(port=) says otherwise."""


class started_by_this_python(UserStepDecorator):  # noqa: N801 - used as a decorator
    """Make the command `python`, by which Metaflow starts the other workers on this machine, this very Python.

    Otherwise they have none of its packages, unless its virtual environment is activated.
    """

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:
        """Put the folder of this Python before the others."""
        if not _on_one_machine():
            return
        folder = os.path.dirname(sys.executable)
        if shutil.which("python", path=folder) is None:
            message = f"Metaflow starts the workers by the command `python`, and {folder} has none"
            raise TrainingError(f"{message}; link it: ln -s {Path(sys.executable).name} {folder}/python")
        os.environ["PATH"] = os.pathsep.join([folder, *os.environ.get("PATH", "").split(os.pathsep)])


def refuse_workers(workers: int) -> None:
    """Name the flow that trains with several workers.

    Raises:
        ConfigError: there are several.
    """
    if workers > 1:
        raise ConfigError(
            f"train.workers = {workers} needs the flow that starts so many: run `python flows/gang_flow.py` with the "
            "same arguments, or build on dlcycle.flows.gang_flow.GangFlow; or set train.workers = 1"
        )


@contextmanager
def join() -> "Iterator[Gang | None]":
    """Be one of the workers of this step; None in a step that has but one.

    Raises:
        InterruptionError: a worker was lost or stopped.
        TrainingError: a worker failed.
    """
    about = getattr(current, "parallel", None)
    if about is None or about.num_nodes == 1:
        yield None
        return
    from dlcycle.train.gang import Seat, join_gang

    with join_gang(Seat(about.node_index, about.num_nodes, _meeting(about))) as workers:
        yield workers


def first_worker(inputs: Any) -> Any:
    """The task, of those that a gang ran, whose worker was the first."""
    return next(task for task in inputs if task.worker == 0)


def _meeting(about: Any) -> str:
    if not _on_one_machine():
        port = os.environ.get("MF_MASTER_PORT", "")
        return f"tcp://{about.main_ip}:{port if port.isdigit() else PORT}"
    attempt = f"{current.flow_name}/{current.run_id}/{current.step_name}/{about.control_task_id}/{current.retry_count}"
    name = hashlib.sha256(f"{os.getcwd()} {current.username} {attempt}".encode()).hexdigest()[:20]
    return f"file://{tempfile.gettempdir()}/dlcycle-gang-{name}"


def _on_one_machine() -> bool:
    """Whether Metaflow starts the workers as processes of this machine; it decides in the same way."""
    return os.environ.get("METAFLOW_RUNTIME_ENVIRONMENT", "local") == "local"
