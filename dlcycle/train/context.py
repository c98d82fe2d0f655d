"""What surrounds a training: who hears of it, what keeps its state, and who works on it too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dlcycle.train.checkpoint import CheckpointStore
from dlcycle.train.gang import Gang
from dlcycle.train.memory import MemoryNotes

State = dict[str, Any]


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """What a training calls and uses outside of itself; nothing by default."""

    on_epoch: Callable[[State], None] | None = None
    """Called after each epoch with plain data: epoch, epochs, batch, batches, history, best_epoch, seconds,
    seconds_left (None while unknown)."""
    on_step: Callable[[State], None] | None = None
    """The same during an epoch, at most every 2 seconds."""
    keep: Callable[[bytes], str] | None = None
    """Called when training fails with the last finite weights as safetensors; stores them and says where."""
    checkpoints: CheckpointStore | None = None
    """Keeps the state of the training, and has that of an earlier attempt, which is continued. Without it nothing is
    written."""
    memory_notes: MemoryNotes | None = None
    """Tell an attempt that follows one which was killed how much memory that one used."""
    gang: Gang | None = None
    """The workers of which this is one, each with the same arguments. All get the same result but for times; the first
    one alone calls `on_epoch` and `on_step` and writes checkpoints."""

    @property
    def workers(self) -> int:
        """That train together."""
        return 1 if self.gang is None else self.gang.size

    @property
    def first(self) -> bool:
        """Whether this worker reports and writes."""
        return self.gang is None or self.gang.first


ALONE = TrainingContext()
"""Nobody hears of the training, and nothing is kept."""
