"""What a training does when memory runs out: batches in pieces, and errors that say what to lower."""

import gc
import logging
import math
import resource
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import torch

from dlcycle.config import TrainSection
from dlcycle.errors import TrainingError
from dlcycle.train.batches import Batch
from dlcycle.train.lineage import memory_limit_mb, peak_memory_mb, process_status_mb

Anything = TypeVar("Anything")

logger = logging.getLogger(__name__)

GROWTH = 1.1
"""Batches and peaks that are larger by this factor than those noted are noted again."""
NOTE_SECONDS = 30.0
"""Time after which the peak is looked at though no batch was larger."""
LIKELY_SHARE = 0.5
"""Share of the memory from which on running out of it is a likely end: the batch that was too much is not measured."""
_MEGABYTE = 1024 * 1024
_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "could not create a primitive",
)
"""What torch's allocators and CUDA's libraries write where they raise a bare RuntimeError."""


class MemoryNotes(Protocol):
    """What keeps a note on the memory of a training longer than its process lives."""

    say: Callable[[str], None]
    """Takes a line for the user."""

    def earlier(self) -> dict[str, Any] | None:
        """The last note of the attempt before this one; None for the first attempt."""

    def write(self, note: dict[str, Any]) -> None:
        """Replace this attempt's note."""


@dataclass(frozen=True)
class MemoryNote:
    """What is known of a training's memory should it be killed now."""

    rows: int
    """Of the largest batch that was begun; 0 before the first."""
    longest: int
    """Of its rows, in tokens."""
    at_once: int | None
    """Rows computed at once; None for whole batches."""
    peak_mb: float
    limit_mb: float | None
    kernel_kills: int | None
    """Processes that the kernel has ended for lack of memory since the machine was started."""
    boot: str
    """Identity of that start."""
    ended: bool = False
    """Whether the training came to an end of its own, be it an error."""


