"""The cells against PyTorch's, weights copied over (only where torch is installed)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")

T, I, H = 9, 2, 4
TOLERANCE = {"float32": 1e-6, "float64": 1e-10}


def gru_before(w, xs, h):
    """The paper's GRU, which torch does not have, in its autograd operations."""
    ys = []
    for x in xs:
        a = x @ w["w_x"] + w["b_x"]
        r = torch.sigmoid(a[:H] + h @ w["w_h"][:, :H] + w["b_h"][:H])
        z = torch.sigmoid(
            a[H : 2 * H] + h @ w["w_h"][:, H : 2 * H] + w["b_h"][H : 2 * H]
        )
        n = torch.tanh(a[2 * H :] + (r * h) @ w["w_h"][:, 2 * H :] + w["b_h"][2 * H :])
        h = (1 - z) * n + z * h
        ys.append(h)
    return torch.stack(ys), h


def module(layer):
    """A torch layer as a function of jrnn's weights."""

    def run(w, xs, h):
        double = xs.dtype == torch.float64
        net = layer.double() if double else layer.float()
        copied = {
            "weight_ih_l0": w["w_x"].T,
            "weight_hh_l0": w["w_h"].T,
            "bias_ih_l0": w["b_x"] if "b_x" in w else w["b"],
            "bias_hh_l0": w["b_h"] if "b_h" in w else torch.zeros_like(w["b"]),
        }
        state = tuple(s[None] for s in h) if isinstance(h, tuple) else h[None]
        ys, last = torch.func.functional_call(net, copied, (xs, state))
        return ys, tuple(s[0] for s in last) if isinstance(h, tuple) else last[0]

    return run


SIMPLE = {"w_x": (I, H), "w_h": (H, H), "b": (H,)}
LSTM = {"w_x": (I, 4 * H), "w_h": (H, 4 * H), "b": (4 * H,)}
GRU = {"w_x": (I, 3 * H), "w_h": (H, 3 * H), "b_x": (3 * H,), "b_h": (3 * H,)}
nn = torch.nn

CELLS = {
    "elman": (jrnn.elman(H), jrnn.ElmanParams, SIMPLE, module(nn.RNN(I, H))),
    "elman-relu": (
        jrnn.elman(H, jax.nn.relu),
        jrnn.ElmanParams,
        SIMPLE,
        module(nn.RNN(I, H, nonlinearity="relu")),
    ),
    "lstm": (jrnn.lstm(H), jrnn.LSTMParams, LSTM, module(nn.LSTM(I, H))),
    "gru": (jrnn.gru(H), jrnn.GRUParams, GRU, module(nn.GRU(I, H))),
    "gru-before": (jrnn.gru(H, "before"), jrnn.GRUParams, GRU, gru_before),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_all_gradients_equal_torch(name, dtype):
    cell, params_type, shapes, reference = CELLS[name]
    draw = np.random.default_rng(0)
    normal = lambda *shape: (0.5 * draw.normal(size=shape)).astype(dtype)
    p = {k: normal(*s) for k, s in shapes.items()}
    if name == "elman-relu":
        p["b"] += np.asarray(0.5, dtype)  # so that most units are active
    xs, dys = normal(T, I), normal(T, H)
    start, dlast = [normal(H), normal(H)], [normal(H), normal(H)]
    if name != "lstm":
        start, dlast = start[:1], dlast[:1]

    leaf = lambda a: torch.tensor(a, requires_grad=True)
    w, t_xs, t_start = {k: leaf(v) for k, v in p.items()}, leaf(xs), [*map(leaf, start)]
    t_ys, t_last = reference(w, t_xs, tuple(t_start) if name == "lstm" else t_start[0])
    t_last = list(t_last) if name == "lstm" else [t_last]
    total = (t_ys * torch.tensor(dys)).sum()
    for a, b in zip(t_last, dlast, strict=True):
        total = total + (a * torch.tensor(b)).sum()
    total.backward()
    grads = [*(w[k].grad for k in shapes), t_xs.grad, *(s.grad for s in t_start)]
    assert (t_ys != 0).float().mean() > 0.5
    expected = [a.detach().numpy() for a in (t_ys, *t_last, *grads)]

    form = lambda leaves: jrnn.LSTMCarry(*leaves) if name == "lstm" else leaves[0]
    run = lambda *args: jrnn.unroll(cell, *args)
    params = params_type(**{k: jnp.asarray(v) for k, v in p.items()})
    arguments = params, jnp.asarray(xs), form([*map(jnp.asarray, start)])
    (last, ys), pullback = jax.vjp(jax.jit(run), *arguments)
    grads = pullback((form([*map(jnp.asarray, dlast)]), jnp.asarray(dys)))
    got = [ys, *jax.tree.leaves(last), *jax.tree.leaves(grads)]

    assert {str(a.dtype) for a in got} == {dtype}
    largest = max(
        np.abs(np.asarray(a) - b).max() for a, b in zip(got, expected, strict=True)
    )
    print(f"{name} {dtype}: largest difference {largest:.1e}")  # pytest -rP shows it
    assert largest < TOLERANCE[dtype]
