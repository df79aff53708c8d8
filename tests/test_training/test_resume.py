"""Going on: from the newest complete checkpoint, as the same run or not at all."""

import json
import os
import re
import shutil
import signal
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import classification, files_of_at_most, literal, single
from kill_and_resume import differences
from mmengine.config import Config
from mmengine.registry import DATASETS

from allinone.apis.run import run
from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import AllInOneError, CheckpointError
from allinone.registry import BALANCERS, RUNNERS, TASK_SCHEDULES
from allinone.tasks import TaskKind
from allinone.training.resume import newest_checkpoint, resume_command
from allinone.training.run_manifest import annotation_hashes, changes, flat_config
from allinone.training.signals import Stopped
from allinone.training.train_loop import MultiTaskTrainLoop


@pytest.fixture
def data(toy_root, tmp_path, monkeypatch):
    shutil.copytree(toy_root / 'toy/cls', tmp_path / 'data/toy/cls')
    monkeypatch.setenv('ALLINONE_DATA', str(tmp_path / 'data'))
    return tmp_path / 'data/toy/cls'


def equal(state, other):
    return state.keys() == other.keys() and all(torch.equal(state[n], other[n]) for n in state)


@pytest.fixture(scope='module')
def finished(toy_root, tmp_path_factory):
    """Work dir of 4 steps, all checkpoints kept, and the model after 6."""
    work = tmp_path_factory.mktemp('finished')
    options = {'default_hooks.checkpoint.max_keep_ckpts': -1}
    train(classification(work / 'work', **options))
    straight = train(classification(work / 'straight', **{'train_cfg.max_iters': 6}))
    return work / 'work', straight.model.state_dict()


@pytest.fixture
def cfg(data, tmp_path):
    return classification(tmp_path / 'work')


@pytest.fixture
def work(finished, tmp_path):
    """A copy of the finished run's work dir, that ``cfg`` can go on in."""
    return shutil.copytree(finished[0], tmp_path / 'work')


def train(cfg):
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


def refusal(cfg):
    with pytest.raises(AllInOneError) as error:
        train(cfg)
    assert '\n' not in str(error.value)
    return str(error.value)


def resumed(cfg, **options):
    cfg = Config(cfg.to_dict())
    cfg.resume = True
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize('save_format, async_save', [('pth', True), ('safetensors', False)])
def test_files_and_what_comes_of_them(cfg, finished, tmp_path, save_format, async_save):
    cfg.default_hooks.checkpoint.update(save_format=save_format, async_save=async_save)
    work = tmp_path / 'work'
    work.mkdir()
    (work / f'iter_9.{save_format}.tmp').write_text('left by a crash')
    expected = train(cfg)
    names = {path.name for path in work.iterdir() if path.is_file()}
    steps = {name for name in names if name.startswith('iter_') and not name.endswith('.json')}
    assert steps == {f'iter_{step}.{save_format}' for step in (3, 4)}
    assert len([n for n in names if n.startswith('best_') and not n.endswith('.json')]) == 1
    assert len([n for n in names if n.endswith('.json')]) == 3 * (save_format == 'safetensors')
    assert not any(name.endswith('.tmp') for name in names)
    assert (work / 'last_checkpoint').read_text() == str(work / f'iter_4.{save_format}')
    found = read_checkpoint(work / f'iter_4.{save_format}')['state_dict']
    assert equal(found, expected.model.state_dict())
    # Gone on from, it ends as the run that never stopped.
    longer = train(resumed(cfg, **{'train_cfg.max_iters': 6}))
    assert equal(longer.model.state_dict(), finished[1])


@pytest.fixture
def accumulating(cfg):
    """11 iterations, an optimizer step after the third, sixth, ninth and last of them."""
    cfg.optim_wrapper.accumulative_counts = 3
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1)
    cfg.merge_from_dict({'train_cfg.max_iters': 11, 'train_cfg.val_interval': 4})
    return cfg


