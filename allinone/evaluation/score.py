"""The metrics' short names and the one metric that a joint model is chosen by."""

from collections import Counter
from collections.abc import Mapping

from allinone.errors import ConfigError


def short_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Drop the metric classes' own prefixes: ``coco/bbox_mAP`` is ``bbox_mAP``.

    Where two metrics would get one name, they keep the prefixes.
    """
    count = Counter(name.rsplit('/', 1)[-1] for name in metrics)
    return {
        name if count[name.rsplit('/', 1)[-1]] > 1 else name.rsplit('/', 1)[-1]: value
        for name, value in metrics.items()
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
