"""Classes of a checkpoint and of the data: compared by name wherever weights are taken over."""

import copy

import pytest
import torch
from conftest import classification, run_tool, single, write_config

from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import ConfigError
from allinone.registry import RUNNERS
from allinone.tasks.class_lists import misplaced


def classes_of(cfg, names, task='cls'):
    for stage in ('train', 'val', 'test'):
        cfg[f'{stage}_dataloader'][task].dataset.metainfo = dict(classes=tuple(names))
    return cfg


@pytest.fixture(scope='module')
def trained_cls(toy_root, tmp_path_factory):
    """A classifier of two steps: ``(checkpoint, names of its classes)``."""
    folder = tmp_path_factory.mktemp('first')
    cfg = classification(folder / 'work', **{'train_cfg.max_iters': 2})
    runner = RUNNERS.build(copy.deepcopy(cfg))
    runner.train()
    return folder / 'work/iter_2.pth', list(
        runner.train_dataloader.loaders['cls'].dataset.metainfo['classes']
    )


def started(tmp_path, checkpoint, names, **options):
    """The model right after a checkpoint was loaded into a training of these classes."""
    cfg = classes_of(classification(tmp_path / 'work', **{'train_cfg.max_iters': 1}), names)
    cfg.load_from = str(checkpoint)
    cfg.train_cfg.check_data = False
    cfg.merge_from_dict(options)
    runner = RUNNERS.build(cfg)
    found = {}
    original = runner.load_checkpoint

    def load(*args, **kwargs):
        result = original(*args, **kwargs)
        found.update({k: v.clone() for k, v in runner.model.state_dict().items()})
        return result

    runner.load_checkpoint = load
    runner.train()
    return found


def test_lists_that_put_a_class_elsewhere():
    assert misplaced('abc', 'acb') and misplaced('abc', 'ba') and misplaced('ab', 'xa')
    assert (
        not misplaced('abc', 'abc') and not misplaced('abc', 'xyz') and not misplaced('ab', 'abc')
    )


@pytest.mark.parametrize('order', [lambda n: n[::-1], lambda n: [n[1], n[0], *n[2:]]])
def test_another_order_is_refused(trained_cls, tmp_path, order):
    checkpoint, names = trained_cls
    with pytest.raises(ConfigError) as error:
        started(tmp_path, checkpoint, order(names))
    text = str(error.value)
    assert names[0] in text and f'train_dataloader.cls has {order(names)[0]}' in text
    assert "set load_classes = 'by_name'" in text


def test_a_head_without_known_rows_is_refused(trained_cls, tmp_path, monkeypatch):
    """Its rows would be those of other classes."""
    monkeypatch.setattr('allinone.tasks.classification.Classification.class_layers', ())
    checkpoint, names = trained_cls
    with pytest.raises(ConfigError, match='no layer of ImageClassifier is known to have a row'):
        started(tmp_path, checkpoint, names[::-1], load_classes='by_name')
    started(tmp_path, checkpoint, names, load_classes='by_name')


def test_rows_are_taken_by_name_if_asked_for(trained_cls, tmp_path):
    checkpoint, names = trained_cls
    other = [names[3], 'fog', *names[:3], *names[4:7]]
    found = started(tmp_path, checkpoint, other, load_classes='by_name')
    stored = read_checkpoint(checkpoint)['state_dict']
    for name in ('tasks.cls.head.fc.weight', 'tasks.cls.head.fc.bias'):
        for row, label in enumerate(other):
            if label in names:
                assert torch.equal(found[name][row], stored[name][names.index(label)])
        assert not torch.equal(found[name][1], stored[name][1])
    backbone = next(name for name in stored if name.startswith('backbone.'))
    assert torch.equal(found[backbone], stored[backbone])


def test_the_same_and_quite_other_classes_are_taken_as_they_are(trained_cls, tmp_path):
    checkpoint, names = trained_cls
    stored = read_checkpoint(checkpoint)['state_dict']['tasks.cls.head.fc.weight']
    for folder, classes in (('a', names), ('b', [f'x{i}' for i in range(len(names))])):
        found = started(tmp_path / folder, checkpoint, classes)
        assert torch.equal(found['tasks.cls.head.fc.weight'], stored)


def test_a_test_of_another_order_is_refused(trained_cls, tmp_path, capsys):
    checkpoint, names = trained_cls
    cfg = classes_of(classification(tmp_path / 'work'), names[::-1])
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('test', config, checkpoint, '--work-dir', tmp_path / 'work') == 2
    assert 'test_dataloader.cls has' in capsys.readouterr().err


def test_an_option_that_is_none_is_refused(trained_cls, tmp_path):
    with pytest.raises(ConfigError, match="^load_classes is 'by_order'; the choices are"):
        started(tmp_path, *trained_cls, load_classes='by_order')


def test_a_teacher_of_another_order_is_refused(trained_cls, tmp_path):
    checkpoint, names = trained_cls
    cfg = classification(tmp_path / 'work', **{'train_cfg.max_iters': 1})
    file = write_config(classification(tmp_path / 'teacher'), tmp_path / 'teacher.py')
    cfg.model.distill = dict(
        teacher=dict(config=file, checkpoint=str(checkpoint)),
        losses=dict(cls=dict(logits=dict(type='LogitDistillation'))),
    )
    RUNNERS.build(copy.deepcopy(cfg)).train()
    cfg.experiment_name += 'b'
    with pytest.raises(ConfigError, match='^model.distill: the teacher of cls has the classes'):
        RUNNERS.build(classes_of(cfg, names[::-1])).train()


def test_whole_names_of_classes_with_any_character(toy_root, tmp_path):
    cfg = single('seg', 'IoU.area/drivable', tmp_path / 'work', **{'train_cfg.max_iters': 2})
    names = ('area/drivable', 'a.b', 'c,d', 'e f', 'straße', '100%', "it's")
    classes_of(cfg, names, 'seg')
    cfg.val_cfg.score = {f'seg/IoU.{name}': 1 for name in names}
    runner = RUNNERS.build(cfg)
    runner.train()
    metrics = runner.val_loop.run()
    assert {f'seg/IoU.{name}' for name in names} <= set(metrics)
    assert 'score' in metrics
