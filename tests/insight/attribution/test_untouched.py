import pytest
import torch
from torch import nn

from dlcycle.insight.attribution.untouched import HOOKS, untouched


def make_network() -> nn.Module:
    """A network in a mixed state: one part trains, one does not, one parameter is frozen, one has a gradient."""
    network = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 1))
    network[2].eval()
    network[0].bias.requires_grad_(False)
    network[0].weight.grad = torch.ones(3, 2)
    network[0].register_forward_hook(lambda *_: None)
    network[2].register_full_backward_pre_hook(lambda *_: None)
    return network


def state(network: nn.Module) -> list[object]:
    modules = [(part.training, part._is_full_backward_hook) for part in network.modules()]
    hooks = [[list(getattr(part, name).items()) for name in HOOKS] for part in network.modules()]
    parameters = [(value.requires_grad, id(value.grad)) for value in network.parameters()]
    return [modules, hooks, parameters]


def disturb(network: nn.Module) -> None:
    network.eval().requires_grad_(False)
    for part in network.modules():
        part.register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
        part.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
        part.register_full_backward_hook(lambda *_: None)
    network[2].requires_grad_(True)
    network(torch.ones(1, 2, requires_grad=True)).sum().backward()


def test_a_network_is_as_before() -> None:
    network = make_network()
    before = state(network)
    with untouched(network):
        disturb(network)
        assert state(network) != before, "control: it was disturbed"
    assert state(network) == before
    assert network[0].weight.grad.tolist() == [[1.0, 1.0]] * 3


def test_a_network_is_as_before_after_an_error() -> None:
    network = make_network()
    before = state(network)
    with pytest.raises(ZeroDivisionError), untouched(network):
        disturb(network)
        raise ZeroDivisionError
    assert state(network) == before


def test_gradients_that_are_there_are_not_added_to() -> None:
    network = make_network()
    with untouched(network):
        assert all(value.grad is None for value in network.parameters())
        network.train()(torch.ones(1, 2, requires_grad=True)).sum().backward()
    assert network[0].weight.grad.tolist() == [[1.0, 1.0]] * 3
    assert network[2].weight.grad is None


def test_every_place_where_torch_keeps_hooks_is_known() -> None:
    module = nn.Linear(1, 1)
    places = {name for name in vars(module) if "hook" in name and "state_dict" not in name}
    assert places == {*HOOKS, "_is_full_backward_hook"}
