"""The one Lightning module for classification, of any modality."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional

from dlcycle.config import TrainSection
from dlcycle.errors import TrainingError
from dlcycle.train.batches import Batch
from dlcycle.train.memory import MicroBatches


class ClassifierModule(LightningModule):
    """Trains a network that gives logits (N, C) with AdamW and cross-entropy, and gathers the validation logits.

    Nothing is logged per step: the sums are kept here and read once an epoch.
    """

    class_weights: Tensor | None
    called: nn.Module
    """What a step calls: the network or, in a gang, what exchanges its gradients too. It is no submodule, so that the
    weights have the same names."""

    def __init__(
        self,
        network: nn.Module,
        *,
        settings: TrainSection,
        steps: int,
        class_weights: Tensor | None = None,
        workers: int = 1,
        memory: MicroBatches | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: called with the tensors of `Batch.inputs`.
            settings: optimiser, schedule and loss.
            steps: optimiser steps of the whole training, for the schedule.
            class_weights: (C,) factors of the loss of each class; all 1 when None.
            workers: those whose gradients are averaged, each of its share of a batch.
            memory: cuts batches into pieces; one of these settings when None.
        """
        super().__init__()
        self.network = network
        self.workers = workers
        self.settings = settings
        self.steps = steps
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.train_loss_sum, self.train_rows = 0.0, 0
        self._logits: list[Tensor] = []
        self.called = network
        self.memory = memory or MicroBatches(settings)
        self._in_pieces = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the one that Lightning sets 50 times a step without the checks of `nn.Module`."""
        if name in ("_current_fx_name", "called"):
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move what the step computes with; the row numbers stay where they are."""
        inputs = tuple(tensor.to(device, non_blocking=True) for tensor in batch.inputs)
        weights = None if batch.weights is None else batch.weights.to(device, non_blocking=True)
        return Batch(inputs, batch.labels.to(device, non_blocking=True), batch.rows, weights, batch.share)

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov and Hutter, 2019) with a factor on the learning rate for each step."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            # Lightning does not clip the gradients of a fused optimizer when it scales them.
            fused=self.trainer.precision == "32-true",
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        return learning_rate_factor(step, steps=self.steps, settings=self.settings)

    def on_train_epoch_start(self) -> None:
        """Start the sums of the epoch."""
        self.train_loss_sum, self.train_rows = 0.0, 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch or, after the gradients of its other pieces, of the last one; stops when it is not finite."""
        self.memory.begin(batch, place=f"epoch {self.current_epoch + 1}, batch {batch_idx + 1}")
        *pieces, last = self.memory.split(batch, workers=self.workers)
        self._in_pieces = bool(pieces)
        shares = self._shares(batch) if pieces else None
        value = self._add_gradients(pieces, of=batch, shares=shares) if pieces else 0.0
        loss = self._loss(last, shares=shares)
        value += loss.item()
        if not math.isfinite(value):
            rows = batch.rows.tolist()
            more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
            raise TrainingError(
                f"expected a finite loss, got {value} at epoch {self.current_epoch + 1}, batch {batch_idx + 1}, rows "
                f"{', '.join(map(str, rows[:5]))}{more}; lower train.learning_rate or look at these rows"
            )
        if batch.share is None:
            self.train_loss_sum += value * len(batch.labels)
            self.train_rows += len(batch.labels)
            return loss
        self.train_loss_sum += value * batch.share.factor * batch.share.rows
        self.train_rows += batch.share.rows
        # The gradients of the workers are averaged, and their sum is wanted.
        return loss * (batch.share.factor * self.workers)

    def _add_gradients(self, pieces: list[Batch], *, of: Batch, shares: Tensor | None) -> float:
        """Start the gradient of a batch with those of pieces of it; return what they add to its loss."""
        value, factor = 0.0, 1.0 if of.share is None else of.share.factor * self.workers
        # Lightning does so between the loss of a step and its gradient, which comes too late here.
        self.network.zero_grad()
        for piece in pieces:
            with getattr(self.called, "no_sync", nullcontext)():
                loss = self._loss(piece, shares=shares)
                value += loss.item()
                with torch.autocast(loss.device.type, enabled=False):
                    self.trainer.precision_plugin.pre_backward(loss * factor, self).backward()
        return value

    def _loss(self, piece: Batch, *, shares: Tensor | None) -> Tensor:
        """What a piece adds to the mean loss of its batch, whose rows count `shares` times; None if it is all of it."""
        reduction = "none" if piece.weights is not None else "mean" if shares is None else "sum"
        losses = functional.cross_entropy(
            self.called(*piece.inputs),
            piece.labels,
            weight=self.class_weights,
            label_smoothing=self.settings.label_smoothing,
            reduction=reduction,
        )
        if piece.weights is not None:
            # The losses bear the weights of the classes already.
            return (piece.weights * losses).sum() / (self._shares(piece) if shares is None else shares)
        return losses if shares is None else losses / shares

    def _shares(self, batch: Batch) -> Tensor:
        """How often the rows of a batch count in its mean: as often as their weights and those of their classes say."""
        if batch.weights is None:
            counts = torch.ones_like(batch.labels) if self.class_weights is None else self.class_weights[batch.labels]
        else:
            counts = batch.weights if self.class_weights is None else batch.weights * self.class_weights[batch.labels]
        return counts.sum()

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Step with the gradient of a batch, which is computed again in smaller pieces where memory runs out."""
        assert optimizer_closure is not None
        compute, sums = optimizer_closure, (self.train_loss_sum, self.train_rows)

        def begin_again() -> None:
            self.train_loss_sum, self.train_rows = sums
            # They seed the batch.
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_train_batch_start(self.trainer, self, None, batch_idx)

        alone = self.workers == 1
        optimizer.step(closure=lambda: self.memory.compute(compute, again=begin_again, alone=alone))

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Forget the gradient of the batch before, unless that of this one has been begun."""
        if not self._in_pieces:
            optimizer.zero_grad()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Scale the gradients down to the norm `gradient_clip_val` when theirs is larger.

        Torch's own clipping multiplies all gradients also when the factor is 1, which costs a pass over the embeddings.
        """
        if gradient_clip_val:
            gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            if isinstance(norm, DTensor):
                norm = norm.full_tensor()
            if not norm <= gradient_clip_val:
                nn.utils.clip_grads_with_norm_(self.network.parameters(), gradient_clip_val, norm)

    def on_validation_epoch_start(self) -> None:
        """Forget the logits of the epoch before."""
        self._logits.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the logits of a batch."""
        self._logits += self.memory.compute(
            lambda: self._batch_logits(batch), again=lambda: None, alone=self.workers == 1
        )

    def _batch_logits(self, batch: Batch) -> list[Tensor]:
        self.memory.begin(batch, place=f"the validation of epoch {self.current_epoch + 1}")
        pieces = self.memory.split(batch, workers=self.workers)
        logits = [self.network(*piece.inputs).double().cpu() for piece in pieces]
        # Those without a share of the batch are there so that all workers do the same steps.
        return [
            own if piece.share is None or piece.share.factor else own[:0]
            for own, piece in zip(logits, pieces, strict=True)
        ]

    def validation_logits(self) -> npt.NDArray[np.float64]:
        """Logits (N, C) of the last validation, in the order of its batches."""
        return torch.cat(self._logits).numpy()


def learning_rate_factor(step: int, *, steps: int, settings: TrainSection) -> float:
    """Factor on the peak learning rate: a linear rise over the warm-up, then the schedule down towards 0.

    Args:
        step: from 0.
        steps: steps of the whole training.
        settings: `schedule` and `warmup` are read.

    Returns:
        From 0 to 1; 1 / (warm-up steps) at step 0, so that no step is without effect.

    Example:
        >>> settings = TrainSection(schedule="linear", warmup=0.2)
        >>> [learning_rate_factor(step, steps=10, settings=settings) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = round(settings.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    match settings.schedule:
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
        case "linear":
            return max(0.0, 1.0 - done)
        case "constant":
            return 1.0


def balanced_class_weights(labels: npt.NDArray[np.int64], *, classes: int) -> Tensor:
    """Weights (C,) that give each class the same share of the loss: N / (C * rows of the class).

    Example:
        >>> balanced_class_weights(np.array([0, 0, 0, 1]), classes=2)
        tensor([0.6667, 2.0000])
    """
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)
