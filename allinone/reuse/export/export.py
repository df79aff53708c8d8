"""Export of a trained joint model."""

import hashlib
import os
import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.config import Config

import allinone
from allinone.errors import ConfigError
from allinone.inference.inferencer import log_note
from allinone.inference.model_source import ModelSource, find_model
from allinone.inference.options import inference_tasks
from allinone.inference.records import known_metainfo
from allinone.io.exported import VERSION
from allinone.io.outputs import require_writable
from allinone.models.allinone import AllInOne
from allinone.models.joint import build_network, load_trained
from allinone.registry.options import check_choice
from allinone.tasks.results.base import optional
from allinone.visualization.palette import ClassTable

from .calibration import Calibration
from .formats import SUFFIX, WRITERS, Traced, files_of, require_packages, trace
from .graph import ExportGraph, try_graph
from .int8 import write_int8
from .sizes import InputSize, dynamic_multiple, input_size, require_size

FORMATS = tuple(WRITERS)
PRECISIONS = ('fp32', 'fp16', 'int8')
FREE = ('batch', 'size')
LICENCE = 'The weights are under the terms of the data that they were trained on.'


class Exported(NamedTuple):
    """What was written.

    Attributes:
        files: Paths of the files.
        metadata: As :func:`allinone.io.exported.read_metadata` reads it, without ``format``.
        sizes: Shapes of the outputs for one image, ``{output: shape}``.
    """

    files: list[str]
    metadata: dict
    sizes: dict[str, tuple[int, ...]]


def export(
    model: str | os.PathLike | Config | ModelSource,
    out: str | os.PathLike,
    format: str = 'onnx',
    weights: str | os.PathLike | None = None,
    tasks: Sequence[str] | None = None,
    size: Sequence[int] | None = None,
    dynamic: Sequence[str] = (),
    precision: str = 'fp32',
    raw: bool = False,
    cfg_options: list[str] | None = None,
    overwrite: bool = False,
    on_note: Callable[[str], None] = log_note,
    calibrate: str | os.PathLike | Config | None = None,
    calibration_images: int = 128,
    keep_float: Sequence[str] = (),
) -> Exported:
    """Write one graph for all tasks of a trained model: the backbone runs once.

    Input of the graph is ``images``, ``(N, 3, H, W)`` float32, RGB, 0 to 255; normalisation is
    inside. Its outputs are named ``TASK.NAME`` (docs/export.md).

    Args:
        model: A checkpoint, a work dir or a config, as in :class:`allinone.AllInOneInferencer`.
        out: The file; its suffix is ``.onnx``, ``.pt2`` or ``.xml``.
        format: ``'onnx'``, ``'pt2'`` (``torch.export.load``) or ``'openvino'``.
        weights: A checkpoint or work dir; required with a config.
        tasks: Names. Default: those of the config's ``inference``, else all.
        size: ``(height, width)``. Default: that of the test pipelines.
        dynamic: ``'batch'`` and ``'size'`` leave these free.
        precision: ``'fp32'``, ``'fp16'`` or ``'int8'``, in which backbone and heads are computed.
        raw: Leave out what comes after the heads: suppression of boxes, classes of pixels.
        cfg_options: ``KEY=VALUE`` changes of the config.
        overwrite: Replace files that are there.
        on_note: Called with a message about the size, and others about int8.
        calibrate: A config or its file, whose train images set the ranges of values in int8.
        calibration_images: Number of these images.
        keep_float: Patterns of names of layers that stay in float32 in a graph in int8. Default:
            those by which int8 changes the outputs most are searched.

    Raises:
        ConfigError: If an option is invalid, a task cannot be exported, a package is missing, or
            the file cannot be written.
        DataError: If images for calibration cannot be read.
        CheckpointError: If the checkpoint cannot be used.
        WriteError: If the disk is full.
    """
    check_choice('format', format, FORMATS)
    check_choice('precision', precision, PRECISIONS)
    _check_int8(format, precision, calibrate, keep_float)
    dynamic = _free(dynamic)
    path = _require_out(format, os.fspath(out), overwrite)
    require_packages(format)
    if precision == 'int8':
        optional('onnxruntime', '--precision int8', 'export')
    source = model if isinstance(model, ModelSource) else find_model(model, weights, cfg_options)
    network = build_network(plain_config(source.cfg))
    if tasks is None:
        tasks = inference_tasks(source.cfg, list(network.tasks))
    names = network.task_names(dict.fromkeys(tasks))  # type: ignore[arg-type]
    if not names:
        raise ConfigError(f'--tasks is empty; name tasks of {list(network.tasks)}')
    calibration = None
    if calibrate is not None:
        calibration = Calibration(calibrate, names, calibration_images, on_note)
    network.eval()
    graph = ExportGraph(network, names, raw)  # Refuses heads before weights are read
    wanted = input_size(source.cfg, network, names, size)
    shared = network.shared_part(names)
    strides = require_size(source.cfg, shared, (wanted.height, wanted.width))
    load_trained(network, source.checkpoint, source.path, names, key='weights')
    multiple = dynamic_multiple(network, strides)
    if 'size' in dynamic:
        wanted = _to_multiple(wanted, multiple)
    sides = wanted.height, wanted.width
    # Adapters are merged now that they have their weights.
    graph = ExportGraph(network.eval(), names, raw, half=precision == 'fp16').eval()
    graph.requires_grad_(False)
    graph.suppress_by_operator(True)  # Out of a trace, a loop would be compiled.
    shapes = {name: tuple(value.shape) for name, value in try_graph(graph, sides).items()}
    if size is None:
        on_note(f'the size is {sides[0]} x {sides[1]} (height x width), of {wanted.source}')
    metadata = _metadata(source, network, names, wanted, dynamic, multiple, precision, raw, shapes)
    graph.suppress_by_operator(format != 'pt2')
    program = trace(graph, sides, dynamic, multiple)
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    traced = Traced(program, list(shapes), metadata, dynamic)
    if calibration is None:
        WRITERS[format](traced, path)
    else:
        write_int8(traced, path, calibration, keep_float, on_note)
    written = [name for name in (*files_of(format, path), f'{path}.data') if osp.exists(name)]
    return Exported(written, metadata, shapes)


