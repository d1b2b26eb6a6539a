"""Trained models as programs that run without jrnn."""

from jrnn.export.arguments import Exported, Unsupported
from jrnn.export.c_program import to_c
from jrnn.export.jax_programs import to_jax
from jrnn.export.onnx_graph import to_onnx

__all__ = ["Exported", "Unsupported", "to_c", "to_jax", "to_onnx"]
