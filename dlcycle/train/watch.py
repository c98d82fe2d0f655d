"""What happens around the batches and epochs of a training: it is seeded, scored, kept and reported."""

import hashlib
import time
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import safetensors.torch
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from dlcycle.config import TrainSection
from dlcycle.errors import TrainingError
from dlcycle.train.batches import TextRows
from dlcycle.train.context import State, TrainingContext
from dlcycle.train.module import ClassifierModule
from dlcycle.train.resume import CheckpointWriter
from dlcycle.train.scores import validation_scores
from dlcycle.train.sharding import GangTrainer, replicate, whole_state
from dlcycle.train.surroundings import seed_everything

STEP_SECONDS = 2.0
"""Time between two calls of `on_step`."""


class Watch(lightning.Callback):
    """Seeds each batch, scores each epoch, keeps the best weights and the last finite ones, and reports."""

    def __init__(
        self,
        validation: TextRows,
        orders: list[npt.NDArray[np.int64]],
        *,
        settings: TrainSection,
        seed: int,
        metric: str,
        context: TrainingContext,
    ) -> None:
        """Watch a training.

        Args:
            validation: rows that choose the best epoch.
            orders: for each worker, the positions of those rows in the order in which it computes their logits.
            settings: `patience`, `epochs` and `strategy` are read.
            seed: of the training.
            metric: what must rise.
            context: who hears of it, and the gang of the worker that this is.
        """
        self.validation, self.orders, self.context, self.gang = validation, orders, context, context.gang
        self.on_epoch, self.on_step = (context.on_epoch, context.on_step) if context.first else (None, None)
        self.settings, self.seed, self.metric = settings, seed, metric
        self.writer: CheckpointWriter | None = None
        self.history: list[dict[str, Any]] = []
        self.best_epoch, self.best_key = 0, (-np.inf, -np.inf)
        self.best_state: dict[str, Tensor] = {}
        self.best_logits = np.zeros((0, 0))
        self.last_state: dict[str, Tensor] = {}
        self.started = self.epoch_started = self.last_report = self.train_seconds = 0.0
        self.earlier_seconds = self.earlier_epoch_seconds = 0.0

    @property
    def sharded(self) -> bool:
        """Whether each worker holds a part of the network alone."""
        return self.gang is not None and self.settings.strategy == "fsdp"

    def state_dict(self) -> dict[str, Any]:
        """What a training that goes on needs, as numbers and tensors."""
        now = time.perf_counter()
        return {
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_key": [float(value) for value in self.best_key],
            "best_state": self.best_state,
            "best_logits": torch.from_numpy(self.best_logits),
            "last_state": self.last_state,
            "seconds": now - self.started,
            "epoch_seconds": now - self.epoch_started,
            "train_seconds": self.train_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.history, self.best_epoch = state_dict["history"], state_dict["best_epoch"]
        accuracy, loss = state_dict["best_key"]
        self.best_key, self.best_state = (accuracy, loss), state_dict["best_state"]
        self.best_logits, self.last_state = state_dict["best_logits"].numpy(), state_dict["last_state"]
        self.train_seconds, self.earlier_seconds = state_dict["train_seconds"], state_dict["seconds"]
        self.earlier_epoch_seconds = state_dict["epoch_seconds"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin the clock, join the gradients of a gang, and go to the batch that comes next."""
        self.last_report = time.perf_counter()
        self.started = self.last_report - self.earlier_seconds
        # Lightning does not begin the epoch again that it goes on with.
        self.epoch_started = self.last_report - self.earlier_epoch_seconds
        trainer.should_stop = self._waited_enough()
        if self.gang is not None and not self.sharded:
            assert isinstance(pl_module, ClassifierModule)
            pl_module.called = replicate(pl_module.network)
        if self.writer is not None:
            self.writer.begin(pl_module)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add to a checkpoint what Lightning does not know."""
        assert self.writer is not None
        self.writer.add(pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take that from a checkpoint."""
        assert self.writer is not None
        self.writer.load(pl_module, checkpoint)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save where SIGTERM has stopped the training."""
        # Lightning raises it between two batches alone, where a training can go on.
        if self.writer is not None and isinstance(exception, SIGTERMException):
            self.writer.save_now(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin the clock of the epoch."""
        self.epoch_started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the batch."""
        # Keyed by the batch, so that dropout is the same whatever drew random numbers before, as after a resume.
        worker = "" if self.gang is None or self.gang.first else f" {self.gang.rank}"
        seed_everything(zlib.crc32(f"{self.seed} {trainer.current_epoch} {batch_idx}{worker}".encode()))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report, and save, when it is time to."""
        now = time.perf_counter()
        self.train_seconds = now - self.epoch_started
        if self.on_step is not None and now - self.last_report >= STEP_SECONDS:
            self.last_report = now
            self.on_step(self._state(trainer, epoch=trainer.current_epoch + 1, batch=batch_idx + 1))
        writer = self.writer
        if self.agreed(trainer, due=writer is not None and writer.due_after_batch(trainer)):
            assert writer is not None
            writer.after_batch(trainer, batch=batch_idx + 1)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *arguments: Any, **more: Any) -> None:
        """Let a gang stop in the middle of a validation."""
        self.agreed(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Score the epoch, keep its weights, decide whether to go on, report and save."""
        assert isinstance(pl_module, ClassifierModule)
        epoch = trainer.current_epoch + 1
        logits = self._validation_logits(pl_module)
        if not np.isfinite(logits).all():
            rows = self.validation.numbers[~np.isfinite(logits).all(1)]
            shown = ", ".join(map(str, rows[:5].tolist()))
            more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
            message = f"expected finite logits, got nan or inf at the validation of epoch {epoch}, rows {shown}{more}"
            raise TrainingError(f"{message}; lower train.learning_rate or look at these rows")
        scores = validation_scores(self.validation.labels, logits)
        self.last_state = whole_state(pl_module.network)
        key = (scores[self.metric], -scores["loss"])
        if key > self.best_key:
            self.best_epoch, self.best_key, self.best_state, self.best_logits = epoch, key, self.last_state, logits
        self.history.append(
            {
                "epoch": epoch,
                "seconds": time.perf_counter() - self.epoch_started,
                "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
                "train_loss": self._train_loss_sum(pl_module) / pl_module.train_rows,
                "validation_loss": scores["loss"],
                "validation_accuracy": scores["accuracy"],
                "validation_macro_f1": scores["macro_f1"],
                "steps": trainer.global_step,
                "rows_per_second": pl_module.train_rows / self.train_seconds,
                **({} if (at_once := pl_module.memory.rows) is None else {"micro_batch": at_once}),
            }
        )
        trainer.should_stop = self._waited_enough()
        if self.on_epoch is not None:
            self.on_epoch(self._state(trainer, epoch=epoch, batch=int(trainer.num_training_batches)))
        if self.agreed(trainer, due=self.writer is not None and self.writer.due_after_epoch()):
            assert self.writer is not None
            self.writer.after_epoch(trainer)

    def agreed(self, trainer: lightning.Trainer, *, due: bool = False) -> bool:
        """Whether a checkpoint is due, as the first worker sees it; with others, agree on whether to stop too."""
        if self.gang is None:
            return due
        assert isinstance(trainer, GangTrainer)
        return trainer.agree(self.gang, due=due and self.gang.first)

    def _validation_logits(self, module: ClassifierModule) -> npt.NDArray[np.float64]:
        """Logits (N, C) of the last validation, of all workers, in the order of the rows."""
        own = module.validation_logits()
        logits = np.empty((len(self.validation), own.shape[1]), own.dtype)
        parts = [own] if self.gang is None else self.gang.gather(own)
        for order, part in zip(self.orders, parts, strict=True):
            logits[order] = part
        return logits

    def _train_loss_sum(self, module: ClassifierModule) -> float:
        return module.train_loss_sum if self.gang is None else sum(self.gang.gather(module.train_loss_sum))

    def _waited_enough(self) -> bool:
        return len(self.history) - self.best_epoch >= self.settings.patience

    def _state(self, trainer: lightning.Trainer, *, epoch: int, batch: int) -> State:
        batches, epochs = int(trainer.num_training_batches), self.settings.epochs
        seconds = time.perf_counter() - self.started
        done = ((epoch - 1) * batches + batch) / (epochs * batches)
        return {
            "epoch": epoch,
            "epochs": epochs,
            "batch": batch,
            "batches": batches,
            "history": [dict(entry) for entry in self.history],
            "best_epoch": self.best_epoch,
            "seconds": seconds,
            "seconds_left": seconds / done - seconds,
        }

    def last_finite(self) -> str:
        """Hand the last finite weights over to be kept and say what became of them."""
        if not self.history:
            return "there is no finite checkpoint, no epoch was finished"
        found = f"last finite checkpoint: end of epoch {self.history[-1]['epoch']}"
        if self.context.keep is None:
            return f"{found} (not kept)"
        data = safetensors.torch.save(self.last_state)
        return f"{found}, kept as {self.context.keep(data)} (sha256 {hashlib.sha256(data).hexdigest()})"
