"""A gang: several workers that train one network, each on its share of every batch."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import torch
import torch.distributed as distributed
from torch.distributed import DistError, FileStore, PrefixStore, Store, TCPStore

from dlcycle.errors import DlcycleError, InterruptionError, TrainingError

LOST_SECONDS = 45.0
"""Longest that a worker waits for the others in a step before they count as lost. A worker whose process ends is
noticed at once, because its connections are closed; this is for machines that fall silent."""
ALONE_SECONDS = 1800.0
"""Longest that the others wait while the first worker reads or writes a checkpoint."""
JOIN_SECONDS = {"file": 180.0, "tcp": 900.0}
"""Longest that a worker waits for the others to begin: on one machine, and on machines that first fetch images."""
REASON_SECONDS = 5.0
"""Time that a worker has to say why it ends before it counts as lost without a word."""

Anything = TypeVar("Anything")


@dataclass(frozen=True)
class Seat:
    """The place of one worker in a gang, as whatever started the gang tells it."""

    rank: int
    """From 0. The worker of rank 0 alone writes checkpoints and reports."""
    size: int
    """Workers of the gang."""
    meeting: str
    """Where they find each other: `file:///PATH` of a file that does not exist yet on the one machine of all, or
    `tcp://HOST:PORT` at the worker of rank 0."""


class Gang:
    """The other workers, as one worker sees them: what it agrees on with them and shares with them."""

    def __init__(self, seat: Seat) -> None:
        """Wait until all have come.

        Raises:
            InterruptionError: one did not.
        """
        self.rank, self.size = seat.rank, seat.size
        address = urlsplit(seat.meeting)
        self.one_machine = address.scheme == "file"
        self.whereabouts = ""
        """How far training had come, for the message about a worker that was lost."""
        self._groups: dict[str, distributed.ProcessGroup] = {}
        seconds = JOIN_SECONDS[address.scheme]
        try:
            self._store = PrefixStore("dlcycle", _meet(seat, seconds))
        except (DistError, RuntimeError) as error:
            raise InterruptionError(f"rank {seat.rank} found no worker of rank 0 at {seat.meeting}: {error}") from error
        self._store.set(f"here/{seat.rank}", str(os.getpid()))
        self._wait_for_all(seconds)

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes and reports."""
        return self.rank == 0

    def connect(self, device: torch.device) -> None:
        """Open the connections; all workers call it, each with the device that it computes on."""
        lost = timedelta(seconds=LOST_SECONDS)
        backend, kind = ("nccl", {"device_id": device}) if device.type == "cuda" else ("gloo", {})
        distributed.init_process_group(
            backend, store=self._store, rank=self.rank, world_size=self.size, timeout=lost, **cast(Any, kind)
        )
        # Flags stay on the CPU, where a GPU need not be waited for.
        self._groups["steps"] = distributed.new_group(backend="gloo", timeout=lost)
        self._groups["alone"] = distributed.new_group(backend="gloo", timeout=timedelta(seconds=ALONE_SECONDS))

    def any_of(self, *flags: bool) -> list[bool]:
        """Which of the flags are raised by at least one worker."""
        values = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._groups["steps"])
        return values.bool().tolist()

    def gather(self, value: Anything) -> list[Anything]:
        """The plain values of all workers, by rank."""
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self._groups["alone"])
        return values

    def from_first(self, value: Anything) -> Anything:
        """The value that the first worker gives, which may take its time; that of the others is not read."""
        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self._groups["alone"])
        return values[0]

    def say(self, name: str, value: str) -> None:
        """Tell the others a text, which stays."""
        self._store.set(name, value)

    def hear(self, name: str, *, seconds: float) -> str | None:
        """A text that another worker tells, or None if none came in time."""
        try:
            self._store.wait([name], timedelta(seconds=seconds))
            return self._store.get(name).decode()
        except (DistError, RuntimeError):
            # The worker of rank 0 may be gone, and what was told with it.
            return None

    def hear_from_first(self, name: str) -> str:
        """A text that the first worker, on this machine, tells when it can; it may take hours.

        Raises:
            InterruptionError: it ended before.
        """
        while (text := self.hear(name, seconds=REASON_SECONDS)) is None:
            try:
                os.kill(int(self.hear("here/0", seconds=REASON_SECONDS) or "0"), 0)
            except ProcessLookupError as error:
                raise InterruptionError("the worker of rank 0 was lost while it waited for GPUs") from error
        return text

    def leave(self) -> None:
        """Close the connections; the others notice it at the latest when this process ends."""
        if self._groups:
            self._groups.clear()
            with suppress(DistError, RuntimeError):
                distributed.destroy_process_group()

    def reason_of_others(self) -> DlcycleError:
        """Why a connection broke: what another worker said before it ended, or that it ended without a word."""
        ends = {rank: self.hear(_end(rank), seconds=REASON_SECONDS) for rank in range(self.size) if rank != self.rank}
        for rank, end in ends.items():
            if end is not None and end.startswith("own "):
                _, kind, message = end.split(" ", 2)
                error = TrainingError if kind == TrainingError.__name__ else InterruptionError
                return error(f"the worker of rank {rank} ended: {message}")
        lost = [f"rank {rank}" for rank, end in ends.items() if end is None] or ["unknown rank"]
        name = f"the worker of {lost[0]}" if len(lost) == 1 else f"the workers of {' and '.join(lost)}"
        verb = "was" if len(lost) == 1 else "were"
        where = f" at {self.whereabouts}" if self.whereabouts else ""
        return InterruptionError(
            f"{name} (of 0 to {self.size - 1}) {verb} lost (killed, out of memory or without connection){where}"
        )

    def _wait_for_all(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for rank in range(self.size):
            if self.hear(f"here/{rank}", seconds=max(1.0, until - time.monotonic())) is None:
                raise InterruptionError(
                    f"the worker of rank {rank} (of 0 to {self.size - 1}) did not come within {seconds:.0f} s; "
                    "its log tells whether it was started, or there is no machine for it"
                )


@contextmanager
def join_gang(seat: Seat) -> Iterator[Gang]:
    """Be a worker of a gang for a while. If one ends by an error, all do, and each says which and why.

    Raises:
        TrainingError: another worker ended by one.
        InterruptionError: another worker was stopped or lost.
    """
    gang = Gang(seat)
    try:
        yield gang
    except Exception as error:
        own = not _is_connection(error)
        with suppress(DistError, RuntimeError):
            kind = InterruptionError if isinstance(error, InterruptionError) else type(error)
            gang.say(_end(gang.rank), f"own {kind.__name__} {error}" if own else "lost")
        gang.leave()
        if own:
            raise
        raise gang.reason_of_others() from error
    finally:
        gang.leave()


def _meet(seat: Seat, seconds: float) -> Store:
    address = urlsplit(seat.meeting)
    if address.scheme == "file":
        return FileStore(address.path, seat.size)
    return TCPStore(
        str(address.hostname),
        int(cast(int, address.port)),
        seat.size,
        is_master=seat.rank == 0,
        timeout=timedelta(seconds=seconds),
        # The others may come long after the first, or not at all.
        wait_for_workers=False,
    )


def _end(rank: int) -> str:
    return f"end/{rank}"


def _is_connection(error: Exception) -> bool:
    """Whether an error means that another worker is gone; gloo has no type of its own for that."""
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
