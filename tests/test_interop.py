"""Weights from other libraries: known values, messages, and what is imported when.

None of these tests needs another library: a state dict of PyTorch may be of NumPy
arrays, and so may the lists of Keras and the dictionaries of Flax and Haiku. The
libraries themselves are compared in test_interop_*.py.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn
from jrnn.interop import (
    arrays,
    from_flax,
    from_haiku,
    from_keras,
    from_torch,
    to_flax,
    to_haiku,
    to_keras,
)

rng = np.random.default_rng(0)
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def normal(*shape, dtype="float64"):
    return (0.5 * rng.normal(size=shape)).astype(dtype)


def state(kind, reads, size, *, prefix="", layers=1, ways=1, bias=True, draw=normal):
    """A state dict as PyTorch names it."""
    entries = {}
    for n in range(layers):
        for way in ("", "_reverse")[:ways]:
            rows, width = GATES[kind] * size, reads if n == 0 else size * ways
            new = {"weight_ih": draw(rows, width), "weight_hh": draw(rows, size)}
            if bias:
                new |= {"bias_ih": draw(rows), "bias_hh": draw(rows)}
            entries |= {f"{prefix}{k}_l{n}{way}": v for k, v in new.items()}
    return entries


def linear(reads, writes, name="out."):
    return {f"{name}weight": normal(writes, reads), f"{name}bias": normal(writes)}


# known values of other libraries' tests


def constant(weight, bias=None):
    """Weights and biases as those tests have them: all alike."""

    def draw(*shape):
        return np.full(shape, weight if len(shape) == 2 else bias or 0.0)

    return draw


# onnx/backend/test/case/node, version 1.23: rnn.py, lstm.py, gru.py, export_defaults
# and export_initial_bias, one step of three rows whose units are all alike:
# features, units, weight, bias, output of each row
ONNX = {
    "rnn": ("rnn", (2, 4, 0.1, None), [0.29131263, 0.6043678, 0.800499]),
    "lstm": ("lstm", (2, 3, 0.1, None), [0.0952412, 0.25606447, 0.40323776]),
    "gru": ("gru", (2, 5, 0.1, None), [0.12397028, 0.20053661, 0.19991653]),
    "rnn-bias": ("rnn", (3, 5, 0.1, 0.1), [0.6043678, 0.9216685, 0.9866143]),
    "lstm-bias": ("lstm", (3, 4, 0.1, 0.1), [0.25606447, 0.5367278, 0.6672132]),
    "gru-bias": ("gru", (3, 3, 0.1, 0.1), [0.20053661, 0.15482338, 0.07484276]),
}


@pytest.mark.parametrize("name", ONNX)
def test_known_values_of_onnx(name):
    kind, (reads, size, weight, bias), expected = ONNX[name]
    entries = state(kind, reads, size, draw=constant(weight, bias))
    entries["bias_hh_l0"] *= 0  # the second half of ONNX's B is zero
    model, params = from_torch(entries, nonlinearity="tanh" if kind == "rnn" else None)
    rows = np.arange(1.0, 3 * reads + 1).reshape(3, 1, reads)
    got = [jrnn.unroll(model, params, xs)[1][0] for xs in jnp.asarray(rows)]
    for values, value in zip(got, expected, strict=True):
        np.testing.assert_allclose(values, np.full(size, value), atol=1e-6, rtol=0)


# the same files, export_bidirectional: units, and output at three steps each way
BOTH = {
    "rnn": (4, [0.29131263, 0.67317414, 0.8785257], [0.54270303, 0.7699478, 0.800499]),
    "lstm": (3, [0.0952412, 0.32869047, 0.6004299], [0.40412503, 0.4927268, 0.4032378]),
    "gru": (
        5,
        [0.12397028, 0.28515872, 0.4087356],
        [0.35567555, 0.3383197, 0.19991653],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOTH)
def test_known_values_of_onnx_in_both_directions(kind):
    """ONNX's GRU resets before the product by default, which PyTorch does not have."""
    size, *expected = BOTH[kind]
    if kind == "gru":
        way = [np.full((2, 3 * size), 0.1), np.full((size, 3 * size), 0.1)]
        way.append(np.zeros(3 * size))
        model, params = from_keras(2 * way, layers=["bidirectional_gru"])
    else:
        entries = state(kind, 2, size, ways=2, draw=constant(0.1))
        model, params = from_torch(entries, nonlinearity="tanh")
    _, ys = jrnn.unroll(model, params, jnp.arange(1.0, 7.0).reshape(3, 2))
    want = np.concatenate([np.repeat([e], size, 0).T for e in expected], axis=1)
    np.testing.assert_allclose(ys, want, atol=1e-6, rtol=0)


