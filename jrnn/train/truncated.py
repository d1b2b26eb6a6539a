"""Truncated backpropagation through time: the loss of one window of a stream."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jrnn import _check
from jrnn.cell import Carry, Cell, Key, Params
from jrnn.losses import cross_entropy
from jrnn.unroll import unroll
from jrnn.wrappers import resample

# loss(params, carry, batch, *, key=None) -> (scalar, carry)
WindowLoss = Callable[..., tuple[jax.Array, Carry]]


def truncated_loss(
    cell: Cell,
    k1: int | None = None,
    *,
    loss: Callable[[Any, Any], jax.Array] = cross_entropy,
) -> WindowLoss:
    """Loss of one window of a stream, for truncated backpropagation through time.

        carry_s is a constant                       s = t - k2, start of the window
        L = mean of loss(y_u, target_u)             u = t - k1 + 1 .. t
        returned carry: carry_{s + k1}, a constant

    Every k1 steps the loss of the newest k1 steps is backpropagated through the last k2
    steps; k2 is the length of the window given, and the next window starts k1 later.
    With k1 = k2, the usual case, windows lie end to end. Masks of `variational_dropout`
    are drawn anew for each window.

    Args:
        cell: any cell; its outputs go to `loss`.
        k1: steps from one update to the next, 1 to k2; k2 if None.
        loss: `loss(outputs, targets)`, both with time first, to a scalar mean.

    Returns:
        `window_loss(params, carry, (xs, targets), *, key=None) -> (L, carry)` for one
        sequence; see `batched` for many.

    Raises:
        ValueError: k1 is larger than the window: the steps between would never be
            trained on.
        TypeError: a model that reads the whole sequence, which no window is.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> tokens = jnp.array([0, 3, 1, 4, 1, 0, 2])
        >>> params = model.init(jax.random.key(0), tokens[0])
        >>> window_loss = truncated_loss(model)
        >>> value, carry = window_loss(
        ...     params, model.initial_carry(params), (tokens[:-1], tokens[1:]))
        >>> value.shape
        ()

    References:
        Williams, Peng (1990), An efficient gradient-based algorithm for on-line
        training of recurrent network trajectories, doi:10.1162/neco.1990.2.4.490
        (their BPTT(h; h') with h = k2, h' = k1).
        Sutskever (2013), Training recurrent neural networks, PhD thesis, University of
        Toronto, section 2.8.6.
    """
    _check.cell(
        "truncated_loss",
        cell,
        "Train it on whole sequences, with a loss of your own in make_step: "
        "unroll(model, params, xs) inside jax.vmap.",
    )

    def window_loss(params: Params, carry: Carry, batch, *, key: Key | None = None):
        xs, targets = batch
        k2 = jax.tree.leaves(xs)[0].shape[0]
        step = k2 if k1 is None else k1
        if not 0 < step <= k2:
            raise ValueError(
                f"truncated_loss: k1 must be 1 to the window's k2 = {k2}, got {step}."
            )
        first_key = second_key = None
        if key is not None:
            mask_key, first_key, second_key = jax.random.split(key, 3)
            carry = resample(cell, params, carry, mask_key)
        carry = jax.lax.stop_gradient(carry)
        cut = lambda tree, start, stop: jax.tree.map(lambda a: a[start:stop], tree)
        carry, ys = unroll(cell, params, cut(xs, 0, step), carry, key=first_key)
        if step < k2:
            rest = cut(xs, step, k2)
            _, more = unroll(cell, params, rest, carry, key=second_key)
            ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, more)
        newest = lambda tree: cut(tree, k2 - step, k2)
        return loss(newest(ys), newest(targets)), jax.lax.stop_gradient(carry)

    return window_loss


def batched(
    window_loss: WindowLoss, mesh: jax.sharding.Mesh | None = None
) -> WindowLoss:
    """Mean of a window loss over a batch: `vmap` over carries, windows and keys.

        L = mean of L_b over the rows b = 1 .. B

    With a mesh the rows are divided among its devices, the cores of a CPU or several
    accelerators. Each runs its own rows; the loss and its gradient are the means over
    all. Equal to one device up to the rounding of that mean, noise included.

    Args:
        window_loss: for one sequence, as from `truncated_loss`.
        mesh: devices with one axis, whose length divides B, explicit (as
            `jax.make_mesh` makes it) or not; None for no division.

    Returns:
        The same with a leading batch axis on every leaf of carry and batch; the loss is
        the mean over it.

    Raises:
        ValueError: a mesh of several axes; B is not a multiple of the devices.

    Example:
        >>> import jrnn
        >>> model = jrnn.stack(jrnn.one_hot(5), jrnn.gru(4), jrnn.linear(5))
        >>> tokens = jnp.array([[0, 3, 1, 4], [1, 0, 2, 2]])
        >>> params = model.init(jax.random.key(0), tokens[0, 0])
        >>> carry = initial_carries(model, params, 2)
        >>> loss = batched(truncated_loss(model))
        >>> value, carry = loss(params, carry, (tokens[:, :-1], tokens[:, 1:]))
        >>> carry[1].shape
        (2, 4)
    """
    if mesh is not None and len(mesh.axis_names) != 1:
        raise ValueError(
            f"batched: mesh must have one axis, got {len(mesh.axis_names)}: "
            f"{mesh.axis_names}."
        )

    def mean(params: Params, carry: Carry, batch, keys):
        run = lambda carry, batch, key: window_loss(params, carry, batch, key=key)
        values, carry = jax.vmap(run)(carry, batch, keys)
        return values.mean(), carry

    run = mean if mesh is None else _divided(mean, mesh)

    def loss(params: Params, carry: Carry, batch, *, key: Key | None = None):
        size = jax.tree.leaves(batch)[0].shape[0]
        if mesh is not None and size % mesh.size:
            raise ValueError(
                f"batched: {size} rows cannot be divided among {mesh.size} devices."
            )
        keys = None if key is None else jax.random.split(key, size)
        return run(params, carry, batch, keys)

    return loss


def _divided(mean: Callable[..., Any], mesh: jax.sharding.Mesh) -> Callable[..., Any]:
    (axis,) = mesh.axis_names
    rows, everywhere = jax.P(axis), jax.P()
    specs = (everywhere, rows, rows, rows)

    def own_rows(params, carry, batch, keys):
        value, carry = mean(params, carry, batch, keys)
        return value[None], carry

    # unchecked, since the engine leaves a loop whose types say how it is divided alone
    of_each = jax.shard_map(
        own_rows,
        mesh=mesh,
        in_specs=specs,
        out_specs=(rows, rows),
        check_vma=False,
    )

    def of_all(params, carry, batch, keys):
        # The mean in here would have a mean for its derivative: devices would wait for
        # each other before they go back in time, only to learn that it is 1.
        arguments = _placed(mesh, (params, carry, batch, keys), specs)
        values, carry = of_each(*arguments)
        return values.mean(), carry

    return of_all


def _placed(mesh: jax.sharding.Mesh, trees: Any, specs: Any) -> Any:
    """Put arrays on a mesh with explicit axes, where their types say where they are."""
    if jax.sharding.AxisType.Explicit not in mesh.axis_types:
        return trees
    move = lambda spec: jax.NamedSharding(mesh, spec)
    place = lambda tree, spec: jax.tree.map(lambda x: jax.reshard(x, move(spec)), tree)
    return tuple(map(place, trees, specs))


def initial_carries(
    cell: Cell, params: Params, batch_size: int, *, key: Key | None = None
) -> Carry:
    """Initial carries of a batch, one for each row.

    Args:
        cell: any cell.
        params: its parameters.
        batch_size: number of rows B.
        key: for cells that draw masks for a sequence.

    Returns:
        A carry with a leading axis (B, ...) on every leaf.

    Example:
        >>> import jrnn
        >>> cell = jrnn.lstm(4)
        >>> params = cell.init(jax.random.key(0), jnp.zeros(3))
        >>> initial_carries(cell, params, 2).c.shape
        (2, 4)
    """
    keys = None if key is None else jax.random.split(key, batch_size)
    return jax.vmap(
        lambda key: cell.initial_carry(params, key=key), axis_size=batch_size
    )(keys)