def plain_config(cfg: Config) -> Config:
    """The config of a model without what speeds up its computation alone."""
    plain = Config(cfg.to_dict())
    for key in ('compile_backbone', 'channels_last', 'compile_trunk'):
        plain.model.pop(key, None)
    return plain


def _check_int8(form: str, precision: str, calibrate, keep_float: Sequence[str]) -> None:
    if precision != 'int8':
        given = '--calibrate' if calibrate is not None else '--keep-float' if keep_float else None
        if given:
            raise ConfigError(
                f'{given} is given, but --precision is {precision}; leave it out, or use '
                '--precision int8'
            )
        return
    if form != 'onnx':
        raise ConfigError(
            f'--precision int8 is for ONNX alone, but --format is {form}; use --format onnx'
        )
    if calibrate is None:
        raise ConfigError(
            '--precision int8 needs images that set the ranges of values; add --calibrate CONFIG, '
            'whose train images are used'
        )


def _free(dynamic: Sequence[str]) -> tuple[str, ...]:
    names = dynamic.split(',') if isinstance(dynamic, str) else list(dynamic)
    odd = [name for name in names if name not in FREE]
    if odd:
        raise ConfigError(f'--dynamic has {odd}; give batch, size or batch,size')
    return tuple(name for name in FREE if name in names)


def _require_out(form: str, path: str, overwrite: bool) -> str:
    suffix = SUFFIX[form]
    if not path.endswith(suffix):
        raise ConfigError(f'--out is {path!r}, but --format {form} writes *{suffix}; rename it')
    require_writable('--out', path)
    there = [name for name in files_of(form, path) if osp.exists(name)]
    if there and not overwrite:
        raise ConfigError(
            f'--out: {", ".join(there)} is there already; name another file, or add --overwrite'
        )
    return path


def _to_multiple(size: InputSize, multiple: int) -> InputSize:
    height, width = (-(-side // multiple) * multiple for side in (size.height, size.width))
    return size._replace(height=height, width=width)


def _metadata(
    source: ModelSource,
    model: AllInOne,
    tasks: Sequence[str],
    size: InputSize,
    dynamic: Sequence[str],
    multiple: int,
    precision: str,
    raw: bool,
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Any]:
    metainfo = known_metainfo(source, tasks)
    meta = source.checkpoint.get('meta') or {}
    return dict(
        version=VERSION,
        allinone=allinone.__version__,
        tasks={
            task: dict(
                kind=model.kinds[task].name,
                num_classes=model.kinds[task].num_classes(model.tasks[task]),
                **_classes(metainfo[task], start),
                outputs=[name for name in shapes if name.rpartition('.')[0] == task],
                options=model.kinds[task].export_options(model.tasks[task]),
            )
            for start, task in enumerate(tasks)
        },
        input=dict(
            name='images',
            height=size.height,
            width=size.width,
            dynamic=list(dynamic),
            multiple=multiple,
            colour_order='RGB',
            values='0 to 255, float32, not normalised',
            resize=dict(scale=list(size.scale), keep_ratio=size.keep_ratio),
            pad=dict(value=_padding(model), where='right and bottom'),
        ),
        precision=precision,
        raw=raw,
        checkpoint=dict(name=osp.basename(source.path), sha256=_digest(source.path)),
        config=meta.get('cfg') if isinstance(meta.get('cfg'), str) else None,
        licence=str(source.cfg.get('licence') or LICENCE),
    )


def _classes(metainfo: Mapping, start: int) -> dict:
    table = ClassTable(metainfo, start)
    return dict(classes=table.classes, palette=table.palette)


def _padding(model: AllInOne) -> list[float]:
    """RGB values that are the preprocessor's padding once they are normalised."""
    preprocessor: Any = model.data_preprocessor
    value = float(getattr(preprocessor, 'pad_value', 0) or 0)
    if not getattr(preprocessor, '_enable_normalize', False):
        return [value] * 3
    channels = (value * preprocessor.std + preprocessor.mean).flatten().tolist()
    channels = [round(value, 3) for value in channels]
    channels = channels * 3 if len(channels) == 1 else channels
    return channels if getattr(preprocessor, '_channel_conversion', False) else channels[::-1]


def _digest(path: str) -> str | None:
    if not osp.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**24):
            digest.update(block)
    return digest.hexdigest()
