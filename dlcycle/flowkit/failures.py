"""What a user sees when a step fails: the message and the command that resumes, not a traceback."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from metaflow import Task, UserStepDecorator, current
from metaflow.exception import MetaflowException, MetaflowNotFound
from metaflow.plugins.timeout_decorator import TimeoutException
from metaflow.util import get_username

from dlcycle.errors import DlcycleError, InterruptionError, SourceError
from dlcycle.flowkit import live, room, time_limit

_launch: dict[str, Any] = {}
"""What the machine that started the run noted."""


class StepFailure(MetaflowException):
    """A failed step, told in the words of the DlcycleError behind it. Metaflow prints its message alone."""

    headline = "The run stopped"


class StepInterruption(MetaflowException):
    """A step that was stopped from outside: nothing is wrong with it, and an attempt that follows goes on with it."""

    headline = "The run was interrupted"


class explain_failures(UserStepDecorator):  # noqa: N801 - used as a decorator
    """Turn errors that a user can act on into messages, show them on the step's card, and do not repeat them.

    Metaflow's @retry cannot tell a machine that went away from a misspelt column. An attempt that follows one which
    ended in a DlcycleError fails at once with the same message: nothing that the user could mend has changed. One that
    follows an interruption works.
    """

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:
        """Repeat the message of the attempt before, if it was one that only the user can mend; start the time limit."""
        note_launch(flow.launch)
        if current.retry_count and (message := _last_message()):
            raise StepFailure(message)
        time_limit.start_watchdog(getattr(flow, step_name))

    def post_step(self, step_name: str, flow: Any, exception: Exception | None = None) -> tuple[Exception | None, None]:
        """Replace an exception that is known by its message with what to do next; leave others as they are."""
        time_limit.stop_watchdog()
        if exception is None:
            return None, None
        resume, logs = resume_command(), f"{flow_command()} logs {current.run_id}/{current.step_name}"
        told = _told(exception, getattr(flow, step_name))
        live.show_failure(
            exception if told is None or isinstance(exception, DlcycleError) else told, resume=resume, logs=logs
        )
        if told is None:
            return exception, None
        hints = f"To go on from this step with the same settings: {resume}\nThe log of this step: {logs}"
        return type(told)(f"{told.message}\n{hints}"), None


def _told(exception: Exception, step_function: Any) -> MetaflowException | None:
    """What a user is told of an exception; None for one that only its traceback explains."""
    if isinstance(exception, DlcycleError):
        kind = StepInterruption if isinstance(exception, InterruptionError) else StepFailure
        return kind(str(_as_the_user_named_it(exception)))
    if isinstance(exception, TimeoutException):
        return StepInterruption(time_limit.explain(exception, step_function))
    message = room.explain_cause(exception)
    return room.StorageFailure(message) if message else None


def _as_the_user_named_it(exception: DlcycleError) -> DlcycleError:
    """Name uploaded files by their paths, and say of a missing one that it may be on another machine."""
    message = str(exception)
    for file in _launch.get("uploaded", []):
        message = message.replace(file["stored"], file["uri"])
    if isinstance(exception, SourceError) and "no such file" in message and on_other_machine():
        message += (
            ". This step ran on a machine that sees no file of yours: start a new run with --upload, which puts the "
            "file into the datastore, or name an s3:// object or https://"
        )
    return type(exception)(message)


def _last_message() -> str | None:
    """What the attempt before this one told the user; None if it ended otherwise or nothing is known of it."""
    try:
        failure = Task(current.pathspec, attempt=current.retry_count - 1).exception
    except MetaflowNotFound:
        return None
    return str(failure.exception) if failure and failure.type.endswith(StepFailure.__name__) else None


def flow_command() -> str:
    """The command that started this flow, up to its subcommand, such as `python flows/train_flow.py`."""
    if on_other_machine() and "command" in _launch:
        return str(_launch["command"])
    # The link that a virtual environment calls python is not resolved: its target knows no packages.
    nearby = os.path.relpath(sys.executable)
    python = nearby if len(nearby) < len(sys.executable) else sys.executable
    if shutil.which("python") == sys.executable:
        python = "python"
    # Metaflow finds no user name in a bare container, nor takes root for one, unless it is told.
    known = any(os.environ.get(name, "root") != "root" for name in ("SUDO_USER", "USERNAME", "USER"))
    return f"{'' if known else f'METAFLOW_USER={get_username()} '}{python} {sys.argv[0]}"


def resume_command() -> str:
    """The command that repeats the failed steps of this run and all that follow."""
    return f"{flow_command()} resume{resume_options()} --origin-run-id {current.run_id}"


def resume_options() -> str:
    """What `resume` needs to send the steps where this run sent them, with a blank before it."""
    return "".join(f" --with {shlex.quote(decorator)}" for decorator in _launch.get("with", []))


def note_launch(launch: Mapping[str, Any]) -> None:
    """Note what the machine that started the run knew of it, such as its command and what `--with` added."""
    _launch.update(launch)


def on_other_machine() -> bool:
    """Whether this task runs apart from the machine that started the run, from its code package."""
    return "METAFLOW_EXTRACTED_ROOT" in os.environ
