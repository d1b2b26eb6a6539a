"""What wrappers of weights and of precision promise, against NumPy and PyTorch."""

import functools

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from cases import B, H, I, O, T, V, draw
from jax import lax

import jrnn
from jrnn._programs.program import inner_programs, nested_equations

SIGMOID = lambda z: 1 / (1 + np.exp(-z))


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def normal(seed, *shape, dtype=None):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def params_of(cell, x, scale=0.8, seed=3):
    spec = jax.eval_shape(cell.init, jax.random.key(0), x)
    return draw(np.random.default_rng(seed), spec, scale)


def effective(wrap, w):
    """The recurrent matrix that a wrapped linear network computes with."""
    size = len(w)
    cell = wrap(jrnn.elman(size, lambda z: z))
    zeros = jnp.zeros((1, size), w.dtype), jnp.zeros(size, w.dtype)
    params = jrnn.ElmanParams(zeros[0], w, zeros[1])
    return lambda carry: cell.step(params, carry, jnp.zeros(1, w.dtype))[1]


def matrix(wrap, w):
    return jax.vmap(effective(wrap, w))(jnp.eye(len(w), dtype=w.dtype))


# weight_dropout


def test_weight_dropout_has_one_mask_for_a_sequence():
    rate, size = 0.25, 60
    base, xs = jrnn.lstm(size), normal(1, T, I)
    params = params_of(base, xs[0])
    cell = jrnn.weight_dropout(base, rate)
    ys = jrnn.unroll(jrnn.record(cell), params, xs, key=jax.random.key(0))[1]
    (masks,) = ys.carry.mask  # (T, H, 4H)
    assert (masks == masks[:1]).all()
    mask = np.asarray(masks[0])
    np.testing.assert_allclose(mask[mask != 0], 1 / (1 - rate))
    error = 5 * (rate * (1 - rate) / mask.size) ** 0.5
    assert abs((mask != 0).mean() - (1 - rate)) < error
    dropped = params._replace(w_h=params.w_h * mask)
    close(ys.y, jrnn.unroll(base, dropped, xs)[1])


def test_weight_dropout_of_several_weights_draws_each_by_itself():
    cell = jrnn.weight_dropout(jrnn.gru(O), 0.5, weights=("w_x", "w_h"))
    params = params_of(cell, jnp.zeros(O))
    carry = cell.initial_carry(params, key=jax.random.key(0))
    w_x, w_h = carry.mask
    assert (w_x != w_h).any()
    new = jrnn.resample(cell, params, carry, jax.random.key(1))
    close(new.cell, carry.cell)
    assert (new.mask[0] != w_x).any() and (new.mask[1] != w_h).any()


@pytest.mark.slow
def test_one_key_for_all_rows_drops_the_same_weights_in_each():
    base, xs = jrnn.gru(20), normal(1, B, T, I)
    params, cell = params_of(base, xs[0, 0]), jrnn.weight_dropout(base, 0.5)
    run = lambda xs, key: jrnn.unroll(cell, params, xs, key=key)
    shared, _ = jax.vmap(run, (0, None))(xs, jax.random.key(0))
    own, _ = jax.vmap(run)(xs, jax.random.split(jax.random.key(0), B))
    assert (shared.mask[0] == shared.mask[0][:1]).all()
    assert (own.mask[0][0] != own.mask[0][1]).any()
    program = jax.make_jaxpr(jax.vmap(run, (0, None)))(xs, jax.random.key(1))
    products = [
        eqn.invars[1].aval.shape
        for outer in program.jaxpr.eqns
        for eqn in nested_equations(outer)
        if eqn.primitive.name == "dot_general"
    ]
    assert products and all(len(shape) == 2 for shape in products)  # one weight


# weight_norm


@pytest.mark.slow
def test_weight_norm_starts_as_the_cell_and_follows_its_equation():
    base, xs = jrnn.lstm(H), normal(1, T, I)
    cell = jrnn.weight_norm(base)
    params = cell.init(jax.random.key(0), xs[0])
    plain = base.init(jax.random.key(0), xs[0])
    close(jrnn.unroll(cell, params, xs), jrnn.unroll(base, plain, xs))
    params = params_of(cell, xs[0])
    v = jax.tree.map(np.asarray, params.cell)
    of = lambda v, g: np.asarray(g) * v / np.sqrt((v**2).sum(axis=0))
    w_x, w_h = of(v.w_x, params.g[0]), of(v.w_h, params.g[1])
    same = jrnn.LSTMParams(w_x, w_h, v.b)
    close(jrnn.unroll(cell, params, xs), jrnn.unroll(base, same, xs))


