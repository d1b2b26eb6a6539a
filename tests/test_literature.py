"""What cells of the literature promise beyond laws and oracles."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, H, I, O, T, draw, example

import jrnn
from jrnn import export, interop

LITERATURE = [name for name, case in CASES.items() if case.brief and not case.needs_key]


def params_of(cell, x, scale=0.8, seed=3):
    spec = jax.eval_shape(cell.init, jax.random.key(0), x)
    return draw(np.random.default_rng(seed), spec, scale)


def outputs(cell, params, xs):
    return jax.jit(lambda params, xs: jrnn.unroll(cell, params, xs)[1])(params, xs)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape))


@pytest.mark.parametrize("name", LITERATURE)
def test_what_other_formats_cannot_hold_is_named(tmp_path, name):
    single = lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float32), tree)
    ex = example(name)
    params, x = single(ex.params), single(jax.tree.map(lambda a: a[0], ex.xs))
    if not isinstance(x, tuple) and x.ndim == 1:
        for write in (export.to_c, export.to_onnx):
            if write is export.to_onnx:
                pytest.importorskip("onnx")
            message = f"model is {ex.case.uses[0]}, which .* cannot hold"
            with pytest.raises(export.Unsupported, match=message):
                write(tmp_path / "m", ex.cell, params, x)
    message = re.escape(
        f"to_torch: model is made by {ex.case.uses[0]}, which has no counterpart there."
    )
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=message):
        interop.to_torch(ex.cell, params)


def test_window_joins_the_last_inputs():
    cell, xs, start = jrnn.window(3), normal(T, I), 7 + normal(2, I)
    padded = np.concatenate([start, xs])
    params = cell.init(jax.random.key(0), xs[0])._replace(start=start)
    expected = [padded[t : t + 3].reshape(-1) for t in range(T)]
    np.testing.assert_array_equal(outputs(cell, params, xs), expected)


def test_janet_that_writes_what_it_forgets_is_a_ugrnn():
    xs, ugrnn = normal(T, I), jrnn.ugrnn(H)
    params = params_of(ugrnn, xs[0])
    same = jrnn.JANETParams(*params)
    got = outputs(jrnn.janet(H, beta=0.0), same, xs)
    np.testing.assert_allclose(got, outputs(ugrnn, params, xs), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conv", "dense", "types"),
    [
        (jrnn.conv_lstm, jrnn.lstm(O), jrnn.LSTMParams),
        (jrnn.conv_gru, jrnn.gru(O, "before"), None),
    ],
)
def test_a_kernel_of_one_place_is_a_cell_at_each_place(conv, dense, types):
    cell, xs = conv((2, 3), O, width=1), normal(T, 2, 3, I)
    params = params_of(cell, xs[0])
    w_x, w_h = params.w_x[0, 0], params.w_h[0, 0]
    if types is None:
        same = jrnn.GRUParams(w_x, w_h, params.b, jnp.zeros_like(params.b))
    else:
        same = types(w_x, w_h, params.b)
    places = xs.reshape(T, 6, I)
    run = jax.vmap(lambda xs: jrnn.unroll(dense, same, xs)[1], 1, 1)
    expected = jax.jit(run)(places).reshape(T, 2, 3, O)
    np.testing.assert_allclose(outputs(cell, params, xs), expected, atol=1e-12)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("make", [jrnn.slstm, jrnn.mlstm])
def test_exponential_gates_stay_within_range(make, forget):
    """Of pre-activations whose exponentials no float32 can hold."""
    cell, xs = make(H, forget=forget), 300 * normal(T, I).astype(jnp.float32)
    params = params_of(cell, xs[0])

    @jax.jit
    def run(params):
        loss = lambda p: jnp.square(jrnn.unroll(cell, p, xs)[1]).sum()
        return jrnn.unroll(cell, params, xs), jax.grad(loss)(params)

    for leaf in jax.tree.leaves(run(params)):
        assert jnp.isfinite(leaf).all()


def test_slstm_begins_with_its_first_proposal():
    """However small the gate that lets it in: c_1 / n_1 = tanh(z_1)."""
    cell = jrnn.slstm(H)
    x = jnp.ones(I, jnp.float32)
    params = params_of(cell, x)
    params = params._replace(b=params.b.at[:H].set(-1000.0))  # the input gate
    _, h = cell.step(params, cell.initial_carry(params), x)
    z, o = jnp.split((x @ params.w_x + params.b)[2 * H :], 2)
    expected = jax.nn.sigmoid(o) * jnp.tanh(z)
    np.testing.assert_allclose(h, expected, rtol=1e-5)


def test_mlstm_reads_the_value_of_a_key():
    """One association, asked for by its own key."""
    cell = jrnn.mlstm(2)
    w = jnp.zeros((3, 6)).at[0, 0].set(9.0).at[0, 2].set(9.0).at[1:, 4:].set(jnp.eye(2))
    params = cell.init(jax.random.key(0), jnp.zeros(3))._replace(w_qkv=w)
    params = params._replace(w_o=jnp.zeros((3, 2)), w_if=jnp.zeros((3, 2)))
    x = jnp.array([1.0, 0.3, -0.7])  # key and query 9 e_1, value (0.3, -0.7)
    _, h = cell.step(params, cell.initial_carry(params), x)
    np.testing.assert_allclose(2 * h, x[1:], rtol=1e-12)  # the output gate is 1/2


@pytest.mark.slow
def test_ltc_stays_between_zero_and_a_for_steps_of_any_length():
    cell, xs = jrnn.ltc(H), 5 * normal(40, I)
    params = params_of(cell, xs[0])
    times = jnp.asarray(10.0 ** np.random.default_rng(0).uniform(-3, 9, 40))
    ys = outputs(cell, params, (xs, times))
    low, high = jnp.minimum(params.a, 0)[None], jnp.maximum(params.a, 0)[None]
    assert ((ys >= low) & (ys <= high)).all()
    assert (jnp.ptp(ys, axis=0) > 0.01).all()  # it moves


def test_ltc_follows_its_equation_as_steps_get_small():
    """dh/dt = -(1 / tau + f) h + f a, by Euler's rule with many steps."""
    params = params_of(jrnn.ltc(H), normal(I))
    x, h = normal(I), normal(H)
    fused = lambda n: jrnn.ltc(H, n).step(params, h, x)[1]
    rate, euler = jnp.exp(-params.log_tau), h
    for _ in range(2000):
        f = jax.nn.sigmoid(x @ params.w_x + euler @ params.w_h + params.b)
        euler = euler + (-(rate + f) * euler + f * params.a) / 2000
    errors = [float(jnp.abs(fused(n) - euler).max()) for n in (2, 20)]
    assert errors[1] < 0.02 and 5 < errors[0] / errors[1] < 20  # first order


def test_cfc_gives_its_heads_in_the_order_of_time():
    cell = jrnn.cfc(H, 3)
    x, h = normal(I), normal(H)
    params = params_of(cell, x)
    u = jnp.tanh(x @ params.w_x + h @ params.w_h + params.b)
    f, g, k = jnp.split(u @ params.w_fgk + params.b_fgk, 3)
    at = lambda elapsed: cell.step(params, h, (x, elapsed))[1]
    np.testing.assert_allclose(at(0), (jnp.tanh(g) + jnp.tanh(k)) / 2, rtol=1e-12)
    late = jnp.where(f > 0, jnp.tanh(k), jnp.tanh(g))
    np.testing.assert_allclose(at(10**6), late, rtol=1e-12)
    np.testing.assert_allclose(at(1), cell.step(params, h, x)[1], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cfc-times", "conv_lstm", "mlstm"])
def test_programs_of_jax_hold_inputs_and_states_of_any_form(tmp_path, name):
    ex = example(name, "float32")
    x = jax.tree.map(lambda a: a[0], ex.xs)
    export.to_jax(tmp_path / "m", ex.cell, ex.params, x)
    assert (tmp_path / "m").stat().st_size > 1000
