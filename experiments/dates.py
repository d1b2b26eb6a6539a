"""Does a network that reads a date in any of sixteen languages write it as ISO 8601?

Source: sequence to sequence of the course text 001; attention as in Luong, Pham,
Manning (2015), arXiv:1508.04025; scheduled sampling of Bengio et al. (2015),
arXiv:1506.03099. Dates of two centuries, written by babel in the formats medium, long
and full of sixteen languages ("perjantai 12. syyskuuta 2003" is 2003-09-12; the short
formats are left out: 01/02/03 has several meanings). No date that is asked at the end
is trained on, in any language.

Expect: at least 97 % of unseen dates exactly right with attention, which moves over
year, month and day in the order in which they are to be written; without it, after as
many updates, less than half: the whole date must pass through one vector. With
attention the answers are too certain for scheduled sampling or beam search to show
what they can do; without it beam search is a little better than greedy choice.
Baseline: the ISO date of the most similar training string (cosine of counts of one to
three letters, weighted by rarity). It is never exactly right, since its dates are
never asked for; its share of right characters is what to compare with.

--data FILE takes a table of your own, `source<TAB>target` in UTF-8, and nothing is
saved. No source is in both parts. Characters of a source that training has not seen are
read as one unknown character; a target with such characters counts as wrong.

Time: about 4 minutes on two CPU cores.
"""

import datetime
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import need, save, show
from experiments._tables import TableError, parted, read_pairs
from experiments._training import descend, falling, spread
from jrnn import optimizers
from jrnn.attention import dot
from jrnn.generate import beam_search, prime, sample
from jrnn.seq2seq import (
    Seq2Seq,
    inverse_sigmoid,
    scheduled_sampling,
    seq2seq,
    teacher_forcing,
)
from jrnn.train import init_state

LANGUAGES = "cs da de el en es fi fr hu it nl pl pt ro sv tr".split()
FORMATS = ("medium", "long", "full")
EDGE = 0  # before and after a target; in a source: unknown
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
    longest: int = 200
    """Characters of a source or target at most."""


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


class Pairs(NamedTuple):
    source: np.ndarray  # (n, S) int32, padded
    length: np.ndarray  # (n,) of the sources
    target: np.ndarray  # (n, N) int32, ends with EDGE and is padded with it
    valid: np.ndarray  # (n, N): up to the first EDGE


@dataclass(frozen=True)
class Data:
    train: list[tuple[str, str]]
    test: list[tuple[str, str]]
    source_symbols: str  # token 1 is the first
    target_symbols: str


@dataclass(frozen=True)
class Result:
    data: Data
    right: dict[str, dict[str, np.ndarray]]  # run, decoding: (seeds,) shares
    characters: dict[str, np.ndarray]  # run: (seeds,) share of characters, greedy
    baseline: tuple[float, float]  # exact, characters
    written: list[str]  # by the first network with attention, greedy
    look: np.ndarray  # (N, S) of the example
    example: int  # its number


def written_dates(cfg: Config) -> tuple[list, list]:
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


def users_table(cfg: Config) -> tuple[list, list]:
    """Pairs for training and test, no source in both."""
    pairs = read_pairs(cfg.data)
    for pair in pairs:
        if max(map(len, pair)) > cfg.longest:
            raise TableError(
                f"{cfg.data}: {pair[0][:30]!r} or its target has more than "
                f"{cfg.longest} characters; see --longest."
            )
    return parted(cfg.data, pairs, 0, "sources", cfg.test_pairs)


def load(cfg: Config) -> Data:
    train, test = written_dates(cfg) if cfg.data is None else users_table(cfg)
    symbols = lambda column: "".join(
        sorted({c for pair in train for c in pair[column]})
    )
    return Data(train, test, symbols(0), symbols(1))


def encode(data: Data, pairs: list[tuple[str, str]]) -> Pairs:
    """Tokens, padded to the longest of all the data, so that shapes stay the same."""
    ids = {c: n for n, c in enumerate(data.source_symbols, 1)}
    # -1 is never written, so it counts as wrong
    target_ids = {c: n for n, c in enumerate(data.target_symbols, 1)}
    both = data.train + data.test
    S, N = (max(len(pair[column]) for pair in both) for column in (0, 1))
    source = np.zeros((len(pairs), S), np.int32)
    target = np.full((len(pairs), N + 1), EDGE, np.int32)
    for n, (s, t) in enumerate(pairs):
        source[n, : len(s)] = [ids.get(c, EDGE) for c in s]
        target[n, : len(t)] = [target_ids.get(c, -1) for c in t]
    length = np.array([len(s) for s, _ in pairs], np.int32)
    ends = np.array([[len(t)] for _, t in pairs])
    return Pairs(source, length, target, np.arange(N + 1) <= ends)


