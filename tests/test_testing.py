"""`check_scan` lets right engines pass, and names what is wrong with broken ones."""

import functools
import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend import core

import jrnn.testing
from jrnn.testing import ScanDifference, check_scan

pytestmark = pytest.mark.slow

W = jnp.array([[0.4, -1.2, 0.3], [0.9, 0.2, -0.5], [-0.7, 0.6, 0.8]])
H, XS = W[0], jnp.sin(jnp.arange(12.0)).reshape(4, 3)


def plain(c, x):
    z = jnp.sin(c @ W) + x
    h = jnp.tanh(z)
    return h, jnp.sum(jnp.cos(h))


def broken(name, change):
    """An engine that is `jax.lax.scan`, but computes one kind of operation wrongly."""

    def engine(f, init, xs=None, length=None, **options):
        def wrong(c, x):
            closed, shapes = jax.make_jaxpr(f, return_shape=True)(c, x)
            env = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
            env |= zip(closed.jaxpr.invars, jax.tree.leaves((c, x)), strict=True)
            read = lambda a: a.val if isinstance(a, core.Literal) else env[a]
            for eqn in closed.jaxpr.eqns:
                params = eqn.primitive.get_bind_params(eqn.params)
                bind = functools.partial(eqn.primitive.bind, **params)
                right = change(bind) if eqn.primitive.name == name else bind
                out = right(*map(read, eqn.invars))
                outs = out if eqn.primitive.multiple_results else [out]
                env.update(zip(eqn.outvars, outs, strict=True))
            outs = [read(a) for a in closed.jaxpr.outvars]
            return jax.tree.unflatten(jax.tree.structure(shapes), outs)

        return lax.scan(wrong, init, xs, length, **options)

    return engine


def wrong_value(bind):
    return lambda *args: bind(*args) * (1 + 1e-9)


def wrong_derivative(bind):
    f = jax.custom_jvp(bind)
    f.defjvp(lambda p, t: (bind(*p), jax.jvp(bind, p, t)[1] * (1 + 1e-9)))
    return f


def wrong_second_derivative(bind):
    f = jax.custom_jvp(bind)

    @f.defjvp
    def _(p, t):
        slope = lax.stop_gradient(jax.jvp(bind, p, jax.tree.map(jnp.ones_like, p))[1])
        return bind(*p), slope * t[0]

    return f


def wrong_batch(bind):
    f = jax.custom_batching.custom_vmap(bind)
    f.def_vmap(lambda size, on, x: (jax.vmap(bind)(x) * (1 + 1e-9), True))
    return f


FAULTS = [
    (wrong_value, 0, "value"),
    (wrong_derivative, 1, "jvp"),
    (wrong_second_derivative, 2, "jvp of gradient"),
    (wrong_batch, 0, "vmap of value"),
]


@pytest.mark.parametrize("operation", ["sin", "tanh", "cos"])
@pytest.mark.parametrize(("change", "order", "found"), FAULTS)
def test_a_wrong_operation_is_found_and_named(
    change, order, found, operation, monkeypatch
):
    monkeypatch.setattr(jrnn.testing, "scan", broken(operation, change))
    with pytest.raises(ScanDifference) as error:
        check_scan(plain, H, XS, order=order)
    assert error.value.transformation == found
    assert error.value.equation == f"{operation} float64[3]"
    lines, first = inspect.getsourcelines(plain)
    (line,) = [first + i for i, text in enumerate(lines) if operation in text]
    assert f"test_testing.py:{line}:" in error.value.source
    assert 0 < error.value.allowed < error.value.difference
    assert operation in str(error.value) and found in str(error.value)


def test_a_broken_pass_of_the_engine_is_found_and_named(monkeypatch):
    """Where `scan` evaluates one equation after the other, cosines come out wrong."""
    program = sys.modules["jrnn._programs.program"]
    apply = program.apply

    def wrong(eqn, values, **options):
        outs = apply(eqn, values, **options)
        return [x * 1.5 for x in outs] if eqn.primitive.name == "cos" else outs

    monkeypatch.setattr(program, "apply", wrong)
    with pytest.raises(ScanDifference, match=r"value of ys: differs by") as error:
        check_scan(lambda c, x: plain(c, x), H, XS, order=0)
    assert error.value.equation == "cos float64[3]"


def test_a_rule_that_is_ignored_is_found(monkeypatch):
    clip = jax.custom_vjp(lambda w: w)
    clip.defvjp(lambda w: (w, None), lambda _, g: (jnp.clip(g, -0.1, 0.1),))
    free = jax.custom_vjp(lambda w: w)
    free.defvjp(lambda w: (w, None), lambda _, g: (g,))
    w = jnp.asarray(0.5)
    step = lambda c, x: (c + clip(w) * x[0], c)
    name = "custom_vjp_call"
    for instead, found in (free, "gradient of captured/0"), (lambda w: w, "jvp of all"):
        engine = broken(name, lambda bind: lambda w: [instead(w)])  # noqa: B023
        monkeypatch.setattr(jrnn.testing, "scan", engine)
        with pytest.raises(ScanDifference, match=found) as error:
            check_scan(step, jnp.asarray(0.0), XS, order=1)
        assert error.value.equation.startswith(name)


