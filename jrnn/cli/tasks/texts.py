"""Texts and sentences as tokens, by what the training part has."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from jrnn.data import Sequences, from_arrays
from jrnn.text import Vocabulary, build_vocabulary, encode, to_json
from jrnn.text.vocabulary import UNKNOWN_CHARACTER, Level

UNKNOWN = "<unk>"


def vocabulary_of(texts: Sequence[str], level: Level, min_count: int) -> Vocabulary:
    """The symbols of texts, an unknown one always among them."""
    joined = "\n".join(_spaced(text, level) for text in texts)
    counted = build_vocabulary(joined, level, min_count)
    if counted.unknown is not None:
        return counted
    symbols = counted.symbols
    if UNKNOWN_CHARACTER in symbols:
        return Vocabulary(level, symbols, symbols.index(UNKNOWN_CHARACTER))
    return Vocabulary(level, (UNKNOWN_CHARACTER, *symbols), 0)


def encoded(vocabulary: Vocabulary, texts: Sequence[str]) -> Sequences:
    """Texts as sequences of tokens."""
    return from_arrays(
        [encode(vocabulary, _spaced(text, vocabulary.level)) for text in texts]
    )


def decoded(vocabulary: Vocabulary, tokens: np.ndarray) -> str:
    """Tokens as a text; what was unknown stays so."""
    return "".join(vocabulary.symbols[token] for token in tokens).strip()


def known_of(vocabulary: Vocabulary) -> dict:
    """What a run keeps of its texts."""
    return {"form": "text", "vocabulary": to_json(vocabulary)}


def _spaced(text: str, level: Level) -> str:
    # a word is the same at the start of a text as behind a space
    return f" {text}" if level == "word" else text


# Words that are given as such: a rare one is read by its form


def lexicon_of(sentences: Sequence[Sequence[str]], min_count: int) -> list[str]:
    """The words seen often enough, the forms of the others, and the unknown word.

    A word that is too rare to be learned is read as its form, such as `<a-ing>` or
    `<A->`: the kind of letters it has, and its end. Forms are learned from the rare
    words of training, and stand for words that it has not seen.

    References:
        Klein, Manning (2003), Accurate unlexicalized parsing,
        doi:10.3115/1075096.1075150, section 2 (unknown words by their form).
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    words = sorted(word for word, n in counts.items() if n >= min_count)
    forms = Counter(
        form
        for word, n in counts.items()
        if n < min_count
        for form in forms_of(word)
        for _ in range(n)
    )
    # a form of few words would be as rare as they are
    common = sorted(form for form, n in forms.items() if n >= max(2, min_count))
    return list(dict.fromkeys([UNKNOWN, *common, *words]))


def forms_of(word: str) -> list[str]:
    """The forms of a word, from the most special to the most general.

    Example:
        >>> forms_of("Jumping"), forms_of("3.5"), forms_of("so")
        (['<A-ing>', '<A->'], ['<0->'], ['<a->'])
    """
    if re.search(r"\d", word):
        kind = "0"
    elif not re.search(r"\w", word):
        kind = "."
    elif word.isupper() and len(word) > 1:
        kind = "AA"
    elif word[0].isupper():
        kind = "A"
    else:
        kind = "a"
    ends = [word[-3:].lower()] if kind in ("a", "A") and len(word) > 5 else []
    return [*(f"<{kind}-{end}>" for end in ends), f"<{kind}->"]


def is_form(symbol: str) -> bool:
    """Whether an entry of a lexicon stands for words that are not in it."""
    return (
        symbol == UNKNOWN or re.fullmatch(r"<(?:0|\.|AA|A|a)-.*>", symbol) is not None
    )


def tokens_of(lexicon: Sequence[str], sentences: Sequence[Sequence[str]]) -> Sequences:
    """Sentences as tokens; what is not in the lexicon is read by its form."""
    places = {word: i for i, word in enumerate(lexicon)}

    def token(word: str) -> int:
        if word in places:
            return places[word]
        found = (places[form] for form in forms_of(word) if form in places)
        return next(found, places[UNKNOWN])

    return from_arrays(
        [np.array([token(word) for word in sentence]) for sentence in sentences]
    )
