"""Two processes against one, on two cores:

    OMP_NUM_THREADS=1 python tests/e2e/two_processes.py [FOLDER] [--only steps runs kills]

The pairs are forked from this process, which imports the libraries once, and meet on loopback.
Prints what was found as JSON; the tests of ``test_distributed/test_processes.py`` look at it.
"""

import argparse
import contextlib
import copy
import functools
import itertools
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch import nn

STEPS = 20
ACCUMULATED = 5
CLIP = 1.0
BATCH = dict(cls=4, det=2, seg=2)  # of one process
EVERY = {
    'FixedWeights': {},
    'Uncertainty': dict(lr=0.1),
    'FAMO': {},
    'GradNorm': {},
    'PCGrad': {},
    'MGDA': {},
    'GradDrop': {},
    'GradientOrthogonality': dict(balancer=dict(type='FixedWeights')),
}
ONE_TASK = ('FixedWeights', 'Uncertainty', 'FAMO')
SHARDED = [name for name in EVERY if name != 'GradientOrthogonality']  # second derivatives
GRADIENTS = ('GradNorm', 'PCGrad', 'MGDA', 'GradDrop')  # Those that keep each task's


class TinyBackbone(nn.Module):
    """Maps of 8, 16, 32 and 32 channels at strides 4 to 32."""

    def __init__(self, frozen: bool = True):
        super().__init__()
        self.frozen = frozen
        widths = (3, 8, 8, 16, 32, 32)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
            for before, after in itertools.pairwise(widths)
        )
        # As ViTs have some: a parameter of the backbone itself, of a single row
        self.shift = nn.Parameter(torch.zeros(1, 3, 1, 1))
        # With variances of 1, frozen norms would let the activations die away.
        for stage in self.stages:
            stage[1].running_var.fill_(0.1)

    def forward(self, x):
        x = x.to(self.shift) + self.shift
        maps = list(itertools.accumulate(self.stages, lambda y, stage: stage(y), initial=x))
        return tuple(maps[2:])

    def train(self, mode: bool = True):
        return super().train(mode and not self.frozen)


def config(work_dir, factor: int = 1, frozen: bool = True, **options):
    """The toy config with a tiny backbone, small images and ``factor`` times the batch."""
    from conftest import tiny

    cfg = tiny(work_dir, experiment_name=f'{Path(work_dir).name}_{os.getpid()}')
    cfg.model.backbone = dict(type='allinone.TinyBackbone', frozen=frozen)
    tasks = cfg.model.tasks
    tasks.cls.feature_indices, tasks.cls.head.in_channels = (3,), 32
    tasks.det.neck.update(in_channels=[16, 32, 32], out_channels=16)
    tasks.det.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
    tasks.seg.decode_head.update(in_channels=[8, 16, 32, 32], channels=16, dropout_ratio=0)
    cfg.model.grad_similarity_interval = 0
    for stage in ('train', 'val', 'test'):
        for task, loader in cfg[f'{stage}_dataloader'].items():
            loader.batch_size = BATCH[task] * factor
            if stage == 'train' and task != 'cls':
                loader.dataset.pipeline.insert(
                    2, dict(type='Resize', scale=(96, 64), keep_ratio=True)
                )
    cfg.merge_from_dict(options)
    return cfg


