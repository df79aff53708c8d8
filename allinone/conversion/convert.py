"""Conversion of any data set: check, iterate, link, count and report."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from allinone.errors import DataError

from .data_set import DataSet, Sample, Split
from .duplicates import duplicates
from .files import LINKS, SUFFIX, replacing
from .images import Examined, Examiner
from .journal import JOURNAL, Journal
from .report import KINDS, Report
from .source import REPORT, check_source, fingerprint, read_classes, read_samples

__all__ = [
    'convert',
]

VERSION = 1
THREADS = 8
BATCH, PART, FIRST = 512, 32, 4
SHOWN = 4  # images of one content, of which there may be thousands
QUICK = 1e-3  # Seconds; for faster images, starting a thread costs more than the check.


def convert(
    data_set: DataSet,
    source: str | os.PathLike,
    out: str | os.PathLike,
    link: str = 'hard',
    partial: bool = False,
    progress: bool = False,
) -> dict:
    """Convert a downloaded data set; continues an interrupted call.

    Each image is linked after its check. Annotations are written to temporary files, which are
    renamed at the end. The report is written last: with it ``out`` is complete, and another call
    does nothing.

    Args:
        data_set: The data set and its target format.
        source: The folder with its unpacked archives; not modified.
        out: The folder to fill.
        link: One of ``files.LINKS``.
        partial: Convert the available part of an incomplete copy.
        progress: Show progress bars.

    Returns:
        Content of ``out/conversion.json``: counts of each split, problems with examples.

    Raises:
        DataError: Naming files and archives, if the source is incomplete (without ``partial``) or
            ``out`` has other content.
    """
    if link not in LINKS:
        raise DataError(f'images are linked in one of the ways {LINKS}, not {link!r}')
    source, out = Path(source).absolute(), Path(out).absolute()
    if out.resolve().is_relative_to(source.resolve()):
        raise DataError(f'{out} lies in {source}, where nothing is changed; choose another folder')
    check_source(source, data_set, partial)
    identity = dict(
        data_set=data_set.name,
        options=dict(data_set.options),
        version=VERSION,
        source=str(source),
        link=link,
        partial=partial,
        parts=fingerprint(source, data_set),
    )
    finished = _earlier(out, data_set, identity)
    if finished:
        return finished
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out, identity)
    # An earlier report no longer describes the folder; the journal identifies the set now.
    (out / REPORT).unlink(missing_ok=True)
    done = False
    try:
        report = _Conversion(data_set, source, out, link, partial, progress, journal).run()
        content = identity | dict(
            splits=report.splits,
            problems=report.problems,
            typical_size=report.typical_size,
            outputs=_outputs(out, data_set),
        )
        with replacing(out / REPORT) as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
        done = True
    finally:
        journal.close(done)
    return content


def _earlier(out: Path, data_set: DataSet, identity: dict) -> dict | None:
    """Report of an identical earlier conversion, if ``out`` is complete."""
    if not out.exists() or out.is_dir() and not any(out.iterdir()):
        return None
    found = None
    for file, lines in ((REPORT, None), (JOURNAL, 1)):
        try:
            with open(out / file, encoding='utf-8') as text:
                found = found or json.loads(text.readline() if lines else text.read())
        except (OSError, ValueError):
            continue
    asked = [identity['data_set'], identity['options']]
    if not isinstance(found, dict) or [found.get('data_set'), found.get('options')] != asked:
        what = 'something else'
        if isinstance(found, dict) and found.get('data_set'):
            what = f'{found["data_set"]} {found.get("options") or ""}'.strip()
        raise DataError(
            f'{out} holds {what}, not {data_set.name} {identity["options"] or ""}'.strip()
            + '; choose another folder'
        )
    same = all(found.get(key) == value for key, value in identity.items())
    return found if same and found.get('outputs') == _outputs(out, data_set) else None


def _outputs(out: Path, data_set: DataSet) -> dict[str, int]:
    """Number of files in each folder, bytes of each file."""
    found = {}
    for split in data_set.splits:
        for folder in data_set.format.folders(split.name):
            found[folder] = len(_files(out / folder))
        for name in data_set.format.files(split.name):
            path = out / name
            found[name] = path.stat().st_size if path.exists() else -1
    return found


def _files(folder: Path) -> set[str]:
    """Paths of the files in a folder, relative to it."""
    return {
        os.path.relpath(os.path.join(place, name), folder) if place != str(folder) else name
        for place, _, names in os.walk(folder)
        for name in names
        if not name.endswith(SUFFIX)
    }


class _Conversion:
    def __init__(self, data_set, source, out, link, partial, progress, journal):
        self.data_set: DataSet = data_set
        self.source, self.out = source, out
        self.link, self.partial, self.progress = link, partial, progress
        self.journal: Journal = journal
        self.format = data_set.format
        self.report = Report(read_classes(source, data_set))
        self.bytes: dict[str, dict[str, int]] = {}

    def run(self) -> Report:
        for kind, what in self.data_set.notes:
            self.report.note(kind, what)
        with ThreadPoolExecutor(THREADS) as pool, ExitStack() as files:
            for split in self.data_set.splits:
                writer = files.enter_context(
                    self.format.writer(str(self.out), split.name, self.report, self.link)
                )
                self._split(split, writer, pool)
            if not self.partial:
                self.report.refuse(str(self.source), self.data_set.remedy)
                self._check_counts()
            for group in duplicates(str(self.source), self.bytes, pool):
                images = [image for _, image in group]
                more = f' = {len(images) - SHOWN} more' if len(images) > SHOWN else ''
                what = ' = '.join(images[:SHOWN]) + more
                self.report.note('same content in two splits', what)
        return self.report

    def _split(self, split: Split, writer, pool: ThreadPoolExecutor) -> None:
        folders = tuple(str(self.out / folder) for folder in self.format.folders(split.name))
        for folder in folders:
            os.makedirs(folder, exist_ok=True)
        examine = Examiner(
            str(self.source),
            folders,
            getattr(self.format, 'coding', None),
            self.link,
            self.journal.known,
        )
        names: set[str] = set()
        kept: tuple[set[str], set[str]] = (set(), set())
        sizes = self.bytes[split.name] = {}
        samples = read_samples(self.source, self.data_set, split)
        with self._progress() as progress:
            task = progress.add_task(f'{self.data_set.name} {split.name}', total=split.published)
            for batch in _batches(samples, BATCH):
                batch = [sample for sample in batch if self._is_sound(sample, names)]
                for sample, found in zip(batch, _examined(batch, examine, pool)):
                    archive = self.data_set.archive_of(sample.label_map or split.annotations)
                    for kind, what in sample.notes:
                        self.report.note(kind, what, archive)
                    if found.fault:
                        self._fault(*found.fault)
                        continue
                    self._keep(sample, found, writer)
                    kept[0].add(sample.name)
                    kept[1].add(sample.label_name)
                    sizes[sample.image] = found.stamp[0]
                self.journal.flush()
                progress.advance(task, len(batch))
        self._note_left_over(folders, kept)
        masks = getattr(writer, 'masks', 0)
        self.report.count(
            split.name, split.published, len(sizes), writer.boxes, writer.labels, masks
        )

    def _progress(self) -> Progress:
        return Progress(
            *Progress.get_default_columns(),
            MofNCompleteColumn(),
            console=Console(stderr=True),
            disable=not self.progress,
        )

    def _is_sound(self, sample: Sample, names: set[str]) -> bool:
        """Check the annotations of a sample, as far as possible without its files."""
        if sample.name in names:
            self._fault('named twice', sample.image, '')
            return False
        names.add(sample.name)
        if sample.fault:
            self._fault(*sample.fault)
            return False
        # Without such an object, its place would be learned as background.
        unusable = next((note for note in sample.notes if KINDS[note[0]] is None), None)
        if unusable:
            archive = self.data_set.archive_of(sample.label_map or sample.image)
            self.report.note(*unusable, archive)
            return False
        if sample.label is not None and not 0 <= sample.label < len(self.report.classes):
            self._fault('unknown label', sample.image, f'class {sample.label}')
            return False
        return True

    def _fault(self, kind: str, file: str, why: str) -> None:
        self.report.note(kind, f'{file}: {why}' if why else file, self.data_set.archive_of(file))

    def _keep(self, sample: Sample, found: Examined, writer) -> None:
        self.report.sizes[found.size[0], found.size[1]] += 1
        if sample.relative:
            boxes = [box.scaled(*found.size) for box in sample.boxes]
            sample = replace(sample, boxes=boxes)
        writer.add(sample, found.size, found.pixels)
        self.journal.add(sample.image, found.stamp, list(found.size), found.pixels)

    def _note_left_over(self, folders: tuple[str, ...], kept: tuple[set[str], ...]) -> None:
        """Report files of an earlier conversion that are not part of this one."""
        for folder, names in zip(folders, kept):
            for name in sorted(_files(Path(folder)) - names):
                self.report.note('left over', os.path.relpath(f'{folder}/{name}', self.out))

    def _check_counts(self) -> None:
        short = [
            f'{split.annotations} has only {found:,} of {split.published or 1:,} images for '
            f'{split.name} ({self.data_set.archive_of(split.annotations)})'
            for split in self.data_set.splits
            if (found := self.report.splits[split.name]['images']) < (split.published or 1)
        ]
        if short:
            raise DataError(
                f'{self.source}: {" and ".join(short)}; unpack what is named again, or convert '
                'what is there with --partial'
            )


def _examined(
    batch: list[Sample], examine: Examiner, pool: ThreadPoolExecutor
) -> Iterator[Examined]:
    """Examine the first few here; the others in the pool if those were slow, else here, too."""
    begun = time.perf_counter()
    first = [*map(examine, batch[:FIRST])]
    if time.perf_counter() - begun < QUICK * len(first):
        return chain(first, map(examine, batch[FIRST:]))
    parts = pool.map(lambda part: [*map(examine, part)], _batches(batch[FIRST:], PART))
    return chain(first, chain.from_iterable(parts))


def _batches(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    samples = iter(samples)
    while batch := list(islice(samples, size)):
        yield batch
