"""Draws what is tested while it is tested."""

import os.path as osp
from collections.abc import Mapping
from typing import NamedTuple

import cv2
from mmengine.hooks import Hook

from allinone.errors import ConfigError
from allinone.io.images import output_names, read_image, write_image
from allinone.registry import HOOKS
from allinone.tasks import TaskKind
from allinone.visualization.draw import draw_tasks
from allinone.visualization.image_grid import side_by_side

TITLES = ('truth', 'prediction')


class _Images(NamedTuple):
    """Of a data set: names for results, and indices, by path."""

    names: dict[str, str]
    indices: dict[str, int]


@HOOKS.register_module()
class PredictionVisualizationHook(Hook):
    """Draws each tested image into ``out_dir/TASK/NAME.png``, NAME being its stem.

    The annotations are on the left and the prediction is on the right; of images without
    annotations there is the prediction only. Images of one task that share a stem also get a hash
    of their path in the name.

    Args:
        out_dir: Where to.
        score_thr: Leave out boxes below this score.
        during_val: Also draw at every validation, over the images of the one before.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str, score_thr: float = 0.3, during_val: bool = False):
        self.out_dir = out_dir
        self.score_thr = score_thr
        self.during_val = during_val
        self._images: dict[str, _Images] = {}

    def before_test(self, runner) -> None:
        self._images = {}

    def before_val(self, runner) -> None:
        self._images = {}

    def after_test_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Mapping[str, list] | None = None
    ) -> None:
        self.draw(runner.test_loop, outputs or {})

    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Mapping[str, list] | None = None
    ) -> None:
        if self.during_val:
            self.draw(runner.val_loop, outputs or {})

    def into(self, out_dir: str) -> 'PredictionVisualizationHook':
        """A hook that draws the same into another folder."""
        return PredictionVisualizationHook(out_dir, self.score_thr, self.during_val)

    def draw(self, loop, outputs: Mapping[str, list]) -> None:
        """Draw ``{task: predicted samples}`` of images of a loop's data sets."""
        for task, samples in outputs.items():
            dataset = loop.dataloader.part(task).dataset
            if task not in self._images:
                self._images[task] = _images_of(dataset)
            for sample in samples:
                path = sample.metainfo.get('img_path')
                if path is None:
                    raise ConfigError(
                        f'PredictionVisualizationHook: the samples of task {task} do not name '
                        "their image; add 'img_path' to meta_keys of the last transform of its "
                        'pipeline'
                    )
                names, indices = self._images[task]
                info = dataset.get_data_info(indices[path]) if path in indices else None
                write_image(
                    osp.join(
                        self.out_dir, task, f'{names.get(path) or output_names([path])[path]}.png'
                    ),
                    self._drawing(task, path, sample, info, dataset, loop.kinds[task]),
                )

    def _drawing(self, task: str, path: str, sample, info, dataset, kind: TaskKind):
        truth = kind.ground_truth(sample, info)
        image = cv2.cvtColor(read_image(path), cv2.COLOR_BGR2RGB)
        metainfo = {task: getattr(dataset, 'metainfo', None)}
        sides = [truth, sample] if truth.keys() else [sample]
        drawings = [
            draw_tasks(image, {task: side}, metainfo, self.score_thr, {task: kind})
            for side in sides
        ]
        return side_by_side(list(zip(TITLES[-len(sides) :], drawings)))


def _images_of(dataset) -> _Images:
    """Names for all images, known at once so that two never get the same one."""
    try:
        paths = [dataset.get_data_info(index).get('img_path') for index in range(len(dataset))]
    except AttributeError:  # not a data set of mmengine's kind
        return _Images({}, {})
    indices = {path: index for index, path in enumerate(paths) if path}
    return _Images(output_names(list(indices)), indices)
