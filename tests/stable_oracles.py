"""Cells that are stable by construction, linear in the state or of neuroscience.

Steps in NumPy, from the papers' equations, in the form of `forward_oracles.py`: of the
weights as a dict, one input and the carry as a tuple, to the output and the new carry.
They work on complex numbers, by which gradients are found; a complex state is therefore
two real ones, its real and its imaginary part. Imports nothing from jrnn.
"""

import numpy as np
import scipy.linalg
from forward_oracles import column, larger, sigmoid


def relu(z):
    return larger(z, 0 * z)


# Li et al. (2018), equation 4


def indrnn(p, x, carry):
    h = relu(x @ p["w_x"] + p["u"] * carry[0] + p["b"])
    return h, (h,)


# Chang et al. (2019), equation 14, whose W_h is the transpose of w_h


def antisymmetric(epsilon, gamma):
    def step(p, x, carry):
        W = p["w_h"].T
        A = W - W.T - gamma * np.eye(len(W))
        h = carry[0] + epsilon * np.tanh(A @ carry[0] + p["w_x"].T @ x + p["b"])
        return h, (h,)

    return step


# Rusch, Mishra (2021), equation 3 with the damping of the last step


def cornn(dt, gamma, epsilon):
    def step(p, x, carry):
        y, z = carry
        sigma = np.tanh(p["w_y"].T @ y + p["w_z"].T @ z + p["w_x"].T @ x + p["b"])
        z_new = z + dt * sigma - dt * gamma * y - dt * epsilon * z
        y_new = y + dt * z_new
        return y_new, (y_new, z_new)

    return step


# Rusch, Mishra, Erichson, Mahoney (2022), equation 3; blocks 1, 2, z, y


def lem(dt):
    def step(p, x, carry):
        y, z = carry
        H = len(y)
        V, W, b = ([column(p[k], i, H) for i in range(4)] for k in ("w_x", "w_y", "b"))
        dt_n = dt * sigmoid(y @ W[0] + x @ V[0] + b[0])
        dt_bar = dt * sigmoid(y @ W[1] + x @ V[1] + b[1])
        z = (1 - dt_n) * z + dt_n * np.tanh(y @ W[2] + x @ V[2] + b[2])
        y = (1 - dt_bar) * y + dt_bar * np.tanh(z @ p["w_z"] + x @ V[3] + b[3])
        return y, (y, z)

    return step


# Lezcano-Casado, Martinez-Rubio (2019); Helfrich, Willmott, Ye (2018), with the sign of
# A that makes both forms turn the same way; modrelu of Arjovsky et al. (2016)


def orthogonal_rnn(form):
    def step(p, x, carry):
        A = p["a"] - p["a"].T
        one = np.eye(len(A))
        cayley = lambda: np.linalg.inv(one - A) @ (one + A)
        W = scipy.linalg.expm(A) if form == "exponential" else cayley()
        z = x @ p["w_x"] + carry[0] @ W
        sign = np.sign(z.real)
        h = sign * relu(sign * z + p["b"])
        return h, (h,)

    return step


# Koutnik et al. (2014): modules, one by one; `wait` counts down to the next turn


def clockwork(periods):
    def step(p, x, carry):
        h, wait = carry
        size, new, waits = len(h) // len(periods), [], []
        of = lambda g: slice(g * size, (g + 1) * size)
        for i, period in enumerate(periods):
            works = wait[i].real <= 0
            waits.append((float(period) if works else wait[i]) - 1)
            z = x @ p["w_x"][:, of(i)] + p["b"][of(i)]
            for j, other in enumerate(periods):
                if other >= period:  # from slower modules to faster ones
                    z = z + h[of(j)] @ p["w_h"][of(j), of(i)]
            new.append(np.tanh(z) if works else h[of(i)])
        h = np.concatenate(new)
        return h, (h, np.array(waits))

    return step


# Feng et al. (2024): sequential forms, with g of appendix B


def positive(a):
    return np.where(a.real >= 0, a + 0.5, sigmoid(a))


def min_gru(p, x, carry):
    H = len(carry[0])
    z, n = (x @ column(p["w_x"], k, H) + column(p["b"], k, H) for k in range(2))
    h = (1 - sigmoid(z)) * carry[0] + sigmoid(z) * positive(n)
    return h, (h,)


