"""Every recipe for images with labels of several tasks, on tiny data in the sets' layouts."""

import json

import pytest
from conftest import ROOT
from small_images import shrink
from street_data import TRAINED, make_bdd100k, make_cityscapes

from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.config.sources import sources_of
from allinone.registry import RUNNERS

RECIPES = sorted(
    f'{folder}/{path.stem}'
    for folder in ('bdd100k', 'cityscapes')
    for path in (ROOT / 'configs' / folder).glob('*.py')
)
ITERATIONS = TRAINED // 2


@pytest.fixture(scope='module', autouse=True)
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('street')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ALLINONE_DATA', str(root))
        make_bdd100k(root)
        make_cityscapes(root / 'cityscapes')
        yield


def recipe(name, work_dir):
    """A recipe with images a sixteenth as large, for one pass over its shared images."""
    cfg = load_config(str(ROOT / f'configs/{name}.py'), work_dir=str(work_dir))
    check_config(cfg)
    cfg.merge_from_dict(
        {
            'model.backbone.init_cfg': None,
            'train_cfg.epochs.n': 1,
            'train_cfg.warmup': None,
            'train_cfg.val_interval': ITERATIONS,
            'train_cfg.dry_run': False,
            'default_hooks.logger.interval': 1,
            # Of 240 MB and more
            'default_hooks.checkpoint': dict(
                _delete_=True, type='CheckpointHook', by_epoch=False, interval=9, save_last=False
            ),
            'experiment_name': str(work_dir).replace('/', '_'),
        }
    )
    for stage in ('train', 'val', 'test'):
        for loader in cfg[f'{stage}_dataloader'].values():
            loader.update(batch_size=2, num_workers=0)
            shrink(loader)
    return cfg


def training_set(cfg):
    return RUNNERS.build(cfg).build_train_loop(cfg.train_cfg).dataloader.loaders['street'].dataset


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_trains_and_validates_with_one_pass_of_the_backbone_a_batch(name, tmp_path):
    cfg = recipe(name, tmp_path)
    runner = RUNNERS.build(cfg)
    passes = []
    runner.model.backbone.register_forward_hook(
        lambda module, images, _: passes.append((module.training, tuple(images[0].shape)))
    )
    runner.train()
    assert runner.iter == ITERATIONS
    sources = sources_of(cfg.train_dataloader)
    assert runner.train_dataloader.batches == dict.fromkeys(sources, ITERATIONS)
    # Crops are of one size, and validation images are padded for all tasks alike.
    count = ITERATIONS * len(sources)
    assert [shape for training, shape in passes if training] == [(2, 3, 32, 64)] * count
    assert sum(not training for training, _ in passes) == len(sources)

    lines = [
        json.loads(line)
        for file in tmp_path.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    losses = [line for line in lines if 'loss' in line]
    assert len(losses) == ITERATIONS
    for task in cfg.model.tasks:
        assert all(0 < line[f'{task}/loss'] < 1e4 for line in losses)
    assert lines[-1].keys() >= {'score', *cfg.val_cfg.score}


def test_links_of_the_converters_are_joined_to_one_image(tmp_path):
    """Three folders of four images each; the last image has no entry of boxes."""
    cfg = recipe('bdd100k/mobilenetv2_boxes_drivable_lane', tmp_path)
    dataset = training_set(cfg)
    assert dataset.tasks == ('det', 'drivable', 'lane') and len(dataset) == TRAINED
    assert dataset.labelled.sum(axis=0).tolist() == [TRAINED - 1, TRAINED, TRAINED]


@pytest.mark.parametrize(
    'name, present', [('convnext-t_masks_semantic', True), ('mobilenetv2_boxes_semantic', False)]
)
def test_masks_are_loaded_where_they_are_trained(tmp_path, name, present):
    dataset = training_set(recipe(f'cityscapes/{name}', tmp_path))
    assert ('masks' in dataset[0]['data_samples'].labels['det'].gt_instances) == present
