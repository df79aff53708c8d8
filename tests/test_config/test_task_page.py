"""docs/add_a_task.md, followed: lines for another backbone, another head, and a further task."""

import difflib
import re
import shutil

import pytest
from conftest import ROOT

from allinone.config.loading import load_config

PAGE = (ROOT / 'docs/add_a_task.md').read_text()
TEXT = re.search(r'## With bases\n.*?```python\n(.+?)```', PAGE, re.DOTALL)[1]
LIMIT = 15  # Lines of three tasks

BASES = "    '../_base_/tasks/fcos.py',\n    '../_base_/datasets/toy_signs.py',\n"
# ``{change: (replacements in the text, its lines)}``
CHANGES = {
    'another backbone': ([('backbones/resnet50.py', 'backbones/swin_t.py')], 1),
    'another head': (
        [('tasks/segformer.py', 'tasks/upernet.py'), ('_base_.segformer', '_base_.upernet')],
        2,
    ),
    'a further task': (
        [
            (']  # fmt', f'{BASES}]  # fmt'),
            ('{{_base_.segformer}}', '{{_base_.segformer}}, signs={{_base_.fcos}}'),
            ('{{_base_.toy_seg}}', '{{_base_.toy_seg}}, signs={{_base_.toy_signs}}'),
        ],
        4,
    ),
}


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    return shutil.copytree(ROOT / 'configs', tmp_path_factory.mktemp('page') / 'configs')


def loaded(configs, text):
    (configs / 'toy/page.py').write_text(text)
    return load_config(str(configs / 'toy/page.py'))


def test_three_tasks_on_any_backbone(configs, toy_root):
    assert len(TEXT.splitlines()) <= LIMIT
    model = loaded(configs, TEXT).model
    assert model.backbone.type == 'mmpretrain.ResNet'
    assert model.tasks.scene.head.in_channels == 2048 and model.tasks.scene.head.num_classes == 8
    assert model.tasks.boxes.neck.in_channels == [512, 1024, 2048]
    assert model.tasks.boxes.bbox_head.anchor_generator.strides == [8, 16, 32]
    assert model.tasks.areas.decode_head.in_channels == [256, 512, 1024, 2048]


@pytest.mark.parametrize('name', CHANGES)
def test_lines_of_a_change(configs, toy_root, name):
    pairs, lines = CHANGES[name]
    text = TEXT
    for before, after in pairs:
        assert text.count(before) == 1
        text = text.replace(before, after)
    difference = difflib.ndiff(TEXT.splitlines(), text.splitlines())
    assert sum(line.startswith('+ ') for line in difference) == lines
    assert re.search(rf'^\| {name} \|.*: {lines} \|$', PAGE, re.MULTILINE)
    tasks = loaded(configs, text).model.tasks
    if name == 'another backbone':
        assert tasks.areas.decode_head.in_channels == [96, 192, 384, 768]
    elif name == 'another head':
        assert tasks.areas.auxiliary_head.in_channels == 1024
        assert tasks.areas.auxiliary_head.num_classes == 7
    else:
        assert tasks.signs.bbox_head.strides == [8, 16, 32, 64, 128]
