"""Layers with weights in ONNX graphs: which nodes they are, and which are the last of a task."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from allinone.errors import ConfigError
from allinone.io.text import shortened

WEIGHTED = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
RECTIFIERS = ('Relu', 'Clip')  # Part of the layer before them in int8
BETWEEN = (*RECTIFIERS, 'MaxPool', 'Add')  # Computed in int8 between layers in int8


class Layers:
    """The layers of a graph; a layer that is used several times has several nodes.

    Args:
        model: ``onnx.ModelProto`` whose nodes have names.

    Attributes:
        nodes: ``{layer: names of its nodes}``, in the order of the graph.
        last: ``{task: tensors}`` that the last layers of a task give: its logits, for example.
        last_layers: The layers that give them.
    """

    def __init__(self, model):
        graph = model.graph
        self._constants = {value.name: tuple(value.dims) for value in graph.initializer}
        self._nodes = list(graph.node)
        self._makers: dict[str, Any] = {
            name: node for node in self._nodes for name in node.output if name
        }
        self._users: dict[str, list] = {}
        for node in self._nodes:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._outputs = {output.name for output in graph.output}
        self.nodes: dict[str, list[str]] = {}
        self._layer_of: dict[str, str] = {}
        for node in self._nodes:
            if self._is_weighted(node):
                layer = self._name(node)
                self.nodes.setdefault(layer, []).append(node.name)
                self._layer_of[node.name] = layer
        self.last: dict[str, list[str]] = {}
        self.last_layers: list[str] = []
        for output in graph.output:
            task = output.name.rpartition('.')[0]
            for node in self._layers_before(output.name):
                tensors = self.last.setdefault(task, [])
                if node.output[0] not in tensors:
                    tensors.append(node.output[0])
                layer = self._layer_of[node.name]
                if layer not in self.last_layers:
                    self.last_layers.append(layer)

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """Layers whose names match any of some patterns, such as ``heads.det_.*``.

        Raises:
            ConfigError: If a pattern matches none.
        """
        for pattern in patterns:
            if not any(fnmatchcase(layer, pattern) for layer in self.nodes):
                raise ConfigError(
                    f'--keep-float has {pattern!r}, which no layer matches; layers are '
                    f'{shortened(list(self.nodes), 10)}'
                )
        return [
            layer
            for layer in self.nodes
            if any(fnmatchcase(layer, pattern) for pattern in patterns)
        ]

    def quantised_nodes(self, layers: Sequence[str]) -> list[str]:
        """Names of the nodes that are computed in int8 if some layers are.

        These are the layers, rectifiers behind them, and what lies between two of them.
        """
        chosen = {name for layer in layers for name in self.nodes[layer]}
        for node in self._nodes:
            if node.op_type not in BETWEEN or node.op_type == 'Add' and self._has_constant(node):
                continue
            before = [self._makers.get(name) for name in node.input if name not in self._constants]
            if not all(each is not None and each.name in chosen for each in before):
                continue
            if node.op_type in RECTIFIERS or self._leads_to(node, chosen):
                chosen.add(node.name)
        return [node.name for node in self._nodes if node.name in chosen]

    def _leads_to(self, node, chosen: set[str]) -> bool:
        """Whether a chosen node uses what a node gives, directly or through others of BETWEEN."""
        users = self._users.get(node.output[0], [])
        if not users or node.output[0] in self._outputs:
            return False
        return any(
            user.name in chosen or user.op_type in BETWEEN and self._leads_to(user, chosen)
            for user in users
        )

    def _layers_before(self, tensor: str) -> Iterator[Any]:
        """The nearest layers from which a tensor is computed."""
        wanted, seen = [tensor], set()
        while wanted:
            node = self._makers.get(wanted.pop())
            if node is None or node.name in seen or node.op_type == 'Shape':
                continue
            seen.add(node.name)
            if node.name in self._layer_of:
                yield node
            else:
                wanted += reversed(node.input)

    def _has_constant(self, node) -> bool:
        return any(name in self._constants for name in node.input)

    def _is_weighted(self, node) -> bool:
        shape = self._constants.get(node.input[1]) if node.op_type in WEIGHTED else None
        if shape is None or node.input[0] in self._constants:
            return False
        # Such as the mean of a distribution by which GFL decodes boxes
        is_mean = node.op_type == 'MatMul' and min(shape) == 1 or len(shape) < 2
        return not is_mean

    def _name(self, node) -> str:
        weight = node.input[1]
        named = weight.endswith('.weight')
        return weight.removesuffix('.weight') if named else node.name.partition('/')[0]
