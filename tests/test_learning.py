"""Does joint training learn? A minute of it on toy scenes, against figures fixed beforehand."""

import json

import pytest
from conftest import tiny

from allinone.registry import RUNNERS

STEPS = 80


@pytest.fixture(scope='module')
def learnt(tmp_path_factory, monkeypatch_module):
    """Metrics before and after, and the logged losses, of 80 steps on 64 scenes a task."""
    from allinone.datasets.toy_scenes import make_toy_data

    root, work_dir = tmp_path_factory.mktemp('scenes'), tmp_path_factory.mktemp('learning')
    make_toy_data(root / 'toy', seed=1, pictures=64)
    monkeypatch_module.setenv('ALLINONE_DATA', str(root))
    cfg = tiny(
        work_dir,
        **{
            'train_cfg.max_iters': STEPS,
            'train_cfg.val_interval': STEPS,
            'default_hooks.checkpoint.interval': STEPS,
            'model.conflict_interval': 0,
        },
    )
    cfg.optim_wrapper.optimizer.lr = 3e-3
    for task, batch in dict(cls=16, det=4, seg=4).items():
        cfg.train_dataloader[task].batch_size = batch
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=10, end=STEPS, T_max=STEPS - 10),
    ]
    runner = RUNNERS.build(cfg)
    runner.model.init_weights()
    before = runner.test()
    runner._testing = False
    runner.train()
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    after = [line for line in lines if 'score' in line][-1]
    return before, after, [line for line in lines if 'lr' in line]


@pytest.fixture(scope='module')
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize(
    'metric, untrained, trained',
    [('cls/top1', 15, 20), ('det/bbox_mAP_50', 0.005, 0.03), ('seg/mIoU', 10, 25)],
)
def test_an_untrained_model_fails_and_a_trained_one_does_not(learnt, metric, untrained, trained):
    before, after, _ = learnt
    assert before[metric] < untrained
    assert after[metric] > trained


@pytest.mark.parametrize('task, share', [('cls', 0.97), ('det', 0.85), ('seg', 0.6)])
def test_every_loss_falls(learnt, task, share):
    losses = [line[f'{task}/loss'] for line in learnt[2]]
    assert sum(losses[-5:]) < share * sum(losses[:5])
