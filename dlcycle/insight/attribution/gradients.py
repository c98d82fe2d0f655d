"""Scores of token ids by gradients at the embedding, in batches of texts of similar length and bounded size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradientXActivation, LayerIntegratedGradients
from torch import Tensor, nn

from dlcycle.errors import ModelFileError
from dlcycle.insight.attribution.lstm import ROWS, Scratch, bytes_of_an_id, is_plain_lstm, lstm_scores
from dlcycle.insight.attribution.memory import CURE, Memory, device_of, graph_from_embedding
from dlcycle.insight.attribution.shortcuts import (
    POINTS,
    convolution_scores,
    recurrent_logits,
    smooth_scores,
    target_scores,
)
from dlcycle.insight.bootstrap import Floats, Ints
from dlcycle.model.text import ConvolutionNetwork, RecurrentNetwork, pad_rows
from dlcycle.model.tokenizer import PAD, Ids

SIMILAR = 0.75
"""Length of the shortest text of a batch, as a share of the longest."""
TOLERANCE = 2e-3
"""Logits, summed over a text, by which the rules of 7 and of 15 points may differ for the latter to be believed. The
error of 15 points falls as the power 1.5 of that difference (Piessens et al., 1983): it is below 1e-4."""


def id_scores(
    network: Any,
    rows: Sequence[Ids],
    targets: Ints,
    *,
    method: Literal["integrated_gradients", "gradient_x_input"],
    steps: int,
    memory: Memory,
) -> list[Floats]:
    """What each id contributes to the centred logit of a class.

    Args:
        network: with a layer `embedding`, see `check_embedding`; in evaluation mode, without parameters that require
            gradients; left as it is.
        rows: N arrays of ids.
        targets: (N,) classes.
        method: see `attribute`.
        steps: points of the line from padding to the text, at most.
        memory: what a batch may hold, but for one point of one text, which it always holds.

    Returns:
        N arrays (T,) of scores.
    """
    scores = [np.zeros(0)] * len(rows)
    batches = _Batches(network, rows, targets, memory)
    if method == "integrated_gradients":
        _integrate(batches, scores, steps=steps)
    else:
        for chunk, inputs, _ in batches.each(np.arange(len(rows)), points=1):
            batches.put(scores, chunk, _slopes(network, *inputs))
    return scores


def check_embedding(network: Any, *, method: str) -> None:
    """Refuse a network without a layer `embedding`, where gradients would be taken.

    Raises:
        ModelFileError: it has none.
    """
    if not isinstance(getattr(network, "embedding", None), nn.Module):
        needs = f'explain.method = "{method}" needs a network with a layer `embedding` that alone reads the ids'
        raise ModelFileError(f"{needs}, and {type(network).__name__} has none; {CURE}")


def _integrate(batches: "_Batches", scores: list[Floats], *, steps: int) -> None:
    """Put integrated gradients in the place of `scores`, in the way that suits the network."""
    network, numbers = batches.network, np.arange(len(scores))
    if type(network) is ConvolutionNetwork and not network.embedding.weight[PAD].any():
        for chunk, inputs, _ in batches.each(numbers, points=1):
            batches.put(scores, chunk, convolution_scores(network, *inputs, steps=steps))
        return
    if is_plain_lstm(network):
        scratch = Scratch()
        memory = batches.memory.without_cache(bytes_of_an_id=bytes_of_an_id(network))
        for chunk, inputs, room in replace(batches, memory=memory).each(numbers, points=steps, rows=ROWS):
            batches.put(scores, chunk, lstm_scores(network, *inputs, steps=steps, at_once=room, scratch=scratch))
        return
    # Recurrent networks bend too much for few points: most of their texts would be computed twice.
    if steps > POINTS and type(network) is not RecurrentNetwork:
        rough = [numbers[:0]]
        for chunk, inputs, room in batches.each(numbers, points=POINTS):
            if room < POINTS:  # its points are asked for all at once
                rough.append(chunk)
                continue
            values, errors = smooth_scores(network, *inputs)
            batches.put(scores, chunk, values)
            # Written so that what is not a number is not believed.
            rough.append(chunk[~(errors <= TOLERANCE).cpu().numpy()])
        numbers = np.concatenate(rough)
    for chunk, inputs, room in batches.each(numbers, points=steps):
        batches.put(scores, chunk, _by_captum(network, *inputs, steps=steps, at_once=len(chunk) * room))


@dataclass(frozen=True)
class _Batches:
    """How rows come together."""

    network: nn.Module
    rows: Sequence[Ids]
    targets: Ints
    memory: Memory

    def each(
        self, numbers: Ints, *, points: int, rows: int | None = None
    ) -> Iterator[tuple[Ints, tuple[Tensor, Tensor, Tensor], int]]:
        """Numbers of the rows of each batch, its tokens, lengths and targets, and the points of a row that fit in.

        A batch has no more than `rows`, if that is given.
        """
        device = device_of(self.network)
        lengths = np.array([len(self.rows[number]) for number in numbers], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            longest = int(lengths[order[start]])
            room = self.memory.rows(longest)
            alike = int((lengths[order[start:][:rows]] >= SIMILAR * longest).sum())
            stop = start + min(max(1, room // points), alike)
            chunk = numbers[order[start:stop]]
            tokens, sizes = pad_rows([self.rows[number] for number in chunk])
            wanted = torch.from_numpy(self.targets[chunk])
            yield chunk, (tokens.to(device), sizes.to(device), wanted.to(device)), min(points, room)
            start = stop

    def put(self, scores: list[Floats], chunk: Ints, values: Tensor) -> None:
        """Put the scores (n, L) of a batch to their rows, without the padding."""
        for number, row in zip(chunk, values.cpu().numpy(), strict=True):
            scores[number] = row[: len(self.rows[number])]


def _total(network: nn.Module) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    # Rows do not depend on each other: the gradient of the sum is each row's own, and one number is differentiated
    # faster than thousands.
    return lambda tokens, lengths, targets: target_scores(network(tokens, lengths), targets).sum().reshape(1)


def _slopes(network: Any, tokens: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    with graph_from_embedding(network):
        found = LayerGradientXActivation(_total(network), network.embedding).attribute(
            tokens, additional_forward_args=(lengths, targets)
        )
    return found.detach().double().sum(2)


def _by_captum(network: Any, tokens: Tensor, lengths: Tensor, targets: Tensor, *, steps: int, at_once: int) -> Tensor:
    options = {"n_steps": steps, "internal_batch_size": at_once}
    if type(network) is RecurrentNetwork:
        with torch.no_grad():
            states, padding = network.embedding(tokens), network.embedding(torch.full_like(tokens, PAD))

        def total(states: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
            return target_scores(recurrent_logits(network, states, lengths), targets).sum().reshape(1)

        found = IntegratedGradients(total).attribute(
            states, baselines=padding, additional_forward_args=(lengths, targets), **options
        )
    else:
        found = LayerIntegratedGradients(_total(network), network.embedding).attribute(
            tokens,
            baselines=torch.full_like(tokens, PAD),
            additional_forward_args=(lengths, targets),
            **options,
        )
    return found.detach().double().sum(2)
