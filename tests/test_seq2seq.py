"""Attention, encoder and decoder, and the experiments that use them."""

import dataclasses
import importlib
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jrnn
from experiments._results import FOLDER, plain
from jrnn import attention, generate, seq2seq

S, N, V, H = 6, 4, 3, 4
SOURCE = jnp.array([4, 1, 5, 2, 0, 0])
TARGETS = jnp.array([2, 0, 1, 1])


def perturbed(params, seed=0):
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    leaves = [leaf + 0.5 * rng.normal(size=leaf.shape) for leaf in leaves]
    return jax.tree.unflatten(tree, leaves)


def make(score, cell=jrnn.gru):
    model = seq2seq.seq2seq(
        7, V, cell=cell, hidden_size=H, embed_size=5, attention=score
    )
    return model, perturbed(jax.jit(model.init)(jax.random.key(0)))


MODEL, PARAMS = make(attention.dot())


# Attention


def numpy_softmax(e):
    return np.exp(e) / np.exp(e).sum()


@pytest.mark.slow
def test_attention_equals_numpy():
    rng = np.random.default_rng(1)
    q, memory = rng.normal(size=3), rng.normal(size=(S, 2))
    valid = np.array([True, False, True, True, False, True])
    w = rng.normal(size=(2, 3))
    w_q, w_m, v = rng.normal(size=(3, 5)), rng.normal(size=(2, 5)), rng.normal(size=5)
    by_hand = {
        "dot": [m @ w @ q / np.sqrt(3) for m in memory],
        "additive": [np.tanh(q @ w_q + m @ w_m) @ v for m in memory],
    }
    params = {
        "dot": attention.DotParams(w),
        "additive": attention.AdditiveParams(w_q, w_m, v),
    }
    for name, score in (("dot", attention.dot()), ("additive", attention.additive(5))):
        keys = score.keys(params[name], jnp.array(memory))
        scores = score.score(params[name], jnp.array(q), keys)
        np.testing.assert_allclose(scores, by_hand[name], rtol=1e-12)
        e = np.array(by_hand[name])
        mean, weights = attention.attend(scores, jnp.array(memory), jnp.array(valid))
        expected = np.zeros(S)
        expected[valid] = numpy_softmax(e[valid])
        np.testing.assert_allclose(weights, expected, rtol=1e-12)
        np.testing.assert_allclose(mean, expected @ memory, rtol=1e-12)
        _, weights = attention.attend(scores, jnp.array(memory))
        np.testing.assert_allclose(weights, numpy_softmax(e), rtol=1e-12)


@pytest.mark.slow
def test_what_is_not_valid_may_hold_anything():
    valid = jnp.arange(S) < 2
    junk = jnp.full(S, jnp.nan).at[:2].set(jnp.array([0.3, -0.2]))
    memory = junk[:, None] * jnp.ones((1, 2))
    mean = lambda e, m: attention.attend(e, m, valid)[0].sum()
    for gradient in jax.grad(mean, (0, 1))(junk, memory):
        assert jnp.isfinite(gradient).all() and (gradient[2:] == 0).all()
        assert (gradient[:2] != 0).all()
    mean, weights = attention.attend(junk, memory, jnp.zeros(S, bool))
    assert (mean == 0).all() and (weights == 0).all()


def test_attention_errors():
    memory = jnp.zeros((3, 2))
    with pytest.raises(ValueError, match=r"attend: scores must have shape \(3,\)"):
        attention.attend(jnp.zeros((3, 1)), memory)
    with pytest.raises(ValueError, match=r"attend: valid must have shape \(3,\)"):
        attention.attend(jnp.zeros(3), memory, jnp.ones(2, bool))
    with pytest.raises(ValueError, match="additive: size must be a positive integer"):
        attention.additive(0)
    with pytest.raises(TypeError, match="expected DotParams, got AdditiveParams"):
        attention.dot().keys(attention.AdditiveParams(1, 2, 3), memory)


# Encoder and decoder


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def numpy_gru(p, h, x):
    r_x, z_x, n_x = np.split(x @ p.w_x + p.b_x, 3)
    r_h, z_h, n_h = np.split(h @ p.w_h + p.b_h, 3)
    r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
    return (1 - z) * np.tanh(n_x + r * n_h) + z * h


