"""`jrnn classify`: what it reads, splits, trains, measures and says."""

import json

import numpy as np
import polars as pl
import pytest
from class_data import TINY, recordings, run, sentences, texts
from settings import ordinary, ordinary_settings  # noqa: F401

from jrnn.cli.class_options import Classify
from jrnn.cli.errors import UserError
from jrnn.cli.tasks import classes, numeric
from jrnn.cli.tasks import texts as of_texts
from jrnn.cli.tasks.classify import CLASSIFY
from jrnn.cli.tasks.files import find, form_of
from jrnn.data import scaling_from_json
from jrnn.tasks import defaults
from jrnn.text import from_json


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on texts, and what it said."""
    folder = tmp_path_factory.mktemp("classify")
    file = texts(folder / "letters.tsv")
    with ordinary():
        assert run("classify", file, "--out", folder / "run", *TINY) == 0
    return folder / "run"


# Whole runs


@pytest.mark.slow
def test_what_a_run_leaves(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["task"] == "classify" and config["options"]["steps"] == 6
    known = json.loads((trained / "task.json").read_text())
    assert known["classes"] == ["others", "vowels"] and known["form"] == "text"
    results = json.loads((trained / "results.json").read_text())
    confusion = np.array(results["figures"]["confusion"])
    assert confusion.sum() == results["test"]["examples"] == 6
    accuracy = np.trace(confusion) / confusion.sum()
    assert results["test"]["accuracy"] == pytest.approx(accuracy)
    # letters of one class never come in the other, whose mean is therefore far
    assert results["baselines"]["nearest mean"]["accuracy"] == 1.0
    most = confusion.sum(axis=1)  # the split keeps proportions
    assert results["baselines"]["most frequent class"]["accuracy"] in most / most.sum()
    for picture in ("loss.png", "test.png"):
        assert (trained / picture).read_bytes().startswith(b"\x89PNG")
    assert "answered" in (trained / "samples.txt").read_text()


@pytest.mark.slow
def test_measured_again_and_told(trained, capsys, tmp_path):
    measured = json.loads((trained / "results.json").read_text())["test"]
    assert run("eval", trained) == 0
    said = capsys.readouterr().out
    assert (
        f"accuracy {100 * measured['accuracy']:.1f} %" in said and "test part" in said
    )
    unseen = tmp_path / "unseen.tsv"
    unseen.write_text("digits\t123\nvowels\taeiou\n")
    assert run("eval", trained, unseen) == 0
    assert "1 have classes that the run does not know" in " ".join(
        capsys.readouterr().out.split()
    )
    assert run("info", trained) == 0
    said = capsys.readouterr().out
    assert "jrnn classify" in said and "nearest mean" in said
    assert run("sample", trained) == 2
    assert f"jrnn predict {trained} FILE" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_from_a_pipe_goes_on_without_it(tmp_path, capsys, monkeypatch):
    import io
    import sys

    content = texts(tmp_path / "x.tsv").read_bytes()
    stream = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stream)
    out = tmp_path / "piped"
    assert run("classify", "-", "--out", out, *TINY) == 0
    monkeypatch.setattr(sys, "stdin", None)
    assert run("classify", "--resume", out, "--steps", 9) == 0
    assert "standard input" in capsys.readouterr().out


# Reading


def read(config: Classify, known=None):
    return CLASSIFY.read(config, known, None)


def test_classes_and_symbols_come_from_training(tmp_path):
    file = texts(tmp_path / "a.tsv")
    data = read(Classify(files=(file,), min_count=1))
    sizes = [len(part.inputs) for part in (data.train, data.valid, data.test)]
    assert sizes == [48, 6, 6]
    vocabulary = from_json(data.known["vocabulary"])
    assert vocabulary.unknown is not None
    assert set("aeioubcdfg") <= set(vocabulary.symbols)
    shown = of_texts.decoded(vocabulary, data.train.inputs[0])
    assert shown in file.read_text()


def test_files_to_test_on_bring_new_classes_and_symbols(tmp_path):
    file, more = texts(tmp_path / "a.tsv"), tmp_path / "more.tsv"
    more.write_text("vowels\taeZ\ndigits\t12\n")
    data = read(Classify(files=(file,), test=(more,)))
    assert len(data.test.inputs) == 2 and data.test.targets.tolist() == [1, -1]
    assert len(data.train.inputs) + len(data.valid.inputs) == 60
    vocabulary = from_json(data.known["vocabulary"])
    assert data.test.inputs[0][-1] == vocabulary.unknown
    assert data.test.inputs[1].tolist() == [vocabulary.unknown] * 2
    assert any("1 classes of the test part" in line for line in CLASSIFY.about(data))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_rows_of_numbers_are_grouped_scaled_and_kept_apart(tmp_path, ending):
    frame, file = recordings(), tmp_path / f"walks.{ending}"
    if ending == "parquet":
        frame.write_parquet(file)
    else:
        frame.write_csv(file, separator="\t" if ending == "tsv" else ",")
    config = Classify(
        files=(file,), label="kind", id="who", time="t", features=("x",), group="person"
    )
    data = read(config)
    assert data.known["features"] == ["x"] and data.known["classes"] == ["down", "up"]
    scaling = scaling_from_json(data.known["scaling"])
    values = np.concatenate(
        [data.train.inputs[i] for i in range(len(data.train.inputs))]
    )
    # fitted on the training part alone
    np.testing.assert_allclose(values.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(), 1, atol=1e-5)
    for i, label in enumerate(data.test.targets):  # the numbers of a row are its own
        x = data.test.inputs[i][:, 0] * scaling.std[0] + scaling.mean[0]
        assert (x[-1] > x[0]) == (data.known["classes"][label] == "up")
    people = [set(part.groups) for part in (data.train, data.valid, data.test)]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


def test_missing_values_in_a_test_file_are_marked_as_in_training(tmp_path):
    frame = recordings()
    gaps = frame.with_columns(
        x=pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise(pl.col("x"))
    )
    gaps.write_csv(tmp_path / "train.csv")
    frame.write_csv(tmp_path / "test.csv")
    config = Classify(
        files=(tmp_path / "train.csv",),
        test=(tmp_path / "test.csv",),
        label="kind",
        id="who",
        features=("x", "y"),
        missing="mask",
    )
    data = read(config)
    assert data.known["indicators"] == ["x"]
    assert data.train.inputs.values.shape[1] == data.test.inputs.values.shape[1] == 3
    assert data.test.inputs[0][:, 2].tolist() == [0.0] * 5


def test_arrays_of_numpy(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(t, 2)) for t in (3, 5, 4, 6) * 5]
    labels = np.array(["10", "9"] * 10)
    np.savez(tmp_path / "x.npz", *arrays, y=labels)
    data = read(Classify(files=(tmp_path / "x.npz",)))
    assert data.known["classes"] == ["9", "10"]  # by value, not as text
    assert data.known["features"] == ["1", "2"]
    parts = data.train, data.valid, data.test
    lengths = np.concatenate([part.inputs.lengths for part in parts])
    assert sorted(lengths.tolist()) == sorted([3, 5, 4, 6] * 5)


def test_a_run_reads_again_what_it_read(tmp_path):
    file = texts(tmp_path / "a.tsv")
    first = read(Classify(files=(file,)))
    again = read(Classify(files=(file,)), first.known)
    for name in ("train", "valid", "test"):
        one, other = getattr(first, name), getattr(again, name)
        assert one.targets.tolist() == other.targets.tolist()
        assert one.inputs.starts.tolist() == other.inputs.starts.tolist()
    assert first.sha256 == again.sha256 and again.known is first.known
    file.write_text(file.read_text() + "vowels\taa\n")
    assert read(Classify(files=(file,)), first.known).sha256 != first.sha256


@pytest.mark.slow  # aeon takes long to import
def test_a_pair_of_files_brings_its_test_part(tmp_path):
    pytest.importorskip("aeon")
    head = "@problemName two\n@timestamps false\n@univariate true\n@classLabel true a b"
    for part, count in (("TRAIN", 12), ("TEST", 5)):
        rows = [f"{i},{i + 1},{i * i}:{'ab'[i % 2]}" for i in range(count)]
        text = "\n".join([head, "@data", *rows])
        (tmp_path / f"two_{part}.ts").write_text(text)
    config = Classify(files=(tmp_path,))
    data = read(config)
    assert len(data.test.inputs) == 5 and len(data.train.inputs) == 11
    assert [file.name for file in data.files] == ["two_TRAIN.ts", "two_TEST.ts"]
    again = read(Classify(files=data.files), data.known)
    assert again.sha256 == data.sha256 and len(again.test.inputs) == 5


def test_defaults_follow_from_the_number_of_examples(tmp_path):
    data = read(Classify(files=(texts(tmp_path / "a.tsv"),)))
    suggested = defaults(48)
    config = CLASSIFY.settle(Classify(), data)
    assert (config.batch_size, config.steps) == (16, suggested.steps)
    assert config.hidden_size == suggested.hidden_size
    assert CLASSIFY.settle(Classify(batch_size=4), data).steps == 4 * suggested.steps
    assert (
        CLASSIFY.settle(Classify(steps=7, log_every=2, eval_every=4), data).eval_every
        == 4
    )
    assert config.chunk == 1 and defaults(48, 200).chunk == 7
    assert CLASSIFY.settle(Classify(chunk=3), data).chunk == 3
    with pytest.raises(UserError, match="must be > 0, got -1"):
        Classify(hidden_size=-1).check()


# Bad input


def csv(path, change=None, **columns):
    frame = recordings()
    lines = frame.write_csv().splitlines()
    if change is not None:
        number, line = change
        lines[number] = line
    path.write_text("\n".join(lines) + "\n")
    return path


BAD = {
    "no such label": (None, {"label": "kin"}, "no column 'kin'; the nearest is 'kind'"),
    "no label": (None, {"label": None}, "by --label"),
    "no id": (None, {"id": None}, "one sequence, .*\n.*--id COLUMN"),
    "no such id": (None, {"id": "whoo"}, "nearest is 'who'"),
    "no feature": (None, {"features": ("x", "z")}, "no column 'z'"),
    "text": ((10, "r1,p1,4,oops,1,up,first"), {}, "'x' holds text in data row 10"),
    "missing": ((10, "r1,p1,4,,1,up,first"), {}, "no value in data row 10"),
    "columns": ((10, "r1,p1,4"), {}, "line 11: 3 columns, but the first line has 7"),
    "time": (
        (3, "r0,p0,0,1,1,up,first"),
        {"time": "t"},
        "time goes back in data row 3",
    ),
    "single": ((6, "z,p1,0,1,1,other,first"), {}, "class 'other' has one example"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables(tmp_path, name):
    change, options, message = BAD[name]
    chosen = {"label": "kind", "id": "who", "features": ("x", "y"), **options}
    config = Classify(files=(csv(tmp_path / "bad.csv", change),), **chosen)
    with pytest.raises((UserError, ValueError), match=message) as raised:
        read(config)
    assert "\n" in str(raised.value)  # what is wrong, and what to do


@pytest.mark.parametrize(
    "content, message",
    [
        ("a\tx\na\ty\na\tz\n", "has one class, 'a'"),
        ("a\tx\n", "has one sequence, and three parts"),
        ("a\tx\nno tab\n", "line 2: no tab.*\n.*--label"),
        ("a\tx\na\ty\nb\tz\na\tu\n", "class 'b' has one example, number 3"),
        ("", "is empty"),
    ],
)
def test_bad_texts(tmp_path, content, message):
    (tmp_path / "bad.tsv").write_text(content)
    with pytest.raises((UserError, ValueError), match=message):
        read(Classify(files=(tmp_path / "bad.tsv",)))


@pytest.mark.slow
def test_messages_are_two_plain_lines(tmp_path, capsys):
    file = csv(tmp_path / "bad.csv", (10, "r1,p1,4,,1,up,first"))
    words = ["classify", file, "--label", "kind", "--id", "who", "--features", "x"]
    assert run(*words, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and said.startswith("jrnn: bad.csv: column 'x'")
    assert "--missing mask or --missing interpolate" in said
    assert not (tmp_path / "run").exists()


def test_another_unit_is_noticed(tmp_path):
    recordings().write_csv(tmp_path / "a.csv")
    config = Classify(
        files=(tmp_path / "a.csv",), label="kind", id="who", features=("x", "y")
    )
    known = read(config).known
    frame = recordings().with_columns(pl.col("x") * 1000)
    frame.write_csv(tmp_path / "b.csv")
    raw = numeric.read_numeric(
        config, find([tmp_path / "b.csv"]), "sequence", known, labelled=False
    )
    (said,) = numeric.far_columns(raw, known)
    assert "column 'x'" in said and "another unit" in said


# Words


def test_the_confusion_matrix_in_eighty_columns():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 2000, (9, 9))
    said = classes.confusion_words([f"c{i}" for i in range(9)], counts).split("\n")
    assert len(said) == 10 and max(map(len, said)) <= 80
    row = said[3].split()
    assert row[:-2] == ["c2", *(str(n) for n in counts[2])]  # and the recall, "17 %"
    assert row[-2] == f"{100 * counts[2, 2] / counts[2].sum():.0f}"


def test_the_most_confused_pairs_of_many_classes():
    counts = 9 * np.eye(40, dtype=int)
    counts[3, 7], counts[5, 1] = 4, 2
    names = [f"name{i}" for i in range(40)]
    said = classes.confusion_words(names, counts).split("\n")
    assert said[1].split() == "4 name3 taken for name7 (31 % of its examples)".split()
    assert "name5 taken for name1" in said[2] and max(map(len, said)) <= 80
    assert said[3].startswith("Recall: name3 69 %, name5 82 %, ")


def test_the_guess_is_the_entropy_of_the_classes():
    found = classes.guess(np.array([0, 0, 1, 2, -1]), 4)
    p = np.array([0.5, 0.25, 0.25])
    assert found.loss == pytest.approx(-(p * np.log(p)).sum())


def test_what_a_file_is(tmp_path):
    for name, form in (
        ("a.csv", "table"),
        ("a.tsv.gz", "lines"),
        ("a.CSV.gz", "table"),
        ("a.npz", "npz"),
        ("a.ts", "ts"),
        ("a.conll", "lines"),
    ):
        (tmp_path / name).write_text("x")
        assert form_of(find([tmp_path / name])) == form
    assert find([texts(tmp_path / "t.tsv")]).source == "t.tsv"
    two = [texts(tmp_path / "t.tsv"), sentences(tmp_path / "s.conll")]
    assert find(two).source == "t.tsv, s.conll"
    assert find(two).sha256 != find(two[::-1]).sha256
