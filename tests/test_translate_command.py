"""`jrnn translate`: what it reads, splits, trains, measures, says and predicts."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sequence_files import TINY, pairs, run
from settings import ordinary, ordinary_settings  # noqa: F401

from jrnn.cli import predict
from jrnn.cli.config import Predict
from jrnn.cli.pair_options import Translate
from jrnn.cli.tasks import texts
from jrnn.cli.tasks.translate import TRANSLATE
from jrnn.text import from_json

WORDS = [*TINY, "--embed-size", "3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on pairs of words."""
    folder = tmp_path_factory.mktemp("translate")
    with ordinary():
        file = pairs(folder / "pairs.tsv")
        assert run("translate", file, "--out", folder / "run", *WORDS) == 0
    return folder / "run"


def read(file, **others):
    return TRANSLATE.read(Translate(files=(file,), **others), None, None)


def written(vocabulary: dict, tokens) -> str:
    return texts.decoded(from_json(vocabulary), tokens)


def refused(capsys, *words) -> str:
    capsys.readouterr()
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert err.startswith("jrnn: ") and "Traceback" not in err + out
    assert len(err.strip().splitlines()) == 2, err
    return err


def answers_to(monkeypatch, capsys, trained, lines: str, *words) -> list[str]:
    stdin = SimpleNamespace(buffer=io.BytesIO(lines.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    capsys.readouterr()
    assert run("predict", trained, "-", *words) == 0
    return capsys.readouterr().out.splitlines()


# Data


def test_every_pair_is_in_one_part_and_none_is_learnt_and_tested(tmp_path):
    file = pairs(tmp_path / "pairs.tsv")
    given = [line.split("\t") for line in file.read_text().splitlines()]
    data = read(file)
    known, parts = data.known, (data.train, data.valid, data.test)
    found = [
        [
            (written(known["source"], x), written(known["target"], y))
            for x, y in zip(part.inputs, part.targets, strict=True)
        ]
        for part in parts
    ]
    assert sorted(pair for part in found for pair in part) == sorted(map(tuple, given))
    sources = [{source for source, _ in part} for part in found]
    assert not sources[0] & sources[1] and not sources[0] & sources[2]
    assert not sources[1] & sources[2]
    longest = max(len(y) for _, y in found[0])
    assert known["longest"] == int(np.ceil(1.5 * longest))


def test_symbols_are_those_of_training(tmp_path):
    file = tmp_path / "pairs.tsv"
    pairs(file)
    tests = tmp_path / "tests.tsv"
    tests.write_text("abz\tABZ\nab\tAB\n")
    data = read(file, test=(tests,))
    assert "z" not in data.known["source"]["symbols"]
    assert "Z" not in data.known["target"]["symbols"]
    assert written(data.known["source"], data.test.inputs[0])[:2] == "ab"
    assert data.test.inputs[0][-1] == from_json(data.known["source"]).unknown
    # an answer to what cannot be written is wrong
    assert data.test.targets[0].tolist()[-1] == -1
    assert (data.test.targets[1] >= 0).all()
    said = TRANSLATE.about(data)[-1]
    assert "1 targets of the test part have symbols that no target of training" in said


def test_words_as_symbols(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"the cat {n}\tdie Katze {n}\n" for n in "abcdefghij"))
    data = read(file, level="word")
    assert written(data.known["source"], data.train.inputs[0]).startswith("the cat")
    assert data.train.inputs.lengths.max() < len("the cat a")


def test_copying_is_measured_by_the_symbols_themselves(tmp_path):
    file = tmp_path / "pairs.tsv"
    # half of the letters stay, and so does the end: 2 of 3 symbols
    words = [f"{a}{b}" for a in "abcd" for b in "xyzw"]
    file.write_text("".join(f"{w}\t{w[0]}!\n" for w in words))
    data = read(file)
    figures = TRANSLATE.baselines(Translate(), data)["copying the source"]
    assert figures["token_accuracy"] == pytest.approx(2 / 3)
    assert figures["exact_match"] == 0


# Whole runs


@pytest.mark.slow
def test_what_a_run_leaves(trained, capsys):
    config = json.loads((trained / "config.json").read_text())
    assert config["task"] == "translate" and config["options"]["steps"] == 6
    results = json.loads((trained / "results.json").read_text())
    baseline = results["baselines"]["copying the source"]
    assert 0 < baseline["token_accuracy"] < 1 and baseline["exact_match"] == 0
    assert 0 <= results["test"]["token_accuracy"] <= 1
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "answered" in (trained / "samples.txt").read_text()
    assert run("info", trained) == 0
    said = capsys.readouterr().out
    assert "jrnn translate" in said and "copying the source" in said


@pytest.mark.slow
def test_measured_again(trained, capsys, tmp_path):
    test = json.loads((trained / "results.json").read_text())["test"]
    assert run("eval", trained) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"symbols right {100 * test['token_accuracy']:.1f} %" in said
    file = pairs(tmp_path / "new.tsv", rows=5)
    assert run("eval", trained, file) == 0
    assert "new.tsv" in capsys.readouterr().out


@pytest.mark.slow
def test_answers_to_lines(trained, capsys, monkeypatch, tmp_path):
    lines = "abc\n\nabc\tgiven\nzq ü\n"
    out = answers_to(monkeypatch, capsys, trained, lines)
    assert len(out) == 4 and out[1] == ""
    source, answer = out[0].split("\t")
    assert source == "abc"
    assert out[2] == f"abc\tgiven\t{answer}"  # what is given changes nothing
    assert out[3].startswith("zq ü\t")
    # with how sure it is; from a file the same as from a pipe
    out = answers_to(monkeypatch, capsys, trained, lines, "--probabilities")
    assert out[0].split("\t")[:2] == ["abc", answer]
    assert 0 <= float(out[0].split("\t")[2]) <= 1
    file = tmp_path / "new.txt"
    file.write_text(lines)
    assert run("predict", trained, file, "--out", tmp_path / "out.tsv") == 0
    assert (tmp_path / "out.tsv").read_text().splitlines()[0] == f"abc\t{answer}"
    said = refused(capsys, "predict", trained, file, "--out", tmp_path / "out.tsv")
    assert "exists" in said and "--overwrite" in said


@pytest.mark.slow
def test_a_line_is_answered_before_the_next_is_read(trained, monkeypatch):
    events = []

    class Piped(io.BytesIO):
        def readline(self, size=-1):
            line = super().readline(size)
            events.append(("read", line))
            return line

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Piped(b"ab\ncd\n")))
    monkeypatch.setattr(
        predict,
        "_write_lines",
        lambda options, lines: events.extend(("said", line) for line in lines),
    )
    predict.predict(Predict(run=trained, examples=Path("-")))
    kinds = [kind for kind, _ in events]
    assert kinds == ["read", "said", "read", "said", "read"]


