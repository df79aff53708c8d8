"""Inference of all tasks in one backbone pass: from files or arrays to plain predictions."""

import os
import os.path as osp
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from allinone.config.build_errors import named
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.io.atomic import write_json
from allinone.io.images import read_image, write_image
from allinone.io.outputs import require_writable
from allinone.io.renames import renamed_arguments
from allinone.models.allinone import AllInOne
from allinone.models.exported import ExportedModel
from allinone.models.joint import build_network, load_trained, on_device
from allinone.registry.options import check_choice, check_count
from allinone.visualization.draw import draw_tasks

from .crops import BoxTask, run_on_boxes
from .graph_mode import graph_mode
from .input_errors import ModelCheck, in_words, input_error
from .inputs import checked, flat, is_lazy, naming
from .model_source import ModelSource, find_model
from .modes import InferenceMode, build_mode
from .options import inference_tasks
from .preprocess import PLAIN
from .records import known_metainfo, to_record
from .scale import AS_TESTED
from .sources import MAX_PIXELS, Source
from .streaming import InputImage, batches_of_a_size, read_ahead

MASKS = ('rle', 'array')

Input = str | os.PathLike | np.ndarray
Found = tuple[int, dict | None, np.ndarray | None]


def log_note(sentence: str) -> None:
    print_log(sentence, 'current')


