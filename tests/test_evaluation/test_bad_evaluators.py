"""Metrics that validation does not give, or that read other annotations."""

import pytest
from bad_input import follows, only

from allinone.errors import ConfigError
from allinone.evaluation.score import combined_score


def test_a_kpi_that_validation_gives_is_legal(cfg, launch):
    only(cfg, 'cls', validate=True)
    follows('cls/f1-score')(cfg)
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    assert launch()[0] == 0


def test_save_best_of_a_metric_that_validation_gives_is_legal(cfg, launch):
    only(cfg, 'cls', validate=True)
    cfg.default_hooks.checkpoint.save_best = ['cls/top1', 'cls/top5']
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    assert launch()[0] == 0


def test_a_metric_that_reads_other_annotations_is_said(cfg, toy, launch):
    only(cfg, 'det', validate=True)
    cfg.val_evaluator.det.ann_file = str(toy / 'det/train.json')
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    _, out, error = launch()
    says = f'val_evaluator.det compares with the boxes of {toy}/det/train.json, but val_dataloader'
    assert f'{says}.det reads the images of {toy}/det/val.json' in out + error


def test_a_score_of_a_task_without_evaluator_is_found_before_training(cfg, refused):
    only(cfg, 'cls', validate=True)
    cfg.val_cfg.score = {'cls/top1': 1, 'seg/mIoU': 1}
    assert "val_cfg.score has 'seg/mIoU', but val_evaluator has only ['cls']" in refused()


def test_a_score_of_an_unknown_metric_is_named():
    with pytest.raises(
        ConfigError,
        match=r"^val_cfg.score names \['cls/top2'\], but the "
        r"evaluators gave \['cls/top1'\]$",
    ):
        combined_score({'cls/top1': 3.0}, {'cls/top2': 1}, 'val_cfg.score')
