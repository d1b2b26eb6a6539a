"""Sampling, beam search and log-likelihood against NumPy loops and enumeration."""

import itertools
from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import jrnn
from jrnn import generate
from jrnn._replacements import token_table
from jrnn.generate import filtered_log_probs, gumbel_noise, sample

V, H = 7, 4
# Compiling takes longest. Noise is compiled once for each length, hence few of them.
SHORT, LONG, MANY = 11, 24, 20_000
ZERO = np.array([0])
PRIME = np.array([3, 1, 6, 0, 2])
KEY = jax.random.key(5)

prime = jax.jit(generate.prime, static_argnums=0)
log_likelihood = jax.jit(generate.log_likelihood, static_argnums=0)
beam_search = jax.jit(generate.beam_search, static_argnums=(0, 3, 4))


@cache
def model_of(cell, vocab_size):
    return jrnn.stack(jrnn.one_hot(vocab_size), cell(H), jrnn.linear(vocab_size))


def model_and_params(cell=jrnn.elman, vocab_size=V, seed=3):
    """A model with clear preferences, none of its parameters at its initial value."""
    model = model_of(cell, vocab_size)
    key, noise_key = jax.random.split(jax.random.key(seed))
    params = model.init(key, jnp.array(0))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(noise_key, len(leaves))
    leaves = [
        w + 0.7 * jax.random.normal(k, w.shape)
        for w, k in zip(leaves, keys, strict=True)
    ]
    return model, jax.tree.unflatten(tree, leaves)


def constant(logits):
    """A model that returns the same logits whatever it reads."""
    return jrnn.stateless(lambda key, x: (), lambda params, x, key: jnp.asarray(logits))


MODEL, PARAMS = model_and_params()
STATE = prime(MODEL, PARAMS, PRIME)


def numpy_logits(params, tokens):
    """Logits after each token, by a loop over the Elman equations."""
    _, cell, readout = jax.tree.map(np.asarray, params)
    h, logits = np.zeros(H), []
    for token in tokens:
        h = np.tanh(cell.w_x[token] + h @ cell.w_h + cell.b)
        logits.append(h @ readout.w + readout.b)
    return np.array(logits)


def numpy_log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def numpy_filter(logits, temperature=1.0, top_k=None, top_p=None):
    """The rules as they are stated, one token at a time; log-probabilities."""
    scaled = logits / temperature
    order = sorted(range(len(logits)), key=lambda i: (-scaled[i], i))
    order = order[:top_k]
    probs = np.exp(numpy_log_softmax(scaled[order]))
    kept, total = [], 0.0
    for i, p in zip(order, probs, strict=True):
        if kept and top_p is not None and total >= top_p and top_p < 1:
            break
        kept.append(i)
        total += p
    out = np.full(len(logits), -np.inf)
    out[kept] = numpy_log_softmax(scaled[kept])
    return out


SETTINGS = [
    {},
    {"temperature": 0.6},
    {"temperature": 1.7, "top_k": 3},
    {"top_p": 0.8},
    {"temperature": 1.3, "top_k": 5, "top_p": 0.7},
]


# Sampling


@pytest.mark.slow
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_sample_equals_numpy_loop_with_the_same_noise(options):
    length = LONG
    noise = np.asarray(gumbel_noise(KEY, 0, length, V))
    text = PRIME.tolist()
    for n in range(length):  # the other form: logits divided, noise as it is
        scores = numpy_filter(numpy_logits(PARAMS, text)[-1], **options)
        text.append(int((scores + noise[n]).argmax()))
    state, tokens = sample(MODEL, PARAMS, KEY, STATE, length, **options)
    assert tokens.dtype == jnp.int32 and tokens.tolist() == text[len(PRIME) :]
    assert len(set(tokens.tolist())) > 2  # not stuck on one token
    assert int(state.token) == text[-1] and int(state.position) == length
    expected = prime(MODEL, PARAMS, np.array(text)).carry
    chex.assert_trees_all_close(state.carry, expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["embed", "one_hot"])
