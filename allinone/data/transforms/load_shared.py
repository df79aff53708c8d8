"""Loading of the labels of several tasks of one image."""

from collections.abc import Mapping
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS

from allinone.config.build_errors import accepted_keys, named
from allinone.errors import ConfigError
from allinone.registry import TRANSFORMS
from allinone.tasks import TaskKind
from allinone.tasks.joined_labels import JoinedLabels

from .shared_labels import SharedLabels


@TRANSFORMS.register_module()
class LoadSharedAnnotations(BaseTransform):
    """Load the labels of all tasks of an image, each by the transform of the task's library.

    The boxes of all tasks stand under mmdet's keys and the label maps of all tasks under mmseg's,
    so that one transform of the libraries changes all of them; ``PackSharedInputs`` takes them
    apart. Labels of a kind that no transform changes, such as the class of an image, are left to
    ``PackSharedInputs``.

    An image without label maps of a task is ignored there everywhere, and one without boxes'
    labels of any task has a box as large as the image, until they are packed.

    Args:
        with_mask: Load instance masks too, where the task's library can.
        options: ``{task: options}`` of the transform that loads a task's labels, for example
            ``dict(lane=dict(imdecode_backend='cv2'))``.

    Raises:
        ConfigError: If a task's transform loads labels that no other transform would change, such
            as the label map of a detector (``with_seg``).
    """

    def __init__(
        self, with_mask: bool = False, options: Mapping[str, Mapping[str, Any]] | None = None
    ):
        self.with_mask = with_mask
        self.options = {task: dict(chosen) for task, chosen in (options or {}).items()}
        self._loaders: dict[str, BaseTransform] = {}

    def loader(self, task: str, kind: TaskKind) -> BaseTransform | None:
        """The transform that loads the labels of a task; None if its data set gives them."""
        if kind.annotation_loader is None:
            return None
        if task not in self._loaders:
            # One for each task: mmseg's keeps what it read of the first sample.
            cfg = dict(kind.annotation_loader)
            cls = MMENGINE_TRANSFORMS.get(cfg['type'])
            if self.with_mask and cls is not None and 'with_mask' in accepted_keys(cls):
                cfg['with_mask'] = True
            cfg |= self.options.get(task, {})
            with named(f'options.{task}', cfg):
                self._loaders[task] = MMENGINE_TRANSFORMS.build(cfg)
        return self._loaders[task]

    def transform(self, results: dict) -> dict:
        labels: SharedLabels = results['labels']
        # Labels are in pixels of the file, also where the image was resized before.
        shape = tuple(results.get('ori_shape', results['img'].shape[:2]))
        for joined, tasks in labels.joined().items():
            loaded = {
                task: self._load(labels, task, labels.infos[task], results)
                if task in labels.infos
                else None
                for task in tasks
            }
            placeholder = joined.placeholder(shape)
            if placeholder is not None and not any(task in labels.infos for task in tasks):
                loaded[tasks[0]] = self._load(labels, tasks[0], placeholder, results)
            for task, part in loaded.items():
                if part is not None and task in labels.infos:
                    _refuse_left_behind(task, part, labels.infos[task], joined)
                    labels.loaded[task] = frozenset(part)
                    labels.infos[task] = {
                        key: value for key, value in part.items() if key not in joined.keys
                    }
            results |= joined.join(loaded, shape)
        for task in labels.infos.keys() - labels.loaded.keys():
            part = self._load(labels, task, labels.infos[task], results)
            labels.loaded[task], labels.infos[task] = frozenset(part), part
        return results

    def _load(self, labels: SharedLabels, task: str, info: dict, results: dict) -> dict:
        """What the library loads for a task, without what is of the image alone."""
        loader = self.loader(task, labels.kinds[task])
        if loader is None:
            return info
        image = {key: results[key] for key in ('img', 'img_shape', 'ori_shape') if key in results}
        loaded = loader(info | image)
        return {key: value for key, value in loaded.items() if key not in image}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(with_mask={self.with_mask}, options={self.options})'


def _refuse_left_behind(
    task: str, loaded: Mapping, info: Mapping, joined: type[JoinedLabels]
) -> None:
    """Refuse arrays that a task's loader adds, but which transforms do not see."""
    for key, value in loaded.items():
        if key not in joined.keys and value is not info.get(key) and _is_array(value):
            raise ConfigError(
                f'LoadSharedAnnotations loads {key!r} of {task}, which transforms would not change '
                f'with the image; take out of options.{task} what loads it (with_seg=True for the '
                'label map of a detector), or let a task with label maps load it'
            )


def _is_array(value: Any) -> bool:
    """Whether a value is an array, boxes or masks."""
    return len(getattr(value, 'shape', ())) > 0 or hasattr(value, 'to_ndarray')
