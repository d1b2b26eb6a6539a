"""Step functions for the tests of `scan`: a table by hand, and a generator."""

from typing import NamedTuple

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

T, B, I, H, V = 5, 3, 2, 4, 6


class Weights(NamedTuple):
    w_x: jax.Array  # (I, 4H)
    w_h: jax.Array  # (H, 4H)
    b: jax.Array  # (4H,)
    w: jax.Array  # (H, H)
    table: jax.Array  # (V, H)


class Input(NamedTuple):
    x: jax.Array  # (I,)
    token: jax.Array  # ()
    key: jax.Array  # ()


def weights(dtype=jnp.float64):
    rng = np.random.default_rng(0)
    shapes = [(I, 4 * H), (H, 4 * H), (4 * H,), (H, H), (V, H)]
    return Weights(*(jnp.asarray(rng.normal(size=s) * 0.7, dtype) for s in shapes))


def inputs(dtype=jnp.float64, batch=()):
    rng = np.random.default_rng(1)
    keys = jax.random.split(jax.random.key(3), (T, *batch))
    return Input(
        jnp.asarray(rng.normal(size=(T, *batch, I)), dtype),
        jnp.asarray(rng.integers(0, V, (T, *batch)), jnp.int32),
        keys,
    )


def carry(dtype=jnp.float64):
    rng = np.random.default_rng(2)
    return jnp.asarray(rng.normal(size=H), dtype), jnp.asarray(
        rng.normal(size=H), dtype
    )


def gates(p, h, x):
    return jnp.split(x.x @ p.w_x + h @ p.w_h + p.b, 4)


def tanh(p):
    def step(c, x):
        h = jnp.tanh(x.x @ p.w_x[:, :H] + c[0] @ p.w + p.b[:H])
        return (h, c[1]), h

    return step


def lstm(p):
    def step(c, x):
        i, f, g, o = gates(p, c[0], x)
        cell = jax.nn.sigmoid(f) * c[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (h, cell), h

    return step


def gru(p):
    def step(c, x):
        zx = x.x @ p.w_x[:, : 3 * H] + p.b[: 3 * H]
        zh = c[0] @ p.w_h[:, : 3 * H] + p.b[: 3 * H]
        (rx, ux, nx), (rh, uh, nh) = jnp.split(zx, 3), jnp.split(zh, 3)
        u = jax.nn.sigmoid(ux + uh)
        n = jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh)
        h = (1 - u) * n + u * c[0]
        return (h, c[1]), h

    return step


def gru_in_slices(p):
    """Gates of unequal size cut out one by one; one slice is read twice."""

    def step(c, x):
        zx = x.x @ p.w_x[:, : 3 * H] + p.b[: 3 * H]
        zh = c[0] @ p.w_h[:, : 3 * H] + p.b[: 3 * H]
        r, u = jnp.split(jax.nn.sigmoid(zx[: 2 * H] + zh[: 2 * H]), 2)
        n = jnp.tanh(zx[2 * H :] + r * zh[2 * H :]) * jnp.cos(zx[2 * H :])
        h = (1 - u) * n + u * c[0]
        return (h, c[1]), h

    return step


def overlapping_slices(p):
    def step(c, x):
        z = x.x @ p.w_x + c[0] @ p.w_h + p.b
        y = x.x @ p.w_x + c[1] @ p.w_h
        h = jnp.tanh(z[:H] * z[2:][:H] + z[2 * H : 3 * H])
        g = jnp.tanh(y[:H] + y[H : 2 * H] * y[2 * H :].sum() + y[::-4])
        return (h, g), h

    return step


def gru_reset_before(p):
    def step(c, x):
        r, u, n, _ = gates(p, c[0], x)
        r, u = jax.nn.sigmoid(r), jax.nn.sigmoid(u)
        n = jnp.tanh(n + (r * c[0]) @ p.w)
        h = (1 - u) * n + u * c[0]
        return (h, c[1]), (h, r)

    return step


def relu_and_readout(p):
    def step(c, x):
        h = jax.nn.relu(p.table[x.token] + c[0] @ p.w) * 0.5
        logits = h @ p.w_h + p.b
        return (h, c[1]), (jax.nn.log_softmax(logits), logits)

    return step


def tied(p):
    def step(c, x):
        e = p.table[x.token]
        h = jnp.tanh(e @ p.w + c[0] @ p.w)
        return (h, c[1]), h @ p.table.T

    return step


