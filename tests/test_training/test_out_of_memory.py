"""Too little memory in a training step is one sentence with what to lower."""

import argparse

import pytest
import torch
from conftest import classification, write_config
from mmpretrain.models import LinearClsHead

from allinone.cli import train
from allinone.errors import TrainingError
from allinone.training.out_of_memory import enough_memory
from allinone.training.run import build_runner

CUDA = torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
CPU = RuntimeError(
    '[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: not enough memory: you '
    'tried to allocate 8 bytes.'
)


def fails_at(monkeypatch, step, error):
    """Let the head fail in the training step of this number."""
    steps = []
    loss = LinearClsHead.loss

    def failing(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == step:
            raise error
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(LinearClsHead, 'loss', failing)


@pytest.mark.parametrize('error', [CUDA, CPU])
def test_it_names_tasks_batch_sizes_and_the_last_checkpoint(
    toy_root, tmp_path, monkeypatch, capsys, error
):
    cfg = classification(tmp_path / 'work', **{'train_cfg.dry_run': False})
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.pop('save_best')
    fails_at(monkeypatch, 3, error)
    args = dict(work_dir=None, resume=None, amp=False, seed=None, cfg_options=None)
    config = write_config(cfg, tmp_path / 'config.py')
    monkeypatch.setattr('sys.argv', ['train.py', config])
    assert train.main(argparse.Namespace(config=config, launcher='none', **args)) == 2
    words = capsys.readouterr().err.strip().splitlines()[-1]
    assert words == (
        f'error: step 3 needs more memory than there is, for cls (batch_size=8): {error}; lower '
        'train_dataloader.TASK.batch_size (train_cfg.micro_batches or '
        'optim_wrapper.accumulative_counts make up for it) or the size of its images, or use --amp '
        'or model.backbone.with_cp=True; the last checkpoint is '
        f'{tmp_path}/work/iter_2.pth; resume with: python train.py {config} --resume'
    )


def test_before_the_first_checkpoint_it_says_so(toy_root, tmp_path, monkeypatch):
    cfg = classification(tmp_path / 'work', **{'train_cfg.dry_run': False})
    fails_at(monkeypatch, 1, CUDA)
    with pytest.raises(
        TrainingError, match=f'step 1 needs .*; {tmp_path}/work has no checkpoint yet$'
    ):
        build_runner(cfg).train()


@pytest.mark.parametrize('error', [RuntimeError('shapes do not fit'), ValueError('out of memory')])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error), match=str(error)) as raised, enough_memory(None, ()):
        raise error
    assert raised.value is error
