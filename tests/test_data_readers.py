"""Readers of tables, pairs, sentences and arrays; what they refuse, and how."""

import csv
import gzip
import io
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jrnn.data import (
    column,
    fill_missing,
    from_arrays,
    labels_of,
    read_conll,
    read_lines,
    read_npz,
    read_pairs,
    read_table,
    read_ts,
    series_of,
)

QUICK = settings(deadline=None, max_examples=20)


@pytest.fixture
def write(tmp_path):
    """Write a file, text or bytes, and return its path."""

    def to(content, name="file.csv"):
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
        return path

    return to


def refused(call, *args, **options):
    """The message of a ValueError: two plain lines, without a trace of a library."""
    with pytest.raises(ValueError) as info:
        call(*args, **options)
    message = str(info.value)
    assert len(message.split("\n")) == 2, message
    assert "Error" not in message and "schema" not in message.lower()
    assert all(line.endswith(".") for line in message.split("\n")), message
    return message


# Tables


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@given(
    st.lists(st.tuples(TEXTS, st.floats(-1e9, 1e9), st.integers(-99, 99)), min_size=1),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
)
@QUICK
def test_a_table_written_by_python_is_read(rows, mark, end):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark, lineterminator=end)
    writer.writerows([("name", "x", "n"), *rows])
    path = Path(TEMPORARY / "python.csv")
    path.write_bytes(text.getvalue().encode())
    frame = read_table(path)
    assert frame.columns == ["name", "x", "n"]
    series = series_of(frame, ["n", "x"])
    expected = np.array([(n, x) for _, x, n in rows], np.float32)
    np.testing.assert_array_equal(series.sequences[0], expected)


@pytest.fixture(autouse=True, scope="module")
def _temporary(tmp_path_factory):
    global TEMPORARY
    TEMPORARY = tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "csv.gz", "bom"])
def test_a_table_written_by_polars_is_read(write, kind):
    frame = pl.DataFrame(
        {"who": ["a", 'b "c"', "d,e\nf"], "x": [1.5, None, -2.0], "k": [1, 2, 3]}
    )
    data = io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(data)
    else:
        frame.write_csv(data, separator="\t" if kind == "tsv" else ",")
    content = data.getvalue()
    if kind == "csv.gz":
        content = gzip.compress(content)
    if kind == "bom":
        content = b"\xef\xbb\xbf" + content
    assert read_table(write(content)).equals(frame)


def test_a_table_comes_from_standard_input(monkeypatch):
    class Input:
        buffer = io.BytesIO(b"a,b\n1,2\n")

    monkeypatch.setattr(sys, "stdin", Input)
    assert read_table("-").to_dict(as_series=False) == {"a": [1], "b": [2]}


def test_blank_lines_and_spaces_around_names_do_not_matter(write):
    content = "\na, b\n1,2\n\n\n3,4\n\n\n"
    expected = {"a": [1, 3], "b": [2, 4]}
    assert read_table(write(content)).to_dict(as_series=False) == expected
    content = '\na, b\n1,"x"\n\n\n3,"y"\n\n\n'
    assert read_table(write(content))["b"].to_list() == ["x", "y"]
    # but a row of missing values is a row
    assert read_table(write("a,b\n1,2\n,\n3,4\n")).height == 3
    assert read_table(write("a\n1\n\n3\n\n"))["a"].to_list() == [1, None, 3]


