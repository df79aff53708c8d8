"""What training sees: images and annotations as they reach the model."""

import os.path as osp
import sys
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from allinone.config.build_errors import named
from allinone.config.check import STAGES, check_config
from allinone.config.loading import load_config
from allinone.data.loaders import build_loader, in_this_process
from allinone.errors import AllInOneError, ConfigError
from allinone.io.images import write_image
from allinone.io.outputs import require_writable
from allinone.io.seeding import seed_all
from allinone.models.joint import build_network
from allinone.registry.options import check_choice, check_count
from allinone.visualization.draw import draw_tasks
from allinone.visualization.image_grid import contact_sheet

COLUMNS, TILE = 4, 480
SWAPS = ('to_rgb', 'channel_conversion', '_channel_conversion')


def browse(cfg: Config, task: str, stage: str = 'train') -> Iterator[tuple[str, np.ndarray]]:
    """Images of a task as its model gets them, with their annotations.

    These are the images of the first steps of a run with the config's seed, with the same
    augmentation. Where a batch is augmented too (mixup), the shares of the first task of a step are
    those of the run.

    Args:
        cfg: A joint config.
        task: Name of the task.
        stage: ``'train'``, ``'val'`` or ``'test'``.

    Yields:
        Path of the image's file (the first's, where several are mixed), and the drawing,
        uint8 RGB.
    """
    key, training = f'{stage}_dataloader.{task}', stage == 'train'
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    loader_cfg = in_this_process(cfg[f'{stage}_dataloader'][task])
    loader = build_loader(key, task, loader_cfg, seed, None, training, False)
    with named('model'):
        model = build_network(cfg)
    preprocessor, kind = model.tasks[task].data_preprocessor, model.kinds[task]
    dataset: BaseDataset = loader.dataset
    metainfo = {task: dataset.metainfo}
    for step, batch in enumerate(loader):
        seed_all(seed, 0, 'step', step)
        data = preprocessor(batch, training)
        for inputs, sample in zip(data['inputs'], data['data_samples']):
            truth = kind.ground_truth(sample)
            drawn = {task: truth} if truth.keys() else {}
            image = _image(inputs, preprocessor)
            yield (
                sample.metainfo.get('img_path') or '',
                draw_tasks(image, drawn, metainfo, kinds={task: kind}),
            )


def _image(inputs: torch.Tensor, preprocessor) -> np.ndarray:
    """A normalised input ``(3, H, W)`` as uint8 RGB ``(H, W, 3)``."""
    if getattr(preprocessor, '_enable_normalize', False):
        inputs = inputs * preprocessor.std + preprocessor.mean
    image = inputs.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    is_rgb = any(getattr(preprocessor, name, False) for name in SWAPS)
    return np.ascontiguousarray(image if is_rgb else image[..., ::-1])


def run_browse(args) -> int:
    """What ``tools/browse_dataset.py`` does; the exit status."""
    try:
        check_count('--count', args.count)
        check_choice('--stage', args.stage, STAGES)
        cfg = load_config(args.config, args.cfg_options)
        check_config(cfg)
        loaders = cfg.get(f'{args.stage}_dataloader') or {}
        tasks = list(args.tasks or loaders)
        unknown = [task for task in tasks if task not in loaders]
        if unknown or not tasks:
            raise ConfigError(
                f'--tasks has {unknown}; {args.stage}_dataloader of {args.config} has '
                f'{list(loaders)}'
            )
        require_writable('--out-dir', args.out_dir, folder=True)
        for task in tasks:
            drawings = []
            for number, (path, drawing) in zip(range(args.count), browse(cfg, task, args.stage)):
                stem = osp.splitext(osp.basename(path))[0]
                write_image(osp.join(args.out_dir, task, f'{number:03d}-{stem}.jpg'), drawing)
                drawings.append(drawing)
            sheet = osp.join(args.out_dir, f'{task}.jpg')
            write_image(sheet, contact_sheet(drawings, COLUMNS, TILE))
            print(f'{task}: {len(drawings)} images in {args.out_dir}/{task}, all on {sheet}')
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0
