"""Root folder of the configs' data sets, and advice for a missing data set."""

import os
import os.path as osp

from allinone.io.program import called

VARIABLE, DEFAULT = 'ALLINONE_DATA', 'data'


def missing_data_set(path: str | os.PathLike) -> str | None:
    """Advice for a file that is missing because its data set is missing.

    Args:
        path: The missing file.

    Returns:
        A clause; None if the path is not below the data root, or its data set exists.
    """
    root = os.environ.get(VARIABLE, DEFAULT)
    relative = osp.relpath(osp.abspath(path), osp.abspath(root))
    name = relative.split(os.sep)[0]
    if name == os.pardir or osp.exists(osp.join(root, name)):
        return None
    remedy = f'set the environment variable {VARIABLE} (now {root!r}) to the folder that holds it'
    if name == 'toy':
        out = '' if root == DEFAULT else f' --out {osp.join(root, name)}'
        remedy = f'make it with: {called("make_toy_data")}{out}; or {remedy}'
    return f'there is no data set {osp.join(root, name)}: {remedy}'
