"""Feature maps of backbones, as text."""

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from allinone.config.feature_maps import FeatureMap, running_backbone
from allinone.config.input_sizes import size_rule
from allinone.config.loading import load_config
from allinone.config.shipped import find_config, shipped_folder
from allinone.errors import AllInOneError, ConfigError
from allinone.models.backbones.normalisation import Normalisation, mismatch, of_config

FOLDER = Path('configs/_base_/backbones')
LIBRARIES = dict(timm='TimmBackbone', torchvision='TorchvisionBackbone')
# The comment of a base says which weights there are; how they are set follows.
WEIGHTS = re.compile(r'^# Weights: (.*?)(?:, by\b.*)?$')


class Features(NamedTuple):
    """What is known of a backbone.

    Attributes:
        name: What it was called, or of a base its file's name.
        type: Its class in the config.
        maps: Its feature maps.
        parameters: Their number.
        sizes: Which images it takes, in words.
        weights: Where there are weights, with their licence; None if that is not known.
        normalisation: That of the config, or which the library's weights expect; None if neither
            is known.
        warning: What does not fit, in words; None if nothing is known of that.
    """

    name: str
    type: str
    maps: list[FeatureMap]
    parameters: int
    sizes: str
    weights: str | None
    normalisation: Normalisation | None
    warning: str | None


def list_features(args) -> int:
    """What ``tools/features.py`` does; the exit status."""
    try:
        lines = table() if args.table else described(features(args.backbone))
        for line in lines:
            print(line, flush=True)
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


def features(name: str) -> Features:
    """Read a backbone's config, build it and run it on blank images.

    Args:
        name: A config file, a name in ``configs/_base_/backbones``, ``timm:NAME`` or
            ``torchvision:NAME``.

    Raises:
        ConfigError: If there is no such backbone, or it cannot be built or run.
    """
    path, model = _config(name)
    cfg = model['backbone']
    key = f'{path}: model.backbone' if path else name
    backbone, maps = running_backbone(key, cfg)
    count = sum(param.numel() for param in backbone.parameters())
    weights = _weights(path) if path else None
    if isinstance(licence := getattr(backbone, 'licence', None), str) and weights is None:
        weights = f'licence {licence}, as timm lists it'
    kind = cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__
    used = of_config(model.get('data_preprocessor'))
    return Features(
        name=path.stem if path else name,
        type=kind,
        maps=maps,
        parameters=count,
        sizes=size_rule(backbone),
        weights=weights,
        normalisation=used or getattr(backbone, 'normalisation', None),
        warning=mismatch(backbone, used),
    )


def described(found: Features) -> Iterator[str]:
    """Lines for a person."""
    yield f'{found.name}: {found.type}'
    yield f'parameters  {_millions(found.parameters)}'
    yield f'images      {found.sizes}'
    if found.weights:
        yield f'weights     {found.weights}'
    if found.normalisation:
        yield f'normalised  {found.normalisation}'
    if found.warning:
        yield f'warning     {found.warning}'
    yield 'map  channels  stride'
    for one in found.maps:
        stride = '-' if one.stride is None else one.stride
        yield f'{one.number:>3}  {one.channels:>8}  {stride:>6}'


def table() -> Iterator[str]:
    """Lines of a Markdown table of all bases."""
    yield '| base | channels (stride) of its maps | parameters | images | weights (licence) |'
    yield '|---|---|---|---|---|'
    for name in bases():
        yield row(features(name))


def row(found: Features) -> str:
    """The line of a backbone in that table."""
    maps = ', '.join(f'{one.channels} ({one.stride})' for one in found.maps)
    weights = found.weights or ''
    return (
        f'| `{found.name}` | {maps} | {_millions(found.parameters)} | {found.sizes} | {weights} |'
    )


def bases() -> list[str]:
    """Names of the bases in ``configs/_base_/backbones``."""
    return sorted(path.stem for path in _folder().glob('*.py'))


def _folder() -> Path:
    return FOLDER if FOLDER.is_dir() else shipped_folder() / FOLDER.relative_to('configs')


def _config(name: str) -> tuple[Path | None, Mapping]:
    """The file of a backbone, if it has one, and the config of a model with it."""
    library, colon, model = name.partition(':')
    if colon and library in LIBRARIES:
        return None, dict(backbone=dict(type=LIBRARIES[library], model_name=model))
    path = _folder() / f'{name}.py' if name in bases() else Path(name)
    with suppress(ConfigError):
        path = Path(find_config(str(path)))
    if not path.is_file():
        near = difflib.get_close_matches(name, bases(), 3)
        raise ConfigError(
            f'BACKBONE is {name!r}, which is neither a config file nor in {FOLDER}; '
            + (f'do you mean {" or ".join(near)}?' if near else 'or give timm:NAME')
        )
    # What the tasks want of the maps may be why these are listed.
    model_cfg = load_config(str(path), wire=False).get('model')
    cfg = model_cfg.get('backbone') if isinstance(model_cfg, Mapping) else None
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise ConfigError(f'{path} has no model.backbone with a type; give a config that has one')
    return path, model_cfg


def _weights(path: Path) -> str | None:
    """What the comment at the head of a base says of weights."""
    lines = path.read_text(encoding='utf-8').splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith('# Weights: ')), None)
    if start is None:
        return None
    text = lines[start]
    for line in lines[start + 1 :]:
        if not line.startswith('#     '):
            break
        text += f' {line[1:].strip()}'
    match = WEIGHTS.match(text)
    return match and match[1]


def _millions(count: int) -> str:
    return f'{count / 1e6:.1f} M'
