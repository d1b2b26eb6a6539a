"""`jrnn.inspect` and `jrnn inspect`: what is recorded, ranked, measured and written."""

import base64
import hashlib
import html.parser
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settings import ordinary
from test_command import TEXT, untrained

import jrnn
from jrnn.cli import main
from jrnn.data import Dataset, from_arrays
from jrnn.gradients import gate_saturation
from jrnn.inspect import (
    Effect,
    RecordedLayer,
    Recording,
    correlations,
    effects,
    features,
    ranked,
    record_text,
    write_page,
)
from jrnn.inspect import record as record_module
from jrnn.inspect.arrays import decoded, encoded, signed, unsigned
from jrnn.inspect.choose import Kept, kept, order
from jrnn.tasks import classification, numbers
from jrnn.text import build_vocabulary, encode
from jrnn.train import evaluate
from jrnn.train.evaluate import evaluation_rows

SOURCE = 'def f(x):\n    return "a b" + x[0]\n\nHe said: "No, don\'t."\n' * 4
WORDS = build_vocabulary(SOURCE)
V = len(WORDS)
HALF = 1e-3  # states are recorded in half precision


def drawn(model, scale=1.5, seed=0):
    """Parameters that let units move: larger than at the start of training."""
    params = model.init(jax.random.key(seed), jnp.array(0))
    return jax.tree.map(lambda a: scale * a, params)


@pytest.fixture(scope="module")
def two_layers():
    model = jrnn.stack(
        jrnn.one_hot(V), jrnn.stack(jrnn.lstm(7), jrnn.gru(5)), jrnn.linear(V)
    )
    params = drawn(model)
    return model, params, encode(WORDS, SOURCE)


@pytest.fixture(scope="module")
def recording(two_layers):
    return record_text(*two_layers, top=4)


# What is recorded


def test_states_are_those_of_unroll(two_layers, recording):
    model, params, tokens = two_layers
    _, seen = jrnn.unroll(jrnn.record(model), params, jnp.asarray(tokens))
    lstm, gru = recording.layers
    assert (lstm.kind, lstm.units, gru.kind, gru.units) == ("lstm", 7, "gru", 5)
    assert list(lstm.parts) == ["h", "c", "i", "f", "o"] and lstm.gates == tuple("ifo")
    assert list(gru.parts) == ["h", "r", "z"] and gru.gates == tuple("rz")
    (of_lstm, of_gru) = seen.carry[1]
    for ours, theirs in (
        (lstm.parts["h"], of_lstm.h),
        (lstm.parts["c"], of_lstm.c),
        (gru.parts["h"], of_gru),
    ):
        np.testing.assert_allclose(ours, theirs, atol=2 * HALF)


def test_gates_are_those_of_the_equations(two_layers, recording):
    """By what the gates do: h = o tanh(c), and h = (1 - z) n + z h before."""
    _, params, _ = two_layers
    lstm, gru = (
        {name: part.astype(float) for name, part in layer.parts.items()}
        for layer in recording.layers
    )
    np.testing.assert_allclose(lstm["h"], lstm["o"] * np.tanh(lstm["c"]), atol=2 * HALF)
    own = jax.tree.map(np.asarray, params[1][1])
    before = np.vstack([np.zeros((1, 5)), gru["h"][:-1]])
    x, h = lstm["h"] @ own.w_x + own.b_x, before @ own.w_h + own.b_h
    n = np.tanh(x[:, 10:] + gru["r"] * h[:, 10:])
    np.testing.assert_allclose(
        gru["h"], (1 - gru["z"]) * n + gru["z"] * before, atol=5 * HALF
    )


def test_gates_are_open_as_often_as_gate_saturation_says(two_layers, recording):
    _, params, tokens = two_layers
    xs = jax.nn.one_hot(tokens, V, dtype=params[1][0].w_x.dtype)
    cell, own = jrnn.lstm(7), params[1][0]
    for name, (shut, wide) in gate_saturation(cell, own, xs, low=0.3, high=0.6).items():
        gate = recording.layers[0].parts[name]
        # a gate that is nearly at the mark may be rounded over it
        np.testing.assert_allclose((gate < 0.3).mean(0), shut, atol=0.02)
        np.testing.assert_allclose((gate > 0.6).mean(0), wide, atol=0.02)


