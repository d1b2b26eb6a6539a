"""What can a network with recurrence from its outputs say that one without cannot?

Source: the matrix R from y_{t-1} to h_t in the course text 000, which removes the
assumption that outputs are independent of each other given the inputs; Goodfellow,
Bengio, Courville (2016), Deep Learning, section 10.2.4. At each of 8 steps an input of
0 or 1 says whether the output is to be the same as the one before or the other one. The
first is a coin. So of the 256 sequences of outputs two are possible for each input.

Expect: the network without R must give each output a probability of its own. Each is 0
or 1 equally often, whatever the inputs, so that its loss cannot be below 8 log 2 nats a
sequence, for any weights and any number of units. With R the loss goes to log 2, the
one coin. At the end both write by themselves: every output with R obeys the rule, and
without it a share of 2 in 256.

Time: seconds.
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
from experiments._training import spread, trainer
from jrnn import optimizers

COLOURS = {"without R": "#d55e00", "with R": "#0072b2"}


@dataclass(frozen=True)
class Config:
    steps: int = 8
    """Length of a sequence T."""
    hidden_size: int = 16
    """Units of tanh."""
    sequences: int = 4096
    """To learn from."""
    updates: int = 2000
    """In all."""
    batch_size: int = 64
    """Sequences in an update."""
    learning_rate: float = 0.1
    """Of Adagrad."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    written: int = 2000
    """Sequences written at the end."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One network of each kind for each."""


SMOKE = Config(
    steps=3, hidden_size=2, sequences=8, updates=4, batch_size=2, written=4, seeds=(0,)
)


@dataclass(frozen=True)
class Result:
    steps: int
    updates: int
    losses: dict[str, np.ndarray]  # (seeds, blocks) nats a sequence
    held_out: dict[str, np.ndarray]  # (seeds,)
    obeyed: dict[str, np.ndarray]  # (seeds,) share of sequences written


def draw(cfg: Config, key, number: int):
    """Inputs x (n, T, 1) and outputs y (n, T): y_t = y_{t-1} xor x_t, y_0 a coin."""
    x_key, y_key = jax.random.split(key)
    x = jax.random.randint(x_key, (number, cfg.steps), 0, 2)
    coin = jax.random.randint(y_key, (number, 1), 0, 2)
    y = (coin + jnp.cumsum(x, axis=1)) % 2
    return x[..., None].astype(jnp.float32), y


def choose(logits, key):
    """One of the two outputs by its probability, as a vector with a single 1."""
    return jax.nn.one_hot(jax.random.categorical(key, logits), 2)


def network(cfg: Config, name: str) -> jrnn.Cell:
    plain = jrnn.stack(jrnn.elman(cfg.hidden_size), jrnn.linear(2))
    return plain if name == "without R" else jrnn.feedback(plain, choose)


def logits(net, name: str, params, x, y, key):
    """Of all steps (T, 2); with R the true output of the step before is given."""
    if name == "without R":
        return jrnn.unroll(net, params, x)[1]
    before = jnp.concatenate([jnp.zeros((1, 2)), jax.nn.one_hot(y[:-1], 2)])
    return jrnn.unroll(net, params, (x, before), key=key)[1]


def nats(net, name: str, params, batch, key):
    """Mean loss of a sequence."""
    x, y = batch
    run = lambda x, y, key: logits(net, name, params, x, y, key)
    out = jax.vmap(run)(x, y, jax.random.split(key, len(x)))
    return y.shape[1] * jrnn.losses.cross_entropy(out, y)


@partial(jax.jit, static_argnums=(0, 1))
def write(net, name: str, params, x, key):
    """Sequences (n, T) that the network writes by itself."""

    def one(x, key):
        run_key, choice_key = jax.random.split(key)
        if name == "without R":
            out = jrnn.unroll(net, params, x)[1]
            return jax.random.categorical(choice_key, out)
        recorded = jrnn.unroll(jrnn.record(net), params, (x, None), key=run_key)[1]
        return recorded.carry.y.argmax(-1)

    return jax.vmap(one)(x, jax.random.split(key, len(x)))


def obeys(x, y) -> np.ndarray:
    """Whether each sequence changes where its input says so, and nowhere else."""
    changes = np.asarray(y[:, 1:] != y[:, :-1])
    return (changes == np.asarray(x[:, 1:, 0] == 1)).all(axis=1)


def run(cfg: Config) -> Result:
    data_key, test_key = jax.random.split(jax.random.key(100))
    data, test = draw(cfg, data_key, cfg.sequences), draw(cfg, test_key, cfg.written)
    losses, held_out, obeyed = {}, {}, {}
    for name in COLOURS:
        net = network(cfg, name)
        loss = partial(nats, net, name)
        rate, rule = cfg.learning_rate, optimizers.adagrad
        train = trainer(loss, cfg, 40, optimizer=rule, rate=rate)
        found = []
        for seed in cfg.seeds:
            init_key, key, write_key, loss_key = jax.random.split(
                jax.random.key(seed), 4
            )
            x = jnp.zeros(1) if name == "without R" else (jnp.zeros(1), jnp.zeros(2))
            params, curve = train(net.init(init_key, x), data, key)
            own = write(net, name, params, test[0], write_key)
            share = obeys(test[0], own).mean()
            found.append((curve, float(loss(params, test, loss_key)), share))
        losses[name], held_out[name], obeyed[name] = map(
            np.array, zip(*found, strict=True)
        )
    return Result(cfg.steps, cfg.updates, losses, held_out, obeyed)


def summary(result: Result) -> dict:
    """Nats a sequence on others than those of training, and sequences written."""
    T = result.steps
    return {
        "held_out_nats": {n: spread(a) for n, a in result.held_out.items()},
        "least_possible_nats": {"without R": T * np.log(2), "with R": np.log(2)},
        "share_of_written_that_obey": {n: spread(a) for n, a in result.obeyed.items()},
        "share_by_chance": 0.5 ** (T - 1),
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=(1.8, 1)
    )
    T = result.steps
    for name, curves in result.losses.items():
        x = np.linspace(0, result.updates, curves.shape[1] + 1)[1:]
        lines = left.plot(x, curves.T, color=COLOURS[name], lw=1)
        lines[0].set_label(name)
    for value, text in ((T * np.log(2), f"{T} log 2"), (np.log(2), "log 2")):
        left.axhline(value, color="black", ls=":", lw=1)
        left.annotate(
            text,
            (result.updates, value),
            (0, 3),
            ha="right",
            fontsize=8,
            textcoords="offset points",
        )
    left.set(xlabel="update", ylabel="loss, nats a sequence", ylim=(0, None))
    left.set_title("Each of the networks; dotted: least possible", fontsize=10)
    left.legend()
    for place, (name, shares) in enumerate(result.obeyed.items()):
        right.bar(place, 100 * shares.mean(), 0.6, color=COLOURS[name])
        right.plot(np.full(len(shares), place), 100 * shares, "k.", ms=4)
    right.axhline(100 * 0.5 ** (T - 1), color="black", ls=":", lw=1, label="by chance")
    right.set_xticks(range(len(result.obeyed)), list(result.obeyed))
    right.set(ylabel="sequences written that obey, %", ylim=(0, 105))
    right.legend()
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("output_recurrence", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
