"""A model as a graph of ONNX, whose operators RNN, GRU and LSTM are the recurrence."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from jrnn import text
from jrnn.cell import Cell, Input, Params
from jrnn.export.arguments import (
    Exported,
    Unsupported,
    bytes_of,
    check_file,
    checked,
)
from jrnn.export.layers import OF_TOKENS, Format, StackedLayer, layers_of
from jrnn.export.onnx_activations import RECURRENT as ACTIVATIONS
from jrnn.export.onnx_activations import activated
from jrnn.export.onnx_nodes import Graph, constant, node, nodes
from jrnn.sequence import SequenceModel
from jrnn.train.checkpoint import write_atomically

# Of 2022: nothing newer is needed, and older runtimes read it.
OPSET, IR_VERSION = 17, 8
FORM = Format("to_onnx", "an ONNX file", tuple(ACTIVATIONS))
LARGEST = 2**31 - 2**20  # bytes of weights: a file of ONNX ends below 2 GiB


def to_onnx(
    path: str | Path,
    model: Cell | SequenceModel,
    params: Params,
    x: Input,
    *,
    vocabulary: text.Vocabulary | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as an ONNX graph, for onnxruntime and other runtimes.

        x (B, T) or (B, T, I), carry.1.h (B, H), ...
            -> y (B, T, O), next_carry.1.h (B, H), ...

    The recurrence is the operator RNN, GRU or LSTM, with its state in and out as named
    inputs and outputs, so that a runtime can stream: what comes out as `next_carry.1.h`
    is given as `carry.1.h` the next time, zeros at first. Batch B and length T are any
    numbers. Tokens are integers of the dtype of `x`; one outside 0..V-1 gives zeros, as
    in jrnn.

    The graph can hold stacks of elman, irnn, gru (both forms of reset), lstm, embed,
    one_hot, linear and activation, in float32. Elman may have the activations tanh,
    relu, sigmoid, soft_sign, softplus, elu, leaky_relu, hard_sigmoid and identity; a
    layer `activation` any that jrnn knows by name. All else is refused by name.

    The gates of the operators are in another order than jrnn's and PyTorch's: z r n in
    GRU, i o f g in LSTM. The opset is 17, and the vocabulary stands as JSON under
    `jrnn-vocabulary` in the metadata.

    Args:
        path: the file.
        model: a stack of what the graph can hold.
        params: its parameters, float32.
        x: an example of one step's input, as for `init`, or its spec.
        vocabulary: what the tokens of a model of text stand for.
        overwrite: replace a file of that name.

    Returns:
        `Exported(path, sizes, measured)`; sizes are bytes of the file, the weights and
        the state of one sequence, and nothing is measured.

    Raises:
        Unsupported: the model has a part that a graph cannot hold.
        ImportError: the package onnx is missing.
        ValueError: `params` are those of another model, or not finite.
        TypeError: `model` is no cell.
        FileExistsError: there is a file of that name.
        OSError: it cannot be written; an old one is as it was.

    Example:
        >>> import tempfile, jax, jax.numpy as jnp, jrnn
        >>> from jrnn.export import Unsupported, to_onnx
        >>> net = jrnn.stack(jrnn.window(2), jrnn.linear(2))
        >>> params = net.init(jax.random.key(0), jnp.zeros(3))
        >>> try:
        ...     to_onnx("net.onnx", net, params, jnp.zeros(3))
        ... except Unsupported as error:
        ...     print(str(error)[:62])
        to_onnx: model.cells[0] is window, which an ONNX file cannot h

    References:
        ONNX operator schemas, onnx.ai/onnx/operators: RNN, GRU and LSTM.
    """
    path = Path(path)
    arrays, x = checked("to_onnx", model, params, x, vocabulary)
    params = jax.tree.unflatten(jax.tree.structure(params), list(arrays.values()))
    layers = layers_of(FORM, model, params, x)
    if bytes_of(params) > LARGEST:
        raise Unsupported(
            f"to_onnx: the weights have {bytes_of(params):,} bytes, more than an ONNX "
            "file can hold; to_jax writes any number."
        )
    check_file("to_onnx", path, overwrite)
    data = _model(_package(), layers, x, vocabulary).SerializeToString()
    write_atomically(path, data)
    state = sum(4 * layer.outputs * len(layer.state) for layer in layers)
    sizes = {"file": len(data), "weights": bytes_of(params), "state": state}
    return Exported(path, sizes, {})


def _package() -> ModuleType:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(
            "to_onnx: the package onnx is missing. Install it: pip install 'jrnn[onnx]'"
        ) from error


