"""Networks cut into shards, one a process, by FSDP2: weights, gradients and optimizer states alike.

Functions here take whole tensors too and leave them whole, so that callers need not ask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate

from luoxia.core.errors import UsageError
from luoxia.training.distributed import World


def check_shardable(networks: dict[str, nn.Module]) -> None:
    """``UsageError`` unless there is one network, trained as it is."""
    if len(networks) > 1:
        raise UsageError(
            f"shard=true trains a single network, and this recipe has {len(networks)}; leave shard out"
        )
    (network,) = networks.values()
    if not all(p.requires_grad for p in network.parameters()):
        raise UsageError("shard=true cannot leave weights frozen, as lora= does; leave one of them out")


def shard(network: nn.Module, world: World) -> None:
    """Cut a network, each layer of its stacks apart: a layer is whole only while it computes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    for stack in network.modules():
        if isinstance(stack, nn.ModuleList):
            for layer in stack:
                fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def whole(tensor: Tensor) -> Tensor:
    """All of a sharded tensor; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor, in place."""
    if not isinstance(tensor, DTensor):
        return tensor
    with torch.no_grad():  # or it is a view that is differentiated
        part: Tensor = tensor.to_local()
    return part


def like(value: Tensor, target: Tensor) -> Tensor:
    """A whole ``value``, the same in every process, sharded as ``target`` is."""
    if not isinstance(target, DTensor):
        return value
    mesh = target.device_mesh
    everywhere = DTensor.from_local(value.to(target.device), mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(mesh, target.placements)


def collect(tensors: dict[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Each tensor whole, one after another; on the CPU if it was in shards, and only where ``keep`` is true."""
    collected = {}
    for name, value in tensors.items():
        full = whole(value)
        if keep:
            collected[name] = full if full is value else full.cpu()
    return collected


@torch.no_grad()
def load_weights(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """``load_state_dict`` of whole tensors, whether the network is sharded or not."""
    state = network.state_dict()
    if not any(isinstance(value, DTensor) for value in state.values()):
        network.load_state_dict(tensors)
        return
    if tensors.keys() != state.keys():
        raise KeyError(f"weights {sorted(tensors.keys() ^ state.keys())}")
    for name, value in state.items():
        value.copy_(like(tensors[name], value))
