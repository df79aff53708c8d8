"""Data parallel training of a joint model: each process trains on different images."""

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

    PyTorch's ``DistributedDataParallel`` averages the gradients of one backward pass. A joint step
    has one backward pass per task, and the balancer needs the averages of each. So this class has
    no reducer: the training step communicates each task's gradients (:class:`Replicas`). It needs
    no search for unused parameters, and gradient accumulation communicates once.

    Args:
        module: The joint model; all processes begin with the weights of rank 0.
        overlap: Communicate while the next task computes.

    Attributes:
        begins_on_host: Whether the caller must leave the model on the host.
    """

    begins_on_host = False

    def __init__(self, module: AllInOne, overlap: bool = True):
        super().__init__()
        check_flag('model_wrapper_cfg.overlap', overlap)
        self.module = module
        for tensor in [*module.parameters(), *module.buffers()]:
            # Tensors that are still on the host are sent through the device one by one.
            sent = tensor.detach().to(get_device(), copy=True)
            dist.broadcast(sent, 0)
            tensor.detach().copy_(sent)
        module.step_with(Replicas(overlap))

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper) -> dict[str, Tensor]:
        """As :meth:`AllInOne.train_step`, with the same tasks in all processes."""
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: dict) -> dict[str, list]:
        return self.module.val_step(data)

    def test_step(self, data: dict) -> dict[str, list]:
        return self.module.test_step(data)
