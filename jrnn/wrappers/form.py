"""What wrappers have in common: their kinds, and small functions of trees."""

from typing import Any, TypeVar, overload

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jrnn import _check
from jrnn.cell import Carry, Cell, InitFn, InitialCarryFn, Key, StepFn
from jrnn.sequence import RunFn, SequenceModel

# what comes in is what comes out, and where that is not known, it stays so
Model = TypeVar("Model", Cell, SequenceModel, Cell | SequenceModel)


@overload
def acting(
    cell: Cell,
    step: StepFn,
    run: RunFn,
    init: InitFn | None = ...,
    initial_carry: InitialCarryFn | None = ...,
) -> Cell: ...
@overload
def acting(
    cell: SequenceModel,
    step: StepFn,
    run: RunFn,
    init: InitFn | None = ...,
    initial_carry: InitialCarryFn | None = ...,
) -> SequenceModel: ...
def acting(
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


def wrap_inside(call: str) -> str:
    """What to do with a model of whole sequences that a wrapper cannot take."""
    return f"Wrap the cells in it: bidirectional({call}, ...)."


def is_mask(path: tuple[Any, ...]) -> bool:
    """Whether a leaf of a carry is a mask that a wrapper has drawn."""
    return any(getattr(part, "name", None) == "mask" for part in path)


def hidden(name: str, carry: Carry) -> jax.Array:
    """The hidden state in a carry."""
    if hasattr(carry, "h"):
        return carry.h
    if isinstance(carry, jax.Array):
        return carry
    raise TypeError(
        f"{name}: expected a carry that is one array or has a field h, got "
        f"{_check.kind(carry)}. Wrap the layers of a stack one by one."
    )


def dropout_mask(key: Key, rate: ArrayLike, like: jax.Array) -> jax.Array:
    """0 with this probability, else 1 / (1 - rate)."""
    # half-precision uniform numbers are too coarse to compare with a probability
    dtype = _check.at_least_float32(like.dtype)
    keep = 1 - jnp.asarray(rate).astype(dtype)
    kept = jax.random.bernoulli(key, keep, like.shape)
    return (kept.astype(dtype) / keep).astype(like.dtype)


def where(flag: ArrayLike, a: Any, b: Any) -> Any:
    """The leaves of one tree or of another."""
    return jax.tree.map(lambda u, v: jnp.where(flag, u, v), a, b)


def zeros(x: jax.Array) -> jax.Array:
    """Zeros of this form."""
    return jnp.zeros_like(x)
