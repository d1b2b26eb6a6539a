"""`jrnn eval` and `jrnn sample` of a file that `jrnn.save` has written."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_command import TEXT, untrained

import jrnn
from jrnn.cli import main
from jrnn.cli.run import RunDirectory, load_trained, read_train
from jrnn.interop import from_torch
from jrnn.text import build_vocabulary, encode
from jrnn.train import evaluate

VOCABULARY = build_vocabulary(TEXT)
V = len(VOCABULARY)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "sea.txt"
    path.write_text(TEXT)
    return path


def brought_in():
    """A character model from a state dict of PyTorch."""
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    return from_torch(
        {
            "embedding.weight": normal(V, 5),
            "lstm.weight_ih_l0": normal(24, 5),
            "lstm.weight_hh_l0": normal(24, 6),
            "lstm.bias_ih_l0": normal(24),
            "lstm.bias_hh_l0": normal(24),
            "readout.weight": normal(V, 6),
            "readout.bias": normal(V),
        }
    )


def saved(path, model, params, x=None, vocabulary=VOCABULARY):
    x = jnp.array(0) if x is None else x
    jrnn.save(path, model, params, x, vocabulary=vocabulary)
    return path


def run(capsys, *words, code=0):
    assert main([*map(str, words)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return out, err


@pytest.mark.slow
def test_a_file_is_measured(text, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # or names are folded
    model, params = brought_in()
    path = saved(tmp_path / "sea.safetensors", model, params)
    out, err = run(capsys, "eval", path, text)
    tokens = encode(VOCABULARY, TEXT)
    nats, count = evaluate(model, params, tokens, rows=16, context=512)
    row = out.splitlines()[-2].replace("│", " ").split()
    assert row[0].endswith("sea.txt")
    assert row[1:3] == [f"{count:,}", f"{float(nats):.4f}"]
    assert not err and "of step" not in out
    out, err = run(capsys, "eval", path, text, "--checkpoint", "last")
    assert "--checkpoint does nothing for a file, which has one set of weights" in err


@pytest.mark.slow
def test_a_file_says_what_the_run_that_it_comes_from_says(text, tmp_path, capsys):
    untrained(text, tmp_path / "run", embed_size=5)
    trained = load_trained(tmp_path / "run", "best")
    model, params = trained.model.evaluate, trained.params
    path = saved(tmp_path / "m.safetensors", model, params, None, trained.vocabulary)
    same = "--length", 30, "--prime", "she ", "--seed", 3
    told = [run(capsys, "sample", source, *same) for source in (tmp_path / "run", path)]
    assert told[0] == told[1] and told[0][0].startswith("she ")
    rows = [
        run(capsys, "eval", source, text)[0].splitlines()[-2]
        for source in (tmp_path / "run", path)
    ]
    assert rows[0] == rows[1] and "sea.txt" in rows[0]


@pytest.mark.slow
def test_a_run_with_tied_weights_is_a_run_like_any_other(text, tmp_path, capsys):
    out, few = tmp_path / "run", "--steps 4 --eval-every 4 --save-every 4 --window 10"
    small = "--cell gru --hidden-size 8 --batch-size 4 --embed-size 5 --tie-weights"
    run(capsys, "train", text, "--out", out, *small.split(), *few.split())
    trained = load_trained(out, "last")
    assert sorted(trained.params._fields) == ["b", "cell", "embed"]
    assert "best.safetensors" in run(capsys, "eval", out)[0]
    assert run(capsys, "sample", out, "--length", 20)[0]
    run(capsys, "inspect", out, text, "--out", tmp_path / "page.html", "--ablate", 0)
    assert (tmp_path / "page.html").stat().st_size > 10_000
    # as before there was such an option
    path = out / "config.json"
    old = json.loads(path.read_text())
    assert old["options"].pop("tie_weights") is True and old.pop("sha256")
    path.write_text(json.dumps(old))
    assert not read_train(RunDirectory(out))[0].tie_weights


def refused(capsys, *words):
    _, err = run(capsys, *words, code=2)
    assert err.startswith("jrnn: ") and len(err.strip().splitlines()) <= 3
    return err


def test_a_file_has_no_text(tmp_path, capsys):
    path = saved(tmp_path / "sea.safetensors", *brought_in())
    message = "is a file and has no text. Name files to measure."
    assert message in refused(capsys, "eval", path)


def made(model, x):
    return model, model.init(jax.random.key(0), x), x


TOKEN, NUMBERS = jnp.array(0), jnp.zeros(3, jnp.float32)
ENDS = jrnn.embed(V, 3), jrnn.linear(V)
OTHERS = {
    "numbers": (
        lambda: made(jrnn.gru(4), NUMBERS),
        "gru: x must have shape (3,), got a scalar",
    ),
    "too few": (
        lambda: made(jrnn.stack(jrnn.embed(V, 3), jrnn.linear(2)), TOKEN),
        f"it must give {V} logits, one for each symbol that follows, but it gives an "
        "array of shape (2,)",
    ),
    "both ways": (
        lambda: made(
            jrnn.stack(ENDS[0], jrnn.bidirectional(jrnn.gru(2), jrnn.gru(2)), ENDS[1]),
            TOKEN,
        ),
        "it reads the whole text, what follows too",
    ),
    "two outputs": (
        lambda: made(jrnn.stack(ENDS[0], jrnn.parallel(ENDS[1], ENDS[1])), TOKEN),
        "but it gives tuple",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("command", ["eval", "sample"])
def test_what_is_no_language_model_is_refused(command, name, tmp_path, capsys):
    make, message = OTHERS[name]
    path = saved(tmp_path / "other.safetensors", *make())
    err = refused(capsys, command, path)
    assert "other.safetensors is no language model: from a token" in err
    assert message in " ".join(err.split())


def test_a_file_without_a_vocabulary_is_refused(tmp_path, capsys):
    path = saved(tmp_path / "sea.safetensors", *brought_in(), vocabulary=None)
    err = refused(capsys, "sample", path)
    assert "sea.safetensors has no vocabulary" in err
    assert "jrnn.save(path, model, params, x, vocabulary=...)" in err


def test_a_file_of_another_kind_is_refused(text, tmp_path, capsys):
    assert "sea.txt" in refused(capsys, "sample", text)
    assert "There is no run at" in refused(capsys, "sample", tmp_path / "nothing")