@pytest.mark.parametrize("entries", [0, 2**20], ids=["no table", "table"])
def test_table_of_tokens_changes_nothing(monkeypatch, layer, entries):
    # One input more than there are outputs: a token that only begins a text
    first = {"embed": jrnn.embed(V + 1, 3), "one_hot": jrnn.one_hot(V + 1)}[layer]
    model = jrnn.stack(
        first, jrnn.residual(jrnn.elman(3)), jrnn.lstm(H), jrnn.linear(V)
    )
    if layer == "one_hot":
        model = jrnn.stack(first, jrnn.gru(H), jrnn.linear(V))
    params = model.init(jax.random.key(8), jnp.array(0))
    noise = np.asarray(gumbel_noise(KEY, 0, LONG, V))
    step = jax.jit(model.step)
    monkeypatch.setattr(token_table, "MAX_ENTRIES", entries)
    for begin in ([V], [2, V, 5]):
        carry, expected = model.initial_carry(params), list(begin)
        for n in range(1 - len(begin), LONG):
            carry, logits = step(params, carry, jnp.int32(expected[n + len(begin) - 1]))
            if n >= 0:
                expected.append(int((logits + noise[n]).argmax()))
        start = prime(model, params, np.array(begin))
        state, got = sample(model, params, KEY, start, LONG)
        expected = expected[len(begin) :]
        assert got.tolist() == expected and len(set(expected)) > 2
        assert int(state.token) == expected[-1]


@pytest.mark.slow
def test_what_is_looked_up(monkeypatch):
    w = jax.random.normal(jax.random.key(9), (5, 3))
    step = lambda carry, token: (carry + 1, carry @ w[token])
    tokens = jnp.arange(5)
    fast = token_table.with_token_table(step, jnp.zeros(3), tokens)
    names = lambda f: [str(e.primitive) for e in jax.make_jaxpr(f)(w[0], 2).eqns]
    assert "dot_general" in names(fast)
    chex.assert_trees_all_close(fast(w[1], 2), step(w[1], 2), rtol=1e-12)
    step = lambda carry, token: jnp.tanh(carry + jax.nn.one_hot(token, 5) @ w)
    fast = token_table.with_token_table(step, jnp.zeros(3), tokens)
    assert "dot_general" in str(jax.make_jaxpr(step)(w[0], 2))
    assert "dot_general" not in str(jax.make_jaxpr(lambda c: fast(c, 2))(w[0]))
    chex.assert_trees_all_close(fast(w[1], 2), step(w[1], 2), rtol=1e-12)
    # the table's 5 rows of 3 are too many; nothing depends on the token; it is printed
    for most, none in ((14, True), (15, False)):
        monkeypatch.setattr(token_table, "MAX_ENTRIES", most)
        found = token_table.with_token_table(step, jnp.zeros(3), tokens)
        assert (found is None) == none
    nothing = lambda carry, token: carry * 2
    assert token_table.with_token_table(nothing, jnp.zeros(3), tokens) is None

    def prints(carry, token):
        jax.debug.print("{}", token)
        return step(carry, token)

    assert token_table.with_token_table(prints, jnp.zeros(3), tokens) is None


def test_greedy_equals_argmax_loop():
    text = PRIME.tolist()
    for _ in range(12):
        text.append(int(numpy_logits(PARAMS, text)[-1].argmax()))
    for options in ({}, {"temperature": 9.0, "top_k": 2, "top_p": 0.5}):
        _, tokens = sample(MODEL, PARAMS, None, STATE, 12, greedy=True, **options)
        assert tokens.tolist() == text[len(PRIME) :]


def test_greedy_takes_the_first_of_equals():
    tied = constant([0.5, 2.0, -1.0, 2.0])
    _, tokens = sample(tied, (), None, prime(tied, (), ZERO), 3, greedy=True)
    assert tokens.tolist() == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (jrnn.elman, {}),
        (jrnn.elman, SETTINGS[-1]),
        (jrnn.elman, {"stop_token": 2}),
        (jrnn.lstm, {"stop_token": 2}),
    ],
    ids=["plain", "filtered", "stopped", "stopped lstm"],
)
def test_pieces_join_to_the_text_of_one_call(cell, options):
    model, params = model_and_params(cell)
    start = prime(model, params, PRIME)
    end, whole = sample(model, params, KEY, start, LONG, **options)
    state, pieces = start, []
    for length in (1, SHORT, LONG - SHORT - 1):
        state, tokens = sample(model, params, KEY, state, length, **options)
        pieces += tokens.tolist()
    assert pieces == whole.tolist()
    chex.assert_trees_all_close(state, end, rtol=1e-12)
    _, other = sample(model, params, jax.random.key(6), start, LONG, **options)
    assert other.tolist() != whole.tolist()


