"""The cheapest values to store, against all choices there are."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax

from jrnn._programs.program import jaxpr_of
from jrnn.scan.min_cut import min_cut

INPUTS, MOST = 2, 6
NUMBER = st.integers(0, INPUTS + MOST - 1)
COSTS = st.lists(st.integers(1, 9), min_size=INPUTS + MOST, max_size=INPUTS + MOST)
# of computing a value again, as a share of its cost; None: that may not be
PRICE = st.sampled_from([0, 0, 0.5, 1, None])
PRICES = st.lists(PRICE, min_size=MOST, max_size=MOST)


def program(operands):
    """Sums of values made before, two inputs first."""

    def function(*values):
        values = list(values)
        for i, j in operands:
            values.append(values[i % len(values)] + values[j % len(values)])
        return values[-1]

    return jaxpr_of(jax.make_jaxpr(function)(*[1.0] * INPUTS))


def total(stored, wanted, made_by, cost, price):
    """The price of having `wanted` again from what is stored; None if it cannot be."""
    again, left = set(), [*wanted]
    while left:
        v = left.pop()
        if v in stored or v in again:
            continue
        if v not in made_by or price[v] is None:
            return None
        again.add(v)
        left += made_by[v].invars
    return sum(cost[v] for v in stored) + sum(int(price[v] * cost[v]) for v in again)


@hypothesis.settings(max_examples=60, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    operands=st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=MOST),
    places=st.sets(NUMBER, min_size=1, max_size=3),
    costs=COSTS,
    prices=PRICES,
)
def test_no_choice_is_cheaper(operands, places, costs, prices):
    jaxpr = program(operands)
    results = [eqn.outvars[0] for eqn in jaxpr.eqns]
    values = [*jaxpr.invars, *results]
    made_by = dict(zip(results, jaxpr.eqns, strict=True))
    cost = dict(zip(values, costs, strict=False))
    price = dict(zip(results, prices, strict=False))
    wanted = list(dict.fromkeys(values[i % len(values)] for i in places))
    recompute = [price[v] for v in results]
    got = min_cut(jaxpr.eqns, wanted, recompute, cost, known=())
    choices = itertools.chain.from_iterable(
        itertools.combinations(values, n) for n in range(len(values) + 1)
    )
    totals = [total(set(c), wanted, made_by, cost, price) for c in choices]
    cheapest = min(t for t in totals if t is not None)
    assert total(set(got), wanted, made_by, cost, price) == cheapest
