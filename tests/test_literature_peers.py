"""Cells of the literature against other libraries, weights copied over.

Each reference runs one sequence in float64; compared are its outputs, and their
gradient by the inputs. A library that is not installed is left out.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn
from jrnn.files.table import CELLS_BY_NAME

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs

T, I, H, P = 9, 2, 4, 3
TOLERANCE, SINGLE = 1e-10, 1e-6  # where all is float64, and where a part is not


def drawn(cell, *x_shape):
    """Random parameters of a cell, and a sequence of inputs."""
    rng = np.random.default_rng(0)
    shape = x_shape or (I,)
    spec = jax.eval_shape(cell.init, jax.random.key(0), jnp.zeros(shape))
    normal = lambda s: 0.5 * rng.normal(size=s)
    return jax.tree.map(lambda a: normal(a.shape), spec), normal((T, *shape))


def ours(cell, params, xs):
    """Outputs, and the gradient of the sum of their squares."""
    run = lambda xs: jrnn.unroll(cell, jax.tree.map(jnp.asarray, params), xs)[1]
    grad = jax.grad(lambda xs: jnp.square(run(xs)).sum())
    xs = jnp.asarray(xs)
    return jax.jit(lambda xs: (run(xs), grad(xs)))(xs)


def of_torch(run, xs):
    """The same of a function in PyTorch."""
    torch = pytest.importorskip("torch")
    xs = torch.tensor(xs, requires_grad=True)
    ys = run(xs)
    ys.square().sum().backward()
    return ys.detach().numpy(), xs.grad.numpy()


def of_jax(run, xs):
    """The same of a function in JAX, under the settings that its authors expect."""
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        grad = jax.grad(lambda xs: jnp.square(run(xs)).sum())
        return run(jnp.asarray(xs)), grad(jnp.asarray(xs))


def equal(got, expected, tolerance=TOLERANCE):
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape and np.abs(np.asarray(b)).max() > 0.01
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def as_torch(arrays):
    torch = pytest.importorskip("torch")
    return {k: torch.tensor(np.array(v, float)) for k, v in arrays.items()}


def torch_lstm(w_x, w_h, b, **more):
    """PyTorch's LSTM with these weights, as a function of inputs."""
    torch = pytest.importorskip("torch")
    sizes = {"proj_size": more["w_r"].shape[1]} if more else {}
    net = torch.nn.LSTM(w_x.shape[0], w_x.shape[1] // 4, **sizes).double()
    weights = {
        "weight_ih_l0": w_x.T,
        "weight_hh_l0": w_h.T,
        "bias_ih_l0": b,
        "bias_hh_l0": np.zeros_like(b),
    }
    if more:
        weights["weight_hr_l0"] = more["w_r"].T
    call = torch.func.functional_call
    return lambda xs: call(net, as_torch(weights), (xs,))[0]


def test_projected_lstm_is_that_of_torch():
    cell = jrnn.projected_lstm(H, P)
    params, xs = drawn(cell)
    equal(ours(cell, params, xs), of_torch(torch_lstm(**params._asdict()), xs))


def test_coupled_lstm_is_an_lstm_of_torch_with_weights_of_both_signs():
    cell = jrnn.coupled_lstm(H)
    params, xs = drawn(cell)
    doubled = lambda w: np.concatenate([-w[..., :H], w], axis=-1)  # i, f, g, o
    run = torch_lstm(*map(doubled, params))
    equal(ours(cell, params, xs), of_torch(run, xs))


def test_peephole_lstm_without_peepholes_is_that_of_torch():
    cell = jrnn.peephole_lstm(H)
    params, xs = drawn(cell)
    params = params._replace(w_c=np.zeros_like(params.w_c))
    run = torch_lstm(params.w_x, params.w_h, params.b)
    equal(ours(cell, params, xs), of_torch(run, xs))


def torch_norm(z, scale, offset=None):
    torch = pytest.importorskip("torch")
    return torch.nn.functional.layer_norm(z, z.shape, scale, offset, eps=1e-6)


def test_layer_norm_lstm_is_one_made_of_torchs_norm():
    torch = pytest.importorskip("torch")
    cell = jrnn.layer_norm_lstm(H)
    params, xs = drawn(cell)
    w = as_torch(params._asdict())

    def run(xs):
        ys, h, c = [], torch.zeros(H).double(), torch.zeros(H).double()
        for x in xs:
            z = torch_norm(x @ w["w_x"], w["scale_x"], w["b"])
            z = z + torch_norm(h @ w["w_h"], w["scale_h"])
            i, f, g, o = z.chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * torch_norm(c, w["scale_c"], w["offset_c"]).tanh()
            ys.append(h)
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs))


