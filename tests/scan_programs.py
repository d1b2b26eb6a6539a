"""Random programs for `scan`, and all that JAX can do to them.

    python tests/scan_programs.py [FIRST] [COUNT]     # seeds, from FIRST on
    python tests/scan_programs.py FIRST 1 --show      # one program, in full

A program is a step of random operations on vectors of floats, integers and booleans, of
types of every width, and a transformation. `difference(program(seed))` runs it on
`jrnn.scan` and on `jax.lax.scan` and says what differs. Whole numbers, booleans and
sums without products are compared bit for bit; other floats by what rounding alone does
to the results of `jax.lax.scan`.
"""

import collections
import contextlib
import functools
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import checkify
from leaks import checking_leaks

from jrnn.scan import scan

I, V, CLASSES = 2, 5, 300  # inputs, rows of the table, classes of small tokens

# Values and operations ----------------------------------------------------------------


class Types(NamedTuple):
    float: Any
    int: Any


class Env(NamedTuple):
    """What an operation may read."""

    p: dict[str, Any]  # weights
    x: dict[str, Any]  # inputs of one step
    t: Types
    run: Callable  # the loop to use inside


class Operation(NamedTuple):
    name: str
    reads: str  # kinds of its operands: f, n (integers), b (booleans)
    makes: str  # the kind of its result
    function: Callable
    exact: bool  # whether all compilers make the same bits of it
    linear: bool  # in its operands and inputs


OPERATIONS: dict[str, Operation] = {}


def op(name, signature, function, exact=False, linear=False):
    reads, makes = signature.split(">")
    OPERATIONS[name] = Operation(name, reads, makes, function, exact, linear)


def vector(a, like):
    return jnp.broadcast_to(a, like.shape).astype(like.dtype)


def backward_rule(backward, f=lambda w: w):
    """A function with a derivative of its own, in reverse mode only."""
    q = jax.custom_vjp(f)
    q.defvjp(lambda w: (f(w), None), lambda _, g: (backward(g),))
    return q


def forward_rule(scale):
    q = jax.custom_jvp(lambda w: w)
    q.defjvp(lambda p, t: (p[0], t[0] * scale))
    return q


RULES = {
    "clip": backward_rule(lambda g: jnp.clip(g, -0.5, 0.5)),
    "sign": backward_rule(jnp.sign),
    "tanh": jax.custom_gradient(lambda w: (w, jnp.tanh)),
}


@contextlib.contextmanager
def forward_rules(scale):
    """Other rules in their places, with a forward mode: `scale` times the tangent."""
    own = dict(RULES)
    RULES.update(dict.fromkeys(RULES, forward_rule(scale)))
    try:
        yield
    finally:
        RULES.update(own)


def clip_back(w):
    return RULES["clip"](w)


def sign_back(w):
    return RULES["sign"](w)


squareplus = jax.custom_jvp(lambda x: (x + jnp.sqrt(x * x + 1)) / 2)


@squareplus.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    return squareplus(x), t * (1 + x / jnp.sqrt(x * x + 1)) / 2


def loop(cond, body, a):
    return lax.while_loop(cond, body, (jnp.int32(0), a))[1]


def hot(k, n, dtype):
    return (k == jnp.arange(n, dtype=k.dtype)).astype(dtype)


def sums():
    """Floating point, exact: the order of sums is the program's."""
    op("a + b", "ff>f", lambda e, a, b: a + b, True, True)
    op("a - b", "ff>f", lambda e, a, b: a - b, True, True)
    op("-a", "f>f", lambda e, a: -a, True, True)
    op("a + v", "f>f", lambda e, a: a + e.x["v"], True, True)
    op(
        "a + b + v + v",
        "ff>f",
        lambda e, a, b: ((a + b) + e.x["v"]) + e.x["v"],
        True,
        True,
    )
    op("a + b_", "f>f", lambda e, a: a + e.p["b"], True)
    op("(a + v) + b_", "f>f", lambda e, a: (a + e.x["v"]) + e.p["b"], True)
    op("a + (v + b_)", "f>f", lambda e, a: a + (e.x["v"] + e.p["b"]), True)
    op("b_ - (a - v)", "f>f", lambda e, a: e.p["b"] - (a - e.x["v"]), True)
    op("(a + big) - big", "f>f", lambda e, a: (a + e.p["big"]) - e.p["big"], True)
    op("(v + big) - big", ">f", lambda e: (e.x["v"] + e.p["big"]) - e.p["big"], True)
    op("(a + huge) + v", "f>f", lambda e, a: (a + e.p["huge"]) + e.x["v"], True)
    op("(a - huge) + huge", "f>f", lambda e, a: (a - e.p["huge"]) + e.p["huge"], True)
    op("a + tiny", "f>f", lambda e, a: a + e.p["tiny"], True)
    op("two-sum", "ff>f", lambda e, a, b: a - ((a + b) - b), True)
    op("maximum", "ff>f", lambda e, a, b: jnp.maximum(a, b), True)
    op("minimum with inf", "f>f", lambda e, a: jnp.minimum(a, e.p["inf"]), True)
    op("abs", "f>f", lambda e, a: jnp.abs(a), True)
    op("clip", "f>f", lambda e, a: jnp.clip(a, -1, 1), True)
    op("where a > b", "ff>f", lambda e, a, b: jnp.where(a > b, a, -b), True)
    op("where", "bff>f", lambda e, m, a, b: jnp.where(m, a, b), True)
    op(
        "turn",
        "ff>f",
        lambda e, a, b: jnp.concatenate([a[2:], b[:2]])[: len(a)],
        True,
        True,
    )
    op("reverse", "f>f", lambda e, a: a[::-1], True, True)
    op("roll", "f>f", lambda e, a: jnp.roll(a, 1), True, True)
    op(
        "nothing joined",
        "f>f",
        lambda e, a: jnp.concatenate([a[:0], a, a[:0]]),
        True,
        True,
    )
    op("pad and cut", "f>f", lambda e, a: jnp.pad(a, 1)[2:][: len(a)], False, True)
    op("row", ">f", lambda e: e.p["table"][e.x["token"].astype(int) % V], True)
    op(
        "at index",
        "f>f",
        lambda e, a: vector(a[e.x["token"].astype(int) % len(a)], a),
        True,
    )
    op(
        "set",
        "ff>f",
        lambda e, a, b: a.at[e.x["token"].astype(int) % len(a)].set(b[0]),
        True,
    )
    op(
        "add at",
        "ff>f",
        lambda e, a, b: a.at[e.x["token"].astype(int) % len(a)].add(b[0]),
        True,
    )
    op(
        "dynamic slice",
        "ff>f",
        lambda e, a, b: lax.dynamic_slice_in_dim(
            jnp.concatenate([a, b]), e.x["token"].astype(int) % len(a), len(a)
        ),
        True,
    )
    op(
        "dynamic update",
        "ff>f",
        lambda e, a, b: lax.dynamic_update_slice_in_dim(
            a, b[:1], e.x["token"].astype(int) % len(a), 0
        ),
        True,
    )
    op("sort", "f>f", lambda e, a: jnp.sort(a), True)
    op("to float", "n>f", lambda e, n: n.astype(e.t.float), True)
    op("finite only", "f>f", lambda e, a: jnp.where(jnp.isfinite(a), a, 0), True)
    op("stop", "f>f", lambda e, a: lax.stop_gradient(a), True)
    op("barrier", "f>f", lambda e, a: lax.optimization_barrier(a), True)
    op("name", "f>f", lambda e, a: checkpoint_name(a, "kept"), True, True)
    op("clipped gradient", "f>f", lambda e, a: clip_back(a), True)
    op("clipped gradient of b_", "f>f", lambda e, a: a + clip_back(e.p["b"]), True)
    op("sign gradient of b_", "f>f", lambda e, a: a - sign_back(e.p["b"]), True)
    op("clipped gradient of v", "f>f", lambda e, a: a + clip_back(e.x["v"]), True)
    op(
        "constant",
        ">f",
        lambda e: jnp.asarray(np.arange(len(e.p["b"])), e.t.float),
        True,
    )


