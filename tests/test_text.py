"""Vocabularies, streams and corpora: round trips, laws, and every error by its text."""

import ast
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from jrnn import text as jt
from jrnn.text.corpus import _without_repetition

# Accents as one code point and as two, astral characters, joiners, controls, a lone
# surrogate, line ends of every kind
AWKWARD = (
    "e\u0301é ñ 😀👩‍🚀 नमस्ते \u200b\x00\x85\u2028\r\n\ttab don’t O'Neil's __x1 \ud800"
)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab '\n.,é\u0301😀", max_size=60),
    st.text(alphabet=st.characters(codec=None), max_size=20),
)


def given(*strategies):
    """Draw the same examples every time, however slow the machine is."""
    steady = settings(deadline=None, derandomize=True)
    return lambda test: steady(hypothesis_given(*strategies)(test))


# Vocabularies


@given(TEXTS.filter(len))
@example(AWKWARD)
def test_characters_round_trip(text):
    vocabulary = jt.build_vocabulary(text)
    tokens = jt.encode(vocabulary, text)
    assert tokens.dtype == np.int32 and tokens.shape == (len(text),)
    assert vocabulary.symbols == tuple(sorted(set(text)))
    assert len(vocabulary) == len(set(text))
    assert [vocabulary.symbols[token] for token in tokens] == list(text)
    assert jt.decode(vocabulary, tokens) == text


@given(st.binary(max_size=60))
def test_bytes_round_trip(data):
    vocabulary = jt.build_vocabulary(data, "byte")
    tokens = jt.encode(vocabulary, data)
    assert tokens.dtype == np.int32 and tokens.tolist() == list(data)
    assert jt.decode_bytes(vocabulary, tokens) == data
    assert jt.decode(vocabulary, tokens) == data.decode("utf-8", "replace")
    assert len(vocabulary) == 256


@pytest.mark.slow
@given(TEXTS)
@example(AWKWARD)
def test_bytes_encode_any_text(text):
    vocabulary = jt.build_vocabulary("", "byte")
    data = text.encode("utf-8", "surrogatepass")
    assert jt.encode(vocabulary, text).tolist() == list(data)
    assert jt.decode_bytes(vocabulary, jt.encode(vocabulary, text)) == data


@given(TEXTS.filter(len))
@example(AWKWARD)
@example("  two  spaces \n\n .\n")
def test_words_round_trip(text):
    assert "".join(jt.tokenize_words(text)) == text
    vocabulary = jt.build_vocabulary(text, "word")
    tokens = jt.encode(vocabulary, text)
    assert jt.decode(vocabulary, tokens) == text
    assert len(tokens) == len(jt.tokenize_words(text))
    assert vocabulary.unknown not in tokens


@given(TEXTS.filter(len), TEXTS, st.integers(1, 3))
def test_words_other_text_is_readable(known, other, min_count):
    vocabulary = jt.build_vocabulary(known, "word", min_count)
    words = jt.tokenize_words(known)
    frequent = {w for w in words if words.count(w) >= min_count} | {" "}
    assert set(vocabulary.symbols) == frequent | {"<unk>"}
    shown = lambda word: word if word in frequent else "<unk>"
    expected = "".join(
        " " + shown(word[1:])
        if word not in frequent and word[0] == " "
        else shown(word)
        for word in jt.tokenize_words(other)
    )
    assert jt.decode(vocabulary, jt.encode(vocabulary, other)) == expected


def test_words_by_hand():
    assert jt.tokenize_words("It's  3.5 (ok)!\n\n'Tis “so”") == [
        *("It's", " ", " 3", ".", "5", " (", "ok", ")", "!", "\n", "\n"),
        *("'", "Tis", " “", "so", "”"),
    ]
    assert jt.tokenize_words("rock'n'roll's 'n'") == [
        *("rock'n'roll's", " '", "n", "'"),
    ]
    vocabulary = jt.build_vocabulary("a b b c c c", "word", min_count=2)
    assert vocabulary.symbols == ("<unk>", " c", " b", " ")
    # " x" is unknown: the space stays. "\n" has no space to keep.
    assert jt.encode(vocabulary, " b x c\n").tolist() == [2, 3, 0, 1, 0]
    assert jt.decode(vocabulary, [2, 3, 0, 1]) == " b <unk> c"
    # known only without its space
    vocabulary = jt.build_vocabulary("start\nstart", "word")
    assert jt.decode(vocabulary, jt.encode(vocabulary, "start start")) == "start start"


