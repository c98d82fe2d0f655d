"""Integrated gradients with less work than one gradient for each point, and no loss that matters.

Recurrent networks: torch's gradient of a packed sequence takes time that grows with the square of its length, because
each step fills and adds a tensor as large as the whole input. Padded sequences are computed instead.

Smooth networks: the rule of Gauss and Kronrod with 15 points holds the rule of Gauss with 7; where the two agree, more
points would not change the result. Where they do not, all points are asked for.

Convolutions: along the line from zero to the text, the largest window of a filter stays the largest, so that a filter
is a straight line and the head alone is asked at each point.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlcycle.model.text import ConvolutionNetwork, RecurrentNetwork
from dlcycle.model.tokenizer import PAD

POINTS = 15
# Nodes above 0 and weights of the rule on -1 to 1; every second node is one of Gauss's rule (Kronrod, 1965; the digits
# are those of QUADPACK, Piessens et al., 1983).
_NODES = (
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691258841,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
)
_KRONROD = (
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
    0.209482141084727828012999174891714,
)
_GAUSS = (
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
)


def kronrod_rule() -> tuple[np.ndarray, np.ndarray]:
    """Points of the rule from 0 to 1, (15,), and the weights of Kronrod and of Gauss at them, (2, 15).

    >>> points, weights = kronrod_rule()
    >>> (weights @ points**10 * 11).round(12).tolist()
    [1.0, 1.0]
    """
    nodes = np.array([-node for node in _NODES] + [0.0, *_NODES[::-1]])
    kronrod = np.array([*_KRONROD, *_KRONROD[-2::-1]])
    gauss = np.zeros(POINTS)
    gauss[1::2] = [*_GAUSS, *_GAUSS[-2::-1]]
    return (nodes + 1) / 2, np.stack([kronrod, gauss]) / 2


def gauss_rule(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of Gauss and Legendre's rule from 0 to 1, and their weights, each (points,).

    >>> nodes, weights = gauss_rule(2)
    >>> nodes.round(4).tolist(), weights.tolist()
    ([0.2113, 0.7887], [0.5, 0.5])
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return (nodes + 1) / 2, weights / 2


def smooth_scores(network: Any, tokens: Tensor, lengths: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Integrated gradients of the centred logit by 15 points on the line from padding to the text.

    Args:
        network: in evaluation mode; its `embedding` gives (n, L, E).
        tokens: (n, L) ids.
        lengths: (n,) ids of each row.
        targets: (n,) classes.

    Returns:
        Scores of the ids (n, L), and how far the rule of 7 points is from them: the sum of the differences (n,).
    """
    points, weights = kronrod_rule()
    with torch.no_grad():
        base = network.embedding(torch.full_like(tokens, PAD))
        change = network.embedding(tokens) - base
        places = torch.as_tensor(points, dtype=change.dtype, device=change.device)
        line = (base + places[:, None, None, None] * change).flatten(0, 1)
    line.requires_grad_()
    hook = network.embedding.register_forward_hook(lambda _module, _inputs, _output: line)
    try:
        with torch.enable_grad():
            logits = network(tokens.repeat(POINTS, 1), lengths.repeat(POINTS))
    finally:
        hook.remove()
    [slopes] = torch.autograd.grad(target_scores(logits, targets.repeat(POINTS)).sum(), line)
    rules = torch.as_tensor(weights, dtype=change.dtype, device=change.device)
    both = (rules @ slopes.reshape(POINTS, -1)).view(2, *change.shape)
    scores = (both * change).double().sum(3)
    return scores[0], (scores[0] - scores[1]).abs().sum(1)


def convolution_scores(
    network: ConvolutionNetwork, tokens: Tensor, lengths: Tensor, targets: Tensor, *, steps: int
) -> Tensor:
    """Integrated gradients of the centred logit of a network whose padding is embedded as 0; what is asked is as above.

    Returns:
        Scores of the ids (n, L), by the rule of Gauss with `steps` points.
    """
    windows: list[Tensor] = []
    leaves: list[Tensor] = []

    def begin(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[0]

    hooks = [network.embedding.register_forward_hook(begin)]
    hooks += [part.register_forward_hook(lambda *given: windows.append(given[2])) for part in network.convolutions]
    try:
        with torch.enable_grad():
            network(tokens, lengths)
            outside = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None, None]
            ends = torch.cat([part.masked_fill(outside, -torch.inf).amax(2) for part in windows], 1)
    finally:
        for hook in hooks:
            hook.remove()
    nodes, weights = (torch.as_tensor(part, dtype=ends.dtype, device=ends.device) for part in gauss_rule(steps))
    points = nodes[:, None, None]
    starts = torch.cat([part.bias for part in network.convolutions])  # type: ignore[misc]
    with torch.enable_grad():
        line = (starts + points * (ends.detach() - starts)).flatten(0, 1).requires_grad_()
        score = target_scores(network.head(line.relu()), targets.repeat(steps)).sum()
    [slopes] = torch.autograd.grad(score, line)
    mean = weights @ slopes.reshape(steps, -1)
    [gradient] = torch.autograd.grad(ends, leaves[0], grad_outputs=mean.view_as(ends))
    return (gradient * leaves[0].detach()).double().sum(2)


def target_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """Logit (n,) of each row's target minus the mean of the row's logits (n, C)."""
    return logits.gather(1, targets.unsqueeze(1)).squeeze(1) - logits.mean(1)


def recurrent_logits(network: RecurrentNetwork, states: Tensor, lengths: Tensor) -> Tensor:
    """Logits (N, C) of a recurrent network in evaluation mode, from what its embedding gave.

    Each layer and direction runs over padded tensors, backwards over rows that are turned round up to their length.

    Args:
        network: a GRU or an LSTM of either direction and any number of layers.
        states: (N, L, E).
        lengths: (N,) from 1 to L.
    """
    layers: Any = network.recurrent
    steps = torch.arange(states.shape[1], device=states.device)[:, None]
    keep = steps < lengths
    # Where all rows are equally long, turning all at once is faster than picking.
    turned = None if bool(keep.all()) else torch.where(keep, lengths - 1 - steps, steps)
    states = states.transpose(0, 1)
    for layer in range(layers.num_layers):
        ahead = _one_way(layers, states, f"l{layer}")
        back = _one_way(layers, _turned(states, turned), f"l{layer}_reverse")
        states = torch.cat([ahead, _turned(back, turned)], 2)
    weights = keep.to(states.dtype) / lengths
    return network.head(torch.einsum("lnh,ln->nh", states, weights))


def _one_way(layers: nn.RNNBase, states: Tensor, name: str) -> Tensor:
    weights = [getattr(layers, f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    start = states.new_zeros(1, states.shape[1], layers.hidden_size)
    # Biases, one layer, no dropout, no training, one direction, steps first.
    options = (True, 1, 0.0, False, False, False)
    if isinstance(layers, nn.LSTM):
        return torch.lstm(states, [start, start], weights, *options)[0]
    return torch.gru(states, start, weights, *options)[0]


def _turned(states: Tensor, places: Tensor | None) -> Tensor:
    """States (L, N, E) with each row's steps in the order of `places` (L, N), or backwards."""
    return states.flip(0) if places is None else states.gather(0, places[:, :, None].expand_as(states))
