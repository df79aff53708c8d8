"""Error for operators that exist only in mmcv's compiled extension."""

__all__ = [
    'UnavailableOpError',
]


class UnavailableOpError(NotImplementedError):
    """An operator of mmcv was called that only its compiled extension provides.

    Args:
        op: Name of the operator, with the argument if only that is unsupported.
    """

    def __init__(self, op: str) -> None:
        super().__init__(
            f"mmcv's operator '{op}' needs mmcv's compiled operators, which are not installed. "
            'Install an mmcv wheel that contains them, or compile them: '
            'MMCV_WITH_OPS=1 pip install --no-binary onedl-mmcv onedl-mmcv. '
            'They are used in place of the stand-in as soon as they are there.'
        )
        self.op = op
