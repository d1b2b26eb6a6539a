"""`jrnn label`: what it reads, trains, measures and says."""

import json
import random

import numpy as np
import pytest
from class_data import TINY, recordings, run, sentences
from settings import ordinary, ordinary_settings  # noqa: F401

from jrnn.cli.class_options import Label
from jrnn.cli.errors import UserError
from jrnn.cli.tasks import classes, texts
from jrnn.cli.tasks.label import LABEL, steps_of
from jrnn.data import scaling_from_json
from jrnn.tasks import Classified, Padded


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    file = sentences(folder / "words.conll")
    with ordinary():
        assert run("label", file, "--out", folder / "run", *TINY) == 0
    return folder / "run"


def read(config: Label, known=None):
    return LABEL.read(config, known, None)


# Whole runs


@pytest.mark.slow
def test_what_a_run_leaves(trained):
    known = json.loads((trained / "task.json").read_text())
    assert known["classes"] == ["D", "N", "V"] and known["form"] == "words"
    results = json.loads((trained / "results.json").read_text())
    confusion = np.array(results["figures"]["confusion"])
    assert confusion.sum() == 5 * results["test"]["examples"]
    right = np.diag(confusion)
    f1 = 2 * right / np.maximum(confusion.sum(0) + confusion.sum(1), 1)
    assert results["test"]["macro_f1"] == pytest.approx(f1.mean())
    # each word has one tag only
    majority = results["baselines"]["majority of each token"]
    assert majority["accuracy"] == majority["macro_f1"] == 1.0
    assert (trained / "test.png").read_bytes().startswith(b"\x89PNG")
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    assert "valid_macro_f1" in json.loads(lines[-1])


@pytest.mark.slow
def test_measured_again_and_told(trained, capsys):
    measured = json.loads((trained / "results.json").read_text())["test"]
    assert run("eval", trained) == 0
    assert f"macro F1 {100 * measured['macro_f1']:.1f} %" in capsys.readouterr().out
    assert run("info", trained) == 0
    assert "majority of each token" in capsys.readouterr().out


@pytest.mark.slow
def test_a_table_with_a_class_in_each_row(tmp_path, capsys):
    file, out = tmp_path / "walks.csv", tmp_path / "run"
    recordings().write_csv(file)
    words = "--label half --id who --features x y --time t".split()
    assert run("label", file, *words, "--out", out, *TINY) == 0
    assert "majority of each token" not in capsys.readouterr().out  # there are none
    assert run("predict", out, file) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "who,person,t,x,y,kind,half,prediction"
    assert len(lines) == 1 + recordings().height
    assert {line.rpartition(",")[2] for line in lines[1:]} <= {"first", "second"}


# Reading


def test_rare_words_are_read_by_their_form(tmp_path):
    chance = random.Random(1)
    rare = ["".join(chance.choices("bcdfg", k=5)) + "ing" for _ in range(30)]
    rows = "".join(f"the\tD\n{word}\tV\n\n" for word in rare)
    (tmp_path / "a.conll").write_text(rows)
    data = read(Label(files=(tmp_path / "a.conll",)))
    symbols = data.known["symbols"]
    assert "<a-ing>" in symbols and "the" in symbols and rare[0] not in symbols
    new = texts.tokens_of(symbols, [["the", "zzzzzing", "99", "The"]])[0]
    assert [symbols[i] for i in new[:2]] == ["the", "<a-ing>"]
    assert [symbols[i] for i in new[2:]] == [texts.UNKNOWN] * 2  # no such form
    assert texts.tokens_of(symbols, [["NATO", "Reading", "1,2", "--"]]).lengths == [4]


@pytest.mark.parametrize(
    "word, forms",
    [
        ("Jumping", ["<A-ing>", "<A->"]),
        ("jumps", ["<a->"]),
        ("NATO", ["<AA->"]),
        ("I", ["<A->"]),
        ("B2B", ["<0->"]),
        ("...", ["<.->"]),
        ("Überraschung", ["<A-ung>", "<A->"]),
    ],
)
def test_forms_of_words(word, forms):
    assert texts.forms_of(word) == forms
    assert all(map(texts.is_form, forms)) and not texts.is_form(word)