def _model(
    onnx: ModuleType, layers: Sequence[StackedLayer], x: Input, vocabulary: Any
) -> Any:
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = Graph(onnx, [], [])
    value = helper.make_tensor_value_info
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype))
    inputs = [value("x", kind, ["batch", "time", *x.shape])]
    outputs = [value("y", float32, ["batch", "time", layers[-1].outputs])]
    # the operators want time first
    order = [1, 0, *range(2, 2 + len(x.shape))]
    at = node(graph, "Transpose", "x", perm=order)  # (T, B, ...)
    for layer in layers:
        at, states = _added(graph, layer, at)
        for name, state in zip(layer.state, states, strict=True):
            shape = ["batch", layer.outputs]
            inputs.append(value(name, float32, shape))
            outputs.append(value(f"next_{name}", float32, shape))
            graph.nodes.append(helper.make_node("Identity", [state], [f"next_{name}"]))
    last = helper.make_node("Transpose", [at], ["y"], perm=[1, 0, 2])  # (B, T, O)
    graph.nodes.append(last)
    whole = helper.make_graph(graph.nodes, "jrnn", inputs, outputs, graph.constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        whole, opset_imports=opset, ir_version=IR_VERSION, producer_name="jrnn"
    )
    if vocabulary is not None:
        told = {"jrnn-vocabulary": json.dumps(text.to_json(vocabulary))}
        helper.set_model_props(model, told)
    onnx.checker.check_model(model, full_check=True)
    return model


def _added(graph: Graph, layer: StackedLayer, x: str) -> tuple[str, list[str]]:
    """Add a layer that reads x (T, B, ...): its output and its last states (B, H)."""
    if layer.kind in OF_TOKENS:
        return _of_tokens(graph, layer, x), []
    if layer.kind == "linear":
        w = constant(graph, layer.params.w, f"{layer.name}.w")
        b = constant(graph, layer.params.b, f"{layer.name}.b")
        return node(graph, "Add", node(graph, "MatMul", x, w), b), []
    if layer.kind == "activation":
        return activated(graph, layer.activation, x), []
    return _recurrent(graph, layer, x)


def _of_tokens(graph: Graph, layer: StackedLayer, x: str) -> str:
    """Vectors (T, B, D) of tokens (T, B); zeros for a token that does not exist."""
    tokens = node(graph, "Cast", x, to=graph.onnx.TensorProto.INT64)
    if layer.kind == "one_hot":
        last = constant(graph, np.array([-1]))
        each = node(graph, "Unsqueeze", tokens, last)  # (T, B, 1)
        known = constant(graph, np.arange(layer.outputs))  # (V,)
        is_it = node(graph, "Equal", each, known)  # (T, B, V)
        return node(graph, "Cast", is_it, to=graph.onnx.TensorProto.FLOAT)
    table = layer.params.table  # (V, D), and a row of zeros for what has none
    none = constant(graph, np.int64(len(table)))
    table = constant(graph, np.pad(table, ((0, 1), (0, 0))), f"{layer.name}.table")
    zero = constant(graph, np.int64(0))
    positive = node(graph, "GreaterOrEqual", tokens, zero)
    below = node(graph, "Less", tokens, none)
    exists = node(graph, "And", positive, below)
    return node(graph, "Gather", table, node(graph, "Where", exists, tokens, none))


def _recurrent(graph: Graph, layer: StackedLayer, x: str) -> tuple[str, list[str]]:
    """The operator of a recurrent layer, which counts directions on an axis."""
    operator, attributes, arrays = _operator(layer)
    weights = [
        constant(graph, array[None], f"{layer.name}.{name}")  # (1, ...)
        for name, array in arrays.items()
    ]
    first, second = (constant(graph, np.array([axis])) for axis in (0, 1))
    states = [node(graph, "Unsqueeze", name, first) for name in layer.state]
    lengths = ""  # all are T
    y, *last = nodes(
        graph,
        operator,
        1 + len(states),
        *(x, *weights, lengths, *states),
        hidden_size=layer.outputs,
        **attributes,
    )
    y = node(graph, "Squeeze", y, second)  # (T, 1, B, H) to (T, B, H)
    return y, [node(graph, "Squeeze", state, first) for state in last]


def _operator(layer: StackedLayer) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """Name and attributes, and W (GH, I), R (GH, H), B (2GH,) with gates in order."""
    p = layer.params
    if layer.kind == "lstm":
        return "LSTM", {}, _arranged(p.w_x, p.w_h, p.b, 0 * p.b, "ifgo", "iofg")
    if layer.kind == "gru":
        after = {"linear_before_reset": int(layer.reset == "after")}
        return "GRU", after, _arranged(p.w_x, p.w_h, p.b_x, p.b_h, "rzn", "zrn")
    name, alpha, beta = ACTIVATIONS[layer.activation]
    f = {"activations": [name], "activation_alpha": [alpha], "activation_beta": [beta]}
    return "RNN", f, _arranged(p.w_x, p.w_h, p.b, 0 * p.b, "h", "h")


def _arranged(
    w_x: np.ndarray,
    w_h: np.ndarray,
    b_x: np.ndarray,
    b_h: np.ndarray,
    ours: str,
    theirs: str,
) -> dict[str, np.ndarray]:
    """Gates in ONNX's order, on the first axis."""

    def gates(array):  # (..., GH) to (GH, ...)
        parts = dict(zip(ours, np.split(array, len(ours), axis=-1), strict=True))
        return np.concatenate([parts[gate] for gate in theirs], axis=-1).T

    return {"W": gates(w_x), "R": gates(w_h), "B": np.append(gates(b_x), gates(b_h))}
