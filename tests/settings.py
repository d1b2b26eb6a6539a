"""JAX's own settings, for tests of what runs under those and not under strict ones."""

import contextlib

import jax
import pytest


@contextlib.contextmanager
def ordinary():
    """As a user has them who has set nothing."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_key_reuse(False),
    ):
        yield


@pytest.fixture(autouse=True)
def ordinary_settings():
    """For every test of a module that imports it."""
    with ordinary():
        yield
