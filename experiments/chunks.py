"""What does backpropagation lose when the sequence is cut into chunks?

Source: text 001 (truncated backpropagation through time, the state carried on);
Williams, Peng (1990), doi:10.1162/neco.1990.2.4.490.

A text of T characters is cut into chunks of k. States go on from one chunk to the next,
gradients do not:

    g_k = d/dtheta sum_chunks L(chunk; h at its start held fixed),   g_T in full

Measured for a tanh network, untrained and after some training, by the length k: the
cosine between g_k and g_T, and the norm of g_k over that of g_T; and, for one chunk as
in training, XLA's temporary memory and the time of a character.

Expect: memory grows in proportion to k. A chunk of one step already points the right
way by half, one of 64 wholly, since the gradients of early states vanish. Training with
chunks of 64 makes shorter ones better, not worse: what the network learnt first about
characters is near by. Short chunks pay for each call.

Time: about a minute on two CPU cores.
"""

import time
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn import losses, models, optimizers
from jrnn import text as jt
from jrnn.train import fit, init_state, make_step


@dataclass(frozen=True)
class Config:
    hidden_size: int = 128
    """Units."""
    characters: int = 1024
    """Length T of the sequence; a power of two."""
    batch_size: int = 16
    """Sequences side by side."""
    updates: int = 400
    """Steps of training, by chunks of 64, before the second measurement."""
    rounds: int = 7
    """Times are the least of so many."""
    seed: int = 0
    """Of the weights."""


SMOKE = Config(hidden_size=3, characters=4, batch_size=2, updates=2, rounds=1)


@dataclass(frozen=True)
class Result:
    lengths: np.ndarray  # (K,) of a chunk
    cosine: dict[str, np.ndarray]  # (K,) of "untrained" and "trained"
    norm_ratio: dict[str, np.ndarray]  # (K,)
    bytes: np.ndarray  # (K,) temporary memory of one chunk
    seconds: np.ndarray  # (K,) for a character of all sequences
    loss_before: float
    loss_after: float


def chunk_loss(model: jrnn.Cell, params, carry, xs, labels):
    """Mean loss of a chunk (k, B) and the state behind it."""
    go = jax.vmap(partial(jrnn.unroll, model, params), in_axes=(1, 0), out_axes=(0, 1))
    carry, logits = go(xs, carry)
    return losses.cross_entropy(logits, labels), carry


def truncated_gradient(model: jrnn.Cell, params, carry, xs, labels, length: int):
    """Gradient of the mean loss over T, cut every `length` steps."""
    cut = lambda rows: rows.reshape(-1, length, *rows.shape[1:])

    def chunk(state, data):
        carry, total = state
        gradient, carry = jax.grad(partial(chunk_loss, model), has_aux=True)(
            params, carry, *data
        )
        return (carry, jax.tree.map(jnp.add, total, gradient)), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    (_, total), _ = jax.lax.scan(chunk, (carry, zeros), (cut(xs), cut(labels)))
    return jax.tree.map(lambda g: g * length / len(xs), total)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(g).ravel() for g in jax.tree.leaves(tree)])


def train(cfg: Config, model: jrnn.Cell, params, carry, xs, labels):
    """Parameters after truncated training on the text, window after window."""
    window = min(64, cfg.characters)
    count = len(xs) // window
    cut = lambda rows: rows[: count * window].reshape(count, window, -1)
    xs, labels = cut(xs), cut(labels)

    def loss(params, carry, batch, *, key=None):
        return chunk_loss(model, params, carry, *batch)

    adam = optimizers.adam
    state, metrics = fit(
        make_step(loss, adam),
        init_state(params, carry, adam),
        lambda data, n: jax.tree.map(lambda rows: rows[n % count], data),
        (xs, labels),
        None,
        cfg.updates,
        learning_rate=3e-3,
        max_norm=1.0,
    )
    return state.params, metrics.loss