@given(TEXTS.filter(len), TEXTS, st.integers(1, 3))
@example("a\ufffda\ufffd", "\ufffd", 2)
def test_unknown_characters_are_counted(known, other, min_count):
    vocabulary = jt.build_vocabulary(known, min_count=min_count)
    frequent = {c for c in known if known.count(c) >= min_count}
    if min_count > 1:  # U+FFFD is then the unknown token itself
        frequent -= {"\ufffd"}
    missing = [c for c in other if c not in frequent]
    counts = jt.unknown_symbols(vocabulary, other)
    assert counts == {c: missing.count(c) for c in missing}
    assert list(counts) == list(dict.fromkeys(missing))
    if min_count > 1:
        encoded = jt.encode(vocabulary, other)
        assert counts.total() == (encoded == vocabulary.unknown).sum()


@given(TEXTS.filter(len), TEXTS, st.integers(1, 3))
@example("start\nstart", "start start  stop stop", 1)
def test_unknown_words_are_counted_as_encode_sees_them(known, other, min_count):
    vocabulary = jt.build_vocabulary(known, "word", min_count)
    counts = jt.unknown_symbols(vocabulary, other)
    encoded = jt.encode(vocabulary, other)
    assert counts.total() == (encoded == vocabulary.unknown).sum()
    shown = jt.decode(vocabulary, encoded).split("<unk>")
    # what is unknown, put back where it was, gives the text
    rest, found = other, []
    for before in shown[:-1]:
        rest = rest.removeprefix(before)
        found.append(next(w for w in jt.tokenize_words(rest)))
        rest = rest.removeprefix(found[-1])
    if "<unk>" not in other:
        assert dict(counts) == {w: found.count(w) for w in found}


def test_unknown_symbols_by_hand():
    vocabulary = jt.build_vocabulary("start\nstart", "word")
    counts = jt.unknown_symbols(vocabulary, "stop start  go stop\n stop")
    assert counts == {"stop": 3, "go": 1} and list(counts) == ["stop", "go"]
    assert jt.unknown_symbols(jt.build_vocabulary("", "byte"), b"\xff") == {}
    with pytest.raises(TypeError, match="unknown_symbols: level 'word' needs a str"):
        jt.unknown_symbols(vocabulary, b"a")


@given(TEXTS.filter(len), TEXTS, st.integers(2, 4))
@example("a\ufffda\ufffd", "\ufffd", 2)
def test_characters_min_count(text, other, min_count):
    vocabulary = jt.build_vocabulary(text, min_count=min_count)
    frequent = {c for c in set(text) if text.count(c) >= min_count} - {"\ufffd"}
    assert vocabulary.symbols == ("\ufffd", *sorted(frequent))
    assert vocabulary.unknown == 0
    decoded = jt.decode(vocabulary, jt.encode(vocabulary, text + other))
    assert decoded == "".join(c if c in frequent else "\ufffd" for c in text + other)


@given(TEXTS.filter(len), st.sampled_from(jt.LEVELS), st.integers(1, 2))
@example(AWKWARD, "word", 1)
def test_json_round_trip(text, level, min_count):
    vocabulary = jt.build_vocabulary(text, level, min_count)
    data = json.dumps(jt.to_json(vocabulary))
    assert jt.from_json(json.loads(data)) == vocabulary
    assert json.dumps(jt.to_json(jt.from_json(json.loads(data)))) == data
    assert list(json.loads(data))[:3] == ["format", "version", "level"]


def test_vocabulary_does_not_depend_on_order():
    for level in jt.LEVELS:
        forward = jt.build_vocabulary("x\ny\nz\ny", level)
        assert forward == jt.build_vocabulary("z\ny\nx\ny", level)


def test_one_megabyte_in_well_under_a_second():
    text = ("The quick brown fox – jumps over the lazy dog.\n" * 22_000)[:1_000_000]
    for level in jt.LEVELS:
        start = time.process_time()
        vocabulary = jt.build_vocabulary(text, level)
        assert jt.decode(vocabulary, jt.encode(vocabulary, text)) == text
        assert time.process_time() - start < 2  # 0.3 s is usual


def test_empty_text_encodes_to_nothing():
    for level in jt.LEVELS:
        vocabulary = jt.build_vocabulary("ab ab", level, min_count=2)
        assert jt.encode(vocabulary, "").shape == (0,)
        assert jt.decode(vocabulary, []) == ""


