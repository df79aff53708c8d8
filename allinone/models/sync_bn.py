"""Batch norm over the batches of all processes, on any device."""

import torch
from torch import Tensor, nn
from torch.distributed import get_world_size, is_initialized
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm(nn.SyncBatchNorm):
    """PyTorch's ``SyncBatchNorm`` on CUDA; on other devices the same from sums over processes."""

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        if not (self.training and is_initialized() and get_world_size() > 1):
            return _BatchNorm.forward(self, x)
        self.num_batches_tracked += 1
        others = [i for i in range(x.dim()) if i != 1]
        exact = x.double()
        count = exact.new_tensor([x.numel() / x.shape[1]])
        sums = torch.cat([exact.sum(others), exact.square().sum(others), count])
        *sums, count = all_reduce(sums).split([x.shape[1], x.shape[1], 1])
        mean, square = (total / count for total in sums)
        var = square - mean**2
        with torch.no_grad():
            momentum = self.momentum
            if momentum is None:
                momentum = 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean), momentum)
            self.running_var.lerp_((var * count / (count - 1)).to(self.running_var), momentum)
        shape = [1, -1] + [1] * (x.dim() - 2)
        scale = (var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        return (exact * scale.view(shape) + shift.view(shape)).to(x)


def synchronise(backbone: nn.Module) -> None:
    """Replace the backbone's batch norm layers; their parameters and statistics stay."""
    for name, norm in list(backbone.named_modules()):
        if isinstance(norm, _BatchNorm) and norm.track_running_stats:
            synced = SyncBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine)
            synced.load_state_dict(norm.state_dict())
            synced.weight, synced.bias = norm.weight, norm.bias
            backbone.set_submodule(name, synced)
