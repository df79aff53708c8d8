"""Feature pyramid for backbones with a single stride, such as plain vision transformers.

ViTDet (`2203.16527 <https://arxiv.org/abs/2203.16527>`_, section 3): transposed convolution and
pooling compute all strides from the backbone's last feature map. Not in mmdet's wheels.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import Tensor, nn

from allinone.errors import ConfigError
from allinone.registry import MODELS

EPS = 1e-6


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Feature maps at 4, 2, 1 and 1/2 times the size of the backbone's last map, or some of these.

    Args:
        in_channels: Channels of the backbone's last map.
        out_channels: Channels of all outputs.
        scales: Sizes relative to the last map, in descending order; each is 4, 2, 1 or 0.5.
        num_extra: Number of additional maps, each half the size of the previous one, by max
            pooling.
        init_cfg: As in mmengine.

    Raises:
        ConfigError: If a scale is none of these.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        num_extra: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.num_extra = num_extra
        self.levels = nn.ModuleList(
            nn.Sequential(*_resample(scale, in_channels, out_channels)) for scale in scales
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps ``(N, out_channels, H_i, W_i)`` from the last one, ``(N, in_channels, H, W)``."""
        levels = [level(maps[-1]) for level in self.levels]
        for _ in range(self.num_extra):
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return tuple(levels)


def _resample(scale: float, channels: int, out_channels: int) -> list[nn.Module]:
    halves = [channels // 2, channels // 4]
    resampling = {
        4: [
            nn.ConvTranspose2d(channels, halves[0], 2, 2),
            LayerNorm2d(halves[0], eps=EPS),
            nn.GELU(),
            nn.ConvTranspose2d(halves[0], halves[1], 2, 2),
        ],
        2: [nn.ConvTranspose2d(channels, halves[0], 2, 2)],
        1: [],
        0.5: [nn.MaxPool2d(2, 2)],
    }
    if scale not in resampling:
        raise ConfigError(f'scales has {scale!r}; give some of {list(resampling)}')
    between = {4.0: halves[1], 2.0: halves[0]}.get(scale, channels)
    return [
        *resampling[scale],
        nn.Conv2d(between, out_channels, 1, bias=False),
        LayerNorm2d(out_channels, eps=EPS),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels, eps=EPS),
    ]
