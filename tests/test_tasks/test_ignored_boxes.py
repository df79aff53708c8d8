"""Boxes marked ``ignore`` (VOC's difficult ones): the analysis agrees with the metric."""

import json

import pytest
from known_predictions import boxes
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmengine.dataset import ConcatDataset

from allinone.analysis.evaluation.collect import TaskFindings, _indices
from allinone.analysis.evaluation.examples import Examples
from allinone.analysis.evaluation.labels import label_statistics
from allinone.registry.kinds import TASK_KINDS
from allinone.tasks.analyses import BoxAnalysis
from allinone.tasks.coco import complete_annotations
from allinone.tasks.ignored_boxes import IgnoredBoxes
from allinone.visualization.palette import ClassTable

# x, y, width, height, category, ignore; the ids of the categories do not begin at 0.
IMAGES = {
    'a.jpg': [(0, 0, 20, 20, 5, 0), (40, 10, 20, 20, 5, 1)],
    'b.jpg': [(10, 10, 30, 30, 7, 0), (0, 30, 10, 10, 7, 1), (50, 0, 9, 9, 9, 1)],
}


def coco_file(path):
    annotations = [
        dict(
            image_id=number,
            bbox=list(box),
            area=box[2] * box[3],
            iscrowd=0,
            category_id=category,
            ignore=ignore,
        )
        for number, found in enumerate(IMAGES.values(), 1)
        for *box, category, ignore in found
    ]
    for number, annotation in enumerate(annotations, 1):
        annotation['id'] = number
    content = dict(
        images=[
            dict(id=number, file_name=name, width=64, height=48)
            for number, name in enumerate(IMAGES, 1)
        ],
        categories=[dict(id=i, name=name) for i, name in ((5, 'cat'), (7, 'dog'), (9, 'cow'))],
        annotations=annotations,
    )
    path.write_text(json.dumps(content))
    return str(path)


def coco_set(file, prefix='images'):
    return CocoDataset(
        ann_file=file,
        data_prefix=dict(img=prefix),
        metainfo=dict(classes=('cat', 'dog')),
        test_mode=True,
        pipeline=[],
    )


def findings(dataset):
    return TaskFindings(
        TASK_KINDS.build(dict(type='detection')),
        dataset,
        BoxAnalysis(['cat', 'dog']),
        Examples(1),
        ClassTable(dict(classes=('cat', 'dog'))),
        len(dataset),
        indices=_indices(dataset),
    )


def test_a_detector_that_finds_them_is_right_on_the_page_as_in_the_metric(tmp_path):
    file = coco_file(tmp_path / 'a.json')
    dataset = coco_set(file)
    found = findings(dataset)
    metric = CocoMetric(ann_file=file, metric='bbox')
    metric.dataset_meta = dataset.metainfo
    complete_annotations(metric)
    label = {5: 0, 7: 1}
    for number, (name, annotated) in enumerate(IMAGES.items(), 1):
        # The ignored ones first, where a false detection costs most
        sample = boxes(
            [
                (*box, label[category], 0.9 + 0.05 * ignore)
                for *box, category, ignore in annotated
                if category in label
            ]
        )
        sample.set_metainfo(
            dict(img_path=f'images/{name}', img_id=number, ori_shape=(48, 64), img_shape=(48, 64))
        )
        found.add('det', sample)
        metric.process(
            {},
            [
                dict(
                    img_id=number,
                    ori_shape=(48, 64),
                    pred_instances=dict(sample.pred_instances.items()),
                )
            ],
        )
    assert metric.evaluate(len(dataset))['coco/bbox_mAP'] == 1
    assert found.analysis.summary()['mAP %'] == pytest.approx(100)
    assert found.analysis.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    (example,) = found.examples.worst
    assert example.quality.value == 1 and len(example.truth.pred_instances) == 1


def test_statistics_of_labels_count_them(tmp_path):
    dataset = coco_set(coco_file(tmp_path / 'a.json'))
    table, _ = label_statistics('Labels', findings(dataset), [dataset])
    assert [row[1] for row in table['rows']] == [1, 1]
    assert '2 boxes, 1.0 an image; 2 others are ignored' in table['note']


def test_images_of_one_id_in_two_files_are_different(tmp_path):
    dataset = ConcatDataset(
        [coco_set(coco_file(tmp_path / f'{name}.json'), name) for name in ('one', 'two')]
    )
    ignored = IgnoredBoxes(dataset)
    for index in range(4):
        info = ignored.added_to(dataset.get_data_info(index))
        assert [box['ignore_flag'] for box in info['instances']] == [0, 1]
    other = dict(img_path='three/a.jpg', instances=[])
    assert ignored.added_to(other) is other
