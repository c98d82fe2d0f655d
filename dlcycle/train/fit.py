"""One call that trains a network: seeded, watched, and stopped with a message that names the cause."""

import hashlib
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import safetensors.torch
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from dlcycle.config import TrainSection
from dlcycle.errors import InterruptionError, TrainingError
from dlcycle.train.batches import TextRows, training_batches, validation_batches
from dlcycle.train.checkpoint import CheckpointStore, Place, prove_room, room_needed
from dlcycle.train.module import ClassifierModule, balanced_class_weights
from dlcycle.train.resume import CheckpointWriter, training_identity
from dlcycle.train.scores import validation_scores
from dlcycle.train.surroundings import quiet_lightning, torch_settings

STEP_SECONDS = 2.0
"""Time between two calls of `on_step`."""

State = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FitResult:
    """A trained network and how its training went."""

    network: nn.Module
    """Weights of the best epoch, on the CPU, in evaluation mode."""
    history: list[dict[str, Any]]
    """One dict an epoch: epoch (from 1), seconds, learning_rate (at its end), train_loss, validation_loss,
    validation_accuracy, validation_macro_f1, steps, rows_per_second (training only)."""
    best_epoch: int
    stopped_early: bool
    logits: npt.NDArray[np.float64]
    """Validation logits (N, C) of the best epoch, in the order of the validation rows."""
    steps: int
    seconds: float
    """Of training, that of the earlier attempts which were continued counted too."""
    threads: int
    device: str
    """`cpu`, or the name of the GPU."""
    precision: str
    """As Lightning names it: `32-true`, `bf16-mixed` or `16-mixed`."""
    peak_cuda_bytes: int | None
    """Most GPU memory held at once; None on a CPU."""
    resumed: Place | None = None
    """Where an earlier attempt was continued; None for a training without a break."""


def fit_classifier(
    build: Callable[[], nn.Module],
    *,
    train: TextRows,
    validation: TextRows,
    classes: int,
    settings: TrainSection,
    seed: int,
    metric: Literal["accuracy", "macro_f1"] = "accuracy",
    on_epoch: Callable[[State], None] | None = None,
    on_step: Callable[[State], None] | None = None,
    keep: Callable[[bytes], str] | None = None,
    checkpoints: CheckpointStore | None = None,
) -> FitResult:
    """Build a network and train it until the validation metric no longer rises.

    On a CPU the same arguments, library versions and number of threads give the same weights to the bit, also when the
    training was cut off, however often, and went on from a checkpoint. Torch's threads and determinism are as before
    when the call ends, also by an error.

    Args:
        build: gives the untrained network; called after seeding, so that the seed decides its first weights.
        train: rows to learn from; `settings.augment_share` of them in a changed version where they have such.
        validation: rows that choose the best epoch.
        classes: C, the width of the logits.
        settings: all keys of `[train]` but `augment`, `reweight`, `seeds` and those of the task. One GPU is used when
            `gpu` is above 0.
        seed: 0 to 2**32 - 1.
        metric: what must rise on the validation part; of equal epochs the one of lower validation loss is better.
        on_epoch: called after each epoch with plain data: epoch, epochs, batch, batches, history, best_epoch, seconds,
            seconds_left (None while unknown).
        on_step: the same during an epoch, at most every 2 seconds.
        keep: called when training fails with the last finite weights as safetensors; stores them and says where.
        checkpoints: keeps the state of the training, and has that of an earlier attempt, which is continued. Without it
            nothing is written.

    Returns:
        The best network and the record of its training.

    Raises:
        TrainingError: a loss is not finite, checkpoints cannot be written, or the machine lacks what the settings ask
            for.
        InterruptionError: a SIGTERM came.
    """
    accelerator, precision = _machine(settings)
    train_loader = training_batches(
        train,
        batch_size=settings.batch_size,
        seed=seed,
        bucket=settings.bucket_batches,
        changed_share=settings.augment_share,
    )
    validation_loader = validation_batches(validation, batch_size=4 * settings.batch_size)
    order = np.concatenate(list(validation_loader.sampler))
    watch = _Watch(validation, order, settings=settings, seed=seed, metric=metric, on_epoch=on_epoch, on_step=on_step)
    with torch_settings(settings), quiet_lightning():
        seed_everything(seed)
        balanced = settings.class_weights == "balanced"
        module = ClassifierModule(
            build(),
            settings=settings,
            steps=len(train_loader) * settings.epochs,
            class_weights=balanced_class_weights(train.labels, classes=classes) if balanced else None,
        )
        writer, path = None, None
        if checkpoints is not None and settings.checkpoints:
            prove_room(checkpoints, needed=room_needed(module.network))
            about = training_identity(train, validation, module.network, settings, seed=seed, metric=metric)
            writer = CheckpointWriter(
                checkpoints,
                identity={**checkpoints.identity, **about, "accelerator": accelerator, "precision": precision},
                sampler=train_loader.sampler,
                seconds=settings.checkpoint_seconds,
                steps=settings.checkpoint_steps,
            )
            path, watch.writer = writer.find(), writer
        trainer = _trainer(settings, accelerator=accelerator, precision=precision, watch=watch)
        if accelerator == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        try:
            trainer.fit(module, train_loader, validation_loader, ckpt_path=path)
            if trainer.received_sigterm:
                raise SIGTERMException
        except SIGTERMException as error:
            raise InterruptionError(_interruption(trainer, watch, keep)) from error
        except TrainingError as error:
            raise TrainingError(f"{error}; {watch.last_finite(keep)}") from error
        network = module.network.cpu().eval()
        network.load_state_dict(watch.best_state)
        return FitResult(
            network=network,
            history=watch.history,
            best_epoch=watch.best_epoch,
            stopped_early=len(watch.history) < settings.epochs,
            logits=watch.best_logits,
            steps=trainer.global_step,
            seconds=watch.earlier_seconds + time.perf_counter() - started,
            threads=torch.get_num_threads(),
            device=torch.cuda.get_device_name() if accelerator == "cuda" else "cpu",
            precision=trainer.precision,
            peak_cuda_bytes=torch.cuda.max_memory_allocated() if accelerator == "cuda" else None,
            resumed=None if writer is None else writer.restored,
        )


