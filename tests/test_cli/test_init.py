"""``allinone init``: a config for own data, written once it has passed the checks."""

import argparse
import os
import shutil

import pytest
from conftest import run_tool
from mmengine.config import Config

from allinone.cli.programs import init
from allinone.cli.programs.init import MACHINES, config_text
from allinone.config.loading import load_config
from allinone.errors import ConfigError, DataError
from allinone.registry import RUNNERS

TASKS = ('signs=classification:signs', 'boxes=detection:boxes', 'areas=segmentation:areas')
CLASSES = 'road grass building sky pole tree car'.split()


@pytest.fixture(scope='module')
def own(toy_root, tmp_path_factory):
    """Folders ``signs``, ``boxes`` and ``areas``, converted from what people have."""
    root, toy = tmp_path_factory.mktemp('own'), toy_root / 'toy'
    for split in ('train', 'val'):
        folder = root / f'sources/boxes/{split}'
        shutil.copytree(toy / f'det/{split}', folder)
        shutil.copy(toy / f'det/{split}.json', folder / '_annotations.coco.json')
        for line in (toy / f'cls/{split}.txt').read_text().splitlines():
            name, label = line.split()
            folder = root / f'sources/signs/{split}/kind {int(label) % 3}'
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(toy / f'cls/{split}' / name, folder)
        shutil.copytree(toy / f'seg/images/{split}', root / f'sources/areas/{split}/images')
        shutil.copytree(toy / f'seg/label/{split}', root / f'sources/areas/{split}/masks')
    (root / 'classes.txt').write_text('\n'.join(CLASSES))
    for kind, name, *options in (
        ('folders', 'signs'),
        ('coco', 'boxes'),
        ('masks', 'areas', '--classes', root / 'classes.txt'),
    ):
        source = root / 'sources' / name
        assert run_tool('convert', kind, source, root / name, '--quiet', *options) == 0
    return root


@pytest.fixture
def here(own, monkeypatch):
    monkeypatch.chdir(own)
    monkeypatch.setattr('sys.stdin', open(os.devnull))
    return own


def test_three_tasks_are_a_config_of_few_lines_that_trains(here, tmp_path, capsys):
    assert run_tool('init', 'street.py', '--task', *TASKS, '--image-size', 96) == 0
    out, _ = capsys.readouterr()
    assert out.splitlines()[-2:] == [
        'street.py: no error, 0 warnings',
        'train it with: python tools/train.py street.py',
    ]
    lines = (here / 'street.py').read_text().splitlines()
    assert len(lines) <= 15 and all('  # ' in line for line in lines)
    assert not list(here.glob('*.tmp*'))
    cfg = load_config('street.py', work_dir=str(tmp_path / 'w'))
    assert [task.type for task in cfg.model.tasks.values()] == [
        *('mmpretrain.ImageClassifier', 'mmdet.RTMDet', 'mmseg.EncoderDecoder')
    ]
    assert cfg.model.tasks.areas.decode_head.num_classes == 7
    resize = cfg.train_dataloader.boxes.dataset.pipeline[2]
    assert (resize.type, max(resize.scale)) == ('Resize', 96)
    assert {name: loader.batch_size for name, loader in cfg.train_dataloader.items()} == dict(
        signs=16, boxes=2, areas=2
    )
    cfg.train_cfg.pop('epochs')
    cfg.train_cfg.update(max_iters=2, val_interval=3, dry_run=False)
    cfg.experiment_name = 'init'
    for loader in cfg.train_dataloader.values():
        loader.num_workers = 0
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg.pop(key)
    runner = RUNNERS.build(cfg)
    runner.train()
    assert runner.iter == 2 and (tmp_path / 'w/iter_2.pth').exists()


def test_data_without_a_validation_split_are_trained_without_one(here, tmp_path, capsys):
    source = here / 'sources/boxes/train'
    assert run_tool('convert', 'coco', source, tmp_path / 'alone', '--quiet', '--split', 1) == 0
    out = tmp_path / 'alone.py'
    assert run_tool('init', out, '--task', f'a=detection:{tmp_path}/alone') == 0
    assert f'{out}: no error, 0 warnings' in capsys.readouterr().out
    cfg = load_config(str(out))
    assert cfg.val_cfg is None and not cfg.get('val_dataloader')
    # With another task that has one, that is what is validated.
    text = text_of(here, f'a=detection:{tmp_path}/alone', 'b=classification:signs')
    assert 'val_cfg' not in text and 'val_interval' in text


