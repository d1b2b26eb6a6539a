"""One step of a cell as a program: what reads which state, and what mixes units."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax

from jrnn._programs import program
from jrnn.cell import Carry, Cell, Input, Key, Params
from jrnn.online._dependence import keeps_apart

# For each equation, which of its operands are held constant.
Cut = list[list[bool]]


class StepProgram(NamedTuple):
    """A step at a given input.

    What depends on neither the parameters nor the state, random numbers among it, is
    known: it is computed once, however often the rest is evaluated.
    """

    eqns: list[program.Equation]  # those that depend on parameters or state
    known: program.Environment
    varying: set[program.Variable]  # what depends on the state, the input or the key
    params: list[program.Variable]
    carry: list[program.Variable]
    new: list[program.Atom]  # the new carry
    ys: list[program.Atom]
    form: Any  # the tree of (new carry, y)


def step_program(
    cell: Cell, params: Params, carry: Carry, x: Input, key: Key | None
) -> StepProgram:
    """Trace a step and compute what is known of it."""
    args, tree = jax.tree.flatten((params, carry, x, key))

    def run(*leaves):
        params, carry, x, key = tree.unflatten(leaves)
        return cell.step(params, carry, x, key=key)

    traced = program.trace(lambda *leaves: jax.tree.leaves(run(*leaves)), args)
    jaxpr = program.jaxpr_of(traced)
    first = len(jax.tree.leaves(params))
    last = first + len(jax.tree.leaves(carry))
    invars = jaxpr.invars
    moving = program.dependents(jaxpr.eqns, invars[:last])
    depends = [any(v in moving for v in eqn.outvars) for eqn in jaxpr.eqns]
    known = program.constants(traced)
    known |= dict(zip(invars[last:], args[last:], strict=True))
    program.evaluate(program.select(jaxpr.eqns, program.negate(depends)), known)
    return StepProgram(
        eqns=program.select(jaxpr.eqns, depends),
        known=known,
        varying=program.dependents(jaxpr.eqns, invars[first:]),
        params=invars[:first],
        carry=invars[first:last],
        new=jaxpr.outvars[: last - first],
        ys=jaxpr.outvars[last - first :],
        form=jax.tree.structure(jax.eval_shape(run, *args)),
    )


def evaluate(
    step: StepProgram, params: Params, carry: Carry, cut: Cut | None = None
) -> tuple[Carry, Any]:
    """The new carry and the output, some operands held constant in derivatives."""
    env = _environment(step, params, carry)
    for n, eqn in enumerate(step.eqns):
        values = [program.read(env, atom) for atom in eqn.invars]
        if cut is not None:
            values = [
                lax.stop_gradient(v) if on else v
                for v, on in zip(values, cut[n], strict=True)
            ]
        env.update(zip(eqn.outvars, program.apply(eqn, values), strict=True))
    leaves = [program.read(env, atom) for atom in [*step.new, *step.ys]]
    return step.form.unflatten(leaves)


def nudged(
    step: StepProgram,
    params: Params,
    carry: Carry,
    nudges: dict[program.Variable, jax.Array],
    wanted: Sequence[program.Atom],
) -> tuple[Carry, list[jax.Array]]:
    """The new carry with something added to values on the way, and some other values.

    The derivative by a nudge is that by the value it is added to.
    """
    env = _environment(step, params, carry)
    for eqn in step.eqns:
        values = [program.read(env, atom) for atom in eqn.invars]
        for v, result in zip(eqn.outvars, program.apply(eqn, values), strict=True):
            env[v] = result + nudges[v] if v in nudges else result
    leaves = [program.read(env, atom) for atom in [*step.new, *step.ys]]
    return step.form.unflatten(leaves)[0], [program.read(env, atom) for atom in wanted]


def output(step: StepProgram, params: Params, carry: Carry, new: Carry) -> Any:
    """The output, which reads `new` where it would read the new carry.

    Where a step computes its output from the value that it returns as carry, as most
    do, it depends on the old state and on parameters of the state no more.
    """
    computed = {v for eqn in step.eqns for v in eqn.outvars}
    given = {
        v: value
        for v, value in zip(step.new, jax.tree.leaves(new), strict=True)
        if program.is_variable(v) and v in computed
    }
    env = _environment(step, params, carry) | given
    needed = program.backward_slice(step.eqns, step.ys, given)
    for eqn in needed:
        values = [program.read(env, atom) for atom in eqn.invars]
        results = zip(eqn.outvars, program.apply(eqn, values), strict=True)
        env.update((v, result) for v, result in results if v not in given)
    leaves = [program.read(env, atom) for atom in step.ys]
    return step.form.unflatten([*step.new, *leaves])[1]


def local(step: StepProgram) -> Cut:
    """Units hand on only what they keep by themselves.

    Where an operation mixes units, such as a product with a weight, all that varies
    from step to step is held constant, states and inputs; weights are not. What is left
    of dh_t/dh_{t-1} are the paths within a unit, such as f_t of an LSTM's c and z_t of
    a GRU's h, and of dh_t/dtheta those of parameters that act on a unit itself.
    """
    return [
        [not keeps_apart(eqn) and atom in step.varying for atom in _read_by(eqn)]
        for eqn in step.eqns
    ]


def spatial(step: StepProgram) -> Cut:
    """The old state reaches the output only through its own unit.

    An operation that mixes units holds the old state constant, and what comes of it,
    until it has become the new state: that goes on to the output, and through layers
    above, as it is. For the derivative by the old state alone.
    """
    old, new = set(step.carry), _new_states(step)
    cut = []
    for eqn in step.eqns:
        reads_old = [atom in old for atom in _read_by(eqn)]
        mixes = not keeps_apart(eqn)
        cut.append([mixes and on for on in reads_old])
        if any(reads_old) and not mixes:
            old.update(v for v in eqn.outvars if v not in new)
    return cut


def local_step(cell: Cell) -> Callable[..., tuple[Carry, Any]]:
    """A step with the values of the cell's and the derivatives of `local`."""

    def step(params, carry, x, *, key=None):
        made = step_program(cell, params, carry, x, key)
        return evaluate(made, params, carry, local(made))

    return step


def _environment(step: StepProgram, params: Params, carry: Carry) -> dict:
    inputs = [*jax.tree.leaves(params), *jax.tree.leaves(carry)]
    return step.known | dict(zip([*step.params, *step.carry], inputs, strict=True))


def _read_by(eqn: program.Equation) -> Sequence[program.Variable | None]:
    """What an equation reads, None for constants."""
    return [atom if program.is_variable(atom) else None for atom in eqn.invars]


def _new_states(step: StepProgram) -> set[program.Variable]:
    """The variables that become the new carry, also by a choice among two."""
    new = set(program.variables(step.new))
    for eqn in reversed(step.eqns):
        if eqn.primitive.name == "select_n" and eqn.outvars[0] in new:
            new.update(program.variables(eqn.invars[1:]))
    return new - set(step.carry)
