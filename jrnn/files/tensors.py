"""Parameters as named arrays, and the form of an input as text."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jrnn.files.table import DTYPES

ALONE = "params"  # the name of parameters that are one array
_LEAF = re.compile(r"(\w+)\[((?:\d+(?:,\d+)*)?)\]")


class Misfit(ValueError):
    """Parameters that are not those of the model, or that a file cannot hold."""


def named(tree: Any) -> dict[str, Any]:
    """Leaves by their place: `1.w_h` for `tree[1].w_h`, `rate` for `tree["rate"]`."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".") or ALONE
        if name in leaves or name == "__metadata__":  # that one is safetensors' own
            raise Misfit(
                f"params: the name {name!r} is taken. Rename an entry of the "
                "dictionary that holds it."
            )
        leaves[name] = leaf
    return leaves


def to_numpy(name: str, leaf: Any) -> np.ndarray:
    """A parameter as a file holds it."""
    if isinstance(leaf, Tracer):
        raise Misfit(f"{name} has no value yet. Call save outside of jit, grad, vmap.")
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic):
        raise Misfit(
            f"{name} must be an array, got {type(leaf).__name__}. Pass "
            "jax.tree.map(jnp.asarray, params)."
        )
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        raise Misfit(
            f"{name} is a random key, which is no parameter. Keep "
            "jax.random.key_data(key), or leave it out."
        )
    array = np.asarray(leaf, order="C")
    if array.dtype.name not in DTYPES:
        raise Misfit(
            f"{name} is {array.dtype}, which a file cannot hold. Cast it to one of "
            f"{', '.join(DTYPES)}."
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def to_jax(name: str, array: np.ndarray) -> jax.Array:
    """A parameter as a model takes it, of the dtype that was saved."""
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        raise Misfit(
            f"{name} is {array.dtype}, which JAX would cut to "
            f"{jax.dtypes.canonicalize_dtype(array.dtype)}. Call "
            'jax.config.update("jax_enable_x64", True) first.'
        )
    return jnp.asarray(array)


def check(arrays: dict[str, Any], form: dict[str, Any]) -> None:
    """Raise `Misfit` unless arrays have the names and shapes of a form.

    A dtype may be another one of its kind: weights are kept in half precision, too.
    """
    wrong = [
        f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for what, names in (
            ("missing", sorted(form.keys() - arrays.keys())),
            ("unexpected", sorted(arrays.keys() - form.keys())),
        )
        if names
    ]
    if wrong:
        raise Misfit(f"the parameters are those of another model: {'; '.join(wrong)}.")
    for name, like in form.items():
        got, want = arrays[name], like
        if got.shape != want.shape:
            raise Misfit(
                f"{name} has shape {got.shape}, but the model's has {want.shape}."
            )
        if _kind(got.dtype) != _kind(want.dtype):
            raise Misfit(f"{name} is {got.dtype}, but the model's is {want.dtype}.")


def _kind(dtype: Any) -> str:
    for kind in (jnp.floating, jnp.complexfloating, jnp.signedinteger):
        if jnp.issubdtype(dtype, kind):
            return kind.__name__
    return np.dtype(dtype).kind


def input_to_json(x: Any) -> Any:
    """The form of an input: `float32[3]`, with lists for tuples, and dictionaries."""
    if x is None:
        return None
    if type(x) is tuple:
        return [input_to_json(part) for part in x]
    if _is_named(x):
        return {name: input_to_json(part) for name, part in x.items()}
    if not (hasattr(x, "shape") or isinstance(x, bool | int | float | complex)):
        raise TypeError(
            "save: x must be an example of one step's input, as for init: an array, or "
            f"a tuple or a dictionary of arrays; got {type(x).__name__}."
        )
    dtype = getattr(x, "dtype", None)
    dtype = jax.dtypes.result_type(x) if dtype is None else dtype
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    return f"{dtype.name}[{','.join(map(str, jnp.shape(x)))}]"


def _is_named(x: Any) -> bool:
    return type(x) is dict and all(isinstance(name, str) for name in x)


def input_from_json(data: Any) -> Any:
    """The inverse, with `jax.ShapeDtypeStruct` for arrays."""
    if data is None:
        return None
    if isinstance(data, list):
        return tuple(map(input_from_json, data))
    if isinstance(data, dict):
        return {name: input_from_json(part) for name, part in data.items()}
    found = _LEAF.fullmatch(data) if isinstance(data, str) else None
    if not found or found[1] not in DTYPES:
        raise Misfit(f"input is {data!r}, which is no form of an array.")
    shape = tuple(int(n) for n in found[2].split(",") if n)
    # a token that was 64 bits wide may be read where JAX has 32
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(found[1]))
