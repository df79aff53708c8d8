import json
import random
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TOY_CONFIG, run_tool
from torch import nn

from allinone.analysis.affinity import _backbone_rates, format_affinity, summary
from allinone.analysis.lookahead import lookahead_affinity
from allinone.analysis.task_groups import _partitions, best_groups, suggestion, total_affinity
from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import ConfigError

NAN = float('nan')


class Quadratics(nn.Module):
    """Losses ``scale * a_k / 2 * |theta - t_k|^2`` of a backbone that is a point."""

    def __init__(self, start, slopes, targets):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.theta = nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.tasks = nn.ModuleDict({name: nn.Identity() for name in slopes})
        self.slopes, self.targets = slopes, targets

    def shared_part(self):
        return self.backbone

    def task_losses(self, task, batch):
        distance = self.backbone.theta - torch.tensor(self.targets[task], dtype=torch.float64)
        return dict(loss=batch['scale'] * self.slopes[task] / 2 * (distance**2).sum())

    def parse_losses(self, losses):
        return losses['loss'], losses


class Network(nn.Module):
    """A backbone with batch norm and dropout, and two heads."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)
        )
        self.tasks = nn.ModuleDict({'x': nn.Linear(8, 1), 'y': nn.Linear(8, 1)})

    def shared_part(self):
        return self.backbone

    def task_losses(self, task, batch):
        noise = 1 + 0.1 * np.random.rand() + 0.1 * random.random()
        batch['inputs'] *= noise  # as a preprocessor might, in place
        return dict(loss=self.tasks[task](self.backbone(batch['inputs'])).square().mean())

    def parse_losses(self, losses):
        return losses['loss'], losses


def network():
    torch.manual_seed(0)
    model = Network()
    model.backbone[1].eval()
    batches = [{task: dict(inputs=torch.randn(6, 4)) for task in 'xy'} for _ in range(3)]
    return model, batches


def test_affinity_of_quadratics_in_closed_form():
    start, slopes = [1.0, 2.0], dict(x=0.5, y=2.0)
    targets = dict(x=[3.0, 2.0], y=[0.0, -1.0])
    model, lr = Quadratics(start, slopes, targets), 0.1
    scales = [dict(x=1.0, y=1.0), dict(x=3.0, y=0.25)]
    batches = [{task: dict(scale=scale) for task, scale in of.items()} for of in scales]
    found = lookahead_affinity(model, batches, lr)
    theta = np.array(start)
    for n, scale in enumerate(scales):
        for i, one in enumerate('xy'):
            moved = theta - lr * scale[one] * slopes[one] * (theta - targets[one])
            for j, other in enumerate('xy'):
                before, after = (((p - targets[other]) ** 2).sum() for p in (theta, moved))
                assert found[n, i, j] == pytest.approx(1 - after / before, rel=1e-12)
    # Away from the other's target: harm. Towards one's own: help.
    assert found[0, 0, 1] < 0 < found[0, 0, 0]


def test_each_parameter_has_its_own_rate():
    model = Quadratics([1.0, 2.0], dict(x=1.0, y=1.0), dict(x=[0.0, 0.0], y=[0.0, 0.0]))
    batches = [dict(x=dict(scale=1.0), y=dict(scale=1.0))]
    # theta shrinks by 1 - rate, the loss by its square.
    for rate in (0.1, 0.3):
        found = lookahead_affinity(model, batches, [rate])
        np.testing.assert_allclose(found, 1 - (1 - rate) ** 2)


def test_nothing_of_the_model_changes():
    model, batches = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = [batch[task]['inputs'].clone() for batch in batches for task in 'xy']
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    found = lookahead_affinity(model, batches, 0.5)
    assert np.abs(found).min() > 0
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert modes == [module.training for module in model.modules()]
    assert all(param.grad is None for param in model.parameters())
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all() and states[2] == random.getstate()
    left = [batch[task]['inputs'] for batch in batches for task in 'xy']
    assert all(map(torch.equal, inputs, left))


def test_both_losses_see_the_same_dropout():
    model, batches = network()
    # Without a step every loss is what it was, to the last bit, and batches do not differ in it.
    assert (lookahead_affinity(model, batches, 0.0) == 0).all()
    np.testing.assert_array_equal(
        lookahead_affinity(model, batches, 0.1), lookahead_affinity(model, batches, 0.1)
    )


def test_gradients_from_before_do_not_count():
    model, batches = network()
    expected = lookahead_affinity(model, batches, 0.1)
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    np.testing.assert_array_equal(lookahead_affinity(model, batches, 0.1), expected)


def test_a_frozen_backbone_is_refused():
    model, batches = network()
    model.backbone.requires_grad_(False)
    with pytest.raises(ConfigError, match='no trainable parameter'):
        lookahead_affinity(model, batches, 0.1)


def test_a_loss_of_zero_or_infinity_is_left_out():
    model = Quadratics([0.0, 0.0], dict(x=1.0, y=1.0), dict(x=[0.0, 0.0], y=[1.0, 0.0]))
    batches = [dict(x=dict(scale=1.0), y=dict(scale=scale)) for scale in (1.0, 1e200)]
    found = lookahead_affinity(model, batches, 1e200)
    assert np.isnan(found[:, :, 0]).all()  # x is at its target
    assert np.isnan(found[1, 1, 1])
    with pytest.raises(ConfigError, match=r"losses of \['x', 'y'\] are 0 or not finite"):
        summary(['x', 'y'], found)


def test_summary_is_mean_and_standard_error_of_the_finite():
    found = np.array([[[0.5, 0.1], [0.2, 0.5]], [[0.5, 0.3], [NAN, 0.5]], [[0.5, 0.2], [0.4, 0.5]]])
    got = summary(['x', 'y'], found)
    np.testing.assert_allclose(got['affinity'], [[0.5, 0.2], [0.3, 0.5]])
    # Of 0.1, 0.3, 0.2: deviation 0.1; of 0.2, 0.4: 0.1414.
    np.testing.assert_allclose(got['standard_error'], [[0, 0.1 / 3**0.5], [0.1, 0]], atol=1e-15)
    assert got['groups'] == [['x', 'y']]
    text = format_affinity(dict(got, steps=3, learning_rates=[0.1, 0.2])).splitlines()
    assert text[0].endswith('in %, SGD step of 0.1 to 0.2, mean of 3 batches:')
    assert text[1].split() == ['step', 'for', 'x', 'y']
    assert text[2].split() == ['x', '+50', '±', '0', '+20', '±', '5.8']
    assert text[5] == '1 group: x, y (total +50 %) <- suggested'


# Tasks 0 and 1 help each other, 2 and 3 do; across the two they harm.
TWO_PAIRS = np.array(
    [
        [9.0, 0.30, -0.1, -0.2],
        [0.20, 9.0, -0.1, -0.1],
        [-0.1, -0.1, 9.0, 0.10],
        [-0.1, -0.1, 0.05, 9.0],
    ]
)


def test_grouping_by_hand():
    best = best_groups(TWO_PAIRS)
    assert suggestion(best) == [[0, 1], [2, 3]]
    assert best[2] == (pytest.approx(0.30 + 0.20 + 0.10 + 0.05), [[0, 1], [2, 3]])
    assert best[3] == (pytest.approx(0.5), [[0, 1], [2], [3]])
    assert best[4] == (0, [[0], [1], [2], [3]])
    # Onto each task the mean of the three others.
    off = TWO_PAIRS - 9 * np.eye(4)
    assert best[1] == (pytest.approx(off.sum() / 3), [[0, 1, 2, 3]])


def test_both_directions_of_a_pair_count():
    # 0 helps 1 more than 1 harms 0, but 2 less than 2 harms 0.
    affinity = np.array([[0, 1.0, 0.1], [-0.2, 0, 0], [-0.3, 0, 0]])
    assert total_affinity(affinity, [[0, 1], [2]]) == pytest.approx(0.8)
    assert suggestion(best_groups(affinity)) == [[0, 1], [2]]


def test_tasks_that_only_harm_stay_alone():
    assert suggestion(best_groups(-np.ones((3, 3)))) == [[0], [1], [2]]
    # Nothing gained or lost: one network is cheaper.
    assert suggestion(best_groups(np.zeros((3, 3)))) == [[0, 1, 2]]


def test_all_partitions_are_compared():
    bell = [1]
    for n in range(8):
        bell.append(sum(comb(n, k) * bell[k] for k in range(n + 1)))
    for count in range(1, 9):
        found = {tuple(sorted(map(tuple, groups))) for groups in _partitions(list(range(count)))}
        assert len(found) == bell[count]
        assert all(sorted(sum(groups, ())) == list(range(count)) for groups in found)


def test_more_than_eight_tasks_are_merged_step_by_step():
    blocks = [[0, 4, 8], [1, 5], [2, 3, 6, 7, 9]]
    affinity = np.full((10, 10), -0.5)
    for block in blocks:
        affinity[np.ix_(block, block)] = 0.1
    best = best_groups(affinity)
    assert list(best) == list(range(1, 11))
    assert suggestion(best) == blocks
    assert best[3][0] == pytest.approx(1.0)


def test_the_rates_are_those_of_the_optimizer(toy_cfg, toy_model):
    toy_cfg.optim_wrapper.paramwise_cfg = dict(custom_keys={'backbone.conv1': dict(lr_mult=0.1)})
    rates = _backbone_rates(toy_model, toy_cfg)
    names = [name for name, _ in toy_model.backbone.named_parameters()]
    lr = toy_cfg.optim_wrapper.optimizer.lr
    assert rates == [pytest.approx(0.1 * lr if name.startswith('conv1.') else lr) for name in names]


def test_the_tool_on_a_real_model(trained, tmp_path, capsys):
    checkpoint = trained[2] / 'iter_4.pth'
    sizes = [f'train_dataloader.{task}.batch_size=2' for task in ('cls', 'det', 'seg')]
    options = ['--steps', 2, '--out', tmp_path / 'a.json', '--cfg-options', *sizes]
    assert run_tool('analyze', 'affinity', TOY_CONFIG, checkpoint, *options) == 0
    printed = capsys.readouterr().out
    assert '<- suggested' in printed and printed.endswith('a.png\n')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'a.png']
    found = json.loads((tmp_path / 'a.json').read_text())
    affinity = np.array(found['affinity'])
    assert found['tasks'] == ['cls', 'det', 'seg'] and affinity.shape == (3, 3)
    # A short step along its own gradient lowers each loss.
    assert (affinity.diagonal() > 0).all() and np.abs(affinity).max() < 1


def test_a_file_that_could_run_code_is_for_those_who_trust_it(trained, tmp_path, capsys):
    odd = tmp_path / 'odd.pth'
    torch.save(dict(read_checkpoint(trained[2] / 'iter_4.pth'), path=Path('here')), odd)
    sizes = [f'train_dataloader.{task}.batch_size=2' for task in ('cls', 'det', 'seg')]
    given = [TOY_CONFIG, odd, '--steps', 1, '--cfg-options', *sizes]
    assert run_tool('analyze', 'affinity', *given) == 2
    assert f'error: {odd} is refused: it holds pathlib' in capsys.readouterr().err
    assert run_tool('analyze', 'affinity', *given, '--trust-checkpoint') == 0


@pytest.mark.parametrize(
    'argv, message',
    [
        (['gone.pth'], 'gone.pth: no such checkpoint file'),
        (['gone.pth', '--out', 'a.csv'], 'give a name in .json or .png'),
        (['gone.pth', '--lr', '0'], '--lr is 0.0; give a number above 0'),
    ],
)
def test_bad_input_is_one_sentence(toy_root, tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    assert run_tool('analyze', 'affinity', TOY_CONFIG, *argv) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error
    assert not [*tmp_path.iterdir()]
