"""What ``tools/infer.py`` does once its arguments are parsed."""

import hashlib
import json
import os
import os.path as osp
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from itertools import chain

import cv2
import numpy as np
from mmengine.config import ConfigDict
from PIL import Image

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.inference.gallery.entries import MAKER as EMBEDDED
from allinone.inference.gallery.maker import maker_of
from allinone.inference.inferencer import AllInOneInferencer, Found
from allinone.inference.input_errors import input_error
from allinone.inference.inputs import flat
from allinone.inference.model_source import ModelSource, find_model, is_config
from allinone.inference.options import inference_tasks
from allinone.inference.output_folder import Results, cut, read_lines
from allinone.inference.records import from_record
from allinone.inference.sources import UrlSource
from allinone.inference.urls import is_url
from allinone.inference.video import SILENT, Video, VideoWriter, is_camera, is_video
from allinone.inference.video import SUFFIXES as VIDEO_SUFFIXES
from allinone.io.digests import file_hash
from allinone.io.host_memory import keep_freed_memory
from allinone.io.images import SUFFIXES, output_names
from allinone.visualization.draw import draw_tasks

from .progress import RateProgress

RESERVED = ('input', 'name', 'frames', 'rate', 'frame', 'time')
STOPPED = 130
ROUNDED = 0.002  # seconds by which containers round times


def infer(args) -> int:
    """All inputs; the exit status: 0, 1 if one was skipped, 2 for errors, 130 if interrupted."""
    warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
    keep_freed_memory()
    # The errors of this tool say what OpenCV logs.
    level = cv2.setLogLevel(SILENT)
    try:
        with trusting_checkpoints(args.trust_checkpoint):
            return InferRun(args).status()
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped; the same command with --resume goes on', file=sys.stderr)
        return STOPPED
    finally:
        cv2.setLogLevel(level)


