"""``annotated_classes`` of a data set, which its ``metainfo`` has in the long form."""

from collections.abc import Iterator

from mmengine.config import Config

from allinone.errors import ConfigError

from .sources import LABELS

KEY = 'annotated_classes'


def move_annotated_classes(cfg: Config) -> None:
    """Move ``annotated_classes`` of each data set into the ``metainfo`` of the innermost, in place.

    Args:
        cfg: A config with loaders.

    Raises:
        ConfigError: If a data set has it at both places.
    """
    for stage in ('train', 'val', 'test'):
        loaders = cfg._cfg_dict.get(f'{stage}_dataloader')
        for source, loader in loaders.items() if isinstance(loaders, dict) else ():
            if isinstance(loader, dict):
                _move(f'{stage}_dataloader.{source}.dataset', dict.get(loader, 'dataset'), None)


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
