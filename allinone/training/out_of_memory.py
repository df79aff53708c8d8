"""A sentence in place of PyTorch's error about too little memory."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch

from allinone.errors import TrainingError

from .resume import resume_command, step_checkpoints

# Of the CPU's allocator, cuBLAS and cuDNN, whose errors have no class
WORDS = ('not enough memory', "can't allocate memory", 'ALLOC_FAILED', 'out of memory')
SHOWN = 200  # characters


@contextmanager
def enough_memory(runner, sources: Iterable[str]) -> Iterator[None]:
    """Explain an error about too little memory in a training step.

    Args:
        runner: The runner of the training.
        sources: Of the step.

    Raises:
        TrainingError: Naming the sources and their batch sizes, what to lower, and the checkpoint
            to resume from.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_about_memory(error):
            raise
        raise TrainingError(_sentence(runner, sources, error)) from error


def _is_about_memory(error: Exception) -> bool:
    named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return named or any(words in str(error) for words in WORDS)


def _sentence(runner, sources: Iterable[str], error: Exception) -> str:
    loaders: Mapping = runner.cfg.train_dataloader
    sizes = ', '.join(
        f'{source} (batch_size={loaders[source].get("batch_size", 1)})' for source in sources
    )
    words = ' '.join(str(error).split()) or type(error).__name__
    saved = step_checkpoints(runner.work_dir)
    resume = (
        f'the last checkpoint is {saved[0]}; resume with: {resume_command()}'
        if saved
        else f'{runner.work_dir} has no checkpoint yet'
    )
    return (
        f'step {runner.iter + 1} needs more memory than there is, for {sizes}: {words[:SHOWN]}; '
        'lower train_dataloader.TASK.batch_size (train_cfg.micro_batches or '
        'optim_wrapper.accumulative_counts make up for it) or the size of its images, or use --amp '
        f'or model.backbone.with_cp=True; {resume}'
    )