@pytest.mark.slow
def test_vmap_over_keys_temperatures_and_states_equals_loops():
    keys = jax.random.split(jax.random.key(10), 3)
    run = lambda key, state, temperature: sample(
        MODEL, PARAMS, key, state, SHORT, temperature=temperature, top_k=4, top_p=0.9
    )
    temperatures = jnp.array([0.5, 1.0, 2.0])
    primes = jnp.array([[3, 1], [6, 0], [2, 2]])
    states = jax.vmap(partial(prime, MODEL, PARAMS))(primes)
    batch = jax.vmap(run)(keys, states, temperatures)
    for i in range(3):
        alone = run(keys[i], prime(MODEL, PARAMS, primes[i]), temperatures[i])
        row = jax.tree.map(lambda a: a[i], batch)  # noqa: B023
        chex.assert_trees_all_close(row, alone, rtol=1e-12)
    assert len({tuple(row) for row in batch[1].tolist()}) == 3


@pytest.mark.slow
def test_settings_are_traced_once():
    def run(key, state, temperature, top_p, stop_token):
        return sample(
            MODEL,
            PARAMS,
            key,
            state,
            SHORT,
            temperature=temperature,
            top_p=top_p,
            stop_token=stop_token,
        )

    run = jax.jit(chex.assert_max_traces(run, n=1))
    state = STATE
    for temperature, top_p, stop_token in [(1.0, 0.9, 5), (0.3, 0.5, 2), (2.0, 1.0, 0)]:
        expected = sample(
            MODEL,
            PARAMS,
            KEY,
            state,
            SHORT,
            temperature=temperature,
            top_p=top_p,
            stop_token=stop_token,
        )
        got = run(KEY, state, temperature, top_p, stop_token)
        chex.assert_trees_all_close(got, expected, rtol=1e-12)
        state = got[0]._replace(stopped=jnp.bool_(False))


def within_five_sigma(tokens, probs):
    """Whether the counts are those of independent draws: binomial standard error."""
    frequency = np.bincount(tokens, minlength=len(probs)) / len(tokens)
    return abs(frequency - probs) <= 5 * np.sqrt(probs * (1 - probs) / len(tokens))


@pytest.mark.slow
@pytest.mark.parametrize("options", [*SETTINGS, {"top_k": 1}], ids=str)
def test_frequencies_are_the_stated_probabilities(options):
    logits = np.random.default_rng(3).normal(size=V)
    model = constant(logits)
    _, tokens = sample(model, (), KEY, prime(model, (), ZERO), MANY, **options)
    probs = np.exp(numpy_filter(logits, **options))
    assert within_five_sigma(np.asarray(tokens), probs).all()
    assert set(tokens.tolist()) == set(np.flatnonzero(probs).tolist())
    if len(options) > 1:  # far enough from the plain softmax to be told from it
        plain = np.exp(numpy_log_softmax(logits))
        assert not within_five_sigma(np.asarray(tokens), plain).all()


@pytest.mark.slow
def test_temperature_limits():
    huge = constant([1e10, 3e10, 2e10])  # divided by 1e-300 all alike: infinite
    for options in ({}, {"top_p": 0.9}):
        state = prime(huge, (), ZERO)
        _, tokens = sample(huge, (), KEY, state, SHORT, temperature=1e-300, **options)
        assert tokens.tolist() == [1] * SHORT
    _, greedy = sample(MODEL, PARAMS, None, STATE, LONG, greedy=True)
    for cold in (1e-6, 1e-300):
        _, tokens = sample(MODEL, PARAMS, KEY, STATE, LONG, temperature=cold, top_p=0.9)
        assert tokens.tolist() == greedy.tolist()
    _, hot = sample(MODEL, PARAMS, KEY, STATE, MANY, temperature=1e9)
    assert within_five_sigma(np.asarray(hot), np.full(V, 1 / V)).all()


