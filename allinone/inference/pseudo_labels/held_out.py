"""Labelled images that a teacher has not seen, and checks that it has not."""

import hashlib
import inspect
import os.path as osp
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope

from allinone.config.build_errors import accepted_keys, named
from allinone.config.data_sets import innermost
from allinone.config.sources import TaskData, data_of_task
from allinone.data.annotation_errors import empty, explained
from allinone.data.checks import check_dataset
from allinone.data.class_names import require_same_classes
from allinone.data.image_paths import image_paths
from allinone.data.task_pipeline import transform_name
from allinone.errors import ConfigError, DataError
from allinone.inference.input_errors import in_words
from allinone.inference.preprocess import LOADING
from allinone.io.digests import file_hash
from allinone.io.file_identity import file_identity
from allinone.io.program import program
from allinone.io.text import shortened
from allinone.tasks.class_lists import METAINFO
from allinone.tasks.coco import reading_normalised
from allinone.tasks.pseudo_labels import HeldOutPart

from .teachers import Teacher, train_dataset

HELD_OUT = '--held-out'
# Keys of a data set that choose some of its images
CHOOSING = ('filter_cfg', 'indices')


def parse_held_out(entries: Sequence[str], tasks: Sequence[str]) -> dict[str, str]:
    """``{task: file}`` of ``TASK=FILE`` entries.

    Raises:
        ConfigError: If a task has no file, or an entry is of another form or no task to label.
    """
    found: dict[str, str] = {}
    for entry in entries:
        task, equals, path = entry.partition('=')
        if not equals or not path:
            raise ConfigError(f'{HELD_OUT} has {entry!r}; give TASK=FILE')
        if task not in tasks:
            raise ConfigError(f'{HELD_OUT} has {entry!r}, but {list(tasks)} are labelled')
        if task in found:
            raise ConfigError(
                f'{HELD_OUT} has {task} twice, {found[task]!r} and {path!r}; give one file'
            )
        found[task] = path
    for task in tasks:
        if task not in found:
            raise ConfigError(
                f'{HELD_OUT} has no {task}=FILE, so nothing says from which score on labels of '
                f'{task} are right; hold labelled images out of the training data with '
                f'{program("split")} TRAIN_LIST --share .15 --out-dir DIR, train the teacher on '
                'NAME_train, and give NAME_held_out'
            )
    return found


def open_held_out(
    teacher: Teacher,
    task: str,
    path: str,
    config: str | None = None,
    note: Callable[[str], None] = lambda sentence: None,
) -> HeldOutPart:
    """Read and check the held-out part of a task.

    Args:
        teacher: That labels the task, after :meth:`Teacher.prepare`.
        task: Name of the task.
        path: The annotation file, in the format of the training data of the task.
        config: A config whose training data have this format. Default: the teacher's.
        note: Called with a sentence about a check that cannot be made.

    Raises:
        ConfigError: If there is no format, or the classes are not those of the teacher.
        DataError: If the file cannot be read, does not fit the head, or has images that the teacher
            has learnt from or that models are compared by.
    """
    key = f'{HELD_OUT} {task}={path}'
    if not osp.isfile(path):
        raise DataError(f'{key}: there is no such file; give an annotation file')
    data = train_dataset(teacher, task, config)
    if data is None:
        raise ConfigError(
            f'{config or f"the config of {teacher.name}"} has no train_dataloader.{task}, by whose '
            'data set the held-out labels are read; give a config that has one as --config'
        )
    kind = teacher.inferencer.model.kinds[task]
    with named(key):
        dataset = _build(data, teacher, task, path)
        check_dataset(dataset, teacher.num_classes(task), kind=kind)
        lists = kind.class_lists(dataset)
    names = teacher.inferencer.metainfo[task].get('classes')
    if names:
        require_same_classes({teacher.name: {METAINFO: list(map(str, names))}, key: lists})
    part = HeldOutPart(dataset)
    _refuse_compared(key, part, path, teacher, task, note)
    _refuse_seen(key, part, teacher, task, note)
    return part


def digest_of(part: HeldOutPart, path: str, kind: Any) -> str:
    """SHA-256 of the annotation file and of labels in other files."""
    further = list(kind.further_digests(part.dataset, True))
    labels = [digest for _, digest in further]
    return hashlib.sha256(repr([file_hash(path), *labels]).encode()).hexdigest()


