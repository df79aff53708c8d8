"""Nothing outside ``allinone/tasks`` asks of what library or kind a task is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

LIBRARY = re.compile(r'(mmpretrain|mmdet|mmseg)([.:]|$)')
NAMES = {
    *('classification', 'multi_label_classification', 'detection', 'segmentation'),
    *('pred_instances', 'pred_sem_seg', 'pred_label', 'pred_score', 'pred_panoptic_seg'),
    *('gt_instances', 'gt_sem_seg', 'gt_label', 'gt_score'),
    *('bbox_head', 'roi_head', 'rpn_head', 'decode_head', 'panoptic_head'),
}
ASKING = ('isinstance', 'issubclass')
# Operators of the libraries, other formats, registries with their config errors
EXEMPT = ('tasks', 'compat', 'conversion', 'registry')
PARTS = (
    # Each of one kind by its nature
    *('data/datasets/', 'data/toy/', 'data/transforms/pack_reid.py', 'evaluation/metrics.py'),
    *('data/identity_sampler.py', 'models/embedding/'),
    'evaluation/track1/check.py',  # the official scorer reads its own files
    'balancers/methods/uncertainty.py',  # 'classification' is a form of its loss
    'training/hooks/batch_sizes.py',  # keeps the state of one upstream module
)


def places(source: str) -> Iterator[str]:
    """``LINE: TEXT`` of each name of a library or kind, or of a field that only one kind has.

    Docstrings and sentences are left out, and upstream classes to inherit from.
    """
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and LIBRARY.match(node.module or '')
        for alias in node.names
    }
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value if LIBRARY.match(node.value) or node.value in NAMES else None
        elif isinstance(node, ast.Attribute):
            text = node.attr if node.attr in NAMES else None
        elif isinstance(node, ast.keyword):
            text = node.arg if LIBRARY.fullmatch(node.arg or '') else None
        elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ASKING:
            asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            text = ', '.join(sorted(asked & imported)) or None
        if text is not None:
            yield f'{node.lineno if hasattr(node, "lineno") else node.value.lineno}: {text}'


def all_places(package: Path) -> list[str]:
    return [
        f'{name}:{place}'
        for path in sorted(package.rglob('*.py'))
        if (name := path.relative_to(package).as_posix()).split('/')[0] not in EXEMPT
        and not name.startswith(PARTS)
        for place in places(path.read_text())
    ]


def test_a_kind_is_asked_for_in_one_room():
    assert all_places(ROOT / 'allinone') == []


@pytest.mark.parametrize(
    'source, count',
    [
        ("LOGITS = dict(mmseg='decode_head.conv_seg')", 1),
        ("if scope == 'mmseg': pass", 1),
        ("if 'pred_instances' in sample: pass", 1),
        ('sample.pred_sem_seg', 1),
        ("if kind.name == 'detection': pass", 1),
        ('from mmdet.datasets import CocoDataset\nisinstance(a, (int, CocoDataset))', 1),
        ('from mmdet.datasets import CocoDataset\nclass A(CocoDataset): pass', 0),
        ('"""Of mmdet."""\nraise E("take mmpretrain\'s ConvNeXt")', 0),
    ],
)
def test_a_place_that_asks_is_found(source, count):
    assert len(list(places(source))) == count
