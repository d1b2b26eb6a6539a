"""How much faster does jrnn write text than a loop in NumPy?

Source: the sampling loop of min-char-rnn (Karpathy 2015): one tanh layer of 100 units,
one sequence, one character after the other, temperature 1.

What is compared, side by side in one process, round by round in turn, all in float32:

* textbook: min-char-rnn's own loop, a one-hot vector times the input weights and
  np.random.choice on the probabilities;
* tuned: the same in the fewest calls of NumPy known here: a row of the weights looked
  up, uniform numbers drawn ahead and inverted on the cumulative sums;
* jrnn: `sample`, one compiled call, the noise drawn inside it.

Expect, on an idle machine: jrnn about 10 to 14 times as fast as the textbook's loop. A
busy one favours NumPy, whose time goes into calls, over a loop bound by arithmetic, so
the processor's own time is reported beside the clock's.

Time: about 20 s on one CPU core, longer on a busy machine.
"""

import os
import time
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jrnn
from experiments._results import plain, save, show
from jrnn.generate import prime, sample


@dataclass(frozen=True)
class Config:
    hidden_size: int = 100
    """Units of the tanh layer."""
    vocab_size: int = 65
    """Characters; 65 is tiny Shakespeare."""
    length: int = 5000
    """Characters written in one round."""
    rounds: int = 21
    """Rounds of each; minimum and median are reported."""
    seed: int = 0
    """Of the weights and the noise."""


SMOKE = Config(hidden_size=6, vocab_size=5, length=40, rounds=3)


@dataclass(frozen=True)
class Result:
    clock: dict[str, np.ndarray]  # (rounds,) seconds for each contender
    processor: dict[str, np.ndarray]  # (rounds,) the same in seconds of the processor
    length: int


def model_and_params(cfg: Config):
    model = jrnn.stack(
        jrnn.one_hot(cfg.vocab_size),
        jrnn.elman(cfg.hidden_size),
        jrnn.linear(cfg.vocab_size),
    )
    return model, model.init(jax.random.key(cfg.seed), jnp.int32(0))


def textbook(params, token: int, length: int, rng) -> list[int]:
    _, (w_x, w_h, b), (w_out, b_out) = params
    x = np.zeros(len(w_x), np.float32)
    x[token] = 1
    h, tokens = np.zeros(len(b), np.float32), []
    for _ in range(length):
        h = np.tanh(x @ w_x + h @ w_h + b)
        weights = np.exp((h @ w_out + b_out).astype(np.float64))  # choice wants float64
        token = rng.choice(len(weights), p=weights / weights.sum())
        x = np.zeros(len(w_x), np.float32)
        x[token] = 1
        tokens.append(token)
    return tokens


def tuned(params, token: int, length: int, rng) -> list[int]:
    _, (w_x, w_h, b), (w_out, b_out) = params
    table = w_x + b
    h, tokens = np.zeros(len(b), np.float32), []
    for u in rng.random(length, np.float32):
        h = np.tanh(table[token] + h @ w_h)
        total = np.cumsum(np.exp(h @ w_out + b_out))
        token = int(np.searchsorted(total, u * total[-1]))
        tokens.append(token)
    return tokens


def contenders(cfg: Config) -> dict:
    model, params = model_and_params(cfg)
    start = prime(model, params, np.array([0]))
    compiled = jax.jit(lambda key: sample(model, params, key, start, cfg.length)[1])
    in_numpy = jax.tree.map(np.asarray, params)
    loop = lambda write, seed: write(
        in_numpy, 0, cfg.length, np.random.default_rng(seed)
    )
    return {
        "textbook": partial(loop, textbook),
        "tuned": partial(loop, tuned),
        "jrnn": lambda seed: compiled(jax.random.key(seed)).block_until_ready(),
    }


def run(cfg: Config) -> Result:
    writers = contenders(cfg)
    for write in writers.values():
        write(cfg.seed)  # compiles, and warms up the others
    clock = {name: [] for name in writers}
    processor = {name: [] for name in writers}
    for n in range(cfg.rounds):
        for name, write in writers.items():
            begin = time.perf_counter(), time.process_time()
            write(cfg.seed + n)
            clock[name].append(time.perf_counter() - begin[0])
            processor[name].append(time.process_time() - begin[1])
    arrays = lambda times: {name: np.array(t) for name, t in times.items()}
    return Result(arrays(clock), arrays(processor), cfg.length)


def summary(result: Result) -> dict:
    numbers = {
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    }
    for kind in ("clock", "processor"):
        seconds = getattr(result, kind)
        for name, times in seconds.items():
            numbers[f"{kind}_{name}_characters_per_second"] = {
                "best": result.length / times.min(),
                "median": result.length / np.median(times),
            }
        for name in ("textbook", "tuned"):
            numbers[f"{kind}_jrnn_times_faster_than_{name}"] = {
                "best_to_best": seconds[name].min() / seconds["jrnn"].min(),
                "median_of_rounds": np.median(seconds[name] / seconds["jrnn"]),
            }
    return numbers


def main(cfg: Config) -> None:
    metrics = plain(summary(run(cfg)))
    save("generation_speed", cfg, metrics)
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
