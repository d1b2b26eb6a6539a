"""Exported programs: what every format refuses, and files of programs of JAX."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file
from settings import ordinary_settings  # noqa: F401

import jrnn
from jrnn import text
from jrnn.export import Unsupported, to_c, to_hf, to_jax, to_onnx
from jrnn.train.checkpoint import digest

ROOT = Path(__file__).parents[1]
WORDS = text.build_vocabulary("a bcdéfg")


def ramp(size):
    """A cell of a user: h <- h + rate * x, with its parameters in a dictionary."""

    def init(key, x):
        return {"rate": jnp.full(size, 0.3), "start": {"h": jnp.zeros(size)}}

    def initial_carry(params, *, key=None):
        return [params["start"]["h"]]

    def step(params, carry, x, *, key=None):
        h = carry[0] + params["rate"] * x
        return [h], {"h": h, "x": x}

    return jrnn.Cell(init, initial_carry, step)


NUMBERS, TOKEN = (
    jax.ShapeDtypeStruct((3,), "float32"),
    jax.ShapeDtypeStruct((), "int32"),
)


def smooth():
    """A cell that is declared linear: parallel over time off the CPU."""
    return jrnn.diagonal(
        lambda key, x: jnp.full(x.shape, 0.5),
        lambda decay, *, key=None: jnp.zeros_like(decay),
        lambda decay, x, *, key=None: (decay, (1 - decay) * x),
        lambda decay, h, x: h,
    )


HALF = jrnn.initializers.identity(0.5)  # a sum that fades
STACKS = {  # model, an example of its input: what all formats hold
    "tanh": (jrnn.stack(jrnn.elman(5), jrnn.linear(2)), NUMBERS),
    "relu": (jrnn.elman(5, "relu", w_h_init=HALF), NUMBERS),
    "irnn": (jrnn.stack(jrnn.irnn(5, scale=0.5), jrnn.activation("silu")), NUMBERS),
    "gru": (jrnn.stack(jrnn.gru(5), jrnn.gru(4), jrnn.linear(2)), NUMBERS),
    "gru before": (jrnn.stack(jrnn.gru(5, reset="before"), jrnn.linear(2)), NUMBERS),
    "lstm": (jrnn.lstm(5), NUMBERS),
    "lstm of one-hot": (
        jrnn.stack(jrnn.one_hot(8), jrnn.lstm(5), jrnn.lstm(4), jrnn.linear(8)),
        TOKEN,
    ),
    "gru of embed": (
        jrnn.stack(
            jrnn.embed(8, 3),
            jrnn.stack(jrnn.gru(5), jrnn.irnn(4, scale=0.5)),
            jrnn.linear(8),
        ),
        TOKEN,
    ),
    "linear of one-hot": (jrnn.stack(jrnn.one_hot(8), jrnn.linear(2)), TOKEN),
}
OTHERS = {  # what only the programs of JAX hold
    "residual, layer_norm": (
        jrnn.stack(jrnn.residual(jrnn.layer_norm(jrnn.elman(3))), jrnn.linear(2)),
        NUMBERS,
    ),
    "learned_carry": (jrnn.learned_carry(jrnn.lstm(4)), NUMBERS),
    "window": (jrnn.stack(jrnn.window(3), jrnn.linear(2)), NUMBERS),
    "parallel": (jrnn.parallel(jrnn.gru(2), jrnn.lstm(4)), NUMBERS),
    "record": (jrnn.record(jrnn.lstm(4)), NUMBERS),
    "masked": (jrnn.masked(jrnn.gru(4)), (NUMBERS, jax.ShapeDtypeStruct((), "bool"))),
    "reset": (jrnn.reset(jrnn.gru(4)), (NUMBERS, jax.ShapeDtypeStruct((), "bool"))),
    "feedback": (
        jrnn.feedback(jrnn.stack(jrnn.elman(4), jrnn.linear(2))),
        (NUMBERS, jax.ShapeDtypeStruct((2,), "float32")),
    ),
    "diagonal": (smooth(), NUMBERS),
    "own": (ramp(3), NUMBERS),
}


def weights(model, x, seed=0):
    """Parameters that are all random: biases and first states too."""
    params = model.init(jax.random.key(seed), x)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    noisy = lambda k, a: a + 0.1 * jax.random.normal(k, a.shape, a.dtype)
    return jax.tree.unflatten(tree, map(noisy, keys, leaves))


def sequences(x, *sizes, seed=3):
    """Random inputs with leading axes."""

    def draw(leaf):
        shape, rng = (*sizes, *leaf.shape), np.random.default_rng(seed)
        if leaf.dtype == bool:
            return rng.random(shape) < 0.7
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return rng.integers(0, 8, shape, leaf.dtype)
        return rng.normal(size=shape).astype(leaf.dtype)

    return jax.tree.map(draw, x)


def expected(model, params, xs, carry=None):
    """What jrnn makes of a batch: last carries and outputs, as NumPy has them."""
    run = jax.jit(jax.vmap(lambda xs: jrnn.unroll(model, params, xs, carry)))
    return jax.tree.map(np.asarray, run(xs))


def by_place(prefix, tree):
    """Leaves named as in files: prefix.1.h for tree[1].h."""
    place = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {".".join([prefix, place(p)]).rstrip("."): leaf for p, leaf in leaves}


# Files of programs of JAX

DOCUMENTED = jrnn.export.__doc__
CODE = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.S)
READER = next(block for block in CODE if "deserialize" in block)


def test_the_docstring_has_the_same_lines():
    lines = [line.strip() for line in DOCUMENTED.splitlines() if line.strip()]
    for block in CODE:
        for line in filter(None, map(str.strip, block.splitlines())):
            assert line in lines, line


def in_a_program_without_jrnn(code, folder):
    """Run code in a process of its own, in a folder, that must not import jrnn."""
    code += "\nimport sys\nassert not [n for n in sys.modules if n.startswith('jrnn')]"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment.pop("PYTHONPATH", None)
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


EVERY = """
import pathlib, jax, numpy as np
from safetensors.numpy import load_file
for path in sorted(pathlib.Path(".").glob("*.jax")):
    tensors = load_file(path)
    params, start = ({n: v for n, v in tensors.items() if n.startswith(p)}
                     for p in ("params", "carry"))
    step, sequence = (jax.export.deserialize(bytearray(tensors[name])).call
                      for name in ("step", "sequence"))
    for given in sorted(pathlib.Path(".").glob(f"{path.stem}-*-in.npz")):
        xs = dict(np.load(given))
        xs = xs["x"] if set(xs) == {"x"} else xs
        batch, length = jax.tree.leaves(xs)[0].shape[:2]
        carry = {n: np.broadcast_to(v, (batch, *v.shape)) for n, v in start.items()}
        last, ys = sequence(params, carry, xs)
        each, step = [], jax.jit(step)
        for t in range(length):
            carry, y = step(params, carry, jax.tree.map(lambda a: a[:, t], xs))
            each.append(y)
        ys = ys if isinstance(ys, dict) else {"y": ys}
        each = [y if isinstance(y, dict) else {"y": y} for y in each]
        for name in last:
            np.testing.assert_allclose(carry[name], last[name], atol=1e-6, rtol=1e-6)
        for name in ys:
            got = np.stack([y[name] for y in each], 1)
            np.testing.assert_allclose(got, ys[name], atol=1e-6, rtol=1e-6)
        np.savez(str(given).replace("-in", "-out"), **ys, **last)
