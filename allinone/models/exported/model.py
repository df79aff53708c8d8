"""An exported graph with the methods of a joint model that predict."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from allinone.data.shared_sample import is_shared, labelled, labelled_batch
from allinone.errors import CheckpointError, ConfigError
from allinone.io.exported import read_metadata
from allinone.models.tta import has_views
from allinone.registry.kinds import registered_kinds
from allinone.tasks import TaskKind

from .graph_input import GraphInput
from .runtimes import open_runtime

Outputs = Mapping[str, np.ndarray]  # Of one image


class ExportedModel(nn.Module):
    """Predicts as the joint model that a graph was exported from; it has no weights to train.

    Args:
        path: Of the graph.
        kinds: ``{task: kind}``. Default: those that the metadata name.

    Attributes:
        path: Of the graph.
        metadata: What the graph says about itself.
        tasks: ``{name: its part of the metadata}``.
        kinds: ``{name: kind}``.
        input: What images are brought to.

    Raises:
        CheckpointError: If the file is missing, damaged, of another program, of a newer version, or
            has no predictions (``--raw``).
        ConfigError: If the package that runs it is not installed, or a kind is not registered.
    """

    def __init__(self, path: str, kinds: Mapping[str, TaskKind] | None = None):
        super().__init__()
        self.path = path
        self.metadata = predicting_metadata(path)
        self.tasks: dict[str, Mapping] = dict(self.metadata['tasks'])
        self.kinds: dict[str, TaskKind] = {
            task: kinds[task] if kinds and task in kinds else _kind(path, task, about['kind'])
            for task, about in self.tasks.items()
        }
        self.input = GraphInput(path, self.metadata['input'])
        self._noted: set[str] = set()
        self.runtime = open_runtime(path, self.metadata['format'])

    def task_names(self, tasks: Sequence[str] | None = None) -> list[str]:
        """``tasks`` after a check, or the names of all tasks."""
        unknown = sorted(set(tasks or ()) - set(self.tasks))
        if unknown:
            raise ConfigError(
                f'tasks {unknown} are not in {self.path}, which has {list(self.tasks)}; export '
                'them, too'
            )
        return list(self.tasks) if tasks is None else list(tasks)

    def predict(
        self,
        inputs: Tensor | Sequence[Tensor],
        tasks: Sequence[str] | None = None,
        metainfo: Sequence[dict] | None = None,
    ) -> dict[str, list]:
        """As :meth:`allinone.AllInOne.predict`; images are padded to what the graph takes."""
        names = self.task_names(tasks)
        images = list(inputs)
        outputs = self.outputs(images)
        sizes = [tuple(image.shape[-2:]) for image in images]
        found: dict[str, list] = {}
        for task in names:
            samples = []
            for index, size in enumerate(sizes):
                # Of the batch its size alone is read.
                batch = torch.empty(1, 3, *self.input.padded_size(size), device='meta')
                info = metainfo[index : index + 1] if metainfo else None
                samples += self.kinds[task].samples(batch, [size], info)
            found[task] = self._predictions(task, outputs, samples)
        return found

    def test_step(self, data: Mapping[str, dict]) -> dict[str, list]:
        """As :meth:`allinone.AllInOne.test_step`.

        Raises:
            ConfigError: If images come in several views, or are larger than the graph's.
        """
        found: dict[str, list] = {}
        for source, batch in data.items():
            if has_views(batch):
                raise ConfigError(
                    f'test_dataloader.{source} gives several views of an image (TestTimeAug), which'
                    ' exported graphs cannot merge; leave it out of the pipeline'
                )
            outputs = self.outputs(batch['inputs'], source)
            served = (
                [task for task in self.tasks if labelled(batch, task)]
                if is_shared(batch)
                else self.task_names([source])
            )
            for task in served:
                indices = labelled(batch, task)
                samples = labelled_batch(batch, task)['data_samples']
                for index, sample in zip(indices, samples):
                    if 'img_shape' not in sample:
                        size = tuple(batch['inputs'][index].shape[-2:])
                        sample.set_metainfo(dict(img_shape=size))
                found[task] = self._predictions(
                    task, [outputs[index] for index in indices], samples
                )
        return found

    val_step = test_step

    def outputs(
        self, images: Sequence[Tensor] | Tensor, source: str | None = None
    ) -> list[Outputs]:
        """Outputs of the graph for each image ``(3, H, W)``, BGR, 0 to 255.

        Images of one size share a call if the graph takes several.
        """
        what = 'an image' if source is None else f'an image of test_dataloader.{source}'
        inputs = [self.input.padded(image, what) for image in images]
        if source is not None:
            self._note_padding(source, images, inputs)
        batches: dict[Any, list[int]] = {}
        for index, pixels in enumerate(inputs):
            batches.setdefault(pixels.shape if self.input.any_batch else index, []).append(index)
        found: dict[int, Outputs] = {}
        for indices in batches.values():
            arrays = self.runtime.run(np.stack([inputs[index] for index in indices]))
            for place, index in enumerate(indices):
                found[index] = {name: array[place] for name, array in arrays.items()}
        return [found[index] for index in range(len(inputs))]

    def _note_padding(
        self, source: str, images: Sequence[Tensor] | Tensor, inputs: Sequence[np.ndarray]
    ) -> None:
        if self.input.any_size or source in self._noted:
            return
        for image, pixels in zip(images, inputs):
            if tuple(image.shape) != pixels.shape:
                self._noted.add(source)
                (_, height, width), (_, rows, columns) = image.shape, pixels.shape
                print_log(
                    f'images of test_dataloader.{source}, such as one of {height} x {width} '
                    f'(height x width), are padded to {rows} x {columns} of {self.path}, which '
                    'changes predictions; a graph of --dynamic size would not need it',
                    'current',
                    logging.WARNING,
                )
                return

    def _predictions(
        self, task: str, outputs: Sequence[Outputs], samples: Sequence[BaseDataElement]
    ) -> list[BaseDataElement]:
        about, kind = self.tasks[task], self.kinds[task]
        return [
            kind.from_outputs(
                {name.removeprefix(f'{task}.'): found[name] for name in about['outputs']},
                sample,
                about['options'],
            )
            for found, sample in zip(outputs, samples)
        ]

    def forward(self, *args, **kwargs):
        raise ConfigError(
            f'{self.path} is an exported graph, which has no forward(); call predict(images), or '
            'load the checkpoint'
        )


def predicting_metadata(path: str) -> dict:
    """:func:`read_metadata` of a graph that gives predictions.

    Raises:
        CheckpointError: As it, or if the graph was exported with ``--raw``.
    """
    metadata = read_metadata(path)
    if metadata['raw']:
        raise CheckpointError(
            f'{path} was exported with --raw, so what it gives are no predictions; export it '
            'without --raw'
        )
    return metadata


def _kind(path: str, task: str, name: str) -> TaskKind:
    known = registered_kinds()
    if name not in known:
        raise ConfigError(
            f'{path}: task {task} is of the kind {name!r}, and only {sorted(known)} are '
            'registered; import the module that registers it'
        )
    return known[name]()
