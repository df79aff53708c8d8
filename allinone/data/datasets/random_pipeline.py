"""Augmentations that do not go together, each in a branch of its own."""

from collections.abc import Sequence

import numpy as np
from mmdet.datasets import MultiImageMixDataset
from mmengine.registry import DATASETS as MMENGINE_DATASETS

from allinone.data.seeded import IMAGE_KEYS, DatasetWrapper, check_complete
from allinone.errors import ConfigError, DataError
from allinone.registry import DATASETS
from allinone.registry.options import check_numbers


@DATASETS.register_module()
class RandomPipelineDataset(DatasetWrapper):
    """Each draw of a data set goes through one of several pipelines.

    As in the best-placed entry of Track 1, where augmentations that conflict, such as mosaic and
    resizing the whole image, lie in different branches
    (`2307.03465 <https://arxiv.org/abs/2307.03465>`_). Pipelines may mix several images
    (``Mosaic``, ``MixUp``).

    Args:
        dataset: Config of the data set; its own pipeline loads images and annotations.
        pipelines: One list of transforms a branch.
        prob: How often each branch is taken, in any unit; 0 leaves it out.

    Raises:
        ConfigError: If there is not one number a branch, or none is above 0.
    """

    def __init__(self, dataset: dict, pipelines: Sequence[Sequence[dict]], prob: Sequence[float]):
        prob = check_numbers('prob', prob, 0, some=True)
        if len(prob) != len(pipelines):
            raise ConfigError(
                f'prob is {prob}, {len(prob)} numbers for {len(pipelines)} pipelines; give one for '
                'each'
            )
        self.dataset = MMENGINE_DATASETS.build(dataset)
        self.dataset.full_init()
        self._skips_broken = False
        whole = _Whole(self)
        self.branches = []
        for pipeline in pipelines:
            branch = MultiImageMixDataset(self.dataset, pipeline)
            branch.dataset = whole
            self.branches.append(branch)
        self.prob = np.array(prob) / sum(prob)

    def skip_broken_parts(self, skip: bool) -> None:
        """Whether an image that cannot be read is left out of a mix; else it is an error."""
        self._skips_broken = skip

    def __getitem__(self, index: int) -> dict:
        return self.branches[np.random.choice(len(self.branches), p=self.prob)][index]


class _Whole:
    """Looks at images before they are mixed into others.

    Args:
        branches: Whose data set this is. If it skips images that are not whole, the next one
            takes their place; they are counted where they are drawn themselves.
    """

    def __init__(self, branches: RandomPipelineDataset):
        self.branches = branches

    def __len__(self) -> int:
        return len(self.branches.dataset)

    def __getitem__(self, index: int):
        dataset = self.branches.dataset
        for candidate in (*range(index, len(dataset)), *range(index)):
            info = dataset.get_data_info(candidate)
            try:
                for key in IMAGE_KEYS:
                    if info.get(key):
                        check_complete(info[key])
            except DataError:
                if not self.branches._skips_broken:
                    raise
            else:
                return dataset[candidate]
        raise DataError(f'none of the {len(dataset)} images is whole; repair the data set')