def _build(data: TaskData, teacher: Teacher, task: str, path: str) -> Any:
    scope, cfg = _format(data)
    cls: Any = cfg.get('type')
    if isinstance(cls, str):
        cls = MMENGINE_DATASETS.get(cls if '.' in cls or not scope else f'{scope}.{cls}')
    if not inspect.isclass(cls) or 'ann_file' not in accepted_keys(cls):
        raise ConfigError(
            f'{data.dataset_key} is a {getattr(cls, "__name__", cls)}, which reads no annotation '
            'file (ann_file); give a config with another data set as --config'
        )
    kind = teacher.inferencer.model.kinds[task]
    cfg = {key: value for key, value in cfg.items() if key not in CHOOSING}
    cfg |= dict(ann_file=osp.abspath(path), pipeline=_loading(teacher, task), test_mode=True)
    # The transforms are those of the test pipeline, whose library may be another one's.
    cfg['_scope_'] = scope or kind.library or 'allinone'
    cfg = kind.dataset_defaults(cfg, cls, teacher.num_classes(task) or 0)
    with (
        DefaultScope.overwrite_default_scope('allinone'),
        reading_normalised(),
        explained(cfg),
        redirect_stdout(None),  # pycocotools prints.
    ):
        dataset = MMENGINE_DATASETS.build(cfg)
        dataset.full_init()
    if not len(dataset):
        raise empty(cfg)
    return dataset


def _format(data: TaskData) -> tuple[str | None, Mapping]:
    """Scope and config of the data set that the annotation file of a task is of."""
    found = list(innermost(data.dataset))
    places = [
        [cfg.get(key) for key in ('type', 'data_root', 'data_prefix', 'img_suffix', 'metainfo')]
        for _, cfg in found
    ]
    if any(place != places[0] for place in places):
        raise ConfigError(
            f'{data.dataset_key} has {len(found)} data sets with different folders, so it does not '
            'say where the images of the held-out file are; give a config that has one of them as '
            '--config'
        )
    return found[0]


def _loading(teacher: Teacher, task: str) -> list:
    """Transforms of the test pipeline that load labels, else those of the kind."""
    pipeline = teacher.pipeline(task)
    steps = [
        dict(step, _scope_=step.get('_scope_', pipeline.scope))
        for step in pipeline.steps
        if isinstance(step, Mapping)
        and transform_name(step).startswith(LOADING)
        and 'Image' not in transform_name(step)
    ]
    loader = teacher.inferencer.model.kinds[task].annotation_loader
    return steps or ([dict(loader)] if loader else [])


def _refuse_compared(
    key: str,
    part: HeldOutPart,
    path: str,
    teacher: Teacher,
    task: str,
    note: Callable[[str], None],
) -> None:
    """Validation and test data are to say how good a student is, so they choose nothing."""
    remedy = (
        'models are compared by these images, so nothing may be chosen by them; hold images out of '
        f'the training data with {program("split")}'
    )
    for stage in ('val', 'test'):
        for data in data_of_task(teacher.source.cfg.get(f'{stage}_dataloader'), stage, task):
            for _, cfg in innermost(data.dataset):
                if _file_of(cfg) == osp.realpath(path):
                    raise DataError(f'{key} is the ann_file of {data.dataset_key}: {remedy}')
            common = _common(part, data, note)
            if common:
                raise DataError(
                    f'{key}: {len(common)} of its {len(part.infos)} images are in '
                    f'{data.dataset_key}, such as {shortened(common)}: {remedy}'
                )


def _refuse_seen(
    key: str, part: HeldOutPart, teacher: Teacher, task: str, note: Callable[[str], None]
) -> None:
    entries = list(data_of_task(teacher.train_loaders, 'train', task))
    if not entries:
        note(
            f'the config of {teacher.name} has no train_dataloader.{task}, so it is not checked '
            f'that the images of {key} are new to it'
        )
    for data in entries:
        if common := _common(part, data, note):
            raise DataError(
                f'{key}: {len(common)} of its {len(part.infos)} images are in {data.dataset_key} '
                f'of {teacher.name}, such as {shortened(common)}: a teacher is surer, and more '
                'often right, on images that it has learnt; train it without them '
                f'({program("split")}), or hold out others'
            )


def _common(part: HeldOutPart, data: TaskData, note: Callable[[str], None]) -> list[str]:
    """Names of images of a held-out part that another data set has, too."""
    try:
        others = set(map(file_identity, image_paths(data.dataset)))
    except Exception as error:
        # Such as data that are not on this machine
        note(
            f'the images of {data.dataset_key} cannot be listed ({in_words(error)}), so it is not '
            f'checked that none of them is held out'
        )
        return []
    return [osp.basename(path) for path in part.images if file_identity(path) in others]


def evaluated_images(teacher: Teacher, tasks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Config key and path of each validation and test image of some tasks that can be listed."""
    for stage in ('val', 'test'):
        for task in tasks:
            for data in data_of_task(teacher.source.cfg.get(f'{stage}_dataloader'), stage, task):
                try:
                    paths = image_paths(data.dataset)
                except Exception:  # Such as data that are not on this machine
                    continue
                yield from ((data.key, path) for path in paths)


def _file_of(cfg: Mapping) -> str | None:
    path, root = cfg.get('ann_file'), cfg.get('data_root')
    if not path:
        return None
    return osp.realpath(osp.join(root or '', path))
