"""How a command of a flow ends: what failed, where its log is and what to type next, as the last lines.

A task tells its own failure as long as it can (`failures`). One that is killed cannot, and what Metaflow writes before
and after a step is outside of the step's code: both are told here, by the process that the user started.
"""

import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from metaflow import FlowSpec, Task, current, parameters
from metaflow._vendor import click  # the click that Metaflow's commands are made of; there is no public name for it
from metaflow.exception import MetaflowException
from metaflow.metaflow_config import DATASTORE_SYSROOT_S3, DEFAULT_DATASTORE

from dlcycle.flowkit import failures, room, storage_watch, watchdog

_RUN_COMMANDS = ("run", "resume")
_MESSAGES = {kind.__name__ for kind in (failures.StepFailure, failures.StepInterruption, room.StorageFailure)}
_command: dict[str, str] = {}
"""The name of the command that this process carries out, once it is known."""


def run_command(flow: FlowSpec) -> None:
    """Carry out the command line of a flow, as Metaflow does, and tell how it ended.

    Raises:
        SystemExit: always, with the command's exit code.
    """
    if root := _bucket(sys.argv):
        storage_watch.watch_storage(root)
    try:
        with parameters.flow_context(type(flow)):
            # The options of the flow become part of the command line when this module is imported.
            from metaflow import cli

            cli.main(flow, handle_exceptions=False)
    except SystemExit as end:
        if any(isinstance(error, KeyboardInterrupt) for error in _chain(end)):
            _say("\n".join(_ending(None)))
        raise
    except Exception as failure:
        _tell(failure)
        sys.exit(1)


def begin_command() -> None:
    """Note the command, once Metaflow knows where it stores, and make sure that there is room to store.

    Raises:
        StorageFailure: a folder has no room, or is not to be written to.
    """
    context = click.get_current_context(silent=True)
    if context is None:
        return
    name = (
        context.info_name if context.info_name in _RUN_COMMANDS else (getattr(context, "saved_args", None) or [""])[0]
    )
    if name not in (*_RUN_COMMANDS, "step"):
        return
    store = context.obj.datastore_impl
    _command["name"] = name
    if name in _RUN_COMMANDS:
        failures.note_launch({"with": list(context.params["decospecs"])})
        signal.signal(signal.SIGTERM, _interrupt)
    room.prove_room(store.datastore_root if store.TYPE == "local" else None)


def _interrupt(number: int, frame: Any) -> None:
    """End a run that gets SIGTERM as Ctrl-C would; without this its tasks go on, and nobody hears them."""
    # A shell starts commands in the background with Ctrl-C ignored, by their tasks too.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    for process, parent in watchdog.parents_of_all().items():
        if parent == os.getpid():
            watchdog.send(process, signal.SIGTERM if ignored else signal.SIGINT)
    raise KeyboardInterrupt


def _tell(failure: Exception) -> None:
    """Print an exception as Metaflow does, or what it means where that is known, and then how the command ended."""
    if _lacks_origin(failure):
        run = _option(sys.argv, "origin-run-id", "that was started last")
        _say(
            f"Nothing is recorded of the run {run}: it was stopped before its first step was, or it is not in this "
            f"datastore. Start it again: {failures.flow_command()} run, with the options that it had"
        )
        return
    if message := room.explain_cause(failure):
        failure = room.StorageFailure(message)
    from metaflow import cli

    if isinstance(failure, MetaflowException):
        cli.print_metaflow_exception(failure)
    else:
        cli.print_unknown_exception(failure)
    if ending := "\n".join(_ending(failure)):
        _say(ending)


def _ending(failure: Exception | None) -> Iterator[str]:
    """Yield the last lines of a run that ended early: what failed, its log and the command that goes on.

    Args:
        failure: what ended it; None for Ctrl-C.
    """
    run = current.get("run_id")
    if run is None or _command.get("name") not in _RUN_COMMANDS:
        return
    command, frames = failures.flow_command(), _frames(failure)
    if any(frame.f_code.co_name == "persist_constants" for frame in frames):
        typed = " ".join(map(shlex.quote, sys.argv[1:]))
        yield f"Nothing of run {run} was recorded. When that is mended, start it again: {command} {typed}"
        return
    step, task, code = _failed_task(failure, frames)
    if failure is None:
        yield f"Run {run} was interrupted."
    elif step is None:
        yield f"Run {run} failed."
    else:
        reason = _reason(f"{current.flow_name}/{run}/{step}/{task}", code)
        yield f"Run {run} failed in step {step}, task {task}: {reason}"
        yield f"  Its log:  {command} logs {run}/{step}/{task}"
    yield f"  Go on:    {failures.resume_command()}"


def _reason(pathspec: str, code: int | None) -> str:
    """Say in a line why a task failed."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        outside = -code in (signal.SIGKILL, signal.SIGTERM)
        guess = ". If no line above says why, its machine ran out of memory or someone ended it" if outside else ""
        return f"ended by {name}{guess}"
    untold = f"it ended with exit code {code}; what it said is above and in its log"
    if storage_watch.is_silent():
        return untold
    try:
        told = Task(pathspec, _namespace_check=False).exception
    except MetaflowException:
        told = None
    if told is None:
        return untold
    first, kind = str(told.exception or told).partition("\n")[0], told.type.rpartition(".")[2]
    return first if kind in _MESSAGES else f"{kind}: {first}"


def _failed_task(failure: Exception | None, frames: list[Any]) -> tuple[str | None, str | None, int | None]:
    """Step, number and exit code of the task that ended the run, as far as they are known."""
    for frame in frames:
        # The exception names the task alone; where it is raised its exit code is known too.
        if {"worker", "returncode"} <= frame.f_locals.keys():
            task = frame.f_locals["worker"].task
            return task.step, task.task_id, frame.f_locals["returncode"]
    named = re.search(r"Step \*(\w+)\* \(task-id (\w+)\) failed", str(failure))
    return (named[1], named[2], None) if named else (None, None, None)


def _lacks_origin(failure: Exception) -> bool:
    """Whether `resume` found nothing of the run that it should go on with."""
    if "resume" not in sys.argv:
        return False
    # Metaflow takes it for granted that the project file of that run can be read.
    unread = isinstance(failure, UnboundLocalError) and "param_ds" in str(failure)
    return unread or (isinstance(failure, MetaflowException) and "could not find run id" in str(failure))


def _bucket(arguments: list[str]) -> str | None:
    """Root of the datastore of a command line if that is S3. The command reads from it before it calls any of ours."""
    if _option(arguments, "datastore", DEFAULT_DATASTORE) != "s3":
        return None
    return _option(arguments, "datastore-root", DATASTORE_SYSROOT_S3) or None


def _option(arguments: list[str], name: str, default: str) -> str:
    for argument, following in zip(arguments, [*arguments[1:], default], strict=True):
        option, _, value = argument.partition("=")
        if option == f"--{name}":
            return value or following
    return default


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _frames(failure: Exception | None) -> list[Any]:
    return [frame for error in _chain(failure) for frame, _ in traceback.walk_tb(error.__traceback__)]


def _say(text: str) -> None:
    if text:
        click.secho(text, err=True, bold=True)