def test_losses_and_guesses_are_those_of_the_logits(two_layers, recording):
    model, params, tokens = two_layers
    logits = np.asarray(jrnn.unroll(model, params, jnp.asarray(tokens))[1])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.isnan(recording.nats[0])
    np.testing.assert_allclose(
        recording.nats[1:],
        -np.log(p[np.arange(len(tokens) - 1), tokens[1:]]),
        rtol=1e-5,
    )
    nats, _ = evaluate(model, params, tokens, rows=1)
    assert abs(np.nanmean(recording.nats) - float(nats)) < 1e-5
    np.testing.assert_array_equal(
        recording.guesses, np.argsort(-logits, axis=1, kind="stable")[:, :4]
    )
    np.testing.assert_allclose(
        recording.chances, -np.sort(-p, axis=1)[:, :4], rtol=1e-5
    )


def test_a_text_in_pieces_is_the_text_as_a_whole(two_layers, recording, monkeypatch):
    monkeypatch.setattr(record_module, "_NUMBERS", 50 * V)  # logits of 50 tokens
    assert len(two_layers[2]) % 50  # the last piece is shorter
    pieces = record_text(*two_layers, top=4)
    for a, b in zip(jax.tree.leaves(pieces), jax.tree.leaves(recording), strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_layer_in_wrappers_has_the_gates_of_the_cell_in_it(two_layers):
    cell = jrnn.learned_carry(jrnn.layer_norm(jrnn.gru(5)))
    model = jrnn.stack(jrnn.embed(V, 5), jrnn.residual(cell), jrnn.linear(V))
    params = drawn(model)
    tokens = two_layers[2]
    (layer,) = record_text(model, params, tokens).layers
    plain, own = jrnn.gru(5), params[1].cell.cell
    xs = jrnn.unroll(jrnn.embed(V, 5), params[0], jnp.asarray(tokens))[1]
    _, hs = jrnn.unroll(plain, own, xs, params[1].carry)
    np.testing.assert_allclose(layer.parts["h"], hs, atol=HALF)
    assert layer.gates == ("r", "z")


@pytest.mark.parametrize("wrap", [jrnn.spectral_norm, jrnn.spectral_bound])
def test_a_layer_with_norms_of_its_own_shows_no_gates_of_other_weights(wrap):
    cell = jrnn.layer_norm(wrap(jrnn.lstm(3), 0.5))
    model = jrnn.stack(jrnn.one_hot(V), cell, jrnn.linear(V))
    (layer,) = record_text(model, drawn(model), [0, 2, 1], top=2).layers
    assert layer.gates == () and sorted(layer.parts) == ["c", "h"]


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: jrnn.one_hot(V), ValueError, "record_text: the model has no layer"),
        (
            lambda: jrnn.stack(
                jrnn.one_hot(V), jrnn.bidirectional(jrnn.gru(3), jrnn.gru(3))
            ),
            TypeError,
            "record_text: .* reads the whole sequence",
        ),
    ],
)
def test_a_model_without_states_is_refused(make, kind, words):
    model = make()
    with pytest.raises(kind, match=words):
        record_text(model, drawn(model), [0, 1, 2])


def test_one_token_is_no_text(two_layers):
    with pytest.raises(ValueError, match="record_text: needs at least 2 tokens, got 1"):
        record_text(*two_layers[:2], [0])


# What units follow

MARKED = {  # a text, and below it where a feature is 1
    "quotes": [
        ('he "said so" now', "   11111111"),
        ("it's 'my own' dog's", "     1111111"),
        ("x = b'ab' + 'c'", "     111    11"),
        ("«oui» “yes”", "1111  1111"),
        ('"open\n\nend" "', "111111    11"),
        ('"""a\n\n"b" c""" d', "1111111111111"[:11]),
        (r'"a\"b" c', "11111"),
        ("", ""),
    ],
    "brackets": [
        ("f(a[0], {1}) + x)", " 1111111111"),
        ("(open\n\nend)", "111111"),
        ("([)] x", "11"),
    ],
    "word starts": [
        ("it's 2 big-ish _x", "1    1 1   1   1 "),
        ("don’t a", "1     1"),
    ],
    "capitals": [("Ab Cd É", "1  1  1")],
    "newlines": [("a\n\nb", " 11 ")],
}


