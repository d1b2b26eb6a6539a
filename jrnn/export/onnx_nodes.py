"""A graph of ONNX while it is written."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np


class Graph(NamedTuple):
    """Nodes and constants, in the order in which they were added."""

    onnx: ModuleType
    nodes: list[Any]
    constants: list[Any]


def node(graph: Graph, operator: str, *inputs: str, **attributes: Any) -> str:
    """Add a node with one output, and return the name of that."""
    return nodes(graph, operator, 1, *inputs, **attributes)[0]


def nodes(
    graph: Graph, operator: str, outputs: int, *inputs: str, **attributes: Any
) -> list[str]:
    """Add a node, and return the names of its outputs."""
    name = f"{operator}.{len(graph.nodes)}"
    names = [f"{name}.{i}" for i in range(outputs)]
    make = graph.onnx.helper.make_node
    graph.nodes.append(make(operator, list(inputs), names, name, **attributes))
    return names


def constant(graph: Graph, array: Any, name: str = "") -> str:
    """Add a constant, and return its name; a Python number becomes a float32."""
    array = np.asarray(array, np.float32 if isinstance(array, float) else None)
    name = name or f"constant.{len(graph.constants)}"
    graph.constants.append(graph.onnx.numpy_helper.from_array(array, name))
    return name
