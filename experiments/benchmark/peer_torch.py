"""PyTorch: nn.RNN, nn.GRU and nn.LSTM, with a linear readout."""

from functools import partial
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.benchmark.models import Entry
from experiments.benchmark.problem import Data, Problem, Weights

MODULES = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
ALL_THREADS = torch.get_num_threads()
THREADS = {"PyTorch, 1 thread": 1, "PyTorch, all threads": ALL_THREADS}


class Net(nn.Module):
    """From one-hot tokens (T, B, V) to logits (T, B, V)."""

    def __init__(self, problem: Problem, weights: Weights):
        super().__init__()
        module = MODULES[problem.kind]
        self.rnn = module(problem.vocab, problem.hidden, problem.layers)
        self.readout = nn.Linear(problem.hidden, problem.vocab)
        self.load_state_dict(
            {name: torch.tensor(np.array(w)) for name, w in load(weights).items()}
        )

    def forward(self, xs):
        return self.readout(self.rnn(xs)[0])


def load(weights: Weights) -> dict:
    """PyTorch's names; its second bias, only ever added to the first, is zero."""
    own = {}
    for n, w in enumerate(weights.layers):
        has_two = hasattr(w, "b_x")
        own[f"rnn.weight_ih_l{n}"] = w.w_x.T
        own[f"rnn.weight_hh_l{n}"] = w.w_h.T
        own[f"rnn.bias_ih_l{n}"] = w.b_x if has_two else w.b
        own[f"rnn.bias_hh_l{n}"] = w.b_h if has_two else jnp.zeros_like(w.b)
    readout = weights.readout
    return own | {"readout.weight": readout.w.T, "readout.bias": readout.b}


def to_torch(problem: Problem, data: Data):
    """One-hot inputs, made before the clock starts, and labels, time first."""
    tokens = torch.tensor(np.array(data.tokens)).long().transpose(-1, -2).contiguous()
    labels = torch.tensor(np.array(data.labels)).long().transpose(-1, -2).contiguous()
    return functional.one_hot(tokens, problem.vocab).float(), labels


def loss_of(net: Net, xs, labels):
    return functional.cross_entropy(net(xs).flatten(0, 1), labels.flatten())


def gradient_entries(problem: Problem, weights: Weights, data: Data) -> list[Entry]:
    net = Net(problem, weights)
    xs, labels = to_torch(problem, data)

    def call():
        net.zero_grad(set_to_none=True)
        loss = loss_of(net, xs, labels)
        loss.backward()
        return loss.item(), {name: p.grad for name, p in net.named_parameters()}

    return with_threads(call, load=load)


def training_entries(problem: Problem, weights: Weights, windows: Data) -> list[Entry]:
    """Steps one after the other: PyTorch has no compiled loop around them."""
    net = Net(problem, weights)
    inputs, labels = to_torch(problem, windows)
    rule = torch.optim.Adagrad(net.parameters(), lr=0.1, eps=1e-8)

    def call():
        for xs, ys in zip(inputs, labels, strict=True):
            rule.zero_grad()
            loss_of(net, xs, ys).backward()
            nn.utils.clip_grad_value_(net.parameters(), 5.0)
            rule.step()

    return with_threads(call, work=len(inputs))


def with_threads(call, **fields) -> list[Entry]:
    return [
        Entry(name, call, prepare=partial(torch.set_num_threads, n), **fields)
        for name, n in THREADS.items()
    ]


class Writer:
    """PyTorch's cells, one step for each character, without gradients."""

    CELLS: ClassVar = {"tanh": nn.RNNCell, "lstm": nn.LSTMCell}

    def __init__(self, problem: Problem, weights: Weights):
        net = Net(problem, weights)
        self.problem, self.readout = problem, net.readout
        self.cell = self.CELLS[problem.kind](problem.vocab, problem.hidden)
        own = net.rnn.state_dict()
        self.cell.load_state_dict({name.removesuffix("_l0"): own[name] for name in own})
        self.one_hot = torch.eye(problem.vocab)

    def start(self):
        zero = torch.zeros(self.problem.batch, self.problem.hidden)
        return (zero, zero) if self.problem.kind == "lstm" else zero

    @torch.inference_mode()
    def step(self, state, token):  # token: (B,)
        state = self.cell(self.one_hot[token], state)
        h = state[0] if isinstance(state, tuple) else state
        return state, self.readout(h)

    @torch.inference_mode()
    def write(self, length: int):
        state, token = self.start(), torch.zeros(self.problem.batch, dtype=torch.long)
        tokens = []
        for _ in range(length):
            state, logits = self.step(state, token)
            token = torch.multinomial(logits.softmax(dim=-1), 1)[:, 0]
            tokens.append(token)
        return torch.stack(tokens)


def writing_entries(writer: Writer, length: int) -> list[Entry]:
    work = length * writer.problem.batch
    return with_threads(partial(writer.write, length), work=work)


def logits_of(writer: Writer, tokens) -> np.ndarray:
    """Logits (P, V) of the first in a batch that reads these tokens (P,)."""
    state, rows = writer.start(), []
    for token in torch.tensor(np.array(tokens)).long():
        state, logits = writer.step(state, token.expand(writer.problem.batch))
        rows.append(logits[0].numpy())
    return np.stack(rows)