def keras_weights(kind, reads, size, *, forget=0.03, bias=True, after=True):
    """Kernel 0.01, recurrent 0.02, bias 0.03, as Keras's own tests have them."""
    gates = {"simple_rnn": 1, "lstm": 4, "gru": 3}[kind]
    weights = [
        np.full((reads, gates * size), 0.01),
        np.full((size, gates * size), 0.02),
    ]
    if bias:
        b = np.full(gates * size, 0.03)
        if kind == "lstm":
            b[size : 2 * size] = forget
        weights.append(np.stack([b, b]) if kind == "gru" and after else b)
    return weights


# keras/src/layers/rnn/*_test.py: kind, weights, input (B, T, I), backwards, last output
KERAS = {
    "simple": ("simple_rnn", 4, {}, (2, 3, 4), False, [0.405432, 0.73605347]),
    "simple-back": ("simple_rnn", 4, {}, (2, 3, 4), True, [0.11144729, 0.5528889]),
    "lstm-forget-1": (
        "lstm",
        3,
        {"forget": 1.0},
        (3, 6, 4),
        False,
        [0.6288687, 0.86899155, 0.9460773],
    ),
    "lstm": ("lstm", 3, {}, (3, 6, 4), False, [0.57019705, 0.8661914, 0.9459622]),
    "lstm-no-bias": (
        "lstm",
        3,
        {"bias": False},
        (3, 6, 4),
        False,
        [0.54986924, 0.86226785, 0.9443936],
    ),
    "lstm-back": (
        "lstm",
        3,
        {"forget": 1.0},
        (3, 6, 4),
        True,
        [0.35622165, 0.74789524, 0.8872726],
    ),
    "gru-after": ("gru", 3, {}, (3, 6, 4), False, [0.5217289, 0.6371659, 0.39384964]),
    "gru-before": (
        "gru",
        3,
        {"after": False},
        (3, 6, 4),
        False,
        [0.51447755, 0.6426879, 0.40208298],
    ),
    "gru-no-bias": (
        "gru",
        3,
        {"bias": False},
        (3, 6, 4),
        False,
        [0.49988455, 0.64701194, 0.4103359],
    ),
}


def last_outputs(model, params, shape, backwards=False, carry=None):
    rows = np.arange(float(np.prod(shape))).reshape(shape)
    run = lambda xs, c: jrnn.unroll(model, params, xs, c, reverse=backwards)[1]
    carries = [None] * len(rows) if carry is None else carry
    ys = [run(jnp.asarray(xs), c) for xs, c in zip(rows, carries, strict=True)]
    return np.stack([y[0 if backwards else -1] for y in ys])


