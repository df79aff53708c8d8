"""Label maps as pseudo labels: 8-bit PNG files, with doubtful pixels ignored."""

import io
import os.path as osp
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allinone.errors import ConfigError, DataError
from allinone.io.atomic import write_whole
from allinone.io.image_files import IGNORED
from allinone.visualization.draw import to_numpy

from .base import ClassRule, HeldOutPart, LabelledImage, PseudoLabels
from .thresholds import HeldOutScores

BINS = 1000  # Of probabilities from 0 to 1
FILE, SUFFIX = 'images.txt', '.png'


class PseudoLabelMaps(PseudoLabels):
    """Pixels whose probability of the predicted class is high enough; the others are 255.

    A pixel is right where the label map has the predicted class; pixels that the label map ignores
    are left out. Probabilities are softmax outputs in 1000 bins, the thresholds their lower edges.
    The minimum behind a threshold counts images with such a pixel, for pixels of one image are
    alike.
    """

    takes_views = False  # mmseg merges the views, and keeps the scores of the last one alone.

    def __init__(self, classes: Sequence[str]):
        super().__init__(classes)
        if len(self.classes) > IGNORED:
            raise ConfigError(
                f'{len(self.classes)} classes do not fit into label maps of 8 bits, which hold '
                f'{IGNORED}; leave the task out of --tasks'
            )
        shape = len(self.classes), BINS
        self._right, self._counted, self._images = (np.zeros(shape, np.int64) for _ in range(3))

    def compare(self, sample: Any, part: HeldOutPart, index: int) -> tuple[NDArray, NDArray]:
        truth = part.loaded(index)['gt_seg_map']
        labels, bins = predicted_pixels(sample)
        if truth.shape != labels.shape:
            raise DataError(
                f'its label map is {truth.shape[1]} x {truth.shape[0]}, and the image '
                f'{labels.shape[1]} x {labels.shape[0]}; make them of one size'
            )
        labelled = truth != getattr(part.dataset, 'ignore_index', IGNORED)
        places = labels.astype(np.int64) * BINS + bins
        shape = len(self.classes), BINS
        right, counted = (
            np.bincount(places[chosen], minlength=shape[0] * BINS).reshape(shape)
            for chosen in (labelled & (labels == truth), labelled)
        )
        return right, counted

    def add(self, compared: tuple[NDArray, NDArray]) -> None:
        right, counted = compared
        self._right += right
        self._counted += counted
        there = counted.any(1)
        # An image supports all thresholds up to its highest probability.
        highest = BINS - 1 - counted[:, ::-1].astype(bool).argmax(1)
        self._images[there, highest[there]] += 1

    def held_out_scores(self, part: HeldOutPart) -> list[HeldOutScores]:
        if not self._counted.any():
            raise DataError('its label maps have no pixel of any class; give labelled images')
        scores = np.arange(BINS)[::-1] / BINS
        return [
            HeldOutScores(scores, right[::-1], counted[::-1], images[::-1])
            for right, counted, images in zip(self._right, self._counted, self._images)
        ]

    def label(self, sample: Any, rules: Sequence[ClassRule], path: str) -> dict:
        labels, bins = predicted_pixels(sample)
        lowest = np.array(
            [BINS if rule.label is None else round(rule.label.score * BINS) for rule in rules]
        )
        written = np.where(bins >= lowest[labels], labels, IGNORED).astype(np.uint8)
        pixels, doubtful = (
            np.bincount(labels[chosen], minlength=len(self.classes)).tolist()
            for chosen in (written != IGNORED, written == IGNORED)
        )
        if any(pixels):
            content = io.BytesIO()
            Image.fromarray(written).save(content, 'png')
            write_whole(path + SUFFIX, content.getvalue())
        return dict(pixels=pixels, ignored=doubtful)

    def counts(self, result: Mapping) -> dict[str, tuple[int, int]]:
        return dict(zip(self.classes, zip(result['pixels'], result['ignored'])))

    def write(self, folder: str, images: Sequence[LabelledImage]) -> None:
        # A loss of ignored pixels alone is NaN in some heads.
        names = [image.stem for image in images if any(image.result['pixels'])]
        write_whole(osp.join(folder, FILE), ''.join(f'{name}\n' for name in names).encode())

    def dataset_config(
        self, folder: str, images: str, suffix: str | None, labelled: Collection[str]
    ) -> dict:
        return dict(
            type='mmseg.BaseSegDataset',
            ann_file=osp.join(folder, FILE),
            data_prefix=dict(img_path=images, seg_map_path=folder),
            img_suffix=suffix or '',
            seg_map_suffix=SUFFIX,
            metainfo=dict(classes=tuple(self.classes)),
        )


def predicted_pixels(sample: Any) -> tuple[NDArray, NDArray]:
    """Class and bin of its probability, ``(H, W)`` each, of a predicted data sample."""
    logits = sample.seg_logits.data
    labels = to_numpy(sample.pred_sem_seg.data)[0].astype(np.int64)
    if len(logits) == 1:  # Of a binary head mmseg keeps the probability of class 1.
        high = to_numpy(logits)[0]
        probability = np.where(labels == 1, high, 1 - high)
    else:
        probability = to_numpy(logits.float().softmax(0).amax(0))
    return labels, np.minimum((probability * BINS).astype(np.int64), BINS - 1)
