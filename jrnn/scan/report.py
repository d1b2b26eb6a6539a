"""What of a step runs before, in and after the loop, for people to read."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import jax

from jrnn._programs.program import (
    Atom,
    Equation,
    Step,
    examples,
    is_differentiable,
    jaxpr_of,
    type_of,
)
from jrnn.scan.derive import derivative
from jrnn.scan.loop import Call, is_supported, trace_call
from jrnn.scan.normalise import normalise
from jrnn.scan.plan import Plan, plan

PyTree = Any


class ScanReport(NamedTuple):
    """Where the equations of a step and of its derivative run; `str` shows it.

    Every equation is a line such as `dot_general float32[3,16]`, an array of one step.
    """

    length: int  # number of steps
    step: dict[str, list[str]]  # "once", "before", "loop" and "after" to equations
    derivative: dict[str, list[str]]  # the same, linear in the tangents
    saved: list[tuple[str, int]]  # for the derivative: arrays, and bytes of all steps
    # For how many steps at once moved work is done, in the step and in its derivative,
    # so that it stays within its budget of memory; None for all of them.
    at_once: tuple[int | None, int | None] = (None, None)

    def __str__(self) -> str:
        """The report as lines of text."""
        if not self.step:
            return (
                f"{self.length} steps, all in jax.lax.scan: no steps, side effects, "
                "names for a policy of jax.checkpoint, or types with a mesh."
            )
        lines = [f"{self.length} steps", *_section("step", self.step, self.at_once[0])]
        lines += _section("derivative", self.derivative, self.at_once[1])
        lines += ["saved for the derivative"]
        lines += [f"  {size:>12,} bytes  {array}" for array, size in self.saved]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same lines, for a notebook."""
        text = str(self)
        for sign, name in (("&", "amp"), ("<", "lt"), (">", "gt")):
            text = text.replace(sign, f"&{name};")
        return f"<pre>{text}</pre>"


def scan_report(
    f: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    init: PyTree,
    xs: PyTree = None,
    length: int | None = None,
    *,
    remat: Literal["step"] | None = None,
    budget: int | None = None,
) -> ScanReport:
    """Tell what `scan(f, init, xs, length)` runs before, in and after its loop.

    Nothing is computed; `f` is traced. The derivative is that by all inputs, by the
    first carry and by all captured arrays that can be differentiated.

    Args:
        f: one step, as for `scan`.
        init: the carry before the first step.
        xs: inputs with time leading.
        length: number of steps; needed only where `xs` is `None`.
        remat: None or "step", as for `scan`.
        budget: as for `scan`.

    Returns:
        A `ScanReport`; print it.

    Example:
        >>> import jax.numpy as jnp
        >>> w = jnp.ones((3, 3), "float32")
        >>> step = lambda h, x: (jnp.tanh(x @ w + h @ w), h @ w)
        >>> report = scan_report(step, w[0], jnp.ones((5, 3), "float32"))
        >>> report.step["before"], report.step["after"]
        (['dot_general float32[3]'], ['dot_general float32[3]'])
    """
    call = trace_call(f, init, xs, length)
    steps = call.loop.params["length"]
    if not is_supported(call.loop):
        return ScanReport(steps, {}, {}, [])
    step = _step(call, recompute=remat == "step", budget=budget)
    given = list(map(is_differentiable, jaxpr_of(step.program).invars))
    rule = derivative(step, step.propagate(given, through=is_differentiable))
    outputs = rule.as_extended_outputs(jaxpr_of(rule.extended.program).outvars)
    saved = [(_array(a), steps * _bytes(a)) for a in outputs.saved]
    alone = plan(step)
    return ScanReport(
        steps,
        _places(alone),
        _places(rule.plan),
        sorted(saved, key=lambda pair: -pair[1]),
        (alone.chunk, rule.plan.chunk),
    )


def _step(call: Call, **options: Any) -> Step:
    """The normal form of the step of a call, whose values are tracers here."""
    steps = []

    def enter(*values: Any) -> list[Any]:
        form, start = normalise(call.loop, values, **options)
        steps.append(form.step)
        return start

    jax.eval_shape(enter, *examples(call.loop.invars))
    return steps[0]


def _places(where: Plan) -> dict[str, list[str]]:
    return {
        "once": _names(where.once),
        "before": _names(where.before),
        "loop": _names(where.loop),
        "after": _names(where.after),
    }


def _names(eqns: Iterable[Equation]) -> list[str]:
    """Operation and result of each; products with one-hot vectors look rows up."""
    own = {"jrnn_rows": "gather", "jrnn_row_sums": "scatter-add"}
    name = lambda eqn: own.get(eqn.primitive.name, eqn.primitive.name)
    return [f"{name(eqn)} {_array(eqn.outvars[0])}" for eqn in eqns]


def _array(atom: Atom) -> str:
    aval = type_of(atom)
    return f"{aval.dtype}[{','.join(map(str, aval.shape))}]"


def _bytes(atom: Atom) -> int:
    return type_of(atom).size * type_of(atom).dtype.itemsize


def _section(
    title: str, places: dict[str, list[str]], at_once: int | None
) -> list[str]:
    some = "" if at_once is None else f", {at_once} steps at once within its budget"
    lines = [title + some]
    for place, names in places.items():
        counted = {name: names.count(name) for name in dict.fromkeys(names)}
        shown = [f"{n} x {name}" if n > 1 else name for name, n in counted.items()]
        lines += [f"  {place:<7} {name}" for name in shown or ["-"]]
    return lines
