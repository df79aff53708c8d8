"""Check of a downloaded folder for missing parts, with the archives that contain them."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from allinone.errors import DataError

from .data_set import DataSet, Part, Split

__all__ = ['REPORT', 'check_source', 'fingerprint', 'read_classes', 'read_samples']

REPORT = 'conversion.json'


def check_source(
    source: Path, data_set: DataSet, partial: bool = False, folders: tuple[str, ...] = ('',)
) -> None:
    """Reject a folder that lacks a part of the download, or is a converted set.

    ``folders`` are the folders in which a converted set has its reports.

    Raises:
        DataError: Naming the parts that are missing or have fewer files than published (unless
            ``partial``), and their archives.
    """
    title = data_set.title
    if not source.is_dir():
        raise DataError(
            f'{source} is not a folder; give the one that {title} ({data_set.home}) was unpacked in'
        )
    for folder in folders:
        report = os.path.join(folder, REPORT)
        if (source / report).is_file():
            raise DataError(
                f'{source} is converted already ({report} is in it); give the folder that the '
                f'archives of {title} were unpacked in'
            )
    missing = [part for part in data_set.parts if not (source / part.path).exists()]
    if len(missing) == len(data_set.parts):
        raise DataError(
            f'{source} is no folder of {title}: it has none of {_names(missing)}; '
            + (_elsewhere(source, data_set) or f'unpack {_archives(missing)} there')
        )
    if missing:
        raise DataError(
            f'{source} lacks {_names(missing)} of {title}; unpack {_archives(missing)} there'
        )
    short = []
    for part in data_set.parts:
        if part.files is not None and not partial:
            found = count_files(source / part.path, part.suffix)
            if found < part.files:
                short.append((part, f'{part.path} has {found:,} of its {part.files:,} files'))
    if short:
        raise DataError(
            f'{source}: {" and ".join(text for _, text in short)}; unpack '
            f'{_archives([part for part, _ in short])} again, or convert what is there with '
            '--partial'
        )


def fingerprint(source: Path, data_set: DataSet) -> dict[str, list[int | str]]:
    """Fingerprint of a download: size and time of each file, number of files of each folder."""
    marks: dict[str, list[int | str]] = {}
    for part in data_set.parts:
        path = source / part.path
        if part.watched:
            marks[part.path] = _content(path)
        elif path.is_dir():
            marks[part.path] = [count_files(path, part.suffix)]
        else:
            status = path.stat()
            marks[part.path] = [status.st_size, status.st_mtime_ns]
    return marks


def _content(folder: Path) -> list[int | str]:
    """Number of files in a folder, and digest of their names, sizes and times."""
    digest, count = hashlib.blake2b(digest_size=16), 0
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):  # a dangling link
                status = os.stat(path)
                mark = [os.path.relpath(path, folder), status.st_size, status.st_mtime_ns]
                digest.update(json.dumps(mark).encode())
                count += 1
    return [count, digest.hexdigest()]


def read_samples(source: Path, data_set: DataSet, split: Split) -> Iterator:
    """The samples of a split.

    Raises:
        DataError: Naming file and archive, if the annotations cannot be read.
    """
    with _reading(source, data_set, split.annotations):
        yield from split.samples(source)


def read_classes(source: Path, data_set: DataSet) -> tuple[str, ...]:
    """Names of the classes; raises as :func:`read_samples`."""
    if not callable(data_set.classes):
        return data_set.classes
    with _reading(source, data_set, data_set.names):
        return data_set.classes(source)


@contextmanager
def _reading(source: Path, data_set: DataSet, part: str):
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # Each format's library raises different types for a damaged file.
        raise DataError(
            f'{source / part} cannot be read, it is damaged or cut short ({type(error).__name__}: '
            f'{error}); unpack {data_set.archive_of(part)} again'
        ) from error


def count_files(folder: Path, suffix: str = '') -> int:
    """Number of files with a suffix in a folder and its subfolders."""
    return sum(
        name.endswith(suffix) for _, _, names in os.walk(folder, followlinks=True) for name in names
    )


def _elsewhere(source: Path, data_set: DataSet) -> str:
    """Hint where the parts are instead, as archives often have an enclosing folder."""
    near = [*sorted(source.glob('*/')), *sorted(source.glob('*/*/')), *source.resolve().parents[:2]]
    for folder in near:
        if (folder / REPORT).exists():
            continue
        found = [folder / part.path for part in data_set.parts if (folder / part.path).exists()]
        # A converted set may have the name of a part.
        if any(not (path / REPORT).exists() for path in found):
            return f'give {folder}, which has them'
    return ''


def _names(parts: list[Part]) -> str:
    return ', '.join(part.path for part in parts)


def _archives(parts: list[Part]) -> str:
    return ' and '.join(dict.fromkeys(part.archive for part in parts))
