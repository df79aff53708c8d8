"""The model of a checkpoint."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config

from allinone.errors import ConfigError, DataError
from allinone.models.allinone import AllInOne
from allinone.models.exported import ExportedModel
from allinone.models.joint import build_network, load_trained, on_device

from .inferencer import AllInOneInferencer, device_of, graph_model
from .model_source import ModelSource, find_model
from .predicting import predict_results
from .results import Result, Results
from .scale import AS_TESTED

if TYPE_CHECKING:
    Base = AllInOne
else:
    Base = object


def load(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike | Config | None = None,
    device: str | torch.device | None = None,
    tasks: Sequence[str] | None = None,
    scale: tuple[int, int] | str | None = AS_TESTED,
    mode: str | None = None,
    urls: bool = True,
) -> 'Predicts':
    """The joint model of a checkpoint with its weights, in evaluation mode.

    >>> model = allinone.load('best_score_iter_1200.pth')
    >>> (result,) = model('street.jpg')
    >>> result['det'].boxes, result['seg'].areas, result['cls'].name
    >>> result.save('drawn.jpg')

    It is the :class:`AllInOne` that was trained; called with images of any form, files or arrays,
    it gives :class:`Results` (:meth:`Predicts.__call__`).

    Args:
        checkpoint: A checkpoint, or a work dir, for its best checkpoint, else its newest complete
            one. It is read without executing code from it. Or an exported graph
            (docs/export.md), of which the result is an :class:`ExportedModel`.
        config: Its config. Default: the one in the checkpoint.
        device: As in torch. Default: CUDA if available.
        tasks: Tasks that must have weights, and that a call predicts. Default: all must have, and
            those of the config's ``inference = dict(tasks=...)``, else all, are predicted.
        scale: As in :class:`allinone.AllInOneInferencer`.
        mode: As in :class:`allinone.AllInOneInferencer`.
        urls: Whether calls may fetch images from addresses; False where others choose the inputs,
            as of a service.

    Raises:
        ConfigError: If the config cannot be used, or the device does not exist.
        CheckpointError: If the checkpoint cannot be read, has no config, or lacks weights.
    """
    source = find_model(checkpoint if config is None else config, checkpoint, graphs=True)
    model: AllInOne | ExportedModel
    if source.exported:
        model = graph_model(source, device)
        names = model.task_names(tasks)
    else:
        model = build_network(source.cfg)
        names = model.task_names(tasks)
        load_trained(model, source.checkpoint, source.path, names)
        default = 'cuda' if torch.cuda.is_available() else 'cpu'
        on_device(model, device or default)
    # Not the weights once more
    meta = {key: source.checkpoint[key] for key in ('meta',) if key in source.checkpoint}
    options = dict(tasks=None if tasks is None else names, scale=scale, mode=mode)
    return _predicting(model, source._replace(checkpoint=meta), options, urls).eval()


class Predicts(Base):
    """A joint model that predicts images of any form when it is called."""

    _source: ModelSource
    _options: dict[str, Any]
    _urls: bool
    _inferencer: AllInOneInferencer | None

    def __call__(
        self,
        images: Any = None,
        *args: Any,
        batch_size: int = 8,
        tasks: Sequence[str] | None = None,
        stream: bool | None = None,
        channels: str = 'bgr',
        classify_boxes: str | None = None,
        on_error: Callable[[DataError], None] | None = None,
        embed_boxes: str | None = None,
        **forward: Any,
    ) -> Results | Iterator[Result | None] | Any:
        """Predict all tasks on every image.

        With arguments of :meth:`AllInOne.forward` beside the images (``data_samples``, ``mode``)
        this is a forward pass, as of any module.

        Args:
            images: An image, or a list or generator of images of these forms: a file, a folder
                (without its subfolders), a pattern (``'street/*.jpg'``), an address of http or
                https, an image of Pillow, an array ``(H, W, 3)``, ``(H, W)`` or ``(H, W, 4)``
                (uint8), a tensor ``(3, H, W)``, ``(1, H, W)`` or ``(4, H, W)`` (uint8, or floats
                from 0 to 1), a batch of arrays or tensors with one dimension more; a video file;
                the number of a camera.
            batch_size: Maximum number of images per pass.
            tasks: Run only these. Default: those of :func:`load`.
            stream: Whether to yield results one by one, so that memory does not limit their number.
                Default: for generators, videos and cameras.
            channels: ``'bgr'`` (default, as OpenCV reads images) or ``'rgb'``: the order of the
                channels of arrays and tensors, and of the arrays that results give.
            classify_boxes: Name of a classification task to run on each detected box.
            on_error: Called when reading or predicting one of the inputs fails; its result is then
                None, and the others continue. Default: raise.
            embed_boxes: Name of a retrieval task that gives each detected box the embedding of its
                crop.

        Returns:
            A list of one :class:`Result` an image, in order; or an iterator.

        Raises:
            ConfigError: If a task is unknown, an option is invalid, or the model is in training
                mode.
            DataError: As :meth:`AllInOneInferencer.__call__`.
        """
        if args or forward:
            options = {} if tasks is None else dict(tasks=tasks)
            inputs = () if images is None else (images,)
            return super().__call__(*inputs, *args, **options, **forward)
        if self.training:
            raise ConfigError(
                'the model is in training mode, in which batch norm depends on the other images; '
                'call model.eval() before it predicts'
            )
        return predict_results(
            self.inferencer(),
            images,
            batch_size,
            tasks,
            stream,
            channels,
            classify_boxes,
            on_error,
            self._urls,
            embed_boxes,
        )

    def inferencer(self) -> AllInOneInferencer:
        """What predicts files and arrays, on the model's device."""
        if self._inferencer is None:
            self._inferencer = AllInOneInferencer.of_model(self, self._source, **self._options)
        self._inferencer.device = device_of(self)
        return self._inferencer

    def __reduce_ex__(self, protocol):
        # Its class is made at run time, so copies cannot find it by its name.
        return _empty, (type(self).__mro__[2],), self.__dict__


def _predicting(model: Any, source: ModelSource, options: dict[str, Any], urls: bool) -> Predicts:
    """The model itself, a joint model or a graph, with the methods of :class:`Predicts`."""
    cls: type = type(model)
    model.__class__ = _class_of(cls)
    model.__dict__.update(_source=source, _options=options, _urls=urls, _inferencer=None)
    return model


@functools.cache
def _class_of(cls: type) -> type[Predicts]:
    """A class of this name that predicts, as ``torch.nn.utils.parametrize`` makes its own."""
    return type(cls.__name__, (Predicts, cls), dict(__module__=cls.__module__, __doc__=cls.__doc__))


def _empty(cls: type) -> Predicts:
    found = _class_of(cls)
    return found.__new__(found)
