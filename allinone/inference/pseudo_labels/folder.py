"""The folder of pseudo labels: its manifest, the journal of its images, and resuming."""

import hashlib
import json
import os
import os.path as osp
from collections.abc import Iterator, Mapping, Sequence

from allinone.errors import ConfigError
from allinone.inference.output_folder import changed_settings, read_lines
from allinone.io.atomic import SUFFIX, write_json, write_whole
from allinone.io.outputs import require_writable
from allinone.io.text import cut_short, shortened

MANIFEST, JOURNAL = 'manifest.json', 'images.jsonl'
RULES, DIGEST = 'thresholds', 'thresholds_sha256'


class LabelFolder:
    """``manifest.json``, ``images.jsonl`` and a folder for each task.

    The manifest has all that the labels depend on, and is written before the first label. Each
    image has a line in the journal, in the order of the images. Lines come in chunks, which a
    resumed run begins anew: an image so shares its batch with the same others, and has the same
    predictions, bit for bit.

    Args:
        path: The folder; it need not exist.
        settings: What the labels depend on, in JSON types.
        resume: Continue what was interrupted.
        names: Of all images, in their order.
        chunk: Number of images in a chunk.

    Attributes:
        rules: Those of the manifest of an interrupted run; None before :meth:`begin`.
        lines: Of the complete chunks.

    Raises:
        ConfigError: If the folder cannot be written, is not empty, or was made with other settings.
    """

    def __init__(
        self, path: str, settings: Mapping, resume: bool, names: Sequence[str], chunk: int
    ):
        self.path, self.settings, self.chunk = path, dict(settings), chunk
        self.rules: dict | None = None
        self.lines: list[dict] = []
        self.count = len(names)
        require_writable('--out', path, folder=True)
        there = sorted(os.listdir(path)) if osp.isdir(path) else []
        # A process that was killed while it wrote the manifest leaves half a one.
        there = [name for name in there if name != MANIFEST + SUFFIX]
        if not there:
            return
        if not resume:
            raise ConfigError(
                f'--out {path} has files already ({shortened(there)}); give another folder, or '
                '--resume to continue what was interrupted there'
            )
        self._open(names)

    def _open(self, names: Sequence[str]) -> None:
        manifest = self._manifest()
        self.rules = manifest.pop(RULES)
        if manifest.pop(DIGEST) != _digest(self.rules):
            raise ConfigError(
                f'--out {self.path}: {RULES} in its {MANIFEST} were changed after the labels were '
                'begun; give another folder'
            )
        earlier, now = _flat(manifest), _flat(self.settings)
        for key in changed_settings(earlier, now):
            was, new = (cut_short(repr(found.get(key))) for found in (earlier, now))
            raise ConfigError(
                f'--out {self.path} was made with {key} {was}, which is {new} now; give another '
                'folder, or the same teachers, images and options'
            )
        lines, _ = read_lines(self.at(JOURNAL))
        if [line.get('image') for line in lines] != list(names[: len(lines)]):
            raise ConfigError(
                f'{self.at(JOURNAL)} does not have the images of --images in their order; give '
                'another folder'
            )
        complete = len(lines)
        if complete < self.count:
            complete -= complete % self.chunk
        self.lines = lines[:complete]
        write_whole(self.at(JOURNAL), b''.join(map(_encoded, self.lines)))

    def _manifest(self) -> dict:
        try:
            with open(self.at(MANIFEST), encoding='utf-8') as file:
                found = json.load(file)
            if not isinstance(found, dict) or not {RULES, DIGEST} <= found.keys():
                raise ValueError('it has no thresholds')
            return found
        except (OSError, ValueError) as error:
            raise ConfigError(
                f'--resume: {self.at(MANIFEST)} is no manifest of this tool ({error}); give '
                'another --out'
            ) from error

    def at(self, *names: str) -> str:
        """A path in the folder."""
        return osp.join(self.path, *names)

    def begin(self, rules: Mapping) -> None:
        """Write the manifest."""
        self.rules = dict(rules)
        write_json(
            self.at(MANIFEST), self.settings | {RULES: self.rules, DIGEST: _digest(self.rules)}
        )

    def append(self, lines: Sequence[dict]) -> None:
        """Take in the lines of a chunk, whose files are written."""
        with open(self.at(JOURNAL), 'ab') as file:
            file.write(b''.join(map(_encoded, lines)))
        self.lines += lines


def _encoded(line: Mapping) -> bytes:
    return f'{json.dumps(line)}\n'.encode()


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _flat(content, key: str = '') -> dict:
    return dict(_leaves(content, key))


def _leaves(content, key: str) -> Iterator[tuple[str, object]]:
    """``('images.count', 12)`` and the like, so that a message names what differs."""
    if not isinstance(content, (Mapping, list, tuple)):
        yield key, content
        return
    parts = content.items() if isinstance(content, Mapping) else enumerate(content)
    for name, part in parts:
        yield from _leaves(part, f'{key}.{name}' if key else str(name))
