"""Units set to zero: a cell whose state is multiplied by a factor at every step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jrnn.cell import Carry, Cell, Input, Output, Params


class Silenced(NamedTuple):
    """Parameters of a cell, and what its units are multiplied by."""

    cell: Params
    factors: jax.Array  # (H,): 0 for a unit that is silent, 1 for one that is not


def multiplied(carry: Carry, y: Output, factors: jax.Array) -> tuple[Carry, Output]:
    """The state h of a step times factors, for the layer itself and for those above.

    Args:
        carry: after the step: h, or a NamedTuple with it.
        y: what the layer gives, which is h.
        factors: (H,).

    Returns:
        Carry and output.

    Example:
        >>> import jrnn
        >>> carry = jrnn.LSTMCarry(h=jnp.ones(2), c=jnp.ones(2))
        >>> carry, y = multiplied(carry, carry.h, jnp.array([0.0, 1.0]))
        >>> carry.h.tolist(), carry.c.tolist(), y.tolist()
        ([0.0, 1.0], [1.0, 1.0], [0.0, 1.0])
    """
    h = y * factors.astype(y.dtype)
    return (carry._replace(h=h) if hasattr(carry, "h") else h), h


def gives_its_state(cell: Cell, params: Params, x: Input) -> bool:
    """Whether the output of a step is the state h that the next step reads.

    Of others, in `layer_norm` for instance, a unit of the state is not the number that
    the next layer reads.

    Args:
        cell: of a layer.
        params: its parameters.
        x: something that it reads.

    Returns:
        True if so.

    Example:
        >>> import jrnn
        >>> cell, x = jrnn.layer_norm(jrnn.gru(4)), jnp.ones(3)
        >>> gives_its_state(cell, cell.init(jax.random.key(0), x), x)
        False
    """
    carry, y = cell.step(params, cell.initial_carry(params), x)
    h = carry if isinstance(carry, jax.Array) else getattr(carry, "h", None)
    if not isinstance(h, jax.Array) or jnp.shape(y) != h.shape:
        return False
    return bool((y == h).all())


def silenced(cell: Cell) -> Cell:
    """The same cell, with a factor for each unit of its state among the parameters.

    Args:
        cell: one whose output is its state h, see `gives_its_state`.

    Returns:
        A cell with `Silenced` parameters; `init` makes factors of 1.

    Example:
        >>> import jrnn
        >>> cell = silenced(jrnn.gru(2))
        >>> params = cell.init(jax.random.key(0), jnp.ones(3))
        >>> params = params._replace(factors=jnp.array([1.0, 0.0]))
        >>> h, _ = cell.step(params, cell.initial_carry(params), jnp.ones(3))
        >>> float(h[1])
        0.0
    """

    def init(key, x):
        own = cell.init(key, x)
        _, y = jax.eval_shape(cell.step, own, cell.initial_carry(own), x)
        return Silenced(own, jnp.ones(y.shape, y.dtype))

    def initial_carry(params, *, key=None):
        return cell.initial_carry(params.cell, key=key)

    def step(params, carry, x, *, key=None):
        new, y = cell.step(params.cell, carry, x, key=key)
        return multiplied(new, y, params.factors)

    return Cell(init, initial_carry, step)


def with_factors(like: Params, params: Params, factors: list[jax.Array]) -> Params:
    """Parameters of a model without factors as those of the same with silenced cells.

    Args:
        like: parameters of the model with silenced cells, or their shapes.
        params: of the model without.
        factors: for each silenced cell, in the order of the tree.

    Returns:
        A tree like `like`.

    Example:
        >>> import jrnn
        >>> make = lambda cell: jrnn.stack(cell, jrnn.linear(1))
        >>> init = lambda m: m.init(jax.random.key(0), jnp.ones(3))
        >>> params, like = init(make(jrnn.gru(2))), init(make(silenced(jrnn.gru(2))))
        >>> with_factors(like, params, [jnp.zeros(2)])[0].factors.tolist()
        [0.0, 0.0]
    """
    leaves, each = iter(jax.tree.leaves(params)), iter(factors)

    def filled(node: Any) -> Any:
        if isinstance(node, Silenced):
            return Silenced(jax.tree.map(lambda _: next(leaves), node.cell), next(each))
        return next(leaves)

    return jax.tree.map(filled, like, is_leaf=is_silenced)


is_silenced: Callable[[Any], bool] = lambda node: isinstance(node, Silenced)
