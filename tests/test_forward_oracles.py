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

CELLS = {
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
    "lstm": Oracle(
        jrnn.lstm(H), jrnn.LSTMParams, gated(4), TWO, numpy_cells.lstm, LSTM
    ),
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
    return params, xs, drawn(oracle.carry.values(), rng, B)


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


@pytest.mark.parametrize("name", CELLS)
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
