"""Kill a toy training at random moments, go on each time, and compare the end bit by bit.

    python tests/e2e/kill_and_resume.py DATA [--kills 10] [--seed 0] [--only NAME ...]

DATA is a folder with the toy scenes in ``toy/`` (``tools/make_toy_data.py --out DATA/toy``).
Parameters, EMA, optimizer, balancer and schedule state and every logged metric but times, up to the
checkpoint of the last step, must be those of the run that nobody killed. One process imports the
libraries and forks every start from itself.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

STEP = re.compile(r'Iter\(train\) \[ *(\d+)/')  # A line of the log for each step
NOT_COMPARED = ('time', 'data_time', 'eta', 'memory')
SCHEDULES = dict(
    every=dict(type='AllTasks'),
    temperature=dict(type='TemperatureSampling'),
    stop_and_go=dict(
        type='StopAndGo', metrics=['cls/top1', 'det/bbox_mAP_50', 'seg/mIoU'], gap=2, patience=1
    ),
)
# Before and after the first kill
WORKERS = {'0': (0, 0), '2': (2, 2), '0-then-2': (0, 2)}
VARIANTS = (
    {
        f'{schedule}-{balancer.lower()}-{name}': (schedule, balancer, *workers)
        for schedule in SCHEDULES
        for balancer in ('PCGrad', 'FAMO')
        for name, workers in WORKERS.items()
        # Temperature has one task a step, and is refused with what compares several.
        if (schedule, balancer) != ('temperature', 'PCGrad')
    }
    | {
        f'every-{balancer.lower()}-2': ('every', balancer, 2, 2)
        for balancer in ('Uncertainty', 'DynamicWeightAverage', 'GradNorm')
    }
    | {
        # One source of images that lack labels of some tasks
        'shared-famo-2': ('shared', 'FAMO', 2, 2),
        'shared-pcgrad-0-then-2': ('shared', 'PCGrad', 0, 2),
        'shared-mgda-features-2': ('shared', 'MGDA', 2, 2),
        # Batches of P identities with K images each, and a memory of embeddings in its state
        'retrieval-uncertainty-0-then-2': ('retrieval', 'Uncertainty', 0, 2),
    }
)


def config(name: str, steps: int, work_dir: Path, save_format: str, workers: int, resume: bool):
    """The tiny toy config with every source of randomness switched on."""
    from conftest import tiny

    schedule, balancer, *_ = VARIANTS[name]
    if schedule == 'shared':
        return shared_config(name, steps, work_dir, save_format, workers, resume)
    if schedule == 'retrieval':
        return identities_config(steps, work_dir, save_format, workers, resume)
    sizes = dict(type='BatchSyncRandomResize', random_size_range=(64, 160), interval=3)
    cfg = tiny(work_dir, experiment_name=f'{work_dir.name}_{os.getpid()}', resume=resume)
    cfg.train_cfg.update(max_iters=steps, val_interval=5, schedule=SCHEDULES[schedule])
    if schedule != 'stop_and_go':
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.save_best = None
    cfg.model.balancer = dict(type=balancer)
    cfg.model.tasks.det.data_preprocessor = dict(batch_augments=[sizes])
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=2, save_format=save_format)
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    for task, loader in cfg.train_dataloader.items():
        loader.num_workers = workers
        pipeline = loader.dataset.pipeline
        jitter = dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, hue=0.1)
        if task == 'cls':
            pipeline.insert(1, dict(type='RandomCrop', crop_size=(80, 112)))
        elif task == 'seg':
            pipeline[2:2] = [dict(type='RandomCrop', crop_size=(128, 160)), jitter]
        else:
            packed = pipeline.pop()
            flip = pipeline.pop()
            loader.dataset = dict(
                type='mmdet.MultiImageMixDataset',
                dataset=loader.dataset,
                pipeline=[
                    dict(type='Mosaic', img_scale=(128, 96), pad_val=114.0),
                    dict(type='RandomCrop', crop_size=(128, 160), allow_negative_crop=True),
                    jitter,
                    flip,
                    packed,
                ],
            )
    return cfg


def shared_config(
    name: str, steps: int, work_dir: Path, save_format: str, workers: int, resume: bool
):
    """As :func:`config`, of one source of several tasks."""
    from conftest import TOY_CONFIG

    from allinone.config.loading import load_config

    cfg = load_config(str(TOY_CONFIG.with_name('mobilenetv2_toy_shared.py')), work_dir=work_dir)
    cfg.merge_from_dict(
        dict(experiment_name=f'{work_dir.name}_{os.getpid()}', resume=resume)
        | dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
    )
    cfg.train_cfg.update(max_iters=steps, val_interval=5, warmup=None)
    cfg.param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=False)]
    cfg.model.grad_similarity_interval = 2
    cfg.model.balancer = dict(type=VARIANTS[name][1])
    if 'features' in name:
        cfg.model.balancer.gradients = 'features'
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(
        interval=1, max_keep_ckpts=2, save_best=None, save_format=save_format
    )
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    loader = cfg.train_dataloader.street
    loader.update(batch_size=3, num_workers=workers, min_labelled=dict(cls=1, seg=2))
    jitter = dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, hue=0.1)
    crop = dict(type='mmdet.RandomCrop', crop_size=(96, 128), allow_negative_crop=True)
    loader.dataset.pipeline[2:2] = [crop, jitter]
    return cfg


def identities_config(steps: int, work_dir: Path, save_format: str, workers: int, resume: bool):
    """As :func:`config`, of classification and retrieval."""
    from identity_data import embedding_model, make_identities, retrieval_config

    images = work_dir.parent / 'identities'
    if not images.exists():
        images.mkdir()
        make_identities(images)
    memory = dict(type='CrossBatchMemory', loss=dict(type='TripletLoss'), size=20)
    model = embedding_model([dict(type='ArcFaceLoss'), dict(type='TripletLoss'), memory])
    cfg = retrieval_config(
        images,
        work_dir,
        model,
        experiment_name=f'{work_dir.name}_{os.getpid()}',
        resume=resume,
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg.update(max_iters=steps, val_interval=5)
    cfg.model.balancer = dict(type='Uncertainty')
    cfg.default_hooks.checkpoint.update(
        interval=1, max_keep_ckpts=2, save_best=None, save_format=save_format
    )
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1)]
    jitter = dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, hue=0.1)
    for loader in cfg.train_dataloader.values():
        loader.num_workers = workers
        loader.dataset.pipeline.insert(1, jitter)
    return cfg


def start(*given) -> int:
    """Fork a training of :func:`config`; its process id."""
    pid = os.fork()
    if pid:
        return pid
    status, work_dir = 1, given[2]
    try:
        with open(work_dir.parent / f'{work_dir.name}.log', 'a') as log:
            os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
        from allinone.registry import RUNNERS

        RUNNERS.build(config(*given)).train()
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def differences(one, other, path: str = '') -> list[str]:
    """Where two nested values are not the same to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f'{path}: {sorted(map(str, one.keys() ^ other.keys()))}']
        return [d for key in one for d in differences(one[key], other[key], f'{path}/{key}')]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f'{path}: {len(one)} and {len(other)} entries']
        return [d for i in range(len(one)) for d in differences(one[i], other[i], f'{path}/{i}')]
    if isinstance(one, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [path]
    return [] if one == other or (one != one and other != other) else [f'{path}: {one}, {other}']


def state_of(work_dir: Path, steps: int) -> dict:
    from allinone.checkpoint.loading import read_checkpoint

    (path,) = work_dir.glob(f'iter_{steps}.*')
    checkpoint = read_checkpoint(path)
    hub = checkpoint['message_hub']
    return dict(
        {key: checkpoint[key] for key in ('state_dict', 'ema_state_dict', 'optimizer')},
        param_schedulers=checkpoint['param_schedulers'],
        schedule=hub['runtime_info'].get('schedule_state'),
        drawn=hub['runtime_info']['batches_drawn'],
        log={
            key: [part.tolist() for part in buffer.data]
            for key, buffer in hub['log_scalars'].items()
            if not key.endswith(NOT_COMPARED)
        },
    )


def compare(name: str, kills: int, folder: Path, seed: int, save_format: str) -> list[int]:
    """Run the variant in peace and with kills; the iterations it was resumed from.

    Raises:
        AssertionError: If a start fails, a kill misses, or the two ends differ.
    """
    *_, workers, later = VARIANTS[name]
    steps = max(14, 3 * kills + 2)
    folder.mkdir(parents=True)
    peace, war, log = folder / 'peace', folder / 'war', folder / 'war.log'
    status = wait(start(name, steps, peace, save_format, workers, False))
    assert status == 0, tail(folder / 'peace.log')
    rng = random.Random(f'{seed} {name}')
    log.touch()
    for made in range(kills):
        left = kills - made
        before, reached = steps_of(log)
        pid = start(name, steps, war, save_format, later if made else workers, True)
        # After so many steps of this start, and a moment more: amid a step, a save, a validation.
        # But while there are steps for the other kills.
        goal = before + rng.randint(0, max(1, (steps - 2 - reached) // left))
        moment = rng.uniform(0, 1.0 if goal > before else 5.0)
        while (found := steps_of(log))[0] < goal and found[1] < steps - left:
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), tail(log)
            time.sleep(0.005)
        end = time.monotonic() + moment
        while time.monotonic() < end and steps_of(log)[1] < steps - left:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        assert wait(pid) == -signal.SIGKILL, f'{name} ended before kill {made + 1}: {tail(log)}'
    assert wait(start(name, steps, war, save_format, later, True)) == 0, tail(log)
    found = differences(state_of(peace, steps), state_of(war, steps))
    assert not found, f'{name}: {len(found)} differences: {found[:5]}'
    resumed = re.findall(r'resumed epoch: 0, iter: (\d+)', log.read_text())
    return list(map(int, resumed))


def steps_of(log: Path) -> tuple[int, int]:
    """How many steps the log has, those made again included, and the number of the last."""
    found = STEP.findall(log.read_text())
    return len(found), int(found[-1]) if found else 0


def tail(log: Path) -> str:
    return log.read_text()[-3000:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', help='folder with the toy scenes in toy/')
    parser.add_argument('--kills', type=int, default=10, help='kills a variant')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--only', nargs='+', default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument('--save-format', default='pth', help='of the checkpoints')
    args = parser.parse_args()
    os.environ['ALLINONE_DATA'] = os.path.abspath(args.data)
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    # Before the first fork, so that every start has them.
    import mmdet.datasets.transforms  # noqa: F401
    import mmpretrain.datasets.transforms  # noqa: F401
    import mmseg.datasets.transforms  # noqa: F401

    import allinone.balancers
    import allinone.data
    import allinone.evaluation
    import allinone.models
    import allinone.training  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            before = time.monotonic()
            steps = compare(name, args.kills, Path(folder) / name, args.seed, args.save_format)
            took = time.monotonic() - before
            print(f'{name}: {args.kills} kills, on from steps {steps}, no difference, {took:.0f} s')
            sys.stdout.flush()  # Else every fork would print it again.
    return 0


if __name__ == '__main__':
    sys.exit(main())
