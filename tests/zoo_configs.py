"""The bases of backbones and tasks in ``configs/_base_``, as small models for ``tests/zoo.py``.

Backbones keep their channels and strides, of which the tests are, and lose depth. Heads lose
layers, queries, boxes and inner channels. A new file is found by being there.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS

import allinone.models  # noqa: F401
from allinone.config.feature_maps import FeatureMap, feature_maps

BASES = Path(__file__).parents[1] / 'configs/_base_'
BACKBONES, TASKS = BASES / 'backbones', BASES / 'tasks'
VIT = '_vit'  # Ends the name of a task for backbones of one stride.
SHALLOW = 50  # ResNets of more layers are cut to it, which has the same channels.
ARCHITECTURES = ('arch_zoo', 'arch_settings')  # Of classes of mmpretrain
MOST = dict(
    num_layers=1,  # Of transformers
    num_queries=10,
    num_points=64,  # Of the losses of masks, not of attention, whose numbers are lower
    num_dn_queries=4,
    stacked_convs=1,
    num_csp_blocks=1,
    channels=64,  # Of heads of segmentation
    fc_out_channels=64,
    nms_pre=50,
    max_per_img=20,
    num=16,  # Sampled boxes
)


def backbones() -> list[str]:
    return sorted(path.stem for path in BACKBONES.glob('*.py'))


def heads() -> list[str]:
    """Names of the tasks for any backbone; files of tasks for one backbone are left out."""
    names = [path.stem for path in TASKS.glob('*.py')]
    return sorted(name for name in names if 'type' in Config.fromfile(_base_of(name))[name])


def backbone(name: str) -> tuple[dict, list[FeatureMap]]:
    """``model`` of a base with few layers and random weights, and its feature maps."""
    model = Config.fromfile(BACKBONES / f'{name}.py').model
    cut_depth(model.backbone)
    return model, feature_maps('model.backbone', model.backbone)


def task(name: str, maps: list[FeatureMap], **options: Any) -> dict:
    """A task with few layers, in the form for backbones of one stride where these maps are so."""
    single = len({found.stride for found in maps}) == 1
    variables = Config.fromfile(_base_of(name))
    found = variables.get(name + VIT) if single else None
    part = deepcopy(found or variables[name])
    cut_layers(part)
    return dict(part, **options)


def _base_of(name: str) -> Path:
    return TASKS / f'{name}.py'


def shallow(cfg: Config, size: int) -> Config:
    """The config of a run with few layers and random weights, changed in place.

    Args:
        cfg: With numbers of channels and strides, which stay.
        size: Of the images: preprocessors that pad to a larger one pad to this one.
    """
    cut_depth(cfg.model.backbone)
    for part in cfg.model.tasks.values():
        cut_layers(part)
        if 'size' in part.get('data_preprocessor', {}):
            part.data_preprocessor.size = (size, size)
    return cfg


def cut_depth(cfg: dict) -> None:
    """One layer a stage, and no weights, in place."""
    cfg.pop('init_cfg', None)
    cls = MMENGINE_MODELS.get(cfg['type'])
    if isinstance(cfg.get('depth'), int):
        cfg['depth'] = min(cfg['depth'], SHALLOW)
    for name in ('depths', 'num_layers'):
        if isinstance(cfg.get(name), (list, tuple)):
            cfg[name] = [1] * len(cfg[name])
    if str(cfg.get('model_name')).startswith('vit_'):  # Of timm
        cfg['depth'] = 2
    if 'deepen_factor' in cfg:
        cfg['deepen_factor'] = 0.1
    arch = cfg.get('arch')
    if isinstance(arch, str):
        known = next(filter(None, (getattr(cls, name, None) for name in ARCHITECTURES)), {})
        arch = known.get(arch)
    if isinstance(arch, Mapping) and 'depths' in arch:
        cfg['arch'] = dict(arch, depths=[1] * len(arch['depths']))
    elif isinstance(arch, Mapping) and isinstance(arch.get('num_layers'), int):
        _cut_plain(cfg, dict(arch))


def _cut_plain(cfg: dict, arch: dict) -> None:
    """A plain transformer whose maps come after its last layers."""
    indices = cfg.get('out_indices', -1)
    indices = [indices] if isinstance(indices, int) else list(indices)
    count = max(2, len(indices))
    if 'global_attn_indexes' in arch:
        arch['global_attn_indexes'] = [count - 1]
    cfg['arch'] = dict(arch, num_layers=count)
    if min(indices) >= 0:
        cfg['out_indices'] = tuple(range(count - len(indices), count))


def cut_layers(part: Any) -> None:
    """Few layers, queries, boxes and inner channels of a task, in place."""
    for found in _dictionaries(part):
        for key, most in MOST.items():
            if isinstance(found.get(key), int):
                found[key] = min(found[key], most)


def _dictionaries(part: Any) -> Iterator[dict]:
    if isinstance(part, dict):
        yield part
    members = part.values() if isinstance(part, dict) else part
    for value in members if isinstance(part, (dict, list, tuple)) else ():
        yield from _dictionaries(value)
