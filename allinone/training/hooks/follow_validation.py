"""Balancers and schedules that follow the metrics of validation."""

from mmengine.hooks import Hook

from allinone.registry import HOOKS


@HOOKS.register_module()
class FollowValidationHook(Hook):
    """Hands the metrics of each validation in training to the balancer and the schedule.

    After an ``EMAHook`` has put the training's own parameters and buffers back, and before a
    checkpoint hook saves this step again for a new best.
    """

    priority = 'LOW'

    def after_val_epoch(self, runner, metrics=None) -> None:
        # A loop that was not built is a config.
        follow = getattr(runner._train_loop, 'follow', None)
        if follow is not None:
            follow(metrics)
