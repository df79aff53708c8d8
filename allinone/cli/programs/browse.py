"""What training sees: images and annotations as they reach the model."""

import os.path as osp
import sys
from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from allinone.config.build_errors import named
from allinone.config.check import STAGES, check_config
from allinone.config.loading import load_config
from allinone.config.sources import sources_of, tasks_of, tasks_served
from allinone.data.loaders import build_loader, in_this_process
from allinone.data.shared_sample import is_shared, labelled, labelled_batch
from allinone.errors import AllInOneError, ConfigError
from allinone.io.images import write_image
from allinone.io.outputs import require_writable
from allinone.io.seeding import seed_all
from allinone.models.joint import build_network
from allinone.registry.options import check_choice, check_count
from allinone.tasks.joined_labels import JoinedMaps
from allinone.visualization.draw import draw_tasks
from allinone.visualization.image_grid import contact_sheet, side_by_side

COLUMNS, TILE = 4, 480
SWAPS = ('to_rgb', 'channel_conversion', '_channel_conversion')


def browse(cfg: Config, name: str, stage: str = 'train') -> Iterator[tuple[str, np.ndarray]]:
    """Images of a source or a task as models get them, with their annotations.

    These are the images of the first steps of a run with the config's seed, with the same
    augmentation. Where a batch is augmented too (mixup), the shares of the first task of a step are
    those of the run.

    Args:
        cfg: A joint config.
        name: Of a source, whose images have the annotations of all of its tasks, with one drawing
            for each label map side by side; or of a task, whose annotations are drawn alone.
        stage: ``'train'``, ``'val'`` or ``'test'``.

    Yields:
        Path of the image's file (the first's, where several are mixed), and the drawing,
        uint8 RGB.
    """
    loaders, training = cfg[f'{stage}_dataloader'], stage == 'train'
    source = name if name in loaders else _source_of(loaders, name)
    tasks = tasks_of(source, loaders[source])
    chosen = tasks if name in loaders else (name,)
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    with named('model'):
        model = build_network(cfg)
    loader = build_loader(
        f'{stage}_dataloader.{source}',
        source,
        in_this_process(loaders[source]),
        seed,
        None,
        training,
        False,
        min_labelled=model.min_labelled,
    )
    dataset: BaseDataset = loader.dataset
    for step, batch in enumerate(loader):
        metainfo = dataset.metainfo if is_shared(batch) else {chosen[0]: dataset.metainfo}
        seed_all(seed, 0, 'step', step)
        prepared: list[dict] = [{} for _ in batch['inputs']]
        for task in chosen:
            positions = labelled(batch, task)
            if positions:
                data = model.tasks[task].data_preprocessor(labelled_batch(batch, task), training)
                for index, *pair in zip(positions, data['inputs'], data['data_samples']):
                    prepared[index][task] = pair
        for samples in filter(None, prepared):
            path = next(iter(samples.values()))[1].metainfo.get('img_path') or ''
            yield path, _drawing(model, chosen, samples, metainfo)


def _source_of(loaders: Mapping, task: str) -> str:
    return next(source for source, tasks in sources_of(loaders).items() if task in tasks)


def _drawing(model, tasks: Sequence[str], samples: Mapping, metainfo: Mapping) -> np.ndarray:
    """The annotations of an image, ``{task: (input, data sample)}``, a label map a drawing."""
    maps = [task for task in tasks if model.kinds[task].joined_labels is JoinedMaps]
    others = [task for task in tasks if task not in maps]
    panels = [[*others, *maps[:1]], *([task] for task in maps[1:])]
    drawings = []
    for shown in panels:
        truth = {}
        for task in filter(samples.__contains__, shown):
            found = model.kinds[task].ground_truth(samples[task][1])
            if found.keys():
                truth[task] = found
        # A label map is as large as the input of its task.
        first = next((task for task in reversed(shown) if task in samples), next(iter(samples)))
        image = _image(samples[first][0], model.tasks[first].data_preprocessor)
        drawing = draw_tasks(image, truth, metainfo, kinds=model.kinds)
        drawings.append((_title(shown, samples), drawing))
    return side_by_side(drawings) if len(tasks) > 1 else drawings[0][1]


def _title(tasks: Sequence[str], labelled_tasks: Container[str]) -> str:
    """Tasks of a drawing, and which of them the image has no labels of."""
    lacking = [task for task in tasks if task not in labelled_tasks]
    parts = [', '.join(task for task in tasks if task in labelled_tasks)]
    if lacking:
        parts.append(f'(no labels: {", ".join(lacking)})')
    return ' '.join(filter(None, parts))


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
        names, known = (
            list(args.tasks or loaders),
            dict.fromkeys([*loaders, *tasks_served(loaders)]),
        )
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ConfigError(
                f'--tasks has {unknown}; {args.stage}_dataloader of {args.config} has {list(known)}'
            )
        require_writable('--out-dir', args.out_dir, folder=True)
        for name in names:
            drawings = []
            for number, (path, drawing) in zip(range(args.count), browse(cfg, name, args.stage)):
                stem = osp.splitext(osp.basename(path))[0]
                write_image(osp.join(args.out_dir, name, f'{number:03d}-{stem}.jpg'), drawing)
                drawings.append(drawing)
            sheet = osp.join(args.out_dir, f'{name}.jpg')
            height, width = drawings[0].shape[:2]
            # Label maps side by side
            columns = max(1, round(COLUMNS * height / width)) if width > 2 * height else COLUMNS
            write_image(sheet, contact_sheet(drawings, columns, TILE * COLUMNS // columns))
            print(f'{name}: {len(drawings)} images in {args.out_dir}/{name}, all on {sheet}')
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0
