"""How many texts fit into a batch: what an id takes is measured on the longest text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlcycle.errors import ModelFileError
from dlcycle.model.text import pad_rows
from dlcycle.model.tokenizer import Ids

CPU_BYTES = 2**25
"""What a batch takes on a CPU at most: larger ones fall out of its cache and are slower. A GRU, whose many small
operations want wide batches, is not held to it."""
CURE = 'set explain.method = "occlusion" or "shapley", which need no embedding'


@dataclass(frozen=True)
class Memory:
    """What a batch may hold."""

    bytes_of_an_id: int
    limit: int
    """Bytes, by the measure of `bytes_of_an_id`; for most networks on a CPU no more than its cache holds."""
    allowed: int
    """Bytes that the caller allows."""

    def rows(self, length: int) -> int:
        """Texts of so many ids that fit into a batch, or points of one text; at least 1.

        >>> memory = Memory(bytes_of_an_id=100, limit=2000, allowed=5000)
        >>> memory.rows(4), memory.rows(50), memory.without_cache(bytes_of_an_id=100).rows(5)
        (5, 1, 10)
        """
        return max(1, self.limit // (self.bytes_of_an_id * length))

    def without_cache(self, *, bytes_of_an_id: int) -> "Memory":
        """The same for work that takes something else for an id, and is no faster in a cache."""
        return Memory(bytes_of_an_id, self.allowed, self.allowed)


def measure_memory(network: Any, rows: Sequence[Ids], *, megabytes: int, gradients: bool) -> Memory:
    """Find what an id takes, by asking torch what it saves for the gradient of the longest row.

    That is more than a prediction without a gradient takes, which frees each layer's numbers after the next one.

    Args:
        network: in evaluation mode, without parameters that require gradients; left as it is.
        rows: N arrays of ids, N >= 1.
        megabytes: what a batch may take.
        gradients: whether gradients at the embedding are going to be asked for, and the embedding must allow it.
            Otherwise a network without such a layer is measured from its parameters on.

    Raises:
        ModelFileError: the network does not use its layer `embedding`, or it does not give (N, L, E) for ids (N, L).
    """
    longest = max(rows, key=len)
    inputs = tuple(part.to(device_of(network)) for part in pad_rows([longest]))
    try:
        needed = _saved_from_embedding(network, inputs)
    except ModelFileError:
        if gradients:
            raise
        needed = _saved_from_parameters(network, inputs)
    allowed = megabytes * 2**20
    return Memory(max(1, -(-needed // len(longest))), _limit(network, allowed), allowed)


def device_of(network: nn.Module) -> torch.device:
    """Where the network's parameters are; the CPU for a network without any."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


@contextmanager
def graph_from_embedding(network: Any) -> Iterator[list[Tensor]]:
    """Let the graph begin at the output (N, L, E) of `network.embedding`, which is put into the list that is given.

    Raises:
        ModelFileError: inside, when the embedding is asked and gives something else.
    """
    leaves: list[Tensor] = []

    def begin(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if not isinstance(output, Tensor) or output.dim() != 3 or shape[:2] != tuple(inputs[0].shape):
            wanted = f"expected `embedding` to give (N, L, E) for ids (N, L) = {tuple(inputs[0].shape)}"
            raise ModelFileError(f"{wanted}, got {shape}; {CURE}")
        leaves.append(output.detach().requires_grad_())
        return leaves[-1]

    hook = network.embedding.register_forward_hook(begin)
    try:
        yield leaves
    finally:
        hook.remove()


def _limit(network: nn.Module, limit: int) -> int:
    if isinstance(getattr(network, "recurrent", None), nn.GRU):
        # Rows that are turned round, and the nodes of so many small operations, are not in what torch saves.
        return limit // 2
    return min(limit, CPU_BYTES) if device_of(network).type == "cpu" else limit


def _saved_from_embedding(network: Any, inputs: tuple[Tensor, ...]) -> int:
    """Bytes saved from the embedding on, with the points of the line, their gradients and the copies of both."""
    if not isinstance(getattr(network, "embedding", None), nn.Module):
        raise ModelFileError(f"{type(network).__name__} has no layer `embedding`; {CURE}")
    with graph_from_embedding(network) as leaves:
        saved = _saved(network, inputs)
    if not leaves:
        raise ModelFileError(f"{type(network).__name__} does not use its layer `embedding`; {CURE}")
    return saved + 4 * leaves[0].nbytes


def _saved_from_parameters(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    parameters = [parameter for parameter in network.parameters() if parameter.is_floating_point()]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        return _saved(network, inputs)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)


def _saved(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Bytes that torch keeps of one computation for its gradient, without the network's own numbers."""
    known = {value.untyped_storage().data_ptr() for value in [*network.parameters(), *network.buffers()]}
    saved: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        # The result keeps alive what is saved: freed memory could be used, and counted, twice.
        _result = network(*inputs)
    return sum(saved.values())
