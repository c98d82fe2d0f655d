"""Checkpoints of a training: written whole or not at all, verified when read, refused when they are of another."""

import hashlib
import io
import logging
import pickle
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from dlcycle.data.files import write_file
from dlcycle.errors import TrainingError

logger = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints that stay: the newest, and the one before in case the newest is damaged."""
COPIES = 5
"""A checkpoint holds the weights as they are, as they were at the end of the last and of the best epoch, and AdamW's
two moments."""
MEGABYTE = 1e6

Stage = Literal["batch", "validation", "end"]
Identity = Mapping[str, Any]
"""What decides a training's result, as plain values by name; two trainings with equal identities are the same."""


class DamagedCheckpointError(Exception):
    """A checkpoint that is not what was once written; the message says in what."""


@dataclass(frozen=True)
class Place:
    """Where a training stands."""

    epoch: int
    """From 1."""
    batch: int
    """Batches of it that are done."""
    steps: int
    """Optimiser steps since the start."""
    stage: Stage
    """`batch`: the next batch comes; `validation`: all batches are done and the validation comes; `end`: the epoch is
    over and scored."""

    def __str__(self) -> str:
        match self.stage:
            case "batch":
                return f"epoch {self.epoch}, after batch {self.batch}"
            case "validation":
                return f"epoch {self.epoch}, before its validation"
            case "end":
                return f"the end of epoch {self.epoch}"


class CheckpointStore(Protocol):
    """What keeps checkpoints longer than the process that writes them."""

    identity: Identity
    """What the caller knows to decide the result, such as the data and the code."""
    say: Callable[[str], None]
    """Takes a line for the user."""

    @property
    def folder(self) -> Path:
        """Local folder that the next checkpoint is written to."""

    @property
    def destinations(self) -> list[Path]:
        """All local folders that a checkpoint takes room in."""

    def earlier(self) -> Generator[Path, None, None]:
        """Bring the checkpoints of earlier attempts into reach, the newest first; the files last until the next one."""

    def keep(self, path: Path, *, place: Place) -> None:
        """Keep a checkpoint that was written to `folder`, and no more than `KEPT` of them."""


class FolderStore:
    """Checkpoints in a folder of one training, where the next attempt looks for them."""

    def __init__(
        self, folder: Path, *, identity: Identity | None = None, say: Callable[[str], None] = logger.warning
    ) -> None:
        """Use a folder, which is made when it is missing."""
        self.folder, self.identity, self.say = folder, identity or {}, say
        self.destinations = [folder]
        self._written: list[Path] = []

    def earlier(self) -> Generator[Path, None, None]:
        """Checkpoints in the folder, the last one written first."""
        found = [(path.stat().st_mtime_ns, path.stem, path) for path in self.folder.glob("*.ckpt")]
        yield from (path for _, _, path in sorted(found, reverse=True))

    def keep(self, path: Path, *, place: Place) -> None:
        """Remove what is older than the checkpoints to keep, once there are enough of this attempt."""
        self._written = [*(other for other in self._written if other != path), path][-KEPT:]
        if len(self._written) == KEPT:
            for other in set(self.folder.glob("*.ckpt")) - set(self._written):
                other.unlink()
                digest_path(other).unlink(missing_ok=True)


def digest_path(path: Path) -> Path:
    """Where the digest of a checkpoint is."""
    return path.with_name(f"{path.name}.sha256")


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint and then its digest, each whole or not at all."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    data = buffer.getvalue()
    write_file(path, data)
    write_file(digest_path(path), f"{hashlib.sha256(data).hexdigest()}\n".encode())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as plain data and tensors on the CPU; no code of it is run.

    Raises:
        DamagedCheckpointError: it is not, to the bit, what was written, or holds what only code could restore.
    """
    try:
        expected, data = digest_path(path).read_text(encoding="ascii").strip(), path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedCheckpointError(
            f"it was not written to its end, {Path(error.filename).name} is missing"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedCheckpointError(f"it cannot be read: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise DamagedCheckpointError(f"it is damaged: sha256 {found[:12]}..., expected {expected[:12]}...")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise DamagedCheckpointError(f"it is no checkpoint: {error}") from error


def differences(then: Identity, now: Identity) -> list[str]:
    """What differs between two trainings, one text for each name.

    >>> differences({"seed": 0, "data": "a"}, {"seed": 1, "data": "a"})
    ['seed is 1 and was 0']
    """
    absent = "not given"
    names = sorted(set(then) | set(now))
    pairs = ((name, then.get(name, absent), now.get(name, absent)) for name in names)
    return [f"{name} is {_short(after)} and was {_short(before)}" for name, before, after in pairs if before != after]


def find_checkpoint(store: CheckpointStore, identity: Identity) -> dict[str, Any] | None:
    """The newest checkpoint of this very training that is whole; each that is refused is named, with the reason."""
    refused = 0
    with closing(store.earlier()) as earlier:
        for path in earlier:
            try:
                state = read_checkpoint(path)
            except DamagedCheckpointError as error:
                reason = str(error)
            else:
                changes = differences(state.get("dlcycle", {}).get("identity", {}), identity)
                if not changes:
                    return state
                more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
                reason = f"it is of another training: {', '.join(changes[:3])}{more}"
            refused += 1
            store.say(f"checkpoint {path.stem} is not used: {reason}")
    if refused:
        store.say(f"there is no {'other ' if refused == 1 else 'good '}checkpoint; training starts anew")
    return None


def prove_room(store: CheckpointStore, *, needed: int) -> None:
    """Make sure, before hours are spent, that checkpoints can be written.

    Args:
        store: where they will be kept.
        needed: bytes of all that exist at once.

    Raises:
        TrainingError: a folder cannot be written to or has too little room.
    """
    for folder in dict.fromkeys([store.folder, *store.destinations]):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            write_file(probe, bytes(4096))
            probe.unlink()
            free = shutil.disk_usage(folder).free
        except OSError as error:
            message = f"expected to write checkpoints to {folder}, got: {error.strerror or error}"
            raise TrainingError(f"{message}; make it writable, or set train.checkpoints = false") from error
        if free < needed:
            message = f"checkpoints need {needed / MEGABYTE:.1f} MB in {folder}, {free / MEGABYTE:.1f} MB are free"
            raise TrainingError(f"{message}; free some, or set train.checkpoints = false")


class VerifiedIO(CheckpointIO):
    """Lightning's way to a checkpoint file: written safely; read is the one that was verified before."""

    def __init__(self, *, writes: bool = True) -> None:
        """Start without a checkpoint to restore; a worker that leaves writing to another does not write."""
        self.writes = writes
        self.state: dict[str, Any] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the state that Lightning gathered."""
        if self.writes:
            write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Give Lightning the verified state, or verify the file now."""
        state, self.state = self.state, None
        return read_checkpoint(Path(path)) if state is None else state

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint and its digest."""
        for file in (Path(path), digest_path(Path(path))):
            file.unlink(missing_ok=True)


def weights_bytes(module: torch.nn.Module) -> int:
    """Bytes of the weights and buffers of a module."""
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def room_needed(network: torch.nn.Module) -> int:
    """Bytes that the checkpoints of a training take at most at once: those that are kept and the one being written."""
    return weights_bytes(network) * COPIES * (KEPT + 1)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
