"""Each converter of own data on a tiny tree in its true format, and on all that is none."""

import json
import shutil
import sys

import numpy as np
import pytest
from conftest import run_tool
from own_trees import BOXES, NAMES, TREES, VAL, coco_boxes, converter, two_of_a_stem
from PIL import Image
from test_sets import digests
from trees import photo

from allinone.cli.convert import main, parse_args
from allinone.conversion import convert
from allinone.conversion.journal import Journal

convert_module = sys.modules[convert.__module__]


def run(key, source, out, *argv):
    return main(parse_args([converter(key), str(source), str(out), '--quiet', *argv]))


class Made:
    """A tree and its conversion; both are shared, so copied before they are changed."""

    def __init__(self, key, root):
        self.key, self.tree = key, TREES[key]
        self.source, self.out = root / 'source', root / 'my own'
        self.source.mkdir()
        self.tree.make(self.source)
        self.before = digests(self.source)
        assert run(key, self.source, self.out, *self.tree.argv) == 0
        self.report = json.loads((self.out / 'conversion.json').read_text())

    def copy(self, root):
        shutil.copytree(self.source, root / 'source')
        return root / 'source', root / 'out'


@pytest.fixture(scope='module', params=TREES)
def made(request, tmp_path_factory):
    return Made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def refusal(made, capsys):
    """Converts a source that is refused; the one sentence."""

    def sentence(source, out, *argv):
        assert run(made.key, source, out, *made.tree.argv, *argv) == 1
        said = capsys.readouterr()
        assert said.out == '' and said.err.count('\n') == 1
        assert said.err.startswith(f'{converter(made.key)}: ')
        return said.err

    return sentence


def test_all_is_converted_and_the_source_is_as_it_was(made):
    assert digests(made.source) == made.before
    counts = {name: split['images'] for name, split in made.report['splits'].items()}
    assert counts == dict(train=made.tree.train, val=1)
    linked = {path.stat().st_ino for path in made.out.rglob('*')}
    assert (made.source / made.tree.image).stat().st_ino in linked
    assert made.report['typical_size'] == [96, 64]


def test_boxes_are_those_of_the_source(made):
    if made.tree.kind != 'det':
        pytest.skip('it has no boxes')
    assert [*made.report['splits']['train']['classes']] == (
        sorted(NAMES) if made.key in ('voc', 'labelme') else [*NAMES]
    )
    order = sorted(NAMES) if made.key in ('voc', 'labelme') else NAMES
    for split, expected in (('train', BOXES), ('val', dict([VAL]))):
        found = coco_boxes(made.out / f'{split}.json')
        assert {*found} == {*expected}
        for name, boxes in expected.items():
            assert [order[box[0]] for box in found[name]] == [NAMES[box[0]] for box in boxes]
            for box, wanted in zip(found[name], boxes):
                assert np.abs(np.subtract(box[1:], wanted[1:])).max() < 1e-3
    content = json.loads((made.out / 'train.json').read_text())
    assert len(content['annotations']) == 4
    ignored = [item for item in content['annotations'] if item.get('ignore')]
    assert len(ignored) == (made.key == 'voc')
    segmented = [item for item in content['annotations'] if 'segmentation' in item]
    assert len(segmented) == (4 if made.key == 'labelme' else 0)
    assert content['annotations'][0]['area'] == pytest.approx(900, abs=0.1)


def test_what_is_left_out_is_counted(made):
    expected = dict(
        voc={'without a label file': 1},
        cvat={'shape without an area': 1, 'attribute': 6},
        coco={'category without boxes': 1},
        folders={'not in a class folder': 1},
    )
    counts = {kind: problem['count'] for kind, problem in made.report['problems'].items()}
    assert counts == expected.get(made.key, {})


def test_a_second_run_does_nothing(made):
    def states():
        paths = [made.out, *made.out.rglob('*')]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}

    before = states()
    assert run(made.key, made.source, made.out, *made.tree.argv) == 0
    assert states() == before


def test_splits_of_the_source_are_kept(made, refusal, tmp_path):
    message = refusal(made.source, tmp_path / 'out', '--split', '.8')
    assert 'has train and val already, which are kept; leave out --split' in message


def test_an_interrupted_conversion_continues(made, tmp_path, monkeypatch, capsys):
    source, out = made.copy(tmp_path)
    monkeypatch.setattr(convert_module, 'BATCH', 1)
    flush = Journal.flush

    def interrupted(journal):
        flush(journal)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, 'flush', interrupted)
        assert run(made.key, source, out, *made.tree.argv) == 130
    assert 'interrupted; the same command continues' in capsys.readouterr().err
    assert not (out / 'conversion.json').exists() and not list(out.rglob('*.tmp'))
    assert run(made.key, source, out, *made.tree.argv) == 0
    left, right = digests(out), digests(made.out)
    assert {k: v for k, v in left.items() if k != 'data_set.py'} == {
        k: v for k, v in right.items() if k != 'data_set.py'
    }


def test_a_changed_source_is_converted_again(made, tmp_path):
    source, out = made.copy(tmp_path)
    assert run(made.key, source, out, *made.tree.argv) == 0
    path = source / made.tree.image
    path.unlink()  # not into the hard link
    photo(path, 1234)
    assert run(made.key, source, out, *made.tree.argv) == 0
    assert any(copy.read_bytes() == path.read_bytes() for copy in out.rglob(f'*{path.suffix}'))


