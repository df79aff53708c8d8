"""Files of a gallery: ``index.json`` names those that hold its embeddings and rows."""

import json
import os
import os.path as osp
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from glob import escape, glob
from typing import Any, BinaryIO

import numpy as np

from allinone.errors import DataError
from allinone.io.atomic import write_durably

INDEX, FORMAT = 'index.json', 1
OWN = re.compile(r'(embeddings|rows)\.\d{6}\.(npy|jsonl)(\.tmp)?')
BLOCK = 1 << 14  # rows that are copied at once
TRIES = 5  # to read what another process replaces meanwhile


def read(path: str) -> tuple[dict, np.ndarray, list[dict]]:
    """Content of ``index.json``, embeddings ``(N, D)`` mapped into memory, and rows.

    Raises:
        DataError: If the folder has no gallery, or files of it are missing or damaged.
    """
    for left in reversed(range(TRIES)):
        head = _head(path)
        try:
            return head, *_parts(path, head)
        except FileNotFoundError as error:
            # Another process has replaced them since the index was read.
            if not left:
                raise DataError(
                    f'{error.filename} is missing, which {osp.join(path, INDEX)} names; build the '
                    'gallery anew'
                ) from error
    raise AssertionError


def _head(path: str) -> dict:
    name = osp.join(path, INDEX)
    try:
        with open(name, encoding='utf-8') as file:
            head = json.load(file)
    except FileNotFoundError as error:
        raise DataError(
            f'{path} has no gallery ({INDEX} is missing); build one with tools/gallery.py build'
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f'{name} cannot be read: {error}; build the gallery anew') from error
    if not isinstance(head, dict) or 'embeddings' not in head or 'maker' not in head:
        raise DataError(f'{name} is not that of a gallery; give the folder of one')
    if head.get('format') != FORMAT:
        raise DataError(
            f'{name} has the format {head.get("format")!r}, and this version reads {FORMAT}; build '
            'the gallery anew, or update allinone'
        )
    return head


def _parts(path: str, head: Mapping) -> tuple[np.ndarray, list[dict]]:
    name = osp.join(path, head['embeddings'])
    try:
        # An empty file cannot be mapped.
        embeddings = np.load(name, mmap_mode='r' if head['rows_number'] else None)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f'{name} cannot be read: {error}; build the gallery anew') from error
    lines = osp.join(path, head['rows'])
    with open(lines, encoding='utf-8') as file:
        try:
            rows = [json.loads(line) for line in file]
        except ValueError as error:
            raise DataError(f'{lines} cannot be read: {error}; build the gallery anew') from error
    expected = (head['rows_number'], head['dimension'])
    if embeddings.shape != expected or len(rows) != expected[0]:
        raise DataError(
            f'{path} is damaged: {INDEX} tells {expected[0]} rows of {expected[1]} numbers, but '
            f'there are {len(rows)} rows and embeddings of shape {embeddings.shape}; build the '
            'gallery anew'
        )
    return embeddings, rows


def write(
    path: str, head: Mapping[str, Any], parts: Iterable[np.ndarray], rows: Sequence[Mapping]
) -> None:
    """Replace a gallery, or make one.

    The files of the new state are written beside the old ones, then ``index.json`` is replaced,
    which names them, and the old ones are removed: who is interrupted leaves the old gallery.

    Args:
        path: The folder; created if it does not exist.
        head: Further content of ``index.json``, with ``dimension``.
        parts: Embeddings ``(n, D)``, one after the other.
        rows: Metadata of each.
    """
    os.makedirs(path, exist_ok=True)
    shape = (len(rows), head['dimension'])
    number = _generation(path) + 1
    names = dict(embeddings=f'embeddings.{number:06d}.npy', rows=f'rows.{number:06d}.jsonl')

    def write_embeddings(file: BinaryIO) -> None:
        form = dict(descr='<f4', fortran_order=False, shape=shape)
        np.lib.format.write_array_header_1_0(file, form)
        for part in parts:
            for start in range(0, len(part), BLOCK):
                file.write(np.ascontiguousarray(part[start : start + BLOCK], '<f4').tobytes())

    def write_rows(file: BinaryIO) -> None:
        for row in rows:
            file.write(f'{json.dumps(row)}\n'.encode())

    write_durably(osp.join(path, names['embeddings']), write_embeddings)
    write_durably(osp.join(path, names['rows']), write_rows)
    index = dict(head, format=FORMAT, **names, rows_number=shape[0])
    write_durably(osp.join(path, INDEX), f'{json.dumps(index, indent=2)}\n'.encode())
    _clean(path, names.values())


def replace_head(path: str, head: Mapping[str, Any]) -> None:
    """Replace ``index.json`` alone, as :func:`read` gave it but for changes."""
    write_durably(osp.join(path, INDEX), f'{json.dumps(head, indent=2)}\n'.encode())


def _generation(path: str) -> int:
    names = glob('*.*.*', root_dir=path)
    return max((int(name.split('.')[1]) for name in names if OWN.fullmatch(name)), default=0)


def _clean(path: str, kept: Iterable[str]) -> None:
    kept = set(kept)
    for name in map(osp.basename, glob(osp.join(escape(path), '*.*.*'))):
        if OWN.fullmatch(name) and name not in kept:
            with suppress(OSError):
                os.remove(osp.join(path, name))
