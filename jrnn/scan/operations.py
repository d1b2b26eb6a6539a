"""What the engine knows about single operations.

Whatever is not listed here is not understood, and stays inside the loop.
"""

from collections.abc import Iterator

from jax import lax
from jax.extend import core
from jax.extend.core import primitives

from jrnn._programs.program import Equation, differentiable, inner_programs, variables

# Vectorising a conditional runs all its branches; a generator's bits, and where a value
# lives, are not promised to be the same for many steps at once.
_KEPT_IN_LOOP = {
    "cond", "while", "rng_bit_generator", "rng_uniform", "sharding_constraint",
    "device_put", "custom_vjp_call", "custom_lin", "linear_solve", "dce_sink",
    "approx_top_k", "stage", "create_token", "after_all",
    "axis_index",
}  # fmt: skip
_KNOWN = (
    {
        value.name
        for module in (lax, primitives)
        for name, value in vars(module).items()
        if name.endswith("_p") and isinstance(value, core.Primitive)
    }
    | {"random_wrap", "random_unwrap", "random_seed"}
    | {"jrnn_scan", "jrnn_push", "jrnn_pull", "jrnn_likelihood", "jrnn_largest"}
    | {"jrnn_shared", "jrnn_rows", "jrnn_row_sums"}
)
_VECTORISED = _KNOWN - _KEPT_IN_LOOP

# Derivatives of the user's own need not be linear (gradients are clipped in them):
# applied to a sum over steps, they give another number than the sum of what they give.
_OWN_RULES = {
    "custom_vjp_call", "custom_lin", "custom_transpose_call", "linear_call",
}  # fmt: skip

# Cheaper to compute again than to write to memory and read back.
_CHEAP = {
    "abs", "add", "add_any", "and", "broadcast_in_dim", "clamp", "convert_element_type",
    "copy", "div", "eq", "ge", "gt", "integer_pow", "iota", "is_finite", "le", "lt",
    "max", "min", "mul", "ne", "neg", "not", "one_minus_square", "or", "real", "imag",
    "reshape", "select_n", "sign", "slice", "split", "square", "squeeze", "sub", "xor",
    "stop_gradient",
}  # fmt: skip
# Reading some rows of a weight is as cheap as reading the same rows of a copy.
_CHEAP_IN_WEIGHTS = {"gather", "dynamic_slice"}

# Cheaper to compute again than to store, where what they need is stored in any case.
_MODERATE = {"tanh", "logistic"}

# Broadcasts and the like: fused into whatever reads them.
LIGHT = {"broadcast_in_dim", "iota", "reshape", "squeeze"}

# The gates of a joint array. Their derivative joins them again: better in the loop,
# where they are small, than of all steps behind it.
PARTS = {"split", "slice"}

SUMS = {"add", "add_any"}


def over_time(eqn: Equation) -> bool:
    """Whether all time steps of `eqn` may be computed at once, with equal results."""
    return all(
        inner.primitive.name in _VECTORISED and _repeatable(inner)
        for inner in with_inner(eqn)
    )


def own_rule(eqn: Equation) -> bool:
    """Whether the derivative of `eqn` is written by the user, and not by JAX."""
    moving = any(differentiable(a) for a in [*eqn.invars, *eqn.outvars])
    return moving and any(
        inner.primitive.name in _OWN_RULES for inner in with_inner(eqn)
    )


def cost_again(eqn: Equation, of_weights: bool = False) -> float | None:
    """The price of computing `eqn` a second time, where that of storing it is 1.

    Args:
        eqn: the equation.
        of_weights: its first operand is the same at every step.

    Returns:
        0 where it is always better computed again, None where never.
    """
    name = eqn.primitive.name
    if name in _CHEAP or (of_weights and name in _CHEAP_IN_WEIGHTS):
        return 0
    return 0.5 if name in _MODERATE else None


def with_inner(eqn: Equation) -> Iterator[Equation]:
    """An equation and those of the programs that it holds."""
    yield eqn
    for inner in inner_programs(eqn):
        for inner_eqn in inner.eqns:
            yield from with_inner(inner_eqn)


def _repeatable(eqn: Equation) -> bool:
    """Only the default generator draws the same bits for one key as among many."""
    kinds = {str(v.aval.dtype) for v in variables([*eqn.invars, *eqn.outvars])}
    return all(not kind.startswith("key<") or kind == "key<fry>" for kind in kinds)
