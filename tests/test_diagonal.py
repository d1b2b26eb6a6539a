"""Linear recurrences without mixing: the loop, the pairwise form, and `unroll`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, example

import jrnn

T, H = 7, 3


def numbers(length=T):
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape))
    tree = lambda *axes: {"p": draw(*axes, H), "q": (draw(*axes, 2, H),)}
    return tree(length), tree(length), tree()


def by_hand(a, u, h, reverse):
    hs = np.zeros_like(u)
    for t in reversed(range(len(a))) if reverse else range(len(a)):
        hs[t] = h = a[t] * h + u[t]
    return hs


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("parallel", [False, True, None])
@pytest.mark.parametrize("length", [0, 1, T])
def test_all_forms_equal_a_loop_by_hand(parallel, reverse, length):
    a, u, h = numbers(length)
    run = lambda *args: jrnn.diagonal_scan(*args, reverse=reverse, parallel=parallel)
    expected = jax.tree.map(
        lambda *args: by_hand(*map(np.asarray, args), reverse), a, u, h
    )
    chex.assert_trees_all_close(jax.jit(run)(a, u, h), expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [True, None])
def test_gradients_and_batches_of_all_forms(parallel):
    a, u, h = numbers()

    def gradients(parallel):
        run = lambda *args: jrnn.diagonal_scan(*args, parallel=parallel)
        total = lambda *args: sum(jnp.sin(x).sum() for x in jax.tree.leaves(run(*args)))
        twice = lambda tree: jax.tree.map(lambda x: jnp.stack([x, 2 * x]), tree)
        each = jax.vmap(jax.grad(total, (0, 1, 2)))
        return jax.jit(each)(*map(twice, (a, u, h)))

    chex.assert_trees_all_close(gradients(parallel), gradients(False), rtol=1e-11)


def test_shapes_that_do_not_go_together():
    with pytest.raises(ValueError, match="diagonal_scan: a and u must have the same"):
        jrnn.diagonal_scan(jnp.ones((T, H)), jnp.ones((T, 1)), jnp.ones(H))
    with pytest.raises(ValueError, match=r"a must be \(T, ...\) where init is"):
        jrnn.diagonal_scan(jnp.ones((T, H)), jnp.ones((T, H)), jnp.ones(2))


def loops(cell, params, xs):
    jaxpr = jax.make_jaxpr(lambda xs: jrnn.unroll(cell, params, xs))(xs)
    return str(jaxpr).count("platform_index")


def test_only_a_declared_cell_may_run_in_parallel():
    ex = example("diagonal")
    assert "diagonal" in CASES and loops(ex.cell, ex.params, ex.xs) > 0
    changed = jrnn.residual(ex.cell)
    assert not isinstance(changed.step, jrnn.DiagonalStep)
    assert loops(changed, ex.params, ex.xs) == 0
