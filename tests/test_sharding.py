"""Operations of jrnn in batches whose types say how they are divided."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrnn._replacements.largest import index_of_largest
from jrnn._replacements.threefry import unroll_rounds
from jrnn.generate import gumbel_noise
from jrnn.losses import cross_entropy

LOGITS = jax.random.normal(jax.random.key(0), (4, 3, 40), jnp.float32)
LABELS = jax.random.randint(jax.random.key(1), (4, 3), 0, 40)
KEYS = jax.random.key_data(jax.random.split(jax.random.key(2), 4))
of_key = lambda draw: lambda data: draw(jax.random.wrap_key_data(data))
CASES = {
    "largest": (index_of_largest, LOGITS),
    "largest, read": (lambda x: index_of_largest(x).sum(), LOGITS),
    "bits": (
        of_key(lambda key: jax.random.bits(unroll_rounds(key), (5,), "uint32")),
        KEYS,
    ),
    "noise": (of_key(lambda key: gumbel_noise(key, 3, 70, 5, jnp.float32)), KEYS),
    "loss": (cross_entropy, LOGITS, LABELS),
    "gradient": (jax.grad(cross_entropy), LOGITS, LABELS),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "f, args", [(f, args) for f, *args in CASES.values()], ids=CASES
)
def test_a_divided_batch_is_the_same_batch(f, args):
    expected = jax.vmap(f)(*args)
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        rows = jax.NamedSharding(mesh, jax.P("d"))
        got = jax.jit(jax.vmap(f))(*jax.device_put(args, rows))
        assert jax.typeof(got).sharding.spec[0] == "d"
    np.testing.assert_allclose(got, expected, rtol=1e-6)
