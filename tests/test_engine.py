"""The form of the engine: short functions, a short path, plans that decide."""

import ast
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import jrnn
from jrnn._programs.program import Step
from jrnn.scan.derive import derivative
from jrnn.scan.plan import plan

PACKAGE = Path(jrnn.__file__).parent
ENGINE = [
    path
    for folder in ("scan/**", "_programs", "_replacements")
    for path in sorted(PACKAGE.glob(f"{folder}/*.py"))
]
MOST_LINES, MOST_MODULES = 40, 8
VOCABULARY = "_programs/program.py"


def functions(source):
    """Name and number of lines of every function, docstrings not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            yield node.name, lines


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_functions_are_short(path):
    source = path.read_text()
    assert [(name, n) for name, n in functions(source) if n > MOST_LINES] == []


@pytest.mark.parametrize("lines", [MOST_LINES, MOST_LINES + 1])
def test_a_long_function_is_found(lines):
    body = "\n".join(["        pass"] * (lines - 1))
    source = (
        f'def f():\n    def g():\n        """One.\n\n        Two.\n        """\n{body}'
    )
    assert dict(functions(source))["g"] == lines


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_nothing_is_known_by_its_id(path):
    """Equations are known by the variables that they make, in every program alike."""
    calls = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
    ]
    assert [ast.unparse(c) for c in calls if ast.unparse(c.func) == "id"] == []


def module(frame):
    """The file of the engine that a frame runs in; None in all others."""
    path = Path(frame.f_code.co_filename)
    inside = path.is_relative_to(PACKAGE)
    name = str(path.relative_to(PACKAGE)) if inside else ""
    return name if name.startswith(("scan/", "_programs/")) else None


def path_through_the_engine(function, *args):
    """The files that tracing enters, in order, and calls from later to earlier ones.

    Calls of the vocabulary are no way back, nor what it calls: it evaluates programs.
    """
    order, back = [], set()

    def record(frame, event, _):
        if event != "call" or (here := module(frame)) is None:
            return
        if here not in order:
            order.append(here)
        caller = frame.f_back
        while caller is not None and module(caller) in (None, VOCABULARY):
            caller = caller.f_back
        if caller is None or here == VOCABULARY:
            return
        if order.index(here) < order.index(module(caller)):
            back.add((module(caller), here))

    sys.setprofile(record)
    try:
        jax.make_jaxpr(function)(*args)
    finally:
        sys.setprofile(None)
    return order, back


@pytest.mark.slow
def test_a_derivative_can_be_followed_in_one_direction():
    """It opens few files; a derivative alone goes back, to be planned as a step is."""
    cell = jrnn.lstm(4)
    xs = jnp.linspace(-1.0, 1.0, 21).reshape(7, 3)
    params = cell.init(jax.random.key(0), xs[0])
    loss = lambda params: jrnn.unroll(cell, params, xs)[1].sum()
    order, back = path_through_the_engine(jax.grad(loss), params)
    assert order[0] == "scan/loop.py" and order[-1] == "scan/emit.py"
    assert len(order) <= MOST_MODULES, order
    again = {"scan/normalise.py", "scan/plan.py"}
    assert back <= {("scan/derive.py", name) for name in again}


# What a plan says ---------------------------------------------------------------------


def step_of(f, weights, carry, x, **options):
    """The step `f(weights, carry, x) -> (carry, ys)`, one array each but for ys."""
    flat = lambda *args: jax.tree.leaves(f(*args))
    program = jax.make_jaxpr(flat)(weights, carry, x)
    often = {"length": 5, "reverse": False, "unroll": 1} | options
    return Step(program, weights=1, carry=1, **often)


@pytest.mark.parametrize(
    ("rows", "columns", "how"),
    [
        ((), 16, None),
        ((), 9, "padded"),  # columns that do not fill vectors of eight
        ((4,), 9, "transposed"),
        ((3,), 9, None),
    ],
)
def test_a_plan_says_how_products_run_on_cpus(rows, columns, how):
    w, h = jnp.ones((columns, columns)), jnp.ones((*rows, columns))
    last_with_last = (((len(rows),), (1,)), ((), ()))

    def f(w, h, x):
        h = lax.dot_general(h, w, last_with_last) + x
        return h, h

    where = plan(step_of(f, w, h, h))
    (made,) = (e.outvars[0] for e in where.loop if e.primitive is lax.dot_general_p)
    assert where.on_cpu == ({made: how} if how else {})
    assert where.layouts == {} and not where.linear and not where.checkpoint


def test_a_derivatives_plan_lays_weights_out_anew_everywhere():
    """Its transpose contracts the other axis of the weight."""
    w, h = jnp.ones((9, 9)), jnp.ones((4, 9))
    step = step_of(lambda w, h, x: (jnp.tanh(h @ w + x), h), w, h, h)
    where = derivative(step, (True, True, True)).plan
    found = [e.outvars[0] for e in where.loop if e.primitive is lax.dot_general_p]
    assert where.layouts == dict.fromkeys(found, "transposed") != {}
    assert where.on_cpu == {} and where.linear


def test_the_cotangent_of_a_carry_that_nothing_else_reads_is_not_shared():
    """It is an array; where y reads the sum too, it is a sum to be computed once."""
    three_terms = lambda w, h, x: h @ w + h * x + x
    alone = lambda w, h, x: (three_terms(w, h, x), h)
    with_y = lambda w, h, x: (lambda later: (later, later * x))(three_terms(w, h, x))

    def shared(f):
        step = step_of(f, jnp.ones((3, 3)), jnp.ones((2, 3)), jnp.ones((2, 3)))
        linear = derivative(step, (True, True, True)).linear
        names = [e.primitive.name for e in linear.program.eqns]
        return names.count("jrnn_shared")

    assert (shared(alone), shared(with_y)) == (0, 1)


def test_a_plan_says_what_is_stored_part_by_part_and_what_is_shifted():
    def f(w, h, x):
        later = jnp.tanh(h * w + x)
        return later, (jnp.concatenate([later, h]), jnp.sin(h) * later)

    v = jnp.ones(3)
    step = step_of(f, v, v, v)
    where = plan(step)
    carry, (later,) = step.inputs().carry, step.outputs().carry
    (both,) = (e.outvars[0] for e in where.loop if e.primitive is lax.concatenate_p)
    assert where.on_cpu == {both: "parts"}
    assert where.shifted == {carry[0]: later} and later in where.stacked
    assert [eqn.primitive.name for eqn in where.after] == ["sin", "mul"]


def by_parts(w, h, x):
    a, b = jnp.split(h @ w + x, 2, -1)
    h = jnp.tanh(a) * jnp.tanh(b)
    return h, h


def whole(w, h, x):
    h = jnp.tanh(h @ w + x)
    return h, h


def into_two_arrays(w, h, x):  # as h and c of an LSTM
    a, b = jnp.split(h @ w + x, 2, -1)
    h = jnp.tanh(a) * jnp.tanh(b)
    return h, jnp.tanh(b)


@pytest.mark.parametrize(
    ("f", "ahead"),
    [(by_parts, True), (whole, False), (into_two_arrays, False)],
)
def test_a_plan_says_what_is_read_a_step_ahead(f, ahead):
    """Where one array is made of parts of a sum with x_t."""
    size = 6 if f is whole else 3
    h, x = jnp.ones((2, size)), jnp.ones((2, 6))
    where = plan(step_of(f, jnp.ones((size, 6)), h, x))
    (row,) = where.crossing
    assert where.ahead == ({row} if ahead else set())


def test_a_token_whose_embedding_is_read_by_parts_is_read_a_step_ahead():
    def f(w, h, x):
        a, b = jnp.split(w[x] + jnp.tile(h, 2), 2, -1)
        h = jnp.tanh(a) * jnp.tanh(b)
        return h, h

    token = jnp.zeros(2, jnp.int32)
    where = plan(step_of(f, jnp.ones((5, 6)), jnp.ones((2, 3)), token))
    assert len(where.crossing) == 1 and where.ahead == {*where.crossing}


def test_a_derivative_reads_nothing_ahead():
    step = step_of(by_parts, jnp.ones((3, 6)), jnp.ones((2, 3)), jnp.ones((2, 6)))
    assert plan(step).ahead and not derivative(step, (True, True, True)).plan.ahead


def test_a_plan_says_which_products_are_one_of_all_steps():
    def f(w, h, x):
        h = jnp.tanh(x @ w + h)
        return h, h @ w

    where = plan(step_of(f, jnp.ones((3, 3)), jnp.ones((2, 3)), jnp.ones((2, 3))))
    products = [*where.before, *where.after]
    assert [eqn.primitive.name for eqn in products] == ["dot_general"] * 2
    assert where.flat == {eqn.outvars[0] for eqn in products}
