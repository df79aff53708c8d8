"""A gallery: embeddings with metadata in a folder, made by one network and searched exactly."""

import os
import os.path as osp
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from allinone.errors import ConfigError, DataError
from allinone.io.outputs import require_writable

from . import store
from .nearest import nearest


class Gallery:
    """Embeddings of images or boxes, each with a row of metadata.

    >>> gallery = Gallery.build('gallery', dict(task='reid'), embeddings, rows)
    >>> scores, found = Gallery.open('gallery').search(queries, top=5)
    >>> [gallery.rows[index]['image'] for index in found[0]]

    Every change is atomic: who is interrupted leaves the gallery as it was. A gallery that is open
    does not see what others change.

    Attributes:
        path: The folder.
        maker: What made the embeddings, in JSON types; see :func:`.maker.maker_of`.
        embeddings: L2-normalised, float32 ``(N, D)``, mapped into memory.
        rows: Metadata, a dictionary each, with ``image``, and ``identity``, ``camera``, ``bbox``
            and others where they are known.
        calibrations: ``{'false_match_rate', 'threshold', ...}`` of each rate.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._load()

    def _load(self) -> None:
        self._head, self.embeddings, self.rows = store.read(self.path)
        self.maker: dict[str, Any] = self._head['maker']
        self.calibrations: list[dict] = self._head.get('calibrations', [])

    @classmethod
    def open(cls, path: str | os.PathLike) -> 'Gallery':
        """Open one that exists.

        Raises:
            DataError: If the folder has none, or it is damaged.
        """
        return cls(path)

    @classmethod
    def build(
        cls,
        path: str | os.PathLike,
        maker: Mapping[str, Any],
        embeddings: np.ndarray,
        rows: Sequence[Mapping],
    ) -> 'Gallery':
        """Make one.

        Args:
            path: A new or empty folder.
            maker: What made the embeddings, in JSON types.
            embeddings: float ``(N, D)``; they are L2-normalised.
            rows: Metadata of each, in JSON types.

        Raises:
            ConfigError: If the folder has other files, or cannot be written.
            DataError: If an embedding has NaN or only zeros, or their number is not that of rows.
        """
        path = os.fspath(path)
        require_new(path)
        embeddings = checked(embeddings, rows)
        if not len(rows):
            raise DataError(f'{path} would be a gallery without a row; give images')
        head = dict(maker=dict(maker), dimension=embeddings.shape[1], calibrations=[])
        store.write(path, head, [embeddings], rows)
        return cls(path)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dimension(self) -> int:
        return self._head['dimension']

    def add(self, embeddings: np.ndarray, rows: Sequence[Mapping]) -> None:
        """Append rows.

        Raises:
            DataError: If they have another dimension, NaN or only zeros, or their number is not
                that of rows.
        """
        embeddings = self._fitting(embeddings, rows)
        store.write(self.path, self._head, [self.embeddings, embeddings], [*self.rows, *rows])
        self._load()

    def remove(self, identities: Collection[str] = (), images: Collection[str] = ()) -> int:
        """Remove the rows of these identities, and those whose image fits one of the patterns.

        Args:
            identities: Identities.
            images: Patterns of paths or of their ends, such as ``'*/2023/*'`` or ``'a.jpg'``.

        Returns:
            The number of removed rows.

        Raises:
            DataError: If an identity or a pattern fits no row; nothing is then removed.
        """
        goes = np.zeros(len(self), bool)
        for name in identities:
            fits = np.array([row.get('identity') == name for row in self.rows], bool)
            self._require_some(fits, f'the identity {name!r}')
            goes |= fits
        for pattern in images:
            fits = np.array([_fits(row.get('image'), pattern) for row in self.rows], bool)
            self._require_some(fits, f'an image {pattern!r}')
            goes |= fits
        if goes.any():
            kept = np.flatnonzero(~goes)
            parts = (
                self.embeddings[kept[start : start + store.BLOCK]]
                for start in range(0, len(kept), store.BLOCK)
            )
            store.write(self.path, self._head, parts, [self.rows[index] for index in kept])
            self._load()
        return int(goes.sum())

    def _require_some(self, fits: np.ndarray, what: str) -> None:
        if not fits.any():
            raise DataError(f'{self.path} has no row of {what}, and nothing is removed')

    def search(self, embeddings: np.ndarray, top: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The most similar rows of each query, the best first.

        Args:
            embeddings: float ``(Q, D)``; they are L2-normalised.
            top: Number of rows.

        Returns:
            Scores, float32 ``(Q, K)``, cosine similarities from -1 to 1; and the indices of their
            rows, int64 ``(Q, K)``. K is the smaller of ``top`` and the number of rows. Rows of one
            score stand in their order.

        Raises:
            DataError: If an embedding has NaN or another dimension.
        """
        return nearest(self._fitting(embeddings), self.embeddings, top)

    def threshold(self, rate: float) -> float:
        """The calibrated threshold of a false-match rate.

        Raises:
            ConfigError: If it is not calibrated.
        """
        for known in self.calibrations:
            if known['false_match_rate'] == rate:
                return known['threshold']
        rates = ', '.join(f'{known["false_match_rate"]:g}' for known in self.calibrations)
        raise ConfigError(
            f'{self.path} has thresholds for the false-match rates {rates or "of no pairs"}, but '
            f'none for {rate:g}; run tools/gallery.py calibrate {self.path} PAIRS '
            f'--false-match-rate {rate:g} first'
        )

    def set_calibration(self, calibration: Mapping[str, Any]) -> None:
        """Store the threshold of a false-match rate; see :func:`.calibration.calibrate`."""
        others = [
            known
            for known in self.calibrations
            if known['false_match_rate'] != calibration['false_match_rate']
        ]
        self._head['calibrations'] = self.calibrations = sorted(
            [*others, dict(calibration)], key=lambda known: known['false_match_rate']
        )
        store.replace_head(self.path, self._head)

    def _fitting(self, embeddings: np.ndarray, rows: Sequence[Mapping] | None = None) -> np.ndarray:
        found = checked(embeddings, rows)
        if found.shape[1] != self.dimension:
            raise DataError(
                f'the embeddings have {found.shape[1]} numbers, but those of {self.path} have '
                f'{self.dimension}; use the checkpoint that made the gallery'
            )
        return found


