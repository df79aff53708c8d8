"""What the demo does: toy scenes, joint training, test, drawings, curves, a report, a table."""

import json
import os
import os.path as osp
import shutil
import sys
import time
from glob import glob

from allinone.analysis.curves import plot_curves
from allinone.analysis.report import write_report
from allinone.config.loading import load_config
from allinone.data.toy.make import make_toy_data
from allinone.errors import AllInOneError, ConfigError
from allinone.evaluation.table import format_table
from allinone.inference.inferencer import AllInOneInferencer
from allinone.io.atomic import write_json
from allinone.io.images import write_image
from allinone.io.outputs import require_writable
from allinone.training.console import compact
from allinone.training.run import test, train
from allinone.training.signals import Stopped


def run_demo(args) -> int:
    """Run the demo; the exit status. An error that the user can fix is one sentence."""
    try:
        with compact():
            _demo(args)
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except Stopped as stop:
        print('stopped; the same command begins the demo anew', file=sys.stderr)
        return 128 + stop.signum
    return 0


def _demo(args) -> None:
    start = time.perf_counter()
    config, data, work_dir = args.config, args.data, args.work_dir
    options = getattr(args, 'cfg_options', None)
    # The config finds the scenes by this variable.
    os.environ['ALLINONE_DATA'] = osp.dirname(osp.abspath(data))
    cfg = load_config(config, options, work_dir)
    require_writable('--work-dir', work_dir, folder=True)
    try:
        make_toy_data(data, images=getattr(args, 'images', None), progress=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f'--data is {data!r}: {error}') from error
    train(cfg)
    best = max(glob(osp.join(work_dir, 'best_score_iter_*.pth')), key=osp.getmtime, default=None)
    if best is None:
        raise ConfigError(f'{work_dir} has no best_score_iter_*.pth; does val_cfg have a score?')
    out = {
        name: osp.join(work_dir, name)
        for name in ('metrics.json', 'all_tasks.png', 'curves.png', 'report.html')
    }
    cfg = load_config(config, options, osp.join(work_dir, 'test'))
    metrics = test(cfg, best)
    write_json(out['metrics.json'], metrics)
    _, (drawing,) = AllInOneInferencer(load_config(config, options), best)(
        busiest_image(data), return_vis=True
    )
    write_image(out['all_tasks.png'], drawing)
    plot_curves(work_dir, out['curves.png'])
    write_report([work_dir], out['report.html'])
    width = shutil.get_terminal_size().columns
    print('=' * min(width, 60))
    print(format_table({name: value for name, value in metrics.items() if '/IoU.' not in name}))
    print(f'\n{time.perf_counter() - start:.0f} s. Checkpoint {best}')
    print('\n'.join(out.values()))


def busiest_image(data: str) -> str:
    """The detection image of the val split with the most kinds of objects, then the most."""
    with open(osp.join(data, 'det/val.json'), encoding='utf-8') as file:
        coco = json.load(file)
    shown: dict[int, list[int]] = {image['id']: [] for image in coco['images']}
    for annotation in coco['annotations']:
        shown[annotation['image_id']].append(annotation['category_id'])
    chosen = max(
        coco['images'], key=lambda image: (len(set(shown[image['id']])), len(shown[image['id']]))
    )
    return osp.join(data, 'det/val', chosen['file_name'])