def test_accumulation_is_saved_validated_and_left_between_optimizer_steps(
    accumulating, tmp_path, monkeypatch
):
    """No checkpoint holds the gradients that add up within one."""
    cfg = Config(accumulating.to_dict())
    cfg.update(work_dir=str(tmp_path / 'straight'), experiment_name='straight')
    straight = train(cfg)
    assert straight.message_hub.get_scalar('val/cls/top1').data[0].size == 3
    steps = sorted(int(p.stem.split('_')[1]) for p in tmp_path.glob('straight/iter_*'))
    assert steps == [3, 6, 9, 11]

    run_iter = MultiTaskTrainLoop.run_iter

    def struck(loop, *given):
        run_iter(loop, *given)
        if loop.iter == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match='stopped after step 6'):
        patch.setattr(MultiTaskTrainLoop, 'run_iter', struck)
        train(accumulating)
    whole = read_checkpoint(tmp_path / 'straight/iter_11.pth')
    losses = straight.message_hub.get_scalar('train/loss').data[0].tolist()
    for start in (6, 3):
        given = str(tmp_path / f'work/iter_{start}.pth')
        longer = train(resumed(accumulating, load_from=given))
        found = read_checkpoint(tmp_path / 'work/iter_11.pth')
        assert equal(found['state_dict'], whole['state_dict'])
        assert not differences(found['optimizer'], whole['optimizer'])
        assert longer.message_hub.get_scalar('train/loss').data[0].tolist() == losses


def test_a_checkpoint_amid_an_accumulation_is_another_run_s(accumulating, tmp_path):
    """Longer than it was meant to be, the run would not have made its last optimizer step."""
    train(accumulating)
    longer = resumed(accumulating, **{'train_cfg.max_iters': 15})
    assert 'step 11 is amid 3 iterations of optim_wrapper.accumulative_counts' in refusal(longer)
    longer.force_resume = True
    assert train(longer).iter == 15


def test_the_size_of_batches_is_kept_to_the_end_of_its_interval(toy_root, tmp_path):
    cfg = single('det', 'bbox_mAP_50', tmp_path, **{'train_cfg.max_iters': 6})
    resize = dict(type='BatchSyncRandomResize', random_size_range=(32, 64), interval=4)
    cfg.model.tasks.det.data_preprocessor = dict(batch_augments=[resize])
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    expected = train(cfg)
    (resize,) = expected.model.tasks.det.data_preprocessor.batch_augments
    assert max(resize._input_size) <= 64  # Images have more.
    longer = train(resumed(cfg, load_from=str(tmp_path / 'iter_5.pth')))
    assert equal(longer.model.state_dict(), expected.model.state_dict())


def test_a_validation_that_made_a_best_is_not_made_again(cfg):
    """With a new best the upstream hook saves the step once more, now with the validation's
    values.

    The schedule follows validation, so a resume makes up for one that a kill broke off.
    """
    schedule = dict(type='StopAndGo', metrics=['cls/top1'])
    cfg.merge_from_dict({'train_cfg.schedule': schedule, 'train_cfg.max_iters': 2})
    stopped = train(cfg).train_loop.schedule
    longer = train(resumed(cfg, **{'train_cfg.max_iters': 4}))
    values = longer.message_hub.get_scalar('val/cls/top1').data[0].tolist()
    assert len(values) == 2
    expected = TASK_SCHEDULES.build(schedule, default_args=dict(sizes=stopped.sizes))
    for metric in values:
        expected.after_validation({'cls/top1': metric})
    assert longer.train_loop.schedule.state_dict() == expected.state_dict()


def test_a_balancer_follows_validation_beside_an_average_of_its_buffers(cfg):
    """While a validation looks at an EMA, the model holds averages, the balancer's buffers too."""
    metrics = {'cls/top1': 0.01}
    cfg.model.balancer = dict(type='DynamicTaskPrioritization', metrics=metrics)
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1, update_buffers=True)]
    runner = train(cfg)
    values = runner.message_hub.get_scalar('val/cls/top1').data[0].tolist()
    expected = BALANCERS.build(cfg.model.balancer)
    expected.bind(['cls'])
    for metric in values:
        expected.after_validation({'cls/top1': metric})
    assert len(values) == 2 and float(expected.task_weights) != 1
    assert torch.equal(runner.model.balancer.task_weights, expected.task_weights)


