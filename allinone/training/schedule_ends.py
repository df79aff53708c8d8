"""What the schedulers in a run manifest take from the length of the training."""

import re
from collections.abc import Mapping

LENGTH = ('train_cfg.max_iters', 'train_cfg.max_epochs')
# Schedulers whose curve lies between begin and end
COSINE = re.compile(r'CosineAnnealing')
SPANNING = re.compile(r'CosineAnnealing|(Poly|Linear|OneCycle|Constant)(LR|Momentum|Param)')
PERIODS = ('T_max', 'total_steps')


def ends_of_schedules(config: Mapping[str, str]) -> dict[str, str]:
    """What schedulers take from the length of the training, where it changes their steps so far.

    Args:
        config: As :func:`flat_config` returns it.

    Returns:
        The keys ``begin``, ``end`` and ``T_max`` that ``config`` does not have.
    """
    found: dict[str, str] = {}
    for key, kind in config.items():
        if not key.startswith('param_scheduler') or not key.endswith('.type'):
            continue
        place = key.removesuffix('.type')
        fixed = any(config.get(f'{place}.{name}', 'None') != 'None' for name in PERIODS)
        # With a period of its own, a later end changes nothing before it.
        if not SPANNING.search(kind) or fixed and f'{place}.end' not in config:
            continue
        unit = 'epochs' if config.get(f'{place}.by_epoch', 'True') == 'True' else 'iters'
        length = config.get(f'train_cfg.max_{unit}') or 'that of the training ({})'.format(
            ', '.join(f'{name}={config[name]}' for name in LENGTH if name in config)
        )
        curve = dict(begin='0', end=length)
        curve = {name: config.get(f'{place}.{name}', value) for name, value in curve.items()}
        if COSINE.search(kind) and all(value.isdigit() for value in curve.values()):
            period = str(int(curve['end']) - int(curve['begin']))
            curve['T_max'] = period
        found |= {
            f'{place}.{name}': value
            for name, value in curve.items()
            if config.get(f'{place}.{name}', 'None') == 'None'
        }
    return found
