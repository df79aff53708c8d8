"""What an interrupted conversion had checked already, so that the next one goes on."""

import json
import os
from contextlib import suppress
from pathlib import Path

__all__ = [
    'JOURNAL',
    'Journal',
]

JOURNAL = '.conversion.jsonl'


class Journal:
    """Images that were found in order, one line each, after a line that says of which set.

    A line that was cut short, and all lines of another set, are as good as none.

    Args:
        out: The folder converted to.
        identity: What must be the same for the lines to count.
    """

    def __init__(self, out: Path, identity: dict):
        self.path = out / JOURNAL
        self.known: dict[str, list] = {}
        self._lines: list[str] = []
        kept = self._read(identity)
        self._file = open(self.path, 'r+' if kept else 'w', encoding='utf-8')
        if kept:
            self._file.seek(kept)
            self._file.truncate()
        else:
            self._file.write(json.dumps(identity) + '\n')
        self._file.flush()

    def _read(self, identity: dict) -> int:
        """Read what counts; returns its length in bytes."""
        kept = 0
        with suppress(FileNotFoundError, ValueError), open(self.path, 'rb') as file:
            if json.loads(file.readline()) != identity:
                return 0
            kept = file.tell()
            for line in file:
                if not line.endswith(b'\n'):
                    break
                name, *found = json.loads(line)
                self.known[name] = found
                kept += len(line)
        return kept

    def add(self, name: str, *found) -> None:
        """Remember an image from the next :meth:`flush` on."""
        self._lines.append(json.dumps([name, *found]) + '\n')

    def flush(self) -> None:
        self._file.write(''.join(self._lines))
        self._file.flush()
        self._lines.clear()

    def close(self, done: bool) -> None:
        """Close the file; one that is no longer needed is removed."""
        self._file.close()
        if done:
            os.remove(self.path)
