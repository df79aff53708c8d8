"""Logging without stopping the device at every step."""

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import HistoryBuffer

from allinone.registry import HOOKS

# Compared in single steps, and of use as the mean over those of a logging interval
AVERAGED = ('cos/', 'grad_conflict/')
# Values remembered under each name. mmengine copies all of them at every new one, and would keep
# a million: a step of a long run would take tenths of a second more, and a checkpoint half a GB,
# which each resumed run would read.
KEPT = 1_000


@HOOKS.register_module()
class DeferredLogHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook``, reading the losses off the device once a logging interval.

    The upstream hook calls ``.item()`` on every logged tensor of every step, and each call waits
    for the device. Here the tensors stay where they are until the logger is about to print; then
    all of them come over in one transfer. The logged values are the same; only cosines and
    conflicts of gradients are means over the interval. Of each metric the last 1,000 are kept, or
    as many as the longest ``window_size`` of ``log_processor``.
    """

    def __init__(self) -> None:
        self._pending: list[dict] = []
        self._interval = 1
        self._kept = KEPT

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self._kept = max([KEPT, *_windows(runner.log_processor)])
        scalars = runner.message_hub.log_scalars
        for name, buffer in scalars.items():
            last = (part[-self._kept :] for part in buffer.data)
            scalars[name] = HistoryBuffer(*last, self._kept)
        self._interval = min(
            [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)], default=1
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if outputs is not None:
            self._pending.append(outputs)
        last = runner.iter + 1 == runner.max_iters
        if last or self.every_n_inner_iters(batch_idx, self._interval):
            self._flush(runner)

    def flush_log(self, runner) -> None:
        """Called by the runner before it copies the log into a checkpoint."""
        self._flush(runner)

    def before_val(self, runner) -> None:
        self._flush(runner)
        super().before_val(runner)

    def _flush(self, runner) -> None:
        items = [(key, value) for outputs in self._pending for key, value in outputs.items()]
        self._pending = []
        tensors = [value for _, value in items if isinstance(value, torch.Tensor)]
        values = iter(
            torch.stack([t.detach().float().reshape(()) for t in tensors]).tolist()
            if tensors
            else []
        )
        shares: dict[str, list[float]] = {}
        for key, value in items:
            value = next(values) if isinstance(value, torch.Tensor) else value
            if key.startswith(AVERAGED):
                shares.setdefault(key, []).append(value)
            else:
                runner.message_hub.update_scalar(f'train/{key}', value)
        for key, found in shares.items():
            runner.message_hub.update_scalar(f'train/{key}', sum(found) / len(found))
        for buffer in runner.message_hub.log_scalars.values():
            buffer.max_length = self._kept


def _windows(log_processor) -> list[int]:
    """The numbers of values that a log averages over."""
    parts = [vars(log_processor), *(getattr(log_processor, 'custom_cfg', None) or ())]
    return [part['window_size'] for part in parts if isinstance(part.get('window_size'), int)]
