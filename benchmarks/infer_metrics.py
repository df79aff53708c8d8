"""Metrics of predictions by both modes of inference, beside those of a test."""

import json
import os
import os.path as osp
import tempfile
from collections.abc import Mapping, Sequence

import cv2
import torch
from mmengine.config import Config

from allinone.config.data_sets import innermost
from allinone.config.loading import load_config
from allinone.evaluation.score import short_names
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.options import MODES
from allinone.io.images import find_images, read_image
from allinone.training.run import build_test_runner

TEST = 'test'


def measure_infer_metrics(
    config: str,
    checkpoint: str,
    options: list[str] | None = None,
    size: tuple[int, int] | None = None,
) -> dict:
    """Metrics of ``tools/test.py``, and of records of the same images by each mode.

    Args:
        config: A joint config.
        checkpoint: Its checkpoint.
        options: ``KEY=VALUE`` changes of the config.
        size: Enlarge images, boxes and label maps to fit (width, height) first. Only of tasks with
            a COCO file or with label maps; the others are left out.

    Returns:
        ``images``: their number by task; ``metrics``: ``{'test', 'one_pass' or 'as_tested': {name:
        value}}``; ``note``: what the inferencer says of the scale.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config, options, osp.join(folder, 'work'))
        tasks = enlarge(cfg, folder, size) if size else list(cfg.test_dataloader)
        runner = build_test_runner(cfg, checkpoint, tasks)
        metrics, notes = {TEST: runner.test()}, []
        for mode in MODES:
            inferencer = AllInOneInferencer(
                cfg, checkpoint, tasks=tasks, on_note=notes.append, mode=mode
            )
            metrics[mode] = {}
            for task in tasks:
                metrics[mode] |= score_records(runner.test_loop, task, inferencer)
    return dict(images=dict(runner.test_loop.dataloader.sizes), metrics=metrics, note=notes[0])


def score_records(loop, task: str, inferencer: AllInOneInferencer) -> dict[str, float]:
    """``{'TASK/metric': value}`` of records of a task's test images, by its own evaluator.

    Args:
        loop: A test loop of the same config.
        task: The task.
        inferencer: Has all tasks, so that its scale is that of the joint model; the batch size is
            that of the test.
    """
    loader, evaluator, kind = loop.dataloader.loaders[task], loop.evaluators[task], loop.kinds[task]
    dataset, classes = loader.dataset, kind.num_classes(inferencer.model.tasks[task])
    paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    records = inferencer(paths, loader.batch_size, [task])
    for index, record in enumerate(records):
        # As read from a file
        predicted = kind.from_record(json.loads(json.dumps(record[task])))
        packed = dataset[index]
        sample = packed['data_samples']
        for name, value in predicted.to_tensor().items():
            if name == 'pred_score':
                value = torch.nn.functional.pad(value, (0, classes - len(value)))
            elif name == 'pred_label':
                value = torch.as_tensor(value).reshape(-1)
            sample.set_field(value, name)
        evaluator.process(data_samples=[sample], data_batch=packed)
    found = evaluator.evaluate(len(dataset))
    prefixes = [metric.prefix for metric in evaluator.metrics]
    return {f'{task}/{name}': value for name, value in short_names(found, prefixes).items()}


def enlarge(cfg: Config, folder: str, size: tuple[int, int]) -> list[str]:
    """Replace the test data of a config by enlarged copies; returns the tasks that have one."""
    tasks = []
    for task, loader in cfg.test_dataloader.items():
        _, dataset = next(innermost(loader.dataset))
        out = osp.join(folder, task)
        prefix = dataset.get('data_prefix') or {}
        if str(dataset.get('ann_file')).endswith('.json'):
            dataset.ann_file = _enlarge_coco(dataset.ann_file, prefix['img'], out, size)
            dataset.data_prefix = dict(img=out)
            cfg.test_evaluator[task].ann_file = dataset.ann_file
        elif 'seg_map_path' in prefix:
            dataset.data_prefix = {
                key: _enlarge_folder(path, osp.join(out, key), size, key == 'seg_map_path')
                for key, path in prefix.items()
            }
        else:
            continue
        tasks.append(task)
    return tasks


def _enlarge_coco(ann_file: str, images: str, out: str, size: tuple[int, int]) -> str:
    with open(ann_file, encoding='utf-8') as file:
        content = json.load(file)
    factors = {}
    for image in content['images']:
        before = (image['width'], image['height'])
        path = osp.join(images, image['file_name'])
        after = _write(path, osp.join(out, image['file_name']), size, cv2.INTER_CUBIC)
        factors[image['id']] = tuple(b / a for a, b in zip(before, after))
        image['width'], image['height'] = after
    for box in content['annotations']:
        fx, fy = factors[box['image_id']]
        box['bbox'] = [side * factor for side, factor in zip(box['bbox'], (fx, fy, fx, fy))]
        box['area'] = box.get('area', 0) * fx * fy
        box.pop('segmentation', None)
    enlarged = osp.join(out, 'annotations.json')
    with open(enlarged, 'w', encoding='utf-8') as file:
        json.dump(content, file)
    return enlarged


def _enlarge_folder(folder: str, out: str, size: tuple[int, int], labels: bool) -> str:
    interpolation = cv2.INTER_NEAREST if labels else cv2.INTER_CUBIC
    for path in find_images(folder):
        _write(path, osp.join(out, osp.basename(path)), size, interpolation, labels)
    return out


def _write(
    path: str, out: str, size: tuple[int, int], interpolation: int, labels: bool = False
) -> tuple[int, int]:
    """Write an image that fits the size with its ratio kept; returns its width and height."""
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED) if labels else read_image(path)
    height, width = image.shape[:2]
    factor = min(size[0] / width, size[1] / height)
    after = round(width * factor), round(height * factor)
    os.makedirs(osp.dirname(out), exist_ok=True)
    cv2.imwrite(out, cv2.resize(image, after, interpolation=interpolation))
    return after


def infer_metrics_table(found: Mapping) -> str:
    """The metrics as a Markdown table, one line per metric."""
    columns: Sequence[str] = (TEST, *MODES)
    rows = [
        f'| {name} | '
        + ' | '.join(f'{found["metrics"][column][name]:.4f}' for column in columns)
        + ' |'
        for name in found['metrics'][MODES[0]]
        if not name.endswith('_precision')
    ]
    images = ', '.join(f'{task} {count}' for task, count in found['images'].items())
    head = [f'| metric | {" | ".join(columns)} |', '|---|---:|---:|---:|']
    return '\n'.join([f'images: {images}', found['note'] or '', '', *head, *rows])
