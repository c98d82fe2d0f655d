"""The front door of evaluation: scores of the validation and test part in, every metric out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dlcycle.config import Costs, PlanSection
from dlcycle.errors import DataError, TrainingError
from dlcycle.insight.bootstrap import RESAMPLES, Ints
from dlcycle.insight.calibration import fit_temperature, measured_calibration_error
from dlcycle.insight.decisions.automation import automation, decided_automatically
from dlcycle.insight.decisions.costs import decision_costs
from dlcycle.insight.metrics import Decisions, check_shapes, classification_metrics, confident_mistakes, decide


def evaluate_model(
    truth: npt.ArrayLike,
    logits: npt.NDArray[Any],
    *,
    validation_truth: npt.ArrayLike,
    validation_logits: npt.NDArray[Any],
    labels: Sequence[str],
    plan: PlanSection,
    texts: Sequence[str],
    rows: Sequence[int],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Measure a model on the test part; temperature and threshold come from the validation part alone.

    The model and its baseline go through this same function, so their metrics have the same shape.

    Args:
        truth: True class indices of the test part, (N,).
        logits: Scores of the test part, (N, C): logits, log-probabilities or the margins of a linear model.
        validation_truth: True class indices of the validation part, (M,).
        validation_logits: Scores of the validation part, (M, C).
        labels: Names of the C classes.
        plan: Required precision and costs; see `dlcycle.plan.criteria.check_plan`.
        texts: The N texts, for the list of mistakes.
        rows: Row numbers of the N texts in the source.
        seed: Seed of all resamples.
        resamples: Number of resamples.

    Returns:
        Metrics ({"value", "low", "high", "n"}, 95 % interval): accuracy, macro_f1, log_loss, ece, ece_before (of the
        scores as they came), automated_share, automated_precision, cost_per_1000 (the model alone; None without costs).
        Nested: per_class, confusion, reliability, automation, temperature, costs, mistakes. Plain: rows, classes,
        currency.

    Raises:
        DataError: The test part is empty.
        TrainingError: Scores are not finite numbers.
        ValueError: Shapes or class indices do not fit together.
    """
    classes, validation_classes = np.asarray(truth, dtype=np.int64), np.asarray(validation_truth, dtype=np.int64)
    _check_rows(classes, texts, rows)
    _check_scores(classes, logits, len(labels), part="test")
    _check_scores(validation_classes, validation_logits, len(labels), part="validation")
    temperature = fit_temperature(validation_classes, validation_logits)
    before = decide(classes, logits)
    test = decide(classes, logits, temperature=temperature["value"])
    validation = decide(validation_classes, validation_logits, temperature=temperature["value"])
    metrics = classification_metrics(test, labels=labels, seed=seed, resamples=resamples)
    automatic = automation(test, validation, required_precision=plan.required_precision, seed=seed, resamples=resamples)
    ece_before = measured_calibration_error(before.correct, before.confidence, seed=seed, resamples=resamples)
    return {
        **metrics,
        "ece_before": ece_before,
        "automated_share": automatic["share"],
        "automated_precision": automatic["precision"],
        "automation": automatic,
        "temperature": temperature,
        **_priced(test, automatic["threshold"], labels=labels, costs=plan.costs, seed=seed, resamples=resamples),
        "mistakes": confident_mistakes(test, texts=texts, rows=rows, labels=labels),
    }


def _priced(
    test: Decisions, threshold: float | None, *, labels: Sequence[str], costs: Costs | None, seed: int, resamples: int
) -> dict[str, Any]:
    """What the decisions cost; all is None without prices."""
    if costs is None:
        return {"cost_per_1000": None, "costs": None, "currency": None}
    taken = decided_automatically(test, threshold)
    found = decision_costs(test, labels=labels, costs=costs, automatic=taken, seed=seed, resamples=resamples)
    return {"cost_per_1000": found["model_alone"], "costs": found, "currency": found["currency"]}


def _check_rows(classes: Ints, texts: Sequence[str], rows: Sequence[int]) -> None:
    if not len(classes):
        raise DataError("The test part has no rows, so nothing can be measured. Raise split.test.")
    if not len(texts) == len(rows) == len(classes):
        raise ValueError(f"expected {len(classes)} texts and rows, got {len(texts)} and {len(rows)}")


def _check_scores(truth: Ints, scores: npt.NDArray[Any], classes: int, *, part: str) -> None:
    check_shapes(truth, scores, classes=classes, what="scores", part=part)
    # A row's ends tell of NaN and infinity in it, without a second matrix.
    bad = np.flatnonzero(~(np.isfinite(scores.max(axis=1)) & np.isfinite(scores.min(axis=1))))
    if len(bad):
        first = ", ".join(str(index + 1) for index in bad[:5])
        more = f" and {len(bad) - 5:,} more" if len(bad) > 5 else ""
        raise TrainingError(
            f"Scores of {len(bad):,} of {len(truth):,} rows of the {part} part are not finite numbers (its rows "
            f"{first}{more}). Training has probably diverged: lower train.learning_rate and clip the gradient."
        )
