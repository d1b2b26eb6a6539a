"""The derivative of a step, as two steps.

    extended   the step itself, which also returns what its derivative reads of it
    linear     the derivative, linear in the tangents

    (carry, y, saved) = extended(weights, carry, x)
    (dcarry, dy)      = linear(weights, dweights, dcarry, shared, saved, dx)

`shared` are x and y; `saved` are the other residuals: the cheapest set of values from
which all else that the derivative reads can be computed again, a minimum cut.
"""

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import (
    Atom,
    Environment,
    Equation,
    Inputs,
    Outputs,
    Program,
    Step,
    Variable,
    all_variables,
    apply,
    backward_slice,
    bytes_of,
    cached,
    call,
    closure_convert,
    constants,
    count_uses,
    dependents,
    evaluate,
    example,
    examples,
    free_variables,
    is_differentiable,
    is_symbolic,
    is_variable,
    jaxpr_of,
    num_elements,
    read,
    replace_where,
    rewrite,
    select,
    trace,
    type_of,
    unflatten_like,
)
from jrnn.scan.min_cut import min_cut
from jrnn.scan.normalise import add_all, evaluate_sums_early, flatten_sums, late_sums
from jrnn.scan.plan import (
    LOOP,
    ONCE,
    Linear,
    Plan,
    Times,
    binding_times,
    fit_budget,
    read_only_in_loop,
    remat_price,
    split_loop,
)

Group = list[Variable]  # of saved residuals that are stored side by side


class LinearInputs(NamedTuple):
    """What the linear step reads, or something for each; flattened by `jax.tree`."""

    weights: list[Any]  # those captured by custom rules first
    dweights: list[Any]  # of the weights that have a tangent
    dcarry: list[Any]  # of the carries that have one
    shared: list[Any]  # x and y that it reads
    saved: list[Any]  # residuals that are stored for it
    dxs: list[Any]  # of the x that have a tangent


class ExtendedOutputs(NamedTuple):
    """What the extended step returns."""

    carry: list[Any]
    ys: list[Any]
    saved: list[Any]


@dataclass(frozen=True, eq=False)
class Derivative:
    """The two steps, and how their inputs and outputs belong together.

    An object of its own, equal to no other: operations carry it as a parameter.
    """

    extended: Step
    linear: Step
    captured: list[Any]  # tracers read by custom rules: the first weights of both
    plan: Plan  # of the linear step
    shared: list[int]  # places of these among x and y
    moving: Outputs  # flags: which carry and y have a tangent
    spare: LinearInputs  # flags: what only its loop reads, and may write over
    shifted: LinearInputs  # flags: what is the carry before each step

    @property
    def program(self) -> Program:
        """The linear step's, which whoever looks for operations in it needs to see."""
        return self.linear.program

    def as_extended_outputs(self, values: Sequence[Any]) -> ExtendedOutputs:
        """One value for each output of the extended step, by what it is for."""
        carry, ys = self.extended.as_outputs(values)
        count = len(self.moving.ys)
        return ExtendedOutputs(carry, ys[:count], ys[count:])


@cached
def derivative(step: Step, active: tuple[bool, ...]) -> Derivative:
    """Derive `step` for tangents of its `active` inputs."""
    joint = _linearise(step, step.as_inputs(active))
    step = step._replace(weights=step.weights + len(joint.captured))
    weights, carry, xs = joint.inputs
    known = [*constants(joint.program), *weights]
    times, _ = binding_times(joint.eqns, known, xs, carry)
    residuals = _residuals(step, joint, times)
    available = [*xs, *joint.outputs.ys]
    shared = [v for v in residuals if v in available]
    groups = [[v] for v in residuals if v not in available]
    linear, where, groups = _plan_linear(step, joint, shared, groups, times)
    flags = lambda some: jax.tree.map(lambda v: v in some, linear.inputs)
    pairs = zip(linear.inputs.saved, groups, strict=True)
    return Derivative(
        _extended_step(step, joint, groups),
        linear.step,
        joint.captured,
        where,
        [available.index(v) for v in shared],
        joint.moving,
        spare=flags(read_only_in_loop(where, linear.inputs.saved)),
        shifted=flags({v for v, group in pairs if group[0] in carry}),
    )


class _Joint(NamedTuple):
    """A step and its derivative in one program."""

    program: Program
    captured: list[Any]  # values of the first weights, which the step does not have
    inputs: Inputs
    dinputs: Inputs  # tangents of those inputs that have one
    outputs: Outputs
    doutputs: Outputs  # tangents of those outputs that have one
    moving: Outputs  # flags: which those are
    eqns: list[Equation]  # of the step itself
    tangent_eqns: list[Equation]


