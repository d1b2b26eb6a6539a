"""How well does the smallest character model learn to write, in a hundred lines?

Source: Karpathy (2015), The unreasonable effectiveness of recurrent neural networks,
karpathy.github.io/2015/05/21/rnn-effectiveness, and the gist min-char-rnn that goes
with it. This is its rule, step for step, made of parts of jrnn:

* one tanh layer of 100 units, one-hot characters in, softmax out; all weights Gaussian
  with standard deviation 0.01, all biases 0;
* 25 characters a step, in the order of the text, the state carried on; at the end of
  the text back to its beginning with a state of zeros;
* the loss is the sum over the 25 characters; each element of the gradient is clipped to
  [-5, 5]; Adagrad with rate 0.1, an accumulator from 0 and 1e-8 inside the root;
* the smoothed loss starts at 25 log V and is 0.999 of itself + 0.001 of the new loss;
* every 100 steps the model writes 200 characters.

tests/test_min_char_rnn.py proves it equal to a loop in NumPy with a gradient by hand.
At this size and rate the rule is chaotic: Adagrad's first steps have length 0.1 however
small the gradient is, so a change of the last bit grows to 10 % of the loss within 200
steps. Two runs on two machines look alike and are not the same.

Expect, on the built-in corpus: a smoothed loss that falls from 116 to about 40 (2.3
bits a character), with a wave for each pass through the text; first letters in
plausible proportion, then words, then English that means nothing. All steps and samples
of a run are one compiled program.

Time: about a minute of processor time for each seed.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import tyro

import jrnn
from experiments._results import save
from jrnn import optimizers
from jrnn import text as jt
from jrnn.generate import prime, sample


@dataclass(frozen=True)
class Config:
    file: Path | None = None
    """A text file; none: the Python language reference that comes with Python."""
    hidden_size: int = 100
    """Units of the recurrent layer."""
    window: int = 25
    """Characters in one step of training."""
    learning_rate: float = 0.1
    """Of Adagrad."""
    init_scale: float = 0.01
    """Standard deviation of the initial weights."""
    clip: float = 5.0
    """Each element of the gradient is clipped to +- this."""
    iterations: int = 100_000
    """Steps of training."""
    sample_every: int = 100
    """Steps between samples; must divide the iterations."""
    sample_length: int = 200
    """Characters in a sample."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each; they differ in initial weights and samples."""


SMOKE = Config(hidden_size=8, iterations=20, sample_every=10, seeds=(0, 1))


class TrainState(NamedTuple):
    params: tuple
    adagrad: tuple
    carry: tuple  # before the next window
    smooth_loss: jax.Array  # ()
    iteration: jax.Array  # () int32


@dataclass(frozen=True)
class Result:
    source: str  # of the text
    vocab_size: int
    window: int
    sample_every: int
    smooth_loss: np.ndarray  # (seeds, blocks), at the end of each block
    samples: list[str]  # of the first seed, one before each block


def model(cfg: Config, vocab_size: int) -> jrnn.Cell:
    gaussian = jax.nn.initializers.normal(cfg.init_scale)
    return jrnn.stack(
        jrnn.one_hot(vocab_size),
        jrnn.elman(cfg.hidden_size, w_x_init=gaussian, w_h_init=gaussian),
        jrnn.linear(vocab_size, w_init=gaussian),
    )


def windows(cfg: Config, tokens: np.ndarray) -> jt.Streams:
    """Inputs and targets (M, window), in the order of the text.

    The rule goes back to the beginning one character before it has to (it tests for >=
    where > would do), so the text's last character is never used.
    """
    rows = jt.streams(tokens[:-1], batch_size=1, window=cfg.window)
    return jt.Streams(*(row.reshape(-1, cfg.window) for row in rows))


def optimizer(cfg: Config) -> optax.GradientTransformation:
    return optax.chain(
        optimizers.clip_elementwise(cfg.clip),
        optimizers.scale_by_adagrad(eps=1e-8),
        optax.scale(-cfg.learning_rate),
    )


def start(cfg: Config, cell: jrnn.Cell, params: tuple, vocab_size: int) -> TrainState:
    return TrainState(
        params=params,
        adagrad=optimizer(cfg).init(params),
        carry=cell.initial_carry(params),
        smooth_loss=jnp.asarray(
            cfg.window * np.log(vocab_size), jnp.result_type(float)
        ),
        iteration=jnp.int32(0),
    )


