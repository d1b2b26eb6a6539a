"""Cells of the literature as NumPy loops, differentiated by complex steps.

Written from the papers' equations; imports nothing from jrnn. Every function takes the
weights as a dict, one sequence `xs` and the carry as a tuple, and returns the outputs
and the last carry. Products are `x @ w`.

The loops work on complex numbers too: for a step e far below rounding, the derivative
of a real function f is  Im f(x + i e) / e  to all its digits, without a difference in
which they would cancel (Squire, Trapp 1998, doi:10.1137/S003614459631241X).
"""

import numpy as np

STEP = 1e-40


def gradients(function, arrays):
    """The derivative of a scalar function of a list of arrays, by each of them."""
    arrays = [np.asarray(a, complex) for a in arrays]
    slopes = [np.zeros(a.shape) for a in arrays]
    for a, slope in zip(arrays, slopes, strict=True):
        for index in np.ndindex(a.shape):
            a[index] += 1j * STEP
            slope[index] = function(*arrays).imag / STEP
            a[index] -= 1j * STEP
    return slopes


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def larger(a, b):
    return np.where(a.real >= b.real, a, b)


def column(w, k, size):
    """Block k of a matrix or a bias whose gates lie side by side."""
    return w[..., k * size : (k + 1) * size]


def blocks(p, x, h, count):
    """x W_k + h U_k + b_k, each gate with weights of its own."""
    H = p["b"].shape[-1] // count
    return [
        x @ column(p["w_x"], k, H) + h @ column(p["w_h"], k, H) + column(p["b"], k, H)
        for k in range(count)
    ]


def over_time(step):
    """A step `(p, x, carry) -> (y, carry)` as a loop over a sequence."""

    def run(p, xs, carry):
        ys, steps = [], len(xs[0]) if isinstance(xs, tuple) else len(xs)
        for t in range(steps):
            x = tuple(a[t] for a in xs) if isinstance(xs, tuple) else xs[t]
            y, carry = step(p, x, carry)
            ys.append(y)
        return np.stack(ys), carry

    return run


