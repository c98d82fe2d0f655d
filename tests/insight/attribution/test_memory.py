from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlcycle.config import ModelSpec
from dlcycle.errors import ModelFileError
from dlcycle.insight.attribution.memory import CPU_BYTES, measure_memory
from dlcycle.model.text import NetworkSpec, build_text_model

WIDTH = 512
NUMBER = 4  # bytes
ROWS = [np.arange(1, 5), np.arange(1, 31)]


class Network(nn.Module):
    """Keeps the tangent of each id's numbers for the gradient, and the embeddings only where they need one."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_module(name, nn.Embedding(50, WIDTH))
        self.name, self.head = name, nn.Linear(WIDTH, 3)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.head(self.get_submodule(self.name)(tokens).tanh().mean(1))


@pytest.mark.parametrize(("name", "wide"), [("embedding", 1 + 4), ("table", 1)])
def test_what_an_id_takes_is_what_the_gradient_keeps_of_the_longest_row(name: str, wide: int) -> None:
    """The tangents, and for gradients at the embedding four times its numbers; the head keeps one mean of them all."""
    network: Any = Network(name).requires_grad_(False)
    memory = measure_memory(network, ROWS, megabytes=16, gradients=name == "embedding")
    assert memory.bytes_of_an_id == pytest.approx(wide * WIDTH * NUMBER, rel=0.1)
    assert memory.rows(30) == memory.limit // (30 * memory.bytes_of_an_id)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_without_a_layer_to_begin_at_gradients_are_refused() -> None:
    network = Network("table").requires_grad_(False)
    with pytest.raises(ModelFileError, match="Network has no layer `embedding`"):
        measure_memory(network, ROWS, megabytes=16, gradients=True)
    network.embedding = nn.Embedding(50, 2)
    with pytest.raises(ModelFileError, match="Network does not use its layer `embedding`"):
        measure_memory(network, ROWS, megabytes=16, gradients=True)
    assert measure_memory(network, ROWS, megabytes=16, gradients=False).bytes_of_an_id > WIDTH


def test_a_network_that_keeps_nothing_has_a_measure_too() -> None:
    class Rule(nn.Module):
        def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            return torch.stack([tokens.sum(1), lengths], 1).float()

    assert measure_memory(Rule(), ROWS, megabytes=1, gradients=False).bytes_of_an_id == 1


@pytest.mark.parametrize(
    ("architecture", "megabytes", "limit"),
    [("bag", 16, 16 * 2**20), ("bag", 512, CPU_BYTES), ("gru", 512, 256 * 2**20)],
)
def test_batches_on_a_cpu_stay_in_its_cache_but_for_a_gru(architecture: Any, megabytes: int, limit: int) -> None:
    spec = ModelSpec(architecture=architecture, embedding=16, hidden=16)
    network = build_text_model(NetworkSpec(spec, tokens=50_000, classes=3)).eval().requires_grad_(False)
    assert measure_memory(network, ROWS, megabytes=megabytes, gradients=True).limit == limit