def test_an_existing_file_stays(here, capsys):
    (here / 'mine.py').write_text('kept = 1\n')
    assert run_tool('init', 'mine.py', '--task', *TASKS) == 2
    assert capsys.readouterr().err == "error: OUT.py is 'mine.py', which exists; give a new name\n"
    assert (here / 'mine.py').read_text() == 'kept = 1\n'


def test_a_config_that_fails_its_check_is_not_written(here, capsys, tmp_path):
    broken = tmp_path / 'signs'
    shutil.copytree(here / 'signs', broken)
    next((broken / 'train').rglob('*.png')).write_bytes(b'no image')
    out = tmp_path / 'new.py'
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run_tool('init', out, '--task', f'a=classification:{broken}') == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: ') and '.tmp' not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize('before', [[], ['data_set_32.py']])
def test_a_refusal_leaves_no_file_of_smaller_images(here, capsys, tmp_path, before):
    folder = tmp_path / 'boxes'
    folder.mkdir()
    for name in ('data_set.py', 'conversion.json'):  # Without its images
        shutil.copy(here / 'boxes' / name, folder)
    for name in before:
        (folder / name).touch()
    there = {path.name for path in folder.iterdir()}
    task = f'a=detection:{folder}'
    assert run_tool('init', tmp_path / 'new.py', '--task', task, '--image-size', 32) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith('error: ')
    assert {path.name for path in folder.iterdir()} == there
    assert not (tmp_path / 'new.py').exists()


def text_of(here, *tasks, machine='small', **options):
    backbone = options.pop('backbone', MACHINES[machine].backbone)
    return config_text(str(here / 'new.py'), tasks, backbone, MACHINES[machine], **options)


def test_a_large_machine_has_larger_batches(here):
    small, large = (text_of(here, *TASKS, machine=name) for name in MACHINES)
    assert 'backbones/mobilenetv3_l' in small and 'backbones/convnext_t' in large
    # Of 16 images; those of the data sets are 32, 4 and 4.
    assert 'signs=dict(batch_size=16), boxes=dict(batch_size=2), areas=dict(batch_size=2)' in small
    assert 'signs=dict(batch_size=16), boxes=dict(batch_size=8), areas=dict(batch_size=8)' in large
    # 16 images in batches of 2 are 8 steps, and 300 passes the most.
    assert "epochs=dict(source='boxes', n=300)" in small
    assert "'signs/data_set.py'" in small


def test_images_are_made_smaller_than_they_are_not_larger(here):
    assert "'boxes/data_set.py'" in text_of(here, 'boxes=detection:boxes')  # 256 below 640
    assert "'boxes/data_set_128.py'" in text_of(here, 'boxes=detection:boxes', longest=128)
    found, whole = (
        Config.fromfile(str(here / f'boxes/data_set{name}.py')) for name in ('_128', '')
    )
    assert found.boxes.train_dataloader.dataset.pipeline[2].scale == (128, 96)
    assert found.boxes.classes == whole.boxes.classes
    maps = text_of(here, 'areas=segmentation:areas', longest=128)
    assert "'areas/data_set_128.py'" in maps
    found, whole = (
        Config.fromfile(str(here / f'areas/data_set{name}.py')).areas.train_dataloader.dataset
        for name in ('_128', '')
    )
    assert found.img_suffix == whole.img_suffix == '.jpg'
    assert found.pipeline[2].scale == (128, 96) and whole.pipeline[2].scale == (256, 192)


def test_a_backbone_of_one_stride_has_heads_for_it(here):
    text = text_of(here, *TASKS, backbone='vit_s')
    assert 'boxes={{_base_.rtmdet_vit}}' in text and 'areas={{_base_.segformer_vit}}' in text
    assert 'signs={{_base_.linear_cls}}' in text


def test_data_sets_and_heads_go_by_name_too(here, tmp_path):
    text = text_of(here, 'a=fcos:toy_det', 'b=detection:toy_det', 'c=multi-label:toy_cls')
    assert text.count('datasets/toy_det.py') == 1
    assert 'a={{_base_.fcos}}, b={{_base_.rtmdet_mapped}}, c={{_base_.multi_label}}' in text
    assert 'max_iters=20000' in text  # The number of images is not known.
    path = tmp_path / 'other.py'
    path.write_text((here / 'signs/data_set.py').read_text())
    assert f'{os.path.relpath(path, here)!r}' in text_of(here, f'a=classification:{path}')


