"""What changed against an earlier model: both decide the same test rows.

The two must know the same classes: else the earlier one decides about something else, and no difference means anything.
Their order may differ; class indices here are always those of the model that is explained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.data.messages import quoted
from dlcycle.errors import DataError
from dlcycle.insight.bootstrap import Ints, measure, resampled_means, share_of
from dlcycle.insight.metrics import Decisions, decide
from dlcycle.model.artifact import TextClassifier


def places_before(labels: Sequence[str], *, before: TextClassifier) -> Ints:
    """Return the place of each class of the explained model among those of the earlier one.

    Args:
        labels: (C,) class names of the explained model.
        before: the earlier model.

    Returns:
        (C,) places: columns of the earlier model's logits in the order of the labels.

    Raises:
        DataError: the two do not know the same classes.
    """
    lacking, others = sorted(set(labels) - set(before.labels)), sorted(set(before.labels) - set(labels))
    if lacking or others:
        differs = [f"lacks {quoted(lacking)}"] * bool(lacking) + [f"knows {quoted(others)} besides"] * bool(others)
        raise DataError(
            "--before: expected a model of the same classes as the explained one, got one that "
            f"{' and '.join(differs)}; name a run with the same classes"
        )
    return pd.Index(before.labels).get_indexer(pd.Index(labels)).astype(np.int64)


def decide_before(before: TextClassifier, texts: Sequence[str], truth: npt.ArrayLike, *, places: Ints) -> Decisions:
    """What the earlier model decides, in class indices of the explained one.

    Args:
        before: the earlier model.
        texts: (N,) texts.
        truth: (N,) true class indices.
        places: (C,) what `places_before` gave.
    """
    return decide(truth, before.logits(texts, batch_size=256)[:, places], temperature=before.temperature)


def compare_with_before(
    decisions: Decisions, before: Decisions, compared: Mapping[str, Any], *, seed: int = 0
) -> dict[str, Any]:
    """Return the run that is compared with, its accuracy, and by how much the accuracy has changed since.

    Args:
        decisions: of the model on N rows.
        before: of the earlier model on the same rows.
        compared: run, why and differs, as ExplainFlow's artifact `compared` has them.
        seed: of the resamples, each drawn once for both models.

    Returns:
        `compared` with "accuracy" (of the earlier model) and "change" (now - then), both metrics.
    """
    gained = decisions.correct.astype(float) - before.correct
    change = measure(float(gained.mean()), resampled_means(gained, seed=seed)[:, 0], n=len(gained))
    return {**compared, "accuracy": share_of(before.correct, seed=seed), "change": change}
