"""Functions from cell to cell: whatever one might change about a cell.

Those that need no step of their own work on a `SequenceModel` too: they return one, and
their `run` says over all steps at once what their `step` says of one.

A wrapper that owns no parameters does not change the parameter tree, so a model can be
trained with `dropout(lstm(64), 0.1)` and evaluated with `lstm(64)`.
"""

from typing import Any, NamedTuple, TypeVar, overload

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import (
    Carry,
    Cell,
    InitFn,
    InitialCarryFn,
    Key,
    Output,
    Params,
    StepFn,
    output_spec,
)
from jrnn.cells import (
    AntisymmetricParams,
    ClockworkParams,
    ConvGRUParams,
    DaleParams,
    EchoStateParams,
    GRUParams,
    IndRNNParams,
    JANETParams,
    LayerNormGRUParams,
    LeakyParams,
    LowRankParams,
    LRUParams,
    LTCParams,
    MGUParams,
    MinGRUParams,
    MinLSTMParams,
    QRNNParams,
    S5Params,
    SRUParams,
    UGRNNParams,
)
from jrnn.sequence import (
    RunFn,
    SequenceModel,
    only_valid,
    pools_over_time,
    run_of,
)

# what comes in is what comes out, and where that is not known, it stays so
Model = TypeVar("Model", Cell, SequenceModel, Cell | SequenceModel)


class LayerNormParams(NamedTuple):
    """Parameters of a cell with normalised output."""

    cell: Params
    scale: jax.Array  # (O,)
    offset: jax.Array  # (O,)


class LearnedCarryParams(NamedTuple):
    """Parameters of a cell whose initial carry is trained."""

    cell: Params
    carry: Carry


class VariationalDropoutCarry(NamedTuple):
    """State of a cell under variational dropout."""

    cell: Carry
    mask: jax.Array  # (H,), 0 or 1 / (1 - rate), the same at every step


class Recorded(NamedTuple):
    """Output of `record`."""

    y: Output
    carry: Carry  # after the step


@described
def residual(cell: Model) -> Model:
    """Add the input to the output.

        y_t = cell(x_t) + x_t

    Args:
        cell: a cell, or a model of whole sequences, whose output has the shape of its
            input.

    Returns:
        A cell with the params and carry of `cell`.

    Raises:
        ValueError: input and output differ in shape.

    Example:
        >>> import jrnn
        >>> cell = residual(jrnn.gru(3))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].shape
        (5, 3)

    References:
        He, Zhang, Ren, Sun (2016), Deep residual learning for image recognition,
        arXiv:1512.03385, equation 1.
    """
    _check.model("residual", cell)

    def add(x, y):
        if jnp.shape(x) != jnp.shape(y):
            raise ValueError(
                f"residual: input has shape {jnp.shape(x)} and output {jnp.shape(y)}; "
                "they must match."
            )
        return y + x

    def step(params, carry, x, *, key=None):
        carry, y = cell.step(params, carry, x, key=key)
        return carry, add(x, y)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        carry, ys = run_of(cell)(params, xs, carry, valid, key=key, remat=remat)
        return carry, add(only_valid(valid, xs), ys)

    return _acting(cell, step, run)


@described
def layer_norm(cell: Model, *, epsilon: float = 1e-6) -> Model:
    """Normalise the output over its features.

        y = scale * (u - mean(u)) / sqrt(var(u) + epsilon) + offset,   u = cell(x)

    Only the output is normalised; the carry, and so the recurrence, is not touched.

    Args:
        cell: a cell, or a model of whole sequences, whose output is one array.
        epsilon: added to the variance.

    Returns:
        A cell with `LayerNormParams(cell, scale, offset)` and the carry of `cell`.

    Example:
        >>> import jrnn
        >>> cell = layer_norm(jrnn.elman(4))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> ys = jrnn.unroll(cell, params, jnp.ones((5, 3)))[1]
        >>> bool(jnp.abs(ys.mean(-1)).max() < 1e-6)
        True

    References:
        Ba, Kiros, Hinton (2016), Layer normalization, arXiv:1607.06450, equation 3.
    """
    _check.model("layer_norm", cell)

    def init(key, x):
        params = cell.init(key, x)
        y = output_spec(cell, params, x)
        size = y.shape[-1:]
        return LayerNormParams(
            params, jnp.ones(size, y.dtype), jnp.zeros(size, y.dtype)
        )

    def initial_carry(params, *, key=None):
        _check.params_type("layer_norm", params, LayerNormParams)
        return cell.initial_carry(params.cell, key=key)

    def step(params, carry, x, *, key=None):
        _check.params_type("layer_norm", params, LayerNormParams)
        carry, u = cell.step(params.cell, carry, x, key=key)
        return carry, normal(params, u)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _check.params_type("layer_norm", params, LayerNormParams)
        carry, us = run_of(cell)(params.cell, xs, carry, valid, key=key, remat=remat)
        if pools_over_time(cell):
            return carry, normal(params, us)
        return carry, only_valid(valid, jax.vmap(normal, (None, 0))(params, us))

    def normal(params, u):
        u = u - u.mean(axis=-1, keepdims=True)
        var = jnp.square(u).mean(axis=-1, keepdims=True)
        return params.scale * u * jax.lax.rsqrt(var + epsilon) + params.offset

    return _acting(cell, step, run, init=init, initial_carry=initial_carry)