@pytest.mark.slow
def test_weight_norm_of_kernels_is_of_each_output_channel():
    cell, xs = jrnn.weight_norm(jrnn.conv_gru((5,), O)), normal(1, T, 5, I)
    params = params_of(cell, xs[0])
    scale = params.g[1] / jnp.linalg.norm(params.cell.w_h.reshape(-1, 3 * O), axis=0)
    same = params.cell._replace(w_h=params.cell.w_h * scale[None, None])
    twin = jrnn.weight_norm(jrnn.conv_gru((5,), O), weights=("w_x",))
    expected = jrnn.unroll(twin, jrnn.WeightNormParams(same, params.g[:1]), xs)
    close(jrnn.unroll(cell, params, xs), expected)


# spectral_norm, spectral_bound


@pytest.mark.parametrize("shape", [(H, H), (H, 4 * H), (4 * H, H), (3, I, O)])
def test_the_largest_singular_value_equals_numpy_s(shape):
    w = normal(1, *shape)
    u, s, v = np.linalg.svd(np.asarray(w).reshape(-1, shape[-1]))
    got, slope = jax.value_and_grad(jrnn.wrappers.weights.largest_singular_value)(w)
    np.testing.assert_allclose(got, s[0], rtol=1e-13)
    np.testing.assert_allclose(
        slope.reshape(-1, shape[-1]), np.outer(u[:, 0], v[0]), atol=1e-12
    )


@pytest.mark.parametrize("value", [1.0, 0.3])
def test_spectral_norm_by_numpy(value):
    w = normal(1, 7, 7)
    s = np.linalg.norm(np.asarray(w), 2)
    got = matrix(lambda cell: jrnn.spectral_norm(cell, value), w)
    close(got, value * np.asarray(w) / s)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(got), 2), value, rtol=1e-13)


@pytest.mark.parametrize("factor", [0.5, 0.999, 1.001, 4.0])
def test_spectral_bound_scales_only_what_is_outside(factor):
    w = normal(1, 7, 7)
    s = float(np.linalg.norm(np.asarray(w), 2))
    got = matrix(lambda cell: jrnn.spectral_bound(cell, factor * s), w)
    close(got, np.asarray(w) * min(1.0, factor))


@pytest.mark.slow
def test_spectral_bound_lets_zeros_and_orthogonal_weights_be_trained():
    """Where the largest singular value is not simple, a subgradient, and no NaN."""
    for w in (jnp.zeros((4, 4)), jnp.eye(4), jnp.linalg.qr(normal(1, 4, 4))[0]):
        for bound in (0.5, 2.0):
            wrap = lambda cell: jrnn.spectral_bound(cell, bound)  # noqa: B023
            loss = lambda w: effective(wrap, w)(jnp.arange(1.0, 5.0)).sum()  # noqa: B023
            assert jnp.isfinite(jax.grad(loss)(w)).all()
    spread = lambda w: effective(jrnn.spectral_norm, w)(jnp.arange(1.0, 5.0)).sum()
    assert jnp.isfinite(jax.grad(spread)(jnp.eye(4))).all()


def test_a_tanh_network_under_spectral_norm_forgets_where_it_started():
    cell, xs = jrnn.spectral_norm(jrnn.elman(30), 0.9), normal(1, 40, I)
    params = params_of(cell, xs[0], 2.0)
    run = jax.jit(lambda h: jrnn.unroll(cell, params, xs, h)[1])
    start = normal(2, 2, 30)
    distance = np.linalg.norm(run(start[0]) - run(start[1]), axis=1)
    before = np.concatenate([[np.linalg.norm(start[0] - start[1])], distance[:-1]])
    assert (distance <= 0.9 * before + 1e-14).all() and before[0] > 1
    plain = jax.jit(lambda h: jrnn.unroll(jrnn.elman(30), params, xs, h)[1])
    assert np.linalg.norm(plain(start[0])[-1] - plain(start[1])[-1]) > 0.1