def network(cfg: Config, data: Data, attention: bool) -> Seq2Seq:
    return seq2seq(
        len(data.source_symbols) + 1,
        len(data.target_symbols) + 1,
        hidden_size=cfg.hidden_size,
        embed_size=cfg.embed_size,
        attention=dot() if attention else None,
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def learn(cfg: Config, model: Seq2Seq, scheduled: bool, params, pairs, key):
    """Parameters after all updates."""

    def logits(params, pair, key, truth):
        decoder = model.decoder(model.encode(params, pair.source, pair.length))
        if not scheduled:
            return teacher_forcing(decoder, params, EDGE, pair.target)
        return scheduled_sampling(decoder, params, key, EDGE, pair.target, truth)[0]

    def loss(params, batch, key, truth):
        keys = jax.random.split(key, cfg.batch_size)
        out = jax.vmap(logits, (None, 0, 0, None))(params, batch, keys, truth)
        return jrnn.losses.cross_entropy(out, batch.target, batch.valid)

    def batches(number):
        rows_key, own_key = jax.random.split(jax.random.fold_in(key, number))
        rows = jax.random.randint(rows_key, (cfg.batch_size,), 0, len(pairs.length))
        batch = jax.tree.map(lambda a: a[rows], pairs)
        return batch, own_key, inverse_sigmoid(number, cfg.pace)

    adam, rate = optimizers.adam, falling(cfg)
    state = init_state(params, (), adam)
    state, _ = descend(loss, adam, state, batches, cfg.updates, rate, cfg.clip)
    return state.params


def train(cfg: Config, model: Seq2Seq, scheduled: bool, pairs: Pairs, seed: int):
    """Parameters after all updates."""
    init_key, key = jax.random.split(jax.random.key(seed))
    return learn(cfg, model, scheduled, model.init(init_key), pairs, key)


@partial(jax.jit, static_argnums=(0, 1))
def decode(cfg: Config, model: Seq2Seq, params, pairs: Pairs):
    """Tokens (n, N) by greedy choice and by beam search."""
    length = pairs.target.shape[1]

    def one(pair):
        decoder = model.decoder(model.encode(params, pair.source, pair.length))
        state = prime(decoder, params, jnp.array([EDGE]))
        _, greedy = sample(
            decoder, params, None, state, length, greedy=True, stop_token=EDGE
        )
        beams, _ = beam_search(
            decoder,
            params,
            state,
            length,
            cfg.beam_size,
            stop_token=EDGE,
            length_power=cfg.length_power,
        )
        return greedy, beams[0]

    return jax.lax.map(one, pairs, batch_size=250)


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


def run(cfg: Config) -> Result:
    data = load(cfg)
    pairs, asked = encode(data, data.train), encode(data, data.test)
    pairs, asked = jax.tree.map(jnp.asarray, (pairs, asked))
    models = {yes: network(cfg, data, yes) for yes in (True, False)}
    right, characters, shown = {}, {}, None
    for name in cfg.runs:
        attention, scheduled = RUNS[name]
        model = models[attention]
        exact, each = {"greedy": [], "beam": []}, []
        for seed in cfg.seeds:
            params = train(cfg, model, scheduled, pairs, seed)
            found = decode(cfg, model, params, asked)
            for way, tokens in zip(exact, found, strict=True):
                exact[way].append((tokens == asked.target).all(axis=1).mean())
            each.append(jnp.mean(found[0] == asked.target, where=asked.valid))
            shown = shown or (model, params, found[0])
        right[name] = {way: np.array(shares) for way, shares in exact.items()}
        characters[name] = np.array(each)
    words, (exact, each) = texts(data, shown[2]), score(data, nearest(data))
    example = int(np.argmax(asked.length))
    look = np.asarray(look_at(*shown, asked, example))
    return Result(data, right, characters, (exact, each), words, look, example)


@partial(jax.jit, static_argnums=0)
def look_at(model: Seq2Seq, params, found, asked: Pairs, n: int) -> jax.Array:
    """Where the network looks while it writes the n-th answer, (N, S)."""
    memory = model.encode(params, asked.source[n], asked.length[n])
    inputs = jnp.concatenate([jnp.array([EDGE], jnp.int32), found[n, :-1]])
    return model.look(params, memory, inputs)


def texts(data: Data, tokens) -> list[str]:
    """What stands before the first EDGE of each row."""
    symbols = "\0" + data.target_symbols
    lines = ["".join(symbols[token] for token in row) for row in np.asarray(tokens)]
    return [line.partition("\0")[0] for line in lines]


def score(data: Data, answers: list[str]) -> tuple[float, float]:
    """Share of answers exactly right, and of right characters with the end."""
    targets = [target + "\0" for _, target in data.test]
    same = lambda a, t: [x == y for x, y in zip(a.ljust(len(t), "\0"), t, strict=False)]
    hits = [hit for a, t in zip(answers, targets, strict=True) for hit in same(a, t)]
    exact = [a + "\0" == t for a, t in zip(answers, targets, strict=True)]
    return float(np.mean(exact)), float(np.mean(hits))


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
        "baseline_exactly_right": result.baseline[0],
        "baseline_right_characters": result.baseline[1],
        "examples_of_mistakes": wrong[:5],
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4), layout="constrained", width_ratios=(2.2, 1)
    )
    source = result.data.test[result.example][0]
    answer = result.written[result.example]
    weights = result.look[: len(answer), : len(source)]
    image = left.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
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
    try:
        if not cfg.runs or not RUNS[cfg.runs[0]][0]:
            raise TableError("--runs: the first must have attention.")
        result = run(cfg)
    except TableError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    metrics = summary(result)
    if cfg.data is None:
        save("dates", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
