"""What changed against an earlier model: both decide the same test rows."""

from collections.abc import Mapping
from typing import Any

from dlcycle.insight.bootstrap import measure, resampled_means, share
from dlcycle.insight.metrics import Decisions


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
    rows = len(decisions.truth)
    then = resampled_means(before.correct, seed=seed)[:, 0]
    gained = decisions.correct.astype(float) - before.correct
    change = measure(float(gained.mean()), resampled_means(gained, seed=seed)[:, 0], n=rows)
    return {**compared, "accuracy": share(int(before.correct.sum()), rows, then), "change": change}