def smooth():
    """Floating point, up to rounding."""
    op("a * b", "ff>f", lambda e, a, b: a * b)
    op("a * v", "f>f", lambda e, a: a * e.x["v"])
    op("a / 2", "f>f", lambda e, a: a / 2, False, True)
    op("a * b_", "f>f", lambda e, a: a * e.p["b"], False, True)
    op("quotient", "ff>f", lambda e, a, b: a / (2 + b * b))
    op("a * tiny / tiny", "f>f", lambda e, a: a * e.p["tiny"] / e.p["tiny"])
    op("a @ w", "f>f", lambda e, a: a @ e.p["w"], False, True)
    op("w @ a", "f>f", lambda e, a: e.p["w"] @ a, False, True)
    op("u @ x", ">f", lambda e: e.x["u"] @ e.p["u"])
    op("a + u @ x", "f>f", lambda e, a: a + e.x["u"] @ e.p["u"])
    op("x w + a w", "f>f", lambda e, a: e.x["v"] @ e.p["w"] + a @ e.p["w"] + e.p["b"])
    op("wide", "f>f", lambda e, a: jnp.tanh(a @ e.p["wide"]) @ e.p["wide"].T)
    op(
        "gates",
        "ff>f",
        lambda e, a, b: (lambda i, f, g: jax.nn.sigmoid(i) * g + f * b)(
            *jnp.split(a @ e.p["wide"] + 1, 3)
        ),
    )
    op(
        "slices",
        "f>f",
        lambda e, a: (
            (lambda z, n: z[:n] * z[n : 2 * n] + z[-n:])(a @ e.p["wide"], len(a))
            if len(a)
            else a
        ),
    )
    op("tied", "f>f", lambda e, a: (a @ e.p["table"].T) @ e.p["table"], False, True)
    op("bilinear", "ff>f", lambda e, a, b: jnp.einsum("i,ij,j->j", a, e.p["w"], b))
    op("outer", "ff>f", lambda e, a, b: jnp.outer(a, b).sum(0))
    op("no columns", "f>f", lambda e, a: a + (a[:0] @ e.p["w"][:0]), False, True)
    op("weight norm", "f>f", lambda e, a: a @ (e.p["w"] / (1 + jnp.sum(e.p["w"] ** 2))))
    op("gate", "ff>f", lambda e, a, b: jax.nn.sigmoid(a) * b)
    op("tanh", "f>f", lambda e, a: jnp.tanh(a))
    op("relu", "f>f", lambda e, a: jax.nn.relu(a))
    op("softplus", "f>f", lambda e, a: jax.nn.softplus(a))
    op("bell", "f>f", lambda e, a: jnp.exp(-a * a))
    op("log1p", "f>f", lambda e, a: jnp.log1p(jnp.abs(a)))
    op("log", "f>f", lambda e, a: jnp.log(a))
    op("sqrt", "f>f", lambda e, a: jnp.sqrt(1 + a * a))
    op("rsqrt", "f>f", lambda e, a: lax.rsqrt(1 + a * a))
    op("sin", "f>f", lambda e, a: jnp.sin(a))
    op("cos", "f>f", lambda e, a: jnp.cos(a))
    op("erf", "f>f", lambda e, a: lax.erf(a))
    op("atan2", "ff>f", lambda e, a, b: jnp.arctan2(a, 1 + b * b))
    op("cube", "f>f", lambda e, a: a**3 / (1 + a * a))
    op("power", "ff>f", lambda e, a, b: (1 + a * a) ** jnp.tanh(b))
    op("softmax", "f>f", lambda e, a: jax.nn.softmax(a))
    op("logsumexp", "f>f", lambda e, a: vector(jax.nn.logsumexp(a), a))
    op("norm", "ff>f", lambda e, a, b: a / jnp.sqrt(1 + jnp.sum(b * b)))
    op("layer norm", "f>f", lambda e, a: (a - a.mean()) * lax.rsqrt(a.var() + 0.1))
    op("cumsum", "f>f", lambda e, a: jnp.cumsum(a), False, True)
    op("total", "f>f", lambda e, a: vector(jnp.sum(a), a), False, True)
    op("convolve", "ff>f", lambda e, a, b: jnp.convolve(a, b, "same"))
    op("fft", "f>f", lambda e, a: jnp.fft.fft(a.astype(float)).real.astype(a.dtype))
    op(
        "solve",
        "f>f",
        lambda e, a: jnp.linalg.solve(
            (e.p["w"] + 4 * jnp.eye(len(a), dtype=a.dtype)).astype(float),
            a.astype(float),
        ).astype(a.dtype),
    )
    op("float32 and back", "f>f", lambda e, a: a.astype(jnp.float32).astype(a.dtype))
    op("bfloat16 and back", "f>f", lambda e, a: a.astype(jnp.bfloat16).astype(a.dtype))
    op("less precise", "f>f", lambda e, a: lax.reduce_precision(a, 5, 8))
    op("round through", "f>f", lambda e, a: a + lax.stop_gradient(jnp.round(a) - a))
    op("squareplus", "f>f", lambda e, a: squareplus(a))
    op("squareplus of w", "f>f", lambda e, a: a @ squareplus(e.p["w"]))
    op("clipped gradient of w", "f>f", lambda e, a: a @ clip_back(e.p["w"]))
    op("sign gradient of w", "f>f", lambda e, a: a @ sign_back(e.p["w"]))
    op(
        "custom_gradient",
        "f>f",
        lambda e, a: RULES["tanh"](e.p["b"]) * a,
    )
    op("rule in jit", "f>f", lambda e, a: jax.jit(RULES["clip"])(e.p["b"]) * a)
    op(
        "one-hot",
        ">f",
        lambda e: jax.nn.one_hot(e.x["token"], V, dtype=e.t.float) @ e.p["table"],
    )
    op(
        "one-hot by hand",
        ">f",
        lambda e: hot(e.x["token"], V, e.t.float) @ e.p["table"],
    )
    op(
        "many classes",
        ">f",
        lambda e: hot(e.x["token"], CLASSES, e.t.float) @ e.p["many"],
    )
    op(
        "one-hot of a choice",
        "f>f",
        lambda e, a: jax.nn.one_hot(jnp.argmax(a), len(a), dtype=a.dtype) @ e.p["w"],
    )
    op(
        "one-hot of an integer",
        "n>f",
        lambda e, n: hot(n[0], V, e.t.float) @ e.p["table"],
    )
    op(
        "branch on input",
        "f>f",
        lambda e, a: lax.cond(
            e.x["token"] > 2, lambda a: jnp.sin(a @ e.p["w"]), lambda a: a * 0.5, a
        ),
    )
    op(
        "branch on value",
        "ff>f",
        lambda e, a, b: lax.cond(a[0] > 0, lambda b: b * e.p["b"], jnp.cos, b),
    )
    op(
        "rule in a branch",
        "f>f",
        lambda e, a: (
            lax.cond(e.x["token"] > 2, RULES["clip"], lambda w: w * 3, e.p["b"]) * a
        ),
    )
    op(
        "switch",
        "f>f",
        lambda e, a: lax.switch(
            e.x["token"].astype(int) % 3, [jnp.cos, jnp.sin, jnp.tanh], a
        ),
    )
    op(
        "fori",
        "f>f",
        lambda e, a: lax.fori_loop(0, 3, lambda i, a: jnp.tanh(a * 1.5), a),
    )
    op(
        "while",
        "f>f",
        lambda e, a: loop(
            lambda s: (s[0] < 5) & (jnp.sum(jnp.abs(s[1])) > 1),
            lambda s: (s[0] + 1, s[1] / 2),
            lax.stop_gradient(a),
        ),
    )
    op(
        "inner loop",
        "f>f",
        lambda e, a: lax.scan(
            lambda h, w: (jnp.tanh(h * w + a), None), a, e.p["table"]
        )[0],
    )
    op(
        "inner loop of weights",
        "f>f",
        lambda e, a: (
            a
            + lax.scan(lambda h, _: (jnp.tanh(h @ e.p["w"]), None), e.p["b"], None, 2)[
                0
            ]
        ),
    )
    op(
        "inner loop of no step",
        "f>f",
        lambda e, a: e.run(lambda h, w: (jnp.tanh(h * w), h), a, e.p["table"][:0])[0],
    )
    op(
        "inner run",
        "ff>f",
        lambda e, a, b: e.run(
            lambda h, w: (jnp.tanh(h @ e.p["w"] + w * b), None), a, e.p["table"]
        )[0],
    )
    op(
        "rule in an inner loop",
        "f>f",
        lambda e, a: e.run(
            lambda h, w: (h * clip_back(e.p["b"]), None), a, e.p["table"]
        )[0],
    )
    op(
        "associative",
        "f>f",
        lambda e, a: lax.associative_scan(jnp.multiply, jnp.tanh(a)),
    )
    op(
        "noise",
        "f>f",
        lambda e, a: (
            a
            + jax.random.normal(
                jax.random.fold_in(e.x["key"], 1), a.shape, jnp.float32
            ).astype(a.dtype)
        ),
    )
    op(
        "dropped",
        "f>f",
        lambda e, a: jnp.where(
            jax.random.bernoulli(jax.random.fold_in(e.x["key"], 2), 0.5, a.shape), a, 0
        ),
    )
    op(
        "checkpoint",
        "ff>f",
        lambda e, a, b: jax.checkpoint(
            lambda a, b: jnp.tanh(jnp.sin(a) @ e.p["w"] + b)
        )(a, b),
    )
    op("scope", "f>f", lambda e, a: jax.named_scope("inside")(jnp.sin)(a))
    op("jit", "f>f", lambda e, a: jax.jit(lambda a: jnp.sin(a) @ e.p["w"])(a))
    op("vmap", "f>f", lambda e, a: jax.vmap(lambda r: jnp.sin(r @ a))(e.p["w"]))
    op(
        "grad",
        "ff>f",
        lambda e, a, b: jax.grad(lambda a: jnp.sum(jnp.sin(a @ e.p["w"]) * b))(a),
    )
    op(
        "jvp",
        "ff>f",
        lambda e, a, b: jax.jvp(lambda a: jnp.sin(a @ e.p["w"]), (a,), (b,))[1],
    )
    op("top", "f>f", lambda e, a: lax.top_k(a, len(a))[0])
    op("carry noise", "f>f", lambda e, a: a * 0.5 + vector(jnp.mean(a), a))
    op("named value", "f>f", lambda e, a: checkpoint_name(jnp.sin(a), "named"))