ZERO_OR_TINY = [0, 0.0, np.float32(0), 1e-38, 1e-45, 5e-324]


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.9}, {"top_p": 1.0}])
@pytest.mark.parametrize("temperature", ZERO_OR_TINY, ids=str)
def test_temperature_zero_is_greedy(temperature, options):
    _, greedy = sample(MODEL, PARAMS, None, STATE, SHORT, greedy=True)
    run = lambda t, key: sample(
        MODEL, PARAMS, key, STATE, SHORT, temperature=t, **options
    )[1].tolist()
    key = None if temperature == 0 else KEY  # needs none
    assert run(temperature, key) == greedy.tolist()
    assert jax.jit(run_traced, static_argnums=1)(
        jnp.asarray(temperature, float), tuple(options.items())
    ).tolist() == greedy.tolist()  # fmt: skip


def run_traced(temperature, options):
    return sample(
        MODEL, PARAMS, KEY, STATE, SHORT, temperature=temperature, **dict(options)
    )[1]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.4}, {"top_p": 1.0}])
@pytest.mark.parametrize("jit", [False, True])
def test_log_probs_at_temperature_zero_and_just_above(dtype, options, jit):
    logits = jnp.array([1.0, 3.0, -jnp.inf, 3.0, 2.0], dtype)
    run = lambda logits, t: filtered_log_probs(logits, temperature=t, **options)
    run = jax.jit(run) if jit else run
    tiny = float(np.finfo(dtype).tiny)
    for temperature in (0.0, tiny / 4):
        got = run(logits, temperature)
        np.testing.assert_array_equal(got, [-np.inf, 0, -np.inf, -np.inf, -np.inf])
    exact = numpy_filter(np.asarray(logits, np.longdouble), 2 * tiny, **options)
    got = run(logits, 2 * tiny)  # what is left of both of the largest
    np.testing.assert_allclose(got, exact.astype(dtype), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("vocab_size", [7, 40])
@pytest.mark.parametrize("layer", ["table", "carry"])
@pytest.mark.parametrize(
    "options", [*SETTINGS, {"top_k": 1}, {"greedy": True}], ids=str
)
def test_nan_logits_are_never_sampled(options, layer, vocab_size):
    """A cell whose logits hold one NaN from the third step on."""
    where = vocab_size - 1

    def step(params, carry, x, *, key=None):
        logits = jnp.linspace(0.0, 1.0, vocab_size)
        logits = logits + x.astype(float) if layer == "table" else logits
        return carry + 1, jnp.where(carry >= 2, logits.at[where].set(jnp.nan), logits)

    start = lambda params, *, key=None: jnp.zeros((), int)
    cell = jrnn.Cell(lambda key, x: (), start, step)
    state = prime(cell, (), ZERO)
    state, tokens = sample(cell, (), KEY, state, 5, **options)
    assert (tokens[:2] >= 0).all() and (tokens[2:] == -1).all()
    assert int(state.token) == -1
    assert np.isnan(filtered_log_probs(jnp.array([0.0, jnp.nan, 1.0]), top_k=1)).all()


def test_nan_logits_in_likelihood_and_beam_search():
    broken = constant(jnp.array([0.0, jnp.nan, 1.0]))
    _, log_probs = log_likelihood(broken, (), np.array([0, 2, 0]))
    assert np.isnan(log_probs).all()
    tokens, log_probs = beam_search(broken, (), prime(broken, (), ZERO), 3, 2)
    assert np.isnan(log_probs).all() and (tokens == -1).all()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": np.nan},
        {"temperature": np.inf},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_p": np.nan},
    ],
    ids=str,
)
def test_traced_settings_out_of_range_are_nan(options):
    names, values = tuple(options), jnp.array([*options.values()], float)
    settings = lambda values: dict(zip(names, values, strict=True))
    log_probs = jax.jit(
        lambda v: filtered_log_probs(jnp.arange(5.0), top_k=3, **settings(v))
    )(values)
    assert np.isnan(log_probs).all()
    tokens = jax.jit(lambda v: sample(MODEL, PARAMS, KEY, STATE, 4, **settings(v))[1])(
        values
    )
    assert (tokens == -1).all()


