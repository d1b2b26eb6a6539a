"""What only steers XLA's compiler for CPUs; chosen at lowering, nowhere else seen."""
