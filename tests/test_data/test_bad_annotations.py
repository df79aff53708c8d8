"""Annotations and folders that are missing, damaged or of another form, each named."""

import json
import re
import shutil

import numpy as np
import pytest
from bad_input import data_error, edit, only
from PIL import Image

from allinone.registry import RUNNERS


@pytest.mark.parametrize(
    'task, missing',
    [('cls', 'cls/train.txt'), ('det', 'det/train.json'), ('seg', 'seg/images/train')],
)
def test_a_missing_data_root_is_named(cfg, toy, task, missing):
    shutil.rmtree(toy)
    assert re.search(
        rf'^train_dataloader.{task}.dataset: {toy / missing}\S* cannot be read: No such file or '
        rf'directory; there is no data set {toy}: make it with: python tools/make_toy_data.py',
        data_error(cfg, task),
    )


def test_the_program_refuses_a_missing_data_root(toy, refused):
    shutil.rmtree(toy)
    sentence = refused()
    assert str(toy / 'cls/train.txt') in sentence
    assert 'ALLINONE_DATA' in sentence and 'tools/make_toy_data.py' in sentence


@pytest.mark.parametrize('task, missing', [('cls', 'train.txt'), ('det', 'train.json')])
def test_a_missing_annotation_file_is_named(cfg, toy, task, missing):
    (toy / task / missing).unlink()
    assert f'{toy / task / missing} cannot be read: No such file' in data_error(cfg, task)


def test_a_damaged_annotation_file_is_named(cfg, toy):
    path = toy / 'det/train.json'
    path.write_text(path.read_text()[:500])
    assert f"the annotation file is damaged (ann_file='{path}'" in data_error(cfg, 'det')
    (toy / 'cls/train.txt').write_bytes(b'\xff\xfe\x00 1')
    assert f"ann_file='{toy}/cls/train.txt'" in data_error(cfg, 'cls')


def drop(key, of):
    return lambda content: content[of][0].pop(key)


@pytest.mark.parametrize(
    'change, says',
    [
        (lambda content: content.pop('categories'), "KeyError: 'categories'"),
        (drop('bbox', 'annotations'), "KeyError: 'bbox'"),
        (drop('file_name', 'images'), "KeyError: 'file_name'"),
        (lambda content: content['annotations'][0].update(bbox=['1', 2, 3, 4]), 'TypeError: '),
    ],
)
def test_a_damaged_coco_file_is_named(cfg, toy, change, says):
    edit(toy / 'det/train.json', change)
    text = data_error(cfg, 'det')
    assert f"the data set cannot be read with ann_file='{toy}/det/train.json'" in text
    assert says in text and text.endswith('; fix the annotations, or these keys')


def test_a_box_that_is_no_number_is_named(cfg, toy):
    path = toy / 'det/train.json'
    edit(
        path,
        lambda content: content['annotations'][0].update(id=7777, bbox=[float('nan'), 1, 9, 9]),
    )
    assert f'{path}: the box with id 7777 has bbox [nan, 1, 9, 9]; give numbers' in data_error(
        cfg, 'det'
    )


def test_two_coco_images_with_one_id_are_named(cfg, toy):
    path = toy / 'det/train.json'
    edit(path, lambda content: content['images'][1].update(id=content['images'][0]['id']))
    assert f'{path}: 2 images have the id 1; give each its own' in data_error(cfg, 'det')


@pytest.mark.parametrize('task, folder', [('cls', 'cls/train'), ('seg', 'seg/label/train')])
def test_a_missing_folder_is_named(cfg, toy, task, folder):
    shutil.rmtree(toy / folder)
    assert f'the folder {toy}/{folder} does not exist; check data_root' in data_error(cfg, task)


def test_the_program_refuses_a_line_without_a_label(toy, refused):
    with open(toy / 'cls/train.txt', 'a') as file:
        file.write('00017.png\n')
    assert f"{toy}/cls/train.txt, line 17 is '00017.png'" in refused()


def test_a_class_number_outside_the_head(cfg, toy):
    path = toy / 'cls/train.txt'
    path.write_text(path.read_text().replace('00003.png 2', '00003.png 8'))
    text = data_error(cfg, 'cls')
    assert f'{toy}/cls/train/00003.png has label 8' in text and 'num_classes=8' in text


def test_the_program_checks_the_validation_set_before_training(toy, cfg, refused):
    """A label pixel outside the head."""
    only(cfg, 'seg', validate=True)
    path = toy / 'seg/label/val/00002.png'
    pixels = np.asarray(Image.open(path)).copy()
    pixels[5, 7] = 7
    Image.fromarray(pixels).save(path)
    text = refused()
    assert f'val_dataloader.seg.dataset: {path} has label 7' in text and 'num_classes=7' in text


