"""Unchanged cells of other libraries under jrnn.scan: the numbers of jax.lax.scan."""

import chex
import jax
import jax.numpy as jnp
import pytest

import jrnn

T, B, I, H = 5, 3, 2, 4

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs


@pytest.fixture(autouse=True)
def their_settings():
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        yield


def linen(name):
    nn = pytest.importorskip("flax.linen")
    cell = getattr(nn, name)(H, param_dtype=jnp.float64)
    carry = cell.initialize_carry(jax.random.key(0), (B, I))
    params = cell.init(jax.random.key(1), carry, jnp.zeros((B, I)))
    return params, carry, cell.apply


def nnx(name):
    nnx = pytest.importorskip("flax.nnx")
    cell = getattr(nnx, name)(I, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    carry = cell.initialize_carry((B, I), rngs=nnx.Rngs(0))
    graph, params = nnx.split(cell)
    return params, carry, lambda params, *args: nnx.merge(graph, params)(*args)


def haiku(name):
    hk = pytest.importorskip("haiku")
    core = lambda: getattr(hk, name)(H)
    step = hk.without_apply_rng(hk.transform(lambda x, state: core()(x, state)))
    first = hk.without_apply_rng(hk.transform(lambda: core().initial_state(B)))
    carry = first.apply({})

    def swapped(params, carry, x):
        y, carry = step.apply(params, x, carry)
        return carry, y

    return step.init(jax.random.key(0), jnp.zeros((B, I)), carry), carry, swapped


def equinox(name):
    eqx = pytest.importorskip("equinox")
    cell = getattr(eqx.nn, name)(I, H, dtype=jnp.float64, key=jax.random.key(0))
    zero = jnp.zeros((B, H))

    def step(cell, carry, x):
        carry = jax.vmap(cell)(x, carry)
        return carry, carry

    return cell, (zero, zero) if name == "LSTMCell" else zero, step


CELLS = [
    (linen, "GRUCell"),
    (linen, "LSTMCell"),
    (linen, "OptimizedLSTMCell"),
    (nnx, "GRUCell"),
    (nnx, "LSTMCell"),
    (nnx, "OptimizedLSTMCell"),
    (haiku, "GRU"),
    (haiku, "LSTM"),
    (equinox, "GRUCell"),
    (equinox, "LSTMCell"),
]


def perturbed(tree):
    """All numbers moved from where initialisers put them."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    noise = lambda key, leaf: jax.random.normal(key, leaf.shape, leaf.dtype)
    moved = [a + 0.3 * noise(key, a) for key, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, moved)


@pytest.mark.parametrize(
    ("library", "name"), CELLS, ids=[f"{library.__name__}-{n}" for library, n in CELLS]
)
def test_value_and_gradient_are_those_of_lax_scan(library, name):
    params, carry, step = library(name)
    params, carry = perturbed(params), perturbed(carry)
    xs = jax.random.normal(jax.random.key(2), (T, B, I))

    def loss(scan, params, carry, xs):
        carry, ys = scan(lambda carry, x: step(params, carry, x), carry, xs)
        leaves = jax.tree.leaves((carry, ys))
        return sum(jnp.sin((n + 1) * leaf).sum() for n, leaf in enumerate(leaves))

    @jax.jit
    def answers(*args):
        gradient = jax.value_and_grad(loss, argnums=(1, 2, 3))
        return gradient(jrnn.scan, *args), gradient(jax.lax.scan, *args)

    ours, theirs = answers(params, carry, xs)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-12, atol=1e-12)
