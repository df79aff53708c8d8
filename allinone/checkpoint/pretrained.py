"""Safe ``init_cfg=dict(type='Pretrained')``, which executes no code from the file."""

from mmengine.model.weight_init import PretrainedInit, update_init_info
from torch import nn

from allinone.registry import WEIGHT_INITIALIZERS

from .loading import load_weights


@WEIGHT_INITIALIZERS.register_module(name='Pretrained')
class SafePretrainedInit(PretrainedInit):
    """Replacement of mmengine's ``PretrainedInit``, whose loader falls back to unpickling any type.

    Raises:
        CheckpointError: If the file cannot be read safely, or none of its keys matches.
    """

    def __call__(self, module: nn.Module) -> None:
        load_weights(module, self.checkpoint, self.prefix, key='init_cfg.checkpoint')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
