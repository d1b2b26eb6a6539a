"""`jrnn.inspect` of tasks: what is recorded, followed, measured and written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inspect import Page

import jrnn
from jrnn.data import Dataset, from_arrays
from jrnn.inspect import (
    Channels,
    Classes,
    Forecasts,
    RecordedExamples,
    RecordedLayer,
    Shown,
    Tokens,
    correlations,
    ranked,
    record_task,
    task_effects,
    write_task_page,
)
from jrnn.inspect.arrays import costs, fine
from jrnn.inspect.examples import CLASSES, features_of
from jrnn.tasks import (
    calibrated,
    classification,
    feed_back,
    forecasting,
    labelling,
    measure,
    numbers,
    predict,
    symbols,
)

HALF = 2e-3  # states are recorded in half precision
RNG = np.random.default_rng(5)
XS = [RNG.normal(size=(n, 3)) for n in (7, 4, 9, 1, 6)]
DATA = Dataset(from_arrays(XS), np.array([1, 0, 2, 1, 0]))


def moved(params, scale=0.3, seed=1):
    """Parameters away from where they start, so that no two of them are alike."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noise = [
        a + scale * jax.random.normal(k, a.shape, a.dtype)
        for a, k in zip(leaves, keys, strict=True)
    ]
    return tree.unflatten(noise)


def gru_by_hand(p, xs):
    """States and gates of a GRU, in NumPy: h (T, H), r, z."""
    p = jax.tree.map(np.asarray, p)
    h, found = np.zeros(p.w_h.shape[0]), []
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    for x in xs:
        r_x, z_x, n_x = np.split(x @ p.w_x + p.b_x, 3)
        r_h, z_h, n_h = np.split(h @ p.w_h + p.b_h, 3)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        h = (1 - z) * np.tanh(n_x + r * n_h) + z * h
        found.append((h, r, z))
    return [np.stack(each) for each in zip(*found, strict=True)]


# What is recorded


@pytest.fixture(scope="module")
def two_ways():
    """Two layers in both directions, of which the second is pooled."""
    task = classification(numbers(3), 3, hidden_size=4, layers=2)
    params = moved(task.init(jax.random.key(0)))
    return task, params, record_task(task, params, DATA)


@pytest.mark.slow
def test_states_of_both_directions_are_those_of_the_equations(two_ways):
    _, params, seen = two_ways
    names = [layer.name for layer in seen.layers]
    ways = "forward", "backward"
    assert names == [f"{way} layer {n}" for n in (1, 2) for way in ways]
    assert seen.lengths.tolist() == [7, 4, 9, 1, 6]
    (first_f, first_b), (second_f, second_b) = params[0]
    wanted = [[] for _ in range(4)]
    for xs in XS:
        f, b = gru_by_hand(first_f, xs), gru_by_hand(first_b, xs[::-1])
        b = [a[::-1] for a in b]
        h = np.concatenate([f[0], b[0]], axis=1)
        g, c = gru_by_hand(second_f[0], h), gru_by_hand(second_b[0], h[::-1])
        for place, parts in enumerate((f, b, g, [a[::-1] for a in c])):
            wanted[place].append(parts)
    for layer, examples in zip(seen.layers, wanted, strict=True):
        assert layer.kind == "gru" and layer.gates == ("r", "z")
        for name, parts in zip("hrz", zip(*examples, strict=True), strict=True):
            joined = np.concatenate(parts)
            np.testing.assert_allclose(layer.parts[name], joined, atol=HALF)


@pytest.mark.slow
def test_steps_that_are_read_at_once_have_one_value():
    task = classification(numbers(3), 2, hidden_size=2, bidirectional=False, chunk=4)
    params = moved(task.init(jax.random.key(0)))
    (layer,) = record_task(task, params, DATA).layers
    assert layer.name == "" and len(layer.parts["h"]) == 27
    xs = np.vstack([XS[0], np.zeros((1, 3))]).reshape(2, 12)
    h = gru_by_hand(params[0][0][0], xs)[0]
    np.testing.assert_allclose(
        layer.parts["h"][:7], h[[0, 0, 0, 0, 1, 1, 1]], atol=HALF
    )


