"""Which figures an evaluation will give, known before it runs."""

from collections.abc import Iterable, Mapping

from mmengine.evaluator import BaseMetric, Evaluator

from allinone.errors import ConfigError

BOX_FIGURES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
REGION_FIGURES = dict(
    mIoU=('mIoU', 'mAcc'), mDice=('mDice', 'mAcc'), mFscore=('mFscore', 'mPrecision', 'mRecall')
)


def figure_names(evaluator: Evaluator) -> set[str] | None:
    """Short names of all figures of an evaluator; None where one of its metrics is not known."""
    found = [_names(metric) for metric in evaluator.metrics]
    return None if None in found else set().union(*found)


def _names(metric: BaseMetric) -> set[str] | None:
    kinds = {kind.__name__ for kind in type(metric).__mro__}
    classes = (getattr(metric, 'dataset_meta', None) or {}).get('classes') or ()
    if 'CocoMetric' in kinds and 'proposal' not in metric.metrics:
        return {
            *(
                f'{kind}_{name}'
                for kind in metric.metrics
                for name in metric.metric_items or BOX_FIGURES
            ),
            *(f'{name}_precision' for name in classes if metric.classwise),
        }
    if 'IoUMetric' in kinds:
        return {
            'aAcc',
            *(name for kind in metric.metrics for name in REGION_FIGURES.get(kind, ())),
            *(f'IoU.{name}' for name in classes),
        }
    if 'VOCMetric' in kinds and metric.metric == 'mAP':
        return {'mAP', *(f'AP{int(100 * threshold):02d}' for threshold in metric.iou_thrs)}
    if 'Accuracy' in kinds and len(getattr(metric, 'thrs', ())) == 1:
        return {f'top{k}' for k in metric.topk}
    if 'SingleLabelMetric' in kinds and len(metric.thrs) == 1:
        suffix = {None: '_classwise', 'micro': '_micro'}.get(metric.average, '')
        return {f'{item}{suffix}' for item in metric.items}
    if 'AveragePrecision' in kinds:
        return {'mAP' if metric.average else 'AP_classwise'}
    return None


def check_figures(
    key: str, names: Iterable[str], evaluated: Iterable[str] | Mapping[str, set[str] | None]
) -> None:
    """Refuse ``'TASK/metric'`` names that validation will not give.

    Args:
        key: The config key that holds the names, for messages.
        names: ``'TASK/metric'`` each.
        evaluated: The tasks that validation evaluates, with the figures of each where known.

    Raises:
        ConfigError: If a task is not evaluated, or its metrics are known and give no such figure.
    """
    figures = evaluated if isinstance(evaluated, Mapping) else dict.fromkeys(evaluated)
    missing = [name for name in names if name.split('/')[0] not in figures]
    if missing:
        raise ConfigError(
            f'{key} names {missing}, but validation evaluates only {list(figures)}; add the tasks '
            'to val_dataloader and val_evaluator'
        )
    for name in names:
        task, _, figure = name.partition('/')
        if figures[task] is not None and figure.rsplit('/', 1)[-1] not in figures[task]:
            raise ConfigError(
                f'{key} names {name!r}, but val_evaluator.{task} gives {sorted(figures[task])}'
            )