@pytest.mark.parametrize(
    ("name", "text", "marks"),
    [(name, *case) for name, cases in MARKED.items() for case in cases],
)
def test_features_by_hand(name, text, marks):
    wanted = [float(m == "1") for m in marks.ljust(len(text))]
    assert features(text)[name].tolist() == wanted, text


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab \t\n", max_size=30))
def test_place_and_indentation_by_lines(text):
    place, white = [], []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\n")
        lead = len(body) - len(body.lstrip())
        place += list(range(1, len(body) + 1))
        white += [min(k, lead) for k in range(1, len(body) + 1)]
        if line.endswith("\n"):
            place.append(0)
            white.append(0)
    found = features(text)
    assert found["position"].tolist() == place
    assert found["indentation"].tolist() == white


def test_features_of_tokens_that_are_words_or_parts_of_a_character():
    found = features(["He", " said", ":", "\n", "", "é", " (", "A b", ")"])
    assert found["position"].tolist() == [2, 7, 8, 0, 0, 1, 3, 6, 7]
    assert found["word starts"].tolist() == [1, 1, 0, 0, 0, 1, 0, 1, 0]
    assert found["capitals"].tolist() == [1, 0, 0, 0, 0, 0, 0, 1, 0]
    assert found["brackets"].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0]
    assert found["newlines"].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9000), st.floats(-100, 100))
def test_correlations_are_those_of_numpy(seed, steps, shift):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(steps, 3)) + shift
    of = {"a": rng.normal(size=steps) ** 3, "b": values[:, 1] + rng.normal(size=steps)}
    wanted = np.corrcoef(np.stack(list(of.values())), values.T)[:2, 2:]
    np.testing.assert_allclose(correlations(values, of), wanted, atol=1e-5)


def test_what_never_changes_follows_nothing():
    values = np.stack([np.full(50, 0.1), np.arange(50.0)], axis=1).astype(np.float16)
    r = correlations(values, {"constant": np.ones(50), "time": np.arange(50.0)})
    np.testing.assert_allclose(r, [[0, 0], [0, 1]], atol=1e-6)


def test_correlations_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="values have 5 steps, and features 4"):
        correlations(np.zeros((5, 2)), {"a": np.zeros(4)})


@pytest.mark.parametrize("name", features("a"))
def test_a_planted_unit_is_ranked_first(name):
    """One unit of 40 is the feature upside down under noise; the others are noise."""
    rng = np.random.default_rng(7)
    found = features(SOURCE)
    values = rng.normal(size=(len(SOURCE), 40))
    feature = found[name]
    values[:, 23] = 3 - 2 * feature / feature.std() + rng.normal(size=len(SOURCE))
    r = correlations(values.astype(np.float16), found)
    row = list(found).index(name)
    assert ranked(r)[row][0] == 23 and r[row, 23] < -0.8
    # and the page keeps it, if it keeps one only
    assert order([r], None)[0] == 23


# What the loss is without a unit


def zeroed(params, layer, unit):
    """Weights by which a unit of the stack is read, set to zero: of its own layer, and
    of what is above; so its state can be whatever it is.
    """
    cut = lambda w: w.at[unit].set(0)
    one_hot, (lstm, gru), readout = params
    if layer == 0:
        lstm, gru = lstm._replace(w_h=cut(lstm.w_h)), gru._replace(w_x=cut(gru.w_x))
    else:
        gru, readout = (
            gru._replace(w_h=cut(gru.w_h)),
            readout._replace(w=cut(readout.w)),
        )
    return one_hot, (lstm, gru), readout


@pytest.fixture(scope="module")
def effect(two_layers):
    return effects(*two_layers, rows=4, context=9)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "unit"), [(0, 0), (0, 5), (1, 4)])
def test_an_effect_is_what_zero_weights_do(two_layers, effect, layer, unit):
    model, params, tokens = two_layers
    assert [found.nats.shape for found in effect] == [(7,), (5,)]
    of = lambda params: float(evaluate(model, params, tokens, rows=4, context=9)[0])
    wanted = of(zeroed(params, layer, unit)) - of(params)
    assert abs(effect[layer].nats[unit] - wanted) < 1e-6
    assert abs(wanted) > 1e-4  # or the comparison says nothing


