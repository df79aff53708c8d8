"""Ways to break a config or its data, and to read the message of the refusal."""

import json

import pytest
from conftest import build_model
from mmengine.registry import DefaultScope

from allinone.data.loaders import build_loader
from allinone.errors import ConfigError, DataError

NUM_CLASSES = dict(cls=8, det=3, seg=7)


def only(cfg, *tasks, validate=False):
    """Leave the other tasks out."""
    for stage in ('train', 'val', 'test'):
        for key in ('dataloader', 'evaluator'):
            if f'{stage}_{key}' in cfg:
                cfg[f'{stage}_{key}'] = {t: cfg[f'{stage}_{key}'][t] for t in tasks}
        if 'score' in cfg[f'{stage}_cfg']:
            del cfg[f'{stage}_cfg'].score
    cfg.model.tasks = {task: cfg.model.tasks[task] for task in tasks}
    cfg.default_hooks.checkpoint.pop('save_best')
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None


def load(cfg, task, stage='train'):
    key = f'{stage}_dataloader'
    with DefaultScope.overwrite_default_scope('allinone'):
        return build_loader(
            f'{key}.{task}', task, cfg[key][task], 0, NUM_CLASSES[task], stage == 'train', True
        )


def data_error(cfg, task, stage='train', kind=DataError):
    """The message of building a loader, which begins with its config key."""
    with pytest.raises(kind) as error:
        load(cfg, task, stage)
    text = str(error.value)
    assert text.startswith(f'{stage}_dataloader.{task}') and '\n' not in text
    return text


def model_error(cfg):
    with pytest.raises(ConfigError) as error:
        build_model(cfg)
    assert '\n' not in str(error.value)
    return str(error.value)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def no_image(path):
    path.write_text('<html>404</html>')


def without(key):
    def change(cfg):
        *path, last = key.split('.')
        for name in path:
            cfg = cfg[name]
        cfg.pop(last)

    return change


def put(key, value):
    return lambda cfg: cfg.merge_from_dict({key: value})


def balanced(**balancer):
    return lambda cfg: cfg.model.update(balancer=balancer)


def follows(metric):
    def change(cfg):
        cfg.val_evaluator.cls = dict(type='mmpretrain.SingleLabelMetric', items=['f1-score'])
        balanced(type='CoBa', metrics={metric: 0.01})(cfg)

    return change
