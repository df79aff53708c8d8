"""Find config and weights of a trained model from a config, a work dir or a checkpoint.

A checkpoint contains its training config as text. Because this text comes from the author of the
file, it is read as data: only literals, without executing or importing anything, and only types
that the libraries have registered are built.
"""

import ast
import os
import os.path as osp
import re
from collections.abc import Iterator, Mapping
from glob import escape, glob
from importlib import import_module
from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import Registry

from allinone.checkpoint.folder import is_folder
from allinone.checkpoint.loading import read_checkpoint
from allinone.config.check import check_config
from allinone.config.data_sets import map_inner
from allinone.config.expansion import expand_config
from allinone.config.literals import literal
from allinone.config.loading import complete_config, load_config
from allinone.config.sources import TASKS
from allinone.errors import CheckpointError, ConfigError
from allinone.io.exported import is_exported
from allinone.models.exported.model import predicting_metadata
from allinone.registry import LIBRARIES
from allinone.training.resume import SUFFIXES, first_readable, step_checkpoints

CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
SCOPES = ('mmengine', 'mmcv', *LIBRARIES, 'allinone')
TYPE = re.compile(rf'(?:({"|".join(SCOPES)})\.)?([A-Za-z_]\w*)')
# The config keys that inference needs; it ignores all others.
NEEDED = ('model', 'inference', 'default_scope')
# Functions and layers of mmcv that are in no registry, by their config key
UNREGISTERED = dict(nms=('nms', 'soft_nms'), roi_layer=('RoIAlign', 'RoIPool'))


class ModelSource(NamedTuple):
    """A config and its checkpoint.

    Attributes:
        cfg: The config; the keys that inference needs are checked.
        path: The checkpoint's file.
        checkpoint: Its content.
        trusted: Whether ``cfg`` comes from the user, so that any type may be built from it.
        exported: Whether the file is an exported graph; ``cfg`` then has the names of its tasks.
    """

    cfg: Config
    path: str
    checkpoint: dict
    trusted: bool
    exported: bool = False


def is_config(path: str | os.PathLike) -> bool:
    return os.fspath(path).lower().endswith(CONFIG_SUFFIXES)


def find_model(
    model: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    options: list[str] | None = None,
    graphs: bool = False,
) -> ModelSource:
    """Find and read config and checkpoint.

    Args:
        model: A config or its path; a checkpoint, whose embedded config is used; or a work dir, for
            its best checkpoint, else its newest complete one.
        weights: A checkpoint or a work dir. Default: ``model``, if it is one of these.
        options: ``KEY=VALUE`` overrides of the config.
        graphs: Whether ``model`` may be an exported graph, of which the metadata are read.

    Raises:
        ConfigError: If the config cannot be used, or ``weights`` is missing.
        CheckpointError: If the checkpoint cannot be read, or its config is missing or not data.
    """
    if graphs and not isinstance(model, Config):
        if is_exported(model) or weights is not None and is_exported(weights):
            return _graph_source(model, weights, options)
    if isinstance(model, Config) or is_config(model):
        cfg = model if isinstance(model, Config) else load_config(os.fspath(model), options)
        expand_config(cfg, strict=False)
        check_config(cfg)
        if weights is None:
            raise ConfigError(
                f'{getattr(cfg, "filename", None) or "model"} is a config, which has no weights; '
                'give a checkpoint or work dir beside it'
            )
        return ModelSource(cfg, *_read(weights), trusted=True)
    path, checkpoint = _read(model)
    cfg = complete_config(_config_of(checkpoint, path), path, options)
    check_config({key: value for key, value in cfg.items() if key in NEEDED})
    check_types(cfg, path)
    if weights is not None:
        path, checkpoint = _read(weights)
    return ModelSource(cfg, path, checkpoint, trusted=False)


def _graph_source(
    model: str | os.PathLike, weights: str | os.PathLike | None, options: list[str] | None
) -> ModelSource:
    path = osp.expanduser(os.fspath(model if weights is None else weights))
    metadata = predicting_metadata(path)
    if weights is not None and os.fspath(weights) != os.fspath(model):
        raise ConfigError(
            f'{path} is an exported graph, which needs no config; leave {os.fspath(model)} out'
        )
    if options:
        raise ConfigError(
            f'--cfg-options has {options}, which change nothing of the exported graph {path}; '
            'export it again with them'
        )
    tasks = metadata['tasks']
    meta = {
        task: dict(classes=about['classes'], palette=about['palette'])
        for task, about in tasks.items()
    }
    names = {task: dict(kind=about['kind']) for task, about in tasks.items()}
    cfg = Config(dict(model=dict(tasks=names)))
    return ModelSource(cfg, path, dict(meta=dict(dataset_meta=meta)), False, exported=True)


def training_data(source: ModelSource) -> dict[str, dict]:
    """``{source: dict(dataset, tasks)}`` of a model's training data, without their pipelines.

    Args:
        source: The model. Of a config in its checkpoint the types are checked, as in
            :func:`find_model`.

    Returns:
        As ``train_dataloader`` of the config; empty if it has none.

    Raises:
        CheckpointError: If a type in the checkpoint's config is not registered.
    """
    if source.trusted:
        loaders = source.cfg.get('train_dataloader')
    else:
        loaders = literal_config(source.checkpoint['meta']['cfg']).get('train_dataloader')
    found = {
        name: {key: loader[key] for key in ('dataset', TASKS) if loader.get(key) is not None}
        for name, loader in (loaders or {}).items()
        if isinstance(loader, Mapping)
    }
    for loader in found.values():
        if isinstance(loader.get('dataset'), Mapping):
            loader['dataset'] = _without_pipelines(loader['dataset'])
    if not source.trusted:
        check_types(found, source.path, 'train_dataloader')
    return found


