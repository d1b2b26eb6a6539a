"""Going on with another text (`--from`), and with one that was moved (`--text`)."""

import json
import shutil

import jax
import numpy as np
import pytest
from settings import ordinary_settings  # noqa: F401
from test_damage import SMALL, TEXT, told

from jrnn.cli import main
from jrnn.cli.run import load_trained
from jrnn.cli.start import extended
from jrnn.text import Vocabulary, build_vocabulary, encode
from jrnn.train import read
from jrnn.train.checkpoint import named_leaves

pytestmark = pytest.mark.slow

OTHER = "the quick brown fox: jumps over 12 lazy dogs\n" * 30
# without what decides the model, which comes from the old run
TRAINING = "--steps 6 --log-every 2 --save-every 2 --batch-size 3 --window 6".split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "sea.txt").write_text(TEXT)
    (folder / "fox.txt").write_text(OTHER)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
            for name, words in (("hot", []), ("embedded", ["--embed-size", "5"])):
                files = folder / "sea.txt", "--out", folder / name
                assert main([*map(str, ("train", *files, *SMALL, *words))]) == 0
    return folder


def rows_of(vocabulary: Vocabulary, symbols: str) -> list[int]:
    return [vocabulary.symbols.index(s) for s in symbols]


@pytest.mark.parametrize("old", ["hot", "embedded"])
def test_old_rows_stay_and_new_ones_are_fresh(runs, tmp_path, capsys, old):
    new = tmp_path / "new"
    words = ("train", runs / "fox.txt", "--from", runs / old, "--out", new, *TRAINING)
    code, said = told(capsys, *words)
    assert code == 0, said
    before = load_trained(runs / old, "best")
    after = load_trained(new, "last")
    lacking = sorted(set(OTHER) - set(TEXT))
    assert after.vocabulary.symbols == (*before.vocabulary.symbols, *lacking)
    assert after.config.hidden_size == 6 and after.config.cell == "gru"
    expected = f"best.safetensors of step {before.facts['step']}; its vocabulary of "
    expected += f"{len(set(TEXT))} symbols is extended by {len(lacking)} symbols: '1'"
    assert expected in said
    assert expected in " ".join(told(capsys, "info", new)[1].replace("│", " ").split())
    origin = json.loads((new / "config.json").read_text())["origin"]
    assert origin["run"] == str(runs / old) and origin["new_symbols"] == lacking

    # what the run started from: the old rows, and those that a new run would draw
    start, _ = read(new / "start.safetensors")
    weights, _ = read(runs / old / "best.safetensors")
    key = jax.random.split(jax.random.key(0), 3)[0]
    fresh = after.model.train.init(key, jax.ShapeDtypeStruct((), np.int32))
    fresh = dict(named_leaves(fresh))
    assert start.keys() == weights.keys() == fresh.keys()
    grew = []
    for name, array in weights.items():
        block = start[name][tuple(slice(n) for n in array.shape)]
        np.testing.assert_array_equal(block, array, name)
        if start[name].shape != array.shape:
            grew.append(name)
            (axis,) = np.flatnonzero(np.subtract(start[name].shape, array.shape))
            behind = lambda a: np.split(a, [array.shape[axis]], axis)[1]  # noqa: B023
            added = behind(start[name])
            assert added.shape[axis] == len(lacking)
            np.testing.assert_array_equal(added, behind(fresh[name]), name)
    assert len(grew) == 3  # rows of the input, columns of the readout, its bias


def test_the_first_loss_is_that_of_the_old_weights(runs, tmp_path, capsys):
    """On its own text, one step at a rate of nearly nothing stays where it was."""
    new = tmp_path / "new"
    words = ["train", runs / "sea.txt", "--from", runs / "hot", "--out", new, *TRAINING]
    words += ["--learning-rate", "1e-12", "--optimizer", "sgd", "--dropout", "0"]
    code, said = told(capsys, *words)
    assert code == 0 and "its vocabulary of 12 symbols is kept" in said
    old = json.loads((runs / "hot" / "results.json").read_text())
    now = json.loads((new / "results.json").read_text())
    assert abs(now["validation"]["nats"] - old["validation"]["nats"]) < 1e-5
    assert abs(now["test"]["nats"] - old["test"]["nats"]) < 1e-5


