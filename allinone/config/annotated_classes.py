"""``annotated_classes`` of a data set, which its ``metainfo`` has in the long form."""

from collections.abc import Iterator

from mmengine.config import Config

from allinone.errors import ConfigError
from allinone.io.text import shortened

from .data_sets import innermost
from .sources import LABELS

KEY = 'annotated_classes'
REGIONS = 'ignored_regions'
STAGES = ('train', 'val', 'test')


def move_annotated_classes(cfg: Config) -> None:
    """Move ``annotated_classes`` of each data set into the ``metainfo`` of the innermost, in place.

    Args:
        cfg: A config with loaders.

    Raises:
        ConfigError: If a data set has it at both places, or the parts of a concatenation differ.
    """
    for stage in STAGES:
        loaders = cfg._cfg_dict.get(f'{stage}_dataloader')
        for source, loader in loaders.items() if isinstance(loaders, dict) else ():
            if isinstance(loader, dict):
                key, dataset = f'{stage}_dataloader.{source}.dataset', dict.get(loader, 'dataset')
                _move(key, dataset, None)
                _compare(key, dataset)


def _move(key: str, dataset, chosen) -> None:
    if not isinstance(dataset, dict):
        return
    own = dataset.pop(KEY, None)
    if own is not None and chosen is not None:
        raise ConfigError(f'{key}.{KEY} is {own!r}, and the data set around it has one; keep one')
    chosen = chosen if own is None else own
    inner = list(_inside(key, dataset))
    for place, part in inner:
        _move(place, part, chosen)
    if inner or chosen is None:
        return
    metainfo = dataset.get('metainfo') or {}
    if KEY in metainfo:
        raise ConfigError(f'{key} has {KEY} and metainfo.{KEY}; keep one')
    dataset['metainfo'] = dict(metainfo, **{KEY: chosen})


def _compare(key: str, dataset) -> None:
    """Refuse a concatenation whose parts differ, which mmengine would refuse without a remedy."""
    if not isinstance(dataset, dict):
        return
    for place, part in _inside(key, dataset):
        _compare(place, part)
    parts = dict.get(dataset, 'datasets')
    found = [part for _, part in innermost(dataset)] if isinstance(parts, (list, tuple)) else []
    for name in (KEY, REGIONS):
        values = [(part.get('metainfo') or {}).get(name) for part in found]
        if any(value != values[0] for value in values):
            raise ConfigError(
                f'{key} concatenates data sets with different metainfo.{name} '
                f'({shortened(map(repr, values))}), but images of a batch leave out the same; make '
                'a source of each, with the same tasks'
            )


def _inside(key: str, dataset: dict) -> Iterator[tuple[str, dict]]:
    """The data sets directly inside a wrapper, a concatenation or a shared source."""
    parts = {'dataset': dict.get(dataset, 'dataset')}
    datasets, labels = (dict.get(dataset, name) for name in ('datasets', LABELS))
    if isinstance(datasets, (list, tuple)):
        parts |= {f'datasets.{number}': part for number, part in enumerate(datasets)}
    if isinstance(labels, dict):
        parts |= {f'{LABELS}.{task}': part for task, part in labels.items()}
    for name, part in parts.items():
        if isinstance(part, dict) and 'type' in part:
            yield f'{key}.{name}', part
