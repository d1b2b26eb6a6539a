"""Plain `jax.lax.scan`: the textbook's step, and the best that care can make of it.

All of it is written for a batch by hand, (B, ...) in every step, or for vectors where
the batch is one sequence.
"""

import jax
import jax.numpy as jnp

from experiments.benchmark.models import Model
from experiments.benchmark.problem import Problem, zeros
from jrnn.losses import cross_entropy


def models(problem: Problem) -> list[Model]:
    return [
        Model("lax.scan", textbook(problem)),
        Model("lax.scan, head inside", head_inside(problem)),
        Model("lax.scan, careful", careful(problem)),
    ]


def tanh_step(w, h, x):
    h = jnp.tanh(x @ w.w_x + h @ w.w_h + w.b)
    return h, h


def lstm_step(w, carry, x):
    h, c = carry
    i, f, g, o = jnp.split(x @ w.w_x + h @ w.w_h + w.b, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru_step(w, h, x):
    x_r, x_z, x_n = jnp.split(x @ w.w_x + w.b_x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ w.w_h + w.b_h, 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * h
    return h, h


def gru_before_step(w, h, x):
    size = h.shape[-1]
    x_r, x_z, x_n = jnp.split(x @ w.w_x + w.b_x, 3, axis=-1)
    h_r, h_z = jnp.split(h @ w.w_h[:, : 2 * size] + w.b_h[: 2 * size], 2, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h_n = (r * h) @ w.w_h[:, 2 * size :] + w.b_h[2 * size :]
    h = (1 - z) * jnp.tanh(x_n + h_n) + z * h
    return h, h


STEPS = {
    "tanh": tanh_step,
    "lstm": lstm_step,
    "gru": gru_step,
    "gru before": gru_before_step,
}


def textbook_layers_step(problem: Problem, weights):
    """All layers, one on the other, from a token to the top layer's output."""
    layer_step = STEPS[problem.kind]

    def step(carries, token):  # token: (B,)
        x = jax.nn.one_hot(token, problem.vocab, dtype=jnp.float32)  # (B, V)
        new = []
        for w, carry in zip(weights.layers, carries, strict=True):
            carry, x = layer_step(w, carry, x)
            new.append(carry)
        return tuple(new), x  # (B, H)

    return step


def textbook_model_step(problem: Problem, weights):
    """The same with the readout: from a token to logits."""
    layers_step = textbook_layers_step(problem, weights)

    def step(carries, token):
        carries, h = layers_step(carries, token)
        return carries, h @ weights.readout.w + weights.readout.b  # (B, V)

    return step


def first_carries(problem: Problem):
    carry = zeros(problem)  # (B, H)
    if problem.batch == 1:
        carry = jax.tree.map(lambda a: a[0], carry)
    return (carry,) * problem.layers


def time_first(problem: Problem, data):
    """Tokens and labels (T, B), or (T,) where the batch is one sequence."""
    if problem.batch == 1:
        return data.tokens[0], data.labels[0]
    return data.tokens.T, data.labels.T


def textbook(problem: Problem):
    """Layers inside the loop, readout and loss behind it."""

    def loss(weights, data):
        tokens, labels = time_first(problem, data)
        step = textbook_layers_step(problem, weights)
        _, hs = jax.lax.scan(step, first_carries(problem), tokens)  # (T, B, H)
        return cross_entropy(hs @ weights.readout.w + weights.readout.b, labels)

    return loss


def head_inside(problem: Problem):
    """The whole model inside the loop, as its equations are written."""

    def loss(weights, data):
        tokens, labels = time_first(problem, data)
        step = textbook_model_step(problem, weights)
        _, logits = jax.lax.scan(step, first_carries(problem), tokens)  # (T, B, V)
        return cross_entropy(logits, labels)

    return loss


def careful(problem: Problem):
    """Layer by layer; all that does not wait ahead of the loop, an array per gate."""

    def loss(weights, data):
        tokens, labels = time_first(problem, data)
        xs = None
        for w, carry in zip(weights.layers, first_carries(problem), strict=True):
            gates, step = CAREFUL[problem.kind](w)
            if xs is None:
                zs = tuple((w_g + b_g)[tokens] for w_g, b_g in gates)  # of (T, B, H)
            else:
                zs = tuple(xs @ w_g + b_g for w_g, b_g in gates)
            _, xs = jax.lax.scan(step, carry, zs)
        return cross_entropy(xs @ weights.readout.w + weights.readout.b, labels)

    return loss


def split_gates(w_x, b, gates: int):
    return list(zip(jnp.split(w_x, gates, axis=-1), jnp.split(b, gates), strict=True))


def careful_tanh(w):
    def step(h, zs):
        h = jnp.tanh(zs[0] + h @ w.w_h)
        return h, h

    return split_gates(w.w_x, w.b, 1), step


def careful_lstm(w):
    def step(carry, zs):
        h, c = carry
        products = jnp.split(h @ w.w_h, 4, axis=-1)
        i, f, g, o = (z + p for z, p in zip(zs, products, strict=True))
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return split_gates(w.w_x, w.b, 4), step


def careful_gru(w):
    def step(h, zs):
        h_r, h_z, h_n = jnp.split(h @ w.w_h + w.b_h, 3, axis=-1)
        r, z = jax.nn.sigmoid(zs[0] + h_r), jax.nn.sigmoid(zs[1] + h_z)
        h = (1 - z) * jnp.tanh(zs[2] + r * h_n) + z * h
        return h, h

    return split_gates(w.w_x, w.b_x, 3), step


CAREFUL = {"tanh": careful_tanh, "lstm": careful_lstm, "gru": careful_gru}
