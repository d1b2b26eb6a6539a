"""Equinox: its GRU and LSTM cells under `lax.scan`, batched by vmap, as it teaches."""

import equinox as eqx
import jax
import jax.numpy as jnp

from experiments.benchmark.models import Model
from experiments.benchmark.problem import Problem, Weights, zeros
from jrnn.losses import cross_entropy

CELLS = {"gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}  # it has no tanh cell


def models(problem: Problem) -> list[Model]:
    if problem.kind not in CELLS:
        return []
    return [Model("Equinox", loss(problem), load)]


def load(weights: Weights):
    return tuple(map(cell, weights.layers)), weights.readout


def cell(w):
    """A cell with these weights: products are `weight @ x`, gates in jrnn's order."""
    kind = "gru" if hasattr(w, "b_x") else "lstm"
    empty = CELLS[kind](*w.w_x.shape[:1], w.w_h.shape[0], key=jax.random.key(0))
    new = {"weight_ih": w.w_x.T, "weight_hh": w.w_h.T}
    new |= {"bias": w.b} if kind == "lstm" else gru_biases(w)
    where = lambda cell: tuple(getattr(cell, name) for name in new)
    return eqx.tree_at(where, empty, tuple(new.values()))


def gru_biases(w) -> dict:
    return {"bias": w.b_x, "bias_n": w.b_h[2 * w.w_h.shape[0] :]}


def cell_step(cell, carry, x):
    """The cell in the form of a step; its output is the hidden state."""
    carry = cell(x, carry)
    return carry, carry[0] if isinstance(carry, tuple) else carry


def loss(problem: Problem, scan=jax.lax.scan):
    first = jax.tree.map(lambda a: a[0], zeros(problem))  # (H,)

    def one(params, tokens, labels):  # (T,), (T,)
        cells, readout = params
        xs = jax.nn.one_hot(tokens, problem.vocab, dtype=jnp.float32)  # (T, V)
        for cell in cells:
            _, xs = scan(lambda c, x, cell=cell: cell_step(cell, c, x), first, xs)
        return cross_entropy(xs @ readout.w + readout.b, labels)

    def batch(params, data):
        many = jax.vmap(one, in_axes=(None, 0, 0))
        return many(params, data.tokens, data.labels).mean()

    return batch


def foreign(problem: Problem) -> dict:
    """Each cell of the library as a loss under any scan, and its layout."""
    if problem.kind not in CELLS:
        return {}
    name = f"Equinox {CELLS[problem.kind].__name__}"
    return {name: (lambda scan: loss(problem, scan), load, None)}
