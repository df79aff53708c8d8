"""Names for the classes of pure Python configs, so that all that follows reads text.

mmengine's pure Python configs have classes and functions as types. Text is what a checkpoint keeps
of its config, and what the libraries compare (``norm_cfg['type'] == 'BN'``).
"""

import inspect
from contextlib import suppress
from importlib import import_module

from mmengine.config import Config
from mmengine.config.lazy import LazyAttr, LazyObject
from mmengine.model import PretrainedInit
from mmengine.registry import Registry
from mmengine.utils import get_object_from_string

from allinone.errors import ConfigError
from allinone.registry import LIBRARIES
from allinone.registry.scopes import ROOTS, scope_of_type

from .build_errors import REGISTRIES
from .parts import BACKBONE, SHARED_NECK
from .sources import labels_of

LAZY = (LazyObject, LazyAttr)
TYPE_KEYS = ('type', 'kind', 'constructor', 'runner_type', 'resize_type')
# Parts whose names mmcv and mmdet look up in mmcv.ops, not in a registry
OPS_KEYS = ('nms', 'roi_layer')
OUTER_LENGTH = 3  # of the path of a task, or of a data set that is in no wrapper
# Of a shared pipeline: its labels choose the library, so a name is to mean the same in all.
ANY = 'any library'
INNER = (('datasets',), ('labels',))  # of the data sets inside another one
# All places that load weights compare this name; ours reads them without executing code.
PRETRAINED = 'Pretrained'
# Parts of a task that are built in the scope of the joint model
JOINT_KEYS = ('adapter', 'tta', 'kind')


def name_types(cfg: Config, strict: bool = True) -> None:
    """Replace classes and functions as types by their names, in place.

    The name is the one by which the registry of the scope around finds the class: ``'FCOSHead'``
    in a detector of mmdet, ``'mmdet.FCOSHead'`` elsewhere, and the import path of a class without
    a registry. Import paths of registered classes (``'mmdet.models.FCOS'``, which mmengine writes
    into dumped configs) become names, too.

    Args:
        cfg: A config of any style.
        strict: Refuse types without a name; else they stay as they are.

    Raises:
        ConfigError: If a type cannot be imported, or has no name.
    """
    content = cfg._cfg_dict
    imported = cfg.__dict__.get('_imported_names') or ()
    for name, value in list(dict.items(content)):
        # What a file imports, and no key of the config; mmengine does not list `import math`.
        imports = name in imported and (
            isinstance(value, LAZY) or inspect.isroutine(value) or inspect.isclass(value)
        )
        if imports or inspect.ismodule(value):
            dict.pop(content, name)
    scope = dict.get(content, 'default_scope')
    _Namer(strict).visit((), content, scope if isinstance(scope, str) else 'allinone')


class _Namer:
    def __init__(self, strict: bool):
        self.strict = strict

    def visit(self, path: tuple, part, scope: str) -> None:
        """Name the types in a part of a config.

        Args:
            path: Keys that lead to the part.
            part: The part.
            scope: The scope in which it is built.
        """
        if isinstance(part, (list, tuple)):
            for number, member in enumerate(part):
                self.visit((*path, number), member, scope)
            return
        if not isinstance(part, dict):
            return
        # Without ConfigDict's methods, which import what is lazy
        given = dict.get(part, '_scope_')
        scope = given if isinstance(given, str) else scope
        is_root = _is_model(path) or _is_data_set(path)
        for key, value in list(dict.items(part)):
            if key in TYPE_KEYS:
                # The type of a root sets the scope, so it has its library's prefix.
                around = 'allinone' if is_root else scope
                dict.__setitem__(part, key, self.name((*path, key), value, around))
        inner = _inner_scope(path, part) or scope
        for key, value in dict.items(part):
            joint = _is_task(path) and key in JOINT_KEYS
            self.visit((*path, key), value, scope if joint else inner)

    def name(self, path: tuple, value, scope: str):
        """The name of a type, or the value itself if it needs none or is none."""
        key = '.'.join(map(str, path))
        obj = value
        if isinstance(value, str):
            obj = _imported(value)
        elif isinstance(value, LAZY):
            try:
                obj = value.build()
            except Exception as error:
                raise ConfigError(
                    f'{key} is {value.module}.{value}, which cannot be imported: {error}; check '
                    'its spelling'
                ) from error
        if not callable(obj):
            return value
        name = _registered_name(obj, scope, path) or _plain_name(obj, path)
        if name is None and not isinstance(value, str):
            name = _import_path(obj, value)
            if name is None and self.strict:
                raise ConfigError(
                    f'{key} is {getattr(obj, "__name__", obj)!r}, which has no name to import it '
                    'by, and a checkpoint keeps its config as text; define it in a module, and '
                    'import it'
                )
        return value if name is None else name


