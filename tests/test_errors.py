"""Every error of the core, matched by its text.

`ERRORS` maps an id to a call and the text it must raise. The last test reads every
`raise` of the core's files with `ast` and fails where no row has provoked it.
"""

import ast
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jrnn
from jrnn import initializers, losses

I, H, T = 2, 4, 5
PACKAGE = Path(jrnn.__file__).parent
CORE = [
    *(PACKAGE / f"{name}.py" for name in (
        "cell", "initializers", "losses", "optimizers", "unroll", "layers",
        "combine", "wrappers", "_check",
    )),
    *sorted((PACKAGE / "cells").glob("*.py")),
]  # fmt: skip

FLOATS = jax.ShapeDtypeStruct((I,), jnp.float64)
WITHOUT = "evaluate with the cell without dropout: it has the same parameters"


def key():
    return jax.random.key(0)


def params(cell, x=FLOATS):
    """Parameters of the right form, zeros."""
    spec = jax.eval_shape(lambda: cell.init(key(), x))
    return jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), spec)


def step(cell, p=None, carry=None, x=None):
    p = params(cell) if p is None else p
    carry = cell.initial_carry(p) if carry is None else carry
    return cell.step(p, carry, jnp.zeros(I) if x is None else x)


def xs(*shape):
    return jnp.zeros(shape or (T, I))


lstm, gru, elman = jrnn.lstm(H), jrnn.gru(H), jrnn.elman(H)
lstm_carry = lstm.initial_carry(params(lstm))
variational = jrnn.variational_dropout(gru, 0.5)
both = jrnn.stack(gru, lstm)