def whole():
    """Integers and booleans: every bit."""
    op("n + m", "nn>n", lambda e, n, m: n + m, True)
    op("n - m", "nn>n", lambda e, n, m: n - m, True)
    op("n * m", "nn>n", lambda e, n, m: n * m, True)
    op("n + x", "n>n", lambda e, n: (n + e.x["n"]) + e.x["n"], True)
    op("n * x + k", "n>n", lambda e, n: n * e.x["n"] + e.p["k"], True)
    op("n + k + x", "n>n", lambda e, n: (n + e.p["k"]) + e.x["n"], True)
    op("n @ wi", "n>n", lambda e, n: n @ e.p["wi"], True)
    op(
        "x @ wi + n @ wi",
        "n>n",
        lambda e, n: e.x["n"] @ e.p["wi"] + n @ e.p["wi"],
        True,
    )
    op("wi @ n", "n>n", lambda e, n: e.p["wi"] @ n, True)
    op("xor", "nn>n", lambda e, n, m: n ^ m, True)
    op("and not", "nn>n", lambda e, n, m: n & ~m, True)
    op("shift left", "n>n", lambda e, n: n << 3, True)
    op("shift right", "n>n", lambda e, n: n >> 1, True)
    op("larger", "nn>n", lambda e, n, m: jnp.maximum(n, m), True)
    op("count of bits", "n>n", lambda e, n: lax.population_count(n), True)
    op("leading zeros", "n>n", lambda e, n: lax.clz(n), True)
    op("remainder", "n>n", lambda e, n: n % 7, True)
    op("floor", "n>n", lambda e, n: n // 3, True)
    op("sums of n", "n>n", lambda e, n: jnp.cumsum(n, dtype=n.dtype), True)
    op(
        "widened sum",
        "nn>n",
        lambda e, n, m: (
            n.astype(jnp.int64) + m.astype(jnp.int64) + e.x["n"].astype(jnp.int64)
        ).astype(n.dtype),
        True,
    )
    op(
        "sum then widened",
        "nn>n",
        lambda e, n, m: ((n + m).astype(jnp.int64) >> 1).astype(n.dtype),
        True,
    )
    op(
        "int8 inside",
        "n>n",
        lambda e, n: (n.astype(jnp.int8) + e.x["n"].astype(jnp.int8)).astype(n.dtype),
        True,
    )
    op(
        "one-hot of n",
        "n>n",
        lambda e, n: (hot(e.x["token"], V, n.dtype) @ e.p["rows"]) + n,
        True,
    )
    op(
        "one-hot sum",
        "n>n",
        lambda e, n: jnp.sum(hot(e.x["token"], CLASSES, n.dtype), dtype=n.dtype) + n,
        True,
    )
    op("n where", "bnn>n", lambda e, m, a, b: jnp.where(m, a, b), True)
    op("n reversed", "n>n", lambda e, n: n[::-1], True)
    op(
        "n of f",
        "f>n",
        lambda e, a: (
            jnp.clip(jnp.nan_to_num(a), -100, 100).astype(jnp.int32).astype(e.t.int)
        ),
        True,
    )
    op("n of b", "b>n", lambda e, b: b.astype(e.t.int), True)
    op("row of n", ">n", lambda e: e.p["rows"][e.x["token"].astype(int) % V], True)
    op("a > b", "ff>b", lambda e, a, b: a > b, True)
    op("n > m", "nn>b", lambda e, n, m: n > m, True)
    op("not", "b>b", lambda e, b: ~b, True)
    op("b xor c", "bb>b", lambda e, b, c: b ^ c, True)
    op("all", "b>b", lambda e, b: jnp.broadcast_to(jnp.all(b), b.shape), True)
    op("finite", "f>b", lambda e, a: jnp.isfinite(a), True)


sums(), smooth(), whole()

# Programs -----------------------------------------------------------------------------


class Line(NamedTuple):
    operation: Operation
    operands: tuple[int, ...]  # counted from the last value of its kind


class Program(NamedTuple):
    seed: int
    types: Types
    width: int
    steps: int
    lines: list[Line]
    carry: dict[str, int]  # which value is the next carry: h, g floats; n; b
    outputs: list[tuple[str, int]]
    bounded: bool  # whether carried floats pass through a tanh
    draw: bool  # carry a key that is split at every step
    transformation: str
    options: dict[str, Any]  # of scan
    plain_options: dict[str, Any]  # of jax.lax.scan

    def __str__(self):
        head = f"seed {self.seed}: {self.transformation}, {self.options}, "
        head += f"{np.dtype(self.types.float).name}, {np.dtype(self.types.int).name}, "
        head += f"width {self.width}, {self.steps} steps, bounded {self.bounded}"
        lines = [
            f"  {x.operation.makes} = {x.operation.name} {x.operands}"
            for x in self.lines
        ]
        return "\n".join(
            [head, *lines, f"  carry {self.carry}, outputs {self.outputs}"]
        )


KIND = {"h": "f", "g": "f", "n": "n", "b": "b"}
FLOATS = ["float64"] * 6 + ["float32"] * 2 + ["bfloat16"]
INTS = ["int8", "uint8", "int16", "int32", "int64", "uint32"]


def program(seed, only=None):
    """The program of a seed; `only` fixes the transformation."""
    rng = np.random.default_rng(seed)
    name = rng.choice(list(TRANSFORMATIONS), p=WEIGHTS)
    name = only or str(name)
    linear = name.startswith("linear_transpose")
    exact = not linear and rng.random() < 0.3
    whole = [o for o in OPERATIONS.values() if o.exact]
    usable = (
        [o for o in OPERATIONS.values() if o.linear]
        if linear
        else (whole if exact else list(OPERATIONS.values()))
    )
    lines = []
    for _ in range(rng.integers(2, 8)):
        operation = usable[rng.integers(len(usable))]
        lines.append(Line(operation, tuple(recent(rng) for _ in operation.reads)))
    types = Types(jnp.dtype(rng.choice(FLOATS)), jnp.dtype(rng.choice(INTS)))
    pick = lambda: recent(rng)
    own, plain = options(rng, name)
    return Program(
        int(seed), types, int(rng.choice([3, 3, 3, 3, 3, 3, 4, 1, 0])),
        int(rng.choice([4, 4, 4, 3, 1])), lines, {k: pick() for k in KIND},
        [(str(rng.choice(list("ffnb"))), pick()) for _ in range(rng.integers(1, 4))],
        not exact and not linear, bool(rng.random() < 0.15 and not linear),
        name, own, plain,
    )  # fmt: skip


def recent(rng):
    """A place counted from the end, mostly a late one, so that little is in vain."""
    return int(min(rng.geometric(0.5) - 1, 8))


def options(rng, name):
    """Of scan, and those of them that jax.lax.scan has too."""
    both = {"reverse": bool(rng.random() < 0.25)}
    if rng.random() < 0.2:
        both["unroll"] = [2, 3, True][rng.integers(3)]
    own = dict(both)
    if "grad" in name and rng.random() < 0.25:
        own["remat"] = ["step", "chunk", 2][rng.integers(3)]
    return own, both


def values_of(rng, shape, kind, scale=0.8):
    kind = np.dtype(kind)
    if kind.kind == "b":
        return jnp.asarray(rng.random(shape) < 0.5)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return jnp.asarray(rng.integers(info.min, info.max, shape, kind, endpoint=True))
    return jnp.asarray(rng.standard_normal(shape) * scale).astype(kind)


def arguments(program):
    """Weights, first carry and inputs."""
    rng = np.random.default_rng(program.seed + 10**6)
    f, n = np.dtype(program.types.float), np.dtype(program.types.int)
    width, steps = program.width, program.steps
    shapes = {"w": (width, width), "wide": (width, 3 * width), "u": (I, width),
              "b": (width,), "table": (V, width), "many": (CLASSES, width)}  # fmt: skip
    p = {k: values_of(rng, s, f) for k, s in shapes.items()}
    limits = jnp.finfo(f)
    magic = {"big": 1.5 * 2.0**limits.nmant, "huge": float(limits.max) * 0.9,
             "tiny": float(limits.tiny) * 8, "inf": np.inf}  # fmt: skip
    p |= {k: jnp.asarray(v, jnp.float64).astype(f) for k, v in magic.items()}
    integers = {"wi": (width, width), "k": (width,), "rows": (V, width)}
    p |= {k: values_of(rng, s, n) for k, s in integers.items()}
    c = {"h": values_of(rng, width, f), "g": values_of(rng, width, f),
         "n": values_of(rng, width, n), "b": values_of(rng, width, bool)}  # fmt: skip
    token = rng.integers(0, V + 2, steps).astype(n)
    x = {"u": values_of(rng, (steps, I), f), "v": values_of(rng, (steps, width), f),
         "n": values_of(rng, (steps, width), n), "token": jnp.asarray(token),
         "key": jax.random.split(jax.random.key(program.seed), steps)}  # fmt: skip
    if program.draw:
        c["key"] = jax.random.key(program.seed + 1)
    return p, c, x


def taken(values, kind, place):
    return values[kind][-1 - place % len(values[kind])]


def make_step(program, p, run):
    def step(c, x):
        c, values = dict(c), {"f": [c["h"], c["g"]], "n": [c["n"]], "b": [c["b"]]}
        if program.draw:
            c["key"], use = jax.random.split(c["key"])
            noise = jax.random.normal(use, c["h"].shape, jnp.float32)
            values["f"].append(c["g"] + noise.astype(c["g"].dtype))
        e = Env(p, x, program.types, run)
        for operation, operands in program.lines:
            read = [
                taken(values, k, i)
                for k, i in zip(operation.reads, operands, strict=True)
            ]
            values[operation.makes].append(operation.function(e, *read))
        for name, place in program.carry.items():
            new = taken(values, KIND[name], place)
            c[name] = jnp.tanh(new) if program.bounded and KIND[name] == "f" else new
        return c, [taken(values, k, i) for k, i in program.outputs]

    return step


def exact_outputs(program):
    """Which of carry and outputs have the same bits on all compilers."""
    certain = dict.fromkeys(KIND, True)
    while True:
        values = {
            "f": [certain["h"], certain["g"]],
            "n": [certain["n"]],
            "b": [certain["b"]],
        }
        if program.draw:
            values["f"].append(False)
        for operation, operands in program.lines:
            read = [
                taken(values, k, i)
                for k, i in zip(operation.reads, operands, strict=True)
            ]
            values[operation.makes].append(operation.exact and all(read))
        new = {
            k: taken(values, KIND[k], i) and certain[k]
            for k, i in program.carry.items()
        }
        if program.bounded:
            new |= {k: False for k in "hg"}
        if new == certain:
            return certain, [taken(values, k, i) for k, i in program.outputs]
        certain = new


# Transformations: of a program (p, c, x) -> (carry, ys), at a point ---------------


def floats(tree):
    """The float leaves of a tree, and the tree with others in their place."""
    leaves, form = jax.tree.flatten(tree)
    smooth = [jnp.issubdtype(x.dtype, jnp.inexact) for x in leaves]

    def merged(new):
        new = iter(new)
        return jax.tree.unflatten(
            form, [next(new) if on else x for x, on in zip(leaves, smooth, strict=True)]
        )

    return [x for x, on in zip(leaves, smooth, strict=True) if on], merged


def direction(tree, seed):
    rng = np.random.default_rng(seed)
    draw = lambda x: jnp.asarray(rng.standard_normal(x.shape)).astype(x.dtype)
    return jax.tree.map(draw, tree)


def along(f, *args, parts=(0, 1, 2)):
    """`f` from the float leaves of some arguments to those of its results."""
    at, merged = floats([args[i] for i in parts])

    def smooth(new):
        full = list(args)
        for i, part in zip(parts, merged(new), strict=True):
            full[i] = part
        return floats(f(*full))[0]

    return smooth, at


def pair(tree):
    near = lambda x: jnp.stack([x, x * jnp.asarray(1.25, x.dtype)])
    smooth = lambda x: jnp.issubdtype(x.dtype, jnp.inexact)
    return jax.tree.map(lambda x: near(x) if smooth(x) else jnp.stack([x, x]), tree)


def mapped(*parts):
    def transform(f, *args):
        args = [pair(a) if i in parts else a for i, a in enumerate(args)]
        return jax.vmap(f, [0 if i in parts else None for i in range(3)])(*args)

    return transform


def value(f, *args):
    return f(*args)


def nested_vmap(f, *args):
    inner = jax.vmap(f, (None, None, 0))
    return jax.vmap(inner, (0, None, None))(pair(args[0]), args[1], pair(args[2]))


def vmap_of_nothing(f, *args):
    batched = jax.vmap(lambda s: (f(*args), s), out_axes=(None, 0))
    return batched(jnp.ones(2))[0]


def vmap_at_the_end(f, *args):
    last = lambda x: jnp.moveaxis(x, 0, x.ndim - 1)
    xs = jax.tree.map(last, {k: v for k, v in pair(args[2]).items() if k != "key"})
    axes = jax.tree.map(lambda x: x.ndim - 1, xs)
    g = lambda xs: f(*args[:2], {**xs, "key": args[2]["key"]})
    return jax.vmap(g, (axes,))(xs)


def jvp(f, *args, parts=(0, 1, 2)):
    smooth, at = along(f, *args, parts=parts)
    return jax.jvp(smooth, (at,), (direction(at, 1),))


def jvp_by_carry(f, *args):
    return jvp(f, *args, parts=(1,))


def linearize(f, *args):
    smooth, at = along(f, *args)
    out, push = jax.linearize(smooth, at)
    return out, push(direction(at, 2)), push(direction(at, 3))


def grad(f, *args, parts=(0, 1, 2)):
    smooth, at = along(f, *args, parts=parts)
    outs, pull = jax.vjp(smooth, at)
    return pull(direction(outs, 4))[0]


def grad_by_weights(f, *args):
    return grad(f, *args, parts=(0,))


def grad_by_inputs(f, *args):
    return grad(f, *args, parts=(2,))


def value_and_grad(f, *args):
    smooth, at = along(f, *args)
    number = lambda at: sum(jnp.sum(jnp.sin(y)).astype(float) for y in smooth(at))
    return jax.value_and_grad(lambda at: number(at) * 1.0)(at)


def grad_of_vmap(f, *args):
    return grad(
        lambda p, c, x: jax.vmap(f, (None, None, 0))(p, c, x), *args[:2], pair(args[2])
    )


def grad_of_vmap_of_weights(f, *args):
    return grad(
        lambda p, c, x: jax.vmap(f, (0, None, None))(p, c, x), pair(args[0]), *args[1:]
    )


def vmap_of_grad(f, *args):
    return mapped(2)(functools.partial(grad, f), *args)


def vmap_of_jvp(f, *args):
    return mapped(0, 1, 2)(functools.partial(jvp, f), *args)


def forward_over_reverse(f, *args):
    _, at = along(f, *args)
    _, merged = floats(list(args))
    return jax.jvp(lambda at: grad(f, *merged(at)), (at,), (direction(at, 5),))


def reverse_over_reverse(f, *args):
    _, at = along(f, *args)
    _, merged = floats(list(args))
    slope, pull = jax.vjp(lambda at: grad(f, *merged(at)), at)
    return pull(direction(slope, 6))[0]


def reverse_over_forward(f, *args):
    _, at = along(f, *args)
    _, merged = floats(list(args))
    slope, pull = jax.vjp(lambda at: jvp(f, *merged(at))[1], at)
    return pull(direction(slope, 7))[0]


def forward_over_forward(f, *args):
    _, at = along(f, *args)
    _, merged = floats(list(args))
    return jax.jvp(lambda at: jvp(f, *merged(at)), (at,), (direction(at, 8),))


def vmap_of_hessian_product(f, *args):
    return mapped(0)(functools.partial(forward_over_reverse, f), *args)


def jacfwd(f, *args):
    smooth, at = along(f, *args, parts=(1,))
    return jax.jacfwd(smooth)(at)


def jacrev(f, *args):
    smooth, at = along(f, *args, parts=(1,))
    return jax.jacrev(smooth)(at)


def grad_of_checkpoint(f, *args):
    return grad(jax.checkpoint(f), *args)


def grad_under_a_policy(f, *args):
    policy = jax.checkpoint_policies.save_only_these_names("kept", "named")
    return grad(jax.checkpoint(f, policy=policy), *args)


def transposed_linearization(f, *args):
    smooth, at = along(f, *args, parts=(1,))
    outs, push = jax.linearize(smooth, at)
    return jax.linear_transpose(push, at)(direction(outs, 9))


def linear_transpose(f, *args):
    """Of a linear program, by its float carry and input."""
    p, c, x = args
    c = {k: jnp.zeros_like(v) if k in "hg" else v for k, v in c.items()}

    def g(h, g, v):
        carry, ys = f(p, {**c, "h": h, "g": g}, {**x, "v": v})
        return floats((carry, ys))[0]

    like = (c["h"], c["g"], x["v"])
    outs = g(*like)
    return jax.linear_transpose(g, *like)(direction(outs, 10))


def in_a_loop(f, *args):
    p, c, x = args
    return lax.scan(lambda c, _: f(p, c, x), c, None, 2)


def in_a_branch(f, *args):
    return lax.cond(args[2]["token"][0] > 2, f, lambda p, c, x: f(p, c, x), *args)


def in_a_map(f, *args):
    return lax.map(lambda x: f(*args[:2], x), pair(args[2]))


def retraced(f, *args):
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*args)
    outs = jax.core.eval_jaxpr(closed.jaxpr, closed.consts, *jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shape), outs)


