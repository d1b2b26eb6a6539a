"""How well does a recurrent network know which word comes next, and where to stop?

Source: the RNN language model of the course text 002, at the level of words. Sentences
from the docstrings of Python's own standard library, in lower case, each with an end of
sentence; a sentence of T words and signs has T + 1 losses, and its batch is padded.
Words that training has fewer than 4 times are one unknown word. The perplexity is exp
of the mean loss over all words and ends of held-out sentences.

Expect: both networks are better than counts of pairs of words, the LSTM than tanh.
There are few sentences, and without dropout the networks would know them by heart.
References: how often each word occurs, and which word follows which (interpolated).

Time: about 4 minutes on two CPU cores.
"""

import ast
import re
import sysconfig
from collections import Counter
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
from experiments._results import save, show
from experiments._training import spread, trainer
from jrnn.generate import prime, sample
from jrnn.models import language_model, many_to_many

UNKNOWN = 0
CELLS = {"tanh": (jrnn.elman, "#d55e00"), "LSTM": (jrnn.lstm, "#0072b2")}


@dataclass(frozen=True)
class Config:
    min_count: int = 4
    """A word that training has less often is unknown."""
    longest: int = 30
    """Words of a sentence at most; longer ones are left out."""
    hidden_size: int = 128
    """Units."""
    embed_size: int = 96
    """Length of a word's learned row."""
    dropout: float = 0.5
    """Of the outputs of the recurrent layer."""
    updates: int = 3000
    """In all."""
    batch_size: int = 32
    """Sentences in an update."""
    learning_rate: float = 4e-3
    """Of Adam at the start; it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    files: int | None = None
    """Of the standard library, the first by name; all if none."""
    written: int = 5
    """Sentences that the LSTM writes."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network of each kind for each."""


SMOKE = Config(
    hidden_size=3,
    embed_size=2,
    updates=2,
    batch_size=2,
    files=12,
    written=1,
    seeds=(0, 1),
)


class Sentences(NamedTuple):
    words: np.ndarray  # (n, T + 1): the words and the end, padded with it
    length: np.ndarray  # (n,): words and the end


@dataclass(frozen=True)
class Result:
    nats: dict[str, np.ndarray]  # (seeds,) of a held-out word
    losses: dict[str, np.ndarray]  # (seeds, blocks)
    baselines: dict[str, float]  # nats
    sizes: dict[str, int]
    written: list[str]
    updates: int


