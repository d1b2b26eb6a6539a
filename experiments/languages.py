"""Which of sixteen languages is a name from?

Source: many to one in the course text 001. Names of countries, languages, scripts and
months from the locale data that babel brings along, all in Latin letters. A name that
two of the languages share ("Peru") is left out, and all names of the same thing
(Germany, Allemagne, Duitsland) are either for training or for the test.

Expect: a GRU that reads the letters in order and answers after the last is right far
more often than a classifier that knows only which letters there are and how often,
since languages differ in what follows what. Baselines: the most frequent language, and
logistic regression on counts of letters.

--data FILE takes a table of your own, `label<TAB>text` in UTF-8, and nothing is saved.
A tenth of the different texts is for the test. Characters that training has not seen
are read as one unknown character; a test label that training has not seen counts as
wrong.

Time: about 1 minute on two CPU cores.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import need, save, show
from experiments._tables import TableError, parted, read_pairs
from experiments._training import spread, trainer
from jrnn.models import many_to_one

LANGUAGES = "cs da de en es et fi fr hu it nl pl pt ro sv tr".split()
UNKNOWN = 0


@dataclass(frozen=True)
class Config:
    data: Path | None = None
    """A table of your own, label<TAB>text; names from babel if none."""
    hidden_size: int = 96
    """Units of the GRU."""
    embed_size: int = 24
    """Length of a character's learned row."""
    dropout: float = 0.3
    """Of the inputs and outputs of the GRU in training."""
    updates: int = 3000
    """In all."""
    batch_size: int = 64
    """Texts in an update."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network for each; the data are the same."""
    longest: int = 200
    """Characters of a text at most."""


SMOKE = Config(
    hidden_size=3, embed_size=2, updates=2, batch_size=2, seeds=(0, 1), longest=60
)


class Texts(NamedTuple):
    tokens: np.ndarray  # (n, T), padded
    length: np.ndarray  # (n,)
    label: np.ndarray  # (n,); -1: training has no such label


@dataclass(frozen=True)
class Result:
    labels: list[str]
    sizes: tuple[int, int]  # texts for training and test
    accuracy: np.ndarray  # (seeds,)
    majority: float
    letters: float  # accuracy of the counts of letters
    losses: np.ndarray  # (seeds, blocks)
    updates: int
    confusion: np.ndarray  # (labels, labels): true, answered; all seeds
    mistakes: list[str]


