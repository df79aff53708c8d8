"""Norms and cosines of the tasks' backbone gradients, for the log."""

from collections.abc import Sequence

import torch
from torch import Tensor

from allinone.distributed.processes import holders


def compare(rows: Tensor, names: Sequence[str], scale: Tensor) -> dict[str, Tensor]:
    """Compare the tasks' backbone gradients.

    Args:
        rows: The gradients ``[K, P]``, multiplied by ``scale``.
        names: Names of the K tasks.
        scale: Factor of the loss scaler (scalar).

    Returns:
        Scalars to log: ``'TASK/grad_norm'``, and for each pair ``'cos/TASK-TASK'``, the cosine (0
        with a zero gradient), and ``'grad_conflict/TASK-TASK'``, 1 if it is negative, else 0.
    """
    whole = holders().whole
    squares = torch.linalg.vector_norm(rows, dim=1).double() ** 2
    norms = whole(squares).sqrt().to(rows) / scale
    log = {f'{name}/grad_norm': norm for name, norm in zip(names, norms)}
    if len(names) > 1:
        units = norms * scale
        products = whole(rows @ rows.T)
        cosines = products / torch.outer(units, units).clamp_min(torch.finfo(rows.dtype).tiny)
        first, second = torch.triu_indices(len(names), len(names), 1).tolist()
        pairs = [f'{names[i]}-{names[j]}' for i, j in zip(first, second)]
        cosines = cosines[first, second]
        log |= {f'cos/{pair}': cosine for pair, cosine in zip(pairs, cosines)}
        log |= {f'grad_conflict/{pair}': met for pair, met in zip(pairs, (cosines < 0).to(rows))}
    return log
