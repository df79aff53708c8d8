"""Labels of an image on their way through a pipeline of several tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from allinone.tasks import TaskKind
from allinone.tasks.joined_labels import JoinedLabels


@dataclass
class SharedLabels:
    """What a sample of a shared source has of each task, under the key ``labels``.

    Args:
        kinds: ``{task: kind}`` of all tasks of the source.
        infos: ``{task: what the task's data set knows of the image}`` of the tasks that it has
            labels of, and once loaded the labels that no transform changes.
    """

    kinds: Mapping[str, TaskKind]
    infos: dict[str, dict]
    loaded: dict[str, frozenset[str]] = field(default_factory=dict)

    def joined(self) -> dict[type[JoinedLabels], tuple[str, ...]]:
        """Tasks by the form in which transforms see their labels together."""
        return joined_tasks(self.kinds)


def joined_tasks(kinds: Mapping[str, TaskKind]) -> dict[type[JoinedLabels], tuple[str, ...]]:
    """Tasks by the form in which transforms see their labels together, where there is one."""
    found: dict[type[JoinedLabels], tuple[str, ...]] = {}
    for task, kind in kinds.items():
        if kind.joined_labels is not None:
            found[kind.joined_labels] = (*found.get(kind.joined_labels, ()), task)
    return found
