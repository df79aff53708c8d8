"""Which checkpoint a run goes on from."""

import os
import os.path as osp
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from glob import escape, glob

from mmengine.logging import print_log

from allinone.checkpoint.folder import is_half_written
from allinone.checkpoint.formats import FORMATS
from allinone.checkpoint.loading import read_checkpoint
from allinone.errors import CheckpointError
from allinone.io.program import by_command

from .hooks.checkpoint import POINTER

SUFFIXES = tuple(f'.{name}' for name in FORMATS)
NEEDED = ('state_dict', 'message_hub', 'optimizer', 'meta')


def newest_checkpoint(work_dir: str) -> tuple[str, dict] | None:
    """Path and content of the complete checkpoint of the latest step; None if there is no file.

    Temporary files are not looked at. What cannot be read whole, or not resumed from, is passed
    over, and the log says why.

    Raises:
        CheckpointError: If there are checkpoints, but none is complete.
    """
    found, reasons = first_readable(step_checkpoints(work_dir), read_resumable)
    if found:
        print_log(f'{found[0]} is the newest complete checkpoint of {work_dir}', 'current')
        return found
    if reasons:
        raise CheckpointError(
            f'{work_dir} has no checkpoint to go on from: {"; ".join(reasons)}; name one with '
            '--resume CKPT, or start anew without --resume'
        )
    print_log(f'{work_dir} has no checkpoint, so the run starts at step 0', 'current')
    return None


def first_readable(
    paths: Iterable[str], read: Callable[[str], dict]
) -> tuple[tuple[str, dict] | None, list[str]]:
    """Path and content of the first checkpoint that can be read, and why those before cannot."""
    reasons = []
    for path in paths:
        try:
            checkpoint = read(path)
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            print_log(f'passed over: {reason}', 'current')
        return (path, checkpoint), reasons
    return None, reasons


def read_resumable(path: str) -> dict:
    """A checkpoint that holds all that a run needs to go on, read ``lazily``.

    Raises:
        CheckpointError: If it cannot be read, or holds less.
    """
    checkpoint = read_checkpoint(path, lazily=True)
    missing = [key for key in NEEDED if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing or not {'iter', 'epoch'} <= set(checkpoint['meta']):
        raise CheckpointError(
            f'{path} has weights, but not the state of a run ({", ".join(missing or ["meta.iter"])}'
            ' missing); use it with load_from'
        )
    return checkpoint


def step_checkpoints(work_dir: str) -> list[str]:
    """The checkpoints of steps, the latest step first; where a name has no number, by time."""
    found = {
        path
        for suffix in SUFFIXES
        for path in glob(osp.join(escape(work_dir), f'*{suffix}'))
        if not osp.basename(path).startswith('best_') and not is_half_written(path)
    }
    pointer = osp.join(work_dir, POINTER)
    if not found and osp.isfile(pointer):
        # They lie elsewhere (out_dir). Otherwise it says nothing new; or, in a copied work dir,
        # where the original has its checkpoints.
        with open(pointer, encoding='utf-8') as file:
            named = file.read().strip()
        found |= {named} if osp.exists(named) else set()
    return sorted(found, key=lambda path: (_step(path), osp.getmtime(path)), reverse=True)


def _step(path: str) -> int:
    numbers = re.findall(r'\d+', osp.splitext(osp.basename(path))[0])
    return int(numbers[-1]) if numbers else -1


def move_later_checkpoints(work_dir: str, path: str) -> None:
    """Put the work dir's checkpoints of steps after that of ``path`` into a folder of their own.

    Else the next ``--resume`` would find those, of a run that was left, to be the newest.
    """
    later = [other for other in step_checkpoints(work_dir) if _step(other) > _step(path) >= 0]
    later = [other for other in later if osp.dirname(osp.abspath(other)) == osp.abspath(work_dir)]
    if later:
        folder = move_away(work_dir, later)
        print_log(f'the checkpoints of {work_dir} after {path} are in {folder} now', 'current')


def keep_earlier_run(work_dir: str) -> None:
    """Move the checkpoints of an earlier run into a folder of their own: none is overwritten."""
    found = [
        path
        for pattern in (*(f'*{suffix}' for suffix in SUFFIXES), '*.json', POINTER)
        for path in glob(osp.join(escape(work_dir), pattern))
        # Of JSON files only those beside a checkpoint: others are the user's.
        if not path.endswith('.json') or osp.exists(path.removesuffix('.json') + '.safetensors')
        if not is_half_written(path)
    ]
    if not found:
        return
    folder = move_away(work_dir, found)
    print_log(
        f'the checkpoints that an earlier run left in {work_dir} are in {folder} now', 'current'
    )


def move_away(work_dir: str, paths: list[str]) -> str:
    """Move files into a sub-folder named after the newest of them; its path."""
    newest = max(map(osp.getmtime, paths))
    folder = osp.join(work_dir, time.strftime('earlier_%Y%m%d_%H%M%S', time.localtime(newest)))
    os.makedirs(folder, exist_ok=True)
    for path in paths:
        os.replace(path, osp.join(folder, osp.basename(path)))
    return folder


def resume_command() -> str:
    """The command line of this process with ``--resume``."""
    words = [
        word for word in sys.argv if word != '--force-resume' and not word.startswith('--resume=')
    ]
    if '--resume' in words:
        position = words.index('--resume')
        value = words[position + 1 : position + 2]
        del words[position : position + 1 + bool(value and not value[0].startswith('-'))]
    if 'LOCAL_WORLD_SIZE' in os.environ:
        launcher = ['torchrun', f'--nproc_per_node={os.environ["LOCAL_WORLD_SIZE"]}']
        launcher += ['-m'] * by_command()
    else:
        launcher = [] if by_command() else ['python']
    return shlex.join([*launcher, *words, '--resume'])
