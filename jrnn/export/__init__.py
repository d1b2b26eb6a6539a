"""Trained models as programs that run without jrnn.

| function | `--format` | what it writes | what it can hold |
|---|---|---|---|
| `to_jax` | `jax` | one step and a whole sequence as programs, and weights: one file | any cell that draws no random numbers, in any dtypes |
| `to_onnx` | `onnx` | a graph of RNN, GRU and LSTM operators | stacks of `LAYERS`, float32 |
| `to_c` | `c` | one C99 file: weights, a step and a `main` | stacks of `LAYERS`, float32, or int8 matrices |
| `to_hf` | `hf` | a folder: weights, description, model card | what `jrnn.save` can |

The state is an argument and a result everywhere. A part that a format cannot hold is
refused by its place and its name. `jrnn export RUN --to PATH --format NAME` does the
same for a run of `jrnn train` or a file of `jrnn.save`.
"""

from jrnn.export.arguments import Exported, Unsupported
from jrnn.export.c_program import to_c
from jrnn.export.hf_folder import to_hf
from jrnn.export.jax_programs import to_jax
from jrnn.export.onnx_graph import to_onnx

__all__ = ["Exported", "Unsupported", "to_c", "to_hf", "to_jax", "to_onnx"]
