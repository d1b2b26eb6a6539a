"""Unrolled, Threefry gives JAX's own bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrnn._replacements.threefry import unroll_rounds

DRAWS = {
    "bits": lambda key: jax.random.bits(key, (5, 7), jnp.uint32),
    "one": jax.random.bits,
    "none": lambda key: jax.random.bits(key, (0, 3)),
    "short bits": lambda key: jax.random.bits(key, (6,), jnp.uint8),
    "long bits": lambda key: jax.random.bits(key, (6,), jnp.uint64),
    "float16": lambda key: jax.random.gumbel(key, (3, 4), jnp.float16),
    "float32": lambda key: jax.random.normal(key, (64, 65), jnp.float32),
    "float64": lambda key: jax.random.uniform(key, (9,), jnp.float64),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, (50,)),
    "split": lambda key: jax.random.bits(jax.random.split(key, 3)[1], (4,)),
    "fold": lambda key: jax.random.bits(jax.random.fold_in(key, 5), (4,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("seed", [0, 2**31 + 5])
@pytest.mark.parametrize("partitionable", [True, False])
def test_bits_are_those_of_jax(draw, seed, partitionable):
    key = jax.random.key(seed)
    with jax.threefry_partitionable(partitionable):
        expected = draw(key)
        for got in (
            draw(unroll_rounds(key)),
            jax.jit(lambda k: draw(unroll_rounds(k)))(key),
        ):
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
def test_batches_of_keys_and_old_keys():
    keys = jax.random.split(jax.random.key(3), (4, 2))
    draw = lambda key: jax.random.bits(key, (3,), jnp.uint32)
    each = jax.vmap(jax.vmap(lambda key: draw(unroll_rounds(key))), 1, 1)(keys)
    np.testing.assert_array_equal(each, jax.vmap(jax.vmap(draw))(keys))
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(draw(unroll_rounds(old)), draw(old))


@pytest.mark.parametrize("name", ["rbg", "unsafe_rbg"])
def test_keys_of_other_generators_are_left_alone(name):
    key = jax.random.key(0, impl=name)
    assert unroll_rounds(key) is key


@pytest.mark.slow
def test_on_devices():
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    keys = jax.random.split(jax.random.key(3), 4)
    draw = lambda key: jax.random.bits(key, (3,), jnp.uint32)
    of_each = lambda keys: jax.vmap(lambda key: draw(unroll_rounds(key)))(keys)
    P = jax.P("d")
    mapped = jax.jit(jax.shard_map(of_each, mesh=mesh, in_specs=P, out_specs=P))
    np.testing.assert_array_equal(mapped(keys), jax.vmap(draw)(keys))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="as JAX does elsewhere")
def test_there_is_no_loop():
    def loops(of):
        draw = lambda key: jax.random.bits(of(key), (100,), jnp.uint32)
        program = jax.jit(draw).lower(jax.random.key(0)).compile()
        return program.as_text().count(" while(")

    assert loops(lambda key: key) == 1
    assert loops(unroll_rounds) == 0
