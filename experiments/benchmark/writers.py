"""Loops that write text, one character after the other, outside of JAX.

Each writer has `start()`, a state of zeros, and `step(state, token)`, which returns the
next state and logits. A token is an integer, or (B,) of them.
"""

import numpy as np

from experiments.benchmark.problem import Problem, Weights


class NumpyWriter:
    """min-char-rnn's loop; `textbook` multiplies a one-hot vector, as it does."""

    def __init__(self, problem: Problem, weights: Weights, textbook: bool = False):
        (layer,), readout = weights.layers, weights.readout
        self.w_x, self.w_h, self.b = (np.array(w) for w in layer)
        self.w_out, self.b_out = (np.array(w) for w in readout)
        self.problem, self.textbook = problem, textbook
        self.table = self.w_x + self.b  # (V, G H)
        self.one_hot = np.eye(problem.vocab, dtype=np.float32)
        self.advance = {"tanh": self.tanh, "lstm": self.lstm}[problem.kind]

    def start(self):
        batch = () if self.problem.batch == 1 else (self.problem.batch,)
        zero = np.zeros((*batch, self.problem.hidden), np.float32)
        return (zero, zero) if self.problem.kind == "lstm" else zero

    def step(self, state, token):
        if self.textbook:
            x = self.one_hot[token] @ self.w_x + self.b
        else:
            x = self.table[token]
        state, h = self.advance(state, x)
        return state, h @ self.w_out + self.b_out

    def tanh(self, h, x):
        h = np.tanh(x + h @ self.w_h)
        return h, h

    def lstm(self, state, x):
        h, c = state
        i, f, g, o = np.split(x + h @ self.w_h, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h, c), h

    def write(self, length: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        state, token = self.start(), self.first_token()
        tokens = []
        for _ in range(length):
            state, logits = self.step(state, token)
            token = self.choose(rng, logits)
            tokens.append(token)
        return np.array(tokens)

    def first_token(self):
        return 0 if self.problem.batch == 1 else np.zeros(self.problem.batch, int)

    def choose(self, rng, logits):
        if self.textbook:
            weights = np.exp(logits.astype(np.float64))  # choice wants float64
            return rng.choice(len(weights), p=weights / weights.sum())
        total = np.cumsum(np.exp(logits), axis=-1)
        if logits.ndim == 1:
            return int(np.searchsorted(total, rng.random() * total[-1]))
        u = rng.random((len(total), 1), np.float32) * total[:, -1:]
        return (total < u).sum(axis=-1)


def sigmoid(z):
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * z) + np.float32(1))
