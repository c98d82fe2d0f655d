"""Stratified assignment of whole units (groups of rows that must stay together) to train, validation and test.

The order of the units comes from hashes of their content, so the assignment depends on what the rows say and on the
seed, never on their order in the source.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from dlcycle.data.duplicates import Hashes, Integers

TRAIN, VALIDATION, TEST = range(3)
_PRIORITY = (TRAIN, TEST, VALIDATION)
"""Which parts a class gets first when it has fewer units than parts."""


def stratify(units: Integers, labels: Sequence[str], hashes: Hashes, *, validation: float, test: float) -> Integers:
    """Assign units so that each class is spread over the parts by the given shares.

    Units of several rows come first, largest first, each to the part that is least full for its classes (the
    highest averages of Sainte-Laguë, so that large units are spread like small ones); units of one row then fill each
    class up to its exact share. A class of three or more units gets a row in every part as long as it shares no unit
    with other classes; where it does, this is tried, train first.

    Args:
        units: (n,) unit number of each row.
        labels: n labels.
        hashes: (n,) content hash of each row, which orders equal units.
        validation: Share of each class for the validation part.
        test: Share of each class for the test part.

    Returns:
        (n,) 0 for train, 1 for validation, 2 for test.

    Example:
        >>> parts = stratify(np.arange(10), ["a"] * 10, np.arange(10, dtype=np.uint64), validation=0.1, test=0.2)
        >>> np.bincount(parts).tolist()
        [7, 1, 2]
    """
    classes, names = pd.factorize(np.array(labels, dtype=object), sort=True)
    sizes = np.bincount(units)
    pairs = pd.DataFrame({"unit": units, "label": classes}).groupby(["unit", "label"]).size()
    left = np.bincount(pairs.index.get_level_values("label"), minlength=len(names)).tolist()
    required = [_PRIORITY[: min(3, count)] for count in left]
    shares = (1 - validation - test, validation, test)
    targets = [apportion(n, shares, need) for n, need in zip(np.bincount(classes).tolist(), required, strict=True)]
    filled = [[0, 0, 0] for _ in names]

    members: defaultdict[int, dict[int, int]] = defaultdict(dict)
    together = pairs[sizes[pairs.index.get_level_values("unit")] > 1]
    for (unit, label), rows in together.items():
        members[unit][label] = rows
    first = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(first, units, hashes)
    chosen = np.full(len(sizes), TRAIN)
    for unit in sorted(members, key=lambda unit: (-sizes[unit], first[unit])):
        chosen[unit] = part = _choose(members[unit], filled, targets, required, left)
        for label, rows in members[unit].items():
            filled[label][part] += rows
            left[label] -= 1

    parts = chosen[units]
    alone = np.flatnonzero(sizes[units] == 1)
    alone = alone[np.lexsort((hashes[alone], classes[alone]))]
    for label, rows in enumerate(np.split(alone, np.searchsorted(classes[alone], np.arange(1, len(names))))):
        want = [max(target - have, 0) for target, have in zip(targets[label], filled[label], strict=True)]
        counts = apportion(len(rows), want, _missing(filled[label], required[label]))
        parts[rows] = np.repeat(_PRIORITY[::-1], [counts[part] for part in _PRIORITY[::-1]])
    return parts


def apportion(n: int, weights: Sequence[float], required: Sequence[int] = ()) -> list[int]:
    """Divide n rows by weights, by largest remainder; every required part gets one row if n allows.

    Args:
        n: Rows to divide.
        weights: Weight of each part, of any sum.
        required: Parts that must not stay empty, the most important first.

    Returns:
        Rows per part.

    Example:
        >>> apportion(10, [0.7, 0.1, 0.2]), apportion(3, [0.7, 0.1, 0.2], required=[0, 2, 1])
        ([7, 1, 2], [1, 1, 1])
    """
    total = sum(weights) or 1
    quotas = [n * weight / total for weight in weights]
    counts = [int(quota) for quota in quotas]
    for part in sorted(range(len(weights)), key=lambda part: counts[part] - quotas[part])[: n - sum(counts)]:
        counts[part] += 1
    for part in required:
        donor = max(range(len(weights)), key=lambda other: counts[other])
        if counts[part] == 0 and (counts[donor] > 1 or donor not in required):
            counts[donor] -= 1
            counts[part] += 1
    return counts


def _missing(filled: Sequence[int], required: Sequence[int]) -> list[int]:
    return [part for part in required if filled[part] == 0]


def _choose(
    member: dict[int, int],
    filled: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    required: Sequence[Sequence[int]],
    left: Sequence[int],
) -> int:
    """Return the least full part, among those that a class still lacks where its remaining units are just enough."""
    forced = [_missing(filled[label], required[label]) for label in member]
    forced = [parts for parts, label in zip(forced, member, strict=True) if parts and len(parts) >= left[label]]
    allowed = set(range(3)).intersection(*forced)
    if not allowed:
        allowed = {TRAIN} if any(TRAIN in parts for parts in forced) else set(forced[0])

    def fullness(part: int) -> float:
        return sum(
            rows * (filled[label][part] + rows / 2) / max(targets[label][part], 0.5) for label, rows in member.items()
        )

    return min(sorted(allowed), key=fullness)
