"""Predictions as objects: a record that is also drawn, saved, shown and made a table."""

import json
import os
import os.path as osp
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from mmengine.structures import BaseDataElement

from allinone.errors import ConfigError, DataError
from allinone.io.atomic import write_json
from allinone.io.images import SUFFIXES, output_names, write_image
from allinone.registry.kinds import kind_of_record
from allinone.registry.options import check_choice
from allinone.tasks import TaskKind
from allinone.tasks.results.base import TaskResult, data_frame, plain, rows_of
from allinone.visualization.draw import draw_tasks
from allinone.visualization.palette import ClassTable

from .showing import gallery, show_drawing
from .sources import CHANNELS, FileSource, MemorySource, Source

SHOWN = 12  # drawings in a notebook


class Result(dict):
    """The predictions of all tasks on one image: ``{task: result}``.

    It equals the record ``{task: prediction}`` that ``tools/infer.py`` writes, and each result
    equals the prediction of its task, with arrays as attributes (:mod:`allinone.tasks.results`).

    >>> (result,) = model('street.jpg')
    >>> result['det'].boxes, result['det'].names, result['seg'].areas, result['cls'].name
    >>> result.save('drawn.jpg')

    A record that was read from a file becomes one, too:

    >>> Result(json.load(open('predictions/street.json')), image='street.jpg')

    Args:
        record: ``{task: prediction}``.
        kinds: ``{task: kind}``. Default: inferred from the form of a prediction.
        metainfo: ``{task: {'classes', 'palette'}}`` of the data sets. Default: the names in the
            record.
        image: The image: a path, an array, a tensor, an image of Pillow or a :class:`Source`.
            Without it there is no drawing.
        channels: ``'bgr'`` or ``'rgb'``: the order of the channels of arrays, both of ``image`` and
            of what this object returns.
        samples: ``{task: data sample}`` that the record was made from.

    Attributes:
        path: Of the image or video, or its address; None for an image in memory.
        frame: Index in a video; None if it is of none.
        time: Seconds since the first frame of the video.
        channels: Order of the channels of :attr:`image` and :meth:`plot`.

    Raises:
        DataError: If a prediction fits no kind.
    """

    def __init__(
        self,
        record: Mapping,
        kinds: Mapping[str, TaskKind] | None = None,
        metainfo: Mapping[str, Mapping] | None = None,
        image: Any = None,
        channels: str = 'bgr',
        samples: Mapping[str, BaseDataElement] | None = None,
    ):
        check_choice('channels', channels, CHANNELS)
        self._kinds = {
            task: kinds[task] if kinds else kind_of_record(found) for task, found in record.items()
        }
        self._metainfo = {task: dict((metainfo or {}).get(task) or {}) for task in record}
        self.channels = channels
        if isinstance(image, (str, os.PathLike)):
            image = FileSource(os.fspath(image))
        elif image is not None and not isinstance(image, Source):
            image = MemorySource(image, channels, 'the image')
        self._source: Source | None = image
        self.path = None if image is None else image.path
        self.frame = None if image is None else image.frame
        self.time = None if image is None else image.time
        super().__init__(
            {
                task: self._kinds[task].result(
                    found, ClassTable(self._metainfo[task]), (samples or {}).get(task)
                )
                for task, found in record.items()
            }
        )
        for task, found in self.items():
            if not self._metainfo[task].get('classes') and isinstance(found, TaskResult):
                self._metainfo[task]['classes'] = found.class_names()

    def __repr__(self) -> str:
        return f'<Result of {self.name}: {", ".join(self)}>'

    @property
    def name(self) -> str:
        """The image in words."""
        return 'an image' if self._source is None else self._source.name

    @property
    def image(self) -> np.ndarray:
        """The image, uint8 ``(H, W, 3)`` in the order :attr:`channels`.

        That of a file is read anew at each access.

        Raises:
            DataError: If it cannot be read, or the object was made without an image.
        """
        return _ordered(self._rgb(), self.channels)

    def _rgb(self) -> np.ndarray:
        if self._source is None:
            raise DataError('this result has no image; give Result(record, image=...) one')
        return cv2.cvtColor(self._source.read(), cv2.COLOR_BGR2RGB)

    def plot(self, score_thr: float = 0.3, channels: str | None = None) -> np.ndarray:
        """The image with all predictions, uint8 ``(H', W', 3)``, as ``tools/infer.py`` draws it.

        Args:
            score_thr: Draw no boxes below this score.
            channels: ``'bgr'`` or ``'rgb'``. Default: :attr:`channels`.

        Raises:
            DataError: If the image cannot be read.
        """
        channels = self.channels if channels is None else channels
        check_choice('channels', channels, CHANNELS)
        samples = {task: self._kinds[task].from_record(found) for task, found in self.items()}
        drawing = draw_tasks(self._rgb(), samples, self._metainfo, score_thr, self._kinds)
        return _ordered(drawing, channels)

    def save(self, path: str | os.PathLike, score_thr: float = 0.3) -> None:
        """Write the drawing, or to a path that ends with ``.json`` the record.

        Args:
            path: The file; its suffix is the format.
            score_thr: Draw no boxes below this score.

        Raises:
            ConfigError: If the suffix is of no format.
            DataError: If the image cannot be read or the drawing not be encoded.
        """
        path = os.fspath(path)
        suffix = osp.splitext(path)[1].lower()
        if suffix == '.json':
            write_json(path, self.to_dict(), indent=None)
        elif suffix in SUFFIXES:
            write_image(path, self.plot(score_thr, 'rgb'))
        else:
            raise ConfigError(
                f'save() is given {path}, whose suffix is of no format; end it with .jpg or .png '
                'for the drawing, or with .json for the record'
            )

    def show(self, score_thr: float = 0.3) -> str | None:
        """Show the drawing: in a notebook, else in a window, else as a temporary file.

        Args:
            score_thr: Draw no boxes below this score.

        Returns:
            The path of the file, which is also printed; None if the drawing is shown.
        """
        return show_drawing(self.plot(score_thr, 'rgb'), self.name)

    def _repr_png_(self) -> bytes | None:
        """For notebooks."""
        if self._source is None:
            return None
        return cv2.imencode('.png', self.plot(channels='bgr'))[1].tobytes()

    def to_dict(self) -> dict:
        """The record, of plain dictionaries and lists: the content of ``predictions/NAME.json``."""
        return plain(self)

    def to_json(self, indent: int | None = None) -> str:
        """The record as JSON: the text of ``predictions/NAME.json``, without its last newline."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_df(self):
        """A ``pandas.DataFrame`` with a line a box, a class in the label map, a predicted class.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return data_frame(self._rows(), ['task'])

    def _rows(self) -> list[dict]:
        return [dict(task=task, **row) for task, found in self.items() for row in rows_of(found)]

    def to_supervision(self) -> dict[str, Any]:
        """``{task: supervision.Detections or supervision.Classifications}``.

        Tasks of other kinds are left out.

        Raises:
            ConfigError: If supervision is not installed.
        """
        return {
            task: found.to_supervision()
            for task, found in self.items()
            if hasattr(found, 'to_supervision')
        }