def _linearise(step: Step, active: Inputs) -> _Joint:
    """A step and its derivative by its `active` inputs."""
    smooth = [is_differentiable(a) for a in step.outputs().flat()]
    program, count = _trace_both(step, active, smooth), len(step.inputs().flat())
    moved = Inputs(*map(select, step.inputs(), active))
    dinputs = unflatten_like(moved, jaxpr_of(program).invars[count:])
    program, captured = closure_convert(divide_sums(program, dinputs.carry))
    joint = jaxpr_of(program)
    count += len(captured)
    step = step._replace(weights=step.weights + len(captured))
    outputs, found = joint.outvars[: len(smooth)], joint.outvars[len(smooth) :]
    douts = step.as_outputs(replace_where([None] * len(smooth), smooth, found))
    dinputs = unflatten_like(moved, joint.invars[count:])
    tangents = dependents(joint.eqns, dinputs.flat())
    moves = lambda atom: is_variable(atom) and atom in tangents
    moving = Outputs(active.carry, list(map(moves, douts.ys)))
    doutputs = Outputs(*map(select, douts, moving))
    linear = [eqn for eqn in joint.eqns if not tangents.isdisjoint(eqn.outvars)]
    return _Joint(
        program, captured, step.as_inputs(joint.invars[:count]), dinputs,
        step.as_outputs(outputs), doutputs, moving,
        eqns=[eqn for eqn in joint.eqns if tangents.isdisjoint(eqn.outvars)],
        tangent_eqns=backward_slice(linear, doutputs.flat()),
    )  # fmt: skip


def _trace_both(step: Step, active: Inputs, smooth: list[bool]) -> Program:
    """From inputs and tangents of `active` ones to outputs and tangents of `smooth`."""
    variables, on = step.inputs().flat(), active.flat()
    count = len(variables)

    def both(*args: Any) -> list[Any]:
        primals, tangents = args[:count], args[count:]
        varying = lambda *new: call(step.program, replace_where(primals, on, new))
        outputs, push = jax.linearize(varying, *select(primals, on))
        return outputs + select(push(*tangents), smooth)

    return trace(both, examples([*variables, *select(variables, on)]))


def _residuals(step: Step, joint: _Joint, times: Times) -> list[Variable]:
    """Values of the step from which its derivative can compute all else that it reads.

    Weights apart, which it is given in any case.
    """
    wanted = free_variables(joint.tangent_eqns, joint.doutputs.flat())
    ys = [a for a in joint.outputs.ys if is_variable(a)]
    at_hand = {*joint.inputs.xs, *(ys if step.recompute else [])}
    mentioned = all_variables(joint.eqns, wanted)
    residuals = min_cut(
        joint.eqns,
        [v for v in wanted if v in times],
        recompute=[remat_price(eqn, times, step.recompute) for eqn in joint.eqns],
        store={v: 0 if v in at_hand else bytes_of(v) for v in mentioned},
        known={v for v in mentioned if times.get(v) == ONCE},
    )
    # A next carry whose carry is read too is stored already, one step later.
    pairs = zip(joint.inputs.carry, joint.outputs.carry, strict=True)
    nexts = [n for v, n in pairs if v in residuals and n in wanted]
    return residuals + [n for n in nexts if n not in residuals]


def _extended_step(step: Step, joint: _Joint, groups: list[Group]) -> Step:
    """The step that also returns the saved residuals."""
    outputs = joint.outputs.flat()
    eqns = backward_slice(joint.eqns, outputs + [v for group in groups for v in group])
    inputs = joint.inputs.flat()

    def program(*args: Any) -> list[Any]:
        env = constants(joint.program) | dict(zip(inputs, args, strict=True))
        evaluate(eqns, env)
        saved = [_pack([env[v] for v in group]) for group in groups]
        return [*(read(env, a) for a in outputs), *saved]

    return step._replace(program=trace(program, examples(inputs)))


class _LinearStep(NamedTuple):
    """The linear step, its inputs, and what its plan has to know."""

    step: Step
    inputs: LinearInputs  # variables
    known: Linear


