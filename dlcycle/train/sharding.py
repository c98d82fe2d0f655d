"""How a gang holds a network: a copy in each worker (DDP), or a part of it in each (FSDP)."""

from typing import Any, cast

import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from dlcycle.errors import TrainingError
from dlcycle.train.gang import Gang

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
"""Gathered from all workers, in the memory of the first; {} in the others."""


class GangTrainer(lightning.Trainer):
    """A Trainer for one worker, on one device, that stops when the gang has agreed to.

    Lightning would stop each worker by itself wherever SIGTERM meets it, and the others would wait for it.
    """

    agreed_to_stop = False

    @property
    def received_sigterm(self) -> bool:
        """Whether the workers agreed that one of them got SIGTERM."""
        return self.agreed_to_stop

    def agree(self, gang: Gang, *, due: bool = False) -> bool:
        """Agree on whether to stop and whether a checkpoint is due; return the latter."""
        stop, due = gang.any_of(self._signal_connector.received_sigterm, due)
        self.agreed_to_stop |= stop
        return due


class ShardedStrategy(SingleDeviceStrategy):
    """One worker of a gang whose network is sharded; checkpoints hold the whole of it."""

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The whole weights, in the first worker."""
        return get_model_state_dict(self._module(), options=WHOLE)

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole moments, in the first worker."""
        return get_optimizer_state_dict(self._module(), getattr(optimizer, "_optimizer", optimizer), options=WHOLE)

    def load_model_state_dict(self, checkpoint: Any, strict: bool = True) -> None:
        """Take this worker's part of the weights."""
        set_model_state_dict(self._module(), checkpoint["state_dict"], options=WHOLE)

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        """Take this worker's part of the moments."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            set_optimizer_state_dict(self._module(), optimizer, state, options=WHOLE)

    def teardown(self) -> None:
        """Leave the network where it is: one that an error left gathered cannot be moved."""
        self.precision_plugin.teardown()
        assert self.accelerator is not None
        self.accelerator.teardown()
        self.checkpoint_io.teardown()

    def _module(self) -> nn.Module:
        assert self.lightning_module is not None
        return self.lightning_module


def replicate(network: nn.Module) -> DistributedDataParallel:
    """Wrap a network, on its device, so that the gradients of a step are the mean of those of all workers."""
    # With more than two workers the order in which numbers are added depends on how gradients are grouped. Looking for
    # unused parameters keeps the groups as they are, so that a training that goes on ends with the same bits.
    return DistributedDataParallel(network, find_unused_parameters=True)


def shard(network: nn.Module, gang: Gang, *, device: torch.device) -> None:
    """Leave each worker its part of the parameters; a block of layers is gathered while it computes.

    Embeddings and the blocks of a `ModuleList` are gathered one by one, what remains together.

    Raises:
        TrainingError: the network has layers that cannot be sharded.
    """
    if recurrent := [type(module).__name__ for module in network.modules() if isinstance(module, nn.RNNBase)]:
        message = f"expected layers that can be sharded, got {recurrent[0]}, which keeps a second list of its weights"
        raise TrainingError(f'{message}; set train.strategy = "ddp" or choose another architecture')
    mesh = init_device_mesh(device.type, (gang.size,))
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    blocks = [module for module in network.modules() if isinstance(module, nn.Embedding)]
    for module in [*blocks, *(block for blocks_of in lists for block in blocks_of)]:
        fully_shard(module, mesh=mesh)
    fully_shard(network, mesh=mesh)


def whole_state(network: nn.Module) -> dict[str, Tensor]:
    """The whole weights on the CPU; {} in all but the first worker of those that share them out."""
    if any(hasattr(parameter, "full_tensor") for parameter in network.parameters()):
        return cast(dict[str, Tensor], get_model_state_dict(network, options=WHOLE))
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