def columns(p):
    """Weights on the left, as in other libraries; a projection of the weight itself."""

    def step(c, x):
        w = p.w / jnp.sqrt(jnp.sum(p.w**2))
        h = jnp.tanh(p.w_x.T[:H] @ x.x + w.T @ c[0])
        return (h, c[1] + jnp.sum(h)), w @ h

    return step


def encoder(p):
    """Layers before the recurrence and after it."""

    def step(c, x):
        e = jnp.tanh(x.x @ p.w_x)
        e = jnp.tanh(e @ p.w_h.T) + p.table[x.token]
        h = jnp.tanh(e @ p.w + c[0] * c[1])
        return (h, jax.nn.softplus(c[1])), jax.nn.softmax(jnp.tanh(h @ p.w_h) @ p.w_h.T)

    return step


def branches(p):
    def step(c, x):
        h = lax.cond(x.token > 2, lambda v: jnp.tanh(v @ p.w), lambda v: 0.5 * v, c[0])
        h = lax.cond(jnp.sum(h) > 0, lambda v: v * x.x[0], jnp.sin, h)
        e = lax.cond(
            x.x[0] > 0, lambda v: v @ p.w_x[:, :H], lambda v: v[0] * p.b[:H], x.x
        )
        return (h + e, c[1]), lax.switch(x.token % 3, [jnp.cos, jnp.sin, jnp.tanh], h)

    return step


def inner_scan(p):
    def step(c, x):
        inner = lambda h, w: (jnp.tanh(w * h + x.x[0]), h)
        h, ys = lax.scan(inner, c[0] @ p.w, p.table)
        e, _ = lax.scan(lambda a, b: (jnp.sin(a + b), None), x.x, p.w_x.T)
        return (h + e[0], c[1]), ys

    return step


def noise(p):
    def step(c, x):
        use, keep = jax.random.split(x.key)
        mask = jax.random.bernoulli(use, 0.5, (H,))
        h = jnp.tanh(jnp.where(mask, c[0], 0) @ p.w + x.x @ p.w_x[:, :H])
        return (h, c[1]), h * jax.random.normal(keep, (H,), h.dtype)

    return step


def forgetful(p):
    """Nothing that is given out depends on the carry, and one carry never changes."""

    def step(c, x):
        return (c[1], c[1]), (x.x @ p.w_x, p.b, x.x, 1.5, c[1])

    return step


def swapped(p):
    def step(c, x):
        return (c[1] * x.x[0], c[0]), c

    return step


def weightless(p):
    def step(c, x):
        return (jnp.sin(c[0]) + x.x[1], c[1] * c[0]), c[0] * c[1]

    return step


def constants(p):
    def step(c, x):
        mask = jnp.asarray(np.arange(H) % 2, c[0].dtype)
        h = jnp.tanh(c[0] @ jnp.eye(H, dtype=c[0].dtype) * mask + p.b[:H])
        return (h, jnp.zeros_like(h)), jnp.arange(H)

    return step


def bilinear(p):
    def step(c, x):
        h = jnp.tanh(jnp.einsum("i,ij,j->j", c[0], p.w, c[1]) + p.b[:H] * c[1])
        return (h, h @ p.w + c[1]), jnp.outer(h, c[1])

    return step


def checkpointed(p):
    return jax.checkpoint(lstm(p))


def normalised(p):
    def step(c, x):
        z = x.x @ p.w_x[:, :H] + c[0] @ p.w
        z = (z - z.mean()) * lax.rsqrt(z.var() + 1e-3) * p.b[:H]
        h = jnp.where(z > 0, z, jnp.expm1(z))
        return (h, lax.stop_gradient(c[1] + h)), jnp.concatenate([h, c[1]])

    return step


NAMED = {
    f.__name__: f
    for f in (
        tanh, lstm, gru, gru_in_slices, overlapping_slices, gru_reset_before,
        relu_and_readout, tied, columns, encoder, branches, inner_scan, noise,
        forgetful, swapped, weightless, constants,
        bilinear, checkpointed, normalised,
    )
}  # fmt: skip


