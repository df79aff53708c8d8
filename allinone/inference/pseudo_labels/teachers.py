"""The models that label, and which of them labels which task."""

import hashlib
import os
import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from allinone.config.loading import load_config
from allinone.config.sources import first_data
from allinone.data.task_pipeline import transform_name
from allinone.errors import ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.model_source import ModelSource, find_model, is_config, training_data
from allinone.inference.options import AS_TESTED_MODE
from allinone.inference.preprocess import PipelineConfig, find_pipeline
from allinone.io.digests import file_hash
from allinone.registry.kinds import kind_of_config
from allinone.tasks.pseudo_labels import PseudoLabels

VIEWS = 'TestTimeAug'


@dataclass
class Teacher:
    """A trained model.

    Attributes:
        name: As the user gave it.
        source: Config and checkpoint.
        labels: The tasks that it labels.
    """

    name: str
    source: ModelSource
    labels: list[str] = field(default_factory=list)

    @property
    def tasks(self) -> list[str]:
        """All tasks of the model."""
        return list(self.source.cfg.model.tasks)

    @cached_property
    def train_loaders(self) -> Mapping[str, Mapping]:
        """``train_dataloader`` of its config, without pipelines; empty if it has none."""
        return training_data(self.source)

    def pipeline(self, task: str) -> PipelineConfig:
        """The test pipeline of a task.

        Raises:
            ConfigError: If the config has none.
        """
        found = find_pipeline(self.source.cfg, task)
        if found is None:
            raise ConfigError(
                f'the config of {self.name} has neither val_dataloader.{task} nor '
                f'test_dataloader.{task}, whose pipeline images go through; give a config that '
                'has one before the checkpoint'
            )
        return found

    def prepare(self, device: str | None, note) -> None:
        """Build the model for the tasks that it labels."""
        self.inferencer = AllInOneInferencer(
            self.source, None, device, self.labels, on_note=note, mode=AS_TESTED_MODE
        )
        self.forms = {task: self._form(task) for task in self.labels}

    def num_classes(self, task: str) -> int | None:
        """Of the head of a task."""
        model = self.inferencer.model
        return model.kinds[task].num_classes(model.tasks[task])

    def classes(self, task: str) -> list[str]:
        """Names of the classes of a task; their numbers where the config has no names."""
        names = self.inferencer.metainfo[task].get('classes')
        return list(map(str, names or range(self.num_classes(task) or 0)))

    def new_form(self, task: str) -> PseudoLabels:
        """A fresh object that compares held-out images, and labels others."""
        return self.forms[task](self.classes(task))

    def _form(self, task: str) -> type[PseudoLabels]:
        # The built model may say more than its config: one label or several.
        kind = self.inferencer.model.kinds[task]
        form = kind.pseudo_labels
        if form is None:
            raise ConfigError(
                f'--tasks has {task!r}, but the kind {kind.name!r} has no pseudo labels '
                '(pseudo_labels of its TaskKind); leave the task out'
            )
        return form

    def digest(self) -> str:
        """SHA-256 of the checkpoint."""
        path = self.source.path
        if not osp.isdir(path):
            return file_hash(path)
        parts = [(name, file_hash(osp.join(path, name))) for name in sorted(os.listdir(path))]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def find_teachers(entries: Sequence[str]) -> list[Teacher]:
    """Read checkpoints, each one with its config before it if one is given.

    Raises:
        ConfigError: If a config has no checkpoint behind it.
        CheckpointError: As :func:`find_model`.
    """
    found, waiting = [], list(entries)
    while waiting:
        model = waiting.pop(0)
        if is_config(model) and (not waiting or is_config(waiting[0])):
            raise ConfigError(f'{model} is a config without weights; give a checkpoint behind it')
        weights = waiting.pop(0) if is_config(model) else None
        found.append(Teacher(weights or model, find_model(model, weights)))
    return found


def assign_tasks(teachers: Sequence[Teacher], chosen: Sequence[str] | None) -> dict[str, Teacher]:
    """``{task: the teacher that labels it}``, also set in the teachers.

    Args:
        teachers: In their order.
        chosen: ``'TASK'`` or ``'TASK=CKPT'``. Default: all tasks of the teachers.

    Raises:
        ConfigError: If no teacher or several ones have a task, or a task cannot be labelled.
    """
    known = list(dict.fromkeys(task for teacher in teachers for task in teacher.tasks))
    found: dict[str, Teacher] = {}
    for entry in chosen or known:
        task, _, name = entry.partition('=')
        having = [teacher for teacher in teachers if task in teacher.tasks]
        if not having:
            raise ConfigError(f'--tasks has {task!r}, which no teacher has; they have {known}')
        if name:
            having = [teacher for teacher in having if teacher.name == name]
        if not having:
            raise ConfigError(
                f'--tasks has {entry!r}, but no teacher {name} has this task; the teachers are '
                f'{[teacher.name for teacher in teachers]}'
            )
        if len(having) > 1:
            raise ConfigError(
                f'{having[0].name} and {having[1].name} both have the task {task!r}; say which one '
                f'labels it, as in --tasks {task}={having[0].name}'
            )
        found[task] = having[0]
    for task, teacher in found.items():
        _refuse_views(task, teacher)
        teacher.labels.append(task)
    return found


def _refuse_views(task: str, teacher: Teacher) -> None:
    kind = kind_of_config(f'model.tasks.{task}', teacher.source.cfg.model.tasks[task])
    form = kind.pseudo_labels
    pipeline = teacher.pipeline(task)
    if form is None or form.takes_views:
        return
    if any(transform_name(step) == VIEWS for step in pipeline.steps):
        raise ConfigError(
            f'{pipeline.key} of {teacher.name} has {VIEWS}, but merged views of task {task!r} have '
            'no scores; give a config with a plain test pipeline before the checkpoint'
        )


def training_loaders(teacher: Teacher, config: str | None) -> Mapping[str, Mapping]:
    """The training data whose format held-out parts have: of a config, else of the teacher."""
    if config is None:
        return teacher.train_loaders
    return load_config(config).get('train_dataloader') or {}


def train_dataset(teacher: Teacher, task: str, config: str | None = None):
    """Where the training data of a task are; None if the config has none."""
    return first_data(dict(train_dataloader=training_loaders(teacher, config)), 'train', task)
