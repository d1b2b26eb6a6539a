"""ONNX files against onnxruntime, which is independent of jrnn."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_export import (
    CODE,
    NUMBERS,
    SIZES,
    STACKS,
    TOKEN,
    WORDS,
    by_place,
    expected,
    sequences,
    weights,
)

import jrnn
from jrnn import _activation, text
from jrnn.export import Unsupported, onnx_graph, to_onnx
from jrnn.export.onnx_activations import RECURRENT

pytestmark = pytest.mark.slow

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def opened(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def start(session, batch):
    """Zeros for every state of a graph, by name."""
    return {
        i.name: np.zeros((batch, i.shape[1]), np.float32)
        for i in session.get_inputs()[1:]
    }


def run(session, xs, states):
    """Outputs, and states by the names under which they go in again."""
    names = [o.name for o in session.get_outputs()]
    values = session.run(names, {"x": xs, **states})
    last = {n.removeprefix("next_"): v for n, v in zip(names, values, strict=True)}
    return last.pop("y"), last


def assert_equal(got, wanted):
    np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=1e-6)


def assert_states_equal(states, carry):
    """States by the names that the places in the carry give them."""
    leaves = by_place("carry", carry)
    assert list(states) == list(leaves)
    for name, got in states.items():
        assert_equal(got, leaves[name])


@pytest.mark.parametrize("name", STACKS)
def test_a_graph_gives_what_jrnn_gives(tmp_path, name):
    model, x = STACKS[name]
    params = weights(model, x)
    file = to_onnx(tmp_path / "a.onnx", model, params, x)
    assert file.sizes["file"] == file.path.stat().st_size
    session = opened(file.path)
    for batch, length in SIZES:
        xs = sequences(x, batch, length)
        carry, wanted = expected(model, params, xs)
        ys, states = run(session, xs, start(session, batch))
        assert ys.shape == wanted.shape
        assert_equal(ys, wanted)
        assert_states_equal(states, carry)


@pytest.mark.parametrize("name", STACKS)
def test_a_state_goes_on_for_a_thousand_steps(tmp_path, name):
    model, x = STACKS[name]
    params = weights(model, x)
    session = opened(to_onnx(tmp_path / "a.onnx", model, params, x).path)
    xs = sequences(x, 2, 1000)
    carry, wanted = expected(model, params, xs)
    states, ys = start(session, 2), []
    for t in range(1000):
        y, states = run(session, xs[:, t : t + 1], states)
        ys.append(y)
    assert_equal(np.concatenate(ys, 1), wanted)
    assert_states_equal(states, carry)


def test_the_lines_of_the_documentation_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = jrnn.models.language_model(8, hidden_size=6, layers=2).evaluate
    params = weights(model, TOKEN)
    to_onnx("mytext.onnx", model, params, TOKEN)
    found = {}
    exec(next(block for block in CODE if "onnxruntime" in block), found)
    tokens = jnp.array([[3, 1, 4, 2], [1, 5, 7, 6]])
    _, ys = expected(model, params, tokens)
    assert_equal(found["y"], ys[:, -1:])


def test_a_token_that_does_not_exist_gives_zeros(tmp_path):
    tokens = np.array([[-1, 0, 8], [7, 100, -9]], np.int32)
    for layer in jrnn.embed(8, 3), jrnn.one_hot(8):
        params = weights(layer, TOKEN)
        file = to_onnx(tmp_path / "a.onnx", layer, params, TOKEN, overwrite=True)
        (ys,) = opened(file.path).run(None, {"x": tokens})
        table = params.table if layer.description.factory == "embed" else np.eye(8)
        for token, y in zip(tokens.ravel(), ys.reshape(6, -1), strict=True):
            row = np.asarray(table)[token] if 0 <= token < 8 else 0 * y
            np.testing.assert_array_equal(y, row)


XS = np.linspace(-4, 4, 3 * 41).astype(np.float32).reshape(1, 41, 3)


@pytest.mark.parametrize("name", _activation.NAMES)
def test_every_activation_by_name(tmp_path, name):
    model = jrnn.activation(name)
    session = opened(to_onnx(tmp_path / "a.onnx", model, (), NUMBERS).path)
    assert_equal(session.run(None, {"x": XS})[0], getattr(jax.nn, name)(XS))


@pytest.mark.parametrize("name", _activation.NAMES)
def test_recurrent_activations(tmp_path, name):
    model = jrnn.elman(3, name)
    params = weights(model, NUMBERS)
    write = lambda: to_onnx(tmp_path / "a.onnx", model, params, NUMBERS)
    if name not in RECURRENT:
        message = "model.activation is .*, which an ONNX file cannot hold here. It.*"
        with pytest.raises(Unsupported, match=message + ", ".join(RECURRENT)):
            write()
        return
    session = opened(write().path)
    xs = XS[:, ::4] / 4
    ys, _ = run(session, xs, start(session, 1))
    assert_equal(ys, expected(model, params, xs)[1])


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_tokens_of_other_widths(tmp_path, dtype):
    x = jax.ShapeDtypeStruct((), dtype)
    with jax.enable_x64(dtype == "int64"):
        model = jrnn.embed(8, 3, dtype=jnp.float32)
        params = weights(model, x)
        session = opened(to_onnx(tmp_path / "a.onnx", model, params, x).path)
    tokens = np.array([[3, 1, 7]], dtype)
    ys = session.run(None, {"x": tokens})[0]
    np.testing.assert_array_equal(ys, np.asarray(params.table)[tokens])


def test_the_vocabulary_is_in_the_metadata(tmp_path):
    model = jrnn.one_hot(8)
    to_onnx(tmp_path / "a.onnx", model, (), TOKEN, vocabulary=WORDS)
    told = opened(tmp_path / "a.onnx").get_modelmeta()
    vocabulary = json.loads(told.custom_metadata_map["jrnn-vocabulary"])
    assert text.from_json(vocabulary) == WORDS and told.producer_name == "jrnn"


def test_weights_beyond_two_gibibytes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_graph, "LARGEST", 100)
    model = jrnn.gru(4)
    params = weights(model, NUMBERS)
    with pytest.raises(Unsupported, match="weights have 432 bytes, more than an ONNX"):
        to_onnx(tmp_path / "a.onnx", model, params, NUMBERS)


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    model = jrnn.one_hot(8)
    with pytest.raises(ImportError, match=r"pip install 'jrnn\[onnx\]'"):
        to_onnx(tmp_path / "a.onnx", model, (), TOKEN)
