r"""Vocabularies: between text and token ids, at three levels.

* `"char"`: one token per Unicode code point. Nothing is normalised: an accent typed
  as a combining mark is a token of its own.
* `"byte"`: one token per byte, always 256 symbols. Any file can be encoded.
* `"word"`: one token per word. A word is a run of word characters (`\w`), with
  apostrophes inside it; any other visible character is a token by itself; each takes
  the one space in front of it along (`" word"`, `" ("`). White space that is left,
  such as a newline or the second of two spaces, is a token per character. Joining the
  tokens therefore gives the text back, character for character.

A vocabulary is data; what is done with it are functions that take it as an argument.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Level = Literal["char", "byte", "word"]

LEVELS = ("char", "byte", "word")
UNKNOWN_CHARACTER = "\ufffd"  # Unicode's own sign for a character that was lost
UNKNOWN_WORD = "<unk>"  # no clash with text: its brackets are tokens of their own
JSON_FORMAT = "jrnn.vocabulary"
JSON_VERSION = 1

_WORD = re.compile(r" ?\w+(?:['’]\w+)*| ?[^\w\s]|\s")


@dataclass(frozen=True)
class Vocabulary:
    """The symbols a model knows; the id of a symbol is its place.

    `len(vocabulary)` is V, the number of symbols.
    """

    level: Level
    """What a symbol is: a `"char"`, a `"byte"` or a `"word"`."""
    symbols: tuple[str, ...]
    """(V,), all different; a byte is written as the character of its number."""
    unknown: int | None = None
    """The id that stands for every symbol not listed; `None`: there is none."""

    def __post_init__(self) -> None:
        _check_vocabulary(self)

    def __len__(self) -> int:
        return len(self.symbols)


def build_vocabulary(
    text: str | bytes, level: Level = "char", min_count: int = 1
) -> Vocabulary:
    r"""Collect the symbols of a text.

    Characters are ordered by code point; words by falling count, equal counts
    alphabetically. The unknown token, where there is one, comes first.

    Args:
        text: the text to collect from; for `"byte"` it may be anything, since the
            256 symbols do not depend on it.
        level: `"char"`, `"byte"` or `"word"`, see the head of this module.
        min_count: symbols seen less often are left out and become the unknown token.
            At level `"word"` there is always an unknown token, at level `"char"` if
            `min_count` is over 1, at level `"byte"` never. Losses of models with
            different `min_count` do not compare: the unknown token is likelier than
            each of the symbols that it stands for, and a word left out becomes two
            tokens, its space and the unknown one, so that the same text has more.

    Returns:
        The `Vocabulary`.

    Raises:
        ValueError: another level; `min_count` below 1; a text without characters.
        TypeError: bytes at a level that needs text.

    Example:
        >>> vocabulary = build_vocabulary("hello world")
        >>> "".join(vocabulary.symbols)
        ' dehlorw'
        >>> build_vocabulary("to be or not to be", level="word").symbols
        ('<unk>', ' be', ' not', ' or', ' to', 'to', ' ')
    """
    _check_level("build_vocabulary", level)
    if min_count < 1:
        raise ValueError(f"build_vocabulary: min_count must be >= 1, got {min_count}.")
    if level == "byte":
        return Vocabulary("byte", _BYTES)
    text = _string("build_vocabulary", text, level)
    if not text:
        raise ValueError("build_vocabulary: the text is empty.")
    if level == "char":
        return _characters(text, min_count)
    return _words(text, min_count)


def tokenize_words(text: str) -> list[str]:
    r"""Cut a text into the tokens of level `"word"`; joined they are the text again.

    Args:
        text: any text.

    Returns:
        The tokens in order.

    Example:
        >>> tokenize_words("Don't go,\nhe  said.")
        ["Don't", ' go', ',', '\n', 'he', ' ', ' said', '.']
    """
    return _WORD.findall(text)


def encode(vocabulary: Vocabulary, text: str | bytes) -> np.ndarray:
    """Turn a text into token ids.

    A symbol outside the vocabulary becomes the unknown token, or an error where the
    vocabulary has none. A word known only without the space in front of it becomes two
    tokens, the space and the word, so an unknown word does not swallow its space. At
    level `"byte"` nothing can fail: text is encoded as UTF-8 (a lone surrogate too, in
    the three bytes of its number).

    Args:
        vocabulary: from `build_vocabulary` or `from_json`.
        text: a string; bytes are taken at level `"byte"` only.

    Returns:
        Ids, int32 `(N,)`, each in `[0, len(vocabulary))`.

    Raises:
        ValueError: an unknown character, named with its code point and place.
        TypeError: bytes at a level that needs text, or no text at all.

    Example:
        >>> encode(build_vocabulary("hello world"), "hold").tolist()
        [3, 5, 4, 1]
    """
    if vocabulary.level == "byte" and isinstance(text, bytes):
        return _encode_bytes(text)
    text = _string("encode", text, vocabulary.level)
    if vocabulary.level == "byte":
        return _encode_bytes(text.encode("utf-8", "surrogatepass"))
    if vocabulary.level == "char":
        return _encode_characters(vocabulary, text)
    return _encode_words(vocabulary, text)


def unknown_symbols(vocabulary: Vocabulary, text: str | bytes) -> Counter[str]:
    """Count the symbols of a text that are not in a vocabulary.

    They are what `encode` turns into the unknown token or refuses. A word that is known
    without the space in front of it is not among them; an unknown one stands here
    without that space, which is a token of its own.

    Args:
        vocabulary: from `build_vocabulary` or `from_json`.
        text: as for `encode`.

    Returns:
        How often each occurs, in the order of their first places; empty at level
        `"byte"`.

    Raises:
        TypeError: as `encode`.

    Example:
        >>> unknown_symbols(build_vocabulary("to be"), "to bear a bear")
        Counter({'a': 3, 'r': 2})
    """
    if vocabulary.level == "byte" and isinstance(text, bytes):
        return Counter()
    text = _string("unknown_symbols", text, vocabulary.level)
    known = set(vocabulary.symbols)
    if vocabulary.level == "byte":
        return Counter()
    if vocabulary.level == "char":
        if vocabulary.unknown is not None:
            known.remove(vocabulary.symbols[vocabulary.unknown])
        return Counter({c: n for c, n in Counter(text).items() if c not in known})
    missing: Counter[str] = Counter()
    for word, n in Counter(tokenize_words(text)).items():
        bare = word[1:] if word[0] == " " and " " in known else word
        if word not in known and bare not in known:
            missing[bare] += n
    return missing


def decode(vocabulary: Vocabulary, tokens: Any) -> str:
    """Turn token ids into text.

    The unknown token is written U+FFFD at level `"char"` and `<unk>` at level `"word"`.
    At level `"byte"` the bytes are read as UTF-8, and what is not UTF-8 is shown as
    U+FFFD; `decode_bytes` gives the bytes themselves.

    Args:
        vocabulary: the vocabulary that encoded them.
        tokens: ids `(N,)`, any array or sequence of integers.

    Returns:
        The text.

    Raises:
        ValueError: an id that is not in the vocabulary, or an array of another rank.
        TypeError: ids that are not integers.

    Example:
        >>> vocabulary = build_vocabulary("hello world")
        >>> decode(vocabulary, [3, 5, 4, 1])
        'hold'
    """
    tokens = _check_tokens("decode", vocabulary, tokens)
    if vocabulary.level == "byte":
        return decode_bytes(vocabulary, tokens).decode("utf-8", "replace")
    if vocabulary.level == "char":
        points = _code_points("".join(vocabulary.symbols))[tokens]
        return points.tobytes().decode("utf-32-le", "surrogatepass")
    return "".join([vocabulary.symbols[token] for token in tokens.tolist()])


def decode_bytes(vocabulary: Vocabulary, tokens: Any) -> bytes:
    r"""Turn token ids of level `"byte"` into the bytes they stand for.

    A chunk of a generated stream can end inside a character of several bytes: feed the
    chunks to `codecs.getincrementaldecoder("utf-8")(errors="replace")` to show them.

    Args:
        vocabulary: a vocabulary of level `"byte"`.
        tokens: ids `(N,)`, any array or sequence of integers.

    Returns:
        N bytes.

    Raises:
        ValueError: a vocabulary of another level; otherwise as `decode`.
        TypeError: ids that are not integers.

    Example:
        >>> vocabulary = build_vocabulary(b"", level="byte")
        >>> decode_bytes(vocabulary, [74, 255])
        b'J\xff'
    """
    if vocabulary.level != "byte":
        raise ValueError(
            f"decode_bytes: the vocabulary has level {vocabulary.level!r}, not 'byte'."
        )
    tokens = _check_tokens("decode_bytes", vocabulary, tokens)
    return tokens.astype(np.uint8).tobytes()


def to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """Describe a vocabulary by what JSON can hold: the content of `vocab.json`.

    Args:
        vocabulary: any.

    Returns:
        A dict of strings, numbers and lists, always in the same order.

    Example:
        >>> to_json(build_vocabulary("aba"))["symbols"]
        ['a', 'b']
    """
    return {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "level": vocabulary.level,
        "unknown": vocabulary.unknown,
        "symbols": None if vocabulary.level == "byte" else list(vocabulary.symbols),
    }


def from_json(data: Any) -> Vocabulary:
    """Rebuild a vocabulary from what `to_json` returned; the exact inverse.

    Args:
        data: the dict, as `json.load` reads it.

    Returns:
        A `Vocabulary` equal to the one that was described.

    Raises:
        ValueError: not a vocabulary, a version from the future, or a broken content;
            the message says which entry.

    Example:
        >>> vocabulary = build_vocabulary("aba")
        >>> from_json(to_json(vocabulary)) == vocabulary
        True
    """
    if not isinstance(data, dict) or data.get("format") != JSON_FORMAT:
        raise ValueError(
            f'from_json: not a vocabulary, it has no entry "format": "{JSON_FORMAT}".'
        )
    if data.get("version") != JSON_VERSION:
        raise ValueError(
            f"from_json: the vocabulary has format version {data.get('version')!r}, "
            f"but this jrnn reads version {JSON_VERSION}."
        )
    level, unknown, symbols = (data.get(k) for k in ("level", "unknown", "symbols"))
    if level == "byte" and symbols is None:
        symbols = list(_BYTES)
    if not isinstance(symbols, list):
        raise ValueError("from_json: symbols must be a list of strings.")
    if unknown is not None and type(unknown) is not int:
        raise ValueError(f"from_json: unknown must be an id or null, got {unknown!r}.")
    return Vocabulary(_check_level("Vocabulary", level), tuple(symbols), unknown)


_BYTES = tuple(map(chr, range(256)))


def _characters(text: str, min_count: int) -> Vocabulary:
    points, counts = np.unique(_code_points(text), return_counts=True)
    symbols = [chr(p) for p in points[counts >= min_count]]
    if min_count == 1:
        return Vocabulary("char", tuple(symbols))
    known = [s for s in symbols if s != UNKNOWN_CHARACTER]
    return Vocabulary("char", (UNKNOWN_CHARACTER, *known), unknown=0)


def _words(text: str, min_count: int) -> Vocabulary:
    counts = Counter(tokenize_words(text))
    # encode() falls back to a space and a bare word, so there must be a space
    counts[" "] = max(counts[" "], 0)
    known = [w for w, n in counts.items() if n >= min_count or w == " "]
    known.sort(key=lambda word: (-counts[word], word))
    return Vocabulary("word", (UNKNOWN_WORD, *known), unknown=0)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _encode_bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).astype(np.int32)


def _encode_characters(vocabulary: Vocabulary, text: str) -> np.ndarray:
    known = _code_points("".join(vocabulary.symbols))
    # One table entry per code point up to the highest, and one for all beyond it
    ids = np.full(int(known.max()) + 2, -1, np.int32)
    ids[known] = np.arange(len(known), dtype=np.int32)
    tokens = ids[np.minimum(_code_points(text), len(ids) - 1)]
    if vocabulary.unknown is not None:
        return np.where(tokens < 0, np.int32(vocabulary.unknown), tokens)
    missing = tokens < 0
    if missing.any():
        raise ValueError(_unknown_message(text, int(missing.argmax()), vocabulary))
    return tokens


def _encode_words(vocabulary: Vocabulary, text: str) -> np.ndarray:
    ids = {symbol: i for i, symbol in enumerate(vocabulary.symbols)}
    unknown = vocabulary.unknown
    assert unknown is not None  # no vocabulary of words is without
    tokens: list[int] = []
    for word in tokenize_words(text):
        if word in ids:
            tokens.append(ids[word])
        elif word[0] == " " and " " in ids:
            tokens += ids[" "], ids.get(word[1:], unknown)
        else:
            tokens.append(unknown)
    return np.array(tokens, np.int32)


def _unknown_message(text: str, index: int, vocabulary: Vocabulary) -> str:
    character = text[index]
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    others = len(set(text[index:]) - set(vocabulary.symbols)) - 1
    more = f" and {others} more" if others else ""
    return (
        f"encode: the vocabulary has no character {character!r} "
        f"(U+{ord(character):04X}){more}; first at index {index} "
        f"(line {line}, column {column}).\n"
        "Remove it from this text, or build the vocabulary from a text that has it, "
        "with min_count over 1 (an unknown token), or at level 'byte' (no unknowns)."
    )


def _check_level(function: str, level: Any) -> Level:
    if level not in LEVELS:
        raise ValueError(
            f"{function}: level must be 'char', 'byte' or 'word', got {level!r}."
        )
    return level


def _string(function: str, text: Any, level: str) -> str:
    """The text; an error where it is none."""
    if isinstance(text, str):
        return text
    fix = " Decode it first, or use level 'byte'." if isinstance(text, bytes) else ""
    raise TypeError(
        f"{function}: level {level!r} needs a str, got {type(text).__name__}.{fix}"
    )


def _check_tokens(function: str, vocabulary: Vocabulary, tokens: Any) -> np.ndarray:
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(
            f"{function}: tokens must have shape (N,), got {tokens.shape}. "
            "Decode the rows of a batch one at a time."
        )
    if tokens.size == 0:
        return tokens.astype(np.int32)
    if not np.issubdtype(tokens.dtype, np.integer):
        raise TypeError(f"{function}: tokens must be integers, got {tokens.dtype}.")
    outside = (tokens < 0) | (tokens >= len(vocabulary))
    if outside.any():
        index = int(outside.argmax())
        raise ValueError(
            f"{function}: token {tokens[index]} at index {index} is not in the "
            f"vocabulary of {len(vocabulary)} symbols."
        )
    return tokens


def _check_vocabulary(vocabulary: Vocabulary) -> None:
    level, symbols, unknown = vocabulary.level, vocabulary.symbols, vocabulary.unknown
    _check_level("Vocabulary", level)
    if not symbols or not all(isinstance(s, str) and s for s in symbols):
        raise ValueError("Vocabulary: symbols must be non-empty strings, at least one.")
    if len(set(symbols)) < len(symbols):
        twice = next(s for s, n in Counter(symbols).items() if n > 1)
        raise ValueError(f"Vocabulary: the symbol {twice!r} stands there twice.")
    if level == "byte" and symbols != _BYTES:
        raise ValueError("Vocabulary: level 'byte' has the symbols 0 to 255, in order.")
    if level == "char" and any(len(s) > 1 for s in symbols):
        long = next(s for s in symbols if len(s) > 1)
        raise ValueError(f"Vocabulary: {long!r} is more than one character.")
    if level == "word" and unknown is None:
        raise ValueError("Vocabulary: level 'word' needs an unknown token.")
    if unknown is not None and not 0 <= unknown < len(symbols):
        raise ValueError(
            f"Vocabulary: unknown is {unknown}, outside the {len(symbols)} symbols."
        )