# PyTorch, whose weights lie the other way round


def torch_lstm(params, torch):
    net = torch.nn.LSTM(I, H).double()
    zeros = jnp.zeros_like(params.b)
    values = params.w_x.T, params.w_h.T, params.b, zeros
    for name, value in zip(
        ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
        values,
        strict=True,
    ):
        getattr(net, name).data.copy_(torch.tensor(np.array(value)))
    return net


def loss_and_gradients(cell, params, xs):
    loss = lambda params, xs: jnp.sin(jrnn.unroll(cell, params, xs)[1]).sum()
    return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, xs)


@pytest.mark.slow
def test_weight_norm_equals_torch():
    torch = pytest.importorskip("torch")
    cell, xs = jrnn.weight_norm(jrnn.lstm(H)), normal(1, T, I)
    params = params_of(cell, xs[0])
    net = torch_lstm(params.cell, torch)
    for name, g in zip(("weight_ih_l0", "weight_hh_l0"), params.g, strict=True):
        torch.nn.utils.parametrizations.weight_norm(net, name, dim=0)
        own = net.parametrizations[name].original0
        own.data.copy_(torch.tensor(np.array(g))[:, None])
    t_xs = torch.tensor(np.array(xs), requires_grad=True)
    t_loss = net(t_xs)[0].sin().sum()
    t_loss.backward()
    loss, (grads, d_xs) = loss_and_gradients(cell, params, xs)
    close(loss, t_loss.item(), 1e-10)
    close(d_xs, t_xs.grad.numpy(), 1e-10)
    for k, (name, weight) in enumerate(
        [("weight_ih_l0", grads.cell.w_x), ("weight_hh_l0", grads.cell.w_h)]
    ):
        own = net.parametrizations[name]
        close(grads.g[k], own.original0.grad.numpy()[:, 0], 1e-10)
        close(weight.T, own.original1.grad.numpy(), 1e-10)


@pytest.mark.slow
def test_spectral_norm_equals_torch_after_many_of_its_iterations():
    torch = pytest.importorskip("torch")
    cell, xs = jrnn.spectral_norm(jrnn.lstm(H)), normal(1, T, I)
    params = params_of(cell, xs[0])
    net = torch_lstm(params, torch)
    torch.nn.utils.parametrizations.spectral_norm(
        net, "weight_hh_l0", n_power_iterations=3000
    )
    t_xs = torch.tensor(np.array(xs), requires_grad=True)
    t_loss = net(t_xs)[0].sin().sum()
    t_loss.backward()
    loss, (grads, d_xs) = loss_and_gradients(cell, params, xs)
    close(loss, t_loss.item(), 1e-10)
    close(d_xs, t_xs.grad.numpy(), 1e-10)
    own = net.parametrizations["weight_hh_l0"].original.grad.numpy()
    close(grads.w_h.T, own, 1e-10)


@pytest.mark.slow
def test_tied_equals_torch():
    torch = pytest.importorskip("torch")
    size = 6
    cell, tokens = jrnn.tied(jrnn.embed(V, size), jrnn.lstm(size)), np.arange(9) % V
    params = params_of(cell, jnp.array(0))
    table = torch.nn.Embedding(V, size).double()
    net = torch.nn.LSTM(size, size).double()
    readout = torch.nn.Linear(size, V).double()
    readout.weight = table.weight
    table.weight.data.copy_(torch.tensor(np.array(params.embed.table)))
    readout.bias.data.copy_(torch.tensor(np.array(params.b)))
    p = params.cell
    for name, value in zip(
        ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
        (p.w_x.T, p.w_h.T, p.b, jnp.zeros_like(p.b)),
        strict=True,
    ):
        getattr(net, name).data.copy_(torch.tensor(np.array(value)))
    logits = readout(net(table(torch.tensor(tokens[:-1])))[0])
    t_loss = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]))
    t_loss.backward()

    def loss(params):
        logits = jrnn.unroll(cell, params, jnp.asarray(tokens[:-1]))[1]
        return jrnn.losses.cross_entropy(logits, jnp.asarray(tokens[1:]))

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    close(value, t_loss.item(), 1e-10)
    close(grads.embed.table, table.weight.grad.numpy(), 1e-10)
    close(grads.b, readout.bias.grad.numpy(), 1e-10)
    close(grads.cell.w_h.T, net.weight_hh_l0.grad.numpy(), 1e-10)


