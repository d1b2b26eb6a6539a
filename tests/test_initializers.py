"""Initialisers: what they promise, exactly, under `vmap` and with traced arguments."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn
from jrnn import initializers

H = 6


def radius(w):
    return np.abs(np.linalg.eigvals(np.asarray(w, np.float64))).max()


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.3])
def test_spectral_radius_is_exact(key, rho):
    w = initializers.spectral_radius(rho)(key, (H, H), jnp.float64)
    np.testing.assert_allclose(radius(w), rho, atol=1e-12)


def test_spectral_radius_of_another_base_and_of_many_draws(key):
    base = jax.nn.initializers.uniform(1.0)  # its radius is about H / 2, not sqrt(H)
    init = lambda k, rho: initializers.spectral_radius(rho, base)(
        k, (H, H), jnp.float64
    )
    rhos = jnp.array([0.3, 0.9, 1.7])
    ws = jax.jit(jax.vmap(init))(jax.random.split(key, 3), rhos)
    np.testing.assert_allclose([radius(w) for w in ws], rhos, atol=1e-12)
    assert (ws >= 0).all()


@pytest.mark.parametrize("shape", [(H, H), (H, 4), (4, H)])
def test_orthogonal_has_all_singular_values_equal_to_the_scale(key, shape):
    init = lambda scale: initializers.orthogonal(scale)(key, shape, jnp.float64)
    ws = jax.jit(jax.vmap(init))(jnp.array([0.7, 1.0]))
    for w, scale in zip(ws, (0.7, 1.0), strict=True):
        singular = np.linalg.svd(w, compute_uv=False)
        np.testing.assert_allclose(singular, scale, atol=1e-12)


def test_identity(key):
    w = jax.jit(lambda s: initializers.identity(s)(key, (H, H), jnp.float64))(0.3)
    np.testing.assert_array_equal(w, 0.3 * np.eye(H))


def test_gain_is_a_gaussian_of_deviation_g_over_root_of_the_rows(key):
    n, m, g = 300, 200, 1.7
    w = jax.jit(lambda g: initializers.gain(g)(key, (n, m), jnp.float64))(g)
    # five standard errors of a mean and of a deviation
    assert abs(w.mean()) < 5 * g / n**0.5 / (n * m) ** 0.5
    np.testing.assert_allclose(w.std(), g / n**0.5, rtol=5 / (2 * n * m) ** 0.5)


def test_gatewise_draws_every_gate_by_itself(key):
    init = initializers.gatewise(initializers.orthogonal(0.5), 3)
    gates = jnp.split(init(key, (H, 3 * H), jnp.float64), 3, axis=1)
    for w in gates:
        np.testing.assert_allclose(w.T @ w, 0.25 * np.eye(H), atol=1e-12)
    assert (gates[0] != gates[1]).any() and (gates[1] != gates[2]).any()


def test_gatewise_limits_are_those_of_one_gate(key):
    base = jax.nn.initializers.glorot_uniform()
    w = initializers.gatewise(base, 4)(key, (50, 4 * 50), jnp.float64)
    limit = (6 / (50 + 50)) ** 0.5  # Glorot and Bengio (2010), equation 16
    assert 0.99 * limit < jnp.abs(w).max() <= limit


INITIALIZERS = {
    "orthogonal": initializers.orthogonal(0.5),
    "identity": initializers.identity(0.5),
    "spectral_radius": initializers.spectral_radius(0.5),
    "gain": initializers.gain(0.5),
    "gatewise": initializers.gatewise(initializers.orthogonal(), 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_dtype_asked_for_is_dtype_given(key, name, dtype):
    w = INITIALIZERS[name](key, (H, H), jnp.dtype(dtype))
    assert (w.shape, str(w.dtype)) == ((H, H), dtype)
    assert jnp.isfinite(w).all() and (w != 0).any()


CELLS = {
    "elman": jrnn.elman(4),
    "irnn": jrnn.irnn(4),
    "lstm": jrnn.lstm(4),
    "gru": jrnn.gru(4),
    "linear": jrnn.linear(4),
    "layer_norm": jrnn.layer_norm(jrnn.gru(4)),
    "learned_carry": jrnn.learned_carry(jrnn.lstm(4)),
    "clockwork": jrnn.clockwork(4),
    "dale": jrnn.dale(4),
    "echo_state": jrnn.echo_state(4, bias_scale=0.1),
    "lru": jrnn.lru(4),
    "orthogonal_rnn": jrnn.orthogonal_rnn(4, "cayley"),
    "s5": jrnn.s5(4),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", CELLS)
def test_params_have_the_dtype_of_the_input(key, name, dtype):
    params = CELLS[name].init(key, jnp.zeros(3, dtype))
    assert {str(p.dtype) for p in jax.tree.leaves(params)} == {dtype}


@pytest.mark.slow
def test_starting_values_of_the_cells():
    x = jnp.zeros(3)
    elman, irnn = (
        jrnn.elman(4).init(jax.random.key(1), x),
        jrnn.irnn(4, 0.9).init(jax.random.key(1), x),
    )
    np.testing.assert_allclose(elman.w_h.T @ elman.w_h, np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(irnn.w_h, 0.9 * np.eye(4))
    assert 1e-4 < jnp.abs(irnn.w_x).max() < 1e-2
    assert not elman.b.any() and not irnn.b.any()
    lstm = jrnn.lstm(4, forget_bias=2.5).init(jax.random.key(1), x)
    np.testing.assert_array_equal(lstm.b, np.repeat([0, 2.5, 0, 0], 4))
    assert (
        jrnn.lstm(4).init(jax.random.key(1), x).b
        == jnp.repeat(jnp.array([0, 1.0, 0, 0]), 4)
    ).all()
    gru = jrnn.gru(4).init(jax.random.key(1), x)
    assert not gru.b_x.any() and not gru.b_h.any()
    for w in (*jnp.split(lstm.w_h, 4, axis=1), *jnp.split(gru.w_h, 3, axis=1)):
        np.testing.assert_allclose(w.T @ w, np.eye(4), atol=1e-12)
    layer = jrnn.layer_norm(jrnn.gru(4)).init(jax.random.key(1), x)
    assert (layer.scale == 1).all() and not layer.offset.any()


FORGETTING = {
    # cell -> (its parameters at the start, number of gates, which one remembers)
    "coupled_lstm": (jrnn.coupled_lstm, 3, 0),
    "layer_norm_lstm": (jrnn.layer_norm_lstm, 4, 1),
    "peephole_lstm": (jrnn.peephole_lstm, 4, 1),
    "projected_lstm": (lambda n, **k: jrnn.projected_lstm(n, 2, **k), 4, 1),
    "ugrnn": (jrnn.ugrnn, 2, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGETTING)
def test_forget_biases_of_the_literature(name):
    make, count, gate = FORGETTING[name]
    for given, expected in [({}, 1.0), ({"forget_bias": 2.5}, 2.5)]:
        b = make(4, **given).init(jax.random.key(1), jnp.zeros(3)).b
        np.testing.assert_array_equal(b, expected * np.repeat(np.eye(count)[gate], 4))


@pytest.mark.slow
def test_starting_values_of_the_literature():
    start = lambda cell: cell.init(jax.random.key(1), jnp.zeros(3))
    np.testing.assert_array_equal(start(jrnn.janet(4)).b, np.repeat([1, 0], 4))
    zeros = jax.nn.initializers.zeros  # an orthogonal matrix of this size takes long
    b = start(jrnn.janet(4000, longest=50, w_h_init=zeros)).b
    assert not b[4000:].any()
    steps = np.exp(b[:4000])  # uniform in [1, 49]
    assert 1 <= steps.min() < 1.1 and 48.8 < steps.max() <= 49
    assert abs(steps.mean() - 25) < 1
    for cell in (jrnn.layer_norm_lstm(4), jrnn.layer_norm_gru(4)):
        params = start(cell)
        scales = [v for k, v in params._asdict().items() if "scale" in k]
        assert len(scales) >= 2 and all((v == 1).all() for v in scales)
    projected = start(jrnn.projected_lstm(5, 2))
    np.testing.assert_allclose(projected.w_r.T @ projected.w_r, np.eye(2), atol=1e-12)
    assert not start(jrnn.peephole_lstm(4)).w_c.any()


def test_a_whole_cell_can_be_drawn_at_many_radii(key):
    def init(rho):
        cell = jrnn.elman(H, w_h_init=initializers.spectral_radius(rho))
        return cell.init(key, jnp.zeros(3)).w_h

    rhos = jnp.array([0.5, 1.0, 1.5])
    got = [radius(w) for w in jax.jit(jax.vmap(init))(rhos)]
    np.testing.assert_allclose(got, rhos, atol=1e-12)


# Matrices in a batch ------------------------------------------------------------------

FACTORED = {
    "orthogonal": (initializers.orthogonal(0.7), (4, 4)),
    "orthogonal, wide": (initializers.orthogonal(), (3, 5)),
    "spectral_radius": (initializers.spectral_radius(0.9), (4, 4)),
}


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (2, 3, 4)])
def test_orthogonal_draws_what_that_of_jax_draws(key, shape):
    got = initializers.orthogonal(0.7)(key, shape)
    again = jax.random.clone(key)
    expected = jax.nn.initializers.orthogonal(0.7)(again, shape)
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("name", FACTORED)
def test_a_batch_is_each_alone_and_no_batch_is_factored_on_cpus(key, name):
    init, shape = FACTORED[name]
    keys = jax.random.split(key, 6).reshape(2, 3)
    draw = jax.jit(jax.vmap(jax.vmap(lambda key: init(key, shape))))
    alone = [[init(key, shape) for key in row] for row in keys]
    np.testing.assert_allclose(draw(keys), alone, atol=1e-12)
    counts = re.findall(r'num_batch_dims = "(\d)"', draw.lower(keys).as_text())
    assert counts and set(counts) == {"0"}


LAYERS = """
import jax, jax.numpy as jnp, jrnn
model = jrnn.stack(jrnn.lstm(128), jrnn.lstm(128))
init = jax.jit(jax.vmap(lambda key: model.init(key, jnp.zeros(2))))
jax.block_until_ready(init(jax.random.split(jax.random.key(0), 3)))
"""


@pytest.mark.slow
def test_layers_are_made_for_several_seeds_on_few_threads():
    """With LAPACK in a batch this never ended on two cores."""
    own = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[1])}
    kept = {k: v for k, v in os.environ.items() if k not in ("PJRT_NPROC", "XLA_FLAGS")}
    subprocess.run(
        [sys.executable, "-c", LAYERS], env=kept | own, timeout=200, check=True
    )
