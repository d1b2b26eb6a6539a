"""Why does a gated cell remember what a tanh cell forgets?

Source: text 002; Hochreiter, Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; Gers,
Schmidhuber, Cummins (2000), doi:10.1162/089976600300015015; Cho et al. (2014),
arXiv:1406.1078.

The memory cell of an LSTM, c_t = f_t * c_{t-1} + i_t * g_t, has along its own path, the
gates held fixed, the derivative

    dc_T / dc_{T-k} = diag(f_T * f_{T-1} * ... * f_{T-k+1}),

a product of numbers that the network may learn to keep at 1, where the tanh network has
a product of matrices. Two measurements:

* that product of forget gates against automatic differentiation along the path;
* delayed recall: a symbol among four at the first step, `lag` steps of noise, then the
  network must say which it was. Accuracy by lag after training, for tanh, GRU and LSTM
  with equal units, steps and rates (chance: 25 %).

Expect: the product equal to 1e-12; the LSTM, whose forget gates start near 0.73,
recalls longest. The GRU's gates start half open, so its state halves at every step:
with these few updates it does no better than the tanh network, whose matrix starts
orthogonal and which finds the longer lags with some seeds and not with others.

Time: about four minutes on two CPU cores.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from experiments._training import descend, spread
from jrnn import losses, optimizers
from jrnn.train import init_state

SYMBOLS = 4
CELLS = {
    "tanh": jrnn.elman,
    "GRU": jrnn.gru,
    "LSTM": partial(jrnn.lstm, forget_bias=1.0),
}


@dataclass(frozen=True)
class Config:
    lags: tuple[int, ...] = (5, 10, 20, 40, 80, 160)
    """Steps between the symbol and the question."""
    hidden_size: int = 32
    """Units."""
    updates: int = 1000
    """Steps of Adam."""
    batch_size: int = 32
    """Sequences in a step."""
    learning_rate: float = 3e-3
    """Of Adam."""
    tested: int = 512
    """Sequences that are judged."""
    seeds: int = 3
    """Networks for each cell and lag."""
    path_steps: int = 60
    """Steps of the path through the memory cell."""


SMOKE = Config(
    lags=(2,), hidden_size=3, updates=2, batch_size=2, tested=4, seeds=2, path_steps=5
)


@dataclass(frozen=True)
class Result:
    lags: tuple[int, ...]
    accuracy: dict[str, np.ndarray]  # (lags, seeds)
    forget_products: np.ndarray  # (path_steps, H) by lag
    derivatives: np.ndarray  # (path_steps, H) the same by automatic differentiation


def path_of_memory(cfg: Config) -> tuple[jax.Array, jax.Array]:
    """Products of forget gates and derivatives of c_T, by lag, both (k, H)."""
    w_key, x_key = jax.random.split(jax.random.key(1))
    cell, size = jrnn.lstm(cfg.hidden_size), cfg.hidden_size
    xs = jax.random.normal(x_key, (cfg.path_steps, 3), jnp.float64)
    params = cell.init(w_key, xs[0])
    start = cell.initial_carry(params)
    step = lambda carry, x: (cell.step(params, carry, x)[0],) * 2
    _, carries = jrnn.scan(step, start, xs)  # h and c (T, H) after each step
    before = jax.tree.map(
        lambda s, new: jnp.concatenate([s[None], new]), start, carries
    )

    def forget_gate(h, x):
        _, f, _, _ = jnp.split(x @ params.w_x + h @ params.w_h + params.b, 4)
        return jax.nn.sigmoid(f)

    f = jax.vmap(forget_gate)(before.h[:-1], xs)  # (T, H)
    products = jnp.cumprod(f[::-1], axis=0)

    def last(nudges):
        """c_T when nudges[t] is added to c before step t, all h held fixed."""

        def memory(c, now):
            h, x, nudge = now
            return cell.step(params, jrnn.LSTMCarry(h, c + nudge), x)[0].c, None

        return jrnn.scan(memory, start.c, (before.h[:-1], xs, nudges))[0]

    # the derivative is diagonal: one row of the Jacobian's each unit holds it
    jacobian = jax.jacobian(last)(jnp.zeros((cfg.path_steps, size)))  # (H, T, H)
    derivatives = jnp.einsum("jtj->tj", jacobian)[::-1]
    return products, derivatives


def batch(key: jax.Array, number: int, lag: int):
    """Inputs (T, number, SYMBOLS + 1), labels (number,); the last input asks."""
    label_key, noise_key = jax.random.split(key)
    labels = jax.random.randint(label_key, (number,), 0, SYMBOLS)
    noise = 0.3 * jax.random.normal(noise_key, (lag, number, SYMBOLS))
    first = jax.nn.one_hot(labels, SYMBOLS)[None]
    xs = jnp.concatenate([first, noise])
    asked = jnp.zeros((lag + 1, number, 1)).at[-1].set(1.0)
    return jnp.concatenate([xs, asked], axis=-1), labels


def accuracy(cfg: Config, factory, lag: int, key: jax.Array) -> jax.Array:
    """Share of right answers after training."""
    model = jrnn.stack(factory(cfg.hidden_size), jrnn.linear(SYMBOLS))
    init_key, data_key, test_key = jax.random.split(key, 3)

    def answers(params, xs):
        _, o = jax.vmap(partial(jrnn.unroll, model, params), 1)(xs)
        return o[:, -1]

    loss = lambda params, xs, labels: losses.cross_entropy(answers(params, xs), labels)
    batches = lambda n: batch(jax.random.fold_in(data_key, n), cfg.batch_size, lag)
    params, adam = model.init(init_key, jnp.zeros(SYMBOLS + 1)), optimizers.adam
    state, rate = init_state(params, (), adam), cfg.learning_rate
    state, _ = descend(loss, adam, state, batches, cfg.updates, rate, max_norm=1.0)
    xs, labels = batch(test_key, cfg.tested, lag)
    return (answers(state.params, xs).argmax(-1) == labels).mean()


def run(cfg: Config) -> Result:
    with jax.enable_x64(True):
        products, derivatives = map(np.asarray, path_of_memory(cfg))
    keys = jax.random.split(jax.random.key(0), cfg.seeds)
    found = {}
    for name, factory in CELLS.items():
        rows = []
        for lag in cfg.lags:
            one = partial(accuracy, cfg, factory, lag)
            rows.append(np.asarray(jax.jit(jax.vmap(one))(keys)))
        found[name] = np.stack(rows)
    return Result(cfg.lags, found, products, derivatives)


def summary(result: Result) -> dict:
    return {
        "largest_difference_along_the_path_of_c": np.abs(
            result.derivatives - result.forget_products
        ).max(),
        "accuracy": {
            name: {
                str(lag): spread(row)
                for lag, row in zip(result.lags, rows, strict=True)
            }
            for name, rows in result.accuracy.items()
        },
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    colours = ("#d55e00", "#009e73", "#0072b2")
    for (name, rows), colour in zip(result.accuracy.items(), colours, strict=True):
        left.plot(result.lags, rows.mean(1), "o-", color=colour, label=name)
        left.fill_between(
            result.lags, rows.min(1), rows.max(1), color=colour, alpha=0.2
        )
    left.axhline(1 / SYMBOLS, color="black", lw=0.8, ls=":", label="chance")
    left.set(xscale="log", xlabel="lag, steps", ylabel="accuracy", ylim=(0, 1.03))
    left.set_xticks(result.lags, [str(lag) for lag in result.lags], minor=False)
    left.minorticks_off()
    left.set_title("Recall of a symbol after a delay", fontsize=10)
    left.legend(fontsize=8)
    lags = np.arange(1, len(result.derivatives) + 1)
    right.semilogy(lags, result.forget_products, color="#0072b2", lw=0.6, alpha=0.5)
    right.semilogy(
        lags,
        np.median(result.derivatives, axis=1),
        "k.",
        ms=4,
        label="median of autodiff",
    )
    right.plot([], color="#0072b2", lw=0.8, label="forget gates, each unit")
    right.set(xlabel="lag k, steps", ylabel="dc(T) / dc(T-k)")
    right.set_title("An untrained LSTM's path through c", fontsize=10)
    right.legend(fontsize=8)
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("gates", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
