"""The derivative of a step as a step of its own, linear in the tangents."""
