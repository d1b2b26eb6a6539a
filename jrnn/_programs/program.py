"""Flat programs: jaxprs without nested calls, and steps, which are such programs.

The vocabulary of the engine. A program is an ordinary `ClosedJaxpr` in which every
nested `jit` has been inlined; here it is traced, evaluated, sliced and rewritten. A
step is a program that is read as one step of a loop.
"""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray, Tracer
from jax.extend import core, source_info_util
from jax.interpreters import ad

from jrnn._setting import setting

Function = Callable[..., list[Any]]
Program = core.ClosedJaxpr  # pyright: ignore[reportPrivateImportUsage]
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
        remember = not setting("jax_check_tracer_leaks")
        return (remembering if remember else function)(*args, **params)

    return call


def is_variable(atom: Atom | None) -> TypeGuard[Variable]:
    """Tell a variable from a literal constant and from a dropped result."""
    return isinstance(atom, core.Var) and not isinstance(atom, core.DropVar)


def type_of(atom: Atom) -> ShapedArray:
    """Shape and dtype of a value: in a program here they are all arrays or keys."""
    # JAX declares any abstract value
    return atom.aval  # pyright: ignore[reportReturnType]


def is_differentiable(atom: Atom) -> bool:
    """Whether values of this kind have tangents."""
    return jnp.issubdtype(type_of(atom).dtype, jnp.inexact)


def variables(atoms: Iterable[Atom]) -> list[Variable]:
    """The variables among `atoms`, each once, in order."""
    return list(dict.fromkeys(atom for atom in atoms if is_variable(atom)))


def all_variables(eqns: Iterable[Equation], targets: Iterable[Atom]) -> list[Variable]:
    """The variables that `eqns` or `targets` mention, each once, in order."""
    atoms = (a for eqn in eqns for a in [*eqn.invars, *eqn.outvars])
    return variables([*atoms, *targets])


def jaxpr_of(closed: Program | core.Jaxpr) -> core.Jaxpr:
    """The jaxpr of a program; some versions of JAX have one class for both."""
    return closed if isinstance(closed, core.Jaxpr) else closed.jaxpr


def constants(closed: Program) -> Environment:
    """The values that a program has captured, by variable."""
    values = getattr(closed, "consts", ())
    return dict(zip(jaxpr_of(closed).constvars, values, strict=True))


def example(aval: Any) -> jax.ShapeDtypeStruct:
    """The shape, dtype and weak type of an abstract value."""
    return jax.ShapeDtypeStruct(
        aval.shape, aval.dtype, weak_type=getattr(aval, "weak_type", False)
    )


def examples(atoms: Iterable[Atom]) -> list[jax.ShapeDtypeStruct]:
    """What to trace a function with, so that it accepts values like `atoms`."""
    return [example(atom.aval) for atom in atoms]


def trace(function: Function, like: Iterable[Any]) -> Program:
    """Trace `function(*like) -> list` to a program."""
    like = list(like)
    closed = jax.make_jaxpr(function)(*like)
    if not any(eqn.primitive.name in CALLS for eqn in jaxpr_of(closed).eqns):
        return closed
    return jax.make_jaxpr(lambda *args: call(closed, args, inline=CALLS))(*like)


def call(closed: Program, args: Iterable[Any], *, inline: Names = ()) -> list[Any]:
    """Evaluate a program on `args`."""
    jaxpr = jaxpr_of(closed)
    env = constants(closed) | dict(zip(jaxpr.invars, args, strict=True))
    evaluate(jaxpr.eqns, env, inline=inline)
    return [read(env, atom) for atom in jaxpr.outvars]


def closure_convert(closed: Program) -> tuple[Program, list[Any]]:
    """The program with its captured tracers as first inputs, and these tracers.

    A custom derivative rule may read tracers of a function around it. As constants of a
    program they would outlive their trace.
    """
    jaxpr, held = jaxpr_of(closed), constants(closed)
    captured = {v: x for v, x in held.items() if isinstance(x, Tracer)}
    if not captured:
        return closed, []
    inputs = [*captured, *jaxpr.invars]

    def function(*args: Any) -> list[Any]:
        env = constants(closed) | dict(zip(inputs, args, strict=True))
        evaluate(jaxpr.eqns, env)
        return [read(env, atom) for atom in jaxpr.outvars]

    return trace(function, examples(inputs)), list(captured.values())


