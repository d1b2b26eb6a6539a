"""`jax.checking_leaks` in a process that holds much."""

import contextlib
import gc

import jax


@contextlib.contextmanager
def checking_leaks():
    """The same, without a search through what is older, which can take a minute.

    That cannot be the leak. It stays frozen: later collections are faster for it.
    """
    gc.freeze()
    with jax.checking_leaks():
        yield
