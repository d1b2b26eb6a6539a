"""Flat programs: jaxprs without nested calls, and what the engine asks of them.

A program is an ordinary `ClosedJaxpr` in which every nested `jit` has been inlined.
This module traces, evaluates and slices programs; it knows nothing of time or of
derivatives.
"""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core, source_info_util

from jrnn._programs.operation import Function, example

Variable = core.Var
Atom = core.Var | core.Literal
Equation = core.JaxprEqn
Environment = dict[Variable, Any]
Names = Collection[str]

CALLS = {"jit", "pjit", "closed_call", "core_call"}
_CHECKPOINTS = {"checkpoint", "remat", "remat2"}
# What a symbolic size counts as where sizes are compared; any number is right.
_SYMBOLIC = 64


def cached(function: Callable) -> Callable:
    """Remember the results of a function of programs.

    Not while JAX looks for leaked tracers: a program may hold them, in the closure of a
    custom derivative rule. JAX's own caches pause then too.
    """
    remembering = functools.lru_cache(maxsize=1024)(function)

    @functools.wraps(function)
    def call(*args: Any, **params: Any) -> Any:
        remember = not jax.config.jax_check_tracer_leaks
        return (remembering if remember else function)(*args, **params)

    return call


def is_variable(atom: Atom) -> bool:
    """Tell a variable from a literal constant and from a dropped result."""
    return isinstance(atom, core.Var) and not isinstance(atom, core.DropVar)


def differentiable(atom: Atom) -> bool:
    """Whether values of this kind have tangents."""
    return jnp.issubdtype(atom.aval.dtype, jnp.inexact)


def variables(atoms: Iterable[Atom]) -> list[Variable]:
    """The variables among `atoms`, each once, in order."""
    return list(dict.fromkeys(atom for atom in atoms if is_variable(atom)))


def opened(closed: core.ClosedJaxpr) -> tuple[core.Jaxpr, Sequence[Any]]:
    """A jaxpr and its constants; some versions of JAX keep the two in one object."""
    return getattr(closed, "jaxpr", closed), getattr(closed, "consts", ())


def constants(closed: core.ClosedJaxpr) -> Environment:
    """The values that a program has captured, by variable."""
    jaxpr, values = opened(closed)
    return dict(zip(jaxpr.constvars, values, strict=True))


def examples(atoms: Iterable[Atom]) -> list[jax.ShapeDtypeStruct]:
    """What to trace a function with, so that it accepts values like `atoms`."""
    return [example(atom.aval) for atom in atoms]


def trace(function: Function, like: Iterable[Any]) -> core.ClosedJaxpr:
    """Trace `function(*like) -> list` to a program."""
    like = list(like)
    closed = jax.make_jaxpr(function)(*like)
    if not any(eqn.primitive.name in CALLS for eqn in opened(closed)[0].eqns):
        return closed
    return jax.make_jaxpr(lambda *args: call(closed, args, inline=CALLS))(*like)


def call(
    closed: core.ClosedJaxpr, args: Iterable[Any], *, inline: Names = ()
) -> list[Any]:
    """Evaluate a program on `args`."""
    jaxpr, _ = opened(closed)
    env = constants(closed) | dict(zip(jaxpr.invars, args, strict=True))
    evaluate(jaxpr.eqns, env, inline=inline)
    return [read(env, atom) for atom in jaxpr.outvars]


def lifted(closed: core.ClosedJaxpr) -> tuple[core.ClosedJaxpr, list[Any]]:
    """A program whose captured tracers are its first inputs, and these tracers.

    A custom derivative rule may read tracers of a function around it. As constants of a
    program they would outlive their trace.
    """
    jaxpr, values = opened(closed)
    found = zip(jaxpr.constvars, values, strict=True)
    captured = {v: x for v, x in found if isinstance(x, jax.core.Tracer)}
    if not captured:
        return closed, []
    inputs = [*captured, *jaxpr.invars]

    def function(*args: Any) -> list[Any]:
        env = constants(closed) | dict(zip(inputs, args, strict=True))
        evaluate(jaxpr.eqns, env)
        return [read(env, atom) for atom in jaxpr.outvars]

    return trace(function, examples(inputs)), list(captured.values())


