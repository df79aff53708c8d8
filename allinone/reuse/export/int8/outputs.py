"""How far a change of a graph changes what the last layers of its tasks give."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class LastOutputs:
    """The outputs of the last layers on some images.

    Outputs of the graph do not serve: suppression and classes of pixels hide small changes.

    Args:
        model: ``onnx.ModelProto`` in float32.
        last: ``{task: tensors}``.
        images: Inputs of the graph.
    """

    def __init__(self, model: Any, last: Mapping[str, Sequence[str]], images: Sequence[np.ndarray]):
        self.last, self.images = last, images
        self._names = list(dict.fromkeys(name for names in last.values() for name in names))
        self._exact = self._run(model)

    def errors(self, model: Any) -> dict[str, float]:
        """``{task: mean squared change of its tensors, relative to their mean square}``.

        Of several tensors of a task, the largest counts.
        """
        found = self._run(model)
        each = {
            name: sum(float(np.square(one - exact).sum()) for one, exact in zip(ours, theirs))
            / max(sum(float(np.square(exact).sum()) for exact in theirs), 1e-12)
            for name, ours, theirs in (
                (name, found[name], self._exact[name]) for name in self._names
            )
        }
        return {task: max(each[name] for name in names) for task, names in self.last.items()}

    def _run(self, model: Any) -> dict[str, list[np.ndarray]]:
        import onnx
        import onnxruntime

        whole = onnx.ModelProto()
        whole.CopyFrom(model)
        there = {output.name for output in whole.graph.output}
        for name in self._names:
            if name not in there:
                whole.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # Errors
        session = onnxruntime.InferenceSession(
            whole.SerializeToString(), options, providers=['CPUExecutionProvider']
        )
        found = [session.run(self._names, dict(images=image)) for image in self.images]
        return dict(zip(self._names, map(list, zip(*found))))