def test_a_truncated_source_is_refused(made, refusal, tmp_path, capsys):
    source, out = made.copy(tmp_path)
    image = source / made.tree.image
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    message = refusal(source, out)
    assert f'damaged or cut short ({made.tree.image}: ' in message
    assert 'repair what is named, or leave such files out with --partial' in message
    alone = made.tree.train == 1
    assert run(made.key, source, tmp_path / 'part', *made.tree.argv, '--partial') == alone
    assert ('has no image of train left' in capsys.readouterr().err) == alone
    image.write_bytes(whole)
    if made.tree.annotations:
        file = source / made.tree.annotations
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
        message = refusal(source, tmp_path / 'other')
        assert file.name in message
        assert 'damaged or cut short' in message or 'repair what is named' in message


def test_a_wrong_root_is_refused(made, refusal, tmp_path):
    (tmp_path / 'holiday').mkdir()
    message = refusal(tmp_path / 'holiday', tmp_path / 'out')
    assert f'{tmp_path}/holiday has no ' in message and '; give ' in message
    assert 'is not a folder; give the one with' in refusal(tmp_path / 'no', tmp_path / 'out')
    inside = refusal(made.source, made.source / 'out')
    assert 'where nothing is changed; choose another folder' in inside
    assert not (tmp_path / 'out').exists()


def test_a_converted_root_is_refused(made, refusal, tmp_path):
    assert 'is converted already (conversion.json is in it)' in refusal(made.out, tmp_path / 'out')


def test_an_unknown_class_is_refused(made, refusal, tmp_path):
    source, out = made.copy(tmp_path)
    made.tree.unknown(source)
    argv = ('--classes', str(source / 'labels.txt')) if 'Vögel' in made.tree.word else ()
    message = refusal(source, out, *argv)
    assert 'labelled with what is no class' in message and made.tree.word in message


def test_two_images_of_a_stem(made, tmp_path, capsys):
    source, out = made.copy(tmp_path)
    stem = two_of_a_stem(source, made.key)
    status = run(made.key, source, out, *made.tree.argv)
    message = capsys.readouterr().err
    if made.key in ('yolo', 'masks', 'colour_masks'):
        assert status == 1 and 'files are images that share a label file' in message
        assert f'{stem}.jpg' in message and f'{stem}.png' in message
    else:  # Their annotations name the image with its suffix, or need no file.
        assert status == 0


def lines_of(output):
    return output.split('trains on it:\n\n')[1].strip()


def masks_of(loaders):
    """Number of masks of all images of a loader, and their size."""
    from allinone.data.loaders import build_loader

    ((name, loader),) = loaders.items()
    loader.batch_size = 4
    batch = next(iter(build_loader('train', name, loader, 0, 3, True, True)))
    masks = [sample.gt_instances.masks for sample in batch['data_samples']]
    return [sum(map(len, masks)), masks[0].height, masks[0].width]


@pytest.mark.parametrize(
    'key, argv',
    [
        *(('yolo', ()), ('folders', ()), ('masks', ()), ('labelme', ())),
        ('folders', ('--split', '1')),
    ],
)
def test_the_printed_lines_train(key, argv, tmp_path, capsys):
    source, out = tmp_path / 'source', tmp_path / "my children's birds"
    TREES[key].make(source)
    if argv:  # Without a validation split
        shutil.rmtree(source / 'valid')
    assert run(key, source, out, *argv) == 0
    text = lines_of(capsys.readouterr().out)
    assert len(text.splitlines()) <= 10
    text = text.replace('resnet50', 'mobilenetv3_s').replace('n=12', 'n=1')
    if key == 'labelme':
        text = text.replace('s_birds}}', 's_birds_masks}}').replace('fcos', 'mask_rcnn')
    small = 'train_dataloader = dict(my_children_s_birds=dict(batch_size=2, num_workers=0))\n'
    if not argv:
        small += 'val_dataloader = dict(my_children_s_birds=dict(num_workers=0))\n'
    config = tmp_path / 'config.py'
    config.write_text(f'{text}\n{small}')
    from allinone.config.loading import load_config

    cfg = load_config(str(config))
    if key == 'labelme':  # A step of Mask R-CNN takes 16 seconds.
        assert masks_of(cfg.train_dataloader) == [4, 64, 96]
    else:
        assert run_tool('train', config, '--work-dir', tmp_path / 'work', '--device', 'cpu') == 0
        assert [*(tmp_path / 'work').glob('*.pth')]
    task = cfg.model.tasks.my_children_s_birds
    head = task.get('bbox_head') or task.get('head') or task.get('decode_head')
    head = task.roi_head.bbox_head if key == 'labelme' else head
    assert head.num_classes == (2 if key == 'folders' else 3)


def test_the_data_set_may_be_moved(tmp_path, capsys):
    from mmengine.config import Config

    TREES['yolo'].make(tmp_path / 'source')
    assert run('yolo', tmp_path / 'source', tmp_path / 'out', '--name', 'birds') == 0
    (tmp_path / 'out').rename(tmp_path / 'moved')
    birds = Config.fromfile(tmp_path / 'moved/data_set.py').birds
    assert birds.train_dataloader.dataset.ann_file == f'{tmp_path}/moved/train.json'
    assert birds.classes == list(NAMES) or birds.classes == NAMES


def test_label_maps_of_shapes(tmp_path):
    TREES['labelme'].make(tmp_path / 'source')
    assert run('labelme', tmp_path / 'source', tmp_path / 'out', '--as', 'masks') == 0
    report = json.loads((tmp_path / 'out/conversion.json').read_text())
    assert [*report['splits']['train']['classes']] == ['_background_', *sorted(NAMES)]
    drawn = np.asarray(Image.open(tmp_path / 'out/label/val/v.jpg.png'))
    # Polygons of Pillow include their border.
    assert (drawn[8:25, 8:25] == 3).all() and (drawn == 3).sum() == 17 * 17
    assert (drawn[30:63, 30:61] == 2).all() and drawn[0, 0] == 0
