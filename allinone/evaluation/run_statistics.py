"""Per-image statistics of a tested model, and the file that holds them."""

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allinone.errors import DataError
from allinone.io.atomic import write_whole
from allinone.io.program import program
from allinone.registry.kinds import registered_kinds
from allinone.tasks.image_statistics import ImageStatistics

VERSION = 1
SUFFIX = '.statistics.npz'


@dataclass(frozen=True)
class MetricStatistics:
    """The statistics of one metric, and ``{its name of a value: name in the evaluation}``."""

    statistics: ImageStatistics
    names: Mapping[str, str]


@dataclass(frozen=True)
class RunStatistics:
    """What a test leaves behind for intervals.

    Attributes:
        path: The file, for messages.
        config: Its path, of the tested model.
        checkpoint: That of the tested weights.
        score: ``{'TASK/metric': factor}`` of the combined score, as in ``test_cfg.score``.
        values: ``{'TASK/metric': value}`` as the test printed them.
        tasks: ``{task: statistics of its metrics}``.
    """

    path: str
    config: str
    checkpoint: str
    score: Mapping[str, float]
    values: Mapping[str, float]
    tasks: Mapping[str, Sequence[MetricStatistics]]

    def images(self) -> dict[str, list[str]]:
        """``{task: names of its images}``, each once, sorted."""
        return {
            task: sorted({str(image) for part in parts for image in part.statistics.images})
            for task, parts in self.tasks.items()
        }

    def metric_names(self) -> list[str]:
        """All values that have statistics."""
        return [
            f'{task}/{name}'
            for task, parts in self.tasks.items()
            for part in parts
            for name in part.names.values()
        ]

    def main_metrics(self) -> list[str]:
        """Those of the values that stand for their task, the first one where none is known to."""
        known = {name for kind in registered_kinds().values() for name in kind.main_metrics}
        chosen = []
        for task in self.tasks:
            names = [name for name in self.metric_names() if name.split('/')[0] == task]
            chosen += [n for n in names if n.rsplit('/', 1)[-1] in known] or names[:1]
        return chosen

    def only(self, tasks: Sequence[str]) -> 'RunStatistics':
        """The statistics of some tasks."""
        return replace(self, tasks={task: self.tasks[task] for task in tasks if task in self.tasks})

    def of_images(self, images: Mapping[str, Sequence[str]]) -> 'RunStatistics':
        """The statistics of some images of each task."""
        return replace(
            self,
            tasks={
                task: [
                    replace(part, statistics=_of(part.statistics, images[task])) for part in parts
                ]
                for task, parts in self.tasks.items()
            },
        )


def _of(statistics: ImageStatistics, images: Sequence[str]) -> ImageStatistics:
    rows = np.flatnonzero(np.isin(statistics.images, list(images)))
    return statistics if len(rows) == len(statistics.images) else statistics.select(rows)


def write_statistics(path: str, run: RunStatistics) -> None:
    """Write one npz file, without pickled objects.

    Raises:
        OSError: If it cannot be written.
    """
    arrays: dict[str, NDArray] = {}
    tasks: dict[str, list] = {}
    for task, parts in run.tasks.items():
        tasks[task] = []
        for part in parts:
            held = dict(part.statistics.arrays, images=part.statistics.images)
            keys = {name: f'array{len(arrays) + number}' for number, name in enumerate(held)}
            arrays |= {keys[name]: array for name, array in held.items()}
            tasks[task].append(
                dict(
                    form=part.statistics.form,
                    options=dict(part.statistics.options),
                    names=dict(part.names),
                    arrays=keys,
                )
            )
    header = dict(
        version=VERSION,
        config=run.config,
        checkpoint=run.checkpoint,
        score=dict(run.score),
        values=dict(run.values),
        tasks=tasks,
    )
    content = io.BytesIO()
    arrays['header'] = np.array(json.dumps(header))
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_whole(path, content.getvalue())


def read_statistics(path: str | os.PathLike) -> RunStatistics:
    """Read the file of :func:`write_statistics`, or the only one in a folder.

    Raises:
        DataError: If there is none, or it is damaged, or its metrics have a form that no
            registered kind of task knows.
    """
    path = _file_of(os.fspath(path))
    forms = {
        form.form: form for kind in registered_kinds().values() for form in kind.image_statistics
    }
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(str(stored['header']))
            if header['version'] != VERSION:
                raise DataError(
                    f'{path} has version {header["version"]}, and this program reads {VERSION}; '
                    f'test the checkpoint again with {program("test")} --intervals'
                )
            tasks = {
                task: [_part(path, entry, stored, forms) for entry in entries]
                for task, entries in header['tasks'].items()
            }
            facts = {name: header[name] for name in ('config', 'checkpoint', 'score', 'values')}
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(
            f'{path}: no such file; make it with {program("test")} CONFIG CKPT --intervals'
        ) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DataError(_unreadable(path, error)) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DataError(_unreadable(path, error)) from error
    return RunStatistics(path, tasks=tasks, **facts)


def _part(
    path: str, entry: Mapping, stored: Any, forms: Mapping[str, type[ImageStatistics]]
) -> MetricStatistics:
    if entry['form'] not in forms:
        raise DataError(
            f'{path} has statistics of the form {entry["form"]!r}, and the registered kinds of '
            f'tasks have {sorted(forms)}; import the module of the kind with --import'
        )
    arrays = {name: stored[key] for name, key in entry['arrays'].items()}
    images = arrays.pop('images')
    return MetricStatistics(forms[entry['form']](images, arrays, entry['options']), entry['names'])


def _file_of(path: str) -> str:
    if not os.path.isdir(path):
        return path
    files = sorted(name for name in os.listdir(path) if name.endswith(SUFFIX))
    if len(files) != 1:
        what = f'the files {files}; name one of them' if files else f'no file *{SUFFIX}; make it '
        made = '' if files else f'with {program("test")} CONFIG CKPT --intervals'
        raise DataError(f'{path} has {what}{made}')
    return os.path.join(path, files[0])


def _unreadable(path: str, error: Exception) -> str:
    return (
        f'{path} cannot be read as per-image statistics ({type(error).__name__}: {error}); make it '
        f'again with {program("test")} CONFIG CKPT --intervals'
    )