def exported(f, *args):
    key_data = lambda tree: tree
    p, c, x = map(key_data, args)
    own = {k: v for k, v in x.items() if k != "key"}
    carry = {k: v for k, v in c.items() if k != "key"}

    def g(p, c, own):
        return f(p, {**args[1], **c}, {**own, "key": x["key"]})

    def numbers(p, c, own):
        return [y for y in jax.tree.leaves(g(p, c, own)) if not is_key(y)]

    program = jax.export.export(jax.jit(numbers))(p, carry, own)
    return program.call(p, carry, own)


def exported_with_a_symbol(f, *args):
    p, c, x = args
    own = {k: v for k, v in pair(x).items() if k != "key"}
    (b,) = jax.export.symbolic_shape("b")

    def numbers(own):
        g = lambda own: f(p, c, {**own, "key": x["key"]})
        return [y for y in jax.tree.leaves(jax.vmap(g)(own)) if not is_key(y)]

    like = {k: jax.ShapeDtypeStruct((b, *v.shape[1:]), v.dtype) for k, v in own.items()}
    return jax.export.export(jax.jit(numbers))(like).call(own)


def checked(f, *args):
    """Whether checkify reports anything, and the results."""
    error, out = checkify.checkify(f, errors=checkify.float_checks)(*args)
    return jnp.asarray(error.get() is not None), out


