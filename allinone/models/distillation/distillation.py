"""Losses of ``model.distill``, and the teachers that they need in training."""

from collections.abc import Mapping
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from allinone.errors import ConfigError, with_key
from allinone.models.probe import PROBE_SIZE
from allinone.registry import MODELS
from allinone.registry.options import build_kind
from allinone.tasks import TaskKind

from .losses import DistillationLoss
from .taps import tapped
from .teachers import Teacher, check_source, load_teacher, teacher_of

KEY = 'model.distill'


class Distillation:
    """Adds losses towards the outputs of teachers to the losses of the tasks.

    Parameters of these losses (``FeatureImitation.channels``) belong to the task, as
    ``tasks.NAME.distillation.*``. The teachers are not modules of the student: its state dicts,
    optimizers and averages do not include them. They are loaded when training begins, not for
    testing.

    Args:
        teacher: ``dict(config=..., checkpoint=...)`` of a joint model, or ``{task: such a dict}``
            for several teachers; the optional key ``task`` is the teacher's task if its name
            differs. A config may be of a joint model or of one of the libraries.
        losses: ``{task: {name: config of a DistillationLoss}}``, logged as
            ``'TASK/distill_loss_NAME'``.
        tasks: ``{name: model}`` of the student.
        kinds: ``{name: kind}`` of these tasks.

    Raises:
        ConfigError: If keys or options cannot be used.
    """

    def __init__(
        self,
        teacher: Mapping,
        losses: Mapping,
        tasks: Mapping[str, BaseModel],
        kinds: Mapping[str, TaskKind],
    ):
        if not isinstance(losses, Mapping) or not losses or not set(losses) <= set(tasks):
            raise ConfigError(
                f'{KEY}.losses is {losses!r}; give {{task: {{name: dict(type=...)}}}} of some of '
                f'{sorted(tasks)}'
            )
        if not isinstance(teacher, Mapping):
            raise ConfigError(
                f'{KEY}.teacher is {teacher!r}; give dict(config=..., checkpoint=...)'
            )
        if isinstance(teacher.get('config'), str):
            check_source(f'{KEY}.teacher', teacher)
            self.sources = {task: (f'{KEY}.teacher', teacher) for task in losses}
        else:
            if set(teacher) != set(losses):
                raise ConfigError(
                    f'{KEY}.teacher is for {sorted(teacher)} and {KEY}.losses for '
                    f'{sorted(losses)}; name the same tasks'
                )
            self.sources = {task: (f'{KEY}.teacher.{task}', teacher[task]) for task in losses}
            for key, source in self.sources.values():
                check_source(key, source)
        for task, parts in losses.items():
            tasks[task].distillation = nn.ModuleDict(
                {name: _build(f'{KEY}.losses.{task}.{name}', cfg) for name, cfg in parts.items()}
            )
        self._kinds = dict(kinds)
        self._teachers: dict[str, Teacher] = {}

    def __deepcopy__(self, memo) -> 'Distillation':
        return self  # A copy of the student (EMA) needs no teachers.

    def classes(self) -> dict[str, list[str]]:
        """``{task: names of the teacher's classes}`` of loaded teachers that have them."""
        return {
            task: teacher.classes for task, teacher in self._teachers.items() if teacher.classes
        }

    def files(self) -> list[str]:
        """The teachers' checkpoints."""
        return sorted({source['checkpoint'] for _, source in self.sources.values()})

    def start(self, tasks: Mapping[str, BaseModel]) -> None:
        """Load the teachers, and compare their outputs on a blank image with the student's.

        Raises:
            ConfigError: If a config cannot be used, or outputs do not match.
            CheckpointError: If a checkpoint cannot be used.
        """
        self._load()
        for task in self._teachers:
            self._check(task, tasks[task])

    def _load(self) -> None:
        models: dict[tuple[str, str], BaseModel] = {}
        for task, (key, source) in self.sources.items():
            files = source['config'], source['checkpoint']
            if files not in models:
                models[files] = load_teacher(key, *files)
            self._teachers[task] = teacher_of(key, models[files], source.get('task') or task)

    def _names(self, task: str, loss: DistillationLoss, student: BaseModel) -> tuple[str, str]:
        teacher = self._teachers[task]
        return loss.names(student, teacher.task, self._kinds[task], teacher.kind)

    @torch.no_grad()
    def _check(self, task: str, student: BaseModel) -> None:
        parameter = next(student.parameters())
        blank = torch.zeros(
            1, 3, PROBE_SIZE, PROBE_SIZE, device=parameter.device, dtype=parameter.dtype
        )
        teacher = self._teachers[task]
        with _evaluating(student):
            for name, loss in student.distillation.items():
                with with_key(f'{KEY}.losses.{task}.{name}', ConfigError):
                    own, other = self._names(task, loss, student)
                    samples = self._kinds[task].samples(blank, [(PROBE_SIZE, PROBE_SIZE)])
                    try:
                        given = teacher.answers(student, blank, samples, [other])[other]
                        with tapped(student, [own]) as heard:
                            student(blank, samples, mode='tensor')
                    except (RuntimeError, AssertionError) as error:
                        print_log(
                            f'{KEY}: a {PROBE_SIZE} x {PROBE_SIZE} image does not pass, so '
                            f'teacher and student of {task!r} were not compared: {error}',
                            'current',
                        )
                        continue
                    loss(loss.select(heard[own]), loss.select(given))

    def losses(self, task: str, student: BaseModel, data: dict) -> dict[str, Tensor]:
        """Losses of the task on a preprocessed batch, including those towards its teacher.

        Args:
            task: Its name.
            student: Its upstream model.
            data: ``inputs`` and ``data_samples``, as its data preprocessor returns them.
        """
        if task not in self.sources:
            return student._run_forward(data, mode='loss')
        if not self._teachers:
            self._load()
        teacher = self._teachers[task]
        names = {
            name: self._names(task, loss, student) for name, loss in student.distillation.items()
        }
        given = teacher.answers(
            student, data['inputs'], data['data_samples'], {other for _, other in names.values()}
        )
        with tapped(student, {own for own, _ in names.values()}) as heard:
            losses = student._run_forward(data, mode='loss')
        for name, loss in student.distillation.items():
            own, other = names[name]
            with with_key(f'{KEY}.losses.{task}.{name}', ConfigError):
                losses[f'distill_loss_{name}'] = loss(
                    loss.select(heard[own]), loss.select(given[other])
                )
        return losses


def _build(key: str, cfg: Mapping) -> DistillationLoss:
    remedy = 'its type is one of LogitDistillation, ScoreDistillation, FeatureImitation'
    return build_kind(key, cfg, MODELS, DistillationLoss, remedy)


@contextmanager
def _evaluating(model: nn.Module):
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
