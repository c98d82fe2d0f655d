"""Integrated gradients of an LSTM at its gates, several times as fast as through torch's own gradient.

Before a gate's curve is applied, its input is affine in the embedding of the step and in the state before. On a line of
embeddings the former moves on a line too, so that an id contributes the change of its gates' inputs times their mean
slope: the embedding itself, and the products with its weights at every point and step, are never asked for.

Numbers lie with the texts and points last, the longest text first, so that each gate is one block of memory and the
texts that reach a step are its first columns.
"""

import math
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from dlcycle.insight.attribution.shortcuts import gauss_rule
from dlcycle.model.text import RecurrentNetwork
from dlcycle.model.tokenizer import PAD

ROWS = 8
"""Texts of a call at most: each is a column more of a product that is taken at every step."""
DIRECTIONS = ("l0", "l0_reverse")


class Scratch:
    """Memory that one call after the other uses again: with fresh memory from the system, all takes a third longer."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A tensor with any content, of `like`'s kind; what was taken under this name before is lost."""
        size = math.prod(shape)
        if name not in self._held or self._held[name].numel() < size:
            self._held.pop(name, None)
            self._held[name] = like.new_empty(size)
        return self._held[name][:size].view(shape)


def is_plain_lstm(network: nn.Module) -> TypeGuard[RecurrentNetwork]:
    """Whether `lstm_scores` can be asked."""
    layers = network.recurrent if type(network) is RecurrentNetwork else None
    return type(layers) is nn.LSTM and layers.num_layers == 1


def bytes_of_an_id(network: RecurrentNetwork) -> int:
    """What `lstm_scores` holds of an id at a point: the slopes of one direction, and the products."""
    return (6 * network.recurrent.hidden_size + ROWS) * network.head.weight.element_size()


@torch.inference_mode()
def lstm_scores(
    network: RecurrentNetwork,
    tokens: Tensor,
    lengths: Tensor,
    targets: Tensor,
    *,
    steps: int,
    at_once: int,
    scratch: Scratch,
) -> Tensor:
    """Integrated gradients of the centred logit from padding to the text, by the rule of Gauss with `steps` points.

    Args:
        network: see `is_plain_lstm`; in evaluation mode.
        tokens: (n, L) ids.
        lengths: (n,) ids of each row.
        targets: (n,) classes.
        steps: points of the line.
        at_once: points that are held in memory at once.
        scratch: the same for all calls.

    Returns:
        Scores of the ids (n, L).
    """
    # The longest first: the texts that reach a step are the first ones.
    lengths, order = lengths.sort(descending=True, stable=True)
    tokens, targets = tokens[order], targets[order]
    padding = network.embedding(tokens.new_full((1,), PAD))
    change = (network.embedding(tokens) - padding).transpose(0, 1)
    places = torch.arange(tokens.shape[1], device=tokens.device)[:, None]
    turned = torch.where(places < lengths, lengths - 1 - places, places)[:, :, None]
    nodes, weights = (torch.as_tensor(part, dtype=change.dtype, device=change.device) for part in gauss_rule(steps))
    # The mean of the states and the head are linear: the slopes at the states are known before the states.
    head = (network.head.weight[targets] - network.head.weight.mean(0)) / lengths[:, None]
    scores = change.new_zeros(change.shape[:2], dtype=torch.float64)
    for name, slopes in zip(DIRECTIONS, head.chunk(2, 1), strict=True):
        back = name.endswith("reverse")
        changes = change.gather(0, turned.expand_as(change)) if back else change
        way = _Direction(network.recurrent, name, padding, changes, lengths.tolist(), scratch)
        for points, parts in zip(nodes.split(at_once), weights.split(at_once), strict=True):
            way.go(points)
            found = way.scores((slopes.T[:, :, None] * parts).flatten(1))
            scores += found.gather(0, turned[:, :, 0]) if back else found
    return torch.empty_like(scores.T).index_copy_(0, order, scores.T)


class _Span(NamedTuple):
    """Steps that the same texts reach."""

    start: int
    stop: int
    rows: int


def _spans(lengths: list[int]) -> list[_Span]:
    """The spans of texts of these lengths, in order.

    >>> [tuple(span) for span in _spans([5, 3, 3])]
    [(0, 3, 3), (3, 5, 1)]
    """
    stops = sorted(set(lengths))
    starts = [0, *stops[:-1]]
    return [_Span(*ends, sum(length > ends[0] for length in lengths)) for ends in zip(starts, stops, strict=True)]


