"""Models of whole sequences against NumPy, against PyTorch, and against steps by hand.

Laws that all of them obey are in `test_sequence_laws.py`.
"""

import inspect
import itertools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import H, I, O, T, V, draw, perturb
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn
from jrnn import (
    combine,
    dynamics,
    generate,
    gradients,
    models,
    seq2seq,
    train,
    wrappers,
)
from jrnn.attention import dot

SETTINGS = {"deadline": None, "max_examples": 30, "derandomize": True}


def close(a, b, tolerance=1e-12):
    chex.assert_trees_all_close(a, b, rtol=tolerance, atol=tolerance)


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed + sum(shape))
    return jnp.asarray(rng.normal(size=shape))


def drawn(model, x, seed=1):
    """Random parameters, biases too."""
    spec = jax.eval_shape(model.init, jax.random.key(0), x)
    return draw(np.random.default_rng(seed), spec, 0.7)


def run_first(model, params, xs, length):
    valid = jrnn.length_mask(length, len(xs))
    return jrnn.unroll(jrnn.masked(model), params, (xs, valid))


# Convolution and pooling, in NumPy from the definitions


def numpy_conv(w, b, xs, valid, padding, dilation):
    """Sums over k as written in the docstring; what is not there reads as zero."""
    width, steps = len(w), len(xs)
    before = dilation * (width - 1)
    before = before // 2 if padding == "same" else before
    ys = np.zeros((steps, w.shape[2]))
    for t in range(steps):
        if not valid[t]:
            continue
        ys[t] = b
        for k in range(width):
            s = t + dilation * k - before
            if 0 <= s < steps and valid[s]:
                ys[t] += xs[s] @ w[k]
    return ys


@pytest.mark.slow
@settings(**SETTINGS)
@given(
    width=st.integers(1, 5),
    dilation=st.integers(1, 3),
    padding=st.sampled_from(["same", "causal"]),
    flags=st.lists(st.booleans(), min_size=0, max_size=7),
    masked=st.booleans(),
)
def test_conv_equals_numpy(width, dilation, padding, flags, masked):
    model = jrnn.conv(O, width, padding=padding, dilation=dilation)
    xs = normal(len(flags), I, seed=width)
    params = jrnn.ConvParams(normal(width, I, O, seed=2), normal(O, seed=3))
    valid = np.array(flags, bool) if masked else np.ones(len(flags), bool)
    if masked:
        run = lambda xs: jrnn.unroll(jrnn.masked(model), params, (xs, valid))[1]
    else:
        run = lambda xs: jrnn.unroll(model, params, xs)[1]
    expected = numpy_conv(*map(np.asarray, (*params, xs)), valid, padding, dilation)
    np.testing.assert_allclose(run(xs), expected, rtol=1e-12, atol=1e-12)


def test_a_causal_convolution_is_a_window_and_a_linear_map():
    conv = jrnn.conv(O, 3, padding="causal")
    cell = jrnn.stack(jrnn.window(3), jrnn.linear(O))
    params, xs = drawn(conv, jnp.zeros(I)), normal(T, I)
    as_cell = (
        jrnn.WindowParams(jnp.zeros((2, I))),
        jrnn.LinearParams(params.w.reshape(3 * I, O), params.b),
    )
    close(jrnn.unroll(conv, params, xs)[1], jrnn.unroll(cell, as_cell, xs)[1])


NUMPY_POOLS = {
    "mean": lambda xs: xs.mean(0),
    "max": lambda xs: xs.max(0),
    "last": lambda xs: xs[-1],
}


