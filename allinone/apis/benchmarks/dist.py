"""A joint training step of several processes: what it sends, and what overlapping gains."""

import copy
import os
import socket
import statistics
import tempfile
from collections.abc import Mapping

import torch
import torch.distributed as torch_dist
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import Tensor

from allinone.balancers.processes import Replicas
from allinone.engine.dataloaders import training_batches
from allinone.models import AllInOneDDP
from allinone.registry import MODELS

from .measure import device, median_interval, seconds

METHODS = ('FixedWeights', 'PCGrad')


class _Counting(Replicas):
    """Counts the bytes that it sends."""

    sent = 0

    def reduce(self, tensor: Tensor):
        self.sent += tensor.numel() * tensor.element_size()
        return super().reduce(tensor)


def measure_dist(cfg, processes: int, rounds: int, methods=METHODS) -> dict:
    """Times of a step with and without overlap, in alternation on the same batch.

    Args:
        cfg: A config of a joint model; ``batch_size`` is of one process.
        processes: How many, on this machine.
        rounds: Measured rounds, after one that is not.
        methods: Names of balancing methods.

    Returns:
        ``processes``, ``trunk`` and ``heads`` (bytes of their parameters), and ``methods``,
        ``{method: {'bytes', 'overlap_s', 'blocking_s', 'ratio', 'ratio_interval'}}``: bytes that a
        process sends in a step, medians of seconds, and the median of their ratios with its 95 %
        confidence interval.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'found.pt')
        torch.multiprocessing.spawn(
            _measure, (processes, port, cfg, rounds, tuple(methods), out), nprocs=processes
        )
        return torch.load(out, weights_only=True)


def _measure(rank: int, processes: int, port: int, cfg, rounds: int, methods, out: str) -> None:
    os.environ |= dict(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(processes),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    else:
        os.environ.setdefault('GLOO_SOCKET_IFNAME', 'lo')
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes))
    torch_dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo')
    found = {}
    with DefaultScope.overwrite_default_scope('allinone'):
        for method in methods:
            found[method], model = _measure_method(cfg, method, rounds)
    trunk, heads = (
        sum(param.numel() * param.element_size() for param in part.parameters())
        for part in (model.backbone, model.tasks)
    )
    if rank == 0:
        torch.save(dict(processes=processes, trunk=trunk, heads=heads, methods=found), out)
    torch_dist.destroy_process_group()


def _measure_method(cfg, method: str, rounds: int):
    cfg = copy.deepcopy(cfg)
    cfg.model.balancer = dict(type=method)
    cfg.model.conflict_interval = 0
    wrapped = AllInOneDDP(MODELS.build(cfg.model).to(device()))
    model, wrapper = wrapped.module, build_optim_wrapper(wrapped, cfg.optim_wrapper)
    counting = _Counting()
    model.step_with(counting)
    wrapped.train()
    times = {True: [], False: []}
    for _, batches in zip(range(rounds + 1), training_batches(cfg, model.tasks)):
        for overlap in times:
            counting.overlap, counting.sent = overlap, 0
            data = copy.deepcopy(batches)
            torch_dist.barrier()
            times[overlap].append(seconds(lambda d=data: wrapped.train_step(d, wrapper)))
    ratios = [fast / slow for fast, slow in zip(times[True][1:], times[False][1:])]
    ratio, *interval = median_interval(ratios)
    return dict(
        bytes=counting.sent,
        overlap_s=statistics.median(times[True][1:]),
        blocking_s=statistics.median(times[False][1:]),
        ratio=ratio,
        ratio_interval=interval,
    ), model


def dist_table(found: Mapping) -> str:
    """What :func:`measure_dist` found, a line for each method."""
    mib = 2**20
    lines = [
        f'{found["processes"]} processes; trunk {found["trunk"] / mib:.2f} MiB, heads '
        f'{found["heads"] / mib:.2f} MiB',
        f'{"method":<16}{"MiB a step":>12}{"overlap":>12}{"blocking":>12}{"ratio":>8}  95 %',
    ]
    for method, figures in found['methods'].items():
        low, high = figures['ratio_interval']
        lines.append(
            f'{method:<16}{figures["bytes"] / mib:>12.2f}{figures["overlap_s"]:>10.3f} s'
            f'{figures["blocking_s"]:>10.3f} s{figures["ratio"]:>8.3f}  {low:.3f} to {high:.3f}'
        )
    return '\n'.join(lines)
