"""The derivative of a step, as two steps.

    extended   the step itself, giving out also what its derivative needs to know again
    linear     the derivative, linear in the tangents, reading what was given out

What is given out is the cheapest set of values from which the rest can be computed.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax.extend import core

from jrnn._programs.program import (
    Atom,
    Equation,
    Variable,
    cached,
    call,
    constants,
    dependents,
    differentiable,
    evaluate,
    examples,
    free,
    is_variable,
    lifted,
    needed,
    opened,
    read,
    size,
    trace,
)
from jrnn.scan.derive.packing import (
    groups,
    pack,
    packed_example,
    unpack,
)
from jrnn.scan.derive.sums import divide_sums
from jrnn.scan.normalise.simplify import evaluate_sums_early
from jrnn.scan.plan.min_cut import cheapest_cut
from jrnn.scan.plan.placement import (
    LOOP,
    ONCE,
    Linear,
    Plan,
    cost_again,
    depths,
    fit_budget,
    read_only_in_loop,
    split,
)
from jrnn.scan.step import Step


@dataclass(frozen=True, eq=False)
class Derivative:
    """The two steps, and how their inputs and outputs belong together.

    An object of its own, equal to no other: operations carry it as a parameter.
    """

    extended: Step  # (weights, carry, x) -> (carry, y + saved)
    linear: Step  # (weights + dweights, dcarry, known + dx) -> (dcarry, dy)
    captured: list[Any]  # tracers read by custom rules: the first weights of both
    plan: Plan  # of the linear step
    known: list[int]  # which of x and the extended y the linear step reads
    private: list[int]  # which of those are stored for its loop only
    dcarry: list[int]  # which carries have a tangent
    dys: list[int]  # which y have a tangent
    shifted: list[int]  # which of the known are the carry before each step

    @property
    def program(self) -> core.ClosedJaxpr:
        """The linear step's, which whoever looks for operations in it needs to see."""
        return self.linear.program


class _Joint(NamedTuple):
    """A step and its derivative in one program, taken apart."""

    program: core.ClosedJaxpr
    captured: list[Any]  # values of the first inputs, which the step does not have
    inputs: list[Variable]
    outputs: list[Atom]
    eqns: list[Equation]  # of the step itself
    tangent_inputs: dict[int, Variable]  # by the place of the input
    tangent_outputs: dict[int, Atom]  # by the place of the output
    tangent_eqns: list[Equation]
    dcarry: list[int]  # places of the carries that have a tangent
    dys: list[int]  # places, among y, of those that have a tangent

    def results(self, carry: int) -> list[Atom]:
        """The tangents of the next carry and of y."""
        places = self.dcarry + [carry + i for i in self.dys]
        return [self.tangent_outputs[i] for i in places]


@cached
def derivative(step: Step, active: tuple[bool, ...]) -> Derivative:
    """Derive `step` for tangents of its `active` inputs."""
    joint = _linearise(step, active)
    step = step._replace(weights=step.weights + len(joint.captured))
    weights, carry, xs = step.parts(joint.inputs)
    depth, _ = depths(joint.eqns, [*constants(joint.program), *weights], xs, carry)
    wanted = free(joint.tangent_eqns, joint.results(step.carry))
    ys = [a for a in joint.outputs[step.carry :] if is_variable(a)]
    at_hand = {*xs, *(ys if step.recompute else [])}
    known = cheapest_cut(
        joint.eqns,
        [v for v in wanted if v in depth],
        again=lambda eqn: cost_again(eqn, depth, step.recompute),
        cost=lambda v: 0 if v in at_hand else size(v),
        ignored=lambda v: depth[v] == ONCE,
    )
    # A next carry whose carry is read too is stored already, one step later.
    nexts = zip(carry, joint.outputs, strict=False)
    known += [n for v, n in nexts if v in known and n in wanted and n not in known]
    available = [*xs, *joint.outputs[step.carry :]]
    shared = [v for v in known if v in available]
    saved = [[v] for v in known if v not in available]
    linear = _linear(step, joint, shared, saved, depth)
    where = split(linear.step, linear.known)
    packed = groups(where, linear.known, saved)
    if packed != saved:
        linear = _linear(step, joint, shared, packed, depth)
        where = split(linear.step, linear.known)
    where = fit_budget(linear.step, where, linear.known)
    stored = linear.known.saved
    known = [available.index(v) for v in shared]
    known += range(len(available), len(available) + len(packed))
    private = read_only_in_loop(where, stored)
    return Derivative(
        _extended(step, joint, packed),
        linear.step,
        joint.captured,
        where,
        known=known,
        private=[i for i, v in enumerate(stored, len(shared)) if v in private],
        dcarry=joint.dcarry,
        dys=joint.dys,
        shifted=[i for i, (v, *_) in enumerate(packed, len(shared)) if v in carry],
    )


