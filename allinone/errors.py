"""Errors that the user can fix; the tools print them as one sentence."""

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
    """Base of the errors below: the message names the key or file, the value, and what to do."""


class ConfigError(AllInOneError):
    """A config key has an invalid value."""


class DataError(AllInOneError):
    """An annotation file, image or label map cannot be used."""


class CheckpointError(AllInOneError):
    """A checkpoint cannot be read, or does not fit the model."""


class TrainingError(AllInOneError):
    """Training cannot continue because of non-finite values or too little memory."""


class LoaderError(AllInOneError):
    """A loader returns no batch: it hangs, or its workers died."""


class PeerError(AllInOneError):
    """Another process of the run ended or hangs."""


@contextmanager
def with_key(key: str, kind: type[AllInOneError]):
    """Prefix the messages of errors of class ``kind`` with a config key."""
    try:
        yield
    except kind as error:
        raise type(error)(f'{key}: {error}') from error
