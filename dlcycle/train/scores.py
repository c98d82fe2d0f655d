"""Scores of a classification, for choosing the best epoch and the best candidate."""

import numpy as np
import numpy.typing as npt


def validation_scores(truth: npt.NDArray[np.int64], logits: npt.NDArray[np.float64]) -> dict[str, float]:
    """Mean loss, accuracy and macro-F1 of logits.

    Args:
        truth: (N,) class indices, N >= 1.
        logits: (N, C) logits; of equal ones the first is the prediction.

    Returns:
        `loss`: mean cross-entropy in nats. `accuracy`, 0 to 1. `macro_f1`, 0 to 1: mean of 2 TP / (2 TP + FP + FN)
        over the classes in `truth` or predicted, as scikit-learn's `f1_score(average="macro")`.

    Example:
        >>> validation_scores(np.array([0, 0, 1]), np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0]]))["accuracy"]
        0.6666666666666666
    """
    classes = logits.shape[1]
    predicted = logits.argmax(1)
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    rows = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)
    seen = rows > 0
    shifted = logits - logits.max(1, keepdims=True)
    loss = (np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(truth)), truth]).mean()
    return {
        "loss": float(loss),
        "accuracy": float((truth == predicted).mean()),
        "macro_f1": float((2 * hits[seen] / rows[seen]).mean()),
    }
