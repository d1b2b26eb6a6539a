"""Which results of a program depend on which of its inputs, element by element.

Found from the program alone, without values: what is not in the pattern is zero
whatever the parameters, inputs and states are. The pattern may have more in it than
there is: an operation unknown here is taken to mix all that it reads.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import sparse

from jrnn._programs import program

# A sparse matrix (results, inputs) of truths: where there is a dependence. SciPy's
# types do not say what its sums and products are.
Pattern = Any
# What each variable depends on, None for nothing.
Known = dict[program.Variable, Pattern | None]

# One result of each element, which reads that element of every operand.
ELEMENTWISE = frozenset(
    "abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp "
    "complex conj convert_element_type copy copy_p cos cosh digamma div eq erf erf_inv "
    "erfc exp exp2 expm1 floor ge gt imag integer_pow is_finite le lgamma log log1p "
    "logistic lt max min mul ne neg nextafter not or pow real reduce_precision rem "
    "round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan tanh "
    "xor".split()
)
# Every element of a result is one of the elements read.
MOVES = frozenset(
    "broadcast_in_dim concatenate expand_dims reshape rev slice split squeeze stack "
    "tile transpose unstack".split()
)
_REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod"}
_NESTED = {
    "checkpoint",
    "custom_jvp_call",
    "custom_vjp_call",
    "remat",
    "remat2",
    *program.CALLS,
}


class Columns(NamedTuple):
    """A pattern with each of its different columns once.

    Weights of the same unit have the same column: there are about as many different
    ones as units, however many parameters there are.
    """

    different: Pattern  # (N, K)
    kind: np.ndarray  # (P,) which of them a column is

    def expanded(self) -> Pattern:
        """The whole pattern, (N, P)."""
        return self.different[:, self.kind]


def columns_of(pattern: Pattern) -> Columns:
    """Find equal columns, by the sum of random numbers drawn for their entries."""
    draw = np.random.default_rng(0).integers(1, 2**62, pattern.shape[0], np.uint64)
    columns = pattern.tocsc()
    columns.eliminate_zeros()
    entries = np.append(draw[columns.indices], np.uint64(0))
    sums = np.add.reduceat(entries, np.minimum(columns.indptr[:-1], len(entries) - 1))
    sums[np.diff(columns.indptr) == 0] = 0
    _, first, kind = np.unique(sums, return_index=True, return_inverse=True)
    return Columns(columns[:, first].tocsr(), kind.ravel())


def keeps_apart(eqn: program.Equation) -> bool:
    """Whether an operation leaves each element by itself, and mixes none."""
    name = eqn.primitive.name
    if name in _NESTED:
        return all(keeps_apart(e) for p in program.inner_programs(eqn) for e in p.eqns)
    return name in ELEMENTWISE or name in MOVES


def dependence(
    function: Callable[..., list[jax.Array]],
    varied: Sequence[Any],
    others: Sequence[Any] = (),
) -> Columns:
    """The pattern of the Jacobian of `function(*varied, *others) -> list`.

    Args:
        function: traced once, with specs.
        varied: specs of the arguments that count; their elements are the columns, in
            order.
        others: specs of the arguments that do not.

    Returns:
        Its columns; rows are the elements of all results, in order.
    """
    traced = program.trace(function, [*varied, *others])
    sizes = [int(np.prod(a.shape, dtype=int)) for a in varied]
    every = sparse.csr_matrix(sparse.eye_array(sum(sizes), dtype=bool))
    starts = np.cumsum([0, *sizes])
    known = [
        *(every[a:b] for a, b in itertools.pairwise(starts)),
        *(None for _ in others),
    ]
    jaxpr = program.jaxpr_of(traced)
    eqns = program.backward_slice(jaxpr.eqns, jaxpr.outvars)
    env, kind = dict(zip(jaxpr.invars, known, strict=True)), np.arange(sum(sizes))
    for n, eqn in enumerate(eqns):
        if not keeps_apart(eqn):
            env, kind = _merged(
                env, kind, program.free_variables(eqns[n:], jaxpr.outvars)
            )
        _propagate(eqn, env)
    env, kind = _merged(env, kind, program.variables(jaxpr.outvars))
    width = kind.max(initial=-1) + 1
    rows = [_found(env, atom, width) for atom in jaxpr.outvars]
    return Columns(sparse.vstack([_empty(0, width), *rows], "csr", bool), kind)


def _merged(env: Known, kind: np.ndarray, used: Sequence[program.Variable]):
    """Patterns of what is still used, without the columns that they have twice.

    Ahead of an operation that mixes: there are more of them once weights are read, and
    the patterns behind are as wide as what went in.
    """
    kept: dict[program.Variable, Pattern] = {v: env[v] for v in used if v in env}
    kept = {v: pattern for v, pattern in kept.items() if pattern is not None}
    if not kept:
        return {}, np.zeros_like(kind)
    columns = columns_of(sparse.vstack(list(kept.values()), "csr", bool))
    ends = np.cumsum([0, *(pattern.shape[0] for pattern in kept.values())])
    spans = itertools.pairwise(ends)
    merged = {v: columns.different[a:b] for v, (a, b) in zip(kept, spans, strict=True)}
    return merged, columns.kind[kind]


def _found(env: Known, atom: program.Atom, width: int) -> Pattern:
    """What a result depends on."""
    found = env.get(atom) if program.is_variable(atom) else None
    size = int(np.prod(program.type_of(atom).shape, dtype=int))
    return _empty(size, width) if found is None else found


def _empty(rows: int, columns: int) -> Pattern:
    return sparse.csr_matrix((rows, columns), dtype=bool)


def _run(jaxpr: Any, inputs: Sequence[Pattern | None]) -> list[Pattern | None]:
    """What each result depends on; None for nothing."""
    env = dict(zip(jaxpr.invars, inputs, strict=True))
    for eqn in program.backward_slice(jaxpr.eqns, jaxpr.outvars):
        _propagate(eqn, env)
    return [_read(env, atom) for atom in jaxpr.outvars]


def _read(env: Known, atom: program.Atom) -> Pattern | None:
    return env.get(atom) if program.is_variable(atom) else None


def _propagate(eqn: program.Equation, env: Known) -> None:
    """Add what the results of an equation depend on."""
    found = _results(eqn, [_read(env, atom) for atom in eqn.invars])
    for var, pattern in zip(eqn.outvars, found, strict=True):
        env[var] = pattern if program.is_differentiable(var) else None


def _results(eqn: program.Equation, known: list) -> list[Pattern | None]:
    name, nothing = eqn.primitive.name, [None] * len(eqn.outvars)
    if name == "stop_gradient" or all(pattern is None for pattern in known):
        return nothing
    inner = list(program.inner_programs(eqn))
    if name in _NESTED and inner and len(inner[0].invars) == len(known):
        return _run(inner[0], known)
    return [
        _joined(reads, known) for reads in _reads(eqn, [p is not None for p in known])
    ]


def _joined(reads: Sequence[Pattern | None], known: Sequence[Pattern | None]):
    """The union over operands: what an element depends on through each of them."""
    parts = [
        r @ k for r, k in zip(reads, known, strict=True) if not (k is None or r is None)
    ]
    return functools.reduce(operator.add, parts).astype(bool)


def _reads(eqn: program.Equation, wanted: list[bool]) -> list[list[Pattern | None]]:
    """For each result, which elements of each operand each of its elements reads."""
    name = eqn.primitive.name
    shapes = [program.type_of(atom).shape for atom in eqn.invars]
    outs = [program.type_of(atom).shape for atom in eqn.outvars]
    if name in ELEMENTWISE and all(s in ((), outs[0]) for s in shapes):
        return [[_same(s, out) for s in shapes] for out in outs]
    if name in MOVES:
        return _moved(eqn, shapes)
    if name in _REDUCTIONS:
        return [[_reduced(shapes[0], eqn.params["axes"])]]
    if name == "dot_general":
        left, right = shapes
        return [_product(left, right, eqn.params["dimension_numbers"], wanted)]
    everything = lambda s, out: sparse.csr_matrix(
        np.ones((_count(out), _count(s)), bool)
    )
    return [
        [everything(s, out) if w else None for s, w in zip(shapes, wanted, strict=True)]
        for out in outs
    ]


def _count(shape) -> int:
    return int(np.prod(shape, dtype=int))


def _indices(shape) -> np.ndarray:
    return np.arange(_count(shape)).reshape(shape)


def _incidence(read: np.ndarray, columns: int) -> Pattern:
    """Row i has ones in the columns `read[i]`; each row reads equally many."""
    rows, width = read.shape
    pointers = np.arange(rows + 1) * width
    return sparse.csr_matrix(
        (np.ones(read.size, bool), read.ravel(), pointers), (rows, columns)
    )


def _same(shape, out) -> Pattern:
    read = np.broadcast_to(_indices(shape), out).reshape(-1, 1)
    return _incidence(read, _count(shape))


def _moved(eqn: program.Equation, shapes) -> list[list[Pattern]]:
    """Where elements end up, by moving their numbers."""
    starts = np.cumsum([0, *map(_count, shapes)])
    numbers = [
        (start + _indices(shape)).astype(np.int32)
        for start, shape in zip(starts, shapes, strict=False)
    ]
    with jax.ensure_compile_time_eval():
        found = [np.asarray(a).ravel() for a in program.apply(eqn, numbers)]
    spans = list(itertools.pairwise(starts))
    return [[_chosen(read - a, b - a) for a, b in spans] for read in found]


def _chosen(read: np.ndarray, count: int) -> Pattern:
    """One-hot rows where `read` is within this operand, empty ones elsewhere."""
    own = np.flatnonzero((read >= 0) & (read < count))
    return sparse.csr_matrix(
        (np.ones(len(own), bool), (own, read[own])), (len(read), count)
    )


def _reduced(shape, axes) -> Pattern:
    kept = [n for n in range(len(shape)) if n not in axes]
    width = _count([shape[n] for n in axes])
    read = _indices(shape).transpose([*kept, *axes])
    return _incidence(
        read.reshape(_count(shape) // max(width, 1), width), _count(shape)
    )


def _product(left, right, numbers, wanted) -> list[Pattern | None]:
    """Sums over what is contracted: result (b, l, r) reads left (b, l, :)."""
    contracted, batch = numbers
    parts = []
    for shape, c, b in zip((left, right), contracted, batch, strict=True):
        free = [n for n in range(len(shape)) if n not in (*c, *b)]
        sizes = [_count([shape[n] for n in axes]) for axes in (b, free, c)]
        parts.append(_indices(shape).transpose([*b, *free, *c]).reshape(sizes))
    (B, L, C), (_, R, _) = parts[0].shape, parts[1].shape
    of_left = np.broadcast_to(parts[0][:, :, None], (B, L, R, C))
    of_right = np.broadcast_to(parts[1][:, None], (B, L, R, C))
    return [
        _incidence(read.reshape(B * L * R, C), _count(shape)) if w else None
        for read, shape, w in zip(
            (of_left, of_right), (left, right), wanted, strict=True
        )
    ]
