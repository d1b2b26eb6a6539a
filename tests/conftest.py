"""Strict settings for the whole suite."""

import atexit
import contextlib
import gc
import os
import pathlib
import shutil
import tempfile
import threading
from importlib.metadata import version

# Programs here are tiny and run once: most of the suite's time is their compilation.
# Set before JAX starts.
COMPILE_FAST = ["--xla_cpu_parallel_codegen_split_count=1"]
if version("jaxlib").startswith("0.10."):  # later ones end at a flag they don't know
    COMPILE_FAST += ["--xla_cpu_use_fusion_emitters=false"]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *COMPILE_FAST])

# More threads than cores, or two devices can wait for each other's for good
os.environ["PJRT_NPROC"] = "16"

import jax  # noqa: E402
import pytest  # noqa: E402
from jax._src import lru_cache  # noqa: E402

from jrnn.scan import loop  # noqa: E402

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# With JAX's own checks on, this one refuses every jax.lax.scan over keys; without jit
# it sees that a test gives the same keys to both of the loops that it compares.
both = jax.config.jax_enable_checks or jax.config.jax_disable_jit
jax.config.update("jax_debug_key_reuse", not both)
jax.config.update("jax_disable_most_optimizations", True)
# What one test has compiled, another need not, nor its neighbour on the other core.
if "JRNN_TEST_CACHE" not in os.environ:  # the first process, which starts workers
    os.environ["JRNN_TEST_CACHE"] = tempfile.mkdtemp(prefix="jrnn-tests-")
    atexit.register(shutil.rmtree, os.environ["JRNN_TEST_CACHE"], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ["JRNN_TEST_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def write_whole(cache, name, program):
    """Show an entry of JAX's cache to others when all of it is written.

    JAX writes in place, without a lock: another thread or process that asks for the
    same program reads a part of it, and warns.
    """
    entry = cache.path / f"{name}-cache"
    if not entry.exists():
        part = cache.path / f"{name}-{threading.get_native_id()}"
        part.write_bytes(program)
        part.replace(entry)


lru_cache.LRUCache.put = write_whole
# Traces live as long as their caches: collecting them again and again finds nothing.
gc.set_threshold(200_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep the tests of a file together, as they share traces and trained models."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True, scope="module")
def bounded_memory():
    """Forget compiled programs between modules, from 4 GB on at each further one.

    What is freed stays with the process, so the limit rises with what it holds then.
    """
    yield
    with contextlib.suppress(OSError):  # not on Linux
        if resident() > limit["bytes"]:
            jax.clear_caches()
            gc.collect()
            limit["bytes"] = max(limit["bytes"], resident() + 2**30)


limit = {"bytes": 4 * 2**30}


def resident():
    """Bytes of memory that the process holds."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def key():
    return jax.random.key(2026)


@pytest.fixture
def engine_runs(request, monkeypatch):
    """Fail a test of `jrnn.scan` that compares `jax.lax.scan` with itself.

    Called outside of all transformations, `jrnn.scan` is `jax.lax.scan`: a test that
    calls it only so says nothing about the engine. One that means to is marked `eager`.
    """
    plain = []  # for each call, whether it was handed to lax.scan

    def spy(ask=loop._nothing_is_traced):
        plain.append(ask())
        return plain[-1]

    monkeypatch.setattr(loop, "_nothing_is_traced", spy)
    yield
    may = jax.config.jax_disable_jit or request.node.get_closest_marker("eager")
    if not may:
        assert not plain or not all(plain), "no call reached the engine"