def test_a_failed_save_keeps_the_best_and_the_last(cfg, tmp_path, monkeypatch, caplog):
    """Every save after step 2 fails, and the run goes on until too many have."""
    from allinone.checkpoint import writer as checkpoint_writer

    whole = checkpoint_writer.write_durably

    def full_after_two(path, content):
        if 'best' not in path and int(path.rpartition('_')[2].split('.')[0]) > 2:
            with files_of_at_most(5000):
                whole(path, content)
        whole(path, content)

    monkeypatch.setattr(checkpoint_writer, 'write_durably', full_after_two)
    cfg.merge_from_dict({'default_hooks.checkpoint.max_keep_ckpts': 1, 'train_cfg.max_iters': 3})
    text = refusal(cfg)
    assert 'iter_3.pth cannot be written: File too large; it needs' in text
    assert 'it was the last of the run' in text
    work = tmp_path / 'work'
    path, checkpoint = newest_checkpoint(str(work))
    assert path == str(work / 'iter_2.pth') and checkpoint['meta']['iter'] == 2
    assert (work / 'last_checkpoint').read_text() == path
    monkeypatch.undo()
    monkeypatch.setenv('ALLINONE_DATA', str(tmp_path / 'data'))
    train(resumed(cfg))
    assert [p.name for p in work.glob('iter_*.pth')] == ['iter_3.pth']


def test_a_best_checkpoint_that_fails_leaves_the_earlier_best(cfg, tmp_path, monkeypatch):
    from allinone.checkpoint import writer as checkpoint_writer

    scores = iter([10.0, 20.0, 15.0])
    monkeypatch.setattr(
        'mmengine.evaluator.Evaluator.evaluate',
        lambda self, size: {'accuracy/top1': next(scores), 'accuracy/top5': 1.0},
    )
    whole = checkpoint_writer.write_durably

    def second_best_fails(path, content):
        if 'best' in path and path.endswith('_4.pth'):
            with files_of_at_most(5000):
                whole(path, content)
        whole(path, content)

    monkeypatch.setattr(checkpoint_writer, 'write_durably', second_best_fails)
    cfg.train_cfg.update(max_iters=6, dry_run=False)  # It would evaluate, too.
    runner = train(cfg)
    # 20 was never saved, so 15 is the best after 10.
    assert [p.name for p in (tmp_path / 'work').glob('best_*')] == ['best_cls_top1_iter_6.pth']
    assert runner.message_hub.get_info('best_score') == 15.0


def test_the_newest_complete_checkpoint(work, tmp_path):
    assert newest_checkpoint(str(work))[0] == str(work / 'iter_4.pth')
    cut = (work / 'iter_4.pth').read_bytes()[:-1000]
    (work / 'iter_4.pth').write_bytes(cut)
    (work / 'iter_9.pth.tmp').write_bytes(cut)
    torch.save(dict(state_dict={}), work / 'weights_9.pth')
    os.utime(work / 'iter_2.pth')  # Copied last, but not the latest step
    assert newest_checkpoint(str(work))[0] == str(work / 'iter_3.pth')
    for path in work.glob('iter_*.pth'):
        path.write_bytes(b'')
    with pytest.raises(CheckpointError, match=r'has no checkpoint to go on from: .*iter_3.pth is'):
        newest_checkpoint(str(work))
    assert newest_checkpoint(str(tmp_path)) is None


def test_an_earlier_step_asked_for_leaves_the_later_ones(cfg, work):
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    train(resumed(cfg, load_from=str(work / 'iter_2.pth'), **{'train_cfg.max_iters': 3}))
    assert {p.name for p in work.glob('iter_*')} == {f'iter_{i}.pth' for i in (1, 2, 3)}
    assert {p.name for p in work.glob('earlier_*/*')} == {'iter_3.pth', 'iter_4.pth'}


