"""Names and format of label maps, which need one suffix of the images or lists of names."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from allinone.conversion.data_set import Sample
from allinone.conversion.formats import ListedLabelMaps

from .files import shorten

__all__ = ['map_format']


def map_format(splits: Mapping[str, Sequence[Sample]], coding: Any) -> ListedLabelMaps:
    """Name the samples and their label maps.

    Args:
        splits: Samples by split; renamed in place.
        coding: How label maps are read.
    """
    for samples in splits.values():
        shorten(samples)
    every = [sample for samples in splits.values() for sample in samples]
    suffixes = {os.path.splitext(sample.name)[1].lower() for sample in every}
    format = ListedLabelMaps(coding, suffix=suffixes.pop() if len(suffixes) == 1 else '')
    for sample in every:
        stem, suffix = os.path.splitext(sample.name)
        sample.name = stem + suffix.lower()
        sample.label_name = format.label_name(sample.name)
    return format