def _plan_linear(
    step: Step,
    joint: _Joint,
    shared: list[Variable],
    groups: list[Group],
    times: Times,
) -> tuple[_LinearStep, Plan, list[Group]]:
    """The linear step, its plan, and which saved residuals are stored side by side."""
    linear = _linear_step(step, joint, shared, groups, times)
    where = split_loop(linear.step, linear.known)
    packed = _pack_groups(where, linear.known, groups)
    if packed != groups:
        linear = _linear_step(step, joint, shared, packed, times)
        where = split_loop(linear.step, linear.known)
    return linear, fit_budget(linear.step, where, linear.known), packed


def _linear_step(
    step: Step,
    joint: _Joint,
    shared: list[Variable],
    groups: list[Group],
    times: Times,
) -> _LinearStep:
    """The derivative alone, of all that it reads and cannot compute."""
    results, dinputs = joint.doutputs.flat(), joint.dinputs
    alone = lambda variables: [[v] for v in variables]
    names = LinearInputs(
        weights=alone(joint.inputs.weights),
        dweights=alone(dinputs.weights),
        dcarry=alone(dinputs.carry),
        shared=alone(shared),
        saved=groups,
        dxs=alone(dinputs.xs),
    )
    like = LinearInputs(*(list(map(_packed_example, part)) for part in names))
    reads = free_variables(joint.tangent_eqns, results)
    given = [v for group in names.shared + names.saved for v in group]
    recomputed = backward_slice(joint.eqns, reads, given)
    late = _late_tangents(joint, times)

    def program(*args: Any) -> list[Any]:
        env = constants(joint.program)
        for group, array in zip(itertools.chain(*names), args, strict=True):
            env |= zip(group, _unpack(array, len(group)), strict=True)
        evaluate(recomputed, env)
        carry = joint.doutputs.carry
        evaluate_sums_early(joint.tangent_eqns, env, results, late, next_carry=carry)
        return [read(env, a) for a in results]

    made = trace(program, jax.tree.leaves(like))
    inputs = unflatten_like(like, jaxpr_of(made).invars)
    moving = [*inputs.dweights, *inputs.dcarry, *inputs.dxs]
    same = len(inputs.weights) + len(inputs.dweights)
    step = step._replace(program=made, weights=same, carry=len(inputs.dcarry))
    tangents = dependents(jaxpr_of(made).eqns, moving)
    return _LinearStep(step, inputs, Linear(tangents, inputs.saved))


def _late_tangents(joint: _Joint, times: Times) -> Callable[[Variable], bool]:
    """Whether a variable depends on a tangent of the carry.

    For the linear step, whatever the step itself computed is known beforehand.
    """
    once = [v for v, time in times.items() if time == ONCE]
    before = [v for v, time in times.items() if time != ONCE]
    found, _ = binding_times(
        joint.tangent_eqns,
        once + joint.dinputs.weights,
        before + joint.dinputs.xs,
        joint.dinputs.carry,
    )
    return lambda v: found[v] == LOOP


# Saved residuals side by side ---------------------------------------------------------
#
# The loop that goes back in time reads what was stored at each step, and stores a
# cotangent of, say, an LSTM's four gates. With the four values of the gates in one
# array of the same size, the cotangents can take their place.


def _pack_groups(where: Plan, known: Linear, groups: list[Group]) -> list[Group]:
    """Group what is saved so that results of the loop can take its place.

    Args:
        where: the plan of the linear step.
        known: its tangents, and its inputs for what is saved.
        groups: one group, of one variable, for each of these.

    Returns:
        The same variables in other groups; those of a group are alike.
    """
    private = read_only_in_loop(where, known.saved)
    left = [group for v, group in zip(known.saved, groups, strict=True) if v in private]
    others = [group for group in groups if group not in left]
    rows = [type_of(v) for v in where.crossing + where.broadcast if v in known.tangents]
    found = []
    for row in sorted(rows, key=lambda row: num_elements(row.shape), reverse=True):
        for (first,) in left:
            alike = [group for group in left if _same(group[0], first)]
            aval = type_of(first)
            if is_symbolic([*row.shape, *aval.shape]):
                continue
            fit = row.size // max(1, aval.size)
            fills = fit * aval.size == row.size
            if fills and aval.dtype == row.dtype and 0 < fit <= len(alike):
                found.append([v for group in alike[:fit] for v in group])
                left = [group for group in left if group not in alike[:fit]]
                break
    return found + left + others


def _pack(values: Sequence[Any]) -> Any:
    """Arrays of one shape side by side on a new leading axis; one array as it is."""
    if len(values) == 1:
        return values[0]
    return lax.concatenate([lax.expand_dims(v, [0]) for v in values], 0)


