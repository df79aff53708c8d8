"""Journal of checked images, with which an interrupted conversion continues."""

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
    """Images that passed the check, one line each, after a line that identifies the conversion.

    A truncated line and all lines of another conversion are ignored.

    Args:
        out: The output folder.
        identity: Values that must be equal for existing lines to be valid.
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
        """Read the valid lines; returns their length in bytes."""
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
        """Add an image; the next :meth:`flush` writes it."""
        self._lines.append(json.dumps([name, *found]) + '\n')

    def flush(self) -> None:
        self._file.write(''.join(self._lines))
        self._file.flush()
        self._lines.clear()

    def close(self, done: bool) -> None:
        """Close the file, and delete it if the conversion is done."""
        self._file.close()
        if done:
            os.remove(self.path)