def test_a_table_without_names(write):
    frame = read_table(write("1,2\n3,4\n"), header=False)
    assert frame.to_dict(as_series=False) == {"column_1": [1, 3], "column_2": [2, 4]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3\n5,6\n", r"file.csv, line 3: 1 column, but the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", r"line 3: 3 columns, but the first line has 2"),
        ("a\tb\n1\n", r"line 2: 1 column.*\n.*contains a tab needs"),
        ("a,b\n1,2\n\n3,4,5\n", r"line 4: 3 columns, but the first line has 2"),
        ('a,b\n"x\ny",2\n3\n', r"line 4: 1 column, but the first line has 2"),
        ("a;b\n1;2\n3\n", r"line 3: 1 column.*\n.*contains ';' needs quotation"),
        ('a,b\n1,"x\n2,3\n', r"line 2: a quotation mark is out of place"),
        (b"a,b\n1,caf\xe9\n", r"not UTF-8 text: byte 0xe9 at offset 9 \(line 2\)"),
        (b"a\xff,b\n1,2\n", r"not UTF-8 text: byte 0xff at offset 1 \(line 1\)"),
        ("1,2\n3,4\n", r"line 1 holds numbers where the names of columns are expected"),
        ("a,b,a\n1,2,3\n", r"has two columns of the name 'a'"),
        ("a,b\n", r"has no rows below its first line"),
        ("a,b", r"has no rows below its first line"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"is no table: it looks like an image"),
        (b"PK\x03\x04....", r"is no table: it looks like a zip archive.*xlsx"),
        (b"abc\0def", r"is no table: it has bytes of no text"),
        ("a,b\n1,2\n".encode("utf-16"), r"is no table: it looks like UTF-16"),
        (b"PAR1....PAR1", r"is a damaged Parquet file"),
        (b"PAR1....", r"is no table: it looks like a Parquet file"),
    ],
)
def test_what_is_no_table_is_refused(write, content, message):
    assert re.search(message, refused(read_table, write(content)))


def test_files_that_are_not_there_empty_or_folders(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="is empty"):
        read_table(write(""))
    with pytest.raises(ValueError, match="blank lines only"):
        read_table(write("\n\n"))
    assert "is a folder" in refused(read_table, tmp_path)
    write("a,b\n1,2\n", "one.csv"), write("a,b\n1,2\n", "two.csv")
    assert "stands for 3 files" in refused(read_table, tmp_path / "*.csv")


# Series


def test_rows_of_an_id_are_one_sequence_wherever_they_are():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 7, 100)
    x = rng.normal(size=(100, 2)).astype(np.float32)
    frame = pl.DataFrame({"id": ids, "a": x[:, 0], "b": x[:, 1]})
    series = series_of(frame, ["b", "a"], id="id")
    assert series.ids == tuple(dict.fromkeys(ids.tolist()))
    for i, name in enumerate(series.ids):
        np.testing.assert_array_equal(series.sequences[i], x[ids == name][:, ::-1])
    np.testing.assert_array_equal(series.sequences.values, x[series.rows][:, ::-1])
    assert series_of(frame, id="id").names == ("a", "b")
    whole = series_of(frame, ["a"])
    assert whole.ids == (None,) and len(whole.sequences) == 1
    assert whole.sequences.values.dtype == np.float32


@pytest.mark.parametrize(
    "times",
    [
        [1, 2, 2, 1, 1, 5],
        [
            "2024-01-01",
            "2024-01-02",
            "2024-02-01",
            "2023-01-01",
            "2023-01-01",
            "2024-01-01",
        ],
        ["09:00:00", "10:00:00", "10:00:00", "01:00:00", "02:00:00", "03:00:00"],
        ["2024-01", "2024-02", "2024-02", "2023-12", "2024-01", "2024-11"],
        ["1", "2", "10", "1", "9", "10"],
    ],
)
def test_time_may_stand_still_and_begin_anew_with_each_sequence(times):
    frame = pl.DataFrame({"who": list("aaabbb"), "t": times, "x": range(6)})
    assert series_of(frame, id="who", time="t").names == ("x",)
    message = refused(series_of, frame, ["x"], time="t", name="a.csv")
    assert message.startswith("a.csv: time goes back in data row 4, column 't': from ")
    assert message.endswith("or name the column that tells sequences apart.")
    swapped = frame[[0, 1, 2, 3, 5, 4]]
    message = refused(series_of, swapped, ["x"], id="who", time="t")
    assert "data row 6" in message and message.endswith("Sort the rows by time.")


