"""Check the files of samples and place them in the converted set, in several threads."""

import io
import os
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from allinone.errors import DataError
from allinone.io.image_files import check_complete, check_decodes, check_end, shown_size

from .data_set import Sample
from .files import place, replacing
from .label_maps import Colours, Values

__all__ = ['Examined', 'Examiner']

MARKED = ('.jpg', '.jpeg', '.png')  # Formats with an end marker; other images are decoded.
QUALITY = 90  # of images converted to JPEG


class Examined(NamedTuple):
    """Result of a check: size ``(width, height)``, pixels by class, or fault ``(kind, file, why)``.

    ``stamp`` has size and modification time of the files, for a later conversion to compare.
    """

    stamp: list[int]
    size: Sequence[int] = ()
    pixels: dict[int, int] | None = None
    fault: tuple[str, str, str] | None = None


class Examiner:
    """Checks samples and places their files.

    Args:
        source: Folder that the samples' paths are relative to.
        folders: Targets of images and label files; without a second folder, label files only have
            to exist.
        coding: How to read label maps. None: label files have another format, or there are none.
        link: As for ``files.place``.
        known: ``Journal.known``; unchanged files are not read again.
    """

    def __init__(
        self,
        source: str,
        folders: tuple[str, ...],
        coding: Values | Colours | None,
        link: str,
        known: dict[str, list],
    ):
        self.source = source
        self.folders = folders
        self.coding = coding
        self.link = link
        self.known = known

    def __call__(self, sample: Sample) -> Examined:
        names = [sample.name] + ([sample.label_name] if sample.label_map else [])
        if any(os.path.isabs(name) or '..' in name.split('/') for name in names):
            # It would be written elsewhere, maybe over what is no part of the converted set.
            return Examined([], fault=('outside of the source', sample.image, ''))
        paths = [sample.image] + ([sample.label_map] if sample.label_map else [])
        stamp = []
        for path in paths:
            try:
                status = os.stat(os.path.join(self.source, path))
            except FileNotFoundError:
                return Examined([], fault=('missing', path, sample.listed))
            stamp += [status.st_size, status.st_mtime_ns]
        size, pixels = None, None
        known = self.known.get(sample.image)
        if known and known[0] == stamp:
            size = known[1]
            pixels = known[2] and {int(label): count for label, count in known[2].items()}
        labels = None
        try:
            if size is None:
                size = self._size(sample)
            if sample.size and list(size) != list(sample.size):
                why = f'{list(sample.size)} in its annotations, {list(size)} as it is shown'
                raise _Fault('annotated at another size', sample.image, why)
            read = self.coding and sample.label_map
            if read and (pixels is None or not self._has_label_map(sample)):
                labels, pixels = self._read_label_map(sample, size)
            self._place_image(sample, bool(known and known[0] == stamp))
        except _Fault as fault:
            return Examined(stamp, fault=fault.args)
        self._place_labels(sample, labels)
        return Examined(stamp, size, pixels)

    def _size(self, sample: Sample) -> list[int]:
        image = sample.image
        path = os.path.join(self.source, image)
        try:
            if sample.embedded:
                content = sample.embedded(path)
                check_end(path, content)
                with Image.open(io.BytesIO(content)) as file:
                    file.load()
                return list(shown_size(io.BytesIO(content)))
            check_complete(path)
            if not path.lower().endswith(MARKED):
                check_decodes(path)
            return list(shown_size(path))
        except Exception as error:
            raise _Fault('unreadable', image, _why(error, path)) from error

    def _label_target(self, sample: Sample) -> str:
        return os.path.join(self.folders[1], sample.label_name)

    def _has_label_map(self, sample: Sample) -> bool:
        assert self.coding is not None
        return self.coding.as_is or _is_written(self._label_target(sample))

    def _read_label_map(self, sample: Sample, size: list[int]):
        assert self.coding is not None and sample.label_map is not None
        path = os.path.join(self.source, sample.label_map)
        try:
            image = self.coding.open(path)
        except Exception as error:
            raise _Fault('unreadable', sample.label_map, _why(error, path)) from error
        if list(image.size) != list(size):
            raise _Fault('size differs', sample.image, f'{size} and {list(image.size)}')
        try:
            return self.coding.read(image)
        except DataError as error:
            raise _Fault('unknown label', sample.label_map, str(error)) from error

    def _place_image(self, sample: Sample, known: bool) -> None:
        source = os.path.join(self.source, sample.image)
        target = os.path.join(self.folders[0], sample.name)
        suffix = os.path.splitext(target)[1].lower()
        if sample.embedded:
            if not (known and _is_written(target)):
                with replacing(target, 'wb', flush=False) as file:
                    file.write(sample.embedded(source))
        elif sample.image.lower().endswith(suffix):
            place(source, target, self.link)
        elif not (known and _is_written(target)):
            try:
                with Image.open(source) as file:
                    image = file.convert('RGB')
            except Exception as error:
                raise _Fault('unreadable', sample.image, _why(error, source)) from error
            with replacing(target, 'wb', flush=False) as file:
                image.save(file, Image.registered_extensions()[suffix], quality=QUALITY)

    def _place_labels(self, sample: Sample, labels) -> None:
        if not sample.label_map or len(self.folders) == 1:
            return
        target = self._label_target(sample)
        if self.coding is None or self.coding.as_is:
            place(os.path.join(self.source, sample.label_map), target, self.link)
        elif labels is not None:
            with replacing(target, 'wb', flush=False) as file:
                Image.fromarray(labels).save(file, 'PNG')


def _is_written(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except FileNotFoundError:
        return False


class _Fault(Exception):
    """Kind, file and reason."""


def _why(error: Exception, path: str) -> str:
    return str(error).replace(f'{path} ', '').replace(repr(path), 'it')