@pytest.mark.slow
def test_derivatives_of_the_log_probabilities():
    logits = jnp.array([0.3, -1.0, 2.0, 0.7])
    for options in ({}, {"top_k": 3}, {"top_p": 0.9}):
        f = partial(filtered_log_probs, temperature=0.7, **options)
        got = jax.jacobian(f)(logits)
        kept = np.isfinite(f(logits))
        p = np.where(kept, np.exp(f(logits)), 0)
        expected = (np.eye(4) - p) / 0.7  # d log p_i / d l_j of those that are kept
        np.testing.assert_allclose(
            got[kept], np.where(kept, expected, 0)[kept], rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize("bad", [-1, V, 2**30])
@pytest.mark.parametrize("jit", [False, True])
def test_log_likelihood_of_a_token_that_does_not_exist(bad, jit):
    run = log_likelihood if jit else generate.log_likelihood
    _, expected = run(MODEL, PARAMS, np.array([3, 1, 0, 2]))
    _, got = run(MODEL, PARAMS, np.array([3, 1, 0, bad]))
    assert np.isnan(got[2])
    np.testing.assert_allclose(got[:2], expected[:2], rtol=1e-12)


def test_stopped_stays_stopped_whatever_the_stop_token():
    state = STATE._replace(stopped=jnp.bool_(True))
    state, tokens = sample(MODEL, PARAMS, KEY, state, SHORT, stop_token=4)
    assert tokens.tolist() == [4] * SHORT and bool(state.stopped)
    chex.assert_trees_all_equal(state.carry, STATE.carry)


@pytest.mark.slow
def test_stop_token_fills_the_rest_and_holds_the_carry():
    model, params = model_and_params(jrnn.lstm)
    start = prime(model, params, PRIME)
    _, free = sample(model, params, KEY, start, LONG)
    stop = max(free.tolist(), key=free.tolist().index)  # the last token to appear
    first = free.tolist().index(stop)
    assert first > 2
    state, tokens = sample(model, params, KEY, start, LONG, stop_token=stop)
    before = free.tolist()[: first + 1]
    assert tokens.tolist() == before + [stop] * (LONG - 1 - first)
    expected = prime(model, params, np.array([*PRIME, *before])).carry
    chex.assert_trees_all_close(state.carry, expected, rtol=1e-12)
    assert bool(state.stopped) and int(state.position) == LONG
    # A prime that ends with the stop token has not stopped
    state = prime(model, params, np.array([1, stop]))
    _, tokens = sample(model, params, KEY, state, LONG, stop_token=stop)
    assert tokens.tolist() != [stop] * LONG


def test_noise_is_independent_of_start_and_standard_gumbel():
    whole = gumbel_noise(KEY, 0, MANY, V)
    np.testing.assert_array_equal(whole[70:81], gumbel_noise(KEY, 70, SHORT, V))
    assert len(np.unique(whole)) == whole.size
    count, gamma = whole.size, 0.5772156649
    assert abs(whole.mean() - gamma) < 5 * np.pi / np.sqrt(6 * count)
    # kurtosis of the Gumbel law: 3 + 12/5, hence the variance's standard error
    variance = np.pi**2 / 6
    assert abs(whole.var() - variance) < 5 * variance * np.sqrt(4.4 / count)
    assert gumbel_noise(KEY, 0, 2, 3, jnp.float32).dtype == jnp.float32


@pytest.mark.slow
def test_half_precision_models_are_sampled_in_float32():
    dtype = jnp.bfloat16
    params = jax.tree.map(lambda a: a.astype(dtype), PARAMS)
    model = jrnn.stack(jrnn.one_hot(V, dtype=dtype), jrnn.elman(H), jrnn.linear(V))
    state = prime(model, params, PRIME)
    state, tokens = sample(model, params, KEY, state, SHORT, top_p=0.9)
    assert tokens.dtype == jnp.int32 and state.carry[1].dtype == dtype
    _, log_probs = log_likelihood(model, params, tokens)
    assert log_probs.dtype == jnp.float32
    _, scores = beam_search(model, params, state, 2, 3)
    assert scores.dtype == jnp.float32


# What the settings keep


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    hnp.arrays(np.int64, 6, elements=st.integers(-2, 2)),
    st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from([None, 3, 8]),
    st.one_of(st.none(), st.floats(0.01, 1.0)),
)
def test_filter_equals_the_rules(logits, temperature, top_k, top_p):
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    # Integers give many ties; where the probabilities sum to top_p up to rounding,
    # either answer is right
    if top_p is not None:
        near = [
            numpy_filter(logits, temperature, top_k, top_p + d) for d in EITHER_SIDE
        ]
        if not np.array_equal(*near):
            return
    got = FILTER(jnp.asarray(logits, float), **options)
    expected = numpy_filter(logits, **options)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    if top_p is None:
        assert np.isfinite(got).sum() == min(6, top_k or 6)