def train(cfg, cell, data: jt.Streams, state: TrainState, iterations: int):
    """Steps of training; returns the state and the loss of each step (iterations,)."""
    inputs, targets = map(jnp.asarray, data)

    def loss(params, carry, xs, labels):
        carry, logits = jrnn.unroll(cell, params, xs, carry)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return nats.sum(), carry

    def step(state, _):
        index = state.iteration % len(inputs)
        (value, carry), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params, state.carry, inputs[index], targets[index]
        )
        updates, adagrad = optimizer(cfg).update(gradient, state.adagrad)
        at_end = index + 1 == len(inputs)
        new = TrainState(
            params=optax.apply_updates(state.params, updates),
            adagrad=adagrad,
            carry=jax.tree.map(
                lambda c: jnp.where(at_end, 0, c).astype(c.dtype), carry
            ),
            smooth_loss=0.999 * state.smooth_loss + 0.001 * value,
            iteration=state.iteration + 1,
        )
        return new, value

    return jax.lax.scan(step, state, length=iterations)


def write(cfg, cell, data: jt.Streams, state: TrainState, key: jax.Array):
    """A sample that goes on from the state of training; token ids (sample_length,)."""
    inputs = jnp.asarray(data.inputs)
    first = inputs[state.iteration % len(inputs), :1]
    text = prime(cell, state.params, first, state.carry)
    return sample(cell, state.params, key, text, cfg.sample_length)[1]


@partial(jax.jit, static_argnums=(0, 1, 2))
def one_run(cfg, cell, vocab_size, data, key):
    """The whole run of one seed: smoothed losses (blocks,) and samples (blocks, N)."""
    init_key, sample_key = jax.random.split(key)
    state = start(cfg, cell, cell.init(init_key, jnp.int32(0)), vocab_size)

    def block(state, key):
        tokens = write(cfg, cell, data, state, key)
        state, _ = train(cfg, cell, data, state, cfg.sample_every)
        return state, (state.smooth_loss, tokens)

    blocks = cfg.iterations // cfg.sample_every
    return jax.lax.scan(block, state, jax.random.split(sample_key, blocks))[1]


def run(cfg: Config) -> Result:
    if cfg.file is None:
        text, source = jt.python_reference()
    else:
        text, source = jt.read_files(cfg.file), cfg.file.name
    vocabulary = jt.build_vocabulary(text)
    cell = model(cfg, len(vocabulary))
    data = windows(cfg, jt.encode(vocabulary, text))
    runs = [
        one_run(cfg, cell, len(vocabulary), data, jax.random.key(seed))
        for seed in cfg.seeds
    ]
    return Result(
        source=source,
        vocab_size=len(vocabulary),
        window=cfg.window,
        sample_every=cfg.sample_every,
        smooth_loss=np.stack([np.asarray(losses) for losses, _ in runs]),
        samples=[jt.decode(vocabulary, tokens) for tokens in np.asarray(runs[0][1])],
    )


def plot(result: Result) -> plt.Figure:
    bits = result.smooth_loss / result.window / np.log(2)
    steps = result.sample_every * np.arange(1, bits.shape[1] + 1)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.plot(steps, bits.T, color="#0072b2", linewidth=1)
    chance = np.log2(result.vocab_size)
    axes.axhline(chance, color="black", linestyle=":", label="every character alike")
    axes.set(xlabel="step", ylabel="smoothed loss, bits per character", ylim=(0, None))
    axes.set_title(f"{len(bits)} seeds on: {result.source}", fontsize=9)
    axes.legend()
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    bits = result.smooth_loss[:, -1] / result.window / np.log(2)
    blocks = len(result.samples)
    shown = sorted({0, blocks // 100, blocks // 10, blocks - 1})
    metrics = {
        "source": result.source,
        "vocab_size": result.vocab_size,
        "smooth_loss": result.smooth_loss[:, -1],
        "bits_per_character": bits,
        "samples": {str(i * cfg.sample_every): result.samples[i] for i in shown},
    }
    save("min_char_rnn", cfg, metrics, plot(result))
    for i in shown:
        print(f"---- step {i * cfg.sample_every}\n{result.samples[i]}")
    print(f"---- smoothed loss in bits per character, by seed: {bits.round(3)}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