class Results(list):
    """The results of several images in order, None in place of an input that failed."""

    def __repr__(self) -> str:
        tasks = next((', '.join(result) for result in self if result is not None), 'none')
        return f'<Results of {len(self)} image(s): {tasks}>'

    def __getitem__(self, index) -> Any:
        found = super().__getitem__(index)
        return type(self)(found) if isinstance(index, slice) else found

    def __add__(self, others):
        return type(self)([*self, *others]) if isinstance(others, list) else NotImplemented

    def copy(self) -> 'Results':
        """Another list of the same results."""
        return type(self)(self)

    def save(self, folder: str | os.PathLike, score_thr: float = 0.3) -> None:
        """Write ``vis/NAME.jpg`` and ``predictions/NAME.json`` of each, as ``tools/infer.py``.

        NAME is the stem of the file, with a hash if several share one; the index of an image in
        memory.

        Args:
            folder: In which they are written.
            score_thr: Draw no boxes below this score.
        """
        for name, result in zip(self._names(), self):
            if result is not None:
                result.save(osp.join(folder, 'vis', f'{name}.jpg'), score_thr)
                result.save(osp.join(folder, 'predictions', f'{name}.json'))

    def _names(self) -> list[str]:
        numbered = [
            f'{index:06d}.array' if path is None else path
            for index, path in enumerate(self._paths())
        ]
        unique = output_names(numbered)
        return [unique[path] for path in numbered]

    def _paths(self) -> Iterable[str | None]:
        for result in self:
            path = None if result is None else result.path
            yield path if path is None or result.frame is None else f'{path}-{result.frame:06d}.x'

    def show(self, score_thr: float = 0.3) -> None:
        """:meth:`Result.show` of each."""
        for result in self:
            if result is not None:
                result.show(score_thr)

    def to_dict(self) -> list[dict | None]:
        """The records."""
        return [None if result is None else result.to_dict() for result in self]

    def to_json(self, indent: int | None = None) -> str:
        """The records as a list in JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_df(self):
        """A ``pandas.DataFrame`` of all, with the index of the image and its path.

        Raises:
            ConfigError: If pandas is not installed.
        """
        rows = [
            dict(image=index, path=result.path, **row)
            for index, result in enumerate(self)
            if result is not None
            for row in result._rows()
        ]
        return data_frame(rows, ['image', 'path', 'task'])

    def to_supervision(self) -> list[dict[str, Any] | None]:
        """:meth:`Result.to_supervision` of each.

        Raises:
            ConfigError: If supervision is not installed.
        """
        return [None if result is None else result.to_supervision() for result in self]

    def _repr_html_(self) -> str:
        """For notebooks: the first drawings, small."""
        return gallery(
            [
                (result.name, None if result._source is None else result.plot(channels='bgr'))
                for result in self[:SHOWN]
                if result is not None
            ],
            len(self) - SHOWN,
        )


def _ordered(rgb: np.ndarray, channels: str) -> np.ndarray:
    return rgb if channels == 'rgb' else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
