"""Words taken out and put in, in the order of their contributions and at random: what the decision does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcycle.insight.attribution.attribute import Attribution
from dlcycle.insight.bootstrap import RESAMPLES, TAILS, Bools, Floats, Ints, resampled_means
from dlcycle.model.artifact import TextClassifier

STEPS = 10
"""Steps in which all words of a text are taken out or put in."""
ORDERS = 3
"""Random orders that the order of the contributions is compared with, for each text."""


@dataclass(frozen=True, eq=False)
class WordCurves:
    """Probability of the explained class after each step, of N texts; all arrays (N, STEPS + 1)."""

    deletion: Floats
    """Words taken out, those that contribute most first."""
    random_deletion: Floats
    """The same in random order, mean of `ORDERS`."""
    insertion: Floats
    """Words put into the empty text, those that contribute most first."""
    random_insertion: Floats

    @property
    def deletion_gain(self) -> Floats:
        """How much lower the probability is than at random, mean over the steps between none and all words, (N,)."""
        gains: Floats = (self.random_deletion - self.deletion)[:, 1:-1].mean(1)
        return gains

    @property
    def insertion_gain(self) -> Floats:
        """How much higher the probability is than at random, mean over the steps between none and all words, (N,)."""
        gains: Floats = (self.insertion - self.random_insertion)[:, 1:-1].mean(1)
        return gains


def follow_words(classifier: TextClassifier, attributions: Sequence[Attribution], *, seed: int) -> WordCurves:
    """Take the words of each text out, and put them in, a tenth at a time, and see what the model says.

    Args:
        classifier: the model.
        attributions: of N texts.
        seed: of the random orders; words that contribute equally are in random order too.

    Returns:
        The probabilities of the explained classes.

    Source: Samek et al. (2017) for deletion; Petsiuk, Das and Saenko (2018) for both.
    """
    generator = np.random.default_rng(seed)
    texts: list[str] = []
    for attribution in attributions:
        words = len(attribution.scores)
        orders = [_by_contribution(attribution, generator), *(generator.permutation(words) for _ in range(ORDERS))]
        for order in orders:
            texts += [attribution.reading.without(gone) for gone in _taken(order)]
            texts += [attribution.reading.without(~kept) for kept in _taken(order)]
    # Steps of a short text are often the same, and so are all ends.
    distinct = sorted(set(texts))
    place = {text: index for index, text in enumerate(distinct)}
    probabilities = classifier.predict(distinct, batch_size=256).probabilities
    rows = np.array([place[text] for text in texts], dtype=np.int64).reshape(
        len(attributions), 1 + ORDERS, 2, STEPS + 1
    )
    targets = np.array([attribution.target for attribution in attributions], dtype=np.int64)
    followed = probabilities[rows, targets[:, None, None, None]]
    mine, random = followed[:, 0], followed[:, 1:].mean(1)
    return WordCurves(mine[:, 0], random[:, 0], mine[:, 1], random[:, 1])


def drawn_curves(curves: WordCurves, *, seed: int) -> dict[str, Any]:
    """Means over the texts at each step, with the 95 % interval of the difference.

    Args:
        curves: of at least one text.
        seed: of the resamples, each drawn once for both orders.

    Returns:
        {"deletion", "insertion"}, each {"share" (of the words, 0 to 1), "attributed", "random", "low", "high"
        (attributed - random)}: lists, one number a step.
    """
    return {
        "deletion": _drawn(curves.deletion, curves.random_deletion, seed=seed),
        "insertion": _drawn(curves.insertion, curves.random_insertion, seed=seed),
    }


def _drawn(attributed: Floats, random: Floats, *, seed: int) -> dict[str, list[float]]:
    replicates = resampled_means(attributed - random, seed=seed, resamples=RESAMPLES)
    low, high = np.quantile(replicates, TAILS, axis=0)
    return {
        "share": [step / STEPS for step in range(STEPS + 1)],
        "attributed": attributed.mean(0).tolist(),
        "random": random.mean(0).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


def _by_contribution(attribution: Attribution, generator: np.random.Generator) -> Ints:
    order: Ints = np.lexsort((generator.random(len(attribution.scores)), -attribution.scores))
    return order


def _taken(order: Ints) -> list[Bools]:
    """Which words, (W,), are among the first of the order after each step."""
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return [ranks < round(step * len(order) / STEPS) for step in range(STEPS + 1)]
