"""The folder that the configs' data sets lie in, and what to say where one of them is missing."""

import os
import os.path as osp

VARIABLE, DEFAULT = 'ALLINONE_DATA', 'data'


def missing_data_set(path: str | os.PathLike) -> str | None:
    """What to do if a file is missing because its whole data set is.

    Args:
        path: The missing file.

    Returns:
        None if the path is not below the data root, or its data set is there.
    """
    root = os.environ.get(VARIABLE, DEFAULT)
    relative = osp.relpath(osp.abspath(path), osp.abspath(root))
    name = relative.split(os.sep)[0]
    if name == os.pardir or osp.exists(osp.join(root, name)):
        return None
    remedy = f'set the environment variable {VARIABLE} (now {root!r}) to the folder that holds it'
    if name == 'toy':
        out = '' if root == DEFAULT else f' --out {osp.join(root, name)}'
        remedy = f'make it with: python tools/make_toy_data.py{out}; or {remedy}'
    return f'there is no data set {osp.join(root, name)}: {remedy}'
