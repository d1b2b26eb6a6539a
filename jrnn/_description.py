"""How a cell or an initialiser was made: by which factory, from which arguments.

A model file holds this in place of code (see `jrnn.files`). The arguments are kept as
they are; whether a file can hold them is asked when one is written.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
Made = TypeVar("Made")


class Description(NamedTuple):
    """The call that made something."""

    factory: str  # its name
    arguments: dict[str, Any]  # by parameter, defaults too


def written(description: Description) -> str:
    """The call as it is written, without initialisers and what is None.

    Those decide where a training begins, not what the cell computes.

    Example:
        >>> written(Description("f", {"size": 8, "rate": 0.5}))
        'f(size=8, rate=0.5)'
    """
    words = []
    for name, value in description.arguments.items():
        if isinstance(value, tuple) and value and all(map(_is_made, value)):
            words += map(repr, value)  # *cells
        elif _is_made(value):
            words.append(repr(value))
        elif value is not None and not name.endswith("_init"):
            words.append(f"{name}={_word(value)}")
    return f"{description.factory}({', '.join(words)})"


def _is_made(value: Any) -> bool:
    """Whether this is a cell or a model that knows how it was made."""
    return isinstance(value, tuple) and hasattr(value, "description")


def _word(value: Any) -> str:
    """A value in a call: a function by its name, without its address."""
    return getattr(value, "__name__", None) or repr(value)


def describe_call(
    name: str, factory: Callable, args: tuple, kwargs: dict[str, Any]
) -> Description:
    """The description of `factory(*args, **kwargs)`."""
    bound = inspect.signature(factory).bind(*args, **kwargs)
    bound.apply_defaults()
    return Description(name, dict(bound.arguments))


def described(factory: Callable[P, Made]) -> Callable[P, Made]:
    """Let what a factory makes know how it was made, as its attribute `description`.

    For factories that return something new at every call: it is theirs to mark.
    """

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Made:
        made = factory(*args, **kwargs)
        call = describe_call(factory.__name__, factory, args, kwargs)
        vars(made)["description"] = call  # of a cell or a function
        return made

    return make
