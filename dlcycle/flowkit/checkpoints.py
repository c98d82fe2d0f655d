"""Checkpoints of a training step in the run's datastore: for the next attempt of its task, and for `resume`."""

import hashlib
import logging
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaflow import (  # type: ignore[attr-defined]
    Run,
    Task,
    checkpoint,
    current,
    delete_model,
    get_namespace,
    namespace,
)
from metaflow.exception import MetaflowException
from metaflow_extensions.obcheckpoint.plugins.machine_learning_utilities.card_utils import CardDecoratorInjector

if TYPE_CHECKING:
    from dlcycle.train.checkpoint import Place

logger = logging.getLogger(__name__)

NAME = "training"
KEPT = 2
"""Checkpoints of a task that stay in the datastore."""


def checkpointed(step_function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a training step with @checkpoint, for TaskStore: it knows no `resume`, so it loads nothing itself."""
    # 0.2.14 attaches an empty card with show_card=False too, unless it believes to have looked already.
    CardDecoratorInjector._set_first_time_init_cached_value(step_function.__name__, "task_checkpoints", False)
    decorated: Callable[..., Any] = checkpoint(load_policy="none", show_card=False)(step_function)
    return decorated


class TaskStore:
    """Keeps checkpoints by `@checkpoint` of metaflow-checkpoint, on local disk, S3, Azure or Google Cloud alike.

    Its own load policies do not fit: "fresh" knows no `resume`, "eager" takes those of any earlier run. Here a task
    sees its own earlier attempts and, on `resume`, the same branch of the same step of the run that is resumed.
    """

    def __init__(self, *, branch: str, identity: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Use the running task's part of the datastore.

        Args:
            branch: tells the tasks of a foreach apart, equal in a run and in those that resume it.
            identity: what decides the result of the training and is known outside of it.
            say: takes a line for the user.
        """
        self.branch, self.identity, self.say = branch, identity, say
        self._written: list[dict[str, Any]] = []

    @property
    def folder(self) -> Path:
        """The local folder of @checkpoint, which is another after each load."""
        return Path(_checkpoint().directory)

    @property
    def destinations(self) -> list[Path]:
        """The datastore, where it is a local folder."""
        about = Task(current.pathspec).metadata_dict
        return [Path(about["ds-root"])] if about.get("ds-type") == "local" else []

    def earlier(self) -> Generator[Path, None, None]:
        """Load the checkpoints of earlier attempts, the newest first, then those of the run that is resumed."""
        try:
            for reference in self._references():
                try:
                    _checkpoint().load(reference)
                except (MetaflowException, OSError) as error:
                    self.say(f"a checkpoint of {reference['pathspec']} is not used: it cannot be loaded: {error}")
                else:
                    yield from self.folder.glob("*.ckpt")
        finally:
            self._empty()

    def keep(self, path: Path, *, place: "Place") -> None:
        """Copy a checkpoint and its digest to the datastore, and delete this task's older ones there.

        Raises:
            OSError: the datastore does not take it.
        """
        about = {"branch": self.branch, "place": str(place), "steps": place.steps}
        try:
            self._written.append(_checkpoint().save(name=NAME, metadata=about, latest=False))
            if len(self._written) >= KEPT:
                kept = {reference["key"] for reference in self._written[-KEPT:]}
                for reference in _checkpoint().list(name=NAME):
                    if reference["key"] not in kept:
                        delete_model(reference)
        except MetaflowException as error:
            raise OSError(str(error)) from error
        finally:
            self._empty()

    def _empty(self) -> None:
        """Remove what was copied or read from the local folder."""
        for path in self.folder.iterdir():
            path.unlink()

    def _references(self) -> Iterator[dict[str, Any]]:
        """Metadata of the checkpoints of this training, task by task, the newest first."""
        if current.retry_count:
            yield from self._newest_first(_checkpoint().list(name=NAME))
        origin: str | None = current.origin_run_id
        seen: set[str] = set()
        while origin and origin not in seen:
            seen.add(origin)
            with _every_namespace():
                found, origin = self._of_run(origin)
            yield from self._newest_first(found)

    def _newest_first(self, references: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # The numbers of versions begin anew in each attempt; the times do not.
        own = [reference for reference in references if reference["metadata"].get("branch") == self.branch]
        return sorted(own, key=lambda reference: reference["created_on"], reverse=True)

    def _of_run(self, run_id: str) -> tuple[list[dict[str, Any]], str | None]:
        """Checkpoints of this step of a run, and the run that it resumed itself."""
        found: list[dict[str, Any]] = []
        origin = None
        try:
            for task in Run(f"{current.flow_name}/{run_id}")[str(current.step_name)]:
                origin = task.metadata_dict.get("origin-run-id", origin)
                for attempt in range(task.current_attempt + 1):
                    found += _of_attempt(task.pathspec, attempt)
        except (MetaflowException, KeyError) as error:
            self.say(f"checkpoints of the run {run_id} cannot be looked for: {error}")
        return found, None if origin in (None, "None") else origin


def _checkpoint() -> Any:
    """What @checkpoint gives the running task."""
    return current.checkpoint  # type: ignore[attr-defined]


def _of_attempt(pathspec: str, attempt: int) -> list[dict[str, Any]]:
    """Checkpoints that one attempt of a task left; none of a task that was stopped before it had begun."""
    try:
        return _checkpoint().list(name=NAME, task=Task(pathspec, attempt=attempt))
    except MetaflowException as error:
        logger.info("No checkpoints are known of %s, attempt %d: %s", pathspec, attempt, error)
        return []


def task_store(
    *, candidate: str, seed: int, identity: Mapping[str, Any], say: Callable[[str], None]
) -> TaskStore | None:
    """The store of the running task; None where its step has no @checkpoint, as when it was overridden.

    Args:
        candidate: name of the candidate being trained.
        seed: its seed.
        identity: what decides the result and only the flow knows; the code is added.
        say: takes a line for the terminal.
    """
    from dlcycle.train.experiment import code_digest

    if not hasattr(current, "checkpoint"):
        logger.warning("This step has no @checkpoint: a training that is cut off begins anew.")
        return None
    branch = f"{candidate}, seed {seed}"
    flow_file = hashlib.sha256(Path(sys.argv[0]).read_bytes()).hexdigest()
    return TaskStore(
        branch=branch,
        identity={**identity, "code": f"{code_digest()} {flow_file}"},
        say=lambda line: say(f"{branch}: {line}"),
    )


def remove_checkpoints(inputs: Iterable[Any]) -> None:
    """Delete, in the step that joins trained tasks, their checkpoints: with the models stored they serve no more."""
    for task in inputs:
        for reference in getattr(task, "_task_checkpoints", None) or []:
            delete_model(reference)


@contextmanager
def _every_namespace() -> Iterator[None]:
    """Look into the runs of others too: a colleague's run can be resumed."""
    before = get_namespace()
    namespace(None)
    try:
        yield
    finally:
        namespace(before)