@pytest.mark.slow
def test_tied_is_an_embedding_and_a_readout_with_one_table():
    inner = jrnn.stack(jrnn.gru(H), jrnn.linear(O))
    tokens = jnp.array([3, 0, V - 1, 2])
    cell = jrnn.tied(jrnn.embed(V, O), inner)
    params = params_of(cell, tokens[0])
    untied = jrnn.stack(jrnn.embed(V, O), inner, jrnn.linear(V))

    def apart(read, guess):
        own = jrnn.EmbedParams(read), params.cell, jrnn.LinearParams(guess.T, params.b)
        return jrnn.unroll(untied, own, tokens)[1]

    table = params.embed.table
    close(jrnn.unroll(cell, params, tokens)[1], apart(table, table))
    both = jax.grad(lambda a, b: jnp.sin(apart(a, b)).sum(), (0, 1))(table, table)
    of = lambda t: params._replace(embed=jrnn.EmbedParams(t))
    one = jax.grad(lambda t: jnp.sin(jrnn.unroll(cell, of(t), tokens)[1]).sum())(table)
    close(one, both[0] + both[1])
    number = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    spec = jax.eval_shape(untied.init, jax.random.key(0), tokens[0])
    assert number(spec) - number(params) == V * O


# Weights are computed once for a sequence

WRAPPED = {
    "weight_dropout": lambda cell: jrnn.weight_dropout(cell, 0.5),
    "weight_norm": jrnn.weight_norm,
    "spectral_norm": jrnn.spectral_norm,
    "spectral_bound": lambda cell: jrnn.spectral_bound(cell, 0.9),
    "mixed_precision": jrnn.mixed_precision,
}


def report_of(cell, xs):
    params = params_of(cell, xs[0])
    carry = cell.initial_carry(params, key=jax.random.key(0))
    return jrnn.scan_report(lambda c, x: cell.step(params, c, x), carry, xs)


@pytest.mark.parametrize("base", [jrnn.lstm, jrnn.gru])
@pytest.mark.parametrize("name", WRAPPED)
def test_the_loop_is_that_of_the_bare_cell(name, base):
    xs = normal(1, T, I, dtype=jnp.float32)
    bare, wrapped = report_of(base(H), xs), report_of(WRAPPED[name](base(H)), xs)
    exact = lambda lines: [x for x in lines if "convert_element_type" not in x]
    for part in ("step", "derivative"):
        for place in ("before", "loop", "after"):
            old, new = (getattr(r, part)[place] for r in (bare, wrapped))
            if name == "mixed_precision":  # what is rounded in the loop is a vector
                assert {x for x in new if x not in exact(new)} <= {
                    f"convert_element_type bfloat16[{n}]" for n in (I, H)
                }
                new = exact(new)
            assert sorted(new) == sorted(exact(old)), (part, place)
    assert any("dot_general" in line for line in wrapped.step["before"])


@pytest.mark.slow
def test_the_norm_is_computed_once_in_a_compiled_gradient():
    xs = normal(1, B, T, I)
    params = params_of(jrnn.lstm(H), xs[0, 0])

    def loops(cell):
        run = lambda params, xs: jrnn.unroll(cell, params, xs)[1]
        loss = lambda params: jnp.sin(jax.vmap(run, (None, 0))(params, xs)).sum()
        text = jax.jit(jax.grad(loss)).lower(params).compile().as_text()
        return text.count(" while(")

    # its own loop over squarings, in none of the loops over time
    assert loops(jrnn.spectral_norm(jrnn.lstm(H))) == loops(jrnn.lstm(H)) + 1


# mixed_precision


def rounded(x):
    return np.asarray(x, ml_dtypes.bfloat16).astype(np.float64)


