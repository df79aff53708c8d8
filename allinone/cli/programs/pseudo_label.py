"""What ``tools/pseudo_label.py`` does once its arguments are parsed."""

import os.path as osp
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import cv2
from PIL import Image

import allinone
from allinone.checkpoint.loading import trusting_checkpoints
from allinone.errors import AllInOneError, ConfigError
from allinone.inference.pseudo_labels.calibration import (
    Wanted,
    calibrate,
    fraction,
    parse_precision,
    rules_from_json,
    rules_to_json,
)
from allinone.inference.pseudo_labels.folder import LabelFolder
from allinone.inference.pseudo_labels.held_out import (
    digest_of,
    evaluated_images,
    open_held_out,
    parse_held_out,
)
from allinone.inference.pseudo_labels.images import find_images
from allinone.inference.pseudo_labels.labelling import chunks, label_chunk, labelled_images
from allinone.inference.pseudo_labels.own_labels import OwnLabels, own_labels
from allinone.inference.pseudo_labels.source_config import source_config
from allinone.inference.pseudo_labels.table import Row, count_labels, rows_of, table_of
from allinone.inference.pseudo_labels.teachers import assign_tasks, find_teachers
from allinone.inference.video import SILENT
from allinone.io.atomic import write_whole
from allinone.io.file_identity import file_identity
from allinone.io.host_memory import keep_freed_memory
from allinone.io.text import shortened
from allinone.tasks.pseudo_labels import ClassRule

from .progress import RateProgress

STOPPED = 130
BATCHES = 16  # In a chunk, of which an interrupted run repeats one
CONFIG = 'train_source.py'


def pseudo_label(args) -> int:
    """Label all images; the exit status: 0, 1 if one was left out, 2 for errors, 130 if stopped."""
    warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)
    keep_freed_memory()
    # The errors of this tool say what OpenCV logs.
    level = cv2.setLogLevel(SILENT)
    try:
        with trusting_checkpoints(args.trust_checkpoint):
            return PseudoLabelRun(args).status()
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped; the same command with --resume continues', file=sys.stderr)
        return STOPPED
    finally:
        cv2.setLogLevel(level)


