"""Text classifiers: token ids to one logit per class.

Every network takes `tokens (N, L)` padded with 0 and `lengths (N,)`, and its result for a row depends neither on the
padding nor on the other rows of the batch.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlcycle.config import ModelSpec
from dlcycle.model.tokenizer import PAD, Ids


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built from: the candidate's settings and the sizes that the data gives."""

    settings: ModelSpec
    tokens: int
    """Ids of the tokenizer; all are below this number."""
    classes: int


def build_text_model(spec: NetworkSpec) -> nn.Module:
    """Build an untrained network, its weights drawn from torch's random numbers.

    Args:
        spec: settings and sizes.

    Returns:
        A module with `forward(tokens, lengths)`: int64 (N, L) padded with 0 and int64 (N,) from 1 to L, to float32
        logits (N, C). Its `embedding` is the one layer that reads the ids.

    Example:
        >>> network = build_text_model(NetworkSpec(ModelSpec(architecture="cnn"), tokens=50, classes=3))
        >>> network(torch.tensor([[4, 9, 2], [7, 0, 0]]), torch.tensor([3, 1])).shape
        torch.Size([2, 3])
    """
    match spec.settings.architecture:
        case "bag":
            return BagNetwork(spec)
        case "cnn":
            return ConvolutionNetwork(spec)
        case "gru" | "lstm":
            return RecurrentNetwork(spec)
        case "transformer":
            return TransformerNetwork(spec)


class BagNetwork(nn.Module):
    """Weighted sum of the embeddings of words and n-grams, then an MLP with `layers` hidden layers.

    As fastText (Joulin et al., 2016), but with fixed weights, and the sum is divided by the norm of the weights, as in
    TF-IDF. Word ids rise as frequency falls, so that by Zipf's law the logarithm of the id stands for the inverse
    document frequency. Hashed n-grams weigh little: most are rare and several share an id.
    """

    token_weights: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        settings = spec.settings
        self.embedding = _embedding(spec, scale=0.01)
        weights = 0.5 + torch.log1p(torch.arange(spec.tokens) / 20.0)
        if settings.tokenizer == "words" and settings.ngrams > 1:
            weights[-settings.buckets :] = 0.3
        self.register_buffer("token_weights", weights, persistent=False)
        self.token_dropout = settings.dropout
        sizes = [settings.embedding, *[settings.hidden] * settings.layers]
        hidden = [
            part
            for inputs, outputs in itertools.pairwise(sizes)
            for part in (nn.Linear(inputs, outputs), nn.GELU(), nn.Dropout(settings.dropout))
        ]
        self.head = nn.Sequential(nn.Dropout(settings.dropout), *hidden, nn.Linear(sizes[-1], spec.classes))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, C) of tokens (N, L)."""
        keep = _mask(tokens, lengths)
        if self.training and self.token_dropout:
            keep = keep & (torch.rand(tokens.shape, device=tokens.device) >= self.token_dropout)
        weights = self.token_weights[tokens] * keep
        norm = weights.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        return self.head((weights.unsqueeze(1) @ self.embedding(tokens)).squeeze(1) / norm)


class ConvolutionNetwork(nn.Module):
    """Convolutions of several widths with max over time (Kim, 2014); `hidden` filters of each width."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        settings = spec.settings
        self.embedding = _embedding(spec)
        self.dropout = nn.Dropout(settings.dropout)
        self.kernels = settings.kernels
        self.convolutions = nn.ModuleList(
            nn.Conv1d(settings.embedding, settings.hidden, width) for width in settings.kernels
        )
        self.head = nn.Linear(settings.hidden * len(settings.kernels), spec.classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, C) of tokens (N, L)."""
        keep = _mask(tokens, lengths).unsqueeze(1)
        states = self.dropout(self.embedding(tokens)).transpose(1, 2) * keep
        features = []
        for width, convolution in zip(self.kernels, self.convolutions, strict=True):
            # One window starts at each token; those that reach past the end of the text see zeros there.
            windows = convolution(functional.pad(states, (0, width - 1)))
            features.append(windows.masked_fill(~keep, -math.inf).amax(2).relu())
        return self.head(self.dropout(torch.cat(features, 1)))


class RecurrentNetwork(nn.Module):
    """Bidirectional GRU (Cho et al., 2014) or LSTM (Hochreiter and Schmidhuber, 1997), then the mean over time."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        settings = spec.settings
        self.embedding = _embedding(spec)
        self.dropout = nn.Dropout(settings.dropout)
        self.recurrent = (nn.GRU if settings.architecture == "gru" else nn.LSTM)(
            settings.embedding,
            settings.hidden,
            num_layers=settings.layers,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
            bidirectional=True,
            batch_first=True,
        )
        self.head = nn.Linear(2 * settings.hidden, spec.classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, C) of tokens (N, L)."""
        states = self.dropout(self.embedding(tokens))
        packed = pack_padded_sequence(states, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=tokens.shape[1])
        return self.head(self.dropout(_masked_mean(states, _mask(tokens, lengths))))


class TransformerNetwork(nn.Module):
    """Pre-norm transformer encoder (Vaswani et al., 2017; Xiong et al., 2020), then the mean over time."""

    positions: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        settings = spec.settings
        self.embedding = _embedding(spec)
        self.register_buffer("positions", _sinusoids(settings.max_tokens, settings.embedding), persistent=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(_EncoderBlock(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.embedding)
        self.head = nn.Linear(settings.embedding, spec.classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, C) of tokens (N, L), L at most `max_tokens`."""
        keep = _mask(tokens, lengths)
        states = self.dropout(self.embedding(tokens) + self.positions[: tokens.shape[1]])
        for block in self.blocks:
            states = block(states, keep[:, None, None, :])
        return self.head(self.dropout(_masked_mean(self.norm(states), keep)))


