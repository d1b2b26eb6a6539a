"""Checks that run while tracing and name the function, the argument and the fix."""

import inspect
import numbers
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

if TYPE_CHECKING:  # type checkers have TypeIs on every Python, `typing` from 3.13 on
    from typing_extensions import TypeIs

    from jrnn.sequence import SequenceModel


def kind(x) -> str:
    """What a wrong argument is, in words; a tracer is an array."""
    if isinstance(x, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
        return f"an array of shape {x.shape}"
    return type(x).__name__


def is_sequence(x) -> "TypeIs[SequenceModel]":
    """Whether this is a model that reads the whole sequence, a `SequenceModel`."""
    return all(hasattr(x, field) for field in ("init", "initial_carry", "run"))


def cell(name: str, x, instead: str = "") -> None:
    """Raise unless `x` is a cell; `instead` is what to do with a whole sequence."""
    if is_sequence(x):
        raise no_step(name, x, instead)
    model(name, x)


def no_step(name: str, x, instead: str = "") -> TypeError:
    """The error where a model that reads the whole sequence would be stepped."""
    fix = instead or (
        "Run it by unroll(model, params, xs); where steps are needed, use cells alone."
    )
    return TypeError(
        f"{name}: {_maker(x)} reads the whole sequence and cannot be stepped. {fix}"
    )


def model(name: str, x) -> None:
    """Raise unless `x` is a cell or a model of whole sequences, with the fix."""
    if all(hasattr(x, field) for field in ("init", "initial_carry", "step")):
        return
    fix = "Cells are made by functions such as lstm(64)."
    if isinstance(x, list | tuple):
        fix = f"Pass cells one by one: {name}(*cells)."
    elif callable(x):
        fix = f"Call it: {getattr(x, '__name__', 'lstm')}(size)."
    raise TypeError(f"{name}: expected a cell, got {kind(x)}. {fix}")


def _maker(x) -> str:
    """What the innermost factory is called that makes a model read whole sequences."""
    description = getattr(x, "description", None)
    if description is None:
        return "the model"
    values = description.arguments.values()
    parts = [p for v in values for p in (v if type(v) is tuple else (v,))]
    inner = [p for p in (x, *parts) if is_sequence(p)]
    return (
        _maker(inner[1])
        if len(inner) > 1
        else f"the model, by its {description.factory},"
    )


def params_type(name: str, params, expected: type) -> None:
    """Raise where the parameters are those of another cell."""
    if not isinstance(params, expected):
        raise TypeError(
            f"{name}: expected {expected.__name__}, got {kind(params)}. It comes from "
            "init(key, x)."
        )


def carry_type(name: str, carry, expected: type) -> None:
    """Raise where the carry is that of another cell."""
    if not isinstance(carry, expected):
        form = f"{expected.__name__}({', '.join(expected._fields)})"
        raise TypeError(
            f"{name}: the carry must be {form}, got {kind(carry)}. It comes from "
            "initial_carry(params) or an earlier step."
        )


def step_input(name: str, x, size: int) -> None:
    """Raise unless `x` is one step's input of shape (size,)."""
    shape = jnp.shape(x)
    if len(shape) > 1:
        raise ValueError(
            f"{name}: x must have shape ({size},), got {shape}. "
            "Cells step one example; use jax.vmap for a batch."
        )
    if len(shape) == 0:
        raise ValueError(
            f"{name}: x must have shape ({size},), got a scalar. "
            "Put one_hot(V) or embed(V, D) in front of a cell that reads tokens."
        )
    if shape[0] != size:
        raise ValueError(
            f"{name}: x has {shape[0]} features, "
            f"but params were initialised for {size}."
        )


def carry_shape(name: str, carry, shape: tuple[int, ...]) -> None:
    """Raise unless a carry field has its shape."""
    got = jnp.shape(carry)
    if got != shape:
        raise ValueError(f"{name}: carry has shape {got}, expected {shape}.")


def step_dtype(name: str, x, weight, carry) -> None:
    """Raise where the step would return a carry of another dtype than it got."""
    dtypes = [jnp.result_type(a) for a in (x, weight, carry)]
    if len(set(dtypes)) == 1:
        return
    with jax.numpy_dtype_promotion("standard"):
        widened = jnp.result_type(x, weight, carry)
    if widened != dtypes[2]:
        raise TypeError(
            f"{name}: x is {dtypes[0]}, the parameters are {dtypes[1]} and the carry "
            f"{dtypes[2]}, which the step would turn into {widened}. Cast the input, "
            f"x.astype(jnp.{dtypes[2]}), or the parameters, "
            f"jax.tree.map(lambda p: p.astype(jnp.{widened}), params)."
        )


def diagonal_carry(name: str, a, u, carry) -> None:
    """Raise unless a * carry + u has the form of the carry."""
    if jax.tree.structure(carry) != jax.tree.structure(u):
        return  # JAX names the difference
    for factor, add, h in zip(*map(jax.tree.leaves, (a, u, carry)), strict=True):
        carry_shape(name, h, jnp.shape(add))
        with jax.numpy_dtype_promotion("standard"):
            widened = jnp.result_type(factor, add, h)
        if widened != jnp.result_type(h):
            raise TypeError(
                f"{name}: the carry is {jnp.result_type(h)}, which the step would turn "
                f"into {widened}. Cast it, carry.astype(jnp.{widened}), or the inputs "
                "and the parameters."
            )


def random_key(name: str, key) -> None:
    """Raise where `init` gets something else for its key."""
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not (typed or dtype == jnp.uint32):  # as jax.random.PRNGKey makes them
        raise TypeError(
            f"{name}: init(key, x) needs a random key first, got {kind(key)}. Make one "
            "with jax.random.key(0)."
        )
    if typed and key.shape != ():
        raise ValueError(
            f"{name}: init(key, x) needs one random key, got {key.size}. Use jax.vmap "
            "for more."
        )


def example_vector(name: str, key, x) -> tuple[int, jnp.dtype]:
    """Size and dtype of the example of `init(key, x)`, which must be a float vector."""
    random_key(name, key)
    if not hasattr(x, "dtype"):
        raise TypeError(
            f"{name}: init needs an array for its example, got {kind(x)}. Pass "
            "jnp.zeros(features), or one step of the data."
        )
    shape = jnp.shape(x)
    if len(shape) != 1:
        raise ValueError(
            f"{name}: init needs an example of one step's input, of shape (features,), "
            f"got {shape}. Pass one step of one sequence, xs[0] or batch[0, 0]: "
            "unroll runs along time, jax.vmap over a batch."
        )
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(
            f"{name}: init needs a floating-point example, got {x.dtype}. "
            "Put one_hot(V) or embed(V, D) in front of a cell that reads tokens."
        )
    return shape[0], x.dtype


def pair(name: str, x, flag: str) -> None:
    """Raise unless the input of a wrapped cell is `(x, flag)`."""
    if not isinstance(x, tuple) or len(x) != 2:
        got = f"{len(x)} entries" if isinstance(x, tuple) else kind(x)
        raise TypeError(f"{name}: the input must be a pair (x, {flag}), got {got}.")


def flags(name: str, argument: str, value) -> None:
    """Raise unless flags are booleans."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.bool_):
        raise TypeError(
            f"{name}: {argument} must be boolean, got {jnp.result_type(value)}. Pass "
            f"{argument} != 0, or a comparison."
        )


def flag(name: str, argument: str, value) -> None:
    """Raise unless a flag is one boolean."""
    flags(name, argument, value)
    if jnp.shape(value) != ():
        raise ValueError(
            f"{name}: {argument} must be one flag, a scalar, got shape "
            f"{jnp.shape(value)}. Cells step one example; use jax.vmap for a batch."
        )


def time_flags(name: str, argument: str, value, num_steps: int) -> None:
    """Raise unless flags are one boolean for each step."""
    flags(name, argument, value)
    if jnp.shape(value) != (num_steps,):
        raise ValueError(
            f"{name}: {argument} must have shape ({num_steps},), one flag for each "
            f"step, got {jnp.shape(value)}. Use jax.vmap for a batch."
        )


def order(cell, params, xs) -> None:
    """Raise where the arguments of `unroll(cell, params, xs)` stand in another order.

    Parameters are recognised by the name of their class.
    """
    form = "The order is unroll(cell, params, xs, carry)."
    of_params = lambda tree: (
        type(tree).__name__.endswith("Params")
        or (isinstance(tree, tuple) and any(map(of_params, tree)))
    )
    if not all(hasattr(cell, field) for field in ("init", "initial_carry", "step")):
        raise TypeError(f"unroll: expected a cell first, got {kind(cell)}. {form}")
    if of_params(xs):
        raise TypeError(
            f"unroll: xs must be inputs, got parameters, {kind(xs)}, and for the "
            f"parameters {kind(params)}. {form}"
        )


def num_steps(name: str, xs) -> int:
    """The length of the leading axis that all leaves of a sequence share."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(xs)]
    if not shapes or () in shapes:
        raise ValueError(
            f"{name}: every leaf of xs needs a leading time axis, got {shapes}."
        )
    lengths = sorted({shape[0] for shape in shapes})
    if len(lengths) > 1:
        raise ValueError(
            f"{name}: xs must share one leading time axis, got lengths {lengths}."
        )
    return lengths[0]


def sequence_input(name: str, xs, size: int) -> None:
    """Raise unless `xs` is a sequence of vectors of this size, (T, size)."""
    shape = jnp.shape(xs)
    if len(shape) != 2:
        raise ValueError(
            f"{name}: xs must have shape (T, {size}), got {shape}. It reads one "
            "sequence; use jax.vmap for a batch."
        )
    if shape[1] != size:
        raise ValueError(
            f"{name}: xs have {shape[1]} features, but params were initialised for "
            f"{size}."
        )


def float_leaves(name: str, argument: str, tree) -> None:
    """Raise unless all leaves are of floating point."""
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(tree)]
    if other := [d for d in dtypes if not jnp.issubdtype(d, jnp.floating)]:
        raise TypeError(
            f"{name}: {argument} must be floating-point, got {other[0]}. Put "
            "one_hot(V) or embed(V, D) in front."
        )


