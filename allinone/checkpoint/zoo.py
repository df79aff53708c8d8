"""Checkpoints by path, URL, or the name of a model in the libraries' zoos."""

import difflib
import fcntl
import functools
import http.client
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import urlopen

import torch
import yaml
from mmengine.logging import print_log
from mmengine.runner import checkpoint as mmengine_checkpoint

from allinone.errors import CheckpointError
from allinone.registry import LIBRARIES

from .formats import FORMATS

URL = re.compile(r'https?://', re.IGNORECASE)
TABLES = {
    'torchvision://': 'get_torchvision_models',
    'modelzoo://': 'get_torchvision_models',
    'open-mmlab://': 'get_external_models',
    'openmmlab://': 'get_external_models',
}
SUFFIXES = (*(f'.{suffix}' for suffix in FORMATS), '.pt', '.bin', '.ckpt', '.tar')
BLOCK = 1 << 20  # bytes
TIMEOUT = 60  # seconds without any data


def local_checkpoint(source: str | os.PathLike, key: str) -> str:
    """Path of a checkpoint, which is downloaded into PyTorch's cache if it is not local.

    Args:
        source: A path; an ``http(s)`` URL; ``'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco'`` or
            ``'rtmdet_tiny_8xb32-300e_coco'``, a model in the metafiles of an installed library; or
            a name of MMEngine's tables, such as ``'torchvision://resnet50'``.
        key: The config key that names it, for messages.

    Returns:
        The path, which is not checked if ``source`` is one.

    Raises:
        CheckpointError: If no model has the name, or it is not cached and cannot be downloaded.
    """
    text = os.fspath(source)
    if os.path.exists(os.path.expanduser(text)):
        return text
    table = next((start for start in TABLES if text.startswith(start)), None)
    if URL.match(text):
        return download(text, key)
    if table is not None:
        return download(_listed(text, table, key), key)
    if '::' in text or not (os.sep in text or text.endswith(SUFFIXES)):
        return download(zoo_url(text, key), key)
    return text


def download(url: str, key: str = 'checkpoint', folder: str | os.PathLike | None = None) -> str:
    """Download a file, unless a file of this name is in the cache.

    The processes of a machine wait for the first of them. A download that is cut off leaves
    nothing.

    Args:
        url: What to read.
        key: The config key that names it, for messages.
        folder: Default: PyTorch's cache, ``$TORCH_HOME/hub/checkpoints``.

    Returns:
        The path of the file.

    Raises:
        CheckpointError: If it cannot be downloaded.
    """
    folder = os.fspath(folder or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    path = os.path.join(folder, os.path.basename(unquote(urlparse(url).path)))
    if not os.path.exists(path):
        try:
            os.makedirs(folder, exist_ok=True)
            with _alone(f'{path}.lock'):
                if not os.path.exists(path):
                    print_log(f'{key}: downloading {url} to {path}', 'current')
                    _fetch(url, path)
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = ' '.join(str(getattr(error, 'reason', None) or error).split())
            raise CheckpointError(
                f'{key}: {url} cannot be downloaded ({words or type(error).__name__}); download it '
                f'where there is a network, and put it at {path}'
            ) from error
    return path


@contextmanager
def _alone(lock: str) -> Iterator[None]:
    """Context of one process of the machine at a time."""
    with open(lock, 'w') as file:
        # Some file systems have no locks; a file is renamed into place whole all the same.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(lock)


def _fetch(url: str, path: str) -> None:
    partial = tempfile.NamedTemporaryFile(
        dir=os.path.dirname(path), prefix=os.path.basename(path), suffix='.part', delete=False
    )
    try:
        with partial as file, urlopen(url, timeout=TIMEOUT) as answer:
            shutil.copyfileobj(answer, file, BLOCK)
            size, expected = file.tell(), answer.headers.get('Content-Length')
        if expected is not None and size != int(expected):
            raise OSError(f'the connection ended after {size} of {expected} bytes')
        os.replace(partial.name, path)
    except BaseException:
        os.unlink(partial.name)
        raise


def zoo_url(name: str, key: str) -> str:
    """URL of the weights of a model, as the metafiles of the installed libraries list it.

    Args:
        name: ``'LIBRARY::FOLDER/CONFIG'`` with or without ``.py``, or a model's name alone.
        key: The config key that names it, for messages.

    Raises:
        CheckpointError: If no model or several have the name, or it has no one file of weights.
    """
    library, colons, model = name.rpartition('::')
    if colons and library not in LIBRARIES:
        raise CheckpointError(
            f'{key} is {name!r}, and {library!r} is no library of models; the libraries are '
            f'{", ".join(LIBRARIES)}'
        )
    known = {lib: _models(lib) for lib in ([library] if colons else LIBRARIES)}
    model = model.removesuffix('.py')
    found = {lib: models[model] for lib, models in known.items() if model in models}
    if not found:
        names = [other for models in known.values() for other in models]
        near = difflib.get_close_matches(model, names, 1)
        where = library or ', '.join(LIBRARIES[:-1]) + f' or {LIBRARIES[-1]}'
        raise CheckpointError(
            f'{key} is {name!r}: there is no such file, and {where} lists no model of this name; '
            + (f'do you mean {near[0]!r}?' if near else 'give a path, a URL or a name of the zoo')
        )
    urls = sorted({url for urls in found.values() for url in urls})
    if len(urls) != 1:
        raise CheckpointError(
            f'{key} is {name!r}, for which {" and ".join(found)} list {len(urls)} files of '
            f'weights; give {"one of " + ", ".join(urls) if urls else "a path or a URL"}'
        )
    return urls[0]


@functools.cache
def _models(library: str) -> dict[str, list[str]]:
    """``{name, alias or config: URLs of weights}`` of the models of an installed library."""
    spec = find_spec(library)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    named: dict[str, set[str]] = {}
    by_config: dict[str, set[str]] = {}
    for file in (f for folder in folders for f in Path(folder).glob('.mim/configs/*/metafile.y*')):
        content = yaml.load(file.read_text(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
        models = content.get('Models') if isinstance(content, dict) else content
        for model in models or ():
            alias, weights = model.get('Alias') or (), model.get('Weights') or ()
            urls = [weights] if isinstance(weights, str) else weights
            for name in [model.get('Name'), *([alias] if isinstance(alias, str) else alias)]:
                named.setdefault(str(name).removesuffix('.py'), set()).update(urls)
            config = unquote(model.get('Config') or '').removesuffix('.py').split('/')
            for name in (config[-1], '/'.join(config[-2:])):
                by_config.setdefault(name, set()).update(urls)
    # Several models may share a config.
    return {name: sorted(urls) for name, urls in (by_config | named).items() if name}


def _listed(name: str, start: str, key: str) -> str:
    """URL of a name in MMEngine's own tables."""
    models = getattr(mmengine_checkpoint, TABLES[start])()
    model = name.removeprefix(start)
    url = models.get(mmengine_checkpoint.get_deprecated_model_names().get(model, model))
    if not isinstance(url, str) or not URL.match(url):
        near = difflib.get_close_matches(model, models, 1)
        raise CheckpointError(
            f'{key} is {name!r}, and MMEngine lists no such model; '
            + (f'do you mean {start + near[0]!r}?' if near else 'give a path or a URL')
        )
    return url