def numpy_logits(params, source, inputs):
    """The equations of seq2seq's docstring with a GRU and dot attention."""
    p = jax.tree.map(np.asarray, params)
    xs = [p.source.table[token] for token in source]
    forward, backward, h = [], [], np.zeros(H)
    for x in xs:
        h = numpy_gru(p.encoder[0], h, x)
        forward.append(h)
    h = np.zeros(H)
    for x in reversed(xs):
        h = numpy_gru(p.encoder[1], h, x)
        backward.insert(0, h)
    m = np.concatenate([forward, backward], axis=1)
    last = np.concatenate([forward[-1], backward[0]])
    h, logits = np.tanh(last @ p.bridge.w + p.bridge.b), []
    for token in inputs:
        h = numpy_gru(p.decoder, h, p.target.table[token])
        a = numpy_softmax(m @ p.attention.w @ h / np.sqrt(H))
        logits.append(np.concatenate([h, a @ m]) @ p.readout.w + p.readout.b)
    return np.array(logits)


def logits_of(model, params, source, length):
    decoder = model.decoder(model.encode(params, source, length))
    return seq2seq.teacher_forcing(decoder, params, 0, TARGETS)


@pytest.mark.slow
def test_encoder_and_decoder_equal_numpy():
    expected = numpy_logits(PARAMS, np.asarray(SOURCE[:4]), [0, 2, 0, 1])
    got = logits_of(MODEL, PARAMS, SOURCE, 4)
    np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "cell"), [(attention.additive(3), jrnn.lstm), (None, jrnn.gru)]
)
def test_padding_of_the_source_changes_nothing(score, cell):
    model, params = make(score, cell)

    def loss(params, source):
        logits = logits_of(model, params, source, jnp.asarray(4))
        return jrnn.losses.cross_entropy(logits, TARGETS)

    value_and_grad = jax.jit(jax.value_and_grad(loss))
    value, gradient = value_and_grad(params, SOURCE)
    other = SOURCE.at[4:].set(jnp.array([6, 3]))
    for a, b in zip(
        jax.tree.leaves((value, gradient)),
        jax.tree.leaves(value_and_grad(params, other)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    read = value_and_grad(params, SOURCE.at[3].set(6))[0]
    assert not np.allclose(value, read, rtol=1e-6)
    if score is not None:
        memory = model.encode(params, SOURCE, 4)
        weights = model.look(params, memory, TARGETS)
        assert weights.shape == (N, S) and (weights[:, 4:] == 0).all()
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)


@pytest.mark.slow
def test_scheduled_sampling_from_all_truth_to_none():
    decoder = MODEL.decoder(MODEL.encode(PARAMS, SOURCE, 4))
    run = jax.jit(
        lambda params, key, truth: seq2seq.scheduled_sampling(
            MODEL.decoder(MODEL.encode(params, SOURCE, 4)),
            params,
            key,
            0,
            TARGETS,
            truth,
        )
    )
    logits, inputs = run(PARAMS, jax.random.key(1), 1.0)
    forced = seq2seq.teacher_forcing(decoder, PARAMS, 0, TARGETS)
    np.testing.assert_allclose(logits, forced, rtol=1e-12)
    assert inputs.tolist() == [0, 2, 0, 1]
    # the model's own tokens: drawn from its distribution, and read
    keys = jax.random.split(jax.random.key(2), 4000)
    logits, inputs = jax.vmap(run, (None, 0, None))(PARAMS, keys, 0.0)
    share = np.bincount(np.asarray(inputs[:, 1]), minlength=V) / len(keys)
    np.testing.assert_allclose(share, numpy_softmax(np.asarray(forced[0])), atol=0.03)
    expected = numpy_logits(PARAMS, np.asarray(SOURCE[:4]), inputs[7].tolist())
    np.testing.assert_allclose(logits[7], expected, rtol=1e-10)
    # in between: the third input is the truth or happens to be drawn
    keys = jax.random.split(jax.random.key(4), 4000)
    _, mixed = jax.vmap(run, (None, 0, None))(PARAMS, keys, 0.6)
    drawn = np.mean(np.asarray(inputs[:, 1]) == int(TARGETS[0]))
    expected = 0.6 + 0.4 * drawn
    assert abs(np.mean(np.asarray(mixed[:, 1]) == int(TARGETS[0])) - expected) < 0.03


@pytest.mark.slow
def test_gradient_of_scheduled_sampling_is_that_of_its_inputs():
    """With the inputs that were drawn held fixed, an ordinary unroll's gradient."""
    key = jax.random.key(3)

    def sampled(params):
        decoder = MODEL.decoder(MODEL.encode(params, SOURCE, 4))
        logits, inputs = seq2seq.scheduled_sampling(
            decoder, params, key, 0, TARGETS, 0.3
        )
        return jrnn.losses.cross_entropy(logits, TARGETS), inputs

    def fixed(params, inputs):
        decoder = MODEL.decoder(MODEL.encode(params, SOURCE, 4))
        logits = jrnn.unroll(decoder, params, inputs)[1]
        return jrnn.losses.cross_entropy(logits, TARGETS)

    gradient, inputs = jax.jit(jax.grad(sampled, has_aux=True))(PARAMS)
    expected = jax.jit(jax.grad(fixed))(PARAMS, inputs)
    assert inputs.tolist() != [0, 2, 0, 1]
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_truth_falls_along_the_papers_curve():
    for k in (2.0, 30.0):
        for n in (0, 5, 100):
            expected = k / (k + np.exp(n / k))
            assert seq2seq.inverse_sigmoid(n, k) == pytest.approx(expected, rel=1e-12)
    assert seq2seq.inverse_sigmoid(10**6, 2.0) == 0  # and not NaN


@pytest.mark.slow
def test_greedy_and_beam_search_decode_one_source():
    """Against all targets of three tokens, by the NumPy model."""
    decoder = MODEL.decoder(MODEL.encode(PARAMS, SOURCE, 4))
    state = generate.prime(decoder, PARAMS, jnp.array([0]))
    totals, greedy = {}, []
    for text in itertools.product(range(V), repeat=3):
        logits = numpy_logits(PARAMS, np.asarray(SOURCE[:4]), [0, *text[:2]])
        log_probs = [np.log(numpy_softmax(row))[y] for row, y in zip(logits, text)]  # noqa: B905
        totals[text] = sum(log_probs)
    for _ in range(3):
        logits = numpy_logits(PARAMS, np.asarray(SOURCE[:4]), [0, *greedy])
        greedy.append(int(logits[-1].argmax()))
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    tokens, log_probs = generate.beam_search(decoder, PARAMS, state, 3, V**3)
    assert [tuple(row) for row in tokens.tolist()] == [text for text, _ in ranked]
    np.testing.assert_allclose(log_probs, [total for _, total in ranked], rtol=1e-10)
    _, tokens = generate.sample(decoder, PARAMS, None, state, 3, greedy=True)
    assert tokens.tolist() == greedy


def test_seq2seq_errors():
    with pytest.raises(ValueError, match="seq2seq: source_size must be a positive"):
        seq2seq.seq2seq(0, 3)
    with pytest.raises(ValueError, match="seq2seq: target_size must be a positive"):
        seq2seq.seq2seq(3, 1.5)
    with pytest.raises(
        ValueError, match=r"source must have shape \(S,\), got \(1, 6\)"
    ):
        MODEL.encode(PARAMS, SOURCE[None])
    plain_model = seq2seq.seq2seq(7, V)
    with pytest.raises(ValueError, match="look needs a model with attention"):
        plain_model.look(None, None, TARGETS)


# The experiments in their smallest form


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dates", "token_classes"])
def test_experiment_runs_in_its_smallest_form(name):
    if name == "dates":
        pytest.importorskip("babel")
        pytest.importorskip("sklearn")
    experiment = importlib.import_module(f"experiments.{name}")
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = experiment.run(experiment.SMOKE)
        figure = experiment.plot(result)
    json.dumps(plain(experiment.summary(result)), allow_nan=False)
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
    plt.close(figure)


def test_no_date_is_in_training_and_test_and_all_languages_are_written():
    pytest.importorskip("babel")
    dates = importlib.import_module("experiments.dates")
    data = dates.load(dates.Config(training_pairs=4000, test_pairs=200))
    train, test = ({target for _, target in part} for part in (data.train, data.test))
    assert len(train) == 4000 and len(test) == 200 and not train & test
    assert len(dates.LANGUAGES) >= 12
    seen = {source for source, _ in data.train + data.test}
    words = ("September", "septiembre", "września", "syyskuuta", "Σεπτεμβρίου", "Eylül")
    for word in words:
        assert any(word in source for source in seen), word


def test_tokens_of_pairs():
    dates = importlib.import_module("experiments.dates")
    pairs = [("ab", "xy"), ("abc", "y")]
    data = dates.Data(pairs, [("cz", "yz")], ("abc", "xy"))
    train, asked = dates.dataset(data, data.train), dates.dataset(data, data.test)
    assert [x.tolist() for x in train.inputs] == [[0, 1], [0, 1, 2]]
    assert [y.tolist() for y in train.targets] == [[0, 1], [1]]
    # z is not in training
    assert asked.inputs[0].tolist() == [2, -1]
    assert asked.targets[0].tolist() == [1, -1]


def test_labels_of_characters():
    tokens = importlib.import_module("experiments.token_classes")
    text = 'if x1 >= 2.5:  # é\n\ty = """a\nb"""\n'
    codes, labels = tokens.labelled(text)
    letters = "".join("_nkdsco"[label] for label in labels)
    assert letters == "kk_nn_oo_dddo__ccc_" + "_n_o_sssssssss_"
    assert [ord(c) if c != "é" else 0 for c in text] == codes.tolist()


# A user's own table


def table(tmp_path, content) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a b"], "line 1: no tab"),
        ([], "is empty"),
        (["a\tb"] * 20, "1 different texts to learn from"),
    ],
)
def test_a_mistake_ends_the_command_with_a_plain_line(tmp_path, capsys, lines, message):
    pytest.importorskip("sklearn")
    dates = importlib.import_module("experiments.dates")
    path = table(tmp_path, "\n".join(lines).encode())
    with pytest.raises(SystemExit) as end:
        dates.main(dates.Config(data=path))
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") <= 2 and not shown.out


