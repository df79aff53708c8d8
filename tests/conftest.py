"""Shared by all tests: tiny toy data, and one model trained on it for the whole session."""

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from installed import Installed, build_wheel

# Before any test module imports a library, for it stands in for the operators of mmcv
import allinone  # noqa: F401

ROOT = Path(__file__).parents[1]
# Programs that tests import from, and the benchmarks, which are no part of the package
sys.path[:0] = [str(ROOT / 'tests/e2e'), str(ROOT)]
SHARED = ROOT.parent / 'shared'
TOY_CONFIG = ROOT / 'configs/toy/mobilenetv2_toy.py'


def pytest_addoption(parser):
    parser.addoption(
        '--coco-files', type=int, default=200, help='COCO files in test_coco_grammar (%(default)s)'
    )
    parser.addoption(
        '--zoo',
        action='store_true',
        help='all of the pages of the zoo: test_zoo_pairs, test_zoo_page',
    )


@pytest.fixture(scope='session', autouse=True)
def _own_cache(tmp_path_factory):
    os.environ['XDG_CACHE_HOME'] = str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='session', autouse=True)
def _few_threads():
    torch.set_num_threads(1)  # tiny tensors: a second thread costs more than it brings


@pytest.fixture(scope='session', autouse=True)
def _quick_runners():
    with quick_runners():
        yield


@contextmanager
def quick_runners():
    """Runners without a report on the machine and garbage collection.

    The first takes a second for each runner, the last 0.2 seconds for each of up to 9 data sets.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        patch.setattr('mmengine.dataset.base_dataset.gc', SimpleNamespace(collect=int))
        yield


@pytest.fixture(autouse=True)
def _no_closed_streams():
    """Take from mmengine's loggers what writes to a stream that a test captured and closed."""
    yield
    from mmengine.logging import MMLogger

    for logger in MMLogger._instance_dict.values():
        for handler in list(logger.handlers):
            if getattr(getattr(handler, 'stream', None), 'closed', False):
                logger.removeHandler(handler)


def literal(cfg) -> str:
    """A config as Python text, one line a key."""
    return ''.join(f'{key} = {value!r}\n' for key, value in cfg.to_dict().items())


def write_config(cfg, path) -> str:
    path.write_text(literal(cfg))
    return str(path)


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory):
    """Folder that holds ``toy/`` with 16 training images a set; set as ALLINONE_DATA."""
    from allinone.data.toy.make import make_toy_data

    root = tmp_path_factory.mktemp('data')
    make_toy_data(root / 'toy', seed=0, images=16)
    os.environ['ALLINONE_DATA'] = str(root)
    return root


@pytest.fixture(scope='session')
def wheel(tmp_path_factory):
    """The package as a wheel."""
    return build_wheel(tmp_path_factory.mktemp('source'))


@pytest.fixture(scope='session')
def installed(wheel, tmp_path_factory):
    """Runs the command of a package that was installed from the wheel."""
    return Installed(wheel, tmp_path_factory.mktemp('installed'))


@pytest.fixture
def toy_cfg(toy_root, tmp_path):
    """The toy config, made tiny: 4 steps, small batches, no workers."""
    # mmengine keeps one message hub and log a name; the default name changes once a second.
    return tiny(tmp_path / 'work', experiment_name=str(tmp_path).replace('/', '_'))


def tiny(work_dir, **options):
    from allinone.config.loading import load_config

    cfg = load_config(str(TOY_CONFIG), work_dir=str(work_dir))
    for task, batch in dict(cls=8, det=2, seg=2).items():
        for stage in ('train', 'val', 'test'):
            loader = cfg[f'{stage}_dataloader'][task]
            loader.update(batch_size=batch, num_workers=0)
    cfg.merge_from_dict(
        {
            'train_cfg.max_iters': 4,
            'train_cfg.val_interval': 4,
            'model.grad_similarity_interval': 2,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.interval': 2,
            # A cut schedule, so that a training made longer is the same training
            'train_cfg.warmup': None,
            'param_scheduler': [
                dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
                dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=300, T_max=270),
            ],
            **options,
        }
    )
    return cfg


def classification(work_dir, **options):
    """The toy config with one task, which starts in a second."""
    return single('cls', 'top1', work_dir, **options)


