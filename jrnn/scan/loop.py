"""`scan`: one loop with the meaning of `jax.lax.scan`, faster to differentiate."""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from jrnn.scan.recurrence import recurrence
from jrnn.scan.steps import evaluate_around, prepare, traced, understood, with_keys

PyTree = Any
Step = Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]


def scan(
    f: Step,
    init: PyTree,
    xs: PyTree = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    unroll: int = 1,
    remat: Literal["step", "chunk"] | int | None = None,
) -> tuple[PyTree, PyTree]:
    """Run `f` along the leading axis of `xs`, carrying state from step to step.

        carry, y_0 = f(init, x_0);  carry, y_1 = f(carry, x_1);  ...

    The meaning is that of `jax.lax.scan`, for values and for derivatives of any order;
    `remat` is the only addition. What differs is when things are computed. Work that
    does not wait for the previous step, such as `x_t @ w_x`, is done for all steps at
    once before the loop; work that no later step waits for, such as `h_t @ w_out`, for
    all steps at once behind it. The derivative is split in the same way, so that the
    gradient of every weight is one product over all steps instead of one per step.
    A step with side effects runs in `jax.lax.scan` as it is.

    Args:
        f: one step, `(carry, x) -> (carry, y)`; pytrees all.
        init: the carry before the first step.
        xs: inputs, time on the leading axis `(T, ...)` of every leaf; `None` runs
            `length` steps without input.
        length: number of steps; needed only where `xs` is `None`.
        reverse: run from the last step to the first; `ys` keep their places.
        unroll: steps per iteration of the compiled loop. 1 is fastest on CPU.
        remat: what the backward pass keeps. `None`: all it needs, for every step.
            `"step"`: the carries, recomputing inside each step. `"chunk"`: the carry
            once every about sqrt(T) steps. An int: once every so many steps.

    Returns:
        `(carry, ys)`: the carry after the last step and the outputs, `(T, ...)`.

    Raises:
        ValueError: `remat` is neither of the forms above; `xs` holds a scalar; time
            axes differ in length; neither `xs` nor `length` says how many steps to run.

    Example:
        >>> import jax.numpy as jnp
        >>> carry, ys = scan(lambda c, x: (c + x, c), 0.0, jnp.arange(4.0))
        >>> float(carry), ys.tolist()
        (6.0, [0.0, 0.0, 1.0, 3.0])

    References:
        Chen, Xu, Zhang, Guestrin (2016), Training Deep Nets with Sublinear Memory Cost,
        arXiv:1604.06174, section 4 (`remat="chunk"`).
        Appleyard, Kocisky, Blunsom (2016), Optimizing Performance of Recurrent Neural
        Networks on GPUs, arXiv:1604.01946, section 3 (products outside the loop).
    """
    length = _length(xs, length)
    options = {"reverse": reverse, "unroll": unroll}
    if remat is None:
        return _split_scan(f, init, xs, length, **options)
    if remat == "step":
        return lax.scan(_checkpoint(f), init, xs, length, **options)
    return _chunked_scan(f, init, xs, length, _chunk_size(remat, length), **options)


def _split_scan(
    f: Step, init: PyTree, xs: PyTree, length: int, **options: Any
) -> PyTree:
    if jax.config.jax_disable_jit:
        return lax.scan(f, init, xs, length, **options)
    call = traced(f, init, xs, length, **options)

    def run_loop(values: list[Any]) -> list[Any]:
        if not understood(call.loop):
            return call.loop.primitive.bind(*values, **call.loop.params)
        ready, values = prepare(call, values)
        return with_keys(recurrence(ready.step, values), ready.kinds)

    return evaluate_around(call, run_loop)


def _chunked_scan(
    f: Step, init: PyTree, xs: PyTree, length: int, size: int, **options: Any
) -> PyTree:
    """Two loops, one in the other; only the carry between chunks is kept."""
    whole = length - length % size
    # In reverse the incomplete chunk runs first, so that it is last in time either way.
    parts = [(0, whole), (whole, length)]
    if options["reverse"]:
        parts = parts[::-1]
    outs = []
    carry = init
    for start, stop in parts:
        n, chunk = ((stop - start) // size, size) if start == 0 else (1, stop - start)
        if start == stop and (outs or stop < length):
            continue
        split = lambda x: x[start:stop].reshape(n, chunk, *x.shape[1:])  # noqa: B023
        inner = lambda c, x: _split_scan(f, c, x, chunk, **options)  # noqa: B023
        xs_part = jax.tree.map(split, xs)
        carry, ys = lax.scan(
            _checkpoint(inner), carry, xs_part, n, reverse=options["reverse"]
        )
        outs.append(jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), ys))
    outs = outs[::-1] if options["reverse"] else outs
    return carry, jax.tree.map(lambda *y: jnp.concatenate(y), *outs)


def _checkpoint(g: Callable) -> Callable:
    # prevent_cse is for code outside loops; inside it only hinders the compiler
    return jax.checkpoint(g, prevent_cse=False)


def _length(xs: PyTree, length: int | None) -> int:
    leaves = jax.tree.leaves(xs)
    if any(jnp.ndim(x) == 0 for x in leaves):
        raise ValueError("scan: xs must have a leading time axis, got a scalar in xs.")
    lengths = sorted({jnp.shape(x)[0] for x in leaves})
    if len(lengths) > 1:
        raise ValueError(
            f"scan: xs must share one leading time axis, got lengths {lengths}."
        )
    if not lengths:
        if length is None:
            raise ValueError("scan: without xs, pass length=, the number of steps.")
        return length
    if length is not None and length != lengths[0]:
        raise ValueError(f"scan: length is {length}, but xs has {lengths[0]} steps.")
    return lengths[0]


def _chunk_size(remat: str | int, length: int) -> int:
    if remat == "chunk":
        return max(1, math.isqrt(length))
    if isinstance(remat, int) and not isinstance(remat, bool) and remat > 0:
        return min(remat, max(1, length))
    raise ValueError(
        f"scan: remat must be None, 'step', 'chunk' or a positive int, got {remat!r}."
    )
