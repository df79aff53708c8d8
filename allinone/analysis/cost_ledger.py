"""Operations and saved tensors of a run, by the parts of a joint model."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torchvision  # noqa: F401  # registers `torch.ops.torchvision`
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_flop_count

from allinone.models.allinone import AllInOne

SHARED = ('backbone', 'shared_neck')  # Attributes of the joint model that run once for all tasks


def _deform_conv_flops(input, weight, *_, out_shape, **__) -> int:
    """As many as a convolution of this weight and output; sampling at the offsets is left out."""
    return conv_flop_count(input, weight, out_shape)


def _attention_flops(query, key, value, *_, **__) -> int:
    return sdpa_flop_count(query, key, value)


FORMULAS = {
    torch.ops.torchvision.deform_conv2d: _deform_conv_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}


class Ledger:
    """Counts operations and saved tensors for the part of the model that runs.

    Args:
        model: The joint model, whose shared parts are recognised when they run.

    Attributes:
        flops: ``{part: floating-point operations}``.
        activations: ``{part: bytes}`` of tensors that autograd keeps, without weights; tensors that
            share their memory count once, for the first part.
    """

    def __init__(self, model: AllInOne):
        self.flops: Counter[str] = Counter()
        self.activations: Counter[str] = Counter()
        self._model = model
        self._counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
        self._counted = 0
        self._parts: list[str] = []
        self._whole = False
        # Kept, because the identity of freed memory is given again
        weights = (*model.parameters(), *model.buffers())
        self._storages = {_identity(weight): weight.untyped_storage() for weight in weights}

    @contextmanager
    def open(self) -> Iterator[None]:
        """Count what runs inside."""
        hooks = []
        for name in SHARED:
            module = getattr(self._model, name, None)
            if module is not None:
                hooks.append(
                    module.register_forward_pre_hook(lambda *_, name=name: self._push(name))
                )
                hooks.append(module.register_forward_hook(lambda *_: self._pop()))
        try:
            with self._counter, torch.autograd.graph.saved_tensors_hooks(self._keep, lambda x: x):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def part(self, name: str, whole: bool = False) -> Iterator[None]:
        """Count what runs inside for a part, with ``whole`` also its passes of shared parts."""
        self._push(name)
        self._whole = whole
        yield
        self._whole = False
        self._pop()

    def _push(self, name: str) -> None:
        self._charge()
        self._parts.append(self._parts[-1] if self._whole else name)

    def _pop(self) -> None:
        self._charge()
        self._parts.pop()

    def _charge(self) -> None:
        """Add what was counted since the last call to the part that ran."""
        total = self._counter.get_total_flops()
        if self._parts:
            self.flops[self._parts[-1]] += total - self._counted
        self._counted = total

    def _keep(self, tensor: Tensor) -> Tensor:
        identity = _identity(tensor)
        if identity not in self._storages and self._parts:
            self._storages[identity] = tensor.untyped_storage()
            self.activations[self._parts[-1]] += tensor.untyped_storage().nbytes()
        return tensor


def _identity(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