@pytest.mark.slow
def test_the_error_of_an_effect_is_that_of_the_rows(two_layers, effect):
    model, params, tokens = two_layers
    xs, targets, valid = evaluation_rows(tokens, 4, 9)

    def means(params):
        logits = jax.vmap(lambda x: jrnn.unroll(model, params, x)[1])(xs)
        log_p = np.asarray(jax.nn.log_softmax(logits))
        nats = -np.take_along_axis(log_p, targets[..., None], -1)[..., 0]
        return (nats * valid).sum(1) / valid.sum(1)

    change = means(zeroed(params, 1, 2)) - means(params)
    wanted = np.std(change, ddof=1) / 2
    assert abs(effect[1].error[2] - wanted) < 1e-6


@pytest.mark.slow
def test_a_layer_whose_output_is_not_its_state_has_no_effect(two_layers):
    model = jrnn.stack(
        jrnn.one_hot(V), jrnn.layer_norm(jrnn.lstm(4)), jrnn.elman(3), jrnn.linear(V)
    )
    normal, plain = effects(model, drawn(model), two_layers[2], rows=2, context=5)
    assert np.isnan(normal.nats).all() and normal.nats.shape == (4,)
    assert np.isfinite(plain.nats).all() and plain.nats.shape == (3,)


# Which units a page holds, and in how many bits


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30))
def test_eight_bits_are_off_by_half_a_step(numbers):
    values = np.array(numbers, np.float32)
    for scaled, true in (
        (signed(values), values),
        (unsigned(abs(values)), abs(values)),
    ):
        again = (scaled.bytes.astype(float) - scaled.zero) * scaled.step
        assert np.abs(again - true).max() <= scaled.step * 0.501 + 1e-12
        assert (again[true == 0] == 0).all()
    assert signed(values).bytes.max() <= 254


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "<f4"])
def test_arrays_come_back_from_base64(dtype):
    array = np.random.default_rng(0).integers(0, 200, 13).astype(dtype)
    np.testing.assert_array_equal(decoded(*encoded(array)), array)


def layer_of(units, steps, gates="rz"):
    rng = np.random.default_rng(units)
    parts = {
        name: rng.uniform(size=(steps, units)).astype(np.float16)
        for name in "h" + gates
    }
    return RecordedLayer("gru", units, parts, tuple(gates))


@pytest.mark.parametrize(
    ("room", "wanted"),
    [
        (10**6, [Kept(6, 6), Kept(9, 9)]),
        (0, [Kept(1, 1), Kept(1, 1)]),
        # each layer has 100 steps of 10 numbers: states may take 750, gates the rest
        (2000, [Kept(6, 2), Kept(7, 1)]),
    ],
)
def test_units_are_kept_by_the_room_that_there_is(room, wanted):
    layers = [layer_of(6, 100), layer_of(9, 100)]
    assert kept(layers, 100, room) == wanted
    used = 100 * sum(k.states + 2 * k.gates for k in wanted)
    assert used <= max(room, 600)


def test_the_unit_that_the_loss_needs_most_is_kept_too():
    r = np.array([[0.9, 0.5, 0.1, 0.2]])
    effect = Effect(np.array([0.1, 0.2, 0.0, 0.7]), np.zeros(4))
    assert set(order([r], effect)[:2].tolist()) == {0, 3}


# The page