@described
def dropout(cell: Model, rate: ArrayLike) -> Model:
    """Set random outputs to zero, independently at every step.

        y_t = m_t * u_t / (1 - rate),   m_t ~ Bernoulli(1 - rate),   u = cell(x)

    Evaluate with the cell without dropout: it has the same parameters.

    Args:
        cell: any cell, or a model of whole sequences.
        rate: probability of zero, in [0, 1); may be traced.

    Returns:
        A cell with the params and carry of `cell`, which needs a key to step.

    Raises:
        ValueError: `rate` is outside [0, 1), or no key is given.

    Example:
        >>> import jrnn
        >>> cell = dropout(jrnn.gru(100), 0.5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> ys = jrnn.unroll(cell, params, jnp.ones((9, 3)), key=jax.random.key(1))[1]
        >>> bool(0.4 < (ys == 0).mean() < 0.6)
        True

    References:
        Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from
        overfitting, jmlr.org/papers/v15/srivastava14a.html.
        Zaremba, Sutskever, Vinyals (2014), Recurrent neural network regularization,
        arXiv:1409.2329 (on outputs only, not on the recurrence).
    """
    _check.model("dropout", cell)
    _check.rate("dropout", rate)

    def step(params, carry, x, *, key=None):
        key = _check.key_given("dropout", key, "step")
        cell_key, mask_key = jax.random.split(key)
        carry, u = cell.step(params, carry, x, key=cell_key)
        return carry, dropped(mask_key, u)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        key = _check.key_given("dropout", key, "run")
        cell_key, mask_key = jax.random.split(key)
        carry, us = run_of(cell)(params, xs, carry, valid, key=cell_key, remat=remat)
        return carry, dropped(mask_key, us)

    def dropped(key, u):
        leaves, tree = jax.tree.flatten(u)
        keys = jax.random.split(key, len(leaves))
        ys = [
            leaf * _dropout_mask(k, rate, leaf)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, ys)

    return _acting(cell, step, run)


@described
def variational_dropout(cell: Cell, rate: ArrayLike) -> Cell:
    """Drop units of the recurrent state, the same ones at every step of a sequence.

        h~_{t-1} = m * h_{t-1} / (1 - rate),   m ~ Bernoulli(1 - rate), once a sequence
        carry_t, y_t = cell(h~_{t-1}, x_t)

    The mask acts on the hidden state where it enters the step; an LSTM's cell state c
    is left alone. It is drawn in `initial_carry` and carried, so the step itself is
    deterministic. `resample` draws a new mask in the middle of a stream.

    A GRU is refused: its state also passes by the product, z * h_{t-1}, so that the
    factor 1 / (1 - rate) multiplies with every step and the state can grow. So are the
    cells that share this with it: `mgu`, `ugrnn`, `janet`, `layer_norm_gru`,
    `conv_gru`, `ltc`, the leaky ones, those that are linear in the state,
    `antisymmetric`, `clockwork`, `indrnn`.

    Args:
        cell: a cell whose carry is one array, or a NamedTuple with a field `h`. Wrap
            the layers of a stack one by one.
        rate: probability of zero, in [0, 1); may be traced.

    Returns:
        A cell with the params of `cell` and carry
        `VariationalDropoutCarry(cell, mask)`, which needs a key for its initial carry.

    Raises:
        ValueError: `rate` is outside [0, 1), or no key is given.
        TypeError: the carry is of another form; the cell is a GRU or its like, or a
            model of whole sequences, whose cells must be wrapped one by one.

    Example:
        >>> import jrnn
        >>> cell = variational_dropout(jrnn.lstm(4), 0.5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> carry, ys = jrnn.unroll(
        ...     cell, params, jnp.ones((5, 3)), key=jax.random.key(1))
        >>> carry.mask.shape, ys.shape
        ((4,), (5, 4))

    References:
        Gal, Ghahramani (2016), A theoretically grounded application of dropout in
        recurrent neural networks, arXiv:1512.05287, equation 7 (the mask z_h).
    """
    _check.cell(
        "variational_dropout",
        cell,
        "Wrap the cells in it: "
        "bidirectional(variational_dropout(lstm(64), rate), ...).",
    )
    _check.rate("variational_dropout", rate)

    def initial_carry(params, *, key=None):
        key = _check.key_given("variational_dropout", key, "initial_carry")
        cell_key, mask_key = jax.random.split(key)
        carry = cell.initial_carry(params, key=cell_key)
        h = _hidden(carry)
        _refuse_passing(params)
        mask = _dropout_mask(mask_key, rate, h)
        return VariationalDropoutCarry(carry, mask)

    def step(params, carry, x, *, key=None):
        _check.carry_type("variational_dropout", carry, VariationalDropoutCarry)
        h = _hidden(carry.cell) * carry.mask
        _refuse_passing(params)
        dropped = carry.cell._replace(h=h) if hasattr(carry.cell, "h") else h
        inner, y = cell.step(params, dropped, x, key=key)
        return VariationalDropoutCarry(inner, carry.mask), y

    return cell._replace(initial_carry=initial_carry, step=step)