def test_layer_norm_gru_is_one_made_of_torchs_norm():
    torch = pytest.importorskip("torch")
    cell = jrnn.layer_norm_gru(H)
    params, xs = drawn(cell)
    w = as_torch(params._asdict())

    def normal(v, of):
        z, scale, b = v @ w[f"w_{of}"], w[f"scale_{of}"], w[f"b_{of}"]
        parts = slice(None, 2 * H), slice(2 * H, None)
        return [torch_norm(z[part], scale[part], b[part]) for part in parts]

    def run(xs):
        ys, h = [], torch.zeros(H).double()
        for x in xs:
            (a, a_n), (u, u_n) = normal(x, "x"), normal(h, "h")
            r, z = (a + u).sigmoid().chunk(2)
            h = (1 - z) * (a_n + r * u_n).tanh() + z * h
            ys.append(h)
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs))


TORCHRECURRENT = {
    # cell -> (its name there, blocks in its order, further parameters)
    "janet": ("JANETCell", "sn", {"beta": 1.0}),
    "mgu": ("MGUCell", "fn", {}),
    "peephole_lstm": ("PeepholeLSTMCell", "ifgo", {}),
    "ugrnn": ("UGRNNCell", "cg", {}),
}


@pytest.mark.parametrize("name", TORCHRECURRENT)
def test_cells_of_torchrecurrent(name):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("torchrecurrent")
    theirs, order, more = TORCHRECURRENT[name]
    cell = getattr(jrnn, name)(H)
    params, xs = drawn(cell)
    own = CELLS_BY_NAME[name].gates.replace(" ", "")
    at = np.concatenate([own.index(k) * H + np.arange(H) for k in order])
    weights = {
        "weight_ih": params.w_x[:, at].T,
        "weight_hh": params.w_h[:, at].T,
        "bias_ih": params.b[at],
        "bias_hh": np.zeros_like(params.b),
        **more,
    }
    if name == "peephole_lstm":
        weights["weight_ph"] = params.w_c
    module, w = getattr(library, theirs)(I, H).double(), as_torch(weights)

    def run(xs):
        zeros = torch.zeros(H).double()
        h = (zeros, zeros) if name in ("janet", "peephole_lstm") else zeros
        ys = []
        for x in xs:
            h = torch.func.functional_call(module, w, (x, h))
            ys.append(h[0] if isinstance(h, tuple) else h)
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs))


def test_flax_has_another_mgu():
    """Its gate is behind the product and keeps where it is large: so the docstring."""
    nn = pytest.importorskip("flax.linen")
    cell = jrnn.mgu(H)
    params, xs = drawn(cell)
    f, n = slice(0, H), slice(H, 2 * H)
    weights = {
        "if": {"kernel": params.w_x[:, f], "bias": params.b[f]},
        "hf": {"kernel": params.w_h[:, f]},
        "in": {"kernel": params.w_x[:, n], "bias": params.b[n]},
        "hn": {"kernel": params.w_h[:, n], "bias": np.zeros(H)},
    }
    module = nn.MGUCell(H, param_dtype=jnp.float64)

    def theirs(xs):
        step = lambda h, x: module.apply({"params": weights}, h, x)
        return jax.lax.scan(step, jnp.zeros(H), xs)[1]

    def said(xs):
        def step(h, x):
            z = x @ params.w_x + params.b
            gate = jax.nn.sigmoid(z[f] + h @ params.w_h[:, f])
            proposal = jnp.tanh(z[n] + gate * (h @ params.w_h[:, n]))
            h = (1 - gate) * proposal + gate * h
            return h, h

        return jax.lax.scan(step, jnp.zeros(H), xs)[1]

    equal(of_jax(said, xs), of_jax(theirs, xs))
    far = np.abs(np.asarray(ours(cell, params, xs)[0] - of_jax(theirs, xs)[0])).max()
    assert far > 0.1


