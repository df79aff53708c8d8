"""What runs exported graphs: one class a format. All of them compute on the CPU."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from allinone.checkpoint.loading import checkpoints_are_trusted, trusting_checkpoints
from allinone.errors import AllInOneError, CheckpointError
from allinone.io.text import cut_short
from allinone.tasks.results.base import optional


class Runtime:
    """A graph that is loaded.

    Args:
        path: Its file.

    Raises:
        CheckpointError: If the file cannot be loaded.
        ConfigError: If the package that runs it is not installed.
    """

    package = ''

    def __init__(self, path: str):
        self.path = path
        try:
            self._call = self.load(path)
        except AllInOneError:
            raise
        except Exception as error:
            # Each package raises its own types for damaged files.
            words = cut_short(' '.join(str(error).split()), 200)
            raise CheckpointError(
                f'{path} cannot be loaded by {self.package} ({words}); export it again'
            ) from error

    def load(self, path: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        """The graph as a function; see :meth:`run`."""
        raise NotImplementedError

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of images.

        Args:
            images: ``(N, 3, H, W)``, float32, RGB, 0 to 255.

        Returns:
            ``{'TASK.NAME': array}``, N first.
        """
        return self._call(images)

    def __reduce__(self):
        return type(self), (self.path,)  # Copies load the file anew.


class OnnxRuntime(Runtime):
    """ONNX by onnxruntime."""

    package = 'onnxruntime'

    def load(self, path: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        runtime = optional('onnxruntime', path, 'export')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # Errors
        session = runtime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
        names = [output.name for output in session.get_outputs()]
        return lambda images: dict(zip(names, session.run(names, dict(images=images))))


class OpenVino(Runtime):
    """OpenVINO's form, in float32 also where the processor has bfloat16."""

    package = 'openvino'

    def load(self, path: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        os.environ.setdefault('OPENVINO_TELEMETRY_OPT_OUT', '1')
        hints = dict(INFERENCE_PRECISION_HINT='f32', INFERENCE_NUM_THREADS=torch.get_num_threads())
        compiled: Any = optional('openvino', path).Core().compile_model(path, 'CPU', hints)

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            # Copies: the next call writes into the same memory.
            return {
                output.get_any_name(): np.array(value) for output, value in compiled(images).items()
            }

        return run


class TorchExport(Runtime):
    """PyTorch's own form."""

    package = 'torch'

    def load(self, path: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        if not checkpoints_are_trusted():
            raise CheckpointError(
                f'{path} is refused: torch.export.load can run code of a file; give '
                '--trust-checkpoint (in Python: allinone.checkpoint.loading.trusting_checkpoints) '
                'if you trust who made it, or export with --format onnx'
            )
        module = torch.export.load(path).module()

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            with torch.no_grad():
                found = module(torch.from_numpy(images))
            return {name: value.numpy() for name, value in found.items()}

        return run

    def __reduce__(self):
        return _again, (self.path,)


def _again(path: str) -> Runtime:
    with trusting_checkpoints():  # As when it was loaded first
        return TorchExport(path)


RUNTIMES: dict[str, type[Runtime]] = dict(onnx=OnnxRuntime, pt2=TorchExport, openvino=OpenVino)


def open_runtime(path: str, form: str) -> Runtime:
    """Load a graph of a format, ``'onnx'``, ``'pt2'`` or ``'openvino'``."""
    return RUNTIMES[form](path)
