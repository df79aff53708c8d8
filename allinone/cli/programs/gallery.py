"""What ``tools/gallery.py`` does once its arguments are parsed."""

import json
import os
import os.path as osp
import sys
import warnings
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.inference.gallery.calibration import calibrate
from allinone.inference.gallery.embedding import Embedder
from allinone.inference.gallery.entries import (
    LINES,
    Entry,
    entries_of_config,
    find_entries,
    key_of,
    read_boxes,
    read_metadata,
    with_metadata,
)
from allinone.inference.gallery.index import Gallery, require_new
from allinone.inference.gallery.maker import require_same_maker
from allinone.inference.gallery.matches import Matched, find_matches
from allinone.inference.gallery.pairs import read_pairs
from allinone.inference.gallery.sheet import SHOWN, draw_sheet, page
from allinone.inference.model_source import ModelSource, find_model
from allinone.inference.video import SILENT
from allinone.io.atomic import write_whole
from allinone.io.host_memory import keep_freed_memory
from allinone.io.images import write_image
from allinone.io.outputs import require_writable

from .progress import RateProgress

STOPPED = 130
COLUMNS = 10  # matches of a query on the contact sheet


def gallery(args) -> int:
    """Run a command; its exit status: 0, 1 if an image was skipped, 2 for errors, 130."""
    warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
    keep_freed_memory()
    # The errors of this tool say what OpenCV logs.
    level = cv2.setLogLevel(SILENT)
    run = GalleryRun(args)
    try:
        with trusting_checkpoints(getattr(args, 'trust_checkpoint', False)):
            getattr(run, args.command)()
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped; the index is as it was', file=sys.stderr)
        return STOPPED
    finally:
        cv2.setLogLevel(level)
    return 1 if run.problems else 0