def aot(f, *args):
    return jax.jit(f).lower(*args).compile()(*args)


def without_jit(f, *args):
    with jax.disable_jit():
        return f(*args)


def leak_checked(f, *args):
    with checking_leaks():
        return jax.jit(f)(*args)


def enabled_checks(f, *args):
    with jax.enable_checks(True):
        return grad(f, *args)


def debug_nans(f, *args):
    with jax.debug_nans(True):
        return f(*args)


def scopes(f, *args):
    """Which named scopes are to be found in the program."""
    text = jax.jit(f).lower(*args).as_text(debug_info=True)
    return jnp.asarray("inside" in text)


def shapes(f, *args):
    return jax.tree.map(
        lambda s: np.zeros((), bool) if is_key(s) else np.zeros(s.shape, s.dtype),
        jax.eval_shape(f, *args),
    )


TRANSFORMATIONS = {  # transformation: how often, whether in a jit with both
    "value": (value, 5, True),
    "eager value": (value, 2, False),
    "vmap": (mapped(0, 1, 2), 2, True),
    "vmap of inputs": (mapped(2), 2, True),
    "vmap of weights": (mapped(0), 2, True),
    "vmap of carry": (mapped(1), 2, True),
    "eager vmap of inputs": (mapped(2), 1, False),
    "vmap at the end": (vmap_at_the_end, 1, True),
    "nested vmap": (nested_vmap, 1, True),
    "vmap of nothing": (vmap_of_nothing, 1, True),
    "jvp": (jvp, 3, True),
    "jvp by carry": (jvp_by_carry, 2, True),
    "linearize": (linearize, 1, True),
    "grad": (grad, 8, True),
    "eager grad": (grad, 1, False),
    "grad by weights": (grad_by_weights, 3, True),
    "grad by inputs": (grad_by_inputs, 2, True),
    "value_and_grad": (value_and_grad, 2, True),
    "grad of vmap": (grad_of_vmap, 4, True),
    "grad of vmap of weights": (grad_of_vmap_of_weights, 2, True),
    "vmap of grad": (vmap_of_grad, 3, True),
    "vmap of jvp": (vmap_of_jvp, 1, True),
    "forward over reverse": (forward_over_reverse, 2, True),
    "reverse over reverse": (reverse_over_reverse, 2, True),
    "reverse over forward": (reverse_over_forward, 1, True),
    "forward over forward": (forward_over_forward, 1, True),
    "vmap of hessian product": (vmap_of_hessian_product, 1, True),
    "jacfwd": (jacfwd, 1, True),
    "jacrev": (jacrev, 1, True),
    "grad of checkpoint": (grad_of_checkpoint, 1, True),
    "grad under a policy": (grad_under_a_policy, 2, True),
    "transposed linearization": (transposed_linearization, 1, True),
    "linear_transpose": (linear_transpose, 2, True),
    "in a loop": (in_a_loop, 1, True),
    "in a branch": (in_a_branch, 1, True),
    "in a map": (in_a_map, 1, True),
    "retraced": (retraced, 1, True),
    "exported": (exported, 1, False),
    "exported with a symbol": (exported_with_a_symbol, 1, False),
    "checked": (checked, 2, False),
    "compiled ahead": (aot, 1, False),
    "without jit": (without_jit, 0.5, False),
    "leaks checked": (leak_checked, 0.5, False),
    "all checks": (enabled_checks, 0.5, False),
    "debug_nans": (debug_nans, 1, False),
    "scopes": (scopes, 1, False),
    "shapes": (shapes, 0.5, False),
}
WEIGHTS = np.array([often for _, often, _ in TRANSFORMATIONS.values()])
WEIGHTS = WEIGHTS / WEIGHTS.sum()

