"""One call that trains a network: seeded, watched, and stopped with a message that names the cause."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from dlcycle.config import TrainSection
from dlcycle.errors import InterruptionError, TrainingError
from dlcycle.train.batches import (
    TextRows,
    computing_orders,
    shared_batches,
    training_batches,
    validation_batches,
)
from dlcycle.train.checkpoint import CheckpointStore, Place, prove_room, room_needed
from dlcycle.train.devices import take_gpus, visible_gpus
from dlcycle.train.gang import Gang
from dlcycle.train.memory import MemoryNotes, MicroBatches
from dlcycle.train.module import ClassifierModule, balanced_class_weights
from dlcycle.train.resume import CheckpointWriter, training_identity
from dlcycle.train.sharding import GangTrainer, ShardedStrategy, shard
from dlcycle.train.surroundings import quiet_lightning, seed_everything, torch_settings
from dlcycle.train.watch import State, Watch


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
    on_epoch: Callable[[State], None] | None = None,
    on_step: Callable[[State], None] | None = None,
    keep: Callable[[bytes], str] | None = None,
    checkpoints: CheckpointStore | None = None,
    gang: Gang | None = None,
    memory_notes: MemoryNotes | None = None,
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
        gang: the workers of which this is one, each with the same arguments. All get the same result but for times; the
            first one alone calls `on_epoch` and `on_step` and writes checkpoints.
        memory_notes: tell an attempt that follows one which was killed how much memory that one used.

    Returns:
        The best network and the record of its training.

    Raises:
        TrainingError: a loss is not finite, memory ran out, checkpoints cannot be written, or the machine lacks what
            the settings ask for.
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
    orders = computing_orders(validation_loader, workers=1 if gang is None else gang.size)
    watch = Watch(validation, orders, settings=settings, seed=seed, metric=metric, gang=gang)
    if gang is None or gang.first:
        watch.on_epoch, watch.on_step = on_epoch, on_step
    weights = balanced_class_weights(train.labels, classes=classes) if settings.class_weights == "balanced" else None
    if gang is not None:
        train_loader = shared_batches(train_loader, rank=gang.rank, size=gang.size, class_weights=weights)
        validation_loader = shared_batches(validation_loader, rank=gang.rank, size=gang.size)
    memory = MicroBatches(settings, notes=memory_notes)
    with _own_device(accelerator, gang) as device, torch_settings(settings), quiet_lightning(), memory:
        seed_everything(seed)
        network = build()
        sharded = gang is not None and settings.strategy == "fsdp"
        if gang is not None and sharded:
            shard(network, gang, device=device)
        module = ClassifierModule(
            network,
            settings=settings,
            steps=len(train_loader) * settings.epochs,
            class_weights=weights,
            workers=1 if gang is None else gang.size,
            memory=memory,
        )
        writer, path = None, None
        if checkpoints is not None and settings.checkpoints:
            if gang is None or gang.first:
                prove_room(checkpoints, needed=room_needed(module.network))
            about = training_identity(train, validation, module.network, settings, seed=seed, metric=metric)
            writer = CheckpointWriter(
                checkpoints,
                identity={**checkpoints.identity, **about, "accelerator": accelerator, "precision": precision},
                sampler=train_loader.sampler,
                seconds=settings.checkpoint_seconds,
                steps=settings.checkpoint_steps,
                gang=gang,
            )
            path, watch.writer = writer.find(), writer
        trainer = _trainer(settings, device=device, precision=precision, watch=watch)
        if accelerator == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        if gang is not None:
            memory.agree(gang.gather(memory.rows))
        started = time.perf_counter()
        try:
            trainer.fit(module, train_loader, validation_loader, ckpt_path=path)
            watch.agreed(trainer)
            if trainer.received_sigterm:
                raise SIGTERMException
        except SIGTERMException as error:
            raise InterruptionError(_interruption(trainer, watch, keep)) from error
        except TrainingError as error:
            raise TrainingError(f"{error}; {watch.last_finite(keep)}") from error
        except RuntimeError:
            if gang is not None:
                gang.whereabouts = _whereabouts(trainer, watch)
            raise
        if gang is not None and sharded:
            network, watch.best_state = build(), gang.from_first(watch.best_state)
        network = network.cpu().eval()
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
            device=torch.cuda.get_device_name(device) if accelerator == "cuda" else "cpu",
            precision=trainer.precision,
            peak_cuda_bytes=torch.cuda.max_memory_allocated(device) if accelerator == "cuda" else None,
            resumed=None if writer is None else writer.restored,
            workers=1 if gang is None else gang.size,
            micro_batch=memory.rows,
        )


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
    if precision == "16-mixed" and settings.workers > 1 and settings.strategy == "fsdp":
        message = 'train.strategy = "fsdp" trains in bf16 or 32-bit precision, got 16-bit'
        raise TrainingError(f'{message}; set train.precision = "32" or train.strategy = "ddp"')
    return ("cuda" if settings.gpu else "cpu"), precision


@contextmanager
def _own_device(accelerator: str, gang: Gang | None) -> Iterator[torch.device]:
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
        if gang is not None:
            gang.connect(device)
        yield device


def _interruption(
    trainer: lightning.Trainer,
    watch: Watch,
    keep: Callable[[bytes], str] | None,
) -> str:
    """What a SIGTERM cut off, and what happens next."""
    who = "stopped" if watch.gang is None else "all workers stopped: one was ended"
    place = f"epoch {trainer.current_epoch + 1}, after {trainer.global_step} steps"
    message = f"{who} by SIGTERM at {place}: the machine was taken away or the run cancelled"
    if (writer := watch.writer) is None:
        return f"{message}; start it again; {watch.last_finite(keep)}"
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
    sharded = watch.gang is not None and settings.strategy == "fsdp"
    return (lightning.Trainer if watch.gang is None else GangTrainer)(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        strategy=ShardedStrategy(device) if sharded else "auto",
        # Sharded weights cannot be gathered in inference mode.
        inference_mode=not sharded,
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
