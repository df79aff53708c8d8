"""The text of a config, laid out without yapf, is the config."""

import re
import sys

import pytest
from conftest import ROOT
from mmengine.config import Config

from allinone.compat.config_text import config_text

CONFIGS = sorted((ROOT / 'configs').glob('[!_]*/**/*.py'))[::4]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_it_reads_as_the_config(path, monkeypatch):
    monkeypatch.setenv('ALLINONE_DATA', 'data')
    values = Config.fromfile(path).to_dict()
    text = config_text(values)
    assert Config.fromstring(text, '.py').to_dict() == values
    # A single string cannot be broken.
    string = re.compile(r" *(\w+=)?'[^']*',")
    assert not [x for x in text.splitlines() if len(x) > 100 and not string.fullmatch(x)]


def test_it_is_laid_out_by_members():
    values = dict(
        b=dict({'cls/top1': 1, 'lambda': (2,)}),
        a=[dict(type='A', name="it's")],
        c=dict(long=['x' * 30] * 3, kind=int, none=None, empty=dict(), pair=()),
    )
    text = config_text(values)
    x = 'x' * 30
    assert text == (
        "a = [dict(name=\"it's\", type='A')]\n"
        "b = {'cls/top1': 1, 'lambda': (2,)}\n"
        'c = dict(\n'
        '    empty=dict(),\n'
        '    kind=int,\n'
        '    long=[\n'
        f"        '{x}',\n"
        f"        '{x}',\n"
        f"        '{x}',\n"
        '    ],\n'
        '    none=None,\n'
        '    pair=(),\n'
        ')\n'
    )
    assert Config.fromstring(text, '.py').to_dict() == values


def test_mmengine_uses_it(monkeypatch):
    cfg = Config(dict(a=1))
    monkeypatch.setitem(sys.modules, 'yapf', None)  # An import of it would fail.
    assert cfg.dump() == 'a = 1\n'
