"""How does a language model learn to write "hello"?

Source: texts 000 and 001, where a network reads h, e, l, l and says e, l, l, o; first
shown by Karpathy (2015), karpathy.github.io/2015/05/21/rnn-effectiveness.

    h_t = tanh(x_t w_x + h_{t-1} w_h + b),   p_t = softmax(h_t w + c)

Eight tanh units, letters as one-hot vectors, trained by Adagrad with the gradient
clipped by its norm to write the next letter; then, from "h" alone, each letter that it
writes is its next input. The same letter l must once be followed by l and once by o:
the state has to tell which.

Expect: "hello" within ten updates from every start; every probability above 0.99 at
the end.

Time: seconds.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn import losses, models, optimizers
from jrnn.train import Hyper, init_state, make_step

WORD = "hello"
LETTERS = "helo"


@dataclass(frozen=True)
class Config:
    hidden_size: int = 8
    """Units."""
    learning_rate: float = 0.1
    """Of Adagrad."""
    clip: float = 5.0
    """Largest norm of a gradient."""
    updates: int = 300
    """Steps of training."""
    seeds: int = 20
    """Networks, which differ in their initial weights."""


SMOKE = Config(hidden_size=3, updates=4, seeds=2)


@dataclass(frozen=True)
class Result:
    probabilities: np.ndarray  # (updates + 1, T) of the right letter, first network
    losses: np.ndarray  # (seeds, updates + 1)
    written: list[list[str]]  # (seeds, updates + 1) by greedy generation
    final: np.ndarray  # (T, V) of the first network


def indices(word: str) -> jax.Array:
    return jnp.array([LETTERS.index(letter) for letter in word])


def write(model: jrnn.Cell, params, length: int) -> jax.Array:
    """Letters (length,) from "h" on, each the likeliest and the next input."""

    def step(state, _):
        carry, letter = state
        carry, o = model.step(params, carry, letter)
        following = jnp.argmax(o)
        return (carry, following), following

    start = model.initial_carry(params), indices("h")[0]
    _, rest = jax.lax.scan(step, start, length=length - 1)
    return jnp.concatenate([indices("h"), rest])


def train(cfg: Config, key: jax.Array):
    """Probabilities (updates + 1, T, V), losses and writings on the way."""
    xs, labels = indices(WORD[:-1]), indices(WORD[1:])
    model = models.language_model(
        len(LETTERS), cell=jrnn.elman, hidden_size=cfg.hidden_size
    ).evaluate
    hyper = Hyper(jnp.array(cfg.learning_rate), jnp.array(cfg.clip))

    def loss(params, carry, _, *, key=None):
        _, o = jrnn.unroll(model, params, xs)
        return len(labels) * losses.cross_entropy(o, labels), jax.nn.softmax(o)

    step = make_step(loss, optimizers.adagrad)

    def update(state, _):
        new, metrics = step(state, (), hyper)
        # what the loss returns beside its value
        seen = new.carry, metrics.loss, write(model, state.params, len(WORD))
        return new._replace(carry=()), seen

    state = init_state(model.init(key, xs[0]), (), optimizers.adagrad)
    return jax.lax.scan(update, state, length=cfg.updates + 1)[1]


def run(cfg: Config) -> Result:
    keys = jax.random.split(jax.random.key(0), cfg.seeds)
    go = jax.jit(jax.vmap(lambda key: train(cfg, key)))
    p, values, letters = map(np.asarray, go(keys))
    right = np.asarray(indices(WORD[1:]))
    words = [["".join(LETTERS[i] for i in word) for word in run] for run in letters]
    return Result(p[0][:, np.arange(len(right)), right], values, words, p[0, -1])


def summary(result: Result) -> dict:
    spelt = [[word == WORD for word in run] for run in result.written]
    # the first update after which it writes the word to the end of training
    lasting = [len(s) - int(np.argmin([*s[::-1], False])) for s in spelt]
    return {
        "written": [run[-1] for run in result.written],
        "updates_until_it_writes_hello_for_good": {
            "median": float(np.median(lasting)),
            "most": max(lasting),
        },
        "least_probability_at_the_end": result.probabilities[-1].min(),
        "median_loss": {
            "start": np.median(result.losses[:, 0]),
            "end": np.median(result.losses[:, -1]),
        },
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
    for t, colour in zip(range(len(WORD) - 1), colours, strict=True):
        label = f"{WORD[t + 1]} after {WORD[: t + 1]}"
        p = result.probabilities[:, t]
        left.semilogx(np.arange(1, len(p) + 1), p, color=colour, label=label)
    left.axhline(1 / len(LETTERS), color="black", lw=0.8, ls=":", label="a guess")
    left.set(
        xlabel="update (the first is the start)",
        ylabel="probability of the right letter",
        ylim=(0, 1.02),
    )
    left.set_title("Learning, letter by letter", fontsize=10)
    left.legend(fontsize=8)
    image = right.imshow(result.final.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    figure.colorbar(image, ax=right, label="probability")
    for (t, k), p in np.ndenumerate(result.final):
        colour = "white" if p > 0.5 else "black"
        right.text(t, k, f"{p:.2f}", ha="center", va="center", color=colour, fontsize=8)
    right.set_xticks(range(len(WORD) - 1), list(WORD[:-1]))
    right.set_yticks(range(len(LETTERS)), list(LETTERS))
    right.set(xlabel="letter read", ylabel="letter that follows")
    right.set_title("After training", fontsize=10)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("hello", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
