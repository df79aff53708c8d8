"""mmengine's ``EarlyStoppingHook``, on metrics of a joint model, and exact in a resumed run."""

from math import inf

from mmengine.hooks import EarlyStoppingHook as UpstreamEarlyStoppingHook

from allinone.errors import ConfigError
from allinone.evaluation.names import check_metric_names
from allinone.registry import HOOKS
from allinone.registry.options import check_count

STATE = 'early_stopping'
SCORE = 'score'


@HOOKS.register_module()
class EarlyStoppingHook(UpstreamEarlyStoppingHook):
    """Ends a training whose metric has not improved in ``patience`` validations in a row.

    Args:
        monitor: ``'score'`` or ``'TASK/metric'``.
        rule: ``'greater'`` or ``'less'``, what is better. Default: by the name, as in mmengine;
            of ``'score'`` greater.
        patience: Validations without an improvement.
        **kwargs: As in mmengine. ``min_delta`` (0.1) is in the unit of the metric.

    The count and the best value are in each checkpoint, so that a resumed training stops where
    one without an interruption does. All processes get the same metrics and stop together.
    """

    # After averaged weights are taken out again, and before a checkpoint of a new best is saved
    priority = 'LOW'
    # A validation changes what follows: one that was interrupted is made up for on resuming.
    uses_metrics = True

    def __init__(self, monitor: str, rule: str | None = None, patience: int = 5, **kwargs):
        if rule is None and monitor == SCORE:
            rule = 'greater'
        super().__init__(monitor, rule=rule, patience=patience, **kwargs)
        check_count('patience', patience)
        self._key = f'{STATE}/{monitor}'

    def before_run(self, runner) -> None:
        """Check the name of the metric.

        Raises:
            ConfigError: If there is no validation, or it does not give the metric.
        """
        super().before_run(runner)
        key = f'monitor of {type(self).__name__}'
        validation = runner.val_loop
        if validation is None:
            raise ConfigError(
                f'{key} is {self.monitor!r}, but there is no validation; add val_dataloader, '
                'val_evaluator and val_cfg, or remove the hook'
            )
        if self.monitor != SCORE:
            check_metric_names(key, [self.monitor], validation.metric_names())
        elif not validation.score:
            raise ConfigError(
                f"{key} is 'score', but val_cfg has no score; give its members there, as "
                "{'TASK/metric': factor}, or name a TASK/metric"
            )

    def before_train(self, runner) -> None:
        state = runner.message_hub.runtime_info.get(self._key, {})
        self.wait_count = state.get('wait_count', 0)
        self.best_score = state.get('best', -inf if self.rule == 'greater' else inf)
        if state.get('by_value') or self.wait_count >= self.patience:
            runner.train_loop.stop_training = True

    def after_val_epoch(self, runner, metrics=None) -> None:
        if getattr(runner._train_loop, 'stop_training', True):
            return  # Not a validation of a training, or stopped already
        super().after_val_epoch(runner, metrics)
        stopped = runner.train_loop.stop_training
        if stopped:
            runner.logger.info(
                f'{type(self).__name__}: {self.wait_count} validations since the best '
                f'{self.monitor}, {self.best_score:.4g}, so training stops'
            )
        state = dict(
            wait_count=self.wait_count,
            best=float(self.best_score),
            # At a threshold or a value that is not finite, whatever the patience
            by_value=stopped and self.wait_count < self.patience,
        )
        runner.message_hub.update_info(self._key, state)