@pytest.mark.parametrize("how", NUMPY_POOLS)
@pytest.mark.parametrize("flags", [None, *itertools.product([False, True], repeat=3)])
def test_pool_equals_numpy(how, flags):
    xs, model = normal(3, I), jrnn.pool(how)
    if flags is None:
        y, left = jrnn.unroll(model, (), xs)[1], np.asarray(xs)
    else:
        flags = np.array(flags)
        spoilt = jnp.where(flags[:, None], xs, jnp.nan)
        y = jrnn.unroll(jrnn.masked(model), (), (spoilt, flags))[1]
        left = np.asarray(xs)[flags]
    expected = NUMPY_POOLS[how](left) if len(left) else np.zeros(I)
    np.testing.assert_allclose(y, expected, rtol=1e-14)


@pytest.mark.slow
def test_the_mean_of_a_long_sequence_in_half_precision():
    xs = (1 + normal(1001, 40)).astype(jnp.bfloat16)
    got = jrnn.unroll(jrnn.pool("mean"), (), xs)[1]
    exact = np.asarray(xs, np.float64).mean(0)
    assert (got == jnp.asarray(exact, jnp.bfloat16)).all()


@pytest.mark.slow
def test_pools_of_scalars_and_of_trees():
    xs = {"a": normal(T), "b": (normal(T, 2, 3),)}
    for how, expected in NUMPY_POOLS.items():
        y = jrnn.unroll(jrnn.pool(how), (), xs)[1]
        chex.assert_trees_all_close(y, jax.tree.map(expected, xs))


# Stacks


@pytest.mark.slow
def test_a_stack_is_its_parts_one_after_the_other():
    parts = (
        jrnn.linear(O),
        jrnn.gru(H),
        jrnn.bidirectional(jrnn.lstm(2), jrnn.gru(3)),
        jrnn.elman(O),
        jrnn.conv(4, 2),
        jrnn.pool("mean"),
        jrnn.gru(5),
        jrnn.linear(O),
    )
    model, xs = jrnn.stack(*parts), normal(T, I)
    params = drawn(model, xs[0])
    assert isinstance(model, jrnn.SequenceModel) and model.pools
    assert len(params) == len(parts)
    assert isinstance(params[1], jrnn.GRUParams)
    assert isinstance(params[4], jrnn.ConvParams)
    carries, y = jrnn.unroll(model, params, xs)
    hand = xs
    for part, p, got in zip(parts[:6], params[:6], carries[:6], strict=True):
        last, hand = jrnn.unroll(part, p, hand)
        close(got, last)
    for part, p, got in zip(parts[6:], params[6:], carries[6:], strict=True):
        last, hand = part.step(p, part.initial_carry(p), hand)
        close(got, last)
    close(y, hand)


@pytest.mark.slow
def test_init_gives_each_part_its_own_key_and_size():
    parts = jrnn.bidirectional(jrnn.lstm(H), jrnn.lstm(O)), jrnn.lstm(H), jrnn.linear(2)
    params = jrnn.stack(*parts).init(jax.random.key(3), jnp.zeros(I))
    sizes = [p.w_x.shape for p in (*params[0], params[1])]
    assert sizes == [(I, 4 * H), (I, 4 * O), (H + O, 4 * H)]
    assert params[2].w.shape == (H, 2)
    same = jrnn.bidirectional(jrnn.lstm(H), jrnn.lstm(H))
    ahead, back = same.init(jax.random.key(3), jnp.zeros(I))
    assert (ahead.w_x != back.w_x).any()
    first, second = jrnn.stack(same, jrnn.linear(I), same).init(
        jax.random.key(3), jnp.zeros(I)
    )[::2]
    assert (first[0].w_x != second[0].w_x).any()


