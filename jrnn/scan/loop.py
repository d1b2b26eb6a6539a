"""`scan`: one loop with the meaning of `jax.lax.scan`, faster to differentiate."""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from jrnn._programs.program import (
    Equation,
    Program,
    constants,
    evaluate,
    is_sharded,
    jaxpr_of,
    lax_scan,
    nested_equations,
    read,
    type_of,
)
from jrnn._setting import setting
from jrnn.scan.emit import in_chunks
from jrnn.scan.normalise import normalise, wrap_keys
from jrnn.scan.primitives import recurrence

PyTree = Any
Step = Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]


def scan(
    f: Step,
    init: PyTree,
    xs: PyTree = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
    *,
    remat: Literal["step", "chunk"] | int | None = None,
    budget: int | None = None,
) -> tuple[PyTree, PyTree]:
    """Run `f` along the leading axis of `xs`, carrying state from step to step.

        carry, y_0 = f(init, x_0);  carry, y_1 = f(carry, x_1);  ...

    The meaning is that of `jax.lax.scan`, for values and for derivatives of any order;
    `remat` and `budget` are additions. What differs is when things are computed. Work
    that does not wait for the previous step, such as `x_t @ w_x`, is done for all steps
    at once before the loop; work that no later step waits for, such as `h_t @ w_out`,
    for all steps at once behind it. The derivative is split in the same way, so that
    the gradient of every weight is one product over all steps instead of one per step.
    A step with side effects, or with a `jax.ad_checkpoint.checkpoint_name` for a policy
    to see, runs in `jax.lax.scan` as it is; and so does any that is called outside of
    all transformations (`jit`, `grad`, `vmap`), where nothing could be gained.

    Three differences can be seen. Products of all steps at once, and gradients, round
    in another order. A sum of floats that has a product of matrices among its n terms
    is added up in the order in which its terms become known: as the order written, it
    is off by at most (n - 1) eps times the sum of their magnitudes, but for overflow.
    On CPUs, a one-hot vector times a matrix is a lookup: NaN and infinity in the rows
    that it does not choose are not seen. `budget=0` ends the first two; all other sums,
    and all integers, are computed as written.

    Args:
        f: one step, `(carry, x) -> (carry, y)`; pytrees all.
        init: the carry before the first step.
        xs: inputs, time on the leading axis `(T, ...)` of every leaf; `None` runs
            `length` steps without input.
        length: number of steps; needed only where `xs` is `None`.
        reverse: run from the last step to the first; `ys` keep their places.
        unroll: steps per iteration of the compiled loop; True or 0 for all of them. 1
            is fastest on CPU.
        _split_transpose: ignored; `jax.lax.scan` has it.
        remat: what the backward pass keeps. `None`: all it needs, for every step.
            `"step"`: the carries, recomputing inside each step. `"chunk"`: the carry
            once every about sqrt(T) steps. An int: once every so many steps.
        budget: bytes of memory that work moved out of the loop may take. None: twice
            what xs and the outputs of all steps take, saved values included (once with
            `remat="step"`); where that of one step is 1 MiB or more, 16 MiB, or nothing
            if its products are large in every direction; in any case 4 MiB. What does
            not fit is moved for fewer steps at a time, or stays in the loop. 0 moves
            nothing.

    Returns:
        `(carry, ys)`: the carry after the last step and the outputs, `(T, ...)`.

    Raises:
        ValueError: `remat` or `unroll` is of another form than above; `xs` holds a
            scalar; time axes differ in length; neither `xs` nor `length` says how many
            steps to run.
        TypeError: `unroll` is not an integer; what `jax.lax.scan` says of a step that
            does not fit.

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
    del _split_transpose
    length = _length(xs, length)
    options = {"reverse": reverse, "unroll": _unroll(unroll)}
    if _nothing_is_traced():
        _check_remat(remat, length)
        if not setting("jax_disable_jit"):
            init, xs = jax.tree.map(_as_array, (init, xs))
        return lax.scan(f, init, xs, length, **options)
    if remat in (None, "step"):
        recompute = remat == "step"
        return _split_scan(f, init, xs, length, recompute, budget, **options)
    size = _chunk_size(remat, length)
    some_steps = lambda c, x, n: _split_scan(f, c, x, n, False, budget, **options)
    return in_chunks(some_steps, init, xs, length, size, reverse, _checkpoint)


def _nothing_is_traced() -> bool:
    """Whether there is nothing to derive or compile but this loop alone.

    To take the step apart costs more than it saves then: `jax.lax.scan` runs it.
    """
    return type(core.find_top_trace(())).__name__ == "EvalTrace"


def _split_scan(
    f: Step,
    init: PyTree,
    xs: PyTree,
    length: int,
    recompute: bool,
    budget: int | None,
    **options: Any,
) -> PyTree:
    if setting("jax_disable_jit"):
        return lax_scan(f, init, xs, length, **options)
    call = trace_call(f, init, xs, length, **options)
    if not is_supported(call.loop):
        g = _checkpoint(f) if recompute else f
        return lax_scan(g, init, xs, length, **options)

    def run_loop(values: Sequence[Any]) -> list[Any]:
        form, start = normalise(call.loop, values, recompute=recompute, budget=budget)
        return wrap_keys(recurrence(form.step, start), form.impls)

    return _evaluate_call(call, run_loop)


class Call(NamedTuple):
    """A call of `jax.lax.scan`, traced: equations, the last of which is the loop."""

    program: Program
    loop: Equation
    leaves: list[Any]  # of init, then of xs
    out_tree: Any


def trace_call(
    f: Callable, init: Any, xs: Any, length: int | None, **options: Any
) -> Call:
    """Trace `jax.lax.scan(f, init, xs, length, **options)` without running it.

    So errors, the promotion of weak types and what is captured are as in JAX.
    """
    program, shapes = jax.make_jaxpr(
        lambda init, xs: lax_scan(f, init, xs, length, **options), return_shape=True
    )(init, xs)
    loops = [e for e in jaxpr_of(program).eqns if e.primitive.name == "scan"]
    leaves = [_as_array(leaf) for leaf in jax.tree.leaves((init, xs))]
    return Call(program, loops[-1], leaves, jax.tree.structure(shapes))


def _as_array(value: Any) -> jax.Array:
    """An array of JAX: what is passed through must not be the caller's own array."""
    return value if isinstance(value, jax.Array) else jnp.asarray(value)


