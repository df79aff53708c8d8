"""Images with labels of several tasks, each task's labels from a data set of its library."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from allinone.config.build_errors import named
from allinone.data.annotation_errors import empty, explained
from allinone.data.seeded import IMAGE_KEYS
from allinone.data.transforms import LoadSharedAnnotations, PackSharedInputs
from allinone.data.transforms.shared_labels import SharedLabels, joined_tasks
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.io.file_identity import file_identity
from allinone.registry import DATASETS
from allinone.tasks.wrapped import wrapped_data_sets

from .shared_parts import (
    build_part,
    explain_failure,
    kind_of_part,
    library_of,
    scoped_steps,
)

NAMED = 3  # files in a message
MOST_COMBINATIONS = 8  # in the table
REFETCH = 1000  # as in mmengine


@DATASETS.register_module()
class SharedDataset(Dataset):
    """Images with labels of several tasks, which one pipeline loads and changes together.

    The samples are all images that a task's data set lists, those of the first task first, joined
    by their files: paths, symbolic and hard links to one file are one image. An image is labelled
    for a task if the task's data set lists it; an image may lack labels of any task. Where a data
    set leaves out images (``filter_cfg``), they are not labelled for its task.

    A transform without a prefix is looked up in this suite and then in mmdet if a task has boxes,
    else in mmseg if one has label maps; ``Resize`` and the like of mmcv know no boxes.

    Args:
        labels: ``{task: config of a data set}``, as of a source of the task alone but without a
            pipeline.
        pipeline: Loads an image (``LoadImageFromFile``) and its labels
            (:class:`~allinone.data.LoadSharedAnnotations`), changes both by transforms of the
            libraries, and packs them (:class:`~allinone.data.PackSharedInputs`).
        test_mode: Of the data sets of ``labels``, where they set none. Also: a sample that a
            transform drops is an error, not replaced.
        lazy_init: Read no annotations before :meth:`full_init`.
        max_refetch: Number of times that a sample which a transform drops is replaced.

    Attributes:
        tasks: Names of the tasks, in the order of ``labels``.
        parts: ``{task: data set}``.
        kinds: ``{task: kind}`` by the class of the data set.
        labelled: bool ``(N, K)``: which image has labels of which task.

    Raises:
        ConfigError: If the configs cannot be used.
        DataError: If annotations cannot be read, or a data set has an image twice, or shares no
            image with any other.
    """

    def __init__(
        self,
        labels: Mapping[str, Mapping],
        pipeline: Sequence = (),
        test_mode: bool = False,
        lazy_init: bool = False,
        max_refetch: int = REFETCH,
    ):
        if not isinstance(labels, Mapping) or not labels:
            raise ConfigError(f'labels is {labels!r}; give {{task: config of a data set}}')
        self.test_mode = test_mode
        self.max_refetch = max_refetch
        self._configs = dict(labels)
        self.parts: dict[str, Any] = {
            task: build_part(f'labels.{task}', cfg, test_mode) for task, cfg in labels.items()
        }
        self.tasks = tuple(self.parts)
        self.kinds = {
            task: kind_of_part(f'labels.{task}', part) for task, part in self.parts.items()
        }
        for joined, tasks in joined_tasks(self.kinds).items():
            if joined.most is not None and len(tasks) > joined.most:
                raise ConfigError(
                    f'labels has {len(tasks)} tasks with label maps ({", ".join(tasks)}), but one '
                    f'source takes {joined.most} at most; make a second source of some of them'
                )
        self.pipeline = Compose(scoped_steps(pipeline, library_of(self.kinds)))
        self._prepare_pipeline()
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict[str, dict]:
        """``{task: metainfo of its data set}``."""
        return {task: part.metainfo for task, part in self.parts.items()}

    @property
    def backend_args(self) -> dict | None:
        """Of the storage of the images."""
        return getattr(next(iter(self.parts.values())), 'backend_args', None)

    def full_init(self) -> None:
        """Read the annotations of all tasks and join them; a second call does nothing."""
        if self._fully_initialized:
            return
        paths = {task: self._read(task) for task in self.tasks}
        files = {task: [file_identity(path) for path in found] for task, found in paths.items()}
        numbers = {file: number for number, file in enumerate(dict.fromkeys(_all(files)))}
        names = dict(zip(map(numbers.__getitem__, _all(files)), _all(paths)))
        self._positions = np.full((len(numbers), len(self.tasks)), -1)
        for column, task in enumerate(self.tasks):
            for position, (file, path) in enumerate(zip(files[task], paths[task])):
                number = numbers[file]
                if self._positions[number, column] >= 0:
                    raise DataError(
                        f'labels.{task} has {path} twice; leave out all but one of its entries'
                    )
                self._positions[number, column] = position
        self.labelled = self._positions >= 0
        self._refuse_disjoint([names[number] for number in range(len(names))])
        self._fully_initialized = True

    def __len__(self) -> int:
        self.full_init()
        return len(self.labelled)

    def get_data_info(self, index: int) -> dict:
        """What the data sets know of an image.

        Returns:
            dict: ``img_path``, ``sample_idx`` and ``labels``, the ``{task: data info}`` of the
            tasks that the image has labels of.
        """
        self.full_init()
        labels = {
            task: self.parts[task].get_data_info(int(position))
            for task, position in zip(self.tasks, self._positions[index])
            if position >= 0
        }
        path = next(iter(labels.values()))['img_path']
        return dict(img_path=path, sample_idx=int(index), labels=labels)

    def paths(self, index: int) -> list[str]:
        """Files of a sample: its image and its label maps."""
        infos = self.get_data_info(index)['labels'].values()
        found = [info.get(key) for key in IMAGE_KEYS for info in infos]
        return list({file_identity(path): path for path in filter(None, found)}.values())

    def __getitem__(self, index: int) -> dict:
        self.full_init()
        sample = self._prepare(index)
        if sample is None and self.test_mode:
            raise DataError(
                f'{self.get_data_info(index)["img_path"]} is dropped by the pipeline in test '
                'mode; remove the transform that drops it'
            )
        for _ in range(self.max_refetch):
            if sample is not None:
                return sample
            sample = self._prepare(self._another(index))
        if sample is None:
            raise DataError(
                f'{self.max_refetch} samples in turn were dropped by a transform of the pipeline; '
                'check the annotations, or allow samples without boxes (allow_negative_crop=True '
                'of RandomCrop, keep_empty=False of FilterAnnotations)'
            )
        return sample

    def prepare_data(self, info: dict) -> dict:
        """What the pipeline begins with, of :meth:`get_data_info`."""
        return dict(info, labels=SharedLabels(self.kinds, info['labels']))

    def _prepare(self, index: int) -> dict | None:
        sample = self.prepare_data(self.get_data_info(index))
        for step in self.pipeline.transforms:
            try:
                sample = step(sample)
            except (AllInOneError, OSError):
                raise
            except Exception as error:
                library = type(step).__module__.split('.')[0]
                words, remedy = explain_failure(step, sample, error)
                raise RuntimeError(f'{library}.{type(step).__name__} {words}; {remedy}') from error
            if sample is None:
                return None
        return sample

    def _another(self, index: int) -> int:
        """An image that takes the place of a dropped one, with labels of its tasks at least."""
        others = (self.labelled >= self.labelled[index]).all(axis=1)
        return int(np.random.choice(np.flatnonzero(others)))

    def _prepare_pipeline(self) -> None:
        """Let checks of a task's data set see the transform that loads its labels."""
        steps = self.pipeline.transforms
        loaders = [step for step in steps if isinstance(step, LoadSharedAnnotations)]
        packers = [step for step in steps if isinstance(step, PackSharedInputs)]
        if packers and not loaders:
            raise ConfigError(
                'pipeline has PackSharedInputs, but no LoadSharedAnnotations; add '
                "dict(type='LoadSharedAnnotations') behind the transform that loads the image"
            )
        for step in loaders:
            for task in step.options.keys() - set(self.tasks):
                raise ConfigError(
                    f'pipeline: LoadSharedAnnotations.options has {task!r}; labels has '
                    f'{list(self.tasks)}'
                )
            for task, part in self.parts.items():
                loader = step.loader(task, self.kinds[task])
                if loader is not None:
                    for dataset in wrapped_data_sets(part):
                        dataset.pipeline = Compose([loader])
        for step in packers:
            for kind in self.kinds.values():
                step.packer(kind)

    def _read(self, task: str) -> list[str]:
        """Paths of the images of a task's data set, in its order."""
        part, cfg = self.parts[task], self._configs[task]
        with named(f'labels.{task}'), explained(cfg):
            part.full_init()
            count = len(part)
            if not count:
                raise empty(cfg)
        return [part.get_data_info(index)['img_path'] for index in range(count)]

    def _refuse_disjoint(self, paths: list[str]) -> None:
        if len(self.tasks) == 1:
            return
        several = self.labelled.sum(axis=1) > 1
        for column, task in enumerate(self.tasks):
            here = self.labelled[:, column]
            if not (here & several).any():
                raise DataError(
                    f'labels.{task} has {_examples(paths, here)}, and the other tasks of the '
                    f'source have {_examples(paths, ~here)}: no image is the same file; make '
                    'ann_file and data_prefix name the same images, or move '
                    f'{task} to another source'
                )

    def coverage(self) -> str:
        """Table of the number of images of each task and of each combination of tasks."""
        counts = Counter(map(tuple, self.labelled.tolist()))
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        combinations = {
            '+'.join(task for task, has in zip(self.tasks, row) if has): count
            for row, count in ordered[:MOST_COMBINATIONS]
        }
        if others := ordered[MOST_COMBINATIONS:]:
            combinations[f'{len(others)} others'] = sum(count for _, count in others)
        each = dict(zip(self.tasks, self.labelled.sum(axis=0).tolist()))
        lines = [f'{len(self.labelled)} images with labels of {len(self.tasks)} tasks']
        for title, numbers in (('task', each), ('labels', combinations)):
            width = max(map(len, (title, *numbers)))
            lines += [f'  {title:{width}}  images']
            lines += [f'  {name:{width}}  {count:6d}' for name, count in numbers.items()]
        return '\n'.join(lines)


def _all(paths: Mapping[str, list]):
    for listed in paths.values():
        yield from listed


def _examples(paths: list[str], chosen: np.ndarray) -> str:
    """Number and first names of some images."""
    first = [paths[index] for index in np.flatnonzero(chosen)[:NAMED]]
    return f'{int(chosen.sum())} images ({", ".join(first)}{", ..." * (chosen.sum() > NAMED)})'
