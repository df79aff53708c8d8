"""The packages of the suite and the one way in which they import each other."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

# From left to right: a room may import those to its right, not those beside it.
ORDER = (
    'cli',
    'serve',
    'reuse analysis',
    'inference',
    'training',
    'models',
    'step',
    'balancers',
    'evaluation',
    'data',
    'tasks',
    'visualization',
    'checkpoint',
    'distributed',
    'config',
    'registry',
    'io',
    'errors',
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms.split()}
APART = {'conversion': {'io', 'errors'}, 'compat': set()}
# Old places of names, for one release
OLD = ('apis', 'datasets', 'engine')
START = '__main__'  # python -m allinone: no room, it calls cli


def imports_of(source: str, module: str, is_package: bool) -> set[str]:
    """Dotted names below ``allinone`` that a module imports anywhere, also inside functions."""
    package = module.split('.') if is_package else module.split('.')[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = '.'.join([*base, *filter(None, [node.module])])
            found.update(f'{start}.{alias.name}' for alias in node.names)
    return {name for name in found if name.startswith('allinone.')}


def wrong_arrows(root: Path) -> list[str]:
    """``module -> imported name`` of each import that runs the wrong way."""
    wrong = []
    for path in sorted((root / 'allinone').rglob('*.py')):
        parts = path.relative_to(root).with_suffix('').parts
        is_package = parts[-1] == '__init__'
        parts = parts[:-1] if is_package else parts
        if len(parts) < 2 or parts[1] in (*OLD, START):
            continue
        for name in imports_of(path.read_text(), '.'.join(parts), is_package):
            room, other = parts[1], name.split('.')[1]
            if not (room == other or _may_import(room, other)):
                wrong.append(f'{".".join(parts)} -> {name}')
    return wrong


def _may_import(room: str, other: str) -> bool:
    if room in APART:
        return other in APART[room]
    return LEVEL[room] < LEVEL.get(other, -1) or room == 'cli' and other in APART


def test_imports_go_one_way():
    assert wrong_arrows(ROOT) == []


@pytest.mark.parametrize(
    'room, line',
    [
        ('io', 'from allinone.registry import MODELS'),
        ('balancers', 'def later():\n    from allinone.models import AllInOne'),
        ('reuse', 'import allinone.analysis.curves'),
        ('data', 'from ..training import runner'),
        ('conversion', 'from allinone.config.loading import load_config'),
        ('models', 'from allinone.datasets import toy_scenes'),
    ],
)
def test_an_import_the_wrong_way_is_found(tmp_path, room, line):
    module = tmp_path / 'allinone' / room / 'planted.py'
    module.parent.mkdir(parents=True)
    module.write_text('from allinone.errors import ConfigError\n')
    assert wrong_arrows(tmp_path) == []
    module.write_text(line + '\n')
    assert len(wrong_arrows(tmp_path)) == 1


def test_every_folder_is_a_known_room():
    folders = {path.parent.name for path in (ROOT / 'allinone').glob('*/__init__.py')}
    assert folders <= {*LEVEL, *APART, *OLD}
