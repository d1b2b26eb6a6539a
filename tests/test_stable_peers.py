"""Stable cells and reservoirs against other libraries, weights copied over.

A library that is not installed is left out. torchrecurrent 0.2.5, reservoirpy 0.4.2.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_literature_peers import as_torch, drawn, equal, of_torch, ours

import jrnn

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs

I, H = 2, 4

TORCHRECURRENT = {
    # cell -> (it, module and name there, its arguments, weights there from ours)
    "antisymmetric": (
        jrnn.antisymmetric(H, epsilon=0.3, gamma=0.2),
        "antisymmetricrnn_cell.AntisymmetricRNNCell",
        {"epsilon": 0.3, "gamma": 0.2},
        {"weight_ih": "w_x", "weight_hh": "w_h", "bias_ih": "b"},
    ),
    "cornn": (
        jrnn.cornn(H, dt=0.3, gamma=1.5, epsilon=0.7),
        "cornn_cell.coRNNCell",
        {"dt": 0.3, "gamma": 1.5, "epsilon": 0.7},
        {"weight_ih": "w_x", "weight_hh": "w_y", "weight_ch": "w_z", "bias_ih": "b"},
    ),
    "indrnn": (
        jrnn.indrnn(H),
        "indrnn_cell.IndRNNCell",
        {"nonlinearity": "relu"},
        {"weight_ih": "w_x", "vector_u": "u", "bias_ih": "b"},
    ),
}


def module_of(path, arguments):
    pytest.importorskip("torchrecurrent")
    name, kind = path.split(".")
    cells = pytest.importorskip(f"torchrecurrent.cells.{name}")
    return getattr(cells, kind)(I, H, **arguments).double()


@pytest.mark.parametrize("name", TORCHRECURRENT)
def test_cells_of_torchrecurrent(name):
    torch = pytest.importorskip("torch")
    cell, path, arguments, names = TORCHRECURRENT[name]
    module = module_of(path, arguments)
    params, xs = drawn(cell)
    if name == "indrnn":
        params = params._replace(b=params.b + 1)  # so that most units are active
    w = {k: np.zeros(tuple(v.shape)) for k, v in module.named_parameters()}
    w |= {theirs: np.array(getattr(params, own)).T for theirs, own in names.items()}
    w = as_torch(w)

    def run(xs):
        zeros, ys = torch.zeros(H).double(), []
        h = (zeros, zeros) if name == "cornn" else zeros
        for x in xs:
            h = torch.func.functional_call(module, w, (x, h))
            ys.append(h[0] if isinstance(h, tuple) else h)
        return torch.stack(ys)

    equal(ours(cell, params, xs), of_torch(run, xs))


@pytest.mark.parametrize("new", [True, False], ids=["as in the paper", "as there"])
def test_lem_of_torchrecurrent_reads_the_old_z(new):
    """Where the paper, and its own page, have the new one; dt_1 and dt_2 change places.

    One step from y = 0, z = 0 tells: then the old z has no part in y.
    """
    torch = pytest.importorskip("torch")
    module = module_of("lem_cell.LEMCell", {"dt": 0.7})
    cell = jrnn.lem(H, dt=0.7)
    params, xs = drawn(cell)
    if not new:
        params = params._replace(w_z=np.zeros((H, H)))
    turned = lambda a: np.concatenate([a[H : 2 * H], a[:H], a[2 * H :]])
    weights = {
        "weight_ih": turned(params.w_x.T),
        "weight_hh": turned(params.w_y.T),
        "weight_ch": params.w_z.T,
        "bias_ih": turned(params.b),
        "bias_hh": np.zeros(3 * H),
        "bias_ch": np.zeros(H),
    }
    zeros = torch.zeros(H).double()
    run = lambda x: torch.func.functional_call(
        module, as_torch(weights), (x, (zeros,) * 2)
    )
    y, z = (a.detach().numpy() for a in run(torch.tensor(xs[0])))
    carry, _ = jrnn.unroll(cell, jax.tree.map(jnp.asarray, params), jnp.asarray(xs[:1]))
    np.testing.assert_allclose(carry.z, z, atol=1e-12)
    assert (np.abs(carry.y - y).max() > 0.01) == new


@pytest.mark.parametrize("leak", [1.0, 0.4])
def test_states_of_reservoirpy(leak):
    nodes = pytest.importorskip("reservoirpy.nodes")
    cell = jrnn.echo_state(H, leak=leak, bias_scale=0.5)
    params, xs = drawn(cell)
    reservoir = nodes.Reservoir(
        lr=leak, W=params.w_h.T, Win=params.w_x.T, bias=params.b
    )
    got, _ = ours(cell, params, xs)
    np.testing.assert_allclose(got, reservoir.run(xs), atol=1e-12)


def test_ridge_readout_of_reservoirpy():
    """Without a bias there; with one, it penalises the bias too, which jrnn doesn't."""
    nodes = pytest.importorskip("reservoirpy.nodes")
    rng = np.random.default_rng(0)
    hs, ys = rng.normal(size=(30, H)), rng.normal(size=(30, 2))
    centred, targets = hs - hs.mean(axis=0), ys - ys.mean(axis=0)
    theirs = nodes.Ridge(ridge=0.3, fit_bias=False).fit(centred, targets)
    readout = jrnn.ridge_readout(jnp.asarray(hs), jnp.asarray(ys), 0.3)
    np.testing.assert_allclose(readout.w, theirs.Wout, atol=1e-12)
