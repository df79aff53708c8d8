"""A joint model that several processes train, each on images of its own."""

import torch.distributed as dist
from mmengine.device import get_device
from torch import Tensor, nn

from allinone.distributed.processes import Replicas
from allinone.registry import MODEL_WRAPPERS
from allinone.registry.options import check_flag

from .allinone import AllInOne


@MODEL_WRAPPERS.register_module()
class AllInOneDDP(nn.Module):
    """Data parallel training, the default over several processes.

    PyTorch's ``DistributedDataParallel`` averages the gradients of one backward pass; a step here
    has one a task, and a balancer in between that must see the averages. So there is no reducer:
    the training step sends what each task left (:class:`Replicas`). Parameters without a gradient
    need no search, and gradient accumulation communicates once.

    Args:
        module: The joint model; all processes begin with the weights of the first.
        overlap: Communicate while the next task computes.

    Attributes:
        begins_on_host: Whether the model is not to be moved to the device before.
    """

    begins_on_host = False

    def __init__(self, module: AllInOne, overlap: bool = True):
        super().__init__()
        check_flag('model_wrapper_cfg.overlap', overlap)
        self.module = module
        for tensor in [*module.parameters(), *module.buffers()]:
            # What waits on the host for its place goes over the device, one after the other.
            sent = tensor.detach().to(get_device(), copy=True)
            dist.broadcast(sent, 0)
            tensor.detach().copy_(sent)
        module.step_with(Replicas(overlap))

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper) -> dict[str, Tensor]:
        """As :meth:`AllInOne.train_step`, of the same tasks in all processes."""
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: dict) -> dict[str, list]:
        return self.module.val_step(data)

    def test_step(self, data: dict) -> dict[str, list]:
        return self.module.test_step(data)