def of_nxai(module):
    """A module of the package xlstm; only to be called."""
    pytest.importorskip("xlstm")
    return pytest.importorskip(f"xlstm.blocks.{module}")


def test_slstm_is_that_of_the_authors_package():
    pointwise = of_nxai("slstm.src.vanilla.slstm").slstm_forward_pointwise
    torch = pytest.importorskip("torch")
    cell = jrnn.slstm(H)
    params, xs = drawn(cell)
    w = as_torch(params._asdict())

    def run(xs):
        ys, states = [], torch.zeros(4, 1, H).double()
        for x in xs:
            recurrent = states[0] @ w["w_h"]
            states, _ = pointwise(
                (x @ w["w_x"])[None], recurrent, w["b"][None], states, {}
            )
            ys.append(states[0, 0])
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs))


def test_mlstm_is_that_of_the_authors_package():
    step = of_nxai("mlstm.backends").recurrent_step_stabilized_simple
    torch = pytest.importorskip("torch")
    N, D = 2, H // 2
    cell = jrnn.mlstm(H, N)
    params, xs = drawn(cell)
    w = as_torch(params._asdict())
    # there the bias of the key is divided by sqrt(D) too
    b = w["b_qkv"] * torch.tensor([1.0, D**0.5, 1.0]).double().repeat_interleave(H)

    def run(xs):
        zeros = lambda *shape: torch.zeros(1, N, *shape).double()
        ys, state = [], (zeros(D, D), zeros(D, 1), zeros(1, 1))
        for x in xs:
            qkv, gates = x @ w["w_qkv"] + b, x @ w["w_if"] + w["b_if"]
            # copies, as keys are scaled in place
            q, k, v = (a.clone().reshape(1, N, 1, D) for a in qkv.split(H))
            i, f = (a.clone().reshape(1, N, 1, 1) for a in gates.split(N))
            h, state = step(*state, q, k, v, i, f, eps=0.0)
            ys.append((x @ w["w_o"] + w["b_o"]).sigmoid() * h.reshape(H))
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs), SINGLE)


def test_cfc_is_that_of_ncps_without_time_b():
    torch, ncps = pytest.importorskip("torch"), pytest.importorskip("ncps.torch")
    cell = jrnn.cfc(H, P)
    params, xs = drawn(cell)
    layer = {"backbone_activation": "tanh", "backbone_units": P, "backbone_layers": 1}
    module = ncps.CfCCell(I, H, **layer).double()
    f, g, k = np.split(params.w_fgk, 3, axis=-1)
    b_f, b_g, b_k = np.split(params.b_fgk, 3)
    weights = {
        "backbone.0.weight": np.concatenate([params.w_x, params.w_h]).T,
        "backbone.0.bias": params.b,
        **{"ff1.weight": k.T, "ff1.bias": b_k, "ff2.weight": g.T, "ff2.bias": b_g},
        **{"time_a.weight": -f.T, "time_a.bias": -b_f},
        **{"time_b.weight": 0 * f.T, "time_b.bias": 0 * b_f},
    }
    w, elapsed = as_torch(weights), np.random.default_rng(1).uniform(0.1, 3, T)

    def run(xs):
        ys, h = [], torch.zeros(1, H).double()
        for x, t in zip(xs, torch.tensor(elapsed), strict=True):
            _, h = torch.func.functional_call(module, w, (x[None], h, t))
            ys.append(h[0])
        return torch.stack(ys)

    timed = lambda xs: jrnn.unroll(
        cell, jax.tree.map(jnp.asarray, params), (xs, jnp.asarray(elapsed))
    )[1]
    equal(of_jax(timed, xs), of_torch(run, xs))


