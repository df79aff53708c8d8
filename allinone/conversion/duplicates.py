"""Detection of identical images in different splits."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor

__all__ = [
    'duplicates',
]

CHUNK = 1 << 20


def duplicates(
    source: str, splits: Mapping[str, Mapping[str, int]], pool: Executor
) -> Iterator[list[tuple[str, str]]]:
    """Groups of identical images in two splits or more, as ``(split, image)``.

    Args:
        source: Folder that the images are relative to.
        splits: Size in bytes of each image by split. Only images whose size also occurs in another
            split are read.
        pool: Threads that read the images.
    """
    sizes = [set(images.values()) for images in splits.values()]
    shared = {size for n, some in enumerate(sizes) for other in sizes[:n] for size in some & other}
    candidates = [
        (split, image)
        for split, images in splits.items()
        for image, size in images.items()
        if size in shared
    ]
    groups = defaultdict(list)
    digests = pool.map(lambda found: _digest(os.path.join(source, found[1])), candidates)
    for found, digest in zip(candidates, digests):
        groups[digest].append(found)
    for group in groups.values():
        if len({split for split, _ in group}) > 1:
            yield group


def _digest(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, 'rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()
