"""Gates side by side are the sigmoids and tanhs that they replace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jrnn.cells._gates import gates

H = 6
PLAIN = {"s": lambda z: 1 / (1 + np.exp(-z)), "t": np.tanh}


@pytest.mark.parametrize("kinds", ["ssts", "ss", "t", "tst"])
@pytest.mark.parametrize("size", [1.0, 40.0])  # gates half open, and shut
def test_values(kinds, size):
    z = size * np.random.default_rng(0).standard_normal((3, len(kinds) * H))
    for k, found, own in zip(
        kinds, gates(z, kinds), np.split(z, len(kinds), axis=-1), strict=True
    ):
        np.testing.assert_allclose(found, PLAIN[k](own), rtol=0, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["ssts", "ss"])
def test_derivatives(kinds):
    z = jax.random.normal(jax.random.key(1), (len(kinds) * H,))
    check_grads(lambda z: gates(z, kinds), (z,), order=2, modes=["fwd", "rev"])
    # never infinite or not a number, however far a gate is shut
    slope = jax.jacobian(lambda z: jnp.concatenate(gates(z, kinds)))(1e4 * z)
    assert jnp.isfinite(slope).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_dtype(dtype):
    assert all(a.dtype == dtype for a in gates(jnp.ones(4 * H, dtype), "ssts"))
