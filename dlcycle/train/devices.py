"""GPUs of a machine on which several trainings run: each training has its own, and the others wait.

Metaflow starts the tasks of a foreach on one machine without looking at its GPUs.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dlcycle.errors import TrainingError

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Time between two looks at whether a GPU is free."""


def visible_gpus() -> list[str]:
    """Identities of the GPUs that this process may use (CUDA_VISIBLE_DEVICES), in torch's order."""
    import torch

    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]


@contextmanager
def take_gpus(
    gpus: Sequence[str], *, count: int = 1, folder: Path | None = None, say: Callable[[str], None] = logger.warning
) -> Iterator[list[int]]:
    """Have GPUs that no other training on this machine has; wait, and say so, while there are too few.

    Each is a file that is locked. The kernel takes the locks from a process that ends, however it ends.

    Args:
        gpus: identities of those to choose from, equal in all processes.
        count: how many to take, all at once, so that two trainings never wait for each other.
        folder: of the locks; the same for all trainings of a machine. Default: in the folder for temporary files.
        say: takes a line for the user.

    Yields:
        Positions in `gpus` of those taken.

    Raises:
        TrainingError: there are never so many, or the locks cannot be written.
    """
    if count > len(gpus):
        raise TrainingError(f"expected {count} GPUs on this machine, one for each worker, got {len(gpus)}")
    taken: dict[int, int] = {}
    where = folder or Path(tempfile.gettempdir()) / "dlcycle-gpus"
    try:
        try:
            _wait_for(gpus, count, taken, folder=where, say=say)
        except OSError as error:
            message = f"expected to lock a GPU with a file in {where}, got: {error.strerror or error}"
            raise TrainingError(f"{message}; make it writable, or set TMPDIR to another folder") from error
        yield sorted(taken)
    finally:
        for file in taken.values():
            os.close(file)


def _wait_for(
    gpus: Sequence[str], count: int, taken: dict[int, int], *, folder: Path, say: Callable[[str], None]
) -> None:
    """Add GPUs that become free, and the files that hold their locks, to `taken`."""
    _make_folder(folder)
    turn, said = _open(folder / "turn"), False
    try:
        # Who waits for several has the turn: nobody behind takes what becomes free.
        while not (_lock(turn) and _take(folder, gpus, count, taken)):
            if not said:
                wanted = "a GPU" if count == 1 else f"{count} GPUs"
                say(f"waiting for {wanted}: other trainings have those of this machine ({len(gpus)} in all)")
                said = True
            time.sleep(POLL_SECONDS)
    finally:
        os.close(turn)


def _take(folder: Path, gpus: Sequence[str], count: int, taken: dict[int, int]) -> bool:
    """Lock free GPUs until there are enough; those that are locked stay so."""
    for index, gpu in enumerate(gpus):
        if len(taken) < count and index not in taken:
            file = _open(folder / gpu)
            if _lock(file):
                taken[index] = file
            else:
                os.close(file)
    return len(taken) == count


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        # Other users of the machine lock the same GPUs.
        with suppress(PermissionError):
            folder.chmod(0o1777)


def _open(path: Path) -> int:
    # Files of other users can be locked, but not opened in order to be made.
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
