"""The word-swap attack: can a few replaced words turn a right decision wrong?

The gradient at the embeddings says, to first order, what each replacement of each word would do (HotFlip); the most
promising ones are then tried on the network itself, with the text read anew, as n-grams change too. Instead of the loss
of the true class the attack follows the log-odds against it, which rise and fall with the loss but can still be told
apart where the model is so sure that the loss is rounded to 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import scipy.special
import torch
from torch import Tensor, nn

from dlcycle.data.draw import content_hashes
from dlcycle.insight.attribution.memory import device_of, graph_from_embedding, measure_memory
from dlcycle.insight.attribution.untouched import untouched
from dlcycle.insight.bootstrap import Bools, Floats, Ints
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import ReadText, read_texts
from dlcycle.model.text import pad_rows
from dlcycle.model.tokenizer import WORD, Ids

TRIES = 20
"""Replacements that are tried on the network in each step."""

Search = Literal["gradient", "random"]
Swap = tuple[int, str]
"""Which word of a text is replaced, and by what."""


@dataclass(frozen=True, eq=False)
class WordSwaps:
    """What the attack did to N texts."""

    before: list[str]
    """(N,) the texts; where a word was replaced, with their characters as the tokenizer normalises them."""
    after: list[str]
    """(N,) the texts after the attack; as before where no word was replaced."""
    predicted: Ints
    """(N,) decisions on them, class indices."""
    swaps: list[list[tuple[str, str]]]
    """(N,) pairs of a word taken out, lower-cased and with personal data masked, and the word put in."""
    search: Search
    """How replacements were found: by the gradient or, for networks without an embedding, at random."""


@dataclass(eq=False)
class _Attacked:
    """A text under attack: what it was, and which of its words are replaced so far."""

    place: int
    truth: int
    odds: float
    """Log-odds against the true class."""
    original: ReadText
    free: Bools
    """(W,) words that may still be replaced."""
    swaps: dict[int, str] = field(default_factory=dict)
    done: bool = False

    def text(self, *more: Swap) -> str:
        """The text with its words replaced, and a further one."""
        shown, place, pieces = self.original.shown, 0, []
        for word, new in sorted({**self.swaps, **dict(more)}.items()):
            start, end = self.original.spans[word].tolist()
            pieces += [shown[place:start], new]
            place = end
        return "".join([*pieces, shown[place:], self.original.rest])


def swap_words(
    classifier: TextClassifier,
    texts: Sequence[str],
    truth: npt.ArrayLike,
    *,
    vocabulary: Sequence[str],
    budget: int = 2,
    tries: int = TRIES,
    search: Search = "gradient",
    memory_megabytes: int = 512,
    seed: int = 0,
) -> WordSwaps:
    """Replace words of texts, one after the other, so that the decision on them turns wrong.

    Each step makes the replacement that turns the decision wrong, or else raises the loss of the true class most; a
    text of which no replacement tried does is left alone. Only texts that are decided rightly are attacked.

    Args:
        classifier: the model; its network is as before afterwards.
        texts: (N,) texts.
        truth: (N,) true class indices; one that the model does not know, such as -1, is never decided rightly.
        vocabulary: words to put in; see `dlcycle.insight.robustness.neutral_words`.
        budget: words of a text that may be replaced.
        tries: replacements of a step that are computed; the others are only estimated.
        search: "gradient" tries those of the highest estimate, "random" any. A network whose `embedding` is not a
            `torch.nn.Embedding` is always searched at random.
        memory_megabytes: what a batch of gradients may take.
        seed: of the random search; with the text it decides what is tried.

    Returns:
        The texts after the attack and the decisions on them.

    Source: Ebrahimi et al. (2018), HotFlip: White-Box Adversarial Examples for Text Classification.
    """
    classes = np.asarray(truth, dtype=np.int64)
    embedding = getattr(classifier.network, "embedding", None)
    guided = isinstance(embedding, nn.Embedding) and search == "gradient"
    with untouched(classifier.network):
        predicted, attacked = _attacked(classifier, texts, classes)
        for step in range(budget if vocabulary else 0):
            active = [state for state in attacked if not state.done]
            if guided:
                proposed = _promising(classifier, active, vocabulary, tries=tries, memory_megabytes=memory_megabytes)
            else:
                proposed = (_any(state, vocabulary, tries=tries, seed=(seed, step)) for state in active)
            for state, swaps in zip(active, proposed, strict=True):
                predicted[state.place] = _make_best(classifier, state, swaps)
    before, after = list(texts), list(texts)
    swapped: list[list[tuple[str, str]]] = [[] for _ in texts]
    for state in attacked:
        if state.swaps:
            before[state.place], after[state.place] = state.original.shown + state.original.rest, state.text()
            masked, spans = state.original.masked, state.original.spans.tolist()
            swapped[state.place] = [(masked[slice(*spans[word])].lower(), new) for word, new in state.swaps.items()]
    return WordSwaps(before, after, predicted, swapped, "gradient" if guided else "random")


def _attacked(classifier: TextClassifier, texts: Sequence[str], classes: Ints) -> tuple[Ints, list[_Attacked]]:
    """The decision on each text, and those that are right, in order of length for batches without much padding."""
    logits = classifier.logits(texts)
    predicted = logits.argmax(axis=1)
    right = np.flatnonzero(predicted == classes).tolist()
    readings = read_texts(classifier.tokenizer, [texts[place] for place in right])
    odds = odds_against(logits[right], classes[right])
    states = zip(right, classes[right].tolist(), odds.tolist(), readings, strict=True)
    found = [_Attacked(*state, free=_replaceable(state[-1])) for state in states]
    return predicted, sorted(found, key=lambda state: len(state.original.ids))


def _replaceable(reading: ReadText) -> Bools:
    """Words that touch no other word, so that what replaces them is read as a word, (W,)."""
    text = reading.shown + reading.rest
    return np.array(
        [
            WORD.fullmatch(text, start, end) is not None
            and WORD.match(text, end) is None
            and (start == 0 or WORD.match(text, start - 1, start) is None)
            for start, end in reading.spans.tolist()
        ],
        dtype=np.bool_,
    )


def odds_against(logits: npt.NDArray[np.float64], truth: Ints) -> Floats:
    """Log-odds against the true class, (N,), of logits (N, C): the loss is the softplus of it.

    >>> odds_against(np.array([[2.0, 0.0]]), np.array([0])).tolist()
    [-2.0]
    """
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, truth] = -np.inf
    odds: Floats = scipy.special.logsumexp(others, axis=1) - logits[rows, truth]
    return odds


def _make_best(classifier: TextClassifier, state: _Attacked, swaps: Sequence[Swap]) -> int:
    """Make the swap that turns the decision wrong or else raises the odds most, if one does; return the decision."""
    state.done = True
    if not swaps:
        return state.truth
    logits = classifier.logits([state.text(swap) for swap in swaps])
    predicted = logits.argmax(axis=1)
    wrong, odds = predicted != state.truth, odds_against(logits, np.full(len(swaps), state.truth))
    best = np.lexsort((-odds, ~wrong))[0]
    if not wrong[best] and odds[best] <= state.odds:
        return state.truth
    word, new = swaps[best]
    state.swaps[word], state.odds, state.free[word] = new, float(odds[best]), False
    state.done = bool(wrong[best])
    return int(predicted[best])


def _any(state: _Attacked, vocabulary: Sequence[str], *, tries: int, seed: tuple[int, int]) -> list[Swap]:
    """Different swaps at random; they depend on the text, not on where it stands."""
    words = np.flatnonzero(state.free).tolist()
    generator = np.random.default_rng([*seed, *content_hashes([state.text()], seed=0).tolist()])
    total = len(words) * len(vocabulary)
    drawn = generator.choice(total, size=min(tries, total), replace=False).tolist() if total else []
    return [(words[number // len(vocabulary)], vocabulary[number % len(vocabulary)]) for number in drawn]


def _promising(
    classifier: TextClassifier,
    active: Sequence[_Attacked],
    vocabulary: Sequence[str],
    *,
    tries: int,
    memory_megabytes: int,
) -> Iterator[list[Swap]]:
    """For each text the swaps of the highest estimates, best first."""
    embedding = cast(nn.Embedding, classifier.network.embedding)
    weight = embedding.weight.detach().float().cpu().numpy()
    new = np.stack([weight[ids].sum(axis=0) for ids in classifier.tokenizer.encode(vocabulary)])
    readings = read_texts(classifier.tokenizer, [state.text() for state in active])
    gradients = odds_gradients(
        classifier.network,
        [reading.ids for reading in readings],
        [state.truth for state in active],
        memory_megabytes=memory_megabytes,
    )
    for state, reading, gradient in zip(active, readings, gradients, strict=True):
        gains = estimated_gains(reading, gradient, old=weight[reading.ids], new=new)
        # A replacement of several sub-words can push the last words of a long text out of what is read.
        free = np.flatnonzero(state.free[: len(gains)])
        flat = gains[free].ravel()
        few = np.argpartition(-flat, min(tries, len(flat)) - 1)[:tries] if len(flat) else np.zeros(0, dtype=np.int64)
        words, numbers = np.divmod(few[np.argsort(-flat[few], kind="stable")], len(vocabulary))
        yield [(int(free[word]), vocabulary[number]) for word, number in zip(words, numbers, strict=True)]


def estimated_gains(reading: ReadText, gradient: Floats, *, old: Floats, new: Floats) -> Floats:
    """What each replacement of each word would add, to first order.

    A replaced word takes out its ids and every n-gram that it is part of; the n-grams that come instead are taken to
    say nothing. A new word of several sub-words brings the sum of their embeddings, at the mean gradient of the
    sub-words that go.

    Args:
        reading: a text of T ids and W words.
        gradient: (T, E) at the embeddings of the ids.
        old: (T, E) those embeddings.
        new: (V, E) embeddings of the words to put in.

    Returns:
        (W, V), in the unit of what the gradient is of.
    """
    concerned = (reading.owners > 0).T.astype(np.float64)
    own = (reading.owners == 1).T.astype(np.float64)
    ids = np.maximum(own.sum(axis=1), 1.0)
    removed = concerned @ (gradient * old).sum(axis=1)
    gains: Floats = (own @ gradient) / ids[:, None] @ new.T - removed[:, None]
    return gains


def odds_gradients(
    network: Any, rows: Sequence[Ids], truth: Sequence[int], *, memory_megabytes: int = 512
) -> Iterator[Floats]:
    """Gradients of the log-odds against the true class at the embeddings of the ids.

    Args:
        network: takes tokens and lengths; its `embedding` is the one layer that reads the ids. It computes as in
            evaluation, and is as before afterwards.
        rows: N arrays of ids.
        truth: N class indices.
        memory_megabytes: what a batch may take, but for one row; see `dlcycle.insight.attribution.memory`.

    Yields:
        (T, E) for each row, in order.

    Raises:
        ModelFileError: the network does not use its layer `embedding`.
    """
    if not rows:
        return
    with untouched(network):
        network.eval().requires_grad_(False)
        memory = measure_memory(network, rows, megabytes=memory_megabytes, gradients=True)
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and end + 1 - start <= memory.rows(max(map(len, rows[start : end + 1]))):
            end += 1
        tokens, lengths = pad_rows(rows[start:end])
        gradient = _gradient(network, tokens, lengths, torch.as_tensor(truth[start:end]))
        yield from (found[:length] for found, length in zip(gradient, lengths.tolist(), strict=True))
        start = end


def _gradient(network: Any, tokens: Tensor, lengths: Tensor, truth: Tensor) -> Floats:
    """Gradients (N, L, E) of one batch."""
    device = device_of(network)
    with untouched(network), torch.enable_grad(), graph_from_embedding(network) as leaves:
        network.eval().requires_grad_(False)
        logits = network(tokens.to(device), lengths.to(device)).double()
        own = nn.functional.one_hot(truth.to(device), logits.shape[1]).bool()
        odds = logits.masked_fill(own, -torch.inf).logsumexp(1) - logits[own]
        (gradient,) = torch.autograd.grad(odds.sum(), leaves[0])
    result: Floats = gradient.double().cpu().numpy()
    return result
