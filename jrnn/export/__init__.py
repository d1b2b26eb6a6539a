"""Trained models as programs that run without jrnn."""

from jrnn.export.arguments import Exported, Unsupported
from jrnn.export.jax_programs import to_jax

__all__ = ["Exported", "Unsupported", "to_jax"]