@pytest.mark.slow
def test_a_users_table_with_unseen_characters_is_answered_and_nothing_saved(
    tmp_path, capsys, monkeypatch
):
    pytest.importorskip("sklearn")
    dates = importlib.import_module("experiments.dates")
    # every source has a letter of its own, so that each test source has an unseen one
    lines = [f"{chr(0x4E00 + n)}\tt{chr(0x5E00 + n)}" for n in range(12)]
    path = table(tmp_path, "\n".join(lines).encode())
    monkeypatch.setattr(dates, "save", lambda *_: pytest.fail("must not save"))
    cfg = dataclasses.replace(dates.SMOKE, data=path, seeds=(0,), runs=("attention",))
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        dates.main(cfg)
    assert "exactly_right" in capsys.readouterr().out


# What the committed results say


def committed(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["metrics"]


def test_dates_are_written_right_with_attention():
    m = committed("dates")
    for name in ("attention", "attention, scheduled sampling"):
        for way in ("greedy", "beam"):
            assert m["exactly_right"][name][way]["least"] >= 0.97
    without = m["exactly_right"]["no attention"]["greedy"]["most"]
    assert without < m["exactly_right"]["attention"]["greedy"]["least"]
    assert m["baseline_exactly_right"] == 0
    assert m["baseline_right_characters"] < m["right_characters"]["attention"]["least"]


def test_two_directions_label_better_than_one():
    m = committed("token_classes")
    forward, both = m["accuracy"]["forward"], m["accuracy"]["bidirectional"]
    assert both["least"] > forward["most"]
    assert forward["least"] > max(m["baseline_accuracy"].values())
    sizes = m["parameters"]
    assert abs(sizes["forward"] / sizes["bidirectional"] - 1) < 0.02
