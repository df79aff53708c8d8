"""Shortening of lists and values for messages."""

from collections.abc import Iterable, Sequence


def shortened(names: Iterable, shown: int = 3, comma: str = ', ', last: str = ' ') -> str:
    """``a, b, c and 4 more``: the first ``shown`` names and the number of the others."""
    names = [*map(str, names)]
    rest = len(names) - shown
    return comma.join(names[:shown]) + (f'{last}and {rest} more' if rest > 0 else '')


def cut_short(text: str, longest: int = 60) -> str:
    """``text`` with at most ``longest`` characters, ending in dots if it had more."""
    return text if len(text) <= longest else f'{text[: longest - 3]}...'


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return ' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))
