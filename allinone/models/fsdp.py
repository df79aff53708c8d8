"""Sharded training of a joint model: its parameters are distributed over the processes."""

import torch.distributed as dist
from mmengine.device import get_device

from allinone.distributed.processes import Shards
from allinone.errors import ConfigError
from allinone.registry import MODEL_WRAPPERS

from .allinone import AllInOne
from .ddp import AllInOneDDP
from .shared_backbone import layers_of


@MODEL_WRAPPERS.register_module()
class AllInOneFSDP(AllInOneDDP):
    """Sharding by PyTorch's ``fully_shard`` (FSDP2), for backbones too large for one device.

    Each process holds a shard of every parameter, gradient and optimizer state. A backbone layer is
    gathered only while it runs, task-specific layers while their task runs. Backward passes leave
    shards of the averaged gradients, from which balancers get the same Gramian (:class:`Shards`).

    Args:
        module: The joint model with its initial weights: sharded weights cannot be initialised.
            Parts on the host are moved to the device and sharded one by one, so no device holds
            more than its shards and one layer.

    Raises:
        ConfigError: If the model takes second derivatives, or exchanges weights of the backbone.
    """

    begins_on_host = True

    def __init__(self, module: AllInOne):
        if module.balancer.regulariser is not None:
            raise ConfigError(
                f'model.balancer.type is {type(module.balancer).__name__!r}, which needs second '
                "derivatives; sharded parameters have none: use type='AllInOneDDP'"
            )
        adapted = [
            name for name, view in zip(module.tasks, module.views()) if view.adapter is not None
        ]
        if adapted:
            raise ConfigError(
                f'the tasks {adapted} exchange weights of the backbone (adapter, or bn='
                "'per_task'), which sharded ones do not let: use type='AllInOneDDP'"
            )
        if not all(param.is_contiguous() for param in module.parameters()):
            raise ConfigError(
                'model.channels_last is True, but parameters in that layout cannot be sharded; '
                "leave it out, or use type='AllInOneDDP'"
            )
        # Scalars cannot be sharded: every process holds them in full.
        scalars = {param for param in module.parameters() if not param.dim()}
        shared = module.shared_part()
        if any(param in scalars for param in shared.parameters()):
            raise ConfigError(
                'model.backbone has parameters of one number each, which cannot be sharded: use '
                "type='AllInOneDDP'"
            )
        # Imported here because they load slowly and only sharding needs them.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        super().__init__(module)
        mesh = init_device_mesh(get_device(), (dist.get_world_size(),))
        roots = [part for part in (module.backbone, module.shared_neck) if part is not None]
        for part in [*layers_of(shared), *roots, *module.tasks.values()]:
            # Else direct parameters of a backbone or task stay gathered after its forward pass,
            # and the balancer would mistake them for shards.
            fully_shard(part, mesh=mesh, ignored_params=scalars, reshard_after_forward=True)
        # Scalars, and parameters outside backbone and tasks
        module.to(get_device())
        backbone = [param for param in shared.parameters() if param.requires_grad]
        module.step_with(Shards(backbone))