def test_numbers_in_text_and_what_counts_as_missing(write):
    content = "x,y\n 1 ,1\nNA,2\nn/a,3\n-,4\n?,5\n NULL,6\n1e2,7\nnan,8\n"
    frame = read_table(write(content))
    series = series_of(frame, missing="mask")
    assert series.names == ("x", "y", "x is missing")
    x, y, flag = series.sequences[0].T
    assert x[[0, 6]].tolist() == [1, 100] and np.isnan(x[[1, 2, 3, 4, 5, 7]]).all()
    assert flag.tolist() == [0, 1, 1, 1, 1, 1, 0, 1] and y.tolist() == [*range(1, 9)]


FRAME = pl.DataFrame(
    {
        "load": ["1", "x", "y"],
        "gap": [1.0, None, None],
        "big": [1.0, 1e39, 2.0],
        "id": ["a", None, "b"],
        "t": [1, None, 2],
        "odd": ["Q1 1959", "Q2 1959", "Q3 1959"],
        "slashed": ["1/2/2024"] * 3,
        "one": [1, 2, 3],
        "class": ["u", "u", "v"],
        "hole": ["u", " ", "v"],
    }
).with_columns(day=pl.Series([0, 1, 2]).cast(pl.Date))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ["Laod"]}, "f.csv has no column 'Laod'; the nearest is 'load'."),
        ({"features": ["zzz"]}, "f.csv has no column 'zzz'.\nIts columns: load, gap"),
        ({"features": ["one"], "id": "idd"}, "no column 'idd'; the nearest is 'id'"),
        ({"features": ["one"], "time": "x"}, "f.csv has no column 'x'"),
        (
            {"features": ["load"]},
            "f.csv: column 'load' holds text in data row 2, 'x', and in 1 more.",
        ),
        ({"features": ["day"]}, "f.csv: column 'day' holds Date, not numbers"),
        ({"features": ["big"]}, "column 'big' holds 1e+39 in data row 2"),
        (
            {"features": ["gap"]},
            "f.csv: column 'gap' has no value in data row 2, and 1 more.\nFill it in, "
            "or choose what is done about missing values: mask or interpolate.",
        ),
        (
            {"features": ["gap"], "missing": "mask", "indicators": []},
            "column 'gap' has no value in data row 2, and 1 more, but it had all",
        ),
        ({"features": ["one"], "id": "id"}, "'id', which tells sequences apart, is"),
        ({"features": ["one"], "time": "t"}, "column 't' has no time in data row 2"),
        ({"features": ["one"], "time": "odd"}, "'Q1 1959', which is neither a number"),
        ({"features": ["one"], "time": "slashed"}, "'1/2/2024', which is neither"),
        ({"features": []}, "f.csv has no column left to be a feature"),
    ],
)
def test_columns_that_cannot_be_read_are_refused(options, message):
    assert message in refused(series_of, FRAME, name="f.csv", **options)


def test_a_sequence_without_any_value_is_not_interpolated():
    frame = pl.DataFrame({"id": [1, 1, 2, 2], "x": [1.0, None, None, None]})
    message = refused(series_of, frame, id="id", missing="interpolate")
    assert "column 'x' has no value at all in sequence 2" in message
    with pytest.raises(ValueError, match="'refuse', 'mask' or 'interpolate', got 'no'"):
        series_of(frame, id="id", missing="no")


