"""Image size for inference, by default that of validation."""

import math
from collections.abc import Collection, Iterable, Mapping
from inspect import isclass
from typing import NamedTuple

from mmcv.transforms import Resize
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, Registry

from allinone.config.build_errors import named
from allinone.errors import ConfigError

from .options import inference_options
from .preprocess import find_pipeline

AS_TESTED = 'tested'


class ImageScale(NamedTuple):
    """Resizing of images before the model.

    Attributes:
        resize: The transform. None: no resizing.
        note: A message for the user, or None.
    """

    resize: Resize | None
    note: str | None

    @property
    def key(self) -> list | None:
        """The settings that results depend on, in JSON types."""
        return _key(self.resize)


def image_scale(cfg: Config, wanted, tasks: Iterable[str], whole: Collection[str]) -> ImageScale:
    """The requested scale, else the config's, else the largest test scale of the tasks.

    Args:
        cfg: The joint config; ``inference.scale`` and the test or validation pipelines are read.
        wanted: ``(width, height)`` limit to which images are resized with their aspect ratio kept;
            None: no resizing; ``AS_TESTED``: from ``cfg``.
        tasks: Tasks that predict.
        whole: Those of the tasks that use full images, whose test scales are considered.

    Raises:
        ConfigError: If the scale is not a pair of positive integers.
    """
    key = 'scale'
    inference = inference_options(cfg)
    if wanted == AS_TESTED and 'scale' in inference:
        key, wanted = 'inference.scale', inference['scale']
    tested = tested_resizes(cfg, tasks)
    tested = {task: resize for task, resize in tested.items() if resize or task in whole}
    if wanted == AS_TESTED:
        areas = {
            task: math.prod(found.scale)
            for task in whole
            if (found := tested.get(task)) is not None
        }
        source = max(areas, key=areas.__getitem__, default=None)
        resize = None if source is None else tested[source]
    else:
        source = None
        resize = None
        if wanted is not None:
            resize = Resize(scale=_checked(key, wanted), keep_ratio=True)
    return ImageScale(resize, _note(tested, resize, source))


def tested_resizes(cfg: Config, tasks: Iterable[str]) -> dict[str, Resize | None]:
    """``{task: transform}`` that resizes a task's test images to a fixed scale.

    The value is None for a pipeline without such a transform; tasks without a pipeline in the
    config are omitted.
    """
    found = {}
    for task in tasks:
        if (pipeline := find_pipeline(cfg, task)) is not None:
            with (
                TRANSFORMS.switch_scope_and_registry(pipeline.scope) as registry,
                named(pipeline.key, pipeline.steps),
            ):
                found[task] = _resize_of(pipeline.steps, registry)
    return found


def _resize_of(pipeline: Iterable, registry: Registry) -> Resize | None:
    for step in pipeline:
        kind = step.get('type') if isinstance(step, Mapping) else None
        kind = registry.get(kind) if isinstance(kind, str) else kind
        # No others are built: the config may come from a checkpoint, and some build named types.
        if isclass(kind) and issubclass(kind, Resize) and step.get('scale') is not None:
            return registry.build(dict(step))
    return None


def _note(
    tested: Mapping[str, Resize | None], resize: Resize | None, source: str | None
) -> str | None:
    others = ', '.join(
        f'{task}: {_words(other) if other else "the size of its files"}'
        for task, other in tested.items()
        if _key(other) != _key(resize)
    )
    if source is not None:
        also = f' (others are tested otherwise, {others})' if others else ''
        return (
            f'images are resized to {_words(resize)}, the test scale of {source}{also}; --scale '
            'or the config key inference.scale changes it'
        )
    if not others:
        return None
    here = f'are resized to {_words(resize)}' if resize else 'keep their size'
    return f'images {here}, but the test pipelines resize them otherwise ({others})'


def _key(resize: Resize | None) -> list | None:
    return resize and [*resize.scale, resize.keep_ratio]


def _words(resize: Resize) -> str:
    width, height = resize.scale
    return f'{width} x {height}' + (' with their ratio kept' if resize.keep_ratio else '')


def _checked(key: str, scale) -> tuple[int, int]:
    if (
        not isinstance(scale, (tuple, list))
        or len(scale) != 2
        or not all(isinstance(side, int) and side > 0 for side in scale)
    ):
        raise ConfigError(f'{key} is {scale!r}; give (width, height) in pixels, or None')
    return tuple(scale)