def test_neighbouring_cells_run_in_one_scan(monkeypatch):
    runs = []

    def counted(model, *args, **options):
        runs.append(model)
        return jrnn.unroll(model, *args, **options)

    monkeypatch.setattr(combine, "unroll", counted)
    both = jrnn.bidirectional(jrnn.gru(H), jrnn.gru(H))
    model = jrnn.stack(
        jrnn.linear(O), jrnn.gru(H), both, jrnn.elman(O), jrnn.linear(2), jrnn.gru(2)
    )
    params = drawn(model, jnp.zeros(I))
    runs.clear()  # of init, which asks for the sizes of outputs
    jax.eval_shape(lambda: jrnn.unroll(model, params, normal(T, I)))
    assert len(runs) == 4  # before, two directions, behind
    runs.clear()
    valid = jrnn.length_mask(2, T)
    jax.eval_shape(
        lambda: jrnn.unroll(jrnn.masked(model), params, (normal(T, I), valid))
    )
    assert len(runs) == 4


def test_a_stack_of_cells_is_a_cell_still():
    assert isinstance(jrnn.stack(jrnn.gru(2), jrnn.linear(2)), jrnn.Cell)
    assert isinstance(jrnn.parallel(jrnn.gru(2), jrnn.linear(2)), jrnn.Cell)
    for wrap in (jrnn.residual, jrnn.masked, jrnn.layer_norm, jrnn.learned_carry):
        assert isinstance(wrap(jrnn.gru(2)), jrnn.Cell)


@pytest.mark.slow
def test_bidirectional_run_backward_is_its_mirror_image():
    f, b, xs = jrnn.lstm(H), jrnn.gru(O), normal(T, I)
    params = drawn(jrnn.bidirectional(f, b), xs[0])
    carries, ys = jrnn.unroll(jrnn.bidirectional(f, b), params, xs, reverse=True)
    mirror = jrnn.bidirectional(b, f)
    expected, mirrored = jrnn.unroll(mirror, params[::-1], xs)
    close(carries, expected[::-1])
    close(ys, jnp.roll(mirrored, H, axis=1))


@pytest.mark.slow
def test_the_last_states_of_both_directions():
    one = lambda cell: jrnn.stack(cell, jrnn.pool("last"))
    f, b, xs = jrnn.gru(H), jrnn.gru(O), normal(T, I)
    params = drawn(jrnn.bidirectional(f, b), xs[0])
    ends = jrnn.bidirectional(one(f), one(b))
    of_ends = tuple((p, ()) for p in params)
    for n in (1, 3, T):
        states = run_first(jrnn.bidirectional(f, b), params, xs, n)[0]
        close(run_first(ends, of_ends, xs, n)[1], jnp.concatenate(states))


def test_parallel_joins_means_and_maxima():
    both = jrnn.parallel(jrnn.pool("mean"), jrnn.pool("max"))
    joined = jrnn.stack(both, jrnn.activation(jnp.concatenate), jrnn.linear(O))
    xs = normal(T, I)
    params = drawn(joined, xs[0])
    y = jrnn.unroll(joined, params, xs)[1]
    pooled = jnp.concatenate([xs.mean(0), xs.max(0)])
    close(y, pooled @ params[2].w + params[2].b)


@pytest.mark.slow
def test_dropout_of_a_whole_sequence():
    one = jrnn.activation(lambda x: x)
    model = jrnn.dropout(jrnn.bidirectional(one, one), 0.25)
    ys = jrnn.unroll(model, ((), ()), jnp.ones((50, 40)), key=jax.random.key(1))[1]
    assert set(np.unique(ys)) == {0.0, 1 / 0.75}
    assert 0.2 < (ys == 0).mean() < 0.3
    assert (ys[0] != ys[1]).any()  # anew at every step


@pytest.mark.slow
def test_masks_of_variational_dropout_last_a_sequence():
    noisy = jrnn.record(jrnn.variational_dropout(jrnn.elman(40), 0.5))
    model, xs = jrnn.bidirectional(noisy, noisy), normal(T, I)
    params = drawn(model, xs[0])
    masks = jrnn.unroll(model, params, xs, key=jax.random.key(1))[1].carry.mask
    assert (masks == masks[:1]).all()
    assert (masks[0, :40] != masks[0, 40:]).any()


# PyTorch, weights copied by hand


