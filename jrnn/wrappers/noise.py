"""Wrappers that draw random numbers: dropout in its forms.

Each needs a key, and none has parameters: evaluate with the cell inside, or, after
`zoneout`, with its mean.
"""

from typing import NamedTuple

import jax
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import CandidateStep, Carry, Cell, Key, Params
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
from jrnn.sequence import run_of
from jrnn.wrappers.form import (
    Model,
    acting,
    dropout_mask,
    hidden,
    is_mask,
    wrap_inside,
)


class VariationalDropoutCarry(NamedTuple):
    """State of a cell under variational dropout."""

    cell: Carry
    mask: jax.Array  # (H,), 0 or 1 / (1 - rate), the same at every step


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
        >>> import jax.numpy as jnp, jrnn
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
            leaf * dropout_mask(k, rate, leaf)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, ys)

    return acting(cell, step, run)


@described
def recurrent_dropout(cell: Cell, rate: ArrayLike) -> Cell:
    """Set random entries of what a gated cell would write to zero, at every step.

        LSTM   c_t = f * c_{t-1} + i * d(tanh(g))
        GRU    h_t = (1 - z) * d(n) + z * h_{t-1}
        d(n) = m_t * n / (1 - rate),   m_t ~ Bernoulli(1 - rate)

    What the state holds is never dropped, only what would be added to it, so that long
    memories survive, and no factor multiplies from step to step: this is the dropout of
    a recurrence for a GRU, which `variational_dropout` refuses. New masks at every
    step, as the paper proposes. In Keras `recurrent_dropout` is another one, masks on
    h_{t-1} as in `variational_dropout`; PyTorch and Flax have none. The paper scales
    when it evaluates, here survivors are scaled up in training.

    Evaluate with the cell without it: it has the same parameters.

    Args:
        cell: an `lstm` or a `gru`, or a cell of yours whose step is a `CandidateStep`.
            Other wrappers go outside.
        rate: probability of zero, in [0, 1); may be traced.

    Returns:
        A cell with the params and carry of `cell`, which needs a key to step.

    Raises:
        ValueError: `rate` is outside [0, 1), or no key is given.
        TypeError: the cell does not say what its candidate is; a model of whole
            sequences.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> cell = recurrent_dropout(jrnn.gru(400), 0.25)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h = cell.initial_carry(params)
        >>> h, _ = cell.step(params, h, jnp.ones(3), key=jax.random.key(1))
        >>> bool(0.15 < (h == 0).mean() < 0.35)
        True

    References:
        Semeniuta, Severyn, Barth (2016), Recurrent dropout without memory loss,
        arXiv:1603.05118, section 3.
    """
    name = "recurrent_dropout"
    _check.cell(name, cell, wrap_inside("recurrent_dropout(lstm(64), rate)"))
    _check.rate(name, rate)
    gated = cell.step
    if not isinstance(gated, CandidateStep):
        raise TypeError(
            f"{name}: the cell's step does not say what its candidate is. Wrap an "
            "lstm(64) or a gru(64) itself, inside of other wrappers and of a stack; a "
            "cell of yours needs a jrnn.CandidateStep."
        )

    def step(params, carry, x, *, key=None):
        key = _check.key_given(name, key, "step")
        cell_key, mask_key = jax.random.split(key)
        drop = lambda n: n * dropout_mask(mask_key, rate, n)
        return gated.run(params, carry, x, drop, key=cell_key)

    return cell._replace(step=step)


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
        >>> import jax.numpy as jnp, jrnn
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
    name = "variational_dropout"
    _check.cell(name, cell, wrap_inside("variational_dropout(lstm(64), rate)"))
    _check.rate(name, rate)

    def initial_carry(params, *, key=None):
        key = _check.key_given(name, key, "initial_carry")
        cell_key, mask_key = jax.random.split(key)
        carry = cell.initial_carry(params, key=cell_key)
        h = hidden(name, carry)
        _refuse_passing(params)
        mask = dropout_mask(mask_key, rate, h)
        return VariationalDropoutCarry(carry, mask)

    def step(params, carry, x, *, key=None):
        _check.carry_type(name, carry, VariationalDropoutCarry)
        h = hidden(name, carry.cell) * carry.mask
        _refuse_passing(params)
        dropped = carry.cell._replace(h=h) if hasattr(carry.cell, "h") else h
        inner, y = cell.step(params, dropped, x, key=key)
        return VariationalDropoutCarry(inner, carry.mask), y

    return cell._replace(initial_carry=initial_carry, step=step)


def resample(cell: Cell, params: Params, carry: Carry, key: Key) -> Carry:
    """Draw the masks in a carry anew and keep the rest of it.

    For streams that are trained in windows: the state goes on from window to window,
    the masks of `variational_dropout` and `weight_dropout` change.

    Args:
        cell: the cell that the carry belongs to.
        params: its parameters.
        carry: a carry of that cell.
        key: for the new masks.

    Returns:
        The carry with new masks; a carry without masks comes back as it is.

    Example:
        >>> import jax.numpy as jnp, jrnn
        >>> cell = variational_dropout(jrnn.elman(40), 0.5)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> old = cell.initial_carry(params, key=jax.random.key(1))
        >>> new = resample(cell, params, old, jax.random.key(2))
        >>> bool((old.mask != new.mask).any()), bool((old.cell == new.cell).all())
        (True, True)
    """
    fresh = cell.initial_carry(params, key=key)
    return jax.tree_util.tree_map_with_path(
        lambda path, new, old: new if is_mask(path) else old, fresh, carry
    )


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
                f"Use dropout({factory}(...), rate), on its output, {_other(factory)}"
                "or an LSTM or Elman network."
            )


def _other(factory: str) -> str:
    """What a GRU has besides."""
    return "recurrent_dropout(gru(...), rate), " if factory == "gru" else ""
