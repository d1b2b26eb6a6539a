"""Windows of the built-in text, and training of models that predict its characters."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jrnn
from experiments._training import trainer
from jrnn.text import build_vocabulary, encode, python_reference, split
from jrnn.train import evaluate


class Characters(NamedTuple):
    train: np.ndarray  # (N,) tokens
    held_out: np.ndarray
    vocab_size: int


def load(held_out: float, length: int | None = None) -> Characters:
    """The text, the end of it held out; only its first `length` characters if given."""
    text = python_reference().text[:length]
    vocabulary = build_vocabulary(text)
    train, rest = split(encode(vocabulary, text), (1 - held_out, held_out))
    return Characters(np.asarray(train), np.asarray(rest), len(vocabulary))


def windows(tokens: np.ndarray, size: int) -> np.ndarray:
    """Windows of size + 1 tokens that overlap by half."""
    starts = np.arange(0, len(tokens) - size, max(1, size // 2))
    return tokens[starts[:, None] + np.arange(size + 1)]


def nats(model: jrnn.Cell, params, batch, key):
    """Mean loss of a character, each window read from the initial carry."""
    del key
    run = lambda tokens: jrnn.unroll(model, params, tokens[:-1])[1]
    return jrnn.losses.cross_entropy(jax.vmap(run)(batch), batch[:, 1:])


def held_out_nats(model, data: Characters, cfg, seeds) -> tuple[list, np.ndarray]:
    """Of a network for each seed, and losses in training (seeds, blocks).

    `cfg` has `window`, `batch_size`, `updates`, `learning_rate` and `clip`.
    """
    train = trainer(partial(nats, model), cfg)
    rows, found, losses = windows(data.train, cfg.window), [], []
    for seed in seeds:
        init_key, key = jax.random.split(jax.random.key(seed))
        params = jax.jit(model.init)(init_key, jnp.int32(0))
        params, curve = train(params, rows, key)
        found.append(float(evaluate(model, params, data.held_out)[0]))
        losses.append(curve)
    return found, np.array(losses)
