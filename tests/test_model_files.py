"""`jrnn.save`, `jrnn.load`, `jrnn.register`: a model as one file."""

import importlib
import inspect
import json
import os
import pkgutil
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from cases import CASES, H, I, O, T, V, _sum, draw, example, new_key
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_cases import SEQUENCES, _total, sequence_example, sequence_key

import jrnn
from jrnn.files import build, describe, names, table, tensors
from jrnn.models import language_model
from jrnn.text import build_vocabulary
from jrnn.train import CheckpointError
from jrnn.train import save as save_checkpoint
from jrnn.train.checkpoint import digest

PACKAGE = Path(jrnn.__file__).parent

total = jrnn.register("total", _sum)  # a cell made by hand, with a size
whole = jrnn.register("first and all", _total)  # a model of whole sequences


@jrnn.register("no parameters")
def nothing(key, x):
    return ()


@jrnn.register("square")
def square(params, x, key):
    return x * x


@jrnn.register("sine of the output")
def sine(o, key):
    return jnp.sin(o)


@jrnn.register("decay")
def decay(key, x):
    return jax.random.normal(key, (I,), x.dtype)


@jrnn.register("from zero")
def from_zero(params, *, key=None):
    return jnp.zeros_like(params)


@jrnn.register("leak")
def leak(params, x, *, key=None):
    return jax.nn.sigmoid(x * params), x


@jrnn.register("read out")
def read_out(params, h, x):
    return jnp.tanh(h) * x


class Held(NamedTuple):
    """Parameters of a class of the user's."""

    first: dict
    rest: tuple


@jrnn.register("holder")
def holder(forms, dtype=jnp.float32, note="", *, draw=jax.nn.initializers.normal(0.3)):
    """A cell with parameters of any form: pairs of a dtype and a shape."""

    def init(key, x):
        arrays = [jnp.zeros(shape, kind) for kind, shape in forms]
        return Held({"a.b": draw(key, (2,), dtype)}, tuple(arrays))

    return jrnn.Cell(
        init, lambda params, *, key=None: (), lambda params, c, x, *, key=None: (c, x)
    )


# The cases of the suite, and what stands here for those made of nameless functions
OWN = {
    "cell": lambda d: total(I),
    "stateless": lambda d: jrnn.stateless(nothing, square),
    "diagonal": lambda d: jrnn.diagonal(decay, from_zero, leak, read_out),
    "feedback": lambda d: jrnn.feedback(
        jrnn.stack(jrnn.elman(H), jrnn.linear(O)), sine
    ),
}
FACTORY = {name: OWN.get(name, case.factory) for name, case in CASES.items()}
SEQUENCE = {name: case.factory for name, case in SEQUENCES.items()}
SEQUENCE["by hand"] = lambda: whole(2.0, 3.0)


def first(xs):
    return jax.tree.map(lambda a: a[0], xs)


def drawn(cell, x, seed=5):
    """Random parameters of the form that `init` gives."""
    spec = jax.eval_shape(cell.init, jax.random.key(0), x)
    return draw(np.random.default_rng(seed), spec)


def equal(a, b):
    """The same trees, to the bit, of the same dtypes."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for u, v in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert u.dtype == v.dtype and u.shape == v.shape
        assert np.asarray(u).tobytes() == np.asarray(v).tobytes()


def header_of(path):
    """The header, read by hand as the format's page says."""
    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size])


def content_of(path):
    return json.loads(header_of(path)["__metadata__"]["jrnn-model"])


def rewritten(path, change, arrays=None):
    """Change what a file says, with a digest that fits."""
    content = content_of(path)
    del content["sha256"]
    change(content)
    arrays = safetensors.numpy.load_file(path) if arrays is None else arrays
    content["sha256"] = digest(arrays, content)
    header = {"jrnn-model": json.dumps(content)}
    path.write_bytes(safetensors.numpy.save(arrays, metadata=header))
    return path


# What comes back


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_same_to_the_bit(tmp_path, name, dtype):
    case, _, _, xs, _ = example(name, dtype)
    cell = FACTORY[name](jnp.dtype(dtype))
    params = drawn(cell, first(xs))
    jrnn.save(tmp_path / "m", cell, params, first(xs))
    again, loaded, vocabulary = jrnn.load(tmp_path / "m")
    assert vocabulary is None
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))
    equal(loaded, params)
    expected = jrnn.unroll(cell, params, xs, key=new_key(case))
    equal(jrnn.unroll(again, loaded, xs, key=new_key(case)), expected)
    assert describe.to_json(again) == describe.to_json(cell)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_models_of_whole_sequences_come_back_to_the_bit(tmp_path, name, dtype):
    case, _, _, xs, _ = sequence_example(name, dtype)
    model = SEQUENCE[name]()
    params = drawn(model, first(xs))
    jrnn.save(tmp_path / "m", model, params, first(xs))
    again, loaded, _ = jrnn.load(tmp_path / "m")
    equal(loaded, params)
    expected = jrnn.unroll(model, params, xs, key=sequence_key(case))
    equal(jrnn.unroll(again, loaded, xs, key=sequence_key(case)), expected)
    assert describe.to_json(again) == describe.to_json(model)