def one_of(name: str, argument: str, value, choices) -> None:
    """Raise unless `value` is one of these words."""
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(
            f"{name}: {argument} must be {', '.join(others)} or {last}, got {value!r}."
        )


def positive(name: str, argument: str, value) -> None:
    """Raise unless `value` is a positive integer."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if isinstance(value, Tracer):
        raise ValueError(
            f"{name}: {argument} must be a positive integer, got a traced number, "
            f"{value!r}. A size is fixed when a program is traced: in a sweep name its "
            "setting in structural=[...]."
        )
    if not integer or value < 1:
        raise ValueError(
            f"{name}: {argument} must be a positive integer, got {value!r}."
        )


def not_negative(name: str, argument: str, value) -> None:
    """Raise where a concrete number is negative or NaN; tracers pass."""
    if isinstance(value, Tracer):
        return
    if not (np.asarray(value) >= 0).all():
        raise ValueError(f"{name}: {argument} must be at least 0, got {value}.")


def above_zero(name: str, argument: str, value, most: float | None = None) -> None:
    """Raise where a concrete number is not above 0, or above `most`; tracers pass."""
    if isinstance(value, Tracer):
        return
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    size = float(value) if number else 0.0
    if not size > 0 or (most is not None and size > most):
        expected = "a number above 0" if most is None else f"in (0, {most:g}]"
        raise ValueError(f"{name}: {argument} must be {expected}, got {value!r}.")


def rate(name: str, value, argument: str = "rate") -> None:
    """Raise where a concrete probability is outside [0, 1); tracers pass."""
    if isinstance(value, Tracer):
        return
    if not 0.0 <= float(value) < 1.0:
        raise ValueError(f"{name}: {argument} must be in [0, 1), got {value}.")


def is_zero(rate) -> bool:
    """Whether a rate is known to be 0: a number, and no array."""
    return isinstance(rate, int | float) and rate == 0


def takes(name: str, argument: str, function, form: str) -> None:
    """Raise where a user's function cannot be called with arguments of this form.

    `form` is what stands between the parentheses of its definition.
    """
    if not callable(function):
        raise TypeError(
            f"{name}: {argument} must be a function {argument}({form}), got "
            f"{kind(function)}."
        )
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are not written in Python have none
        return
    positional, _, keywords = form.partition(", *, ")
    words = {word.split("=")[0]: None for word in keywords.split(", ") if word}
    try:
        signature.bind(*positional.split(", "), **words)
    except TypeError:
        raise TypeError(
            f"{name}: {argument} must be a function {argument}({form}), but its "
            f"arguments are {signature}."
            + (" Add `*, key=None` to them." if "key" in words else "")
        ) from None


def key_given(
    name: str,
    key: jax.Array | None,
    call: str,
    instead: str = "evaluate with the cell without dropout",
) -> jax.Array:
    """The key; an error where a stochastic cell is run without one."""
    if key is None:
        raise ValueError(
            f"{name}: {call} needs a key. Pass unroll(..., key=key), or {instead}: it "
            "has the same parameters."
        )
    return key


def at_least_float32(dtype):
    """Single precision for types below it, which LAPACK and random bits are not for."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
