"""Which kind of token is each character of a Python file part of?

Source: many to many of the course text 001; bidirectional networks of Schuster, Paliwal
(1997), doi:10.1109/78.650093. Files of Python's own standard library, each character
labelled by the module tokenize: space, name, keyword, number, string, comment or
operator. A network reads windows of 64 characters that begin anywhere; the test windows
are from other files than those of training.

Expect: that a word is a keyword, or that a window begins inside a string, often shows
only further on: "i" may begin "if" or "item". A network that reads in one direction
must guess; one that reads in two, with as many parameters, makes less than half as many
mistakes, and most of what it gains is in strings and comments. Both leave the baselines
far behind: the most frequent class, and the class that each character most often has in
training, the best guess from the character alone.

Time: about 3 minutes on two CPU cores.
"""

import io
import keyword
import sysconfig
import token
import tokenize
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tyro

from experiments._results import save, show
from experiments._training import fitted, size, spread
from jrnn.data import Dataset, from_arrays, windows
from jrnn.tasks import baselines, labelling, measure, predict, symbols

CLASSES = ("space", "name", "keyword", "number", "string", "comment", "operator")
SPACE, NAME, KEYWORD, NUMBER, STRING, COMMENT, OPERATOR = range(7)
SYMBOLS = 128  # characters outside ASCII are read as one, number 0
NETWORKS = {"forward": "#d55e00", "bidirectional": "#0072b2"}


@dataclass(frozen=True)
class Config:
    files: int = 120
    """Files of the standard library, the first by name that are long enough."""
    test_files: int = 30
    """How many of them are for the test, drawn at random."""
    window: int = 64
    """Characters in a sequence."""
    test_windows: int = 2000
    """Drawn from the test files."""
    forward_units: int = 96
    """Units of the network that reads forward."""
    bidirectional_units: int = 65
    """Units of each direction of the other: as many parameters."""
    embed_size: int = 16
    """Length of a character's learned row."""
    updates: int = 2000
    """In all."""
    block: int = 100
    """Updates over which losses are averaged."""
    batch_size: int = 32
    """Windows in an update."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network of each kind for each; they differ in weights and order of data."""


SMOKE = Config(
    files=3,
    test_files=1,
    window=9,
    test_windows=4,
    forward_units=3,
    bidirectional_units=2,
    embed_size=2,
    updates=4,
    block=2,
    batch_size=2,
    seeds=(0, 1),
)


@dataclass(frozen=True)
class Data:
    train: Dataset  # characters and labels, one file after the other
    test: Dataset  # windows


@dataclass(frozen=True)
class Result:
    block: int
    losses: dict[str, np.ndarray]  # (seeds, blocks) by network
    accuracy: dict[str, np.ndarray]  # (seeds,)
    recall: dict[str, np.ndarray]  # (seeds, classes)
    at_start: dict[str, np.ndarray]  # (seeds,), first letters of names and keywords
    parameters: dict[str, int]
    baselines: dict[str, float]
    majority: str
    share: np.ndarray  # (classes,) of test characters


def kind(found: tokenize.TokenInfo) -> int:
    if found.type == token.NAME:
        return KEYWORD if keyword.iskeyword(found.string) else NAME
    if found.type == token.OP:
        return OPERATOR
    if token.tok_name[found.type].startswith(("FSTRING", "TSTRING", "STRING")):
        return STRING  # from Python 3.12 on, f-strings come in parts
    return {token.NUMBER: NUMBER, token.COMMENT: COMMENT}.get(found.type, SPACE)