@pytest.mark.parametrize(
    'tasks, says',
    [
        (['boxes'], "--task is 'boxes'; give NAME=KIND:DATA"),
        (['a b=detection:boxes'], "whose name is 'a b'; give a word of letters"),
        (['class=detection:boxes'], "whose name is 'class'; give a word of letters"),
        (['a=detektion:boxes'], "'detektion' is neither one of"),
        (['a=detektion:boxes'], 'do you mean detection'),
        (['a=detection:boxs_'], 'boxs_ is no folder, file or name in configs/_base_/datasets'),
        (['a=detection:toy_dett'], 'do you mean toy_det'),
        (
            ['a=classification:boxes'],
            'but boxes has labels for detection, not for classification; change the kind or the',
        ),
        (['a=detection:toy_street'], 'the images of toy_street have labels of several tasks'),
        (['a=detection:track1'], 'track1 has no variable of a data set'),
        (['a=detection:boxes', 'a=fcos:boxes'], "--task has ['a', 'a']; give each task a name"),
    ],
)
def test_a_task_that_cannot_be_is_refused(here, tasks, says):
    with pytest.raises(ConfigError) as refusal:
        text_of(here, *tasks)
    assert says in str(refusal.value)


def test_other_refusals(here, tmp_path):
    with pytest.raises(ConfigError, match="--backbone is 'resnet51', which is not in configs/"):
        text_of(here, *TASKS, backbone='resnet51')
    with pytest.raises(DataError, match=r'sources has no data_set.py \(FileNotFoundError\), so it'):
        text_of(here, f'a=detection:{here}/sources')
    twin = tmp_path / 'boxes'
    twin.mkdir()
    for name in ('data_set.py', 'conversion.json'):
        shutil.copy(here / 'boxes' / name, twin)
    with pytest.raises(ConfigError, match='both have the variable boxes; convert one of them'):
        text_of(here, 'a=detection:boxes', f'b=detection:{twin}')
    (twin / 'conversion.json').write_text('{"splits"')
    with pytest.raises(DataError, match=r'conversion.json cannot be read \(JSONDecodeError'):
        text_of(here, f'a=detection:{twin}')
    (twin / 'conversion.json').unlink()  # A folder that was made by hand
    assert 'max_iters=20000' in text_of(here, f'a=detection:{twin}')


def test_boxes_with_masks_have_a_variable_for_mask_heads(here, tmp_path):
    folder = tmp_path / 'cells'
    folder.mkdir()
    shutil.copy(here / 'boxes/conversion.json', folder)
    text = (here / 'boxes/data_set.py').read_text()
    body = text.split('boxes = ', 1)[1].split('del _root')[0]
    (folder / 'data_set.py').write_text(text.replace('del _root', f'boxes_masks = {body}del _root'))
    assert 'a={{_base_.boxes}}' in text_of(here, f'a=detection:{folder}')
    assert 'a={{_base_.boxes_masks}}' in text_of(here, f'a=mask_rcnn:{folder}')


def ask(monkeypatch, *answers):
    """Arguments after these answers on a terminal, and the questions."""
    questions, left = [], list(answers)

    def reply(question):
        questions.append(question)
        return left.pop(0)

    monkeypatch.setattr('builtins.input', reply)
    args = argparse.Namespace(tasks=[], machine=None, backbone=None)
    init.ask(args, {name: machine.backbone for name, machine in MACHINES.items()})
    assert not left
    return args, questions


def test_questions_take_the_place_of_options(here, monkeypatch, capsys):
    args, questions = ask(
        monkeypatch,
        *('', 'boxes', 'detektion', 'detection', 'nowhere', 'boxes'),
        *('signs', 'detection', 'signs'),  # Refused as a whole, so asked anew
        *('signs', 'classification', 'signs', ''),
        *('huge', 'large', ''),
    )
    assert args.tasks == ['boxes=detection:boxes', 'signs=classification:signs']
    assert (args.machine, args.backbone) == ('large', 'convnext_t')
    said = capsys.readouterr().out
    assert "'detektion' is neither" in said and 'nowhere is no folder' in said
    assert 'signs has labels for classification or multi-label, not for detection' in said
    assert "'huge' is none of small, large" in said
    assert questions[-1].endswith('[convnext_t]: ')


def test_there_are_no_questions_without_a_terminal(here, monkeypatch, capsys):
    monkeypatch.setattr('builtins.input', lambda _: pytest.fail('asked'))
    assert run_tool('init', 'none.py') == 2
    assert capsys.readouterr().err == (
        'error: --task is missing; give NAME=KIND:DATA for each task\n'
    )


def test_an_end_of_input_writes_nothing(here, monkeypatch, capsys):
    class Terminal:
        def isatty(self):
            return True

    def closed(_):
        raise EOFError

    monkeypatch.setattr('sys.stdin', Terminal())
    monkeypatch.setattr('builtins.input', closed)
    assert run_tool('init', 'none.py') == 130
    assert 'stopped; nothing is written' in capsys.readouterr().err
    assert not (here / 'none.py').exists()
