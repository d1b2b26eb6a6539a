"""Models of Flax, Haiku and Equinox brought in: the same outputs and bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jrnn
from jrnn.interop import (
    from_equinox,
    from_flax,
    from_haiku,
    to_equinox,
    to_flax,
    to_haiku,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs

T, I = 7, 3
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}


@pytest.fixture(autouse=True)
def their_settings():
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        yield


def drawn(tree, seed=0):
    """Numbers that no initialiser has made alike."""
    leaves, structure = jax.tree.flatten(tree)
    rng = np.random.default_rng(seed)
    new = [rng.normal(size=a.shape) / max(len(a), 1) ** 0.5 for a in leaves]
    new = [jnp.asarray(a, b.dtype) for a, b in zip(new, leaves, strict=True)]
    return jax.tree.unflatten(structure, new)


def inputs(dtype, size=I):
    return jnp.asarray(np.random.default_rng(1).normal(size=(T, size)), dtype)


def assert_same_bytes(got, expected):
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def assert_close(got, expected, dtype):
    largest = max(
        float(abs(np.asarray(a) - np.asarray(b)).max())
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
    )
    print(f"largest difference {largest:.1e}")  # pytest -rP shows it
    assert got[0].dtype == dtype and largest < TOLERANCE[dtype]


def ours(model, params, xs):
    """Outputs and the h, then the c, of the last state of every recurrent layer."""
    carry, ys = jrnn.unroll(model, params, xs)
    is_state = lambda c: isinstance(c, jrnn.LSTMCarry | jax.Array)
    states = jax.tree.leaves(carry, is_leaf=is_state)
    return [ys, *([c.h, c.c] if isinstance(c, jrnn.LSTMCarry) else c for c in states)]


def theirs(ys, carries):
    """The same, where an LSTM's state is (c, h)."""
    swapped = [[c[1], c[0]] if isinstance(c, tuple) else c for c in carries]
    return [ys, *swapped]


# Flax

CELLS = "SimpleCell", "LSTMCell", "OptimizedLSTMCell", "GRUCell"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize(
    ("name", "layers"),
    [(name, n) for name in CELLS for n in (1, 2, 3) if name[0] != "O" or n == 1],
)
def test_outputs_and_last_states_are_those_of_linen(name, layers, both, dtype):
    nn = pytest.importorskip("flax.linen")
    rng = np.random.default_rng(layers)
    rnn = lambda size: nn.RNN(
        getattr(nn, name)(size, param_dtype=dtype), return_carry=True
    )
    sizes = [int(n) for n in rng.integers(1, 8, layers)]
    modules = [
        nn.Bidirectional(rnn(n), rnn(n), return_carry=True) if both else rnn(n)
        for n in sizes
    ]
    ys = xs = inputs(dtype)
    carries, variables = [], []
    for module in modules:
        variables.append(drawn(module.init(jax.random.key(0), ys), len(variables)))
        carry, ys = module.apply(variables[-1], ys)
        carries += carry if both else [carry]

    if layers == 1:
        source, all_variables = modules[0], variables[0]
    else:
        source = nn.Sequential(modules)
        trees = {f"layers_{n}": v["params"] for n, v in enumerate(variables)}
        all_variables = {"params": trees}
    model, params = from_flax(source, all_variables)
    assert_close(ours(model, params, xs), theirs(ys, carries), dtype)
    assert_same_bytes(to_flax(model, params, like=all_variables), all_variables)
    assert_same_bytes(to_flax(model, params), all_variables)
    how = {"activation": "tanh"} if name == "SimpleCell" else {}
    assert_same_bytes(from_flax(all_variables, **how)[1], params)