@pytest.mark.parametrize("kind", ["lstm", "gru", "elman"])
def test_mixed_precision_rounds_the_factors_and_nothing_else(kind):
    """Against NumPy in double precision with both factors rounded by ml_dtypes."""
    cell = jrnn.mixed_precision(getattr(jrnn, kind)(H))
    xs = normal(1, T, I, dtype=jnp.float32)
    params = params_of(cell, xs[0])
    ys = np.asarray(jrnn.unroll(cell, params, xs)[1])
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    h, c = np.zeros(H), np.zeros(H)
    for t, x in enumerate(np.asarray(xs)):
        z_x = rounded(x) @ rounded(params.w_x)
        # the state that came out is the one that goes in: errors do not add up
        z_h = rounded(ys[t - 1] if t else h) @ rounded(params.w_h)
        if kind == "elman":
            h = np.tanh(z_x + z_h + p.b)
        elif kind == "lstm":
            i, f, g, o = np.split(z_x + z_h + p.b, 4)
            c = SIGMOID(f) * c + SIGMOID(i) * np.tanh(g)
            h = SIGMOID(o) * np.tanh(c)
        else:
            r_x, u_x, n_x = np.split(z_x + p.b_x, 3)
            r_h, u_h, n_h = np.split(z_h + p.b_h, 3)
            u = SIGMOID(u_x + u_h)
            before = np.asarray(ys[t - 1], np.float64) if t else np.zeros(H)
            h = (1 - u) * np.tanh(n_x + SIGMOID(r_x + r_h) * n_h) + u * before
        np.testing.assert_allclose(ys[t], h, atol=1e-6)
    exact = np.asarray(jrnn.unroll(getattr(jrnn, kind)(H), params, xs)[1])
    assert 1e-4 < abs(ys - exact).max() < 0.05  # it is rounded, and no more


def dtypes_in(program):
    """(operation, dtypes of its inputs, dtypes of its results) of all equations."""
    dtype = lambda a: str(getattr(a.aval, "dtype", ""))
    for outer in program.jaxpr.eqns:
        for eqn in nested_equations(outer):
            if not any(True for _ in inner_programs(eqn)):
                yield (
                    eqn.primitive.name,
                    {dtype(a) for a in eqn.invars},
                    {dtype(a) for a in eqn.outvars},
                )


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_what_runs_in_which_dtype(kind):
    cell = jrnn.mixed_precision(getattr(jrnn, kind)(H))
    x = normal(1, I, dtype=jnp.float32)
    params = params_of(cell, x)
    carry = cell.initial_carry(params)
    found = list(dtypes_in(jax.make_jaxpr(cell.step)(params, carry, x)))
    products = [ends for name, *ends in found if name == "dot_general"]
    assert products == [[{"bfloat16"}, {"float32"}]] * 2
    others = [
        (name, given, made)
        for name, given, made in found
        if name not in ("dot_general", "convert_element_type")
    ]
    assert len(others) > 5
    assert all("bfloat16" not in given | made for _, given, made in others)
    rounding = [made for name, _, made in found if name == "convert_element_type"]
    assert rounding == [{"bfloat16"}] * 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gradients_of_mixed_precision_are_float32_and_near(kind):
    base = getattr(jrnn, kind)(32)
    xs = normal(1, B, 20, I, dtype=jnp.float32)
    params = params_of(base, xs[0, 0], 0.3)

    def gradient(cell):
        run = lambda params, xs: jrnn.unroll(cell, params, xs)[1]
        total = lambda params, xs: jnp.sin(jax.vmap(run, (None, 0))(params, xs)).sum()
        return jax.jit(jax.grad(total, (0, 1)))(params, xs)

    exact, got = gradient(base), gradient(jrnn.mixed_precision(base))
    assert {str(g.dtype) for g in jax.tree.leaves(got)} == {"float32"}
    for a, b in zip(*map(jax.tree.leaves, (got, exact)), strict=True):
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert 1e-5 < error < 0.02


