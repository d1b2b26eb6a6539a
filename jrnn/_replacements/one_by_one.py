"""Functions of a matrix that LAPACK computes, of which CPUs take a batch one by one.

Under `vmap`, JAX hands the matrices of a batch to the threads of a CPU and waits for
them, on one of these threads. With two such batches at a time on two cores, as where
two layers are made for several seeds, all threads wait, for good. One matrix alone is
computed on the thread that has come to it.
"""

from collections.abc import Callable

import jax
from jax import lax


def one_by_one(f: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """`f`, which under `vmap` is called in a loop on CPUs.

    Args:
        f: a function of one matrix.

    Returns:
        The same function; it has no derivative backward.
    """
    each = jax.custom_batching.custom_vmap(f)

    @each.def_vmap
    def batch(size, batched, matrices):
        del size, batched  # there is one argument, so it is batched
        loop = lambda matrices: lax.map(each, matrices)
        return lax.platform_dependent(matrices, cpu=loop, default=jax.vmap(f)), True

    return each
