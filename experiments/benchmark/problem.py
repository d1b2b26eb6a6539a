"""What is computed: a recurrent language model, its weights and its data."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jrnn

GATES = {"tanh": 1, "gru": 3, "gru before": 3, "lstm": 4}
NAMES = {"tanh": "tanh", "gru": "GRU", "gru before": "GRU", "lstm": "LSTM"}


class Problem(NamedTuple):
    """Sizes of a model and of what it reads."""

    kind: str  # of the cell, a key of GATES
    batch: int  # B
    time: int  # T
    hidden: int  # H
    layers: int = 1
    vocab: int = 65  # V
    seed: int = 0

    @property
    def title(self) -> str:
        layers = f" {self.layers} layers" if self.layers > 1 else ""
        sizes = f"B{self.batch} T{self.time} H{self.hidden}"
        return f"{NAMES[self.kind]} {sizes}{layers}"


class Weights(NamedTuple):
    """The weights in the one layout in which all contenders are compared: jrnn's."""

    layers: tuple[Any, ...]  # ElmanParams, GRUParams or LSTMParams, from the bottom
    readout: jrnn.LinearParams  # (H, V), (V,)


class Data(NamedTuple):
    """What is read, and what should have been predicted."""

    tokens: jax.Array  # (B, T) int32
    labels: jax.Array  # (B, T) int32


def recurrent_cell(kind: str, hidden: int) -> jrnn.Cell:
    factories = {
        "tanh": jrnn.elman,
        "lstm": jrnn.lstm,
        "gru": jrnn.gru,
        "gru before": lambda size: jrnn.gru(size, reset="before"),
    }
    return factories[kind](hidden)


def weights(problem: Problem) -> Weights:
    """Initial weights of jrnn with random biases, in float32.

    The GRU's second bias stays zero: Haiku and Flax NNX have only one.
    """
    return drawn(problem._replace(seed=0), jax.random.key(problem.seed))


@functools.partial(jax.jit, static_argnums=0)  # one program instead of dozens
def drawn(problem: Problem, key) -> Weights:
    keys = iter(jax.random.split(key, 2 * problem.layers + 2))
    example = lambda size: jax.ShapeDtypeStruct((size,), jnp.float32)
    cell = recurrent_cell(problem.kind, problem.hidden)
    layers, size = [], problem.vocab
    for _ in range(problem.layers):
        params = cell.init(next(keys), example(size))
        bias = "b_x" if hasattr(params, "b_x") else "b"
        shape = getattr(params, bias).shape
        noise = jax.random.normal(next(keys), shape, jnp.float32)
        layers.append(params._replace(**{bias: np.float32(0.1) * noise}))
        size = problem.hidden
    readout = jrnn.linear(problem.vocab).init(next(keys), example(problem.hidden))
    noise = jax.random.normal(next(keys), (problem.vocab,), jnp.float32)
    return Weights(tuple(layers), readout._replace(b=np.float32(0.1) * noise))


def data(problem: Problem, windows: int | None = None) -> Data:
    """Random text; `windows` of them on a leading axis if given."""
    rng = np.random.default_rng(problem.seed + 1)
    leading = () if windows is None else (windows,)
    shape = (*leading, problem.batch, problem.time + 1)
    text = jnp.asarray(rng.integers(0, problem.vocab, shape), jnp.int32)
    return Data(text[..., :-1], text[..., 1:])


def zeros(problem: Problem):
    """The first carry of one layer: (B, H), a pair (h, c) of them for the LSTM."""
    zero = jnp.zeros((problem.batch, problem.hidden), jnp.float32)
    return (zero, zero) if problem.kind == "lstm" else zero
