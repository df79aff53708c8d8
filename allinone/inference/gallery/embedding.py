"""Embeddings of image files, by the test pipeline of a task as in a test."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np

from allinone.errors import ConfigError, DataError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.model_source import ModelSource
from allinone.inference.modes import AS_TESTED_MODE
from allinone.inference.sources import UrlSource
from allinone.inference.urls import is_url
from allinone.registry.kinds import kind_of_config

from .maker import maker_of


class Embedder:
    """Embeds images as a retrieval task does in a test.

    Args:
        source: Config and checkpoint.
        task: A task that embeds. None: the only one.
        device: As in torch. Default: CUDA if available.
        batch_size: Maximum number of images per pass.

    Attributes:
        source: Config and checkpoint.
        task: The task.
        maker: What the embeddings depend on; see :func:`maker_of`.

    Raises:
        ConfigError: If the task does not embed, or its test pipeline cannot be used.
    """

    def __init__(
        self,
        source: ModelSource,
        task: str | None = None,
        device: str | None = None,
        batch_size: int = 64,
    ):
        self.source = source
        self.task = task if task is not None else only_task(source)
        self.batch_size = batch_size
        self._inferencer = AllInOneInferencer(
            source, None, device, [self.task], mode=AS_TESTED_MODE, on_note=lambda sentence: None
        )
        self.maker = maker_of(self._inferencer, self.task)

    def embed(
        self,
        paths: Sequence[str],
        on_error: Callable[[DataError], None],
        on_note: Callable[[str], None] = lambda sentence: None,
    ) -> Iterator[tuple[int, np.ndarray | None]]:
        """Index and embedding, float32 ``(D,)``, of each image; None if it cannot be read.

        Args:
            paths: Image files or addresses.
            on_error: Called with the error of an image, such as NaN in its embedding.
            on_note: Called with a sentence about each ignored part of a file.
        """
        kind = self._inferencer.model.kinds[self.task]
        found = self._inferencer.stream(
            (UrlSource(path, True) if is_url(path) else path for path in paths),
            self.batch_size,
            on_error=on_error,
            on_note=on_note,
            convert=lambda item, samples: kind.embedding_of(samples[self.task]),
        )
        with closing(found):
            for index, embedding, _ in found:
                yield index, embedding


def only_task(source: ModelSource) -> str:
    """The task of a model that embeds.

    Raises:
        ConfigError: If there is none, or several.
    """
    tasks = source.cfg.model.tasks
    able = [
        name for name, cfg in tasks.items() if kind_of_config(f'model.tasks.{name}', cfg).embeds
    ]
    if len(able) != 1:
        raise ConfigError(
            f'the model has {len(able)} retrieval tasks among {list(tasks)}'
            + (f', {able}; name one with --task' if able else ', and a gallery needs one')
        )
    return able[0]
