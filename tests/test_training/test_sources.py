"""Training, validation and test with a source that serves three tasks from the same images."""

import copy

import pytest
import torch
from bad_input import put
from conftest import joined, write_config
from shared_config import STREET, alone, shared_cfg
from shared_data import BOXED, CLASSED, LANED, MAPPED, det, lane, seg

from allinone.errors import ConfigError, DataError
from allinone.training.run import build_runner, build_test_runner


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('sources')


@pytest.fixture(scope='module')
def run(folder):
    """A training of 4 steps with a validation: ``(runner, config)``."""
    cfg = shared_cfg(folder / 'data', folder / 'work')
    runner = build_runner(copy.deepcopy(cfg))
    runner.train()
    return runner, cfg


@pytest.fixture
def cfg(folder, tmp_path):
    return shared_cfg(folder / 'data', tmp_path / 'work', **{'train_cfg.dry_run': False})


def scalars(runner, name):
    return [float(value) for value in runner.message_hub.log_scalars[name].data[0]]


def refusal(cfg, kind=ConfigError):
    """The sentence by which a training does not begin."""
    with pytest.raises(kind) as error:
        build_runner(cfg).train()
    assert '\n' not in str(error.value)
    return str(error.value)


def test_each_task_is_logged_with_its_labelled_images(run):
    runner, _ = run
    loader = runner.train_dataloader.loaders['street']
    runner.train_dataloader.seek(dict(street=0), 1)
    draws = iter(loader.batch_sampler)
    labelled = loader.dataset.labelled
    batches = [labelled[[int(draw) for draw in next(draws)]].sum(0) for _ in range(4)]
    for column, task in enumerate(STREET):
        assert scalars(runner, f'train/{task}/batch_size') == [batch[column] for batch in batches]
    assert all(batch.min() >= 1 for batch in batches)
    assert len(scalars(runner, 'train/street/data_time')) == 4
    assert len(scalars(runner, 'train/cls/data_time')) == 4
    assert 'train/det/data_time' not in runner.message_hub.log_scalars


def test_loader_of_a_shared_source(run):
    runner, _ = run
    sampler = runner.train_dataloader.loaders['street'].sampler
    assert type(sampler).__name__ == 'SharedSampler' and sampler.batch_size == 4
    assert sampler.least.tolist() == [1, 1, 1]
    assert runner.train_dataloader.tasks == dict(cls=('cls',), street=STREET)
    found = {(part.task, part.images) for part in runner.train_dataloader.parts}
    assert found == {('cls', 7), ('det', 6), ('seg', 5), ('lane', 2)}


def test_metainfo_is_that_of_each_task(run, folder):
    checkpoint = torch.load(folder / 'work/iter_4.pth', weights_only=False)
    classes = {task: info['classes'] for task, info in checkpoint['meta']['dataset_meta'].items()}
    assert classes['lane'] == ('other', 'lane') and set(classes) == {*STREET, 'cls'}


def test_the_manifest_has_the_labels_of_each_task(run):
    record = run[0].record['datasets']
    key = 'train_dataloader.street.dataset.labels'
    sizes = {name: data['size'] for name, data in record.items() if name.startswith('train_')}
    assert sizes == {
        'train_dataloader.cls': len(CLASSED),
        f'{key}.det': len(BOXED),
        f'{key}.seg': len(MAPPED),
        f'{key}.lane': len(LANED),
    }
    digests = [list(record[f'{key}.{task}']['annotations'].values()) for task in STREET]
    assert all(digests) and len({*map(str, digests)}) == 3


def test_resumed_is_as_uninterrupted(run, cfg, folder):
    cfg.load_from, cfg.resume = str(folder / 'work/iter_2.pth'), True
    cfg.force_resume = False
    cfg.work_dir = str(folder / 'work')
    cfg.default_hooks.checkpoint.out_dir = str(cfg.work_dir)
    runner = build_runner(cfg)
    runner.train()
    for name, value in run[0].model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[name]), name


