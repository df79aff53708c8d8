"""Draws what is tested while it is tested."""

import os.path as osp
from collections.abc import Mapping

import cv2
from mmengine.hooks import Hook

from allinone.errors import ConfigError
from allinone.registry import HOOKS

from .draw import draw_tasks
from .pictures import output_names, read_picture, write_picture


@HOOKS.register_module()
class DrawHook(Hook):
    """Draws each tested picture into ``out_dir/TASK/NAME.png``, NAME being its stem.

    Pictures of one task that share a stem also get a hash of their path in the name.

    Args:
        out_dir: Where to.
        score_thr: Leave out boxes below this score.
        during_val: Also draw at every validation, over the pictures of the one before.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str, score_thr: float = 0.3, during_val: bool = False):
        self.out_dir = out_dir
        self.score_thr = score_thr
        self.during_val = during_val
        self._names: dict[str, dict[str, str]] = {}

    def before_test(self, runner) -> None:
        self._names = {}

    def before_val(self, runner) -> None:
        self._names = {}

    def after_test_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Mapping[str, list] | None = None
    ) -> None:
        self._draw(runner.test_loop, outputs or {})

    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Mapping[str, list] | None = None
    ) -> None:
        if self.during_val:
            self._draw(runner.val_loop, outputs or {})

    def _draw(self, loop, outputs: Mapping[str, list]) -> None:
        for task, samples in outputs.items():
            dataset = loop.dataloader.loaders[task].dataset
            if task not in self._names:
                self._names[task] = _names_of(dataset)
            metainfo = {task: getattr(dataset, 'metainfo', None)}
            for sample in samples:
                path = sample.metainfo.get('img_path')
                if path is None:
                    raise ConfigError(
                        f'DrawHook: the samples of task {task} do not name their '
                        "picture; add 'img_path' to meta_keys of the last "
                        'transform of its pipeline'
                    )
                name = self._names[task].get(path) or output_names([path])[path]
                image = cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB)
                write_picture(
                    osp.join(self.out_dir, task, f'{name}.png'),
                    draw_tasks(image, {task: sample}, metainfo, self.score_thr),
                )


def _names_of(dataset) -> dict[str, str]:
    """Names for all pictures of a data set, known at once so that two never get the same one."""
    try:
        paths = [dataset.get_data_info(index).get('img_path') for index in range(len(dataset))]
    except AttributeError:  # not a data set of mmengine's kind
        return {}
    return output_names([path for path in paths if path])
