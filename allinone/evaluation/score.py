"""The metrics' short names and the one metric that a joint model is chosen by."""

from collections import Counter
from collections.abc import Iterable, Mapping

from allinone.errors import ConfigError


def short_names(metrics: Mapping[str, float], prefixes: Iterable[str | None]) -> dict[str, float]:
    """Drop the prefixes of the metric classes: ``coco/bbox_mAP`` is ``bbox_mAP``.

    The rest of a name stays whole, whatever is in it: ``IoU.area/drivable``. Where two metrics
    would get one name, they keep the prefixes.

    Args:
        metrics: ``{name: value}`` of an evaluator.
        prefixes: ``prefix`` of each of its metrics.
    """
    starts = [f'{prefix}/' for prefix in prefixes if prefix]

    def short(name: str) -> str:
        start = next((start for start in starts if name.startswith(start)), '')
        return name.removeprefix(start)

    count = Counter(map(short, metrics))
    return {
        name if count[short(name)] > 1 else short(name): value for name, value in metrics.items()
    }


def combined_score(
    metrics: Mapping[str, float], members: Mapping[str, float], key: str
) -> dict[str, float]:
    """``{'score': mean of factor * metric}`` over ``members``, or nothing without members.

    Args:
        metrics: ``{'TASK/metric': value}``.
        members: ``{'TASK/metric': factor}``, e.g. 1 for a metric in percent, 100 for a fraction.
        key: The config key of ``members``, for messages.

    Raises:
        ConfigError: If a member is not among the metrics.
    """
    if not members:
        return {}
    missing = sorted(set(members) - set(metrics))
    if missing:
        raise ConfigError(f'{key} names {missing}, but the evaluators gave {sorted(metrics)}')
    return {'score': sum(factor * metrics[name] for name, factor in members.items()) / len(members)}
