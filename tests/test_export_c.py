"""C files, built by the compilers that are there and run beside jrnn."""

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_export import NUMBERS, STACKS, TOKEN, WORDS, expected, sequences, weights

import jrnn
from jrnn import _activation, text
from jrnn.export import to_c
from jrnn.generate import prime, sample

pytestmark = pytest.mark.slow

STRICT = "-std=c99 -Wall -Wextra -Werror -pedantic".split()
CHECKED = [*STRICT, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
GCC = shutil.which("gcc") or shutil.which("cc")
CLANG = shutil.which("clang")
HAS_ZIG = importlib.util.find_spec("ziglang") is not None
needs_gcc = pytest.mark.skipif(GCC is None, reason="there is no C compiler here")


def built(source, *options, compiler=None):
    """Compile a file; the program, or the library with -shared."""
    program = source.with_suffix(".out")
    compiler = compiler or [GCC]
    command = [*compiler, *options, "-o", str(program), str(source), "-lm"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    return program


def typed(xs):
    """A sequence as the program reads it, exactly."""
    rows = np.asarray(xs).reshape(len(xs), -1)
    word = str if rows.dtype.kind in "iu" else lambda a: repr(float(a))
    return "\n".join(" ".join(map(word, row)) for row in rows.tolist())


def outputs(program, words):
    run = subprocess.run([program], input=words, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    return np.array([list(map(float, row.split())) for row in run.stdout.splitlines()])


def in_eight_bits(params):
    """What int8 with a scale for each row stands for, in NumPy by hand."""

    def rounded(w):
        if w.ndim < 2:
            return w
        w, rows = np.asarray(w), []
        for row in w:
            step = np.float32(max(abs(row)) / np.float32(127))
            rows.append(np.round(row / step).astype(np.int8) * step)
        return jnp.array(rows)

    return jax.tree.map(rounded, params)


@pytest.mark.parametrize(
    "compiler",
    [
        pytest.param(GCC, marks=needs_gcc, id="gcc"),
        pytest.param(
            CLANG,
            marks=pytest.mark.skipif(CLANG is None, reason="there is no clang here"),
            id="clang",
        ),
    ],
)
@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("name", STACKS)
def test_a_program_gives_what_jrnn_gives(tmp_path, name, int8, compiler):
    """Over 1,000 steps, under sanitizers, without a warning."""
    model, x = STACKS[name]
    params = weights(model, x)
    file = to_c(tmp_path / "a.c", model, params, x, int8=int8)
    xs = sequences(x, 1, 1000)
    program = built(file.path, *CHECKED, compiler=[compiler])
    got = outputs(program, typed(xs[0]))
    if int8:
        params = in_eight_bits(split_gates(name, params))
        params = joined_gates(name, params)
    _, wanted = expected(model, params, xs)
    assert got.shape == wanted[0].shape
    np.testing.assert_allclose(got, wanted[0], atol=1e-6, rtol=1e-6)


def split_gates(name, params):
    """With the reset before the product, w_h is two matrices, each with its scales."""
    if name != "gru before":
        return params
    rz, n = jnp.split(params[0].w_h, [10], axis=1)
    return (params[0]._replace(w_h=(rz, n)), *params[1:])


def joined_gates(name, params):
    if name != "gru before":
        return params
    joined = jnp.concatenate(params[0].w_h, axis=1)
    return (params[0]._replace(w_h=joined), *params[1:])


@pytest.mark.skipif(not HAS_ZIG, reason="ziglang, which carries clang, is missing")
def test_clang_builds_it_without_a_warning(tmp_path):
    for number, (name, (model, x)) in enumerate(STACKS.items()):
        params = weights(model, x)
        path = tmp_path / f"{number}.c"
        to_c(path, model, params, x, int8=number % 2 == 0, overwrite=True)
        clang = [sys.executable, "-m", "ziglang", "cc"]
        program = built(path, *STRICT, "-O2", compiler=clang)
        if number % 2:
            xs = sequences(x, 1, 50)
            wanted = expected(model, params, xs)[1][0]
            got = outputs(program, typed(xs[0]))
            np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=1e-6, err_msg=name)


@pytest.mark.skipif(not HAS_ZIG, reason="ziglang, which carries clang, is missing")
@pytest.mark.parametrize("int8", [False, True], ids=["float", "int8"])
def test_a_step_is_compiled_for_a_microcontroller(tmp_path, int8):
    """A Cortex-M4: no more than a kilobyte and a half of code, and the weights."""
    model, x = STACKS["gru of embed"]
    file = to_c(tmp_path / "a.c", model, weights(model, x), x, int8=int8)
    target = "-target thumb-linux-musleabihf -mcpu=cortex_m4 -fno-sanitize=all".split()
    clang = [sys.executable, "-m", "ziglang", "cc", *target]
    options = *STRICT, "-Os", "-c", "-DMODEL_NO_MAIN"
    made = built(file.path, *options, compiler=clang)
    table = subprocess.run(["size", "-A", made], capture_output=True, text=True).stdout
    bytes_in = lambda kind: sum(
        map(int, re.findall(rf"^\.{kind}\S*\s+(\d+)", table, re.M))
    )
    assert 200 < bytes_in("text") < 1500
    assert 0 <= bytes_in("rodata") - file.sizes["weights"] < 64  # some for alignment
    assert bytes_in("data") == bytes_in("bss") == 0


class State(ctypes.Structure):
    """`model_state` of the LSTM of 5 units."""

    _fields_ = [("h", ctypes.c_float * 5), ("c", ctypes.c_float * 5)]


@needs_gcc
def test_states_are_the_callers(tmp_path):
    """Two sequences in turn, each with its state; the state is jrnn's carry."""
    model, x = STACKS["lstm"]
    params = weights(model, x)
    file = to_c(tmp_path / "a.c", model, params, x)
    options = *STRICT, "-O2", "-shared", "-fPIC", "-DMODEL_NO_MAIN"
    library = ctypes.CDLL(str(built(file.path, *options)))
    xs = sequences(x, 2, 20)
    states, y = [State(), State()], (ctypes.c_float * 5)()
    for state in states:
        state.h[:] = state.c[:] = [9.0] * 5
        library.model_start(ctypes.byref(state))
        assert list(state.h) == list(state.c) == [0.0] * 5
    ys = np.zeros((2, 20, 5), np.float32)
    for t in range(20):
        for row, state in enumerate(states):
            given = (ctypes.c_float * 3)(*xs[row, t].tolist())
            library.model_step(ctypes.byref(state), given, y)
            ys[row, t] = y[:]
    carry, wanted = expected(model, params, xs)
    np.testing.assert_allclose(ys, wanted, atol=1e-6)
    for row, state in enumerate(states):
        np.testing.assert_allclose(state.h[:], carry.h[row], atol=1e-6)
        np.testing.assert_allclose(state.c[:], carry.c[row], atol=1e-6)


@needs_gcc
def test_it_needs_no_heap_and_no_library_but_math(tmp_path):
    model, x = STACKS["gru before"]
    file = to_c(tmp_path / "a.c", model, weights(model, x), x)
    program = file.path.read_text()
    assert set(re.findall(r"#include <(.*)>", program.partition("#ifndef")[0])) == {
        "math.h"
    }
    assert not re.search(r"\b(malloc|calloc|realloc|free)\b", program)
    options = *STRICT, "-O2", "-c", "-DMODEL_NO_MAIN"
    symbols = subprocess.run(
        ["nm", "-u", built(file.path, *options)], capture_output=True, text=True
    ).stdout.split()
    assert set(symbols) - {"U", "_GLOBAL_OFFSET_TABLE_"} <= {
        "tanhf",
        "__stack_chk_fail",
    }


XS = np.linspace(-4, 4, 3 * 41).astype(np.float32).reshape(41, 3)


@needs_gcc
@pytest.mark.parametrize("name", _activation.NAMES)
def test_every_activation_in_a_layer_and_in_a_cell(tmp_path, name):
    model = jrnn.stack(jrnn.activation(name), jrnn.elman(3, name))
    params = weights(model, NUMBERS)
    xs = XS / 4
    file = to_c(tmp_path / "a.c", model, params, NUMBERS)
    got = outputs(built(file.path, *STRICT), typed(xs))
    wanted = expected(model, params, xs[None])[1][0]
    np.testing.assert_allclose(got, wanted, atol=1e-6, rtol=1e-6)
    to_c(file.path, jrnn.activation(name), (), NUMBERS, overwrite=True)
    got = outputs(built(file.path, *STRICT), typed(XS))
    np.testing.assert_allclose(got, getattr(jax.nn, name)(XS), atol=1e-6, rtol=1e-6)


@needs_gcc
@pytest.mark.parametrize("kind", ["embed", "one_hot", "one_hot, linear"])
def test_a_token_that_does_not_exist_gives_zeros(tmp_path, kind):
    model = {
        "embed": jrnn.embed(8, 3),
        "one_hot": jrnn.one_hot(8),
        "one_hot, linear": jrnn.stack(jrnn.one_hot(8), jrnn.linear(3)),
    }[kind]
    params = weights(model, TOKEN)
    table = {
        "embed": lambda: np.asarray(params.table),
        "one_hot": lambda: np.eye(8),
        "one_hot, linear": lambda: np.asarray(params[1].w),
    }[kind]()
    bias = np.asarray(params[1].b) if "linear" in kind else 0
    tokens = [-1, 0, 8, 7, 999999999, -999999999, 3]
    file = to_c(tmp_path / "a.c", model, params, TOKEN)
    got = outputs(built(file.path, *CHECKED), typed(tokens))
    for token, y in zip(tokens, got, strict=True):
        row = table[token] if 0 <= token < 8 else np.zeros_like(table[0])
        np.testing.assert_allclose(y, row + bias, rtol=1e-6)


@needs_gcc
@pytest.mark.parametrize(
    ("x", "words", "message", "lines"),
    [
        (TOKEN, "3 x 1", "not a token: x", 1),
        (TOKEN, "1.5", "not a token: 1.5", 0),
        (TOKEN, "3 9999999999999999999999", "not a token: 9999999999999999999999", 1),
        (NUMBERS, "1 2 3\n4 5", "the last input has 2 of 3 numbers", 1),
        (NUMBERS, "1 two 3", "not a number: two", 0),
        (NUMBERS, "1 2 " + "3" * 70, "not a number: " + "3" * 63, 0),
        (NUMBERS, "", "", 0),
    ],
)
def test_what_main_cannot_read(tmp_path, x, words, message, lines):
    layer = jrnn.one_hot(8) if x is TOKEN else jrnn.linear(2)
    file = to_c(tmp_path / "a.c", layer, weights(layer, x), x)
    program = built(file.path, *CHECKED)
    run = subprocess.run([program], input=words, capture_output=True, text=True)
    assert run.returncode == bool(message)
    assert run.stderr.strip() == message and len(run.stdout.splitlines()) == lines


# Text


def written(program, *words):
    """What a program writes, as bytes."""
    command = [program, "write", *map(str, words)]
    run = subprocess.run(command, capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    return run.stdout


@needs_gcc
@pytest.mark.parametrize("level", ["char", "byte"])
def test_the_likeliest_text_is_that_of_jrnn(tmp_path, level):
    vocabulary = text.build_vocabulary('a bé\n\x00\ud800?%\\"', level)
    size = len(vocabulary)
    model = jrnn.models.language_model(size, cell=jrnn.gru, hidden_size=12).evaluate
    params = weights(model, TOKEN)
    first, cell, (w, b) = jax.tree.map(lambda a: 5 * a, params)
    params = first, cell, jrnn.LinearParams(w, 0 * b)
    file = to_c(tmp_path / "a.c", model, params, TOKEN, vocabulary=vocabulary)
    file.path.read_bytes().decode("ascii")
    got = written(built(file.path, *CHECKED), 200, 0, 0)
    start = prime(model, params, text.encode(vocabulary, "\n"))
    tokens = np.asarray(sample(model, params, None, start, 200, greedy=True)[1])
    assert len(set(tokens.tolist())) > 3
    symbols = (vocabulary.symbols[token] for token in tokens)
    if level == "byte":
        assert got == bytes(map(ord, symbols))
    else:
        assert got == "".join(symbols).encode("utf-8", "surrogatepass")


@needs_gcc
def test_symbols_are_drawn_by_their_probabilities(tmp_path):
    vocabulary = text.build_vocabulary("abc")
    model = jrnn.stack(jrnn.one_hot(3), jrnn.linear(3))
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.5, 1e-30]])
    w, b = jnp.asarray(logits, jnp.float32), jnp.zeros(3, jnp.float32)
    params = ((), jrnn.LinearParams(w, b))
    file = to_c(tmp_path / "a.c", model, params, TOKEN, vocabulary=vocabulary)
    program = built(file.path, *STRICT, "-O2")
    for temperature in 1.0, 2.0:
        drawn = written(program, 40000, 7, temperature).decode()
        p = np.exp(logits / temperature)
        p /= p.sum(axis=1, keepdims=True)
        for i, before in enumerate("abc"):
            follow = re.findall(f"(?={before}(.))", drawn)
            for j, after in enumerate("abc"):
                share = follow.count(after) / len(follow)
                error = np.sqrt(p[i, j] * (1 - p[i, j]) / len(follow))
                assert abs(share - p[i, j]) < 4.5 * error + 1e-9
    assert written(program, 500, 7) == written(program, 500, 7, 1)
    assert written(program, 500, 7) != written(program, 500, 8)


