"""The form of a submission, its faults, and its score against the metrics of testing."""

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from conftest import run_tool
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from track1_data import make_track1

from allinone.cli.programs.submit import kinds_of
from allinone.errors import ConfigError, DataError
from allinone.evaluation import DetectionMetric, SegmentationMetric
from allinone.evaluation.track1.check import Annotations, faults, misfits, score
from allinone.evaluation.track1.polygons import decode_label_map, encode_label_map, to_polygons
from allinone.evaluation.track1.submission import Submission
from allinone.tasks import Classification, Detection, Segmentation

KINDS = dict(cars=Classification(), signs=Detection(), streets=Segmentation())


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_track1(tmp_path_factory.mktemp('track1'))


def drawn(mask):
    return decode_label_map({'1': to_polygons(mask)}, mask.shape) == 1


def test_a_hole_is_a_polygon_along_the_pixels_around_it():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    outlines = sorted(map(sorted, to_polygons(mask)))
    assert outlines == [
        [[0, 0], [0, 4], [4, 0], [4, 4]],
        [[1, 2], [2, 1], [2, 3], [3, 2]],
    ]
    assert np.array_equal(drawn(mask), mask)


def test_every_small_mask_comes_back_exactly():
    for number in range(2**12):
        mask = np.array([number >> bit & 1 for bit in range(12)], bool).reshape(3, 4)
        assert np.array_equal(drawn(mask), mask), mask


@pytest.mark.parametrize('share', [0.02, 0.3, 0.5, 0.7, 0.98])
def test_noise_comes_back_exactly(share):
    random = np.random.default_rng(0)
    for _ in range(20):
        mask = random.random((40, 50)) < share
        assert np.array_equal(drawn(mask), mask)


def test_specks_and_thin_lines_are_drawn_by_scorers_that_want_three_points():
    mask = np.zeros((4, 6), bool)
    mask[0, 0] = mask[2, 2:5] = True
    assert all(len(polygon) == 3 for polygon in to_polygons(mask))
    assert np.array_equal(drawn(mask), mask)


def test_a_label_map_comes_back_but_for_what_is_ignored():
    random = np.random.default_rng(1)
    labels = random.choice([0, 3, 7, 18, 255], (30, 40)).astype(np.uint8)
    classes = encode_label_map(labels)
    assert list(classes) == ['0', '3', '7', '18']
    found = decode_label_map(json.loads(json.dumps(classes)), labels.shape)
    assert np.array_equal(found[labels != 255], labels[labels != 255])


def predictions(root):
    """Data samples as models predict them, near the truth: ``{task: samples}``."""
    random = np.random.default_rng(2)
    annotations = Annotations(root)
    cars = []
    for index, (name, label) in enumerate(annotations.labels.items()):
        scores = torch.from_numpy(random.random(196, np.float32))
        scores[label] += 0.5 * (index % 2)
        sample = DataSample(metainfo=dict(img_path=f'/x/{name}')).set_gt_label(label)
        cars.append(sample.set_pred_score(scores))
    content = json.loads((root / 'dec/val.json').read_text())
    signs = []
    for image in content['images']:
        boxes = [box for box in content['annotations'] if box['image_id'] == image['id']]
        corners = np.array([box['bbox'] for box in boxes], np.float32)
        corners[:, 2:] += corners[:, :2]
        corners += random.normal(0, 1.5, corners.shape).astype(np.float32)
        found = InstanceData(
            bboxes=torch.from_numpy(corners),
            labels=torch.tensor([box['category_id'] - 1 for box in boxes]),
            scores=torch.from_numpy(random.random(len(boxes), np.float32)),
        )
        info = dict(img_id=image['id'], img_path=image['file_name'], ori_shape=(96, 96))
        signs.append(DetDataSample(metainfo=info, pred_instances=found))
    streets = []
    for stem, path in annotations.maps.items():
        labels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        noisy = np.where(
            random.random(labels.shape) < 0.7, labels, random.integers(0, 19, labels.shape)
        )
        noisy[noisy == 255] = 4
        streets.append(
            SegDataSample(
                metainfo=dict(img_path=f'/y/{stem}.jpg'),
                pred_sem_seg=PixelData(data=torch.from_numpy(noisy[None].astype(np.int64))),
                gt_sem_seg=PixelData(data=torch.from_numpy(labels[None].astype(np.int64))),
            )
        )
    return dict(cars=cars, signs=signs, streets=streets)


