"""The old place of :mod:`allinone.inference.records`, for one release."""

from allinone.inference.records import from_record, to_record

__all__ = [
    'from_record',
    'to_record',
]
