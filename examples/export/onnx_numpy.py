"""Run an exported graph with numpy, onnxruntime and Pillow: python onnx_numpy.py F.onnx IMAGE."""

import argparse
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps


def prepare(image, about):
    """The input of the graph, and the size to which the image was resized."""
    size, found = tuple(about['resize']['scale']), image.size
    if about['resize']['keep_ratio']:
        factor = min(size[0] / found[0], size[1] / found[1])
        size = tuple(int(side * factor + 0.5) for side in found)
    # Bilinear samples without smoothing, as in training. Image.resize would smooth.
    matrix = (found[0] / size[0], 0, 0, 0, found[1] / size[1], 0)
    resized = image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    pixels = np.empty((about['height'], about['width'], 3), np.float32)
    pixels[:] = about['pad']['value']
    pixels[: size[1], : size[0]] = np.asarray(resized)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]), size


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('graph', help='F.onnx, written by tools/export.py')
parser.add_argument('image')
parser.add_argument('--out', default='drawn.png', help='where the image with boxes is written')
parser.add_argument('--score', type=float, default=0.3, help='least score of boxes')
args = parser.parse_args()
session = onnxruntime.InferenceSession(args.graph, providers=['CPUExecutionProvider'])
metadata = json.loads(session.get_modelmeta().custom_metadata_map['allinone'])
image = ImageOps.exif_transpose(Image.open(args.image)).convert('RGB')
images, (width, height) = prepare(image, metadata['input'])
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, (each[0] for each in session.run(names, dict(images=images)))))
annotator = ImageDraw.Draw(image)
for task, about in metadata['tasks'].items():
    boxes, scores, labels = (outputs.get(f'{task}.{end}') for end in ('boxes', 'scores', 'labels'))
    names = about['classes'] or [str(index) for index in range(1000)]
    if boxes is not None and labels is not None:
        ends = np.tile((width, height), 2)
        boxes = boxes.clip(0, ends) * np.tile(image.size, 2) / ends
        for box, score, label in zip(boxes, scores, labels):
            if score >= args.score and label >= 0:
                print(f'{task}: {names[label]} {score:.3f} at {box.round(1).tolist()}')
                colour = tuple(about['palette'][label]) if about['palette'] else 'red'
                annotator.rectangle(box.tolist(), outline=colour, width=2)
    elif labels is not None:
        areas = np.bincount(labels[:height, :width].ravel())
        for index in np.flatnonzero(areas):
            print(f'{task}: {names[index]} {areas[index] / areas.sum():.1%} of the pixels')
    elif scores is not None and scores.ndim == 1:
        for index in np.argsort(-scores, kind='stable')[:3]:
            print(f'{task}: {names[index]} {scores[index]:.3f}')
    elif f'{task}.embedding' in outputs:
        print(f'{task}: {len(outputs[f"{task}.embedding"])} values of unit length')
image.save(args.out)
