"""A task of two sources that annotate different classes: labels, losses, refusals, the program."""

import json
import re

import pytest
from bad_input import edit, only

from allinone.config.expansion import expand_config
from allinone.data.loaders import build_loader
from allinone.data.partly_annotated import PartlyAnnotated
from allinone.errors import ConfigError
from allinone.registry import RUNNERS
from allinone.tasks.annotated_classes import LABELS
from allinone.tasks.detection import Detection
from allinone.training import annotated_classes

PARTS = dict(street=('vehicle', 'pedestrian'), signs=('sign',))


@pytest.fixture
def two(cfg, toy):
    """The toy config, whose detector learns road users of one source and signs of another."""
    only(cfg, 'det', validate=True)
    loader = cfg.train_dataloader.pop('det')
    content = json.loads((toy / 'det/train.json').read_text())
    for source, classes in PARTS.items():
        ids = {c['id'] for c in content['categories'] if c['name'] in classes}
        part = dict(
            content,
            categories=[c for c in content['categories'] if c['id'] in ids],
            annotations=[a for a in content['annotations'] if a['category_id'] in ids],
        )
        (toy / f'det/{source}.json').write_text(json.dumps(part))
        dataset = dict(
            loader.dataset, annotated_classes=classes, ann_file=str(toy / f'det/{source}.json')
        )
        cfg.train_dataloader[source] = dict(loader, tasks=('det',), dataset=dataset)
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = 2
    cfg.train_cfg.pop('schedule', None)
    return cfg


def labels_of(cfg, source):
    loader = build_loader(
        f'train_dataloader.{source}', source, cfg.train_dataloader[source], 0, 3, True, True
    )
    return loader.dataset, next(iter(loader))['data_samples']


def test_labels_are_those_of_the_task_though_a_file_lacks_categories(two):
    expand_config(two)
    for source, annotated in (('street', (0, 1)), ('signs', (2,))):
        dataset, samples = labels_of(two, source)
        assert isinstance(dataset.dataset, PartlyAnnotated)
        assert {sample.metainfo[LABELS] for sample in samples} == {annotated}
        # mmdet alone would number the signs from 0.
        assert {i for s in samples for i in s.gt_instances.labels.tolist()} <= set(annotated)
        assert sum(len(s.gt_instances) for s in samples)


def test_the_program_trains_a_detector_whose_classes_come_from_two_sources(two):
    runner = RUNNERS.build(two)
    head = runner.model.tasks.det.bbox_head
    seen = []
    head.loss_cls.register_forward_hook(lambda _, args, __: seen.append((args[0] == -20).all(0)))
    runner.train()
    assert [mask.tolist() for mask in seen[-2:]] == [[False, False, True], [True, True, False]]
    metrics = runner.message_hub.log_scalars
    assert any('bbox_mAP' in name for name in metrics)


def test_a_file_for_evaluation_may_lack_categories_that_it_does_not_annotate(two, toy):
    two.val_dataloader.det.dataset.update(
        annotated_classes=('sign',), ann_file=str(toy / 'det/val_signs.json')
    )
    two.val_evaluator.det.update(ann_file=str(toy / 'det/val_signs.json'), classwise=True)
    content = json.loads((toy / 'det/val.json').read_text())
    (sign,) = [c for c in content['categories'] if c['name'] == 'sign']
    content['categories'] = [sign]
    content['annotations'] = [
        a for a in content['annotations'] if a['category_id'] == sign['id']
    ]  # fmt: skip
    (toy / 'det/val_signs.json').write_text(json.dumps(content))
    runner = RUNNERS.build(two)
    runner.train()
    scalars = runner.message_hub.log_scalars
    (found,) = [scalars[name] for name in scalars if name.endswith('bbox_mAP')]
    assert found.current() >= 0  # COCO's mean over no class is -1.


