"""All tasks on pictures, in one pass of the trunk: from files or arrays to plain records."""

import os
import os.path as osp
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import DefaultScope
from pycocotools import mask as coco_mask

from allinone.engine.checkpoint import (
    load_state_dict,
    read_checkpoint,
    require_weights,
    state_dict_of,
    trusting_checkpoints,
)
from allinone.engine.config_check import check_config
from allinone.engine.dataloaders import named
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.registry import MODELS
from allinone.visualization.draw import draw_tasks, to_numpy, top_classes
from allinone.visualization.palette import ClassTable
from allinone.visualization.pictures import (
    find_pictures,
    output_names,
    read_picture,
    write_picture,
)

from .run import load_config, write_json

TOP = 5

Picture = str | os.PathLike | np.ndarray


class AllInOneInferencer:
    """A trained joint model, ready for pictures.

    >>> inferencer = AllInOneInferencer('config.py', 'iter_1200.pth')
    >>> record, = inferencer('street.jpg', out_dir='results')
    >>> record['cls']['name'], record['det'][0]['bbox'], record['seg'][0]['name']

    Args:
        model: A config, or the path of one. Its optional key ``inference = dict(scale=(W, H))``
            is the size that pictures are brought to, keeping their ratio; without it they are
            taken as they are.
        weights: A checkpoint of the joint model, read without executing code from it.
        device: As in torch. Default: CUDA where there is one.
        tasks: Run only these. Default: all.

    Raises:
        ConfigError: If the config cannot be used, a task is unknown, or the device is not there.
        CheckpointError: If the checkpoint cannot be read, or lacks weights of trunk or tasks.
    """

    def __init__(
        self,
        model: str | os.PathLike | Config,
        weights: str | os.PathLike,
        device: str | torch.device | None = None,
        tasks: Sequence[str] | None = None,
    ):
        cfg = model if isinstance(model, Config) else load_config(os.fspath(model))
        check_config(cfg)
        self.scale = _scale_of(cfg)
        device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        with DefaultScope.overwrite_default_scope('allinone'), named('model'):
            self.model = MODELS.build(cfg.model)
        self.tasks = self.model.task_names(tasks)
        checkpoint = read_checkpoint(weights)
        state = state_dict_of(checkpoint, weights)
        load_state_dict(self.model, state, weights, key='weights')
        require_weights(self.model, state, self.tasks, weights)
        try:
            self.model.to(device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f'device {device} cannot be used: {error}') from error
        self.device = torch.device(device)
        told = (checkpoint.get('meta') or {}).get('dataset_meta')
        told = told if isinstance(told, Mapping) else {}
        self.metainfo = {
            task: told.get(task) or dataset_metainfo(cfg, task) for task in self.model.tasks
        }

    def __call__(
        self,
        inputs: Picture | Sequence[Picture],
        batch_size: int = 1,
        tasks: Sequence[str] | None = None,
        out_dir: str | os.PathLike | None = None,
        return_vis: bool = False,
        score_thr: float = 0.3,
        on_error: Callable[[DataError], None] | None = None,
    ):
        """Predict all tasks on every picture.

        Pictures of one size that follow each other make a batch; others are never padded to one,
        so what is predicted does not depend on the neighbours.

        Args:
            inputs: A picture file, a folder, an array ``(H, W, 3)`` (uint8, BGR), or a list.
            batch_size: Most pictures in a pass.
            tasks: Run only these. Default: those of the constructor.
            out_dir: Write ``vis/NAME.jpg`` and ``predictions/NAME.json`` for each picture.
            return_vis: Also return the drawn pictures.
            score_thr: Leave out boxes below this score in drawings. Records keep all of them.
            on_error: Called when an input cannot be read, which is then None among the records.
                Default: raise.

        Returns:
            A record for each picture, in order; with ``return_vis`` a pair of the records and
            the drawings (uint8 RGB). A record is ``{task: result}`` with boxes and masks in the
            picture's own pixels:

            * classification: ``{'label', 'name', 'score', 'top5': [{'label', 'name', 'score'}]}``;
            * detection: ``[{'bbox': [x1, y1, x2, y2], 'label', 'name', 'score'}]``, and ``'mask'``
              (COCO RLE) of instance segmentation;
            * segmentation: ``[{'label', 'name', 'area', 'segmentation'}]`` of each class present,
              the area in pixels, the mask as COCO RLE.

        Raises:
            ConfigError: If a task is unknown.
            DataError: If a file is missing, truncated or no picture, a folder holds none, or an
                array is not a BGR picture.
        """
        entries = list(_flat(inputs, on_error or _raise))
        records: list[dict | None] = [None] * len(entries)
        drawings: list[np.ndarray | None] = [None] * len(entries)
        for index, record, drawing in self.stream(
            entries, batch_size, tasks, out_dir, return_vis, score_thr, on_error
        ):
            records[index], drawings[index] = record, drawing
        return (records, drawings) if return_vis else records

    def stream(
        self,
        entries: Sequence[str | np.ndarray],
        batch_size: int = 1,
        tasks: Sequence[str] | None = None,
        out_dir: str | os.PathLike | None = None,
        return_vis: bool = False,
        score_thr: float = 0.3,
        on_error: Callable[[DataError], None] | None = None,
    ) -> Iterator[tuple[int, dict, np.ndarray | None]]:
        """As calling, but picture by picture, so that any number of them fits into memory.

        Args:
            entries: Picture files and arrays.

        Yields:
            Index, record, and the drawing or None.
        """
        tasks = self._chosen(tasks)
        names = [
            entry if isinstance(entry, str) else f'{index:06d}.array'
            for index, entry in enumerate(entries)
        ]
        unique = output_names(names)
        for batch in self._batches(entries, batch_size, on_error or _raise):
            for (index, image), samples in zip(
                batch, self.predict([image for _, image in batch], tasks)
            ):
                record = {
                    task: to_record(sample, self.metainfo[task]) for task, sample in samples.items()
                }
                drawing = None
                if out_dir or return_vis:
                    drawing = draw_tasks(image[..., ::-1], samples, self.metainfo, score_thr)
                if out_dir:
                    name = unique[names[index]]
                    write_picture(osp.join(out_dir, 'vis', f'{name}.jpg'), drawing)
                    write_json(osp.join(out_dir, 'predictions', f'{name}.json'), record)
                yield index, record, drawing

    def predict(self, images: Sequence[np.ndarray], tasks: Sequence[str]) -> list[dict]:
        """Data samples ``{task: sample}`` of each BGR picture ``(H, W, 3)``; one trunk pass."""
        inputs, metainfo = [], []
        for image in images:
            resized = self._resize(image)
            (height, width), (new_height, new_width) = image.shape[:2], resized.shape[:2]
            metainfo.append(
                dict(
                    ori_shape=(height, width), scale_factor=(new_width / width, new_height / height)
                )
            )
            inputs.append(torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))))
        predictions = self.model.predict(inputs, tasks, metainfo)
        return [{task: predictions[task][i] for task in tasks} for i in range(len(images))]

    def _chosen(self, tasks: Sequence[str] | None) -> list[str]:
        tasks = self.model.task_names(self.tasks if tasks is None else tasks)
        unloaded = [task for task in tasks if task not in self.tasks]
        if unloaded:
            raise ConfigError(
                f'tasks {unloaded} are not among those that the inferencer was '
                f'made for: {self.tasks}'
            )
        return tasks

    def _resize(self, image: np.ndarray) -> np.ndarray:
        # As the Resize transform of the test pipelines does with keep_ratio=True
        return image if self.scale is None else mmcv.imrescale(image, self.scale)

    def _batches(self, inputs: list, size: int, on_error: Callable) -> Iterator[list[tuple]]:
        """``[(index, BGR picture)]`` of pictures of one size, at most ``size`` in one."""
        batch: list[tuple[int, np.ndarray]] = []
        for index, entry in enumerate(inputs):
            try:
                image = read_picture(entry) if isinstance(entry, str) else _checked(entry, index)
            except DataError as error:
                on_error(error)
                continue
            if batch and (len(batch) >= size or image.shape != batch[0][1].shape):
                yield batch
                batch = []
            batch.append((index, image))
        if batch:
            yield batch