def _unpack(array: Any, count: int) -> list[Any]:
    """The arrays that were packed."""
    if count == 1:
        return [array]
    return [lax.index_in_dim(array, i, keepdims=False) for i in range(count)]


def _packed_example(group: Group) -> jax.ShapeDtypeStruct:
    """What the variables of a group look like packed."""
    one = example(group[0].aval)
    if len(group) == 1:
        return one
    return jax.ShapeDtypeStruct((len(group), *one.shape), one.dtype)


def _same(a: Variable, b: Variable) -> bool:
    return (type_of(a).shape, type_of(a).dtype) == (type_of(b).shape, type_of(b).dtype)


# Sums divided into parts --------------------------------------------------------------
#
# Where some parts of a sum are added to something else,
#
#     (r, z, n) = split(e + l),   r + f,  z + g,  ...        e, f, g known early
#
# r and z need (e_r + f) + l_r and (e_z + g) + l_z only. What is known early is added up
# ahead of the loop then, part by part, and less crosses into it: of the tangents of a
# GRU's two products the sum for its gates r and z, and both for its new gate.


class _Division(NamedTuple):
    """How to divide a sum that is split."""

    split: Equation
    early: list[Atom]  # terms of the sum
    late: list[Atom]
    other: Equation  # splits something early into parts of the same sizes
    added: list[bool]  # parts that are only added to that of the other


def divide_sums(program: Program, late_inputs: Collection[Variable]) -> Program:
    """Divide the sums of a flat program, all of whose sums may be reordered.

    Args:
        program: the program.
        late_inputs: those of its inputs that are known late.
    """
    jaxpr = jaxpr_of(program)
    late = dependents(jaxpr.eqns, late_inputs)
    instead = {
        how.split.outvars[0]: functools.partial(_divide, how)
        for how in _divisions(jaxpr.eqns, jaxpr.outvars, late)
    }
    # what is early first: the other split may be written behind the one divided
    is_late = lambda eqn: not late.isdisjoint(eqn.outvars)
    return rewrite(program, instead, sorted(jaxpr.eqns, key=is_late))


def _divide(how: _Division, env: Environment) -> Environment:
    """The parts of both splits, where they are added the early ones with the other."""
    split = how.split
    shape = type_of(split.invars[0]).shape
    early, late = (
        apply(split, [jnp.broadcast_to(add_all([read(env, a) for a in atoms]), shape)])
        for atoms in (how.early, how.late)
    )
    others = [env[v] for v in how.other.outvars]
    for i, added in enumerate(how.added):
        if added:
            others[i] = lax.add(others[i], early[i])
        else:
            late[i] = lax.add(early[i], late[i])
    # one array, to cross into the loop, and to come out of its derivative
    whole = lax.concatenate(others, split.params["axis"])
    parts = [*apply(how.other, [whole]), *late]
    return dict(zip([*how.other.outvars, *split.outvars], parts, strict=True))


def _divisions(
    eqns: Sequence[Equation], outputs: Sequence[Atom], late: Collection[Variable]
) -> Iterator[_Division]:
    """The divisions that let less cross into the loop."""
    uses = count_uses(eqns, outputs)

    def once(a: Atom) -> TypeGuard[Variable]:
        return is_variable(a) and uses[a] == 1

    is_late = lambda a: is_variable(a) and a in late
    sums = flatten_sums(late_sums(eqns, is_late), uses)

    beside: dict[Atom, set[Variable]] = {}  # of terms read once: what they are added to
    for whole in sums.values():
        found = {a for a in whole.terms if once(a)}
        beside |= {a: found for a in found}

    splits = [eqn for eqn in eqns if eqn.primitive is lax.split_p]
    for split in splits:
        result = split.invars[0]
        found = sums[result].terms if once(result) and result in sums else []
        early = [a for a in found if not is_late(a)]
        for other in splits:
            if early and _alike(split, other) and not is_late(other.invars[0]):
                zipped = zip(split.outvars, other.outvars, strict=True)
                added = [f in beside.get(part, ()) for part, f in zipped]
                if any(added):
                    later = [a for a in found if is_late(a)]
                    yield _Division(split, early, later, other, added)
                    break


def _alike(a: Equation, b: Equation) -> bool:
    """Whether two splits do the same to arrays of one shape."""
    same_shape = type_of(a.invars[0]).shape == type_of(b.invars[0]).shape
    return same_shape and a.params == b.params
