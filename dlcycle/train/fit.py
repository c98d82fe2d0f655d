"""One call that trains a network: seeded, watched, and stopped with a message that names the cause."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dlcycle.config import TrainSection
from dlcycle.errors import InterruptionError, TrainingError
from dlcycle.train.batches import (
    Batch,
    TextRows,
    computing_orders,
    shared_batches,
    training_batches,
    validation_batches,
)
from dlcycle.train.checkpoint import CheckpointStore, Identity, Place, prove_room, room_needed
from dlcycle.train.context import ALONE, TrainingContext
from dlcycle.train.devices import accelerator_and_precision, own_device
from dlcycle.train.gang import Gang
from dlcycle.train.memory import MicroBatches
from dlcycle.train.module import ClassifierModule, balanced_class_weights
from dlcycle.train.resume import CheckpointWriter, training_identity
from dlcycle.train.sharding import GangTrainer, ShardedStrategy, shard
from dlcycle.train.surroundings import quiet_lightning, seed_everything, torch_settings
from dlcycle.train.watch import Watch


@dataclass(frozen=True, eq=False)
class FitResult:
    """A trained network and how its training went."""

    network: nn.Module
    """Weights of the best epoch, on the CPU, in evaluation mode."""
    history: list[dict[str, Any]]
    """One dict an epoch: epoch (from 1), seconds, learning_rate (at its end), train_loss, validation_loss,
    validation_accuracy, validation_macro_f1, steps, rows_per_second (training only) and, where batches were cut into
    pieces, micro_batch (rows computed at once, at its end)."""
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
    workers: int = 1
    """That trained together."""
    micro_batch: int | None = None
    """Rows computed at once at the end; None for whole batches."""


def fit_classifier(
    build: Callable[[], nn.Module],
    *,
    train: TextRows,
    validation: TextRows,
    classes: int,
    settings: TrainSection,
    seed: int,
    metric: Literal["accuracy", "macro_f1"] = "accuracy",
    context: TrainingContext = ALONE,
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
        context: who hears of the training, what keeps its state, and the other workers.

    Raises:
        TrainingError: a loss is not finite, memory ran out, checkpoints cannot be written, or the machine lacks what
            the settings ask for.
        InterruptionError: a SIGTERM came.
    """
    accelerator, precision = accelerator_and_precision(settings)
    balanced = settings.class_weights == "balanced"
    weights = balanced_class_weights(train.labels, classes=classes) if balanced else None
    batches, orders = _batches(train, validation, settings, seed=seed, class_weights=weights, gang=context.gang)
    watch = Watch(validation, orders, settings=settings, seed=seed, metric=metric, context=context)
    memory = MicroBatches(settings, notes=context.memory_notes)
    with own_device(accelerator, context.gang) as device, torch_settings(settings), quiet_lightning(), memory:
        seed_everything(seed)
        network = build()
        if watch.sharded:
            shard(network, cast(Gang, context.gang), device=device)
        steps, workers = len(batches[0]) * settings.epochs, context.workers
        module = ClassifierModule(
            network, settings=settings, steps=steps, class_weights=weights, workers=workers, memory=memory
        )
        if context.checkpoints is not None and settings.checkpoints:
            about = training_identity(train, validation, network, settings, seed=seed, metric=metric)
            about = {**about, "accelerator": accelerator, "precision": precision}
            watch.writer = _writer(context.checkpoints, context, settings, network, about, sampler=batches[0].sampler)
        trainer = _trainer(settings, device=device, precision=precision, watch=watch)
        seconds = _fit(trainer, module, batches, watch=watch)
        if watch.sharded:
            network, watch.best_state = build(), cast(Gang, context.gang).from_first(watch.best_state)
        network.cpu().eval().load_state_dict(watch.best_state)
        return _result(network, trainer, watch, seconds=seconds, device=device, memory=memory)


def _batches(
    train: TextRows,
    validation: TextRows,
    settings: TrainSection,
    *,
    seed: int,
    class_weights: Tensor | None,
    gang: Gang | None,
) -> tuple[tuple[DataLoader[Batch], DataLoader[Batch]], list[npt.NDArray[np.int64]]]:
    """Batches of the two parts, or this worker's shares of them, and the orders in which `Watch` finds the logits."""
    train_loader = training_batches(
        train,
        batch_size=settings.batch_size,
        seed=seed,
        bucket=settings.bucket_batches,
        changed_share=settings.augment_share,
    )
    validation_loader = validation_batches(validation, batch_size=4 * settings.batch_size)
    orders = computing_orders(validation_loader, workers=1 if gang is None else gang.size)
    if gang is not None:
        train_loader = shared_batches(train_loader, rank=gang.rank, size=gang.size, class_weights=class_weights)
        validation_loader = shared_batches(validation_loader, rank=gang.rank, size=gang.size)
    return (train_loader, validation_loader), orders


