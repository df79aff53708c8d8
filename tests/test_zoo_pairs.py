"""Bases of backbones and heads go together without a channel or stride: ``tests/zoo.py``.

A new file in ``configs/_base_/backbones`` or ``configs/_base_/tasks`` is tested by being there.
"""

import re

import pytest
import zoo
import zoo_configs

BACKBONES, HEADS = zoo_configs.backbones(), zoo_configs.heads()
EACH = 2
FOLLOW = {
    *('feature_indices', 'in_channels', 'in_index', 'c1_in_channels', 'num_classes', 'num_outs'),
    *('strides', 'feature_strides', 'featmap_strides'),
}


def some_pairs():
    """``{backbone: heads}``: two heads of each backbone, and each head with two backbones."""
    pairs = {
        name: [HEADS[(EACH * number + k) % len(HEADS)] for k in range(EACH)]
        for number, name in enumerate(BACKBONES)
    }
    for head in HEADS:
        lacking = EACH - sum(head in heads for heads in pairs.values())
        others = [name for name, heads in pairs.items() if head not in heads]
        for name in others[: max(0, lacking)]:
            pairs[name].append(head)
    return pairs


def test_each_backbone_has_two_heads_and_each_head_two_backbones():
    pairs = some_pairs()
    assert set(pairs) == set(BACKBONES) and min(map(len, pairs.values())) >= EACH
    found = [head for heads in pairs.values() for head in heads]
    assert min(found.count(head) for head in HEADS) >= EACH


@pytest.mark.parametrize('backbone', BACKBONES)
def test_backbones_and_heads_build_step_and_predict(backbone, request):
    whole = request.config.getoption('--zoo')
    heads = zoo.HEADS if whole else some_pairs()[backbone]
    results = zoo.attempt(backbone, heads)
    if 'needs the package' in ''.join(results.values()):
        pytest.skip(next(iter(results.values())))
    assert all(map(zoo.works, results.values())), results
    if whole:
        assert row_of(backbone) == [results[head] for head in heads]


def row_of(backbone):
    """The cells of a backbone's row on the page."""
    row = re.search(rf'^\| {re.escape(backbone)} \| (.+) \|$', zoo.PAGE.read_text(), re.MULTILINE)
    return row and row[1].split(' | ')


def test_the_page_has_a_row_for_each_backbone():
    found = re.findall(r'^\| (\S+) \| (?:yes|vit|\d+) \|', zoo.PAGE.read_text(), re.MULTILINE)
    assert found == BACKBONES, 'run python tests/zoo.py --out docs/results/zoo_pairs.md'


@pytest.mark.parametrize('head', HEADS)
def test_bases_of_tasks_say_nothing_of_backbone_and_data(head):
    text = (zoo_configs.TASKS / f'{head}.py').read_text()
    # Mask2Former's loss has a weight a class, and its decoder a number of its own levels.
    # A second neck takes the channels of the first one.
    allowed = dict(mask2former={'num_classes', 'num_outs'}, rtmdet={'in_channels'})
    assert not (set(re.findall(r'\b(\w+)=', text)) & FOLLOW) - allowed.get(head, set())
