"""Messages, gain of overlapping, and scaling of a joint step of several processes."""

import copy
import os
import socket
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as torch_dist
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import Tensor

from allinone.data.loaders import training_batches
from allinone.distributed.processes import Replicas
from allinone.io.host_memory import keep_freed_memory
from allinone.models import AllInOneDDP
from allinone.registry import MODELS

from .measure import device, median_interval, quiet, seconds

METHODS = ('FixedWeights', 'PCGrad')
PROCESSES = (1, 2, 4, 8, 16, 32, 64)
PINGS = 50
LATE_MESSAGES = 2  # After the last task


class _Counting(Replicas):
    """Counts messages and bytes; with ``silent`` it does not send them."""

    silent = False
    messages = sent = 0

    def reduce(self, tensor: Tensor):
        self.messages += 1
        self.sent += tensor.numel() * tensor.element_size()
        return None if self.silent else super().reduce(tensor)


@dataclass
class Link:
    """The link between any two processes.

    Attributes:
        bandwidth: Bytes per second.
        latency: Seconds for an empty message.
    """

    bandwidth: float
    latency: float

    def all_reduce(self, size: float, messages: int, processes: int) -> float:
        """Seconds to sum ``size`` bytes in ``messages``: 2 (n - 1) turns of 1 / n of each.

        Source: the ring of Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for
        clusters of workstations", 2009, with a latency for each turn.
        """
        turns = 2 * (processes - 1)
        return turns * (size / processes / self.bandwidth + messages * self.latency)


# Assumed, not measured: Ethernet of 10 and 100 Gbit/s, at 20 microseconds per turn.
LINKS = {'10 Gbit/s': Link(1.25e9, 2e-5), '100 Gbit/s': Link(1.25e10, 2e-5)}


