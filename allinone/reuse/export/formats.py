"""The formats of exported graphs."""

import ast
import json
import logging
import os
import os.path as osp
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import nn

from allinone.errors import ConfigError
from allinone.io.atomic import write_durably
from allinone.io.exported import KEY
from allinone.tasks.results.base import optional
from allinone.tasks.suppression import NONE

OPSET = 18  # In which torch's exporter writes, without conversion
BOOL = 9  # onnx.TensorProto.BOOL
LARGEST = 2**31 - 2**20  # Of one ONNX file: protobuf's limit, less what is not weights
SCOPES = 'pkg.torch.onnx.name_scopes'  # Of a node: modules that it is in, then the operator
LOGGERS = (
    *('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir'),
    'torch._export.serde.serialize',
)


class Traced(NamedTuple):
    """A traced graph and what it needs to be written.

    Attributes:
        program: Of ``torch.export``.
        outputs: Names of the outputs, in order.
        metadata: What the file says about itself.
        dynamic: Which of ``'batch'`` and ``'size'`` are free.
    """

    program: torch.export.ExportedProgram
    outputs: Sequence[str]
    metadata: dict
    dynamic: Sequence[str]


def require_packages(form: str) -> None:
    """Import what writing a format needs.

    Raises:
        ConfigError: If a package is missing; it names the extra.
    """
    if form in ('onnx', 'openvino'):
        optional('onnx', f'--format {form}', 'export')
        optional('onnxscript', f'--format {form}', 'export')
    if form == 'openvino':
        os.environ.setdefault('OPENVINO_TELEMETRY_OPT_OUT', '1')
        optional('openvino', '--format openvino')


def trace(
    graph: nn.Module,
    size: tuple[int, int],
    dynamic: Sequence[str] = (),
    multiple: int = 1,
    largest: int = 4096,
) -> torch.export.ExportedProgram:
    """The graph by ``torch.export``.

    Args:
        graph: Takes ``(N, 3, H, W)``.
        size: ``(H, W)``.
        dynamic: ``'batch'``, ``'size'`` or both are left free.
        multiple: What a free height and width are multiples of.
        largest: Largest free height and width.

    Raises:
        ConfigError: If it cannot be traced.
    """
    dims: dict[int, Any] = {}
    if 'batch' in dynamic:
        dims[0] = torch.export.Dim('batch', min=1, max=1024)
    if 'size' in dynamic:
        steps = largest // multiple
        for place, name in ((2, 'rows'), (3, 'columns')):
            dims[place] = multiple * torch.export.Dim(name, min=1, max=steps)
    images = torch.full((2 if 'batch' in dynamic else 1, 3, *size), 114.0)
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(graph, (images,), dynamic_shapes=(dims,))
            if dims:
                _try_other_sizes(program, images, dims, multiple)
            return program
    except Exception as error:
        # torch.export raises many types.
        what = f' with --dynamic {",".join(dynamic)}' if dynamic else ''
        raise ConfigError(
            f'the model cannot be traced{what}: {type(error).__name__}: {_first_words(error)}; '
            + ('leave out --dynamic, or ' if dynamic else '')
            + 'export other tasks with --tasks'
        ) from error


def _try_other_sizes(program, images: torch.Tensor, dims: dict, multiple: int) -> None:
    """Run the graph on another number and size of images, because tracing fixes sizes silently."""
    count = images.shape[0] + 1 if 0 in dims else images.shape[0]
    height, width = (
        side + more * multiple if place in dims else side
        for place, more, side in zip((2, 3), (1, 2), images.shape[-2:])
    )
    program.module()(torch.full((count, 3, height, width), 114.0))


def write_pt2(traced: Traced, path: str) -> None:
    """PyTorch's own form, loaded by ``torch.export.load`` with torch alone."""
    extra = {KEY: json.dumps(traced.metadata)}
    write_durably(path, lambda file: _save_pt2(traced.program, file, extra))


def _save_pt2(program, file, extra: dict) -> None:
    # torch takes a path by its suffix, and a file only if it is seekable.
    with tempfile.TemporaryDirectory() as folder:
        place = osp.join(folder, 'graph.pt2')
        with quiet():
            torch.export.save(program, place, extra_files=extra)
        with open(place, 'rb') as written:
            while block := written.read(2**24):
                file.write(block)


def onnx_model(traced: Traced):
    """The graph as ``onnx.ModelProto``, with its metadata; suppression is one operator a task."""
    try:
        with quiet():
            program: Any = torch.onnx.export(
                traced.program,
                (),
                dynamo=True,
                opset_version=OPSET,
                input_names=['images'],
                output_names=list(traced.outputs),
                custom_translation_table={torch.ops.allinone.suppress.default: _suppression()},
                verbose=False,
                external_data=False,
            )
            model = program.model_proto
    except Exception as error:
        # The exporter raises errors of many types for operators that ONNX does not have.
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ConfigError(
            f'the model cannot be written as ONNX: {type(cause).__name__}: {_first_words(cause)}; '
            'export other tasks with --tasks, or use --format pt2'
        ) from error
    _name_by_modules(model)
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input):
        del part.metadata_props[:]
        if hasattr(part, 'doc_string'):
            part.doc_string = ''
    for output in model.graph.output:
        del output.metadata_props[:]
    del model.graph.value_info[:]
    _name_free_sides(model, traced.dynamic)
    while model.metadata_props:
        model.metadata_props.pop()
    model.metadata_props.add(key=KEY, value=json.dumps(traced.metadata))
    model.producer_name = 'allinone'
    model.producer_version = str(traced.metadata['allinone'])
    return model