def evaluated(root, samples):
    """What the metrics of testing say of the samples."""
    cars = Accuracy(topk=(1, 5))
    signs = DetectionMetric(ann_file=str(root / 'dec/val.json'), metric='bbox')
    signs.dataset_meta = dict(classes=[f's{number}' for number in range(45)])
    streets = SegmentationMetric(iou_metrics=['mIoU'])
    streets.dataset_meta = dict(classes=list(map(str, range(19))))
    found = {}
    for section, metric, part in zip(('cls', 'dec', 'seg'), (cars, signs, streets), samples):
        metric.process({}, [sample.to_dict() for sample in samples[part]])
        found |= {f'{section}/{k}': v for k, v in metric.compute_metrics(metric.results).items()}
    return found


def submitted(samples):
    submission = Submission(KINDS)
    for task, found in samples.items():
        for sample in found:
            submission.add(task, sample, list(range(1, 46)))
    return submission


def test_the_score_is_exactly_that_of_testing(root, tmp_path):
    samples = predictions(root)
    expected = evaluated(root, samples)
    submitted(samples).write(tmp_path / 'new' / 'submission.json')
    content = json.loads((tmp_path / 'new' / 'submission.json').read_text())
    annotations = Annotations(root)
    assert not list(faults(content)) and not list(misfits(content, annotations))
    found = score(content, annotations)
    for name in ('cls/top1', 'dec/bbox_mAP', 'dec/bbox_mAP_50', 'seg/mIoU', 'seg/aAcc'):
        assert found[name] == expected[name], name
    assert 0 < found['cls/top1'] < 100
    assert 0 < found['dec/bbox_mAP_50'] <= 1 and 0 < found['seg/mIoU'] < 100
    members = found['cls/top1'] + 100 * found['dec/bbox_mAP_50'] + found['seg/mIoU']
    assert found['score'] == pytest.approx(members / 3)


def test_the_labels_themselves_score_full_marks(root):
    annotations = Annotations(root)
    content = dict(
        cls=annotations.labels,
        dec=[
            dict(box, score=1.0)
            for box in json.loads((root / 'dec/val.json').read_text())['annotations']
        ],
        seg={
            f'{stem}.jpg': encode_label_map(cv2.imread(path, cv2.IMREAD_UNCHANGED))
            for stem, path in annotations.maps.items()
        },
    )
    assert score(content, annotations)['score'] == pytest.approx(100)


GOOD = dict(
    cls={'1.jpg': 0},
    dec=[dict(image_id=1, category_id=2, bbox=[0, 0, 2.5, 1], score=0.5)],
    seg={'1.jpg': {'3': [[[0, 0], [4, 0], [4, 4]], [7, 8]]}},
)


def test_a_good_one_has_no_faults():
    assert list(faults(GOOD)) == []


@pytest.mark.parametrize(
    'path, value, sentence',
    [
        (('cls',), [], "'cls' is []; it must be an object"),
        (('dec',), None, "'dec' is None; it must be a list"),
        (('cls', '1.jpg'), '7', "cls['1.jpg'] is '7'; it must be a class number"),
        (('cls', '1.jpg'), True, "cls['1.jpg'] is True; it must be a class number"),
        (('dec', 0, 'bbox'), [0, 0, 1], "dec[0]['bbox'] is [0, 0, 1]; it must be [x, y, width"),
        (('dec', 0, 'bbox', 2), -1, "dec[0]['bbox'] is [0, 0, -1, 1]; it must be"),
        (('dec', 0, 'bbox', 0), float('nan'), "dec[0]['bbox'] is [nan, 0, 2.5, 1]; it must be"),
        (('dec', 0, 'score'), 1.5, "dec[0]['score'] is 1.5; it must be from 0 to 1"),
        (('dec', 0, 'image_id'), 'a', "dec[0]['image_id'] is 'a'; it must be a whole number"),
        (('dec', 0), {}, 'dec[0] is {}; it must have'),
        (('seg', '1.jpg'), [], "seg['1.jpg'] is []; it must be an object of class numbers"),
        (('seg', '1.jpg', 'road'), [], "seg['1.jpg'] has 'road'; it must be a class number"),
        (('seg', '1.jpg', '3'), {}, "seg['1.jpg']['3'] is {}; it must be a list of polygons"),
        (
            ('seg', '1.jpg', '3', 0, 1),
            [4],
            "seg['1.jpg']['3'][0] is [[0, 0], [4], [4, 4]]; it must be a list of points",
        ),
        (('det',), [], "'det' is no section"),
    ],
)
def test_each_fault_is_named_by_its_place(path, value, sentence):
    content = copy.deepcopy(GOOD)
    *way, last = path
    part = content
    for key in way:
        part = part[key]
    part[last] = value
    (found,) = faults(content)
    assert sentence in found