# Comparison ---------------------------------------------------------------------------

FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def results(program, run, given, args):
    """The leaves of the transformation's result, keys as numbers."""
    transform = TRANSFORMATIONS[program.transformation][0]

    def f(p, c, x):
        loop = lambda *a, **k: run(*a, **given, **k)
        return loop(make_step(program, p, run), c, x)

    leaves = jax.tree.leaves(transform(f, *args))
    return [jax.random.key_data(x) if is_key(x) else x for x in leaves]


def outcome(f):
    try:
        return f(), None
    except Exception as error:
        return None, error


def evaluator(program):
    """A function from arguments to the outcomes of jrnn and of lax."""
    both = [(scan, program.options), (lax.scan, program.plain_options)]
    single = [functools.partial(results, program, *one) for one in both]
    if not TRANSFORMATIONS[program.transformation][2]:
        return lambda args: [outcome(functools.partial(f, args)) for f in single]
    joint = jax.jit(lambda args: [f(args) for f in single], compiler_options=FAST)
    apart = [jax.jit(f, compiler_options=FAST) for f in single]

    def evaluate(args):
        pair, error = outcome(lambda: joint(args))
        if error:
            return [outcome(functools.partial(f, args)) for f in apart]
        return [(leaves, None) for leaves in pair]

    return evaluate


