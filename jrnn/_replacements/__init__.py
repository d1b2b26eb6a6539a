"""Single operations that JAX has too, computed another way because that is faster."""
