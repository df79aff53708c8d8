"""tools/pseudo_label.py: what it writes, continues and refuses."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import run_tool, tiny, write_config
from known_predictions import KnownPredictions, boxes, image_class, label_map
from mmengine.config import Config
from PIL import Image

from allinone.inference.modes import AsTested

HELD_OUT = 6  # Of the 16 training images


@pytest.fixture
def teacher(toy, trained, tmp_path):
    """A trained checkpoint, a config whose training data lacks the held-out parts, and these."""
    parts = SimpleNamespace(
        det=toy / 'det/held_out.json', cls=toy / 'cls/held_out.txt', seg=toy / 'seg/held_out.txt'
    )
    content = json.loads((toy / 'det/train.json').read_text())
    names = sorted(path.stem for path in (toy / 'seg/images/train').iterdir())
    # Two images of each class
    lines = sorted((toy / 'cls/train.txt').read_text().splitlines(), key=lambda x: x.split()[1])
    for name, where in (('train', slice(HELD_OUT, None)), ('held_out', slice(HELD_OUT))):
        images = content['images'][where]
        ids = {image['id'] for image in images}
        boxes = [box for box in content['annotations'] if box['image_id'] in ids]
        text = json.dumps(dict(content, images=images, annotations=boxes))
        (toy / f'det/{name}_part.json').write_text(text)
        (toy / f'cls/{name}_part.txt').write_text('\n'.join(lines[where]))
        (toy / f'seg/{name}_part.txt').write_text('\n'.join(names[where]))
    for task, suffix in (('det', 'json'), ('cls', 'txt'), ('seg', 'txt')):
        (toy / f'{task}/held_out_part.{suffix}').rename(getattr(parts, task))
    cfg = tiny(tmp_path / 'work')
    for task, suffix in (('det', 'json'), ('cls', 'txt'), ('seg', 'txt')):
        cfg.train_dataloader[task].dataset.ann_file = str(toy / f'{task}/train_part.{suffix}')
    return SimpleNamespace(
        toy=toy,
        cfg=cfg,
        checkpoint=trained[2] / 'iter_4.pth',
        held_out=parts,
        images=toy / 'street/images/train',
        out=tmp_path / 'out',
    )


@pytest.fixture
def label(teacher, tmp_path):
    """Run the tool: its exit status."""

    def run(*more, tasks=('det', 'seg', 'cls'), out=teacher.out, held_out=None, images=None):
        config = write_config(teacher.cfg, tmp_path / 'config.py')
        parts = held_out or [f'{task}={getattr(teacher.held_out, task)}' for task in tasks]
        return run_tool(
            'pseudo_label',
            *(config, teacher.checkpoint, '--images', images or teacher.images),
            *('--tasks', *tasks, '--held-out', *parts, '--out', out, '--device', 'cpu'),
            *('--batch-size', 2, '--min-predictions', 2, *more),
        )

    return run


@pytest.fixture
def answers(monkeypatch):
    found = KnownPredictions()
    monkeypatch.setattr(AsTested, 'predict', lambda mode, *given: found.predict(mode, *given))
    return found


def written(folder) -> dict[str, bytes]:
    """Content of all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob('*'))
        if path.is_file()
    }


def refusal(status, capsys):
    """The one sentence with which the tool refuses its input."""
    error = capsys.readouterr().err
    shown = ('note: ', 'held-out ', 'images ')
    lines = [line for line in error.splitlines() if not line.startswith(shown)]
    assert status == 2, error
    assert len(lines) == 1 and lines[0].startswith('error: '), error
    return lines[0].removeprefix('error: ')


# Of a held-out image: vehicles .9 and .7 are right, .6 is half an image away from one, .2 right
def det_answer(annotations, surest=0.9):
    vehicles = [box['bbox'] for box in annotations if box['category_id'] == 1][:1]
    return [
        *((*box, 0, surest) for box in vehicles),
        (0, 0, 3, 3, 0, 0.5),
        (200, 150, 9, 9, 1, 0.9),  # No pedestrian is so small, or there.
    ]


