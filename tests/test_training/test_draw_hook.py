from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from allinone.errors import ConfigError
from allinone.io.images import read_image, write_image
from allinone.registry import HOOKS, RUNNERS
from allinone.tasks import Classification, Detection


def test_every_tested_image_is_drawn(trained, toy_cfg, toy_root, tmp_path):
    toy_cfg.load_from = str(trained[2] / 'iter_4.pth')
    toy_cfg.custom_hooks = [
        dict(type='PredictionVisualizationHook', out_dir=str(tmp_path / 'drawn'))
    ]
    toy_cfg.test_cfg.score = {}
    runner = RUNNERS.build(toy_cfg)
    runner.test()
    for task, loader in runner.test_loop.dataloader.loaders.items():
        drawn = sorted((tmp_path / 'drawn' / task).glob('*'))
        assert len(drawn) == len(loader.dataset)
        assert {path.suffix for path in drawn} == {'.png'}
        height, width = read_image(drawn[0]).shape[:2]
        # Annotations beside the prediction
        assert height >= 480 and width > 2 * 600


def test_annotations_are_in_the_pixels_of_the_file(trained, toy_cfg, tmp_path, monkeypatch):
    """Also where the pipeline reads them before it resizes the image."""
    toy_cfg.load_from = str(trained[2] / 'iter_4.pth')
    toy_cfg.test_cfg.score = {}
    for key in ('test_dataloader', 'test_evaluator'):
        toy_cfg[key] = dict(det=toy_cfg[key].det)
    pipeline = toy_cfg.test_dataloader.det.dataset.pipeline
    (loading,) = [step for step in pipeline if step.type == 'LoadAnnotations']
    rest = [step for step in pipeline if step.type not in ('LoadAnnotations', 'LoadImageFromFile')]
    pipeline[:] = [
        pipeline[0],
        loading,
        dict(type='Resize', scale=(128, 128), keep_ratio=True),
        *[step for step in rest if step.type != 'Resize'],
    ]
    truths = []

    truth_of = Detection.ground_truth

    def keep(kind, sample, info=None):
        truths.append((truth_of(kind, sample, info), sample.img_path))
        return truths[-1][0]

    monkeypatch.setattr(Detection, 'ground_truth', keep)
    toy_cfg.custom_hooks = [
        dict(type='PredictionVisualizationHook', out_dir=str(tmp_path / 'drawn'))
    ]
    runner = RUNNERS.build(toy_cfg)
    runner.test()
    dataset = runner.test_loop.dataloader.loaders['det'].dataset
    assert len(truths) == len(dataset)
    for index, (truth, path) in enumerate(truths):
        info = dataset.get_data_info(index)
        assert info['img_path'] == path
        boxes = [entry['bbox'] for entry in info['instances']]
        assert truth.pred_instances.bboxes.tolist() == boxes


class TwoFolders:
    """Two images with one stem."""

    metainfo = dict(classes=['a', 'b'])

    def __init__(self, root):
        self.paths = [str(root / folder / 'same.png') for folder in 'xy']

    def __len__(self):
        return 2

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])


@pytest.fixture
def testing(tmp_path):
    dataset = TwoFolders(tmp_path)
    for path in dataset.paths:
        write_image(path, np.zeros((64, 64, 3), np.uint8))
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(part=dict(signs=SimpleNamespace(dataset=dataset)).get),
        kinds=dict(signs=Classification()),
    )
    runner = SimpleNamespace(test_loop=loop, val_loop=loop)
    samples = [
        DataSample(metainfo=dict(img_path=path))
        .set_pred_label(0)
        .set_pred_score(torch.tensor([0.9, 0.1]))
        for path in dataset.paths
    ]
    return runner, dict(signs=samples)


def test_images_with_one_stem_do_not_overwrite_each_other(testing, tmp_path):
    runner, outputs = testing
    hook = HOOKS.build(dict(type='PredictionVisualizationHook', out_dir=str(tmp_path / 'drawn')))
    for _ in range(2):
        hook.before_test(runner)
        hook.after_test_iter(runner, 0, outputs=outputs)
        assert len(list((tmp_path / 'drawn/signs').iterdir())) == 2


@pytest.mark.parametrize('during_val', [False, True])
def test_validation_is_drawn_only_if_asked_for(testing, tmp_path, during_val):
    runner, outputs = testing
    hook = HOOKS.build(
        dict(
            type='PredictionVisualizationHook',
            out_dir=str(tmp_path / 'drawn'),
            during_val=during_val,
        )
    )
    hook.after_val_iter(runner, 0, outputs=outputs)
    assert (tmp_path / 'drawn').exists() == during_val


def test_samples_that_do_not_name_their_image(testing, tmp_path):
    runner, _ = testing
    hook = HOOKS.build(dict(type='PredictionVisualizationHook', out_dir=str(tmp_path / 'drawn')))
    with pytest.raises(ConfigError, match="signs.*add 'img_path' to meta_keys"):
        hook.after_test_iter(runner, 0, outputs=dict(signs=[DataSample()]))
