"""Saying which batches were left out, and stopping where nothing else comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook, LoggerHook
from torch import Tensor

from allinone.data.shared_sample import labelled_batch
from allinone.errors import TrainingError
from allinone.io.renames import renamed_arguments
from allinone.registry import HOOKS
from allinone.step.iteration import micro_batches

SHOWN = 8


@dataclass
class _Share:
    """What is remembered of one task's batch until the device is asked."""

    step: int
    task: str
    loss: Tensor
    dropped: Tensor
    images: list[str]


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Warns of batches whose loss or gradient was NaN or infinite, with the names of the images.

    The model leaves such a batch out of its step by itself (``model.skip_non_finite``). The flags
    come off the device once a logging interval, and before a checkpoint and a validation; so a run
    stops up to one interval late. The number of batches left out of each task is in the checkpoint.

    Args:
        max_consecutive: Stop when more batches of one task than this were left out in a row.

    Raises:
        TrainingError: If so; the weights, and the checkpoints, hold nothing of the bad batches.
    """

    # Before the hook that logs the outputs
    priority = 'HIGHEST'

    @renamed_arguments(max_bad_steps='max_consecutive')
    def __init__(self, max_consecutive: int = 10):
        self.max_consecutive = max_consecutive
        self._pending: list[_Share] = []
        self._interval = 1

    def before_train(self, runner) -> None:
        self._interval = min(
            [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)], default=1
        )
        known = runner.message_hub.runtime_info.get('bad_steps', {})
        self._total = dict(known.get('total', {}))
        self._in_a_row = dict(known.get('in_a_row', {}))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loaders = getattr(getattr(runner, 'train_loop', None), 'dataloader', None)
        sources = getattr(loaders, 'tasks', {})  # Other loops have a source for each task.
        for task, batches in _by_task(data_batch or {}, sources).items():
            dropped = outputs.pop(f'{task}/dropped', None)
            if isinstance(dropped, Tensor):
                self._pending.append(
                    _Share(runner.iter, task, outputs[f'{task}/loss'], dropped, _names(batches))
                )
        last = runner.iter + 1 == runner.max_iters
        if last or self.every_n_inner_iters(batch_idx, self._interval):
            self._flush(runner)

    def flush_log(self, runner) -> None:
        """Called by the runner, in all processes, before it copies the log into a checkpoint."""
        self._flush(runner)

    def before_val(self, runner) -> None:
        self._flush(runner)

    def _state(self) -> dict[str, dict[str, int]]:
        return dict(total=dict(self._total), in_a_row=dict(self._in_a_row))

    def _flush(self, runner) -> None:
        shares, self._pending = self._pending, []
        if not shares:
            return
        flags = torch.stack([share.dropped for share in shares]).float()
        if get_world_size() > 1:
            # All processes end together, or the others would wait for ever.
            all_reduce(flags, 'max')
        flagged = flags.tolist()
        left_out = self._left_out(shares, flagged)
        worst = (0, '')
        for number, (share, dropped) in enumerate(zip(shares, flagged)):
            if not dropped:
                self._in_a_row[share.task] = 0
                continue
            self._total[share.task] = self._total.get(share.task, 0) + int(dropped)
            self._in_a_row[share.task] = self._in_a_row.get(share.task, 0) + 1
            worst = max(worst, (self._in_a_row[share.task], share.task))
            counts = f'{self._in_a_row[share.task]} in a row, {self._total[share.task]} so far'
            for process, found in enumerate(left_out):
                if number in found:
                    loss, images = found[number]
                    where = f' of process {process}' if len(left_out) > 1 else ''
                    runner.logger.warning(
                        f'Step {share.step + 1}: the {share.task!r} batch{where} was left out, its '
                        f'loss is {loss} or a gradient is not finite ({counts}); its images: '
                        f'{images}'
                    )
        runner.message_hub.update_info('bad_steps', self._state())
        count, task = worst
        if count > self.max_consecutive:
            raise TrainingError(
                f'{count} batches of task {task!r} in a row had a loss or '
                'gradient that is not finite, more than default_hooks.bad_steps.max_consecutive='
                f'{self.max_consecutive}; the last checkpoint in {runner.work_dir} holds nothing '
                'of them. Lower its learning rate or weight, or look at the images named above'
            )

    @staticmethod
    def _left_out(
        shares: list[_Share], flags: list[float]
    ) -> list[dict[int, tuple[float, list[str]]]]:
        """Of each process ``{number of the share: (loss, images)}`` of what it left out.

        The main process writes the log, and another may have had the images.
        """
        if not any(flags):
            return []
        own = {
            number: (share.loss.item(), share.images)
            for number, share in enumerate(shares)
            if flags[number] and share.dropped
        }
        return all_gather_object(own)


def _by_task(
    data_batch: Mapping[str, Mapping | list], sources: Mapping[str, Sequence[str]]
) -> dict[str, list[Mapping]]:
    """Batches of each task; those of a shared source have the images that are labelled for it."""
    found: dict[str, list[Mapping]] = {}
    for source, batch in data_batch.items():
        for part in micro_batches(batch):
            for task in sources.get(source, (source,)):
                found.setdefault(task, []).append(labelled_batch(part, task))
    return found


def _names(batches: list[Mapping]) -> list[str]:
    samples = [sample for part in batches for sample in part.get('data_samples') or []]
    names = [str(getattr(sample, 'img_path', None) or '?') for sample in samples]
    return names[:SHOWN] + ([f'and {len(names) - SHOWN} more'] if len(names) > SHOWN else [])
