"""What training sees, drawn."""

import numpy as np
import pytest
import torch
from conftest import ROOT, TOY_CONFIG, run_tool

from allinone.cli.programs import browse as module
from allinone.cli.programs.browse import _image, browse
from allinone.config.loading import load_config
from allinone.io.images import read_image
from allinone.models.allinone import AllInOne
from allinone.registry import RUNNERS


def test_the_images_are_those_of_the_first_steps(toy_cfg, monkeypatch):
    """Compared with what the model is given by a run."""
    seen = []
    losses = AllInOne.task_losses

    def spy(self, task, batch):
        preprocess = self.tasks[task].data_preprocessor
        forward = preprocess.forward

        def record(data, training):
            found = forward(data, training)
            if task == 'det':
                seen.extend(found['inputs'].clone())
            return found

        monkeypatch.setattr(preprocess, 'forward', record)
        return losses(self, task, batch)

    monkeypatch.setattr(AllInOne, 'task_losses', spy)
    toy_cfg.train_cfg.update(max_iters=2, val_interval=10, dry_run=False)
    drawn = []

    def keep(inputs, preprocessor):
        drawn.append(inputs.clone())
        return _image(inputs, preprocessor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, '_image', keep)
        found = [entry for _, entry in zip(range(4), browse(toy_cfg, 'det'))]
    RUNNERS.build(toy_cfg).train()
    assert len(found) == len(drawn) == 4
    for one, other in zip(drawn, seen):
        assert torch.equal(one, other)


@pytest.mark.parametrize('task', ['cls', 'det', 'seg'])
def test_normalisation_is_undone(toy_cfg, task):
    """Where nothing is augmented, the image is that of the file."""
    path, drawing = next(browse(toy_cfg, task, 'val'))
    image = read_image(path)[..., ::-1]
    taken = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, '_image', lambda *a: taken.append(_image(*a)) or taken[-1])
        next(browse(toy_cfg, task, 'val'))
    if taken[0].shape == image.shape:
        assert np.abs(taken[0].astype(int) - image).max() <= 1
    else:
        assert np.abs(taken[0].mean((0, 1)) - image.mean((0, 1))).max() < 3
    assert min(drawing.shape[:2]) >= 480


def test_tool(toy_root, tmp_path, capsys):
    args = [TOY_CONFIG, '--out-dir', tmp_path / 'out', '--count', 3]
    assert run_tool('browse_dataset', *args) == 0
    for task in ('cls', 'det', 'seg'):
        assert len(list((tmp_path / 'out' / task).glob('*.jpg'))) == 3
        assert read_image(tmp_path / f'out/{task}.jpg').shape[1] > 1000
    assert run_tool('browse_dataset', *args, '--tasks', 'lane') == 2
    assert run_tool('browse_dataset', *args, '--stage', 'trial') == 2
    err = capsys.readouterr().err
    assert "--tasks has ['lane']; train_dataloader of" in err
    assert "--stage is 'trial'; the choices are" in err


def test_a_shared_source_has_all_labels_of_an_image_in_one_drawing(toy_root, tmp_path, monkeypatch):
    shared = ROOT / 'configs/toy/mobilenetv2_toy_shared.py'
    given, titles = [], []
    draw, join = module.draw_tasks, module.side_by_side
    monkeypatch.setattr(
        module,
        'draw_tasks',
        lambda image, truth, *a, **k: given.append(truth) or draw(image, truth, *a, **k),
    )
    monkeypatch.setattr(
        module,
        'side_by_side',
        lambda drawings: titles.append([t for t, _ in drawings]) or join(drawings),
    )
    cfg = load_config(str(shared))
    found = [entry for _, entry in zip(range(8), browse(cfg, 'street', 'val'))]
    assert [len(drawing) for _, drawing in found] and len(titles) == 8
    # By its number, image 3 has no boxes and image 5 no class map.
    place = {int(path[-9:-4]): position for position, (path, _) in enumerate(found)}
    assert titles[place[1]] == ['det, cls, seg', 'drivable']
    assert titles[place[3]] == ['cls, seg (no labels: det)', 'drivable']
    assert titles[place[5]] == ['det, cls (no labels: seg)', 'drivable']
    assert [set(truth) for truth in given[:2]] == [{'det', 'cls', 'seg'}, {'drivable'}]
    assert [set(truth) for truth in given[2 * place[5] :][:2]] == [{'det', 'cls'}, {'drivable'}]
    (path, drawing), *_ = browse(cfg, 'seg', 'val')
    assert path.endswith('00001.jpg') and drawing.shape[1] < found[0][1].shape[1]
    names = [path for _, (path, _) in zip(range(7), browse(cfg, 'seg', 'val'))]
    assert not any(name.endswith('00005.jpg') for name in names)


def test_the_tool_draws_sources_and_tasks(toy_root, tmp_path, capsys):
    shared = ROOT / 'configs/toy/mobilenetv2_toy_shared.py'
    args = [shared, '--out-dir', tmp_path / 'out', '--count', 2]
    assert run_tool('browse_dataset', *args, '--tasks', 'street', 'drivable') == 0
    for name in ('street', 'drivable'):
        assert len(list((tmp_path / 'out' / name).glob('*.jpg'))) == 2
        assert read_image(tmp_path / f'out/{name}.jpg').shape[1] > 1000
    assert run_tool('browse_dataset', *args, '--tasks', 'lane') == 2
    assert "has ['street', 'det', 'seg', 'drivable', 'cls']" in capsys.readouterr().err