def test_unknown_character_is_named_with_its_place():
    vocabulary = jt.build_vocabulary("abc\n")
    with pytest.raises(ValueError) as error:
        jt.encode(vocabulary, "ab\nca€b😀€")
    assert str(error.value) == (
        "encode: the vocabulary has no character '€' (U+20AC) and 1 more; first at "
        "index 5 (line 2, column 3).\n"
        "Remove it from this text, or build the vocabulary from a text that has it, "
        "with min_count over 1 (an unknown token), or at level 'byte' (no unknowns)."
    )
    with pytest.raises(ValueError, match=r"'A' \(U\+0041\); first at index 0 "):
        jt.encode(vocabulary, "A")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda v: jt.build_vocabulary("a", "chars"),
            ValueError,
            "level must be 'char'",
        ),
        (lambda v: jt.build_vocabulary(""), ValueError, "the text is empty"),
        (
            lambda v: jt.build_vocabulary("a", "char", 0),
            ValueError,
            "min_count must be",
        ),
        (
            lambda v: jt.build_vocabulary(b"a"),
            TypeError,
            "'char' needs a str, got bytes. Decode it first, or use level 'byte'",
        ),
        (lambda v: jt.build_vocabulary(3, "word"), TypeError, "needs a str, got int"),
        (lambda v: jt.encode(v, b"a"), TypeError, "encode: level 'char' needs a str"),
        (
            lambda v: jt.decode(v, [0, 2]),
            ValueError,
            "token 2 at index 1 is not in",
        ),
        (lambda v: jt.decode(v, [-1]), ValueError, "token -1 at index 0"),
        (lambda v: jt.decode(v, [0.5]), TypeError, "must be integers, got float64"),
        (
            lambda v: jt.decode(v, [[0], [1]]),
            ValueError,
            r"got \(2, 1\). Decode the",
        ),
        (lambda v: jt.decode_bytes(v, [0]), ValueError, "has level 'char', not 'byte'"),
    ],
)
def test_vocabulary_errors(call, error, match):
    with pytest.raises(error, match=match):
        call(jt.build_vocabulary("ab"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": "other"}, 'not a vocabulary, it has no entry "format"'),
        ({"version": 2}, "format version 2, but this jrnn reads version 1"),
        ({"level": "letter"}, "level must be 'char', 'byte' or 'word', got 'letter'"),
        ({"level": ["word"]}, "level must be 'char', 'byte' or 'word'"),
        ({"symbols": "ab"}, "symbols must be a list of strings"),
        ({"symbols": None}, "symbols must be a list of strings"),
        ({"symbols": []}, "non-empty strings, at least one"),
        ({"symbols": ["a", 3]}, "non-empty strings"),
        ({"symbols": ["a", ""]}, "non-empty strings"),
        ({"symbols": ["a", "b", "a"]}, "the symbol 'a' stands there twice"),
        ({"symbols": ["a", "bc"]}, "'bc' is more than one character"),
        ({"unknown": 2}, "unknown is 2, outside the 2 symbols"),
        ({"unknown": "a"}, "unknown must be an id or null, got 'a'"),
        ({"unknown": True}, "unknown must be an id or null"),
        ({"level": "word"}, "level 'word' needs an unknown token"),
        ({"level": "byte"}, "level 'byte' has the symbols 0 to 255"),
    ],
)
def test_json_errors(change, match):
    data = jt.to_json(jt.build_vocabulary("ab"))
    with pytest.raises(ValueError, match=match):
        jt.from_json(data | change)
    with pytest.raises(ValueError, match="not a vocabulary"):
        jt.from_json([data])


# Streams


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 6))
def test_streams_law(count, batch_size, window):
    tokens = np.random.default_rng(count).integers(0, 9, count).astype(np.int32)
    if count < batch_size * window + 1:
        with pytest.raises(ValueError, match=f"need {batch_size * window + 1}"):
            jt.streams(tokens, batch_size, window)
        return
    inputs, targets = jt.streams(tokens, batch_size, window)
    used = inputs.size
    assert inputs.shape == targets.shape == (batch_size, used // batch_size)
    assert used % (batch_size * window) == 0
    assert 1 <= count - used <= batch_size * window  # the stated tail
    np.testing.assert_array_equal(inputs.reshape(-1), tokens[:used])
    np.testing.assert_array_equal(targets.reshape(-1), tokens[1 : used + 1])
    assert inputs.dtype == targets.dtype == np.int32
    assert np.shares_memory(inputs, tokens)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda t: jt.streams(t, 0), "batch_size must be >= 1, got 0"),
        (lambda t: jt.streams(t, 2, -1), "window must be >= 1, got -1"),
        (lambda t: jt.streams(t.reshape(2, 5), 2), r"shape \(len,\), got \(2, 5\)"),
        (
            lambda t: jt.streams(t, 3, 4),
            r"the text has 10 tokens, but 3 rows of one window of 4 need 13.\n"
            "Use a longer text, a smaller batch_size or a shorter window",
        ),
        (lambda t: jt.split(t, (0.9, 0.2)), r"got \(0.9, 0.2\) with sum 1.1"),
        (lambda t: jt.split(t, (1.5, -0.5)), "must be >= 0 and sum to 1"),
        (lambda t: jt.split(t, (float("nan"), 1)), "must be >= 0 and sum to 1"),
        (lambda t: jt.split(t, ()), "sum to 1"),
    ],
)
def test_streams_errors(call, match):
    with pytest.raises(ValueError, match=match):
        call(np.arange(10))


