"""Cells of the literature against the NumPy loops of `forward_oracles.py`.

A batch of two through `jax.vmap`, values and gradients by weights, inputs and carry.
"""

from collections.abc import Callable
from typing import NamedTuple

import forward_oracles as numpy_cells
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from forward_oracles import gradients, over_time

import jrnn

T, B, I, H, P = 5, 2, 2, 3, 4


class Oracle(NamedTuple):
    """A cell, what it is compared with, and the shapes of all that goes in."""

    cell: jrnn.Cell
    params: type
    shapes: dict[str, tuple[int, ...]]  # of the parameters
    carry: dict[str, tuple[int, ...]]  # of its fields
    step: Callable  # in NumPy
    carry_type: type | None = None  # None for a single array
    inputs: tuple[tuple[int, ...], ...] = ((I,),)  # of one step


def gated(count, **more):
    """The shapes of a cell whose gates lie side by side, and of what else it has."""
    return {"w_x": (I, count * H), "w_h": (H, count * H), "b": (count * H,), **more}


ONE, TWO = {"h": (H,)}, {"h": (H,), "c": (H,)}
LSTM = jrnn.LSTMCarry

FGK = {"w_fgk": (P, 3 * H), "b_fgk": (3 * H,)}
CFC = {"w_x": (I, P), "w_h": (H, P), "b": (P,), **FGK}
LTC = {"w_x": (I, H), "w_h": (H, H), **dict.fromkeys(("b", "a", "log_tau"), (H,))}
HEADS, D = 2, 2


def of_mlstm(forget, by_steps=False):
    cell = jrnn.mlstm(HEADS * D, HEADS, forget)
    return Oracle(
        cell._replace(step=cell.step.step) if by_steps else cell,
        jrnn.MLSTMParams,
        {
            **{"w_qkv": (I, 3 * HEADS * D), "b_qkv": (3 * HEADS * D,)},
            **{"w_if": (I, 2 * HEADS), "b_if": (2 * HEADS,)},
            **{"w_o": (I, HEADS * D), "b_o": (HEADS * D,)},
        },
        {"C": (HEADS, D, D), "n": (HEADS, D), "m": (HEADS,)},
        numpy_cells.mlstm(HEADS, forget),
        jrnn.MLSTMCarry,
    )


def of_slstm(forget):
    return Oracle(
        jrnn.slstm(H, forget),
        jrnn.SLSTMParams,
        gated(4),
        dict.fromkeys("hcnm", (H,)),
        numpy_cells.slstm(forget),
        jrnn.SLSTMCarry,
    )


def convolved(make, params, count, fields, step, carry_type, *shape, width=3):
    """A cell on images, I channels to two."""
    C, kernel = 2, (width,) * len(shape)
    return Oracle(
        make(shape, C, width),
        params,
        {
            **{"w_x": (*kernel, I, count * C), "w_h": (*kernel, C, count * C)},
            "b": (count * C,),
        },
        dict.fromkeys(fields, (*shape, C)),
        step,
        carry_type,
        ((*shape, I),),
    )


def of_conv_lstm(*shape, **options):
    return convolved(
        *(jrnn.conv_lstm, jrnn.ConvLSTMParams, 4, "hc", numpy_cells.conv_lstm, LSTM),
        *shape,
        **options,
    )


def of_conv_gru(*shape, **options):
    return convolved(
        *(jrnn.conv_gru, jrnn.ConvGRUParams, 3, "h", numpy_cells.conv_gru, None),
        *shape,
        **options,
    )


CELLS = {
    "cfc": Oracle(jrnn.cfc(H, P), jrnn.CfCParams, CFC, ONE, numpy_cells.cfc),
    "cfc-times": Oracle(
        jrnn.cfc(H, P), jrnn.CfCParams, CFC, ONE, numpy_cells.cfc, inputs=((I,), ())
    ),
    "conv_gru": of_conv_gru(4),
    "conv_gru-2d": of_conv_gru(3, 2),
    "conv_lstm": of_conv_lstm(4, width=2),
    "conv_lstm-2d": of_conv_lstm(2, 3),
    "coupled_lstm": Oracle(
        jrnn.coupled_lstm(H),
        jrnn.CoupledLSTMParams,
        gated(3),
        TWO,
        numpy_cells.coupled_lstm,
        LSTM,
    ),
    "janet": Oracle(
        jrnn.janet(H), jrnn.JANETParams, gated(2), ONE, numpy_cells.janet(1.0)
    ),
    "janet-beta": Oracle(
        jrnn.janet(H, beta=-0.5),
        jrnn.JANETParams,
        gated(2),
        ONE,
        numpy_cells.janet(-0.5),
    ),
    "layer_norm_gru": Oracle(
        jrnn.layer_norm_gru(H),
        jrnn.LayerNormGRUParams,
        {
            **{"w_x": (I, 3 * H), "w_h": (H, 3 * H), "scale_x": (3 * H,)},
            **dict.fromkeys(("scale_h", "b_x", "b_h"), (3 * H,)),
        },
        ONE,
        numpy_cells.layer_norm_gru,
    ),
    "layer_norm_lstm": Oracle(
        jrnn.layer_norm_lstm(H),
        jrnn.LayerNormLSTMParams,
        gated(
            4,
            **dict.fromkeys(("scale_x", "scale_h"), (4 * H,)),
            **dict.fromkeys(("scale_c", "offset_c"), (H,)),
        ),
        TWO,
        numpy_cells.layer_norm_lstm,
        LSTM,
    ),
    "ltc": Oracle(jrnn.ltc(H, 2), jrnn.LTCParams, LTC, ONE, numpy_cells.ltc(2)),
    "ltc-times": Oracle(
        *(jrnn.ltc(H), jrnn.LTCParams, LTC, ONE, numpy_cells.ltc(6)),
        inputs=((I,), ()),
    ),
    "lstm": Oracle(
        jrnn.lstm(H), jrnn.LSTMParams, gated(4), TWO, numpy_cells.lstm, LSTM
    ),
    "mlstm": of_mlstm("sigmoid"),
    "mlstm-exp": of_mlstm("exp"),
    "mlstm-steps": of_mlstm("sigmoid", by_steps=True),
    "mgu": Oracle(jrnn.mgu(H), jrnn.MGUParams, gated(2), ONE, numpy_cells.mgu),
    "peephole_lstm": Oracle(
        jrnn.peephole_lstm(H),
        jrnn.PeepholeLSTMParams,
        gated(4, w_c=(3 * H,)),
        TWO,
        numpy_cells.peephole_lstm,
        LSTM,
    ),
    "projected_lstm": Oracle(
        jrnn.projected_lstm(H, P),
        jrnn.ProjectedLSTMParams,
        {**gated(4), "w_h": (P, 4 * H), "w_r": (H, P)},
        {"h": (P,), "c": (H,)},
        numpy_cells.projected_lstm,
        LSTM,
    ),
    "slstm": of_slstm("sigmoid"),
    "slstm-exp": of_slstm("exp"),
    "ugrnn": Oracle(jrnn.ugrnn(H), jrnn.UGRNNParams, gated(2), ONE, numpy_cells.ugrnn),
}