CHILD = """
import sys, jax, jax.numpy as jnp, numpy as np, jrnn
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # as in the suite
path, xs, out = sys.argv[1:]
try:
    jrnn.load(path)
except ValueError as error:
    print(error)

@jrnn.register("total")
def total(x_size):
    def step(params, carry, x, *, key=None):
        carry = carry + params * x
        return carry, jnp.sin(carry)
    init = lambda key, x: jnp.zeros((x_size,), x.dtype)
    return jrnn.Cell(init, lambda p, *, key=None: jnp.zeros_like(p), step)

model, params, _ = jrnn.load(path)
key = jax.random.key(3)
np.savez(out, *jax.tree.leaves(jrnn.unroll(model, params, np.load(xs), key=key)))
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_outputs(tmp_path):
    cell = jrnn.stack(
        jrnn.dropout(jrnn.lstm(H), 0.3),
        jrnn.learned_carry(jrnn.gru(I, "before")),
        total(I),
        jrnn.layer_norm(jrnn.linear(O)),
    )
    xs = np.random.default_rng(2).normal(size=(T, I))
    params = drawn(cell, xs[0])
    path = tmp_path / "m.safetensors"
    jrnn.save(path, cell, params, xs[0])
    np.save(tmp_path / "xs.npy", xs)
    (tmp_path / "child.py").write_text(CHILD)
    files = [str(tmp_path / name) for name in ("m.safetensors", "xs.npy", "out.npz")]
    child = subprocess.run(
        [sys.executable, str(tmp_path / "child.py"), *files],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == (
        f'{path}: model.cells[2] is made by "total", a name that is not known here. If '
        'it is yours, register it before you load: jrnn.register("total", ...). If it '
        "is jrnn's, the file comes from a newer version."
    )
    expected = jrnn.unroll(cell, params, xs, key=jax.random.key(3))
    with np.load(tmp_path / "out.npz") as out:
        equal([out[n] for n in out.files], jax.tree.leaves(expected))


def test_the_dtypes_that_a_file_can_hold(tmp_path):
    forms = tuple((name, (2, 3)) for name in table.DTYPES)
    forms += (("float32", ()), ("bfloat16", (0, 4)), ("complex64", ()))
    cell, rng = holder(forms), np.random.default_rng(0)
    arrays = [
        np.frombuffer(rng.bytes(8 * 6), np.uint8)[: 6 * np.dtype(d).itemsize]
        .view(jnp.dtype(d))[: int(np.prod(shape))]
        .reshape(shape)
        if d != "bool"
        else rng.random(shape) < 0.5
        for d, shape in forms
    ]
    params = Held({"a.b": np.ones(2, np.float16)}, tuple(arrays))
    jrnn.save(tmp_path / "m", cell, params, jnp.zeros(2))
    equal(jrnn.load(tmp_path / "m").params, params)
    header = header_of(tmp_path / "m")
    told = {name: header[f"rest.{i}"]["dtype"] for i, (name, _) in enumerate(forms)}
    assert told["bfloat16"] == "BF16" and told["complex64"] == "C64"
    assert header["first.a.b"]["dtype"] == "F16"


def test_weights_may_have_been_cast_since_init(tmp_path):
    cell = jrnn.lstm(H)
    params = drawn(cell, jnp.zeros(I, jnp.float32))
    half = jax.tree.map(lambda p: np.asarray(p.astype(jnp.bfloat16)), params)
    jrnn.save(tmp_path / "m", cell, half, jnp.zeros(I, jnp.float32))
    loaded = jrnn.load(tmp_path / "m").params
    assert loaded.w_x.dtype == jnp.bfloat16
    equal(loaded, half)


def test_a_vocabulary_goes_along(tmp_path):
    vocabulary = build_vocabulary("héllo \ud800", min_count=1)
    model = language_model(len(vocabulary), hidden_size=3).evaluate
    params = drawn(model, jnp.array(0))
    jrnn.save(tmp_path / "m", model, params, 0, vocabulary=vocabulary)
    assert jrnn.load(tmp_path / "m").vocabulary == vocabulary


# What another program sees


def saved(path):
    """A model with much in it, in a file."""
    cell = jrnn.stack(
        jrnn.embed(V, I, dtype=jnp.bfloat16),
        jrnn.activation("relu"),
        jrnn.dropout(
            jrnn.elman(3, jax.nn.sigmoid, w_h_init=jrnn.initializers.gain(2)), 0.5
        ),
        jrnn.residual(jrnn.learned_carry(jrnn.gru(3, "before"))),
    )
    params = drawn(cell, jnp.array(0))
    jrnn.save(path, cell, params, jnp.array(0, jnp.int32))
    return cell, params


@pytest.mark.slow
def test_the_safetensors_package_alone_reads_all_of_it(tmp_path):
    _, params = saved(tmp_path / "m.safetensors")
    with safetensors.safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    assert set(arrays) == {
        *("0.table", "2.w_x", "2.w_h", "2.b", "3.carry"),
        *("3.cell.w_x", "3.cell.w_h", "3.cell.b_x", "3.cell.b_h"),
    }
    assert arrays["0.table"].dtype == ml_dtypes.bfloat16
    assert (arrays["3.cell.w_h"] == params[3].cell.w_h).all()
    assert list(metadata) == ["jrnn-model"]
    content = json.loads(metadata["jrnn-model"])
    assert re.fullmatch("[0-9a-f]{64}", content.pop("sha256"))
    call = lambda factory, **arguments: {"factory": factory, "arguments": arguments}
    gru = call("gru", hidden_size=3, reset="before") | {"gates": "r z n"}
    sigmoid, gain = {"function": "sigmoid"}, call("gain", g=2)
    elman = call("elman", hidden_size=3, activation=sigmoid, w_h_init=gain)
    assert content == {
        "format": 1,
        "model": call(
            "stack",
            cells=[
                call("embed", vocab_size=V, size=I, dtype={"dtype": "bfloat16"}),
                call("activation", f="relu"),
                call("dropout", cell=elman, rate=0.5),
                call("residual", cell=call("learned_carry", cell=gru)),
            ],
        ),
        "input": "int32[]",
        "vocabulary": None,
    }


def test_equal_models_give_equal_files(tmp_path):
    saved(tmp_path / "a")
    saved(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_lstm(w, gate, xs):
    h, c = np.zeros(H), np.zeros(H)
    for x in xs:
        z = gate(x @ w["w_x"] + h @ w["w_h"] + w["b"])
        c = sigmoid(z["f"]) * c + sigmoid(z["i"]) * np.tanh(z["g"])
        h = sigmoid(z["o"]) * np.tanh(c)
        yield h


def numpy_gru(w, gate, xs):
    h = np.zeros(H)
    for x in xs:
        u, v = gate(x @ w["w_x"] + w["b_x"]), gate(h @ w["w_h"] + w["b_h"])
        r, z = sigmoid(u["r"] + v["r"]), sigmoid(u["z"] + v["z"])
        h = (1 - z) * np.tanh(u["n"] + r * v["n"]) + z * h
        yield h


@pytest.mark.parametrize("name, loop", [("lstm", numpy_lstm), ("gru", numpy_gru)])
def test_gates_are_named_in_their_order(tmp_path, name, loop):
    """NumPy gets the outputs from the file alone."""
    _, cell, params, xs, _ = example(name)
    jrnn.save(tmp_path / "m", cell, params, xs[0])
    order = content_of(tmp_path / "m")["model"]["gates"].split()
    gate = lambda z: dict(zip(order, np.split(z, len(order)), strict=True))
    weights = safetensors.numpy.load_file(tmp_path / "m")
    ys = jrnn.unroll(cell, params, xs)[1]
    np.testing.assert_allclose(list(loop(weights, gate, xs)), ys, atol=1e-12)


# The table


MODELS = (
    jrnn.Cell,
    jrnn.SequenceModel,
    jrnn.Cell | jrnn.SequenceModel,  # as what they are given
    jrnn.wrappers.Model,
)


def returning(*kinds):
    """Public functions of all modules that say they return one of these."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "jrnn."):
        for name, function in vars(importlib.import_module(module.name)).items():
            if inspect.isfunction(function) and not name.startswith("_"):
                if inspect.signature(function).return_annotation in kinds:
                    yield name


