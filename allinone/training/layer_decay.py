"""Lower learning rates for the earlier layers of the backbone."""

from collections.abc import Callable

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from allinone.errors import ConfigError
from allinone.registry import OPTIM_WRAPPER_CONSTRUCTORS

BACKBONE = 'backbone.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(LearningRateDecayOptimWrapperConstructor):
    """mmpretrain's layer-wise decay for a joint model: of the backbone's layers only.

    ``paramwise_cfg`` is that of the upstream constructor. With ``layer_decay_rate`` d, a layer n
    below the heads learns at d^n times their rate; a shared neck, above all layers, at theirs.

    Raises:
        ConfigError: If the backbone does not tell the depth of its layers.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
        **kwargs,
    ) -> None:
        if prefix == '':
            get_layer_depth = _depth_in(module.get_submodule('backbone'))
        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
        if prefix == '':
            # Heads that share parameters between levels list them more than once.
            unique = {id(group['params'][0]): group for group in params}
            params[:] = unique.values()


def _depth_in(backbone: nn.Module) -> Callable[[str], tuple[int, int]]:
    get_layer_depth = getattr(backbone, 'get_layer_depth', None)
    if get_layer_depth is None:
        raise ConfigError(
            f"optim_wrapper.constructor is 'LayerDecay', but {type(backbone).__name__} does not "
            "tell the depth of its layers; take mmpretrain's ConvNeXt, SwinTransformer, "
            'VisionTransformer, ViTSAM, BEiTViT or ResNet, or leave the constructor out'
        )

    def depth(name: str) -> tuple[int, int]:
        if name.startswith(BACKBONE):
            return get_layer_depth(name, prefix=BACKBONE)
        _, layers = get_layer_depth('', prefix=BACKBONE)
        return layers - 1, layers

    return depth
