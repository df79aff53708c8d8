"""Try each base of a backbone with each base of a head: build, one step, one prediction.

    python tests/zoo.py --out docs/results/zoo_pairs.md

Models are small (:mod:`zoo_configs`), weights random, and nothing says channels or strides. The
heads of a backbone are tasks of one joint model, which is built once; if it cannot be built, each
is tried alone. The suite tries some pairs, and with ``pytest tests/test_zoo_pairs.py --zoo`` all.
"""

import argparse
import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import sweep_samples
import torch
import zoo_configs
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

from allinone.config.expansion import expand_config
from allinone.registry import MODELS
from allinone.registry.kinds import kind_of_config
from allinone.visualization.palette import ClassTable

HEADS = (
    *('linear_cls', 'rtmdet', 'faster_rcnn', 'dino'),
    *('fcn', 'upernet', 'segformer', 'mask2former'),
)
PAGE = Path(__file__).parents[1] / 'docs/results/zoo_pairs.md'
CLASSES = 3
SIZE = 64
WORKS, WORKS_VIT = 'yes', 'vit'
TEXT = """# Pairs of backbones and heads
```bash
python tests/zoo.py --out docs/results/zoo_pairs.md
```
Each file of `configs/_base_/backbones` with eight of `configs/_base_/tasks`. The eight are tasks
of a joint model, which is built, trained for one step a task, and predicts. No channel, stride or
index of a feature map is written. Backbones have the channels of their files, and about one layer a
stage where their config can say so. Heads have few layers, queries and inner channels. Weights are
random; images have {size} x {size} pixels (224 x 224 for patches of 14) and {classes} classes.

The table says that shapes, strides, losses and predictions go together, and nothing of metrics.
*yes* is the task `NAME`. *vit* is `NAME_vit`, which makes all strides of one, for plain vision
transformers. A number is the reason below.

The suite tries two heads with each backbone, and two backbones with each head of
`configs/_base_/tasks`, also those without a column here. With `--zoo` it tries all pairs of this
table, and compares them with it.

"""


def attempt(backbone: str, heads: Sequence[str]) -> dict[str, str]:
    """Try heads as the tasks of one joint model.

    Returns:
        ``{head: WORKS or WORKS_VIT, or the reason why not}``.
    """
    try:
        cfg, model, maps = build(backbone, heads)
    except Exception as error:
        if len(heads) > 1:
            return {head: attempt(backbone, [head])[head] for head in heads}
        return {heads[0]: f'is not built: {_short(error)}'}
    stride = max(found.stride for found in maps)
    # Segmentors pad to multiples of 32.
    size = SIZE if SIZE % stride == 0 else math.lcm(stride, 32)
    return {head: _tried(cfg.model.tasks[head], model, head, size) for head in heads}


def build(backbone: str, heads: Sequence[str]):
    """Config, model and feature maps of a joint model, built as by a run."""
    torch.manual_seed(0)
    for count in ('iter', 'epoch'):
        MessageHub.get_current_instance().update_info(count, 0)
    with DefaultScope.overwrite_default_scope('allinone'):
        joint, maps = zoo_configs.backbone(backbone)
        joint['tasks'] = {head: zoo_configs.task(head, maps, num_classes=CLASSES) for head in heads}
        cfg = Config(dict(model=joint))
        expand_config(cfg, wire=False)
        for head, part in cfg.model.tasks.items():
            key = f'model.tasks.{head}'
            kind_of_config(key, part).wire(key, part, lambda: maps)
        model = MODELS.build(cfg.model)
        model.init_weights()
    return cfg, model, maps


def _tried(cfg, model, head: str, size: int) -> str:
    kind, stage = model.kinds[head], 'step'
    try:
        optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
        data = sweep_samples.batch(kind, Config(dict(model=cfg)), CLASSES, size)
        log = model.train().train_step({head: data}, optim)
        loss = float(log[f'{head}/loss'])
        if not loss < float('inf'):
            raise ArithmeticError(f'the loss is {loss}')
        stage = 'predict'
        for sample in model.eval().predict(sweep_samples.images(size), tasks=[head])[head]:
            kind.to_record(sample, ClassTable({}))
    except Exception as error:
        return f'fails to {stage}: {_short(error)}'
    necks = cfg.get('neck') or {}
    pyramid = isinstance(necks, dict) and 'SimpleFeaturePyramid' in str(necks.get('type'))
    return WORKS_VIT if pyramid else WORKS


def works(result: str) -> bool:
    return result in (WORKS, WORKS_VIT)


def _short(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())}'[:300]


def page(results: dict[str, dict[str, str]], heads: Sequence[str] = HEADS) -> str:
    """The page of ``{backbone: {head: result}}``."""
    found = [results[name][head] for name in results for head in heads]
    reasons = list(dict.fromkeys(result for result in found if not works(result)))
    text = TEXT.format(size=SIZE, classes=CLASSES)
    text += f'{sum(map(works, found))} of {len(found)} pairs work.\n\n'
    rows = [['backbone', *heads], ['---'] * (1 + len(heads))]
    rows += [[name, *cells(results[name], heads, reasons)] for name in results]
    text += ''.join(f'| {" | ".join(row)} |\n' for row in rows)
    return text + ''.join(f'\n{number}. {reason}' for number, reason in enumerate(reasons, 1))


def cells(results: dict[str, str], heads: Sequence[str], reasons: Sequence[str]) -> list[str]:
    """``yes``, ``vit``, or the number of the reason why a pair does not work."""
    return [
        results[head] if works(results[head]) else str(reasons.index(results[head]) + 1)
        for head in heads
    ]


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, help='write the page here, not to stdout')
    parser.add_argument('--backbones', nargs='*', help='of these only (default: all)')
    parser.add_argument('--heads', nargs='*', default=HEADS, help='(default: the eight)')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    warnings.filterwarnings('ignore')
    logging.disable(logging.CRITICAL)  # Initial weights are logged one by one.
    torch.set_num_threads(1)
    results = {}
    for name in args.backbones or zoo_configs.backbones():
        start = time.monotonic()
        results[name] = attempt(name, args.heads)
        failed = {head: found for head, found in results[name].items() if not works(found)}
        print(f'{name}: {time.monotonic() - start:.1f} s', failed or '', file=sys.stderr)
    text = page(results, args.heads)
    if args.out:
        args.out.write_text(text)
    else:
        print(text)


if __name__ == '__main__':
    main(parse_args())
