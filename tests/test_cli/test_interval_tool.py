"""``tools/test.py --intervals`` on trained models, and the hook that keeps the statistics."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import build_model, joined, run_tool, write_config
from mmengine.evaluator import BaseMetric, Evaluator
from mmpretrain.evaluation import Accuracy
from shared_config import STREET, shared_cfg

from allinone.evaluation import labelled_results
from allinone.evaluation.intervals import Resampling, intervals
from allinone.evaluation.run_statistics import read_statistics
from allinone.tasks import Classification, TaskKind
from allinone.tasks.image_statistics import ImageMeans
from allinone.training.hooks.image_statistics import ImageStatisticsHook, image_name

# Digits to which the libraries round
ROUNDED = dict(cls=1e-4, det=5.01e-4, seg=5.01e-3, lane=5.01e-3)


def test_a_trained_model(trained, toy_root, tmp_path, capsys):
    """The statistics of all images give the metrics; the console shows intervals."""
    _, cfg, work_dir = trained
    config, out = write_config(cfg, tmp_path / 'config.py'), tmp_path / 'metrics.json'
    arguments = [config, work_dir / 'iter_4.pth', '--work-dir', tmp_path / 'work', '--out', out]
    assert run_tool('test', *arguments, '--intervals') == 0
    text = capsys.readouterr().out
    lines = {tuple(line.split()[:2]): line for line in text.splitlines() if '  ' in line}
    assert ' to ' in lines['cls', 'top1'] and ' to ' in lines['det', 'bbox_mAP']
    assert ' to ' in lines['seg', 'IoU.road'] and ' to ' in lines['all', 'score']
    assert f'statistics of each image: {tmp_path}/metrics.statistics.npz' in text
    metrics = json.loads(out.read_text())
    run = read_statistics(tmp_path / 'metrics.statistics.npz')
    assert run.values == pytest.approx(metrics, nan_ok=True) and run.score == cfg.test_cfg.score
    assert {task: len(images) for task, images in run.images().items()} == dict(cls=8, det=8, seg=8)
    assert all(i.startswith('toy/') for images in run.images().values() for i in images)
    compared = set()
    for task, parts in run.tasks.items():
        for part in parts:
            found = part.statistics.metrics(np.ones((len(part.statistics.images), 1), int))
            for own, name in part.names.items():
                compared.add(f'{task}/{name}')
                value = metrics[f'{task}/{name}']
                assert found[own][0] == pytest.approx(value, abs=ROUNDED[task]), name
    assert compared >= {'cls/top1', 'det/bbox_mAP', 'det/bbox_mAP_50', 'seg/mIoU', 'seg/aAcc'}
    # The same again, into the work dir and without intervals
    saved = tmp_path / 'own.npz'
    assert run_tool('test', *arguments[:4], '--tasks', 'cls', '--save-statistics', saved) == 0
    assert '%' not in capsys.readouterr().out.split('task ')[1]
    assert list(read_statistics(saved).tasks) == ['cls']


def test_tasks_of_a_shared_source_have_the_same_images(tmp_path, capsys):
    cfg = shared_cfg(tmp_path / 'data', tmp_path / 'work')
    torch.save(dict(state_dict=build_model(cfg).state_dict()), tmp_path / 'model.pth')
    config = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('test', config, tmp_path / 'model.pth', '--intervals') == 0
    path = str(tmp_path / 'work/model.statistics.npz')
    assert path in capsys.readouterr().out
    run = read_statistics(path)
    images = run.images()
    shared = set.intersection(*(set(images[task]) for task in STREET if task in images))
    assert shared and set(run.tasks) == {'cls', *STREET}
    resampling = Resampling(images, 20)
    weights = {task: resampling.weights(np.array(sorted(shared))) for task in STREET}
    assert all((weights['det'] == part).all() for part in weights.values())


def test_a_metric_of_which_other_statistics_come_gets_none(trained, tmp_path, caplog):
    class Halved(Accuracy):
        def compute_metrics(self, results):
            found = super().compute_metrics(results)
            return found if len(results) == 1 else {k: v / 2 for k, v in found.items()}

    runner = SimpleNamespace(warned=[])
    loop(runner, Halved())
    runner.logger = SimpleNamespace(warning=runner.warned.append)
    evaluated(runner, tmp_path / 'a.npz', range(5))
    assert read_statistics(tmp_path / 'a.npz').tasks == {}
    assert runner.warned == [
        'cls/top1 is 30, and 60 by the statistics of its images, so it gets no interval'
    ]


class MeanError(BaseMetric):
    default_prefix = 'rated'

    def process(self, data_batch, data_samples):
        self.results += [
            (abs(float(s['pred_score'][0]) - float(s['gt_label'])), float(s['gt_label']))
            for s in data_samples
        ]

    def compute_metrics(self, results):
        return dict(error=float(np.mean([error for error, _ in results])))


class Rated(TaskKind):
    def statistics_of(self, metric, results, images):
        errors, targets = np.array(results).T
        options = dict(names=['error'], classes=[])
        return [ImageMeans(np.array(images), dict(values=errors[:, None], labels=targets), options)]


def test_a_kind_of_ones_own_has_intervals(tmp_path):
    """Errors 0.9, 0.1, 0.9, 0.1, 0.9 of the images 0 to 4"""
    runner = SimpleNamespace()
    loop(runner, MeanError())
    runner.test_loop.kinds['cls'] = Rated()
    evaluated(runner, tmp_path / 'a.npz', range(5))
    found = intervals(read_statistics(tmp_path / 'a.npz'))['cls/error']
    assert found.value == pytest.approx(0.58)
    assert (found.low, found.high) == pytest.approx((0.26, 0.9))


def loop(runner, metric):
    evaluator = Evaluator([metric])
    runner.test_loop = SimpleNamespace(
        evaluators=dict(cls=evaluator), kinds=dict(cls=Classification()), score={}
    )
    runner.cfg = SimpleNamespace(filename='c.py', get=lambda key: None)


def evaluated(runner, path, images, unlabelled=()):
    """Images of even numbers are right."""
    hook = ImageStatisticsHook(str(path))
    hook.before_test_epoch(runner)
    evaluator = runner.test_loop.evaluators['cls']
    for image in images:
        sample = dict(
            img_path=f'/data/{image}.jpg',
            pred_score=torch.tensor([0.9, 0.1] if image % 2 else [0.1, 0.9]),
            gt_label=torch.tensor([1]),
        )
        if not unlabelled:
            evaluator.process([sample], {})
        elif image in unlabelled:
            labelled_results.process(evaluator, [], 1, [], {})
        else:
            labelled_results.process(evaluator, [0], 1, [sample], {})
    values = labelled_results.evaluate(evaluator, 5) if unlabelled else evaluator.evaluate(5)
    metrics = {f'cls/{name.split("/")[1]}': value for name, value in values.items()}
    hook.after_test_epoch(runner, metrics)
    assert [type(metric).__name__ for metric in evaluator.metrics] != ['_ImageNames']
    assert len(evaluator.metrics) == 1 and 'compute_metrics' not in vars(evaluator.metrics[0])


@pytest.mark.parametrize('unlabelled', [(), (1, 2)])
def test_two_processes_write_one_file_of_all_images(tmp_path, unlabelled):
    """Images that lack labels of the task are marked among the results."""

    def work(rank):
        runner = SimpleNamespace()
        loop(runner, Accuracy())
        # As the sampler gives them: 5 images are 3 of each process, the first one twice.
        images = [0, 2, 4] if rank == 0 else [1, 3, 0]
        evaluated(runner, tmp_path / f'{rank}.npz', images, unlabelled)
        return rank

    with joined(work, tmp_path) as (_, answers):
        assert answers() == [0, 1]
    assert not (tmp_path / '1.npz').exists()
    (part,) = read_statistics(tmp_path / '0.npz').tasks['cls']
    kept = [image for image in range(5) if image not in unlabelled]
    assert part.statistics.images.tolist() == [f'/data/{image}.jpg' for image in kept]
    values = part.statistics.arrays['values'].ravel().tolist()
    assert values == [100 * (image % 2 == 0) for image in kept]


def test_names_do_not_depend_on_where_the_data_are(tmp_path, monkeypatch):
    monkeypatch.setenv('ALLINONE_DATA', str(tmp_path / 'data'))
    assert image_name(f'{tmp_path}/data/toy/a.jpg') == 'toy/a.jpg'
    assert image_name(f'{tmp_path}/data2/a.jpg') == f'{tmp_path}/data2/a.jpg'
    assert image_name('s3://bucket/a.jpg') == 's3://bucket/a.jpg'


def test_a_place_where_no_statistics_can_be_written(trained, tmp_path, capsys):
    _, cfg, work_dir = trained
    config = write_config(cfg, tmp_path / 'config.py')
    place = tmp_path / 'config.py/a.npz'
    assert run_tool('test', config, work_dir / 'iter_4.pth', '--save-statistics', place) == 2
    assert f"error: --save-statistics is '{place}', but nothing" in capsys.readouterr().err
