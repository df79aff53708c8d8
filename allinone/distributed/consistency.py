"""Consistency checks between the processes of a run, and errors of a lost process."""

from collections.abc import Callable, Mapping, Sequence

import torch.distributed as dist
from mmengine.dist import all_gather_object, get_world_size

from allinone.errors import ConfigError, PeerError

# Messages of gloo when a connection ends or times out
LOST = (
    'closed by peer',
    'reset by peer',
    'Broken pipe',
    'Timed out',
    'not connected',
    'Read error',
)
WORDS = 160


def require_same_everywhere(
    record: Mapping, step: int, differences: Callable[[Mapping, Mapping], Sequence[str]]
) -> None:
    """Check that all processes train the same run; every process raises, so that all end.

    Args:
        record: Run manifest, from :func:`run_record`.
        step: Iteration that the run resumes from; 0 for a new run.
        differences: Returns clauses on the differences of a run manifest from the first.

    Raises:
        ConfigError: If a process has a different config, data or iteration to resume from.
    """
    if get_world_size() == 1:
        return
    (first, first_step), *others = all_gather_object((dict(record), step))
    for rank, (other, other_step) in enumerate(others, 1):
        differing = differences(first, other)
        if differing:
            raise ConfigError(
                f'process {rank} differs from process 0: {differing[0]}; start all with the same '
                'config and data'
            )
        if other_step != first_step:
            raise ConfigError(
                f'process {rank} would go on from step {other_step} and process 0 from step '
                f'{first_step}; let all read the same work dir'
            )


def lost_peer(error: Exception, resume: str) -> PeerError | None:
    """Error to raise if ``error`` was caused by the end of another process; otherwise None."""
    words = ' '.join(str(error).split())
    gloo = 'gloo' in words and any(part in words for part in LOST)
    if not (gloo or isinstance(error, dist.DistError)):
        return None
    return PeerError(
        'another process of this run has ended or hangs, and its own output says why if it could '
        f'({words[:WORDS]}); steps after the last checkpoint are lost. Go on with: {resume}'
    )