def measure_dist(cfg, processes: int, rounds: int, methods=METHODS) -> dict:
    """Times of a step with and without overlap, in alternation on the same batch.

    Args:
        cfg: A config of a joint model; ``batch_size`` is that of one process.
        processes: Number of processes, on this machine.
        rounds: Measured rounds, after one warm-up round.
        methods: Names of balancing methods.

    Returns:
        ``processes``, ``tasks`` (numbers), ``backbone`` and ``heads`` (bytes of their parameters),
        ``number_s`` and ``backbone_s`` (seconds to sum one number, and as many as the backbone has,
        without computation) and ``methods``, ``{method: {'bytes', 'messages', 'overlap_s',
        'blocking_s', 'silent_s', 'ratio', 'ratio_interval'}}``: bytes and messages of a process per
        step, medians of seconds (``silent_s``: nothing is sent), and the median of overlapping over
        blocking with its 95 % confidence interval.
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
        keep_freed_memory()
    torch_dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo')
    found = {}
    with DefaultScope.overwrite_default_scope('allinone'), quiet():
        for method in methods:
            found[method], model = _measure_method(cfg, method, rounds)
    backbone, heads = (
        sum(param.numel() * param.element_size() for param in part.parameters())
        for part in (model.backbone, model.tasks)
    )
    link = dict(number_s=_all_reduce_s(1), backbone_s=_all_reduce_s(backbone // 4))
    if rank == 0:
        sizes = dict(processes=processes, tasks=len(model.tasks), backbone=backbone, heads=heads)
        torch.save(dict(sizes, **link, methods=found), out)
    torch_dist.destroy_process_group()


def _all_reduce_s(size: int) -> float:
    """Seconds to sum ``size`` float32 numbers over the processes."""
    numbers, times = torch.zeros(size, device=device()), []
    for _ in range(PINGS):
        torch_dist.barrier()
        times.append(seconds(lambda: torch_dist.all_reduce(numbers)))
    return statistics.median(times)


def _measure_method(cfg, method: str, rounds: int):
    cfg = copy.deepcopy(cfg)
    cfg.model.balancer = dict(type=method)
    cfg.model.grad_similarity_interval = 0
    wrapped = AllInOneDDP(MODELS.build(cfg.model).to(device()))
    model, wrapper = wrapped.module, build_optim_wrapper(wrapped, cfg.optim_wrapper)
    counting = _Counting()
    model.step_with(counting)
    wrapped.train()
    for group in wrapper.optimizer.param_groups:
        group['lr'] = 0.0  # Every step is then the same work, also after a silent one.
    kinds = dict(overlap=(True, False), blocking=(False, False), silent=(False, True))
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _, batches in zip(range(rounds + 1), training_batches(cfg, model.tasks)):
        for kind, (counting.overlap, counting.silent) in kinds.items():
            counting.messages = counting.sent = 0
            data = copy.deepcopy(batches)
            torch_dist.barrier()
            times[kind].append(seconds(lambda d=data: wrapped.train_step(d, wrapper)))
    ratios = [fast / slow for fast, slow in zip(times['overlap'][1:], times['blocking'][1:])]
    ratio, *interval = median_interval(ratios)
    return dict(
        bytes=counting.sent,
        messages=counting.messages,
        **{f'{kind}_s': statistics.median(values[1:]) for kind, values in times.items()},
        ratio=ratio,
        ratio_interval=interval,
    ), model


def fit(found: Mapping) -> Link:
    """Link between the measured processes, estimated from the two all-reduces."""
    turns = 2 * (found['processes'] - 1)
    sending = max(found['backbone_s'] - found['number_s'], 1e-9)  # Noise may leave nothing.
    bandwidth = turns * found['backbone'] / found['processes'] / sending
    return Link(bandwidth, found['number_s'] / turns)


def step_model(compute: float, early: float, late: float, tasks: int) -> float:
    """Model of the seconds of a step: computation, and communication that it does not hide.

    Args:
        compute: Seconds of a step that sends nothing.
        early: Seconds of communication that overlaps with the computation of other tasks.
        late: Seconds of communication after the last task.
        tasks: Number of tasks.
    """
    window = compute * (1 - 1 / tasks)
    return compute + late + max(early - window, 0.0)


def scaling(found: Mapping, links: Mapping[str, Link] = LINKS) -> list[dict]:
    """Seconds of a step of 1 to 64 processes by :func:`step_model`, for each method.

    Messages after the last task are its head, and once the backbone: its row, or the sum of all.

    Args:
        found: Result of :func:`measure_dist`.
        links: ``{name: link}`` in addition to the measured one.

    Returns:
        Dicts of ``method``, ``link`` and ``steps``: ``{processes: seconds}``, at the same batch
        per process.
    """
    rows, tasks = [], found['tasks']
    late_bytes = found['backbone'] + found['heads'] / tasks
    for method, values in found['methods'].items():
        early_bytes = max(values['bytes'] - late_bytes, 0)
        for name, link in {'this machine': fit(found), **links}.items():
            steps = {}
            for count in PROCESSES:
                early = link.all_reduce(early_bytes, values['messages'] - LATE_MESSAGES, count)
                late = link.all_reduce(late_bytes, LATE_MESSAGES, count)
                steps[count] = step_model(values['silent_s'], early, late, tasks)
            rows.append(dict(method=method, link=name, steps=steps))
    return rows


def dist_table(found: Mapping) -> str:
    """The result of :func:`measure_dist`, one line for each method."""
    mib = 2**20
    lines = [
        f'{found["processes"]} processes; backbone {found["backbone"] / mib:.2f} MiB, heads '
        f'{found["heads"] / mib:.2f} MiB',
        f'{"method":<16}{"MiB a step":>12}{"overlap":>12}{"blocking":>12}{"silent":>12}{"ratio":>8}'
        '  95 %',
    ]
    for method, values in found['methods'].items():
        low, high = values['ratio_interval']
        lines.append(
            f'{method:<16}{values["bytes"] / mib:>12.2f}{values["overlap_s"]:>10.3f} s'
            f'{values["blocking_s"]:>10.3f} s{values["silent_s"]:>10.3f} s'
            f'{values["ratio"]:>8.3f}  {low:.3f} to {high:.3f}'
        )
    link = fit(found)
    lines += [
        '',
        f'All-reduce alone: {link.bandwidth / mib:.0f} MiB/s, {1e6 * link.latency:.0f} us a turn.',
    ]
    lines += [
        '',
        'Efficiency by the model (a step that sends nothing / a step), same batch a process:',
        f'{"method":<16}{"link":<14}' + ''.join(f'{count:>7}' for count in PROCESSES),
    ]
    for row in scaling(found):
        alone = found['methods'][row['method']]['silent_s']
        shares = ''.join(f'{alone / seconds_:>7.3f}' for seconds_ in row['steps'].values())
        lines.append(f'{row["method"]:<16}{row["link"]:<14}{shares}')
    return '\n'.join(lines)
