"""The images to label, and their names."""

import hashlib
import os
import os.path as osp
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from allinone.config.sources import LABELS, labels_of
from allinone.data.image_paths import image_paths
from allinone.errors import ConfigError, DataError
from allinone.inference.input_errors import in_words
from allinone.io.file_identity import file_identity
from allinone.io.images import SUFFIXES
from allinone.io.text import shortened


@dataclass(frozen=True)
class Images:
    """Images in a stable order.

    Attributes:
        given: What the user named.
        root: A folder that has all of them.
        paths: Of the images.
        source: Name of the source that they are of, if any.
    """

    given: str
    root: str
    paths: tuple[str, ...]
    source: str | None = None

    @cached_property
    def names(self) -> dict[str, str]:
        """``{path: path below root}``, with ``/``."""
        return {path: osp.relpath(path, self.root).replace(os.sep, '/') for path in self.paths}

    @cached_property
    def suffix(self) -> str | None:
        """That of all images; None if they have different ones."""
        found = {osp.splitext(path)[1] for path in self.paths}
        return found.pop() if len(found) == 1 else None

    def stem(self, path: str) -> str:
        """Name of an image's label file without a suffix, different for each image.

        Where images have different suffixes the suffix of the image stays, for ``a.jpg`` may lie
        beside ``a.png``, and a data set of label maps has one suffix of images.
        """
        name = self.names[path]
        return name if self.suffix is None else name[: -len(self.suffix) or None]

    def digest(self) -> str:
        """SHA-256 of names and sizes of the files."""
        digest = hashlib.sha256()
        for path, name in self.names.items():
            size = osp.getsize(path) if osp.exists(path) else None
            digest.update(f'{name}\n{size}\n'.encode(errors='surrogateescape'))
        return digest.hexdigest()


def find_images(
    given: str, loaders: Sequence[Mapping[str, Mapping]], note: Callable[[str], None]
) -> Images:
    """Images of a folder and the folders in it, of a text file with a path a line, or of a source.

    Args:
        given: A folder, a text file, or the name of an entry of ``train_dataloader``.
        loaders: ``train_dataloader`` of each teacher's config.
        note: Called with a sentence about what is passed over.

    Raises:
        ConfigError: If there is nothing of this name.
        DataError: If it has no image, or an image of a list is missing.
    """
    named = None
    if osp.isdir(given):
        return Images(given, given, tuple(_below(given, note)))
    if osp.isfile(given):
        paths = _listed(given)
    else:
        source = next((found[given] for found in loaders if given in found), None)
        if source is None:
            known = sorted({name for found in loaders for name in found})
            raise ConfigError(
                f'--images is {given!r}, which is no folder, no text file of paths and no source '
                f'of train_dataloader; the sources are {known}'
            )
        paths, named = _of_source(given, source), given
    if not paths:
        raise DataError(f'--images {given} has no image; give another one')
    folders = {osp.dirname(osp.abspath(path)) for path in paths}
    return Images(given, osp.commonpath(folders), tuple(map(osp.abspath, paths)), named)


def _below(folder: str, note: Callable[[str], None]) -> Iterator[str]:
    found, links = 0, 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        links += sum(osp.islink(osp.join(place, name)) for name in folders)
        for name in sorted(files):
            if not name.startswith('.') and name.lower().endswith(SUFFIXES):
                found += 1
                yield osp.join(place, name)
    if links:
        note(f'{folder}: {links} links to folders are passed over; give a list of paths')
    if not found:
        raise DataError(
            f'--images {folder} has no image in it or in its folders; suffixes of images are '
            f'{", ".join(SUFFIXES)}'
        )


def _listed(path: str) -> list[str]:
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = [line.strip() for line in file.read().split('\n')]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f'--images {path} cannot be read as a text file of paths ({in_words(error)}); give a '
            'folder, a list, or the name of a source'
        ) from error
    paths = list(dict.fromkeys(filter(None, lines)))
    missing = [name for name in paths if not osp.isfile(name)]
    if missing:
        raise DataError(
            f'--images {path}: {len(missing)} of {len(paths)} paths are no files: '
            f'{shortened(missing)}; give paths from the current folder, or whole ones'
        )
    return paths


def _of_source(name: str, loader: Mapping) -> list[str]:
    dataset = loader.get('dataset')
    parts = [dataset] if labels_of(dataset) is None else list((labels_of(dataset) or {}).values())
    key = f'train_dataloader.{name}.dataset' + ('' if len(parts) == 1 else f'.{LABELS}')
    found: dict[Hashable, str] = {}
    for part in parts:
        try:
            paths = image_paths(part or {})
        except Exception as error:
            raise DataError(f'--images {name}: {key} cannot be read: {in_words(error)}') from error
        found |= {file_identity(path): path for path in reversed(paths)}
    return sorted(found.values())
