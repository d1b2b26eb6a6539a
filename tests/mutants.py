"""The test of the tests: faults put into the core one by one; each must be seen.

    python tests/mutants.py [WORD ...]

runs, for every fault whose name contains one of the words (all without words), the
tests meant to catch it on a copy of the package, and exits with 1 if a fault survives.
Not collected by pytest: it takes minutes, run it before a release.
"""

import contextlib
import importlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORACLES, LAWS, WRAPPERS = "test_oracles.py", "test_laws.py", "test_wrappers.py"
INITIALIZERS, LOSSES = "test_initializers.py", "test_losses.py"
OPTIMIZERS, PUBLIC, ERRORS = "test_optimizers.py", "test_public.py", "test_errors.py"

MUTANTS = [
    # name, file, text, replacement, test file, -k expression
    (
        "lstm: i and f exchanged",
        "cells/lstm.py",
        "i, f, g, o = jnp.split(z, 4",
        "f, i, g, o = jnp.split(z, 4",
        ORACLES,
        "oracle and lstm",
    ),
    (
        "lstm: h and c exchanged in the carry",
        "cells/lstm.py",
        "return LSTMCarry(h, c), h",
        "return LSTMCarry(c, h), h",
        ORACLES,
        "oracle and lstm",
    ),
    (
        "lstm: output without tanh",
        "cells/lstm.py",
        "jax.nn.sigmoid(o) * jnp.tanh(c)",
        "jax.nn.sigmoid(o) * c",
        ORACLES,
        "keras and lstm",
    ),
    (
        "lstm: forget bias added in the step",
        "cells/lstm.py",
        "jax.nn.sigmoid(f) *",
        "jax.nn.sigmoid(f + 1.0) *",
        ORACLES,
        "oracle and lstm",
    ),
    (
        "lstm: forget bias on the input gate",
        "cells/lstm.py",
        ".at[H : 2 * H]",
        ".at[:H]",
        INITIALIZERS,
        "starting",
    ),
    (
        "gru: hidden bias outside the reset gate",
        "cells/gru.py",
        "jnp.split(h @ params.w_h + params.b_h, 3, axis=-1)\n",
        "jnp.split(h @ params.w_h + params.b_h, 3, axis=-1)\n"
        "            b_n = jnp.split(params.b_h, 3)[2]\n"
        "            n_h, n_x = n_h - b_n, n_x + b_n\n",
        ORACLES,
        "oracle and gru",
    ),
    (
        "gru: r and z exchanged",
        "cells/gru.py",
        "h = (1 - z) * n + z * h",
        "h = z * n + (1 - z) * h",
        ORACLES,
        "oracle and gru",
    ),
    (
        "gru before: reset after instead",
        "cells/gru.py",
        "(r * h) @ w_n + b_n",
        "r * (h @ w_n) + b_n",
        ORACLES,
        "oracle and gru",
    ),
    (
        "elman: bias forgotten",
        "cells/elman.py",
        " + params.b)",
        " + 0 * params.b)",
        ORACLES,
        "oracle and elman",
    ),
    (
        "elman: w_h transposed",
        "cells/elman.py",
        "carry @ params.w_h",
        "carry @ params.w_h.T",
        ORACLES,
        "oracle and elman",
    ),
    (
        "irnn: tanh instead of the rectifier",
        "cells/elman.py",
        "jax.nn.relu,",
        "jnp.tanh,",
        ORACLES,
        "oracle and irnn",
    ),
    (
        "unroll: reverse ignored where a key is given",
        "unroll.py",
        "num_steps, reverse=reverse,",
        "num_steps, reverse=reverse and key is None,",
        LAWS,
        "unroll_equals and dropout",
    ),
    (
        "unroll: one key for all steps",
        "unroll.py",
        "step_keys = jax.random.split(step_key, num_steps)",
        "step_keys = jax.numpy.stack([step_key] * num_steps)",
        WRAPPERS,
        "dropout_zeroes",
    ),
    (
        "unroll: carry given is not used",
        "unroll.py",
        "    if carry is None:\n",
        "    if True:\n",
        LAWS,
        "(splitting or given_carry) and elman",
    ),
    (
        "unroll: looks one step ahead",
        "unroll.py",
        "scan(step, carry, (xs, step_keys)",
        "scan(step, carry, (xs[jnp.arange(1, num_steps + 1) % num_steps], step_keys)",
        LAWS,
        "(causal or unroll_equals) and elman",
    ),
    (
        "masked: carry not held",
        "wrappers.py",
        "return _where(valid, new_carry, carry), y",
        "return new_carry, y",
        WRAPPERS,
        "masked",
    ),
    (
        "masked: output not zeroed",
        "wrappers.py",
        "        y = _where(valid, y, jax.tree.map(_zeros, y))\n",
        "",
        WRAPPERS,
        "masked",
    ),
    (
        "masked: padding let into the step",
        "wrappers.py",
        "        x = _where(valid, x, jax.tree.map(_zeros, x))\n",
        "",
        WRAPPERS,
        "masked",
    ),
    (
        "reset: after the step instead of before",
        "wrappers.py",
        "return cell.step(params, _where(start, fresh, carry), x, key=step_key)",
        "c, y = cell.step(params, carry, x, key=step_key)\n"
        "        return _where(start, fresh, c), y",
        WRAPPERS,
        "reset",
    ),
    (
        "reset: one key for two uses",
        "wrappers.py",
        "(None, None) if key is None else jax.random.split(key)",
        "(None, None) if key is None else (key, jax.random.clone(key))",
        WRAPPERS,
        "reset",
    ),
    (
        "bidirectional: both directions forward",
        "combine.py",
        "key=b_key, reverse=True,",
        "key=b_key, reverse=False,",
        WRAPPERS,
        "bidirectional",
    ),
    (
        "bidirectional: length ignored by the backward cell",
        "combine.py",
        "        forward, backward = masked(forward), masked(backward)",
        "        forward, inner = masked(forward), backward\n"
        "        backward = inner._replace(\n"
        "            step=lambda p, c, x, key=None: inner.step(p, c, x[0], key=key))",
        WRAPPERS,
        "bidirectional",
    ),
    (
        "stack: one key for all cells",
        "combine.py",
        "else list(jax.random.split(key, n))",
        "else [jax.random.clone(key) for _ in range(n)]",
        WRAPPERS,
        "keys or own_key",
    ),
    (
        "dropout: survivors not scaled",
        "wrappers.py",
        "kept.astype(like.dtype) / keep",
        "kept.astype(like.dtype)",
        WRAPPERS,
        "dropout_zeroes",
    ),
    (
        "dropout: rate is the share kept",
        "wrappers.py",
        "jax.random.bernoulli(key, keep, like.shape)",
        "jax.random.bernoulli(key, 1 - keep, like.shape)",
        WRAPPERS,
        "dropout_zeroes",
    ),
    (
        "variational_dropout: mask on the cell state",
        "wrappers.py",
        "carry.cell._replace(h=h)",
        "carry.cell._replace(h=h, c=carry.cell.c * carry.mask)",
        WRAPPERS,
        "variational",
    ),
    (
        "variational_dropout: mask not carried",
        "wrappers.py",
        "return VariationalDropoutCarry(inner, carry.mask), y",
        "return VariationalDropoutCarry(inner, 0 * carry.mask), y",
        WRAPPERS,
        "variational",
    ),
    (
        "resample: state drawn anew, masks kept",
        "wrappers.py",
        "new if is_mask(path) else old",
        "old if is_mask(path) else new",
        WRAPPERS,
        "resample",
    ),
    (
        "record: carry before the step",
        "wrappers.py",
        "        carry, y = cell.step(params, carry, x, key=key)\n"
        "        return carry, Recorded(y, carry)",
        "        new, y = cell.step(params, carry, x, key=key)\n"
        "        return new, Recorded(y, carry)",
        WRAPPERS,
        "record",
    ),
    (
        "learned_carry: not learned",
        "wrappers.py",
        "        return params.carry\n",
        "        return jax.lax.stop_gradient(params.carry)\n",
        WRAPPERS,
        "learned_carry",
    ),
    (
        "layer_norm: sample variance",
        "wrappers.py",
        "var = jnp.square(u).mean(axis=-1, keepdims=True)",
        "var = jnp.square(u).sum(axis=-1, keepdims=True) / (u.shape[-1] - 1)",
        WRAPPERS,
        "layer_norm",
    ),
    (
        "spectral_radius: expected instead of exact",
        "initializers.py",
        "radius = jnp.max(jnp.abs(jnp.linalg.eigvals(a)))",
        "radius = jnp.sqrt(jnp.asarray(float(shape[0])))",
        INITIALIZERS,
        "radius",
    ),
    (
        "gatewise: one draw for all gates",
        "initializers.py",
        "keys = jax.random.split(key, gates)",
        "keys = [jax.random.clone(key) for _ in range(gates)]",
        INITIALIZERS,
        "gatewise",
    ),
    (
        "cross_entropy: mean over padding too",
        "losses.py",
        "jnp.maximum(valid.sum(), 1)",
        "jnp.maximum(valid.size, 1)",
        LOSSES,
        "padding",
    ),
    (
        "cross_entropy: masked behind the logarithm only",
        "losses.py",
        "    logits = jnp.where(valid[..., None], logits, jnp.zeros_like(logits))\n",
        "",
        LOSSES,
        "padding",
    ),
    (
        "adagrad: accumulator from 0.1",
        "optimizers.py",
        "lambda p: jnp.zeros_like(p.real)",
        "lambda p: jnp.full_like(p.real, 0.1)",
        OPTIMIZERS,
        "adagrad",
    ),
    (
        "adagrad: eps outside the root",
        "optimizers.py",
        "g / jnp.sqrt(s + eps)",
        "g / (jnp.sqrt(s) + eps)",
        OPTIMIZERS,
        "numpy_loop and adagrad",
    ),
    (
        "clip: behind the rule",
        "optimizers.py",
        "clip_by_global_norm(max_norm), rule",
        "rule, clip_by_global_norm(max_norm)",
        OPTIMIZERS,
        "numpy_loop and (adagrad or adam)",
    ),
    (
        "adamw: biases decay",
        "optimizers.py",
        "jnp.ndim(p) >= 2",
        "jnp.ndim(p) >= 0",
        OPTIMIZERS,
        "adamw_decays",
    ),
    (
        "scan: remat in reverse takes its chunks forward",
        "scan.py",
        "reversed(parts) if reverse else parts",
        "parts",
        LAWS,
        "remat and lstm",
    ),
    (
        "a wrapper with a case of its own missing",
        "wrappers.py",
        "def length_mask(",
        "def twice(cell: Cell) -> Cell:\n    return cell\n\n\ndef length_mask(",
        PUBLIC,
        "exported",
    ),
    (
        "a raise that nothing provokes",
        "layers.py",
        "    return stateless(lambda key, x: (), lambda params, x, key: f(x))",
        "    if f is None:\n        raise ValueError('activation: f is None')\n"
        "    return stateless(lambda key, x: (), lambda params, x, key: f(x))",
        ERRORS,
        "every_raise",
    ),
    (
        "layers import from above",
        "layers.py",
        "from jrnn import _check\n",
        "from jrnn import _check\nfrom jrnn.wrappers import record\n",
        PUBLIC,
        "floor",
    ),
]


