"""`jrnn predict`: answers beside the rows of a file, or line by line from a pipe."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from class_data import TINY, recordings, run, sentences, texts
from settings import ordinary, ordinary_settings  # noqa: F401

from jrnn.cli.predict import _doubling, load_answerer
from jrnn.cli.tasks.label import LABEL
from jrnn.data import Dataset, from_arrays

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def on_texts(folder):
    with ordinary():
        file = texts(folder / "letters.tsv")
        assert run("classify", file, "--out", folder / "texts", *TINY) == 0
    return folder / "texts"


@pytest.fixture(scope="module")
def on_words(folder):
    with ordinary():
        file = sentences(folder / "words.conll")
        assert run("label", file, "--out", folder / "words", *TINY) == 0
    return folder / "words"


@pytest.fixture(scope="module")
def on_numbers(folder):
    with ordinary():
        recordings().write_csv(folder / "walks.csv")
        words = ["classify", folder / "walks.csv", "--out", folder / "numbers", *TINY]
        words += "--label kind --id who --features x y".split()
        assert run(*words) == 0
    return folder / "numbers"


def said(capsys, *words) -> list[str]:
    assert run("predict", *words) == 0
    return capsys.readouterr().out.splitlines()


def refused(capsys, *words) -> str:
    capsys.readouterr()
    assert run("predict", *words) == 2
    return capsys.readouterr().err


def test_lines_of_text(on_texts, tmp_path, capsys):
    new = tmp_path / "new.txt"
    new.write_text("aeiou\n\nbcdfgb\nvowels\taaaaaa\nnever seen: Ω\n")
    lines = said(capsys, on_texts, new)
    assert [line.partition("\t")[2] for line in lines] == [
        "aeiou",
        "",
        "bcdfgb",
        "vowels\taaaaaa",
        "never seen: Ω",
    ]
    assert {line.partition("\t")[0] for line in lines} <= {"", "vowels", "others"}
    # alone, a line has the same answer
    trained = load_answerer(on_texts, "best")
    (one,) = trained.command.lines(trained.config, trained.known, True).written(
        ["bcdfgb"], trained.answers(_dataset(trained, ["bcdfgb"]), 1, [16])
    )
    table = said(capsys, on_texts, new, "--probabilities")
    assert table[0].split("\t") == ["prediction", "p(others)", "p(vowels)", "text"]
    assert table[3] == one[0]
    shares = np.array([row.split("\t")[1:3] for row in table[1:] if row], float)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=2e-4)


def _dataset(trained, units) -> Dataset:
    return trained.command.lines(trained.config, trained.known, False).dataset(units)


def test_a_line_in_a_line_out(on_texts):
    """The answer to a line comes before the next line is sent."""
    root = str(Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": root, "JAX_ENABLE_X64": "0"}
    words = [sys.executable, "-m", "jrnn", "predict", str(on_texts), "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=env, stdin=pipe, stdout=pipe) as process:
        assert process.stdin and process.stdout
        for line in (b"aeiou\n", b"\n", b"bcd\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().endswith(line)  # or it waits for ever
        process.stdin.close()
        assert process.stdout.read() == b"" and process.wait() == 0


def test_sentences(on_words, tmp_path, capsys):
    new = tmp_path / "new.conll"
    new.write_text("the\ncat\n\nunheard\tX\nof\tY\n")
    lines = said(capsys, on_words, new)
    assert [line.rpartition("\t")[0] for line in lines] == [
        "the",
        "cat",
        "",
        "unheard\tX",
        "of\tY",
    ]
    sure = said(capsys, on_words, new, "--probabilities")
    assert sure[0].startswith(lines[0] + "\t0.")


def test_units_of_sentences_and_comments(on_words):
    trained = load_answerer(on_words, "best")
    lines = LABEL.lines(trained.config, trained.known, False)
    assert lines is not None
    text = "# sent_id = 1\na\tx\ty\n\n\nb\tx\ty\n"
    units = list(lines.units(text.split("\n")))
    assert [unit and unit.tokens for unit in units] == [
        [None, "a"],
        None,
        None,
        ["b"],
        None,
    ]


def test_rows_of_a_table(on_numbers, folder, capsys, tmp_path):
    lines = said(capsys, on_numbers, folder / "walks.csv", "--probabilities")
    assert lines[0] == "who,prediction,p(down),p(up)" and len(lines) == 41
    # without the labels, other columns, the rows of a sequence apart
    frame = recordings().sort("t").select("y", "x", "who", z=pl.lit("text"))
    frame.write_csv(tmp_path / "new.tsv", separator="\t")
    out = tmp_path / "out.tsv"
    assert said(capsys, on_numbers, tmp_path / "new.tsv", "--out", out) == []
    rows = dict(line.split("\t") for line in out.read_text().splitlines()[1:])
    assert rows == dict(line.split(",")[:2] for line in lines[1:])
    assert "exists" in refused(capsys, on_numbers, folder / "walks.csv", "--out", out)
    assert (
        said(capsys, on_numbers, tmp_path / "new.tsv", "--out", out, "--overwrite")
        == []
    )


def test_arrays(on_numbers, tmp_path, capsys):
    np.savez(tmp_path / "new.npz", np.ones((4, 2)), np.zeros((2, 2)))
    lines = said(capsys, on_numbers, tmp_path / "new.npz")
    assert lines[0] == "sequence,prediction" and len(lines) == 3
    np.savez(tmp_path / "wide.npz", np.ones((4, 3)))
    message = refused(capsys, on_numbers, tmp_path / "wide.npz")
    assert "3 numbers in each step, but the run was trained on 2: x, y" in message


def test_tables_that_do_not_fit(on_numbers, on_texts, tmp_path, capsys):
    frame = recordings()
    frame.rename({"x": "xx"}).write_csv(tmp_path / "a.csv")
    message = refused(capsys, on_numbers, tmp_path / "a.csv")
    assert "no column 'x'; the nearest is 'xx'" in message
    assert message.count("\n") == 2
    frame.drop("who").write_csv(tmp_path / "b.csv")
    assert "no column 'who'" in refused(capsys, on_numbers, tmp_path / "b.csv")
    frame.with_columns(x=None).write_csv(tmp_path / "c.csv")
    assert "--missing" in refused(capsys, on_numbers, tmp_path / "c.csv")
    message = refused(capsys, on_texts, tmp_path / "a.csv")
    assert "the run was trained on lines of text" in message
    assert "no such file" in refused(capsys, on_numbers, tmp_path / "nothing.csv")
    assert "There is no run" in refused(capsys, tmp_path / "no", tmp_path / "a.csv")


def test_another_unit_is_noticed_and_answered(on_numbers, tmp_path, capsys):
    recordings().with_columns(pl.col("x") * 1000).write_csv(tmp_path / "mm.csv")
    assert run("predict", on_numbers, tmp_path / "mm.csv") == 0
    captured = capsys.readouterr()
    assert "column 'x'" in captured.err and "another unit" in captured.err
    assert captured.out.startswith("who,prediction\n")


def test_few_lengths_whatever_comes():
    lengths = {
        _doubling(Dataset(from_arrays([np.zeros(n)])))[0] for n in range(1, 1025)
    }
    assert lengths == {8, 16, 32, 64, 128, 256, 512, 1024}
    for n in (1, 8, 9, 1024):
        assert _doubling(Dataset(from_arrays([np.zeros(n)])))[0] >= n