def test_missing_sections_are_faults():
    assert sorted(faults({})) == ["'cls' is missing", "'dec' is missing", "'seg' is missing"]


def test_what_does_not_fit_the_annotations_is_named(root):
    annotations = Annotations(root)
    content = json.loads(json.dumps(submitted(predictions(root)).content))
    del content['cls']['00003.jpg']
    content['cls']['9.jpg'] = 0
    del content['seg']['2.jpg']
    content['dec'][5]['image_id'] = 7
    content['dec'][6]['category_id'] = 99
    content['seg']['1.jpg'] = {'4': [[[0, 0], [96, 0], [5, 5]]]}
    assert list(misfits(content, annotations)) == [
        "'cls' lacks 1 of 6 images: 00003.jpg",
        "'cls' has, and the annotations do not, 1 of 6 images: 9.jpg",
        "'seg' lacks 1 of 6 images: 2",
        f"dec[5]['image_id'] is 7, which {root}/dec/val.json does not have",
        f"dec[6]['category_id'] is 99, which {root}/dec/val.json does not have",
        "seg['1.jpg']['4'][0] goes from [0, 0] to [96, 5], but the image is 96 x 54",
    ]


def test_the_tool_prints_faults_and_ends_with_1(root, tmp_path, capsys):
    path = tmp_path / 'submission.json'
    path.write_text(json.dumps(dict(GOOD, cls={'1.jpg': -1})))
    assert run_tool('submit', 'validate', path, '--ann', root) == 1
    assert "cls['1.jpg'] is -1" in capsys.readouterr().err
    path.write_text(json.dumps(GOOD))
    assert run_tool('submit', 'validate', path) == 0
    path.write_text('{')
    assert run_tool('submit', 'validate', path) == 2
    assert run_tool('submit', 'validate', path, '--ann', tmp_path) == 2
    assert 'cannot be read as JSON' in capsys.readouterr().err


def test_annotations_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DataError, match="cls/val.txt is missing; give a folder in Track 1's"):
        Annotations(tmp_path)


def test_tasks_that_fill_one_section_are_to_be_chosen():
    tasks = dict(
        cars=dict(type='mmpretrain.ImageClassifier'),
        signs=dict(type='mmdet.FCOS'),
        people=dict(type='mmdet.DINO'),
    )
    cfg = Config(dict(model=dict(tasks=tasks)))
    with pytest.raises(ConfigError, match=r"\['signs', 'people'\] would both fill.*'dec'"):
        kinds_of(cfg)
    found = kinds_of(cfg, ['cars', 'people'])
    assert [found[name].track1_section for name in found] == ['cls', 'dec']


def test_two_images_of_one_name_are_refused():
    submission = Submission(dict(cars=Classification()))
    for folder in 'ab':
        sample = DataSample(metainfo=dict(img_path=f'/{folder}/1.jpg'))
        sample.set_pred_score(torch.tensor([0.1, 0.9]))
        if folder == 'a':
            submission.add('cars', sample)
    assert submission.content == dict(cls={'1.jpg': 1})
    with pytest.raises(DataError, match='two images of the name 1.jpg'):
        submission.add('cars', sample)