@pytest.mark.slow
def test_a_labelling_of_tokens_reads_their_rows():
    task = labelling(symbols(5), 2, hidden_size=3, embed_size=2, bidirectional=False)
    params = moved(task.init(jax.random.key(0)))
    tokens = [np.array([4, 0, 2]), np.array([1, 1, 3, 0, 4])]
    (layer,) = record_task(task, params, Dataset(from_arrays(tokens))).layers
    table = np.asarray(params[0][0].table)
    h = [gru_by_hand(params[0][1], table[t])[0] for t in tokens]
    np.testing.assert_allclose(layer.parts["h"], np.concatenate(h), atol=HALF)


@pytest.mark.slow
@pytest.mark.parametrize("make", [forecasting, feed_back])
def test_a_forecast_that_is_centred_reads_differences(make):
    spread = np.array([[0.5]]) if make is feed_back else np.array([[0.5], [2.0]])
    options = {"hidden_size": 3, "centre": True, "spread": spread}
    task = calibrated(make(1, (0,), 2, **options), 2, 1)
    params = moved(task.init(jax.random.key(0)))
    xs = [x[:, :1] for x in XS]
    (layer,) = record_task(task, params, Dataset(from_arrays(xs))).layers
    read = [(x - x[-1]) / spread[-1] for x in xs]
    h = [gru_by_hand(params.weights[0][0][0], x)[0] for x in read]
    np.testing.assert_allclose(layer.parts["h"], np.concatenate(h), atol=2 * HALF)


@pytest.mark.slow
def test_what_cannot_be_recorded_is_refused(two_ways):
    task, params, _ = two_ways
    with pytest.raises(
        TypeError, match="record_task: the task does not say what its la"
    ):
        record_task(task._replace(reads=None), params, DATA)
    flat = classification(numbers(3), 2, cell=jrnn.linear, bidirectional=False)
    with pytest.raises(
        ValueError, match="record_task: the task has no layer with a st"
    ):
        record_task(flat, flat.init(jax.random.key(0)), DATA)


# What units follow


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_features_example_by_example(seed, lengths):
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(n, 2)) for n in lengths]
    targets = rng.integers(-1, 3, len(xs))
    answers = Classes(["a", "b", "c"], np.ones((len(xs), 3)), targets, "sequence")
    shown = Shown(
        Channels(["u", "v"], np.concatenate(xs)), np.array(lengths), answers, []
    )
    found = {key: feature.values for key, feature in features_of(shown).items()}
    joined = lambda f: np.concatenate(
        [f(x, t) for x, t in zip(xs, targets, strict=True)]
    )
    np.testing.assert_allclose(found["channel-1"], joined(lambda x, t: x[:, 1]))
    change = lambda x, t: np.append(0, x[1:, 0] - x[:-1, 0])
    np.testing.assert_allclose(found["change-0"], joined(change))
    np.testing.assert_array_equal(
        found["position"], joined(lambda x, t: np.arange(1, len(x) + 1))
    )
    of_b = lambda x, t: np.full(len(x), t == 1)
    np.testing.assert_array_equal(found["class-1"], joined(of_b))


def test_what_follows_a_step_is_known_of_the_last_one_by_what_came():
    xs = Channels(["a", "b"], np.array([[1.0, 5], [2, 6], [3, 7], [4, 8]]))
    truth = np.array([[[9.0]], [[np.nan]]])
    answers = Forecasts([1], [0.5], np.zeros((2, 1, 1, 1)), truth)
    found = features_of(Shown(xs, np.array([3, 1]), answers, []))
    assert found["next-1"].values.tolist() == [6, 7, 9, 8]
    assert found["next-1"].label == "next b" and "next-0" not in found


def test_of_many_classes_none_is_followed_and_of_two_one():
    def keys(count, target):
        answers = Classes(["c"] * count, np.ones((4, count)), target, "step")
        shown = Shown(
            Tokens(["x"], np.zeros(4, int), "char"), np.array([4]), answers, []
        )
        return list(features_of(shown))

    target = np.array([0, 1, 1, 0])
    assert keys(2, target) == ["position", "class-1"]
    assert keys(CLASSES + 1, target) == keys(3, None) == ["position"]


def planted(unit=5, channel=1):
    """A task of Elman units, of which one copies a channel by weights set by hand."""
    task = labelling(numbers(3), 2, cell="elman", hidden_size=9, bidirectional=False)
    cell, readout = moved(task.init(jax.random.key(3)), scale=0.5)
    (own,) = cell
    own = own._replace(
        w_x=own.w_x.at[:, unit].set(0).at[channel, unit].set(0.05),
        w_h=own.w_h.at[:, unit].set(0),
        b=own.b.at[unit].set(0),
    )
    return task, ((own,), readout)


