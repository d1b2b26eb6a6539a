"""The normal form of a step: the same meaning, in the form that costs least in a loop.

    flat         nested calls are inlined, random keys are their raw words
    rewritten    slices are one split, products with one-hot vectors are lookups
    hoisted      what needs weights only is computed ahead, and becomes a weight
    ordered      sums begin with what is known early, weights stand on the right

A rewrite is a function from a program, and its variables that vary from step to step,
to a program with the same results. `REWRITES` lists them.
"""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
from jax import lax

from jrnn._programs.program import (
    CALLS,
    Atom,
    Environment,
    Equation,
    Program,
    Step,
    Variable,
    apply,
    backward_slice,
    cached,
    call,
    constants,
    count_uses,
    dependents,
    evaluate,
    examples,
    free_variables,
    is_differentiable,
    is_variable,
    jaxpr_of,
    loop_arity,
    read,
    rewrite,
    source_of,
    trace,
    type_of,
    variables,
)
from jrnn._replacements.one_hot import rows
from jrnn._replacements.shared import share_cotangent
from jrnn.scan.plan import LOOP, ONCE, binding_times, light_equations

Impl = Hashable | None  # the generator of a random key; None for what is none


class NormalForm(NamedTuple):
    """A flat step, and what is computed from the weights before all else."""

    once: Program  # weights as given -> weights of the step
    step: Step
    impls: tuple[Impl, ...]  # of the random keys among the outputs


class Options(NamedTuple):
    """How to take a step often; the fields are those of `Step`."""

    length: Any
    reverse: bool
    unroll: int
    recompute: bool = False
    budget: int | None = None


def normalise(
    loop: Equation,
    values: Sequence[Any],
    *,
    recompute: bool = False,
    budget: int | None = None,
) -> tuple[NormalForm, list[Any]]:
    """The step of a loop of `jax.lax.scan` in normal form, and the values it starts on.

    Args:
        loop: the loop.
        values: its inputs.
        recompute: whether the derivative keeps nothing but carries.
        budget: bytes that work moved out of the loop may take.
    """
    impls = tuple(map(_key_impl, values))
    params = loop.params
    weights, carry = loop_arity(loop)
    length, unroll = params["length"], params["unroll"]
    if isinstance(length, int):
        unroll = min(unroll or length, length)  # 0 unrolls the whole loop
    often = Options(length, params["reverse"], unroll, recompute, budget)
    form = _normalise(params["jaxpr"], impls, weights, carry, often)
    raw = _unwrap_keys(values, impls)
    return form, [*call(form.once, raw[:weights]), *raw[weights:]]


@cached
def _normalise(
    loop: Program,
    impls: tuple[Impl, ...],
    weights: int,
    carry: int,
    often: Options,
) -> NormalForm:
    program, out_impls = _flatten(loop, impls)
    for rewriting in REWRITES:
        jaxpr = jaxpr_of(program)
        program = rewriting(program, dependents(jaxpr.eqns, jaxpr.invars[weights:]))
    once, step = _hoist(Step(program, weights, carry, **often._asdict()))
    return NormalForm(once, step, out_impls)


def _hoist(step: Step) -> tuple[Program, Step]:
    """What needs weights only, and a step without it, sums and products in order."""
    jaxpr, held, given = jaxpr_of(step.program), constants(step.program), step.inputs()
    # What nothing reads is kept for those that check every value, and never planned.
    known, fixed = [*held, *given.weights], step.budget == 0
    times, at = binding_times(jaxpr.eqns, known, given.xs, given.carry, fixed=fixed)
    rest = [eqn for eqn in jaxpr.eqns if times[eqn.outvars[0]] != ONCE]
    reads = free_variables(rest, jaxpr.outvars)
    rest = backward_slice(light_equations(at[ONCE]), reads) + rest
    own = {*held, *given.carry, *given.xs}
    weights = [v for v in free_variables(rest, jaxpr.outvars) if v not in own]
    inputs = [*weights, *given.carry, *given.xs]

    def once(*values: Any) -> list[Any]:
        env = held | dict(zip(given.weights, values, strict=True))
        evaluate(at[ONCE], env)
        return [env[v] for v in weights]

    late = lambda v: times[v] == LOOP
    is_weight = lambda a: not is_variable(a) or times[a] == ONCE
    evaluate_one = functools.partial(apply_weight_on_the_right, is_weight=is_weight)

    def program(*values: Any) -> list[Any]:
        env = held | dict(zip(inputs, values, strict=True))
        evaluate_sums_early(rest, env, jaxpr.outvars, late, evaluate_one)
        return [read(env, a) for a in jaxpr.outvars]

    hoisted = trace(program, examples(inputs))
    step = step._replace(program=hoisted, weights=len(weights))
    return trace(once, examples(given.weights)), step