class _Direction:
    """One direction over n texts, the longest first, at m points: B = n m columns, H numbers of a state.

    A step's gates are one product of [recurrent weights | bias | each text's change] with [states; 1; each point in its
    text's row], and their slopes one product of the transposed: the changes cost n columns instead of a pass over all.
    Texts that have ended are left out.
    """

    def __init__(
        self, lstm: nn.RNNBase, name: str, padding: Tensor, change: Tensor, lengths: list[int], scratch: Scratch
    ) -> None:
        inputs, self.recurrent, *biases = (
            getattr(lstm, f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        self.scratch, self.size, self.spans = scratch, lstm.hidden_size, _spans(lengths)
        self.bias = (padding @ inputs.T + sum(biases)).T
        self.change = change @ inputs.T  # (L, n, 4H)

    def go(self, points: Tensor) -> None:
        """Go through the states of each text at each point (m,), and keep the slopes."""
        size, rows, many = self.size, self.change.shape[1], len(points)
        own = torch.eye(rows, dtype=points.dtype, device=points.device).kron(points)
        state = cell = own.new_zeros(size, rows * many)
        self.steps = self._memory(many)
        for span, steps in zip(self.spans, self.steps, strict=True):
            columns = span.rows * many
            left = torch.cat([self.recurrent, self.bias, self.change[span.start, : span.rows].T], 1)
            right = torch.cat([state[:, :columns], own.new_ones(1, columns), own[: span.rows, :columns]])
            state, changes, gates = right[:size], left[:, size + 1 :].T, own.new_empty(4 * size, columns)
            cell, bent = cell[:, :columns].contiguous(), own.new_empty(size, columns)
            let_in, forget, new, let_out = gates.split(size)
            for step in steps:
                changes.copy_(step.change)
                torch.mm(left, right, out=gates)
                let_in.sigmoid_()
                keep = torch.sigmoid(forget, out=step.keep)
                new.tanh_()
                let_out.sigmoid_()
                _sigmoid_slope(new, let_in, grad_input=step.let_in)
                _sigmoid_slope(cell, keep, grad_input=step.forget)
                _tanh_slope(let_in, new, grad_input=step.new)
                torch.tanh(cell.mul_(keep).addcmul_(let_in, new), out=bent)
                _sigmoid_slope(bent, let_out, grad_input=step.let_out)
                _tanh_slope(let_out, bent, grad_input=step.cell)
                torch.mul(let_out, bent, out=state)

    def scores(self, slopes: Tensor) -> Tensor:
        """Scores (L, n) of the steps, from the slopes (H, B) at the states."""
        size, (length, rows, _) = self.size, self.change.shape
        many = slopes.shape[1] // rows
        scores = slopes.new_zeros(length, rows)
        to_state = to_cell = slopes.new_zeros(size, 0)
        for span, steps in reversed(list(zip(self.spans, self.steps, strict=True))):
            columns = span.rows * many
            begun = columns - to_cell.shape[1]
            left = torch.cat([self.recurrent.T, self.change[span.start, : span.rows]])
            right, result = slopes.new_empty(4 * size, columns), slopes.new_zeros(size + span.rows, columns)
            result[:size, : columns - begun] = to_state
            changes, by_cell, let_out = left[size:], right[: 3 * size].view(3, size, columns), right[3 * size :]
            to_state, found, to_cell = result[:size], result[size:], nn.functional.pad(to_cell, (0, begun))
            own = slopes[:, :columns].contiguous()
            products = self.scratch.take("products", (len(steps), span.rows, columns), slopes)
            for step, product in zip(reversed(steps), reversed(products.unbind()), strict=True):
                to_state += own
                to_cell.addcmul_(to_state, step.cell)
                torch.mul(to_cell, step.by_cell, out=by_cell)
                torch.mul(to_state, step.let_out, out=let_out)
                to_cell *= step.keep
                changes.copy_(step.change)
                torch.mm(left, right, out=result)
                product.copy_(found)
            # Each text's change meets the columns of all texts; its own count.
            mine = products.view(len(steps), span.rows, span.rows, many).diagonal(dim1=1, dim2=2).sum(1)
            scores[span.start : span.stop, : span.rows] = mine
        return scores

    def _memory(self, many: int) -> list[list["_Step"]]:
        """Where each step puts what it keeps; all views at once, because one by one they take as long as sums."""
        lengths = [(stop - start) * rows for start, stop, rows in self.spans]
        parts = self.scratch.take("slopes", (sum(lengths), 6 * self.size * many), self.change).split(lengths)
        spans = []
        for part, (start, stop, rows) in zip(parts, self.spans, strict=True):
            kept = part.view(stop - start, 6, self.size, rows * many)
            each = (kept[:, :3], *kept.unbind(1), self.change[start:stop, :rows])
            spans.append([_Step(*views) for views in zip(*(views.unbind() for views in each), strict=True)])
        return spans


class _Step(NamedTuple):
    """What a step keeps.

    Slopes (H, B) of the cell after the step by the inputs of three gates, of the state by the input of the fourth and
    by the cell, and of the cell by the one before.
    """

    by_cell: Tensor
    """`let_in`, `forget` and `new`, (3, H, B)."""
    let_in: Tensor
    forget: Tensor
    new: Tensor
    let_out: Tensor
    cell: Tensor
    keep: Tensor
    change: Tensor
    """(n, 4H)."""


_sigmoid_slope = torch.ops.aten.sigmoid_backward.grad_input
_tanh_slope = torch.ops.aten.tanh_backward.grad_input