class _Watch(lightning.Callback):
    """Seeds each batch, scores each epoch, keeps the best weights and the last finite ones, and reports."""

    def __init__(
        self,
        validation: TextRows,
        order: npt.NDArray[np.int64],
        *,
        settings: TrainSection,
        seed: int,
        metric: str,
        on_epoch: Callable[[State], None] | None,
        on_step: Callable[[State], None] | None,
    ) -> None:
        self.validation, self.order = validation, order
        self.settings, self.seed, self.metric = settings, seed, metric
        self.on_epoch, self.on_step = on_epoch, on_step
        self.writer: CheckpointWriter | None = None
        self.history: list[dict[str, Any]] = []
        self.best_epoch, self.best_key = 0, (-np.inf, -np.inf)
        self.best_state: dict[str, Tensor] = {}
        self.best_logits = np.zeros((0, 0))
        self.last_state: dict[str, Tensor] = {}
        self.started = self.epoch_started = self.last_report = self.train_seconds = 0.0
        self.earlier_seconds = self.earlier_epoch_seconds = 0.0

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
        self.last_report = time.perf_counter()
        self.started = self.last_report - self.earlier_seconds
        # Lightning does not begin the epoch again that it goes on with.
        self.epoch_started = self.last_report - self.earlier_epoch_seconds
        trainer.should_stop = self._waited_enough()
        if self.writer is not None:
            self.writer.begin(pl_module)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert self.writer is not None
        self.writer.add(pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert self.writer is not None
        self.writer.load(pl_module, checkpoint)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        # Lightning raises it between two batches alone, where a training can go on.
        if self.writer is not None and isinstance(exception, SIGTERMException):
            self.writer.save_now(trainer)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.epoch_started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Keyed by the batch, so that dropout is the same whatever drew random numbers before, as after a resume.
        seed_everything(zlib.crc32(f"{self.seed} {trainer.current_epoch} {batch_idx}".encode()))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.train_seconds = now - self.epoch_started
        if self.on_step is not None and now - self.last_report >= STEP_SECONDS:
            self.last_report = now
            self.on_step(self._state(trainer, epoch=trainer.current_epoch + 1, batch=batch_idx + 1))
        if self.writer is not None:
            self.writer.after_batch(trainer, batch=batch_idx + 1)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, ClassifierModule)
        epoch = trainer.current_epoch + 1
        by_batch = pl_module.validation_logits()
        logits = np.empty_like(by_batch)
        logits[self.order] = by_batch
        if not np.isfinite(logits).all():
            rows = self.validation.numbers[~np.isfinite(logits).all(1)]
            shown = ", ".join(map(str, rows[:5].tolist()))
            more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
            message = f"expected finite logits, got nan or inf at the validation of epoch {epoch}, rows {shown}{more}"
            raise TrainingError(f"{message}; lower train.learning_rate or look at these rows")
        scores = validation_scores(self.validation.labels, logits)
        self.last_state = {name: value.detach().cpu().clone() for name, value in pl_module.network.state_dict().items()}
        key = (scores[self.metric], -scores["loss"])
        if key > self.best_key:
            self.best_epoch, self.best_key, self.best_state, self.best_logits = epoch, key, self.last_state, logits
        self.history.append(
            {
                "epoch": epoch,
                "seconds": time.perf_counter() - self.epoch_started,
                "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
                "train_loss": pl_module.train_loss_sum / pl_module.train_rows,
                "validation_loss": scores["loss"],
                "validation_accuracy": scores["accuracy"],
                "validation_macro_f1": scores["macro_f1"],
                "steps": trainer.global_step,
                "rows_per_second": pl_module.train_rows / self.train_seconds,
            }
        )
        trainer.should_stop = self._waited_enough()
        if self.on_epoch is not None:
            self.on_epoch(self._state(trainer, epoch=epoch, batch=int(trainer.num_training_batches)))
        if self.writer is not None:
            self.writer.after_epoch(trainer)

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

    def last_finite(self, keep: Callable[[bytes], str] | None) -> str:
        """Hand the last finite weights over to be kept and say what became of them."""
        if not self.history:
            return "there is no finite checkpoint, no epoch was finished"
        found = f"last finite checkpoint: end of epoch {self.history[-1]['epoch']}"
        if keep is None:
            return f"{found} (not kept)"
        data = safetensors.torch.save(self.last_state)
        return f"{found}, kept as {keep(data)} (sha256 {hashlib.sha256(data).hexdigest()})"