def test_every_public_factory_is_in_the_table():
    in_root = {n for n in returning(*MODELS) if n in jrnn.__all__}
    assert in_root == set(table.CELLS_BY_NAME)
    # a wrapper of which `jrnn.gradients` or `jrnn.inspect` makes its own use is no part
    # of a model, nor is what wrappers are made of
    others = {"probed_cell", "silenced", "acting"}
    assert set(returning(*MODELS)) - in_root == others
    own = set(returning(jrnn.initializers.Initializer))
    assert own == set(table.INITIALIZERS_BY_NAME)
    cases = *CASES.values(), *SEQUENCES.values()
    made = {used for case in cases for used in case.uses}
    assert made - {"Cell", "SequenceModel"} == set(table.CELLS_BY_NAME)


@pytest.mark.parametrize("name", table.FACTORIES)
def test_the_table_has_every_argument(name):
    factory = table.FACTORIES[name]
    assert factory.make.__name__ == name
    assert set(factory.arguments) == set(inspect.signature(factory.make).parameters)


@pytest.mark.parametrize("name", CASES)
def test_what_a_factory_makes_is_described(name):
    description = FACTORY[name](jnp.dtype("float32")).description
    assert description.factory in (*CASES[name].uses, "total")


def test_another_function_makes_another_cell():
    cell = jrnn.stack(jrnn.lstm(2), jrnn.linear(2))
    assert cell.description.factory == "stack" and len(cell) == 3
    assert cell._replace(step=jrnn.lstm(3).step).description is None
    assert jrnn.Cell(*cell).description is None and jrnn.Cell(*cell) == cell


# Descriptions of any depth

