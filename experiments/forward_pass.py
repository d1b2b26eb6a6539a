"""What does a simple recurrent network compute, number by number?

Source: text 000 (Forward propagation), whose letters these are; a row vector times a
matrix here, a matrix times a column there.

    a_t = h_{t-1} W + x_t U + b,   h_t = tanh(a_t),   o_t = h_t V + c
    p_t = softmax(o_t),            L = - sum_t log p_t[y_t]

for the letters of "hello" among h, e, l, o: x_t is the letter and y_t the next one.
Everything is computed twice: by a loop in NumPy that is the text's, line for line, and
by `jrnn.unroll`.

Expect: the same numbers, to the last digits that float64 has.

Time: seconds.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import jrnn
from experiments._results import save
from jrnn import losses


@dataclass(frozen=True)
class Config:
    text: str = "hello"
    """Its letters but the last are the inputs, but the first the labels."""
    hidden_size: int = 3
    """Units."""
    seed: int = 0
    """Of the weights, which are standard normal numbers."""


SMOKE = Config(text="ada", hidden_size=2)


@dataclass(frozen=True)
class Tensors:
    a: np.ndarray  # (T, H)
    h: np.ndarray  # (T, H)
    o: np.ndarray  # (T, V)
    p: np.ndarray  # (T, V)
    loss: float


@dataclass(frozen=True)
class Result:
    letters: str
    text: str
    by_hand: Tensors
    by_jrnn: Tensors


def weights(cfg: Config, v: int) -> tuple[np.ndarray, ...]:
    """W (H, H), U (V, H), V (H, V), b (H,), c (V,)."""
    draw = np.random.default_rng(cfg.seed).standard_normal
    h = cfg.hidden_size
    return draw((h, h)), draw((v, h)), draw((h, v)), draw(h), draw(v)


def by_hand(x: np.ndarray, y: np.ndarray, W, U, V, b, c) -> Tensors:
    """The text's equations, one letter after the other."""
    h, rows, L = np.zeros(len(b)), [], 0.0
    for x_t, y_t in zip(x, y, strict=True):
        a = h @ W + x_t @ U + b
        h = np.tanh(a)
        o = h @ V + c
        p = np.exp(o) / np.exp(o).sum()
        L = L - np.log(p[y_t])
        rows.append((a, h, o, p))
    return Tensors(*map(np.array, zip(*rows, strict=True)), float(L))


def by_jrnn(x: np.ndarray, y: np.ndarray, W, U, V, b, c) -> Tensors:
    """The same as two cells, one on the other."""
    recurrent, readout = jrnn.elman(len(b)), jrnn.linear(len(c))
    params = jrnn.ElmanParams(jnp.asarray(U), jnp.asarray(W), jnp.asarray(b))
    _, h = jrnn.unroll(recurrent, params, jnp.asarray(x))
    _, o = jrnn.unroll(readout, jrnn.LinearParams(jnp.asarray(V), jnp.asarray(c)), h)
    loss = len(y) * losses.cross_entropy(o, jnp.asarray(y))  # that is the mean
    # tanh is one to one, so that a needs no second way through the network
    return Tensors(*map(np.asarray, (jnp.arctanh(h), h, o, jax.nn.softmax(o))), loss)


def run(cfg: Config) -> Result:
    letters = "".join(dict.fromkeys(cfg.text))
    index = np.array([letters.index(letter) for letter in cfg.text])
    x, y = np.eye(len(letters))[index[:-1]], index[1:]
    w = weights(cfg, len(letters))
    with jax.enable_x64(True):
        return Result(letters, cfg.text, by_hand(x, y, *w), by_jrnn(x, y, *w))


def summary(result: Result) -> dict:
    names = ("a", "h", "o", "p", "loss")
    pairs = [(getattr(result.by_hand, n), getattr(result.by_jrnn, n)) for n in names]
    return {
        "loss": result.by_hand.loss,
        "largest_difference": {
            name: np.abs(np.asarray(one) - np.asarray(other)).max()
            for name, (one, other) in zip(names, pairs, strict=True)
        },
    }


def plot(result: Result) -> plt.Figure:
    """Probabilities of the next letter, as the untrained network has them."""
    p = result.by_jrnn.p
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    image = axes.imshow(p.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    figure.colorbar(image, label="probability")
    for t, label in enumerate(result.text[1:]):
        for k, letter in enumerate(result.letters):
            colour = "white" if p[t, k] > 0.5 else "black"
            bold = "bold" if letter == label else "normal"
            axes.text(
                t,
                k,
                f"{p[t, k]:.2f}",
                ha="center",
                va="center",
                color=colour,
                weight=bold,
            )
    axes.set_xticks(range(len(p)), [f"x = {letter}" for letter in result.text[:-1]])
    axes.set_yticks(range(len(result.letters)), list(result.letters))
    axes.set(xlabel="step", ylabel="next letter")
    axes.set_title("An untrained network (bold: the letter that comes)", fontsize=10)
    return figure


def show(result: Result, console: Console) -> None:
    for name in ("a", "h", "o", "p"):
        table = Table(title=f"{name}_t, by hand and by jrnn", title_justify="left")
        for column in ("t", "letter", "by hand", "by jrnn"):
            table.add_column(column)
        rows = zip(
            result.text[:-1],
            getattr(result.by_hand, name),
            getattr(result.by_jrnn, name),
            strict=True,
        )
        for t, (letter, one, other) in enumerate(rows, start=1):
            numbers = [" ".join(f"{x:7.4f}" for x in row) for row in (one, other)]
            table.add_row(str(t), letter, *numbers)
        console.print(table)
    one, other = result.by_hand.loss, result.by_jrnn.loss
    console.print(f"L = {one:.12f} by hand, {other:.12f} by jrnn")


def main(cfg: Config) -> None:
    result = run(cfg)
    show(result, Console())
    save("forward_pass", cfg, summary(result), plot(result))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