def lstm(p, x, carry):
    """The LSTM, which oracles.py has with a backward pass by hand."""
    h, c = carry
    i, f, g, o = blocks(p, x, h, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


# Zhou et al. (2016): f_t = sigmoid(W_f [h, x] + b_f), h~ = tanh(W_h [f h, x] + b_h),
# h_t = (1 - f_t) h_{t-1} + f_t h~


def mgu(p, x, carry):
    (h,) = carry
    H = len(h)
    f = sigmoid(
        h @ column(p["w_h"], 0, H) + x @ column(p["w_x"], 0, H) + column(p["b"], 0, H)
    )
    proposal = np.tanh(
        (f * h) @ column(p["w_h"], 1, H)
        + x @ column(p["w_x"], 1, H)
        + column(p["b"], 1, H)
    )
    h = (1 - f) * h + f * proposal
    return h, (h,)


# Collins et al. (2017): h_t = g_t h_{t-1} + (1 - g_t) c_t


def ugrnn(p, x, carry):
    (h,) = carry
    g, c = blocks(p, x, h, 2)
    h = sigmoid(g) * h + (1 - sigmoid(g)) * np.tanh(c)
    return h, (h,)


# van der Westhuizen, Lasenby (2018): s_t = U_f h + W_f x + b_f,
# c_t = sigmoid(s_t) c_{t-1} + (1 - sigmoid(s_t - beta)) c~_t, h_t = c_t


def janet(beta):
    def step(p, x, carry):
        (c,) = carry
        s, proposal = blocks(p, x, c, 2)
        c = sigmoid(s) * c + (1 - sigmoid(s - beta)) * np.tanh(proposal)
        return c, (c,)

    return step


# Greff et al. (2017), CIFG, with the gate that stays called f here: i = 1 - f


def coupled_lstm(p, x, carry):
    h, c = carry
    f, g, o = blocks(p, x, h, 3)
    f = sigmoid(f)
    c = f * c + (1 - f) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


# Graves (2013), equations 7 to 11: the weights from the cell to the gates are diagonal


def peephole_lstm(p, x, carry):
    h, c = carry
    H = len(c)
    diagonal = [np.diag(column(p["w_c"], k, H)) for k in range(3)]
    i, f, g, o = blocks(p, x, h, 4)
    i, f = sigmoid(i + c @ diagonal[0]), sigmoid(f + c @ diagonal[1])
    c = f * c + i * np.tanh(g)
    h = sigmoid(o + c @ diagonal[2]) * np.tanh(c)
    return h, (h, c)


# Ba et al. (2016): LN(z; alpha, beta) = alpha (z - mu) / sigma + beta, with sigma^2 the
# mean squared deviation, here with epsilon

EPSILON = 1e-6


def layer_norm(z, alpha, beta):
    mu = z.sum() / len(z)
    sigma = np.sqrt(((z - mu) ** 2).sum() / len(z) + EPSILON)
    return alpha * (z - mu) / sigma + beta


def layer_norm_lstm(p, x, carry):
    h, c = carry
    H = len(c)
    z = layer_norm(h @ p["w_h"], p["scale_h"], 0) + p["b"]
    z = z + layer_norm(x @ p["w_x"], p["scale_x"], 0)
    i, f, g, o = (column(z, k, H) for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(layer_norm(c, p["scale_c"], p["offset_c"]))
    return h, (h, c)


def layer_norm_gru(p, x, carry):
    (h,) = carry
    H = len(h)
    gates, proposal = slice(0, 2 * H), slice(2 * H, 3 * H)

    def normal(v, of, part):
        w, alpha, beta = p[f"w_{of}"], p[f"scale_{of}"], p[f"b_{of}"]
        return layer_norm(v @ w[:, part], alpha[part], beta[part])

    r, z = np.split(normal(h, "h", gates) + normal(x, "x", gates), 2)
    n = np.tanh(normal(x, "x", proposal) + sigmoid(r) * normal(h, "h", proposal))
    keep = sigmoid(z)
    h = keep * h + (1 - keep) * n
    return h, (h,)


# Sak et al. (2014) without peepholes: m_t = o_t tanh(c_t), r_t = W_rm m_t, and the
# gates read r_{t-1}


def projected_lstm(p, x, carry):
    r, c = carry
    i, f, g, o = blocks(p, x, r, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    m = sigmoid(o) * np.tanh(c)
    r = m @ p["w_r"]
    return r, (r, c)


# Beck et al. (2024), sLSTM, equations 8 to 14, without the stabiliser: c and n are the
# true ones, those that are carried times exp(m). Which m is carried, equation 15 says.

FORGET = {"sigmoid": sigmoid, "exp": np.exp}


def slstm(forget):
    def step(p, x, carry):
        h, c, n, m = carry
        c, n = c * np.exp(m), n * np.exp(m)
        i, f, z, o = blocks(p, x, h, 4)
        i, f = np.exp(i), FORGET[forget](f)
        c = f * c + i * np.tanh(z)
        n = f * n + i
        h = sigmoid(o) * c / n
        m = larger(np.log(f) + m, np.log(i))
        return h, (h, c * np.exp(-m), n * np.exp(-m), m)

    return step


# mLSTM, equations 19 to 27, one head after the other, in the same way


def mlstm(heads, forget):
    def step(p, x, carry):
        C, n, m = (np.array(a) for a in carry)
        D = n.shape[1]
        H = heads * D
        q, k, v = (
            x @ column(p["w_qkv"], j, H) * scale + column(p["b_qkv"], j, H)
            for j, scale in enumerate([1, 1 / np.sqrt(D), 1])
        )
        i, f = (
            x @ column(p["w_if"], j, heads) + column(p["b_if"], j, heads)
            for j in (0, 1)
        )
        i, f = np.exp(i), FORGET[forget](f)
        o, read = sigmoid(x @ p["w_o"] + p["b_o"]), []
        for j in range(heads):
            at = slice(j * D, (j + 1) * D)
            C_j = f[j] * C[j] * np.exp(m[j]) + i[j] * np.outer(v[at], k[at])
            n_j = f[j] * n[j] * np.exp(m[j]) + i[j] * k[at]
            inner = n_j @ q[at]
            size = larger(inner if inner.real >= 0 else -inner, np.ones(()))
            read.append(C_j @ q[at] / size)
            m_j = larger(np.log(f[j]) + m[j], np.log(i[j]))
            C[j], n[j], m[j] = C_j * np.exp(-m_j), n_j * np.exp(-m_j), m_j
        return o * np.concatenate(read), (C, n, m)

    return step


# Shi et al. (2015), equation 3 without peepholes, and Ballas et al. (2016): * is a
# convolution, of which w[k] is the weight of the neighbour k - (K - 1) // 2 places on,
# and zero lies beyond the border


def convolution(x, w):
    """Of rows (S, I) or images (S, S', I), one neighbour after the other."""
    sizes, kernel = x.shape[:-1], w.shape[:-2]
    border = [((K - 1) // 2, K // 2) for K in kernel]
    padded, total = np.pad(x, [*border, (0, 0)]), 0
    for k in np.ndindex(kernel):
        moved = tuple(slice(a, a + size) for a, size in zip(k, sizes, strict=True))
        total = total + padded[moved] @ w[k]
    return total


def conv_lstm(p, x, carry):
    h, c = carry
    z = convolution(x, p["w_x"]) + convolution(h, p["w_h"]) + p["b"]
    i, f, g, o = np.split(z, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def conv_gru(p, x, carry):
    (h,) = carry
    C = h.shape[-1]
    a = convolution(x, p["w_x"]) + p["b"]
    u_r, u_z, u = (column(p["w_h"], k, C) for k in range(3))
    r = sigmoid(column(a, 0, C) + convolution(h, u_r))
    keep = sigmoid(column(a, 1, C) + convolution(h, u_z))
    h = keep * h + (1 - keep) * np.tanh(column(a, 2, C) + convolution(r * h, u))
    return h, (h,)


# Hasani et al. (2022): x(t) = s g(x, I) + (1 - s) h(x, I), s = sigmoid(-f(x, I) t),
# with heads f, g, h on one layer that they share


def cfc(p, x, carry):
    (state,) = carry
    x, t = x if isinstance(x, tuple) else (x, 1.0)
    H = len(state)
    shared = np.tanh(x @ p["w_x"] + state @ p["w_h"] + p["b"])
    f, g, h = (
        shared @ column(p["w_fgk"], k, H) + column(p["b_fgk"], k, H) for k in range(3)
    )
    s = sigmoid(-f * t)
    state = s * np.tanh(g) + (1 - s) * np.tanh(h)
    return state, (state,)


# Hasani et al. (2021), algorithm 1: the fused step of equation 3, L times


def ltc(unfolds):
    def step(p, x, carry):
        (v,) = carry
        x, t = x if isinstance(x, tuple) else (x, 1.0)
        tau, delta = np.exp(p["log_tau"]), t / unfolds
        for _ in range(unfolds):
            f = sigmoid(v @ p["w_h"] + x @ p["w_x"] + p["b"])
            v = (v + delta * f * p["a"]) / (1 + delta * (1 / tau + f))
        return v, (v,)

    return step