def _inner_scope(path: tuple, part: dict) -> str | None:
    """The scope that a model or a data set sets for its parts; None if it sets none."""
    found = scope_of_type(dict.get(part, 'type'))
    if _is_data_set(path) and labels_of(part) is not None:
        return ANY
    if _is_data_set(path):
        # As in scoped_dataset
        keeps = '_scope_' in part or (found == 'allinone' and len(path) > OUTER_LENGTH)
        return None if keeps else found
    return found if _is_model(path) else None


def _is_task(path: tuple) -> bool:
    return len(path) == OUTER_LENGTH and path[:2] == ('model', 'tasks')


def _is_model(path: tuple) -> bool:
    return _is_task(path) or path in (('model', BACKBONE), ('model', SHARED_NECK))


def _is_data_set(path: tuple) -> bool:
    of_data = bool(path) and str(path[0]).endswith('_dataloader')
    return of_data and (path[-1] == 'dataset' or path[-2:-1] in INNER)


def _imported(text: str):
    """The class or function of an import path in the libraries; None if the text is none."""
    if text.count('.') < 2 or text.split('.')[0] not in (*ROOTS, *LIBRARIES, 'allinone'):
        return None
    found = None
    with suppress(Exception):
        found = get_object_from_string(text)
    return found if inspect.isclass(found) or inspect.isroutine(found) else None


def _registered_name(obj, scope: str, path: tuple) -> str | None:
    """The shortest name by which the registry of a scope finds a class or function."""
    if obj is PretrainedInit:
        return PRETRAINED
    # There ``extract`` replaces classes of this suite, by their full names.
    of_data = 'dataset' in path or str(path[0]).endswith('_evaluator')
    for root in REGISTRIES:
        for registry in (root, *root.children.values()):
            names = [name for name, found in registry.module_dict.items() if found is obj]
            if names:
                usual = getattr(obj, '__name__', None)
                name = usual if usual in names else names[0]
                full = f'{registry.scope}.{name}'
                if of_data and registry.scope == 'allinone':
                    return full
                scopes = ('allinone', *LIBRARIES) if scope == ANY else (scope,)
                found = all(_in_scope(root, scope).get(name) is obj for scope in scopes)
                return name if found else full
    return None


def _in_scope(root: Registry, scope: str) -> Registry:
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    return root.children.get(scope, root)


def _plain_name(obj, path: tuple) -> str | None:
    name, package = getattr(obj, '__name__', ''), getattr(obj, '__module__', None) or ''
    of_ops = path[-2:-1] and path[-2] in OPS_KEYS and package.startswith('mmcv.ops.')
    return name if of_ops or package.split('.')[0] == 'albumentations' else None


def _import_path(obj, value) -> str | None:
    written = f'{value.module}.{value}' if isinstance(value, LAZY) else ''
    defined = f'{getattr(obj, "__module__", None)}.{getattr(obj, "__qualname__", None)}'
    for path in (written, defined):
        with suppress(Exception):
            if not path.startswith('__main__.') and get_object_from_string(path) is obj:
                return path
    return None