def checked(embeddings: np.ndarray, rows: Sequence[Mapping] | None = None) -> np.ndarray:
    """Embeddings ``(N, D)`` as float32, L2-normalised.

    Args:
        embeddings: The embeddings.
        rows: Metadata of each, for messages.

    Raises:
        DataError: If one has NaN, infinite numbers or only zeros, or the shape does not fit.
    """
    found = np.asarray(embeddings, np.float32)
    if found.ndim != 2 or not found.shape[1] or (rows is not None and len(found) != len(rows)):
        rows_number = 'N' if rows is None else len(rows)
        raise DataError(
            f'embeddings have the shape {np.shape(embeddings)}; it must be ({rows_number}, D)'
        )
    lengths = np.linalg.norm(found.astype(np.float64), axis=1, keepdims=True)
    for index in np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))[:1]:
        name = f'row {index}' if rows is None else rows[index].get('image', f'row {index}')
        what = 'only zeros' if lengths[index] == 0 else 'NaN or infinite numbers'
        raise DataError(
            f'the embedding of {name} has {what}; the model has diverged, or its weights are wrong'
        )
    return (found / lengths).astype(np.float32)


def require_new(path: str) -> None:
    """Refuse a folder for a new gallery that has files.

    Raises:
        ConfigError: It has some, or cannot be written.
    """
    if osp.lexists(path) and not osp.isdir(path):
        raise ConfigError(f'{path} is a file, but a gallery is a folder; give another name')
    # An interrupted build left some of its files, but no index.
    if osp.isdir(path) and any(not store.OWN.fullmatch(name) for name in os.listdir(path)):
        what = 'has a gallery' if osp.exists(osp.join(path, store.INDEX)) else 'has files'
        raise ConfigError(
            f'{path} {what} already; give a new folder'
            + (', or add to it with tools/gallery.py add' if what == 'has a gallery' else '')
        )
    require_writable('INDEX', path, folder=True)


def _fits(path: Any, pattern: str) -> bool:
    return isinstance(path, str) and (
        fnmatchcase(path, pattern) or fnmatchcase(path, f'*/{pattern}')
    )
