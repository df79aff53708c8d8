"""Held-out comparison and written labels of boxes, label maps and classes, by hand."""

import json

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image

from allinone.data.checks import check_dataset
from allinone.data.datasets import ImageListDataset
from allinone.errors import DataError
from allinone.tasks.pseudo_labels import (
    ClassRule,
    HeldOutPart,
    LabelledImage,
    PseudoBoxes,
    PseudoClasses,
    PseudoLabelMaps,
    Threshold,
)

CLASSES = ('car', 'bus')


def above(score, ignore=None):
    at = Threshold(score, 1.0, 5, 5)
    return ClassRule(at, None if ignore is None else Threshold(ignore, 0.5, 5, 10), 20)


NO_LABELS = ClassRule(None, None, 20)


# ------------------------------------------------------------------ boxes


def detected(*boxes):
    """``(left, top, width, height, label, score)`` each."""
    table = np.array(boxes, np.float32).reshape(-1, 6)
    corners = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1)
    return BaseDataElement(
        pred_instances=InstanceData(
            bboxes=torch.from_numpy(corners),
            labels=torch.from_numpy(table[:, 4]).long(),
            scores=torch.from_numpy(table[:, 5]),
        )
    )


def coco_part(folder, annotations, categories=('bus', 'car')):
    """A held-out part of two images. Ids of its categories fall, and COCO sorts by them."""
    for name in 'ab':
        Image.new('RGB', (100, 100)).save(folder / f'{name}.png')
    ids = {name: 9 - number for number, name in enumerate(categories)}
    content = dict(
        images=[
            dict(id=number, file_name=f'{name}.png', width=100, height=100)
            for number, name in enumerate('ab', 1)
        ],
        categories=[dict(id=number, name=name) for name, number in ids.items()],
        annotations=[
            dict(
                id=number,
                image_id=image,
                category_id=ids[name],
                bbox=box,
                area=box[2] * box[3],
                iscrowd=0,
            )
            | more
            for number, (image, name, box, more) in enumerate(annotations, 1)
        ],
    )
    (folder / 'held_out.json').write_text(json.dumps(content))
    return HeldOutPart(
        CocoDataset(
            ann_file=str(folder / 'held_out.json'),
            data_prefix=dict(img=str(folder)),
            metainfo=dict(classes=categories),
            pipeline=[],
            test_mode=True,
        )
    )


def found_in(form, part, *samples):
    for index, sample in enumerate(samples):
        form.add(form.compare(sample, part, index))
    return [
        list(zip(np.round(one.scores, 4).tolist(), one.right.tolist(), one.counted.tolist()))
        for one in form.held_out_scores(part)
    ]


def test_boxes_are_matched_once_within_their_class(tmp_path):
    part = coco_part(
        tmp_path,
        [
            (1, 'car', [0, 0, 40, 40], {}),
            (1, 'bus', [50, 50, 40, 40], {}),
            (2, 'car', [0, 0, 40, 40], {}),
            (2, 'car', [50, 0, 40, 40], dict(iscrowd=1)),
            (2, 'car', [0, 50, 40, 40], dict(ignore=1)),
        ],
        categories=CLASSES,
    )
    first = detected(
        (0, 0, 40, 40, 0, 0.5),  # the better match of two comes later, and the first takes it
        (0, 0, 40, 30, 0, 0.9),
        (0, 0, 40, 18, 0, 0.8),  # IoU .45
        (50, 50, 40, 40, 0, 0.7),  # a bus
        (50, 50, 40, 40, 1, 0.6),
    )
    second = detected(
        (0, 0, 40, 40, 0, 0.9),
        (50, 0, 20, 20, 0, 0.95),  # in a crowd
        (0, 50, 40, 40, 0, 0.85),  # ignored
    )
    cars, buses = found_in(PseudoBoxes(CLASSES), part, first, second)
    assert cars == [(0.9, 2, 2), (0.8, 0, 1), (0.7, 0, 1), (0.5, 0, 1)]
    assert buses == [(0.6, 1, 1)]


def test_classes_have_the_order_of_the_teacher_not_of_ids(tmp_path):
    part = coco_part(tmp_path, [(1, 'car', [0, 0, 40, 40], {}), (2, 'bus', [0, 0, 40, 40], {})])
    # In this file bus is the first category, and label 0.
    buses, cars = found_in(
        PseudoBoxes(('bus', 'car')),
        part,
        detected((0, 0, 40, 40, 1, 0.9)),
        detected((0, 0, 40, 40, 1, 0.8)),
    )
    assert buses == []
    assert cars == [(0.9, 1, 1), (0.8, 0, 1)]


def test_held_out_images_without_a_box_are_refused(tmp_path):
    part = coco_part(tmp_path, [], categories=CLASSES)
    with pytest.raises(DataError, match='it has no box of any class; give labelled images'):
        found_in(PseudoBoxes(CLASSES), part, detected((0, 0, 9, 9, 0, 0.9)), detected())