@given(st.integers(0, 200), st.lists(st.integers(0, 9), min_size=1).filter(any))
def test_split_is_contiguous_and_complete(count, weights):
    tokens = np.arange(count)
    parts = jt.split(tokens, [w / sum(weights) for w in weights])
    assert len(parts) == len(weights)
    np.testing.assert_array_equal(np.concatenate(parts), tokens)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(len(part) - count * weight / sum(weights)) < 1 + 1e-9


def test_split_by_default_is_90_5_5():
    assert [len(part) for part in jt.split("x" * 1000)] == [900, 50, 50]


# Files and the built-in corpus


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def test_read_files(tmp_path):
    one = write(tmp_path, "one.txt", b"\xef\xbb\xbfh\xc3\xa9\r\nl\rl\no\n")
    two = write(tmp_path, "two.txt", b"\xef\xbb\xbftwo")
    assert jt.read_files(one) == "hé\nl\nl\no\n"
    assert jt.read_files(str(two), "word") == "two"
    assert jt.read_files([one, str(two)]) == "hé\nl\nl\no\n\ntwo"
    raw = b"\xef\xbb\xbfh\xc3\xa9\r\nl\rl\no\n\n\xef\xbb\xbftwo"
    assert jt.read_files([one, two], "byte") == raw


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", r"a.txt is empty."),
        (b"\xef\xbb\xbf", r"a.txt is empty."),
        (
            b"\xef\xbb\xbfab\nc\xff",
            r"a.txt is not UTF-8 text: byte 0xff at offset 7 \(line 2\).\n"
            'Convert it to UTF-8, or use level="byte"',
        ),
        ("hé".encode("utf-16"), r"\(it looks like UTF-16\): byte 0xff at offset 0"),
        (b"cut \xe2\x82", "byte 0xe2 at offset 4"),
    ],
)
def test_read_files_refuses_content(tmp_path, data, match):
    good = write(tmp_path, "good.txt", b"good")
    with pytest.raises(ValueError, match=match):
        jt.read_files([good, write(tmp_path, "a.txt", data)])


def test_read_files_refuses_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt: no such file\.$"):
        jt.read_files(tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match="has no text file in it"):
        jt.read_files([tmp_path])
    with pytest.raises(ValueError, match="no files given"):
        jt.read_files([])
    with pytest.raises(ValueError, match="level must be"):
        jt.read_files([tmp_path], "letters")
    beneath = write(tmp_path, "file", b"x") / "deeper"
    with pytest.raises(NotADirectoryError, match=r"cannot be read: Not a directory\.$"):
        jt.read_files(beneath)


def test_python_reference():
    corpus = jt.python_reference()
    assert corpus == jt.python_reference()
    assert corpus.text.startswith('The "assert" statement\n')
    version = ".".join(map(str, sys.version_info[:3]))
    assert corpus.source.endswith(f"Python {version}")
    assert "An augmented assignment evaluates the target" in corpus.text
    assert corpus.text.count("\n" + "=" * 70 + "\n") > 50
    held_out = jt.split(corpus.text)[2]
    training = jt.split(corpus.text)[0]
    paragraphs = [p for p in held_out.split("\n\n")[1:-1] if len(p) >= 40]
    repeated = [p for p in paragraphs if f"\n\n{p}\n\n" in training and p != "=" * 70]
    assert len(paragraphs) > 40 and not repeated


def test_python_reference_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(OSError, match=r"no pydoc_data\.topics"):
        jt.python_reference()


def test_without_repetition():
    long, other, third = "x" * 40, "y" * 50, "z" * 60
    texts = [
        f"One\n\n{long}\n\nshort",
        f"Two\n\n{long}\n\nshort\n\n{other}\n",
        f"Three\n\n{long}\n\n{third}\n\n{other}",
        f"Four\n\n{third}\n\n{third}",
    ]
    assert list(_without_repetition(texts)) == [
        texts[0],
        f"Two\n\nshort\n\n{other}",
        # less than half of the third is new, so its new paragraph stays for the fourth
        texts[3],
    ]


def test_text_imports_numpy_and_nothing_more():
    folder = Path(jt.__file__).parent
    names = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    outside = {name for name in names if not name.startswith("jrnn.text.")}
    assert (
        outside
        - set(sys.stdlib_module_names)
        - {
            *("numpy", "collections.abc", "pydoc_data.topics"),
            *("compression", "backports"),  # of zstd, from Python 3.14 on and before
        }
        == set()
    )
