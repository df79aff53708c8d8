"""Static quantisation to int8, with layers left in float32 where int8 changes the outputs most."""

import logging
import os.path as osp
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from allinone.errors import ConfigError

from .layers import BETWEEN, WEIGHTED, Layers
from .outputs import LastOutputs

TARGET = 0.01  # Relative squared error of a task's last outputs up to which more layers stay int8
SHARES = (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4)  # Of the layers that are left in float32, tried in turn
PASSES = 240  # Of single images in the search for sensitive layers
MOST_IMAGES = 8  # In the search
LARGEST = 2**31 - 2**20  # Of one ONNX file


class Int8Report(NamedTuple):
    """How a graph was quantised.

    Attributes:
        images: Number of images for calibration.
        float_layers: Layers that are left in float32.
        layers: Number of all layers.
        found_by: ``'search'`` or ``'--keep-float'``.
        errors: ``{task: error}``, the mean squared change of the task's last outputs by int8
            relative to their mean square, on images of the calibration.
    """

    images: int
    float_layers: list[str]
    layers: int
    found_by: str
    errors: dict[str, float]


def quantised(
    model: Any,
    images: Iterable[np.ndarray],
    keep_float: Sequence[str] = (),
    on_note: Callable[[str], None] = lambda sentence: None,
) -> tuple[Any, Int8Report]:
    """A graph with its layers in int8: weights per channel, other values per tensor (QDQ form).

    The last layers of each task stay in float32, and so do the layers that change the outputs
    most. These are searched: each layer alone is quantised, and the mean squared change of the
    outputs of the last layers is its sensitivity. The most sensitive layers stay in float32, as
    few of :data:`SHARES` as bring the error of every task below :data:`TARGET`.

    Args:
        model: ``onnx.ModelProto`` in float32, of which nothing is changed.
        images: Inputs, ``(1, 3, H, W)``.
        keep_float: Patterns of names of layers that stay in float32; with any, none are searched.
        on_note: Called with sentences about the search.

    Raises:
        ConfigError: If a pattern matches no layer, or all layers are left.
    """
    layers = Layers(model)
    matching = layers.matching(keep_float)
    always = dict.fromkeys([*layers.last_layers, *matching])
    rest = [layer for layer in layers.nodes if layer not in always]
    if not rest:
        raise ConfigError(
            f'--precision int8 has no layers to quantise, for all {len(layers.nodes)} are left in '
            'float32 as the last ones of tasks or by --keep-float; use --precision fp32'
        )
    with tempfile.TemporaryDirectory() as folder, quiet():
        few: list[np.ndarray] = []
        most = min(max(PASSES // len(rest), 1), MOST_IMAGES)
        ranges, count = value_ranges(model, _first(images, few, most), folder)
        outputs = LastOutputs(model, layers.last, few)

        def quantise(chosen: Sequence[str]):
            return quantise_nodes(model, ranges, layers.quantised_nodes(chosen))

        order: list[str] = []
        if not keep_float:
            on_note(f'{len(rest)} layers are tried in int8, each on {len(few)} images')
            alone = {layer: outputs.errors(quantise([layer])) for layer in rest}
            order = sorted(rest, key=lambda layer: -max(alone[layer].values()))
        counts = dict.fromkeys(round(share * len(order)) for share in SHARES)
        for count_left in counts:
            left = {*always, *order[:count_left]}
            found = quantise([layer for layer in rest if layer not in left])
            errors = outputs.errors(found)
            if max(errors.values()) <= TARGET:
                break
    names = [layer for layer in layers.nodes if layer in left]
    by = '--keep-float' if keep_float else 'search'
    errors = {task: float(f'{error:.3g}') for task, error in errors.items()}
    return found, Int8Report(count, names, len(layers.nodes), by, errors)


def value_ranges(model: Any, images: Iterator[np.ndarray], folder: str) -> tuple[Any, int]:
    """Smallest and largest value of each tensor, as onnxruntime keeps them, and number of images.

    Args:
        model: The graph.
        images: Inputs.
        folder: Where onnxruntime may write.
    """
    import onnx
    from onnxruntime.quantization.calibrate import CalibrationDataReader, create_calibrator

    class Reader(CalibrationDataReader):
        count = 0

        def get_next(self):
            image = next(images, None)
            self.count += image is not None
            return None if image is None else dict(images=image)

    path = osp.join(folder, 'float.onnx')
    onnx.save(model, path)
    calibrator = create_calibrator(
        path, (*WEIGHTED, *BETWEEN), augmented_model_path=osp.join(folder, 'ranges.onnx')
    )
    reader = Reader()
    calibrator.collect_data(reader)
    return calibrator.compute_data(), reader.count


def quantise_nodes(model: Any, ranges: Any, nodes: Sequence[str]) -> Any:
    """A copy of a graph in which some nodes are in int8.

    Args:
        model: The graph.
        ranges: By :func:`value_ranges`.
        nodes: Names of the nodes.
    """
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=list(nodes),
        nodes_to_exclude=[],
        op_types_to_quantize=[*WEIGHTED, *BETWEEN],
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    found = quantizer.model.model
    del found.graph.value_info[:]
    # onnxruntime declares its own operators, of which the graph has none.
    used = {node.domain for node in found.graph.node}
    for entry in [entry for entry in found.opset_import if entry.domain not in ('', *used)]:
        found.opset_import.remove(entry)
    return found


def _first(images: Iterable[np.ndarray], few: list, most: int) -> Iterator[np.ndarray]:
    """The images, of which the first are kept."""
    for image in images:
        if len(few) < most:
            few.append(image)
        yield image


@contextmanager
def quiet():
    """Without what onnxruntime advises those who write models."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