def resample(cell: Cell, params: Params, carry: Carry, key: Key) -> Carry:
    """Draw the masks in a carry anew and keep the rest of it.

    For streams that are trained in windows: the state goes on from window to window,
    the masks of `variational_dropout` change.

    Args:
        cell: the cell that the carry belongs to.
        params: its parameters.
        carry: a carry of that cell.
        key: for the new masks.

    Returns:
        The carry with new masks; a carry without masks comes back as it is.

    Example:
        >>> import jrnn
        >>> cell = variational_dropout(jrnn.elman(40), 0.5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> old = cell.initial_carry(params, key=jax.random.key(1))
        >>> new = resample(cell, params, old, jax.random.key(2))
        >>> bool((old.mask != new.mask).any()), bool((old.cell == new.cell).all())
        (True, True)
    """
    fresh = cell.initial_carry(params, key=key)
    is_mask = lambda path: any(getattr(p, "name", None) == "mask" for p in path[-1:])
    return jax.tree_util.tree_map_with_path(
        lambda path, new, old: new if is_mask(path) else old, fresh, carry
    )


@described
def record(cell: Cell) -> Cell:
    """Return the carry of every step beside the output.

        y_t = Recorded(y=cell(x_t), carry=carry_t)

    PyTorch returns only h of each step, never an LSTM's c; this returns all of it.

    Args:
        cell: any cell.

    Returns:
        A cell with the params and carry of `cell` and output `Recorded(y, carry)`.

    Raises:
        TypeError: a model of whole sequences, which has no carry after each step.

    Example:
        >>> import jrnn
        >>> cell = record(jrnn.lstm(4))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> jrnn.unroll(cell, params, jnp.ones((5, 3)))[1].carry.c.shape
        (5, 4)
    """
    _check.cell(
        "record",
        cell,
        "It has no carry after each step; record the cells in it: "
        "bidirectional(record(lstm(64)), record(lstm(64))).",
    )

    def step(params, carry, x, *, key=None):
        carry, y = cell.step(params, carry, x, key=key)
        return carry, Recorded(y, carry)

    return cell._replace(step=step)


