"""Recurrent neural networks as pure functions in JAX."""