def _without_pipelines(dataset: Mapping) -> dict:
    inner = map_inner(dataset, _without_pipelines)
    return {key: value for key, value in inner.items() if key not in ('pipeline', 'pipelines')}


def checkpoint_path(weights: str | os.PathLike) -> str:
    """A checkpoint's path, which of a work dir is that of its best one, else of its newest.

    Raises:
        CheckpointError: If a work dir has no complete checkpoint.
    """
    weights = osp.expanduser(os.fspath(weights))
    return _best_of(weights)[0] if _is_work_dir(weights) else weights


def _read(weights: str | os.PathLike) -> tuple[str, dict]:
    weights = osp.expanduser(os.fspath(weights))
    if _is_work_dir(weights):
        return _best_of(weights)
    return weights, read_checkpoint(weights)


def _is_work_dir(path: str) -> bool:
    return osp.isdir(path) and not is_folder(path)


def _best_of(work_dir: str) -> tuple[str, dict]:
    """Path and content of a work dir's best checkpoint, else of its newest complete one."""
    best = [
        path for suffix in SUFFIXES for path in glob(osp.join(escape(work_dir), f'best_*{suffix}'))
    ]
    paths = [*sorted(best, key=osp.getmtime, reverse=True), *step_checkpoints(work_dir)]
    found, reasons = first_readable(paths, read_checkpoint)
    if found:
        return found
    why = f'none that is whole: {"; ".join(reasons)}' if reasons else 'none'
    raise CheckpointError(
        f'{work_dir} is a folder in which a checkpoint ({", ".join(SUFFIXES)}) is looked for, and '
        f'has {why}; name a checkpoint'
    )


def _config_of(checkpoint: dict, path: str) -> Config:
    """The keys that inference needs of a checkpoint's embedded config.

    Raises:
        CheckpointError: If there is none, or it contains more than literals.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    if not isinstance(text, str):
        raise CheckpointError(f'{path} has no config in it; give its config before it')
    try:
        values = literal_config(text)
        needed = {key: values[key] for key in NEEDED if key in values}
        for stage in ('val', 'test'):
            references = (values.get(f'{stage}_cfg') or {}).get('references')
            if references:
                data = {task: dict(dataset=of['dataset']) for task, of in references.items()}
                needed[f'{stage}_cfg'] = dict(references=data)
            loaders = values.get(f'{stage}_dataloader') or {}
            needed[f'{stage}_dataloader'] = {
                source: {key: loader.get(key) for key in ('dataset', TASKS) if key in loader}
                for source, loader in loaders.items()
            }
        return Config(needed)
    except (SyntaxError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'the config in {path} is no plain data ({" ".join(str(error).split())}); give its '
            'config file before it'
        ) from error


def literal_config(text: str) -> dict:
    """Parse a config as mmengine writes it: ``key = literal`` or ``dict(...)``, to a dictionary.

    Raises:
        SyntaxError: If it is not Python.
        ValueError: If it holds anything else.
    """
    found = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            raise ValueError(f'line {node.lineno} is no assignment')
        found[node.targets[0].id] = literal(node.value)
    return found


def check_types(cfg, path: str, key: str = '') -> None:
    """Reject types that no library has registered.

    Registries import unknown types by their dotted name, even ``os.system``.

    Raises:
        CheckpointError: If there is such a type.
    """
    if isinstance(cfg, Mapping):
        # mmcv's RandomResize and RandomChoiceResize build the ``resize_type``.
        for name in ('type', '_scope_', 'resize_type'):
            kind = cfg.get(name)
            if kind is None or (name == '_scope_' and kind in SCOPES):
                continue
            if name == '_scope_' or not isinstance(kind, str) or not _is_registered(kind, key):
                raise CheckpointError(
                    f'the config in {path} is refused: {key}.{name} is {kind!r}, which the '
                    'libraries have not registered; if you trust it, give its config file before it'
                )
    members = cfg.items() if isinstance(cfg, Mapping) else enumerate(cfg)
    for place, part in members:
        if isinstance(part, (Mapping, list, tuple)):
            check_types(part, path, f'{key}.{place}' if key else str(place))


def _is_registered(kind: str, key: str) -> bool:
    found = TYPE.fullmatch(kind)
    if found is None:
        return False
    scope, name = found.groups()
    last = key.rpartition('.')[2]
    if last in UNREGISTERED:
        # mmcv evaluates the name of a non-maximum suppression as code.
        return kind in UNREGISTERED[last]
    # Imported types first, because importing takes seconds
    return any(
        name in registry.module_dict
        for load in (False, True)
        for registry in _registries(scope, load)
    )


def _registries(scope: str | None, load: bool) -> Iterator[Registry]:
    """Registries in which a library finds its types, or all; with ``load`` they import them."""
    for library in SCOPES if scope is None else (scope, 'mmengine'):
        # mmengine's registries contain mmcv's types.
        module = import_module('mmengine.registry' if library == 'mmcv' else f'{library}.registry')
        for registry in vars(module).values():
            if isinstance(registry, Registry):
                if load:
                    registry.import_from_location()
                yield registry
