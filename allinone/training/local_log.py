"""Values in ``vis_data/scalars.json``, without which a training can do for a while."""

import os
import os.path as osp
from contextlib import suppress
from logging import WARNING

from mmengine.logging import print_log
from mmengine.visualization import LocalVisBackend as StockLocalVisBackend

from allinone.registry import VISBACKENDS


@VISBACKENDS.register_module()
class LocalVisBackend(StockLocalVisBackend):
    """mmengine's backend; values that cannot be written (disk full) are missing, and no error.

    The log says so once a file, until a line can be written again. Checkpoints hold the values,
    too.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._failing: set[str] = set()

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        size = osp.getsize(file_path) if osp.exists(file_path) else 0
        try:
            super()._dump(value_dict, file_path, file_format)
        except OSError as error:
            with suppress(OSError):
                os.truncate(file_path, size)  # Half a line would spoil the next.
            if file_path not in self._failing:
                print_log(
                    f'{file_path} cannot be written: {error.strerror}; the run goes on, and the '
                    'file lacks its values until there is room',
                    'current',
                    WARNING,
                )
            self._failing.add(file_path)
        else:
            self._failing.discard(file_path)
