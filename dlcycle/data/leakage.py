"""The proof that no text of one part has an exact or near duplicate in another: a search of its own, from scratch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcycle.data.duplicates import Integers, NearPairs, near_duplicate_pairs, no_pairs
from dlcycle.data.stratify import TEST, TRAIN, VALIDATION
from dlcycle.data.texts import text_ids


def check_leakage(
    texts: Sequence[str], parts: Integers, *, threshold: float | None, seed: int
) -> tuple[dict[str, Any], NearPairs]:
    """Search the parts for texts they share.

    Args:
        texts: n texts.
        parts: (n,) 0 for train, 1 for validation, 2 for test.
        threshold: Jaccard similarity from which two texts are near duplicates; None looks for exact ones only.
        seed: Of the MinHash permutations; other than that of the search which the split relied on.

    Returns:
        The report, plain data: `exact` texts and `near` pairs found in two parts (None if not searched), `checked` rows
        of validation and test, `passed` and `message`; and the near pairs that straddle, as positions in `texts`.
    """
    identities = text_ids(texts)
    train, validation, test = (identities[parts == part] for part in (TRAIN, VALIDATION, TEST))
    exact = len(np.intersect1d(train, validation)) + len(np.intersect1d(np.r_[train, validation], test))
    straddling = no_pairs()
    scope = "exact duplicate in another part; near duplicates were not searched, split.near_duplicates is off"
    if threshold is not None:
        found = near_duplicate_pairs(texts, threshold=threshold, seed=seed)
        apart = parts[found.rows[:, 0]] != parts[found.rows[:, 1]]
        straddling = NearPairs(found.rows[apart], found.similarity[apart])
        scope = f"exact or near duplicate in another part (Jaccard similarity of word triples from {threshold:g})"
    near, checked = len(straddling.rows), int(np.count_nonzero(parts != TRAIN))
    outcome = f"None of the {checked:,} validation and test rows has an {scope}."
    if exact or near:
        outcome = f"The parts share {exact:,} texts and {near:,} near-duplicate pairs ({checked:,} rows were checked)."
    report = {
        "exact": exact,
        "near": near if threshold is not None else None,
        "checked": checked,
        "passed": exact == 0 and near == 0,
        "message": outcome,
    }
    return report, straddling
