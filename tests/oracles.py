"""Recurrent cells as NumPy float64 loops with backward passes written by hand.

Written from the papers' equations and the chain rule; imports nothing from jrnn. All
weights come as a dict, products are `x @ w`, and every function takes and returns one
sequence: `xs` (T, I). A forward pass returns what its backward pass needs as `tape`.

The scalar that is differentiated is  sum(dys * ys) + sum(dlast * last carry).
"""

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


# Elman (1990): h_t = f(x_t W + h_{t-1} U + b)

ACTIVATIONS = {
    # name -> (f, derivative of f as a function of its output)
    "tanh": (np.tanh, lambda h: 1.0 - h * h),
    "relu": (lambda z: np.maximum(z, 0.0), lambda h: (h > 0).astype(h.dtype)),
}


def elman(p, xs, h, activation):
    f, _ = ACTIVATIONS[activation]
    hs = [h]
    for x in xs:
        hs.append(f(x @ p["w_x"] + hs[-1] @ p["w_h"] + p["b"]))
    return np.stack(hs[1:]), hs[-1], (xs, hs, activation)


def elman_backward(p, tape, dys, dlast):
    xs, hs, activation = tape
    _, slope = ACTIVATIONS[activation]
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dxs, dh = np.zeros_like(xs), dlast.copy()
    for t in reversed(range(len(xs))):
        dz = (dh + dys[t]) * slope(hs[t + 1])
        grads["w_x"] += np.outer(xs[t], dz)
        grads["w_h"] += np.outer(hs[t], dz)
        grads["b"] += dz
        dxs[t] = p["w_x"] @ dz
        dh = p["w_h"] @ dz
    return grads, dxs, dh


# Gers, Schmidhuber, Cummins (2000), every gate with weights of its own:
# columns of the joint matrices are input, forget, candidate, output.


def _columns(w, k, size):
    return w[..., k * size : (k + 1) * size]


def lstm(p, xs, h, c):
    H = h.shape[0]
    steps, hs = [], []
    for x in xs:
        pre = [
            x @ _columns(p["w_x"], k, H)
            + h @ _columns(p["w_h"], k, H)
            + _columns(p["b"], k, H)
            for k in range(4)
        ]
        i, f, o = sigmoid(pre[0]), sigmoid(pre[1]), sigmoid(pre[3])
        g = np.tanh(pre[2])
        c_new = f * c + i * g
        steps.append((x, h, c, i, f, g, o, c_new))
        h, c = o * np.tanh(c_new), c_new
        hs.append(h)
    return np.stack(hs), (h, c), steps


def lstm_backward(p, steps, dys, dlast):
    dh, dc = dlast[0].copy(), dlast[1].copy()
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dxs = np.zeros((len(steps), p["w_x"].shape[0]))
    for t in reversed(range(len(steps))):
        x, h_prev, c_prev, i, f, g, o, c = steps[t]
        dh = dh + dys[t]
        tanh_c = np.tanh(c)
        dc = dc + dh * o * (1.0 - tanh_c**2)
        dz = np.concatenate(
            [
                dc * g * i * (1.0 - i),
                dc * c_prev * f * (1.0 - f),
                dc * i * (1.0 - g**2),
                dh * tanh_c * o * (1.0 - o),
            ]
        )
        grads["w_x"] += np.outer(x, dz)
        grads["w_h"] += np.outer(h_prev, dz)
        grads["b"] += dz
        dxs[t] = p["w_x"] @ dz
        dh = p["w_h"] @ dz
        dc = dc * f
    return grads, dxs, (dh, dc)


# Cho et al. (2014), columns reset, update, proposal; h = (1 - z) n + z h_prev.
# "before": the reset gate multiplies the state, then the product with U_n.
# "after": the product and its bias come first (Appleyard et al. 2016).


def gru(p, xs, h, reset):
    H = h.shape[0]
    steps, hs = [], []
    for x in xs:
        a = [x @ _columns(p["w_x"], k, H) + _columns(p["b_x"], k, H) for k in range(3)]
        u = [_columns(p["w_h"], k, H) for k in range(3)]
        b = [_columns(p["b_h"], k, H) for k in range(3)]
        r = sigmoid(a[0] + h @ u[0] + b[0])
        z = sigmoid(a[1] + h @ u[1] + b[1])
        if reset == "after":
            m = h @ u[2] + b[2]
            n = np.tanh(a[2] + r * m)
        else:
            m = r * h
            n = np.tanh(a[2] + m @ u[2] + b[2])
        steps.append((x, h, r, z, n, m))
        h = (1.0 - z) * n + z * h
        hs.append(h)
    return np.stack(hs), h, (steps, reset)


def gru_backward(p, tape, dys, dlast):
    steps, reset = tape
    H = dlast.shape[0]
    u = [_columns(p["w_h"], k, H) for k in range(3)]
    grads = {k: np.zeros_like(v) for k, v in p.items()}
    dxs = np.zeros((len(steps), p["w_x"].shape[0]))
    dh = dlast.copy()
    for t in reversed(range(len(steps))):
        x, h, r, z, n, m = steps[t]
        dh = dh + dys[t]
        dz = dh * (h - n) * z * (1.0 - z)
        dn = dh * (1.0 - z) * (1.0 - n**2)
        dh_prev = dh * z
        if reset == "after":
            dr = dn * m * r * (1.0 - r)
            dm = dn * r  # the product h U_n + b_n
            dw_n, db_n = np.outer(h, dm), dm
            dh_prev = dh_prev + u[2] @ dm
        else:
            dm = u[2] @ dn  # the product r h
            dr = dm * h * r * (1.0 - r)
            dw_n, db_n = np.outer(m, dn), dn
            dh_prev = dh_prev + dm * r
        dpre = np.concatenate([dr, dz, dn])
        grads["w_x"] += np.outer(x, dpre)
        grads["b_x"] += dpre
        grads["w_h"] += np.concatenate([np.outer(h, dr), np.outer(h, dz), dw_n], axis=1)
        grads["b_h"] += np.concatenate([dr, dz, db_n])
        dxs[t] = p["w_x"] @ dpre
        dh = dh_prev + u[0] @ dr + u[1] @ dz
    return grads, dxs, dh
