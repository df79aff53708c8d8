"""Classification sets as a text file of ``NAME LABEL`` lines beside a folder of pictures."""

import os

from mmengine.fileio import get_local_path, join_path
from mmpretrain.datasets import BaseDataset

from allinone.errors import DataError
from allinone.registry import DATASETS


@DATASETS.register_module()
class PictureList(BaseDataset):
    """The picture lists of Track 1: each line a file name, white space, a class number.

    Args:
        ann_file: The list, e.g. ``train.txt``.
        data_prefix: Folder of the pictures.
        metainfo: ``classes`` names the classes; without it the numbers are the names.
        **kwargs: As for ``mmpretrain.datasets.BaseDataset``.

    Raises:
        DataError: If a line has no label or one that is not a whole number.
    """

    def load_data_list(self) -> list[dict]:
        with get_local_path(self.ann_file) as path, open(path, encoding='utf-8') as file:
            lines = file.read().splitlines()
        samples = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name, _, label = line.strip().rpartition(' ')
            if not name or not label.isdecimal():
                raise DataError(f'{self.ann_file}, line {number}: {line!r} is not "NAME LABEL" '
                                'with a whole number as the label')
            path = join_path(self.img_prefix, name.strip()) if self.img_prefix else name.strip()
            samples.append(dict(img_path=os.fspath(path), gt_label=int(label)))
        return samples
