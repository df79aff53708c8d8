"""Images with the identity of what they show, and the camera that took them, for retrieval."""

import os.path as osp
import re
from collections.abc import Iterator
from logging import WARNING
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset
from mmengine.fileio import get_file_backend, get_local_path
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from allinone.config.data_root import missing_data_set
from allinone.errors import ConfigError, DataError
from allinone.io.identity_lists import identity_lines, in_natural_order
from allinone.io.images import SUFFIXES
from allinone.registry import DATASETS
from allinone.registry.options import check_choice

FOLDERS, MARKET = 'folders', 'market1501'
LAYOUTS = (FOLDERS, MARKET)
# 0002_c1s1_000451_03 (Market-1501), 0001_c001_00016450_0 (VeRi-776), 0001_c2_f0046182 (DukeMTMC)
MARKET_NAME = re.compile(r'(-1|\d+)_c(\d+)(?:s\d+)?(?:_.*)?')
JUNK, DISTRACTORS = '-1', '0000'


class _Image(NamedTuple):
    path: str
    identity: str
    camera: str | None


@DATASETS.register_module()
class IdentityDataset(BaseDataset):
    """Images of identities (persons, vehicles, faces, products) in one of three layouts.

    - A list (``ann_file``) of lines ``PATH IDENTITY`` or ``PATH IDENTITY CAMERA``, split at tabs if
      the line has one, else at white space; lines that begin with ``#`` are passed over.
    - ``layout='folders'``: ``IMG_PATH/IDENTITY/*.jpg``, without cameras.
    - ``layout='market1501'``: names as ``0002_c1s1_000451_03.jpg``, with the identity before and
      the number of the camera behind ``_c``; those of VeRi-776 are of this form. Images of the
      identity -1 are junk and left out. Those of 0000 are distractors, which are kept, as in
      torchreid and fast-reid.

    ``gt_label`` numbers the identities in natural order (``2`` before ``10``), which is that of
    ``metainfo.classes``. The packed data sample has ``identity`` and ``camera`` as meta
    information.

    Args:
        ann_file: The list. Left out: images are found by ``layout``.
        layout: Default: ``'folders'`` where there is no list.
        data_prefix: Folder of the images, or ``dict(img_path=FOLDER)``.
        metainfo: ``classes`` gives the identities and their order, so that several sets number them
            alike. Default: the identities of this set.
        backend_args: How the list and the folder are read, as for ``LoadImageFromFile``.
        **kwargs: As for ``mmengine.dataset.BaseDataset``.

    Raises:
        ConfigError: If ``layout`` is given beside a list, or is none of the two.
        DataError: If a line or the name of an image does not tell the identity, the folder is
            missing or has no such images, or ``metainfo.classes`` lacks an identity.
    """

    def __init__(
        self,
        ann_file: str = '',
        layout: str | None = None,
        data_prefix: str | dict = '',
        backend_args: dict | None = None,
        **kwargs,
    ):
        if ann_file and layout is not None:
            raise ConfigError(
                f'layout is {layout!r}, but ann_file={ann_file!r} lists the images; leave one of '
                'them out'
            )
        self.layout = FOLDERS if layout is None else layout
        check_choice('layout', self.layout, LAYOUTS)
        self.backend_args = backend_args
        if isinstance(data_prefix, str):
            data_prefix = dict(img_path=data_prefix)
        super().__init__(
            ann_file=ann_file, data_prefix=dict(dict(img_path=''), **data_prefix), **kwargs
        )

    def load_data_list(self) -> list[dict]:
        images = list(self._images())
        if not images:
            raise self._no_images()
        identities = self._metainfo.get('classes') or _identities(images)
        labels = {str(identity): label for label, identity in enumerate(identities)}
        self._metainfo['classes'] = tuple(labels)
        for image in images:
            if image.identity not in labels:
                raise DataError(
                    f'{image.path} has the identity {image.identity!r}, which metainfo.classes '
                    f'lacks ({len(labels)} identities); add it, or leave out metainfo.classes'
                )
        if self._is_market and not self.test_mode:
            self._warn_of_distractors(images)
        return [
            dict(
                img_path=image.path,
                identity=image.identity,
                camera=image.camera,
                gt_label=labels[image.identity],
            )
            for image in images
        ]

    def identities(self) -> list[str]:
        """The identities in the order of labels, also before the data set is loaded.

        Raises:
            DataError: As loading it.
            OSError: If the list cannot be read.
        """
        names = self._metainfo.get('classes')
        return list(map(str, names)) if names else _identities(list(self._images()))

    def get_cat_ids(self, idx: int) -> list[int]:
        """Label of the identity of an image, for samplers."""
        return [self.get_data_info(idx)['gt_label']]

    def prepare_data(self, idx: int) -> Any:
        info = self.get_data_info(idx)
        # Before the pipeline, which may change it
        found = dict(identity=info['identity'], camera=info['camera'])
        results = self.pipeline(info)
        samples = results.get('data_samples') if isinstance(results, dict) else None
        # Of test-time augmentation there are several.
        for sample in samples if isinstance(samples, (list, tuple)) else [samples]:
            if isinstance(sample, BaseDataElement):
                sample.set_metainfo(found)
        return results

    @property
    def _is_market(self) -> bool:
        return not self.ann_file and self.layout == MARKET

    def _images(self) -> Iterator[_Image]:
        if self.ann_file:
            return self._listed()
        return self._named() if self.layout == MARKET else self._in_folders()

    def _listed(self) -> Iterator[_Image]:
        with (
            get_local_path(self.ann_file, backend_args=self.backend_args) as path,
            open(path, encoding='utf-8-sig', newline='') as file,
        ):
            text = file.read()
        prefix = self.data_prefix['img_path']
        seen: dict[str, str] = {}
        backend = get_file_backend(prefix, backend_args=self.backend_args)
        for line in identity_lines(self.ann_file, text):
            other = seen.setdefault(line.path, line.identity)
            if other != line.identity:
                raise DataError(
                    f'{self.ann_file} lists {line.path} with the identities {other!r} and '
                    f'{line.identity!r}; keep one of the lines'
                )
            image = str(backend.join_path(prefix, line.path)) if prefix else line.path
            yield _Image(image, line.identity, line.camera)

    def _in_folders(self) -> Iterator[_Image]:
        for name, path in self._files(recursive=True):
            identity, slash, _ = name.partition('/')
            if slash:
                yield _Image(path, identity, None)

    def _named(self) -> Iterator[_Image]:
        for name, path in self._files(recursive=False):
            match = MARKET_NAME.fullmatch(osp.splitext(name)[0])
            if match is None:
                raise DataError(
                    f'{path} is not named as in Market-1501, IDENTITY_cCAMERA, such as '
                    "0002_c1s1_000451_03.jpg; rename it, give layout='folders', or give a list as "
                    'ann_file'
                )
            identity, camera = match.groups()
            if identity != JUNK:
                yield _Image(path, identity, camera)

    def _files(self, recursive: bool) -> list[tuple[str, str]]:
        """Names of the images below the folder, in order, and their paths."""
        folder = self.data_prefix['img_path']
        backend = get_file_backend(folder, backend_args=self.backend_args)
        if not folder or not backend.isdir(folder):
            remedy = missing_data_set(folder) if folder else None
            raise DataError(
                f'the folder {folder!r} of the images does not exist; '
                f'{remedy or "check data_root and data_prefix"}, or give a list as ann_file'
            )
        names = backend.list_dir_or_file(folder, list_dir=False, recursive=recursive)
        names = sorted(name for name in map(str, names) if name.lower().endswith(SUFFIXES))
        return [(name, str(backend.join_path(folder, name))) for name in names]

    def _no_images(self) -> DataError:
        if self.ann_file:
            return DataError(f'{self.ann_file} lists no image; give lines "PATH IDENTITY"')
        wanted = (
            f'with the names of {MARKET}' if self.layout == MARKET else 'in folders by identity'
        )
        other = LAYOUTS[self.layout == FOLDERS]
        return DataError(
            f'{self.data_prefix["img_path"]} has no images {wanted}; check data_prefix, give '
            f'layout={other!r}, or give a list as ann_file'
        )

    def _warn_of_distractors(self, images: list[_Image]) -> None:
        number = sum(image.identity == DISTRACTORS for image in images)
        if number:
            print_log(
                f'{self.data_prefix["img_path"]}: {number} images of {DISTRACTORS}, which are '
                'distractors in Market-1501, are trained as one identity; remove them unless they '
                'are one',
                'current',
                WARNING,
            )


def _identities(images: list[_Image]) -> list[str]:
    return in_natural_order(image.identity for image in images)