def test_changed_labels_are_another_run(run, cfg, folder, tmp_path):
    checkpoint = next(folder.glob('work/**/iter_2.pth'))
    listed = tmp_path / 'lane.txt'
    listed.write_text('01\n')
    cfg.train_dataloader.street.dataset.labels.lane.ann_file = str(listed)
    cfg.load_from, cfg.resume, cfg.force_resume = str(checkpoint), True, False
    text = refusal(cfg)
    assert 'train_dataloader.street.dataset.labels.lane had 2 samples and has 1' in text
    cfg = shared_cfg(folder / 'data', tmp_path / 'other')
    cfg.train_dataloader.street.batch_size = 5
    cfg.load_from, cfg.resume, cfg.force_resume = str(checkpoint), True, False
    assert 'train_dataloader.street.batch_size was 4 and is 5' in refusal(cfg)


@pytest.fixture(scope='module')
def metrics(run, folder):
    """Of the checkpoint, by a test with the shared source."""
    cfg = shared_cfg(folder / 'data', folder / 'tested')
    return build_test_runner(cfg, checkpoint_of(folder)).test()


def checkpoint_of(folder):
    return str(folder / 'work/iter_4.pth')


def test_metrics_are_those_of_a_source_for_each_task(metrics, cfg, folder):
    pipeline = [
        dict(type='mmengine.LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True),
        dict(type='LoadAnnotations'),
    ]
    data = folder / 'data'
    loaders = dict(
        det=det(data, pipeline=[*pipeline, dict(type='PackDetInputs')], test_mode=True),
        seg=seg(data, pipeline=[*pipeline, dict(type='PackSegInputs')], test_mode=True),
        lane=lane(data, pipeline=[*pipeline, dict(type='PackSegInputs')], test_mode=True),
        cls=alone(data),
    )
    cfg.test_dataloader = {
        task: dict(batch_size=2, num_workers=0, dataset=dataset)
        for task, dataset in loaders.items()
    }
    found = build_test_runner(cfg, checkpoint_of(folder)).test()
    assert found.keys() == metrics.keys() and 0 < found['seg/mIoU']
    for name, value in found.items():
        assert metrics[name] == pytest.approx(value, rel=1e-5), name


def test_some_of_the_tasks_are_tested(metrics, cfg, folder):
    cfg.test_dataloader.street.batch_size = 1
    found = build_test_runner(cfg, checkpoint_of(folder), ['lane']).test()
    lanes = {name: value for name, value in metrics.items() if name.startswith('lane/')}
    assert found == pytest.approx(lanes, rel=1e-5) and lanes


def test_metrics_of_three_processes_are_those_of_one(metrics, folder, tmp_path):
    """8 images, and a ninth that is the first again; a process has 1 to 3 with label maps."""

    def tested(rank):
        cfg = shared_cfg(folder / 'data', tmp_path / 'work')
        cfg.launcher = 'pytorch'
        torch.set_num_threads(1)
        found = build_test_runner(cfg, checkpoint_of(folder)).test()
        return {name: float(value) for name, value in found.items()}

    with joined(tested, tmp_path, 3) as (_, answers):
        found = answers()
    assert found == [{name: float(value) for name, value in metrics.items()}] * 3


def test_drawings_are_those_of_labelled_images(run, cfg, folder, tmp_path):
    hook = dict(type='PredictionVisualizationHook', out_dir=str(tmp_path / 'drawn'))
    cfg.custom_hooks = [hook]
    build_test_runner(cfg, checkpoint_of(folder)).test()
    drawn = {path.relative_to(tmp_path / 'drawn').as_posix() for path in tmp_path.rglob('*.png')}
    expected = dict(det=BOXED, seg=MAPPED, lane=LANED, cls=CLASSED)
    assert drawn == {f'{task}/{n:02d}.png' for task, found in expected.items() for n in found}


def test_micro_batches_and_epochs_are_of_a_source(cfg):
    cfg.train_cfg.update(
        max_iters=None, epochs=dict(source='street', n=1), micro_batches=dict(street=2)
    )
    cfg.train_cfg.val_interval = 1
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 1  # 8 images in 2 batches of 4
    assert scalars(runner, 'train/det/batch_size') == [6]  # each image once


def test_one_shared_source_has_epochs(cfg):
    for stage in ('train', 'val', 'test'):
        cfg[f'{stage}_dataloader'].pop('cls')
    cfg.model.tasks.pop('cls')
    for key in ('val_evaluator', 'test_evaluator'):
        cfg[key].pop('cls')
    cfg.val_cfg.score.pop('cls/top1')
    cfg.test_cfg.score.pop('cls/top1')
    cfg.train_cfg.update(max_iters=None, max_epochs=1, val_interval=1)
    cfg.train_cfg.schedule = dict(type='RoundRobin')
    cfg.model.balancer = dict(type='PCGrad')  # Each step has several tasks.
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 2
    found = {part: f'train/{part}/weight' in runner.message_hub.log_scalars for part in STREET}
    assert all(found.values())


def test_a_schedule_chooses_sources(cfg):
    cfg.train_cfg.schedule = dict(type='RoundRobin')
    runner = build_runner(cfg)
    runner.train()
    assert len(scalars(runner, 'train/cls/batch_size')) == 2
    assert len(scalars(runner, 'train/lane/batch_size')) == 2


def test_gradient_methods_need_several_tasks_in_each_step(cfg):
    cfg.train_cfg.schedule = dict(type='RoundRobin')
    cfg.model.balancer = dict(type='PCGrad')
    assert refusal(cfg) == (
        "train_cfg.schedule.type is 'RoundRobin', one source a step, but model.balancer.type "
        "'PCGrad' compares the gradients of several; use train_cfg.schedule=dict(type='AllTasks')"
    )


def test_a_schedule_that_follows_metrics_of_tasks_is_refused(cfg):
    cfg.train_cfg.schedule = dict(type='StopAndGo', metrics=['det/bbox_mAP'])
    assert refusal(cfg) == (
        "train_cfg.schedule.type is 'StopAndGo', which follows a metric of each source, but source "
        "'street' serves ['det', 'seg', 'lane']; use a schedule without metrics, such as "
        "'AllTasks' or 'FixedProportions'"
    )


def test_micro_batches_of_a_task_in_a_shared_source_are_refused(cfg):
    cfg.train_cfg.micro_batches = dict(det=2)
    assert refusal(cfg) == (
        "train_cfg.micro_batches has 'det', but train_dataloader has only ['street', 'cls']"
    )


def test_a_source_of_a_free_name_for_one_task(cfg):
    """Also where another source serves the task."""
    cfg.train_dataloader.more = dict(cfg.train_dataloader.cls, tasks=('cls',), batch_size=3)
    cfg.val_dataloader.listed = dict(cfg.val_dataloader.pop('cls'), tasks=('cls',))
    runner = build_runner(cfg)
    runner.train()
    assert scalars(runner, 'train/cls/batch_size') == [5] * 4
    assert scalars(runner, 'val/cls/top1')


def test_two_sources_that_number_classes_otherwise_are_refused(cfg):
    more = copy.deepcopy(cfg.train_dataloader.street)
    more.tasks = ('lane',)
    more.dataset.labels = dict(lane=more.dataset.labels.lane)
    more.dataset.labels.lane.metainfo = dict(classes=('lane', 'other'))
    cfg.train_dataloader.more = more
    assert refusal(cfg) == (
        'train_dataloader.more.dataset.labels.lane numbers its classes by metainfo.classes as '
        "['lane', 'other'], but train_dataloader.street.dataset.labels.lane as ['other', 'lane'], "
        'so one label would stand for two classes; give both the same metainfo.classes'
    )


def test_a_test_that_numbers_classes_otherwise_is_refused(cfg):
    cfg.test_dataloader = copy.deepcopy(cfg.test_dataloader)
    cfg.test_dataloader.street.dataset.labels.lane.metainfo = dict(classes=('lane', 'other'))
    assert refusal(cfg).startswith(
        'test_dataloader.street.dataset.labels.lane numbers its classes by metainfo.classes as '
        "['lane', 'other'], but train_dataloader.street.dataset.labels.lane as ['other', 'lane']"
    )


def test_labels_outside_the_head_are_named_by_their_task(cfg):
    cfg.model.tasks.lane.decode_head.num_classes = 3
    assert refusal(cfg, DataError).startswith(
        'train_dataloader.street.dataset.labels.lane: metainfo.classes has 2 names, but the head'
    )


def test_labels_of_another_kind_are_refused(cfg, folder):
    labels = cfg.train_dataloader.street.dataset.labels
    labels.pop('lane')
    labels.lane = det(folder / 'data')
    assert refusal(cfg) == (
        "train_dataloader.street.dataset.labels.lane has labels of the kind 'detection', but "
        "model.tasks.lane is of the kind 'segmentation'; give it the data set that a source of "
        'lane alone has'
    )


def test_a_batch_without_any_label_is_refused(cfg):
    """Such as a collate function of the user's makes."""
    runner = build_runner(cfg)
    loaders = runner.train_loop.dataloader
    batch = loaders.first('street', 1)
    batch['data_samples'][0].labels.clear()
    runner.model.bind_sources(loaders.tasks)
    optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    with pytest.raises(DataError, match=r"has no label of any of the tasks \['det', 'seg', 'lane"):
        runner.model.train_step(dict(street=batch), optim_wrapper)


def test_a_hook_that_changes_the_pipeline_of_a_task_is_refused(cfg):
    cfg.custom_hooks = [dict(type='mmdet.PipelineSwitchHook', switch_epoch=1, switch_pipeline=[])]
    cfg.train_dataloader.pop('cls')
    cfg.model.tasks.pop('cls')
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    assert refusal(cfg).startswith(
        "custom_hooks.0: PipelineSwitchHook changes the pipeline of a task, but source 'street' "
        "has one pipeline for ['det', 'seg', 'lane']; "
    )


def test_a_broken_image_is_skipped_or_named(cfg, folder, tmp_path):
    from shared_data import write_shared_data

    data = tmp_path / 'broken'
    write_shared_data(data)
    (data / 'images/01.png').write_bytes(b'no image')
    broken = shared_cfg(data, tmp_path / 'broken_work')
    broken.val_dataloader = broken.val_cfg = broken.val_evaluator = None
    broken.test_dataloader = broken.test_cfg = broken.test_evaluator = None
    broken.train_dataloader.pop('cls')
    broken.model.tasks.pop('cls')
    broken.train_cfg.update(dry_run=False, max_iters=2)
    text = refusal(copy.deepcopy(broken), DataError)
    assert text.startswith('source street: ') and '01.png' in text
    assert 'train_dataloader.street.skip_corrupt=True' in text
    broken.train_dataloader.street.skip_corrupt = True
    runner = build_runner(broken)
    runner.train()
    assert runner.iter == 2


def test_the_check_of_a_config(cfg, tmp_path, capsys):
    from conftest import run_tool

    cfg.train_cfg.max_iters = 300
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('check', config) == 0
    assert capsys.readouterr().out.endswith('config.py: no error, 0 warnings\n')


def test_labels_of_half_the_weight_are_logged_with_half_the_loss(run, cfg):
    plain, _ = run
    cfg.train_dataloader.cls.label_weights = dict(cls=0.5)
    cfg.train_dataloader.street.label_weights = dict(lane=2)
    cfg.train_cfg.max_iters = 1
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    runner = build_runner(cfg)
    runner.train()
    for task, weight in dict(cls=0.5, lane=2, seg=1).items():
        expected = weight * scalars(plain, f'train/{task}/loss')[0]
        assert scalars(runner, f'train/{task}/loss') == [pytest.approx(expected, rel=1e-5)]


def test_the_part_of_a_task_is_printed(cfg, tmp_path, capsys):
    from conftest import run_tool

    cfg.train_dataloader.street.label_weights = dict(det=0.5, lane=0.25)
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('print_config', config, '--task', 'lane') == 0
    found = {}
    exec(capsys.readouterr().out, found)
    street = found['train_dataloader']['street']
    assert street['tasks'] == ('lane',) and list(street['dataset']['labels']) == ['lane']
    assert street['label_weights'] == dict(lane=0.25)
    assert list(found['val_evaluator']) == ['lane']


def test_statistics_of_a_shared_source_are_estimated_again(cfg):
    put('model.backbone.norm_cfg', dict(type='BN', requires_grad=True, _delete_=True))(cfg)
    cfg.custom_hooks = [dict(type='PreciseBNHook', batches=2)]
    cfg.train_cfg.update(max_iters=1, val_interval=5)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    runner = build_runner(cfg)
    runner.train()
    assert 'statistics of' in open(runner.logger.log_file).read()
    state = runner.model.state_dict()
    variances = [value for name, value in state.items() if name.endswith('running_var')]
    assert len(variances) == 52 and all(value.min() > 0 for value in variances)
