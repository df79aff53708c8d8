"""What a training checks and logs of its sources."""

from collections import Counter
from collections.abc import Mapping, Sequence

from allinone.data.shared_sample import labelled
from allinone.errors import ConfigError
from allinone.registry import TASK_SCHEDULES
from allinone.registry.options import check_count
from allinone.step.iteration import micro_batches


def batch_sizes(data_batch: Mapping, sources: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """``{'TASK/batch_size': number of images that are labelled for it}`` of a step."""
    sizes: Counter = Counter()
    for source, batch in data_batch.items():
        for task in sources[source]:
            sizes[f'{task}/batch_size'] += sum(
                len(labelled(part, task)) for part in micro_batches(batch)
            )
    return dict(sizes)


def unit(sources: Mapping[str, tuple[str, ...]]) -> str:
    """What a schedule chooses, in words: of sources named like their tasks, these."""
    return 'task' if all(tasks == (name,) for name, tasks in sources.items()) else 'source'


def check_schedule(schedule, sources: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse schedules that follow a metric of each source, where a source is no task."""
    name = schedule.get('type') if isinstance(schedule, Mapping) else None
    kind = TASK_SCHEDULES.get(name) if isinstance(name, str) else name
    other = [source for source, tasks in sources.items() if tasks != (source,)]
    if getattr(kind, 'uses_metrics', False) and other:
        raise ConfigError(
            f'train_cfg.schedule.type is {getattr(kind, "__name__", name)!r}, which follows a '
            f'metric of each source, but source {other[0]!r} serves {list(sources[other[0]])}; use '
            "a schedule without metrics, such as 'AllTasks' or 'FixedProportions'"
        )


def check_micro_batches(counts, sources: Mapping) -> dict[str, int]:
    if counts is not None and not isinstance(counts, Mapping):
        raise ConfigError(f'train_cfg.micro_batches is {counts!r}; give dict(SOURCE=n)')
    for name, count in (counts or {}).items():
        if name not in sources:
            raise ConfigError(
                f'train_cfg.micro_batches has {name!r}, but train_dataloader has only '
                f'{list(sources)}'
            )
        check_count(f'train_cfg.micro_batches.{name}', count)
    return dict(counts or {})