numbers = st.one_of(st.integers(-(2**62), 2**62), st.floats(-1e300, 1e300))
rates = st.floats(0, 1, exclude_max=True)
sizes = st.integers(1, 2**40)
activations = st.sampled_from(
    ["tanh", jnp.tanh, jax.nn.relu, jax.nn.soft_sign, jax.nn.identity]
)
initializers = st.recursive(
    st.one_of(
        st.builds(jrnn.initializers.orthogonal, numbers),
        st.builds(jrnn.initializers.spectral_radius, st.floats(0, 9)),
        st.sampled_from([jax.nn.initializers.zeros, jax.nn.initializers.ones, decay]),
    ),
    lambda inner: st.builds(jrnn.initializers.gatewise, inner, st.integers(1, 9)),
    max_leaves=3,
)
weight_names = st.lists(st.text(), min_size=1, max_size=3).map(tuple)
leaves = st.one_of(
    st.builds(
        jrnn.recurrent_dropout,
        st.builds(jrnn.gru, sizes) | st.builds(jrnn.lstm, sizes),
        rates,
    ),
    st.builds(jrnn.elman, sizes, activations, w_x_init=initializers),
    st.builds(jrnn.irnn, sizes, numbers),
    st.builds(jrnn.lstm, sizes, forget_bias=numbers, w_h_init=initializers),
    st.builds(jrnn.gru, sizes, st.sampled_from(["after", "before"])),
    st.builds(jrnn.window, sizes, start_init=initializers),
    st.builds(jrnn.linear, sizes, b_init=initializers),
    st.builds(
        jrnn.embed, sizes, sizes, dtype=st.sampled_from([None, jnp.bfloat16, "float32"])
    ),
    st.builds(jrnn.one_hot, sizes),
    st.builds(jrnn.activation, activations),
    st.builds(total, sizes),
    st.builds(
        holder,
        st.lists(st.tuples(st.text(), numbers, st.none(), activations)).map(tuple),
        st.sampled_from([jnp.float32, np.dtype("int8"), jnp.complex64]),
        note=st.text(),
        draw=initializers,
    ),
)
cells = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda c: jrnn.stack(*c)),
        st.lists(inner, min_size=1, max_size=3).map(lambda c: jrnn.parallel(*c)),
        *(
            st.builds(wrap, inner)
            for wrap in (
                jrnn.residual,
                jrnn.record,
                jrnn.masked,
                jrnn.reset,
                jrnn.learned_carry,
                jrnn.feedback,
            )
        ),
        st.builds(jrnn.layer_norm, inner, epsilon=st.floats(0, 1)),
        st.builds(jrnn.dropout, inner, rates),
        st.builds(jrnn.variational_dropout, inner, rates),
        st.builds(jrnn.zoneout, inner, rates, st.one_of(st.none(), rates)),
        st.builds(jrnn.zoneout_mean, inner, rates),
        st.builds(jrnn.weight_dropout, inner, rates, weights=weight_names),
        st.builds(jrnn.weight_norm, inner, weights=weight_names),
        st.builds(jrnn.spectral_norm, inner, st.floats(0.1, 9), weights=weight_names),
        st.builds(jrnn.spectral_bound, inner, st.floats(0.1, 9)),
        st.builds(
            jrnn.clip_carry, inner, st.floats(0.1, 9), fields=weight_names | st.none()
        ),
        st.builds(
            jrnn.mixed_precision, inner, st.sampled_from(["float16", "bfloat16"])
        ),
        st.builds(jrnn.highway, inner, gate_bias=numbers, w_t_init=initializers),
        st.builds(jrnn.tied, inner, inner),
        st.builds(jrnn.skip, inner, inner, outputs=st.sampled_from(["all", "last"])),
        st.builds(jrnn.concat_states, inner),
    ),
    max_leaves=6,
)


sequences = st.recursive(
    st.one_of(
        st.builds(jrnn.bidirectional, cells, cells),
        st.builds(
            jrnn.conv,
            sizes,
            sizes,
            padding=st.sampled_from(["same", "causal"]),
            dilation=sizes,
            b_init=initializers,
        ),
        st.builds(whole, numbers, numbers),
    ),
    lambda inner: st.one_of(
        st.lists(st.one_of(inner, leaves), min_size=1, max_size=3).map(
            lambda parts: jrnn.stack(*parts)
        ),
        st.builds(jrnn.parallel, inner, inner),
        st.builds(jrnn.layer_norm, inner, epsilon=st.floats(0, 1)),
        st.builds(jrnn.dropout, inner, rates),
        *(
            st.builds(wrap, inner)
            for wrap in (jrnn.residual, jrnn.masked, jrnn.learned_carry)
        ),
    ),
    max_leaves=4,
)
pooled = st.builds(jrnn.stack, sequences, st.builds(jrnn.pool, st.just("max")), leaves)


def same_call(a, b):
    """Whether two things were made by the same calls, compared as Python values."""
    if isinstance(getattr(a, "description", None), tuple):
        if a.description.factory != b.description.factory:
            return False
        return same_call(a.description.arguments, b.description.arguments)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_call(a[k], b[k]) for k in a)
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same_call, a, b))
    if isinstance(a, np.dtype) or a in (jnp.float32, jnp.bfloat16, jnp.complex64):
        return np.dtype(a) == b
    if callable(a):
        return a is b or getattr(a, "__wrapped__", a) is getattr(b, "__wrapped__", b)
    return type(a) is type(b) and a == b


