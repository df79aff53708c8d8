"""What is about to be trained, in a few lines."""

import os
from collections.abc import Iterator, Mapping

import torch
from mmengine.dist import get_world_size
from rich.table import Table
from rich.text import Text

from allinone.data.task_loaders import TaskLoaders


def header(runner, load: float) -> Iterator[Table | str]:
    """The lines that stand before the first one of a training.

    Args:
        runner: A runner whose loops are built and whose checkpoint is loaded.
        load: Of the machine, before the training began.
    """
    loop = runner.train_loop
    lines = dict(
        config=_short(runner.cfg.filename or runner.experiment_name),
        work_dir=_short(runner.work_dir),
        log=_short(runner.logger.log_file or runner.log_dir),
        steps=_steps(runner),
        device=f'{_device(runner)}, seed {runner.seed}',
    )
    for name, text in lines.items():
        yield f'{name.replace("_", " "):<10}{text}'
    parts = () if runner.val_loop is None else runner.val_loop.dataloader.parts
    evaluated = {part.task: part.images for part in parts}
    yield _tasks(loop.dataloader, loop.micro_batches, evaluated)
    hint = cpu_hint(load, _cores(), torch.get_num_threads(), _local_processes(), _is_on_cpu(runner))
    if hint:
        yield f'hint: {hint}'


def cpu_hint(load: float, cores: int, threads: int, processes: int, on_cpu: bool) -> str | None:
    """What to set where more threads wait for cores than there are.

    Args:
        load: Of the machine, before the training began.
        cores: That this process may use.
        threads: Of each process.
        processes: On this machine.
        on_cpu: Whether the model is there.
    """
    if not on_cpu:
        return None
    if threads * processes > cores:
        fewer = max(1, cores // processes)
        who = (
            f'{processes} processes of {threads} threads' if processes > 1 else f'{threads} threads'
        )
        return f'{who} share {cores} cores, and wait for each other; set OMP_NUM_THREADS={fewer}'
    passive = os.environ.get('OMP_WAIT_POLICY', '').upper() == 'PASSIVE'
    if load > cores and threads > 1 and not passive:
        return (
            f'the load is {load:.1f} on {cores} cores, where spinning threads slow a step 3 to 20 '
            'times (measured: 0.6 s alone, 5 to 18 s beside other work); set '
            'OMP_WAIT_POLICY=PASSIVE (1.2 to 2.4 s there, 1.1 s alone)'
        )
    return None


def _short(path: str) -> str:
    """Relative, if that is shorter."""
    return min(path, os.path.relpath(path), key=len)


def _steps(runner) -> str:
    loop = runner.train_loop
    text = f'{runner.iter + 1:,} to {runner.max_iters:,}'
    if runner.val_loop is not None:
        text += f', a validation every {loop.val_interval:,}'
    if runner._resume and runner.iter:
        text += f'; resumed from {_short(runner._load_from)}'
    elif runner._load_from:
        sources = runner._load_from
        sources = sources.values() if isinstance(sources, Mapping) else [sources]
        paths = dict.fromkeys(os.fspath(source) for source in sources)
        text += f'; weights of {", ".join(map(_short, paths))}'
    return text


def _device(runner) -> str:
    device = next(runner.model.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type
    threads = torch.get_num_threads()
    text = f'{name} ({threads} thread{"s"[: threads > 1]})' if device.type == 'cpu' else name
    amp = ', mixed precision' if hasattr(runner.optim_wrapper, 'loss_scaler') else ''
    world = get_world_size()
    return f'{text}{f", {world} processes" if world > 1 else ""}{amp}'


def _tasks(
    loaders: TaskLoaders, micro_batches: Mapping[str, int], evaluated: Mapping[str, int]
) -> Table:
    """A row for each source, and below a shared one a row for each of its tasks."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shared = any(tasks != (source,) for source, tasks in loaders.tasks.items())
    table.add_column('source, task' if shared else 'task')
    for title in ('training samples', 'batch', 'validation samples'):
        table.add_column(title, justify='right')

    def known(task: str) -> str:
        return f'{evaluated[task]:,}' if task in evaluated else '-'

    for source, loader in loaders.loaders.items():
        size = getattr(loader, 'batch_size', None) or getattr(
            loader.batch_sampler, 'batch_size', None
        )
        count = micro_batches.get(source, 1)
        batch = '?' if size is None else f'{count} x {size}' if count > 1 else str(size)
        alone = loaders.tasks[source] == (source,)
        size = f'{loaders.sizes[source]:,}'
        table.add_row(Text(source), size, batch, known(source) if alone else '')
        for part in () if alone else filter(lambda part: part.source == source, loaders.parts):
            table.add_row(Text(f'  {part.task}'), f'{part.images:,}', '', known(part.task))
    return table


def _is_on_cpu(runner) -> bool:
    return next(runner.model.parameters()).device.type == 'cpu'


def _cores() -> int:
    affinity = getattr(os, 'sched_getaffinity', None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _local_processes() -> int:
    return int(os.environ.get('LOCAL_WORLD_SIZE', 1))