def torch_weights(p, kind, torch):
    """Weights of one direction of one layer in torch's order and layout."""
    b_x = p.b if kind == "lstm" else p.b_x
    b_h = jnp.zeros_like(p.b) if kind == "lstm" else p.b_h
    return [torch.tensor(np.array(a)) for a in (p.w_x.T, p.w_h.T, b_x, b_h)]


def torch_twin(kind, params, torch):
    """Two layers in both directions, as torch has them in one module."""
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    net = module(I, H, num_layers=2, bidirectional=True).double()
    for layer, side in itertools.product((0, 1), (0, 1)):
        suffix = f"_l{layer}{'_reverse' * side}"
        names = [n + suffix for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        copied = torch_weights(params[layer][side], kind, torch)
        for name, value in zip(names, copied, strict=True):
            getattr(net, name).data.copy_(value)
    return net


def last_states(kind, carries):
    """h_n (4, ..., H), and c_n of an LSTM, in torch's order of layers and sides."""
    sides = [c for layer in carries for c in layer]
    if kind == "gru":
        return [jnp.stack(sides)]
    return [jnp.stack([c.h for c in sides]), jnp.stack([c.c for c in sides])]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_two_layers_in_both_directions_equal_torch(kind):
    torch = pytest.importorskip("torch")
    cell = {"lstm": jrnn.lstm, "gru": jrnn.gru}[kind](H)
    layer = jrnn.bidirectional(cell, cell)
    model, xs = jrnn.stack(layer, layer), normal(7, I)
    params = drawn(model, xs[0])
    net = torch_twin(kind, params, torch)
    t_xs = torch.tensor(np.array(xs), requires_grad=True)
    t_ys, t_last = net(t_xs)
    carries, ys = jrnn.unroll(model, params, xs)
    expected = [a.detach().numpy() for a in (t_last if kind == "lstm" else [t_last])]
    close(ys, t_ys.detach().numpy(), 1e-12)
    close(last_states(kind, carries), expected, 1e-12)
    # and the gradients of all
    t_ys.sin().sum().backward()
    loss = lambda p, xs: jnp.sin(jrnn.unroll(model, p, xs)[1]).sum()
    grads, d_xs = jax.jit(jax.grad(loss, (0, 1)))(params, xs)
    close(d_xs, t_xs.grad.numpy(), 1e-10)
    for i, side in itertools.product((0, 1), (0, 1)):
        suffix = f"_l{i}{'_reverse' * side}"
        got = grads[i][side]
        close(got.w_x.T, getattr(net, "weight_ih" + suffix).grad.numpy(), 1e-10)
        close(got.w_h.T, getattr(net, "weight_hh" + suffix).grad.numpy(), 1e-10)
        b = got.b if kind == "lstm" else got.b_h
        close(b, getattr(net, "bias_hh" + suffix).grad.numpy(), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_unequal_lengths_equal_torch_packed(kind):
    torch = pytest.importorskip("torch")
    cell = {"lstm": jrnn.lstm, "gru": jrnn.gru}[kind](H)
    layer = jrnn.bidirectional(cell, cell)
    model, lengths = jrnn.stack(layer, layer), [2, 7, 1, 5]
    xs = normal(4, 7, I)
    params = drawn(model, xs[0, 0])
    net = torch_twin(kind, params, torch)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(np.array(xs)), lengths, batch_first=True, enforce_sorted=False
    )
    t_ys, t_last = net(packed)
    t_ys = torch.nn.utils.rnn.pad_packed_sequence(t_ys, batch_first=True)[0]
    valid = jax.vmap(jrnn.length_mask, (0, None))(jnp.array(lengths), 7)
    spoilt = jnp.where(valid[..., None], xs, jnp.nan)
    run = lambda xs, valid: jrnn.unroll(jrnn.masked(model), params, (xs, valid))
    carries, ys = jax.jit(jax.vmap(run))(spoilt, valid)
    close(ys, t_ys.detach().numpy(), 1e-12)
    expected = [a.detach().numpy() for a in (t_last if kind == "lstm" else [t_last])]
    close(last_states(kind, carries), expected, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dilation"), [(3, 1), (4, 2), (3, 2), (1, 1)])
def test_conv_equals_torch(width, dilation):
    torch = pytest.importorskip("torch")
    model, xs = jrnn.conv(O, width, dilation=dilation), normal(9, I)
    params = drawn(model, xs[0])
    weight = torch.tensor(np.array(params.w.transpose(2, 1, 0)))  # (O, I, K)
    expected = torch.nn.functional.conv1d(
        torch.tensor(np.array(xs.T))[None],
        weight,
        torch.tensor(np.array(params.b)),
        padding="same",
        dilation=dilation,
    )[0].T
    close(jrnn.unroll(model, params, xs)[1], expected.numpy())


# Wrappers: which take a model of whole sequences, and what the others say


BOTH = jrnn.bidirectional(jrnn.lstm(H), jrnn.lstm(H))
WHOLE = (
    "the model, by its bidirectional, reads the whole sequence and cannot be stepped"
)
TAKES = {
    "residual": jrnn.residual,
    "layer_norm": jrnn.layer_norm,
    "dropout": lambda model: jrnn.dropout(model, 0.5),
    "masked": jrnn.masked,
    "learned_carry": jrnn.learned_carry,
    "highway": jrnn.highway,
}
INSIDE = {
    "zoneout": ("zoneout(lstm(64), h_rate)", 0.5),
    "zoneout_mean": ("zoneout_mean(lstm(64), h_rate)", 0.5),
    "recurrent_dropout": ("recurrent_dropout(lstm(64), rate)", 0.5),
    "weight_dropout": ("weight_dropout(lstm(64), rate)", 0.5),
    "weight_norm": ("weight_norm(lstm(64))",),
    "spectral_norm": ("spectral_norm(lstm(64))",),
    "spectral_bound": ("spectral_bound(lstm(64))",),
    "clip_carry": ("clip_carry(lstm(64), limit)", 1.0),
    "mixed_precision": ("mixed_precision(lstm(64))",),
}
REFUSES = {
    **{
        name: (
            lambda model, name=name, arguments=arguments: getattr(jrnn, name)(
                model, *arguments
            ),
            f"Wrap the cells in it: bidirectional({call}, ...).",
        )
        for name, (call, *arguments) in INSIDE.items()
    },
    "variational_dropout": (
        lambda model: jrnn.variational_dropout(model, 0.5),
        "Wrap the cells in it: "
        "bidirectional(variational_dropout(lstm(64), rate), ...).",
    ),
    "record": (
        jrnn.record,
        "It has no carry after each step; record the cells in it: "
        "bidirectional(record(lstm(64)), record(lstm(64))).",
    ),
    "reset": (
        jrnn.reset,
        "Cut the sequence at its starts, and run the pieces as a batch: pad them, and "
        "say by masked(model) which steps are valid.",
    ),
    "feedback": (
        jrnn.feedback,
        "What it returns at a step is known after the last one only.",
    ),
}


def test_every_wrapper_is_in_one_of_the_tables():
    found = {
        name
        for module in (wrappers, inspect.getmodule(jrnn.feedback))
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__.startswith(module.__name__)
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters)) == "cell"
    }
    assert found - {"resample"} == set(TAKES) | set(REFUSES)  # resample is no wrapper


