"""Models of Keras brought in: the same outputs; the same bytes on the way back."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn

# they use what NumPy and their own classes call deprecated
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Keras's own loops in NumPy share nothing with those of JAX
os.environ.setdefault("KERAS_BACKEND", "numpy")
keras = pytest.importorskip("keras")
L = keras.layers

from jrnn.interop import from_keras, to_keras  # noqa: E402

TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
RECURRENT = {
    "simple": (L.SimpleRNN, {}),
    "lstm": (L.LSTM, {}),
    "gru-after": (L.GRU, {}),
    "gru-before": (L.GRU, {"reset_after": False}),
}


@pytest.fixture(autouse=True)
def double_precision(monkeypatch):
    """Let Keras multiply float64 in float64, as it does on TensorFlow alone."""
    dtypes = pytest.importorskip("keras.src.backend.common.dtypes")
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


def with_weights(model, shape, seed=0):
    """Built, with weights that no initialiser has made alike."""
    model.build(shape)
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=w.shape) / len(w) ** 0.5 for w in model.get_weights()]
    old = model.get_weights()
    model.set_weights([a.astype(w.dtype) for a, w in zip(drawn, old, strict=True)])
    return model


def outputs(source, xs):
    """Of one sequence, by both."""
    theirs = source(xs[None])
    theirs = theirs if isinstance(theirs, list | tuple) else [theirs]
    model, params = from_keras(source)
    carry, ours = jrnn.unroll(model, params, jnp.asarray(xs))
    return [np.asarray(a)[0] for a in theirs], ours, carry


def assert_same_arrays(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", RECURRENT)
def test_outputs_and_last_states_are_those_of_keras(kind, layers, both, dtype):
    case = [*RECURRENT].index(kind) + 4 * layers + 16 * both
    rng = np.random.default_rng(case)
    steps, reads = map(int, rng.integers(1, 10, 2))
    sizes = [int(size) for size in rng.integers(1, 10, layers)]
    make, options = RECURRENT[kind]
    use_bias = bool(rng.integers(2))

    def layer(n):
        last = {"return_sequences": True, "return_state": n + 1 == layers}
        made = make(sizes[n], use_bias=use_bias, dtype=dtype, **last, **options)
        return L.Bidirectional(made, dtype=dtype) if both else made

    net = keras.Sequential([layer(n) for n in range(layers)])
    source = with_weights(net if layers > 1 else net.layers[0], (None, steps, reads))
    xs = rng.normal(size=(steps, reads)).astype(dtype)
    (ys, *last), got, carry = outputs(source, xs)
    carry = carry if layers == 1 else carry[-1]
    pairs = list(zip([got, *jax.tree.leaves(carry)], [ys, *last], strict=True))
    largest = max(float(abs(np.asarray(a) - b).max()) for a, b in pairs)
    print(f"T {steps}, I {reads}, H {sizes}, bias {use_bias}: {largest:.1e}")
    assert got.dtype == dtype and largest < TOLERANCE[dtype]

    weights = source.get_weights()
    model, params = from_keras(source)
    assert_same_arrays(to_keras(model, params, like=source), weights)
    # the list alone says the same, if it is told what it cannot say
    told = {"layers": ["bidirectional_" * both + KIND[kind]] * layers}
    told |= {"activation": "tanh"} if kind == "simple" else {}
    told |= {"reset_after": kind == "gru-after"} if kind.startswith("gru") else {}
    again = from_keras(weights, **told)[1]
    assert_same_arrays(jax.tree.leaves(again), jax.tree.leaves(params))


KIND = {"simple": "simple_rnn", "lstm": "lstm", "gru-after": "gru", "gru-before": "gru"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_every_dtype_comes_back(dtype):
    layer = L.GRU(4, recurrent_initializer="zeros", dtype=dtype)  # or it lacks float16
    layer = with_weights(layer, (None, 5, 3))
    model, params = from_keras(layer)
    assert {str(leaf.dtype) for leaf in params} == {dtype}
    assert_same_arrays(to_keras(model, params), layer.get_weights())


@pytest.mark.parametrize("reset", ["after", "before"])
def test_a_gru_of_ours_goes_there_and_back(reset):
    cell = jrnn.gru(4, reset)
    params = cell.init(jax.random.key(0), jnp.zeros(3))
    layer = L.GRU(4, reset_after=reset == "after", dtype="float64")
    layer.build((None, 5, 3))
    layer.set_weights(to_keras(cell, params))
    model, again = from_keras(layer)
    assert_same_arrays(again, params)
    assert model.description.arguments["reset"] == reset


def test_two_biases_become_one_where_keras_has_one():
    cell = jrnn.gru(4, "before")
    params = jax.tree.map(lambda a: a + 0.1, cell.init(jax.random.key(0), jnp.zeros(3)))
    layer = L.GRU(4, reset_after=False, return_sequences=True, dtype="float64")
    layer.build((None, 5, 3))
    layer.set_weights(to_keras(cell, params))
    xs = np.random.default_rng(0).normal(size=(5, 3))
    got = jrnn.unroll(cell, params, jnp.asarray(xs))[1]
    np.testing.assert_allclose(got, np.asarray(layer(xs[None]))[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_character_model_and_its_file(dtype, tmp_path):
    net = keras.Sequential(
        [
            L.Embedding(7, 3, dtype=dtype),
            L.Dropout(0.3, dtype=dtype),
            L.LSTM(5, return_sequences=True, dropout=0.1, dtype=dtype),
            L.GRU(4, return_sequences=True, recurrent_dropout=0.2, dtype=dtype),
            L.TimeDistributed(L.Dense(7, "softmax", dtype=dtype), dtype=dtype),
        ]
    )
    net = with_weights(net, (None, 6))
    net.save(tmp_path / "net.keras")
    tokens = np.random.default_rng(0).integers(0, 7, 6)
    expected = np.asarray(net(tokens[None]))[0]
    for source in (net, tmp_path / "net.keras", str(tmp_path / "net.keras")):
        model, params = from_keras(source)
        got = jrnn.unroll(model, params, jnp.asarray(tokens))[1]
        assert abs(np.asarray(got) - expected).max() < TOLERANCE[dtype]
    assert_same_arrays(to_keras(model, params, like=net), net.get_weights())

    logits, params = from_keras(net, logits=True)
    got = jax.nn.softmax(jrnn.unroll(logits, params, jnp.asarray(tokens))[1])
    assert abs(np.asarray(got) - expected).max() < TOLERANCE[dtype]
    # it has names for all of its parts, so a file can hold it
    jrnn.save(tmp_path / "net.safetensors", logits, params, jnp.array(0))
    again = jrnn.load(tmp_path / "net.safetensors").params
    assert_same_arrays(jax.tree.leaves(again), jax.tree.leaves(params))


def test_what_return_sequences_false_gives():
    xs = np.random.default_rng(0).normal(size=(6, 3))
    layers = [L.LSTM(4, dtype="float64"), L.Dense(2, "tanh", dtype="float64")]
    net = with_weights(keras.Sequential(layers), (None, 6, 3))
    (expected,), ys, _ = outputs(net, xs)
    np.testing.assert_allclose(ys[-1], expected, atol=1e-12, rtol=0)
    # of a Bidirectional it is the last output of each direction, which is no row of ys
    both = L.Bidirectional(L.GRU(4, dtype="float64"), dtype="float64")
    net = keras.Sequential([both, L.Dense(2, "tanh", dtype="float64")])
    (expected,), y, _ = outputs(with_weights(net, (None, 6, 3)), xs)
    np.testing.assert_allclose(y, expected, atol=1e-12, rtol=0)
    model, params = from_keras(net)
    assert_same_arrays(to_keras(model, params, like=net), net.get_weights())


ACTIVATIONS = (
    "celu elu hard_sigmoid hard_silu hard_tanh linear log_sigmoid mish relu relu6 selu "
    "sigmoid silu softplus softsign tanh"
).split()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_keras(name):
    xs = 3 * np.random.default_rng(0).normal(size=(40, 3))
    layers = [
        L.SimpleRNN(4, name, return_sequences=True, dtype="float64"),
        L.Dense(5, name, dtype="float64"),
        L.Activation(name, dtype="float64"),
    ]
    net = with_weights(keras.Sequential(layers), (None, 40, 3))
    for source, x in ((net, xs), (layers[0], xs), (layers[1], xs @ np.ones((3, 4)))):
        (expected,), got, _ = outputs(source, x)
        scale = abs(expected).max()
        np.testing.assert_allclose(got / scale, expected / scale, atol=1e-12, rtol=0)
    model, params = from_keras(net)
    assert_same_arrays(to_keras(model, params, like=net), net.get_weights())


CELLS = {
    "simple": L.SimpleRNNCell(4, dtype="float64"),
    "lstm": L.LSTMCell(4, dtype="float64"),
    "gru": L.GRUCell(4, use_bias=False, dtype="float64"),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_and_an_rnn_of_it(name):
    xs = np.random.default_rng(0).normal(size=(6, 3))
    layer = L.RNN(CELLS[name], return_sequences=True, dtype="float64")
    (expected,), got, _ = outputs(with_weights(layer, (None, 6, 3)), xs)
    np.testing.assert_allclose(got, expected, atol=1e-12, rtol=0)
    assert_same_arrays(from_keras(CELLS[name])[1], from_keras(layer)[1])
    assert_same_arrays(
        to_keras(*from_keras(layer), like=CELLS[name]), layer.get_weights()
    )


def test_stateful_is_passing_the_carry_on():
    layer = L.LSTM(4, stateful=True, return_sequences=True, dtype="float64")
    layer = with_weights(layer, (1, 3, 2))
    xs = np.random.default_rng(0).normal(size=(2, 3, 2))
    expected = [np.asarray(layer(part[None]))[0] for part in xs]
    (model, params), carry = from_keras(layer), None
    for part, want in zip(xs, expected, strict=True):
        carry, got = jrnn.unroll(model, params, jnp.asarray(part), carry)
        np.testing.assert_allclose(got, want, atol=1e-12, rtol=0)


def built(layer, shape=(None, 5, 3)):
    layer.build(shape)
    return layer


class Doubled(L.Layer):
    pass


REFUSED = {
    "go_backwards": (
        lambda: built(L.LSTM(4, go_backwards=True, name="back")),
        "back has go_backwards=True, which is no part of a cell. Set back.go_backwards",
    ),
    "lstm's activation": (
        lambda: built(L.LSTM(4, activation="relu", name="a")),
        "a has activation='relu' and recurrent_activation='sigmoid'; jrnn's lstm has",
    ),
    "gru's gate": (
        lambda: built(L.GRU(4, recurrent_activation="hard_sigmoid", name="a")),
        "a has activation='tanh' and recurrent_activation='hard_sigmoid'; jrnn's gru",
    ),
    "an activation of one's own": (
        lambda: built(L.SimpleRNN(4, activation=lambda x: x * x, name="a")),
        "has an activation without a name in Keras",
    ),
    "other constants": (
        lambda: built(L.SimpleRNN(4, activation="gelu", name="a")),
        "a has activation='gelu', which is no function of jax.nn with the same",
    ),
    "mask_zero": (
        lambda: built(L.Embedding(5, 3, mask_zero=True, name="words"), (None, 5)),
        "words has mask_zero=True: the layers behind it skip token 0. Set words.mask",
    ),
    "merge_mode": (
        lambda: built(L.Bidirectional(L.GRU(4), merge_mode="sum", name="both")),
        "both has merge_mode='sum'; jrnn.bidirectional joins outputs",
    ),
    "two kinds": (
        lambda: built(
            L.Bidirectional(
                L.GRU(4), backward_layer=L.LSTM(4, go_backwards=True), name="both"
            )
        ),
        r"both has two different layers, \('gru', 'tanh', True\) and \('lstm', ",
    ),
    "the other way round": (
        lambda: built(
            L.Bidirectional(
                L.GRU(4, go_backwards=True), backward_layer=L.GRU(4), name="both"
            )
        ),
        "both has layers of go_backwards=True and False, expected False and True",
    ),
    "a layer": (
        lambda: built(Doubled(name="two")),
        "two is Doubled, which jrnn has no counterpart of",
    ),
    "a layer inside": (
        lambda: keras.Sequential([L.Masking(name="mask"), L.LSTM(4)]),
        "mask is Masking, which jrnn has no counterpart of",
    ),
    "not built": (
        lambda: L.LSTM(4, name="raw"),
        "raw has no weights yet. Call it on a batch, or layer.build",
    ),
    "functional": (
        lambda: keras.Model(x := keras.Input((5, 3)), L.LSTM(4)(x), name="chain"),
        r"chain is Functional, .* pass keras.Sequential\(model.layers\)",
    ),
}


@pytest.mark.filterwarnings("ignore")  # Keras's own
@pytest.mark.parametrize("name", REFUSED)
def test_what_jrnn_does_not_have_is_refused_by_name(name):
    make, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"^from_keras: .*{message}"):
        from_keras(make())


def test_options_of_a_list_are_refused_for_a_layer():
    layer = built(L.SimpleRNN(4))
    with pytest.raises(ValueError, match="activation and reset_after are for a list"):
        from_keras(layer, activation="tanh")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04\x95pickle", b"PK\x03\x04" + b"0" * 50, b"{}"],
    ids=["empty", "pickle", "cut off", "json"],
)
def test_a_file_that_is_no_keras_file(tmp_path, content):
    path = tmp_path / "net.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"net.keras is damaged, or no .keras file"):
        jrnn.interop.from_keras(path)


def test_code_in_a_keras_file_is_not_run(tmp_path):
    """Keras writes a lambda as code, and runs it where it is not told otherwise."""
    path, mark = tmp_path / "net.keras", tmp_path / "was here"
    touch = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    leaves_a_mark = f"lambda x: ({touch}, x)[1]"  # with nothing of this file's
    net = keras.Sequential(
        [
            keras.Input((None, 3)),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.Lambda(eval(leaves_a_mark)),
        ]
    )
    net.save(path)
    mark.unlink(missing_ok=True)
    with pytest.raises((TypeError, ValueError)):
        jrnn.interop.from_keras(path)
    assert not mark.exists()
