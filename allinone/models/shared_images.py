"""Images with labels of several tasks: one preprocessing, one pass of the backbone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, cast

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from allinone.data.shared_sample import labelled, labelled_batch
from allinone.errors import ConfigError, DataError

from .shared_backbone import run_backbone

if TYPE_CHECKING:
    from .allinone import AllInOne

PROBE_SIZE = 93, 125  # Height and width that a preprocessor pads, unless it pads to nothing


class SharedImages:
    """A batch of a shared source, which passes the backbone once.

    All tasks get the same normalised and padded images. Those are the first task's; the data
    preprocessors of the others prepare their labels.

    Args:
        model: The joint model.
        tasks: The tasks of the source.
        batch: As collated.
        training: Whether the preprocessors prepare for training.

    Attributes:
        images: Those of all tasks ``(N, 3, H, W)``, normalised and padded.

    Raises:
        ConfigError: If the preprocessors of two tasks give images of different sizes.
        DataError: If no image has a label of any task.
    """

    def __init__(
        self, model: 'AllInOne', tasks: Sequence[str], batch: Mapping, training: bool = True
    ):
        self._model, self._batch, self._training = model, batch, training
        self._chosen = {task: labelled(batch, task) for task in tasks}
        if training and not any(self._chosen.values()):
            names = [sample.get('img_path') for sample in batch['data_samples']]
            raise DataError(
                f'a batch has no label of any of the tasks {list(tasks)} (images {names[:3]}); use '
                "the sampler 'SharedSampler', or leave such images out"
            )
        self._first = tasks[0]
        # To the device once, not once a task
        self._inputs = _preprocessor(model, self._first).cast_data(batch['inputs'])
        self.images, samples = self._prepare(self._first)
        self._samples: dict[str, list] = {self._first: samples}

    @cached_property
    def maps(self) -> tuple[Tensor, ...]:
        """The feature maps of all images, with their graph in training."""
        return run_backbone(self._shared_part(), self.images)

    def _shared_part(self) -> nn.Module:
        views = {task: self._model.view(task) for task in self._chosen}
        return self._model.shared_part(task for task, view in views.items() if view.adapter is None)

    def data(self, task: str, maps: Iterable[Tensor] | None = None) -> dict:
        """``inputs`` and ``data_samples`` of a task's labelled images, as its model takes them.

        In training a task without labels gets one image without objects.

        Args:
            task: Name of the task.
            maps: Feature maps of all images, which spare the task's model a pass of the backbone.
        """
        if task not in self._samples:
            images, self._samples[task] = self._prepare(task)
            if images.shape != self.images.shape:
                sizes = [tuple(batch.shape[-2:]) for batch in (self.images, images)]
                raise ConfigError(
                    f'the tasks {self._first!r} and {task!r} share images, but their '
                    f'data_preprocessors give images of {sizes[0]} and {sizes[1]} pixels (height, '
                    'width); let both pad alike (pad_size_divisor of model.data_preprocessor and '
                    'size_divisor of segmentation tasks), or end the pipeline with images of one '
                    'size (RandomCrop not larger than the smallest image, or Pad)'
                )
        chosen = self._chosen[task] or [0] * self._model.min_labelled[task]
        images, everything = self.images, chosen == list(range(len(self.images)))
        index = None if everything else torch.tensor(chosen, device=images.device)
        images = images if index is None else images[index]
        if maps is not None:
            view, maps = self._model.view(task), list(maps)
            used = set(view.places(len(maps)))
            chosen_maps = type(self.maps)(
                m if index is None or number not in used else m.index_select(0, index)
                for number, m in enumerate(maps)
            )
            view.reuse(images, chosen_maps)
        return dict(inputs=images, data_samples=[self._samples[task][i] for i in chosen])

    def are_for(self, task: str) -> bool:
        """Whether a task's preprocessor gives these very images."""
        if task in self._samples:
            return True
        images, samples = self._prepare(task)
        same = torch.equal(images, self.images)
        if same:
            self._samples[task] = samples
        return same

    def predict(self, task: str) -> list:
        """Predictions of a task on its labelled images."""
        adapted = self._model.view(task).adapter is not None
        with self._reused(task):
            data = self.data(task, None if adapted else self.maps)
            return self._model.tasks[task]._run_forward(data, mode='predict')

    @contextmanager
    def _reused(self, task: str) -> Iterator[None]:
        """The task's model takes the feature maps of this batch inside."""
        try:
            yield
        finally:
            self._model.view(task).reuse(None, None)

    def _prepare(self, task: str) -> tuple[Tensor, list]:
        """All images as the task's preprocessor gives them, and data samples for all of them."""
        kind, chosen = self._model.kinds[task], self._chosen[task]
        theirs = labelled_batch(self._batch, task)['data_samples']
        if theirs:
            self._model.labels_like.setdefault(task, theirs[0])
        like = theirs[0] if theirs else self._model.labels_like.get(task)
        samples: list = [None] * len(self._inputs)
        for position, sample in zip(chosen, theirs):
            samples[position] = sample
        for position, sample in enumerate(samples):
            if sample is None:
                # What this image is called and how it was changed, by another task's sample
                others = self._batch['data_samples'][position].labels.values()
                info: dict = next((other.metainfo for other in others), {})
                image = self._inputs[position]
                sizes = [(image.shape[-2], image.shape[-1])]
                (samples[position],) = kind.samples(image[None], sizes, [info])
                # mmpretrain's preprocessor wants labels of all images of a batch, or of none.
                kind.set_no_labels(samples[position], like)
        data = dict(inputs=self._inputs, data_samples=samples)
        data = _preprocessor(self._model, task)(data, self._training)
        return data['inputs'], data['data_samples']