# Flat programs ------------------------------------------------------------------------


def _flatten(loop: Program, impls: Sequence[Impl]) -> tuple[Program, tuple[Impl, ...]]:
    """A program without calls or random keys, and the kinds of keys it returned."""
    jaxpr = jaxpr_of(loop)
    nested = any(eqn.primitive.name in CALLS for eqn in jaxpr.eqns)
    keys = any(map(_is_key, [*jaxpr.invars, *jaxpr.outvars]))
    if not nested and not keys:
        return loop, (None,) * len(jaxpr.outvars)
    out_impls: list[Impl] = []

    def flat(*values: Any) -> list[Any]:
        outs = call(loop, wrap_keys(values, impls), inline=CALLS)
        out_impls[:] = map(_key_impl, outs)
        return _unwrap_keys(outs, out_impls)

    like = [
        jax.eval_shape(jax.random.key_data, e) if impl else e
        for e, impl in zip(examples(jaxpr.invars), impls, strict=True)
    ]
    return trace(flat, like), tuple(out_impls)


def wrap_keys(values: Sequence[Any], impls: Sequence[Impl]) -> list[Any]:
    """Raw words made random keys again, where a generator is named."""
    return [
        jax.random.wrap_key_data(v, impl=impl) if impl else v
        for v, impl in zip(values, impls, strict=True)
    ]


def _unwrap_keys(values: Sequence[Any], impls: Sequence[Impl]) -> list[Any]:
    """Random keys made raw words, which any operation may carry."""
    return [
        jax.random.key_data(v) if impl else v
        for v, impl in zip(values, impls, strict=True)
    ]


def _key_impl(value: Any) -> Impl:
    is_key = jnp.issubdtype(jnp.result_type(value), jax.dtypes.prng_key)
    return jax.random.key_impl(value) if is_key else None


def _is_key(atom: Atom) -> bool:
    return jnp.issubdtype(type_of(atom).dtype, jax.dtypes.prng_key)


# Slices -------------------------------------------------------------------------------
#
# The derivative of a slice is an array of zeros but for one place, and that of several
# slices is the sum of those arrays. The derivative of a split concatenates those of its
# parts, which can be stored one beside the other. Gates cut out one by one, z[:H],
# z[H:2 * H], then cost no more than those of `jnp.split`.


class _Cut(NamedTuple):
    """What a slice takes of its operand, along the only axis that it cuts."""

    axis: int
    start: int
    limit: int


def split_slices(program: Program, varying: Collection[Variable]) -> Program:
    """Make slices of one variable a split, where they take all of it and nothing twice.

    A rewrite.
    """
    jaxpr = jaxpr_of(program)
    uses = count_uses(jaxpr.eqns, jaxpr.outvars)
    slices: dict[Variable, list[Equation]] = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive is lax.slice_p and is_variable(v := eqn.invars[0]):
            if v in varying and is_differentiable(v):
                slices.setdefault(v, []).append(eqn)
    instead: dict[Variable, Callable[[Environment], Environment]] = {}
    for v, readers in slices.items():
        if len(readers) == uses[v] and (cuts := _cuts(readers)):
            # the split stands in the place of the first slice
            instead |= {eqn.outvars[0]: lambda env: {} for eqn in readers}
            first = readers[0].outvars[0]
            instead[first] = functools.partial(_split, v, readers, cuts)
    return rewrite(program, instead)


def _split(
    v: Variable, slices: list[Equation], cuts: list[_Cut], env: Environment
) -> Environment:
    """The results of `slices` of `v`, which make these cuts, by one split."""
    ordered = sorted(set(cuts))
    sizes = [cut.limit - cut.start for cut in ordered]
    parts = lax.split(env[v], sizes, ordered[0].axis)
    zipped = zip(slices, cuts, strict=True)
    return {eqn.outvars[0]: parts[ordered.index(cut)] for eqn, cut in zipped}


def _cut(eqn: Equation) -> _Cut | None:
    """What a slice takes; None if it cuts several axes or leaves gaps."""
    shape = type_of(eqn.invars[0]).shape
    starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
    cut = [
        _Cut(axis, start, limit)
        for axis, (start, limit) in enumerate(zip(starts, limits, strict=True))
        if (start, limit) != (0, shape[axis])
    ]
    gaps = set(eqn.params["strides"] or [1]) != {1}
    return None if gaps or len(cut) != 1 else cut[0]


def _cuts(slices: list[Equation]) -> list[_Cut]:
    """What each takes; none where an element is in no slice, or in unequal ones."""
    cuts = [cut for eqn in slices if (cut := _cut(eqn)) is not None]
    if len(cuts) < len(slices) or len({cut.axis for cut in cuts}) > 1:
        return []
    *_, last = ordered = sorted(set(cuts))
    size = type_of(slices[0].invars[0]).shape[last.axis]
    limits = [0, *(cut.limit for cut in ordered)]
    return cuts if limits == [*(cut.start for cut in ordered), size] else []


