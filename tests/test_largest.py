"""The place of the largest number, in two passes or one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jrnn._replacements.largest import index_of_largest

compiled = jax.jit(index_of_largest)


@pytest.mark.parametrize(
    "shape", [(5,), (31,), (99,), (100,), (7, 31), (3, 40), (65, 65)]
)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_it_is_the_argmax(shape, data):
    # few different numbers, so that many are equal
    numbers = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 2.5, np.inf])
    fill = data.draw(st.sampled_from([-np.inf, 0.0, 1.0]))
    x = data.draw(hnp.arrays(np.float32, shape, elements=numbers, fill=st.just(fill)))
    got = compiled(x)
    np.testing.assert_array_equal(got, np.argmax(x, axis=-1))
    assert got.dtype == jnp.int32


@pytest.mark.parametrize("shape", [(5,), (150,), (65, 65)])
@pytest.mark.parametrize("others", [-np.inf, 0.0, np.inf])
def test_it_is_minus_one_where_there_is_nan(shape, others):
    x = np.full(shape, others, np.float32)
    assert (np.asarray(compiled(x)) == 0).all()
    x.reshape(-1, shape[-1])[-1, 2:4] = np.nan
    got = np.asarray(compiled(x))
    assert got.ravel()[-1] == -1 and (got.ravel()[:-1] == 0).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int8"])
def test_a_batch_is_each_alone(dtype):
    x = (3 * jax.random.normal(jax.random.key(0), (4, 40, 6, 3))).astype(dtype)
    batched = jax.vmap(jax.vmap(compiled, 2), 2)(x)  # over (6, 3), rows of 40: (4, 40)
    expected = np.argmax(np.asarray(x, np.float32), axis=1)  # (4, 6, 3)
    np.testing.assert_array_equal(batched, np.transpose(expected, (1, 2, 0)))


def test_it_has_no_derivative():
    def f(x):
        return x[compiled(x)] ** 2

    x = jax.random.normal(jax.random.key(0), (150,))
    at = int(np.argmax(x))
    expected = np.zeros(150, np.float32)
    expected[at] = 2 * x[at]
    np.testing.assert_allclose(jax.grad(f)(x), expected, rtol=1e-6)
    tangent = jax.jvp(f, (x,), (jnp.ones(150),))[1]
    np.testing.assert_allclose(tangent, 2 * x[at], rtol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="one pass elsewhere")
@pytest.mark.parametrize("rows", [1, 64])
def test_no_loop_carries_number_and_index_together(rows):
    of = lambda f: (
        jax.jit(jax.vmap(f)).lower(jnp.zeros((rows, 128))).compile().as_text()
    )
    pairs = lambda text: [
        line for line in text.splitlines() if " reduce(" in line and "= (f" in line
    ]
    assert pairs(of(jnp.argmax))
    assert not pairs(of(index_of_largest))