def min_lstm(p, x, carry):
    H = len(carry[0])
    f, i, n = (x @ column(p["w_x"], k, H) + column(p["b"], k, H) for k in range(3))
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * carry[0] + i / (f + i) * positive(n)
    return h, (h,)


# Lei et al. (2018), equations 1 to 4 without v; blocks n, f, r and the way by


def sru(p, x, carry):
    H = len(carry[0])
    W = [column(p["w_x"], k, H) for k in range(4)]
    f, r = (sigmoid(x @ W[1 + k] + column(p["b"], k, H)) for k in range(2))
    c = f * carry[0] + (1 - f) * (x @ W[0])
    by = x @ W[3] if p["w_x"].shape[1] == 4 * H else x
    return r * c + (1 - r) * by, (c,)


# Bradbury et al. (2017), equation 4 (fo-pooling), filters one input wide


def qrnn(p, x, carry):
    H = len(carry[0])
    z, f, o = (x @ column(p["w_x"], k, H) + column(p["b"], k, H) for k in range(3))
    f = sigmoid(f)
    c = f * carry[0] + (1 - f) * np.tanh(z)
    return sigmoid(o) * c, (c,)


# Orvieto et al. (2023): lambda = exp(-exp(nu) + i exp(theta)), in real numbers


def lru(p, x, carry):
    re, im = carry
    N = len(re)
    size, angle = np.exp(-np.exp(p["nu"])), np.exp(p["theta"])
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    B_re, B_im = p["w_x"][:, :N], p["w_x"][:, N:]
    C_re, C_im = p["w_h"][:N], -p["w_h"][N:]
    gamma = np.exp(p["gamma"])
    re, im = (
        cos * re - sin * im + gamma * (x @ B_re),
        sin * re + cos * im + gamma * (x @ B_im),
    )
    return re @ C_re - im @ C_im + x @ p["w_y"], (re, im)


# Smith et al. (2023), equation 6: zero-order hold, (exp(lambda dt) - 1) / lambda B


def s5(p, x, carry):
    re, im = carry
    N = len(re)
    decay, frequency, dt = np.exp(p["log_decay"]), p["frequency"], np.exp(p["log_dt"])
    size = np.exp(-decay * dt)
    cos, sin = size * np.cos(frequency * dt), size * np.sin(frequency * dt)
    over = decay**2 + frequency**2  # 1 / lambda = (-decay - i frequency) / over
    held_re = (-(cos - 1) * decay + sin * frequency) / over
    held_im = (-(cos - 1) * frequency - sin * decay) / over
    u_re, u_im = x @ p["w_x"][:, :N], x @ p["w_x"][:, N:]
    re, im = (
        cos * re - sin * im + held_re * u_re - held_im * u_im,
        sin * re + cos * im + held_re * u_im + held_im * u_re,
    )
    C_re, C_im = p["w_h"][:N], -p["w_h"][N:]
    return 2 * (re @ C_re - im @ C_im) + x @ p["w_y"], (re, im)


# Jaeger et al. (2007), equations 1 and 2; Yang et al. (2019)


def leaky(alpha):
    def step(p, x, carry):
        rate = np.tanh(p["w_x"].T @ x + p["w_h"].T @ carry[0] + p["b"])
        h = (1 - alpha) * carry[0] + alpha * rate
        return h, (h,)

    return step


# Song, Yang, Wang (2016): current v, rates [v]_+, W = [W]_+ D with D of signs


def dale(alpha, exciting):
    def step(p, x, carry):
        v = carry[0]
        D = np.diag([1.0] * exciting + [-1.0] * (len(v) - exciting))
        W = relu(p["w_h"]).T @ D  # rows are targets, as in the paper
        v = (1 - alpha) * v + alpha * (W @ relu(v) + p["w_x"].T @ x + p["b"])
        return relu(v), (v,)

    return step


# Mastrogiuseppe, Ostojic (2018): J = sum of m n^T / N


def low_rank(alpha):
    def step(p, x, carry):
        v = carry[0]
        J = sum(np.outer(m, n) for m, n in zip(p["m"].T, p["n"].T, strict=True))
        drive = J @ np.tanh(v) / len(v) + p["w_x"].T @ x + p["b"]
        v = (1 - alpha) * v + alpha * drive
        return np.tanh(v), (v,)

    return step
