"""How images become inputs and predictions: in one pass, or as each task is tested."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from mmengine.config import Config

from allinone.errors import ConfigError, DataError
from allinone.models.allinone import AllInOne
from allinone.models.exported import ExportedModel

from .options import AS_TESTED_MODE, inference_mode, inference_options
from .preprocess import TestPipeline, find_pipeline, predict_packed, sizes_of, views_of
from .scale import AS_TESTED, ImageScale, image_scale
from .streaming import ModelInput


class InferenceMode(Protocol):
    """A way from images to predictions.

    Attributes:
        note: A message for the user, or None.
        settings: The settings that results depend on, in JSON types.
    """

    note: str | None
    settings: dict

    def prepare(self, image: np.ndarray, tasks: Sequence[str]) -> ModelInput:
        """The input of the model for a BGR image ``(H, W, 3)``."""

    def predict(
        self, images: Sequence[np.ndarray], inputs: Sequence[ModelInput], tasks: Sequence[str]
    ) -> list[dict]:
        """Data samples ``{task: sample}`` of each image."""


class OnePass:
    """All tasks on images of one scale, in one pass of the backbone.

    Args:
        model: The joint model, or an exported graph in its place.
        scale: The scale.
    """

    def __init__(self, model: AllInOne | ExportedModel, scale: ImageScale):
        self.model, self.scale, self.note = model, scale, scale.note
        self.settings = dict(scale=scale.key)

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize to the scale.

        Raises:
            DataError: If a side would have less than a pixel.
        """
        if self.scale.resize is None:
            return image
        try:
            return self.scale.resize(dict(img=image))['img']
        except cv2.error as error:
            height, width = image.shape[:2]
            raise DataError(
                f'an image of {width} x {height} cannot be resized to the scale '
                f'{self.scale.resize.scale}, where a side would have less than a pixel'
            ) from error

    def prepare(self, image: np.ndarray, tasks: Sequence[str]) -> ModelInput:
        resized = self.resize(image)
        # An image that keeps its size is the same array.
        nbytes = 0 if resized is image else resized.nbytes
        return ModelInput(resized, (resized.shape[:2],), nbytes)

    def predict(
        self, images: Sequence[np.ndarray], inputs: Sequence[ModelInput], tasks: Sequence[str]
    ) -> list[dict]:
        resized = [found.content for found in inputs]
        metainfo = [
            dict(
                ori_shape=image.shape[:2],
                scale_factor=(small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]),
            )
            for image, small in zip(images, resized)
        ]
        tensors = [torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1))) for x in resized]
        predictions = self.model.predict(tensors, tasks, metainfo)
        return [{task: predictions[task][i] for task in tasks} for i in range(len(images))]


class AsTested:
    """Each task on images as its test pipeline makes them, in a pass of its own.

    Args:
        model: The joint model.
        pipelines: ``{task: its test pipeline}``.
        settings: The settings that results depend on.
        note: A message for the user.
    """

    def __init__(
        self,
        model: AllInOne,
        pipelines: Mapping[str, TestPipeline],
        settings: dict,
        note: str | None = None,
    ):
        self.model, self.pipelines, self.settings, self.note = model, pipelines, settings, note

    def prepare(self, image: np.ndarray, tasks: Sequence[str]) -> ModelInput:
        packed = {task: self.pipelines[task](image) for task in tasks}
        sizes = tuple(size for found in packed.values() for size in sizes_of(found))
        nbytes = sum(view.nbytes for found in packed.values() for view in views_of(found))
        return ModelInput(packed, sizes, nbytes)

    def predict(
        self, images: Sequence[np.ndarray], inputs: Sequence[ModelInput], tasks: Sequence[str]
    ) -> list[dict]:
        samples = {
            task: predict_packed(self.model, task, [found.content[task] for found in inputs])
            for task in tasks
        }
        return [{task: samples[task][i] for task in tasks} for i in range(len(images))]


def build_mode(
    cfg: Config, model: AllInOne, tasks: Sequence[str], mode: str | None, scale
) -> InferenceMode:
    """The requested mode, else the config's, else one pass.

    Args:
        cfg: The joint config.
        model: Its model.
        tasks: Tasks that predict.
        mode: ``'one_pass'``, ``'as_tested'`` or None.
        scale: As in :func:`image_scale`, for one pass.

    Raises:
        ConfigError: If mode or scale is invalid, both are given that exclude each other, or the
            config has no usable test pipeline of a task to be predicted as tested.
    """
    key, mode = inference_mode(cfg, mode)
    if mode == AS_TESTED_MODE:
        if scale != AS_TESTED:
            raise ConfigError(
                f"scale is {scale!r}, but {key} is 'as_tested', where each task's test pipeline "
                "resizes; leave the scale out, or use the mode 'one_pass'"
            )
        return _as_tested(cfg, model, tasks, key)
    whole = [task for task in tasks if model.kinds[task].sees_whole_images]
    return OnePass(model, image_scale(cfg, scale, tasks, whole))


def _as_tested(cfg: Config, model: AllInOne, tasks: Sequence[str], key: str) -> AsTested:
    found = {}
    for task in tasks:
        config = find_pipeline(cfg, task)
        if config is None:
            raise ConfigError(
                f"{key} is 'as_tested', but the config has no test_dataloader.{task} with a "
                'dataset.pipeline for its images; add it, or predict in one pass with --scale'
            )
        found[task] = config
    remedy = "fix it, or use the mode 'one_pass', whose size --scale sets"
    pipelines = {task: TestPipeline(config, remedy) for task, config in found.items()}
    text = repr([(task, config.scope, list(config.steps)) for task, config in found.items()])
    unused = inference_options(cfg).get('scale', AS_TESTED)
    note = None
    if unused != AS_TESTED:
        note = (
            f'inference.scale is {unused!r}, which is for one pass; here the test pipelines resize'
        )
    settings = dict(mode=AS_TESTED_MODE, pipelines_sha256=hashlib.sha256(text.encode()).hexdigest())
    return AsTested(model, pipelines, settings, note)