def is_supported(loop: Equation) -> bool:
    """Whether the engine may run this loop.

    It must have steps and no side effects. Where types say how arrays are divided among
    devices, JAX's own loop keeps the account; a policy of `jax.checkpoint` sees the
    names of values in that loop only; and where JAX has 32 bits, what was made with 64
    cannot be traced anew.
    """
    named = any(e.primitive.name == "name" for e in nested_equations(loop))
    typed = any(is_sharded(a.aval) for a in [*loop.invars, *loop.outvars])
    none = isinstance(length := loop.params["length"], int) and length == 0
    wide = not setting("jax_enable_x64") and any(
        str(type_of(a).dtype) in _WIDE for a in [*loop.invars, *loop.outvars]
    )
    return not (none or loop.effects or typed or named or wide)


_WIDE = {"float64", "int64", "uint64", "complex128"}


def _evaluate_call(
    call: Call, run_loop: Callable[[Sequence[Any]], list[Any]]
) -> PyTree:
    """The results of a traced call, by `run_loop` in the place of its loop."""
    jaxpr, env = jaxpr_of(call.program), constants(call.program)
    env |= dict(zip(jaxpr.invars, call.leaves, strict=True))
    for eqn in jaxpr.eqns:
        if eqn is call.loop:
            values = [read(env, a) for a in eqn.invars]
            env.update(zip(eqn.outvars, run_loop(values), strict=True))
        else:
            evaluate([eqn], env)
    return jax.tree.unflatten(call.out_tree, [read(env, a) for a in jaxpr.outvars])


def _checkpoint(g: Callable) -> Callable:
    # prevent_cse is for code outside loops; inside it only hinders the compiler
    return jax.checkpoint(g, prevent_cse=False)


def _length(xs: PyTree, length: int | None) -> int:
    leaves = jax.tree.leaves(xs)
    if any(jnp.ndim(x) == 0 for x in leaves):
        raise ValueError("scan: xs must have a leading time axis, got a scalar in xs.")
    lengths = list(dict.fromkeys(jnp.shape(x)[0] for x in leaves))
    if len(lengths) > 1:
        raise ValueError(
            f"scan: xs must share one leading time axis, got lengths {sorted(lengths)}."
        )
    if not lengths:
        if length is None:
            raise ValueError("scan: without xs, pass length=, the number of steps.")
        return length
    if length is not None and length != lengths[0]:
        raise ValueError(f"scan: length is {length}, but xs has {lengths[0]} steps.")
    return lengths[0]


def _unroll(unroll: Any) -> int | bool:
    if isinstance(unroll, bool):
        return unroll
    integer = isinstance(unroll, numbers.Integral)
    if not integer or unroll < 0:
        raise (ValueError if integer else TypeError)(
            f"scan: unroll must be a bool or an int >= 0, got {unroll!r}."
        )
    return int(unroll)


def _check_remat(remat: Any, length: int) -> None:
    if remat not in (None, "step"):
        _chunk_size(remat, length)


def _chunk_size(remat: str | int, length: int) -> int:
    if remat == "chunk":
        return max(1, math.isqrt(length))
    if isinstance(remat, int) and not isinstance(remat, bool) and remat > 0:
        return min(remat, max(1, length))
    raise ValueError(
        f"scan: remat must be None, 'step', 'chunk' or a positive int, got {remat!r}."
    )
