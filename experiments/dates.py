"""Does a network that reads a date in any of sixteen languages write it as ISO 8601?

Source: sequence to sequence of the course text 001; attention as in Luong, Pham,
Manning (2015), arXiv:1508.04025; scheduled sampling of Bengio et al. (2015),
arXiv:1506.03099. Dates of two centuries, written by babel in the formats medium, long
and full of sixteen languages ("perjantai 12. syyskuuta 2003" is 2003-09-12; the short
formats are left out: 01/02/03 has several meanings). No date that is asked at the end
is trained on, in any language.

Expect: at least 97 % of unseen dates exactly right with attention, which moves over
year, month and day in the order in which they are to be written; without it, after as
many updates, less than half on average: the whole date must pass through one vector.
With attention the answers are too certain for scheduled sampling or beam search to show
what they can do; without it beam search is a little better than greedy choice.
Baseline: the ISO date of the most similar training string (cosine of counts of one to
three letters, weighted by rarity). It is never exactly right, since its dates are
never asked for; its share of right characters is what to compare with.

--data FILE takes a table of your own, `source<TAB>target` in UTF-8, and nothing is
saved. No source is in both parts. Characters of a source that training has not seen are
read as nothing; a target with such characters counts as wrong. To keep what was
learned, and for more options, see `jrnn translate FILE`.

Time: about 4 minutes on two CPU cores.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

from experiments._results import need, save, show
from experiments._tables import Pairs, refuse, users_pairs
from experiments._training import fitted, spread
from jrnn.data import Dataset, Sequences, from_arrays
from jrnn.seq2seq import inverse_sigmoid
from jrnn.tasks import (
    Task,
    baselines,
    measure,
    predict,
    translation,
    translation_model,
)

LANGUAGES = "cs da de el en es fi fr hu it nl pl pt ro sv tr".split()
FORMATS = ("medium", "long", "full")
UNKNOWN = -1  # read as zeros, and never written
Run = Literal["attention", "attention, scheduled sampling", "no attention"]
RUNS: dict[Run, tuple[bool, bool]] = {  # with attention, with scheduled sampling
    "attention": (True, False),
    "attention, scheduled sampling": (True, True),
    "no attention": (False, False),
}


@dataclass(frozen=True)
class Config:
    data: Path | None = None
    """A table of your own, source<TAB>target; dates from babel if none."""
    runs: tuple[Run, ...] = tuple(RUNS)
    """Kinds of network; the first must have attention, to show where it looks."""
    training_pairs: int = 20_000
    """Dates to learn from, of babel."""
    test_pairs: int = 2_000
    """Other dates, asked at the end; of your own table a tenth, if that is fewer."""
    hidden_size: int = 64
    """Units of the decoder and of each direction of the encoder."""
    embed_size: int = 24
    """Length of a character's learned row."""
    updates: int = 1000
    """In all."""
    batch_size: int = 64
    """Pairs in an update."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    pace: float = 100.0
    """Of scheduled sampling: own inputs are as frequent as true ones at k log k."""
    beam_size: int = 4
    """Texts kept by beam search."""
    length_power: float = 1.0
    """Beams are compared by log p / length^power."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network of each kind for each; the data are the same."""


SMOKE = Config(
    runs=("attention, scheduled sampling", "no attention"),
    training_pairs=12,
    test_pairs=3,
    hidden_size=4,
    embed_size=3,
    updates=2,
    batch_size=2,
    beam_size=2,
    seeds=(0, 1),
)


@dataclass(frozen=True)
class Data:
    train: Pairs
    test: Pairs
    symbols: tuple[str, str]  # of sources and targets


@dataclass(frozen=True)
class Result:
    data: Data
    right: dict[str, dict[str, np.ndarray]]  # run, decoding: (seeds,) shares
    characters: dict[str, np.ndarray]  # run: (seeds,) share of characters, greedy
    baseline: dict[str, float]  # exact_match and token_accuracy
    written: list[str]  # by the first network with attention, greedy
    look: np.ndarray  # (N, S) of the example
    example: int  # its number


def written_dates(cfg: Config) -> tuple[Pairs, Pairs]:
    """Pairs for training and test, no date in both."""
    from babel.dates import format_date

    rng = np.random.default_rng(0)
    first = datetime.date(1900, 1, 1).toordinal()
    days = datetime.date(2100, 1, 1).toordinal() - first
    chosen = rng.permutation(days)[: cfg.training_pairs + cfg.test_pairs]
    pairs = []
    for day in chosen:
        date = datetime.date.fromordinal(first + int(day))
        language, form = rng.choice(LANGUAGES), rng.choice(FORMATS)
        pairs.append((format_date(date, form, str(language)), date.isoformat()))
    return pairs[: cfg.training_pairs], pairs[cfg.training_pairs :]


def load(cfg: Config) -> Data:
    if cfg.data is None:
        train, test = written_dates(cfg)
    else:
        train, test = users_pairs(cfg.data, 0)
    symbols = ("".join(sorted(set("".join(c)))) for c in zip(*train, strict=True))
    return Data(train, test[: cfg.test_pairs], tuple(symbols))


def encode(symbols: str, texts: Iterable[str]) -> Sequences:
    token = {c: n for n, c in enumerate(symbols)}
    return from_arrays([[token.get(c, UNKNOWN) for c in text] for text in texts])