# Products with one-hot vectors --------------------------------------------------------

MadeBy = dict[Atom, Equation]  # equations by what they make


def look_up_one_hot(program: Program, varying: Collection[Variable]) -> Program:
    """Make products of one-hot vectors with a matrix lookups of its rows.

    A rewrite.
    """
    del varying
    eqns = jaxpr_of(program).eqns
    made_by: MadeBy = {o: eqn for eqn in eqns for o in eqn.outvars}
    instead = {}
    for eqn in eqns:
        if eqn.primitive is lax.dot_general_p and _contracts_last_with_first(eqn):
            tokens = _tokens(eqn.invars[0], made_by)
            if tokens is not None:
                instead[eqn.outvars[0]] = functools.partial(_look_up, eqn, tokens)
    return rewrite(program, instead)


def _look_up(eqn: Equation, tokens: Variable, env: Environment) -> Environment:
    dtype, precision = type_of(eqn.outvars[0]).dtype, eqn.params["precision"]
    w = read(env, eqn.invars[1])
    return {eqn.outvars[0]: rows(env[tokens], w, dtype, precision)}


def _contracts_last_with_first(eqn: Equation) -> bool:
    x, w = eqn.invars
    (x_axes, w_axes), (batch, _) = eqn.params["dimension_numbers"]
    matrix = is_variable(x) and type_of(w).ndim == 2 and not batch
    return matrix and tuple(x_axes) == (type_of(x).ndim - 1,) and tuple(w_axes) == (0,)


def _tokens(atom: Atom, made_by: MadeBy) -> Variable | None:
    """The k where `atom` is made as `(k == iota).astype(float)`."""
    cast = made_by.get(atom)
    if cast is None or cast.primitive.name != "convert_element_type":
        return None
    compared = made_by.get(cast.invars[0])
    if compared is None or compared.primitive.name != "eq":
        return None
    places = [a for a in compared.invars if _counts(a, made_by)]
    others = [a for a in compared.invars if not _counts(a, made_by)]
    if len(places) != 1 or len(others) != 1:
        return None
    shape = type_of(atom).shape[:-1]
    token = others[0]
    while is_variable(token):
        if type_of(token).shape == shape:
            return token if jnp.issubdtype(type_of(token).dtype, jnp.integer) else None
        eqn = made_by.get(token)
        if eqn is None or not _repeats_along_last(eqn):
            return None
        token = eqn.invars[0]
    return None


def _counts(atom: Atom, made_by: MadeBy) -> bool:
    """Whether `atom` is 0, 1, 2, ... along its last axis, and never wraps."""
    aval = type_of(atom)
    last = aval.ndim - 1
    if not jnp.issubdtype(aval.dtype, jnp.integer):
        return False
    size = aval.shape[-1] if aval.ndim else 0
    most = min(jnp.iinfo(aval.dtype).max, jnp.iinfo(jnp.int32).max)
    if not isinstance(size, int) or not 0 < size <= most + 1:
        return False
    while is_variable(atom) and atom in made_by:
        eqn = made_by[atom]
        if eqn.primitive.name == "iota":
            return eqn.params["dimension"] == last
        if eqn.primitive.name != "broadcast_in_dim":
            return False
        axes = eqn.params["broadcast_dimensions"]
        atom = eqn.invars[0]
        whole = axes and type_of(atom).shape[-1] == eqn.params["shape"][last]
        if not whole or axes[-1] != last:
            return False
        last = len(axes) - 1
    return False


def _repeats_along_last(eqn: Equation) -> bool:
    """Whether the result is the operand, the same all along a last axis."""
    x, out = (type_of(a).shape for a in (*eqn.invars, *eqn.outvars))
    if eqn.primitive.name == "broadcast_in_dim":
        axes = tuple(eqn.params["broadcast_dimensions"])
        lead = tuple(range(len(out) - 1))
        same = x[: len(lead)] == out[:-1]
        with_last = axes == (*lead, len(out) - 1) and x[-1:] == (1,)
        return same and (axes == lead or with_last)
    return eqn.primitive.name == "reshape" and out == (*x, 1)


REWRITES: tuple[Callable[[Program, Collection[Variable]], Program], ...] = (
    split_slices,
    look_up_one_hot,
)


# Products with a weight ---------------------------------------------------------------