@given(st.integers(0, 2**32 - 1))
@QUICK
def test_interpolation_is_that_of_pandas(seed):
    """By its Series.interpolate, within each sequence, nearest values at the ends."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(t, 2)) for t in rng.integers(1, 12, 4)]
    for a in arrays:
        a[1:][rng.random((len(a) - 1, 2)) < 0.4] = np.nan
        rng.shuffle(a)
    xs = from_arrays(arrays)
    before = xs.values.copy()
    found, names = fill_missing(xs, ["a", "b"], "interpolate")
    assert names == ("a", "b")
    for i, a in enumerate(arrays):
        filled = pandas.DataFrame(a).interpolate(limit_direction="both")
        np.testing.assert_allclose(found[i], filled.to_numpy(), rtol=1e-12)
    np.testing.assert_array_equal(xs.values, before)


def test_the_columns_that_are_marked_can_be_those_of_the_training_data():
    xs = from_arrays([[[1.0, 2.0], [np.nan, 4.0]]])
    marked, names = fill_missing(xs, ["a", "b"], "mask", indicators=["b", "a"])
    assert names == ("a", "b", "b is missing", "a is missing")
    assert marked.values[:, 2:].tolist() == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="'a' has no value in step 2 of sequence 1"):
        fill_missing(xs, ["a", "b"])


def test_classes_beside_a_series():
    frame = FRAME.with_columns(who=pl.Series([7, 7, 8]))
    series = series_of(frame, ["one"], id="who")
    assert labels_of(frame, "class", series).tolist() == ["u", "v"]
    assert labels_of(frame, "one", series, each="step").tolist() == ["1", "2", "3"]
    message = refused(labels_of, frame, "one", series, name="f.csv")
    change = "column 'one' changes within sequence 7, from '1' to '2' in data row 2"
    assert change in message
    message = refused(labels_of, frame, "hole", series)
    assert "column 'hole' has no class in data row 2" in message
    assert "nearest is 'class'" in refused(labels_of, frame, "clas", series)
    scattered = frame[[0, 2, 1]]
    series = series_of(scattered, ["one"], id="who")
    labels = labels_of(scattered, "load", series, each="step")
    assert labels.tolist() == ["1", "x", "y"]  # in the order of the steps


def test_a_column_is_found_whatever_its_case_is_near():
    frame = pl.DataFrame({"Temperature": [1], **{f"c{k}": [1] for k in range(30)}})
    message = refused(column, frame, "temperture")
    assert "the nearest is 'Temperature'" in message and "and 11 more" in message


# Pairs and lines


@given(st.lists(st.tuples(*[st.text("abc äß语,\"'", min_size=1)] * 2), min_size=1))
@QUICK
def test_pairs_are_read_as_written(pairs):
    pairs = [(a.strip() or "x", b.strip() or "y") for a, b in pairs]
    path = TEMPORARY / "pairs.tsv"
    path.write_bytes("".join(f" {a}\t{b} \r\n\n" for a, b in pairs).encode())
    assert read_pairs(path) == pairs
    assert read_lines(path) == [f"{a}\t{b}" for a, b in pairs]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\n\nab\n", "line 3: no tab, but two texts with one tab"),
        ("a\tb\tc\n", "line 1: 2 tabs, but two texts"),
        ("a\tb\n\tc\n", "line 2: nothing in front of the tab"),
        ("a\t \n", "line 1: nothing behind the tab"),
        ("\n \n", "file.csv has blank lines only"),
        (b"a\tb\nc\xe9\td\n", r"not UTF-8 text: byte 0xe9 at offset 5 \(line 2\)"),
        (b"\x89PNG\0", "is no text: it looks like an image"),
    ],
)
def test_what_is_no_pair_is_refused(write, content, message):
    assert re.search(message, refused(read_pairs, write(content)))


def test_lines_that_are_blank_are_refused_too(write):
    assert "blank lines only" in refused(read_lines, write("\n\t\n"))


# Sentences


WORDS = st.text("abcä#-.", min_size=1, max_size=5).filter(lambda w: w != "-DOCSTART-")


@given(
    st.lists(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1), min_size=1),
    st.sampled_from(["\t", " "]),
)
@QUICK
def test_sentences_are_read_as_written(sentences, mark):
    path = TEMPORARY / "a.conll"
    lines = "\n\n".join(
        "\n".join(mark.join(row) for row in sentence) for sentence in sentences
    )
    path.write_bytes(("\n\n" + lines + "\n\n\n").encode())
    columns = [[list(c) for c in zip(*s, strict=True)] for s in sentences]
    assert read_conll(path) == [(c[0], c[2]) for c in columns]
    assert read_conll(path, token=3, tag=2) == [(c[2], c[1]) for c in columns]
    assert read_conll(path, token=-2, tag=None) == [(c[1], []) for c in columns]


def test_comments_and_starts_of_documents_are_passed_over(write):
    content = "# text = a b\na\tX\n# more\nb\tY\n\n# next\n#\tZ\n"
    assert read_conll(write(content)) == [(["a", "b"], ["X", "Y"]), (["#"], ["Z"])]
    content = "-DOCSTART- O\n\n# O\nb B-X\n-DOCSTART- O\nc O\n"
    assert read_conll(write(content)) == [
        (["#", "b"], ["O", "B-X"]),
        (["c"], ["O"]),
    ]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a X\nb\n", {}, "line 2: columns 1, but 2 in the first line .is the tag miss"),
        ("a\tX\nb\t\n", {}, "line 2: the tag is missing"),
        ("a\tX\n\tY\n", {}, "line 2: the token is missing"),
        ("a X\nb Y Z\n", {}, "line 2: columns 3, but 2 in the first line[.]"),
        ("a\nb\n", {}, "line 1: there is one column, and a token and its tag"),
        ("a X\n", {"tag": 3}, "there are 2 columns, and no column 3 with the tag"),
        ("a X\n", {"token": 0}, "there are 2 columns, and no column 0 with the token"),
        ("a X\n", {"token": -3}, "no column -3 with the token"),
        ("\n\n", {}, "has no sentence"),
        (b"a X\nb\xff Y\n", {}, "not UTF-8 text"),
    ],
)
def test_what_is_no_sentence_is_refused(write, content, options, message):
    assert re.search(message, refused(read_conll, write(content), **options))


# Arrays


def padded(arrays):
    most = max(map(len, arrays))
    out = np.full((len(arrays), most, *arrays[0].shape[1:]), 99, arrays[0].dtype)
    for row, a in zip(out, arrays, strict=True):
        row[: len(a)] = a
    return out


@pytest.mark.parametrize("form", ["list", "padded", "flat", "flat, with its end"])
@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("each", ["sequence", "step", None])
def test_arrays_are_read_in_every_form(tmp_path, form, tokens, each):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 12)
    shape = lambda t: (t,) if tokens else (t, 3)
    draw = lambda t: (
        rng.integers(0, 9, shape(t)) if tokens else rng.normal(size=shape(t))
    )
    arrays = [draw(t) for t in lengths]
    steps = [rng.integers(0, 5, t) for t in lengths]
    y = {"sequence": rng.choice(["a", "b"], 12), None: None}.get(each)
    parts, named = [], {}
    if form == "list":
        parts = arrays
        y = np.concatenate(steps) if each == "step" else y
    elif form == "padded":
        named = {"x": padded(arrays), "lengths": lengths}
        y = padded(steps) if each == "step" else y
    else:
        ends = np.cumsum(lengths)
        offsets = np.append(0, ends if "end" in form else ends[:-1])
        named = {"values": np.concatenate(arrays), "offsets": offsets}
        y = np.concatenate(steps) if each == "step" else y
    named |= {} if y is None else {"y": y}
    np.savez(tmp_path / "a.npz", *parts, **named, groups=np.arange(12) % 3)
    data = read_npz(tmp_path / "a.npz")
    assert len(data.inputs) == 12 and data.groups.tolist() == [0, 1, 2] * 4
    for i in range(12):
        np.testing.assert_array_equal(data.inputs[i], arrays[i])
        if each == "step":
            np.testing.assert_array_equal(data.targets[i], steps[i])
    assert data.inputs.values.dtype == (np.int32 if tokens else np.float64)
    if each == "sequence":
        assert data.targets.tolist() == y.tolist()
    assert (data.targets is None) == (each is None)


X = np.zeros((3, 4, 2))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": X}, "it has the arrays a, b.\nWrite np.savez"),
        ({"x": np.zeros(3)}, r"x must have shape (n, T, ...), got (3,)"),
        ({"x": X, "lengths": np.ones(3)}, "lengths must be 3 integers, got float64"),
        ({"x": X, "lengths": np.array([1, 5, 2])}, "lengths must be from 1 to 4"),
        ({"x": X, "y": np.zeros(5)}, "a row for each of the 3 sequences or 12 steps"),
        ({"x": X, "groups": np.zeros(2)}, "groups must have shape (3,), got (2,)"),
        ({"x": np.array([["a", "b"]])}, "sequences hold numbers, got <U1"),
        ({"values": X, "offsets": np.zeros(2)}, "offsets must be integers (n,)"),
        ({"values": X, "offsets": np.array([1, 2])}, "offsets must begin at 0"),
        ({"values": X, "offsets": np.array([0, 2, 2])}, "offsets must begin at 0"),
        ({"values": X, "offsets": np.array([0, 7])}, "grow to no more than 3"),
        ({"arr_0": X, "arr_1": np.zeros((2, 4, 3))}, "a step of sequence 1 has shape"),
        (
            {"x": np.array([None, 3])},
            "an array of objects, and to read one is",
        ),
    ],
)
def test_arrays_that_are_no_sequences_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in refused(read_npz, tmp_path / "a.npz")


def test_other_files_are_no_npz(write, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    for path in (
        tmp_path / "a.npy",
        write("a,b\n"),
        write(b"PK\x03\x04abc", "b.npz"),
        write(b"\x80\x04N.", "c.npz"),
    ):
        assert "is no .npz file" in refused(read_npz, path)
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(50, 9)))
    whole = (tmp_path / "d.npz").read_bytes()
    assert "is no .npz file" in refused(read_npz, write(whole[:2000], "e.npz"))
    broken = whole[:1000] + b"\0\1\2" + whole[1003:]
    assert "is no .npz file" in refused(read_npz, write(broken, "f.npz"))
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


# The archives of time series


HEAD = "@problemName p\n@timestamps false\n@missing {m}\n@univariate {u}\n"


@pytest.mark.slow
def test_a_ts_file_is_read_time_first(write):
    pytest.importorskip("aeon")
    head = HEAD.format(m="false", u="false") + "@dimension 2\n@equalLength false\n"
    body = "@classLabel true a b\n@data\n1,2,3:4,5,6:a\n7,8:9,10:b\n"
    data = read_ts(write(head + body, "p.ts"))
    assert data.targets.tolist() == ["a", "b"]
    assert data.inputs[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert data.inputs[1].tolist() == [[7, 9], [8, 10]]
    assert data.inputs.values.dtype == np.float32
    head = HEAD.format(m="true", u="true") + "@equalLength true\n@seriesLength 3\n"
    data = read_ts(
        write(head + "@classLabel true x y\n@data\n1,?,3:x\n4,5,6:y\n", "q.ts")
    )
    np.testing.assert_array_equal(data.inputs[0].ravel(), [1, np.nan, 3])


@pytest.mark.slow
def test_other_files_are_no_ts(write, tmp_path):
    pytest.importorskip("aeon")
    for content in ("a,b\n1,2\n", b"\xff\xfe\0\0", "@problemName\n"):
        refused(read_ts, write(content, "r.ts"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_ts(tmp_path / "none.ts")
    assert "is a folder" in refused(read_ts, tmp_path)


def test_without_aeon_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install aeon" in refused(read_ts, "p.ts")
