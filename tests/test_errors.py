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
from jrnn import _activation, initializers, losses, optimizers

I, H, T = 2, 4, 5
PACKAGE = Path(jrnn.__file__).parent
CORE = [
    *(PACKAGE / f"{name}.py" for name in (
        "cell", "initializers", "losses", "optimizers", "unroll", "layers",
        "combine", "_check", "_activation", "sequence", "sequence_layers",
    )),
    *sorted((PACKAGE / "cells").glob("*.py")),
    *sorted((PACKAGE / "wrappers").glob("*.py")),
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


def elman_with(activation):
    return jrnn.elman(H, activation)


def mixed(cell, dtype, inputs):
    """Parameters of one dtype, inputs of another; JAX's own rules of promotion."""
    cast = lambda p: p.astype(dtype)
    with jax.numpy_dtype_promotion("standard"):
        return jrnn.unroll(cell, jax.tree.map(cast, params(cell)), xs().astype(inputs))


lstm, gru, elman = jrnn.lstm(H), jrnn.gru(H), jrnn.elman(H)
lstm_carry = lstm.initial_carry(params(lstm))
variational = jrnn.variational_dropout(elman, 0.5)
both = jrnn.stack(gru, lstm)
conv_gru = jrnn.conv_gru((5,), 3)
two_ways, conv, mean = jrnn.bidirectional(gru, gru), jrnn.conv(H, 3), jrnn.pool("mean")

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
        "(5, 2). Pass one step of one sequence, xs[0] or batch[0, 0]: unroll runs "
        "along time, jax.vmap over a batch.",
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
        "embed: expected EmbedParams, got an array of shape (5, 2). It comes from "
        "init(key, x).",
    ),
    "lstm-carry-type": (
        lambda: step(lstm, carry=jnp.zeros(H)),
        TypeError,
        "lstm: the carry must be LSTMCarry(h, c), got an array of shape (4,). It comes "
        "from initial_carry(params) or an earlier step.",
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
        lambda: variational.step(params(elman), jnp.zeros(H), jnp.zeros(I)),
        TypeError,
        "variational_dropout: the carry must be VariationalDropoutCarry(cell, mask), "
        "got an array of shape (4,). It comes from initial_carry(params) or an "
        "earlier step.",
    ),
    "variational-stack": (
        lambda: jrnn.variational_dropout(both, 0.5).initial_carry(
            params(both), key=key()
        ),
        TypeError,
        "variational_dropout: expected a carry that is one array or has a field h, got "
        "tuple. Wrap the layers of a stack one by one.",
    ),
    "carry-traced": (
        lambda: jax.jit(lambda c: step(lstm, carry=c))(jnp.zeros(H)),
        TypeError,
        "lstm: the carry must be LSTMCarry(h, c), got an array of shape (4,).",
    ),
    # arguments in another order, of another kind
    "unroll-no-cell": (
        lambda: jrnn.unroll(params(lstm), lstm, xs()),
        TypeError,
        "unroll: expected a cell first, got LSTMParams. The order is unroll(cell, "
        "params, xs, carry).",
    ),
    "unroll-params-last": (
        lambda: jrnn.unroll(lstm, xs(), params(lstm)),
        TypeError,
        "unroll: xs must be inputs, got parameters, LSTMParams, and for the parameters "
        "an array of shape (5, 2). The order is unroll(cell, params, xs, carry).",
    ),
    "unroll-params-last-stack": (
        lambda: jrnn.unroll(both, xs(), params(both)),
        TypeError,
        "unroll: xs must be inputs, got parameters, tuple,",
    ),
    "init-list": (
        lambda: lstm.init(key(), [0.0, 0.0]),
        TypeError,
        "lstm: init needs an array for its example, got list. Pass "
        "jnp.zeros(features), or one step of the data.",
    ),
    "init-seed": (
        lambda: both.init(0, jnp.zeros(I)),
        TypeError,
        "stack: init(key, x) needs a random key first, got int. Make one with "
        "jax.random.key(0).",
    ),
    "init-swapped": (
        lambda: gru.init(jnp.zeros(I), key()),
        TypeError,
        "gru: init(key, x) needs a random key first, got an array of shape (2,).",
    ),
    "embed-seed": (
        lambda: jrnn.embed(7, 3).init(0, jnp.array(1)),
        TypeError,
        "embed: init(key, x) needs a random key first, got int.",
    ),
    "one_hot-keys": (
        lambda: jrnn.one_hot(7).init(jax.random.split(key(), 3), jnp.array(1)),
        ValueError,
        "one_hot: init(key, x) needs one random key, got 3. Use jax.vmap for more.",
    ),
    "stack-list": (
        lambda: jrnn.stack([lstm, jrnn.linear(2)]),
        TypeError,
        "stack: expected a cell, got list. Pass cells one by one: stack(*cells).",
    ),
    "parallel-factory": (
        lambda: jrnn.parallel(gru, jrnn.lstm),
        TypeError,
        "parallel: expected a cell, got function. Call it: lstm(size).",
    ),
    "masked-number": (
        lambda: jrnn.masked(3),
        TypeError,
        "masked: expected a cell, got int. Cells are made by functions such as "
        "lstm(64).",
    ),
    "cell-step": (
        lambda: jrnn.Cell(gru.init, gru.initial_carry, lambda params, carry, x: (x, x)),
        TypeError,
        "Cell: step must be a function step(params, carry, x, *, key=None), but its "
        "arguments are (params, carry, x). Add `*, key=None` to them.",
    ),
    "cell-carry": (
        lambda: jrnn.Cell(gru.init, lambda params: 0, gru.step),
        TypeError,
        "Cell: initial_carry must be a function initial_carry(params, *, key=None), "
        "but its arguments are (params). Add `*, key=None` to them.",
    ),
    "cell-init": (
        lambda: jrnn.Cell(params(gru), gru.initial_carry, gru.step),
        TypeError,
        "Cell: init must be a function init(key, x), got GRUParams.",
    ),
    "stateless": (
        lambda: jrnn.stateless(lambda key, x: (), lambda params, x: x),
        TypeError,
        "stateless: apply must be a function apply(params, x, key), but its arguments "
        "are (params, x).",
    ),
    "diagonal": (
        lambda: jrnn.diagonal(
            gru.init, gru.initial_carry, lambda params, x: (x, x), lambda p, h, x: h
        ),
        TypeError,
        "diagonal: coefficients must be a function coefficients(params, x, *, "
        "key=None), but its arguments are (params, x). Add",
    ),
    "feedback": (
        lambda: jrnn.feedback(gru, jnp.sin),
        TypeError,
        "feedback: choose must be a function choose(o, key), but its arguments are",
    ),
    # activations
    "activation-name": (
        lambda: elman_with("ReLu6 "),
        ValueError,
        "elman: no activation 'ReLu6 '. Did you mean 'relu6'? Names are those of "
        "jax.nn: celu,",
    ),
    "activation-far": (
        lambda: jrnn.activation("what"),
        ValueError,
        "activation: no activation 'what'. Names are those of jax.nn: celu,",
    ),
    "activation-kind": (
        lambda: elman_with(None),
        TypeError,
        "elman: the activation must be a function or a name, got NoneType. Pass "
        "jnp.tanh, say, or 'tanh'.",
    ),
    # dtypes
    "mixed-lstm": (
        lambda: mixed(lstm, jnp.bfloat16, jnp.float32),
        TypeError,
        "lstm: x is float32, the parameters are bfloat16 and the carry bfloat16, which "
        "the step would turn into float32. Cast the input, x.astype(jnp.bfloat16), or "
        "the parameters, jax.tree.map(lambda p: p.astype(jnp.float32), params).",
    ),
    "mixed-gru": (
        lambda: mixed(gru, jnp.float16, jnp.float32),
        TypeError,
        "gru: x is float32, the parameters are float16 and the carry float16,",
    ),
    "mixed-elman": (
        lambda: mixed(elman, jnp.float32, jnp.float64),
        TypeError,
        "elman: x is float64, the parameters are float32 and the carry float32,",
    ),
    "mixed-halves": (
        lambda: mixed(jrnn.irnn(H), jnp.bfloat16, jnp.float16),
        TypeError,
        "irnn: x is float16, the parameters are bfloat16 and the carry bfloat16, which "
        "the step would turn into float32.",
    ),
    "mixed-window": (
        lambda: mixed(jrnn.window(3), jnp.bfloat16, jnp.float32),
        TypeError,
        "window: x is float32, the parameters are bfloat16",
    ),
    "mixed-carry": (
        lambda: step(gru, carry=jnp.zeros(H, jnp.float32)),
        TypeError,
        "gru: x is float64, the parameters are float64 and the carry float32, which",
    ),
    # sizes and choices
    "gru-size": (
        lambda: jrnn.gru(0),
        ValueError,
        "gru: hidden_size must be a positive integer, got 0.",
    ),
    "gru-traced-size": (
        lambda: jax.eval_shape(
            lambda size: jrnn.gru(size), jax.ShapeDtypeStruct((), int)
        ),
        ValueError,
        "gru: hidden_size must be a positive integer, got a traced number, "
        "JitTracer(int64[]). A size is fixed when a program is traced: in a sweep name "
        "its setting in structural=[...].",
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
        lambda: jrnn.unroll(variational, params(elman), xs()),
        ValueError,
        "variational_dropout: initial_carry needs a key. Pass unroll(..., key=key), or "
        + WITHOUT,
    ),
    "reset-key": (
        lambda: jrnn.reset(variational).step(
            params(elman),
            variational.initial_carry(params(elman), key=key()),
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
        "stack: carry must be a tuple with 2 entries, got an array of shape (4,).",
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
        "masked: the input must be a pair (x, valid), got an array of shape (2,).",
    ),
    "masked-two-features": (
        lambda: step(jrnn.masked(gru), params(gru), x=jnp.zeros(2)),
        TypeError,
        "masked: the input must be a pair (x, valid), got an array of shape (2,).",
    ),
    "masked-flag": (
        lambda: step(jrnn.masked(gru), params(gru), x=(jnp.zeros(I), 0.3)),
        TypeError,
        "masked: valid must be boolean, got float64. Pass valid != 0, or a comparison.",
    ),
    "masked-unroll-flag": (
        lambda: jrnn.unroll(jrnn.masked(gru), params(gru), (xs(), jnp.full(T, 0.3))),
        TypeError,
        "masked: valid must be boolean, got float64.",
    ),
    "reset-flag": (
        lambda: step(jrnn.reset(gru), params(gru), x=(jnp.zeros(I), 1)),
        TypeError,
        "reset: start must be boolean, got int64.",
    ),
    "reset-flags": (
        lambda: step(jrnn.reset(gru), params(gru), x=(jnp.zeros(I), jnp.ones(T, bool))),
        ValueError,
        "reset: start must be one flag, a scalar, got shape (5,). Cells step one "
        "example; use jax.vmap for a batch.",
    ),
    "variational-gru": (
        lambda: jrnn.variational_dropout(gru, 0.5).initial_carry(
            params(gru), key=key()
        ),
        TypeError,
        "variational_dropout: not for a GRU, whose state also passes by the product, "
        "z * h, so that 1 / (1 - rate) would multiply at every step. Use "
        "dropout(gru(...), rate), on its output, recurrent_dropout(gru(...), rate), "
        "or an LSTM or Elman network.",
    ),
    "variational-gru-inside": (
        lambda: jrnn.unroll(
            jrnn.variational_dropout(jrnn.learned_carry(gru), 0.5),
            params(jrnn.learned_carry(gru)),
            xs(),
            key=key(),
        ),
        TypeError,
        "variational_dropout: not for a GRU",
    ),
    "reset-pair": (
        lambda: step(jrnn.reset(gru), params(gru), x=(jnp.zeros(I),)),
        TypeError,
        "reset: the input must be a pair (x, start), got 1 entries.",
    ),
    # wrappers that regularise or deepen
    "recurrent-candidate": (
        lambda: jrnn.recurrent_dropout(elman, 0.5),
        TypeError,
        "recurrent_dropout: the cell's step does not say what its candidate is. Wrap "
        "an lstm(64) or a gru(64) itself, inside of other wrappers and of a stack; a "
        "cell of yours needs a jrnn.CandidateStep.",
    ),
    "recurrent-rate": (
        lambda: jrnn.recurrent_dropout(gru, 1.0),
        ValueError,
        "recurrent_dropout: rate must be in [0, 1), got 1.0.",
    ),
    "recurrent-key": (
        lambda: step(jrnn.recurrent_dropout(gru, 0.5), params(gru)),
        ValueError,
        f"recurrent_dropout: step needs a key. Pass unroll(..., key=key), or {WITHOUT}",
    ),
    "zoneout-key": (
        lambda: step(jrnn.zoneout(gru, 0.5), params(gru)),
        ValueError,
        "zoneout: step needs a key. Pass unroll(..., key=key), or evaluate with "
        "zoneout_mean(cell, h_rate, c_rate): it has the same parameters.",
    ),
    "zoneout-rates": (
        lambda: jrnn.zoneout(lstm, 0.5, 1.5),
        ValueError,
        "zoneout: c_rate must be in [0, 1), got 1.5.",
    ),
    "zoneout-c": (
        lambda: step(jrnn.zoneout_mean(gru, 0.5, 0.5), params(gru)),
        TypeError,
        "zoneout_mean: c_rate is for the cell state c, and the carry has none: an "
        "array of shape (4,). Leave c_rate out.",
    ),
    "zoneout-output": (
        lambda: step(
            jrnn.zoneout_mean(jrnn.layer_norm(gru), 0.5), params(jrnn.layer_norm(gru))
        ),
        TypeError,
        "zoneout_mean: the cell's output must be its new state h, the very same array. "
        "Wrap the cell itself and put what changes outputs outside: "
        "layer_norm(zoneout_mean(lstm(64), h_rate)).",
    ),
    "zoneout-stack": (
        lambda: step(jrnn.zoneout_mean(both, 0.5), params(both)),
        TypeError,
        "zoneout_mean: expected a carry that is one array or has a field h, got tuple. "
        "Wrap the layers of a stack one by one.",
    ),
    "weight-dropout-carry": (
        lambda: step(jrnn.weight_dropout(gru, 0.5), params(gru), jnp.zeros(H)),
        TypeError,
        "weight_dropout: the carry must be WeightDropoutCarry(cell, mask), got an "
        "array of shape (4,).",
    ),
    "weight-dropout-key": (
        lambda: jrnn.weight_dropout(gru, 0.5).initial_carry(params(gru)),
        ValueError,
        "weight_dropout: initial_carry needs a key. Pass unroll(..., key=key), or "
        f"{WITHOUT}",
    ),
    "weight-of-a-stack": (
        lambda: jrnn.weight_norm(both).init(key(), FLOATS),
        TypeError,
        "weight_norm: tuple has no weight w_x. It has none: name them, weights=("
        '"w_x", "w_h"), and wrap the cell itself, inside of other wrappers and of a '
        "stack.",
    ),
    "weight-of-another-name": (
        lambda: step(jrnn.spectral_norm(jrnn.lem(H)), params(jrnn.lem(H))),
        TypeError,
        "spectral_norm: LEMParams has no weight w_h. It has w_x, w_y, w_z: name them, ",
    ),
    "weight-names": (
        lambda: jrnn.spectral_bound(gru, weights="w_h"),
        TypeError,
        "spectral_bound: weights must be a tuple of names, got 'w_h'. Write "
        'weights=("w_h",).',
    ),
    "weight-norm-params": (
        lambda: step(jrnn.weight_norm(gru), params(gru), jnp.zeros(H)),
        TypeError,
        "weight_norm: expected WeightNormParams, got GRUParams.",
    ),
    "spectral-value": (
        lambda: jrnn.spectral_norm(gru, 0.0),
        ValueError,
        "spectral_norm: value must be a number above 0, got 0.0.",
    ),
    "clip-limit": (
        lambda: jrnn.clip_carry(gru, -1.0),
        ValueError,
        "clip_carry: limit must be a number above 0, got -1.0.",
    ),
    "clip-field": (
        lambda: step(jrnn.clip_carry(lstm, 1.0, fields=("m",)), params(lstm)),
        TypeError,
        "clip_carry: the carry, LSTMCarry, has no field 'm'. It has h, c.",
    ),
    "clip-field-of-an-array": (
        lambda: step(jrnn.clip_carry(gru, 1.0, fields=("h",)), params(gru)),
        TypeError,
        "clip_carry: the carry, an array of shape (4,), has no field 'h'. Leave fields "
        "out.",
    ),
    "mixed-dtype": (
        lambda: jrnn.mixed_precision(gru, jnp.int8),
        TypeError,
        "mixed_precision: dtype must be a floating type, such as jnp.bfloat16, got ",
    ),
    "mixed-name": (
        lambda: jrnn.mixed_precision(gru, "half a float"),
        TypeError,
        "mixed_precision: dtype must be a floating type, such as jnp.bfloat16, got "
        "'half a float'.",
    ),
    "highway-shapes": (
        lambda: jrnn.unroll(jrnn.highway(gru), params(jrnn.highway(gru)), xs()),
        ValueError,
        "highway: input has shape (2,) and output (4,); they must match.",
    ),
    "tied-size": (
        lambda: jrnn.tied(jrnn.embed(7, 3), gru).init(key(), jnp.array(0)),
        ValueError,
        "tied: the rows of the table have shape (3,), but the cell returns shape (4,). "
        "Put linear(3) behind it: stack(lstm(64), linear(3)).",
    ),
    "tied-embedding": (
        lambda: jrnn.tied(jrnn.linear(3), gru).init(key(), FLOATS),
        TypeError,
        "tied: expected EmbedParams, got LinearParams.",
    ),
    "tied-whole": (
        lambda: jrnn.tied(jrnn.embed(7, 3), two_ways),
        TypeError,
        "tied: the model, by its bidirectional, reads the whole sequence and cannot be "
        "stepped. It would read the tokens to be guessed.",
    ),
    "skip-whole": (
        lambda: jrnn.skip(gru, two_ways),
        TypeError,
        "skip: the model, by its bidirectional, reads the whole sequence and cannot be "
        "stepped. Put skip(lstm(64), ...) of cells in each direction.",
    ),
    "skip-outputs": (
        lambda: jrnn.skip(gru, outputs="first"),
        ValueError,
        "skip: outputs must be 'all' or 'last', got 'first'.",
    ),
    "skip-token": (
        lambda: jrnn.skip(jrnn.embed(7, 3), gru).init(key(), jnp.array(0)),
        ValueError,
        "skip: x must be a vector, got a scalar. Put one_hot(V) or embed(V, D) in "
        "front: stack(embed(V, D), skip(...)).",
    ),
    "concat-entries": (
        lambda: jrnn.concat_states(gru, lstm).initial_carry((params(gru),)),
        ValueError,
        "concat_states: params must be a tuple with 2 entries, got 1 entries.",
    ),
    "concat-nothing": (
        lambda: jrnn.concat_states(),
        ValueError,
        "concat_states: needs at least one cell.",
    ),
    # cells of the literature
    "variational-mgu": (
        lambda: jrnn.unroll(
            jrnn.variational_dropout(jrnn.mgu(H), 0.5),
            params(jrnn.mgu(H)),
            xs(),
            key=key(),
        ),
        TypeError,
        "variational_dropout: not for an MGU, whose state also passes by the product, "
        "z * h, so that 1 / (1 - rate) would multiply at every step. Use "
        "dropout(mgu(...), rate), on its output, or an LSTM or Elman network.",
    ),
    "antisymmetric-epsilon": (
        lambda: jrnn.antisymmetric(H, epsilon=0.0),
        ValueError,
        "antisymmetric: epsilon must be a number above 0, got 0.0.",
    ),
    "cornn-gamma": (
        lambda: jrnn.cornn(H, gamma=-1.0),
        ValueError,
        "cornn: gamma must be at least 0, got -1.0.",
    ),
    "clockwork-periods": (
        lambda: jrnn.clockwork(H, [1, 2]),
        ValueError,
        "clockwork: periods must be a tuple of positive integers, got [1, 2].",
    ),
    "clockwork-period": (
        lambda: jrnn.clockwork(H, (1, 0)),
        ValueError,
        "clockwork: each of periods must be a positive integer, got 0.",
    ),
    "clockwork-modules": (
        lambda: jrnn.clockwork(H, (1, 2, 4)),
        ValueError,
        "clockwork: hidden_size must be divisible by the 3 modules, one for each of "
        "periods, got 4.",
    ),
    "clockwork-count": (
        lambda: jrnn.unroll(
            jrnn.clockwork(H, (1, 300)),
            params(jrnn.clockwork(H, (1, 300)), jnp.zeros(I, jnp.bfloat16)),
            xs().astype(jnp.bfloat16),
        ),
        ValueError,
        "clockwork: bfloat16 counts to 256, but periods has 300. Use float32.",
    ),
    "dale-kinds": (
        lambda: jrnn.dale(H, excitatory=0.95),
        ValueError,
        "dale: excitatory must leave units of both kinds, got 0.95 of 4 units: 4 "
        "excitatory ones.",
    ),
    "diagonal-carry": (
        lambda: step(jrnn.min_gru(H), carry=jnp.zeros(1)),
        ValueError,
        "min_gru: carry has shape (1,), expected (4,).",
    ),
    "diagonal-dtype": (
        lambda: step(jrnn.lru(H), carry=jnp.zeros(H, jnp.complex64)),
        TypeError,
        "lru: the carry is complex64, which the step would turn into complex128. Cast "
        "it, carry.astype(jnp.complex128), or the inputs and the parameters.",
    ),
    "echo_state-leak": (
        lambda: jrnn.echo_state(H, leak=1.5),
        ValueError,
        "echo_state: leak must be in (0, 1], got 1.5.",
    ),
    "leaky-dt": (
        lambda: jrnn.leaky(H, tau=10.0, dt=20.0),
        ValueError,
        "leaky: dt must be in (0, 10], got 20.0.",
    ),
    "low_rank-rank": (
        lambda: jrnn.low_rank(H, 5),
        ValueError,
        "low_rank: rank must be at most hidden_size, 4, got 5.",
    ),
    "lru-ring": (
        lambda: jrnn.lru(H, r_min=0.9, r_max=0.5),
        ValueError,
        "lru: r_min and r_max must satisfy 0 <= r_min < r_max <= 1, got 0.9 and 0.5.",
    ),
    "lru-state": (
        lambda: jrnn.lru(H, 0),
        ValueError,
        "lru: state_size must be a positive integer, got 0.",
    ),
    "orthogonal-shape": (
        lambda: jrnn.initializers.orthogonal()(jax.random.key(0), (3,)),
        ValueError,
        "orthogonal: shape must have two axes or more, got (3,).\n"
        "Give vectors, such as biases, another initialiser.",
    ),
    "orthogonal_rnn-form": (
        lambda: jrnn.orthogonal_rnn(H, "exp"),
        ValueError,
        "orthogonal_rnn: form must be 'exponential' or 'cayley', got 'exp'.",
    ),
    "ridge-axes": (
        lambda: jrnn.ridge_readout(xs(), xs(4, 2), 1.0),
        ValueError,
        "ridge_readout: hs must be (..., H) and ys (..., O) with the same axes in "
        "front, got (5, 2) and (4, 2).",
    ),
    "ridge-penalty": (
        lambda: jrnn.ridge_readout(xs(), xs(), -1.0),
        ValueError,
        "ridge_readout: penalty must be at least 0, got -1.0.",
    ),
    "s5-times": (
        lambda: jrnn.s5(H, dt_min=0.1, dt_max=0.01),
        ValueError,
        "s5: dt_max must be at least dt_min, 0.1, got 0.01.",
    ),
    "variational-leaky": (
        lambda: jrnn.unroll(
            jrnn.variational_dropout(jrnn.leaky(H), 0.5),
            params(jrnn.leaky(H)),
            xs(),
            key=key(),
        ),
        TypeError,
        "variational_dropout: not for a leaky network, whose state also passes by the "
        "product, z * h, so that 1 / (1 - rate) would multiply at every step. Use "
        "dropout(leaky(...), rate), on its output, or an LSTM or Elman network.",
    ),
    "janet-longest": (
        lambda: jrnn.janet(H, longest=2),
        ValueError,
        "janet: longest must be at least 3 steps, got 2.",
    ),
    "janet-longest-kind": (
        lambda: jrnn.janet(H, longest=2.5),
        ValueError,
        "janet: longest must be a positive integer, got 2.5.",
    ),
    "mlstm-heads": (
        lambda: jrnn.mlstm(H, 3),
        ValueError,
        "mlstm: hidden_size must be a multiple of num_heads, got 4 and 3.",
    ),
    "slstm-forget": (
        lambda: jrnn.slstm(H, "softplus"),
        ValueError,
        "slstm: forget must be 'sigmoid' or 'exp', got 'softplus'.",
    ),
    "conv_lstm-shape": (
        lambda: jrnn.conv_lstm(8, 3),
        ValueError,
        "conv_lstm: shape must be a tuple of one or two sizes, got 8. Write (16,) for "
        "a row and (8, 8) for an image.",
    ),
    "conv_gru-shape": (
        lambda: jrnn.conv_gru((2, 3, 4), 3),
        ValueError,
        "conv_gru: shape must be a tuple of one or two sizes, got (2, 3, 4).",
    ),
    "conv_gru-size": (
        lambda: jrnn.conv_gru((2, 0), 3),
        ValueError,
        "conv_gru: each size in shape must be a positive integer, got 0.",
    ),
    "conv_lstm-width": (
        lambda: jrnn.conv_lstm((8,), 3, 0),
        ValueError,
        "conv_lstm: width must be a positive integer, got 0.",
    ),
    "conv_lstm-init": (
        lambda: jrnn.conv_lstm((5, 4), 3).init(key(), xs(5, 2)),
        ValueError,
        "conv_lstm: init needs an example of one step's input, of shape (5, 4, "
        "channels), got (5, 2). Pass one step of one sequence, xs[0] or batch[0, 0].",
    ),
    "conv_lstm-init-dtype": (
        lambda: jrnn.conv_lstm((5,), 3).init(key(), jnp.zeros((5, 2), int)),
        TypeError,
        "conv_lstm: x must be floating-point, got int64.",
    ),
    "conv_gru-input": (
        lambda: conv_gru.step(params(conv_gru, xs(5, 2)), jnp.zeros((5, 3)), xs(5, 1)),
        ValueError,
        "conv_gru: x must have shape (5, 2), got (5, 1). Cells step one example; use "
        "jax.vmap for a batch.",
    ),
    "conv_gru-carry": (
        lambda: conv_gru.step(params(conv_gru, xs(5, 2)), jnp.zeros((5, 2)), xs(5, 2)),
        ValueError,
        "conv_gru: carry has shape (5, 2), expected (5, 3).",
    ),
    "cfc-entries": (
        lambda: step(jrnn.cfc(H), x=(jnp.zeros(I), 1.0, 2.0)),
        TypeError,
        "cfc: the input must be x or a pair (x, elapsed), got 3 entries.",
    ),
    "ltc-elapsed": (
        lambda: step(jrnn.ltc(H), x=(jnp.zeros(I), jnp.ones(T))),
        ValueError,
        "ltc: elapsed must be one number, a scalar, got shape (5,). Cells step one "
        "example; use jax.vmap for a batch.",
    ),
    "variational-mlstm": (
        lambda: jrnn.variational_dropout(jrnn.mlstm(H), 0.5).initial_carry(
            params(jrnn.mlstm(H)), key=key()
        ),
        TypeError,
        "variational_dropout: expected a carry that is one array or has a field h, got "
        "MLSTMCarry.",
    ),
    "projected_lstm-size": (
        lambda: jrnn.projected_lstm(H, 0),
        ValueError,
        "projected_lstm: proj_size must be a positive integer, got 0.",
    ),
    "projected_lstm-carry": (
        lambda: step(
            jrnn.projected_lstm(H, 3), carry=jrnn.LSTMCarry(jnp.zeros(H), jnp.zeros(H))
        ),
        ValueError,
        "projected_lstm: carry has shape (4,), expected (3,).",
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
    "cross_entropy-float": (
        lambda: losses.cross_entropy(xs(5, 3), jnp.zeros(5, int), jnp.full(5, 0.3)),
        TypeError,
        "cross_entropy: valid must be boolean, got float64. Pass valid != 0, or a "
        "comparison.",
    ),
    # models of whole sequences; who refuses them is in test_sequence.py
    "bidirectional-old-form": (
        lambda: jrnn.bidirectional(gru, gru, (params(gru),) * 2, xs(), 3),
        TypeError,
        "bidirectional: takes two cells and returns a model. In place of "
        "bidirectional(forward, backward, params, xs, length) write model = "
        "bidirectional(forward, backward) and unroll(model, params, xs), or "
        "unroll(masked(model), params, (xs, length_mask(length, len(xs)))).",
    ),
    "bidirectional-old-keywords": (
        lambda: jrnn.bidirectional(gru, gru, params=(), xs=xs()),
        TypeError,
        "bidirectional: takes two cells and returns a model.",
    ),
    "bidirectional-factory": (
        lambda: jrnn.bidirectional(jrnn.lstm, gru),
        TypeError,
        "bidirectional: expected a cell, got function. Call it: lstm(size).",
    ),
    "bidirectional-one-pools": (
        lambda: jrnn.bidirectional(gru, jrnn.stack(gru, mean)),
        ValueError,
        "bidirectional: part 1, counted from 0, pools over time and part 0 does not. "
        "Pool in all of them, or behind them.",
    ),
    "bidirectional-forms": (
        lambda: jrnn.unroll(
            jrnn.bidirectional(gru, jrnn.record(gru)), (params(gru),) * 2, xs()
        ),
        ValueError,
        "bidirectional: the outputs of both directions must have one form to be "
        "joined, got PyTreeDef(*) and PyTreeDef(CustomNode(namedtuple[Recorded]",
    ),
    "bidirectional-params": (
        lambda: jrnn.unroll(two_ways, (params(gru),), xs()),
        ValueError,
        "bidirectional: params must be a tuple with 2 entries, got 1 entries.",
    ),
    "bidirectional-carry": (
        lambda: jrnn.unroll(two_ways, (params(gru),) * 2, xs(), jnp.zeros(H)),
        ValueError,
        "bidirectional: carry must be a tuple with 2 entries, got an array of shape "
        "(4,).",
    ),
    "parallel-one-pools": (
        lambda: jrnn.parallel(mean, two_ways, gru),
        ValueError,
        "parallel: part 0, counted from 0, pools over time and part 1 does not.",
    ),
    "stack-behind-pool": (
        lambda: jrnn.stack(gru, mean, gru, two_ways),
        ValueError,
        "stack: part 3, counted from 0, reads a sequence, but a part before it pools "
        "over time and leaves one output. Exchange them.",
    ),
    "residual-pool": (
        lambda: jrnn.unroll(jrnn.residual(mean), (), xs()),
        ValueError,
        "residual: input has shape (5, 2) and output (2,); they must match.",
    ),
    "sequence-step": (
        lambda: conv.step(params(conv), (), jnp.zeros(I)),
        TypeError,
        "step: the model, by its conv, reads the whole sequence and cannot be stepped. "
        "Run it by unroll(model, params, xs); where steps are needed, use cells alone.",
    ),
    "sequence-wrapper": (
        lambda: jrnn.reset(jrnn.stack(gru, conv)),
        TypeError,
        "reset: the model, by its conv, reads the whole sequence and cannot be "
        "stepped. Cut the sequence at its starts, and run the pieces as a batch: pad "
        "them, and say by masked(model) which steps are valid.",
    ),
    "sequence-order": (
        lambda: jrnn.unroll(params(conv), conv, xs()),
        TypeError,
        "unroll: expected a cell first, got ConvParams.",
    ),
    "sequence-run": (
        lambda: jrnn.SequenceModel(
            conv.init, conv.initial_carry, lambda params, xs: xs
        ),
        TypeError,
        "SequenceModel: run must be a function run(params, xs, carry, valid, *, "
        "key=None, remat=None), but its arguments are (params, xs).",
    ),
    "masked-shape": (
        lambda: jrnn.unroll(
            jrnn.masked(conv), params(conv), (xs(), jnp.ones((T, 1), bool))
        ),
        ValueError,
        "masked: valid must have shape (5,), one flag for each step, got (5, 1). Use "
        "jax.vmap for a batch.",
    ),
    "masked-floats": (
        lambda: jrnn.unroll(jrnn.masked(conv), params(conv), (xs(), jnp.ones(T))),
        TypeError,
        "masked: valid must be boolean, got float64.",
    ),
    "conv-features": (
        lambda: jrnn.unroll(conv, params(conv), xs(T, 3)),
        ValueError,
        "conv: xs have 3 features, but params were initialised for 2.",
    ),
    "conv-batch": (
        lambda: jrnn.unroll(conv, params(conv), xs(3, T, I)),
        ValueError,
        "conv: xs must have shape (T, 2), got (3, 5, 2). It reads one sequence; use "
        "jax.vmap for a batch.",
    ),
    "conv-padding": (
        lambda: jrnn.conv(H, 3, padding="valid"),
        ValueError,
        "conv: padding must be 'same' or 'causal', got 'valid'.",
    ),
    "conv-dilation": (
        lambda: jrnn.conv(H, 3, dilation=0),
        ValueError,
        "conv: dilation must be a positive integer, got 0.",
    ),
    "conv-params": (
        lambda: jrnn.unroll(conv, params(gru), xs()),
        TypeError,
        "conv: expected ConvParams, got GRUParams. It comes from init(key, x).",
    ),
    "pool-how": (
        lambda: jrnn.pool("sum"),
        ValueError,
        "pool: how must be 'mean', 'max' or 'last', got 'sum'.",
    ),
    "pool-tokens": (
        lambda: jrnn.unroll(mean, (), jnp.zeros(T, int)),
        TypeError,
        "pool: xs must be floating-point, got int64. Put one_hot(V) or embed(V, D) in "
        "front.",
    ),
    "dropout-whole": (
        lambda: jrnn.unroll(jrnn.dropout(conv, 0.5), params(conv), xs()),
        ValueError,
        "dropout: run needs a key. Pass unroll(..., key=key), or " + WITHOUT,
    ),
    # optimisers; more of them in test_optimizers.py
    "sgd-norm": (
        lambda: optimizers.sgd(0.1, -1.0),
        ValueError,
        "sgd: max_norm must be at least 0, got -1.0.",
    ),
    "rprop-complex": (
        lambda: optimizers.rprop().init(jnp.array([1j])),
        TypeError,
        "rprop: needs real numbers, got complex128. Wrap it in "
        "optax.contrib.split_real_and_imaginary.",
    ),
    "mean_squared_error-targets": (
        lambda: losses.mean_squared_error(xs(5, 3), xs(3, 5)),
        ValueError,
        "mean_squared_error: targets must have the shape of predictions, (5, 3), got "
        "(3, 5).",
    ),
    "binary_cross_entropy-valid": (
        lambda: losses.binary_cross_entropy(xs(5, 3), xs(5, 3), jnp.ones(3, bool)),
        ValueError,
        "binary_cross_entropy: valid must have the first axes of (5, 3), got (3,).",
    ),
    "binary_cross_entropy-float": (
        lambda: losses.binary_cross_entropy(xs(5, 3), xs(5, 3), jnp.ones(5)),
        TypeError,
        "binary_cross_entropy: valid must be boolean, got float64.",
    ),
    "accuracy-labels": (
        lambda: losses.accuracy(xs(5, 3), jnp.zeros(3, int)),
        ValueError,
        "accuracy: labels must have the shape of logits without its last axis, (5,), "
        "got (3,).",
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


NAMES = ["relu", "tanh", "gelu", "identity", "soft_sign", "swish"]


@pytest.mark.parametrize("name", NAMES)
def test_activations_by_name(name):
    x = jnp.linspace(-2.0, 2.0, I)
    expected = getattr(jax.nn, name)(x)
    assert (jrnn.activation(name).step((), (), x)[1] == expected).all()
    cell = jrnn.elman(I, name)
    p = params(cell)._replace(b=x)
    assert (step(cell, p)[0] == expected).all()


@pytest.mark.slow
def test_every_name_of_an_activation_is_elementwise():
    x = jnp.linspace(-3.0, 3.0, 7)
    for name in _activation.NAMES:
        f = getattr(jax.nn, name)
        assert jnp.allclose(f(x), jnp.stack([f(x[n]) for n in range(7)])), name


@pytest.mark.slow
def test_dtypes_that_go_together_pass():
    """Half-precision weights under a float32 carry, integers, what JAX calls weak."""
    for cell in (lstm, gru, elman):
        half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params(cell))
        carry = cell.initial_carry(params(cell))
        carry = jax.tree.map(lambda c: c.astype(jnp.float32), carry)
        with jax.numpy_dtype_promotion("standard"):
            _, ys = jrnn.unroll(cell, half, xs().astype(jnp.bfloat16), carry)
            assert ys.dtype == jnp.float32
            _, ys = jrnn.unroll(cell, half, xs().astype(int))
            assert ys.dtype == jnp.bfloat16


# Of the cells of the literature, by name: what all cells on vectors refuse alike
MADE = {
    "antisymmetric": jrnn.antisymmetric(H),
    "clockwork": jrnn.clockwork(H),
    "cornn": jrnn.cornn(H),
    "cfc": jrnn.cfc(H),
    "coupled_lstm": jrnn.coupled_lstm(H),
    "dale": jrnn.dale(H),
    "echo_state": jrnn.echo_state(H),
    "indrnn": jrnn.indrnn(H),
    "janet": jrnn.janet(H),
    "layer_norm_gru": jrnn.layer_norm_gru(H),
    "layer_norm_lstm": jrnn.layer_norm_lstm(H),
    "leaky": jrnn.leaky(H),
    "lem": jrnn.lem(H),
    "low_rank": jrnn.low_rank(H),
    "lru": jrnn.lru(H),
    "mgu": jrnn.mgu(H),
    "min_gru": jrnn.min_gru(H),
    "min_lstm": jrnn.min_lstm(H),
    "orthogonal_rnn": jrnn.orthogonal_rnn(H),
    "peephole_lstm": jrnn.peephole_lstm(H),
    "projected_lstm": jrnn.projected_lstm(H, H),
    "qrnn": jrnn.qrnn(H),
    "s5": jrnn.s5(H),
    "sru": jrnn.sru(H),
    "ltc": jrnn.ltc(H),
    "mlstm": jrnn.mlstm(H),
    "slstm": jrnn.slstm(H),
    "ugrnn": jrnn.ugrnn(H),
}


@pytest.mark.parametrize("name", MADE)
def test_what_every_cell_refuses(name):
    cell = MADE[name]
    p = params(cell)
    own, start = type(p).__name__, cell.initial_carry(p)
    leaf = jax.tree.leaves(start)[0]
    wrong = jax.tree.map(lambda a: jnp.zeros((7, *a.shape)), start)
    half = {"float64": jnp.float32, "complex128": jnp.complex64}
    narrow = jax.tree.map(lambda a: a.astype(half[str(a.dtype)]), start)
    widened = "x is float64, the parameters are float64 and the carry float32, which"
    if isinstance(cell.step, jrnn.DiagonalStep):
        widened = f"the carry is {jax.tree.leaves(narrow)[0].dtype}, which the step"
    factory = getattr(jrnn, name)
    rest = [H] if name == "projected_lstm" else []
    for call, kind, message in [
        (lambda: factory(0, *rest), ValueError, "hidden_size must be a positive"),
        (lambda: cell.init(key(), xs()), ValueError, "init needs an example of one"),
        (lambda: step(cell, x=jnp.zeros(3)), ValueError, "x has 3 features, but"),
        (lambda: step(cell, x=xs()), ValueError, "x must have shape (2,), got (5, 2)"),
        (lambda: step(cell, (), start), TypeError, f"expected {own}, got tuple."),
        (lambda: cell.initial_carry(()), TypeError, f"expected {own}, got tuple."),
        (
            lambda: step(cell, carry=wrong),
            ValueError,
            f"carry has shape {(7, *leaf.shape)}, expected {leaf.shape}.",
        ),
        (lambda: step(cell, carry=narrow), TypeError, widened),
    ]:
        with pytest.raises(kind, match="^" + re.escape(f"{name}: {message}")):
            call()
    if hasattr(start, "_fields"):
        fields = f"{type(start).__name__}({', '.join(start._fields)})"
        with pytest.raises(
            TypeError, match=re.escape(f"{name}: the carry must be {fields}")
        ):
            step(cell, carry=jnp.zeros(H))


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
