"""What ``tools/precise_bn.py`` does once its arguments are parsed."""

import itertools
import os
import sys

import torch

from allinone.checkpoint.formats import files_of
from allinone.checkpoint.loading import read_checkpoint, state_dict_of, trusting_checkpoints
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.config.sources import sources_of
from allinone.data.loaders import training_batches
from allinone.errors import AllInOneError, ConfigError
from allinone.io.atomic import write_durably
from allinone.io.outputs import require_writable
from allinone.models.joint import build_network, load_trained
from allinone.training.precise_bn import SEED, reestimate


def run_precise_bn(args) -> int:
    """Write the checkpoint with new statistics; the exit status."""
    try:
        if args.batches < 1:
            raise ConfigError(f'--batches is {args.batches}; give a whole number of at least 1')
        cfg = load_config(args.config, args.cfg_options)
        check_config(cfg)
        if os.path.exists(args.out):
            raise ConfigError(f'--out {args.out} is there already; name another file')
        require_writable('--out', args.out)
        with trusting_checkpoints(args.trust_checkpoint):
            count = precise_bn(cfg, args.checkpoint, args.out, args.batches)
    except (AllInOneError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{args.out}: new statistics of {count} batch norms, from {args.batches} batches a task')
    return 0


def precise_bn(cfg, checkpoint: str, out: str, batches: int) -> int:
    """Write a checkpoint with new statistics of batch norm, and all else as it was.

    Args:
        cfg: The joint config, whose training images are taken.
        checkpoint: One of it; of one that has averaged weights (EMA), these keep their own.
        out: The file to write.
        batches: How many batches of each task.

    Returns:
        The number of batch norms.

    Raises:
        ConfigError: As :func:`reestimate`.
        CheckpointError: If the checkpoint cannot be read, or lacks weights of the model.
    """
    loaded = read_checkpoint(checkpoint)
    model = build_network(cfg)
    load_trained(model, loaded, checkpoint)
    model.to('cuda' if torch.cuda.is_available() else 'cpu')
    # Those that the hook takes in a training by one process
    seed = (loaded.get('meta') or {}).get('seed') or 0
    sources = sources_of(cfg.train_dataloader)
    mixed = training_batches(cfg, sources, seed + SEED, model.min_labelled)
    count = reestimate(model, itertools.islice(mixed, batches), sources)
    new = {name: value.cpu() for name, value in model.state_dict().items()}
    kept = {name: new.get(name, value) for name, value in state_dict_of(loaded, checkpoint).items()}
    whole = dict(loaded, state_dict=kept) if 'state_dict' in loaded else dict(state_dict=kept)
    for file, content in files_of(whole, out).items():
        write_durably(file, content)
    return count
