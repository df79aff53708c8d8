"""Balancers, schedules, launchers and work dirs that a training run refuses."""

import re

import pytest
from bad_input import balanced, follows, only

from allinone.errors import ConfigError
from allinone.training.run import train


def scheduled(**schedule):
    return lambda cfg: cfg.train_cfg.update(schedule=schedule)


@pytest.mark.parametrize(
    'change, says',
    [
        (
            balanced(type='PCGrd'),
            r"^model.balancer.type is 'PCGrd'; the choices are \['AlignedMTL', .*'UPGrad'",
        ),
        (
            balanced(type='FixedWeights', weights=dict(cls=-1)),
            r'^model\.balancer\.weights.*cls.* is -1; give a number of at least 0',
        ),
        (
            balanced(type='FixedWeights', weights=dict(cls=0)),
            r'^model\.balancer\.weights is .*cls.*0',
        ),
        (
            balanced(type='FixedWeights', weights=dict(depth=1)),
            r"^model\.balancer\.weights is \{'depth': 1\.0\}, but model\.tasks does not have \['depth'\]",
        ),
        (balanced(type='GradNorm', alpha=-1), r'^model\.balancer\.alpha is -1; give a number'),
        (
            balanced(type='DynamicWeightAverage', temperature=0),
            r'^model\.balancer\.temperature is 0; give a number',
        ),
        (
            scheduled(type='TemperatureSampling', temperature=0),
            r'^train_cfg\.schedule\.temperature is 0; give a number',
        ),
        (
            balanced(type='CoBa', metrics={'cls/top2': 0.01}),
            r"^model\.balancer\.metrics names 'cls/top2', but val_evaluator\.cls gives .*'top1'",
        ),
        (
            follows('cls/top1'),
            r"^model\.balancer\.metrics names 'cls/top1', but val_evaluator\.cls gives "
            r"\['f1-score'\]$",
        ),
    ],
)
def test_the_program_refuses_what_a_balancer_cannot_be(cfg, refused, change, says):
    only(cfg, 'cls', validate=True)
    change(cfg)
    sentence = refused()
    assert re.search(says, sentence), sentence


def test_the_program_refuses_a_schedule_that_a_method_cannot_follow(cfg, refused):
    balanced(type='PCGrad')(cfg)
    scheduled(type='RoundRobin')(cfg)
    assert "'RoundRobin', one task a step, but model.balancer.type 'PCGrad'" in refused()


def test_a_launcher_that_did_not_start_the_program(cfg, tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    cfg.launcher = 'pytorch'
    with pytest.raises(ConfigError, match="^--launcher is 'pytorch', but RANK is not set"):
        train(cfg)
    assert not (tmp_path / 'work').exists()


def test_a_work_dir_that_cannot_be_made(cfg, refused, tmp_path):
    (tmp_path / 'file').write_text('')
    cfg.work_dir = str(tmp_path / 'file/work')
    assert refused() == (
        f"work_dir is '{tmp_path}/file/work', which cannot be made: Not a directory; give another"
    )


def test_a_refused_run_leaves_an_earlier_ones_checkpoints(cfg, toy, launch, tmp_path):
    """Else a typo, fixed, and ``--resume`` start from nothing."""
    only(cfg, 'cls')
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'default_hooks.checkpoint.interval': 1})
    assert launch()[0] == 0
    (toy / 'cls/train.txt').unlink()
    assert launch()[0] == 2
    assert (tmp_path / 'work/iter_1.pth').is_file() and not list(tmp_path.glob('work/earlier_*'))