@pytest.mark.parametrize(
    ("both", "dtype"),
    [(False, "float32"), (False, "float64"), (True, "float64")],
    ids=["one-way-float32", "one-way-float64", "both-ways-float64"],
)
@pytest.mark.parametrize("name", CELLS)
def test_outputs_are_those_of_nnx(name, both, dtype):
    nnx = pytest.importorskip("flax.nnx")
    how = {"param_dtype": dtype, "dtype": dtype, "rngs": nnx.Rngs(0)}
    rnn = lambda reads, size: nnx.RNN(getattr(nnx, name)(reads, size, **how))

    def layer(reads, size):
        one = rnn(reads, size)
        return nnx.Bidirectional(one, rnn(reads, size)) if both else one

    wide = 2 if both else 1
    net = nnx.Sequential(
        layer(I, 4),
        layer(4 * wide, 5),
        nnx.Dropout(0.5, deterministic=True),
        nnx.relu,
        nnx.Linear(5 * wide, 2, **how),
    )
    nnx.update(net, drawn(nnx.state(net, nnx.Param)))
    xs = inputs(dtype)
    model, params = from_flax(net)
    got = jrnn.unroll(model, params, xs)[1]
    expected = net(xs[None])[0]
    assert_close([got], [expected], dtype)
    back = to_flax(model, params, like=net)
    assert_same_bytes(back, nnx.to_pure_dict(nnx.state(net, nnx.Param)))
    nnx.update(net, jax.tree.map(jnp.zeros_like, nnx.state(net, nnx.Param)))
    nnx.update(net, back)
    np.testing.assert_array_equal(net(xs[None])[0], expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_dtype_comes_back_from_flax(dtype):
    nn = pytest.importorskip("flax.linen")
    zeros = nn.initializers.zeros_init()  # orthogonal ones need float32
    net = nn.RNN(nn.GRUCell(4, param_dtype=dtype, recurrent_kernel_init=zeros))
    variables = drawn(net.init(jax.random.key(0), inputs(dtype)))
    model, params = from_flax(net, variables)
    assert {str(leaf.dtype) for leaf in params} == {dtype}
    assert_same_bytes(to_flax(model, params), variables)


def test_a_module_of_ones_own_in_linen():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            x = nn.Embed(11, 3, param_dtype=float, name="words")(tokens)
            x = nn.RNN(nn.LSTMCell(5, param_dtype=float), name="memory")(x)
            return nn.Dense(11, param_dtype=float, use_bias=False, name="letters")(x)

    tokens = jnp.array([3, 1, 4, 1, 5])
    variables = drawn(Net().init(jax.random.key(0), tokens))
    model, params = from_flax(Net(), variables)
    expected = Net().apply(variables, tokens)
    assert_close([jrnn.unroll(model, params, tokens)[1]], [expected], "float64")
    assert_same_bytes(to_flax(model, params, like=variables), variables)


def test_a_module_of_ones_own_in_nnx():
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            how = {"param_dtype": float, "dtype": float, "rngs": rngs}
            self.letters = nnx.Linear(5, 11, **how)
            self.memory = nnx.RNN(nnx.GRUCell(3, 5, **how))
            self.words = nnx.Embed(11, 3, **how)

        def __call__(self, tokens):
            return self.letters(self.memory(self.words(tokens)))

    net, tokens = Net(nnx.Rngs(0)), jnp.array([3, 1, 4, 1, 5])
    model, params = from_flax(net)
    got = jrnn.unroll(model, params, tokens)[1]
    assert_close([got], [net(tokens[None])[0]], "float64")
    back = to_flax(model, params, like=net)
    assert_same_bytes(back, nnx.to_pure_dict(nnx.state(net, nnx.Param)))


def test_a_gru_that_nnx_cannot_hold():
    nnx = pytest.importorskip("flax.nnx")
    net = nnx.GRUCell(I, 4, param_dtype=float, rngs=nnx.Rngs(0))
    model, params = from_flax(net)
    assert not params.b_h.any()
    params = params._replace(b_h=params.b_h.at[-1].set(0.5))
    with pytest.raises(ValueError, match=r"no bias inside the reset .* is 0.5. Use li"):
        to_flax(model, params, like=net)


def test_what_of_flax_is_refused_by_name():
    nn = pytest.importorskip("flax.linen")
    cell = nn.LSTMCell(4)
    variables = nn.RNN(cell).init(jax.random.key(0), inputs("float32"))
    join = lambda a, b: a + b
    cases = {
        "RNN has reverse=True": nn.RNN(cell, reverse=True),
        "cell has gate_fn or activation_fn of its own": nn.RNN(
            nn.LSTMCell(4, gate_fn=nn.hard_sigmoid)
        ),
        "cell is MGUCell, which jrnn has no counterpart of": nn.RNN(nn.MGUCell(4)),
        "cell has residual=True": nn.RNN(nn.SimpleCell(4, residual=True)),
        "cell has an activation without": nn.RNN(nn.SimpleCell(4, activation_fn=join)),
        "Bidirectional has a merge_fn of its own": nn.Bidirectional(
            nn.RNN(cell), nn.RNN(cell), merge_fn=join
        ),
    }
    for message, module in cases.items():
        with pytest.raises((TypeError, ValueError), match=f"^from_flax: {message}"):
            from_flax(module, variables)
    with pytest.raises(
        TypeError, match=r"holds no parameters. Pass from_flax\(module, "
    ):
        from_flax(nn.RNN(cell))
    with pytest.raises(TypeError, match="expected a module of Flax at int, got int"):
        from_flax(3)


def test_a_gru_of_ours_goes_to_linen():
    """Biases of r and z that both are there are added; that of n in the reset stays."""
    nn = pytest.importorskip("flax.linen")
    cell = jrnn.gru(4)
    params = drawn(cell.init(jax.random.key(0), jnp.zeros(I)))
    xs = inputs("float64")
    expected = nn.RNN(nn.GRUCell(4, param_dtype=float)).apply(to_flax(cell, params), xs)
    assert_close([jrnn.unroll(cell, params, xs)[1]], [expected], "float64")


# Haiku


def haiku(core, dtype):
    """A core, run along a sequence from zeros, and a readout, as a function."""
    hk = pytest.importorskip("haiku")

    def run(xs):
        made = core(hk)
        zeros = made.initial_state(None)
        state = jax.tree.map(lambda a: a.astype(dtype), zeros)
        ys, last = hk.static_unroll(made, xs, state)
        return hk.Linear(2, with_bias=False)(ys), last

    return hk.without_apply_rng(hk.transform(run))


CORES = {
    "rnn": lambda hk: hk.VanillaRNN(4),
    "rnn-one-bias": lambda hk: hk.VanillaRNN(4, double_bias=False),
    "lstm": lambda hk: hk.LSTM(4),
    "gru": lambda hk: hk.GRU(4),
    "deep": lambda hk: hk.DeepRNN([hk.LSTM(4), hk.LSTM(5), hk.GRU(6)]),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CORES)
def test_outputs_and_last_states_are_those_of_haiku(name, dtype):
    net, xs = haiku(CORES[name], dtype), inputs(dtype)
    variables = drawn(net.init(jax.random.key(0), xs))
    ys, last = net.apply(variables, xs)
    model, params = from_haiku(variables)
    last = last if isinstance(last, tuple) and name == "deep" else [last]
    last = [[c.hidden, c.cell] if hasattr(c, "hidden") else c for c in last]
    assert_close(ours(model, params, xs), [ys, *last], dtype)
    assert_same_bytes(to_haiku(model, params, like=variables), variables)
    # by names of its own, and from there again, the same function
    again = to_haiku(model, params)
    if "linear_1" not in str(list(variables)):
        assert jax.tree.structure(again | {"linear": {"w": 0}}) == jax.tree.structure(
            variables
        )
    assert_close(ours(*from_haiku(again), xs), ours(model, params, xs), dtype)


def test_a_forget_bias_that_haiku_cannot_hold_is_rounded():
    cell = jrnn.lstm(2)
    params = cell.init(jax.random.key(0), jnp.zeros(I))
    params = params._replace(b=params.b.at[2:4].set(jnp.array([1.25, 1e-20])))
    assert_same_bytes(from_haiku(to_haiku(cell, params))[1].b[2:3], params.b[2:3])
    assert from_haiku(to_haiku(cell, params))[1].b[3] == 0


# Equinox


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell"])
def test_outputs_and_last_states_are_those_of_equinox(name, use_bias, dtype):
    eqx = pytest.importorskip("equinox")
    how = {"use_bias": use_bias, "dtype": dtype, "key": jax.random.key(0)}
    table = eqx.nn.Embedding(7, I, key=jax.random.key(1), dtype=dtype)
    cell = getattr(eqx.nn, name)(I, 4, **how)
    readout = eqx.nn.Linear(4, 2, **how)
    layers = drawn((table, cell, readout))
    table, cell, readout = layers
    tokens, state, ys = jnp.array([3, 1, 4, 1, 5]), jnp.zeros(4, dtype), []
    state = (state, state) if name == "LSTMCell" else state
    for token in tokens:
        state = cell(table(token), state)
        ys.append(readout(state[0] if name == "LSTMCell" else state))
    model, params = from_equinox(*layers)
    last = list(state) if name == "LSTMCell" else state
    assert_close(ours(model, params, tokens), [jnp.stack(ys), last], dtype)
    assert_same_bytes(to_equinox(model, params, like=layers), layers)
    assert_same_bytes(from_equinox(*to_equinox(model, params))[1], params)


def test_one_layer_of_equinox():
    eqx = pytest.importorskip("equinox")
    cell = eqx.nn.GRUCell(I, 4, dtype=float, key=jax.random.key(0))
    model, params = from_equinox(cell)
    assert model.description.factory == "gru"
    assert_same_bytes(to_equinox(model, params), cell)


def test_what_of_equinox_is_refused_by_name():
    eqx = pytest.importorskip("equinox")
    key = jax.random.key(0)
    cell = eqx.nn.GRUCell(I, 4, key=key, use_bias=False, dtype=float)
    make = lambda model: (model, model.init(key, jnp.zeros(I)))
    conv = eqx.nn.Conv1d(1, 2, 3, key=key)
    linear = eqx.nn.Linear(I, 4, key=key)
    cases = {
        "from_equinox: needs at least one layer": from_equinox,
        "from_equinox: expected Embedding, .* got Conv1d": lambda: from_equinox(conv),
        r"from_equinox: each .* layers\[0\] \(3 to 4\), layers\[1\] \(3 to 4\)": (
            lambda: from_equinox(linear, cell)
        ),
        "to_equinox: model is made by elman, which Equinox": lambda: to_equinox(
            *make(jrnn.elman(2))
        ),
        'to_equinox: model is made by gru of reset="before"': lambda: to_equinox(
            *make(jrnn.gru(2, "before"))
        ),
        "to_equinox: like has 2 layers, expected 1": lambda: to_equinox(
            *make(jrnn.gru(4)), like=(cell, cell)
        ),
        "to_equinox: like has GRUCell, but the model has lstm": lambda: to_equinox(
            *make(jrnn.lstm(4)), like=cell
        ),
        r"weight_ih has shape \(15, 3\), expected \(12, 3\)": lambda: to_equinox(
            *make(jrnn.gru(5)), like=cell
        ),
        "is to hold model has no bias, but bias is not zero": lambda: to_equinox(
            *(drawn(a) if n else a for n, a in enumerate(make(jrnn.gru(4)))), like=cell
        ),
    }
    for message, call in cases.items():
        with pytest.raises((TypeError, ValueError), match=message):
            call()