def pair(job, *args) -> list[int]:
    """``job(rank, *args)`` in two processes; their process ids."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(2):
        pid = os.fork()
        if not pid:
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', LOCAL_WORLD_SIZE='2',
                MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), GLOO_SOCKET_IFNAME='lo',
            )  # fmt: skip
            status = 1
            try:
                status = job(rank, *args) or 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
        pids.append(pid)
    return pids


def wait(pids) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def succeed(pids) -> None:
    if any(statuses := wait(pids)):
        raise SystemExit(f'the pair ended with {statuses}')


# One step after the other, without a runner


def model_of(cfg, balancer: str, **options):
    from allinone.registry import MODELS

    torch.manual_seed(0)
    options = dict(EVERY[balancer], type=balancer, **options)
    # As PyTorch initialises them: mmengine's way reports on every parameter.
    model = MODELS.build(dict(cfg.model, balancer=options))
    # In float32 a rounding error becomes another sign of a ReLU within some steps.
    return model.double()


def optimizer_of(model, accumulate: int = 1):
    from mmengine.optim import OptimWrapper

    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-3)
    wrapper = OptimWrapper(sgd, accumulative_counts=accumulate)
    wrapper.initialize_count_status(model, 0, STEPS)
    return wrapper


def half(batch: dict, rank: int) -> dict:
    return {key: value[rank::2] for key, value in batch.items()}


class Counted:
    """Stands in for ``torch.distributed`` in the module that sends, and counts."""

    def __init__(self):
        self.messages: list[int] = []
        self.get_world_size, self.ReduceOp = dist.get_world_size, dist.ReduceOp

    def all_reduce(self, tensor, *args, **kwargs):
        self.messages.append(tensor.numel() * tensor.element_size())
        return dist.all_reduce(tensor, *args, **kwargs)


def expected_bytes(model, balancer: str, tasks) -> int:
    """Backbone x tasks for methods that keep gradients, else backbone x 1, and heads once."""
    backbone = [param.numel() for param in model.backbone.parameters()]
    heads = [param.numel() for task in tasks for param in model.tasks[task].parameters()]
    times = len(tasks) if balancer in GRADIENTS else 1
    # Beside them a flag a parameter, and of each task its loss and whether it took part
    return 8 * (times * sum(backbone) + sum(heads) + len(backbone) + len(heads) + 2 * len(tasks))


def flat(model):
    from allinone.distributed.processes import is_sharded

    values = [value.detach() for value in (*model.parameters(), *model.buffers())]
    values = [value.full_tensor() if is_sharded(value) else value for value in values]
    return torch.cat([value.double().flatten() for value in values])


def trained(model):
    """Backbone and tasks: not the balancer."""
    return torch.cat([flat(part) for part in (model.backbone, *model.tasks.values())])


def same_in_both(model) -> bool:
    own = flat(model)
    first = own.clone()
    dist.broadcast(first, 0)
    verdict = torch.tensor(torch.equal(own.nan_to_num(-7.0), first.nan_to_num(-7.0)))
    dist.all_reduce(verdict, dist.ReduceOp.MIN)
    return bool(verdict)


def train_alone(cfg, balancer, tasks_of, batches, accumulate=1):
    """One process with all images; its parameters and statistics before and after.

    Both processes make it, in step: mmdet's heads average over them whatever the wrapper.
    """
    model = model_of(cfg, balancer)
    optimizer, start = optimizer_of(model, accumulate), flat(model)
    model.train()
    for step, batch in enumerate(batches):
        whole = copy.deepcopy({task: batch[task] for task in tasks_of(step)})
        model.train_step(whole, optimizer)
    return start, flat(model)


def train_pair(
    rank, cfg, balancer, tasks_of, batches, alone, accumulate=1, bn='shared', wrapper='AllInOneDDP'
):
    """As one of two with half of the images each; what came out, beside ``train_alone``'s."""
    from allinone.distributed import processes
    from allinone.registry import MODEL_WRAPPERS

    cfg.model.bn = bn
    model = model_of(cfg, balancer)
    if rank:  # The wrapper begins with the weights of the first.
        model.tasks['cls'].head.fc.weight.data.fill_(7)
    wrapped = MODEL_WRAPPERS.build(dict(type=wrapper), default_args=dict(module=model))
    optimizer, counted, found = optimizer_of(model, accumulate), Counted(), {}
    untouched = True
    wrapped.train()
    for step, batch in enumerate(batches):
        tasks = tasks_of(step)
        part = copy.deepcopy({task: half(batch[task], rank) for task in tasks})
        idle = {t: flat(head) for t, head in model.tasks.items() if t not in tasks}
        counted.messages.clear()
        processes.dist = counted
        wrapped.train_step(part, optimizer)
        processes.dist = dist
        if accumulate == 1:
            untouched &= all(torch.equal(flat(model.tasks[t]), value) for t, value in idle.items())
        if step in (0, accumulate - 1):
            found[f'messages{step}'] = list(counted.messages)
    start, end = alone
    return dict(
        found,
        difference=float((end - flat(model)).nan_to_num(0.0).abs().max()),
        moved=float((end - start).nan_to_num(0.0).abs().max()),
        equal=same_in_both(model),
        untouched=untouched,
        bytes=sum(found[f'messages{accumulate - 1}']),
        expected=expected_bytes(model, balancer, tasks_of(0)),
    )


def moved_statistics(rank: int, cfg, batch) -> dict:
    """Running statistics after one step of the pair, and of the halves' by themselves."""
    from allinone.models import AllInOneDDP

    def after_a_step(model, part: int) -> torch.Tensor:
        given = {task: half(value, part) for task, value in copy.deepcopy(batch).items()}
        model.train()
        model.train_step(given, optimizer_of(getattr(model, 'module', model)))
        found = [value for name, value in model.named_buffers() if 'running_' in name]
        return torch.cat([value.flatten() for value in found])

    halves = torch.stack([after_a_step(model_of(cfg, 'FixedWeights'), i) for i in range(2)])
    pair = after_a_step(AllInOneDDP(model_of(cfg, 'FixedWeights')), rank)
    return dict(
        apart=float((halves[0] - halves[1]).abs().max()),
        difference=float((pair - halves.mean(0)).abs().max()),
    )


