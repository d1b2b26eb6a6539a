"""Names that the user gives to functions, for files."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

from jrnn._description import describe_call
from jrnn.files.table import FACTORIES, FUNCTIONS, is_function, is_model

Function = TypeVar("Function", bound=Callable[..., Any])


class Named(NamedTuple):
    """A function of the user's that has a name in files."""

    own: Callable[..., Any]  # as it was given
    marking: Callable[..., Any]  # the same, whose cells know how they were made


_registered: dict[str, Named] = {}


@overload
def register(name: str, function: Function) -> Function: ...
@overload
def register(name: str) -> Callable[[Function], Function]: ...
def register(name: str, function: Callable[..., Any] | None = None) -> Any:
    """Give a function of yours the name by which model files call it.

    A file holds no code. One with a cell of your own says `"drift"`, and whoever loads
    it registers the factory of that name first. Besides factories of cells, the name
    may be that of any function that stands among the arguments of one: an activation,
    an initialiser, the `choose` of `feedback`.

    Args:
        name: in files; none of the library's own.
        function: a factory of cells, or a function that is given to one. It should
            depend on its arguments alone. If None, a decorator is returned.

    Returns:
        The function; the cells that it makes know by which name and arguments. Use this
        one: `drift = register("drift", drift)`, or `@register("drift")` above its
        definition.

    Raises:
        ValueError: a name that is taken. The same definition again, as when a cell of a
            notebook is run twice, is none.
        TypeError: not a name, or not a function.

    Example:
        >>> import jax, jrnn
        >>> @register("deep")
        ... def deep(size, layers=2):
        ...     return jrnn.stack(*[jrnn.gru(size) for _ in range(layers)])
        >>> deep(8).description.arguments
        {'size': 8, 'layers': 2}
    """
    if not isinstance(name, str) or not name:
        raise TypeError(
            f"register: name must be a text, got {name!r}. The order is "
            "register(name, function)."
        )
    if function is None:
        return functools.partial(register, name)
    if not is_function(function):
        raise TypeError(
            f"register: {name!r} must stand for a function, got "
            f"{type(function).__name__}. To name a cell, register what makes it."
        )
    if name in FACTORIES or name in FUNCTIONS:
        raise ValueError(
            f"register: {name!r} is a name of the library's own. Choose another."
        )
    for known in _registered.values():
        if function is known.marking:  # what an earlier call has returned
            function = known.own
    earlier = _registered.get(name)
    if earlier and earlier.own is function:
        return earlier.marking
    if earlier and not _same(earlier.own, function):
        raise ValueError(
            f"register: {name!r} stands for another function already, "
            f"{_place(earlier.own)}. Choose another name, or restart Python if you "
            "have edited the function."
        )
    _registered[name] = Named(function, _marking(name, function))
    return _registered[name].marking


def registered(name: str) -> Callable[..., Any] | None:
    """What the user has given this name to."""
    known = _registered.get(name)
    return known.marking if known else None


def name_of(function: Any) -> str | None:
    """The name of a function in files, if it has one."""
    for name, known in FUNCTIONS.items():
        if known is function:
            return name
    for name, known in _registered.items():
        if function is known.own or function is known.marking:
            return name
    return None


def _marking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def make(*args, **kwargs):
        made = function(*args, **kwargs)
        if not is_model(made):
            return made
        # a new one: what was made may be described otherwise, or used elsewhere too
        made = type(made)(*made)
        made.description = describe_call(name, function, args, kwargs)
        return made

    return make


def _same(f: Callable[..., Any], g: Callable[..., Any]) -> bool:
    """Whether two functions come from one definition that was run twice."""
    if not (inspect.isfunction(f) and inspect.isfunction(g)):
        return False
    plain = (int, float, str, tuple, type(None))
    equal = lambda a, b: (
        a is b or (type(a) is type(b) and isinstance(a, plain) and a == b)
    )
    return f.__code__ == g.__code__ and all(
        len(a) == len(b) and all(map(equal, a, b))
        for a, b in zip(_captured(f), _captured(g), strict=True)
    )


def _captured(f: Callable[..., Any]) -> tuple[list, list, list]:
    """All that a function holds besides its code."""
    defaults = sorted((f.__kwdefaults__ or {}).items())
    return (
        [cell.cell_contents for cell in f.__closure__ or ()],
        list(f.__defaults__ or ()),
        [value for pair in defaults for value in pair],
    )


def _place(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name} of {module}" if module else name