def drawn(shapes, rng, *axes):
    return [0.7 * rng.normal(size=(*axes, *shape)) for shape in shapes]


def arguments(oracle, rng):
    """Parameters, inputs (B, T, ...) and carries (B, ...), each a list of arrays."""
    params = drawn(oracle.shapes.values(), rng)
    xs = drawn(oracle.inputs, rng, B, T)
    if len(xs) > 1:  # times from step to step
        xs[1] = np.abs(xs[1])
    carry = dict(zip(oracle.carry, drawn(oracle.carry.values(), rng, B), strict=True))
    if "n" in carry:  # a normaliser
        carry["n"] = np.abs(carry["n"])
    return params, xs, list(carry.values())


def numpy_outputs(oracle, params, xs, carry):
    """Outputs and last carry of a batch, one sequence after the other."""
    run, p = over_time(oracle.step), dict(zip(oracle.shapes, params, strict=True))
    rows = []
    for b in range(B):
        x, *times = (a[b] for a in xs)
        ys, last = run(p, (x, *times) if times else x, tuple(c[b] for c in carry))
        rows.append((ys, *last))
    return [np.stack(arrays) for arrays in zip(*rows, strict=True)]


def jax_outputs(oracle, params, xs, carry):
    def one(params, xs, carry):
        params = oracle.params(**dict(zip(oracle.shapes, params, strict=True)))
        xs = tuple(xs) if len(xs) > 1 else xs[0]
        carry = oracle.carry_type(*carry) if oracle.carry_type else carry[0]
        last, ys = jrnn.unroll(oracle.cell, params, xs, carry)
        return [ys, *jax.tree.leaves(last)]

    return jax.vmap(one, (None, 0, 0))(params, xs, carry)


SLOW = "conv_gru", "conv_gru-2d", "conv_lstm-2d", "ltc-times", "mlstm-exp"
MARKED = [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in CELLS]


@pytest.mark.parametrize("name", MARKED)
def test_a_batch_and_all_gradients_equal_the_oracle(name):
    oracle, rng = CELLS[name], np.random.default_rng(0)
    given = arguments(oracle, rng)
    leaves, form = jax.tree.flatten(given)
    outputs = numpy_outputs(oracle, *given)
    weigh = drawn([a.shape for a in outputs], rng)

    def total(*leaves):
        found = numpy_outputs(oracle, *jax.tree.unflatten(form, leaves))
        return sum((w * a).sum() for w, a in zip(weigh, found, strict=True))

    @jax.jit
    def run(*given):
        values, pullback = jax.vjp(lambda *g: jax_outputs(oracle, *g), *given)
        return values, pullback([jnp.asarray(w) for w in weigh])

    got = jax.tree.leaves(run(*jax.tree.map(jnp.asarray, given)))
    expected = [*outputs, *gradients(total, leaves)]
    differences = [np.abs(a - b).max() for a, b in zip(got, expected, strict=True)]
    print(f"{name}: largest difference {max(differences):.1e}")  # pytest -rP shows it
    assert max(differences) < 1e-10


def test_complex_steps_give_the_gradients_worked_out_by_hand():
    """Of the LSTM, which `oracles.py` differentiates by the chain rule."""
    oracle, rng = CELLS["lstm"], np.random.default_rng(1)
    params, (xs,), carry = arguments(oracle, rng)
    weigh = drawn([(T, H), (H,), (H,)], rng)
    p = dict(zip(oracle.shapes, params, strict=True))
    _, _, tape = oracles.lstm(p, xs[0], *(c[0] for c in carry))
    dp, dxs, dcarry = oracles.lstm_backward(p, tape, weigh[0], weigh[1:])

    def total(w_x, w_h, b, xs, *carry):
        p = {"w_x": w_x, "w_h": w_h, "b": b}
        ys, last = over_time(numpy_cells.lstm)(p, xs, carry)
        return sum((w * a).sum() for w, a in zip(weigh, (ys, *last), strict=True))

    got = gradients(total, [*p.values(), xs[0], *(c[0] for c in carry)])
    for a, b in zip(got, [*dp.values(), dxs, *dcarry], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
