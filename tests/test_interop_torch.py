"""Models of PyTorch brought in: the same outputs; the same bytes on the way back."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jrnn
from experiments import torch_char_model
from jrnn.cli import main
from jrnn.interop import from_torch, to_torch
from jrnn.text import python_reference

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
nn = torch.nn

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
RECURRENT = {
    "tanh": nn.RNN,
    "relu": lambda *sizes, **how: nn.RNN(*sizes, nonlinearity="relu", **how),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


def inputs(steps, size, dtype, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(steps, size, dtype=dtype, generator=draw)


def made(kind, sizes, dtype, seed, **how):
    """A module whose weights are none that an initialiser has made alike."""
    torch.manual_seed(seed)
    return RECURRENT[kind](*sizes, **how).to(dtype)


def as_bytes(tensor):
    return bytes(tensor.contiguous().view(torch.uint8).numpy())


def assert_same_bytes(got, expected):
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert got[name].shape == tensor.shape, name
        assert as_bytes(got[name]) == as_bytes(tensor), name


def assert_same_leaves(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def states(carry):
    """Last states as PyTorch lays them out: (layers * directions, H), of h and of c."""
    is_state = lambda c: isinstance(c, jrnn.LSTMCarry | jax.Array)
    found = jax.tree.leaves(carry, is_leaf=is_state)
    if isinstance(found[0], jrnn.LSTMCarry):
        return [jnp.stack([c.h for c in found]), jnp.stack([c.c for c in found])]
    return [jnp.stack(found)]


def difference(module, steps, reads, dtype, seed):
    """The largest one of all outputs and last states, of numbers of size 1.

    Rectified units grow beyond it, and their rounding with them.
    """
    xs = inputs(steps, reads, dtype, seed)
    with torch.no_grad():
        ys, last = module(xs)
    last = last if isinstance(last, tuple) else (last,)
    model, params = from_torch(module)
    carry, got = jrnn.unroll(model, params, jnp.asarray(xs.numpy()))
    pairs = zip(
        [got, *states(carry)], [ys.numpy(), *map(np.asarray, last)], strict=True
    )
    return max(abs(np.asarray(a) - b).max() / max(1, abs(b).max()) for a, b in pairs)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", RECURRENT)
def test_outputs_and_last_states_are_those_of_torch(kind, layers, both, dtype):
    case = [*RECURRENT].index(kind) + 4 * layers + 16 * both
    rng = np.random.default_rng(case)
    steps, reads, size = map(int, rng.integers(1, 12, 3))
    how = {"num_layers": layers, "bidirectional": both, "bias": bool(rng.integers(2))}
    module = made(kind, (reads, size), dtype, seed=case, **how)
    largest = difference(module, steps, reads, dtype, seed=case)
    print(
        f"T {steps}, I {reads}, H {size}, {how}: {largest:.1e}"
    )  # pytest -rP shows it
    assert largest < TOLERANCE[dtype]

    model, params = from_torch(module)
    original = module.state_dict()
    assert_same_bytes(to_torch(model, params, like=module), original)
    told = {"nonlinearity": kind} if kind in ("tanh", "relu") else {}
    assert_same_leaves(from_torch(original, **told)[1], params)
    # by names of its own, and from there again the same parameters
    again = to_torch(model, params)
    assert_same_leaves(from_torch(again, **told)[1], params)
    fresh = made(kind, (reads, size), dtype, 0, **{**how, "bias": True})
    fresh.load_state_dict(again)
    same = difference(fresh, steps, reads, dtype, seed=case)
    assert same < TOLERANCE[dtype]


@settings(deadline=None, max_examples=10)
@given(
    kind=st.sampled_from([*RECURRENT]),
    sizes=st.tuples(*[st.integers(1, 20)] * 3),
    seed=st.integers(0, 2**31 - 1),
    dtype=st.sampled_from([*TOLERANCE]),
    how=st.fixed_dictionaries(
        {
            "num_layers": st.integers(1, 3),
            "bidirectional": st.booleans(),
            "bias": st.booleans(),
        }
    ),
)
def test_networks_of_any_size(kind, sizes, seed, dtype, how):
    steps, reads, size = sizes
    module = made(kind, (reads, size), dtype, seed, **how)
    assert difference(module, steps, reads, dtype, seed) < TOLERANCE[dtype]
    model, params = from_torch(module)
    assert_same_bytes(to_torch(model, params, like=module), module.state_dict())


def test_from_a_state():
    module = made("lstm", (3, 4), torch.float64, 0, num_layers=2)
    xs, state = inputs(5, 3, torch.float64, 1), inputs(4, 4, torch.float64, 2)
    ys, _ = module(xs, (state[:2], state[2:]))
    model, params = from_torch(module)
    h, c = jnp.asarray(state[:2].numpy()), jnp.asarray(state[2:].numpy())
    carry = tuple(map(jrnn.LSTMCarry, h, c))
    _, got = jrnn.unroll(model, params, jnp.asarray(xs.numpy()), carry)
    np.testing.assert_allclose(got, ys.detach().numpy(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_dtype_comes_back(dtype):
    module = made("lstm", (3, 4), dtype, 0, num_layers=2, bidirectional=True)
    model, params = from_torch(module)
    name = str(dtype).removeprefix("torch.")
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {name}
    assert_same_bytes(to_torch(model, params, like=module), module.state_dict())
    again, same = from_torch(to_torch(model, params))
    assert again.description.factory == "stack"
    assert_same_leaves(same, params)


def test_special_numbers_come_back():
    module = made("lstm", (3, 4), torch.float32, 0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            special = torch.tensor([-0.0, 0.0, float("nan"), float("inf"), 1e-45])
            tensor.view(-1)[:5] = special
        module.bias_hh_l0[:5] = torch.tensor([-0.0, -0.0, 1.0, -1.0, 1e-45])
    model, params = from_torch(module)
    assert_same_bytes(to_torch(model, params, like=module), module.state_dict())
    again = from_torch(to_torch(model, params))[1]
    assert_same_leaves(again, params)


def test_only_biases_that_were_trained_lose_their_split():
    module = made("lstm", (3, 4), torch.float32, 0)
    model, params = from_torch(module)
    trained = params._replace(
        w_x=params.w_x.at[1, 2].set(7), b=params.b.at[5].set(jnp.float32(0.3))
    )
    back = to_torch(model, trained, like=module)
    original = {k: v.clone() for k, v in module.state_dict().items()}
    original["weight_ih_l0"][2, 1] = 7
    original["bias_ih_l0"][5], original["bias_hh_l0"][5] = 0.3, 0
    assert_same_bytes(back, original)
    assert_same_leaves(from_torch(back)[1], trained)


def test_the_result_shares_no_memory():
    module = made("gru", (3, 4), torch.float32, 0)
    model, params = from_torch(module)
    before = jax.tree.map(np.array, params)
    back = to_torch(model, params)
    with torch.no_grad():
        for tensor in itertools.chain(module.parameters(), back.values()):
            tensor.fill_(float("nan"))
    assert_same_leaves(params, before)


class Characters(nn.Module):
    """A model as people write it: layers in no order, dropout, a tied name or two."""

    def __init__(self, kind="lstm"):
        super().__init__()
        self.decoder = nn.Linear(6, 11)
        self.drop = nn.Dropout(0.5)
        how = {"batch_first": True, "dropout": 0.3, "num_layers": 2}
        self.rnn = RECURRENT[kind](5, 6, **how)
        self.encoder = nn.Embedding(11, 5, padding_idx=0)

    def forward(self, tokens):
        x = self.drop(self.encoder(tokens))
        return self.decoder(self.drop(self.rnn(x)[0]))


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_character_model(kind):
    net = Characters(kind).double().eval()
    tokens = np.random.default_rng(0).integers(0, 11, (2, 9))
    with torch.no_grad():
        expected = net(torch.tensor(tokens)).numpy()
    told = {"nonlinearity": kind} if kind in ("tanh", "relu") else {}
    for source, how in ((net, {}), (net.state_dict(), told)):
        model, params = from_torch(source, **how)
        run = lambda row: jrnn.unroll(model, params, row)[1]  # noqa: B023
        got = jax.vmap(run)(jnp.asarray(tokens))
        np.testing.assert_allclose(got, expected, atol=1e-12, rtol=0)
        assert_same_bytes(to_torch(model, params, like=net), net.state_dict())


def test_a_sequential_and_the_names_of_one():
    net = nn.Sequential(
        nn.Linear(3, 5),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Sigmoid(), nn.SiLU()),
        nn.Linear(4, 2, bias=False),
    ).double()
    net.eval()
    xs = inputs(6, 3, torch.float64, 0)
    model, params = from_torch(net)
    got = jrnn.unroll(model, params, jnp.asarray(xs.numpy()))[1]
    np.testing.assert_allclose(got, net(xs).detach().numpy(), atol=1e-12, rtol=0)
    assert_same_bytes(to_torch(model, params, like=net), net.state_dict())

    model = jrnn.stack(
        jrnn.embed(7, 3),
        jrnn.dropout(jrnn.lstm(4), 0.1),
        jrnn.lstm(4),
        jrnn.lstm(5),
        jrnn.activation("tanh"),
        jrnn.linear(2),
    )
    params = model.init(jax.random.key(0), jnp.array(0))
    back = nn.Sequential(
        nn.Embedding(7, 3), nn.LSTM(3, 4, 2), nn.LSTM(4, 5), nn.Tanh(), nn.Linear(5, 2)
    )
    back.load_state_dict(to_torch(model, params), strict=True)
    # PyTorch's own Sequential cannot run it: an LSTM returns a pair
    x = torch.tensor([3, 1, 4, 1])
    for layer in back:
        x = layer(x)[0] if isinstance(layer, nn.LSTM) else layer(x)
    evaluated = jrnn.stack(
        jrnn.embed(7, 3),
        *(jrnn.lstm(size) for size in (4, 4, 5)),
        jrnn.activation("tanh"),
        jrnn.linear(2),
    )
    got = jrnn.unroll(evaluated, params, jnp.array([3, 1, 4, 1]))[1]
    np.testing.assert_allclose(got, x.detach().numpy(), atol=1e-6, rtol=0)


CELLS = {
    "tanh": nn.RNNCell(3, 4),
    "relu": nn.RNNCell(3, 4, nonlinearity="relu"),
    "lstm": nn.LSTMCell(3, 4),
    "gru": nn.GRUCell(3, 4, bias=False),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell(name):
    module = CELLS[name].double()
    x = inputs(1, 3, torch.float64, 0)
    model, params = from_torch(module)
    got = model.step(params, model.initial_carry(params), jnp.asarray(x[0].numpy()))[1]
    expected = module(x)
    expected = expected[0] if isinstance(expected, tuple) else expected
    np.testing.assert_allclose(got, expected[0].detach().numpy(), atol=1e-12, rtol=0)
    assert_same_bytes(to_torch(model, params, like=module), module.state_dict())


def test_two_directions_of_a_classifier():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(9, 3)
            self.lstm = nn.LSTM(3, 4, 2, bidirectional=True)
            self.tags = nn.Linear(8, 5)

    net = Tagger().double()
    tokens = torch.tensor([2, 7, 1, 8, 0])
    expected = net.tags(net.lstm(net.words(tokens))[0])
    model, params = from_torch(net)
    got = jrnn.unroll(model, params, jnp.asarray(tokens.numpy()))[1]
    np.testing.assert_allclose(got, expected.detach().numpy(), atol=1e-12, rtol=0)
    assert_same_bytes(to_torch(model, params, like=net), net.state_dict())


class Sandwich(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.Tanh()
        self.inner = nn.Linear(3, 4)
        self.outer = nn.Linear(4, 2)


def test_an_activation_whose_place_is_not_seen():
    with pytest.raises(
        ValueError, match=r"the place of act \(tanh\) stands in the forw"
    ):
        from_torch(Sandwich())
    model, _ = from_torch(Sandwich(), layers=("inner", "act", "outer"))
    cells = model.description.arguments["cells"]
    assert [cell.description.factory for cell in cells][1] == "activation"


REFUSED = {
    "proj_size": (lambda: nn.LSTM(3, 4, proj_size=2), "LSTM has proj_size=2, which no"),
    "max_norm": (
        lambda: nn.Embedding(3, 4, max_norm=1.0),
        "has max_norm=1.0, by which",
    ),
    "another": (lambda: nn.Conv1d(3, 4, 2), "the module is Conv1d, which jrnn has no"),
    "inside": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1)),
        "1 is Softmax, which jrnn has no counterpart of",
    ),
    "sizes": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(5, 4)),
        r"of 0 \(3 to 4\), 1 \(tanh\), 2 \(5 to 4\) they do not fit together",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_jrnn_does_not_have_is_refused_by_name(name):
    make, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=f"^from_torch: .*{message}"):
        from_torch(make())


def drawn(model):
    return model, model.init(jax.random.key(0), jnp.zeros(3))


OUT = {
    "activation": (
        lambda: to_torch(*drawn(jrnn.elman(2, jax.nn.elu))),
        "model has the activation elu; nn.RNN has tanh and relu",
    ),
    "reset before": (
        lambda: to_torch(*drawn(jrnn.gru(2, "before"))),
        'model is a gru with reset="before"; nn.GRU has "after"',
    ),
    "another module": (
        lambda: to_torch(*drawn(jrnn.gru(2)), like=nn.LSTM(3, 2)),
        "like has lstm at its only place, but the model has gru, model",
    ),
    "too few": (
        lambda: to_torch(*drawn(jrnn.gru(2)), like=nn.GRU(3, 2, 2)),
        "like has gru at its only place, but the model has nothing more",
    ),
    "too many": (
        lambda: to_torch(
            *drawn(jrnn.stack(jrnn.gru(2), jrnn.gru(2))), like=nn.GRU(3, 2)
        ),
        r"like has no layer for model.cells\[1\]",
    ),
    "another size": (
        lambda: to_torch(*drawn(jrnn.lstm(2)), like=nn.LSTM(3, 4)),
        r"weight_ih_l0 has shape \(8, 3\), expected \(16, 3\) as in like",
    ),
    "no bias": (
        lambda: to_torch(*drawn(jrnn.lstm(2)), like=nn.LSTM(3, 2, bias=False)),
        "the layer that is to hold model has no bias, but b is not zero: .* entry is 1",
    ),
    "one direction": (
        lambda: to_torch(
            *drawn(jrnn.bidirectional(jrnn.gru(2), jrnn.gru(2))), like=nn.GRU(3, 2)
        ),
        "model reads in 2 directions, expected 1 as in like",
    ),
    "two kinds": (
        lambda: to_torch(*drawn(jrnn.bidirectional(jrnn.gru(2), jrnn.lstm(2)))),
        r"the two directions of model are \['gru', 'lstm'\] of \[2\] units",
    ),
}


@pytest.mark.parametrize("name", OUT)
def test_what_torch_does_not_have_is_said(name):
    call, message = OUT[name]
    with pytest.raises(ValueError, match=f"^to_torch: .*{message}"):
        call()


def test_irnn_is_a_rectified_rnn():
    model, params = drawn(jrnn.irnn(4))
    net = nn.RNN(3, 4, nonlinearity="relu").double()
    net.load_state_dict(to_torch(model, params))
    xs = inputs(5, 3, torch.float64, 0)
    got = jrnn.unroll(model, params, jnp.asarray(xs.numpy()))[1]
    np.testing.assert_allclose(got, net(xs)[0].detach().numpy(), atol=1e-12, rtol=0)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_weights_are_refused():
    weight = torch.quantize_per_tensor(torch.ones(8, 3), 0.1, 0, torch.qint8)
    with pytest.raises(TypeError, match="from_torch: weight_ih_l0 is quantised"):
        from_torch({"weight_ih_l0": weight, "weight_hh_l0": torch.ones(8, 2)})


def test_a_model_that_torch_has_trained_is_measured_by_the_command(tmp_path, capsys):
    """From its training to `jrnn eval` of the file, the nats are those of PyTorch."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        result = torch_char_model.run(torch_char_model.SMOKE)
        found = torch_char_model.summary(result)
        path, text = tmp_path / "m.safetensors", tmp_path / "held_out.txt"
        token, vocabulary = jnp.int32(0), result.vocabulary
        jrnn.save(path, result.model, result.params, token, vocabulary=vocabulary)
        length = torch_char_model.SMOKE.length
        held_out = python_reference().text[:length][-len(result.torch_nats) - 1 :]
        text.write_text(held_out)
        assert main(["eval", str(path), str(text), "--rows", "1"]) == 0
    assert max(found["difference"], found["difference_of_evaluate"]) < 1e-6
    assert found["largest_difference_of_one_character"] < 1e-5
    assert found["state_dict_comes_back_with_the_same_bytes"]
    assert f"{found['nats']['PyTorch']:.4f}" in capsys.readouterr().out
