"""Random programs: `scan` and `jax.lax.scan` agree, under every transformation.

2,000 of them: `JRNN_TEST_PROGRAMS=2000 pytest tests/test_scan_programs.py`.
"""

import os

import jax
import jax.numpy as jnp
import pytest
import scan_programs
from jax import lax
from scan_programs import OPERATIONS, TRANSFORMATIONS, difference, program

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("JRNN_TEST_PROGRAMS", "60"))
AT_ONCE = 10


@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
def test_programs_agree(first):
    """Again, one by one: `python tests/scan_programs.py SEED 1`."""
    for seed in range(first, min(first + AT_ONCE, COUNT)):
        one = program(seed)
        found = difference(one)
        assert found is None, f"{one}\n{found}"
    if COUNT > 500:  # programs that will not come again
        jax.clear_caches()


def test_there_are_enough_kinds():
    assert len(OPERATIONS) >= 150 and len(TRANSFORMATIONS) >= 45
    programs = [program(seed) for seed in range(300)]
    used = {line.operation.name for one in programs for line in one.lines}
    assert used == set(OPERATIONS)
    assert {one.transformation for one in programs} == set(TRANSFORMATIONS)


def test_a_program_is_made_anew_from_its_seed():
    assert str(program(7)) == str(program(7)) != str(program(8))


def forward_only(f, init, xs, **options):
    return lax.scan(f, init, xs, **{**options, "reverse": False})


def first_step_twice(f, init, xs, **options):
    init, _ = f(init, jax.tree.map(lambda x: x[0], xs))
    return lax.scan(f, init, xs, **options)


@pytest.mark.parametrize("engine", [forward_only, first_step_twice])
def test_wrong_engines_are_found(engine, monkeypatch):
    def without_remat(f, init, xs, remat=None, **options):
        return engine(f, init, xs, **options)

    monkeypatch.setattr(scan_programs, "scan", without_remat)
    seeds = [s for s in range(40) if program(s).options["reverse"]][:5]
    assert any(difference(program(seed)) for seed in seeds)


def test_a_sum_in_another_order_is_found(monkeypatch):
    """It is near the right one, and a loop in Python must not excuse it."""
    operation = OPERATIONS["a + b + v + v"]
    one = program(0)._replace(
        lines=[scan_programs.Line(operation, (0, 1))], transformation="value",
        types=scan_programs.Types(jnp.dtype("float64"), jnp.dtype("int32")),
        width=3, carry=dict.fromkeys("hgnb", 0), outputs=[("f", 0)], bounded=False,
        draw=False, options={}, plain_options={},
    )  # fmt: skip
    assert difference(one) is None
    other = lambda e, a, b: a + (b + (e.x["v"] + e.x["v"]))

    def reordered(f, init, xs, **options):
        wrong = scan_programs.Line(operation._replace(function=other), (0, 1))
        step = scan_programs.make_step(one._replace(lines=[wrong]), weights, lax.scan)
        return lax.scan(step, init, xs, **options)

    weights = scan_programs.arguments(one)[0]
    monkeypatch.setattr(scan_programs, "scan", reordered)
    assert "bit for bit" in difference(one)
