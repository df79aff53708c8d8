"""One checkpoint tested, its predictions analysed, and the results written into a folder."""

import copy
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.config.loading import load_config
from allinone.distributed.device import use_device
from allinone.errors import ConfigError
from allinone.inference.model_source import checkpoint_path
from allinone.io.atomic import write_json
from allinone.io.images import read_image, write_image
from allinone.io.outputs import require_writable
from allinone.training.console import compact
from allinone.training.run import build_test_runner
from allinone.visualization.draw import draw_tasks
from allinone.visualization.image_grid import side_by_side

from .collect import CollectPredictions, TaskFindings
from .examples import Example
from .labels import label_statistics, training_data
from .page import write_page
from .plots import DRAWN, draw_part
from .stored import FILE, FOLDER, PAGE, VERSION

WIDEST = 1000  # pixels of an example
LONGEST_NAME = 60


def evaluate(
    cfg: Config,
    checkpoint: str,
    out: str | os.PathLike,
    tasks: Sequence[str] | None = None,
    score_thr: float = 0.3,
    examples: int = 4,
) -> dict[str, Any]:
    """Test a checkpoint, and write ``evaluation.json``, its images and a page into a folder.

    Args:
        cfg: Of the model and its test data; changed.
        checkpoint: What is tested.
        out: The folder. In the work dir of a run, as ``evaluation``, the report of the run shows
            it.
        tasks: Only these.
        score_thr: Score from which predictions count, in tables and examples.
        examples: Number of best and of worst images; 0: none.

    Returns:
        The content of ``evaluation.json``.

    Raises:
        ConfigError: If the config cannot be used.
        CheckpointError: If the checkpoint cannot be read.
        DataError: If data cannot be read, or a task gives no predictions of its kind.
    """
    out = Path(out)
    train_cfg = copy.deepcopy(cfg.get('train_dataloader'))
    runner = build_test_runner(cfg, checkpoint, list(tasks) if tasks else None)
    hook = CollectPredictions(score_thr, examples)
    runner.register_hook(hook)
    metrics = runner.test()
    if not tasks:
        untested = set(runner.test_loop.kinds) - set(runner.test_loop.evaluators)
        hook.notes |= {task: 'The config has no test data of it.' for task in sorted(untested)}
    data_sets, why_not = training_data(runner, train_cfg, list(hook.tasks))
    content = dict(
        version=VERSION,
        config=str(cfg.filename or ''),
        checkpoint=os.fspath(checkpoint),
        score_thr=score_thr,
        metrics={key: _number(value) for key, value in metrics.items()},
        tasks={
            task: _task_content(out, task, found, data_sets.get(task, []), why_not, score_thr)
            for task, found in hook.tasks.items()
        },
        notes=hook.notes,
    )
    write_json(str(out / FILE), content)
    write_page(content, out)
    return content


def _task_content(
    out: Path,
    task: str,
    found: TaskFindings,
    train: Sequence[Any],
    why_not: str,
    score_thr: float,
) -> dict[str, Any]:
    name = re.sub(r'[^A-Za-z0-9_.-]+', '_', task)[-LONGEST_NAME:]
    analysis = found.analysis
    parts = [part.to_json() for part in analysis.parts()] if found.labelled else []
    labels = [
        *label_statistics('Labels of the training data', found, train),
        *label_statistics('Labels of the test data', found, [found.dataset]),
    ]
    for number, part in enumerate([*parts, *labels], 1):
        if part['form'] in DRAWN:
            part['image'] = f'{name}_{number}_{part["form"]}.png'
            draw_part(part, out / FOLDER / part['image'])
    return dict(
        kind=found.kind.name,
        images=found.images,
        labelled=found.labelled,
        quality=analysis.quality,
        class_metric=analysis.class_metric,
        class_values=analysis.class_values() if found.labelled else {},
        summary=analysis.summary() if found.labelled else {},
        parts=parts,
        labels=labels,
        label_note='' if train else why_not,
        worst=_written(out, f'{name}_worst', task, found, found.examples.worst, score_thr),
        best=_written(out, f'{name}_best', task, found, found.examples.best, score_thr),
    )


def _written(
    out: Path,
    name: str,
    task: str,
    found: TaskFindings,
    examples: Sequence[Example],
    score_thr: float,
) -> list[dict[str, Any]]:
    entries = []
    for number, example in enumerate(examples, 1):
        file = f'{name}_{number}.jpg'
        write_image(out / FOLDER / file, _drawing(task, found, example, score_thr))
        entries.append(dict(image=file, path=example.path, value=100 * example.quality.value))
    return entries


def _drawing(task: str, found: TaskFindings, example: Example, score_thr: float) -> np.ndarray:
    image = cv2.cvtColor(read_image(example.path), cv2.COLOR_BGR2RGB)
    sides = [('ground truth', example.truth)] if example.truth.keys() else []
    sides.append(('prediction', found.kind.from_record(example.record)))
    metainfo = {task: dict(classes=found.table.classes, palette=found.table.palette)}
    drawn = side_by_side(
        [
            (title, draw_tasks(image, {task: side}, metainfo, score_thr, {task: found.kind}))
            for title, side in sides
        ]
    )
    height, width = drawn.shape[:2]
    if width <= WIDEST:
        return drawn
    size = WIDEST, max(1, round(height * WIDEST / width))
    return cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or value != value:
        return None
    return float(value)


def run_evaluate(args: Namespace) -> None:
    """Implementation of ``tools/analyze.py evaluate``, which describes the arguments."""
    with trusting_checkpoints(args.trust_checkpoint):
        checkpoint = checkpoint_path(args.checkpoint)
    out = args.out or os.path.join(os.path.dirname(checkpoint), 'evaluation')
    if os.path.splitext(out)[1].lower() in ('.html', '.json'):
        raise ConfigError(f'--out is {out!r}; give the name of a folder')
    require_writable('--out', out, folder=True)
    use_device(args.device)
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    with compact(False), trusting_checkpoints(args.trust_checkpoint):
        evaluate(cfg, checkpoint, out, args.tasks, args.score_thr, args.examples)
    print(os.path.join(out, PAGE))
