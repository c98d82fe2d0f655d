"""Checkpoints of a training: written whole or not at all, verified when read, refused when they are of another."""

import hashlib
import io
import logging
import pickle
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dlcycle.data.files import write_file
from dlcycle.errors import TrainingError
from dlcycle.train.module import ClassifierModule

logger = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints that stay: the newest, and the one before in case the newest is damaged."""
LARGEST_SHARE = 0.02
"""Share of the time that writing checkpoints may take, unless a number of steps is asked for."""
BYTES_A_SECOND = 1e8
"""Speed of writing that is assumed before the first checkpoint has shown the real one."""
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

    def __init__(self) -> None:
        """Start without a checkpoint to restore."""
        self.state: dict[str, Any] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the state that Lightning gathered."""
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


class CheckpointWriter(lightning.Callback):
    """Saves a training when it is due, at the ends of epochs and on SIGTERM, and restores where it stood.

    Lightning 2.6 restores weights, optimiser, schedule and counters. What it does not is done here: the place in the
    order of the batches, the sums of the epoch, and a validation that was cut off.
    """

    def __init__(
        self,
        store: CheckpointStore,
        *,
        identity: Identity,
        sampler: Any,
        seconds: float,
        steps: int | None,
    ) -> None:
        """Save to a store.

        Args:
            store: keeps the checkpoints.
            identity: all that decides the result.
            sampler: the training batches', with `set_epoch(epoch, skip=)`.
            seconds: shortest time between two checkpoints inside an epoch.
            steps: write after every so many steps and each epoch instead, whatever it costs.
        """
        self.store, self.identity, self.sampler = store, dict(identity), sampler
        self.plugin = VerifiedIO()
        self.seconds, self.steps = seconds, steps
        self.restored: Place | None = None
        self.saved: Place | None = None
        self.saving: Place | None = None
        self.cost = 0.0
        self.last = time.perf_counter()

    def find(self) -> str | None:
        """The checkpoint to go on from, as Lightning's `ckpt_path`; None to begin at the beginning."""
        if (state := find_checkpoint(self.store, self.identity)) is None:
            return None
        self.plugin.state = state
        place = Place(**state["dlcycle"]["place"])
        self.store.say(f"training goes on from {place} ({place.steps} steps), where an earlier attempt was stopped")
        return "checkpoint"

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the sums of the epoch and the place from a checkpoint."""
        assert isinstance(pl_module, ClassifierModule)
        own = checkpoint["dlcycle"]
        pl_module.train_loss_sum, pl_module.train_rows = own["train_loss_sum"], own["train_rows"]
        self.restored = self.saved = Place(**own["place"])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Go to the batch that comes next. Lightning has counted the batches of a whole epoch before."""
        if self.restored is not None and self.restored.stage != "end":
            self.sampler.set_epoch(self.restored.epoch - 1, skip=self.restored.batch)
        if not self.cost:
            self.cost = _weights_bytes(pl_module) * COPIES / BYTES_A_SECOND
        self.last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is due."""
        if self.steps is not None:
            due = trainer.global_step % self.steps == 0
        else:
            due = time.perf_counter() - self.last >= max(self.seconds, self.cost / LARGEST_SHARE)
        if due:
            last = batch_idx + 1 == trainer.num_training_batches
            self.save(trainer, _place(trainer, "validation" if last else "batch"))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the scored epoch, unless epochs are so short that it would cost more than it is worth."""
        if self.steps is not None or time.perf_counter() - self.last >= self.cost / LARGEST_SHARE:
            self.save(trainer, _place(trainer, "end"))

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save at the very batch when the machine is taken away. Lightning raises this between two batches alone."""
        if isinstance(exception, SIGTERMException):
            self.save_now(trainer)

    def save_now(self, trainer: lightning.Trainer) -> None:
        """Save where the training stands between two batches, if that is not saved yet."""
        place = _place(trainer, _stage(trainer))
        if place != self.saved:
            self.save(trainer, place)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning does not know, and make its counters such that it goes on at the right place."""
        assert isinstance(pl_module, ClassifierModule) and self.saving is not None
        settle_loops(checkpoint["loops"]["fit_loop"], stage=self.saving.stage)
        checkpoint["dlcycle"] = {
            "identity": self.identity,
            "place": asdict(self.saving),
            "train_loss_sum": pl_module.train_loss_sum,
            "train_rows": pl_module.train_rows,
        }

    def save(self, trainer: lightning.Trainer, place: Place) -> None:
        """Write a checkpoint and hand it to the store; one that cannot be written is reported and passed over."""
        begun = time.perf_counter()
        name = f"step-{place.steps:08d}{'-end' if place.stage == 'end' else ''}.ckpt"
        path = self.store.folder / name
        self.saving = place
        try:
            trainer.save_checkpoint(path)
            self.store.keep(path, place=place)
        except OSError as error:
            # A full disk ends no training that is well: the checkpoints before are still there.
            self.plugin.remove_checkpoint(path)
            message = f"the checkpoint at {place} could not be written to {path.parent}: {error.strerror or error}"
            self.store.say(f"{message}; training goes on without it")
        else:
            self.saved = place
        self.last = time.perf_counter()
        self.cost = self.last - begun


def settle_loops(loops: dict[str, Any], *, stage: Stage) -> None:
    """Change the counters that Lightning saved to those from which it goes on right.

    Saved where checkpoints usually are, Lightning 2.6 skips the validation that was cut off, or goes through the end
    of an epoch twice.
    """
    batches = loops["epoch_loop.batch_progress"]
    for progress in (batches["total"], batches["current"]):
        progress["completed"] = progress["ready"]
    match stage:
        case "validation":
            # As if cut off in the first batch of the validation: then Lightning runs it, all of it.
            validation = loops["epoch_loop.val_loop.batch_progress"]
            for name in ("total", "current"):
                validation[name] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        case "end":
            epochs = loops["epoch_progress"]
            for progress in (epochs["total"], epochs["current"]):
                progress["completed"] = progress["processed"]
            batches["current"] = dict.fromkeys(batches["current"], 0)
            batches["is_last_batch"] = False


def _stage(trainer: lightning.Trainer) -> Stage:
    epochs = trainer.fit_loop.epoch_progress.state_dict()["current"]
    if epochs["processed"] == epochs["ready"]:
        return "end"
    batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return "validation" if batches == trainer.num_training_batches else "batch"


def _place(trainer: lightning.Trainer, stage: Stage) -> Place:
    batch = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return Place(trainer.fit_loop.epoch_progress.current.ready, batch, trainer.global_step, stage)


def _weights_bytes(module: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def room_needed(network: torch.nn.Module) -> int:
    """Bytes that the checkpoints of a training take at most at once: those that are kept and the one being written."""
    return _weights_bytes(network) * COPIES * (KEPT + 1)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
