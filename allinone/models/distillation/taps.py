"""Capture of the outputs of inner modules during a normal pass of a model."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from allinone.errors import ConfigError


@contextmanager
def tapped(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, list]]:
    """Context in which each call of a named module appends its output to ``{name: [output, ...]}``.

    The libraries' heads call ``forward`` of their parts both with and without torch's hooks, so
    ``forward`` itself is replaced.

    Raises:
        ConfigError: If the model has no module of one of the names.
    """
    names = set(names)
    heard: dict[str, list] = {name: [] for name in names}
    modules = {name: submodule(model, name) for name in names}
    own = {name: vars(module).get('forward') for name, module in modules.items()}
    for name, module in modules.items():
        module.forward = _recording(module.forward, heard[name])
    try:
        yield heard
    finally:
        for name, module in modules.items():
            if (before := own[name]) is None:
                del module.forward
            else:
                module.forward = before


def _recording(forward, answers: list):
    def record(*args, **kwargs):
        answers.append(forward(*args, **kwargs))
        return answers[-1]

    return record


def submodule(model: nn.Module, name: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(
            f'{type(model).__name__} has no module {name!r}; its parts are '
            f'{[part for part, _ in model.named_children()]}'
        ) from error


def tensors(answer) -> list[Tensor]:
    """The tensors of nested lists and tuples, in order."""
    if isinstance(answer, Tensor):
        return [answer]
    if isinstance(answer, (list, tuple)):
        return [tensor for part in answer for tensor in tensors(part)]
    raise ConfigError(f'its answer holds {type(answer).__name__}, not only tensors')
