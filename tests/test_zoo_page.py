"""docs/results/zoo.md is of the configs as they are.

Each config is compared by a digest of what the values depend on, and some are counted again; all
with ``--zoo``.
"""

import re

import pytest
from conftest import ROOT

from allinone.analysis.complexity import complexity, digest_of
from allinone.analysis.complexity_tables import page
from allinone.config.loading import load_config

PAGE = (ROOT / 'docs/results/zoo.md').read_text()
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('configs/[!_]*/*.py'))
DIGESTS = dict(re.findall(r'^<!-- (\S+) (\w+) -->$', PAGE, re.MULTILINE))
COMMAND = re.search(r'^python tools/.*$', PAGE, re.MULTILINE)[0]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_page_has_each_config():
    assert list(DIGESTS) == CONFIGS, f'run {COMMAND}'
    assert re.findall(r'^\| `(\S+)` \|', PAGE, re.MULTILINE) == CONFIGS, f'run {COMMAND}'


@pytest.mark.parametrize('config', CONFIGS)
def test_a_config_is_that_of_the_page(config):
    assert digest_of(load_config(config)) == DIGESTS.get(config), f'run {COMMAND}'


def test_the_values_of_the_page(request):
    for config in CONFIGS if request.config.getoption('--zoo') else CONFIGS[::10]:
        found = page([complexity(config)])
        section = found[found.index('\n### ') :]
        (row,) = re.findall(r'^\| `configs/.*$', found, re.MULTILINE)
        assert section in PAGE and row in PAGE.splitlines(), f'{config}: run {COMMAND}'


def test_a_changed_config_changes_its_digest_and_a_path_of_weights_does_not():
    cfg = load_config('configs/toy/mobilenetv2_toy.py')
    before = digest_of(cfg)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='elsewhere.pth')
    assert digest_of(cfg) == before
    digests = {before}
    for key, value in {
        'model.backbone.widen_factor': 0.75,
        'model.tasks.det.bbox_head.stacked_convs': 3,
        'test_dataloader.seg.dataset.pipeline': [
            dict(type='mmseg.Resize', scale=(64, 64), keep_ratio=False)
        ],
    }.items():
        cfg.merge_from_dict({key: value})
        digests.add(digest_of(cfg))
    assert len(digests) == 4
