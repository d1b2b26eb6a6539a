"""A recurrent network in NumPy: the gradient of the tanh layer by hand, and steps.

    h_t = tanh(W_x[token_t] + h_{t-1} W_h + b),   p_t = softmax(h_t W + b_out)
    dL/dlogits_t = (p_t - onehot(label_t)) / T
    dL/dh_t = dL/dlogits_t W' + dL/da_{t+1} W_h',   dL/da_t = (1 - h_t^2) dL/dh_t

As in min-char-rnn: one sequence, one step after the other, sums of outer products.
"""

import numpy as np

from experiments.benchmark.models import Entry
from experiments.benchmark.problem import Data, Problem, Weights

NAME = "NumPy"


def understands(problem: Problem) -> bool:
    return (problem.kind, problem.batch, problem.layers) == ("tanh", 1, 1)


def gradient_entry(problem: Problem, weights: Weights, data: Data) -> Entry:
    own = arrays(weights)
    tokens, labels = np.asarray(data.tokens[0]), np.asarray(data.labels[0])
    return Entry(NAME, lambda: loss_and_gradient(own, tokens, labels), load)


def training_entry(problem: Problem, weights: Weights, windows: Data) -> Entry:
    own = arrays(weights)
    pairs = list(
        zip(np.asarray(windows.tokens), np.asarray(windows.labels), strict=True)
    )

    def train():
        params = {name: w.copy() for name, w in own.items()}
        accumulated = {name: np.zeros_like(w) for name, w in own.items()}
        for tokens, labels in pairs:
            _, gradient = loss_and_gradient(params, tokens[0], labels[0])
            for name, g in gradient.items():
                g = np.clip(g, -5, 5)
                accumulated[name] += g * g
                params[name] -= np.float32(0.1) * g / np.sqrt(accumulated[name] + 1e-8)
        return params

    return Entry(NAME, train, work=len(pairs))


def load(weights: Weights) -> dict:
    (layer,), readout = weights.layers, weights.readout
    own = {"w_x": layer.w_x, "w_h": layer.w_h, "b": layer.b}
    return own | {"w_out": readout.w, "b_out": readout.b}


def arrays(weights: Weights) -> dict:
    return {name: np.array(w) for name, w in load(weights).items()}


def loss_and_gradient(params: dict, tokens, labels):
    w_x, w_h, b, w_out, b_out = params.values()
    time = len(tokens)
    hs = np.zeros((time + 1, len(b)), np.float32)  # hs[t + 1] is h_t
    errors, loss = [], 0.0
    for t in range(time):
        hs[t + 1] = np.tanh(w_x[tokens[t]] + hs[t] @ w_h + b)
        logits = hs[t + 1] @ w_out + b_out
        p = np.exp(logits - logits.max())
        p /= p.sum()
        loss -= np.log(p[labels[t]]) / time
        p[labels[t]] -= 1
        errors.append(p / np.float32(time))
    return loss, backward(params, tokens, hs, errors)


def backward(params: dict, tokens, hs, errors) -> dict:
    gradient = {name: np.zeros_like(w) for name, w in params.items()}
    da = np.zeros_like(params["b"])
    for t in reversed(range(len(tokens))):
        gradient["w_out"] += np.outer(hs[t + 1], errors[t])
        gradient["b_out"] += errors[t]
        dh = params["w_out"] @ errors[t] + params["w_h"] @ da
        da = (1 - hs[t + 1] ** 2) * dh
        gradient["w_x"][tokens[t]] += da
        gradient["w_h"] += np.outer(hs[t], da)
        gradient["b"] += da
    return gradient
