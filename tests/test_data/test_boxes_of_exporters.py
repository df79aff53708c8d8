"""What exporters leave out of COCO files, in training: areas, annotations, masks."""

import json
from types import SimpleNamespace

import pytest
from mmengine.registry import init_default_scope
from PIL import Image

from allinone.data.checks import check_dataset
from allinone.data.loaders import _build_dataset
from allinone.errors import ConfigError, DataError
from allinone.tasks.detection import _check_queries

TRIANGLE = [[1, 1, 9, 1, 5, 9]]


def built(folder, change, with_mask=False):
    """A training set of one image with three boxes, after ``change`` of its file."""
    init_default_scope('allinone')
    Image.new('RGB', (60, 40)).save(folder / 'a.jpg')
    boxes = [
        dict(
            id=n,
            image_id=1,
            category_id=1,
            bbox=[n, n, 9, 9],
            area=81,
            iscrowd=0,
            segmentation=TRIANGLE,
        )
        for n in (1, 2, 3)
    ]
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=60, height=40)],
        categories=[dict(id=1, name='car')],
        annotations=boxes,
    )
    change(content)
    (folder / 'a.json').write_text(json.dumps(content))
    return _build_dataset(
        dict(
            type='mmdet.CocoDataset',
            ann_file=str(folder / 'a.json'),
            data_prefix=dict(img=str(folder)),
            metainfo=dict(classes=('car',)),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=with_mask),
            ],
        )
    )


def of_last(**values):
    return lambda content: content['annotations'][-1].update(values)


def without(key):
    return lambda content: content['annotations'][-1].pop(key)


@pytest.mark.parametrize('change', [of_last(area=0), of_last(area=-1), without('area')])
def test_a_box_without_an_area_is_trained_on(tmp_path, change):
    dataset = built(tmp_path, change)
    check_dataset(dataset, 1)
    assert len(dataset.get_data_info(0)['instances']) == 3


@pytest.mark.parametrize('change', [of_last(id=1), of_last(id='x'), without('id')])
def test_annotations_whose_ids_clash_stay_apart(tmp_path, change):
    dataset = built(tmp_path, change)
    boxes = [entry['bbox'] for entry in dataset.get_data_info(0)['instances']]
    assert sorted(boxes) == [[n, n, n + 9, n + 9] for n in (1, 2, 3)]


@pytest.mark.parametrize(
    'change', [without('segmentation'), of_last(segmentation=[]), of_last(segmentation=None)]
)
def test_boxes_without_a_mask_are_refused_where_masks_are_loaded(tmp_path, change):
    check_dataset(built(tmp_path, change), 1)
    check_dataset(built(tmp_path, lambda content: None, with_mask=True), 1)
    with pytest.raises(DataError, match=r'1 annotations have no segmentation, as in .*a.jpg, but'):
        check_dataset(built(tmp_path, change, with_mask=True), 1)


@pytest.mark.parametrize(
    'queries, classes, sigmoid, most, limit',
    [
        (20, 3, True, 60, None),
        (20, 3, True, 61, 60),
        (20, 3, False, 20, None),
        (20, 3, False, 21, 20),
        (None, 3, True, 999, None),
    ],
)
def test_queries_give_scores_for_all_boxes(queries, classes, sigmoid, most, limit):
    model = SimpleNamespace(num_queries=queries)
    loss = SimpleNamespace(use_sigmoid=sigmoid)
    head = SimpleNamespace(test_cfg=dict(max_per_img=most), loss_cls=loss, cls_out_channels=classes)
    if limit is None:
        _check_queries('model.tasks.x', model, head)
    else:
        words = f'^model.tasks.x.test_cfg.max_per_img is {most}, .* give at most {limit}$'
        with pytest.raises(ConfigError, match=words):
            _check_queries('model.tasks.x', model, head)
