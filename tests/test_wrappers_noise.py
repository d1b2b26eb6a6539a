"""What zoneout and recurrent dropout promise beyond the laws, against NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import H, I, T, draw

import jrnn

SIGMOID = lambda z: 1 / (1 + np.exp(-z))
CELLS = {
    "lstm": jrnn.lstm,
    "gru": jrnn.gru,
    "gru-before": lambda size: jrnn.gru(size, "before"),
}


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def params_of(cell, x, scale=0.8, seed=3):
    spec = jax.eval_shape(cell.init, jax.random.key(0), x)
    return draw(np.random.default_rng(seed), spec, scale)


def gated(name, p, carry, x):
    """Of one step in NumPy: the state kept, the factor of the candidate, and it."""
    p, carry, x = jax.tree.map(np.asarray, (p, carry, x))
    if name == "lstm":
        z = x @ p.w_x + carry.h @ p.w_h + p.b
        i, f, g, o = np.split(z, 4)
        return SIGMOID(f) * carry.c, SIGMOID(i), np.tanh(g), SIGMOID(o)
    r_x, z_x, n_x = np.split(x @ p.w_x + p.b_x, 3)
    if name == "gru":
        r_h, z_h, n_h = np.split(carry @ p.w_h + p.b_h, 3)
        n = np.tanh(n_x + SIGMOID(r_x + r_h) * n_h)
    else:
        w_r, w_z, w_n = np.split(p.w_h, 3, axis=1)
        b_r, z_b, b_n = np.split(p.b_h, 3)
        r_h, z_h = carry @ w_r + b_r, carry @ w_z + z_b
        n = np.tanh(n_x + (SIGMOID(r_x + r_h) * carry) @ w_n + b_n)
    z = SIGMOID(z_x + z_h)
    return z * carry, 1 - z, n, None


def numpy_step(name, p, carry, x, mask=1.0):
    """The carry after a step whose candidate is multiplied by a mask."""
    kept, factor, n, o = gated(name, p, carry, x)
    new = kept + factor * mask * n
    return new if o is None else jrnn.LSTMCarry(o * np.tanh(new), new)


def states(carry):
    return list(carry) if isinstance(carry, tuple) else [carry]


def recorded(cell, params, xs, key=None):
    """Carries before and after each step, and outputs, as lists over time."""
    first = cell.initial_carry(params)
    first = jax.tree.map(lambda a: a + 0.3, first)
    run = jax.jit(lambda *a: jrnn.unroll(jrnn.record(cell), *a, key=key)[1])
    ys = run(params, xs, first)
    after = [jax.tree.map(lambda a, t=t: a[t], ys.carry) for t in range(len(xs))]
    return [first, *after[:-1]], after, ys.y


# zoneout


@pytest.mark.parametrize("name", CELLS)
def test_units_under_zoneout_have_the_old_state_or_the_new_one(name):
    size, rates = 300, (0.25, 0.4)
    given = rates if name == "lstm" else rates[:1]
    base, xs = CELLS[name](size), normal(1, T, I)
    params = params_of(base, xs[0], 0.1)
    cell = jrnn.zoneout(base, *given)
    before, after, ys = recorded(cell, params, xs, jax.random.key(4))
    shares = np.zeros((T, len(given)))
    for t in range(T):
        new = numpy_step(name, params, before[t], xs[t])
        close(ys[t], states(after[t])[0])
        for k, (was, candidate, now) in enumerate(
            zip(*map(states, (before[t], new, after[t])), strict=True)
        ):
            kept = np.asarray(now == was)
            close(now, np.where(kept, was, candidate))
            shares[t, k] = kept.mean()
    for share, rate in zip(shares.mean(axis=0), given, strict=True):
        assert abs(share - rate) < 5 * (rate * (1 - rate) / (T * size)) ** 0.5


@pytest.mark.slow
def test_zoneout_draws_h_and_c_apart_and_anew_at_every_step():
    cell, xs = jrnn.zoneout(jrnn.lstm(100), 0.5, 0.5), normal(1, T, I)
    params = params_of(cell, xs[0], 0.1)
    before, after, _ = recorded(cell, params, xs, jax.random.key(4))
    kept = [
        np.stack([a == b for a, b in zip(new, old, strict=True)])
        for new, old in zip(after, before, strict=True)
    ]
    masks = np.stack(kept).reshape(2 * T, 100)
    agree = (masks[:, None] == masks[None]).mean(axis=-1)
    off = agree[~np.eye(2 * T, dtype=bool)]
    assert (abs(off - 0.5) < 5 * (0.25 / 100) ** 0.5).all()


@pytest.mark.slow
def test_zoneout_of_c_alone_leaves_h_and_of_h_alone_leaves_c():
    base, x = jrnn.lstm(40), normal(1, I)
    params, carry = params_of(base, x), jrnn.LSTMCarry(normal(2, 40), normal(3, 40))
    plain = base.step(params, carry, x)[0]
    of_h = jrnn.zoneout(base, 0.5).step(params, carry, x, key=jax.random.key(0))[0]
    of_c = jrnn.zoneout(base, 0.0, 0.5)
    of_c = of_c.step(params, carry, x, key=jax.random.key(0))[0]
    close((of_h.c, of_c.h), (plain.c, plain.h))
    assert 0 < (of_h.h != plain.h).sum() < 40 and 0 < (of_c.c != plain.c).sum() < 40


@pytest.mark.parametrize("name", CELLS)
def test_the_mean_of_zoneout_by_numpy(name):
    rates = (0.25, 0.4) if name == "lstm" else (0.25,)
    base, xs = CELLS[name](H), normal(1, T, I)
    params = params_of(base, xs[0])
    before, after, ys = recorded(jrnn.zoneout_mean(base, *rates), params, xs)
    for t in range(T):
        new = numpy_step(name, params, before[t], xs[t])
        mixed = [
            rate * np.asarray(was) + (1 - rate) * candidate
            for rate, was, candidate in zip(
                rates, states(before[t]), states(new), strict=True
            )
        ]
        close(states(after[t]), mixed)
        close(ys[t], mixed[0])


@pytest.mark.slow
def test_zoneout_mean_is_the_mean_of_zoneout():
    base, x, n = jrnn.lstm(H), normal(1, I), 4000
    params, carry = params_of(base, x), jrnn.LSTMCarry(normal(2, H), normal(3, H))
    run = lambda key: jrnn.zoneout(base, 0.2, 0.6).step(params, carry, x, key=key)
    drawn = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), n))
    mean = jrnn.zoneout_mean(base, 0.2, 0.6).step(params, carry, x)
    for some, one in zip(*map(jax.tree.leaves, (drawn, mean)), strict=True):
        error = 5 * np.asarray(some).std(axis=0) / n**0.5
        assert (abs(np.asarray(some).mean(axis=0) - one) <= error).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_without_a_rate_they_are_the_cell(name):
    base, xs = CELLS[name](H), normal(1, T, I)
    params, rates = params_of(base, xs[0]), (0.0, 0.0) if name == "lstm" else (0.0,)
    expected = jrnn.unroll(base, params, xs)
    for cell in (
        jrnn.zoneout(base, *rates),
        jrnn.zoneout_mean(base, *rates),
        jrnn.recurrent_dropout(base, 0.0),
    ):
        close(jrnn.unroll(cell, params, xs, key=jax.random.key(0)), expected)


# recurrent_dropout


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_dropout_acts_on_the_candidate_alone(name):
    size, rate = 300, 0.25
    base, xs = CELLS[name](size), normal(1, T, I)
    params = params_of(base, xs[0], 0.1)
    cell = jrnn.recurrent_dropout(base, rate)
    before, after, ys = recorded(cell, params, xs, jax.random.key(4))
    masks = []
    for t in range(T):
        kept, factor, n, _ = gated(name, params, before[t], xs[t])
        mask = (np.asarray(states(after[t])[-1]) - kept) / (factor * n)
        masks.append(np.where(abs(mask) < 0.5, 0.0, 1 / (1 - rate)))
        expected = numpy_step(name, params, before[t], xs[t], masks[-1])
        close((after[t], ys[t]), (expected, states(expected)[0]))
    masks = np.stack(masks) != 0
    error = 5 * (rate * (1 - rate) / masks.size) ** 0.5
    assert abs(masks.mean() - (1 - rate)) < error
    for t in range(1, T):  # anew: masks agree as often as chance has it
        agree = (masks[t] == masks[0]).mean()
        assert abs(agree - ((1 - rate) ** 2 + rate**2)) < 5 * (0.25 / size) ** 0.5


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_dropout_forgets_nothing_that_the_gates_keep(name):
    """With gates that keep all, the state of the start is there after 300 steps."""
    base, xs = CELLS[name](H), normal(1, 300, I)
    params = params_of(base, xs[0])
    closed = -40.0 if name == "lstm" else 40.0  # i of an LSTM; z of a GRU
    place = slice(0, H) if name == "lstm" else slice(H, 2 * H)
    b = "b" if name == "lstm" else "b_x"
    params = params._replace(**{b: getattr(params, b).at[place].set(closed)})
    if name == "lstm":
        params = params._replace(b=params.b.at[H : 2 * H].set(40.0))
    start = jax.tree.map(lambda a: a + 0.7, base.initial_carry(params))
    cell = jrnn.recurrent_dropout(base, 0.5)
    last, _ = jrnn.unroll(cell, params, xs, start, key=jax.random.key(0))
    close(states(last)[-1], states(start)[-1])


@pytest.mark.slow
def test_recurrent_dropout_of_a_cell_of_ones_own():
    """A leaky sum that says what it would write."""

    def run(params, carry, x, change, *, key=None):
        h = 0.5 * carry + change(jnp.tanh(x * params))
        return h, h

    init = lambda key, x: jnp.ones_like(x)
    start = lambda params, *, key=None: jnp.zeros_like(params)
    own = jrnn.Cell(init, start, jrnn.CandidateStep(run))
    xs = normal(1, T, 200)
    params = own.init(jax.random.key(0), xs[0])
    plain = jrnn.unroll(own, params, xs)[1]
    expected = np.zeros(200)
    for t, x in enumerate(np.asarray(xs)):
        expected = 0.5 * expected + np.tanh(x)
        close(plain[t], expected)
    cell = jrnn.recurrent_dropout(own, 0.5)
    first = cell.step(params, jnp.zeros(200), xs[0], key=jax.random.key(1))[1]
    assert 0.3 < (first == 0).mean() < 0.7
    close(first[first != 0], 2 * plain[0][first != 0])


@pytest.mark.slow
def test_rows_of_a_batch_are_dropped_apart():
    base, xs = jrnn.gru(60), jnp.stack([normal(1, T, I)] * 2)
    params = params_of(base, xs[0, 0])
    for cell in (jrnn.zoneout(base, 0.5), jrnn.recurrent_dropout(base, 0.5)):
        run = lambda xs, key: jrnn.unroll(cell, params, xs, key=key)[1]  # noqa: B023
        ys = jax.jit(jax.vmap(run))(xs, jax.random.split(jax.random.key(0)))
        assert (ys[0, 0] != ys[1, 0]).mean() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [jrnn.zoneout, jrnn.zoneout_mean, jrnn.recurrent_dropout, jrnn.weight_dropout],
)
def test_the_rates_may_be_traced(wrap):
    base, xs = jrnn.gru(H), normal(1, T, I)
    params, key = params_of(base, xs[0]), lambda: jax.random.key(0)
    run = lambda rate: jrnn.unroll(wrap(base, rate), params, xs, key=key())[1]
    traced = jax.jit(run)
    for rate in (0.0, 0.3, 0.6):
        close(traced(rate), run(rate))
    assert (traced(0.0) != traced(0.6)).any()


@pytest.mark.parametrize("name", ["zoneout", "recurrent_dropout"])
def test_random_numbers_are_drawn_ahead_of_the_loop(name):
    cell, xs = getattr(jrnn, name)(jrnn.lstm(H), 0.3), normal(1, T, I)
    params = params_of(cell, xs[0])
    keys = jax.random.split(jax.random.key(0), T)
    report = jrnn.scan_report(
        lambda carry, x: cell.step(params, carry, x[0], key=x[1]),
        cell.initial_carry(params),
        (xs, keys),
    )
    assert any("random_bits" in line for line in report.step["before"])
    assert not any("random_bits" in line for line in report.step["loop"])
    for part in (report.step, report.derivative):
        assert sum("dot_general" in line for line in part["loop"]) == 1
    assert sum("dot_general" in line for line in report.step["before"]) == 1
