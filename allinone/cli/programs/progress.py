"""The progress of a tool on the terminal: bars, rates and sentences between them."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class RateProgress(Progress):
    """Bars on stderr with the number of items, their rate and the time left."""

    def __init__(self):
        super().__init__(
            TextColumn('{task.description}'),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.fields[rate]}'),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def tracked(
        self, found: Iterable, what: str, total: int | None, completed: int = 0
    ) -> Iterator:
        """The items, with a bar of their own.

        Args:
            found: The items.
            what: Name of the bar.
            total: Number of items; None if it is not known.
            completed: Number of items that are done before the first one.
        """
        task = self.add_task(what, total=total, completed=completed, rate='')
        try:
            for entry in found:
                yield entry
                self.advance(task)
                speed = self.tasks[task].speed
                if speed:
                    self.update(task, rate=f'{speed:.1f}/s')
        finally:
            self.stop_task(task)