EITHER_SIDE = (-1e-9, 1e-9)
FILTER = jax.jit(filtered_log_probs, static_argnames="top_k")


@pytest.mark.slow
def test_filter_by_hand():
    logits = jnp.log(jnp.array([0.1, 0.4, 0.1, 0.3, 0.1]))
    kept = lambda **options: np.flatnonzero(
        np.isfinite(filtered_log_probs(logits, **options))
    ).tolist()
    assert kept(top_k=3) == [0, 1, 3]  # of the equal ones the first
    assert kept(top_k=4) == [0, 1, 2, 3]
    assert kept(top_p=0.39) == [1]
    assert kept(top_p=0.41) == [1, 3]
    assert kept(top_p=0.75) == [0, 1, 3]
    assert kept(top_p=1e-9) == [1]
    assert kept(top_p=1.0) == kept(top_k=99) == [0, 1, 2, 3, 4]
    # 0.4 / 0.7 of what top_k left: enough for 0.5
    assert kept(top_k=2, top_p=0.5) == [1]
    tiny = jnp.array([0.0, -40.0, -45.0, -50.0])  # their sum is 1 after the first
    assert np.isfinite(filtered_log_probs(tiny, top_p=1.0)).all()


# Likelihood


def test_log_likelihood_equals_numpy():
    tokens = np.random.default_rng(1).integers(0, V, 19)
    expected = numpy_log_softmax(numpy_logits(PARAMS, tokens[:-1]))
    carry, got = log_likelihood(MODEL, PARAMS, tokens)
    np.testing.assert_allclose(got, expected[np.arange(18), tokens[1:]], rtol=1e-12)
    chex.assert_trees_all_close(carry, prime(MODEL, PARAMS, tokens).carry, rtol=1e-12)


def test_log_likelihood_in_pieces_and_batches():
    tokens = np.random.default_rng(2).integers(0, V, (3, 17))
    end, whole = log_likelihood(MODEL, PARAMS, tokens[0])
    carry, pieces = None, []
    for start, stop in [(0, 2), (1, 12), (11, 17)]:
        carry, part = log_likelihood(MODEL, PARAMS, tokens[0, start:stop], carry)
        pieces.append(part)
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-12)
    chex.assert_trees_all_close(carry, end, rtol=1e-12)
    _, batch = jax.vmap(partial(log_likelihood, MODEL, PARAMS))(jnp.asarray(tokens))
    for row, text in zip(batch, tokens, strict=True):
        alone = log_likelihood(MODEL, PARAMS, text)[1]
        np.testing.assert_allclose(row, alone, rtol=1e-12)


def test_probabilities_of_all_texts_sum_to_one():
    texts = np.array(list(itertools.product(range(V), repeat=3)))
    texts = np.concatenate([np.full((len(texts), 1), 4), texts], axis=1)
    _, log_probs = jax.vmap(partial(log_likelihood, MODEL, PARAMS))(jnp.asarray(texts))
    assert np.exp(log_probs.sum(1)).sum() == pytest.approx(1.0, rel=1e-12)


# Beam search