def one_is_bad(rank: int, cfg, batch, wrapper: str) -> dict:
    """A step in which the loss of ``cls`` is NaN in the second process.

    What it must come to: with replicas the first one's share of the mean is left, with parts of
    gradients, which hold the NaN everywhere, nothing of the task.
    """
    from allinone.registry import MODEL_WRAPPERS
    from allinone.training.hooks.non_finite import NonFiniteHook

    good = copy.deepcopy(batch)
    good['cls'] = half(good['cls'], 0)
    if wrapper == 'AllInOneFSDP':
        del good['cls']
    alone = model_of(cfg, 'FixedWeights', weights=dict(cls=0.5))
    model = model_of(cfg, 'FixedWeights')
    start, losses = trained(model), model.task_losses

    def task_losses(task, batch):
        spoil = float('nan') if rank and task == 'cls' else 1
        return {name: value * spoil for name, value in losses(task, batch).items()}

    model.task_losses = task_losses
    wrapped = MODEL_WRAPPERS.build(dict(type=wrapper), default_args=dict(module=model))
    alone.train(), wrapped.train()
    alone.train_step(good, optimizer_of(alone))
    part = {task: half(value, rank) for task, value in copy.deepcopy(batch).items()}
    outputs = wrapped.train_step(part, optimizer_of(model))
    warnings = []
    runner = SimpleNamespace(
        hooks=[],
        iter=0,
        max_iters=1,
        message_hub=SimpleNamespace(runtime_info={}, update_info=lambda *info: None),
        logger=SimpleNamespace(warning=warnings.append),
    )
    hook = NonFiniteHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, part, outputs)
    found = trained(model)
    return dict(
        warnings=warnings,
        images=[sample.img_path for sample in batch['cls']['data_samples'][1::2]],
        finite=bool(found.isfinite().all()),
        moved=float((found - start).abs().max()),
        difference=float((trained(alone) - found).abs().max()),
        equal=same_in_both(model),
    )


def steps(rank: int, cfg, batches, out: Path) -> None:
    dist.init_process_group('gloo')
    tasks, found = list(BATCH), {}

    def run(name, cfg, balancer, schedule, wrappers=('AllInOneDDP',), accumulate=1, **options):
        given = cfg, balancer, schedules[schedule], batches
        with contextlib.redirect_stdout(None):
            alone = train_alone(*given, accumulate)
            for wrapper in wrappers:
                found[f'{wrapper} {name} {schedule} {balancer}'] = train_pair(
                    rank, *given, alone, accumulate, wrapper=wrapper, **options
                )

    from allinone.registry import TASK_SCHEDULES

    schedules = {
        name: TASK_SCHEDULES.build(
            dict(type=name), default_args=dict(sizes=dict.fromkeys(tasks, 9), seed=0)
        )
        for name in ('AllTasks', 'RoundRobin')
    }
    both = 'AllInOneDDP', 'AllInOneFSDP'
    for balancer in EVERY:
        run('as it is', cfg, balancer, 'AllTasks', both if balancer in SHARDED else both[:1])
    for balancer in ONE_TASK:
        run('as it is', cfg, balancer, 'RoundRobin', both)
    for balancer in ('Uncertainty', 'PCGrad'):
        run('accumulating', cfg, balancer, 'AllTasks', accumulate=ACCUMULATED)
    clipped = copy.deepcopy(cfg)
    clipped.model.clip_grad_per_task = 2.0
    run('clipped', clipped, 'PCGrad', 'AllTasks', both[1:])
    moving = copy.deepcopy(cfg)
    moving.model.backbone.frozen = False
    run('moving', moving, 'FixedWeights', 'AllTasks')
    with contextlib.redirect_stdout(None):
        statistics = moved_statistics(rank, moving, batches[0])
    run('synced', moving, 'PCGrad', 'AllTasks', bn='sync')
    with contextlib.redirect_stdout(None):
        bad = {
            wrapper: one_is_bad(rank, cfg, batches[0], wrapper)
            for wrapper in ('AllInOneDDP', 'AllInOneFSDP')
        }
    if rank == 0:
        out.write_text(json.dumps(dict(steps=found, statistics=statistics, bad=bad)))


# The whole program


