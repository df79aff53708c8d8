"""What exported graphs say about themselves, read without the package that runs them."""

import json
import os
import os.path as osp
import zipfile
from xml.etree import ElementTree

from allinone.errors import CheckpointError

KEY = 'allinone'  # Of the metadata in each format
VERSION = 1  # Of the metadata; a newer one is refused
SUFFIXES = {'.onnx': 'onnx', '.pt2': 'pt2', '.xml': 'openvino'}


def is_exported(path: str | os.PathLike) -> bool:
    """Whether a path has the suffix of an exported graph."""
    return osp.splitext(os.fspath(path))[1].lower() in SUFFIXES


def read_metadata(path: str | os.PathLike) -> dict:
    """The metadata that ``tools/export.py`` wrote into a graph, and ``format``.

    Args:
        path: A file ``.onnx``, ``.pt2`` or ``.xml``.

    Raises:
        CheckpointError: If the file is missing, damaged, of another program or of a newer version.
    """
    path = os.fspath(path)
    form = SUFFIXES.get(osp.splitext(path)[1].lower())
    if form is None:
        raise CheckpointError(
            f'{path} is no exported graph; those end in {", ".join(SUFFIXES)}, as tools/export.py '
            'writes them'
        )
    if not osp.isfile(path):
        raise CheckpointError(f'{path} is not there; give the path of an exported graph')
    try:
        text = dict(onnx=_of_onnx, pt2=_of_pt2, openvino=_of_openvino)[form](path)
    except (OSError, ValueError, zipfile.BadZipFile, ElementTree.ParseError, IndexError) as error:
        raise CheckpointError(
            f'{path} is no whole {form} file ({" ".join(str(error).split())}); export it again'
        ) from error
    if text is None:
        raise CheckpointError(
            f'{path} has no metadata {KEY!r}, so another program wrote it; give a graph that '
            'tools/export.py wrote'
        )
    try:
        found = json.loads(text)
        version = found['version']
        tasks = found['tasks'].keys()
        if version == VERSION:
            found['input']['resize'], found['raw'], found['checkpoint']['name']
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'the metadata {KEY!r} of {path} is damaged ({error}); export the graph again'
        ) from error
    if type(version) is not int or version > VERSION or not tasks:
        raise CheckpointError(
            f'{path} has metadata of version {version}, written by allinone '
            f'{found.get("allinone")}, and this one reads up to {VERSION}; update allinone, or '
            'export the graph again'
        )
    return dict(found, format=form)


def _of_pt2(path: str) -> str | None:
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            if name.endswith((f'/extra/{KEY}', f'extra_files/{KEY}')):
                return file.read(name).decode()
    return None


def _of_openvino(path: str) -> str | None:
    root = ElementTree.parse(path).getroot()
    if root.tag != 'net':
        raise ValueError(f'its root is {root.tag!r}')
    found = root.find(f'rt_info/{KEY}')
    return None if found is None else found.get('value')


def _of_onnx(path: str) -> str | None:
    """The value of ``metadata_props`` (field 14 of ONNX's ModelProto), without the graph."""
    found, size = None, osp.getsize(path)
    known = False
    with open(path, 'rb') as file:
        while file.tell() < size:
            tag = _varint(file)
            field, kind = tag >> 3, tag & 7
            if kind == 0:
                _varint(file)
            elif kind == 2:
                length = _varint(file)
                if file.tell() + length > size:
                    raise ValueError('it is cut off')
                if field == 14:
                    entry = _strings(file.read(length))
                    if entry.get(1) == KEY.encode():
                        found = entry.get(2, b'').decode()
                else:
                    known = known or field == 7  # The graph
                    file.seek(length, os.SEEK_CUR)
            else:
                raise ValueError('it is not of this format')
    if not known:
        raise ValueError('it has no graph')
    return found


def _strings(data: bytes) -> dict[int, bytes]:
    """Fields of a message that has byte strings alone."""
    found, place = {}, 0
    while place < len(data):
        tag, place = _varint_at(data, place)
        length, place = _varint_at(data, place)
        found[tag >> 3] = data[place : place + length]
        place += length
    return found


def _varint(file) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError('it is cut off')
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value


def _varint_at(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[place] & 127) << shift
        place, shift = place + 1, shift + 7
        if data[place - 1] < 128:
            return value, place
