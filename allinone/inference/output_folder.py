"""Output folder of ``tools/infer.py``: ownership, completed inputs and resuming."""

import json
import os
import os.path as osp
from collections.abc import Iterable, Mapping
from itertools import count

from allinone.errors import ConfigError
from allinone.io.atomic import write_json
from allinone.io.outputs import require_writable

MARK, LINES = 'infer.json', 'predictions.jsonl'
DRAWN, RECORDS = 'vis', 'predictions'
OWN = 'weights_sha256'


class Results:
    """``vis/``, ``predictions/``, ``predictions.jsonl`` and ``infer.json`` in one folder.

    ``infer.json`` has the settings of the run, and marks the folder as an output of the tool. The
    line of an input is appended to ``predictions.jsonl`` after all its other files are written, so
    an input with a line is complete. A partial line of an interrupted run is removed.

    Args:
        path: The folder; it need not exist.
        settings: The settings that results depend on, in JSON types.
        resume: Continue an interrupted run; else begin anew, and move results of other settings to
            ``earlier_N/``.
        inputs: Paths of the inputs.

    Attributes:
        done: ``{input: line}`` of the existing lines.

    Raises:
        ConfigError: If the folder cannot be written, holds files that the tool did not write, was
            made with other settings, or contains an input.
    """

    def __init__(
        self, path: str, settings: Mapping, resume: bool = False, inputs: Iterable[str] = ()
    ):
        self.path = path
        self.done: dict[str | None, dict] = {}
        require_writable('--out-dir', path, folder=True)
        self._refuse_own(inputs)
        earlier = self._settings()
        if earlier is None:
            foreign = [name for name in (DRAWN, RECORDS, LINES) if osp.lexists(self._at(name))]
            if foreign:
                raise ConfigError(
                    f'--out-dir {path} has {foreign}, but no {MARK} of this tool, so they are not '
                    'overwritten; give another folder'
                )
        size = 0
        if earlier is not None and not resume and changed_settings(earlier, settings):
            self._put_aside()
        if earlier is not None and resume:
            _require_same(path, earlier, settings)
            lines, size = read_lines(self._at(LINES))
            self.done = {line.get('input'): line for line in lines}
        write_json(self._at(MARK), dict(settings))
        cut(self._at(LINES), size)

    def _put_aside(self) -> None:
        number = next(n for n in count(1) if not osp.lexists(self._at(f'earlier_{n}')))
        os.mkdir(self._at(f'earlier_{number}'))
        # The marker moves last: until then the folder counts as an output of the tool.
        for name in (DRAWN, RECORDS, LINES, MARK):
            if osp.lexists(self._at(name)):
                os.rename(self._at(name), self._at(f'earlier_{number}/{name}'))

    def drawing(self, name: str) -> str:
        return osp.join(self.path, DRAWN, name)

    def record(self, name: str) -> str:
        return osp.join(self.path, RECORDS, name)

    def append(self, line: Mapping) -> None:
        """Mark an input as complete."""
        with open(self._at(LINES), 'ab') as file:
            file.write(f'{json.dumps(line)}\n'.encode())

    def _at(self, name: str) -> str:
        return osp.join(self.path, name)

    def _settings(self) -> dict | None:
        if not osp.lexists(self._at(MARK)):
            return None
        try:
            with open(self._at(MARK), encoding='utf-8') as file:
                found = json.load(file)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f'{self._at(MARK)} is not of this tool ({error}); give another --out-dir'
            ) from error
        if not isinstance(found, dict) or OWN not in found:
            raise ConfigError(f'{self._at(MARK)} is not of this tool; give another --out-dir')
        return found

    def _refuse_own(self, inputs: Iterable[str]) -> None:
        own = [osp.realpath(self._at(name)) + os.sep for name in (DRAWN, RECORDS)]
        for path in inputs:
            if osp.realpath(path).startswith(tuple(own)):
                raise ConfigError(
                    f'the input {path} lies where results are written; give another --out-dir'
                )


def read_lines(path: str) -> tuple[list[dict], int]:
    """Read a JSON Lines file: its lines and their length in bytes; none if there is no file.

    A truncated last line is ignored.

    Raises:
        ConfigError: If another line is damaged.
    """
    if not osp.exists(path):
        return [], 0
    with open(path, 'rb') as file:
        lines = file.read().splitlines(keepends=True)
    found, size = [], 0
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            if not line.endswith(b'\n') or not isinstance(content, dict):
                raise ValueError('it is cut short')
        except ValueError as error:
            if number == len(lines):
                break
            raise ConfigError(
                f'{path}, line {number}, is damaged: {error}; remove the line, or begin anew '
                'without --resume'
            ) from error
        found.append(content)
        size += len(line)
    return found, size


def cut(path: str, size: int) -> None:
    """Truncate a file to ``size`` bytes; creates an empty file if there is none."""
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    with open(path, 'ab') as file:
        file.truncate(size)


def changed_settings(earlier: Mapping, settings: Mapping) -> list[str]:
    """Keys whose values differ, sorted; ``earlier`` was read from JSON."""
    settings = json.loads(json.dumps(settings))  # As read back from JSON
    keys = sorted(settings.keys() | earlier.keys())
    return [key for key in keys if settings.get(key) != earlier.get(key)]


def _require_same(path: str, earlier: Mapping, settings: Mapping) -> None:
    for key in changed_settings(earlier, settings):  # Report the first difference.
        raise ConfigError(
            f'--out-dir {path} was made with {key} {earlier.get(key)!r}, which is '
            f'{settings.get(key)!r} now; leave --resume out to begin anew, or give another '
            'folder'
        )
