"""The table of features in README.md says of other libraries what they are."""

import inspect
import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jrnn

os.environ.setdefault("KERAS_BACKEND", "numpy")
README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
HEADER = "| | jrnn | PyTorch | Keras | Flax | Haiku |"
NAMES = "jrnn", "PyTorch", "Keras", "Flax", "Haiku"
ROWS = README.partition(HEADER)[2].partition("\n\n")[0].splitlines()[2:]
CELLS = [[cell.strip() for cell in row.strip("|").split("|")] for row in ROWS]
TABLE = {name: dict(zip(NAMES, cells, strict=True)) for name, *cells in CELLS}


@pytest.fixture(autouse=True)
def as_others_expect():
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


ANSWER = {True: "yes", False: "no"}


def arguments(function) -> set[str]:
    return set(inspect.signature(function).parameters)


def said(library: str) -> dict[str, str]:
    return {name: cells[library] for name, cells in TABLE.items()}


def test_the_table_was_found():
    assert len(TABLE) == 9


def test_cells_of_jrnn():
    cells = [n for n in jrnn.cells.__all__ if inspect.isfunction(getattr(jrnn, n))]
    recurrent = set(cells) - {"window", "ridge_readout"}
    assert said("jrnn")["recurrent cells that it has"] == str(len(recurrent))
    assert f"With it come {len(recurrent)} recurrent cells" in " ".join(README.split())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pytorch():
    torch = pytest.importorskip("torch")
    nn, row = torch.nn, said("PyTorch")
    cells = [n for n in dir(nn) if n.endswith("Cell")]
    assert row["recurrent cells that it has"] == str(len(cells))
    taken = arguments(nn.RNNBase.__init__) | arguments(nn.LSTM.forward)
    assert row["a cell of your own in its loop"] == ANSWER["cell" in taken]
    assert row["layers in both directions"] == ANSWER["bidirectional" in taken]
    assert row["masks with holes"] == ANSWER["mask" in taken]
    assert row["starting anew inside a sequence"] == ANSWER["reset" in taken]
    ys, (_, c) = nn.LSTM(3, 4)(torch.ones(5, 3))
    assert ys.shape == (5, 4) and c.shape == (1, 4)  # the last c only
    assert row["every state of an LSTM, c too"] == "no"
    net = nn.LSTM(3, 4)
    weights = {n: torch.stack([w, w]) for n, w in net.state_dict().items()}
    run = lambda w: torch.func.functional_call(net, w, (torch.ones(5, 3),))[0]
    with pytest.raises(RuntimeError, match=r"[Bb]atching rule"):
        torch.vmap(run)(weights)
    assert row["many sets of weights at once, by `vmap`"] == "no"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_keras():
    layers, row = pytest.importorskip("keras").layers, said("Keras")
    found = {n for n in dir(layers) if re.search("RNN|LSTM|GRU", n)}
    kinds = {re.sub(r"Cell$|\dD$", "", n) for n in found} - {"RNN", "StackedRNNCells"}
    assert row["recurrent cells that it has"] == str(len(kinds))
    assert "cell" in arguments(layers.RNN.__init__)
    assert row["a cell of your own in its loop"] == "yes"
    assert row["layers in both directions"] == ANSWER[hasattr(layers, "Bidirectional")]
    taken = arguments(layers.RNN.call)
    assert row["masks with holes"] == ANSWER["mask" in taken]
    assert row["starting anew inside a sequence"] == ANSWER["reset" in taken]
    states = layers.LSTM(4, return_sequences=True, return_state=True)(
        jnp.ones((1, 5, 3))
    )
    assert [s.shape for s in states] == [(1, 5, 4), (1, 4), (1, 4)]  # the last c only
    assert row["every state of an LSTM, c too"] == "no"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_flax():
    nn, row = pytest.importorskip("flax.linen"), said("Flax")
    cells = {n.removeprefix("Optimized") for n in dir(nn) if n.endswith("Cell")}
    assert row["recurrent cells that it has"] == str(len(cells))
    net = nn.RNN(nn.LSTMCell(4))
    taken = arguments(nn.RNN.__call__)
    assert (
        row["a cell of your own in its loop"]
        == ANSWER["cell" in nn.RNN.__annotations__]
    )
    assert row["layers in both directions"] == ANSWER[hasattr(nn, "Bidirectional")]
    assert "seq_lengths" in taken and row["masks with holes"] == ANSWER["mask" in taken]
    assert row["starting anew inside a sequence"] == ANSWER["reset" in taken]
    xs = jnp.ones((5, 3))
    keys = jax.random.split(jax.random.key(0))
    variables = jax.vmap(net.init, (0, None))(keys, xs)
    assert jax.vmap(net.apply, (0, None))(variables, xs).shape == (2, 5, 4)
    assert row["many sets of weights at once, by `vmap`"] == "yes"
    net = nn.RNN(nn.LSTMCell(4), return_carry=True)
    (c, _), _ = net.apply(jax.tree.map(lambda a: a[0], variables), xs)
    assert c.shape == (4,)  # the last c only
    assert row["every state of an LSTM, c too"] == "no"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_haiku():
    hk, row = pytest.importorskip("haiku"), said("Haiku")
    kinds = {re.sub(r"^Conv\dD", "Conv", n) for n in dir(hk)}
    kinds = {n for n in kinds if re.search("(RNN|LSTM|GRU)$", n)} - {"DeepRNN"}
    assert row["recurrent cells that it has"] == str(len(kinds))
    taken = arguments(hk.dynamic_unroll)
    assert row["a cell of your own in its loop"] == ANSWER["core" in taken]
    assert row["masks with holes"] == ANSWER["mask" in taken]
    assert row["every state of an LSTM, c too"] == ANSWER["return_all_states" in taken]
    assert row["starting anew inside a sequence"] == ANSWER[hasattr(hk, "ResetCore")]
    both = any("idirectional" in name for name in dir(hk))
    assert row["layers in both directions"] == ANSWER[both]

    def run(xs):
        core = hk.LSTM(4)
        return hk.dynamic_unroll(core, xs, core.initial_state(None))[0]

    net, xs = hk.without_apply_rng(hk.transform(run)), jnp.ones((5, 3))
    keys = jax.random.split(jax.random.key(0))
    params = jax.vmap(net.init, (0, None))(keys, xs)
    assert jax.vmap(net.apply, (0, None))(params, xs).shape == (2, 5, 4)
    assert row["many sets of weights at once, by `vmap`"] == "yes"
