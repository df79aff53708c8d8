"""Exit statuses; errors that the user can fix are printed as one sentence on stderr."""

import os
import sys
from collections.abc import Callable

from allinone.checkpoint.loading import trusting_checkpoints
from allinone.distributed.consistency import lost_peer
from allinone.errors import AllInOneError
from allinone.training.console import compact
from allinone.training.resume import resume_command
from allinone.training.signals import Stopped


def exit_status(call: Callable[[], None], args) -> int:
    """Run a training or test; returns 0, 2 after a user error or a lost process, or 128 + signal.

    Args:
        call: The function to run.
        args: Arguments of the command line; ``local_rank``, ``trust_checkpoint`` and ``verbose``
            are read.
    """
    if getattr(args, 'local_rank', 0) and 'LOCAL_RANK' not in os.environ:
        os.environ['LOCAL_RANK'] = str(args.local_rank)
    try:
        with (
            compact(getattr(args, 'verbose', False)),
            trusting_checkpoints(getattr(args, 'trust_checkpoint', False)),
        ):
            call()
    except AllInOneError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signum
    except RuntimeError as error:
        lost = lost_peer(error, resume_command())
        if lost is None:
            raise
        print(f'error: {lost}', file=sys.stderr)
        return 2
    return 0
