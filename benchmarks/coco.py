"""Time and values of COCO evaluation by faster-coco-eval and by pycocotools."""

import statistics
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
from faster_coco_eval import COCOeval_faster
from mmdet.datasets.api_wrappers import COCO, COCOeval

from .measure import seconds

SIDE = 640


def made_up(images: int, classes: int, seed: int = 0) -> tuple[COCO, list[dict]]:
    """Annotations of about 7 boxes an image, and detections of most of them and of nothing."""
    rng = np.random.default_rng(seed)
    annotations: list[dict] = []
    detections: list[dict] = []
    for image in range(1, images + 1):
        count = int(rng.poisson(7))
        boxes = np.concatenate(
            [rng.uniform(0, 500, (count, 2)), np.exp(rng.uniform(2, 5.5, (count, 2)))], 1
        )
        labels = rng.integers(1, classes + 1, count)
        for box, label in zip(boxes.tolist(), labels.tolist()):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=label,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=int(rng.random() < 0.02),
                )
            )
        found = boxes[rng.random(count) < 0.8]
        found = found + rng.normal(0, 0.1, found.shape) * found[:, 2:].mean(1, keepdims=True)
        noise = np.concatenate([rng.uniform(0, 500, (10, 2)), rng.uniform(8, 90, (10, 2))], 1)
        for box in np.concatenate([found, noise]).clip(1).tolist():
            detections.append(
                dict(
                    image_id=image,
                    category_id=int(rng.integers(1, classes + 1)),
                    bbox=box,
                    score=float(rng.random()),
                )
            )
        # Most of the detections have the right class.
        for detection, label in zip(detections[-len(found) - 10 :], labels.tolist()):
            detection['category_id'] = label
    content = dict(
        images=[dict(id=i, width=SIDE, height=SIDE) for i in range(1, images + 1)],
        categories=[dict(id=i, name=str(i)) for i in range(1, classes + 1)],
        annotations=annotations,
    )
    coco = COCO()
    coco.dataset = content
    with redirect_stdout(StringIO()):
        coco.createIndex()
    return coco, detections


def evaluated(evaluation: type, coco: COCO, detections: list[dict]) -> np.ndarray:
    """The twelve values of COCO's summary, by a class of the interface of pycocotools."""
    with redirect_stdout(StringIO()):
        found = evaluation(coco, coco.loadRes([dict(d) for d in detections]), 'bbox')
        found.evaluate()
        found.accumulate()
        found.summarize()
    return np.asarray(found.stats[:12], float)


def measure_coco(images: int = 5000, classes: int = 80, rounds: int = 3) -> dict:
    """Alternate the two evaluations on the same made-up annotations and detections.

    Returns:
        ``images``, ``classes``, ``boxes``, ``detections``; ``pycocotools_s`` and ``faster_s``
        (seconds, medians), ``ratio`` (the second over the first), ``difference`` (the largest of
        the twelve values).
    """
    coco, detections = made_up(images, classes)
    times: dict[type, list[float]] = {COCOeval: [], COCOeval_faster: []}
    values: dict[type, np.ndarray] = {}
    for _ in range(rounds):
        for evaluation, measured in times.items():

            def evaluate(evaluation: type = evaluation) -> None:
                values[evaluation] = evaluated(evaluation, coco, detections)

            measured.append(seconds(evaluate))
    slow, fast = (statistics.median(times[cls]) for cls in (COCOeval, COCOeval_faster))
    return dict(
        images=images,
        classes=classes,
        boxes=len(coco.anns),
        detections=len(detections),
        rounds=rounds,
        pycocotools_s=slow,
        faster_s=fast,
        ratio=fast / slow,
        difference=float(np.abs(values[COCOeval] - values[COCOeval_faster]).max()),
    )


def coco_table(found: dict) -> str:
    return (
        f'{found["images"]} images, {found["classes"]} classes, {found["boxes"]} boxes, '
        f'{found["detections"]} detections: pycocotools {found["pycocotools_s"]:.2f} s, '
        f'faster-coco-eval {found["faster_s"]:.2f} s ({found["ratio"]:.3f} of it), '
        f'values differ by at most {found["difference"]:.1e}'
    )