def test_only_a_model_of_text_writes(tmp_path):
    model = jrnn.stack(jrnn.one_hot(8), jrnn.linear(2))
    params = weights(model, TOKEN)
    file = to_c(tmp_path / "a.c", model, params, TOKEN, vocabulary=WORDS)
    assert "write" not in file.path.read_text().replace("written", "")


# What the file says of itself


@pytest.mark.parametrize("name", STACKS)
def test_weights_are_exact_and_counted(tmp_path, name):
    model, x = STACKS[name]
    params = weights(model, x)
    file = to_c(tmp_path / "a.c", model, params, x)
    program = file.path.read_text()
    numbers = re.findall(r"-?0x[0-9a-f.]+p[-+]\d+(?=f)", program)
    got = np.sort([float.fromhex(number) for number in numbers])
    wanted = np.sort(np.concatenate([np.ravel(a) for a in jax.tree.leaves(params)]))
    np.testing.assert_array_equal(got, wanted)
    assert file.sizes["weights"] == 4 * len(got)
    assert f"weights {file.sizes['weights']:,} (float32), state" in program
    assert f"state {file.sizes['state']:,}, a step's arrays" in program
    assert f"on the stack {file.sizes['stack']:,}, this" in program
    assert file.sizes["file"] == len(program) == file.path.stat().st_size
    assert max(map(len, program.splitlines())) <= 88
    tables = re.findall(r"static const float \w+\[\d+\] = \{.*?\};\n\n", program, re.S)
    comment = program[: program.index("*/") + 4]
    code = len(program) - len(comment) - sum(map(len, tables))
    assert f"weights {code:,}." in comment and file.sizes["code"] == code


