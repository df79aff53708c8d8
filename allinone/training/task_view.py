"""A run as a hook of the libraries expects it: with one model, one loader and one data set."""

from collections.abc import Iterable, Iterator

from torch import nn

from allinone.data.seeded import SeededDataset
from allinone.data.task_loaders import TaskPart


def pipelines_of(dataset) -> Iterator[tuple]:
    """What tells that a data set, or one that it is made of, reads its images otherwise."""
    yield id(getattr(dataset, 'pipeline', None)), getattr(dataset, '_skip_type_keys', None)
    parts: Iterable = getattr(dataset, 'datasets', None) or ()
    if 'dataset' in vars(dataset):
        parts = (*parts, dataset.dataset)
    for part in parts:
        yield from pipelines_of(part)


class _Over:
    """An object in whose place another answers for what is not set here."""

    def __init__(self, inner, **own):
        vars(self).update(own, _inner=inner)

    def __getattr__(self, name: str):
        return getattr(vars(self)['_inner'], name)


class TaskView(_Over):
    """A runner with one task alone, as hooks of the libraries expect it.

    Attributes:
        task: Name of the task.
        source: Name of the source that serves it.
        model: Its upstream model.
        dataset: Its data set as the libraries build it; in a shared source that of its labels.
        max_epochs: Epochs of the training, not rounded.
    """

    task: str
    source: str
    model: nn.Module

    def __init__(self, runner, part: TaskPart, stage: str, loop):
        joint = getattr(runner.model, 'module', runner.model)
        loaders = loop.dataloader
        dataset = part.dataset
        if isinstance(dataset, SeededDataset):
            dataset = dataset.dataset
        # Without workers that stay, hooks do not try to restart them.
        loader = _Over(loaders.loaders[part.source], dataset=dataset, persistent_workers=False)
        own = {
            f'{stage}_dataloader': loader,
            f'{stage}_loop': _Over(loop, dataloader=loader),
            'model': joint.tasks[part.task],
            'task': part.task,
            'source': part.source,
            'dataset': dataset,
            'loaders': loaders,
        }
        if stage == 'train' and getattr(loop, 'epoch_length', None):
            own['max_epochs'] = loop.max_iters / loop.epoch_length
        super().__init__(runner, **own)