class Page(html.parser.HTMLParser):
    """What a browser finds in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.style, self.words = [], [], "", ""
        self.open = []
        self.feed(text)
        self.about = json.loads(self.of("about"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts[-1][1] += data
        elif self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.words += data

    def of(self, name):
        (content,) = [text for attrs, text in self.scripts if attrs.get("id") == name]
        return content

    def array(self, name):
        (attrs,) = [a for a, _ in self.scripts if a.get("id") == f"a-{name}"]
        return decoded(attrs["data-kind"], self.of(f"a-{name}"))

    def unit(self, layer, name, unit):
        """Values of a unit, as the page reads them."""
        (part,) = [p for p in self.about["layers"][layer]["parts"] if p["key"] == name]
        step = part["steps"][part["units"].index(unit)]
        zero = 0 if part["gate"] else 127
        return (self.array(f"{layer}-{name}-{unit}").astype(float) - zero) * step

    @property
    def text(self):
        about = self.about
        if about["glyphs"] is None:
            return "".join(about["symbols"][t] for t in self.array("tokens"))
        return "".join(about["glyphs"][t] for t in self.array("shown"))


def page_of(tmp_path, recording, tokens, vocabulary=WORDS, **options):
    path = tmp_path / "page.html"
    size = write_page(path, recording, tokens, vocabulary, title="a", **options)
    assert size == path.stat().st_size
    return Page(path.read_text())


def test_arrays_of_the_page_are_what_was_recorded(tmp_path, two_layers, recording):
    page = page_of(tmp_path, recording, two_layers[2])
    assert page.text == SOURCE
    for place, layer in enumerate(recording.layers):
        for name, values in layer.parts.items():
            for unit in range(layer.units):
                found = page.unit(place, name, unit)
                step = np.abs(values[:, unit]).max() / 127
                step = 1 / 255 if name in layer.gates else step
                off = np.abs(found - values[:, unit].astype(float)).max()
                assert off <= 0.51 * step, (place, name, unit)
        r = page.array(f"{place}-h-r").reshape(7, layer.units)
        wanted = correlations(layer.parts["h"], features(SOURCE))
        np.testing.assert_array_equal(r, wanted)
    step = page.about["nats"]["step"]
    np.testing.assert_allclose(
        page.array("nats")[1:] * step, recording.nats[1:], atol=step
    )
    np.testing.assert_array_equal(
        page.array("guesses").reshape(4, -1).T, recording.guesses
    )
    np.testing.assert_allclose(
        page.array("chances").reshape(4, -1).T / 255, recording.chances, atol=0.51 / 255
    )


def test_what_layers_do_as_a_whole(tmp_path, two_layers, recording):
    page = page_of(tmp_path, recording, two_layers[2])
    parts = {n: p.astype(float) for n, p in recording.layers[1].parts.items()}
    h = parts["h"]
    wanted = {
        "size": np.sqrt((h**2).mean(1)),
        "change": np.sqrt((np.diff(h, axis=0, prepend=h[:1]) ** 2).mean(1)),
        "mean-r": parts["r"].mean(1),
        "mean-z": parts["z"].mean(1),
    }
    whole = {w["key"]: w["step"] for w in page.about["layers"][1]["whole"]}
    assert whole.keys() == wanted.keys()
    for key, values in wanted.items():
        found = page.array(f"1-{key}") * whole[key]
        half = 0.51 * values.max() / 255
        np.testing.assert_allclose(found, values, atol=half + 1e-6)
    saturation = page.array("1-z-saturation").reshape(2, 5)
    z = recording.layers[1].parts["z"]
    np.testing.assert_allclose(saturation, [(z < 0.1).mean(0), (z > 0.9).mean(0)])


def test_a_small_page_holds_the_units_that_count(tmp_path):
    steps, units = 3000, 300
    rng = np.random.default_rng(3)
    text = ("ab cd\n" * steps)[:steps]
    layer = layer_of(units, steps)
    layer.parts["h"][:, 211] = features(text)["newlines"]
    words = build_vocabulary(text)
    recording = Recording(
        [layer],
        rng.uniform(size=steps).astype(np.float32),
        rng.integers(0, len(words), (steps, 2)),
        rng.uniform(size=(steps, 2)).astype(np.float32),
    )
    page = page_of(tmp_path, recording, encode(words, text), words, megabytes=1)
    states, gate = page.about["layers"][0]["parts"][:2]
    assert 20 < len(states["units"]) < units and 211 in states["units"]
    assert set(gate["units"]) < set(states["units"]) and 211 in gate["units"]
    assert 0.7e6 < (tmp_path / "page.html").stat().st_size < 1.05e6
    np.testing.assert_allclose(
        page.unit(0, "h", 211), features(text)["newlines"], atol=1e-6
    )


HOSTILE = (
    '</script><script>document.title="run"</script><!-- <script> \'"` ${x} {{script}}\n'
    "&amp; &#0; \\u003c ]]> </title></style></textarea><img src=x onerror=alert(1)>\n"
    "שלום \u202eover\u202c e\u0301 \U0001f600 \U0001f469\u200d\U0001f467 \ufeff\u2028\n"
    "nul:\x00 bell:\x07 esc:\x1b[31m del:\x7f tab:\t lone:\ud800 \r 日本\n"
)


def hostile_page(path, level="char"):
    source = HOSTILE * 2
    if level == "byte":
        source = source.encode("utf-8", "surrogatepass")
    words = build_vocabulary(source, level=level)
    tokens = encode(words, source)
    n = len(words)
    model = jrnn.stack(jrnn.one_hot(n), jrnn.elman(6), jrnn.linear(n))
    recording = record_text(model, drawn(model), tokens)
    title, facts = 'In </title><script>alert("1")</script>', ['</li>"x" & {{data}}']
    write_page(path, recording, tokens, words, title=title, facts=facts)
    return source, title, facts


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_hostile_text_stays_text(tmp_path, level):
    path = tmp_path / "page.html"
    source, title, facts = hostile_page(path, level)
    raw = path.read_bytes()
    assert b"\x00" not in raw
    assert b"<script>alert" not in raw and b"</title><script>" not in raw
    page = Page(raw.decode())
    shown = source.decode("utf-8", "replace") if level == "byte" else source
    assert page.text == shown
    # no element but those of the template, and one script that runs
    template = Page(empty_page(tmp_path))
    own = lambda page: [tag for tag, _ in page.tags if tag != "script"]
    assert own(page) == own(template)
    run = [attrs for attrs, _ in page.scripts if "type" not in attrs]
    assert run == [{}] and raw.count(b"<script") == len(page.scripts)
    assert title in page.words and facts[0] in page.words


def empty_page(tmp_path):
    words = build_vocabulary("ab")
    model = jrnn.stack(jrnn.one_hot(2), jrnn.elman(1), jrnn.linear(2))
    recording = record_text(model, drawn(model), [0, 1])
    path = tmp_path / "template.html"
    write_page(path, recording, [0, 1], words, title="a", facts=["b"])
    return path.read_text()


def test_the_page_runs_its_own_script_and_fetches_nothing(tmp_path):
    check_own_script(empty_page(tmp_path))


def check_own_script(text):
    """A page has one script, whose digest is in its policy, and asks for nothing."""
    page = Page(text)
    (policy,) = [
        attrs["content"]
        for tag, attrs in page.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    (script,) = [text for attrs, text in page.scripts if "type" not in attrs]
    for rule, content in (("script-src", script), ("style-src", page.style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        addresses = [attrs[n] for n in ("src", "href", "action") if n in attrs]
        assert addresses == (["data:,"] if tag == "link" else []), (tag, addresses)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page.style)
    assert not re.search(r"\b(fetch|eval|innerHTML|XMLHttpRequest|import)\b", script)
    assert "{{" not in text


def test_every_control_has_a_name(tmp_path):
    check_names(empty_page(tmp_path))


def check_names(text):
    """Every control has a label, inside of it or around it."""
    page = Page(text)
    labels = {a["for"] for tag, a in page.tags if tag == "label" and "for" in a}
    inside = re.findall(r"<label[^>]*>(?:(?!</label>).)*</label>", text)
    named = {"aria-label", "aria-labelledby"}
    known = lambda attrs: next(
        f'{n}="{attrs[n]}"' for n in ("id", "class") if n in attrs
    )
    for tag, attrs in page.tags:
        if tag in ("select", "input", "canvas") or "tabindex" in attrs:
            own = named & attrs.keys() or attrs.get("id") in labels
            assert (
                own
                or any(known(attrs) in label for label in inside)
                or (
                    attrs["id"] == "letters"  # drawn for the element around it
                )
            ), attrs


def test_tokens_of_another_text_are_refused(tmp_path, recording):
    with pytest.raises(ValueError, match=r"write_page: the recording is of \d+ tokens"):
        write_page(tmp_path / "a", recording, [1, 2], WORDS, title="a")


def test_a_loss_without_end_is_shown_as_the_largest(tmp_path, two_layers, recording):
    nats = recording.nats.copy()
    nats[5], nats[6] = np.inf, np.nan
    page = page_of(tmp_path, recording._replace(nats=nats), two_layers[2])
    shown = page.array("nats") * page.about["nats"]["step"]
    np.testing.assert_allclose(shown[[0, 5, 6]], [0, 99, 99], rtol=1e-6)


@pytest.mark.slow
def test_the_script_of_the_documents_runs(tmp_path, two_layers, monkeypatch):
    document = (Path(jrnn.__file__).parents[1] / "docs/inspect.md").read_text()
    code, of_task = re.findall(
        r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE
    )
    monkeypatch.chdir(tmp_path)
    model, params, tokens = two_layers
    given = {"model": model, "params": params, "tokens": tokens, "vocabulary": WORDS}
    exec(code, given)
    assert Page((tmp_path / "page.html").read_text()).text == SOURCE
    xs = from_arrays([np.ones((n, 2)) * n for n in (3, 5)])
    data = Dataset(xs, np.array([0, 2]))
    task = classification(numbers(2), 3, hidden_size=4)
    exec(of_task, {"params": task.init(jax.random.key(0)), "data": data})
    assert Page((tmp_path / "task.html").read_text()).about["count"] == 8


# The command


def run(capsys, *words, code=0):
    with ordinary():
        assert main(["inspect", *map(str, words)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if code:
        assert out == "" and len(err.splitlines()) <= 2
    return out, err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An untrained run, one of bytes, a file, and one that is no language model."""
    folder = tmp_path_factory.mktemp("inspect")
    (folder / "sea.txt").write_text(TEXT)
    untrained(folder / "sea.txt", folder / "sea")
    untrained(folder / "sea.txt", folder / "all", split=(1.0, 0.0, 0.0))
    words = build_vocabulary(TEXT)
    n = len(words)
    with ordinary():
        for name, layers in (
            ("deep", [jrnn.lstm(4), jrnn.elman(3), jrnn.linear(n)]),
            ("flat", [jrnn.linear(n)]),
        ):
            model = jrnn.stack(jrnn.one_hot(n), *layers)
            params = model.init(jax.random.key(0), jnp.array(0))
            path = folder / f"{name}.safetensors"
            jrnn.save(path, model, params, jnp.array(0), vocabulary=words)
    return folder


