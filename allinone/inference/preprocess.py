"""Model inputs by the test pipeline of a task's data set, as a test makes them."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import Tensor

from allinone.config.build_errors import named
from allinone.config.data_sets import scoped_dataset
from allinone.config.sources import first_data
from allinone.data.task_pipeline import pipeline_of_task, transform_name
from allinone.errors import ConfigError
from allinone.models.allinone import AllInOne
from allinone.registry.kinds import kind_of_config

from .input_errors import in_words

PLAIN = np.full((480, 640, 3), 114, np.uint8)  # on which a model or pipeline is tried
LOADING = 'Load'  # Types that begin with it read files: the image and its annotations.


class PipelineConfig(NamedTuple):
    """The test pipeline of a task.

    Attributes:
        key: Its config key.
        scope: Library in which its types are looked up.
        steps: Configs of the transforms.
    """

    key: str
    scope: str
    steps: Sequence


def find_pipeline(cfg: Config, task: str) -> PipelineConfig | None:
    """A task's pipeline in the test data, else in the validation data, else None.

    Inside wrappers and concatenations it is that of the first data set. That of a shared source
    loads and packs for the task alone.
    """
    for stage in ('test', 'val'):
        data = first_data(cfg, stage, task)
        if data is None:
            continue
        scope, dataset = 'allinone', data.loader.get('dataset')
        while isinstance(dataset, Mapping):
            scope = scoped_dataset(dataset, scope).get('_scope_', scope)
            if dataset.get('pipeline'):
                steps = dataset['pipeline']
                if data.shared:
                    kind = kind_of_config(f'model.tasks.{task}', cfg['model']['tasks'][task])
                    steps = pipeline_of_task(dataset, task, kind)
                return PipelineConfig(f'{data.key}.dataset.pipeline', scope, steps)
            parts = dataset.get('datasets')
            dataset = parts[0] if parts else dataset.get('dataset')
    return None


class TestPipeline:
    """The transforms of a task's test pipeline on an image in memory.

    Transforms that load (their types begin with ``Load``) are left out, also those inside
    ``TestTimeAug``. ``to_float32`` of the one that loads the image is applied.

    Args:
        config: The pipeline.
        remedy: What to do if it cannot be used, for the message.

    Raises:
        ConfigError: If it cannot be built, or fails on a plain image without annotations.
    """

    __test__ = False  # pytest takes classes of this name for tests.

    def __init__(self, config: PipelineConfig, remedy: str):
        steps = _without_loading(config.steps)
        self._dtype = np.float32 if _loads_floats(config.steps) else np.uint8
        with DefaultScope.overwrite_default_scope(config.scope), named(config.key, config.steps):
            self._transforms = Compose(steps)
        try:
            packed = self(PLAIN)
        except Exception as error:
            words = in_words(error)
            raise ConfigError(
                f'{config.key} fails on an image without annotations ({words}); {remedy}'
            ) from error
        if not isinstance(packed, Mapping) or 'inputs' not in packed:
            found = sorted(packed) if isinstance(packed, Mapping) else type(packed).__name__
            raise ConfigError(
                f"{config.key} ends with {found}, but models take 'inputs' and 'data_samples'; "
                'end it with a packing transform'
            )

    def __call__(self, image: np.ndarray) -> dict:
        """``{'inputs': (3, H, W), 'data_samples'}`` of a BGR image; lists of views with TTA."""
        size = image.shape[:2]
        pixels = image.astype(self._dtype)  # A copy, because transforms may write into it
        info = dict(img_path='', img_id=0, seg_fields=[])  # What data sets give to all samples
        return self._transforms(dict(info, img=pixels, img_shape=size, ori_shape=size))


def views_of(packed: Mapping) -> list[Tensor]:
    """The inputs ``(3, H, W)`` of a packed image: one, or several views."""
    inputs = packed['inputs']
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def sizes_of(packed: Mapping) -> tuple[tuple[int, ...], ...]:
    """``(H, W)`` of each input of a packed image."""
    return tuple(tuple(view.shape[-2:]) for view in views_of(packed))


@torch.no_grad()
def predict_packed(
    model: AllInOne, task: str, packed: Sequence[Mapping], batch_size: int | None = None
) -> list:
    """Data samples of packed images, by the task's ``test_step`` as in a test.

    Images of one size share a batch, because padding would change predictions.

    Args:
        model: The joint model.
        task: The task.
        packed: Results of its :class:`TestPipeline`.
        batch_size: Maximum number of images in a batch. Default: unlimited.
    """
    samples: list = [None] * len(packed)
    by_size: dict[tuple, list[int]] = {}
    for number, found in enumerate(packed):
        by_size.setdefault(sizes_of(found), []).append(number)
    for numbers in by_size.values():
        step = batch_size or len(numbers)
        for start in range(0, len(numbers), step):
            batch = numbers[start : start + step]
            data = pseudo_collate([packed[number] for number in batch])
            for number, sample in zip(batch, model.test_step({task: data})[task]):
                samples[number] = sample
    return samples


def _without_loading(steps: Iterable) -> list:
    found = []
    for step in steps:
        if transform_name(step).startswith(LOADING):
            continue
        if isinstance(step, Mapping) and transform_name(step) == 'TestTimeAug':
            # An empty list would leave no view.
            parts = [_without_loading(part) for part in step['transforms']]
            step = dict(step, transforms=list(filter(None, parts)))
        # A copy, because some transforms change the config that they are built from.
        found.append(copy.deepcopy(step))
    return found


def _loads_floats(steps: Iterable) -> bool:
    return any(
        isinstance(step, Mapping)
        and transform_name(step).startswith('LoadImage')
        and step.get('to_float32')
        for step in steps
    )
