"""Bytes of the tensors that graphs hold for their backward passes."""

import torch
from torch import Tensor


class SavedTensors:
    """As a context: counts the storages that graphs hold, each once.

    Attributes:
        peak: The most bytes held at one time.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, int]] = {}
        self._now = self.peak = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept.tensor)

    def __enter__(self) -> 'SavedTensors':
        self._hooks.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> '_Kept':
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        count, size = self._held.get(key, (0, storage.nbytes()))
        self._held[key] = count + 1, size
        if not count:
            self._now += size
            self.peak = max(self.peak, self._now)
        return _Kept(self, tensor, key)

    def free(self, key: int) -> None:
        """Count a tensor less of a storage."""
        count, size = self._held.pop(key)
        if count > 1:
            self._held[key] = count - 1, size
        else:
            self._now -= size


class _Kept:
    def __init__(self, counter: SavedTensors, tensor: Tensor, key: int):
        self.counter, self.tensor, self.key = counter, tensor, key

    def __del__(self) -> None:
        self.counter.free(self.key)
