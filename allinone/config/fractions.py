"""Numbers of iterations that may be given as a fraction of the training."""

from math import ceil

from allinone.errors import ConfigError


def is_fraction(value) -> bool:
    """Whether a number is a fraction of the training: a float between 0 and 1, both excluded."""
    return isinstance(value, float) and 0 < value < 1


def check_iterations(key: str, value, low: int = 1) -> int | float:
    """Return ``value`` if it is an integer of at least ``low``, or a fraction of the training.

    Raises:
        ConfigError: If it is neither.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    # As 0.1 * max_iters gives it; 1.0 may be meant as all of the training.
    product = isinstance(value, float) and value.is_integer() and value > 1
    whole = (whole or product) and value >= low
    if not whole and not is_fraction(value):
        raise ConfigError(
            f'{key} is {value!r}; give a whole number of at least {low}, or a fraction of the '
            'training, between 0 and 1'
        )
    return value


def point_in(value: int | float, max_iters: int) -> int:
    """The iteration at a fraction of a training, rounded; integers stay as they are."""
    return round(value * max_iters) if is_fraction(value) else int(value)


def interval_in(value: int | float, max_iters: int) -> int:
    """The interval that is a fraction of a training; integers stay as they are.

    Rounded up, so that 1 / n has n multiples in the training or fewer, not n and a rest. The
    error of the product in floating point is not rounded up.
    """
    return ceil(round(value * max_iters, 6)) if is_fraction(value) else int(value)