@pytest.mark.slow
def test_the_held_out_text_of_a_run(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    out, err = run(capsys, place / "sea", "--ablate", 40)
    page = Page((tmp_path / "sea.html").read_text())
    tokens = encode(build_vocabulary(TEXT), TEXT)
    with ordinary():
        model, params, words = jrnn.load(place / "sea")
        _, valid, _ = jrnn.text.split(tokens, (0.9, 0.05, 0.05))
        hs = jrnn.unroll(jrnn.record(model), params, jnp.asarray(valid))[1].carry[1]
    assert page.text == jrnn.text.decode(words, valid) and err == ""
    step = np.abs(hs[:, 3]).max() / 127
    np.testing.assert_allclose(page.unit(0, "h", 3), hs[:, 3], atol=step)
    assert page.about["measured"] == 40 and len(page.array("0-effect")) == 24
    assert page.about["title"] == "Inside sea"
    assert "sea.html" in out and "1 layer of 12 GRU units" in out
    assert f"all {len(valid)} characters" in out and "place in the line" not in out
    assert "position in the line" in out and "needs no network" in out


def test_a_file_and_a_text_with_symbols_that_it_does_not_know(place, tmp_path, capsys):
    odd = "she\nsells % of # it\n"
    (tmp_path / "odd.txt").write_text(odd)
    out, err = run(
        capsys, place / "deep.safetensors", tmp_path / "odd.txt", "--ablate", 0,
        "--out", tmp_path / "a.html", "--checkpoint", "last", "--length", 9,
    )  # fmt: skip
    page = Page((tmp_path / "a.html").read_text())
    assert page.text == "she\nsells"
    assert [layer["kind"] for layer in page.about["layers"]] == ["lstm", "elman"]
    assert not [a for a, _ in page.scripts if a.get("id") == "a-0-effect"]
    known = [c for c in odd if c in TEXT]
    assert 2 <= len(odd) - len(known) and len(known) > 9
    assert f"the first 9 of {len(known)} characters (--length)" in out
    assert f"{len(odd) - len(known)} unknown symbols are left out of the text" in out
    assert "--checkpoint does nothing for a file" in err


def test_a_page_is_replaced_only_when_asked(place, tmp_path, capsys):
    words = place / "deep.safetensors", place / "sea.txt", "--out", tmp_path / "a.html"
    short = *words, "--ablate", 0, "--length", 20
    (tmp_path / "a.html").write_text("mine")
    _, err = run(capsys, *short, code=2)
    assert "a.html exists. Replace it by --overwrite, or choose another --out" in err
    assert (tmp_path / "a.html").read_text() == "mine"
    run(capsys, *short, "--overwrite")
    assert Page((tmp_path / "a.html").read_text()).text == TEXT[:20]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "There is no run at"),
        (["flat.safetensors", "sea.txt"], "has no layer with a state to show"),
        (["deep.safetensors"], "is a file and has no text. Name files"),
        (["all"], "has no held-out text. Name files"),
        (["sea", "missing.txt"], "missing.txt: no such file"),
        (["sea", "odd.txt"], "odd.txt has 1 characters that the run knows"),
        (["sea", "--length", "1"], "--length must be at least 2, got 1"),
        (["sea", "--megabytes", "0"], "--megabytes must be at least 1, got 0"),
        (["sea", "--ablate", "-1"], "--ablate must be at least 0, got -1"),
        (["sea", "--out", "sea/config.json"], "is part of what is shown"),
        (["sea", "sea.txt", "--out", "sea.txt"], "is part of what is shown"),
        (["sea", "--out", "sea"], "is part of what is shown"),
        (["sea", "--out", "."], "is a folder. Name a file in it by --out"),
        (["sea", "--out", "no/a.html"], "There is no folder"),
    ],
)
def test_mistakes_are_told(place, capsys, monkeypatch, words, message):
    monkeypatch.chdir(place)
    (place / "odd.txt").write_text("%s§")
    before = {p: p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
    _, err = run(capsys, *words, "--overwrite", code=2)
    assert message in err
    after = {p: p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}
    assert before == after


# A network that was trained


@pytest.mark.slow
def test_a_trained_network_has_units_for_lines_quotes_and_indentation(tmp_path, capsys):
    rng = np.random.default_rng(0)
    word = lambda: "".join(rng.choice(list("abcdef"), rng.integers(2, 6)))
    lines = []
    for _ in range(2500):
        deep = " " * rng.choice([0, 4, 8])
        lines.append(f'{deep}{word()} "{word()} {word().upper()}" {word()}')
        lines.append(f"{deep}{word()}")
    (tmp_path / "made.txt").write_text("\n".join(lines))
    with ordinary():
        made, out = tmp_path / "made.txt", tmp_path / "run"
        words = f"train {made} --out {out} --preset quick --hidden-size 48 --steps 400"
        words += " --batch-size 16 --window 48 --dropout 0 --sample-every 0"
        assert main(words.split()) == 0
    told, _ = run(capsys, out, "--out", tmp_path / "a.html", "--ablate", 256)
    assert "inside quotes" in told and "indentation" in told
    page = Page((tmp_path / "a.html").read_text())
    names = [f["key"] for f in page.about["features"]]
    r = np.concatenate(
        [page.array(f"0-{part}-r").reshape(7, 48) for part in "hc"], axis=1
    )
    best = dict(zip(names, np.abs(r).max(axis=1), strict=True))
    # by chance: what the same units have in common with another half of the text
    other = np.roll(np.arange(len(page.text)), len(page.text) // 2)
    turned = {name: a[other] for name, a in features(page.text).items()}
    values = [page.unit(0, part, unit) for part in "hc" for unit in range(48)]
    chance = np.abs(correlations(np.stack(values, axis=1), turned)).max(axis=1)
    chance = dict(zip(turned, chance, strict=True))
    for name in ("quotes", "newlines", "indentation"):
        assert best[name] > 0.35 and best[name] > 3 * chance[name], (best, chance)
    # by the text itself: what the best unit for quotes does within them and without
    unit = int(np.abs(r[names.index("quotes")][:48]).argmax())
    inside = features(page.text)["quotes"] == 1
    h = page.unit(0, "h", unit)
    between = abs(h[inside].mean() - h[~inside].mean())
    assert between > h.std(), (unit, between)