def without_checkpoints(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The same program, for evaluation only: nothing marked to be computed again."""

    def function(*args: Any) -> list[Any]:
        return call(closed, args, inline=CALLS | _CHECKPOINTS)

    return jax.make_jaxpr(function)(*examples(opened(closed)[0].invars))


def rewritten(
    closed: core.ClosedJaxpr,
    instead: dict[int, Callable[[Environment], Environment]],
    eqns: Iterable[Equation] | None = None,
) -> core.ClosedJaxpr:
    """A program with other values for the results of some of its equations.

    Args:
        closed: the program.
        instead: by `id` of an equation, values by variable, from those before it.
        eqns: its equations in another order.
    """
    if not instead:
        return closed
    jaxpr, _ = opened(closed)

    def function(*args: Any) -> list[Any]:
        env = constants(closed) | dict(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns if eqns is None else eqns:
            if id(eqn) in instead:
                env |= instead[id(eqn)](env)
            else:
                evaluate([eqn], env)
        return [read(env, atom) for atom in jaxpr.outvars]

    return trace(function, examples(jaxpr.invars))


def read(env: Environment, atom: Atom) -> Any:
    """The value of a variable or of a literal."""
    return atom.val if isinstance(atom, core.Literal) else env[atom]


def evaluate(eqns: Iterable[Equation], env: Environment, *, inline: Names = ()) -> None:
    """Evaluate `eqns` in order, adding their results to `env`."""
    for eqn in eqns:
        values = [read(env, atom) for atom in eqn.invars]
        env.update(zip(eqn.outvars, apply(eqn, values, inline=inline), strict=True))


def apply(eqn: Equation, values: Sequence[Any], *, inline: Names = ()) -> list[Any]:
    """The results of one equation on `values`; nested programs named are inlined."""
    if eqn.primitive.name in inline:
        inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
        return call(inner, values, inline=inline)
    # Parameters as `bind` wants them: custom derivative rules become functions again.
    params = eqn.primitive.get_bind_params(eqn.params)
    with in_place_of(eqn):
        results = eqn.primitive.bind(*values, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


@contextlib.contextmanager
def in_place_of(eqn: Equation) -> Iterator[None]:
    """Where operations take the line, the named scopes and the settings of `eqn`."""
    source = eqn.source_info
    names = source_info_util.current_name_stack() + source.name_stack
    with (
        source_info_util.user_context(source.traceback, name_stack=names),
        eqn.ctx.manager,
    ):
        yield


def inner_programs(eqn: Equation) -> Iterator[core.Jaxpr]:
    """The programs that an equation holds, those of the engine's loops included."""
    for inner in core.jaxprs_in_params(eqn.params):
        yield opened(inner)[0]
    for value in eqn.params.values():
        if isinstance(closed := getattr(value, "program", None), core.ClosedJaxpr):
            yield opened(closed)[0]


def needed(
    eqns: Sequence[Equation], targets: Iterable[Atom], given: Iterable[Atom] = ()
) -> list[Equation]:
    """The equations that `targets` depend on, taking the values of `given` as known."""
    given = set(variables(given))
    wanted = set(variables(targets)) - given
    kept = []
    for eqn in reversed(eqns):
        if not wanted.isdisjoint(eqn.outvars):
            kept.append(eqn)
            wanted.update(v for v in variables(eqn.invars) if v not in given)
    return kept[::-1]


def count_uses(eqns: Iterable[Equation], targets: Iterable[Atom]) -> Counter[Variable]:
    """How often `eqns` and then `targets` read each variable."""
    atoms = [*(a for eqn in eqns for a in eqn.invars), *targets]
    return Counter(a for a in atoms if is_variable(a))


def free(eqns: Iterable[Equation], targets: Iterable[Atom]) -> list[Variable]:
    """The variables that `eqns` and then `targets` read but do not define, in order."""
    defined: set[Variable] = set()
    found: dict[Variable, None] = {}
    for eqn in eqns:
        found |= dict.fromkeys(v for v in variables(eqn.invars) if v not in defined)
        defined.update(eqn.outvars)
    found |= dict.fromkeys(v for v in variables(targets) if v not in defined)
    return list(found)


def dependents(eqns: Iterable[Equation], sources: Iterable[Variable]) -> set[Variable]:
    """The variables that depend on any of `sources`, these included."""
    reached = set(sources)
    for eqn in eqns:
        if not reached.isdisjoint(variables(eqn.invars)):
            reached.update(variables(eqn.outvars))
    return reached


def size(atom: Atom) -> int:
    """Bytes of one value; a random key counts as its two words."""
    itemsize = getattr(atom.aval.dtype, "itemsize", 8)
    return itemsize * count(atom.aval.shape)


def symbolic(shape: Iterable[Any]) -> bool:
    """Whether a size is known by name only, in a program for `jax.export`."""
    return not all(isinstance(n, int) for n in shape)


def count(shape: Iterable[Any]) -> int:
    """The number of elements of an array, to compare costs by."""
    return math.prod(n if isinstance(n, int) else _SYMBOLIC for n in shape)
