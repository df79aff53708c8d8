"""The other processes of a run: whether they train the same, and what if one is gone."""

from collections.abc import Callable, Mapping, Sequence

import torch.distributed as dist
from mmengine.dist import all_gather_object, get_world_size

from allinone.errors import ConfigError, PeerError

# What gloo says when a connection ends or nothing comes
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
    """That all processes train the same; in each of them, so that all end.

    Args:
        record: Of :func:`run_record`.
        step: That the run goes on from; 0 for a new one.
        differences: Clauses on what makes one record another run than the first.

    Raises:
        ConfigError: If one has another config, other data, or goes on from another step.
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
    """What to say of an error that came of another process' end; None: of something else."""
    words = ' '.join(str(error).split())
    gloo = 'gloo' in words and any(part in words for part in LOST)
    if not (gloo or isinstance(error, dist.DistError)):
        return None
    return PeerError(
        'another process of this run has ended or hangs, and its own output says why if it could '
        f'({words[:WORDS]}); steps after the last checkpoint are lost. Go on with: {resume}'
    )
