"""Attribution of exceptions: to one input, to the model, or to all inputs."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from traceback import clear_frames

from allinone.errors import AllInOneError, DataError
from allinone.io.atomic import WriteError

# Errors of a disk or a process, which any other input would meet, too
CONCERN_ALL = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
}
TRIED = 10  # images without a prediction, after which the model is suspected
WORDS = 200  # characters of another library's message


@contextmanager
def input_error(name: str, stage: str) -> Iterator[None]:
    """Turn any exception into an error of one input.

    Args:
        name: The input's name in messages.
        stage: What fails, such as ``'drawing it fails'``.

    Raises:
        DataError: It names the input.
        WriteError: If a disk is full, read-only or broken, which concerns all inputs.
        AllInOneError: Errors of config or checkpoint, unchanged.
    """
    try:
        yield
    except DataError as error:
        if name in str(error):
            raise
        raise DataError(f'{name}: {error}') from error
    except AllInOneError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in CONCERN_ALL:
            raise WriteError(
                f'{name}: {stage}: {error.strerror}; this concerns all inputs, so no other is tried'
            ) from error
        # A traceback holds the images and tensors of its frames.
        clear_frames(error.__traceback__)
        raise DataError(f'{name}: {stage}: {in_words(error)}') from error


def in_words(error: BaseException) -> str:
    """Class and message of an exception on one line."""
    return ' '.join(f'{type(error).__name__}: {error}'.split()).removesuffix(':')[:WORDS]


class ModelCheck:
    """Tells a model that fails on some images from one that fails on all.

    Args:
        predict: Predicts on a plain image of usual size.
    """

    def __init__(self, predict: Callable[[], object]):
        self._predict, self._works, self._failures = predict, False, 0

    def worked(self) -> None:
        self._works = True

    def failed(self, failure: DataError) -> None:
        """Count a failure on one image.

        Raises:
            AllInOneError: If the model failed on each of the first 10 images, and fails on a plain
                one in the same way.
        """
        self._failures += 1
        if self._works or self._failures != TRIED:
            return
        try:
            self._predict()
        except Exception as error:
            if type(error) is type(failure.__cause__):
                raise AllInOneError(
                    f'the model fails on each of the first {TRIED} images and on a plain grey one, '
                    f'so no other is tried: {in_words(error)}; check the config and the device'
                ) from error
