"""Predictions of extracted models by their libraries' own tools. Nothing here may see allinone.

Run as a program of an environment of its own: ROOT holds folders of extracted files, and
asked.json ``{folder: [task, images]}``; the predictions are written to ROOT/found.pth.
"""

import importlib.util
import json
import sys
from pathlib import Path

import torch


def det(folder, images):
    from mmdet.apis import inference_detector, init_detector

    model = init_detector(f'{folder}/upstream_config.py', f'{folder}/upstream.pth', device='cpu')
    assert model.dataset_meta['classes'] == ('vehicle', 'pedestrian', 'sign')
    for image in images:
        boxes = inference_detector(model, image).pred_instances
        yield [boxes.bboxes, boxes.scores, boxes.labels]


def seg(folder, images):
    from mmseg.apis import inference_model, init_model

    model = init_model(f'{folder}/upstream_config.py', f'{folder}/upstream.pth', device='cpu')
    for image in images:
        yield [inference_model(model, image).seg_logits.data]


def cls(folder, images):
    from mmpretrain import ImageClassificationInferencer

    model = ImageClassificationInferencer(
        f'{folder}/upstream_config.py', f'{folder}/upstream.pth', device='cpu'
    )
    for image in images:
        yield [torch.from_numpy(model(image)[0]['pred_scores'])]


PREDICTIONS = dict(cls=cls, det=det, seg=seg)


def main(root: Path) -> None:
    torch.set_num_threads(1)
    found = {}
    for folder, (task, images) in json.loads((root / 'asked.json').read_text()).items():
        found[folder] = list(PREDICTIONS[task](root / folder, images))
    assert importlib.util.find_spec('allinone') is None
    assert not [name for name in sys.modules if name.split('.')[0] == 'allinone']
    torch.save(found, root / 'found.pth')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