def labelled(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Characters and the class of each, both int32 (length of the text,)."""
    starts = np.cumsum([0] + [len(line) for line in io.StringIO(text)])
    labels = np.full(len(text), SPACE, np.int32)
    for found in tokenize.generate_tokens(io.StringIO(text).readline):
        label = kind(found)
        if label != SPACE:
            (row, column), (last_row, last_column) = found.start, found.end
            first, last = starts[row - 1] + column, starts[last_row - 1] + last_column
            labels[first:last] = label
    codes = np.array([ord(c) if ord(c) < SYMBOLS else 0 for c in text], np.int32)
    return codes, labels


def load(cfg: Config) -> Data:
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = (path.read_text("utf-8") for path in sorted(folder.glob("*.py")))
    # read_text makes every line end \n, as tokenize counts them; \f is not one
    long = [text for text in texts if len(text) > 2 * cfg.window][: cfg.files]
    order = np.random.default_rng(0).permutation(len(long))
    files = [labelled(long[n]) for n in order]
    test, train = joined(files[: cfg.test_files]), joined(files[cfg.test_files :])
    asked = cut(test, cfg.window)
    starts = np.random.default_rng(1).integers(
        0, len(asked.inputs) - 1, cfg.test_windows
    )
    return Data(train, asked.take(starts))


def joined(files: list[tuple[np.ndarray, np.ndarray]]) -> Dataset:
    codes, labels = (from_arrays([np.concatenate(c)]) for c in zip(*files, strict=True))
    return Dataset(codes, labels)


def cut(text: Dataset, size: int) -> Dataset:
    """Windows that begin at every character."""
    return Dataset(windows(text.inputs, size), windows(text.targets, size))


def first_letters(labels: np.ndarray) -> np.ndarray:
    """Where a name or keyword begins, (n, T); windows' own first letters not."""
    word = (labels == NAME) | (labels == KEYWORD)
    return (
        word & (np.roll(labels, 1, axis=1) != labels) & (np.arange(labels.shape[1]) > 0)
    )


def run(cfg: Config) -> Result:
    data, classes = load(cfg), len(CLASSES)
    labels = np.stack([*data.test.targets])
    begins, train = first_letters(labels), cut(data.train, cfg.window)
    units = {"forward": cfg.forward_units, "bidirectional": cfg.bidirectional_units}
    losses, figures, at_start, parameters = {}, {}, {}, {}
    for name in NETWORKS:
        task = labelling(
            symbols(SYMBOLS),
            classes,
            hidden_size=units[name],
            embed_size=cfg.embed_size,
            bidirectional=name == "bidirectional",
        )
        fits = [fitted(cfg, task, train, n, every=cfg.block) for n in cfg.seeds]
        losses[name] = np.array([[r["loss"] for r in fit.history] for fit in fits])
        figures[name] = [measure(task, fit.params, data.test) for fit in fits]
        answers = [predict(task, fit.params, data.test).label for fit in fits]
        right = np.array([np.stack([*found]) == labels for found in answers])
        at_start[name] = right[:, begins].sum(axis=1) / max(begins.sum(), 1)
        parameters[name] = size(fits[0].params)
    of_seeds = lambda which: {
        name: np.nan_to_num([each[which] for each in found])  # 0 of a class not there
        for name, found in figures.items()
    }
    known = {
        "most frequent class": baselines.most_frequent_class,
        "most frequent class of the character": baselines.token_majority,
    }
    count = lambda labels: np.bincount(labels.ravel(), minlength=classes)
    return Result(
        cfg.block,
        losses,
        of_seeds("accuracy"),
        of_seeds("per_class_recall"),
        at_start,
        parameters,
        {
            n: rule(data.train, data.test, classes)["accuracy"]
            for n, rule in known.items()
        },
        CLASSES[count(data.train.targets.values).argmax()],
        count(labels) / labels.size,
    )


def summary(result: Result) -> dict:
    """Accuracy on the characters of the test windows; mean, and range over seeds."""
    each = lambda rows: dict(zip(CLASSES, rows.mean(axis=0), strict=True))
    return {
        "accuracy": {name: spread(a) for name, a in result.accuracy.items()},
        "baseline_accuracy": result.baselines,
        "most_frequent_class": result.majority,
        "accuracy_on_first_letters_of_words": {
            name: spread(a) for name, a in result.at_start.items()
        },
        "accuracy_by_class": {name: each(rows) for name, rows in result.recall.items()},
        "share_of_characters": dict(zip(CLASSES, result.share, strict=True)),
        "parameters": result.parameters,
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4), layout="constrained", width_ratios=(1, 1.5)
    )
    for shift, (name, colour) in zip((-0.2, 0.2), NETWORKS.items(), strict=True):
        losses = result.losses[name]
        updates = result.block * np.arange(1, losses.shape[1] + 1)
        lines = left.plot(updates, losses.T, color=colour)
        lines[0].set_label(name)
        heights = 100 * np.vstack([result.accuracy[name], result.recall[name].T])
        places = np.arange(len(heights)) + shift
        right.bar(places, heights.mean(axis=1), 0.4, color=colour, label=name)
        seeds = np.repeat(places, heights.shape[1])
        right.plot(seeds, heights.ravel(), "k.", markersize=3)
    left.set(xlabel="update", ylabel="training loss, nats a character", yscale="log")
    left.legend()
    left.set_title(f"Each of {len(losses)} networks", fontsize=10)
    for (name, value), style in zip(result.baselines.items(), (":", "--"), strict=True):
        right.axhline(
            100 * value, color="black", linestyle=style, linewidth=1, label=name
        )
    right.set_xticks(range(len(CLASSES) + 1), ["all", *CLASSES], fontsize=8)
    right.set(ylabel="right characters of unseen files, %", ylim=(0, 135))
    right.set_yticks(range(0, 101, 20))
    right.set_title("Mean by class; dots: seeds; lines: baselines for all", fontsize=10)
    right.legend(ncols=2, fontsize=7, loc="upper center")
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("token_classes", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