@pytest.mark.parametrize("name", KERAS)
def test_known_values_of_keras(name):
    kind, size, options, shape, backwards, expected = KERAS[name]
    weights = keras_weights(kind, shape[-1], size, **options)
    told = {"simple_rnn": {"activation": "tanh"}, "gru": {"reset_after": True}}
    model, params = from_keras(weights, layers=[kind], **told.get(kind, {}))
    got = last_outputs(model, params, shape, backwards)
    want = np.repeat(np.array(expected)[:, None], size, axis=1)
    np.testing.assert_allclose(got, want, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_known_values_of_keras_from_a_state():
    """Each row begins in its own state, arange in the tests of Keras."""
    weights = keras_weights("simple_rnn", 3, 4)
    model, params = from_keras(weights, activation="tanh")
    carry = list(jnp.arange(8.0).reshape(2, 4))
    got = last_outputs(model, params, (2, 4, 3), carry=carry)
    want = np.repeat([[0.33621645], [0.6262637]], 4, axis=1)
    np.testing.assert_allclose(got, want, atol=1e-6, rtol=0)

    model, params = from_keras(keras_weights("lstm", 3, 2, forget=1.0))
    rows = jnp.arange(4.0).reshape(2, 2)
    carry = [jrnn.LSTMCarry(h=row, c=row) for row in rows]
    got = last_outputs(model, params, (2, 4, 3), carry=carry)
    want = [[0.20574439, 0.3558822], [0.64930826, 0.66276]]
    np.testing.assert_allclose(got, want, atol=1e-6, rtol=0)

    model, params = from_keras(keras_weights("gru", 3, 2))
    got = last_outputs(model, params, (2, 4, 3), carry=list(rows))
    want = [[0.23774096, 0.33508456], [0.83659905, 1.0227708]]
    np.testing.assert_allclose(got, want, atol=1e-6, rtol=0)


def test_known_values_of_keras_with_a_mask():
    """Masked steps leave the state as it is."""
    model, params = from_keras(keras_weights("lstm", 3, 2, forget=1.0))
    rows = jnp.arange(24.0).reshape(2, 4, 3)
    for xs, valid, value in zip(rows, (3, 2), (0.11755939, 0.28556206), strict=True):
        pair = xs, jrnn.length_mask(valid, 4)
        carry, _ = jrnn.unroll(jrnn.masked(model), params, pair)
        np.testing.assert_allclose(carry.h, [value, value], atol=1e-6, rtol=0)


# arrays


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_float_is_kept(dtype):
    entries = {k: jnp.asarray(v, dtype) for k, v in state("lstm", 3, 4).items()}
    entries = {k: np.asarray(v) for k, v in entries.items()}
    model, params = from_torch(entries)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {dtype}
    carry, ys = jrnn.unroll(model, params, jnp.ones((5, 3), dtype))
    assert {str(a.dtype) for a in (ys, *carry)} == {dtype}
    weights = to_keras(model, params)
    assert {w.dtype.name for w in weights} == {dtype}
    assert weights[0].tobytes() == entries["weight_ih_l0"].T.tobytes()


def test_double_precision_needs_the_flag():
    with jax.enable_x64(False):
        with pytest.raises(TypeError, match=r"weight_ih_l0 is float64.*jax_enable_x64"):
            from_torch(state("lstm", 3, 4))


def aligned(*shape):
    """An array that JAX would take as it lies in memory."""
    size = int(np.prod(shape)) * 8
    buffer = np.empty(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    array = buffer[start : start + size].view(np.float64).reshape(shape)
    array[:] = normal(*shape)
    return array


def test_weights_are_copies():
    entries = {"emb.weight": aligned(8, 16), **state("gru", 16, 4, draw=aligned)}
    entries = {k if "emb" in k else f"rnn.{k}": v for k, v in entries.items()}
    before = {k: v.copy() for k, v in entries.items()}
    _, (embedding, gru) = from_torch(entries)
    for array in entries.values():
        array[:] = np.nan  # an optimiser of the other library goes on in place
    np.testing.assert_array_equal(embedding.table, before["emb.weight"])
    np.testing.assert_array_equal(gru.w_x.T, before["rnn.weight_ih_l0"])
    np.testing.assert_array_equal(gru.b_h, before["rnn.bias_hh_l0"])


def test_a_sum_is_split_as_it_was():
    a, b = normal(1000, dtype="float32"), normal(1000, dtype="float32")
    a[:4], b[:4] = [-0.0, 0.0, -0.0, np.nan], [-0.0, -0.0, 0.0, 1.0]
    total = arrays.sum_of(a, b)
    # or the sum alone would do
    assert (arrays.split(total)[0] != a).sum() > 900
    back = arrays.split(total, (a, b))
    assert [x.tobytes() for x in back] == [a.tobytes(), b.tobytes()]
    total[7] += np.float32(1)
    first, second = arrays.split(total, (a, b))
    assert first[7] == total[7] and second[7] == 0
    others = np.arange(1000) != 7
    assert first[others].tobytes() == a[others].tobytes()


def test_one_bias_and_a_zero_are_added_without_a_trace():
    b = np.array([-0.0, 0.0, 1e-45, np.nan, -3.5], np.float32)
    assert arrays.sum_of(*arrays.split(b)).tobytes() == b.tobytes()


# what is imported

LIBRARIES = "torch", "keras", "flax", "haiku", "equinox", "tensorflow"


@pytest.mark.slow
def test_no_library_is_imported_before_its_function_is_called():
    program = f"""
import sys
import numpy as np
import jrnn
told = lambda: sorted(n for n in {LIBRARIES} if n in sys.modules)
assert "jrnn.interop" not in sys.modules
jrnn.interop
print(told())
w = np.ones((8, 2), np.float32)
state = {{"weight_ih_l0": w, "weight_hh_l0": w}}
model, params = jrnn.interop.from_torch(state)
jrnn.interop.to_keras(model, params)
jrnn.interop.from_keras([w.T, w.T])
jrnn.interop.from_haiku({{"embed": {{"embeddings": w}}}})
jrnn.interop.from_flax(jrnn.interop.to_flax(model, params))
print(told())
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["[]", "[]"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("torch", "to_torch(model, params)"),
        ("equinox", "to_equinox(model, params)"),
        ("flax", "from_flax(3)"),
    ],
)
def test_a_function_imports_its_own_library_only(library, call):
    pytest.importorskip(library)
    program = f"""
import sys, jax, jax.numpy as jnp
import jrnn
model = jrnn.lstm(2)
params = model.init(jax.random.key(0), jnp.zeros(3))
try:
    jrnn.interop.{call}
except TypeError:
    pass
print([n for n in {LIBRARIES} if n in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == f"[{library!r}]"


# messages

LSTM = state("lstm", 3, 4, prefix="rnn.", layers=2)
CHARS = {"emb.weight": normal(7, 3), **LSTM, **linear(4, 7)}


def without(entries, *names):
    return {k: v for k, v in entries.items() if k not in names}


TORCH = {
    "not a module": (3, {}, TypeError, "expected a module of PyTorch .*, got int"),
    "nothing": ({}, {}, ValueError, "expected weights, got an empty state dict"),
    "extra": (
        {**LSTM, "h0": normal(4)},
        {},
        ValueError,
        "h0 belongs to no layer that jrnn has",
    ),
    "extra in a layer": (
        {**LSTM, "rnn.weight": normal(4, 4)},
        {},
        ValueError,
        r"rnn\.weight is too much beside rnn\.weight_ih_l0",
    ),
    "missing": (
        without(LSTM, "rnn.weight_hh_l1"),
        {},
        ValueError,
        r"rnn\.weight_hh_l1 is missing beside rnn\.weight_ih_l0",
    ),
    "a layer is missing": (
        {k.replace("_l1", "_l2"): v for k, v in LSTM.items()},
        {},
        ValueError,
        r"rnn\.weight_ih_l1, .*rnn\.bias_hh_l1 is missing",
    ),
    "one bias": (
        without(LSTM, "rnn.bias_hh_l0", "rnn.bias_hh_l1"),
        {},
        ValueError,
        r"rnn\.bias_hh_l0, rnn\.bias_hh_l1 is missing",
    ),
    "shape of a weight": (
        {**LSTM, "rnn.weight_ih_l1": normal(16, 5)},
        {},
        ValueError,
        r"rnn\.weight_ih_l1 has shape \(16, 5\), expected \(16, 4\)",
    ),
    "shape of a bias": (
        {**LSTM, "rnn.bias_hh_l1": normal(4)},
        {},
        ValueError,
        r"rnn\.bias_hh_l1 has shape \(4,\), expected \(16,\) beside rnn\.weight_hh_l0",
    ),
    "shape of a readout": (
        {**CHARS, "out.bias": normal(3)},
        {},
        ValueError,
        r"out\.bias has shape \(3,\), expected \(7,\)",
    ),
    "axes": (
        {"weight": normal(2, 3, 4)},
        {},
        ValueError,
        r"weight has shape \(2, 3, 4\), expected two axes",
    ),
    "gates": (
        {**state("lstm", 3, 4), "weight_hh_l0": normal(8, 4)},
        {},
        ValueError,
        r"weight_hh_l0 has shape \(8, 4\), expected \(H, H\) of an RNN",
    ),
    "activation": (
        state("rnn", 3, 4),
        {},
        ValueError,
        "do not say its activation. Pass nonlinearity='tanh' or 'relu'",
    ),
    "another activation": (
        state("rnn", 3, 4),
        {"nonlinearity": "elu"},
        ValueError,
        "Pass nonlinearity='tanh' or 'relu', got 'elu'",
    ),
    "projection": (
        {**state("lstm", 3, 4), "weight_hr_l0": normal(2, 4)},
        {},
        ValueError,
        "weight_hr, of proj_size, which no cell of jrnn has",
    ),
    "embedding or linear": (
        {"weight": normal(4, 3)},
        {},
        ValueError,
        "sizes allow for more than one model: layers={'': 'linear'} or",
    ),
    "order": (
        {
            **state("gru", 4, 4, prefix="a."),
            **state("gru", 4, 4, prefix="b."),
            **linear(4, 2),
        },
        {},
        ValueError,
        "more than one model: layers={'a': 'gru', 'b': 'gru', 'out': 'linear'} or",
    ),
    "no order": (
        {**CHARS, **linear(5, 7)},
        {},
        ValueError,
        r"of .*rnn \(3 to 4\), out \(5 to 7\) no order fits",
    ),
    "a gap": (
        {**linear(3, 4, "0."), **linear(4, 2, "2.")},
        {},
        ValueError,
        "module 1 has no weights, so the state dict does not say what it is",
    ),
    "a layer not told": (
        CHARS,
        {"layers": ("emb", "rnn")},
        ValueError,
        "layers must name every module that has weights, but not 'out'",
    ),
    "a kind that is none": (
        CHARS,
        {"layers": {"emb": "embedding", "rnn": "LSTM", "out": "linear"}},
        ValueError,
        r"layers\['rnn'\] has weights, so it must be one of embedding",
    ),
    "another kind": (
        CHARS,
        {"layers": {"emb": "embedding", "rnn": "gru", "out": "linear"}},
        ValueError,
        "'rnn' is said to be gru, but it has weight_ih_l0",
    ),
    "a readout as an embedding": (
        CHARS,
        {"layers": {"emb": "embedding", "rnn": "lstm", "out": "embedding"}},
        ValueError,
        "'out' is said to be embedding, but it has weight",
    ),
    "integers": (
        {k: v.astype(np.int8) for k, v in state("gru", 2, 3).items()},
        {},
        TypeError,
        "weight_ih_l0 must be floating-point, got int8",
    ),
    "two dtypes": (
        {**state("gru", 2, 3), "bias_hh_l0": normal(9, dtype="float32")},
        {},
        TypeError,
        "expected one dtype in the layer .*, got weight_ih_l0 float64",
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_what_is_wrong_with_a_state_dict_is_said(name):
    source, options, error, message = TORCH[name]
    with pytest.raises(error, match=f"^from_torch: .*{message}"):
        from_torch(source, **options)


KERAS_ERRORS = {
    "not a layer": (3, {}, TypeError, "expected a layer or a Sequential .*, got int"),
    "no file": ("no.keras", {}, FileNotFoundError, "there is no file no.keras"),
    "nothing fits": (
        [normal(3, 8), normal(3, 8)],
        {},
        ValueError,
        r"shapes \(3, 8\), \(3, 8\) are those of no model",
    ),
    "two fit": (
        2 * [normal(4, 16), normal(4, 16), normal(16)],
        {},
        ValueError,
        r"more than one model. .*=\('lstm', 'lstm'\) or .*\('bidirectional_lstm',\)",
    ),
    "recurrent": (
        [normal(3, 8), normal(3, 8), normal(8)],
        {"layers": ["lstm"]},
        ValueError,
        r"weights\[0\]: recurrent has shape \(3, 8\), expected \(H, 4H\) of lstm",
    ),
    "bias": (
        [normal(3, 8), normal(2, 8), normal(2)],
        {"layers": ["lstm"]},
        ValueError,
        r"weights\[2\] of shape \(2,\) and what follows is too much",
    ),
    "missing": (
        [normal(3, 8)],
        {"layers": ["lstm"]},
        ValueError,
        r"weights\[0\]: lstm has kernel, recurrent, bias, but got \(3, 8\)",
    ),
    "a kind": (
        [normal(3, 8)],
        {"layers": ["LSTM"]},
        ValueError,
        r"layers\[0\] must be one of embedding, .*, got 'LSTM'",
    ),
    "activation": (
        [normal(3, 4), normal(4, 4), normal(4)],
        {},
        ValueError,
        "the weights of a SimpleRNN do not say its activation. Pass activation='tanh'",
    ),
    "another activation": (
        [normal(3, 4), normal(4, 4), normal(4)],
        {"activation": "gelu"},
        ValueError,
        "has activation='gelu', which is no function of jax.nn with the same constants",
    ),
    "form": (
        [normal(3, 12), normal(4, 12)],
        {},
        ValueError,
        "a GRU without bias do not say its form. Pass reset_after=True or False",
    ),
    "two ways": (
        [normal(3, 8), normal(2, 8), normal(8), normal(4, 8), normal(2, 8), normal(8)],
        {"layers": ["bidirectional_lstm"]},
        ValueError,
        r"ways of bidirectional_lstm have kernels of shapes \(3, 8\) and \(4, 8\)",
    ),
}


@pytest.mark.parametrize("name", KERAS_ERRORS)
def test_what_is_wrong_with_weights_of_keras_is_said(name):
    source, options, error, message = KERAS_ERRORS[name]
    with pytest.raises(error, match=f"^from_keras: .*{message}"):
        from_keras(source, **options)


def flax_cell(kind="lstm", reads=3, size=4):
    model = {"lstm": jrnn.lstm(size), "gru": jrnn.gru(size), "elman": jrnn.elman(size)}
    params = model[kind].init(jax.random.key(0), jnp.zeros(reads))
    return to_flax(model[kind], params)["params"]["cell"]


def but(cell, **changed):
    return {k: v for k, v in {**cell, **changed}.items() if v is not None}


FLAX_ERRORS = {
    "nothing": ({}, {}, ValueError, "expected parameters, got none"),
    "a parameter": (
        {"params": {"cell": flax_cell(), "scale": jnp.ones(3)}},
        {},
        ValueError,
        "scale is a parameter of no layer that jrnn has",
    ),
    "missing": (
        {"cell": but(flax_cell(), hf=None)},
        {},
        ValueError,
        "cell: hf/kernel is missing beside ii, if, ig",
    ),
    "missing bias": (
        but(flax_cell("gru"), hn={"kernel": jnp.ones((4, 4))}),
        {},
        ValueError,
        "the module: hn/bias is missing",
    ),
    "too much": (
        but(flax_cell(), ii={"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}),
        {},
        ValueError,
        "has ii/bias too much",
    ),
    "shape": (
        but(flax_cell(), ig={"kernel": jnp.ones((3, 5))}),
        {},
        ValueError,
        r"ig/kernel has shape \(3, 5\), expected \(3, 4\)",
    ),
    "activation": (
        flax_cell("elman"),
        {},
        ValueError,
        "a SimpleCell do not say its activation. Pass activation='tanh'",
    ),
    "order": (
        {"a": flax_cell("gru", 4), "b": flax_cell("gru", 4)},
        {},
        ValueError,
        "more than one model: layers={'a': 'gru', 'b': 'gru'} or",
    ),
    "names": (
        {"a": flax_cell("gru", 4), "b": flax_cell("gru", 4)},
        {"layers": ("a",)},
        ValueError,
        r"layers must have the names a, b in their order, got \('a',\)",
    ),
}


@pytest.mark.parametrize("name", FLAX_ERRORS)
def test_what_is_wrong_with_parameters_of_flax_is_said(name):
    source, options, error, message = FLAX_ERRORS[name]
    with pytest.raises(error, match=f"^from_flax: .*{message}"):
        from_flax(source, **options)


HAIKU_ERRORS = {
    "nothing": ({}, {}, "expected parameters, got none"),
    "a name": (
        {"core/linear": {"w": normal(7, 16)}, "conv": {"w": normal(3, 2)}},
        {},
        "conv is no layer that is known by its name",
    ),
    "missing": (
        {"gru": {"w_i": normal(3, 12)}},
        {},
        r"gru \(gru\) has w_i; missing w_h, b",
    ),
    "too much": (
        {"lstm/linear": {"w": normal(7, 16), "b": normal(16), "c": normal(2)}},
        {},
        "missing none, too much linear/c",
    ),
    "shape": (
        {"gru": {"w_i": normal(3, 12), "w_h": normal(4, 11), "b": normal(12)}},
        {},
        r"gru: w_h has shape \(4, 11\), expected \(4, 12\)",
    ),
    "not told": (
        {"a": {"embeddings": normal(3, 4)}, "linear": {"w": normal(4, 2)}},
        {"layers": {"a": "embed"}},
        "layers must name every layer, but not linear",
    ),
}


@pytest.mark.parametrize("name", HAIKU_ERRORS)
def test_what_is_wrong_with_parameters_of_haiku_is_said(name):
    source, options, message = HAIKU_ERRORS[name]
    with pytest.raises(ValueError, match=f"^from_haiku: .*{message}"):
        from_haiku(source, **options)


def drawn(model, x=None):
    return model, model.init(jax.random.key(0), jnp.zeros(3) if x is None else x)


MODELS = {
    "a cell of functions": (
        lambda: (jrnn.Cell(*jrnn.gru(2)), ()),
        TypeError,
        "model must be made by factories of jrnn, .*got a cell of three functions",
    ),
    "no cell": (lambda: ((), jrnn.gru(2)), TypeError, "got tuple. The order is"),
    "another's": (
        lambda: (jrnn.gru(2), jrnn.lstm(2).init(jax.random.key(0), jnp.zeros(3))),
        TypeError,
        "model: expected GRUParams, got LSTMParams",
    ),
    "entries": (
        lambda: (jrnn.stack(jrnn.gru(2), jrnn.linear(2)), ()),
        ValueError,
        "the parameters of model must be a tuple of 2, got 0",
    ),
    "no counterpart": (
        lambda: drawn(jrnn.stack(jrnn.layer_norm(jrnn.gru(2)), jrnn.linear(1))),
        ValueError,
        r"model.cells\[0\] is made by layer_norm, which has no counterpart there",
    ),
    "no counterpart of a cell": (
        lambda: drawn(jrnn.stack(jrnn.min_gru(2), jrnn.linear(1))),
        ValueError,
        r"model.cells\[0\] is made by min_gru, which has no counterpart there",
    ),
    "two ways of a stack": (
        lambda: drawn(
            jrnn.bidirectional(jrnn.stack(jrnn.gru(2), jrnn.gru(2)), jrnn.gru(2))
        ),
        ValueError,
        "model.forward must be one recurrent layer, elman, lstm, gru, got gru, gru",
    ),
}


@pytest.mark.parametrize("to", [to_keras, to_flax, to_haiku])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_go_out_is_named(name, to):
    make, error, message = MODELS[name]
    with pytest.raises(error, match=f"^{to.__name__}: .*{message}"):
        to(*make())


LSTM_OF_KERAS = keras_weights("lstm", 3, 2)
LSTM_OF_HAIKU = {"lstm/linear": {"w": normal(6, 8), "b": normal(8)}}
GRU_AND_READOUT = jrnn.stack(jrnn.gru(4), jrnn.linear(2))
TWICE = {"like": LSTM_OF_KERAS * 2}

OUT = {
    "activation for Keras": (
        lambda: to_keras(*drawn(jrnn.elman(2, jnp.cos))),
        "to_keras: model has the activation of your own, which Keras does not have",
    ),
    "a bias that Keras's layer lacks": (
        lambda: to_keras(*drawn(jrnn.lstm(2)), like=[normal(3, 8), normal(2, 8)]),
        "the layer that is to hold model has no bias, but bias is not zero: .* is 1",
    ),
    "number of layers": (
        lambda: to_keras(*drawn(jrnn.lstm(2)), **TWICE, layers=["lstm"] * 2),
        "like has 2 layers with weights, expected 1 as the model has",
    ),
    "another kind": (
        lambda: to_keras(*drawn(jrnn.gru(2)), like=keras_weights("lstm", 3, 2)),
        r"like has lstm at weights\[0\], but the model has gru, model",
    ),
    "another size": (
        lambda: to_keras(*drawn(jrnn.lstm(2)), like=keras_weights("lstm", 4, 2)),
        r"model: kernel has shape \(3, 8\), expected \(4, 8\) as in like",
    ),
    "reset before for Flax": (
        lambda: to_flax(*drawn(jrnn.gru(2, "before"))),
        'model is a gru with reset="before"; Flax has "after"',
    ),
    "Flax, another size": (
        lambda: to_flax(*drawn(jrnn.gru(4)), like={"cell": flax_cell("gru", 5)}),
        r"cell: ir/kernel has shape \(3, 4\), expected \(5, 4\) as in like",
    ),
    "Flax, another kind": (
        lambda: to_flax(*drawn(jrnn.gru(4)), like={"cell": flax_cell("lstm")}),
        "like has lstm at cell, but the model has gru, model",
    ),
    "Flax, number": (
        lambda: to_flax(*drawn(GRU_AND_READOUT), like=flax_cell()),
        "like has 1 layers with parameters, expected 2",
    ),
    "reset after for Haiku": (
        lambda: to_haiku(*drawn(jrnn.gru(2))),
        r'model \(gru\) has reset="after"; Haiku has "before"',
    ),
    "tanh for Haiku": (
        lambda: to_haiku(*drawn(jrnn.elman(2))),
        r"model \(elman\) has the activation tanh; Haiku has relu",
    ),
    "both ways for Haiku": (
        lambda: to_haiku(*drawn(jrnn.bidirectional(jrnn.lstm(2), jrnn.lstm(2)))),
        r"model \(bidirectional\) has two directions; Haiku has no such module",
    ),
    "Haiku, another size": (
        lambda: to_haiku(*drawn(jrnn.lstm(2)), like=LSTM_OF_HAIKU),
        r"lstm: linear/w has shape \(5, 8\), expected \(6, 8\) as in like",
    ),
    "one direction": (
        lambda: to_keras(*drawn(jrnn.lstm(2)), **TWICE, layers=["bidirectional_lstm"]),
        "model reads in 1 direction, expected 2 as in like",
    ),
}


@pytest.mark.parametrize("name", OUT)
def test_what_the_other_library_does_not_have_is_said(name):
    call, message = OUT[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_tracer_is_refused():
    model, params = drawn(jrnn.lstm(2))
    with pytest.raises(TypeError, match="to_keras: model: w_x has no value yet"):
        jax.jit(lambda p: to_keras(model, p))(params)


# what can be told by names and sizes alone


def kinds(model):
    return [cell.description.factory for cell in model.description.arguments["cells"]]


def test_the_order_of_a_character_model_follows_from_its_sizes():
    backwards = dict(reversed(CHARS.items()))
    for entries in (CHARS, backwards):
        model, params = from_torch(entries)
        assert kinds(model) == ["embed", "lstm", "lstm", "linear"]
        assert params[0].table.shape == (7, 3)
    readout = without(CHARS, "out.bias")
    assert kinds(from_torch(readout)[0]) == ["embed", "lstm", "lstm", "linear"]


def test_what_is_ambiguous_can_be_told():
    two = state("gru", 4, 4, prefix="a."), state("gru", 4, 4, prefix="b.")
    entries = {**two[0], **two[1]}
    _, ab = from_torch(entries, layers=("a", "b"))
    _, ba = from_torch(entries, layers={"b": "gru", "a": "gru"})
    np.testing.assert_array_equal(ab[0].w_x, ba[1].w_x)
    np.testing.assert_array_equal(ab[0].w_x.T, entries["a.weight_ih_l0"])
    model, _ = from_torch({"weight": normal(4, 3)}, layers={"": "embedding"})
    assert model.description.factory == "embed"
    gap = {**linear(3, 4, "0."), **linear(4, 2, "2.")}
    told = {"0": "linear", "1": "tanh", "2": "linear"}
    model, params = from_torch(gap, layers=told)
    assert kinds(model) == ["linear", "activation", "linear"]
    x = normal(3)
    hidden = np.tanh(gap["0.weight"] @ x + gap["0.bias"])
    got = jrnn.unroll(model, params, jnp.asarray(x)[None])[1][0]
    np.testing.assert_allclose(
        got, gap["2.weight"] @ hidden + gap["2.bias"], atol=1e-12
    )
    assert kinds(from_torch(gap, layers={**told, "1": "dropout"})[0]) == ["linear"] * 2


def test_a_list_of_keras_is_read_as_a_character_model():
    weights = [normal(7, 3), *keras_weights("lstm", 3, 4), normal(4, 7), normal(7)]
    model, params = from_keras(weights)
    assert kinds(model) == ["embed", "lstm", "linear"]
    back = to_keras(model, params)
    assert [w.tobytes() for w in back] == [w.tobytes() for w in weights]


@pytest.mark.parametrize("bias", [True, False])
def test_haiku_names_of_ones_own(bias):
    entries = {
        "net/~/words": {"embeddings": normal(7, 3)},
        "net/~/memory/linear": {"w": normal(7, 16), "b": normal(16)},
        "net/~/out": {"w": normal(4, 2)} | ({"b": normal(2)} if bias else {}),
    }
    names = ["net/~/words", "net/~/memory", "net/~/out"]
    told = dict(zip(names, ("embed", "lstm", "linear"), strict=True))
    model, params = from_haiku(entries, layers=told)
    assert kinds(model) == ["embed", "lstm", "linear"]
    back = to_haiku(model, params, like=entries, layers=told)
    assert jax.tree.structure(back) == jax.tree.structure(entries)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(entries), strict=True):
        assert np.asarray(a).tobytes() == b.tobytes()