class PseudoLabelRun:
    """A call of the tool, ready to begin: nothing but the precision can be refused any more."""

    def __init__(self, args):
        self.args = args
        self.progress = RateProgress()
        self.teachers = find_teachers(args.teachers)
        self.tasks = assign_tasks(self.teachers, args.tasks)
        self.files = parse_held_out(args.held_out, list(self.tasks))
        self.wanted = self._wanted()
        loaders = [teacher.train_loaders for teacher in self.teachers]
        self.images = find_images(args.images, loaders, self.note)
        self._refuse_own_folder()
        self.teachers = [teacher for teacher in self.teachers if teacher.labels]
        for teacher in self.teachers:
            teacher.prepare(args.device, self.note)
        self.parts = {
            task: open_held_out(teacher, task, self.files[task], args.config, self.note)
            for task, teacher in self.tasks.items()
        }
        self.forms = {task: teacher.new_form(task) for task, teacher in self.tasks.items()}
        self._check_ignored()
        self.own = self._own(loaders)
        self._note_evaluated()
        names = list(self.images.names.values())
        self.folder = LabelFolder(
            args.out, self._settings(), args.resume, names, BATCHES * args.batch_size
        )

    def _wanted(self) -> dict[str, Wanted]:
        lower = fraction('--ignore-precision', self.args.ignore_precision)
        ignore = None if lower == 1 else lower
        found = {}
        for task, precision in parse_precision(self.args.precision, list(self.tasks)).items():
            found[task] = Wanted(precision, ignore, self.args.min_predictions)
        return found

    def _check_ignored(self) -> None:
        for task, wanted in self.wanted.items():
            if self.forms[task].ignores and (wanted.ignore or 0) > wanted.precision:
                raise ConfigError(
                    f'--ignore-precision is {wanted.ignore:g}, above the precision '
                    f'{wanted.precision:g} of {task}; give a lower one, or 1 for no ignored boxes'
                )

    def _refuse_own_folder(self) -> None:
        root, out = osp.realpath(self.images.given), osp.realpath(self.args.out)
        if osp.isdir(root) and osp.commonpath([root, out]) == root:
            raise ConfigError(
                f'--out {self.args.out} lies in the folder of --images {self.images.given}, whose '
                'images a resumed run would list with the label maps; give another folder'
            )

    def _own(self, loaders: Sequence[Mapping[str, Mapping]]) -> dict[str, OwnLabels]:
        source = self.images.source
        having = next((found for found in loaders if source in found), None)
        if source is None or having is None:
            return {}
        found = {
            task: own_labels(source, having, task, form.classes, self.note)
            for task, form in self.forms.items()
            if form.completes
        }
        return {task: own for task, own in found.items() if own is not None}

    def _note_evaluated(self) -> None:
        labelled = set(map(file_identity, self.images.paths))
        keys: Counter = Counter()
        for teacher in self.teachers:
            for key, path in evaluated_images(teacher, teacher.labels):
                keys[key] += file_identity(path) in labelled
        for key, count in keys.items():
            if count:
                self.note(
                    f'{count} of the images to label are in {key}; a student that trains on them '
                    'has seen what it is validated on'
                )

    def _settings(self) -> dict:
        """What the labels depend on."""
        return dict(
            version=allinone.__version__,
            teachers=[
                dict(
                    file=osp.basename(teacher.source.path.rstrip('/')),
                    sha256=teacher.digest(),
                    tasks=teacher.labels,
                    pipelines=teacher.inferencer.mode.settings['pipelines_sha256'],
                )
                for teacher in self.teachers
            ],
            images=dict(count=len(self.images.paths), names_and_sizes_sha256=self.images.digest()),
            held_out={
                task: dict(
                    file=osp.basename(self.files[task]),
                    sha256=digest_of(part, self.files[task], self._kind(task)),
                    images=len(part.infos),
                )
                for task, part in self.parts.items()
            },
            completes={task: own.to_json() for task, own in self.own.items()},
            classes={task: form.classes for task, form in self.forms.items()},
            options=dict(
                precision={task: wanted.precision for task, wanted in self.wanted.items()},
                ignore_precision=next(iter(self.wanted.values())).ignore,
                min_predictions=self.args.min_predictions,
                batch_size=self.args.batch_size,
                device=self.teachers[0].inferencer.device.type,
            ),
        )

    def _kind(self, task: str):
        return self.tasks[task].inferencer.model.kinds[task]

    def note(self, sentence: str) -> None:
        self.progress.say(f'note: {sentence}')

    def status(self) -> int:
        with self.progress:
            if self.folder.rules is None:
                self.folder.begin(self._calibrated())
            rules = {
                task: rules_from_json(content)
                for task, content in (self.folder.rules or {}).items()
            }
            self._label(rules)
        return self._finish(rules)

    def _calibrated(self) -> dict[str, dict]:
        return {
            task: rules_to_json(
                self.forms[task].classes,
                calibrate(
                    teacher,
                    task,
                    self.parts[task],
                    self.wanted[task],
                    self.files[task],
                    self.args.batch_size,
                    self.progress.tracked,
                ),
            )
            for task, teacher in self.tasks.items()
        }

    def _label(self, rules: dict[str, list[ClassRule]]) -> None:
        done = len(self.folder.lines)
        if done:
            self.progress.say(f'{done} of {len(self.images.paths)} images are done')

        def lines() -> Iterator[dict]:
            for chunk in chunks(self.images.paths[done:], self.folder.chunk):
                found = label_chunk(
                    chunk,
                    self.images,
                    self.teachers,
                    self.forms,
                    rules,
                    self.folder.at,
                    self.args.batch_size,
                    self.own,
                )
                labelled = []
                for line in found:
                    labelled.append(line)
                    yield line
                self.folder.append(labelled)

        total = len(self.images.paths)
        for line in self.progress.tracked(lines(), 'images', total, done):
            if 'failed' in line:
                self.progress.say(f'error: {line["failed"]}')

    def _labelled(self, task: str, rules: Mapping[str, Sequence[ClassRule]]) -> list[str]:
        """Classes that have labels: from the teacher, or their own."""
        own = self.own[task].annotated if task in self.own else ()
        classes = self.forms[task].classes
        return [n for n, rule in zip(classes, rules[task]) if rule.label or n in own]

    def _finish(self, rules: dict[str, list[ClassRule]]) -> int:
        datasets = {}
        rows: list[Row] = []
        failed = [line for line in self.folder.lines if 'failed' in line]
        for task, form in self.forms.items():
            images = list(labelled_images(self.images, self.folder.lines, task))
            place = self.folder.at(task)
            form.write(place, images)
            counts = count_labels(form, images)
            rows += rows_of(task, form.classes, rules[task], counts)
            if any(labels for labels, _ in counts.values()):
                datasets[task] = form.dataset_config(
                    osp.abspath(place),
                    osp.abspath(self.images.root),
                    self.images.suffix,
                    self._labelled(task, rules),
                )
            else:
                print(f'note: no image has a label of {task}, so the lines below leave it out')
        print(table_of(rows))
        for task, form in self.forms.items():
            labelled = self._labelled(task, rules)
            absent = [name for name in form.classes if name not in labelled]
            if absent:
                print(
                    f'{task}: no score of {shortened(absent, 8)} has the precision '
                    f'{self.wanted[task].precision:g} on {self.wanted[task].minimum} held-out '
                    'predictions, so there are no labels of it'
                )
        text = source_config(datasets) if datasets else ''
        write_whole(self.folder.at(CONFIG), text.encode())
        done = len(self.images.paths) - len(failed)
        print(f'{done} of {len(self.images.paths)} images in {self.folder.path}; to train on them:')
        print(text, end='')
        return 1 if failed else 0
