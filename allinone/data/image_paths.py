"""The images that a data set lists, by its config."""

from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope

from allinone.config.data_sets import innermost
from allinone.tasks.coco import reading_normalised

from .annotation_errors import explained


def listed_images(cfg: Mapping) -> Iterator[Any]:
    """Each data set that a config wraps or concatenates, without a pipeline.

    Args:
        cfg: Of the data set.

    Raises:
        Exception: What a data set raises, such as for a file that is not there.
    """
    for scope, part in innermost(cfg):
        part = dict(part, pipeline=[], _scope_=scope or 'allinone')
        with (
            DefaultScope.overwrite_default_scope('allinone'),
            reading_normalised(),
            explained(cfg),
            redirect_stdout(None),  # pycocotools prints.
        ):
            dataset = MMENGINE_DATASETS.build(part)
            dataset.full_init()
        yield dataset


def image_paths(cfg: Mapping) -> list[str]:
    """Paths of the images of a data set; raises as :func:`listed_images`."""
    return [
        dataset.get_data_info(index)['img_path']
        for dataset in listed_images(cfg)
        for index in range(len(dataset))
    ]
