"""Two processes against one. The pairs are forked by one program, for importing takes long."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from torch import nn
from two_processes import CLIP

from allinone.distributed.consistency import lost_peer
from allinone.distributed.processes import _Message
from allinone.models import AllInOneDDP
from allinone.training import runner

LIMIT = 900  # seconds


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    program = subprocess.Popen(
        [sys.executable, ROOT / 'tests/e2e/two_processes.py', tmp_path_factory.mktemp('pairs')]
        + ['--steps', '10'],  # Half of what it does by itself
        env=os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = program.communicate(timeout=LIMIT)
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
    assert program.returncode == 0, err[-5000:]
    return json.loads(out.splitlines()[-1])


def test_two_processes_train_as_one_with_all_images(found):
    assert len(found['steps']) == 26
    for name, run in found['steps'].items():
        assert run['equal'], name
        assert run['moved'] > 1e-2, name
        if 'moving' not in name:  # Then each process normalises by its own half.
            assert run['difference'] < 1e-5, (name, run['difference'])
        assert run['untouched'], name


def test_bytes_of_a_step(found):
    """Backbone times tasks where each task's gradient is needed, else once; heads once."""
    for name, run in found['steps'].items():
        if 'accumulating' in name:
            assert run['messages0'] == [], name
        if any(word in name for word in ('Orthogonality', 'moving', 'synced', 'FSDP')):
            continue
        # A method whose factor follows the loss asks for it task by task, 8 bytes each.
        tasks = 1 if 'RoundRobin' in name else 3
        extra = 8 * tasks * ('FAMO' in name)
        assert run['bytes'] == run['expected'] + extra, name


def test_metrics_of_two_processes_are_those_of_one(found):
    """On 9 images, of which two processes pad one to the tenth."""
    pair, alone = found['runs']['pair'], found['runs']['alone']
    names = ('cls/top1', 'seg/mIoU', 'seg/aAcc', 'score')
    for name in names:
        assert pair[name] == alone[name], name
    assert 0 < pair['seg/mIoU']
    boxes = found['runs']['boxes']
    assert boxes == found['runs']['boxes_alone'] and len({box[0] for box in boxes}) == 9


def test_a_whole_training(found):
    assert found['runs']['difference'] < 1e-5


def test_a_training_with_sharded_parameters(found):
    """As with replicas; from their checkpoint; from a folder of shards, also by one process."""
    for name in ('sharded', 'to_shards', 'again', 'to_one'):
        assert found['runs'][name] < 1e-5, name
    norms = found['runs']['norms']
    assert len(norms) == 6 and min(norms) > CLIP  # So all were clipped.
    assert found['runs']['sharded_norms'] == pytest.approx(norms)
    names = [name for name in found['runs']['files'] if '.' in name and not name.endswith('.py')]
    assert names == ['best_score_iter_6.dcp', *(f'iter_{step}.dcp' for step in range(1, 7))]
    for name in ('cls/top1', 'seg/mIoU', 'score'):
        assert found['runs']['tested'][name] == pytest.approx(found['runs']['pair'][name]), name


def test_running_statistics_are_the_mean_of_those_of_the_processes(found):
    assert found['statistics']['apart'] > 1e-3
    assert found['statistics']['difference'] < 1e-12


@pytest.mark.parametrize('wrapper', ['AllInOneDDP', 'AllInOneFSDP'])
def test_what_is_not_finite_in_one_process_is_left_out_in_all(found, wrapper):
    run = found['bad'][wrapper]
    assert run['finite'] and run['equal'] and run['moved'] > 1e-5
    assert run['difference'] < 1e-5
    *finite, warning = run['warnings']
    # Of shards the other's share goes too.
    assert len(finite) == (wrapper == 'AllInOneFSDP')
    assert warning.startswith("Step 1: the 'cls' batch of process 1 was left out, its loss is nan")
    assert warning.endswith(f'its images: {run["images"]}')


def test_one_process_is_killed(found):
    run = found['kills']
    assert run['survivor'] == 2 and run['seconds'] < 60
    assert run['says'].startswith('error: another process of this run has ended')
    assert run['says'].endswith('--resume')