def test_boxes_between_the_thresholds_are_ignored_and_lower_ones_dropped():
    form = PseudoBoxes(CLASSES)
    sample = detected(
        (0, 0, 10, 10, 0, 0.5),
        (20, 0, 10, 10, 0, 0.25),
        (40, 0, 10, 10, 0, 0.125),
        (60, 0, 10, 10, 1, 0.75),  # of a class without labels
        (0, 2, 10, 10, 0, 0.25),  # IoU 2 / 3 with the first: the same object
        (0, 0, 10, 0, 0, 0.75),  # without an area
    )
    result = form.label(sample, [above(0.5, 0.25), NO_LABELS], 'unused')
    assert result['boxes'] == [
        dict(bbox=[0, 0, 10, 10], name='car', score=0.5, ignore=False),
        dict(bbox=[20, 0, 30, 10], name='car', score=0.25, ignore=True),
    ]
    assert form.counts(result) == dict(car=(1, 1), bus=(0, 0))
    # Without a second threshold nothing is ignored.
    assert [b['ignore'] for b in form.label(sample, [above(0.5)] * 2, '')['boxes']] == [False] * 2


def test_own_boxes_are_completed_by_those_of_other_classes():
    class own:
        annotated, classes = ('car',), ('bus', 'car')

    info = dict(
        instances=[
            dict(bbox=[0, 0, 10, 10], bbox_label=1, ignore_flag=0),
            dict(bbox=[50, 0, 60, 10], bbox_label=1, ignore_flag=1),
        ]
    )
    form = PseudoBoxes(CLASSES)
    sample = detected(
        (20, 0, 10, 10, 0, 0.9),  # the annotator has no car there
        (40, 0, 10, 10, 1, 0.9),
        (0, 0, 10, 10, 1, 0.8),  # the annotator says that it is a car
    )
    result = form.complete(form.label(sample, [above(0.5), above(0.5)], ''), info, own)
    assert [(box['name'], box['bbox'], box['ignore']) for box in result['boxes']] == [
        ('car', [0, 0, 10, 10], False),
        ('car', [50, 0, 60, 10], True),
        ('bus', [40, 0, 50, 10], False),
    ]


def images_of(*results, suffix='.png'):
    return [
        LabelledImage(f'{name}{suffix}', name, 100, 100, result)
        for name, result in zip(('a', 'sub/b'), results)
    ]


def test_written_boxes_are_a_coco_file(tmp_path):
    (tmp_path / 'sub').mkdir()
    for name in ('a', 'sub/b'):
        Image.new('RGB', (100, 100)).save(tmp_path / f'{name}.png')
    form = PseudoBoxes(CLASSES)
    sample = detected((1, 2, 30, 40, 1, 0.75), (50, 50, 20, 10, 1, 0.5))
    none = form.label(detected(), [NO_LABELS, above(0.75)], '')
    result = form.label(sample, [NO_LABELS, above(0.75, 0.5)], '')
    form.write(str(tmp_path / 'out'), images_of(none, result))
    content = json.loads((tmp_path / 'out/annotations.json').read_text())
    assert [image['file_name'] for image in content['images']] == ['a.png', 'sub/b.png']
    assert content['categories'] == [dict(id=1, name='car'), dict(id=2, name='bus')]
    assert content['annotations'] == [
        dict(
            id=1,
            image_id=2,
            category_id=2,
            bbox=[1, 2, 30, 40],
            area=1200,
            iscrowd=0,
            score=0.75,
        ),
        dict(
            id=2,
            image_id=2,
            category_id=2,
            bbox=[50, 50, 20, 10],
            area=200,
            iscrowd=1,
            score=0.5,
        ),
    ]
    cfg = form.dataset_config(str(tmp_path / 'out'), str(tmp_path), '.png', ['bus'])
    assert cfg.pop('type') == 'mmdet.CocoDataset'
    regions = dict(ignored_regions=True)
    assert cfg['metainfo'] == dict(classes=CLASSES, annotated_classes=('bus',), **regions)
    dataset = CocoDataset(**cfg, pipeline=[])
    check_dataset(dataset, 2)
    assert len(dataset) == 2  # An image without boxes is a negative.
    flags = [entry['ignore_flag'] for entry in dataset.get_data_info(1)['instances']]
    assert flags == [0, 1]


# ------------------------------------------------------------------ label maps


def segmented(probabilities):
    """A predicted sample of ``(C, H, W)`` probabilities."""
    logits = torch.tensor(probabilities).log()
    labels = logits.argmax(0, keepdim=True)
    return BaseDataElement(seg_logits=PixelData(data=logits), pred_sem_seg=PixelData(data=labels))


class Maps:
    """A held-out part with label maps in memory."""

    def __init__(self, *maps, ignore_index=255):
        self.maps = [np.array(one) for one in maps]
        self.dataset = type('Dataset', (), dict(ignore_index=ignore_index))
        self.images = self.infos = list(maps)

    def loaded(self, index):
        return dict(gt_seg_map=self.maps[index])


# Class 0: .905, .905, .605; class 1: .805
FOUR = segmented([[[0.905, 0.905, 0.605, 0.195]], [[0.095, 0.095, 0.395, 0.805]]])


