"""Checkpoints: any pytree as one safetensors file, written whole or not at all."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

FORMAT = "jrnn-checkpoint-2"
WITHOUT_DIGEST = "jrnn-checkpoint-1"  # of earlier versions: the metadata alone


class CheckpointError(ValueError):
    """A file is not a checkpoint, is damaged, or belongs to another model."""


def save(path: str | Path, tree: Any, metadata: dict[str, Any] | None = None) -> None:
    """Write a pytree of arrays to a safetensors file, atomically.

    The file is written under a temporary name, flushed to the disk and renamed, so that
    a kill at any moment leaves the old file or the new one, never a part. Leaves are
    named by their path in the tree, such as `params[1].w_h`. A SHA-256 of all names,
    dtypes, shapes and bytes, and of the metadata, is stored with them: `load` and
    `read` refuse a file in which any of these has changed.

    Args:
        path: the file; a file of that name is replaced.
        tree: pytree of arrays; typed random keys are stored as their data.
        metadata: anything JSON can hold.

    Raises:
        OSError: the file cannot be written, for instance because the disk is full. The
            old file is as it was.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/c.safetensors", {"w": jnp.ones(2)}, {"step": 7})
        ...     tree, metadata = load(f"{folder}/c.safetensors", {"w": jnp.zeros(2)})
        >>> tree["w"].tolist(), metadata
        ([1.0, 1.0], {'step': 7})
    """
    arrays = {name: _to_numpy(leaf) for name, leaf in named_leaves(tree)}
    facts = json.loads(json.dumps(metadata or {}))  # as they will be read
    content = {"metadata": facts, "sha256": digest(arrays, facts)}
    # one entry only: safetensors writes several in an order that changes at random
    header = {FORMAT: json.dumps(content, sort_keys=True)}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=header))


def load(path: str | Path, like: Any) -> tuple[Any, dict[str, Any]]:
    """Read a checkpoint into the structure of an example.

    Args:
        path: the file.
        like: a pytree with the structure, shapes and dtypes expected; arrays or
            `jax.ShapeDtypeStruct`s.

    Returns:
        `(tree, metadata)`: a tree like `like`, of NumPy arrays (and typed keys), and
        what was saved beside it.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is truncated, damaged or foreign, or holds another
            model.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/c.safetensors", {"w": np.ones(2)})
        ...     tree, _ = load(f"{folder}/c.safetensors", {"w": np.zeros(2)})
        >>> tree
        {'w': array([1., 1.])}
    """
    arrays, metadata = read(path)
    leaves, tree = jax.tree.flatten(like)
    names = [name for name, _ in named_leaves(like)]
    missing = sorted(set(names) - set(arrays))
    extra = sorted(set(arrays) - set(names))
    if missing or extra:
        raise CheckpointError(
            f"{path} holds another model: "
            + "; ".join(
                f"{what} {', '.join(which[:3])}{' ...' if len(which) > 3 else ''}"
                for what, which in (("missing", missing), ("unexpected", extra))
                if which
            )
            + "."
        )
    values = [
        _from_numpy(path, n, arrays[n], leaf)
        for n, leaf in zip(names, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, values), metadata


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint as named arrays, without knowing the model.

    A file of an earlier version, which has no digest, is read as it is.

    Args:
        path: the file.

    Returns:
        `(arrays, metadata)`.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is truncated, damaged or foreign.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/c.safetensors", {"w": np.ones(2)})
        ...     read(f"{folder}/c.safetensors")[0]
        {"['w']": array([1., 1.])}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}.")
    header, arrays = read_tensors(path)
    if not header.keys() & {FORMAT, WITHOUT_DIGEST}:
        raise CheckpointError(
            f"{path} is a safetensors file, but not a checkpoint of this program: "
            f"it has no entry {FORMAT!r}."
        )
    return arrays, _metadata(path, header, arrays)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the arrays of any safetensors file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, AttributeError, TypeError, KeyError) as error:
        # a dtype that NumPy lacks is no error of safetensors' own
        raise CheckpointError(
            f"{path} is truncated or is not a safetensors file ({error})."
        ) from error
    return header, arrays


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file so that its name always leads to a whole one.

    Args:
        path: the file; a file of that name is replaced.
        data: its content.

    Raises:
        OSError: the file cannot be written; the old one is as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(f"{folder}/a.txt", b"whole")
        ...     Path(f"{folder}/a.txt").read_text()
        'whole'
    """
    path = Path(path)
    temporary = unfinished(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        # the error of a write does not know where it was to go
        raise OSError(error.errno, error.strerror, str(path)) from error
    _sync_directory(path.parent)


def unfinished(path: str | Path) -> Path:
    """The name under which `write_atomically` writes before it renames.

    Args:
        path: the file to be written.

    Returns:
        A hidden name beside it; a kill while writing can leave such a file.

    Example:
        >>> unfinished("run/a.txt").name
        '.a.txt.tmp'
    """
    path = Path(path)
    return path.with_name(f".{path.name}.tmp")


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves of a pytree with their paths as names, such as `.params[1].w_h`.

    Args:
        tree: any pytree.

    Returns:
        Pairs of name and leaf, in the order of `jax.tree.leaves`.

    Example:
        >>> named_leaves({"a": (1, 2)})
        [("['a'][0]", 1), ("['a'][1]", 2)]
    """
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in pairs]


def digest(arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> str:
    """SHA-256 of everything that a checkpoint says."""
    forms = [(n, str(a.dtype), list(a.shape)) for n, a in sorted(arrays.items())]
    result = hashlib.sha256(json.dumps([metadata, forms], sort_keys=True).encode())
    for _, array in sorted(arrays.items()):
        result.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return result.hexdigest()


def _metadata(path: Path, header: dict[str, str], arrays: dict) -> dict[str, Any]:
    """What was saved beside the arrays, if nothing has changed since."""
    damaged = CheckpointError(
        f"{path} is damaged: its content is not what was saved in it. Take a copy of "
        "it from elsewhere, or another checkpoint."
    )
    try:
        content = json.loads(header[FORMAT if FORMAT in header else WITHOUT_DIGEST])
        if FORMAT not in header:
            content = {"metadata": content, "sha256": None}
        metadata, expected = content["metadata"], content["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged from error
    if not isinstance(metadata, dict):
        raise damaged
    if FORMAT in header and expected != digest(arrays, metadata):
        raise damaged
    return metadata


def _sync_directory(folder: Path) -> None:
    if os.name != "posix":  # directories cannot be opened elsewhere
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_numpy(leaf) -> np.ndarray:
    if hasattr(leaf, "dtype") and _is_key(leaf):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf, order="C")


def _from_numpy(path, name: str, array: np.ndarray, like):
    if is_key := hasattr(like, "dtype") and _is_key(like):
        like = jax.eval_shape(jax.random.key_data, like)
    expected = np.dtype(getattr(like, "dtype", np.asarray(like).dtype))
    if array.shape != np.shape(like):
        raise CheckpointError(
            f"{path} holds another model: {name} has shape {array.shape}, "
            f"expected {np.shape(like)}."
        )
    if array.dtype != expected:
        raise CheckpointError(
            f"{path} holds another model: {name} has dtype {array.dtype}, "
            f"expected {expected}."
        )
    return jax.random.wrap_key_data(jnp.asarray(array)) if is_key else array