def program(rank: int, mode: str, cfg, log: Path, dies=None, **given) -> int:
    """What ``tools/train.py`` or ``tools/test.py`` does; its output goes to ``log.RANK``.

    Args:
        rank: Of this process.
        mode: ``'train'`` or ``'test'``.
        cfg: The config.
        log: Where to.
        dies: ``(step, ranks)`` of SIGKILL.
        **given: Arguments of the command line.
    """
    from allinone.apis.run import run
    from allinone.config import loading

    with open(f'{log}.{rank}', 'w') as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    loading.load_config = lambda *args, **kwargs: cfg
    cfg.launcher = 'pytorch' if 'RANK' in os.environ else 'none'
    if dies is not None and rank in dies[1]:
        die_in(dies[0])
    given = dict(resume=None, checkpoint=None, out=None) | given
    left_out = dict.fromkeys(('config', 'cfg_options', 'work_dir', 'seed', 'tasks', 'show_dir'))
    return run(mode, SimpleNamespace(launcher=cfg.launcher, amp=False, **left_out, **given))


def die_in(step: int) -> None:
    """Let SIGKILL come in the middle of a step, between two tasks."""
    from allinone.models import AllInOne

    losses = AllInOne.task_losses
    calls = itertools.count()

    def dying(self, task, batch):
        if next(calls) == len(BATCH) * step + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return losses(self, task, batch)

    AllInOne.task_losses = dying


