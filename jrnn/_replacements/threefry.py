"""Threefry's random bits, computed on CPUs without a loop over its rounds.

JAX compiles its generator for CPUs to a loop, to be quick to compile: each turn passes
over all numbers in memory. Unrolled, a round is a few instructions on numbers in
registers, and the same bits take a third of the time.

References:
    Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3,
    SC11, doi:10.1145/2063384.2063405, section 3.3 (Threefry-2x32, 20 rounds).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import random

from jrnn._programs.operation import batch_as_itself, lower, operation
from jrnn._setting import setting
from jrnn.cell import Key

_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = np.uint32(0x1BD11BDA)
_JAX = random.threefry_prng_impl


def unroll_rounds(key: Key) -> Key:
    """The same key, whose random numbers are computed faster on CPUs.

    It gives the numbers that `key` gives. Keys of other generators are left alone.
    """
    if jax.random.key_impl(key) != _JAX.name:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_UNROLLED)


def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    """Bits of the n-th of many numbers: a hash of n under the key, uint32 (2,)."""
    size = math.prod(shape)
    one_hash_a_number = setting("jax_threefry_partitionable") and bit_width == 32
    if not one_hash_a_number or size >= 2**32:
        return _JAX.random_bits(key, bit_width, shape)
    n = lax.iota(jnp.uint32, size).reshape(shape)
    k = [jnp.broadcast_to(part, shape) for part in key]
    x_0, x_1 = _hash_p.bind(*k, jnp.zeros_like(n), n)
    return x_0 ^ x_1


def _hash(k_0: Any, k_1: Any, x_0: Any, x_1: Any) -> list[jax.Array]:
    """Threefry-2x32: twenty rounds, the key added before and after each four."""
    k = (k_0, k_1, k_0 ^ k_1 ^ _PARITY)
    x_0, x_1 = x_0 + k[0], x_1 + k[1]
    for n in range(1, 6):
        for r in _ROTATIONS[(n - 1) % 2]:
            x_0 = x_0 + x_1
            x_1 = x_0 ^ (x_1 << np.uint32(r) | x_1 >> np.uint32(32 - r))
        x_0, x_1 = x_0 + k[n % 3], x_1 + k[(n + 1) % 3] + np.uint32(n)
    return [x_0, x_1]


def _types(k_0: Any, *_: Any) -> list[Any]:
    return [k_0, k_0]  # the key is where the numbers are to be


_hash_p = operation("jrnn_threefry", _types, lambda: random.threefry2x32_p.bind)
lower(_hash_p, lambda: _hash, platform="cpu")
batch_as_itself(_hash_p)
_UNROLLED = random.define_prng_impl(
    key_shape=_JAX.key_shape,
    seed=_JAX.seed,
    split=_JAX.split,
    random_bits=_random_bits,
    fold_in=_JAX.fold_in,
    name="jrnn_threefry2x32",
    tag="jrnn",
)