def run_tests(package: Path, file: str, expression: str) -> int:
    """Pytest in a fork, so that imports are paid once; returns its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 98
    try:
        sys.path.insert(0, str(package))
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        with contextlib.redirect_stdout(io.StringIO()):
            code = pytest.main([str(ROOT / "tests" / file), "-k", expression, *options])
        import jrnn

        code = int(code) if str(package) in jrnn.__file__ else 99
    finally:
        os._exit(code)


def run_mutant(name, file, text, replacement, test, expression) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "jrnn"
        shutil.copytree(ROOT / "jrnn", package)
        source = (package / file).read_text()
        if source.count(text) == 0:
            print(f"STALE     {name}: its text is not in {file}", flush=True)
            return False
        (package / file).write_text(source.replace(text, replacement))
        code = run_tests(Path(folder), test, expression)
    verdict = {0: "SURVIVED", 1: "caught"}.get(code, f"ERROR {code}")
    print(f"{verdict:9s} {name}", flush=True)
    return code == 1


def main(words) -> int:
    for module in ("jax.numpy", "optax", "numpy"):
        importlib.import_module(module)
    chosen = [m for m in MUTANTS if not words or any(w in m[0] for w in words)]
    survivors = [m[0] for m in chosen if not run_mutant(*m)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} caught")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