STEPS = {
    "plain": (plain, H, XS),
    "pytrees": (
        lambda c, x: (
            {"h": jnp.tanh(c["h"] @ W + x[0]), "n": c["n"] + 1}, (c["n"], x[1])),
        {"h": H, "n": 0},
        (XS, jnp.arange(4) > 1),
    ),
    "no input": (lambda c, _: (jnp.sin(c @ W), None), H, None),
    "no carry": (lambda c, x: (c, jnp.sin(x @ W)), None, XS),
    "integers": (
        lambda c, x: (c + x, c * x), jnp.int8(100), jnp.arange(4, dtype="int8")),
    "weak carry": (lambda c, x: (c + x[0], c), 1, XS),
    "keys": (
        lambda c, x: (c + jax.random.normal(jax.random.fold_in(x, 1), (3,)) @ W, x),
        H,
        jax.random.split(jax.random.key(0), 4),
    ),
    "float32": (
        lambda c, x: (jnp.tanh(c @ W.astype("float32") + x), c),
        H.astype("float32"),
        XS.astype("float32"),
    ),
    "complex": (
        lambda c, x: (c * x * 1j, jnp.abs(c)), H.astype(complex), XS.astype(complex)),
    "branches": (
        lambda c, x: (lax.cond(x[0] > 0, jnp.sin, lambda c: c @ W, c), c),
        H,
        XS,
    ),
    "not a number": (lambda c, x: (c + jnp.log(x), jnp.sqrt(x)), H, XS),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_right_engines_pass(name):
    """The shares are those of rounding: none where only integers are."""
    step, init, xs = STEPS[name]
    order = 2 if name == "plain" else 1 if name in ("pytrees", "complex") else 0
    shares = check_scan(step, init, xs, None if xs is not None else 4, order=order)
    assert shares and all(0 <= share < 1 for share in shares.values())
    assert ("gradient" in shares, "jvp of gradient" in shares) == (order > 0, order > 1)
    assert name != "integers" or set(shares.values()) == {0.0}


def test_options_go_to_scan_alone():
    for options in {"remat": 2}, {"unroll": 2}, {"remat": "step", "reverse": True}:
        check_scan(plain, H, XS, order=0, **options)


def test_ill_conditioned_steps_pass_by_their_condition_and_fail_by_a_bound():
    """A chaotic map: what rounding does to `jax.lax.scan` itself is allowed."""

    def noisy(f, init, xs=None, length=None, **options):
        near = jax.tree.map(lambda x: x * (1 + 2e-16), init)
        return lax.scan(f, near, xs, length, **options)

    step = lambda c, _: (3.99 * c * (1 - c), c)
    own, jrnn.testing.scan = jrnn.testing.scan, noisy
    try:
        check_scan(step, jnp.asarray(0.3), None, 60, order=0)
        with pytest.raises(ScanDifference, match="differs by"):
            check_scan(step, jnp.asarray(0.3), None, 60, order=0, rtol=1e-12)
    finally:
        jrnn.testing.scan = own


TYPES = {
    "numpy": (lambda out: jax.tree.map(np.asarray, out), "not a jax.Array"),
    "dtype": (
        lambda out: jax.tree.map(lambda x: x.astype(jnp.float32), out),
        "got float32 .*expected float64",
    ),
    "structure": (lambda out: [*out], "got PyTreeDef.*, not PyTreeDef"),
    "shape": (lambda out: (out[0], out[1][:, None]), r"got float64 \(4, 1\)"),
    "weak": (
        lambda out: (out[0], lax.full_like(out[1], 1.5)),
        "expected float64.*weak",
    ),
}


@pytest.mark.parametrize("name", TYPES)
def test_types_are_compared(name, monkeypatch):
    change, message = TYPES[name]
    step = (lambda c, x: (c, 1.5)) if name == "weak" else plain
    engine = lambda f, *args, **options: change(lax.scan(f, *args, **options))
    if name == "weak":
        strong = lambda x: lax.convert_element_type(x, np.dtype(x.dtype))
        engine = lambda f, *args, **options: jax.tree.map(
            strong, lax.scan(f, *args, **options)
        )
    monkeypatch.setattr(jrnn.testing, "scan", engine)
    with pytest.raises(ScanDifference, match=message):
        check_scan(step, H, XS, order=0)


def test_a_refusal_must_be_shared(monkeypatch):
    rule = jax.custom_vjp(lambda x: x)
    rule.defvjp(lambda x: (x, None), lambda _, g: (g,))
    step = lambda c, x: (rule(c) @ W, c)
    shares = check_scan(step, H, XS, order=1)
    assert shares["jvp"] == 0.0  # forward mode: both refuse

    def refuses(f, *args, **options):
        if isinstance(args[0], jax.core.Tracer):
            raise NotImplementedError("not today")
        return lax.scan(f, *args, **options)

    monkeypatch.setattr(jrnn.testing, "scan", refuses)
    with pytest.raises(ScanDifference, match="NotImplementedError: not today"):
        check_scan(step, H, XS, order=0)


def test_order_of_another_kind():
    with pytest.raises(ValueError, match="order must be 0, 1 or 2, got 3"):
        check_scan(plain, H, XS, order=3)
