"""Train one candidate of the project file with one seed: rows in, a packed model and its validation scores out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from dlcycle.config import ModelSpec, Project, TrainSection
from dlcycle.data.clean import ABOUT
from dlcycle.data.labels import class_indices
from dlcycle.data.messages import quoted, shown
from dlcycle.errors import DataError
from dlcycle.model.artifact import pack_model
from dlcycle.model.text import NetworkSpec
from dlcycle.model.tokenizer import Tokenizer, fit_tokenizer
from dlcycle.train.batches import TextRows, with_changed_versions
from dlcycle.train.context import ALONE, TrainingContext
from dlcycle.train.fit import FitResult, fit_classifier
from dlcycle.train.lineage import ResourceMeter, machine
from dlcycle.train.reweight import reweighting
from dlcycle.train.scores import validation_scores


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trained candidate, as plain data."""

    model: dict[str, Any]
    """What `dlcycle.model.load_model` reads; its temperature is still 1."""
    history: list[dict[str, Any]]
    """One dict an epoch; see `dlcycle.train.fit.FitResult`."""
    validation_logits: npt.NDArray[np.float64]
    """(M, C), rows in the order of the validation part."""
    report: dict[str, Any]
    """What the card and the selection need: name, seed, validation scores, sizes, seconds, device; where they are on,
    augment (the ways), augment_share, and reweight: column, smallest and largest weight. `resumed` says where an
    earlier attempt was continued, None without a break; `workers` how many trained together, and `strategy`
    how, None for one; `micro_batch` how many rows of a batch were computed at once at the end, None for whole
    batches."""


def candidate_name(spec: ModelSpec) -> str:
    """What the user calls a candidate."""
    return spec.name or spec.architecture


def train_candidate(
    frame: pd.DataFrame,
    *,
    spec: ModelSpec,
    settings: Project,
    labels: Sequence[str],
    seed: int,
    build_model: Callable[[NetworkSpec], nn.Module],
    context: TrainingContext = ALONE,
) -> Candidate:
    """Fit the tokenizer and the network on the training part; the validation part chooses the epoch.

    Args:
        frame: rows with the columns row, text, label and part and, for `train.reweight`, `about.` and that column;
            those of the test part are not read.
        spec: the candidate.
        settings: the project.
        labels: (C,) class names; their order is the order of the logits.
        seed: decides the first weights, the batches and the dropout.
        build_model: builds the untrained network.
        context: who hears of the training, what keeps its state, and the other workers.

    Raises:
        DataError: `train.reweight` names a column that the rows do not have.
        TrainingError: the loss or the scores are no longer finite, checkpoints cannot be written, or there is no GPU.
        InterruptionError: the task is told to stop.
    """
    with ResourceMeter() as meter:
        train, validation, tokenizer = _prepared(frame, spec=spec, settings=settings.train, labels=labels, seed=seed)
        network_spec = NetworkSpec(spec, tokens=tokenizer.size, classes=len(labels))
        fitted = fit_classifier(
            lambda: build_model(network_spec),
            train=train,
            validation=validation,
            classes=len(labels),
            settings=settings.train,
            seed=seed,
            metric=settings.plan.metric,
            context=context,
        )
    report = {
        "name": candidate_name(spec),
        "architecture": spec.architecture,
        "seed": seed,
        "validation": validation_scores(validation.labels, fitted.logits),
        "truncated_share": tokenizer.truncated_share(frame.loc[frame["part"] == "train", "text"].tolist()),
        **_summary(fitted, settings.train),
        **_changes(train, settings.train),
    }
    model = pack_model(
        fitted.network,
        tokenizer=tokenizer,
        spec=network_spec,
        labels=labels,
        temperature=1.0,
        input_columns=settings.data.inputs,
        project=settings.project.name,
        extra={"training": report},
    )
    measured = {"parameters": model["description"]["parameters"], "resources": meter.usage, "machine": machine()}
    return Candidate(model, fitted.history, fitted.logits, report | measured)


def _prepared(
    frame: pd.DataFrame, *, spec: ModelSpec, settings: TrainSection, labels: Sequence[str], seed: int
) -> tuple[TextRows, TextRows, Tokenizer]:
    """Rows of the training and the validation part, and the tokenizer that the former have taught."""
    part = frame[frame["part"] == "train"]
    texts = part["text"].tolist()
    tokenizer = fit_tokenizer(texts, spec=spec)
    train = _encode(part, tokenizer=tokenizer, labels=labels)
    if settings.reweight is not None:
        train = replace(train, weights=reweighting(_groups(part, settings.reweight), train.labels))
    if settings.augment:
        train = with_changed_versions(train, texts, tokenizer=tokenizer, kinds=settings.augment, seed=seed)
    return train, _encode(frame[frame["part"] == "validation"], tokenizer=tokenizer, labels=labels), tokenizer


def _encode(part: pd.DataFrame, *, tokenizer: Tokenizer, labels: Sequence[str]) -> TextRows:
    classes = class_indices(part["label"], names=labels)
    return TextRows(tokenizer.encode(part["text"].tolist()), classes, part["row"].to_numpy(dtype=np.int64))


def _groups(part: pd.DataFrame, column: str) -> list[str | None]:
    """Groups of the rows, for `train.reweight`."""
    if (name := ABOUT + column) not in part:
        known = quoted(sorted(other.removeprefix(ABOUT) for other in map(str, part) if other.startswith(ABOUT)))
        cure = f"they have {known}" if known else "name columns of the data in data.group_columns"
        raise DataError(f"train.reweight: the rows have no column {shown(column)}; {cure}")
    return part[name].tolist()


def _changes(rows: TextRows, settings: TrainSection) -> dict[str, Any]:
    """What training did to the rows beyond reading them; empty when it did nothing."""
    report: dict[str, Any] = {}
    if settings.augment:
        report |= {"augment": list(settings.augment), "augment_share": settings.augment_share}
    if rows.weights is not None:
        ends = {"smallest": float(rows.weights.min()), "largest": float(rows.weights.max())}
        report["reweight"] = {"column": settings.reweight, **ends}
    return report


def _summary(fitted: FitResult, settings: TrainSection) -> dict[str, Any]:
    return {
        "best_epoch": fitted.best_epoch,
        "epochs": len(fitted.history),
        "stopped_early": fitted.stopped_early,
        "steps": fitted.steps,
        "seconds": fitted.seconds,
        "threads": fitted.threads,
        "workers": fitted.workers,
        "strategy": settings.strategy if fitted.workers > 1 else None,
        "device": fitted.device,
        "precision": fitted.precision,
        "peak_cuda_bytes": fitted.peak_cuda_bytes,
        "resumed": None if fitted.resumed is None else str(fitted.resumed),
        "micro_batch": fitted.micro_batch,
    }
