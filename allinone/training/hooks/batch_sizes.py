"""Sizes of batches, which mmdet's ``BatchSyncRandomResize`` keeps from one step to the next."""

from mmdet.models import BatchSyncRandomResize
from mmengine.hooks import Hook

from allinone.registry import HOOKS


@HOOKS.register_module()
class BatchSizeHook(Hook):
    """Puts the sizes into checkpoints, and on resuming back.

    They are those of the first process; all have the same once a size was drawn.
    """

    def before_train(self, runner) -> None:
        sizes = runner.message_hub.runtime_info.get('batch_sizes', {})
        for name, resize in self._resizes(runner):
            resize._input_size = sizes.get(name, resize._input_size)

    def flush_log(self, runner) -> None:
        """Called by the runner before it copies the log into a checkpoint."""
        sizes = {name: resize._input_size for name, resize in self._resizes(runner)}
        if sizes:
            runner.message_hub.update_info('batch_sizes', sizes)

    @staticmethod
    def _resizes(runner) -> list[tuple[str, BatchSyncRandomResize]]:
        model = getattr(runner.model, 'module', runner.model)
        return [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, BatchSyncRandomResize)
        ]