@pytest.mark.slow
@settings(max_examples=90, deadline=None)
@given(cell=st.one_of(cells, sequences, pooled))
def test_descriptions_come_back(cell):
    data = describe.to_json(cell)
    text = json.dumps(data, allow_nan=False)
    again = build.cell_from_json(json.loads(text))
    assert same_call(cell, again)
    assert describe.to_json(again) == data


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(forms=st.lists(st.tuples(st.sampled_from(table.DTYPES), shapes)).map(tuple))
def test_parameters_of_any_form_come_back(forms):
    cell = holder(forms)
    rng = np.random.default_rng(len(forms))
    params = jax.tree.map(
        lambda s: (9 * rng.normal(size=s.shape)).astype(s.dtype),
        jax.eval_shape(cell.init, jax.random.key(0), jnp.zeros(2)),
    )
    with tempfile.TemporaryDirectory() as folder:
        jrnn.save(f"{folder}/m", cell, params, jnp.zeros(2))
        equal(jrnn.load(f"{folder}/m").params, params)


input_trees = st.recursive(
    st.builds(
        jax.ShapeDtypeStruct, shapes, st.sampled_from(table.DTYPES).map(np.dtype)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=3),
        st.none(),
    ),
)


@given(x=input_trees)
def test_forms_of_inputs_come_back(x):
    data = json.loads(json.dumps(tensors.input_to_json(x)))
    assert tensors.input_from_json(data) == x


# What is refused


def nameless(x):
    return x


X = np.zeros(I, np.float32)
LSTM = jrnn.lstm(H)
PARAMS = drawn(LSTM, X)
NEST = jrnn.stack(jrnn.gru(2), jrnn.residual(jrnn.elman(2, nameless)))

UNDESCRIBABLE = {
    "function": (
        lambda: NEST,
        "model.cells[1].cell.activation, an argument of elman, is the function "
        "nameless, which has no name in files. Give it one and pass what comes back: "
        "nameless = jrnn.register('nameless', nameless).",
    ),
    "lambda": (
        lambda: jrnn.activation(lambda x: x),
        "model.f, an argument of activation, is the function <lambda>",
    ),
    "initialiser": (
        lambda: jrnn.linear(2, w_init=jax.nn.initializers.normal(0.1)),
        "model.w_init, an argument of linear, is the function normal.init, which has "
        "no name in files. Give it one and pass what comes back: f = "
        "jrnn.register('f', f).",
    ),
    "inner initialiser": (
        lambda: jrnn.lstm(2, w_x_init=jrnn.initializers.gatewise(nameless, 4)),
        "model.w_x_init.base, an argument of gatewise, is the function nameless",
    ),
    "array": (
        lambda: jrnn.dropout(LSTM, jnp.float32(0.5)),
        "model.rate, an argument of dropout, is an array of shape (), not a number of "
        "Python. Pass float(...)",
    ),
    "NumPy's number": (
        lambda: jrnn.layer_norm(LSTM, epsilon=np.float64(0.5)),
        "model.epsilon, an argument of layer_norm, is float64, not a number of Python",
    ),
    "not finite": (
        lambda: jrnn.irnn(2, float("inf")),
        "model.scale, an argument of irnn, is inf, which JSON has no number for",
    ),
    "too large": (
        lambda: jrnn.one_hot(2**63),
        "model.vocab_size, an argument of one_hot, is 9223372036854775808. Pass a "
        "smaller number.",
    ),
    "key": (
        lambda: holder((), note=jax.random.key(0)),
        "model.note, an argument of holder, is a random key.",
    ),
    "list": (
        lambda: holder([("int8", ())]),
        "model.forms, an argument of holder, is a list. Pass a tuple.",
    ),
    "in a tuple": (
        lambda: holder((("int8", {}),)),
        "model.forms[0][1], an argument of holder, is dict. A file holds numbers",
    ),
    "dtype": (
        lambda: jrnn.embed(2, 3, dtype=jnp.float8_e5m2),
        "model.dtype, an argument of embed, is float8_e5m2, which a file cannot hold. "
        "Use one of bool, int8",
    ),
    "stateless": (
        lambda: jrnn.stateless(nothing, lambda params, x, key: x),
        "model.apply, an argument of stateless, is the function <lambda>",
    ),
    "cell of functions": (
        lambda: jrnn.stack(jrnn.gru(2), jrnn.Cell(*LSTM)),
        "model.cells[1], an argument of stack, is a cell whose functions have no name. "
        "Make it by a factory, and that by its name: mycell = "
        "jrnn.register('mycell', mycell).",
    ),
    "changed cell": (
        lambda: LSTM._replace(step=LSTM.step),
        "model is a cell whose functions have no name.",
    ),
    "language model": (
        lambda: language_model(3),
        "model must be a cell, got LanguageModel. Pass its `evaluate`, or its `train`.",
    ),
    "factory": (
        lambda: jrnn.lstm,
        "model must be a cell, got function. The order is save(path, model, params, x)",
    ),
    "free keywords": (
        lambda: loose(3, bias=1),
        "model: loose was given bias as free keywords (**).",
    ),
}


@jrnn.register("loose")
def loose(size, **options):
    return jrnn.gru(size)