@described
def masked(cell: Model) -> Model:
    """Skip the steps whose flag is false.

        (x_t, valid_t) ->  carry_t, y_t = cell(carry_{t-1}, x_t)   where valid_t
                           carry_t, y_t = carry_{t-1}, 0           elsewhere

    Padding cannot reach a valid output, the last carry or any gradient, whatever it
    holds; outputs at padding are zero; a row without a valid step returns its initial
    carry. Masks may have holes. For right-padded rows see `length_mask`. A model of
    whole sequences gets all flags at once; its directions both skip the steps, a
    convolution reads zeros there.

    Args:
        cell: any cell, or a model of whole sequences.

    Returns:
        A cell with the params and carry of `cell` and input `(x, valid)`, `valid` a
        boolean scalar. Of a model of whole sequences, another with input `(xs, valid)`,
        `valid` booleans `(T,)`.

    Raises:
        TypeError: the input is not a pair, or its flag not boolean.
        ValueError: `valid` is of another shape.

    Example:
        >>> import jrnn
        >>> cell, xs = masked(jrnn.gru(4)), jnp.ones((5, 3))
        >>> params = cell.init(jax.random.key(0), (xs[0], True))
        >>> h, ys = jrnn.unroll(cell, params, (xs, length_mask(2, 5)))
        >>> bool((ys[2:] == 0).all()), bool(jnp.allclose(h, ys[1]))
        (True, True)
    """
    _check.model("masked", cell)

    def init(key, x):
        _check.pair("masked", x, "valid")
        return cell.init(key, x[0])

    def step(params, carry, x, *, key=None):
        _check.pair("masked", x, "valid")
        x, valid = x
        _check.flag("masked", "valid", valid)
        # Padding may hold anything, even NaN, whose gradient would pass a single
        # `where` behind the step (0 * NaN); so it does not get into the step at all.
        x = _where(valid, x, jax.tree.map(_zeros, x))
        new_carry, y = cell.step(params, carry, x, key=key)
        y = _where(valid, y, jax.tree.map(_zeros, y))
        return _where(valid, new_carry, carry), y

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _check.pair("masked", xs, "valid")
        xs, own = xs
        _check.time_flags("masked", "valid", own, _check.num_steps("masked", xs))
        own = jnp.asarray(own) if valid is None else own & valid
        return run_of(cell)(params, xs, carry, own, key=key, remat=remat)

    return _acting(cell, step, run, init=init)


@described
def reset(cell: Cell) -> Cell:
    """Start again from the initial carry where a flag is true.

        (x_t, start_t) ->  carry' = initial_carry   where start_t, carry_{t-1} elsewhere
                           carry_t, y_t = cell(carry', x_t)

    The reset comes before the step that carries the flag: `start_t` marks the first
    step of a document or an episode.

    Args:
        cell: any cell.

    Returns:
        A cell with the params and carry of `cell` and input `(x, start)`, `start` a
        boolean scalar.

    Raises:
        TypeError: the input is not a pair, or its flag not boolean; a model of whole
            sequences, which has no step to start again before.

    Example:
        >>> import jrnn
        >>> cell, xs = reset(jrnn.gru(4)), jnp.ones((6, 3))
        >>> params = cell.init(jax.random.key(0), (xs[0], True))
        >>> start = jnp.arange(6) % 3 == 0
        >>> ys = jrnn.unroll(cell, params, (xs, start))[1]
        >>> bool((ys[:3] == ys[3:]).all())
        True
    """
    _check.cell(
        "reset",
        cell,
        "Cut the sequence at its starts, and run the pieces as a batch: pad them, and "
        "say by masked(model) which steps are valid.",
    )

    def init(key, x):
        _check.pair("reset", x, "start")
        return cell.init(key, x[0])

    def step(params, carry, x, *, key=None):
        _check.pair("reset", x, "start")
        x, start = x
        _check.flag("reset", "start", start)
        carry_key, step_key = (None, None) if key is None else jax.random.split(key)
        fresh = cell.initial_carry(params, key=carry_key)
        return cell.step(params, _where(start, fresh, carry), x, key=step_key)

    return Cell(init, cell.initial_carry, step)