def enumerate_texts(params, vocab_size, length, stop_token=None):
    """All texts after the prime with their log-probabilities, most likely first."""
    found = {}
    for text in itertools.product(range(vocab_size), repeat=length):
        if stop_token in text:
            end = text.index(stop_token) + 1
            if set(text[end:]) - {stop_token}:
                continue
        else:
            end = length
        logits = numpy_logits(params, [*PRIME_3, *text[:end]])[len(PRIME_3) - 1 : -1]
        found[text] = numpy_log_softmax(logits)[np.arange(end), text[:end]].sum()
    return sorted(found.items(), key=lambda item: -item[1])


PRIME_3 = np.array([2, 0, 1, 1])


@pytest.mark.slow
@pytest.mark.parametrize("stop_token", [None, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_beam_search_against_enumeration(seed, stop_token):
    vocab_size, length = 3, 4
    model, params = model_and_params(vocab_size=vocab_size, seed=seed)
    state = prime(model, params, PRIME_3)
    search = lambda size: beam_search(
        model, params, state, length, size, stop_token=stop_token
    )
    texts = enumerate_texts(params, vocab_size, length, stop_token)
    # As many beams as prefixes: the best is found for certain
    tokens, log_probs = search(vocab_size ** (length - 1))
    assert tuple(tokens[0].tolist()) == texts[0][0]
    assert log_probs[0] == pytest.approx(texts[0][1], rel=1e-12)
    # As many beams as texts, and more: all of them, in order, and nothing else
    tokens, log_probs = search(vocab_size**length + 2)
    count = len(texts)
    assert [tuple(row) for row in tokens[:count].tolist()] == [t for t, _ in texts]
    np.testing.assert_allclose(log_probs[:count], [p for _, p in texts], rtol=1e-12)
    assert (log_probs[count:] == -np.inf).all()


def test_beam_search_with_a_correction_for_length_against_enumeration():
    model, params = model_and_params(vocab_size=3, seed=1)
    state = prime(model, params, PRIME_3)
    texts = enumerate_texts(params, 3, 4, stop_token=1)
    size = lambda text: text.index(1) + 1 if 1 in text else 4
    best = set()
    for power in (0.0, 0.7, 1.5):
        ranked = sorted(texts, key=lambda item: -item[1] / size(item[0]) ** power)
        tokens, log_probs = beam_search(
            model, params, state, 4, 83, stop_token=1, length_power=jnp.float64(power)
        )
        found = [tuple(row) for row in tokens[: len(texts)].tolist()]
        assert found == [text for text, _ in ranked]
        expected = [log_prob for _, log_prob in ranked]
        np.testing.assert_allclose(log_probs[: len(texts)], expected, rtol=1e-12)
        best.add(tuple(found[:5]))
    assert len(best) == 3  # the power matters here


def test_beam_search_equals_numpy_search():
    length, beam_size = 9, 3
    beams = [((), 0.0)]
    for _ in range(length):
        longer = [
            ((*text, token), score + log_prob)
            for text, score in beams
            for token, log_prob in enumerate(
                numpy_log_softmax(numpy_logits(PARAMS, [*PRIME, *text])[-1])
            )
        ]
        beams = sorted(longer, key=lambda item: -item[1])[:beam_size]
    tokens, log_probs = beam_search(MODEL, PARAMS, STATE, length, beam_size)
    assert [tuple(row) for row in tokens.tolist()] == [text for text, _ in beams]
    np.testing.assert_allclose(log_probs, [score for _, score in beams], rtol=1e-12)
    assert tokens.dtype == jnp.int32
    # each beam's score is the likelihood of its text
    text = np.array([PRIME[-1], *tokens[2]])
    _, likelihood = log_likelihood(MODEL, PARAMS, text, STATE.carry)
    assert log_probs[2] == pytest.approx(likelihood.sum().item(), rel=1e-12)


def test_one_beam_is_greedy_and_works_with_any_carry():
    model, params = model_and_params(jrnn.lstm)
    state = prime(model, params, PRIME)
    _, greedy = sample(model, params, None, state, 13, greedy=True)
    tokens, _ = beam_search(model, params, state, 13, 1)
    assert tokens.tolist() == [greedy.tolist()]


# Priming


def test_prime_reads_all_but_the_last_token():
    carry, _ = jrnn.unroll(MODEL, PARAMS, jnp.asarray(PRIME[:-1]))
    chex.assert_trees_all_close(STATE.carry, carry, rtol=1e-12)
    assert int(STATE.token) == PRIME[-1] and not bool(STATE.stopped)
    first = prime(MODEL, PARAMS, PRIME[:3])
    again = prime(MODEL, PARAMS, PRIME[2:], first.carry)
    chex.assert_trees_all_close(again, STATE, rtol=1e-12)
    alone = prime(MODEL, PARAMS, PRIME[:1])
    chex.assert_trees_all_close(alone.carry, MODEL.initial_carry(PARAMS))


# Errors


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"temperature": -1.0},
            r"sample: temperature must be >= 0 and finite, got -1\.0\. At 0 each",
        ),
        ({"temperature": float("nan")}, "must be >= 0 and finite, got nan"),
        ({"temperature": np.float32(-1)}, "temperature must be >= 0"),
        ({"temperature": float("inf")}, "must be >= 0 and finite, got inf"),
        ({"top_k": 0}, "top_k must be a positive integer, got 0"),
        ({"top_k": 2.0}, r"top_k must be a positive integer, got 2\.0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0\.0"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\], got 1\.5"),
        ({"length": 0}, "sample: length must be a positive integer, got 0"),
        ({"key": None}, "sample: needs a key, unless greedy=True"),
    ],
)
def test_sample_errors(options, match):
    arguments = {"key": KEY, "state": STATE, "length": 3} | options
    with pytest.raises(ValueError, match=match):
        sample(MODEL, PARAMS, **arguments)