def one(job, *args, **given) -> int:
    """``job`` in one process; its exit status."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = job(0, *args, **given) or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    return wait([pid])[0]


def run_config(folder: Path, name: str, factor: int = 1):
    """Six steps, saved after each, validated at the end on 9 images a task."""
    cfg = config(folder / name, factor)
    cfg.train_cfg.update(max_iters=6, val_interval=6)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
    cfg.param_scheduler = []
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=1e-4)
    cfg.optim_wrapper.clip_grad.max_norm = CLIP
    cfg.model.balancer = dict(type='PCGrad')
    cfg.model.tasks.det.test_cfg.score_thr = 0.0
    for stage in ('val', 'test'):
        # So little training leaves boxes that meet none of the annotations: compare them all.
        cfg[f'{stage}_evaluator'].det.outfile_prefix = str(folder / name)
    return cfg


def weights(work_dir: Path) -> torch.Tensor:
    from allinone.checkpoint.loading import read_checkpoint

    (path,) = work_dir.glob('iter_6.*')
    state = read_checkpoint(path)['state_dict']
    return torch.cat([value.double().flatten() for value in state.values()])


def difference(one_dir: Path, other_dir: Path) -> float:
    return float((weights(one_dir) - weights(other_dir)).nan_to_num(0.0).abs().max())


def validated(work_dir: Path) -> dict:
    lines = [
        json.loads(line)
        for file in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in file.read_text().splitlines()
    ]
    (found,) = [line for line in lines if 'score' in line]
    return {key: value for key, value in found.items() if '/' in key or key == 'score'}


def norms(work_dir: Path) -> list[float]:
    """Of all gradients together, before they were clipped."""
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    return [line['grad_norm'] for line in lines if 'grad_norm' in line]


def boxes(path: Path) -> list:
    found = json.loads(path.read_text())
    return [[box['image_id'], box['category_id'], *box['bbox'], box['score']] for box in found]


def runs(folder: Path) -> dict:
    """Trained and validated by two processes, and by one with twice the batch."""
    succeed(pair(program, 'train', run_config(folder, 'pair'), folder / 'pair.log'))
    assert one(program, 'train', run_config(folder, 'single', 2), folder / 'single.log') == 0
    checkpoint, out = folder / 'pair/iter_6.pth', folder / 'tested.json'
    cfg = run_config(folder, 'tested')
    given = dict(checkpoint=str(checkpoint), out=str(out))
    assert one(program, 'test', cfg, folder / 'tested.log', **given) == 0
    return dict(
        **sharded(folder),
        difference=difference(folder / 'pair', folder / 'single'),
        norms=norms(folder / 'pair'),
        sharded_norms=norms(folder / 'sharded'),
        pair=validated(folder / 'pair'),
        alone=json.loads(out.read_text()),
        boxes=boxes(folder / 'pair.bbox.json'),
        boxes_alone=boxes(folder / 'tested.bbox.json'),
    )


def sharded(folder: Path) -> dict:
    """With sharded parameters and saved as folders.

    As a whole, and tested; resumed from the file of replicas, from the folder of shards, and from
    that by one process.
    """

    def config_of(name: str, **options):
        cfg = run_config(folder, name)
        cfg.model_wrapper_cfg = dict(type='AllInOneFSDP')
        cfg.default_hooks.checkpoint.update(save_format='dcp', **options)
        return cfg

    cfg = config_of('sharded', async_save=True)
    succeed(pair(program, 'train', cfg, folder / 'sharded.log'))
    for name, source in dict(to_shards='pair', again='sharded', to_one='sharded').items():
        (folder / name).mkdir()
        for path in (folder / source).glob('iter_3.*'):
            copied = shutil.copytree if path.is_dir() else shutil.copy
            copied(path, folder / name / path.name)
    again = functools.partial(program, resume='auto')
    for name in ('to_shards', 'again'):
        succeed(pair(again, 'train', config_of(name), folder / f'{name}.log'))
    assert one(again, 'train', run_config(folder, 'to_one', 2), folder / 'to_one.log') == 0
    cfg, out = config_of('tested_in_shards'), folder / 'tested_in_shards.json'
    # For testing nothing is initialised.
    cfg.model.tasks.cls.head.init_cfg = dict(type='Pretrained', checkpoint='gone.pth')
    given = dict(checkpoint=str(folder / 'sharded/iter_6.dcp'), out=str(out))
    succeed(pair(functools.partial(program, **given), 'test', cfg, folder / 'tested_in_shards.log'))
    return {
        name: difference(folder / 'pair', folder / name)
        for name in ('sharded', 'to_shards', 'again', 'to_one')
    } | dict(tested=json.loads(out.read_text()), files=sorted(os.listdir(folder / 'sharded')))


def complaint(log: Path) -> str:
    return [line for line in log.read_text().splitlines() if line.startswith('error: ')][-1]


def kills(folder: Path) -> dict:
    """One process killed, then both; resumed with two processes, and with one."""
    found = {}
    work = folder / 'killed'
    before = time.monotonic()
    pids = pair(program, 'train', run_config(folder, 'killed'), folder / 'killed.log', (4, [1]))
    wait(pids[1:])
    killed = time.monotonic()
    found['survivor'] = wait(pids[:1])[0]
    found['seconds'] = time.monotonic() - killed
    found['before'] = killed - before
    found['says'] = complaint(folder / 'killed.log.0')
    shutil.copytree(work, folder / 'killed_by_one')
    cfg = run_config(folder, 'killed')
    again = functools.partial(program, resume='auto', force_resume=False)
    assert wait(pair(again, 'train', cfg, folder / 'again.log', (1, [0, 1]))) == [-9, -9]
    for name in ('two', 'one', 'refused'):
        shutil.copytree(work, folder / name)
    succeed(pair(again, 'train', run_config(folder, 'two'), folder / 'two.log'))
    found['two'] = difference(folder / 'pair', folder / 'two')
    cfg = run_config(folder, 'one', 2)
    assert one(again, 'train', cfg, folder / 'one.log') == 0
    found['one'] = difference(folder / 'pair', folder / 'one')
    cfg = run_config(folder, 'refused')
    assert one(again, 'train', cfg, folder / 'refused.log') == 2
    found['refused'] = complaint(folder / 'refused.log.0')
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', nargs='?', help='for the toy scenes and the runs')
    parser.add_argument('--only', nargs='+', default=['steps', 'runs', 'kills'])
    parser.add_argument('--steps', type=int, default=STEPS, help=f'a multiple of {ACCUMULATED}')
    args = parser.parse_args()
    if args.steps % ACCUMULATED:
        parser.error(f'--steps is {args.steps}; give a multiple of {ACCUMULATED}')
    os.environ['CUDA_VISIBLE_DEVICES'] = ''
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from conftest import quick_runners

    from allinone.data.loaders import training_batches
    from allinone.data.toy.make import make_toy_data
    from allinone.registry import MODELS

    MODELS.register_module(module=TinyBackbone)
    with contextlib.ExitStack() as stack:
        stack.enter_context(quick_runners())
        folder = Path(args.folder or stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        make_toy_data(folder / 'data/toy', seed=0, images=36)
        os.environ['ALLINONE_DATA'] = str(folder / 'data')
        os.chdir(folder)  # Where mmengine puts results together
        found = {}
        if 'steps' in args.only:
            cfg = config(folder / 'steps')
            batches = training_batches(config(folder / 'steps', 2), BATCH)
            batches = list(itertools.islice(batches, args.steps))
            out = folder / 'steps.json'
            succeed(pair(steps, cfg, batches, out))
            found |= json.loads(out.read_text())
        if 'runs' in args.only:
            found['runs'] = runs(folder)
        if 'kills' in args.only:
            found['kills'] = kills(folder)
    print(json.dumps(found))
    return 0


if __name__ == '__main__':
    sys.exit(main())
