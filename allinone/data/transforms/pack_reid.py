"""Packing of single images for mmdet's re-identification."""

from mmdet.datasets.transforms.formatting import PackReIDInputs as UpstreamPackReIDInputs

from allinone.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackReIDInputs(UpstreamPackReIDInputs):
    """As in mmdet, but a single image ``(3, H, W)`` has no further dimension.

    Upstream packs the images of a batch into one sample, so that a loader has ``batch_size=1``; a
    batch of samples with one image each is refused by ``mmdet.BaseReID``.
    """

    def transform(self, results: dict) -> dict:
        # Images to search with have no label.
        packed = super().transform(results if 'gt_label' in results else dict(results, gt_label=0))
        if not isinstance(results['img'], list):
            packed['inputs'] = packed['inputs'][0]
        return packed