"""
SIZES = [(1, 4), (64, 9)]  # batch, length


@pytest.mark.slow
def test_programs_give_what_jrnn_gives(tmp_path):
    """In a process without jrnn: rows, lengths, step by step and at once."""
    wanted = {}
    for model_number, (model, x) in enumerate((STACKS | OTHERS).values()):
        params = weights(model, x)
        to_jax(tmp_path / f"{model_number}.jax", model, params, x)
        for batch, length in SIZES:
            xs = sequences(x, batch, length)
            named = {"x": xs}
            if isinstance(xs, tuple):
                named = {f"x.{i}": a for i, a in enumerate(xs)}
            stem = f"{model_number}-{batch}-{length}"
            np.savez(tmp_path / f"{stem}-in.npz", **named)
            wanted[stem] = expected(model, params, xs)
    in_a_program_without_jrnn(EVERY, tmp_path)
    assert len(wanted) == 2 * len(STACKS | OTHERS)
    for stem, (carry, ys) in wanted.items():
        got = dict(np.load(tmp_path / f"{stem}-out.npz"))
        for prefix, tree in ("carry", carry), ("y", ys):
            leaves = by_place(prefix, tree)
            assert leaves.keys() == {n for n in got if n.split(".")[0] == prefix}
            for name, b in leaves.items():
                a = got[name]
                assert a.shape == b.shape and a.dtype == b.dtype
                np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6, err_msg=stem)


@pytest.mark.slow
def test_the_lines_of_the_documentation_run(tmp_path):
    model = jrnn.models.language_model(8, hidden_size=6, layers=2).evaluate
    params = weights(model, TOKEN)
    to_jax(tmp_path / "mytext.jax", model, params, TOKEN, vocabulary=WORDS)
    show = "\nprint(json.dumps([symbols, np.asarray(y).tolist()]))"
    symbols, y = json.loads(in_a_program_without_jrnn(READER + show, tmp_path))
    assert symbols == list(WORDS.symbols)
    tokens = jnp.array([[3, 1, 4, 2], [1, 5, 7, 6]])
    _, ys = expected(model, params, tokens)
    np.testing.assert_allclose(y, ys[:, -1], atol=1e-6, rtol=1e-6)


@pytest.mark.slow
def test_a_file_says_what_is_in_it(tmp_path):
    model, x = STACKS["lstm of one-hot"]
    params = weights(model, x)
    file = to_jax(tmp_path / "a.jax", model, params, x, vocabulary=WORDS)
    tensors = load_file(file.path)
    assert file.path == tmp_path / "a.jax"
    assert file.sizes["file"] == file.path.stat().st_size
    assert file.sizes["weights"] == sum(a.nbytes for a in jax.tree.leaves(params))
    assert file.sizes["state"] == 4 * (5 + 5 + 4 + 4)
    assert {n for n in tensors if not n.startswith("params")} == {
        "step", "sequence", "carry.1.h", "carry.1.c", "carry.2.h", "carry.2.c"
    }  # fmt: skip
    np.testing.assert_array_equal(tensors["params.1.w_h"], params[1].w_h)
    with safetensors.safe_open(file.path, "numpy") as opened:
        content = json.loads(opened.metadata()["jrnn-programs"])
    assert content.pop("sha256") == digest(tensors, content)
    assert content["platforms"] == ["cpu", "cuda", "tpu"]
    assert content["input"] == "int32[]"
    assert text.from_json(content["vocabulary"]) == WORDS
    for name in "step", "sequence":
        program = jax.export.deserialize(bytearray(tensors[name]))
        assert program.platforms == ("cpu", "cuda", "tpu")


@pytest.mark.slow
def test_weights_keep_their_dtype(tmp_path):
    model, x = jrnn.gru(4), jax.ShapeDtypeStruct((3,), jnp.bfloat16)
    params = jax.tree.map(lambda p: p.astype(x.dtype), weights(model, NUMBERS))
    to_jax(tmp_path / "a.jax", model, params, x)
    tensors = load_file(tmp_path / "a.jax")
    assert tensors["params.w_h"].dtype == tensors["carry"].dtype == jnp.bfloat16
    xs = np.ones((2, 5, 3), jnp.bfloat16)
    program = jax.export.deserialize(bytearray(tensors["sequence"]))
    given = {n: v for n, v in tensors.items() if n.startswith("params")}
    _, ys = program.call(given, {"carry": np.zeros((2, 4), jnp.bfloat16)}, xs)
    # where it rounds to 8 bits depends on how a loop is compiled
    np.testing.assert_allclose(
        ys.astype(float), expected(model, params, xs)[1].astype(float), atol=0.02
    )


def of_whole_sequences():
    """Models that read a sequence in two directions."""
    both = lambda size: jrnn.bidirectional(jrnn.gru(size), jrnn.lstm(size))
    return jrnn.stack(both(4), jrnn.linear(3), both(3))


@pytest.mark.slow
def test_a_model_of_whole_sequences_has_no_step(tmp_path):
    model = of_whole_sequences()
    params = weights(model, NUMBERS)
    tensors = load_file(to_jax(tmp_path / "a.jax", model, params, NUMBERS).path)
    assert "step" not in tensors
    given = {n: a for n, a in tensors.items() if n.startswith("params")}
    start = {n: a for n, a in tensors.items() if n.startswith("carry")}
    program = jax.export.deserialize(bytearray(tensors["sequence"])).call
    for batch, length in SIZES:
        xs = sequences(NUMBERS, batch, length)
        carry = {n: np.broadcast_to(a, (batch, *a.shape)) for n, a in start.items()}
        _, ys = program(given, carry, xs)
        np.testing.assert_allclose(ys, expected(model, params, xs)[1], atol=1e-6)


@pytest.mark.parametrize("write", [to_onnx, to_c], ids=lambda f: f.__name__)
def test_other_formats_name_what_reads_the_whole_sequence(tmp_path, write):
    model = of_whole_sequences()
    with pytest.raises(Unsupported, match=r"model.cells\[0\] is bidirectional, which"):
        write(tmp_path / "a", model, weights(model, NUMBERS), NUMBERS)


def test_a_model_that_asks_for_its_length_is_refused(tmp_path):
    model = jrnn.gru(3)
    params = weights(model, NUMBERS)
    asks = lambda model, params, xs, carry: (carry, xs * 2 if xs.shape[0] > 3 else xs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jrnn.export.jax_programs.unroll", asks)
        with pytest.raises(Unsupported, match="asks how large a batch is or how long"):
            to_jax(tmp_path / "a", model, params, NUMBERS)
    assert list(tmp_path.iterdir()) == []


# What is refused

HAS_ONNX = importlib.util.find_spec("onnx") is not None
ONNX = pytest.param(to_onnx, marks=pytest.mark.skipif(not HAS_ONNX, reason="no onnx"))
EVERY_FORMAT = [to_jax, ONNX, to_c, to_hf]
IN_LAYERS = [to_onnx, to_c]  # formats with code of their own for each layer
WORDS_OF = {to_onnx: "an ONNX file", to_c: "a C file"}
GRU = jrnn.gru(4)
FITTING = GRU.init(jax.random.key(0), jnp.zeros(3, jnp.float32))


def with_nan(params, value=np.nan):
    return params._replace(b_h=params.b_h.at[5].set(value))


REFUSED = {
    "dropout": (
        lambda: (jrnn.stack(GRU, jrnn.dropout(GRU, 0.1)), None, NUMBERS),
        Unsupported,
        r"model.cells\[1\] is dropout, which draws random numbers. Export the cell "
        "without it",
    ),
    "dropout inside": (
        lambda: (
            jrnn.residual(jrnn.variational_dropout(jrnn.lstm(3), 0.1)),
            None,
            NUMBERS,
        ),
        Unsupported,
        "model.cell is variational_dropout, which draws",
    ),
    "NaN": (
        lambda: (GRU, with_nan(FITTING), NUMBERS),
        ValueError,
        "b_h holds NaN or infinity: the model has diverged",
    ),
    "infinity": (
        lambda: (GRU, with_nan(FITTING, -np.inf), NUMBERS),
        ValueError,
        "b_h holds NaN or infinity",
    ),
    "another model": (
        lambda: (jrnn.gru(5), FITTING, NUMBERS),
        ValueError,
        r"w_x has shape \(3, 12\), but the model's has \(3, 15\)",
    ),
    "another input": (lambda: (GRU, FITTING, jnp.zeros(2)), ValueError, "w_x has sha"),
    "language model": (
        lambda: (jrnn.models.language_model(8), None, TOKEN),
        TypeError,
        "model must be a cell, got LanguageModel. Pass its `evaluate`.",
    ),
    "order": (
        lambda: (FITTING, GRU, NUMBERS),
        TypeError,
        r"must be a cell, got GRUParams. The order is to_\w+\(path, model, params, x\)",
    ),
    "no input": (lambda: (GRU, FITTING, "x"), TypeError, "x must be an example of one"),
}


@pytest.mark.parametrize("write", EVERY_FORMAT, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", REFUSED)
def test_what_every_format_refuses(tmp_path, write, name):
    arguments, kind, message = REFUSED[name]
    with pytest.raises(kind, match=f"{write.__name__}: .*{message}"):
        write(tmp_path / "a", *arguments())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", EVERY_FORMAT, ids=lambda f: f.__name__)
def test_a_vocabulary_must_be_one(tmp_path, write):
    with pytest.raises(TypeError, match=r"vocabulary must be a jrnn.text.Vocab.* str"):
        write(tmp_path / "a", GRU, FITTING, NUMBERS, vocabulary="abc")


@pytest.mark.parametrize("write", EVERY_FORMAT, ids=lambda f: f.__name__)
def test_a_file_is_replaced_only_where_that_is_said(tmp_path, write):
    path = tmp_path / "a"
    if write is to_hf:
        path = path / "README.md"
        path.parent.mkdir()
    path.write_text("mine")
    given = tmp_path / "a", GRU, FITTING, NUMBERS
    with pytest.raises(FileExistsError, match=r"exists. Pass overwrite=True, or an"):
        write(*given)
    assert path.read_text() == "mine"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    write(*given, overwrite=True)
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize("write", EVERY_FORMAT, ids=lambda f: f.__name__)
def test_no_folder(tmp_path, write):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        write(tmp_path / "nowhere" / "a", GRU, FITTING, NUMBERS)
    if write is not to_hf:
        with pytest.raises(IsADirectoryError, match=r"is a folder. Name a file in it"):
            write(tmp_path, GRU, FITTING, NUMBERS)


# What formats with code of their own refuse


def own(x):
    return x


BFLOAT = jnp.dtype("bfloat16")
UNSUPPORTED = {  # model, input, message with {} for the format
    "a cell of one's own": (
        ramp(3), NUMBERS, "model is a cell of your own, which {} cannot hold. It holds "
        "stacks of elman, irnn, gru, lstm, embed, one_hot, linear, activation; to_jax"),
    "wrapped": (
        jrnn.stack(jrnn.gru(3), jrnn.stack(jrnn.residual(jrnn.gru(3)))), NUMBERS,
        "model.cells[1].cells[0] is residual, which {} cannot hold"),
    "registered": (
        jrnn.stack(jrnn.register("test_export.ramp", ramp)(3)), NUMBERS,
        "model.cells[0] is test_export.ramp, which {} cannot hold"),
    "a cell of the literature": (
        jrnn.stack(jrnn.lru(3), jrnn.linear(2)), NUMBERS,
        "model.cells[0] is lru, which {} cannot hold. It holds stacks of elman"),
    "activation of a layer": (
        jrnn.stack(jrnn.linear(2), jrnn.activation(own)), NUMBERS,
        "model.cells[1].f is a function of your own, which {} cannot hold here"),
    "softmax": (
        jrnn.activation(jax.nn.softmax), NUMBERS, "model.f is a function of your own"),
    "recurrent activation": (
        jrnn.elman(3, own), NUMBERS, "model.activation is a function of your own"),
    "type of a one-hot vector": (
        jrnn.stack(jrnn.one_hot(3, dtype=jnp.bfloat16)), TOKEN,
        "model.cells[0] is one_hot in bfloat16, but {} has float32"),
    "type of weights": (
        jrnn.gru(3), jax.ShapeDtypeStruct((3,), BFLOAT), "x is bfloat16[3], but {} "
        "reads a token or a float32[I]"),
    "type of a table": (
        jrnn.embed(3, 4, dtype=BFLOAT), TOKEN, "model is embed in bfloat16, but {} ha"),
    "two inputs": (
        jrnn.masked(jrnn.gru(3)), (NUMBERS, jax.ShapeDtypeStruct((), "bool")),
        "x is a tuple, but {} reads a token or a float32[I]"),
    "an image": (
        jrnn.activation("relu"), jax.ShapeDtypeStruct((2, 3), "float32"),
        "x is float32[2, 3], but {} reads"),
    "activation of a token": (
        jrnn.activation("relu"), TOKEN, "model is activation, which reads no token"),
}  # fmt: skip


@pytest.mark.parametrize("write", IN_LAYERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_a_format_cannot_hold_is_named(tmp_path, write, name):
    model, x, message = UNSUPPORTED[name]
    message = f"{write.__name__}: {message.format(WORDS_OF[write])}"
    with pytest.raises(Unsupported, match=re.escape(message)):
        write(tmp_path / "a", model, model.init(jax.random.key(0), x), x)
    assert list(tmp_path.iterdir()) == []
