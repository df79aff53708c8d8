"""The data set's variable for configs, ``OUT/data_set.py``, and the lines that train on it."""

import keyword
import re
from pathlib import Path
from typing import Any

from allinone.conversion.files import replacing

__all__ = ['FILE', 'lines', 'variable', 'write_data_set']

FILE = 'data_set.py'
# Variables that a config has already, such as those of `configs/_base_/tasks`
TAKEN = (
    *('data', 'model', 'train', 'val', 'test', 'optim_wrapper', 'visualizer', 'train_cfg'),
    *('val_cfg', 'test_cfg', 'param_scheduler', 'default_hooks', 'custom_hooks', 'score'),
    *('fcos', 'linear_cls', 'segformer', 'mask_rcnn', 'work_dir', 'backbone'),
)
HEADS = dict(det='fcos', cls='linear_cls', seg='segformer')
EPOCHS = 12
SAVED = 1000  # Steps between checkpoints, where no validation says when
STEP = 32  # Sizes of images are multiples of this.
LONGEST, SHORTEST = 1333, 800  # of images for detection, as in mmdet's recipes
CLS_SIZE, MARGIN = 224, 256 / 224
SEG_CROP, SEG_LONGEST = 512, 2048
TOP = 5
COLOURS = 256
WIDTH = 100


def variable(name: str) -> str:
    """A Python name for a data set that is called so."""
    found = re.sub(r'\W+', '_', name).strip('_') or 'own'
    if not found.isidentifier() or keyword.iskeyword(found) or found in TAKEN:
        found = f'own_{found}'
    return found


def write_data_set(
    out: Path, name: str, kind: str, content: dict, suffix: str = '', file_name: str = FILE
) -> Path:
    """Write ``data_set.py`` with the variable ``name``, unless it is there already.

    Paths in it are relative to the file, so that the folder may be moved.

    Args:
        out: The converted set.
        name: The variable; with masks of all objects there is a second one, ``NAME_masks``.
        kind: ``det``, ``cls`` or ``seg``.
        content: The report of the conversion.
        suffix: That of the images of label maps.
        file_name: In place of ``data_set.py``.
    """
    entries = _entries(name, kind, content, suffix)
    text = f'# Own data, converted by allinone: {_counts(content)}\n'
    text += '# Each conversion writes this file anew: change the data set in a config.\n'
    text += '_root = """{{ fileDirname }}/"""\n'
    for key, entry in entries.items():
        text += f'{key} = {_laid_out(entry)}\n'
    text += 'del _root  # only the data set itself is inherited\n'
    path = out / file_name
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        with replacing(path) as file:
            file.write(text)
    return path


def lines(out: Path, name: str, kind: str, content: dict) -> str:
    """A config, anywhere, that trains on the data set alone."""
    head = HEADS[kind]
    found = [
        "_base_ = ['allinone::_base_/default_runtime.py',",
        "          'allinone::_base_/schedules/adamw_cosine.py',",
        "          'allinone::_base_/backbones/resnet50.py',",
        f"          'allinone::_base_/tasks/{head}.py',",
        f'          {str(out / FILE)!r}]',
        f'model = dict(tasks=dict({name}={{{{_base_.{head}}}}}))',
        f'data = dict({name}={{{{_base_.{name}}}}})',
        f"train_cfg = dict(type='MultiTaskTrainLoop', epochs=dict(source={name!r}, n={EPOCHS}))",
    ]
    if not {'val', 'test'} & set(content['splits']):
        found += [
            'val_cfg = test_cfg = None  # There is no validation split.',
            f'default_hooks = dict(checkpoint=dict(save_best=None, interval={SAVED}))',
        ]
    if _has_masks(content):
        found.append(
            f'# with masks: tasks/mask_rcnn.py, {{{{_base_.mask_rcnn}}}} and '
            f'{{{{_base_.{name}_masks}}}}'
        )
    return '\n'.join(found)


class _Code(str):
    """Text that is written as code."""

    def __repr__(self) -> str:
        return str(self)


def _laid_out(value: Any, indent: str = '', used: int = 0) -> str:
    """Code of a value, on as many lines as it needs; ``used`` characters stand before it."""
    if isinstance(value, dict):
        parts = [(f'{key}=', item) for key, item in value.items()]  # All keys are Python names.
        begin, end = 'dict(', ')'
    elif isinstance(value, (list, tuple)) and len(value) > 1:
        parts = [('', item) for item in value]
        begin, end = '[]' if isinstance(value, list) else '()'
    else:
        return repr(value)
    short = begin + ', '.join(key + _laid_out(item) for key, item in parts) + end
    if '\n' not in short and len(indent) + used + len(short) < WIDTH:
        return short
    inner = indent + '    '
    rows = [inner + key + _laid_out(item, inner, len(key)) + ',\n' for key, item in parts]
    return f'{begin}\n{"".join(rows)}{indent}{end}'


def _path(name: str) -> _Code:
    return _Code(f'_root + {name!r}')


def _counts(content: dict) -> str:
    return ', '.join(
        f'{split} {some["images"]} images' for split, some in content['splits'].items()
    )


def _has_masks(content: dict) -> bool:
    splits = content['splits'].values()
    return any(split.get('boxes') for split in splits) and all(
        split.get('masks', 0) == split.get('boxes') for split in splits
    )


