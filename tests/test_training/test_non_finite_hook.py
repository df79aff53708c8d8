"""Batches that are not finite: named, counted, and at last the end of the run."""

from types import SimpleNamespace

import pytest
import torch
from conftest import joined
from mmengine.hooks import LoggerHook

from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import TrainingError
from allinone.models.allinone import AllInOne
from allinone.registry import RUNNERS
from allinone.training.hooks.non_finite import NonFiniteHook


@pytest.fixture
def spoilt(toy_cfg, monkeypatch):
    """A run of 6 steps of which some, from 0, have a NaN loss of the signs."""

    def build(bad, **hook):
        toy_cfg.train_cfg.update(max_iters=6, val_interval=100)
        toy_cfg.default_hooks.logger.interval = 2
        toy_cfg.default_hooks.bad_steps.update(hook)
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            toy_cfg.pop(key)
        toy_cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=3)
        runner = RUNNERS.build(toy_cfg)
        losses = AllInOne.task_losses

        def task_losses(self, task, batch):
            found = losses(self, task, batch)
            spoil = task == 'cls' and runner.iter in bad
            return {name: value * float('nan') for name, value in found.items()} if spoil else found

        monkeypatch.setattr(AllInOne, 'task_losses', task_losses)
        return runner

    return build


def test_training_goes_on_and_the_images_are_named(spoilt, tmp_path, caplog):
    runner = spoilt({1, 2, 4})
    warnings = []
    runner.logger.warning = warnings.append
    runner.train()
    warnings = [text for text in warnings if not text.startswith('param_scheduler')]  # cut short
    assert [text.split(':')[0] for text in warnings] == ['Step 2', 'Step 3', 'Step 5']
    assert "'cls' batch was left out, its loss is nan" in warnings[1]
    assert '(2 in a row, 2 so far)' in warnings[1] and '(1 in a row, 3 so far)' in warnings[2]
    assert warnings[0].count('.png') == 8
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    info = read_checkpoint(f'{runner.work_dir}/iter_3.pth')['message_hub']['runtime_info']
    assert info['bad_steps'] == dict(total=dict(cls=2), in_a_row=dict(cls=2, det=0, seg=0))
    assert 'train/cls/dropped' not in runner.message_hub.log_scalars
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert torch.as_tensor(losses).isfinite().all()


def test_a_good_batch_at_the_end_of_the_interval_hides_nothing(spoilt):
    runner = spoilt({0, 1, 2}, max_consecutive=2)
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            hook.interval = 6
    with pytest.raises(TrainingError, match='3 batches'):
        runner.train()


def test_too_many_in_a_row_end_it(spoilt):
    runner = spoilt({2, 3, 4, 5}, max_consecutive=2)
    with pytest.raises(TrainingError, match="4 batches of task 'cls'.*max_consecutive=2"):
        runner.train()
    assert runner.iter < 6
    state = read_checkpoint(f'{runner.work_dir}/iter_3.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())


def bad_in_the_second(rank):
    """Warnings of a process, and its counts, after three steps. The last is bad in both."""
    warnings = []
    runner = SimpleNamespace(
        hooks=[LoggerHook(interval=100)],
        logger=SimpleNamespace(warning=warnings.append),
        message_hub=SimpleNamespace(runtime_info={}, update_info=lambda *info: None),
        max_iters=100,
    )
    hook = NonFiniteHook()
    hook.before_train(runner)
    for step, bad in enumerate([[False, False], [False, True], [True, True]]):
        runner.iter = step
        samples = [SimpleNamespace(img_path=f'{rank}/{step}.png')]
        loss = torch.tensor(float('nan') if bad[rank] else 1.0)
        outputs = {'cls/loss': loss, 'cls/dropped': torch.tensor(bad[rank])}
        hook.after_train_iter(runner, step, dict(cls=dict(data_samples=samples)), outputs)
    hook.flush_log(runner)  # As before a checkpoint
    return warnings, hook._state()


def test_the_images_are_those_of_the_process_that_had_them(tmp_path):
    """Each process says the same, for only the main one writes the log."""
    with joined(bad_in_the_second, tmp_path) as (_, answers):
        (warnings, state), other = answers()
    assert (warnings, state) == other
    assert state == dict(total=dict(cls=2), in_a_row=dict(cls=2))
    assert [text.split(' was')[0] for text in warnings] == [
        "Step 2: the 'cls' batch of process 1",
        "Step 3: the 'cls' batch of process 0",
        "Step 3: the 'cls' batch of process 1",
    ]
    images = [text.partition('its images: ')[2] for text in warnings]
    assert images == ["['1/1.png']", "['0/2.png']", "['1/2.png']"]
