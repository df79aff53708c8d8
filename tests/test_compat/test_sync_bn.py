"""mmcv's synchronized batch normalization against that of PyTorch."""

import pytest
import torch
import torch.distributed as dist
from standin_ops import ext, normal, not_compiled, ops

pytestmark = not_compiled


@pytest.fixture
def one_process():
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('mode', ['default', 'N'])
def test_one_process_trains_as_batch_norm(one_process, mode):
    layer, plain = ops.SyncBatchNorm(3, stats_mode=mode), torch.nn.BatchNorm2d(3)
    plain.load_state_dict(layer.state_dict())
    x = (normal(4, 3, 5, 2, dtype=torch.float32) * 2 + 1).requires_grad_()
    grad = normal(4, 3, 5, 2, seed=1, dtype=torch.float32)
    results = []
    for norm in (layer, plain):
        output = norm(x)
        grads = torch.autograd.grad(output, (x, norm.weight, norm.bias), grad)
        results.append((output, *grads, norm.running_mean, norm.running_var))
    torch.testing.assert_close(*results)
    torch.testing.assert_close(layer.eval()(x), plain.eval()(x))


def test_two_processes_are_one_batch():
    """The exchange by hand: each process sees the mean of both processes' numbers."""
    x, grad = normal(4, 3, 6, dtype=torch.float32), normal(4, 3, 6, seed=1, dtype=torch.float32)
    weight, bias = torch.tensor([0.5, 2, 3]), torch.tensor([1.0, 0, -1])
    whole = torch.nn.BatchNorm1d(3)
    with torch.no_grad():
        whole.weight.copy_(weight)
        whole.bias.copy_(bias)
    whole_x = x.clone().requires_grad_()
    whole(whole_x).backward(grad)

    def of_both(function, *shared):
        halves = [torch.zeros(3) for _ in range(2)]
        for half, result in zip(x.chunk(2), halves, strict=True):
            function(half, *shared, result)
        return sum(halves) / 2

    mean = of_both(ext.sync_bn_forward_mean)
    var = of_both(ext.sync_bn_forward_var, mean)
    norm, output, std = torch.empty(4, 3, 6), torch.empty(4, 3, 6), torch.empty(3)
    for half in (slice(0, 2), slice(2, 4)):
        running = (torch.zeros(3), torch.ones(3))
        ext.sync_bn_forward_output(
            x[half], mean, var, weight, bias, *running, norm[half], std, output[half], 1e-5, 0.1, 2
        )
        torch.testing.assert_close(running, (whole.running_mean, whole.running_var))
    torch.testing.assert_close(output, whole(x).detach())

    sums = torch.zeros(2, 2, 3)
    for process, half in enumerate((slice(0, 2), slice(2, 4))):
        ext.sync_bn_backward_param(grad[half], norm[half], *sums[process])
    torch.testing.assert_close(tuple(sums.sum(0)), (whole.weight.grad, whole.bias.grad))
    grad_input = torch.empty(4, 3, 6)
    for half in (slice(0, 2), slice(2, 4)):
        ext.sync_bn_backward_data(
            grad[half], weight, *sums.mean(0), norm[half], std, grad_input[half]
        )
    torch.testing.assert_close(grad_input, whole_x.grad)


def test_half_precision_keeps_statistics_in_float32(one_process):
    layer = ops.SyncBatchNorm(3)
    x = normal(4, 3, 5, 2).half()
    torch.testing.assert_close(layer(x), layer(x.float()).half())
