"""Flax NNX: its cells under `nnx.RNN`."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.benchmark.models import Model
from experiments.benchmark.problem import Problem, Weights, zeros
from jrnn.losses import cross_entropy

CELLS = {
    "tanh": {"Flax nnx": nnx.SimpleCell},
    "gru": {"Flax nnx": nnx.GRUCell},
    "lstm": {
        "Flax nnx": nnx.LSTMCell,
        "Flax nnx, optimized cell": nnx.OptimizedLSTMCell,
    },
}


def models(problem: Problem) -> list[Model]:
    return [
        Model(name, loss(problem, factory, rnn), partial(load, factory))
        for name, factory in CELLS.get(problem.kind, {}).items()
    ]


def rnn(cell, first, xs):
    """Inputs and outputs (B, T, ...), the order that nnx.RNN expects."""
    return nnx.RNN(cell, rngs=False)(xs, initial_carry=first)


def scanned(scan, cell, first, xs):
    """The same with another scan around the pure function of one step."""
    graph, state = nnx.split(cell)
    step = lambda carry, x: nnx.merge(graph, state)(carry, x)
    return scan(step, first, xs.swapaxes(0, 1))[1].swapaxes(0, 1)


def loss(problem: Problem, factory, apply):
    first = zeros(problem)  # (c, h) for the LSTM: two zeros, in whatever order

    def batch(params, data):
        layers, readout = params
        xs = jax.nn.one_hot(data.tokens, problem.vocab, dtype=jnp.float32)
        for state in layers:
            graph, _ = empty(factory, xs.shape[-1], problem.hidden)
            cell = nnx.merge(graph, state)
            xs = apply(cell, first, xs)  # (B, T, H)
        return cross_entropy(xs @ readout.w + readout.b, data.labels)

    return batch


def empty(factory, input_size: int, hidden: int):
    """Graph and state of a cell without numbers."""
    make = lambda: factory(input_size, hidden, rngs=nnx.Rngs(0))
    return nnx.split(nnx.eval_shape(make))


def load(factory, weights: Weights):
    """Layers as NNX states."""
    return tuple(layer_state(factory, w) for w in weights.layers), weights.readout


def layer_state(factory, w):
    _, state = empty(factory, len(w.w_x), len(w.w_h))
    nnx.replace_by_pure_dict(state, layer_weights(factory, w))
    return state


def layer_weights(factory, w) -> dict:
    if factory is nnx.OptimizedLSTMCell:
        return {"dense_i": {"kernel": w.w_x}, "dense_h": {"kernel": w.w_h, "bias": w.b}}
    if factory is not nnx.LSTMCell:
        bias = w.b_x if hasattr(w, "b_x") else w.b
        inputs = {"kernel": w.w_x, "bias": bias}
        return {"dense_i": inputs, "dense_h": {"kernel": w.w_h}}
    own = {}
    parts = zip(*(jnp.split(a, 4, axis=-1) for a in (w.w_x, w.w_h, w.b)), strict=True)
    for gate, (w_x, w_h, b) in zip("ifgo", parts, strict=True):
        own["if_" if gate == "f" else f"i{gate}"] = {"kernel": w_x}
        own[f"h{gate}"] = {"kernel": w_h, "bias": b}
    return own


def foreign(problem: Problem) -> dict:
    """Each cell of the library as a loss under any scan, and its layout."""
    found = {}
    for factory in CELLS[problem.kind].values():
        build = lambda scan, factory=factory: loss(
            problem, factory, partial(scanned, scan)
        )
        found[f"nnx {factory.__name__}"] = (build, partial(load, factory), None)
    return found
