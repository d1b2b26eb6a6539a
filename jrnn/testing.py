"""Whether `jrnn.scan` means `jax.lax.scan` for a step of your own.

`check_scan` runs both on the step, derives them and batches them in every way, and says
what differs and which line of the step is to blame. It knows nothing of how `scan`
works.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jax.extend.source_info_util import summarize

from jrnn._programs.program import Program, type_of
from jrnn.scan import scan

PyTree = Any
Labelled = dict[str, Any]  # arrays by what they are

_ROUNDINGS = 256  # of the largest number of an array: always allowed
_MOVES = 16  # as often as far as the result moves with the rounding of the inputs
# The programs are small and run once or twice.
_COMPILE_FAST = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
_CALLS = {"jit", "pjit", "closed_call", "core_call"}


class ScanDifference(AssertionError):
    """What `jrnn.scan` and `jax.lax.scan` disagree on, for `check_scan`."""

    transformation: str  # such as "value", "gradient", "vmap of gradient"
    leaf: str  # such as "carry/h", "ys/0", "captured/1"
    difference: float  # the largest one; nan where a shape, type or error differs
    allowed: float  # what would have passed
    equation: str | None  # the first equation of the step whose own result differs
    source: str | None  # where it stands: file, line and function

    def __init__(
        self,
        transformation: str,
        leaf: str,
        what: str,
        difference: float = float("nan"),
        allowed: float = 0.0,
        blame: tuple[str, str] | None = None,
    ):
        self.transformation, self.leaf = transformation, leaf
        self.difference, self.allowed = difference, allowed
        self.equation, self.source = blame or (None, None)
        lines = [f"check_scan: {transformation} of {leaf}: {what}"]
        if blame:
            lines.append(f"first at: {self.equation}")
            lines.append(f"     from: {self.source}")
        super().__init__("\n".join(lines))


def check_scan(
    f: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]],
    init: PyTree,
    xs: PyTree = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    order: int = 2,
    rtol: float | None = None,
    atol: float = 0.0,
    **options: Any,
) -> dict[str, float]:
    """Check that `jrnn.scan` gives what `jax.lax.scan` gives for a step.

        |got - expected| <= atol + rtol * max |expected|        for every array

    Compared are values, shapes, dtypes and weak types; first derivatives, forward and
    backward, and second derivatives, by `init`, by `xs` and by every array that `f`
    captures; and `vmap` of each, over everything, over `xs` and over the captured
    arrays. Numbers must be NaN, or infinite, in the same places; integers must be
    equal. What `jax.lax.scan` refuses must be refused with the same type of error.
    After a difference the step is taken apart, and the first of its equations whose own
    result or derivative differs is named.

    Each comparison compiles two small programs. Take short sequences: 3 to 5 steps show
    what 1000 would.

    Args:
        f: one step, `(carry, x) -> (carry, y)`; pytrees all.
        init: the carry before the first step.
        xs: inputs, time on the leading axis `(T, ...)` of every leaf.
        length: number of steps; needed only where `xs` is `None`.
        reverse: run both from the last step to the first.
        order: how often to derive: 0, 1 or 2.
        rtol: bound of the difference in the largest magnitude of an array. `None`: 256
            roundings of its dtype, or, if more, 16 times as far as the result of
            `jax.lax.scan` moves where every input is off by one rounding.
        atol: bound of the difference, in units of the result.
        options: for `jrnn.scan` only, such as `remat="chunk"` or `unroll=2`.

    Returns:
        By name of the transformation, the largest difference found, as a share of what
        is allowed: below 1, and 0 where all bits agree.

    Raises:
        ScanDifference: an `AssertionError` with the fields `transformation`, `leaf`,
            `difference`, `allowed`, `equation` and `source`.
        ValueError: `order` is not 0, 1 or 2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> w = jax.random.normal(jax.random.key(0), (3, 3))
        >>> step = lambda h, x: (jnp.tanh(h @ w + x), h)
        >>> shares = check_scan(step, w[0], jnp.ones((4, 3), w.dtype), order=1)
        >>> max(shares.values()) < 1
        True
        >>> [name for name in shares if "vmap" not in name]
        ['value', 'jvp', 'gradient']

    References:
        Griewank, Walther (2008), Evaluating Derivatives, section 3.2: what a forward
        and a reverse derivative must have in common.
    """
    if order not in (0, 1, 2):
        raise ValueError(f"check_scan: order must be 0, 1 or 2, got {order!r}.")
    own = lambda f, *args: scan(f, *args, reverse=reverse, **options)
    plain = lambda f, *args: lax.scan(f, *args, reverse=reverse)
    with jax.debug_key_reuse(False):  # both use the same keys
        _check_types(own, plain, (f, init, xs, length))
        problem = _problem(plain, f, init, xs, length)
        shares = {}
        for name, transform in _transformations(order).items():
            shares[name], found = _compare(own, plain, problem, transform, rtol, atol)
            if found:
                blame = _blame(own, plain, problem, transform, rtol, atol)
                raise ScanDifference(name, *found, blame=blame)
    return shares


class _Problem(NamedTuple):
    """A step with its captured arrays made arguments, and where to try it."""

    jaxpr: Program
    captured: list[Any]
    init: PyTree
    xs: PyTree
    length: int | None
    out_tree: Any  # of (carry, y)
    eps: float  # of the coarsest type in which the step computes

    def inputs(self) -> dict[str, PyTree]:
        return {"captured": self.captured, "init": self.init, "xs": self.xs}

    def outputs(self, run: Callable, inputs: dict[str, PyTree]) -> dict[str, PyTree]:
        def step(c: PyTree, x: PyTree) -> PyTree:
            leaves = jax.tree.leaves((c, x))
            outs = _evaluate(self.jaxpr.jaxpr, inputs["captured"], leaves)
            return jax.tree.unflatten(self.out_tree, outs)

        carry, ys = run(step, inputs["init"], inputs["xs"], self.length)
        return {"carry": carry, "ys": ys}


def _problem(
    plain: Callable, f: Callable, init: PyTree, xs: PyTree, length: int | None
) -> _Problem:
    carry, _ = jax.eval_shape(lambda c, xs: plain(f, c, xs, length), init, xs)
    # a weak carry becomes what the step makes of it, as in lax.scan
    as_type = lambda c, like: (
        c if jnp.result_type(c) == like.dtype else jnp.asarray(c).astype(like.dtype)
    )
    init = jax.tree.map(lambda c, a: as_type(jnp.asarray(c), a), init, carry)
    xs = jax.tree.map(jnp.asarray, xs)
    one = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    jaxpr, shapes = jax.make_jaxpr(f, return_shape=True)(init, jax.tree.map(one, xs))
    captured = [jnp.asarray(a) for a in jaxpr.consts]
    out_tree = jax.tree.structure(shapes)
    problem = _Problem(jaxpr, captured, init, xs, length, out_tree, 0.0)
    atoms = [a for eqn in _equations(problem) for a in [*eqn.invars, *eqn.outvars]]
    types = {type_of(a).dtype for a in [*atoms, *jaxpr.jaxpr.invars]}
    eps = [float(jnp.finfo(t).eps) for t in types if jnp.issubdtype(t, jnp.inexact)]
    return problem._replace(eps=max(eps, default=0.0))


def _equations(problem: _Problem) -> list[core.JaxprEqn]:
    """Those of the step, calls of `jit` opened."""
    seen: list[Any] = []

    def note(*leaves: Any) -> list[Any]:
        return _evaluate(problem.jaxpr.jaxpr, problem.captured, leaves, seen)

    jax.eval_shape(note, *(v.aval for v in problem.jaxpr.jaxpr.invars))
    return [eqn for eqn, _ in seen]


def _evaluate(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    args: Sequence[Any],
    seen: list[tuple[core.JaxprEqn, list[Any]]] | None = None,
) -> list[Any]:
    """Evaluate equation by equation; calls of `jit` are opened, and noted in `seen`."""
    env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    read = lambda a: a.val if isinstance(a, core.Literal) else env[a]
    for eqn in jaxpr.eqns:
        values = [read(a) for a in eqn.invars]
        if eqn.primitive.name in _CALLS:
            inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
            results = _evaluate(inner.jaxpr, inner.consts, values, seen)
        else:
            params = eqn.primitive.get_bind_params(eqn.params)
            with eqn.ctx.manager:
                results = eqn.primitive.bind(*values, **params)
            results = results if eqn.primitive.multiple_results else [results]
            if seen is not None:
                seen.append((eqn, list(results)))
        env.update(zip(eqn.outvars, results, strict=True))
    return [read(a) for a in jaxpr.outvars]


# Transformations: functions of a program (inputs -> outputs) and a point -----------


def _transformations(order: int) -> dict[str, Callable[..., Labelled]]:
    found = {"value": _value}
    if order > 0:
        found |= {"jvp": _jvp, "gradient": _gradient}
    if order > 1:
        found |= {"jvp of gradient": _jvp_of_gradient}
        found |= {"gradient of gradient": _gradient_of_gradient}
    for name, transform in list(found.items()):
        found[f"vmap of {name}"] = _batched(transform, "captured", "init", "xs")
    found["vmap over xs"] = _batched(_value, "xs")
    found["vmap over captured"] = _batched(_value, "captured")
    if order > 0:
        found["gradient of vmap over xs"] = _gradient_of_batch("xs")
        found["gradient of vmap over captured"] = _gradient_of_batch("captured")
    return found


def _value(program: Callable, point: PyTree) -> Labelled:
    return _labelled(program(point))


def _jvp(program: Callable, point: PyTree) -> Labelled:
    smooth, at = _smooth(program, point)
    return _only_smooth(jax.jvp(smooth, (at,), (_direction(at, 1),))[1])


def _gradient(program: Callable, point: PyTree) -> Labelled:
    smooth, at = _smooth(program, point)
    outs, pull = jax.vjp(smooth, at)
    return pull(_direction(outs, 2))[0]


def _jvp_of_gradient(program: Callable, point: PyTree) -> Labelled:
    _, at = _smooth(program, point)
    slope = lambda at: _gradient(program, _merged(point, at))
    return jax.jvp(slope, (at,), (_direction(at, 3),))[1]


def _gradient_of_gradient(program: Callable, point: PyTree) -> Labelled:
    _, at = _smooth(program, point)
    slope, pull = jax.vjp(lambda at: _gradient(program, _merged(point, at)), at)
    return pull(_direction(slope, 4))[0]


def _batched(transform: Callable, *parts: str) -> Callable[..., Labelled]:
    """The transformation on a point and on another one near it, at once."""

    def batched(program: Callable, point: PyTree) -> Labelled:
        many = {k: _pair(v) if k in parts else v for k, v in point.items()}
        axes = {k: 0 if k in parts else None for k in point}
        return jax.vmap(lambda p: transform(program, p), (axes,))(many)

    return batched


def _gradient_of_batch(part: str) -> Callable[..., Labelled]:
    def derived(program: Callable, point: PyTree) -> Labelled:
        def many(p: PyTree) -> PyTree:
            axes = {k: 0 if k == part else None for k in p}
            return jax.vmap(program, (axes,))({**p, part: _pair(p[part])})

        return _gradient(many, point)

    return derived


def _pair(tree: PyTree) -> PyTree:
    near = lambda x: jnp.stack([x, x * np.asarray(1.125, x.dtype)])
    same = lambda x: jnp.stack([x, x])
    return jax.tree.map(lambda x: near(x) if _is_smooth(x) else same(x), tree)


def _is_smooth(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.inexact)


def _labelled(tree: PyTree) -> Labelled:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    data = lambda x: jax.random.key_data(x) if _is_key(x) else x
    return {name(path): data(leaf) for path, leaf in paths}


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _only_smooth(labelled: Labelled) -> Labelled:
    return {name: x for name, x in labelled.items() if _is_smooth(x)}


def _merged(point: PyTree, at: Labelled) -> PyTree:
    leaves, form = jax.tree.flatten(point)
    leaves = [at.get(k, x) for k, x in zip(_labelled(point), leaves, strict=True)]
    return jax.tree.unflatten(form, leaves)


def _smooth(program: Callable, point: PyTree) -> tuple[Callable, Labelled]:
    """The program from smooth inputs to smooth outputs, and the inputs."""
    call = lambda at: _only_smooth(_labelled(program(_merged(point, at))))
    return call, _only_smooth(_labelled(point))


def _direction(like: Labelled, seed: int) -> Labelled:
    """Numbers of order 1 of the types of `like`, always the same."""
    rng = np.random.default_rng(seed)

    def draw(x: Any) -> jax.Array:
        real = rng.standard_normal(x.shape)
        imaginary = rng.standard_normal(x.shape) if jnp.iscomplexobj(x) else 0
        number = real + 1j * imaginary if jnp.iscomplexobj(x) else real
        return jnp.asarray(number).astype(x.dtype)

    return {name: draw(x) for name, x in like.items()}


# Comparison ---------------------------------------------------------------------


def _check_types(own: Callable, plain: Callable, args: tuple) -> None:
    """Structures, shapes, dtypes and weak types, not in a `jit`."""
    f, init, xs, length = args
    expected = jax.eval_shape(lambda c, xs: plain(f, c, xs, length), init, xs)
    got = own(f, init, xs, length)
    if jax.tree.structure(got) != jax.tree.structure(expected):
        forms = [jax.tree.structure(tree) for tree in (got, expected)]
        raise ScanDifference("value", "(carry, ys)", f"got {forms[0]}, not {forms[1]}.")
    paths = jax.tree_util.tree_flatten_with_path(
        dict(zip(("carry", "ys"), expected, strict=True))
    )[0]
    for (path, a), b in zip(paths, jax.tree.leaves(got), strict=True):
        leaf = jax.tree_util.keystr(path, simple=True, separator="/")
        if not isinstance(b, jax.Array):
            raise ScanDifference("type", leaf, f"got {type(b)}, not a jax.Array.")
        kinds = [(x.dtype, x.shape, x.weak_type) for x in (jax.typeof(b), a)]
        if kinds[0] != kinds[1]:
            say = [f"{d} {s}{' (weak)' * w}" for d, s, w in kinds]
            raise ScanDifference("type", leaf, f"got {say[0]}, expected {say[1]}.")


Difference = tuple[str, str, float, float]  # leaf, what, difference, allowed


def _compare(
    own: Callable,
    plain: Callable,
    problem: _Problem,
    transform: Callable[..., Labelled],
    rtol: float | None,
    atol: float,
) -> tuple[float, Difference | None]:
    """The largest share of what is allowed, and the first difference beyond it."""
    compiled = lambda run: jax.jit(
        lambda p: transform(lambda q: problem.outputs(run, q), p),
        compiler_options=_COMPILE_FAST,
    )
    programs = [compiled(run) for run in (own, plain)]
    point = problem.inputs()
    got, expected = (_outcome(g, point) for g in programs)
    if isinstance(got, Exception) or isinstance(expected, Exception):
        if type(got) is type(expected):
            return 0.0, None
        say = [
            f"{type(o).__name__}: {o}" if isinstance(o, Exception) else "a result"
            for o in (got, expected)
        ]
        what = f"jrnn.scan gives {say[0]}; jax.lax.scan {say[1]}"
        return np.inf, ("all", what, float("nan"), 0.0)
    moved = programs[1](_rounded(point, problem.eps)) if rtol is None else expected
    share = 0.0
    for leaf, a in expected.items():
        found = _leaf_difference(got[leaf], a, moved[leaf], problem.eps, rtol, atol)
        difference, allowed, what = found
        if what:
            return np.inf, (leaf, what, difference, allowed)
        share = max(share, difference / allowed if difference else 0.0)
    return share, None


def _outcome(g: Callable, point: PyTree) -> Labelled | Exception:
    try:
        return g(point)
    except Exception as error:  # whatever it is, the other one must raise it too
        return error


def _rounded(point: PyTree, eps: float) -> PyTree:
    """Every number off by about one rounding, if only of its own type."""

    def near(x: Any) -> Any:
        if not _is_smooth(x):
            return x
        signs = np.where(np.arange(x.size) % 3 % 2, -1, 1).reshape(x.shape)
        own = max(eps, float(jnp.finfo(x.dtype).eps))
        return x * (1 + signs * own).astype(x.dtype)

    return jax.tree.map(near, point)


def _leaf_difference(
    got: Any, expected: Any, moved: Any, eps: float, rtol: float | None, atol: float
) -> tuple[float, float, str]:
    """The difference, what is allowed, and what to say where it is more."""
    kinds = [(str(x.dtype), x.shape) for x in (got, expected)]
    if kinds[0] != kinds[1]:
        return np.nan, 0.0, f"got {kinds[0]}, expected {kinds[1]}."
    wide = np.complex128 if jnp.iscomplexobj(expected) else np.float64
    a, b, c = (np.asarray(x).astype(wide) for x in (got, expected, moved))
    if not _is_smooth(expected):
        wrong = int(np.sum(np.asarray(got) != np.asarray(expected)))
        say = f"{wrong} of {b.size} numbers differ."
        return float(wrong), 0.0, say if wrong else ""
    finite = np.isfinite(b)
    alike = np.array_equal(a[~finite], b[~finite], equal_nan=True)
    if not alike or not np.isfinite(a[finite]).all():
        return np.inf, 0.0, f"got {a.ravel()[:4]}..., expected {b.ravel()[:4]}..."
    largest = lambda x: float(np.max(np.abs(x), initial=0.0))
    both = finite & np.isfinite(c)
    scale, moves = largest(b[finite]), largest(c[both] - b[both])
    bound = max(_ROUNDINGS * eps * scale, _MOVES * moves)
    bound = bound if rtol is None else rtol * scale
    difference, allowed = largest(a[finite] - b[finite]), atol + bound
    say = f"differs by {difference:.3g}, allowed {allowed:.3g} (largest {scale:.3g})."
    return difference, allowed, say if difference > allowed else ""


# Which equation is to blame -----------------------------------------------------


def _blame(
    own: Callable,
    plain: Callable,
    problem: _Problem,
    transform: Callable[..., Labelled],
    rtol: float | None,
    atol: float,
) -> tuple[str, str] | None:
    """The first equation whose result, given out alone, differs in the same way.

    What differs in a single step is looked for there, where no later step disturbs.
    """
    differs = lambda p: _compare(own, plain, p, transform, rtol, atol)[1] is not None
    single = next(filter(differs, _single_steps(plain, problem)), None)
    equations = list(enumerate(_equations(problem)))
    for place, eqn in equations:
        if single is not None and differs(_Alone(single, place, False)):
            return _described(eqn)
    for one_step in True, False:
        for place, eqn in equations:
            if differs(_Alone(problem, place, one_step)):
                return _described(eqn)
    return None


def _described(eqn: core.JaxprEqn) -> tuple[str, str]:
    kinds = ", ".join(v.aval.str_short() for v in eqn.outvars)
    return f"{eqn.primitive.name} {kinds}", summarize(eqn.source_info)


def _single_steps(plain: Callable, problem: _Problem) -> Iterator[_Problem]:
    """The problem's steps, each as a loop of one."""
    leaves = jax.tree.leaves(problem.xs)
    steps = len(leaves[0]) if leaves else problem.length
    for t in range(steps or 0):
        one = problem._replace(xs=jax.tree.map(lambda x: x[t : t + 1], problem.xs))  # noqa: B023
        one = one._replace(length=1)
        yield one
        carry = one.outputs(plain, one.inputs())["carry"]
        problem = problem._replace(init=carry)


class _Alone(NamedTuple):
    """A problem of which one equation's results are the only outputs."""

    problem: _Problem
    place: int
    one_step: bool  # derivatives do not go from step to step

    @property
    def eps(self) -> float:
        return self.problem.eps

    def inputs(self) -> dict[str, PyTree]:
        return self.problem.inputs()

    def outputs(self, run: Callable, inputs: dict[str, PyTree]) -> list[Any]:
        whole = self.problem

        def step(c: PyTree, x: PyTree) -> PyTree:
            seen: list[Any] = []
            leaves = jax.tree.leaves((c, x))
            outs = _evaluate(whole.jaxpr.jaxpr, inputs["captured"], leaves, seen)
            carry, _ = jax.tree.unflatten(whole.out_tree, outs)
            carry = lax.stop_gradient(carry) if self.one_step else carry
            return carry, seen[self.place][1]

        return run(step, inputs["init"], inputs["xs"], whole.length)[1]
