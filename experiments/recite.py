"""Can the smallest character model learn a poem by heart?

Source: text 001, which trains min-char-rnn for 20,000 steps of 50 characters with 100
tanh units on one short poem; the rule is that of experiments/min_char_rnn.py. The poem
here was written for this file.

After each block of steps the network starts from zeros, is given the poem's first
letter and then always its own likeliest letter. Counted is how many letters it gets
right before the first mistake.

Expect: words after a thousand steps, whole lines after some thousands, and in the end
the poem from the first letter to the last, with a loss near zero. On the way a step
sometimes unlearns a letter, which ends the recital early, and is mended soon after.

Time: half a minute on two CPU cores.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments import min_char_rnn as rule
from experiments._results import save, show
from jrnn import text as jt

POEM = """\
The river keeps no record of the rain,
yet every stone it passes has been told:
what fell as cloud upon a distant plain
comes down as glass, and green, and very cold.

I asked the water what it could recall
of hills it left, of roots, of early snow.
It said: the shape of me is all, is all,
and what I was is how I come and go.

So I have kept one number in my head
and turned it as the river turns a stone,
each hour a little changed by what was said,
each hour a little more and less my own.

Forget, but slowly. Let the bright thing stay
as long as it has work to do today.
"""


@dataclass(frozen=True)
class Config:
    hidden_size: int = 100
    """Units."""
    window: int = 50
    """Characters in one step of training."""
    learning_rate: float = 0.1
    """Of Adagrad."""
    iterations: int = 20_000
    """Steps of training."""
    every: int = 200
    """Steps between recitals; must divide the iterations."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Networks, which differ in their initial weights."""


SMOKE = Config(hidden_size=4, iterations=4, every=2, seeds=(0, 1))


@dataclass(frozen=True)
class Result:
    every: int
    window: int
    vocab_size: int
    bits: np.ndarray  # (seeds, blocks) smoothed loss, a character
    right: np.ndarray  # (seeds, blocks) letters before the first mistake
    length: int  # of what is to be recited
    recitals: list[str]  # of the first network


def recite(cell: jrnn.Cell, params, first: jax.Array, length: int) -> jax.Array:
    """Letters (length,) that follow the first, each the likeliest."""

    def step(state, _):
        carry, letter = state
        carry, logits = cell.step(params, carry, letter)
        letter = jnp.argmax(logits).astype(letter.dtype)
        return (carry, letter), letter

    start = cell.initial_carry(params), first
    return jax.lax.scan(step, start, length=length)[1]


@partial(jax.jit, static_argnums=(0, 1))
def one_run(cfg: Config, vocab_size: int, tokens: jax.Array, key: jax.Array):
    """Smoothed losses (blocks,) and recitals (blocks, length) of one network."""
    small = rule.Config(
        hidden_size=cfg.hidden_size, window=cfg.window, learning_rate=cfg.learning_rate
    )
    cell = rule.model(small, vocab_size)
    # every letter is read and asked for, the last windows of the poem too
    count = (len(tokens) - 1) // cfg.window
    cut = lambda row: row[: count * cfg.window].reshape(count, cfg.window)
    data = jt.Streams(cut(tokens[:-1]), cut(tokens[1:]))
    length = count * cfg.window
    state = rule.start(small, cell, cell.init(key, jnp.int32(0)), vocab_size)

    def block(state, _):
        state, _ = rule.train(small, cell, data, state, cfg.every)
        return state, (
            state.smooth_loss,
            recite(cell, state.params, tokens[0], length),
        )

    return jax.lax.scan(block, state, length=cfg.iterations // cfg.every)[1]


def run(cfg: Config) -> Result:
    # stars fill the last window, so that the whole poem is in some window
    poem = POEM + "*" * (-(len(POEM) - 1) % cfg.window)
    vocabulary = jt.build_vocabulary(poem)
    tokens = jnp.asarray(jt.encode(vocabulary, poem))
    keys = jnp.stack([jax.random.key(seed) for seed in cfg.seeds])
    losses, found = jax.vmap(lambda k: one_run(cfg, len(vocabulary), tokens, k))(keys)
    wrong = np.asarray(found) != np.asarray(tokens[1:])  # (seeds, blocks, length)
    length = len(POEM) - 1
    never = np.ones((*wrong.shape[:2], 1), bool)
    right = np.argmax(np.concatenate([wrong[..., :length], never], -1), axis=-1)
    return Result(
        every=cfg.every,
        window=cfg.window,
        vocab_size=len(vocabulary),
        bits=np.asarray(losses) / cfg.window / np.log(2),
        right=right,
        length=length,
        recitals=[POEM[0] + jt.decode(vocabulary, row) for row in np.asarray(found)[0]],
    )


def summary(result: Result) -> dict:
    whole = result.right == result.length
    first = np.where(whole.any(1), (whole.argmax(1) + 1) * result.every, -1)
    blocks = result.bits.shape[1]
    shown = sorted({0, blocks // 20, blocks // 4, blocks - 1})
    return {
        "characters": result.length + 1,
        "longest_recital": result.right.max(1) + 1,
        "last_recital": result.right[:, -1] + 1,
        "first_whole_recital_after_steps": [int(n) if n > 0 else None for n in first],
        "bits_per_character": result.bits[:, -1],
        "recitals": {str((i + 1) * result.every): result.recitals[i] for i in shown},
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    steps = result.every * np.arange(1, result.bits.shape[1] + 1)
    left.plot(steps, result.bits.T, color="#0072b2", lw=1)
    chance = np.log2(result.vocab_size)
    left.axhline(chance, color="black", ls=":", lw=0.8, label="every character alike")
    left.set(xlabel="step", ylabel="smoothed loss, bits a character", ylim=(0, None))
    left.legend(fontsize=8)
    right.plot(steps, result.right.T + 1, color="#0072b2", lw=1)
    right.axhline(
        result.length + 1, color="black", ls=":", lw=0.8, label="the whole poem"
    )
    right.set(xlabel="step", ylabel="letters right before a mistake", ylim=(0, None))
    right.legend(fontsize=8, loc="lower right")
    figure.suptitle(
        f"A poem of {result.length + 1} letters, learnt by heart", fontsize=10
    )
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("recite", cfg, metrics, plot(result))
    for step, text in metrics["recitals"].items():
        print(f"---- step {step}\n{text}")
    del metrics["recitals"]
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
