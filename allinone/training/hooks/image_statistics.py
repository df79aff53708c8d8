"""Keeps what metrics are computed from, image by image, while a model is tested."""

import os
import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook

from allinone.config.data_root import DEFAULT, VARIABLE
from allinone.evaluation.run_statistics import MetricStatistics, RunStatistics, write_statistics
from allinone.registry import HOOKS


class _ImageNames(BaseMetric):
    """Gives no values, and collects the images' names as other metrics collect their results."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        self.results += [sample.get('img_path') for sample in data_samples]

    def compute_metrics(self, results: list) -> dict:
        self.names = [
            f'#{position}' if path is None else image_name(path)
            for position, path in enumerate(results)
        ]
        return {}


def image_name(path: str) -> str:
    """An image's path, below the folder of the data sets where it is there.

    So tests on machines with other folders name the image alike.
    """
    if '://' in path:
        return path
    full = osp.abspath(path)
    root = osp.abspath(os.environ.get(VARIABLE, DEFAULT))
    return osp.relpath(full, root) if full.startswith(root + os.sep) else full


@HOOKS.register_module()
class ImageStatisticsHook(Hook):
    """Writes what the metrics of a test were computed from, of which intervals are computed.

    A metric of which the kind of task does not know it, or of whose statistics another value comes,
    is left out; the log names the latter.

    Args:
        out: The file (``.npz``), for :func:`~allinone.evaluation.run_statistics.read_statistics`.
    """

    priority = 'LOW'

    def __init__(self, out: str):
        self.out = out
        self._names: dict[str, _ImageNames] = {}
        self._results: dict[int, list] = {}

    def before_test_epoch(self, runner) -> None:
        self._results = {}
        for task, evaluator in runner.test_loop.evaluators.items():
            for metric in evaluator.metrics:
                metric.compute_metrics = partial(self._keep, metric, metric.compute_metrics)
            self._names[task] = _ImageNames()
            # First, so that the other metrics' results meet their names
            evaluator.metrics.insert(0, self._names[task])

    def _keep(self, metric: BaseMetric, compute: Callable[[list], dict], results: list) -> dict:
        self._results[id(metric)] = results
        return compute(results)

    def after_test_epoch(self, runner, metrics: Mapping[str, float] | None = None) -> None:
        tasks = {}
        for task, evaluator in runner.test_loop.evaluators.items():
            evaluator.metrics.remove(self._names[task])
            for metric in evaluator.metrics:
                metric.__dict__.pop('compute_metrics', None)
            parts = [
                part
                for metric in evaluator.metrics
                if id(metric) in self._results  # In the first process alone
                for part in self._parts(runner, task, metric, metrics or {})
            ]
            if parts:
                tasks[task] = parts
        if self._results:
            values = {
                name: float(value)
                for name, value in (metrics or {}).items()
                if isinstance(value, (int, float))
            }
            write_statistics(
                self.out,
                RunStatistics(
                    self.out,
                    str(runner.cfg.filename or ''),
                    str(runner.cfg.get('load_from') or ''),
                    dict(runner.test_loop.score),
                    values,
                    tasks,
                ),
            )
        self._results = {}

    def _parts(
        self, runner, task: str, metric: BaseMetric, metrics: Mapping[str, float]
    ) -> list[MetricStatistics]:
        images = self._names[task].names
        kind = runner.test_loop.kinds[task]
        parts = []
        for statistics in kind.statistics_of(metric, self._results[id(metric)], images):
            once = statistics.metrics(np.ones((len(statistics.images), 1), np.int32))
            names = {}
            for own, values in once.items():
                name = own if f'{task}/{own}' in metrics else f'{metric.prefix}/{own}'
                if f'{task}/{name}' not in metrics:
                    continue
                value = metrics[f'{task}/{name}']
                if abs(values[0] - value) <= statistics.tolerance:
                    names[own] = name
                elif np.isfinite([values[0], value]).all():
                    runner.logger.warning(
                        f'{task}/{name} is {value:.6g}, and {values[0]:.6g} by the statistics of '
                        'its images, so it gets no interval'
                    )
            if names:
                parts.append(MetricStatistics(statistics, names))
        return parts
