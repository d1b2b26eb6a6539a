"""How do the eigenvalues of the recurrent matrix rule the gradient of an early state?

Source: texts 000 and 002 (the gradient through time as a product of Jacobians, and its
powers P D^k P^-1); Goodfellow, Bengio, Courville (2016), Deep learning, section 10.7.

A linear network h_t = h_{t-1} W has the Jacobian W^T at every step, so that

    dJ/dh_i = (W^T)^(T-i) dJ/dh_T = P^-T D^(T-i) P^T dJ/dh_T    with W = P D P^-1

(h is a row and W stands on its right; gradients here are columns, for which the W^T of
the text is W itself). Along each eigenvector it shrinks or grows by the power of its
eigenvalue: all but those of modulus 1 vanish or explode.

Expect: three ways to the same gradient, equal to 1e-12: backpropagation by
`gradient_flow`, the power of the matrix, and the powers of its eigenvalues.

Time: seconds.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import tyro

import jrnn
from experiments._results import save, show
from jrnn import initializers
from jrnn.gradients import gradient_flow


@dataclass(frozen=True)
class Config:
    size: int = 16
    """Units H."""
    steps: int = 40
    """Steps T."""
    radii: tuple[float, ...] = (0.5, 0.8, 0.95, 1.0, 1.05, 1.2)
    """Spectral radius of W, exactly."""
    seed: int = 0
    """Of W and dJ/dh_T."""


SMOKE = Config(size=3, steps=4, radii=(0.5, 1.2))


@dataclass(frozen=True)
class Result:
    radii: np.ndarray  # (R,)
    backpropagated: np.ndarray  # (R, T, H) dJ/dh_i for i = 1 .. T
    powers: np.ndarray  # (R, T, H) by powers of W
    eigen: np.ndarray  # (R, T, H) by powers of the eigenvalues


CELL_OF = lambda size: jrnn.elman(size, activation=lambda a: a)


def backpropagated(W: jax.Array, d_last: jax.Array, steps: int) -> jax.Array:
    """dJ/dh_i (T, H) by automatic differentiation, for J = dJ/dh_T . h_T."""
    size = len(W)
    params = jrnn.ElmanParams(jnp.zeros((1, size)), W, jnp.zeros(size))
    objective = lambda hs: hs[-1] @ d_last
    xs = jnp.zeros((steps, 1))
    return gradient_flow(CELL_OF(size), params, xs, objective, vectors=True).vectors


def by_powers(W: np.ndarray, d_last: np.ndarray, steps: int) -> np.ndarray:
    """W^(T-i) dJ/dh_T, gradients as columns."""
    powers = [np.linalg.matrix_power(W, steps - i) for i in range(1, steps + 1)]
    return np.stack([power @ d_last for power in powers])


def by_eigenvalues(W: np.ndarray, d_last: np.ndarray, steps: int) -> np.ndarray:
    """P D^(T-i) P^-1 dJ/dh_T."""
    D, P = np.linalg.eig(W)
    c = np.linalg.solve(P, d_last.astype(complex))  # (H,) along the eigenvectors
    lags = steps - np.arange(1, steps + 1)
    return ((D ** lags[:, None] * c) @ P.T).real


def run(cfg: Config) -> Result:
    with jax.enable_x64(True):
        w_key, d_key = jax.random.split(jax.random.key(cfg.seed))
        shape = (cfg.size, cfg.size)
        matrices = [
            initializers.spectral_radius(r)(w_key, shape, jnp.float64)
            for r in cfg.radii
        ]
        d_last = jax.random.normal(d_key, (cfg.size,), jnp.float64)
        ways = backpropagated, by_powers, by_eigenvalues
        found = [
            np.stack([np.asarray(way(W, d_last, cfg.steps)) for W in matrices])
            if way is backpropagated
            else np.stack(
                [way(np.asarray(W), np.asarray(d_last), cfg.steps) for W in matrices]
            )
            for way in ways
        ]
        return Result(np.asarray(cfg.radii), *found)


def summary(result: Result) -> dict:
    size = np.linalg.norm(result.powers, axis=-1, keepdims=True)
    off = lambda found: (np.abs(found - result.powers) / size).max()
    norms = np.linalg.norm(result.backpropagated, axis=-1)
    return {
        "largest_relative_difference_from_matrix_powers": {
            "backpropagation": off(result.backpropagated),
            "eigenvalues": off(result.eigen),
        },
        "norm_of_the_first_over_the_last": dict(
            zip(map(str, result.radii), norms[:, 0] / norms[:, -1], strict=True)
        ),
    }


def plot(result: Result) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    norms = np.linalg.norm(result.backpropagated, axis=-1)
    lags = np.arange(norms.shape[1])[::-1]
    shades = plt.get_cmap("cividis")(np.linspace(0, 0.9, len(norms)))
    for radius, norm, shade in zip(result.radii, norms, shades, strict=True):
        axes.semilogy(
            lags, norm / norm[-1], ".-", color=shade, ms=4, label=f"{radius:g}"
        )
        axes.semilogy(lags, radius**lags, ":", color=shade)
    axes.axhline(1, color="grey", lw=0.8)
    axes.set(xlabel="lag T - i, steps", ylabel="norm of dJ/dh_i over that of dJ/dh_T")
    axes.set_title("A linear network's gradient, by lag", fontsize=10)
    axes.legend(
        title="spectral radius\n(dotted: its power)", fontsize=8, title_fontsize=8
    )
    return figure


def main(cfg: Config) -> None:
    result = run(cfg)
    metrics = summary(result)
    save("eigenvalues", cfg, metrics, plot(result))
    show(metrics)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