@pytest.mark.parametrize("name", UNDESCRIBABLE)
def test_models_that_have_no_name_in_files(tmp_path, name):
    make, message = UNDESCRIBABLE[name]
    (tmp_path / "m").write_text("old")
    with pytest.raises(TypeError, match="^save: " + re.escape(message)):
        jrnn.save(tmp_path / "m", make(), (), X)
    assert (tmp_path / "m").read_text() == "old"  # and nothing beside it
    assert len(list(tmp_path.iterdir())) == 1


def test_free_keywords_that_are_not_used(tmp_path):
    cell = loose(3)
    assert describe.to_json(cell)["arguments"] == {"size": 3}


def test_a_default_that_has_no_name_is_left_out():
    assert "draw" not in describe.to_json(holder(()))["arguments"]
    other = holder((), draw=jax.nn.initializers.normal(0.3))  # equal, but not the same
    with pytest.raises(TypeError, match=r"model\.draw, an argument of holder"):
        describe.to_json(other)


changed = lambda **k: PARAMS._replace(**k)
WRONG_PARAMS = {
    "another cell's": (
        lambda: drawn(jrnn.gru(H), X),
        "the parameters are those of another model: missing b; unexpected b_h, b_x.",
    ),
    "other sizes": (
        lambda: drawn(jrnn.lstm(3), X),
        "w_x has shape (2, 12), but the model's has (2, 16).",
    ),
    "whole numbers": (lambda: changed(b=np.ones(16, int)), "b is int64, but the model"),
    "complex": (
        lambda: changed(b=np.ones(16, np.complex64)),
        "b is complex64, but the model's is float32.",
    ),
    "number": (
        lambda: changed(b=1.0),
        "b must be an array, got float. Pass jax.tree.map(jnp.asarray, params).",
    ),
    "key": (
        lambda: changed(b=jax.random.key(0)),
        "b is a random key, which is no parameter.",
    ),
    "complex128": (
        lambda: changed(b=np.ones(16, complex)),
        "b is complex128, which a file cannot hold. Cast it to one of bool, int8",
    ),
    "float8": (
        lambda: changed(b=jnp.ones(16, jnp.float8_e4m3fn)),
        "b is float8_e4m3fn, which a file cannot hold.",
    ),
    "one name twice": (
        lambda: {"a.b": X, "a": {"b": X}},
        "params: the name 'a.b' is taken.",
    ),
    "a name of the format": (
        lambda: {"__metadata__": X},
        "params: the name '__metadata__' is taken.",
    ),
}


@pytest.mark.parametrize("name", WRONG_PARAMS)
def test_parameters_that_do_not_fit(tmp_path, name):
    make, message = WRONG_PARAMS[name]
    with pytest.raises(ValueError, match="^save: " + re.escape(message)):
        jrnn.save(tmp_path / "m", LSTM, make(), X)
    assert not list(tmp_path.iterdir())