def rounded(args, seed):
    """All floats off by a rounding."""
    rng = np.random.default_rng(seed)

    def near(x):
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return x
        signs = rng.choice([-1.0, 1.0], x.shape)
        eps = float(jnp.finfo(x.dtype).eps)
        return (x.astype(jnp.float64) * (1 + signs * eps)).astype(x.dtype)

    return jax.tree.map(near, args)


REFUSED: list[str] = []  # by both


REFUTED: list[str] = []  # of jax.lax.scan, by a Python loop that agrees with jrnn


def python_loop(f, init, xs, reverse=False, unroll=1):
    """The meaning of `jax.lax.scan`, step by step."""
    del unroll
    count = len(jax.tree.leaves(xs)[0])
    if not count:
        return lax.scan(f, init, xs)
    ys = [None] * count
    for i in reversed(range(count)) if reverse else range(count):
        init, ys[i] = f(init, jax.tree.map(lambda x: x[i], xs))  # noqa: B023
    return init, jax.tree.map(lambda *y: jnp.stack(y), *ys)


def judged(program, args, got, found, certain):
    """What a Python loop says where the two differ: nothing, where it is with jrnn.

    Bit for bit where that is asked for: near is not enough for an ordered sum.
    """
    f = functools.partial(results, program, python_loop, program.plain_options)
    loop = jax.jit(f, compiler_options=FAST)
    expected, error = outcome(lambda: loop(args))
    if error:
        return found
    moved = [loop(rounded(args, seed)) for seed in range(3)]
    if compare(program, got, expected, certain, moved):
        return found
    REFUTED.append(f"seed {program.seed}: {program.transformation}")
    return None