def _entries(name: str, kind: str, content: dict, suffix: str) -> dict[str, dict]:
    size = content['typical_size']
    classes = tuple(next(iter(content['splits'].values()))['classes'])
    if kind == 'cls':
        return {name: _entry(content, classes, {'top1': 1}, _classification(size, classes))}
    if kind == 'seg':
        return {name: _entry(content, classes, {'mIoU': 1}, _segmentation(size, classes, suffix))}
    found = {name: _entry(content, classes, {'bbox_mAP_50': 100}, _detection(size, False))}
    if _has_masks(content):
        score = {'segm_mAP_50': 100}
        found[f'{name}_masks'] = _entry(content, classes, score, _detection(size, True))
    return found


def _entry(content: dict, classes: tuple[str, ...], score: dict, parts) -> dict:
    """A data set's variable; what has no validation split is validated on its test split."""
    found: dict[str, Any] = dict(classes=classes, score=score)
    splits = list(content['splits'])
    stages = dict(train='train', val='val' if 'val' in splits else 'test', test='test')
    for stage, split in stages.items():
        if split in splits and not (stage == 'test' and 'val' not in splits):
            loader, evaluator = parts(split, stage == 'train')
            found[f'{stage}_dataloader'] = loader
            if evaluator:
                found[f'{stage}_evaluator'] = evaluator
    return found


def _multiple(value: float, least: int = STEP) -> int:
    return max(least, round(value / STEP) * STEP)


def _detection(size: list[int], masks: bool):
    longest, shortest = max(size), min(size)
    factor = min(1, LONGEST / longest, SHORTEST / shortest)
    scale = (max(STEP, round(longest * factor)), max(STEP, round(shortest * factor)))
    resize = dict(type='Resize', scale=scale, keep_ratio=True)
    load = dict(type='LoadImageFromFile')
    boxes = dict(type='LoadAnnotations', with_bbox=True)
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')

    def parts(split: str, train: bool) -> tuple[dict, dict | None]:
        dataset = dict(
            type='mmdet.CocoDataset',
            ann_file=_path(f'{split}.json'),
            data_prefix=dict(img=_path(f'{split}/')),
        )
        if train:
            annotations = dict(boxes, with_mask=True) if masks else boxes
            flip = dict(type='RandomFlip', prob=0.5)
            pipeline = [load, annotations, resize, flip, dict(type='PackDetInputs')]
            return _loader(4, dict(dataset, pipeline=pipeline)), None
        pipeline = [load, resize, boxes, dict(type='PackDetInputs', meta_keys=keys)]
        evaluator = dict(
            type='allinone.DetectionMetric',
            _scope_='mmdet',
            metric=['bbox', 'segm'] if masks else 'bbox',
            ann_file=_path(f'{split}.json'),
        )
        return _loader(4, dict(dataset, test_mode=True, pipeline=pipeline)), evaluator

    return parts


def _classification(size: list[int], classes: tuple[str, ...]):
    side = min(CLS_SIZE, _multiple(min(size)))
    load, pack = dict(type='LoadImageFromFile'), dict(type='PackInputs')
    crop = dict(type='RandomResizedCrop', scale=side)
    edge = dict(type='ResizeEdge', scale=round(side * MARGIN), edge='short')

    def parts(split: str, train: bool) -> tuple[dict, dict | None]:
        dataset = dict(
            type='allinone.ImageListDataset',
            _scope_='mmpretrain',
            ann_file=_path(f'{split}.txt'),
            data_prefix=_path(split),
        )
        if train:
            pipeline = [load, crop, dict(type='RandomFlip', prob=0.5), pack]
            return _loader(32, dict(dataset, pipeline=pipeline)), None
        pipeline = [load, edge, dict(type='CenterCrop', crop_size=side), pack]
        topk = (1, TOP) if len(classes) > TOP else (1,)
        evaluator = dict(type='mmpretrain.Accuracy', topk=topk)
        return _loader(32, dict(dataset, test_mode=True, pipeline=pipeline)), evaluator

    return parts


def _segmentation(size: list[int], classes: tuple[str, ...], suffix: str):
    factor = min(1, SEG_LONGEST / max(size))
    scale = (round(max(size) * factor), round(min(size) * factor))
    crop = min(SEG_CROP, _multiple(min(scale)))
    load, labels = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')
    pack = dict(type='PackSegInputs')
    palette = [[(53 * n + 97 * part * (n + 1)) % COLOURS for part in (1, 2, 3)] for n, _ in
               enumerate(classes)]  # fmt: skip

    def parts(split: str, train: bool) -> tuple[dict, dict | None]:
        dataset = dict(
            type='mmseg.BaseSegDataset',
            metainfo=dict(classes=classes, palette=palette),
            ann_file=_path(f'{split}.txt'),
            data_prefix=dict(
                img_path=_path(f'images/{split}'), seg_map_path=_path(f'label/{split}')
            ),
            img_suffix=suffix,
        )
        if train:
            pipeline = [
                load,
                labels,
                dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
                dict(type='RandomCrop', crop_size=(crop, crop), cat_max_ratio=0.75),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PhotoMetricDistortion'),
                pack,
            ]
            return _loader(4, dict(dataset, pipeline=pipeline)), None
        resize = dict(type='Resize', scale=scale, keep_ratio=True)
        evaluator = dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU'])
        pipeline = [load, resize, labels, pack]
        return _loader(1, dict(dataset, test_mode=True, pipeline=pipeline)), evaluator

    return parts


def _loader(batch_size: int, dataset: dict) -> dict:
    return dict(batch_size=batch_size, num_workers=2, dataset=dataset)
