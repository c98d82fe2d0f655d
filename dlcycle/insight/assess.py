"""The one use of the test part: the selected model and the baseline measured, compared and judged."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import nn

from dlcycle.config import PlanSection
from dlcycle.data.labels import class_indices
from dlcycle.insight.compare import compare_models
from dlcycle.insight.consistency import check_batch_sizes
from dlcycle.insight.evaluate import evaluate_model
from dlcycle.model import load_model
from dlcycle.model.artifact import with_temperature
from dlcycle.model.text import NetworkSpec
from dlcycle.plan.criteria import judge_criteria


@dataclass(frozen=True, eq=False)
class Assessment:
    """What the test part says, as plain data; each field is a public artifact of TrainFlow."""

    metrics: dict[str, Any]
    baseline_metrics: dict[str, Any]
    comparison: dict[str, Any]
    gates: dict[str, Any]
    consistency: dict[str, Any]
    model: dict[str, Any]
    """The model with the temperature that the validation part asks for."""


def assess_model(
    model: Mapping[str, Any],
    *,
    frame: pd.DataFrame,
    validation_logits: npt.NDArray[np.float64],
    baseline: Mapping[str, Any],
    plan: PlanSection,
    build_model: Callable[[NetworkSpec], nn.Module],
    seed: int = 0,
) -> Assessment:
    """Restore a packed model and measure it beside the baseline on the test part.

    Args:
        model: what `dlcycle.model.artifact.pack_model` gave.
        frame: rows with the columns row, text, label and part.
        validation_logits: (M, C) of the model, in the order of the validation rows.
        baseline: "name", "validation_scores" (M, C) and "test_scores" (N, C).
        plan: the primary metric, required precision, costs and success criteria.
        build_model: builds the network, for projects with their own.
        seed: of all resamples.

    Raises:
        ModelFileError: the model is damaged.
        DataError: the test part is empty, or has a label that the model does not know.
        TrainingError: scores are not finite.
    """
    classifier = load_model(model, build=build_model)
    test, validation = (frame[frame["part"] == part] for part in ("test", "validation"))
    texts = test["text"].tolist()
    truth, validation_truth = (class_indices(part["label"], names=classifier.labels) for part in (test, validation))

    measure = functools.partial(
        evaluate_model,
        truth,
        validation_truth=validation_truth,
        labels=classifier.labels,
        plan=plan,
        texts=texts,
        rows=test["row"].tolist(),
        seed=seed,
    )
    logits = classifier.logits(texts, batch_size=256)
    metrics = measure(logits, validation_logits=validation_logits)
    baseline_metrics = measure(baseline["test_scores"], validation_logits=baseline["validation_scores"])
    chosen, others = logits.argmax(1), baseline["test_scores"].argmax(1)
    comparison = compare_models(
        truth, chosen, others, metric=plan.metric, worthwhile_gain=plan.worthwhile_gain, seed=seed
    )
    temperature = metrics["temperature"]["value"]
    final = replace(classifier, temperature=temperature)
    return Assessment(
        metrics=metrics,
        baseline_metrics=baseline_metrics | {"name": baseline["name"]},
        comparison=comparison,
        gates=judge_criteria(plan.criteria, metrics=metrics, comparison=comparison),
        consistency=check_batch_sizes(lambda part, size: final.predict(part, batch_size=size).probabilities, texts),
        model=with_temperature(model, temperature),
    )