class InferRun:
    """A call of the tool, ready to begin: nothing can be refused any more."""

    def __init__(self, args):
        self.args, self.problems, self.done = args, 0, 0
        self.progress = RateProgress()
        inputs = list(args.inputs)
        weights = inputs.pop(0) if is_config(args.model) else None
        if not inputs:
            raise ConfigError(f'no inputs are given after {weights or args.model}')
        source = find_model(args.model, weights, args.cfg_options, graphs=True)
        self.tasks = self._tasks(source)
        self.results = None
        if not self.tasks:
            return
        entries = (
            entry
            for given in inputs
            for entry in ([given] if is_camera(given) else self._expanded(given))
        )
        self.entries = list(dict.fromkeys(entries))
        if not self.entries:
            return
        self.names = output_names(self.entries)
        on_boxes = [task for task in self._on_boxes().values() if task in source.cfg.model.tasks]
        self.inferencer = AllInOneInferencer(
            source, None, args.device, self.tasks, args.scale, self.note, args.mode, on_boxes
        )
        # Before a file is made
        self.inferencer.box_tasks(self.tasks, **self._on_boxes())
        settings = _settings(source, self.inferencer, args)
        self.results = Results(args.out_dir, settings, args.resume, self.entries)

    def status(self) -> int:
        if self.results is None:
            return 1
        todo = [entry for entry in self.entries if entry not in self.results.done]
        if len(todo) < len(self.entries):
            self.say(f'{len(self.entries) - len(todo)} of {len(self.entries)} inputs are done')
        with self.progress:
            self.images([entry for entry in todo if not _moves(entry)])
            for entry in filter(_moves, todo):
                name = f'camera {entry}' if is_camera(entry) else entry
                try:
                    with input_error(name, 'reading, drawing or writing it fails'):
                        self._video(entry)
                except DataError as error:
                    self.report(error)
        print(
            f'{self.done + len(self.entries) - len(todo)} of {len(self.entries)} inputs in '
            f'{self.args.out_dir}: drawings in vis, records in predictions and predictions.jsonl'
        )
        return 1 if self.problems else 0

    def say(self, sentence: str) -> None:
        self.progress.say(sentence)

    def note(self, sentence: str) -> None:
        self.say(f'note: {sentence}')

    def report(self, error) -> None:
        self.problems += 1
        self.say(f'error: {error}')

    def _expanded(self, given: str) -> Iterator:
        if is_url(given):
            if self.args.no_urls:
                self.report(
                    f'{given} is an address, and --no-urls forbids to fetch any; give a file'
                )
                return iter(())
            return iter([given])
        return flat(given, self.report, self.note, (*SUFFIXES, *VIDEO_SUFFIXES))

    def _on_boxes(self) -> dict[str, str | None]:
        return dict(classify_boxes=self.args.classify_boxes, embed_boxes=self.args.embed_boxes)

    def _tasks(self, source: ModelSource) -> list[str]:
        known = list(source.cfg.model.tasks)
        for task in [task for task in self.args.tasks or () if task not in known]:
            self.report(f'--tasks has {task!r}, skipped; {self.args.model} has {known}')
        clash = sorted(set(known) & set(RESERVED))
        if clash:
            raise ConfigError(
                f'model.tasks has {clash}, names of other things in a line of results'
            )
        wanted = self.args.tasks or inference_tasks(source.cfg, known)
        return [task for task in wanted if task in known]

    def images(self, images: list[str]) -> None:
        """Predict, draw and write these of the inputs."""
        if not images:
            return
        found = self.inferencer.stream(
            # One by one, so that what is fetched does not stay until the end
            (UrlSource(entry, True) if is_url(entry) else entry for entry in images),
            self.args.batch_size,
            out_dir=self.args.out_dir,
            score_thr=self.args.score_thr,
            **self._on_boxes(),
            on_error=self.report,
            on_note=self.note,
            names=self.names,
        )
        with closing(found):
            for index, record, _ in self.progress.tracked(found, 'images', len(images)):
                if record is not None:
                    path = images[index]
                    self.results.append(dict(input=path, name=self.names[path], **record))
                    self.done += 1

    def _video(self, source: str) -> None:
        """A drawn video and a file of lines, one a frame; then the input's own line.

        Frames that an interrupted run has written lines of are drawn again, but not predicted.
        """
        video, name = Video(source), self.names[source]
        frames, written = video.frames(), 0
        earlier: list[dict] = []
        unfinished = self.results.record(f'{name}.unfinished.jsonl')
        # What a camera saw then is not what it sees now.
        if self.args.resume and not is_camera(source):
            earlier, size = read_lines(unfinished)
            cut(unfinished, size)
        writer = VideoWriter(self.results.drawing(f'{name}.mp4'), video.rate)
        found = self.inferencer.stream(
            frames,
            1 if is_camera(source) else self.args.batch_size,
            return_vis=True,
            score_thr=self.args.score_thr,
            **self._on_boxes(),
            called=lambda index: f'{source}, frame {len(earlier) + index}',
        )
        os.makedirs(osp.dirname(unfinished), exist_ok=True)
        tracked = self.progress.tracked(
            chain(self._again(earlier, frames), found), name, video.count
        )
        with (
            open(unfinished, 'ab' if earlier else 'wb') as lines,
            writer,
            # Frames in flight are dropped, not waited for.
            closing(found),
            # A camera has no end but this.
            suppress(KeyboardInterrupt) if is_camera(source) else nullcontext(),
        ):
            for _, record, drawing in tracked:
                time = video.times[written]
                writer.write(drawing, time if is_camera(source) else None)
                if written >= len(earlier):
                    line = dict(frame=written, time=round(time, 6), **record)
                    lines.write(f'{json.dumps(line)}\n'.encode())
                written += 1
        if written:
            os.replace(unfinished, self.results.record(f'{name}.jsonl'))
            self.results.append(dict(input=source, name=name, frames=written, rate=video.rate))
            self.done += 1
        else:
            os.remove(unfinished)
        # A camera's drawing repeats frames instead.
        if not is_camera(source) and video.times.drift > ROUNDED + 1 / video.rate:
            self.note(
                f'the frames of {source} do not come at a constant rate: {name}.jsonl has the '
                f'times of the file, and {name}.mp4 shows each frame for {1 / video.rate:.3g} s, '
                f'up to {video.times.drift:.3g} s from its time'
            )
        if (damage := video.damage()) is not None:
            raise damage

    def _again(self, lines: list[dict], frames: Iterator[np.ndarray]) -> Iterator[Found]:
        """Frames with their records of an earlier run."""
        for number, (line, frame) in enumerate(zip(lines, frames)):
            record = {task: line[task] for task in self.tasks}
            drawing = draw_tasks(
                frame[..., ::-1],
                from_record(record, self.inferencer.model.kinds),
                self.inferencer.metainfo,
                self.args.score_thr,
                self.inferencer.model.kinds,
            )
            yield number, record, drawing


def _settings(source: ModelSource, inferencer: AllInOneInferencer, args) -> dict:
    """What results depend on."""
    cfg = _plain(source.cfg.model)
    return dict(
        weights_sha256=file_hash(source.path),
        config_sha256=hashlib.sha256(repr(cfg).encode()).hexdigest(),
        tasks=inferencer.tasks,
        **inferencer.mode.settings,
        score_thr=args.score_thr,
        classify_boxes=args.classify_boxes,
        # A gallery takes the embeddings only of what made its own.
        **({EMBEDDED: maker_of(inferencer, args.embed_boxes)} if args.embed_boxes else {}),
    )


def _plain(part):
    return part.to_dict() if isinstance(part, ConfigDict) else part


def _moves(entry: str) -> bool:
    return (is_video(entry) and not is_url(entry)) or is_camera(entry)