class AllInOneInferencer:
    """Predicts all tasks of a trained joint model on images.

    >>> inferencer = AllInOneInferencer('best_score_iter_1200.pth')
    >>> prediction, = inferencer('street.jpg', out_dir='results')
    >>> prediction['cls']['name'], prediction['det'][0]['bbox'], prediction['seg'][0]['name']

    Args:
        model: A checkpoint, whose embedded config is used (as data, without executing it); a work
            dir, for its best checkpoint, else its newest complete one; a config; or an exported
            graph (docs/export.md).
        weights: A checkpoint or work dir; required with a config. Checkpoints are read without
            executing code from them.
        device: As in torch. Default: CUDA if available.
        tasks: Run only these. Default: the config's ``inference = dict(tasks=...)``, else all.
        scale: ``(width, height)`` limit to which images are resized with their aspect ratio kept;
            None: no resizing. Default: the config's ``inference = dict(scale=...)``, else the
            largest test scale of the detection and segmentation tasks, resized as in their test
            pipelines.
        on_note: Called with a message about the scale, and about files of a folder that are passed
            over. Default: log it.
        mode: ``'one_pass'``: one pass of the backbone for all tasks, on images at one scale.
            ``'as_tested'``: each task has a pass of its own, on images as the test pipeline of its
            data set makes them, so predictions are those of a test. Default: the config's
            ``inference = dict(mode=...)``, else one pass.
        for_boxes: Further tasks that only ``classify_boxes`` and ``embed_boxes`` name.

    Raises:
        ConfigError: If the config cannot be used, a task is unknown, the scale or mode is invalid,
            a test pipeline is missing or cannot be used, the device does not exist, or an exported
            graph is to do what it cannot.
        CheckpointError: If the checkpoint cannot be read, lacks weights of backbone or tasks, or
            lacks a required config.
    """

    def __init__(
        self,
        model: str | os.PathLike | Config | ModelSource,
        weights: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        tasks: Sequence[str] | None = None,
        scale: tuple[int, int] | str | None = AS_TESTED,
        on_note: Callable[[str], None] = log_note,
        mode: str | None = None,
        for_boxes: Sequence[str] = (),
    ):
        if not isinstance(model, ModelSource):
            model = find_model(model, weights, graphs=True)
        source = model
        if source.exported:
            graph = graph_model(source, device)
            self._set_up(graph, source, tasks, scale, on_note, mode)
            self.device = torch.device('cpu')
            return
        device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        with named('model'):
            network = build_network(source.cfg)
        self._set_up(network, source, tasks, scale, on_note, mode)
        self._loaded = network.task_names([*self.tasks, *for_boxes])
        load_trained(network, source.checkpoint, source.path, self._loaded, key='weights')
        on_device(network, device).eval()
        self.device = torch.device(device)

    @classmethod
    def of_model(
        cls,
        model: AllInOne | ExportedModel,
        source: ModelSource,
        tasks: Sequence[str] | None = None,
        scale: tuple[int, int] | str | None = AS_TESTED,
        on_note: Callable[[str], None] = log_note,
        mode: str | None = None,
    ) -> 'AllInOneInferencer':
        """An inferencer of a model that has its weights and is on its device.

        Args:
            model: The model.
            source: Where it comes from; of the checkpoint ``meta`` is enough.
            tasks: As in the constructor, and what follows.
        """
        found = cls.__new__(cls)
        found._set_up(model, source, tasks, scale, on_note, mode)
        found.device = device_of(model)
        return found

    def _set_up(
        self, model: AllInOne | ExportedModel, source: ModelSource, tasks, scale, on_note, mode
    ) -> None:
        self.model, self.cfg, self.weights = model, source.cfg, source.path
        if tasks is None:
            tasks = inference_tasks(self.cfg, list(self.model.tasks))
        self.tasks: list[str] = self.model.task_names(_listed(tasks))
        self._loaded = self.tasks
        if isinstance(model, ExportedModel):
            self.mode: InferenceMode = graph_mode(model, mode, scale)
        else:
            self.mode = build_mode(self.cfg, model, self.tasks, mode, scale)
        self._note = on_note
        if self.mode.note:
            on_note(self.mode.note)
        self.metainfo = known_metainfo(source, self.model.tasks)

    @renamed_arguments(on_boxes='classify_boxes')
    def __call__(
        self,
        inputs: Input | Iterable[Input],
        batch_size: int = 8,
        tasks: Sequence[str] | None = None,
        out_dir: str | os.PathLike | None = None,
        return_vis: bool = False,
        score_thr: float = 0.3,
        classify_boxes: str | None = None,
        masks: str = 'rle',
        on_error: Callable[[DataError], None] | None = None,
        embed_boxes: str | None = None,
    ):
        """Predict all tasks on every image.

        Args:
            inputs: An image file, a folder (without its subfolders), a pattern
                (``'street/*.jpg'``), an array ``(H, W, 3)`` (uint8, BGR), or a list or generator of
                them.
            batch_size: Maximum number of images per pass; see :func:`batches_of_a_size`.
            tasks: Run only these. Default: those of the constructor.
            out_dir: Write ``vis/NAME.jpg`` and ``predictions/NAME.json`` for each image.
            return_vis: Also return the drawn images.
            score_thr: Draw no boxes below this score. Predictions contain all of them.
            classify_boxes: Name of a classification task to run on each detected box.
            masks: ``'rle'``, or ``'array'`` for label maps ``(H, W)``, which are not written.
            on_error: Called when reading, predicting, drawing or writing one of the inputs fails;
                its prediction is then None, and the others continue. Default: raise.
            embed_boxes: Name of a retrieval task that gives each detected box the embedding of its
                crop.

        Returns:
            One prediction per image, in order; with ``return_vis`` a pair of the predictions and
            the drawings (uint8 RGB). A prediction is ``{task: result}`` with boxes and masks in
            pixels of the original image:

            * classification: ``{'label', 'name', 'score', 'top5': [{'label', 'name', 'score'}]}``;
              for multi-label tasks ``{'labels': [{'label', 'name', 'score'}], 'scores'}``, the
              predicted labels and the scores of all classes;
            * detection: ``[{'bbox': [x1, y1, x2, y2], 'label', 'name', 'score'}]``, ``'mask'``
              (COCO RLE) for instance segmentation, with ``classify_boxes='cls'`` the box's
              classification, ``'cls'``, and with ``embed_boxes='reid'`` its embedding, ``'reid'``;
            * segmentation: ``[{'label', 'name', 'area', 'segmentation'}]`` of each class present,
              with the area in pixels and the mask as COCO RLE; or an array of labels;
            * retrieval: ``{'embedding': [numbers]}``, L2-normalised.

        Raises:
            ConfigError: If a task is unknown or an option is invalid.
            DataError: If a file is missing, truncated or not an image, a folder has no images, an
                array is not a BGR image, the model fails on an image (such as out of memory), or
                drawing or writing fails. Its cause is the exception. With ``on_error`` it is passed
                to that instead.
            WriteError: If the disk is full or read-only.
            AllInOneError: If the device fails, or the model fails on all of the first 10 images.
        """
        entries: Iterable[str | np.ndarray] = flat(inputs, on_error or _raise, self._note)
        if not is_lazy(inputs):
            entries = list(entries)
        found = list(
            self.stream(
                entries,
                batch_size,
                tasks,
                out_dir,
                return_vis,
                score_thr,
                classify_boxes,
                masks,
                on_error,
                embed_boxes=embed_boxes,
            )
        )
        records = [record for _, record, _ in found]
        return (records, [drawing for _, _, drawing in found]) if return_vis else records

    @renamed_arguments(on_boxes='classify_boxes')
    def stream(
        self,
        entries: Iterable[str | np.ndarray | Source],
        batch_size: int = 8,
        tasks: Sequence[str] | None = None,
        out_dir: str | os.PathLike | None = None,
        return_vis: bool = False,
        score_thr: float = 0.3,
        classify_boxes: str | None = None,
        masks: str = 'rle',
        on_error: Callable[[DataError], None] | None = None,
        on_note: Callable[[str], None] = lambda sentence: None,
        names: Mapping[str, str] | None = None,
        called: Callable[[int], str] = 'input {}'.format,
        convert: Callable[[InputImage, dict], Any] | None = None,
        embed_boxes: str | None = None,
    ) -> Iterator[Found]:
        """As :meth:`__call__`, but yields image by image, so memory does not limit their number.

        While the model computes, one thread decodes the next images and another one draws and
        writes. On CPU, where the model uses a thread per core, as many threads draw and write after
        each batch of several images instead: alongside a parallel loop they would stall all of its
        threads.

        Args:
            entries: Image files, arrays and sources of images.
            on_note: Called with a message about each ignored part of a file.
            names: Names of the results by file. Default: unique stems for a list, else the index of
                the entry.
            called: Name of the array at an index in messages.
            convert: Function from an image and its data samples ``{task: sample}`` to what is
                yielded as its prediction; runs in a thread. Default: :func:`to_record` of each
                task.

        Yields:
            Index, prediction, and the drawing or None, in the order of the entries; for an input
            that fails index, None and None.
        """
        check_count('batch_size', batch_size)
        check_choice('masks', masks, MASKS)
        if out_dir and masks == 'array':
            raise ConfigError("masks is 'array', which out_dir cannot hold; leave one of them out")
        if out_dir:
            require_writable('out_dir', os.fspath(out_dir), folder=True)
        tasks = self._chosen(tasks)
        boxes = self.box_tasks(tasks, classify_boxes, embed_boxes)
        on_error = on_error or _raise
        name_of = naming(entries, names)

        def finish(item: InputImage, samples: dict):
            with input_error(item.name, 'its prediction cannot be converted'):
                record = convert(item, samples) if convert else self._records(samples, masks)
            drawing = None
            if out_dir or return_vis:
                image, _ = item.content()
                with input_error(item.name, 'drawing its prediction fails'):
                    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # ten times as fast as a flip
                    drawing = draw_tasks(rgb, samples, self.metainfo, score_thr, self.model.kinds)
            if out_dir:
                assert drawing is not None
                name = name_of(item)
                with input_error(item.name, 'its results cannot be written'):
                    write_image(osp.join(out_dir, 'vis', f'{name}.jpg'), drawing)
                    json_path = osp.join(out_dir, 'predictions', f'{name}.json')
                    write_json(json_path, record, indent=None)
            return record, drawing if return_vis else None

        def take(index: int) -> Found:
            try:
                return index, *waiting.pop(index).result()
            except DataError as error:
                self._require_device(error)
                on_error(error)
                return index, None, None

        waiting: dict[int, Future] = {}
        upcoming = 0
        read = partial(self._read, tasks=tasks, on_note=on_note, called=called)
        check = ModelCheck(lambda: self.predict([PLAIN], tasks))
        on_cpu = self.device.type == 'cpu'
        threads = torch.get_num_threads() if on_cpu else 1
        with (
            closing(read_ahead(entries, read, max(2, batch_size))) as items,
            ThreadPoolExecutor(threads, 'finish') as pool,
        ):
            for batch in batches_of_a_size(items, batch_size):
                for item, result in self._predicted(batch, tasks, boxes, check):
                    if isinstance(result, DataError):
                        on_error(result)
                        waiting[item.index] = _nothing()
                    else:
                        waiting[item.index] = pool.submit(finish, item, result)
                if on_cpu and batch_size > 1:
                    wait(waiting.values())
                while upcoming in waiting and (
                    len(waiting) > 2 * batch_size or waiting[upcoming].done()
                ):
                    yield take(upcoming)
                    upcoming += 1
            while upcoming in waiting:
                yield take(upcoming)
                upcoming += 1

    def _records(self, samples: Mapping[str, Any], masks: str) -> dict:
        return {
            task: to_record(sample, self.metainfo[task], masks, self.model.kinds[task])
            for task, sample in samples.items()
        }

    def predict(self, images: Sequence[np.ndarray], tasks: Sequence[str]) -> list[dict]:
        """Data samples ``{task: sample}`` of each BGR image ``(H, W, 3)``, in one batch."""
        inputs = [self.mode.prepare(image, tasks) for image in images]
        return self.mode.predict(images, inputs, tasks)

    def _predicted(
        self,
        batch: list[InputImage],
        tasks: list[str],
        boxes: Sequence[BoxTask],
        check: ModelCheck,
    ) -> Iterator[tuple[InputImage, dict | DataError]]:
        """Yield each image with its samples, or with the error that the model raised on it.

        If a batch fails, its images are predicted one by one to find the one at fault.
        """
        if batch[0].error is not None:
            yield batch[0], batch[0].error
            return
        failure = None
        height, width = batch[0].content()[0].shape[:2]
        name = f'{batch[0].name} ({width} x {height} pixels)'
        try:
            with input_error(name, 'the model fails on it'):
                found = self._samples(batch, tasks, boxes)
        except DataError as error:
            failure = error
        # Not while the exception is handled, which holds the tensors of the batch
        if failure is None:
            check.worked()
            yield from zip(batch, found)
        elif len(batch) > 1:
            for item in batch:
                yield from self._predicted([item], tasks, boxes, check)
        else:
            self._require_device(failure)
            check.failed(failure)
            yield batch[0], failure

    def _samples(
        self, batch: list[InputImage], tasks: list[str], boxes: Sequence[BoxTask]
    ) -> list[dict]:
        """Data samples of each image, with predictions on their boxes if tasks do so."""
        images, inputs = map(list, zip(*(item.content() for item in batch)))
        found = self.mode.predict(images, inputs, tasks)
        if boxes:
            for task in tasks:
                kind = self.model.kinds[task]
                if kind.finds_boxes:
                    instances = [kind.boxes_of(samples[task]) for samples in found]
                    run_on_boxes(boxes, images, instances)
        return found

    def _require_device(self, failure: DataError) -> None:
        """Raise an error that stops all inputs if the device does not work any more.

        After some errors of a kernel, such as an index out of range, each later call fails.
        """
        if self.device.type != 'cuda':
            return
        try:
            torch.cuda.synchronize(self.device)
        except RuntimeError as error:
            raise AllInOneError(
                f'{failure}; after this the device {self.device} does not work any more '
                f'({in_words(error)}), so no other input is tried; leave this one out'
            ) from error

    def _chosen(self, tasks: Sequence[str] | None) -> list[str]:
        tasks = self.model.task_names(self.tasks if tasks is None else _listed(tasks))
        self._require(tasks, self.tasks)
        return tasks

    def _require(self, tasks: Sequence[str], known: Sequence[str]) -> None:
        unloaded = [task for task in tasks if task not in known]
        if unloaded:
            raise ConfigError(
                f'tasks {unloaded} are not among those that the inferencer was made for: {known}'
            )

    def box_tasks(
        self,
        tasks: Sequence[str],
        classify_boxes: str | None = None,
        embed_boxes: str | None = None,
    ) -> list[BoxTask]:
        """What runs on the boxes that ``tasks`` detect.

        Raises:
            ConfigError: If the named task cannot do so, or none of ``tasks`` detects boxes.
        """
        found = []
        for option, task in dict(classify_boxes=classify_boxes, embed_boxes=embed_boxes).items():
            if task is None:
                continue
            check_choice(option, task, list(self.model.tasks))
            if isinstance(self.model, ExportedModel):
                raise ConfigError(
                    f'{option} is {task!r}, but {self.model.path} is an exported graph, which takes'
                    ' whole images alone; give the checkpoint that it was exported from'
                )
            self._require([task], self._loaded)
            if not any(self.model.kinds[name].finds_boxes for name in tasks):
                raise ConfigError(f'{option} is {task!r}, but none of the tasks {tasks} detects')
            found.append(BoxTask(self.model, self.cfg, task, self.metainfo[task], option))
        return found

    def _read(
        self,
        index: int,
        entry,
        tasks: Sequence[str],
        on_note: Callable[[str], None],
        called: Callable[[int], str],
    ) -> InputImage:
        source = entry if isinstance(entry, Source) else None
        name = source.name if source else entry if isinstance(entry, str) else called(index)
        notes: list[str] = []
        try:
            with input_error(name, 'it cannot be read'):
                if source:
                    image = source.read(notes.append)
                elif isinstance(entry, str):
                    image = read_image(entry, MAX_PIXELS, notes.append)
                else:
                    image = checked(entry, name)
            with input_error(name, 'it cannot be made an input of the model'):
                prepared = self.mode.prepare(image, tasks)
                item = InputImage(index, name, image, prepared, source=source)
        except DataError as error:
            item = InputImage(index, name, error=error)
        for sentence in notes:  # An exception of the caller's function is no error of the input.
            on_note(sentence)
        return item


def graph_model(source: ModelSource, device: str | torch.device | None) -> ExportedModel:
    """The graph of a source, in evaluation mode.

    Raises:
        ConfigError: If the device is not the CPU, or the runtime is not installed.
        CheckpointError: If the graph cannot be loaded.
    """
    if device is not None and torch.device(device).type != 'cpu':
        raise ConfigError(
            f'device is {str(device)!r}, but exported graphs such as {source.path} run on the CPU '
            "here; give 'cpu', or the checkpoint"
        )
    return ExportedModel(source.path).eval()


def device_of(model: torch.nn.Module) -> torch.device:
    """The device of the parameters; of a graph, which has none, the CPU."""
    return next((parameter.device for parameter in model.parameters()), torch.device('cpu'))


def _listed(tasks: Sequence[str] | str | None) -> Sequence[str] | None:
    return [tasks] if isinstance(tasks, str) else tasks


def _nothing() -> Future:
    future: Future = Future()
    future.set_result((None, None))
    return future


def _raise(error: DataError) -> None:
    raise error