def shown_steps(task, params, data, names=("a", "b", "c"), classes=("no", "yes")):
    p = predict(task, params, data).probability
    joined = lambda of: np.concatenate([of[i] for i in range(len(of))])
    target = None if data.targets is None else joined(data.targets)
    answers = Classes(classes, joined(p), target, "step")
    inputs = Channels(names, data.inputs.values)
    return Shown(inputs, data.inputs.lengths, answers, [str(i) for i in range(len(p))])


def labelled():
    labels = [RNG.integers(0, 2, len(x)) for x in XS]
    return Dataset(from_arrays(XS), from_arrays(labels))


def test_a_unit_that_copies_a_channel_is_ranked_first_for_it():
    task, params = planted()
    seen = record_task(task, params, DATA)
    shown = shown_steps(task, params, Dataset(DATA.inputs))
    found = {key: f.values for key, f in features_of(shown).items()}
    r = correlations(seen.layers[0].parts["h"], found)
    row = r[list(found).index("channel-1")]
    assert ranked(row)[0] == 5 and row[5] > 0.99
    assert np.abs(np.delete(row, 5)).max() < 0.97


# What examples cost without a unit


def zeroed(params, place, unit, size):
    """Weights that read a unit, set to zero: of its own layer and of all above it."""
    (first, second), readout = params
    pair, own = (first, second)[place // 2], place % 2
    cell = pair[own] if place < 2 else pair[own][0]
    cell = cell._replace(w_h=cell.w_h.at[unit].set(0))
    rows = [own * size + unit]
    if place < 2:
        first = (cell, first[1]) if own == 0 else (first[0], cell)
        above = [
            (c._replace(w_x=c.w_x.at[rows[0]].set(0)), *more) for c, *more in second
        ]
        return (first, tuple(above)), readout
    # last, mean and max of each direction
    rows = [own * 3 * size + k * size + unit for k in range(3)]
    pooled = (cell, *pair[own][1:])
    second = (pooled, second[1]) if own == 0 else (second[0], pooled)
    return (first, second), readout._replace(w=readout.w.at[jnp.array(rows)].set(0))


@pytest.mark.slow
def test_an_effect_is_what_zero_weights_do(two_ways):
    task, params, _ = two_ways
    make = lambda cell: classification(
        numbers(3), 3, cell=cell, hidden_size=4, layers=2
    )
    found = task_effects(make, jrnn.gru, params, DATA, groups=2)
    assert [effect.nats.shape for effect in found] == [(4,)] * 4
    whole = measure(task, params, DATA)
    for place, unit in ((0, 2), (1, 0), (2, 3), (3, 1)):
        without = measure(task, zeroed(params, place, unit, 4), DATA)
        change = without["loss"] - whole["loss"]
        assert abs(change) > 1e-4  # or the comparison says nothing
        assert abs(found[place].nats[unit] - change) < 1e-6
        right = without["accuracy"] - whole["accuracy"]
        assert abs(found[place].figure[unit] - right) < 1e-6
    # the error, from how two groups differ: examples 0, 2, 4 and 1, 3
    of = lambda p, which: measure(task, p, DATA.take(which))["loss"]
    cut = zeroed(params, 2, 3, 4)
    means = [of(cut, w) - of(params, w) for w in ([0, 2, 4], [1, 3])]
    assert abs(found[2].error[3] - np.std(means, ddof=1) / np.sqrt(2)) < 1e-6


@pytest.mark.slow
def test_effects_that_cannot_be_measured():
    normal = lambda size: jrnn.layer_norm(jrnn.gru(size))
    make = lambda cell: labelling(
        numbers(3), 2, cell=cell, hidden_size=2, bidirectional=False
    )
    params = make(normal).init(jax.random.key(0))
    (effect,) = task_effects(make, normal, params, labelled())
    assert np.isnan(effect.nats).all() and effect.nats.shape == (2,)
    with pytest.raises(ValueError, match="task_effects: the examples have no targets"):
        task_effects(make, normal, params, Dataset(DATA.inputs))


# The page


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_sixteen_bits_are_off_by_half_a_step(numbers_):
    values = np.array(numbers_)
    levels, low, step = fine(values)
    assert np.abs(low + levels * step - values).max() <= 0.51 * step
    nats = np.abs(values) / 2e4
    found = costs(nats)
    assert np.abs(found.bytes * found.step - nats).max() <= 0.51 * found.step


HOSTILE = [
    '</script><script>document.title="run"</script>',
    "שלום \u202eover\u202c",
    "nul:\x00 \"'`${x} {{script}} \U0001f600 <!-- &amp;",
]


def hostile_page(path):
    """A page of labels over numbers in which every name is hostile."""
    task, params = planted()
    data = labelled()
    shown = shown_steps(task, params, data, HOSTILE, HOSTILE[:2])
    shown = shown._replace(names=[*HOSTILE, "d", "e"])
    write_task_page(
        path,
        record_task(task, params, data),
        shown,
        title="In </title><script>alert(1)</script>",
        facts=['</li>"x" & {{data}}'],
    )
    return task, params, data, shown


def test_arrays_of_the_page_are_what_was_recorded(tmp_path):
    task, params, data, shown = hostile_page(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    assert page.about["count"] == 27 and page.array("lengths").tolist() == [
        7,
        4,
        9,
        1,
        6,
    ]
    for d, channel in enumerate(page.about["channels"]):
        values = channel["low"] + page.array(f"channel-{d}") * channel["step"]
        true = data.inputs.values[:, d]
        np.testing.assert_allclose(values, true, atol=channel["step"])
    (layer,) = record_task(task, params, data).layers
    h = layer.parts["h"]
    for unit in range(9):
        step = np.abs(h[:, unit]).max() / 127
        np.testing.assert_allclose(page.unit(0, "h", unit), h[:, unit], atol=step)
    p, target = shown.answers.probability, shown.answers.target
    np.testing.assert_array_equal(page.array("targets"), target)
    np.testing.assert_array_equal(page.array("guesses")[:27], p.argmax(axis=1))
    chances = page.array("chances").reshape(2, 27) / 255
    np.testing.assert_allclose(chances[0], p.max(axis=1), atol=0.51 / 255)
    nats = page.array("nats") * page.about["nats"]["step"]
    np.testing.assert_allclose(nats, -np.log(p[np.arange(27), target]), atol=1e-3)
    keys = [f["key"] for f in page.about["features"]]
    r = page.array("0-h-r").reshape(len(keys), 9)
    assert ranked(r[keys.index("channel-1")])[0] == 5


def test_hostile_names_stay_text(tmp_path):
    path = tmp_path / "page.html"
    hostile_page(path)
    raw = path.read_bytes()
    assert b"\x00" not in raw and b"<script>alert" not in raw
    assert b'<script>document.title="run"' not in raw
    page = Page(raw.decode())
    assert [c["name"] for c in page.about["channels"]] == HOSTILE
    assert (
        page.about["classes"] == HOSTILE[:2] and page.about["examples"][:3] == HOSTILE
    )
    run = [attrs for attrs, _ in page.scripts if "type" not in attrs]
    assert run == [{}] and raw.count(b"<script") == len(page.scripts)


def test_examples_of_other_lengths_are_refused(tmp_path):
    task, params = planted()
    seen = record_task(task, params, DATA)
    shown = shown_steps(task, params, Dataset(DATA.inputs.take([0, 1])))
    with pytest.raises(ValueError, match=r"write_task_page: the recording is of 5 ex"):
        write_task_page(tmp_path / "a", seen, shown, title="a")


def test_a_forecast_is_held_in_full(tmp_path):
    rng = np.random.default_rng(0)
    values, truth = rng.normal(size=(2, 3, 1, 2)), rng.normal(size=(2, 3, 1))
    truth[1, 2, 0] = np.nan
    h = rng.uniform(size=(9, 2)).astype(np.float16)
    seen = RecordedExamples([RecordedLayer("gru", 2, {"h": h}, ())], np.array([5, 4]))
    answers = Forecasts([0], [0.1, 0.5], values, truth)
    shown = Shown(Channels(["x"], rng.normal(size=(9, 1))), seen.lengths, answers, "ab")
    write_task_page(tmp_path / "a.html", seen, shown, title="a")
    page = Page((tmp_path / "a.html").read_text())
    np.testing.assert_allclose(page.array("forecasts"), values.ravel(), rtol=1e-6)
    np.testing.assert_allclose(page.array("truth"), truth.ravel(), rtol=1e-6)
    assert page.about["quantiles"] == [0.1, 0.5] and page.about["horizon"] == 3
