"""Base of backbones that are a model of another library."""

import difflib
from collections.abc import Iterable, Sequence

from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from allinone.errors import ConfigError


class LibraryBackbone(BaseModule):
    """A library's model under ``model``, whose parameters have the library's names.

    State dicts as the library saves them are loaded too: their names lack ``model.``, and what the
    backbone does not have, such as a classifier, is left out.

    Args:
        init_cfg: As in mmengine; ``Pretrained`` takes a checkpoint as the library saves it.
    """

    model: nn.Module

    def __init__(self, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self._register_load_state_dict_pre_hook(self._from_official)

    def init_weights(self) -> None:
        """Apply ``init_cfg``; else the weights stay that the library has drawn."""
        if self.init_cfg:
            initialize(self, self.init_cfg)
        self._is_init = True

    def renamed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of the library with the names, and in the shapes, of ``model``."""
        return state

    def _from_official(self, state: dict, prefix: str, *_) -> None:
        names = [name for name in state if name.startswith(prefix)]
        if not names or any(name.startswith(f'{prefix}model.') for name in names):
            return
        official = {name[len(prefix) :]: state.pop(name) for name in names}
        for name, value in self.renamed(official).items():
            state[f'{prefix}model.{name}'] = value


def require_name(name: str, known: Sequence[str], library: str) -> None:
    """Refuse the name of a model that a library has not.

    Raises:
        ConfigError: With the nearest names.
    """
    if name not in known:
        raise ConfigError(
            f'model_name is {name!r}, which {library} does not have; {_nearest(name, known)}'
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 3)
    if near:
        return f'do you mean {" or ".join(map(repr, near))}?'
    return 'tools/features.py shows the feature maps of a name, and the library lists the names'


def last_of_each(strides: Sequence[int]) -> tuple[int, ...]:
    """Indices of the last map of each stride, from stride 4 on; of all if there are none."""
    last = {stride: index for index, stride in enumerate(strides)}
    return tuple(i for stride, i in sorted(last.items()) if stride >= 4) or tuple(last.values())