def test_each_start_is_recorded(work, toy_root):
    (path,) = work.glob('*/run.json')
    record = json.loads(path.read_text())
    assert record['seed'] == 0 and record['processes'] == 1
    found = record['datasets']['train_dataloader.cls']
    assert found['size'] == 16
    (ann_file, digest), *_ = found['annotations'].items()
    assert ann_file == str(toy_root / 'toy/cls/train.txt') and len(digest) == 64
    assert record['config']['train_dataloader.cls.batch_size'] == '8'
    assert record['environment']['torch'] == version('torch')
    assert read_checkpoint(work / 'iter_4.pth')['meta']['run'] == record
    assert Config.fromfile(work / 'mobilenetv2_toy.py').train_cfg.max_iters == 4


def test_another_run_is_refused_and_nothing_overwritten(cfg, work):
    before = {path: path.read_bytes() for path in work.glob('*.*')}
    text = refusal(
        resumed(
            cfg,
            **{
                'train_cfg.max_iters': 5,
                'train_dataloader.cls.batch_size': 4,
                'optim_wrapper.optimizer.lr': 0.5,
                'randomness.seed': 5,
                'model.grad_similarity_interval': 3,
            },
        )
    )
    assert text.startswith(f'{work}/iter_4.pth is of another run: ')
    for clause in (
        'train_dataloader.cls.batch_size was 8 and is 4',
        'optim_wrapper.optimizer.lr was 0.002 and is 0.5',
        'seed was 0 and is 5',
        'model.grad_similarity_interval was 2 and is 3',
        '--force-resume',
    ):
        assert clause in text
    assert {path: path.read_bytes() for path in work.glob('*.*')} == before


def test_changed_annotations_are_refused_unless_forced(cfg, data, work):
    longer = resumed(cfg, **{'train_cfg.max_iters': 5, 'log_level': 'WARNING'})
    lines = (data / 'train.txt').read_text().splitlines()
    lines[0] = lines[0][:-1] + str((int(lines[0][-1]) + 1) % 8)
    (data / 'train.txt').write_text('\n'.join(lines))
    text = refusal(longer)
    assert f'the annotations of train_dataloader.cls changed ({data}/train.txt)' in text
    longer.force_resume = True
    runner = train(longer)
    assert runner.iter == 5 and 'force_resume' not in runner.cfg


def xml_files(root):
    (root / 'Annotations').mkdir(parents=True)
    (root / 'JPEGImages').mkdir()
    (root / 'train.txt').write_text('a\nb\n')
    for name in 'ab':
        (root / f'Annotations/{name}.xml').write_text(
            '<annotation><size><width>40</width><height>30</height></size><object>'
            '<name>dog</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>25</ymax>'
            '</bndbox></object></annotation>'
        )
    return dict(
        type='mmdet.VOCDataset', ann_file='train.txt', data_prefix=dict(sub_data_root=''),
        data_root=str(root),
    ), root / 'Annotations/b.xml'  # fmt: skip


def folders_of_classes(root):
    for name in ('cat/a.png', 'cat/b.png', 'dog/c.png'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.zeros((4, 4, 3), np.uint8))
    return dict(type='mmpretrain.CustomDataset', data_prefix=str(root)), root / 'cat/b.png'


@pytest.mark.parametrize('make', [xml_files, folders_of_classes])
def test_labels_outside_an_annotation_file_are_hashed(make, tmp_path):
    """A box moved by a pixel, or an image moved to another class; but not the data elsewhere."""

    def hashes(cfg):
        return dict(annotation_hashes(DATASETS.build(dict(cfg)), TaskKind()))

    (cfg, changed), (moved, _) = make(tmp_path / 'first'), make(tmp_path / 'moved')
    before = hashes(cfg)
    assert list(before.values()) == list(hashes(moved).values())
    if changed.suffix == '.xml':
        changed.write_text(changed.read_text().replace('<xmin>2<', '<xmin>3<'))
    else:
        changed.rename(changed.parents[1] / 'dog/b.png')
    after = hashes(cfg)
    assert before.keys() == after.keys() and list(before)[-1].startswith(str(tmp_path / 'first'))
    assert before[list(before)[-1]] != after[list(after)[-1]]


