"""Values out of JSON, checked against the annotations of a dataclass or a tuple."""

import json
import types
import typing
from pathlib import Path
from typing import Any, Literal


class Mismatch(TypeError):
    """A value of another type; the message says what was expected and what came."""


def typed(value: Any, kind: Any) -> Any:
    """A value as JSON holds it, in the type that an annotation asks for.

    Args:
        value: what `json.loads` gave.
        kind: bool, int, float, str, Path, a `Literal`, a tuple, or a union with None.

    Returns:
        The value; a list as a tuple, a string as a path where that is asked for.

    Raises:
        Mismatch: the value is none of that type.

    Example:
        >>> typed([0.9, 0, 0.1], tuple[float, float, float])
        (0.9, 0.0, 0.1)
        >>> typed("12", int | None)
        Traceback (most recent call last):
        ...
        jrnn.cli.typed.Mismatch: expected a whole number or null, got "12"
    """
    try:
        return _convert(value, kind)
    except _OfAnotherType:
        got = json.dumps(value, ensure_ascii=True)
        shown = got if len(got) <= 60 else f"{got[:57]}..."
        raise Mismatch(f"expected {expected(kind)}, got {shown}") from None


def expected(kind: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(expected, arguments))
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each of them {expected(arguments[0])}"
        return f"a list of {len(arguments)}, each of them {expected(arguments[0])}"
    return {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        Path: "a path",
        types.NoneType: "null",
    }[kind]


class _OfAnotherType(Exception):
    """Some part of a value does not fit."""


def _convert(value: Any, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _first_that_fits(value, arguments)
    if origin is tuple:
        _require(isinstance(value, list))
        if arguments[-1] is Ellipsis:
            return tuple(_convert(v, arguments[0]) for v in value)
        _require(len(value) == len(arguments))
        return tuple(_convert(v, k) for v, k in zip(value, arguments, strict=True))
    if origin is Literal:
        _require(isinstance(value, str) and value in arguments)
        return value
    if kind is Path:
        _require(isinstance(value, str) and "\0" not in value)
        return Path(value)
    if kind is float:  # a whole number is one too, but true is none
        _require(type(value) in (int, float) and abs(value) < 2**1023)
        return float(value)
    _require(type(value) is kind)
    _require(kind is not int or abs(value) < 2**63)
    return value


def _first_that_fits(value: Any, kinds: tuple) -> Any:
    for kind in kinds:
        try:
            return _convert(value, kind)
        except _OfAnotherType:
            continue
    raise _OfAnotherType


def _require(fits: bool) -> None:
    if not fits:
        raise _OfAnotherType
