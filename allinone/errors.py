"""What the suite raises when the user can put it right; the tools print it as one sentence."""

from contextlib import contextmanager

__all__ = [
    'AllInOneError',
    'CheckpointError',
    'ConfigError',
    'DataError',
    'LoaderError',
    'PeerError',
    'TrainingError',
    'with_key',
]


class AllInOneError(ValueError):
    """Base of the errors below: the message names the key or file, the value, the next step."""


class ConfigError(AllInOneError):
    """A config key holds something that cannot work."""


class DataError(AllInOneError):
    """An annotation file, image or label map cannot be used."""


class CheckpointError(AllInOneError):
    """A checkpoint cannot be read, or does not fit the model."""


class TrainingError(AllInOneError):
    """Training cannot go on: what comes is not finite."""


class LoaderError(AllInOneError):
    """A loader gives no batch: it hangs, or its workers die."""


class PeerError(AllInOneError):
    """Another process of the run is gone."""


@contextmanager
def with_key(key: str, kind: type[AllInOneError]):
    """Put a config key before the message of an error of this kind."""
    try:
        yield
    except kind as error:
        raise type(error)(f'{key}: {error}') from error
