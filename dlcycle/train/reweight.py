"""Weights of rows that make groups and classes independent of each other."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.errors import TrainingError

CAP = 10.0
"""Largest weight before the mean is made 1. A group with one row of a class would give that row the weight of hundreds:
the loss of its batch would be the loss of that row, which may be a mislabelled one."""


def reweighting(
    groups: Sequence[str | None], labels: npt.NDArray[np.int64], *, cap: float = CAP
) -> npt.NDArray[np.float32]:
    """Weigh each row by how much rarer its class is in its group than it would be by chance.

    With w(g, y) = P(g) P(y) / P(g, y) the share of a class is the same in each group when rows are counted by weight,
    and the groups and the classes are as frequent as before. This holds where each group has rows of each class, and
    as far as no weight is above the cap.

    Args:
        groups: (N,) values of a column; those without one (None) are a group of their own.
        labels: (N,) class indices.
        cap: largest weight before the mean is made 1; `math.inf` for none.

    Returns:
        (N,) weights above 0 of mean 1.

    Raises:
        TrainingError: there are no rows, or not as many groups as labels.

    Source: Kamiran and Calders (2012), Data preprocessing techniques for classification without discrimination.

    Example:
        >>> print(reweighting(["f"] * 4 + ["m"] * 4, np.array([0, 0, 0, 1, 0, 1, 1, 1])).round(2))
        [0.67 0.67 0.67 2.   2.   0.67 0.67 0.67]
    """
    if len(groups) != len(labels) or not len(labels):
        raise TrainingError(f"expected a group for each label, got {len(groups)} groups and {len(labels)} labels")
    group = pd.factorize(pd.Series(list(groups), dtype=object))[0] + 1
    counts = np.zeros((group.max() + 1, int(labels.max()) + 1))
    np.add.at(counts, (group, labels), 1)
    expected = counts.sum(1)[group] * counts.sum(0)[labels] / len(labels)
    weights = np.minimum(expected / counts[group, labels], cap)
    return (weights / weights.mean()).astype(np.float32)
