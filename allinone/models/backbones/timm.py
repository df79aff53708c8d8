"""Models of timm as backbones."""

import difflib
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from allinone.errors import ConfigError
from allinone.registry import MODELS

from .library import LibraryBackbone, last_of_each, require_name
from .normalisation import Normalisation

# Models that accept an option take images of any size by it; the first one accepted is set.
ANY_SIZE: tuple[dict, ...] = (
    dict(dynamic_img_size=True),
    dict(strict_img_size=False),
)


@MODELS.register_module()
class TimmBackbone(LibraryBackbone):
    """A `timm <https://huggingface.co/docs/timm>`_ model without its classifier.

    Feature maps are those of timm's ``forward_intermediates``, or of ``features_only=True`` where a
    model lacks it. Weights are read by ``init_cfg``, never from the network by timm.

    Args:
        model_name: Name of the model, with or without the tag of its weights.
        out_indices: Indices of timm's feature maps (for transformers, of blocks). Default: the last
            map of each stride from 4 on.
        norm: Whether the model's last norm is applied to each map, for models that can. DINOv2 and
            DINOv3 are usually read so.
        init_cfg: As in mmengine; ``Pretrained`` takes a checkpoint as timm saves it.
        **kwargs: Further arguments of ``timm.create_model``. Images of any size are enabled unless
            these say otherwise (``dynamic_img_size``, ``strict_img_size``).

    Attributes:
        licence: That of the weights of ``model_name``, as timm lists it; None if it lists none.
        normalisation: That which these weights expect, as timm lists it; None if it lists none.

    Raises:
        ConfigError: If timm is missing, or has no such model, or the model gives no feature maps.
    """

    model: Any

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] | None = None,
        norm: bool = False,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ):
        super().__init__(init_cfg)
        timm = _timm()
        require_name(model_name.split('.')[0], timm.list_models(), 'timm')
        _require_tag(timm, model_name)
        if kwargs.pop('pretrained', False):
            raise ConfigError(
                'pretrained is True, which reads from the network; give a file, as in '
                "init_cfg=dict(type='Pretrained', checkpoint='model.safetensors')"
            )
        self.norm = norm
        model = _created(timm, model_name, kwargs)
        self.licence: str | None = model.pretrained_cfg.get('license')
        self.normalisation = _normalisation(model.pretrained_cfg)
        info = getattr(model, 'feature_info', None)
        if not info:
            raise ConfigError(
                f'model_name is {model_name!r}, which gives no feature maps in timm; take a model '
                'of timm.list_models() with features_only'
            )
        indices = out_indices
        if indices is None:
            indices = last_of_each([part['reduction'] for part in info])
        # Resizing of position embeddings, and older names, by model
        self._filter = getattr(sys.modules[type(model).__module__], 'checkpoint_filter_fn', None)
        if hasattr(model, 'forward_intermediates'):
            self.out_indices: list[int] | None = _pruned(model, list(indices), norm, model_name)
            self.model = model
        else:
            self.out_indices = None
            options = dict(kwargs, features_only=True, out_indices=tuple(indices))
            self.model = _created(timm, model_name, options)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps ``(N, C_i, H_i, W_i)`` of images ``(N, 3, H, W)``."""
        if self.out_indices is None:
            return tuple(self.model(x))
        maps = self.model.forward_intermediates(
            x,
            indices=self.out_indices,
            norm=self.norm,
            output_fmt='NCHW',
            intermediates_only=True,
        )
        return tuple(maps)

    def renamed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.out_indices is None:
            # timm's wrapper joins two levels of names, as in ``stages_0``.
            children = dict(self.model.named_children())
            return {_joined(name, children): value for name, value in state.items()}
        if self._filter is not None:
            try:
                return self._filter(dict(state), self.model)
            except Exception:
                pass  # Of another model: the loader names what does not fit.
        return state


def _timm():
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            "TimmBackbone needs the package timm; install it with pip install 'allinone[timm]'"
        ) from error
    return timm


def _require_tag(timm, name: str) -> None:
    """Refuse a tag of weights that a model has not, with those that it has."""
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        model, _, tag = name.partition('.')
        known = [other.partition('.')[2] for other in timm.list_pretrained(f'{model}.*')]
        near = difflib.get_close_matches(tag, known, 3, cutoff=0.4) or known[:3]
        raise ConfigError(
            f'model_name is {name!r}, and timm has no weights {tag!r} of {model}; write '
            + ' or '.join([repr(f'{model}.{one}') for one in near] or [repr(model)])
        ) from error


def _normalisation(cfg: Mapping[str, Any]) -> Normalisation | None:
    """That of the weights, if timm has any; it lists values for images from 0 to 1."""
    if not any(cfg.get(source) for source in ('url', 'hf_hub_id', 'file')):
        return None
    mean, std = ([round(255 * value, 3) for value in cfg[name]] for name in ('mean', 'std'))
    return Normalisation(mean, std, rgb=True)


def _created(timm, name: str, kwargs: dict):
    """A model with random weights, for images of any size if it has an option for that."""
    chosen = any(key in kwargs for option in ANY_SIZE for key in option)
    options = () if chosen else ANY_SIZE
    try:
        for option in options:
            try:
                return timm.create_model(name, pretrained=False, **option, **kwargs)
            except TypeError:
                continue  # Its class has no such argument.
        return timm.create_model(name, pretrained=False, **kwargs)
    except (TypeError, RuntimeError) as error:
        words = ' '.join(str(error).split()).rstrip('.')
        raise ConfigError(f'model_name {name!r} cannot be built by timm: {words}') from error


def _pruned(model, indices: list[int], norm: bool, name: str) -> list[int]:
    """The indices, after cutting off what they do not need."""
    if 'norm' not in inspect.signature(model.forward_intermediates).parameters:
        raise ConfigError(f'model_name is {name!r}, whose feature maps timm gives in another form')
    try:
        return list(model.prune_intermediate_layers(indices, prune_norm=not norm, prune_head=True))
    except (AssertionError, ValueError, IndexError) as error:
        count = len(model.feature_info)
        raise ConfigError(
            f'out_indices is {tuple(indices)}, but {name!r} has the maps 0 to {count - 1}'
        ) from error


def _joined(name: str, children: dict) -> str:
    first, _, rest = name.partition('.')
    second, _, below = rest.partition('.')
    joined = f'{first}_{second}'
    return f'{joined}.{below}' if joined in children and below else name