def test_new_tags_and_columns(tmp_path):
    (tmp_path / "a.conll").write_text("1 cat _ N\n2 sat _ V\n\n" * 20)
    (tmp_path / "b.conll").write_text("1 cat _ N\n2 oh _ INTJ\n\n")
    config = Label(
        files=(tmp_path / "a.conll",), test=(tmp_path / "b.conll",), token_column=2
    )
    data = read(config)
    assert "cat" in data.known["symbols"] and "1" not in data.known["symbols"]
    assert data.test.targets[0].tolist() == [0, -1]
    assert any("none of training" in line for line in LABEL.about(data))


def test_rows_keep_their_classes(tmp_path):
    frame = recordings().sample(fraction=1.0, shuffle=True, seed=0)
    frame.write_csv(tmp_path / "a.csv")
    config = Label(
        files=(tmp_path / "a.csv",), label="half", id="who", features=("t", "x")
    )
    data = read(config)
    scaling = scaling_from_json(data.known["scaling"])
    for part in (data.train, data.valid, data.test):
        for i in range(len(part.inputs)):
            t = part.inputs[i][:, 0] * scaling.std[0] + scaling.mean[0]
            late = np.array(data.known["classes"])[part.targets[i]] == "second"
            assert ((t > 2.4) == late).all()


def test_a_label_for_each_step_of_arrays(tmp_path):
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(20, 4, 2)), np.array([2, 4, 3, 4] * 5)
    y = (x[..., 0] > 0).astype(int)
    np.savez(tmp_path / "a.npz", x=x, lengths=lengths, y=y)
    data = read(Label(files=(tmp_path / "a.npz",)))
    assert data.known["classes"] == ["0", "1"]
    scaling = scaling_from_json(data.known["scaling"])
    for i in range(len(data.train.inputs)):
        positive = data.train.inputs[i][:, 0] * scaling.std[0] + scaling.mean[0] > 0
        assert (positive == (data.train.targets[i] == 1)).all()
    assert len(steps_of(data.train.targets)) == data.train.inputs.lengths.sum()


@pytest.mark.parametrize(
    "content, message",
    [
        ("a\tX\nb\n\n", "line 2: columns 1, but 2"),
        ("a\nb\n\n", "there is one column, and a token and its tag"),
        ("a\tX\nb\tX\n\n" * 5, "has one class, 'X'"),
        ("a\tX\nb\tY\n", "has one sequence, and three parts"),
    ],
)
def test_bad_sentences(tmp_path, content, message):
    (tmp_path / "bad.conll").write_text(content)
    with pytest.raises((UserError, ValueError), match=message) as raised:
        read(Label(files=(tmp_path / "bad.conll",)))
    assert "\n" in str(raised.value)


def test_bad_tables(tmp_path):
    recordings().write_csv(tmp_path / "a.csv")
    config = Label(files=(tmp_path / "a.csv",))
    with pytest.raises(UserError, match="name the column of classes by --label"):
        read(config)
    with pytest.raises(ValueError, match="no column 'hal'; the nearest is 'half'"):
        read(Label(files=config.files, label="hal", id="who"))


# Words


def test_precision_recall_and_f1_of_each_class():
    figures = {
        "confusion": [[8, 2, 0], [0, 5, 0], [0, 0, 0]],
        "per_class_precision": [1.0, 5 / 7, None],
        "per_class_recall": [0.8, 1.0, None],
        "per_class_f1": [16 / 18, 10 / 12, None],
    }
    lines = classes.tag_table(["B-PER", "O", "X"], figures).split("\n")
    assert lines[1].split() == "B-PER 10 100.0 % 80.0 % 88.9 %".split()
    assert lines[3].split() == ["X", "0", "-", "-", "-"]
    assert classes.tag_table(["a", "b", "c"], figures, most=1).endswith("2 rarer ones.")


def test_examples_are_told_in_short(tmp_path):
    data = read(Label(files=(sentences(tmp_path / "a.conll"),)))
    some = data.train.take([0])
    values = np.zeros((1, 5), int)  # always "D"
    answers = Classified(Padded(values, np.array([5])), None)
    (line,) = LABEL.told(data.known, some, answers)
    true = [data.known["classes"][k] for k in some.targets[0]]
    assert line.count("(not ") == sum(tag != "D" for tag in true)