def test_moved_data_and_harmless_keys_are_the_same_run(cfg, work):
    """The data of the run lay in the session's folder; now it is a copy in the test's own."""
    options = {
        'train_cfg.max_iters': 5,
        'train_dataloader.cls.num_workers': 1,
        'default_hooks.logger.interval': 3,
    }
    assert train(resumed(cfg, **options)).iter == 5
    log = max(work.glob('*/*.log'), key=os.path.getmtime).read_text()
    assert 'train_dataloader.cls.num_workers was 0 and is 1' in log
    assert 'train_dataloader.cls.dataset.ann_file was' in log


def test_what_follows_validation_or_length_makes_more_keys_matter():
    config = {'val_cfg.score': '1', 'train_cfg.max_iters': '4', 'work_dir': 'a'}
    before = dict(config=config, seed=0, processes=1, datasets={}, environment={}, git=None)
    now = dict(before, config={key: 'other' for key in config}, seed=2)
    other, same = changes(before, now, follows_validation=False, follows_length=False)
    assert other == ['seed was 0 and is 2'] and len(same) == 3
    other, same = changes(before, now, follows_validation=True, follows_length=True)
    assert len(other) == 3 and same == ['work_dir was a and is other']


def test_an_option_of_shared_layers_is_the_same_run():
    """Without such layers it changes nothing, and with them the optimizer is not built without."""
    before = dict(config={}, seed=0, processes=1, datasets={}, environment={}, git=None)
    now = dict(before, config={'optim_wrapper.paramwise_cfg.bypass_duplicate': 'True'})
    other, same = changes(before, now, follows_validation=False, follows_length=False)
    assert not other and len(same) == 1


def test_other_processes_are_the_same_run_if_a_step_has_the_same_images():
    size = dict(size=9, annotations={})

    def record(processes, **batch_sizes):
        return dict(
            config={
                f'train_dataloader.{task}.batch_size': str(n) for task, n in batch_sizes.items()
            },
            datasets={f'train_dataloader.{task}': size for task in batch_sizes},
            **dict(processes=processes, seed=0, environment={}, git=None),
        )

    other, same = changes(record(2, a=4, b=1), record(1, a=8, b=2), False, False)
    assert other == [] and 'processes was 2 and is 1' in same
    other, same = changes(record(2, a=4, b=1), record(1, a=4, b=2), False, False)
    assert other[-1] == (
        'a step had 8 images of a in 2 processes and has 4 in 1 '
        '(train_dataloader.a.batch_size=8 keeps them)'
    )
    other, same = changes(record(1, a=3), record(2, a=2), False, False)
    assert other[-1] == 'a step had 3 images of a in 1 processes and has 4 in 2'


def test_the_flat_config_has_the_runners_keys():
    cfg = Config(dict(model=dict(a=(1, 2), tasks=[dict(b=1)]), own=3, train_cfg=None))
    assert flat_config(cfg) == {
        'model.a': '[1, 2]',
        'model.tasks.0.b': '1',
        'train_cfg': 'None',
    }


def test_an_unset_seed_is_that_of_the_checkpoint(cfg, tmp_path):
    cfg.randomness = dict(seed=None)
    first = train(cfg)
    again = train(resumed(cfg, **{'train_cfg.max_iters': 5}))
    assert again.seed == first.seed


def no_run(path, work):
    torch.save(dict(state_dict={'backbone.weight': torch.ones(1)}, meta={}), path)


def upstream_mmdet(path, work):
    """Another library's run, of whose weights a few have the same names."""
    state = {'backbone.conv1.conv.weight': torch.ones(16, 3, 3, 3), 'bbox_head.x': torch.ones(1)}
    meta = dict(iter=1, epoch=0, dataset_meta=dict(classes=('car',)))
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    torch.save(dict(state_dict=state, meta=meta, message_hub=hub, optimizer={}), path)


