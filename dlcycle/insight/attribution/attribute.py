"""The contribution of each word to a decision, by four methods on captum.

Scores are in logits and about the *centred* logit of a class: its logit minus the mean of all logits, because a shift
that all classes share decides nothing.
"""

import functools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import FeatureAblation, ShapleyValueSampling
from torch import Tensor

from dlcycle.config import AttributionMethod
from dlcycle.data.messages import listed, several
from dlcycle.errors import DataError
from dlcycle.insight.attribution.gradients import check_embedding, id_scores
from dlcycle.insight.attribution.memory import Memory, measure_memory
from dlcycle.insight.attribution.untouched import untouched
from dlcycle.insight.bootstrap import Floats, Ints
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import ReadText, read_texts
from dlcycle.model.text import network_logits
from dlcycle.model.tokenizer import PAD, Ids

EXACT: tuple[AttributionMethod, ...] = ("integrated_gradients", "shapley")
"""Methods that promise scores which add up."""
MOST_AT_ONCE = 64
"""Texts that the model is asked about at once, if they fit into the memory: with more it is no faster."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What the words of a text contribute to the score of a class, all in logits."""

    reading: ReadText
    target: int
    """Index of the class."""
    scores: Floats
    """(W,) contribution of each word; below 0 it speaks against the class."""
    score: float
    """The target's logit minus the mean of all logits."""
    base: float
    """The same for the text without its words: with embeddings of padding for the methods that use gradients, and with
    the words taken out for the others."""
    delta: float | None
    """`score - base - scores.sum()`; None for methods that do not promise that it is 0."""


def attribute(
    classifier: TextClassifier,
    texts: Sequence[str],
    targets: npt.ArrayLike,
    *,
    method: AttributionMethod = "integrated_gradients",
    steps: int = 50,
    samples: int = 25,
    memory_megabytes: int = 512,
    seed: int = 0,
) -> list[Attribution]:
    """Find what each word of each text contributes to the score of a class.

    The network explains in evaluation mode and is left as it was. A text's result depends on no other text.

    Args:
        classifier: the model. Methods that use gradients need its network to have `embedding`, the one layer that reads
            the ids; the other two work with any network.
        texts: (N,) texts.
        targets: (N,) index of the class that each text is explained for.
        method: `integrated_gradients` sums the gradient along the straight line from padding to the text;
            `gradient_x_input` takes it at the text alone; `occlusion` takes out one word at a time; `shapley` adds the
            words in random orders, each contribution the mean over the orders. The last two ask the model about real
            texts, read anew.
        steps: points on the line (Gauss-Legendre), at least 2. Where the model changes so smoothly that 15 points
            give the same to 1e-4 of a logit, they are enough; a text where they do not gets all.
        samples: orders of the words, at least 1.
        memory_megabytes: what a batch may take at most, but for one text, or one point of one text, which it always
            holds; see `dlcycle.insight.attribution.memory`.
        seed: of the orders. They depend on it and on the text.

    Returns:
        N attributions in the order of the texts; a text without words has no scores, and its base is its score.

    Raises:
        DataError: texts or targets are not what they should be, or a number is out of range.
        ModelFileError: the method needs an embedding layer and the network has none.

    Source: Sundararajan et al. (2017); Shrikumar et al. (2016); Zeiler and Fergus (2014); Castro et al. (2009).
    """
    wanted = _checked(classifier, texts, targets, method=method, numbers=(steps, samples, memory_megabytes))
    if not len(wanted):
        return []
    network, readings = classifier.network, read_texts(classifier.tokenizer, texts)
    ids = [reading.ids for reading in readings]
    with untouched(network):
        network.eval().requires_grad_(False)
        if method == "integrated_gradients" or method == "gradient_x_input":
            check_embedding(network, method=method)
            memory = measure_memory(network, ids, megabytes=memory_megabytes, gradients=True)
            found = id_scores(network, ids, wanted, method=method, steps=steps, memory=memory)
            scores = [reading.owners.T @ part for reading, part in zip(readings, found, strict=True)]
            base = _padding_scores(classifier, ids, wanted, at_once=_at_once(memory, ids))
        else:
            memory = measure_memory(network, ids, megabytes=memory_megabytes, gradients=False)
            draw: dict[str, Any] = {"orders": samples if method == "shapley" else None, "seed": seed}
            scores, base = _word_scores(classifier, readings, wanted, **draw, at_once=_at_once(memory, ids))
        logits = network_logits(network, ids, classes=len(classifier.labels), batch_size=_at_once(memory, ids))
    columns = (readings, wanted.tolist(), scores, _centred(logits, wanted).tolist(), base.tolist())
    return [_attribution(*row, method=method) for row in zip(*columns, strict=True)]


def _at_once(memory: Memory, rows: Sequence[Ids]) -> int:
    """Texts that the model is asked about at once."""
    return min(MOST_AT_ONCE, memory.rows(max(map(len, rows))))


