"""What a task notes of its memory, for the attempt that follows one which the machine has killed."""

import logging
from collections.abc import Callable
from typing import Any

from metaflow import current
from metaflow.exception import MetaflowException

logger = logging.getLogger(__name__)

_NAME = "memory.json"


class TaskMemory:
    """Keeps a note beside what Metaflow itself notes of the attempts of a task, in the run's datastore.

    It is there at once and on any machine; artifacts are stored only at the end of a task, which a killed one has not.
    """

    def __init__(self, flow: Any, *, say: Callable[[str], None]) -> None:
        """Use the running task's part of the datastore.

        Args:
            flow: the running flow.
            say: takes a line for the user.
        """
        # Metaflow's own decorators get the datastore as an argument; a step has no public way to it.
        self._store, self.say = flow._datastore.parent_datastore, say

    def earlier(self) -> dict[str, Any] | None:
        """The last note of the attempt before this one; None if there is none."""
        if not current.retry_count:
            return None
        try:
            before = self._attempt(current.retry_count - 1, mode="r")
            note: dict[str, Any] | None = before.load_metadata([_NAME])[_NAME] if before.has_metadata(_NAME) else None
        except (MetaflowException, OSError, ValueError) as error:
            self.say(f"what the attempt before this one used of the memory is not known: {error}")
            return None
        return note

    def write(self, note: dict[str, Any]) -> None:
        """Replace this attempt's note; one that cannot be written is passed over."""
        try:
            self._attempt(current.retry_count, mode="w").save_metadata({_NAME: note})
        except (MetaflowException, OSError) as error:
            logger.warning("The use of memory could not be noted: %s", error)

    def _attempt(self, number: int, *, mode: str) -> Any:
        """What the datastore has of an attempt of this task."""
        task = str(current.pathspec).split("/")[1:]
        return self._store.get_task_datastore(*task, attempt=number, mode=mode, allow_not_done=True)
