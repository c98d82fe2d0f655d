"""Does the model say the same about a text whatever batch it comes in?

Padding, masks and normalisation over the batch are where it goes wrong, and accuracy does not show it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def sample_texts(texts: Sequence[str], *, most: int = 300) -> list[str]:
    """Texts of every length, always with the shortest and the longest, in a fixed mixed order.

    The choice depends on the texts alone, not on their order. Lengths are mixed so that batches need padding.

    Args:
        texts: Candidates.
        most: Texts to return at most, at least 2.

    >>> sorted(sample_texts(["aaa", "b", "cc"], most=2))
    ['aaa', 'b']
    """
    ordered = sorted(texts, key=lambda text: (len(text), text))
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)
    return [ordered[places[index]] for index in np.random.default_rng(0).permutation(len(places))]


def check_batch_sizes(
    predict: Callable[[list[str], int], npt.NDArray[Any]],
    texts: Sequence[str],
    *,
    sizes: Sequence[int] = (1, 7, 256),
    tolerance: float = 1e-5,
    most: int = 300,
) -> dict[str, Any]:
    """Compare predictions of the same texts at several batch sizes.

    Args:
        predict: Takes texts and a batch size, returns probabilities (N, C).
        texts: Candidates, at least one; `sample_texts` chooses among them.
        sizes: Batch sizes.
        tolerance: Largest difference of a probability that passes.
        most: Texts compared at most.

    Returns:
        {"sizes", "rows", "largest_difference", "tolerance", "passed", "message"}; the difference is None if a
        prediction is not a finite number, or if shapes differ.
    """
    sample = sample_texts(texts, most=most)
    predictions = [np.asarray(predict(sample, size), dtype=np.float64) for size in sizes]
    largest: float | None = None
    where = f"{len(sample):,} texts at batch sizes {', '.join(map(str, sizes))}"
    if len({prediction.shape for prediction in predictions}) > 1:
        shapes = ", ".join(str(prediction.shape) for prediction in predictions)
        message = f"Predictions of {where} have different shapes: {shapes}."
    elif not all(np.isfinite(prediction).all() for prediction in predictions):
        message = f"Predictions of {where} hold values that are not finite numbers."
    else:
        largest = float(np.ptp(predictions, axis=0).max())
        words = "agree" if largest <= tolerance else "do not agree"
        message = f"Predictions of {where} {words}: largest difference {largest:.1e}, at most {tolerance:.0e} allowed."
    return {
        "sizes": [int(size) for size in sizes],
        "rows": len(sample),
        "largest_difference": largest,
        "tolerance": tolerance,
        "passed": largest is not None and largest <= tolerance,
        "message": message,
    }
