"""The activations of `jax.nn` in operators of ONNX."""

import math
from typing import Any

from jrnn.export.onnx_nodes import Graph, constant, node

# As attributes of the operator RNN: the name, alpha and beta.
RECURRENT: dict[str, tuple[str, float, float]] = {
    "tanh": ("Tanh", 0.0, 0.0),
    "relu": ("Relu", 0.0, 0.0),
    "sigmoid": ("Sigmoid", 0.0, 0.0),
    "soft_sign": ("Softsign", 0.0, 0.0),
    "softplus": ("Softplus", 0.0, 0.0),
    "elu": ("Elu", 1.0, 0.0),
    "leaky_relu": ("LeakyRelu", 0.01, 0.0),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "identity": ("Affine", 1.0, 0.0),
}

# As operators of their own, with their attributes.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "soft_sign": ("Softsign", {}),
    "softplus": ("Softplus", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "celu": ("Celu", {"alpha": 1.0}),
    "selu": ("Selu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "hard_swish": ("HardSwish", {}),
    "identity": ("Identity", {}),
}


def activated(graph: Graph, name: str, x: str) -> str:
    """Add what the activation of this name makes of x, element by element."""
    if name in OPERATORS:
        operator, attributes = OPERATORS[name]
        return node(graph, operator, x, **attributes)
    return COMPOSED[name](graph, x)


def _clip(graph: Graph, x: str, low: float, high: float) -> str:
    return node(graph, "Clip", x, constant(graph, low), constant(graph, high))


def _times(graph: Graph, x: str, factor: float) -> str:
    return node(graph, "Mul", x, constant(graph, factor))


def _plus(graph: Graph, x: str, term: float) -> str:
    return node(graph, "Add", x, constant(graph, term))


def _silu(graph: Graph, x: str) -> str:  # x sigmoid(x)
    return node(graph, "Mul", x, node(graph, "Sigmoid", x))


def _mish(graph: Graph, x: str) -> str:  # x tanh(softplus(x))
    return node(graph, "Mul", x, node(graph, "Tanh", node(graph, "Softplus", x)))


def _log_sigmoid(graph: Graph, x: str) -> str:  # -softplus(-x)
    return node(graph, "Neg", node(graph, "Softplus", node(graph, "Neg", x)))


def _gelu(graph: Graph, x: str) -> str:  # x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
    square = node(graph, "Mul", x, x)
    inner = node(graph, "Mul", x, _plus(graph, _times(graph, square, 0.044715), 1.0))
    tanh = node(graph, "Tanh", _times(graph, inner, math.sqrt(2 / math.pi)))
    return node(graph, "Mul", _times(graph, x, 0.5), _plus(graph, tanh, 1.0))


def _sparse_plus(graph: Graph, x: str) -> str:  # (clip(x, -1, 1) + 1)^2/4 + relu(x - 1)
    part = _plus(graph, _clip(graph, x, -1.0, 1.0), 1.0)
    bent = _times(graph, node(graph, "Mul", part, part), 0.25)
    return node(graph, "Add", bent, node(graph, "Relu", _plus(graph, x, -1.0)))


def _squareplus(graph: Graph, x: str) -> str:  # (x + sqrt(x^2 + 4)) / 2
    root = node(graph, "Sqrt", _plus(graph, node(graph, "Mul", x, x), 4.0))
    return _times(graph, node(graph, "Add", x, root), 0.5)


COMPOSED = {
    "silu": _silu,
    "swish": _silu,
    "mish": _mish,
    "log_sigmoid": _log_sigmoid,
    "gelu": _gelu,
    "sparse_plus": _sparse_plus,
    "squareplus": _squareplus,
    "relu6": lambda graph, x: _clip(graph, x, 0.0, 6.0),
    "hard_tanh": lambda graph, x: _clip(graph, x, -1.0, 1.0),
}
