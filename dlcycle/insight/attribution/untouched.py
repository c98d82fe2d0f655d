"""A network is left as it was found, whatever is done to it meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)
"""Where torch keeps a module's hooks, each a dictionary of its own."""
KIND = "_is_full_backward_hook"
"""Which kind of backward hooks the module has had; it cannot have both."""


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Put back what explaining a network changes, also after an error.

    Restored are the training flag and the hooks of every module, and of every parameter `requires_grad` and `grad`.
    Inside, parameters begin without a `grad`, so that nothing is added to one that was there before.

    Args:
        network: any module.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> with untouched(network):
        ...     _ = network.eval().requires_grad_(False)
        >>> network.training, network.weight.requires_grad
        (True, True)
    """
    modules = [(module, module.training, getattr(module, KIND), _hooks(module)) for module in network.modules()]
    parameters = [(value, value.requires_grad, value.grad) for value in network.parameters()]
    try:
        for parameter, _, _ in parameters:
            parameter.grad = None
        yield
    finally:
        for module, training, kind, hooks in modules:
            module.training = training
            setattr(module, KIND, kind)
            for name, entries in hooks.items():
                now = getattr(module, name)
                now.clear()
                now.update(entries)
        for parameter, required, gradient in parameters:
            parameter.requires_grad_(required)
            parameter.grad = gradient


def _hooks(module: nn.Module) -> dict[str, dict[int, object]]:
    return {name: dict(getattr(module, name)) for name in HOOKS}
