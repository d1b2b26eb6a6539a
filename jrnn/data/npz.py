"""Sequences from NumPy's `.npz` files."""

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jrnn.data.content import bytes_of
from jrnn.data.sequences import Dataset, Sequences, from_arrays, numbers


def read_npz(path: str | Path) -> Dataset:
    r"""Read sequences, and what is asked about them, from a file of NumPy.

    Three forms are read:

        np.savez(file, *sequences, y=...)               arrays (T_i, ...)
        np.savez(file, x=padded, lengths=..., y=...)    (n, T, ...), (n,) or all T
        np.savez(file, values=..., offsets=..., y=...)  (N, ...), where each begins

    with `offsets` `(n,)`, or `(n + 1,)` whose last is N. `y` may be left out. It has a
    row for each sequence, or a label for each step, laid out as the steps are: padded
    `(n, T)`, or flat `(N,)`. `groups` `(n,)` says what stays together in a split.

    Arrays of objects are refused: to read them is to run code that is in the file.

    Args:
        path: an `.npz` file.

    Returns:
        `Dataset(inputs, targets, groups)`; targets are `y` as it is, `Sequences` where
        it has a label for each step, or None.

    Raises:
        ValueError: no `.npz` file, or a damaged one; none of these forms; arrays of
            objects; lengths, offsets or labels that do not fit.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "data.npz"
        ...     np.savez(path, np.ones((3, 2)), np.ones((5, 2)), y=["a", "b"])
        ...     data = read_npz(path)
        >>> data.inputs.lengths.tolist(), data.targets.tolist()
        ([3, 5], ['a', 'b'])
    """
    name, arrays = _arrays(path)
    parts = sorted((k for k in arrays if re.fullmatch(r"arr_\d+", k)), key=_number)
    try:
        if "values" in arrays and "offsets" in arrays:
            inputs = _flat(arrays["values"], arrays["offsets"])
        elif "x" in arrays:
            inputs = _padded(arrays["x"], arrays.get("lengths"))
        elif parts:
            inputs = from_arrays([arrays[k] for k in parts])
        else:
            raise ValueError(f"it has the arrays {', '.join(arrays)}")
        targets = _targets(arrays.get("y"), inputs, arrays.get("x"))
        groups = _groups(arrays.get("groups"), inputs)
    except (TypeError, ValueError) as error:
        said = re.sub(r"^from_arrays: |\.$", "", str(error).split("\n")[0])
        raise ValueError(
            f"{name} does not hold sequences as expected: {said}.\nWrite "
            "np.savez(file, *sequences, y=labels), or see jrnn.data.read_npz."
        ) from None
    return Dataset(inputs, targets, groups)


def _number(key: str) -> int:
    return int(key.removeprefix("arr_"))


def _arrays(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    """The name of a file, and its arrays, read one by one into their own memory."""
    path = Path(path)
    if path.is_file():
        name, source = str(path), path.open("rb")
    else:
        name, content = bytes_of(path)
        source = io.BytesIO(content)
    with source:
        try:
            return name, _loaded(source)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise _refused(name, str(error)) from None


def _loaded(source: BinaryIO) -> dict[str, np.ndarray]:
    file = np.load(source, allow_pickle=False)
    if isinstance(file, np.ndarray):
        raise zipfile.BadZipFile("it holds one array")
    with file:
        return {key: file[key] for key in file.files}


def _refused(name: str, said: str) -> ValueError:
    if "Object arrays" in said:
        return ValueError(
            f"{name} holds an array of objects, and to read one is to run code in "
            "it.\nWrite np.savez(file, *sequences, y=labels) instead."
        )
    if "pickled" in said or "Cannot load file" in said:
        said = "it is none of NumPy's"
    said = said.rstrip(".")
    return ValueError(f"{name} is no .npz file: {said}.\nWrite one by np.savez.")


def _flat(values: np.ndarray, offsets: np.ndarray) -> Sequences:
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or values.ndim < 1:
        raise ValueError(
            f"offsets must be integers (n,), got {offsets.dtype} {offsets.shape}"
        )
    ends = np.append(offsets.astype(np.int64), len(values))
    if len(offsets) > 1 and offsets[-1] == len(values):
        ends = ends[:-1]
    lengths = np.diff(ends)
    if ends[0] != 0 or (lengths < 1).any():
        raise ValueError(
            f"offsets must begin at 0 and grow to no more than {len(values)}, the "
            "number of steps"
        )
    return Sequences(numbers("values", values), ends[:-1], lengths)


def _padded(x: np.ndarray, lengths: np.ndarray | None) -> Sequences:
    """Padded sequences as they lie, their padding between them."""
    if x.ndim < 2 or not x.size:
        raise ValueError(f"x must have shape (n, T, ...), got {x.shape}")
    n, most = x.shape[:2]
    lengths = np.full(n, most) if lengths is None else lengths
    if lengths.shape != (n,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"lengths must be {n} integers, got {lengths.dtype} {lengths.shape}"
        )
    if ((lengths < 1) | (lengths > most)).any():
        raise ValueError(f"lengths must be from 1 to {most}")
    values = numbers("x", x.reshape(n * most, *x.shape[2:]))
    return Sequences(values, np.arange(n) * most, lengths.astype(np.int64))


def _targets(y: np.ndarray | None, inputs: Sequences, x: np.ndarray | None) -> Any:
    if y is None:
        return None
    n, steps = len(inputs), len(inputs.values)
    if x is not None and y.ndim >= 2 and y.shape[:2] == x.shape[:2]:
        return Sequences(y.reshape(steps, *y.shape[2:]), inputs.starts, inputs.lengths)
    if y.ndim and len(y) == n:
        return y
    if x is None and y.ndim and len(y) == steps:
        return Sequences(y, inputs.starts, inputs.lengths)
    raise ValueError(
        f"y must have a row for each of the {n} sequences or {steps} steps, got shape "
        f"{y.shape}"
    )


def _groups(groups: np.ndarray | None, inputs: Sequences) -> np.ndarray | None:
    if groups is not None and groups.shape != (len(inputs),):
        raise ValueError(f"groups must have shape ({len(inputs)},), got {groups.shape}")
    return groups