@pytest.mark.parametrize("name", TAKES)
def test_wrappers_that_take_a_model_of_whole_sequences(name):
    model = TAKES[name](BOTH)
    assert isinstance(model, jrnn.SequenceModel) and not model.pools
    assert model.description.factory == name
    assert model.description.arguments["cell"] is BOTH


@pytest.mark.parametrize("name", REFUSES)
def test_wrappers_that_refuse_say_why(name):
    wrap, fix = REFUSES[name]
    with pytest.raises(TypeError, match="^" + re.escape(f"{name}: {WHOLE}. {fix}")):
        wrap(jrnn.stack(jrnn.linear(2), jrnn.masked(BOTH), jrnn.linear(2)))


def test_resample_draws_the_masks_in_both_directions():
    cell = jrnn.variational_dropout(jrnn.elman(40), 0.5)
    model = jrnn.bidirectional(cell, cell)
    params = drawn(model, jnp.zeros(I))
    old = perturb(1, model.initial_carry(params, key=jax.random.key(1)))
    new = jrnn.resample(model, params, old, jax.random.key(2))
    for a, b in zip(old, new, strict=True):
        assert (a.mask != b.mask).any() and (a.cell == b.cell).all()


@pytest.mark.slow
def test_residual_and_learned_carry_by_hand():
    xs, flags = normal(T, 2 * H), jnp.array([True, False, True, True, False])
    params = drawn(BOTH, xs[0])
    spoilt = jnp.where(flags[:, None], xs, jnp.nan)
    ys = jrnn.unroll(jrnn.masked(BOTH), params, (xs, flags))[1]
    got = jrnn.unroll(jrnn.masked(jrnn.residual(BOTH)), params, (spoilt, flags))[1]
    close(got, jnp.where(flags[:, None], ys + xs, 0))
    carry = perturb(4, BOTH.initial_carry(params))
    learned = wrappers.LearnedCarryParams(params, carry)
    got = jrnn.unroll(jrnn.learned_carry(BOTH), learned, xs)
    close(got, jrnn.unroll(BOTH, params, xs, carry))


