"""Flax linen: its cells under `nn.RNN`."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from experiments.benchmark.models import Model
from experiments.benchmark.problem import Problem, Weights, zeros
from jrnn.losses import cross_entropy

CELLS = {
    "tanh": {"Flax linen": nn.SimpleCell},
    "gru": {"Flax linen": nn.GRUCell},
    "lstm": {
        "Flax linen": nn.LSTMCell,
        "Flax linen, optimized cell": nn.OptimizedLSTMCell,
    },
}


def models(problem: Problem) -> list[Model]:
    return [
        Model(name, loss(problem, partial(rnn, nn.RNN(cell(problem.hidden)))), load)
        for name, cell in CELLS.get(problem.kind, {}).items()
    ]


def rnn(layer, params, xs):
    """Inputs and outputs (B, T, ...), the order that nn.RNN expects."""
    return layer.apply({"params": {"cell": params}}, xs)


def scanned(problem: Problem, cell, scan, params, xs):
    """The same with another scan around the pure function of one step."""
    first = zeros(problem)
    first = first[::-1] if isinstance(first, tuple) else first  # linen's is (c, h)
    step = lambda carry, x: cell.apply({"params": params}, carry, x)
    return scan(step, first, xs.swapaxes(0, 1))[1].swapaxes(0, 1)


def loss(problem: Problem, apply):
    def batch(params, data):
        layers, readout = params
        xs = jax.nn.one_hot(data.tokens, problem.vocab, dtype=jnp.float32)
        for layer in layers:
            xs = apply(layer, xs)  # (B, T, H)
        return cross_entropy(xs @ readout.w + readout.b, data.labels)

    return batch


def load(weights: Weights):
    return tuple(map(layer_weights, weights.layers)), weights.readout


def layer_weights(w) -> dict:
    if hasattr(w, "b_x"):
        return gru_weights(w)
    if w.w_x.shape[1] == w.w_h.shape[0]:
        return {"i": {"kernel": w.w_x, "bias": w.b}, "h": {"kernel": w.w_h}}
    own = {}
    parts = zip(*(jnp.split(a, 4, axis=-1) for a in (w.w_x, w.w_h, w.b)), strict=True)
    for gate, (w_x, w_h, b) in zip("ifgo", parts, strict=True):
        own[f"i{gate}"] = {"kernel": w_x}
        own[f"h{gate}"] = {"kernel": w_h, "bias": b}
    return own


def gru_weights(w) -> dict:
    own = {}
    parts = zip(*(jnp.split(a, 3, axis=-1) for a in w), strict=True)
    for gate, (w_x, w_h, b_x, b_h) in zip("rzn", parts, strict=True):
        own[f"i{gate}"] = {"kernel": w_x, "bias": b_x}
        own[f"h{gate}"] = {"kernel": w_h} | ({"bias": b_h} if gate == "n" else {})
    return own


def foreign(problem: Problem) -> dict:
    """Each cell of the library as a loss under any scan, and its layout."""
    found = {}
    for factory in CELLS[problem.kind].values():
        cell = factory(problem.hidden)
        build = lambda scan, cell=cell: loss(
            problem, partial(scanned, problem, cell, scan)
        )
        found[f"linen {factory.__name__}"] = (build, load, None)
    return found
