"""What ``tools/export.py`` does once its arguments are parsed."""

import os.path as osp
import sys

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.errors import AllInOneError
from allinone.reuse.export import export


def run_export(args) -> int:
    """Export a model; its exit status."""
    try:
        with trusting_checkpoints(args.trust_checkpoint):
            found = export(
                args.model,
                args.out,
                args.format,
                args.weights,
                args.tasks,
                args.size,
                [name for name in args.dynamic.split(',') if name],
                args.precision,
                args.raw,
                args.cfg_options,
                args.overwrite,
                on_note=print,
                calibrate=args.calibrate,
                calibration_images=args.calibration_images,
                keep_float=args.keep_float,
            )
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    for name, shape in found.sizes.items():
        print(f'{name}: {" x ".join(map(str, shape))}')
    sizes = ', '.join(f'{path} ({osp.getsize(path) / 1e6:.1f} MB)' for path in found.files)
    print(f'written: {sizes}')
    return 0