def in_vain(program, args, got, refusal):
    """What differs where `jax.lax.scan` alone refuses a rule for reverse mode.

    It does so, too, where the derivative is used for nothing, or stopped. Then what it
    is does not matter: the result is the same with rules that have a forward mode and
    different derivatives.
    """
    certain = [False] * len(got)
    for scale in 1, 2:
        with forward_rules(scale):
            _, (expected, error) = evaluator(program)(args)
        found = str(error) if error else compare(program, got, expected, certain)
        if found:
            return f"jrnn gives a result; lax {refusal}; with other rules: {found}"
    return None


def difference(program):
    """What differs between the two, in words; None where nothing does."""
    args = arguments(program)
    with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):
        with jax.numpy_dtype_promotion("standard"):
            evaluate = evaluator(program)
            (got, error), (expected, refusal) = evaluate(args)
            if refusal and not error and "custom_" in str(refusal):
                return in_vain(program, args, got, refusal)
            if error or refusal:
                if type(error) is type(refusal):
                    REFUSED.append(f"{program.transformation}: {type(error).__name__}")
                    return None
                say = lambda e: (
                    f"{type(e).__name__}: {str(e)[:300]}" if e else "a result"
                )
                return f"jrnn gives {say(error)}; lax {say(refusal)}"
            certain = bits(program, len(expected))
            found = compare(program, got, expected, certain)
            if not found:
                return None
            # how far does rounding alone move the results of lax?
            moved = [evaluate(rounded(args, seed))[1][0] for seed in range(3)]
            found = compare(program, got, expected, certain, moved)
            return found and judged(program, args, got, found, certain)


def bits(program, count):
    """Which of the results must have the same bits."""
    transform = TRANSFORMATIONS[program.transformation][0]
    plain = transform in (
        value,
        aot,
        leak_checked,
    ) or program.transformation.startswith("vmap of nothing")
    carry, ys = exact_outputs(program)
    names = sorted([*KIND, *["key"] * program.draw])
    certain = [carry.get(k, True) for k in names] + ys
    return certain if plain and len(certain) == count else [False] * count


def coarsest(program):
    """The largest rounding of any type in which something is computed."""
    names = {line.operation.name for line in program.lines}
    eps = float(jnp.finfo(program.types.float).eps)
    eps = (
        max(eps, float(jnp.finfo(jnp.float32).eps))
        if "float32 and back" in names
        else eps
    )
    rough = names & {"bfloat16 and back", "less precise"}
    return max(eps, float(jnp.finfo(jnp.bfloat16).eps)) if rough else eps


def compare(program, got, expected, certain, moved=None):
    """The first result that differs by more than is allowed, in words."""
    if len(got) != len(expected):
        return f"{len(got)} results, not {len(expected)}"
    for i, (a, b, exact) in enumerate(zip(got, expected, certain, strict=True)):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"result {i}: {a.dtype}{a.shape}, not {b.dtype}{b.shape}"
        if a.dtype == jax.dtypes.float0:
            continue
        a, b, *others = map(wide, (a, b, *(m[i] for m in moved or [])))
        if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            continue
        beyond = "bit for bit" if exact else excess(a, b, others, coarsest(program))
        if beyond:
            return f"result {i}: {a.ravel()[:6]}, not {b.ravel()[:6]} ({beyond})"
    return None


def wide(x):
    x = np.asarray(x)
    return x if x.dtype.kind in "iub" else x.astype(np.float64)


def excess(a, b, others, eps):
    """By how much more than rounding `a` is off from `b`; None where it is not.

    Args:
        a: what there is.
        b: what is expected.
        others: what the same program gives for inputs that are off by a rounding.
        eps: the largest rounding of what is computed.
    """
    if a.dtype.kind in "iub":
        return None if any((x != b).any() for x in others) else "integers"
    finite = np.isfinite(b)
    if not all(np.array_equal(np.isfinite(x), finite) for x in others):
        return None
    alike = np.array_equal(a[~finite], b[~finite], equal_nan=True)
    if not alike or not np.isfinite(a[finite]).all():
        return "what is finite"
    far = lambda x: float(np.max(np.abs(x[finite] - b[finite]), initial=0.0))
    largest = float(np.max(np.abs(b[finite]), initial=0.0))
    # what cancels is a sum of numbers of order 1, as all inputs are
    allowed = eps * max(64 * largest, 4) + 64 * max(map(far, others), default=0.0)
    return f"off by {far(a):.3g}, allowed {allowed:.3g}" if far(a) > allowed else None


# As a command -------------------------------------------------------------------------


def main(first=0, count=100, show=False):
    started, failed = time.process_time(), []
    used, transformed = collections.Counter(), collections.Counter()
    for seed in range(first, first + count):
        one = program(seed)
        used.update(line.operation.name for line in one.lines)
        transformed[one.transformation] += 1
        try:
            found = difference(one)
        except Exception:
            found = traceback.format_exc()
        if found:
            failed.append(seed)
            print(one, f"  -> {found}\n", sep="\n", flush=True)
        elif show:
            print(one)
        if seed % 50 == 49:
            jax.clear_caches()
    seconds = time.process_time() - started
    print(
        f"{count} programs, {len(failed)} differ {failed}, {seconds / count:.2f} s each"
    )
    print(f"{len(REFUSED)} refused by both:", dict(collections.Counter(REFUSED)))
    print(f"{len(REFUTED)} wrong in jax.lax.scan, by a loop in Python:", REFUTED)
    print(f"{len(used)} of {len(OPERATIONS)} operations:", dict(used.most_common()))
    print(f"{len(transformed)} of {len(TRANSFORMATIONS)} transformations:", dict(
        transformed.most_common()))  # fmt: skip


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    main(*numbers, show="--show" in sys.argv)
