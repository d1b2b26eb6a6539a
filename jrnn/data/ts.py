"""Sequences from `.ts` files, the format of the archives of labelled time series."""

import importlib
import importlib.util
from pathlib import Path

import numpy as np

from jrnn.data.sequences import Dataset, from_arrays


def read_ts(path: str | Path) -> Dataset:
    r"""Read a `.ts` file, by aeon.

    Args:
        path: a file of the UCR and UEA archives of time series.

    Returns:
        `Dataset(inputs, targets)`: values `(N, D)` of float32, time first, D channels,
        NaN where a value is missing; targets are the classes, strings `(n,)`, numbers
        where the file is for regression, or None.

    Raises:
        ValueError: aeon is not installed, with what to install; no `.ts` file, or a
            damaged one.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> lines = "@problemName two", "@timestamps false", "@univariate true"
        >>> lines += "@classLabel true a b", "@data", "1,2,3:a", "4,5,7:b"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.ts"
        ...     _ = path.write_text("\n".join(lines))
        ...     data = read_ts(path)  # doctest: +SKIP
        >>> data.inputs[1].ravel(), data.targets  # doctest: +SKIP
        (array([4., 5., 7.], dtype=float32), array(['a', 'b'], dtype='<U1'))
    """
    path = Path(path)
    if importlib.util.find_spec("aeon") is None:
        raise ValueError(
            f"{path} is read by aeon, which is not installed.\n"
            "Install it: pip install aeon."
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder.\nGive a file in it.")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    load = importlib.import_module("aeon.datasets").load_from_ts_file
    try:
        x, y, facts = load(str(path), return_meta_data=True)
        arrays = [np.asarray(series, np.float32).T for series in x]
        inputs = from_arrays(arrays)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text.\nGive a .ts file.") from None
    except Exception as error:  # whatever its parser stumbles over
        said = str(error).split("\n")[0].removeprefix("from_arrays: ").rstrip(".")
        raise ValueError(
            f"{path} is no .ts file that aeon can read: {said}.\nGive a .ts file."
        ) from None
    asked = facts.get("classlabel") or facts.get("targetlabel")
    return Dataset(inputs, np.asarray(y) if asked and len(y) else None)
