"""`jrnn export` as its users meet it."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from settings import ordinary, ordinary_settings  # noqa: F401
from test_cli import TEXT, refused
from test_command import untrained
from test_export import (
    HAS_ONNX,
    OTHERS,
    READER,
    STACKS,
    in_a_program_without_jrnn,
    weights,
)
from test_export_c import needs_gcc, outputs, typed, written

import jrnn
from jrnn.cli import main
from jrnn.cli.results import measured, write_results
from jrnn.cli.run import RunDirectory, load_trained
from jrnn.text import encode
from jrnn.train import save
from jrnn.train.checkpoint import read

pytestmark = pytest.mark.slow

FORMATS = ["jax", "c", "hf"] + ["onnx"] * HAS_ONNX


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run at step 0, with results that were measured of it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "sea.txt").write_text(TEXT)
    made = untrained(folder / "sea.txt", folder / "sea", embed_size=6)
    with ordinary():
        parts = {
            "weights": {"file": "checkpoint.safetensors", "step": 0},
            "training": measured(3.25),
            "validation": measured(3.125, 111),
            "test": measured(3.5, 111),
        }
        write_results(RunDirectory(made), "finished", 0, parts)
    return made


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def done(capsys, *words):
    """What a command that succeeds has said."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert code == 0 and err == "", err
    return out


def logits(run, sentence):
    """Tokens of a text, and what jrnn makes of them."""
    model, params, vocabulary = jrnn.load(run)
    tokens = encode(vocabulary, sentence)
    return tokens, np.asarray(jrnn.unroll(model, params, jnp.asarray(tokens))[1])


# What is written


def test_a_run_as_programs_of_jax(capsys, run, tmp_path):
    told = done(capsys, "export", run, "--to", tmp_path / "mytext.jax")
    assert "program sequence" in told and "python -m pydoc jrnn.export" in told
    size = (tmp_path / "mytext.jax").stat().st_size
    assert f"{size:,} bytes" in told
    tokens, wanted = logits(run, "she sells")
    show = (
        f"\nprint(sequence(params, start1, np.array([{tokens.tolist()}], np.int32))[1]"
    )
    show = "\nstart1 = {n: a[None] for n, a in start.items()}" + show + ".tolist())"
    got = json.loads(in_a_program_without_jrnn(READER + show, tmp_path))
    np.testing.assert_allclose(got[0], wanted, atol=1e-6)


