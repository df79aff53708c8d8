"""ONNX graphs in int8: static quantisation by onnxruntime."""

from .quantise import Int8Report, quantised
from .write import write_int8

__all__ = ['Int8Report', 'quantised', 'write_int8']
