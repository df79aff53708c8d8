"""What dies, hangs or goes away during a training: the run recovers, or ends and says why."""

import errno
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch
from conftest import ROOT, classification, joined, literal
from torch.utils.data import DataLoader, Dataset

from allinone.apis.run import run
from allinone.checkpoint.loading import read_checkpoint
from allinone.data import seeded
from allinone.data.samplers import SeededInfiniteSampler
from allinone.data.seeded import SeededDataset
from allinone.data.task_loaders import TaskLoaders
from allinone.data.workers import start_worker
from allinone.errors import DataError, LoaderError
from allinone.registry import RUNNERS
from allinone.training.signals import Stopped, StopSignals


class Images(Dataset):
    """Numbers that pass for images: sample i is read from the file i.jpg."""

    def __init__(self, folder, slow=None):
        self.folder, self.slow = folder, slow
        for number in range(8):
            (folder / f'{number}.jpg').write_bytes(b'\xff\xd8 no image \xff\xd9')

    def __len__(self):
        return 8

    def get_data_info(self, index):
        return dict(img_path=str(self.folder / f'{int(index)}.jpg'))

    def __getitem__(self, index):
        if int(index) == self.slow:
            time.sleep(1000)
        return int(index), float(torch.rand(()))


def loaders(folder, workers, patience=50, late=0, **options):
    """Worker n begins ``late * n`` seconds late."""

    def begin(number):
        time.sleep(late * number)
        start_worker(None, number)

    dataset = SeededDataset(Images(folder, **options), 'det', seed=0)
    loader = DataLoader(
        dataset,
        2,
        sampler=SeededInfiniteSampler(dataset, seed=0),
        num_workers=workers,
        collate_fn=list,
        persistent_workers=workers > 0,
        worker_init_fn=begin,
    )
    return TaskLoaders({'det': loader}, {'det': patience})


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def gone(pids, seconds=20):
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_a_killed_worker_is_replaced_and_changes_nothing(tmp_path, capfd):
    whole = loaders(tmp_path, 0)
    expected = [whole.next('det') for _ in range(12)]
    struck = loaders(tmp_path, 2)
    found = [struck.next('det') for _ in range(3)]
    workers = struck._iterators['det']._workers
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
    start = time.monotonic()
    found += [struck.next('det') for _ in range(9)]
    assert found == expected and struck.batches == dict(det=12)
    assert time.monotonic() - start < 60
    pids = [worker.pid for worker in struck._iterators['det']._workers]
    struck.close()
    assert gone(pids)


class Deadly(Images):
    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_always_dies_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr('allinone.data.task_loaders.MAX_RESTARTS', 1)
    struck = loaders(tmp_path, 1)
    struck.loaders['det'].dataset.dataset = Deadly(tmp_path)
    with pytest.raises(LoaderError, match=r'^task det: worker \d+ was killed by SIGKILL') as error:
        struck.next('det')
    assert 'memory runs out' in str(error.value)
    assert f'reading {tmp_path}/' in str(error.value) and '.jpg' in str(error.value)


@pytest.mark.parametrize('workers', [0, 2])
def test_a_hanging_loader_ends_the_run_and_names_the_file(tmp_path, workers):
    first = int(
        next(iter(SeededInfiniteSampler(loaders(tmp_path, 0).loaders['det'].dataset, seed=0)))
    )
    hanging = loaders(tmp_path, workers, patience=1, slow=first)
    before = set(multiprocessing.active_children())
    start = time.monotonic()
    with pytest.raises(LoaderError, match=r'^task det: no batch within 1 s') as error:
        hanging.next('det')
    assert time.monotonic() - start < 30
    assert f'{tmp_path}/{first}.jpg' in str(error.value)
    assert gone([w.pid for w in set(multiprocessing.active_children()) - before])


def test_a_validation_that_hangs_ends_too(tmp_path):
    with pytest.raises(LoaderError, match='no batch within 1 s'):
        list(loaders(tmp_path, 0, patience=1, slow=3))


def test_workers_do_not_outlive_a_killed_run(tmp_path):
    """Not even one that hangs within a sample."""

    def run(pipe):
        hanging = loaders(tmp_path, 2, slow=0)
        hanging._iterators['det'] = iter(hanging.loaders['det'])
        pipe.send([worker.pid for worker in hanging._iterators['det']._workers])
        hanging.next('det'), time.sleep(1000)

    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context('fork').Process(target=run, args=(there,))
    child.start()
    pids = here.recv()
    time.sleep(1)  # Both are in their samples, or wait for more.
    child.kill()
    child.join()
    assert gone(pids)