@pytest.mark.slow
def test_resumed_with_more_steps(trained, capsys):
    said = refused(capsys, "translate", "--resume", trained, "--beam-size", "2")
    assert "--beam-size cannot change" in said
    assert run("translate", "--resume", trained, "--steps", "9") == 0
    assert "step 9/9" in capsys.readouterr().out


# What is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ab\tAB\nabAB\n", "line 2"),
        ("ab\tAB\n\tAB\n", "line 2"),
        ("ab\tAB\n", "one"),
    ],
)
def test_two_plain_lines(tmp_path, capsys, content, message):
    file = tmp_path / "pairs.tsv"
    file.write_text(content)
    out = tmp_path / "run"
    said = refused(capsys, "translate", file, "--out", out, *WORDS)
    assert message in said and not out.exists()


def test_an_empty_file(tmp_path, capsys):
    (tmp_path / "pairs.tsv").touch()
    assert run("translate", tmp_path / "pairs.tsv", "--out", tmp_path / "run") == 2
    assert "pairs.tsv is empty." in capsys.readouterr().err


def test_a_table_is_no_text_of_pairs(tmp_path, capsys):
    file = tmp_path / "pairs.csv"
    file.write_text("a,b\n1,2\n")
    said = refused(capsys, "translate", file, "--out", tmp_path / "run")
    assert "is no text of lines" in said and "source<TAB>target" in said