def to_record(sample, metainfo: Mapping | None = None) -> dict | list:
    """A data sample of one of the libraries as plain numbers, strings and lists.

    What is recorded follows from what the sample holds; see :class:`AllInOneInferencer`.
    """
    table = ClassTable(metainfo)
    if 'pred_instances' in sample:
        return _boxes(sample.pred_instances, table)
    if 'pred_sem_seg' in sample:
        return _masks(to_numpy(sample.pred_sem_seg.data)[0], table)
    top = [
        dict(label=label, name=table.name(label), score=score)
        for label, score in top_classes(sample, TOP)
    ]
    return dict(top[0] if top else dict(label=None, name=None, score=None), top5=top)


def encode_mask(mask: np.ndarray) -> dict:
    """COCO RLE ``{'size': [H, W], 'counts': str}`` of a bool mask ``(H, W)``."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle['size']], counts=rle['counts'].decode())


def _boxes(instances, table: ClassTable) -> list[dict]:
    labels = to_numpy(instances.labels).astype(int).tolist()
    records = [
        dict(bbox=box, label=label, name=table.name(label), score=score)
        for box, label, score in zip(
            to_numpy(instances.bboxes).tolist(), labels, to_numpy(instances.scores).tolist()
        )
    ]
    if 'masks' in instances:
        for record, mask in zip(records, to_numpy(instances.masks)):
            record['mask'] = encode_mask(mask)
    return records


def _masks(mask: np.ndarray, table: ClassTable) -> list[dict]:
    return [
        dict(
            label=int(label),
            name=table.name(int(label)),
            area=int(area),
            segmentation=encode_mask(mask == label),
        )
        for label, area in zip(*np.unique(mask, return_counts=True))
    ]


def dataset_metainfo(cfg: Config, task: str) -> dict:
    """Classes and palette of a task's data set as the config and the data set's type tell them."""
    for stage in ('test', 'val', 'train'):
        loader = (cfg.get(f'{stage}_dataloader') or {}).get(task) or {}
        dataset = loader.get('dataset')
        while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
            dataset = dataset['dataset']  # RepeatDataset and its like
        if not isinstance(dataset, Mapping):
            continue
        with named(f'{stage}_dataloader.{task}.dataset'):
            kind = dataset.get('type')
            kind = MMENGINE_DATASETS.get(kind) if isinstance(kind, str) else kind
            told = dict(dataset.get('metainfo') or {})
            # Reads classes that are given as a file, too
            return kind._load_metainfo(told) if hasattr(kind, '_load_metainfo') else told
    return {}


def _scale_of(cfg: Config) -> tuple[int, int] | None:
    inference = cfg.get('inference') or {}
    if not isinstance(inference, Mapping):
        raise ConfigError(f'inference is {inference!r}; give dict(scale=(width, height))')
    scale = inference.get('scale')
    unknown = sorted(set(inference) - {'scale'})
    if unknown:
        raise ConfigError(f'inference has no key {unknown}; its key is scale')
    if scale is None:
        return None
    if (
        not isinstance(scale, (tuple, list))
        or len(scale) != 2
        or not all(isinstance(side, int) and side > 0 for side in scale)
    ):
        raise ConfigError(f'inference.scale is {scale!r}; give (width, height) in pixels')
    return tuple(scale)


def _flat(inputs, on_error: Callable) -> Iterator[str | np.ndarray]:
    """Folders replaced by their pictures, paths by strings."""
    for entry in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if isinstance(entry, (str, os.PathLike)):
            try:
                yield from find_pictures(entry)
            except DataError as error:
                on_error(error)
        else:
            yield entry


def _checked(image, index: int) -> np.ndarray:
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or 0 in image.shape
    ):
        found = (
            f'{image.dtype} of shape {image.shape}'
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise DataError(f'input {index} is {found}; give a path or a uint8 BGR array (H, W, 3)')
    return image


def _raise(error: DataError) -> None:
    raise error


def infer(args) -> int:
    """What ``tools/infer.py`` does; the exit status: 0, 1 if an input was skipped, 2 for errors."""
    problems = []

    def report(error) -> None:
        problems.append(error)
        print(f'error: {error}', file=sys.stderr)

    try:
        cfg = load_config(args.config, args.cfg_options)
        check_config(cfg)
        tasks = list(args.tasks or cfg.model.tasks)
        for task in [task for task in tasks if task not in cfg.model.tasks]:
            report(f'--tasks has {task!r}, skipped; {args.config} has {list(cfg.model.tasks)}')
            tasks.remove(task)
        if not tasks:
            return 1
        with trusting_checkpoints(getattr(args, 'trust_checkpoint', False)):
            inferencer = AllInOneInferencer(cfg, args.checkpoint, args.device, tasks)
        entries = list(_flat(args.inputs, report))
        done = sum(
            1
            for _ in inferencer.stream(
                entries,
                args.batch_size,
                out_dir=args.out_dir,
                score_thr=args.score_thr,
                on_error=report,
            )
        )
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(
        f'{done} of {len(entries)} pictures in {args.out_dir}: '
        'drawings in vis, records in predictions'
    )
    return 1 if problems else 0
