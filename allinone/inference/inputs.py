"""Inputs of the inferencer: files, folders, patterns and arrays, and the names of their results."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from allinone.errors import DataError
from allinone.io.images import SUFFIXES, find_images, output_names

from .streaming import InputImage


def is_lazy(inputs) -> bool:
    """Whether inputs are a generator, not a list or a single one."""
    return not isinstance(inputs, (str, os.PathLike, np.ndarray, list, tuple))


def flat(
    inputs,
    on_error: Callable[[DataError], None],
    on_note: Callable[[str], None] = lambda sentence: None,
    suffixes: tuple[str, ...] = SUFFIXES,
) -> Iterator[str | np.ndarray]:
    """Expand folders and patterns to their images, and paths to strings.

    Args:
        inputs: As in :meth:`AllInOneInferencer.__call__`.
        on_error: Called with the error of a path without images.
        on_note: Called with a sentence about the files of a folder that are passed over.
        suffixes: Suffixes of the files to find in a folder.
    """
    if isinstance(inputs, (str, os.PathLike, np.ndarray)) or not isinstance(inputs, Iterable):
        inputs = [inputs]
    for entry in inputs:
        if isinstance(entry, (str, os.PathLike)):
            try:
                yield from find_images(entry, on_note, suffixes)
            except DataError as error:
                on_error(error)
        else:
            yield entry


def naming(entries: Iterable, names: Mapping[str, str] | None) -> Callable[[InputImage], str]:
    """Function from an input to the name of its results."""
    if names is not None:
        return lambda item: names[item.name]
    if not isinstance(entries, (list, tuple)):
        return lambda item: f'{item.index:06d}'
    numbered = [
        entry if isinstance(entry, str) else f'{index:06d}.array'
        for index, entry in enumerate(entries)
    ]
    unique = output_names(numbered)
    return lambda item: unique[numbered[item.index]]


def checked(image, name: str) -> np.ndarray:
    """The array, if it is a BGR image.

    Raises:
        DataError: If it is not.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or 0 in image.shape
    ):
        found = (
            f'{image.dtype} of shape {image.shape}'
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise DataError(f'{name} is {found}; give a path or a uint8 BGR array (H, W, 3)')
    return image
