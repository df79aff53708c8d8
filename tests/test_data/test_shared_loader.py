"""The loader of a shared source: its minima, and what it refuses before training."""

import copy
import shutil

import pytest
from mmengine.registry import DefaultScope
from shared_config import street
from shared_data import COUNT, lane, seg, write_shared_data

from allinone.data import SharedSampler, shared_source
from allinone.data.loaders import build_loader
from allinone.errors import ConfigError
from allinone.registry import DATA_SAMPLERS

KEY = 'train_dataloader.street'
NEEDED = dict(det=1, seg=1, lane=2)  # as of a head with batch norm behind global pooling
NORM = 'a batch norm of model.tasks.lane sees one value a channel of each image and needs 2 images'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('source')
    write_shared_data(root)
    return root


@pytest.fixture
def cfg(root):
    return dict(batch_size=4, tasks=('det', 'seg', 'lane'), dataset=street(root))


def build(cfg, train=True, needed=NEEDED):
    key = KEY if train else 'val_dataloader.street'
    with DefaultScope.overwrite_default_scope('allinone'):
        return build_loader(
            key, 'street', copy.deepcopy(cfg), 0, None, train, True, None, needed if train else None
        )


def refusal(cfg, *args):
    with pytest.raises(ConfigError) as refused:
        build(cfg, *args)
    assert '\n' not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize('value', [0, 1])
def test_fewer_labelled_images_than_batch_norm_needs_are_refused(cfg, value):
    sentence = f'is {value}, but {NORM}; set it to 2 or more, or set another norm_cfg in '
    cfg['min_labelled'] = dict(lane=value, seg=0)
    assert refusal(cfg) == f'{KEY}.min_labelled.lane {sentence}model.tasks.lane'
    del cfg['min_labelled']
    cfg['sampler'] = dict(type='SharedSampler', min_labelled=dict(lane=value))
    assert refusal(cfg) == f'{KEY}.sampler.min_labelled.lane {sentence}model.tasks.lane'


def test_a_need_of_one_may_be_left_out(cfg):
    cfg['min_labelled'] = dict(lane=2, seg=0)
    assert build(cfg).sampler.least.tolist() == [1, 0, 2]
    cfg['min_labelled'] = dict(lane=0)
    assert build(cfg, True, dict(lane=1)).sampler.least.tolist() == [1, 1, 0]


@pytest.mark.parametrize('name', ['SeededInfiniteSampler', 'InfiniteSampler', 'DefaultSampler'])
def test_samplers_without_minima_are_refused_where_batch_norm_needs_two_images(cfg, name):
    cfg['sampler'] = dict(type=name)
    assert refusal(cfg) == (
        f'{KEY}.sampler.type is {name!r}, so a batch may have 1 labelled image of lane, but '
        f"{NORM}; use 'SharedSampler', or set another norm_cfg in model.tasks.lane"
    )
    build(cfg, True, dict(lane=1))


def test_samplers_without_minima_pass_where_all_images_are_labelled(root, cfg, tmp_path):
    # Images 1 and 4 alone have lanes.
    (tmp_path / 'both.txt').write_text('01\n04\n')
    both = dict(seg(root), ann_file=str(tmp_path / 'both.txt'))
    cfg['dataset']['labels'] = dict(seg=both, lane=lane(root))
    cfg.update(tasks=('seg', 'lane'), batch_size=2, sampler=dict(type='SeededInfiniteSampler'))
    assert len(build(cfg).dataset) == 2


def test_samplers_of_users_that_know_their_minima_pass(cfg):
    class Mine(SharedSampler):
        pass

    class Plain(DATA_SAMPLERS.get('SeededInfiniteSampler')):
        pass

    cfg['sampler'] = dict(type=Mine)
    assert build(cfg).sampler.least.tolist() == [1, 1, 2]
    cfg['sampler'] = dict(type=Plain)
    assert type(build(cfg).sampler) is Plain


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(
        shared_source, 'print_log', lambda text, _, level=20: lines.append((level, text))
    )
    return lines


def test_the_share_of_replaced_images_is_logged(cfg, said):
    cfg.update(batch_size=8, min_labelled=dict(lane=1))
    build(cfg, True, {})
    assert said == [
        (20, f'{KEY}: in the first 50 batches of 8, labelled images replace 0.0% of the images')
    ]


def test_much_replacement_and_images_in_no_batch_are_warnings(cfg, said):
    # Only images 1 and 4 have lanes, and both have all labels.
    cfg.update(batch_size=1)
    build(cfg, True, {})
    (level, much), (other, never) = said
    assert level == other == 30
    assert much.startswith(f'{KEY}: in the first 50 batches of 1, labelled images replace 7')
    remedy = 'raise batch_size, or set min_labelled to 0 for lane or seg or det'
    assert much.endswith(f'of the images; to see all images alike, {remedy}')
    assert never == (
        f'{KEY}: {COUNT - 2} of {COUNT} images are in no batch, for batch_size=1 leaves no place '
        f'beside the images that min_labelled takes; {remedy}'
    )
    said.clear()
    cfg.update(batch_size=2)
    build(cfg, True, dict(lane=2))
    # What batch norm needs stays.
    assert said[0][1].endswith(
        '; to see all images alike, raise batch_size, or set min_labelled to 0 for seg or det'
    )