def test_other_arguments_of_save(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(ValueError, match="lstm: init needs an example of one step"):
        jrnn.save(path, LSTM, PARAMS, np.zeros((3, I), np.float32))
    with pytest.raises(TypeError, match=r"save: x must be an example .* got list"):
        jrnn.save(path, LSTM, PARAMS, [X])
    with pytest.raises(TypeError, match=r"save: vocabulary must be a jrnn\.text\.Voc"):
        jrnn.save(path, LSTM, PARAMS, X, vocabulary="abc")
    with pytest.raises(ValueError, match=r"save: w_x has no value yet. Call save out"):
        jax.jit(lambda p: jrnn.save(path, LSTM, p, X))(PARAMS)
    assert not list(tmp_path.iterdir())


def at(data, *keys):
    """A part of a description."""
    for key in keys:
        data = data[key]
    return data


def put(*keys, value):
    """A change: set one entry of a description."""
    return lambda content: at(content, *keys[:-1]).__setitem__(keys[-1], value)


ARGUMENTS = "model", "arguments"
THE_GRU = (*ARGUMENTS, "cells", 3, *("arguments", "cell") * 2)
REFUSED = {
    "factory": (
        put("model", "factory", value="rnn"),
        'model is made by "rnn", a name that is not known here. If it is yours, '
        'register it before you load: jrnn.register("rnn", ...).',
    ),
    "factory, inside": (
        put(*ARGUMENTS, "cells", 0, value={"factory": "os.system", "arguments": {}}),
        'model.cells[0] is made by "os.system", a name that is not known here.',
    ),
    "factory of another type": (
        put("model", "factory", value=["stack"]),
        'model is made by ["stack"], a name',
    ),
    "argument": (
        put(*ARGUMENTS, "cells", 2, "arguments", "speed", value=3),
        "model.cells[2]: dropout has no argument 'speed'. It has cell, rate.",
    ),
    "missing argument": (
        lambda content: at(content, *ARGUMENTS, "cells", 2, "arguments").pop("rate"),
        "model.cells[2] cannot be made: ",
    ),
    "function": (
        put(*ARGUMENTS, "cells", 1, "arguments", "f", value={"function": "eval"}),
        'model.cells[1].f is the function "eval", a name that is not known here.',
    ),
    "activation": (
        put(*ARGUMENTS, "cells", 1, "arguments", "f", value="eval"),
        'model.cells[1].f must be an activation, got "eval".',
    ),
    "type": (
        put(*ARGUMENTS, "cells", 0, "arguments", "vocab_size", value="7"),
        'model.cells[0].vocab_size must be a whole number, got "7".',
    ),
    "true": (
        put(*ARGUMENTS, "cells", 0, "arguments", "vocab_size", value=True),
        "model.cells[0].vocab_size must be a whole number, got true.",
    ),
    "infinite": (
        put(*ARGUMENTS, "cells", 2, "arguments", "rate", value=float("inf")),
        "model.cells[2].rate must be a number, got Infinity.",
    ),
    "value": (
        put(*ARGUMENTS, "cells", 2, "arguments", "rate", value=1.5),
        "model.cells[2] cannot be made: dropout: rate must be in [0, 1), got 1.5.",
    ),
    "cell": (
        put(*ARGUMENTS, "cells", 2, "arguments", "cell", value=None),
        "model.cells[2].cell must be a cell, got null.",
    ),
    "no cells": (
        put(*ARGUMENTS, "cells", value=[]),
        "model cannot be made: stack: needs at least one cell.",
    ),
    "no arguments": (
        put("model", "arguments", value=None),
        "model: stack has no arguments.",
    ),
    "no cell at all": (put("model", value=[1, 2]), "model must be a cell, got [1, 2]."),
    "an initialiser": (
        put("model", value={"factory": "gain", "arguments": {}}),
        "model must be a cell, got {",
    ),
    "other words": (
        put("model", value={"class": "LSTM"}),
        'model is {"class": "LSTM"}, which has no meaning here.',
    ),
    "dtype": (
        put(*ARGUMENTS, "cells", 0, "arguments", "dtype", value={"dtype": "O"}),
        'model.cells[0].dtype is {"dtype": "O"}, which has no meaning here.',
    ),
    "gates": (
        put(*THE_GRU, "gates", value="z r n"),
        'cell.cell: the gates of gru are "z r n", but here they are "r z n".',
    ),
    "gates of a cell without": (
        put("model", "gates", value="i f g o"),
        'model: the gates of stack are "i f g o", but here they are null.',
    ),
    "newer": (
        put("format", value=2),
        "has format version 2, but this jrnn reads version 1. Install a newer one.",
    ),
    "older than any": (put("format", value=0), "is damaged: its content is not what"),
    "input": (put("input", value="float99[3]"), "input is 'float99[3]', which is no"),
    "input of another kind": (
        put("input", value="float32[2]"),
        "embed: x must be an integer token, got float32.",
    ),
    "other sizes": (
        put(*ARGUMENTS, "cells", 0, "arguments", "vocab_size", value=5),
        "0.table has shape (7, 2), but the model's has (5, 2).",
    ),
    "vocabulary": (
        put("vocabulary", value={"format": "?"}),
        "from_json: not a vocabulary",
    ),
    "nothing": (lambda content: content.pop("input"), " does not say its input."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_say_what_is_not_known(tmp_path, name):
    change, message = REFUSED[name]
    path = tmp_path / "m.safetensors"
    saved(path)
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        jrnn.load(rewritten(path, change))
    assert str(caught.value).startswith(str(path))


def with_arrays(change):
    def write(path):
        jrnn.save(path, LSTM, PARAMS, X)
        arrays = safetensors.numpy.load_file(path)
        change(arrays)
        rewritten(path, lambda content: None, arrays)

    return write


FOREIGN = {
    "missing": (
        with_arrays(lambda a: a.pop("b")),
        ": the parameters are those of another model: missing b.",
    ),
    "extra": (
        with_arrays(lambda a: a.update(bias=X)),
        ": the parameters are those of another model: unexpected bias.",
    ),
    "shape": (
        with_arrays(lambda a: a.update(b=X)),
        ": b has shape (2,), but the model's has (16,).",
    ),
    "dtype": (
        with_arrays(lambda a: a.update(b=np.ones(16, np.int32))),
        ": b is int32, but the model's is float32.",
    ),
    "a checkpoint": (
        lambda path: save_checkpoint(path, PARAMS),
        " is a checkpoint, which does not say of which model. Give jrnn.load the "
        "directory of its run, or read it by jrnn.train.load.",
    ),
    "weights of others": (
        lambda path: safetensors.numpy.save_file({"w": X}, path),
        " is a safetensors file, but not a model of jrnn: it has no entry "
        "'jrnn-model'.",
    ),
    "a text": (
        lambda path: path.write_text("hello, this is a text"),
        " is truncated or is not a safetensors file (",
    ),
    "empty": (lambda path: path.touch(), " is truncated or is not a safetensors file"),
    "no JSON": (
        lambda path: path.write_bytes(
            safetensors.numpy.save({"w": X}, {"jrnn-model": "[" * 99_999})
        ),
        " is damaged: its content is not what was saved in it.",
    ),
    "a folder": (
        lambda path: path.mkdir(),
        " is not a run of jrnn train: it has no config.json.",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_another_kind(tmp_path, name):
    write, message = FOREIGN[name]
    path = tmp_path / "m.safetensors"
    write(path)
    with pytest.raises(CheckpointError, match="^" + re.escape(f"{path}{message}")):
        jrnn.load(path)


def test_a_file_that_is_not_there(tmp_path):
    message = re.escape(f"There is no model at {tmp_path / 'm'}.")
    with pytest.raises(FileNotFoundError, match=message):
        jrnn.load(tmp_path / "m")


def test_numbers_that_jax_would_cut(tmp_path):
    wide = jrnn.lstm(2)
    jrnn.save(tmp_path / "m", wide, drawn(wide, np.ones(2)), np.ones(2))
    with jax.enable_x64(False):
        with pytest.raises(
            CheckpointError,
            match=r"w_x is float64, which JAX would cut to float32. Call "
            r'jax.config.update\("jax_enable_x64", True\) first.',
        ):
            jrnn.load(tmp_path / "m")


def test_inputs_that_jax_would_cut_are_no_hindrance(tmp_path):
    model = jrnn.stack(jrnn.embed(V, 2, dtype=jnp.float32), jrnn.linear(2))
    params = drawn(model, jnp.array(0, jnp.int64))
    jrnn.save(tmp_path / "m", model, params, jnp.array(0, jnp.int64))
    assert content_of(tmp_path / "m")["input"] == "int64[]"
    with jax.enable_x64(False):
        equal(jrnn.load(tmp_path / "m").params, params)
        jrnn.save(tmp_path / "m", LSTM, PARAMS, np.zeros(I))
    assert content_of(tmp_path / "m")["input"] == f"float32[{I}]"


# Names of one's own


def test_a_name_is_given_once():
    one = names.register("given once", lambda n: jrnn.gru(n))
    assert names.register("given once", one) is one
    assert names.register("given once", one.__wrapped__) is one
    with pytest.raises(
        ValueError,
        match=r"register: 'given once' stands for another function already, "
        r".*<lambda> of test_model_files. Choose another name, or restart Python",
    ):
        names.register("given once", lambda n: jrnn.lstm(n))
    with pytest.raises(ValueError, match="register: 'tanh' is a name of the library"):
        jrnn.register("tanh", jnp.tanh)
    with pytest.raises(ValueError, match="register: 'lstm' is a name of the library"):
        jrnn.register("lstm", lambda n: jrnn.lstm(n))
    with pytest.raises(TypeError, match="register: name must be a text, got <func"):
        jrnn.register(nameless, "nameless")
    with pytest.raises(TypeError, match="register: 'a cell' must stand for a function"):
        jrnn.register("a cell", LSTM)


def scaled(scale, base=None, *, shift=0):
    return lambda x: scale * x + shift


def test_a_definition_may_be_run_again():
    """As a cell of a notebook is; what it says must be the same, though."""
    first, again, other = scaled(2), scaled(2), scaled(3)
    assert first is not again
    jrnn.register("twice", first)
    cell = jrnn.elman(2, jrnn.register("twice", again))
    assert describe.to_json(cell)["arguments"]["activation"] == {"function": "twice"}
    assert describe.to_json(jrnn.elman(2, again)) == describe.to_json(cell)
    with pytest.raises(ValueError, match="'twice' stands for another function already"):
        jrnn.register("twice", other)
    defaults = [eval(f"lambda x, a={n}: x") for n in (1, 1, 2)]
    jrnn.register("defaults", defaults[0])
    jrnn.register("defaults", defaults[1])
    with pytest.raises(ValueError, match="'defaults' stands for another function"):
        jrnn.register("defaults", defaults[2])


def test_a_factory_that_returns_what_others_use():
    shared = jrnn.gru(2)
    mine = jrnn.register("shared gru", lambda: shared)
    assert mine().description.factory == "shared gru"
    assert shared.description.factory == "gru"


# Damage


def damaged(data: bytes, rng) -> bytes:
    """One accident: bits, bytes, pieces, ends."""
    data, place = bytearray(data), int(rng.integers(len(data)))
    header = 8 + struct.unpack("<Q", data[:8])[0]
    match int(rng.integers(6)):
        case 0:
            data[place] ^= 1 << int(rng.integers(8))
        case 1:  # in the header, where the words are
            data[int(rng.integers(header))] = int(rng.integers(32, 127))
        case 2:
            del data[place:]
        case 3:
            del data[place : place + int(rng.integers(1, 9))]
        case 4:
            data[place:place] = rng.bytes(int(rng.integers(1, 9)))
        case 5:  # a piece of it stands in another place
            there = int(rng.integers(len(data)))
            data[place : place + 16] = data[there : there + 16]
    return bytes(data)


@pytest.mark.slow
def test_no_damage_goes_unseen(tmp_path):
    path, rng = tmp_path / "m.safetensors", np.random.default_rng(1)
    cell, params = saved(path)
    whole, told = path.read_bytes(), describe.to_json(cell)
    refused = done = 0
    while done < 200:
        data = damaged(whole, rng)
        if data == whole:
            continue
        path.write_bytes(data)
        done += 1
        try:
            model, found, vocabulary = jrnn.load(path)
        except CheckpointError as error:
            assert str(error).startswith(str(path))
            refused += 1
            continue
        equal(found, params)
        assert describe.to_json(model) == told and vocabulary is None
    assert refused > 190


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    saved(path)
    old = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        jrnn.save(path, LSTM, PARAMS, X)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