@pytest.fixture
def known(teacher, answers):
    """Predictions of the held-out images and of those to label, with hand-made scores."""
    toy = teacher.toy
    content = json.loads(teacher.held_out.det.read_text())
    for image in content['images']:
        mine = [box for box in content['annotations'] if box['image_id'] == image['id']]
        answers.add(toy / 'det/train' / image['file_name'], det=boxes(det_answer(mine)))
    for line in teacher.held_out.cls.read_text().splitlines():
        name, label = line.split()
        # Classes 1 and 2 are right, 0 is not.
        answers.add(toy / 'cls/train' / name, cls=image_class(int(label) or 3, 0.75, 8))
    for stem in teacher.held_out.seg.read_text().split():
        truth = np.asarray(Image.open(toy / f'seg/label/train/{stem}.png')).astype(int)
        labels = np.where(truth == 255, 0, truth)
        # The sky is right where it is certain; the lower half of the road is called sky.
        probability = np.where(labels == 0, 0.9055, 0.7055)
        wrong = (labels == 2) & (np.arange(len(labels)) > len(labels) // 2)[:, None]
        answers.add(
            toy / f'seg/images/train/{stem}.jpg',
            seg=label_map(np.where(wrong, 0, labels), np.where(wrong, 0.5055, probability), 7),
        )
    labels = np.zeros((192, 256), int)
    labels[:96] = 1
    probability = np.full((192, 256), 0.95)
    probability[:, :128] = 0.5055
    for number, path in enumerate(sorted(teacher.images.iterdir())):
        found = [] if number % 2 else [(10, 20, 30, 40, 0, 0.95), (100, 20, 30, 40, 0, 0.5)]
        answers.add(
            path,
            det=boxes([*found, (50, 50, 9, 9, 1, 0.9)]),
            seg=label_map(labels, probability, 7),
            cls=image_class(number % 3, 0.75, 8),
        )
    return answers


def test_labels_have_the_precision_that_was_measured(known, label, teacher, capsys):
    assert label() == 0
    out = teacher.out
    manifest = json.loads((out / 'manifest.json').read_text())
    vehicle = manifest['thresholds']['det']['vehicle']
    count = vehicle['label']['right']
    assert count >= 3  # Images with a vehicle
    assert vehicle['label'] == dict(
        score=pytest.approx(0.9), precision=1.0, right=count, predictions=count
    )
    # 6 boxes at .5 are wrong, one of each image.
    assert vehicle['held_out'] == count + HELD_OUT
    assert vehicle['ignore']['score'] == 0.5
    assert vehicle['ignore']['precision'] == count / (count + HELD_OUT)
    assert manifest['thresholds']['det']['pedestrian'] == dict(
        label=None, ignore=None, held_out=HELD_OUT
    )
    assert manifest['thresholds']['seg']['sky']['label']['score'] == 0.905
    assert manifest['thresholds']['cls']['day_quiet'] == dict(label=None, ignore=None, held_out=0)
    assert manifest['held_out']['det']['images'] == HELD_OUT
    names = sorted(path.name for path in teacher.images.iterdir())

    content = json.loads((out / 'det/annotations.json').read_text())
    assert [image['file_name'] for image in content['images']] == names
    assert {(image['width'], image['height']) for image in content['images']} == {(256, 192)}
    found = [(a['image_id'], a['bbox'], a['iscrowd']) for a in content['annotations']]
    assert found == [
        entry
        for number in range(1, len(names) + 1, 2)
        for entry in ((number, [10, 20, 30, 40], 0), (number, [100, 20, 30, 40], 1))
    ]
    assert {box['category_id'] for box in content['annotations']} == {1}

    assert (out / 'seg/images.txt').read_text().split() == [Path(name).stem for name in names]
    for name in names:
        with Image.open(out / f'seg/{Path(name).stem}.png') as written_map:
            pixels = np.asarray(written_map)
        expected = np.full((192, 256), 255)
        expected[:96, 128:], expected[96:, 128:] = 1, 0
        assert written_map.mode == 'L' and (pixels == expected).all()

    # Classes 1 and 2 are labels; of class 0 no held-out image was predicted.
    certain = [f'{name} {number % 3}' for number, name in enumerate(names) if number % 3]
    assert (out / 'cls/labels.txt').read_text().splitlines() == certain
    rows = list(csv.DictReader((out / 'cls/scores.csv').open()))
    assert [row['name'] for row in rows] == names
    assert rows[0]['score'] == '0.75' and rows[0]['labelled'] == '0'

    printed = capsys.readouterr().out
    row = next(line.split() for line in printed.splitlines() if 'vehicle ' in line)
    half = (len(names) + 1) // 2
    assert row == [
        *('det', 'vehicle', str(count + HELD_OUT), '0.900', '/', '0.500'),
        *('1.000', 'of', str(count), str(half), str(half)),
    ]
    assert 'det: no score of pedestrian, sign has the precision 0.7' in printed
    assert "annotated_classes=('vehicle',)" in printed


def test_the_lines_to_paste_train_a_student(known, label, teacher, tmp_path):
    from allinone.data.checks import check_dataset
    from allinone.registry import DATASETS

    assert label() == 0
    text = (teacher.out / 'train_source.py').read_text()
    source = Config.fromstring(text, '.py').train_dataloader.pseudo
    assert source.tasks == ('det', 'seg', 'cls')
    assert source.label_weights == dict(det=0.5, seg=0.5, cls=0.5)
    dataset = DATASETS.build(source.dataset)
    for task, count in dict(det=3, seg=7, cls=8).items():
        check_dataset(dataset.parts[task], count)
    assert dataset.labelled.sum(0).tolist() == [16, 16, 10]
    sample = dataset[0]['data_samples']
    assert set(sample.labels) == {'det', 'seg'}
    assert len(sample.labels['det'].gt_instances) == 1
    assert len(sample.labels['det'].ignored_instances) == 1


def test_a_real_model_labels_in_one_call_as_in_two(label, teacher, tmp_path, monkeypatch):
    from allinone.cli.programs import pseudo_label

    monkeypatch.setattr(pseudo_label, 'BATCHES', 2)
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    args = ('--precision', 0.01, '--ignore-precision', 0.01)
    assert label(*args, tasks=('seg', 'cls'), out=whole) == 0
    assert any(name.startswith('seg/') and name.endswith('.png') for name in written(whole))
    seen, predict = [], AsTested.predict

    def interrupted(mode, images, inputs, tasks):
        seen.append(len(images))
        # 6 + 6 held-out images, then 4 a chunk: in the third one
        if sum(seen) > 12 + 2 * 4 + 2:
            raise KeyboardInterrupt
        return predict(mode, images, inputs, tasks)

    monkeypatch.setattr(AsTested, 'predict', interrupted)
    assert label(*args, tasks=('seg', 'cls'), out=cut) == 130
    assert len((cut / 'images.jsonl').read_text().splitlines()) == 8
    assert not (cut / 'cls').exists()
    # A line of a chunk that is not whole, and a half line, as a killed process leaves them
    with (cut / 'images.jsonl').open('ab') as file:
        line = json.loads((whole / 'images.jsonl').read_text().splitlines()[8])
        file.write(json.dumps(line).encode() + b'\n{"image": "00')
    seen.clear()
    monkeypatch.setattr(
        AsTested,
        'predict',
        lambda self, images, *given: (seen.append(len(images)), predict(self, images, *given))[1],
    )
    assert label(*args, '--resume', tasks=('seg', 'cls'), out=cut) == 0
    assert seen == [2] * 4  # The last 8 images, and no held-out ones
    assert written(cut) == {
        name: content.replace(str(whole).encode(), str(cut).encode())
        for name, content in written(whole).items()
    }
    # Once more, with nothing left to do
    before = written(cut)
    assert label(*args, '--resume', tasks=('seg', 'cls'), out=cut) == 0
    assert len(seen) == 4 and written(cut) == before


def test_a_resumed_run_has_the_same_settings(known, label, teacher, capsys):
    args = dict(tasks=('cls',))
    assert label(**args) == 0
    before = written(teacher.out)
    capsys.readouterr()
    assert 'has files already (cls, images.jsonl, manifest.json and 1 more)' in refusal(
        label(**args), capsys
    )
    assert refusal(label('--resume', '--precision', 0.8, **args), capsys) == (
        f'--out {teacher.out} was made with options.precision.cls 0.7, which is 0.8 now; give '
        'another folder, or the same teachers, images and options'
    )
    assert 'with options.min_predictions 2, which is 3 now' in refusal(
        label('--resume', '--min-predictions', 3, **args), capsys
    )
    (teacher.images / '00001.jpg').rename(teacher.images / '00099.jpg')
    message = refusal(label('--resume', **args), capsys)
    assert 'was made with images.names_and_sizes_sha256' in message
    (teacher.images / '00099.jpg').rename(teacher.images / '00001.jpg')
    lines = teacher.held_out.cls.read_text().splitlines()
    teacher.held_out.cls.write_text('\n'.join(lines[1:]))
    assert 'was made with held_out.cls.images 6, which is 5' in refusal(
        label('--resume', **args), capsys
    )
    teacher.held_out.cls.write_text('\n'.join(lines))
    changed = (teacher.out / 'manifest.json').read_text().replace('0.75', '0.55')
    (teacher.out / 'manifest.json').write_text(changed)
    assert 'thresholds in its manifest.json were changed' in refusal(
        label('--resume', **args), capsys
    )
    (teacher.out / 'manifest.json').write_bytes(before['manifest.json'])
    assert written(teacher.out) == before


def test_another_teacher_does_not_resume(known, label, teacher, trained, capsys):
    assert label(tasks=('cls',)) == 0
    teacher.checkpoint = trained[2] / 'iter_2.pth'
    capsys.readouterr()
    message = refusal(label('--resume', tasks=('cls',)), capsys)
    assert "was made with teachers.0.file 'iter_4.pth', which is 'iter_2.pth' now" in message


def test_images_that_cannot_be_read_are_left_out(known, label, teacher, capsys):
    (teacher.images / '00003.jpg').write_text('text')
    assert label(tasks=('cls',)) == 1
    assert '00003.jpg' in capsys.readouterr().err
    rows = list(csv.DictReader((teacher.out / 'cls/scores.csv').open()))
    assert len(rows) == 15 and '00003.jpg' not in {row['name'] for row in rows}


def test_images_of_one_name_in_two_folders(known, label, teacher, tmp_path):
    for place in ('a/00001.jpg', 'b/c/00001.jpg', 'b/00001.jpg'):
        path = tmp_path / 'mixed' / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((teacher.images / '00001.jpg').read_bytes())
    assert label(tasks=('seg',), images=tmp_path / 'mixed') == 0
    names = ['a/00001', 'b/00001', 'b/c/00001']
    assert (teacher.out / 'seg/images.txt').read_text().split() == names
    assert all((teacher.out / f'seg/{name}.png').is_file() for name in names)


def test_images_of_two_suffixes_and_of_a_list(known, label, teacher, tmp_path):
    from allinone.registry import DATASETS

    paths = [tmp_path / 'a.jpg', tmp_path / 'a.jpeg']
    for path in paths:
        path.write_bytes((teacher.images / '00001.jpg').read_bytes())
    (tmp_path / 'list.txt').write_text(''.join(f'{path}\n' for path in paths))
    assert label(tasks=('seg',), images=tmp_path / 'list.txt') == 0
    assert (teacher.out / 'seg/images.txt').read_text().split() == ['a.jpg', 'a.jpeg']
    text = (teacher.out / 'train_source.py').read_text()
    dataset = DATASETS.build(Config.fromstring(text, '.py').train_dataloader.pseudo.dataset)
    assert len(dataset) == 2 and len(dataset[1]['data_samples'].labels) == 1


def test_boxes_of_some_classes_are_completed(known, label, teacher, answers, capsys):
    toy = teacher.toy
    train = json.loads((toy / 'det/train_part.json').read_text())
    train['images'] = train['images'][:2]
    ids = {image['id'] for image in train['images']}
    train['annotations'] = [box for box in train['annotations'] if box['image_id'] in ids]
    (toy / 'det/signs.json').write_text(json.dumps(train))
    teacher.cfg.train_dataloader.more = dict(
        tasks=('det',),
        dataset=dict(
            type='mmdet.CocoDataset',
            ann_file=str(toy / 'det/signs.json'),
            data_prefix=dict(img=str(toy / 'det/train')),
            metainfo=dict(
                classes=('vehicle', 'pedestrian', 'sign'),
                annotated_classes=('sign', 'pedestrian'),
            ),
        ),
    )
    for image in train['images']:
        found = boxes([(1, 1, 20, 20, 0, 0.95), (100, 100, 20, 20, 2, 0.95)])
        answers.add(toy / 'det/train' / image['file_name'], det=found)
    assert label(tasks=('det',), images='more') == 0
    found = json.loads((teacher.out / 'det/annotations.json').read_text())
    kept = [
        (box['category_id'], box['bbox']) for box in train['annotations'] if box['category_id'] > 1
    ]
    assert kept  # Else the test shows nothing.
    assert sorted((b['category_id'], b['bbox']) for b in found['annotations']) == sorted(
        [*kept, (1, [1, 1, 20, 20]), (1, [1, 1, 20, 20])]
    )
    assert 'annotated_classes' not in capsys.readouterr().out  # Each class is annotated.


@pytest.mark.parametrize(
    'change, expected',
    [
        (
            dict(held_out=['det={det}'], tasks=('det', 'cls')),
            '--held-out has no cls=FILE, so nothing says from which score on labels of cls are '
            'right; hold labelled images out of the training data with tools/split.py TRAIN_LIST '
            '--share .15 --out-dir DIR, train the teacher on NAME_train, and give NAME_held_out',
        ),
        (dict(held_out=['cls={cls}', 'det={det}'], tasks=('cls',)), "has 'det={det}', but ['cls']"),
        (dict(held_out=['cls'], tasks=('cls',)), "--held-out has 'cls'; give TASK=FILE"),
        (dict(held_out=['cls=gone.txt'], tasks=('cls',)), 'cls=gone.txt: there is no such file'),
        (
            dict(held_out=['cls={toy}/cls/train_part.txt'], tasks=('cls',)),
            '10 of its 10 images are in train_dataloader.cls.dataset of {checkpoint}, such as '
            '00004.png, 00012.png, 00005.png and 7 more: a teacher is surer, and more often right, '
            'on images that it has learnt',
        ),
        (
            dict(held_out=['det={toy}/det/train.json'], tasks=('det',)),
            '10 of its 16 images are in train_dataloader.det.dataset of {checkpoint}',
        ),
        (
            dict(held_out=['det={toy}/det/val.json'], tasks=('det',)),
            'is the ann_file of val_dataloader.det.dataset: models are compared by these images',
        ),
        (dict(tasks=('lane',), held_out=['lane=x']), "--tasks has 'lane', which no teacher has"),
        (dict(more=['--precision', 'x']), "--precision has 'x'; give a share above 0"),
        (dict(more=['--precision', 'seg=.5'], tasks=('cls',)), "--precision has 'seg=.5', but"),
        (
            dict(more=['--ignore-precision', '.8']),
            '--ignore-precision is 0.8, above the precision 0.7 of det',
        ),
        (dict(images='nowhere'), "--images is 'nowhere', which is no folder, no text file"),
        (dict(images='{toy}/street/label_train.txt'), 'paths are no files: 00001'),
        (dict(images='{out}', tasks=('cls',)), 'has no image in it or in its folders'),
        (dict(out='{images}/labels', tasks=('cls',)), 'lies in the folder of --images'),
    ],
)
def test_refused_input(label, teacher, change, expected, capsys):
    names = dict(vars(teacher), **vars(teacher.held_out))

    def filled(value):
        return [part.format(**names) for part in value] if isinstance(value, list) else value

    change = {
        key: value.format(**names) if isinstance(value, str) else filled(value)
        for key, value in change.items()
    }
    if change.get('images') == str(teacher.out):
        teacher.out.mkdir()
        change['out'] = teacher.out.parent / 'other'
    before = written(teacher.out.parent)
    message = refusal(label(*change.pop('more', ()), **change), capsys)
    assert expected.format(**names) in message
    config = {'config.py': None}
    assert (written(teacher.out.parent) | config).keys() == (before | config).keys()


def test_a_held_out_file_with_images_of_the_validation(label, teacher, capsys):
    text = (teacher.toy / 'cls/val.txt').read_text()
    (teacher.toy / 'cls/copy.txt').write_text(text)
    teacher.cfg.train_dataloader.cls.dataset.data_prefix = str(teacher.toy / 'cls/val')
    message = refusal(label(tasks=('cls',), held_out=[f'cls={teacher.toy}/cls/copy.txt']), capsys)
    assert '8 of its 8 images are in val_dataloader.cls.dataset, such as 00001.png' in message


def test_held_out_labels_of_other_classes(label, teacher, capsys):
    content = json.loads(teacher.held_out.det.read_text())
    content['categories'][0]['name'] = 'lorry'
    teacher.held_out.det.write_text(json.dumps(content))
    message = refusal(label(tasks=('det',)), capsys)
    assert message.startswith(
        f'--held-out det={teacher.held_out.det}: metainfo.classes has vehicle'
    )


def test_classes_of_the_teacher_in_another_order(label, teacher, capsys):
    classes = teacher.cfg.train_dataloader.cls.dataset.metainfo.classes
    teacher.cfg.train_dataloader.cls.dataset.metainfo.classes = classes[::-1]
    message = refusal(label(tasks=('cls',)), capsys)
    assert 'numbers its classes by metainfo.classes as' in message and 'iter_4.pth' in message


def test_no_class_is_good_enough(known, label, teacher, capsys):
    for path in (teacher.toy / 'cls/train').iterdir():
        known.add(path, cls=image_class(7, 0.75, 8))
    message = refusal(label(tasks=('cls',)), capsys)
    assert message == (
        f'no class of cls reaches the precision 0.7 on {teacher.held_out.cls} with 2 predictions: '
        'the best is 0.000, of night_busy; train a better teacher, or give a lower --precision '
        'cls=...'
    )
    assert not teacher.out.exists()


def test_held_out_images_without_labels(known, label, teacher, capsys):
    content = json.loads(teacher.held_out.det.read_text())
    teacher.held_out.det.write_text(json.dumps(dict(content, annotations=[])))
    message = refusal(label(tasks=('det',)), capsys)
    assert message == (
        f'--held-out det={teacher.held_out.det}: it has no box of any class; give labelled images'
    )


def test_two_teachers_of_one_task(known, label, teacher, trained, capsys):
    again = trained[2] / 'iter_2.pth'
    config = write_config(teacher.cfg, teacher.out.parent / 'again.py')

    held_out = [f'det={teacher.held_out.det}', f'cls={teacher.held_out.cls}']

    def both(*tasks, out=teacher.out):
        return run_tool(
            'pseudo_label',
            *(config, teacher.checkpoint, config, again, '--images', teacher.images),
            *('--tasks', *tasks, '--held-out', *held_out[-len(tasks) :]),
            *('--out', out, '--device', 'cpu', '--min-predictions', 2),
        )

    assert refusal(both('cls'), capsys) == (
        f"{teacher.checkpoint} and {again} both have the task 'cls'; say which one labels it, as "
        f'in --tasks cls={teacher.checkpoint}'
    )
    assert both(f'cls={again}') == 0
    manifest = json.loads((teacher.out / 'manifest.json').read_text())
    assert [(t['file'], t['tasks']) for t in manifest['teachers']] == [('iter_2.pth', ['cls'])]
    # Each labels one task of the same images.
    two, one = teacher.out.parent / 'two', teacher.out.parent / 'one'
    assert both(f'det={teacher.checkpoint}', f'cls={again}', out=two) == 0
    assert label(tasks=('det', 'cls'), out=one) == 0
    for name in ('images.jsonl', 'det/annotations.json', 'cls/labels.txt'):
        assert (two / name).read_bytes() == (one / name).read_bytes()


def test_a_config_without_training_data(known, label, teacher, tmp_path, capsys):
    format_config = write_config(teacher.cfg, tmp_path / 'format.py')
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        teacher.cfg.pop(key)
    message = refusal(label(tasks=('cls',)), capsys)
    assert 'has no train_dataloader.cls, by whose data set the held-out labels are read' in message
    assert label('--config', format_config, tasks=('cls',)) == 0
    notes = capsys.readouterr().err
    assert 'has no train_dataloader.cls, so it is not checked that the images of' in notes


def test_merged_views_of_label_maps_have_no_scores(label, teacher, capsys):
    dataset = teacher.cfg.test_dataloader.seg.dataset
    flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(
            type='TestTimeAug',
            transforms=[flips, [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]],
        ),
    ]
    message = refusal(label(tasks=('seg',)), capsys)
    assert "has TestTimeAug, but merged views of task 'seg' have no scores" in message