def single(task, best, work_dir, **options):
    """The toy config with this task alone, and with the best checkpoint by this metric."""
    # mmengine keeps one message hub and log a name; the default name changes once a second.
    cfg = tiny(work_dir, experiment_name=str(work_dir).replace('/', '_'))
    cfg.model.tasks = {task: cfg.model.tasks[task]}
    for stage in ('train', 'val', 'test'):
        for key in ('dataloader', 'evaluator'):
            if f'{stage}_{key}' in cfg:
                cfg[f'{stage}_{key}'] = {task: cfg[f'{stage}_{key}'][task]}
        cfg[f'{stage}_cfg'].pop('score', None)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=2, save_best=f'{task}/{best}')
    cfg.merge_from_dict({'train_cfg.val_interval': 2, **options})
    return cfg


@pytest.fixture
def toy_model(toy_cfg):
    """The toy model, initialised with a fixed seed and not trained."""
    return build_model(toy_cfg)


@pytest.fixture
def toy(toy_root, tmp_path, monkeypatch):
    """A copy of the toy data to break."""
    shutil.copytree(toy_root / 'toy', tmp_path / 'data/toy')
    monkeypatch.setenv('ALLINONE_DATA', str(tmp_path / 'data'))
    return tmp_path / 'data/toy'


@pytest.fixture
def cfg(toy, tmp_path):
    """The toy config, made tiny, on that copy."""
    # mmengine keeps one message hub and log a name; the default name changes once a second.
    return tiny(tmp_path / 'work', experiment_name=tmp_path.name)


@pytest.fixture
def launch(cfg, tmp_path, capsys):
    """Run ``tools/train.py`` on ``cfg``: its exit status and what it wrote to stdout and stderr."""

    def launched():
        from allinone.cli import train

        args = dict(work_dir=None, resume=None, amp=False, seed=None, cfg_options=None)
        config = write_config(cfg, tmp_path / 'config.py')
        status = train.main(argparse.Namespace(config=config, launcher='none', **args))
        return status, *capsys.readouterr()

    return launched


@pytest.fixture
def refused(launch, tmp_path):
    """The one sentence with which the program refuses ``cfg``."""

    def sentence():
        status, _, error = launch()
        assert status == 2
        assert error.startswith('error: ') and error.count('\n') == 1, error
        assert not list(tmp_path.rglob('*.pth'))
        return error.removeprefix('error: ').strip()

    return sentence


def run_tool(name, *argv):
    """``tools/NAME.py`` with these arguments, in this process; its exit status."""
    spec = spec_from_file_location(f'tool_{name}', ROOT / f'tools/{name}.py')
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool.main(tool.parse_args(list(map(str, argv))))


@contextmanager
def files_of_at_most(size):
    """What a longer file meets is the error of a full disk, but for the words."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def joined(call, folder, count=2):
    """So many forked processes joined over gloo, each in ``call(rank)``.

    Yields the processes, and what waits (two minutes) for the answers of all.
    """
    context = multiprocessing.get_context('fork')
    answers = context.Queue()

    def work(rank):
        ranks = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=count, LOCAL_WORLD_SIZE=count)
        os.environ.update({name: str(value) for name, value in ranks.items()})
        os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
        torch.distributed.init_process_group(
            'gloo', f'file://{folder}/store', rank=rank, world_size=count
        )
        answers.put((rank, call(rank)))

    processes = [context.Process(target=work, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    try:
        yield (
            processes,
            lambda: [found for _, found in sorted(answers.get(timeout=120) for _ in processes)],
        )
    finally:
        for process in processes:
            process.join(10)
            process.kill()


def build_model(cfg):
    from mmengine.registry import DefaultScope

    from allinone.registry import MODELS

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('allinone'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return model


@pytest.fixture(scope='session')
def trained(toy_root, tmp_path_factory):
    """A run of 4 steps with validation: ``(runner, config, work dir)``. Do not change it."""
    from allinone.registry import RUNNERS

    work_dir = tmp_path_factory.mktemp('trained')
    cfg = tiny(work_dir)
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner, cfg, work_dir


@pytest.fixture(scope='session')
def embedding_model(toy_root, tmp_path_factory):
    """A short training of detection and embeddings: ``(checkpoint, images by identity)``."""
    from identity_images import embedding_config, write_identities

    from allinone.registry import RUNNERS

    folder, work_dir = tmp_path_factory.mktemp('identities'), tmp_path_factory.mktemp('embedding')
    write_identities(folder, range(12), range(4))
    cfg = embedding_config(tiny(work_dir, **{'train_cfg.max_iters': 12}), folder)
    cfg.train_cfg.val_interval = 12
    RUNNERS.build(cfg).train()
    return work_dir / 'iter_12.pth', folder