def another_model(path, work):
    checkpoint = read_checkpoint(work / 'iter_4.pth')
    state = checkpoint['state_dict']
    state['tasks.cls.head.fc.weight'] = state['tasks.cls.head.fc.weight'][:, :9].clone()
    torch.save(checkpoint, path)


def another_optimizer(path, work):
    checkpoint = read_checkpoint(work / 'iter_4.pth')
    checkpoint['optimizer']['param_groups'].pop()
    torch.save(checkpoint, path)


@pytest.mark.parametrize(
    'make, says',
    [
        (no_run, 'has weights, but not the state of a run'),
        (upstream_mmdet, 'does not fit the config: it lacks'),
        (another_model, "in other shapes, such as 'tasks.cls.head.fc.weight'"),
        (another_optimizer, 'does not fit the optimizer or schedules of the config'),
        (lambda path, work: None, 'no such checkpoint file'),
    ],
)
def test_what_cannot_be_gone_on_from(cfg, finished, tmp_path, make, says):
    make(tmp_path / 'given.pth', finished[0])
    text = refusal(resumed(cfg, load_from=str(tmp_path / 'given.pth')))
    assert text.startswith(str(tmp_path / 'given.pth')) and says in text
    assert not list((tmp_path / 'work').glob('*.*'))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def evil(path, work):
    torch.save(dict(read_checkpoint(work / 'iter_4.pth'), extra=Evil(f'{path}.made')), path)


def cut(path, work):
    path.write_bytes((work / 'iter_4.pth').read_bytes()[:5000])


def flipped(path, work):
    content = bytearray((work / 'iter_4.pth').read_bytes())
    content[len(content) // 2] ^= 4  # Amid the weights
    path.write_bytes(content)


@pytest.mark.parametrize(
    'make, says',
    [
        (cut, 'is truncated or damaged'),
        (lambda path, work: path.write_bytes(b''), 'is an empty file'),
        (flipped, 'is damaged: its part .* fails its checksum'),
        (evil, 'is refused: it holds .*mkdir'),
        (upstream_mmdet, '(does not fit the config: it )?lacks'),
        (another_model, "in other shapes, such as 'tasks.cls.head.fc.weight'"),
    ],
)
def test_the_tool_refuses_with_one_sentence(cfg, work, tmp_path, capsys, make, says):
    """Bad checkpoints given to training and test: status 2, and nothing overwritten."""
    (tmp_path / 'config.py').write_text(literal(cfg))
    path = tmp_path / 'given.pth'
    make(path, work)
    given = dict(config=str(tmp_path / 'config.py'), work_dir=None, cfg_options=None)
    given |= dict(launcher='none', seed=None, amp=False, tasks=None, out=None, show_dir=None)
    before = {path: path.read_bytes() for path in [path, *work.glob('*.*')]}
    for mode in ('train', 'test'):
        assert run(mode, Namespace(resume=str(path), checkpoint=str(path), **given)) == 2
        error = capsys.readouterr().err
        assert re.match(f'error: {path}.* {says}', error) and error.count('\n') == 1, error
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / 'given.pth.made').exists()


def test_pretrained_parts_of_a_task_are_read_safely(cfg, tmp_path):
    """mmengine's own ``Pretrained`` falls back to unpickling anything."""
    torch.save(dict(fc=Path(tmp_path)), tmp_path / 'odd.pth')
    cfg.model.tasks.cls.head.init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'odd.pth')
    )
    assert 'odd.pth is refused: it holds pathlib' in refusal(cfg)


def test_the_resume_command(monkeypatch):
    monkeypatch.delenv('LOCAL_WORLD_SIZE', raising=False)
    given = ['tools/train.py', 'c.py', '--resume', 'a b.pth', '--force-resume', '--seed', '3']
    monkeypatch.setattr('sys.argv', given)
    assert resume_command() == 'python tools/train.py c.py --seed 3 --resume'
    monkeypatch.setattr('sys.argv', ['tools/train.py', 'c.py', '--resume', '--amp'])
    assert resume_command() == 'python tools/train.py c.py --amp --resume'
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert resume_command().startswith('torchrun --nproc_per_node=4 tools/train.py')