def test_extreme_numbers_are_exact(tmp_path):
    values = [1e-45, -1e-40, 3.4028235e38, 1.1754944e-38, -0.0, 0.1, -1.0]
    b = jnp.array(values, jnp.float32)
    model = jrnn.linear(len(values))
    params = jrnn.LinearParams(jnp.zeros((3, len(values)), jnp.float32), b)
    program = to_c(tmp_path / "a.c", model, params, NUMBERS).path.read_text()
    numbers = re.search(r"b1\[7\] = \{(.*?)\}", program, re.S)[1].split(",")
    got = [float.fromhex(number.strip().rstrip("f")) for number in numbers]
    assert list(map(str, got)) == [str(float(v)) for v in np.float32(values)]


@needs_gcc
@pytest.mark.parametrize("name", ["lstm of one-hot", "gru of embed", "gru before"])
def test_the_state_has_the_size_that_is_stated(tmp_path, name):
    model, x = STACKS[name]
    file = to_c(tmp_path / "a.c", model, weights(model, x), x)
    size = f"sizeof(model_state) == {file.sizes['state']} ? 1 : -1"
    with file.path.open("a") as program:
        program.write(f"typedef char has_this_size[{size}];\n")
    built(file.path, *STRICT)


@pytest.mark.parametrize("name", ["lstm of one-hot", "gru", "gru of embed"])
def test_the_loss_of_accuracy_is_what_was_measured(tmp_path, name):
    model, x = STACKS[name]
    params = weights(model, x)
    xs = sequences(x, 300, seed=5)
    file = to_c(tmp_path / "a.c", model, params, x, int8=True, xs=xs)
    _, (ys,) = expected(model, params, xs[None])
    _, (rough,) = expected(model, in_eight_bits(params), xs[None])
    found = file.measured
    assert found["steps"] == 300
    largest = np.abs(ys - rough).max()
    assert 0 < largest == pytest.approx(found["largest difference"], rel=1e-3)
    relative = np.sqrt(np.mean((ys - rough) ** 2) / np.mean(ys**2))
    assert found["relative difference"] == pytest.approx(relative, rel=1e-3)
    program = file.path.read_text()
    assert (
        f"Over 300 steps outputs differ from those with float32 by {largest:.2g}"
        in (program)
    )
    assert f"{relative:.2%} of their root mean square" in program
    if x is TOKEN:
        for key, y in ("nats", ys), ("nats in int8", rough):
            p = y[:-1] - np.log(np.exp(y[:-1]).sum(-1, keepdims=True))
            nats = -np.mean(p[np.arange(299), xs[1:]])
            assert found[key] == pytest.approx(nats, rel=1e-5)
            assert f"{nats:.4f}" in program
    else:
        assert "nats" not in found and "Loss per token" not in program


