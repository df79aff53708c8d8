"""What launchers set for each process, stubbed, in one process."""

import os
import socket
import subprocess
from unittest import mock

import pytest
import torch
from conftest import ROOT, classification

from allinone.distributed.launchers import set_variables
from allinone.errors import ConfigError
from allinone.training.run import train

SLURM = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0', SLURM_NODELIST='localhost')
MPI = {
    f'OMPI_COMM_WORLD_{name}': value
    for name, value in dict(RANK='0', SIZE='1', LOCAL_RANK='0', LOCAL_SIZE='1').items()
}
PYTORCH = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture
def environ():
    with mock.patch.dict(os.environ):
        for name in (*PYTORCH, *SLURM, *MPI):
            os.environ.pop(name, None)
        yield os.environ


@pytest.mark.skipif(torch.cuda.is_available(), reason='gloo is for processes without CUDA')
@pytest.mark.parametrize('launcher, given', [('slurm', SLURM), ('mpi', MPI)])
def test_trains_over_gloo(toy_root, tmp_path, environ, launcher, given):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        environ.update(given, MASTER_PORT=str(free.getsockname()[1]), GLOO_SOCKET_IFNAME='lo')
    cfg = classification(tmp_path / 'work')
    cfg.launcher, cfg.train_cfg.max_iters, cfg.train_cfg.val_interval = launcher, 1, 1
    try:
        train(cfg)
        assert torch.distributed.get_backend() == 'gloo'
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert (tmp_path / 'work/iter_1.pth').exists()


@pytest.mark.parametrize('launcher, given, expected', [
    ('slurm', SLURM | dict(SLURM_PROCID='3', SLURM_NTASKS='4', SLURM_LOCALID='1'),
     ('3', '4', '1', 'localhost', '29500')),
    ('slurm', SLURM | dict(SLURM_NODELIST='node[1-3]'), ('0', '1', '0', 'node1', '29500')),
    ('slurm', SLURM | dict(MASTER_ADDR='a', MASTER_PORT='7'), ('0', '1', '0', 'a', '7')),
    ('mpi', MPI, ('0', '1', '0', '127.0.0.1', '29500')),
    ('mpi', MPI | dict(OMPI_COMM_WORLD_SIZE='2', MASTER_ADDR='a'), ('0', '2', '0', 'a', '29500')),
])  # fmt: skip
def test_variables(environ, tmp_path, launcher, given, expected):
    stub = tmp_path / 'scontrol'
    stub.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[1-3]" ] && printf "node1\\nnode2\\n"')
    stub.chmod(0o755)
    environ.update(given, PATH=f'{tmp_path}:{environ["PATH"]}')
    set_variables(launcher)
    assert tuple(environ[name] for name in PYTORCH) == expected


@pytest.mark.parametrize('launcher, given, missing', [
    ('pytorch', dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0'), 'MASTER_ADDR, where'),
    ('pytorch', dict.fromkeys(PYTORCH[:-1], '0'), 'MASTER_PORT'),
    *(('slurm', {key: value for key, value in SLURM.items() if key != name}, name)
      for name in SLURM),
    ('slurm', SLURM | dict(SLURM_NODELIST='node[1-3]', PATH=''), 'MASTER_ADDR, where'),
    *(('mpi', {key: value for key, value in MPI.items() if key != name}, name)
      for name in MPI if not name.endswith('LOCAL_SIZE')),
    ('mpi', MPI | dict(OMPI_COMM_WORLD_SIZE='2'), 'MASTER_ADDR, where'),
])  # fmt: skip
def test_a_variable_that_is_missing(environ, launcher, given, missing):
    environ.update(given)
    with pytest.raises(ConfigError, match=f'^--launcher is {launcher!r}, but {missing}.* not set'):
        set_variables(launcher)


def test_the_script_for_slurm(tmp_path):
    """With a stand-in for srun that prints its arguments."""
    stub = tmp_path / 'srun'
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)
    path = ROOT / 'tools/slurm_train.sh'

    def call(*words, **env):
        env = os.environ | dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', PYTHON='py') | env
        return subprocess.run([path, *words], env=env, capture_output=True, text=True)

    tool = f'py -u {path.parent / "train.py"} c.py --launcher slurm --seed 5\n'
    given = ('part', 'job', 'c.py', '--seed', '5')
    start = '--partition=part --job-name=job'
    expected = f'{start} --ntasks=16 --ntasks-per-node=8 --gres=gpu:8 --cpus-per-task=5'
    assert call(*given, GPUS='16').stdout == f'{expected} --kill-on-bad-exit=1 {tool}'
    expected = f'{start} --ntasks=2 --ntasks-per-node=1 --gres=gpu:1 --cpus-per-task=3'
    few = dict(GPUS='2', GPUS_PER_NODE='1', CPUS_PER_TASK='3', SRUN_ARGS='--quiet --mem=1')
    assert call(*given, **few).stdout == f'{expected} --kill-on-bad-exit=1 --quiet --mem=1 {tool}'
    assert call('part', 'job').returncode == 2
