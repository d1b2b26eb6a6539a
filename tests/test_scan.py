"""`scan` means what `jax.lax.scan` means, for values and derivatives of every kind."""

import chex
import jax
import jax.numpy as jnp
import pytest
import scan_steps
from jax import lax
from scan_steps import B, T

from jrnn.scan import scan

# Compile times are most of the cost of these tests; the numbers do not depend on it.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def outputs(run, step, weights, carry, xs, **options):
    return run(step(weights), carry, xs, **options)


def loss(run, step, weights, carry, xs, **options):
    return total(outputs(run, step, weights, carry, xs, **options))


def total(tree):
    """A number that depends smoothly on every inexact leaf, on each in its own way."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    scale = lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    return sum(jnp.sum(jnp.sin(x) * scale(x)) for x in leaves)


def batched(xs):
    return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), xs)


def value(run, step, w, c, xs, xs_batch, **options):
    return outputs(run, step, w, c, xs, **options)


def vmap(run, step, w, c, xs, xs_batch, **options):
    return jax.vmap(lambda xs: outputs(run, step, w, c, xs, **options))(batched(xs_batch))


def vmap_of_weights(run, step, w, c, xs, xs_batch, **options):
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), w)
    return jax.vmap(lambda w: outputs(run, step, w, c, xs, **options))(many)


def grad(run, step, w, c, xs, xs_batch, **options):
    f = lambda w, c, x: loss(run, step, w, c, xs._replace(x=x), **options)
    return jax.grad(f, (0, 1, 2))(w, c, xs.x)


def grad_of_vmap(run, step, w, c, xs, xs_batch, **options):
    each = lambda w, c, xs: loss(run, step, w, c, xs, **options)
    f = lambda w, c: jax.vmap(lambda xs: each(w, c, xs))(batched(xs_batch)).sum()
    return jax.grad(f, (0, 1))(w, c)


def vmap_of_grad(run, step, w, c, xs, xs_batch, **options):
    f = jax.grad(lambda w, c, xs: loss(run, step, w, c, xs, **options), (0, 1))
    return jax.vmap(lambda xs: f(w, c, xs))(batched(xs_batch))


def tangents(tree, seed):
    leaves, form = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    draw = lambda k, x: jax.random.normal(k, x.shape, x.dtype)
    return jax.tree.unflatten(form, [draw(k, x) for k, x in zip(keys, leaves, strict=True)])


def jvp(run, step, w, c, xs, xs_batch, **options):
    f = lambda w, c, x: outputs(run, step, w, c, xs._replace(x=x), **options)
    primals = (w, c, xs.x)
    _, out = jax.jvp(f, primals, tangents(primals, 5))
    return [x for x in jax.tree.leaves(out) if x.dtype != jax.dtypes.float0]


def jvp_by_carry(run, step, w, c, xs, xs_batch, **options):
    _, out = jax.jvp(lambda c: outputs(run, step, w, c, xs, **options), (c,), (c,))
    return [x for x in jax.tree.leaves(out) if x.dtype != jax.dtypes.float0]


def forward_over_reverse(run, step, w, c, xs, xs_batch, **options):
    f = lambda w, c, x: loss(run, step, w, c, xs._replace(x=x), **options)
    primals = (w, c, xs.x)
    return jax.jvp(jax.grad(f, (0, 1, 2)), primals, tangents(primals, 6))


def reverse_over_reverse(run, step, w, c, xs, xs_batch, **options):
    f = lambda args: loss(run, step, *args, xs, **options)
    along = tangents((w, c), 7)
    inner = lambda args: sum(
        jnp.vdot(a, b)
        for a, b in zip(
            jax.tree.leaves(jax.grad(f)(args)), jax.tree.leaves(along), strict=True
        )
    )
    return jax.grad(inner)((w, c))


TRANSFORMS = {
    f.__name__: f
    for f in (
        value, vmap, vmap_of_weights, grad, grad_of_vmap, vmap_of_grad, jvp, jvp_by_carry,
        forward_over_reverse, reverse_over_reverse,
    )
}  # fmt: skip


def assert_equal_under(transform, step, dtype=jnp.float64, **options):
    """Compare `scan` with `jax.lax.scan` in one compiled program."""
    w, c = scan_steps.weights(dtype), scan_steps.carry(dtype)
    xs, xs_batch = scan_steps.inputs(dtype), scan_steps.inputs(dtype, (B,))

    def both(w, c, xs, xs_batch):
        args = (step, w, c, xs, xs_batch)
        return transform(scan, *args, **options), transform(lax.scan, *args, **options)

    compiled = jax.jit(both, compiler_options=FAST)
    assert_close(*compiled(w, c, xs, xs_batch))


def assert_close(got, expected):
    chex.assert_trees_all_equal_shapes_and_dtypes(got, expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(b.dtype, jnp.inexact):
            assert jnp.array_equal(a, b)
        elif b.size:
            tolerance = 1e-12 if b.dtype == jnp.float64 else 2e-6
            assert jnp.isfinite(b).all()
            assert jnp.abs(a - b).max() <= tolerance * (1 + jnp.abs(b).max())


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("step", scan_steps.NAMED.values(), ids=scan_steps.NAMED)
def test_named_steps(step, transform):
    assert_equal_under(transform, step)
