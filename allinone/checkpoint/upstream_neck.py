"""Names of the shared neck's weights in a task's upstream model."""

from collections.abc import Sequence

from allinone.config.parts import SHARED_NECK

NECK = 'neck.'
SHARED = f'{SHARED_NECK}.'
LEVELS = 'lateral_convs', 'fpn_convs'  # Lists of FPN with one layer a level


class UpstreamNeck:
    """Renames weights between a joint model and a task's upstream model with the shared neck.

    The upstream model's neck is the shared one or, if the task has task-specific necks, a sequence
    of the shared one and those.

    Args:
        own: Number of the task-specific necks.
        listed: Whether they are a sequence in the joint model, too.
        skipped: Number of the first levels that the upstream neck, an FPN, lacks.

    Attributes:
        prefix: Of the shared neck in the upstream model.
    """

    def __init__(self, own: int = 0, listed: bool = False, skipped: int = 0):
        self.prefix = f'{NECK}0.' if own else NECK
        self._moved = [
            (f'{NECK}{number}.' if listed else NECK, f'{NECK}{number + 1}.')
            for number in range(own)
        ]
        self._skipped = skipped

    def upstream(self, name: str) -> str | None:
        """The upstream name of ``shared_neck.*``, or of a weight of the task without its prefix.

        None if it is of a level that the upstream neck lacks.
        """
        if not name.startswith(SHARED):
            return _replaced(name, self._moved)
        part = self._level(name.removeprefix(SHARED), -self._skipped)
        return None if part is None else self.prefix + part

    def joint(self, name: str) -> str:
        """The inverse of :meth:`upstream`."""
        if name.startswith(self.prefix):
            return SHARED + str(self._level(name.removeprefix(self.prefix), self._skipped))
        return _replaced(name, [(new, old) for old, new in self._moved])

    def _level(self, part: str, change: int) -> str | None:
        """A name with another number of its level; None if there is none."""
        kind, _, rest = part.partition('.')
        if not change or kind not in LEVELS:
            return part
        level, _, rest = rest.partition('.')
        number = int(level) + change
        return None if number < 0 else f'{kind}.{number}.{rest}'


def skipped_levels(
    neck: str, start: int, inputs: int, count: int, chosen: Sequence[int] | None
) -> int | None:
    """Number of first levels that a neck may leave out, and give the same others.

    The levels of an FPN depend on those above them alone, and ``start_level`` leaves out the first.
    Not those that it makes of its last one by pooling.

    Args:
        neck: Name of its class.
        start: Its ``start_level``.
        inputs: Number of feature maps that it takes.
        count: Number of its feature maps.
        chosen: Indices of the feature maps that are used; None: all.

    Returns:
        None if it cannot give only the chosen ones.
    """
    if chosen is None or list(chosen) == list(range(count)):
        return 0
    ends = bool(chosen) and list(chosen) == list(range(count))[chosen[0] :]
    return chosen[0] if ends and neck == 'FPN' and not start and chosen[0] < inputs else None


def _replaced(name: str, pairs: list[tuple[str, str]]) -> str:
    for old, new in pairs:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
