"""The operators of ``allinone.compat.mmcv_ops``, one family per module."""
