"""Does a character model that PyTorch has trained mean the same in jrnn?

Source: none; PyTorch and jrnn are compared. The model is nn.Embedding, nn.LSTM and
nn.Linear, trained by PyTorch's Adam on the Python language reference, with its state
carried from window to window and 16 parts of the text side by side.

    model, params = jrnn.interop.from_torch(net)

Both then read the held-out end of the text as one sequence, in float32. With --out the
model is written to a file with its vocabulary, for jrnn eval and jrnn sample.

Expect: the nats of all characters together equal to 1e-6, those of each to about 1e-5,
and a state dict that comes back with the same bytes.

Time: seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import need, save, show
from jrnn.interop import from_torch, to_torch
from jrnn.text import Vocabulary, build_vocabulary, encode, python_reference, split
from jrnn.train import evaluate


@dataclass(frozen=True)
class Config:
    embed_size: int = 16
    """Numbers that stand for a character."""
    hidden_size: int = 64
    """Units of the LSTM."""
    layers: int = 1
    """Layers of it."""
    window: int = 50
    """Characters of a step of training."""
    rows: int = 16
    """Parts of the text side by side."""
    updates: int = 300
    """Steps of training."""
    learning_rate: float = 0.005
    """Of Adam."""
    held_out: float = 0.05
    """Share of the text, at its end."""
    length: int | None = None
    """Characters of the text, all of them if None."""
    out: Path | None = None
    """File for the model, of the form that jrnn.save writes. (default: none)"""


SMOKE = Config(4, 6, 2, window=8, rows=3, updates=5, length=3000)


@dataclass(frozen=True)
class Result:
    losses: np.ndarray  # (updates,) in training, by PyTorch
    torch_nats: np.ndarray  # (N - 1,) of each held-out character, by PyTorch
    jrnn_nats: np.ndarray  # (N - 1,) by jrnn
    evaluated: float  # their mean, by jrnn.train.evaluate
    same_bytes: bool  # of the state dict that comes back
    model: jrnn.Cell
    params: Any
    vocabulary: Vocabulary


def network(cfg: Config, vocab_size: int):
    """The three modules, by the names that people give them."""
    from torch import nn

    return nn.ModuleDict(
        {
            "encoder": nn.Embedding(vocab_size, cfg.embed_size),
            "rnn": nn.LSTM(cfg.embed_size, cfg.hidden_size, cfg.layers),
            "decoder": nn.Linear(cfg.hidden_size, vocab_size),
        }
    )


def logits(net, tokens, state=None):
    hs, state = net["rnn"](net["encoder"](tokens), state)
    return net["decoder"](hs), state


def train(cfg: Config, net, tokens: np.ndarray) -> np.ndarray:
    """Truncated backpropagation through time; the loss of every update."""
    import torch
    from torch.nn import functional

    optimizer = torch.optim.Adam(net.parameters(), cfg.learning_rate)
    length = (len(tokens) - 1) // cfg.rows
    cut = lambda xs: torch.tensor(xs[: cfg.rows * length].reshape(cfg.rows, length).T)
    xs, ys = cut(tokens), cut(tokens[1:])  # (length, rows)
    windows = length // cfg.window
    losses, state = [], None
    for n in range(cfg.updates):
        start = n % windows * cfg.window
        state = None if start == 0 else tuple(s.detach() for s in state)
        part = slice(start, start + cfg.window)
        o, state = logits(net, xs[part], state)
        loss = functional.cross_entropy(o.flatten(0, 1), ys[part].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def run(cfg: Config) -> Result:
    import torch

    torch.manual_seed(0)
    text = python_reference().text[: cfg.length]
    vocabulary = build_vocabulary(text)
    tokens = np.asarray(encode(vocabulary, text), np.int64)
    first, held_out = split(tokens, (1 - cfg.held_out, cfg.held_out))
    net = network(cfg, len(vocabulary))
    losses = train(cfg, net, first)

    with torch.no_grad():
        o, _ = logits(net, torch.tensor(held_out[:-1]))
        following = torch.tensor(held_out[1:])
        torch_nats = torch.nn.functional.cross_entropy(o, following, reduction="none")

    model, params = from_torch(net)
    _, o = jax.jit(lambda p, xs: jrnn.unroll(model, p, xs))(params, held_out[:-1])
    p = jax.nn.log_softmax(o)
    jrnn_nats = -jnp.take_along_axis(p, jnp.asarray(held_out[1:, None]), 1)[:, 0]
    back = to_torch(model, params, like=net)
    same = [torch.equal(back[k], v) for k, v in net.state_dict().items()]
    return Result(
        losses=losses,
        torch_nats=torch_nats.numpy(),
        jrnn_nats=np.asarray(jrnn_nats),
        evaluated=float(evaluate(model, params, held_out, rows=1)[0]),
        same_bytes=all(same),
        model=model,
        params=params,
        vocabulary=vocabulary,
    )


def summary(result: Result) -> dict:
    mean = lambda nats: float(np.mean(nats, dtype=np.float64))
    nats = {"PyTorch": mean(result.torch_nats), "jrnn": mean(result.jrnn_nats)}
    nats["jrnn.train.evaluate"] = result.evaluated
    each = np.abs(result.torch_nats - result.jrnn_nats)
    return {
        "held_out_characters": len(each),
        "nats": nats,
        "difference": abs(nats["PyTorch"] - nats["jrnn"]),
        "difference_of_evaluate": abs(nats["PyTorch"] - result.evaluated),
        "largest_difference_of_one_character": float(each.max()),
        "state_dict_comes_back_with_the_same_bytes": result.same_bytes,
    }


def plot(result: Result) -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(result.losses, color="#0072b2", lw=0.8)
    left.set(xlabel="update, in PyTorch", ylabel="nats per character")
    left.axhline(result.evaluated, color="#d55e00", ls="--", label="held out, by jrnn")
    left.axhline(
        result.torch_nats.mean(), color="black", ls=":", label="held out, by PyTorch"
    )
    left.legend(fontsize=8)
    left.set_title("Trained in PyTorch, measured by both", fontsize=10)
    each = np.abs(result.torch_nats - result.jrnn_nats)
    points = {"ms": 2, "color": "#0072b2", "rasterized": True}  # they are many
    right.semilogy(result.torch_nats, np.maximum(each, 1e-8), ".", **points)
    right.axhline(np.finfo(np.float32).eps, color="black", lw=0.8, ls=":")
    powers = {10.0**n: f"$10^{{{n}}}$" for n in (-7, -6, -5)}
    right.set_yticks([1e-8, *powers], ["equal", *powers.values()])
    right.minorticks_off()
    right.set(
        xlabel="nats of a held-out character", ylabel="difference of jrnn and PyTorch"
    )
    right.set_title("A point for each character, a line for float32", fontsize=10)
    return figure


def main(cfg: Config) -> None:
    need("torch")
    result = run(cfg)
    if cfg.out:
        token = jnp.int32(0)
        vocabulary = result.vocabulary
        jrnn.save(cfg.out, result.model, result.params, token, vocabulary=vocabulary)
        print(f"Try it: jrnn sample {cfg.out}; jrnn eval {cfg.out} FILES")
    metrics = summary(result)
    save("torch_char_model", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