def test_filter_errors():
    message = "filtered_log_probs: temperature must be >= 0"
    with pytest.raises(ValueError, match=message):
        filtered_log_probs(jnp.zeros(3), temperature=-0.5)
    with pytest.raises(
        ValueError, match=r"logits must have shape \(V,\), got \(2, 3\)"
    ):
        filtered_log_probs(jnp.zeros((2, 3)))


@pytest.mark.parametrize("function", [generate.prime, generate.log_likelihood])
def test_token_errors(function):
    name = function.__name__
    call = partial(function, MODEL, PARAMS)
    with pytest.raises(ValueError, match=rf"{name}: tokens must .* got \(2, 3\)\. Use"):
        call(np.zeros((2, 3), int))
    with pytest.raises(
        TypeError, match=f"{name}: tokens must be integers, got float64"
    ):
        call(np.zeros(3))
    fewest = {"prime": "at least 1 token, got 0", "log_likelihood": "2 tokens, got 0"}
    with pytest.raises(ValueError, match=f"{name}: needs .*{fewest[name]}"):
        call(np.zeros(0, int))


@pytest.mark.parametrize(
    ("outputs", "got"),
    [
        (lambda x: jnp.zeros((2, 3)), r"got float64 \(2, 3\)\. Put linear\(V\)"),
        (lambda x: jnp.zeros(3, int), r"got int64 \(3,\)"),
        (lambda x: (jnp.zeros(3), jnp.zeros(2)), "got tuple"),
    ],
)
def test_cell_without_logits(outputs, got):
    cell = jrnn.activation(outputs)
    state = STATE._replace(carry=())
    for name, call in {
        "prime": lambda: generate.prime(cell, (), [1, 2]),
        "sample": lambda: sample(cell, (), KEY, state, 3),
        "log_likelihood": lambda: generate.log_likelihood(cell, (), [1, 2]),
        "beam_search": lambda: generate.beam_search(cell, (), state, 3, 2),
    }.items():
        with pytest.raises(ValueError, match=f"{name}: the cell must .*{got}"):
            call()


def test_beam_search_errors():
    with pytest.raises(ValueError, match="beam_search: length must be a positive"):
        generate.beam_search(MODEL, PARAMS, STATE, -1, 2)
    with pytest.raises(ValueError, match="beam_search: beam_size must be a positive"):
        generate.beam_search(MODEL, PARAMS, STATE, 2, 0)
    with pytest.raises(ValueError, match=r"length_power must be >= 0, got -1\."):
        generate.beam_search(MODEL, PARAMS, STATE, 2, 2, length_power=-1)