class _EncoderBlock(nn.Module):
    """Self-attention and a feed-forward layer of width `hidden`, each normalised before and added to its input.

    Written out because `nn.TransformerEncoderLayer` takes other code paths when it predicts than when it trains.
    """

    def __init__(self, settings: ModelSpec) -> None:
        super().__init__()
        size = settings.embedding
        self.heads = settings.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.attention_in, self.attention_out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.feed = nn.Sequential(nn.Linear(size, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, size))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, states: Tensor, keep: Tensor) -> Tensor:
        """States (N, L, E) with the keys where `keep` (N, 1, 1, L) is true attended to."""
        parts = self.attention_in(self.attention_norm(states)).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=keep)
        states = states + self.dropout(self.attention_out(attended.transpose(1, 2).flatten(2)))
        return states + self.dropout(self.feed(self.feed_norm(states)))


def pad_rows(rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """Pad rows of ids to the longest of them.

    Args:
        rows: N arrays of at least one id, N >= 1.

    Returns:
        Tokens int64 (N, L) padded with 0, and lengths int64 (N,).

    Example:
        >>> pad_rows([np.array([5, 6]), np.array([7])])
        (tensor([[5, 6],
                [7, 0]]), tensor([2, 1]))
    """
    lengths = np.array([len(row) for row in rows])
    tokens = np.full((len(rows), lengths.max()), PAD, dtype=np.int64)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(tokens), torch.from_numpy(lengths)


def network_logits(
    network: nn.Module, rows: Sequence[Ids], *, classes: int, batch_size: int = 64
) -> npt.NDArray[np.float64]:
    """Logits of rows of ids, computed in evaluation mode on the network's device; its mode is restored.

    Rows of similar length are computed together.

    Args:
        network: takes tokens and lengths.
        rows: N arrays of ids.
        classes: C, the width of the result.
        batch_size: rows computed at once, at least 1.

    Returns:
        float64 (N, C), in the order of `rows`.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    result = np.zeros((len(rows), classes))
    order = np.argsort([len(row) for row in rows], kind="stable")
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), batch_size):
                part = order[start : start + batch_size]
                tokens, lengths = pad_rows([rows[index] for index in part])
                result[part] = network(tokens.to(device), lengths.to(device)).double().cpu().numpy()
    finally:
        network.train(training)
    return result


def _embedding(spec: NetworkSpec, *, scale: float = 0.1) -> nn.Embedding:
    """Embedding of all ids, normally distributed round 0 with deviation `scale`; padding is 0 and stays 0."""
    embedding = nn.Embedding(spec.tokens, spec.settings.embedding, padding_idx=PAD)
    with torch.no_grad():
        embedding.weight.normal_(0.0, scale)
        embedding.weight[PAD] = 0.0
    return embedding


def _mask(tokens: Tensor, lengths: Tensor) -> Tensor:
    """True (N, L) where a row has a token."""
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)


def _masked_mean(states: Tensor, keep: Tensor) -> Tensor:
    """Mean (N, E) of the states (N, L, E) where `keep` (N, L) is true; 0 where it is true nowhere."""
    weights = keep.to(states.dtype)
    return (weights.unsqueeze(1) @ states).squeeze(1) / weights.sum(1, keepdim=True).clamp(min=1.0)


def _sinusoids(length: int, size: int) -> Tensor:
    """Position codes (length, size) of Vaswani et al. (2017)."""
    angles = torch.arange(length).unsqueeze(1) * torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :size]