def write_onnx(traced: Traced, path: str) -> None:
    """One file; of 2 GB or more, the weights are in a second one beside it."""
    import onnx

    model = onnx_model(traced)
    if model.ByteSize() < LARGEST:
        onnx.checker.check_model(model)
        write_durably(path, model.SerializeToString())
        return
    onnx.save_model(model, path, save_as_external_data=True, location=f'{osp.basename(path)}.data')
    onnx.checker.check_model(path)


def write_openvino(traced: Traced, path: str) -> None:
    """``F.xml`` and ``F.bin``, converted from the ONNX graph."""
    with tempfile.TemporaryDirectory() as folder:
        place = osp.join(folder, 'graph.onnx')
        write_onnx(traced, place)
        convert_to_openvino(place, traced.metadata, path)


def convert_to_openvino(source: str, metadata: dict, path: str) -> None:
    """Write an ONNX graph in OpenVINO's form.

    Args:
        source: The ONNX file.
        metadata: That of the graph.
        path: ``F.xml``; the weights are in ``F.bin`` beside it.
    """
    import openvino

    model = openvino.convert_model(source)
    model.set_rt_info(json.dumps(metadata), [KEY])
    with tempfile.TemporaryDirectory() as folder:
        written = osp.join(folder, osp.basename(path))
        openvino.save_model(model, written, compress_to_fp16=metadata['precision'] == 'fp16')
        # The weights first: a description without them would not be a complete graph, and an
        # old one must not read new weights.
        with suppress(FileNotFoundError):
            os.remove(path)
        for name in (osp.splitext(written)[0] + '.bin', written):
            with open(name, 'rb') as file:
                write_durably(osp.join(osp.dirname(path), osp.basename(name)), file.read())


WRITERS = dict(onnx=write_onnx, pt2=write_pt2, openvino=write_openvino)
SUFFIX = dict(onnx='.onnx', pt2='.pt2', openvino='.xml')


def files_of(form: str, path: str) -> list[str]:
    """The files that a format writes."""
    return [path, osp.splitext(path)[0] + '.bin'] if form == 'openvino' else [path]


def _suppression():
    """``allinone::suppress`` in operators of ONNX."""
    import onnxscript

    op: Any = onnxscript.opset18

    def suppress(boxes, scores, iou_threshold: float, count: int):
        kept = op.NonMaxSuppression(
            boxes,
            op.Unsqueeze(scores, op.Constant(value_ints=[1])),
            op.Constant(value_ints=[count]),
            op.Constant(value_floats=[iou_threshold]),
            op.Constant(value_floats=[NONE / 2]),
        )
        # Of (image, class, box), without the class
        places = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)
        number = op.Shape(kept, start=0, end=1)
        ones = op.Expand(op.Constant(value_floats=[1.0]), number)
        none = op.Expand(op.Constant(value_floats=[0.0]), op.Shape(scores))
        return op.Cast(op.ScatterND(none, places, ones), to=BOOL)

    return suppress


def _name_by_modules(model) -> None:
    """Name the products of linear layers ``MODULE/MatMul``, as their weights lose the names."""
    names: set[str] = set()
    for node in model.graph.node:
        scopes = [prop.value for prop in node.metadata_props if prop.key == SCOPES]
        if node.op_type != 'MatMul' or not scopes:
            continue
        module = (['', *ast.literal_eval(scopes[0])])[-2]  # Then comes the operator.
        name = f'{module}/{node.op_type}'
        uses = 1
        while name in names:
            uses += 1
            name = f'{module}/{node.op_type}_{uses}'
        names.add(name)
        node.name = name


def _name_free_sides(model, dynamic: Sequence[str]) -> None:
    """Readable names of the free dimensions of the input."""
    names = dict(batch=[(0, 'batch')], size=[(2, 'height'), (3, 'width')])
    shape = model.graph.input[0].type.tensor_type.shape
    for what in dynamic:
        for place, name in names[what]:
            shape.dim[place].dim_param = name
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        for place, dim in enumerate(dims):
            if not dim.dim_param:
                continue
            if place == 0:
                dim.dim_param = 'batch'
            else:
                dim.ClearField('dim_param')


def _first_words(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or ['no reason given'])[0][:300]


@contextmanager
def quiet():
    """Without what torch's exporters log and warn of for those who write models."""
    others = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in others]
    for logger in others:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(others, levels):
            logger.setLevel(level)
