"""Cells of the literature against the NumPy loops of `stable_oracles.py`.

A batch of two through `jax.vmap`, values and gradients by weights, inputs and carry.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stable_oracles as numpy_cells
from forward_oracles import gradients, over_time

import jrnn

T, B, I, H, N = 5, 2, 2, 4, 3


class Oracle(NamedTuple):
    """A cell, what it is compared with, and the shapes of all that goes in."""

    cell: jrnn.Cell
    params: type
    shapes: dict[str, tuple[int, ...]]  # of the parameters
    carry: tuple[tuple[int, ...], ...]  # of its arrays
    step: Callable  # in NumPy
    carry_of: Callable[..., Any] = lambda h: h  # from its arrays
    fixed: bool = False  # the gradients of weights are zero


SIMPLE = {"w_x": (I, H), "w_h": (H, H), "b": (H,)}
STATE_SPACE = {"w_x": (I, 2 * N), "w_h": (2 * N, H), "w_y": (I, H)}
ONE, TWO, COMPLEX = ((H,),), ((H,), (H,)), ((N,), (N,))


def blocks(count, biases=None):
    """The shapes of a cell without recurrent weights."""
    return {"w_x": (I, count * H), "b": ((biases or count) * H,)}


CELLS = {
    "antisymmetric": Oracle(
        jrnn.antisymmetric(H, epsilon=0.3, gamma=0.2),
        jrnn.AntisymmetricParams,
        SIMPLE,
        ONE,
        numpy_cells.antisymmetric(0.3, 0.2),
    ),
    "clockwork": Oracle(
        jrnn.clockwork(H, (3, 1)),
        jrnn.ClockworkParams,
        SIMPLE,
        ((H,), (2,)),
        numpy_cells.clockwork((3, 1)),
        jrnn.ClockworkCarry,
    ),
    "cornn": Oracle(
        jrnn.cornn(H, dt=0.3, gamma=1.5, epsilon=0.7),
        jrnn.CoRNNParams,
        {"w_x": (I, H), "w_y": (H, H), "w_z": (H, H), "b": (H,)},
        TWO,
        numpy_cells.cornn(0.3, 1.5, 0.7),
        jrnn.CoRNNCarry,
    ),
    "dale": Oracle(
        jrnn.dale(H, excitatory=0.5, dt=30.0),
        jrnn.DaleParams,
        SIMPLE,
        ONE,
        numpy_cells.dale(0.3, 2),
    ),
    "echo_state": Oracle(
        jrnn.echo_state(H, leak=0.6),
        jrnn.EchoStateParams,
        SIMPLE,
        ONE,
        numpy_cells.leaky(0.6),
        fixed=True,
    ),
    "indrnn": Oracle(
        jrnn.indrnn(H),
        jrnn.IndRNNParams,
        {"w_x": (I, H), "u": (H,), "b": (H,)},
        ONE,
        numpy_cells.indrnn,
    ),
    "leaky": Oracle(
        jrnn.leaky(H, tau=50.0, dt=10.0),
        jrnn.LeakyParams,
        SIMPLE,
        ONE,
        numpy_cells.leaky(0.2),
    ),
    "lem": Oracle(
        jrnn.lem(H, dt=0.7),
        jrnn.LEMParams,
        {"w_x": (I, 4 * H), "w_y": (H, 3 * H), "w_z": (H, H), "b": (4 * H,)},
        TWO,
        numpy_cells.lem(0.7),
        jrnn.LEMCarry,
    ),
    "low_rank": Oracle(
        jrnn.low_rank(H, 3, dt=30.0),
        jrnn.LowRankParams,
        {"w_x": (I, H), "m": (H, 3), "n": (H, 3), "b": (H,)},
        ONE,
        numpy_cells.low_rank(0.3),
    ),
    "lru": Oracle(
        jrnn.lru(H, N),
        jrnn.LRUParams,
        {"nu": (N,), "theta": (N,), "gamma": (N,), **STATE_SPACE},
        COMPLEX,
        numpy_cells.lru,
        jax.lax.complex,
    ),
    "min_gru": Oracle(
        jrnn.min_gru(H), jrnn.MinGRUParams, blocks(2), ONE, numpy_cells.min_gru
    ),
    "min_lstm": Oracle(
        jrnn.min_lstm(H), jrnn.MinLSTMParams, blocks(3), ONE, numpy_cells.min_lstm
    ),
    "orthogonal_rnn": Oracle(
        jrnn.orthogonal_rnn(H),
        jrnn.OrthogonalRNNParams,
        {"w_x": (I, H), "a": (H, H), "b": (H,)},
        ONE,
        numpy_cells.orthogonal_rnn("exponential"),
    ),
    "orthogonal_rnn-cayley": Oracle(
        jrnn.orthogonal_rnn(H, "cayley"),
        jrnn.OrthogonalRNNParams,
        {"w_x": (I, H), "a": (H, H), "b": (H,)},
        ONE,
        numpy_cells.orthogonal_rnn("cayley"),
    ),
    "qrnn": Oracle(jrnn.qrnn(H), jrnn.QRNNParams, blocks(3), ONE, numpy_cells.qrnn),
    "s5": Oracle(
        jrnn.s5(H, N),
        jrnn.S5Params,
        {"log_decay": (N,), "frequency": (N,), "log_dt": (N,), **STATE_SPACE},
        COMPLEX,
        numpy_cells.s5,
        jax.lax.complex,
    ),
    "sru": Oracle(jrnn.sru(H), jrnn.SRUParams, blocks(4, 2), ONE, numpy_cells.sru),
    "sru-square": Oracle(
        jrnn.sru(I), jrnn.SRUParams, {"w_x": (I, 3 * I), "b": (2 * I,)}, ((I,),),
        numpy_cells.sru,
    ),
}  # fmt: skip


def drawn(shapes, rng, *axes):
    return [0.7 * rng.normal(size=(*axes, *shape)) for shape in shapes]


def numpy_outputs(oracle, params, xs, carry):
    """Outputs and last carry of a batch, one sequence after the other."""
    run, p = over_time(oracle.step), dict(zip(oracle.shapes, params, strict=True))
    rows = []
    for b in range(B):
        ys, last = run(p, xs[b], tuple(c[b] for c in carry))
        rows.append((ys, *last))
    return [np.stack(arrays) for arrays in zip(*rows, strict=True)]


def jax_outputs(oracle, params, xs, carry):
    def one(params, xs, carry):
        params = oracle.params(**dict(zip(oracle.shapes, params, strict=True)))
        last, ys = jrnn.unroll(oracle.cell, params, xs, oracle.carry_of(*carry))
        leaves = jax.tree.leaves(last)
        if len(leaves) < len(carry):  # a complex one
            leaves = [leaves[0].real, leaves[0].imag]
        return [ys, *leaves]

    return jax.vmap(one, (None, 0, 0))(params, xs, carry)


@pytest.mark.parametrize("name", CELLS)
def test_a_batch_and_all_gradients_equal_the_oracle(name):
    oracle, rng = CELLS[name], np.random.default_rng(0)
    params, carry = drawn(oracle.shapes.values(), rng), drawn(oracle.carry, rng, B)
    if name == "indrnn":
        params[-1] += 1.0
    given = params, drawn([(I,)], rng, B, T)[0], carry
    leaves, form = jax.tree.flatten(given)
    outputs = numpy_outputs(oracle, *given)
    assert (outputs[0] != 0).mean() > 0.4  # units with a rectifier are active
    weigh = drawn([a.shape for a in outputs], rng)

    def total(*leaves):
        found = numpy_outputs(oracle, *jax.tree.unflatten(form, leaves))
        return sum((w * a).sum() for w, a in zip(weigh, found, strict=True))

    @jax.jit
    def run(*given):
        values, pullback = jax.vjp(lambda *g: jax_outputs(oracle, *g), *given)
        return values, pullback([jnp.asarray(w) for w in weigh])

    got = jax.tree.leaves(run(*jax.tree.map(jnp.asarray, given)))
    slopes = gradients(total, leaves)
    if oracle.fixed:
        slopes[: len(params)] = [np.zeros_like(w) for w in params]
    expected = [*outputs, *slopes]
    differences = [np.abs(a - b).max() for a, b in zip(got, expected, strict=True)]
    print(f"{name}: largest difference {max(differences):.1e}")  # pytest -rP shows it
    assert max(differences) < 1e-10
