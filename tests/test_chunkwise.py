"""Cells that take many steps at once: `unroll` gives what a loop of steps gives."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jrnn

I, H = 3, 6
KINDS = {
    "one head": lambda: jrnn.mlstm(H),
    "three heads": lambda: jrnn.mlstm(H, 3),
    # forgets: what grows without bound is divided by an n . q that may be near 0
    "exp": lambda: jrnn.mlstm(H, 2, "exp", forget_bias=-2.0),
    "in a stack": lambda: jrnn.stack(
        jrnn.linear(4),
        jrnn.mlstm(H, 2),
        jrnn.min_gru(5),
        jrnn.dropout(jrnn.gru(3), 0.3),
    ),
}
CHUNK = jrnn.mlstm(H).step.length  # steps


def setting(make, num_steps):
    """The cell, and params, inputs and a carry that are nothing special."""
    cell, rng = make(), np.random.default_rng(0)
    draw = lambda shape: jnp.asarray(rng.normal(size=shape))
    moved = lambda tree: jax.tree.map(lambda a: a + draw(a.shape) / 2, tree)
    xs = 2 * draw((num_steps, I))
    params = moved(cell.init(jax.random.key(1), xs[0]))
    # an empty memory has no scale, whatever is added to it
    scale = lambda a: jnp.where(a < -1e9, 0.7, a)
    return cell, params, xs, moved(jax.tree.map(scale, cell.initial_carry(params)))


def by_steps(cell, reverse=False):
    """A loop of steps, with the keys of `unroll`."""

    def run(params, xs, carry, key):
        keys = jax.random.split(jax.random.split(key)[1], len(xs))
        step = lambda c, now: cell.step(params, c, now[0], key=now[1])
        return lax.scan(step, carry, (xs, keys), reverse=reverse)

    return run


def at_once(cell, reverse=False):
    return lambda params, xs, carry, key: jrnn.unroll(
        cell, params, xs, carry, key=key, reverse=reverse
    )


def assert_close(own, loop, share=1e-10):
    """To a share of the largest number of each array."""
    chex.assert_trees_all_equal_shapes_and_dtypes(own, loop)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(loop), strict=True):
        largest = np.abs(b).max(initial=1e-3)
        np.testing.assert_allclose(a, b, rtol=0, atol=share * largest)


def answers(run, *args):
    """Carry, outputs, and derivatives of all of them by all that goes in."""
    key = jax.random.key(9)

    def total(*args):
        return sum(jnp.sin(a).sum() for a in jax.tree.leaves(run(*args, key)))

    both = lambda *args: (run(*args, key), jax.grad(total, (0, 1, 2))(*args))
    with jax.debug_key_reuse(False):  # the same noise, in both forms
        return jax.jit(both)(*args)


STEPS = [0, 1, 5, CHUNK, CHUNK + 1, 2 * CHUNK]
LENGTHS = [("three heads", steps) for steps in STEPS]
LENGTHS += [(kind, 3 * CHUNK - 1) for kind in KINDS] + [("in a stack", 0)]


@pytest.mark.slow
@pytest.mark.parametrize("kind, steps", LENGTHS)
def test_chunks_equal_a_loop_of_steps(kind, steps):
    if not steps and jax.config.jax_disable_jit:
        pytest.skip("without jit, JAX refuses a loop of no steps")
    cell, params, xs, carry = setting(KINDS[kind], max(steps, 1))
    args = params, xs[:steps], carry
    reverse = steps > CHUNK
    own, loop = (answers(f(cell, reverse), *args) for f in (at_once, by_steps))
    assert_close(own, loop)


def test_a_part_of_a_chunk_and_a_whole_one():
    """The quick one of the above."""
    cell, params, xs, carry = setting(KINDS["three heads"], CHUNK + 3)
    own, loop = (
        f(cell)(params, xs, carry, jax.random.key(1)) for f in (at_once, by_steps)
    )
    assert_close(own, loop)


@pytest.mark.slow
@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_an_empty_memory_and_a_batch(forget):
    """From the carry of `initial_carry`, with second derivatives, forward and back."""
    cell, params, xs, _ = setting(
        lambda: jrnn.mlstm(H, 2, forget, forget_bias=-1.0), CHUNK + 2
    )
    keep = jax.random.normal(jax.random.key(3), (len(xs), H))

    def loss(run, v):
        moved = jax.tree.map(lambda p: p * v, params)
        one = lambda xs: run(moved, xs, cell.initial_carry(moved), jax.random.key(1))[1]
        return (jax.vmap(one)(jnp.stack([xs, xs[::-1]])) * keep[None]).sum()

    orders = lambda run: jax.jit(
        lambda v: jax.jvp(jax.grad(lambda v: loss(run, v)), (v,), (1.0,))
    )
    own, loop = (orders(run(cell))(1.1) for run in (at_once, by_steps))
    assert_close(own, loop)


@pytest.mark.parametrize("forget_bias", [-30.0, 0.0, 8.0])
def test_sums_of_gates_lose_no_digits(forget_bias):
    """In float32, beside float64; gates nearly shut add up to logarithms of -10,000."""
    cell, params, xs, _ = setting(lambda: jrnn.mlstm(H, 2), 5 * CHUNK)
    b_if = params.b_if.at[2:].add(forget_bias)
    params = params._replace(b_if=b_if)
    run = jax.jit(lambda params, xs: jrnn.unroll(cell, params, xs)[1])
    single = jax.tree.map(lambda a: a.astype(jnp.float32), (params, xs))
    exact = np.asarray(run(params, xs))
    start = cell.initial_carry(single[0])
    _, of_loop = jax.jit(by_steps(cell))(*single, start, jax.random.key(0))
    off = lambda ys: np.abs(np.asarray(ys) - exact).max() / np.abs(exact).max()
    assert off(run(*single)) < max(2e-6, 2 * off(of_loop))


def trips(cell, num_steps, **options):
    """Iterations of the loops in the program of a forward pass."""
    _, params, xs, _ = setting(lambda: cell, num_steps)
    run = lambda params, xs: jrnn.unroll(cell, params, xs, **options)[1]
    text = str(jax.make_jaxpr(run)(params, xs))
    return sorted(int(n) for n in re.findall(r"\blength=(\d+)", text))


def test_what_is_run_chunk_by_chunk():
    """The cell and a stack; not with `remat`, nor in a wrapper of its step."""
    cell = jrnn.mlstm(H)
    T = 3 * CHUNK + 1
    assert trips(cell, 5) == []
    assert trips(cell, T) == [3]
    assert T in trips(cell, T, remat="step")
    assert T in trips(jrnn.residual(jrnn.mlstm(I)), T)
    assert set(trips(jrnn.stack(cell, jrnn.mlstm(H, 2)), T)) == {3}
    assert set(trips(jrnn.stack(jrnn.elman(H), cell), T)) == {3, T}


@pytest.mark.parametrize("num_steps", [1, CHUNK + 1])
def test_mistakes_are_named_as_by_the_step(num_steps):
    cell, params, xs, carry = setting(lambda: jrnn.mlstm(H, 2), num_steps)
    with pytest.raises(ValueError, match="mlstm: x has 2 features, but params were"):
        jrnn.unroll(cell, params, xs[:, :2], carry)
    with pytest.raises(ValueError, match=r"Cells step one example; use jax.vmap"):
        jrnn.unroll(cell, params, xs[:, None], carry)
    with pytest.raises(ValueError, match="mlstm: carry has shape"):
        jrnn.unroll(cell, params, xs, carry._replace(n=carry.n[:1]))
    with pytest.raises(TypeError, match="mlstm: x is float64"):
        single = jax.tree.map(lambda a: a.astype(jnp.float32), (params, carry))
        jrnn.unroll(cell, single[0], xs, single[1])


@pytest.mark.skipif(jax.config.jax_disable_jit, reason="a program is made")
@pytest.mark.parametrize("kind", ["one head", "in a stack"])
def test_a_symbolic_number_of_steps(kind):
    cell, params, xs, carry = setting(KINDS[kind], 2 * CHUNK)
    run = lambda xs: jrnn.unroll(cell, params, xs, carry, key=jax.random.key(1))[1]
    (num_steps,) = jax.export.symbolic_shape("T")
    form = jax.ShapeDtypeStruct((num_steps, I), xs.dtype)
    program = jax.export.export(jax.jit(run))(form)
    for T in (1, 2 * CHUNK):
        assert_close(program.call(xs[:T]), run(xs[:T]))
