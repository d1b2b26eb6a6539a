"""What each wrapper and combinator promises beyond the laws."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import B, H, I, O, T, V, perturb
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn

SETTINGS = {"deadline": None, "max_examples": 40, "derandomize": True}


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def at(xs, index):
    return jax.tree.map(lambda x: x[index], xs)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def perturbed(cell, x, seed=0):
    return perturb(seed + 100, cell.init(jax.random.key(seed), x))


def weigh(x):
    return (jnp.cos(jnp.arange(1.0, x.size + 1)).reshape(x.shape) * x).sum()


# masked

MODEL = jrnn.stack(jrnn.residual(jrnn.gru(I)), jrnn.layer_norm(jrnn.lstm(H)))
MODEL_PARAMS = perturbed(MODEL, jnp.zeros(I))
GARBAGE = (0.0, 1e300, -1e300, np.nan, np.inf, -np.inf)


@jax.jit
def masked_run(params, xs, valid, carry):
    """Last carry, outputs, and gradients of a scalar of both."""

    def loss(params, xs, carry):
        last, ys = jrnn.unroll(jrnn.masked(MODEL), params, (xs, valid), carry)
        return sum(weigh(a) for a in jax.tree.leaves((last, ys))), (last, ys)

    grads, out = jax.grad(loss, (0, 1, 2), has_aux=True)(params, xs, carry)
    return out, grads


def model_carry(seed=5):
    return perturb(seed, MODEL.initial_carry(MODEL_PARAMS))


def valid_steps_only(xs, valid, carry):
    """The same by a loop over the valid steps, on the cell without a mask."""

    def loss(params, xs, carry):
        ys = [jnp.zeros(H)] * T
        for t in np.flatnonzero(valid):
            carry, ys[t] = step(params, carry, xs[t])
        ys = jnp.stack(ys)
        return sum(weigh(a) for a in jax.tree.leaves((carry, ys))), (carry, ys)

    grads, out = jax.grad(loss, (0, 1, 2), has_aux=True)(MODEL_PARAMS, xs, carry)
    return out, grads


step = jax.jit(MODEL.step)


@pytest.mark.slow
@settings(**SETTINGS)
@given(
    valid=st.lists(st.booleans(), min_size=T, max_size=T),
    garbage=st.lists(st.sampled_from(GARBAGE), min_size=T * I, max_size=T * I),
)
def test_masked_padding_reaches_nothing(valid, garbage):
    valid = np.array(valid)
    xs, carry = normal(1, T, I), model_carry()
    garbage = jnp.array(garbage).reshape(T, I)
    padded = jnp.where(jnp.asarray(valid)[:, None], xs, garbage)
    got = masked_run(MODEL_PARAMS, padded, valid, carry)
    assert (np.asarray(got[0][1])[~valid] == 0).all()
    assert (np.asarray(got[1][1])[~valid] == 0).all()
    chex.assert_tree_all_finite(got)
    # whatever the padding holds, bit for bit
    chex.assert_trees_all_equal(
        got, masked_run(MODEL_PARAMS, xs * 0 + xs, valid, carry)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "valid",
    [(1, 1, 0, 0, 0), (0, 1, 0, 1, 1), (1, 0, 0, 0, 1), (0, 0, 0, 0, 0)],
    ids=["right", "holes", "middle", "empty"],
)
def test_masked_equals_running_the_valid_steps(valid):
    valid = np.array(valid, bool)
    xs, carry = normal(1, T, I), model_carry()
    got = masked_run(MODEL_PARAMS, xs, valid, carry)
    close(got, valid_steps_only(xs, valid, carry))


@pytest.mark.parametrize("length", range(T + 1))
def test_masked_row_equals_the_row_cut_to_its_length(length):
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    padded = xs.at[length:].set(jnp.nan)
    mask = jrnn.length_mask(length, T)
    carry, ys = jrnn.unroll(jrnn.masked(cell), params, (padded, mask))
    if length == 0:
        chex.assert_trees_all_equal(carry, cell.initial_carry(params))
    else:
        expected, expected_ys = jrnn.unroll(cell, params, xs[:length])
        close((carry, ys[:length]), (expected, expected_ys))
    assert (ys[length:] == 0).all()


def test_masked_row_of_length_zero_returns_the_carry_given_or_its_own():
    cell = jrnn.masked(jrnn.learned_carry(jrnn.lstm(H)))
    xs = jnp.full((T, I), jnp.nan), jnp.zeros(T, bool)
    params = perturbed(cell, at(xs, 0))
    carry, ys = jrnn.unroll(cell, params, xs)
    chex.assert_trees_all_equal(carry, params.carry)
    assert (ys == 0).all()
    start = jrnn.LSTMCarry(normal(3, H), normal(4, H))
    chex.assert_trees_all_equal(jrnn.unroll(cell, params, xs, start)[0], start)


@pytest.mark.slow
def test_masked_keeps_nan_out_of_gradients_in_reverse_and_under_vmap():
    cell = jrnn.masked(jrnn.gru(H))
    params, xs = perturbed(cell, (jnp.zeros(I), True)), normal(2, B, T, I)
    lengths = jnp.array([2, 0, 5])
    mask = jax.vmap(lambda n: jrnn.length_mask(n, T))(lengths)

    def loss(params, xs):
        run = lambda xs, m: jrnn.unroll(cell, params, (xs, m), reverse=True)
        return sum(weigh(a) for a in jax.tree.leaves(jax.vmap(run)(xs, mask)))

    garbage = jnp.where(mask[..., None], xs, jnp.nan)
    clean = jax.grad(loss, (0, 1))(params, jnp.where(mask[..., None], xs, 0.3))
    close(jax.grad(loss, (0, 1))(params, garbage), clean)
    chex.assert_tree_all_finite(clean)


def test_masked_all_true_is_the_cell():
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    got = jrnn.unroll(jrnn.masked(cell), params, (xs, jnp.ones(T, bool)))
    close(got, jrnn.unroll(cell, params, xs))


@pytest.mark.slow
def test_masked_integer_tokens_out_of_range_are_not_read():
    cell = jrnn.masked(jrnn.stack(jrnn.embed(V, I), jrnn.gru(H)))
    tokens = jnp.array([3, 5, -9, 2**30, 1])
    mask = jnp.array([1, 1, 0, 0, 1], bool)
    params = perturbed(cell, (tokens[0], True))
    got = jrnn.unroll(cell, params, (tokens, mask))
    close(got, jrnn.unroll(cell, params, (tokens.at[2:4].set(0), mask)))
    close(
        got[1][jnp.array([0, 1, 4])],
        jrnn.unroll(
            jrnn.stack(jrnn.embed(V, I), jrnn.gru(H)),
            params,
            tokens[jnp.array([0, 1, 4])],
        )[1],
    )


@given(length=st.integers(-2, T + 2))
@settings(**SETTINGS)
def test_length_mask(length):
    expected = [t < length for t in range(T)]
    assert jrnn.length_mask(length, T).tolist() == expected
    assert jax.jit(jrnn.length_mask, static_argnums=1)(length, T).tolist() == expected


# reset


def test_reset_equals_separate_sequences():
    cell = jrnn.learned_carry(jrnn.lstm(H))
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    start = jnp.array([0, 0, 1, 1, 0], bool)
    carry, ys = jrnn.unroll(jrnn.reset(cell), params, (xs, start))
    parts = [jrnn.unroll(cell, params, x) for x in (xs[:2], xs[2:3], xs[3:])]
    close(ys, jnp.concatenate([y for _, y in parts]))
    close(carry, parts[-1][0])


def test_reset_comes_before_the_step_that_carries_the_flag():
    cell = jrnn.gru(H)
    params, x = perturbed(cell, jnp.zeros(I)), normal(2, I)
    run = jrnn.reset(cell).step
    fresh = cell.step(params, cell.initial_carry(params), x)
    close(run(params, normal(3, H), (x, True)), fresh)
    close(run(params, normal(3, H), (x, False)), cell.step(params, normal(3, H), x))


@pytest.mark.slow
def test_reset_forgets_a_carry_that_is_not_finite():
    cell = jrnn.reset(jrnn.gru(H))
    params, xs = perturbed(cell, (jnp.zeros(I), True)), normal(2, T, I)
    start = jnp.arange(T) == 0
    run = lambda params, carry: jrnn.unroll(cell, params, (xs, start), carry)[1].sum()
    bad, good = jnp.full(H, jnp.nan), jnp.zeros(H)
    close(jax.grad(run)(params, bad), jax.grad(run)(params, good))


def random_walk():
    """A stochastic cell: a random initial carry and random steps, both returned."""

    def initial_carry(params, *, key=None):
        return jax.random.normal(key, (2,))

    def step(params, carry, x, *, key=None):
        noise = jax.random.normal(key, (2,))
        return carry, jnp.stack([carry, noise])

    return jrnn.Cell(lambda key, x: (), initial_carry, step)


def test_reset_gives_every_use_its_own_key():
    xs = jnp.zeros((T, I)), jnp.ones(T, bool)
    _, ys = jrnn.unroll(jrnn.reset(random_walk()), (), xs, key=jax.random.key(3))
    draws = np.asarray(ys).reshape(2 * T, 2)
    assert len(np.unique(draws, axis=0)) == 2 * T


def test_reset_without_flags_is_the_cell():
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    carry = jrnn.LSTMCarry(normal(3, H), normal(4, H))
    got = jrnn.unroll(jrnn.reset(cell), params, (xs, jnp.zeros(T, bool)), carry)
    close(got, jrnn.unroll(cell, params, xs, carry))


@pytest.mark.slow
def test_reset_draws_new_variational_masks():
    cell = jrnn.reset(jrnn.record(jrnn.variational_dropout(jrnn.elman(40), 0.5)))
    xs = normal(2, T, I), jnp.array([0, 0, 1, 0, 0], bool)
    params = perturbed(cell, at(xs, 0))
    masks = jrnn.unroll(cell, params, xs, key=jax.random.key(3))[1].carry.mask
    assert (masks[0] == masks[1]).all()
    assert (masks[2:] == masks[2:3]).all()
    assert (masks[1] != masks[2]).any()


# bidirectional


def unroll_first(model, params, xs, length):
    """Run on the first steps of a padded sequence."""
    valid = jrnn.length_mask(length, len(xs))
    return jrnn.unroll(jrnn.masked(model), params, (xs, valid))


def two_cells():
    forward, backward = jrnn.lstm(H), jrnn.gru(O)
    params = perturbed(forward, jnp.zeros(I)), perturbed(backward, jnp.zeros(I), 1)
    return forward, backward, params


@pytest.mark.slow
def test_bidirectional_is_two_unrolls():
    forward, backward, params = two_cells()
    xs = normal(2, T, I)
    (f, b), ys = jrnn.unroll(jrnn.bidirectional(forward, backward), params, xs)
    f_carry, f_ys = jrnn.unroll(forward, params[0], xs)
    b_carry, b_ys = jrnn.unroll(backward, params[1], xs[::-1])
    close((f, b), (f_carry, b_carry))
    close(ys, jnp.concatenate([f_ys, b_ys[::-1]], axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("length", range(T + 1))
def test_bidirectional_with_length_equals_running_on_the_cut_sequence(length):
    forward, backward, params = two_cells()
    xs = normal(2, T, I)
    padded = xs.at[length:].set(jnp.inf)
    model = jrnn.bidirectional(forward, backward)
    run = lambda n: unroll_first(model, params, padded, n)
    carries, ys = jax.jit(run)(length)
    chex.assert_trees_all_close(run(length), (carries, ys), atol=1e-14)
    if length == 0:
        chex.assert_trees_all_equal(
            carries,
            (forward.initial_carry(params[0]), backward.initial_carry(params[1])),
        )
    else:
        expected = jrnn.unroll(model, params, xs[:length])
        close((carries, ys[:length]), expected)
    assert ys.shape == (T, H + O)
    assert (ys[length:] == 0).all()


@pytest.mark.slow
def test_bidirectional_gradients_do_not_see_padding():
    forward, backward, params = two_cells()
    xs = normal(2, T, I)
    model = jrnn.bidirectional(forward, backward)
    run = lambda params, xs, n: weigh(unroll_first(model, params, xs, n)[1][:2])
    got = jax.grad(run, (0, 1))(params, xs.at[2:].set(jnp.nan), 2)
    whole = lambda params, xs: weigh(jrnn.unroll(model, params, xs)[1])
    expected = jax.grad(whole, (0, 1))(params, xs[:2])
    close((got[0], got[1][:2]), expected)
    assert (got[1][2:] == 0).all()


def test_bidirectional_gives_each_direction_its_own_key():
    cell = jrnn.dropout(jrnn.activation(lambda x: x), 0.5)
    model, xs = jrnn.bidirectional(cell, cell), jnp.ones((T, 20))
    ys = jrnn.unroll(model, ((), ()), xs, key=jax.random.key(0))[1]
    assert (ys[:, :20] != ys[:, 20:]).any()


# learned_carry


def test_learned_carry_starts_as_the_cells_own_and_gets_a_gradient():
    cell = jrnn.learned_carry(jrnn.lstm(H))
    xs = normal(2, T, I)
    params = cell.init(jax.random.key(0), xs[0])
    chex.assert_trees_all_equal(params.carry, jrnn.lstm(H).initial_carry(params.cell))
    close(jrnn.unroll(cell, params, xs), jrnn.unroll(jrnn.lstm(H), params.cell, xs))
    grads = jax.grad(lambda p: jrnn.unroll(cell, p, xs)[1].sum())(params)
    assert all((g != 0).all() for g in jax.tree.leaves(grads.carry))
    params = params._replace(carry=jrnn.LSTMCarry(normal(3, H), normal(4, H)))
    expected = jrnn.unroll(jrnn.lstm(H), params.cell, xs, params.carry)
    close(jrnn.unroll(cell, params, xs), expected)


# dropout

IDENTITY = jrnn.activation(lambda x: x)


def test_dropout_of_rate_zero_is_the_cell():
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    got = jrnn.unroll(jrnn.dropout(cell, 0.0), params, xs, key=jax.random.key(0))
    close(got, jrnn.unroll(cell, params, xs))


@pytest.mark.slow
def test_dropout_zeroes_and_scales_independently_at_every_step():
    rate, size = 0.25, 400
    xs = jnp.full((T, size), 3.0)
    cell = jrnn.dropout(IDENTITY, rate)
    ys = jrnn.unroll(cell, (), xs, key=jax.random.key(0))[1]
    kept = ys != 0
    np.testing.assert_allclose(ys[kept], 3.0 / (1 - rate))
    # five standard errors of a share of T * size draws
    error = 5 * (rate * (1 - rate) / (T * size)) ** 0.5
    assert abs(kept.mean() - (1 - rate)) < error
    assert abs(ys.mean() - 3.0) < 3.0 / (1 - rate) * error
    for t in range(1, T):  # masks of two steps agree as often as chance has it
        agree = (kept[t] == kept[0]).mean()
        assert abs(agree - ((1 - rate) ** 2 + rate**2)) < 5 * (0.25 / size) ** 0.5


def test_dropout_leaves_the_recurrence_alone():
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    carry, _ = jrnn.unroll(jrnn.dropout(cell, 0.5), params, xs, key=jax.random.key(0))
    close(carry, jrnn.unroll(cell, params, xs)[0])


def test_dropout_draws_each_leaf_by_itself():
    cell = jrnn.dropout(jrnn.parallel(IDENTITY, IDENTITY), 0.5)
    a, b = jrnn.unroll(cell, ((), ()), jnp.ones((T, 20)), key=jax.random.key(0))[1]
    assert (a != b).any()


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", [jrnn.dropout, jrnn.variational_dropout])
def test_the_rate_may_be_traced(wrapper):
    base = jrnn.elman(H)
    params, xs = perturbed(base, jnp.zeros(I)), normal(2, T, I)
    traces = []

    @jax.jit
    def run(rate):
        traces.append(None)
        return jrnn.unroll(wrapper(base, rate), params, xs, key=jax.random.key(0))[1]

    for rate in (0.0, 0.3, 0.6):
        cell = wrapper(base, rate)
        close(run(rate), jrnn.unroll(cell, params, xs, key=jax.random.key(0))[1])
    assert len(traces) == 1
    assert (run(0.0) != run(0.6)).any()


# variational_dropout


def test_variational_dropout_of_rate_zero_is_the_cell():
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    wrapped = jrnn.variational_dropout(cell, 0.0)
    carry, ys = jrnn.unroll(wrapped, params, xs, key=jax.random.key(0))
    close((carry.cell, ys), jrnn.unroll(cell, params, xs))


@pytest.mark.parametrize("cell", [jrnn.elman(H), jrnn.lstm(H)], ids=["elman", "lstm"])
def test_variational_dropout_masks_the_hidden_state_that_enters(cell):
    params, x = perturbed(cell, jnp.zeros(I)), normal(2, I)
    inner = perturb(3, cell.initial_carry(params))
    mask = jnp.array([2.0, 0.0, 2.0, 0.0])
    got, y = jrnn.variational_dropout(cell, 0.5).step(
        params, jrnn.VariationalDropoutCarry(inner, mask), x
    )
    dropped = inner._replace(h=inner.h * mask) if hasattr(inner, "h") else inner * mask
    expected, expected_y = cell.step(params, dropped, x)
    close((got.cell, y), (expected, expected_y))
    assert (got.mask == mask).all()


@pytest.mark.slow
def test_variational_dropout_has_one_mask_for_a_sequence():
    rate, size = 0.25, 400
    cell = jrnn.record(jrnn.variational_dropout(jrnn.elman(size), rate))
    xs = normal(2, T, I)
    params = cell.init(jax.random.key(1), xs[0])
    run = lambda key: jrnn.unroll(cell, params, xs, key=key)[1].carry.mask
    masks = jax.vmap(run)(jax.random.split(jax.random.key(0), B))  # (B, T, size)
    assert (masks == masks[:, :1]).all()
    assert (masks[0] != masks[1]).any()
    np.testing.assert_allclose(masks[masks != 0], 1 / (1 - rate))
    error = 5 * (rate * (1 - rate) / (B * size)) ** 0.5
    assert abs((masks[:, 0] != 0).mean() - (1 - rate)) < error


@pytest.mark.slow
def test_resample_draws_masks_anew_and_keeps_the_state():
    cell = jrnn.stack(
        jrnn.variational_dropout(jrnn.lstm(40), 0.5),
        jrnn.learned_carry(jrnn.gru(H)),
        jrnn.variational_dropout(jrnn.elman(30), 0.5),
    )
    params = cell.init(jax.random.key(0), jnp.zeros(I))
    old, _ = jrnn.unroll(cell, params, normal(2, T, I), key=jax.random.key(1))
    new = jrnn.resample(cell, params, old, jax.random.key(2))
    chex.assert_trees_all_equal(new[0].cell, old[0].cell)
    chex.assert_trees_all_equal(new[1], old[1])
    chex.assert_trees_all_equal(new[2].cell, old[2].cell)
    fresh = cell.initial_carry(params, key=jax.random.key(2))
    for i in (0, 2):
        assert (new[i].mask != old[i].mask).any()
        chex.assert_trees_all_equal(new[i].mask, fresh[i].mask)


def test_resample_of_a_carry_without_masks_is_that_carry():
    cell = jrnn.lstm(H)
    params = perturbed(cell, jnp.zeros(I))
    old = jrnn.LSTMCarry(normal(3, H), normal(4, H))
    new = jrnn.resample(cell, params, old, jax.random.key(2))
    chex.assert_trees_all_equal(new, old)


# residual, layer_norm, record


def test_residual_adds_the_input():
    cell = jrnn.gru(H)
    params, xs = perturbed(cell, jnp.zeros(H)), normal(2, T, H)
    carry, ys = jrnn.unroll(jrnn.residual(cell), params, xs)
    expected, expected_ys = jrnn.unroll(cell, params, xs)
    close((carry, ys), (expected, expected_ys + xs))


def test_residual_of_a_zero_layer_is_the_identity():
    cell = jrnn.residual(jrnn.linear(I))
    params = jrnn.LinearParams(jnp.zeros((I, I)), jnp.zeros(I))
    xs = normal(2, T, I)
    chex.assert_trees_all_equal(jrnn.unroll(cell, params, xs)[1], xs)


@pytest.mark.parametrize("epsilon", [1e-6, 0.3])
def test_layer_norm_equals_numpy_and_leaves_the_carry(epsilon):
    cell = jrnn.layer_norm(jrnn.lstm(H), epsilon=epsilon)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    carry, ys = jrnn.unroll(cell, params, xs)
    expected, us = jrnn.unroll(jrnn.lstm(H), params.cell, xs)
    u = np.asarray(us)
    deviation = np.sqrt(u.var(axis=1, keepdims=True) + epsilon)
    normal_u = (u - u.mean(axis=1, keepdims=True)) / deviation
    scale, offset = np.asarray(params.scale), np.asarray(params.offset)
    close((carry, ys), (expected, normal_u * scale[None] + offset[None]))


def test_record_returns_all_of_every_carry():
    cell = jrnn.lstm(H)
    params, xs = perturbed(cell, jnp.zeros(I)), normal(2, T, I)
    carry, ys = jrnn.unroll(jrnn.record(cell), params, xs)
    c = cell.initial_carry(params)
    for t in range(T):
        c, y = cell.step(params, c, xs[t])
        close(at(ys, t), jrnn.Recorded(y, c))
    close(carry, c)


# stack, parallel, layers


def test_stack_feeds_each_output_to_the_next():
    cells = jrnn.gru(H), jrnn.lstm(O), jrnn.linear(V)
    model = jrnn.stack(*cells)
    xs = normal(2, T, I)
    params = perturbed(model, xs[0])
    carry, ys = jrnn.unroll(model, params, xs)
    u, carries = xs, []
    for cell, p in zip(cells, params, strict=True):
        c, u = jrnn.unroll(cell, p, u)
        carries.append(c)
    close((carry, ys), (tuple(carries), u))


def test_stack_is_associative():
    a, b, c = jrnn.gru(H), jrnn.lstm(O), jrnn.elman(V)
    xs = normal(2, T, I)
    pa, pb, pc = perturbed(jrnn.stack(a, b, c), xs[0])
    _, flat = jrnn.unroll(jrnn.stack(a, b, c), (pa, pb, pc), xs)
    _, right = jrnn.unroll(jrnn.stack(a, jrnn.stack(b, c)), (pa, (pb, pc)), xs)
    _, left = jrnn.unroll(jrnn.stack(jrnn.stack(a, b), c), ((pa, pb), pc), xs)
    chex.assert_trees_all_close(flat, right, left, atol=1e-14)


def test_parallel_gives_every_cell_the_same_input():
    a, b = jrnn.gru(H), jrnn.lstm(O)
    model = jrnn.parallel(a, b)
    xs = normal(2, T, I)
    params = perturbed(model, xs[0])
    expected = [jrnn.unroll(c, p, xs) for c, p in zip((a, b), params, strict=True)]
    close(jrnn.unroll(model, params, xs), tuple(zip(*expected, strict=True)))


@pytest.mark.parametrize("join", [jrnn.stack, jrnn.parallel])
def test_joined_cells_get_different_keys(join):
    cell = join(*[jrnn.variational_dropout(jrnn.elman(40), 0.5)] * 2)
    params = cell.init(jax.random.key(0), jnp.zeros(40))
    assert (params[0].w_h != params[1].w_h).any()
    a, b = cell.initial_carry(params, key=jax.random.key(1))
    assert (a.mask != b.mask).any()
    noise = join(*[jrnn.dropout(IDENTITY, 0.5)] * 2)
    _, ys = noise.step(((), ()), ((), ()), jnp.ones(40), key=jax.random.key(2))
    if join is jrnn.parallel:
        assert (ys[0] != ys[1]).any()
    else:  # the same mask twice would leave every survivor at 4 and half of them
        assert (ys != 0).mean() < 0.4


def test_embed_and_one_hot_read_rows():
    tokens = jnp.array([3, 0, V - 1])
    table = normal(2, V, O)
    _, rows = jrnn.unroll(jrnn.embed(V, O), jrnn.EmbedParams(table), tokens)
    np.testing.assert_array_equal(rows, np.asarray(table)[np.asarray(tokens)])
    _, hot = jrnn.unroll(jrnn.one_hot(V), (), tokens)
    np.testing.assert_array_equal(hot, np.eye(V)[np.asarray(tokens)])
    assert (jrnn.one_hot(V).step((), (), jnp.array(V))[1] == 0).all()


def test_linear_is_an_affine_map():
    params = jrnn.LinearParams(normal(1, I, O), normal(2, O))
    xs = normal(3, T, I)
    w, b = np.asarray(params.w), np.asarray(params.b)
    expected = np.asarray(xs) @ w + b[None]
    np.testing.assert_allclose(
        jrnn.unroll(jrnn.linear(O), params, xs)[1], expected, rtol=1e-13
    )


def test_sizes_and_tokens_may_be_numpy_integers_or_python_s():
    cell = jrnn.embed(np.int64(7), np.int32(3))
    params = cell.init(jax.random.key(0), 4)
    row = cell.step(params, (), 4)[1]
    np.testing.assert_array_equal(row, params.table[4])


# Tokens that do not exist


@pytest.mark.parametrize("token", [-1, -7, V, V + 1, 2**30, 0, V - 1])
def test_embed_is_one_hot_times_its_table_for_every_integer(token):
    layer, vectors = jrnn.embed(V, O), jrnn.one_hot(V)
    table, exists = normal(2, V, O), 0 <= token < V
    y = np.asarray(table[token]) if exists else np.zeros(O)
    for dtype in (jnp.int32, jnp.int64, jnp.int8, jnp.uint8):
        if not jnp.iinfo(dtype).min <= token <= jnp.iinfo(dtype).max:
            continue
        x = jnp.asarray(token, dtype)
        got, slope = jax.value_and_grad(
            lambda p: layer.step(p, (), x)[1].sum()  # noqa: B023
        )(jrnn.EmbedParams(table))
        np.testing.assert_allclose(got, y.sum())
        np.testing.assert_allclose(vectors.step((), (), x)[1] @ table, y)
        expected = np.zeros((V, O))
        expected[token if exists else slice(0)] = 1
        np.testing.assert_array_equal(slope.table, expected)


@pytest.mark.parametrize("first", ["embed", "one_hot"])
def test_debug_nans_stops_at_a_token_that_does_not_exist(first):
    layer = {"embed": jrnn.embed(V, I), "one_hot": jrnn.one_hot(V)}[first]
    model = jrnn.stack(layer, jrnn.elman(H))
    params = model.init(jax.random.key(0), jnp.array(0))
    fresh = lambda: jax.jit(lambda p, x: jrnn.unroll(model, p, x)[1])
    for tokens in (jnp.array([0, V]), jnp.array([-1, 2])):
        assert np.isfinite(fresh()(params, tokens)).all()
        with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
            fresh()(params, tokens)
    with jax.debug_nans(True):
        fresh()(params, jnp.array([0, V - 1]))


@pytest.mark.slow
def test_padding_with_a_token_that_does_not_exist_passes_no_nan():
    model = jrnn.stack(jrnn.embed(V, I), jrnn.lstm(H), jrnn.linear(V))
    params = model.init(jax.random.key(0), jnp.array(0))
    tokens = jnp.array([3, 1, 2, -1, -1])

    def loss(params):
        logits = jrnn.unroll(model, params, tokens[:-1])[1]
        return jrnn.losses.cross_entropy(logits, tokens[1:], tokens[1:] >= 0)

    value, slope = jax.value_and_grad(loss)(params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((value, slope)))
    short = jrnn.unroll(model, params, tokens[:2])[1]
    np.testing.assert_allclose(value, jrnn.losses.cross_entropy(short, tokens[1:3]))
