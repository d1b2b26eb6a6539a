"""Wrappers of the carry: to return, to train and to limit it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn._description import described
from jrnn.cell import Carry, Cell, Output, Params
from jrnn.sequence import run_of
from jrnn.wrappers.form import Model, acting, is_mask, wrap_inside


class LearnedCarryParams(NamedTuple):
    """Parameters of a cell whose initial carry is trained."""

    cell: Params
    carry: Carry


class Recorded(NamedTuple):
    """Output of `record`."""

    y: Output
    carry: Carry  # after the step


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
def clip_carry(
    cell: Cell, limit: ArrayLike, *, fields: tuple[str, ...] | None = None
) -> Cell:
    """Keep the numbers of the carry within a range.

        carry_t = min(max(carry~_t, -limit), limit),   carry~_t, y_t = cell(x_t)

    The derivative is 1 within the range, and 0 on its ends and outside: what was
    clipped passes no gradient. The output is that of the cell, and shows at the next
    step only. TensorFlow's `cell_clip` and cuDNN clip c of an LSTM before h is
    computed from it, here that is `fields=("c",)`, and h of the same step is not
    touched, which differs by o * (tanh(c) - tanh(limit)); Keras, Flax and PyTorch have
    no clip. Masks in a carry are left alone.

    Args:
        cell: any cell.
        limit: the largest modulus, above 0; may be traced.
        fields: names of the fields to clip, of the carry as a NamedTuple; all of them,
            and a carry of any form, if None. Integers are left alone.

    Returns:
        A cell with the params and carry of `cell`.

    Raises:
        ValueError: `limit` is not above 0.
        TypeError: the carry has no such field; a model of whole sequences.

    Example:
        >>> import jrnn
        >>> cell = clip_carry(jrnn.irnn(2), 3.0)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> h, y = cell.step(params, jnp.array([2.5, 9.0]), jnp.zeros(3))
        >>> h.tolist(), y.tolist()
        ([2.5, 3.0], [2.5, 9.0])

    References:
        Sak, Senior, Beaufays (2014), Long short-term memory based recurrent neural
        network architectures for large vocabulary speech recognition, arXiv:1402.1128.
    """
    name = "clip_carry"
    _check.cell(name, cell, wrap_inside("clip_carry(lstm(64), limit)"))
    _check.above_zero(name, "limit", limit)

    def clipped(path, leaf):
        if is_mask(path) or not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            return leaf
        most = jnp.asarray(limit).astype(jnp.result_type(leaf))
        inside = (-most < leaf) & (leaf < most)
        return jnp.where(
            inside, leaf, jnp.clip(jax.lax.stop_gradient(leaf), -most, most)
        )

    def step(params, carry, x, *, key=None):
        new, y = cell.step(params, carry, x, key=key)
        if fields is None:
            return jax.tree_util.tree_map_with_path(clipped, new), y
        chosen = {field: clipped((), _field(new, field)) for field in fields}
        return new._replace(**chosen), y

    return cell._replace(step=step)


def _field(carry: Carry, field: str) -> jax.Array:
    if field not in (own := getattr(carry, "_fields", ())):
        has = f"It has {', '.join(own)}." if own else "Leave fields out."
        raise TypeError(
            f"clip_carry: the carry, {_check.kind(carry)}, has no field {field!r}. "
            f"{has}"
        )
    return getattr(carry, field)


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

    return acting(cell, step, run, init=init, initial_carry=initial_carry)
