"""How much of a gradient does each cell carry back over 50 steps, untrained?

Source: Pascanu et al. 2013, for any cell.

The root mean square of |J^T u| / |u| over random u, J being the derivative of all that
the cell carries at the end of 50 steps by what it carried at their beginning, after as
many steps on random inputs from its own first carry. 1 keeps gradients, 1e-10 loses
them. The index of cells shows it in a column.

Expect: gated cells, whose forget gates are nearly open at first, keep more than tanh;
orthogonal, antisymmetric and oscillating cells keep nearly all.

Time: a minute.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import tyro
from jax import lax
from jax.flatten_util import ravel_pytree

import jrnn
from experiments._results import save, show
from experiments.cell_speed import Subject, cells


@dataclass(frozen=True)
class Config:
    hidden_size: int = 128
    """Units, and numbers of an input."""
    lag: int = 50
    """Steps that the gradient goes back, and steps before those."""
    directions: int = 8
    """Random vectors u."""
    seed: int = 0
    """Of weights, inputs and u."""


SMOKE = Config(8, 3, 2)


@dataclass(frozen=True)
class Result:
    ratio: dict[str, float]  # by cell: root mean square of |J^T u| / |u|


def split_floats(carry):
    """The numbers of a carry as a real vector, and the way back to all of it."""
    leaves, tree = jax.tree.flatten(carry)
    is_number = [jnp.issubdtype(a.dtype, jnp.inexact) for a in leaves]
    numbers = [a for a, on in zip(leaves, is_number, strict=True) if on]
    is_complex = [jnp.iscomplexobj(a) for a in numbers]
    reals = [
        jnp.stack([a.real, a.imag]) if c else a
        for a, c in zip(numbers, is_complex, strict=True)
    ]
    vector, unravel = ravel_pytree(reals)

    def whole(vector):
        made = zip(unravel(vector), is_complex, strict=True)
        rest = iter([lax.complex(a[0], a[1]) if c else a for a, c in made])
        pairs = zip(leaves, is_number, strict=True)
        return jax.tree.unflatten(tree, [next(rest) if on else a for a, on in pairs])

    return vector, whole


def gradient_at_lag(cell: jrnn.Cell, params, xs, lag: int, us_key, directions: int):
    """The root mean square of |J^T u| / |u|; `xs` are the steps before J's, and its."""
    first = cell.initial_carry(params, key=jax.random.fold_in(us_key, 1))
    start, _ = jrnn.unroll(cell, params, xs[:-lag], first)
    vector, whole = split_floats(start)
    end = lambda v: split_floats(jrnn.unroll(cell, params, xs[-lag:], whole(v))[0])[0]
    _, pull = jax.vjp(end, vector)
    us = jax.random.normal(us_key, (directions, vector.size), vector.dtype)
    (back,) = jax.vmap(pull)(us)
    return jnp.sqrt(jnp.mean(jnp.sum(back**2, 1) / jnp.sum(us**2, 1)))


def of(cfg: Config, subject: Subject) -> float:
    keys = jax.random.split(jax.random.key(cfg.seed), 3)
    params = jax.jit(subject.cell.init)(keys[0], jnp.zeros(subject.shape))
    xs = jax.random.normal(keys[1], (2 * cfg.lag, *subject.shape))
    measure = jax.jit(gradient_at_lag, static_argnums=(0, 3, 5))
    return float(measure(subject.cell, params, xs, cfg.lag, keys[2], cfg.directions))


def run(cfg: Config) -> Result:
    subjects = cells(cfg.hidden_size)
    return Result({name: of(cfg, subject) for name, subject in subjects.items()})


def main(cfg: Config) -> None:
    ratio = run(cfg).ratio
    metrics = {"gradient_at_lag": dict(sorted(ratio.items()))}
    save("cells", cfg, metrics)
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config))
