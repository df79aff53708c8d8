"""A joint model whose parameters are spread over the processes."""

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
    """For backbones that one device does not hold: PyTorch's ``fully_shard`` (FSDP2).

    Each process keeps a part of every parameter, gradient and optimizer state. A layer of the
    backbone is whole only while it runs; a task's own part is whole while the task runs. Backward
    passes leave parts of the averaged gradients, of which balancers get the same Gramian
    (:class:`Shards`).

    Args:
        module: The joint model, with the weights to begin with: sharded ones cannot be initialised.
            From the host, part after part is moved to the device and sharded, so that no device
            holds more than its shards and one layer.

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
        # Of one number there are no parts: every process keeps such parameters whole.
        scalars = {param for param in module.parameters() if not param.dim()}
        if any(param in scalars for param in module.backbone.parameters()):
            raise ConfigError(
                'model.backbone has parameters of one number each, which cannot be sharded: use '
                "type='AllInOneDDP'"
            )
        # They take long to import, for those who do not shard.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        super().__init__(module)
        mesh = init_device_mesh(get_device(), (dist.get_world_size(),))
        for part in [*layers_of(module.backbone), module.backbone, *module.tasks.values()]:
            # Else parameters that a backbone or task has itself stay whole after its forward pass,
            # and the balancer would take these for the parts.
            fully_shard(part, mesh=mesh, ignored_params=scalars, reshard_after_forward=True)
        # Single numbers, and what is of no backbone and no task
        module.to(get_device())
        backbone = [param for param in module.backbone.parameters() if param.requires_grad]
        module.step_with(Shards(backbone))
