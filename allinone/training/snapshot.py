"""Running a model without leaving a trace in it."""

import logging
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from allinone.distributed.processes import local

# Attributes of a module that belong to another attribute of a module, and so on up to this depth
DEPTH = 5
ATOMS = (
    str,
    bytes,
    int,
    float,
    complex,
    type,
    type(None),
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    ModuleType,
    logging.Logger,
)
# Objects of these packages refer to the whole run (its logger, its hub), or are PyTorch's own.
FOREIGN = ('torch', 'mmengine', 'logging', 'threading', 'multiprocessing', 'concurrent')
OWN = frozenset(vars(nn.Module())) - {'training', '_buffers', '_modules'}


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Context that puts a model back in place as it was, and with it the random number generators.

    What is put back: parameters and buffers (as shards, too), gradients, and whatever the modules
    keep in attributes: numbers, tensors, containers and objects of those. Objects stay the same
    ones, so that references to them from elsewhere hold. Not put back are objects with
    ``__slots__``, iterators, and what is nested deeper than :data:`DEPTH`.
    """
    snapshot = Snapshot(model)
    generators = _generators()
    gradients = [(param, param.grad) for param in model.parameters()]
    for param, _ in gradients:
        param.grad = None
    try:
        yield
    finally:
        for param, gradient in gradients:
            param.grad = gradient
        snapshot.restore()
        for restore in generators:
            restore()


def _generators() -> list[Callable[[], object]]:
    """Calls that restore the global generators. OpenCV's cannot be read; each draw seeds it."""
    host = random.getstate(), np.random.get_state(), torch.get_rng_state()
    found: list[Callable[[], object]] = [
        lambda: random.setstate(host[0]),
        lambda: np.random.set_state(host[1]),
        lambda: torch.set_rng_state(host[2]),
    ]
    if torch.cuda.is_available():
        devices = torch.cuda.get_rng_state_all()
        found.append(lambda: torch.cuda.set_rng_state_all(devices))
    return found


class Snapshot:
    """The content of an object and of all that it consists of.

    Args:
        root: The object.
        depth: Attributes of attributes, and members of containers, are followed up to this depth.
    """

    def __init__(self, root: object, depth: int = DEPTH):
        self._undo: list[Callable[[], object]] = []
        self._seen: dict[int, object] = {}  # Holds the objects, so that no number is used twice.
        self._take(root, depth)

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back in place; an error comes after the rest is back."""
        failed: Exception | None = None
        for undo in self._undo:
            try:
                undo()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _take(self, value, depth: int) -> None:
        if isinstance(value, ATOMS) or id(value) in self._seen or depth < 0:
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self._take_tensor(value)
        elif isinstance(value, np.ndarray):
            if value.flags.writeable:
                self._undo.append(partial(np.copyto, value, value.copy()))
        elif isinstance(value, nn.Module):
            self._take_attributes(value, OWN, DEPTH)
            for param in value.parameters(recurse=False):
                self._take(param, depth)
        elif isinstance(value, (dict, list, set, deque, tuple)):
            self._take_members(value, depth - 1)
        elif (keep := _generator(value)) is not None:
            self._undo.append(keep)
        elif hasattr(value, '__dict__') and type(value).__module__.split('.')[0] not in FOREIGN:
            self._take_attributes(value, frozenset(), depth - 1)

    def _take_tensor(self, value: Tensor) -> None:
        if is_lazy(value):
            return  # It has no values yet.
        content = local(value.detach())
        if content.layout is torch.strided and 0 in content.stride():
            # Expanded: several elements are one place in memory.
            memory = content.untyped_storage()
            copied = memory.clone()
            self._undo.append(lambda: memory.copy_(copied))
        else:
            kept = content.clone()
            self._undo.append(lambda: content.copy_(kept))

    def _take_members(self, value, depth: int) -> None:
        if isinstance(value, dict):
            # Not a method of a subclass: a ConfigDict builds what it hands out.
            kind = OrderedDict if isinstance(value, OrderedDict) else dict
            items = list(kind.items(value))
            self._undo += [partial(kind.clear, value), partial(kind.update, value, items)]
            members = [member for _, member in items]
        else:
            members = list(value)
            if isinstance(value, (list, deque)):
                self._undo += [value.clear, partial(value.extend, members)]
            elif isinstance(value, set):
                self._undo += [value.clear, partial(value.update, members)]
        for member in members:
            self._take(member, depth)

    def _take_attributes(self, value, left_out: frozenset[str], depth: int) -> None:
        now = vars(value)
        kept = {name: part for name, part in now.items() if name not in left_out}

        def undo() -> None:
            for name in now.keys() - kept.keys() - left_out:
                del now[name]
            now.update(kept)

        self._undo.append(undo)
        for name, part in kept.items():
            # Modules are of no depth: a model is as deep as it is.
            self._take(part, DEPTH if name == '_modules' else depth)


def _generator(value) -> Callable[[], object] | None:
    """A call that puts a random number generator back; None for other objects."""
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: value.set_state(state)
    if isinstance(value, np.random.Generator):
        content = value.bit_generator.state
        return lambda: setattr(value.bit_generator, 'state', content)
    if isinstance(value, np.random.RandomState):
        words = value.get_state()
        return lambda: value.set_state(words)
    if isinstance(value, random.Random):
        parts = value.getstate()
        return lambda: value.setstate(parts)
    return None