def test_resumed_before_its_first_checkpoint(runs, tmp_path, capsys):
    """The old run may be gone by then."""
    old, whole, parts = (tmp_path / name for name in ("old", "whole", "parts"))
    shutil.copytree(runs / "hot", old)
    for new in (whole, parts):
        words = ("train", runs / "fox.txt", "--from", old, "--out", new, *TRAINING)
        assert told(capsys, *words)[0] == 0
    shutil.rmtree(old)
    for name in "checkpoint.safetensors best.safetensors results.json".split():
        (parts / name).unlink()
    (parts / "metrics.jsonl").write_bytes(b'{"step": 2, "loss": 2.0}\n')
    code, said = told(capsys, "train", "--resume", parts)
    assert code == 0, said
    for name in ("checkpoint.safetensors", "metrics.jsonl", "results.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--from {old} --hidden-size 7", "--hidden-size must be that of the run whose"),
        ("--from {old} --cell lstm", "has gru, got lstm"),
        ("--from {old} --level byte", "--level must be that of the run whose weights"),
        ("--from {old} --embed-size 3", "--embed-size must be that of the run whose"),
        ("--from no/such/run", "There is no run at no/such/run"),
        ("--text {text}", "--text goes with --resume. Name a new run's text as FILES"),
    ],
)
def test_what_cannot_be_taken_over(runs, tmp_path, capsys, words, message):
    out = tmp_path / "new"
    words = words.format(old=runs / "hot", text=runs / "sea.txt").split()
    code, said = told(
        capsys, "train", runs / "fox.txt", "--out", out, *TRAINING, *words
    )
    assert code == 2 and message in said
    assert not out.exists()


def test_weights_without_a_text(runs, capsys):
    code, said = told(capsys, "train", "--from", runs / "hot")
    assert code == 2 and "--from needs a text to go on with" in said


def test_a_text_that_was_moved(runs, tmp_path, capsys):
    here, there, mine = tmp_path / "here.txt", tmp_path / "there.txt", tmp_path / "run"
    here.write_text(TEXT)
    assert told(capsys, "train", here, "--out", mine, *SMALL)[0] == 0
    here.rename(there)
    go_on = ("train", "--resume", mine, "--steps", 16)
    code, said = told(capsys, *go_on)
    assert code == 2 and "no such file" in said
    assert f"jrnn train --resume {mine} --text FILES" in said
    code, said = told(capsys, *go_on, "--text", runs / "fox.txt")
    assert code == 2
    code, said = told(capsys, *go_on, there)
    assert code == 2 and "keeps its text. If that was moved, name it by --text" in said
    code, said = told(capsys, *go_on, "--text", there)
    assert code == 0, said
    options = json.loads((mine / "config.json").read_text())["options"]
    assert options["files"] == [str(there)] and options["text"] == []
    assert told(capsys, "eval", mine)[0] == 0


def test_another_text_in_the_place_of_the_old(runs, tmp_path, capsys):
    here, mine = tmp_path / "here.txt", tmp_path / "run"
    here.write_text(TEXT)
    assert told(capsys, "train", here, "--out", mine, *SMALL)[0] == 0
    here.write_text(TEXT.replace("sea", "aes"))
    for words in ([], ["--text", here]):
        code, said = told(capsys, "train", "--resume", mine, "--steps", 16, *words)
        assert code == 2 and "is not the one that" in said, said


@pytest.mark.parametrize("level", ["char", "word", "byte"])
@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("now", [1, 2])
def test_extended_vocabularies(level, before, now):
    old_text, new_text = "aab b c\ufffd", "a b xx y z\ufffdz"
    old = build_vocabulary(old_text, level, before)
    new = extended(old, new_text, now)
    assert new.symbols[: len(old)] == old.symbols
    assert len(set(new.symbols)) == len(new)
    if old.unknown is not None:
        assert new.unknown == old.unknown
    elif level == "char":
        assert (new.unknown is None) == (now == 1)
    if level != "word":  # where the same text has as many tokens
        had, has = encode(old, old_text), encode(new, old_text)
        assert (has[had != old.unknown] == had[had != old.unknown]).all()
    encode(new, new_text)
    assert extended(new, new_text, now) == new
