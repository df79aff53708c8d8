"""Optimizer steps of several iterations. The gradients that add up within one no checkpoint holds,
so it is between them that a training is saved, validated and left.
"""


def iterations_of(optim_wrapper) -> int:
    """``optim_wrapper.accumulative_counts``."""
    return getattr(optim_wrapper, '_accumulative_counts', 1)


def ended_with(runner, step: int) -> int:
    """Of how many iterations the optimizer step is that is made in iteration ``step``; 0: none is.

    What is due at each multiple of ``n`` iterations is due after the optimizer step that a multiple
    is in: where ``step % n < ended_with(runner, step)``.

    Args:
        runner: The runner; the last iteration of its training makes an optimizer step, too.
        step: Number of iterations made.
    """
    count = iterations_of(runner.optim_wrapper)
    begun = step % count
    if begun and step == runner.max_iters:
        return begun
    return 0 if begun else count
