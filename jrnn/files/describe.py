"""From a cell to the JSON that says how it was made."""

import inspect
import math
from typing import Any

import jax
import numpy as np

from jrnn import _check
from jrnn._description import Description
from jrnn.files.names import name_of, registered
from jrnn.files.table import (
    DTYPES,
    FACTORIES,
    INITIALIZER,
    Factory,
    is_function,
    is_model,
)


class Nameless(TypeError):
    """Something that names and numbers cannot say."""


def to_json(value: Any, place: str = "model", owner: str = "") -> Any:
    """What a file says in place of a cell or of an argument.

    Numbers, texts and None stand for themselves and a list for a tuple; the rest is
    `{"factory": ..., "arguments": ...}`, `{"function": name}` or `{"dtype": name}`.

    Args:
        value: a cell, or an argument of a factory.
        place: where it stands, for messages: `model.cells[1].activation`.
        owner: the factory that it was given to, if it was.

    Returns:
        What JSON can hold.

    Raises:
        Nameless: a part that cannot be described, with what to do about it.
    """
    if value is None or type(value) in (bool, int, str):
        plain = value
    elif isinstance(value, np.integer):  # a size that came out of an array
        plain = int(value)
    elif type(value) is float and math.isfinite(value):
        plain = value
    elif (dtype := _dtype(value)) is not None and dtype.name in DTYPES:
        return {"dtype": dtype.name}
    elif type(value) is tuple:
        return [to_json(v, f"{place}[{i}]", owner) for i, v in enumerate(value)]
    elif isinstance(getattr(value, "description", None), Description):
        return _call(value.description, place)
    elif callable(value) and (name := name_of(value)) is not None:
        return {"function": name}
    else:
        raise Nameless(f"{_where(place, owner)} is {_problem(value)}")
    if type(plain) is int and abs(plain) >= 2**63:
        raise Nameless(f"{_where(place, owner)} is {plain}. Pass a smaller number.")
    return plain


def _call(description: Description, place: str) -> dict[str, Any]:
    name, arguments = description
    factory = FACTORIES.get(name)
    make = factory.make if factory else registered(name)
    gates = {"gates": factory.gates} if factory and factory.gates else {}
    told = {}
    for parameter in inspect.signature(make).parameters.values():
        value = arguments[parameter.name]
        if parameter.kind is parameter.VAR_KEYWORD:
            _no_more(name, value, place)
        elif not _is_left_alone(factory, parameter, value, place):
            told[parameter.name] = to_json(value, f"{place}.{parameter.name}", name)
    return {"factory": name, **gates, "arguments": told}


def _is_left_alone(factory: Factory | None, parameter, value, place: str) -> bool:
    """Whether an argument is a default that a file need not, or cannot, write down."""
    if value is not parameter.default:
        return False
    if factory:
        return factory.arguments[parameter.name] is INITIALIZER
    try:
        to_json(value, place)
    except Nameless:
        return True
    return False


def _no_more(name: str, value: dict[str, Any], place: str) -> None:
    if value:
        raise Nameless(
            f"{place}: {name} was given {', '.join(value)} as free keywords (**). Make "
            "them arguments with names, so that a file can be checked against them."
        )


def _dtype(value: Any) -> np.dtype | None:
    """A dtype, or that of a scalar class such as `jnp.float32`."""
    if isinstance(value, np.dtype):
        return value
    is_scalar = isinstance(value, type) and (
        issubclass(value, np.generic)
        or isinstance(getattr(value, "dtype", None), np.dtype)
    )
    return np.dtype(value) if is_scalar else None


def _where(place: str, owner: str) -> str:
    return f"{place}, an argument of {owner}," if owner else place


def _problem(value: Any) -> str:
    """What a value is that cannot be described, and the fix."""
    if is_model(value):
        return (
            "a cell whose functions have no name. Make it by a factory, and that by "
            "its name: mycell = jrnn.register('mycell', mycell)."
        )
    if hasattr(value, "dtype") and jax.dtypes.issubdtype(
        value.dtype, jax.dtypes.prng_key
    ):
        return "a random key. Give it to init, or draw inside a factory of yours."
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return (
            f"{_check.kind(value)}, not a number of Python. Pass float(...), or make "
            "the array inside a factory of yours."
        )
    if (dtype := _dtype(value)) is not None:
        return f"{dtype}, which a file cannot hold. Use one of {', '.join(DTYPES)}."
    if is_function(value):
        name = getattr(value, "__qualname__", type(value).__name__)
        name = name.replace(".<locals>", "")  # normal.init, of jax.nn.initializers
        own = name if name.isidentifier() else "f"
        return (
            f"the function {name}, which has no name in files. Give it one and pass "
            f"what comes back: {own} = jrnn.register({own!r}, {own})."
        )
    if isinstance(value, float):
        return f"{value}, which JSON has no number for. Pass a finite float."
    if isinstance(value, list):
        return "a list. Pass a tuple."
    return (
        f"{_check.kind(value)}. A file holds numbers, texts, tuples, dtypes, cells and "
        "functions that have a name."
    )
