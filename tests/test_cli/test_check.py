"""All checks of a config and its data, without training."""

import re

import pytest
from conftest import run_tool, tiny, write_config


@pytest.fixture
def checked(tmp_path, capsys):
    """Status and output of ``tools/check.py`` on a config."""

    def run(cfg, *options):
        cfg.param_scheduler = None  # That of the tests is cut, of which there are warnings.
        cfg.work_dir = str(tmp_path / 'work')
        status = run_tool('check', write_config(cfg, tmp_path / 'config.py'), *options)
        assert not (tmp_path / 'work').exists()
        return status, *capsys.readouterr()

    return run


def test_a_sound_config(toy_root, tmp_path, checked):
    status, out, error = checked(tiny(tmp_path / 'work', experiment_name=tmp_path.name))
    assert (status, error) == (0, '') and out.splitlines()[-1].endswith('no error, 0 warnings')


def test_warnings_are_one_list(cfg, toy, checked):
    for stage in ('train', 'val'):
        lines = (toy / f'cls/{stage}.txt').read_text().splitlines()
        kept = [line for line in lines if not line.endswith(' 3')]
        (toy / f'cls/{stage}.txt').write_text('\n'.join(kept))
    status, out, error = checked(cfg)
    warnings = [line for line in out.splitlines() if line.startswith('warning: ')]
    assert (status, error) == (1, '') and len(warnings) == 2
    assert all('has no sample of class' in line for line in warnings)


@pytest.mark.parametrize(
    'key, value, says',
    [
        ('train_dataloader.cls.dataset.ann_file', 'none.txt', 'train_dataloader.cls'),
        ('val_dataloader.seg.drop_last', True, 'metrics would be of a part of the data set'),
        ('val_dataloader.det.num_batch_per_epoch', 2, 'metrics would be of a part'),
        ('test_dataloader.cls.drop_last', True, 'test_dataloader.cls.drop_last is True'),
        ('val_evaluator.cls.topk', (1, 9), r'val_evaluator.cls: topk is \(1, 9\), but the head'),
        ('optim_wrapper.optimizer.lr', 0, 'optim_wrapper.optimizer.lr is 0; give a number above'),
        ('optim_wrapper.clip_grad', dict(max_norm=0), 'clip_grad.max_norm is 0; give a number ab'),
        ('val_evaluator.seg.ignore_index', 0, 'ignore_index is 0, but pixels of the data set'),
    ],
)
def test_what_would_stop_a_run_or_change_a_metric(cfg, checked, key, value, says):
    cfg.merge_from_dict({key: value})
    status, _, error = checked(cfg)
    assert status == 2 and error.count('\n') == 1
    assert re.search(says, error), error


@pytest.mark.parametrize('name', ['a/b', 'a.b', ''])
def test_names_of_tasks(cfg, checked, name):
    cfg.model.tasks[name] = cfg.model.tasks.pop('cls')
    status, _, error = checked(cfg)
    assert status == 2 and f'model.tasks has the name {name!r}' in error