def test_a_signal_to_the_whole_group_ends_no_worker(tmp_path):
    """As Slurm sends it; the workers go when their parent says so, even one that hangs."""

    def run(pipe):
        os.setsid()
        with StopSignals() as signals:
            signals.deferring = True
            validation = iter(loaders(tmp_path, 2, late=3))
            batches = [next(validation)]
            pids = [worker.pid for worker in multiprocessing.active_children()]
            pipe.send(pids)
            while not signals.received:
                time.sleep(0.01)
            time.sleep(1)
            batches += [next(validation) for _ in range(9)]
            pipe.send((len(batches), list(map(alive, pids)), signals.received))
            for worker in multiprocessing.active_children():
                worker.terminate()
            pipe.send(gone(pids))

    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context('fork').Process(target=run, args=(there,))
    child.start()
    there.close()
    assert len(here.recv()) == 2
    os.killpg(child.pid, signal.SIGTERM)
    assert here.recv() == (10, [True, True], signal.SIGTERM)
    assert here.recv()
    child.join()


class Away(Images):
    """A file server that fails so many reads."""

    def __init__(self, folder, failures, error):
        super().__init__(folder)
        self.failures, self.error = failures, error

    def __getitem__(self, index):
        if self.failures:
            self.failures -= 1
            raise self.error
        return super().__getitem__(index)


@pytest.fixture
def waits(monkeypatch):
    slept = []
    monkeypatch.setattr('time.sleep', slept.append)
    monkeypatch.setattr(seeded, 'check_decodes', lambda path, backend_args: None)
    return slept


def test_a_file_server_that_is_away_is_asked_again(tmp_path, waits):
    expected = SeededDataset(Images(tmp_path), 'det', 0)[5]
    error = OSError(errno.ESTALE, 'Stale file handle')
    dataset = SeededDataset(Away(tmp_path, 3, error), 'det', 0)
    assert dataset[5] == expected
    assert waits == [1, 2, 4]
    waits.clear()
    with pytest.raises(DataError, match=rf'^task det: {tmp_path}/5.jpg cannot be read: .*Stale'):
        SeededDataset(Away(tmp_path, 9, error), 'det', 0)[5]
    assert waits == [1, 2, 4, 8]


def test_a_file_that_is_missing_is_not_waited_for(tmp_path, waits):
    dataset = SeededDataset(Images(tmp_path), 'det', 0)
    (tmp_path / '5.jpg').unlink()
    with pytest.raises(DataError, match='No such file'):
        dataset[5]
    assert not waits


def test_a_folder_that_comes_back(tmp_path, monkeypatch):
    """A mount that is away for a moment, as the checks of the file see it."""
    (tmp_path / 'mount').mkdir()
    dataset = SeededDataset(Images(tmp_path / 'mount'), 'det', 0)
    expected = dataset[5]
    os.rename(tmp_path / 'mount', tmp_path / 'away')
    mount = tmp_path / 'mount'
    monkeypatch.setattr('time.sleep', lambda seconds: os.rename(tmp_path / 'away', mount))
    assert dataset[5] == expected


def test_signals_outside_a_loop_stop_at_once_and_inside_wait():
    with StopSignals() as signals:
        with pytest.raises(Stopped) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.value.signum == signal.SIGTERM
    with StopSignals() as signals:
        signals.deferring = True
        for _ in range(2):  # Slurm and torchrun may repeat it.
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.agreed(1, 1) == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def second_interrupt():
    with StopSignals() as signals:
        signals.deferring = True
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)


def test_a_second_interrupt_stops_at_once():
    child = multiprocessing.get_context('fork').Process(target=second_interrupt)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGINT


@pytest.fixture
def toy(toy_root, monkeypatch):
    monkeypatch.setenv('ALLINONE_DATA', str(toy_root))