def dataset(data: Data, pairs: Pairs) -> Dataset:
    sources, targets = map(encode, data.symbols, zip(*pairs, strict=True))
    return Dataset(sources, targets)


def nearest(data: Data) -> list[str]:
    """For each test source the target of the most similar training source."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False)
    known = counts.fit_transform([source for source, _ in data.train]).T
    asked = counts.transform([source for source, _ in data.test])
    found = []
    for n in range(0, len(data.test), 250):
        best = (asked[n : n + 250] @ known).toarray().argmax(axis=1)
        found += [data.train[k][1] for k in best]
    return found


def sizes(cfg: Config, data: Data) -> dict[str, int]:
    """Of the model, for `translation` and `translation_model`."""
    source, target = map(len, data.symbols)
    layers = {"hidden_size": cfg.hidden_size, "embed_size": cfg.embed_size}
    return {"source": source, "target": target, **layers}


def tasks(cfg: Config, data: Data, name: Run) -> dict[str, Task]:
    """By greedy choice and by beam search, with the same parameters."""
    attention, scheduled = RUNS[name]
    task = partial(
        translation,
        **sizes(cfg, data),
        attention=attention,
        truth=partial(inverse_sigmoid, pace=cfg.pace) if scheduled else 1.0,
        longest=max(len(target) for _, target in data.train + data.test),
    )
    beams = {"beam_size": cfg.beam_size, "length_power": cfg.length_power}
    return {"greedy": task(), "beam": task(**beams)}


def run(cfg: Config) -> Result:
    data = load(cfg)
    train, test = (dataset(data, pairs) for pairs in (data.train, data.test))
    right, characters, first = {}, {}, None
    for name in cfg.runs:
        ways = tasks(cfg, data, name)
        params = [fitted(cfg, ways["greedy"], train, n).params for n in cfg.seeds]
        first = first or (ways["greedy"], params[0])
        found = {way: [measure(t, p, test) for p in params] for way, t in ways.items()}
        of_seeds = lambda figure, figures: np.array([each[figure] for each in figures])
        right[name] = {way: of_seeds("exact_match", f) for way, f in found.items()}
        characters[name] = of_seeds("token_accuracy", found["greedy"])
    written = predict(*first, test).tokens
    example = int(np.argmax(test.inputs.lengths))
    look = look_at(cfg, data, first[1], test.inputs[example], written[example])
    # the figures of a text that is written as it stands
    known = test._replace(inputs=encode(data.symbols[1], nearest(data)))
    lines = ["".join(data.symbols[1][n] for n in tokens) for tokens in written]
    baseline = baselines.copying(known)
    return Result(data, right, characters, baseline, lines, look, example)


def look_at(cfg: Config, data: Data, params, source, written) -> np.ndarray:
    """Where the network looks while it writes each token, (N, S)."""
    model = translation_model(**sizes(cfg, data))
    memory = model.encode(params, source)
    reads = np.append(len(data.symbols[1]), written[:-1])  # the mark, and its own
    return np.asarray(model.look(params, memory, jnp.asarray(reads, jnp.int32)))


def summary(result: Result) -> dict:
    """Shares of test targets by kind of network; mean, and range over seeds."""
    wrong = [
        f"{source} -> {answer}, not {target}"
        for (source, target), answer in zip(
            result.data.test, result.written, strict=True
        )
        if answer != target
    ]
    return {
        "training_pairs": len(result.data.train),
        "test_pairs": len(result.data.test),
        "exactly_right": {
            name: {way: spread(a) for way, a in ways.items()}
            for name, ways in result.right.items()
        },
        "right_characters": {n: spread(a) for n, a in result.characters.items()},
        "baseline_exactly_right": result.baseline["exact_match"],
        "baseline_right_characters": result.baseline["token_accuracy"],
        "examples_of_mistakes": wrong[:5],
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4), layout="constrained", width_ratios=(2.2, 1)
    )
    source = result.data.test[result.example][0]
    answer = result.written[result.example]
    image = left.imshow(result.look, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    left.set_xticks(range(len(source)), list(source), fontfamily="monospace")
    left.set_yticks(range(len(answer)), list(answer), fontfamily="monospace")
    left.set(xlabel="source, not trained on", ylabel="target, as written")
    left.set_title("Where attention looks", fontsize=10)
    figure.colorbar(image, ax=left, label="weight")
    for x, (_, ways) in enumerate(result.right.items()):
        for way, marker, shift in (("greedy", "o", -0.12), ("beam", "x", 0.12)):
            shares = ways[way]
            right.plot(
                np.full(len(shares), x + shift),
                100 * shares,
                marker,
                color="#0072b2" if way == "greedy" else "#d55e00",
                label=way if x == 0 else None,
            )
    right.axhline(97, color="black", linestyle=":", linewidth=1, label="97 %")
    names = [name.replace(" ", "\n") for name in result.right]
    right.set_xticks(range(len(names)), names, fontsize=8)
    right.set(ylabel="exactly right, %", xlim=(-0.5, len(names) - 0.5), ylim=(0, 104))
    right.set_title("Unseen sources, each seed", fontsize=10)
    right.legend(loc="lower left")
    return figure


def main(cfg: Config) -> None:
    need("sklearn", *(["babel"] if cfg.data is None else []))
    if not cfg.runs or not RUNS[cfg.runs[0]][0]:
        refuse("--runs: the first must have attention.")
    result = run(cfg)
    metrics = summary(result)
    if cfg.data is None:
        save("dates", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