class SharedPass(SharedImages):
    """A batch of a training step, as :class:`~allinone.step.shared_step.BackbonePass`."""

    def __init__(self, losses: 'Losses', tasks: Sequence[str], batch: Mapping):
        super().__init__(losses.model, tasks, batch)
        self._context = losses.context

    @cached_property
    def maps(self) -> tuple[Tensor, ...]:
        with self._context():
            return run_backbone(self._shared_part(), self.images)

    def losses(
        self, task: str, maps: Sequence[Tensor] | None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        with self._context(), self._reused(task):
            losses = self._model.losses_of_data(task, self.data(task, maps))
            return self._model.parse_losses(losses)


class Losses:
    """Losses of the joint model, as a training step asks for them.

    Args:
        model: The joint model.
        context: Makes the context of forward passes (autocast).
    """

    def __init__(self, model: 'AllInOne', context: Callable[[], AbstractContextManager]):
        self.model, self.context = model, context

    def __call__(self, task: str, batch: Mapping) -> tuple[Tensor, Mapping[str, Tensor]]:
        with self.context():
            return self.model.parse_losses(self.model.task_losses(task, batch))

    def labelled(self, task: str, batch: Mapping) -> int:
        """Number of images with labels of a task."""
        return len(labelled(batch, task))

    def shared(self, tasks: Sequence[str], batch: Mapping) -> SharedPass:
        """The forward pass of the backbone for a batch of a shared source."""
        return SharedPass(self, tasks, batch)


def predict_shared(model: 'AllInOne', batch: Mapping) -> dict[str, list]:
    """Predictions of each task on its labelled images of a shared batch: ``{task: samples}``.

    Images pass the backbone once for all tasks that want the same values, and once more for each
    that does not, such as one that pads them to another size in tests.
    """
    images = batch['inputs']
    if len({image.shape for image in images}) > 1:
        # Padding to a common size would change predictions, and mmseg's preprocessor refuses it.
        predictions: dict[str, list] = {}
        for index in range(len(images)):
            part = {key: values[index : index + 1] for key, values in batch.items()}
            for task, samples in predict_shared(model, part).items():
                predictions.setdefault(task, []).extend(samples)
        return predictions
    tasks = [task for task in model.tasks if labelled(batch, task)]
    predictions = {}
    passes: list[SharedImages] = []
    for task in tasks:
        for shared in passes:
            if shared.are_for(task):
                break
        else:
            shared = SharedImages(model, [task, *tasks], batch, training=False)
            passes.append(shared)
        predictions[task] = shared.predict(task)
    return predictions


def check_preprocessors(model: 'AllInOne', source: str, tasks: Sequence[str]) -> None:
    """Check that the tasks of a source want the same images.

    Raises:
        ConfigError: If they normalise differently, or one augments its batches.
    """
    key = f'train_dataloader.{source}.tasks'
    for task in tasks:
        augments = getattr(_preprocessor(model, task), 'batch_augments', None)
        if augments:
            raise ConfigError(
                f'{key} has {task!r}, whose model.tasks.{task}.data_preprocessor augments batches '
                '(batch_augments, or train_cfg.augments), but its images are those of the tasks '
                f'{list(tasks)}; leave that out, or give {task!r} a separate source'
            )
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, *PROBE_SIZE), generator=generator, dtype=torch.uint8)
    images = {task: _prepared_image(model, task, image) for task in tasks}
    first = images[tasks[0]]
    for task in tasks[1:]:
        other = images[task]
        what = 'values of padded pixels (pad_value, pad_val)'
        if other.shape != first.shape or not _close(other, first):
            height, width = (min(sizes) for sizes in zip(PROBE_SIZE, first.shape[-2:]))
            if not _close(*(found[..., :height, :width] for found in (other, first))):
                what = 'values (mean, std or order of colours)'
            elif other.shape != first.shape:
                continue  # It depends on the sizes of the images whether they are padded.
            raise ConfigError(
                f'{key} has {tasks[0]!r} and {task!r}, which share images, but their '
                f'data_preprocessors (model.tasks.{task}.data_preprocessor) give other {what}; '
                'set them alike, or give the tasks separate sources'
            )


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def _prepared_image(model: 'AllInOne', task: str, image: Tensor) -> Tensor:
    """An image as a task's preprocessor gives it in training."""
    (sample,) = model.kinds[task].samples(image[None], [PROBE_SIZE])
    model.kinds[task].set_no_labels(sample, None)
    return _preprocessor(model, task)(dict(inputs=[image], data_samples=[sample]), True)['inputs']


def _preprocessor(model: 'AllInOne', task: str):
    return cast(BaseModel, model.tasks[task]).data_preprocessor
