"""Going on with a training that was cut off, to the same bits."""

import hashlib
import time
from dataclasses import asdict
from typing import Any

import pytorch_lightning as lightning
from torch import nn

from dlcycle.config import TrainSection
from dlcycle.train.batches import TextRows
from dlcycle.train.checkpoint import (
    COPIES,
    CheckpointStore,
    Identity,
    Place,
    Stage,
    VerifiedIO,
    find_checkpoint,
    weights_bytes,
)
from dlcycle.train.experiment import WITHOUT_EFFECT, library_versions
from dlcycle.train.gang import Gang
from dlcycle.train.module import ClassifierModule

LARGEST_SHARE = 0.01
"""Share of the time that writing checkpoints may take, unless a number of steps is asked for. A training may lose
more to them than that: at 2 %, one that spent 1.3 % of its time writing was measured to take 3.7 % longer."""
BYTES_A_SECOND = 1e8
"""Speed of writing that is assumed before the first checkpoint has shown the real one."""


def training_identity(
    train: TextRows,
    validation: TextRows,
    network: nn.Module,
    settings: TrainSection,
    *,
    seed: int,
    metric: str,
) -> Identity:
    """All that decides the result of `fit_classifier`."""
    tensors = [(name, tuple(value.shape), str(value.dtype)) for name, value in network.state_dict().items()]
    # Seeds other than this one are of other trainings.
    without = (*WITHOUT_EFFECT["train"], "seeds")
    chosen = {key: str(value) for key, value in settings.model_dump(mode="json").items() if key not in without}
    return {
        "rows": hashlib.sha256(f"{train.digest()} {validation.digest()}".encode()).hexdigest(),
        "network": hashlib.sha256(repr(tensors).encode()).hexdigest(),
        "seed": seed,
        "plan.metric": metric,
        **{f"train.{key}": value for key, value in chosen.items()},
        **library_versions(),
    }


class CheckpointWriter:
    """Saves a training when it is due, at the ends of epochs and on SIGTERM, and restores where it stood.

    Its methods are called by the one callback of the training: a second one of its own would cost 0.3 ms a step.

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
        gang: Gang | None = None,
    ) -> None:
        """Save to a store.

        Args:
            store: keeps the checkpoints.
            identity: all that decides the result.
            sampler: the training batches', with `set_epoch(epoch, skip=)`.
            seconds: shortest time between two checkpoints inside an epoch.
            steps: write after every so many steps and each epoch instead, whatever it costs.
            gang: of the worker that this is. All its workers save and restore at the same time; the first one alone
                reads and writes.
        """
        self.gang = gang
        self.store, self.identity, self.sampler = store, dict(identity), sampler
        self.plugin = VerifiedIO(writes=gang is None or gang.first)
        self.seconds, self.steps = seconds, steps
        self.restored: Place | None = None
        self.saved: Place | None = None
        self.saving: Place | None = None
        self.cost = 0.0
        self.last = time.perf_counter()

    def find(self) -> str | None:
        """The checkpoint to go on from, as Lightning's `ckpt_path`; None to begin at the beginning."""
        state = find_checkpoint(self.store, self.identity) if self.plugin.writes else None
        if state is not None:
            place = Place(**state["dlcycle"]["place"])
            self.store.say(f"training goes on from {place} ({place.steps} steps), where an earlier attempt was stopped")
        if self.gang is not None:
            state = self.gang.from_first(state)
        self.plugin.state = state
        return None if state is None else "checkpoint"

    def load(self, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the sums of the epoch and the place from a checkpoint."""
        assert isinstance(pl_module, ClassifierModule)
        own = checkpoint["dlcycle"]
        pl_module.train_loss_sum = own["train_loss_sums"][0 if self.gang is None else self.gang.rank]
        pl_module.train_rows = own["train_rows"]
        pl_module.memory.agree([own["micro_batch"]])
        self.restored = self.saved = Place(**own["place"])

    def begin(self, pl_module: lightning.LightningModule) -> None:
        """Go to the batch that comes next. Lightning has counted the batches of a whole epoch before."""
        if self.restored is not None and self.restored.stage != "end":
            self.sampler.set_epoch(self.restored.epoch - 1, skip=self.restored.batch)
        if not self.cost:
            self.cost = weights_bytes(pl_module) * COPIES / BYTES_A_SECOND
        self.last = time.perf_counter()

    def due_after_batch(self, trainer: lightning.Trainer) -> bool:
        """Whether it is time to save inside an epoch."""
        if self.steps is not None:
            return trainer.global_step % self.steps == 0
        return time.perf_counter() - self.last >= max(self.seconds, self.cost / LARGEST_SHARE)

    def due_after_epoch(self) -> bool:
        """Whether to save the scored epoch: not if epochs are so short that it would cost more than it is worth."""
        return self.steps is not None or time.perf_counter() - self.last >= self.cost / LARGEST_SHARE

    def after_batch(self, trainer: lightning.Trainer, *, batch: int) -> None:
        """Save between two batches, or before the validation."""
        self.save(trainer, _place(trainer, "validation" if batch == trainer.num_training_batches else "batch"))

    def after_epoch(self, trainer: lightning.Trainer) -> None:
        """Save the scored epoch."""
        self.save(trainer, _place(trainer, "end"))

    def save_now(self, trainer: lightning.Trainer) -> None:
        """Save where the training stands between two batches, if that is not saved yet: on SIGTERM."""
        place = _place(trainer, _stage(trainer))
        if place != self.saved:
            self.save(trainer, place)

    def add(self, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know, and make its counters such that it goes on at the right place."""
        assert isinstance(pl_module, ClassifierModule) and self.saving is not None
        settle_loops(checkpoint["loops"]["fit_loop"], stage=self.saving.stage)
        sums = pl_module.train_loss_sum
        checkpoint["dlcycle"] = {
            "identity": self.identity,
            "place": asdict(self.saving),
            # By worker, because a sum of other parts has other last bits.
            "train_loss_sums": [sums] if self.gang is None else self.gang.gather(sums),
            "train_rows": pl_module.train_rows,
            # An attempt that needed smaller pieces goes on with these.
            "micro_batch": pl_module.memory.rows,
        }

    def save(self, trainer: lightning.Trainer, place: Place) -> None:
        """Write a checkpoint and hand it to the store; one that cannot be written is reported and passed over."""
        begun = time.perf_counter()
        name = f"step-{place.steps:08d}{'-end' if place.stage == 'end' else ''}.ckpt"
        path = self.store.folder / name
        self.saving = place
        saved = True
        try:
            trainer.save_checkpoint(path)
            if self.plugin.writes:
                self.store.keep(path, place=place)
        except OSError as error:
            # A full disk ends no training that is well: the checkpoints before are still there.
            self.plugin.remove_checkpoint(path)
            message = f"the checkpoint at {place} could not be written to {path.parent}: {error.strerror or error}"
            self.store.say(f"{message}; training goes on without it")
            saved = False
        if self.gang is not None:
            saved = self.gang.from_first(saved)
        if saved:
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