@pytest.mark.parametrize('name', ['CachedMosaic', 'mmdet.CachedMosaic', 'CachedMixUp'])
@pytest.mark.parametrize('nested', [False, True])
def test_caches_of_workers_are_refused_with_and_without_a_prefix(cfg, name, nested):
    step = dict(type=name, img_scale=(96, 64))
    if nested:
        step = dict(type='RandomApply', transforms=[step])
    cfg['dataset']['pipeline'].insert(2, step)
    inner = '.transforms.0' if nested else ''
    plain = name.removeprefix('mmdet.')
    assert refusal(cfg) == (
        f'{KEY}.dataset.pipeline.2{inner}.type is {plain!r}, which mixes images that its worker '
        'happens to have read, so a resumed run would be another; leave it out, or use '
        f"{plain.removeprefix('Cached')!r} in the pipeline of type='mmdet.MultiImageMixDataset' "
        'for a source of one task'
    )


def test_label_maps_of_another_size_than_the_file_are_refused_in_validation(cfg):
    """Metrics would compare them with predictions of the size of the file."""
    resize = dict(type='mmdet.Resize', scale=(32, 24), keep_ratio=False)
    cfg['dataset']['pipeline'].insert(-1, resize)
    names = [step['type'] for step in cfg['dataset']['pipeline']]
    assert names.index('LoadSharedAnnotations') < names.index('mmdet.Resize', 2)
    message = refusal(cfg, False)
    assert message.startswith('val_dataloader.street.dataset.pipeline: the label map of ')
    assert 'has (24, 32) pixels at the end, but metrics compare at the size of the file' in message
    assert message.endswith('move LoadSharedAnnotations behind the transforms that change the size')
    assert build(cfg)


def test_a_batch_sampler_is_refused(cfg):
    cfg['batch_sampler'] = dict(type='mmdet.AspectRatioBatchSampler')
    assert 'street.batch_sampler is set, but the sampler of a shared source' in refusal(cfg)


def test_minima_of_a_sampler_that_are_no_dictionary_are_refused(cfg):
    cfg['sampler'] = dict(type='SharedSampler', min_labelled=2)
    assert refusal(cfg) == f'{KEY}.sampler.min_labelled is 2; give dict(det=1)'


@pytest.mark.parametrize('name', ['TestTimeAug', 'mmseg.TestTimeAug'])
def test_several_views_are_refused_in_validation(cfg, name):
    steps = cfg['dataset']['pipeline']
    views = dict(type=name, transforms=[[steps[2]], [steps[1]], [steps[-1]]])
    cfg['dataset']['pipeline'] = [steps[0], views]
    assert refusal(cfg, False) == (
        'val_dataloader.street.dataset.pipeline.1 gives several views of an image (TestTimeAug), '
        'which is for sources of one task; leave it out, or make a separate source of each task'
    )


def test_transforms_that_fail_are_refused_with_their_place(cfg):
    cfg['dataset']['pipeline'].insert(3, dict(type='mmdet.Expand', prob=0.3))
    sentence = refusal(cfg)
    assert sentence.startswith(f'{KEY}.dataset.pipeline.3 (Expand) fails (TypeError: ')


@pytest.mark.parametrize('train', [True, False])
def test_a_label_map_that_is_left_behind_is_refused(cfg, tmp_path, train):
    write_shared_data(tmp_path / 'data')
    for number in range(COUNT):  # Of all images with boxes
        path = tmp_path / f'data/seg/{number:02d}.png'
        if not path.exists():
            shutil.copy(tmp_path / 'data/seg/00.png', path)
    cfg['dataset'] = street(tmp_path / 'data')
    labels, steps = cfg['dataset']['labels'], cfg['dataset']['pipeline']
    labels['det']['data_prefix']['seg'] = f'{tmp_path}/data/seg/'
    steps[1]['options'] = dict(det=dict(with_seg=True))
    stage = 'train' if train else 'val'
    assert refusal(cfg, train).startswith(
        f'{stage}_dataloader.street.dataset.pipeline.1: LoadSharedAnnotations loads '
        "'gt_seg_map' of det, which"
    )


def test_samples_of_a_task_carry_the_classes_that_its_data_set_annotates(cfg):
    labels = cfg['dataset']['labels']
    classes = labels['seg']['metainfo']['classes']
    labels['seg']['metainfo'] = dict(labels['seg']['metainfo'], annotated_classes=classes[:2])
    batch = next(iter(build(cfg)))
    marked = {
        task: {sample.metainfo.get('annotated_labels')}
        for shared in batch['data_samples']
        for task, sample in shared.labels.items()
    }
    assert marked == dict(det={None}, seg={(0, 1)}, lane={None})
    labels['seg']['metainfo'] = dict(labels['seg']['metainfo'], annotated_classes=('no',))
    assert refusal(cfg).startswith(f"{KEY}.dataset.labels.seg: metainfo.annotated_classes has 'no'")
