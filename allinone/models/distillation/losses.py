"""Losses between the outputs of a student and its teacher on the same images."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from allinone.errors import ConfigError
from allinone.registry import MODELS
from allinone.registry.options import check_choice, check_count, check_number
from allinone.tasks import TaskKind

from .taps import tensors


class DistillationLoss(nn.Module):
    """Loss between the outputs of a student module and of a teacher module.

    Args:
        loss_weight: Factor of the loss.
        module: Name of the module in the student's task. Default: depends on the loss.
        teacher_module: Name in the teacher's task. Default: ``module``, or depends on the loss.
        output: Index of the element if a module returns a tuple. Default: all elements.

    Raises:
        ConfigError: If an option cannot be used; on the first images, if the outputs do not match.
    """

    compares = 'features'  # 'logits', 'scores' or 'features': the default module, by the kind

    def __init__(
        self,
        loss_weight: float = 1.0,
        module: str | None = None,
        teacher_module: str | None = None,
        output: int | None = None,
    ):
        super().__init__()
        self.loss_weight = check_number('loss_weight', loss_weight, 0)
        self.module = module
        self.teacher_module = teacher_module or module
        self.output = output

    def names(
        self, student: nn.Module, teacher: nn.Module, kind: TaskKind, teacher_kind: TaskKind
    ) -> tuple[str, str]:
        """Names of the compared modules, in the student's task and in the teacher's."""
        return (
            self.module or kind.output_of(self.compares, student),
            self.teacher_module or teacher_kind.output_of(self.compares, teacher),
        )

    def select(self, answers: list) -> list[Tensor]:
        """The tensors to compare, selected from a module's outputs in one pass."""
        if self.output is not None:
            answers = [answer[self.output] for answer in answers]
        return tensors(answers)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The loss (scalar) of selected outputs, ``(N, C, ...)`` each."""
        if len(student) != len(teacher):
            raise ConfigError(
                f'the student gives {len(student)} maps and the teacher {len(teacher)}; choose '
                'module and teacher_module of as many'
            )
        return self.loss_weight * self.compare(
            [tensor.float() for tensor in student], [tensor.detach().float() for tensor in teacher]
        )

    def compare(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        raise NotImplementedError(f'{type(self).__name__} does not define compare()')


@MODELS.register_module()
class LogitDistillation(DistillationLoss):
    r"""KL divergence between the temperature-softened classes of teacher and student.

    `Hinton et al. <https://arxiv.org/abs/1503.02531>`_, for each image or pixel:

    .. math:: T^2 \sum_c p_c \log \frac{p_c}{q_c}, \quad
              p = \mathrm{softmax}(t / T), \quad q = \mathrm{softmax}(s / T)

    averaged over all of them, including padding and those without a label. Teacher maps of another
    size are resized. mmdet's ``KnowledgeDistillationKLDivLoss`` equals this divided by the number
    of classes.

    Args:
        temperature: T.
        **kwargs: As in :class:`DistillationLoss`; ``module`` defaults to the module that computes
            the logits: ``'head'`` for classification, ``'decode_head.conv_seg'`` for segmentation.
    """

    compares = 'logits'

    def __init__(self, temperature: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = check_number('temperature', temperature, 0, open_low=True)

    def compare(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        losses = []
        for own, given in zip(student, teacher):
            _check_channels('classes', own, given)
            given = _resized(given, own)
            divergence = F.kl_div(
                F.log_softmax(own / self.temperature, 1),
                F.log_softmax(given / self.temperature, 1),
                reduction='none',
                log_target=True,
            ).sum(1)
            losses.append(self.temperature**2 * divergence.mean())
        return torch.stack(losses).mean()


@MODELS.register_module()
class ScoreDistillation(DistillationLoss):
    r"""Loss between the sigmoid class scores of a dense detector and those of its teacher.

    The quality focal loss (`Li et al. <https://arxiv.org/abs/2006.04388>`_), as in `CrossKD
    <https://arxiv.org/abs/2306.11369>`_, but between the outputs of each model's head.

    With teacher score t and student score s of each anchor and class:

    .. math:: \frac{\sum |t - s|^\beta \, \mathrm{BCE}(s, t)}{\max(1, \sum_{anchors} \max_c t_c)}

    The denominator, about the number of objects that the teacher detects, is our choice.

    Args:
        beta: Exponent.
        num_classes: Classes per anchor. Default: all channels belong to one anchor.
        **kwargs: As in :class:`DistillationLoss`; ``module`` defaults to ``'bbox_head'``, with
            ``output=0``, where mmdet's heads return the scores of each level.
    """

    compares = 'scores'

    def __init__(self, beta: float = 2.0, num_classes: int | None = None, **kwargs):
        super().__init__(**dict(dict(output=0), **kwargs))
        self.beta = check_number('beta', beta, 0)
        self.num_classes = None if num_classes is None else check_count('num_classes', num_classes)

    def compare(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        rows, targets = [], []
        for one, other in zip(student, teacher):
            if one.shape != other.shape:
                raise ConfigError(
                    f'the student gives scores {tuple(one.shape)} and the teacher '
                    f'{tuple(other.shape)}; both need the same classes, anchors and strides'
                )
            rows.append(self._rows(one))
            targets.append(self._rows(other).sigmoid())
        own, given = torch.cat(rows), torch.cat(targets)
        loss = F.binary_cross_entropy_with_logits(own, given, reduction='none')
        loss = loss * (given - own.sigmoid()).abs() ** self.beta
        return loss.sum() / given.amax(1).sum().clamp(min=1)

    def _rows(self, scores: Tensor) -> Tensor:
        return scores.movedim(1, -1).reshape(-1, self.num_classes or scores.shape[1])


@MODELS.register_module()
class FeatureImitation(DistillationLoss):
    r"""Loss between the feature maps of the student and those of the teacher.

    With ``normalise`` as in `PKD <https://arxiv.org/abs/2207.02039>`_: each channel has mean 0 and
    variance 1 over images and positions, so scales do not matter, and

    .. math:: \frac 1 2 \mathrm{mean} (\hat s - \hat t)^2 = 1 - r

    with r the mean correlation of a channel; without it, the mean of :math:`(s - t)^2` as in
    `FitNets <https://arxiv.org/abs/1412.6550>`_. The losses of several maps are summed. Teacher
    maps of another size are resized.

    Args:
        normalise: See above.
        channels: ``(student, teacher)`` numbers of channels of a trainable 1 x 1 convolution
            between maps: one pair for all maps, or a list with one pair per map. Default: the
            numbers are equal, without a convolution.
        **kwargs: As in :class:`DistillationLoss`; ``module`` defaults to the neck, or to the
            backbone if the model has no neck.
    """

    def __init__(
        self,
        normalise: bool = True,
        channels: Sequence[int] | Sequence[Sequence[int]] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.normalise = check_choice(
            'normalise',
            normalise,
            (True, False),  # type: ignore[arg-type]  # it compares choices of any type
        )
        self.connectors = nn.ModuleList(
            nn.Conv2d(own, given, 1, bias=False) for own, given in _pairs(channels)
        )

    def compare(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        connectors = [cast(nn.Conv2d, connector) for connector in self.connectors]
        if len(connectors) == 1:
            connectors *= len(student)
        if connectors and len(connectors) != len(student):
            raise ConfigError(
                f'channels has {len(connectors)} pairs, but there are {len(student)} maps'
            )
        total = student[0].new_zeros(())
        for index, (own, given) in enumerate(zip(student, teacher)):
            if connectors:
                own = _connected(connectors[index], own)
            _check_channels('channels', own, given)
            given = _resized(given, own)
            if self.normalise:
                total = total + F.mse_loss(_normalised(own), _normalised(given)) / 2
            else:
                total = total + F.mse_loss(own, given)
        return total


def _pairs(channels) -> list[tuple[int, int]]:
    if channels is None:
        return []
    try:
        pairs = [channels] if isinstance(channels[0], int) else channels
        return [(check_count('', own), check_count('', given)) for own, given in pairs]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ConfigError(
            f'channels is {channels!r}; give (student, teacher), or a list of such pairs'
        ) from error


def _connected(connector: nn.Conv2d, own: Tensor) -> Tensor:
    if own.shape[1] != connector.in_channels:
        raise ConfigError(
            f'channels has {connector.in_channels} of the student, whose map has {own.shape[1]}'
        )
    flat = own.reshape(*own.shape[:2], -1, 1)
    return connector(flat).reshape(len(own), connector.out_channels, *own.shape[2:])


def _check_channels(what: str, own: Tensor, given: Tensor) -> None:
    if own.shape[1] != given.shape[1] or own.dim() != given.dim():
        raise ConfigError(
            f'the student gives {tuple(own.shape)} and the teacher {tuple(given.shape)}; the '
            f'{what} (second) must be as many'
        )


def _resized(given: Tensor, own: Tensor) -> Tensor:
    if given.dim() != 4 or given.shape[2:] == own.shape[2:]:
        return given
    return F.interpolate(given, own.shape[2:], mode='bilinear', align_corners=False)


def _normalised(maps: Tensor) -> Tensor:
    """Normalise each channel to mean 0 and variance 1 over all other dimensions."""
    rows = maps.movedim(1, 0).flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    # The gradient of a constant channel is 0.
    return rows / (rows.std(1, correction=0, keepdim=True) + 1e-6)