def apply_weight_on_the_right(
    eqn: Equation, values: Sequence[Any], is_weight: Callable[[Atom], bool]
) -> list[Any]:
    """Evaluate `eqn`; where it is `w @ x` with a vector x, as `x @ w`.

    Many vectors x, of a batch or of all steps, are then the rows of one left operand.
    """
    if eqn.primitive is lax.dot_general_p:
        w, x = eqn.invars
        (w_axes, x_axes), (batch, _) = eqn.params["dimension_numbers"]
        vector = type_of(x).ndim == len(x_axes) and not batch
        if vector and is_weight(w) and not is_weight(x):
            numbers = ((x_axes, w_axes), ((), ()))
            params = {**eqn.params, "dimension_numbers": numbers}
            return apply(eqn.replace(params=params), values[::-1])
    return apply(eqn, values)


# Sums ---------------------------------------------------------------------------------

_SUMS = {"add", "add_any"}


def evaluate_sums_early(
    eqns: Sequence[Equation],
    env: Environment,
    targets: Sequence[Atom],
    late: Callable[[Variable], bool],
    evaluate_one: Callable[[Equation, list[Any]], list[Any]] = apply,
    next_carry: Sequence[Atom] | None = None,
) -> None:
    """Evaluate `eqns`, adding up first what is not late, so that one value crosses.

    The order of a sum is the author's, unless its terms are floats, one of them is a
    product of matrices, and another order saves an array.

    Args:
        eqns: the equations.
        env: values by variable; the results are added.
        targets: what is read of the results.
        late: whether a variable is known only inside the loop.
        evaluate_one: how to evaluate an equation that is not a late sum.
        next_carry: those of a linear step, which is to be transposed: all of its sums
            may be reordered.
    """
    linear, uses = next_carry is not None, count_uses(eqns, targets)
    sums = flatten_sums(late_sums(eqns, late), uses)
    products = {v for e in eqns if e.primitive is lax.dot_general_p for v in e.outvars}
    is_late = lambda a: is_variable(a) and late(a)

    def pays(result: Variable) -> bool:
        """Whether another order than the author's may be taken, and saves an array."""
        leaves = sums[result].terms
        early = [a for a in leaves if is_variable(a) and not late(a)]
        of_products = not products.isdisjoint(variables(leaves))
        return len(early) > 1 and is_differentiable(result) and of_products

    reordered = {v: w for v, w in sums.items() if linear or pays(v)}
    absorbed = {v for whole in reordered.values() for v in whole.inside}
    for eqn in eqns:
        result = eqn.outvars[0]
        if result in reordered:
            leaves = sorted(reordered[result].terms, key=is_late)
            with source_of(eqn):
                value = add_all([read(env, a) for a in leaves])
                # All terms have the cotangent of the sum: it is to be computed once.
                # That of the next carry, if nothing else reads it, is an array anyway.
                alone = uses[result] == 1 and result in (next_carry or ())
                many = linear and len(leaves) > 2 and not alone
                env[result] = share_cotangent(value) if many else value
        elif result not in absorbed:
            values = evaluate_one(eqn, [read(env, a) for a in eqn.invars])
            env.update(zip(eqn.outvars, values, strict=True))


def late_sums(
    eqns: Sequence[Equation], late: Callable[[Variable], bool]
) -> dict[Variable, Equation]:
    """The equations that add to something late, by their results."""
    results = [(eqn.outvars[0], eqn) for eqn in eqns if eqn.primitive.name in _SUMS]
    return {v: eqn for v, eqn in results if late(v)}


class Sum(NamedTuple):
    """What a sum adds up, and the sums inside it that nothing else reads."""

    terms: list[Atom]
    inside: list[Variable]


def flatten_sums(
    sums: dict[Variable, Equation], uses: Counter[Variable]
) -> dict[Variable, Sum]:
    """The sums that are not part of another, each with all its terms."""
    parts: set[Variable] = set()
    found = {}
    for result in reversed(sums):  # a sum comes behind its parts
        if result not in parts:
            found[result] = _flatten_sum(result, sums, uses)
            parts.update(found[result].inside)
    return dict(reversed(found.items()))


def _flatten_sum(
    result: Variable, sums: dict[Variable, Equation], uses: Counter[Variable]
) -> Sum:
    """One of `sums`, in the order written; without recursion, for sums are long."""
    kind = lambda a: (type_of(a).shape, type_of(a).dtype)

    def alone(a: Atom) -> TypeGuard[Variable]:
        return is_variable(a) and a in sums and uses[a] == 1

    whole = Sum([], [])
    left: list[Atom] = [*reversed(sums[result].invars)]
    while left:
        atom = left.pop()
        if alone(atom) and kind(atom) == kind(result):
            whole.inside.append(atom)
            left.extend(reversed(sums[atom].invars))
        else:
            whole.terms.append(atom)
    return whole


def add_all(values: Sequence[Any]) -> Any:
    """Early values come first; each later one is added to what there is."""
    return functools.reduce(lax.add, values)