# A generated step is a list of instructions. Each reads values (H,) made before it, by
# number modulo how many there are, and appends one more.
INSTRUCTIONS = {
    "product": lambda p, x, a, b: a @ p.w,
    "transposed product": lambda p, x, a, b: p.w @ a,
    "wide product": lambda p, x, a, b: jnp.tanh(a @ p.w_h) @ p.w_h.T,
    "slice of a product": lambda p, x, a, b: jnp.split(b @ p.w_h + p.b, 4)[1] * a,
    "slices of a product": lambda p, x, a, b: (
        lambda z: z[:H] * z[3 * H :] + jnp.tanh(z[H : 3 * H])[:H] * b
    )(a @ p.w_h + x.x @ p.w_x),
    "parts of two products": lambda p, x, a, b: (
        lambda z, y: (y[0] + z[0]) * (z[1] + y[1]) + a * z[2] + jnp.tanh(y[2]) * y[3]
    )(jnp.split(a @ p.w_h + p.b, 4), jnp.split(x.x @ p.w_x, 4)),
    "input product": lambda p, x, a, b: x.x @ p.w_x[:, :H] + a,
    "tied product": lambda p, x, a, b: (a @ p.table.T) @ p.table,
    "bilinear": lambda p, x, a, b: jnp.einsum("i,ij,j->j", a, p.w, b),
    "gate": lambda p, x, a, b: jax.nn.sigmoid(a) * b,
    "tanh": lambda p, x, a, b: jnp.tanh(a),
    "relu": lambda p, x, a, b: jax.nn.relu(a) + b,
    "sum": lambda p, x, a, b: a + b + p.b[:H],
    "difference": lambda p, x, a, b: a - 0.5 * b,
    "softmax": lambda p, x, a, b: jax.nn.softmax(a + b),
    "norm": lambda p, x, a, b: a / jnp.sqrt(1 + jnp.sum(b * b)),
    "turn": lambda p, x, a, b: jnp.concatenate([a[2:], b[:2]])[::-1],
    "gather": lambda p, x, a, b: p.table[x.token] * a,
    "index": lambda p, x, a, b: a[x.token % H] * b,
    "scatter": lambda p, x, a, b: a.at[x.token % H].set(b[0]),
    "branch on input": lambda p, x, a, b: lax.cond(
        x.token > 2, lambda a: jnp.sin(a @ p.w), lambda a: 0.5 * a, a
    ),
    "branch on value": lambda p, x, a, b: lax.cond(
        a[0] > 0, lambda b: b * p.b[:H], jnp.cos, b
    ),
    "inner loop": lambda p, x, a, b: lax.scan(
        lambda h, w: (jnp.tanh(h * w + a), None), b, p.table
    )[0],
    "inner loop of weights": lambda p, x, a, b: lax.scan(
        lambda h, _: (jnp.tanh(h @ p.w + x.x[0]), None), p.b[:H], None, 2
    )[0],
    "noise": lambda p, x, a, b: a + jax.random.normal(
        jax.random.fold_in(x.key, 1), (H,), a.dtype
    ),
    "stop": lambda p, x, a, b: lax.stop_gradient(a) * b,
    "weight only": lambda p, x, a, b: jnp.tanh(p.b[:H]) @ p.w,
    "input only": lambda p, x, a, b: jnp.tanh(x.x @ p.w_x)[H : 2 * H],
    "constant": lambda p, x, a, b: jnp.asarray(np.arange(H), a.dtype),
}  # fmt: skip


class Recipe(NamedTuple):
    instructions: list  # of (name, first operand, second operand)
    carry: tuple  # which values are the next carry
    outputs: list  # which values are given out
    count: bool  # carry an integer that scales a value
    draw: bool  # carry a random key that is split at every step


def recipes():
    number = st.integers(0, 7)
    one = st.tuples(st.sampled_from(sorted(INSTRUCTIONS)), number, number)
    return st.builds(
        Recipe,
        st.lists(one, min_size=1, max_size=5),
        st.tuples(number, number),
        st.lists(number, max_size=2),
        st.booleans(),
        st.booleans(),
    )


def generated(recipe):
    """The step of a recipe, which says itself what it carries besides `(h, g)`."""

    def build(p):
        def step(c, x):
            (h, g), (count, key) = c
            values = [h, g]
            if recipe.count:
                values.append(h * jnp.cos(count.astype(h.dtype)))
                count = count + x.token
            if recipe.draw:
                key, use = jax.random.split(key)
                values.append(g + jax.random.normal(use, (H,), g.dtype))
            for name, i, j in recipe.instructions:
                a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
                values.append(INSTRUCTIONS[name](p, x, a, b))
            pick = lambda i: values[-1 - i % len(values)]
            h, g = (jnp.tanh(pick(i)) for i in recipe.carry)
            return ((h, g), (count, key)), [count, *(pick(i) for i in recipe.outputs)]

        return step

    build.more = lambda: (jnp.int32(1), jax.random.key(8))
    return build