def test_pixels_are_counted_by_class_and_probability():
    form = PseudoLabelMaps(CLASSES)
    part = Maps([[0, 1, 255, 1]], [[0, 0, 0, 0]])
    for index in range(2):
        form.add(form.compare(FOUR, part, index))
    first, second = form.held_out_scores(part)
    rows = {
        round(float(score), 4): (int(right), int(counted), int(support))
        for score, right, counted, support in zip(
            first.scores, first.right, first.counted, first.support
        )
        if counted
    }
    assert rows == {0.905: (3, 4, 2), 0.605: (1, 1, 0)}
    assert (second.total(), int(second.right.sum()), int(second.support.sum())) == (2, 1, 2)


def test_label_maps_without_a_labelled_pixel_are_refused():
    form, part = PseudoLabelMaps(CLASSES), Maps([[255] * 4])
    form.add(form.compare(FOUR, part, 0))
    with pytest.raises(DataError, match='its label maps have no pixel of any class'):
        form.held_out_scores(part)


def test_doubtful_pixels_are_ignored(tmp_path):
    form = PseudoLabelMaps(CLASSES)
    result = form.label(FOUR, [above(0.9), above(0.806)], str(tmp_path / 'sub/a'))
    with Image.open(tmp_path / 'sub/a.png') as written:
        assert written.mode == 'L'
        assert np.asarray(written).tolist() == [[0, 0, 255, 255]]
    assert result == dict(pixels=[2, 0], ignored=[1, 1])
    assert form.counts(result) == dict(car=(2, 1), bus=(0, 1))
    # At the threshold itself a pixel is a label, as it was counted.
    form.label(FOUR, [NO_LABELS, above(0.805)], str(tmp_path / 'b'))
    with Image.open(tmp_path / 'b.png') as written:
        assert np.asarray(written).tolist() == [[255, 255, 255, 1]]
    form.label(FOUR, [above(0.95), NO_LABELS], str(tmp_path / 'c'))
    assert not (tmp_path / 'c.png').exists()


def test_only_images_with_a_labelled_pixel_are_listed(tmp_path):
    form = PseudoLabelMaps(CLASSES)
    empty = dict(pixels=[0, 0], ignored=[2, 2])
    form.write(str(tmp_path), images_of(empty, dict(pixels=[0, 4], ignored=[0, 0])))
    assert (tmp_path / 'images.txt').read_text() == 'sub/b\n'


def test_a_binary_head_has_the_probability_of_class_1():
    high = torch.tensor([[[0.9055, 0.2055, 0.6055]]])
    sample = BaseDataElement(
        seg_logits=PixelData(data=high), pred_sem_seg=PixelData(data=(high > 0.5).long())
    )
    form, part = PseudoLabelMaps(CLASSES), Maps([[1, 0, 0]])
    form.add(form.compare(sample, part, 0))
    found = [
        [
            (round(float(score), 3), int(right))
            for score, right, counted in zip(one.scores, one.right, one.counted)
            if counted
        ]
        for one in form.held_out_scores(part)
    ]
    assert found == [[(0.794, 1)], [(0.905, 1), (0.605, 0)]]


# ------------------------------------------------------------------ classes


def classified(*scores):
    return BaseDataElement(pred_score=torch.tensor(scores))


class Listed:
    def __init__(self, *labels):
        self.infos = [dict(gt_label=label) for label in labels]


def test_the_highest_class_is_right_or_wrong():
    form, part = PseudoClasses(CLASSES), Listed(0, 1, 1)
    samples = classified(0.75, 0.25), classified(0.75, 0.25), classified(0.375, 0.625)
    assert found_in(form, part, *samples) == [[(0.75, 1, 2)], [(0.625, 1, 1)]]


def test_several_labels_of_an_image_are_refused():
    with pytest.raises(DataError, match=r'it has the labels \[0, 1\]'):
        PseudoClasses(CLASSES).compare(classified(0.75, 0.25), Listed([0, 1]), 0)


def test_only_certain_images_are_in_the_list(tmp_path):
    form = PseudoClasses(CLASSES)
    rules = [above(0.75), NO_LABELS]
    sure, unsure = (form.label(classified(high, 1 - high), rules, '') for high in (0.75, 0.625))
    other = form.label(classified(0.0, 1.0), rules, '')
    assert [one['sure'] for one in (sure, unsure, other)] == [True, False, False]
    form.write(str(tmp_path), images_of(unsure, sure, suffix='.jpg'))
    assert (tmp_path / 'labels.txt').read_text() == 'sub/b.jpg 0\n'
    assert (tmp_path / 'scores.csv').read_text().splitlines() == [
        'name,label,class,score,labelled',
        'a.jpg,0,car,0.625,0',
        'sub/b.jpg,0,car,0.75,1',
    ]
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/b.jpg').touch()
    cfg = form.dataset_config(str(tmp_path), str(tmp_path), '.jpg', CLASSES)
    assert cfg.pop('type') == 'allinone.ImageListDataset'
    dataset = ImageListDataset(**cfg, pipeline=[])
    check_dataset(dataset, 2)
    assert dataset.get_data_info(0)['gt_label'] == 0