@pytest.mark.skipif(not HAS_ONNX, reason="no onnx")
def test_a_run_as_a_graph_of_onnx(capsys, run, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    done(capsys, "export", run, "--to", tmp_path / "a.onnx", "--format", "onnx")
    session = runtime.InferenceSession(tmp_path / "a.onnx")
    tokens, wanted = logits(run, "she sells")
    given = {"x": tokens[None], "carry.1": np.zeros((1, 12), np.float32)}
    np.testing.assert_allclose(session.run(["y"], given)[0][0], wanted, atol=1e-6)


@needs_gcc
def test_a_run_as_a_c_file(capsys, run, tmp_path):
    told = done(capsys, "export", run, "--to", tmp_path / "a.c", "--format", "c")
    command = told.strip().splitlines()[-1].removeprefix("Build it: ").split()
    subprocess.run(command, check=True)
    tokens, wanted = logits(run, "she sells")
    got = outputs(tmp_path / "a", typed(tokens))
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert set(written(tmp_path / "a", 300, 1).decode()) <= set(TEXT)


def test_what_eight_bits_cost_on_the_text_held_out(capsys, copied, tmp_path):
    to = "--to", tmp_path / "a.c", "--format", "c", "--int8"
    told = done(capsys, "export", copied, *to)
    described = json.loads((copied / "config.json").read_text())
    tokens = described["text"]["parts"][1]
    assert f"{tokens} steps" in told and "loss, int8" in told
    assert f"Over {tokens} steps" in (tmp_path / "a.c").read_text()
    # the text has changed since: then it is measured on what the model writes
    text = copied.parent / "other.txt"
    text.write_text(TEXT + "she")
    described["options"]["files"] = [str(text)]
    del described["sha256"]
    (copied / "config.json").write_text(json.dumps(described))
    assert "1,000 steps" in done(capsys, "export", copied, *to, "--overwrite")
    text.unlink()
    assert "1,000 steps" in done(capsys, "export", copied, *to, "--overwrite")


def test_a_folder_for_the_hub_has_the_figures_of_the_run(capsys, run, tmp_path):
    told = done(capsys, "export", run, "--to", tmp_path / "a", "--format", "hf")
    assert f'jrnn.load("{tmp_path / "a" / "model.safetensors"}")' in told
    _, params, vocabulary = jrnn.load(tmp_path / "a" / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, params, jrnn.load(run).params)
    assert vocabulary == jrnn.load(run).vocabulary
    card = (tmp_path / "a" / "README.md").read_text()
    for row in (
        "| training loss | 3.2500 nats, 4.6888 bits, perplexity 25.790 |",
        "| validation loss | 3.1250 nats, 4.5084 bits, perplexity 22.760, of 111 char",
        "| test loss | 3.5000 nats, 5.0494 bits, perplexity 33.115, of 111 charact",
        "| caution | only 111 for validation and 111 for test, in characters: a lo",
        "| text | sea.txt, 2,220 characters |",
        "| steps | 0 of 2500 |",
        "| --window | 10 |",
    ):
        assert row in card, row
    everything = card + (tmp_path / "a" / "config.json").read_text()
    assert str(run.parent) not in everything


def test_figures_of_other_weights_are_left_out(capsys, copied, tmp_path):
    to = "--to", tmp_path / "a", "--format", "hf"
    parts = {"weights": {"step": 5}, "test": measured(3.5, 111)}
    write_results(RunDirectory(copied), "finished", 5, parts)
    done(capsys, "export", copied, *to)
    card = (tmp_path / "a" / "README.md").read_text()
    assert "No figure was given." in card and "3.5000" not in card
    (copied / "results.json").unlink()
    done(capsys, "export", copied, *to, "--overwrite")
    assert (tmp_path / "a" / "README.md").read_text() == card
    # the best weights know the loss by which they were chosen
    trained = load_trained(copied, "last")
    identity = json.loads((copied / "config.json").read_text())["id"]
    facts = {"run": identity, "step": 7, "valid_loss": 2.5}
    save(copied / "best.safetensors", trained.params, facts)
    done(capsys, "export", copied, *to, "--overwrite")
    best = (tmp_path / "a" / "README.md").read_text()
    assert "| validation loss | 2.5000 nats" in best and "| steps | 7 of" in best
    done(capsys, "export", copied, *to, "--overwrite", "--checkpoint", "last")
    assert (tmp_path / "a" / "README.md").read_text() == card


@pytest.mark.parametrize("name", ["lstm of one-hot", "gru before", "masked", "window"])
def test_a_file_of_save_is_exported(capsys, tmp_path, name):
    model, x = (STACKS | OTHERS)[name]
    params = weights(model, x)
    jrnn.save(tmp_path / "a.safetensors", model, params, x)
    done(capsys, "export", tmp_path / "a.safetensors", "--to", tmp_path / "a.jax")
    tensors = load_file(tmp_path / "a.jax")
    leaves = [a for n, a in tensors.items() if n.startswith("params")]
    assert sum(a.size for a in leaves) == sum(a.size for a in jax.tree.leaves(params))
    to_c = "--to", tmp_path / "a.c", "--format", "c"
    if name in STACKS:
        done(capsys, "export", tmp_path / "a.safetensors", *to_c, "--int8")
        return
    message = refused(capsys, "export", tmp_path / "a.safetensors", *to_c)
    named = {
        "window": "model.cells[0] is window",
        "masked": "x is a tuple, but a C file",
    }
    assert named[name] in message and "to_c:" not in message


def test_the_choice_of_weights_does_nothing_with_a_file(capsys, tmp_path):
    model, x = STACKS["tanh"]
    jrnn.save(tmp_path / "a.safetensors", model, weights(model, x), x)
    words = "export", tmp_path / "a.safetensors", "--to", tmp_path / "a.c"
    words = [*map(str, words), "--format", "c", "--checkpoint", "last"]
    assert main(words) == 0
    assert "warning: --checkpoint does nothing with a file" in capsys.readouterr().err


# What is refused


def files_of(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_replaced_unasked(capsys, run, tmp_path, name):
    to = tmp_path / "a"
    mine = to / "README.md" if name == "hf" else to
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    words = "export", run, "--to", to, "--format", name
    message = refused(capsys, *words)
    assert (
        f"{mine} exists. Replace it by --overwrite, or choose another --to." in message
    )
    assert files_of(tmp_path) == {mine: b"mine"}
    done(capsys, *words, "--overwrite")
    assert mine.read_bytes() != b"mine"
    assert not [p for p in tmp_path.rglob("*.tmp")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--to RUN/best.safetensors", "is part of what is exported. Choose another"),
        ("--to RUN/config.json --overwrite", "is part of what is exported"),
        ("--to RUN/../sea/vocab.json --overwrite", "is part of what is exported"),
        ("--to RUN --format hf --overwrite", "is part of what is exported"),
        ("--to TMP", "is a folder. Name a file in it by --to."),
        ("--to TMP/no/a", "There is no folder TMP/no. Make it first."),
        ("--to TMP/no/a --format hf", "There is no folder TMP/no. Make it first."),
        ("--to TMP/file --format hf", "is a file. Name a folder by --to."),
        ("--to TMP/a --int8", "--int8 is for --format c."),
        ("--to TMP/a --format hf --int8", "--int8 is for --format c."),
    ],
)
def test_where_it_cannot_go(capsys, run, tmp_path, words, message):
    (tmp_path / "file").write_text("mine")
    before = files_of(run) | files_of(tmp_path)
    place = lambda s: s.replace("RUN", str(run)).replace("TMP", str(tmp_path))
    assert place(message) in refused(capsys, "export", run, *place(words).split())
    assert files_of(run) | files_of(tmp_path) == before


def truncated(run):
    path = run / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def changed(run):
    path = run / "checkpoint.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def diverged(run):
    params = jax.tree.map(lambda a: a * jnp.nan, load_trained(run, "last").params)
    facts = read(run / "checkpoint.safetensors")[1]
    save(run / "best.safetensors", params, facts)


def cut_vocabulary(run):
    (run / "vocab.json").write_text("[")


def unfinished(run):
    (run / "checkpoint.safetensors").unlink()


DAMAGED = {
    truncated: "checkpoint.safetensors is truncated",
    changed: "checkpoint.safetensors is damaged",
    diverged: "holds NaN or infinity: the model has diverged",
    cut_vocabulary: "vocab.json is damaged",
    unfinished: "has no checkpoint yet",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("damage", DAMAGED, ids=lambda f: f.__name__)
def test_a_damaged_run(capsys, copied, tmp_path, damage, name):
    damage(copied)
    words = "export", copied, "--to", tmp_path / "a", "--format", name
    assert DAMAGED[damage] in refused(capsys, *words)
    assert not (tmp_path / "a").exists()


def pickled(path):
    path.write_bytes(pickle.dumps({"w": [1.0]}))


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    save(path, {"w": jnp.ones(2)})


def of_an_unknown_factory(path):
    @jrnn.register("test_export_command.known")
    def known(size):
        return jrnn.gru(size)

    model, x = (
        jrnn.stack(known(3), jrnn.linear(2)),
        jax.ShapeDtypeStruct((3,), "float32"),
    )
    jrnn.save(path, model, weights(model, x), x)
    jrnn.files.names._registered.pop("test_export_command.known")


def with_nan(path):
    model, x = STACKS["lstm"]
    params = weights(model, x)
    jrnn.save(path, model, params._replace(b=params.b.at[3].set(jnp.nan)), x)


HOSTILE = {
    pickled: "is truncated or is not a safetensors file",
    empty: "is truncated or is not a safetensors file",
    foreign: "is a checkpoint, which does not say of which model",
    of_an_unknown_factory: '"test_export_command.known", a name that is not known here',
    with_nan: "b holds NaN or infinity: the model has diverged",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("make", HOSTILE, ids=lambda f: f.__name__)
def test_a_hostile_file(capsys, tmp_path, make, name):
    path = tmp_path / "a.safetensors"
    make(path)
    words = "export", path, "--to", tmp_path / "b", "--format", name
    assert HOSTILE[make] in refused(capsys, *words)
    assert list(tmp_path.iterdir()) == [path]


def test_no_run(capsys, tmp_path):
    to = "--to", tmp_path / "a"
    assert "There is no model at" in refused(capsys, "export", tmp_path / "no", *to)
    (tmp_path / "folder").mkdir()
    assert "is not a run" in refused(capsys, "export", tmp_path / "folder", *to)


def test_without_onnx_it_says_what_to_install(capsys, monkeypatch, run, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    words = "export", run, "--to", tmp_path / "a", "--format", "onnx"
    message = refused(capsys, *words)
    assert (
        "the package onnx is missing. Install it: pip install 'jrnn[onnx]'" in message
    )


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_may_not_be_written(capsys, run, tmp_path):
    tmp_path.chmod(0o500)
    assert "ermission" in refused(capsys, "export", run, "--to", tmp_path / "a")