def names() -> tuple[list, list]:
    """(language, name) for training and test; no thing is in both."""
    from babel import Locale

    found: dict[str, set] = {}
    for language in LANGUAGES:
        locale = Locale(language)
        months = locale.months["format"]["wide"]
        for kind in (locale.territories, locale.languages, locale.scripts, months):
            for code, name in kind.items():
                thing = f"{kind is months} {code}"
                found.setdefault(str(name), set()).add((language, thing))
    own = [
        (*min(where), name)  # not the first of a set, whose order changes by itself
        for name, where in found.items()
        if len({language for language, _ in where}) == 1
    ]
    things = sorted({thing for _, thing, _ in own})
    order = np.random.default_rng(0).permutation(len(things))
    asked = {things[n] for n in order[: len(things) // 5]}
    own = sorted(own)
    train = [(language, name) for language, thing, name in own if thing not in asked]
    return train, [(language, name) for language, thing, name in own if thing in asked]


def users_table(cfg: Config) -> tuple[list, list]:
    """(label, text) for training and test; no text is in both."""
    pairs = read_pairs(cfg.data)
    for _, text in pairs:
        if len(text) > cfg.longest:
            raise TableError(
                f"{cfg.data}: {text[:30]!r} has more than {cfg.longest} characters; "
                "see --longest."
            )
    if len({label for label, _ in pairs}) == 1:
        raise TableError(
            f"{cfg.data}: all lines have the label {pairs[0][0]!r}; expected at least "
            "two labels. Each line is label, tab, text."
        )
    return parted(cfg.data, pairs, 1, "texts", None)


def encode(pairs, symbols: dict, labels: list[str], longest: int) -> Texts:
    tokens = np.zeros((len(pairs), longest), np.int32)
    for n, (_, text) in enumerate(pairs):
        tokens[n, : len(text)] = [symbols.get(c, UNKNOWN) for c in text]
    length = np.array([len(text) for _, text in pairs], np.int32)
    number = {label: n for n, label in enumerate(labels)}
    known = np.array([number.get(label, -1) for label, _ in pairs], np.int32)
    return Texts(tokens, length, known)


def networks(cfg: Config, symbols: int, labels: int):
    """For training and for use, with the same parameters; each reader and readout."""
    layers = jrnn.embed(symbols, cfg.embed_size), jrnn.gru(cfg.hidden_size)
    noisy = (jrnn.dropout(layer, cfg.dropout) for layer in layers)
    readout = jrnn.linear(labels)
    return (jrnn.stack(*noisy), readout), (jrnn.stack(*layers), readout)


def loss(model, params, texts: Texts, key):
    run = lambda text, key: many_to_one(
        *model, params, text.tokens, text.length, key=key
    )
    logits = jax.vmap(run)(texts, jax.random.split(key, len(texts.length)))
    return jrnn.losses.cross_entropy(logits, texts.label)


@partial(jax.jit, static_argnums=0)
def answers(model, params, texts: Texts):
    """The most likely label of each text, (n,)."""
    run = lambda text: many_to_one(*model, params, text.tokens, text.length)
    return jax.vmap(run)(texts).argmax(axis=-1)


def letters_alone(train, test) -> float:
    """Accuracy of logistic regression on how often each character occurs."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = CountVectorizer(analyzer="char", lowercase=False)
    x = counts.fit_transform([text for _, text in train])
    rule = LogisticRegression(max_iter=2000).fit(x, [label for label, _ in train])
    found = rule.predict(counts.transform([text for _, text in test]))
    return float(np.mean(found == np.array([label for label, _ in test])))


def run(cfg: Config) -> Result:
    train, test = names() if cfg.data is None else users_table(cfg)
    labels = sorted({label for label, _ in train})
    if len(labels) == 1:
        raise TableError(
            f"{cfg.data}: too few texts: those left for training all have the label "
            f"{labels[0]!r}."
        )
    characters = sorted({c for _, text in train for c in text})
    symbols = {c: n for n, c in enumerate(characters, UNKNOWN + 1)}
    longest = max(len(text) for _, text in train + test)
    data, asked = (encode(p, symbols, labels, longest) for p in (train, test))
    noisy, plain = networks(cfg, len(symbols) + 1, len(labels))
    learn = trainer(partial(loss, noisy), cfg, 30)
    found, losses = [], []
    for seed in cfg.seeds:
        init_key, key = jax.random.split(jax.random.key(seed))
        params = jrnn.stack(*plain).init(init_key, jnp.int32(0))
        params, curve = learn(params, data, key)
        found.append(np.asarray(answers(plain, params, asked)))
        losses.append(curve)
    most = np.bincount(data.label).argmax()
    return Result(
        labels,
        (len(train), len(test)),
        np.array([(a == asked.label).mean() for a in found]),
        (asked.label == most).mean(),
        letters_alone(train, test),
        np.array(losses),
        cfg.updates,
        sum(table(asked.label, a, len(labels)) for a in found),
        mistakes(test, [labels[n] for n in found[0]]),
    )


def table(true, answered, size: int) -> np.ndarray:
    counts = np.zeros((size, size), int)
    known = true >= 0
    np.add.at(counts, (true[known], answered[known]), 1)
    return counts


def mistakes(test, found: list[str], number: int = 8) -> list[str]:
    lines = [
        f"{text}: {answer}, not {label}"
        for (label, text), answer in zip(test, found, strict=True)
        if answer != label
    ]
    return lines[:: max(1, len(lines) // number)][:number]


def summary(result: Result) -> dict:
    """Share of test texts; mean, and range over seeds."""
    return {
        "training_texts": result.sizes[0],
        "test_texts": result.sizes[1],
        "labels": len(result.labels),
        "accuracy": spread(result.accuracy),
        "baseline_most_frequent_label": result.majority,
        "baseline_counts_of_letters": result.letters,
        "examples_of_mistakes": result.mistakes,
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4.2), layout="constrained", width_ratios=(1, 1.3)
    )
    known = {
        "most frequent\nlabel": (result.majority, "0.6"),
        "counts of\nletters": (result.letters, "#d55e00"),
        "GRU": (result.accuracy.mean(), "#0072b2"),
    }
    for place, (value, colour) in enumerate(known.values()):
        left.bar(place, 100 * value, 0.6, color=colour)
        left.annotate(
            f"{100 * value:.1f}",
            (place, 100 * value),
            (0, 3),
            ha="center",
            textcoords="offset points",
        )
    left.plot(np.full(len(result.accuracy), 2), 100 * result.accuracy, "k.", ms=4)
    left.set_xticks(range(len(known)), list(known), fontsize=9)
    left.set(ylabel="right test texts, %", ylim=(0, 108))
    left.set_title("Dots: seeds", fontsize=10)
    counts = result.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = right.imshow(100 * shares, cmap="Greys", vmin=0, vmax=100)
    places = range(len(result.labels))
    right.set_xticks(places, result.labels, fontsize=7, rotation=90)
    right.set_yticks(places, result.labels, fontsize=7)
    right.set(xlabel="answered", ylabel="true")
    figure.colorbar(image, ax=right, label="% of a true label, all seeds")
    return figure


def main(cfg: Config) -> None:
    need("sklearn", *(["babel"] if cfg.data is None else []))
    try:
        result = run(cfg)
    except TableError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    metrics = summary(result)
    if cfg.data is None:
        save("languages", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