SHAPES = [(5,), (4, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv_lstm_is_that_of_keras(shape):
    keras = pytest.importorskip("keras")
    cell = jrnn.conv_lstm(shape, P)
    params, xs = drawn(cell, *shape, I)
    make = getattr(keras.layers, f"ConvLSTM{len(shape)}D")
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        layer = make(P, 3, padding="same", return_sequences=True, dtype="float64")
        layer.build((1, T, *shape, I))
        layer.set_weights(list(params))
        ys = keras.ops.convert_to_numpy(layer(xs[None]))[0]
    np.testing.assert_allclose(ours(cell, params, xs)[0], ys, rtol=0, atol=SINGLE)


def in_order_igfo(w):
    """From the blocks i, f, g, o to the order of Flax and Haiku."""
    i, f, g, o = np.split(w, 4, axis=-1)
    return np.concatenate([i, g, f, o], axis=-1)


def less_one(b, size):
    """The bias of a library that adds 1 to that of f itself."""
    b = np.array(b)
    b[size : 2 * size] -= 1
    return b


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv_lstm_is_that_of_flax(shape):
    nn = pytest.importorskip("flax.linen")
    cell = jrnn.conv_lstm(shape, P)
    params, xs = drawn(cell, *shape, I)
    kernel = (3,) * len(shape)
    module = nn.ConvLSTMCell(P, kernel, param_dtype=jnp.float64)
    b = in_order_igfo(less_one(params.b, P))
    weights = {
        "ih": {"kernel": in_order_igfo(params.w_x), "bias": b},
        "hh": {"kernel": in_order_igfo(params.w_h), "bias": np.zeros(4 * P)},
    }
    zeros = jnp.zeros((1, *shape, P))

    def theirs(xs):
        step = lambda c, x: module.apply({"params": weights}, c, x[None])
        return jax.lax.scan(step, (zeros, zeros), xs)[1][:, 0]

    equal(ours(cell, params, xs), of_jax(theirs, xs))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv_lstm_is_that_of_haiku(shape):
    hk = pytest.importorskip("haiku")
    cell = jrnn.conv_lstm(shape, P)
    params, xs = drawn(cell, *shape, I)
    make = getattr(hk, f"Conv{len(shape)}DLSTM")
    core = lambda: make((*shape, I), P, 3)
    step = hk.without_apply_rng(hk.transform(lambda x, state: core()(x, state)))
    state = hk.LSTMState(*[jnp.zeros((1, *shape, P))] * 2)
    found = step.init(jax.random.key(0), jnp.asarray(xs[:1]), state)
    b = in_order_igfo(less_one(params.b, P))
    own = {
        "input_to_hidden": {"w": in_order_igfo(params.w_x), "b": b},
        "hidden_to_hidden": {"w": in_order_igfo(params.w_h), "b": np.zeros(4 * P)},
    }
    weights = {name: own[name.split("/")[-1]] for name in found}

    def theirs(xs):
        def one(state, x):
            y, state = step.apply(weights, x[None], state)
            return state, y[0]

        return jax.lax.scan(one, state, xs)[1]

    equal(ours(cell, params, xs), of_jax(theirs, xs))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv_gru_is_one_made_of_torchs_convolution(shape):
    torch = pytest.importorskip("torch")
    cell = jrnn.conv_gru(shape, P)
    params, xs = drawn(cell, *shape, I)
    w = as_torch(params._asdict())
    conv = getattr(torch.nn.functional, f"conv{len(shape)}d")

    def convolve(x, w):  # channels last, and (K, I, O), to those of torch
        x, w = torch.movedim(x, -1, 0)[None], torch.movedim(w, (-1, -2), (0, 1))
        return torch.movedim(conv(x, w, padding="same")[0], 0, -1)

    def run(xs):
        ys, h = [], torch.zeros(*shape, P).double()
        for x in xs:
            a_r, a_z, a_n = (convolve(x, w["w_x"]) + w["b"]).chunk(3, -1)
            u_r, u_z, u_n = w["w_h"].chunk(3, -1)
            r = (a_r + convolve(h, u_r)).sigmoid()
            z = (a_z + convolve(h, u_z)).sigmoid()
            h = (1 - z) * (a_n + convolve(r * h, u_n)).tanh() + z * h
            ys.append(h)
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs))
