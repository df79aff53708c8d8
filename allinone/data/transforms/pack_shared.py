"""Packing of an image with the labels of several tasks."""

from collections.abc import Sequence

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS

from allinone.data.shared_sample import SharedDataSample
from allinone.errors import ConfigError
from allinone.registry import TRANSFORMS
from allinone.tasks import TaskKind

from .shared_labels import SharedLabels

# Known to the data set of each task, perhaps in another form
OF_THE_DATA_SET = ('img_path', 'sample_idx', 'labels')


@TRANSFORMS.register_module()
class PackSharedInputs(BaseTransform):
    """Pack an image with the labels of its tasks, each by the transform of the task's library.

    Gives ``inputs``, uint8 ``(3, H, W)``, and ``data_samples``, a
    :class:`~allinone.data.shared_sample.SharedDataSample` with the data sample of each task that
    the image has labels of.

    Args:
        meta_keys: As for the libraries' transforms. Default: those of each library.

    Raises:
        ConfigError: If a kind of task has no such transform.
    """

    def __init__(self, meta_keys: Sequence[str] | None = None):
        self.meta_keys = meta_keys
        self._packers: dict[type[TaskKind], BaseTransform] = {}

    def packer(self, kind: TaskKind) -> BaseTransform:
        """The transform that packs the samples of a kind of task."""
        if type(kind) not in self._packers:
            if kind.packer is None:
                raise ConfigError(
                    f'tasks of the kind {kind.name!r} cannot share images, for it has no packer; '
                    'set the attribute packer of its TaskKind, or give its tasks separate sources'
                )
            cfg: dict = dict(type=f'{kind.library}.{kind.packer}' if kind.library else kind.packer)
            if self.meta_keys is not None:
                cfg['meta_keys'] = tuple(self.meta_keys)
            self._packers[type(kind)] = MMENGINE_TRANSFORMS.build(cfg)
        return self._packers[type(kind)]

    def transform(self, results: dict) -> dict:
        labels: SharedLabels = results['labels']
        changed: dict[str, dict] = {}
        apart = set(OF_THE_DATA_SET)
        for joined, tasks in labels.joined().items():
            changed |= joined.split(results, tasks)
            apart |= set(joined.keys)
        common = {key: value for key, value in results.items() if key not in apart}
        packed: dict = {}
        sample = SharedDataSample()
        sample.labels = {}
        for task in labels.kinds:
            if task not in labels.infos:
                continue
            joined_labels = {
                key: value
                for key, value in changed.get(task, {}).items()
                if key in labels.loaded[task]
            }
            info = labels.infos[task] | common | joined_labels
            part = self.packer(labels.kinds[task])(info)
            sample.labels[task] = part.pop('data_samples')
            packed |= part
            common.pop('img', None)  # It is packed once.
        sample.set_metainfo(dict(img_path=results['img_path']))
        return dict(packed, data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'
