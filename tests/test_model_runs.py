"""`jrnn.load` of a run: what the command has trained, in a script."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_command import TEXT, untrained

import jrnn
from jrnn.cli import main
from jrnn.cli import run as cli_run
from jrnn.cli.run import load_trained
from jrnn.files import runs
from jrnn.generate import prime, sample
from jrnn.text import decode, encode
from jrnn.train import CheckpointError

pytestmark = pytest.mark.slow  # they train runs

SMALL = (
    "--cell lstm --hidden-size 12 --layers 2 --dropout 0.2 --steps 20 --eval-every 10 "
    "--sample-every 0 --save-every 10 --log-every 5 --batch-size 4 --window 10 "
    "--warmup 3"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with best weights, one whose last weights are a mean, one just begun."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "sea.txt").write_text(TEXT)
    words = {
        "best": SMALL,
        "last": [*SMALL, "--split", "1", "0", "0", "--average", "0.9"],
    }
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
            for name, options in words.items():
                files = folder / "sea.txt", "--out", folder / name
                assert main([*map(str, ("train", *files, *options))]) == 0
    untrained(folder / "sea.txt", folder / "begun", embed_size=5)
    return folder


@pytest.mark.parametrize("name", ["best", "last", "begun"])
def test_a_run_is_loaded_as_the_command_does(folder, name):
    model, params, vocabulary = jrnn.load(folder / name)
    trained = load_trained(folder / name, "best")
    assert vocabulary == trained.vocabulary
    assert jax.tree.structure(params) == jax.tree.structure(trained.params)
    for a, b in zip(
        jax.tree.leaves(params), jax.tree.leaves(trained.params), strict=True
    ):
        assert isinstance(a, jax.Array) and a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    tokens = encode(vocabulary, "she sells")
    expected = jrnn.unroll(trained.model.evaluate, params, tokens)[1]
    assert (jrnn.unroll(model, params, tokens)[1] == expected).all()
    assert runs.FORMAT == cli_run.FORMAT


def test_a_script_writes_what_the_command_writes(folder, tmp_path, capsys):
    model, params, vocabulary = jrnn.load(str(folder / "best"))
    # one file, to be given away
    path = tmp_path / "sea.safetensors"
    jrnn.save(path, model, params, jnp.array(0), vocabulary=vocabulary)
    model, params, vocabulary = jrnn.load(path)
    start = prime(model, params, encode(vocabulary, "she "))
    _, tokens = sample(model, params, None, start, 30, greedy=True)
    words = "sample", folder / "best", "--prime", "she ", "--length", 30, "--greedy"
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    assert capsys.readouterr().out == "she " + decode(vocabulary, tokens) + "\n"


def edit(name, change):
    def damage(run):
        data = json.loads((run / name).read_text())
        change(data)
        data.pop("sha256", None)  # as the command says how to
        (run / name).write_text(json.dumps(data))

    return damage


def cut(name):
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-9])


def gone(name):
    return lambda run: (run / name).unlink()


def options(**values):
    return edit("config.json", lambda data: data["options"].update(values))


DAMAGE = {
    "no config": (
        lambda run: (run / "config.json").unlink(),
        "is not a run of jrnn tr",
    ),
    "config cut": (cut("config.json"), r"config\.json is damaged: "),
    "sealed": (
        lambda run: (run / "config.json").write_text(
            (run / "config.json").read_text().replace('"layers": 2', '"layers": 3')
        ),
        r"config\.json is damaged, or was edited",
    ),
    "another format": (
        edit("config.json", lambda data: data.update(format="jrnn-run-9")),
        r"config\.json is not the configuration of a run",
    ),
    "another cell": (options(cell="rnn"), "it does not describe a model"),
    "a cell of no name": (options(cell=["lstm"]), "it does not describe a model"),
    "a size that is none": (options(layers=2.5), "it does not describe a model"),
    "no size at all": (
        options(hidden_size=0),
        "config.json: lstm: hidden_size must be",
    ),
    "another size": (options(hidden_size=13), "holds another model: .* has shape"),
    "no vocabulary": (
        lambda run: (run / "vocab.json").unlink(),
        "it has no vocab.json",
    ),
    "vocabulary cut": (cut("vocab.json"), r"vocab\.json is damaged"),
    "another vocabulary": (
        edit("vocab.json", lambda data: data["symbols"].reverse()),
        r"vocab\.json is damaged or from another run",
    ),
    "no vocabulary in it": (
        edit("vocab.json", lambda data: data.update(format="?")),
        r"vocab\.json is damaged: from_json: not a vocabulary",
    ),
    "weights cut": (cut("best.safetensors"), "is truncated or is not a safetensors"),
    "of another run": (
        edit("config.json", lambda data: data.update(id="another")),
        "belongs to another run than the config.json beside it",
    ),
    "no best": (
        gone("best.safetensors"),
        r"best\.safetensors is missing beside .*checkpoint\.safetensors",
    ),
    "no weights": (
        lambda run: [path.unlink() for path in run.glob("*.safetensors")],
        r"has no checkpoint yet\. Train it with\n  jrnn train --resume ",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_runs(folder, tmp_path, name):
    damage, message = DAMAGE[name]
    shutil.copytree(folder / "best", tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(CheckpointError, match=message) as caught:
        jrnn.load(tmp_path / "run")
    assert str(tmp_path / "run") in str(caught.value)


def test_last_weights_of_another_model(folder, tmp_path):
    shutil.copytree(folder / "last", tmp_path / "run")
    options(hidden_size=13)(tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds another model than its config"):
        jrnn.load(tmp_path / "run")