def test_a_category_that_the_file_does_not_have(cfg, toy):
    path = toy / 'det/train.json'
    edit(path, lambda content: content['annotations'][0].update(category_id=11))
    assert f'{path}: 1 boxes have category_id 11' in data_error(cfg, 'det')


def test_categories_that_are_not_the_classes(cfg, toy):
    path = toy / 'det/train.json'
    edit(path, lambda content: content['categories'][1].update(name='person'))
    text = data_error(cfg, 'det')
    assert f'metainfo.classes has pedestrian, which {path} does not have' in text
    assert "['vehicle', 'person', 'sign']" in text


def test_classes_that_are_not_the_heads(cfg):
    cfg.train_dataloader.det.dataset.metainfo.classes = ('vehicle', 'pedestrian')
    text = data_error(cfg, 'det')
    assert 'metainfo.classes has 2 names' in text and 'num_classes=3' in text


def test_a_coco_file_with_a_image_missing(cfg, toy):
    (toy / 'det/train/00004.jpg').unlink()
    assert f'1 of 16 files are missing in {toy}/det/train: 00004.jpg' in data_error(cfg, 'det')


def test_a_label_map_of_another_size(cfg, toy):
    path = toy / 'seg/label/train/00003.png'
    Image.open(path).resize((128, 96), Image.Resampling.NEAREST).save(path)
    text = data_error(cfg, 'seg')
    assert f'{path} is 128 x 96' in text
    assert f'{toy}/seg/images/train/00003.jpg is 256 x 192' in text


def test_a_image_without_a_label_map(cfg, toy):
    (toy / 'seg/label/train/00003.png').unlink()
    assert f'1 of 16 files are missing in {toy}/seg/label/train: 00003.png' in data_error(
        cfg, 'seg'
    )


def test_a_label_map_without_a_image(cfg, toy):
    (toy / 'seg/images/train/00003.jpg').unlink()
    text = data_error(cfg, 'seg')
    assert f'1 label maps in {toy}/seg/label/train have no .jpg image' in text
    assert '00003.png' in text


def test_an_empty_data_set(cfg, toy):
    (toy / 'cls/train.txt').write_text('\n')
    empty = 'the data set is empty; check its files and filter_cfg'
    assert f"{empty} (ann_file='{toy}/cls/train.txt'" in data_error(cfg, 'cls')
    for folder in ('images', 'label'):
        shutil.rmtree(toy / 'seg' / folder / 'train')
        (toy / 'seg' / folder / 'train').mkdir()
    text = data_error(cfg, 'seg')
    assert empty in text and f'{toy}/seg/images/train' in text
    cfg.train_dataloader.det.dataset.filter_cfg = dict(min_size=1000)
    assert empty in data_error(cfg, 'det')
    edit(toy / 'det/val.json', lambda content: content.update(images=[], annotations=[]))
    assert f"'{toy}/det/val.json'" in data_error(cfg, 'det', 'val')


def test_images_without_any_box_are_trained_on(cfg, toy):
    only(cfg, 'det')
    edit(toy / 'det/train.json', lambda content: content.update(annotations=[]))
    cfg.train_cfg.max_iters = 2
    cfg.default_hooks.checkpoint.interval = 2
    runner = RUNNERS.build(cfg)
    runner.train()
    losses = runner.message_hub.get_scalar('train/det/loss').data[0]
    assert len(losses) == 2 and np.isfinite(losses).all() and (losses > 0).all()
    assert all(parameter.isfinite().all() for parameter in runner.model.parameters())


def test_a_class_absent_from_validation_is_said_and_left_out_of_the_mean(
    cfg, toy, launch, tmp_path
):
    val = toy / 'cls/val.txt'
    val.write_text(
        ''.join(line for line in val.read_text().splitlines(True) if line.split()[1] != '4')
    )
    edit(
        toy / 'det/val.json',
        lambda content: content.update(
            annotations=[box for box in content['annotations'] if box['category_id'] != 3]
        ),
    )
    for path in (toy / 'seg/label/val').iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(np.where(pixels == 4, 255, pixels).astype(np.uint8)).save(path)
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    status, out, error = launch()
    assert status == 0, error
    assert f'{val} has no sample of class dusk_quiet' in out
    assert f'{toy}/det/val.json has no sample of class sign' in out
    assert 'No box of class sign in the annotations evaluated' in out
    assert 'No pixel of class tree in the annotations evaluated' in out
    (scalars,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    metrics = json.loads(scalars.read_text().splitlines()[-1])
    for name in ('cls/top1', 'det/bbox_mAP', 'det/bbox_mAP_50', 'seg/mIoU', 'seg/mAcc', 'score'):
        assert np.isfinite(metrics[name]), name