def test_regions_in_doubt_reach_the_loss(two, toy):

    def doubt(content):
        for annotation in content['annotations']:
            annotation['iscrowd'] = 1

    edit(toy / 'det/signs.json', doubt)
    part = two.train_dataloader.signs.dataset
    part.metainfo = dict(part.metainfo, ignored_regions=True)
    runner = RUNNERS.build(two)
    head = runner.model.tasks.det.bbox_head
    seen = []
    head.loss_cls.register_forward_hook(lambda _, args, __: seen.append((args[0] == -20).sum(0)))
    runner.train()
    street, signs = seen[-2:]
    assert street[0] == street[1] == 0 and street[2] > 0  # The rest of its classes
    assert signs[0] == signs[1] > signs[2] > 0  # Of the sign some, in the boxes


def test_a_warning_names_heads_that_do_not_leave_out_regions(two, monkeypatch, capsys):
    part = two.train_dataloader.signs.dataset
    part.metainfo = dict(part.metainfo, ignored_regions=True)
    monkeypatch.setattr(Detection, 'leaves_out_regions', lambda *_: False)
    runner = RUNNERS.build(two)
    found = []
    monkeypatch.setattr(annotated_classes, 'print_log', lambda text, *_: found.append(text))
    annotated_classes.check_annotated_classes(runner.model, runner.train_loop.dataloader.parts)
    (text,) = found
    assert text.startswith('train_dataloader.signs has metainfo.ignored_regions, but FCOS of the')


def test_data_that_annotates_all_classes_is_not_wrapped(cfg):
    loader = build_loader('train_dataloader.det', 'det', cfg.train_dataloader.det, 0, 3, True, True)
    assert not isinstance(loader.dataset.dataset, PartlyAnnotated)


def test_annotated_classes_move_to_the_metainfo_of_the_innermost(two):
    part = two.train_dataloader.signs
    part.dataset = dict(
        type='RepeatDataset', times=2, annotated_classes=('sign',), dataset=dict(part.dataset)
    )
    part.dataset.dataset.pop('annotated_classes')
    expand_config(two)
    assert 'annotated_classes' not in part.dataset
    assert part.dataset.dataset.metainfo.annotated_classes == ('sign',)
    before = two.to_dict()
    expand_config(two)
    assert two.to_dict() == before
    part.dataset.annotated_classes = ('sign',)
    with pytest.raises(ConfigError, match=r'signs.dataset.dataset has annotated_classes and metai'):
        expand_config(two)


def forget(cfg, toy):
    cfg.train_dataloader.street.dataset.annotated_classes = ('vehicle',)
    edit(toy / 'det/street.json', lambda content: content.update(annotations=[
        a for a in content['annotations'] if a['category_id'] == content['categories'][0]['id']
    ]))  # fmt: skip


def misspell(cfg, toy):
    cfg.train_dataloader.signs.dataset.annotated_classes = ('signs',)


def contradict(cfg, toy):
    cfg.train_dataloader.street.dataset.annotated_classes = ('vehicle',)


def name_none(cfg, toy):
    cfg.train_dataloader.signs.dataset.pop('annotated_classes')


def concatenate(cfg, toy):
    parts = [cfg.train_dataloader.pop(source).dataset for source in ('street', 'signs')]
    for part in parts[1:]:
        part.pipeline = parts[0].pipeline
    cfg.train_dataloader.both = dict(
        tasks=('det',), batch_size=2, dataset=dict(type='ConcatDataset', datasets=parts)
    )


@pytest.mark.parametrize(
    'change, says',
    [
        (concatenate, r'both.dataset concatenates data sets with different metainfo.annotated_cla'),
        (forget, r"^the task 'det' has the classes pedestrian, which no source annotates"),
        (misspell, r"signs.*: metainfo.annotated_classes has 'signs', .*do you mean 'sign'\?$"),
        (contradict, r'street.json has labels of pedestrian, which metainfo.annotated_classes'),
        (name_none, r'signs.json does not have; .*name those that it does in metainfo.annotated'),
    ],
)
def test_sources_that_cannot_be_are_refused(two, toy, refused, change, says):
    change(two, toy)
    two.work_dir = str(toy.parent / 'work')
    sentence = refused()
    assert re.search(says, sentence), sentence