def test_the_checkpoint_alone_is_enough(trained, teacher, tmp_path, capsys):
    """Its own config says that it has seen all training images."""
    status = run_tool(
        'pseudo_label',
        *(trained[2] / 'iter_4.pth', '--images', teacher.images, '--tasks', 'cls'),
        *('--held-out', f'cls={trained[1].train_dataloader.cls.dataset.ann_file}'),
        *('--out', teacher.out, '--device', 'cpu'),
    )
    message = refusal(status, capsys)
    assert '16 of its 16 images are in train_dataloader.cls.dataset' in message


def test_a_kind_without_pseudo_labels(label, teacher, monkeypatch, capsys):
    monkeypatch.setattr('allinone.tasks.classification.Classification.pseudo_labels', None)
    assert refusal(label(tasks=('cls',)), capsys) == (
        "--tasks has 'cls', but the kind 'classification' has no pseudo labels (pseudo_labels of "
        'its TaskKind); leave the task out'
    )


def test_a_teacher_of_shared_images(known, label, teacher):
    """The format of held-out labels is that of the task's labels in the source."""
    loaders = teacher.cfg.train_dataloader
    labels = {task: loaders.pop(task).dataset for task in ('det', 'seg')}
    for dataset in labels.values():
        dataset.pop('pipeline')
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadSharedAnnotations')]
    loaders.street = dict(
        tasks=('det', 'seg'),
        batch_size=2,
        dataset=dict(
            type='SharedDataset', labels=labels, pipeline=[*steps, dict(type='PackSharedInputs')]
        ),
    )
    assert label(tasks=('det', 'seg')) == 0
    manifest = json.loads((teacher.out / 'manifest.json').read_text())
    assert manifest['held_out']['seg']['images'] == HELD_OUT
    assert manifest['thresholds']['seg']['sky']['label']['score'] == 0.905


def test_a_half_written_manifest_is_no_run(known, label, teacher):
    teacher.out.mkdir()
    (teacher.out / 'manifest.json.tmp').write_text('{')
    assert label('--resume', tasks=('cls',)) == 0
    assert not (teacher.out / 'manifest.json.tmp').exists()