def docstrings(files: int | None) -> str:
    """Of modules, classes and functions of the standard library, parted by blanks."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    others = {"site-packages", "test", "tests", "idle_test", "pydoc_data", "lib2to3"}
    paths = [
        path
        for path in sorted(folder.rglob("*.py"))
        if not others & set(path.relative_to(folder).parts)
    ]
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    found = [
        ast.get_docstring(node)
        for path in paths[:files]
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, kinds)
    ]
    return "\n\n".join(filter(None, found))


def sentences(text: str, longest: int) -> list[list[str]]:
    """Words and signs of prose in lower case, each sentence once."""
    found = {}
    for paragraph in re.split(r"\n\s*\n", text):
        joined = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", joined):
            words = re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", sentence.lower())
            prose = re.fullmatch(r"[A-Z].*[.!?]", sentence)
            if prose and 4 <= len(words) <= longest:
                found[tuple(words)] = None
    return list(map(list, found))


def load(cfg: Config) -> tuple[Sentences, Sentences, list[str]]:
    """For training, for the test, and the words, of which 0 is unknown."""
    found = sentences(docstrings(cfg.files), cfg.longest)
    order = np.random.default_rng(0).permutation(len(found))
    test, train = np.split(order, [len(found) // 10])
    counts = Counter(word for n in train for word in found[n])
    known = sorted(word for word, count in counts.items() if count >= cfg.min_count)
    number = {word: n for n, word in enumerate(known, UNKNOWN + 1)}
    end = len(known) + 1

    def table(rows) -> Sentences:
        words = np.full((len(rows), cfg.longest + 1), end, np.int32)
        for n, row in enumerate(rows):
            sentence = [number.get(word, UNKNOWN) for word in found[row]]
            words[n, : len(sentence)] = sentence
        length = np.array([len(found[n]) + 1 for n in rows], np.int32)
        return Sentences(words, length)

    return table(train), table(test), ["<unknown>", *known]


def logits(model: jrnn.Cell, params, sentence: Sentences, key=None):
    """Of each word from those before it; the end stands before the first."""
    before = jnp.roll(sentence.words, 1).at[0].set(sentence.words[-1])
    return many_to_many(model, params, before, sentence.length, key=key)


def loss(model: jrnn.Cell, params, batch: Sentences, key):
    """J = - 1/(T+1) sum_t log P(w_{t+1} | w_1 .. w_t), over all words of the batch."""
    keys = jax.random.split(key, len(batch.length))
    out = jax.vmap(partial(logits, model, params))(batch, keys)
    valid = jnp.arange(batch.words.shape[1]) < batch.length[:, None]
    return jrnn.losses.cross_entropy(out, batch.words, valid)


@partial(jax.jit, static_argnums=0)
def held_out(model: jrnn.Cell, params, test: Sentences):
    """Mean nats of all words and ends."""

    def total(sentence):
        log_p = jax.nn.log_softmax(logits(model, params, sentence))
        own = jnp.take_along_axis(log_p, sentence.words[:, None], axis=1)[:, 0]
        valid = jnp.arange(len(own)) < sentence.length
        return jnp.where(valid, -own, 0.0).sum()

    totals = jax.lax.map(total, test, batch_size=64)
    return totals.sum() / test.length.sum()


def write(model: jrnn.Cell, params, cfg: Config, known: list[str], key) -> list[str]:
    """Sentences drawn from the network."""
    end = len(known)
    start = prime(model, params, jnp.array([end]))
    draw = lambda key: sample(
        model, params, key, start, cfg.longest, temperature=0.7, stop_token=end
    )[1]
    rows = jax.jit(jax.vmap(draw))(jax.random.split(key, cfg.written))
    return [" ".join(known[t] for t in row if t != end) for row in rows.tolist()]


def counted(train: Sentences, test: Sentences, vocab: int) -> dict[str, float]:
    """Nats of single words, and of pairs as Witten and Bell (1991) interpolate them.

    P(b | a) = (c(a, b) + d(a) P(b)) / (c(a) + d(a)), d(a) the number of different words
    behind a.
    """
    pairs, asked = (
        np.concatenate(
            [
                np.stack([np.r_[vocab - 1, row[: n - 1]], row[:n]], axis=1)
                for row, n in zip(s.words, s.length, strict=True)
            ]
        )
        for s in (train, test)
    )
    single = np.bincount(pairs[:, 1], minlength=vocab) + 1.0
    single /= single.sum()
    counts = np.zeros((vocab, vocab), np.float32)
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    kinds = np.maximum((counts > 0).sum(axis=1), 1)
    a, b = asked.T
    both = (counts[a, b] + kinds[a] * single[b]) / (counts[a].sum(axis=1) + kinds[a])
    return {
        "single words": float(-np.log(single[b]).mean()),
        "pairs of words": float(-np.log(both).mean()),
    }


def run(cfg: Config) -> Result:
    train, test, known = load(cfg)
    vocab = len(known) + 1
    nats, losses, written = {}, {}, []
    for name, (cell, _) in CELLS.items():
        model = language_model(
            vocab,
            cell=cell,
            hidden_size=cfg.hidden_size,
            embed_size=cfg.embed_size,
            dropout_rate=cfg.dropout,
        )
        learn = trainer(partial(loss, model.train), cfg)
        found = []
        for seed in cfg.seeds:
            init_key, key, write_key = jax.random.split(jax.random.key(seed), 3)
            params = model.evaluate.init(init_key, jnp.int32(0))
            params, curve = learn(params, train, key)
            found.append((float(held_out(model.evaluate, params, test)), curve))
        nats[name], losses[name] = map(np.array, zip(*found, strict=True))
        written = write(model.evaluate, params, cfg, known, write_key)
    sizes = {
        "training_sentences": len(train.length),
        "test_sentences": len(test.length),
        "test_words_and_ends": int(test.length.sum()),
        "vocabulary": vocab,
    }
    return Result(
        nats, losses, counted(train, test, vocab), sizes, written, cfg.updates
    )


def summary(result: Result) -> dict:
    """Perplexity of a word or end of held-out sentences; mean, and range over seeds."""
    return {
        **result.sizes,
        "perplexity": {n: spread(np.exp(a)) for n, a in result.nats.items()},
        "perplexity_of_counts": {n: np.exp(x) for n, x in result.baselines.items()},
        "written_by_the_last": result.written,
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.8), layout="constrained", width_ratios=(1.5, 1)
    )
    for name, curves in result.losses.items():
        x = np.linspace(0, result.updates, curves.shape[1] + 1)[1:]
        lines = left.plot(x, np.exp(curves).T, color=CELLS[name][1], lw=1)
        lines[0].set_label(name)
    left.set(xlabel="update", ylabel="perplexity in training", yscale="log")
    left.set_title("Each of the networks, with dropout", fontsize=10)
    left.legend()
    bars = {name: (np.exp([x]), "0.6") for name, x in result.baselines.items()}
    bars |= {n: (np.exp(a), CELLS[n][1]) for n, a in result.nats.items()}
    for place, (values, colour) in enumerate(bars.values()):
        right.bar(place, values.mean(), 0.6, color=colour)
        right.annotate(
            f"{values.mean():.0f}",
            (place, values.mean()),
            (0, 4),
            ha="center",
            textcoords="offset points",
        )
        if len(values) > 1:
            right.plot(np.full(len(values), place), values, "k.", ms=4)
    right.set_xticks(range(len(bars)), [n.replace(" of", "\nof") for n in bars])
    right.set(ylabel="held-out perplexity")
    right.margins(y=0.12)
    right.set_title("Unseen sentences; dots: seeds", fontsize=10)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("sentences", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