@described
def learned_carry(cell: Model) -> Model:
    """Make the initial carry a parameter.

        carry_0 = params.carry

    It starts as the cell's own initial carry. Wrappers that draw masks for a sequence
    go outside: `variational_dropout(learned_carry(cell), rate)`.

    Args:
        cell: any cell, or a model of whole sequences.

    Returns:
        A cell with `LearnedCarryParams(cell, carry)` and the carry of `cell`.

    Example:
        >>> import jrnn
        >>> cell = learned_carry(jrnn.gru(4))
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> cell.initial_carry(params._replace(carry=jnp.ones(4))).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    _check.model("learned_carry", cell)

    def init(key, x):
        params = cell.init(key, x)
        return LearnedCarryParams(params, cell.initial_carry(params))

    def initial_carry(params, *, key=None):
        del key
        _check.params_type("learned_carry", params, LearnedCarryParams)
        return params.carry

    def step(params, carry, x, *, key=None):
        _check.params_type("learned_carry", params, LearnedCarryParams)
        return cell.step(params.cell, carry, x, key=key)

    def run(params, xs, carry, valid=None, *, key=None, remat=None):
        _check.params_type("learned_carry", params, LearnedCarryParams)
        return run_of(cell)(params.cell, xs, carry, valid, key=key, remat=remat)

    return _acting(cell, step, run, init=init, initial_carry=initial_carry)


def length_mask(length: ArrayLike, num_steps: int) -> jax.Array:
    """Flags of the valid steps of a right-padded row, for `masked`.

        valid_t = t < length,   t = 0 .. T-1

    Args:
        length: number of valid steps, 0 to T; may be traced.
        num_steps: T, the padded length.

    Returns:
        Booleans, `(T,)`.

    Example:
        >>> length_mask(2, 4).tolist()
        [True, True, False, False]
    """
    return jnp.arange(num_steps) < jnp.asarray(length)


@overload
def _acting(
    cell: Cell,
    step: StepFn,
    run: RunFn,
    init: InitFn | None = ...,
    initial_carry: InitialCarryFn | None = ...,
) -> Cell: ...
@overload
def _acting(
    cell: SequenceModel,
    step: StepFn,
    run: RunFn,
    init: InitFn | None = ...,
    initial_carry: InitialCarryFn | None = ...,
) -> SequenceModel: ...
def _acting(
    cell: Cell | SequenceModel,
    step: StepFn,
    run: RunFn,
    init: InitFn | None = None,
    initial_carry: InitialCarryFn | None = None,
) -> Cell | SequenceModel:
    """A cell with another step, or a model of whole sequences with another run."""
    init = cell.init if init is None else init
    initial_carry = cell.initial_carry if initial_carry is None else initial_carry
    if _check.is_sequence(cell):
        return SequenceModel(init, initial_carry, run, cell.pools)
    return Cell(init, initial_carry, step)


def _dropout_mask(key: Key, rate: ArrayLike, like: jax.Array) -> jax.Array:
    # half-precision uniform numbers are too coarse to compare with a probability
    dtype = _check.at_least_float32(like.dtype)
    keep = 1 - jnp.asarray(rate).astype(dtype)
    kept = jax.random.bernoulli(key, keep, like.shape)
    return (kept.astype(dtype) / keep).astype(like.dtype)


# cells whose state h also passes by the product: what they are, and their factory
_PASSING = {
    AntisymmetricParams: ("an antisymmetric network", "antisymmetric"),
    ClockworkParams: ("a clockwork network", "clockwork"),
    ConvGRUParams: ("a convolutional GRU", "conv_gru"),
    DaleParams: ("a leaky network", "dale"),
    EchoStateParams: ("an echo state network", "echo_state"),
    GRUParams: ("a GRU", "gru"),
    IndRNNParams: ("an IndRNN", "indrnn"),
    JANETParams: ("JANET", "janet"),
    LRUParams: ("an LRU", "lru"),
    LTCParams: ("an LTC", "ltc"),
    LayerNormGRUParams: ("a normalised GRU", "layer_norm_gru"),
    LeakyParams: ("a leaky network", "leaky"),
    LowRankParams: ("a leaky network", "low_rank"),
    MGUParams: ("an MGU", "mgu"),
    MinGRUParams: ("a minGRU", "min_gru"),
    MinLSTMParams: ("a minLSTM", "min_lstm"),
    QRNNParams: ("a QRNN", "qrnn"),
    S5Params: ("an S5 layer", "s5"),
    SRUParams: ("an SRU", "sru"),
    UGRNNParams: ("a UGRNN", "ugrnn"),
}


def _refuse_passing(params: Params) -> None:
    passes = lambda node: type(node) in _PASSING
    for node in jax.tree.leaves(params, is_leaf=passes):
        if passes(node):
            words, factory = _PASSING[type(node)]
            raise TypeError(
                f"variational_dropout: not for {words}, whose state also passes by the "
                "product, z * h, so that 1 / (1 - rate) would multiply at every step. "
                f"Use dropout({factory}(...), rate), on its output, or an LSTM or "
                "Elman network."
            )


def _hidden(carry: Carry) -> jax.Array:
    if hasattr(carry, "h"):
        return carry.h
    if isinstance(carry, jax.Array):
        return carry
    raise TypeError(
        "variational_dropout: expected a carry that is one array or has a field h, got "
        f"{_check.kind(carry)}. Wrap the layers of a stack one by one."
    )


def _where(flag: ArrayLike, a: Any, b: Any) -> Any:
    return jax.tree.map(lambda u, v: jnp.where(flag, u, v), a, b)


def _zeros(x: jax.Array) -> jax.Array:
    return jnp.zeros_like(x)
