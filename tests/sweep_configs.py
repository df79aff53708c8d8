"""Configs of the libraries for ``tests/sweep.py``: which differ, and each as a tiny model."""

import re
import sys
from collections import defaultdict
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config, ConfigDict

SIZES = (128, 256, 512)
SYNC = ('SyncBN', 'MMSyncBN', 'naiveSyncBN')
RESNETS = ('ResNet', 'ResNetV1c', 'ResNetV1d', 'ResNeXt', 'Res2Net')
# In names of files
LARGE = ('101', '152', 'large', 'huge', 'swin-l', 'swin-b', 'base', '-l_', '-x_', '-b5', 'xl')


def config_root(library: str) -> Path:
    return Path(find_spec(library).submodule_search_locations[0]) / '.mim/configs'


def signature(model: dict) -> str:
    """Classes of the model, its backbone, neck and heads."""
    parts = [key for key in sorted(model) if key == 'neck' or key.endswith('head')]
    named = [str(model.get('type')), _types(model.get('backbone'))]
    return ' | '.join(named + [_types(model[key]) for key in parts])


def _types(part) -> str:
    if isinstance(part, (list, tuple)):
        return '+'.join(sorted({_types(entry) for entry in part if isinstance(entry, dict)}))
    if not isinstance(part, dict):
        return ''
    heads = [_types(value) for key, value in part.items() if key.endswith('head')]
    return str(part.get('type')) + ''.join(f'({head})' for head in heads if head)


def groups(library: str) -> dict[str, list[str]]:
    """``{signature: configs}``, the smallest first; those that cannot be read are left out."""
    root, found = config_root(library), defaultdict(list)
    for path in sorted(root.rglob('*.py')):
        if '_base_' in path.relative_to(root).parts:
            continue
        try:
            cfg = Config.fromfile(path)
        except Exception as error:
            print(f'{path.relative_to(root)} cannot be read: {str(error)[:100]}', file=sys.stderr)
            continue
        if isinstance(cfg.get('model'), dict):
            found[signature(cfg.model)].append(str(path.relative_to(root)))
    return {key: sorted(names, key=size_of_name) for key, names in sorted(found.items())}


def size_of_name(name: str) -> tuple:
    """Key to sort configs by size, as their names tell."""
    return sum(word in name for word in LARGE), name.count('/') > 1, len(name), name


def _plain(part) -> None:
    """Without weights to load, and with batch norm of one process, in place."""
    if isinstance(part, dict):
        if part.get('type') in SYNC:
            part['type'] = 'BN'
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('checkpoint'):
            part.pop('init_cfg')
        for key in ('teacher_ckpt', 'pretrained'):
            if isinstance(part.get(key), str):
                part[key] = None
        for value in part.values():
            _plain(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _plain(value)


def _shrink(part, size: int) -> None:
    """Fewer boxes, shallower ResNets, and position embeddings of smaller images, in place."""
    if isinstance(part, dict):
        if 'img_size' in part:
            part['img_size'] = size if isinstance(part['img_size'], int) else (size, size)
        for key, most in dict(nms_pre=100, nms_post=50, num=32).items():
            if isinstance(part.get(key), int):
                part[key] = min(part[key], most)
        if part.get('type') in RESNETS:
            part['depth'] = min(part['depth'], 50)
        for value in part.values():
            _shrink(value, size)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _shrink(value, size)


def tiny(library: str, cfg, size: int):
    """The config's model for images of ``size`` pixels, as its own library takes it."""
    model = deepcopy(cfg.model)
    _plain(model)
    if library == 'mmpretrain' and 'data_preprocessor' not in model:
        model.data_preprocessor = deepcopy(cfg.get('data_preprocessor', {}))
    if library != 'mmpretrain':
        _shrink(model, size)
    before = model.get('data_preprocessor')
    if library == 'mmseg' and before is not None:
        before.pop('size_divisor', None)
        before.size = (size, size)
    return model


def joint_config(scope: str, model):
    """That model as the one task of a joint model; ``scope`` is where its types are registered."""
    task = deepcopy(model)
    backbone = task.pop('backbone')
    task.pop('pretrained', None)
    before = task.get('data_preprocessor') or {}
    common = {key: before[key] for key in ('mean', 'std') if before.get(key) is not None}
    if swaps := before.get('bgr_to_rgb', before.get('to_rgb')):
        common['bgr_to_rgb'] = swaps
    if scope == 'mmdet' and before.get('pad_size_divisor'):
        common['pad_size_divisor'] = before['pad_size_divisor']
    if not before:
        task.pop('data_preprocessor', None)
    for part in (backbone, task):
        if isinstance(part.type, str) and '.' not in part.type:
            part.type = f'{scope}.{part.type}'
    return ConfigDict(
        type='AllInOne', backbone=backbone, tasks=dict(task=task), data_preprocessor=common or None
    )


def scope_of(library: str, cfg) -> str:
    """Where the types of a config are registered: mmdet has configs of classifiers."""
    return cfg.model.get('_scope_') or cfg.get('default_scope') or library


def image_sizes(library: str, cfg) -> tuple[int, ...]:
    """Sizes of images to try, in this order."""
    sizes = SIZES
    if library == 'mmpretrain':
        scale = re.findall(r"'(?:img_size|crop_size|scale)': \(?(\d+)", str(cfg.to_dict()))
        sizes = (int(scale[0]) if scale else 224,)
    return sizes
