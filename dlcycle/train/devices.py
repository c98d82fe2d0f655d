"""GPUs of a machine on which several trainings run: each training has its own, and the others wait.

Metaflow starts the tasks of a foreach on one machine without looking at its GPUs.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from dlcycle.config import TrainSection
from dlcycle.errors import TrainingError
from dlcycle.train.gang import Gang

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Time between two looks at whether a GPU is free."""


def accelerator_and_precision(settings: TrainSection) -> tuple[str, str]:
    """Lightning's accelerator and precision for the settings on this machine."""
    if settings.gpu and not torch.cuda.is_available():
        message = f"train.gpu = {settings.gpu} asks for a GPU and torch {torch.__version__} finds none"
        raise TrainingError(f"{message}; set train.gpu = 0 or run where there is one, with a CUDA build of torch")
    if not settings.gpu and settings.precision == "16":
        raise TrainingError('train.precision = "16" needs a GPU; use "auto" or "bf16", or set train.gpu = 1')
    match settings.precision:
        case "auto" if settings.gpu:
            precision = "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
        case "auto" | "32":
            precision = "32-true"
        case other:
            precision = f"{other}-mixed"
    if precision == "16-mixed" and settings.workers > 1 and settings.strategy == "fsdp":
        message = 'train.strategy = "fsdp" trains in bf16 or 32-bit precision, got 16-bit'
        raise TrainingError(f'{message}; set train.precision = "32" or train.strategy = "ddp"')
    return ("cuda" if settings.gpu else "cpu"), precision


@contextmanager
def own_device(accelerator: str, gang: Gang | None) -> Iterator[torch.device]:
    """The device that this worker has for itself, and the connections to the others."""
    with ExitStack() as stack:
        device = torch.device("cpu")
        if accelerator == "cuda":
            gpus = visible_gpus()
            if gang is None or not gang.one_machine:
                (index,) = stack.enter_context(take_gpus(gpus))
            elif gang.first:
                taken = stack.enter_context(take_gpus(gpus, count=gang.size))
                gang.say("gpus", " ".join(map(str, taken)))
                index = taken[0]
            else:
                index = int(gang.hear_from_first("gpus").split()[gang.rank])
            device = torch.device("cuda", index)
            torch.cuda.reset_peak_memory_stats(device)
        if gang is not None:
            gang.connect(device)
        yield device


def visible_gpus() -> list[str]:
    """Identities of the GPUs that this process may use (CUDA_VISIBLE_DEVICES), in torch's order."""
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