@pytest.mark.parametrize("name", ["linear of one-hot", "lstm", "lstm of one-hot"])
def test_the_loss_of_accuracy_is_measured_without_data_too(tmp_path, name):
    model, x = STACKS[name]
    file = to_c(tmp_path / "a.c", model, weights(model, x), x, int8=True)
    assert file.measured["steps"] == 1000
    assert 0 < file.measured["relative difference"] < 0.05
    assert ("nats" in file.measured) == (name == "lstm of one-hot")


def test_a_row_of_zeros_in_eight_bits(tmp_path):
    model = jrnn.linear(2)
    params = jrnn.LinearParams(jnp.zeros((3, 2), jnp.float32), jnp.ones(2, jnp.float32))
    file = to_c(tmp_path / "a.c", model, params, NUMBERS, int8=True)
    assert file.measured["largest difference"] == 0
    assert "w1_scale[3] = {\n    0x0p+0f, 0x0p+0f, 0x0p+0f\n}" in file.path.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xs": np.zeros((5, 3))}, "to_c: xs is for int8=True, whose cost is measured"),
        (
            {"xs": np.zeros((5, 2)), "int8": True},
            r"to_c: xs must have shape \(T, 3\), at least two steps, got \(5, 2\)",
        ),
        ({"xs": np.zeros((1, 3)), "int8": True}, r"at least two steps, got \(1, 3\)"),
        ({"vocabulary": WORDS}, "vocabulary has 8 symbols, but the model reads no tok"),
    ],
)
def test_what_is_refused(tmp_path, options, message):
    model = jrnn.gru(4)
    with pytest.raises(ValueError, match=message):
        to_c(tmp_path / "a.c", model, weights(model, NUMBERS), NUMBERS, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    model = jrnn.one_hot(9)
    with pytest.raises(ValueError, match="has 8 symbols, but the model reads 9 tokens"):
        to_c(tmp_path / "a.c", model, (), TOKEN, vocabulary=WORDS)