def test_layer_norm_of_a_whole_sequence_by_numpy():
    xs = normal(T, I)
    params = drawn(jrnn.layer_norm(BOTH), xs[0])
    us = np.asarray(jrnn.unroll(BOTH, params.cell, xs)[1])
    us = us - us.mean(1, keepdims=True)
    us = us / np.sqrt((us**2).mean(1, keepdims=True) + 1e-6)
    got = jrnn.unroll(jrnn.layer_norm(BOTH), params, xs)[1]
    close(got, us * np.asarray(params.scale) + np.asarray(params.offset))


# What cannot be stepped says so


PARAMS = drawn(BOTH, jnp.zeros(I))
STATE = generate.SampleState((), jnp.int32(0), jnp.int32(0), jnp.bool_(False))
TOKENS, TOTAL = jnp.array([1, 2, 0]), lambda ys: ys.sum()
XS = jnp.zeros((T, I))
STEPS = {
    "step": lambda m: m.step(PARAMS, (), XS[0]),
    "prime": lambda m: generate.prime(m, PARAMS, TOKENS),
    "sample": lambda m: generate.sample(m, PARAMS, None, STATE, 3, greedy=True),
    "beam_search": lambda m: generate.beam_search(m, PARAMS, STATE, 3, 2),
    "log_likelihood": lambda m: generate.log_likelihood(m, PARAMS, TOKENS),
    "truncated_loss": lambda m: train.truncated_loss(m),
    "evaluate": lambda m: train.evaluate(m, PARAMS, TOKENS),
    "gradient_flow": lambda m: gradients.gradient_flow(m, PARAMS, XS, TOTAL),
    "omega": lambda m: gradients.omega(m, PARAMS, XS, TOTAL),
    "step_jacobians": lambda m: gradients.step_jacobians(m, PARAMS, XS),
    "lag_jacobians": lambda m: gradients.lag_jacobians(m, PARAMS, XS),
    "gate_saturation": lambda m: gradients.gate_saturation(m, PARAMS, XS),
    "lyapunov_spectrum": lambda m: dynamics.lyapunov_spectrum(m, PARAMS, XS),
    "largest_exponent": lambda m: dynamics.largest_exponent(m, PARAMS, XS),
    "fixed_points": lambda m: dynamics.fixed_points(
        m, PARAMS, XS[0], jax.tree.map(lambda a: a[None], m.initial_carry(PARAMS))
    ),
    "memory_capacity": lambda m: dynamics.memory_capacity(m, PARAMS, XS[:, :1], 3),
    "teacher_forcing": lambda m: seq2seq.teacher_forcing(m, PARAMS, 0, TOKENS),
    "scheduled_sampling": lambda m: seq2seq.scheduled_sampling(
        m, PARAMS, jax.random.key(0), 0, TOKENS, 0.5
    ),
    "seq2seq": lambda m: seq2seq.seq2seq(5, 5, cell=lambda size: m),
    "language_model": lambda m: models.language_model(5, cell=lambda size: m),
    "one_to_one": lambda m: models.one_to_one(m, PARAMS, XS[0]),
    "many_to_one": lambda m: models.many_to_one(jrnn.gru(H), m, ((), PARAMS), XS),
    "one_to_many": lambda m: models.one_to_many(m, m, (PARAMS, PARAMS), XS[0], XS),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_needs_steps_says_so(name):
    message = f"{name}: {WHOLE}. "
    with pytest.raises(TypeError, match="^" + re.escape(message) + "[A-Z].*[.]$"):
        STEPS[name](BOTH)


def test_the_part_that_is_no_cell_is_named():
    conv = jrnn.stack(jrnn.gru(2), jrnn.residual(jrnn.stack(jrnn.conv(2, 3))))
    with pytest.raises(
        TypeError, match=r"^step: the model, by its conv, reads the whole"
    ):
        conv.step((), (), XS[0])
    with pytest.raises(TypeError, match=r"^step: the model reads the whole sequence"):
        jrnn.SequenceModel(*conv).step((), (), XS[0])


# Models and training


@pytest.mark.slow
@pytest.mark.parametrize("length", [None, 0, 1, 3, T])
def test_models_take_whole_sequences(length):
    readout, xs = jrnn.linear(O), normal(T, I)
    params = PARAMS, drawn(readout, jnp.zeros(2 * H))
    n = T if length is None else length
    _, hs = jrnn.unroll(BOTH, PARAMS, xs[:n])
    got = models.many_to_many(BOTH, PARAMS, xs, length)
    close(got[:n], hs)
    assert got.shape == (T, 2 * H) and (got[n:] == 0).all()
    read = lambda h: h @ params[1].w + params[1].b
    last = hs[-1] if n else jnp.zeros(2 * H)
    close(models.many_to_one(BOTH, readout, params, xs, length), read(last))
    pooled = jrnn.stack(BOTH, jrnn.pool("mean"))
    mean = hs.mean(0) if n else jnp.zeros(2 * H)
    of_pooled = (PARAMS, ()), params[1]
    close(models.many_to_one(pooled, readout, of_pooled, xs, length), read(mean))
    with pytest.raises(
        ValueError, match=r"many_to_many: the model pools over time and"
    ):
        models.many_to_many(pooled, of_pooled[0], xs, length)


@pytest.mark.slow
def test_an_encoder_of_two_layers_with_attention():
    layer = lambda: jrnn.bidirectional(jrnn.gru(H), jrnn.gru(H))
    encoder = jrnn.stack(layer(), layer())
    model = seq2seq.seq2seq(
        V, 5, hidden_size=3, embed_size=I, attention=dot(), encoder=encoder
    )
    params = perturb(1, model.init(jax.random.key(0)))
    source = jnp.array([1, 6, 2, 0, 0])
    memory = model.encode(params, source, 3)
    xs = params.source.table[source[:3]]
    carries, states = jrnn.unroll(encoder, params.encoder, xs)
    close(memory.states[:3], states)
    assert (memory.states[3:] == 0).all() and memory.states.shape == (5, 2 * H)
    numbers = jnp.concatenate([c for layer in carries for c in layer])
    close(memory.carry, jnp.tanh(numbers @ params.bridge.w + params.bridge.b))
    decoder = model.decoder(memory)
    other = model.decoder(model.encode(params, source.at[3:].set(4), 3))
    run = lambda cell: seq2seq.teacher_forcing(cell, params, 0, jnp.array([3, 1]))
    chex.assert_trees_all_equal(run(decoder), run(other))
    assert run(decoder).shape == (2, 5)
    state = generate.prime(decoder, params, jnp.array([0]))
    assert generate.sample(decoder, params, None, state, 4, greedy=True)[1].shape == (
        4,
    )


@pytest.mark.slow
def test_the_encoder_of_seq2seq_is_bidirectional_unless_one_is_given():
    sizes = {"hidden_size": H, "embed_size": I, "attention": dot()}
    plain = seq2seq.seq2seq(V, 5, **sizes)
    both = jrnn.bidirectional(jrnn.gru(H), jrnn.gru(H))
    given = seq2seq.seq2seq(V, 5, encoder=both, **sizes)
    forward = seq2seq.seq2seq(V, 5, encoder=jrnn.gru(H), **sizes)
    params = perturb(1, plain.init(jax.random.key(0)))
    source = jnp.array([1, 6, 2, 0, 0])
    memories = [model.encode(params, source, 3) for model in (plain, given)]
    chex.assert_trees_all_equal(*memories)
    chex.assert_trees_all_equal_shapes(params, given.init(jax.random.key(0)))
    params = forward.init(jax.random.key(0))
    memory = forward.encode(params, source, 3)
    assert memory.states.shape == (5, H) and params.readout.w.shape == (2 * H, 5)


def test_an_encoder_that_pools_is_refused():
    pooled = jrnn.stack(BOTH, jrnn.pool("mean"))
    with pytest.raises(
        ValueError, match="seq2seq: encoder pools over time, but a state"
    ):
        seq2seq.seq2seq(5, 5, encoder=pooled)


@pytest.mark.slow
def test_training_learns_what_one_direction_cannot():
    """At every step: whether the last input of the sequence is positive."""
    batch_size, steps = 32, 9

    def draw(_, n):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), n))
        lengths = jax.random.randint(keys[0], (batch_size,), 1, steps + 1)
        valid = jax.vmap(jrnn.length_mask, (0, None))(lengths, steps)
        xs = jax.random.normal(keys[1], (batch_size, steps, 1))
        last = jnp.take_along_axis(xs[..., 0], lengths[:, None] - 1, axis=1)
        return jnp.where(valid[..., None], xs, jnp.nan), valid, last > 0

    layer = jrnn.bidirectional(jrnn.gru(8), jrnn.gru(8))
    net = jrnn.stack(layer, jrnn.linear(1))

    def outputs(params, xs, valid):
        run = lambda xs, valid: jrnn.unroll(jrnn.masked(net), params, (xs, valid))
        return jax.vmap(run)(xs, valid)[1][..., 0]

    def loss(params, carry, batch, *, key=None):
        xs, valid, labels = batch
        signs = jnp.where(labels, 1.0, -1.0)
        losses = jax.nn.softplus(-signs * outputs(params, xs, valid))
        return jnp.where(valid, losses, 0.0).sum() / (batch_size * steps), carry

    adam = jrnn.optimizers.adam
    params = net.init(jax.random.key(1), jnp.zeros(1))
    state = train.init_state(params, (), adam)
    step = train.make_step(loss, adam)
    with jax.numpy_dtype_promotion("standard"):  # which Optax counts on
        state, metrics = train.fit(
            step, state, draw, (), jax.random.key(2), 150, learning_rate=0.02
        )
    assert not metrics.nonfinite.any()
    xs, valid, labels = draw((), 999)
    right = (outputs(state.params, xs, valid) > 0) == labels
    assert right[valid].mean() > 0.95
