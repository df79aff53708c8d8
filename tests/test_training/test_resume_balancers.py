"""Resumed in the middle, a method goes on as if it had never stopped."""

import pytest
import torch
from conftest import tiny

from allinone.checkpoint.loading import read_checkpoint
from allinone.registry import RUNNERS

METHODS = {
    'Uncertainty': {},
    # Averages of 1 step, so that its weights move within the few steps of the test
    'DynamicWeightAverage': dict(interval=1),
    'GradNorm': {},
    'FAMO': {},
    'PCGrad': {},
    'GradientOrthogonality': {},
}


def assert_same(found, expected, at):
    """Equal to the last bit, through dicts and lists."""
    assert type(found) is type(expected), at
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), at
    elif isinstance(expected, dict):
        assert list(found) == list(expected), at
        for key, value in expected.items():
            assert_same(found[key], value, f'{at}.{key}')
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), at
        for index, value in enumerate(expected):
            assert_same(found[index], value, f'{at}[{index}]')
    else:
        assert found == expected, at


def train(work_dir, method, **options):
    """Six steps without validation; the last checkpoint."""
    cfg = tiny(work_dir, **options)
    cfg.model.balancer = dict(type=method, **METHODS[method])
    cfg.train_cfg.max_iters = 6
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg.pop(key)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=3)
    RUNNERS.build(cfg).train()
    return read_checkpoint(work_dir / 'iter_6.pth')


@pytest.mark.parametrize('method', METHODS)
def test_resuming(toy_root, tmp_path, method):
    expected = train(tmp_path / 'whole', method)
    middle = read_checkpoint(tmp_path / 'whole/iter_3.pth')
    resume = dict(resume=True, load_from=str(tmp_path / 'whole/iter_3.pth'))
    found = train(tmp_path / 'resumed', method, **resume)
    for part in ('state_dict', 'optimizer'):
        assert_same(found[part], expected[part], part)
    state = {key for key in expected['state_dict'] if key.startswith('balancer.')}
    # The penalty learns nothing; its double backward through the three heads must repeat as well.
    assert method == 'GradientOrthogonality' or any(
        not torch.equal(expected['state_dict'][key], middle['state_dict'][key]) for key in state
    ), 'the balancer learned nothing, so the test shows nothing'