@pytest.mark.slow
def test_a_carry_sums_up_what_bfloat16_would_lose():
    """An integrator: each of 200 steps adds 2^-5 to 8; bfloat16 has steps of 2^-4."""
    cell = jrnn.mixed_precision(jrnn.lstm(2))
    x = jnp.zeros(1, jnp.float32)
    params = jax.tree.map(jnp.zeros_like, cell.init(jax.random.key(0), x))
    g = float(np.arctanh(2.0**-5))
    b = jnp.array([30, 30, 30, 30, g, g, 0, 0], jnp.float32)  # i = f = 1
    start = jrnn.LSTMCarry(jnp.zeros(2, jnp.float32), jnp.full(2, 8, jnp.float32))
    xs = jnp.zeros((200, 1), jnp.float32)
    last, _ = jrnn.unroll(cell, params._replace(b=b), xs, start)
    np.testing.assert_allclose(last.c, 8 + 200 * 2.0**-5, rtol=1e-4)
    half = lambda tree: jax.tree.map(lambda a: a.astype(jnp.bfloat16), tree)
    lost, _ = jrnn.unroll(
        jrnn.lstm(2), half(params._replace(b=b)), half(xs), half(start)
    )
    assert (lost.c == 8).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_other_dtypes_round_to_what_they_hold(dtype):
    base, xs = jrnn.gru(H), normal(1, T, I)
    params = params_of(base, xs[0])
    exact = jrnn.unroll(base, params, xs)[1]
    got = jrnn.unroll(jrnn.mixed_precision(base, dtype), params, xs)[1]
    size = float(jnp.finfo(dtype).eps)
    assert (
        got.dtype == exact.dtype and size / 100 < jnp.abs(got - exact).max() < size * 4
    )


def test_mixed_precision_of_a_model_in_half_precision_changes_nothing():
    base, xs = jrnn.lstm(H), normal(1, T, I, dtype=jnp.bfloat16)
    params = params_of(base, xs[0])
    chex.assert_trees_all_equal(
        jrnn.unroll(jrnn.mixed_precision(base), params, xs),
        jrnn.unroll(base, params, xs),
    )


@pytest.mark.slow
def test_mixed_precision_reaches_all_products_of_a_model():
    """Of a stack, of a cell with random numbers, and under lax.scan."""
    base = jrnn.stack(jrnn.embed(V, I), jrnn.dropout(jrnn.gru(H), 0.3), jrnn.linear(V))
    cell, tokens = jrnn.mixed_precision(base), jnp.array([1, 4, 2])
    params = params_of(cell, tokens[0])
    carry = cell.initial_carry(params, key=jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 3)
    step = lambda carry, x: cell.step(params, carry, x[0], key=x[1])
    expected = lax.scan(step, carry, (tokens, keys))[1]
    keys = jax.random.split(jax.random.key(1), 3)
    close(jrnn.scan(step, carry, (tokens, keys))[1], expected, 1e-12)
    keys = jax.random.split(jax.random.key(1), 3)
    program = jax.make_jaxpr(step)(carry, (tokens[0], keys[0]))
    products = [ends for name, *ends in dtypes_in(program) if name == "dot_general"]
    assert len(products) == 3 and all(given == {"bfloat16"} for given, _ in products)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        functools.partial(jrnn.weight_dropout, rate=0.5),
        jrnn.weight_norm,
        jrnn.spectral_norm,
        jrnn.spectral_bound,
    ],
    ids=["weight_dropout", "weight_norm", "spectral_norm", "spectral_bound"],
)
def test_weights_are_found_in_a_dict_as_in_a_named_tuple(wrap):
    """A cell of one's own keeps its weights as it likes."""
    base = jrnn.elman(H)

    def step(params, carry, x, *, key=None):
        return base.step(jrnn.ElmanParams(**params), carry, x, key=key)

    own = jrnn.Cell(
        lambda key, x: base.init(key, x)._asdict(),
        lambda params, *, key=None: base.initial_carry(jrnn.ElmanParams(**params)),
        step,
    )
    xs = jnp.asarray(np.random.default_rng(1).normal(size=(T, I)))

    def outputs(cell, **options):
        made = wrap(cell, **options)
        params = made.init(jax.random.key(0), xs[0])
        return jrnn.unroll(made, params, xs, key=jax.random.key(1))[1]

    np.testing.assert_array_equal(outputs(own), outputs(base))
    with pytest.raises(
        TypeError, match=r"dict has no weight u\. It has w_x, w_h: name"
    ):
        outputs(own, weights=("u",))