def test_sigterm_of_a_real_run(toy, tmp_path):
    """To its whole group: saved, and the end is that of a run left alone."""
    never = {'train_cfg.val_interval': 900, 'default_hooks.checkpoint.interval': 900}
    cfg = classification(tmp_path / 'work', **never, **{'train_cfg.max_iters': 900})
    cfg.train_dataloader.cls.num_workers = 2
    (tmp_path / 'config.py').write_text(literal(cfg))
    with open(tmp_path / 'out', 'w') as out:
        run = subprocess.Popen(
            [sys.executable, 'tools/train.py', str(tmp_path / 'config.py')],
            cwd=ROOT,
            env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    text = (tmp_path / 'out').read_text
    end = time.monotonic() + 120
    while '  2/900  loss' not in text() and run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    children = [
        int(path.split('/')[2])
        for path in map(str, Path('/proc').glob('[0-9]*/stat'))
        if _parent(path) == run.pid
    ]
    assert len(children) == 2
    os.killpg(run.pid, signal.SIGTERM)
    assert run.wait(60) == 128 + signal.SIGTERM, text()
    assert gone(children)
    assert 'was killed' not in text()
    last = text().splitlines()[-1]
    (path,) = (tmp_path / 'work').glob('iter_*.pth')
    step = int(path.stem.split('_')[1])
    assert last.startswith(f'SIGTERM: stopped after step {step}, saved in {path}. Go on with: ')
    assert last.endswith(f'python tools/train.py {tmp_path}/config.py --resume')
    found = read_checkpoint(path)
    cfg = classification(tmp_path / 'alone', **never, **{'train_cfg.max_iters': step})
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    alone = RUNNERS.build(cfg)
    alone.train()
    for name, value in alone.model.state_dict().items():
        assert torch.equal(found['state_dict'][name], value), name


def _parent(path):
    try:
        with open(path) as file:
            return int(file.read().rpartition(')')[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_a_signal_to_one_of_two_processes_stops_both(toy, tmp_path):
    """After the same step, with one checkpoint, for which the other waits."""
    never = {'train_cfg.val_interval': 900, 'default_hooks.checkpoint.interval': 900}
    cfg = classification(tmp_path / 'work', **never, **{'train_cfg.max_iters': 900})
    (tmp_path / 'config.py').write_text(literal(cfg))
    given = dict(config=str(tmp_path / 'config.py'), work_dir=None, cfg_options=None)
    given |= dict(launcher='pytorch', resume=None, seed=None, amp=False)

    def train(rank):
        with redirect_stderr(io.StringIO()) as errors:
            return run('train', Namespace(**given)), errors.getvalue()

    def log():
        return ''.join(path.read_text() for path in tmp_path.glob('work/*/*.log'))

    with joined(train, tmp_path) as (processes, answers):
        end = time.monotonic() + 120
        while '[  2/900]' not in log() and time.monotonic() < end:
            assert all(process.is_alive() for process in processes)
            time.sleep(0.05)
        os.kill(processes[1].pid, signal.SIGTERM)
        found = answers()
    (path,) = (tmp_path / 'work').glob('iter_*.pth')
    step = int(path.stem.split('_')[1])
    assert 10 <= step < 900 and step % 10 == 0
    for status, text in found:
        assert status == 128 + signal.SIGTERM, text
        assert text.startswith(f'SIGTERM: stopped after step {step}, saved in {path}. Go on with: ')
    assert read_checkpoint(path)['meta']['run']['processes'] == 2


def test_a_signal_during_validation_is_obeyed_and_caught_up(toy, tmp_path, monkeypatch):
    """The EMA weights, which validation swaps in, are not saved as those of the model."""
    from allinone.training.eval_loop import MultiTaskValLoop

    def config(name, **options):
        cfg = classification(tmp_path / name, **options)
        cfg.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
        return cfg

    straight = RUNNERS.build(config('straight'))
    straight.train()
    runner = RUNNERS.build(config('work'))
    with monkeypatch.context() as patch:
        patch.setattr(
            MultiTaskValLoop, 'run_iter', lambda *args: os.kill(os.getpid(), signal.SIGTERM)
        )
        with pytest.raises(Stopped):
            runner.train()
    assert read_checkpoint(tmp_path / 'work/iter_2.pth')['meta']['iter'] == 2
    again = RUNNERS.build(config('work', resume=True))
    again.train()
    values = [
        [
            {k: v for k, v in json.loads(line).items() if '/' in k and 'time' not in k}
            for path in sorted((tmp_path / name).glob('*/vis_data/scalars.json'))
            for line in path.read_text().splitlines()
        ]
        for name in ('straight', 'work')
    ]
    assert values[0] == values[1]
    for name, value in straight.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_a_signal_after_the_last_step_leaves_the_run_complete(toy, tmp_path, monkeypatch):
    from allinone.training.hooks.checkpoint import CheckpointHook

    finish = CheckpointHook.finish

    def struck(hook, runner):
        os.kill(os.getpid(), signal.SIGTERM)
        finish(hook, runner)

    monkeypatch.setattr(CheckpointHook, 'finish', struck)
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 1})
    RUNNERS.build(cfg).train()
    assert read_checkpoint(tmp_path / 'work/iter_1.pth')['meta']['iter'] == 1


def test_kills_at_random_moments_change_nothing(toy_root):
    """Two of them; ``tests/e2e/kill_and_resume.py`` has more, and other schedules and balancers."""
    done = subprocess.run(
        [sys.executable, 'tests/e2e/kill_and_resume.py', str(toy_root), '--kills', '2']
        + ['--only', 'every-famo-0-then-2', 'shared-mgda-features-2'],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ('every-famo-0-then-2', 'shared-mgda-features-2'):
        assert f'{name}: 2 kills, on from steps [' in done.stdout, done.stdout
