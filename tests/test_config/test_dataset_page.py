"""docs/add_a_dataset.md, followed word by word with a data set of 7 classes."""

import json
import re
import shutil

import pytest
from conftest import ROOT, build_model, run_tool
from mmengine.optim import build_optim_wrapper

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.loading import load_config
from allinone.training.run_manifest import flat_config

PAGE = (ROOT / 'docs/add_a_dataset.md').read_text()
TASK_PAGE = (ROOT / 'docs/add_a_task.md').read_text()


@pytest.fixture
def configs(tmp_path):
    """A copy of ``configs/`` to add to."""
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    return tmp_path / 'configs'


@pytest.fixture
def lights(toy):
    """Traffic lights of the names on the page, in the images of the toy signs."""
    names = (
        re.search(r'^    classes=\((.+)\),$', PAGE, re.MULTILINE)[1].replace("'", '').split(', ')
    )
    shutil.copytree(toy / 'signs', toy.parent / 'lights')
    for split in ('train', 'val'):
        path = toy.parent / f'lights/{split}.json'
        content = json.loads(path.read_text())
        content['categories'] = [dict(id=n, name=name) for n, name in enumerate(names, 1)]
        for number, box in enumerate(content['annotations']):
            box['category_id'] = number % len(names) + 1
        path.write_text(json.dumps(content))
    return names


def written(configs):
    """The files that the page has, written where it says; the child config."""
    for name, text in re.findall(
        r'`configs/([\w/]+\.py)`:\n\n```python\n(.+?)```', PAGE, re.DOTALL
    ):
        assert not (configs / name).exists()
        (configs / name).write_text(text)
    assert (configs / '_base_/datasets/lights.py').exists()
    return configs / 'toy/mobilenetv2_toy_lights.py'


def test_a_data_set_of_seven_classes_is_three_lines(lights, configs, capsys):
    child = written(configs)
    lines = [line for line in child.read_text().splitlines() if line]
    assert len(lines) == 3 and len(lights) == 7
    cfg = load_config(str(child))
    note = "note: task 'lights' has 7 classes by its data: bbox_head.num_classes 3 -> 7\n"
    assert capsys.readouterr().err in (note, '')  # Once a run

    # The tasks that were there are as they were.
    before = flat_config(load_config(str(ROOT / 'configs/toy/mobilenetv2_toy.py')))
    after = flat_config(cfg)
    changed = [key for key in before if after.get(key) != before[key] and key != 'work_dir']
    assert changed == [] and 'model.tasks.det.bbox_head.num_classes' in before
    added = {key.split('.')[0] for key in after.keys() - before.keys()}
    assert added == {'model', *(f'{s}_dataloader' for s in ('train', 'val', 'test')),
                     *('val_evaluator', 'test_evaluator', 'val_cfg', 'test_cfg')}  # fmt: skip
    assert after['val_cfg.score.lights/bbox_mAP_50'] == '100'


def test_the_page_trains_it(lights, configs, tmp_path):
    child = written(configs)
    command = re.search(r'^python tools/train.py (.+)$', PAGE, re.MULTILINE)[1]
    assert command.endswith(child.name)
    small = [
        f'{stage}_dataloader.{task}.{key}'
        for stage in ('train', 'val')
        for task in ('cls', 'det', 'seg', 'lights')
        for key in ('num_workers=0', 'batch_size=2')
    ]
    short = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'log_level=ERROR']
    work = tmp_path / 'work'
    assert run_tool('train', child, '--work-dir', work, '--cfg-options', *small, *short) == 0
    state = read_checkpoint(str(work / 'iter_1.pth'))['state_dict']
    rows = {
        task: len(state[f'tasks.{task}.bbox_head.conv_cls.weight']) for task in ('det', 'lights')
    }
    assert rows == dict(det=3, lights=7)
    scalars = next(work.glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert any('lights/bbox_mAP_50' in line and '"score"' in line for line in scalars)


def test_the_page_prints_its_task(lights, configs, capsys):
    child = written(configs)
    command = re.search(r'^python tools/print_config.py (.+)$', PAGE, re.MULTILINE)[1].split()
    assert command[0].endswith(child.name)
    assert run_tool('print_config', child, *command[1:]) == 0
    text = capsys.readouterr().out
    assert 'num_classes=7,' in text and "classes=('red', 'yellow', 'green'," in text


def test_tasks_of_a_base_file_follow_their_data(toy_root, configs, tmp_path):
    text = next(
        block
        for block in re.findall(r'```python\n(.+?)```', TASK_PAGE, re.DOTALL)
        if '_base_/tasks/' in block
    )
    (configs / 'toy/scratch.py').write_text(text)
    cfg = load_config(str(configs / 'toy/scratch.py'), work_dir=str(tmp_path))
    model = build_model(cfg)
    build_optim_wrapper(model, cfg.optim_wrapper)  # Of RTMDet's shared layers, too
    tasks = model.tasks
    numbers = (
        tasks.scene.head.num_classes,
        tasks.boxes.bbox_head.num_classes,
        tasks.areas.decode_head.num_classes,
    )
    assert numbers == (8, 3, 7)
    assert cfg.val_cfg.score == {
        'scene/top1': 1, 'boxes/bbox_mAP_50': 100, 'areas/mIoU': 1
    }  # fmt: skip
