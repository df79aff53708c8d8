"""An average of weights that leaves alone what training leaves alone."""

import torch
from mmengine.hooks import EMAHook as StockEMAHook

from allinone.config.parts import prefixes_of
from allinone.registry import HOOKS


@HOOKS.register_module()
class EMAHook(StockEMAHook):
    """mmengine's ``EMAHook``, exact in what is frozen.

    Some averages of a number with itself are not that number to the last bit
    (``mmpretrain.CosineEMA``: :math:`(1 - m) x + m x`). So parameters that need no gradient, and
    all tensors of the parts in ``model.frozen``, are copied instead.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        frozen = tuple(
            prefix for name in getattr(self.src_model, 'frozen', ()) for prefix in prefixes_of(name)
        )
        parameters = dict(self.src_model.named_parameters())
        self._fixed = [
            name
            for name in self.src_model.state_dict()
            if name.startswith(frozen)
            or (name in parameters and not parameters[name].requires_grad)
        ]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self._fixed:
            source, average = (
                model.state_dict() for model in (self.src_model, self.ema_model.module)
            )
            torch._foreach_copy_(
                [average[name] for name in self._fixed], [source[name] for name in self._fixed]
            )
