"""Errors of reading the annotations of a data set, with the config keys that name its files."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError

from allinone.config.sources import LABELS, labels_of
from allinone.errors import AllInOneError, DataError

PATH_KEYS = ('data_root', 'ann_file', 'data_prefix', 'img_suffix')


@contextmanager
def explained(cfg: Mapping) -> Iterator[None]:
    """Explain what annotations cannot be read.

    Args:
        cfg: Config of the data set that is read.

    Raises:
        DataError: Naming its files.
    """
    try:
        yield
    except (UnicodeDecodeError, JSONDecodeError) as error:
        remedy = 'save it as UTF-8' if isinstance(error, UnicodeDecodeError) else 'make it again'
        raise DataError(
            f'the annotation file is damaged ({_paths(cfg)}): {error}; {remedy}'
        ) from error
    except (AllInOneError, OSError):
        raise
    except Exception as error:
        # So mmengine fails on packing a list of no samples.
        if 'need at least one array' in str(error):
            raise empty(cfg) from error
        if not _while_reading(error):
            raise
        words = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise DataError(
            f'the data set cannot be read with {_paths(cfg)}: {words}; fix the annotations, or '
            'these keys'
        ) from error


def empty(cfg: Mapping) -> DataError:
    """The error for a data set without images."""
    return DataError(f'the data set is empty; check its files and filter_cfg ({_paths(cfg)})')


def _paths(cfg: Mapping) -> str:
    return ', '.join(_path_keys(cfg))


def _path_keys(cfg: Mapping, place: str = '') -> Iterator[str]:
    """What says where the files of a data set are, also of the labels of a shared source."""
    for name in PATH_KEYS:
        if cfg.get(name):
            yield f'{place}{name}={cfg[name]!r}'
    for task, part in (labels_of(cfg) or {}).items():
        yield from _path_keys(part, f'{LABELS}.{task}.')


def _while_reading(error: Exception) -> bool:
    """Whether the annotations are at fault, and not what the config says of the data set."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == 'load_data_list' for frame, _ in frames)
