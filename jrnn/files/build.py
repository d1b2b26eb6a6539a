"""From the JSON of a file to the cell: names looked up, values checked, calls made."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from jrnn.files.names import registered
from jrnn.files.table import ANYTHING, DTYPES, FACTORIES, FUNCTIONS, MODEL, Kind


class Unknown(ValueError):
    """Something in a file that has no meaning here; the message names it."""


def cell_from_json(data: Any) -> Any:
    """Make the cell, or the model of whole sequences, that a file describes.

    Args:
        data: what `describe.to_json` gave, read from a file.

    Returns:
        The cell.

    Raises:
        Unknown: a name, an argument or a value that is not in the tables.
    """
    return _checked(_value(data, "model"), MODEL, "model", data)


def _value(data: Any, place: str) -> Any:
    if isinstance(data, list):
        return tuple(_value(item, f"{place}[{i}]") for i, item in enumerate(data))
    if not isinstance(data, dict):
        return data
    if "factory" in data and data.keys() <= {"factory", "gates", "arguments"}:
        return _call(data, place)
    if data.keys() == {"function"}:
        return _function(data["function"], place)
    if data.keys() == {"dtype"} and data["dtype"] in DTYPES:
        return np.dtype(data["dtype"])
    raise Unknown(f"{place} is {_shown(data)}, which has no meaning here.")


def _function(name: Any, place: str) -> Callable:
    function = FUNCTIONS.get(name) or registered(name) if _is_text(name) else None
    if function is None:
        raise Unknown(f"{place} is the function {_unregistered(name)}")
    return function


def _call(data: dict[str, Any], place: str) -> Any:
    """What a factory makes of the arguments in a file."""
    name, told = data["factory"], data.get("arguments")
    known = FACTORIES.get(name) if _is_text(name) else None
    make = known.make if known else registered(name) if _is_text(name) else None
    if make is None:
        raise Unknown(f"{place} is made by {_unregistered(name)}")
    if not isinstance(told, dict):
        raise Unknown(f"{place}: {name} has no arguments.")
    if data.get("gates") != (known.gates if known else None):
        raise Unknown(
            f"{place}: the gates of {name} are {_shown(data.get('gates'))}, but here "
            f"they are {_shown(known.gates if known else None)}."
        )
    signature = inspect.signature(make)
    arguments = {}
    for argument, value in told.items():
        if argument not in signature.parameters:
            raise Unknown(
                f"{place}: {name} has no argument {argument!r}. It has "
                f"{', '.join(signature.parameters) or 'none'}."
            )
        where = f"{place}.{argument}"
        kind = known.arguments[argument] if known else ANYTHING
        arguments[argument] = _checked(_value(value, where), kind, where, value)
    # in the order of the definition, as BoundArguments wants them
    ordered = {n: arguments[n] for n in signature.parameters if n in arguments}
    bound = inspect.BoundArguments(signature, ordered)
    try:
        return make(*bound.args, **bound.kwargs)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Unknown(f"{place} cannot be made: {error}") from error


def _checked(value: Any, kind: Kind, place: str, data: Any) -> Any:
    if not kind.fits(value):
        raise Unknown(f"{place} must be {kind.words}, got {_shown(data)}.")
    return value


def _unregistered(name: Any) -> str:
    return (
        f"{_shown(name)}, a name that is not known here. If it is yours, register it "
        f"before you load: jrnn.register({_shown(name)}, ...). If it is jrnn's, the "
        "file comes from a newer version."
    )


def _is_text(name: Any) -> bool:
    return isinstance(name, str)


def _shown(data: Any) -> str:
    text = json.dumps(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
