"""The same network with its weights shuffled: an explanation of a model must change with the model."""

import copy

import torch
from torch import nn


def shuffled_weights(network: nn.Module, *, seed: int) -> nn.Module:
    """Copy a network and put the numbers of each parameter into random places.

    Each parameter keeps the size and spread of its numbers, so that the copy computes with numbers of the usual size.
    What is no parameter stays, such as fixed weights of tokens; so does the zero of padding.

    Args:
        network: read, not changed.
        seed: of the places.

    Returns:
        The copy, in evaluation mode.

    Source: Adebayo et al. (2018), the model parameter randomisation test.
    """
    shuffled = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shuffled.parameters():
            places = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.reshape(-1)[places].reshape(parameter.shape))
        for module in shuffled.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0.0
    return shuffled
