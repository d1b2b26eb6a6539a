"""Classes: their order, the split that keeps them, and what is said of answers."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jrnn.cli.errors import UserError
from jrnn.cli.plot import save_figure, silent_matplotlib
from jrnn.cli.tasks.examples import Tested
from jrnn.cli.workflow import Figures, Guess
from jrnn.data import Dataset, Sequences, split_sequences

WIDTH = 79  # of what is printed


def classes_of(labels: np.ndarray, source: str) -> list[str]:
    """The classes in order: by value where all are numbers, else as text."""
    classes = np.unique(labels).tolist()
    if len(classes) < 2:
        raise UserError(
            f"{source} has one class, {classes[0]!r}: there is nothing to tell apart.\n"
            "Give examples of two classes at least."
        )
    try:
        return sorted(classes, key=float)
    except ValueError:
        return classes


def numbers_of(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The place of each label among the classes; -1 where it is none of them."""
    places = {label: i for i, label in enumerate(classes)}
    distinct, inverse = np.unique(labels, return_inverse=True)
    return np.array([places.get(c, -1) for c in distinct.tolist()], np.int32)[inverse]


def split(
    config: Any,
    source: str,
    number: int,
    tested: int,
    labels: np.ndarray | None,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which examples are in the three parts.

    Args:
        config: the options.
        source: what messages call the data.
        number: of all examples.
        tested: how many of them, the last ones, are from files to test on.
        labels: classes (n,) to be kept in proportion; None where there are several.
        groups: (n,) what stays on one side; None: each example by itself.
    """
    here = np.arange(number - tested)
    shares = np.array(config.split)
    if tested:
        shares = np.append(shares[:2] / max(shares[:2].sum(), 1e-9), 0)
    if shares[0] > 1 - 1e-6:
        return here, here[:0], np.arange(number - tested, number)
    if len(here) == 1:
        raise UserError(
            f"{source} has one sequence, and {_parts(shares)} parts need one each.\n"
            "Give more of them."
        )
    if labels is not None and not tested:
        refuse_single(source, labels[here])
    ones = Sequences(np.empty(number), np.arange(number), np.ones(number, int))
    parts = split_sequences(
        Dataset(ones, groups=groups).take(here),
        shares.tolist(),
        config.seed,
        stratify=None if labels is None else labels[here],
        single="first",
    )
    train, valid, test = (part.inputs.starts for part in parts)
    return train, valid, np.arange(number - tested, number) if tested else test


def refuse_single(source: str, labels: np.ndarray) -> None:
    """Raise where a class has one example."""
    classes, counts = np.unique(labels, return_counts=True)
    alone = classes[counts == 1]
    if len(alone):
        more = f", and so have {len(alone) - 1} more" if len(alone) > 1 else ""
        where = int(np.flatnonzero(labels == alone[0])[0]) + 1
        raise UserError(
            f"{source}: class {str(alone[0])!r} has one example, number {where}{more}: "
            "it cannot be both learnt and tested.\n"
            "Give more of it, leave it out, or name files to test on by --test."
        )


def guess(labels: np.ndarray, classes: int) -> Guess:
    """The loss of the classes' shares in training, their entropy."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    p = counts[counts > 0] / counts.sum()
    return Guess(float(-(p * np.log(p)).sum()), "the share of each class")


def about(labels: np.ndarray, classes: Sequence[str], of: str) -> str:
    """How many classes there are, and how often the most frequent one comes."""
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    names = ", ".join(classes[:8]) + (", ..." if len(classes) > 8 else "")
    most = int(counts.argmax())
    share = 100 * counts[most] / counts.sum()
    return (
        f"{len(classes)} classes: {names}; {share:.0f} % of {of} are {classes[most]}."
    )


def shown(figures: Figures) -> str:
    """Figures in one line."""
    words = []
    if figures.get("loss") is not None:
        words.append(f"loss {figures['loss']:.4f}")
    for name, word in (("accuracy", "accuracy"), ("macro_f1", "macro F1")):
        if figures.get(name) is not None:
            words.append(f"{word} {100 * figures[name]:.1f} %")
    return ", ".join(words)


def without_f1(figures: Figures) -> str:
    """The same of a task that is judged by its accuracy alone."""
    return shown({name: figures.get(name) for name in ("loss", "accuracy")})


def confusion_words(classes: Sequence[str], counts: Any) -> str:
    """The confusion matrix with the recall of each class, or else the worst pairs."""
    n = np.asarray(counts, int)
    names = [_short(c, 18) for c in classes]
    corner = "true, answered"
    first = max(map(len, [*names, corner]))
    columns = zip(classes, n.max(axis=0), strict=True)
    cells = [max(len(_short(c, 7)), len(str(most))) for c, most in columns]
    if first + sum(w + 1 for w in cells) + 9 > WIDTH:
        return f"{_worst_pairs(classes, n)}\n{recall_words(classes, n)}"
    heads = [f"{_short(c, 7):>{w}}" for c, w in zip(classes, cells, strict=True)]
    lines = [f"{corner:{first}} {' '.join(heads)}   recall"]
    for name, row, right in zip(names, n, np.diag(n).tolist(), strict=True):
        entries = [f"{k:>{w}}" for k, w in zip(row, cells, strict=True)]
        recall = _percent(right, int(row.sum()))
        lines.append(f"{name:{first}} {' '.join(entries)}  {recall:>7}")
    return "\n".join(line.rstrip() for line in lines)


def recall_words(classes: Sequence[str], n: np.ndarray) -> str:
    """The recall of each class, the worst first."""
    right, all_of = np.diag(n), n.sum(axis=1)
    shares = zip(right.tolist(), all_of.tolist(), classes, strict=True)
    met = sorted((r / a, r, a, name) for r, a, name in shares if a)
    said = [f"{name} {_percent(r, a)}" for _, r, a, name in met]
    return textwrap.fill(f"Recall: {', '.join(said)}.", WIDTH)


def tag_table(classes: Sequence[str], figures: Figures, most: int = 40) -> str:
    """Precision, recall and F1 of each class, the most frequent first."""
    n = np.asarray(figures["confusion"], int)
    order = [int(i) for i in np.argsort(-n.sum(axis=1), kind="stable")[:most]]
    width = max(len("class"), *(len(_short(classes[i], 24)) for i in order))
    lines = [f"{'class':{width}}    steps  precision   recall       F1"]
    for i in order:
        numbers = [figures[f"per_class_{w}"][i] for w in ("precision", "recall", "f1")]
        entries = ["-" if x is None else f"{100 * x:.1f} %" for x in numbers]
        lines.append(
            f"{_short(classes[i], 24):{width}} {n[i].sum():>8,}  {entries[0]:>9} "
            f"{entries[1]:>8} {entries[2]:>8}"
        )
    if len(classes) > most:
        lines.append(f"... and {len(classes) - most} rarer ones.")
    return "\n".join(lines)


def draw(tested: Tested, path: Path) -> None:
    """The confusion matrix as a picture: of each class, the share of each answer."""
    classes = tested.known["classes"]
    n = np.asarray(tested.figures["confusion"], int)
    share = n / np.maximum(n.sum(axis=1, keepdims=True), 1)
    with silent_matplotlib():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        C = len(classes)
        side = min(12.0, max(4.5, 1.8 + 0.42 * C))
        figure = Figure(figsize=(side + 0.7, side), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if C <= 60:
            size = 9 if C <= 25 else 6
            names = [_short(c, 20) for c in classes]
            how: dict[str, Any] = {"fontsize": size, "parse_math": False}
            axes.set_yticks(range(C), names, **how)
            if max(map(len, names)) > 3:
                how["rotation"] = 90
            axes.set_xticks(range(C), names, **how)
        if C <= 20:
            for i, j in zip(*np.nonzero(n), strict=True):
                color = "white" if share[i, j] > 0.6 else "black"
                axes.text(
                    j,
                    i,
                    f"{n[i, j]}",
                    ha="center",
                    va="center",
                    color=color,
                    fontsize=8,
                )
        axes.set_xlabel("answered")
        axes.set_ylabel("true")
        accuracy = 100 * (tested.figures["accuracy"] or 0)
        axes.set_title(f"Test part: accuracy {accuracy:.1f} %", fontsize=10, loc="left")
        bar = figure.colorbar(image, ax=axes, fraction=0.046)
        bar.set_label("share of the true class")
        save_figure(figure, path, dpi=130)


def _worst_pairs(classes: Sequence[str], n: np.ndarray, most: int = 10) -> str:
    wrong = n.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(k), len(classes)) for k in order if wrong.flat[k]]
    if not pairs:
        return "No example was taken for one of another class."
    short = [_short(c, 24) for c in classes]
    lines = [
        f"{wrong[i, j]:>7,}  {short[i]} taken for {short[j]} "
        f"({_percent(wrong[i, j], n[i].sum())} of its examples)"
        for i, j in pairs
    ]
    return "\n".join(["Most confused:", *lines])


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _parts(shares: np.ndarray) -> str:
    return {2: "two", 3: "three"}[int((shares > 0).sum())]