def test_all_are_killed_and_the_run_goes_on(found):
    run = found['kills']
    assert run['two'] == 0
    assert run['one'] < 1e-5
    assert 'a step had 8 images of cls in 2 processes and has 4 in 1' in run['refused']
    assert 'train_dataloader.cls.batch_size=8 keeps them' in run['refused']


def test_gradients_that_only_some_processes_have():
    """What two processes sent is added by hand: the second has no gradient of either parameter."""
    here, nowhere = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    here.grad = torch.tensor([2.0, 4.0])
    loss, large = torch.tensor(3.0), torch.tensor([8.0])
    message = _Message([loss], [], [here, nowhere], large)
    assert message.pack().tolist() == [3, 1, 0, 2, 4, 0, 0, 0]
    message.flat += torch.tensor([5.0, 0, 0, 0, 0, 0, 0, 0])
    message.unpack(2)
    assert loss == 8 and large.tolist() == [4]
    assert here.grad.tolist() == [1, 2] and nowhere.grad is None
    other = _Message([], [], [nowhere], None)
    assert other.pack().tolist() == [0, 0, 0, 0]
    other.flat += torch.tensor([1.0, 6, 6, 6])
    other.unpack(2)
    assert nowhere.grad.tolist() == [3, 3, 3]


def test_errors_of_a_lost_process_are_told_from_others():
    lost = RuntimeError('[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]')
    assert 'Go on with: python t.py --resume' in str(lost_peer(lost, 'python t.py --resume'))
    assert lost_peer(RuntimeError('size mismatch'), '') is None
    assert lost_peer(torch.distributed.DistBackendError('NCCL error'), '') is not None


@pytest.mark.parametrize('script, given', [
    ('dist_train', ['c.py', '3', '--seed', '5']),
    ('dist_test', ['c.py', 'x.pth', '3', '--out', 'm.json']),
])  # fmt: skip
def test_scripts_start_the_tools(script, given, tmp_path):
    """With a stand-in for Python that prints its arguments."""
    stub = tmp_path / 'python'
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)
    path = ROOT / f'tools/{script}.sh'

    def call(*words, **env):
        return subprocess.run(
            [path, *words], env=os.environ | dict(PYTHON=str(stub)) | env, capture_output=True,
            text=True,
        )  # fmt: skip

    tool = path.parent / f'{script.removeprefix("dist_")}.py'
    rest = f'--nproc_per_node 3 {tool} {" ".join(given[: given.index("3")])} --launcher pytorch'
    rest += ' ' + ' '.join(given[given.index('3') + 1 :]) + '\n'
    assert call(*given).stdout == f'-m torch.distributed.run --standalone {rest}'
    several = call(*given, NNODES='2', NODE_RANK='1', MASTER_ADDR='a').stdout
    meet = '--nnodes 2 --node_rank 1 --master_addr a --master_port 29500'
    assert several == f'-m torch.distributed.run {meet} {rest}'
    assert call('c.py').returncode == 2


@pytest.mark.parametrize('wrapper, device', [('AllInOneDDP', 'meta'), ('AllInOneFSDP', 'cpu')])
def test_what_is_sharded_waits_on_the_host(wrapper, device, monkeypatch):
    """With a device that takes no memory; the wrapper itself is left out."""
    found = []

    def wrapped(self, module):
        found.append(module.weight.device.type)

    monkeypatch.setattr(runner, 'get_device', lambda: 'meta')
    monkeypatch.setattr(f'allinone.models.{wrapper}.__init__', wrapped)
    started = SimpleNamespace(distributed=True, cfg={}, _train_loop=None)
    runner.MultiDatasetRunner.wrap_model(started, dict(type=wrapper), nn.Linear(2, 2))
    assert found == [device]


def test_the_wrapper_is_one_to_mmengine():
    from mmengine.model import is_model_wrapper

    assert is_model_wrapper(AllInOneDDP.__new__(AllInOneDDP))