class MicroBatches:
    """Cuts batches into the pieces that are computed at once, and makes them smaller where memory runs out.

    As a context manager around a training it reads the note of an attempt that was killed, keeps the note of this one,
    and turns errors of a full memory into a TrainingError.
    """

    def __init__(self, settings: TrainSection, *, notes: MemoryNotes | None = None) -> None:
        """Start with the rows of the settings.

        Args:
            settings: `micro_batch` and `shrink_micro_batch`, and those that messages name.
            notes: keep what the next attempt should know if this one is killed.
        """
        self.settings, self.notes = settings, notes
        self.rows = settings.micro_batch
        self.say: Callable[[str], None] = logger.warning if notes is None else notes.say
        self.batch, self.largest = (0, 0), (0, 0)
        self.place = "the start"
        self._noted_peak, self._noted_at = 0.0, 0.0

    def __enter__(self) -> Self:
        """Look at how the attempt before ended, and begin the note of this one."""
        if self.notes is not None:
            earlier = self.notes.earlier()
            if earlier is not None and not earlier["ended"]:
                self._follow(MemoryNote(**earlier))
            self._note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the note; say what to do about a memory that was full outside of the batches' computation."""
        if self.notes is not None:
            self._note(ended=True)
        if error is not None and is_out_of_memory(error):
            traceback.clear_frames(trace)
            raise TrainingError(self._message(error)) from error

    def begin(self, batch: Batch, *, place: str) -> None:
        """Know the batch that comes, for messages and for the note.

        Args:
            batch: the batch.
            place: such as `epoch 1, batch 3`.
        """
        self.batch, self.place = batch_size(batch), place
        if self.notes is None:
            return
        if math.prod(self.batch) > GROWTH * math.prod(self.largest):
            self.largest = self.batch
            self._note()
        elif time.monotonic() - self._noted_at >= NOTE_SECONDS:
            self._noted_at = time.monotonic()
            if peak_memory_mb() > GROWTH * self._noted_peak:
                self._note()

    def split(self, batch: Batch, *, workers: int = 1) -> list[Batch]:
        """The pieces of a batch that are computed one after the other; the batch itself if it is computed at once.

        Args:
            batch: N rows, or a worker's share of them.
            workers: that share it. All get equally many pieces, because sharded weights are gathered for each: where
                rows are missing, the first ones are a row whose weight and share are 0.
        """
        if self.rows is None:
            return [batch]
        most = len(batch.labels) if batch.share is None else -(-batch.share.rows // workers)
        count = -(-most // self.rows)
        if count == 1:
            return [batch]
        inputs = zip(*(tensor.split(self.rows) for tensor in batch.inputs), strict=True)
        labels, numbers = batch.labels.split(self.rows), batch.rows.split(self.rows)
        weights = [None] * len(labels) if batch.weights is None else batch.weights.split(self.rows)
        own = [Batch(*piece, batch.share) for piece in zip(inputs, labels, numbers, weights, strict=True)]
        return [*(_weightless_row(batch) for _ in range(count - len(own))), *own]

    def compute(self, function: Callable[[], Anything], *, again: Callable[[], None], alone: bool = True) -> Anything:
        """Call a function, and once more with smaller pieces each time that memory runs out, if that is allowed.

        Args:
            function: begins a batch and computes the pieces of it that `split` gives.
            again: puts back what a call that failed has changed.
            alone: whether no other process waits for what the function computes, so that it can be repeated.

        Raises:
            TrainingError: memory ran out, and smaller pieces are not allowed or there are none.
        """
        while True:
            try:
                return function()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink_or_raise(error, alone=alone)
            # Outside of the except clause, where the failed call's tensors are no longer held by its error.
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            again()

    def agree(self, rows: Iterable[int | None]) -> None:
        """Go on with as few rows at once as a checkpoint or another worker has; None for whole batches."""
        self.rows = min((number for number in (self.rows, *rows) if number is not None), default=None)

    def _shrink_or_raise(self, error: Exception, *, alone: bool) -> None:
        at_once = min(self.rows or self.batch[0], self.batch[0])
        if at_once <= 1 or not alone or not self.settings.shrink_micro_batch:
            # The keeping of the last weights, which follows, needs the memory of what failed.
            traceback.clear_frames(error.__traceback__)
            raise TrainingError(self._message(error, at_once=at_once)) from error
        self.rows = half(at_once)
        self.say(
            f"out of memory at {self._where(at_once)}: {_used(error)}; it is repeated with {self.rows} rows at once, "
            "to the same gradient (train.shrink_micro_batch)"
        )
        if self.notes is not None:
            self._note()

    def _follow(self, note: MemoryNote) -> None:
        """Say how the attempt before ended and, if it was likely memory, compute fewer rows at once where allowed."""
        kills = kernel_kills()
        more = (kills or 0) - (note.kernel_kills or 0) if note.boot == boot() and note.kernel_kills is not None else 0
        likely = more > 0 or (note.limit_mb is not None and note.peak_mb >= LIKELY_SHARE * note.limit_mb)
        said = (
            "the attempt before was ended from outside (SIGKILL), as a machine does that runs out of memory: it had "
            f"used {_of(note.peak_mb, note.limit_mb)}"
        )
        if note.rows:
            said += f", its largest batch had {note.rows} rows of up to {note.longest} tokens"
        if more > 0:
            said += f"; processes that the kernel of this machine has ended for lack of memory since then: {more}"
        at_once = min(note.at_once or self.settings.batch_size, note.rows or self.settings.batch_size)
        if not likely:
            doubt = "" if note.limit_mb is None else ", which speaks against it"
            self.say(f"{said}{doubt}; if it was a lack of memory, {self._cures(at_once)}")
        elif self.settings.shrink_micro_batch and at_once > 1:
            self.rows = half(at_once)
            self.say(f"{said}; this attempt computes {self.rows} rows at once (train.shrink_micro_batch)")
        else:
            self.say(f"{said}; {self._cures(at_once)}")

    def _message(self, error: BaseException, *, at_once: int | None = None) -> str:
        return f"out of memory at {self._where(at_once)}: {_used(error)}; {self._cures(at_once, gpu=_on_gpu(error))}"

    def _where(self, at_once: int | None) -> str:
        rows, longest = self.batch
        pieces = "" if at_once in (None, rows) else f", {at_once} of them at once"
        return f"{self.place} ({rows} rows of up to {longest} tokens{pieces})" if rows else self.place

    def _cures(self, at_once: int | None, *, gpu: bool = False) -> str:
        """The settings to change, the one that costs least first."""
        settings = self.settings
        rows = min(self.rows or settings.batch_size, settings.batch_size) if at_once is None else at_once
        cures = [
            f"lower train.batch_size (it is {settings.batch_size})",
            "max_tokens or the sizes of the candidate",
            "take a GPU with more memory" if gpu else f"raise train.memory (it is {settings.memory} MB)",
        ]
        if rows > 1:
            cures.insert(
                0, f"set train.micro_batch = {half(rows)} (rows computed at once; the gradient stays the same)"
            )
        able = not settings.shrink_micro_batch and settings.workers == 1 and rows > 1
        itself = "; train.shrink_micro_batch = true does so by itself" if able else ""
        return f"{', or '.join(cures)}{itself}"

    def _note(self, *, ended: bool = False) -> None:
        assert self.notes is not None
        self._noted_peak, self._noted_at = peak_memory_mb(), time.monotonic()
        rows, longest = self.largest
        note = MemoryNote(
            rows, longest, self.rows, self._noted_peak, memory_limit_mb(), kernel_kills(), boot(), ended=ended
        )
        self.notes.write(asdict(note))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be allocated, on the CPU or on a GPU.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def batch_size(batch: Batch) -> tuple[int, int]:
    """Rows of a batch, and the length of the longest as it is padded; 1 where rows have no length."""
    inputs = batch.inputs[0]
    return len(batch.labels), inputs.shape[1] if inputs.ndim > 1 else 1


def _weightless_row(batch: Batch) -> Batch:
    assert batch.share is not None
    inputs = tuple(tensor[:1] for tensor in batch.inputs)
    weight = torch.zeros(1, device=batch.labels.device)
    return Batch(inputs, batch.labels[:1], batch.rows[:1], weight, batch.share._replace(factor=0.0))


def half(rows: int) -> int:
    """Half as many rows, at least 1.

    >>> [half(rows) for rows in (64, 3, 2, 1)]
    [32, 2, 1, 1]
    """
    return -(-rows // 2)


def kernel_kills() -> int | None:
    """Processes that Linux has ended for lack of memory since it was started, in all containers; None if unknown."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def boot() -> str:
    """Identity of the machine's last start; empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _on_gpu(error: BaseException) -> bool:
    return (
        torch.cuda.is_initialized() and "DefaultCPUAllocator" not in str(error) and not isinstance(error, MemoryError)
    )


def _used(error: BaseException) -> str:
    """What was used of how much, of the memory that an error is about."""
    if _on_gpu(error):
        peak, limit = torch.cuda.max_memory_reserved() / _MEGABYTE, torch.cuda.mem_get_info()[1] / _MEGABYTE
        return f"{_of(peak, limit)} of GPU memory were used"
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        return f"{_of(process_status_mb('VmPeak'), address_space / _MEGABYTE)} of address space (ulimit -v) were used"
    return f"{_of(peak_memory_mb(), memory_limit_mb())} were used"


def _of(used_mb: float | None, limit_mb: float | None) -> str:
    used, limit = ("an unknown number" if value is None else f"{value:.0f}" for value in (used_mb, limit_mb))
    return f"{used} of {limit} MB"
