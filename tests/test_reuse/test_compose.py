"""Single-task checkpoints put together, by hand-computed backbones and on the toy model."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT, build_model, run_tool

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.errors import CheckpointError, ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.reuse.compose import average, compose, task_arithmetic
from allinone.reuse.extract import extract
from allinone.training.start_weights import load_start

TASKS = ('cls', 'det', 'seg')


def backbone(value, count):
    return dict(weight=torch.tensor([value, 2 * value]), count=torch.tensor(count))


def test_average():
    found = average(dict(a=backbone(1.0, 3), b=backbone(4.0, 5)), dict(a=2, b=1))
    assert found['weight'].tolist() == [2, 4] and found['count'].item() == 5


def test_arithmetic():
    backbones = dict(a=backbone(2.0, 3), b=backbone(5.0, 4))
    found = task_arithmetic(backbones, backbone(1.0, 7), dict(a=1.0, b=0.5))
    assert found['weight'].tolist() == [1 + 1 + 2, 2 + 2 + 4] and found['count'].item() == 4
    found = task_arithmetic(backbones, backbone(1.0, 7), dict(a=1.0, b=-0.5))
    assert found['weight'].tolist() == [1 + 1 - 2, 2 + 2 - 4]


def test_arithmetic_leaves_no_negative_variance():
    backbones = {name: {'bn.running_var': torch.tensor([0.25, 0.5])} for name in 'abc'}
    ancestor = {'bn.running_var': torch.ones(2)}
    found = task_arithmetic(backbones, ancestor, dict.fromkeys('abc', 1.0))
    torch.testing.assert_close(found['bn.running_var'], torch.tensor([0.25, 0.5]))


@pytest.fixture(scope='module')
def parts(trained, tmp_path_factory):
    """The trained joint model taken apart: config, checkpoint, ``{task: upstream checkpoint}``.

    Each backbone is moved by 1, 2, 3, so that they differ.
    """
    _, cfg, work_dir = trained
    root = tmp_path_factory.mktemp('parts')
    cfg.dump(str(root / 'config.py'))
    cfg = load_config(str(root / 'config.py'))
    checkpoint = work_dir / 'iter_4.pth'
    sources = {}
    for shift, task in enumerate(TASKS, 1):
        extract(cfg, checkpoint, [task], root / task)
        sources[task] = str(root / task / 'upstream.pth')
        loaded = read_checkpoint(sources[task])
        for name, value in loaded['state_dict'].items():
            if name.startswith('backbone.') and value.is_floating_point():
                value += shift
        torch.save(loaded, sources[task])
    return root / 'config.py', checkpoint, sources


@pytest.mark.parametrize(
    'options, shift',
    [
        ([], 2),
        (['--weights', 'cls=0', 'det=1', 'seg=3'], 2.75),
        (['--backbone', 'seg'], 3),
        (['--backbone', 'arithmetic', '--weights', 'cls=1', 'det=0.5', 'seg=0'], 2),
    ],
)
def test_the_backbone_is_merged_and_heads_are_kept(parts, tmp_path, options, shift):
    config, checkpoint, sources = parts
    out = tmp_path / 'joint.pth'
    if 'arithmetic' in options:
        options = [*options, '--ancestor', str(checkpoint)]
    given = [f'{task}={path}' for task, path in sources.items()]
    assert run_tool('compose', config, '--from', *given, '--out', out, *options) == 0
    found, whole = read_checkpoint(out), read_checkpoint(checkpoint)['state_dict']
    state = found['state_dict']
    assert set(state) == {name for name in whole if not name.startswith('balancer.')}
    for name, value in state.items():
        moved = name.startswith('backbone.') and value.is_floating_point()
        torch.testing.assert_close(value, whole[name] + shift if moved else whole[name])
    assert found['meta']['dataset_meta']['seg']['classes'][0] == 'sky'
    # It is enough by itself.
    assert list(AllInOneInferencer(out, device='cpu').model.tasks) == list(TASKS)


def test_tasks_without_a_checkpoint_are_left_to_train(parts, tmp_path, capsys):
    config, checkpoint, sources = parts
    out = tmp_path / 'two.pth'
    given = [f'{task}={sources[task]}' for task in ('cls', 'seg')]
    assert run_tool('compose', config, '--checkpoints', *given, '--out', out) == 0
    assert f'{out} has no weights of det, which no checkpoint was given' in capsys.readouterr().out
    state, joint = (read_checkpoint(path)['state_dict'] for path in (out, checkpoint))
    assert set(state) == {k for k in joint if not k.startswith(('balancer.', 'tasks.det.'))}
    weight = 'backbone.conv1.conv.weight'
    torch.testing.assert_close(state[weight], joint[weight] + 2)  # the mean of 1 and 3
    with pytest.raises(CheckpointError, match=r"lacks all weights of the tasks \['det'\]; train"):
        AllInOneInferencer(out, device='cpu')
    assert list(AllInOneInferencer(out, device='cpu', tasks=['seg']).tasks) == ['seg']
    work = ['--work-dir', tmp_path / 'work']
    assert run_tool('test', config, out, *work) == 2
    assert "lacks all weights of the tasks ['det']; train them" in capsys.readouterr().err
    cfg = load_config(str(config))
    model = build_model(cfg)
    first = model.state_dict()['tasks.det.bbox_head.conv_cls.weight'].clone()
    load_start(model, str(out), {})
    for name, value in model.state_dict().items():
        if not name.startswith(('balancer.', 'tasks.det.')):
            assert torch.equal(value, state[name]), name
    assert torch.equal(model.state_dict()['tasks.det.bbox_head.conv_cls.weight'], first)


def test_the_fine_tuning_config():
    cfg = load_config(str(ROOT / 'configs/traffic_mini/mobilenetv2_composed.py'))
    check_config(cfg)
    assert cfg.load_from and cfg.train_cfg.max_iters == 280 and 'end' not in cfg.param_scheduler[-1]


def test_what_is_refused(parts, tmp_path, capsys):
    config, checkpoint, sources = parts
    cfg, out = load_config(str(config)), tmp_path / 'joint.pth'
    with pytest.raises(ConfigError, match=r"\['dett'\].*\['cls', 'det', 'seg'\]"):
        compose(cfg, dict(dett=sources['det']), out)
    with pytest.raises(ConfigError, match=r'--checkpoints names \[\]'):
        compose(cfg, {}, out)
    with pytest.raises(ConfigError, match=r"--backbone is 'seg'.* one of \['cls'\], whose"):
        compose(cfg, dict(cls=sources['cls']), out, 'seg')
    with pytest.raises(ConfigError, match=r"--weights names \['seg'\]; the tasks are \['cls'\]"):
        compose(cfg, dict(cls=sources['cls']), out, weights=dict(seg=1))
    with pytest.raises(CheckpointError, match="--checkpoints cls is 'no_such_model': there is no"):
        compose(cfg, dict(cls='no_such_model'), out)
    with pytest.raises(ConfigError, match="--backbone is 'mean'"):
        compose(cfg, sources, out, 'mean')
    with pytest.raises(ConfigError, match='arithmetic needs one'):
        compose(cfg, sources, out, 'arithmetic')
    with pytest.raises(ConfigError, match=r"\['dett'\]"):
        compose(cfg, sources, out, weights=dict(dett=1))
    with pytest.raises(ConfigError, match='at least one positive'):
        compose(cfg, sources, out, weights=dict.fromkeys(TASKS, 0))
    with pytest.raises(ConfigError, match='--backbone seg takes one backbone as it is'):
        compose(cfg, sources, out, 'seg', weights=dict(cls=2))
    with pytest.raises(ConfigError, match='finite'):
        compose(cfg, sources, out, 'arithmetic', dict(cls=float('inf')), checkpoint)
    with pytest.raises(ConfigError, match='none negative'):
        compose(cfg, sources, out, weights=dict(cls=-1))
    given = [f'{task}={path}' for task, path in sources.items()]
    assert run_tool('compose', config, '--from', *given, given[0], '--out', out) == 2
    assert "names a task twice: ['cls', 'det', 'seg', 'cls']" in capsys.readouterr().err
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'backbone.conv1.conv.weight': torch.zeros(1)}), other)
    with pytest.raises(CheckpointError, match='another backbone.*conv1.conv.weight'):
        compose(cfg, dict(sources, det=str(other)), out)
    with pytest.raises(CheckpointError, match='tasks.det'):
        compose(cfg, dict(sources, det=sources['seg']), out)
    assert not out.exists()
    out.write_text('mine')
    with pytest.raises(ConfigError, match='exists'):
        compose(cfg, sources, out)
    assert out.read_text() == 'mine'


def test_a_file_that_could_run_code_is_for_those_who_trust_it(parts, tmp_path, capsys):
    config, _, sources = parts
    odd, out = tmp_path / 'odd.pth', tmp_path / 'joint.pth'
    torch.save(dict(read_checkpoint(sources['seg']), path=Path('here')), odd)
    given = [f'{task}={path}' for task, path in dict(sources, seg=odd).items()]
    given = [config, '--from', *given, '--out', out]
    assert run_tool('compose', *given) == 2
    assert f'error: {odd} is refused: it holds pathlib' in capsys.readouterr().err
    assert not out.exists()
    assert run_tool('compose', *given, '--trust-checkpoint') == 0
