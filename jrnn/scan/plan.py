"""The plan of a step: where each of its equations runs, and how.

    once     depends on the weights only: a single time
    before   depends on weights and on x_t only: all steps at once, ahead of the loop
    loop     leads from the carry to the next carry: one step after the other
    after    depends on the carry, but no later step needs it: all steps at once, behind

This is loop fission, after an analysis of what depends on what (binding times). A step
and its derivative are planned by the same code. What only CPUs want is in the plan too,
marked as such: whether it is done is chosen at lowering, and nothing else is.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from jax import lax
from jax.extend import core
from jax.extend.core import primitives

from jrnn._programs.program import (
    Atom,
    Equation,
    Step,
    Variable,
    all_variables,
    backward_slice,
    bytes_of,
    constants,
    free_variables,
    inner_programs,
    is_differentiable,
    is_symbolic,
    is_variable,
    jaxpr_of,
    nested_equations,
    num_elements,
    type_of,
    variables,
)
from jrnn.scan.min_cut import min_cut

ONCE, BEFORE, LOOP = range(3)  # binding times: known with the weights, x_t, the carry
Times = dict[Variable, int]

# How an equation of the loop runs that does not run as it is written:
How = Literal[
    "transposed",  # a product, its weight transposed once, ahead of the loop
    "padded",  # a product, its weight given columns of zeros once, ahead of the loop
    "parts",  # a concatenation, its operands stored each in its place
]


class Linear(NamedTuple):
    """What a plan has to know of a step that is the derivative of another."""

    tangents: set[Variable]  # its variables that are linear in its tangents
    saved: list[Variable]  # its inputs that were stored for it


class Plan(NamedTuple):
    """Where and how each equation of a step runs."""

    once: list[Equation]
    before: list[Equation]
    crossing: list[Variable]  # computed before, read in the loop
    broadcast: list[Variable]  # of weights, yet fed to the loop step by step
    loop: list[Equation]
    stacked: list[Variable]  # computed in the loop, read behind it
    shifted: dict[Variable, Variable]  # carries read behind it, made of stacked ones
    after: list[Equation]
    # By the first result of an equation, how it runs if not as it is written:
    flat: set[Variable]  # products before and after the loop, as one of two matrices
    layouts: dict[Variable, How]  # products of the loop
    on_cpu: dict[Variable, How]  # equations of the loop, on CPUs only
    ahead: set[Variable]  # of the crossing: read a step ahead, on CPUs only
    linear: bool  # whether it is to be transposed
    checkpoint: bool  # whether the loop's body is rematerialised by `jax.checkpoint`
    chunk: int | None = None  # steps that are run at once; None for all


def plan(step: Step, linear: Linear | None = None) -> Plan:
    """Decide where and how a step runs, within its budget of memory.

    Args:
        step: the step.
        linear: for a step that is a derivative, and will be transposed.
    """
    return fit_budget(step, split_loop(step, linear), linear)


def fit_budget(step: Step, where: Plan, linear: Linear | None) -> Plan:
    """The plan `where`, changed to take no more memory than its step may."""
    spare = read_only_in_loop(where, linear.saved) if linear else ()
    chunk = steps_at_once(step, where, spare)
    if chunk == 1:
        return split_loop(step._replace(budget=0), linear)
    return where._replace(chunk=chunk)


def read_only_in_loop(where: Plan, xs: Sequence[Variable]) -> set[Variable]:
    """Those of the inputs `xs` that a step reads in its loop and nowhere else."""
    crossing = {v for v in xs if v in where.crossing}
    return crossing - set(free_variables([*where.before, *where.after], []))


def split_loop(step: Step, linear: Linear | None = None) -> Plan:
    """Plan a step as if memory did not matter; arguments as of `plan`."""
    weights, carry, xs = step.inputs()
    next_carry, ys = step.outputs()
    eqns = backward_slice(jaxpr_of(step.program).eqns, next_carry + ys)
    known = [*constants(step.program), *weights]
    final, fixed = linear is None, step.budget == 0
    times, at = binding_times(eqns, known, xs, carry, final, fixed)
    loop, after = _split_at_carry(at[LOOP], next_carry, ys, times, fixed)
    if reading := _contractions_of_crossing(at[BEFORE], loop, times, linear):
        times, at = binding_times(eqns, known, xs, carry, final, fixed, reading)
        loop, after = _split_at_carry(at[LOOP], next_carry, ys, times, fixed)
    loop, crossing = _choose_crossing(step, linear, at[BEFORE], loop, next_carry, times)
    reads_after = free_variables(after, ys)
    early = [v for v in reads_after if times[v] == BEFORE]
    before = backward_slice(at[BEFORE], crossing + early)
    own = set(carry) | {o for eqn in loop for o in eqn.outvars}
    kept = [v for v in reads_after if v in own and times[v] == LOOP]
    # A carry read behind the loop is the next carry, one step later: not stored twice.
    pairs = zip(carry, next_carry, strict=True)
    shifted = {v: n for v, n in pairs if v in kept and n in kept and n not in carry}
    stacked = [v for v in kept if v not in shifted]
    broadcast = _broadcast(loop, linear, times)
    reads = free_variables(loop, [])
    loop = backward_slice(light_equations(at[ONCE]), reads, broadcast) + loop
    flat = _flat(step, before + after, times)
    where = Plan(
        at[ONCE], before, crossing, broadcast, loop, stacked, shifted, after,
        flat, layouts={}, on_cpu={}, ahead=set(), linear=not final, checkpoint=False,
    )  # fmt: skip
    layouts = _layouts(loop, times, where.linear)
    if linear is None:
        return where._replace(
            on_cpu=layouts | _stored_in_parts(loop, next_carry),
            ahead=_read_ahead(loop, crossing, [*next_carry, *stacked]),
        )
    recomputes = not all(_makes(e, linear.tangents) for e in loop)
    return where._replace(layouts=layouts, checkpoint=recomputes)


def _split_at_carry(
    eqns: list[Equation],
    next_carry: list[Atom],
    ys: list[Atom],
    times: Times,
    all_of_them: bool,
) -> tuple[list[Equation], list[Equation]]:
    """The equations of `eqns` that run in the loop, and those that run behind it."""
    made = lambda some: variables(v for eqn in some for v in eqn.outvars)
    pinned = _pinned(eqns, times, all_of_them)
    in_loop = set(made(backward_slice(eqns, next_carry + pinned)))
    in_loop |= _contractions_of_state(eqns, in_loop, times)
    inside = lambda eqn: not in_loop.isdisjoint(eqn.outvars)
    # Where y is a concatenation of parts made in the loop, the loop stores each part in
    # its place; to concatenate them behind the loop would copy all of y.
    joins = [eqn for eqn in eqns if eqn.primitive is lax.concatenate_p]
    for eqn in (eqn for eqn in joins if eqn.outvars[0] in ys):
        more = [e for e in backward_slice(eqns, eqn.outvars) if not inside(e)]
        is_light = all(e is eqn or e.primitive.name in LIGHT for e in more)
        if is_light:
            in_loop.update(made(more))
    return [e for e in eqns if inside(e)], [e for e in eqns if not inside(e)]


def _pinned(eqns: list[Equation], times: Times, all_of_them: bool) -> list[Variable]:
    """What stays in the loop of `eqns` although no later step needs it.

    That is what may not run for all steps at once; and what reads a value that is the
    same at every step, but is in the loop for the sake of its derivative: behind the
    loop, that value would have to be stored for each step.
    """
    pinned: list[Variable] = []
    same: set[Variable] = set()
    for eqn in eqns:
        inputs = variables(eqn.invars)
        if all(times[v] == ONCE or v in same for v in inputs):
            same.update(eqn.outvars)
        reads = not same.isdisjoint(inputs)
        if all_of_them or reads or not is_vectorisable(eqn):
            pinned += eqn.outvars
    return pinned


# A matrix of memory, C_t = f C_{t-1} + v k^T, is larger than v and k, and than what
# is read of it, C q. To move v k^T or C q out of the loop would store a matrix for each
# step and gain nothing, as no weight is read: the loop keeps such equations.


def _contracts(eqn: Equation, times: Times) -> bool:
    """Whether `eqn` is a product without weights that is smaller than an operand."""
    if eqn.primitive is not lax.dot_general_p:
        return False
    if any(times[v] == ONCE for v in variables(eqn.invars)):
        return False
    return bytes_of(eqn.outvars[0]) < max(map(bytes_of, eqn.invars))


def _contractions_of_state(
    eqns: list[Equation], in_loop: Collection[Variable], times: Times
) -> set[Variable]:
    """Results of contractions that the loop can compute from what it has at hand."""
    made = {v for eqn in eqns for v in eqn.outvars}
    found: set[Variable] = set()
    at_hand = lambda v: v not in made or v in in_loop or v in found
    for eqn in eqns:
        if _contracts(eqn, times) and all(map(at_hand, variables(eqn.invars))):
            found.update(eqn.outvars)
    return found


def _contractions_of_crossing(
    before: list[Equation], loop: list[Equation], times: Times, linear: Linear | None
) -> list[Equation]:
    """Contractions, ahead of the loop, of large arrays that the loop reads as well.

    Those of a derivative: of C dq + dC q, the second term is in the loop, and reads C
    where the first has.
    """
    if linear is None:
        return []
    read = free_variables(loop, [])
    large = lambda eqn: max(eqn.invars, key=bytes_of)
    return [e for e in before if _contracts(e, times) and large(e) in read]


def _expands(eqn: Equation, makers: dict[Variable, Equation], times: Times) -> bool:
    """Whether `eqn` makes an array larger than all that it reads, and no weight."""
    if eqn.primitive.name not in LIGHT | {"mul", "dot_general"}:
        return False
    sources = [v for a in eqn.invars for v in _sources(a, makers)]
    if any(times[v] == ONCE for v in sources):
        return False
    return sum(map(bytes_of, sources)) < bytes_of(eqn.outvars[0])


def _sources(atom: Atom, makers: dict[Variable, Equation]) -> list[Variable]:
    """What `atom` is made of by light equations."""
    if not is_variable(atom):
        return []
    eqn = makers.get(atom)
    if eqn is None or eqn.primitive.name not in LIGHT:
        return [atom]
    return [v for a in eqn.invars for v in _sources(a, makers)]


def _evaluated_for_each(
    large: list[Equation], loop: list[Equation], makers: dict[Variable, Equation]
) -> set[Variable]:
    """What compilers evaluate for each number that the `large` equations make.

    They fuse cheap equations into those that read them: computed again in the loop, a
    part of a sum would be taken and added up for each number of an outer product.
    """
    found: set[Variable] = set()
    left = [v for e in large for a in e.invars for v in _sources(a, makers)]
    inside = {v for eqn in loop for v in eqn.outvars}
    while left:
        v = left.pop()
        if v in found or v not in makers:
            continue
        found.add(v)
        if v in inside and _price(makers[v]) == 0:
            left += [u for a in makers[v].invars for u in _sources(a, makers)]
    return found


def _choose_crossing(
    step: Step,
    linear: Linear | None,
    before: list[Equation],
    loop: list[Equation],
    next_carry: list[Atom],
    times: Times,
) -> tuple[list[Equation], list[Variable]]:
    """The loop with what it computes again of `before`, and what crosses into it."""
    free = free_variables(loop, next_carry)
    wanted = [v for v in free if times[v] == BEFORE]
    mentioned = all_variables(before, wanted)
    makers = {v: eqn for eqn in [*before, *loop] for v in eqn.outvars}
    large = [eqn for eqn in [*before, *loop] if _expands(eqn, makers, times)]
    repeated = _evaluated_for_each(large, loop, makers)

    def price(eqn: Equation) -> float | None:
        if not repeated.isdisjoint(eqn.outvars):
            return None
        return 0 if eqn in large else _price_in_loop(eqn, step, linear, times)

    crossing = min_cut(
        before,
        wanted,
        recompute=list(map(price, before)),
        store={v: bytes_of(v) for v in mentioned},
        known={v for v in mentioned if times[v] == ONCE},
    )
    return backward_slice(before, wanted, given=crossing) + loop, crossing


def _price_in_loop(
    eqn: Equation, step: Step, linear: Linear | None, times: Times
) -> float | None:
    """The price of running an equation in the loop although it could run before it."""
    # a row of a matrix costs as much wherever it is read: its token alone crosses
    if eqn.primitive.name == "jrnn_rows":
        return 0
    if linear is None:
        return remat_price(eqn, times)
    if _makes(eqn, linear.tangents):
        return remat_price(eqn, times) if eqn.primitive.name in _PARTS else None
    return remat_price(eqn, times, step.recompute)


def _makes(eqn: Equation, some: Collection[Variable]) -> bool:
    return any(v in some for v in eqn.outvars)


def _broadcast(
    loop: list[Equation], linear: Linear | None, times: Times
) -> list[Variable]:
    """Tangents of weights that elementwise equations of the loop read.

    They are fed to it step by step, so that its transpose stacks their cotangents.
    """
    if linear is None:
        return []
    elementwise = [a for e in loop if remat_price(e, times) == 0 for a in e.invars]
    same = [v for v in variables(elementwise) if times[v] == ONCE]
    return [v for v in same if v in linear.tangents]


def _flat(step: Step, eqns: Iterable[Equation], times: Times) -> set[Variable]:
    """Products over all steps that are one of two matrices."""
    sizes = lambda eqn: (n for a in eqn.invars for n in type_of(a).shape)
    products = (e for e in eqns if is_product_with_weight(e, times))
    known = lambda eqn: not is_symbolic([step.length, *sizes(eqn)])
    return {e.outvars[0] for e in products if known(e)}


def _layouts(
    loop: Iterable[Equation], times: Times, linear: bool
) -> dict[Variable, How]:
    """Products of the loop whose weight is better laid out anew, ahead of the loop."""
    products = [e for e in loop if is_product_with_weight(e, times)]
    layouts: dict[Variable, How | None]
    layouts = {e.outvars[0]: _layout(e, linear) for e in products}
    return {v: how for v, how in layouts.items() if how}


def is_product_with_weight(eqn: Equation, times: Times) -> bool:
    """Whether `eqn` is a product `x @ w` of one contracted axis, w being a weight."""
    if eqn.primitive is not lax.dot_general_p:
        return False
    is_weight = lambda a: is_variable(a) and times[a] == ONCE
    x, w = eqn.invars
    (x_axes, _), (batch, _) = eqn.params["dimension_numbers"]
    return is_weight(w) and not is_weight(x) and len(x_axes) == 1 and not batch


# From so many rows on it matters which way a weight lies.
_SOME_ROWS = 4
# Columns of a vector-matrix product that are computed side by side; those that are left
# over are computed one by one, and can cost as much as all the others.
LANES = 8


def _layout(eqn: Equation, linear: bool) -> How | None:
    """How the weight of a product is better laid out; None for as it is.

    Compilers multiply fastest where the left operand contracts its last axis and the
    right one its first; of a linear step, this will be so in the transpose.
    """
    x, w = eqn.invars
    if type_of(w).ndim != 2:
        return None
    (left, (axis,)), _ = eqn.params["dimension_numbers"]
    rows = num_elements(n for i, n in enumerate(type_of(x).shape) if i != left[0])
    columns = num_elements([type_of(w).shape[1 - axis]])
    if rows >= _SOME_ROWS and axis != (1 if linear else 0):
        return "transposed"
    if rows == 1 and not linear and columns > LANES and columns % LANES:
        return "padded"
    return None


def _stored_in_parts(
    loop: list[Equation], next_carry: list[Atom]
) -> dict[Variable, How]:
    """Concatenations of floats that nothing in the loop reads whole."""
    read = {*variables(next_carry), *variables(a for e in loop for a in e.invars)}
    joins = [e.outvars[0] for e in loop if e.primitive is lax.concatenate_p]
    return {v: "parts" for v in joins if v not in read and is_differentiable(v)}


# XLA for CPUs takes the reading of a row, stack[t], into the operation that reads it.
# Where a sum with that row is read part by part, and all ends in one array, as with the
# gates of a GRU, the sum becomes a function, called for each number of each part. It
# loads t anew every time, and the operation is not vectorised: a forward pass takes
# almost twice as long. Read one step ahead, the row is an array of its own.


def _read_ahead(
    loop: list[Equation], crossing: list[Variable], results: list[Atom]
) -> set[Variable]:
    """Those rows of `crossing` that are better read a step ahead."""
    made = {*variables(results)}
    made |= {v for e in loop if not _is_fused(e) for v in variables(e.invars)}
    readers: dict[Variable, list[Equation]] = {}
    for eqn in loop:
        for v in variables(eqn.invars):
            readers.setdefault(v, []).append(eqn)

    def is_ahead(row: Variable) -> bool:
        arrays, left, by_parts = set(), {row}, False
        while left:
            v = left.pop()
            if v in made:  # an array that what follows reads
                arrays.add(v)
                continue
            found = [o for e in readers.get(v, ()) for o in e.outvars]
            taken = [e for e in readers.get(v, ()) if _takes_parts(e)]
            by_parts |= sum(len(e.outvars) for e in taken) > 1
            left.update(found)
        return by_parts and len(arrays) == 1

    return {row for row in crossing if is_ahead(row)}


def _is_fused(eqn: Equation) -> bool:
    if eqn.primitive.name == "custom_jvp_call":
        return all(_is_fused(e) for inner in inner_programs(eqn) for e in inner.eqns)
    rows_of_weights = eqn.primitive.name in {"jrnn_rows"} | _CHEAP_IN_WEIGHTS
    return rows_of_weights or _price(eqn) is not None


def _takes_parts(eqn: Equation) -> bool:
    return any(inner.primitive.name in _PARTS for inner in nested_equations(eqn))


# Binding times ------------------------------------------------------------------------


def binding_times(
    eqns: Sequence[Equation],
    once: Iterable[Variable],
    before: Iterable[Variable],
    loop: Iterable[Variable],
    final: bool = False,
    fixed: bool = False,
    late: Collection[Equation] = (),
) -> tuple[Times, tuple[list[Equation], ...]]:
    """When every variable is known, and `eqns` sorted by when they can run.

    Args:
        eqns: the equations.
        once: variables that are the same at every step.
        before: variables that are known for all steps ahead of the loop.
        loop: the carry.
        final: whether the equations will not be derived any more.
        fixed: whether what depends on x_t stays in the loop in any case.
        late: equations that stay in the loop in any case.
    """
    times = dict.fromkeys(once, ONCE) | dict.fromkeys(before, BEFORE)
    times |= dict.fromkeys(loop, LOOP)
    at: tuple[list[Equation], ...] = ([], [], [])
    for eqn in eqns:
        latest = max((times[v] for v in variables(eqn.invars)), default=ONCE)
        if latest == BEFORE and (fixed or eqn in late or not is_vectorisable(eqn)):
            latest = LOOP
        if latest == ONCE and not final and has_custom_rule(eqn):
            latest = LOOP
        times |= dict.fromkeys(eqn.outvars, latest)
        at[latest].append(eqn)
    return times, at


def light_equations(eqns: Iterable[Equation]) -> list[Equation]:
    """Equations that make much out of little, and are never better done beforehand."""
    return [eqn for eqn in eqns if eqn.primitive.name in LIGHT]


# What is known of single operations ---------------------------------------------------
#
# Whatever is not listed here is not understood, and stays inside the loop.

# Vectorising a conditional runs all its branches; a generator's bits, and where a value
# lives, are not promised to be the same for many steps at once.
_KEPT_IN_LOOP = {
    "cond", "while", "rng_bit_generator", "rng_uniform", "sharding_constraint",
    "device_put", "custom_vjp_call", "custom_lin", "linear_solve", "dce_sink",
    "approx_top_k", "stage", "create_token", "after_all",
    "axis_index",
}  # fmt: skip
_KNOWN = (
    {
        value.name
        for module in (lax, primitives)
        for name, value in vars(module).items()
        if name.endswith("_p") and isinstance(value, core.Primitive)
    }
    | {"random_wrap", "random_unwrap", "random_seed"}
    | {"jrnn_scan", "jrnn_push", "jrnn_pull", "jrnn_likelihood", "jrnn_largest"}
    | {"jrnn_shared", "jrnn_rows", "jrnn_row_sums"}
)
_VECTORISED = _KNOWN - _KEPT_IN_LOOP

# Derivatives of the user's own need not be linear (gradients are clipped in them):
# applied to a sum over steps, they give another number than the sum of what they give.
_CUSTOM_RULES = {
    "custom_vjp_call", "custom_lin", "custom_transpose_call", "linear_call",
}  # fmt: skip

# Cheaper to compute again than to write to memory and read back.
_CHEAP = {
    "abs", "add", "add_any", "and", "broadcast_in_dim", "clamp", "convert_element_type",
    "copy", "div", "eq", "ge", "gt", "integer_pow", "iota", "is_finite", "le", "lt",
    "max", "min", "mul", "ne", "neg", "not", "one_minus_square", "or", "real", "imag",
    "reshape", "select_n", "sign", "slice", "split", "square", "squeeze", "sub", "xor",
    "stop_gradient",
}  # fmt: skip
# Reading some rows of a weight is as cheap as reading the same rows of a copy.
_CHEAP_IN_WEIGHTS = {"gather", "dynamic_slice"}

# Cheaper to compute again than to store, where what they need is stored in any case.
_MODERATE = {"tanh", "logistic"}

# Broadcasts and the like: fused into whatever reads them.
LIGHT = {"broadcast_in_dim", "iota", "reshape", "squeeze"}

# The gates of a joint array. Their derivative joins them again: better in the loop,
# where they are small, than of all steps behind it.
_PARTS = {"split", "slice"}


def is_vectorisable(eqn: Equation) -> bool:
    """Whether all time steps of `eqn` may be computed at once, with equal results."""
    return all(
        inner.primitive.name in _VECTORISED and _is_repeatable(inner)
        for inner in nested_equations(eqn)
    )


def _is_repeatable(eqn: Equation) -> bool:
    """Only the default generator draws the same bits for one key as among many."""
    kinds = {str(type_of(v).dtype) for v in variables([*eqn.invars, *eqn.outvars])}
    return all(not kind.startswith("key<") or kind == "key<fry>" for kind in kinds)


def has_custom_rule(eqn: Equation) -> bool:
    """Whether the derivative of `eqn` is written by the user, and not by JAX."""
    moving = any(is_differentiable(a) for a in [*eqn.invars, *eqn.outvars])
    return moving and any(
        inner.primitive.name in _CUSTOM_RULES for inner in nested_equations(eqn)
    )


def remat_price(eqn: Equation, times: Times, recompute: bool = False) -> float | None:
    """The price of rematerialising what `eqn` makes, where that of storing it is 1.

    Args:
        eqn: the equation.
        times: binding times.
        recompute: whether all but carries is to be rematerialised in any case.

    Returns:
        0 where it is always better than to store it, None where it may not be.
    """
    first = eqn.invars[0] if eqn.invars else None
    of_weights = not is_variable(first) or times[first] == ONCE
    price = _price(eqn, of_weights)
    return price if price == 0 or not recompute else 1e-3


def _price(eqn: Equation, of_weights: bool = False) -> float | None:
    """The same; `of_weights`: its first operand is the same at every step."""
    name = eqn.primitive.name
    if name in _CHEAP or (of_weights and name in _CHEAP_IN_WEIGHTS):
        return 0
    return 0.5 if name in _MODERATE else None


# Budget -------------------------------------------------------------------------------
#
# What runs ahead of the loop or behind it for all steps at once makes arrays of all
# steps, which `jax.lax.scan` never has; and many a loop is there to keep an array
# small, one part of it at a time. So what is moved has a budget in bytes. Where it
# would need more, only as many steps as fit are done at once, chunk by chunk.

# Bytes that nobody minds, however little the loop itself holds.
_LEAST = 4 * 2**20
# Bytes a step from which on more steps at once gain little, and the most for those.
_LARGE, _MOST = 2**20, 16 * 2**20
# Fewer steps at once than these are not worth a loop of their own.
_FEW_STEPS = 4
# A product of matrices all of whose sides are as long as this is no faster for being
# computed for many steps at once, if its arrays are no larger than that, in bytes.
_LONG, _CACHED = 256, 4 * 2**20


def steps_at_once(
    step: Step, where: Plan, spare: Collection[Variable] = ()
) -> int | None:
    """For how many steps at once to do what is moved; None for all of them."""
    moved, length = moved_bytes(step, where, spare), step.length
    if not isinstance(length, int) or not moved:
        return None
    budget = step.budget
    if budget is None:
        gains = map(_gains_from_size, [*where.before, *where.after])
        if moved >= _LARGE and not any(gains):
            return 1
        held = length * sum(map(bytes_of, [*step.inputs().xs, *step.outputs().ys]))
        # who has values computed again minds the memory more
        budget = held if step.recompute else 2 * held
        budget = max(_LEAST, min(budget, _MOST) if moved >= _LARGE else budget)
    most = budget // moved
    if most >= length:
        return None
    return _even_chunk(length, most) if most >= _FEW_STEPS else 1


def _gains_from_size(eqn: Equation) -> bool:
    """Whether large arrays pay: whether `eqn` has products with a short side."""
    if eqn.primitive is not lax.dot_general_p:
        inner = [e for program in inner_programs(eqn) for e in program.eqns]
        return any(map(_gains_from_size, inner))
    (contracted, _), (batch, _) = eqn.params["dimension_numbers"]
    shape = type_of(eqn.invars[0]).shape
    together = num_elements(shape[d] for d in batch)
    summed = num_elements(shape[d] for d in contracted)
    arrays = [*eqn.invars, *eqn.outvars]
    others = max(together * summed, 1)
    left, right = (num_elements(type_of(a).shape) // others for a in eqn.invars)
    return min(left, right, summed) < _LONG or max(map(bytes_of, arrays)) > _CACHED


def moved_bytes(step: Step, where: Plan, spare: Collection[Variable] = ()) -> int:
    """Bytes a step of the arrays that are there only because work was moved.

    Args:
        step: the step.
        where: its plan.
        spare: inputs whose memory small results of the loop of the same size may take.
    """
    own = {*step.inputs().xs, *(a for a in step.outputs().ys if is_variable(a))}
    new = lambda atoms: Counter(bytes_of(v) for v in atoms if v not in own)
    made = new([*where.crossing, *where.broadcast, *where.stacked, *where.shifted])
    made -= Counter(bytes_of(v) for v in spare if bytes_of(v) < _LARGE)
    total = lambda sizes: sum(n * times for n, times in sizes.items())
    peaks = (_peak_temporaries(eqns, own) for eqns in (where.before, where.after))
    return total(made) + max(peaks)


def _peak_temporaries(eqns: Sequence[Equation], own: Collection[Atom]) -> int:
    """Bytes, at most at a time, of what `eqns` make for each other.

    Cheap results are not stored: compilers fuse them into what reads them.
    """
    last = {v: i for i, eqn in enumerate(eqns) for v in variables(eqn.invars)}
    ends: dict[int, int] = {}
    now = most = 0
    for i, eqn in enumerate(eqns):
        made = [] if _price(eqn) == 0 else eqn.outvars
        for v in made:
            if last.get(v, i) > i and v not in own:
                now += bytes_of(v)
                ends[last[v]] = ends.get(last[v], 0) + bytes_of(v)
        most = max(most, now)
        now -= ends.get(i, 0)
    return most


def _even_chunk(length: int, most: int) -> int:
    """The size of chunks of at most so many steps, where possible all equal."""
    divisors = [n for n in range(most, most // 2, -1) if length % n == 0]
    return divisors[0] if divisors else -(-length // -(-length // most))
