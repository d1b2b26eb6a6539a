"""Zoneout: random units keep the state they have."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Carry, Cell, Output
from jrnn.wrappers.form import hidden, wrap_inside


@described
def zoneout(cell: Cell, h_rate: ArrayLike, c_rate: ArrayLike | None = None) -> Cell:
    """Let random units keep their state, independently at every step.

        h_t = d_t * h_{t-1} + (1 - d_t) * h~_t,   d_t ~ Bernoulli(h_rate)
        c_t = e_t * c_{t-1} + (1 - e_t) * c~_t,   e_t ~ Bernoulli(c_rate)
        y_t = h_t,   where h~_t, c~_t are those of `cell`

    Nothing is scaled. Evaluate with `zoneout_mean(cell, h_rate, c_rate)`, which has the
    expectations of d and e in their place, and not with the cell alone. PyTorch, Keras,
    Flax and Haiku have no zoneout; TensorFlow Addons had one, with the same equations.

    Args:
        cell: a cell whose carry is one array, or a NamedTuple with a field `h`, and
            whose output is that state: an `lstm` or `gru`, say, but not within
            `layer_norm`, which goes outside.
        h_rate: probability that a unit of h keeps its value, in [0, 1); may be traced.
        c_rate: the same for the field `c` of an LSTM; None leaves it alone.

    Returns:
        A cell with the params and carry of `cell`, which needs a key to step.

    Raises:
        ValueError: a rate is outside [0, 1), or no key is given.
        TypeError: the carry is of another form, or the output is not its h; a model of
            whole sequences.

    Example:
        >>> import jrnn
        >>> cell = zoneout(jrnn.gru(400), 0.25)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h = jnp.ones(400)
        >>> h, _ = cell.step(params, h, jnp.ones(3), key=jax.random.key(1))
        >>> bool(0.15 < (h == 1).mean() < 0.35)
        True

    References:
        Krueger et al. (2016), Zoneout: regularizing RNNs by randomly preserving hidden
        activations, arXiv:1606.01305, section 3.
    """
    name = "zoneout"
    _check_zones(name, cell, h_rate, c_rate)

    def keep(key, rate, old, new):
        wide = _check.at_least_float32(old.dtype)
        kept = jax.random.bernoulli(key, jnp.asarray(rate).astype(wide), old.shape)
        return jnp.where(kept, old, new)

    def step(params, carry, x, *, key=None):
        mean = "zoneout_mean(cell, h_rate, c_rate)"
        key = _check.key_given(name, key, "step", f"evaluate with {mean}")
        cell_key, h_key, c_key = jax.random.split(key, 3)
        new, y = cell.step(params, carry, x, key=cell_key)
        h = keep(h_key, h_rate, *_states(name, carry, new, y))
        c = None if c_rate is None else keep(c_key, c_rate, *_cells(name, carry, new))
        return _of_states(new, h, c), h

    return cell._replace(step=step)


@described
def zoneout_mean(
    cell: Cell, h_rate: ArrayLike, c_rate: ArrayLike | None = None
) -> Cell:
    """What to evaluate with after training with `zoneout`: its mean at every step.

        h_t = h_rate * h_{t-1} + (1 - h_rate) * h~_t
        c_t = c_rate * c_{t-1} + (1 - c_rate) * c~_t
        y_t = h_t,   where h~_t, c~_t are those of `cell`

    Args:
        cell: that in `zoneout`.
        h_rate: that of `zoneout`.
        c_rate: that of `zoneout`.

    Returns:
        A cell with the params and carry of `cell`.

    Raises:
        ValueError: a rate is outside [0, 1).
        TypeError: as for `zoneout`.

    Example:
        >>> import jrnn
        >>> cell = zoneout_mean(jrnn.elman(2), 0.25)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> params = jax.tree.map(jnp.zeros_like, params)  # h~ = tanh(0)
        >>> cell.step(params, jnp.array([4.0, 8.0]), jnp.ones(3))[1].tolist()
        [1.0, 2.0]

    References:
        Krueger et al. (2016), Zoneout: regularizing RNNs by randomly preserving hidden
        activations, arXiv:1606.01305, section 3.
    """
    name = "zoneout_mean"
    _check_zones(name, cell, h_rate, c_rate)

    def mean(rate, old, new):
        rate = jnp.asarray(rate).astype(old.dtype)
        return rate * old + (1 - rate) * new

    def step(params, carry, x, *, key=None):
        new, y = cell.step(params, carry, x, key=key)
        h = mean(h_rate, *_states(name, carry, new, y))
        c = None if c_rate is None else mean(c_rate, *_cells(name, carry, new))
        return _of_states(new, h, c), h

    return cell._replace(step=step)


def _check_zones(name: str, cell: Cell, h_rate: ArrayLike, c_rate) -> None:
    _check.cell(name, cell, wrap_inside(f"{name}(lstm(64), h_rate)"))
    _check.rate(name, h_rate, "h_rate")
    if c_rate is not None:
        _check.rate(name, c_rate, "c_rate")


def _states(name: str, carry: Carry, new: Carry, y: Output):
    """State before and after a step, whose output must be the latter."""
    old, h = hidden(name, carry), hidden(name, new)
    if y is not h:  # an equal array would not do: it may be equal by chance
        raise TypeError(
            f"{name}: the cell's output must be its new state h, the very same array. "
            f"Wrap the cell itself and put what changes outputs outside: "
            f"layer_norm({name}(lstm(64), h_rate))."
        )
    return old, h


def _cells(name: str, carry: Carry, new: Carry):
    """Cell state before and after a step."""
    if not hasattr(carry, "c"):
        raise TypeError(
            f"{name}: c_rate is for the cell state c, and the carry has none: "
            f"{_check.kind(carry)}. Leave c_rate out."
        )
    return carry.c, new.c


def _of_states(carry: Carry, h: jax.Array, c: jax.Array | None) -> Carry:
    """The carry with other states."""
    if not hasattr(carry, "h"):
        return h
    return carry._replace(h=h) if c is None else carry._replace(h=h, c=c)
