"""Models of torchvision as backbones."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torchvision import models
from torchvision.models.swin_transformer import SwinTransformer

from allinone.errors import ConfigError
from allinone.registry import MODELS

from .library import LibraryBackbone, require_name

PROBE_SIZE = 256
# Where the layers of a model are that run one after another, by a module that only it has
CONTAINERS = dict(features=(), trunk_output=('stem',), layers=())
HEADS = ('avgpool', 'fc', 'classifier', 'head', 'AuxLogits', 'aux1')


@MODELS.register_module()
class TorchvisionBackbone(LibraryBackbone):
    """A torchvision classifier without its head: the last feature map of each stride.

    ResNet, ResNeXt, RegNet, MobileNet, EfficientNet, ConvNeXt, Swin, DenseNet, VGG, MNASNet,
    ShuffleNet and the like, whose layers run one after another. Layers behind the last map are left
    out. Swin's maps are those before its last norm, channels first.

    Args:
        model_name: As in ``torchvision.models.get_model``.
        strides: Strides of the maps. Default: those of 4, 8, 16 and 32 that the model has.
        init_cfg: As in mmengine; ``Pretrained`` takes a checkpoint as torchvision saves it.
        **kwargs: Further arguments of the model.

    Raises:
        ConfigError: If torchvision has no such model, its layers do not run one after another, or
            it has no map of a stride.
    """

    def __init__(
        self,
        model_name: str,
        strides: Sequence[int] | None = None,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ):
        super().__init__(init_cfg)
        require_name(model_name, models.list_models(module=models), 'torchvision')
        self.model = models.get_model(model_name, weights=None, **kwargs)
        self.layers = _layers(self.model, model_name)
        self._channels_last = isinstance(self.model, SwinTransformer)
        found = self._strides()
        last = {stride: index for index, stride in enumerate(found)}
        chosen = [s for s in (4, 8, 16, 32) if s in last] if strides is None else list(strides)
        lacking = [stride for stride in chosen if stride not in last]
        if lacking or not chosen:
            raise ConfigError(
                f'strides is {tuple(chosen)}, but {model_name!r} has no feature map of stride '
                f'{lacking[0] if lacking else 4}; its strides are {sorted(last)}'
            )
        self.out_layers = tuple(self.layers[last[stride]] for stride in chosen)
        self.layers = self.layers[: max(last[stride] for stride in chosen) + 1]
        _keep(self.model, self.layers)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps ``(N, C_i, H_i, W_i)`` of images ``(N, 3, H, W)``."""
        maps = {}
        for name in self.layers:
            x = self.model.get_submodule(name)(x)
            if name in self.out_layers:
                maps[name] = x.permute(0, 3, 1, 2) if self._channels_last else x
        return tuple(maps[name] for name in self.out_layers)

    def _strides(self) -> list[int]:
        """The stride of each layer's output, found without computing it."""
        self.out_layers = tuple(self.layers)
        state = {
            name: torch.empty_like(value, device='meta')
            for name, value in self.state_dict(keep_vars=False).items()
        }
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            with torch.no_grad():
                blank = torch.empty(1, 3, PROBE_SIZE, PROBE_SIZE, device='meta')
                maps = functional_call(self, state, (blank,))
        finally:
            for module, mode in modes.items():
                module.training = mode
        return [PROBE_SIZE // found.shape[-1] for found in maps]


def _layers(model: nn.Module, name: str) -> list[str]:
    """Names of the modules that run one after another, before the head."""
    children = dict(model.named_children())
    for container, before in CONTAINERS.items():
        if isinstance(children.get(container), nn.Sequential):
            inner = [f'{container}.{part}' for part, _ in children[container].named_children()]
            return [*before, *inner]
    sequential = any(part in children for part in ('layer4', 'stage4'))
    if not sequential:
        raise ConfigError(
            f'model_name is {name!r}, whose layers in torchvision do not run one after another, so '
            'it gives no feature maps; take such a model of timm (TimmBackbone) or mmpretrain'
        )
    return [part for part in children if part not in HEADS]


def _keep(model: nn.Module, layers: Sequence[str]) -> None:
    """Delete the modules of a model that are not, or do not contain, one of these."""
    for name, child in list(model.named_children()):
        inside = [layer for layer in layers if layer.startswith(f'{name}.')]
        if name in layers:
            continue
        if not inside:
            delattr(model, name)
            continue
        for part, _ in list(child.named_children()):
            if f'{name}.{part}' not in inside:
                delattr(child, part)
