from types import SimpleNamespace

import torch
from mmengine.hooks import LoggerHook
from mmengine.logging import HistoryBuffer, MessageHub

from allinone.step.clipping import ClipWithoutWaiting
from allinone.training.hooks import deferred_log as hooks
from allinone.training.hooks.deferred_log import DeferredLogHook


def test_deferred_values_are_the_upstream_ones(tmp_path):
    hub = MessageHub('deferred')
    runner = SimpleNamespace(
        message_hub=hub,
        iter=0,
        epoch=0,
        max_iters=5,
        max_epochs=1,
        hooks=[LoggerHook(interval=2)],
        log_processor=SimpleNamespace(),
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace()),
    )
    hook = DeferredLogHook()
    hook.before_train(runner)
    seen = []
    for step in range(5):
        runner.iter = step
        hook.after_train_iter(runner, step, outputs={'loss': torch.tensor(step + 0.5), 'n': step})
        seen.append(len(hub.log_scalars['train/loss'].data[0]) if step else 0)
    # Read at the logging interval of 2 and at the last step, in order and complete
    assert seen == [0, 2, 2, 4, 5]
    assert hub.log_scalars['train/loss'].data[0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert hub.log_scalars['train/n'].data[0].tolist() == [0, 1, 2, 3, 4]


def test_conflicts_are_shares_of_the_interval():
    hub = MessageHub('conflicts')
    runner = SimpleNamespace(
        message_hub=hub,
        iter=0,
        epoch=0,
        max_iters=4,
        max_epochs=1,
        hooks=[LoggerHook(interval=4)],
        log_processor=SimpleNamespace(),
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace()),
    )
    hook = DeferredLogHook()
    hook.before_train(runner)
    for step, met in enumerate([1.0, 0.0, None, 1.0]):
        runner.iter = step
        outputs = {} if met is None else {'grad_conflict/a-b': torch.tensor(met)}
        hook.after_train_iter(runner, step, outputs=outputs)
    assert hub.log_scalars['train/grad_conflict/a-b'].data[0].tolist() == [2 / 3]


def test_a_long_run_remembers_no_more_than_the_last_values(monkeypatch):
    """Of a checkpoint that has more, too; the time of a step would grow with their number."""
    monkeypatch.setattr(hooks, 'KEPT', 5)
    hub = MessageHub('long')
    hub.log_scalars['train/loss'] = HistoryBuffer(range(100), [1] * 100)
    runner = SimpleNamespace(
        message_hub=hub,
        iter=100,
        epoch=0,
        max_iters=108,
        max_epochs=1,
        hooks=[LoggerHook(interval=2)],
        log_processor=SimpleNamespace(),
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace()),
    )
    hook = DeferredLogHook()
    hook.before_train(runner)
    assert hub.log_scalars['train/loss'].data[0].tolist() == [95, 96, 97, 98, 99]
    for step in range(100, 108):
        runner.iter = step
        hub.update_scalar('train/lr', 0.1 * step)
        hook.after_train_iter(runner, step, outputs={'loss': torch.tensor(float(step))})
    assert hub.log_scalars['train/loss'].data[0].tolist() == [103, 104, 105, 106, 107]
    assert hub.log_scalars['train/loss'].mean(2) == 106.5
    assert [len(part) for part in hub.log_scalars['train/lr'].data] == [5, 5]


def test_the_norm_of_sharded_gradients_is_logged_whole():
    class Sharded:
        device_mesh = None

        def full_tensor(self):
            return torch.tensor(3.0)

    for norm in (Sharded(), torch.tensor(3.0)):
        clip = ClipWithoutWaiting(lambda params, norm=norm, **options: norm)
        assert clip([], max_norm=1) is None
        assert torch.stack([clip.take_norm()]).tolist() == [3.0]
        assert clip.take_norm() is None