def _writer(
    store: CheckpointStore,
    context: TrainingContext,
    settings: TrainSection,
    network: nn.Module,
    identity: Identity,
    *,
    sampler: Any,
) -> CheckpointWriter:
    """What saves the training, after a look at whether there is room."""
    if context.first:
        prove_room(store, needed=room_needed(network))
    return CheckpointWriter(
        store,
        identity={**store.identity, **identity},
        sampler=sampler,
        seconds=settings.checkpoint_seconds,
        steps=settings.checkpoint_steps,
        gang=context.gang,
    )


def _fit(
    trainer: lightning.Trainer,
    module: ClassifierModule,
    batches: tuple[DataLoader[Batch], DataLoader[Batch]],
    *,
    watch: Watch,
) -> float:
    """Train from the beginning or the newest checkpoint; return the seconds that it took.

    Raises:
        TrainingError: with what became of the last finite weights.
        InterruptionError: a SIGTERM came.
    """
    gang = watch.gang
    path = None if watch.writer is None else watch.writer.find()
    if gang is not None:
        module.memory.agree(gang.gather(module.memory.rows))
    started = time.perf_counter()
    try:
        trainer.fit(module, *batches, ckpt_path=path)
        watch.agreed(trainer)
        if trainer.received_sigterm:
            raise SIGTERMException
    except SIGTERMException as error:
        raise InterruptionError(_interruption(trainer, watch)) from error
    except TrainingError as error:
        raise TrainingError(f"{error}; {watch.last_finite()}") from error
    except RuntimeError:
        if gang is not None:
            gang.whereabouts = _whereabouts(trainer, watch)
        raise
    return time.perf_counter() - started


def _result(
    network: nn.Module,
    trainer: lightning.Trainer,
    watch: Watch,
    *,
    seconds: float,
    device: torch.device,
    memory: MicroBatches,
) -> FitResult:
    on_gpu = device.type == "cuda"
    return FitResult(
        network=network,
        history=watch.history,
        best_epoch=watch.best_epoch,
        stopped_early=len(watch.history) < watch.settings.epochs,
        logits=watch.best_logits,
        steps=trainer.global_step,
        seconds=watch.earlier_seconds + seconds,
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if on_gpu else "cpu",
        precision=trainer.precision,
        peak_cuda_bytes=torch.cuda.max_memory_allocated(device) if on_gpu else None,
        resumed=None if watch.writer is None else watch.writer.restored,
        workers=watch.context.workers,
        micro_batch=memory.rows,
    )


def _interruption(trainer: lightning.Trainer, watch: Watch) -> str:
    """What a SIGTERM cut off, and what happens next."""
    who = "stopped" if watch.gang is None else "all workers stopped: one was ended"
    place = f"epoch {trainer.current_epoch + 1}, after {trainer.global_step} steps"
    message = f"{who} by SIGTERM at {place}: the machine was taken away or the run cancelled"
    if (writer := watch.writer) is None:
        return f"{message}; start it again; {watch.last_finite()}"
    # One that came after the last epoch has raised nothing in Lightning.
    writer.save_now(trainer)
    if writer.saved is None:
        return f"{message}; start it again; no checkpoint could be written"
    return f"{message}; the next attempt goes on from the checkpoint at {writer.saved}"


def _whereabouts(trainer: lightning.Trainer, watch: Watch) -> str:
    """Where a gang stood that lost a worker, and what happens next."""
    place = f"epoch {trainer.current_epoch + 1}, after {trainer.global_step} steps"
    saved = None if watch.writer is None else watch.writer.saved
    return (
        f"{place}; {'start it again' if saved is None else f'the next attempt goes on from the checkpoint at {saved}'}"
    )


def _trainer(settings: TrainSection, *, device: torch.device, precision: str, watch: Watch) -> lightning.Trainer:
    """A Trainer that does what is asked of it and nothing else, which keeps its cost per step low."""
    return (lightning.Trainer if watch.gang is None else GangTrainer)(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        strategy=ShardedStrategy(device) if watch.sharded else "auto",
        # Sharded weights cannot be gathered in inference mode.
        inference_mode=not watch.sharded,
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