def run(cfg: Config) -> Result:
    text, _ = jt.python_reference()
    vocabulary = jt.build_vocabulary(text)
    tokens = jnp.asarray(jt.encode(vocabulary, text))
    rows = (len(tokens) - 1) // cfg.batch_size
    part = lambda row: row[: rows * cfg.batch_size].reshape(cfg.batch_size, rows).T
    xs, labels = part(tokens[:-1]), part(tokens[1:])  # (rows, B)
    head = xs[: cfg.characters], labels[: cfg.characters]

    model = models.language_model(
        len(vocabulary), cell=jrnn.elman, hidden_size=cfg.hidden_size
    ).evaluate
    params = model.init(jax.random.key(cfg.seed), jnp.int32(0))
    carry = jax.tree.map(
        lambda c: jnp.zeros((cfg.batch_size, *c.shape)), model.initial_carry(params)
    )
    trained, values = train(cfg, model, params, carry, xs, labels)

    lengths = 2 ** np.arange(int(np.log2(cfg.characters)) + 1)
    networks = {"untrained": params, "trained": trained}
    found = {name: [] for name in networks}
    sizes, seconds = [], []
    for length in map(int, lengths):
        cut = partial(truncated_gradient, model, length=length)
        go = jax.jit(lambda p, cut=cut: cut(p, carry, *head))
        for name, p in networks.items():
            found[name].append(flat(go(p)))
        loss = partial(chunk_loss, model)
        one = jax.jit(jax.value_and_grad(loss, has_aux=True))
        data = params, carry, *(row[:length] for row in head)
        compiled = one.lower(*data).compile()
        sizes.append(compiled.memory_analysis().temp_size_in_bytes)
        seconds.append(fastest(cfg.rounds, lambda c=compiled, d=data: c(*d)) / length)

    cosine, ratio = {}, {}
    for name, gradients in found.items():
        full = gradients[-1]
        norms = np.array([np.linalg.norm(g) for g in gradients])
        cosine[name] = np.array([g @ full for g in gradients]) / norms / norms[-1]
        ratio[name] = norms / norms[-1]
    return Result(
        lengths,
        cosine,
        ratio,
        np.array(sizes),
        np.array(seconds),
        float(values[0]),
        float(values[-1]),
    )


def fastest(rounds: int, call) -> float:
    """Seconds of a call, the least of some."""
    jax.block_until_ready(call())
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - begin)
    return min(taken)


def summary(result: Result) -> dict:
    by_length = lambda row: dict(zip(map(str, result.lengths), row, strict=True))
    return {
        "cosine": {name: by_length(row) for name, row in result.cosine.items()},
        "norm_ratio": {name: by_length(row) for name, row in result.norm_ratio.items()},
        "temporary_bytes": by_length(result.bytes),
        "loss_before_training": result.loss_before,
        "loss_after_training": result.loss_after,
        "time_of_a_character_over_the_least": by_length(
            result.seconds / result.seconds.min()
        ),
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    k = result.lengths
    for (name, row), colour in zip(
        result.cosine.items(), ("#d55e00", "#0072b2"), strict=True
    ):
        axes[0].plot(k, row, "o-", ms=3, color=colour, label=name)
        axes[0].plot(k, result.norm_ratio[name], ":", color=colour)
    axes[0].plot([], ":", color="grey", label="norm over the full one's")
    axes[0].axhline(1, color="black", lw=0.8)
    axes[0].set(ylabel="cosine with the full gradient")
    axes[0].set_title("Gradient", fontsize=10)
    axes[0].legend(fontsize=8)
    axes[1].plot(k, result.bytes / 2**20, "o-", ms=3, color="#0072b2")
    axes[1].plot(
        k, result.bytes[-1] / 2**20 * k / k[-1], "k:", lw=0.8, label="in proportion"
    )
    axes[1].set(yscale="log", ylabel="temporary memory, MiB")
    axes[1].set_title("Memory of one chunk", fontsize=10)
    axes[1].legend(fontsize=8)
    axes[2].plot(k, result.seconds * 1e6, "o-", ms=3, color="#0072b2")
    axes[2].axhline(result.seconds.min() * 1e6, color="black", ls=":", lw=0.8)
    axes[2].set(yscale="log", ylabel="microseconds a character (of all rows)")
    axes[2].set_title("Time", fontsize=10)
    for ax in axes:
        ax.set(xscale="log", xlabel="length k of a chunk")
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("chunks", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
