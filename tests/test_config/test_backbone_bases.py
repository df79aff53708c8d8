"""Every base in configs/_base_/backbones: its maps, its comment, its row of docs/backbones.md."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from mmengine.config import Config

from allinone.checkpoint.zoo import zoo_url
from allinone.cli.programs.features import features, row
from allinone.config.feature_maps import running_backbone

FOLDER = ROOT / 'configs/_base_/backbones'
PAGE = (ROOT / 'docs/backbones.md').read_text()
BASES = sorted(path.stem for path in FOLDER.glob('*.py'))
MAPS = re.compile(r'^# Maps: (.*)\.$', re.MULTILINE)
# Names in the zoos of the libraries; those of timm, torchvision and URLs are not.
NAME = re.compile(r'([\w.-]+_(?:in1k|coco|8xb\d+|sa1b)[\w.-]*)')


def in_words(maps) -> str:
    first, *others = maps
    words = [f'{first.channels} channels at stride {first.stride}']
    return ', '.join(words + [f'{one.channels} at {one.stride}' for one in others])


@pytest.mark.parametrize('name', BASES)
def test_a_base_has_the_maps_and_the_row_that_are_written(name):
    if name.startswith('timm_') and find_spec('timm') is None:
        pytest.skip('timm is not installed')
    found = features(name)
    text = (FOLDER / f'{name}.py').read_text()
    assert MAPS.search(text)[1] == in_words(found.maps)
    assert found.weights and row(found) in PAGE.splitlines(), 'tools/features.py --table'
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    assert set(cfg.model) == {'type', 'data_preprocessor', 'backbone'}
    assert cfg.model.type == 'AllInOne'
    assert 'init_cfg' not in cfg.model.backbone


def test_weights_of_the_bases_are_in_the_zoos():
    names = {
        found
        for line in PAGE.splitlines()
        if line.startswith('| `') and not line.startswith(('| `timm_', '| `torchvision_'))
        for found in NAME.findall(line.split('|')[-2])
    }
    assert len(names) > 25
    for name in names:
        assert zoo_url(name, 'checkpoint').startswith('https://')


def test_the_page_has_no_other_bases():
    assert re.findall(r'^\| `(\w+)` \|', PAGE, re.MULTILINE) == BASES


def configs_of_zoo() -> dict[str, Path]:
    """``{name of weights: upstream config}`` of the libraries."""
    found = {}
    for library in ('mmdet', 'mmpretrain'):
        root = Path(find_spec(library).submodule_search_locations[0]) / '.mim'
        for file in root.glob('configs/*/metafile.y*'):
            content = yaml.load(file.read_text(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
            models = content.get('Models') if isinstance(content, dict) else content
            for model in models or ():
                found[model['Name']] = root / model['Config']
    return found


def normalisation_of(cfg) -> tuple:
    """Mean, deviation and whether images are RGB, of an upstream config or a base."""
    part = dict(cfg.get('data_preprocessor') or {}, **cfg.model.get('data_preprocessor', {}))
    return list(part['mean']), list(part['std']), part.get('to_rgb', part.get('bgr_to_rgb', False))


def test_bases_have_the_normalisation_of_their_weights():
    configs, count = configs_of_zoo(), 0
    for line in PAGE.splitlines():
        if not line.startswith('| `') or line.startswith(('| `timm_', '| `torchvision_')):
            continue
        base = line.split('`')[1]
        own = normalisation_of(Config.fromfile(FOLDER / f'{base}.py'))
        for name in NAME.findall(line.split('|')[-2]):
            assert own == normalisation_of(Config.fromfile(configs[name])), (base, name)
            count += 1
    assert count > 30


def test_a_large_backbone_takes_no_memory_for_its_maps():
    cfg = Config.fromfile(FOLDER / 'vit_l.py').model.backbone
    backbone, maps = running_backbone('model.backbone', cfg)
    assert all(param.is_meta for param in backbone.parameters())
    assert [found.channels for found in maps] == [1024]