def seed_everything(seed: int) -> None:
    """Seed the global random numbers of Python, NumPy and torch with a number from 0 to 2**32 - 1."""
    random.seed(seed)
    np.random.seed(seed)
    # `torch.manual_seed` does both, but formats the stack to say where, which is too slow for each batch.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def _machine(settings: TrainSection) -> tuple[str, str]:
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
    return ("cuda" if settings.gpu else "cpu"), precision


def _interruption(
    trainer: lightning.Trainer,
    watch: _Watch,
    keep: Callable[[bytes], str] | None,
) -> str:
    """What a SIGTERM cut off, and what happens next."""
    place = f"epoch {trainer.current_epoch + 1}, after {trainer.global_step} steps"
    message = f"stopped by SIGTERM at {place}: the machine was taken away or the run cancelled"
    if (writer := watch.writer) is None:
        return f"{message}; start it again; {watch.last_finite(keep)}"
    # One that came after the last epoch has raised nothing in Lightning.
    writer.save_now(trainer)
    if writer.saved is None:
        return f"{message}; start it again; no checkpoint could be written"
    return f"{message}; the next attempt goes on from the checkpoint at {writer.saved}"


def _trainer(settings: TrainSection, *, accelerator: str, precision: str, watch: _Watch) -> lightning.Trainer:
    """A Trainer that does what is asked of it and nothing else, which keeps its cost per step low."""
    return lightning.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        gradient_clip_val=settings.gradient_clip or None,
        callbacks=[watch],
        plugins=[LightningEnvironment(), *([] if watch.writer is None else [watch.writer.plugin])],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