ERRORS = {
    # inputs of another size, batched, or tokens
    "gru-features": (
        lambda: step(gru, x=jnp.zeros(3)),
        ValueError,
        "gru: x has 3 features, but params were initialised for 2.",
    ),
    "gru-batch": (
        lambda: step(gru, x=xs(5, 2)),
        ValueError,
        "gru: x must have shape (2,), got (5, 2). Cells step one example; use jax.vmap"
        " for a batch.",
    ),
    "lstm-token": (
        lambda: step(lstm, x=jnp.array(1)),
        ValueError,
        "lstm: x must have shape (2,), got a scalar. Put one_hot(V) or embed(V, D) in "
        "front of a cell that reads tokens.",
    ),
    "linear-features": (
        lambda: step(jrnn.linear(3), x=jnp.zeros(4)),
        ValueError,
        "linear: x has 4 features, but params were initialised for 2.",
    ),
    "init-batch": (
        lambda: elman.init(key(), xs(5, 2)),
        ValueError,
        "elman: init needs an example of one step's input, of shape (features,), got "
        "(5, 2).",
    ),
    "init-token": (
        lambda: jrnn.linear(3).init(key(), jnp.array([1])),
        TypeError,
        "linear: init needs a floating-point example, got int64. Put one_hot(V) or "
        "embed(V, D) in front of a cell that reads tokens.",
    ),
    "embed-float": (
        lambda: jrnn.embed(7, 3).init(key(), jnp.array(1.0)),
        TypeError,
        "embed: x must be an integer token, got float64.",
    ),
    "one_hot-batch": (
        lambda: jrnn.one_hot(7).step((), (), jnp.array([1, 2])),
        ValueError,
        "one_hot: x must be one token, a scalar, got shape (2,). Cells step one "
        "example; use jax.vmap for a batch.",
    ),
    # parameters and carries of another cell
    "lstm-params": (
        lambda: step(lstm, params(gru), lstm_carry),
        TypeError,
        "lstm: expected LSTMParams, got GRUParams.",
    ),
    "elman-unroll-params": (
        lambda: jrnn.unroll(elman, params(gru), xs()),
        TypeError,
        "elman: expected ElmanParams, got GRUParams.",
    ),
    "lstm-unroll-params": (
        lambda: jrnn.unroll(lstm, params(both), xs()),
        TypeError,
        "lstm: expected LSTMParams, got tuple.",
    ),
    "gru-unroll-params": (
        lambda: jrnn.unroll(gru, {"w": xs()}, xs()),
        TypeError,
        "gru: expected GRUParams, got dict.",
    ),
    "layer_norm-unroll-params": (
        lambda: jrnn.unroll(jrnn.layer_norm(gru), params(gru), xs()),
        TypeError,
        "layer_norm: expected LayerNormParams, got GRUParams.",
    ),
    "layer_norm-params": (
        lambda: step(jrnn.layer_norm(gru), params(gru), jnp.zeros(H)),
        TypeError,
        "layer_norm: expected LayerNormParams, got GRUParams.",
    ),
    "learned_carry-params": (
        lambda: jrnn.unroll(jrnn.learned_carry(gru), params(gru), xs()),
        TypeError,
        "learned_carry: expected LearnedCarryParams, got GRUParams.",
    ),
    "embed-params": (
        lambda: jrnn.embed(7, 3).step(xs(), (), jnp.array(1)),
        TypeError,
        "embed: expected EmbedParams, got ArrayImpl.",
    ),
    "lstm-carry-type": (
        lambda: step(lstm, carry=jnp.zeros(H)),
        TypeError,
        "lstm: expected LSTMCarry, got ArrayImpl.",
    ),
    "gru-carry": (
        lambda: step(gru, carry=jnp.zeros(5)),
        ValueError,
        "gru: carry has shape (5,), expected (4,).",
    ),
    "elman-carry": (
        lambda: step(elman, carry=jnp.zeros((3, 4))),
        ValueError,
        "elman: carry has shape (3, 4), expected (4,).",
    ),
    "lstm-carry-h": (
        lambda: step(lstm, carry=jrnn.LSTMCarry(jnp.zeros(5), jnp.zeros(4))),
        ValueError,
        "lstm: carry has shape (5,), expected (4,).",
    ),
    "lstm-carry-c": (
        lambda: step(lstm, carry=jrnn.LSTMCarry(jnp.zeros(4), jnp.zeros(1))),
        ValueError,
        "lstm: carry has shape (1,), expected (4,).",
    ),
    "variational-carry": (
        lambda: variational.step(params(gru), jnp.zeros(H), jnp.zeros(I)),
        TypeError,
        "variational_dropout: expected VariationalDropoutCarry, got ArrayImpl.",
    ),
    "variational-stack": (
        lambda: jrnn.variational_dropout(both, 0.5).initial_carry(
            params(both), key=key()
        ),
        TypeError,
        "variational_dropout: expected a carry that is one array or has a field h, got "
        "tuple. Wrap the layers of a stack one by one.",
    ),
    # sizes and choices
    "gru-size": (
        lambda: jrnn.gru(0),
        ValueError,
        "gru: hidden_size must be a positive integer, got 0.",
    ),
    "lstm-size": (
        lambda: jrnn.lstm(2.0),
        ValueError,
        "lstm: hidden_size must be a positive integer, got 2.0.",
    ),
    "elman-size": (
        lambda: jrnn.elman(True),
        ValueError,
        "elman: hidden_size must be a positive integer, got True.",
    ),
    "irnn-size": (
        lambda: jrnn.irnn(-1),
        ValueError,
        "irnn: hidden_size must be a positive integer, got -1.",
    ),
    "linear-size": (
        lambda: jrnn.linear(0),
        ValueError,
        "linear: output_size must be a positive integer, got 0.",
    ),
    "embed-vocab": (
        lambda: jrnn.embed("7", 3),
        ValueError,
        "embed: vocab_size must be a positive integer, got '7'.",
    ),
    "embed-size": (
        lambda: jrnn.embed(7, 0),
        ValueError,
        "embed: size must be a positive integer, got 0.",
    ),
    "one_hot-size": (
        lambda: jrnn.one_hot(-2),
        ValueError,
        "one_hot: vocab_size must be a positive integer, got -2.",
    ),
    "gru-reset": (
        lambda: jrnn.gru(H, "middle"),
        ValueError,
        "gru: reset must be 'after' or 'before', got 'middle'.",
    ),
    "dropout-rate": (
        lambda: jrnn.dropout(gru, 1.0),
        ValueError,
        "dropout: rate must be in [0, 1), got 1.0.",
    ),
    "variational-rate": (
        lambda: jrnn.variational_dropout(gru, float("nan")),
        ValueError,
        "variational_dropout: rate must be in [0, 1), got nan.",
    ),
    # keys
    "dropout-key": (
        lambda: jrnn.unroll(jrnn.dropout(gru, 0.5), params(gru), xs()),
        ValueError,
        "dropout: step needs a key. Pass unroll(..., key=key), or " + WITHOUT,
    ),
    "variational-key": (
        lambda: jrnn.unroll(variational, params(gru), xs()),
        ValueError,
        "variational_dropout: initial_carry needs a key. Pass unroll(..., key=key), or "
        + WITHOUT,
    ),
    "reset-key": (
        lambda: jrnn.reset(variational).step(
            params(gru),
            variational.initial_carry(params(gru), key=key()),
            (xs(I), True),
        ),
        ValueError,
        "variational_dropout: initial_carry needs a key.",
    ),
    # combinators and wrappers
    "residual": (
        lambda: step(jrnn.residual(gru)),
        ValueError,
        "residual: input has shape (2,) and output (4,); they must match.",
    ),
    "stack-empty": (jrnn.stack, ValueError, "stack: needs at least one cell."),
    "parallel-empty": (jrnn.parallel, ValueError, "parallel: needs at least one cell."),
    "stack-params": (
        lambda: jrnn.unroll(both, params(both)[:1], xs()),
        ValueError,
        "stack: params must be a tuple with 2 entries, got 1 entries.",
    ),
    "stack-params-list": (
        lambda: jrnn.unroll(both, list(params(both)), xs()),
        ValueError,
        "stack: params must be a tuple with 2 entries, got list.",
    ),
    "stack-carry": (
        lambda: step(both, carry=jnp.zeros(H)),
        ValueError,
        "stack: carry must be a tuple with 2 entries, got ArrayImpl.",
    ),
    "parallel-params": (
        lambda: jrnn.unroll(jrnn.parallel(gru), params(both), xs()),
        ValueError,
        "parallel: params must be a tuple with 1 entries, got 2 entries.",
    ),
    # time
    "unroll-lengths": (
        lambda: jrnn.unroll(
            jrnn.masked(gru), params(gru), (xs(6, 2), jnp.ones(7, bool))
        ),
        ValueError,
        "unroll: xs must share one leading time axis, got lengths [6, 7].",
    ),
    "unroll-scalar": (
        lambda: jrnn.unroll(gru, params(gru), jnp.array(1.0)),
        ValueError,
        "unroll: every leaf of xs needs a leading time axis, got [()].",
    ),
    "unroll-numbers": (
        lambda: jrnn.unroll(gru, params(gru), [1.0, 2.0]),
        ValueError,
        "unroll: every leaf of xs needs a leading time axis, got [(), ()].",
    ),
    "unroll-nothing": (
        lambda: jrnn.unroll(gru, params(gru), ()),
        ValueError,
        "unroll: every leaf of xs needs a leading time axis, got [].",
    ),
    # pairs
    "masked-pair": (
        lambda: jrnn.masked(gru).init(key(), FLOATS),
        TypeError,
        "masked: the input must be a pair (x, valid), got ShapeDtypeStruct.",
    ),
    "masked-two-features": (
        lambda: step(jrnn.masked(gru), params(gru), x=jnp.zeros(2)),
        TypeError,
        "masked: the input must be a pair (x, valid), got ArrayImpl.",
    ),
    "reset-pair": (
        lambda: step(jrnn.reset(gru), params(gru), x=(jnp.zeros(I),)),
        TypeError,
        "reset: the input must be a pair (x, start), got 1 entries.",
    ),
    # initialisers and losses
    "identity": (
        lambda: initializers.identity()(key(), (3, 4)),
        ValueError,
        "identity: needs a square matrix, got shape (3, 4).",
    ),
    "spectral_radius": (
        lambda: initializers.spectral_radius(0.9)(key(), (4,)),
        ValueError,
        "spectral_radius: needs a square matrix, got shape (4,).",
    ),
    "gatewise": (
        lambda: initializers.gatewise(initializers.orthogonal(), 4)(key(), (3, 13)),
        ValueError,
        "gatewise: the last axis must be divisible by 4 gates, got shape (3, 13).",
    ),
    "cross_entropy-labels": (
        lambda: losses.cross_entropy(xs(5, 3), jnp.zeros((5, 1), int)),
        ValueError,
        "cross_entropy: labels must have the shape of logits without its last axis, "
        "(5,), got (5, 1).",
    ),
    "cross_entropy-valid": (
        lambda: losses.cross_entropy(xs(5, 3), jnp.zeros(5, int), jnp.ones(3, bool)),
        ValueError,
        "cross_entropy: valid must have the shape of logits without its last axis, "
        "(5,), got (3,).",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_message(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=re.escape(text)):
        call()


def raises(path):
    """First and last lines of the `raise` statements of a file."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return [(node.lineno, node.end_lineno) for node in nodes]


def test_every_raise_of_the_core_has_a_row():
    provoked = set()
    for call, kind, _ in ERRORS.values():
        with pytest.raises(kind) as caught:
            call()
        last = caught.traceback[-1]
        for entry in caught.traceback:  # frames behind the raise may be JAX's own
            if Path(entry.path) in CORE:
                last = entry
        provoked.add((Path(last.path).name, last.lineno + 1))
    missing = [
        f"{path.name}:{first}"
        for path in CORE
        for first, last in raises(path)
        if not any(name == path.name and first <= at <= last for name, at in provoked)
    ]
    assert not missing
    assert sum(len(raises(path)) for path in CORE) >= 15


def test_the_core_asserts_nothing_to_its_users():
    for path in CORE:
        tree = ast.parse(path.read_text())
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), path
