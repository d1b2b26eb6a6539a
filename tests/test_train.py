"""Truncated BPTT, steps, evaluation and checkpoints as library functions."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn
from jrnn import optimizers
from jrnn.train import (
    CheckpointError,
    Hyper,
    batched,
    evaluate,
    evaluation_rows,
    fit,
    init_state,
    initial_carries,
    load,
    make_step,
    make_steps,
    read,
    save,
    skip_nonfinite,
    truncated_loss,
)

V, H, B, T = 5, 4, 3, 12


def perturbed(params, key):
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        p + 0.3 * jax.random.normal(k, p.shape)
        for p, k in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, noisy)


@pytest.fixture
def model():
    return jrnn.stack(jrnn.one_hot(V), jrnn.lstm(H), jrnn.linear(V))


@pytest.fixture
def params(model, key):
    init_key, noise_key = jax.random.split(key)
    return perturbed(model.init(init_key, jnp.int32(0)), noise_key)


@pytest.fixture
def tokens():
    return jax.random.randint(jax.random.key(7), (B, 4 * T + 1), 0, V)


@pytest.mark.slow
def test_whole_window_is_backpropagation_through_time(model, params, tokens):
    xs, targets = tokens[0, :T], tokens[0, 1 : T + 1]

    def plain(params):
        _, logits = jrnn.unroll(model, params, xs)
        return jrnn.losses.cross_entropy(logits, targets)

    def window(params):
        carry = model.initial_carry(params)
        return truncated_loss(model)(params, carry, (xs, targets))[0]

    chex.assert_trees_all_close(
        jax.value_and_grad(window)(params),
        jax.value_and_grad(plain)(params),
        rtol=1e-12,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("k1", "k2"), [(5, 5), (3, 5), (1, 4), (4, 7)])
def test_truncation_equals_a_loop_written_out(model, params, tokens, k1, k2):
    """Every k1 steps, the newest k1 losses go back k2 steps, to a constant carry."""
    row = tokens[0]
    carries = [model.initial_carry(params)]
    for x in row[:-1]:
        carries.append(model.step(params, carries[-1], x)[0])
    carry = model.initial_carry(params)
    window_loss = jax.jit(jax.value_and_grad(truncated_loss(model, k1), has_aux=True))
    for n in range(3):
        start = n * k1
        xs, targets = row[start : start + k2], row[start + 1 : start + k2 + 1]

        def by_hand(params, start=start, xs=xs, targets=targets):
            c, losses = jax.lax.stop_gradient(carries[start]), []
            for x, target in zip(xs, targets, strict=True):
                c, logits = model.step(params, c, x)
                losses.append(-jax.nn.log_softmax(logits)[target])
            return jnp.stack(losses[-k1:]).mean()

        (value, carry), grads = window_loss(params, carry, (xs, targets))
        expected = jax.value_and_grad(by_hand)(params)
        chex.assert_trees_all_close((value, grads), expected, rtol=1e-10)
        chex.assert_trees_all_close(carry, carries[start + k1], rtol=1e-12)


@pytest.mark.slow
def test_no_gradient_crosses_a_window(model, params, tokens):
    def second_window(carry, params):
        return truncated_loss(model)(
            params, carry, (tokens[0, :T], tokens[0, 1 : T + 1])
        )

    carry = jax.tree.map(lambda c: c + 0.1, model.initial_carry(params))
    gradient = jax.grad(lambda c: second_window(c, params)[0])(carry)
    assert all((g == 0).all() for g in jax.tree.leaves(gradient))
    through = jax.grad(lambda p: second_window(carry, p)[1][1].c.sum())(params)
    assert all((g == 0).all() for g in jax.tree.leaves(through))


def test_k1_beyond_the_window_is_refused(model, params, tokens):
    with pytest.raises(ValueError, match=r"truncated_loss: k1 must be 1 to the window"):
        truncated_loss(model, 9)(
            params, model.initial_carry(params), (tokens[0, :5], tokens[0, 1:6])
        )


@pytest.mark.slow
def test_masks_are_drawn_anew_in_each_window(key):
    model = jrnn.stack(
        jrnn.one_hot(V),
        jrnn.variational_dropout(jrnn.elman(40), 0.5),
        jrnn.linear(V),
    )
    params = model.init(key, jnp.int32(0))
    keys = jax.random.split(jax.random.key(1), 3)
    carry = model.initial_carry(params, key=keys[0])
    xs = jnp.arange(6) % V
    window = truncated_loss(model)
    _, one = window(params, carry, (xs, xs), key=keys[1])
    _, two = window(params, one, (xs, xs), key=keys[2])
    assert (one[1].mask != two[1].mask).any()
    assert set(np.unique(two[1].mask)) <= {0.0, 2.0}


@pytest.mark.slow
def test_batched_is_the_mean_over_rows(model, params, tokens):
    batch = (tokens[:, :T], tokens[:, 1 : T + 1])
    carries = initial_carries(model, params, B)
    value, carry = batched(truncated_loss(model))(params, carries, batch)
    each = [
        truncated_loss(model)(
            params, model.initial_carry(params), (batch[0][b], batch[1][b])
        )
        for b in range(B)
    ]
    np.testing.assert_allclose(value, np.mean([v for v, _ in each]), rtol=1e-12)
    rows = jax.tree.map(lambda *c: jnp.stack(c), *[c for _, c in each])
    chex.assert_trees_all_close(carry, rows, rtol=1e-12)


def two_devices(shape=(2,), names=("rows",)):
    return jax.sharding.Mesh(np.array(jax.devices()[:2]).reshape(shape), names)


@pytest.mark.slow
def test_a_batch_divided_among_devices_is_the_same_batch():
    model = jrnn.stack(
        jrnn.one_hot(V),
        jrnn.dropout(jrnn.variational_dropout(jrnn.lstm(H), 0.3), 0.4),
        jrnn.linear(V),
    )
    params = model.init(jax.random.key(0), jnp.int32(0))
    params = perturbed(params, jax.random.key(1))
    key = lambda: jax.random.key(5)
    carries = initial_carries(model, params, 4, key=key())
    rng = np.random.default_rng(3)
    batch = tuple(jnp.asarray(rng.integers(0, V, (4, T))) for _ in range(2))

    def run(mesh):
        loss = batched(truncated_loss(model), mesh)
        f = jax.value_and_grad(loss, has_aux=True)
        return jax.jit(f)(params, carries, batch, key=key())

    whole, divided = run(None), run(two_devices())
    carry = divided[0][1]
    assert all(len(c.sharding.device_set) == 2 for c in jax.tree.leaves(carry))
    chex.assert_trees_all_close(whole, divided, rtol=1e-12, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["elsewhere", "on the mesh", "in its context"])
def test_a_mesh_with_explicit_axes(model, params, tokens, place):
    mesh = jax.make_mesh((2,), ("rows",))
    assert mesh.axis_types == (jax.sharding.AxisType.Explicit,)
    batch = (tokens[:2, :T], tokens[:2, 1 : T + 1])
    arguments = params, initial_carries(model, params, 2), batch

    def run(mesh, arguments):
        loss = batched(truncated_loss(model), mesh)
        return jax.jit(jax.value_and_grad(loss, has_aux=True))(*arguments)

    whole = run(None, arguments)
    if place == "on the mesh":
        put = lambda tree, spec: jax.device_put(tree, jax.NamedSharding(mesh, spec))
        arguments = tuple(map(put, arguments, (jax.P(), jax.P("rows"), jax.P("rows"))))
    if place == "in its context":
        with jax.set_mesh(mesh):
            divided = run(mesh, arguments)
    else:
        divided = run(mesh, arguments)
    one_place = lambda tree: jax.tree.map(np.asarray, tree)
    chex.assert_trees_all_close(*map(one_place, (whole, divided)), rtol=1e-12)


def test_divisions_that_cannot_be(model, params, tokens):
    with pytest.raises(ValueError, match="batched: mesh must have one axis, got 2"):
        batched(truncated_loss(model), two_devices((1, 2), ("a", "b")))
    loss = batched(truncated_loss(model), two_devices())
    batch = (tokens[:, :T], tokens[:, 1 : T + 1])
    with pytest.raises(ValueError, match=f"batched: {B} rows cannot be divided among"):
        loss(params, initial_carries(model, params, B), batch)


@pytest.mark.slow
def test_many_steps_in_a_call_equal_single_steps(model, params, tokens):
    loss = batched(truncated_loss(model))
    step = make_step(loss, optimizers.adagrad, average_decay=0.9)
    next_batch = lambda data, n: tuple(
        jax.lax.dynamic_slice_in_dim(data, (n % 4) * T + shift, T, 1)
        for shift in (0, 1)
    )
    carry = lambda params, key: initial_carries(model, params, B)
    steps = make_steps(step, next_batch, carry, lambda n: n % 4 == 0)
    state = init_state(params, carry(params, None), optimizers.adagrad, average=True)
    rates = jnp.linspace(0.1, 0.02, 6)
    hypers = Hyper(rates, jnp.full(6, 0.5))
    run = jax.jit(steps)
    key = jax.random.key(3)
    together, metrics = run(state, tokens, hypers, key)
    losses = []
    for n in range(6):
        one = jax.tree.map(lambda h, n=n: h[n : n + 1], hypers)
        state, m = run(state, tokens, one, key)
        losses.append(m.loss[0])
    chex.assert_trees_all_close(together, state, rtol=1e-10)
    np.testing.assert_allclose(metrics.loss, losses, rtol=1e-10)


@pytest.mark.parametrize(
    "one_alone", [{"start_carry": lambda params, key: ()}, {"starts": lambda n: n == 0}]
)
def test_a_stream_begins_anew_with_a_carry_and_at_known_steps(one_alone):
    step = make_step(lambda params, carry, batch, *, key=None: 0.0, optimizers.sgd)
    with pytest.raises(TypeError, match="make_steps: start_carry and starts go togeth"):
        make_steps(step, lambda data, n: data, **one_alone)


def test_norm_before_clipping_and_share_of_clipped_steps():
    target = jnp.array([3.0, 4.0])

    def loss(params, carry, batch, *, key=None):
        return params @ target, carry

    step = make_step(loss, optimizers.sgd)
    state = init_state(jnp.zeros(2), (), optimizers.sgd)
    for limit, clipped in ((4.9, True), (5.1, False)):
        new, metrics = step(state, (), Hyper(jnp.array(1.0), jnp.array(limit)))
        assert float(metrics.grad_norm) == 5.0
        assert bool(metrics.clipped) == clipped
        np.testing.assert_allclose(jnp.linalg.norm(new.params), min(5.0, limit))


def dot(params, carry, batch, *, key=None):
    """A loss whose gradient is the batch, and a carry that the batch is added to."""
    return params @ batch, carry + batch


def one_step(step, batch, optimizer=optimizers.sgd, params=None, carry=None, rate=1.0):
    params = jnp.zeros(2, batch.dtype) if params is None else params
    carry = jnp.zeros(2, batch.dtype) if carry is None else carry
    state = init_state(params, carry, optimizer, average=True)
    hyper = Hyper(*(jnp.asarray(number, params.dtype) for number in (rate, 5.0)))
    return step(state, batch, hyper)


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("batch", "norm", "clipped", "nonfinite"),
    [
        (np.array([3e20, 4e20], "f4"), 5e20, True, False),
        (np.array([3e38, 3e38], "f4"), np.inf, True, False),
        (np.array([3e-30, 4e-30], "f4"), 5e-30, False, False),
        (np.array([np.nan, 1.0], "f4"), np.nan, False, True),
        (np.array([np.inf, 1.0], "f4"), np.inf, True, True),
    ],
)
def test_metrics_of_gradients_of_any_magnitude(batch, norm, clipped, nonfinite, jit):
    step = make_step(dot, optimizers.sgd)
    state, metrics = one_step(jax.jit(step) if jit else step, jnp.asarray(batch))
    np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-6)
    assert bool(metrics.clipped) == clipped and bool(metrics.nonfinite) == nonfinite
    assert not metrics.skipped
    length = min(5.0, np.linalg.norm(batch.astype("f8")))
    if not nonfinite:
        np.testing.assert_allclose(
            np.linalg.norm(state.params.astype("f8")), length, rtol=1e-6
        )


@pytest.mark.slow
def test_a_loss_that_is_nan_is_reported_though_its_gradient_is_finite():
    loss = lambda params, carry, batch, *, key=None: (
        jrnn.losses.cross_entropy(params, batch), carry,
    )  # fmt: skip
    labels = jnp.array([0, 9])  # 9 is no class
    _, metrics = one_step(make_step(loss, optimizers.sgd), labels, params=jnp.eye(2))
    assert np.isfinite(metrics.grad_norm) and metrics.nonfinite


def no_moment(learning_rate, max_norm):
    return optimizers.adam(learning_rate, jnp.inf)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_skipped_step_leaves_nothing_but_its_number(bad):
    step = skip_nonfinite(make_step(dot, no_moment, average_decay=0.5))
    with jax.numpy_dtype_promotion("standard"):  # Optax's Adam needs it
        state, metrics = one_step(step, jnp.array([1.0, 2.0]), no_moment)
        assert not metrics.skipped
        hyper = Hyper(jnp.array(1.0), jnp.array(5.0))
        after, metrics = jax.jit(step)(state, jnp.array([bad, 1.0]), hyper)
    assert metrics.skipped and metrics.nonfinite
    chex.assert_trees_all_equal(after._replace(step=state.step), state)
    assert after.step == state.step + 1


@pytest.mark.slow
def test_a_step_is_skipped_for_what_overflows_in_parameters_or_carry():
    unclipped = lambda learning_rate, max_norm: optimizers.sgd(learning_rate, jnp.inf)
    step = skip_nonfinite(make_step(dot, unclipped))
    move = lambda size: jnp.array([-size, 0.0], jnp.float32)
    state, metrics = one_step(step, move(3e18), unclipped, rate=1e20)
    assert not metrics.skipped and state.params[0] == jnp.float32(3e38)
    state, metrics = one_step(step, move(4e18), unclipped, rate=1e20)
    assert metrics.skipped and not metrics.nonfinite and state.params[0] == 0
    state, metrics = one_step(step, move(2e38), carry=move(2e38))
    assert metrics.skipped and not metrics.nonfinite
    assert state.carry[0] == jnp.float32(-2e38)
    # infinite by design: it has not become so
    always = jnp.array([-jnp.inf, 0.0])
    state, metrics = one_step(step, jnp.ones(2), carry=always)
    assert not metrics.skipped and state.carry[1] == 1


@pytest.mark.slow
def test_training_goes_on_past_a_nan_in_the_data(key):
    def loss(params, carry, batch, *, key=None):
        x, target = batch
        carry = 0.5 * carry + x
        return jnp.square(params * carry - target), carry

    x = jnp.sin(jnp.arange(60.0)).at[20].set(jnp.nan)
    target = 3 * jnp.zeros(60).at[0].set(x[0])
    carry = 0.0
    for n in range(60):  # the carry of a skipped step is the one before
        carry = carry if n == 20 else 0.5 * carry + float(x[n])
        target = target.at[n].set(3 * carry)
    next_batch = lambda data, n: (data[0][n % 60], data[1][n % 60])
    state = init_state(jnp.zeros(()), jnp.zeros(()), optimizers.sgd)
    step = make_step(loss, optimizers.sgd)
    run = functools.partial(fit, learning_rate=0.2, max_norm=5.0)
    arguments = state, next_batch, (x, target), key, 60
    with pytest.warns(RuntimeWarning, match="fit: the loss or its gradient was NaN or "
                      "infinite at 40 of 60 steps, first at step 20"):  # fmt: skip
        end, metrics = run(step, *arguments)
    assert np.isnan(end.params) and not metrics.clipped[20]
    end, metrics = run(skip_nonfinite(step), *arguments)
    assert np.flatnonzero(metrics.skipped).tolist() == [20]
    np.testing.assert_allclose(end.params, 3, rtol=1e-2)


def test_fit_may_be_traced_whatever_it_finds(key):
    def run(target):
        state = init_state(jnp.zeros(2), (), optimizers.sgd)
        step = make_step(
            lambda p, c, b, *, key=None: (jnp.square(p - b).sum(), c), optimizers.sgd
        )
        return fit(step, state, lambda d, n: d, target, key, 3, learning_rate=0.1)[1]

    metrics = jax.jit(jax.vmap(run))(jnp.array([[1.0, 2.0], [jnp.nan, 0.0]]))
    assert metrics.nonfinite.tolist() == [[False] * 3, [True] * 3]


@pytest.mark.slow
def test_complex_parameters_descend(key):
    """`jax.grad` gives the conjugate of the direction of steepest ascent."""
    target = jnp.array([1 - 2j, 0.5j])

    def loss(params, carry, batch, *, key=None):
        return (jnp.abs(params - batch) ** 2).sum(), carry

    for optimizer in (optimizers.adagrad, optimizers.sgd):
        state = init_state(jnp.zeros(2, complex), (), optimizer)
        step = make_step(loss, optimizer)
        with jax.numpy_dtype_promotion("standard"):  # Optax multiplies by a real rate
            state, _ = fit(
                step, state, lambda data, n: data, target, key, 300, learning_rate=0.3
            )
        np.testing.assert_allclose(state.params, target, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam,
        functools.partial(optax.adam, b1=0.9),
        lambda learning_rate: optax.adam(learning_rate),
    ],
)
def test_optimizers_of_optax_get_the_gradient_clipped(optimizer):
    reference = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))
    grads = jnp.array([3.0, 4.0]), jnp.array([0.1, -0.2])
    with jax.numpy_dtype_promotion("standard"):
        state = init_state(jnp.zeros(2), jnp.zeros(2), optimizer)
        theta, memory = state.params, reference.init(state.params)
        for g in grads:
            hyper = Hyper(jnp.array(0.1), jnp.array(0.5))
            state, _ = make_step(dot, optimizer)(state, g, hyper)
            move, memory = reference.update(g, memory, theta)
            theta = optax.apply_updates(theta, move)
        np.testing.assert_allclose(state.params, theta, rtol=1e-12)


STEP = make_step(dot, optimizers.sgd)
START = init_state(jnp.zeros(2), jnp.zeros(2), optimizers.sgd)
FIT = functools.partial(
    fit, STEP, START, lambda data, n: data, jnp.ones(2), jax.random.key(0), 3
)
TRAINING_ERRORS = {
    "made": (
        lambda: make_step(dot, optax.adam(1e-3)),
        TypeError,
        r"make_step: optimizer must be a function \(learning_rate, max_norm\) or "
        r"\(learning_rate\) that makes one, got a GradientTransformation",
    ),
    "made init": (
        lambda: init_state(jnp.zeros(2), (), optax.chain(optax.adam(1e-3))),
        TypeError,
        "init_state: optimizer must be a function .* Pass jrnn.optimizers.adam or "
        "optax.adam itself, not what it returns",
    ),
    "name": (
        lambda: init_state(jnp.zeros(2), (), "adam"),
        TypeError,
        "init_state: optimizer must be .* got a str",
    ),
    "loss": (
        lambda: make_step(lambda params, carry, batch: (0, carry), optimizers.sgd),
        TypeError,
        r"make_step: loss must be a function loss\(params, carry, batch, \*, "
        r"key=None\), but its arguments are \(params, carry, batch\)",
    ),
    "batches": (
        lambda: fit(
            STEP, START, lambda data: data, (), jax.random.key(0), 3, learning_rate=0.1
        ),
        TypeError,
        r"fit: next_batch must be a function next_batch\(data, n\), but its arguments "
        r"are \(data\)",
    ),
    "no batches": (
        lambda: fit(STEP, START, jnp.ones(3), (), None, 3, learning_rate=0.1),
        TypeError,
        r"fit: next_batch must be .* got an array of shape \(3,\)",
    ),
    "rates": (
        lambda: FIT(learning_rate=jnp.ones(2)),
        ValueError,
        r"fit: learning_rate must be a number or have one for each of the 3 steps, got "
        r"shape \(2,\)",
    ),
    "norm": (
        lambda: FIT(learning_rate=0.1, max_norm=-1.0),
        ValueError,
        "fit: max_norm must be at least 0, got -1.0",
    ),
}


@pytest.mark.parametrize("name", TRAINING_ERRORS)
def test_training_errors(name):
    call, kind, text = TRAINING_ERRORS[name]
    with pytest.raises(kind, match=text):
        call()


def test_learning_rate_and_threshold_do_not_recompile(model, params, tokens):
    loss = batched(truncated_loss(model))
    step = jax.jit(chex.assert_max_traces(make_step(loss, optimizers.adam), n=1))
    state = init_state(params, initial_carries(model, params, B), optimizers.adam)
    batch = (tokens[:, :T], tokens[:, 1 : T + 1])
    changed = []
    with jax.numpy_dtype_promotion("standard"):  # Optax's Adam needs it
        for rate, norm in ((0.1, 1.0), (0.2, 1.0), (0.1, 0.01)):
            new, _ = step(state, batch, Hyper(jnp.array(rate), jnp.array(norm)))
            changed.append(new.params[1].w_h)
    assert (changed[0] != changed[1]).any()


def test_running_mean_follows_its_equation():
    def loss(params, carry, batch, *, key=None):
        return params.sum(), carry

    step = make_step(loss, optimizers.sgd, average_decay=0.6)
    state = init_state(jnp.zeros(2), (), optimizers.sgd, average=True)
    p = a = np.zeros(2)
    for n in range(8):
        state, _ = step(state, (), Hyper(jnp.array(0.1), jnp.array(jnp.inf)))
        p = p - 0.1
        d = min(0.6, (1 + n) / (10 + n))
        a = d * a + (1 - d) * p
        np.testing.assert_allclose(state.average, a, rtol=1e-12)


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 60), st.integers(1, 9), st.integers(0, 12))
def test_every_target_counts_once(count, rows, context):
    tokens = np.arange(count) + 100
    xs, targets, valid = evaluation_rows(tokens, rows, context)
    assert sorted(targets[valid]) == list(range(101, 100 + count))
    assert (targets == xs + 1).all()
    # the first counted token of every row but the first has its whole context
    for row in range(len(xs)):
        first = int(np.argmax(valid[row])) if valid[row].any() else 0
        assert first >= context or xs[row, 0] == 100 or not valid[row].any()


@pytest.mark.parametrize("rows", [1, 4])
def test_evaluate_is_the_mean_negative_log_likelihood(model, params, tokens, rows):
    text = tokens.reshape(-1)
    _, logits = jrnn.unroll(model, params, text[:-1])
    log_p = jax.nn.log_softmax(logits)
    exact = -jnp.take_along_axis(log_p, text[1:, None], 1).mean()
    nats, count = evaluate(model, params, text, rows=rows, context=30)
    assert count == len(text) - 1
    # with warm rows the state forgets what came 30 tokens before
    np.testing.assert_allclose(nats, exact, rtol=1e-12 if rows == 1 else 1e-4)


@pytest.mark.parametrize("bad", [-1, V])
def test_evaluate_a_text_with_a_token_that_does_not_exist(model, params, tokens, bad):
    text = tokens.reshape(-1).at[7].set(bad)
    assert np.isnan(evaluate(model, params, text, rows=2, context=5)[0])


@pytest.mark.parametrize("rows", [1, 4])
def test_evaluate_counts_what_it_is_told_to(model, params, tokens, rows):
    text = tokens.reshape(-1)
    counted = np.random.default_rng(0).random(len(text)) < 0.3
    _, logits = jrnn.unroll(model, params, text[:-1])
    log_p = np.asarray(jax.nn.log_softmax(logits))
    exact = -np.mean([log_p[t - 1, text[t]] for t in range(1, len(text)) if counted[t]])
    nats, count = evaluate(model, params, text, rows=rows, context=30, counted=counted)
    assert count == counted[1:].sum()
    np.testing.assert_allclose(nats, exact, rtol=1e-12 if rows == 1 else 1e-4)
    with pytest.raises(ValueError, match=r"counted must have the shape of tokens, \("):
        evaluate(model, params, text, counted=counted[1:])
    with pytest.raises(ValueError, match="counted leaves no token but the first"):
        evaluate(model, params, text, counted=np.arange(len(text)) == 0)


def test_evaluate_needs_two_tokens(model, params):
    with pytest.raises(ValueError, match="at least two tokens"):
        evaluate(model, params, jnp.array([1]))


@pytest.mark.slow
def test_fit_learns_and_keeps_every_metric(key):
    def loss(params, carry, batch, *, key=None):
        return jnp.square(params - batch).sum(), carry

    state = init_state(jnp.zeros(3), (), optimizers.adagrad)
    target = jnp.array([1.0, -2.0, 0.5])
    run = functools.partial(
        fit,
        make_step(loss, optimizers.adagrad),
        state,
        lambda data, n: data,
        target,
        key,
    )
    end, metrics = run(150, learning_rate=0.5, steps_per_call=40)
    assert metrics.loss.shape == (150,) and metrics.loss[-1] < 1e-3
    np.testing.assert_allclose(end.params, target, atol=0.05)
    with pytest.raises(ValueError, match="fit: num_steps must be positive, got 0"):
        run(0, learning_rate=0.5)


@pytest.mark.slow
def test_fit_needs_no_key_where_nothing_is_random():
    """Against descent by hand; with a key the same loss would be told of it."""
    targets = np.array([1.0, -2.0, 0.5, 3.0])
    p = 0.25
    for target in targets:
        p -= 0.1 * 2 * (p - target)

    def loss(params, carry, batch, *, key=None):
        noise = 0.0 if key is None else 1.0
        return jnp.square(params - batch - noise), carry

    state = init_state(jnp.array(0.25), (), optimizers.sgd)
    step = make_step(loss, optimizers.sgd)
    run = functools.partial(
        fit, step, state, lambda data, n: data[n], jnp.asarray(targets)
    )
    end, _ = run(None, 4, learning_rate=0.1)
    np.testing.assert_allclose(end.params, p, rtol=1e-12)
    noisy, _ = run(jax.random.key(0), 4, learning_rate=0.1)
    assert abs(noisy.params - p) > 0.1


def tree_to_save():
    key = jax.random.key(5)
    return {
        "cell": jrnn.lstm(H).init(key, jnp.zeros(2)),
        "half": jnp.arange(6, dtype=jnp.bfloat16),
        "count": jnp.int32(7),
        "flag": jnp.array([True, False]),
        "key": jax.random.key(9),
        "none": (),
    }


def test_checkpoint_round_trip(tmp_path):
    tree = tree_to_save()
    path = tmp_path / "c.safetensors"
    save(path, tree, {"step": 3, "loss": 0.1 + 0.2})
    back, metadata = load(path, jax.eval_shape(tree_to_save))
    assert metadata == {"step": 3, "loss": 0.1 + 0.2}
    chex.assert_trees_all_equal_structs(back, tree)
    chex.assert_trees_all_equal_dtypes(back, tree)
    raw = lambda t: {**t, "key": jax.random.key_data(t["key"])}
    chex.assert_trees_all_equal(raw(back), raw(tree))
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_the_same_tree_gives_the_same_bytes(tmp_path):
    files = set()
    for n in range(8):
        save(tmp_path / f"{n}", {"w": jnp.ones(3)}, {"a": 1, "b": 2})
        files.add((tmp_path / f"{n}").read_bytes())
    assert len(files) == 1


@pytest.mark.parametrize("keep", [0, 5, 60, -3])
def test_truncated_checkpoint(tmp_path, keep):
    path = tmp_path / "c.safetensors"
    save(path, {"w": jnp.ones(30)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated or is not a safetensors"):
        read(path)


def test_foreign_safetensors_file(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "c.safetensors"
    save_file({"w": np.ones(2)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        read(path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": jnp.ones(4)}, r"w'\] has shape \(3,\), expected \(4,\)"),
        ({"w": jnp.ones(3, jnp.int32)}, "has dtype float64, expected int32"),
        ({"v": jnp.ones(3)}, r"missing \['v'\]; unexpected \['w'\]"),
    ],
)
def test_checkpoint_of_another_model(tmp_path, other, message):
    path = tmp_path / "c.safetensors"
    save(path, {"w": jnp.ones(3)})
    with pytest.raises(CheckpointError, match=message):
        load(path, other)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read(tmp_path / "nothing")


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save(path, {"w": jnp.ones(3)})
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"w": jnp.zeros(3)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
