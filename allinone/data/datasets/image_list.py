"""Classification sets as a text file of ``NAME LABEL`` lines beside a folder of images."""

import os

from mmengine.fileio import get_local_path, join_path
from mmpretrain.datasets import BaseDataset

from allinone.errors import DataError
from allinone.registry import DATASETS


@DATASETS.register_module()
class ImageListDataset(BaseDataset):
    """The image lists of Track 1: each line a file name, white space, a class number.

    Args:
        ann_file: The list, e.g. ``train.txt``.
        data_prefix: Folder of the images.
        metainfo: ``classes`` names the classes; without it the numbers are the names.
        **kwargs: As for ``mmpretrain.datasets.BaseDataset``.

    Raises:
        DataError: If a line has no label or one that is not a whole number.
    """

    def load_data_list(self) -> list[dict]:
        with get_local_path(self.ann_file) as path, open(path, encoding='utf-8-sig') as file:
            # Not splitlines(), for a name may hold what only Unicode takes for a line's end.
            lines = file.read().split('\n')
        samples = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            # From the right, for a name may hold spaces.
            fields = line.strip().rsplit(maxsplit=1)
            if len(fields) < 2 or not fields[1].isdecimal():
                raise DataError(
                    f'{self.ann_file}, line {number} is {line!r}; it must be '
                    '"NAME LABEL" with a class number from 0 as the label'
                )
            name, label = fields
            path = join_path(self.img_prefix, name) if self.img_prefix else name
            samples.append(dict(img_path=os.fspath(path), gt_label=int(label)))
        return samples
