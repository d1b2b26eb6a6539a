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
are read as nothing; a test label that training has not seen counts as wrong. To keep
what was learned, and for more options, see `jrnn classify FILE`.

Time: about 2 minutes on two CPU cores.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro

from experiments._results import need, save, show
from experiments._tables import Pairs, refuse, users_pairs
from experiments._training import fitted, spread
from jrnn.data import Dataset, from_arrays
from jrnn.tasks import baselines, classification, measure, predict, symbols

LANGUAGES = "cs da de en es et fi fr hu it nl pl pt ro sv tr".split()
UNKNOWN = -1  # read as zeros


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


SMOKE = Config(hidden_size=3, embed_size=2, updates=2, batch_size=2, seeds=(0, 1))


@dataclass(frozen=True)
class Result:
    labels: list[str]
    sizes: tuple[int, int]  # texts for training and test
    accuracy: np.ndarray  # (seeds,)
    majority: float
    letters: float  # accuracy of the counts of letters
    confusion: np.ndarray  # (labels, labels): true, answered; all seeds
    mistakes: list[str]


def names() -> tuple[Pairs, Pairs]:
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


def users_table(cfg: Config) -> tuple[Pairs, Pairs]:
    """(label, text) for training and test; no text is in both."""
    train, test = users_pairs(cfg.data, 1)
    for part, where in ((train + test, "lines"), (train, "lines left for training")):
        if len({label for label, _ in part}) == 1:
            refuse(
                f"{cfg.data}: all {where} have the label {part[0][0]!r}.\n"
                "Give two labels at least. Each line is label, tab, text."
            )
    return train, test


def encode(pairs: Pairs, token: dict[str, int], labels: list[str]) -> Dataset:
    """Tokens of each text, and its label; -1 of what training has not seen."""
    inputs = from_arrays([[token.get(c, UNKNOWN) for c in text] for _, text in pairs])
    number = {label: n for n, label in enumerate(labels)}
    return Dataset(inputs, np.array([number.get(label, -1) for label, _ in pairs]))


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
    pairs, asked = names() if cfg.data is None else users_table(cfg)
    labels = sorted({label for label, _ in pairs})
    token = {c: n for n, c in enumerate(sorted({c for _, text in pairs for c in text}))}
    train, test = (encode(part, token, labels) for part in (pairs, asked))
    task = classification(
        symbols(len(token)),
        len(labels),
        hidden_size=cfg.hidden_size,
        embed_size=cfg.embed_size,
        dropout=cfg.dropout,
        bidirectional=False,
        pool="last",
    )
    params = [fitted(cfg, task, train, seed).params for seed in cfg.seeds]
    found = [measure(task, each, test) for each in params]
    answers = predict(task, params[0], test).label
    return Result(
        labels,
        (len(pairs), len(asked)),
        np.array([figures["accuracy"] for figures in found]),
        baselines.most_frequent_class(train, test, len(labels))["accuracy"],
        letters_alone(pairs, asked),
        sum(figures["confusion"] for figures in found),
        mistakes(asked, [labels[n] for n in answers]),
    )


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
    result = run(cfg)
    metrics = summary(result)
    if cfg.data is None:
        save("languages", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