def _linearise(step: Step, active: tuple[bool, ...]) -> _Joint:
    jaxpr, _ = opened(step.program)
    places = [i for i, on in enumerate(active) if on]
    smooth = [i for i, atom in enumerate(jaxpr.outvars) if differentiable(atom)]
    count = len(jaxpr.invars)

    def both(*args: Any) -> list[Any]:
        def varying(*values: Any) -> list[Any]:
            inputs = list(args[:count])
            for i, value in zip(places, values, strict=True):
                inputs[i] = value
            return call(step.program, inputs)

        outputs, push = jax.linearize(varying, *[args[i] for i in places])
        tangents = push(*args[count:])
        return outputs + [tangents[i] for i in smooth]

    like = [*jaxpr.invars, *(jaxpr.invars[i] for i in places)]
    program = trace(both, examples(like))
    carry = range(step.weights, step.weights + step.carry)
    moving = zip(places, opened(program)[0].invars[count:], strict=True)
    program = divide_sums(program, [v for i, v in moving if i in carry])
    program, captured = lifted(program)
    joint, _ = opened(program)
    count += len(captured)
    tangent_inputs = dict(zip(places, joint.invars[count:], strict=True))
    tangent_outputs = dict(
        zip(smooth, joint.outvars[len(jaxpr.outvars) :], strict=True)
    )
    tangents = dependents(joint.eqns, tangent_inputs.values())
    dcarry = [i - step.weights for i in carry if active[i]]
    dys = [i - step.carry for i in smooth if i >= step.carry]
    moves = lambda atom: is_variable(atom) and atom in tangents
    dys = [i for i in dys if moves(tangent_outputs[step.carry + i])]
    results = [tangent_outputs[i] for i in dcarry + [step.carry + i for i in dys]]
    linear = [eqn for eqn in joint.eqns if not tangents.isdisjoint(eqn.outvars)]
    return _Joint(
        program,
        captured,
        joint.invars[:count],
        joint.outvars[: len(jaxpr.outvars)],
        [eqn for eqn in joint.eqns if tangents.isdisjoint(eqn.outvars)],
        tangent_inputs,
        tangent_outputs,
        needed(linear, results),
        dcarry,
        dys,
    )


class _Linear(NamedTuple):
    step: Step
    known: Linear  # what its plan has to know


def _extended(step: Step, joint: _Joint, saved: list[list[Variable]]) -> Step:
    outputs = joint.outputs + [v for group in saved for v in group]

    def program(*args: Any) -> list[Any]:
        env = constants(joint.program) | dict(zip(joint.inputs, args, strict=True))
        evaluate(needed(joint.eqns, outputs), env)
        packed = [pack([env[v] for v in group]) for group in saved]
        return [*(read(env, a) for a in joint.outputs), *packed]

    return step._replace(program=trace(program, examples(joint.inputs)))


def _linear(
    step: Step,
    joint: _Joint,
    shared: list[Variable],
    saved: list[list[Variable]],
    depth: dict[Variable, int],
) -> _Linear:
    weights, _, _ = step.parts(joint.inputs)
    first_carry = step.weights - len(joint.captured)
    first_x = first_carry + step.carry
    tangents = joint.tangent_inputs.items()
    dweights = [v for i, v in tangents if i < first_carry]
    dcarry = [v for i, v in tangents if first_carry <= i < first_x]
    dxs = [v for i, v in tangents if first_x <= i]
    results = joint.results(step.carry)
    known = [*shared, *(v for group in saved for v in group)]
    recomputed = needed(joint.eqns, free(joint.tangent_eqns, results), given=known)
    # For the linear step, whatever the step itself computed is known beforehand.
    before = [v for v, d in depth.items() if d != ONCE]
    once = [v for v, d in depth.items() if d == ONCE]
    reach, _ = depths(joint.tangent_eqns, once + dweights, before + dxs, dcarry)
    late = lambda a: reach[a] == LOOP

    inputs = [*weights, *dweights, *dcarry, *shared]
    first_dx = len(inputs) + len(saved)

    def program(*args: Any) -> list[Any]:
        env = constants(joint.program) | dict(zip(inputs, args, strict=False))
        env |= zip(dxs, args[first_dx:], strict=True)
        for group, array in zip(saved, args[len(inputs) : first_dx], strict=True):
            env |= zip(group, unpack(array, len(group)), strict=True)
        evaluate(recomputed, env)
        evaluate_sums_early(joint.tangent_eqns, env, results, late, linear=True)
        return [read(env, a) for a in results]

    like = [*examples(inputs), *map(packed_example, saved), *examples(dxs)]
    linear = step._replace(
        program=trace(program, like),
        weights=len(weights) + len(dweights),
        carry=len(dcarry),
    )
    invars = opened(linear.program)[0].invars
    first_known = len(inputs) - len(shared)
    moving = invars[len(weights) : first_known] + invars[first_dx:]
    tangents = dependents(opened(linear.program)[0].eqns, moving)
    return _Linear(linear, Linear(tangents, invars[len(inputs) : first_dx]))