def inline_checkpoints(closed: Program) -> Program:
    """The program for evaluation only, without marks of what to rematerialise."""

    def function(*args: Any) -> list[Any]:
        return call(closed, args, inline=CALLS | _CHECKPOINTS)

    return jax.make_jaxpr(function)(*examples(jaxpr_of(closed).invars))


def rewrite(
    closed: Program,
    instead: dict[Variable, Callable[[Environment], Environment]],
    eqns: Iterable[Equation] | None = None,
) -> Program:
    """Trace a program with other values for the results of some of its equations.

    Args:
        closed: the program.
        instead: by the first result of an equation, values by variable, from those
            before it.
        eqns: its equations in another order.
    """
    if not instead:
        return closed
    jaxpr = jaxpr_of(closed)

    def function(*args: Any) -> list[Any]:
        env = constants(closed) | dict(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns if eqns is None else eqns:
            if eqn.outvars and eqn.outvars[0] in instead:
                with source_of(eqn):
                    env |= instead[eqn.outvars[0]](env)
            else:
                evaluate([eqn], env)
        return [read(env, atom) for atom in jaxpr.outvars]

    return trace(function, examples(jaxpr.invars))


def transpose_of(f: Function, inputs: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """Cotangents of those `inputs` of `f` that are undefined; None for the others.

    `cts` has None for outputs without a cotangent.
    """
    moving = [ad.is_undefined_primal(v) for v in inputs]
    used = [ct is not None for ct in cts]
    like = [example(v.aval) for v in select(inputs, moving)]

    def forward(*tangents: Any) -> list[Any]:
        return select(f(*replace_where(inputs, moving, tangents)), used)

    found = jax.linear_transpose(forward, *like)(select(cts, used))
    return replace_where([None] * len(inputs), moving, found)


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
        with source_of(eqn):  # the scopes around the call are those of what it calls
            return call(inner, values, inline=inline)
    # Parameters as `bind` wants them: custom derivative rules become functions again.
    params = eqn.primitive.get_bind_params(eqn.params)
    with source_of(eqn):
        results = eqn.primitive.bind(*values, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


@contextlib.contextmanager
def source_of(eqn: Equation) -> Iterator[None]:
    """Give operations the line, the named scopes and the settings of `eqn`."""
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
        yield jaxpr_of(inner)
    for value in eqn.params.values():
        if isinstance(closed := getattr(value, "program", None), Program):
            yield jaxpr_of(closed)


def nested_equations(eqn: Equation) -> Iterator[Equation]:
    """An equation and those of the programs that it holds."""
    yield eqn
    for inner in inner_programs(eqn):
        for inner_eqn in inner.eqns:
            yield from nested_equations(inner_eqn)


def backward_slice(
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


def free_variables(eqns: Iterable[Equation], targets: Iterable[Atom]) -> list[Variable]:
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


def bytes_of(atom: Atom) -> int:
    """Bytes of one value; a random key counts as its two words."""
    itemsize = getattr(type_of(atom).dtype, "itemsize", 8)
    return itemsize * num_elements(type_of(atom).shape)


def is_symbolic(shape: Iterable[Any]) -> bool:
    """Whether a size is known by name only, in a program for `jax.export`."""
    return not all(isinstance(n, int) for n in shape)


def num_elements(shape: Iterable[Any]) -> int:
    """The number of elements of an array, to compare costs by."""
    return math.prod(n if isinstance(n, int) else _SYMBOLIC for n in shape)


def is_sharded(aval: Any) -> bool:
    """Whether the type of an array says how it is divided among devices."""
    spec = getattr(getattr(aval, "sharding", None), "spec", None) or ()
    varying = getattr(aval, "vma", None) or getattr(aval, "manual_axis_type", None)
    axes = getattr(varying, "varying", varying)
    return bool(axes) or any(part is not None for part in spec)


def select(values: Iterable[Any], on: Iterable[bool]) -> list[Any]:
    """Those of `values` that are `on`."""
    return list(compress(values, on))


def replace_where(values: Iterable[Any], on: Iterable[bool], by: Iterable[Any]) -> list:
    """`values`, those that are `on` replaced in order."""
    new = iter(by)
    return [next(new) if flag else v for v, flag in zip(values, on, strict=True)]


def negate(flags: Iterable[bool]) -> list[bool]:
    """The opposite of each."""
    return [not flag for flag in flags]


def unflatten_like(tree: Any, leaves: Iterable[Any]) -> Any:
    """`leaves` in the form of `tree`."""
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


class Inputs(NamedTuple):
    """What a step reads, or something for each: values, variables, flags."""

    weights: list[Any]  # the same at every step
    carry: list[Any]  # fed back
    xs: list[Any]

    def flat(self) -> list[Any]:
        """The weights, the carry, then x."""
        return [*self.weights, *self.carry, *self.xs]


class Outputs(NamedTuple):
    """What a step returns, or something for each."""

    carry: list[Any]
    ys: list[Any]

    def flat(self) -> list[Any]:
        """The carry, then y."""
        return [*self.carry, *self.ys]


class Step(NamedTuple):
    """A flat program read as one step, and how often to take it."""

    program: Program  # (weights..., carry..., x...) -> (carry..., y...)
    weights: int  # number of leading inputs that are the same at every step
    carry: int  # number of inputs after them that are fed back
    length: Any  # may be symbolic
    reverse: bool
    unroll: int
    recompute: bool = False  # whether the derivative keeps nothing but carries
    budget: int | None = None  # bytes that work moved out of the loop may take

    def inputs(self) -> Inputs:
        """The variables of its inputs."""
        return self.as_inputs(jaxpr_of(self.program).invars)

    def outputs(self) -> Outputs:
        """The variables and literals that it returns."""
        return self.as_outputs(jaxpr_of(self.program).outvars)

    def as_inputs(self, values: Sequence[Any]) -> Inputs:
        """One value for each input of the program, by what it is for."""
        carry, x = self.weights, self.weights + self.carry
        return Inputs(list(values[:carry]), list(values[carry:x]), list(values[x:]))

    def as_outputs(self, values: Sequence[Any]) -> Outputs:
        """One value for each output of the program, by what it is for."""
        return Outputs(list(values[: self.carry]), list(values[self.carry :]))

    def propagate(
        self,
        sources: Sequence[bool],
        through: Callable[[Atom], bool] = lambda atom: True,
    ) -> tuple[bool, ...]:
        """The inputs that are `sources`, and the carries that come to depend on them.

        Args:
            sources: a flag for each input.
            through: whether a value hands on what reaches it.
        """
        jaxpr = jaxpr_of(self.program)
        eqns = [eqn for eqn in jaxpr.eqns if any(map(through, eqn.outvars))]
        while True:
            found = dependents(eqns, select(jaxpr.invars, sources))
            depends = [
                is_variable(a) and through(a) and a in found
                for a in self.outputs().carry
            ]
            weights, carry, xs = self.as_inputs(sources)
            grown = [on or more for on, more in zip(carry, depends, strict=True)]
            if grown == carry:
                return tuple(sources)
            sources = [*weights, *grown, *xs]


def lax_scan(f: Callable, carry: Any, xs: Any, length: Any, **options: Any) -> Any:
    """`jax.lax.scan`, which takes a length that has no number yet from `xs` only."""
    if jax.tree.leaves(xs):
        return lax.scan(f, carry, xs, None, **options)
    if not is_symbolic([length]):
        return lax.scan(f, carry, xs, length, **options)
    steps = jnp.zeros((length, 0), bool)
    return lax.scan(lambda c, both: f(c, both[0]), carry, (xs, steps), **options)


def loop_arity(loop: Equation) -> tuple[int, int]:
    """How many inputs of a loop of `jax.lax.scan` are captured, and how many carried.

    What has a time axis outside has none inside. (The arguments of `jax.lax.scan` do
    not tell: it captures a carry that never changes.)
    """
    inner = jaxpr_of(loop.params["jaxpr"])
    same = lambda outer, inner: sum(
        type_of(a).ndim == type_of(b).ndim for a, b in zip(outer, inner, strict=True)
    )
    carry = same(loop.outvars, inner.outvars)
    return same(loop.invars, inner.invars) - carry, carry
