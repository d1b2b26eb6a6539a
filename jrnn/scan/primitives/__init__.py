"""The loop and its derivative as primitives of JAX, with their rules."""