def _padding_scores(classifier: TextClassifier, rows: Sequence[Ids], targets: Ints, *, at_once: int) -> Floats:
    """Scores (N,) of the rows with each id embedded as padding, of which only the length is left."""
    network: Any = classifier.network
    _, first, places = np.unique([len(row) for row in rows], return_index=True, return_inverse=True)
    # The ids stay, for networks that find the end of a row by them.
    hook = network.embedding.register_forward_hook(
        lambda embedding, inputs, _output: embedding.forward(torch.full_like(inputs[0], PAD))
    )
    try:
        logits = network_logits(
            network, [rows[row] for row in first], classes=len(classifier.labels), batch_size=at_once
        )
    finally:
        hook.remove()
    return _centred(logits[places], targets)


def _attribution(
    reading: ReadText, target: int, scores: Floats, score: float, base: float, *, method: AttributionMethod
) -> Attribution:
    if not len(scores):
        base = score
    delta = score - base - float(scores.sum()) if method in EXACT else None
    return Attribution(reading, target, scores, score, base, delta)


def _checked(
    classifier: TextClassifier,
    texts: Sequence[str],
    targets: npt.ArrayLike,
    *,
    method: str,
    numbers: tuple[int, int, int],
) -> Ints:
    """The targets; all that is wrong with the arguments is one error."""
    wrong = []
    if isinstance(texts, (str, bytes)) or not hasattr(texts, "__len__"):
        wrong.append(f"texts must be a list of texts, got {type(texts).__name__}")
    elif other := [f"{row} is {type(text).__name__}" for row, text in enumerate(texts) if not isinstance(text, str)]:
        wrong.append(f"texts must be strings, but element {listed(other)}")
    wanted, classes = np.asarray(targets), len(classifier.labels)
    if wanted.ndim != 1 or not (wanted.dtype.kind in "iu" or wanted.size == 0):
        wrong.append(f"targets must be class indices in one dimension, got {wanted.dtype} of shape {wanted.shape}")
    else:
        if hasattr(texts, "__len__") and len(wanted) != len(texts):
            wrong.append(f"each text needs a target, got {several(len(texts), 'text')} and {len(wanted):,} targets")
        if outside := [f"{wanted[row]} (element {row})" for row in np.flatnonzero((wanted < 0) | (wanted >= classes))]:
            wrong.append(f"targets must be from 0 to {classes - 1}, got {listed(outside)}")
    if method not in get_args(AttributionMethod):
        wrong.append(f"method must be one of {', '.join(get_args(AttributionMethod))}, got {method!r}")
    for name, value, low in zip(("steps", "samples", "memory_megabytes"), numbers, (2, 1, 1), strict=True):
        if value < low:
            wrong.append(f"{name} must be at least {low}, got {value}")
    if wrong:
        raise DataError(f"these texts cannot be explained: {'; '.join(wrong)}")
    return wanted.astype(np.int64)


def _centred(logits: Floats, targets: Ints) -> Floats:
    return logits[np.arange(len(logits)), targets] - logits.mean(1)


def _word_scores(
    classifier: TextClassifier,
    readings: Sequence[ReadText],
    targets: Ints,
    *,
    orders: int | None,
    seed: int,
    at_once: int,
) -> tuple[list[Floats], Floats]:
    """Scores of the words of each text, N arrays (W,), and the scores (N,) of the texts without their words.

    Words are taken out one at a time or, with `orders`, in random orders; `at_once` texts are asked about together.
    """
    empty = [reading.without(np.ones(len(reading.spans), dtype=bool)) for reading in readings]
    base = _centred(classifier.logits(empty, batch_size=at_once), targets)

    def score(texts: Sequence[str], target: int) -> Floats:
        return _centred(classifier.logits(texts, batch_size=at_once), np.full(len(texts), target))

    scores = [
        _by_words(reading, functools.partial(score, target=target), orders=orders, seed=seed)
        for reading, target in zip(readings, targets.tolist(), strict=True)
    ]
    return scores, base


def _by_words(reading: ReadText, score: Callable[[Sequence[str]], Floats], *, orders: int | None, seed: int) -> Floats:
    """Scores of the words of a text, (W,), by what `score` says of n texts with some of these words, (n,)."""
    words = len(reading.spans)
    if not words:
        return np.zeros(0)
    present = torch.ones(1, words)

    def ask(there: Tensor) -> Tensor:
        return torch.from_numpy(score([reading.without(row == 0) for row in there.numpy()]))

    options: dict[str, Any] = {"baselines": 0, "perturbations_per_eval": words}
    if orders is None:
        return FeatureAblation(ask).attribute(present, **options)[0].double().numpy()
    # Captum draws from torch's global random numbers.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + zlib.crc32(reading.shown.encode()))
        return ShapleyValueSampling(ask).attribute(present, n_samples=orders, **options)[0].double().numpy()
