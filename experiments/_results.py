"""What an experiment leaves behind: one small JSON file, and a figure beside it."""

import dataclasses
import importlib.util
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

from jrnn.train.checkpoint import write_atomically

FOLDER = Path(__file__).parent / "results"


def save(name, config, metrics, figure=None, folder=FOLDER):
    """Write results/<name>.json with all that a reader needs to judge the numbers."""
    content = {
        "config": plain(dataclasses.asdict(config)),
        "metrics": plain(metrics),
        "versions": versions(),
        "machine": machine(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode("utf-8"))
    if figure is not None:
        save_figure(folder / f"{name}.svg", figure)
    return path


def save_figure(path, figure):
    """Write an SVG without a date and random ids: the same numbers, the same file."""
    with plt.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})


def need(*modules):
    """End with a plain line where a package is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"needs {', '.join(missing)}: pip install -e '.[experiments]'")


def show(metrics):
    """Print what was found, one line for each thing measured."""
    for name, value in plain(metrics).items():
        if not isinstance(value, dict):
            print(f"{name}: {value}")
            continue
        print(f"{name}:")
        for inner, x in value.items():
            if isinstance(x, dict):
                x = ", ".join(f"{k}: {v}" for k, v in x.items())
            print(f"  {inner}: {x}")


def versions():
    packages = ("jax", "jaxlib", "numpy", "optax")
    return {"python": platform.python_version()} | {p: version(p) for p in packages}


def machine():
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "backend": jax.default_backend(),
    }


def plain(value):
    """Arrays to lists, floats to five digits, paths to file names."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return value