class GalleryRun:
    """A call of the tool; its methods are the commands."""

    def __init__(self, args):
        self.args, self.problems = args, 0
        self.progress = RateProgress()

    # ------------------------------------------------------------------ the commands

    def build(self) -> None:
        require_new(self.args.index)
        embedder = self._embedder(self.args.model, self.args.task)
        rows, embeddings = self._rows(embedder, 'the checkpoint', embedder.maker)
        if not rows:
            raise DataError(f'{self.args.index} would have no row; give images or boxes')
        maker = dict(embedder.maker, checkpoint=osp.abspath(self.args.model))
        made = Gallery.build(self.args.index, maker, embeddings, rows)
        print(f'{len(made):,} rows of {made.dimension} numbers in {self.args.index}')

    def add(self) -> None:
        known = Gallery.open(self.args.index)
        rows, embeddings = self._rows(None, self.args.index, known.maker, known)
        if len(rows):
            known.add(embeddings, rows)
        print(f'{len(rows):,} rows added to {self.args.index}, which has {len(known):,} now')

    def remove(self) -> None:
        if not self.args.identity and not self.args.image:
            raise ConfigError('nothing is named to remove; give --identity or --image')
        known = Gallery.open(self.args.index)
        number = known.remove(self.args.identity, self.args.image)
        print(f'{number:,} rows removed from {self.args.index}, which has {len(known):,} now')

    def search(self) -> None:
        known = Gallery.open(self.args.index)
        out = self.args.out
        require_writable('--out', out, folder=True)
        threshold = self.args.threshold
        if self.args.false_match_rate is not None:
            threshold = known.threshold(self.args.false_match_rate)
        if not len(known):
            raise DataError(f'{self.args.index} has no rows; add some')
        queries, embeddings = self._queries(known)
        found = list(
            find_matches(
                known,
                queries,
                embeddings,
                self.args.top,
                threshold,
                self.args.leave_out_own,
            )
        )
        lines = ''.join(f'{json.dumps(matched.record())}\n' for matched in found)
        os.makedirs(out, exist_ok=True)
        write_whole(osp.join(out, 'matches.jsonl'), lines.encode())
        summary = _summary(found, threshold)
        write_image(osp.join(out, 'sheet.png'), draw_sheet(found, COLUMNS))
        write_whole(osp.join(out, 'index.html'), page(found, COLUMNS, summary).encode())
        if len(found) > SHOWN:
            self.note(f'the contact sheet has the first {SHOWN} of {len(found)} queries')
        print(f'{summary} In {out}: matches.jsonl, sheet.png, index.html')

    def calibrate(self) -> None:
        known = Gallery.open(self.args.index)
        pairs = read_pairs(self.args.pairs, self.args.data_root)
        embedder = self._embedder_of(known)
        images = pairs.images
        found = {
            path: embedding.astype(np.float64)
            for path, embedding in zip(images, self._embedded(embedder, images))
            if embedding is not None
        }
        scores, same = [], []
        for first, second, alike in zip(*pairs):
            if first in found and second in found:
                scores.append(float(found[first] @ found[second]))
                same.append(alike)
        if len(same) < len(pairs.same):
            self.note(f'{len(pairs.same) - len(same)} pairs have an image that was skipped')
        result = calibrate(np.array(scores), np.array(same, bool), self.args.false_match_rate)
        known.set_calibration(result)
        share = result['true_match_rate']
        print(
            f'threshold {result["threshold"]:.6f}: {result["false_matches"]} of '
            f'{result["different_pairs"]:,} pairs of different identities match'
            + (f', and {share:.1%} of {result["same_pairs"]:,} of one' if share is not None else '')
        )

    # ------------------------------------------------------------------ their parts

    def note(self, sentence: str) -> None:
        self.progress.say(f'note: {sentence}')

    def report(self, error: Exception) -> None:
        self.problems += 1
        self.progress.say(f'error: {error}')

    def _source(self, checkpoint: str) -> ModelSource:
        if self.args.config is None:
            return find_model(checkpoint)
        return find_model(self.args.config, checkpoint)

    def _embedder(self, checkpoint: str, task: str | None) -> Embedder:
        source = self._source(checkpoint)
        return Embedder(source, task, self.args.device, self.args.batch_size)

    def _embedder_of(self, known: Gallery) -> Embedder:
        """That of the checkpoint which made the index."""
        checkpoint = self.args.checkpoint or known.maker['checkpoint']
        if self.args.checkpoint is None and not osp.exists(checkpoint):
            raise ConfigError(
                f'{checkpoint}, the checkpoint that made {known.path}, is not there any more; name '
                'it with --checkpoint'
            )
        task = known.maker['task']
        embedder = self._embedder(checkpoint, task)
        require_same_maker(known.path, known.maker, checkpoint, embedder.maker)
        return embedder

    def _rows(
        self,
        embedder: Embedder | None,
        place: str,
        maker: dict,
        known: Gallery | None = None,
    ) -> tuple[list[dict], np.ndarray]:
        """Rows and embeddings of what is given, but for rows that the gallery has."""
        entries: list[Entry] = []
        if self.args.boxes:
            for given in self.args.boxes:
                entries += self._boxes(given, place, maker)
        else:
            if embedder is None:
                assert known is not None
                embedder = self._embedder_of(known)
            for given in self.args.data:
                entries += self._images(given, embedder.source)
        entries = self._new(entries, known)
        if self.args.metadata:
            entries = with_metadata(entries, read_metadata(self.args.metadata), self.note)
        return self._with_embeddings(entries, embedder)

    def _images(self, given: str, source: ModelSource) -> list[Entry]:
        if not osp.exists(given) and (found := entries_of_config(source, given)) is not None:
            return found
        return list(find_entries(given, self.note, self.report, self.args.data_root))

    def _boxes(self, given: str, place: str, maker: dict) -> list[Entry]:
        made_by, boxes = read_boxes(given, maker['task'], self.args.score_thr)
        require_same_maker(place, maker, given, made_by)
        if not boxes:
            self.note(f'{given} has no boxes with a score of {self.args.score_thr:g} or more')
        return boxes

    def _new(self, entries: list[Entry], known: Gallery | None) -> list[Entry]:
        seen = set() if known is None else set(map(key_of, known.rows))
        found = []
        for entry in entries:
            if entry.key not in seen:
                found.append(entry)
            seen.add(entry.key)
        if len(found) < len(entries):
            self.note(f'{len(entries) - len(found):,} images or boxes are there already')
        return found

    def _queries(self, known: Gallery) -> tuple[list[Entry], np.ndarray]:
        entries: list[Entry] = []
        embedder = None
        for given in self.args.queries:
            if given.lower().endswith(LINES):
                entries += self._boxes(given, known.path, known.maker)
                continue
            embedder = embedder or self._embedder_of(known)
            entries += self._images(given, embedder.source)
        rows, embeddings = self._with_embeddings(entries, embedder)
        if not rows:
            raise DataError('there is no query; give images or boxes')
        return [Entry(row) for row in rows], embeddings

    def _with_embeddings(
        self, entries: Sequence[Entry], embedder: Embedder | None
    ) -> tuple[list[dict], np.ndarray]:
        found = [entry.embedding for entry in entries]
        missing = [number for number, embedding in enumerate(found) if embedding is None]
        if missing:
            assert embedder is not None
            paths = [entries[number].row['image'] for number in missing]
            for number, embedding in zip(missing, self._embedded(embedder, paths)):
                found[number] = embedding
        kept = [number for number, embedding in enumerate(found) if embedding is not None]
        if missing and not kept:
            raise DataError('none of the images could be embedded')
        embeddings = [found[number] for number in kept]
        return [entries[number].row for number in kept], np.array(embeddings, np.float32)

    def _embedded(self, embedder: Embedder, paths: Sequence[str]) -> list[np.ndarray | None]:
        found: list[np.ndarray | None] = [None] * len(paths)
        stream = embedder.embed(paths, self.report, self.note)
        with self.progress:
            for index, embedding in self.progress.tracked(stream, 'images', len(paths)):
                found[index] = embedding
        return found


def _summary(found: Sequence[Matched], threshold: float | None) -> str:
    number = sum(len(matched.matches) for matched in found)
    limit = '' if threshold is None else f' with a score of {threshold:.4f} or more'
    judged = [matched.matches[0].right for matched in found if matched.matches]
    known = [right for right in judged if right is not None]
    first = f' The first match is right for {sum(known)} of {len(known)}.' if known else ''
    return f'{len(found):,} queries have {number:,} matches{limit}.{first}'
