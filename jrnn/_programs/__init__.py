"""Programs as data: jaxprs read, evaluated and rewritten; functions as primitives."""
