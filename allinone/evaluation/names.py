"""Which values an evaluation will give, known before it runs."""

from collections.abc import Iterable, Mapping

from mmengine.evaluator import Evaluator

from allinone.errors import ConfigError
from allinone.tasks import TaskKind


def metric_names(evaluator: Evaluator, kind: TaskKind) -> set[str] | None:
    """Short names of all values of an evaluator; None where one of its metrics is not known."""
    found = [kind.metric_names(metric) for metric in evaluator.metrics]
    known = [names for names in found if names is not None]
    return set().union(*known) if len(known) == len(found) else None


def check_metric_names(
    key: str, names: Iterable[str], evaluated: Iterable[str] | Mapping[str, set[str] | None]
) -> None:
    """Refuse ``'TASK/metric'`` names that validation will not give.

    Args:
        key: The config key that holds the names, for messages.
        names: ``'TASK/metric'`` each.
        evaluated: The tasks that validation evaluates, with the values of each where known.

    Raises:
        ConfigError: If a task is not evaluated, or its metrics are known and give no such metric.
    """
    values: Mapping[str, set[str] | None] = (
        evaluated if isinstance(evaluated, Mapping) else dict.fromkeys(evaluated)
    )
    missing = [name for name in names if name.split('/')[0] not in values]
    if missing:
        raise ConfigError(
            f'{key} names {missing}, but validation evaluates only {list(values)}; add the tasks '
            'to val_dataloader and val_evaluator'
        )
    for name in names:
        task, _, metric = name.partition('/')
        given = values[task]
        # With or without the prefix of its class
        if given is not None and not {metric, metric.partition('/')[2]} & given:
            raise ConfigError(
                f'{key} names {name!r}, but val_evaluator.{task} gives {sorted(given)}'
            )
