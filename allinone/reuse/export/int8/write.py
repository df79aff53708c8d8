"""Write a traced graph as ONNX in int8."""

import json
import os.path as osp
from collections.abc import Callable, Sequence

from allinone.errors import ConfigError
from allinone.io.atomic import write_durably
from allinone.io.exported import KEY

from ..calibration import SEED, Calibration
from ..formats import LARGEST, Traced, onnx_model
from .quantise import quantised


def write_int8(
    traced: Traced,
    path: str,
    calibration: Calibration,
    keep_float: Sequence[str],
    on_note: Callable[[str], None],
) -> None:
    """Quantise a graph, and write it with what was done in its metadata, under ``int8``.

    Args:
        traced: The graph in float32; its metadata are added to.
        path: The file.
        calibration: Images that set the ranges of values.
        keep_float: Patterns of names of layers that stay in float32.
        on_note: Called with sentences about the search of sensitive layers, and what came out.

    Raises:
        ConfigError: If the graph is too large, or a pattern matches no layer.
        DataError: If an image cannot be read.
    """
    import onnx

    model = onnx_model(traced)
    if model.ByteSize() >= LARGEST:
        raise ConfigError(
            f'--precision int8 is for graphs below 2 GB, but this one has '
            f'{model.ByteSize() / 1e9:.1f} GB; export fewer tasks with --tasks, or use fp16'
        )
    images = calibration.images(traced.metadata['input'])
    found, report = quantised(model, images, keep_float, on_note)
    about = report._asdict()
    traced.metadata['int8'] = dict(about, calibrate=osp.basename(calibration.name), seed=SEED)
    del found.metadata_props[:]
    found.metadata_props.add(key=KEY, value=json.dumps(traced.metadata))
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    onnx.checker.check_model(found)
    write_durably(path, found.SerializeToString())
    errors = ', '.join(f'{task} {error:.1%}' for task, error in report.errors.items())
    on_note(
        f'{report.layers - len(report.float_layers)} of {report.layers} layers are in int8, by '
        f'{report.images} images; squared error of the last outputs: {errors}'
    )
